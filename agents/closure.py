"""What a script takes in: the workspace files that it imports or names, all the way down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from orchestrator.errors import UnsafePathError
from orchestrator.files import inside


def closure(root: Path, script: str) -> tuple[str, ...]:
    """The workspace files that a script imports or names, all the way down.

    They are part of what an approval covers, and of the frozen copy that is run.
    """
    found: dict[str, None] = {}
    waiting = [script]
    while waiting:
        for path in sorted(_taken_in(root, waiting.pop())):
            if path not in found and path != script:
                found[path] = None
                waiting.append(path)
    return tuple(sorted(found))


def _taken_in(root: Path, path: str) -> set[str]:
    file = _file(root, path)
    if file is None or file.suffix != ".py":
        return set()
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError):
        return set()
    return {*_imports(root, tree), *_named_files(root, path, tree)}


def _imports(root: Path, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            yield from _module_files(root, name)


def _module_files(root: Path, name: str) -> Iterator[str]:
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        base = "/".join(parts[:depth])
        for candidate in (f"{base}/__init__.py", f"{base}.py"):
            if _file(root, candidate) is not None:
                yield candidate


def _named_files(root: Path, path: str, tree: ast.AST) -> Iterator[str]:
    """Files that a string in the module names: from the root, or beside the module."""
    here = PurePosixPath(path).parent
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        name = node.value
        if not re.fullmatch(r"[\w./-]+\.(csv|jsonl?|sql|txt|toml)", name):
            continue
        for candidate in (name, str(here / name), str(here / "data" / name)):
            if _file(root, candidate) is not None:
                yield candidate
                break


def _file(root: Path, path: str) -> Path | None:
    try:
        file = inside(root, path)
    except UnsafePathError:
        return None
    return file if file.is_file() else None
