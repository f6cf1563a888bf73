"""Line edits on a ticket's file, one per code; `repairs` tries each, and takes harmless ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestrator.domain import states
from orchestrator.domain.folders import Folders
from orchestrator.domain.states import Event, FolderRole, Who
from orchestrator.errors import IllegalMoveError
from orchestrator.markdown import frontmatter
from orchestrator.markdown.frontmatter import Value, quoted
from orchestrator.markdown.frontmatter_parser import (
    Block,
    Closing,
    Diagnosis,
    Entry,
    Line,
    bare,
    entries_in,
    is_plain,
    lines_of,
    load,
    locate,
    without_mark,
)
from orchestrator.storage.history import now
from orchestrator.tickets.diagnosis import count_rejections
from orchestrator.tickets.ticket import (
    CHILD_KEYS,
    CREATED_KEYS,
    DEPENDENCY_KEYS,
    OWNER_KEYS,
    PARENT_KEYS,
    Ticket,
)

#: what a bold line below no block may tell
_BOLD_KEYS = (
    *("status", "title", "priority", "failure_count", *OWNER_KEYS),
    *(*PARENT_KEYS, *CHILD_KEYS, *DEPENDENCY_KEYS, *CREATED_KEYS),
)
_ITEM = re.compile(r"([ \t]*-[ \t]+)(.*?)([ \t]*)\Z")
_GLUED = re.compile(r"---[ \t]*\Z")
_WORD = re.compile(r"(?:no|yes|on|off)\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Case:
    """One ticket and the trouble that is to be mended."""

    ticket: Ticket
    found: Diagnosis
    folders: Folders
    #: strikes that are allowed
    limit: int

    @property
    def at(self) -> int:
        """The line, 0-based."""
        return self.found.line - 1


class Text:
    """A file's lines, without a byte order mark and each with an end; `data` restores both."""

    def __init__(self, data: bytes) -> None:
        #: where the ticket is to be moved besides
        self.role: FolderRole | None = None
        self._take(data)

    def _take(self, data: bytes) -> None:
        lines = lines_of(data)
        self.mark = lines[0][: len(lines[0]) - len(without_mark(lines[0]))] if lines else ""
        ends = (line[len(bare(line)) :] for line in map(without_mark, lines))
        self.end = next((end for end in ends if end), "\n")
        self.torn = bool(lines) and not lines[-1].endswith(("\n", "\r"))
        self.lines = [without_mark(lines[0]), *lines[1:]] if lines else []
        if self.torn:
            self.lines[-1] += self.end

    @property
    def data(self) -> bytes:
        text = self.mark + "".join(self.lines)
        if self.torn:
            text = text.removesuffix(self.end)
        return text.encode("utf-8", "surrogateescape")

    @property
    def block(self) -> Block | None:
        return locate(self.lines)[0]

    def entries(self) -> tuple[Entry, ...]:
        block = self.block
        return entries_in(self.lines, block) if block else ()

    def entry(self, key: str) -> Entry | None:
        return next((e for e in reversed(self.entries()) if e.key == key), None)

    def insert(self, at: int, line: str) -> None:
        self.lines.insert(at, line + self.end)

    def put(self, key: str, value: Value) -> None:
        self._take(frontmatter.set_field(self.data, key, value))


# -- fences ----------------------------------------------------------------------------------------


def _open(text: Text, case: Case) -> bool:
    text.insert(case.at, "---")
    return True


def _close(text: Text, case: Case) -> bool:
    block = text.block
    if block is None or block.closing is not Closing.OPEN:
        return False
    at = block.last
    while at > block.first and not text.lines[at - 1].strip():
        at -= 1
    text.insert(at, "---")
    return True


def _unglue(text: Text, case: Case) -> bool:
    line = bare(text.lines[case.at])
    found = _GLUED.search(line)
    if found is None:
        return False
    ended = text.lines[case.at][len(line) :]
    text.lines[case.at : case.at + 1] = [line[: found.start()] + ended, found.group() + ended]
    return True


def _lower_banner(text: Text, case: Case) -> bool:
    block = text.block
    if block is None or block.closing is not Closing.FENCE:
        return False
    text.lines.insert(block.body - 1, text.lines.pop(case.at))
    return True


def _cut_blank(text: Text, case: Case) -> bool:
    filled = next((n for n, line in enumerate(text.lines) if line.strip()), 0)
    del text.lines[:filled]
    return filled > 0


def _add_block(text: Text, case: Case) -> bool:
    """The id, and what bold lines tell; an owner that nobody named is not made up."""
    meta, ticket = case.ticket.meta, case.ticket
    told = [(key, meta[key]) for key in _BOLD_KEYS if isinstance(meta.get(key), str) and meta[key]]
    keys = [f"id: {_written(ticket.id)}", *(f"{k}: {_written(v)}" for k, v in told)]
    text.lines[:0] = [f"{line}{text.end}" for line in ("---", *keys, "---", "")]
    return True


def _written(value: str) -> str:
    """A text on one line of YAML that any reader takes for that text."""
    value = value.encode("utf-8", "replace").decode("utf-8")
    plain = value.isprintable() and load(f"k: {value}\n")[0] == {"k": value}
    return value if is_plain(value) or plain else quoted(value)


# -- values ----------------------------------------------------------------------------------------


def _quote_colon(text: Text, case: Case) -> bool:
    line = bare(text.lines[case.at])
    if item := _ITEM.match(line):
        ended = text.lines[case.at][len(line) :]
        text.lines[case.at] = f"{item[1]}{quoted(item[2])}{item[3]}{ended}"
        return True
    held = Line.of(text.lines[case.at])
    if not held.value or held.value[0] in "\"'":
        return False
    text.lines[case.at] = held.with_value(quoted(held.value))
    return True


def _quote_whole(text: Text, case: Case) -> bool:
    held = Line.of(text.lines[case.at])
    if not held.value or not held.value.isprintable():
        return False
    text.lines[case.at] = held.with_value("'" + held.value.replace("'", "''") + "'")
    return True


def _drop_earlier(text: Text, case: Case) -> bool:
    earlier = next((e for e in text.entries() if e.start == case.at), None)
    last = text.entry(earlier.key) if earlier else None
    if earlier is None or last is None or last.start == earlier.start:
        return False
    one, other = _loaded(text, earlier), _loaded(text, last)
    agrees = last.key == "status" and _in_place(case)
    if not agrees and (one is None or one != other):
        return False
    del text.lines[earlier.start : earlier.end]
    return True


def _loaded(text: Text, entry: Entry) -> str | None:
    value, problem = load("".join(text.lines[entry.start : entry.end]))
    return None if problem else repr(value)


def _in_place(case: Case) -> bool:
    role = case.folders.role_of_status(case.ticket.status)
    return role is not None and role is case.ticket.role


def _add_id(text: Text, case: Case) -> bool:
    block = text.block
    if block is None:
        return False
    text.insert(block.first, f"id: {_written(case.ticket.id)}")
    return True


def _spell_out(text: Text, case: Case) -> bool:
    """`no` → `false`, wherever the reader takes it for that."""
    edits = list(_words(text, case.ticket))
    for at, line in edits:
        text.lines[at] = line
    return bool(edits)


def _words(text: Text, ticket: Ticket) -> Iterator[tuple[int, str]]:
    for entry in text.entries():
        value, held = ticket.meta.get(entry.key), Line.of(text.lines[entry.start])
        if isinstance(value, bool) and _WORD.match(held.value):
            yield entry.start, held.with_value(str(value).lower())


def _keep_first(text: Text, case: Case) -> bool:
    key = next((k for k in OWNER_KEYS if case.ticket.document.text(k)), "")
    if not text.entry(key) or "route" in case.ticket.meta:
        return False
    chain = " ".join(case.ticket.document.text(key).split())
    text.put(key, case.ticket.owner)
    return _insert_below(text, key, f"route: {_written(chain)}")


def _insert_below(text: Text, key: str, line: str) -> bool:
    entry = text.entry(key)
    if entry is not None:
        text.insert(entry.end, line)
    return entry is not None


# -- position --------------------------------------------------------------------------------------


def _follow_folder(text: Text, case: Case) -> bool:
    ticket = case.ticket
    if text.block is None or ticket.role is None:
        return False
    came = case.folders.role_of_status(ticket.status)
    text.put("status", ticket.folder.split("/")[0])
    held = ticket.role is FolderRole.HOLD and came not in (None, FolderRole.HOLD)
    if held and "held_from" not in ticket.meta:
        # the old status is the only trace of where it was
        _insert_below(text, "status", f"held_from: {_written(ticket.status)}")
    return True


def _name_ids(text: Text, case: Case) -> bool:
    keys = [k for k in DEPENDENCY_KEYS if case.ticket.meta.get(k)]
    if len(keys) != 1 or not text.entry(keys[0]) or "depends_note" in case.ticket.meta:
        return False
    text.put(keys[0], list(case.ticket.depends_on))
    return _insert_below(text, keys[0], f"depends_note: {_written(case.ticket.depends_note)}")


def _count_rejections(text: Text, case: Case) -> bool:
    if text.block is None:
        return False
    text.put("failure_count", count_rejections(case.ticket.body))
    return True


def _hold(text: Text, case: Case) -> bool:
    """DESIGN 3.2, strike out: on hold, with the reason and where it came from, for USER."""
    ticket, folders = case.ticket, case.folders
    if text.block is None or ticket.role is None:
        return False
    try:
        states.require(Who.CONDUCTOR, Event.STRIKE_OUT, ticket.role, FolderRole.HOLD)
    except IllegalMoveError:
        return False
    reason = f"{ticket.failure_count} failures, {case.limit} are allowed"
    text.put("status", folders.for_role(FolderRole.HOLD))
    text.put("owner", "USER")
    text.put("held_from", ticket.folder)
    text.put("held_at", now())
    text.put("hold_reason", ticket.document.text("hold_reason") or reason)
    text.role = FolderRole.HOLD
    return True


_STATUS = frozenset({"status"})
_HELD = frozenset({"status", "held_from"})


@dataclass(frozen=True)
class Edit:
    """How a text is edited (False: it cannot be), and what of the ticket may change by it."""

    make: Callable[[Text, Case], bool]
    #: what of the ticket's meaning it is there to change
    fields: frozenset[str] = frozenset()
    #: the keys that it writes ("*": any)
    keys: frozenset[str] = frozenset()


TO_FOLDER = Edit(_follow_folder, _STATUS, _HELD)
#: code → its edit, in the order in which they are made
EDITS: dict[str, Edit] = {
    "no-closing-fence": Edit(_close),
    "closing-fence-glued": Edit(_unglue),
    "no-opening-fence": Edit(_open),
    "banner-before-fence": Edit(_lower_banner),
    "blank-before-fence": Edit(_cut_blank),
    "yaml-colon": Edit(_quote_colon),
    "yaml-after-quote": Edit(_quote_whole),
    "duplicate-key": Edit(_drop_earlier),
    "no-frontmatter": Edit(_add_block, keys=frozenset({"*"})),
    "no-id": Edit(_add_id, keys=frozenset({"id"})),
    "yaml-bool": Edit(_spell_out),
    "owner-multiple": Edit(_keep_first, keys=frozenset({*OWNER_KEYS, "route"})),
    "status-unfinished": TO_FOLDER,
    "status-renumbered": TO_FOLDER,
    "status-drift": TO_FOLDER,
    "status-unknown": TO_FOLDER,
    "depends-prose": Edit(_name_ids, keys=frozenset({*DEPENDENCY_KEYS, "depends_note"})),
    "failure-undercount": Edit(
        _count_rejections, frozenset({"failure_count"}), frozenset({"failure_count"})
    ),
    "strike-limit": Edit(_hold, _STATUS | {"owner"}, _HELD | {"owner", "held_at", "hold_reason"}),
}
