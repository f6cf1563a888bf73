"""squawk's opinion of a migration, where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_SECONDS = 10
#: what every proof shows better, or what a file for the SQL editor cannot do
_EXCLUDED = "require-timeout-settings,require-lock-timeout,require-statement-timeout"


@dataclass(frozen=True)
class Lint:
    """One finding. `level` is `Error` or `Warning`; only an error is a verdict."""

    line: int
    level: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message} ({self.rule})"


def lint(text: str) -> tuple[Lint, ...]:
    """squawk's findings in order; () where it is not installed or does not answer."""
    program = _program()
    if program is None:
        return ()
    command = [program, "--reporter", "json", "--pg-version", "15", "--assume-in-transaction"]
    try:
        done = subprocess.run(
            [*command, "--exclude", _EXCLUDED],
            input=text.encode("utf-8", "replace"),
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            env={"PATH": os.defpath},
            check=False,
        )
        found = json.loads(done.stdout or b"[]")
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return ()
    return tuple(Lint(f["line"] + 1, f["level"], f["rule_name"], f["message"]) for f in found)


def _program() -> str | None:
    beside = Path(sys.executable).with_name("squawk")
    return str(beside) if beside.exists() else shutil.which("squawk")
