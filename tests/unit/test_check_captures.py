"""What a check's pattern captures, its function uses (DESIGN 6.1: every capture is used)."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path

import pytest

from orchestrator.gates.checks import Check
from orchestrator.gates.expressions import compile_pattern
from orchestrator.gates.loading import load_checks
from tests.seed_family import BINDER, context

CHECKS = load_checks()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_capture_of_a_pattern_is_read(check: Check) -> None:
    captured = {name for pattern in check.patterns for name, _ in compile_pattern(pattern).params}
    assert captured <= set(inspect.signature(check.function).parameters)
    tree = ast.parse(textwrap.dedent(inspect.getsource(check.function)))
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    read = {
        node.id
        for statement in function.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    assert captured <= read, f"{check.name} ignores {', '.join(sorted(captured - read))}"


@pytest.mark.parametrize(
    "statement",
    [
        "Analytics page can query benchmarks with errors",
        "Anonymous visitors can query benchmarks without errors",
        "No page can query benchmarks without errors",
        "The public can query benchmarks | no errors",
        "an expired session can read cohorts without errors",
        "Hackers can read patient data | no error",
        "Do NOT execute the migration SQL — that is BUILDER's job at Checkpoint 2",
        "Do NOT execute the migration SQL — that is USER's job at Checkpoint 99",
    ],
)
def test_a_subject_that_is_not_judged_is_never_proven(tmp_path: Path, statement: str) -> None:
    ctx = context(tmp_path)
    for binding in BINDER.bind(statement):
        if binding.check is not None:
            result = binding.check.function(ctx, **binding.arguments)
            assert result.verdict == "unproven", result.detail
