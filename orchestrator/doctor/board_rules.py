"""What is odd about the tickets of a board together: copies, numbers, names of others, waiting."""

from __future__ import annotations

import difflib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.domain.states import FolderRole
from orchestrator.errors import OrchestrateError
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.frontmatter_parser import Diagnosis
from orchestrator.storage import atomic
from orchestrator.tickets.diagnosis import FINISHED
from orchestrator.tickets.id_grammar import ID_KEYS
from orchestrator.tickets.ticket import CHILD_KEYS, DEPENDENCY_KEYS, PARENT_KEYS, Ticket

if TYPE_CHECKING:
    from orchestrator.tickets.board import Board

_CONFLICT = re.compile(r"\.conflict-\d{8}T\d{6}.*\.md\Z", re.IGNORECASE)
_STARTED = {FolderRole.BUILD, FolderRole.QA, FolderRole.USER_REVIEW, FolderRole.COMPLETE}
#: no more ids of a ring are named, and no larger files are compared (lines)
_RING, _COMPARED = 12, 2000

Holders = Mapping[str, Sequence[Ticket]]


def of_tickets(tickets: Sequence[Ticket], wip_limit: int = 0) -> list[Diagnosis]:
    """What is odd about tickets together."""
    by_id: dict[str, list[Ticket]] = defaultdict(list)
    for ticket in tickets:
        by_id[ticket.id].append(ticket)
    found = [*_twins(by_id), *_numbers(by_id), *_missing(tickets, by_id)]
    found += [*_cycles(by_id), *_started(tickets, by_id), *_crowded(tickets, wip_limit)]
    found += _astray(tickets)
    return found


# -- copies and numbers --------------------------------------------------------------------------


def copies(holders: Sequence[Ticket]) -> Iterator[list[Ticket]]:
    """Of the files with one id, those that are the same ticket in several folders."""
    by_name: dict[str, list[Ticket]] = defaultdict(list)
    for ticket in holders:
        by_name[ticket.path.name].append(ticket)
    yield from (group for group in by_name.values() if len(group) > 1)


def newest_first(group: Sequence[Ticket]) -> list[Ticket]:
    """Copies of a ticket: first the one whose folder its status names, then by time."""
    return sorted(group, key=lambda t: (t.status == t.folder, changed(t)), reverse=True)


def changed(ticket: Ticket) -> float:
    """When the file was last written (seconds since 1970), 0 if it is gone."""
    try:
        return ticket.path.lstat().st_mtime
    except OSError:
        return 0.0


def same_bytes(group: Sequence[Ticket]) -> bool:
    """Whether all of these files can be read and hold the same."""
    try:
        return len({atomic.read(ticket.path) for ticket in group}) == 1
    except (OSError, OrchestrateError):
        return False


def _twins(by_id: Holders) -> Iterator[Diagnosis]:
    for id, holders in by_id.items():
        if len(holders) < 2:
            continue
        for group in copies(holders):
            yield _twin(id, group)
        names = {t.path.name for t in holders}
        if len(names) > 1:
            first = holders[0]
            yield Diagnosis(
                "duplicate-id",
                f"{id} is held by {', '.join(t.source for t in holders)}",
                first.line_of(*ID_KEYS),
                "give all but one another id",
                first.source,
            )


def _twin(id: str, group: list[Ticket]) -> Diagnosis:
    newest = max(group, key=changed)
    others = [t for t in group if t is not newest]
    places = ", ".join(f"{t.source} ({_time(changed(t))})" for t in others)
    where = f"{id} lies twice; newer: {newest.source} ({_time(changed(newest))}), older: {places}"
    if same_bytes(group):
        message, hint = f"{where}; with the same content", "remove the staler file"
        return Diagnosis("twin", message, 0, hint, newest.source)
    told = "; ".join(_difference(newest, other) for other in others)
    hint = "a person decides which one counts"
    return Diagnosis("twin", f"{where}; with different content: {told}", 0, hint, newest.source)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M") if seconds else "gone"


def _difference(newer: Ticket, older: Ticket) -> str:
    """How two copies differ: keys, and how many lines from which one on."""
    try:
        one, other = atomic.read(newer.path), atomic.read(older.path)
    except (OSError, OrchestrateError):
        return "one of them cannot be read"
    a, b = Document.parse(one), Document.parse(other)
    keys = sorted(k for k in {*a.meta, *b.meta} if a.meta.get(k) != b.meta.get(k))
    if max(len(a.lines), len(b.lines)) > _COMPARED:
        told = "too long to compare"
    else:
        told = _lines_changed(b.lines, a.lines)
    return ", ".join([*(f"`{key}`" for key in keys[:6]), told])


def _lines_changed(older: Sequence[str], newer: Sequence[str]) -> str:
    steps = difflib.SequenceMatcher(None, older, newer, autojunk=False).get_opcodes()
    changes = [step for step in steps if step[0] != "equal"]
    gone = sum(a_end - a for _, a, a_end, _, _ in changes)
    new = sum(b_end - b for _, _, _, b, b_end in changes)
    at = f" from line {changes[0][3] + 1} on" if changes else ""
    return f"{new} lines only in the newer, {gone} only in the older{at}"


def _numbers(by_id: Holders) -> Iterator[Diagnosis]:
    """`WO_012`, `WO-012` and `WO-12` are three tickets with one number."""
    alike: dict[str, list[str]] = defaultdict(list)
    for id in by_id:
        alike[re.sub(r"(?<![\d.])0+(?=\d)", "", id.casefold().replace("_", "-"))].append(id)
    for ids in alike.values():
        if len(ids) > 1:
            first, *others = ids
            held = ", ".join(f"{id} ({by_id[id][0].source})" for id in others)
            ticket = by_id[first][0]
            message = f"{first} has the number of {held}"
            hint = "give one of them another number"
            yield Diagnosis("number-reused", message, ticket.line_of(*ID_KEYS), hint, ticket.source)


# -- what tickets say of each other --------------------------------------------------------------


def _missing(tickets: Sequence[Ticket], known: Holders) -> Iterator[Diagnosis]:
    for ticket in tickets:
        named = (
            ("parent-missing", PARENT_KEYS, (ticket.parent,) if ticket.parent else ()),
            ("child-missing", CHILD_KEYS, ticket.children),
            ("dependency-missing", DEPENDENCY_KEYS, ticket.depends_on),
        )
        for code, keys, ids in named:
            for id in ids:
                if id not in known:
                    message = f"the {code.partition('-')[0]} {id} is not on the board"
                    hint = "name one that is there, or bring it back"
                    yield Diagnosis(code, message, ticket.line_of(*keys), hint, ticket.source)


def _cycles(by_id: Holders) -> Iterator[Diagnosis]:
    edges = {id: list(dict.fromkeys(d for t in held for d in t.depends_on))
             for id, held in by_id.items()}  # fmt: skip
    done: set[str] = set()
    for start in edges:
        if start not in done:
            for ring in _rings(start, edges, done):
                shown = ring if len(ring) <= _RING else [*ring[:_RING], "…", ring[-1]]
                ticket = by_id[ring[0]][0]
                yield Diagnosis(
                    "dependency-cycle",
                    f"tickets wait for each other: {' → '.join(shown)}",
                    ticket.line_of(*DEPENDENCY_KEYS),
                    "take one of them out of `depends_on`",
                    ticket.source,
                )


def _rings(start: str, edges: Mapping[str, list[str]], done: set[str]) -> Iterator[list[str]]:
    """The rings that are met on a walk from `start`; a board may be one long chain."""
    path, depth = [start], {start: 0}
    stack = [iter(edges[start])]
    while stack:
        at = next(stack[-1], None)
        if at is None:
            stack.pop()
            gone = path.pop()
            del depth[gone]
            done.add(gone)
        elif at in depth:
            yield [*path[depth[at] :], at]
        elif at in edges and at not in done:
            depth[at] = len(path)
            path.append(at)
            stack.append(iter(edges[at]))


def _started(tickets: Sequence[Ticket], by_id: Holders) -> Iterator[Diagnosis]:
    """DESIGN 3.4: what a ticket waits for is complete before it is built."""
    for ticket in tickets:
        if ticket.role not in _STARTED:
            continue
        for id in ticket.depends_on:
            held = by_id.get(id, ())
            if not held or any(t.role in FINISHED for t in held) or _related(ticket, held[0]):
                continue
            message = f"in {ticket.folder}, but {id}, which it waits for, is in {held[0].folder}"
            hint = f"finish {id} first, or take it out of `depends_on`"
            line = ticket.line_of(*DEPENDENCY_KEYS)
            yield Diagnosis("dependency-open", message, line, hint, ticket.source)


def _related(one: Ticket, other: Ticket) -> bool:
    """Whether two tickets are of one family: there the workflow orders, nothing else."""
    if (
        one.parent == other.id
        or other.parent == one.id
        or (one.parent and one.parent == other.parent)
    ):
        return True
    return other.id in one.children or one.id in other.children


# -- the board as a whole ------------------------------------------------------------------------


def _astray(tickets: Sequence[Ticket]) -> Iterator[Diagnosis]:
    """Tickets on the board itself, in a folder without a role, or below a working folder."""
    for ticket in tickets:
        if ticket.role is None:
            message = f"{ticket.folder or 'the board itself'} is no state of the board"
            hint = "move it to a known folder, or name this one under [board.folders]"
            yield Diagnosis("unknown-folder", message, 0, hint, ticket.source)


def _crowded(tickets: Sequence[Ticket], limit: int) -> Iterator[Diagnosis]:
    built = [t for t in tickets if t.role is FolderRole.BUILD]
    if limit and len(built) > limit:
        ids = ", ".join(sorted({t.id for t in built})[:_RING])
        more = " …" if len(built) > _RING else ""
        yield Diagnosis(
            "wip-limit",
            f"{len(built)} tickets are in BUILD, {limit} may be: {ids}{more}",
            0,
            "finish or shelve some, or raise wip_limit",
            os.path.dirname(built[0].source),  # noqa: PTH120 - a text
        )


def stale(tickets: Sequence[Ticket], days: int, now: datetime) -> Iterator[Diagnosis]:
    """Tickets that nobody conducts and that have waited for USER for so many days; 0: none."""
    for ticket in tickets if days else ():
        if ticket.role is FolderRole.USER_REVIEW:
            since = datetime.fromtimestamp(changed(ticket), UTC)
            if found := waiting(ticket.source, since, days, now):
                yield found


def waiting(source: str, since: datetime, days: int, now: datetime) -> Diagnosis | None:
    """That a ticket has waited for USER since then, if that is `days` or longer."""
    waited = (now - since).days
    if not days or waited < days:
        return None
    message = f"waits for USER for {waited} days (since {since:%Y-%m-%d})"
    hint = "answer it, put it on hold, or send it back"
    return Diagnosis("stale", message, 0, hint, source)


def _below(board: Board, path: str) -> str:
    return os.path.relpath(path, board.root).replace(os.sep, "/")


def of_folders(board: Board) -> Iterator[Diagnosis]:
    """Folders that cannot be read, and versions that could not be merged and were set aside."""
    pending = [os.fspath(board.path)]
    while pending:
        folder = pending.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError as exc:
            message = f"the folder cannot be read: {exc.strerror}; its tickets are not seen"
            yield Diagnosis("unreadable", message, 0, "check its rights", _below(board, folder))
            continue
        for entry in entries:
            if entry.name[0] != "." and entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            elif ".conflict-" in entry.name and _CONFLICT.search(entry.name):
                message = "a version of a ticket that could not be merged was set aside here"
                hint = "take what you need from it into the ticket, then delete this file"
                source = _below(board, entry.path)
                yield Diagnosis("conflict-file", message, 0, hint, source)
