"""What goes from the conductor to a worker and back: the job, the board's files, git's commits.

Neither side believes the other: what comes is read into these types, paths stay below their
folder, and no hook and no setting of a repository that an agent could write runs anything.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from orchestrator.domain.agent import Job, Report
from orchestrator.errors import OrchestrateError
from orchestrator.git.command import QUIET, GitError, plain_environment, read_raw, run_git

#: bytes of a parcel's files together, and of a bundle
MOST_BYTES, MOST_BUNDLE = 32 * 1024**2, 64 * 1024**2
#: where a family's work lies: for those who push branches, and in the workspace's own repository
BRANCHES, HIDDEN = "refs/heads/work/", "refs/orchestrate/jobs/"
#: the name of what an agent made, in a bundle
MADE = "refs/orchestrate/made"
#: seconds for git over a network
_NETWORK = 600.0
#: the only ways by which git may fetch or push
_PROTOCOLS = {"GIT_ALLOW_PROTOCOL": "file:https:ssh", "GIT_TERMINAL_PROMPT": "0"}
_NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Orchestrate"), ("EMAIL", "orchestrate@localhost"))
}

Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}(?:[0-9a-f]{24})?$")]
Reference = Annotated[
    str,
    StringConstraints(pattern=r"^refs/(?:heads/work|orchestrate/jobs)/[^\s~^:?*\[\\]{1,200}$"),
]


def _below(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path or path.startswith("-"):
        raise ValueError(f"{path!r} is not a path below the workspace")
    return path


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Carried(_Message):
    """A file that is not in the commits: a ticket, the history."""

    path: str
    #: base64
    data: str
    executable: bool = False

    _path = field_validator("path")(_below)


class Parcel(_Message):
    """A job, and all that a worker needs for it."""

    job: Job
    #: who does the work at home: `use`, `model` and `effort` of [agents.NAME]
    use: str = Field(max_length=40)
    model: str = Field(default="", pattern=r"^[\w.:/@+-]{0,120}$")
    effort: str = Field(default="", pattern=r"^[\w.-]{0,40}$")
    #: where the commits are, and how they came there
    repository: str = Field(max_length=2000)
    reference: Reference
    #: the branch that the agent finds itself on, the commit below it, and the files as they are
    branch: str = Field(pattern=r"^work/[^\s~^:?*\[\\]{1,200}$")
    head: Commit
    commit: Commit
    #: the workspace below the top of its repository, and the board below the workspace
    below: str
    board: str
    files: tuple[Carried, ...] = Field(default=(), max_length=5000)
    #: the span in which it was given out, as `traceparent`
    trace: str = Field(default="", pattern=r"^(?:00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})?$")

    _paths = field_validator("below", "board")(_below)

    @model_validator(mode="after")
    def _of_the_board(self) -> Parcel:
        # settings, checks and programs are the worker's own
        for file in self.files:
            if not PurePosixPath(file.path).is_relative_to(PurePosixPath(self.board)):
                raise ValueError(f"{file.path!r} is not a file of the board")
        if PurePosixPath(self.board) == PurePosixPath("."):
            raise ValueError("the board is not a folder of its own")
        return self

    @field_validator("repository")
    @classmethod
    def _no_option(cls, address: str) -> str:
        if not re.match(r"(?:(?:ssh|https|file)://|[\w.-]+@[\w.-]+:|/)", address):
            raise ValueError(f"{address!r} is not an address by ssh, https or file")
        return address


class Result(_Message):
    """What a worker gives back."""

    report: Report
    #: commits of the agent, and the files as it left them
    head: Commit
    commit: Commit
    #: where they were pushed; "": they are in the bundle, or nothing has changed
    reference: Reference | str = Field(default="", max_length=300)
    worker: str = Field(default="", max_length=200)


def carry(root: Path, paths: Iterable[Path]) -> tuple[Carried, ...]:
    """The files of a workspace, to be laid down elsewhere. Raises OrchestrateError for too much."""
    found, size = list[Carried](), 0
    for path in sorted(set(paths)):
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        size += len(data)
        if size > MOST_BYTES:
            raise OrchestrateError(
                f"the family's tickets and settings are larger than {MOST_BYTES >> 20} MB",
                path=path,
                hint="put large files into the repository instead",
            )
        name = path.relative_to(root).as_posix()
        text = base64.b64encode(data).decode("ascii")
        found.append(Carried(path=name, data=text, executable=os.access(path, os.X_OK)))
    return tuple(found)


def lay_down(files: Iterable[Carried], root: Path) -> None:
    """Write carried files below a folder."""
    for file in files:
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(file.data))
        path.chmod(0o755 if file.executable else 0o644)


def digest(*texts: str) -> str:
    """A name for a folder or a reference that nobody else chose."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:20]


# -- git -----------------------------------------------------------------------------------------


def git(
    folder: Path, *words: str, tree: Path | None = None, index: Path | None = None, **options: Any
) -> str:
    """What git prints about a git folder whose settings are ours. Raises GitError."""
    own: dict[str, str] = {"GIT_DIR": str(folder), **options.pop("env", {})}
    if tree is not None:
        own["GIT_WORK_TREE"] = str(tree)
    if index is not None:
        own["GIT_INDEX_FILE"] = str(index)
    settings = {**QUIET, **options.pop("settings", {})}
    printed = run_git(tree or folder, *words, env=own, settings=settings, **options)
    return os.fsdecode(printed).rstrip("\n")


def git_afar(folder: Path, *words: str, settings: Mapping[str, str] | None = None) -> None:
    """Let git fetch or push with the user's own keys. Raises GitError."""
    known = {**QUIET, "protocol.file.allow": "always", **(settings or {})}
    options = [word for name, value in known.items() for word in ("-c", f"{name}={value}")]
    try:
        done = subprocess.run(
            ["git", *options, *words],
            cwd=folder,
            env={**plain_environment(keys=True), **_PROTOCOLS, "GIT_DIR": str(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_NETWORK,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise GitError(folder, str(exc)) from exc
    if done.returncode:
        # ssh and servers say why first; git ends with what may be wrong
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = (line.strip("@ ") for line in said if not line.startswith("Warning:"))
        raise GitError(folder, next(filter(None, why), f"exit code {done.returncode}"))


def fetch(folder: Path, source: str, *references: str) -> None:
    """Fetch references, checking every object. Raises GitError."""
    git_afar(
        folder,
        *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc"),
        *("--no-recurse-submodules", "--upload-pack", "git-upload-pack"),
        *("--", source, *references),
        settings={"fetch.fsckObjects": "true"},
    )


def write_tree(
    folder: Path, tree: Path, index: Path, board: str, settings: Mapping[str, str] | None = None
) -> str:
    """The files of a work tree as git's tree, the board left as it is in the index."""
    words = ("add", "--all", "--", ".", f":(exclude,top){board}")
    plain = {"GIT_LITERAL_PATHSPECS": "0"}
    git(folder, *words, tree=tree, index=index, env=plain, settings=settings or {})
    return git(folder, "write-tree", tree=tree, index=index)


def commit_tree(folder: Path, tree: str, parent: str, message: str) -> str:
    """A commit of a tree: the same one each time."""
    date = git(folder, "show", "--no-patch", "--format=%ct", parent)
    dates = {"GIT_AUTHOR_DATE": f"{date} +0000", "GIT_COMMITTER_DATE": f"{date} +0000"}
    words = ("commit-tree", tree, "-p", parent, "-m", message)
    return git(folder, *words, env={**_NOBODY, **dates})


def is_ancestor(folder: Path, older: str, newer: str) -> bool:
    try:
        git(folder, "merge-base", "--is-ancestor", older, newer)
    except GitError:
        return False
    return True


def changed(folder: Path, before: str, after: str) -> dict[str, bool]:
    """Path → whether it became a repository of its own, for what two commits differ in."""
    words = ("diff-tree", "-r", "--no-renames", "--no-ext-diff", "-z", before, after)
    return read_raw(git(folder, *words))
