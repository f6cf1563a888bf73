"""What is odd about families that are conducted: their record against what lies on the board."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.doctor.board_rules import waiting
from orchestrator.domain.answer import AnswerVerb, verb_of
from orchestrator.domain.record import Flow, Place, State, from_mapping
from orchestrator.domain.states import Event, FolderRole, wish
from orchestrator.errors import OrchestrateError
from orchestrator.family.workflow_discovery import referenced
from orchestrator.markdown.frontmatter_parser import Diagnosis
from orchestrator.storage.history import FOLDER
from orchestrator.tickets.ticket import Ticket

if TYPE_CHECKING:
    from orchestrator.tickets.board import Board

_ENDED = {State.COMPLETE, State.ARCHIVED}
#: a history's first transition stands within so many bytes
_HEAD = 1 << 16


@dataclass(frozen=True)
class Record:
    """A conducted parent with its record; None if that cannot be read."""

    parent: Ticket
    flow: Flow | None
    problem: str = ""

    @classmethod
    def of(cls, parent: Ticket) -> Record:
        try:
            return cls(parent, from_mapping(parent.flow or {}, path=parent.source))
        except (OSError, OrchestrateError) as exc:
            return cls(parent, None, getattr(exc, "message", str(exc)))


def records(tickets: Sequence[Ticket]) -> list[Record]:
    """The records of all conducted families."""
    return [Record.of(ticket) for ticket in tickets if ticket.conducted]


def parents(found: Sequence[Record]) -> dict[str, str]:
    """Member → parent, for every member of a conducted family."""
    by_member = {}
    for record in found:
        for member in record.flow.members if record.flow else ():
            by_member[member] = record.parent.id
        by_member[record.parent.id] = record.parent.id
    return by_member


def of_families(
    board: Board, tickets: Sequence[Ticket], found: Sequence[Record], days: int, now: datetime
) -> Iterator[Diagnosis]:
    """What is odd about each family; `days` is how long USER may be waited for."""
    by_id: dict[str, list[Ticket]] = defaultdict(list)
    for ticket in tickets:
        by_id[ticket.id].append(ticket)
    for record in found:
        if record.flow is None:
            hint = "undo the edit of the flow: block (git has the last version)"
            message = record.problem
            yield Diagnosis("record-broken", message, _line(record), hint, record.parent.source)
        else:
            yield from _of_family(board, record, record.flow, by_id)
            yield from _asked(record, record.flow, days, now)
    yield from _without_record(board, by_id, {record.parent.id for record in found})


def _line(record: Record) -> int:
    return record.parent.line_of("flow")


def _of_family(
    board: Board, record: Record, flow: Flow, by_id: dict[str, list[Ticket]]
) -> Iterator[Diagnosis]:
    source = record.parent.source
    if flow.state not in _ENDED and not referenced(board.root, flow.workflow).is_file():
        message = f"the workflow {flow.workflow} is gone"
        yield Diagnosis("workflow-missing", message, _line(record), "put the file back", source)
    for member, place in flow.members.items():
        held = [record.parent] if member == record.parent.id else by_id.get(member, [])
        if not held:
            message = f"{member} is not on the board; the record has it in {place.at}"
            hint = "bring its file back (git log --diff-filter=D), or archive the family"
            yield Diagnosis("member-missing", message, _line(record), hint, source)
        elif len(held) == 1:
            yield from _of_member(board, held[0], flow, place, held[0] is record.parent)


def _of_member(
    board: Board, ticket: Ticket, flow: Flow, place: Place, is_parent: bool
) -> Iterator[Diagnosis]:
    if ticket.role is not place.at:
        message = f"lies in {ticket.folder or 'no folder'}, the record has it in {place.at}"
        hint = "the next run puts it back; to move it, edit `status:` in the file"
        yield Diagnosis("member-elsewhere", message, 0, hint, ticket.source)
    role = board.folders.role_of_status(ticket.status)
    recorded = not ticket.status or (role is not None and role in (place.at, place.was))
    if not recorded and not can_be_taken(ticket.status, role, flow, place, is_parent):
        message = f"the status {ticket.status} is no wish that can be carried out now"
        hint = f"status: {board.folders.for_role(place.at)}, or one that is legal from there"
        line = ticket.line_of("status")
        yield Diagnosis("wish-refused", message, line, hint, ticket.source)


def can_be_taken(
    status: str, role: FolderRole | None, flow: Flow, place: Place, is_parent: bool
) -> bool:
    """Whether the next run carries out a status that a person wrote (DESIGN 2.2, 7.2)."""
    verb = verb_of(status)
    if flow.question is not None:
        answer = verb is not None or role is FolderRole.COMPLETE
        if verb is AnswerVerb.CHANGES_REQUESTED or (is_parent and answer):
            return True
    event = wish(place.at, role) if role is not None else None
    if event is Event.RESUME:
        return role is place.held_from
    if event in (Event.ARCHIVE, Event.SHELVE, Event.UNSHELVE, Event.REOPEN):
        return is_parent
    handed = role is FolderRole.QA and flow.state is State.NEEDS_PERSON
    return event is Event.HOLD or handed


def _asked(record: Record, flow: Flow, days: int, now: datetime) -> Iterator[Diagnosis]:
    if flow.question is None:
        return
    try:
        since = datetime.fromisoformat(flow.question.asked.replace("Z", "+00:00"))
    except ValueError:
        return
    since = since if since.tzinfo else since.replace(tzinfo=UTC)
    if found := waiting(record.parent.source, since, days, now):
        yield found


def _without_record(
    board: Board, by_id: dict[str, list[Ticket]], conducted: set[str]
) -> Iterator[Diagnosis]:
    """Families whose history tells of moves although the parent's file has no record any more."""
    for history in sorted((board.path / FOLDER).glob("*.jsonl")):
        held = by_id.get(history.stem, ())
        if held and history.stem not in conducted and _was_moved(history):
            message = "the family is conducted (its history says so), but the record is gone"
            hint = "put the flow: block back from the last version in git"
            yield Diagnosis("record-broken", message, 0, hint, held[0].source)


def _was_moved(history: Path) -> bool:
    try:
        with history.open("rb") as file:
            return any(_is_transition(line) for line in file.read(_HEAD).splitlines())
    except OSError:
        return False


def _is_transition(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and record.get("type") == "transition"
