"""DESIGN 4.8: stages, their agents and their gates under the words that teams use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.workflow import Workflow
from orchestrator.errors import WorkflowError
from orchestrator.workflow_reader.parser import read_workflow_text


def read(text: str) -> Workflow:
    return read_workflow_text(text, Path("w.md"), variables={"owner": "SOOP"})


def stages(text: str) -> list[tuple[str, str]]:
    return [(stage.agent, stage.title) for stage in read(text).stages]


PHASES = """\
# Feature

## Overview
How we work.

## Phase 1: Research
**Owner:** Analyst

Read the ticket.

## Phase 2: Implementation (Developer)
Write `src/x.py`.

### Step 1
Do it.

### Step 2
Test it.

## Phase 2.5 — USER APPROVAL
Wait for the user.

## Phase 3 — Review [@inspector]

## 🛑 Sign-off by the product owner

## Phase 4: Deploy

## Notes
None.
"""
LIST = """\
# Release

1. **LEAD** — plan the release
2. **BUILDER** — write `CHANGELOG.md`
   - with all changes
3. **USER** — approve
4. INSPECTOR: check

That is all.
"""
TABLE = """\
# Process

| Step | Owner |
|---|---|
| 1. Design | Architect |
| Build | Builder |
| QA | Inspector (nightly) |

### Step 1: Design
### Step 2: Build (in parallel with step 3)
### Step 3: QA
### 🚦 GATE: Human sign-off
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            PHASES,
            [
                ("ANALYST", "Research"),
                ("DEVELOPER", "Implementation"),
                ("USER", "USER APPROVAL"),
                ("INSPECTOR", "Review"),
                ("USER", "Sign-off by the product owner"),
                ("SOOP", "Deploy"),
            ],
        ),
        (
            LIST,
            [
                ("LEAD", "plan the release"),
                ("BUILDER", "write `CHANGELOG.md`"),
                ("USER", "approve"),
                ("INSPECTOR", "check"),
            ],
        ),
        (
            TABLE,
            [
                ("ARCHITECT", "Design"),
                ("BUILDER", "Build"),
                ("INSPECTOR", "QA"),
                ("USER", "Human sign-off"),
            ],
        ),
        (
            "# F\n## 1. Spec\n## 2. Build\nAssigned to: `builder`\n## 3. Review gate\n## 4. Ship\n",
            [("SOOP", "Spec"), ("BUILDER", "Build"), ("USER", "Review gate"), ("SOOP", "Ship")],
        ),
        (
            "# F\n## ANALYST: look\n## Builder — build\n## Checkpoint (human)\n## API: notes\n",
            [("ANALYST", "look"), ("BUILDER", "build"), ("USER", "Checkpoint (human)")],
        ),
        (
            "# F\n## Workstream A — Back (agent: back-dev)\n## Workstream B — Front\n"
            "Role: front-dev\n## [Gate 1] Check\n## Step IV\n",
            [("BACK_DEV", "Back"), ("FRONT_DEV", "Front"), ("USER", "Check"), ("SOOP", "")],
        ),
        (
            "# F\n#### Task One: a (@writer)\n#### Task Two: b, owner: tester\n#### Task III: c\n",
            [("WRITER", "a"), ("TESTER", "b"), ("SOOP", "c")],
        ),
        (
            "# F\n## Stage 1: Collect the facts\nOwner: analyst\n## Stage 2: Write it all down\n",
            [("ANALYST", "Collect the facts"), ("SOOP", "Write it all down")],
        ),
    ],
)
def test_stages_under_other_words(text: str, expected: list[tuple[str, str]]) -> None:
    assert stages(text) == expected


def test_a_stage_has_what_stands_below_its_heading() -> None:
    workflow = read(PHASES)
    assert [d.path for d in workflow.stages[1].deliverables] == ["src/x.py"]
    assert [stage.number for stage in workflow.checkpoints] == [3, 5]
    assert "None." not in workflow.stages[-1].text
    assert [d.path for d in read(LIST).stages[1].deliverables] == ["CHANGELOG.md"]
    assert read(TABLE).stages[1].parallel_with == 3


def test_a_workflow_with_stages_is_read_by_them_alone() -> None:
    text = "# F\n## STAGE 1: BUILDER — a\n### Step 1\n### Step 2\n## Phase 1: x\n## Phase 2: y\n"
    assert stages(text) == [("BUILDER", "a")]


def test_what_is_no_workflow_is_refused_with_its_headings() -> None:
    with pytest.raises(WorkflowError) as refused:
        read("# A recipe\n\n## Ingredients\nFlour.\n\n## Preparation\nBake.\n")
    assert "“Ingredients” (line 3); “Preparation” (line 6)" in refused.value.message
    assert "line 3:  -## Ingredients\n" in refused.value.hint


def applied(hint: str, text: str) -> str:
    """A text after the edit that a refusal shows."""
    lines = [*text.split("\n"), ""]
    for at, old, new in re.findall(r"line (\d+):  (?:-(.*)\n\s+)?\+(.*)", hint):
        assert not old or lines[int(at) - 1] == old
        lines[int(at) - 1] = new if old else f"{new}\n{lines[int(at) - 1]}"
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "# A recipe\n\n## Ingredients\nFlour.\n\n## Preparation\nBake.\n",
        "# A recipe\n\nFlour. Bake.\n",
        "Flour. Bake.\n",
        "# A\n\n## Overview\nx\n\n### Do this\n\n### Do that\n",
        "# A\n\n## Tasks\n- [ ] one\n",
    ],
)
def test_the_edit_that_a_refusal_shows_works(text: str) -> None:
    with pytest.raises(WorkflowError) as refused:
        read(text)
    assert read(applied(refused.value.hint, text)).stages[0].agent == "BUILDER"


@given(
    st.sampled_from(["Phase", "Step", "TASK", "Milestone", "Workstream"]),
    st.sampled_from(["{}: ", "{} — ", "{} - ", "{}. ", "{}) ", "{} "]),
    st.sampled_from(["##", "###", "####"]),
    st.lists(st.sampled_from(["work", "gate"]), min_size=2, max_size=6).filter(
        lambda kinds: kinds.count("work") > 1
    ),
)
def test_no_gate_and_no_stage_of_a_series_is_lost(
    word: str, form: str, mark: str, kinds: list[str]
) -> None:
    lines = ["# Flow"]
    for number, kind in enumerate(kinds, 1):
        title = f"User approval {number}" if kind == "gate" else f"BUILDER — part {number}"
        lines += ["", f"{mark} {word} {form.format(number)}{title}", "", "Do it."]
    found = read("\n".join(lines) + "\n").stages
    assert ["gate" if s.is_checkpoint else "work" for s in found] == kinds


@pytest.mark.parametrize(
    ("lines", "agent"),
    [
        ("Owner: BUILDER\nMake it.", "BUILDER"),
        ("Owner: BUILDER\nInput: x", "BUILDER"),
        ("Owner: the BUILDER agent.", "BUILDER"),
        ("- **Agent**: `builder`, then INSPECTOR", "BUILDER"),
        ("Owner: product owner\nLook at it.", "USER"),
        ("Assigned to: @back-dev", "BACK_DEV"),
    ],
)
def test_who_an_owner_line_names(lines: str, agent: str) -> None:
    text = f"# F\n\n## Phase 1 - Build\n{lines}\n\n## Phase 2 - Ship\n"
    assert stages(text) == [(agent, "Build"), ("SOOP", "Ship")]


@pytest.mark.parametrize("form", ["1. **{}** {}", "1. {} {}", "1. {}: {}", "1. **{}** — {}"])
def test_a_numbered_list_of_agents(form: str) -> None:
    lines = [form.format("BUILDER", "writes it"), form.format("INSPECTOR", "checks it")]
    text = "# F\n\n" + "\n".join(lines).replace("\n1.", "\n2.") + "\n"
    assert stages(text) == [("BUILDER", "writes it"), ("INSPECTOR", "checks it")]


@pytest.mark.parametrize(
    "label", ["Acceptance criteria", "Acceptance", "Verification", "How to verify", "Exit criteria"]
)
@pytest.mark.parametrize("form", ["**{}:** x holds", "**{}**\n\n- x holds", "### {}\n\n- x holds"])
def test_what_must_hold_after_a_stage_is_read_under_its_usual_names(label: str, form: str) -> None:
    text = f"# F\n\n## Phase 1: Build\n\nDo it.\n\n{form.format(label)}\n\n## Phase 2: Ship\n"
    assert [s.text for s in read(text).stages[0].statements] == ["x holds"]


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("## Phase 1: Build (BUILDER)", ("BUILDER", "Build")),
        ("### Step 1 — Draft [@analyst]", ("ANALYST", "Draft")),
        ("## Phase 1: Release\n**Owner:** Lead", ("LEAD", "Release")),
    ],
)
def test_a_page_may_have_a_single_stage(heading: str, expected: tuple[str, str]) -> None:
    assert stages(f"# Flow\n\n{heading}\nWrite `a.txt`.\n") == [expected]


@pytest.mark.parametrize(
    ("heading", "edit"),
    [
        ("Phase 1: Build", "STAGE 1: BUILDER — Build"),
        ("1. Build (SOOP)", "STAGE 1: SOOP — Build"),
        ("Look (USER)", "STAGE 1: USER CHECKPOINT — Look"),
        ("Make it", "STAGE 1: BUILDER — Make it"),
    ],
)
def test_the_edit_that_makes_a_page_readable_says_nothing_twice(heading: str, edit: str) -> None:
    with pytest.raises(WorkflowError) as told:
        read(f"# Flow\n\n## {heading}\nWrite `a.txt`.\n")
    assert f"+## {edit}\n" in f"{told.value.hint}\n"
    (stage,) = read(f"# Flow\n\n## {edit}\nWrite `a.txt`.\n").stages
    assert edit.endswith(stage.title)
