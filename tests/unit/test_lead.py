"""LEAD works from the workflow's own words: architecture, children, their criteria, the number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrate_agents.lead import Lead
from orchestrator.domain.agent import Job, MemberInfo, Outcome, Report

PARENT = """\
---
id: WO-7
title: Beds
status: 00_INBOX
owner: LEAD
priority: HIGH
---
# Beds
"""
WORKFLOW = """\
# Beds

## STAGE 1: LEAD — Split
1. Read WO-7
2. Scope decision: wards only
3. Split into two tickets:
   - **WO-7a** → SOOP (the "bed" tables)
   - **WO-7b** → BUILDER
4. Create WO-7a in `03_BUILD` for SOOP, WO-7b in `03_BUILD` for BUILDER

**Done when:** WO-7a in `03_BUILD` with `owner: SOOP`

## STAGE 2: SOOP — Tables
1. Read WO-7a
2. Write `sql/012_beds.sql`:

```sql
CREATE TABLE bed_plan (ward text PRIMARY KEY, beds int NOT NULL);
```

**Done when:** `sql/012_beds.sql` exists.

## STAGE 3: BUILDER — Loader
1. Read WO-7b
2. CLERK will provide `data/beds.csv`.
3. Write `etl/load_beds.py`, which loads `data/beds.csv` from https://beds.example.net into
   `bed_plan`.

**Done when:** `etl/load_beds.py` compiles.

## STAGE 4: INSPECTOR — QA of WO-7a and WO-7b
- [ ] anon cannot read `bed_plan`
- [ ] `etl/load_beds.py` runs without error
- [ ] Every row of `data/wards.csv` has a ward of the schema
- [ ] The wards agree

## STAGE 5: CLERK — Wards
Create `data/wards.csv`.

**Done when:** `data/wards.csv` exists.
"""


def lead(root: Path, workflow: str = WORKFLOW) -> Report:
    inbox = root / "_WORK_ORDERS/00_INBOX"
    if not inbox.is_dir():
        inbox.mkdir(parents=True)
        (inbox / "WO-7_Beds.md").write_text(PARENT, encoding="utf-8")
    job = Job(
        ticket="WO-7",
        parent="WO-7",
        family=(MemberInfo(id="WO-7", path="", status="00_INBOX", owner="LEAD"),),
        stage=1,
        agent="LEAD",
        workspace=str(root),
        workflow="workflows/beds.md",
        workflow_text=workflow,
    )
    return Lead().work(job)


def migration(root: Path, *names: str) -> None:
    for name in names:
        (root / "sql").mkdir(exist_ok=True)
        (root / "sql" / name).write_text("SELECT 1;\n", encoding="utf-8")


def test_the_section_names_tables_flow_scope_needs_and_routes(tmp_path: Path) -> None:
    section = lead(tmp_path).section
    assert section.startswith("## LEAD ARCHITECTURE\n")
    assert "**Tables:** `bed_plan`" in section
    assert "\n- wards only\n" in section
    assert "`data/beds.csv` comes from CLERK" in section
    assert "| WO-7b | BUILDER | `etl/load_beds.py` | new |" in section


def test_the_data_flow_leads_from_sources_through_the_script_to_the_table(tmp_path: Path) -> None:
    section = lead(tmp_path).section
    nodes = dict(re.findall(r"(n\d)\[\"([^\"]+)\"\]", section))
    edges = [(nodes[a], nodes[b]) for a, b in re.findall(r"(n\d) --> (n\d)", section)]
    assert edges == [
        ("data/beds.csv", "etl/load_beds.py"),
        ("beds.example.net", "etl/load_beds.py"),
        ("etl/load_beds.py", "bed_plan"),
    ]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ((), "no other number is in use in `sql/`"),
        (("007_a.sql",), "checked against 007, the only number in use"),
        (
            ("007_a.sql", "011_b.sql"),
            "checked against the 2 numbers in use in `sql/` (highest 011)",
        ),
        (("012_beds.sql",), "no other number is in use"),
    ],
)
def test_the_number_is_checked_against_the_series(
    tmp_path: Path, others: tuple[str, ...], said: str
) -> None:
    migration(tmp_path, *others)
    assert said in lead(tmp_path).section


def test_a_number_in_use_is_not_taken_and_the_next_free_one_is_named(tmp_path: Path) -> None:
    migration(tmp_path, "012_other.sql", "040_far.sql")
    report = lead(tmp_path)
    assert report.outcome is Outcome.CANNOT
    assert report.tickets == ()
    assert "012_other.sql" in report.reason
    assert "041" in report.reason


def test_each_child_gets_the_criteria_that_are_about_its_files(tmp_path: Path) -> None:
    tables, loader = (t.text for t in lead(tmp_path).tickets)
    assert re.findall(r"^- \[ \] (.*)$", tables, re.MULTILINE) == [
        "`sql/012_beds.sql` exists.",
        "anon cannot read `bed_plan`",
    ]
    assert re.findall(r"^- \[ \] (.*)$", loader, re.MULTILINE) == [
        "`etl/load_beds.py` compiles.",
        "`etl/load_beds.py` runs without error",
    ]


def test_a_child_is_whole_and_its_head_can_be_read(tmp_path: Path) -> None:
    import frontmatter

    ticket = lead(tmp_path).tickets[0]
    head = frontmatter.loads(ticket.text).metadata
    assert ticket.filename == "WO-7a_The_bed_tables.md"
    assert head["title"] == 'The "bed" tables (child of WO-7)'
    assert (head["id"], head["status"], head["owner"]) == ("WO-7a", "03_BUILD", "SOOP")
    assert (head["parent"], head["priority"], head["failure_count"]) == ("WO-7", "HIGH", 0)
    assert head["pipeline_workflow"] == "workflows/beds.md"


def test_a_board_with_names_of_its_own_is_kept_to(tmp_path: Path) -> None:
    config = '[board.folders]\nBUILD = "03_MAKE"\n'
    (tmp_path / "orchestrate.toml").write_text(config, encoding="utf-8")
    assert "status: 03_MAKE" in lead(tmp_path).tickets[0].text


def test_twice_makes_nothing_twice(tmp_path: Path) -> None:
    for ticket in lead(tmp_path).tickets:
        place = tmp_path / "_WORK_ORDERS/03_BUILD"
        place.mkdir(exist_ok=True)
        (place / ticket.filename).write_text(ticket.text, encoding="utf-8")
    again = lead(tmp_path)
    assert again.tickets == ()
    assert "adopted as it is" in again.section


def test_8_4_a_migration_path_that_leaves_the_workspace_is_not_looked_at(tmp_path: Path) -> None:
    from orchestrator.errors import UnsafePathError

    with pytest.raises(UnsafePathError):
        lead(tmp_path, WORKFLOW.replace("sql/012_beds.sql", "../../012_beds.sql"))
