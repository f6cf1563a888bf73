"""The synthetic data's schema and migration 020 on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from psycopg.types.json import Jsonb

from orchestrate_agents.sql.catalog import snapshot
from orchestrate_agents.sql.header import header_number
from orchestrate_agents.sql.prove import Proof, prove
from orchestrate_agents.sql.scratch import Database, scratch
from orchestrate_backend.targets.embedded import running
from orchestrator.gates.checks import Services
from tests.synthetic_data import small_tables

ROOT = Path(__file__).parents[2]
SCHEMA = (ROOT / "database/core/e2i_ml_complete_v3_schema.sql").read_text(encoding="utf-8")
MIGRATION = (ROOT / "database/migrations/020_add_patient_causal_columns.sql").read_text(
    encoding="utf-8"
)
OLD = (ROOT / "tests/fixtures/synthetic_schema_before_020.sql").read_text(encoding="utf-8")
LOADED = [
    "hcp_profiles",
    "patient_journeys",
    "treatment_events",
    "ml_predictions",
    "triggers",
    "business_metrics",
    "feature_groups",
    "features",
    "feature_values",
]
CAUSAL = {
    "hcp_id": "character varying(20)",
    "disease_severity": "numeric(4,2)",
    "academic_hcp": "integer",
    "engagement_score": "numeric(4,2)",
    "treatment_initiated": "integer",
    "days_to_treatment": "integer",
    "age_at_diagnosis": "integer",
}
PARENTS = """
INSERT INTO hcp_profiles (hcp_id) VALUES ('hcp_1');
INSERT INTO patient_journeys (patient_journey_id, patient_id, journey_start_date, brand)
VALUES ('patient_1', 'pt_1', '2024-01-01', 'Kisqali');
"""
GROUP, FEATURE = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
FEATURES = f"""
INSERT INTO feature_groups (id, name) VALUES ('{GROUP}', 'g');
INSERT INTO features (id, feature_group_id, name, value_type, entity_keys)
VALUES ('{FEATURE}', '{GROUP}', 'f', 'float64', '["patient_id"]');
"""


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


@pytest.fixture
def database(services: Services) -> Iterator[Database]:
    with scratch(services).database() as made:
        yield made


@pytest.fixture
def owner(database: Database) -> Iterator[Any]:
    """The owner's connection to a fresh install."""
    with database.connect() as connection:
        connection.execute(SCHEMA)
        yield connection


def catalogue_after(services: Services, *scripts: str) -> list[tuple[str, str, str]]:
    with scratch(services).database() as made, made.connect() as connection:
        for script in scripts:
            connection.execute(script)
        return sorted(snapshot(connection))


@pytest.fixture(scope="module")
def fresh(services: Services) -> list[tuple[str, str, str]]:
    return catalogue_after(services, SCHEMA)


@pytest.fixture(scope="module")
def proof(services: Services) -> Proof:
    return prove(MIGRATION, services, base={"schema": OLD})


# --- the migration ---


def test_a_migrated_schema_equals_a_fresh_one(services: Services, fresh: list[Any]) -> None:
    assert catalogue_after(services, OLD) != fresh
    assert catalogue_after(services, OLD, MIGRATION) == fresh


@pytest.mark.parametrize(
    "scripts",
    [
        (OLD, MIGRATION, MIGRATION),
        (SCHEMA, MIGRATION),
        (SCHEMA, MIGRATION, MIGRATION),
        (SCHEMA, SCHEMA),
        (OLD, MIGRATION, SCHEMA),
    ],
    ids=["twice", "on a fresh one", "twice on a fresh one", "schema twice", "schema after"],
)
def test_running_again_changes_nothing(
    services: Services, fresh: list[Any], scripts: tuple[str, ...]
) -> None:
    assert catalogue_after(services, *scripts) == fresh


def test_the_comparison_sees_what_matters(fresh: list[tuple[str, str, str]]) -> None:
    """Columns, checks, indexes, comments, policies and views are in what is compared."""
    kinds = {kind for kind, _, _ in fresh}
    text = "\n".join(map(str, fresh))
    assert {"comment", "column", "index", "policy"} <= kinds
    for part in (*CAUSAL, "idx_patient_journeys_causal", "patient_journeys_age_at_diagnosis_check"):
        assert part in text


def test_a_migration_half_done_by_hand_is_completed(services: Services, fresh: list[Any]) -> None:
    by_hand = "ALTER TABLE patient_journeys ADD COLUMN hcp_id VARCHAR(20)"
    assert catalogue_after(services, OLD, by_hand, MIGRATION) == fresh


def test_old_rows_keep_what_they_hold(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(OLD)
        connection.execute(PARENTS)
        connection.execute(
            "INSERT INTO patient_journeys SELECT 'patient_' || i, 'pt_' || i, '2024-01-01', "
            "'Fabhalta', 'west', 'medicare', 'test' FROM generate_series(2, 500) i"
        )
        columns = "md5(string_agg(j::text, ',' ORDER BY patient_journey_id))"
        kept = (
            f"SELECT {columns} FROM (SELECT patient_journey_id, patient_id, journey_start_date, "
            "brand, geographic_region, insurance_type, data_split, split_config_id, created_at "
            "FROM patient_journeys) j"
        )
        before = connection.execute(kept).fetchone()
        connection.execute(MIGRATION)
        assert connection.execute(kept).fetchone() == before
        nulls = " AND ".join(f"{name} IS NULL" for name in CAUSAL)
        row = connection.execute(f"SELECT count(*) FROM patient_journeys WHERE {nulls}").fetchone()
        assert row == (500,)


def test_it_is_proven_as_other_migrations_are(proof: Proof) -> None:
    assert (proof.first, proof.second) == (None, None)
    assert proof.catalog_equal
    assert (proof.rows_changed, proof.taken) == ((), ())


def test_its_head_names_number_and_base_schema() -> None:
    assert header_number(MIGRATION) == "020"
    needs = "public.patient_journeys, public.hcp_profiles; roles authenticated, service_role"
    assert f"-- Base schema: {needs}" in MIGRATION.splitlines()


def test_a_database_without_the_tables_is_left_as_it_is(database: Database) -> None:
    """Other migrations of the series run after this one, where there is no synthetic data."""
    notices: list[str] = []
    with database.connect() as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        before = snapshot(connection)
        connection.execute(MIGRATION)
        assert snapshot(connection) == before
    assert notices == [
        "there is no table patient_journeys: database/core/e2i_ml_complete_v3_schema.sql makes it"
    ]


# --- columns and keys ---


def test_the_causal_columns_have_their_types_and_are_nullable(owner: Any) -> None:
    found = owner.execute(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute "
        "WHERE attrelid = 'patient_journeys'::regclass AND attname = ANY(%s) ORDER BY attnum",
        [list(CAUSAL)],
    ).fetchall()
    assert found == [(name, kind, False) for name, kind in CAUSAL.items()]
    comments = owner.execute(
        "SELECT count(*) FROM pg_description WHERE objoid = 'patient_journeys'::regclass"
    ).fetchone()
    assert comments == (len(CAUSAL),)


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        ("disease_severity", (0, 10), (-0.01, 10.01)),
        ("engagement_score", (0, 10), (-1, 10.5)),
        ("academic_hcp", (0, 1), (-1, 2)),
        ("treatment_initiated", (0, 1), (2,)),
        ("age_at_diagnosis", (0, 120), (-1, 121)),
    ],
)
def test_checks(owner: Any, column: str, good: tuple[float, ...], bad: tuple[float, ...]) -> None:
    owner.execute(PARENTS)
    update = f"UPDATE patient_journeys SET {column} = %s"
    for value in (*good, None):
        owner.execute(update, [value])
    for value in bad:
        with pytest.raises(psycopg.errors.CheckViolation, match=f"{column}_check"):
            owner.execute(update, [value])


def test_a_patient_may_have_several_journeys_but_no_unknown_hcp(owner: Any) -> None:
    owner.execute(PARENTS)
    insert = (
        "INSERT INTO patient_journeys (patient_journey_id, patient_id, journey_start_date, hcp_id) "
        "VALUES (%s, 'pt_1', '2024-02-01', %s)"
    )
    owner.execute(insert, ["patient_2", "hcp_1"])
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        owner.execute(insert, ["patient_3", "hcp_9"])


def test_treatments_go_with_their_journey(owner: Any) -> None:
    owner.execute(PARENTS)
    owner.execute(
        "INSERT INTO treatment_events (treatment_event_id, patient_journey_id, patient_id, "
        "event_date) VALUES ('trx_1', 'patient_1', 'pt_1', '2024-01-09')"
    )
    owner.execute("DELETE FROM patient_journeys")
    assert owner.execute("SELECT count(*) FROM treatment_events").fetchone() == (0,)


def test_an_enum_takes_its_values_only(owner: Any) -> None:
    labels = owner.execute(
        "SELECT typname, array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum "
        "JOIN pg_type t ON t.oid = enumtypid GROUP BY typname"
    ).fetchall()
    assert dict(labels) == {
        "data_split_type": ["train", "validation", "test", "holdout", "unassigned"],
        "brand_type": ["Remibrutinib", "Fabhalta", "Kisqali", "competitor", "other"],
        "region_type": ["northeast", "south", "midwest", "west"],
        "priority_type": ["critical", "high", "medium", "low"],
        "event_type": [
            "diagnosis",
            "prescription",
            "lab_test",
            "procedure",
            "consultation",
            "hospitalization",
        ],
        "prediction_type": ["trigger", "propensity", "risk", "churn", "next_best_action"],
        "feature_value_type": [
            "int64",
            "float64",
            "string",
            "bool",
            "timestamp",
            "array_int64",
            "array_float64",
            "array_string",
        ],
        "feature_freshness_status": ["fresh", "stale", "expired"],
    }


@pytest.mark.parametrize("table", LOADED[1:6])
def test_split_columns(owner: Any, table: str) -> None:
    found = owner.execute(
        "SELECT column_name, udt_name, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_name = %s AND column_name IN ('data_split', 'split_config_id', 'created_at') "
        "ORDER BY 1",
        [table],
    ).fetchall()
    assert found == [
        ("created_at", "timestamptz", "NO", "now()"),
        ("data_split", "data_split_type", "NO", "'unassigned'::data_split_type"),
        ("split_config_id", "uuid", "YES", None),
    ]


METRIC = (
    "INSERT INTO business_metrics (metric_id, metric_date, metric_type, brand, region, value) "
    "VALUES (%s, '2024-01-01', 'trx', 'Kisqali', 'west', %s) "
)


def test_a_metric_is_known_by_date_type_brand_and_region(owner: Any) -> None:
    owner.execute(METRIC, ["metric_a", 0.0749])
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute(METRIC, ["metric_b", 2])
    upsert = METRIC + (
        "ON CONFLICT (metric_date, metric_type, brand, region) DO UPDATE SET value = excluded.value"
    )
    owner.execute(upsert, ["metric_b", 0.0751])
    rows = owner.execute("SELECT metric_id, value FROM business_metrics").fetchall()
    assert [(key, str(value)) for key, value in rows] == [("metric_a", "0.0751")]


def test_a_feature_value_is_known_by_feature_entity_and_time(owner: Any) -> None:
    owner.execute(FEATURES)
    insert = (
        "INSERT INTO feature_values (feature_id, entity_values, value, event_timestamp) "
        "VALUES (%s, %s, %s, %s)"
    )
    row = [FEATURE, Jsonb({"brand": "a", "region": "b"}), Jsonb({"value": 1}), date(2024, 1, 1)]
    owner.execute(insert, row)
    row[1] = Jsonb({"region": "b", "brand": "a"})
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute(insert, row)
    row[3] = datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(psycopg.errors.CheckViolation, match="event_timestamp"):
        owner.execute(insert, row)


def test_feature_names_are_unique_and_entity_keys_not_empty(owner: Any) -> None:
    owner.execute(FEATURES)
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute("INSERT INTO feature_groups (name) VALUES ('g')")
    insert = (
        "INSERT INTO features (feature_group_id, name, value_type, entity_keys) "
        "VALUES (%s, %s, 'int64', %s)"
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute(insert, [GROUP, "f", Jsonb(["hcp_id"])])
    with pytest.raises(psycopg.errors.CheckViolation):
        owner.execute(insert, [GROUP, "h", Jsonb([])])
    owner.execute("DELETE FROM feature_groups")
    assert owner.execute("SELECT count(*) FROM features").fetchone() == (0,)


def test_the_time_of_an_update_is_kept(owner: Any) -> None:
    owner.execute(FEATURES)
    past = "UPDATE feature_groups SET updated_at = '2020-01-01', owner = 'me'"
    owner.execute(past)
    row = owner.execute("SELECT updated_at > now() - interval '1 minute' FROM feature_groups")
    assert row.fetchone() == (True,)


def test_the_latest_value_and_its_age(owner: Any) -> None:
    owner.execute(FEATURES)
    for hours in (50, 10, 30):
        owner.execute(
            "INSERT INTO feature_values (feature_id, entity_values, value, event_timestamp) "
            "VALUES (%s, '{\"patient_id\": \"pt_1\"}', jsonb_build_object('value', %s::int), "
            "now() - make_interval(hours => %s))",
            [FEATURE, hours, hours],
        )
    latest = owner.execute("SELECT feature_name, value FROM feature_values_latest").fetchall()
    assert latest == [("f", {"value": 10})]
    monitor = owner.execute(
        "SELECT value_count, round(age_hours), is_overdue FROM feature_freshness_monitor"
    )
    assert monitor.fetchone() == (3, 10, False)


def test_views_show_one_split(owner: Any) -> None:
    owner.execute(PARENTS)
    assert owner.execute("SELECT count(*) FROM v_train_patient_journeys").fetchone() == (0,)
    owner.execute("UPDATE patient_journeys SET data_split = 'train', engagement_score = 7.25")
    row = owner.execute("SELECT patient_id, engagement_score::text FROM v_train_patient_journeys")
    assert row.fetchone() == ("pt_1", "7.25")
    views = owner.execute(
        "SELECT count(*) FROM pg_views WHERE schemaname = 'public' AND viewname LIKE 'v\\_%'"
    ).fetchone()
    assert views == (20,)


# --- who may do what ---


def test_row_level_security_is_on_everywhere(owner: Any) -> None:
    found = owner.execute(
        "SELECT count(*), bool_and(relrowsecurity) FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    ).fetchone()
    assert found == (len(LOADED) + 1, True)
    policies = owner.execute(
        "SELECT tablename, cmd, array_agg(DISTINCT r::text ORDER BY r::text) FROM pg_policies, "
        "unnest(roles) r GROUP BY tablename, cmd"
    ).fetchall()
    assert {(cmd, tuple(roles)) for _, cmd, roles in policies} == {
        ("SELECT", ("authenticated", "service_role")),
        ("INSERT", ("service_role",)),
        ("UPDATE", ("service_role",)),
    }
    assert len(policies) == 3 * (len(LOADED) + 1)


@pytest.mark.parametrize("table", LOADED)
def test_anon_gets_nothing_and_authenticated_reads(
    owner: Any, database: Database, table: str
) -> None:
    with database.connect_api() as api:
        api.execute("SET ROLE anon")
        for statement in (f"SELECT * FROM {table}", f"INSERT INTO {table} DEFAULT VALUES"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                api.execute(statement)
        api.execute("SET ROLE authenticated")
        assert api.execute(f"SELECT * FROM {table}").fetchall() == []
        for statement in (
            f"INSERT INTO {table} DEFAULT VALUES",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                api.execute(statement)


def test_the_loader_role_writes_but_never_deletes(owner: Any, database: Database) -> None:
    with database.connect_api() as api:
        api.execute("SET ROLE service_role")
        api.execute(PARENTS)
        api.execute("UPDATE patient_journeys SET hcp_id = 'hcp_1'")
        for statement in ("DELETE FROM patient_journeys", "TRUNCATE hcp_profiles CASCADE"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                api.execute(statement)
        api.execute("SET ROLE authenticated")
        assert api.execute("SELECT hcp_id FROM patient_journeys").fetchall() == [("hcp_1",)]
        api.execute("SET ROLE anon")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            api.execute("SELECT * FROM v_train_patient_journeys")


def test_a_view_does_not_go_round_the_policies(owner: Any, database: Database) -> None:
    owner.execute(PARENTS)
    owner.execute("UPDATE patient_journeys SET data_split = 'train'")
    owner.execute("DROP POLICY read_all ON patient_journeys")
    with database.connect_api() as api:
        api.execute("SET ROLE authenticated")
        assert api.execute("SELECT * FROM v_train_patient_journeys").fetchall() == []


def test_a_plain_server_gets_the_roles_and_policies_let_the_loader_in(tmp_path: Path) -> None:
    with (
        running(tmp_path / "plain", scratch=True) as server,
        psycopg.connect(server.uri(), autocommit=True) as admin,
    ):
        admin.execute(SCHEMA)
        admin.execute(MIGRATION)
        bypass = admin.execute("SELECT rolbypassrls FROM pg_roles WHERE rolname = 'service_role'")
        assert bypass.fetchone() == (False,)
        admin.execute("SET ROLE service_role")
        admin.execute(PARENTS)
        admin.execute("SET ROLE authenticated")
        assert admin.execute("SELECT count(*) FROM patient_journeys").fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            admin.execute(PARENTS)


# --- the generators' rows ---


def test_every_generated_row_fits(owner: Any, database: Database) -> None:
    with database.connect_api() as api:
        api.execute("SET ROLE service_role")
        for table, df in small_tables().items():
            insert_all(api, table, df)
    counts = {t: owner.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in LOADED}
    assert counts == {table: len(df) for table, df in small_tables().items()}
    assert sum(counts.values()) == 19_719


def insert_all(connection: Any, table: str, df: pd.DataFrame) -> None:
    known = connection.execute(f"SELECT * FROM {table} LIMIT 0").description
    columns = [column.name for column in known if column.name in df]
    marks = ", ".join(["%s"] * len(columns))
    rows = [
        [adapted(value) for value in row]
        for row in df[columns].astype(object).itertuples(index=False, name=None)
    ]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def adapted(value: Any) -> Any:
    if isinstance(value, dict | list):
        return Jsonb(value)
    return None if pd.isna(value) else value
