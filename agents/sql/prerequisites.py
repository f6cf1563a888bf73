"""What a migration builds on: the SQL that it is proven on, and the tables that it needs."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrate_agents.sql.migration_series import earlier, read_sql
from orchestrate_agents.sql.parse import Migration, SqlError, parse_migration, relation_name, walk
from orchestrator.domain.workflow import Workflow
from orchestrator.storage.atomic import inside

_ON_TOP = re.compile(r"\bon top of\s+(?:the\s+)?(?:(?:older|old|earlier)\s+)?`([\w./@+-]+\.sql)`")


def prerequisite_sql(root: Path, path: str, workflow: Workflow | None) -> dict[str, str]:
    """The SQL to run before a migration, in order, by file name.

    First what the workflow names (``Write `a.sql`, which runs on top of `b.sql` ``), then the
    earlier files of a numbered series.
    """
    delivered = workflow.deliverables if workflow is not None else ()
    texts = [d.text for _, d in delivered if d.path == path]
    named = dict.fromkeys(name for text in texts for name in _ON_TOP.findall(text) if name != path)
    files = {name: inside(root, name) for name in named}
    found = {name: read_sql(file) for name, file in files.items() if file.is_file()}
    return found | earlier(inside(root, path))


@dataclass(frozen=True)
class Prerequisite:
    """An earlier migration, and the tables of it that a later one needs."""

    path: str
    tables: tuple[str, ...]


def prerequisites(root: Path, path: str, without: Collection[str] = ()) -> tuple[Prerequisite, ...]:
    """What a migration of the workspace needs of the series before it, in order of number.

    `without` are the files that are applied anyway. A file that cannot be read needs nothing.
    """
    file = inside(root, path)
    migration = _parse(read_sql(file)) if file.is_file() else None
    if migration is None:
        return ()
    wanted = set(needs_of(migration).tables)
    found: list[Prerequisite] = []
    for name, sql in reversed(earlier(file).items()):
        before = _parse(sql)
        place = str(PurePosixPath(path).with_name(name))
        if before is None or place in without:
            continue
        tables = {t.qualified for t in before.tables} & wanted
        if tables:
            found.append(Prerequisite(place, tuple(sorted(tables))))
            wanted |= set(needs_of(before).tables)
    return tuple(reversed(found))


def _parse(sql: str) -> Migration | None:
    try:
        return parse_migration(sql)
    except SqlError:
        return None


@dataclass(frozen=True)
class Needs:
    """What must exist before the migration: all that it names and does not create."""

    tables: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [", ".join(self.tables) or "no table of an earlier migration"]
        if self.functions:
            parts.append("functions " + ", ".join(self.functions))
        if self.roles:
            parts.append("roles " + ", ".join(self.roles))
        return "; ".join(parts)


def needs_of(migration: Migration) -> Needs:
    """The tables, schema-qualified functions and roles that the migration builds on."""
    nodes = list(walk([s.node for s in migration.statements]))
    created = {(t.schema, t.name) for t in migration.tables}
    created |= {("public", n.ctename) for n in nodes if type(n).__name__ == "CommonTableExpr"}
    for statement in migration.of("ViewStmt", "CreateTableAsStmt", "CreateSeqStmt"):
        node = statement.node
        relation = getattr(node, "view", None) or getattr(node, "sequence", None) or node.into.rel
        created.add(relation_name(relation))
    tables: dict[str, None] = {}
    functions: dict[str, None] = {}
    roles: dict[str, None] = {}
    for node in nodes:
        kind = type(node).__name__
        if kind == "RangeVar" and relation_name(node) not in created:
            of_system = (node.schemaname or node.relname).startswith("pg_")
            if not of_system and not (node.schemaname or "").startswith("information_schema"):
                tables[".".join(relation_name(node))] = None
        elif kind == "FuncCall" and len(node.funcname) > 1:
            schema, name = node.funcname[-2].sval, node.funcname[-1].sval
            if schema not in ("pg_catalog", "public"):
                functions[f"{schema}.{name}()"] = None
        elif kind == "RoleSpec" and node.rolename:
            roles[node.rolename] = None
    return Needs(tuple(tables), tuple(functions), tuple(roles))
