"""DESIGN 4.7, 4.8: workflows as other teams write them, and what reads like an approval."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import WorkflowError
from orchestrator.markdown.blocks import pieces
from orchestrator.workflow_reader.gate_words import gates_in, refers_back
from orchestrator.workflow_reader.human_gates import unread_gates
from orchestrator.workflow_reader.outline import read_outline

FIXTURES = Path(__file__).parents[1] / "fixtures"

DOCUMENTS = re.split(
    r"(?m)^=== ", (FIXTURES / "workflows_of_others.txt").read_text(encoding="utf-8")
)[1:]
ASKS, ASKS_NOBODY = (
    [line for line in part.splitlines()[1:] if line]
    for part in (FIXTURES / "approvals.txt").read_text(encoding="utf-8").split("\n\n")
)
SHAPES = ("- {}", "{}", "1. {}\n2. other", "> {}", "- [ ] {}", "> [!NOTE]\n> {}", "### {}\n\nx")


def listed(part: str) -> list[str]:
    return [line for line in part.splitlines() if line]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.split("\n")[0])
def test_4_8_a_workflow_of_others(document: str) -> None:
    _, _, rest = document.partition("\n")
    text, stages, gates, no_gates = re.split(r"(?m)^--- [a-z ]+\n", rest)
    lines = text.split("\n")
    if not stages:
        with pytest.raises(WorkflowError, match="has no stage"):
            read_outline(text, "w.md")
        return
    outline = read_outline(text, "w.md")
    heads = [section.head for section in outline.stages]
    assert [f"{h.agent or '?'} | {h.title}" for h in heads] == listed(stages)
    doubts = unread_gates(outline)
    told = {n for g in doubts for n in range(g.line, max(g.line, g.last) + 1)}
    asked = {
        n for s in outline.stages if s.head.is_checkpoint for n in range(s.head.line, s.last + 1)
    }
    last = max(h.line for h in heads)
    for words in listed(gates):
        at = next(n for n, line in enumerate(lines, 1) if words in line)
        # after the last stage there is a final review
        assert at in told | asked or at > last, words
    for words in listed(no_gates):
        at = next(n for n, line in enumerate(lines, 1) if words in line)
        assert at not in told, words


@pytest.mark.parametrize("shape", SHAPES)
def test_4_7_what_asks_a_person_is_found(shape: str) -> None:
    lost = [words for words in ASKS if not list(gates_in(pieces(shape.format(words))))]
    assert lost == []


@pytest.mark.parametrize("shape", SHAPES)
def test_what_asks_nobody_is_not(shape: str) -> None:
    found = [words for words in ASKS_NOBODY if list(gates_in(pieces(shape.format(words))))]
    assert found == []


WORK = st.sampled_from([words for words in ASKS_NOBODY if words.endswith(".")])
PLACED = st.tuples(
    st.lists(WORK, max_size=2),
    st.none() | st.tuples(st.sampled_from(ASKS), st.sampled_from(SHAPES[:-1])),
    st.lists(WORK, max_size=2),
)


@given(
    st.sampled_from(
        [
            "## Phase {}: Part",
            "### Step {} — Part (BUILDER)",
            "## {}. Part",
            "## STAGE {}: BUILDER — Part",
        ]
    ),
    st.lists(PLACED, min_size=2, max_size=4),
)
def test_4_7_no_approval_is_lost_wherever_it_stands(
    heading: str, stages: list[tuple[list[str], tuple[str, str] | None, list[str]]]
) -> None:
    """Each one is a checkpoint, is followed by one, or is reported; what asks nobody is none."""
    blocks, asked = ["# Flow"], []
    for n, (before, gate, after) in enumerate(stages, 1):
        blocks += [heading.format(n), *before]
        if gate is not None:
            # "After the user approves" at its beginning is about the approval before it
            last = stages[n - 2] if n > 1 else ([], None, [])
            is_met = bool(last[1]) and not last[2] and not before and refers_back(gate[0])
            asked.append((len(blocks), is_met or (n == len(stages) and not after)))
            blocks.append(gate[1].format(gate[0]))
        blocks += after
    text = "\n\n".join(blocks) + "\n"
    starts = [1]
    for block in blocks:
        starts.append(starts[-1] + block.count("\n") + 2)
    outline = read_outline(text, "w.md")
    told = {gate.line for gate in unread_gates(outline)}
    lines = {s.head.line for s in outline.stages if s.head.is_checkpoint} | told
    # of a note's lines, the one that asks
    found = {max(start for start in starts if start <= line) for line in lines}
    assert {starts[at] for at, final in asked if not final} - found == set()
    assert found - {starts[at] for at, _ in asked} == set()
