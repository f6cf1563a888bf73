"""Ids for new tickets that no other ticket has, had or is given (docs/decisions/0010-ids.md).

One clone gives out plain numbers (WO-232), each other one puts its own letters first (WO-KDRT7).
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.domain.id_grammar import (
    can_have_lettered_children,
    has_letters,
    id_from_head,
    id_from_name,
    numbers_in,
)
from orchestrator.errors import OrchestrateError
from orchestrator.git.repository import ID_HEAD, Repository
from orchestrator.storage import atomic, syscalls
from orchestrator.storage.locks import family_lock
from orchestrator.tickets.board import Board

#: the file of the board that names the clone which gives out plain numbers
HOME = ".home"
PREFIX = "WO"
#: no vowels (they make words), none that looks like a digit
_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
_LETTERS = 4
_HOME_TEXT = """\
# The clone whose `orchestrate new` gives out plain numbers, once this is on the remote's main
# branch; the others put letters of their own before the number. Kept in git.
{key}
"""


# -- who gives out what --------------------------------------------------------------------------


@dataclass(frozen=True)
class Clone:
    """What identifies a clone: a key that no other has, and its letters."""

    key: str
    letters: str


def _load_clone(folder: Path, taken: Iterable[str]) -> Clone:
    """This clone's own key and letters, drawn at the first call.

    They are bound to the very file that holds them: a copy of the git folder draws again, and so
    does a clone whose letters others use (`taken`).
    """
    path, taken = folder / "clone", set(taken)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        held = json.loads(atomic.read(path))
        clone = Clone(str(held["key"]), str(held["letters"]))
        if held["mark"] == _file_mark(path) and clone.letters not in taken:
            return clone
    syscalls.remove(path)
    atomic.create(path, b"")
    letters = ""
    while not letters or letters in taken:
        letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS))
    clone = Clone(secrets.token_hex(16), letters)
    content = {"key": clone.key, "letters": clone.letters, "mark": _file_mark(path)}
    syscalls.append(path, json.dumps(content).encode() + b"\n", durable=True)
    return clone


def _file_mark(path: Path) -> str:
    """Identifies the file itself, not a copy of it: its inode on this machine."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = ""
    text = f"{machine or platform.node()} {path.stat().st_ino}"
    return atomic.sha256_bytes(text.encode("utf-8", "replace"))[:16]


def claim(board: Board) -> bool:
    """Make this clone the one that gives out plain numbers, unless there is one.

    False without git, or if a clone is named already. The claim counts once it is committed and on
    the remote's main branch, so that of several claims one wins.
    """
    repository, path = Repository.of(board.root), board.path / HOME
    if repository is None or path.exists():
        return False
    folder = repository.common / "orchestrate"
    with family_lock(folder, "new ticket", wait=True):
        clone = _load_clone(folder, ())
        with contextlib.suppress(FileExistsError):
            atomic.create(path, _HOME_TEXT.format(key=clone.key).encode())
            return True
    return False


def _own_letters(
    board: Board, repository: Repository, folder: Path, taken: set[str], issued: set[str]
) -> str:
    """The letters of this clone, "" if plain numbers are its own.

    They are if there is no remote, or the main branches of all remotes name this clone.
    """
    own = {number for id in issued for number in numbers_in(id)}
    lettered = filter(has_letters, taken)
    foreign = {each[0] for name in lettered for each in numbers_in(name) if each not in own}
    clone = _load_clone(folder, foreign)
    branches = [repository.default_branch(remote) for remote in repository.remotes]
    if repository.shallow or not all(branches):
        return clone.letters
    claims = repository.read_heads(
        [f"{branch}:{repository.prefix}{_board_folder(board)}/{HOME}" for branch in branches]
    )
    is_home = all(clone.key.encode() in claim.splitlines() for claim in claims)
    return "" if is_home else clone.letters


def _board_folder(board: Board) -> str:
    return board.path.relative_to(board.root).as_posix()


# -- what is taken -------------------------------------------------------------------------------


@dataclass
class _Ledger:
    """What was seen of a board's past, and what was given out; one JSON file for all boards."""

    path: Path
    #: the board's folder, relative to the top of the repository
    board: str
    #: the commits that were read already
    tips: set[str] = field(default_factory=set)
    #: ids and file names that were ever committed
    seen: set[str] = field(default_factory=set)
    #: ids that were given out here, whether a ticket was then kept or not
    issued: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, path: Path, board: str) -> _Ledger:
        """The ledger; an empty one if the file is missing or broken."""
        held = _load_json(path).get(board, {})
        parts = (held.get(key, ()) for key in ("tips", "seen", "issued"))
        return cls(path, board, *(set(map(str, part)) for part in parts))

    def save(self) -> None:
        own = {key: sorted(getattr(self, key)) for key in ("tips", "seen", "issued")}
        boards = {**_load_json(self.path), self.board: own}
        atomic.replace(self.path, json.dumps(boards, ensure_ascii=True).encode())

    def read_new_commits(self, repository: Repository, folder: str) -> None:
        """Add what was committed since the last time."""
        tips = repository.tips()
        if tips == self.tips:
            return
        try:
            written = set(repository.committed_files(folder, tips, self.tips))
        except OrchestrateError:
            # a commit that was read once is gone: everything is read again
            written = set(repository.committed_files(folder, tips, ()))
        blobs = sorted({blob for name, blob in written if name.lower().endswith(".md")})
        names = {name for name, _ in written} | set(map(id_from_head, repository.read_heads(blobs)))
        self.seen |= {name for name in names if any(numbers_in(name))}
        self.tips = tips


def _load_json(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(atomic.read(path))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _names_in_worktrees(repository: Repository, board: Board, known: set[str]) -> set[str]:
    """Ids and names on the boards of the other worktrees, where nothing may be committed yet."""
    found: set[str] = set()
    for tree in repository.worktrees:
        folder = tree.path / repository.prefix / _board_folder(board)
        if folder.is_dir() and not folder.samefile(board.path):
            for parent, _, names in os.walk(folder):
                for name in set(names) - known:
                    found |= {name, _id_in_file(Path(parent, name))}
    return found


def _id_in_file(path: Path) -> str:
    """The id that a file gives, "" if it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            return id_from_head(file.read(ID_HEAD))
    except OSError:
        return ""


# -- giving out ----------------------------------------------------------------------------------


class Ids:
    """The ids of one board, while nobody else can be given one."""

    def __init__(self, letters: str, taken: set[str], ledger: _Ledger) -> None:
        #: what precedes this clone's numbers, "" for plain ones
        self.letters = letters
        self._taken = taken
        self._ledger = ledger

    def new(self) -> str:
        """The next id: WO-232, or WO-KDRT7 in a clone with letters."""
        used = [n for name in self._taken for at, n in numbers_in(name) if at == self.letters]
        number = max(used, default=0) + 1
        width = 0 if self.letters else 3
        while (id := f"{PREFIX}-{self.letters}{number:0{width}d}") in self._taken:
            number += 1
        return self._issue(id)

    def child(self, parent: str) -> str:
        """The next id of a child: WO-231c after WO-231a and WO-231b.

        Clones cannot share the letters of children. So in a clone with letters, and if the parent's
        id takes none (WO-231a, WO-CALENDAR) or z is taken, it is a new number.
        """
        if self.letters or not can_have_lettered_children(parent):
            return self.new()
        stem = rf"{re.escape(parent)}-?([A-Za-z])(?![A-Za-z0-9])"
        used = {m[1].lower() for name in self._taken if (m := re.match(stem, name))}
        last = max(used, default="`")
        return self.new() if last == "z" else self._issue(f"{parent}{chr(ord(last) + 1)}")

    def _issue(self, id: str) -> str:
        self._taken.add(id)
        self._ledger.issued.add(id)
        self._ledger.save()
        return id


@contextlib.contextmanager
def allocation(board: Board) -> Iterator[Ids]:
    """The ids of a board, locked for all processes and worktrees of its repository.

    Keep it until the ticket is written. Raises OrchestrateError (code `git`) if the repository
    cannot be read, DiskError if nothing can be recorded in it.
    """
    repository = Repository.of(board.root)
    state = board.root / ".orchestrate" / "state"
    folder = repository.common / "orchestrate" if repository else state
    place = f"{repository.prefix if repository else ''}{_board_folder(board)}"
    with family_lock(folder, "new ticket", wait=True):
        ledger = _Ledger.load(folder / "ids.json", place)
        taken = board.names()
        letters = ""
        if repository is not None:
            ledger.read_new_commits(repository, _board_folder(board))
            taken |= _names_in_worktrees(repository, board, taken | ledger.seen)
            letters = _own_letters(board, repository, folder, taken | ledger.seen, ledger.issued)
        taken |= ledger.seen | ledger.issued
        # ids, also in place of the file names that begin with them
        yield Ids(letters, {id_from_name(name) or name for name in taken}, ledger)
