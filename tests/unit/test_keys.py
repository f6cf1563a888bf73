"""Keys under the names that other tools give them, and files that are not read as tickets."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.doctor.fix_runner import plan_fixes
from orchestrator.doctor.fixes import Applicability
from orchestrator.doctor.runner import Checkup, examine
from orchestrator.domain.keys import KEYS, key_table
from orchestrator.errors import UsageError
from orchestrator.settings.config import load_settings
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket


def lay(root: Path, place: str, *lines: str) -> Path:
    path = root / "_WORK_ORDERS" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["---", *lines, "---", "# x", ""]), encoding="utf-8")
    return path


def read(root: Path, *lines: str) -> Ticket:
    lay(root, "03_BUILD/WO-1_x.md", "id: WO-1", *lines)
    return Board(root).find("WO-1")


def look(root: Path) -> Checkup:
    return examine(Board(root), load_settings(root), datetime.now(UTC))


def orchestrate(root: Path, *args: str) -> str:
    return CliRunner().invoke(app, ["-C", str(root), *args]).output


@given(
    name=st.sampled_from([n for n in KEYS if n != "id_or_words"]),
    data=st.data(),
    style=st.sampled_from(["_", "-", " ", "camel", "upper"]),
)
def test_every_key_is_known_in_every_spelling(name: str, data: st.DataObject, style: str) -> None:
    parts = data.draw(st.sampled_from(list(KEYS[name]))).split("_")
    spelt = style.join(parts)
    if style == "camel":
        spelt = parts[0] + "".join(part.capitalize() for part in parts[1:])
    elif style == "upper":
        spelt = "_".join(parts).upper()
    assert key_table().name_of(spelt) == name


@pytest.mark.parametrize(
    "line",
    [
        "dependencies: [WO-2]", "deps: WO-2", "depends-on: WO-2", "dependsOn: [WO-2]",
        "Blocked By: WO-2", "blockedBy: WO-2", "blocked_by: [WO-2]", "after: WO-2",
        "requires: WO-2",
    ],
)  # fmt: skip
def test_a_dependency_is_read_under_any_usual_key(tmp_path: Path, line: str) -> None:
    ticket = read(tmp_path, line)
    assert (ticket.depends_on, ticket.line_of("depends_on")) == (("WO-2",), 3)
    assert "key-misspelt" not in {d.code for d in ticket.diagnoses}


def test_owner_parent_and_status_are_read_under_other_keys(tmp_path: Path) -> None:
    ticket = read(tmp_path, "Assignee: SOOP", "parentTaskId: WO-9", "lane: doing", "labels: [a]")
    assert (ticket.owner, ticket.parent, ticket.status) == ("SOOP", "WO-9", "doing")
    assert ticket.key_of("status") == "lane"


def test_a_theme_is_no_parent(tmp_path: Path) -> None:
    assert read(tmp_path, "epic: payments").parent == ""


def test_own_keys_come_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text(
        '[board.keys]\nzustaendig = "owner"\n"wartet auf" = "depends_on"\n', encoding="utf-8"
    )
    ticket = read(tmp_path, "Zuständig: LEAD", "zustaendig: SOOP", "wartet-auf: WO-2")
    assert (ticket.owner, ticket.depends_on) == ("SOOP", ("WO-2",))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('zustaendig = "ownr"', "did you mean 'owner'"),
        ('zustaendig = "nothing"', "known: id"),
        ('status = "owner"', "means 'status' already"),
    ],
)
def test_own_keys_are_checked_with_file_and_line(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "orchestrate.toml").write_text(f"[board.keys]\n{line}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=said) as raised:
        load_settings(tmp_path)
    assert (raised.value.path, raised.value.line) == (str(tmp_path / "orchestrate.toml"), 1)


@pytest.mark.parametrize(
    ("line", "meant"),
    [("dependancies: WO-2", "dependencies"), ("blokced_by: WO-2", "blocked_by"),
     ("asigned_to: X", "assigned_to"), ("staus: x", "status")],
)  # fmt: skip
def test_a_key_that_resembles_a_known_one_is_told(tmp_path: Path, line: str, meant: str) -> None:
    (found,) = [d for d in read(tmp_path, line).diagnoses if d.code == "key-misspelt"]
    assert (found.line, found.hint) == (3, f"did you mean `{meant}`?")


def test_arbitrary_keys_are_left_alone(tmp_path: Path) -> None:
    own = ("links: []", "type: bug", "updated_date: 2026-01-01", "ordinal: 1000", "history: []",
           "subtitle: x", "phase: 1", "sprint: 4", "estimate: 3", "wp_code: WP03", "reviewer: x",
           "milestone: m-1", "documentation: []", "modified_files: []", "agent: claude",
           "shell_pid: 1", "review_status: ok", "base_branch: main", "effort: S", "tokens: 5",
           "status_note: x", "blocks: []", "comments: []", "requirement_refs: []")  # fmt: skip
    ticket = read(tmp_path, *own)
    assert [d.message for d in ticket.diagnoses] == []


def test_a_reversed_dependency_is_told(tmp_path: Path) -> None:
    (found,) = read(tmp_path, "blocks: [WO-2, WO-3]").diagnoses
    assert (found.code, found.line) == ("key-reversed", 3)
    assert "WO-2, WO-3" in found.message


@pytest.mark.parametrize(
    "lines", [("status: done", "status: 03_BUILD"), ("parent: WO-9", "parent: WO-8")]
)
def test_a_key_that_says_two_things_begins_no_run(tmp_path: Path, lines: tuple[str, ...]) -> None:
    lay(tmp_path, "00_INBOX/WO-8_x.md", "id: WO-8")
    read(tmp_path, *lines)
    assert "error[key-contradiction]" in orchestrate(tmp_path, "run", "WO-1")
    read(tmp_path, lines[0], lines[0])
    assert "key-contradiction" not in orchestrate(tmp_path, "run", "WO-1")


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (("status: 03_BUILD", "state: done"), True),
        (("task_id: WO-2",), True),
        (("parent: WO-8", "parent_id: WO-9"), True),
        (("owner: SOOP", "assigned_to: LEAD"), False),
    ],
)
def test_keys_that_contradict_each_other_are_told_and_never_chosen_silently(
    tmp_path: Path, lines: tuple[str, ...], refused: bool
) -> None:
    lay(tmp_path, "00_INBOX/WO-8_x.md", "id: WO-8")
    ticket = read(tmp_path, *lines)
    (found,) = [d for d in ticket.diagnoses if d.code == "key-contradiction"]
    assert found.line == len(lines) + 2
    assert "key-contradiction" in orchestrate(tmp_path, "doctor")
    said = orchestrate(tmp_path, "run", "WO-1")
    assert ("error[key-contradiction]" in said) == refused
    assert refused or "contradict each other" in said


@pytest.mark.parametrize(
    "line",
    ["task_id: wo-1", "task: WO-001", "ticket: EXT-99", "wo: '1'", "owner: SOOP\nassignee: Anna",
     "status: 03_BUILD\nstate: Texas", "status: doing\nlane: in-progress"],
)  # fmt: skip
def test_other_spellings_and_other_trackers_are_no_contradiction(tmp_path: Path, line: str) -> None:
    codes = {d.code for d in read(tmp_path, line).diagnoses}
    assert "key-contradiction" not in codes


def test_a_status_is_written_under_the_key_that_the_ticket_has(tmp_path: Path) -> None:
    path = lay(tmp_path, "00_INBOX/WO-1_x.md", "id: WO-1", "Lane:  todo  # mine", "owner: BUILDER")
    orchestrate(tmp_path, "run", "WO-1")
    (path,) = (tmp_path / "_WORK_ORDERS").glob("0[1-9]*/WO-1_x.md")
    text = path.read_text(encoding="utf-8")
    assert "\nLane:  03_BUILD  # mine\n" in text
    assert "status:" not in text.partition("flow:")[0]


# -- what is not read ----------------------------------------------------------------------------


def test_files_with_keys_that_are_no_tickets_are_counted_and_named(tmp_path: Path) -> None:
    lay(tmp_path, "03_BUILD/WO-1_x.md", "id: WO-1")
    lay(tmp_path, "03_BUILD/WO-1_report.md", "status: 03_BUILD")
    lay(tmp_path, "03_BUILD/login.md", "title: Login", "priority: P1")
    lay(tmp_path, "TEMPLATES/a.md", "id: WO-NNN")
    (tmp_path / "_WORK_ORDERS/03_BUILD/notes.md").write_text("# Notes\n", encoding="utf-8")
    said = orchestrate(tmp_path, "list")
    assert "3 files are not read as tickets: `" in said
    found = {p.path.rpartition("/")[2]: p for p in look(tmp_path).problems}
    assert {name: p.code for name, p in found.items()} == {
        "WO-1_report.md": "id-taken",
        "login.md": "not-a-ticket",
        "a.md": "template",
    }
    assert "`id:`" in found["login.md"].message
    assert "03_BUILD/WO-1_x.md" in found["WO-1_report.md"].message
    assert [found[n].note for n in ("WO-1_report.md", "login.md", "a.md")] == [False, True, True]


def test_all_of_them_are_named_however_many(tmp_path: Path) -> None:
    for number in range(30):
        lay(tmp_path, f"03_BUILD/page-of-{number}x.md", "title: x")
    said = orchestrate(tmp_path, "doctor")
    assert "30 files not read as a ticket" in said
    assert all(f"page-of-{number}x.md" in said for number in range(30))


def test_tickets_without_an_id_whose_number_occurs_twice_do_not_vanish(tmp_path: Path) -> None:
    for name in ("WO-5_a.md", "WO-5_b.md", "WO-5_c.md"):
        lay(tmp_path, f"03_BUILD/{name}", "status: 03_BUILD")
    told = {p.path for p in look(tmp_path).problems if p.code == "duplicate-id"}
    message = next(p.message for p in look(tmp_path).problems if p.code == "duplicate-id")
    assert len(Board(tmp_path).tickets()) == 3
    assert told
    assert all(name in message for name in ("WO-5_a.md", "WO-5_b.md", "WO-5_c.md"))


# -- a missing id --------------------------------------------------------------------------------


def fix_of(root: Path, name: str) -> Applicability:
    (fix,) = [p.fix for p in look(root).problems if p.code == "no-id" and p.path.endswith(name)]
    return fix


def test_a_missing_id_is_certain_where_nothing_speaks_against_it(tmp_path: Path) -> None:
    lay(tmp_path, "03_BUILD/OPS-57-a-scan.md", "title: 'OPS-57: a scan'", "status: 03_BUILD")
    assert fix_of(tmp_path, "OPS-57-a-scan.md") is Applicability.SAFE


@pytest.mark.parametrize(
    ("name", "lines", "other"),
    [
        ("WO-7_x.md", ("title: 'WO-8: the page'",), ()),
        ("WO-7_x.md", ("task: WO-8",), ()),
        ("WO-7-SUFFIX-x.md", (), ("depends_on: WO-7-SUFFIX",)),
        ("WO-7_x.md", (), ("parent: WO-7-B",)),
    ],
)
def test_one_that_a_title_a_key_or_a_dependant_contradicts_is_only_offered(
    tmp_path: Path, name: str, lines: tuple[str, ...], other: tuple[str, ...]
) -> None:
    lay(tmp_path, f"03_BUILD/{name}", "status: 03_BUILD", *lines)
    lay(tmp_path, "00_INBOX/WO-99_x.md", "id: WO-99", "status: 00_INBOX", *other)
    assert fix_of(tmp_path, name) is Applicability.UNSAFE
    assert plan_fixes(Board(tmp_path), look(tmp_path)).fixed == ()
    (planned,) = plan_fixes(Board(tmp_path), look(tmp_path), ["no-id"]).fixed
    assert planned.codes == ("no-id",)


@pytest.mark.parametrize("word", ["done", "Closed", "won't do", "paused", "cancelled", "archived"])
def test_a_status_that_says_it_is_over_is_never_set_to_a_working_folder(
    tmp_path: Path, word: str
) -> None:
    path = lay(tmp_path, "00_INBOX/WO-1_x.md", "id: WO-1", f"status: {word}")
    before = path.read_bytes()
    orchestrate(tmp_path, "doctor", "--fix", "--with", "status-drift", "--no-commit")
    assert path.read_bytes() == before
    assert "error[not-startable]" in orchestrate(tmp_path, "run", "WO-1")


def test_a_ticket_with_keys_in_toml_is_neither_adopted_nor_run(tmp_path: Path) -> None:
    path = tmp_path / "_WORK_ORDERS/00_INBOX/WO-2.md"
    path.parent.mkdir(parents=True)
    text = '+++\nid="WO-2"\nstatus="done"\n+++\n# Two\n'
    path.write_text(text)
    (tmp_path / "orchestrate.toml").write_text("[board]\nevery_file = true\n")
    assert "WO-2.md:2: keys in TOML are not read" in orchestrate(tmp_path, "doctor")
    for command in (["adopt", "--all", "--yes"], ["run", "WO-2"]):
        assert "keys-unread" in orchestrate(tmp_path, *command)
        assert path.read_text() == text


FINISHED = {
    "---\nid: WO-1\ndone: true\n---\n# One\n": 3,
    "---\nid: WO-1\ncompleted: 2025-03-02\n---\n# One\n": 3,
    "---\nid: WO-1\nclosedAt: 2025-03-02T10:00:00Z\n---\n# One\n": 3,
    "---\nid: WO-1\nresolution: Works as designed\n---\n# One\n": 3,
    "---\nid: WO-1\ncolumn: Done\n---\n# One\n": 3,
    "---\nid: WO-1\nworkflowState: Done\n---\n# One\n": 3,
    "---\nid: WO-1\nprogress: 100%\n---\n# One\n": 3,
    "---\nid: WO-1\nlabels: [api, done]\n---\n# One\n": 3,
    '---\nid: WO-1\ntitle: "[DONE] One"\n---\n': 3,
    "---\nid: WO-1\n---\n# ~~One~~\n": 4,
    "---\nid: WO-1\n---\n# One ✅\n": 4,
    "---\nid: WO-1\n---\n# DONE: One\n": 4,
    "---\nid: WO-1\n---\n# One\n\n| Field | Value |\n|---|---|\n| **Status** | Done |\n": 8,
    "---\nid: WO-1\nstatus: todo\n---\n# One\n\n- **Status**: Done (see #12)\n": 7,
    "---\nid: WO-1\n---\n# One\n\nCompleted: 2025-03-02\n": 6,
    "---\nid: WO-1\n---\n# One\n\n## Status\n\nClosed\n": 8,
    "---\nid: WO-1\n---\n# One\n\n- [x] a\n- [X] b\n": 6,
}


def test_a_mapping_of_dependencies_is_read(tmp_path: Path) -> None:
    lay(tmp_path, "00_INBOX/WO-2_x.md", "id: WO-2")
    assert read(tmp_path, "depends_on: {WO-2: soft}").depends_on == ("WO-2",)
    assert read(tmp_path, "depends_on:", "  WO-2:", "  WO-3: hard").depends_on == ("WO-2", "WO-3")


@pytest.mark.parametrize(("text", "line"), FINISHED.items())
def test_what_anything_calls_finished_is_not_begun(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "_WORK_ORDERS/00_INBOX/WO-1.md"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert f"WO-1.md:{line}: " in orchestrate(tmp_path, "doctor")
    for command in (["adopt", "--all", "--yes"], ["run", "WO-1"]):
        said = orchestrate(tmp_path, *command)
        assert "not-startable" in said
        assert "--accept-doubts says-finished" in said
        assert path.read_text() == text
    said = orchestrate(tmp_path, "adopt", "--all", "--dry-run", "--accept-doubts", "says-finished")
    assert "1 family could be adopted" in said


@pytest.mark.parametrize(
    "text",
    [
        "---\nid: WO-1\ncompleted: false\nresolution: unresolved\nclosed:\n---\n# One\n",
        "---\nid: WO-1\nstage: 3\ncolumn: Doing\nphase: design\nprogress: 10\n---\n# One\n",
        "---\nid: WO-1\npercent_complete: 40\ndone: pending\n---\n# One\n",
        "---\nid: WO-1\n---\n# Archive: the list\n\nStatus: in progress\n",
        "---\nid: WO-1\n---\n# Show who is [x]\n\nDone: write it down\n",
        "---\nid: WO-1\n---\n# One\n\n## Criteria\n\n- Status: done\n- [ ] Status: done\n",
        "---\nid: WO-1\n---\n# One\n\n```\nStatus: done\n```\n- [x] a\n- [ ] b\n",
        "---\nid: WO-1\n---\n# One\n\n## Criteria\n\n- [x] a\n\n| | w |\n|---|---|\n| [ ] | b |\n",
        "---\nid: WO-1\n---\n# One\n\n- [x] a\n\n**Done when:** `b` exists\n",
    ],
)
def test_other_lines_do_not_call_a_ticket_finished(tmp_path: Path, text: str) -> None:
    path = tmp_path / "_WORK_ORDERS/00_INBOX/WO-1.md"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert [
        d.code for d in Board(tmp_path).find("WO-1").diagnoses if d.code == "says-finished"
    ] == []


@pytest.mark.parametrize(
    "key",
    ["depend", "predecessors", "blocked-by-ticket", "dependsOnTickets", "after_ticket", "blockers",
     "waits", "abhängig_von"],
)  # fmt: skip
def test_more_names_of_dependencies_are_read(tmp_path: Path, key: str) -> None:
    assert read(tmp_path, f"{key}: [WO-7, WO-8]").depends_on == ("WO-7", "WO-8")


@pytest.mark.parametrize(
    "key", ["hard_dependency_on", "blocked_until", "waits_till", "upstreamIds"]
)
def test_an_unknown_key_that_holds_dependencies_is_told(tmp_path: Path, key: str) -> None:
    (found,) = [d for d in read(tmp_path, f"{key}: WO-7").diagnoses if d.code == "key-misspelt"]
    assert "depends_on" in found.hint


@pytest.mark.parametrize(
    "text",
    ["Depends on: WO-7", "Blocked by WO-7, WO-99.", "**Blocked by**\n\n- WO-7", "- After: wo-7",
     "## Blocked by\n\n- WO-7: the login", "| Field | Value |\n|---|---|\n| Depends on | WO-7 |"],
)  # fmt: skip
def test_dependencies_in_the_text_are_told(tmp_path: Path, text: str) -> None:
    lay(tmp_path, "00_INBOX/WO-7.md", "id: WO-7")
    path = lay(tmp_path, "00_INBOX/WO-1.md", "id: WO-1")
    path.write_text(path.read_text() + f"\n{text}\n")
    board = Board(tmp_path)
    (found,) = board.unread_dependencies(board.find("WO-1"))
    assert "WO-7" in found.why
    assert "dependency-unread" in orchestrate(tmp_path, "doctor")
    text = path.read_text()
    path.write_text(path.read_text().replace("id: WO-1\n", "id: WO-1\ndepends_on: WO-7\n"))
    board = Board(tmp_path)
    assert board.unread_dependencies(board.find("WO-1")) == []
    path.write_text(text)
    assert "waits for WO-7" in orchestrate(tmp_path, "run", "WO-1")


@pytest.mark.parametrize(
    "text",
    ["Under no circumstances delete `x.txt`.", "`y.txt` must stay as it is.",
     "Leave `z.txt` alone.", "## Erledigt wenn\n\n- `x.txt` ist da"],
)  # fmt: skip
def test_prohibitions_and_headings_in_other_words_are_told(tmp_path: Path, text: str) -> None:
    path = lay(tmp_path, "03_BUILD/WO-1.md", "id: WO-1")
    path.write_text(path.read_text() + f"\n{text}\n")
    assert "criteria-unread" in orchestrate(tmp_path, "doctor")


def test_a_number_of_a_criterion_is_no_part_of_it(tmp_path: Path) -> None:
    ticket = read(tmp_path, 'checklist: {k2: "`a` exists", AC-3: "`b` exists"}')
    assert [s.text for s in ticket.acceptance()] == ["`a` exists", "`b` exists"]
