"""Function signatures and interfaces in TypeScript text, read without a compiler.

Enough for specifications: `name(a: string, b?: number): Promise<T[]>` with or without
`export async function`, and `interface Name { field: type; }`. Comments and strings are left aside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

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
_KEYWORDS = frozenset(["if", "for", "while", "switch", "return", "catch", "await", "throw", "new"])
#: type names that TypeScript itself knows
BUILT_IN = frozenset(
    (
        *("Promise", "Array", "Record", "Partial", "Pick", "Omit", "Readonly", "ReadonlyArray"),
        *("Date", "Map", "Set", "Required", "NonNullable", "Error", "AsyncIterable", "Awaited"),
    )
)


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
    #: comment right above it, joined to one line
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
        """The types of the module's own that the signature uses."""
        words = re.findall(r"\b[A-Z][\w$]*\b", self.text)
        return tuple(dict.fromkeys(word for word in words if word not in BUILT_IN))


@dataclass(frozen=True)
class Interface:
    name: str
    #: field → type as written, `?` kept as `| undefined`
    fields: dict[str, str]
    #: character range of the whole declaration's braces in the text
    start: int
    end: int


def blank_comments(text: str) -> str:
    """The text with comments and string contents replaced by spaces, lengths kept."""
    pattern = r"//[^\n]*|/\*.*?\*/|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|`(?:[^`\\]|\\.)*`"

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found.group())

    return re.sub(pattern, blank, text, flags=re.DOTALL)


def signatures(text: str) -> tuple[Signature, ...]:
    """Every function with a return type that the text declares at its top level, once each."""
    plain = blank_comments(text)
    found: dict[str, Signature] = {}
    for head in _HEAD.finditer(plain):
        name = head.group("name") or head.group("arrow")
        if name in _KEYWORDS or _depth(plain, head.start()) > 0:
            continue
        close = matching(plain, head.end() - 1)
        returns = _return_type(plain, close + 1) if close > 0 else ""
        if returns:
            listed = tuple(_parameters(text[head.end() : close]))
            found.setdefault(name, Signature(name, listed, returns, _comment(text, head.start())))
    return tuple(found.values())


def exported(text: str) -> tuple[str, ...]:
    """Names of the functions and constants that a module exports."""
    plain = blank_comments(text)
    pattern = r"^\s*export\s+(?:async\s+)?(?:function|const|let)\s+([A-Za-z_$][\w$]*)"
    return tuple(re.findall(pattern, plain, re.MULTILINE))


def interfaces(text: str) -> tuple[Interface, ...]:
    """The interfaces and object types that the text declares."""
    plain = blank_comments(text)
    found = []
    for head in _INTERFACE.finditer(plain):
        close = matching(plain, head.end() - 1)
        if close > 0:
            body = re.sub(r"/\*.*?\*/|//[^\n]*", "", text[head.end() : close], flags=re.DOTALL)
            name = head.group(1) or head.group(2)
            found.append(Interface(name, dict(_fields(body)), head.start(), close + 1))
    return tuple(found)


def matching(text: str, start: int) -> int:
    """Offset of the bracket that closes the one at `start`, or -1."""
    depth = 0
    for index in range(start, len(text)):
        c = text[index]
        if c in _OPEN:
            depth += 1
        elif c in _CLOSE and not (c == ">" and text[index - 1] == "="):
            depth -= 1
            if depth == 0:
                return index
    return -1


def split_top(text: str, separator: str) -> Iterator[str]:
    """`text` split at a separator that stands in no brackets."""
    depth, start = 0, 0
    for index, c in enumerate(text):
        if c in _OPEN:
            depth += 1
        elif c in _CLOSE and not (c == ">" and text[index - 1 : index] == "="):
            depth -= 1
        elif c == separator and depth == 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def _depth(plain: str, offset: int) -> int:
    """How many braces are open before the offset."""
    return plain.count("{", 0, offset) - plain.count("}", 0, offset)


def _return_type(plain: str, offset: int) -> str:
    """The type after `): `, up to the body, the end of the line or a semicolon."""
    if not re.match(r"\s*:", plain[offset:]):
        return ""
    start = plain.index(":", offset) + 1
    depth = 0
    for index in range(start, len(plain)):
        c = plain[index]
        if depth == 0 and c in "{;\n" and plain[start:index].strip():
            return plain[start:index].strip().removesuffix("=>").strip()
        depth += c in _OPEN
        depth -= c in _CLOSE and plain[index - 1] != "="
    return plain[start:].strip()


def _parameters(text: str) -> Iterator[Parameter]:
    for piece in split_top(text, ","):
        found = re.match(r"\s*([A-Za-z_$][\w$]*)\s*(\??)\s*:\s*(.+?)\s*(=.*)?$", piece, re.DOTALL)
        if found:
            name, mark, kind, default = found.groups()
            yield Parameter(name, kind, bool(mark or default))


def _fields(body: str) -> Iterator[tuple[str, str]]:
    for line in re.split(r"[;\n]", body):
        found = _FIELD.match(line)
        if found:
            name, mark, kind = found.groups()
            yield name, f"{kind} | undefined" if mark else kind


def _comment(text: str, offset: int) -> str:
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
