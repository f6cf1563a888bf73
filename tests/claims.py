"""Statements judged by the checks that fit them, in a workspace of a test."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.domain.workflow import Workflow
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result, Services
from orchestrator.gates.loading import load_checks
from orchestrator.workflow_reader.parser import read_workflow_text

BINDER = Binder(load_checks(None))


def check_of(statement: str) -> str:
    """The name of the one check that takes all of a statement."""
    (binding,) = BINDER.bind(statement)
    assert binding.check is not None, binding.problem
    return binding.check.name


def judge(
    root: Path,
    statement: str,
    *,
    workflow: str = "",
    target: Any = None,
    history: Sequence[Mapping[str, Any]] = (),
    settings: Mapping[str, Any] | None = None,
    services: Services | None = None,
) -> Result:
    """The result of a statement that is one claim."""
    (binding,) = BINDER.bind(statement)
    assert binding.check is not None, binding.problem
    context = Context(
        root=root,
        workflow=_read(workflow, root) if workflow else None,
        target=target,
        history=history,
        settings=settings or {},
        services=services or Services(),
    )
    return binding.check.function(context, **binding.arguments)


def _read(text: str, root: Path) -> Workflow:
    return read_workflow_text(text, root / "w.md")


def lay(root: Path, files: Mapping[str, str]) -> Path:
    """A workspace with these files."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


def committed(root: Path, files: Mapping[str, str]) -> Path:
    """A git repository with these files in its last commit: where the work begins."""
    lay(root, files)
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "start"]):
        subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)
    return root
