"""Landing as an effect: listed in the last question, covered by its digest, proven once joined."""

from __future__ import annotations

from orchestrator.approvals.effects import Effect, EffectResult
from orchestrator.approvals.request import ApprovalRequest
from orchestrator.family.session import ProgressKind, Session
from orchestrator.git.command import GitError
from orchestrator.workspaces import joining, landing
from orchestrator.workspaces.checkout import Checkout
from orchestrator.workspaces.landing import LAND, Landing, LandingError, Merge

#: type of the record of a checkout that was brought up to date, for an approval
UP_TO_DATE = "up-to-date"
#: type of the record of one that was joined with its target before a further attempt
JOINED = "joined"


def landing_effects(session: Session) -> tuple[Effect, ...]:
    """What is to land of the family's checkout: one effect, or none. Raises GitError."""
    checkout, settings = session.checkout, session.settings.workspaces
    if checkout is None:
        return ()
    checkout.commit(f"{session.plan.parent}: what was left uncommitted")
    planned = landing.plan_landing(checkout, Merge(settings.merge), settings.pull_request)
    if planned is None:
        return ()
    return (Effect(LAND, planned.title, arguments=planned.to_dict()),)


def asked_landing(asked: ApprovalRequest) -> Landing | None:
    """The landing that a request lists, if it lists one."""
    for effect in asked.effects:
        if effect.kind == LAND:
            return Landing.from_dict(dict(effect.arguments))
    return None


def changes_of_landing(session: Session, asked: ApprovalRequest) -> list[str]:
    """What the checkout holds that was not shown, in words."""
    planned, checkout = asked_landing(asked), session.checkout
    if planned is None or checkout is None:
        return []
    known = {planned.head} | {
        record["head"]
        for record in session.family.history.of(UP_TO_DATE)
        if record["digest"] == asked.digest
    }
    head = checkout.head
    changed = (
        [] if head in known else [f"`{planned.branch}` was {planned.head[:10]}, is {head[:10]}"]
    )
    if left := checkout.uncommitted:
        changed.append(f"not committed in the checkout: {', '.join(left[:8])}")
    return changed


def bring_up_to_date(session: Session, asked: ApprovalRequest) -> list[str]:
    """Join the checkout with what its target has become, before anything is proven again.

    Returns what makes the approval lapse: the joined change is not the one that was shown. Raises
    LandingError if they conflict.
    """
    planned, checkout = asked_landing(asked), session.checkout
    if planned is None or checkout is None or planned.pull_request:
        return []
    if landing.is_landed(checkout, planned):
        # killed before that was written down
        return []
    history = session.family.history
    joined = [r["head"] for r in history.of(UP_TO_DATE) if r["digest"] == asked.digest]
    if joined and landing.is_behind(checkout, joined[-1]):
        # killed on the way there
        landing.go_to(checkout, joined[-1])
    names = landing.moved(checkout, session.settings.board.folder)
    if not names:
        return _as_shown(checkout, planned) if joined else []
    head = landing.join(checkout)
    history.append(UP_TO_DATE, digest=asked.digest, head=head, onto=landing.tip(checkout))
    landing.go_to(checkout, head)
    session.report_progress(
        ProgressKind.NOTICE,
        f"`{planned.target}` has moved ({len(names)} file{'s' if len(names) != 1 else ''}); "
        "everything is proven again on the joined result",
    )
    return _as_shown(checkout, planned)


def _as_shown(checkout: Checkout, planned: Landing) -> list[str]:
    """What makes the approval lapse, where the joined change is another than the one shown."""
    shown = landing.patch_of(checkout, planned.onto, planned.head)
    fork = landing.fork_of(checkout)
    if landing.patch_of(checkout, fork, checkout.head) != shown:
        return [f"what `{planned.branch}` changes in `{planned.target}`, which has moved"]
    return []


def find_marks(session: Session) -> dict[str, list[int]]:
    """Files of the checkout → the lines that still are marks of a conflict."""
    if session.checkout is None:
        return {}
    return joining.marks_of(session.checkout, session.family.history.of(JOINED))


def run_landing(session: Session, asked: ApprovalRequest, title: str) -> EffectResult:
    """Land what was approved; a refusal says what to do."""
    planned, checkout = asked_landing(asked), session.checkout
    assert planned is not None
    if checkout is None:
        return EffectResult(False, "the checkout is gone")
    try:
        _require_as_approved(session, asked, checkout)
        message = landing.message_of(planned, session.plan.parent, title)
        return EffectResult(True, landing.land(checkout, planned, message))
    except LandingError as exc:
        return EffectResult(False, exc.message)
    except GitError as exc:
        return EffectResult(False, exc.reason)


def _require_as_approved(session: Session, asked: ApprovalRequest, checkout: Checkout) -> None:
    if changed := changes_of_landing(session, asked):
        raise LandingError(f"not what was approved: {'; '.join(changed)}")
    if marked := find_marks(session):
        raise LandingError(f"conflict marks are left in {', '.join(marked)}; send it back")
    planned = asked_landing(asked)
    assert planned is not None
    if planned.pull_request or landing.is_landed(checkout, planned):
        return
    if landing.moved(checkout, session.settings.board.folder):
        raise LandingError(f"`{planned.target}` has moved again while it was proven")
