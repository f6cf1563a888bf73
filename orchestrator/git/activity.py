"""Whether git is about to change the files of a workspace (DESIGN 8.3)."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from orchestrator.errors import GitAtWorkError
from orchestrator.git.folder import find_git_folder

#: a file of the git folder → the operation that it belongs to
_OPERATIONS = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
#: held while this process commits: what it does to the index is no reason to wait
own_commits = threading.Lock()
#: held while git writes files: checkout, stash, reset, pull, commit
_INDEX_LOCK = "index.lock"
#: seconds that such a lock is waited for, and between two looks at it
_PATIENCE, _LOOK_EVERY = 3.0, 0.02


def operation_in_progress(root: Path) -> str:
    """The git operation that a person has begun and not finished, "" if there is none."""
    found = find_git_folder(root)
    return "" if found is None else _operation_in(found[1])


def _operation_in(folder: Path) -> str:
    named = (each for each in _OPERATIONS.items() if os.path.exists(f"{folder}/{each[0]}"))  # noqa: PTH110
    return next((f"a git {name} is in progress ({file})" for file, name in named), "")


def writes_files(root: Path) -> bool:
    """Whether a git command holds the index at this moment, as it does while it writes files."""
    found = find_git_folder(root)
    return found is not None and (found[1] / _INDEX_LOCK).exists()


def branch_in_hand(root: Path) -> str:
    """The branch that is checked out, or the beginning of the commit; "" outside of git."""
    found = find_git_folder(root)
    try:
        head = (found[1] / "HEAD").read_text(encoding="utf-8").strip() if found else ""
    except (OSError, ValueError):
        return ""
    return head.removeprefix("ref: refs/heads/") if head.startswith("ref: ") else head[:10]


def require_quiet(root: Path, patience: float = _PATIENCE) -> None:
    """Raise GitAtWorkError while an operation is unfinished, or git writes files.

    What only takes a moment (a checkout, a commit) is waited for, `patience` seconds.
    """
    found = find_git_folder(root)
    if found is None:
        return
    if operation := _operation_in(found[1]):
        raise GitAtWorkError(
            operation, path=root, hint="finish or abort it, then run again; nothing was moved"
        )
    deadline = time.monotonic() + patience
    while writes_files(root) and not own_commits.locked():
        if time.monotonic() > deadline:
            raise GitAtWorkError(
                f"a git command is at work ({_INDEX_LOCK} exists)",
                path=root,
                hint="wait for it; if no git runs here, it was killed: remove .git/index.lock",
            )
        time.sleep(_LOOK_EVERY)
