"""Git commits of transitions: one each, only the paths it touched, never a push (DESIGN 9)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import BusyError, OrchestrateError
from orchestrator.git.command import GitError, run_git, split_names
from orchestrator.git.repository import find_git_folder

_IN_PROGRESS = ("MERGE_HEAD", "rebase-merge", "rebase-apply", "CHERRY_PICK_HEAD", "REVERT_HEAD")


@dataclass(frozen=True)
class Committer:
    """Commits paths of one workspace, if it is in a git work tree."""

    root: Path

    def require_quiet(self) -> None:
        """Raise BusyError while a merge, rebase or pick is in progress (DESIGN 8.3)."""
        found = find_git_folder(self.root)
        for name in _IN_PROGRESS if found else ():
            if found and (found[1] / name).exists():
                raise BusyError(
                    f"a git operation is in progress ({name})",
                    path=self.root,
                    hint="finish or abort it, then run again; nothing was moved",
                )

    def commit(self, paths: Iterable[Path], message: str) -> str:
        """Commit these paths and nothing else; the user's index and staged changes stay.

        Returns the commit's short id, or "" without a repository or anything to commit.
        Raises OrchestrateError (code `git`) if git refuses.
        """
        found = find_git_folder(self.root)
        if found is None:
            return ""
        top = found[0]
        names = sorted({str(path.resolve().relative_to(top)) for path in paths})
        try:
            wanted = self._stage_new(top, names)
            if not wanted:
                return ""
            command = ("commit", "--only", "--no-verify", "--quiet", "-m", message)
            run_git(top, *self._identity(), *command, "--", *wanted)
            return run_git(top, "rev-parse", "HEAD").decode()[:10]
        except GitError as exc:
            raise OrchestrateError(
                f"git did not commit: {exc.reason}",
                path=self.root,
                code="git",
                hint="the tickets have moved; commit them yourself, or set `[git] commit = false`",
            ) from exc

    @staticmethod
    def _stage_new(top: Path, names: list[str]) -> list[str]:
        """Make git track the new ones of these files; those to commit, none if all are unchanged.

        Ignored files are left out.
        """
        if not names:
            return []
        new = split_names(
            run_git(top, "ls-files", "-z", "--others", "--exclude-standard", "--", *names)
        )
        if new:
            run_git(top, "add", "--intent-to-add", "--", *new)
        tracked = split_names(run_git(top, "ls-files", "-z", "--", *names))
        status = ("status", "--porcelain=v1", "-z", "--untracked-files=no")
        return tracked if tracked and run_git(top, *status, "--", *tracked) else []

    def _identity(self) -> tuple[str, ...]:
        """A committer for machines where git knows none."""
        try:
            run_git(self.root, "config", "user.email")
        except GitError:
            return "-c", "user.name=orchestrate", "-c", "user.email=orchestrate@localhost"
        return ()

    def last_change(self, path: Path) -> str:
        """What last changed a file: a commit, or something uncommitted; "" if unknown."""
        try:
            if run_git(self.root, "status", "--porcelain=v1", "--", str(path)):
                return "a change that is not committed"
            line = run_git(self.root, "log", "-1", "--format=commit %h of %as, %s", "--", str(path))
        except GitError:
            return ""
        return line.decode("utf-8", "replace").rstrip("\n")
