"""Make a specification's SQL re-runnable without a DROP, keeping the author's text where it can.

Each statement is judged by its tree and edited by its tokens; comments, order and layout remain.
What is changed, and why, comes back as a list for the ticket.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrate_agents.sql.header import Header, with_header
from orchestrate_agents.sql.natural_key import (
    has_natural_key,
    natural_key,
    needs_nulls_not_distinct,
)
from orchestrate_agents.sql.parse import Migration, Statement, Table, parse_migration
from orchestrate_agents.sql.statements import EDITORS, Edit, sql_literal, sql_name, tag_for


@dataclass(frozen=True)
class Change:
    """One difference from the specification. `line` is that of the specification."""

    line: int
    what: str
    why: str


@dataclass(frozen=True)
class Transformed:
    """The migration's text, and what was changed against the specification."""

    text: str
    changes: tuple[Change, ...]


@dataclass
class _Splices:
    text: str
    parts: list[tuple[int, int, str]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def replace(self, start: int, end: int, new: str) -> None:
        self.parts.append((start, end, new))

    def note(self, line: int, what: str, why: str) -> None:
        self.changes.append(Change(line, what, why))

    def result(self) -> str:
        out, at = [], 0
        for start, end, new in sorted(self.parts, key=lambda part: part[:2]):
            out += [self.text[at:start], new]
            at = end
        return "".join([*out, self.text[at:]])


def make_rerunnable(sql: str, *, header: Header, seeded: Iterable[str] = ()) -> Transformed:
    """The specification's SQL as a migration that may run twice. Raises SqlError.

    `seeded` names the tables that a seed upserts into: each gets a natural unique key
    (`orchestrate_agents.sql.natural_key`) unless it has one.
    """
    sql = sql.strip("\n") + "\n"
    migration = parse_migration(sql)
    splices = _Splices(sql)
    keyed = {t.name: t for t in migration.tables if t.name in set(seeded)}
    for statement in migration.statements:
        if _is_redundant_drop(statement, migration):
            _remove(statement, splices)
        else:
            _edit(statement, migration, keyed, splices)
            _guard_table(statement, migration, keyed, splices)
    text, note = with_header(splices.result(), header, migration)
    if note:
        splices.note(1, note, "the file's name decides")
    return Transformed(text, tuple(sorted(splices.changes, key=lambda c: c.line)))


def _edit(
    statement: Statement, migration: Migration, keyed: dict[str, Table], splices: _Splices
) -> None:
    if statement.kind == "InsertStmt" and not _insert_has_key(statement, migration, keyed):
        return
    editor = EDITORS.get(statement.kind)
    if editor is None:
        return
    source = migration.source(statement)
    edit: Edit = editor(parse_migration(source).statements[0].node, source)
    if edit.text == source:
        return
    splices.replace(statement.start, statement.end, edit.text)
    splices.note(statement.line, edit.what, edit.why)


def _insert_has_key(statement: Statement, migration: Migration, keyed: dict[str, Table]) -> bool:
    name = statement.node.relation.relname
    return name in keyed or any(t.name == name and has_natural_key(t) for t in migration.tables)


def _is_redundant_drop(statement: Statement, migration: Migration) -> bool:
    """`DROP POLICY|TRIGGER IF EXISTS x` before the CREATE that is guarded (or replaced) anyway."""
    node = statement.node
    if statement.kind != "DropStmt" or not node.missing_ok:
        return False
    kinds = {"OBJECT_POLICY": "CreatePolicyStmt", "OBJECT_TRIGGER": "CreateTrigStmt"}
    kind = kinds.get(node.removeType.name)
    if kind is None or len(node.objects) != 1:
        return False
    *relation, name = (part.sval for part in node.objects[0])
    return any(
        later.start > statement.start and _created(later.node) == (relation[-1], name)
        for later in migration.of(kind)
    )


def _created(node: Any) -> tuple[str, str]:
    relation = getattr(node, "table", None) or node.relation
    return relation.relname, getattr(node, "policy_name", None) or node.trigname


def _remove(statement: Statement, splices: _Splices) -> None:
    end = _after(statement, splices.text)
    while splices.text[end : end + 1] == "\n" and splices.text[end + 1 : end + 2] == "\n":
        end += 1
    splices.replace(statement.start, min(end + 1, len(splices.text)), "")
    splices.note(
        statement.line,
        "a DROP … IF EXISTS is left out",
        "the CREATE after it is guarded, so that nothing is dropped when it runs again",
    )


def _after(statement: Statement, text: str) -> int:
    """The offset behind the statement's semicolon and a comment on the same line."""
    end = statement.end
    semicolon = text.find(";", end)
    if semicolon >= 0 and not text[end:semicolon].strip():
        end = semicolon + 1
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    rest = text[end:line_end].strip()
    return line_end if not rest or rest.startswith("--") else end


def _guard_table(
    statement: Statement, migration: Migration, keyed: dict[str, Table], splices: _Splices
) -> None:
    if statement.kind != "CreateStmt" or statement.node.relation.relpersistence == "t":
        return
    name = statement.node.relation.relname
    table = next((t for t in migration.tables if t.line == statement.line), None)
    if table is None or not table.columns:
        return
    after = ["", shape_guard(table)]
    splices.note(
        statement.line,
        f"a guard compares an existing `{name}` with the columns above",
        "`IF NOT EXISTS` would pass over a table of another shape in silence",
    )
    if name in keyed and not has_natural_key(keyed[name]):
        after += _natural_index(keyed[name], statement.line, splices)
    at = _after(statement, splices.text)
    closed = splices.text[statement.end : at].lstrip().startswith(";")
    splices.replace(at, at, ("" if closed else ";") + "\n".join(["", *after]))


def _natural_index(table: Table, line: int, splices: _Splices) -> list[str]:
    key = natural_key(table)
    if not key:
        splices.note(line, f"`{table.name}` gets no natural key", "no column says which row it is")
        return []
    index = f"{table.name}_natural_key"[:63]
    splices.note(
        line,
        f"unique key on `{table.name}` ({', '.join(key)})",
        "its only key was the generated id: each run of a seed would add every row again",
    )
    loose = "\n  NULLS NOT DISTINCT" if needs_nulls_not_distinct(table, key) else ""
    columns = ", ".join(sql_name(c) for c in key)
    return [
        "",
        "-- Which thing a row is about: a seed that runs again updates the row.",
        f"CREATE UNIQUE INDEX IF NOT EXISTS {sql_name(index)}",
        f"  ON {_qualified(table)} ({columns}){loose};",
    ]


def _qualified(table: Table) -> str:
    return f"{sql_name(table.schema)}.{sql_name(table.name)}"


def shape_guard(table: Table) -> str:
    """A block that raises when the table exists with other columns or types than declared."""
    pairs = [f"({sql_literal(c.name)}, {sql_literal(c.type)})" for c in table.columns]
    tag = tag_for("shape", "".join(pairs))
    name = _qualified(table)
    return "\n".join(
        [
            f"DO {tag}",
            "DECLARE",
            "  lacking text;",
            "BEGIN",
            "  SELECT string_agg(wanted.name || ' ' || wanted.type, ', ') INTO lacking",
            "  FROM (VALUES",
            *_wrapped(pairs),
            "  ) AS wanted (name, type)",
            "  WHERE NOT EXISTS (",
            "    SELECT FROM pg_attribute",
            f"    WHERE attrelid = {sql_literal(name)}::regclass AND attname = wanted.name",
            "      AND atttypid = wanted.type::regtype AND NOT attisdropped",
            "  );",
            "  IF lacking IS NOT NULL THEN",
            f"    RAISE EXCEPTION '% exists with another shape; it lacks: %', {sql_literal(name)},",
            "      lacking;",
            "  END IF;",
            "END",
            f"{tag};",
        ]
    )


def _wrapped(pairs: list[str], width: int = 92) -> list[str]:
    lines, current = [], ""
    for index, pair in enumerate(pairs):
        piece = pair + ("," if index < len(pairs) - 1 else "")
        if current and len(current) + len(piece) + 5 > width:
            lines.append("    " + current)
            current = piece
        else:
            current = f"{current} {piece}".strip()
    return [*lines, "    " + current]
