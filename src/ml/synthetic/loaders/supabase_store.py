"""Loading into a Supabase project by its REST interface and service-role key."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from orchestrate_backend.errors import TargetError
from orchestrate_backend.targets.base import is_row_state
from orchestrate_backend.targets.supabase import comparable, open_client, unreachable
from src.ml.synthetic.loaders.isolate import RowFaultError, isolate
from src.ml.synthetic.loaders.retry import Retry
from src.ml.synthetic.loaders.stores import Outcome, Progress
from src.ml.synthetic.loaders.tables import Kind, Table

if TYPE_CHECKING:
    import httpx
    from supabase import Client

R = TypeVar("R")

#: the service gives no more rows than this by default
_PAGE = 1000
_PASSING = {"429", "500", "502", "503", "504", "520", "40001", "40P01", "57P03"}
_PASSING |= {"PGRST000", "PGRST001", "PGRST002", "PGRST003"}

_Row = Mapping[str, Any]


class SupabaseStore:
    """A Supabase project; the service-role key names the role, so row level security stays on.

    An upsert over REST would rewrite equal rows, so what is stored is read first and only rows
    that are new or differ are sent.
    """

    def __init__(self, url: str, key: str, retry: Retry | None = None, batch: int = 1000) -> None:
        self._url = url
        self._key = key
        self._retry = retry or Retry()
        self._batch = batch
        self._client: Client | None = None
        self._http: httpx.Client

    def write(self, table: Table, frame: pd.DataFrame, progress: Progress) -> Outcome:
        names = tuple(frame.columns)
        stored = {_identity(table, row): row for row in self._stored(table, names)}
        rows = _records(frame)
        there = [stored.get(_identity(table, row)) for row in rows]
        changed = [
            i
            for i, (new, old) in enumerate(zip(rows, there, strict=True))
            if old is None or _differs(table, new, old)
        ]
        done = self._send(table, [_kept(table, rows[i], there[i]) for i in changed], progress)
        progress(len(rows) - len(changed))
        refused = {changed[position]: reason for position, reason in done.items()}
        new = sum(there[i] is None and i not in refused for i in changed)
        old = len(changed) - new - len(refused)
        return Outcome(new, old, len(rows) - len(changed), refused)

    def ids(self, table: Table, frame: pd.DataFrame) -> Sequence[Any]:
        surrogate = table.surrogate or ""
        rows = self._stored(table, (surrogate, *table.key))
        stored = {_identity(table, row): row[surrogate] for row in rows}
        return [stored.get(_identity(table, row)) for row in _records(frame)]

    def close(self) -> None:
        if self._client is not None:
            self._http.close()
            self._client = None

    def _send(self, table: Table, rows: Sequence[_Row], progress: Progress) -> dict[int, str]:
        """Upsert in batches; position and reason of each row that is refused."""
        from postgrest.types import ReturnMethod

        conflict = ",".join(table.key)

        def attempt(low: int, high: int) -> None:
            body = [dict(row) for row in rows[low:high]]
            self._ask(
                lambda c: (
                    c.table(table.name)
                    .upsert(body, on_conflict=conflict, returning=ReturnMethod.minimal)
                    .execute()
                )
            )

        refused: dict[int, str] = {}
        for start in range(0, len(rows), self._batch):
            stop = min(start + self._batch, len(rows))
            refused |= isolate(start, stop, attempt).refused
            progress(stop - start)
        return refused

    def _stored(self, table: Table, names: tuple[str, ...]) -> Iterator[_Row]:
        """Every stored row, page by page in the order of its key."""
        start = 0
        while True:

            def page(client: Client, start: int = start) -> Any:
                query = client.table(table.name).select(",".join(names), count="exact")  # type: ignore[arg-type]
                for column in table.key:
                    query = query.order(column)
                return query.range(start, start + _PAGE - 1).execute()

            answer = self._ask(page)
            yield from answer.data
            start += len(answer.data)
            if not answer.data or start >= (answer.count or 0):
                return

    def _ask(self, request: Callable[[Client], R]) -> R:
        """One request, retried after passing faults. Raises RowFaultError or TargetError."""
        import httpx
        from postgrest.exceptions import APIError

        try:
            return self._retry(lambda: request(self._open()), is_passing)
        except APIError as exc:
            raise _fault(exc.code or "", exc.message or "", exc.details) from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise unreachable("Supabase", exc) from exc

    def _open(self) -> Client:
        if self._client is None:
            self._http, self._client = open_client(self._url, self._key, "Supabase")
        return self._client


def is_passing(error: BaseException) -> bool:
    """Whether a REST error may be gone at the next attempt."""
    import httpx
    from postgrest.exceptions import APIError

    if isinstance(error, APIError):
        return (error.code or "") in _PASSING
    return isinstance(error, httpx.TransportError)


def _fault(code: str, message: str, details: Any) -> Exception:
    text = " ".join("; ".join(part for part in (message, details) if part).split())[:300]
    if is_row_state(code) or code == "21000":
        return RowFaultError(text)
    if code in {"401", "403", "42501"} or code.startswith("PGRST3"):
        hint = "SUPABASE_SERVICE_ROLE_KEY must be the service-role key of this project"
        return TargetError(f"Supabase refuses the key: {text}", hint=hint, code="forbidden")
    return TargetError(f"Supabase: {text} ({code or 'no code'})")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): v for name, v in row.items()} for row in frame.to_dict("records")]


def _identity(table: Table, row: _Row) -> Hashable:
    return tuple(_comparable(table, name, row.get(name)) for name in table.key)


def _comparable(table: Table, name: str, value: Any) -> Hashable:
    if table.column(name).kind is Kind.TIMESTAMP and isinstance(value, str):
        return pd.Timestamp(value)
    return comparable(value)


def _differs(table: Table, new: _Row, old: _Row) -> bool:
    return any(
        _comparable(table, name, value) != _comparable(table, name, old.get(name))
        for name, value in new.items()
        if name != table.surrogate
    )


def _kept(table: Table, new: _Row, old: _Row | None) -> _Row:
    """`new` with the surrogate that is stored."""
    if old is None or table.surrogate is None:
        return new
    return {**new, table.surrogate: old[table.surrogate]}
