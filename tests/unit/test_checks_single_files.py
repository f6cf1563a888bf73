"""Checks of one named file: programs are run, documents are parsed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result, Services
from orchestrator.gates.loading import load_checks


def judge(root: Path, statement: str) -> Result:
    (bound,) = Binder(load_checks(None)).bind(statement)
    assert bound.check is not None, bound.problem
    with Services() as services:
        return bound.check.function(Context(root=root, services=services), **bound.arguments)


def put(root: Path, name: str, text: str) -> None:
    (root / "x").mkdir(exist_ok=True)
    (root / "x" / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("print('fine')", "proven"),
        ("raise SystemExit(3)", "failed"),
        ("open('absent')", "failed"),
        ("import nothing_like_that", "failed"),
        ("print(", "failed"),
    ],
)
def test_a_program_is_run(tmp_path: Path, text: str, verdict: str) -> None:
    put(tmp_path, "a.py", text)
    assert judge(tmp_path, "`x/a.py` runs without error").verdict == verdict


def test_a_program_runs_in_a_copy(tmp_path: Path) -> None:
    put(tmp_path, "a.py", "open('made', 'w').write('x')")
    assert judge(tmp_path, "`x/a.py` exits with code 0").verdict == "proven"
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.py"]


@pytest.mark.parametrize(
    ("name", "text", "statement", "verdict"),
    [
        ("a.json", '{"a": [1]}', "`x/a.json` is valid JSON", "proven"),
        ("a.json", "{'a': 1}", "`x/a.json` is valid JSON", "failed"),
        ("a.json", "", "`x/a.json` is valid JSON", "failed"),
        ("a.toml", "a = 1", "`x/a.toml` is a valid TOML file", "proven"),
        ("a.toml", "a = ", "`x/a.toml` is a valid TOML file", "failed"),
        ("a.yml", "a: [1]", "`x/a.yml` is well-formed YAML", "proven"),
        ("a.yml", "a: [1", "`x/a.yml` is well-formed YAML", "failed"),
        ("b.json", "1", "`x/a.json` is valid JSON", "failed"),
    ],
)
def test_a_document_is_parsed(
    tmp_path: Path, name: str, text: str, statement: str, verdict: str
) -> None:
    put(tmp_path, name, text)
    assert judge(tmp_path, statement).verdict == verdict
