"""The Supabase target: a project reached by its REST interface and service-role key."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from orchestrate_backend.errors import TargetError
from orchestrate_backend.targets.attempts import DEFAULT_RETRY, Retry, RowFaultError, isolate
from orchestrate_backend.targets.base import (
    Rejected,
    Row,
    TableColumn,
    Written,
    batches,
    given_columns,
    hashable,
    is_row_state,
    key_missing,
    row_key,
    split_table,
    table_missing,
    target_fingerprint,
    without_repeats,
)

if TYPE_CHECKING:
    import httpx
    from supabase import Client

R = TypeVar("R")

#: a page of what is there already; the service itself gives no more than 1000 rows by default
_PAGE = 1000
#: a filter longer than this goes beyond what gateways take in a URL
_MAX_FILTER = 3000
#: codes of faults that may be gone at the next attempt
_PASSING = frozenset(
    [
        "429",
        "502",
        "503",
        "504",
        "520",
        "40001",
        "40P01",
        "57P03",
        "PGRST000",
        "PGRST001",
        "PGRST002",
        "PGRST003",
    ]
)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
#: seconds for one request
_TIMEOUT = 60.0


class SupabaseTarget:
    """A Supabase project. DDL and free SQL cannot go this way (DESIGN 10.2)."""

    name = "supabase"

    def __init__(self, url: str, key: str, retry: Retry = DEFAULT_RETRY) -> None:
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            parts, port = urlsplit(""), ""
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise TargetError(
                "SUPABASE_URL is not the URL of a project",
                hint="write it as https://<project>.supabase.co",
                code="supabase-url",
            )
        self._url = url.rstrip("/")
        self._key = key
        self._retry = retry
        self._host = parts.hostname + port
        self._client: Client | None = None
        self._http: httpx.Client

    @property
    def fingerprint(self) -> str:
        return target_fingerprint(self.name, self._host)

    def identity(self) -> str:
        return self.fingerprint

    def describe(self) -> str:
        return f"{self.name}: {self._host}"

    def upsert(
        self, table: str, rows: Sequence[Row], key: tuple[str, ...], batch: int = 50
    ) -> Written:
        unique, done = without_repeats(rows, key)
        if not unique:
            self.count(table)
            return done
        columns = given_columns(unique, key)
        for part in batches(unique, batch):
            done += self._upsert_part(table, part, key, columns)
        return done

    def count(self, table: str) -> int:
        answer = self._ask(
            lambda c: _table(c, table).select("*", count="exact").limit(1).execute(), table
        )
        return int(answer.count or 0)

    def columns(self, table: str) -> tuple[TableColumn, ...]:
        def ask(_: Client) -> Any:
            """The interface's own description (OpenAPI 2)."""
            headers = {"apikey": self._key, "Authorization": f"Bearer {self._key}"}
            answer = self._http.get(f"{self._url}/rest/v1/", headers=headers)
            return answer.raise_for_status().json()

        schema = self._ask(ask)
        tables = schema.get("definitions", {}) if isinstance(schema, dict) else {}
        described = tables.get(split_table(table)[1])
        if described is None:
            raise table_missing(table, self.describe())
        required = described.get("required", ())
        return tuple(
            TableColumn(name, str(p.get("format", "")), name not in required, p.get("default"))
            for name, p in described.get("properties", {}).items()
        )

    def natural_key(self, table: str) -> tuple[str, ...] | None:
        """None: the REST interface does not show unique keys."""
        return None

    def apply_sql(self, text: str, source: str = "") -> None:
        raise TargetError(
            "SQL that changes the schema cannot go through Supabase's REST interface",
            path=source or None,
            hint=f"paste it into the project's SQL editor and run it there:\n{text}",
            code="sql-by-hand",
        )

    def query_readonly(self, sql: str) -> list[dict[str, Any]]:
        raise TargetError(
            "free SQL cannot go through Supabase's REST interface",
            hint=f"paste it into the project's SQL editor and run it there:\n{sql}",
            code="sql-by-hand",
        )

    def close(self) -> None:
        if self._client is not None:
            self._http.close()
            self._client = None

    def _upsert_part(
        self, table: str, rows: Sequence[Row], key: tuple[str, ...], columns: tuple[str, ...]
    ) -> Written:
        """Write what differs from what is there: so None replaces nothing and the counts hold."""
        pages = self._pages(table, columns, key, [row.get(key[0]) for row in rows])
        there = {identity(row, key): row for row in pages}
        changes: list[tuple[Row, Row | None]] = []
        for row in rows:
            old = there.get(identity(row, key))
            kept = old or {}
            new = {c: kept.get(c) if row.get(c) is None else row[c] for c in columns}
            if old is None or differs(new, old):
                changes.append((new, old))
        updated = 0

        def attempt(low: int, high: int) -> None:
            # a column may round what it is given, so what came back decides the counts
            nonlocal updated
            rows = self._send(table, [new for new, _ in changes[low:high]], key)
            stored = {identity(row, key): row for row in rows}
            updated += sum(
                old is not None and differs(old, stored.get(identity(new, key), new))
                for new, old in changes[low:high]
            )

        refused = isolate(0, len(changes), attempt).refused
        inserted = sum(old is None for at, (_, old) in enumerate(changes) if at not in refused)
        unchanged = len(rows) - len(refused) - inserted - updated
        rejected = (Rejected(row_key(changes[at][0], key), refused[at]) for at in sorted(refused))
        return Written(inserted, updated, unchanged, tuple(rejected))

    def _send(
        self, table: str, rows: Sequence[Row], key: tuple[str, ...], *, back: bool = True
    ) -> list[Row]:
        """Upsert all of the rows or none; the rows as stored, unless they are not to come back.

        Raises RowFaultError where a row's values are refused.
        """
        from postgrest.types import ReturnMethod

        body = [{name: as_json(value) for name, value in row.items()} for row in rows]
        conflict = ",".join(map(_quoted, key))
        returning = ReturnMethod.representation if back else ReturnMethod.minimal
        answer = self._ask(
            lambda c: (
                _table(c, table).upsert(body, on_conflict=conflict, returning=returning).execute()
            ),
            table,
        )
        return list(answer.data)

    def _pages(
        self, table: str, columns: tuple[str, ...], key: tuple[str, ...], first: Sequence[Any] = ()
    ) -> Iterator[Row]:
        """Rows whose first key column is one of `first`, if any is given, page by page."""
        selection = ",".join(_quoted(column) for column in columns)
        values = list(dict.fromkeys(str(as_json(value)) for value in first))
        filtered = bool(first) and None not in first and sum(map(len, values)) < _MAX_FILTER
        start = 0
        while True:

            def page(client: Client, start: int = start) -> Any:
                query = _table(client, table).select(selection, count="exact")
                query = query.in_(key[0], values) if filtered else query
                for column in key:
                    query = query.order(column)
                return query.range(start, start + _PAGE - 1).execute()

            answer = self._ask(page, table)
            yield from answer.data
            start += len(answer.data)
            if not answer.data or start >= (answer.count or 0):
                return

    def _ask(self, request: Callable[[Client], R], table: str = "") -> R:
        """One request; passing faults are retried, errors get the words of this package."""
        import httpx
        from postgrest.exceptions import APIError

        try:
            return self._retry(lambda: request(self._open()), self._is_passing)
        except APIError as exc:
            said = "; ".join(str(part) for part in (exc.message, exc.details) if part)
            raise self._fault(exc.code or "", said, table) from exc
        except httpx.HTTPStatusError as exc:
            status = exc.response.status_code
            raise self._fault(str(status), exc.response.reason_phrase, table) from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise TargetError(
                f"{self.describe()} cannot be reached: {exc or type(exc).__name__}",
                hint="check SUPABASE_URL and the network, then run it again",
                code="unreachable",
            ) from exc

    def _open(self) -> Client:
        if self._client is None:
            import httpx
            from supabase import ClientOptions, SupabaseException, create_client

            http = httpx.Client(timeout=_TIMEOUT, follow_redirects=True)
            options = ClientOptions(httpx_client=http)
            try:
                client = create_client(self._url, self._key, options)
                # the target retries, for every method alike
                client.postgrest.retry_enabled = False
            except (SupabaseException, ValueError) as exc:
                http.close()
                raise TargetError(f"{self.describe()}: {exc}", code="supabase-key") from exc
            self._client, self._http = client, http
        return self._client

    def _is_passing(self, error: BaseException) -> bool:
        return is_passing(error)

    def _fault(self, code: str, message: str, table: str) -> Exception:
        text = " ".join(message.split())[:300]
        if is_row_state(code):
            return RowFaultError(text)
        if table and code in {"PGRST205", "42P01", "404"}:
            return table_missing(table, self.describe())
        if table and code == "42P10":
            return key_missing(table)
        if table and code in {"PGRST204", "42703"}:
            return TargetError(f"{self.describe()}: {text}", code="column-missing")
        if code in {"401", "403", "42501"} or code.startswith("PGRST3") or "API key" in text:
            return TargetError(
                f"{self.describe()} refuses the key: {text}",
                hint="SUPABASE_SERVICE_ROLE_KEY must be the service-role key of this project",
                code="forbidden",
            )
        return TargetError(f"{self.describe()}: {text} ({code or 'no code'})")


def as_json(value: Any) -> Any:
    """A column's value as the REST interface takes it; numerics keep every digit."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return value


def comparable(value: Any) -> Hashable:
    """A value so that what was sent equals what comes back: 44.0 is 44, a date is its text."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float | Decimal):
        return Decimal(str(value)).normalize()
    if isinstance(value, str) and _INSTANT.match(value):
        with contextlib.suppress(ValueError):
            value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return ("instant", value.timestamp() if value.tzinfo else value.isoformat())
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return tuple(comparable(item) for item in value)
    return hashable(value)


def identity(row: Row, key: Sequence[str]) -> Hashable:
    """The values of the key so that what was sent equals what comes back."""
    return tuple(comparable(value) for value in row_key(row, key))


def differs(new: Row, old: Row) -> bool:
    """Whether some value of `new` is another one in `old`."""
    return any(comparable(value) != comparable(old.get(name)) for name, value in new.items())


def _table(client: Client, table: str) -> Any:
    schema, name = split_table(table)
    return (client if schema == "public" else client.schema(schema)).from_(quote(name, safe=""))


def _quoted(column: str) -> str:
    """A column's name for a URL parameter, where commas and parentheses mean something."""
    return column if column.isidentifier() else '"' + column.replace('"', '\\"') + '"'


def is_passing(error: BaseException, codes: frozenset[str] = _PASSING) -> bool:
    """Whether a REST error may be gone at the next attempt."""
    import httpx
    from postgrest.exceptions import APIError

    if isinstance(error, httpx.HTTPStatusError):
        return str(error.response.status_code) in codes
    if isinstance(error, APIError):
        return (error.code or "") in codes
    return isinstance(error, httpx.TransportError)
