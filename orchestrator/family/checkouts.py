"""Which checkout a family works in, as its history says."""

from __future__ import annotations

import contextlib

from orchestrator.config import Settings
from orchestrator.domain.plan import Plan
from orchestrator.domain.record import State
from orchestrator.family.family import Family
from orchestrator.git.command import GitError
from orchestrator.workspaces.checkout import Checkout

#: type of the record
CHECKOUT = "checkout"


def needs_checkout(settings: Settings, plan: Plan) -> bool:
    """Whether a family works in a checkout of its own: by configuration, or as an agent of it is a
    coding agent.
    """
    use = settings.workspaces.use
    working = [s for s in plan.stages if not s.is_checkpoint and not s.ready]
    coding = any(settings.agent(s.agent).adapter for s in working)
    return use == "always" or (use == "auto" and coding)


def checkout_of(family: Family) -> Checkout | None:
    """The family's checkout in this round, made again if it is gone; None if it has none.

    One that has landed is not made again. Raises GitError, OrchestrateError.
    """
    board = family.board
    for record in reversed(family.history.records):
        if record["type"] == "answer" and record["answer"] == "reopen":
            return None
        if record["type"] == CHECKOUT:
            checkout = Checkout.from_record(board.root, family.parent, record)
            if not checkout.top.is_dir():
                if family.conducted and family.flow.state.ended:
                    return None
                checkout.create(board.path.relative_to(board.root).as_posix())
            return checkout
    return None


def mend_checkout(family: Family) -> None:
    """Put right what a killed run left, once the family is locked: nobody works in its checkout.

    Its git folder, locks, half a checkout, one that has landed. Raises GitError, OrchestrateError.
    """
    checkout = checkout_of(family) if family.conducted else None
    if checkout is None:
        return
    checkout.mend(family.board.path.relative_to(family.board.root).as_posix(), locks=True)
    checkout.sweep()
    if family.flow.state is State.COMPLETE:
        with contextlib.suppress(GitError):
            checkout.remove()
