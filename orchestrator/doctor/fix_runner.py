"""`doctor --fix`: fixes planned, shown as a diff, written, and committed as one commit."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.doctor import board_rules
from orchestrator.doctor.board_view import tickets_by_id
from orchestrator.doctor.fix_safety import FixedTicket, Fixer
from orchestrator.doctor.fixes import Applicability
from orchestrator.doctor.rules import rule_for
from orchestrator.doctor.runner import Checkup
from orchestrator.errors import OrchestrateError
from orchestrator.git.activity import require_quiet
from orchestrator.git.commits import Committer
from orchestrator.git.repository import TrackedFolder
from orchestrator.settings.tables import GitSettings
from orchestrator.storage import atomic
from orchestrator.storage.locks import family_lock
from orchestrator.tickets.ticket import Ticket

if TYPE_CHECKING:
    from orchestrator.tickets.board import Board

#: lines around a change
_CONTEXT = 3
_HUNK = re.compile(r"@@ -(\d+)((?:,\d+)?) \+(\d+)((?:,\d+)?) @@")

#: why a file is left alone
UNCOMMITTED = "it has uncommitted changes"


@dataclass(frozen=True)
class CopyRemoval:
    """A copy that is put away, because the same ticket exists elsewhere with the same bytes."""

    copy: Ticket
    kept: Ticket


@dataclass(frozen=True)
class FixPlan:
    """What is to be done to the files of a board."""

    fixed: tuple[FixedTicket, ...] = ()
    removals: tuple[CopyRemoval, ...] = ()

    def diff(self) -> str:
        """All of it as a unified diff."""
        lines: list[str] = []
        for each in self.fixed:
            old, new = (
                [line.decode("utf-8", "replace") for line in data.splitlines()]
                for data in (each.before.document.data, each.data)
            )
            lines += [f"--- a/{each.before.source}", f"+++ b/{each.after.source}"]
            lines += _hunks(old, new)
        for removal in self.removals:
            lines.append(f"removed: {removal.copy.source} (the same as {removal.kept.source})")
        return "".join(f"{line}\n" for line in lines)

    def overwritten(self) -> list[str]:
        """`file:line: status: done → 06_COMPLETE` for each status that is overwritten."""
        return [
            f"{was.source}:{was.line_of('status')}: {was.key_of('status')}: {was.status} → {now}"
            for was, now in ((each.before, each.after.status) for each in self.fixed)
            if was.status and was.status != now
        ]


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """The hunks of a unified diff. Only what is between the first and last change is compared:

    difflib would give up on the many like lines of a large file, and show all of it as changed.
    """
    start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    tails = zip(reversed(old[start:]), reversed(new[start:]), strict=False)
    end = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], tails))
    start, end = max(0, start - _CONTEXT), max(0, end - _CONTEXT)

    def shift(hunk: re.Match[str]) -> str:
        return f"@@ -{int(hunk[1]) + start}{hunk[2]} +{int(hunk[3]) + start}{hunk[4]} @@"

    changed = old[start : len(old) - end], new[start : len(new) - end]
    for line in list(difflib.unified_diff(*changed, n=_CONTEXT, lineterm=""))[2:]:
        yield _HUNK.sub(shift, line) if line.startswith("@@ ") else line


@dataclass
class FixResult:
    """What was done."""

    #: path → the codes that were fixed
    applied: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: path → why it was left alone
    left: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    #: the short id of the commit, "" if there is none
    commit: str = ""


def plan_fixes(board: Board, checkup: Checkup, chosen: Collection[str] = ()) -> FixPlan:
    """The safe fixes, and those of the chosen codes. Nothing is written."""
    removals = []
    for id, holders in tickets_by_id(checkup.tickets).items() if "twin" in chosen else ():
        for group in board_rules.copies(holders) if id not in checkup.parents else ():
            if board_rules.same_bytes(group):
                # first the one whose folder its status names, then by time
                kept, *others = sorted(
                    group,
                    key=lambda t: (t.status == t.folder, board_rules.modified(t)),
                    reverse=True,
                )
                removals += [CopyRemoval(copy, kept) for copy in others]
    removed = {removal.copy.source for removal in removals}

    def allowed(code: str, at: Ticket) -> bool:
        if at.id in checkup.parents and rule_for(code).decided_by_record:
            return False
        if code == "no-id" and at.source in checkup.doubted:
            return code in chosen
        return code in chosen or rule_for(code).applicability(at) is Applicability.SAFE

    fixer = Fixer.of(board)
    fixable = {p.path for p in checkup.problems if p.fix is not Applicability.DISPLAY_ONLY}
    fixed = []
    for ticket in checkup.tickets:
        if ticket.source in fixable - removed:
            try:
                each = fixer.fix(ticket, allowed)
            except (OSError, OrchestrateError):
                continue
            fixed += [each] if each.codes else []
    return FixPlan(tuple(fixed), tuple(removals))


def apply_fixes(
    board: Board,
    checkup: Checkup,
    plan: FixPlan,
    commit: bool = True,
    git_settings: GitSettings | None = None,
) -> FixResult:
    """Write the fixes, each under its family's lock, and commit them as one commit.

    With `commit`, files with changes that git does not have are left alone, so that the commit can
    be reverted. Raises BusyError while a merge or rebase is in progress, OrchestrateError (`git`).
    """
    how = git_settings or GitSettings()
    committer = Committer(board.root, how.author, how.branch, how.hooks)
    git = TrackedFolder(board.root, board.folders.board)
    commit = commit and git.is_work_tree
    if commit:
        require_quiet(board.root)
    writer = _FixWriter(board, checkup, (git.changed() or set()) if commit else set())
    for each in plan.fixed:
        writer.run_locked(each.before, each.codes, partial(writer.write, each))
    for removal in plan.removals:
        writer.run_locked(removal.copy, ("twin",), partial(writer.put_away, removal))
    result = writer.result
    if commit and writer.touched:
        counts = Counter(code for codes in result.applied.values() for code in codes)
        listed = ", ".join(f"{code} {n}" for code, n in sorted(counts.items()))
        message = f"doctor: fix {len(result.applied)} tickets\n\n{listed}"
        result.commit = committer.commit(writer.touched, message)
    return result


class _FixWriter:
    """Writes fixes one by one; what cannot be done is reported and does not stop the rest."""

    def __init__(self, board: Board, checkup: Checkup, uncommitted: set[str]) -> None:
        self.board = board
        self.parents = checkup.parents
        self.stated_parents = {t.id: t.parent for t in checkup.tickets}
        self.uncommitted = uncommitted
        self.state = board.root / ".orchestrate" / "state"
        self.touched: set[Path] = set()
        self.result = FixResult()

    def run_locked(self, ticket: Ticket, codes: tuple[str, ...], work: Callable[[], None]) -> None:
        """Do the work under the family's lock."""
        if ticket.path.relative_to(self.board.root).as_posix() in self.uncommitted:
            self.result.left[ticket.source] = UNCOMMITTED
            return
        # a family is locked by the id of its parent, conducted or stated
        id, seen, stated = ticket.id, set[str](), self.stated_parents
        while id not in self.parents and id not in seen and stated.get(id) in stated:
            seen.add(id)
            id = stated[id]
        try:
            with family_lock(self.state, self.parents.get(id, id)):
                work()
        except OrchestrateError as exc:
            self.result.left[ticket.source] = exc.message
        except OSError as exc:
            self.result.left[ticket.source] = exc.strerror or str(exc)
        else:
            self.result.applied[ticket.source] = codes

    def write(self, each: FixedTicket) -> None:
        """Replace the file, merging what somebody saved meanwhile, and move it if it has to."""
        path, target = each.before.path, each.after.path
        if each.moved and target.exists():
            raise OrchestrateError(f"{target.name} already exists in {target.parent.name}")
        written = atomic.replace(path, each.data, each.before.document.data)
        self.touched.add(path)
        if written.conflict is not None:
            self.touched.add(written.conflict)
            aside = written.conflict.relative_to(self.board.root)
            self.result.notices.append(f"{each.before.source} was edited meanwhile; see {aside}")
        if each.moved and each.after.role is not None:
            self.touched.add(self.board.move(path, each.after.role))

    def put_away(self, removal: CopyRemoval) -> None:
        """Move a copy out of the board; it is never deleted."""
        if not board_rules.same_bytes([removal.copy, removal.kept]):
            raise OrchestrateError("it is no longer the same as the other copy")
        name, number = removal.copy.path.name, 0
        while (place := self.state / "displaced" / f"{name}.{number}").exists():
            number += 1
        atomic.move(removal.copy.path, place)
        self.touched.add(removal.copy.path)
        where = place.relative_to(self.board.root)
        self.result.notices.append(f"{removal.copy.source} was moved to {where}")
