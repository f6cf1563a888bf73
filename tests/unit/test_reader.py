"""The workflow reader (DESIGN 4): every field of a stage, on two workflows that share no word."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.workflow import (
    ChildSpec,
    Metric,
    Need,
    StatementKind,
    Workflow,
)
from orchestrator.errors import WorkflowError
from orchestrator.workflow_reader.parser import read_workflow, read_workflow_text, render_family_ids
from tests.stages import by_path, one_stage, paths, text_of

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "workflows"
OWN = ROOT / "workflows" / "data-seeding-pipeline.md"
SEED = ROOT.parent / "shared" / "seeds" / "data-seeding-pipeline.md"


def error_of(text: str) -> WorkflowError:
    with pytest.raises(WorkflowError) as caught:
        read_workflow_text(text, Path("w.md"))
    return caught.value


@pytest.fixture(scope="module")
def library() -> Workflow:
    return read_workflow(FIXTURES / "library-hours.md", root=ROOT)


@pytest.fixture(scope="module")
def own() -> Workflow:
    return read_workflow(OWN, root=ROOT)


# -- headings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "number", "agent", "title"),
    [
        ("## STAGE 2: SOOP — Tables", 2, "SOOP", "Tables"),
        ("# Stage 2 - soop: Tables: all", 2, "SOOP", "Tables: all"),
        ("##### 🚀 **STAGE 2** – SOOP – Tables", 2, "SOOP", "Tables"),
        ("### STAGE 2 SOOP: Tables", 2, "SOOP", "Tables"),
        ("## stage #2: SOOP", 2, "SOOP", ""),
        ("## STAGE 12 · DATA-ENGINEER · Load", 12, "DATA-ENGINEER", "Load"),
    ],
)
def test_4_1_a_stage_heading_in_any_level_case_and_dash(
    heading: str, number: int, agent: str, title: str
) -> None:
    stage = one_stage("Do it.", heading)
    assert (stage.number, stage.agent, stage.title) == (number, agent, title)


def test_4_1_a_checkpoint_carries_its_number_or_gets_the_next() -> None:
    workflow = read_workflow_text(
        text_of(
            "## STAGE 1: USER CHECKPOINT #2 — Second",
            "## Stage 2 - User checkpoint: First",
            "## STAGE 3: USER — Final",
        ),
        Path("w.md"),
    )
    assert [(s.agent, s.checkpoint) for s in workflow.stages] == [
        ("USER", 2),
        ("USER", 3),
        ("USER", 4),
    ]


def test_4_1_a_tick_makes_a_stage_ready_and_never_a_checkpoint() -> None:
    workflow = read_workflow_text(
        text_of("## STAGE 0: ANALYST — Research ✅", "## STAGE 1: USER CHECKPOINT #1 — Look ✅"),
        Path("w.md"),
    )
    assert [(s.ready, s.title) for s in workflow.stages] == [(True, "Research"), (False, "Look")]


@pytest.mark.parametrize(
    "words",
    [
        "(Parallel with STAGE 1)",
        "(in parallel with stage 1)",
        "— runs beside stage 1",
        "(parallel with stages 1 and 2)",
    ],
)
def test_4_1_parallel_with_is_read_and_leaves_the_title(words: str) -> None:
    workflow = read_workflow_text(
        text_of(
            "## STAGE 1: BUILDER — Build",
            "## STAGE 2: SOOP — Tables",
            f"## STAGE 3: ANALYST — Seed {words}",
        ),
        Path("w.md"),
    )
    assert (workflow.stages[2].parallel_with, workflow.stages[2].title) == (1, "Seed")


def test_4_1_stages_run_in_order_of_number() -> None:
    workflow = read_workflow_text(
        text_of("## STAGE 2: SOOP — B", "## STAGE 1: LEAD — A"), Path("w.md")
    )
    assert [s.number for s in workflow.stages] == [1, 2]
    assert workflow.stages[0].line == 3


def test_4_1_headings_in_fences_comments_and_quotes_are_content() -> None:
    text = """\
## STAGE 1: BUILDER — Build

~~~md
## STAGE 2: BUILDER — in a fence
~~~

- item
  ```
  ## STAGE 3: BUILDER — in a nested fence
  ```

<!--
## STAGE 4: BUILDER — in a comment
-->

> ## STAGE 5: BUILDER — quoted

    ## STAGE 6: BUILDER — indented code
"""
    assert [s.number for s in read_workflow_text(text, Path("w.md")).stages] == [1]


def test_4_1_a_stage_ends_with_its_section() -> None:
    workflow = read_workflow_text(
        text_of(
            "## STAGE 1: BUILDER — x", "### Notes", "Create `a.py`.", "## Summary", "Create `b.py`."
        ),
        Path("w.md"),
    )
    assert paths(workflow.stages[0]) == ["a.py"]
    assert "Summary" not in workflow.stages[0].text


def test_4_1_a_rule_right_below_a_done_when_makes_no_heading() -> None:
    workflow = read_workflow_text(
        text_of(
            "## STAGE 1: BUILDER — A\n\n**Done when:** `a.py` exists.\n---",
            "## STAGE 2: BUILDER — B\n\n**Done when:** `b.py` exists.\n---",
        ),
        Path("w.md"),
    )
    assert [s.statements[0].text for s in workflow.stages] == ["`a.py` exists.", "`b.py` exists."]


# -- what cannot be read ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("# Notes\n\nNo stages here.\n", "no-stage", 1),
        ("", "no-stage", 1),
        ("## STAGE 1: LEAD — A\n\n## STAGE 1: SOOP — B\n", "duplicate-stage", 3),
        ("## STAGE 1: LEAD — A (parallel with STAGE 7)\n", "parallel-unknown", 1),
        ("## STAGE 1: LEAD — A (parallel with STAGE 1)\n", "parallel-unknown", 1),
        ("## STAGE 1: LEAD — A\n\n## USER CHECKPOINT #1 — B\n", "checkpoint-without-number", 3),
        ("## STAGE 1: the database — A\n", "stage-without-agent", 1),
        ("## STAGE 1: SOOP + BUILDER — A\n", "stage-without-agent", 1),
        ("## STAGE 1.5: SOOP — A\n", "stage-number", 1),
        ("## STAGE 1: LEAD — A\n\n```sql\nx\n\n## STAGE 2: SOOP — B\n", "unclosed-fence", 3),
    ],
)
def test_4_7_what_cannot_be_understood_is_an_error_with_its_line(
    text: str, code: str, line: int
) -> None:
    error = error_of(text)
    assert (error.code, error.line, error.path) == (code, line, "w.md")
    assert error.hint


def test_4_7_files_that_are_no_workflow_are_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.md"
    large.write_text("## STAGE 1: LEAD — A\n" + "x" * 1_000_001, encoding="utf-8")
    latin = tmp_path / "latin.md"
    latin.write_bytes("## STAGE 1: LEAD — A\n\ngr".encode() + b"\xfc\n")
    found = {}
    for path in (tmp_path / "none.md", tmp_path, large, latin):
        with pytest.raises(WorkflowError) as caught:
            read_workflow(path)
        found[path.name] = (caught.value.code, caught.value.line)
    assert found == {
        "none.md": ("no-such-workflow", None),
        tmp_path.name: ("no-such-workflow", None),
        "large.md": ("too-large", None),
        "latin.md": ("not-utf8", 3),
    }


def test_4_7_a_file_with_broken_frontmatter_inside_a_fence_is_still_read() -> None:
    workflow = read_workflow(FIXTURES / "whole-file-in-fence.md")
    assert [(s.number, s.agent, s.line) for s in workflow.stages] == [
        (1, "BUILDER", 9),
        (2, "USER", 19),
    ]
    assert workflow.agents == ("BUILDER", "USER")
    assert by_path(workflow.stages[0])["a/b.py"].block is not None
    assert workflow.stages[1].blocks == ()


def test_lines_are_those_of_the_file_with_any_line_end() -> None:
    text = (FIXTURES / "library-hours.md").read_text(encoding="utf-8")
    expected = read_workflow_text(text, Path("w.md"))
    for end in ("\r\n", "\r"):
        found = read_workflow_text("\ufeff" + text.replace("\n", end), Path("w.md"))
        assert found.stages == expected.stages
        assert found.metrics == expected.metrics


# -- whole workflows -------------------------------------------------------------------------


def test_another_workflow_in_other_words_is_read_whole(library: Workflow) -> None:
    plan, tables, look, loader, hours, gate, load = library.stages
    assert library.title == "Opening hours"
    assert [s.agent for s in library.stages] == [
        "LEAD", "SOOP", "USER", "BUILDER", "ANALYST", "INSPECTOR", "USER",
    ]  # fmt: skip
    assert plan.children == (
        ChildSpec("GO-77a", "SOOP", "tables for branches and hours", 17),
        ChildSpec("GO-77b", "BUILDER", "loader and lookup", 18),
    )
    assert [(m.members, m.folder, m.owner) for m in plan.moves] == [
        (("GO-77",), "02_TRIAGE", ""),
        (("GO-77a",), "04_BUILD", "SOOP"),
        (("GO-77b",), "02_TRIAGE", "BUILDER"),
    ]
    assert [s.members for s in library.stages[1:6]] == [
        ("GO-77a",), (), ("GO-77b",), (), ("GO-77a", "GO-77b"),
    ]  # fmt: skip
    assert [(look.checkpoint, load.checkpoint), hours.parallel_with] == [(1, 2), 3]
    sql = by_path(tables)["db/changes/0012_library_hours.sql"].block
    assert sql is not None
    assert sql.text.startswith("CREATE TABLE library_branch")
    assert paths(loader) == ["tools/load_hours.py", "web/hours.ts"]
    assert loader.needs == (Need("ANALYST", "data/library_hours.csv", 58),)
    assert [s.text for s in loader.statements] == [
        "`tools/load_hours.py` compiles",
        "`web/hours.ts` has no TypeScript errors",
    ]
    schema = by_path(hours)["data/library_hours.csv"].block
    assert schema is not None
    assert schema.text.strip() == "branch_code, weekday, opens, closes"
    assert gate.moves[0].members == ("GO-77a", "GO-77b")
    assert gate.on_fail == "return the ticket to its maker."
    assert [b.language for b in load.blocks] == ["sh", "sql"]
    assert library.metrics == (Metric("library_hours count", "at least 14", "USER", 125),)
    assert library.stages[0].statements[0].source == "tests/fixtures/workflows/library-hours.md"


def test_the_repositorys_own_workflow_is_read_whole(own: Workflow) -> None:
    assert [s.agent for s in own.stages] == [
        "ANALYST", "LEAD", "SOOP", "USER", "BUILDER", "ANALYST", "INSPECTOR", "USER",
    ]  # fmt: skip
    assert [s.number for s in own.checkpoints] == [3, 7]
    made = {d.path: (s.number, d.block is not None) for s, d in own.deliverables}
    assert made == {
        "migrations/059_global_benchmark_tables.sql": (2, True),
        "backend/scripts/seed_benchmark_trials.py": (4, True),
        "backend/scripts/seed_benchmark_cohorts.py": (4, False),
        "backend/scripts/seed_population_baselines.py": (4, False),
        "src/lib/supabaseClient.ts": (4, False),
        "src/lib/benchmarks.ts": (4, True),
        "backend/data/benchmark_cohorts_seed.csv": (5, True),
        "backend/data/population_baselines_seed.csv": (5, True),
    }
    assert all(any(s.kind is StatementKind.DONE_WHEN for s in g.statements) for g in own.stages)
    for stage in own.stages:
        assert own.text.split("\n")[stage.line - 1] == stage.text.split("\n")[0]


def test_the_text_reads_again_to_the_same_workflow(own: Workflow, library: Workflow) -> None:
    for workflow in (own, library):
        again = read_workflow_text(workflow.text, workflow.path, root=ROOT)
        assert (again.stages, again.metrics, again.sha256) == (
            workflow.stages,
            workflow.metrics,
            workflow.sha256,
        )


@pytest.mark.skipif(not SEED.exists(), reason="the original documents are not here")
def test_the_original_pipeline_is_read_as_it_is() -> None:
    workflow = read_workflow(SEED)
    assert [(s.number, s.agent, s.line) for s in workflow.stages] == [
        (0, "ANALYST", 13), (1, "LEAD", 20), (2, "SOOP", 39), (3, "USER", 149),
        (4, "BUILDER", 168), (5, "ANALYST", 328), (6, "INSPECTOR", 357), (7, "USER", 386),
    ]  # fmt: skip
    assert [s.ready for s in workflow.stages] == [True] + [False] * 7
    assert [s.members for s in workflow.stages] == [
        (), (), ("WO-231a",), (), ("WO-231b",), (), ("WO-231a", "WO-231b"), (),
    ]  # fmt: skip
    made = {
        d.path: (s.number, d.line, d.block.line if d.block else 0) for s, d in workflow.deliverables
    }
    assert made == {
        "migrations/059_global_benchmark_tables.sql": (2, 44, 46),
        "backend/scripts/seed_benchmark_trials.py": (4, 173, 174),
        "backend/scripts/seed_benchmark_cohorts.py": (4, 269, 0),
        "src/lib/benchmarks.ts": (4, 272, 273),
        "backend/data/benchmark_cohorts_seed.csv": (5, 330, 346),
    }
    assert workflow.stages[4].needs == (
        Need("ANALYST", "backend/data/benchmark_cohorts_seed.csv", 269),
    )
    assert [len(s.statements) for s in workflow.stages] == [1, 1, 1, 1, 1, 1, 14, 2]
    assert [len(s.moves) for s in workflow.stages] == [0, 3, 1, 0, 1, 0, 1, 0]
    assert len(workflow.metrics) == 6


# -- templates -------------------------------------------------------------------------------

TEMPLATE = (
    "---\ntemplate: true\n---\n## STAGE 1: {{ owner | upper }} — Do {{ id }}\n\nRead {{ id }}.\n"
)


def test_4_4_a_template_serves_any_ticket() -> None:
    variables = {"id": "WO-7", "owner": "builder"}
    workflow = read_workflow(ROOT / "workflows" / "work-order.md", root=ROOT, variables=variables)
    assert [(s.agent, s.checkpoint) for s in workflow.stages] == [
        ("LEAD", None), ("BUILDER", None), ("INSPECTOR", None), ("USER", 1),
    ]  # fmt: skip
    assert all(s.members == () for s in workflow.stages)
    assert {m.members for s in workflow.stages for m in s.moves} == {("WO-7",)}
    assert read_workflow_text(workflow.text, workflow.path, root=ROOT).stages == workflow.stages


def test_4_4_only_a_declared_template_is_rendered() -> None:
    block = (
        read_workflow(FIXTURES / "one-ticket.md", variables={"id": "WO-512"}).stages[0].blocks[0]
    )
    assert block.text == '{"layer": "{{ not a template }}"}\n'


def test_8_4_a_value_is_never_rendered_and_opens_no_new_line() -> None:
    values = {"id": "WO-7\n## STAGE 2: EVIL — x", "owner": "{{ 7*7 }}"}
    text = render_family_ids("---\ntemplate: true\n---\n{{ id }} {{ owner }}\n", values)
    assert text.split("\n")[3] == "WO-7 ## STAGE 2: EVIL — x {{ 7*7 }}"
    assert read_workflow_text(text + "## STAGE 1: LEAD — x\n", Path("w.md")).text.startswith(text)
    workflow = read_workflow_text(TEMPLATE, Path("w.md"), variables={**values, "owner": "SOOP"})
    assert [s.agent for s in workflow.stages] == ["SOOP"]
    assert workflow.meta["template"] == "rendered"


@pytest.mark.parametrize(
    "expression",
    [
        "{{ nobody }}",
        "{{ id.__class__ }}",
        "{{ id * 99999999 }}",
        "{% for i in range(9) %}{% endfor %}",
        "{{ id | replace('W', 'x') }}",
        "{{ id | trim('W') }}",
        "{{ id",
        "{% include 'x' %}",
    ],
)
def test_8_4_a_template_holds_names_and_plain_filters_only(expression: str) -> None:
    text = f"---\ntemplate: true\n---\n## STAGE 1: LEAD — x\n\n{expression}\n"
    with pytest.raises(WorkflowError) as caught:
        read_workflow_text(text, Path("w.md"), variables={"id": "WO-7"})
    assert (caught.value.code, caught.value.line) == ("template", 6)


# -- hostile input ---------------------------------------------------------------------------

FRAGMENTS = st.sampled_from(
    [
        "## STAGE 1: LEAD — A", "## STAGE 2: USER CHECKPOINT #1 — B (parallel with STAGE 1)",
        "Stage 3", "---", "```sql", "~~~", "```", "- [ ] box", "1. Create `a/b.py`:", "   ```py",
        "**Done when:** x", "**If PASS:**", "**Part A:**", "> quote", "| a | b |", "|---|---|",
        "| Metric | Target |", "Move WO-1a to `04_QA` for X", "- **WO-1a** → SOOP (x", "<!--",
        "agents: [", "template: true", "{{ id }}", "\t", "Do NOT", "\u2028", "\x00", "===", "",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.text(max_size=400),
        st.lists(st.one_of(FRAGMENTS, st.text(max_size=20)), max_size=25).map("\n".join),
    )
)
def test_the_reader_raises_nothing_but_workflow_errors(text: str) -> None:
    try:
        workflow = read_workflow_text(text, Path("w.md"), variables={"id": "WO-1"})
    except WorkflowError:
        return
    last = workflow.text.count("\n") + 1
    lines = [s.line for g in workflow.stages for s in (g, *g.statements, *g.deliverables)]
    assert all(1 <= line <= last for line in lines)


@settings(max_examples=60, deadline=None)
@given(
    fence=st.sampled_from(["```", "~~~~", "`````"]),
    language=st.sampled_from(["", "sql", "markdown"]),
    inside=st.lists(
        st.builds(
            "{} STAGE {}: {} — x".format,
            st.sampled_from(["#", "##", "######"]),
            st.integers(2, 99),
            st.sampled_from(["LEAD", "USER CHECKPOINT #1"]),
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_headings_in_fences_never_make_stages(fence: str, language: str, inside: list[str]) -> None:
    lines = "\n".join(inside)
    text = f"## STAGE 1: LEAD — A\n\n{fence}{language}\n{lines}\n{fence}\n\n**Done when:** x\n"
    workflow = read_workflow_text(text, Path("w.md"))
    assert [s.number for s in workflow.stages] == [1]
    assert workflow.stages[0].blocks[0].text == lines + "\n"
    assert workflow.stages[0].statements[0].line == 6 + len(inside)
