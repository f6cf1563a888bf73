"""DESIGN 4.7: an approval in a workflow is a checkpoint or a doubt, never passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.workflow_reader.human_gates import unread_gates
from orchestrator.workflow_reader.outline import read_outline
from tests.workspaces import FIXTURES

WORKFLOW = """\
# Flow

Each stage is done by one agent.

## STAGE 1: SOOP — Schema
Write `migrations/next_hours.sql`.

{inside}

{between}

## STAGE 2: BUILDER — Data
Write `data/hours.csv`.

## STAGE 3: USER CHECKPOINT #1 — Review
Wait for USER approval.
"""
HEADINGS = (
    "HUMAN GATE — approve the schema",
    "CHECKPOINT: USER — Schema approval",
    "VALIDATION GATE 1 - Migration Review",
    "PHASE 1.5: USER APPROVAL",
    "🛑 Gate 2",
    "Sign-off by the product owner",
    "Go/No-Go",
    "Manual review",
    "Human review of the migration",
    "**APPROVAL REQUIRED**",
)
SENTENCES = (
    "**STOP: wait for human approval.**",
    "STOP. Wait for approval of the user.",
    "Do not continue without an explicit approval.",
    "Do not proceed until the user has confirmed.",
    "A human has to approve the migration first.",
    "The product owner must sign off.",
    "- Pause here until the maintainers have agreed",
    "> Requires human approval before the next stage.",
    "This needs the client's sign-off.",
    "Wait for the user.",
    "Continue only after somebody's explicit go-ahead.",
    "Do not start the next stage\nwithout the approval of a person.",
    "⚠️ **Hold** for a person's decision",
    "<div>⛔ STOP: wait for human approval</div>",
)
HARMLESS = (
    "Stop the server before the migration runs.",
    "Wait for the database to start.",
    "Users can confirm their address.",
    "Do not write outside of `data/`.",
    "The gate of a stage is its statements.",
    "INSPECTOR confirms the counts.",
    "The page asks people to accept cookies.",
    "Do not start the server.",
    "<!-- STOP: wait for human approval -->",
)


def found(between: str = "", inside: str = "") -> list[int]:
    text = WORKFLOW.format(between=between, inside=inside)
    return [gate.line for gate in unread_gates(read_outline(text, "w.md"))]


@pytest.mark.parametrize("words", HEADINGS)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_heading_that_asks_for_an_approval_is_found(words: str, level: int) -> None:
    assert found(f"{'#' * level} {words}\nA person looks at it.") == [10]


@pytest.mark.parametrize("words", SENTENCES)
def test_a_sentence_that_makes_an_agent_wait_for_a_person_is_found(words: str) -> None:
    assert found(words) == [10]
    assert found(inside=words) == [8]


@pytest.mark.parametrize("words", HARMLESS)
def test_other_sentences_are_not(words: str) -> None:
    assert found(words) == found(inside=words) == []


@pytest.mark.parametrize(
    "words", ["Gates", "Checkpoints: an overview", "Approval policy", "How approvals work"]
)
def test_a_heading_about_gates_is_none(words: str) -> None:
    assert found(f"## {words}\nText.") == []


@given(st.sampled_from(HEADINGS + SENTENCES), st.sampled_from([1, 2, 3]))
def test_no_gate_is_lost_wherever_a_checkpoint_is_missing(words: str, stage: int) -> None:
    block = f"## {words}" if words in HEADINGS else words
    stages = [f"## STAGE {n}: BUILDER — Work\n\nDo it.\n" for n in range(1, 5)]
    stages.insert(stage, f"{block}\n")
    text = "# Flow\n\n" + "\n".join(stages) + "\n## STAGE 9: USER CHECKPOINT #1 — The end\n"
    (gate,) = unread_gates(read_outline(text, "w.md"))
    assert text.split("\n")[gate.line - 1] == block.split("\n")[0]


@pytest.mark.parametrize(
    "gate",
    [
        "> **HUMAN GATE** before shipping",
        "> HUMAN GATE",
        "**HUMAN GATE:** the product owner approves before shipping.",
        "- ⛔ HUMAN GATE: the lead approves the design",
        "### ⛔ HUMAN GATE",
    ],
)
def test_a_gate_in_the_middle_of_a_last_stage_is_found(gate: str) -> None:
    text = f"# F\n\n## STAGE 1: BUILDER — Work\n\nDo it.\n\n{gate}\n\n"
    assert [
        g.line for g in unread_gates(read_outline(f"{text}### Then\n\nShip it.\n", "w.md"))
    ] == [7]
    # at its end, the final review asks
    assert unread_gates(read_outline(text, "w.md")) == ()


def test_what_a_checkpoint_asks_for_is_read() -> None:
    text = WORKFLOW.format(inside="", between="").replace("STAGE 2: BUILDER", "STAGE 4: BUILDER")
    text = text.replace("## STAGE 3", "## STAGE 2").replace(
        "next_hours.sql`.", "a`. Wait for USER."
    )
    assert unread_gates(read_outline(text, "w.md")) == ()


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*/*/*.md")), ids=lambda p: p.stem)
def test_the_workflows_of_other_tests_have_none(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if "## STAGE" in text:
        assert unread_gates(read_outline(text, path.name)) == ()


APPROVER_COLUMNS = (
    "Needs OK from",
    "Approver",
    "Approvers",
    "Approved by",
    "Sign-off",
    "Signed off by",
    "Checked by",
    "Double-checked by",
    "Freigabe",
    "Freigabe durch",
    "Reviewer",
    "Reviewed by",
    "Final approval",
    "Wait for OK of",
    "Decision by",
    "Clearance from",
    "Geprüft von",
    "Validé par",
)


@pytest.mark.parametrize("column", APPROVER_COLUMNS)
def test_whoever_is_named_in_a_column_for_approvals_is_asked_behind_the_row(column: str) -> None:
    rows = (("Design", "Maria"), ("Build", "-"), ("Test", "INSPECTOR"), ("Ship", "the boss"))
    table = f"| Phase | Agent | {column} |\n|---|---|---|\n"
    table += "".join(f"| {what} | BUILDER | {name} |\n" for what, name in rows)
    heads = [section.head for section in read_outline(f"# F\n\n{table}", "w.md").stages]
    assert [head.title for head in heads if not head.is_checkpoint][::3] == ["Design", "Ship"]
    assert [head.line for head in heads if head.is_checkpoint] == [5, 8]
    assert found(table.replace(" Agent ", " Files ")) == [12, 15]


@pytest.mark.parametrize("column", ["Output", "Verified By", "Checks", "Reviews", "Notes", "Owner"])
def test_other_columns_ask_nobody(column: str) -> None:
    assert found(f"| Phase | {column} |\n|---|---|\n| Design | Maria |\n") == []
