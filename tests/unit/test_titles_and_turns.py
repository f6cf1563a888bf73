"""Headings of criteria in all but their mark, and words beside criteria that turn them."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.gates.binding import Binder
from orchestrator.gates.loading import load_checks
from orchestrator.tickets.criteria import Criteria, read_criteria
from orchestrator.tickets.criteria_headings import criteria_in_keys
from orchestrator.workflow_reader.parser import read_workflow_text

POINT = "`p` exists"
BINDER = Binder(load_checks(None))


def read(text: str) -> Criteria:
    lines = [f"{line}\n" for line in f"# Title\n\n{text}".split("\n")]
    return read_criteria(lines, 0, source="a.md", ticket="WO-1")


def bound(text: str) -> list[bool]:
    """Of each criterion, whether a check proves it."""
    said = read(text).statements
    return [all(claim.check for claim in BINDER.bind(statement.text)) for statement in said]


@pytest.mark.parametrize(
    "title",
    [
        "Acceptance Criteria",
        "ACCEPTANCE CRITERIA",
        "AC",
        "*Acceptance Criteria*",
        "**Acceptance Criteria** (see Figma)",
        "✅ **Acceptance Criteria**",
        "1. Acceptance Criteria",
        "- Acceptance Criteria",
        "<strong>Acceptance Criteria:</strong>",
        "Acceptance Criteria<br>",
        "> **Acceptance Criteria**",
        "== Acceptance Criteria ==",
        "*{color:#172b4d}Acceptance Criteria{color}*",
        "{panel:title=Acceptance Criteria}",
        "Done when all of these hold:",
        "We are done when:",
        "The ticket is done when the following hold:",
        "Definition of done is:",
        "Done when",
    ],
)
@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_a_line_that_is_a_title_of_criteria_heads_them(title: str, gap: str) -> None:
    assert bound(f"As a user.\n\n{title}{gap}- {POINT}\n- the rest\n") == [True, False]


@pytest.mark.parametrize(
    "line",
    [
        "Requirements for the import are in the wiki.",
        "Acceptance testing was done by Maya.",
        "The importer works.",
    ],
)
def test_a_sentence_heads_nothing(line: str) -> None:
    assert not read(f"{line}\n\n- {POINT}\n").statements


def test_among_criteria_a_line_is_one_itself() -> None:
    text = f"## Acceptance criteria\n\n- Acceptance tests pass for all browsers\n  - {POINT}\n"
    assert bound(text) == [False, True]


@pytest.mark.parametrize("name", ["`gone.md`", "gone.md", "`old/none.txt`", "`rm -rf without`"])
def test_a_name_turns_nothing(name: str) -> None:
    said = read(f"## Requirements\n\n{name} exists\n\n- [x] {POINT}\n").statements
    assert [statement.text for statement in said] == [f"{name} exists", POINT]


def test_numbered_items_of_jira_are_no_headings() -> None:
    text = f"h3. Acceptance Criteria\n\n# {POINT}\n# second\n## nested\n\nh3. Notes\n\n# other\n"
    assert [s.text for s in read(text).statements] == [POINT, "second", "nested"]
    # elsewhere `##` is markdown's
    text = f"h3. Acceptance Criteria\n\n* {POINT}\n\n## Notes\n\n* other\n"
    assert [s.text for s in read(text).statements] == [POINT]


@pytest.mark.parametrize(
    "heading",
    [
        "Acceptance criteria (optional)",
        "Acceptance criteria — out of scope",
        "Acceptance criteria (none of these may hold)",
        "Old acceptance criteria",
        "Rejection criteria",
        "Requirements (removed)",
        "Done when none of these hold",
    ],
)
def test_a_heading_of_criteria_may_turn_them_itself(heading: str) -> None:
    assert bound(f"## {heading}\n\n- {POINT}\n") == [False]
    assert POINT in read(f"## {heading}\n\n- {POINT}\n").statements[0].text


@pytest.mark.parametrize(
    "heading", ["Acceptance criteria (must)", "Expected behaviour", "Exit criteria", "Done when"]
)
def test_most_do_not(heading: str) -> None:
    assert bound(f"## {heading}\n\n- {POINT}\n") == [True]


def test_criteria_of_what_is_out_of_scope_are_turned() -> None:
    assert bound(f"## Out of scope\n\n### Done when\n\n- {POINT}\n") == [False]
    assert bound(f"## Background\n\n### Done when\n\n- {POINT}\n") == [True]


@pytest.mark.parametrize(
    "lead",
    [
        "Out of scope",
        "Either",
        "If offline,",
        "**Optional**",
        "Must not",
        "We do not want",
        "None of the following should be left behind after the run.",
        "<u>Must not:</u>",
    ],
)
def test_a_lead_needs_no_colon_where_points_are_below(lead: str) -> None:
    head = "## Acceptance criteria\n\n"
    assert bound(f"{head}{lead}\n\n- {POINT}\n") == [False]
    assert bound(f"{head}- {lead}\n  - {POINT}\n- {POINT}\n") == [False, True]
    assert bound(f"{head}- [ ] {lead}\n  - [ ] {POINT}\n- [ ] {POINT}\n") == [False, True]
    said = f"- {lead}\n  - {POINT}\n- {POINT}\n"
    flow = f"# F\n\n## STAGE 1: BUILDER — Build\nDo it.\n\n**Done when:**\n{said}"
    (stage,) = read_workflow_text(flow, Path("w.md")).stages
    checks = [BINDER.bind(statement.text)[0].check for statement in stage.statements]
    assert [check is not None for check in checks] == [False, True]


@pytest.mark.parametrize("word", ["Won't", "Could", "Dropped", "Out of scope", "n/a - dropped"])
@pytest.mark.parametrize("column", ["Priority", "Status", "MoSCoW"])
def test_a_cell_beside_a_criterion_may_drop_it(column: str, word: str) -> None:
    table = f"| Criterion | {column} |\n|---|---|\n| {POINT} | {word} |\n| {POINT} | Must |\n"
    assert bound(f"## Acceptance criteria\n\n{table}") == [False, True]


def test_so_may_a_key_beside_it() -> None:
    keys = [{"text": POINT, "status": "dropped"}, {"text": POINT, "status": "open"}]
    said = [text for _, text in criteria_in_keys({"acceptance_criteria": keys})]
    assert said == [f"{POINT} | dropped", POINT]


@pytest.mark.parametrize(
    "head",
    [
        "**Done when (any of):**",
        "### Done when (optional)\n",
        "### Not acceptable\n\nDone when:",
    ],
)
def test_so_may_the_remark_of_a_keyword_in_a_workflow(head: str) -> None:
    flow = f"# F\n\n## STAGE 1: BUILDER — Build\nDo it.\n\n{head}\n- {POINT}\n"
    (stage,) = read_workflow_text(flow, Path("w.md")).stages
    assert [BINDER.bind(s.text)[0].check for s in stage.statements] == [None]
    all_of = flow.replace(head, "**Done when (all of):**")
    (stage,) = read_workflow_text(all_of, Path("w.md")).stages
    assert [s.text for s in stage.statements] == [POINT]


@pytest.mark.parametrize(
    "heading", ["Delete", "Delete file", "Undo", "Cancel", "Disabled state", "No results"]
)
def test_what_is_built_is_a_subject(heading: str) -> None:
    assert bound(f"## Acceptance criteria\n\n### {heading}\n\n- {POINT}\n") == [True]
