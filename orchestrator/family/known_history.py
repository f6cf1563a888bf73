"""Whether the board still holds what was last done to a family here (DESIGN 8.3).

`git stash`, another branch or a reset put an older board in the place of the newer one. Whoever
goes on from it makes a second board, and the two cannot be joined again. So each workspace keeps
the last transition that it has seen of each family, outside of git, and waits until it is back.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.errors import GitAtWorkError, TicketError, UnsafePathError
from orchestrator.git.activity import branch_in_hand
from orchestrator.git.repository import other_worktrees
from orchestrator.storage import signing, syscalls
from orchestrator.storage.atomic import read, sha256_bytes
from orchestrator.storage.history import DEFERRED, History, Record, canonical, has_signature
from orchestrator.storage.real_paths import real_folder
from orchestrator.tickets.board import Board

#: for scripts: the board is not the one that was worked on here
AWAY = "board-away"


@dataclass
class KnownHistory:
    """The last transition of one family that this workspace has seen.

    Its file is written under the family's lock only: whoever reads it before looks with another
    object than who reads it then.
    """

    root: Path
    family: str
    #: what the file says, once it was read
    _said: dict[str, Any] | None = None
    #: the record that was remembered last
    _last: Record | None = None
    #: the record that was looked at last, as `canonical` has it
    _looked_at: tuple[Record, bytes] | None = None

    @cached_property
    def path(self) -> Path:
        name = sha256_bytes(self.family.encode("utf-8", "surrogatepass"))[:24]
        return Path(f"{self.root}/.orchestrate/state/known/{name}.json")

    def read(self) -> dict[str, Any]:
        """revision, digest, branch and place; empty if the family was never conducted here."""
        if self._said is None:
            try:
                found = json.loads(syscalls.read_whole(self.path))
            except (OSError, ValueError):
                found = None
            self._said = found if isinstance(found, dict) and "digest" in found else {}
        return self._said

    def _write(self, said: dict[str, Any]) -> None:
        data = json.dumps(said).encode("utf-8")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = syscalls.open_in_folder(os.fspath(self.path), flags)
        try:
            # at once, over what it held: a process that is killed leaves the one or the other
            os.pwrite(fd, data.ljust(os.fstat(fd).st_size), 0)
        finally:
            os.close(fd)
        self._said = said

    def remember(self, history: History) -> None:
        """Keep the family's last transition, if it is not kept already."""
        last = history.latest("transition")
        if last is None or last is self._last:
            return
        signed = self.has_seen_signed(last) or has_signature(last)
        self._last, self._said = last, None
        known = {
            "revision": last["revision"],
            "digest": self._digest(last),
            "branch": branch_in_hand(self.root),
            "place": real_folder(self.root),
            "signed": self._seal(last) if signed else "",
        }
        if known != {key: value for key, value in self.read().items() if key in known}:
            self._write(known)

    def set_aside(self, key: str, value: Any) -> None:
        """Keep something else with it, until the next transition; None: nothing."""
        said = self.read()
        if said and said.get(key) != value:
            self._write({**said, key: value})

    def has_seen_signed(self, record: Record) -> bool:
        """Whether this user has seen here that a transition bears its signature.

        That is sealed, as to compare a seal takes a fraction of the time; nobody else can.
        """
        said = self.read().get("signed")
        return isinstance(said, str) and said != "" and said == self._seal(record)

    def _seal(self, record: Record) -> str:
        return signing.seal(b"signed\0" + self._bytes_of(record)).hex()

    def _digest(self, record: Record) -> str:
        return sha256_bytes(self._bytes_of(record))[:24]

    def _bytes_of(self, record: Record) -> bytes:
        if self._looked_at is None or self._looked_at[0] is not record:
            self._looked_at = record, canonical(record)
        return self._looked_at[1]

    def expect(self, history: History) -> None:
        """Wait for a board with all that `history` holds: git took it away under our hands."""
        written = [r for r in history.written if r["type"] not in DEFERRED]
        if written and (known := self.read()):
            self._write({**known, "awaited": self._digest(written[-1])})

    def require(self, history: History, record: Mapping[str, Any] | None) -> None:
        """Raise GitAtWorkError if history and record (`flow:`) lack what was seen here."""
        known = self.read()
        if not known:
            return
        same = [r for r in history.of("transition") if r["revision"] == known["revision"]]
        awaited = known.get("awaited")
        is_back = not awaited or any(self._digest(r) == awaited for r in history.records)
        if is_back and any(self._digest(each) == known["digest"] for each in same):
            return
        revision = (record or {}).get("revision")
        if is_back and not same and isinstance(revision, int) and revision >= known["revision"]:
            # the ticket is not older: its history is damaged, which is not git's doing
            return
        last = history.latest("transition")
        here = f"ends at revision {last['revision']}" if last else "is not there"
        reached = f"{here}, and revision {known['revision']} was reached"
        if not is_back:
            reached = "lacks what was done last"
        kind = "another" if is_back and same else "an older"
        raise GitAtWorkError(
            f"the board holds {kind} {self.family}: its history {reached}{self._places(known)}",
            path=history.path,
            code=AWAY,
            hint="bring the newer board back (`git stash pop`, or check its branch out); to give "
            f"it up for good: orchestrate run {self.family} --from-here",
        )

    def require_board(self, board: Path) -> None:
        """As `require`, where the family's own ticket is not on the board."""
        known = self.read()
        if not board.is_dir():
            text = f"the board {board.name} is not there any more"
        elif known and not History(board, self.family).path.is_file():
            text = f"{self.family} is not on this board; it was conducted{self._places(known)}"
        else:
            return
        raise GitAtWorkError(
            text,
            path=board,
            code=AWAY,
            hint="check its branch out, or bring back what was stashed (`git stash pop`)",
        )

    def forget(self) -> None:
        """From now on what the board holds counts, however old it is."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self._said = {}

    def _places(self, known: dict[str, Any]) -> str:
        """` on branch main; the branch in hand is old`, as far as git is used and they differ."""
        then, now = known.get("branch", ""), branch_in_hand(self.root)
        if not then or then == now:
            return f" on branch {then}" if then else " here"
        return f" on branch {then}, and {now or 'no branch'} is checked out"


def require_home(board: Board, family: str, from_here: bool) -> None:
    """Raise TicketError if the main worktree conducts the family, or another one is ahead of here,
    or if this is a copy of the workspace that does.

    Both would go on from the same state, and the two histories could not be joined again.
    `from_here` gives up what a worktree other than the main one has done (DESIGN 8.5).
    """
    here = real_folder(board.root)
    place = KnownHistory(board.root, family).read().get("place") or here
    # one that was moved is not there any more
    if place != here and not from_here and KnownHistory(Path(place), family).read():
        raise TicketError(
            f"{family} is conducted in {place}, of which this is a copy",
            path=board.path,
            code="elsewhere",
            hint=f"run the command in {place}; to go on here instead: "
            f"orchestrate run {family} --from-here",
        )
    for home, is_main in other_worktrees(board.root):
        held = _history_in(board.path, family)
        there = home / board.path.relative_to(board.root)
        recorded = _history_in(there, family)
        if is_main:
            conducts = not held.startswith(recorded) or bool(KnownHistory(home, family).read())
            where, hint = "the main worktree", f"run the command in {home}"
        else:
            conducts = recorded.startswith(held) and len(recorded) > len(held) and not from_here
            where, hint = (
                f"the worktree {home}",
                f"run the command in {home}, or merge its branch; to give up what was done there: "
                f"orchestrate run {family} --from-here",
            )
        if conducts:
            text = f"{family} is conducted in {where}"
            raise TicketError(text, path=there, code="elsewhere", hint=hint)


def _history_in(board: Path, family: str) -> bytes:
    """The history of a family on another board as bytes; empty if there is none."""
    with contextlib.suppress(OSError, UnsafePathError):
        return read(History(board, family).path)
    return b""
