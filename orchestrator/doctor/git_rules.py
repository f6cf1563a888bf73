"""Tickets that are gone: which ones, which commit removed them, and how to bring them back."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.domain.folders import Folders
from orchestrator.errors import OrchestrateError
from orchestrator.git.repository import TrackedFolder
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.frontmatter_parser import Diagnosis
from orchestrator.storage import atomic
from orchestrator.tickets.id_grammar import id_from_name
from orchestrator.tickets.ticket import Ticket

if TYPE_CHECKING:
    from orchestrator.tickets.board import Board

#: how many removed texts are read from git; the id of the others is taken from the name
_READ = 500


@dataclass(frozen=True)
class Seen:
    """The tickets that the last look at the whole board saw: path → id."""

    path: Path

    def load(self) -> dict[str, str]:
        """Empty if there was no such look or the file is broken."""
        try:
            held = json.loads(atomic.read(self.path))
        except (OSError, OrchestrateError, ValueError, RecursionError):
            return {}
        if not isinstance(held, dict):
            return {}
        return {k: v for k, v in held.items() if isinstance(v, str)}

    def store(self, tickets: Sequence[Ticket]) -> None:
        """A disk that refuses costs only the memory."""
        told = json.dumps({t.source: t.id for t in tickets}, ensure_ascii=True).encode("ascii")
        if told != self._held():
            with contextlib.suppress(OSError, OrchestrateError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                atomic.replace(self.path, told)

    def _held(self) -> bytes:
        try:
            return atomic.read(self.path)
        except (OSError, OrchestrateError):
            return b""


def seen_on(board: Board) -> Seen:
    """Where the last look at a board is kept."""
    return Seen(board.root / ".orchestrate" / "state" / "doctor.json")


def of_history(
    board: Board, tickets: Sequence[Ticket], seen: Mapping[str, str]
) -> Iterator[Diagnosis]:
    """Tickets that git or the last look knows and that are nowhere on the board.

    `tickets` are all its tickets and notes.
    """
    git = TrackedFolder(board.root, board.folders.board)
    names = {t.path.name for t in tickets}
    ids = {t.id for t in tickets}
    removed = [n for n in git.removed() if _is_ticket(n, names, board.folders)]
    uncommitted = [n for n in removed if _is_gone(board.root / n)]
    texts = git.committed_texts(uncommitted[:_READ])
    for name in uncommitted:
        id = _id_of(name, texts.get(name))
        if id not in ids:
            message = f"{id} is gone; it is in the last commit"
            yield Diagnosis("lost", message, 0, _back("HEAD", name), name)
    known = {
        name
        for name, id in seen.items()
        if id not in ids and Path(name).name not in names and _is_gone(board.root / name)
    }
    yield from _since(git, sorted(known - set(uncommitted)), seen)


def _is_gone(path: Path) -> bool:
    """Whether nothing lies there; behind a folder that cannot be entered something may."""
    try:
        path.lstat()
    except PermissionError:
        return False
    except OSError:
        return True
    return False


def _since(git: TrackedFolder, gone: Sequence[str], seen: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Tickets that were there when the board was last looked at, and are gone."""
    removed = git.removals(set(gone)) if gone else {}
    for name in gone:
        commit = removed.get(name, "")
        if commit:
            message = f"{seen[name]} is gone; it was removed by commit {commit}"
            hint = _back(f"{commit.split(' ', 1)[0]}^", name)
        else:
            message = f"{seen[name]} was here at the last look and is gone; git does not know it"
            hint = "look in backups, or in .orchestrate/state/displaced"
        yield Diagnosis("lost", message, 0, hint, name)


def _back(commit: str, name: str) -> str:
    return f"git checkout {commit} -- {shlex.quote(name)}"


def _is_ticket(path: str, names: set[str], folders: Folders) -> bool:
    """Whether a removed file may have been a ticket that lies nowhere under that name."""
    name = Path(path).name
    below = Path(path).parent.as_posix().removeprefix(folders.board).strip("/")
    hidden = name.startswith(".") or "/." in path or ".conflict-" in name
    state = folders.role_of(below) is not None or bool(id_from_name(name))
    return name.lower().endswith(".md") and state and not hidden and name not in names


def _id_of(name: str, data: bytes | None) -> str:
    own = Document.parse(data).text("id", "work_order_id", "wo") if data is not None else ""
    return own or id_from_name(Path(name).name) or Path(name).stem
