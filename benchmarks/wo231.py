"""How long WO-231 takes in a fresh copy of this repository: to checkpoint 1, and all of it offline.

USER's part is played by accepting by name what fails (the partial snapshot has fewer trials than
the workflow expects) and by taking what is unproven; both are counted in the figures. It is done
twice: first by a user who has proven nothing yet, then again (`again_…`) in another copy, where the
proofs of the same bytes are known.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import ROOT, checked, orchestrate, report

TICKET = "WO-231"
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "node_modules", ".orchestrate", ".*_cache")
_MOST_QUESTIONS = 8


def fresh_copy(folder: Path) -> Path:
    """This repository as a clone would be, with the installed packages of the front end.

    What runs of WO-231 have made here is left out, and its ticket lies in the inbox.
    """
    copy = folder / "copy"
    shutil.copytree(ROOT, copy, ignore=_LEFT_OUT)
    # the library of the seed scripts, as a part of the workspace: variants change it too
    shutil.copytree(ROOT / "backend", copy / "orchestrate_backend", ignore=_LEFT_OUT)
    for made in ("_WORK_ORDERS", "migrations"):
        shutil.rmtree(copy / made, ignore_errors=True)
    for data in copy.glob("backend/data/*_seed.*"):
        data.unlink()
    inbox = copy / "_WORK_ORDERS" / "00_INBOX"
    inbox.mkdir(parents=True)
    shutil.copy(copy / "tests/fixtures/wo231/WO-231_Public_Data_Seeding.md", inbox)
    settings = copy / "orchestrate.toml"
    settings.write_text("[git]\ncommit = false\n", encoding="utf-8")
    if (ROOT / "node_modules").exists():
        (copy / "node_modules").symlink_to(ROOT / "node_modules")
    return copy


def run(copy: Path) -> tuple[str, float]:
    """Run to the next stop: its outcome and its seconds."""
    start = time.perf_counter()
    output = checked(orchestrate(copy, "run", TICKET, "--json"), (0, 10))
    return json.loads(output.splitlines()[-1])["outcome"], time.perf_counter() - start


def answer(copy: Path) -> dict[str, Any]:
    """Approve the open question; returns it."""
    status = json.loads(checked(orchestrate(copy, "status", TICKET, "--json")))
    question: dict[str, Any] = status["question"]
    accept = [word for s in question["failed"] for word in ("--accept", s["receipt"])]
    unproven = ["--accept-unproven"] if question["unproven"] else []
    checked(orchestrate(copy, "approve", TICKET, *accept, *unproven))
    return question


def cpu_seconds() -> float:
    """What ended children have used of the processor; the server's own is not among it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def story(copy: Path) -> dict[str, Any]:
    """The figures of all of it, from the inbox to the end."""
    used = cpu_seconds()
    outcome, took = run(copy)
    runs, questions = [took], []
    while outcome == "waiting" and len(questions) < _MOST_QUESTIONS:
        questions.append(answer(copy))
        outcome, took = run(copy)
        runs.append(took)
    return {
        "outcome": outcome,
        "checkpoint_1_s": round(runs[0], 3),
        "checkpoint_2_s": round(sum(runs[:2]), 3),
        "total_s": round(sum(runs), 3),
        "cpu_s": round(cpu_seconds() - used, 3),
        "questions": len(questions),
        "accepted": sum(len(q["failed"]) for q in questions),
        "unproven": sum(len(q["unproven"]) for q in questions),
    }


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        # what was proven before, here or in another copy, must not count the first time
        os.environ["ORCHESTRATE_SCRATCH"] = str(Path(folder) / "cache")
        first = story(fresh_copy(Path(folder) / "first"))
        again = story(fresh_copy(Path(folder) / "again"))
    figures = {**first, **{f"again_{name}": value for name, value in again.items()}}
    targets = {"checkpoint_1_s": 3.0, "checkpoint_2_s": 10.0, "total_s": 14.0}
    targets |= {f"again_{name}": limit for name, limit in targets.items()}
    report("wo231", figures, targets)


if __name__ == "__main__":
    main()
