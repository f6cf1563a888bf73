"""Loading synthetic data into a real PostgreSQL server, and the agents that read them there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import psycopg
import pytest

from orchestrate_backend.errors import TargetError
from orchestrate_backend.fake_postgrest.server import RestStandIn
from orchestrate_backend.targets import upsert
from orchestrate_backend.targets.choose import EmbeddedTarget
from src.ml.agents import (
    BusinessMetricRepository,
    DriftMonitor,
    DriftRequest,
    GapAnalyzer,
    GapRequest,
    PostgresSource,
    Source,
    SupabaseSource,
)
from src.ml.synthetic.config import BRANDS, REGIONS
from src.ml.synthetic.datasets import SMALL_SIZES, Recipe, generate
from src.ml.synthetic.load_run import SCHEMA
from src.ml.synthetic.loaders import (
    LOADING_ORDER,
    AsyncBatchLoader,
    BatchLoader,
    LoaderConfig,
    LoadResult,
)
from src.ml.synthetic.loaders.postgres_store import PostgresStore
from src.ml.synthetic.loaders.tables import TABLES
from tests.postgrest import SECRET

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "load_synthetic_data.py"
AS_OF = datetime(2026, 11, 20)
DAY = "2026-11-20"
ROWS = {
    "hcp_profiles": 500,
    "patient_journeys": 2500,
    "treatment_events": 7500,
    "ml_predictions": 2000,
    "triggers": 1200,
    "business_metrics": 1156,
    "feature_groups": 4,
    "features": 15,
    "feature_values": 5000,
}
TINY = {name: max(size // 25, 60) for name, size in SMALL_SIZES.items()}

Datasets = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def small() -> Datasets:
    return generate(Recipe(SMALL_SIZES, as_of=AS_OF))


@pytest.fixture(scope="module")
def tiny() -> Datasets:
    return generate(Recipe(TINY, as_of=AS_OF))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTarget]:
    """A workspace whose database the script has filled; its folder is `.data`'s grandparent."""
    root = tmp_path_factory.mktemp("workspace")
    first = script(root, "--small", "--as-of", DAY, "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["total"]["loaded"] == 19_875
    target = EmbeddedTarget(root)
    yield target
    target.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTarget]:
    target = EmbeddedTarget(tmp_path_factory.mktemp("empty"))
    target.apply_sql(SCHEMA.read_text(encoding="utf-8"))
    yield target
    target.close()


@pytest.fixture
def empty(server: EmbeddedTarget) -> EmbeddedTarget:
    """The same tables, with nothing in them."""
    server.apply_sql(f"TRUNCATE {', '.join(LOADING_ORDER)}")
    return server


def script(root: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SUPABASE_", "DATABASE_"))}
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--root", str(root), *words],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
        env={**clean, **env},
    )


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "src.ml", *words]


def load(target: EmbeddedTarget, data: Datasets, **settings: Any) -> dict[str, LoadResult]:
    return BatchLoader(LoaderConfig(dsn=target.uri(), **settings)).load_all(data)


def counts(target: EmbeddedTarget) -> dict[str, int]:
    return {table: target.count(table) for table in LOADING_ORDER}


def versions(target: EmbeddedTarget) -> dict[str, list[dict[str, Any]]]:
    """Which transaction wrote each row last."""
    return {
        table: target.query_readonly(f"SELECT ctid::text, xmin::text FROM {table} ORDER BY ctid")
        for table in LOADING_ORDER
    }


def secured(target: EmbeddedTarget) -> int:
    """Loaded tables with row level security on."""
    names = ", ".join(f"'{name}'" for name in LOADING_ORDER)
    [row] = target.query_readonly(
        f"SELECT count(*) AS n FROM pg_class WHERE relrowsecurity AND relname IN ({names}) "
        "AND relnamespace = 'public'::regnamespace"
    )
    return int(row["n"])


def with_bad_rows(data: Datasets) -> tuple[Datasets, dict[str, list[str]]]:
    """The data sets with bad rows among the good ones, and the keys of the bad ones by table."""
    patients, hcps = data["patient_journeys"], data["hcp_profiles"]
    metrics, values = data["business_metrics"], data["feature_values"]
    one = patients.iloc[[7]]
    bad_patients = pd.concat(
        [
            one,
            one.assign(patient_journey_id="patient_orphan", hcp_id="hcp_nobody"),
            one.assign(patient_journey_id="patient_enum", brand="kisqali"),
            one.assign(patient_journey_id="patient_large", disease_severity=1e6),
            one.assign(patient_journey_id="patient_null", journey_start_date=None),
        ]
    )
    bad_hcp = hcps.iloc[[3]].assign(hcp_id="hcp_x", npi=hcps["npi"].iloc[0])
    bad_metric = metrics.iloc[[5]].assign(metric_id="metric_ffffffffffff", region="north")
    bad_value = values.iloc[[9]].assign(id=str(uuid.uuid4()), event_timestamp="2999-01-01T00:00:00")
    half = len(patients) // 2
    changed = {
        **data,
        "patient_journeys": pd.concat(
            [patients.iloc[:half], bad_patients, patients.iloc[half:]], ignore_index=True
        ),
        "hcp_profiles": pd.concat([hcps, bad_hcp], ignore_index=True),
        "business_metrics": pd.concat([metrics, bad_metric], ignore_index=True),
        "feature_values": pd.concat([values, bad_value], ignore_index=True),
    }
    return changed, {
        "patient_journeys": [*bad_patients["patient_journey_id"]],
        "hcp_profiles": ["hcp_x"],
        "business_metrics": [metrics["metric_date"].iloc[5]],
        "feature_values": [str(values["feature_id"].iloc[9])],
    }


def failed_keys(results: dict[str, LoadResult]) -> dict[str, list[str]]:
    return {name: [f.key[0] for f in r.failures] for name, r in results.items() if r.failures}


# -- the whole load


def test_every_row_of_the_small_load_is_there(loaded: EmbeddedTarget) -> None:
    assert counts(loaded) == ROWS
    assert sum(ROWS.values()) == 19_875


def test_a_second_run_changes_no_row(loaded: EmbeddedTarget) -> None:
    before = versions(loaded)
    root = loaded.data.parents[1]
    again = script(root, "--small", "--as-of", DAY, "--json")
    assert again.returncode == 0, again.stderr
    total = json.loads(again.stdout)["total"]
    assert (total["loaded"], total["inserted"], total["updated"]) == (19_875, 0, 0)
    assert versions(loaded) == before


def test_the_script_says_first_where_it_writes_and_then_what_it_did(
    loaded: EmbeddedTarget,
) -> None:
    shown = script(loaded.data.parents[1], "--small", "--as-of", DAY, "--dry-run")
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("Dry run for embedded: the workspace's own server")
    assert "rolled back" in lines[0]
    assert lines[-1] == "19,875 rows would load, 0 failed."
    assert counts(loaded) == ROWS


def test_a_dry_run_without_a_database_makes_none(tmp_path: Path) -> None:
    shown = script(tmp_path, "--small", "--as-of", DAY, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "without a database" in shown.stdout
    assert not (tmp_path / ".orchestrate").exists()


def test_all_fifteen_features_have_values_for_both_windows(loaded: EmbeddedTarget) -> None:
    report = asyncio.run(detect(PostgresSource(loaded.uri())))
    assert (report.status, report.features_checked) == ("completed", 15)
    assert all(min(r.n_baseline, r.n_current) >= 30 for r in report.results)


def test_causal_columns_can_be_read(loaded: EmbeddedTarget) -> None:
    [row] = loaded.query_readonly(
        "SELECT count(hcp_id) AS hcps, count(engagement_score) AS scores, "
        "count(days_to_treatment) AS days, sum(treatment_initiated) AS initiated "
        "FROM patient_journeys"
    )
    assert (row["hcps"], row["scores"]) == (2500, 2500)
    assert row["days"] == row["initiated"]


# -- row level security


def test_row_level_security_is_on_before_during_and_after(
    empty: EmbeddedTarget, tiny: Datasets
) -> None:
    seen = [secured(empty)]
    BatchLoader(LoaderConfig(dsn=empty.uri())).load_all(
        tiny, row_callback=lambda _table, _rows: seen.append(secured(empty))
    )
    seen.append(secured(empty))
    assert len(seen) == 2 + len(LOADING_ORDER)
    assert set(seen) == {len(LOADING_ORDER)}


def test_the_loader_acts_as_service_role_and_never_as_owner(empty: EmbeddedTarget) -> None:
    store = PostgresStore(empty.uri())
    frame = pd.DataFrame({"hcp_id": ["hcp_1"]}, dtype=object)
    store.write(TABLES["hcp_profiles"], frame, lambda _: None)
    assert store._connection is not None
    [user] = store._connection.execute("SELECT current_user::text").fetchall()
    store.close()
    assert user == ("service_role",)


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize("table", LOADING_ORDER)
def test_ordinary_roles_cannot_insert(loaded: EmbeddedTarget, role: str, table: str) -> None:
    with psycopg.connect(loaded.uri()) as connection:
        connection.execute(f"SET ROLE {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1")


def test_anon_reads_nothing_and_a_signed_in_user_reads(loaded: EmbeddedTarget) -> None:
    with psycopg.connect(loaded.uri(), autocommit=True) as connection:
        connection.execute("SET ROLE anon")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM business_metrics")
        connection.execute("SET ROLE authenticated")
        assert connection.execute("SELECT count(*) FROM business_metrics").fetchone() == (1156,)


# -- bad rows, faults


def test_k_bad_rows_cost_exactly_k_and_a_dry_run_says_the_same(
    empty: EmbeddedTarget, small: Datasets
) -> None:
    data, bad = with_bad_rows(small)
    expected = {name: sorted(keys) for name, keys in bad.items()}

    def failed(**settings: Any) -> dict[str, list[str]]:
        results = BatchLoader(LoaderConfig(**settings)).load_all(data)
        return {name: sorted(keys) for name, keys in failed_keys(results).items()}

    assert failed(dry_run=True, supabase_url=None) == expected
    assert failed(dry_run=True, dsn=empty.uri()) == expected
    assert sum(counts(empty).values()) == 0
    assert failed(dsn=empty.uri()) == expected
    assert counts(empty) == ROWS


def test_each_bad_row_is_told_with_its_reason(empty: EmbeddedTarget, tiny: Datasets) -> None:
    data, _ = with_bad_rows(tiny)
    results = load(empty, data)
    reasons = {f.key[0]: f.reason for f in results["patient_journeys"].failures}
    assert "is not present in table" in reasons["patient_orphan"]
    assert "invalid input value for enum" in reasons["patient_enum"]
    assert "numeric field overflow" in reasons["patient_large"]
    assert "not-null" in reasons["patient_null"]
    assert all(
        error.startswith("patient_journeys ") for error in results["patient_journeys"].errors
    )


def test_a_lost_connection_is_made_again_and_nothing_is_lost(
    empty: EmbeddedTarget, tiny: Datasets
) -> None:
    killed: list[int] = []

    def kill(_table: str, _rows: int) -> None:
        if not killed:
            with psycopg.connect(empty.uri("postgres"), autocommit=True) as connection:
                found = connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'orchestrate'"
                ).fetchall()
                for row in found:
                    connection.execute("SELECT pg_terminate_backend(%s)", row)
                    killed.append(row[0])

    config = LoaderConfig(dsn=empty.uri(), retry_delay_seconds=0.01)
    results = BatchLoader(config).load_all(tiny, row_callback=kill)
    assert killed
    assert all(result.success_rate == 1.0 for result in results.values())


def test_a_connection_that_is_cut_in_the_middle_of_a_table_costs_nothing(
    empty: EmbeddedTarget, tiny: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, cuts = upsert._copy, [3]

    def cut(connection: Any, *words: Any) -> Any:
        cuts[0] -= 1
        if cuts[0] == 0:
            with psycopg.connect(empty.uri("postgres"), autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        return copy(connection, *words)

    monkeypatch.setattr(upsert, "_copy", cut)
    results = load(empty, tiny, retry_delay_seconds=0.01)
    assert cuts[0] < 0
    assert all(result.success_rate == 1.0 for result in results.values())
    assert counts(empty) == {name: len(tiny[name]) for name in LOADING_ORDER}


def test_a_bad_row_is_not_tried_again(
    empty: EmbeddedTarget, tiny: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", slept.append)
    data, _ = with_bad_rows(tiny)
    load(empty, data)
    assert slept == []


def test_rows_that_are_there_are_not_sent_again(
    loaded: EmbeddedTarget, small: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So whatever the loader writes is written as the server writes it."""

    def sent(*_: Any) -> None:
        pytest.fail("rows were sent")

    monkeypatch.setattr(upsert, "_copy", sent)
    assert all(result.success_rate == 1.0 for result in load(loaded, small).values())


def test_rows_that_were_said_to_be_new_and_are_not_are_updated(empty: EmbeddedTarget) -> None:
    work = upsert.Upsert("hcp_profiles", ("hcp_id", "specialty"), ("hcp_id",))
    with contextlib.closing(PostgresStore(empty.uri())) as store:
        store.upsert_tuples(work, [("hcp_1", "oncology")], fresh=True)
        rows = [("hcp_1", "neurology"), ("hcp_2", "oncology")]
        assert store.upsert_tuples(work, rows, fresh=True) == (1, 1, 0, {})


def test_a_role_that_policies_look_at_loads_every_row_too(
    empty: EmbeddedTarget, tiny: Datasets
) -> None:
    """COPY refuses tables with row level security, unless the role passes by it."""
    with psycopg.connect(empty._running().uri(), autocommit=True) as connection:
        connection.execute("ALTER ROLE service_role NOBYPASSRLS")
        try:
            load(empty, tiny)
        finally:
            connection.execute("ALTER ROLE service_role BYPASSRLS")
    assert counts(empty) == {name: len(tiny[name]) for name in LOADING_ORDER}


def test_a_changed_value_is_written_and_no_other(empty: EmbeddedTarget, tiny: Datasets) -> None:
    load(empty, tiny)
    changed = {**tiny, "hcp_profiles": tiny["hcp_profiles"].copy()}
    changed["hcp_profiles"].loc[4, "years_experience"] += 1
    results = load(empty, changed)
    assert {n: (r.records_inserted, r.records_updated) for n, r in results.items() if r} == {
        name: (0, int(name == "hcp_profiles")) for name in LOADING_ORDER
    }


def test_a_store_with_other_ids_of_groups_and_features_keeps_them(
    empty: EmbeddedTarget, tiny: Datasets
) -> None:
    other = uuid.uuid4()
    group = tiny["feature_groups"].iloc[0]
    empty.apply_sql(
        f"INSERT INTO feature_groups (id, name) VALUES ('{other}', '{group['name']}');"
        "INSERT INTO features (feature_group_id, name, value_type, entity_keys) "
        f"SELECT '{other}', '{tiny['features'].iloc[0]['name']}', 'string', '[\"hcp_id\"]'"
    )
    results = load(empty, tiny)
    assert all(result.success_rate == 1.0 for result in results.values())
    before = versions(empty)
    again = load(empty, tiny)
    assert sum(r.records_inserted + r.records_updated for r in again.values()) == 0
    assert versions(empty) == before
    [row] = empty.query_readonly(
        "SELECT count(DISTINCT f.id) AS features, "
        f"count(DISTINCT f.id) FILTER (WHERE f.feature_group_id = '{other}') AS theirs "
        "FROM features f JOIN feature_values v ON v.feature_id = f.id"
    )
    assert (row["features"], row["theirs"]) == (15, 4)


def test_tables_can_be_loaded_one_by_one(empty: EmbeddedTarget, tiny: Datasets) -> None:
    loader = AsyncBatchLoader(LoaderConfig(dsn=empty.uri(), batch_size=7))
    for name in LOADING_ORDER:
        result = asyncio.run(loader.load_table_async(name, tiny[name]))
        assert result.records_loaded == len(tiny[name])
        assert result.total_batches == -(-len(tiny[name]) // 7)


def test_without_tables_or_a_server_the_error_says_what_to_do(tmp_path: Path) -> None:
    target = EmbeddedTarget(tmp_path)
    frame = {"hcp_profiles": pd.DataFrame({"hcp_id": ["hcp_1"]})}
    try:
        with pytest.raises(TargetError, match="does not exist") as caught:
            load(target, frame)
        assert caught.value.code == "table-missing"
        url = target.uri("postgres")
        env = {"DATABASE_URL": url}
        refused = script(tmp_path, "--small", "--target", "postgres", **env)
        assert refused.returncode == 1
        assert "--init" in refused.stderr
        done = script(tmp_path, "--small", "--target", "postgres", "--init", "--json", **env)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["total"]["failed"] == 0
    finally:
        target.close()
    with pytest.raises(TargetError, match="connection"):
        BatchLoader(
            LoaderConfig(dsn="postgresql://127.0.0.1:1/x", max_retries=1, retry_delay_seconds=0)
        ).load_all(frame)


# -- Supabase


def test_over_rest_everything_loads_and_a_second_run_changes_nothing(
    empty: EmbeddedTarget, tiny: Datasets
) -> None:
    data, bad = with_bad_rows(tiny)
    with RestStandIn(empty.uri(), SECRET) as api:
        config = LoaderConfig(
            supabase_url=api.start(), supabase_key=api.token("service_role"), batch_size=200
        )
        first = BatchLoader(config).load_all(data)
        assert {n: sorted(k) for n, k in failed_keys(first).items()} == {
            name: sorted(keys) for name, keys in bad.items()
        }
        assert counts(empty) == {name: len(tiny[name]) for name in LOADING_ORDER}
        before = versions(empty)
        again = BatchLoader(config).load_all(tiny)
        assert all(result.success_rate == 1.0 for result in again.values())
        assert sum(r.records_inserted + r.records_updated for r in again.values()) == 0
        assert versions(empty) == before


def test_over_rest_an_anonymous_key_is_refused(empty: EmbeddedTarget, tiny: Datasets) -> None:
    with RestStandIn(empty.uri(), SECRET) as api:
        config = LoaderConfig(supabase_url=api.start(), supabase_key=api.token("anon"))
        with pytest.raises(TargetError, match="refuses the key"):
            BatchLoader(config).load_all(tiny)


# -- the agents


async def detect(source: Source, **request: Any) -> Any:
    try:
        asked = DriftRequest(**{"features": None, "time_window": "7d", **request})
        return await DriftMonitor(source).detect(asked)
    finally:
        await source.close()


async def analyze(source: Source, **request: Any) -> Any:
    try:
        asked = GapRequest(**{"brand": "Remibrutinib", "metrics": ["trx", "nrx"], **request})
        return await GapAnalyzer(source).analyze(asked)
    finally:
        await source.close()


@pytest.mark.parametrize("brand", BRANDS)
def test_the_time_series_of_each_brand_has_every_region(loaded: EmbeddedTarget, brand: str) -> None:
    async def rows() -> Any:
        source = PostgresSource(loaded.uri())
        try:
            return await BusinessMetricRepository(source).get_time_series(
                "total prescriptions", brand
            )
        finally:
            await source.close()

    found = asyncio.run(rows())
    assert {row["region"] for row in found} == set(REGIONS)
    dates = [row["metric_date"] for row in found]
    assert dates == sorted(dates)
    assert len(found) == 17 * 4
    assert all(isinstance(row["value"], float) for row in found)


def test_a_planted_shortfall_of_trx_ranks_first(empty: EmbeddedTarget, tiny: Datasets) -> None:
    metrics = tiny["business_metrics"].copy()
    trx = (metrics["metric_type"] == "trx") & (metrics["brand"] == "Fabhalta")
    metrics.loc[trx, ["value", "target"]] = [9_800.0, 10_000.0]
    metrics.loc[trx & (metrics["region"] == "west"), "value"] = 8_000.0
    load(empty, {**tiny, "business_metrics": metrics})
    answer = asyncio.run(
        analyze(
            PostgresSource(empty.uri()),
            brand="Fabhalta",
            metrics=["TRx"],
            gap_type="vs_target",
            time_period="2020-01-01_2026-12-31",
        )
    )
    first = answer.prioritized_opportunities[0].gap
    assert (first.segment_value, first.gap_percentage) == ("west", 20.0)


def test_a_brand_filter_reaches_into_the_entities(loaded: EmbeddedTarget) -> None:
    found = asyncio.run(
        detect(
            PostgresSource(loaded.uri()), features=["trx_30d"], brand="Kisqali", time_window="60d"
        )
    )
    everything = asyncio.run(
        detect(PostgresSource(loaded.uri()), features=["trx_30d"], time_window="60d")
    )
    assert 0 < found.results[0].n_current < everything.results[0].n_current


def test_a_reader_cannot_write_and_without_a_server_there_is_no_answer(
    loaded: EmbeddedTarget,
) -> None:
    async def attempt() -> None:
        source = PostgresSource(loaded.uri())
        try:
            connection = await source._open()
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await connection.execute("UPDATE features SET name = 'x'")
        finally:
            await source.close()

    asyncio.run(attempt())
    with pytest.raises(TargetError) as caught:
        asyncio.run(analyze(PostgresSource("postgresql://127.0.0.1:1/x")))
    assert caught.value.code == "unreachable"


def test_a_reader_outlives_its_connection(loaded: EmbeddedTarget) -> None:
    async def twice() -> list[Any]:
        source = PostgresSource(loaded.uri())
        repository = BusinessMetricRepository(source)
        try:
            first = await repository.get_by_kpi("trx", limit=3)
            connection = await source._open()
            with contextlib.suppress(psycopg.Error):
                await connection.execute("RESET ROLE")
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            return [first, await repository.get_by_kpi("trx", limit=3)]
        finally:
            await source.close()

    first, second = asyncio.run(twice())
    assert first == second
    assert len(first) == 3


def test_over_rest_the_agents_answer_the_same(loaded: EmbeddedTarget) -> None:
    direct = asyncio.run(analyze(PostgresSource(loaded.uri())))
    drift = asyncio.run(detect(PostgresSource(loaded.uri())))
    with RestStandIn(loaded.uri(), SECRET) as api:
        url, key = api.start(), api.token("service_role")
        over_rest = asyncio.run(analyze(SupabaseSource(url, key)))
        drift_over_rest = asyncio.run(detect(SupabaseSource(url, key)))
    assert over_rest.prioritized_opportunities == direct.prioritized_opportunities
    assert drift_over_rest.results == drift.results


# -- a running server


@contextlib.contextmanager
def serving(root: Path) -> Iterator[str]:
    """A server of its own process; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SUPABASE_", "DATABASE_"))}
    words = command("serve", "--port", str(port), "--root", str(root))
    process = subprocess.Popen(
        words, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{url}/api/health").raise_for_status()
                break
            assert process.poll() is None
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_the_plans_two_requests_are_answered_with_content(loaded: EmbeddedTarget) -> None:
    headers = {"Content-Type": "application/json"}
    with serving(loaded.data.parents[1]) as url:
        gaps = httpx.post(
            f"{url}/api/agents/gap_analyzer/analyze",
            headers=headers,
            content='{"brand": "Remibrutinib", "metrics": ["trx", "nrx"]}',
        )
        drift = httpx.post(
            f"{url}/api/agents/drift_monitor/detect",
            headers=headers,
            content='{"features": ["engagement_score"], "time_window": "7d"}',
        )
    assert (gaps.status_code, drift.status_code) == (200, 200)
    answer = gaps.json()
    assert answer["status"] == "completed"
    assert answer["prioritized_opportunities"][0]["gap"]["metric"] in {"trx", "nrx"}
    assert answer["total_addressable_value"] > 0
    [result] = drift.json()["results"]
    assert (result["feature"], result["status"]) == ("engagement_score", "checked")
    assert result["n_current"] >= 30


def test_the_command_line_asks_and_draws(loaded: EmbeddedTarget, tmp_path: Path) -> None:
    root = str(loaded.data.parents[1])

    def run(*words: str) -> str:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("SUPABASE_", "DATABASE_"))}
        done = subprocess.run(
            command(*words, "--root", root),
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("Reading from embedded")
        return done.stdout

    assert json.loads(run("gaps", "Kisqali", "--metric", "trx", "--json"))["status"] == "completed"
    assert "engagement_score" in run("drift", "--feature", "engagement_score")
    # what the database tells of the effect, which has been written and read since
    assert " for 0.250, standard error 0.0" in run("effect")
    run("plot", "series", str(tmp_path / "series.png"), "--brand", "Kisqali")
    run("plot", "drift", str(tmp_path / "drift.html"))
    assert (tmp_path / "series.png").stat().st_size > 10_000
    assert "base64" in (tmp_path / "drift.html").read_text(encoding="utf-8")
