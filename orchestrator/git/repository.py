"""What git knows of a board beyond its own folder: branches, the past, worktrees, remotes."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from orchestrator.git.command import GitError, read_objects, run_git, split_names
from orchestrator.git.folder import find_git_folder

#: how much of a ticket is searched for its id (bytes)
ID_HEAD = 8192
#: seconds for one of the doctor's questions, and how many commits that removed files it looks at
_QUICK, _COMMITS = 20.0, 5000


@dataclass(frozen=True)
class GitReference:
    """A branch or tag: its commit, its full name, and the name it points to, if any."""

    commit: str
    name: str
    target: str = ""


@dataclass(frozen=True)
class Worktree:
    """A folder where the repository is checked out, and the commit it is on."""

    path: Path
    head: str


def is_bare(root: Path) -> bool:
    """Whether `root` is itself a git folder: a bare repository, or the `.git` of another."""
    return (root / "HEAD").is_file() and all((root / n).is_dir() for n in ("objects", "refs"))


def other_worktrees(root: Path) -> Iterator[tuple[Path, bool]]:
    """The same workspace in each other worktree, and whether that is the main one (DESIGN 8.5).

    Git is not run. In a submodule, and where git does not say where the main worktree is, that one
    is left out.
    """
    found = find_git_folder(root)
    if found is None:
        return
    top, folder = found
    with contextlib.suppress(OSError, ValueError):
        folder = folder / (folder / "commondir").read_text(encoding="utf-8").strip()
    common, below = folder.resolve(), root.resolve().relative_to(top)
    if common.name == ".git" and common.parent != top:
        yield common.parent / below, True
    for pointer in sorted(common.glob("worktrees/*/gitdir")):
        with contextlib.suppress(OSError, ValueError):
            linked = (pointer.parent / pointer.read_text(encoding="utf-8").strip()).parent.resolve()
            if linked != top:
                yield linked / below, False


@dataclass(frozen=True)
class Repository:
    """The git repository that a workspace is in."""

    #: the workspace
    root: Path
    #: the git folder that all worktrees share
    common: Path
    #: the workspace relative to the top of its worktree: "" or "some/folder/"
    prefix: str
    shallow: bool

    @classmethod
    def of(cls, root: Path) -> Repository | None:
        """The repository around `root`, None outside of any. Raises GitError."""
        place = root.resolve()
        if not any((folder / ".git").exists() for folder in (place, *place.parents)):
            return None
        output = run_git(
            root,
            *("rev-parse", "--path-format=absolute", "--git-common-dir"),
            *("--is-shallow-repository", "--show-prefix"),
        )
        # a folder's name may hold a line end; the other two answers never do
        common, shallow, prefix = output[:-1].rsplit(b"\n", 2)
        return cls(root, Path(os.fsdecode(common)), os.fsdecode(prefix), shallow == b"true")

    @cached_property
    def references(self) -> tuple[GitReference, ...]:
        """All branches, remote-tracking branches, tags and stashes."""
        output = run_git(self.root, "for-each-ref", "--format=%(objectname) %(refname) %(symref)")
        lines = output.decode("utf-8", "replace").splitlines()
        return tuple(GitReference(*line.split(" ", 2)) for line in lines)

    @cached_property
    def worktrees(self) -> tuple[Worktree, ...]:
        """All folders where the repository is checked out, this one included."""
        output = os.fsdecode(run_git(self.root, "worktree", "list", "--porcelain"))
        found = []
        for entry in output.split("\n\n"):
            path = re.search(r"^worktree (.*)$", entry, re.M)
            head = re.search(r"^HEAD ([0-9a-f]+)$", entry, re.M)
            if path and head:
                found.append(Worktree(Path(path[1]), head[1]))
        return tuple(found)

    @cached_property
    def remotes(self) -> tuple[str, ...]:
        """The names of the remotes."""
        return tuple(os.fsdecode(run_git(self.root, "remote")).split())

    def tips(self) -> set[str]:
        """The commits from which everything that was ever committed can be reached."""
        heads = {tree.head for tree in self.worktrees if tree.head.strip("0")}
        return heads | {reference.commit for reference in self.references}

    def default_branch(self, remote: str) -> str:
        """The remote-tracking branch of the remote's main branch, "" if unknown."""
        targets = {reference.name: reference.target for reference in self.references}
        prefix = f"refs/remotes/{remote}"
        if target := targets.get(f"{prefix}/HEAD"):
            return target
        usual = [name for name in (f"{prefix}/main", f"{prefix}/master") if name in targets]
        return usual[0] if len(usual) == 1 else ""

    def committed_files(
        self, folder: str, tips: Collection[str], known: Iterable[str]
    ) -> Iterator[tuple[str, str]]:
        """(name, blob) of each file that a commit wrote in a folder of the workspace.

        Commits reachable from `known` are left out. Raises GitError, also if one of them is gone.
        """
        if not tips:
            return
        revisions = [*sorted(tips), *(f"^{commit}" for commit in known)]
        output = run_git(
            self.root,
            *("log", "--stdin", "--full-history", "--diff-merges=first-parent"),
            *("--no-renames", "--diff-filter=AMT", "--raw", "--no-abbrev", "-z", "--format="),
            *("--", folder),
            stdin="".join(f"{revision}\n" for revision in revisions).encode(),
        )
        parts = iter(output.split(b"\0"))
        for part in parts:
            if part.lstrip(b"\n").startswith(b":"):
                path = os.fsdecode(next(parts, b""))
                yield path.rpartition("/")[2], part.split(b" ")[3].decode()

    def read_heads(self, objects: Sequence[str]) -> Iterator[bytes]:
        """The beginning of each object (a hash or `BRANCH:PATH`), b"" for a missing one."""
        return read_objects(self.root, objects, ID_HEAD)


@dataclass(frozen=True)
class TrackedFolder:
    """What git knows of the files in one folder of a workspace. File names are relative to `root`.

    Outside a repository, before the first commit, or when git fails, it knows nothing.
    """

    root: Path
    folder: str

    def _ask(self, *args: str) -> bytes | None:
        try:
            return run_git(self.root, *args, timeout=_QUICK)
        except GitError:
            return None

    @property
    def is_work_tree(self) -> bool:
        return self._ask("rev-parse", "--is-inside-work-tree") == b"true\n"

    def tracked(self) -> set[str]:
        """The files that git tracks."""
        return set(split_names(self._ask("ls-files", "-z", "--", self.folder) or b""))

    def removed(self) -> list[str]:
        """Files of the last commit that are gone, staged or not."""
        output = self._ask(
            *("diff", "--relative", "--name-only", "--no-renames", "--diff-filter=D", "-z"),
            *("HEAD", "--", self.folder),
        )
        return split_names(output or b"")

    def removals(self, wanted: set[str]) -> dict[str, str]:
        """Path → the newest commit that removed it, for the paths in `wanted`."""
        output = self._ask(
            *("log", "--relative", "--name-only", "--no-renames", "--diff-filter=D", "-z"),
            *(f"--max-count={_COMMITS}", "--format=%x01%h of %as, %s%x01", "--", self.folder),
        )
        found: dict[str, str] = {}
        parts = os.fsdecode(output or b"").split("\x01")
        for commit, names in zip(parts[1::2], parts[2::2], strict=False):
            for name in names.split("\0"):
                if name.strip("\n") in wanted:
                    found.setdefault(name.strip("\n"), commit)
        return found

    def last_removal(self, stem: str) -> tuple[str, str] | None:
        """(commit, path) of the newest removal of a file whose name begins with `stem`."""
        output = self._ask(
            *("--no-literal-pathspecs", "log", "--relative", "--name-only", "--no-renames"),
            *("--diff-filter=D", "-z", "-1", "--format=%h%x00", "--"),
            *(f":(glob){self.folder}/**/{stem}{end}" for end in ("_*", "-*", ".md")),
        )
        names = [name.strip("\n") for name in split_names(output or b"")]
        return (names[0], names[1]) if len(names) > 1 else None

    def changed(self) -> set[str] | None:
        """Files that are edited, staged or untracked; None if git does not know."""
        output = self._ask(
            *("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all"),
            *("--", self.folder),
        )
        prefix = self._ask("rev-parse", "--show-prefix")
        if output is None or prefix is None:
            return None
        above = os.fsdecode(prefix.removesuffix(b"\n"))
        return {name[3:].removeprefix(above) for name in split_names(output)}

    def committed_texts(self, names: Sequence[str]) -> dict[str, bytes]:
        """Path → its bytes in the last commit, b"" for a missing one."""
        asked = [name for name in names if "\n" not in name]
        try:
            contents = read_objects(self.root, [f"HEAD:./{name}" for name in asked])
            return dict(zip(asked, contents, strict=True))
        except OSError:
            return {}
