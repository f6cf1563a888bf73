"""Commands that USER took to prove one statement each: `[checks.taken]` of orchestrate.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from orchestrator import plugins
from orchestrator.commands.allowed import TAKEN
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import Check, Context, Phase, Result
from orchestrator.settings.board import FILE


@dataclass(frozen=True)
class Trial:
    """How a proposed command did on today's tree, and on broken ones."""

    #: on today's tree: a verdict, and why
    today: str
    detail: str
    #: the broken trees on which it fails, as it has to, and on which it does not
    fails_on: tuple[str, ...]
    passes_on: tuple[str, ...]

    @property
    def refusal(self) -> str:
        """Why it cannot prove anything, or ""."""
        if len(self.fails_on) >= _LEAST:
            return ""
        found, tried = len(self.fails_on), len(self.fails_on + self.passes_on)
        said = f"it fails on {found} of {tried} broken trees, and has to fail on {_LEAST}"
        passes = ", and where ".join(self.passes_on)
        return f"{said}; it succeeds where {passes}" if passes else said


class Prover(Protocol):
    """Whoever can run commands."""

    def prove(self, ctx: Context, command: str, sha256: str) -> Result:
        """Judge by a command that USER took when its definition had this digest."""
        ...

    def trial(self, ctx: Context, command: str, files: Mapping[str, bytes]) -> Trial:
        """Try a command with files that the workspace does not have yet.

        Raises MissingToolError, ValueError for what needs a shell, and OrchestrateError.
        """
        ...


_LEAST = 2
_PROVERS: list[Prover] = []


def register_prover(prover: Prover) -> None:
    """Say who runs commands."""
    _PROVERS[:] = [prover]


def the_prover() -> Prover:
    """Raises MissingToolError where nothing that can run commands is installed."""
    plugins.load("checks")
    if not _PROVERS:
        raise MissingToolError("nothing is installed that could run commands")
    return _PROVERS[0]


def taken_checks(root: Path) -> tuple[Check, ...]:
    """A check for each statement that has a command of its own."""
    try:
        text = (root / FILE).read_text(encoding="utf-8")
        table = tomllib.loads(text).get("checks", {}).get(TAKEN, {}) if TAKEN in text else {}
        entries = [(s, str(e["command"]), str(e["sha256"])) for s, e in sorted(table.items())]
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        # whoever loads the settings says what is wrong with them
        return ()
    return tuple(_check(*entry) for entry in entries)


@lru_cache(maxsize=256)
def _check(statement: str, command: str, sha256: str) -> Check:
    def prove(ctx: Context) -> Result:
        return the_prover().prove(ctx, command, sha256)

    literal = re.sub(r"[\\{}\[\]()|]", lambda bracket: "\\" + bracket.group(), statement)
    return Check(
        f"taken.{sha256[:8]}",
        (literal,),
        prove,
        Phase.CONTENT,
        1,
        f"`{command}`, which USER took to prove this statement",
        (statement,),
        slow=True,
        digest=sha256[:12],
    )
