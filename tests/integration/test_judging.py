"""DESIGN 6.0: whatever ends in COMPLETE has every statement judged, and as USER has taken it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestrator.approvals.answers import AnswerRefusedError
from orchestrator.conductor.conductor import Conductor, RunOutcome
from orchestrator.doctor.runner import examine
from orchestrator.domain import machine
from orchestrator.domain.agent import Job, NewTicket, Outcome, Report
from orchestrator.domain.plan import make_plan
from orchestrator.domain.record import Flow
from orchestrator.errors import IllegalMoveError
from orchestrator.settings.config import Settings
from orchestrator.tickets.board import Board
from orchestrator.workflow_reader.parser import read_workflow_text

CHILD = """\
---
id: {id}
title: t
status: 03_BUILD
owner: BUILDER
parent: WO-1
---
# {id}

{text}"""
PARENT = """\
---
id: WO-1
title: t
status: 00_INBOX
owner: LEAD
pipeline_workflow: workflows/w.md
---
# WO-1

"""
METRICS = """
## Success metrics

| Metric | Target | Verified By |
|---|---|---|
| orders rows | at least 300 | USER |
"""


@dataclass
class Maker:
    """Does nothing but report; splits off the children that it was given."""

    name: str
    children: Sequence[NewTicket] = ()

    def work(self, job: Job) -> Report:
        said = f"## {self.name} DONE {job.attempt}\n\n- [ ] an agent's box\n"
        return Report(outcome=Outcome.DONE, section=said, tickets=tuple(self.children))


class Shop:
    """A workspace with one family, WO-1, whose workflow and tickets a test writes."""

    def __init__(self, root: Path, workflow: str, ticket: str, **children: str) -> None:
        self.root = root
        (root / "workflows").mkdir(parents=True)
        (root / "workflows/w.md").write_text(workflow, encoding="utf-8")
        (root / "there.md").write_text("text\n", encoding="utf-8")
        self.inbox = root / "_WORK_ORDERS/00_INBOX"
        self.inbox.mkdir(parents=True)
        (self.inbox / "WO-1_x.md").write_text(PARENT + ticket, encoding="utf-8")
        self.children = [
            NewTicket(
                id=f"WO-1{letter}",
                agent="BUILDER",
                filename=f"WO-1{letter}_x.md",
                text=CHILD.format(id=f"WO-1{letter}", text=text),
            )
            for letter, text in children.items()
        ]

    @property
    def conductor(self) -> Conductor:
        agents = {"LEAD": Maker("LEAD", self.children), "BUILDER": Maker("BUILDER")}
        # a drawn ticket may have all its boxes ticked, with which nothing is begun by itself
        return Conductor(Board(self.root), agents=agents, accept_doubts=["says-finished"])

    def run(self) -> RunOutcome:
        return self.conductor.run("WO-1")

    def question(self) -> dict[str, Any]:
        question = self.conductor.status("WO-1")["question"]
        assert question is not None
        return dict(question)

    def approve(self, *accept: str, unproven: bool = False) -> None:
        self.conductor.approve("WO-1", accept=accept, accept_unproven=unproven)

    def accept_all(self) -> None:
        question = self.question()
        self.approve(*(s["text"] for s in question["failed"]), unproven=bool(question["unproven"]))

    def records(self, kind: str) -> list[dict[str, Any]]:
        file = self.root / "_WORK_ORDERS/.receipts/WO-1.jsonl"
        lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        return [r for r in lines if r["type"] == kind]

    def file(self, id: str) -> Path:
        (found,) = (self.root / "_WORK_ORDERS").rglob(f"{id}_*.md")
        return found

    def add(self, text: str, id: str = "WO-1") -> None:
        path = self.file(id)
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


BUILD = "## STAGE 1: BUILDER — Build\n\nDo it.\n\n**Done when:** `there.md` exists\n\n"
LOOK = (
    "## STAGE 9: USER CHECKPOINT #1 — Look\n\n"
    "**Done when:** USER approves. WO-1 moves to `06_COMPLETE`.\n"
)
QUICK = f"# Quick\n\n{BUILD}{LOOK}"
CRITERIA = "## Acceptance Criteria\n\n- [ ] `missing.md` exists\n- [ ] `there.md` exists\n"


def names(statements: list[dict[str, str]]) -> set[str]:
    return {s["text"] for s in statements}


def test_a_workflow_without_inspector_judges_the_tickets_criteria(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path, QUICK, CRITERIA + "- [] The colours are nice\n\nDone when: `b.md` exists\n"
    )
    assert shop.run().outcome == "waiting"
    question = shop.question()
    assert names(question["failed"]) == {"`missing.md` exists", "`b.md` exists"}
    assert names(question["unproven"]) == {"The colours are nice"}
    assert "`there.md` exists" in names(question["proven"])
    assert "- [x] `there.md` exists · receipt" in shop.file("WO-1").read_text(encoding="utf-8")
    with pytest.raises(AnswerRefusedError, match=r"missing\.md"):
        shop.approve()
    shop.accept_all()
    assert shop.run().outcome == "complete"
    assert shop.file("WO-1").parent.name == "06_COMPLETE"


@pytest.mark.parametrize("workflow", [f"# None\n\n{BUILD}", QUICK])
def test_a_workflow_without_a_checkpoint_asks(tmp_path: Path, workflow: str) -> None:
    shop = Shop(tmp_path, workflow, CRITERIA)
    assert shop.run().outcome == "waiting"
    assert names(shop.question()["failed"]) == {"`missing.md` exists"}


SPLIT = (
    "# Split\n\n## STAGE 0: LEAD — Split\n\nSplit into two tickets:\n- **WO-1a** → BUILDER (a)\n"
    "- **WO-1b** → BUILDER (b)\n\n**Done when:** `there.md` exists\n\n"
    "## STAGE 1: BUILDER — Build\n\n1. Read WO-1a and WO-1b\n\n**Done when:** `there.md` exists\n\n"
    "{inspect}" + LOOK
)
INSPECT = "## STAGE 5: INSPECTOR — QA of WO-1a and WO-1b\n\n- [ ] `there.md` exists\n\n"


@pytest.mark.parametrize("inspect", ["", INSPECT])
def test_the_parent_of_a_split_is_judged_too(tmp_path: Path, inspect: str) -> None:
    parent = "## Requirements\n\nCustomers read their own orders.\n"
    child = "## Acceptance Criteria\n\n- [ ] Signs are green\n"
    shop = Shop(tmp_path, SPLIT.format(inspect=inspect), parent, a=child, b="")
    assert shop.run().outcome == "waiting"
    question = shop.question()
    assert names(question["unproven"]) == {"Customers read their own orders.", "Signs are green"}
    assert question["without_criteria"] == ["WO-1b"]
    # by the last inspection if there is one, else at the question
    stages = {r["stage"] for r in shop.records("receipt") if r["statement"]["ticket"] == "WO-1"}
    assert stages == ({5} if inspect else {9})
    shop.accept_all()
    assert shop.run().outcome == "complete"


def test_7_3_a_criterion_that_appears_later_is_not_covered(tmp_path: Path) -> None:
    shop = Shop(tmp_path, QUICK, "")
    shop.run()
    assert shop.question()["without_criteria"] == ["WO-1"]
    shop.add("\n## Acceptance Criteria\n\n- [ ] `workflows/w.md` is there\n")
    # before the answer: it is not taken
    with pytest.raises(AnswerRefusedError, match=r"“`workflows/w\.md` is there” was not shown"):
        shop.approve()
    assert "`workflows/w.md` is there" in names(shop.question()["proven"])
    shop.approve()
    # after the answer, and before the family goes on
    shop.add("\n## Checklist\n\n- [ ] `late.md` exists\n- [ ] `workflows/w.md` exists\n")
    assert shop.run().outcome == "waiting"
    question = shop.question()
    assert names(question["failed"]) == {"`late.md` exists"}
    assert names(question["proven"]) == {"`workflows/w.md` exists"}
    shop.approve("`late.md` exists")
    assert shop.run().outcome == "complete"


def lay_child(shop: Shop, text: str, folder: str) -> None:
    place = shop.root / "_WORK_ORDERS" / folder
    place.mkdir(exist_ok=True)
    text = CHILD.format(id="WO-1c", text=text).replace("03_BUILD", folder)
    (place / "WO-1c_x.md").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("folder", ["00_INBOX", "03_BUILD", "05_USER_REVIEW"])
def test_6_0_a_child_that_comes_late_is_judged_with_its_family(
    tmp_path: Path, folder: str, approved: bool
) -> None:
    shop = Shop(tmp_path, SPLIT.format(inspect=""), CRITERIA, a="", b="")
    shop.run()
    if approved:
        shop.accept_all()
    lay_child(shop, "## Acceptance Criteria\n\n- [ ] `late.md` exists\n", folder)
    if not approved:
        with pytest.raises(AnswerRefusedError) as refused:
            shop.accept_all()
        assert refused.value.code == "answer-stale"
    assert shop.run().outcome == "waiting"
    assert "`late.md` exists" in names(shop.question()["failed"])
    shop.accept_all()
    assert shop.run().outcome == "complete"
    assert shop.file("WO-1c").parent.name == "06_COMPLETE"


def test_2_5_a_child_that_comes_after_the_end_is_told(tmp_path: Path) -> None:
    shop = Shop(tmp_path, SPLIT.format(inspect=""), CRITERIA, a="", b="")
    shop.run()
    shop.accept_all()
    assert shop.run().outcome == "complete"
    lay_child(shop, "", "03_BUILD")
    found = examine(shop.conductor.board, Settings()).problems
    assert [(f.path, f.line) for f in found if f.code == "child-left"] == [
        ("_WORK_ORDERS/03_BUILD/WO-1c_x.md", 6)
    ]


def test_7_3_a_send_back_at_the_gate_is_asked_again_as_a_whole(tmp_path: Path) -> None:
    shop = Shop(tmp_path, QUICK, CRITERIA)
    shop.run()
    shop.accept_all()
    shop.add("\n## Checklist\n\n- [ ] `late.md` exists\n")
    assert shop.run().outcome == "waiting"
    shop.conductor.send_back("WO-1", note="Write late.md.")
    (tmp_path / "late.md").write_text("now\n", encoding="utf-8")
    assert shop.run().outcome == "waiting"
    question = shop.question()
    assert question["kind"] == "checkpoint"
    assert {"`late.md` exists", "`there.md` exists"} <= names(question["proven"])
    shop.accept_all()
    assert shop.run().outcome == "complete"


def test_3_2_a_reopened_family_is_judged_anew(tmp_path: Path) -> None:
    shop = Shop(tmp_path, QUICK, CRITERIA)
    shop.run()
    shop.accept_all()
    assert shop.run().outcome == "complete"
    shop.conductor.reopen("WO-1")
    assert shop.run().outcome == "waiting"
    with pytest.raises(AnswerRefusedError, match=r"missing\.md"):
        shop.approve()


def test_7_3_a_criterion_that_was_shown_and_is_gone_is_told(tmp_path: Path) -> None:
    shop = Shop(tmp_path, QUICK, CRITERIA)
    shop.run()
    path = shop.file("WO-1")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("- [ ] `missing.md` exists\n", "", 1), encoding="utf-8")
    with pytest.raises(AnswerRefusedError, match="no longer demanded"):
        shop.approve()


def test_4_7_what_is_not_read_is_told_and_covered(tmp_path: Path) -> None:
    shop = Shop(tmp_path, QUICK, "## Tasks\n\n- [ ] `missing.md` exists\n")
    shop.run()
    (line,) = shop.question()["not_read"]
    number = (
        shop.file("WO-1")
        .read_text(encoding="utf-8")
        .splitlines()
        .index("- [ ] `missing.md` exists")
    )
    assert line.startswith(f"WO-1, line {number + 1}: 1 box under “Tasks”")
    shop.add("\n## Plan\n\n- [ ] more\n")
    with pytest.raises(AnswerRefusedError, match="not read as criteria"):
        shop.approve()
    assert len(shop.question()["not_read"]) == 2
    shop.approve()
    assert shop.run().outcome == "complete"


def test_4_8_the_headings_of_the_workspace_are_read(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text(
        '[board]\ncriteria_headings = ["Akzeptanzkriterien"]\n', encoding="utf-8"
    )
    shop = Shop(tmp_path, QUICK, "## Akzeptanzkriterien\n\n- [ ] `missing.md` exists\n")
    shop.run()
    assert names(shop.question()["failed"]) == {"`missing.md` exists"}
    assert shop.question()["not_read"] == []


@pytest.mark.parametrize(
    ("criterion", "asked"), [("WO-1 is in `04_QA`", True), ("WO-1 is in `06_COMPLETE`", False)]
)
def test_where_a_ticket_has_to_lie_is_foreseen(tmp_path: Path, criterion: str, asked: bool) -> None:
    shop = Shop(tmp_path, QUICK, f"## Acceptance Criteria\n\n- [ ] {criterion}\n")
    shop.run()
    shop.approve()
    assert shop.run().outcome == ("waiting" if asked else "complete")
    if asked:
        assert names(shop.question()["failed"]) == {criterion}
        shop.approve(criterion)
        assert shop.run().outcome == "complete"


def test_what_only_effects_could_show_is_unproven_without_them(tmp_path: Path) -> None:
    claim = "`orders` holds at least 300 rows"
    shop = Shop(tmp_path, QUICK + METRICS, f"## Acceptance Criteria\n\n- [ ] {claim}\n")
    shop.run()
    assert len(shop.question()["unproven"]) == 2


def test_6_5_verify_knows_what_was_never_judged(tmp_path: Path) -> None:
    shop = Shop(tmp_path, QUICK, CRITERIA)
    shop.run()
    shop.accept_all()
    shop.run()
    assert all(v.holds for v in shop.conductor.verify("WO-1"))
    # what USER took is not a problem of the board
    assert examine(shop.conductor.board, Settings()).problems == ()
    shop.add("\n## Checklist\n\n- [ ] `late.md` exists\n")
    problems = examine(shop.conductor.board, Settings()).problems
    assert [(p.code, p.message) for p in problems] == [
        ("boxes-open", "complete, but never judged: 1 of 3 criteria")
    ]
    (late,) = [v for v in shop.conductor.verify("WO-1") if not v.holds]
    assert (late.statement, late.then, late.now) == ("`late.md` exists", "not judged", "failed")


def test_the_machine_refuses_to_complete_what_is_unsettled() -> None:
    workflow = read_workflow_text(QUICK, Path("w.md"))
    plan = make_plan(workflow, "WO-1", {}, "INSPECTOR", 2)
    with pytest.raises(IllegalMoveError, match="`a` exists"):
        machine.complete(Flow(workflow="w", sha256="s"), plan, plan.last, ["`a` exists"])


# -- any workflow, any ticket ----------------------------------------------------------------

#: words of a criterion → its verdict
CLAIMS = {
    "`there.md` exists": "proven", "`workflows/w.md` exists": "proven",
    "`missing.md` exists": "failed", "`gone.md` exists": "failed",
    "The colours are nice": "unproven", "People like it": "unproven",
}  # fmt: skip
LINES = [
    "- [ ] {}", "- [] {}", "-[ ] {}", "- [x] {}", "* {}", "2. {}", "{}", "> - [ ] {}",
    "| | what |\n|---|---|\n| [ ] | {} |",
]  # fmt: skip
HEADS = ["## Acceptance Criteria", "## Requirements", "**Definition of Done**", "## AC"]


SPLIT_STAGE = (
    "LEAD — Split\n\nSplit into two tickets:\n"
    "- **WO-1a** → BUILDER (a)\n- **WO-1b** → BUILDER (b)\n"
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, frozenset[str]]:
    """A ticket's text, and what it demands."""
    claims = draw(st.lists(st.sampled_from(sorted(CLAIMS)), max_size=3, unique=True))
    if not claims:
        return "Words.\n", frozenset()
    inline = draw(st.booleans()) and f"Words.\n\n**Done when:** {claims[0]}\n\n"
    listed = claims[1:] if inline else claims
    head = draw(st.sampled_from(HEADS))
    # a label heads one list or paragraph, a heading all that is below it
    shapes = [shape for shape in LINES if shape != "{}" or head.startswith("#")]
    lines = [draw(st.sampled_from(shapes)).format(c) for c in listed]
    text = "\n\n".join([head, *lines]) + "\n" if lines else ""
    return f"{inline or ''}{text}", frozenset(claims)


@st.composite
def workflows(draw: st.DrawFn) -> tuple[str, bool]:
    """A workflow, and whether it splits."""
    split = draw(st.booleans())
    stages = [SPLIT_STAGE] if split else []
    makers = ["1. Read WO-1a\n", "1. Read WO-1b\n"] if split else ["Do it.\n"]
    checkpoints = 0
    for number, what in enumerate(makers):
        done = draw(
            st.sampled_from(
                ["", *(f"\n**Done when:** {c}\n" for c in ("`there.md` exists", "It is good"))]
            )
        )
        stages.append(f"BUILDER — Build {number}\n\n{what}{done}")
        if draw(st.booleans()):
            checkpoints += 1
            stages.append(f"USER CHECKPOINT #{checkpoints} — Look\n")
    if draw(st.booleans()):
        stages.insert(
            draw(st.integers(int(split), len(stages))),
            "INSPECTOR — QA\n\n- [ ] `there.md` exists\n",
        )
    if draw(st.booleans()):
        stages.append(
            f"USER CHECKPOINT #{checkpoints + 1} — The end\n\n**Done when:** USER approves.\n"
        )
    heads = (f"## STAGE {n}: {text}" for n, text in enumerate(stages))
    return "# W\n\n" + "\n\n".join(heads) + "\n", split


@pytest.mark.timeout(400)
@settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    workflows(),
    bodies(),
    bodies(),
    bodies(),
    st.lists(st.sampled_from(["bare", "all", "late"]), min_size=8, max_size=8),
)
def test_6_0_whatever_completes_has_every_statement_judged(
    workflow: tuple[str, bool],
    parent: tuple[str, frozenset[str]],
    a: tuple[str, frozenset[str]],
    b: tuple[str, frozenset[str]],
    answers: list[str],
) -> None:
    text, split = workflow
    with TemporaryDirectory() as folder:
        children = {"a": a[0], "b": b[0]} if split else {}
        shop = Shop(Path(folder), text, parent[0], **children)
        wanted = {"WO-1": set(parent[1])}
        if split:
            wanted |= {"WO-1a": set(a[1]), "WO-1b": set(b[1])}
        outcome = shop.run()
        for how in answers:
            if outcome.outcome == "held":
                shop.conductor.resume("WO-1")
            elif shop.conductor.status("WO-1")["question"] is not None:
                try:
                    shop.accept_all() if how != "bare" else shop.approve()
                except AnswerRefusedError:
                    continue
                if how == "late":
                    shop.add("\n## Acceptance Tests\n\n- [ ] `late.md` exists\n")
                    wanted["WO-1"].add("`late.md` exists")
            outcome = shop.run()
            if outcome.outcome == "complete":
                break
        if outcome.outcome == "complete":
            assert_settled(shop, wanted)
        else:
            assert shop.file("WO-1").parent.name != "06_COMPLETE"


def assert_settled(shop: Shop, wanted: dict[str, set[str]]) -> None:
    """Every criterion has a receipt that is proven, or that USER's answers name."""
    newest = {
        (r["statement"]["ticket"], r["statement"]["text"]): r for r in shop.records("receipt")
    }
    sheets = {q["digest"]: q["sheet"]["statements"] for q in shop.records("question")}
    approved = [a for a in shop.records("answer") if a["answer"] == "approved"]
    named = {name.rsplit(" @", 1)[0] for a in approved for name in a["accepted"]}
    taken = {
        s["text"]
        for a in approved
        if a["accept_unproven"]
        for s in sheets[a["digest"]]
        if s["verdict"] == "unproven"
    }
    for member, texts in wanted.items():
        for text in texts:
            verdict = newest[member, text]["verdict"]
            assert verdict == CLAIMS.get(text, "failed")
            assert verdict == "proven" or text in (named if verdict == "failed" else taken)
