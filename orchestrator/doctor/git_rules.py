"""What git says: tickets that are gone, the commits that removed them, files not to be tracked."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.doctor.board_view import BoardView
from orchestrator.domain.id_grammar import id_from_name
from orchestrator.domain.keys import ID_KEYS
from orchestrator.errors import OrchestrateError
from orchestrator.git.commits import Committer
from orchestrator.git.folder import find_git_folder
from orchestrator.git.ignoring import STATE, tracked_state
from orchestrator.git.repository import TrackedFolder
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.problem import Diagnosis
from orchestrator.storage import atomic
from orchestrator.storage.history import FOLDER
from orchestrator.tickets.ticket import Ticket

if TYPE_CHECKING:
    from orchestrator.tickets.board import Board

#: how many removed files are read from git; the id of the others is taken from the name
_READ = 500
#: a git command is over after so many seconds, or was killed
_LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class LastSeen:
    """The tickets that the last run on the whole board saw: path → id."""

    path: Path

    @classmethod
    def of(cls, board: Board) -> LastSeen:
        """Where they are kept for a board."""
        return cls(board.root / ".orchestrate" / "state" / "doctor.json")

    def load(self) -> dict[str, str]:
        """Empty if there was no such run or the file is broken."""
        try:
            held = json.loads(atomic.read(self.path))
        except (OSError, OrchestrateError, ValueError, RecursionError):
            return {}
        if not isinstance(held, dict):
            return {}
        return {k: v for k, v in held.items() if isinstance(v, str)}

    def store(self, tickets: Sequence[Ticket]) -> None:
        """Keep these; on a full or read-only disk they are not kept."""
        data = json.dumps({t.source: t.id for t in tickets}, ensure_ascii=True).encode("ascii")
        with contextlib.suppress(OSError, OrchestrateError):
            if not self.path.exists() or atomic.read(self.path) != data:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                atomic.replace(self.path, data)


def find_lost_tickets(view: BoardView) -> Iterator[Diagnosis]:
    """Tickets that git or the last run knows and that are nowhere on the board."""
    root, folders = view.board.root, view.board.folders
    on_board = [*view.tickets, *view.notes]
    names, ids = {t.path.name for t in on_board}, {t.id for t in on_board}
    git = TrackedFolder(root, folders.board)

    def may_be_ticket(path: str) -> bool:
        name = Path(path).name
        below = Path(path).parent.as_posix().removeprefix(folders.board).strip("/")
        hidden = name.startswith(".") or "/." in path or ".conflict-" in name
        placed = folders.role_of(below) is not None or bool(id_from_name(name))
        return name.lower().endswith(".md") and placed and not hidden and name not in names

    removed = [n for n in git.removed() if may_be_ticket(n) and _is_gone(root / n)]
    contents = git.committed_texts(removed[:_READ])
    reported = set[str]()
    for path in removed:
        own = ""
        if path in contents:
            own = Document.parse(contents[path]).text(*ID_KEYS)
        id = own or id_from_name(Path(path).name) or Path(path).stem
        if id not in ids:
            reported.add(id)
            message = f"{id} is gone; it is in the last commit"
            yield Diagnosis("lost", message, 0, f"git checkout HEAD -- {shlex.quote(path)}", path)
    seen = LastSeen.of(view.board).load()
    gone = sorted(
        path
        for path, id in seen.items()
        if id not in ids | reported
        and Path(path).name not in names
        and path not in removed
        and _is_gone(root / path)
    )
    commits = git.removals(set(gone)) if gone else {}
    for path in gone:
        if commit := commits.get(path, ""):
            message = f"{seen[path]} is gone; it was removed by commit {commit}"
            hint = f"git checkout {commit.partition(' ')[0]}^ -- {shlex.quote(path)}"
        else:
            message = f"{seen[path]} was here at the last run and is gone; git does not know it"
            hint = "look in backups, or in .orchestrate/state/displaced"
        yield Diagnosis("lost", message, 0, hint, path)


def find_tracked_state(view: BoardView) -> Iterator[Diagnosis]:
    """The conductor's own files, where git tracks them: every run changes some of them."""
    tracked = tracked_state(view.board.root)
    if tracked:
        files = f"{len(tracked)} files" if len(tracked) > 1 else "a file"
        message = f"git tracks {files} of the conductor's own, such as {tracked[0]}"
        hint = f"git rm -r -q --cached {STATE}, and commit that; the files stay on disk"
        yield Diagnosis("state-tracked", message, 0, hint, STATE)


def find_uncommitted_bases(view: BoardView) -> Iterator[Diagnosis]:
    """Settings and workflows that git lacks, though it has the families that follow them."""
    root = view.board.root
    receipts = TrackedFolder(root, f"{view.board.folders.board}/{FOLDER}").tracked()
    if not receipts:
        return
    wanted = {"orchestrate.toml": "the settings"}
    for parent, flow in view.readable_families():
        if f"{view.board.folders.board}/{FOLDER}/{parent.id}.jsonl" in receipts:
            wanted.setdefault(flow.workflow, f"the workflow of {parent.id}")
    tracked = TrackedFolder(root, ".").tracked()
    for name, what in wanted.items():
        # shipped ones and those outside are in no workspace's repository
        if name not in tracked and (root / name).is_file() and not Path(name).is_absolute():
            message = f"{what} is not in git, and its families are: clones and CI cannot follow it"
            if name == "orchestrate.toml":
                message = "the settings are not in git, and families are: clones and CI lack them"
            hint = f"git add -- {shlex.quote(name)}, and commit that"
            yield Diagnosis("not-in-git", message, 0, hint, name)


def find_missed_commits(view: BoardView) -> Iterator[Diagnosis]:
    """Families of which git lacks steps, and a lock that a killed git has left."""
    committer = Committer.of(view.board.root, view.settings.git)
    found = find_git_folder(view.board.root)
    if committer is None or found is None:
        return
    lock = found[1] / "index.lock"
    with contextlib.suppress(OSError):
        if time.time() - lock.lstat().st_mtime > _LOCK_SECONDS:
            message = "a killed git left its lock, so that nothing can be committed"
            hint = f"if no git runs here: rm {shlex.quote(str(lock))}"
            yield Diagnosis("not-committed", message, 0, hint, "")
    for parent, _ in view.readable_families():
        steps = committer.missing_steps(view.board.path / FOLDER / f"{parent.id}.jsonl")
        if steps:
            many = f"{len(steps)} steps" if len(steps) > 1 else "a step"
            message = f"git lacks {many} of {parent.id}, as a process was killed or git refused"
            yield Diagnosis(
                "not-committed", message, 0, f"orchestrate run {parent.id}", parent.source
            )


def _is_gone(path: Path) -> bool:
    """Whether there is no file; behind a folder that cannot be entered there may be one."""
    try:
        path.lstat()
    except PermissionError:
        return False
    except OSError:
        return True
    return False
