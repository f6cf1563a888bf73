"""One stage's fields (DESIGN 4.2): each in the wordings that people use for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.domain.workflow import Metric, Move, Need, Stage, StatementKind
from orchestrator.workflow_reader.parser import read_workflow, read_workflow_text
from tests.stages import one_stage, paths, text_of

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "workflows"


# -- deliverables and needs ------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Create `a/b.py`.",
        "- Write `a/b.py` from `c/d.csv`",
        "1. **BUILDER writes `a/b.py`** using `c/d.csv`.",
        "The file `a/b.py` will be created by BUILDER.",
        "BUILDER must then produce the script at `a/b.py`, which reads `c/d.csv`.",
        "Run `c/d.py`. Then create `a/b.py`",
        "### Deliverable 1: `a/b.py`",
        "**Part A: `a/b.py`**",
        "**Deliverables:**\n\n- `a/b.py` — the loader, reads `c/d.csv`",
        "| Deliverable | Reads |\n|---|---|\n| `a/b.py` | `c/d.csv` |",
        "Put the loader into a/b.py",
        "Create `./a/b.py` with tests for `c/d.py`.",
    ],
)
def test_4_2_wordings_that_name_a_deliverable(text: str) -> None:
    assert paths(one_stage(text)) == ["a/b.py"]


@pytest.mark.parametrize(
    "text",
    [
        "Read `a/b.py`.",
        "Do NOT create `a/b.py`.",
        "Run the script `a/b.py` and load `c/d.csv`.",
        "Create the `hours` table from `a/b.csv`.",
        "- [ ] Create `a/b.py`",
        "**Done when:** somebody did create `a/b.py`",
        "```bash\ncreate a/b.py\n```",
        "**If FAIL:** write `a/b.md`",
        "Create tests for `a/b.py`.",
        "Without creating `a/b.py`, look at the data.",
        "Create `_WORK_ORDERS/03_BUILD/WO-9a_Tables.md`.",
    ],
)
def test_4_2_wordings_that_name_no_deliverable(text: str) -> None:
    assert paths(one_stage(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "ANALYST will provide `d/x.csv`.",
        "Read `d/x.csv`, which is provided by ANALYST.",
        "Ask ANALYST to create `d/x.csv`",
        "This needs `d/x.csv` from ANALYST.",
    ],
)
def test_4_2_what_another_agent_provides_is_a_need(text: str) -> None:
    stage = one_stage(text)
    assert stage.needs == (Need("ANALYST", "d/x.csv", 3),)
    assert stage.deliverables == ()


def test_4_2_a_need_and_a_deliverable_in_one_paragraph() -> None:
    stage = one_stage(
        "ANALYST will provide `d/x.csv` with rows. BUILDER writes `s/x.py` to load it."
    )
    assert [n.path for n in stage.needs] == ["d/x.csv"]
    assert [(d.path, d.verb) for d in stage.deliverables] == [("s/x.py", "write")]


def test_4_2_a_specification_goes_to_the_deliverable_that_it_fits() -> None:
    stage = one_stage(
        """\
1. Create `a.py` and `b.ts`:

   ```typescript
   b
   ```

   ```python
   a
   ```

2. Create `c.sh`, then run the others:

```bash
c
```

**Part B: data**
Create `d.csv` from these papers:

| Paper |
|-------|
| One |

CSV schema:

```
x, y
```

Run it:

```bash
python a.py
```

- Create `e.py`
- Check it.

```python
not_e
```
"""
    )
    blocks = {d.path: d.block.text.strip() if d.block else None for d in stage.deliverables}
    assert blocks == {"a.py": "a", "b.ts": "b", "c.sh": "c", "d.csv": "x, y", "e.py": None}


def test_4_2_a_file_named_twice_is_one_deliverable_with_the_later_specification() -> None:
    stage = one_stage("Create `a.py`.\n\n**Part B: the script**\n\nWrite `a.py`:\n\n```py\nx\n```")
    assert [(d.path, d.line, d.block is not None) for d in stage.deliverables] == [
        ("a.py", 3, True)
    ]


# -- tickets: children, members, moves -------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Split it:\n\n- **WO-9a** → SOOP (tables)\n- **WO-9b** → BUILDER (loader)",
        "Split it:\n\n1. `WO-9a` -> SOOP: tables\n2. `WO-9b` -> BUILDER: loader",
        "Two child tickets:\n\n- WO-9a — SOOP — tables\n- WO-9b — BUILDER — loader",
        "Split it:\n\n- SOOP gets WO-9a (tables)\n- BUILDER gets WO-9b (loader)",
        "Split into **WO-9a** → SOOP (tables) and **WO-9b** → BUILDER (loader).",
        "|Child|Owner|For|\n|-|-|-|\n|WO-9a|SOOP|tables|\n|WO-9b|BUILDER|loader|",
    ],
)
def test_4_2_children_in_several_wordings(text: str) -> None:
    stage = one_stage(text, "## STAGE 1: LEAD — Split")
    assert [(c.id, c.agent, c.title) for c in stage.children] == [
        ("WO-9a", "SOOP", "tables"),
        ("WO-9b", "BUILDER", "loader"),
    ]


def test_4_2_moves_of_one_sentence_keep_their_own_owners() -> None:
    stage = one_stage(
        "Move GO-5 to `01_TRIAGE`, create GO-5a in `03_BUILD` for SOOP, GO-5b in `03_BUILD` for X1."
    )
    assert stage.moves == (
        Move(("GO-5",), "01_TRIAGE", "", 3),
        Move(("GO-5a",), "03_BUILD", "SOOP", 3),
        Move(("GO-5b",), "03_BUILD", "X1", 3),
    )


@pytest.mark.parametrize(
    ("text", "move"),
    [
        ("Move WO-9a to `04_QA` with `owner: QA1`", (("WO-9a",), "04_QA", "QA1")),
        ("Move WO-9a and WO-9b into `_WORK_ORDERS/04_QA/`", (("WO-9a", "WO-9b"), "04_QA", "")),
        ("Read WO-9a in `03_BUILD`, then move it to `04_QA`", (("WO-9a",), "04_QA", "")),
        ("Hand WO-9a over to `QA` (owner: QA1)", (("WO-9a",), "QA", "QA1")),
        ("Create WO-9a for QA1 in `03_BUILD`", (("WO-9a",), "03_BUILD", "QA1")),
    ],
)
def test_4_2_wordings_of_a_move(text: str, move: tuple[tuple[str, ...], str, str]) -> None:
    assert [(m.members, m.folder, m.owner) for m in one_stage(text).moves] == [move]


@pytest.mark.parametrize(
    "text",
    [
        "Read WO-9a in `03_BUILD`",
        "Do NOT move WO-9a to `04_QA`",
        "**If FAIL:** Move WO-9a to `03_BUILD`",
        "**Done when:** WO-9a moves to `06_COMPLETE`",
    ],
)
def test_4_2_wordings_that_move_nothing(text: str) -> None:
    assert one_stage(text).moves == ()


FAMILY = "## STAGE 1: LEAD — Split\n\nSplit WO-9:\n\n- **WO-9a** → SOOP\n- **WO-9b** → BUILDER"


@pytest.mark.parametrize(
    ("stage", "members"),
    [
        ("## STAGE 2: SOOP — x\n\nRead WO-9a in `03_BUILD`.", ("WO-9a",)),
        ("## STAGE 2: SOOP — x\n\nRead WO-9 and WO-9b, then work on WO-9a.", ("WO-9a",)),
        (
            "## STAGE 2: INSPECTOR — x\n\n**INSPECTOR reviews both WO-9a and WO-9b:**",
            ("WO-9a", "WO-9b"),
        ),
        ("## STAGE 2: ANALYST — x\n\nRead WO-9 in `01_TRIAGE`.", ()),
        ("## STAGE 2: ANALYST — x\n\nCreate `d.csv`.", ()),
        ("## STAGE 2: SOOP — x\n\nMove the ticket to `04_QA`.", ("WO-9a",)),
        (
            "## STAGE 2: BUILDER — x\n\nRead WO-9a in `03_BUILD`, then move WO-9b to `04_QA`.",
            ("WO-9b",),
        ),
        ("## STAGE 2: USER CHECKPOINT #1 — x\n\nRead WO-9a in `04_QA`.", ()),
    ],
)
def test_4_2_which_member_a_stage_works_on(stage: str, members: tuple[str, ...]) -> None:
    workflow = read_workflow_text(text_of(FAMILY, stage), Path("w.md"))
    assert workflow.stages[0].members == ()
    assert workflow.stages[1].members == members


def test_4_2_both_tickets_are_those_of_the_stage() -> None:
    gate = (
        "## STAGE 2: INSPECTOR — Gate\n\nReview both WO-9a and WO-9b.\n\n"
        "**If PASS:** Move both tickets to `05_USER_REVIEW`, `owner: USER`"
    )
    workflow = read_workflow_text(text_of(FAMILY, gate), Path("w.md"))
    assert workflow.stages[1].moves == (Move(("WO-9a", "WO-9b"), "05_USER_REVIEW", "USER", 12),)


def test_4_2_the_only_ticket_is_the_parent() -> None:
    stage = read_workflow(FIXTURES / "one-ticket.md").stages[0]
    assert stage.members == ()
    assert stage.moves == (Move(("WO-512",), "04_QA", "INSPECTOR", 14),)


# -- statements ------------------------------------------------------------------------------


def kinds(stage: Stage) -> list[tuple[StatementKind, str, str, int]]:
    return [(s.kind, s.text, s.group, s.line) for s in stage.statements]


def test_4_2_statements_of_every_kind() -> None:
    stage = one_stage(
        """\
**Checks:**
- [ ] `a.py` compiles
* [x] It is short

### More
1. [ ] It is documented

Do NOT touch `b.py` — it is not ours. Never guess (or hope).

**Done when:** `a.py` exists. It
runs, too.
**If PASS:** Move WO-9 to `04_QA`
**If FAIL:** Back to BUILDER."""
    )
    assert kinds(stage) == [
        (StatementKind.CHECKBOX, "`a.py` compiles", "Checks", 4),
        (StatementKind.CHECKBOX, "It is short", "Checks", 5),
        (StatementKind.CHECKBOX, "It is documented", "More", 8),
        (StatementKind.PROHIBITION, "Do NOT touch `b.py`", "", 10),
        (StatementKind.PROHIBITION, "Never guess (or hope)", "", 10),
        (StatementKind.DONE_WHEN, "`a.py` exists. It runs, too.", "", 12),
    ]
    assert [s.ticked for s in stage.statements] == [False, True, False, False, False, False]
    assert (stage.on_pass, stage.on_fail) == ("Move WO-9 to `04_QA`", "Back to BUILDER.")


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("Done when: a holds", ["a holds"]),
        ("**Done when** a holds", ["a holds"]),
        ("__Done-when:__ a holds", ["a holds"]),
        ("- **Done when:** a holds", ["a holds"]),
        ("### Done when\n\na holds", ["a holds"]),
        ("**Done when:**\n\n- a holds\n- b holds\n\nMore text.", ["a holds", "b holds"]),
        ("Done when all of these hold:\n\n1. a holds\n2. b holds", ["a holds", "b holds"]),
    ],
)
def test_4_2_wordings_of_done_when(text: str, statements: list[str]) -> None:
    found = [s.text for s in one_stage(text).statements if s.kind is StatementKind.DONE_WHEN]
    assert found == statements


def test_4_2_figures_that_user_compares_are_expectations() -> None:
    body = "1. Confirm counts match expectations (300+ trials)\n2. Confirm the colours\n"
    checkpoint = one_stage(body, "## STAGE 1: USER CHECKPOINT #1 — x")
    assert kinds(checkpoint) == [
        (StatementKind.EXPECTATION, "Confirm counts match expectations (300+ trials)", "", 3)
    ]
    assert one_stage(body).statements == ()


def test_4_2_statements_outside_the_stages_hold_for_all() -> None:
    text = "## Rules\n\nNever drop a table.\n\n- [ ] All is written down\n\n## STAGE 1: LEAD — x\n"
    workflow = read_workflow_text(text, Path("w.md"))
    assert [(s.kind.value, s.text, s.group) for s in workflow.statements] == [
        ("prohibition", "Never drop a table", "Rules"),
        ("checkbox", "All is written down", "Rules"),
    ]


@pytest.mark.parametrize("header", ["Metric|Target|Verified By", "Measure | GOAL | Checked by"])
def test_4_2_the_rows_of_a_metric_table_are_statements(header: str) -> None:
    text = f"## STAGE 1: LEAD — x\n\n|{header}|\n|-|-|-|\n| a  b | ≥ 3 | user query |\n"
    workflow = read_workflow_text(text, Path("w.md"))
    assert workflow.metrics == (Metric("a b", "≥ 3", "USER", 5),)
    assert [(s.text, s.kind, s.verifier, s.line) for s in workflow.statements] == [
        ("a b | ≥ 3", StatementKind.METRIC, "USER", 5)
    ]


@pytest.mark.parametrize(
    "line", ["- [ ] {}", "- [] {}", "-[ ] {}", "- [-] {}", "[ ] {}", "* [x]{}", "1. [ ] {}"]
)
def test_a_mistyped_box_is_a_statement(line: str) -> None:
    stage = one_stage(f"**Checks**\n\n- [ ] first\n{line.format('`a.md` exists')}\n\n[ ](a.md)\n")
    assert [s.text for s in stage.statements] == ["first", "`a.md` exists"]


@pytest.mark.parametrize(
    "head", ["**Acceptance criteria:**", "### Success Criteria", "Acceptance criteria:"]
)
def test_4_8_criteria_of_a_stage_are_statements_without_boxes(head: str) -> None:
    stage = one_stage(f"1. Write it\n\n{head}\n\n- `a.md` exists\n- `b.md` exists\n")
    assert [s.text for s in stage.statements] == ["`a.md` exists", "`b.md` exists"]
    assert one_stage("Acceptance criteria are in the ticket.").statements == ()
