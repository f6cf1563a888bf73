"""Landing: what a family committed in its checkout goes into the branch from which it began.

Everything here can be done again after a kill: the result is one commit, made before the branch
moves, and a branch that holds it already is left as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.errors import OrchestrateError
from orchestrator.git.command import GitError, run_git, split_names
from orchestrator.git.hooked import run_hooked
from orchestrator.workspaces.checkout import Checkout, identity_of

#: paths in one command of git
_AT_ONCE = 1000
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
        values = {"how": Merge(data["how"]), "pull_request": tuple(data["pull_request"])}
        return cls(**{**data, **values})


class LandingError(OrchestrateError):
    """It cannot land as things are; nothing has changed."""

    code = "cannot-land"


def plan_landing(
    checkout: Checkout, how: Merge, pull_request: Sequence[str] = ()
) -> Landing | None:
    """What the checkout's commits would land; None if there are none. Raises GitError."""
    head, onto = checkout.head, tip(checkout)
    fork = _fork(checkout, onto, head)
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
    """The target's newest commit. Raises LandingError if the branch is gone."""
    name, home = checkout.lands_in, checkout.home
    if found := _git_or(home, "", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
        return found
    raise LandingError(
        f"the branch `{checkout.target}`, into which {checkout.family} lands, is gone",
        path=home,
        hint=f"git branch {checkout.target} <commit>, then run again; the work is in "
        f"{checkout.kept}",
    )


def _fork(checkout: Checkout, onto: str, head: str) -> str:
    """Where the checkout's branch has left the target. Raises LandingError if it never was on it"""
    try:
        return checkout.git("merge-base", onto, head)
    except GitError as exc:
        raise LandingError(
            f"`{checkout.target}` and `{checkout.branch}` have no commit in common any more",
            path=checkout.home,
            hint=f"what was made is in {checkout.kept}: join it by hand, or reopen the ticket",
        ) from exc


def fork_of(checkout: Checkout) -> str:
    """The target's newest commit that the checkout's branch holds."""
    return _fork(checkout, tip(checkout), checkout.head)


def is_behind(checkout: Checkout, commit: str) -> bool:
    """Whether a commit descends from the checkout's own."""
    return checkout.head != commit and _is_ancestor(checkout.run, checkout.head, commit)


def is_landed(checkout: Checkout, landing: Landing) -> bool:
    """Whether the target holds it: its commits, or the one that was made of them."""
    home, onto = checkout.home, tip(checkout)
    if _is_ancestor(partial(run_git, home), checkout.head, onto):
        return True
    mark = f"^Orchestrate-Landed: {landing.head}$"
    return bool(_git(home, "log", "-1", "--format=%H", f"--grep={mark}", f"{landing.onto}..{onto}"))


def moved(checkout: Checkout, board: str) -> list[str]:
    """The paths, apart from the board's, that the target has changed since the checkout's branch
    last held all of it.
    """
    newest = tip(checkout)
    fork = _fork(checkout, newest, checkout.head)
    output = checkout.run("diff", "--name-only", "--no-renames", "-z", fork, newest)
    prefix = f"{checkout.below}/{board}/" if checkout.below else f"{board}/"
    return [path for path in split_names(output) if not path.startswith(prefix)]


def patch_of(checkout: Checkout, before: str, after: str) -> str:
    """An id of what lies between two commits, whatever their ancestors are."""
    words = ("diff", "--no-ext-diff", "--no-textconv", "--full-index", "--binary", before, after)
    return checkout.git("patch-id", "--stable", stdin=checkout.run(*words)).split(" ")[0]


def join(checkout: Checkout) -> str:
    """The commit in which the checkout's branch and the target meet; nothing moves yet.

    Raises LandingError naming the files that conflict.
    """
    newest, head = tip(checkout), checkout.head
    return commit_join(checkout, newest, head, _merged(checkout, newest, head, checkout.run))


def commit_join(checkout: Checkout, onto: str, head: str, tree: str) -> str:
    """The commit of a joined tree, with both sides as parents."""
    text = f"Merge {checkout.target} into {checkout.branch}"
    return checkout.git("commit-tree", tree, "-p", head, "-p", onto, "-m", text)


def go_to(checkout: Checkout, commit: str) -> None:
    """Take the checkout, with its files, to a commit that descends from its own.

    Raises LandingError if a file is neither as it was nor as it will be.
    """
    if (head := checkout.head) != commit:
        _write_ahead(checkout.top, checkout.run, head, commit, "the family's checkout")
        checkout.git("merge", "--quiet", "--ff-only", "--no-verify-signatures", commit)
    checkout.keep()


def _merged(checkout: Checkout, onto: str, head: str, run: Callable[..., bytes]) -> str:
    """The tree of two commits joined, in the repository of `run`. Raises LandingError."""
    try:
        tree, conflicts = merge_trees(onto, head, run)
    except GitError as exc:
        tree, conflicts = "", [exc.reason]
    if conflicts:
        raise LandingError(
            f"`{checkout.target}` has moved, and what it changed conflicts in "
            f"{', '.join(conflicts)}; send it back to have that resolved"
        )
    return tree


def merge_trees(onto: str, head: str, run: Callable[..., bytes]) -> tuple[str, list[str]]:
    """The tree of two commits joined, and the paths that conflict, which it has with marks.

    Raises GitError if they cannot be joined at all.
    """
    words = ("merge-tree", "--write-tree", "--no-messages", "--name-only", "-z", onto, head)
    try:
        printed = run(*words)
    except GitError as exc:
        if not exc.output:
            raise
        printed = exc.output
    tree, *conflicts = split_names(printed)
    return tree, list(dict.fromkeys(conflicts))


def land(checkout: Checkout, landing: Landing, message: str) -> str:
    """Let the target hold what has landed; what it did, in words.

    Raises LandingError if nothing was done, GitError where git fails.
    """
    checkout.keep()
    if landing.pull_request:
        return _open_pull_request(checkout, landing)
    home, onto = checkout.home, tip(checkout)
    head = checkout.head
    if is_landed(checkout, landing):
        return f"`{landing.target}` holds it already: {onto[:10]}"
    commit = _make_commit(checkout, landing.how, onto, head, message)
    if (top := _checked_out_in(home, landing.target)) is not None:
        _advance_checked_out(top, onto, commit)
    else:
        _run(home, ["git", "update-ref", f"refs/heads/{landing.target}", commit, onto])
    return f"`{landing.target}` is {commit[:10]} now (was {onto[:10]})"


def _checked_out_in(home: Path, target: str) -> Path | None:
    """The work tree in which a branch is checked out: this one, or another of the repository."""
    if _git_or(home, "", "symbolic-ref", "--quiet", "HEAD") == f"refs/heads/{target}":
        return Path(_git(home, "rev-parse", "--show-toplevel"))
    for tree in _git(home, "worktree", "list", "--porcelain").split("\n\n"):
        lines = tree.splitlines()
        if f"branch refs/heads/{target}" in lines and "bare" not in lines:
            return Path(lines[0].removeprefix("worktree "))
    return None


def _make_commit(checkout: Checkout, how: Merge, onto: str, head: str, message: str) -> str:
    """The commit that the target will be at, made of what it is and what lands."""
    home = checkout.home
    if how is Merge.FAST_FORWARD and _is_ancestor(partial(run_git, home), onto, head):
        return head
    tree = _merged(checkout, onto, head, partial(run_git, home))
    if how is Merge.FAST_FORWARD:
        try:
            return _replay(checkout, onto, head, tree, message)
        except LandingError:
            # what resolved a conflict is in a merge: all of it becomes one commit
            if not checkout.git("rev-list", "--merges", "-1", head, f"^{onto}"):
                raise
    parents = ("-p", onto, *(("-p", head) if how is Merge.COMMIT else ()))
    words = ("commit-tree", tree, *parents, "-m", message)
    return _git(home, *words, settings=_author(home))


def _replay(checkout: Checkout, onto: str, head: str, tree: str, message: str) -> str:
    """The commits of a branch, one by one on top of another; the last says what it landed."""
    home, fork = checkout.home, _fork(checkout, onto, head)
    words = ("rev-list", "--reverse", "--topo-order", "--no-merges", head, f"^{onto}", f"^{fork}")
    commits = _git(home, *words).split()
    author = _author(home)
    for number, commit in enumerate(commits, 1):
        # two commits whose common parent is the commit's own: what merging them gives
        base = _git(home, "commit-tree", f"{commit}^^{{tree}}", "-m", "base", settings=author)
        sides = [
            _git(home, "commit-tree", f"{c}^{{tree}}", "-p", base, "-m", "side", settings=author)
            for c in (onto, commit)
        ]
        now = _merged(checkout, sides[0], sides[1], partial(run_git, home))
        text = _git(home, "log", "-1", "--format=%B", commit)
        if number == len(commits):
            text = f"{text.rstrip()}\n\n{message.rstrip().rpartition(chr(10) * 2)[2]}\n"
        name, mail, at = _git(home, "log", "-1", "--format=%an%n%ae%n%ad", commit).split("\n")
        env = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": mail, "GIT_AUTHOR_DATE": at}
        made = ("commit-tree", now, "-p", onto, "-m", text)
        onto = _git(home, *made, settings=author, env=env)
    if _git(home, "rev-parse", f"{onto}^{{tree}}") != tree:
        raise LandingError(
            f"the commits of `{checkout.branch}`, one by one on top of `{checkout.target}`, do not "
            'give what was proven: set `merge = "squash"` or "no-ff" in [workspaces]'
        )
    return onto


def _author(home: Path) -> dict[str, str]:
    return {**identity_of(home), "commit.gpgSign": "false"}


def message_of(landing: Landing, family: str, title: str) -> str:
    """The message of the commit that lands a family."""
    subject = f"{family}: {title}" if title else f"Land {family}"
    trailers = f"Orchestrate-Ticket: {family}\nOrchestrate-Landed: {landing.head}"
    return f"{subject}\n\n{trailers}\n"


def _advance_checked_out(top: Path, onto: str, commit: str) -> None:
    """Move the branch that is checked out in a work tree, with its files."""
    _write_ahead(top, partial(run_git, top), onto, commit)
    _run(top, ["git", "merge", "--quiet", "--ff-only", commit])


def _write_ahead(
    top: Path, run: Callable[..., bytes], onto: str, commit: str, where: str = "the main checkout"
) -> None:
    """Make ready for git to move a work tree from a commit to another.

    A file that is neither as before nor as it will be is a person's: LandingError. One that a
    killed attempt has written already is put back, so that git writes it itself.
    """
    names = split_names(run("diff", "--name-only", "--no-renames", "-z", onto, commit))
    status: list[str] = []
    for at in range(0, len(names), _AT_ONCE):
        status += split_names(
            run("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all",
                "--ignored=matching", "--", *names[at : at + _AT_ONCE])
        )  # fmt: skip
    known, dirty, ours = set(names), list[str](), list[str]()
    for entry in status:
        staged, name = entry[0], entry[3:]
        if name in known:
            is_ours = _is_as_in(top, run, commit, name)
            if is_ours and staged not in " ?!":
                is_ours = _blob(run, f":{name}") in (_blob(run, f"{commit}:{name}"), "")
            (ours if is_ours else dirty).append(name)
    if dirty:
        more = f" and {len(dirty) - 8} more" if len(dirty) > 8 else ""
        raise LandingError(
            f"{', '.join(dirty[:8])}{more}: edited in {where} and not committed; commit or stash "
            "it, then approve again"
        )
    if ours:
        _restore(top, run, onto, ours)


def _blob(run: Callable[..., bytes], name: str) -> str:
    try:
        return os.fsdecode(run("rev-parse", "--verify", "--quiet", name)).strip()
    except GitError:
        return ""


def _is_as_in(top: Path, run: Callable[..., bytes], commit: str, name: str) -> bool:
    file, wanted = top / name, _blob(run, f"{commit}:{name}")
    if file.is_symlink():
        target = os.fsencode(file.readlink())
        return os.fsdecode(run("hash-object", "--stdin", stdin=target)).strip() == wanted
    if not file.is_file():
        return not wanted and not file.exists()
    return os.fsdecode(run("hash-object", "--", name)).strip() == wanted


def _restore(top: Path, run: Callable[..., bytes], commit: str, names: Sequence[str]) -> None:
    """Put files back to a commit's version, so that git moves them itself."""
    there = [n for n in names if _blob(run, f"{commit}:{n}")]
    gone = [n for n in names if n not in there]
    for at in range(0, len(there), _AT_ONCE):
        run("checkout", "--quiet", commit, "--", *there[at : at + _AT_ONCE])
    for at in range(0, len(gone), _AT_ONCE):
        few = gone[at : at + _AT_ONCE]
        run("rm", "--quiet", "--cached", "--ignore-unmatch", "--", *few)
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
    _run(home, ["git", "push", "--quiet", remote, f"+{ref}:{ref}"], keys=True)
    values = {"branch": landing.branch, "target": landing.target, "remote": remote}
    command = [word.format_map(_Known(values)) for word in landing.pull_request]
    said = _run(home, command, keys=True)
    return f"pushed to {remote}; {command[0]}: {said or 'done'}"


class _Known(dict[str, str]):
    """Values of a template; other braces stay as they are."""

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


def _run(root: Path, command: Sequence[str], *, keys: bool = False) -> str:
    """Run a command with the repository's hooks; raises LandingError with its last words."""
    done = run_hooked(root, command, keys=keys)
    if done.code:
        why = done.refusal_by(done.hook) if done.hook else done.last_words or f"code {done.code}"
        raise LandingError(f"{' '.join(command[:2])}: {why}")
    return done.last_words


def _git(root: Path, *words: str, **options: Any) -> str:
    return os.fsdecode(run_git(root, *words, **options)).rstrip("\n")


def _git_or(root: Path, default: str, *words: str) -> str:
    try:
        return _git(root, *words)
    except GitError:
        return default


def _is_ancestor(run: Callable[..., bytes], commit: str, of: str) -> bool:
    try:
        run("merge-base", "--is-ancestor", commit, of)
    except GitError:
        return False
    return True
