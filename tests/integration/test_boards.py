"""Boards of other tools, read through their profiles: nothing of them is lost or begun again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app
from orchestrator.tickets.board import Board

WORK = """\

## Deliverable 1: `docs/hello.md`

```markdown
# Hello
```

"""
CRITERION = "- [ ] `docs/hello.md` exists\n"


@dataclass(frozen=True)
class Tool:
    """A tool's board: its files, the ticket that is run, and what is expected of the others."""

    files: Mapping[str, str]
    run: str
    #: where that ticket lies at the end
    ends: str
    done: tuple[str, ...]
    #: the states of all others
    states: Mapping[str, str | None]
    unread: int = 0


TOOLS = {
    "backlog-md": Tool(
        files={
            "backlog/config.yml": 'statuses: ["To Do", "In Progress", "Done"]\n',
            "backlog/tasks/task-12 - Say-hello.md": "---\nid: task-12\ntitle: 'Docs: say hello'\n"
            "status: To Do\nassignee:\n  - '@sara'\ncreated_date: '2026-08-23 19:13'\n"
            "labels:\n  - docs\ndependencies: [task-9]\npriority: high\nordinal: 1000\n---\n\n"
            "## Description\n\nReaders want a greeting.\n" + WORK + "## Acceptance Criteria\n"
            "<!-- AC:BEGIN -->\n- [ ] #1 `docs/hello.md` exists\n<!-- AC:END -->\n",
            "backlog/tasks/task-12.1 - Later.md": "---\nid: TASK-12.1\ntitle: Later\n"
            "status: In Progress\nassignee: []\ndependencies:\n  - task-12\n---\n",
            "backlog/tasks/task-7 - Over.md": "---\nid: task-7\nstatus: Done\n---\n# Over\n",
            "backlog/completed/task-9 - Old.md": "---\nid: task-9\nstatus: Done\n---\n# Old\n",
            "backlog/archive/tasks/task-3 - No.md": "---\nid: task-3\nstatus: To Do\n---\n# No\n",
            "backlog/drafts/draft-1 - Idea.md": "---\nid: draft-1\nstatus: Draft\n---\n# Idea\n",
            "backlog/docs/doc-1 - Guide.md": "---\nid: doc-1\ntitle: Guide\n---\n",
        },
        run="task-12",
        ends="backlog/tasks/task-12 - Say-hello.md",
        done=("status: Done", "assignee:\n  - '@sara'\n", "ordinal: 1000", "<!-- AC:END -->"),
        states={"TASK-12.1": "BUILD", "task-7": "COMPLETE", "task-9": "COMPLETE",
                "task-3": "ARCHIVE", "draft-1": "BACKLOG"},
    ),
    "spec-kitty": Tool(
        files={
            "kitty-specs/001-greet/spec.md": "# Specification\n",
            "kitty-specs/001-greet/plan.md": "---\ndescription: How\n---\n# Plan\n",
            "kitty-specs/001-greet/tasks/WP01-hello.md": '---\nwork_package_id: "WP01"\n'
            'title: "Say hello"\nlane: "planned"\ndependencies: []\nsubtasks: ["T001", "T002"]\n'
            'agent: ""\nassignee: "Sara"\nhistory:\n  - timestamp: "2026-01-01T00:00:00Z"\n'
            '    lane: "planned"\n---\n# Work package WP01\n' + WORK + "## Definition of Done\n"
            + CRITERION,
            "kitty-specs/001-greet/tasks/WP02-more.md": '---\nwork_package_id: "WP02"\n'
            'lane: "done"\ndependencies: ["WP01"]\n---\n# More\n',
            "kitty-specs/002-leave/tasks/WP01-bye.md": '---\nwork_package_id: "WP01"\n'
            'lane: "for_review"\n---\n# Bye\n',
            "kitty-specs/002-leave/tasks/WP02-lost.md": "---\nwork_package_id: WP02\n---\n# Lost\n",
        },
        run="001-greet-WP01",
        ends="kitty-specs/001-greet/tasks/WP01-hello.md",
        done=('lane: "done"', 'subtasks: ["T001", "T002"]', 'assignee: "Sara"'),
        states={"001-greet-WP02": "COMPLETE", "002-leave-WP01": "QA", "002-leave-WP02": None},
        unread=1,
    ),
    "tk": Tool(
        files={
            ".tickets/nw-5c46.md": "---\nid: nw-5c46\nstatus: open\ndeps: [nw-ab12]\nlinks: []\n"
            "created: 2026-01-24T23:58:09Z\ntype: task\npriority: 2\nassignee: Sara Lee\n---\n"
            "# Say hello\n" + WORK + "## Acceptance Criteria\n\n" + CRITERION,
            ".tickets/nw-ab12.md": "---\nid: nw-ab12\nstatus: closed\ndeps: []\n---\n# Before\n",
            ".tickets/nw-0d3f.md": "---\nid: nw-0d3f\nstatus: in_progress\ndeps: [nw-5c46]\n---\n"
            "# After\n",
        },
        run="nw-5c46",
        ends=".tickets/nw-5c46.md",
        done=("status: closed", "deps: [nw-ab12]", "assignee: Sara Lee", "links: []"),
        states={"nw-ab12": "COMPLETE", "nw-0d3f": "BUILD"},
    ),
    "plain": Tool(
        files={
            "README.md": "# The repository\n",
            "src/notes.md": "---\ntitle: no ticket\nstatus: done\n---\n",
            "tasks/README.md": "# How we work\n",
            "tasks/todo/say-hello.md": "# Say hello\n" + WORK + "## Done when\n\n" + CRITERION,
            "tasks/doing/015-login.md": "# Login\n",
            "tasks/done/2025/014-start.md": "# Start\n",
            "tasks/ideas/dark-mode.md": "# Dark mode\n",
        },
        run="say-hello",
        ends="tasks/done/say-hello.md",
        done=("status: done", "# Say hello\n"),
        states={"015": "BUILD", "014": "COMPLETE"},
    ),
}  # fmt: skip


def orchestrate(root: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["-C", str(root), *args])


@pytest.fixture
def lay(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_a_ticket_of_the_tool_is_run_to_its_end_and_nothing_is_lost(lay: Path, name: str) -> None:
    tool = TOOLS[name]
    write(lay, tool.files)
    made = orchestrate(lay, "init", "--profile", name, "--no-commit")
    assert made.exit_code == 0, made.output
    assert {n: (lay / n).read_text(encoding="utf-8") for n in tool.files} == tool.files

    found = {t.id: t.role and t.role.value for t in Board(lay).tickets()}
    assert found == {**tool.states, tool.run: "INBOX"}
    assert (f"{tool.unread} file" in orchestrate(lay, "list").output) == bool(tool.unread)
    told = json.loads(orchestrate(lay, "doctor", "--json").stdout)["findings"]
    expected = {"spec-kitty": {"not-a-ticket", "no-status"}}
    codes = {f["code"] for f in told} - {"key-alias", "dependency-open", "number-reused"}
    assert codes == expected.get(name, set())

    asked = orchestrate(lay, "run", tool.run)
    assert asked.exit_code == 10, asked.output
    assert "USER CHECKPOINT #1" in asked.output
    assert "Failed" not in asked.output
    assert "Unproven" not in asked.output
    assert tool.run in orchestrate(lay, "inbox").output
    answered = orchestrate(lay, "approve", tool.run)
    assert answered.exit_code == 0, answered.output
    ended = orchestrate(lay, "run", tool.run)
    assert ended.exit_code == 0, ended.output

    text = (lay / tool.ends).read_text(encoding="utf-8")
    assert all(line in text for line in tool.done), text
    others = {n: t for n, t in tool.files.items() if f"{n}" != tool.ends and "say-hello" not in n}
    assert {n: (lay / n).read_text(encoding="utf-8") for n in others} == others
    assert Board(lay).find(tool.run).role == "COMPLETE"
    assert not orchestrate(lay, "verify", tool.run).exit_code


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_finished_work_of_the_tool_is_not_begun_again(lay: Path, name: str) -> None:
    tool = TOOLS[name]
    write(lay, tool.files)
    orchestrate(lay, "init", "--profile", name, "--no-commit")
    over = [id for id, state in tool.states.items() if state in ("COMPLETE", "ARCHIVE", None)]
    for id in over:
        said = orchestrate(lay, "run", id)
        assert said.exit_code == 1, said.output
        assert any(code in said.output for code in ("not-startable", "no-status")), said.output
    survey = json.loads(orchestrate(lay, "adopt", "--all", "--dry-run", "--json").stdout)
    assert not {family["parent"] for family in survey["families"]} & set(over)
    assert {n: (lay / n).read_text(encoding="utf-8") for n in tool.files} == tool.files


def test_an_answer_under_another_key_leaves_no_state_behind(lay: Path) -> None:
    tool = TOOLS["spec-kitty"]
    write(lay, tool.files)
    orchestrate(lay, "init", "--profile", "spec-kitty", "--no-commit")
    orchestrate(lay, "run", tool.run)
    path = lay / tool.ends
    asked = path.read_text(encoding="utf-8")
    assert '\nlane: "for_review"\n' in asked
    path.write_text(asked.replace("---\n", "---\nstatus: APPROVED\n", 1), encoding="utf-8")
    ended = orchestrate(lay, "run", tool.run)
    assert ended.exit_code == 0, ended.output
    text = path.read_text(encoding="utf-8")
    assert '\nlane: "done"\n' in text
    assert "\nstatus: done\n" in text


def test_an_id_that_is_unique_in_its_folder_only_may_be_named_alone(lay: Path) -> None:
    write(lay, TOOLS["spec-kitty"].files)
    orchestrate(lay, "init", "--profile", "spec-kitty", "--no-commit")
    assert "WP01 may be 001-greet-WP01 or 002-leave-WP01" in orchestrate(lay, "run", "WP01").output
    board = Board(lay)
    assert board.resolve("greet-wp02") == "001-greet-WP02"
    assert board.find("001-greet-WP02").depends_on == ("001-greet-WP01",)


def test_a_profile_needs_its_board_and_a_name(lay: Path) -> None:
    said = orchestrate(lay, "init", "--profile", "tk")
    assert "error[no-board]" in said.output
    assert "there is no .tickets/ here" in said.output
    assert not (lay / "orchestrate.toml").exists()
    said = orchestrate(lay, "init", "--profile", "jira")
    assert "profiles: backlog-md, plain, spec-kitty, tk" in said.output
