"""The trials script against a real PostgreSQL server, as a person or the conductor runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrate_backend.targets.choose import EmbeddedTarget
from tests.replay import RESET, SERVER_ERROR, replaying, study, throttled

SCRIPT = Path(__file__).resolve().parents[2] / "backend" / "scripts" / "seed_benchmark_trials.py"
TABLE = """
CREATE TABLE public.benchmark_trials (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    nct_id text UNIQUE NOT NULL,
    title text NOT NULL,
    phase text,
    status text,
    modality text NOT NULL,
    conditions text[],
    country text,
    enrollment_actual integer,
    start_date date,
    completion_date date,
    primary_outcome_measure text,
    source text DEFAULT 'clinicaltrials.gov',
    created_at timestamptz DEFAULT now()
);
ALTER TABLE public.benchmark_trials ENABLE ROW LEVEL SECURITY;
"""
CONTENT = "SELECT t.* FROM benchmark_trials t ORDER BY nct_id"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[EmbeddedTarget]:
    target = EmbeddedTarget(root)
    target.apply_sql(TABLE)
    yield target
    target.close()


@pytest.fixture
def table(server: EmbeddedTarget) -> Iterator[EmbeddedTarget]:
    yield server
    server.apply_sql("TRUNCATE public.benchmark_trials")


def seed(root: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SUPABASE_", "DATABASE_"))}
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--root", str(root), *argv],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**clean, "CTGOV_INTERVAL": "0", **env},
    )


def content(target: EmbeddedTarget) -> list[dict[str, Any]]:
    return target.query_readonly(CONTENT)


def test_offline_twice_gives_the_same_rows(table: EmbeddedTarget, root: Path) -> None:
    first = seed(root, "--offline")
    assert (first.returncode, first.stderr.count("Traceback")) == (0, 0)
    rows = content(table)
    lacking = f"{300 - len(rows)} are lacking of the 300 that are expected.\n"
    assert first.stdout.endswith(f"Seeded {len(rows)} benchmark trials. {lacking}")
    assert "[STATUS: LACKING]" in first.stdout
    assert len(rows) > 50
    again = json.loads(seed(root, "--offline", "--json").stdout)
    assert (again["inserted"], again["updated"]) == (0, 0)
    assert content(table) == rows


def test_a_faulty_registry_is_loaded_whole(table: EmbeddedTarget, root: Path) -> None:
    studies = [study(n) for n in range(1, 451)]
    with replaying(studies) as replay:
        replay.faults.extend([throttled("0"), RESET, SERVER_ERROR])
        done = seed(root, CTGOV_BASE_URL=replay.url)
    assert done.stdout.endswith("[STATUS: PASS] Seeded 450 benchmark trials.\n")
    assert done.returncode == 0
    assert table.count("benchmark_trials") == 450


def test_awkward_values_reach_the_table_as_documented(table: EmbeddedTarget, root: Path) -> None:
    record = study(
        1,
        "A \x00title\u202e with 'quotes' and \"more\"",
        conditions=["Depression", "Anxiety, Social"],
        statusModule={
            "overallStatus": "COMPLETED",
            "startDateStruct": {"date": "2021-03"},
            "completionDateStruct": {"date": "2022-11-30"},
        },
        designModule={
            "phases": ["PHASE2", "PHASE3"],
            "enrollmentInfo": {"count": 80, "type": "ESTIMATED"},
        },
        contactsLocationsModule={"locations": [{"country": "Peru"}, {"country": "Peru"}]},
    )
    with replaying([record]) as replay:
        assert seed(root, CTGOV_BASE_URL=replay.url).returncode == 0
    (row,) = content(table)
    assert row["title"] == "A title with 'quotes' and \"more\""
    assert row["conditions"] == ["Depression", "Anxiety, Social"]
    assert (row["phase"], row["country"]) == ("PHASE2/PHASE3", "Peru")
    assert (row["start_date"], row["enrollment_actual"]) == (None, None)
    assert str(row["completion_date"]) == "2022-11-30"


def test_a_later_load_fills_in_and_never_empties(
    table: EmbeddedTarget, root: Path, tmp_path: Path
) -> None:
    file = tmp_path / "t.json"
    dated = {"overallStatus": "ACTIVE_NOT_RECRUITING", "startDateStruct": {"date": "2021-03-01"}}
    for status in (dated, {"overallStatus": "COMPLETED"}):
        file.write_text(json.dumps([study(1, statusModule=status)]), encoding="utf-8")
        assert seed(root, "--from", str(file)).returncode == 0
    (row,) = content(table)
    assert row["status"] == "COMPLETED"
    assert str(row["start_date"]) == "2021-03-01"


def test_a_table_that_is_not_there_is_named(root: Path, table: EmbeddedTarget) -> None:
    table.apply_sql("ALTER TABLE public.benchmark_trials RENAME TO put_aside")
    try:
        done = seed(root, "--offline")
    finally:
        table.apply_sql("ALTER TABLE public.put_aside RENAME TO benchmark_trials")
    assert done.returncode == 1
    assert "table benchmark_trials does not exist on embedded" in done.stderr
    assert "apply the migration" in done.stderr
    assert "PASS" not in done.stdout


def test_without_network_the_host_and_the_way_out_are_named(
    table: EmbeddedTarget, root: Path
) -> None:
    done = seed(root, "--attempts", "1", CTGOV_BASE_URL="http://registry.invalid")
    assert done.returncode == 1
    assert "registry.invalid cannot be reached" in done.stderr
    assert "--offline" in done.stderr
    assert table.count("benchmark_trials") == 0
