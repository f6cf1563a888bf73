"""Keeps the conductor's own files, `.orchestrate/`, out of git."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from orchestrator.errors import OrchestrateError
from orchestrator.git.folder import find_git_folder
from orchestrator.storage import atomic

STATE = ".orchestrate"
_LINE = f"{STATE}/"
#: a path that git is asked about; a pattern such as `.orchestrate/*` covers it too
_PROBE = f"{STATE}/state"


def ignore_in_clone(root: Path) -> None:
    """Have git ignore the workspace's `.orchestrate/` in this clone, on every branch of it.

    The line goes to `info/exclude`, which all worktrees of a clone share, so that no file of the
    team's is changed. A `.gitignore` does not spare it: a branch that lacks that would show the
    folder as untracked, and `git stash -u` would take it away. Without a repository, or where the
    file cannot be written, nothing is done: `doctor` then tells what git sees.
    """
    _ignore_from_inside(root)
    found = find_git_folder(root)
    # every command comes through here: git itself is not asked
    if found is None or _has_line(_exclude_file(found[1])):
        return
    with contextlib.suppress(OrchestrateError, OSError):
        _add_line(_exclude_file(found[1]))


def _ignore_from_inside(root: Path) -> None:
    """Have the folder itself tell git to leave it alone, as tools' caches do.

    It holds where the repository is made later, and where a `.gitignore` lets the folder in.
    """
    file = root / STATE / ".gitignore"
    if file.exists() or not root.is_dir():
        return
    with contextlib.suppress(OrchestrateError, OSError):
        file.parent.mkdir(exist_ok=True)
        atomic.create(file, b"*\n")


def ignore_in_repository(root: Path) -> Path | None:
    """Add `.orchestrate/` to the `.gitignore` at the repository's top, for every clone.

    Returns the file if it was changed; None where a `.gitignore` covers the folder already, and
    outside of a repository. Raises DiskError, and GitError if git cannot be asked.
    """
    found = find_git_folder(root)
    if found is None:
        return None
    file = found[0] / ".gitignore"
    if _has_line(file) or file.is_symlink():
        return None
    source = _ignoring_file(root)
    # a list of this machine or of this clone, or one inside the folder, is not in other clones
    shared = source is not None and Path(source).name == ".gitignore" and STATE not in source
    if shared and not Path(source or "").is_absolute():
        return None
    _add_line(file)
    return file


def tracked_state(root: Path) -> list[str]:
    """The files of `.orchestrate/` that are in git, relative to the workspace."""
    from orchestrator.git.command import GitError, run_git, split_names

    try:
        return split_names(run_git(root, "ls-files", "-z", "--", STATE))
    except GitError:
        return []


def _exclude_file(folder: Path) -> Path:
    """`info/exclude` of a git folder, for a linked worktree that of its repository."""
    with contextlib.suppress(OSError, ValueError):
        folder = folder / (folder / "commondir").read_text(encoding="utf-8").strip()
    return folder / "info" / "exclude"


def _has_line(file: Path) -> bool:
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return False
    return any(line.strip().removesuffix(b"/") == STATE.encode() for line in lines)


def _ignoring_file(root: Path) -> str | None:
    """The file by which git ignores the folder, as git names it; None if it does not."""
    from orchestrator.git.command import GitError, run_git

    try:
        # the command refuses literal paths, which every call asks for
        asked = run_git(
            root,
            *("--no-literal-pathspecs", "check-ignore", "--no-index", "-v", "-z", "--stdin"),
            stdin=_PROBE.encode(),
        )
    except GitError:
        # also what git prints nothing for: the folder is not ignored
        return None
    source, _, pattern, _ = os.fsdecode(asked).split("\0")[:4]
    return None if pattern.startswith("!") else source


def _add_line(file: Path) -> None:
    """Append the line in the file's own style of line ends."""
    before = file.read_bytes() if file.exists() else b""
    end = b"\r\n" if b"\r\n" in before else b"\n"
    if before and not before.endswith((b"\n", b"\r")):
        before += end
    after = before + _LINE.encode() + end
    if file.exists():
        atomic.replace(file, after, base=before)
    else:
        atomic.create(file, after)
