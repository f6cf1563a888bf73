"""How long all statements of WO-231 take to be proven again, at checkpoint 2, in a fresh process.

*Cold*: no proving server runs and nothing is remembered. *Changed*: one seed file has another
note. *Warm*: nothing has changed since.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from _common import checked, orchestrate, report
from gate_recall import good_workspace
from wo231 import TICKET

_COHORTS = "backend/data/benchmark_cohorts_seed.csv"
_REPEAT = 3


def verify(copy: Path) -> tuple[float, list[dict[str, object]]]:
    """Seconds, and what was found."""
    start = time.perf_counter()
    output = checked(orchestrate(copy, "verify", TICKET, "--json"), (0, 1))
    return time.perf_counter() - start, json.loads(output)["statements"]


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


def main() -> None:
    """Measure and print."""
    cold, changed, warm = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        copy = good_workspace(Path(folder))
        for number in range(1, _REPEAT + 1):
            forget()
            seconds, found = verify(copy)
            cold.append(seconds)
            warm.append(verify(copy)[0])
            touch(copy, number)
            changed.append(verify(copy)[0])
    figures = {
        "statements": len(found),
        "hold": sum(bool(v["holds"]) for v in found),
        "cold_s": round(statistics.median(cold), 3),
        "changed_s": round(statistics.median(changed), 3),
        "warm_s": round(statistics.median(warm), 3),
    }
    report("gate_speed", figures, {"cold_s": 4.0, "warm_s": 0.8})


if __name__ == "__main__":
    main()
