"""Landing: what a family committed in its checkout goes into the branch from which it began.

Everything here can be done again after a kill: the result is one commit, made before the branch
moves, and a branch that holds it already is left as it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from orchestrator.git.command import GitError, run_git, split_names
from orchestrator.git.hooked import run_hooked
from orchestrator.workspaces.checkout import Checkout

#: kind of the effect
LAND = "git.land"


class Merge(StrEnum):
    """How a branch goes into another."""

    FAST_FORWARD = "ff"
    COMMIT = "no-ff"
    SQUASH = "squash"


@dataclass(frozen=True)
class Landing:
    """What is to land, as USER is shown it."""

    branch: str
    target: str
    #: the target's commit with which it was proven
    onto: str
    head: str
    tree: str
    commits: int
    how: Merge
    #: a command that opens a pull request, in place of a merge
    pull_request: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        number = f"{self.commits} commit{'s' if self.commits != 1 else ''}"
        if self.pull_request:
            return f"push {number} of `{self.branch}` and run `{' '.join(self.pull_request)}`"
        how = {"ff": "fast-forward", "no-ff": "a merge commit", "squash": "one commit"}[self.how]
        return f"land {number} of `{self.branch}` in `{self.target}` ({how}, tree {self.tree[:12]})"

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "how": self.how.value, "pull_request": list(self.pull_request)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Landing:
        return cls(
            **{
                **data,
                "how": Merge(data["how"]),
                "pull_request": tuple(data["pull_request"]),
            }
        )


class LandingError(Exception):
    """It cannot land as things are; nothing has changed."""


def plan_landing(
    checkout: Checkout, how: Merge, pull_request: Sequence[str] = ()
) -> Landing | None:
    """What the checkout's commits would land; None if there are none. Raises GitError."""
    head, onto = checkout.head, tip(checkout)
    fork = _git(checkout.home, "merge-base", onto, head)
    if fork == head:
        return None
    return Landing(
        branch=checkout.branch,
        target=checkout.target,
        onto=fork,
        head=head,
        tree=checkout.git("rev-parse", "HEAD^{tree}"),
        commits=int(checkout.git("rev-list", "--count", f"{fork}..HEAD")),
        how=how,
        pull_request=tuple(pull_request),
    )


def tip(checkout: Checkout) -> str:
    """The target's newest commit. Raises GitError if the branch is gone."""
    return _git(checkout.home, "rev-parse", "--verify", f"refs/heads/{checkout.target}^{{commit}}")


def moved(checkout: Checkout, board: str) -> list[str]:
    """The paths, apart from the board's, that the target has changed since the checkout's branch
    last held all of it.
    """
    newest = tip(checkout)
    fork = _git(checkout.top, "merge-base", newest, checkout.head)
    words = ("diff", "--name-only", "--no-renames", "-z", fork, newest)
    output = run_git(checkout.home, *words)
    prefix = f"{checkout.below}/{board}/" if checkout.below else f"{board}/"
    return [path for path in split_names(output) if not path.startswith(prefix)]


def patch_of(checkout: Checkout, before: str, after: str) -> str:
    """An id of what lies between two commits, whatever their ancestors are."""
    words = ("diff", "--no-ext-diff", "--no-textconv", "--full-index", "--binary", before, after)
    patch = run_git(checkout.top, *words)
    return os.fsdecode(run_git(checkout.top, "patch-id", "--stable", stdin=patch)).split(" ")[0]


def bring_up_to_date(checkout: Checkout) -> None:
    """Merge the target into the checkout's branch.

    Raises LandingError naming the files that conflict; the checkout is then as it was.
    """
    newest = tip(checkout)
    # its objects are there: they are the main repository's
    try:
        checkout.git(
            *("merge", "--quiet", "--no-edit", "--no-verify", "--no-gpg-sign", "-m"),
            *(f"Merge {checkout.target} into {checkout.branch}", newest),
        )
    except GitError as exc:
        names = split_names(run_git(checkout.top, "diff", "--name-only", "--diff-filter=U", "-z"))
        checkout.git("merge", "--abort")
        named = ", ".join(names) or exc.reason
        raise LandingError(
            f"`{checkout.target}` has moved, and what it changed conflicts in {named}"
        ) from exc
    checkout.keep()


def land(checkout: Checkout, landing: Landing, message: str) -> str:
    """Let the target hold what has landed; what it did, in words.

    Raises LandingError if nothing was done, GitError where git fails.
    """
    checkout.keep()
    if landing.pull_request:
        return _open_pull_request(checkout, landing)
    home, onto = checkout.home, tip(checkout)
    head = checkout.head
    if _is_ancestor(home, head, onto) or _holds(home, landing, onto):
        return f"`{landing.target}` holds it already: {onto[:10]}"
    commit = _make_commit(checkout, landing.how, onto, head, message)
    if _git_or(home, "", "symbolic-ref", "HEAD") == f"refs/heads/{landing.target}":
        _advance_checked_out(home, onto, commit)
    else:
        words = ["git", "update-ref", f"refs/heads/{landing.target}", commit, onto]
        _run(home, words)
    return f"`{landing.target}` is {commit[:10]} now (was {onto[:10]})"


def _make_commit(checkout: Checkout, how: Merge, onto: str, head: str, message: str) -> str:
    """The commit that the target will be at, made of what it is and what lands."""
    home = checkout.home
    if how is Merge.FAST_FORWARD:
        if not _is_ancestor(home, onto, head):
            checkout.git("rebase", "--quiet", onto, settings={"commit.gpgSign": "false"})
            checkout.keep()
        return checkout.head
    try:
        printed = _git(home, "merge-tree", "--write-tree", "--no-messages", onto, head)
    except GitError as exc:
        raise LandingError(f"`{checkout.target}` has moved, and conflicts with it") from exc
    parents = ["-p", onto] + (["-p", head] if how is Merge.COMMIT else [])
    return _git(
        home,
        "commit-tree",
        *parents,
        "-m",
        message,
        printed.splitlines()[0],
        settings=_author(home),
    )


def _author(home: Path) -> dict[str, str]:
    name = _git_or(home, "Orchestrate", "config", "user.name")
    mail = _git_or(home, "orchestrate@localhost", "config", "user.email")
    return {"user.name": name, "user.email": mail, "commit.gpgSign": "false"}


def _holds(home: Path, landing: Landing, onto: str) -> bool:
    """Whether a squashed or rebased landing is among the target's newest commits."""
    mark = f"Orchestrate-Landed: {landing.head}"
    log = _git(home, "log", "-200", "--format=%B", f"{landing.onto}..{onto}")
    return mark in log.splitlines()


def message_of(landing: Landing, family: str, title: str) -> str:
    """The message of the commit that lands a family."""
    subject = f"{family}: {title}" if title else f"Land {family}"
    trailers = f"Orchestrate-Ticket: {family}\nOrchestrate-Landed: {landing.head}"
    return f"{subject}\n\n{trailers}\n"


def _advance_checked_out(home: Path, onto: str, commit: str) -> None:
    """Move the branch that is checked out, with its files.

    A file that is neither as before nor as it will be is a person's: then nothing is done.
    """
    names = split_names(run_git(home, "diff", "--name-only", "--no-renames", "-z", onto, commit))
    top = Path(_git(home, "rev-parse", "--show-toplevel"))
    dirty: list[str] = []
    ours: list[str] = []
    status = run_git(
        top, *("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all"),
        *("--ignored=matching", "--", *names),
    )  # fmt: skip
    for entry in split_names(status):
        name = entry[3:]
        if name not in names:
            continue
        # a killed attempt may have written it already
        (ours if _is_as_in(top, commit, name) else dirty).append(name)
    if dirty:
        raise LandingError(
            f"{', '.join(dirty[:8])}: edited in the main checkout and not committed; commit or "
            "stash it, then approve again"
        )
    if ours:
        _restore(top, onto, ours)
    _run(top, ["git", "merge", "--quiet", "--ff-only", commit])


def _is_as_in(top: Path, commit: str, name: str) -> bool:
    file = top / name
    wanted = _git_or(top, "", "rev-parse", "--verify", f"{commit}:{name}")
    if not file.is_file() or file.is_symlink():
        return not wanted and not file.exists()
    return _git(top, "hash-object", "--", name) == wanted


def _restore(top: Path, commit: str, names: Sequence[str]) -> None:
    """Put files back to a commit's version, so that git moves them itself."""
    there = [n for n in names if _git_or(top, "", "rev-parse", "--verify", f"{commit}:{n}")]
    if there:
        _git(top, "checkout", "--quiet", commit, "--", *there)
    gone = [n for n in names if n not in there]
    if gone:
        _git(top, "rm", "--quiet", "--cached", "--ignore-unmatch", "--", *gone)
    for name in gone:
        (top / name).unlink(missing_ok=True)


def _open_pull_request(checkout: Checkout, landing: Landing) -> str:
    """Push the branch and run the team's command."""
    home = checkout.home
    ref = f"refs/heads/{landing.branch}"
    _run(home, ["git", "update-ref", ref, checkout.head])
    remotes = _git(home, "remote").split()
    if not remotes:
        raise LandingError("there is no remote to push to (git remote add …)")
    remote = "origin" if "origin" in remotes else remotes[0]
    _run(home, ["git", "push", "--quiet", remote, f"+{ref}:{ref}"])
    values = {"branch": landing.branch, "target": landing.target, "remote": remote}
    command = [word.format_map(_Known(values)) for word in landing.pull_request]
    said = _run(home, command)
    return f"pushed to {remote}; {command[0]}: {said or 'done'}"


class _Known(dict[str, str]):
    """Values of a template; other braces stay as they are."""

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


def _run(root: Path, command: Sequence[str]) -> str:
    """Run a command with the repository's hooks; raises LandingError with its last words."""
    done = run_hooked(root, command)
    if done.code:
        why = done.refusal_by(done.hook) if done.hook else done.last_words or f"code {done.code}"
        raise LandingError(f"{' '.join(command[:2])}: {why}")
    return done.last_words


def _git(root: Path, *words: str, settings: dict[str, str] | None = None) -> str:
    return os.fsdecode(run_git(root, *words, settings=settings or {})).rstrip("\n")


def _git_or(root: Path, default: str, *words: str) -> str:
    try:
        return _git(root, *words)
    except GitError:
        return default


def _is_ancestor(root: Path, commit: str, of: str) -> bool:
    try:
        run_git(root, "merge-base", "--is-ancestor", commit, of)
    except GitError:
        return False
    return True
