"""BUILDER in a workspace that is not this repository, on a workflow that is not WO-231."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrate_agents.builder import Builder
from orchestrate_agents.checks.typescript.toolchain import CLIENT_LIBRARY, toolchain
from orchestrate_agents.specification.stage import workflow_tables
from orchestrate_agents.sql.scratch import Database, Scratch
from orchestrate_backend.targets.supabase_setup import OWNER, as_user
from orchestrate_backend.trials.registry_simulator import RegistrySimulator
from orchestrator.domain.agent import Outcome, Report
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Services
from orchestrator.gates.loading import load_checks
from tests.builds import judge, lay_out, workflow

HOURS = "clinic,weekday,opens,closes,share_pct,open_all_year,source_note\n" + "".join(
    f"North,{day},08:00,16:00,50,true,leaflet 2024\n" for day in ("Mon", "Tue", "Wed")
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("heart")


@pytest.fixture(scope="module")
def report(root: Path) -> Report:
    return Builder().work(lay_out(root))


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    scratch = Scratch()
    with scratch.database() as made:
        with made.connect() as owner:
            owner.execute(migration().encode())
        yield made
    scratch.close()


def migration() -> str:
    block = workflow().stage(1).deliverables[0].block
    assert block is not None
    return block.text


def seed(root: Path, script: str, database: Database) -> subprocess.CompletedProcess[str]:
    """Run a rendered script isolated from this repository: scratch server, registry stand-in."""
    with RegistrySimulator() as registry:
        env = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": as_user(database.uri, OWNER),
            "CTGOV_BASE_URL": f"{registry}/api/v2",
            "CTGOV_INTERVAL": "0",
        }
        return subprocess.run(
            [sys.executable, "-I", script, "--target", "postgres"],
            cwd=root,
            env=env,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


def rows(database: Database, table: str) -> int:
    with database.connect() as owner:
        return int(owner.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_everything_is_built_and_proven(report: Report, root: Path) -> None:
    assert report.outcome is Outcome.DONE, report.reason
    assert [artifact.path for artifact in report.artifacts] == [
        "etl/load_heart_trials.py",
        "etl/load_clinic_hours.py",
        "web/api/hours.ts",
        "web/db/supabase.ts",
        "etl/health.py",
    ]
    assert "trial run: exit 0, 156 rows" in report.section
    assert not (root / "data").exists(), "the CSV is another agent's"


def test_the_provider_is_told(report: Report) -> None:
    assert [(n.to, n.path) for n in report.notices] == [("CURATOR", "data/clinic_hours.csv")]


def test_a_second_time_gives_the_same_tree(report: Report, root: Path) -> None:
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    written = {a.path: a.sha256 for a in report.artifacts}
    job = lay_out(root / "again").model_copy(update={"workspace": str(root), "written": written})
    shutil.rmtree(root / "again")
    again = Builder().work(job)
    assert again.artifacts == report.artifacts
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before


def test_a_file_that_a_person_changed_is_kept(tmp_path: Path) -> None:
    job = lay_out(tmp_path)
    first = Builder().work(job)
    mine = tmp_path / "etl/health.py"
    mine.write_text("def healthy() -> bool:\n    return False\n", encoding="utf-8")
    written = {a.path: a.sha256 for a in first.artifacts}
    second = Builder().work(job.model_copy(update={"written": written}))
    states = {a.path: a.state for a in second.artifacts}
    assert states["etl/health.py"] == "kept"
    assert "return False" in mine.read_text(encoding="utf-8")


def test_the_csv_seeder_fills_its_table_and_twice_changes_nothing(
    report: Report, root: Path, tmp_path: Path, database: Database
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(root, tree)
    (tree / "data").mkdir()
    (tree / "data/clinic_hours.csv").write_text(HOURS + "South,Mon,,,,,\n", encoding="utf-8")
    done = seed(tree, "etl/load_clinic_hours.py", database)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "source_note" in done.stderr, "the row without it is named"
    assert rows(database, "clinic_hours") == 3
    again = seed(tree, "etl/load_clinic_hours.py", database)
    assert "3 as they were" in again.stdout
    assert rows(database, "clinic_hours") == 3


def test_the_importer_fills_its_table_and_twice_changes_nothing(
    report: Report, root: Path, database: Database
) -> None:
    for _ in range(2):
        done = seed(root, "etl/load_heart_trials.py", database)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.strip().endswith("[STATUS: PASS] Seeded 156 heart trials.")
        assert rows(database, "heart_trials") == 156


def test_the_importer_says_which_table_is_missing(report: Report, root: Path) -> None:
    scratch = Scratch()
    with scratch.database() as empty:
        done = seed(root, "etl/load_heart_trials.py", empty)
    scratch.close()
    assert done.returncode == 1
    assert "table heart_trials does not exist" in done.stderr


@pytest.mark.skipif(
    bool(toolchain(Path()).missing) or toolchain(Path()).package(CLIENT_LIBRARY) is None,
    reason=f"Node, the compiler or {CLIENT_LIBRARY} is not installed",
)
@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ("", "", "proven"),
        (".from('clinic_hours')", ".from('clinic_times')", "failed"),
        (".eq('clinic', clinic)", ".eq('weekday', clinic + '!')", "failed"),
        (".select('*')", ".select('id, weekday')", "failed"),
    ],
)
def test_a_page_can_query_through_the_real_client(
    report: Report, root: Path, tmp_path: Path, old: str, new: str, verdict: str
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(root, tree)
    (tree / "db/migrations").mkdir(parents=True)
    (tree / "db/migrations/012_heart.sql").write_text(migration(), encoding="utf-8")
    hook = tree / "web/api/hours.ts"
    text = hook.read_text(encoding="utf-8")
    assert old in text
    hook.write_text(text.replace(old, new) if old else text, encoding="utf-8")
    with Services() as services:
        (result,) = judge(tree, "Map page can query hours | No errors", services)
    assert result.verdict == verdict, result.detail


def test_a_table_without_a_policy_cannot_be_queried(
    report: Report, root: Path, tmp_path: Path
) -> None:
    if toolchain(root).package(CLIENT_LIBRARY) is None or toolchain(root).missing:
        pytest.skip(f"{CLIENT_LIBRARY} is not installed")
    tree = tmp_path / "tree"
    shutil.copytree(root, tree)
    (tree / "db/migrations").mkdir(parents=True)
    closed = migration().replace("TO authenticated", "TO service_role")
    (tree / "db/migrations/012_heart.sql").write_text(closed, encoding="utf-8")
    with Services() as services:
        (result,) = judge(tree, "Map page can query hours | No errors", services)
    assert result.verdict == "failed"
    assert "does not find a row that is there" in result.detail


def test_a_page_that_reads_something_else_is_not_proven(
    report: Report, root: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(root, tree)
    (tree / "db/migrations").mkdir(parents=True)
    (tree / "db/migrations/012_heart.sql").write_text(migration(), encoding="utf-8")
    with Services() as services:
        for statement in (
            "Map page can query prices | No errors",
            "A signed-in user can read prices without errors",
        ):
            (result,) = judge(tree, statement, services)
            assert result.verdict == "unproven", statement
    # what an administrator or no page at all can read is not what the hooks show
    for statement in (
        "Admin page can query hours | No errors",
        "No page can query hours without errors",
    ):
        assert [b.check for b in Binder(load_checks()).bind(statement)] == [None], statement


def test_the_tables_come_from_the_file_where_there_is_one(root: Path, tmp_path: Path) -> None:
    (tmp_path / "db/migrations").mkdir(parents=True)
    text = "CREATE TABLE heart_trials (registry_id text PRIMARY KEY);"
    (tmp_path / "db/migrations/012_heart.sql").write_text(text, encoding="utf-8")
    assert len(workflow_tables(workflow(), tmp_path)["heart_trials"].columns) == 1
    assert len(workflow_tables(workflow(), root)["heart_trials"].columns) == 6
