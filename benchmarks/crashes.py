"""Kill the conductor at every disk operation of a story, and at random times; compare the ends.

`--story tickets` takes a family of three tickets from the inbox to the end: split, two makers side
by side, a send-back, a failed gate, a hold, two checkpoints. `--story no-ff`, `ff` and `squash`: a
coding agent works in a checkout, fails once, and lands so on a branch that has moved; `beside`: two
of them side by side, in a checkout each, whose work conflicts. Commands of git count as operations
too, and a killed git has left its locks in the checkout.

A story is told once undisturbed. Then, for each operation, it is told until the process kills
itself (SIGKILL) just before that operation, and goes on in a new process; the same with a full disk
and with rights taken away, from that operation on until the process ends. Every end has to be the
undisturbed one, byte for byte but for the times: no ticket lost or doubled, no section, box or
count twice, nothing landed twice.

`--every 7` takes each seventh operation only, `--kills` the number of random ones. One line of JSON
at the end; exit 1 if an end differs.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from orchestrate_agents.inspector import Inspector  # noqa: E402
from orchestrate_agents.lead import Lead  # noqa: E402
from orchestrator.conductor.conductor import RunOutcome  # noqa: E402
from orchestrator.domain.agent import Job, Outcome, Report  # noqa: E402
from orchestrator.errors import BusyError, OrchestrateError  # noqa: E402
from orchestrator.storage import syscalls  # noqa: E402
from tests.boards import Workspace, Writer  # noqa: E402
from tests.repositories import BESIDE, Painter, Repository  # noqa: E402

_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_FAULTS = {"full": errno.ENOSPC, "denied": errno.EACCES}
_STEPS = 40


class FailsFirst(Writer):
    """Writes nothing at its first attempt, so that its gate fails once."""

    def work(self, job: Job) -> Report:
        if job.attempt == 1:
            return Report(outcome="done", section="## BUILDER forgot the file\n")  # type: ignore[arg-type]
        return self.write(job, f"{self.name} attempt {job.attempt}\n")


class Tickets:
    """Three tickets of one family in a workspace without git."""

    def begin(self, root: Path) -> None:
        Workspace(root)

    def tell(self, root: Path, processes: bool = False) -> None:
        tell(root, processes)

    def end_of(self, root: Path) -> dict[str, str]:
        return end_of(root)

    def after_kill(self, root: Path) -> None:
        """What a killed child may leave behind."""


class Landings(Tickets):
    """A coding agent in a checkout, whose first attempt fails, and a branch that has moved."""

    def __init__(self, merge: str) -> None:
        self.merge = merge

    def begin(self, root: Path) -> None:
        root.mkdir()
        repo = Repository(root, merge=self.merge)
        repo.write("kept.txt", "one\n")
        repo.commit("a file that somebody edits")
        repo.write("kept.txt", "a person's\n")

    def tell(self, root: Path, processes: bool = False) -> None:
        repo = self.repository(root)
        for _ in range(_STEPS):
            outcome = waiting_for_agents(lambda: repo.conductor.run("WO-1"))
            if outcome.outcome == "complete":
                return
            assert outcome.outcome == "waiting", outcome
            if not (root / "other.txt").exists():
                repo.write("other.txt", "meanwhile\n")
            if repo.git("status", "--porcelain", "other.txt"):
                repo.git("add", "other.txt")
                repo.git("commit", "-q", "-m", "meanwhile", "--", "other.txt")
            repo.approve()
        raise SystemExit("the story does not come to an end")

    def repository(self, root: Path) -> Repository:
        repo = Repository.__new__(Repository)
        repo.root, repo.settings, repo.painter = root, {"merge": self.merge}, FailsInGit()
        repo.others = {}
        return repo

    def end_of(self, root: Path) -> dict[str, str]:
        repo = Repository.__new__(Repository)
        repo.root = root
        found = end_of(root)
        found |= {
            name: "" if "_WORK_ORDERS" in name else repo.file_at("main", name)
            for name in repo.git("ls-tree", "-r", "--name-only", "main").splitlines()
            if ".receipts" not in name
        }
        log = repo.git("log", "--format=%B", "main").splitlines()
        found["landed"] = str(sum(line.startswith("Orchestrate-Landed") for line in log))
        found["painted"] = str(len(repo.git("log", "--format=%h", "main", "--", "colour.txt")) > 0)
        found["effects"] = str([r["ok"] for r in repo.records("effect")])
        found["status"] = repo.git("status", "--porcelain", "--", ":(exclude)_WORK_ORDERS")
        found["kept"] = str(repo.git("for-each-ref", "--format=%(refname)", "refs/orchestrate"))
        found["checkouts"] = str(sorted(p.name for p in repo.checkout.parent.glob("[!.]*")))
        for name in ("kept.txt", "colour.txt", "other.txt"):
            found[f"on disk: {name}"] = (root / name).read_text(encoding="utf-8")
        return found

    def after_kill(self, root: Path) -> None:
        for own in (root / ".orchestrate" / "workspaces").glob("WO-1*/.git"):
            (own / "index.lock").touch()
            (own / "HEAD.lock").touch()


class SideBySide(Landings):
    """Two coding agents in a checkout each; the later one conflicts with the first one's work."""

    def begin(self, root: Path) -> None:
        super().begin(root)
        repo = self.repository(root)
        repo.write("workflows/w.md", BESIDE)
        repo.git("add", "workflows")
        repo.git("commit", "-q", "-m", "two makers", "--", "workflows")

    def repository(self, root: Path) -> Repository:
        repo = super().repository(root)
        repo.painter, repo.others = (
            Painter(colour="green\n", both="painted\n"),
            {"TESTER": Tester()},
        )
        return repo


class Tester(Painter):
    """Writes what the other one wrote too, until it is told of the conflict."""

    name = "TESTER"

    def work(self, job: Job) -> Report:
        self.files = {"test": "t\n", "both": "both\n" if job.attempt > 1 else "tested\n"}
        with unwatched():
            return super().work(job)


class FailsInGit(Painter):
    """Commits something else at its first attempt, on a branch of its own."""

    def work(self, job: Job) -> Report:
        failing = job.attempt == 1
        self.files = {"wrong": "red\n"} if failing else {"colour": "green\n"}
        elsewhere = [["switch", "-q", "-C", "elsewhere"], ["add", "-A"]]
        elsewhere += [["commit", "-q", "--allow-empty", "-m", "mine"]]
        self.commands = [["git", *words] for words in elsewhere] if failing else []
        with unwatched():
            report = super().work(job)
        wrong = {"outcome": Outcome.FAILED, "reason": "it is red"} if failing else {}
        return report.model_copy(update=wrong)


def tell(root: Path, processes: bool = False) -> None:
    """Tell the story on from wherever it stands, to its end.

    `processes`: LEAD and INSPECTOR run as child processes, which may outlive their conductor.
    """
    agents = {} if processes else {"LEAD": Lead(), "INSPECTOR": Inspector()}
    work = Workspace.__new__(Workspace)
    work.root, work.events = root, []
    work.soop = Writer("SOOP", "out/first.txt")
    work.builder = FailsFirst("BUILDER", "out/second.txt")
    work.analyst = Writer("ANALYST", "out/third.txt")
    for _ in range(_STEPS):
        outcome = waiting_for_agents(lambda: work.conductor(agents).run("WO-512"))
        if outcome.outcome == "complete":
            return
        answer(work, outcome.outcome)
    raise SystemExit("the story does not come to an end")


def waiting_for_agents(run: Callable[[], RunOutcome]) -> RunOutcome:
    """An agent that outlives its conductor holds the family till it ends."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return run()
        except BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def answer(work: Workspace, outcome: str) -> None:
    """What USER says: sends the first question back, holds at the second, else approves."""
    conductor = work.conductor()
    if outcome == "held":
        conductor.resume("WO-512")
        return
    question = conductor.status("WO-512")["question"]
    if question["number"] == 1:
        conductor.send_back("WO-512", note="another word, please")
    elif question["number"] == 2:
        conductor.hold("WO-512", reason="lunch")
    else:
        conductor.approve("WO-512")


# -- one telling in a process of its own -----------------------------------------------------------


def in_child(work: Callable[[], None], wait: float | None = None) -> int:
    """Exit code of a forked process that does `work`; killed after `wait` seconds if given."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except OrchestrateError as exc:
            code = 3
            print(f"{type(exc).__name__} {exc.code}: {exc}", file=sys.stderr)
        except BaseException:  # noqa: BLE001 - the parent has to know
            traceback.print_exc()
        os._exit(code)
    if wait is not None:
        time.sleep(wait)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_at(number: int) -> syscalls.Watcher:
    """Ends the process before its operation of that number."""
    count = iter(range(number, -1, -1))

    def watcher(operation: str, path: Path) -> None:
        if next(count) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return watcher


def failing_from(number: int, code: int) -> syscalls.Watcher:
    """Fails every operation from that number on that needs space or rights."""
    done = [0]

    def watcher(operation: str, path: Path) -> None:
        done[0] += 1
        if done[0] > number and operation != "remove":
            raise OSError(code, os.strerror(code), str(path))

    return watcher


@contextlib.contextmanager
def watched(watcher: syscalls.Watcher) -> Iterator[None]:
    """Call `watcher` before every operation on the disk, and before every command of git."""
    start = subprocess.Popen.__init__

    def begin(self: Any, command: Any, *rest: Any, **options: Any) -> None:
        if command[0] == "git" and not _unwatched:
            watcher(f"git {command[1]}", Path(options.get("cwd") or "."))
        start(self, command, *rest, **options)

    subprocess.Popen.__init__ = begin  # type: ignore[method-assign]
    try:
        with syscalls.watched(watcher):
            yield
    finally:
        subprocess.Popen.__init__ = start  # type: ignore[method-assign]


_unwatched: list[bool] = []


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """What an agent does is not the conductor's."""
    _unwatched.append(True)
    try:
        yield
    finally:
        _unwatched.pop()


def counted(operations: Counter[str]) -> syscalls.Watcher:
    def watcher(operation: str, path: Path) -> None:
        operations[operation] += 1

    return watcher


# -- ends ------------------------------------------------------------------------------------------


def end_of(root: Path) -> dict[str, str]:
    """Every ticket and artifact by its place, times masked; what is left over shows as well."""
    found = {}
    for path in sorted([*(root / "_WORK_ORDERS").rglob("*"), *(root / "out").rglob("*")]):
        if path.is_file() and path.suffix != ".jsonl":
            text = path.read_text(encoding="utf-8")
            found[path.relative_to(root).as_posix()] = _TIME.sub("TIME", text)
    return {name: _masked(text) for name, text in found.items() if ".orchestrate-" not in name}


def _masked(text: str) -> str:
    """Without digests, and without the words of a maker that was stopped before it could tell."""
    text = re.sub(r'"?\b[0-9a-f]{64}\b"?', "SHA", text)
    text = re.sub(r"\bhistory: \S+", "history: SHA", text)
    text = re.sub(r"Digest of all that is shown: `[0-9a-f]+`", "Digest", text)
    text = re.sub(
        r"## (\w+) was stopped at .*\n<!--.*-->\n\nIts work is proven: ", r"## \1\n\n", text
    )
    return re.sub(r"## (\w+) DONE \(attempt \d\)\n<!--.*-->\n\nWrote ", r"## \1\n\n", text)


def differences(end: dict[str, str], wanted: dict[str, str]) -> list[str]:
    names = sorted({*end, *wanted})
    return [name for name in names if end.get(name) != wanted.get(name)]


# -- the runs --------------------------------------------------------------------------------------


class Runs:
    """Tells the story again and again in folders of its own, and keeps what went wrong."""

    def __init__(self, story: Tickets, base: Path, wanted: dict[str, str], verbose: bool) -> None:
        self.story = story
        self.base = base
        self.wanted = wanted
        self.verbose = verbose
        self.bad: list[str] = []

    def one(self, name: str, disturbed: Callable[[Path], int]) -> int:
        """A disturbed telling, then an undisturbed one to the end; the first one's exit code."""
        root = self.base / name
        self.story.begin(root)
        code = disturbed(root)
        if code < 0:
            self.story.after_kill(root)
        again = in_child(lambda: self.story.tell(root, processes=name.startswith("random")))
        end = self.story.end_of(root)
        wrong = differences(end, self.wanted)
        if again or wrong:
            self.bad.append(f"{name}: exit {again}, differs: {', '.join(wrong)}")
            if self.verbose:
                print(self.bad[-1], file=sys.stderr)
                for place in wrong:
                    ends = (self.wanted.get(place, ""), end.get(place, ""))
                    lines = difflib.unified_diff(*(end.splitlines() for end in ends), n=1)
                    print("\n".join(["", place, *lines]), file=sys.stderr)
        else:
            shutil.rmtree(root)
        return code


def watched_telling(story: Tickets, root: Path, watcher: syscalls.Watcher) -> None:
    with watched(watcher):
        story.tell(root)


def told_in(story: Tickets, base: Path) -> float:
    """How long the story takes with agents as processes, for kills at random times (s)."""
    story.begin(base / "timed")
    started = time.monotonic()
    in_child(lambda: story.tell(base / "timed", processes=True))
    return time.monotonic() - started


def operations_of(story: Tickets, base: Path) -> tuple[Counter[str], dict[str, str]]:
    """The undisturbed story: its operations by kind, and its end."""
    root, log = base / "undisturbed", base / "operations.json"
    story.begin(root)

    def work() -> None:
        operations: Counter[str] = Counter()
        watched_telling(story, root, counted(operations))
        log.write_text(json.dumps(operations))

    if in_child(work):
        raise SystemExit("the undisturbed story fails")
    return Counter(json.loads(log.read_text())), story.end_of(root)


def kinds(every: int, total: int, first: int) -> Iterator[tuple[str, int, syscalls.Watcher]]:
    """Every way to be stopped: name, operation, and what stops the telling."""
    for number in range(first, total, every):
        yield "kill", number, killed_at(number)
        for name, code in _FAULTS.items():
            yield name, number, failing_from(number, code)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stories = ("tickets", "no-ff", "ff", "squash", "beside")
    parser.add_argument("--story", choices=stories, default="tickets")
    parser.add_argument("--every", type=int, default=1, help="take each N-th operation")
    parser.add_argument("--first", type=int, default=0, help="begin with this operation")
    parser.add_argument("--kills", type=int, default=300, help="SIGKILLs at random times")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="orchestrate-crashes-"))
    story = Tickets() if given.story == "tickets" else Landings(given.story)
    story = SideBySide("no-ff") if given.story == "beside" else story
    operations, wanted = operations_of(story, base)
    runs = Runs(story, base, wanted, given.verbose)
    stopped: Counter[str] = Counter()
    started = time.monotonic()
    for kind, number, watcher in kinds(given.every, operations.total(), given.first):
        code = runs.one(
            f"{kind}-{number}",
            lambda root, w=watcher: in_child(lambda: watched_telling(story, root, w)),
        )
        stopped[kind] += code != 0
    dice = random.Random(given.seed)
    seconds = told_in(story, base) if given.kills else 0.0
    for number in range(given.kills):
        wait = dice.uniform(0, seconds)
        code = runs.one(
            f"random-{number}", lambda root, w=wait: in_child(lambda: story.tell(root, True), w)
        )
        stopped["random"] += code != 0
    print(json.dumps(_line(operations, stopped, runs, time.monotonic() - started)))
    if not runs.bad:
        shutil.rmtree(base)
    return 1 if runs.bad else 0


def _line(
    operations: Counter[str], stopped: Counter[str], runs: Runs, seconds: float
) -> dict[str, Any]:
    return {
        "benchmark": "crashes",
        "operations": operations.total(),
        "by_kind": dict(operations),
        "stopped": dict(stopped),
        "wrong_ends": len(runs.bad),
        "wrong": runs.bad[:10],
        "seconds": round(seconds, 1),
        "goal": "wrong_ends = 0",
        "met": not runs.bad,
    }


if __name__ == "__main__":
    sys.exit(main())
