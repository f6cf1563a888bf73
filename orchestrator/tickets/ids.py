"""Ids for new tickets that no other ticket has, had or is given (docs/decisions/0010-ids.md).

One clone gives out plain numbers (WO-232), each other one has letters of its own (WO-KDRT7).
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

from orchestrator.errors import OrchestrateError
from orchestrator.git.repository import Repository, id_in_file
from orchestrator.storage import atomic, syscalls
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import id_from_name

#: the file of the board that names the clone which gives out plain numbers
HOME = ".home"
PREFIX = "WO"
#: no vowels (they make words), none that is taken for a digit
_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
_LETTERS = 4
#: a longer number is a date, or somebody's joke
_SERIAL = re.compile(
    r"[A-Z][A-Z0-9]*[-_](?:EPIC-)?(?P<letters>[A-Z]{0,4})(?P<number>\d{1,6})(?!\d)"
    r"(?:-(?P<last>\d{3,6})(?!\d))?"
)
_LETTERED = re.compile(r"[A-Z][A-Z0-9]*[-_][A-Z]")
_PLAIN_PARENT = re.compile(r"[A-Z]+[-_][A-Z]{0,4}\d+")
_HOME_TEXT = """\
# The clone whose `orchestrate new` gives out plain numbers, once this lies on the remote's main
# branch; the others put letters of their own before the number. Kept in git.
{key}
"""


def numbers(name: str) -> Iterator[tuple[str, int]]:
    """(letters, number) for each number that an id or a file's name takes: both ends of a range."""
    found = _SERIAL.match(id_from_name(name) or name)
    for number in found.group("number", "last") if found else ():
        if found and number:
            yield found["letters"], int(number)


# -- who gives out what --------------------------------------------------------------------------


@dataclass(frozen=True)
class Clone:
    """What tells a clone from all others: a key that nobody else has, and its letters."""

    key: str
    letters: str


def _clone(folder: Path, taken: Iterable[str]) -> Clone:
    """This clone's own key and letters, drawn at the first call.

    They are bound to the very file that holds them: in a copy of the git folder they are drawn
    anew, and so they are once others use the letters.
    """
    path, taken = folder / "clone", set(taken)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        held = json.loads(atomic.read(path))
        clone = Clone(str(held["key"]), str(held["letters"]))
        if held["mark"] == _mark(path) and clone.letters not in taken:
            return clone
    syscalls.remove(path)
    atomic.create(path, b"")
    clone = Clone(secrets.token_hex(16), _draw(taken))
    told = {"key": clone.key, "letters": clone.letters, "mark": _mark(path)}
    syscalls.append(path, json.dumps(told).encode() + b"\n", durable=True)
    return clone


def _mark(path: Path) -> str:
    """The file itself, not a copy of it: its inode on this machine."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = ""
    told = f"{machine or platform.node()} {path.stat().st_ino}"
    return atomic.sha256_bytes(told.encode("utf-8", "replace"))[:16]


def _draw(taken: set[str]) -> str:
    while True:
        letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS))
        if letters not in taken:
            return letters


def claim(board: Board) -> bool:
    """Name this clone as the one that gives out plain numbers, unless one is named.

    False where there is no git or a clone is named. The claim counts once it is committed and
    lies on the remote's main branch, so that of several claims one wins.
    """
    repository, path = Repository.of(board.root), board.path / HOME
    if repository is None or path.exists():
        return False
    folder = repository.common / "orchestrate"
    with atomic.family_lock(folder, "new ticket", wait=True):
        clone = _clone(folder, ())
        with contextlib.suppress(FileExistsError):
            atomic.create(path, _HOME_TEXT.format(key=clone.key).encode())
            return True
    return False


def _is_home(board: Board, repository: Repository, clone: Clone) -> bool:
    """Whether plain numbers are this clone's: there is no other one, or all remotes say so."""
    if repository.shallow:
        return False
    branches = [repository.default_branch(remote) for remote in repository.remotes]
    if not all(branches):
        return False
    place = f"{repository.prefix}{_folder(board)}/{HOME}"
    places = [f"{branch}:{place}" for branch in branches]
    claims = repository.files_at(places) if places else {}
    return all(clone.key.encode() in claims.get(each, b"").splitlines() for each in places)


def _folder(board: Board) -> str:
    return board.path.relative_to(board.root).as_posix()


# -- what is taken -------------------------------------------------------------------------------


@dataclass
class _Ledger:
    """What was seen of a board's past, and what was given out; one JSON file."""

    path: Path
    board: str
    #: the commits that were read already
    tips: set[str] = field(default_factory=set)
    #: ids and file names that were ever committed
    seen: set[str] = field(default_factory=set)
    #: ids that were given out here, whether a ticket was then kept or not
    issued: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, path: Path, board: str) -> _Ledger:
        """The ledger; an empty one where the file is missing or broken."""
        held = _boards(path).get(board, {})
        parts = (held.get(key, ()) for key in ("tips", "seen", "issued"))
        return cls(path, board, *(set(map(str, part)) for part in parts))

    def save(self) -> None:
        told = {key: sorted(getattr(self, key)) for key in ("tips", "seen", "issued")}
        boards = {**_boards(self.path), self.board: told}
        atomic.replace(self.path, json.dumps(boards, ensure_ascii=True).encode())


def _boards(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(atomic.read(path))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _catch_up(ledger: _Ledger, repository: Repository) -> None:
    """Read the commits that are new since the last time."""
    tips = repository.tips()
    if tips == ledger.tips:
        return
    try:
        written = set(repository.written(ledger.board, tips, ledger.tips))
    except OrchestrateError:
        # a commit that was read once is not there any more: all is read again
        written = set(repository.written(ledger.board, tips, ()))
    ledger.seen |= {name for name, _ in written if any(numbers(name))}
    blobs = {blob for name, blob in written if name.lower().endswith(".md")}
    ledger.seen |= {id for id in repository.ids_in(blobs) if any(numbers(id))}
    ledger.tips = tips


def _beside(repository: Repository, board: Board, known: set[str]) -> set[str]:
    """Ids and names on the boards of the other worktrees, where nothing may be committed yet."""
    found: set[str] = set()
    for tree in repository.worktrees:
        folder = tree.path / repository.prefix / _folder(board)
        if folder.is_dir() and not folder.samefile(board.path):
            for file in _files_below(folder):
                if file.name not in known:
                    found |= {file.name, id_in_file(Path(file.path))}
    return found


def _files_below(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as scan:
            entries = list(scan)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield entry


# -- giving out ----------------------------------------------------------------------------------


class Ids:
    """The ids of one board while nobody else can be given one."""

    def __init__(self, letters: str, taken: set[str], ledger: _Ledger) -> None:
        #: what stands before this clone's numbers, "" for plain ones
        self.letters = letters
        self._taken = taken
        self._ledger = ledger

    def new(self) -> str:
        """The next id: WO-232, or WO-KDRT7 in a clone with letters."""
        used = [n for name in self._taken for at, n in numbers(name) if at == self.letters]
        number = max(used, default=0) + 1
        while (id := self._written(number)) in self._taken:
            number += 1
        return self._given(id)

    def child(self, parent: str) -> str:
        """The next id of a child: WO-231c after WO-231a and WO-231b.

        Letters of children cannot be shared among clones, so in a clone with letters, and where
        the parent's id takes none (WO-231a, WO-CALENDAR) or z is taken, it is a new number.
        """
        if self.letters or not _PLAIN_PARENT.fullmatch(parent):
            return self.new()
        stem = rf"{re.escape(parent)}-?([A-Za-z])(?![A-Za-z0-9])"
        used = {m[1].lower() for name in self._taken if (m := re.match(stem, name))}
        last = max(used, default="`")
        return self.new() if last == "z" else self._given(f"{parent}{chr(ord(last) + 1)}")

    def _written(self, number: int) -> str:
        return f"{PREFIX}-{self.letters}{number}" if self.letters else f"{PREFIX}-{number:03d}"

    def _given(self, id: str) -> str:
        self._taken.add(id)
        self._ledger.issued.add(id)
        self._ledger.save()
        return id


@contextlib.contextmanager
def allocation(board: Board) -> Iterator[Ids]:
    """The ids of a board, locked for all processes and worktrees of its repository.

    Keep it till the ticket is written. Raises OrchestrateError (code `git`) if the repository
    cannot be read, DiskError if nothing can be noted in it.
    """
    repository = Repository.of(board.root)
    state = board.root / ".orchestrate" / "state"
    folder = repository.common / "orchestrate" if repository else state
    with atomic.family_lock(folder, "new ticket", wait=True):
        ledger = _Ledger.load(folder / "ids.json", _place(board, repository))
        taken = board.names()
        letters = ""
        if repository is not None:
            _catch_up(ledger, repository)
            taken |= _beside(repository, board, taken | ledger.seen)
            letters = _letters(board, repository, folder, taken | ledger.seen, ledger.issued)
        yield Ids(letters, _bare(taken | ledger.seen | ledger.issued), ledger)


def _bare(names: set[str]) -> set[str]:
    """Ids, also in place of the file names that begin with them."""
    return {id_from_name(name) or name for name in names}


def _place(board: Board, repository: Repository | None) -> str:
    return f"{repository.prefix if repository else ''}{_folder(board)}"


def _letters(
    board: Board, repository: Repository, folder: Path, taken: set[str], issued: set[str]
) -> str:
    """The letters of this clone, "" if plain numbers are its own."""
    mine = {taken for id in issued for taken in numbers(id)}
    lettered = (name for name in taken if _LETTERED.match(name))
    strange = {at[0] for name in lettered for at in numbers(name) if at not in mine}
    clone = _clone(folder, strange)
    return "" if _is_home(board, repository, clone) else clone.letters
