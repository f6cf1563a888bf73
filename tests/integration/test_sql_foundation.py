"""A migration on top of named SQL, files that are there already, and two ways to one schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrate_agents.soop import Soop
from orchestrate_agents.sql.prerequisites import prerequisite_sql
from orchestrator.domain.agent import Job, Outcome
from orchestrator.gates.checks import Result, Services
from orchestrator.workflow_reader.parser import read_workflow_text
from tests.claims import check_of, judge, lay

OLD = "CREATE TABLE IF NOT EXISTS branch (id int PRIMARY KEY);\n"
NEW = "CREATE TABLE IF NOT EXISTS branch (id int PRIMARY KEY, city text);\n"
CHANGE = "ALTER TABLE branch ADD COLUMN IF NOT EXISTS city text;\n"
WORKFLOW = """\
# Cities

## STAGE 1: SOOP — Tables

1. Write `db/schema.sql`: the tables.
2. Write `db/changes/007_city.sql`, which runs on top of the old `db/before.sql`.

**Done when:** `db/schema.sql` applies cleanly.
"""
SAME = "`db/changes/007_city.sql` and `db/schema.sql` give identical columns, checks and indexes"


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


def root_with(root: Path, change: str = CHANGE, new: str = NEW) -> Path:
    files = {"db/before.sql": OLD, "db/schema.sql": new, "db/changes/007_city.sql": change}
    return lay(root, files)


def judged(root: Path, statement: str, services: Services) -> Result:
    return judge(root, statement, workflow=WORKFLOW, services=services)


@pytest.mark.parametrize(
    "statement",
    [
        SAME,
        "`a/b.sql` and `c.sql` give the same schema of `branch`",
        "`a/b.sql` and `c.sql` have identical column definitions for `branch`",
        "`a/b.sql` ends in the schema of `c.sql`",
    ],
)
def test_these_wordings_are_taken(statement: str) -> None:
    assert check_of(statement) == "sql.same-schema"


def test_what_is_named_lies_below_and_then_the_series(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    lay(root, {"db/changes/006_x.sql": "SELECT 1;\n", "db/changes/008_y.sql": "SELECT 2;\n"})
    workflow = read_workflow_text(WORKFLOW, root / "w.md")
    assert list(prerequisite_sql(root, "db/changes/007_city.sql", workflow)) == [
        "db/before.sql",
        "006_x.sql",
    ]
    assert [d.path for _, d in workflow.deliverables] == [
        "db/schema.sql",
        "db/changes/007_city.sql",
    ]


def test_a_migration_is_judged_on_what_it_runs_on(tmp_path: Path, services: Services) -> None:
    root = root_with(tmp_path)
    applies = "`db/changes/007_city.sql` applies cleanly"
    assert judged(root, applies, services).verdict == "proven"
    alone = judge(root, applies, services=services)
    assert (alone.verdict, "branch" in alone.detail) == ("failed", True)


@pytest.mark.parametrize(
    ("change", "new", "verdict", "said"),
    [
        (CHANGE, NEW, "proven", "same catalog"),
        (CHANGE.replace("text", "varchar(9)"), NEW, "failed", "branch.city"),
        (CHANGE, NEW.replace("text", "text NOT NULL"), "failed", "branch.city"),
        (CHANGE, NEW.replace("text)", "text UNIQUE)"), "failed", "branch_city_key"),
        (CHANGE.replace("branch", "harbour"), NEW, "failed", "cannot be applied"),
        (CHANGE, "CREATE TABLE (", "failed", "cannot be read"),
    ],
)
def test_two_ways_to_a_schema_are_compared_as_they_end(
    tmp_path: Path, services: Services, change: str, new: str, verdict: str, said: str
) -> None:
    result = judged(root_with(tmp_path, change, new), SAME, services)
    assert (result.verdict, said in result.detail) == (verdict, True), result.detail


def test_only_the_named_table_is_compared(tmp_path: Path, services: Services) -> None:
    new = NEW + "CREATE TABLE IF NOT EXISTS harbour (id int);\n"
    root = root_with(tmp_path, new=new)
    assert judged(root, SAME, services).verdict == "failed"
    whole = f"{SAME} of `branch`"
    assert judged(root, whole, services).verdict == "proven"
    neither = judged(root, f"{SAME} of `room_plan`", services)
    assert (neither.verdict, "room_plan" in neither.detail) == ("failed", True)


def test_soop_proves_a_file_that_is_there_without_a_specification(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    job = Job(
        ticket="WO-9a",
        parent="WO-9",
        family=(),
        stage=1,
        agent="SOOP",
        workspace=str(root),
        workflow="w.md",
        workflow_text=WORKFLOW,
    )
    report = Soop().work(job)
    assert report.outcome is Outcome.DONE, report.reason
    assert [(a.path, a.state) for a in report.artifacts] == [
        ("db/schema.sql", "kept"),
        ("db/changes/007_city.sql", "kept"),
    ]
    assert "Specification: `db/schema.sql`." in report.section
    (root / "db/schema.sql").unlink()
    missing = Soop().work(job)
    assert missing.outcome is Outcome.NEEDS_PERSON
    assert "`db/schema.sql` has no SQL to be made from" in missing.reason
