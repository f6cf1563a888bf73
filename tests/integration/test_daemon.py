"""The daemon: what wakes it, what does not, and how it ends."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.conductor.conductor import Conductor
from orchestrator.daemon.daemon import Daemon, LogLine
from orchestrator.errors import BusyError
from orchestrator.family.family import Family
from orchestrator.family.open_session import Opener
from orchestrator.settings.config import Settings
from orchestrator.storage import watcher
from orchestrator.tickets import catalog
from orchestrator.tickets.board import Board
from tests.boards import Workspace


class Running:
    """A daemon in a thread, with everything that it told."""

    def __init__(self, work: Workspace, **options: Any) -> None:
        self.told: list[LogLine] = []
        own = {w.name: w for w in (work.soop, work.builder, work.analyst)}

        def make(board: Board, **given: Any) -> Conductor:
            return Conductor(board, agents=own, **given)

        self.daemon = Daemon(
            Board(work.root), make=make, log=self.told.append, **{"poll": 60.0, **options}
        )
        self.thread = threading.Thread(target=self.daemon.run)

    def runs(self) -> list[str]:
        """The families that were advanced, in order."""
        return [t.family for t in self.told if t.kind in ("outcome", "error")]


@contextlib.contextmanager
def running(work: Workspace, **options: Any) -> Iterator[Running]:
    found = Running(work, **options)
    found.thread.start()
    try:
        until(lambda: any(t.text.startswith("watching") for t in found.told))
        yield found
    finally:
        found.daemon.stop()
        found.thread.join(30)
        assert not found.thread.is_alive()


def until(true: Callable[[], bool], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


def quiet(found: Running, seconds: float = 0.4) -> None:
    """Wait until it has done nothing for a while."""
    count = -1
    while count != len(found.told):
        count = len(found.told)
        time.sleep(seconds)


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_at_the_limit_of_watchers_it_looks_and_says_so_once(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(observer: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(watcher.Observer, "start", full)
    monkeypatch.setattr(watcher, "_LOOK", 0.05)
    work.conductor().run("WO-512")
    with running(work) as found:
        until(lambda: any("max_user_instances" in t.text for t in found.told))
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
        until(lambda: any(t.family == "WO-512" for t in found.told))
    assert sum("each second" in t.text for t in found.told) == 1


# -- editors ---------------------------------------------------------------------------------------


def in_place(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def slowly(path: Path, text: str) -> None:
    """Truncates, and writes in pieces."""
    with path.open("w", encoding="utf-8") as file:
        for at in range(0, len(text), 200):
            file.write(text[at : at + 200])
            file.flush()
            time.sleep(0.005)


def by_rename(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def by_swap_file(path: Path, text: str) -> None:
    """As vim does: the old file becomes a backup, a new one takes its name."""
    swap = path.with_name(f".{path.name}.swp")
    swap.write_text("swap", encoding="utf-8")
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    path.write_text(text, encoding="utf-8")
    backup.unlink()
    swap.unlink()


@pytest.mark.parametrize("save", [in_place, slowly, by_rename, by_swap_file])
def test_an_answer_is_taken_however_the_editor_saves(
    work: Workspace, save: Callable[[Path, str], None]
) -> None:
    work.conductor().run("WO-512")
    with running(work) as found:
        quiet(found)
        path = work.file("WO-512")
        text = path.read_text(encoding="utf-8").replace("05_USER_REVIEW", "APPROVED", 1)
        save(path, text)
        until(lambda: work.places().get("WO-512b") == "05_USER_REVIEW")
        until(lambda: found.runs()[-1] == "WO-512")
    assert "question 2" in work.file("WO-512").read_text(encoding="utf-8")


def test_its_own_writes_do_not_wake_it(work: Workspace) -> None:
    work.conductor().run("WO-512")
    with running(work) as found:
        quiet(found)
        assert found.runs() == ["WO-512"]
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
        until(lambda: len(found.runs()) > 1)
        quiet(found, 0.6)
        assert found.runs() == ["WO-512", "WO-512"]


def test_what_it_moves_itself_is_not_looked_up(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.conductor().run("WO-512")
    looked_up: list[Path] = []
    real = Daemon._family_at
    monkeypatch.setattr(
        Daemon, "_family_at", lambda daemon, path: looked_up.append(path) or real(daemon, path)
    )
    with running(work) as found:
        quiet(found)
        saved = work.file("WO-512")
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: HOLD")
        until(lambda: work.places().get("WO-512") == "98_HOLD")
        quiet(found, 0.6)
    assert looked_up == [saved]


def test_what_changed_is_listed_before_somebody_waits_for_it(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.conductor().run("WO-512")
    done: list[str] = []

    def tell(of: Any, name: str) -> None:
        real = getattr(of, name)

        def told(*args: Any, **kwargs: Any) -> Any:
            done.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(of, name, told)

    tell(catalog, "Listing")
    tell(Opener, "open_session")
    tell(Family, "commit")
    with running(work) as found:
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: HOLD")
        until(lambda: work.places().get("WO-512") == "98_HOLD")
        quiet(found, 0.6)
        done.clear()
        back = work.file("WO-512").read_text(encoding="utf-8").split("held_from: ")[1].split()[0]
        work.edit("WO-512", "status: 98_HOLD", f"status: {back}")
        until(lambda: work.places().get("WO-512") != "98_HOLD")
        assert done[: done.index("commit")] == ["open_session"], "no folder is read again for it"


def test_the_board_is_read_before_there_are_threads(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(Daemon, "_work", lambda _: order.append("work"))
    real = Daemon._unfinished_families
    monkeypatch.setattr(
        Daemon, "_unfinished_families", lambda daemon: order.append("read") or real(daemon)
    )
    with running(work):
        until(lambda: "work" in order)
    assert order[0] == "read", "a large board is read by processes, which threads prevent"


def test_a_burst_of_saves_is_one(work: Workspace) -> None:
    work.conductor().run("WO-512")
    with running(work) as found:
        quiet(found)
        for n in range(50):
            work.edit("WO-512", "A person wrote this.", f"A person wrote this. {n}")
        until(lambda: len(found.runs()) > 1)
        quiet(found, 0.6)
        assert 2 <= len(found.runs()) <= 12
    text = work.file("WO-512").read_text(encoding="utf-8")
    assert "A person wrote this. 49" in text, (text, [line.text for line in found.told])


def test_a_ticket_that_nobody_conducts_is_never_touched(work: Workspace) -> None:
    before = work.file("WO-512").read_bytes()
    with running(work) as found:
        work.file("WO-512").write_bytes(before + b"more\n")
        quiet(found, 0.6)
        assert found.runs() == []
    assert work.file("WO-512").read_bytes() == before + b"more\n"


def test_2_5_a_copy_of_a_ticket_that_nobody_conducts_is_no_matter_of_the_log(
    work: Workspace,
) -> None:
    work.conductor().run("WO-512")
    for name in ("WO-7.md", "WO-7_copy.md", "WO-8.md"):
        owned = "---\nid: WO-7\nstatus: 00_INBOX\nowner: LEAD\n---\n"
        path = work.root / "_WORK_ORDERS/00_INBOX" / name
        path.write_text(owned.replace("WO-7", name[:4]), encoding="utf-8")
    before = Running(work)
    before.daemon.once()
    assert [line.text for line in before.told if line.kind == "error"] == []
    copy = work.root / "_WORK_ORDERS/00_INBOX/WO-512_copy.md"
    copy.write_bytes(work.file("WO-512").read_bytes())
    after = Running(work)
    after.daemon.once()
    [line] = {line.text for line in after.told if line.kind == "error"}
    assert "2 files have the id WO-512" in line
    assert "; give all but one another id" in line


def test_a_file_that_was_moved_by_hand_is_put_back_at_once(work: Workspace) -> None:
    work.conductor().run("WO-512")
    with running(work) as found:
        quiet(found)
        source = work.file("WO-512b")
        target = work.root / "_WORK_ORDERS/06_COMPLETE"
        target.mkdir()
        source.rename(target / source.name)
        until(lambda: work.places().get("WO-512b") == "03_BUILD")


def test_what_one_family_finishes_another_goes_on_with(work: Workspace) -> None:
    path = work.root / "_WORK_ORDERS/00_INBOX/WO-700_After.md"
    path.write_text(
        "---\nid: WO-700\nstatus: 00_INBOX\nowner: SOOP\ndepends_on: WO-600\n---\n# After\n",
        encoding="utf-8",
    )
    other = path.with_name("WO-600_Before.md")
    other.write_text("---\nid: WO-600\nstatus: 00_INBOX\n---\n# Before\n", encoding="utf-8")
    assert "waits for WO-600" in work.conductor().run("WO-700").reasons[0]
    with running(work) as found:
        quiet(found)
        complete = work.root / "_WORK_ORDERS/06_COMPLETE"
        complete.mkdir()
        other.rename(complete / other.name)
        until(lambda: len(work.soop.jobs) == 1)


def test_4_4_a_workflow_that_does_not_parse_leaves_the_last_good_one_in_force(
    work: Workspace,
) -> None:
    work.conductor().run("WO-512")
    workflow = work.root / "workflows/two-files.md"
    good = workflow.read_bytes()
    with running(work) as found:
        quiet(found)
        workflow.write_bytes(good + b"\xff\xfe")
        until(lambda: any("stays in force" in t.text for t in found.told))
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
        until(lambda: work.places().get("WO-512b") == "05_USER_REVIEW")
        quiet(found)
        workflow.write_bytes(good + b"\nA remark.\n")
        until(lambda: "has changed" in work.file("WO-512").read_text(encoding="utf-8"))


def test_changed_settings_are_taken_and_bad_ones_leave_the_last_good_ones(work: Workspace) -> None:
    settings = work.root / "orchestrate.toml"
    settings.write_text("wip_limit = 3\n", encoding="utf-8")
    with running(work) as found:
        quiet(found)
        settings.write_text("wip_limit = nonsense\n", encoding="utf-8")
        until(lambda: any("stay in force" in t.text for t in found.told))
        assert found.daemon.settings.wip_limit == 3
        settings.write_text("wip_limit = 4\n", encoding="utf-8")
        until(lambda: found.daemon.settings.wip_limit == 4)


def test_what_becomes_wrong_with_the_board_is_told_once(work: Workspace) -> None:
    said: list[str] = []

    class Notes:
        def notify(self, kind: str, title: str, body: str) -> None:
            said.append(f"{kind}: {body}")

    lone = work.root / "_WORK_ORDERS/03_BUILD/WO-90_One.md"
    lone.parent.mkdir()
    for name in ("WO-90_One.md", "WO-90_Two.md"):
        lone.with_name(name).write_text("---\nid: WO-90\nstatus: 03_BUILD\n---\n", encoding="utf-8")
    with running(work, notifier=Notes(), poll=0.2) as found:
        until(lambda: any("WO-90 is held by" in text for text in said))
        found.daemon._examine_at = 0.0
        time.sleep(0.6)
        assert len(said) == 1


def test_a_broken_family_costs_only_itself(work: Workspace) -> None:
    work.conductor().run("WO-512")
    broken = work.root / "_WORK_ORDERS/03_BUILD/WO-800_Broken.md"
    broken.write_text(
        "---\nid: WO-800\nstatus: 03_BUILD\nflow:\n  state: nonsense\n---\n", encoding="utf-8"
    )
    with running(work) as found:
        quiet(found)
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
        until(lambda: work.places().get("WO-512b") == "05_USER_REVIEW")
    assert any(t.kind == "error" and t.family == "WO-800" for t in found.told)


def test_without_events_the_poll_sees_it(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    work.conductor().run("WO-512")
    monkeypatch.setattr("orchestrator.storage.watcher.FolderWatch.on_any_event", lambda *_: None)
    with running(work, poll=0.3) as found:
        quiet(found, 0.5)
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: HOLD")
        until(lambda: work.places().get("WO-512") == "98_HOLD")


def test_people_are_told_once_what_waits_for_them(work: Workspace) -> None:
    said: list[tuple[str, str]] = []

    class Notes:
        def notify(self, kind: str, title: str, body: str) -> None:
            said.append((kind, title))

    work.conductor().run("WO-512")
    with running(work, notifier=Notes()) as found:
        quiet(found)
        assert said == [("question", "WO-512 waits for you")]
        work.edit("WO-512", "A person wrote this.", "A person wrote that.")
        quiet(found)
        assert len(said) == 1
        work.edit("WO-512", "status: 05_USER_REVIEW", "status: HOLD")
        until(lambda: ("held", "WO-512 is on hold") in said)
    count = len(said)
    with running(work, notifier=Notes()) as found:
        # a daemon that starts again does not tell it once more
        quiet(found)
        assert len(said) == count


def test_a_message_says_where_what_why_and_what_next(work: Workspace) -> None:
    said: list[str] = []

    class Notes:
        def notify(self, kind: str, title: str, body: str) -> None:
            said.append(f"{title}\n{body}")

    work.conductor().run("WO-512")
    with running(work, notifier=Notes()) as found:
        until(lambda: bool(said))
        quiet(found)
    assert said[0].splitlines() == [
        "WO-512 waits for you",
        f"Two files (in {work.root.name})",
        "question 1 at STAGE 3: USER CHECKPOINT #1 — First look",
        "_WORK_ORDERS/05_USER_REVIEW/WO-512_Two_Files.md",
        "orchestrate review WO-512",
    ]


# -- one per board, once, and the end --------------------------------------------------------------


def test_one_daemon_per_board(work: Workspace) -> None:
    with running(work), pytest.raises(BusyError, match="is locked by process"):
        Daemon(Board(work.root), settings=Settings()).run()


def test_once_advances_what_can_go_on_and_ends(work: Workspace) -> None:
    work.conductor().run("WO-512")
    work.edit("WO-512", "status: 05_USER_REVIEW", "status: APPROVED")
    found = Running(work)
    [outcome] = found.daemon.once()
    assert (outcome.ticket, outcome.stage) == ("WO-512", 7)


def test_a_wait_is_told_once(work: Workspace) -> None:
    work.edit("WO-512", "zebra: last", "depends_on: [WO-600]")
    work.conductor().run("WO-512")
    found = Running(work)
    found.daemon.once()
    found.daemon.once()
    outcomes = [t.outcome for t in found.told if t.outcome is not None]
    assert [o.reasons for o in outcomes if o.ticket == "WO-512"] == [
        ("waits for WO-600, which cannot be found on the board (no-such-ticket)",)
    ]


def test_an_archived_family_is_not_told_as_complete(work: Workspace) -> None:
    work.conductor().run("WO-512")
    with running(work) as found:
        quiet(found)
        work.conductor().archive("WO-512")
        until(lambda: len(found.runs()) > 1)
        quiet(found)
    told = [t.outcome.outcome for t in found.told if t.outcome is not None]
    assert told == ["waiting", "archived"]
    assert work.conductor().run("WO-512").exit_code == 0


def watching(work: Workspace, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from orchestrator.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "-C", str(work.root), "watch", *options],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    assert "watching" in process.stdout.readline()
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_while_it_waits(work: Workspace, number: signal.Signals) -> None:
    work.conductor().run("WO-512")
    process = watching(work, "--json")
    time.sleep(0.5)
    process.send_signal(number)
    # far less than it would wait for the next event or look
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert json.loads(rest.splitlines()[-1])["text"] == "stopped"


def test_a_signal_ends_it_while_an_agent_works_and_the_agent_with_it(work: Workspace) -> None:
    sleeper = f"{sys.executable} -c 'import time; time.sleep(60)'"
    (work.root / "orchestrate.toml").write_text(
        f'[agents.SOOP]\ncommand = ["sh", "-c", "echo $$ > {work.root}/pid; exec {sleeper}"]\n',
        encoding="utf-8",
    )
    work.conductor().run("WO-512", until=1)
    process = watching(work)
    pid = work.root / "pid"
    until(lambda: pid.exists() and bool(pid.read_text()))
    process.terminate()
    # far less than the agent would go on
    process.communicate(timeout=20)
    with pytest.raises(ProcessLookupError):
        until(lambda: os.kill(int(pid.read_text()), 0) is not None, 2)
    # it was stopped, it has not failed
    history = work.root / "_WORK_ORDERS/.receipts/WO-512.jsonl"
    types = [json.loads(line)["type"] for line in history.read_text().splitlines()]
    assert (types.count("dispatch"), types.count("report")) == (2, 1)


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (("run", "WO-512"), signal.SIGINT),
        (("run", "WO-512"), signal.SIGTERM),
        (("run", "WO-512"), signal.SIGHUP),
        (("watch", "--once"), signal.SIGTERM),
    ],
)
def test_a_signal_ends_a_command_and_all_its_agents_and_counts_no_attempt(
    work: Workspace, command: tuple[str, ...], number: signal.Signals
) -> None:
    conductor = work.conductor()
    conductor.run("WO-512")
    conductor.approve("WO-512")
    sleeper = f"{sys.executable} -c 'import time; time.sleep(60)'"
    (work.root / "orchestrate.toml").write_text(
        "".join(
            f'[agents.{name}]\ncommand = ["sh", "-c", "echo $$ > {work.root}/{name}; '
            f'exec {sleeper}"]\n'
            for name in ("BUILDER", "ANALYST")
        ),
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "-C", str(work.root), *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    pids = [work.root / name for name in ("BUILDER", "ANALYST")]
    until(lambda: all(pid.exists() and bool(pid.read_text()) for pid in pids), 30)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert said == "stopped; `run` continues from here\n"
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            until(lambda pid=pid: os.kill(int(pid.read_text()), 0) is not None, 2)
    assert "failure_count: 0" in work.file("WO-512b").read_text(encoding="utf-8")
