"""The rows behind a review's figures: from the database, else those that will be loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrate_agents.checks.data.subjects import known_tables
from orchestrate_agents.seed_data.csv_file import read_sheet
from orchestrate_agents.seed_data.table_schema import table_for
from orchestrate_agents.sql.parse import Table
from orchestrator import plugins
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
    """Register a reader for a kind of script; modules are found by `orchestrate.reviews`."""
    _READERS.append(function)
    return function


def planned_rows(root: Path, script: str) -> PlannedRows | None:
    """The rows that a script would load, from the first reader that knows it."""
    plugins.load("reviews")
    return next((rows for read in _READERS if (rows := read(root, script))), None)


@dataclass(frozen=True)
class Dataset:
    """A table of the delivered SQL with the rows that are known of it."""

    table: Table
    #: in the database, None where it cannot be or has not been queried
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


def read_datasets(context: Context, paths: Sequence[str]) -> tuple[Dataset, ...]:
    """Each table of the delivered SQL for which rows are known, planned or counted."""
    tables = known_tables(context)
    sheets = {
        path: read_sheet(context.path(path), path)
        for path in paths
        if Path(path).suffix.lower() == ".csv" and context.path(path).is_file()
    }
    scripts = [path for path in paths if Path(path).suffix == ".py"]
    planned = [rows for path in scripts if (rows := planned_rows(context.root, path))]
    stored = _read_stored(context, tables)
    counted: dict[str, int] = {}
    for record in context.history:
        if record["type"] == "effect" and record["ok"]:
            figures = record["figures"].items()
            counted |= {name: n for name, n in figures if isinstance(n, int)}

    def plan(table: Table) -> Rows | None:
        for path, sheet in sheets.items():
            if table_for(path, tables, sheet.columns) == table:
                return Rows(tuple(row.cells for row in sheet.rows), path)
        names = (table.name, table.qualified)
        return next((Rows(p.rows, p.source) for p in planned if p.table in names), None)

    found = (
        Dataset(
            table,
            stored.get(table.qualified),
            plan(table),
            counted.get(table.name, counted.get(table.qualified)),
        )
        for table in tables
    )
    return tuple(d for d in found if (d.stored, d.planned, d.counted) != (None, None, None))


def _read_stored(context: Context, tables: Sequence[Table]) -> dict[str, Rows]:
    """Rows on the embedded target, if it has been set up; other databases are not queried."""
    target = context.settings.get("database", {}).get("target", "embedded")
    version = context.root / ".orchestrate" / "postgres" / "PG_VERSION"
    if target != "embedded" or not version.is_file():
        return {}
    from orchestrate_backend.errors import BackendError, TargetError
    from orchestrate_backend.targets.choose import EmbeddedTarget

    embedded = EmbeddedTarget(context.root)
    found: dict[str, Rows] = {}
    try:
        for table in tables:
            parts = (table.schema, table.name)
            name = ".".join('"' + part.replace('"', '""') + '"' for part in parts)
            try:
                rows = embedded.query_readonly(f"SELECT * FROM {name} LIMIT {_MOST_ROWS}")  # noqa: S608
            except TargetError as error:
                if error.code not in ("table-missing", "target"):
                    raise
                continue
            found[table.qualified] = Rows(tuple(rows), embedded.describe())
    except (BackendError, OSError, RuntimeError):
        return {}
    finally:
        embedded.close()
    return found
