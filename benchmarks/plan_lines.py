"""Runs every command line of the gap-fix plan's testing strategy as printed, and keeps what came.

They run in a shell from the repository's root, with the virtual environment first in PATH and a
workspace of their own for the database. What connects to somebody's machine is left out.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import ROOT, bare_environment, report

KEPT = ROOT / "benchmarks" / "plan_lines.json"
_GENERATOR = """python -c "
from src.ml.synthetic.generators import {name}, GeneratorConfig
gen = {name}(GeneratorConfig(n_records=100))
df = gen.generate()
print(df.columns.tolist())
print(df.head())
"
"""
_REQUEST = """curl -X POST http://localhost:8000/api/agents/{agent} \\
  -H "Content-Type: application/json" \\
  -d '{body}'
"""
#: what the plan calls it, the lines, and words of a right answer
LINES = (
    (
        "phase 1: dry run",
        "python scripts/load_synthetic_data.py --small --dry-run",
        "19,875 rows would load, 0 failed.",
    ),
    (
        "phase 1: columns of the loader",
        'python -c "from src.ml.synthetic.loaders.batch_loader import TABLE_COLUMNS; '
        "print(TABLE_COLUMNS['patient_journeys'])\"",
        "'engagement_score', 'treatment_initiated', 'days_to_treatment', 'age_at_diagnosis'",
    ),
    (
        "phase 2: business metrics",
        _GENERATOR.format(name="BusinessMetricsGenerator"),
        "'metric_id', 'metric_date', 'metric_type'",
    ),
    (
        "phase 3: feature values",
        _GENERATOR.format(name="FeatureValueGenerator"),
        "'id', 'feature_id', 'entity_values', 'value', 'event_timestamp'",
    ),
    ("load", "python scripts/load_synthetic_data.py --small", "19,875 rows loaded, 0 failed."),
    (
        "gap analyzer",
        _REQUEST.format(
            agent="gap_analyzer/analyze",
            body='{"brand": "Remibrutinib", "metrics": ["trx", "nrx"]}',
        ),
        '"status":"completed"',
    ),
    (
        "drift monitor",
        _REQUEST.format(
            agent="drift_monitor/detect",
            body='{"features": ["engagement_score"], "time_window": "7d"}',
        ),
        '"feature":"engagement_score","status":"checked"',
    ),
)


def served(env: dict[str, str]) -> subprocess.Popen[bytes]:
    """The agents at the plan's address, once they answer."""
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(
        [sys.executable, "-m", "src.ml", "serve"], cwd=ROOT, env=env, stdout=quiet, stderr=quiet
    )
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", 8000)):
                break
        time.sleep(0.2)
    return server


def main() -> None:
    """Run, print and keep."""
    kept = {}
    with tempfile.TemporaryDirectory() as folder:
        env = bare_environment()
        env["ORCHESTRATE_ROOT"] = folder
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        server = None
        for name, line, wanted in LINES:
            if line.startswith("curl") and server is None:
                server = served(env)
            done = subprocess.run(
                ["bash", "-c", line], cwd=ROOT, env=env, capture_output=True, encoding="utf-8",
                check=False,
            )  # fmt: skip
            right = done.returncode == 0 and wanted in done.stdout
            kept[name] = {"line": line, "wanted": wanted, "exit": done.returncode, "right": right}
            if not right:
                print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
        if server is not None:
            server.terminate()
            server.wait()
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    wrong = sum(not each["right"] for each in kept.values())
    report("plan_lines", {"lines": len(kept), "wrong": wrong}, {"wrong": 1})


if __name__ == "__main__":
    main()
