"""Criteria that went while an agent worked: they hold until USER accepts them.

Agents report sections and never edit tickets; whether it was the agent or a person cannot be told.
A person who removes a criterion at any other time has removed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace

from orchestrator.domain.workflow import Statement, StatementKind
from orchestrator.errors import TicketError
from orchestrator.storage.history import History
from orchestrator.tickets.criteria import Criteria

_KIND = "criteria-removed"


def read_each(
    members: Iterable[str], read: Callable[[str], Criteria]
) -> dict[str, tuple[Statement, ...]]:
    """Member → what its ticket demands; a ticket that cannot be read demands nothing."""
    found: dict[str, tuple[Statement, ...]] = {}
    for member in members:
        try:
            found[member] = read(member).statements
        except TicketError:
            found[member] = ()
    return found


def keep_removed(
    history: History,
    before: dict[str, tuple[Statement, ...]],
    after: dict[str, tuple[Statement, ...]],
) -> list[Statement]:
    """Write down which statements are gone; returns them."""
    gone = []
    for member, statements in before.items():
        left = {s.text for s in after.get(member, ())}
        lost = [s for s in statements if s.text not in left]
        if lost:
            history.append(_KIND, ticket=member, statements=[asdict(s) for s in lost])
        gone += lost
    return gone


def with_removed(history: History, member: str, found: Criteria) -> Criteria:
    """What a ticket demands, with what went while an agent worked."""
    removed: dict[str, Statement] = {}
    for record in history.of(_KIND, "answer"):
        if record["type"] == "answer":
            if record["answer"] == "reopen":
                removed.clear()
        elif record["ticket"] == member:
            for data in record["statements"]:
                statement = Statement(**{**data, "kind": StatementKind(data["kind"])})
                removed[statement.text] = statement
    there = {s.text for s in found.statements}
    kept = [s for text, s in removed.items() if text not in there]
    return replace(found, statements=(*found.statements, *kept)) if kept else found
