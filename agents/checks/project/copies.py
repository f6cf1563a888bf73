"""Which files are the workspace's own."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

from orchestrator.gates.checks import Context
from orchestrator.git.repository import TrackedFolder
from orchestrator.settings.tables import BoardSettings

#: folders of tools and packages, which nobody wrote here
FOREIGN = frozenset(
    {".git", ".orchestrate", "node_modules", "__pycache__", ".venv", "venv", ".mypy_cache"}
    | {".ruff_cache", ".pytest_cache", "site-packages", ".tox", ".nox", "target"}
)


def board_of(ctx: Context) -> str:
    """How the paths of the board's files begin; what no path begins with if it is everywhere."""
    folder = BoardSettings.model_validate(ctx.settings.get("board", {})).folder
    folder = posixpath.normpath(folder)
    return f"{folder}/" if folder != "." else "\0"


def is_of_board(ctx: Context, path: str) -> bool:
    """Whether a path lies in the folder of the board."""
    return path.startswith(board_of(ctx))


def source_files(ctx: Context) -> list[str]:
    """The files of a workspace, in order: those that git tracks or could track, if there is git."""
    root = ctx.root
    known = TrackedFolder(root, ".").tracked()
    changed = TrackedFolder(root, ".").changed() if known else None
    found = []
    if changed is not None:
        paths = {p for p in known | changed if (root / p).is_file()}
        found = [p for p in paths if not FOREIGN & set(p.split("/"))]
    else:
        for folder, below, files in os.walk(root):
            below[:] = [name for name in below if name not in FOREIGN]
            found += [(Path(folder) / name).relative_to(root).as_posix() for name in files]
    return sorted(path for path in found if not is_of_board(ctx, path))
