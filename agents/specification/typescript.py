"""Signatures and interfaces in TypeScript text, and how they relate to database tables.

Read without a compiler, which is enough for specifications: `name(a: string): Promise<T[]>` with or
without `export async function`, and `interface Name { field: type; }`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrate_agents.sql.parse import Column, Table

_OPEN, _CLOSE = "([{<", ")]}>"
_HEAD = re.compile(
    r"^[ \t]*(?:export\s+)?(?:default\s+)?(?:async\s+)?(?:function\s+)?"
    r"(?:(?:const|let)\s+(?P<arrow>[A-Za-z_$][\w$]*)\s*=\s*(?:async\s*)?|"
    r"(?P<name>[A-Za-z_$][\w$]*)\s*)\(",
    re.MULTILINE,
)
_INTERFACE = re.compile(
    r"\b(?:interface\s+([A-Za-z_$][\w$]*)|type\s+([A-Za-z_$][\w$]*)\s*=)[^{;]*\{"
)
_FIELD = re.compile(
    r"^\s*(?:readonly\s+)?[\"']?([A-Za-z_$][\w$]*)[\"']?(\?)?\s*:\s*(.+?)\s*[;,]?\s*$"
)
_PARAMETER = re.compile(r"\s*([A-Za-z_$][\w$]*)\s*(\??)\s*:\s*(.+?)\s*(=.*)?$", re.DOTALL)
_COMMENT_OR_STRING = re.compile(
    r"//[^\n]*|/\*.*?\*/|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|`(?:[^`\\]|\\.)*`", re.DOTALL
)
_KEYWORDS = frozenset(["if", "for", "while", "switch", "return", "catch", "await", "throw", "new"])
_BUILT_IN_TYPES = frozenset(
    (
        *("Promise", "Array", "Record", "Partial", "Pick", "Omit", "Readonly", "ReadonlyArray"),
        *("Date", "Map", "Set", "Required", "NonNullable", "Error", "AsyncIterable", "Awaited"),
    )
)
_NUMERIC_SQL = re.compile(
    r"^(smallint|integer|bigint|numeric|decimal|real|double precision|float)\b"
)
_TEXT_SQL = re.compile(
    r"^(text|varchar|character|char|bpchar|citext|uuid|date|time|timestamp|timestamptz|timetz|"
    r"interval|inet|bytea|name|money)\b"
)
#: share of an interface's fields that must be columns of a table for the two to belong together
_LEAST_SHARED = 0.6


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str
    optional: bool = False


@dataclass(frozen=True)
class Signature:
    """One function as a specification or a module declares it."""

    name: str
    parameters: tuple[Parameter, ...]
    #: return type as written
    returns: str
    #: the comment right above it, joined to one line
    comment: str = ""

    @property
    def result(self) -> str:
        """The type inside `Promise<…>`, or the return type itself."""
        found = re.fullmatch(r"Promise\s*<(.*)>", self.returns, re.DOTALL)
        return (found.group(1) if found else self.returns).strip()

    @property
    def text(self) -> str:
        """`(a: string, b?: number) => Promise<T>`."""
        listed = ", ".join(f"{p.name}{'?' * p.optional}: {p.type}" for p in self.parameters)
        return f"({listed}) => {self.returns}"

    @property
    def named_types(self) -> tuple[str, ...]:
        """The types it uses that are not built into TypeScript."""
        words = re.findall(r"\b[A-Z][\w$]*\b", self.text)
        return tuple(dict.fromkeys(word for word in words if word not in _BUILT_IN_TYPES))


@dataclass(frozen=True)
class Interface:
    name: str
    #: field → type as written, `?` kept as `| undefined`
    fields: dict[str, str]
    #: character range of the declaration in the text
    start: int
    end: int


def blank_comments(text: str) -> str:
    """The text with comments and strings replaced by spaces, all offsets kept."""
    return _COMMENT_OR_STRING.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def signatures(text: str) -> tuple[Signature, ...]:
    """Every top-level function that declares its return type, once each."""
    plain = blank_comments(text)
    found: dict[str, Signature] = {}
    for head in _HEAD.finditer(plain):
        name = head.group("name") or head.group("arrow")
        in_a_block = plain.count("{", 0, head.start()) > plain.count("}", 0, head.start())
        if name in _KEYWORDS or in_a_block:
            continue
        close = _closing_bracket(plain, head.end() - 1)
        returns = _return_type(plain, close + 1) if close > 0 else ""
        if returns:
            listed = tuple(_parameters(text[head.end() : close]))
            comment = _comment_above(text, head.start())
            found.setdefault(name, Signature(name, listed, returns, comment))
    return tuple(found.values())


def exported(text: str) -> tuple[str, ...]:
    """Names of the functions and constants that a module exports."""
    pattern = r"^\s*export\s+(?:async\s+)?(?:function|const|let)\s+([A-Za-z_$][\w$]*)"
    return tuple(re.findall(pattern, blank_comments(text), re.MULTILINE))


def interfaces(text: str) -> tuple[Interface, ...]:
    """The interfaces and object types that the text declares."""
    plain = blank_comments(text)
    found = []
    for head in _INTERFACE.finditer(plain):
        close = _closing_bracket(plain, head.end() - 1)
        if close < 0:
            continue
        body = re.sub(r"/\*.*?\*/|//[^\n]*", "", text[head.end() : close], flags=re.DOTALL)
        fields = {}
        for field in filter(None, map(_FIELD.match, re.split(r"[;\n]", body))):
            name, mark, kind = field.groups()
            fields[name] = f"{kind} | undefined" if mark else kind
        found.append(Interface(head.group(1) or head.group(2), fields, head.start(), close + 1))
    return tuple(found)


def _depths(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Each offset from `start` on with the brackets open after it; `=>` closes none."""
    depth = 0
    for index in range(start, len(text)):
        c = text[index]
        if c in _OPEN:
            depth += 1
        elif c in _CLOSE and not (c == ">" and text[index - 1 : index] == "="):
            depth -= 1
        yield index, depth


def _closing_bracket(text: str, start: int) -> int:
    """Offset of the bracket that closes the one at `start`, or -1."""
    return next((index for index, depth in _depths(text, start) if depth == 0), -1)


def _return_type(plain: str, offset: int) -> str:
    """The type after `): `, up to the body, the end of the line or a semicolon."""
    if not re.match(r"\s*:", plain[offset:]):
        return ""
    start = plain.index(":", offset) + 1
    end = len(plain)
    for index, depth in _depths(plain, start):
        ends = (plain[index] in ";\n" and depth == 0) or (plain[index] == "{" and depth == 1)
        if ends and plain[start:index].strip():
            end = index
            break
    return plain[start:end].strip().removesuffix("=>").strip()


def _parameters(text: str) -> Iterator[Parameter]:
    commas = [i for i, depth in _depths(text, 0) if depth == 0 and text[i] == ","]
    for start, end in zip([0, *(i + 1 for i in commas)], [*commas, len(text)], strict=True):
        found = _PARAMETER.match(text[start:end])
        if found:
            name, mark, kind, default = found.groups()
            yield Parameter(name, kind, bool(mark or default))


def _comment_above(text: str, offset: int) -> str:
    """The `//` or `/** */` comment that ends right above the offset."""
    above = text[:offset].rstrip()
    lines: list[str] = []
    if above.endswith("*/"):
        block = above[above.rfind("/*") :]
        lines = [line.strip().strip("*/").strip() for line in block.splitlines()]
    else:
        for line in reversed(above.splitlines()):
            if not line.strip().startswith("//"):
                break
            lines.insert(0, line.strip().lstrip("/").strip())
    return " ".join(line for line in lines if line)


# -- tables --------------------------------------------------------------------------------------


def column_type(column: Column) -> str:
    """The TypeScript type of a column as the REST interface returns it; "" where any will do."""
    sql = column.type.removesuffix("[]").strip()
    if _NUMERIC_SQL.match(sql):
        kind = "number"
    elif sql.startswith("bool"):
        kind = "boolean"
    elif _TEXT_SQL.match(sql):
        kind = "string"
    else:
        return ""
    kind += "[]" if column.is_array else ""
    return kind if column.not_null or column.primary_key else f"{kind} | null"


def interface_name(table: str) -> str:
    """`branch_hours` → `BranchHour`."""
    *words, last = table.split("_")
    if last.endswith("ies"):
        last = last[:-3] + "y"
    elif re.search(r"(ches|shes|sses|xes)$", last):
        last = last[:-2]
    elif not re.search(r"(ss|us|is)$", last):
        last = last.removesuffix("s")
    return "".join(word[:1].upper() + word[1:] for word in (*words, last))


def interface_table(item: Interface, tables: Mapping[str, Table], module: str = "") -> Table | None:
    """The table whose rows an interface describes: by name, else by shared fields."""
    for table in tables.values():
        if item.name.lower() in {interface_name(table.name).lower(), table.name.replace("_", "")}:
            return table
    best, share = None, 0.0
    for table in tables.values():
        columns = {c.name for c in table.columns}
        shared = sum(name in columns for name in item.fields) / (len(item.fields) or 1)
        asked = re.search(rf"from\(\s*['\"`]{re.escape(table.name)}['\"`]", module)
        if asked and shared > share:
            best, share = table, shared
    return best if share >= _LEAST_SHARED else None
