"""What a script takes in: the workspace files that it imports or names, all the way down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath

from orchestrate_agents.syntax import parsed
from orchestrator.errors import UnsafePathError
from orchestrator.storage.atomic import inside

_FILE_NAME = re.compile(r"[\w./-]+\.(csv|jsonl?|sql|txt|toml)")


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
    modules, names = _words(file.read_text(encoding="utf-8", errors="replace"))
    found = {f for name in modules for f in _module_files(root, name)}
    return found | set(_named_files(root, path, names))


@lru_cache(maxsize=512)
def _words(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The modules that a Python text imports, and the file names that its strings are."""
    try:
        tree = parsed(text)
    except (SyntaxError, ValueError):
        return frozenset(), frozenset()
    modules: set[str] = set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.update((node.module, *(f"{node.module}.{a.name}" for a in node.names)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.update(filter(_FILE_NAME.fullmatch, [node.value]))
    return frozenset(modules), frozenset(names)


def _module_files(root: Path, name: str) -> Iterator[str]:
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        base = "/".join(parts[:depth])
        for candidate in (f"{base}/__init__.py", f"{base}.py"):
            if _file(root, candidate) is not None:
                yield candidate


def _named_files(root: Path, path: str, names: Iterable[str]) -> Iterator[str]:
    """Files that a string in the module names: from the root, or beside the module."""
    here = PurePosixPath(path).parent
    for name in sorted(names):
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
