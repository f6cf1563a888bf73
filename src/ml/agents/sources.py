"""Reading what the agents analyse: one small query language over PostgreSQL and Supabase."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from orchestrate_backend.errors import TargetError
from orchestrate_backend.targets.postgres import EmbeddedTarget, parse_url, target_fault

if TYPE_CHECKING:
    import httpx
    from psycopg import AsyncConnection
    from psycopg.sql import Composable, Composed
    from supabase import AsyncClient

Record = dict[str, Any]

#: the role that may read, and no more
READER_ROLE = "authenticated"
#: Supabase gives no more rows than this at once by default
_PAGE = 1000
#: seconds for one request
_TIMEOUT = 60.0


class Op(StrEnum):
    """How a column is compared, by PostgREST's name of the operator."""

    EQ = "eq"
    IN = "in"
    GT = "gt"
    GE = "gte"
    LE = "lte"
    #: a JSON object holds these members
    CONTAINS = "cs"
    #: the value is not used
    KNOWN = "not.is"


@dataclass(frozen=True)
class Filter:
    """A condition on one column."""

    column: str
    op: Op
    value: Any = None


@dataclass(frozen=True)
class Query:
    """Rows of one table; without a limit all of them."""

    table: str
    columns: tuple[str, ...]
    filters: tuple[Filter, ...] = ()
    order: tuple[str, ...] = ()
    descending: bool = False
    limit: int | None = None


class Source(Protocol):
    """A place that rows are read from. No connection is a TargetError, never an empty list."""

    async def fetch(self, query: Query) -> list[Record]:
        """The rows, DECIMAL as float, dates as `date`, timestamps as aware `datetime`."""
        ...

    async def count(self, query: Query) -> int:
        """How many rows there are."""
        ...

    async def close(self) -> None:
        """Let go of the connection; the source may be used again."""
        ...


async def latest(
    source: Source, table: str, column: str, filters: tuple[Filter, ...] = ()
) -> datetime | None:
    """The latest timestamp in a column; None if there is no row."""
    query = Query(table, (column,), filters, (column,), descending=True, limit=1)
    rows = await source.fetch(query)
    return rows[0][column] if rows else None


class PostgresSource:
    """A database read as `authenticated`, in read-only transactions."""

    def __init__(self, dsn: str) -> None:
        parts = parse_url(dsn)
        self._dsn = dsn
        self._place = f"{parts.get('host') or 'localhost'}/{parts.get('dbname') or '(default)'}"
        self._connection: AsyncConnection[Record] | None = None
        self._lock = asyncio.Lock()

    async def fetch(self, query: Query) -> list[Record]:
        rows = await self._execute(select_statement(query), query)
        return [
            {n: float(v) if isinstance(v, Decimal) else v for n, v in row.items()} for row in rows
        ]

    async def count(self, query: Query) -> int:
        from psycopg.sql import SQL

        [row] = await self._execute(
            SQL("SELECT count(*) AS n FROM ({}) AS q").format(select_statement(query)), query
        )
        return int(row["n"])

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _execute(self, statement: Composed, query: Query) -> list[Record]:
        """The rows; a connection lost since the last query is made once more."""
        from psycopg import Error, OperationalError

        async def once() -> list[Record]:
            values = [value for item in query.filters for value in _condition(item)[1]]
            cursor = await (await self._open()).execute(
                statement, values if query.limit is None else [*values, query.limit]
            )
            return await cursor.fetchall()

        async with self._lock:
            try:
                try:
                    return await once()
                except OperationalError:
                    await self.close()
                    return await once()
            except Error as exc:
                raise target_fault(exc, query.table, self._place) from exc

    async def _open(self) -> AsyncConnection[Record]:
        """The connection, left with no more than the right to read."""
        from psycopg import AsyncConnection
        from psycopg.rows import dict_row
        from psycopg.sql import SQL, Identifier

        if self._connection is None or self._connection.closed:
            connection = await AsyncConnection.connect(
                self._dsn,
                autocommit=True,
                connect_timeout=10,
                application_name="orchestrate",
                row_factory=dict_row,
            )
            try:
                await connection.execute("SET default_transaction_read_only = on")
                await connection.execute(SQL("SET ROLE {}").format(Identifier(READER_ROLE)))
                claims = json.dumps({"role": READER_ROLE})
                await connection.execute(
                    "SELECT set_config('request.jwt.claims', %s, false)", (claims,)
                )
            except BaseException:
                await connection.close()
                raise
            self._connection = connection
        return self._connection


class EmbeddedSource(PostgresSource):
    """The workspace's own server, which runs as long as the source is held."""

    def __init__(self, target: EmbeddedTarget) -> None:
        self._target = target
        super().__init__(target.uri())

    async def close(self) -> None:
        await super().close()
        self._target.close()


class SupabaseSource:
    """A Supabase project read by its REST interface."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self._client: AsyncClient | None = None
        self._http: httpx.AsyncClient

    async def fetch(self, query: Query) -> list[Record]:
        rows: list[Record] = []
        while query.limit is None or len(rows) < query.limit:
            size = _PAGE if query.limit is None else min(_PAGE, query.limit - len(rows))
            answer = await self._ask(query, (len(rows), len(rows) + size - 1))
            rows += answer.data
            if len(answer.data) < size:
                break
        return [{name: _from_json(name, value) for name, value in row.items()} for row in rows]

    async def count(self, query: Query) -> int:
        return int((await self._ask(query, (0, 0))).count or 0)

    async def close(self) -> None:
        if self._client is not None:
            await self._http.aclose()
            self._client = None

    async def _ask(self, query: Query, page: tuple[int, int]) -> Any:
        import httpx
        from postgrest.exceptions import APIError

        try:
            request = (
                (await self._open())
                .table(query.table)
                .select(
                    ",".join(query.columns),
                    count="exact",  # type: ignore[arg-type]
                )
            )
            for item in query.filters:
                request = request.filter(item.column, item.op, _as_rest(item))
            for column in query.order:
                request = request.order(column, desc=query.descending)
            return await request.range(*page).execute()
        except APIError as exc:
            raise TargetError(f"Supabase: {exc.message} ({exc.code})", code="target") from exc
        except httpx.HTTPError as exc:
            raise TargetError(
                f"Supabase cannot be reached: {exc or type(exc).__name__}", code="unreachable"
            ) from exc

    async def _open(self) -> AsyncClient:
        if self._client is None:
            import httpx
            from supabase import AsyncClientOptions, acreate_client

            self._http = httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=True)
            options = AsyncClientOptions(httpx_client=self._http)
            self._client = await acreate_client(self._url, self._key, options)
        return self._client


def select_statement(query: Query) -> Composed:
    """The query as SQL, its values as placeholders."""
    from psycopg.sql import SQL, Identifier

    way = SQL(" DESC") if query.descending else SQL("")
    parts: list[Composable] = [
        SQL("SELECT {} FROM {}").format(
            SQL(", ").join(map(Identifier, query.columns)), Identifier("public", query.table)
        )
    ]
    if query.filters:
        parts.append(SQL("WHERE ") + SQL(" AND ").join(_condition(f)[0] for f in query.filters))
    if query.order:
        parts.append(SQL("ORDER BY ") + SQL(", ").join(Identifier(c) + way for c in query.order))
    if query.limit is not None:
        parts.append(SQL("LIMIT %s"))
    return SQL(" ").join(parts)


def _condition(item: Filter) -> tuple[Composable, list[Any]]:
    """The condition as SQL, and the values of its placeholders."""
    from psycopg.sql import SQL, Identifier
    from psycopg.types.json import Jsonb

    column = Identifier(item.column)
    if item.op is Op.KNOWN:
        return SQL("{} IS NOT NULL").format(column), []
    if item.op is Op.IN:
        places = SQL(", ").join([SQL("%s")] * len(item.value))
        found = SQL("{} IN ({})").format(column, places) if item.value else SQL("false")
        return found, list(item.value)
    if item.op is Op.CONTAINS:
        return SQL("{} @> %s").format(column), [Jsonb(item.value)]
    sign = {Op.EQ: SQL("="), Op.GT: SQL(">"), Op.GE: SQL(">="), Op.LE: SQL("<=")}[item.op]
    return SQL("{} {} %s").format(column, sign), [item.value]


def _as_rest(item: Filter) -> str:
    """The value as it stands in a URL."""
    if item.op is Op.KNOWN:
        return "null"
    if item.op is Op.IN:
        return "({})".format(",".join(json.dumps(str(value)) for value in item.value))
    if item.op is Op.CONTAINS:
        return json.dumps(item.value)
    return item.value.isoformat() if isinstance(item.value, date) else str(item.value)


def _from_json(column: str, value: Any) -> Any:
    """Dates and timestamps are text in JSON; the column's name tells them."""
    if not isinstance(value, str):
        return value
    if column.endswith("_timestamp"):
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if column.endswith("_date") else value


def open_source(target: Any, env: Mapping[str, str]) -> Source:
    """The source of a target that `choose_target` gave."""
    if isinstance(target, EmbeddedTarget):
        return EmbeddedSource(target)
    if target.name == "postgres":
        return PostgresSource(env["DATABASE_URL"])
    return SupabaseSource(env["SUPABASE_URL"], env["SUPABASE_SERVICE_ROLE_KEY"])
