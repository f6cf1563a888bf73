"""Where a ticket's frontmatter is and what it says, however it was written."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from orchestrator.markdown.other_keys import find_other_keys
from orchestrator.markdown.problem import Diagnosis
from orchestrator.markdown.yaml_text import REFUSED, load

_BOM = "\ufeff"
_FENCE = re.compile(r"---[ \t]*\Z")
_KEY = re.compile(r"""(["']?)(?P<key>[^\W\d][\w.-]*(?: [\w.-]+)*)\1[ \t]*:(?=[ \t]|\Z)""")
#: a scalar with nothing but a comment behind it
_QUOTED = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')(?=\s*\Z|\s+#)""")
_GLUED = re.compile(r"(?<=[^\s-])---[ \t]*\Z")
#: the beginning of most files, and a blank line, which may change where the block ends
_USUAL_HEAD = re.compile(rb"---\n[A-Za-z_]\w*:(?:[ \n]|\Z)")
_BLANK = re.compile(rb"\n[\s\x1c-\x1f]*(?:\n|\Z)")
#: the most lines of a block, and how far to look ahead for its end
_LONGEST, _AHEAD = 2000, 200
_NO_TABS = "replace the tab by spaces"
#: how much of a line a message shows
_SHOWN = 60
#: keys that distinguish a ticket's block from prose with a colon
_TICKET_KEYS = {
    "id", "wo", "work_order_id", "status", "owner", "assigned_to", "title", "priority", "created",
    "failure_count", "parent", "parent_ticket", "depends_on", "description", "name",
}  # fmt: skip


class Closing(StrEnum):
    """How a block ends."""

    FENCE = "fence"
    #: `status: 04_QA---`
    GLUED = "glued"
    #: nothing closes it: it ends where the keys end
    OPEN = "open"


@dataclass(frozen=True)
class FrontmatterBlock:
    """Lines `first:last` (0-based) hold the keys; `body` is the first line after the block."""

    first: int
    last: int
    body: int
    closing: Closing = Closing.FENCE


class Entry(NamedTuple):
    """A key at column 0 with its lines `start:end` (0-based, comments after it left out)."""

    key: str
    start: int
    end: int


def lines_of(data: bytes) -> list[str]:
    """Lines with their ends; bytes that are not UTF-8 become surrogates."""
    # str.splitlines would also split at U+2028 and form feeds, which are content
    return [line.decode("utf-8", "surrogateescape") for line in data.splitlines(keepends=True)]


def without_mark(text: str) -> str:
    """The text without a byte order mark at its start."""
    return text.removeprefix(_BOM)


def bare(line: str) -> str:
    """A line without BOM and line end."""
    return line.removeprefix(_BOM).rstrip("\r\n")


def is_fence(line: str) -> bool:
    """Whether the line is `---` at column 0."""
    return "---" in line[:4] and _FENCE.match(bare(line)) is not None


def _key_of(line: str) -> str:
    found = _KEY.match(bare(line))
    return found["key"] if found else ""


def _next_filled(lines: list[str], at: int) -> int:
    while at < len(lines) and not bare(lines[at]).strip():
        at += 1
    return at


def locate(lines: list[str]) -> tuple[FrontmatterBlock | None, list[Diagnosis]]:
    """Where the block is, and what is wrong with its fences."""
    first = _next_filled(lines, 0)
    if first == len(lines):
        return None, [Diagnosis("empty", "the file is empty")]
    if is_fence(lines[first]):
        return _fenced(lines, first)
    key = _key_of(lines[first])
    fence = _next_filled(lines, first + 1)
    if not key and fence < len(lines) and is_fence(lines[fence]):
        # one line of banner, if a ticket's key follows its fence
        below = _next_filled(lines, fence + 1)
        if below < len(lines) and _key_of(lines[below]).lower() in _TICKET_KEYS:
            block, found = _fenced(lines, fence)
            message = "there is a line above the opening ---"
            hint = "move the line below the closing ---"
            banner = Diagnosis("banner-before-fence", message, first + 1, hint)
            return block, [banner, *(d for d in found if d.code != "blank-before-fence")]
    if key.lower() in _TICKET_KEYS:
        block = _close(lines, first)
        if block.closing is Closing.FENCE:
            message = "the keys begin without ---"
            return block, [Diagnosis("no-opening-fence", message, first + 1, "insert --- above")]
    if unread := find_other_keys(lines, first):
        return None, [Diagnosis("keys-unread", *unread)]
    message = "there is no block between --- lines"
    return None, [Diagnosis("no-frontmatter", message, 1, "insert a block")]


def find_body(data: bytes) -> tuple[int, int]:
    """Where the text below the block begins in a file, and how many lines are above it."""
    end = data.find(b"\n---\n")
    head = data[: max(end, 0)]
    # most blocks need no closer look: keys between two fences, and nothing that could be one
    usual = _USUAL_HEAD.match(head) is not None and head.isascii()
    if usual and b"---" not in head[3:] and b"\r" not in head and not _BLANK.search(head):
        return end + len(b"\n---\n"), head.count(b"\n") + 2
    lines = lines_of(data)
    block, _ = locate(lines)
    above = lines[: block.body] if block else []
    return len("".join(above).encode("utf-8", "surrogateescape")), len(above)


def _fenced(lines: list[str], fence: int) -> tuple[FrontmatterBlock | None, list[Diagnosis]]:
    at = fence + 1
    while (at := _next_filled(lines, at)) < len(lines) and lines[at].startswith("#"):
        at += 1
    if at == len(lines) or not (_key_of(lines[at]) or is_fence(lines[at])):
        if unread := find_other_keys(lines, fence):
            return None, [Diagnosis("keys-unread", *unread)]
        message = "the file opens with a rule, not with a block of keys"
        return None, [Diagnosis("leading-rule", message, fence + 1)]
    found = []
    if fence:
        message = "there are blank lines above the opening ---"
        found.append(Diagnosis("blank-before-fence", message, 1, "delete the blank lines"))
    block = _close(lines, fence + 1)
    if block.closing is Closing.GLUED:
        message = "the closing --- is on the line of the last value"
        hint = "put the --- on a line of its own"
        found.append(Diagnosis("closing-fence-glued", message, block.last, hint))
    elif block.closing is Closing.OPEN:
        message, hint = "no --- closes the block", "insert --- after this line"
        found.append(Diagnosis("no-closing-fence", message, block.last, hint))
    return block, found


def _close(lines: list[str], first: int) -> FrontmatterBlock:
    """The block that begins with line `first`, ended by a fence or by where its keys end."""
    limit = min(len(lines), first + _LONGEST)
    for at in range(first, limit):
        if lines[at][0] == " " and not lines[at].isspace():
            # neither a fence nor a key, and a block may hold hundreds of them
            continue
        line = bare(lines[at])
        if is_fence(line):
            return FrontmatterBlock(first, at, at + 1)
        if not line.strip() and _prose_begins(lines, at):
            return FrontmatterBlock(first, at, at, Closing.OPEN)
        if _key_of(line) and _GLUED.search(line):
            below = _next_filled(lines, at + 1)
            if below == len(lines) or not (_key_of(lines[below]) or is_fence(lines[below])):
                return FrontmatterBlock(first, at + 1, at + 1, Closing.GLUED)
    return FrontmatterBlock(first, limit, limit, Closing.OPEN)


def _prose_begins(lines: list[str], blank: int) -> bool:
    """Whether the body begins after this blank line, although no fence has come."""
    prose = False
    rest = [bare(line) for line in lines[blank + 1 : blank + _AHEAD]]
    for line in rest:
        if is_fence(line) or _key_of(line):
            return prose
        prose = prose or (line[:1].strip() not in ("", "#", "-"))
    return any(line.strip() for line in rest)


def _key_lines(lines: list[str], block: FrontmatterBlock) -> list[str]:
    """The lines of the keys, without line ends and without a fence glued to the last."""
    held = [bare(line) for line in lines[block.first : block.last]]
    if block.closing is Closing.GLUED:
        held[-1] = _GLUED.sub("", held[-1])
    return held


def read_block(lines: list[str], block: FrontmatterBlock) -> tuple[dict[str, Any], list[Diagnosis]]:
    """The keys and values; entry by entry if the whole is not valid YAML."""
    held = _key_lines(lines, block)
    found = list(_entries_of(tuple(held)))
    duplicates = _duplicates(found, block.first)
    loaded, problem = load("\n".join(held) + "\n")
    if isinstance(loaded, dict) and all(isinstance(key, str) for key in loaded):
        return loaded, duplicates
    if loaded is None and not found and not problem:
        return {}, duplicates
    meta: dict[str, Any] = {}
    faults: list[Diagnosis] = []
    for entry in found:
        meta[entry.key], fault = _read_entry(held[entry.start : entry.end], entry, block.first)
        faults += [fault] if fault else []
    faults += _lines_without_colon(held, found, block.first)
    if not faults:
        faults = [Diagnosis("yaml", problem or "the block is not a mapping", block.first + 1)]
    return meta, [*faults, *duplicates]


def _lines_without_colon(held: list[str], found: list[Entry], offset: int) -> Iterator[Diagnosis]:
    """Lines at column 0 that are neither a key nor part of one: `owner BUILDER`."""
    covered = {at for entry in found for at in range(entry.start, entry.end)}
    for at, line in enumerate(held):
        words = line.split(maxsplit=1)
        if at in covered or not words or line[:1] in (" ", "\t", "#") or is_fence(line):
            continue
        named = words[0].rstrip("=") if words[0].rstrip("=").lower() in _TICKET_KEYS else ""
        hint = f"{named}: {words[1].lstrip('= ')}" if named and len(words) > 1 else "key: value"
        text = line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
        yield Diagnosis("no-colon", f"`{text}` has no colon", offset + at + 1, hint)


def _read_entry(held: list[str], entry: Entry, offset: int) -> tuple[Any, Diagnosis | None]:
    loaded, problem = load("\n".join(held) + "\n")
    if isinstance(loaded, dict) and len(loaded) == 1:
        return next(iter(loaded.values())), None
    tab = _tab_in(held)
    if tab is not None:
        message = f"there is a tab in `{entry.key}`, or before the next key"
        fault = Diagnosis("yaml-tab", message, offset + entry.start + tab + 1, _NO_TABS)
        # what follows on a line that a tab indents may be another key
        return unquoted(Line.of(held[0]).value), fault
    code, hint, at = _yaml_fault(held, problem)
    fault = Diagnosis(code, f"`{entry.key}` is not valid YAML", offset + entry.start + at + 1, hint)
    value = Line.of(held[0]).value
    if len(held) > 1 and not value:
        return [unquoted(_item(line)) for line in held[1:] if line.strip()], fault
    texts = [unquoted(value), *(line.strip() for line in held[1:])]
    return " ".join(text for text in texts if text), fault


def _tab_in(held: list[str]) -> int | None:
    """The line (0-based) with a tab that YAML does not read: one that indents, else any."""
    indents = (at for at, line in enumerate(held) if "\t" in line[: len(line) - len(line.lstrip())])
    return next(indents, next((at for at, line in enumerate(held) if "\t" in line), None))


def _item(line: str) -> str:
    """A list item's or a key's value."""
    if found := _KEY.match(line):
        return line[found.end() :].strip()
    return re.sub(r"^\s*-\s+", "", line).strip()


def _yaml_fault(held: list[str], problem: str) -> tuple[str, str, int]:
    """Code, hint and line (0-based in `held`) of what makes an entry unreadable."""
    if problem == REFUSED:
        return "yaml-refused", "quote texts that begin with & or *, and nest less", 0
    if _item(held[0])[:1] in ("'", '"'):
        return "yaml-after-quote", "put single quotes around the whole value", 0
    for at, line in enumerate(held):
        if re.search(r":(\s|\Z)", _item(line)):
            return "yaml-colon", "put quotes around the text with the colon", at
    return "yaml", "put quotes around the value", 0


def _entries(held: list[str], known: Collection[str] | None = None) -> Iterator[Entry]:
    keys = [(i, key) for i, line in enumerate(held) if line[:1] != " " and (key := _key_of(line))]
    # a line inside a quoted text may look like a key
    starts = [(i, key) for i, key in keys if known is None or key in known]
    limits = [*(i for i, _ in starts[1:]), len(held)]
    for (start, key), limit in zip(starts, limits, strict=False):
        end = start + 1
        for at in range(start + 1, limit):
            if held[at][:1] in (" ", "\t", "-", "]", "}") or _key_of(held[at]):
                end = at + 1
            elif held[at].strip() and not held[at].startswith("#"):
                break
        yield Entry(key, start, end)


# what a block says, and on which lines, is asked one after the other
@lru_cache(maxsize=16)
def _entries_of(held: tuple[str, ...]) -> tuple[Entry, ...]:
    return tuple(_entries(list(held)))


def _duplicates(found: list[Entry], offset: int) -> list[Diagnosis]:
    duplicates, seen = [], dict[str, Entry]()
    for entry in found:
        if entry.key in seen:
            line = seen[entry.key].start + offset + 1
            message = f"`{entry.key}` is given twice; line {entry.start + offset + 1} counts"
            hint = "delete the line that is wrong"
            duplicates.append(Diagnosis("duplicate-key", message, line, hint))
        seen[entry.key] = entry
    return duplicates


def entries_in(lines: list[str], block: FrontmatterBlock) -> tuple[Entry, ...]:
    """The keys of the block with their lines in the file, in order."""
    held = _key_lines(lines, block)
    # whether no text and no list that a line opens can go on in the next one at column 0
    closed = all(
        line.count('"') % 2 == line.count("'") % 2 == 0
        and line.count("[") == line.count("]")
        and line.count("{") == line.count("}")
        for line in held
    )
    entries = _entries_of(tuple(held)) if closed else _entries(held, read_block(lines, block)[0])
    return tuple(Entry(e.key, e.start + block.first, e.end + block.first) for e in entries)


@dataclass(frozen=True)
class Line:
    """`key:` + gap + value + tail (spaces, comment, glued fence, line end)."""

    head: str
    gap: str
    value: str
    tail: str

    @classmethod
    def of(cls, line: str, glued: bool = False) -> Line:
        found = _KEY.match(bare(line))
        cut = (found.end() if found else 0) + len(line) - len(without_mark(line))
        rest = line[cut:]
        text = rest.rstrip("\r\n")
        if glued:
            text = _GLUED.sub("", text)
        size = len(text) - len(text.lstrip())
        value = ""
        if quoted := _QUOTED.match(text, size):
            value = quoted.group()
        elif not text.startswith("#"):
            comment = re.search(r"(?:^|\s)#", text[size:])
            value = (text[size : size + comment.start()] if comment else text[size:]).rstrip()
        if not value and size < len(text):
            # an empty value with a comment: the gap belongs to the comment
            size = 0
        return cls(line[:cut], rest[:size], value, rest[size + len(value) :])

    def with_value(self, value: str) -> str:
        return f"{self.head}{self.gap or ' '}{value}{self.tail}"


def unquoted(value: str) -> str:
    """A scalar's text."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        loaded, problem = load(value)
        return value[1:-1] if problem else str(loaded)
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1].replace("''", "'")
    return value
