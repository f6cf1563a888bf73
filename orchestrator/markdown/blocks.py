"""Markdown as a flat list of blocks with their lines, for the workflow reader."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator.markdown.loose_lists import is_list, mark_of, points

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


class Kind(StrEnum):
    HEADING = "heading"
    PARAGRAPH = "paragraph"
    ITEM = "item"
    FENCE = "fence"
    TABLE = "table"


@dataclass(frozen=True)
class TableRow:
    """A table's row: its cells, white space collapsed."""

    cells: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Piece:
    """One block of a document. Lines are 1-based; `end` is the last one."""

    kind: Kind
    line: int
    end: int
    #: the words after the label, soft line breaks as one space; a fence's content as written
    text: str = ""
    #: a bold lead ("Done when", "Part A: Importer"), without its colon
    label: str = ""
    #: label and text, markdown as written
    markdown: str = ""
    #: a heading's level; the depth of lists around anything else
    level: int = 0
    #: the number that an ordered item carries in the source
    number: int | None = None
    #: a checkbox: ticked or not
    box: bool | None = None
    language: str = ""
    rows: tuple[TableRow, ...] = ()
    #: a fence that only the end of the file closes
    unclosed: bool = False
    #: a heading made by a line of dashes below it
    underlined: bool = False

    @property
    def said(self) -> str:
        """`label: text` without bold marks, for matching words like "Done when"."""
        return f"{self.label}: {self.text}" if self.label else self.text

    @property
    def is_label(self) -> bool:
        """Whether it is a bold line that heads what follows."""
        return bool(self.label) and not self.text and self.box is None


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table").disable("inline")


_LABEL = re.compile(
    r"(\*\*|__)(?=\S)(?P<inner>.+?)(?<=\S)\1(?P<colon>\s*[:—–])?\s*(?P<rest>.*)", re.DOTALL
)
_KEYWORD = re.compile(
    r"(?:done[ -]when|(?:if|on|when)\s+(?:it\s+)?(?:pass|fail)\w*)\b.*[:—–]", re.IGNORECASE
)
#: also as people mistype it, without the space or the list: `- []`, `-[ ]`, `[ ]`
_BOX = re.compile(r"\[([ xX~/>!?-]?)\](?![(\[:])\s*(.*)", re.DOTALL)
_COMMENT, _TAG = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL), re.compile(r"<[^<>]*>")
#: after a line such as `// turbo`, markdown takes a number that is not 1 for words
_NOTE, _LOOSE_NUMBER = re.compile(r"//\s*\w"), re.compile(r"(\d{1,3})[.)]\s+(?=\S)")
_LOOSE_BOX = re.compile(r"(?:[-*+][ \t]*)?(?=\[[ xX~/>!?-]?\](?![(\[:])\s*\S)")


def label_of(text: str) -> tuple[str, str]:
    """(label, rest) of a paragraph: a bold lead that ends with a colon or is all of its line."""
    found = _LABEL.fullmatch(text)
    if found is None:
        return "", text
    inner, rest = found["inner"].strip(), found["rest"].strip()
    if found["colon"] or inner.endswith((":", "—", "–")) or not rest:
        return inner.rstrip(":—– "), rest
    return "", text


def block_tokens(text: str) -> list[Token]:
    """The blocks of a document as markdown-it gives them, without what is inside a paragraph."""
    # without the line end, markdown-it reads past some comments in a list in a quote (IndexError)
    return _parser().parse(text if text.endswith("\n") else f"{text}\n")


def pieces(text: str) -> tuple[Piece, ...]:
    """The blocks of a document in order. `text` has `\\n` line ends."""
    lines = text.split("\n")
    return tuple(_Walk(lines).run(block_tokens(text)))


def _span(token: Token) -> tuple[int, int]:
    start, end = token.map or (0, 1)
    return start + 1, end


class _Walk:
    """One pass over the parser's tokens."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        #: (number, still without its first paragraph) of the list items around
        self.items: list[list[int | bool | None]] = []
        self.quotes = 0

    def run(self, tokens: list[Token]) -> Iterator[Piece]:
        index = 0
        while index < len(tokens):
            token = tokens[index]
            if token.type == "table_open":
                types = [each.type for each in tokens]
                close = types.index("table_close", index)
                yield self._table(tokens[index:close])
                index = close
            elif token.type == "list_item_open":
                self.items.append([int(token.info) if token.info.isdigit() else None, True])
            elif token.type == "list_item_close":
                self.items.pop()
            elif token.type in ("blockquote_open", "blockquote_close"):
                self.quotes += token.nesting
            elif token.type == "fence":
                yield self._fence(token)
            elif token.type == "html_block":
                yield from self._html(token)
            elif token.type == "heading_open" and not self.items and not self.quotes:
                line, end = _span(token)
                content = " ".join(tokens[index + 1].content.split())
                yield Piece(
                    Kind.HEADING,
                    line,
                    end,
                    content,
                    markdown=content,
                    level=int(token.tag[1]),
                    underlined=token.markup == "-",
                )
            elif token.type in ("heading_open", "paragraph_open"):
                for offset, content, is_point in _segments(tokens[index + 1].content):
                    line = _span(token)[0] + offset
                    yield self._point(content, line) if is_point else self._words(content, line)
            index += 1

    def _words(self, content: str, line: int) -> Piece:
        markdown = " ".join(content.split())
        piece = Piece(
            Kind.PARAGRAPH,
            line,
            line + content.count("\n"),
            markdown=markdown,
            level=len(self.items),
        )
        if self.items and self.items[-1][1]:
            number = self.items[-1][0]
            self.items[-1][1] = False
            piece = replace(piece, kind=Kind.ITEM, number=number if type(number) is int else None)
            box = _BOX.fullmatch(markdown)
            if box:
                return replace(piece, box=box[1] in ("x", "X"), text=box[2])
        elif loose := _LOOSE_BOX.match(markdown):
            box = _BOX.fullmatch(markdown[loose.end() :])
            assert box is not None
            return replace(piece, kind=Kind.ITEM, box=box[1] in ("x", "X"), text=box[2])
        elif not self.items and (loose := _LOOSE_NUMBER.match(markdown)):
            piece = replace(piece, kind=Kind.ITEM, number=int(loose[1]), level=1)
            label, rest = label_of(markdown[loose.end() :])
            return replace(piece, label=label, text=rest)
        label, rest = label_of(markdown)
        return replace(piece, label=label, text=rest)

    def _point(self, content: str, line: int) -> Piece:
        """An item of a list that markdown does not know."""
        piece = self._words(mark_of(content)[1].removesuffix("\\"), line)
        if piece.kind is Kind.ITEM:
            return piece
        return replace(piece, kind=Kind.ITEM, level=len(self.items) + 1)

    def _html(self, token: Token) -> Iterator[Piece]:
        """The words that are shown, line by line; a comment shows none."""
        shown = _COMMENT.sub(lambda found: "\n" * found.group().count("\n"), token.content)
        for offset, line in enumerate(shown.split("\n")):
            if words := _TAG.sub(" ", line).strip():
                yield self._words(words, _span(token)[0] + offset)

    def _fence(self, token: Token) -> Piece:
        line, end = _span(token)
        language = token.info.split()[0].lower() if token.info.strip() else ""
        last = self.lines[end - 1].strip(" >\t") if end <= len(self.lines) else ""
        closed = (
            end - line >= 1 and last.startswith(token.markup) and not last.strip(token.markup[0])
        )
        if self.items:
            self.items[-1][1] = False
        return Piece(
            Kind.FENCE,
            line,
            end,
            token.content,
            level=len(self.items),
            language=language,
            unclosed=not closed,
        )

    def _table(self, tokens: list[Token]) -> Piece:
        line, end = _span(tokens[0])
        rows: list[TableRow] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append(TableRow((), _span(token)[0]))
            elif token.type == "inline":
                cell = " ".join(token.content.split())
                rows[-1] = replace(rows[-1], cells=(*rows[-1].cells, cell))
        return Piece(Kind.TABLE, line, end, rows=tuple(rows), level=len(self.items))


def _segments(content: str) -> Iterator[tuple[int, str, bool]]:
    """A paragraph cut before each line that a label, a keyword or a point of a list begins.

    (line offset, text, whether it is a point)
    """
    lines = content.split("\n")
    starts = _point_starts(lines)
    start, kept = 0, list[str]()
    for offset, line in enumerate(lines):
        words = line.strip()
        begins = label_of(words)[0] or _KEYWORD.match(words) or _LOOSE_BOX.match(words)
        if kept and _NOTE.match(kept[-1]):
            begins = begins or _LOOSE_NUMBER.match(words)
        label, rest = label_of(kept[0].strip()) if len(kept) == 1 else ("", "")
        if kept and (begins or offset in starts or (label and not rest)):
            yield start, "\n".join(kept), start in starts
            start, kept = offset, []
        kept.append(line)
    if kept:
        yield start, "\n".join(kept), start in starts


def _point_starts(lines: Sequence[str]) -> set[int]:
    """The lines below a keyword that begin a point of a list that markdown does not know.

    Elsewhere a paragraph stays whole: what its first line says is part of its points.
    """
    head = lines[0].strip(" *_")
    if not lines[1:] or not _KEYWORD.fullmatch(head) or not head.endswith(":"):
        return set()
    return {1 + offset for offset, _ in points(lines[1:])} if is_list(lines[1:]) else set()
