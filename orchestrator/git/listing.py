"""What git sees of a workspace besides its last commit.

A repository's settings may name programs (a file monitor, filters, hooks). None of them is run: an
agent could have written those settings a moment ago.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.git.command import GitError, read_objects, run_git, split_names

#: settings that would run a program, or hide a change from `git status`
_HARMLESS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.untrackedCache": "false",
    "core.ignoreStat": "false",
    "core.trustctime": "true",
    "core.checkStat": "default",
    "core.fileMode": "true",
    "core.symlinks": "true",
    "core.ignoreCase": "false",
    "log.showSignature": "false",
}
#: paths per command line
_BATCH = 400
#: an index entry that is neither a plain file nor a link, or that `git status` is told to skip
_ODD = re.compile(rb"(?:^|(?<=\0))(?:[^H] \d{6}|H 160000) [0-9a-f]+ \d\t[^\0]*", re.S)
#: what a large file's place in git holds instead of the file
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n.*?oid sha256:(\w{64})\n", re.S
)


@dataclass(frozen=True)
class Listing:
    """A repository as git sees it. Paths are relative to the workspace: "../" is outside of it."""

    #: commit, "" before the first one
    head: str
    #: branch, "" where HEAD is on none
    branch: str
    #: files that may differ from the commit: edited, staged, untracked
    files: frozenset[str] = frozenset()
    #: repositories inside of the workspace, whose files git does not list
    inner: frozenset[str] = frozenset()
    #: files and folders ("dist/") that git ignores
    ignored: frozenset[str] = frozenset()
    #: path → mode and blob in the index, where these are not the commit's
    index: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Committed:
    """A file of a commit: its mode (as git writes it) and its blob."""

    mode: str
    blob: str


def list_workspace(root: Path, prefix: str) -> Listing:
    """What git sees. `prefix`: the workspace below the work tree's top, "" or "some/folder/".

    Raises GitError.
    """
    safe = harmless_settings(root)
    output = run_git(
        root,
        *("status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--no-renames"),
        *("--untracked-files=all", "--ignored=matching", "--ignore-submodules=dirty"),
        settings=safe,
    )
    head = branch = ""
    files, inner, ignored, index = set[str](), set[str](), set[str](), dict[str, str]()
    for line in os.fsdecode(output).split("\0"):
        kind, _, rest = line.partition(" ")
        if line.startswith("# branch.oid "):
            head = rest.split()[1].replace("(initial)", "")
        elif line.startswith("# branch.head "):
            branch = rest.split(" ", 1)[1].replace("(detached)", "")
        elif kind == "?":
            path = from_workspace(rest, prefix)
            (inner if path.endswith("/") else files).add(path.rstrip("/"))
        elif kind == "!":
            ignored.add(from_workspace(rest, prefix))
        elif kind in ("1", "u"):
            parts = rest.split(" ", 7 if kind == "1" else 9)
            path = from_workspace(parts[-1], prefix)
            (inner if "160000" in parts[2:5] else files).add(path)
            if parts[0][0] != "." or kind == "u":
                index[path] = f"{parts[3]} {parts[6]}" if kind == "1" else "conflict"
    top = "../" * prefix.count("/") or "."
    everything = run_git(
        root, "ls-files", "--full-name", "-z", "-v", "-s", "--", top, settings=safe
    )
    for entry in _ODD.findall(everything):
        about, _, name = entry.partition(b"\t")
        path = from_workspace(os.fsdecode(name), prefix)
        if about.split()[1] == b"160000":
            inner.add(path)
        elif (root / path).is_symlink() or (root / path).exists():
            # git was told not to look at this file
            files.add(path)
    files -= inner
    return Listing(head, branch, frozenset(files), frozenset(inner), frozenset(ignored), index)


def from_workspace(path: str, prefix: str) -> str:
    """A path below the work tree's top as the workspace sees it; a slash at its end is kept."""
    if path.startswith(prefix):
        return path.removeprefix(prefix)
    return posixpath.relpath(path, prefix) + ("/" if path.endswith("/") else "")


def harmless_settings(root: Path) -> dict[str, str]:
    """Settings under which git runs no program that the repository names. Raises GitError."""
    try:
        names = run_git(root, "config", "--null", "--name-only", "--get-regexp", r"^filter\.")
    except GitError as exc:
        if exc.reason != "exit code 1":
            raise
        return dict(_HARMLESS)
    off: dict[str, str] = {}
    for name in split_names(names):
        driver = name.rpartition(".")[0]
        off |= {f"{driver}.{key}": "" for key in ("clean", "smudge", "process")}
        off[f"{driver}.required"] = "false"
    return {**_HARMLESS, **off}


def read_settings(root: Path, text: bytes) -> set[str]:
    """`key<line end>value` of each setting in a git configuration file. Raises GitError."""
    listing = ("config", "--file", "-", "--no-includes", "--null", "--list")
    return set(split_names(run_git(root, *listing, stdin=text)))


def changed_between(root: Path, prefix: str, one: str, other: str) -> set[str]:
    """Paths that differ between two commits ("": no file). Raises GitError.

    `prefix` as for `list_workspace`.
    """
    if one == other:
        return set()
    if not one or not other:
        every = ("ls-tree", "-r", "-z", "--full-tree", "--name-only", one or other)
        names = split_names(run_git(root, *every))
    else:
        diff = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", one, other)
        names = split_names(run_git(root, *diff, settings=_HARMLESS))
    return {from_workspace(name, prefix) for name in names}


def committed_files(root: Path, commit: str, paths: Iterable[str]) -> dict[str, Committed]:
    """Path → what a commit has there, for those that it has. Raises GitError."""
    found: dict[str, Committed] = {}
    wanted = sorted(paths)
    for start in range(0, len(wanted) if commit else 0, _BATCH):
        batch = wanted[start : start + _BATCH]
        for line in split_names(run_git(root, "ls-tree", "-z", commit, "--", *batch)):
            about, _, path = line.partition("\t")
            mode, kind, blob = about.split()
            if kind == "blob":
                found[path] = Committed(mode, blob)
    return found


def read_blobs(root: Path, blobs: Sequence[str]) -> Iterator[bytes]:
    """The bytes of these blobs, as the repository has them."""
    yield from read_objects(root, blobs)


def large_file(content: bytes) -> str:
    """The sha256 of the file for which a blob stands as a pointer (git-lfs), or ""."""
    found = _POINTER.match(content) if len(content) < 1024 else None
    return found[1].decode() if found else ""


def new_commits(root: Path, before: str, after: str) -> list[str]:
    """`<short id> <subject>` of the commits that `after` has and `before` has not, newest first."""
    if not after or before == after:
        return []
    span = (after, f"^{before}") if before else (after,)
    log = ("log", "--no-show-signature", "--max-count=50", "--format=%h %s%x00%(trailers)%x01")
    try:
        output = run_git(root, *log, *span, "--", settings=_HARMLESS)
    except GitError:
        return [f"{after[:10]} (the earlier commit {before[:10]} is gone)"]
    found = []
    for entry in output.decode("utf-8", "replace").split("\x01"):
        line, _, trailers = entry.strip("\n").partition("\0")
        if line and "Orchestrate-Ticket:" not in trailers:
            found.append(line)
    return found


def restore_index(root: Path, prefix: str, head: str, entries: Mapping[str, str]) -> None:
    """Set the index of these paths to `<mode> <blob>`, or ("") to what the commit has.

    `prefix` as for `list_workspace`. Raises GitError.
    """
    committed = committed_files(root, head, [p for p, entry in entries.items() if not entry])
    lines = []
    for path, entry in entries.items():
        if not entry and (file := committed.get(path)):
            entry = f"{file.mode} {file.blob}"
        if entry == "conflict":
            raise GitError(root, f"{path} was in conflict")
        # all zeros take the path out of the index
        place = posixpath.normpath(f"{prefix}{path}")
        lines.append(f"{entry or '0 ' + '0' * 40}\t{place}\0")
    stdin = os.fsencode("".join(lines))
    run_git(root, "update-index", "-z", "--index-info", stdin=stdin, settings=_HARMLESS)
