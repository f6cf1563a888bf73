"""How long a person waits for `--help`, and at three sizes of a board for what reads it.

`approve` and what shows questions are measured on a board where families wait for USER.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path

from _common import (
    COMMAND,
    at_sizes,
    bare_environment,
    checked,
    make_board,
    orchestrate,
    plain_read,
    report,
    seconds,
)

SIZES = (1000, 3000, 10_000)
_REPEAT = 3
_WORKFLOW = "# A question\n\n## STAGE 1: USER CHECKPOINT #1 — Look at it\n"
_WAITS = (
    "---\nid: W-{n}\nstatus: 01_TRIAGE\nowner: LEAD\n"
    "pipeline_workflow: workflows/question.md\n---\n# Waits\n"
)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        help_s = seconds(lambda: checked(orchestrate(Path(folder), "--help")), 7)
    python_s = seconds(lambda: subprocess.run([sys.executable, "-c", ""], check=True), 7)
    figures, grown = at_sizes(measured, SIZES)
    alone = {"help_s": help_s, "python_s": python_s}
    plain = figures["plain_read_s"]
    ratios = {name: figures[f"{name}_s"] / plain for name in ("list_cold", "list_warm", "search")}
    ratios["help"] = help_s / python_s
    warm = ("list_warm", "status", "inbox", "search")
    targets = {"help_s": 0.12, "list_cold_s": 3.0, **{f"{name}_s": 0.35 for name in warm}}
    targets |= {"show_s": 0.2, "approve_s": 0.2, "list_mb": 120.0}
    report("startup", {**alone, **figures, **grown}, targets, ratios)


def measured(size: int) -> dict[str, float]:
    """The figures of a board with that many tickets (s)."""
    with tempfile.TemporaryDirectory() as folder:
        root = make_board(Path(folder), size)

        def command(*words: str, repeat: int = _REPEAT) -> float:
            return seconds(lambda: checked(orchestrate(root, *words)), repeat)

        alone = {
            "plain_read_s": plain_read(root),
            "list_cold_s": command("list", repeat=1),
            "list_warm_s": command("list"),
            "status_s": command("status"),
            "inbox_s": command("inbox"),
            "search_s": command("search", "ordinary"),
            "show_s": command("show", f"WO-{1000 + size // 2}"),
            "list_mb": peak(root, "list"),
        }
        ask(root)
        asked = count(1)
        return {
            **alone,
            "inbox_asked_s": command("inbox"),
            "status_asked_s": command("status", "W-1"),
            "approve_s": seconds(
                lambda: checked(orchestrate(root, "approve", f"W-{next(asked)}")), _REPEAT
            ),
        }


def ask(root: Path) -> None:
    """Let as many families wait for USER as are approved."""
    (root / "workflows").mkdir()
    (root / "workflows" / "question.md").write_text(_WORKFLOW, encoding="utf-8")
    for n in range(1, _REPEAT + 1):
        file = root / "_WORK_ORDERS" / "01_TRIAGE" / f"W-{n}_Waits.md"
        file.write_text(_WAITS.format(n=n), encoding="utf-8")
        checked(orchestrate(root, "run", f"W-{n}"), (10,))


def peak(root: Path, *words: str) -> float:
    """The most memory that a command held (MB)."""
    argv = [*COMMAND, "-C", str(root), *words]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=bare_environment()) as child:
        _, state, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(state)
    return round(used.ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20), 1)


if __name__ == "__main__":
    main()
