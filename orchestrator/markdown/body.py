"""Lines of a ticket's body: what is outside code, its boxes and sections, and edits of them.

Tickets are read by line, as an edit needs the very line of the file; what is code or a comment, and
where that ends, markdown-it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from orchestrator.markdown.evidence_lines import indent_of, with_evidence
from orchestrator.markdown.frontmatter_parser import bare, lines_of, locate

_FENCE = re.compile(r"\s*(?:>\s?)*(?P<mark>`{3,}|~{3,})(?P<info>.*)\Z", re.DOTALL)
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?\Z")
_ITEM = re.compile(r"(?P<head>\s*(?:[-*+]|\d{1,9}[.)])[ \t]+)(?P<rest>.*)\Z", re.DOTALL)
#: also as people mistype it: `- []`, `-[ ]`, `[ ]`, `- [-]`; `[x](…)` and `[1]` are not boxes
_BOX = re.compile(
    r"(?P<head>\s*(?:(?:>|(?:[-*+]|\d{1,9}[.)])[ \t]+(?=\S))[ \t]*)*"
    r"(?:(?:[-*+]|\d{1,9}[.)])[ \t]*)?\[)(?P<mark>[ xX~/>!?-]?)\]"
    r"(?![(\[:])(?P<text>.*)\Z"
)
_RULE = re.compile(r"\s*(?:[-*_=][ \t]*){3,}\Z")
#: what quotes and list items put before their content
_CONTAINERS = re.compile(r"[ \t]*(?:(?:>|(?:[-*+]|\d{1,9}[.)])[ \t])[ \t]*)*")
_HIDING = ("```", "~~~", "<!--")
#: stands under the heading of a section that the conductor keeps; unseen where markdown is shown
MARK = "<!-- kept by orchestrate -->"
_HTML_HEADING = re.compile(
    r"\s*(?:<details\b[^>]*>\s*)?<(?P<tag>h(?P<level>[1-6])|summary)\b[^>]*>"
    r"(?:<(?:b|strong|h[1-6])>)?(?P<text>[^<]*)(?:</(?:b|strong|h[1-6])>)?</(?P=tag)>\s*",
    re.IGNORECASE,
)
_BOLD = ("**", "__")
LABEL = re.compile(r"(?P<mark>\*\*|__)(?P<label>[^*_]+?):?(?P=mark):?\Z")
#: a bold label is below every heading
LABEL_LEVEL = 7
#: what stands behind a box that USER accepted though it is not proven
_ACCEPTED = "accepted by USER, "
_RECEIPT = re.compile(rf"(?<![ \t])[ \t]+· (?P<accepted>{_ACCEPTED})?receipt \S+\Z")
_CELL = re.compile(r"(?<!\\)\|")
_CELL_BOX = re.compile(
    r"\s*(?:\[(?P<mark>[ \t]?[xX~-]?[ \t]?)\]|(?P<sign>[☐☑☒])\ufe0f?)"
    rf"(?P<receipt>[ \t]+· (?:{_ACCEPTED})?receipt \S+)?\s*"
)


@dataclass(frozen=True)
class Box:
    """A checklist item outside code, on lines `line:end` (0-based) of its file."""

    line: int
    end: int
    #: wrapped lines joined by one space, without the receipt, with the evidence nested below
    text: str
    ticked: bool
    #: the nearest heading or bold label above it, "" if none
    group: str = ""
    #: the headings above it, outermost first, then the label
    above: tuple[str, ...] = ()
    #: the line after its evidence
    below: int = 0

    def moved(self, by: int) -> Box:
        """The same where the file's lines stand so many lines further down."""
        at, end, below = self.line + by, self.end + by, self.below + by
        return Box(at, end, self.text, self.ticked, self.group, self.above, below)


@dataclass(frozen=True)
class Hidden:
    """Lines `start:end` (0-based) that are code or a comment: nothing in them is the ticket's."""

    start: int
    end: int
    is_code: bool
    #: False: what ends it is missing, and the lines may have been meant to be read
    closed: bool


def hidden_blocks(lines: Sequence[str]) -> tuple[Hidden, ...]:
    """The fences and comments, in order. A section that the conductor keeps begins again.

    Whatever is left open above such a section would otherwise hide that it is one.
    """
    whole = "\n".join(lines)
    if not any(mark in whole for mark in _HIDING):
        return ()
    texts = tuple(map(bare, lines))
    starts = [0]
    for at in range(len(texts)):
        if texts[at].rstrip() == MARK:
            under_heading = at > starts[-1] and parse_heading(texts[at - 1]) is not None
            starts.append(at - 1 if under_heading else at)
    parts = zip(starts, [*starts[1:], len(texts)], strict=True)
    return tuple(
        replace(block, start=block.start + first, end=block.end + first)
        for first, last in parts
        for block in _hidden_in("\n".join(text.replace("\r", " ") for text in texts[first:last]))
    )


@lru_cache(maxsize=64)
def _hidden_in(text: str) -> tuple[Hidden, ...]:
    if not any(mark in text for mark in _HIDING):
        return ()
    lines = text.split("\n")
    marks = [at for at, line in enumerate(lines) if line.rstrip() == MARK]
    if "```" not in text and "~~~" not in text and text.count("<!--") == len(marks):
        return tuple(Hidden(at, at + 1, is_code=False, closed=True) for at in marks)
    from orchestrator.markdown.blocks import block_tokens

    found: list[Hidden] = []
    for token in block_tokens(text):
        start, end = token.map or (0, 0)
        if token.type == "fence":
            last = lines[end - 1].strip(" >\t")
            closed = end - start > 1 and last.startswith(token.markup) and not last.strip(last[0])
            found.append(Hidden(start, end, is_code=True, closed=closed))
        elif token.type == "html_block":
            found += _comments(lines, start, end)
    return tuple(found)


def _comments(lines: Sequence[str], start: int, end: int) -> Iterator[Hidden]:
    """The comments in a block of HTML."""
    at = start
    while at < end:
        first = at
        line = lines[at]
        found = _CONTAINERS.match(line)
        if (line[found.end() :] if found else line).startswith("<!--"):
            while at < end and "-->" not in lines[at]:
                at += 1
            yield Hidden(first, min(at + 1, end), is_code=False, closed=at < end)
        at += 1


def lines_outside_code(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Index and text (no line end) of every line that is in neither a fence nor a comment."""
    return iter(_outside_code(tuple(lines)))


# a ticket's lines are gone through for its criteria, its boxes, what it says and what it lacks
@lru_cache(maxsize=16)
def _outside_code(lines: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    hidden = {at for block in hidden_blocks(lines) for at in range(block.start, block.end)}
    # as `bare` does it: a board has many lines
    bares = [line.removeprefix("\ufeff").rstrip("\r\n") for line in lines]
    return tuple((at, line) for at, line in enumerate(bares) if at not in hidden)


def parse_heading(line: str) -> tuple[int, str] | None:
    """Level and text of an ATX heading."""
    if "#" not in line[:4]:
        return None
    found = _HEADING.match(line)
    if not found:
        return None
    text = (found[2] or "").strip()
    # a closing run of # belongs to the heading's mark
    bald = text.rstrip("#")
    return len(found[1]), bald.rstrip() if bald != text and bald[-1:] in ("", " ", "\t") else text


class PlacedLine(NamedTuple):
    """A line outside code with the headings above it."""

    at: int
    text: str
    #: the nearest heading or bold label above it, "" if none
    group: str
    #: headings outermost first, then the bold label if there is one
    above: tuple[str, ...]


def placed_lines(lines: Sequence[str]) -> Iterator[PlacedLine]:
    """The lines outside code, without the headings and labels."""
    return iter(_placed(tuple(lines)))


@lru_cache(maxsize=16)
def _placed(lines: tuple[str, ...]) -> tuple[PlacedLine, ...]:
    found: list[PlacedLine] = []
    above: list[tuple[int, str]] = []
    names: tuple[str, ...] = ()
    for at, line in _outside_code(lines):
        # a look at the line first, as most are prose
        heading = parse_heading(line) if "#" in line else None
        if heading is None and ("**" in line or "__" in line) and line.lstrip()[:2] in _BOLD:
            label = LABEL.match(line.strip())
            heading = (LABEL_LEVEL, label["label"].strip()) if label else None
        if heading is not None:
            above = [*(h for h in above if h[0] < heading[0]), heading]
            names = tuple(name for _, name in above)
        else:
            found.append(PlacedLine(at, line, names[-1] if names else "", names))
    return tuple(found)


def parse_html_heading(line: str) -> tuple[int, str] | None:
    """(level, text) of a line that is a heading in HTML, or the summary of a folded part."""
    found = _HTML_HEADING.fullmatch(line) if "<" in line else None
    return (int(found["level"] or LABEL_LEVEL), found["text"].strip()) if found else None


def boxes(lines: Sequence[str], start: int = 0) -> Iterator[Box]:
    """The checklist items from line `start` on."""
    if not any("[" in line for line in lines[start:]):
        return
    for box in _boxes(tuple(lines[start:])):
        yield box.moved(start) if start else box


# a ticket is asked for its boxes, and so are its criteria
@lru_cache(maxsize=16)
def _boxes(lines: tuple[str, ...]) -> tuple[Box, ...]:
    placed = _placed(lines)
    known = {line.at: line.text for line in placed}
    found = []
    for line in placed:
        if "[" in line.text and (box := _BOX.match(line.text)):
            parts, end = [box["text"].strip()], line.at + 1
            while continues(wrapped := known.get(end, "")) and wrapped[0].isspace():
                parts.append(wrapped.strip())
                end += 1
            parts[-1] = _RECEIPT.sub("", parts[-1])
            text = " ".join(filter(None, parts))
            text, below = (
                with_evidence(text, known, end, indent_of(line.text)) if text else ("", end)
            )
            ticked = box["mark"] in ("x", "X")
            found.append(Box(line.at, end, text, ticked, line.group, line.above, below))
    return tuple(found)


def box_text(line: str) -> str:
    """The words behind a box on this line; "" if there is none."""
    found = _BOX.match(line) if "[" in line else None
    return found["text"].strip() if found else ""


def cells_of(line: str) -> list[str]:
    """The cells of a table's row."""
    return [cell.strip() for cell in _CELL.split(line.strip().strip("|"))]


def row_boxes(line: str) -> tuple[str, tuple[bool, ...]]:
    """The words of a table's row, cell by cell, and for each of its boxes whether it is ticked."""
    said, ticked = [], []
    for cell in _CELL.split(line.strip().strip("|")):
        if box := _CELL_BOX.fullmatch(cell):
            ticked.append((box["mark"] or "").strip() in ("x", "X") or box["sign"] == "☑")
        elif re.search(r"[^\W\d]", cell):
            said.append(cell.strip())
    return " | ".join(said), tuple(ticked)


def continues(line: str) -> bool:
    """Whether a line goes on with the item or paragraph above it."""
    text = line.lstrip()
    if text[:1].isalpha():
        return True
    begins = _ITEM.match(line) or _BOX.match(line) or _RULE.match(line)
    return bool(text) and not begins and not text.startswith(("|", ">"))


def section(body: str, title: str) -> str | None:
    """The text below the heading `title` (any level, any case) up to the next of its level."""
    lines = body.splitlines(keepends=True)
    start, level = -1, 0
    for at, line in lines_outside_code(lines):
        found = parse_heading(line)
        if start >= 0 and found and found[0] <= level:
            return "".join(lines[start:at])
        if start < 0 and found and found[1].casefold() == title.strip().casefold():
            start, level = at + 1, found[0]
    return "".join(lines[start:]) if start >= 0 else None


_PROBE = "## a heading after it"


def closed(markdown: str) -> str:
    """The markdown with an open fence or comment closed, or quoted as a whole.

    What follows it in the file would otherwise be taken for code, or not be shown.
    """
    if not markdown.strip() or not _leaves_open(markdown):
        return markdown
    # lines that may close what is open, the last fence first
    fences = filter(None, map(_FENCE.match, reversed(markdown.splitlines())))
    ends = [found.string[: found.end("mark")] for found in fences]
    for end in (*ends, "-->", "</script>", "</style>", "</pre>", "?>", "]]>"):
        if not _leaves_open(f"{markdown}\n{end}"):
            return f"{markdown}\n{end}"
    return "\n".join(f"> {line}" for line in markdown.splitlines())


def _leaves_open(markdown: str) -> bool:
    from orchestrator.markdown.blocks import block_tokens

    lines = [*markdown.splitlines(), "", _PROBE]
    read = [line for _, line in lines_outside_code(lines)]
    last = block_tokens("\n".join(lines))[-1]
    return last.type != "heading_close" or last.level != 0 or read[-1:] != [_PROBE]


# -- edits ---------------------------------------------------------------------------------------


def append_section(data: bytes, markdown: str) -> bytes:
    """The file with `markdown` at its end, one blank line before it, in the file's line ends.

    Unchanged if exactly these lines are in it already.
    """
    new = markdown.strip("\r\n").splitlines()
    old = [bare(line) for line in lines_of(data)]
    if not new or any(old[i : i + len(new)] == new for i in range(len(old) - len(new) + 1)):
        return data
    end = b"\r\n" if b"\r\n" in data else b"\n"
    text = end.join(line.encode("utf-8", "surrogateescape") for line in new) + end
    if data and not data.endswith((b"\n", b"\r")):
        data += end
    blank = not old or not old[-1].strip()
    return data + (b"" if blank else end) + text


def tick_box(data: bytes, text: str, suffix: str) -> bytes:
    """The file with every box of that text ticked and `suffix` (`receipt ab12`) after it.

    The suffix replaces an earlier receipt. A row of a table is ticked if it has just one box.
    """
    return _set_boxes(data, text, "x", " · " + suffix.strip(" ·"))


def accept_box(data: bytes, text: str, suffix: str) -> bytes:
    """As `tick_box`, for what USER accepted though it is not proven: the box becomes `[~]`."""
    return _set_boxes(data, text, "~", f" · {_ACCEPTED}{suffix.strip(' ·')}")


def untick_box(data: bytes, text: str) -> bytes:
    """The file with every box of that text empty and without receipt."""
    return _set_boxes(data, text, " ", "")


def _set_boxes(data: bytes, text: str, mark: str, suffix: str) -> bytes:
    lines = lines_of(data)
    block, _ = locate(lines)
    start = block.body if block else 0
    wanted = " ".join(_RECEIPT.sub("", text.strip()).split())
    for box in boxes(lines, start):
        if " ".join(box.text.split()) != wanted:
            continue
        line = lines[box.line]
        found = _BOX.match(bare(line))
        if found and _differs(found["mark"], mark, lines[box.end - 1]):
            lines[box.line] = line[: found.start("mark")] + mark + line[found.end("mark") :]
        last = lines[box.end - 1]
        content = last.rstrip()
        lines[box.end - 1] = _RECEIPT.sub("", content) + suffix + last[len(content) :]
    if any("|" in line for line in lines):
        for row in placed_lines(lines[start:]):
            said, ticked = row_boxes(row.text)
            if ticked and said == wanted and (mark == " " or len(ticked) == 1):
                cells = _CELL.split(lines[row.at + start])
                lines[row.at + start] = "|".join(_set_cell(cell, mark, suffix) for cell in cells)
    return "".join(lines).encode("utf-8", "surrogateescape")


def _differs(now: str, mark: str, end: str) -> bool:
    """Whether a box has to be written again. One that a person left open in another way stays."""
    if mark == " ":
        accepted = _RECEIPT.search(end.rstrip())
        return now in ("x", "X") or bool(now == "~" and accepted and accepted["accepted"])
    return now.lower() != mark


def _set_cell(cell: str, mark: str, suffix: str) -> str:
    """A cell of a table, with its box filled or emptied if it is one."""
    found = _CELL_BOX.fullmatch(cell)
    if found is None:
        return cell
    part = "sign" if found["sign"] else "mark"
    filled = {" ": "☐", "x": "☑", "~": "☒"}[mark] if found["sign"] else mark
    after = cell[found.end(part) :].replace(found["receipt"] or "\0", "")
    box = after[: len(after) - len(after.lstrip("]\ufe0f"))]
    return f"{cell[: found.start(part)]}{filled}{box}{suffix}{after[len(box) :]}"
