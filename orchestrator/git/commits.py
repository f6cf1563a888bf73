"""Git commits of transitions: one each, only the paths it touched, never a push (DESIGN 9)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from orchestrator.errors import HookError, OrchestrateError
from orchestrator.errors.masking import sanitize
from orchestrator.git.activity import own_commits
from orchestrator.git.command import GitError, plain_environment, read_objects, run_git, split_names
from orchestrator.git.folder import find_git_folder
from orchestrator.git.hooked import HookedResult, run_hooked
from orchestrator.git.own_branch import OwnBranch
from orchestrator.settings.tables import AUTHOR, GitSettings
from orchestrator.storage import atomic

T = TypeVar("T")

#: who commits where git knows nobody
_NOBODY = {"NAME": "orchestrate", "EMAIL": "orchestrate@localhost"}
#: seconds that another git's lock is waited for
_PATIENCE = 10.0


@dataclass(frozen=True)
class Committer:
    """Commits paths of one workspace, if it is in a git work tree.

    `author` is `Name <mail>`, "" for whom git knows. `branch` gets the commits, "" for the one that
    is checked out. Without `hooks`, pre-commit and commit-msg are left out.
    """

    root: Path
    author: str = ""
    branch: str = ""
    hooks: bool = True
    #: why the last commit was not made (`raise_refused`)
    _refused: list[OrchestrateError] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def of(cls, root: Path, settings: GitSettings) -> Committer | None:
        """The committer that `[git]` asks for, None where nothing is committed."""
        if not settings.commit:
            return None
        return cls(root, settings.author, settings.branch, settings.hooks)

    def commit(
        self, paths: Iterable[Path], subject: str, *, ticket: str = "", stage: int | None = None
    ) -> str:
        """Commit these paths and nothing else; the user's index and staged changes stay.

        `ticket` and `stage` become trailers. What could not be committed is noted, and goes into
        the ticket's next commit. Returns the commit's short id, or "" without a repository or
        anything to commit. Raises HookError or OrchestrateError (code `git`) if it is refused.
        """
        found = find_git_folder(self.root)
        if found is None:
            return ""
        top = found[0]
        names = {str(path.resolve().relative_to(top)) for path in paths}
        pending = _Pending(self.root, ticket)
        names |= pending.names()
        if not names:
            return ""
        pending.note(names)
        with own_commits:
            try:
                message = _with_trailers(subject, ticket, stage)
                commit = self._commit(top, sorted(names), message)
            except HookError as exc:
                again = f"`orchestrate run {ticket}`" if ticket else "the next commit"
                exc.hint = (
                    "the tickets have moved, only the commit is missing; once the hook passes, "
                    f"{again} makes it first (`[git] hooks = false` leaves the hooks out)"
                )
                raise
            except GitError as exc:
                raise OrchestrateError(
                    f"git did not commit: {exc.reason}",
                    path=self.root,
                    code="git",
                    hint="the tickets have moved; the next run commits it, or set "
                    "`[git] commit = false`",
                ) from exc
        pending.clear()
        return commit[:10]

    def try_commit(
        self, paths: Iterable[Path], subject: str, *, ticket: str = "", stage: int | None = None
    ) -> None:
        """`commit`, but a refusal is kept until `raise_refused`.

        The tickets have moved by then: whoever waits for that is told first.
        """
        self._refused.clear()
        try:
            self.commit(paths, subject, ticket=ticket, stage=stage)
        except OrchestrateError as exc:
            self._refused.append(exc)

    def try_pending(self, ticket: str) -> None:
        """Commit what an earlier commit of this ticket should have had, as `try_commit`."""
        if _Pending(self.root, ticket).names():
            self.try_commit((), f"{ticket}: what was not committed before", ticket=ticket)

    def has_pending(self, ticket: str) -> bool:
        """Whether an earlier commit of this ticket lacks something."""
        return bool(_Pending(self.root, ticket).names())

    def missing_steps(self, history: Path) -> set[int]:
        """The revisions that a family's history has on disk and git has not."""
        found = find_git_folder(self.root)
        if found is None:
            return set()
        name = history.resolve().relative_to(found[0])
        (held,) = read_objects(found[0], [f"{self._reference}:{name.as_posix()}"])
        on_disk = history.read_bytes() if history.is_file() else b""
        if held == on_disk or (not held and _is_ignored(found[0], name)):
            return set()
        return _steps_in(on_disk) - _steps_in(held)

    def note_missing(self, history: Path, names: Collection[str], paths: Iterable[Path]) -> None:
        """Have the ticket's next commit make up what lacks, if a kill left steps out of git.

        `names`: of the family's files, which git may hold where they no longer are. `paths`: those
        of the family as it is now.
        """
        found = find_git_folder(self.root)
        if found is None or not self.missing_steps(history):
            return
        top, board = found[0], history.parent.parent
        pending = _Pending(self.root, history.stem)
        wanted = {str(path.resolve().relative_to(top)) for path in (history, *paths)}
        with contextlib.suppress(GitError):
            below = str(board.resolve().relative_to(top))
            tree = run_git(top, "ls-tree", "-r", "-z", "--name-only", self._reference, "--", below)
            wanted |= {name for name in split_names(tree) if Path(name).name in names}
        pending.note(pending.names() | wanted)

    @property
    def _reference(self) -> str:
        return f"refs/heads/{self.branch}" if self.branch else "HEAD"

    def raise_refused(self) -> None:
        """Raise, once, why the last commit was not made."""
        if self._refused:
            raise self._refused.pop()

    def _commit(self, top: Path, names: Sequence[str], message: str) -> str:
        author = self._author()
        if self.branch:
            own = OwnBranch(top, self.branch, author, self.hooks)
            if not own.is_checked_out():
                return own.commit(names, message)
        return self._commit_here(top, names, message, author)

    def _commit_here(
        self, top: Path, names: Sequence[str], message: str, author: Mapping[str, str]
    ) -> str:
        """Commit to the branch that is checked out."""
        new = split_names(
            run_git(top, "ls-files", "-z", "--others", "--exclude-standard", "--", *names)
        )
        if new:
            _patiently(top, "add", "--intent-to-add", "--", *new)
        wanted = split_names(run_git(top, "ls-files", "-z", "--", *names))
        status = ("status", "--porcelain=v1", "-z", "--untracked-files=no")
        if not wanted or not run_git(top, *status, "--", *wanted):
            return ""
        hooks = () if self.hooks else ("--no-verify",)
        own = _staged(top) - set(wanted)
        command = ("git", "commit", "--only", *hooks, "--quiet", "-m", message, "--")
        literal = [f":(top,literal){name}" for name in wanted]

        def commit() -> HookedResult:
            done = run_hooked(top, [*command, *literal], author)
            if done.code and not done.hook and _is_locked(done.output):
                raise GitError(top, done.last_words)
            return done

        try:
            done = _while_locked(commit)
            if done.hook and done.code:
                raise HookError(done.refusal_by(done.hook), path=self.root)
            if done.code:
                raise GitError(top, done.last_words or f"exit code {done.code}")
        except OrchestrateError:
            if new:
                # the person's index is as it was
                _patiently(top, "reset", "--quiet", "--", *new)
            raise
        self._take_hook_edits(top, own)
        return run_git(top, "rev-parse", "HEAD").decode().strip()

    def _take_hook_edits(self, top: Path, own: set[str]) -> None:
        """Bring the index to what was committed, but for what the person had staged (`own`).

        A hook that edits and adds files does so in an index of that commit alone; the person's
        would keep the versions from before the hook, and the next commit would bring them back.
        """
        show = ("show", "--no-renames", "--name-only", "--format=", "-z", "-m", "--first-parent")
        stale = (_staged(top) - own) & set(split_names(run_git(top, *show, "HEAD")))
        if stale:
            _patiently(top, "reset", "--quiet", "--", *sorted(stale))

    def _author(self) -> dict[str, str]:
        """Author and, on machines where git knows none, committer, as variables for git."""
        named = AUTHOR.fullmatch(self.author)
        found: dict[str, str] = {}
        if named:
            found = {"GIT_AUTHOR_NAME": named["name"], "GIT_AUTHOR_EMAIL": named["mail"]}
        if "GIT_COMMITTER_EMAIL" not in plain_environment():
            try:
                run_git(self.root, "config", "user.email")
            except GitError:
                for who in ("AUTHOR", "COMMITTER"):
                    for key, value in _NOBODY.items():
                        given = found.get(f"GIT_AUTHOR_{key}", value)
                        found[f"GIT_{who}_{key}"] = given
        return found

    def last_change(self, path: Path) -> str:
        """What last changed a file: a commit, or something uncommitted; "" if unknown."""
        try:
            if run_git(self.root, "status", "--porcelain=v1", "--", str(path)):
                return "a change that is not committed"
            line = run_git(self.root, "log", "-1", "--format=commit %h of %as, %s", "--", str(path))
        except GitError:
            return ""
        return line.decode("utf-8", "replace").rstrip("\n")


@dataclass(frozen=True)
class _Pending:
    """The files that a ticket's commits still lack: a hook refused, or the process was killed."""

    root: Path
    ticket: str

    @property
    def path(self) -> Path:
        name = atomic.sha256_bytes(self.ticket.encode("utf-8", "surrogatepass"))[:16]
        return self.root / ".orchestrate" / "state" / "uncommitted" / name

    def names(self) -> set[str]:
        if not self.ticket:
            return set()
        try:
            text = self.path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return set()
        return {name for name in text.split("\0") if name}

    def note(self, names: set[str]) -> None:
        if self.ticket and names != self.names():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            text = "\0".join(sorted(names))
            self.path.write_text(text, encoding="utf-8", errors="surrogateescape")

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)


def _steps_in(history: bytes) -> set[int]:
    """The revisions of a history's transitions."""
    found = set()
    for line in history.splitlines():
        if b'"transition"' in line:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                record = json.loads(line)
                if record["type"] == "transition":
                    found.add(int(record["revision"]))
    return found


def _is_ignored(top: Path, name: Path) -> bool:
    with contextlib.suppress(GitError):
        run_git(top, "check-ignore", "--quiet", "--", str(name))
        return True
    return False


def _with_trailers(subject: str, ticket: str, stage: int | None) -> str:
    """The message; git and scripts find the ticket and the stage by the trailers."""
    subject = sanitize(subject)
    trailers = [f"Orchestrate-Ticket: {ticket}"] if ticket else []
    if ticket and stage is not None:
        trailers.append(f"Orchestrate-Stage: {stage}")
    return "\n".join([subject, "", *trailers, ""]) if trailers else f"{subject}\n"


def _staged(top: Path) -> set[str]:
    """The files whose staged version is not that of the last commit."""
    try:
        return set(
            split_names(run_git(top, "diff", "--cached", "--no-renames", "--name-only", "-z"))
        )
    except GitError:
        # a repository without a commit: all that is staged
        return set(split_names(run_git(top, "ls-files", "-z")))


def _patiently(top: Path, *words: str) -> None:
    """Run git, waiting for another git that holds the index."""
    _while_locked(lambda: run_git(top, *words))


def _while_locked(work: Callable[[], T]) -> T:
    """`work()`, again with growing pauses while another git holds a lock. Raises GitError."""
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

    retrying = Retrying(
        retry=retry_if_exception(lambda exc: isinstance(exc, GitError) and _is_locked(exc.reason)),
        stop=stop_after_delay(_PATIENCE),
        wait=wait_exponential(multiplier=0.05, max=1),
        reraise=True,
    )
    return retrying(work)


def _is_locked(printed: str) -> bool:
    return ".lock" in printed and "exists" in printed
