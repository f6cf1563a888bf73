"""Loading into PostgreSQL as service_role, for which row level security stays on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from orchestrate_backend.targets.attempts import Retry
from orchestrate_backend.targets.postgres import COPY_ROWS, PostgresTarget
from orchestrate_backend.targets.upsert import Upsert, table_identifier
from src.ml.synthetic.loaders.coerce import canonical_json
from src.ml.synthetic.loaders.stores import Outcome, Progress
from src.ml.synthetic.loaders.tables import Kind, Table


class PostgresStore(PostgresTarget):
    """A database reached by a login that may act as service_role.

    A dry run does all of its work in one transaction, which ends with the connection. It retries
    nothing: with its connection it would lose what it wrote before.
    """

    def __init__(
        self, dsn: str, retry: Retry | None = None, *, batch: int = 1000, dry_run: bool = False
    ) -> None:
        super().__init__(dsn, "service_role", Retry(0) if dry_run else retry or Retry())
        self._rows = max(batch, COPY_ROWS)
        self._dry_run = dry_run

    def write(self, table: Table, frame: pd.DataFrame, progress: Progress) -> Outcome:
        done = Outcome()
        upsert = upsert_of(table, tuple(frame.columns))
        columns = [
            frame[name].map(canonical_json) if table.column(name).kind is Kind.JSON else frame[name]
            for name in upsert.columns
        ]
        rows = list(zip(*(column.tolist() for column in columns), strict=True))
        for start in range(0, len(rows), self._rows):
            part = rows[start : start + self._rows]
            done.add(Outcome(*self.upsert_tuples(upsert, part)), range(start, start + len(part)))
            progress(len(part))
        return done

    def ids(self, table: Table, frame: pd.DataFrame) -> Sequence[Any]:
        from psycopg.sql import SQL, Identifier

        names = (table.surrogate or "", *table.key)
        query = SQL("SELECT {} FROM {}").format(
            SQL(", ").join(SQL("{}::text").format(Identifier(name)) for name in names),
            table_identifier(table.name),
        )
        rows = self._run(lambda connection: connection.execute(query).fetchall(), table.name)
        stored = {tuple(key): found for found, *key in rows}
        return [
            stored.get(key) for key in frame[list(table.key)].itertuples(index=False, name=None)
        ]

    def _writer_connection(self) -> Any:
        connection = super()._writer_connection()
        if self._dry_run:
            # every further transaction is a savepoint of this one, which nobody commits
            connection.execute("BEGIN")
        return connection


def upsert_of(table: Table, columns: tuple[str, ...]) -> Upsert:
    """The upsert of a table: the generated row replaces the stored one, but for its surrogate."""
    return Upsert(table.name, columns, table.key, table.surrogate, nulls_replace=True)
