"""Lists that markdown takes for a paragraph, in tickets, keys and workflows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.markdown.loose_lists import is_list, points
from orchestrator.tickets.criteria import read_criteria
from orchestrator.tickets.criteria_headings import criteria_in_keys
from orchestrator.workflow_reader.human_gates import unread_gates
from orchestrator.workflow_reader.outline import read_outline
from orchestrator.workflow_reader.parser import read_workflow_text

LISTS = (
    "• `a` exists\n• `b` exists",
    "•`a` exists\n•`b` exists",
    "– `a` exists\n– `b` exists",
    "→ `a` exists\n→ `b` exists",
    "(1) `a` exists\n(2) `b` exists",
    "(a) `a` exists\n(b) `b` exists",
    "a) `a` exists\nb) `b` exists",
    "A. `a` exists\nB. `b` exists",
    "i. `a` exists\nii. `b` exists",
    "1: `a` exists\n2: `b` exists",
    "AC-1 `a` exists\nAC-2 `b` exists",
    "AC1: `a` exists\nAC2: `b` exists",
    "`a` exists\n`b` exists",
    "`a` exists  \n`b` exists",
    "`a` exists\\\n`b` exists",
)
PROSE = (
    "The importer writes\n`a` with all of its rows.",
    "The owner of the table is\nMaya.",
    "Each visit has to have a room, which the importer takes from the\nBookings of the day.",
    "The reader counts on\nAll rows being there.",
    "It is there, and\nIt is complete.",
    "It ends here  \nand goes on.",
    "A. Smith wrote it.",
    "Rows are read\na) never twice.",
    "AC-1 and AC-2 are dropped.",
    "REQ-12 must hold",
    "`a` does not exist unless\n`b` exists",
    "`a` exists  \nOR  \n`b` exists",
    "Given a room  \nWhen it is booked  \nThen it is taken",
    "The tool reads from Python\nPackage Index and writes a file",
    "None of these may exist:\n`a` exists  \n`b` exists",
    "A file\n– which is big – exists.",
)


@pytest.mark.parametrize("text", LISTS)
def test_a_list_without_marks_of_markdown_is_one(text: str) -> None:
    assert [said for _, said in points(text.split("\n"))] == ["`a` exists", "`b` exists"]
    assert is_list(text.split("\n"))


@pytest.mark.parametrize("text", PROSE)
def test_prose_stays_whole(text: str) -> None:
    assert [said for _, said in points(text.split("\n"))] == [" ".join(text.split())]
    assert not is_list(text.split("\n"))


@pytest.mark.parametrize("text", LISTS)
@pytest.mark.parametrize("head", ["## Acceptance criteria\n\n", "**Done when:**\n"])
def test_each_point_is_a_criterion_of_a_ticket(text: str, head: str) -> None:
    lines = [f"{line}\n" for line in f"{head}{text}\n\nMore words.\n".split("\n")]
    found = read_criteria(lines, 0, source="a.md", ticket="WO-1")
    first = head.count("\n") + 1
    said = [(s.text, s.line) for s in found.statements]
    assert said[:2] == [("`a` exists", first), ("`b` exists", first + 1)]


def test_a_point_may_have_several_lines_and_its_evidence() -> None:
    head = "## Criteria\n\nAll of:\n"
    text = f"{head}a) `a` exists\n   and is not empty\nb) `b` exists\n   - check: `x`\n"
    lines = text.splitlines(keepends=True)
    found = read_criteria(lines, 0, source="a.md", ticket="WO-1").statements
    said = [(s.text, s.line) for s in found]
    assert said == [("`a` exists and is not empty", 4), ("`b` exists — check: `x`", 6)]


@pytest.mark.parametrize("text", LISTS)
def test_each_line_of_a_block_under_a_key_is_a_criterion(text: str) -> None:
    found = [said for _, said in criteria_in_keys({"acceptance_criteria": f"{text}\n"})]
    assert found == ["`a` exists", "`b` exists"]


def test_a_sentence_that_is_wrapped_under_a_key_is_one_criterion() -> None:
    text = "The importer writes\n`a` with all of its rows.\n"
    found = [said for _, said in criteria_in_keys({"acceptance_criteria": text})]
    assert found == [" ".join(text.split())]


@pytest.mark.parametrize("text", LISTS)
@pytest.mark.parametrize("head", ["**Done when:**\n", "Done when:\n"])
def test_each_point_below_done_when_is_a_statement_of_a_stage(text: str, head: str) -> None:
    flow = f"# F\n\n## STAGE 1: BUILDER — Build\nWrite `x`.\n\n{head}{text}\n"
    (stage,) = read_workflow_text(flow, Path("w.md")).stages
    said = [(statement.text, statement.line) for statement in stage.statements]
    assert said == [("`a` exists", 7), ("`b` exists", 8)]


def test_a_paragraph_of_instructions_stays_whole() -> None:
    text = "Do not continue without:\n• approval of the client\n• Maya's ok"
    flow = (
        f"# F\n\n## STAGE 1: BUILDER — Build\nWrite `a`.\n\n{text}\n\n## STAGE 2: SOOP — B\nDo.\n"
    )
    assert [gate.line for gate in unread_gates(read_outline(flow, "w.md"))] == [6]
    flow = "# F\n\n## STAGE 1: BUILDER — Build\nWrite:\n• `a.txt`\n• `b.txt`\n"
    (stage,) = read_workflow_text(flow, Path("w.md")).stages
    assert [d.path for d in stage.deliverables] == ["a.txt", "b.txt"]


def test_a_prohibition_in_a_list_is_one() -> None:
    text = "## Criteria\n\n• `a` exists\n• Do not touch `b`\n• `c` exists\n"
    found = read_criteria(
        text.splitlines(keepends=True), 0, source="a.md", ticket="WO-1"
    ).statements
    assert [(s.text, s.kind.value) for s in found] == [
        ("`a` exists", "acceptance"),
        ("Do not touch `b`", "prohibition"),
        ("`c` exists", "acceptance"),
    ]
    # and one that is wrapped is whole
    text = "## Criteria\n\n- Do not touch `a`\n  or `b`\n"
    (said,) = read_criteria(text.splitlines(keepends=True), 0, source="a", ticket="WO-1").statements
    assert said.text == "Do not touch `a` or `b`"


_LINE = st.lists(st.sampled_from(["word ", "Word ", "`x` ", "• ", "a) ", "(1) ", "\\", ","]))


@given(st.lists(_LINE.map("".join).filter(str.strip), min_size=1))
def test_no_word_is_dropped(lines: list[str]) -> None:
    found = list(points(lines))
    starts = [start for start, _ in found]
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    said = " ".join(text for _, text in found)
    for word in ("word", "Word", "`x`"):
        assert said.count(word) == "".join(lines).count(word)
