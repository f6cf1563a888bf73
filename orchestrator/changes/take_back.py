"""Taking an attempt back: what was there before is there again, what the agent left is kept.

Two names are exchanged in one step, so that at every instant both versions exist. What is not as
the agent left it is a person's: it stays where it is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.changes.compare import Change, paths_of
from orchestrator.changes.entries import Entry
from orchestrator.changes.snapshot import Snapshot, WorkTree
from orchestrator.git.command import GitError
from orchestrator.git.listing import restore_index
from orchestrator.storage import syscalls


@dataclass
class TakenBack:
    """What became of the changes."""

    #: paths that are as they were before the attempt
    back: list[str] = field(default_factory=list)
    #: path → why it stays as it is
    left: dict[str, str] = field(default_factory=dict)


def take_back(
    tree: WorkTree, before: Snapshot, changes: Iterable[Change], aside: Path
) -> TakenBack:
    """Undo changes; what they left goes to the same paths below `aside`. Raises GitError."""
    done = TakenBack()
    was: dict[str, Entry] = {}
    left: dict[str, Entry] = {}
    for change in changes:
        was[change.path], left[change.path] = change.before, change.after
        if change.source:
            was[change.source] = tree.entries_at(before, [change.source])[change.source]
            left[change.source] = Entry()
    # what was made goes first: a new folder may be where a file was
    for path in sorted(was, key=lambda p: (was[p].there, -p.count("/"), p)):
        try:
            why = _restore(tree, before, path, was[path], left[path], aside)
        except OSError as exc:
            why = exc.strerror or str(exc)
        if why:
            done.left[path] = why
        else:
            done.back.append(path)
    return done


def _restore(
    tree: WorkTree, before: Snapshot, path: str, was: Entry, left: Entry, aside: Path
) -> str:
    """Put one path back; why not, or ""."""
    now = tree.entry(path)
    if now == was:
        return ""
    if now != left:
        return "it was edited since"
    if "special" in (was.kind, left.kind):
        return "it is not a plain file"
    if tree.reader.is_behind_link(path) and not path.startswith(".git/"):
        return "a folder above it is a link"
    place, kept = tree.place(path), aside / path.replace("../", "outside/")
    with contextlib.suppress(FileExistsError):
        kept.parent.mkdir(parents=True, exist_ok=True)
    if kept.is_symlink() or kept.exists():
        kept = kept.with_name(f"{kept.name}.{secrets.token_hex(4)}")
    if not was.there:
        return _move_away(tree, path, place, kept, left)
    data = tree.bytes_at(before, path)
    if data is None:
        return "what was there before it is not kept (it was too large)"
    _write(kept, data, was, place)
    if now.there:
        if not syscalls.exchange(kept, place):
            return "the file system cannot exchange two files"
        if tree.reader.entry("", place=kept) != left:
            # somebody saved in this very moment: theirs goes back
            syscalls.exchange(kept, place)
            kept.unlink()
            return "it was edited since"
        return ""
    _make_room(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        syscalls.rename_new(kept, place)
    except (FileExistsError, NotADirectoryError):
        kept.unlink(missing_ok=True)
        return "something else is there now"
    return ""


def _move_away(tree: WorkTree, path: str, place: Path, kept: Path, left: Entry) -> str:
    """Move a file that was not there before; its empty folders go too."""
    try:
        syscalls.rename_new(place, kept)
    except FileNotFoundError:
        return ""
    if tree.reader.entry("", place=kept) != left:
        try:
            syscalls.rename_new(kept, place)
        except FileExistsError:
            return f"it was edited since; a version is kept at {kept.relative_to(tree.home)}"
        return "it was edited since"
    with contextlib.suppress(OSError):
        for folder in place.parents:
            if folder == tree.root:
                break
            folder.rmdir()
    return ""


def _make_room(place: Path) -> None:
    """Remove an empty folder where a file was."""
    with contextlib.suppress(OSError):
        if place.is_dir() and not place.is_symlink():
            place.rmdir()


def _write(file: Path, data: bytes, entry: Entry, like: Path) -> None:
    """A new file or link as an entry describes it, with the permissions of `like`."""
    if entry.kind == "link":
        os.symlink(os.fsdecode(data), file)  # noqa: PTH211 - a bytes-safe target
        return
    syscalls.write_new(file, data, like=file)
    with contextlib.suppress(FileNotFoundError):
        found = like.lstat()
        readable = found.st_mode & 0o666 if stat.S_ISREG(found.st_mode) else 0o644
        file.chmod(readable | (0o111 & readable >> 2 if entry.kind == "executable" else 0))
        return
    file.chmod(0o755 if entry.kind == "executable" else 0o644)


def unstage(tree: WorkTree, before: Snapshot, after: Snapshot, changes: Iterable[Change]) -> bool:
    """Put git's index back for these paths; False if it cannot be (HEAD has moved, git refuses)."""
    paths = [p for p in sorted(paths_of(changes)) if before.index.get(p) != after.index.get(p)]
    if not paths:
        return True
    if before.head != after.head:
        return False
    try:
        restore_index(
            tree.root, tree.prefix, before.head, {p: before.index.get(p, "") for p in paths}
        )
    except GitError:
        return False
    return True
