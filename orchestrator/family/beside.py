"""The checkouts of a family, and of its stages that work side by side with a coding agent.

What others have made meanwhile is joined into it before its statements are proven; what is proven
is joined into the family's checkout, which then only moves ahead.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from functools import partial

from orchestrator.domain.agent import Finding
from orchestrator.domain.workflow import Stage
from orchestrator.family.change_log import change_log_of
from orchestrator.family.checkouts import BESIDE, CHECKOUT, TAKEN_IN, beside_of
from orchestrator.family.session import ProgressKind, Session
from orchestrator.git.command import GitError
from orchestrator.workspaces import joining, landing
from orchestrator.workspaces.checkout import begin_checkout


def begin_family_checkout(session: Session) -> None:
    """Let the family work in a checkout of its own from now on.

    Raises OrchestrateError where there is no commit or branch to begin from, GitError.
    """
    checkout = begin_checkout(session.board.root, session.plan.parent)
    record = partial(session.family.history.append, CHECKOUT, **checkout.to_dict())
    checkout.begin(session.settings.board.folder, record)
    for name in ("checkout", "changes"):
        session.__dict__.pop(name, None)


def begin_beside(session: Session, makers: Sequence[Stage]) -> None:
    """Let each of these stages have a checkout of its own, if they need one. Raises GitError."""
    checkout, agent = session.checkout, session.settings.agent
    makers = [s for s in makers if not s.ready]
    if checkout is None or len(makers) < 2 or not any(agent(s.agent).adapter for s in makers):
        return
    board, history = session.settings.board.folder, session.family.history
    base = ""
    for stage in makers:
        if beside_of(session.family, stage.number) is None:
            if not base:
                session.changes.begin(session.places_to_look_at())
                base = checkout.commit(f"{session.plan.parent}: before stages side by side")
            own = checkout.beside(stage.number, base)
            own.begin(board, partial(history.append, BESIDE, stage=stage.number, **own.to_dict()))


def session_at(session: Session, stage: Stage) -> Session:
    """The session in which a stage is worked on and judged: in its own checkout, if it has one."""
    checkout = beside_of(session.family, stage.number) if session.main is None else None
    if checkout is None:
        return session
    session.share()
    own = copy.copy(session)
    own.main = session
    own.__dict__["checkout"] = checkout
    own.__dict__["changes"] = change_log_of(session.family, stage.number)
    return own


def catch_up(session: Session, stage: Stage) -> list[Finding]:
    """Join what the family has by now into a stage's own checkout, where its work is reported.

    Returns what conflicts; nothing has moved then. Raises GitError, LandingError.
    """
    own, main = session.checkout, session.main
    if own is None or main is None or main.checkout is None:
        return []
    parent = session.plan.parent
    own.commit(f"{parent}: {stage.label}")
    main.checkout.commit(f"{parent}: before {stage.label} is joined")
    if landing.fork_of(own) == landing.tip(own):
        return []
    head, conflicts = joining.join_marked(own)
    if not conflicts:
        landing.go_to(own, head)
    member = session.plan.members(stage, session.flow)[0]
    return [
        Finding(
            statement=f"`{own.target}` has moved",
            verdict="failed",
            detail=f"{name} was changed beside it too, and what both changed conflicts",
            source=name,
            member=member,
        )
        for name in conflicts
    ]


def take_in(session: Session, stage: Stage) -> Session:
    """Let the family's checkout have what was proven in a stage's own, which is done with.

    Returns the family's session. Raises GitError, LandingError.
    """
    own, main = session.checkout, session.main
    if own is None or main is None or main.checkout is None:
        return session
    landing.go_to(main.checkout, own.head)
    main.family.history.append(TAKEN_IN, stage=stage.number, head=own.head)
    main.report_progress(
        ProgressKind.NOTICE, f"{stage.label}: joined with the family's work", stage=stage.number
    )
    with contextlib.suppress(GitError):
        own.end()
    return main
