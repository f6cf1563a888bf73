"""Loading generated frames in the order of their references, by upserts on natural keys."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from orchestrate_backend.errors import TargetError
from orchestrate_backend.targets.attempts import Retry
from src.ml.synthetic.loaders.checks import hashable_keys, repeated_keys
from src.ml.synthetic.loaders.coerce import coerced, renamed
from src.ml.synthetic.loaders.postgres_store import PostgresStore
from src.ml.synthetic.loaders.results import (
    LoaderConfig,
    LoadResult,
    RowFailure,
    get_loading_summary,
)
from src.ml.synthetic.loaders.stores import CheckingStore, Outcome, Progress, Store
from src.ml.synthetic.loaders.supabase_store import SupabaseStore
from src.ml.synthetic.loaders.tables import (
    LOADING_ORDER,
    RENAMES,
    TABLE_COLUMNS,
    TABLES,
    Table,
)

__all__ = [
    "LOADING_ORDER",
    "RENAMES",
    "TABLE_COLUMNS",
    "AsyncBatchLoader",
    "BatchLoader",
    "LoadResult",
    "LoaderConfig",
    "RowFailure",
    "get_loading_summary",
    "renamed",
]

#: is told the table that comes next, its number from 1, and how many there are
TableCallback = Callable[[str, int, int], None]
#: is told the table and the number of rows just done
RowCallback = Callable[[str, int], None]

#: what is generated for analyses, and loaded nowhere
_WITHOUT_TABLE = {"engagement_events", "business_outcomes"}

_LOG = logging.getLogger(__name__)


class BatchLoader:
    """Loads frames into PostgreSQL or Supabase; a dry run without a `dsn` needs neither."""

    def __init__(self, config: LoaderConfig | None = None, store: Store | None = None) -> None:
        self.config = config or LoaderConfig()
        self._given = store
        self._store: Store | None = None
        #: parent table → id of the frame → id that the database holds
        self._ids: dict[str, dict[Any, Any]] = {}

    def load_all(
        self,
        datasets: Mapping[str, pd.DataFrame],
        progress_callback: TableCallback | None = None,
        row_callback: RowCallback | None = None,
    ) -> dict[str, LoadResult]:
        """Load the known tables in `LOADING_ORDER`; what each did, by table. Others are warned of.

        Raises TargetError where nothing can be loaded: no database, no such table, no right.
        """
        known = [name for name in LOADING_ORDER if name in datasets]
        if others := sorted(set(datasets) - set(known) - _WITHOUT_TABLE):
            _LOG.warning("not loaded, there is no such table: %s", ", ".join(others))
        results: dict[str, LoadResult] = {}
        try:
            for number, name in enumerate(known, start=1):
                if progress_callback:
                    progress_callback(name, number, len(known))
                results[name] = self._load(name, datasets[name], row_callback)
        finally:
            self.close()
        return results

    def load_table(self, table: str, df: pd.DataFrame) -> LoadResult:
        """Load one table. Raises ValueError for an unknown one, TargetError as `load_all` does."""
        if table not in TABLES:
            raise ValueError(f"Unknown table: {table}; known are {', '.join(LOADING_ORDER)}")
        try:
            return self._load(table, df)
        finally:
            self._let_go()

    def close(self) -> None:
        """Let go of the database, and forget which ids it holds."""
        self._let_go()
        self._ids.clear()

    def _let_go(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def validate_datasets(self, datasets: Mapping[str, pd.DataFrame]) -> tuple[bool, list[str]]:
        """Whether all tables are known, filled and complete in columns; and what is wrong."""
        errors: list[str] = []
        for name, df in datasets.items():
            if name not in TABLE_COLUMNS:
                errors.append(f"Unknown table: {name}")
                continue
            # the database fills in a split that is not given
            needed = [column for column in TABLE_COLUMNS[name] if not column.endswith("_split")]
            if missing := [column for column in needed if column not in df.columns]:
                errors.append(f"Missing columns in {name}: {', '.join(missing)}")
            if df.empty:
                errors.append(f"Empty dataset: {name}")
        return not errors, errors

    def get_loading_summary(self, results: dict[str, LoadResult]) -> str:
        """A table for people: rows loaded of rows given, per table and in all."""
        return get_loading_summary(results)

    def _load(
        self, name: str, df: pd.DataFrame, row_callback: RowCallback | None = None
    ) -> LoadResult:
        start = time.perf_counter()
        table = TABLES[name]
        lacking = [column for column in table.required if column not in df.columns]
        if lacking and self.config.validate_before_load:
            reason = f"Missing columns: {', '.join(lacking)}"
            outcome, frame = Outcome(refused=dict.fromkeys(range(len(df)), reason)), df
        else:
            frame = coerced(df, table)
            for reference in table.references:
                # the database may hold the parent under another id than the frame gives
                stored = self._ids.get(reference.parent)
                if stored and reference.column in frame.columns:
                    column = frame[reference.column]
                    frame[reference.column] = column.map(lambda v, ids=stored: ids.get(v, v))
            tell = row_callback or (lambda _table, _rows: None)
            outcome = self._write(table, frame, lambda rows: tell(name, rows))
            parents = {r.parent for other in TABLES.values() for r in other.references}
            if name in parents and table.surrogate in frame.columns and len(frame):
                held = zip(frame[table.surrogate], self._open().ids(table, frame), strict=True)
                known = {given: there for given, there in held if there is not None}
                self._ids.setdefault(name, {}).update(known)
        result = _result(table, frame, outcome, self.config.batch_size)
        result.duration_seconds = time.perf_counter() - start
        if self.config.verbose:
            for error in result.errors:
                _LOG.warning(error)
            figures = (result.records_loaded, result.records_failed, result.duration_seconds)
            _LOG.info("%s: %d loaded, %d failed, %.2f s", name, *figures)
        return result

    def _write(self, table: Table, frame: pd.DataFrame, progress: Progress) -> Outcome:
        """Each key once: a later row of a key has its turn only if the earlier one is refused."""
        done = Outcome()
        rest = frame
        while len(rest):
            repeats = repeated_keys(rest, table.key)
            turn = rest.drop(index=rest.index[list(repeats)]) if repeats else rest
            part = self._open().write(table, turn.reset_index(drop=True), progress)
            done.add(part, turn.index)
            refused = [turn.index[position] for position in part.refused]
            rest = rest.iloc[sorted(repeats)]
            open_keys = set(_keys(frame.loc[refused], table.key))
            again = np.array([key in open_keys for key in _keys(rest, table.key)], dtype=bool)
            for position in rest.index[~again]:
                done.refused[int(position)] = f"an earlier row has the same {', '.join(table.key)}"
            rest = rest[again]
        return done

    def _open(self) -> Store:
        if self._store is None:
            self._store = self._given or _store(self.config)
        return self._store


class AsyncBatchLoader(BatchLoader):
    """The same for an event loop, which goes on while a thread loads."""

    async def load_all_async(
        self,
        datasets: Mapping[str, pd.DataFrame],
        progress_callback: TableCallback | None = None,
        row_callback: RowCallback | None = None,
    ) -> dict[str, LoadResult]:
        """`load_all`, awaited; the callbacks are called from the thread that loads."""
        return await asyncio.to_thread(self.load_all, datasets, progress_callback, row_callback)

    async def load_table_async(self, table: str, df: pd.DataFrame) -> LoadResult:
        """`load_table`, awaited."""
        return await asyncio.to_thread(self.load_table, table, df)


def _store(config: LoaderConfig) -> Store:
    """The place that the settings name. Raises TargetError if they name none."""
    retry = Retry(config.max_retries, config.retry_delay_seconds)
    if config.dsn:
        return PostgresStore(config.dsn, retry, batch=config.batch_size, dry_run=config.dry_run)
    if config.dry_run:
        return CheckingStore()
    if config.supabase_url and config.supabase_key:
        return SupabaseStore(config.supabase_url, config.supabase_key, retry, config.batch_size)
    raise TargetError(
        "no database to load into",
        hint="give a dsn, or set SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY, or make a dry run",
        code="target-variable",
    )


def _keys(frame: pd.DataFrame, key: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The natural key of each row, hashable; None for a column that is not there."""
    return list(hashable_keys(frame, key).itertuples(index=False, name=None))


def _result(table: Table, frame: pd.DataFrame, outcome: Outcome, batch: int) -> LoadResult:
    refused = sorted(outcome.refused)
    keys = _keys(frame.iloc[refused], table.key)
    failures = [
        RowFailure(table.name, tuple(str(part) for part in key), outcome.refused[position])
        for position, key in zip(refused, keys, strict=True)
    ]
    return LoadResult(
        table.name,
        len(frame) - len(refused),
        len(refused),
        -(-len(frame) // batch),
        failed_batches=sorted({position // batch + 1 for position in refused}),
        errors=[str(failure) for failure in failures],
        failures=failures,
        records_inserted=outcome.inserted,
        records_updated=outcome.updated,
    )
