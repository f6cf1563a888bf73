"""Which rows of a PostgreSQL database were written between two moments, by their transactions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrate_backend.targets.base import Target

_NEXT = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next"
# xmin has no epoch: the transactions of the last two billion are told apart by their distance
_WRITTEN = """
SELECT count(*) AS present,
       count(*) FILTER (WHERE (xmin::text::bigint - {next} % 4294967296 + 4294967296) % 4294967296
                              < 2147483648 AND xmin::text::bigint > 2) AS written
  FROM {table}
"""


class RowWatch:
    """Looks at tables twice: a row written again bears a later transaction, whatever it holds."""

    def __init__(self, target: Target, tables: Iterable[str]) -> None:
        self._target = target
        self._next = int(target.query_readonly(_NEXT)[0]["next"])
        self._before = {table: self._look(table)[0] for table in tables}

    def changed(self) -> dict[str, int]:
        """Rows by table that were inserted, updated or deleted since."""
        found = {}
        for table, before in self._before.items():
            present, written = self._look(table)
            found[table] = written + max(0, before - present)
        return found

    def _look(self, table: str) -> tuple[int, int]:
        row = self._target.query_readonly(_WRITTEN.format(next=self._next, table=_quoted(table)))[0]
        return int(row["present"]), int(row["written"])


def _quoted(table: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
