"""Lines for a terminal: colours, marks, width."""

from __future__ import annotations

import sys

import pytest

from orchestrator.cli import text


def test_colours_only_on_a_terminal_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert text.clean(text.paint("x", "red")) == "\x1b[31mx\x1b[0m"
    assert text.clean("\x1b[31mof a ticket") == "\x1b[31mof a ticket\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert text.paint("x", "red") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert text.paint("x", "red") == "x"


def test_a_proven_statement_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    assert 6 + len(text.one_line("word " * 30, text.terminal_width(6))) <= 40


def test_every_verdict_has_its_own_mark() -> None:
    marks = [sign for sign, _ in text.MARKS.values()]
    assert len(set(marks)) == len(marks)


def test_the_same_statement_of_a_stage_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    from orchestrator.cli.running import ProgressPrinter
    from orchestrator.family.session import Progress

    tell = ProgressPrinter()
    for kind, verdict in (("stage", ""), ("statement", "pending"), *[("statement", "proven")] * 2):
        tell(Progress(kind, "it holds", stage=1, verdict=verdict))
    tell(Progress("statement", "it holds", stage=2, verdict="failed"))
    tell.close()
    shown = capsys.readouterr().out
    assert shown == "\nit holds\n  ✓ it holds\n  stage 2:\n  ✗ it holds\n"
