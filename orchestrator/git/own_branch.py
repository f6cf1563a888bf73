"""Commits to a branch that is not checked out: no file, no index and no HEAD is touched."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import HookError, OrchestrateError
from orchestrator.git.command import GitError, run_git, split_names
from orchestrator.git.hooked import hook_folder, run_hooked

_NONE = "0" * 40


@dataclass(frozen=True)
class OwnBranch:
    """A branch of the repository at `top` that gets commits beside the one that is in hand.

    It begins at the commit that is checked out when it gets its first one.
    """

    top: Path
    name: str
    #: who is the author of the commits, as variables of the environment
    author: Mapping[str, str]
    hooks: bool = True

    @property
    def reference(self) -> str:
        return f"refs/heads/{self.name}"

    def is_checked_out(self) -> bool:
        """Whether it is in hand here. Raises OrchestrateError if it is in another worktree."""
        output = os.fsdecode(run_git(self.top, "worktree", "list", "--porcelain"))
        for entry in output.split("\n\n"):
            if f"branch {self.reference}" in entry.splitlines():
                place = Path(entry.splitlines()[0].removeprefix("worktree "))
                if place.resolve() == self.top.resolve():
                    return True
                raise OrchestrateError(
                    f"the branch {self.name} of [git] branch is checked out elsewhere",
                    path=place,
                    code="git",
                    hint="check another branch out there, or name another branch",
                )
        return False

    def commit(self, names: Sequence[str], message: str) -> str:
        """Commit these files (relative to `top`) as they are now; the new commit, or "".

        Raises HookError if a hook refuses, GitError if git does.
        """
        old = self._commit_of(self.reference)
        base = old or self._commit_of("HEAD")
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            if base:
                run_git(self.top, "read-tree", base, env=index)
            self._take(names, index)
            tree = self._write_tree(index)
            if base and tree == self._commit_of(f"{base}^{{tree}}", kind="tree"):
                return ""
            text = Path(folder) / "COMMIT_EDITMSG"
            text.write_text(message, encoding="utf-8")
            self._run_hook("pre-commit", (), index)
            tree = self._write_tree(index)
            self._run_hook("prepare-commit-msg", (str(text), "message"), index)
            self._run_hook("commit-msg", (str(text),), index)
            signed = ("-S",) if self._signs() else ()
            parents = ("-p", base) if base else ()
            command = ("commit-tree", *signed, tree, *parents, "-F", str(text))
            commit = run_git(self.top, *command, env=self.author).decode().strip()
        subject = f"commit: {message.splitlines()[0]}"
        run_git(self.top, "update-ref", "-m", subject, self.reference, commit, old or _NONE)
        return commit

    def _take(self, names: Sequence[str], index: Mapping[str, str]) -> None:
        """Put the files as they are into the index; new ones that git ignores are left out."""
        known = set(split_names(run_git(self.top, "ls-files", "-z", "--", *names, env=index)))
        found = [n for n in names if n in known or os.path.lexists(self.top / n)]
        new = [n for n in found if n not in known]
        if new:
            # it exits with 1 where nothing is ignored
            asked = "".join(f"{name}\0" for name in new).encode()
            try:
                ignored = run_git(self.top, "check-ignore", "-z", "--stdin", stdin=asked, env=index)
            except GitError:
                ignored = b""
            left_out = set(split_names(ignored))
            found = [n for n in found if n not in left_out]
        listed = "".join(f"{name}\0" for name in found)
        command = ("update-index", "--add", "--remove", "-z", "--stdin")
        run_git(self.top, *command, stdin=os.fsencode(listed), env=index)

    def _write_tree(self, index: Mapping[str, str]) -> str:
        return run_git(self.top, "write-tree", env=index).decode().strip()

    def _commit_of(self, revision: str, kind: str = "commit") -> str:
        try:
            name = f"{revision}^{{{kind}}}" if kind == "commit" else revision
            return run_git(self.top, "rev-parse", "--verify", "-q", name).decode().strip()
        except GitError:
            return ""

    def _signs(self) -> bool:
        try:
            asked = run_git(self.top, "config", "--type=bool", "commit.gpgsign")
        except GitError:
            return False
        return asked == b"true\n"

    def _run_hook(self, name: str, words: Sequence[str], index: Mapping[str, str]) -> None:
        """Run one of the repository's hooks, if it has it, on the commit that is being made."""
        if not self.hooks:
            return
        hook = self.top / hook_folder(self.top) / name
        if not os.access(hook, os.X_OK) or not hook.is_file():
            return
        env = {**index, **self.author}
        try:
            # as git does: what names no interpreter is the shell's
            shell = () if hook.read_bytes()[:1] in (b"#", b"\x7f") else ("sh",)
            done = run_hooked(self.top, [*shell, str(hook), *words], env)
        except (GitError, OSError) as exc:
            reason = exc.reason if isinstance(exc, GitError) else str(exc)
            raise HookError(f"the {name} hook does not start: {reason}", path=hook) from exc
        if done.code:
            raise HookError(done.refusal_by(name), path=hook)
