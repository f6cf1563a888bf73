"""Obligations outside of the criteria are reported with their lines, and are not statements."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.tickets.board import Board
from orchestrator.tickets.criteria import Criteria

TICKET = """---
id: WO-1
title: A title
status: 01_TRIAGE
owner: BUILDER
---
# A title

{prose}

## Acceptance Criteria

- [ ] `a.txt` exists, which
  must not be reported again
"""


def read(root: Path, prose: str) -> Criteria:
    place = root / "_WORK_ORDERS/01_TRIAGE"
    place.mkdir(parents=True, exist_ok=True)
    (place / "WO-1_x.md").write_text(TICKET.format(prose=prose))
    return Board(root).find("WO-1").criteria()


@pytest.mark.parametrize(
    "sentence",
    [
        "The export must keep the order of the rows.",
        "Every hit has to be classified.",
        "- The list shall be sorted by name.",
        "Users should see a spinner.",
        "> The service needs to answer in 200 ms.",
        "It is old. The new one must be faster.",
    ],
)
def test_an_obligation_in_prose_is_told_and_is_no_statement(tmp_path: Path, sentence: str) -> None:
    found = read(tmp_path, f"## Description\n\n{sentence}")
    assert len(found.statements) == 1
    (told,) = found.unread
    assert told.lines == (11,)
    assert told.texts[0] in sentence


@pytest.mark.parametrize(
    "prose",
    [
        "Users have to reload the page today.",
        "Should we cache it?",
        "It must have been the cache.",
        "That should be easy.",
        "You do not need to ask.",
        "The key `must` is read.",
        "## Notes\n\nThe old one must stay until May.",
        "```\nit must be\n```",
        "## DONE by BUILDER\n<!-- kept by orchestrate -->\n\nThe table must be loaded.",
        "The picker only has to ask it.",
    ],
)
def test_what_obliges_nobody_is_not_told(tmp_path: Path, prose: str) -> None:
    assert read(tmp_path, prose).unread == ()


def test_doctor_and_adopt_tell_it_in_one_line(tmp_path: Path) -> None:
    read(tmp_path, "It must be fast.\n\nIt shall be small.")
    for args in (["doctor"], ["adopt", "WO-1", "--dry-run"]):
        said = CliRunner().invoke(app, ["-C", str(tmp_path), *args], env={"COLUMNS": "400"}).output
        (line,) = [line for line in said.splitlines() if "It must be fast." in line]
        assert "line 9 “It must be fast.”; line 11 “It shall be small.”" in line
