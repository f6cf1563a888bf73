"""Which rows of a PostgreSQL database were written between two moments, by their transactions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrate_backend.targets.base import Target

_NEXT = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next"
# xmin has no epoch: the transactions of the last two billion are distinguished by their distance
_WRITTEN = """
SELECT count(*) AS present,
       count(*) FILTER (WHERE (xmin::text::bigint - {next} % 4294967296 + 4294967296) % 4294967296
                              < 2147483648 AND xmin::text::bigint > 2) AS written
  FROM {table}
"""


class RowWatch:
    """Compares tables at two moments: a row that is written again has a later transaction."""

    def __init__(self, target: Target, tables: Iterable[str]) -> None:
        self._target = target
        self._next = int(target.query_readonly(_NEXT)[0]["next"])
        self._before = {table: self._count(table)[0] for table in tables}

    def changed(self) -> dict[str, int]:
        """Rows by table that were inserted, updated or deleted since."""
        found = {}
        for table, before in self._before.items():
            present, written = self._count(table)
            found[table] = written + max(0, before - present)
        return found

    def _count(self, table: str) -> tuple[int, int]:
        """(rows present, rows written since)."""
        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
        row = self._target.query_readonly(_WRITTEN.format(next=self._next, table=quoted))[0]
        return int(row["present"]), int(row["written"])
