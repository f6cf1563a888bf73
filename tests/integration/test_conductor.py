"""The conductor on real files: the story of a family, its answers, failures, holds and crashes."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from orchestrator.approvals.answers import AnswerRefusedError
from orchestrator.domain.agent import Artifact, Job, NewTicket, Outcome, Report
from orchestrator.errors import BusyError, IllegalMoveError, TicketError, WorkflowError
from orchestrator.settings.agents import AgentSettings
from orchestrator.settings.config import Settings
from orchestrator.storage import atomic
from orchestrator.storage.locks import family_lock
from tests.boards import TICKET, WORKFLOW, Workspace, Writer


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_the_story_from_inbox_to_complete(work: Workspace) -> None:
    conductor = work.conductor()
    first = conductor.run("WO-512")
    assert (first.outcome, first.stage, first.exit_code) == ("waiting", 3, 10)
    assert work.places() == {
        "WO-512": "05_USER_REVIEW",
        "WO-512a": "04_QA",
        "WO-512b": "03_BUILD",
    }
    conductor.approve("WO-512")
    assert work.places()["WO-512"] == "01_TRIAGE"
    second = conductor.run("WO-512")
    assert (second.outcome, second.stage) == ("waiting", 7)
    assert set(work.places().values()) == {"05_USER_REVIEW"}
    conductor.approve("WO-512")
    assert conductor.run("WO-512").exit_code == 0
    assert set(work.places().values()) == {"06_COMPLETE"}
    assert conductor.run("WO-512").outcome == "complete"
    assert [len(w.jobs) for w in (work.soop, work.builder, work.analyst)] == [1, 1, 1]


def test_4_7_nobody_builds_before_the_answer(work: Workspace) -> None:
    work.conductor().run("WO-512")
    assert not (work.root / "out/second.txt").exists()
    assert work.conductor().run("WO-512").outcome == "waiting"
    assert work.builder.jobs == []


def test_2_4_every_line_that_a_person_wrote_is_still_there(work: Workspace) -> None:
    work.to_the_end()
    work.conductor().approve("WO-512")
    work.conductor().run("WO-512")
    lines = work.file("WO-512").read_text(encoding="utf-8").splitlines()
    for line in TICKET.splitlines():
        if not line.startswith(("status:", "owner:")):
            assert line in lines
    assert lines.index("id: WO-512") < lines.index("zebra: last")


def test_6_4_boxes_are_ticked_with_their_receipts(work: Workspace) -> None:
    work.to_the_end()
    text = work.file("WO-512b").read_text(encoding="utf-8")
    assert "- [ ]" not in text
    ticked = next(line for line in text.splitlines() if line.startswith("- [x]"))
    receipt = ticked.rsplit("receipt ", 1)[1].strip()
    history = (work.root / "_WORK_ORDERS/.receipts/WO-512.jsonl").read_text(encoding="utf-8")
    ids = {json.loads(line).get("id") for line in history.splitlines()}
    assert receipt in ids


# -- answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["APPROVED", "approved ", '"Approved"'])
def test_7_2_user_approves_by_editing_the_status(work: Workspace, status: str) -> None:
    work.conductor().run("WO-512")
    work.edit("WO-512", "status: 05_USER_REVIEW", f"status: {status}")
    assert work.conductor().run("WO-512").stage == 7
    head = work.file("WO-512").read_text(encoding="utf-8").split("---")[1]
    assert re.search(r'^status: "?05_USER_REVIEW"?\s*$', head, re.MULTILINE)


def test_7_2_nonsense_is_reported_and_changes_nothing(work: Workspace) -> None:
    work.conductor().run("WO-512")
    work.edit("WO-512", "status: 05_USER_REVIEW", "status: SURE_WHY_NOT")
    before = work.file("WO-512").read_bytes()
    outcome = work.conductor().run("WO-512")
    assert outcome.exit_code == 10
    assert "SURE_WHY_NOT" in outcome.reasons[0]
    assert "APPROVED, CHANGES_REQUESTED or HOLD" in outcome.reasons[0]
    assert work.file("WO-512").read_bytes() == before
    assert work.builder.jobs == []


def test_7_2_an_approval_in_a_child_is_explained_not_taken(work: Workspace) -> None:
    work.conductor().run("WO-512")
    work.edit("WO-512a", "status: 04_QA", "status: APPROVED")
    outcome = work.conductor().run("WO-512")
    assert "belongs in WO-512" in outcome.reasons[0]
    assert work.builder.jobs == []


def test_7_2_changes_requested_on_a_child_beats_an_approval_on_the_parent(work: Workspace) -> None:
    work.conductor().run("WO-512")
    work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
    work.edit("WO-512", "### USER\n", "### USER\n\nUse other words.\n")
    work.edit("WO-512a", "status: 04_QA", "status: CHANGES_REQUESTED")
    outcome = work.conductor().run("WO-512")
    assert outcome.stage == 3
    assert [j.words for j in work.soop.jobs] == ["", "Use other words."]
    assert work.builder.jobs == []


def test_3_2_a_send_back_carries_the_words_and_is_no_failure(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    with pytest.raises(AnswerRefusedError, match="words"):
        conductor.send_back("WO-512")
    conductor.send_back("WO-512", note="Say it in Latin.")
    assert work.places()["WO-512a"] == "03_BUILD"
    assert work.places()["WO-512"] == "01_TRIAGE"
    assert conductor.run("WO-512").stage == 3
    assert (work.soop.jobs[1].attempt, work.soop.jobs[1].words) == (2, "Say it in Latin.")
    text = work.file("WO-512a").read_text(encoding="utf-8")
    assert "> Say it in Latin." in text
    assert "failure_count: 0" in text


def test_7_3_an_answer_over_changed_bytes_is_not_taken_and_asked_again(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    (work.root / "out/first.txt").write_text("something else", encoding="utf-8")
    with pytest.raises(AnswerRefusedError, match=r"first\.txt") as caught:
        conductor.approve("WO-512")
    assert caught.value.code == "answer-stale"
    assert "question 2" in work.file("WO-512").read_text(encoding="utf-8")
    assert work.builder.jobs == []
    conductor.approve("WO-512")
    assert conductor.run("WO-512").stage == 7


def test_7_3_an_approval_lapses_when_what_it_covered_changes_later(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    conductor.approve("WO-512")
    (work.root / "out/first.txt").write_text("rewritten", encoding="utf-8")
    outcome = conductor.run("WO-512")
    assert outcome.stage == 3
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert "Asked again" in text
    assert work.builder.jobs == []


def test_7_5_undo_withdraws_an_approval(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    conductor.approve("WO-512")
    assert conductor.undo("WO-512").outcome == "waiting"
    assert conductor.run("WO-512").stage == 3
    assert work.builder.jobs == []


def test_4_4_a_workflow_changed_under_way_is_a_question(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    conductor.approve("WO-512")
    workflow = work.root / "workflows/two-files.md"
    workflow.write_text(WORKFLOW + "\nA new line.\n", encoding="utf-8")
    outcome = conductor.run("WO-512")
    assert outcome.outcome == "waiting"
    assert work.builder.jobs == []
    assert "has changed since" in work.file("WO-512").read_text(encoding="utf-8")
    conductor.approve("WO-512")
    assert conductor.run("WO-512").stage == 3


# -- failures --------------------------------------------------------------------------------


def _forgets(job: Job) -> Report:
    return Report(outcome=Outcome.DONE)


def test_3_2_a_failed_gate_sends_back_counts_and_strikes_out(work: Workspace) -> None:
    work.soop.act = _forgets
    outcome = work.conductor().run("WO-512")
    assert (outcome.outcome, outcome.exit_code) == ("held", 11)
    assert [j.attempt for j in work.soop.jobs] == [1, 2]
    assert "out/first.txt is missing" in work.soop.jobs[1].findings[0].detail
    text = work.file("WO-512a").read_text(encoding="utf-8")
    assert work.places()["WO-512a"] == "98_HOLD"
    for expected in ("failure_count: 2", "hold_reason:", "held_at:", "held_from: 03_BUILD"):
        assert expected in text
    assert text.count("## FAILED at STAGE 2") == 2


def test_3_2_resume_from_hold_sets_the_count_to_0_and_goes_on(work: Workspace) -> None:
    work.soop.act = _forgets
    work.conductor().run("WO-512")
    work.soop.act = None
    assert work.conductor().resume("WO-512").outcome == "waiting"
    assert work.conductor().run("WO-512").stage == 3
    text = work.file("WO-512a").read_text(encoding="utf-8")
    assert "failure_count: 0" in text
    assert "hold_reason" not in text


def test_3_2_a_failed_qa_returns_the_child_whose_statement_failed(work: Workspace) -> None:
    work.analyst.act = work.analyst.act
    conductor = work.conductor()
    conductor.run("WO-512")
    conductor.approve("WO-512")

    def loses_it(job: Job) -> Report:
        report = work.builder.write(job, f"attempt {job.attempt}")
        if job.attempt == 1:
            (work.root / "out/second.txt").write_text("", encoding="utf-8")
            empty = atomic.sha256_file(work.root / "out/second.txt")
            item = report.artifacts[0].model_copy(update={"sha256": empty})
            return report.model_copy(update={"artifacts": (item,)})
        return report

    work.builder.act = loses_it
    outcome = conductor.run("WO-512")
    assert outcome.stage == 7
    assert [j.attempt for j in work.builder.jobs] == [1, 2]
    assert "failure_count: 1" in work.file("WO-512b").read_text(encoding="utf-8")
    assert len(work.soop.jobs) == 1


def test_6_3_cannot_asks_user_at_once_and_costs_no_strike(work: Workspace) -> None:
    work.soop.act = lambda job: Report(outcome=Outcome.CANNOT, reason="the number is taken")
    conductor = work.conductor()
    outcome = conductor.run("WO-512")
    assert (outcome.outcome, outcome.stage) == ("waiting", 2)
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert "the number is taken" in text
    assert "failure_count" not in text
    with pytest.raises(AnswerRefusedError, match="not accepted"):
        conductor.approve("WO-512")
    conductor.approve("WO-512", accept=["`out/first.txt` exists"])
    assert conductor.run("WO-512").stage == 3
    receipts = [r for r in conductor.log("WO-512") if r["type"] == "receipt"]
    assert {r["verdict"] for r in receipts if "first.txt` exists" in r["statement"]["text"]} == {
        "failed"
    }


def test_5_3_needs_person_waits_says_so_and_costs_nothing(work: Workspace) -> None:
    work.soop.act = lambda job: Report(outcome=Outcome.NEEDS_PERSON, reason="draw the first file")
    outcome = work.conductor().run("WO-512")
    assert (outcome.outcome, outcome.exit_code) == ("waiting", 10)
    assert "draw the first file" in outcome.reasons[0]
    assert work.places()["WO-512a"] == "03_BUILD"
    (work.root / "out").mkdir()
    (work.root / "out/first.txt").write_text("drawn by a person", encoding="utf-8")
    assert work.conductor().run("WO-512").stage == 3
    assert len(work.soop.jobs) == 1


def test_6_2_an_unproven_statement_is_listed_and_the_approval_has_to_take_it(
    tmp_path: Path,
) -> None:
    text = WORKFLOW.replace(
        "**Done when:** `out/first.txt` exists", "**Done when:** the file pleases the eye"
    )
    work = Workspace(tmp_path, text)
    conductor = work.conductor()
    assert conductor.run("WO-512").stage == 3
    section = work.file("WO-512").read_text(encoding="utf-8")
    assert "**Unproven (1)**" in section
    with pytest.raises(AnswerRefusedError, match="unproven"):
        conductor.approve("WO-512")
    work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED\naccept: unproven")
    assert conductor.run("WO-512").stage == 7
    assert "accept:" not in work.file("WO-512").read_text(encoding="utf-8").split("---")[1]


# -- wishes ----------------------------------------------------------------------------------


def test_2_2_a_file_moved_by_hand_is_put_back_with_a_notice(work: Workspace) -> None:
    work.conductor().run("WO-512")
    source = work.file("WO-512b")
    target = work.root / "_WORK_ORDERS/06_COMPLETE"
    target.mkdir(exist_ok=True)
    source.rename(target / source.name)
    work.conductor().run("WO-512")
    assert work.places()["WO-512b"] == "03_BUILD"
    assert any("by hand" in e.text for e in work.events if e.kind == "notice")


def test_2_2_hold_by_status_and_back(work: Workspace) -> None:
    work.conductor().run("WO-512")
    work.edit("WO-512", "status: 05_USER_REVIEW", "status: HOLD")
    assert work.conductor().run("WO-512").exit_code == 11
    assert work.places()["WO-512"] == "98_HOLD"
    work.conductor().resume("WO-512")
    assert work.conductor().run("WO-512").stage == 3


def test_2_2_resume_by_setting_the_status_back(work: Workspace) -> None:
    work.conductor().run("WO-512")
    work.edit("WO-512", "status: 05_USER_REVIEW", "status: HOLD")
    work.conductor().run("WO-512")
    work.edit("WO-512", "status: 98_HOLD", "status: 04_QA")
    outcome = work.conductor().run("WO-512")
    assert (outcome.exit_code, "to resume it, set 01_TRIAGE" in outcome.reasons[0]) == (11, True)
    work.edit("WO-512", "status: 04_QA", "status: 01_TRIAGE")
    assert work.conductor().run("WO-512").stage == 3
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert not {"held_at", "held_from", "hold_reason"} & set(re.findall(r"^(\w+):", text, re.M))


def test_2_2_a_stale_save_of_a_held_ticket_does_not_resume_it(work: Workspace) -> None:
    work.conductor().run("WO-512")
    before = work.file("WO-512b").read_bytes()
    work.conductor().hold("WO-512b", reason="waits for paint")
    work.file("WO-512b").write_bytes(before)
    assert work.conductor().run("WO-512").outcome == "held"
    assert "hold_reason: waits for paint" in work.file("WO-512b").read_text(encoding="utf-8")


def test_3_2_shelve_and_back_by_command_and_by_status(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    with pytest.raises(IllegalMoveError, match="from USER_REVIEW"):
        conductor.shelve("WO-512")
    conductor.hold("WO-512", reason="later")
    assert conductor.shelve("WO-512").outcome == "held"
    assert work.places()["WO-512"] == "08_BACKLOG"
    assert conductor.run("WO-512").outcome == "held"
    work.edit("WO-512", "status: 08_BACKLOG", "status: HOLD")
    assert conductor.run("WO-512").outcome == "held"
    assert work.places()["WO-512"] == "98_HOLD"
    work.edit("WO-512", "status: 98_HOLD", "status: backlog")
    assert conductor.run("WO-512").outcome == "held"
    assert work.places()["WO-512"] == "08_BACKLOG"
    conductor.resume("WO-512")
    assert conductor.run("WO-512").stage == 3
    assert work.places()["WO-512"] == "05_USER_REVIEW"


def test_3_2_a_finished_family_is_reopened_for_a_new_round(work: Workspace) -> None:
    conductor = work.conductor()
    for _ in range(2):
        conductor.run("WO-512")
        conductor.approve("WO-512")
    assert conductor.run("WO-512").outcome == "complete"
    work.edit("WO-512", "status: 06_COMPLETE", "status: 01_TRIAGE")
    outcome = conductor.run("WO-512")
    assert (outcome.outcome, outcome.stage) == ("waiting", 3)
    assert work.places()["WO-512a"] == "04_QA"
    assert [job.attempt for job in work.soop.jobs] == [1, 2]
    conductor.archive("WO-512")
    assert set(work.places().values()) == {"07_ARCHIVED"}
    conductor.reopen("WO-512")
    assert set(work.places().values()) == {"01_TRIAGE"}
    assert conductor.run("WO-512").stage == 3


# -- beginnings ------------------------------------------------------------------------------


def test_an_existing_child_is_adopted_unchanged(work: Workspace) -> None:
    build = work.root / "_WORK_ORDERS/03_BUILD"
    build.mkdir()
    own = "---\nid: WO-512b\nstatus: 03_BUILD\nowner: BUILDER\nparent: WO-512\n---\nMine.\n"
    (build / "WO-512b_own.md").write_text(own, encoding="utf-8")
    work.conductor().run("WO-512")
    assert (build / "WO-512b_own.md").read_text(encoding="utf-8") == own
    assert sorted(work.places()) == ["WO-512", "WO-512a", "WO-512b"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (
            [("Read WO-512a", "Read WO-999a"), ("3. Move WO-512a", "3. Move WO-999a")],
            "foreign-ticket",
        ),
        ([("SOOP — First", "NOBODY — First")], "no-such-agent"),
    ],
)
def test_4_7_what_the_workflow_names_has_to_be_there(
    tmp_path: Path, changes: list[tuple[str, str]], code: str
) -> None:
    text = WORKFLOW
    for old, new in changes:
        text = text.replace(old, new)
    work = Workspace(tmp_path, text)
    with pytest.raises(WorkflowError) as caught:
        work.conductor().run("WO-512")
    assert caught.value.code == code
    assert caught.value.line
    assert set(work.places()) == {"WO-512"}


def test_no_such_ticket_and_two_with_one_id(work: Workspace) -> None:
    with pytest.raises(TicketError) as missing:
        work.conductor().run("WO-777")
    assert missing.value.code == "no-such-ticket"
    twin = work.root / "_WORK_ORDERS/02_DESIGN"
    twin.mkdir()
    (twin / "WO-512_other.md").write_text(TICKET, encoding="utf-8")
    with pytest.raises(TicketError) as double:
        work.conductor().run("WO-512")
    assert double.value.code == "duplicate-id"


def test_3_4_a_dependency_that_is_not_complete_makes_the_family_wait(tmp_path: Path) -> None:
    work = Workspace(tmp_path, ticket=TICKET.replace("zebra: last", "depends_on: WO-100"))
    (tmp_path / "_WORK_ORDERS/00_INBOX/WO-100_x.md").write_text(
        "---\nid: WO-100\nstatus: 00_INBOX\n---\n", encoding="utf-8"
    )
    outcome = work.conductor().run("WO-512")
    assert outcome.outcome == "waiting"
    assert "WO-100" in outcome.reasons[0]
    assert work.soop.jobs == []


def test_8_2_one_family_is_advanced_by_one_process_at_a_time(work: Workspace) -> None:
    state = work.root / ".orchestrate/state"
    with family_lock(state, "WO-512"), pytest.raises(BusyError):
        work.conductor().run("WO-512")


def test_dry_run_and_until_write_no_more_than_they_say(work: Workspace) -> None:
    before = work.file("WO-512").read_bytes()
    assert work.conductor().run("WO-512", dry_run=True).outcome == "waiting"
    assert work.file("WO-512").read_bytes() == before
    work.conductor().run("WO-512", until=1)
    assert work.soop.jobs == []
    assert work.places()["WO-512"] == "01_TRIAGE"


# -- agents as processes ---------------------------------------------------------------------

_COMMAND = """\
import hashlib, json, os, pathlib, sys
job = json.load(sys.stdin)
file = pathlib.Path(job["workspace"]) / "out/first.txt"
file.parent.mkdir(exist_ok=True)
file.write_text(json.dumps(sorted(os.environ)))
sha = hashlib.sha256(file.read_bytes()).hexdigest()
print(json.dumps({"outcome": "done", "artifacts": [{"path": "out/first.txt", "sha256": sha}]}))
"""


def test_5_2_a_command_takes_an_agents_place_and_sees_no_keys(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "secret")
    script = work.root / "agent.py"
    script.write_text(_COMMAND, encoding="utf-8")
    command = AgentSettings(command=(sys.executable, str(script)))
    settings = Settings(agents={"SOOP": command})
    agents = {"BUILDER": work.builder, "ANALYST": work.analyst}
    from orchestrator.conductor.conductor import Conductor
    from orchestrator.tickets.board import Board

    outcome = Conductor(Board(work.root), agents=agents, settings=settings).run("WO-512")
    assert outcome.stage == 3
    seen = json.loads((work.root / "out/first.txt").read_text(encoding="utf-8"))
    assert "PATH" in seen
    assert "SUPABASE_SERVICE_ROLE_KEY" not in seen


def test_5_2_a_command_with_a_slash_is_the_workspaces_own(tmp_path: Path) -> None:
    from orchestrator.agent_process.dispatcher import Dispatcher

    job = Job(
        ticket="WO-1", parent="WO-1", family=(), stage=1, agent="PAINTER",
        workspace=str(tmp_path), workflow="w.md", workflow_text="",
    )  # fmt: skip
    settings = AgentSettings(command=("./tools/painter", "by hand"))
    report = Dispatcher().dispatch(job, settings)
    assert report.outcome is Outcome.NEEDS_PERSON
    assert f"{tmp_path}/tools/painter cannot be started: No such file" in report.reason
    assert "[agents.PAINTER]" in report.reason
    tool = tmp_path / "tools" / "painter"
    tool.parent.mkdir()
    tool.write_text(
        "#!/bin/sh\ncat > /dev/null\n"
        """printf '{"outcome": "cannot", "reason": "%s"}' "$1"\n""",
        encoding="utf-8",
    )
    tool.chmod(0o755)
    report = Dispatcher().dispatch(job, settings)
    assert (report.outcome, report.reason) == (Outcome.CANNOT, "by hand")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import sys; sys.exit(3)", "exited with 3"),
        ("print('done!')", "cannot be read: Invalid JSON: expected value at line 1 column 1; it"),
        ("print('done!')", "it begins “done!”"),
        ("print('{}')", "cannot be read: outcome: Field required"),
        ("", "wrote no report to its standard output"),
        ("import time; time.sleep(60)", "stopped after"),
    ],
)
def test_5_2_a_broken_command_is_a_failed_attempt(
    work: Workspace, source: str, reason: str
) -> None:
    import sys

    command = AgentSettings(command=(sys.executable, "-c", source), timeout=1.0)
    settings = Settings(agents={"SOOP": command})
    from orchestrator.conductor.conductor import Conductor
    from orchestrator.tickets.board import Board

    outcome = Conductor(Board(work.root), settings=settings).run("WO-512")
    assert outcome.outcome == "held"
    assert reason in work.file("WO-512a").read_text(encoding="utf-8")


def test_7_6_a_status_written_while_an_agent_runs_is_no_answer(work: Workspace) -> None:
    def interrupted(job: Job) -> Report:
        work.edit("WO-512", "status: 01_TRIAGE", "status: APPROVED")
        return work.soop.write(job, "first")

    work.soop.act = interrupted
    outcome = work.conductor().run("WO-512")
    assert outcome.stage in (2, 3)
    assert "no question is open" in outcome.reasons[0] or "question 1" in outcome.reasons[0]
    assert work.builder.jobs == []
    outcome = work.conductor().run("WO-512")
    assert work.builder.jobs == []


def test_8_2_a_hold_written_while_an_agent_runs_is_not_lost(work: Workspace) -> None:
    def interrupted(job: Job) -> Report:
        work.edit("WO-512", "status: 01_TRIAGE", "status: HOLD")
        return work.soop.write(job, "first")

    work.soop.act = interrupted
    assert work.conductor().run("WO-512").exit_code == 11
    assert work.places()["WO-512"] == "98_HOLD"


def test_5_5_words_that_change_nothing_come_back_to_user(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    conductor.send_back("WO-512", note="Make it blue.")
    work.soop.act = lambda job: Report(outcome=Outcome.CANNOT, reason="I know no colours")
    outcome = conductor.run("WO-512")
    assert (outcome.outcome, outcome.stage) == ("waiting", 2)
    assert "I know no colours" in work.file("WO-512").read_text(encoding="utf-8")
    conductor.approve("WO-512")
    assert conductor.run("WO-512").stage == 3


def test_5_3_a_person_who_has_done_it_hands_over_by_the_status(tmp_path: Path) -> None:
    text = WORKFLOW.replace("`out/first.txt` exists", "the first file pleases the eye")
    work = Workspace(tmp_path, text)
    work.soop.act = lambda job: Report(outcome=Outcome.NEEDS_PERSON, reason="draw the first file")
    work.conductor().run("WO-512")
    assert work.conductor().run("WO-512").outcome == "waiting"
    work.edit("WO-512a", "status: 03_BUILD", "status: 04_QA")
    outcome = work.conductor().run("WO-512")
    assert (outcome.outcome, outcome.stage) == ("waiting", 3)
    assert work.places()["WO-512a"] == "04_QA"
    assert "failure_count: 0" in work.file("WO-512a").read_text(encoding="utf-8")


def test_7_3_a_question_asked_again_shows_what_holds_today(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    (work.root / "out/first.txt").write_text("", encoding="utf-8")
    with pytest.raises(AnswerRefusedError) as caught:
        conductor.approve("WO-512")
    assert caught.value.code == "answer-stale"
    section = work.file("WO-512").read_text(encoding="utf-8").split("— question 2\n")[1]
    assert "**Failed (1)**" in section
    with pytest.raises(AnswerRefusedError, match="not accepted"):
        conductor.approve("WO-512")


# -- answers that must not be taken ----------------------------------------------------------


def test_7_3_a_second_answer_finds_no_question(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    conductor.approve("WO-512")
    with pytest.raises(AnswerRefusedError, match="no question is open"):
        conductor.approve("WO-512")


def test_7_3_an_edit_of_the_digest_is_no_way_around_it(work: Workspace) -> None:
    work.conductor().run("WO-512")
    digest = re.search(
        r"digest: \"?([0-9a-f]{64})", work.file("WO-512").read_text(encoding="utf-8")
    )
    assert digest
    work.edit("WO-512", digest[1], "f" * 64)
    work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
    assert work.conductor().run("WO-512").stage == 3
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert digest[1] in text
    assert "status: 05_USER_REVIEW" in text
    assert work.builder.jobs == []


def test_7_3_an_old_file_saved_again_brings_no_old_answer_with_it(work: Workspace) -> None:
    """An editor had question 1 open, and saves it approved after question 2 was asked."""
    conductor = work.conductor()
    conductor.run("WO-512")
    old = work.file("WO-512").read_text(encoding="utf-8")
    conductor.send_back("WO-512", note="again")
    conductor.run("WO-512")
    assert "— question 2" in work.file("WO-512").read_text(encoding="utf-8")
    mine = old.replace("status: 05_USER_REVIEW", "status: APPROVED") + "A line of my own.\n"
    work.file("WO-512").write_text(mine, encoding="utf-8")
    outcome = work.conductor().run("WO-512")
    assert (outcome.outcome, outcome.stage) == ("waiting", 3)
    assert work.builder.jobs == []
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert "A line of my own." in text
    assert "— question 2" in text
    assert "status: 05_USER_REVIEW" in text


def test_7_2_a_rejection_is_never_an_approval_later(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    work.edit("WO-512", "### USER\n", "### USER\n\nNo.\n")
    work.edit("WO-512", "status: 05_USER_REVIEW", "status: changes requested")
    for _ in range(3):
        assert conductor.run("WO-512").stage == 3
    assert work.builder.jobs == []
    assert len(work.soop.jobs) == 2


# -- hostile reports -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../outside.txt", "/etc/passwd", "out/missing.txt"])
def test_8_4_a_report_of_what_is_not_there_or_not_ours_has_failed(
    work: Workspace, path: str
) -> None:
    (work.root.parent / "outside.txt").write_text("x", encoding="utf-8")
    sha = atomic.sha256_file(work.root.parent / "outside.txt")
    item = Artifact(path=path, sha256=sha)
    work.soop.act = lambda job: Report(outcome=Outcome.DONE, artifacts=(item,))
    assert work.conductor().run("WO-512").outcome == "held"
    assert "FAILED at STAGE 2" in work.file("WO-512a").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("id", "filename", "text"),
    [
        ("WO-512a", "../WO-512a_x.md", "id: WO-512a\nparent: WO-512"),
        ("WO-512a", "WO-512a_x.md", "id: WO-999\nparent: WO-512"),
        ("WO-512a", "WO-512a_x.md", "id: WO-512a\nparent: WO-1"),
        ("WO-512a", "WO-600_x.md", "id: WO-512a\nparent: WO-512"),
    ],
)
def test_8_4_a_triager_cannot_lay_tickets_where_it_likes(
    work: Workspace, id: str, filename: str, text: str
) -> None:
    class Triager:
        name = "LEAD"

        def work(self, job: Job) -> Report:
            new = NewTicket(id=id, agent="SOOP", filename=filename, text=f"---\n{text}\n---\n")
            return Report(outcome=Outcome.DONE, tickets=(new,))

    assert work.conductor(agents={"LEAD": Triager()}).run("WO-512").outcome == "held"
    assert [p.name for p in work.root.rglob("WO-*.md")] == ["WO-512_Two_Files.md"]


def test_6_3_what_failed_at_qa_can_be_accepted_when_its_maker_cannot_mend_it(
    tmp_path: Path,
) -> None:
    text = WORKFLOW.replace("- [ ] `out/second.txt` exists", "- [ ] `out/never.txt` exists")
    text = text.replace(
        "2. Write `out/second.txt`", "2. Write `out/second.txt` and `out/never.txt`"
    )
    work = Workspace(tmp_path, text)
    conductor = work.conductor()
    conductor.run("WO-512")
    conductor.approve("WO-512")

    def once(job: Job) -> Report:
        if job.attempt == 1:
            return work.builder.write(job, "x")
        return Report(outcome=Outcome.CANNOT, reason="the same again")

    work.builder.act = once
    outcome = conductor.run("WO-512")
    assert outcome.stage == 4
    with pytest.raises(AnswerRefusedError, match=r"never\.txt"):
        conductor.approve("WO-512")
    conductor.approve("WO-512", accept=["`out/never.txt` exists"])
    assert conductor.run("WO-512").stage == 7
    assert "failure_count: 1" in work.file("WO-512b").read_text(encoding="utf-8")


def test_3_2_a_stage_that_stopped_is_sent_back_alone(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    conductor.approve("WO-512")
    work.analyst.act = lambda job: (
        work.analyst.write(job, "third")
        if job.words
        else Report(outcome=Outcome.CANNOT, reason="which third file?")
    )
    assert conductor.run("WO-512").stage == 5
    conductor.send_back("WO-512", note="The one about lamps.")
    assert conductor.run("WO-512").stage == 7
    assert [len(w.jobs) for w in (work.soop, work.builder, work.analyst)] == [1, 1, 2]


def test_8_1_no_ticket_is_written_before_its_transition_is_on_the_disk(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = work.file("WO-512").read_bytes()
    history = work.root / "_WORK_ORDERS/.receipts/WO-512.jsonl"
    sync = os.fsync

    def slow_and_failing(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), history.stat()):
            time.sleep(0.3)
            assert work.file("WO-512").read_bytes() == before
            raise OSError(5, "Input/output error")
        sync(fd)

    monkeypatch.setattr(os, "fsync", slow_and_failing)
    with pytest.raises(atomic.DiskError):
        work.conductor().run("WO-512")
    assert work.file("WO-512").read_bytes() == before
    assert "transition" not in history.read_text(encoding="utf-8")
    monkeypatch.undo()
    assert work.conductor().run("WO-512").outcome == "waiting"


def test_2_3_nothing_is_written_into_a_ticket_in_another_encoding(work: Workspace) -> None:
    path = work.file("WO-512")
    path.write_bytes(path.read_text(encoding="utf-8").encode("utf-16"))
    before = path.read_bytes()
    with pytest.raises(TicketError) as refused:
        work.conductor().run("WO-512")
    assert (refused.value.code, path.read_bytes()) == ("not-utf8", before)


def test_2_3_a_reason_of_several_lines_is_written_so_that_a_person_can_read_it(
    work: Workspace,
) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    conductor.hold("WO-512", reason="first line\nsecond line")
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert r'hold_reason: "first line\nsecond line"' in text


def test_a_file_that_is_moved_to_complete_by_hand_with_its_status_does_not_stay_there(
    work: Workspace,
) -> None:
    work.conductor().run("WO-512")
    place = work.file("WO-512")
    text = place.read_text(encoding="utf-8").replace("05_USER_REVIEW", "06_COMPLETE", 1)
    complete = work.root / "_WORK_ORDERS" / "06_COMPLETE" / place.name
    complete.parent.mkdir(exist_ok=True)
    place.unlink()
    complete.write_text(text, encoding="utf-8")
    outcome = work.conductor().run("WO-512")
    assert outcome.outcome == "waiting"
    assert work.places()["WO-512"] == "05_USER_REVIEW"
    # what the person asked for is still there, to be corrected
    assert "status: 06_COMPLETE" in work.file("WO-512").read_text(encoding="utf-8")


def test_5_5_an_inspector_that_cannot_go_on_asks_user(work: Workspace) -> None:
    inspector = Writer("INSPECTOR", "out/findings.txt")
    inspector.act = lambda job: Report(outcome=Outcome.CANNOT, reason="is the second one needed?")
    conductor = work.conductor({"INSPECTOR": inspector})
    conductor.run("WO-512")
    conductor.approve("WO-512")
    assert conductor.run("WO-512").stage == 6
    question = conductor.status("WO-512")["question"]
    assert "INSPECTOR cannot go on: is the second one needed?" in question["why"]
    assert {m["failure_count"] for m in conductor.status("WO-512")["members"]} == {0}
    conductor.approve("WO-512")
    assert conductor.run("WO-512").stage == 7
