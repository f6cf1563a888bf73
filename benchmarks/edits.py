"""People edit tickets by the thousand while the daemon moves them: is any edit lost or refused?

Editors read a ticket, think for a moment, and save it with a new line, without one of its lines, or
with one of them changed: in place (truncated first), by renaming over it, at the path where they
opened it although it has left, twice within a millisecond; now and then they answer, hold, resume
or reopen by its status. The daemon, in a process of its own, advances all families meanwhile. In
the end every line has to stand in its ticket once, but for those that were taken out. At last each
question that is open is approved in a save that also takes a line out, some rounds long: none may
be refused, no line may come back.

With `--minutes` the daemon is killed and started again once a minute, and two of its agents
misbehave now and then: they raise, fail, dawdle, write where they may not, claim what is not there,
or report a section without end.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._common import keep_run  # noqa: E402
from orchestrator import Board, Conductor  # noqa: E402
from orchestrator.daemon.daemon import Daemon  # noqa: E402
from orchestrator.domain.agent import Job, Outcome, Report  # noqa: E402
from orchestrator.settings.config import Settings  # noqa: E402

_WORKFLOW = """\
# Edits

## STAGE 0: LEAD — Triage
Look at it.

## STAGE 1: BUILDER — First half
Work.

## STAGE 2: USER CHECKPOINT #1 — Half way

## STAGE 3: BUILDER — Second half
Work.

## STAGE 4: INSPECTOR — QA
Look.

## STAGE 5: USER CHECKPOINT #2 — The end
"""
_AGENTS = ("LEAD", "BUILDER", "INSPECTOR")
_MARK = re.compile(r"^- edit \d+$", re.MULTILINE)


class Noop:
    """Does nothing, and writes a section about it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def work(self, job: Job) -> Report:
        section = f"## {self.name} at stage {job.stage}, attempt {job.attempt}\n\nDone.\n"
        return Report(outcome=Outcome.DONE, section=section)


class Misbehaving(Noop):
    """The same, but for now and then."""

    def work(self, job: Job) -> Report:
        deed = random.random()
        if deed < 0.04:
            raise RuntimeError("what an agent raises")
        if deed < 0.08:
            return Report(outcome=Outcome.FAILED, reason="no good")
        if deed < 0.11:
            time.sleep(5)
        elif deed < 0.14:
            Path(job.workspace, "orchestrate.toml").write_text("[board]\n", encoding="utf-8")
        elif deed < 0.17:
            Path(job.workspace, "stray.txt").write_text("a file\n", encoding="utf-8")
        elif deed < 0.20:
            return Report(outcome=Outcome.DONE, section="## Long\n\n```\n" + "x\n" * 500_000)
        return super().work(job)


def make_board(root: Path, families: int) -> None:
    (root / "workflows").mkdir(parents=True)
    (root / "workflows" / "edits.md").write_text(_WORKFLOW, encoding="utf-8")
    inbox = root / "_WORK_ORDERS" / "00_INBOX"
    inbox.mkdir(parents=True)
    for n in range(families):
        prose = "\n".join(f"Line {i} of a ticket that somebody wrote." for i in range(40))
        (inbox / f"WO-{100 + n}_Edited.md").write_text(
            f"---\nid: WO-{100 + n}\nstatus: 00_INBOX\nowner: LEAD\nfailure_count: 0\n"
            f"pipeline_workflow: workflows/edits.md\n---\n# Edited\n\n{prose}\n\n## Notes\n\n",
            encoding="utf-8",
        )


def conductor(board: Board, **options: object) -> Conductor:
    agents = {name: Noop(name) for name in _AGENTS}
    return Conductor(board, agents=agents, **options)  # type: ignore[arg-type]


def misbehaving(board: Board, **options: object) -> Conductor:
    agents = {"LEAD": Noop("LEAD"), **{name: Misbehaving(name) for name in _AGENTS[1:]}}
    return Conductor(board, agents=agents, **options)  # type: ignore[arg-type]


def daemon_of(root: Path, make: Callable[..., Conductor] = conductor) -> Daemon:
    return Daemon(Board(root), settings=Settings(), make=make, poll=1.0, log=lambda _: None)


def run_daemon(daemon: Daemon) -> None:
    signal.signal(signal.SIGTERM, lambda *_: daemon.stop())
    daemon.run()


def in_process(root: Path) -> int:
    """The daemon in a forked process; its pid."""
    pid = os.fork()
    if pid == 0:
        run_daemon(daemon_of(root))
        os._exit(0)
    return pid


class KilledDaemon(threading.Thread):
    """The daemon in a process that is killed once a minute and started again."""

    def __init__(self, root: Path, every: float) -> None:
        super().__init__()
        self.root, self.every = root, every
        self.ended = threading.Event()
        self.kills = 0
        self.most_memory = 0.0
        #: of those that ended without having been killed
        self.exits: list[int] = []

    def run(self) -> None:
        while True:
            child = psutil.Popen([sys.executable, __file__, "--daemon-of", str(self.root)])
            until = time.monotonic() + self.every
            while time.monotonic() < until and child.poll() is None and not self.ended.wait(0.2):
                with contextlib.suppress(psutil.Error):
                    self.most_memory = max(self.most_memory, child.memory_info().rss / 2**20)
            if self.ended.is_set() or child.poll() is not None:
                with contextlib.suppress(psutil.Error):
                    child.terminate()
                self.exits.append(child.wait())
            else:
                child.kill()
                child.wait()
                self.kills += 1
            if self.ended.is_set() and self.exits:
                return


# -- editors ---------------------------------------------------------------------------------------


class Editor(threading.Thread):
    """Edits the families that are its own, one after the other."""

    def __init__(
        self,
        root: Path,
        names: list[str],
        marks: Iterator[int],
        seed: int,
        changes: float,
        pause: float = 0.0,
    ) -> None:
        super().__init__()
        self.pause = pause
        self.changes = changes
        self.board = root / "_WORK_ORDERS"
        self.names = names
        self.marks = marks
        self.dice = random.Random(seed)
        self.made: list[str] = []
        self.gone: set[str] = set()
        self.ways: Counter[str] = Counter()

    def run(self) -> None:
        for number in self.marks:
            while not self._edit(self.dice.choice(self.names), number):
                time.sleep(0.001)
            time.sleep(self.dice.random() * 2 * self.pause)

    def _edit(self, name: str, number: int) -> bool:
        found = sorted(self.board.glob(f"*/{name}"))
        if not found:
            return False
        path = self.dice.choice(found)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        if "## Notes\n" not in text:
            return False
        time.sleep(self.dice.choice((0, 0, 0.001, 0.005, 0.03, 0.06)))
        # one line changed in two files of one ticket would be two answers to one question
        text, taken = self._changed(text, f"- edit {number}", add=len(found) > 1)
        self._save(path, text)
        if taken:
            self.gone.add(taken)
        if self.dice.random() < 0.1:
            self._save(path, text)
            self.ways["twice"] += 1
        time.sleep(self.dice.random() * 0.004)
        return True

    def _changed(self, text: str, line: str, add: bool) -> tuple[str, str]:
        """The text with a new line, a changed line or a line less; and the line that is gone."""
        old = _MARK.findall(text)
        way = self.dice.random()
        if not old or add or way > 0.15 + self.changes:
            self.made.append(line)
            return self._with_line(text, line), ""
        taken = self.dice.choice(old)
        if way > 0.15:
            self.ways["line changed"] += 1
            self.made.append(line)
            return text.replace(f"{taken}\n", f"{line}\n", 1), taken
        self.ways["line taken out"] += 1
        return text.replace(f"{taken}\n", "", 1), taken

    def _with_line(self, text: str, line: str) -> str:
        if self.dice.random() < 0.4:
            text = self._steered(text)
        at = text.index("## Notes\n") + len("## Notes\n\n")
        return f"{text[:at]}{line}\n{text[at:]}"

    def _steered(self, text: str) -> str:
        """Answers, resumes or reopens by the status; sometimes holds."""
        wishes = {"05_USER_REVIEW": "APPROVED", "06_COMPLETE": "01_TRIAGE", "04_QA": "HOLD"}
        status = re.search(r"^status: (.*)$", text, re.MULTILINE)
        back = re.search(r"^held_from: (.*)$", text, re.MULTILINE)
        wish = back[1] if back else wishes.get(status[1] if status else "", "")
        return (
            re.sub(r"^status: .*$", f"status: {wish}", text, count=1, flags=re.M) if wish else text
        )

    def _save(self, path: Path, text: str) -> None:
        way = self.dice.choice(("in place", "rename"))
        if not path.exists():
            self.ways["at a path that it has left"] += 1
        self.ways[way] += 1
        if way == "in place":
            with path.open("w", encoding="utf-8") as file:
                half = len(text) // 2
                file.write(text[:half])
                file.flush()
                file.write(text[half:])
        else:
            beside = path.with_name(f".{path.name}.{threading.get_ident()}")
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)


# -- the count -------------------------------------------------------------------------------------


def settle(root: Path) -> None:
    """Let a daemon take in what lies there, until nothing changes any more."""
    before: list[bytes] = []
    for _ in range(30):
        daemon_of(root).once()
        now = [p.read_bytes() for p in sorted((root / "_WORK_ORDERS").rglob("*.md"))]
        if now == before:
            return
        before = now


def approve_all(root: Path, rounds: int) -> dict[str, int]:
    """Approve each open question in a save that also takes a line out, and let the daemon go on."""
    figures = {"approvals": 0, "refused": 0, "came_back": 0}
    for _ in range(rounds):
        taken = {}
        for path in (root / "_WORK_ORDERS").glob("*/WO-*_Edited.md"):
            text, role = path.read_text(encoding="utf-8"), path.parent.name
            wish = {"05_USER_REVIEW": "APPROVED", "06_COMPLETE": "01_TRIAGE"}.get(role)
            line = next(iter(_MARK.findall(text)), "")
            # an editor's late approval of what is no longer asked is rightly left to its person
            asked = "\n  state: waiting for USER\n" in text or "\n  state: complete\n" in text
            if wish is None or not line or not asked:
                continue
            text = re.sub(r"^status: .*$", f"status: {wish}", text, count=1, flags=re.M)
            path.write_text(text.replace(f"{line}\n", "", 1), encoding="utf-8")
            revision = re.search(r"^  revision: (\d+)$", text, re.M)
            taken[path.name] = (line, revision and revision[1])
        settle(root)
        for name, (line, revision) in taken.items():
            (now,) = (p for p in (root / "_WORK_ORDERS").glob(f"*/{name}"))
            text = now.read_text(encoding="utf-8")
            figures["approvals"] += 1
            figures["refused"] += f"\n  revision: {revision}\n" in text
            figures["came_back"] += f"{line}\n" in text
    return figures


def count(root: Path, made: list[str], gone: set[str]) -> dict[str, int]:
    """How many edits stand in their tickets once, twice, only beside them, or nowhere."""
    living: Counter[str] = Counter()
    beside: set[str] = set()
    for path in (root / "_WORK_ORDERS").rglob("*.md"):
        marks = _MARK.findall(path.read_text(encoding="utf-8"))
        if ".conflict-" in path.name:
            beside |= set(marks)
        else:
            living.update(marks)
    for path in (root / ".orchestrate/state").glob("[ds]*/*.*"):
        if path.parent.name in ("displaced", "strays"):
            beside |= set(_MARK.findall(path.read_text(encoding="utf-8", errors="replace")))
    missing = [mark for mark in made if mark not in living and mark not in gone]
    return {
        "edits": len(made),
        "taken_out": len(gone),
        "undone": sum(mark in living for mark in gone),
        "lost": sum(mark not in beside for mark in missing),
        "only_set_aside": sum(mark in beside for mark in missing),
        "doubled": sum(n > 1 for n in living.values()),
        "tickets": len({p.name for p in (root / "_WORK_ORDERS").glob("*/WO-*_Edited.md")}),
        "twins": len(list((root / "_WORK_ORDERS").glob("*/WO-*_Edited.md"))),
    }


def edit(root: Path, given: argparse.Namespace) -> tuple[list[Editor], float, dict[str, int]]:
    """Let the editors edit while the daemon works: they, the seconds, how the daemon ended."""
    watch = KilledDaemon(root, given.kill_every) if given.minutes else None
    if watch is not None:
        watch.start()
    pid = 0 if watch else in_process(root)
    time.sleep(0.5)
    names = [f"WO-{100 + n}_Edited.md" for n in range(given.families)]
    started = time.monotonic()
    marks: Iterator[int] = iter(range(given.edits))
    if given.minutes:
        last = started + 60 * given.minutes
        # threads share it: a generator could not be
        marks = itertools.takewhile(lambda _: time.monotonic() < last, itertools.count())
    editors = [
        Editor(root, names[n :: given.editors], marks, given.seed + n, given.changes, given.pause)
        for n in range(given.editors)
    ]
    for editor in editors:
        editor.start()
    for editor in editors:
        editor.join()
    seconds = time.monotonic() - started
    time.sleep(2)
    if watch is None:
        os.kill(pid, signal.SIGTERM)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return editors, seconds, {"daemon_exit": code}
    watch.ended.set()
    watch.join()
    ended = {
        "daemon_exit": watch.exits[-1],
        "kills": watch.kills,
        "ended_by_itself": len(watch.exits) - 1,
        "most_memory_mb": round(watch.most_memory),
    }
    return editors, seconds, ended


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--families", type=int, default=24)
    parser.add_argument("--editors", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=10, help="of approvals at the end")
    parser.add_argument("--changes", type=float, default=0.15, help="share of changed lines")
    parser.add_argument("--keep", action="store_true", help="for the documents")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="of a daemon that is killed each minute")
    parser.add_argument("--kill-every", type=float, default=60.0, help="seconds, with --minutes")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds after each edit")
    parser.add_argument("--daemon-of", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.daemon_of:
        run_daemon(daemon_of(given.daemon_of, misbehaving))
        return 0
    root = Path(tempfile.mkdtemp(prefix="orchestrate-edits-"))
    make_board(root, given.families)
    for n in range(given.families):
        conductor(Board(root), settings=Settings()).run(f"WO-{100 + n}")
    editors, seconds, ended = edit(root, given)
    settle(root)
    made = [mark for editor in editors for mark in editor.made]
    figures = count(root, made, set[str]().union(*(editor.gone for editor in editors)))
    moves = sum(
        json.loads(line)["type"] == "transition"
        for path in (root / "_WORK_ORDERS" / ".receipts").glob("*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    figures |= approve_all(root, given.rounds)
    zero = ("lost", "undone", "only_set_aside", "doubled", "refused", "came_back")
    goal = dict.fromkeys(zero, 0)
    good = all(figures[key] == value for key, value in goal.items()) and not ended["daemon_exit"]
    good = good and figures["tickets"] == figures["twins"] == given.families
    good = good and not ended.get("ended_by_itself")
    ways = sum((editor.ways for editor in editors), Counter())
    line = {
        "benchmark": "edits",
        **figures,
        "ways": dict(ways),
        "transitions_meanwhile": moves,
        **ended,
        "seconds": round(seconds, 1),
        "goal": goal,
        "met": good,
        **({} if good else {"kept": str(root)}),
    }
    print(json.dumps(line))
    if given.keep:
        keep_run("watch" if given.minutes else "edits", line)
    if good:
        shutil.rmtree(root)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
