"""What is wrong with conducted families: their record against what is on the board."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from orchestrator.doctor.board_view import BoardView
from orchestrator.domain.answer import AnswerVerb, verb_of
from orchestrator.domain.record import Flow, Place, State
from orchestrator.domain.states import Event, FolderRole, requested_event
from orchestrator.errors import UnsafePathError
from orchestrator.family.intact import find_damage
from orchestrator.family.workflow_discovery import referenced
from orchestrator.markdown.problem import Diagnosis
from orchestrator.storage.atomic import read
from orchestrator.storage.history import FOLDER, History

#: a history's first transition is within so many bytes
_HEAD = 1 << 16


def find_broken_records(view: BoardView) -> Iterator[Diagnosis]:
    """Records that cannot be read, and families whose history goes on without one."""
    for family in view.families:
        if family.flow is None:
            hint = "undo the edit of the flow: block (git has the last version)"
            line = family.parent.line_of("flow")
            source = family.parent.source
            yield Diagnosis("record-broken", family.problem, line, hint, source)
    conducted = {family.parent.id for family in view.families}
    for history in sorted((view.board.path / FOLDER).glob("*.jsonl")):
        held = view.by_id.get(history.stem, ())
        if held and history.stem not in conducted and _has_transition(history):
            message = "the family is conducted (its history says so), but the record is gone"
            hint = "restore the flow: block from the last version in git"
            yield Diagnosis("record-broken", message, 0, hint, held[0].source)


def find_damaged_histories(view: BoardView) -> Iterator[Diagnosis]:
    """Receipts with the marks of a merge, with lines that are not records, or altered ones."""
    records = {family.parent.id: family.parent.flow for family in view.families}
    histories = {path.stem for path in (view.board.path / FOLDER).glob("*.jsonl")}
    for parent in sorted(histories | set(records)):
        history = History(view.board.path, parent)
        path = history.path
        if found := find_damage(history, records.get(parent), view.settings.trust.keys):
            source = path.relative_to(view.board.root).as_posix()
            yield Diagnosis(found.code, found.message, found.line, found.hint, source)


def _has_transition(history: Path) -> bool:
    try:
        lines = read(history)[:_HEAD].splitlines()
    except (OSError, UnsafePathError):
        return False
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("type") == "transition":
            return True
    return False


def find_open_boxes(view: BoardView) -> Iterator[Diagnosis]:
    """Complete tickets with open boxes; of a conducted family only those without a receipt.

    The others failed or are unproven, and USER took them.
    """
    for ticket in view.tickets:
        for found in (d for d in ticket.diagnoses if d.code == "boxes-open"):
            parent = view.parents.get(ticket.id)
            if parent is None:
                yield replace(found, path=ticket.source)
                continue
            judged = {
                record["statement"]["text"]
                for record in History(view.board.path, parent).of("receipt")
                if record["statement"]["ticket"] == ticket.id
            }
            demanded = ticket.criteria(view.board.criteria_headings).demanded
            boxes = {box.line + 1 for box in ticket.boxes() if not box.ticked}
            missed = [s for s in demanded if s.line in boxes and s.text not in judged]
            if missed:
                message = f"complete, but never judged: {len(missed)} of {len(demanded)} criteria"
                yield replace(found, message=message, line=missed[0].line, path=ticket.source)


def find_missing_workflows(view: BoardView) -> Iterator[Diagnosis]:
    """Families that are not at their end and whose workflow file is gone."""
    for parent, flow in view.readable_families():
        if not flow.state.ended and not referenced(view.board.root, flow.workflow).is_file():
            message, line = f"the workflow {flow.workflow} is gone", parent.line_of("flow")
            yield Diagnosis("workflow-missing", message, line, "restore the file", parent.source)


def find_member_problems(view: BoardView) -> Iterator[Diagnosis]:
    """Members that are missing, elsewhere, or whose requested status cannot be carried out."""
    for parent, flow in view.readable_families():
        for member, place in flow.members.items():
            held = [parent] if member == parent.id else view.by_id.get(member, [])
            if not held:
                message = f"{member} is not on the board; the record has it in {place.at}"
                hint = "restore its file (git log --diff-filter=D), or archive the family"
                line = parent.line_of("flow")
                yield Diagnosis("member-missing", message, line, hint, parent.source)
            if len(held) != 1:
                continue
            ticket = held[0]
            folders = view.board.folders
            if folders.place_for(ticket.folder, place.at) != ticket.folder:
                message = f"is in {ticket.folder or 'no folder'}, the record has it in {place.at}"
                hint = "the next run moves it back; to move it, edit `status:` in the file"
                yield Diagnosis("member-elsewhere", message, 0, hint, ticket.source)
            role, status = folders.role_of_status(ticket.status), ticket.status
            known = filter(None, (place.at, place.was))
            if not status or any(folders.says(status, each) for each in known):
                continue
            if not _can_be_requested(ticket.status, role, flow, place, ticket is parent):
                message = f"the status {ticket.status} cannot be carried out now"
                word = folders.status_for(place.at, ticket.folder)
                hint = f"{ticket.key_of('status')}: {word}, or one that is legal from there"
                line = ticket.line_of("status")
                yield Diagnosis("wish-refused", message, line, hint, ticket.source)


def find_left_children(view: BoardView) -> Iterator[Diagnosis]:
    """Children of a complete family that were never conducted, so that nobody judged them."""
    ended = {parent.id for parent, flow in view.readable_families() if flow.state.ended}
    for ticket in view.tickets:
        conducted = ticket.conducted or ticket.id in view.parents
        if ticket.parent in ended and not conducted and ticket.role is not FolderRole.ARCHIVE:
            message = f"{ticket.parent} is complete, and this child was never conducted"
            line = ticket.line_of("parent")
            hint = f"orchestrate reopen {ticket.parent}; or give the child an id of its own and "
            yield Diagnosis("child-left", message, line, hint + "no parent", ticket.source)


def _can_be_requested(
    status: str, role: FolderRole | None, flow: Flow, place: Place, is_parent: bool
) -> bool:
    """Whether the next run carries out a status that a person wrote (DESIGN 2.2, 7.2)."""
    if flow.question is not None:
        verb = verb_of(status)
        answers = verb is not None or role is FolderRole.COMPLETE
        if verb is AnswerVerb.CHANGES_REQUESTED or (is_parent and answers):
            return True
    event = requested_event(place.at, role) if role is not None else None
    if event is Event.RESUME:
        return role is place.held_from
    if event in (Event.ARCHIVE, Event.SHELVE, Event.UNSHELVE, Event.REOPEN):
        return is_parent
    handed_over = role is FolderRole.QA and flow.state is State.NEEDS_PERSON
    return event is Event.HOLD or handed_over
