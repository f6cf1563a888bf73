"""Which parts of a file are code, comment or string: a word in a comment is not code."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import PurePosixPath

from orchestrate_agents.syntax import parsed


class Kind(StrEnum):
    """What a part of a file is."""

    CODE = "code"
    COMMENT = "comment"
    STRING = "string"
    #: prose, data, or a language that is not known
    TEXT = "text"
    #: it cannot be determined
    UNKNOWN = "unknown"


#: (start, end, kind) of the parts that are not code, in order
Spans = list[tuple[int, int, Kind]]

JAVASCRIPT = (".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts")
PROSE = (".md", ".mdx", ".markdown", ".rst", ".txt", ".adoc")
#: elements in these may hold text with quotes and slashes
_MARKUP = (".js", ".jsx", ".tsx")
#: files in which a word is a word, whatever stands around it
_DATA = (".json", ".csv", ".tsv", ".svg", ".lock", ".log", ".ipynb", ".snap", ".map")
#: larger files are not distinguished
_LARGEST = 2_000_000
_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)|'(?:[^'\\\n]|\\.)*'?|\"(?:[^\"\\\n]|\\.)*\"?|[`{}]"
    r"|/(?![/*])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*|[\w$]+|[^\s\w]",
    re.DOTALL,
)
#: after these a slash begins a regular expression
_BEFORE_REGEX = re.compile(
    r"(?:[(,=:\[!&|?{};+\-*%~^<>]|return|typeof|case|in|of|do|else|void|delete|throw|new|=>)\Z"
)


@dataclass(frozen=True)
class Parts:
    """The parts of a text."""

    text: str
    spans: Spans
    #: what all that is in no span is
    rest: Kind

    def kind(self, offset: int) -> Kind:
        """What is at an offset."""
        index = bisect_right(self.spans, offset, key=lambda span: span[0]) - 1
        if index >= 0 and offset < self.spans[index][1]:
            return self.spans[index][2]
        return self.rest

    def only(self, *kinds: Kind) -> str:
        """The text with all other parts blanked, offsets kept."""
        ends = [0, *(at for start, end, _ in self.spans for at in (start, end)), len(self.text)]
        out = []
        for start, end in pairwise(ends):
            part = self.text[start:end]
            kept = start < end and self.kind(start) in kinds
            out.append(part if kept else re.sub(r"[^\n]", " ", part))
        return "".join(out)


def parts_of(path: str, text: str) -> Parts:
    """Tell code, comments and strings of a file apart, by its name."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in PROSE:
        comments = [(m.start(), m.end(), Kind.COMMENT) for m in _HIDDEN.finditer(text)]
        return Parts(text, comments, Kind.TEXT)
    if suffix in _DATA:
        return Parts(text, [], Kind.TEXT)
    if len(text) > _LARGEST:
        return Parts(text, [], Kind.UNKNOWN)
    if suffix in (".py", ".pyi"):
        spans = _python(text)
    elif suffix in JAVASCRIPT:
        spans = list(_javascript(text, suffix in _MARKUP))
    else:
        spans = _by_pygments(path, text)
    if spans is None:
        known = bool(suffix) or PurePosixPath(path).name.startswith(".")
        return Parts(text, [], Kind.UNKNOWN if known else Kind.TEXT)
    return Parts(text, spans, Kind.CODE)


_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)


def _python(text: str) -> Spans | None:
    try:
        tree = parsed(text)
        starts = [0, *(m.end() for m in re.finditer(r"\n", text))]
        documented = {
            node.body[0].value.lineno: True
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
            and isinstance(node.body[0], ast.Expr)
        }
        spans: Spans = []
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            start = starts[token.start[0] - 1] + token.start[1]
            end = starts[token.end[0] - 1] + token.end[1]
            if token.type == tokenize.COMMENT:
                spans.append((start, end, Kind.COMMENT))
            elif token.type == tokenize.STRING:
                # what is in the braces of an f-string is code
                formatted = re.match(r"[rbu]*f", token.string, re.IGNORECASE)
                doc = token.start[0] in documented and not token.line[: token.start[1]].strip()
                kind = Kind.UNKNOWN if formatted and "{" in token.string else Kind.STRING
                spans.append((start, end, Kind.COMMENT if doc else kind))
        return spans
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
        return None


def _javascript(text: str, markup: bool) -> Iterator[tuple[int, int, Kind]]:
    """Comments, strings, templates and regular expressions; code in a template is code.

    With `markup`, what looks like a string may be the text of an element.
    """
    string = Kind.UNKNOWN if markup else Kind.STRING
    at, before = 0, "("
    #: for each open template: how many braces are open in its `${`
    braces: list[int] = []
    while found := _TOKEN.search(text, at):
        token, start, at = found.group(), found.start(), found.end()
        if token == "`" or (token == "}" and braces and not braces[-1]):
            braces = braces if token == "`" else braces[:-1]
            inner = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*(`|\$\{|\Z)", re.DOTALL).match(text, at)
            assert inner is not None
            at = inner.end()
            yield start, at, Kind.STRING
            braces += [0] if inner[1] == "${" else []
            before = "(" if inner[1] == "${" else "x"
            continue
        if token.startswith(("//", "/*")):
            line = text[text.rfind("\n", 0, start) + 1 : start].strip()
            yield start, at, Kind.UNKNOWN if markup and line and "<" in text else Kind.COMMENT
            continue
        if token[0] in "'\"":
            yield start, at, string
        elif token[0] == "/" and len(token) > 1:
            if not _BEFORE_REGEX.search(before):
                at = start + 1
            else:
                yield start, at, string
        elif braces and token in "{}":
            braces[-1] += 1 if token == "{" else -1
        before = token


def _by_pygments(path: str, text: str) -> Spans | None:
    from pygments.lexers import get_lexer_for_filename
    from pygments.token import Error
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_for_filename(PurePosixPath(path).name)
    except ClassNotFound:
        return None
    spans: Spans = []
    for start, token, value in lexer.get_tokens_unprocessed(text):
        if token is Error:
            return None
        names = tuple(token)
        if names[:1] == ("Comment",) and names[1:2] not in (("Preproc",), ("PreprocFile",)):
            spans.append((start, start + len(value), Kind.COMMENT))
        elif names[:2] == ("Literal", "String") and names[2:] != ("Interpol",):
            spans.append((start, start + len(value), Kind.STRING))
    return spans
