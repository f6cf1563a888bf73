"""Kill processes and their groups while other programs work for them; does the next run mend it?

`--story database`: the first start of PostgreSQL, of the proving server and of a workspace's own,
is killed at random moments: the process, its group, or the group by SIGTERM. The next start has to
give a server that takes rows. `--story commits`: a family whose steps are committed to git is told
to its end, and its group is killed once at a random moment; a lock that git left is removed. In the
end the last commit has to hold each ticket once, where it lies, and all that was made. One line of
JSON at the end; exit 1 if a next run was not right.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._common import keep_run  # noqa: E402
from tests.boards import Workspace  # noqa: E402

#: how a process is ended: whom the signal goes to, and which it is
_ENDS: dict[str, tuple[Callable[[int, int], None], signal.Signals]] = {
    "process killed": (os.kill, signal.SIGKILL),
    "group killed": (os.killpg, signal.SIGKILL),
    "group terminated": (os.killpg, signal.SIGTERM),
}
_START = """
import sys, time
from pathlib import Path
from orchestrate_backend.targets.embedded import EmbeddedServer
from orchestrate_backend.targets.postgres import EmbeddedTarget
place = Path(sys.argv[2])
if sys.argv[1] == "proving":
    uri = EmbeddedServer(place / "scratch", scratch=True).uri()
else:
    uri = EmbeddedTarget(place).uri("supabase_admin")
import psycopg
with psycopg.connect(uri) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
    connection.execute("INSERT INTO kept VALUES (1)")
"""


def database(base: Path, kills: int, dice: random.Random) -> tuple[Counter[str], list[str]]:
    """Kills during the first start of PostgreSQL; what was stopped, and what stayed wrong."""
    stopped: Counter[str] = Counter()
    bad: list[str] = []
    timed = _start("proving", base / "timed")
    started = _wait_for_files(base / "timed", timed)
    assert timed.wait() == 0
    seconds = time.monotonic() - started
    for number in range(kills):
        kind = ("proving", "own")[number % 2]
        how = tuple(_ENDS)[number // 2 % len(_ENDS)]
        place = base / f"{number}"
        first = _start(kind, place)
        _wait_for_files(place, first)
        with contextlib.suppress(subprocess.TimeoutExpired):
            first.wait(seconds * dice.uniform(0, 1))
        send, sent = _ENDS[how]
        with contextlib.suppress(ProcessLookupError):
            send(first.pid, sent)
            stopped[f"{kind}, {how}"] += 1
        first.wait()
        again = _start(kind, place)
        _, told = again.communicate()
        if again.returncode:
            bad.append(f"{number} {kind}, {how}: {told.strip().splitlines()[-1:]}")
        else:
            shutil.rmtree(place, ignore_errors=True)
    return stopped, bad


def _start(kind: str, place: Path) -> subprocess.Popen[str]:
    place.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _START, kind, str(place)],
        env={**os.environ, "ORCHESTRATE_SERVER_MINUTES": "0"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _wait_for_files(place: Path, process: subprocess.Popen[str]) -> float:
    """The moment at which the process has begun to write there."""
    while process.poll() is None and not any(place.rglob("PG_VERSION")):
        time.sleep(0.01)
    return time.monotonic()


def commits(base: Path, kills: int, dice: random.Random) -> tuple[Counter[str], list[str]]:
    """Kills of a family's process group while its steps are committed."""
    _begin(base / "timed")
    started = time.monotonic()
    _told(base / "timed").wait()
    seconds = time.monotonic() - started
    stopped: Counter[str] = Counter()
    bad: list[str] = []
    for number in range(kills):
        root = base / f"{number}"
        _begin(root)
        first = _told(root)
        with contextlib.suppress(subprocess.TimeoutExpired):
            first.wait(dice.uniform(0, seconds))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)
            stopped["group killed"] += 1
        first.wait()
        (root / ".git/index.lock").unlink(missing_ok=True)
        code = _told(root).wait()
        board = (root / "_WORK_ORDERS").glob("*/WO-512*.md")
        here = sorted(path.relative_to(root).as_posix() for path in board)
        held = _git(root, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
        tickets = sorted(name for name in held if "/WO-512" in name and name.endswith(".md"))
        lacking = {f"out/{name}.txt" for name in ("first", "second", "third")} - set(held)
        dirty = _git(root, "status", "--porcelain", "--", "_WORK_ORDERS", "out")
        if code or tickets != here or lacking or dirty:
            bad.append(f"{number}: exit {code}, {tickets}, lacking {sorted(lacking)}, {dirty!r}")
        else:
            shutil.rmtree(root)
    return stopped, bad


_TELL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from benchmarks import crashes
from orchestrator.conductor.conductor import Conductor
from orchestrator.settings.config import Settings
from orchestrator.settings.tables import GitSettings
from tests.boards import Workspace
plain = Workspace.conductor
Workspace.conductor = lambda self, agents=None, settings=None: plain(
    self, agents, Settings(git=GitSettings(commit=True)))
crashes.tell(Path(sys.argv[1]))
"""


def _begin(root: Path) -> None:
    Workspace(root)
    _git(root, "init", "-q", "-b", "main")
    _git(root, "add", "-A")
    _git(root, "commit", "-qm", "begin")


def _git(root: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@t")
    return subprocess.run(
        ["git", *who, *words], cwd=root, check=True, capture_output=True, text=True
    ).stdout


def _told(root: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-W", "ignore", "-c", _TELL, str(root), str(ROOT)]
    return subprocess.Popen(words, start_new_session=True)


_STORIES = {"database": database, "commits": commits}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--story", choices=tuple(_STORIES), required=True)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="for the documents")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="orchestrate-kills-"))
    base.chmod(0o755)
    started = time.monotonic()
    stopped, bad = _STORIES[given.story](base, given.kills, random.Random(given.seed))
    line = {
        "benchmark": "kills",
        "story": given.story,
        "kills": sum(stopped.values()),
        "stopped": dict(stopped),
        "wrong_ends": len(bad),
        "wrong": bad[:10],
        "seconds": round(time.monotonic() - started, 1),
        "goal": "wrong_ends = 0",
        "met": not bad,
    }
    print(json.dumps(line))
    if given.keep:
        keep_run(f"kills: {given.story}", line)
    if not bad:
        shutil.rmtree(base)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
