"""Loading into a Supabase project by its REST interface and service-role key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from orchestrate_backend.targets.attempts import Retry, isolate
from orchestrate_backend.targets.base import Row
from orchestrate_backend.targets.supabase import SupabaseTarget, differs, identity, is_passing
from src.ml.synthetic.loaders.stores import Outcome, Progress
from src.ml.synthetic.loaders.tables import Table


class SupabaseStore(SupabaseTarget):
    """A Supabase project; the service-role key names the role, so row level security stays on.

    An upsert over REST would rewrite equal rows, so what is stored is read first and only rows
    that are new or differ are sent.
    """

    def __init__(self, url: str, key: str, retry: Retry | None = None, batch: int = 1000) -> None:
        self._url = url
        self._key = key
        self._retry = retry or Retry()
        self._batch = batch
        self._client = None

    def describe(self) -> str:
        return "Supabase"

    def write(self, table: Table, frame: pd.DataFrame, progress: Progress) -> Outcome:
        there = self._stored(table, tuple(frame.columns))
        records = _records(frame)
        #: position, row to send, whether it is new
        changed: list[tuple[int, Row, bool]] = []
        for at, row in enumerate(records):
            old = there.get(identity(row, table.key))
            kept = {table.surrogate: old[table.surrogate]} if old and table.surrogate else {}
            row = {**row, **kept}
            if old is None or differs(row, old):
                changed.append((at, row, old is None))

        def attempt(low: int, high: int) -> None:
            rows = [row for _, row, _ in changed[low:high]]
            self._send(table.name, rows, table.key, back=False)

        refused: dict[int, str] = {}
        for start in range(0, len(changed), self._batch):
            stop = min(start + self._batch, len(changed))
            refused |= isolate(start, stop, attempt).refused
            progress(stop - start)
        unchanged = len(records) - len(changed)
        progress(unchanged)
        new = sum(is_new for n, (_, _, is_new) in enumerate(changed) if n not in refused)
        updated = len(changed) - new - len(refused)
        reasons = {changed[n][0]: reason for n, reason in refused.items()}
        return Outcome(new, updated, unchanged, reasons)

    def ids(self, table: Table, frame: pd.DataFrame) -> Sequence[Any]:
        surrogate = table.surrogate or ""
        stored = self._stored(table, (surrogate, *table.key))
        nobody: Row = {}
        rows = (stored.get(identity(row, table.key), nobody) for row in _records(frame))
        return [row.get(surrogate) for row in rows]

    def _stored(self, table: Table, columns: tuple[str, ...]) -> dict[Any, Row]:
        """Every stored row by its key."""
        rows = self._pages(table.name, columns, table.key)
        return {identity(row, table.key): row for row in rows}

    def _is_passing(self, error: BaseException) -> bool:
        # a load is long enough to wait for a gateway that answers 500
        return is_passing(error) or getattr(error, "code", None) == "500"


def _records(frame: pd.DataFrame) -> list[Row]:
    return [{str(name): v for name, v in row.items()} for row in frame.to_dict("records")]
