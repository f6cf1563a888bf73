"""A copy of the workspace to run its own tools in, and which files are the workspace's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrate_agents.sandbox.runs import tree_copy
from orchestrate_agents.tools.node import NodePackages
from orchestrator.git.repository import TrackedFolder

#: folders of tools and packages, which nobody wrote here
FOREIGN = frozenset(
    {".git", ".orchestrate", "node_modules", "__pycache__", ".venv", "venv", ".mypy_cache"}
    | {".ruff_cache", ".pytest_cache", "_WORK_ORDERS", "site-packages", ".tox", ".nox", "target"}
)


def source_files(root: Path) -> list[str]:
    """The files of a workspace, in order: those that git tracks or could track, if there is git."""
    known = TrackedFolder(root, ".").tracked()
    changed = TrackedFolder(root, ".").changed() if known else None
    if changed is not None:
        paths = {p for p in known | changed if (root / p).is_file()}
        return sorted(p for p in paths if not FOREIGN & set(p.split("/")))
    found = []
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if name not in FOREIGN]
        found += [(Path(folder) / name).relative_to(root).as_posix() for name in files]
    return sorted(found)


@contextmanager
def workspace_copy(root: Path) -> Iterator[Path]:
    """A copy in which the installed Node packages are found.

    Each package is a link of its own, so that what tools keep in `node_modules` stays in the copy.
    """
    with tree_copy(root) as copy:
        places = {folder.parent for folder in root.glob("*/node_modules")}
        places |= {folder.parent for folder in root.glob("*/*/node_modules")} | {root}
        for place in places:
            if "node_modules" not in place.relative_to(root).parts:
                _link_packages(place, copy / place.relative_to(root))
        packages = NodePackages.of(root)
        if packages is not None and packages.folder != root:
            _link_packages(packages.folder, copy)
        yield copy


def _link_packages(place: Path, copy: Path) -> None:
    own = place / "node_modules"
    if not own.is_dir() or not copy.is_dir():
        return
    there = copy / "node_modules"
    there.mkdir(exist_ok=True)
    for entry in os.scandir(own):
        if entry.name == ".cache" or entry.name.startswith((".vite", ".vitest")):
            continue
        with suppress(FileExistsError):
            (there / entry.name).symlink_to(entry.path)
