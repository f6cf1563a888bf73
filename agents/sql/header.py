"""The comment at the head of a migration: its number, and the base schema that it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.sql.parse import Migration, parse_migration, relation_name, tokens, walk

_NUMBERED = re.compile(r"(?i)\b(migration\s*(?:no\.?|nr\.?|number|#)?\s*)(\d+)")
NEEDS_LABEL = "Base schema:"


@dataclass(frozen=True)
class Header:
    """What the head of the file says. `number` is spelled as in the file's name (`059`), or ""."""

    number: str
    ticket: str = ""
    #: where the specification stands: `workflows/x.md`, stage 2
    source: str = ""


@dataclass(frozen=True)
class Needs:
    """What must exist before the migration: all that it names and does not make."""

    tables: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    def __str__(self) -> str:
        tables = ", ".join(self.tables) or "no table of an earlier migration"
        parts = [tables]
        if self.functions:
            parts.append("functions " + ", ".join(self.functions))
        if self.roles:
            parts.append("roles " + ", ".join(self.roles))
        return "; ".join(parts)


def needs_of(migration: Migration) -> Needs:
    """The tables, schema-qualified functions and roles that the migration builds on."""
    made = {(t.schema, t.name) for t in migration.tables} | _made_otherwise(migration)
    tables: dict[str, None] = {}
    functions: dict[str, None] = {}
    roles: dict[str, None] = {}
    for node in walk([s.node for s in migration.statements]):
        kind = type(node).__name__
        if kind == "RangeVar" and relation_name(node) not in made and not _of_system(node):
            tables[".".join(relation_name(node))] = None
        elif kind == "FuncCall" and len(node.funcname) > 1:
            schema, name = node.funcname[-2].sval, node.funcname[-1].sval
            if schema not in ("pg_catalog", "public"):
                functions[f"{schema}.{name}()"] = None
        elif kind == "RoleSpec" and node.rolename:
            roles[node.rolename] = None
    return Needs(tuple(tables), tuple(functions), tuple(roles))


def _made_otherwise(migration: Migration) -> set[tuple[str, str]]:
    made = set()
    for statement in migration.of("ViewStmt", "CreateTableAsStmt", "CreateSeqStmt", "IndexStmt"):
        relation: Any = (
            getattr(statement.node, "view", None)
            or getattr(statement.node, "sequence", None)
            or getattr(getattr(statement.node, "into", None), "rel", None)
        )
        if relation is not None:
            made.add(relation_name(relation))
    for node in walk([s.node for s in migration.statements]):
        if type(node).__name__ == "CommonTableExpr":
            made.add(("public", node.ctename))
    return made


def _of_system(relation: Any) -> bool:
    return (relation.schemaname or "").startswith(("pg_", "information_schema")) or (
        not relation.schemaname and relation.relname.startswith("pg_")
    )


def with_header(text: str, header: Header, specification: Migration) -> tuple[str, str]:
    """The text under a head with the right number; and a note if another number stood there."""
    end = _comment_end(text)
    head, body = text[:end], text[end:]
    wrong: list[str] = []
    if header.number:
        wrong = [m[2] for m in _NUMBERED.finditer(head) if int(m[2]) != int(header.number)]
        head = _NUMBERED.sub(lambda m: m[1] + header.number, head)
        if not _NUMBERED.search(head):
            head = f"-- MIGRATION {header.number}\n{head}"
    lines = list(_own_lines(header, specification))
    note = f"the head said migration {wrong[0]}, the file is {header.number}" if wrong else ""
    return _inserted(head, lines) + body, note


def _comment_end(text: str) -> int:
    """Where the first comment block ends: at an empty line or the first statement."""
    first = next((t for t in tokens(text) if not t.name.endswith("COMMENT")), None)
    limit = len(text) if first is None else first.start
    gap = text.find("\n\n", 0, limit)
    block = text[: gap + 1] if gap >= 0 else text[:limit]
    return len(block) if block.lstrip().startswith(("--", "/*")) else 0


def _own_lines(header: Header, specification: Migration) -> Iterator[str]:
    if header.source:
        made = f"-- Specification: {header.source}"
        yield made + (f" ({header.ticket})" if header.ticket else "")
    yield f"-- {NEEDS_LABEL} {needs_of(specification)}"
    yield "-- Re-runnable: a second run changes nothing."


def _inserted(head: str, lines: list[str]) -> str:
    """Our lines as the last ones of the block, before a closing rule."""
    block = head.rstrip("\n").splitlines()
    at = len(block)
    if len(block) > 1 and re.fullmatch(r"--\s*[-=*#]{3,}\s*", block[-1]):
        at -= 1
    tail = "\n" * max(1, len(head) - len(head.rstrip("\n")))
    return "\n".join([*block[:at], *lines, *block[at:]]) + tail


def header_number(text: str) -> str:
    """The migration number that a file's head names, or ""."""
    found = _NUMBERED.search(text[: _comment_end(text)])
    return found[2] if found else ""


def header_needs(text: str) -> str:
    """What the head says of the base schema, or ""."""
    found = re.search(rf"(?im)^--\s*{NEEDS_LABEL}\s*(\S.*)$", text[: _comment_end(text)])
    return found[1].strip() if found else ""


def describe(text: str) -> Needs:
    """`needs_of` on a text. Raises SqlError."""
    return needs_of(parse_migration(text))
