"""The fixes of a ticket's file: each edits lines, and says what of the ticket it may change.

`fix_safety` tries them on a copy and keeps only what leaves the ticket's meaning as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain import states
from orchestrator.domain.folders import Folders
from orchestrator.domain.keys import KEYS
from orchestrator.domain.states import Event, FolderRole, Who
from orchestrator.errors import IllegalMoveError
from orchestrator.markdown import frontmatter
from orchestrator.markdown.frontmatter import Value, quoted
from orchestrator.markdown.frontmatter_parser import (
    Closing,
    Entry,
    FrontmatterBlock,
    Line,
    bare,
    entries_in,
    lines_of,
    locate,
    without_mark,
)
from orchestrator.markdown.problem import Diagnosis
from orchestrator.markdown.yaml_text import is_plain, load
from orchestrator.storage.history import now
from orchestrator.tickets.diagnosis import count_rejections
from orchestrator.tickets.ticket import Ticket

#: bold lines of a file without frontmatter that become keys
_BOLD_KEYS = (
    *("status", "title", "priority", "failure_count"),
    *(k for n in ("owner", "parent", "children", "depends_on", "created") for k in KEYS[n]),
)
#: what a fix may only change if it says so
_MEANING = (
    *("id", "title", "status", "owner", "parent", "children", "depends_on", "failure_count"),
    *("created", "priority", "workflow", "conducted", "note"),
)
_LIST_ITEM = re.compile(r"([ \t]*-[ \t]+)(.*?)([ \t]*)\Z")
_GLUED_FENCE = re.compile(r"---[ \t]*\Z")
_BOOLEAN_WORD = re.compile(r"(?:no|yes|on|off)\Z", re.IGNORECASE)


class Applicability(StrEnum):
    """Who decides that a fix is applied. The values are those of `--json`."""

    #: applied by `--fix`
    SAFE = "certain"
    #: applied by `--fix --with CODE`
    UNSAFE = "offered"
    #: a person does it
    DISPLAY_ONLY = ""


class EditableText:
    """A file's lines, without a byte order mark and each with an end; `data` restores both."""

    def __init__(self, data: bytes) -> None:
        #: where the ticket has to move as well
        self.role: FolderRole | None = None
        self._take(data)

    def _take(self, data: bytes) -> None:
        lines = lines_of(data)
        self.mark = lines[0][: len(lines[0]) - len(without_mark(lines[0]))] if lines else ""
        ends = (line[len(bare(line)) :] for line in map(without_mark, lines))
        self.end = next((end for end in ends if end), "\n")
        self.unterminated = bool(lines) and not lines[-1].endswith(("\n", "\r"))
        self.lines = [without_mark(lines[0]), *lines[1:]] if lines else []
        if self.unterminated:
            self.lines[-1] += self.end

    @property
    def data(self) -> bytes:
        text = self.mark + "".join(self.lines)
        if self.unterminated:
            text = text.removesuffix(self.end)
        return text.encode("utf-8", "surrogateescape")

    @property
    def block(self) -> FrontmatterBlock | None:
        return locate(self.lines)[0]

    def entries(self) -> tuple[Entry, ...]:
        block = self.block
        return entries_in(self.lines, block) if block else ()

    def entry(self, key: str) -> Entry | None:
        return next((e for e in reversed(self.entries()) if e.key == key), None)

    def lines_of(self, key: str) -> list[str]:
        entry = self.entry(key)
        return self.lines[entry.start : entry.end] if entry else []

    def insert(self, at: int, line: str) -> None:
        self.lines.insert(at, line + self.end)

    def insert_below(self, key: str, line: str) -> bool:
        entry = self.entry(key)
        if entry is not None:
            self.insert(entry.end, line)
        return entry is not None

    def set_field(self, key: str, value: Value) -> None:
        self._take(frontmatter.set_field(self.data, key, value))


@dataclass(frozen=True)
class FixContext:
    """A ticket, the diagnosis to fix, and what the board says about it."""

    ticket: Ticket
    found: Diagnosis
    folders: Folders
    failure_limit: int

    @property
    def at(self) -> int:
        """The line, 0-based."""
        return self.found.line - 1


@dataclass(frozen=True)
class Fix:
    """How a problem is fixed, and what of the ticket may change by it."""

    applicability: Applicability
    #: edits the text; False if it cannot. None: the file is moved, not edited
    edit: Callable[[EditableText, FixContext], bool] | None
    #: fields of the ticket that it is there to change
    fields: tuple[str, ...] = ()
    #: keys that it writes ("*": any)
    keys: tuple[str, ...] = ()
    #: safe where the ticket is complete or archived
    safe_when_finished: bool = False

    def keeps_meaning(self, before: Ticket, after: Ticket) -> bool:
        """Whether two readings of a ticket differ only in what the fix may change."""
        if any(getattr(before, n) != getattr(after, n) for n in _MEANING if n not in self.fields):
            return False
        records = [EditableText(t.document.data).lines_of("flow") for t in (before, after)]
        if records[0] != records[1]:
            return False
        written = [t.spelt.get(key, ()) for t in (before, after) for key in self.keys]
        keys = {*before.meta, *after.meta}.difference(self.keys, *written)
        # by repr, so that 1 and True differ
        same = (repr(before.meta.get(k, ...)) == repr(after.meta.get(k, ...)) for k in keys)
        return "*" in self.keys or all(same)


# -- fences ----------------------------------------------------------------------------------------


def insert_opening_fence(text: EditableText, context: FixContext) -> bool:
    text.insert(context.at, "---")
    return True


def insert_closing_fence(text: EditableText, context: FixContext) -> bool:
    block = text.block
    if block is None or block.closing is not Closing.OPEN:
        return False
    at = block.last
    while at > block.first and not text.lines[at - 1].strip():
        at -= 1
    text.insert(at, "---")
    return True


def split_glued_fence(text: EditableText, context: FixContext) -> bool:
    line = bare(text.lines[context.at])
    found = _GLUED_FENCE.search(line)
    if found is None:
        return False
    end = text.lines[context.at][len(line) :]
    text.lines[context.at : context.at + 1] = [line[: found.start()] + end, found.group() + end]
    return True


def move_banner_below(text: EditableText, context: FixContext) -> bool:
    block = text.block
    if block is None or block.closing is not Closing.FENCE:
        return False
    text.lines.insert(block.body - 1, text.lines.pop(context.at))
    return True


def delete_leading_blanks(text: EditableText, context: FixContext) -> bool:
    filled = next((n for n, line in enumerate(text.lines) if line.strip()), 0)
    del text.lines[:filled]
    return filled > 0


def insert_frontmatter(text: EditableText, context: FixContext) -> bool:
    """The id, and what bold lines say; an owner that nobody named is not made up."""
    meta = context.ticket.meta
    stated = [(key, meta[key]) for key in _BOLD_KEYS if isinstance(meta.get(key), str)]
    fields = [("id", context.ticket.local_id), *((key, value) for key, value in stated if value)]
    lines = ["---", *(f"{key}: {_as_yaml(value)}" for key, value in fields), "---", ""]
    text.lines[:0] = [line + text.end for line in lines]
    return True


def _as_yaml(value: str) -> str:
    """A text on one line of YAML that every reader takes for that text."""
    value = value.encode("utf-8", "replace").decode("utf-8")
    unquoted = value.isprintable() and load(f"k: {value}\n")[0] == {"k": value}
    return value if is_plain(value) or unquoted else quoted(value)


# -- values ----------------------------------------------------------------------------------------


def quote_value(text: EditableText, context: FixContext) -> bool:
    line = bare(text.lines[context.at])
    if item := _LIST_ITEM.match(line):
        end = text.lines[context.at][len(line) :]
        text.lines[context.at] = f"{item[1]}{quoted(item[2])}{item[3]}{end}"
        return True
    held = Line.of(text.lines[context.at])
    if not held.value or held.value[0] in "\"'":
        return False
    text.lines[context.at] = held.with_value(quoted(held.value))
    return True


def quote_whole_value(text: EditableText, context: FixContext) -> bool:
    held = Line.of(text.lines[context.at])
    if not held.value or not held.value.isprintable():
        return False
    text.lines[context.at] = held.with_value("'" + held.value.replace("'", "''") + "'")
    return True


def delete_earlier_key(text: EditableText, context: FixContext) -> bool:
    """Only where both say the same, or the last is a status that agrees with the folder."""
    earlier = next((e for e in text.entries() if e.start == context.at), None)
    last = text.entry(earlier.key) if earlier else None
    if earlier is None or last is None or last.start == earlier.start:
        return False
    ticket = context.ticket
    role = context.folders.role_of_status(ticket.status)
    if last.key != ticket.key_of("status") or role is None or role is not ticket.role:
        one, other = (load("".join(text.lines[e.start : e.end])) for e in (earlier, last))
        if one[1] or other[1] or repr(one[0]) != repr(other[0]):
            return False
    del text.lines[earlier.start : earlier.end]
    return True


def insert_id(text: EditableText, context: FixContext) -> bool:
    block = text.block
    if block is None:
        return False
    text.insert(block.first, f"id: {_as_yaml(context.ticket.local_id)}")
    return True


def spell_out_booleans(text: EditableText, context: FixContext) -> bool:
    """`no` → `false`, wherever the reader takes it for that."""
    changed = False
    for entry in text.entries():
        value, held = context.ticket.meta.get(entry.key), Line.of(text.lines[entry.start])
        if isinstance(value, bool) and _BOOLEAN_WORD.match(held.value):
            text.lines[entry.start] = held.with_value(str(value).lower())
            changed = True
    return changed


def keep_first_owner(text: EditableText, context: FixContext) -> bool:
    document = context.ticket.document
    key = context.ticket.key_of("owner")
    if not text.entry(key) or "route" in context.ticket.meta:
        return False
    chain = " ".join(document.text(key).split())
    text.set_field(key, context.ticket.owner)
    return text.insert_below(key, f"route: {_as_yaml(chain)}")


# -- position --------------------------------------------------------------------------------------


def says_at_rest(folders: Folders, ticket: Ticket) -> bool:
    """Whether its status says that nobody works on it, though it lies where work is done.

    Whether it is over is for a person to say: with another status it would be begun again.
    """
    said = folders.role_of_status(ticket.status)
    resting = ticket.role is not None and ticket.role.at_rest
    return said is not None and said.at_rest and not resting


def set_status_to_folder(text: EditableText, context: FixContext) -> bool:
    ticket = context.ticket
    if text.block is None or ticket.role is None or says_at_rest(context.folders, ticket):
        return False
    came_from = context.folders.role_of_status(ticket.status)
    text.set_field(ticket.key_of("status"), context.folders.status_for(ticket.role, ticket.folder))
    was_elsewhere = came_from not in (None, FolderRole.HOLD)
    if ticket.role is FolderRole.HOLD and was_elsewhere and "held_from" not in ticket.meta:
        # the old status is the only trace of where it was
        text.insert_below(ticket.key_of("status"), f"held_from: {_as_yaml(ticket.status)}")
    return True


def list_dependency_ids(text: EditableText, context: FixContext) -> bool:
    ticket = context.ticket
    keys = [k for k in ticket.spelt.get("depends_on", ["depends_on"]) if ticket.meta.get(k)]
    if len(keys) != 1 or not text.entry(keys[0]) or "depends_note" in ticket.meta:
        return False
    text.set_field(keys[0], list(ticket.depends_on))
    return text.insert_below(keys[0], f"depends_note: {_as_yaml(ticket.depends_note)}")


def count_failures(text: EditableText, context: FixContext) -> bool:
    if text.block is None:
        return False
    text.set_field("failure_count", count_rejections(context.ticket.body))
    return True


def put_on_hold(text: EditableText, context: FixContext) -> bool:
    """Strike out (DESIGN 3.2): on hold, with the reason and where it came from, for USER."""
    ticket = context.ticket
    if text.block is None or ticket.role is None:
        return False
    try:
        states.require(Who.CONDUCTOR, Event.STRIKE_OUT, ticket.role, FolderRole.HOLD)
    except IllegalMoveError:
        return False
    reason = f"{ticket.failure_count} failures, {context.failure_limit} are allowed"
    text.set_field(ticket.key_of("status"), context.folders.status_for(FolderRole.HOLD))
    text.set_field("owner", "USER")
    text.set_field("held_from", ticket.folder)
    text.set_field("held_at", now())
    text.set_field("hold_reason", ticket.document.text("hold_reason") or reason)
    text.role = FolderRole.HOLD
    return True
