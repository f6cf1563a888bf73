"""Checks that no code is left in comments."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from itertools import groupby

from orchestrate_agents.checks.text.absent import few
from orchestrate_agents.checks.text.kinds import Kind
from orchestrate_agents.checks.text.tree import (
    Area,
    Binary,
    Source,
    files_of,
    is_prose,
    read_source,
)
from orchestrate_agents.syntax import parsed
from orchestrator.gates.checks import Context, Result, check, failed, proven, unproven

_PYTHON = (".py", ".pyi")
_MARK = re.compile(r"^\s*(?:#+|//+|/\*+|\*+/|\*|--+|;+|<!--)?\s?|\s*(?:\*/|-->)\s*$")
#: directives to tools, and addresses
_DIRECTIVE = re.compile(
    r"(?i)^\W*(?:noqa|type:|pylint|pragma|eslint|prettier|ts-|@ts-|fmt:|isort:|nosec|mypy:|ruff:|"
    r"!|-\*-|istanbul|c8 |v8 |webpack|region|endregion|todo|fixme|https?://|<reference|global |"
    r"cspell|biome|noinspection|copyright|spdx)"
)
#: lines that only code has, in languages with braces, and lines that may be code
_SURE = re.compile(
    r"""^(?:(?:const|let|var)\s+[\w$\[\]{},\s:]+=.*[;,({\[]?$|import\s+.*\bfrom\s+['"].+|import\s+['"].+['"];?$
    |export\s+(?:default|const|function|class|type|interface)\b.*|(?:async\s+)?function\b\s*\w*\s*\(.*
    |(?:return|throw|await|yield|delete|new)\b.*;$|(?:if|while|for|switch|catch)\s*\(.*\)\s*\{?.*[;{}]?$
    |\}?\s*else\s*(?:if\s*\(.*)?\{.*|[\w$.\[\]'"]+\s*(?:[-+*/|&]|\|\||&&|\?\?)?=\s*[^=\s].*;$
    |[\w$.\[\]?!]+\(.*\)\s*;$|[\w$.\[\]?!]+\(\s*$|[\w$.]+\(.*=>\s*\{?$|\}\s*\)?\s*;$
    |</?[A-Za-z][\w.-]*(?:\s[^<>]*)?/?>.*
    |(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|DROP|ALTER|CREATE)\s.*;$)$""",
    re.VERBOSE,
)
_MAYBE = re.compile(r".*[;{}]$|^[\w$.]+\(.*\)$|^[\w$.\[\]]+\s*[-+*/|&]?=\s*\S+$|^@\w+.*\)$")


@check(
    "[there (is|are)] no commented-out code [(left|remains|is left|is present|remaining|blocks)] "
    "[(in|under|within|inside|across|left in) {area:area}]",
    "[there (is|are)] no [(blocks of|lines of)] commented out (code|code blocks) "
    "[(left|remains|is left|is present)] [(in|under|within|inside|across|left in) {area:area}]",
    "{area:area} (contains|contain|has|have) no (commented-out|commented out) code",
    "{area:area} (is|are) free of (commented-out|commented out) code",
    "[all] (commented-out|commented out) code (is|was|has been) (removed|deleted) "
    "[(from|in) {area:area}]",
    "no code is commented out [(in|under) {area:area}]",
    name="text.no-commented-code",
    examples=("No commented-out code in `src/`", "All commented-out code is removed"),
)
def no_commented_code(ctx: Context, area: Area | None = None) -> Result:
    """Comments of every program there are read as code; what may be code leaves it unproven."""
    paths = files_of(ctx, area or Area("code"))
    if isinstance(paths, Result):
        return paths
    looked: list[str] = []
    hits: list[str] = []
    unclear: list[str] = []
    for path in (p for p in paths if not is_prose(p)):
        source = read_source(ctx, path)
        if isinstance(source, str):
            unclear += [] if isinstance(source, Binary) else [source]
            continue
        if source.parts.rest is not Kind.CODE:
            unclear += [f"{path}, whose comments cannot be determined"] * (
                source.parts.rest is Kind.UNKNOWN
            )
            continue
        looked.append(path)
        for sure, line in _found(source):
            (hits if sure else unclear).append(f"{path}:{line}")
    if hits:
        return failed(f"code in comments: {few(hits)}", found=hits[:100])
    if unclear:
        return unproven(f"not sure about {few(unclear)}")
    if not looked:
        return unproven(f"{area or 'the workspace'} holds no program that can be read here")
    return proven(f"no code in the comments of {len(looked)} files", *looked[:100])


def _found(source: Source) -> Iterator[tuple[bool, int]]:
    """(surely, line) of each comment that holds code; one per block."""
    lines: list[tuple[int, str]] = []
    parts = source.parts
    for start, end, kind in parts.spans:
        begin = source.text.rfind("\n", 0, start) + 1
        before = source.text[begin:start].strip()
        # a comment beside code explains it; a documentation comment holds examples
        text = source.text[start:end]
        comment = kind is Kind.COMMENT or (kind is Kind.UNKNOWN and text[:2] in ("//", "/*"))
        if not comment or before not in ("", "{") or _is_doc(text):
            continue
        first = source.line(start)
        lines += enumerate(text.splitlines(), first)
    for _, block in groupby(enumerate(lines), lambda item: item[1][0] - item[0]):
        texts = [(number, _MARK.sub("", text.rstrip())) for _, (number, text) in block]
        yield from _python(texts) if source.path.endswith(_PYTHON) else _braces(texts)


def _is_doc(comment: str) -> bool:
    return comment.startswith(("/**", '"', "'", "///", "//!", "#!")) or comment[:1].isalpha()


def _braces(block: list[tuple[int, str]]) -> Iterator[tuple[bool, int]]:
    kept = [(n, t.strip()) for n, t in block if t.strip() and not _DIRECTIVE.match(t)]
    sure = next((n for n, t in kept if _SURE.match(t)), 0)
    maybe = next((n for n, t in kept if _MAYBE.match(t)), 0)
    if sure or maybe:
        yield bool(sure), sure or maybe


def _python(block: list[tuple[int, str]]) -> Iterator[tuple[bool, int]]:
    """Code by Python's own parser: the whole block, else line by line."""
    kept = [(n, t) for n, t in block if not _DIRECTIVE.match(t)]
    whole = _judged(textwrap.dedent("\n".join(t for _, t in kept)))
    found = [(n, _judged(_closed(t.strip()))) for n, t in kept]
    if whole is not None:
        found = [(kept[0][0], whole)]
    for verdict in (True, False):
        if lines := [n for n, each in found if each is verdict]:
            yield verdict, lines[0]
            return


def _closed(line: str) -> str:
    """A line that opens a block or continues one, as a statement of its own."""
    if re.match(r"(?:elif|else|except|finally|case)\b.*:$", line):
        return f"{re.sub(r'^elif', 'if', line)} pass" if line.startswith("elif") else ""
    if line.startswith("@"):
        return f"{line}\ndef f(): pass"
    return f"{line} pass" if line.endswith(":") and " " in line else line


def _judged(text: str) -> bool | None:
    """True for code, False for what may be prose, None for what is not code."""
    if not text.strip():
        return None
    try:
        body = parsed(text).body
    except (SyntaxError, ValueError, RecursionError):
        try:
            body = parsed(f"async def f():\n{textwrap.indent(text, ' ')}").body[0].body  # type: ignore[attr-defined]
        except (SyntaxError, ValueError, RecursionError):
            return None
    verdicts = [_weighed(node) for node in body]
    return True if True in verdicts else False if False in verdicts else None


def _weighed(node: ast.stmt) -> bool | None:
    match node:
        case ast.Expr(value=ast.Call() | ast.Await() | ast.Yield()):
            return True
        case ast.Expr(value=ast.Name() | ast.Constant() | ast.Tuple() | ast.Set()):
            return None
        case ast.Expr(value=ast.Attribute() | ast.List() | ast.UnaryOp() | ast.Subscript()):
            return None
        case ast.Expr():
            return False
        case ast.AnnAssign(value=None):
            return None
        case ast.Return(value=ast.Name() | None) | ast.Raise(exc=ast.Name() | None) | ast.Pass():
            return False
        case ast.Assert(test=ast.Name()) | ast.Delete() | ast.Break() | ast.Continue():
            return False
        case ast.Global() | ast.Nonlocal():
            return False
    return True
