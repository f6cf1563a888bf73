"""Loading into PostgreSQL as service_role, for which row level security stays on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from orchestrate_backend.targets.attempts import Retry
from orchestrate_backend.targets.postgres import COPY_ROWS, PostgresTarget
from orchestrate_backend.targets.upsert import Upsert, table_identifier
from src.ml.synthetic.loaders.coerce import canonical_json, json_texts
from src.ml.synthetic.loaders.stores import Outcome, Progress
from src.ml.synthetic.loaders.tables import Column, Kind, Table


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
        upsert = upsert_of(table, tuple(frame.columns))
        texts = {name: written(frame[name].tolist(), table.column(name)) for name in upsert.columns}
        rows = list(zip(*texts.values(), strict=True))
        # what is there, and says the same in every column but the surrogate, is not sent
        shown = [name for name in upsert.columns if name != table.surrogate]
        there = self.stored_texts(upsert, shown, 2 * len(rows) + 1)
        says = zip(*(texts[name] for name in shown), strict=True)
        changed = (
            [at for at, row in enumerate(says) if row not in there] if there else range(len(rows))
        )
        done = Outcome(unchanged=len(rows) - len(changed))
        if done.unchanged:
            progress(done.unchanged)
        for start in range(0, len(changed), self._rows):
            places = changed[start : start + self._rows]
            part = [rows[at] for at in places]
            done.add(Outcome(*self.upsert_tuples(upsert, part, fresh=not there)), places)
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


def written(values: list[Any], column: Column) -> list[str | None]:
    """Coerced values as PostgreSQL writes them; one that it would write otherwise is sent again."""
    match column.kind:
        case Kind.JSON:
            values = json_texts(values)
        case Kind.TIMESTAMP:
            return [
                f"{v[:10]} {v[11:26].rstrip('0').rstrip('.')}+00"
                if type(v) is str and v[4] == "-"
                else _text(v)
                for v in values
            ]
        case Kind.DECIMAL:
            form = f"%.{column.scale}f"
            # -0.0 is written as 0
            return [form % (v + 0.0) if type(v) is float else _text(v) for v in values]
        case Kind.FLOAT:
            return [repr(v).removesuffix(".0") if type(v) is float else _text(v) for v in values]
        case Kind.BOOLEAN:
            return [str(v).lower() if type(v) is bool else _text(v) for v in values]
        case Kind.INTEGER:
            return [str(v) if type(v) is int else _text(v) for v in values]
    return values if set(map(type, values)) <= {str, type(None)} else list(map(_text, values))


def _text(value: Any) -> str | None:
    """What fits no column of its kind, for the database to refuse with a reason."""
    return None if value is None else str(canonical_json(value))


def upsert_of(table: Table, columns: tuple[str, ...]) -> Upsert:
    """The upsert of a table: the generated row replaces the stored one, but for its surrogate."""
    return Upsert(table.name, columns, table.key, table.surrogate, nulls_replace=True)
