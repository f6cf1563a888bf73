"""How long all statements of WO-231 take to be proven again, at checkpoint 2, in a fresh process.

*Cold*: nothing is remembered; the proving server runs from the second round on. *Changed*: one
seed file has another note. *Warm*: nothing has changed since. Beside the seconds that pass stand
those of the processor, which say more on a busy machine; the server's own are not among them.

    python benchmarks/gate_speed.py [--before CHECKOUT]

`--before`: the same by turns with another checkout (its `.venv`), and the ratio to it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from _common import COMMAND, bare_environment, checked, report
from gate_recall import good_workspace
from wo231 import TICKET, cpu_seconds

_COHORTS = "backend/data/benchmark_cohorts_seed.csv"
_REPEAT = 3
#: name of a figure → what was measured, in seconds
Times = dict[str, list[float]]


def verify(python: str, copy: Path, way: str, times: Times) -> list[dict[str, object]]:
    """What was found; the seconds are added to `times`."""
    start, used = time.perf_counter(), cpu_seconds()
    command = [python, *COMMAND[1:], "-C", str(copy), "verify", TICKET, "--json"]
    ended = subprocess.run(
        command, capture_output=True, encoding="utf-8", env=bare_environment(), check=False
    )
    output = checked(ended, (0, 1))
    times[f"{way}_s"].append(time.perf_counter() - start)
    times[f"{way}_cpu_s"].append(cpu_seconds() - used)
    found: list[dict[str, object]] = json.loads(output)["statements"]
    return found


def forget() -> None:
    """Remove what is remembered."""
    from orchestrator.gates.proof_cache import user_proof_cache

    shutil.rmtree(user_proof_cache().folder, ignore_errors=True)


def touch(copy: Path, number: int) -> None:
    """Another note in a cell: harmless, and another file."""
    file = copy / _COHORTS
    text = file.read_text(encoding="utf-8")
    file.write_text(
        text.replace("Trial size 90", f"Trial size 90{' ' * number}", 1), encoding="utf-8"
    )


def measure(python: str, copy: Path, number: int, times: Times) -> list[dict[str, object]]:
    """One round of all three; what the last found."""
    forget()
    verify(python, copy, "cold", times)
    verify(python, copy, "warm", times)
    touch(copy, number)
    return verify(python, copy, "changed", times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT")
    before = parser.parse_args().before
    now, then = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    with tempfile.TemporaryDirectory() as folder:
        copy = good_workspace(Path(folder))
        for number in range(1, 2 * _REPEAT, 2):
            found = measure(sys.executable, copy, number, now)
            if before:
                measure(str(before.absolute() / ".venv/bin/python"), copy, number + 1, then)
    figures: dict[str, object] = {
        "statements": len(found),
        "hold": sum(bool(v["holds"]) for v in found),
    }
    middle = {name: statistics.median(took) for name, took in now.items()}
    figures |= {name: round(took, 3) for name, took in middle.items()}
    for name, took in then.items():
        earlier = statistics.median(took)
        figures |= {f"before_{name}": round(earlier, 3)}
        figures |= {f"ratio_{name}": round(middle[name] / earlier, 2)}
    report("gate_speed", figures, {"cold_s": 4.0, "warm_s": 0.8})


if __name__ == "__main__":
    main()
