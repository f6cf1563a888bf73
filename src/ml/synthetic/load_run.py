"""One load from the first message to the exit status: generate, validate, load, report."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, TextIO

import pandas as pd
from pandera.errors import SchemaErrors
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from orchestrate_backend.errors import BackendError, TargetError
from orchestrate_backend.targets.choose import (
    EmbeddedTarget,
    PostgresTarget,
    Target,
    choose_target,
)
from src.ml.synthetic.config import DGPType
from src.ml.synthetic.datasets import FULL_SIZES, SMALL_SIZES, Recipe, generate
from src.ml.synthetic.loaders import LOADING_ORDER, BatchLoader, LoaderConfig, LoadResult
from src.ml.synthetic.validation.pipeline import get_combined_summary, validate_pipeline_output

SCHEMA = Path(__file__).parents[3] / "database/core/e2i_ml_complete_v3_schema.sql"
_SHOWN_ERRORS = 20


@dataclass(frozen=True)
class LoadOptions:
    """What a person asks a load to do."""

    root: Path
    env: Mapping[str, str] = field(repr=False)
    target: str | None = None
    dry_run: bool = False
    small: bool = False
    verbose: bool = False
    as_json: bool = False
    #: create missing tables also where the server is not the workspace's own
    init: bool = False
    #: data-generating process, by name
    dgp: str = DGPType.CONFOUNDED.value
    seed: int = 42
    end_date: date | None = None
    as_of: datetime | None = None
    batch: int = 500
    retries: int = 3

    @property
    def recipe(self) -> Recipe:
        sizes = SMALL_SIZES if self.small else FULL_SIZES
        return Recipe(sizes, DGPType(self.dgp), self.seed, self.end_date, self.as_of)


def run_load(options: LoadOptions) -> int:
    """Load, and say what came of it. Exit status 0 only if every row of every table loaded."""
    say = sys.stderr if options.as_json else sys.stdout
    try:
        results = _run(options, say)
    except BackendError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run it again, rows are matched by key", file=sys.stderr)
        return 130
    if results is None:
        return 1
    _report(results, options, say)
    failed = sum(result.records_failed for result in results.values())
    return 0 if not failed and len(results) == len(LOADING_ORDER) else 1


def _run(options: LoadOptions, say: TextIO) -> dict[str, LoadResult] | None:
    """The results by table; None if the data are not fit to be loaded."""
    target = choose_target(options.target, options.env, options.root)
    try:
        dsn = _dsn(target, options)
        where = f"Writing to {target.describe()}"
        if options.dry_run:
            how = "in a transaction that is rolled back" if dsn else "without a database"
            where = f"Dry run for {target.describe()}, checked {how}; nothing is written"
        print(where, file=say, flush=True)
        loader = BatchLoader(
            LoaderConfig(
                batch_size=options.batch,
                max_retries=options.retries,
                dry_run=options.dry_run,
                verbose=options.verbose,
                supabase_url=options.env.get("SUPABASE_URL"),
                supabase_key=options.env.get("SUPABASE_SERVICE_ROLE_KEY"),
                dsn=dsn,
            )
        )
        datasets = _generated(options)
        return _loaded(loader, datasets) if _valid(loader, datasets, options) else None
    finally:
        target.close()


def _dsn(target: Target, options: LoadOptions) -> str | None:
    """Where to connect; None for Supabase, and for a dry run on a workspace without tables."""
    if not isinstance(target, PostgresTarget):
        return None
    own = isinstance(target, EmbeddedTarget)
    if isinstance(target, EmbeddedTarget) and options.dry_run:
        if not (target.data / "PG_VERSION").exists() or not _has_tables(target):
            return None
    elif not _has_tables(target):
        if not own and (options.dry_run or not options.init):
            raise TargetError(
                f"the tables do not exist on {target.describe()}",
                hint=f"run it with --init, or apply database/core/{SCHEMA.name} first",
                code="table-missing",
            )
        target.apply_sql(SCHEMA.read_text(encoding="utf-8"), SCHEMA.name)
    return target.uri()


def _has_tables(target: Target) -> bool:
    """Whether all tables are there. Raises TargetError if the database cannot be asked."""
    try:
        for table in LOADING_ORDER:
            target.columns(table)
    except TargetError as exc:
        if exc.code == "table-missing":
            return False
        raise
    return True


def _generated(options: LoadOptions) -> dict[str, pd.DataFrame]:
    with _progress() as progress:
        task = progress.add_task("generate", total=len(FULL_SIZES) - 2)

        def announce(table: str) -> None:
            progress.update(task, advance=1, description=f"generate {table}")

        try:
            return generate(options.recipe, announce)
        except ValueError as exc:
            raise BackendError(str(exc)) from exc


def _valid(loader: BatchLoader, datasets: Mapping[str, pd.DataFrame], options: LoadOptions) -> bool:
    """Whether structure and contents are right; says what is not."""
    complete, faults = loader.validate_datasets(dict(datasets))
    if not complete:
        print(*faults, sep="\n", file=sys.stderr)
        return False
    results = validate_pipeline_output(dict(datasets), dgp_type=DGPType(options.dgp))
    passed = all(result.is_valid for result in results.values())
    if options.verbose or not passed:
        print(get_combined_summary(results), file=sys.stderr)
    for name, result in results.items():
        errors = result.pandera_errors
        if isinstance(errors, SchemaErrors):
            # the first values that break a rule of their schema
            cases = errors.failure_cases[["column", "check", "failure_case"]].head(_SHOWN_ERRORS)
            for column, check, case in cases.to_numpy():
                print(f"invalid: {name}.{column}: {case!r} fails {check}", file=sys.stderr)
        elif errors is not None:
            print(f"invalid: {name}: {errors}", file=sys.stderr)
    return passed


def _loaded(loader: BatchLoader, datasets: Mapping[str, pd.DataFrame]) -> dict[str, LoadResult]:
    with _progress() as progress:
        tasks = {
            name: progress.add_task(name, total=len(datasets[name]), start=False, visible=False)
            for name in LOADING_ORDER
        }

        def next_table(table: str, _number: int, _total: int) -> None:
            progress.update(tasks[table], visible=True)
            progress.start_task(tasks[table])

        def rows_done(table: str, rows: int) -> None:
            progress.update(tasks[table], advance=rows)

        return loader.load_all(datasets, next_table, rows_done)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Progress bars on a terminal, and silence elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
    ) as progress:
        yield progress


def _report(results: Mapping[str, LoadResult], options: LoadOptions, say: TextIO) -> None:
    errors = [error for result in results.values() for error in result.errors]
    shown = errors if options.verbose else errors[:_SHOWN_ERRORS]
    for error in shown:
        print(f"failed: {error}", file=sys.stderr)
    if len(shown) < len(errors):
        print(f"… {len(errors) - len(shown)} more; --verbose lists them", file=sys.stderr)
    Console(file=say, soft_wrap=True).print(_table(results, options))
    if options.as_json:
        print(json.dumps(as_json(results)))
    total = sum(result.records_loaded for result in results.values())
    verb = "would load" if options.dry_run else "loaded"
    print(f"{total:,} rows {verb}, {len(errors):,} failed.", file=say)


def _table(results: Mapping[str, LoadResult], options: LoadOptions) -> Table:
    table = Table(title="Dry run" if options.dry_run else None, box=None, pad_edge=False)
    table.add_column("table", no_wrap=True)
    for heading in ("rows", "loaded", "failed", "new", "changed", "unchanged", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    figures = [_figures(result) for result in results.values()]
    for name, row in zip(results, figures, strict=True):
        table.add_row(name, *(f"{n:,}" for n in row), f"{results[name].duration_seconds:.2f}")
    table.add_section()
    totals = [sum(column) for column in zip(*figures, strict=True)]
    seconds = sum(result.duration_seconds for result in results.values())
    table.add_row("total", *(f"{n:,}" for n in totals), f"{seconds:.2f}")
    return table


def _figures(result: LoadResult) -> tuple[int, ...]:
    """Rows given, loaded, failed, new, changed, unchanged."""
    loaded, failed = result.records_loaded, result.records_failed
    new, changed = result.records_inserted, result.records_updated
    return loaded + failed, loaded, failed, new, changed, loaded - new - changed


def as_json(results: Mapping[str, LoadResult]) -> dict[str, Any]:
    """The figures of a load, by table and in all."""
    names = ("rows", "loaded", "failed", "inserted", "updated", "unchanged")
    tables = {name: dict(zip(names, _figures(r), strict=True)) for name, r in results.items()}
    return {
        "tables": tables,
        "total": {name: sum(table[name] for table in tables.values()) for name in names},
        "errors": [error for result in results.values() for error in result.errors],
    }
