"""What the agents' sources send: SQL with placeholders, and URLs that PostgREST reads."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrate_backend.errors import TargetError
from orchestrate_backend.targets.choose import choose_target
from src.ml.agents import EmbeddedSource, PostgresSource, SupabaseSource, open_source
from src.ml.agents.sources import Filter, Op, Query, select_statement

URL = "https://project.supabase.co"
# the claims {"role": "service_role"}, unsigned: nobody checks it here
KEY = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln"


def ask(
    query: Query, pages: list[list[dict[str, Any]]], *, count: bool = False
) -> tuple[Any, list[httpx.Request]]:
    """What a Supabase source gives where the service answers with these pages."""
    heard: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        heard.append(request)
        page = pages[len(heard) - 1]
        return httpx.Response(200, json=page, headers={"content-range": "0-0/4321"})

    async def asked() -> Any:
        source = SupabaseSource(URL, KEY)
        client = await source._open()
        source._http._transport = httpx.MockTransport(answer)
        source._http._mounts = {}
        assert client is source._client
        try:
            return await (source.count(query) if count else source.fetch(query))
        finally:
            await source.close()

    return asyncio.run(asked()), heard


def test_a_query_is_sql_with_placeholders() -> None:
    query = Query(
        "feature_values",
        ("id", "value"),
        (
            Filter("feature_id", Op.IN, ("a", "b")),
            Filter("event_timestamp", Op.GT, 1),
            Filter("event_timestamp", Op.LE, 2),
            Filter("entity_values", Op.CONTAINS, {"brand": "Kisqali"}),
            Filter("value", Op.KNOWN),
        ),
        ("event_timestamp", "id"),
        descending=True,
        limit=3,
    )
    assert select_statement(query).as_string() == (
        'SELECT "id", "value" FROM "public"."feature_values" WHERE "feature_id" IN (%s, %s) '
        'AND "event_timestamp" > %s AND "event_timestamp" <= %s AND "entity_values" @> %s '
        'AND "value" IS NOT NULL ORDER BY "event_timestamp" DESC, "id" DESC LIMIT %s'
    )


def test_one_of_nothing_is_nothing() -> None:
    query = Query("features", ("id",), (Filter("id", Op.IN, ()),))
    assert select_statement(query).as_string().endswith("WHERE false")


@settings(deadline=None)
@given(st.text(min_size=1).filter(lambda name: "\0" not in name), st.text())
def test_no_name_and_no_value_gets_out_of_its_place(name: str, value: str) -> None:
    text = select_statement(Query("t", (name,), (Filter(name, Op.EQ, value),))).as_string()
    quoted = '"' + name.replace('"', '""') + '"'
    assert text == f'SELECT {quoted} FROM "public"."t" WHERE {quoted} = %s'


def test_a_query_is_a_url() -> None:
    query = Query(
        "feature_values",
        ("id", "event_timestamp", "metric_date"),
        (
            Filter("feature_id", Op.IN, ("a,b", "c")),
            Filter("metric_date", Op.GE, date(2024, 1, 2)),
            Filter("entity_values", Op.CONTAINS, {"brand": "Kisqali"}),
            Filter("value", Op.KNOWN),
        ),
        ("event_timestamp",),
        descending=True,
        limit=5,
    )
    row = {"id": "x", "event_timestamp": "2024-01-02T03:04:05.5+00:00", "metric_date": "2024-01-02"}
    [found], [request] = ask(query, [[row]])
    assert found["event_timestamp"] == datetime(2024, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)
    assert found["metric_date"] == date(2024, 1, 2)
    given_ = dict(request.url.params)
    assert given_["feature_id"] == 'in.("a,b","c")'
    assert given_["metric_date"] == "gte.2024-01-02"
    assert json.loads(given_["entity_values"].removeprefix("cs.")) == {"brand": "Kisqali"}
    assert given_["value"] == "not.is.null"
    assert given_["order"] == "event_timestamp.desc"
    assert given_["limit"] == "5"


def test_all_pages_are_read() -> None:
    pages = [[{"id": n} for n in range(1000)], [{"id": n} for n in range(7)]]
    found, requests = ask(Query("features", ("id",)), pages)
    assert len(found) == 1007
    assert [dict(r.url.params)["offset"] for r in requests] == ["0", "1000"]


def test_counting_reads_one_row() -> None:
    found, [request] = ask(Query("features", ("id",)), [[{"id": 1}]], count=True)
    assert found == 4321
    assert dict(request.url.params)["limit"] == "1"


def test_a_service_that_does_not_answer_is_an_error() -> None:
    async def asked() -> None:
        source = SupabaseSource("http://127.0.0.1:1", KEY)
        try:
            await source.fetch(Query("features", ("id",)))
        finally:
            await source.close()

    with pytest.raises(TargetError, match="cannot be reached") as caught:
        asyncio.run(asked())
    assert caught.value.code == "unreachable"


def test_each_target_has_its_source(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {
        "DATABASE_URL": "postgresql://localhost/db",
        "SUPABASE_URL": URL,
        "SUPABASE_SERVICE_ROLE_KEY": KEY,
    }
    monkeypatch.setattr(
        "orchestrate_backend.targets.postgres.EmbeddedTarget.uri", lambda _: "postgresql://x/y"
    )
    kinds = {"postgres": PostgresSource, "supabase": SupabaseSource, "embedded": EmbeddedSource}
    for name, kind in kinds.items():
        assert type(open_source(choose_target(name, env, tmp_path), env)) is kind
