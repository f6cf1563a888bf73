"""Plain values of the command line are taken as they are, all else as typer takes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.main import get_command

from orchestrator.cli.later import PLAIN
from orchestrator.cli.plain_values import spare_coercion

seen: list[object] = []
app = typer.Typer(**PLAIN)


@app.command()
def command(
    name: str,
    many: Annotated[list[str] | None, typer.Option("--many")] = None,
    number: Annotated[int, typer.Option("--number", min=2)] = 5,
    bounded: Annotated[int, typer.Option("--bounded", min=0, max=9)] = 1,
    share: Annotated[float, typer.Option("--share")] = 0.5,
    place: Annotated[Path | None, typer.Option("--place")] = None,
    there: Annotated[Path | None, typer.Option("--there", exists=True, dir_okay=False)] = None,
    flag: Annotated[bool, typer.Option("--flag")] = False,
) -> None:
    """A command with a parameter of each kind."""
    seen.append((name, many, number, bounded, share, place, there, flag))


LINES = (
    ["x"], [""], ["x", "--many", "a", "--many", "b"], ["x", "--number", "7"],
    ["x", "--number", "1"],
    ["x", "--number", "007"], ["x", "--number", "-3"], ["x", "--number", "two"],
    ["x", "--number", "²"], ["x", "--number", " 4 "], ["x", "--number", "99999999999"],
    ["x", "--bounded", "12"], ["x", "--bounded", "9"], ["x", "--share", "0.25"],
    ["x", "--share", "a"],
    ["x", "--place", "."], ["x", "--place", ""], ["x", "--place", "/no/such/place"],
    ["x", "--place", "a//b/../c/"], ["x", "--there", "."], ["x", "--there", "/etc/passwd"],
    ["x", "--there", "none"], ["x", "--flag"], [], ["x", "--no-such"],
)  # fmt: skip


def outcome(line: list[str], spared: bool) -> tuple[object, ...]:
    built = get_command(app)
    if spared:
        spare_coercion(spare_coercion(built.params))
    seen.clear()
    try:
        built.main(line, standalone_mode=False)
    except Exception as exc:  # noqa: BLE001 - typer's own classes have moved
        return type(exc).__name__, str(exc), *seen
    return tuple(seen)


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_a_value_is_what_typer_makes_of_it(line: list[str]) -> None:
    assert outcome(line, spared=True) == outcome(line, spared=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads all")
def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    line = ["x", "--place", str(tmp_path)]
    assert "not readable" in str(outcome(line, spared=True))
