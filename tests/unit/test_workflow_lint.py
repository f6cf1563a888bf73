"""`workflow check` (DESIGN 4.5): each rule on a workflow with the fault and on one without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.workflow_lint import LintContext, LintFinding, base, lint_rule, linter
from orchestrator.workflow_lint.linter import check_workflow
from orchestrator.workflow_reader.parser import read_workflow, read_workflow_text

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "workflows"
SEED = ROOT.parent / "shared" / "seeds" / "data-seeding-pipeline.md"
AGENTS = {"LEAD", "SOOP", "BUILDER", "ANALYST", "INSPECTOR"}
FOLDERS = {"00_INBOX", "01_TRIAGE", "03_BUILD", "04_QA", "05_USER_REVIEW", "06_COMPLETE"}

#: a workflow that leaves nothing to ask
SOUND = """\
---
agents: [LEAD, SOOP, USER, BUILDER]
---

# Roads

There are two checkpoints, at stages 3 and 5.

## STAGE 1: LEAD — Split

1. Split WO-4:
   - **WO-4a** → SOOP (table)
   - **WO-4b** → BUILDER (loader)
2. Create WO-4a in `03_BUILD` for SOOP, WO-4b in `01_TRIAGE` for BUILDER.

**Done when:** WO-4a in `03_BUILD`

## STAGE 2: SOOP — Table

1. Read WO-4a in `03_BUILD`.
2. Write `db/007_roads.sql`; 007 is the next free number:

   ```sql
   create table roads (name text primary key);
   ```

**Done when:** `db/007_roads.sql` exists.

## STAGE 3: USER CHECKPOINT #1 — Table

**Done when:** USER approves.

## STAGE 4: BUILDER — Loader

1. Read WO-4b in `03_BUILD`.
2. Create `tools/roads.py`, which fills `roads`.

**Done when:** `tools/roads.py` exists.

## STAGE 5: USER CHECKPOINT #2 — Load

1. Run it:

   ```bash
   python tools/roads.py
   ```

   ```sql
   select count(*) from public.roads;
   ```

**Done when:** USER confirms the count.

## Summary

```
[LEAD] → [SOOP] → checkpoint 1 → [BUILDER] → checkpoint 2
```
"""


def doubts(text: str, root: Path = FIXTURES) -> list[LintFinding]:
    workflow = read_workflow_text(text, Path("w.md"), variables={"id": "WO-4"})
    return check_workflow(workflow, root=root, agents=AGENTS, folders=FOLDERS)


def changed(*pairs: tuple[str, str]) -> str:
    text = SOUND
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def line_of(text: str, words: str) -> int:
    return next(i for i, line in enumerate(text.split("\n"), 1) if words in line)


def test_a_sound_workflow_raises_no_doubt() -> None:
    assert doubts(SOUND) == []


@pytest.mark.parametrize(
    ("code", "at", "old", "new"),
    [
        ("checkpoint-position", "two checkpoints", "stages 3 and 5", "stages 3 and 4"),
        (
            "checkpoint-position",
            "is a checkpoint",
            "There are",
            "Stage 4 is a checkpoint. There are",
        ),
        ("wrong-count", "two checkpoints", "There are two", "In all three stages: two"),
        ("unknown-stage", "see stage 8", "There are", "For the rest see stage 8. There are"),
        ("unknown-checkpoint", "checkpoint #3", "There are", "Wait for checkpoint #3. There are"),
        (
            "stage-without-done-when",
            "STAGE 4",
            "**Done when:** `tools/roads.py` exists.",
            "- [ ] It is",
        ),
        ("stage-without-statement", "STAGE 4", "**Done when:** `tools/roads.py` exists.", ""),
        (
            "build-before-checkpoint",
            "2. Create WO-4a",
            "WO-4b in `01_TRIAGE`",
            "WO-4b in `03_BUILD`",
        ),
        ("summary-omits-checkpoint", "[LEAD] →", " → checkpoint 1", ""),
        ("summary-omits-agent", "the split →", "[LEAD] → ", "the split → "),
        (
            "summary-parallel",
            "[SOOP]",
            "[SOOP] → checkpoint 1 → [BUILDER]",
            "checkpoint 1 [SOOP]    [BUILDER]",
        ),
        (
            "summary-parallel",
            "SOOP │",
            "[SOOP] → checkpoint 1 → [BUILDER]",
            "checkpoint 1 SOOP │ BUILDER",
        ),
        ("list-numbering", "5. Create `tools", "2. Create `tools", "5. Create `tools"),
        ("list-numbering", "3. Read WO-4b", "1. Read WO-4b", "3. Read WO-4b"),
        ("list-numbering", "2. Create `tools", "2. Create `tools", "\nMore.\n\n2. Create `tools"),
        ("list-numbering", "1. Create `tools", "2. Create `tools", "\nMore.\n\n1. Create `tools"),
        ("stage-gap", "STAGE 6", "STAGE 5: USER", "STAGE 6: USER"),
        ("checkpoint-number", "CHECKPOINT #4", "CHECKPOINT #2", "CHECKPOINT #4"),
        ("user-stage", "STAGE 5", "USER CHECKPOINT #2 —", "USER —"),
        ("heading-not-a-stage", "## Stage five", "## Summary", "## Stage five\n\n## Summary"),
        ("unknown-agent", "STAGE 4", "STAGE 4: BUILDER", "STAGE 4: BUIDLER"),
        ("unknown-agent", "DESIGNER", "1. Read WO-4b", "DESIGNER creates `x.md`.\n\n1. Read WO-4b"),
        ("agent-without-stage", "[ANALYST, LEAD", "[LEAD,", "[ANALYST, LEAD,"),
        ("unknown-folder", "2. Create WO-4a", "`01_TRIAGE`", "`09_SOMEDAY`"),
        ("unknown-path", "`tools/road.py`", "USER confirms", "`tools/road.py` runs, USER confirms"),
        ("unknown-path", "python tools/road.py", "python tools/roads.py", "python tools/road.py"),
        ("unsafe-path", "../secret.txt", "USER confirms", "`../secret.txt` is gone, USER confirms"),
        (
            "unsafe-path",
            "/etc/passwd.txt",
            "Create `tools/roads.py`",
            "Create `/etc/passwd.txt` and `tools/roads.py`",
        ),
        ("delivered-twice", "again", "1. Read WO-4b", "1. Write `db/007_roads.sql` again"),
        (
            "need-not-met",
            "ANALYST will",
            "1. Read WO-4b",
            "ANALYST will provide `d.csv`.\n\n1. Read WO-4b",
        ),
        ("unknown-workflow", "`/ship`", "1. Run it", "1. Run `/ship` workflow"),
        ("table-not-seeded", "count(*)", "from public.roads", "from public.bridges"),
        ("unknown-ticket", "STAGE 4", "1. Read WO-4b", "1. Read WO-9"),
        ("child-without-stage", "**WO-4b**", "1. Read WO-4b in `03_BUILD`.", "1. Begin."),
        ("yaml-colon", "a: b", "agents: [LEAD", "description: a: b\nagents: [LEAD"),
    ],
)
def test_4_5_each_doubt_is_raised_at_its_line(code: str, at: str, old: str, new: str) -> None:
    text = changed((old, new))
    found = [d for d in doubts(text) if d.code == code]
    above = code.startswith("summary-omits")
    assert line_of(text, at) - above in {d.line for d in found}
    assert all(d.message and d.hint for d in found)


ANALYST_STAGE = "## STAGE 5: ANALYST — Names (parallel with STAGE 4)\n\n**Done when:** x holds"
PARALLEL = changed(
    ("## STAGE 5: USER", ANALYST_STAGE + "\n\n## STAGE 6: USER"),
    ("[LEAD, SOOP", "[ANALYST, LEAD, SOOP"),
    ("stages 3 and 5", "stages 3 and 6"),
    ("[BUILDER] →", "[BUILDER]   [ANALYST] →"),
)


def test_4_5_what_the_documentation_shows_raises_no_doubt() -> None:
    page = (ROOT / "docs/workflows.md").read_text(encoding="utf-8")
    forms = (
        "(Parallel with STAGE 4)",
        "``Write `path` with:``",
        "``**WO-7a** → SOOP (schema)``",
        "``Move WO-7a to `04_QA` ``",
    )
    assert all(form in page for form in forms)
    assert doubts(PARALLEL.replace("; 007 is the next free number", " with:")) == []


def test_4_5_a_stage_can_run_beside_one_other_stage_and_no_checkpoint() -> None:
    several = PARALLEL.replace("parallel with STAGE 4", "parallel with stages 3 and 4")
    codes = {d.code for d in doubts(several)}
    assert {"parallel-with-several", "parallel-with-checkpoint"} <= codes


def test_4_5_a_need_is_met_before_or_beside_the_stage() -> None:
    asked = ("1. Read WO-4b", "ANALYST will provide `d.csv`.\n\n1. Read WO-4b")
    beside = PARALLEL.replace(*asked).replace(
        "**Done when:** x holds", "In parallel, create `d.csv`.\n\n**Done when:** x holds"
    )
    assert doubts(beside) == []
    later = beside.replace(" (parallel with STAGE 4)", "").replace("In parallel, create", "Create")
    assert "need-not-met" in {d.code for d in doubts(later)}


def test_4_5_files_that_exist_are_no_doubt(tmp_path: Path) -> None:
    text = changed(("USER confirms", "`docs/roads.txt` is read, USER confirms"))
    assert [d.code for d in doubts(text, tmp_path)] == ["unknown-path"]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "roads.txt").write_text("x", encoding="utf-8")
    assert doubts(text, tmp_path) == []


def test_4_5_a_number_that_another_file_has_is_taken(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "007_roads.sql").write_text("", encoding="utf-8")
    assert doubts(SOUND, tmp_path) == []
    (tmp_path / "db" / "7_rivers.sql").write_text("", encoding="utf-8")
    found = doubts(SOUND, tmp_path)
    assert [d.code for d in found] == ["number-taken"]
    assert "7_rivers.sql" in found[0].message


def test_4_5_a_module_imported_by_path_must_come_from_somewhere(tmp_path: Path) -> None:
    block = 'Create `web/roads.ts`:\n\n   ```ts\n   import { db } from "./client";\n   ```\n'
    text = changed(("2. Create `tools/roads.py`", f"2. {block}\n3. Create `tools/roads.py`"))
    found = doubts(text, tmp_path)
    assert [(d.code, d.line) for d in found] == [("unknown-path", line_of(text, "./client"))]
    assert doubts(text.replace("3. Create", "3. Create `web/client.ts` and"), tmp_path) == []


def test_4_5_a_table_may_be_filled_by_the_migration_itself() -> None:
    text = changed(
        ("from public.roads", "from bridges"),
        ("create table roads", "insert into bridges values (1); create table roads"),
    )
    assert doubts(text) == []


def test_4_5_the_board_may_know_folders_by_a_function() -> None:
    workflow = read_workflow_text(SOUND, Path("w.md"))
    found = check_workflow(
        workflow, root=FIXTURES, agents=AGENTS, folders=lambda name: "BUILD" in name
    )
    assert [d.code for d in found] == ["unknown-folder"]


def test_4_5_a_file_in_a_fence_with_broken_frontmatter_says_both() -> None:
    workflow = read_workflow(FIXTURES / "whole-file-in-fence.md")
    found = check_workflow(workflow, root=ROOT, agents=AGENTS, folders=FOLDERS)
    assert [(d.code, d.line) for d in found] == [("file-in-fence", 1), ("yaml-colon", 3)]


def test_4_5_another_sound_workflow_differs_in_its_folders_only() -> None:
    workflow = read_workflow(FIXTURES / "library-hours.md")
    found = check_workflow(workflow, root=ROOT, agents=AGENTS, folders=FOLDERS)
    assert [(d.code, d.line) for d in found] == [("unknown-folder", n) for n in (20, 21, 42, 101)]


@pytest.mark.parametrize("name", ["data-seeding-pipeline.md", "work-order.md"])
def test_the_repositorys_own_workflows_raise_no_doubt(name: str) -> None:
    variables = {"id": "WO-512", "owner": "BUILDER"}
    workflow = read_workflow(ROOT / "workflows" / name, root=ROOT, variables=variables)
    assert check_workflow(workflow, root=ROOT, agents=AGENTS, folders=FOLDERS) == []


def test_a_package_adds_rules_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "RULES", dict(base.RULES))
    monkeypatch.setattr(linter, "RULES", base.RULES)

    @lint_rule
    def check_title(context: LintContext) -> Iterator[LintFinding]:
        """Titles that say nothing."""
        for stage in context.workflow.stages:
            if stage.title == "Split":
                yield LintFinding("dull-title", stage.line, "the title is dull", "write another")

    assert [(d.code, d.line) for d in doubts(SOUND)] == [("dull-title", line_of(SOUND, "STAGE 1"))]


@pytest.mark.skipif(not SEED.exists(), reason="the original documents are not here")
def test_the_original_pipelines_faults_are_named(tmp_path: Path) -> None:
    found = check_workflow(read_workflow(SEED), root=tmp_path, agents=AGENTS, folders=FOLDERS)
    assert [(d.code, d.line) for d in found] == [
        ("checkpoint-position", 9),
        ("build-before-checkpoint", 33),
        ("list-numbering", 142),
        ("unknown-path", 274),
        ("list-numbering", 322),
        ("stage-without-done-when", 357),
        ("table-not-seeded", 403),
        ("unknown-workflow", 406),
        ("summary-omits-checkpoint", 414),
        ("summary-parallel", 419),
    ]


def test_4_7_the_hint_of_an_approval_in_the_middle_of_a_stage_works() -> None:
    steps = "1. Code it.\n2. Get sign-off from the client.\n3. Merge."
    text = f"# F\n\n## Step 1: Build\n\n{steps}\n\n## Step 2: Ship\n"
    (gate,) = [d for d in doubts(text) if d.code == "human-gate"]
    heading = re.findall(r"`(.+?)`", gate.hint)[0]
    lines = text.split("\n")
    lines[gate.line : gate.line] = ["", "## Step 1b: Merge", ""]
    lines[gate.line - 1 : gate.line - 1] = ["", heading, ""]
    mended = "\n".join(lines)
    assert [d for d in doubts(mended) if d.code == "human-gate"] == []
    stages = read_workflow_text(mended, Path("w.md")).stages
    assert [stage.is_checkpoint for stage in stages] == [False, True, False, False]
