"""A tool that an agent forges proves nothing until it is as it was, or USER has answered."""

from __future__ import annotations

import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.changes.snapshot import WorkTree
from orchestrator.changes.tool_files import changed_tools, tool_files
from tests.boards import Workspace
from tests.integration.test_changes import acts, lay, question, records, write

WORKFLOW = """\
# One file

## STAGE 1: SOOP — Work
Do what the ticket says.

**Done when:** `tools/ok.py` exits with code 0

## STAGE 2: USER CHECKPOINT #1 — Look
"""


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    write("tools/ok.py", "raise SystemExit(0)\n")(tmp_path)
    write(".gitignore", ".venv/\n.orchestrate/\n")(tmp_path)
    venv.create(tmp_path / ".venv", symlinks=True)
    (tmp_path / ".venv/bin/pytest").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    return lay(tmp_path, "git", workflow=WORKFLOW)


def verdicts(work: Workspace) -> list[str]:
    return [c["verdict"] for r in records(work, "receipt") for c in r["claims"]]


def forge(root: Path) -> None:
    write("README.md", "one\n2\n")(root)
    (root / ".venv/bin/pytest").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")


def plant(root: Path) -> None:
    (site,) = (root / ".venv").glob("lib/*/site-packages")
    (site / "sitecustomize.py").write_text("import atexit\n", encoding="utf-8")


def install(root: Path) -> None:
    (site,) = (root / ".venv").glob("lib/*/site-packages")
    write(f"{site.relative_to(root)}/pots/__init__.py", "a = 1\n")(root)
    (root / ".venv/bin/pots").write_text("#!/bin/sh\n", encoding="utf-8")


def restore(root: Path) -> None:
    forge(root)
    (root / ".venv/bin/pytest").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("act", "named"),
    [(forge, ".venv/bin/pytest"), (plant, "sitecustomize.py"), (install, ""), (restore, "")],
)
def test_a_forged_tool_proves_nothing(
    work: Workspace, act: Callable[[Path], Any], named: str
) -> None:
    acts(work, act)
    work.conductor().run("WO-512")
    asked = question(work)
    if named:
        assert verdicts(work) == ["unproven"]
        assert f"{named} changed while SOOP worked (stage 1, attempt 1)" in asked
    else:
        assert verdicts(work) == ["proven"]
        assert "changed while SOOP worked" not in asked


def test_it_counts_again_once_user_has_answered(work: Workspace) -> None:
    acts(work, forge)
    work.conductor().run("WO-512")
    work.conductor().send_back("WO-512", note="the new pytest is mine")
    acts(work, write("README.md", "three\n"))
    work.conductor().run("WO-512")
    assert verdicts(work)[-1] == "proven"


def test_programs_of_node_are_followed_to_their_packages(tmp_path: Path) -> None:
    write("node_modules/typescript/bin/tsc", "#!/usr/bin/env node\n")(tmp_path)
    write("node_modules/typescript/lib/tsc.js", "compile()\n")(tmp_path)
    write("node_modules/.bin/x", "")(tmp_path)
    (tmp_path / "node_modules/.bin/tsc").symlink_to("../typescript/bin/tsc")
    tree = WorkTree(tmp_path, "_WORK_ORDERS")
    before = tool_files(tree)
    write("node_modules/typescript/bin/tsc", "#!/bin/sh\nexit 0\n")(tmp_path)
    write("node_modules/typescript/lib/tsc.js", "pass()\n")(tmp_path)
    write("node_modules/new/package.json", "{}")(tmp_path)
    assert sorted(changed_tools(before, tool_files(tree))) == [
        "node_modules/typescript/bin/tsc",
        "node_modules/typescript/lib/tsc.js",
    ]
