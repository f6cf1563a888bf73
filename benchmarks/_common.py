"""What the benchmarks share: running the command line, timing it, a board of any size."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# the second pipeline is not part of what is installed
sys.path.insert(0, str(ROOT))
COMMAND = [sys.executable, "-c", "from orchestrator.cli import main; main()"]
DATABASE_VARIABLES = ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "DATABASE_URL")
_FOLDERS = ("00_INBOX", "01_TRIAGE", "03_BUILD", "04_QA", "05_USER_REVIEW", "06_COMPLETE")

#: the last kept run of each benchmark that has a peer, by its name; and what is not news (times)
SPEEDS = ROOT / "benchmarks" / "speeds.json"
_NOISE = 1.25
#: the last kept run of each harness, by its name; the documents show them
RUNS = ROOT / "benchmarks" / "runs.json"


def keep_run(name: str, line: dict[str, Any], file: Path = RUNS) -> None:
    """Keep what a harness has printed as its last run."""
    runs = kept_runs(file)
    runs[name] = {key: value for key, value in line.items() if key != "kept"}
    file.write_text(json.dumps(runs, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def kept_runs(file: Path) -> dict[str, Any]:
    """The last kept runs, by name."""
    runs: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return runs


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


def report(
    benchmark: str,
    figures: dict[str, Any],
    targets: dict[str, float],
    to_peer: Mapping[str, float] | None = None,
) -> None:
    """Print the figures as one JSON line, with the targets and whether each is met.

    `to_peer`: as in `tell`.
    """
    line = {
        "benchmark": benchmark,
        **figures,
        "targets": targets,
        "met": {name: figures[name] < limit for name, limit in targets.items()},
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    tell(line, to_peer or {})


def tell(line: dict[str, Any], to_peer: Mapping[str, float]) -> None:
    """Print a benchmark's line, and what has got slower since the run that was kept last.

    `to_peer`: figures as multiples of what a peer took in the same run, as machines differ and are
    busier now than then. Only these are compared, and KEEP=1 in the environment keeps the run only
    where there are some.
    """
    before = kept_runs(SPEEDS).get(line["benchmark"], {}).get("to_peer", {})
    line["to_peer"] = {name: round(ratio, 3) for name, ratio in to_peer.items()}
    line["slower"] = [
        f"{name}: {ratio:g} times its peer, {before[name]:g} before"
        for name, ratio in line["to_peer"].items()
        if ratio > before.get(name, ratio) * _NOISE
    ]
    print(json.dumps(line))
    for text in line["slower"]:
        print(f"{line['benchmark']}: slower: {text}", file=sys.stderr)
    if to_peer and os.environ.get("KEEP"):
        keep_run(line["benchmark"], {**line, "machine": machine()}, SPEEDS)


def machine() -> str:
    """The processor, how many cores, how busy, and the version of Python."""
    model = platform.machine()
    with contextlib.suppress(OSError, IndexError):
        model = Path("/proc/cpuinfo").read_text().split("model name\t: ")[1].partition("\n")[0]
    busy = f"load {os.getloadavg()[0]:.0f}" if hasattr(os, "getloadavg") else "load unknown"
    return f"{model}, {os.cpu_count()} cores, {busy}, Python {platform.python_version()}"


def at_sizes(
    measure: Callable[[int], dict[str, float]], sizes: Sequence[int]
) -> tuple[dict[str, float], dict[str, Any]]:
    """The figures at the largest size, and how each grows from size to size.

    `exponent`: 0 for what takes the same at any size, 1 for what grows with it, 2 with its square.
    """
    found = {size: measure(size) for size in sizes}
    growth = {
        name: {
            "values": [found[size][name] for size in sizes],
            "exponent": exponent(sizes, [found[size][name] for size in sizes]),
        }
        for name in found[sizes[-1]]
    }
    return found[sizes[-1]], {"sizes": list(sizes), "growth": growth}


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The slope of the line through the logarithms of sizes and values."""
    points = [(math.log(s), math.log(v)) for s, v in zip(sizes, values, strict=True) if v > 0]
    if len(points) < 2:
        return 0.0
    return round(statistics.linear_regression(*zip(*points, strict=True)).slope, 2)


def plain_read(root: Path) -> float:
    """Seconds that it takes to read all files of a board, and to do nothing with them."""
    files = list((root / "_WORK_ORDERS").rglob("*.md"))
    return max(seconds(lambda: [file.read_bytes() for file in files], 3), 0.001)


def checked(result: subprocess.CompletedProcess[str], codes: Sequence[int] = (0,)) -> str:
    """The output of a command that had to end with one of `codes`."""
    if result.returncode not in codes:
        raise SystemExit(f"exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout
