"""Which files are the workspace's own."""

from __future__ import annotations

import os
from pathlib import Path

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
