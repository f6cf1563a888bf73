"""A family's checkout: a clone of its own, without the board, on the branch `work/<ID>`.

It borrows the objects of the main repository, whose `.git` nobody who works in the checkout needs
to write. What is committed in it is fetched back under `refs/orchestrate/work/<ID>`.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.errors import OrchestrateError
from orchestrator.git.command import INNER, QUIET, GitError, read_raw, run_git
from orchestrator.git.folder import find_git_folder
from orchestrator.workspaces.ports import drop_database, release_ports, variables_of

FOLDER = "workspaces"
#: tools that git ignores, which a checkout shares with the main one
_TOOLS = (".venv", "venv", "node_modules")
_RECORDED = ("base", "target", "below")
_NOBODY = {"user.name": "Orchestrate", "user.email": "orchestrate@localhost"}


@dataclass(frozen=True)
class Checkout:
    """A family's checkout, as the history records it."""

    family: str
    #: the workspace with the board
    home: Path
    #: the commit from which it began
    base: str
    #: the branch into which it lands
    target: str
    #: the workspace below the top of its repository: "" or "some/folder"
    below: str = ""
    #: the stage whose own it is, beside the family's; 0: the family's
    stage: int = 0

    @property
    def name(self) -> str:
        return f"{self.family}+stage-{self.stage}" if self.stage else self.family

    @property
    def top(self) -> Path:
        """The top of the clone."""
        return self.home / ".orchestrate" / FOLDER / self.name

    @property
    def root(self) -> Path:
        """The workspace in it."""
        return self.top / self.below

    @property
    def branch(self) -> str:
        return f"work/{self.name}"

    @property
    def kept(self) -> str:
        """The main repository's reference to what was committed in it."""
        return f"refs/orchestrate/{self.branch}"

    @property
    def lands_in(self) -> str:
        """The main repository's reference to its target."""
        return f"refs/{'orchestrate' if self.stage else 'heads'}/{self.target}"

    def beside(self, stage: int, base: str) -> Checkout:
        """One that a stage has to itself, from a commit of this one, into which it is joined."""
        return replace(self, stage=stage, base=base, target=self.branch)

    @property
    def environment(self) -> dict[str, str]:
        """The ports that belong to this checkout."""
        return variables_of(self.top.parent, self.name)

    def to_dict(self) -> dict[str, Any]:
        """What the history holds of it: nothing that another machine would have elsewhere."""
        return {name: getattr(self, name) for name in _RECORDED}

    @classmethod
    def from_record(
        cls, home: Path, family: str, record: Mapping[str, Any], stage: int = 0
    ) -> Checkout:
        return cls(family, home, **{name: record[name] for name in _RECORDED}, stage=stage)

    # -- its life ----------------------------------------------------------------------------

    def git(self, *words: str, **options: Any) -> str:
        """What git prints in the checkout; no hook and no monitor of it runs. Raises GitError."""
        return os.fsdecode(self.run(*words, **options)).rstrip("\n")

    def run(self, *words: str, **options: Any) -> bytes:
        """As `git`, in bytes. Whatever became of `.git`, it is never another repository's."""
        settings = {**QUIET, **options.pop("settings", {})}
        own = {"GIT_DIR": str(self._git_folder), "GIT_WORK_TREE": str(self.top)}
        return run_git(self.top, *words, settings=settings, env=own, **options)

    @property
    def _git_folder(self) -> Path:
        return self.top / ".git"

    def begin(self, board: str, record: Callable[[], object]) -> None:
        """Make it for a new round. `record` writes down that it is the family's; then a kill leaves
        nothing that the next run would not make. Raises GitError, OrchestrateError.
        """
        last = self._last_kept()
        if last and not self._contains(last):
            # the former round's has landed, or its branch has gone on without it
            self._put_aside(last)
        record()
        self.create(board)

    def _contains(self, commit: str) -> bool:
        with contextlib.suppress(GitError):
            run_git(self.home, "merge-base", "--is-ancestor", self.base, commit)
            return True
        return False

    def _put_aside(self, last: str) -> None:
        name = f"refs/orchestrate/kept/{self.family}/{last[:12]}"
        run_git(self.home, "update-ref", name, last)
        if self.top.exists():
            self.top.rename(_free_name(self._kept_files / "checkout"))
        run_git(self.home, "update-ref", "-d", self.kept, last)

    @property
    def _kept_files(self) -> Path:
        return self.home / ".orchestrate" / "kept" / self.family

    def create(self, board: str) -> None:
        """Make the checkout, without the board's folder. One that is there stays.

        Raises GitError, and OrchestrateError if there is something else in its place.
        """
        if self.top.is_symlink() or (self.top.exists() and not self.top.is_dir()):
            raise OrchestrateError(
                f"there is something else in the place of the checkout of {self.family}",
                path=self.top,
                hint="move it away and run again",
            )
        if not self.top.exists():
            self._make(board).rename(self.top)

    def _make(self, board: str) -> Path:
        """A new checkout, in a folder beside its place."""
        new = self.top.with_name(f".{self.name}.new.{os.getpid()}")
        shutil.rmtree(new, ignore_errors=True)
        new.parent.mkdir(parents=True, exist_ok=True)
        found = find_git_folder(self.home)
        assert found is not None
        run_git(
            new.parent,
            *("clone", "--shared", "--no-checkout", "--no-tags", "--quiet", "--template="),
            *("--origin", "origin", "--", str(found[0]), str(new)),
            env={"GIT_LFS_SKIP_SMUDGE": "1"},
        )
        start = self._last_kept() or self.base
        run_git(new, "remote", "remove", "origin")
        for key, value in identity_of(self.home).items():
            run_git(new, "config", key, value)
        # patterns of git, not paths
        patterns = ["/*", f"!/{self.below + '/' if self.below else ''}{board}/"]
        run_git(new, "sparse-checkout", "set", "--no-cone", *patterns)
        with contextlib.suppress(GitError):
            run_git(new, "update-ref", "-d", f"refs/heads/{self.branch}")
        run_git(
            new,
            *("checkout", "--quiet", "--no-track", "-B", self.branch, start),
            settings=QUIET,
            env={"GIT_LFS_SKIP_SMUDGE": "1"},
        )
        self._share_tools(new / self.below)
        return new

    def repair(self, board: str, *, locks: bool = False) -> str:
        """Put its git folder right; what was wrong with it, or "".

        `locks`: nobody works in it, so that locks are a killed git's. What was committed last is
        checked out then, with the files as they are. Raises GitError, OrchestrateError.
        """
        if not self.top.is_dir():
            return ""
        if wrong := self._find_wrong():
            new = self._make(board)
            if os.path.lexists(self._git_folder):
                self._git_folder.rename(_free_name(self._kept_files / "git"))
            (new / ".git").rename(self._git_folder)
            shutil.rmtree(new)
        elif locks:
            for name in ("index.lock", "HEAD.lock", "config.lock", "packed-refs.lock"):
                (self._git_folder / name).unlink(missing_ok=True)
            for lock in (self._git_folder / "refs").rglob("*.lock"):
                lock.unlink()
        return wrong

    def _find_wrong(self) -> str:
        """Why its git folder is not what was made, as far as git itself needs it."""
        folder = self._git_folder
        if folder.is_symlink() or not folder.is_dir():
            return f"`.git` was {'replaced' if os.path.lexists(folder) else 'removed'}"
        for name in ("HEAD", "config", "objects", "refs", "refs/heads", "objects/info/alternates"):
            if (folder / name).is_symlink() or not (folder / name).exists():
                return f"`.git/{name}` was removed or replaced"
        if (folder / "commondir").exists():
            return "`.git/commondir` was made"
        return ""

    def _last_kept(self) -> str:
        with contextlib.suppress(GitError):
            words = ("rev-parse", "--verify", "--quiet", self.kept)
            return os.fsdecode(run_git(self.home, *words)).strip()
        return ""

    def _share_tools(self, root: Path) -> None:
        """Link the tools of the main checkout, and hide the links from git."""
        hidden = link_tools(self.home, root, self.below)
        found = find_git_folder(root)
        assert found is not None
        exclude = found[1] / "info" / "exclude"
        exclude.parent.mkdir(exist_ok=True)
        exclude.write_text(hidden, encoding="utf-8")

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def commit(self, message: str) -> str:
        """Commit all that is not ignored, and keep it in the main repository; the commit's id.

        Raises GitError.
        """
        self._require_branch()
        self.git("add", "--all")
        if self.git("status", "--porcelain=v1", "--untracked-files=no"):
            self.git("commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", message)
        self.keep()
        return self.head

    def _require_branch(self) -> None:
        """Take an agent that has left the branch back to it, with what it committed elsewhere."""
        head = self.head
        with contextlib.suppress(GitError):
            if self.git("symbolic-ref", "HEAD") == f"refs/heads/{self.branch}":
                return
        self.git("update-ref", f"refs/heads/{self.branch}", head)
        self.git("symbolic-ref", "HEAD", f"refs/heads/{self.branch}")

    def take_back_commits(self, head: str, name: str) -> None:
        """Go back to an earlier commit, with the files as they are now. Raises GitError.

        What is left of the branch is kept in the main repository under `name`.
        """
        if self.head == head:
            return
        self._require_branch()
        self.keep(f"refs/orchestrate/kept/{self.family}/{name}")
        self.git("reset", "--quiet", "--mixed", head)

    def keep(self, reference: str = "") -> None:
        """Fetch the branch into the main repository, to a reference that is not a branch."""
        run_git(
            self.home,
            *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc"),
            *("--no-recurse-submodules", "--upload-pack", "git-upload-pack"),
            *(str(self._git_folder), f"+refs/heads/{self.branch}:{reference or self.kept}"),
            settings={**QUIET, "protocol.file.allow": "always", "fetch.fsckObjects": "true"},
        )

    @property
    def uncommitted(self) -> list[str]:
        """Paths that are edited or new."""
        output = self.git("status", "--porcelain=v1", "-z", "--untracked-files=all")
        return [line[3:] for line in output.split("\0") if line]

    def take_board(self, board: str) -> list[str]:
        """Files in the place of the board, which is not in the checkout; they are kept elsewhere.

        Git refuses to take them in, and what reads tickets must not find them.
        """
        folder = self.root / board
        if not os.path.lexists(folder):
            return []
        found = () if folder.is_symlink() else (p for p in folder.rglob("*") if not p.is_dir())
        names = sorted(p.relative_to(self.root).as_posix() for p in found)
        folder.rename(_free_name(self._kept_files / "board"))
        return names or [board]

    def take_inner(self) -> list[str]:
        """Folders that had become repositories of their own: what is in them would not land.

        They are none any more: their git folders are kept elsewhere.
        """
        start = self._last_kept() or self.base
        raw = self.git("diff", "--cached", "--raw", "--no-renames", "-z", start)
        staged = [path for path, is_inner in read_raw(raw).items() if is_inner]
        if staged:
            self.git("rm", "--quiet", "--cached", "--", *staged)
        inner = {*staged, *(p.rstrip("/") for p in self.uncommitted if p.endswith("/"))}
        for path in inner:
            folder = self.top / path / ".git"
            if os.path.lexists(folder):
                folder.rename(_free_name(self._kept_files / "git"))
        return sorted(inner)

    @property
    def submodules(self) -> list[str]:
        """Folders of other repositories, which are empty in the checkout."""
        listed = self.git("ls-files", "--stage", "-z").split("\0")
        return [entry.partition("\t")[2] for entry in listed if entry.startswith(INNER)]

    def remove(self) -> None:
        """Remove it if nothing of it would be lost: all committed, and kept. Raises GitError."""
        if not self.top.is_dir() or self.uncommitted:
            return
        self.keep()
        # a half removed one would be taken for the checkout
        gone = self.top.with_name(f".{self.name}.old.{os.getpid()}")
        self.top.rename(gone)
        shutil.rmtree(gone)
        release_ports(self.top.parent, self.name)
        drop_database(self.home, self.name)

    def end(self) -> None:
        """Remove it and the main repository's reference to its work, which is elsewhere by now."""
        self.remove()
        if not self.top.exists():
            run_git(self.home, "update-ref", "-d", self.kept)

    def sweep(self) -> None:
        """Remove what a killed `create` or `remove` left."""
        for kind in ("new", "old"):
            for left in self.top.parent.glob(f".{glob.escape(self.name)}.{kind}.*"):
                shutil.rmtree(left, ignore_errors=True)


def link_tools(source: Path, root: Path, below: str) -> str:
    """Link the tools of a workspace into a checkout's; what hides the links from its git.

    `below`: the workspace's path in its repository.
    """
    hidden = ""
    for name in _TOOLS:
        tools = source / name
        if tools.is_dir() and root.is_dir() and not os.path.lexists(root / name):
            (root / name).symlink_to(tools.resolve(), target_is_directory=True)
            hidden += f"/{f'{below}/' if below else ''}{name}\n"
    return hidden


def _free_name(wanted: Path) -> Path:
    """A path that nothing has, in a folder that is there."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    names = (wanted.with_name(f"{wanted.name}-{n}") for n in itertools.count(1))
    return next(path for path in names if not os.path.lexists(path))


def identity_of(home: Path) -> dict[str, str]:
    """Who commits what a family made, as settings: whom git knows in the main repository."""
    found = dict(_NOBODY)
    for key in found:
        with contextlib.suppress(GitError):
            found[key] = os.fsdecode(run_git(home, "config", key)).strip()
    return found


def begin_checkout(home: Path, family: str) -> Checkout:
    """The checkout that a family would begin with, from the branch that is checked out now.

    Raises OrchestrateError if there is no repository, no commit or no branch.
    """
    found = find_git_folder(home)
    why = "there is no git repository"
    commit = "git add -A && git commit -m 'First commit'"
    hint = f"git init && {commit}"
    if found is not None:
        why, hint = "no branch is checked out", "git switch <branch>"
        with contextlib.suppress(GitError):
            target = os.fsdecode(run_git(home, "symbolic-ref", "HEAD")).strip()
            target = target.removeprefix("refs/heads/")
            why, hint = "the repository has no commit", commit
            base = os.fsdecode(run_git(home, "rev-parse", "--verify", "HEAD^{commit}")).strip()
            below = home.resolve().relative_to(found[0]).as_posix()
            return Checkout(family, home, base, target, "" if below == "." else below)
    raise OrchestrateError(
        f"coding agents and workers need a checkout of its own for {family}, and {why}",
        path=home,
        code="no-checkout",
        hint=f'{hint}; or have the work done in place: [workspaces] use = "never"',
    )
