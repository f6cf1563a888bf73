"""What went from tickets while an agent worked: criteria hold until USER accepts them, and the
former `files:` until USER answers.

Agents report sections and never edit tickets; whether an agent or a person did it is not known.
A person who removes a criterion at any other time has removed it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace

from orchestrator.domain.workflow import Statement, StatementKind
from orchestrator.errors import TicketError
from orchestrator.storage.history import History
from orchestrator.tickets.criteria import Criteria

_KIND, _FILES = "criteria-removed", "files-edited"


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
    before: Mapping[str, tuple[Statement, ...]],
    after: Mapping[str, tuple[Statement, ...]],
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


def read_files(
    members: Iterable[str], read: Callable[[str], Iterable[str]]
) -> dict[str, tuple[str, ...]]:
    """Member → the `files:` of its ticket; one that cannot be read is left out."""
    found: dict[str, tuple[str, ...]] = {}
    for member in members:
        with contextlib.suppress(TicketError):
            found[member] = tuple(read(member))
    return found


def keep_files(
    history: History, before: Mapping[str, tuple[str, ...]], after: Mapping[str, tuple[str, ...]]
) -> list[str]:
    """Write down what `files:` were in force where they were edited; returns these members."""
    edited = [member for member, files in before.items() if after.get(member, files) != files]
    for member in edited:
        files = files_in_force(history, member, before[member])
        history.append(_FILES, ticket=member, files=list(files))
    return edited


def files_in_force(history: History, member: str, written: Iterable[str]) -> tuple[str, ...]:
    """The `files:` of a ticket, or what they were before they were edited while an agent worked."""
    kept = None
    for record in history.of(_FILES, "answer"):
        if record["type"] == "answer":
            kept = None
        elif record["ticket"] == member and kept is None:
            kept = record["files"]
    return tuple(written if kept is None else kept)
