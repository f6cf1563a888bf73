"""Receipts with the marks of a merge, or with lines that are not records, are never gone over."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.errors import TicketError
from orchestrator.storage.history import History
from tests.boards import Workspace


@pytest.fixture
def asked(tmp_path: Path) -> tuple[Workspace, Path]:
    work = Workspace(tmp_path)
    work.conductor().run("WO-512")
    return work, tmp_path / "_WORK_ORDERS/.receipts/WO-512.jsonl"


DAMAGES = {
    "<<<<<<< HEAD\n": "merge-conflict",
    ">>>>>>> other\n": "merge-conflict",
    "=======\n": "merge-conflict",
    "somebody's note\n": "bad-history",
    "[1, 2]\n": "bad-history",
    '{"type": receipt, "at": 1}\n': "bad-history",
    '{"kind": "receipt"}\n': "bad-history",
}


@pytest.mark.parametrize("wrong", DAMAGES)
def test_a_damaged_line_is_named_and_nothing_is_written(
    asked: tuple[Workspace, Path], wrong: str
) -> None:
    work, file = asked
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join([*lines[:3], wrong, *lines[3:]]), encoding="utf-8")
    board = work.root / "_WORK_ORDERS"
    before = {p: p.read_bytes() for p in board.rglob("*") if p.is_file()}
    for command in (
        lambda: work.conductor().run("WO-512"),
        lambda: work.conductor().approve("WO-512", accept_unproven=True),
    ):
        with pytest.raises(TicketError) as refused:
            command()
        assert (refused.value.code, refused.value.line) == (DAMAGES[wrong], 4)
        assert refused.value.path == str(file)
        assert "git log -- _WORK_ORDERS/.receipts/WO-512.jsonl" in refused.value.hint
    told = CliRunner().invoke(app, ["-C", str(work.root), "doctor"])
    assert told.exit_code == 1
    assert DAMAGES[wrong] in told.output
    assert ".receipts/WO-512.jsonl:4" in told.output
    assert {p: p.read_bytes() for p in board.rglob("*") if p.is_file()} == before


def test_what_a_crash_tears_is_no_damage(asked: tuple[Workspace, Path]) -> None:
    _, file = asked
    whole = file.read_bytes()
    history = History(file.parents[1], "WO-512")
    history.append("notice", to="USER", text="what follows the torn line", stage=None)
    begun = file.read_bytes()[len(whole) : -1]
    for length in range(1, len(begun)):
        # closed by what was appended after it, as the last line, and as zeros
        for torn in (begun[:length], begun[:length] + b"\0\0", b"\0" * length):
            file.write_bytes(whole + torn + b"\n" + begun + b"\n")
            assert history.damage() is None, torn
            if length % 50 == 1:
                file.write_bytes(whole + torn)
                assert history.damage() is None, torn
