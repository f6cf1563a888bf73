"""Git commits of transitions: one each, only the paths it touched, never a push (DESIGN 9)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import BusyError, OrchestrateError

if TYPE_CHECKING:
    from git import Repo

_IN_PROGRESS = ("MERGE_HEAD", "rebase-merge", "rebase-apply", "CHERRY_PICK_HEAD", "REVERT_HEAD")


class Committer:
    """Commits paths of one workspace, if it lies in a git work tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._repo: Repo | None = None

    def _open(self) -> Repo | None:
        if self._repo is None:
            from git import InvalidGitRepositoryError, NoSuchPathError, Repo

            try:
                self._repo = Repo(self.root, search_parent_directories=True)
            except (InvalidGitRepositoryError, NoSuchPathError):
                return None
        return self._repo

    def require_quiet(self) -> None:
        """Raise BusyError while a merge, rebase or pick is in progress (DESIGN 8.3)."""
        repo = self._open()
        if repo is None:
            return
        for name in _IN_PROGRESS:
            if (Path(repo.git_dir) / name).exists():
                raise BusyError(
                    f"a git operation is in progress ({name})",
                    path=self.root,
                    hint="finish or abort it, then run again; nothing was moved",
                )

    def commit(self, paths: Iterable[Path], message: str) -> str:
        """Commit these paths and nothing else; the user's index and staged changes stay.

        Returns the commit's short id, or "" where there is no repository or nothing to commit.
        Raises OrchestrateError (code `git`) if git refuses.
        """
        repo = self._open()
        if repo is None or repo.working_tree_dir is None:
            return ""
        from git import GitCommandError

        base = Path(repo.working_tree_dir).resolve()
        names = sorted({str(p.resolve().relative_to(base)) for p in paths})
        try:
            wanted = self._committable(repo, base, names)
            if not wanted:
                return ""
            repo.git.execute(
                [
                    *("git", *self._identity(repo), "commit", "--only", "--no-verify", "--quiet"),
                    *("-m", message, "--", *wanted),
                ]
            )
        except GitCommandError as exc:
            raise OrchestrateError(
                f"git did not commit: {str(exc.stderr).strip()}",
                path=self.root,
                code="git",
                hint="the tickets have moved; commit them yourself, or set `[git] commit = false`",
            ) from exc
        return repo.head.commit.hexsha[:10]

    def last_change(self, path: Path) -> str:
        """Which change a file's bytes come from: a commit in words, or that it is not committed."""
        repo = self._open()
        if repo is None or repo.working_tree_dir is None:
            return ""
        from git import GitCommandError

        try:
            if repo.git.status("--porcelain=v1", "--", str(path)):
                return "a change that is not committed"
            told: str = repo.git.log("-1", "--format=commit %h of %as, %s", "--", str(path))
        except GitCommandError:
            return ""
        return told

    @staticmethod
    def _committable(repo: Repo, base: Path, names: list[str]) -> list[str]:
        """Paths that git tracks or can begin to track, without those that did not change."""
        present = [n for n in names if (base / n).exists()]
        if present:
            ignored = set(repo.ignored(*present))
            present = [n for n in present if n not in ignored]
        tracked = set(repo.git.ls_files("-z", "--", *names).split("\0")) if names else set()
        fresh = [n for n in present if n not in tracked]
        if fresh:
            repo.git.add("--intent-to-add", "--", *fresh)
        wanted = sorted({*present, *(n for n in names if n in tracked)})
        if not wanted:
            return []
        status = repo.git.status("--porcelain=v1", "-z", "--untracked-files=no", "--", *wanted)
        return wanted if status else []

    @staticmethod
    def _identity(repo: Repo) -> list[str]:
        """A committer for machines where git knows none."""
        with repo.config_reader() as config:
            if config.has_option("user", "email"):
                return []
        return ["-c", "user.name=orchestrate", "-c", "user.email=orchestrate@localhost"]
