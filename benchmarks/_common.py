"""What the benchmarks share: running the command line, timing it, a board of any size."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# the second pipeline is no part of what is installed
sys.path.insert(0, str(ROOT))
COMMAND = [sys.executable, "-c", "from orchestrator.cli import main; main()"]
DATABASE_VARIABLES = ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "DATABASE_URL")
_FOLDERS = ("00_INBOX", "01_TRIAGE", "03_BUILD", "04_QA", "05_USER_REVIEW", "06_COMPLETE")


#: the last kept run of each harness, by its name; the documents show them
RUNS = ROOT / "benchmarks" / "runs.json"


def keep_run(name: str, line: dict[str, Any]) -> None:
    """Keep what a harness has printed as its last run."""
    runs = json.loads(RUNS.read_text(encoding="utf-8")) if RUNS.is_file() else {}
    runs[name] = {key: value for key, value in line.items() if key != "kept"}
    RUNS.write_text(json.dumps(runs, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def bare_environment() -> dict[str, str]:
    """The environment without its databases, and with Python's compiled files as installed."""
    left_out = (*DATABASE_VARIABLES, "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def orchestrate(workspace: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a workspace, without the databases of the environment."""
    return subprocess.run(
        [*COMMAND, "-C", str(workspace), *args],
        capture_output=True,
        encoding="utf-8",
        env=bare_environment(),
        check=False,
    )


def seconds(action: Callable[[], Any], repeat: int = 1) -> float:
    """The median time of an action."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times), 3)


def make_board(root: Path, size: int) -> Path:
    """A board with `size` tickets of ordinary length in its usual folders."""
    for number in range(size):
        folder = _FOLDERS[number % len(_FOLDERS)]
        path = root / "_WORK_ORDERS" / folder / f"WO-{1000 + number}_Benchmark_Ticket.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_ticket(1000 + number, folder), encoding="utf-8")
    return root


def _ticket(number: int, folder: str) -> str:
    body = "A line of an ordinary description, neither long nor short.\n" * 30
    return (
        f'---\nid: WO-{number}\ntitle: "Ticket {number}: one of many"\nstatus: {folder}\n'
        f"owner: BUILDER\npriority: P2\ncreated: 2026-02-20\nfailure_count: 0\n"
        f"tags: [benchmark, board]\n---\n\n# WO-{number}\n\n{body}\n"
        "## Acceptance Criteria\n\n- [ ] `docs/a.md` exists\n- [x] `docs/b.md` exists\n"
    )


def report(benchmark: str, figures: dict[str, Any], targets: dict[str, float]) -> None:
    """Print the figures as one JSON line, with the targets and whether each is met."""
    line = {
        "benchmark": benchmark,
        **figures,
        "targets": targets,
        "met": {name: figures[name] < limit for name, limit in targets.items()},
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    print(json.dumps(line))


def checked(result: subprocess.CompletedProcess[str], codes: Sequence[int] = (0,)) -> str:
    """The output of a command that had to end with one of `codes`."""
    if result.returncode not in codes:
        raise SystemExit(f"exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout
