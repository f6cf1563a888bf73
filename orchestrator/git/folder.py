"""Where the git folder of a work tree is; git is not run."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from orchestrator.storage.real_paths import real_folder


def find_git_folder(root: Path) -> tuple[Path, Path] | None:
    """The top of the work tree around `root`, and that work tree's git folder; git is not run."""
    # asked several times for every move: mostly there is nothing, which one call for each says
    for place in _from(real_folder(root)):
        if os.path.lexists(f"{place}/.git") and (found := _git_folder_in(Path(place))):
            return Path(place), found
    return None


@lru_cache(maxsize=64)
def _from(place: str) -> tuple[str, ...]:
    """A folder and all above it."""
    return tuple(str(above) for above in (Path(place), *Path(place).parents))


def _git_folder_in(top: Path) -> Path | None:
    folder = top / ".git"
    if folder.is_dir():
        return folder
    try:
        # a worktree or a submodule
        folder = top / folder.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
    except (OSError, ValueError):
        return None
    return folder if folder.is_dir() else None
