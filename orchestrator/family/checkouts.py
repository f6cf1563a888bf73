"""Which checkout a family works in, as its history says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.domain.plan import Plan
from orchestrator.domain.record import State
from orchestrator.family.family import Family
from orchestrator.git.command import GitError
from orchestrator.settings.config import Settings
from orchestrator.workspaces.checkout import Checkout

#: types of the records: of the family's, of one that a stage has beside it, of its end
CHECKOUT, BESIDE, TAKEN_IN = "checkout", "beside", "taken-in"


def needs_checkout(settings: Settings, plan: Plan) -> bool:
    """Whether a family works in a checkout of its own: by configuration, or as an agent of it is a
    coding agent or works elsewhere.
    """
    use = settings.workspaces.use
    working = [s for s in plan.stages if not s.is_checkpoint and not s.ready]
    coding = any(settings.agent(s.agent).adapter for s in working)
    # what goes to another machine goes by git
    away = any(settings.workers.goes_out(s.agent) for s in working)
    return use == "always" or (use == "auto" and (coding or away))


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


def beside_of(family: Family, stage: int) -> Checkout | None:
    """The checkout that a stage has beside the family's, made again if it is gone; or None.

    Raises GitError, OrchestrateError.
    """
    record = _besides(family).get(stage)
    if record is None or record["type"] == TAKEN_IN:
        return None
    checkout = Checkout.from_record(family.board.root, family.parent, record, stage)
    checkout.create(family.board.path.relative_to(family.board.root).as_posix())
    return checkout


def checkout_at(family: Family, stage: int) -> Checkout | None:
    """Where a stage works: in a checkout of its own, else in the family's; None if in place."""
    return (beside_of(family, stage) if stage else None) or checkout_of(family)


def _besides(family: Family) -> dict[int, Mapping[str, Any]]:
    """Stage → the last record of a checkout of its own, in this round of the family."""
    found: dict[int, Mapping[str, Any]] = {}
    for record in family.history.records:
        if record["type"] == "answer" and record["answer"] == "reopen":
            found.clear()
        elif record["type"] in (BESIDE, TAKEN_IN):
            found[record["stage"]] = record
    return found


def _taken_in(family: Family) -> Iterator[Checkout]:
    """The checkouts of stages whose work the family's has."""
    for stage, record in _besides(family).items():
        if record["type"] == TAKEN_IN:
            began = (r for r in reversed(family.history.records) if r["type"] == BESIDE)
            last = next(r for r in began if r["stage"] == stage)
            yield Checkout.from_record(family.board.root, family.parent, last, stage)


def mend_checkout(family: Family) -> None:
    """Put right what a killed run left, once the family is locked: nobody works in its checkout.

    Its git folder, locks, half a checkout, one that has landed. Raises GitError, OrchestrateError.
    """
    checkout = checkout_of(family) if family.conducted else None
    if checkout is None:
        return
    board = family.board.path.relative_to(family.board.root).as_posix()
    for own in (checkout, *(beside_of(family, stage) for stage in _besides(family))):
        if own is not None:
            own.repair(board, locks=True)
            own.sweep()
    for own in _taken_in(family):
        # the run was killed before it was done with it
        own.repair(board, locks=True)
        own.sweep()
        with contextlib.suppress(GitError):
            own.end()
    if family.flow.state is State.COMPLETE:
        with contextlib.suppress(GitError):
            checkout.remove()
