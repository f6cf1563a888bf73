"""Snapshots of a workspace: all that differs from the last commit, or, without git, every file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from orchestrator.changes.board_files import CACHES, MADE_BY_TOOLS, is_cache, look_at_board
from orchestrator.changes.entries import ABSENT, Contents, Entry, Hashes, Reader
from orchestrator.git import listing
from orchestrator.git.command import GitError
from orchestrator.git.folder import find_git_folder

#: git's own settings, by which an agent could hide its changes or have code run
SETTINGS = (".git/config", ".git/config.worktree", ".git/info/exclude", ".git/info/attributes")
_HOOKS = ".git/hooks"
#: ignored files that are looked at: how many, and bytes of each
_MOST_IGNORED, _LARGEST_IGNORED = 200, 1_000_000
#: files of one ignored folder whose times are looked at
_MOST_BELOW = 20_000


@dataclass(frozen=True)
class Snapshot:
    """A workspace at one moment."""

    #: what differs from the commit `head`; without git, every file
    entries: Mapping[str, Entry]
    #: whether git said it; if not, `head` and the rest are empty
    by_git: bool = False
    head: str = ""
    branch: str = ""
    #: path → mode and blob in git's index, where these are not the commit's
    index: Mapping[str, str] = field(default_factory=dict)
    #: files and folders ("dist/") that git ignored
    ignored: frozenset[str] = frozenset()
    #: when it was begun (ns)
    taken: int = 0
    #: ticket file → sha256, wherever it lies on the board; other files by their path below it
    board: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self, start: Snapshot | None = None) -> dict[str, Any]:
        """JSON-able; of the board only what differs from a `start`, and what is gone since."""
        known = start.board if start is not None else {}
        return {
            "by_git": self.by_git,
            "head": self.head,
            "branch": self.branch,
            "index": dict(self.index),
            "ignored": sorted(self.ignored),
            "taken": self.taken,
            "board": {n: sha256 for n, sha256 in self.board.items() if known.get(n) != sha256},
            "gone": None if start is None else sorted(known.keys() - self.board.keys()),
            "entries": {path: entry.to_list() for path, entry in self.entries.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], start: Snapshot | None = None) -> Snapshot:
        fields = dict(data)
        gone = fields.pop("gone", None)
        if gone is not None and start is not None:
            left = {n: sha256 for n, sha256 in start.board.items() if n not in gone}
            fields["board"] = left | fields["board"]
        found = {path: Entry.from_list(value) for path, value in fields.pop("entries").items()}
        return cls(found, **{**fields, "ignored": frozenset(data["ignored"])})

    def ignores(self, path: str) -> bool:
        """Whether git ignored a path."""
        parts = path.split("/")
        above = {"/".join(parts[:n]) + "/" for n in range(1, len(parts))}
        return path in self.ignored or not above.isdisjoint(self.ignored)


class WorkTree:
    """A workspace whose changes are looked at. The board's folder is left out.

    `home` is the workspace with the board, where this is a family's checkout.
    """

    def __init__(self, root: Path, board: str, home: Path | None = None) -> None:
        self.root = root
        self.home = home or root
        self.state = state = self.home / ".orchestrate"
        self.contents = Contents(state / "changes" / "contents")
        file = state / "state" / "hashes.json"
        self._home_reader = Reader(self.home, self.contents, _hashes(self.home, file))
        self.reader = self._home_reader
        if root != self.home:
            file = file.with_name(f"hashes.{root.name}.json")
            self.reader = Reader(root, self.contents, _hashes(root, file))
        self.board = board.strip("/")
        self._outside = (f"{self.board}/", ".orchestrate/")

    @cached_property
    def git_folder(self) -> Path | None:
        found = find_git_folder(self.root)
        return found[1] if found else None

    @cached_property
    def prefix(self) -> str:
        """The workspace below the top of its work tree: "" or "some/folder/"."""
        found = find_git_folder(self.root)
        below = self.root.resolve().relative_to(found[0]).as_posix() if found else "."
        return "" if below == "." else f"{below}/"

    def place(self, path: str) -> Path:
        """Where the file of a path is; git's own files may be elsewhere."""
        if path.startswith(".git/") and self.git_folder is not None:
            name = path.removeprefix(".git/")
            common = self.git_folder / "commondir"
            if name == "config.worktree" or not common.is_file():
                return self.git_folder / name
            return self.git_folder / common.read_text(encoding="utf-8").strip() / name
        return self.root / path

    def concerns(self, path: str) -> bool:
        """Whether a path is content: neither a board nor what this program keeps."""
        if path.startswith("../"):
            return not self._is_of_other_board(path)
        return not path.startswith(self._outside) and path + "/" not in self._outside

    def _is_of_other_board(self, path: str) -> bool:
        """Whether a path is kept by another workspace of the same repository."""
        parts = path.split("/")
        return any(
            part in (self.board, ".orchestrate")
            and self.root.joinpath(*parts[:n], "orchestrate.toml").is_file()
            for n, part in enumerate(parts)
        )

    def keep_only(self, wanted: Callable[[], set[str]]) -> None:
        """Remove the kept bytes that nobody refers to, once in a while."""
        if self.contents.remove_all_but(wanted):
            self._home_reader.hashes.kept.clear()

    # -- taking one --------------------------------------------------------------------------

    def take(
        self,
        since: Snapshot | None = None,
        extra: Iterable[str] = (),
        *,
        keep: bool = False,
        by_git: bool | None = None,
        board: Mapping[str, str] | None = None,
    ) -> Snapshot:
        """The workspace now.

        `since`: every path of that snapshot is looked at too. `extra`: files and folders that are
        looked at though git ignores them. `keep`: the bytes of what is found are stored.
        `by_git`: whether to ask git; by default if there is a repository. `board`: what lies on
        the board, if somebody has just looked at it. Raises GitError.
        """
        if by_git is None:
            by_git = since.by_git if since is not None else self.git_folder is not None
            if by_git and since is None:
                try:
                    return self._take_by_git(since, extra, keep, board)
                except GitError:
                    by_git = False
        if by_git:
            return self._take_by_git(since, extra, keep, board)
        return self._walk_all(extra, keep, board)

    def _walk_all(
        self, extra: Iterable[str], keep: bool, board: Mapping[str, str] | None
    ) -> Snapshot:
        taken = time.time_ns()
        named = {p for p in extra if not (self.root / p).is_dir() and self.concerns(p)}
        found = Snapshot(
            dict(self._look(named, keep, walked=frozenset(self._walk("")))),
            taken=taken,
            board=self._on_board() if board is None else board,
        )
        self.reader.hashes.save(found.entries)
        return found

    def _take_by_git(
        self,
        since: Snapshot | None,
        extra: Iterable[str],
        keep: bool,
        board: Mapping[str, str] | None,
    ) -> Snapshot:
        taken = time.time_ns()
        seen = listing.list_workspace(self.root, self.prefix)
        paths = {p for p in seen.files if not is_cache(p)}
        if caches := seen.files - paths:
            # a tracked file counts wherever it is
            paths |= listing.committed_files(self.root, seen.head, caches).keys()
        for folder in seen.inner:
            paths |= set(self._walk(folder))
        if since is not None:
            paths = {p for p in paths if not self._was_ignored(p, since)}
            paths |= since.entries.keys()
            paths |= listing.changed_between(self.root, self.prefix, since.head, seen.head)
        if keep:
            # looked at again later, as all that is known
            paths |= set(self._ignored_files(seen.ignored))
        for place in extra:
            paths |= self._ignored_below(place.rstrip("/"), seen.ignored)
        paths = {p for p in paths if self.concerns(p)} | set(self._settings())
        entries = dict(self._look(paths, keep, absent=True))
        if since is not None and self._rules_changed(since, entries):
            hidden = self._newly_ignored(since, seen.ignored)
            entries |= dict(self._look(hidden - entries.keys(), keep))
        self.reader.hashes.save()
        return Snapshot(
            entries,
            True,
            seen.head,
            seen.branch,
            seen.index,
            seen.ignored,
            taken,
            self._on_board() if board is None else board,
        )

    def _ignored_files(self, ignored: Iterable[str]) -> Iterator[str]:
        """Single files that git ignores and no tool makes, such as `.env`."""
        left = _MOST_IGNORED
        for name in sorted(ignored):
            if name.endswith(("/", *MADE_BY_TOOLS)) or is_cache(name) or name.startswith("../"):
                continue
            try:
                found = (self.root / name).lstat()
            except OSError:
                continue
            if left and stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST_IGNORED:
                left -= 1
                yield name

    def _ignored_below(self, place: str, ignored: Iterable[str]) -> set[str]:
        """A file, or the files of a folder that git ignores."""
        if (self.root / place).is_symlink() or not (self.root / place).is_dir():
            return {place}
        found = set[str]()
        for name in ignored:
            path = name.rstrip("/")
            if place.startswith(f"{path}/") or path == place:
                found |= set(self._walk(place))
            elif path.startswith(f"{place}/") and not is_cache(path):
                found |= set(self._walk(path)) if name.endswith("/") else {path}
        return found

    def _was_ignored(self, path: str, since: Snapshot) -> bool:
        """Whether git ignored a file that has not changed since: a new rule merely shows it."""
        if path in since.entries or not since.ignores(path):
            return False
        try:
            return (self.root / path).lstat().st_ctime_ns < since.taken
        except OSError:
            return True

    def _rules_changed(self, since: Snapshot, entries: Mapping[str, Entry]) -> bool:
        """Whether what git ignores is no longer ruled as it was."""
        rules = [p for p in entries if p.endswith(".gitignore") or p in SETTINGS]
        before = self.entries_at(since, rules)
        return any(entries[p] != before[p] for p in rules)

    def _newly_ignored(self, since: Snapshot, ignored: Iterable[str]) -> set[str]:
        """Files that only a new rule hides."""
        found = set[str]()
        for name in ignored:
            path = name.rstrip("/")
            if name not in since.ignored and not since.ignores(path) and not is_cache(path):
                found |= set(self._walk(path)) if name.endswith("/") else {path}
        return {p for p in found if self.concerns(p)}

    def _look(
        self,
        paths: Iterable[str],
        keep: bool,
        absent: bool = False,
        walked: frozenset[str] = frozenset(),
    ) -> Iterator[tuple[str, Entry]]:
        """What lies at paths; no link was followed on the way to those that were `walked`."""
        for path in sorted(walked.union(paths)):
            if path in walked:
                entry = self.reader.entry(path, keep=keep, walked=True)
            else:
                entry = self.entry(path, keep=keep)
            if entry.there or absent:
                yield path, entry

    def entry(self, path: str, *, keep: bool = False) -> Entry:
        """What lies at a path now."""
        place = self.place(path)
        own = place if path.startswith(".git/") else None
        return self.reader.entry(path, keep=keep, place=own)

    def _on_board(self) -> dict[str, str]:
        return look_at_board(self.board, self._home_reader)

    def _settings(self) -> Iterator[str]:
        yield from SETTINGS
        try:
            for name in sorted(os.listdir(self.place(_HOOKS))):  # noqa: PTH208
                if not name.endswith(".sample"):
                    yield f"{_HOOKS}/{name}"
        except OSError:
            return

    def _walk(self, below: str) -> Iterator[str]:
        """Every file below a folder but those of the board, of git, of this program and caches."""
        try:
            with os.scandir(f"{self.root}/{below}") as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.name in CACHES or entry.name == ".git" or not self.concerns(path):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(path)
            else:
                yield path

    def times_below(self, folder: str) -> Iterator[tuple[str, int]]:
        """Files below a folder, and when each was last changed in any way (ns); not all of many."""
        for path in islice(self._walk(folder), _MOST_BELOW):
            with contextlib.suppress(OSError):
                yield path, (self.root / path).lstat().st_ctime_ns

    # -- what was there ----------------------------------------------------------------------

    def entries_at(self, snapshot: Snapshot, paths: Iterable[str]) -> dict[str, Entry]:
        """Path → what lay there at the moment of a snapshot. Raises GitError."""
        wanted = set(paths)
        found = {p: snapshot.entries.get(p, ABSENT) for p in wanted}
        unknown = [p for p in wanted if p not in snapshot.entries and not p.startswith(".git/")]
        if snapshot.by_git and unknown:
            for path, (entry, _) in self._committed(snapshot.head, unknown).items():
                found[path] = entry
        return found

    def bytes_at(self, snapshot: Snapshot, path: str) -> bytes | None:
        """The bytes that a path had, None if nothing was there or they were not kept."""
        entry = snapshot.entries.get(path)
        if entry is not None or not snapshot.by_git:
            return self.contents.read(entry.sha256) if entry and entry.there else None
        try:
            found = self._committed(snapshot.head, [path]).get(path)
        except GitError:
            return None
        return found[1] if found else None

    def reader_at(self, snapshot: Snapshot | None) -> Callable[[str], bytes | None] | None:
        """`bytes_at` for one snapshot, None where that is not known."""
        return None if snapshot is None else partial(self.bytes_at, snapshot)

    def _committed(
        self, commit: str, paths: Iterable[str]
    ) -> dict[str, tuple[Entry, bytes | None]]:
        files = listing.committed_files(self.root, commit, paths)
        blobs = listing.read_blobs(self.root, [f.blob for f in files.values()])
        kinds = {"120000": "link", "100755": "executable"}
        found: dict[str, tuple[Entry, bytes | None]] = {}
        for (path, file), content in zip(files.items(), blobs, strict=True):
            kind = kinds.get(file.mode, "file")
            data: bytes | None = content
            sha256 = listing.large_file(content) if kind != "link" else ""
            if sha256:
                data = self._read_large(sha256)
            else:
                sha256 = hashlib.sha256(content).hexdigest()
            found[path] = (Entry(kind, sha256), data)
        return found

    def _read_large(self, sha256: str) -> bytes | None:
        """A file that git-lfs keeps, if it is here."""
        place = self.place(f".git/lfs/objects/{sha256[:2]}/{sha256[2:4]}/{sha256}")
        try:
            return place.read_bytes()
        except OSError:
            return None


@lru_cache(maxsize=16)
def _hashes(_root: Path, file: Path) -> Hashes:
    """Those of all that look at a folder in this process: what is unchanged is read once."""
    return Hashes(file)
