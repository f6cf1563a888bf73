"""How long a full load of synthetic data takes into the embedded server, generation included.

Each run is a process of its own, as a person would start it; the second one finds everything there.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import DATABASE_VARIABLES, ROOT, checked, report

SCRIPT = ROOT / "scripts" / "load_synthetic_data.py"


def load(root: Path, *words: str) -> tuple[dict[str, Any], float]:
    """One run of the script: its figures in rows, and its seconds."""
    env = {k: v for k, v in os.environ.items() if k not in DATABASE_VARIABLES}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--root", str(root), "--json", *words],
        capture_output=True,
        encoding="utf-8",
        env=env,
        check=False,
    )
    took = time.perf_counter() - start
    total: dict[str, Any] = json.loads(checked(done).splitlines()[-1])["total"]
    return total, took


def main() -> None:
    """Measure and print."""
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        first, first_s = load(Path(folder), *words)
        second, second_s = load(Path(folder), *words)
    # of the largest child, in KiB on Linux; the server's processes are not children
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    figures = {
        "rows": first["rows"],
        "loaded": first["loaded"],
        "failed": first["failed"],
        "load_s": round(first_s, 3),
        "rows_per_s": round(first["loaded"] / first_s),
        "again_s": round(second_s, 3),
        "again_changed": second["inserted"] + second["updated"],
        "peak_mb": round(peak, 1),
    }
    report("synthetic_load", figures, {"load_s": 30.0, "failed": 1, "again_changed": 1})


if __name__ == "__main__":
    main()
