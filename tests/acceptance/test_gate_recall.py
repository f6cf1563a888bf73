"""The gate's own test runs, catches some subtle defects, and refuses no harmless change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.nodes import node_modules

ROOT = Path(__file__).parents[2]
SUBTLE = (
    "sql.policy-hides-most-rows",
    "data.eighteen-of-twenty-cells",
    "typescript.error-as-no-data",
)
HARMLESS = ("sql.no-schema-names",)


def recall(*names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "benchmarks/gate_recall.py", *names],
        cwd=ROOT,
        env={**os.environ, "ORCHESTRATE_NODE_MODULES": str(node_modules() or "")},
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.skipif(node_modules() is None, reason="npm install has not been run")
def test_subtle_defects_are_caught_and_harmless_changes_are_not() -> None:
    done = recall(*SUBTLE, *HARMLESS)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["defects"], told["caught"], told["missed"]) == (3, 3, [])
    assert (told["harmless"], told["false_alarms"]) == (1, 0)
    assert told["unproven"] == 0
    assert told["proven"] > 40


def test_there_are_enough_variants_of_every_subject() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from defects import variants\n"
         "for v in variants(): print(v.subject, v.harmless, v.board, v.blind or '-')"],
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    rows = [line.split() for line in done.stdout.splitlines()]
    defects = Counter(subject for subject, harmless, *_ in rows if harmless == "False")
    assert min(defects[s] for s in ("sql", "data", "python", "typescript", "tickets", "files")) >= 9
    assert sum(defects.values()) >= 60
    assert sum(harmless == "True" for _, harmless, *_ in rows) >= 20
    blind = Counter(table for *_, table in rows)
    assert (blind["stated"] + blind["unstated"], blind["harmless"]) >= (150, 40)
