"""SOOP writes the migration that a stage or its ticket specifies, and proves it (DESIGN 5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrate_agents.soop import Soop
from orchestrate_agents.sql import prove as proofs
from orchestrate_agents.sql.parse import Migration, tables_of
from orchestrate_agents.sql.prove import prove
from orchestrate_agents.sql.scratch import Database
from orchestrator.domain.agent import Finding, Job, MemberInfo, Outcome, Report
from orchestrator.gates.checks import Services
from orchestrator.gates.proof_cache import user_proof_cache
from orchestrator.storage.atomic import sha256_file

FIXTURES = Path(__file__).parents[1] / "fixtures"
SQL = (FIXTURES / "sql" / "library_hours.sql").read_text(encoding="utf-8")
PATH = "db/changes/011_library_hours.sql"

WORKFLOW = f"""---
description: Opening hours
agents: [SOOP, BUILDER]
---

# Hours

## STAGE 1: SOOP — Tables

1. Read GO-7a in `_WORK_ORDERS/03_BUILD/`
2. Write `{PATH}` with:

```sql
{SQL}
```

**Done when:** `{PATH}` exists and passes schema validation.

## STAGE 2: BUILDER — Loader

Create `tools/load_library_hours.py`, which upserts to `library_hours`.

**Done when:** `tools/load_library_hours.py` exists.
"""
BARE = WORKFLOW.replace(f"with:\n\n```sql\n{SQL}\n```", "as the ticket says.")


def job(root: Path, workflow: str = WORKFLOW, **more: Any) -> Job:
    return Job(
        ticket="GO-7a",
        parent="GO-7",
        family=more.pop("family", ()),
        stage=1,
        agent="SOOP",
        workspace=str(root),
        workflow="workflows/hours.md",
        workflow_text=workflow,
        **more,
    )


def member(root: Path, text: str) -> tuple[MemberInfo, ...]:
    path = "_WORK_ORDERS/03_BUILD/GO-7a.md"
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")
    return (MemberInfo(id="GO-7a", path=path, status="03_BUILD", owner="SOOP"),)


def written(report: Report) -> dict[str, str]:
    return {a.path: a.sha256 for a in report.artifacts}


def test_the_migration_is_written_proven_and_explained(tmp_path: Path) -> None:
    report = Soop().work(job(tmp_path))
    file = tmp_path / PATH
    assert report.outcome is Outcome.DONE, report.reason
    assert [(a.path, a.sha256, a.state) for a in report.artifacts] == [
        (PATH, sha256_file(file), "written")
    ]
    assert report.section.startswith("## SOOP MIGRATION\n")
    assert "Applied twice without an error." in report.section
    assert "| `public.library_hours` | nothing | read | read, insert, update, delete |" in (
        report.section
    )
    with Services() as services:
        proof = prove(file.read_text(encoding="utf-8"), services)
    assert proof.catalog_equal


def test_the_gate_takes_over_what_soop_has_proven_of_the_very_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Soop().work(job(tmp_path))
    text, ran = (tmp_path / PATH).read_text(encoding="utf-8"), list[str]()
    run = proofs._run

    def told(database: Database, migration: Migration, base: Mapping[str, str]) -> dict[str, Any]:
        ran.append(migration.text)
        return run(database, migration, base)

    monkeypatch.setattr(proofs, "_run", told)
    for sql, runs in ((text, 0), (f"{text}\n-- another", 1)):
        with Services(user_proof_cache()) as services:
            assert proofs.prove(sql, services).catalog_equal
        assert len(ran) == runs


def test_a_seeded_table_gets_its_natural_key(tmp_path: Path) -> None:
    Soop().work(job(tmp_path))
    _, hours = tables_of((tmp_path / PATH).read_text(encoding="utf-8"))
    assert hours.uniques == (("isil", "weekday", "season"),)


def test_changes_are_told_with_the_lines_of_the_workflow(tmp_path: Path) -> None:
    report = Soop().work(job(tmp_path))
    line = (
        WORKFLOW.splitlines().index(
            'CREATE POLICY "hours for readers" ON public.library_hours FOR SELECT'
        )
        + 1
    )
    assert f"| {line} | policy `hours for readers` guarded" in report.section


def test_twice_gives_the_same_file_and_report(tmp_path: Path) -> None:
    first = Soop().work(job(tmp_path))
    again = Soop().work(job(tmp_path, written=written(first)))
    assert again == first


def test_words_that_change_nothing_are_answered_with_cannot(tmp_path: Path) -> None:
    first = Soop().work(job(tmp_path))
    again = Soop().work(job(tmp_path, written=written(first), words="add the postcode"))
    assert again.outcome is Outcome.CANNOT
    assert "“add the postcode”" in again.reason


def test_findings_that_change_nothing_are_answered_with_cannot(tmp_path: Path) -> None:
    first = Soop().work(job(tmp_path))
    finding = Finding(statement="Indexes exist on (postcode)", verdict="failed", detail="none")
    again = Soop().work(job(tmp_path, written=written(first), findings=(finding,)))
    assert again.outcome is Outcome.CANNOT
    assert "Indexes exist on (postcode)" in again.reason


def test_a_changed_specification_is_written_anew(tmp_path: Path) -> None:
    first = Soop().work(job(tmp_path))
    changed = WORKFLOW.replace("  note TEXT\n", "  note TEXT,\n  source TEXT\n")
    again = Soop().work(job(tmp_path, changed, written=written(first), words="add the source"))
    assert again.outcome is Outcome.DONE
    assert "source TEXT" in (tmp_path / PATH).read_text(encoding="utf-8")


def test_a_file_of_someone_else_is_proven_and_kept(tmp_path: Path) -> None:
    Soop().work(job(tmp_path))
    file = tmp_path / PATH
    file.write_text(file.read_text(encoding="utf-8") + "-- looked over\n", encoding="utf-8")
    before = file.read_bytes()
    report = Soop().work(job(tmp_path, written={PATH: "0" * 64}))
    assert (report.outcome, report.artifacts[0].state) == (Outcome.DONE, "kept")
    assert file.read_bytes() == before


def test_a_broken_file_of_someone_else_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / PATH
    file.parent.mkdir(parents=True)
    file.write_text("CREATE TABLE t (a int);", encoding="utf-8")
    report = Soop().work(job(tmp_path))
    assert report.outcome is Outcome.CANNOT
    assert "a second time: line 1" in report.reason
    assert file.read_text(encoding="utf-8") == "CREATE TABLE t (a int);"


def test_a_number_in_use_needs_a_person(tmp_path: Path) -> None:
    twin = (tmp_path / PATH).with_name("011_other.sql")
    twin.parent.mkdir(parents=True)
    twin.write_text("SELECT 1;", encoding="utf-8")
    report = Soop().work(job(tmp_path))
    assert report.outcome is Outcome.NEEDS_PERSON
    assert PATH in report.reason
    assert "011_other.sql" in report.reason
    assert "next free one is 012" in report.reason
    assert not (tmp_path / PATH).exists()


def test_the_specification_may_stand_in_the_ticket(tmp_path: Path) -> None:
    ticket = f"---\nid: GO-7a\n---\n\n### Deliverable 1: `{PATH}`\n\n```sql\n{SQL}```\n"
    report = Soop().work(job(tmp_path, BARE, family=member(tmp_path, ticket)))
    assert report.outcome is Outcome.DONE, report.reason
    assert "`_WORK_ORDERS/03_BUILD/GO-7a.md:7`" in report.section


def test_a_ticket_with_one_path_and_one_block_is_enough(tmp_path: Path) -> None:
    silent = BARE.replace(f"Write `{PATH}` as the ticket says.", "Write the migration.")
    ticket = f"---\nid: GO-7a\n---\n\nThe tables go into `{PATH}`.\n\n```sql\n{SQL}```\n"
    report = Soop().work(job(tmp_path, silent, family=member(tmp_path, ticket)))
    assert written(report).keys() == {PATH}


@pytest.mark.parametrize(
    ("workflow", "words"),
    [
        (BARE, "no SQL to be made from"),
        (WORKFLOW.replace("PRIMARY KEY,", "PRIMARY,", 1), "cannot be read"),
        (WORKFLOW.replace("REFERENCES public.libraries", "REFERENCES public.branches"), "branches"),
        (WORKFLOW.replace(PATH, "the tables"), "names no .sql file"),
    ],
)
def test_what_only_a_person_can_give_is_asked_for(
    workflow: str, words: str, tmp_path: Path
) -> None:
    report = Soop().work(job(tmp_path, workflow))
    assert report.outcome is Outcome.NEEDS_PERSON
    assert words in report.reason
    assert not (tmp_path / PATH).exists()


def test_a_syntax_error_is_placed_in_the_workflow(tmp_path: Path) -> None:
    broken = WORKFLOW.replace("  city TEXT NOT NULL,", "  city TEXT NOT,")
    report = Soop().work(job(tmp_path, broken))
    line = broken.splitlines().index("  city TEXT NOT,") + 1
    assert report.reason.startswith(f"workflows/hours.md:{line}: ")


def test_sql_that_the_server_refuses_fails_with_its_line(tmp_path: Path) -> None:
    wrong = WORKFLOW.replace("(city);", "(city, nothing);")
    report = Soop().work(job(tmp_path, wrong))
    assert report.outcome is Outcome.FAILED
    assert 'column "nothing" does not exist' in report.reason
    assert not (tmp_path / PATH).exists()


def test_earlier_migrations_of_the_folder_are_the_base(tmp_path: Path) -> None:
    old = (tmp_path / PATH).with_name("010_branches.sql")
    old.parent.mkdir(parents=True)
    old.write_text("CREATE TABLE branches (isil text PRIMARY KEY);", encoding="utf-8")
    building = WORKFLOW.replace("REFERENCES public.libraries", "REFERENCES public.branches")
    report = Soop().work(job(tmp_path, building))
    assert report.outcome is Outcome.DONE, report.reason
    assert "Base schema needed: public.branches" in report.section
    assert "1 of 1 earlier migrations" in report.section


def test_a_workflow_of_another_make_is_served_too(tmp_path: Path) -> None:
    text = (FIXTURES / "workflows" / "library-hours.md").read_text(encoding="utf-8")
    report = Soop().work(job(tmp_path, text))
    assert report.outcome is Outcome.DONE, report.reason
    (path,) = written(report)
    _, hours = tables_of((tmp_path / path).read_text(encoding="utf-8"))
    assert hours.uniques == (("branch_code", "weekday"),)
