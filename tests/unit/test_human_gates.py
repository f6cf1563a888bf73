"""DESIGN 4.7: an approval in a workflow is a checkpoint or a doubt, never passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.workflow_reader.human_gates import unread_gates
from orchestrator.workflow_reader.outline import read_outline
from orchestrator.workflow_reader.parser import read_workflow_text
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
    "Wait for `APPROVED` in the ticket.",
    "`[HUMAN]` Look over the SQL.",
    "- [ ] **Human:** check the migration on staging",
    "Human-in-loop: yes",
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
    "Agents continue without asking anybody.",
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


MAY_ASK = (
    "Freigabe durch den Kunden einholen.",
    "Only after the release manager said yes: go on.",
    "Manual verification by QA team before release.",
    "Maria has the last word before we go on.",
    "Double-check with Maria before proceeding.",
    "Let a colleague look over it before going on.",
    "Vier-Augen-Prinzip",
    "Four-eyes principle applies here.",
    "Two-person rule.",
    "<!-- HUMAN GATE: approval by USER -->",
    "Tom must be happy with it before we merge.",
    "Nothing goes live unless Legal is fine with it.",
    "No deploy until Sara nods.",
    "The design team gives its OK first.",
    "Get Maria to look over the diff.",
    "Peter reviews the migration.",
    "Reviewed by Anna and Tom.",
    "Checked by the security team.",
    "Abnahme durch Fachbereich.",
    "Genehmigung des Projektleiters liegt vor.",
    "Erst weitermachen, wenn der Kunde zugestimmt hat.",
    "Nur nach Rücksprache mit Frau Müller weiter.",
    "Aprobación del cliente antes de continuar.",
    "Validation par le chef de projet.",
    "Ne pas déployer avant l'accord du client.",
    "Wait for Maria.",
    "Ask @maria before merging.",
    "A second pair of eyes is a must.",
    "Ship it once the product team is convinced.",
    "Proceed when the customer says yes.",
    "Not before Kim has seen it: release.",
    "The CTO has the final say.",
    "Have somebody from legal read the text.",
    "Merge only with a thumbs-up from Lee.",
    "Run this by Jordan first.",
    "Sanity-check by a senior engineer before launch.",
    "Someone other than the author verifies the numbers by hand.",
    "Continue after review.",
    "Do not start phase 2 without an OK.",
    "The steering board decides whether we launch.",
    "Demo to stakeholders, collect feedback.",
    "We need Ana's blessing.",
    "QA team signs off.",
)
TITLES_OF_PEOPLES_WORK = (
    "Review by a human",
    "Wait for Maria",
    "Manual QA by Tom",
    "Demo to stakeholders",
    "Customer acceptance",
    "Legal review",
    "Acceptance by the client",
    "Show it to the board",
    "Feedback from the design team",
    "Peer review",
    "Stakeholder demo",
    "QA by Anna",
    "Check with Legal",
    "Final walkthrough with Kim",
    "Security review",
    "Release decision by the CTO",
    "Abnahme",
    "Freigabe durch den Kunden",
    "UAT",
    "Meeting with the steering committee",
)
ASKS_NOBODY = (
    "Validate the input with Zod before the next step.",
    "Review the diff for typos.",
    "Run tests.",
    "Unit tests: all of them pass.",
    "Reviewed by SOOP.",
    "Continue only if tests pass.",
    "Check the output of Docker.",
    "Send the user a reminder.",
    "Verify the figures with Python.",
    "Do not deploy to production.",
    "The Reviewer agent checks the diff.",
    "Store what the client sends.",
    "Let Vite build the page.",
    "Build the approval screen.",
    "Continue with Phase 2.",
    "BUILDER confirms that the file exists.",
    "Confirm the count before Stage 2 begins.",
    "Next, write `b.txt`.",
    "Start only when CI is green.",
    "<!-- the figures are from May -->",
    "<!-- prettier-ignore -->",
)


@pytest.mark.parametrize("words", MAY_ASK)
def test_what_may_be_an_approval_is_at_least_doubted(words: str) -> None:
    shapes = ["{}"] if words.startswith("<!--") else ["{}", "- {}", "> {}"]
    for shape in shapes:
        lines = [found(shape.format(words)), found(inside=shape.format(words) + "\n\nWrite `c`.")]
        assert lines == [[10], [8]], shape


@pytest.mark.parametrize("words", ASKS_NOBODY)
def test_what_asks_nobody_is_no_doubt(words: str) -> None:
    assert found(words) == found(inside=words) == []


@pytest.mark.parametrize("title", TITLES_OF_PEOPLES_WORK)
def test_a_stage_that_people_do_is_a_checkpoint_or_a_doubt(title: str) -> None:
    text = f"# F\n\n## Phase 1: Build\nDo it.\n\n## Phase 2: {title}\nDo it.\n\n## Phase 3: Ship\n"
    outline = read_outline(text, "w.md")
    asked = {section.head.line for section in outline.stages if section.head.is_checkpoint}
    assert asked | {gate.line for gate in unread_gates(outline)} == {6}


@pytest.mark.parametrize(
    "title", ["Design", "Code review (SOOP)", "Tests", "Ship it", "Client API"]
)
def test_other_stages_are_not(title: str) -> None:
    text = f"# F\n\n## Phase 1: Build\nDo it.\n\n## Phase 2: {title}\nDo it.\n\n## Phase 3: Ship\n"
    assert unread_gates(read_outline(text, "w.md")) == ()


@pytest.mark.parametrize(
    "line",
    ["HUMAN APPROVAL REQUIRED", "*** STOP HERE ***", "# GATE: ask Maria", "CHECKPOINT (USER)"],
)
@pytest.mark.parametrize(
    "block", ["```\n{}\n```", "~~~text\n{}\n~~~", "```bash\n{}\n```", "<!--\n{}\n-->"]
)
def test_a_loud_line_in_a_fence_or_a_comment_is_found(line: str, block: str) -> None:
    assert found(block.format(line)) == [11]
    assert found(inside=block.format(line) + "\n\nWrite `c`.") == [9]


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("```mermaid\nflowchart TD\n A[Schema] --> B{Approved by owner?}\n```", 3),
        ("```mermaid\nflowchart TD\n A[Schema] --> B[Owner approves]\n```", 3),
        ("```mermaid\nstateDiagram-v2\n Schema --> AwaitingApproval\n```", 3),
        ('~~~dot\ndigraph { schema -> "approved by owner?" -> data }\n~~~', 2),
        ("```\nschema -> (human approval) -> data\n```", 2),
        ("```yaml\ngate:\n  type: team\n  approvers: [maria]\n```", 4),
        ("```yaml\ndeploy:\n  when: manual\n```", 3),
        ("```yaml\nrules:\n  requiredReviewers: 1\n```", 3),
        ("```yaml\nrules:\n  - min_approvals: 2\n```", 3),
        ("```yaml\napprovers:\n  - maria\n```", 2),
        ('```json\n{"requires_approval": true}\n```', 2),
        ('```toml\napproval = "maria"\n```', 2),
    ],
)
def test_diagrams_and_settings_in_a_stage_are_looked_at(block: str, line: int) -> None:
    assert found(block) == [9 + line]
    assert found(inside=f"{block}\n\nWrite `c`.") == [7 + line]


@pytest.mark.parametrize(
    "block",
    [
        "```mermaid\nflowchart TD\n A[Schema] --> B{Tests pass?}\n B -->|yes| C[Data]\n```",
        "```yaml\napproval: none\nreviewers: []\n```",
        "```yaml\npause: 5\nmode: dark\n```",
        "```ts\ntype Order = { approval: string };\n```",
        "Write `config/gate.yaml` with:\n\n```yaml\napprovers: [maria]\n```",
        "```\nbuild -> test -> deploy\n```",
    ],
)
def test_other_diagrams_and_settings_are_not(block: str) -> None:
    assert found(block) == found(inside=block) == []


@pytest.mark.parametrize("line", ["CHECKPOINT;", "STOP = 1", "kill -STOP 12", "gate: human", "GO"])
def test_code_is_none(line: str) -> None:
    assert found(f"```sql\n{line}\n```") == []


@pytest.mark.parametrize(
    ("head", "doubted"),
    [
        ("approval: required", True),
        ("reviewers: [maria]", True),
        ("approvers:\n  - tom", True),
        ("sign_off: Ana", True),
        ("gate: human", True),
        ("checkpoints: 3", True),
        ("approval: none", False),
        ("reviewers: []", False),
        ("review: false", False),
        ("title: The approval", False),
        ("agents: [SOOP]", False),
    ],
)
def test_a_key_of_the_frontmatter_may_ask_for_an_approval(head: str, doubted: bool) -> None:
    stages = "# F\n\n## STAGE 1: SOOP — A\nDo it.\n\n## STAGE 2: BUILDER — B\nDo it.\n"
    outline = read_outline(f"---\nagent: x\n{head}\n---\n{stages}", "w.md")
    assert [gate.line for gate in unread_gates(outline)] == [3] * doubted


@pytest.mark.parametrize(
    "pair",
    [
        "auto_approve: false",
        "unattended: no",
        "interrupt_before: [deploy]",
        "agent: human",
        "gate: Maya",
        "wait_for: Maya",
        "escalate_to: Maya",
        "review: Tom and Maya",
        "manual: true",
        "pause_for_review: yes",
        "type: human_input",
        "uses: some/manual-approval@v1",
        "approval: no merge without Maya",
        "approval: none unless Maya objects",
        '{"stages": 2, "autoApprove": false}',
    ],
)
def test_settings_in_a_block_ask_by_key_and_value(pair: str) -> None:
    assert found(f"```yaml\n{pair}\n```") != []


@pytest.mark.parametrize(
    "line",
    [
        "approvals: 0",
        "approver: CI/bot",
        "Approver: CI",
        "**Approval:** not required",
        "approval: none",
        "auto_approve: true",
        "wait_for: postgres",
        "agent: claude",
        "checkpoint: best.ckpt",
    ],
)
def test_a_key_whose_value_names_nobody_asks_nobody(line: str) -> None:
    assert found(line) == found(f"```yaml\n{line.replace('*', '')}\n```") == []


def test_a_checkpoint_answers_a_key_that_names_nobody_else() -> None:
    text = WORKFLOW.format(between="", inside="")
    heads = ("approval: required", "checkpoints: [3]", "approver: USER", "reviewer: maria")
    told = [unread_gates(read_outline(f"---\n{head}\n---\n{text}", "w.md")) for head in heads]
    assert [bool(gates) for gates in told] == [False, False, False, True]


@pytest.mark.parametrize(
    ("gate", "title"),
    [
        ("Human-in-the-loop: yes", "Human-in-the-loop: yes"),
        ("*Do not continue without my explicit OK.*", "Do not continue without my explicit OK"),
        ("**HUMAN GATE:** the owner approves", "HUMAN GATE: the owner approves"),
        ("Wait for approval of the user.", "Wait for approval of the user"),
    ],
)
@pytest.mark.parametrize("lead", ["", "- ", "> "])
def test_only_the_line_that_asks_becomes_the_checkpoint(gate: str, title: str, lead: str) -> None:
    lines = ["Agent: SOOP", "Write `a.txt`.", "**Done when:** `a.txt` exists.", gate]
    body = "\n".join(f"{lead if lead != '- ' or not n else '  '}{s}" for n, s in enumerate(lines))
    text = f"# F\n\n## Phase 1: Build\n{body}\n\n## Phase 2: Ship (BUILDER)\nDo it.\n"
    workflow = read_workflow_text(text, Path("w.md"))
    first, asked, _ = workflow.stages
    assert (first.agent, [d.path for d in first.deliverables]) == ("SOOP", ["a.txt"])
    assert [statement.text for statement in first.statements] == ["`a.txt` exists."]
    assert (asked.is_checkpoint, asked.title, asked.line) == (True, title, 7)


def test_a_sentence_over_two_lines_stays_whole() -> None:
    assert found("Write it.\nDo not start the next stage\nwithout the approval of a person.") == [
        11
    ]


def test_a_sentence_behind_a_statement_that_asks_is_no_part_of_it() -> None:
    body = "**Done when:** `a.txt` exists. *Do not continue without my explicit OK.*"
    text = f"# F\n\n## Phase 1: A (SOOP)\n{body}\n\n## Phase 2: B (BUILDER)\nDo it.\n"
    first, asked, _ = read_workflow_text(text, Path("w.md")).stages
    assert [statement.text for statement in first.statements] == ["`a.txt` exists."]
    assert (asked.is_checkpoint, asked.title) == (True, "Do not continue without my explicit OK")


@pytest.mark.parametrize(
    ("words", "line", "is_met"),
    [
        ("**BUILDER's job after USER approves:**", 7, True),
        ("Once approved, write it.", 7, True),
        ("Begin.\n\nAfter USER approves the draft, publish it.", 9, False),
        ("Wait for approval by Maria.", 7, False),
    ],
)
def test_first_words_about_an_approval_are_met_by_the_checkpoint_before(
    words: str, line: int, is_met: bool
) -> None:
    stages = "# W\n\n## STAGE 1: USER CHECKPOINT #1 — Look\n\n## STAGE 2: BUILDER — Build\n\n"
    text = f"{stages}{words}\n\nWrite `b.txt`.\n\n## STAGE 3: BUILDER — End\n\nWrite `c.txt`.\n"
    assert [g.line for g in unread_gates(read_outline(text, "w.md"))] == ([] if is_met else [line])
    alone = text.replace("USER CHECKPOINT #1 — Look", "BUILDER — Look")
    assert [g.line for g in unread_gates(read_outline(alone, "w.md"))] == [line]


@pytest.mark.parametrize(
    "block",
    [
        "| Gate | Who decides |\n|---|---|\n| G1 | CFO |",
        "| Step | Approver |\n|---|---|\n| Schema | Ana |\n| Data | — |",
        "- [ ] 👍 from product",
        "- [ ] Product owner: approved",
        "1. Get a go from ops",
        "#### Review board",
        "Schema → *client OK* → Data",
        "`Schema -> [human review] -> Data`",
    ],
)
def test_gates_in_tables_boxes_and_arrows_are_found(block: str) -> None:
    assert found(block)


def test_a_diagram_is_looked_at_box_by_box() -> None:
    shown = "```mermaid\nflowchart LR\n A[Schema] --> B{Approved by PO?}\n B -->|yes| C[Data]\n```"
    text = f"# F\n\n{shown}\n\n## STAGE 1: BUILDER — Work\n\nDo it.\n"
    assert [g.words for g in unread_gates(read_outline(text, "w.md"))] == ["Approved by PO?"]


@pytest.mark.parametrize("column", ["Who decides", "Owner", "Responsible", "DRI"])
def test_an_agent_that_opens_a_gate_in_a_table_is_no_person(column: str) -> None:
    for name in ("INSPECTOR", "CI", "-"):
        assert found(f"| Gate | {column} |\n|---|---|\n| G1 | {name} |") == []


@pytest.mark.parametrize("title", ["Gate", "Checkpoint", "Quality gates", "Sign-off"])
@pytest.mark.parametrize("name", ["Maya", "@priya", "Dr. Chen", "CFO", "tbd"])
def test_whoever_owns_a_gate_opens_it(title: str, name: str) -> None:
    assert found(f"| {title} | Owner | Status |\n|---|---|---|\n| G1 | {name} | open |\n") == [12]


@pytest.mark.parametrize(
    ("lead", "points"),
    [
        ("Do not continue without:", "approval of the client"),
        ("Blocked until:", "the client confirms"),
        ("Get the following before going on:", "Maya's ok"),
        ("Wait for:", "Maya"),
        ("Needs:", "sign-off of legal"),
    ],
)
@pytest.mark.parametrize("mark", ["- ", "1. ", "• "])
def test_a_line_and_the_points_below_it_may_ask_together(lead: str, points: str, mark: str) -> None:
    gap = "\n" if mark == "• " else "\n\n"
    assert found(inside=f"{lead}{gap}{mark}{points}\n")


@pytest.mark.parametrize(
    ("lead", "point"),
    [
        ("Write before you go on:", "`a.txt` with the rows"),
        ("Needs:", "`b.csv` of the importer"),
        ("Wait for:", "the build"),
    ],
)
def test_other_lines_and_points_do_not(lead: str, point: str) -> None:
    assert found(inside=f"{lead}\n\n- {point}\n") == []


NAMES_APPROVERS = (
    "Reviewers: Maya and Tom",
    "approved_by: maya",
    "requires_approval: true",
    "approvals_required: 2",
    "**Gatekeeper:** Maya",
    "Reviewers: @maya, @tom",
    "Owner: BUILDER\nreviewers: maya",
    "reviewers: BUILDER, Maya",
    "requires_approval: true (Maya)",
    "review_required: yes!",
    'approver = "Maya"',
    'approvers = ["Maya", "Tom"]',
    "Reviewed by: Maya",
    "**Reviewed by:** Maya",
    "min_approvals: 2",
    "minApprovals: 2",
    "required_approvals = 1",
    "when: manual",
    "pause: true",
    "pause_before: human",
    "client_approval: required",
    "clientApproval: true",
    "legal_signoff: true",
    "qa_signoff: Maya",
    "approval_gate: true",
    "approvals_before_merge: 1",
    "approval_required_from: [Maya]",
    "to_be_approved_by: Maya",
    "signed_off_by: Maya",
    "decision_by: Maya",
    "require_approval: always",
    "required_approving_review_count: 1",
    "four_eyes: true",
    "needs_human: true",
)
NAMES_NOBODY = (
    "Reviewer: INSPECTOR",
    "Reviewers: BUILDER",
    "Reviewers: none",
    "requires_approval: false",
    "Review: see docs/review.md",
    "Review: code style",
    "Reviews: 4",
    "Checkpoints: 3",
    "Approved: 2024-03-01",
    "Checkpoint: rows counted",
    "approved_by: uuid",
    "Seed rows with approved: true",
    "Reviewed by: INSPECTOR",
    "- reviewed_by: text",
    "min_reviews: 5 per product",
    "review_count: int",
    "pause: 30s",
    "client_approval: false",
    "decision_by: text",
    "mode: dark",
    "block: main",
    "`approver = 'Maya'` is a default.",
)


@pytest.mark.parametrize("lead", ["", "- "])
@pytest.mark.parametrize("line", NAMES_APPROVERS)
def test_a_line_that_names_approvers_is_found_outside_of_a_block_of_settings(
    line: str, lead: str
) -> None:
    assert found(inside=lead + line) == [8]


def test_a_run_of_spaces_takes_no_long_time() -> None:
    assert found(inside=f"Approver{' ' * 20_000}: Maya") == [8]
    assert found(inside=f"Approver{' ' * 2_000}x: Maya") == []


@pytest.mark.parametrize("line", NAMES_NOBODY)
def test_a_line_that_names_nobody_is_none(line: str) -> None:
    assert found(inside=line) == []


@pytest.mark.parametrize("lead", ["", "- "])
def test_only_the_sentence_that_asks_becomes_the_checkpoint(lead: str) -> None:
    text = f"# F\n\n## Phase 1: Build\nAgent: SOOP\n\n{lead}Write `a.txt`. Wait for approval.\n"
    text += "\n## Phase 2: Ship (BUILDER)\nDo it.\n"
    workflow = read_workflow_text(text, Path("w.md"))
    first, asked, _ = workflow.stages
    assert [d.path for d in first.deliverables] == ["a.txt"]
    assert (asked.is_checkpoint, asked.title) == (True, "Wait for approval")


WAITS, WAITS_NOT = (
    part.splitlines()[1:]
    for part in (FIXTURES.parent / "gate_wordings.txt").read_text(encoding="utf-8").split("\n\n")
)


@pytest.mark.parametrize("words", WAITS)
def test_what_waits_for_a_person_is_told(words: str) -> None:
    assert found(words)


@pytest.mark.parametrize("words", WAITS_NOT)
def test_what_waits_for_nobody_is_not(words: str) -> None:
    assert found(words) == []
