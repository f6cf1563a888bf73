"""Frontmatter as people write it: a reader that never raises, edits of the named line only.

Why this is not a dump of parsed YAML: docs/decisions/0011-frontmatter-is-edited-by-line.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache
from typing import Any

from orchestrator.markdown.body import accept_box, append_section, tick_box, untick_box
from orchestrator.markdown.conflicts import conflict_line
from orchestrator.markdown.frontmatter_parser import (
    Closing,
    Entry,
    FrontmatterBlock,
    Line,
    bare,
    entries_in,
    is_fence,
    lines_of,
    locate,
    read_block,
    unquoted,
    without_mark,
)
from orchestrator.markdown.problem import Diagnosis
from orchestrator.markdown.yaml_text import is_plain, load

__all__ = [
    "Diagnosis",
    "Document",
    "FrontmatterBlock",
    "accept_box",
    "append_section",
    "edited",
    "remove_field",
    "set_block",
    "set_field",
    "tick_box",
    "untick_box",
]

_BOLD = re.compile(r"\*\*([A-Za-z][\w ]*?)(?::\*\*|\*\*:)(.*)")
#: what the lines begin with that matter there, or a byte order mark
_MARKERS = frozenset("*-#`~\ufeff")
#: how many lines below the block may hold bold fields
_HEADER = 60

_MEANINGLESS = object()

Value = str | int | float | bool | date | None | list[str] | tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """A markdown file: what its block says, the rest, and what is wrong with it."""

    data: bytes = field(repr=False)
    #: the file's lines with their ends; not to be changed
    lines: list[str] = field(repr=False, compare=False)
    #: the block's keys; `**Status:** x` lines below it count for keys that it lacks
    meta: dict[str, Any]
    body: str = field(repr=False)
    #: 1-based line at which `body` begins
    body_line: int
    block: FrontmatterBlock | None
    diagnoses: tuple[Diagnosis, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> Document:
        """Read any bytes. Never raises; what cannot be understood is left out and diagnosed."""
        lines = lines_of(data)
        block, found = locate(lines)
        meta: dict[str, Any] = {}
        if block is not None:
            meta, more = read_block(lines, block)
            found += more
        start = block.body if block else 0
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as exc:
            line = len(data[: exc.start].splitlines()) or 1
            found.append(Diagnosis("not-utf8", "not all of it is UTF-8", line, "save it as UTF-8"))
        if marker := conflict_line(data, lines):
            message = "the file has an unfinished merge"
            found.append(Diagnosis("merge-conflict", message, marker, "finish the merge"))
        meta = {**_bold_fields(lines, start), **meta}
        body = without_mark("".join(lines[start:]))
        return cls(data, lines, meta, body, start + 1, block, tuple(found))

    def with_text(self, data: bytes) -> Document:
        """The document of other bytes; the block is not parsed again if it is the same in them."""
        block, lines = self.block, lines_of(data)
        end = block.body if block is not None and not self.diagnoses else 0
        no_bold = self.meta.keys() == self.entries.keys() and not _bold_fields(lines, end)
        if not end or lines[:end] != self.lines[:end] or not no_bold or conflict_line(data, lines):
            return Document.parse(data)
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            return Document.parse(data)
        after = Document(data, lines, self.meta, "".join(lines[end:]), end + 1, block)
        vars(after)["entries"] = self.entries
        return after

    def text(self, *keys: str) -> str:
        """The first of `keys` that has a value, as written in the file, without its quotes."""
        for key in keys:
            value = self.meta.get(key)
            if isinstance(value, str) and value.strip():
                return value.strip()
            if value is not None and not isinstance(value, str | dict | list):
                # 010, 1.10 and 2025-01-02T10:00 are not what a YAML loader makes of them
                return self.raw(key) or str(value)
        return ""

    def raw(self, key: str) -> str:
        """The value's own characters on the line of `key`, "" if it has none."""
        entry = self.entries.get(key)
        if entry is None or self.block is None:
            return ""
        return Line.of(self.lines[entry.start], _is_glued(self.block, entry)).value

    def line_of(self, key: str) -> int:
        """1-based line of the entry that counts (the last one), 0 if there is none."""
        entry = self.entries.get(key)
        return entry.start + 1 if entry else 0

    def said_otherwise(self, key: str) -> list[tuple[int, str]]:
        """(line, value) of each entry of `key` that says something else than the last."""
        last = self.entries.get(key)
        if last is None or self.block is None:
            return []
        earlier = (e for e in entries_in(self.lines, self.block) if e.key == key and e != last)
        said = [(e.start + 1, unquoted(Line.of(self.lines[e.start]).value)) for e in earlier]
        return [(line, text) for line, text in said if text.casefold() != self.text(key).casefold()]

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """The block's keys with their lines; of one that is given twice, the last."""
        found = entries_in(self.lines, self.block) if self.block else ()
        return {entry.key: entry for entry in found}

    @cached_property
    def findings(self) -> dict[Hashable, Any]:
        """What somebody has worked out from it, and from nothing but what is in the key."""
        return {}


def _bold_fields(lines: list[str], start: int) -> dict[str, Any]:
    """`**Status:** x` lines above the first rule or second heading."""
    fields: dict[str, Any] = {}
    for line in lines[start : start + _HEADER]:
        # nearly all lines are prose, and every file of a board is read so
        if line[:1] not in _MARKERS:
            continue
        text = bare(line)
        if is_fence(text) or text.startswith(("##", "```", "~~~")):
            break
        if found := _BOLD.match(text):
            fields.setdefault(found[1].strip().lower().replace(" ", "_"), found[2].strip())
    return fields


# -- edits: bytes in, bytes out, all but the named lines as they were ------------------------------


def set_field(data: bytes, key: str, value: Value) -> bytes:
    """The file with `key: value`, in the old value's quotes, its comment and line end kept.

    If the key is given twice, the last entry is edited. A missing key is inserted after `status:`,
    or at the end of the block; a missing block is put at the top of the file.
    """
    if not re.fullmatch(r"[A-Za-z_][\w.-]*", key):
        raise ValueError(f"not a key: {key!r}")

    def update(lines: list[str], entry: Entry, glued: bool) -> list[str]:
        return _with_value(lines, entry, value, glued)

    return _set_entry(data, key, [f"{key}: {_format(value)}"], update)


def set_block(data: bytes, key: str, lines: Sequence[str]) -> bytes:
    """The file with `key:` and below it `lines`: indented YAML without line ends.

    Replaces all lines of the key's last entry, or inserts it at the end of the block.
    """
    _require_indented(lines)

    def update(held: list[str], entry: Entry, glued: bool) -> list[str]:
        return _with_lines(held, entry, lines, glued)

    return _set_entry(data, key, [f"{key}:", *lines], update, last=True)


def edited(
    document: Document,
    fields: Mapping[str, str | int],
    blocks: Mapping[str, tuple[Sequence[str], Any]],
) -> Document:
    """As `set_field` for each of `fields` and `set_block` for each of `blocks`, but faster.

    A block is given with what its lines mean. Where nothing is wrong with a document that has all
    the fields, nothing is parsed: all else is as it was, and what is written is known.
    """
    block, found = document.block, document.entries
    whole = block is not None and block.closing is Closing.FENCE and not document.diagnoses
    added = [key for key in blocks if key not in found]
    known = whole and fields.keys() <= found.keys() and (not added or _may_be_longer(document))
    if block is None or not known:
        data = document.data
        for key, value in fields.items():
            data = set_field(data, key, value)
        for key, (below, _) in blocks.items():
            data = set_block(data, key, below)
        return Document.parse(data)
    old = document.lines
    new = {key: _with_value(old, found[key], value) for key, value in fields.items()}
    new |= {k: _with_lines(old, found[k], said) for k, (said, _) in blocks.items() if k in found}
    lines, entries, at = list[str](), dict[str, Entry](), 0
    for key, entry in found.items():
        lines += old[at : entry.start]
        start, at = len(lines), entry.end
        lines += new.get(key, old[entry.start : at])
        entries[key] = Entry(key, start, len(lines))
    for key in added:
        _require_indented(blocks[key][0])
        start, end = len(lines), _line_end(old)
        lines += [line + end for line in (f"{key}:", *blocks[key][0])]
        entries[key] = Entry(key, start, len(lines))
    shift = len(lines) - at
    lines += old[at:]
    moved = FrontmatterBlock(block.first, block.last + shift, block.body + shift)
    meta = {**document.meta, **fields, **{key: meaning for key, (_, meaning) in blocks.items()}}
    after = Document(_bytes(lines), lines, meta, document.body, moved.body + 1, moved)
    vars(after)["entries"] = entries
    return after


def _may_be_longer(document: Document) -> bool:
    """Whether a key above the closing fence is one more, and changes none before it."""
    block, found = document.block, document.entries
    last = max((entry.end for entry in found.values()), default=0)
    return block is not None and last == block.last and document.meta.keys() == found.keys()


def remove_field(data: bytes, key: str) -> bytes:
    """The file without any entry `key`."""
    if key.encode() not in data:
        return data
    lines = lines_of(data)
    block, _ = locate(lines)
    if block is None:
        return data
    for entry in reversed(entries_in(lines, block)):
        if entry.key == key:
            rest = "---" + _end_of(lines[entry.end - 1]) if _is_glued(block, entry) else ""
            first = lines[entry.start]
            byte_order_mark = first.removesuffix(without_mark(first))
            lines[entry.start : entry.end] = [byte_order_mark + rest]
    return _bytes(lines)


def _set_entry(
    data: bytes,
    key: str,
    new: list[str],
    update: Callable[[list[str], Entry, bool], list[str]],
    last: bool = False,
) -> bytes:
    """The file with the last entry of `key` updated, or the lines `new` inserted."""
    lines = lines_of(data)
    block, _ = locate(lines)
    end = _line_end(lines)
    if block is None:
        text = without_mark(lines[0]) if lines else ""
        mark = lines[0].removesuffix(text) if lines else ""
        below = [end, text, *lines[1:]] if lines else []
        return _bytes([f"{mark}---{end}", *(line + end for line in new), f"---{end}", *below])
    found = {entry.key: entry for entry in entries_in(lines, block)}
    if entry := found.get(key):
        changed = update(lines, entry, _is_glued(block, entry))
        return _bytes([*lines[: entry.start], *changed, *lines[entry.end :]])
    final = max(found.values(), key=lambda entry: entry.start, default=None)
    at = final.end if block.closing is Closing.OPEN and final else block.last
    if "status" in found and not last:
        at = found["status"].end
    if block.closing is Closing.GLUED and final:
        at = min(at, final.start)
    before = lines[:at]
    if before and not _end_of(before[-1]):
        before[-1] += end
    return _bytes([*before, *(line + end for line in new), *lines[at:]])


def _with_value(lines: list[str], entry: Entry, value: Value, glued: bool = False) -> list[str]:
    """The entry's lines with another value."""
    line = Line.of(lines[entry.start], glued)
    if line.value and entry.end == entry.start + 1 and _means(line.value, value):
        return [lines[entry.start]]
    # a value of several lines (block scalar, list) is replaced with all of them
    return [line.with_value(_format(value, line.value))]


def _require_indented(lines: Sequence[str]) -> None:
    text = "\n".join(lines)
    is_indented = text[:1] == " " and text.count("\n ") == len(lines) - 1
    if not is_indented or text.splitlines() != list(lines):
        raise ValueError("the lines of a block must be indented and contain no line end")


def _with_lines(
    held: list[str], entry: Entry, lines: Sequence[str], glued: bool = False
) -> list[str]:
    """The entry's key with `lines` below it."""
    _require_indented(lines)
    end = _line_end(held)
    line = Line.of(held[entry.start], glued)
    tail = ["---" + end] if glued else []
    keep = not line.value and not tail and bool(_end_of(held[entry.start]))
    first = held[entry.start] if keep else f"{line.head}{end}"
    return [first, *(line + end for line in lines), *tail]


def _bytes(lines: list[str]) -> bytes:
    return "".join(lines).encode("utf-8", "surrogateescape")


def _is_glued(block: FrontmatterBlock, entry: Entry) -> bool:
    return block.closing is Closing.GLUED and entry.end == block.last


def _end_of(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _line_end(lines: list[str]) -> str:
    return next(filter(None, map(_end_of, lines)), "\n")


# -- values --------------------------------------------------------------------------------------


def _means(old: str, value: Value) -> bool:
    """Whether the characters on the line already mean `value`."""
    if isinstance(value, str) and is_plain(old):
        return old == value
    known = _meaning(old)
    return type(known) is type(value) and bool(known == value)


@lru_cache(maxsize=256)
def _meaning(text: str) -> Any:
    """What a value's characters mean to a YAML reader; not to be changed."""
    loaded, problem = load(f"k: {text}\n")
    return _MEANINGLESS if problem or not isinstance(loaded, dict) else loaded["k"]


def _format(value: Value, old: str = "") -> str:
    """`value` as YAML on one line, in the quotes of `old` where they fit."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_item(_clean(item)) for item in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value.isoformat() if isinstance(value, date) else str(value)
    value = _clean(value)
    if old[:1] == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return quoted(value) if old[:1] == '"' or not _reads_back(value) else value


def _clean(value: str) -> str:
    """Without lone surrogates, which YAML does not allow."""
    return value.encode("utf-8", "replace").decode("utf-8")


def quoted(value: str) -> str:
    """A double-quoted scalar: JSON is one, as long as nothing in it needs two escapes."""
    if value.isprintable():
        return json.dumps(value, ensure_ascii=False)
    escaped = (
        json.dumps(char, ensure_ascii=False)[1:-1]
        if char.isprintable() or char in "\n\t\r"
        else f"\\U{ord(char):08x}"
        for char in value
    )
    return f'"{"".join(escaped)}"'


@lru_cache(maxsize=256)
def _reads_back(value: str) -> bool:
    """Whether a YAML reader takes the plain text for itself.

    A value that ends in `-` could be mistaken for one with a fence glued to it.
    """
    if is_plain(value):
        return True
    plain = value.isprintable() and value == value.strip() and not value.endswith("-")
    return bool(plain and load(f"k: {value}\n")[0] == {"k": value})


def _item(item: str) -> str:
    plain = re.fullmatch(r"[A-Za-z][\w./ -]*", item) and load(f"[{item}]\n")[0] == [item]
    return item if plain else quoted(item)
