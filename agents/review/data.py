"""The rows behind a review's figures: of the database, else of what will be loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrate_agents.checks.data.subjects import known_tables
from orchestrate_agents.seed_data.csv_file import Sheet, read_sheet
from orchestrate_agents.seed_data.table_schema import table_for
from orchestrate_agents.sql.parse import Table
from orchestrator.gates.checks import Context

#: rows read for figures and pictures
_MOST_ROWS = 20_000


@dataclass(frozen=True)
class Rows:
    """Rows of a table, and where they were read, in words."""

    rows: tuple[Mapping[str, Any], ...]
    source: str


@dataclass(frozen=True)
class PlannedRows:
    """The rows that a delivered script would load, known without running it."""

    table: str
    rows: tuple[Mapping[str, Any], ...]
    #: where they come from, in words
    source: str


#: (workspace, script) → the rows that it would load; None for a script that it cannot read
PlannedRowsReader = Callable[[Path, str], PlannedRows | None]

_READERS: list[PlannedRowsReader] = []


def planned_rows_reader(function: PlannedRowsReader) -> PlannedRowsReader:
    """Register who can tell the rows of a kind of script; found by `orchestrate.reviews`."""
    _READERS.append(function)
    return function


@dataclass(frozen=True)
class Dataset:
    """A table of the delivered SQL with the rows that are known of it."""

    table: Table
    #: in the database, None where it cannot be or has not been looked at
    stored: Rows | None = None
    #: in the files that the effects load, None where there is none
    planned: Rows | None = None
    #: rows by an effect's own count, None where none counted
    counted: int | None = None

    @property
    def best(self) -> Rows:
        """The rows to draw: the stored ones if there are any."""
        empty = Rows((), "")
        return next((r for r in (self.stored, self.planned) if r is not None and r.rows), empty)


@dataclass(frozen=True)
class _Sources:
    """What may hold rows: sheets by path, scripts by path, the database."""

    sheets: Mapping[str, Sheet] = field(default_factory=dict)
    scripts: tuple[str, ...] = ()


def datasets(context: Context, paths: Sequence[str]) -> tuple[Dataset, ...]:
    """Each table of the delivered SQL for which rows are known, planned or counted."""
    tables = known_tables(context)
    sources = _Sources(
        dict(_sheets(context, paths)), tuple(p for p in paths if Path(p).suffix == ".py")
    )
    stored = _stored(context, tables)
    counted = _counted(context)
    found = (
        Dataset(
            table,
            stored.get(table.qualified),
            _planned(context, table, tables, sources),
            counted.get(table.name, counted.get(table.qualified)),
        )
        for table in tables
    )
    return tuple(d for d in found if (d.stored, d.planned, d.counted) != (None, None, None))


# -- files -----------------------------------------------------------------------------------


def _sheets(context: Context, paths: Sequence[str]) -> Iterator[tuple[str, Sheet]]:
    for path in paths:
        if Path(path).suffix.lower() == ".csv" and context.path(path).is_file():
            yield path, read_sheet(context.path(path), path)


def _planned(
    context: Context, table: Table, tables: Sequence[Table], sources: _Sources
) -> Rows | None:
    for path, sheet in sources.sheets.items():
        if table_for(path, tables, sheet.columns) == table:
            return Rows(tuple(row.cells for row in sheet.rows), path)
    for path in sources.scripts:
        for read in _READERS:
            planned = read(context.root, path)
            if planned is not None and planned.table in (table.name, table.qualified):
                return Rows(planned.rows, planned.source)
    return None


# -- database --------------------------------------------------------------------------------


def _counted(context: Context) -> dict[str, int]:
    """table → rows by the newest effect that counted it."""
    found: dict[str, int] = {}
    for record in context.history:
        if record["type"] == "effect" and record["ok"]:
            figures = record["figures"].items()
            found |= {name: n for name, n in figures if isinstance(n, int)}
    return found


def _stored(context: Context, tables: Sequence[Table]) -> dict[str, Rows]:
    """Rows on the embedded target, if it has been set up; other databases are not asked."""
    target = context.settings.get("database", {}).get("target", "embedded")
    if target != "embedded" or not _is_set_up(context.root):
        return {}
    from orchestrate_backend.errors import BackendError
    from orchestrate_backend.targets.choose import EmbeddedTarget

    embedded = EmbeddedTarget(context.root)
    try:
        return {t.qualified: r for t in tables if (r := _read(embedded, t)) is not None}
    except (BackendError, OSError, RuntimeError):
        return {}
    finally:
        embedded.close()


def _is_set_up(root: Path) -> bool:
    return (root / ".orchestrate" / "postgres" / "PG_VERSION").is_file()


def _read(target: Any, table: Table) -> Rows | None:
    """The table's rows, None where it does not exist."""
    from orchestrate_backend.errors import TargetError

    try:
        rows = target.query_readonly(f"SELECT * FROM {_name(table)} LIMIT {_MOST_ROWS}")  # noqa: S608
    except TargetError as error:
        if error.code in ("table-missing", "target"):
            return None
        raise
    return Rows(tuple(rows), target.describe())


def _name(table: Table) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in (table.schema, table.name))
