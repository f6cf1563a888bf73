"""Lines for a terminal: colours, marks, width."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(
    st.lists(
        st.dictionaries(
            st.text(), _SCALARS | st.lists(_SCALARS) | st.dictionaries(st.text(), _SCALARS)
        )
        | _SCALARS
    )
)
def test_a_list_in_json_is_laid_out_as_json_does_it(items: list[Any]) -> None:
    assert text._in_lines(items) == json.dumps(items, ensure_ascii=False, indent=2)


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
