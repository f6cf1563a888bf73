"""What git knows of a board beyond its own folder: branches, the past, worktrees, remotes."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from orchestrator.errors import OrchestrateError

#: seconds for one call; reading a long history for the first time takes some
_PATIENCE = 120
#: so much of a ticket is looked at for its id (bytes)
_HEAD = 8192
_ID_LINE = re.compile(rb"""^(?:id|work_order_id|wo)[ \t]*:[ \t]*["']?([^\s"'#]{1,80})""", re.M)
#: variables by which a hook's git would be asked about another repository
_LEADING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")


@dataclass(frozen=True)
class Reference:
    """A branch or tag: its commit, its full name, and the name that it stands for, if any."""

    commit: str
    name: str
    target: str = ""


@dataclass(frozen=True)
class Worktree:
    """A folder where the repository is checked out, and the commit that it is on."""

    path: Path
    head: str


def home_of(root: Path) -> Path | None:
    """The same workspace in the main worktree, if `root` lies in another one (DESIGN 8.5).

    git is not asked: this is looked up for every command.
    """
    place = root.resolve()
    top = next((each for each in (place, *place.parents) if (each / ".git").exists()), place)
    try:
        told = (top / ".git").read_text(encoding="utf-8")
        folder = top / told.removeprefix("gitdir:").strip()
        common = folder / (folder / "commondir").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        # no repository, its main worktree, or a submodule
        return None
    common = common.resolve()
    return common.parent / place.relative_to(top) if common.name == ".git" else None


@dataclass(frozen=True)
class Repository:
    """The git repository that a workspace lies in."""

    #: the workspace
    root: Path
    #: the git folder that all worktrees share
    common: Path
    #: the workspace below the top of its worktree: "" or "some/folder/"
    prefix: str
    shallow: bool

    @classmethod
    def of(cls, root: Path) -> Repository | None:
        """The repository around `root`, None outside of any.

        Raises OrchestrateError (code `git`) if there is one and git does not read it.
        """
        place = root.resolve()
        if not any((folder / ".git").exists() for folder in (place, *place.parents)):
            return None
        told = _git(
            root,
            *("rev-parse", "--path-format=absolute", "--git-common-dir"),
            *("--is-shallow-repository", "--show-prefix"),
        )
        # a folder may be named with a line end; the other two answers never hold one
        common, shallow, prefix = told[:-1].rsplit(b"\n", 2)
        return cls(root, Path(os.fsdecode(common)), os.fsdecode(prefix), shallow == b"true")

    # -- references --------------------------------------------------------------------------

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """All branches, remote-tracking branches, tags and stashes."""
        told = _git(self.root, "for-each-ref", "--format=%(objectname) %(refname) %(symref)")
        lines = told.decode("utf-8", "replace").splitlines()
        return tuple(Reference(*line.split(" ", 2)) for line in lines)

    @cached_property
    def worktrees(self) -> tuple[Worktree, ...]:
        """All folders where the repository is checked out, this one included."""
        told = os.fsdecode(_git(self.root, "worktree", "list", "--porcelain"))
        found = []
        for entry in told.split("\n\n"):
            path = re.search(r"^worktree (.*)$", entry, re.M)
            head = re.search(r"^HEAD ([0-9a-f]+)$", entry, re.M)
            if path and head:
                found.append(Worktree(Path(path[1]), head[1]))
        return tuple(found)

    @cached_property
    def remotes(self) -> tuple[str, ...]:
        """The names of the remotes."""
        return tuple(os.fsdecode(_git(self.root, "remote")).split())

    def tips(self) -> set[str]:
        """The commits from which everything that was ever committed can be reached."""
        heads = {tree.head for tree in self.worktrees if tree.head.strip("0")}
        return heads | {reference.commit for reference in self.references}

    def default_branch(self, remote: str) -> str:
        """The remote-tracking branch that `remote` itself takes for its main one, "" if unknown."""
        names = {r.name: r.target for r in self.references}
        place = f"refs/remotes/{remote}"
        if target := names.get(f"{place}/HEAD"):
            return target
        usual = [n for n in (f"{place}/main", f"{place}/master") if n in names]
        return usual[0] if len(usual) == 1 else ""

    # -- what was committed ------------------------------------------------------------------

    def written(
        self, folder: str, tips: Collection[str], known: Iterable[str]
    ) -> Iterator[tuple[str, str]]:
        """(name, blob) of each file that a commit wrote below a folder of the repository.

        Commits that can be reached from `known` are left out. Raises OrchestrateError (code `git`),
        also where one of them is gone.
        """
        if not tips:
            return
        asked = "".join([*(f"{t}\n" for t in sorted(tips)), *(f"^{k}\n" for k in known)])
        told = _git(
            self.root,
            *("log", "--stdin", "--full-history", "--diff-merges=first-parent"),
            *("--no-renames", "--diff-filter=AMT", "--raw", "--no-abbrev", "-z", "--format="),
            *("--", f":(top,literal){folder}"),
            given=asked.encode(),
        )
        parts = iter(told.split(b"\0"))
        for part in parts:
            if part.lstrip(b"\n").startswith(b":"):
                path = os.fsdecode(next(parts, b""))
                yield path.rpartition("/")[2], part.split(b" ")[3].decode()

    def ids_in(self, blobs: Collection[str]) -> set[str]:
        """What the tickets with these contents give as their ids, as far as they lie here."""
        return {id for head in self._heads(sorted(blobs)) if (id := id_of(head))}

    def files_at(self, places: Sequence[str]) -> dict[str, bytes]:
        """The beginning of each of the files (`BRANCH:PATH`), b"" for one that is not there."""
        return dict(zip(places, self._heads(places), strict=True))

    def _heads(self, objects: Sequence[str]) -> Iterator[bytes]:
        """The beginning of each object, b"" for one that is not here."""
        if not objects:
            return
        with tempfile.TemporaryFile() as given:
            given.write("".join(f"{o}\n" for o in objects).encode("utf-8", "surrogateescape"))
            given.seek(0)
            command = ["git", "cat-file", "--batch", "--buffer"]
            with subprocess.Popen(
                command, cwd=self.root, env=_environment(), stdin=given, stdout=subprocess.PIPE
            ) as process:
                assert process.stdout is not None
                for _ in objects:
                    yield _head(process.stdout)


def id_of(head: bytes) -> str:
    """The id that the beginning of a ticket's file gives, "" if none."""
    found = _ID_LINE.search(head)
    return found[1].decode("utf-8", "replace") if found else ""


def id_in_file(path: Path) -> str:
    """The same for a file; "" where it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as file:
        return id_of(file.read(_HEAD))


def _head(out: IO[bytes]) -> bytes:
    """The beginning of the next object of `git cat-file --batch`; the rest is passed over."""
    size = out.readline().split()[-1:]
    if not size or not size[0].isdigit():
        return b""
    left = int(size[0]) + 1
    head = out.read(min(left, _HEAD))
    left -= len(head)
    while left and (passed := out.read(min(left, 1 << 20))):
        left -= len(passed)
    return head


# -- calling git ---------------------------------------------------------------------------------


def _git(root: Path, *args: str, given: bytes = b"") -> bytes:
    """What git says. Raises OrchestrateError (code `git`)."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(given)
        stdin.seek(0)
        done = _call(root, args, stdin)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise _unreadable(root, said[0] if said else f"it ended with {done.returncode}")
    return done.stdout


def _call(root: Path, args: Iterable[str], stdin: IO[bytes]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", *args],
            cwd=root,
            env=_environment(),
            stdin=stdin,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise _unreadable(root, str(exc)) from exc


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in _LEADING}
    # nothing is fetched for it, and no lock is taken that a person's own git could meet
    return kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}


def _unreadable(root: Path, why: str) -> OrchestrateError:
    return OrchestrateError(
        f"git does not read the repository: {why}",
        path=root,
        code="git",
        hint="`git status` here says more; without git nobody knows which numbers are taken",
    )
