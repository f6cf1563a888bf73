"""Saves from an editor that had an older version open: merged into the living ticket (DESIGN 8.2).

An editor that opened `03_BUILD/WO-7_x.md` and saves after the conductor has written to it, or has
moved it to `04_QA`, puts the old text over the new one, or makes a second file of that name. What
the person changed is taken into the ticket as it is now; an answer is not, for it would answer a
question that the person did not see. The last versions of each ticket are kept for that.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from orchestrator.domain.answer import AnswerVerb, verb_of
from orchestrator.domain.record import Flow, Place, from_mapping
from orchestrator.errors import OrchestrateError
from orchestrator.markdown import frontmatter
from orchestrator.markdown.frontmatter import Document
from orchestrator.storage import atomic
from orchestrator.storage.atomic import ReplaceOptions
from orchestrator.storage.history import History
from orchestrator.storage.merge import merge_lines
from orchestrator.storage.versions import Versions
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket

#: where stray files are kept, and how those are called that are not merged yet
_STRAYS = Path(".orchestrate/state/strays")
_PENDING = ".pending"
#: a version is a common base if so large a part of its lines stands in the save
_ALIKE = 0.5
#: what belongs to an answer
_ANSWER = ("status", "accept", "target")
_BESIDE = tuple(f"{key}:".encode() for key in _ANSWER)


@dataclass(frozen=True)
class TakenIn:
    """A save that was taken in: the paths that changed, and what to tell."""

    paths: tuple[Path, ...]
    notice: str


@lru_cache(maxsize=256)
def versions_of(root: Path, name: str) -> Versions:
    """The versions of the ticket file with this name."""
    return Versions(root, name)


def manner(root: Path, path: Path, heed: bool = True) -> ReplaceOptions:
    """How a conducted ticket is replaced: its versions are kept, and stale saves are understood.

    Unless `heed`, a status that is set in the same moment is not taken.
    """

    versions = versions_of(root, path.name)

    def rebase(lately: Sequence[bytes], saved: bytes) -> tuple[bytes, bytes]:
        base = _base([*lately, *versions.known()], saved)
        if base is None or base == lately[0]:
            return lately[0], saved
        return base, _without_answer(saved, base)[0]

    return ReplaceOptions(yielding=b"status:" if heed else b"", keep=versions.slot, rebase=rebase)


def catch_up(root: Path, path: Path, saved: bytes) -> tuple[bytes, str] | None:
    """A save of an older version with what the conductor has written since, and what to tell.

    None if the save was made from the newest version, or nobody can tell.
    """
    versions = versions_of(root, path.name)
    last = versions.last()
    if last is None or last == saved:
        return None
    base = _base(versions.known(), saved)
    if base is None or base == last:
        return None
    theirs, refused = _without_answer(saved, base)
    merged, clean = merge_lines(base, last, theirs, b"status:")
    notice = f"a save of an older version of {path.name} is merged with what was written since"
    if not clean:
        aside = atomic.set_aside(path, saved)
        notice += f"; lines that both changed are in {aside.relative_to(root)}"
    if refused:
        notice += _refusal(refused)
    return merged, notice


def _refusal(status: str) -> str:
    return f"; its status `{status}` is not taken as an answer: look, and answer anew"


def head_of(board: Board, id: str) -> str | None:
    """The parent of the conducted family that a ticket with twins is of."""
    living = _living_parent(board, id)
    return living[0].id if living else None


def take_in(board: Board, id: str) -> list[TakenIn]:
    """Take in all such files of a conducted family, under its lock.

    Leaves what is no such save (two tickets with one id, a twin of a ticket that nobody conducts).
    """
    pending = list(_pending(board.root))
    if not pending and not board.duplicate_ids():
        return []
    living = _living_parent(board, id)
    if living is None:
        return []
    parent, flow = living
    found = []
    for member, place in flow.members.items():
        holders = board.holders(member)
        here = [parent] if member == parent.id else _living(board, holders, place)
        others = [t for t in holders if t.path != here[0].path] if len(here) == 1 else []
        if len(here) == 1 and all(t.path.name == here[0].path.name for t in others):
            away = [_taken_away(board.root, stray.path) for stray in others]
            left = [p for p in pending if p.name.startswith(f"{here[0].path.name}.")]
            sources = [t.path for t in others]
            found += [_merge(board, here[0], path, sources) for path in [*left, *away]]
    return found


def _pending(root: Path) -> Iterator[Path]:
    """Saves that were taken away and not merged yet: a process was killed between."""
    with contextlib.suppress(OSError):
        yield from sorted((root / _STRAYS).glob(f"*{_PENDING}"))


def _taken_away(root: Path, path: Path) -> Path:
    """The stray file, moved to where nobody opens it any more."""
    return atomic.move(path, root / _STRAYS / f"{path.name}.{time.time_ns()}{_PENDING}")


def _living_parent(board: Board, id: str) -> tuple[Ticket, Flow] | None:
    """The parent of the conducted family that `id` is of, as the history says where it lies."""
    parents = {t.parent for t in board.holders(id) if t.parent} | {id}
    for parent in sorted(parents):
        flow = _recorded(board, parent)
        place = flow.members.get(parent) if flow else None
        if flow is not None and place is not None:
            # a save of an older version may lie where the ticket is to go
            holders = sorted(
                board.holders(parent), key=lambda t: (_revision(t), t.role is place.at)
            )
            return holders[-1], flow
    return None


def _recorded(board: Board, parent: str) -> Flow | None:
    """The family's record: the newest one that was written into its parent's file."""
    history = History(board.path, parent)
    revisions = [int(r["revision"]) for r in history.of("committed")]
    revisions += map(_revision, board.holders(parent))
    record = history.latest("transition", revision=max(revisions, default=-1))
    return Flow.model_validate(record["flow"]) if record else None


def _revision(ticket: Ticket) -> int:
    """The revision of the record in a ticket's file, -1 if there is none."""
    try:
        document = Document.parse(atomic.read_saved(ticket.path))
        return from_mapping(document.meta.get("flow") or {}, path=ticket.source).revision
    except (OrchestrateError, OSError):
        return -1


def _living(board: Board, holders: list[Ticket], place: Place) -> list[Ticket]:
    """Which of a child's files is the ticket: the one written last, else the one in its place."""
    last = versions_of(board.root, holders[0].path.name).last() if holders else None
    same = [t for t in holders if last is not None and _bytes(t.path) == last]
    return same if len(same) == 1 else [t for t in holders if t.role is place.at]


def _bytes(path: Path) -> bytes | None:
    try:
        return atomic.read_saved(path)
    except (OrchestrateError, OSError):
        return None


def _merge(board: Board, living: Ticket, stray: Path, sources: Sequence[Path]) -> TakenIn:
    """Merge one save that was taken away into the living ticket."""
    # an editor that still had it open has closed it by now
    theirs, now = atomic.read_saved(stray), atomic.read_saved(living.path)
    versions = versions_of(board.root, living.path.name)
    base = _base(versions.known(), theirs)
    # what lies there may be a save of an older version itself
    caught = catch_up(board.root, living.path, now)
    current = caught[0] if caught else now
    paths = [*sources]
    notice = f"a save at a path that {living.id} has left is taken into {living.source}"
    if base is None:
        aside = atomic.set_aside(living.path, theirs)
        paths.append(aside)
        where = aside.relative_to(board.root)
        notice = (
            f"a save at a path that {living.id} has left has nothing in common with it: {where}"
        )
    else:
        saved, refused = _without_answer(theirs, base)
        merged, clean = merge_lines(base, current, saved, b"status:")
        if merged != now:
            written = atomic.replace(living.path, merged, now, manner(board.root, living.path))
            versions.remember(written.data)
            paths.append(living.path)
        if not clean:
            aside = atomic.set_aside(living.path, theirs)
            paths.append(aside)
            notice += f"; lines that both changed are in {aside.relative_to(board.root)}"
        notice += _refusal(refused) if refused else ""
    # the editor may still show it, and save it again with more
    atomic.move(stray, versions.slot())
    return TakenIn(tuple(paths), notice)


def _base(versions: Sequence[bytes], theirs: bytes) -> bytes | None:
    """The version that a save was most likely made from: the one with the fewest changes.

    Nobody edits the record, so one with the same record goes before all others.
    """
    flow = _flow_lines(theirs)
    same = list(dict.fromkeys(v for v in versions if flow and _flow_lines(v) == flow))
    if len(same) == 1:
        return same[0]
    best = min(same or versions, key=lambda version: _distance(version, theirs), default=None)
    return best if best is not None and (same or _likeness(best, theirs) >= _ALIKE) else None


def _flow_lines(data: bytes) -> bytes:
    """The record in a ticket's text, as it stands there."""
    found = re.search(rb"^flow:[^\n]*\n(?:[ \t][^\n]*\n)*", data, re.MULTILINE)
    return found.group() if found else b""


def _distance(version: bytes, save: bytes) -> int:
    """How many lines a person would have changed to come from the version to the save."""
    one, other = _apart(_prose(version), _prose(save))
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    return len(one) + len(other) - 2 * same


def _prose(data: bytes) -> list[bytes]:
    """The lines but those of an answer: two versions often differ in nothing else."""
    return [line for line in data.splitlines() if not line.startswith(_BESIDE)]


def _apart(one: list[bytes], other: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Both without the lines that they begin and end with in common."""
    head = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    head = min(len(one), len(other)) if head is None else head
    one, other = one[head:], other[head:]
    pairs = zip(reversed(one), reversed(other), strict=False)
    tail = next((n for n, (a, b) in enumerate(pairs) if a != b), None)
    tail = min(len(one), len(other)) if tail is None else tail
    return one[: len(one) - tail], other[: len(other) - tail]


def _likeness(version: bytes, save: bytes) -> float:
    """The part of the lines that both have in common, 0 to 1."""
    lines = len(version.splitlines()) + len(save.splitlines())
    return 1 - _distance(version, save) / lines if lines else 1.0


def _without_answer(theirs: bytes, base: bytes) -> tuple[bytes, str]:
    """The save without an answer that it gives, and that answer's status."""
    theirs = theirs.replace(_flow_lines(theirs), _flow_lines(base), 1)
    old, new = Document.parse(base), Document.parse(theirs)
    status = new.text("status")
    if status == old.text("status") or verb_of(status) in (None, AnswerVerb.HOLD):
        return theirs, ""
    for key in _ANSWER:
        if old.raw(key):
            theirs = frontmatter.set_field(theirs, key, old.text(key))
        else:
            theirs = frontmatter.remove_field(theirs, key)
    return theirs, status
