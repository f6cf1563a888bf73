"""A further attempt begins with what its target has become; conflicts are the agent's to resolve"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.approvals.landings import JOINED, find_marks
from orchestrator.domain.agent import Finding
from orchestrator.domain.workflow import Stage
from orchestrator.family.session import ProgressKind, Session
from orchestrator.workspaces import joining, landing


def rejoin(session: Session, makers: Sequence[Stage]) -> None:
    """Join the checkout with a target that has moved, before these stages are done once more.

    Raises LandingError if the target is gone, GitError.
    """
    checkout, history, flow = session.checkout, session.family.history, session.flow
    again = [s for s in makers if not s.ready and flow.attempt(s.number) > 1]
    if checkout is None or not again:
        return
    if session.settings.workspaces.pull_request and session.main is None:
        return
    for stage in makers:
        attempt = flow.attempt(stage.number)
        if history.latest("dispatch", stage=stage.number, attempt=attempt) is not None:
            return
    last = history.latest(JOINED, branch=checkout.branch)
    if last is not None and landing.is_behind(checkout, last["head"]):
        # killed on the way there
        landing.go_to(checkout, last["head"])
    if not (names := landing.moved(checkout, session.settings.board.folder)):
        return
    before = checkout.commit(f"{session.plan.parent}: before `{checkout.target}` is joined")
    head, conflicts = joining.join_marked(checkout)
    onto = landing.tip(checkout)
    history.append(
        JOINED,
        branch=checkout.branch,
        attempts={str(s.number): flow.attempt(s.number) for s in makers},
        before=before,
        onto=onto,
        head=head,
        conflicts=conflicts,
    )
    landing.go_to(checkout, head)
    text = f"`{checkout.target}` has moved ({len(names)} file{'s' if len(names) != 1 else ''})"
    text += f"; it conflicts in {', '.join(conflicts)}" if conflicts else "; it is joined"
    session.report_progress(ProgressKind.NOTICE, text, stage=makers[0].number)


def conflict_findings(session: Session, member: str, stage: Stage | None = None) -> list[Finding]:
    """A finding for each file with marks of a conflict; with `stage`, also for each that conflicts
    without any (removed on one side, or binary), where this attempt of it began so.
    """
    checkout = session.checkout
    if checkout is None:
        return []
    marks = find_marks(session)
    found = [
        (
            name,
            f"{name} holds conflict marks (line{'s' if len(lines) > 1 else ''} "
            f"{', '.join(map(str, lines))}): resolve them, keeping what both sides mean",
        )
        for name, lines in marks.items()
    ]
    record = session.family.history.latest(JOINED) if stage is not None else None
    if record is not None and stage is not None:
        attempt = session.flow.attempt(stage.number)
        if record["attempts"].get(str(stage.number)) == attempt:
            found += [
                (
                    name,
                    f"{name} conflicts where git sets no marks: see `git show {record['onto']}` "
                    f"and `git show {record['before']}`",
                )
                for name in record["conflicts"]
                if name not in marks
            ]
    said = f"`{checkout.target}` has moved"
    return [
        Finding(statement=said, verdict="failed", detail=detail, source=name, member=member)
        for name, detail in found
    ]
