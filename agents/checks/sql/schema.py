"""Checks of what a migration makes: tables, columns, keys, indexes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrate_agents.checks.sql.phrases import (
    IndexedColumns,
    OlderTable,
    Tables,
    tables_of_claim,
)
from orchestrate_agents.checks.sql.subjects import (
    Subject,
    Which,
    proven_of,
    specification_of,
    subject_of,
    tables_meant,
)
from orchestrate_agents.sql.catalog import RealColumn, Relation
from orchestrate_agents.sql.destructive import qualify
from orchestrate_agents.sql.parse import (
    Column,
    SqlError,
    expression,
    parse_migration,
    printed,
    tables_of,
)
from orchestrate_agents.sql.prove import Proof, prove
from orchestrator.gates.checks import Context, Result, Verdict, check, proven, unproven

_EVERY = Tables()


def _result(subject: Subject, problems: Sequence[str], good: str) -> Result:
    if problems:
        return subject.failed(f"{subject.path}: {'; '.join(problems[:6])}", problems=list(problems))
    return proven_of(subject, good, base=subject.proof.base)


@check(
    "{which:migration} (creates|defines|makes|adds|contains) {tables:tables}",
    "{tables:tables} (are|is) (created|defined|made) [(by|in) {which:migration}]",
    "{tables:tables} (exist|exists) [in {which:migration}]",
    name="sql.tables",
    examples=("The migration creates `branches` and `branch_hours`",),
)
def tables_made(ctx: Context, tables: Tables, which: Which | None = None) -> Result:
    """The tables are there after the migration ran, with the columns that the file declares."""
    subject = subject_of(ctx, which)
    if isinstance(subject, Result):
        return subject
    relations = tables_of_claim(subject.proof, tables)
    if isinstance(relations, OlderTable) and which is None:
        return unproven(f"{subject.path}: {relations}", subject.path)
    if isinstance(relations, str):
        if which is None and tables.names and not tables.said:
            # it may as well be a function, a test, a setting
            return unproven(f"{subject.path}: {relations}, and nothing says that it is to be one")
        return subject.failed(f"{subject.path}: {relations}")
    good = ", ".join(f"{t.name} ({len(t.columns)} columns)" for t in relations)
    return _result(subject, subject.proof.misshapen, f"{subject.path} makes {good}")


@check(
    "{tables:saidtables} (does|do) not exist [(any more|anymore|any longer|afterwards)]",
    "{tables:saidtables} (no longer exist|no longer exists|is gone|are gone)",
    "{tables:saidtables} (is|are|was|were) (dropped|removed|deleted) [(by|in) {which:migration}]",
    "{which:migration} (drops|removes|deletes) {tables:tables}",
    "there is no (longer|more) (a|the) {tables:saidtables}",
    name="sql.tables-gone",
    examples=("Table `old_orders` no longer exists", "The migration drops the table `old_orders`"),
)
def tables_gone(ctx: Context, tables: Tables, which: Which | None = None) -> Result:
    """None of the tables is there after the migration ran, and it drops those that it may find."""
    if not tables.names:
        return unproven("name the tables that are to be gone")
    subject = subject_of(ctx, which)
    if isinstance(subject, Result):
        return subject
    there = {name for kind, name, _ in subject.proof.catalog if kind in ("table", "view")}
    wanted = {name: name if "." in name else f"public.{name}" for name in tables.names}
    left = [name for name, full in wanted.items() if full in there]
    if left:
        return subject.failed(f"{subject.path}: {', '.join(left)} is still there afterwards")
    drops = parse_migration(subject.text).of("DropStmt")
    named = {
        qualify(item)
        for statement in drops
        if statement.node.removeType.name == "OBJECT_TABLE"
        for item in statement.node.objects
    }
    unknown = [name for name, full in wanted.items() if full not in named]
    if unknown:
        return unproven(
            f"{subject.path} does not drop {', '.join(unknown)}: whether the target has it is "
            "not known",
            subject.path,
        )
    return proven(
        f"{', '.join(tables.names)} is gone afterwards ({subject.proof.base})", subject.path
    )


@check(
    "{tables:tables} (have|has|contain|contains|include|includes|define|defines|declare|declares) "
    "[(a|an|the)] [column] {definition:columndef} [(column|primary key)]",
    "every table (has|declares) [(a|an|the)] [column] {definition:columndef}",
    name="sql.column",
    examples=("All three tables have `id UUID PRIMARY KEY DEFAULT gen_random_uuid()`",),
)
def column(ctx: Context, definition: str, tables: Tables = _EVERY) -> Result:
    """Each table really has a column of this type, nullability, key and default."""
    wanted = defined(ctx, definition)
    if wanted is None:
        return unproven(f"`{definition}` is not a column definition that PostgreSQL reads")
    found = tables_meant(ctx, tables)
    if isinstance(found, Result):
        return found
    subject, relations = found
    problems = [p for t in relations for p in column_problems(t, *wanted)]
    good = f"`{definition}` holds in {', '.join(t.name for t in relations)}"
    return _result(subject, problems, good)


def defined(ctx: Context, definition: str) -> tuple[Column, RealColumn | None] | None:
    """A column's definition, parsed, and as the server has it, where it can stand alone.

    None if PostgreSQL does not read it.
    """
    try:
        wanted = tables_of(f"CREATE TABLE wanted ({definition})")[0].columns[0]
    except (SqlError, IndexError):
        return None
    proof = prove(f"CREATE TABLE public.wanted ({definition})", ctx.services)
    relation = proof.relation("public.wanted")
    return wanted, relation.columns[0] if relation else None


def column_problems(table: Relation, wanted: Column, real: RealColumn | None) -> Iterator[str]:
    """How a table's column differs from a definition."""
    name = f"{table.name}.{wanted.name}"
    column = table.column(wanted.name)
    if column is None:
        yield f"{table.name} has no column {wanted.name}"
        return
    if column.type != (real.type if real else wanted.type):
        yield f"{name} is {column.type}"
    if wanted.primary_key and table.primary_key != (wanted.name,):
        yield f"{name} is not the primary key"
    if wanted.not_null and not column.not_null:
        yield f"{name} may be null"
    if wanted.default is not None and _plain(column.default) != _plain(wanted.default):
        yield f"{name} has default {column.default or 'none'}"
    if wanted.unique and (wanted.name,) not in table.unique_keys:
        yield f"{name} is not unique"


def _plain(default: str | None) -> str:
    """A default's expression without the casts that the server adds."""
    if default is None:
        return ""
    node = expression(default)
    while type(node).__name__ == "TypeCast":
        node = node.arg
    return printed(node)


@check(
    "{tables:tables} (have|has|use|uses) [a|an] UUID primary (key|keys) [column]",
    "(primary keys|every primary key|all primary keys) (are|is) [a] (UUID|UUIDs)",
    name="sql.uuid-keys",
    examples=("All tables have a UUID primary key",),
)
def uuid_keys(ctx: Context, tables: Tables = _EVERY) -> Result:
    """Each table's primary key is one uuid column that the server fills in."""
    found = tables_meant(ctx, tables)
    if isinstance(found, Result):
        return found
    subject, relations = found
    problems = []
    for table in relations:
        key = [table.column(c) for c in table.primary_key]
        if len(key) != 1 or key[0] is None or key[0].type != "uuid" or key[0].default is None:
            problems.append(f"the primary key of {table.name} is not a uuid with a default")
    names = ", ".join(t.name for t in relations)
    return _result(subject, problems, f"one uuid primary key with a default in {names}")


@check(
    "{tables:tables} (have|has|contain|contains) [(the|a|all)] (column|columns) {columns:names}",
    "{tables:quantified} (have|has|contain|contains) [(the|a|an)] {columns:tickednames} "
    "(column|columns)",
    name="sql.columns",
    examples=("`branches` has columns branch_id, title and city",),
)
def columns(ctx: Context, tables: Tables, columns: tuple[str, ...]) -> Result:
    """The tables really have these columns."""
    found = tables_meant(ctx, tables)
    if isinstance(found, Result):
        return found
    subject, relations = found
    lacking = [(t.name, c) for t in relations for c in columns if not t.column(c)]
    problems = [f"{table} has no column {column}" for table, column in lacking]
    names = ", ".join(t.name for t in relations)
    return _result(subject, problems, f"{', '.join(columns)} in {names}")


_INDEXES_EXIST = (
    "([(An|The)] (index|indexes|indices) (exist|exists|is present|are present)|"
    "There (is an index|are indexes|are indices)) (on|for) [(the|all)]"
)
_INDEXED_FOR = (
    "(foreign-key-equivalents|foreign key equivalents|foreign-key equivalents|foreign keys|"
    "filter columns|query columns|lookup columns|common query columns|"
    "frequently queried columns|key columns|columns)"
)


_INDEX = "[(a|an|the)] (index|indexes|indices)"


@check(
    f"{_INDEXES_EXIST} [(column|columns)] {{of:indexed}}",
    f"{_INDEX} [(added|created|exists)] (on|for) [the] [(column|columns)] {{of:indexed}} "
    "[(exists|exist|is present|is there)]",
    "[the] [(column|columns)] {of:indexed} (is|are) indexed",
    f"[the] [(column|columns)] {{of:indexed}} (has|have) {_INDEX}",
    f"{_INDEXES_EXIST} {{columns:names}} [(column|columns)] (of|in) {{tables:tables}}",
    f"{_INDEXES_EXIST} {{columns:names}} [(column|columns)] (of|in) [the] {{table:name}} [table]",
    "[the] {columns:names} [(column|columns)] (of|in) {tables:tables} (is|are) indexed",
    "[the] {columns:names} (column|columns) (of|in) [the] {table:name} [table] (is|are) indexed",
    rf"{_INDEXES_EXIST} {_INDEXED_FOR} \({{columns:names}}\)",
    f"{_INDEXES_EXIST} {{columns:names}}",
    rf"{_INDEXES_EXIST} \({{columns:names}}\)",
    rf"{_INDEXES_EXIST} {{tables:tables}} \({{columns:names}}\)",
    "{columns:names} (are|is) indexed [(in|on) {tables:tables}]",
    "{tables:tables} (are|is) indexed (on|by) {columns:names}",
    "{tables:tables} (have|has) [an] (index|indexes|indices) (on|for) {columns:names}",
    name="sql.indexes",
    version=2,
    examples=(
        "Indexes exist on foreign-key-equivalents (modality, condition, instrument)",
        "branch_hours has an index on status",
        "There is an index on orders.customer_id",
    ),
)
def indexes(
    ctx: Context,
    columns: tuple[str, ...] = (),
    tables: Tables = _EVERY,
    table: str = "",
    of: tuple[IndexedColumns, ...] = (),
) -> Result:
    """Each named column is reached by an index that no unnamed column leads, as planned."""
    if table:
        tables = Tables((table,))
    if not of:
        return _indexed(ctx, columns, tables)
    results = [_indexed(ctx, named.columns, Tables((named.table,))) for named in of]
    return next((r for r in results if r.verdict is not Verdict.PROVEN), results[0])


def _indexed(ctx: Context, columns: tuple[str, ...], tables: Tables) -> Result:
    found = tables_meant(ctx, tables)
    if isinstance(found, Result):
        return found
    subject, relations = found
    problems, served = [], []
    for name in columns:
        holders = [t for t in relations if t.column(name)]
        hits = [t for t in holders if _reached(subject.proof, t, name, columns)]
        demanded = _demanded(ctx, subject, name, columns) if not tables.names else set()
        lacking = [t.name for t in holders if t.qualified in demanded and t not in hits]
        if tables.names:
            lacking = [t.name for t in relations if t not in hits]
        if not holders:
            problems.append(f"no table has a column {name}")
        elif not hits or lacking:
            where = ", ".join(lacking or [t.name for t in holders])
            problems.append(f"no usable index leads to {name} in {where}")
        served += [f"{t.name}.{name}" for t in hits]
    return _result(subject, problems, f"the planner reaches {', '.join(served)} by an index")


def _reached(proof: Proof, table: Relation, column: str, named: Sequence[str]) -> bool:
    """Whether an index serves the column with nothing but named columns before it."""
    for index in table.indexes:
        if column not in index.columns or not index.valid or not index.whole:
            continue
        before = index.columns[: index.columns.index(column)]
        if (table.qualified, index.name, column) in proof.indexed and set(before) <= set(named):
            return True
    return False


def _demanded(ctx: Context, subject: Subject, column: str, named: Sequence[str]) -> set[str]:
    """The tables in which the specification itself indexes the column."""
    specification = specification_of(ctx, subject.path)
    if specification is None:
        return set()
    wanted = prove(specification, ctx.services, base=subject.base)
    return {t.qualified for t in wanted.tables if _reached(wanted, t, column, named)}


@check(
    "{tables:tables} (have|has) [a|an] foreign key [on {column:name}] to {other:tables}",
    "{tables:plaintables} (reference|references) {other:tables}",
    "[a|the] foreign key (leads|points) from {tables:tables} to {other:tables}",
    name="sql.foreign-key",
    examples=("`booking` has a foreign key to `room`", "booking_day references room_plan"),
)
def foreign_key(
    ctx: Context,
    other: Tables,
    tables: Tables = _EVERY,
    column: str = "",
) -> Result:
    """Each table has a foreign key to the other table, on the server and in force."""
    if not other.names:
        return unproven("the statement names no table that the foreign key leads to")
    found = tables_meant(ctx, tables)
    if isinstance(found, Result):
        return found
    subject, relations = found
    problems = []
    for relation in relations:
        keys = [
            c for c in relation.constraints if c.type == "f" and "NOT VALID" not in c.definition
        ]
        keys = [c for c in keys if not column or c.columns == (column,)]
        targets = {name for c in keys for name in (c.target, c.target.rpartition(".")[2])}
        missing = [name for name in other.names if name not in targets]
        problems += [f"{relation.name} has no foreign key to {name}" for name in missing]
    names = ", ".join(t.name for t in relations)
    return _result(subject, problems, f"{names} → {', '.join(other.names)}: foreign key in force")


_UNIQUE = "unique (key|index|constraint)"


@check(
    f"{{tables:plaintables}} (have|has) [a|an] [natural] {_UNIQUE} [(for|to support) [the] upsert]",
    "{tables:tables} (have|has) [a|an] natural key [(for|to support) [the] upsert]",
    f"{{tables:tables}} (have|has) [a|an] {_UNIQUE} (on|over) {{columns:names}}",
    rf"{{tables:tables}} (have|has) [a|an] {_UNIQUE} (on|over) \({{columns:names}}\)",
    rf"[(A|The)] {_UNIQUE} (exists|is present) (on|for) {{tables:plaintables}} "
    r"[\({columns:names}\)]",
    "{columns:names} (is|are) unique in {table:name} [table]",
    "{columns:names} (is|are) unique in the {table:name} table",
    "{of:tablecolumn} is unique",
    name="sql.unique-key",
    version=3,
    examples=(
        "All three tables have a natural unique key for upsert",
        "branch_id is unique in branches",
        "branches.branch_id is unique",
    ),
)
def unique_key(
    ctx: Context,
    tables: Tables = _EVERY,
    columns: tuple[str, ...] = (),
    table: str = "",
    of: tuple[str, str] | None = None,
) -> Result:
    """Each table has a unique key besides its generated id, in force for whole rows."""
    if of is not None:
        table, columns = of[0], of[1:]
    found = tables_meant(ctx, Tables((table,)) if table else tables)
    if isinstance(found, Result):
        return found
    subject, relations = found
    problems, keys = [], []
    for relation in relations:
        every = [k for k in (*relation.unique_keys, relation.primary_key) if k]
        if columns:
            key = set(columns)
            natural = [k for k in every if set(k) == key or (table and set(k) < key)]
        else:
            natural = [
                k for k in every if not _generated(relation, k) and relation.takes_upserts(k)
            ]
        each = all((column,) in natural for column in columns)
        if table and natural and not each:
            said = f"{', '.join(natural[0])} are unique together in {table}, not each of them"
            return unproven(f"{said}: say “has a unique key on …” if that is meant", subject.path)
        loose = [k for k in natural if not columns and not relation.tells_apart(k)]
        natural = [k for k in natural if k not in loose]
        if natural:
            keys.append(f"{relation.name} ({', '.join(natural[0])})")
        else:
            wanted = f" on ({', '.join(columns)})" if columns else " besides its generated id"
            why = "; rows with NULL in one of them would be doubled" if loose else ""
            near = f": ({', '.join(loose[0])}) may be NULL" if loose else ""
            problems.append(f"{relation.name} has no unique key{wanted}{near}{why}")
    return _result(subject, problems, f"unique: {'; '.join(keys)}")


def _generated(table: Relation, key: Sequence[str]) -> bool:
    found = [table.column(c) for c in key]
    return all(c is not None and (c.made or c.identity or c.default is not None) for c in found)
