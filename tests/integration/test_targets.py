"""The database targets on a real server (DESIGN 10)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrate_backend.targets.base import Rejected, Row, Written
from orchestrate_backend.targets.choose import (
    EmbeddedTarget,
    PostgresTarget,
    SupabaseTarget,
    Target,
    TargetError,
    choose_target,
)
from tests.postgrest import STATIONS, Project, running_project

ROOT = Path(__file__).parents[2]
KEY = ("region", "code")
FULL: Row = {
    "region": "north",
    "code": None,
    "height_m": 12,
    "rain_mm": Decimal("3.456"),
    "tags": ["a", "b, c"],
    "opened": date(2021, 3, 1),
    "checked_at": datetime(2022, 1, 1, 12, tzinfo=UTC),
    "open": None,
    "extra": {"deep": [1, None]},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with running_project(tmp_path_factory.mktemp("project"), STATIONS) as project:
        yield project


@pytest.fixture(params=["embedded", "postgres", "supabase"])
def target(request: pytest.FixtureRequest, project: Project) -> Iterator[Target]:
    """Each kind of target over the same database, its table empty."""
    project.empty("stations")
    if request.param == "embedded":
        yield project.database
    elif request.param == "postgres":
        postgres = PostgresTarget(project.database.uri("postgres"))
        yield postgres
        postgres.close()
    else:
        with project.client() as supabase:
            yield supabase


def stored(project: Project, columns: str = "*") -> list[dict[str, object]]:
    return project.database.query_readonly(f"SELECT {columns} FROM stations ORDER BY region, code")


def test_every_type_arrives(target: Target, project: Project) -> None:
    assert target.upsert("stations", [FULL], KEY) == Written(inserted=1)
    [row] = stored(project)
    expected = {**FULL, "rain_mm": Decimal("3.46")}
    assert {column: row[column] for column in expected} == expected


def test_10_3_running_twice_changes_nothing(target: Target, project: Project) -> None:
    rows = [FULL, {**FULL, "region": "south", "code": 'x"),('}]
    assert target.upsert("stations", rows, KEY) == Written(inserted=2)
    before = stored(project)
    assert target.upsert("stations", rows, KEY) == Written(unchanged=2)
    assert stored(project) == before


def test_10_3_null_never_replaces_a_value(target: Target, project: Project) -> None:
    target.upsert("stations", [FULL], KEY)
    newer = {"region": "north", "code": None, "height_m": 15, "rain_mm": None}
    assert target.upsert("stations", [newer], KEY) == Written(updated=1)
    [row] = stored(project, "height_m, rain_mm, tags")
    assert row == {"height_m": 15, "rain_mm": Decimal("3.46"), "tags": ["a", "b, c"]}


def test_a_value_not_known_is_stored_as_null_and_not_as_the_default(
    target: Target, project: Project
) -> None:
    target.upsert("stations", [{"region": "north", "code": "1", "open": None}], KEY)
    assert stored(project, "open") == [{"open": None}]


def test_10_3_one_bad_row_costs_one_row(target: Target, project: Project) -> None:
    bad = [
        {"region": "big", "code": "1", "height_m": 10**10},
        {"region": "word", "code": "1", "height_m": "high"},
        {"region": "nul\0", "code": "1"},
        {"region": None, "code": "1"},
    ]
    good = [{"region": f"r{n}", "code": "1", "height_m": n} for n in range(5)]
    done = target.upsert("stations", [*good[:2], *bad, *good[2:]], KEY)
    assert (done.inserted, done.updated, done.unchanged) == (5, 0, 0)
    assert [key for key, _ in done.rejected] == [(row["region"], "1") for row in bad]
    assert all(reason for _, reason in done.rejected)
    assert target.count("stations") == 5


def test_a_repeated_key_is_dropped_if_equal_and_rejected_if_not(target: Target) -> None:
    row = {"region": "north", "code": "1", "height_m": 1}
    done = target.upsert("stations", [row, dict(row), {**row, "height_m": 2}], KEY)
    assert done.inserted == 1
    assert done.rejected == (
        Rejected(("north", "1"), "an earlier row has the same key and other values"),
    )


def test_batches_of_any_size_write_the_same(target: Target) -> None:
    rows = [{"region": "north", "code": str(n), "height_m": n} for n in range(11)]
    assert target.upsert("stations", rows, KEY, batch=4) == Written(inserted=11)
    assert target.upsert("stations", rows, KEY, batch=50) == Written(unchanged=11)


def test_columns_are_those_of_the_table(target: Target) -> None:
    columns = {column.name: column for column in target.columns("stations")}
    assert list(columns)[:3] == ["id", "region", "code"]
    assert (columns["region"].nullable, columns["code"].nullable) == (False, True)
    assert columns["rain_mm"].type == "numeric(6,2)"
    assert columns["open"].default == "true"


def test_a_missing_table_says_what_to_apply(target: Target) -> None:
    for ask in (target.count, target.columns, lambda t: target.upsert(t, [FULL], KEY)):
        with pytest.raises(TargetError, match="table lighthouses does not exist") as caught:
            ask("lighthouses")
        assert caught.value.code == "table-missing"
        assert "apply the migration that creates lighthouses" in caught.value.hint


def test_a_missing_column_and_a_missing_key_are_told_apart(target: Target) -> None:
    with pytest.raises(TargetError, match="depth_m") as caught:
        target.upsert("stations", [{"region": "north", "depth_m": 1}], KEY)
    assert caught.value.code == "column-missing"
    with pytest.raises(TargetError, match="no unique key") as caught:
        target.upsert("stations", [{"region": "north", "code": "1"}], ("region",))
    assert caught.value.code == "key-missing"


def test_a_hostile_table_name_is_a_name_and_nothing_else(target: Target, project: Project) -> None:
    for name in ('stations"; DROP TABLE stations; --', "a.b.c", "", "x\0"):
        with pytest.raises(TargetError):
            target.count(name)
    assert project.database.count("stations") == 0


@pytest.mark.parametrize(
    ("ddl", "key"),
    [
        ("id uuid PRIMARY KEY DEFAULT gen_random_uuid(), code text UNIQUE", ("code",)),
        (
            "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text, b int, UNIQUE (b, a)",
            ("b", "a"),
        ),
        ("code text PRIMARY KEY, note text", ("code",)),
        ("id serial PRIMARY KEY, note text", None),
        (
            "id serial PRIMARY KEY, token uuid UNIQUE DEFAULT gen_random_uuid(), c text UNIQUE",
            ("c",),
        ),
    ],
)
def test_the_natural_key_is_read_from_the_catalogue(
    project: Project, ddl: str, key: tuple[str, ...] | None
) -> None:
    project.database.apply_sql(f"DROP TABLE IF EXISTS things; CREATE TABLE things ({ddl})")
    assert project.database.natural_key("things") == key


def test_a_partial_or_expression_index_is_no_natural_key(project: Project) -> None:
    project.database.apply_sql(
        "DROP TABLE IF EXISTS things; CREATE TABLE things (id serial PRIMARY KEY, a text, b text);"
        "CREATE UNIQUE INDEX ON things (a) WHERE b IS NULL;"
        "CREATE UNIQUE INDEX ON things (lower(b))"
    )
    assert project.database.natural_key("things") is None


def test_6_7_rows_are_written_as_service_role_and_ddl_by_no_superuser(project: Project) -> None:
    who = "SELECT current_user::text AS role, auth.role() AS claim"
    assert project.database.query_readonly(who) == [
        {"role": "service_role", "claim": "service_role"}
    ]
    for escape in ("CREATE ROLE intruder SUPERUSER", "COPY stations TO PROGRAM 'true'"):
        with pytest.raises(TargetError, match="permission denied"):
            project.database.apply_sql(f"RESET ROLE; RESET SESSION AUTHORIZATION; {escape}")


def test_sql_is_applied_whole_or_not_at_all_and_names_the_line(project: Project) -> None:
    text = "CREATE TABLE half (id int);\n\nCREATE TABLE other (id nonsense);"
    with pytest.raises(TargetError, match='type "nonsense" does not exist') as caught:
        project.database.apply_sql(text, "migrations/7_half.sql")
    assert (caught.value.path, caught.value.line) == ("migrations/7_half.sql", 3)
    with pytest.raises(TargetError, match="does not exist"):
        project.database.count("half")


@pytest.mark.parametrize("text", ["BEGIN; CREATE TABLE half (id int)", "SELECT 1;\0 SELECT 2"])
def test_sql_that_would_not_be_run_whole_is_refused(project: Project, text: str) -> None:
    with pytest.raises(TargetError):
        project.database.apply_sql(text)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO stations (region) VALUES ('x')",
        "SELECT 1; DROP TABLE stations",
        "COMMIT; DROP TABLE stations",
        "SELECT pg_read_file('/etc/hostname')",
        "not sql",
    ],
)
def test_a_query_cannot_change_anything(project: Project, sql: str) -> None:
    project.empty("stations")
    with pytest.raises(TargetError):
        project.database.query_readonly(sql)
    assert project.database.count("stations") == 0


def test_a_query_gives_rows_by_column(project: Project) -> None:
    rows = project.database.query_readonly(
        "SELECT 'a%b' AS text, 2 AS n UNION SELECT 'c', 3 ORDER BY 2"
    )
    assert rows == [{"text": "a%b", "n": 2}, {"text": "c", "n": 3}]


def test_a_lost_connection_is_made_again(project: Project) -> None:
    database = project.database
    [row] = database.query_readonly("SELECT pg_backend_pid() AS pid")
    other = PostgresTarget(database.uri("postgres"))
    other.query_readonly(f"SELECT pg_terminate_backend({row['pid']})")
    other.close()
    assert database.count("stations") == 0


def test_two_holders_of_one_server_do_not_stop_each_other(tmp_path: Path) -> None:
    first, second = EmbeddedTarget(tmp_path), EmbeddedTarget(tmp_path)
    first.apply_sql("CREATE TABLE t (a int)")
    assert second.count("t") == 0
    second.close()
    assert first.count("t") == 0
    first.close()
    assert second.count("t") == 0
    second.close()


def test_another_process_and_a_restart_see_the_same_rows(tmp_path: Path) -> None:
    target = EmbeddedTarget(tmp_path)
    target.apply_sql("CREATE TABLE t (a int PRIMARY KEY)")
    script = (
        "from pathlib import Path; from orchestrate_backend.targets.choose import EmbeddedTarget\n"
        f"target = EmbeddedTarget(Path({str(tmp_path)!r}))\n"
        "target.upsert('t', [{'a': 1}], ('a',)); target.close()"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert target.count("t") == 1
    target.close()
    assert target.count("t") == 1
    target.close()


def test_a_pid_file_of_another_program_does_not_hinder_and_ends_nobody(tmp_path: Path) -> None:
    target = EmbeddedTarget(tmp_path)
    target.apply_sql("CREATE TABLE t (a int)")
    target.close()
    lines = [str(os.getpid()), str(target.data), "1", "5432", str(target.data), "", "", "ready"]
    (target.data / "postmaster.pid").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert target.count("t") == 0
    target.close()


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("PG_VERSION", "9\n", "version 9"),
        ("letters.txt", "x", "holds files that are not a database"),
    ],
)
def test_a_data_folder_that_is_none_is_named(
    tmp_path: Path, file: str, text: str, said: str
) -> None:
    target = EmbeddedTarget(tmp_path)
    target.data.mkdir(parents=True)
    (target.data / file).write_text(text, encoding="utf-8")
    with pytest.raises(TargetError, match=said) as caught:
        target.count("t")
    assert caught.value.code == "embedded-start"
    assert caught.value.path == str(target.data)


def test_10_1_the_target_is_chosen_by_name_then_by_both_variables(tmp_path: Path) -> None:
    both = {"SUPABASE_URL": "https://x.supabase.co", "SUPABASE_SERVICE_ROLE_KEY": "a.b.c"}
    assert isinstance(choose_target(None, {}, tmp_path), EmbeddedTarget)
    assert isinstance(choose_target(None, both, tmp_path), SupabaseTarget)
    assert isinstance(choose_target("embedded", both, tmp_path), EmbeddedTarget)
    for variable in both:
        assert isinstance(choose_target(None, {variable: both[variable]}, tmp_path), EmbeddedTarget)
    assert isinstance(
        choose_target("postgres", {"DATABASE_URL": "postgresql://h/d"}, tmp_path), PostgresTarget
    )


@pytest.mark.parametrize(
    ("name", "env", "said"),
    [
        ("oracle", {}, "no such database target: oracle"),
        ("postgres", {}, "needs the environment variable DATABASE_URL"),
        ("supabase", {"SUPABASE_URL": "https://x"}, "SUPABASE_SERVICE_ROLE_KEY"),
        ("postgres", {"DATABASE_URL": "postgresql://u:hush@/x@h:y"}, "not a connection URL"),
        ("postgres", {"DATABASE_URL": "postgresql://u:hu@sh/x@host/db"}, "not a connection URL"),
        ("supabase", {"SUPABASE_URL": "x", "SUPABASE_SERVICE_ROLE_KEY": "hush"}, "SUPABASE_URL"),
        (
            "supabase",
            {"SUPABASE_URL": "http://[::1", "SUPABASE_SERVICE_ROLE_KEY": "hush"},
            "SUPABASE_URL",
        ),
        (
            "supabase",
            {"SUPABASE_URL": "https://x:port", "SUPABASE_SERVICE_ROLE_KEY": "hush"},
            "SUPABASE_URL",
        ),
    ],
)
def test_a_target_that_cannot_be_is_explained_without_secrets(
    tmp_path: Path, name: str, env: dict[str, str], said: str
) -> None:
    with pytest.raises(TargetError, match=said) as caught:
        choose_target(name, env, tmp_path)
    assert "hu" not in str(caught.value).replace("such", "")


def test_a_target_is_described_and_told_apart_without_secrets(tmp_path: Path) -> None:
    url = "postgresql://user:hush@db.example:6543/weather"
    target = PostgresTarget(url)
    assert target.describe() == "postgres: db.example:6543/weather"
    assert target.fingerprint == PostgresTarget(url.replace("hush", "new")).fingerprint
    assert target.fingerprint != PostgresTarget(url.replace("weather", "other")).fingerprint
    assert EmbeddedTarget(tmp_path).fingerprint != EmbeddedTarget(tmp_path / "b").fingerprint
    supabase = SupabaseTarget("https://abc.supabase.co/", "hush")
    assert supabase.describe() == "supabase: abc.supabase.co"


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    target = PostgresTarget("postgresql://user:hush@127.0.0.1:1/weather")
    with pytest.raises(TargetError, match="Connection refused") as caught:
        target.count("stations")
    assert caught.value.code == "unreachable"
    assert "hush" not in str(caught.value)


def run_script(script: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "ORCHESTRATE_ROOT": str(root)}
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, timeout=60)


def test_a_seed_script_runs_from_a_copy_of_the_tree_and_twice_changes_nothing(
    tmp_path: Path,
) -> None:
    copy = tmp_path / "frozen" / "backend"
    (copy / "scripts").mkdir(parents=True)
    (copy / "data").mkdir()
    source = ROOT / "backend" / "scripts" / "seed_population_baselines.py"
    script = copy / "scripts" / source.name
    script.write_bytes(source.read_bytes())
    missing = run_script(script, tmp_path)
    assert (missing.returncode, "[STATUS: SKIP]" in missing.stdout) == (0, True)

    (copy / "data" / "population_baselines_seed.csv").write_text(
        "source,year,region,condition,substance,demographic_group,n_episodes,avg_age,pct_female,"
        "avg_prior_treatments,avg_los_days,pct_completed_treatment\n"
        "Survey,2020,North,,alcohol,all,120,,31.5,,,\n"
        "Survey,2020,North,,,all,300,40.2,33.0,,,\n",
        encoding="utf-8",
    )
    absent = run_script(script, tmp_path)
    assert absent.returncode == 1
    assert "apply the migration that creates population_baselines" in absent.stderr

    with_table = EmbeddedTarget(tmp_path)
    with_table.apply_sql(
        "CREATE TABLE population_baselines (id serial PRIMARY KEY, source text, year int,"
        " region text, condition text, substance text, demographic_group text, n_episodes int,"
        " avg_age numeric, pct_female numeric, avg_prior_treatments numeric, avg_los_days numeric,"
        " pct_completed_treatment numeric, UNIQUE NULLS NOT DISTINCT"
        " (source, year, region, condition, substance, demographic_group))"
    )
    first, second = (run_script(script, tmp_path) for _ in range(2))
    assert "[STATUS: PASS] Seeded 2 population baselines (2 new" in first.stdout
    assert "(0 new, 0 changed, 2 as they were)" in second.stdout
    assert with_table.count("population_baselines") == 2
    with_table.close()


def test_several_threads_read_through_one_target(project: Project) -> None:
    """A gate judges several statements on the target at once."""
    target = PostgresTarget(project.database.uri("postgres"))
    try:
        with ThreadPoolExecutor(8) as pool:
            ask = "SELECT n, pg_sleep(0.01) FROM generate_series(1, 3) AS n"
            answers = list(pool.map(lambda _: len(target.query_readonly(ask)), range(40)))
    finally:
        target.close()
    assert answers == [3] * 40
