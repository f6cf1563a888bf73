"""A migration as data, from pglast's tree: statements with lines, tables, columns, keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.errors import OrchestrateError
from orchestrator.gates.once import once

#: a specification larger than this is not a migration
MAX_CHARACTERS = 1_000_000
#: the parser's C stack ends where brackets or operators without a comma go on for too long
_MAX_NESTING = 400
_MAX_RUN = 5_000


class SqlError(OrchestrateError):
    """The SQL cannot be read, or PostgreSQL refuses it."""

    code = "sql"


@dataclass(frozen=True)
class Column:
    """One column as a CREATE TABLE declares it."""

    name: str
    #: canonical spelling: `integer`, `text[]`, `timestamp with time zone`
    type: str
    not_null: bool = False
    #: the default's expression as SQL, or None
    default: str | None = None
    primary_key: bool = False
    unique: bool = False
    #: `schema.table` that a foreign key of this column alone points to, or ""
    references: str = ""
    #: value made by the server: identity, serial, generated
    generated: bool = False

    @property
    def is_array(self) -> bool:
        return self.type.endswith("]")


@dataclass(frozen=True)
class Table:
    """A table that the migration creates, with the keys that it gets later in the same file."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    line: int
    if_not_exists: bool = False
    primary_key: tuple[str, ...] = ()
    #: unique keys over whole rows (no partial or expression index), without the primary key
    uniques: tuple[tuple[str, ...], ...] = ()

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> Column | None:
        """The column of that name, or None."""
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True)
class Statement:
    """One statement. `text[start:end]` of the migration is it, without its semicolon."""

    node: Any
    start: int
    end: int
    line: int

    @property
    def kind(self) -> str:
        """PostgreSQL's own name of the statement's node, such as `CreateStmt`."""
        return type(self.node).__name__


@dataclass(frozen=True)
class Migration:
    """A parsed migration."""

    text: str
    statements: tuple[Statement, ...]
    tables: tuple[Table, ...]

    def source(self, statement: Statement) -> str:
        """The statement's own text."""
        return self.text[statement.start : statement.end]

    def of(self, *kinds: str) -> Iterator[Statement]:
        """The statements of these kinds, in order."""
        return (s for s in self.statements if s.kind in kinds)


@once(64)
def parse_migration(text: str) -> Migration:
    """Parse a migration. Raises SqlError with the line of the first syntax error."""
    statements = tuple(_statements(text))
    return Migration(text, statements, _tables(statements))


def tables_of(text: str) -> tuple[Table, ...]:
    """The tables that a migration creates. Raises SqlError."""
    return parse_migration(text).tables


def _statements(text: str) -> Iterator[Statement]:
    from pglast import parse_sql
    from pglast.parser import ParseError

    _refuse_hostile(text)
    try:
        raw = parse_sql(text)
    except ParseError as exc:
        raise _syntax_error(text, exc) from exc
    for item in raw or ():
        start = item.stmt_location or 0
        length = item.stmt_len or len(text) - start
        body = text[start : start + length]
        yield Statement(item.stmt, start, start + len(body.rstrip()), line_at(text, start))


def _refuse_hostile(text: str) -> None:
    if "\x00" in text:
        raise SqlError("contains a NUL byte", code="sql-syntax")
    if len(text) > MAX_CHARACTERS:
        raise SqlError(f"is longer than {MAX_CHARACTERS:,} characters", code="sql-size")
    depth = run = 0
    for token in tokens(text):
        depth += (token.name == "ASCII_40") - (token.name == "ASCII_41")
        run = 0 if token.name in ("ASCII_44", "ASCII_59") else run + 1
        if depth > _MAX_NESTING or run > _MAX_RUN:
            line = line_at(text, token.start)
            raise SqlError("one expression is too long or too deep", line=line, code="sql-size")


def tokens(text: str) -> tuple[Any, ...]:
    """The scanner's tokens, comments included. Raises SqlError."""
    from pglast import scan
    from pglast.parser import ParseError

    try:
        return tuple(scan(text))
    except ParseError as exc:
        raise _syntax_error(text, exc) from exc


def _syntax_error(text: str, error: Exception) -> SqlError:
    message = str(error.args[0]) if error.args else "cannot be parsed"
    offset = int(error.args[1] or 0) if len(error.args) > 1 else 0
    if text[offset : offset + 1] == "\\":
        message = "commands of psql, such as \\set and \\i, are not SQL: leave them out"
    elif _ROWS_BELOW.search(text, max(offset - 500, 0), offset):
        message = "rows below COPY … FROM stdin are for psql alone: write INSERT"
    return SqlError(message, line=line_at(text, offset), code="sql-syntax")


_ROWS_BELOW = re.compile(r"\bCOPY\b[^;]{1,400}\bFROM\s+stdin\b[^;]{0,100};\s*\Z", re.IGNORECASE)


def line_at(text: str, offset: int) -> int:
    """1-based line of a character offset."""
    return text.count("\n", 0, max(offset, 0)) + 1


def relation_name(relation: Any) -> tuple[str, str]:
    """(schema, name) of a RangeVar; `public` where none is written."""
    return relation.schemaname or "public", relation.relname


def printed(node: Any) -> str:
    """A node as canonical SQL."""
    from pglast.stream import RawStream

    return str(RawStream()(node)).strip()


def expression(sql: str) -> Any:
    """The tree of one expression. Raises pglast's ParseError."""
    from pglast import parse_sql

    statement: Any = parse_sql(f"SELECT {sql}")[0].stmt
    return statement.targetList[0].val


def walk(node: Any) -> Iterator[Any]:
    """Every node of a tree, the root first."""
    from pglast.ast import Node

    pending = [node]
    while pending:
        current = pending.pop()
        if isinstance(current, tuple | list):
            pending.extend(reversed(current))
        elif isinstance(current, Node):
            yield current
            pending.extend(reversed(children(current)))


def children(node: Any) -> list[Any]:
    """What is right below a node of a tree."""
    from pglast.ast import Node

    return [getattr(node, slot) for slot in node] if isinstance(node, Node) else []


def _tables(statements: Iterable[Statement]) -> tuple[Table, ...]:
    found: dict[tuple[str, str], Table] = {}
    for statement in statements:
        match statement.kind:
            case "CreateStmt":
                table = _table(statement)
                found.setdefault((table.schema, table.name), table)
            case "AlterTableStmt":
                _apply_alter(statement.node, found)
            case "IndexStmt":
                _apply_index(statement.node, found)
    return tuple(found.values())


def _table(statement: Statement) -> Table:
    node = statement.node
    schema, name = relation_name(node.relation)
    table = Table(schema, name, (), statement.line, bool(node.if_not_exists))
    for element in node.tableElts or ():
        kind = type(element).__name__
        if kind == "ColumnDef":
            table = _with_column(table, element)
        elif kind == "Constraint":
            table = _with_constraint(table, element)
    return table


def _with_column(table: Table, definition: Any) -> Table:
    column = _column(definition)
    table = replace(table, columns=(*table.columns, column))
    if column.primary_key:
        return replace(table, primary_key=(column.name,))
    if column.unique:
        return replace(table, uniques=(*table.uniques, (column.name,)))
    return table


_SERIAL = {"serial": "integer", "bigserial": "bigint", "smallserial": "smallint"} | {
    "serial4": "integer",
    "serial8": "bigint",
    "serial2": "smallint",
}


def _column(definition: Any) -> Column:
    written = printed(definition.typeName)
    by_kind = {c.contype.name: c for c in definition.constraints or ()}
    default = by_kind.get("CONSTR_DEFAULT")
    foreign = by_kind.get("CONSTR_FOREIGN")
    serial = written in _SERIAL
    primary = "CONSTR_PRIMARY" in by_kind
    return Column(
        name=definition.colname,
        type=_SERIAL.get(written, written),
        not_null="CONSTR_NOTNULL" in by_kind or primary or serial,
        default=printed(default.raw_expr) if default is not None else None,
        primary_key=primary,
        unique="CONSTR_UNIQUE" in by_kind,
        references=".".join(relation_name(foreign.pktable)) if foreign is not None else "",
        generated=serial or bool({"CONSTR_IDENTITY", "CONSTR_GENERATED"} & by_kind.keys()),
    )


def _with_constraint(table: Table, constraint: Any) -> Table:
    columns = tuple(k.sval for k in constraint.keys or ())
    match constraint.contype.name:
        case "CONSTR_PRIMARY" if columns:
            marked = tuple(
                replace(c, primary_key=len(columns) == 1, not_null=True) if c.name in columns else c
                for c in table.columns
            )
            return replace(table, columns=marked, primary_key=columns)
        case "CONSTR_UNIQUE" if columns:
            return replace(table, uniques=(*table.uniques, columns))
        case "CONSTR_FOREIGN" if len(constraint.fk_attrs or ()) == 1:
            target = ".".join(relation_name(constraint.pktable))
            source = constraint.fk_attrs[0].sval
            columns_ = tuple(
                replace(c, references=target) if c.name == source else c for c in table.columns
            )
            return replace(table, columns=columns_)
    return table


def _apply_alter(node: Any, found: dict[tuple[str, str], Table]) -> None:
    key = relation_name(node.relation)
    for command in node.cmds or ():
        if key not in found:
            return
        match command.subtype.name:
            case "AT_AddColumn":
                if found[key].column(command.def_.colname) is None:
                    found[key] = _with_column(found[key], command.def_)
            case "AT_AddConstraint":
                found[key] = _with_constraint(found[key], command.def_)


def _apply_index(node: Any, found: dict[tuple[str, str], Table]) -> None:
    key = relation_name(node.relation)
    names = tuple(p.name for p in node.indexParams)
    if key in found and node.unique and node.whereClause is None and all(names):
        found[key] = replace(found[key], uniques=(*found[key].uniques, names))
