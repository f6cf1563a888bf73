"""The earlier migrations of a series that a migration builds on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrate_agents.sql.header import needs_of
from orchestrate_agents.sql.migration_series import earlier, read_sql
from orchestrate_agents.sql.parse import Migration, SqlError, parse_migration
from orchestrator.storage.atomic import inside


@dataclass(frozen=True)
class Groundwork:
    """An earlier migration, and the tables of it that a later one needs."""

    path: str
    tables: tuple[str, ...]


def groundwork(root: Path, path: str, without: Collection[str] = ()) -> tuple[Groundwork, ...]:
    """What a migration of the workspace needs of the series before it, in order of number.

    `without` are the files that are applied anyway. A file that cannot be read needs nothing.
    """
    file = inside(root, path)
    if not file.is_file():
        return ()
    wanted = set(_needs(_parsed(read_sql(file))))
    found: list[Groundwork] = []
    for name, sql in reversed(earlier(file).items()):
        migration = _parsed(sql)
        made = {f"{t.schema}.{t.name}" for t in migration.tables} if migration else set()
        place = str(PurePosixPath(path).with_name(name))
        if made & wanted and place not in without:
            found.append(Groundwork(place, tuple(sorted(made & wanted))))
            wanted |= set(_needs(migration))
    return tuple(reversed(found))


def _parsed(sql: str) -> Migration | None:
    try:
        return parse_migration(sql)
    except SqlError:
        return None


def _needs(migration: Migration | None) -> Iterator[str]:
    if migration is not None:
        yield from needs_of(migration).tables
