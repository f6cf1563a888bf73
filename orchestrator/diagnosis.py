"""What is odd about a ticket or a board, in codes that scripts can test."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.block import Diagnosis
from orchestrator.files import read
from orchestrator.folders import normal_status
from orchestrator.frontmatter import Document
from orchestrator.markdown import heading, outside_code
from orchestrator.states import FolderRole

if TYPE_CHECKING:
    from orchestrator.board import Board
    from orchestrator.ticket import Ticket

__all__ = ["Diagnosis", "diagnose", "of_board", "of_ticket", "rejections"]

_RESTING = {FolderRole.COMPLETE, FolderRole.ARCHIVE, FolderRole.BACKLOG, FolderRole.HOLD}
_BOOLEAN = re.compile(r"(?:no|yes|on|off)\Z", re.IGNORECASE)
_CHAINED = re.compile(r"→|⇒|->|=>|,|;|/|\+|&|\||\band\b")
_RANGE = re.compile(r"\A\w+?[-_]\d{3,}-\d{3,}(?=\D|\Z)")
#: a line that gives a verdict: heading, bold, or bare `INSPECTOR VERDICT: …`
_VERDICT_LINE = re.compile(r"#{1,4}\s|\*\*|[^\w\s]*\s*INSPECTOR\b[\w #]*:")
_FAILED = re.compile(r"\[STATUS:\s*FAIL\]|\bINSPECTOR\b.*\bREJECT(?:ED|ION)\b")
#: instructions, summaries and clearances are no verdicts of a QA
_NO_VERDICT = re.compile(
    r"\b(?:if|when|append|reserved|clearance|pre-?screen|priority)\b|PASS\s*[|/]\s*FAIL|\[STATUS:\s*PASS\]",
    re.IGNORECASE,
)


def diagnose(thing: Ticket | Board | Document) -> list[Diagnosis]:
    """Everything odd about a document, a ticket, or a board with all its tickets."""
    from orchestrator.board import Board

    return of_board(thing) if isinstance(thing, Board) else list(thing.diagnoses)


# -- one ticket ----------------------------------------------------------------------------------


def of_ticket(ticket: Ticket, document: Document, limit: int = 2) -> list[Diagnosis]:
    """What is odd about one ticket, the gravest first. `limit` is the number of strikes allowed."""
    found = [*document.diagnoses]
    if ticket.note:
        return [d for d in found if d.code != "no-frontmatter"]
    if document.block is not None:
        found += _identity(ticket, document)
    found += [*_position(ticket, document), *_strikes(ticket, document, limit), *_values(document)]
    if ticket.depends_note:
        message = f"the dependency is prose: {ticket.depends_note}"
        line = next((n for key in _DEPENDS if (n := document.line_of(key))), 0)
        found.append(Diagnosis("depends-prose", message, line, "name ids only"))
    return found


_DEPENDS = ("depends_on", "blocked_by", "blocked_on", "prerequisite")


def _identity(ticket: Ticket, document: Document) -> Iterator[Diagnosis]:
    from orchestrator.ticket import ID_KEYS, id_from_name

    named = id_from_name(ticket.path.name)
    if not ticket.own_id:
        said = document.text(*ID_KEYS)
        code, why = (
            ("bad-id", f"no id can be {said[:40]!r}") if said else ("no-id", "there is no id")
        )
        yield Diagnosis(code, f"{why}; {ticket.id} is taken from the name", 1, f"id: {ticket.id}")
    elif _RANGE.match(ticket.id):
        message = f"{ticket.id} stands for several numbers"
        yield Diagnosis("id-range", message, document.line_of("id"))
    elif named and not (ticket.id == named or ticket.id.startswith((f"{named}-", f"{named}_"))):
        message = f"the file is named {named}, the id is {ticket.id}"
        yield Diagnosis("id-name", message, document.line_of("id"), "rename the file")
    for key, aliases in (("id", ("work_order_id", "wo")), ("owner", ("assigned_to",))):
        alias = next((a for a in aliases if document.meta.get(a)), "")
        if alias and not document.meta.get(key):
            yield Diagnosis("key-alias", f"`{alias}` is read as `{key}`", document.line_of(alias))
    owner = document.text("owner", "assigned_to")
    if _CHAINED.search(owner):
        line = document.line_of("owner") or document.line_of("assigned_to")
        hint = f"owner: {ticket.owner}"
        yield Diagnosis("owner-multiple", f"several owners; {ticket.owner} acts", line, hint)


def _position(ticket: Ticket, document: Document) -> Iterator[Diagnosis]:
    if not ticket.status or not ticket.folder:
        return
    line = document.line_of("status")
    place = normal_status(ticket.status)
    if ticket.status == ticket.folder.split("/")[0]:
        return
    hint = f"status: {ticket.folder}"
    if place is None:
        message = f"the status {ticket.status} names no place; the folder counts"
        yield Diagnosis("status-unknown", message, line, hint)
    elif ticket.role is not None and place is not ticket.role:
        message = f"the status says {ticket.status}, the folder is {ticket.folder}"
        yield Diagnosis("status-drift", message, line, hint)
    elif re.match(r"\d", ticket.status) and place is ticket.role:
        message = f"{ticket.status} is the old name of {ticket.folder}"
        yield Diagnosis("status-renumbered", message, line, hint)


def _strikes(ticket: Ticket, document: Document, limit: int) -> Iterator[Diagnosis]:
    line = document.line_of("failure_count")
    if ticket.failure_count >= limit and ticket.role not in _RESTING:
        message = f"{ticket.failure_count} failures and not on hold"
        yield Diagnosis("strike-limit", message, line, "put it on hold with a reason")
    failed = rejections(document.body)
    if failed > ticket.failure_count:
        message = f"{failed} rejections stand in the text, the count says {ticket.failure_count}"
        yield Diagnosis("failure-undercount", message, line, f"failure_count: {failed}")


def _values(document: Document) -> Iterator[Diagnosis]:
    """`no` and `yes` are true or false to one YAML library and words to the next."""
    for key, value in document.meta.items():
        if isinstance(value, bool) and _BOOLEAN.match(document.raw(key)):
            hint = f"{key}: {str(value).lower()}"
            message = f"`{key}: {document.raw(key)}` is read as {str(value).lower()}"
            yield Diagnosis("yaml-bool", message, document.line_of(key), hint)
            return


def rejections(body: str) -> int:
    """How many sections of the body say that QA rejected the work.

    A heading and a decision line below it count once.
    """
    if "FAIL" not in body and "REJECT" not in body:
        return 0
    count, counted = 0, False
    for _, line in outside_code(body.splitlines()):
        is_heading = heading(line) is not None
        counted = counted and not is_heading
        if not _VERDICT_LINE.match(line) or not _FAILED.search(line) or _NO_VERDICT.search(line):
            continue
        if not counted:
            count, counted = count + 1, True
    return count


# -- the board -----------------------------------------------------------------------------------


def of_board(board: Board) -> list[Diagnosis]:
    """What is odd about each ticket, and about the tickets together."""
    tickets = board.tickets()
    found = [replace(d, path=ticket.source) for ticket in tickets for d in ticket.diagnoses]
    by_id: dict[str, list[Ticket]] = defaultdict(list)
    for ticket in tickets:
        by_id[ticket.id].append(ticket)
    found += _twins(by_id)
    found += _missing(tickets, set(by_id))
    found += _cycles({t.id: t.depends_on for t in tickets})
    return found


def _twins(by_id: dict[str, list[Ticket]]) -> Iterator[Diagnosis]:
    for id, holders in by_id.items():
        if len(holders) < 2:
            continue
        places = ", ".join(t.source for t in holders)
        if len({t.path.name for t in holders}) > 1:
            hint = "give all but one another id"
            yield Diagnosis("duplicate-id", f"{id} is held by {places}", 0, hint)
        elif len({read(t.path) for t in holders}) == 1:
            hint = "remove the staler file"
            yield Diagnosis("twin", f"{id} lies twice, with the same content: {places}", 0, hint)
        else:
            hint = "a person decides which one counts"
            yield Diagnosis("twin", f"{id} lies twice, with different content: {places}", 0, hint)


def _missing(tickets: Sequence[Ticket], known: set[str]) -> Iterator[Diagnosis]:
    for ticket in tickets:
        named = (
            ("parent-missing", "parent", (ticket.parent,) if ticket.parent else ()),
            ("child-missing", "child", ticket.children),
            ("dependency-missing", "dependency", ticket.depends_on),
        )
        for code, word, ids in named:
            for id in ids:
                if id not in known:
                    message = f"the {word} {id} is not on the board"
                    yield Diagnosis(code, message, path=ticket.source)


def _cycles(edges: dict[str, tuple[str, ...]]) -> Iterator[Diagnosis]:
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        at: str | None = start
        stack: list[tuple[str, Iterator[str]]] = []
        while at is not None or stack:
            if at is not None and at in path:
                ring = " → ".join([*path[path.index(at) :], at])
                yield Diagnosis("dependency-cycle", f"tickets wait for each other: {ring}")
            elif at is not None and at not in done:
                path.append(at)
                stack.append((at, iter(edges.get(at, ()))))
            at = next(stack[-1][1], None) if stack else None
            if at is None and stack:
                done.add(stack.pop()[0])
                path.pop()
