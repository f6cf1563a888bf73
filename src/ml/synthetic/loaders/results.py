"""What a load did, table by table and row by row."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import NamedTuple

#: a load counts as a success from this share of rows on
_SUCCESS_RATE = 0.95


class RowFailure(NamedTuple):
    """A row that was not loaded."""

    table: str
    #: values of the natural key, as text
    key: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return f"{self.table} {', '.join(self.key)}: {self.reason}"


@dataclass
class LoadResult:
    """What happened to one table's rows; batches are numbered from 1."""

    table_name: str
    records_loaded: int
    records_failed: int
    total_batches: int
    #: batches that hold a row that failed
    failed_batches: list[int] = field(default_factory=list)
    #: a line per row that failed: table, key, reason
    errors: list[str] = field(default_factory=list)
    duration_seconds: float = 0.0
    failures: list[RowFailure] = field(default_factory=list)
    #: rows written because they were new, or said something else than the stored ones
    records_inserted: int = 0
    records_updated: int = 0

    @property
    def success_rate(self) -> float:
        """Share of rows loaded, 0..1; 0.0 if there were none."""
        total = self.records_loaded + self.records_failed
        return self.records_loaded / total if total else 0.0

    @property
    def is_success(self) -> bool:
        """Whether at least 95 % of the rows are loaded."""
        return self.success_rate >= _SUCCESS_RATE


@dataclass
class LoaderConfig:
    """How to load, and where to: a PostgreSQL `dsn` goes before a Supabase project."""

    batch_size: int = 1000
    #: further attempts after a passing fault
    max_retries: int = 3
    #: pause before the first further attempt; it doubles from then on
    retry_delay_seconds: float = 1.0
    validate_before_load: bool = True
    dry_run: bool = False
    verbose: bool = False
    supabase_url: str | None = field(default_factory=lambda: os.environ.get("SUPABASE_URL"))
    supabase_key: str | None = field(
        default_factory=lambda: os.environ.get("SUPABASE_SERVICE_ROLE_KEY"), repr=False
    )
    #: libpq connection URL of a login that may act as service_role
    dsn: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"a batch holds at least one row, not {self.batch_size}")


def get_loading_summary(results: dict[str, LoadResult]) -> str:
    """A table for people: rows loaded of rows given, per table and in all."""
    rows = [
        (r.table_name, r.records_loaded, r.records_loaded + r.records_failed)
        for r in results.values()
    ]
    rows.append(("TOTAL:", sum(r[1] for r in rows), sum(r[2] for r in rows)))
    width = max(len(name) for name, _, _ in rows)
    lines = [
        f"{name:<{width}}  {loaded:>9,} of {given:>9,}  {loaded / max(given, 1):>6.1%}"
        for name, loaded, given in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join(["SYNTHETIC DATA LOADING SUMMARY", rule, *lines[:-1], rule, lines[-1]])
