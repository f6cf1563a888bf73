"""Whole workspaces of `fixtures/workspaces`, and USER's hands on the command line in them."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent / "fixtures" / "workspaces"
#: packages of this repository, which another workspace does not have
OWN = {"agents", "backend", "orchestrator", "tests"}


class Hands:
    """USER's hands on the command line in a workspace."""

    root: Path
    ticket: str
    #: seconds that one command may take
    patience = 150.0

    def orchestrate(self, *words: str, code: int = 0) -> str:
        """The command's output. Its exit code has to be `code`."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *words],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=self.patience,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def run(self, code: int = 10) -> dict[str, Any]:
        """`orchestrate run --json`: its last line."""
        lines = self.orchestrate("run", self.ticket, "--json", code=code).splitlines()
        outcome: dict[str, Any] = json.loads(lines[-1])
        return outcome


class Desk(Hands):
    """A copy of one workspace, worked on through the command line alone."""

    def __init__(self, name: str, root: Path, ticket: str) -> None:
        shutil.copytree(FIXTURES / name, root, dirs_exist_ok=True)
        self.root = root
        self.ticket = ticket

    def question(self) -> dict[str, Any]:
        """The open question."""
        status = json.loads(self.orchestrate("status", self.ticket, "--json"))
        question: dict[str, Any] = status["question"]
        return question

    def approve(self, *words: str) -> None:
        self.orchestrate("approve", self.ticket, *words)

    def file(self, id: str) -> Path:
        (found,) = (self.root / "_WORK_ORDERS").glob(f"*/{id}_*.md")
        return found

    def text(self, id: str) -> str:
        return self.file(id).read_text(encoding="utf-8")

    def places(self) -> dict[str, str]:
        """id → folder, by the files themselves."""
        files = (self.root / "_WORK_ORDERS").glob("*/*.md")
        return {f.name.split("_")[0]: f.parent.name for f in files}

    def script(self, path: str, *words: str, **env: str) -> str:
        """What a rendered script prints, started by itself on the workspace's own server."""
        done = subprocess.run(
            [sys.executable, "-I", path, "--target", "embedded", *words],
            cwd=self.root,
            env={"PATH": os.environ["PATH"], "HOME": str(self.root), **env},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """A query on the workspace's own server."""
        from orchestrate_backend.targets.choose import choose_target

        target = choose_target("embedded", {}, self.root)
        try:
            return list(target.query_readonly(sql))
        finally:
            target.close()

    def history(self, kind: str) -> Iterator[dict[str, Any]]:
        """The records of one type in the family's history."""
        file = self.root / "_WORK_ORDERS/.receipts" / f"{self.ticket}.jsonl"
        for line in file.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record.get("type") == kind:
                yield record


def imports(script: Path) -> set[str]:
    """The top-level packages that a program imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
