"""Make a specification's SQL re-runnable without a DROP, keeping the author's text where it can.

Each statement is judged by its tree and edited by its tokens; comments, order and layout remain.
What is changed, and why, is returned as a list for the ticket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrate_agents.sql.header import Header, with_header
from orchestrate_agents.sql.natural_key import (
    has_natural_key,
    natural_key,
    needs_nulls_not_distinct,
)
from orchestrate_agents.sql.parse import Migration, Statement, Table, parse_migration
from orchestrate_agents.sql.statement_edits import EDITORS, dollar_quote, sql_literal, sql_name


@dataclass(frozen=True)
class SpecChange:
    """One difference from the specification. `line` is that of the specification."""

    line: int
    what: str
    why: str


@dataclass(frozen=True)
class Rerunnable:
    """The migration's text, and what was changed against the specification."""

    text: str
    changes: tuple[SpecChange, ...]


@dataclass(frozen=True)
class _Splice:
    """A replacement of `text[start:end]`, with its entry in the list of changes."""

    start: int
    end: int
    new: str
    changes: tuple[SpecChange, ...]


def make_rerunnable(sql: str, *, header: Header, seeded: Iterable[str] = ()) -> Rerunnable:
    """The specification's SQL as a migration that may run twice. Raises SqlError.

    `seeded` names the tables that a seed upserts into: each gets a natural unique key
    (`orchestrate_agents.sql.natural_key`) unless it has one.
    """
    sql = sql.strip("\n") + "\n"
    migration = parse_migration(sql)
    keyed = {t.name: t for t in migration.tables if t.name in set(seeded)}
    splices = [s for each in migration.statements for s in _splices(each, migration, keyed)]
    parts, at = [], 0
    for splice in sorted(splices, key=lambda s: (s.start, s.end)):
        parts += [sql[at : splice.start], splice.new]
        at = splice.end
    changes = [change for splice in splices for change in splice.changes]
    text, note = with_header("".join([*parts, sql[at:]]), header, migration)
    if note:
        changes.append(SpecChange(1, note, "the file's name decides"))
    return Rerunnable(text, tuple(sorted(changes, key=lambda c: c.line)))


def _splices(
    statement: Statement, migration: Migration, keyed: dict[str, Table]
) -> Iterator[_Splice]:
    if _is_redundant_drop(statement, migration):
        yield _removal(statement, migration.text)
        return
    source = migration.source(statement)
    editor = EDITORS.get(statement.kind)
    if statement.kind == "InsertStmt":
        name = statement.node.relation.relname
        if name not in keyed and not any(
            t.name == name and has_natural_key(t) for t in migration.tables
        ):
            editor = None
    if editor is not None:
        edit = editor(parse_migration(source).statements[0].node, source)
        if edit.text != source:
            change = SpecChange(statement.line, edit.what, edit.why)
            yield _Splice(statement.start, statement.end, edit.text, (change,))
    if statement.kind == "CreateStmt" and statement.node.relation.relpersistence != "t":
        table = next((t for t in migration.tables if t.line == statement.line), None)
        if table is not None and table.columns:
            yield _guard_splice(statement, migration.text, table, keyed.get(table.name))


def _is_redundant_drop(statement: Statement, migration: Migration) -> bool:
    """`DROP POLICY|TRIGGER IF EXISTS x` before the CREATE that is guarded (or replaced) anyway."""
    node = statement.node
    if statement.kind != "DropStmt" or not node.missing_ok or len(node.objects) != 1:
        return False
    kinds = {"OBJECT_POLICY": "CreatePolicyStmt", "OBJECT_TRIGGER": "CreateTrigStmt"}
    kind = kinds.get(node.removeType.name)
    if kind is None:
        return False
    *_, table, name = (part.sval for part in node.objects[0])
    for later in (s.node for s in migration.of(kind) if s.start > statement.start):
        if kind == "CreatePolicyStmt":
            created = (later.table.relname, later.policy_name)
        else:
            created = (later.relation.relname, later.trigname)
        if created == (table, name):
            return True
    return False


def _removal(statement: Statement, text: str) -> _Splice:
    end = _end_of_line(statement, text)
    while text[end : end + 2] == "\n\n":
        end += 1
    change = SpecChange(
        statement.line,
        "a DROP … IF EXISTS is left out",
        "the CREATE after it is guarded, so that nothing is dropped when it runs again",
    )
    return _Splice(statement.start, min(end + 1, len(text)), "", (change,))


def _end_of_line(statement: Statement, text: str) -> int:
    """The offset after the statement's semicolon and a comment on the same line."""
    end = statement.end
    semicolon = text.find(";", end)
    if semicolon >= 0 and not text[end:semicolon].strip():
        end = semicolon + 1
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    rest = text[end:line_end].strip()
    return line_end if not rest or rest.startswith("--") else end


def _guard_splice(statement: Statement, text: str, table: Table, keyed: Table | None) -> _Splice:
    """What follows a CREATE TABLE: a guard over its shape, and the key that a seed needs."""
    lines = ["", "", shape_guard(table)]
    changes = [
        SpecChange(
            statement.line,
            f"a guard compares an existing `{table.name}` with the columns above",
            "`IF NOT EXISTS` would silently pass over a table of another shape",
        )
    ]
    if keyed is not None and not has_natural_key(keyed):
        key = natural_key(keyed)
        if key:
            what = f"unique key on `{keyed.name}` ({', '.join(key)})"
            why = "its only key was the generated id: each run of a seed would add every row again"
            lines += _natural_key_index(keyed, key)
        else:
            what = f"`{keyed.name}` gets no natural key"
            why = "no column says which row it is"
        changes.append(SpecChange(statement.line, what, why))
    at = _end_of_line(statement, text)
    closed = text[statement.end : at].lstrip().startswith(";")
    return _Splice(at, at, ("" if closed else ";") + "\n".join(lines), tuple(changes))


def _natural_key_index(table: Table, key: tuple[str, ...]) -> list[str]:
    loose = "\n  NULLS NOT DISTINCT" if needs_nulls_not_distinct(table, key) else ""
    columns = ", ".join(sql_name(c) for c in key)
    return [
        "",
        "-- Which thing a row is about: a seed that runs again updates the row.",
        f"CREATE UNIQUE INDEX IF NOT EXISTS {sql_name(f'{table.name}_natural_key'[:63])}",
        f"  ON {_qualified(table)} ({columns}){loose};",
    ]


def _qualified(table: Table) -> str:
    return f"{sql_name(table.schema)}.{sql_name(table.name)}"


def shape_guard(table: Table) -> str:
    """A block that raises when the table exists with other columns or types than declared."""
    pairs = [f"({sql_literal(c.name)}, {sql_literal(c.type)})" for c in table.columns]
    tag = dollar_quote("shape", "".join(pairs))
    rows, width = [""], 88
    for pair in [*(f"{pair}," for pair in pairs[:-1]), pairs[-1]]:
        if rows[-1] and len(rows[-1]) + len(pair) + 1 > width:
            rows.append("")
        rows[-1] = f"{rows[-1]} {pair}".strip()
    name = sql_literal(_qualified(table))
    values = "\n    ".join(rows)
    return f"""\
DO {tag}
DECLARE
  lacking text;
BEGIN
  SELECT string_agg(wanted.name || ' ' || wanted.type, ', ') INTO lacking
  FROM (VALUES
    {values}
  ) AS wanted (name, type)
  WHERE NOT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = {name}::regclass AND attname = wanted.name
      AND atttypid = wanted.type::regtype AND NOT attisdropped
  );
  IF lacking IS NOT NULL THEN
    RAISE EXCEPTION '% exists with another shape; it lacks: %', {name},
      lacking;
  END IF;
END
{tag};"""  # noqa: S608 - quoted names
