"""What is wrong with the tickets of a board together: copies, numbers, references, waiting."""

from __future__ import annotations

import difflib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.doctor.board_view import BoardView
from orchestrator.domain.graph import break_cycles
from orchestrator.domain.id_grammar import begins_with, id_from_name, is_named_after
from orchestrator.domain.states import FolderRole
from orchestrator.errors import OrchestrateError
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.problem import Diagnosis
from orchestrator.storage import atomic
from orchestrator.tickets.diagnosis import ids_said_otherwise
from orchestrator.tickets.ticket import Ticket

_CONFLICT = re.compile(r"\.conflict-\d{8}T\d{6}.*\.md\Z", re.IGNORECASE)
#: markdown by names that a board is not read from
_OTHER_MARKDOWN = (".markdown", ".mdown", ".mdwn", ".mkd", ".mkdn", ".mdx")
#: at most so many ids are listed in a message
_LISTED = 12
#: longer files are not compared (lines)
_COMPARED = 2000


# -- copies and numbers --------------------------------------------------------------------------


def copies(holders: Sequence[Ticket]) -> list[list[Ticket]]:
    """Of the files with one id, those that are the same ticket in several folders."""
    by_name: dict[str, list[Ticket]] = defaultdict(list)
    for ticket in holders:
        by_name[ticket.path.name].append(ticket)
    return [group for group in by_name.values() if len(group) > 1]


def modified(ticket: Ticket) -> float:
    """When the file was last written (seconds since 1970), 0 if it is gone."""
    try:
        return ticket.path.lstat().st_mtime
    except OSError:
        return 0.0


def same_bytes(group: Sequence[Ticket]) -> bool:
    """Whether all of these files can be read and have the same content."""
    try:
        return len({atomic.read(ticket.path) for ticket in group}) == 1
    except (OSError, OrchestrateError):
        return False


def find_copies(view: BoardView) -> Iterator[Diagnosis]:
    """One ticket in two folders, and one id in two different files."""
    for id, holders in view.by_id.items():
        for group in copies(holders):
            newest = max(group, key=modified)
            others = [t for t in group if t is not newest]
            older = ", ".join(f"{t.source} ({_minute(t)})" for t in others)
            message = (
                f"{id} exists twice; newer: {newest.source} ({_minute(newest)}), older: {older}"
            )
            if same_bytes(group):
                message, hint = f"{message}; with the same content", "remove the older file"
            else:
                differences = "; ".join(_compare(newest, other) for other in others)
                message = f"{message}; with different content: {differences}"
                hint = "decide which one counts"
            yield Diagnosis("twin", message, 0, hint, newest.source)
        if len({t.path.name for t in holders}) > 1:
            message = f"{id} is held by {', '.join(t.source for t in holders)}"
            line = holders[0].line_of("id")
            hint = "give all but one another id"
            yield Diagnosis("duplicate-id", message, line, hint, holders[0].source)


def _minute(ticket: Ticket) -> str:
    seconds = modified(ticket)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M") if seconds else "gone"


def _compare(newer: Ticket, older: Ticket) -> str:
    """How two copies differ: keys, and how many lines from which one on."""
    try:
        new, old = (Document.parse(atomic.read(t.path)) for t in (newer, older))
    except (OSError, OrchestrateError):
        return "one of them cannot be read"
    keys = sorted(k for k in {*new.meta, *old.meta} if new.meta.get(k) != old.meta.get(k))
    if max(len(new.lines), len(old.lines)) > _COMPARED:
        lines = "too long to compare"
    else:
        matcher = difflib.SequenceMatcher(None, old.lines, new.lines, autojunk=False)
        changes = [step for step in matcher.get_opcodes() if step[0] != "equal"]
        gone = sum(end - start for _, start, end, _, _ in changes)
        added = sum(end - start for _, _, _, start, end in changes)
        at = f" from line {changes[0][3] + 1} on" if changes else ""
        lines = f"{added} lines only in the newer, {gone} only in the older{at}"
    return ", ".join([*(f"`{key}`" for key in keys[:6]), lines])


def find_reused_numbers(view: BoardView) -> Iterator[Diagnosis]:
    """`WO_012`, `WO-012` and `WO-12` are three tickets with one number."""
    alike: dict[str, list[str]] = defaultdict(list)
    for id in view.by_id:
        alike[re.sub(r"(?<![\d.])0+(?=\d)", "", id.casefold().replace("_", "-"))].append(id)
    for first, *others in alike.values():
        if others:
            ticket = view.by_id[first][0]
            held = ", ".join(f"{id} ({view.by_id[id][0].source})" for id in others)
            message = f"{first} has the number of {held}"
            hint = "give one of them another number"
            line = ticket.line_of("id")
            yield Diagnosis("number-reused", message, line, hint, ticket.source)


def doubtful_ids(view: BoardView) -> Iterator[str]:
    """The sources of tickets without `id:` for which a title, a key or a ticket says another."""
    refers = {r for t in view.tickets for r in (t.parent, *t.children, *t.depends_on)}
    missing = [reference for reference in refers if reference and reference not in view.by_id]
    for ticket in view.tickets:
        if ticket.own_id or not any(d.code == "no-id" for d in ticket.diagnoses):
            continue
        name, id = ticket.path.name, ticket.local_id
        meant = any(
            begins_with(name, r) or (id_from_name(r) and is_named_after(r, id)) for r in missing
        )
        try:
            if len(view.by_id[ticket.id]) > 1 or meant or ids_said_otherwise(ticket):
                yield ticket.source
        except (OSError, OrchestrateError):
            yield ticket.source


# -- references ----------------------------------------------------------------------------------


def find_missing_references(view: BoardView) -> Iterator[Diagnosis]:
    """Parents, children and dependencies that are not on the board."""
    for ticket in view.tickets:
        references = (
            ("parent", "parent", (ticket.parent,) if ticket.parent else ()),
            ("child", "children", ticket.children),
            ("dependency", "depends_on", ticket.depends_on),
        )
        for kind, key, ids in references:
            for id in ids:
                if id not in view.by_id:
                    message = f"the {kind} {id} is not on the board"
                    line = ticket.line_of(key)
                    hint = "name an existing ticket, or restore this one"
                    yield Diagnosis(f"{kind}-missing", message, line, hint, ticket.source)


def find_unread_dependencies(view: BoardView) -> Iterator[Diagnosis]:
    """Tickets of the board that a text names as what it waits for, and no key does."""
    for ticket in view.tickets:
        if ticket.role is None or not ticket.role.at_rest:
            for unread in view.board.unread_dependencies(ticket):
                message = f"“{unread.texts[0]}” is {unread.why}"
                hint = "write it under `depends_on:`"
                line = unread.lines[0]
                yield Diagnosis("dependency-unread", message, line, hint, ticket.source)


def find_dependency_cycles(view: BoardView) -> Iterator[Diagnosis]:
    """Tickets that wait for each other."""
    graph = {id: [d for t in held for d in t.depends_on] for id, held in view.by_id.items()}
    for cycle in break_cycles(graph)[1]:
        shown = cycle if len(cycle) <= _LISTED else [*cycle[:_LISTED], "…", cycle[-1]]
        ticket = view.by_id[cycle[0]][0]
        message = f"tickets wait for each other: {' → '.join(shown)}"
        line = ticket.line_of("depends_on")
        hint = "take one of them out of `depends_on`"
        yield Diagnosis("dependency-cycle", message, line, hint, ticket.source)


def find_open_dependencies(view: BoardView) -> Iterator[Diagnosis]:
    """Tickets begun before what they wait for was complete (DESIGN 3.4)."""
    started = [t for t in view.tickets if t.role and t.role.started]
    for ticket, id in ((t, id) for t in started for id in t.depends_on):
        held = view.by_id.get(id, ())
        finished = any(t.role and t.role.finished for t in held)
        if not held or finished or _same_family(ticket, held[0]):
            continue
        message = f"in {ticket.state}, but {id}, which it waits for, is in {held[0].state}"
        hint = f"finish {id} first, or take it out of `depends_on`"
        line = ticket.line_of("depends_on")
        yield Diagnosis("dependency-open", message, line, hint, ticket.source)


def _same_family(one: Ticket, other: Ticket) -> bool:
    """Whether two tickets are of one family; there the workflow sets the order."""
    parents = {one.parent, other.parent}
    return (
        one.id in {other.parent, *other.children}
        or other.id in {one.parent, *one.children}
        or (len(parents) == 1 and parents != {""})
    )


# -- the board as a whole ------------------------------------------------------------------------


def find_tickets_outside_states(view: BoardView) -> Iterator[Diagnosis]:
    """Tickets on the board itself, in a folder without a role, or below a working folder."""
    for ticket in () if view.board.folders.by_status else view.tickets:
        if ticket.role is None:
            message = f"{ticket.folder or 'the board itself'} is not a state of the board"
            hint = "move it to a known folder, or name this one under [board.folders]"
            yield Diagnosis("unknown-folder", message, 0, hint, ticket.source)


def find_too_many_in_build(view: BoardView) -> Iterator[Diagnosis]:
    """More tickets in BUILD than `wip_limit` allows; 0 allows any number."""
    limit = view.settings.wip_limit
    built = [t for t in view.tickets if t.role is FolderRole.BUILD]
    if limit and len(built) > limit:
        ids = ", ".join(sorted({t.id for t in built})[:_LISTED])
        more = " …" if len(built) > _LISTED else ""
        message = f"{len(built)} tickets are in BUILD, the limit is {limit}: {ids}{more}"
        hint = "finish or shelve some, or raise wip_limit"
        yield Diagnosis("wip-limit", message, 0, hint, built[0].source.rpartition("/")[0])


def find_stale(view: BoardView) -> Iterator[Diagnosis]:
    """Tickets that have waited for USER for `stale_days` or longer; 0 finds none.

    A conducted family has waited since its question was asked, any other ticket since it was saved.
    """
    since: dict[str, datetime] = {}
    for ticket in view.tickets:
        if ticket.role is FolderRole.USER_REVIEW and ticket.id not in view.parents:
            since[ticket.source] = datetime.fromtimestamp(modified(ticket), UTC)
    for family in view.families:
        if family.flow is not None and family.flow.question is not None:
            try:
                asked = datetime.fromisoformat(family.flow.question.asked.replace("Z", "+00:00"))
            except ValueError:
                continue
            since[family.parent.source] = asked if asked.tzinfo else asked.replace(tzinfo=UTC)
    days = view.settings.stale_days
    for source, start in since.items() if days else ():
        waited = (view.now - start).days
        if waited >= days:
            message = f"has waited for USER for {waited} days (since {start:%Y-%m-%d})"
            hint = "answer it, put it on hold, or send it back"
            yield Diagnosis("stale", message, 0, hint, source)


def find_in_folders(view: BoardView) -> Iterator[Diagnosis]:
    """Folders that cannot be read, versions that were set aside, markdown by other names."""
    root = view.board.root
    pending = [os.fspath(view.board.path)]
    while pending:
        folder = pending.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError as exc:
            message = f"the folder cannot be read: {exc.strerror}; its tickets are not seen"
            source = os.path.relpath(folder, root).replace(os.sep, "/")
            yield Diagnosis("unreadable", message, 0, "check its permissions", source)
            continue
        for entry in entries:
            if entry.name[0] != "." and entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            elif _CONFLICT.search(entry.name):
                message = "a version of a ticket that could not be merged was set aside here"
                hint = "take what you need from it into the ticket, then delete this file"
                source = os.path.relpath(entry.path, root).replace(os.sep, "/")
                yield Diagnosis("conflict-file", message, 0, hint, source)
            elif entry.name[0] != "." and entry.name.lower().endswith(_OTHER_MARKDOWN):
                file = Path(entry.path)
                if view.board.folders.is_ignored(file.relative_to(view.board.path).parts[0]):
                    continue
                name = file.with_suffix(".md").name
                message = "is not read: tickets are `.md` files"
                hint = f"rename it to {name}, or move it elsewhere if it is no ticket"
                source = file.relative_to(root).as_posix()
                yield Diagnosis("other-suffix", message, 0, hint, source)
