"""`orchestrate mcp`: it reads, and within a job asks and proposes; nothing of the board changes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrate_agents.coding import job_server
from orchestrate_agents.coding.events import Event, Kind
from orchestrate_agents.coding.job_server import JobServer
from orchestrator import Board, Conductor
from orchestrator.conductor.stages import _render_section
from orchestrator.domain.agent import Allowance, Job, Notice, Outcome, Report
from orchestrator.domain.states import Part
from orchestrator.errors import OrchestrateError
from orchestrator.markdown.body import closed
from orchestrator.mcp.server import ASK_AS, MOST_BYTES, SOCKET, ask_job
from orchestrator.mcp.tools import TOOLS
from orchestrator.settings.agents import AgentSettings
from orchestrator.settings.config import Settings
from orchestrator.settings.tables import WorkspacesSettings
from orchestrator.storage.history import History
from tests import coding
from tests.repositories import WORKFLOW

mcp = pytest.importorskip("mcp", reason="the protocol's library is the client")

_TICKET = """---
id: WO-1
title: Colours
status: 00_INBOX
pipeline_workflow: workflows/w.md
---

# Colours

## Acceptance Criteria

- [ ] `colour.txt` exists
- [ ] The colour is a warm one
"""
#: name → what it needs, and what it may be given besides
_PINNED = {
    "board_list": ([], ["owner", "status"]),
    "ticket_show": (["id"], []),
    "status": ([], ["id"]),
    "receipts": (["id"], []),
    "verify": ([], ["id"]),
    "check_statement": (["statement"], ["ticket"]),
    "my_job": ([], []),
    "statements": ([], []),
    "ask_user": (["question"], []),
    "propose_ticket": (["title"], ["agent", "criteria", "id", "text"]),
    "propose_check": (["statement"], ["code", "command"]),
}
_CHECK = """\
import pathlib, sys
text = pathlib.Path("colour.txt").read_text()
sys.exit(0 if text.strip() in ("red", "orange") else f"{text!r} is not warm")
"""
Ask = Callable[..., Any]


class Asker:
    """A builder that does, with its job's socket, what a test says."""

    name = "BUILDER"

    def __init__(self, *steps: Callable[[Job, Ask], None], part: Part = Part.MAKER) -> None:
        self.steps, self.part, self.jobs = list(steps), part, list[Job]()

    def work(self, job: Job) -> Report:
        self.jobs.append(job)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        with JobServer(job, AgentSettings(part=self.part), lambda text: text) as server:

            def ask(tool: str, **given: Any) -> Any:
                return ask_job(server.path, tool, given)

            step(job, ask)
            done = Report(outcome=Outcome.DONE, section="## BUILDER\n\nDone.\n", session="s-1")
            return server.complete(done)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / "_WORK_ORDERS" / "00_INBOX").mkdir(parents=True)
    (root / "_WORK_ORDERS" / "00_INBOX" / "WO-1_Colours.md").write_text(_TICKET, "utf-8")
    (root / "workflows").mkdir()
    (root / "workflows" / "w.md").write_text(WORKFLOW, "utf-8")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


def conduct(root: Path, asker: Asker) -> Any:
    settings = Settings(
        agents={"BUILDER": AgentSettings(turns=2).model_copy(update={"use": "fake"})},
        workspaces=WorkspacesSettings(use="never"),
    )
    agents = {"BUILDER": asker}
    return Conductor(Board(root), agents=agents, settings=settings).run("WO-1")


def paint(job: Job, ask: Ask) -> None:
    (job.root / "colour.txt").write_text("red\n", encoding="utf-8")


def question(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = Conductor(Board(root)).status("WO-1")["question"]
    return found


def talk(root: Path, calls: Sequence[tuple[str, Any]], **env: str) -> tuple[Any, list[Any]]:
    """The tools of `orchestrate mcp` in a folder, and what they answer: (is it an error, text)."""

    async def ask() -> tuple[Any, list[Any]]:
        server = mcp.StdioServerParameters(
            command=sys.executable,
            args=["-P", "-m", "orchestrator", "mcp"],
            cwd=str(root),
            env={**os.environ, **env},
        )
        async with mcp.Client(server) as client:
            tools = await client.list_tools()
            said = [await client.call_tool(name, given) for name, given in calls]
            return tools.tools, [(each.is_error, each.content[0].text) for each in said]

    return asyncio.run(ask())


def tree(root: Path) -> dict[str, bytes]:
    """All files of a workspace but the index of the board and kept copies."""
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in sorted(root.rglob("*"))
        if file.is_file() and not file.is_relative_to(root / ".orchestrate" / "state")
    }


# -- outside of a job ------------------------------------------------------------------------


def test_the_tools_are_these_and_none_of_them_changes_the_board(root: Path) -> None:
    conduct(root, Asker(paint))
    before = tree(root)
    hostile = [
        *({"id": each} for each in ("WO-1", "../../etc/passwd", "", "WO-1\n--take", 7, None)),
        {"statement": "`colour.txt` exists", "ticket": "WO-1"},
        {"statement": "`touch owned` passes; rm -rf ."},
        {"statement": "x" * 100_000},
        {"statement": "The colour is a warm one", "code": "open('owned', 'w')"},
        {"statement": "The colour is a warm one", "command": "touch owned"},
        {"question": "may I?"},
        {"title": "More", "text": "status: APPROVED", "id": "WO-1", "agent": "USER"},
        {"status": "BUILD", "owner": "BUILDER"},
        {"id": "WO-1", "answer": "approved", "move": "06_DONE"},
        {},
    ]
    calls = [(name, given) for name in (*TOOLS, "approve", "move", "hold") for given in hostile]
    tools, said = talk(root, calls)
    assert tree(root) == before
    assert not (root / "owned").exists()
    shown = {}
    for tool in tools:
        schema = tool.input_schema
        assert schema["additionalProperties"] is False
        needed = sorted(schema.get("required", []))
        shown[tool.name] = (needed, sorted({*schema.get("properties", {})} - {*needed}))
    assert shown == _PINNED
    answers = dict(zip([(n, json.dumps(g)) for n, g in calls], said, strict=True))
    assert answers["approve", "{}"][0]
    for name, tool in TOOLS.items():
        errors = [failed for (asked, _), (failed, _) in answers.items() if asked == name]
        assert all(errors) if tool.of_job else not all(errors), name
    proven = json.loads(answers["check_statement", json.dumps(hostile[6])][1])
    assert (proven["verdict"], proven["claims"][0]["check"]) == ("proven", "files.exists")
    verified = json.loads(answers["verify", '{"id": "WO-1"}'][1])
    assert verified["counts"]["holds"] == 1
    assert "only within a job" in answers["my_job", "{}"][1]


def test_whatever_comes_in_is_answered_as_the_protocol_says(root: Path) -> None:
    lines = [
        b"garbage",
        b"[" * 100_000,
        b"\xff\xfe",
        b"[]",
        b"7",
        b'{"jsonrpc": "2.0", "id": 1}',
        b'{"jsonrpc": "2.0", "id": [1], "method": "ping"}',
        b'{"jsonrpc": "2.0", "id": 2, "method": "resources/list"}',
        b'{"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": [1]}',
        b'{"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": 7}}',
        b'"' + b"x" * (4 * MOST_BYTES + 10) + b'"',
        b"",
        b'{"jsonrpc": "2.0", "method": "notifications/initialized"}',
        b'{"jsonrpc": "2.0", "id": 9, "result": {}}',
        b'{"jsonrpc": "2.0", "id": "last", "method": "ping"}',
    ]
    words = [sys.executable, "-P", "-m", "orchestrator.mcp"]
    env = {**os.environ, ASK_AS: "ask_person"}
    lines.insert(0, b'{"jsonrpc": "2.0", "id": 0, "method": "tools/list"}')
    done = subprocess.run(
        words, cwd=root, capture_output=True, input=b"\n".join(lines), env=env, check=True
    )
    listed, *said = map(json.loads, done.stdout.splitlines())
    assert {"ask_person"} == {t["name"] for t in listed["result"]["tools"]} - set(TOOLS)
    told = [(each["id"], each.get("error", {}).get("code")) for each in said]
    parse, invalid = (None, -32700), (None, -32600)
    assert told == [
        *([parse] * 3),
        *([invalid] * 2),
        (1, -32600),
        invalid,
        (2, -32601),
        (3, -32602),
        (4, -32602),
        parse,
        ("last", None),
    ]


def test_help_does_not_load_the_library(root: Path) -> None:
    code = (
        "import sys; from orchestrator.cli.app import app; import orchestrate_agents.coding.claude;"
        "print([m for m in sys.modules if m.split('.')[0] in ('mcp', 'mcp_types', 'anyio')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- within one ------------------------------------------------------------------------------


def test_a_job_is_told_and_its_statements_are_proven_while_its_family_is_locked(
    root: Path,
) -> None:
    said: dict[str, Any] = {}

    def step(job: Job, ask: Ask) -> None:
        said["before"] = ask("check_statement", statement="`colour.txt` exists")
        before = History(root / "_WORK_ORDERS", "WO-1").records
        paint(job, ask)
        said["after"] = ask("check_statement", statement="`colour.txt` exists", ticket="WO-1")
        said["all"] = ask("verify")["statements"]
        said["job"], said["statements"] = ask("my_job"), ask("statements")["statements"]
        said["list"], said["show"] = ask("board_list"), ask("ticket_show", id="1")
        said["status"] = ask("status", id="WO-1")
        # nothing was stored
        assert len(History(root / "_WORK_ORDERS", "WO-1").records) == len(before)
        with pytest.raises(OrchestrateError, match="not of this job's family"):
            ask("check_statement", statement="`a` exists", ticket="WO-2")

    outcome = conduct(root, Asker(step))
    assert (outcome.outcome, outcome.stage) == ("waiting", 2)
    assert (said["before"]["verdict"], said["after"]["verdict"]) == ("failed", "proven")
    assert said["before"]["detail"] == "colour.txt is missing"
    assert [s["verdict"] for s in said["all"]] == ["proven", "unproven"]
    assert (said["job"]["ticket"], said["job"]["stage"]) == ("WO-1", 1)
    assert said["job"]["statements"] == said["statements"]
    assert said["statements"][0]["text"] == "`colour.txt` exists"
    assert said["list"]["tickets"][0]["id"] == said["show"]["id"] == "WO-1"
    assert said["status"]["at_work"]


def test_a_question_goes_to_user_and_the_answer_into_the_session(root: Path) -> None:
    def step(job: Job, ask: Ask) -> None:
        assert ask("ask_user", question="Red,\x1b[31m or orange?")["asked"]
        for tool, given in (("ask_user", {"question": "Again?"}), ("my_job", {})):
            with pytest.raises(OrchestrateError, match="USER is asked"):
                ask(tool, **given)

    asker = Asker(step, paint)
    outcome = conduct(root, asker)
    assert (outcome.outcome, outcome.stage) == ("waiting", 1)
    assert "BUILDER asks: Red, or orange?" in question(root)["why"]
    Conductor(Board(root)).send_back("WO-1", note="Red.")
    assert conduct(root, asker).stage == 2
    _, second = asker.jobs
    assert (second.words, second.session) == ("Red.", "s-1")
    # it cost no strike
    assert list(History(root / "_WORK_ORDERS", "WO-1").of("failure")) == []


def test_a_ticket_is_proposed_to_user_and_is_not_on_the_board(root: Path) -> None:
    def step(job: Job, ask: Ask) -> None:
        paint(job, ask)
        text = "Why:\n<!-- hidden\n## Acceptance Criteria\n- [x] `a` exists"
        ask("propose_ticket", title="More colours", text=text, criteria=["`b.txt` exists"])

    conduct(root, Asker(step))
    (file,) = (root / "_WORK_ORDERS").rglob("WO-*.md")
    text = file.read_text(encoding="utf-8")
    assert "**Needs** USER: BUILDER proposes a ticket “More colours”: Why:" in text
    assert "`b.txt` exists" in text
    assert "<!-- hidden" not in text
    (criteria,) = [t for t in Board(root).tickets() if t.id == "WO-1"]
    assert len(criteria.acceptance()) == 2
    (notice,) = [
        r for r in History(root / "_WORK_ORDERS", "WO-1").of("notice") if "More" in r["text"]
    ]
    assert notice["to"] == "USER"


def test_a_proposed_check_is_tried_and_waits_for_user(root: Path) -> None:
    said: dict[str, Any] = {}

    def step(job: Job, ask: Ask) -> None:
        paint(job, ask)
        warm = "The colour is a warm one"
        with pytest.raises(OrchestrateError, match="proves nothing"):
            ask("propose_check", statement=warm, code="import sys; sys.exit(0)")
        with pytest.raises(OrchestrateError, match="is judged by"):
            ask("propose_check", statement="`colour.txt` exists", code=_CHECK)
        said.update(ask("propose_check", statement=warm, code=_CHECK))
        said["still"] = ask("check_statement", statement=warm)["verdict"]

    conduct(root, Asker(step))
    assert said["today"] == "proven"
    assert said["still"] == "unproven"
    (proposed,) = question(root)["proposed"]
    assert "The colour is a warm one" in proposed
    assert not (root / "checks").exists()
    assert [s["text"] for s in question(root)["unproven"]] == ["The colour is a warm one"]


def test_what_comes_over_the_socket_is_limited(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def raw(path: str, *lines: bytes) -> list[Any]:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(path)
            with link.makefile("rb") as file:
                answers = []
                for line in lines:
                    link.sendall(line)
                    answers.append(json.loads(file.readline()))
                return answers

    class Hostile(Asker):
        def work(self, job: Job) -> Report:
            self.jobs.append(job)
            monkeypatch.setattr(job_server, "_MOST", 6)
            with JobServer(job, AgentSettings(), lambda text: text) as server:
                path = server.path
                seen["folder"] = stat.S_IMODE(Path(path).parent.stat().st_mode)
                seen["socket"] = stat.S_IMODE(Path(path).stat().st_mode)
                lines = (
                    b"no json\n",
                    b"[" * 100_000 + b"\n",
                    b'{"tool": 3, "arguments": {}}\n',
                    b'{"tool": "approve", "arguments": {}}\n',
                    b'{"tool": "__class__", "arguments": {"id": "WO-1"}}\n',
                    b'{"tool": "ask_user", "arguments": {"question": 5}}\n',
                    b'{"tool": "ask_user", "arguments": {"question": " \\u0000 "}}\n',
                    b'{"tool": "propose_check", "arguments": {"statement": "x"}}\n',
                    b'{"tool": "check_statement", "arguments": {"statement": "x", "root": "/"}}\n',
                )
                seen["refused"] = raw(path, *lines)
                seen["long"] = raw(path, b'"' + b"x" * (MOST_BYTES + 10) + b"\n")
                call = b'{"tool": "my_job", "arguments": {}}\n'
                seen["many"] = raw(path, *[call] * 8)
                monkeypatch.setattr(job_server, "_MOST", 1_000)
                seen["fast"] = raw(path, *[call] * 30)
                paint(job, lambda *_: None)
                report = server.complete(Report(outcome=Outcome.DONE, section="## B\n\nx\n"))
            with pytest.raises(OrchestrateError, match="turn has ended"):
                ask_job(path, "my_job", {})
            assert not Path(path).parent.exists()
            return report

    conduct(root, Hostile(paint))
    assert (seen["folder"], seen["socket"]) == (0o700, 0o600)
    assert all("error" in each for each in (*seen["refused"], *seen["long"]))
    assert [each.get("code") for each in seen["many"]] == [None] * 6 + ["too-many"] * 2
    assert seen["fast"][-1]["code"] == "too-many"
    assert "wait a while" in seen["fast"][-1]["error"]


def test_a_job_is_reached_through_orchestrate_mcp(root: Path) -> None:
    seen: dict[str, Any] = {}

    class Outside(Asker):
        def work(self, job: Job) -> Report:
            self.jobs.append(job)
            paint(job, lambda *_: None)
            limited = job.model_copy(update={"allowance": Allowance(usd=2.5, seconds=60)})
            with JobServer(limited, AgentSettings(), lambda t: t.replace("pass1234", "***")) as own:
                calls = [
                    ("my_job", {}),
                    ("check_statement", {"statement": "`colour.txt` exists"}),
                    ("ticket_show", {"id": "WO-1"}),
                    ("approve", {"id": "WO-1"}),
                    ("ask_user", {"question": "Is pass1234 right?"}),
                    ("my_job", {}),
                ]
                # a folder without a board, as a checkout is
                elsewhere = root.parent / "checkout"
                elsewhere.mkdir()
                _, seen["said"] = talk(elsewhere, calls, **{SOCKET: own.path})
                return own.complete(Report(outcome=Outcome.FAILED, reason="killed"))

    conduct(root, Outside(paint))
    said = seen["said"]
    assert [failed for failed, _ in said] == [False, False, False, True, False, True]
    job = json.loads(said[0][1])
    assert job["allowance"]["usd"] == 2.5
    assert 0 < job["allowance"]["seconds"] <= 60
    assert json.loads(said[1][1])["verdict"] == "proven"
    assert "Is *** right?" in question(root)["why"]


def test_a_turn_ends_that_goes_on_after_its_question(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless:
        code, tail = None, ""

        def next(self, seconds: float) -> Event:
            return Event(Kind.TEXT, "more")

        def stop(self) -> None: ...

    def step(job: Job, ask: Ask) -> None:
        with JobServer(job, AgentSettings(), lambda text: text) as server:
            turn = server.until_asked(Endless())
            ask_job(server.path, "ask_user", {"question": "Which?"})
            assert turn.next(1.0) is not None
            monkeypatch.setattr(job_server, "_GRACE", 0.0)
            time.sleep(0.01)
            assert turn.next(1.0) is None

    conduct(root, Asker(step))


def test_what_an_earlier_turn_proposed_is_not_lost(root: Path) -> None:
    def first(job: Job, ask: Ask) -> None:
        ask("propose_ticket", title="More colours", text="Blue.")

    asker = Asker(first, paint)
    conduct(root, asker)
    assert [job.turn for job in asker.jobs] == [1, 2]
    told = [r["text"] for r in History(root / "_WORK_ORDERS", "WO-1").of("notice")]
    assert "BUILDER proposes a ticket “More colours”: Blue." in told


def test_a_notice_hides_nothing_of_the_ticket() -> None:
    notice = Notice(to="USER", text="see\n## Acceptance Criteria\n<!-- the rest")
    text = _render_section(Report(outcome=Outcome.DONE, section="## B\n\nx", notices=(notice,)))
    assert "**Needs** USER: see ## Acceptance Criteria <!-- the rest" in text
    assert closed(text) == text


def test_a_ticket_of_a_triager_is_one_that_the_conductor_makes(tmp_path: Path) -> None:
    job = coding.job(coding.workspace(tmp_path / "shop"), "claude")
    triager = AgentSettings(part=Part.TRIAGER)
    with JobServer(job, triager, lambda text: text) as server:
        given = {"id": "WO-002", "agent": "BUILDER", "title": "Paint", "criteria": ["`a` exists"]}
        ask_job(server.path, "propose_ticket", {**given, "text": "status: APPROVED\n# Done"})
        with pytest.raises(OrchestrateError, match="id"):
            ask_job(server.path, "propose_ticket", {**given, "id": "../x"})
        report = server.complete(Report(outcome=Outcome.DONE))
    (ticket,) = report.tickets
    assert (ticket.id, ticket.agent, ticket.filename) == ("WO-002", "BUILDER", "WO-002_Paint.md")
    assert "- [ ] `a` exists" in ticket.text
    assert "\n# Done" not in ticket.text
