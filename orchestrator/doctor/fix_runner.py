"""`doctor --fix`: repairs planned, shown as a diff, written, and committed as one commit."""

from __future__ import annotations

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.doctor import board_rules
from orchestrator.doctor.fix_safety import RULED, Bench, Mended, surety
from orchestrator.doctor.rules import Surety
from orchestrator.doctor.runner import Examined, bench_of
from orchestrator.errors import OrchestrateError
from orchestrator.git.commits import Committer
from orchestrator.git.repository import TrackedFolder
from orchestrator.storage import atomic
from orchestrator.tickets.ticket import Ticket

if TYPE_CHECKING:
    from orchestrator.tickets.board import Board

_CONTEXT = 3
_HUNK = re.compile(r"@@ -(\d+)((?:,\d+)?) \+(\d+)((?:,\d+)?) @@")


@dataclass(frozen=True)
class Removal:
    """A copy that is put away, because the same ticket lies elsewhere with the same bytes."""

    copy: Ticket
    living: Ticket


@dataclass(frozen=True)
class Plan:
    """What is to be done to the files of a board."""

    mended: tuple[Mended, ...] = ()
    removals: tuple[Removal, ...] = ()

    def diff(self) -> str:
        """All of it as a unified diff."""
        parts = [_diff_of(mended) for mended in self.mended]
        parts += [
            f"removed: {r.copy.source} (the same as {r.living.source})\n" for r in self.removals
        ]
        return "".join(parts)


@dataclass
class Done:
    """What was done: path → codes that were mended, path → why it was left alone."""

    applied: dict[str, tuple[str, ...]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    #: the short id of the commit, "" if there is none
    commit: str = ""


# -- planning --------------------------------------------------------------------------------------


def plan(board: Board, examined: Examined, chosen: Collection[str] = ()) -> Plan:
    """The repairs that are certain, and those of the chosen codes. Nothing is written."""
    bench = bench_of(board)
    wanted = {f.path for f in examined.findings if f.repair is not Surety.NONE}
    mended = []
    for ticket in examined.tickets:
        if ticket.source in wanted:
            each = _mend(bench, ticket, chosen, ticket.id in examined.parents)
            mended += [each] if each and each.codes else []
    removals = list(_removals(examined)) if "twin" in chosen else []
    gone = {r.copy.source for r in removals}
    return Plan(tuple(m for m in mended if m.before.source not in gone), tuple(removals))


def _mend(bench: Bench, ticket: Ticket, chosen: Collection[str], ruled: bool) -> Mended | None:
    def allowed(code: str, at: Ticket) -> bool:
        if ruled and code in RULED:
            return False
        return code in chosen or surety(code, at) is Surety.CERTAIN

    try:
        return bench.mend(ticket, allowed)
    except (OSError, OrchestrateError):
        return None


def _removals(examined: Examined) -> Iterator[Removal]:
    by_id: dict[str, list[Ticket]] = defaultdict(list)
    for ticket in examined.tickets:
        by_id[ticket.id].append(ticket)
    for id, holders in by_id.items():
        for group in board_rules.copies(holders) if id not in examined.parents else ():
            if board_rules.same_bytes(group):
                living, *copies = board_rules.newest_first(group)
                yield from (Removal(copy, living) for copy in copies)


# -- showing ---------------------------------------------------------------------------------------


def _diff_of(each: Mended) -> str:
    old, new = _shown(each.before.document.data), _shown(each.data)
    name, target = each.before.source, each.after.source
    head = [f"--- a/{name}", f"+++ b/{target}"]
    return "\n".join([*head, *_hunks(old, new)]) + "\n"


def _shown(data: bytes) -> list[str]:
    return [line.decode("utf-8", "replace") for line in data.splitlines()]


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """The changed part; what is alike at both ends of a large file is not compared."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    start, end = max(0, start - _CONTEXT), max(0, end - _CONTEXT)
    one, other = old[start : len(old) - end], new[start : len(new) - end]
    lines = list(difflib.unified_diff(one, other, n=_CONTEXT, lineterm=""))
    for line in lines[2:]:
        yield _HUNK.sub(lambda m: _moved(m, start), line) if line.startswith("@@ ") else line


def _moved(hunk: re.Match[str], by: int) -> str:
    return f"@@ -{int(hunk[1]) + by}{hunk[2]} +{int(hunk[3]) + by}{hunk[4]} @@"


# -- doing -----------------------------------------------------------------------------------------


def carry_out(board: Board, examined: Examined, wanted: Plan, commit: bool = True) -> Done:
    """Write the repairs, each under its family's lock, and commit them as one commit.

    With `commit`, files with changes that git does not have are left alone, so that the commit can
    be reverted. Raises BusyError while a merge or rebase is in progress, OrchestrateError (`git`).
    """
    committer = Committer(board.root)
    git = TrackedFolder(board.root, board.folders.board)
    commit = commit and git.is_work_tree
    if commit:
        committer.require_quiet()
    work = _Work(board, examined, (git.changed() or set()) if commit else set())
    for each in wanted.mended:
        work.guarded(each.before, each.codes, partial(work.write, each))
    for removal in wanted.removals:
        work.guarded(removal.copy, ("twin",), partial(work.put_away, removal))
    done = work.done
    if commit and work.touched:
        done.commit = committer.commit(work.touched, _message(done))
    return done


def _message(done: Done) -> str:
    counts = Counter(code for codes in done.applied.values() for code in codes)
    told = ", ".join(f"{code} {n}" for code, n in sorted(counts.items()))
    return f"doctor: {len(done.applied)} tickets mended\n\n{told}"


class _Work:
    def __init__(self, board: Board, examined: Examined, dirty: set[str]) -> None:
        self.board = board
        self.parents = examined.parents
        self.above = {t.id: t.parent for t in examined.tickets}
        self.dirty = dirty
        self.touched: set[Path] = set()
        self.done = Done()

    def guarded(self, ticket: Ticket, codes: tuple[str, ...], work: Callable[[], None]) -> None:
        """Do it under the family's lock; what cannot be done is said and does not stop the rest."""
        if self._is_dirty(ticket):
            self.done.left[ticket.source] = "it has changes that are not committed"
            return
        state = self.board.root / ".orchestrate" / "state"
        try:
            with atomic.family_lock(state, self._head(ticket.id)):
                work()
        except OrchestrateError as exc:
            self.done.left[ticket.source] = exc.message
        except OSError as exc:
            self.done.left[ticket.source] = exc.strerror or str(exc)
        else:
            self.done.applied[ticket.source] = codes

    def _is_dirty(self, ticket: Ticket) -> bool:
        path = ticket.path.relative_to(self.board.root).as_posix()
        return path in self.dirty

    def _head(self, id: str) -> str:
        """The id under which the family is locked."""
        seen: set[str] = set()
        while id not in self.parents and id not in seen and self.above.get(id) in self.above:
            seen.add(id)
            id = self.above[id]
        return self.parents.get(id, id)

    def write(self, each: Mended) -> None:
        """Replace the file, merging what somebody saved meanwhile, and move it if it has to."""
        path, target = each.before.path, each.after.path
        if each.moved and target.exists():
            raise OrchestrateError(f"{target.name} lies in {target.parent.name} already")
        written = atomic.replace(path, each.data, each.before.document.data)
        self.touched.add(path)
        if written.conflict is not None:
            self.touched.add(written.conflict)
            aside = written.conflict.relative_to(self.board.root)
            self.done.notices.append(f"{each.before.source} was edited meanwhile; see {aside}")
        if each.moved and each.after.role is not None:
            self.touched.add(self.board.move(path, each.after.role))

    def put_away(self, removal: Removal) -> None:
        """Move a copy out of the board; it is never deleted."""
        if not board_rules.same_bytes([removal.copy, removal.living]):
            raise OrchestrateError("it is not the same as the other copy any more")
        folder = self.board.root / ".orchestrate" / "state" / "displaced"
        name, number = removal.copy.path.name, 0
        while (place := folder / f"{name}.{number}").exists():
            number += 1
        atomic.move(removal.copy.path, place)
        self.touched.add(removal.copy.path)
        where = place.relative_to(self.board.root)
        self.done.notices.append(f"{removal.copy.source} lies in {where} now")
