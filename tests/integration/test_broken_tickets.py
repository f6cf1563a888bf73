"""Tickets as people break them: each is reported with what is wrong, where, and what to do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app
from orchestrator.cli.running import ProgressPrinter
from orchestrator.domain.agent import Outcome, Report
from orchestrator.domain.folders import Folders
from orchestrator.errors import TicketError
from orchestrator.markdown.near_misses import distance, meant
from orchestrator.storage.locks import family_lock, is_locked
from orchestrator.tickets.board import Board
from orchestrator.tickets.reader import read_ticket
from tests.boards import Workspace
from tests.integration.test_daemon import quiet, running, until

KEYS = "id: WO-007\ntitle: Seven\nstatus: 00_INBOX\nowner: BUILDER\n"


def ticket(root: Path, keys: str, name: str = "WO-007_x.md") -> Path:
    path = root / "_WORK_ORDERS/00_INBOX" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\n{keys}---\n# Seven\n", encoding="utf-8")
    return path


def problems(path: Path) -> list[tuple[str, int, str]]:
    found = read_ticket(path, Folders(["00_INBOX"]))
    return [(d.code, d.line, d.hint) for d in found.diagnoses]


def orchestrate(root: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(root), *words])


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


# -- the keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (KEYS + "\tpriority: P1\n", 6),
        (KEYS + "files:\n\t- a.txt\n", 7),
        (KEYS + "files:\n  - a.txt\n\t- b.txt\n", 8),
        (KEYS.replace("owner:", "\towner:"), 5),
        (KEYS.replace("owner: B", "owner:\tB") + "\tpriority: P1\n", 6),
    ],
)
def test_a_tab_is_named_as_such_and_nothing_begins(work: Workspace, keys: str, line: int) -> None:
    path = ticket(work.root, keys)
    assert [p for p in problems(path) if p[0] == "yaml-tab"] == [
        ("yaml-tab", line, "replace the tab by spaces")
    ]
    before = path.read_bytes()
    done = orchestrate(work.root, "run", "WO-007")
    assert done.exit_code == 1
    assert f"error[yaml-tab]: {path}:{line}: " in done.output
    assert path.read_bytes() == before
    assert "yaml-tab" in orchestrate(work.root, "doctor").output


def test_a_tab_that_yaml_reads_is_no_problem(work: Workspace) -> None:
    path = ticket(work.root, KEYS.replace("owner: B", "owner:\tB") + "note: a\tb\n")
    assert problems(path) == []


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("owner BUILDER", "owner: BUILDER"),
        ("owner = BUILDER", "owner: BUILDER"),
        ("priority P1", "priority: P1"),
        ("anything else", "key: value"),
    ],
)
def test_a_line_without_colon_is_named(work: Workspace, wrong: str, hint: str) -> None:
    path = ticket(work.root, KEYS.replace("owner: BUILDER", wrong))
    assert ("no-colon", 5, hint) in problems(path)
    done = orchestrate(work.root, "run", "WO-007")
    assert f"error[no-colon]: {path}:5: `{wrong}` has no colon" in done.output


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("staus", "status"),
        ("onwer", "owner"),
        ("titel", "title"),
        ("depend_on", "depends_on"),
        ("pipline_workflow", "pipeline_workflow"),
        ("failure_cuont", "failure_count"),
        ("priorty", "priority"),
        ("parnet", "parent"),
        ("file", "files"),
        ("chidren", "children"),
    ],
)
def test_a_misspelt_key_is_told_by_run_list_and_doctor(
    work: Workspace, wrong: str, right: str
) -> None:
    keys = "".join(x for x in KEYS.splitlines(keepends=True) if not x.startswith(f"{right}:"))
    path = ticket(work.root, f"{keys}{wrong}: x\n")
    line = keys.count("\n") + 2
    assert ("key-misspelt", line, f"did you mean `{right}`?") in problems(path)
    assert "[key-misspelt]" in orchestrate(work.root, "list").output
    assert f"`{wrong}` is not read" in orchestrate(work.root, "doctor").output
    told = " ".join(orchestrate(work.root, "run", "WO-007").output.split())
    assert f"WO-007_x.md:{line}: `{wrong}` is not read; did you mean `{right}`?" in told


OWN_KEYS = [
    "labels",
    "tags",
    "estimate",
    "team",
    "epic",
    "sprint",
    "due",
    "state",
    "stage",
    "type",
    "kind",
    "area",
    "component",
    "reviewers",
    "effort",
    "risk",
    "size",
    "notes",
    "links",
    "zebra",
    "colour",
    "stats",
    "tiles",
    "data",
    "date",
    "author",
    "assignee",
    "order",
    "points",
    "x-status",
    "own",
    "updated",
    "severity",
    "customer",
    "workflow",
    "project",
    "version",
]


@pytest.mark.parametrize("key", OWN_KEYS)
def test_a_persons_own_key_is_no_slip(work: Workspace, key: str) -> None:
    assert problems(ticket(work.root, f"{KEYS}{key}: something\n")) == []


@given(st.sampled_from(["depends_on", "pipeline_workflow", "failure_count"]), st.data())
def test_whatever_letter_of_a_long_key_is_wrong_it_is_recognised(
    key: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(1, len(key) - 2))
    letter = data.draw(st.sampled_from("aeiotz"))
    how = data.draw(st.sampled_from(["drop", "add", "change", "swap"]))
    wrong = {
        "drop": key[:at] + key[at + 1 :],
        "add": key[:at] + letter + key[at:],
        "change": key[:at] + letter + key[at + 1 :],
        "swap": key[:at] + key[at + 1] + key[at] + key[at + 2 :],
    }[how]
    if wrong != key:
        assert meant(wrong, [key]) == key


@given(st.text("abcd", max_size=6), st.text("abcd", max_size=6))
def test_the_distance_of_words_is_one_of_both(one: str, other: str) -> None:
    assert distance(one, other) == distance(other, one)
    assert (distance(one, other) == 0) is (one == other)
    assert abs(len(one) - len(other)) <= distance(one, other) <= max(len(one), len(other))


# -- statuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("[APPROVED]", "status `[APPROVED]` of WO-512 is not taken"),
        ("null", "status `null` of WO-512 is not taken"),
        ("{a: b}", "status `{a: b}` of WO-512 is not taken"),
        ("APROVED", "did you mean `APPROVED`?"),
        ("APPROVE", "did you mean `APPROVED`?"),
        ("CHANGES_REQUSTED", "did you mean `CHANGES_REQUESTED`?"),
    ],
)
def test_a_status_that_is_no_answer_is_refused_with_a_word(
    work: Workspace, status: str, says: str
) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    work.edit("WO-512", "status: 05_USER_REVIEW", f"status: {status}")
    outcome = conductor.run("WO-512")
    assert says in " ".join(outcome.reasons)
    assert outcome.stage == 3


# -- members ---------------------------------------------------------------------------------------


def test_a_child_that_is_gone_is_named_as_that(work: Workspace) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        known = ["-c", "user.name=t", "-c", "user.email=t@t"]
        subprocess.run(["git", *known, *words], cwd=work.root, check=True)
    child = work.file("WO-512b")
    child.unlink()
    for words in (("approve", "WO-512"), ("run", "WO-512"), ("hold", "WO-512", "--reason", "x")):
        done = orchestrate(work.root, *words)
        assert "error[member-missing]" in done.output
        assert "WO-512b, a member of WO-512, is not on the board" in done.output
        assert f"git checkout HEAD -- {child.relative_to(work.root)}" in done.output
    assert "WO-512b is not on the board" in orchestrate(work.root, "status", "WO-512").output


def test_an_orphan_is_no_family_of_its_own(work: Workspace) -> None:
    work.conductor().run("WO-512")
    work.file("WO-512").unlink()
    orphan = work.file("WO-512b")
    before = orphan.read_bytes()
    for keep in (True, False):
        if not keep:
            # the family's history knows it as a child all the same
            lines = before.decode().splitlines(keepends=True)
            text = "".join(line for line in lines if not line.startswith("parent:"))
            orphan.write_text(text, encoding="utf-8")
        with pytest.raises(TicketError, match="a child of WO-512, which is not") as refused:
            work.conductor().run("WO-512b")
        assert refused.value.code == "parent-missing"
    assert work.places() == {"WO-512a": "04_QA", "WO-512b": "03_BUILD"}


def test_a_parent_that_is_no_ticket_of_the_board_hinders_nothing(work: Workspace) -> None:
    ticket(work.root, f"{KEYS}parent: EPIC-9\n")
    assert work.conductor().run("WO-007", dry_run=True).ticket == "WO-007"


def git(root: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@t")
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


@pytest.mark.parametrize("parent", ["WO-099", "WO-013"])
def test_an_orphan_with_an_id_unlike_its_parents_is_refused_too(
    work: Workspace, parent: str
) -> None:
    path = ticket(work.root, f"id: WO-014a\nstatus: 00_INBOX\nparent: {parent}\n", "WO-014a_x.md")
    before = path.read_bytes()
    with pytest.raises(TicketError, match=f"a child of {parent}, which is not") as refused:
        work.conductor().run("WO-014a")
    assert (refused.value.code, refused.value.line) == ("parent-missing", 4)
    assert "take `parent:` out" in refused.value.hint
    shown = json.loads(orchestrate(work.root, "adopt", "--all", "--dry-run", "--json").output)
    assert [(r["id"], r["code"]) for r in shown["refused"]] == [("WO-014a", "parent-missing")]
    assert path.read_bytes() == before


@pytest.mark.parametrize("how", ["never", "deleted", "staged", "committed"])
def test_a_listed_child_that_is_not_there_is_named_before_anything_begins(
    work: Workspace, how: str
) -> None:
    keys = KEYS + "children: [WO-007a, WO-007b]\n"
    path = ticket(work.root, keys)
    ticket(work.root, "id: WO-007a\nstatus: 00_INBOX\nparent: WO-007\n", "WO-007a_x.md")
    child = work.root / "_WORK_ORDERS/00_INBOX/WO-007b_x.md"
    if how != "never":
        ticket(work.root, "id: WO-007b\nstatus: 00_INBOX\nparent: WO-007\n", child.name)
        git(work.root, "init", "-q")
        git(work.root, "add", "-A")
        git(work.root, "commit", "-qm", "board")
        text = child.read_bytes()
        if how == "deleted":
            child.unlink()
        else:
            git(work.root, "rm", "-q", str(child))
        if how == "committed":
            git(work.root, "commit", "-qm", "without")
    before = path.read_bytes()
    with pytest.raises(TicketError, match="WO-007b, a child of WO-007, is not on") as refused:
        work.conductor().run("WO-007")
    assert (refused.value.code, refused.value.line) == ("member-missing", 6)
    assert "take it out of `children:`" in refused.value.hint
    assert path.read_bytes() == before
    if how != "never":
        command = refused.value.hint.split("bring it back: ")[1].split(";")[0]
        subprocess.run(command, shell=True, cwd=work.root, check=True)
        assert child.read_bytes() == text


@pytest.mark.parametrize("others", [{}, {"WO-008": "WO-009", "WO-009": "WO-007"}])
def test_a_ticket_that_waits_for_itself_is_not_begun(
    work: Workspace, others: dict[str, str]
) -> None:
    path = ticket(work.root, KEYS + f"depends_on: [{next(iter(others), 'WO-007')}]\n")
    for id, needed in others.items():
        keys = f"id: {id}\nstatus: 00_INBOX\ndepends_on: [{needed}]\n"
        ticket(work.root, keys, f"{id}_x.md")
    before = path.read_bytes()
    with pytest.raises(TicketError, match=r"wait for each other: WO-007 → .*WO-007") as refused:
        work.conductor().run("WO-007")
    assert (refused.value.code, refused.value.line) == ("cycle", 6)
    assert path.read_bytes() == before


# -- naming a ticket -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", ["WO-007", "wo-007", "WO_7", "wo-7", "7", "007", "_WORK_ORDERS/00_INBOX/WO-007_x.md"]
)
def test_a_ticket_is_known_in_any_spelling_in_every_command(work: Workspace, given: str) -> None:
    ticket(work.root, KEYS)
    for words in (["show"], ["run", "--dry-run"], ["status"], ["log"], ["receipts"], ["doctor"]):
        done = orchestrate(work.root, *words, given)
        assert done.exit_code in (0, 10), done.output
    child = orchestrate(work.root, "new", "Child", "--parent", given, "--json")
    assert json.loads(child.output)["parent"] == "WO-007"


def test_what_may_be_several_is_refused_with_all_of_them(work: Workspace) -> None:
    ticket(work.root, KEYS)
    ticket(work.root, KEYS.replace("WO-007", "GO-007"), "GO-007_x.md")
    ticket(work.root, KEYS.replace("WO-007", "WO-12a"), "WO-12a_x.md")
    ticket(work.root, KEYS.replace("WO-007", "WO-12A"), "WO-12A_y.md")
    for named, both in (("7", "GO-007 or WO-007"), ("wo-12a", "WO-12A or WO-12a")):
        done = orchestrate(work.root, "show", named)
        assert f"error[ambiguous-id]: {named} may be {both}" in done.output
    assert Board(work.root).resolve("WO-12a") == "WO-12a"
    assert "error[no-such-ticket]" in orchestrate(work.root, "run", "99").output
    assert "name a ticket" in orchestrate(work.root, "run", "").output


# -- nobody at work --------------------------------------------------------------------------------


def test_a_family_that_nobody_works_on_is_stopped(work: Workspace, tmp_path: Path) -> None:
    slow = tmp_path / "slow.sh"
    pid = tmp_path / "pid"
    slow.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 60\n", encoding="utf-8")
    slow.chmod(0o755)
    settings = f'[agents.SOOP]\npart = "maker"\ncommand = ["{slow}"]\n'
    (work.root / "orchestrate.toml").write_text(settings, encoding="utf-8")
    command = [sys.executable, "-m", "orchestrator", "run", "WO-512"]
    for number in (signal.SIGINT, signal.SIGKILL):
        with subprocess.Popen(
            command, cwd=work.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            until(lambda: is_locked(work.root / ".orchestrate/state", "WO-512"), 20)
            until(lambda: pid.exists() and pid.read_text(encoding="utf-8").strip() != "", 20)
            assert "running" in orchestrate(work.root, "status", "WO-512").output
            os.kill(process.pid, number)
            process.wait()
        # an agent that outlives a killed conductor still has the family in hand
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid.read_text(encoding="utf-8")), signal.SIGKILL)
        pid.unlink()
        until(lambda: not is_locked(work.root / ".orchestrate/state", "WO-512"))
        told = orchestrate(work.root, "status", "WO-512").output
        assert "stopped · stage 2" in told
        assert "next: orchestrate run WO-512" in told
        assert "running" not in told
        shown = json.loads(orchestrate(work.root, "status", "WO-512", "--json").output)
        assert (shown["stopped"], shown["at_work"]) == (True, False)


def test_a_look_at_a_lock_takes_it_from_nobody(tmp_path: Path) -> None:
    assert not is_locked(tmp_path, "WO-1")
    assert list(tmp_path.iterdir()) == []
    with family_lock(tmp_path, "WO-1"):
        assert is_locked(tmp_path, "WO-1")
    for _ in range(50):
        assert not is_locked(tmp_path, "WO-1")
        with family_lock(tmp_path, "WO-1"):
            pass


# -- a save that comes late ------------------------------------------------------------------------


def test_a_late_save_is_told_as_no_error(work: Workspace) -> None:
    work.conductor().run("WO-512")
    old = work.file("WO-512a")
    text = old.read_text(encoding="utf-8")
    with running(work, poll=0.5) as found:
        quiet(found)
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
        until(lambda: (work.root / "out/third.txt").exists())
        quiet(found)
        # vim has it open since before it moved
        old.parent.mkdir(exist_ok=True)
        old.write_text(text + "\nA late line.\n", encoding="utf-8")
        time.sleep(2.0)
        assert [line.text for line in found.told if line.kind == "error"] == []
    assert "A late line." in work.file("WO-512a").read_text(encoding="utf-8")


# -- failures --------------------------------------------------------------------------------------


def test_a_hold_says_why_the_last_attempt_failed(work: Workspace) -> None:
    work.soop.act = lambda _: Report(outcome=Outcome.FAILED, reason="401 invalid api key")
    conductor = work.conductor()
    outcome = conductor.run("WO-512")
    assert outcome.outcome == "held"
    assert "401 invalid api key" in outcome.reasons[0]
    assert "401 invalid api key" in " ".join(conductor.status("WO-512")["reasons"])
    assert "401 invalid api key" in work.file("WO-512a").read_text(encoding="utf-8").split("---")[1]


def test_a_statement_that_fails_again_is_told_again(work: Workspace) -> None:
    work.soop.act = lambda _: Report(outcome=Outcome.DONE)
    work.conductor().run("WO-512")
    told = [e.text for e in work.events if e.kind == "statement" and e.verdict == "failed"]
    assert len([text for text in told if "out/first.txt" in text]) == 2
    printer, lines = ProgressPrinter(), list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestrator.cli.running.say", lines.append)
        patch.setattr("orchestrator.cli.running.say_wrapped", lambda text, *_: lines.append(text))
        for event in work.events:
            printer(event)
        printer.close()
    assert len([line for line in lines if "`out/first.txt` exists — " in line]) == 2


# -- what the command line refuses or tells --------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[git]\ncomit = true\n", 2, "unknown key `git.comit`|did you mean `commit`?"),
        ("a = 1\n", 1, "unknown key `a`|known here: "),
        ("[gitt]\ncommit = true\n", 1, "unknown key `gitt`|did you mean `git`?"),
        ("\n[agents.BUILDER]\ntimout = 3\n", 3, "`agents.BUILDER.timout`|did you mean `timeout`?"),
        ("[agents]\nBUILDER.timeout = 'x'\n", 2, "agents.BUILDER.timeout: should be a valid"),
        ("failure_limit = 0\n", 1, "failure_limit: should be greater"),
        ("[git]\nauthor = 'Ana'\n", 2, "git.author: 'Ana' is not of the form \"Name <mail>\""),
    ],
)
def test_wrong_settings_are_told_with_line_and_meaning(
    work: Workspace, text: str, line: int, says: str
) -> None:
    (work.root / "orchestrate.toml").write_text(text, encoding="utf-8")
    told = orchestrate(work.root, "list").output
    assert f"orchestrate.toml:{line}: " in told
    for part in says.split("|"):
        assert part in told


def test_a_stage_that_is_not_there_is_refused(work: Workspace) -> None:
    for words in (["--until", "99"], ["--until", "0"], ["--until", "99", "--dry-run"]):
        done = orchestrate(work.root, "run", "WO-512", *words)
        assert (done.exit_code, "error[no-such-stage]" in done.output) == (2, True)
    assert orchestrate(work.root, "run", "WO-512", "--until", "1").exit_code == 10


def test_what_was_never_conducted_has_no_silent_history(work: Workspace) -> None:
    for command in ("log", "receipts"):
        told = orchestrate(work.root, command, "WO-512").output
        assert "WO-512 was never conducted: orchestrate run WO-512" in told


def test_the_log_leaves_bookkeeping_and_older_records_out(work: Workspace) -> None:
    work.conductor().run("WO-512")
    told = orchestrate(work.root, "log", "WO-512").output
    assert "transition" in told
    assert "committed" not in told
    assert "committed" in orchestrate(work.root, "log", "WO-512", "--all").output
    assert "transition" in orchestrate(work.root, "log", "WO-512", "--since", "1h").output
    assert (
        "nothing since" in orchestrate(work.root, "log", "WO-512", "--since", "2999-01-01").output
    )
    assert orchestrate(work.root, "log", "WO-512", "--since", "soon").exit_code == 2


def test_tickets_with_one_id_are_marked_in_the_list(work: Workspace) -> None:
    file = work.file("WO-512")
    assert "duplicate-id" not in orchestrate(work.root, "list").output
    file.with_name("WO-512_Other.md").write_bytes(file.read_bytes())
    assert orchestrate(work.root, "list").output.count("[duplicate-id]") == 2


def test_the_list_can_be_narrowed(work: Workspace) -> None:
    ticket(work.root, f"{KEYS}priority: P1\n")
    work.conductor().run("WO-512")

    def ids(*words: str) -> list[str]:
        lines = orchestrate(work.root, "list", *words).output.splitlines()
        assert lines[0].split()[:2] == ["ID", "PLACE"]
        return [line.split()[0] for line in lines[1:]]

    assert ids() == ["WO-007", "WO-512b", "WO-512a", "WO-512"]
    assert ids("--status", "BUILD") == ids("--status", "03_build") == ["WO-512b"]
    assert ids("--owner", "builder") == ["WO-007", "WO-512b"]
    assert ids("--priority", "p1") == ["WO-007"]
    assert ids("--waiting") == ["WO-512"]
    assert "no ticket is like that" in orchestrate(work.root, "list", "--priority", "P0").output
    assert orchestrate(work.root, "list", "--status", "LIMBO").exit_code == 2


def test_show_names_all_that_is_read(work: Workspace) -> None:
    ticket(work.root, f"{KEYS}priority: P1\ndepends_on: WO-512\nfiles: [a.txt, b.txt]\n")
    told = orchestrate(work.root, "show", "7").output
    for line in ("priority: P1", "depends on: WO-512", "files: a.txt, b.txt"):
        assert f"  {line}\n" in told


def test_a_strange_priority_or_owner_is_warned_of(work: Workspace) -> None:
    done = orchestrate(work.root, "new", "X", "--priority", "P9", "--owner", "WRITER")
    assert done.exit_code == 0
    assert "warning: priority P9 is none of P0, P1, P2, P3" in done.stderr
    assert "warning: WRITER is not an agent; known: ANALYST, " in done.stderr
    assert "warning" not in orchestrate(work.root, "new", "X", "--owner", "BUILDER").stderr


def test_an_approval_can_go_on_at_once(tmp_path: Path) -> None:
    assert orchestrate(tmp_path, "init").exit_code == 0
    assert orchestrate(tmp_path, "run", "1").exit_code == 10
    done = orchestrate(tmp_path, "approve", "1", "--run")
    assert done.exit_code == 0, done.output
    assert "WO-001: complete" in done.output
    assert "next: orchestrate run" not in done.output


def test_checks_name_no_clause_of_the_design(tmp_path: Path) -> None:
    assert "DESIGN" not in orchestrate(tmp_path, "checks").output
