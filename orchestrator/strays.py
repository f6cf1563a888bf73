"""Saves from an editor that had an older version open: merged into the living ticket (DESIGN 8.2).

An editor that opened `03_BUILD/WO-7_x.md` and saves after the conductor has written to it, or has
moved it to `04_QA`, puts the old text over the new one, or makes a second file of that name. What
the person changed is taken into the ticket as it is now; an answer is not, for it would answer a
question that the person did not see. The last versions of each ticket are kept for that.
"""

from __future__ import annotations

import contextlib
import difflib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import files, frontmatter, questions
from orchestrator.board import Board
from orchestrator.errors import OrchestrateError
from orchestrator.flow import Flow, from_mapping
from orchestrator.frontmatter import Document
from orchestrator.merge import merge_lines
from orchestrator.ticket import Ticket

_LAST = "last"
#: so many earlier versions of a ticket are kept to merge with
KEPT = 8
#: a version is a common base if so large a part of its lines stands in the save
_ALIKE = 0.5
#: what belongs to an answer
_ANSWER = ("status", "accept", "target")


@dataclass(frozen=True)
class TakenIn:
    """A save that was taken in: the paths that changed, and what to tell."""

    paths: tuple[Path, ...]
    notice: str


def bases_of(root: Path, name: str) -> Path:
    """Where earlier versions of the ticket file with this name are kept."""
    return root / ".orchestrate" / "state" / "bases" / f"{name}.versions"


def remember(root: Path, name: str, data: bytes) -> None:
    """Keep what was written last. It may be lost: then saves are taken as they are."""
    place = bases_of(root, name) / _LAST
    beside = place.with_name(f".{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        try:
            beside.write_bytes(data)
        except FileNotFoundError:
            place.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(data)
        beside.replace(place)


def catch_up(root: Path, path: Path, saved: bytes) -> tuple[bytes, str] | None:
    """A save of an older version with what the conductor has written since, and what to tell.

    None if the save was made from the newest version, or nobody can tell.
    """
    last = _last(root, path.name)
    if last is None or last == saved:
        return None
    versions = [last, *_versions(root, path.name)]
    base = min(versions, key=lambda version: _distance(version, saved))
    if base == last or _likeness(base, saved) < _ALIKE:
        return None
    theirs, refused = _without_answer(saved, base)
    merged, clean = merge_lines(base, last, theirs, b"status:")
    notice = f"a save of an older version of {path.name} is merged with what was written since"
    if not clean:
        aside = files.set_aside(path, saved)
        notice += f"; lines that both changed are in {aside.relative_to(root)}"
    if refused:
        notice += _refusal(refused)
    return merged, notice


def _refusal(status: str) -> str:
    return f"; its status `{status}` is not taken as an answer: look, and answer anew"


def _last(root: Path, name: str) -> bytes | None:
    try:
        return (bases_of(root, name) / _LAST).read_bytes()
    except OSError:
        return None


def head_of(board: Board, id: str) -> str | None:
    """The parent of the conducted family that a ticket with twins is of."""
    living = _living_parent(board, id)
    return living[0].id if living else None


def take_in(board: Board, id: str) -> list[TakenIn]:
    """Take in all such saves of a conducted family, under its lock.

    Leaves what is no such save (two tickets with one id, a twin of a ticket that nobody conducts).
    """
    living = _living_parent(board, id)
    if living is None:
        return []
    parent, flow = living
    found = []
    for member, place in flow.members.items():
        holders = board.holders(member)
        if len(holders) < 2:
            continue
        here = [parent] if member == parent.id else [t for t in holders if t.role is place.at]
        others = [t for t in holders if t.path != here[0].path] if len(here) == 1 else []
        if all(t.path.name == here[0].path.name for t in others):
            found += [_merge(board, here[0], stray) for stray in others]
    return found


def _living_parent(board: Board, id: str) -> tuple[Ticket, Flow] | None:
    """The record of the family that `id` is of: the newest one that lies where it says."""
    holders = board.holders(id)
    ids = {t.parent for t in holders if t.parent} or {id}
    found: list[tuple[int, Ticket, Flow]] = []
    for ticket in (t for parent in ids for t in board.holders(parent) if t.conducted):
        try:
            flow = from_mapping(ticket.flow or {}, path=ticket.source)
        except (OrchestrateError, OSError):
            continue
        place = flow.members.get(ticket.id)
        if place is not None and place.at is ticket.role:
            found.append((flow.revision, ticket, flow))
    if not found:
        return None
    _, ticket, flow = max(found, key=lambda each: each[0])
    return ticket, flow


def _merge(board: Board, living: Ticket, stray: Ticket) -> TakenIn:
    """Merge one stray file into the living ticket and put it away."""
    theirs, now = files.read_saved(stray.path), files.read_saved(living.path)
    base = _base(list(_versions(board.root, living.path.name)), theirs)
    if base is None:
        aside = files.set_aside(living.path, theirs)
        files.move(stray.path, _away(board.root, stray.path))
        where = aside.relative_to(board.root)
        notice = f"{stray.source} has nothing in common with {living.source}; it is {where} now"
        return TakenIn((stray.path, aside), notice)
    saved, refused = _without_answer(theirs, base)
    merged, clean = merge_lines(base, now, saved, b"status:")
    paths = [stray.path]
    notice = f"a save at {stray.source}, which {living.id} has left, is taken into {living.source}"
    if merged != now:
        files.replace(living.path, merged, now)
        paths.append(living.path)
    if not clean:
        aside = files.set_aside(living.path, theirs)
        paths.append(aside)
        notice += f"; lines that both changed are in {aside.relative_to(board.root)}"
    if refused:
        notice += _refusal(refused)
    files.move(stray.path, _away(board.root, stray.path))
    return TakenIn(tuple(paths), notice)


def _versions(root: Path, name: str) -> Iterator[bytes]:
    """Earlier versions, the newest first."""
    with contextlib.suppress(OSError):
        kept = [p for p in bases_of(root, name).iterdir() if not p.name.startswith(".")]
        for path in sorted(kept, key=lambda p: p.stat().st_ctime_ns, reverse=True):
            yield path.read_bytes()


def _base(versions: Sequence[bytes], theirs: bytes) -> bytes | None:
    """The version that a save was most likely made from."""
    best = min(versions, key=lambda version: _distance(version, theirs), default=None)
    return best if best is not None and _likeness(best, theirs) >= _ALIKE else None


def _distance(version: bytes, save: bytes) -> int:
    """How many lines a person would have changed to come from the version to the save."""
    blocks = _matcher(version, save).get_matching_blocks()
    same = sum(block.size for block in blocks)
    return len(version.splitlines()) + len(save.splitlines()) - 2 * same


def _likeness(version: bytes, save: bytes) -> float:
    return _matcher(version, save).ratio()


def _matcher(version: bytes, save: bytes) -> difflib.SequenceMatcher[bytes]:
    return difflib.SequenceMatcher(None, version.splitlines(), save.splitlines(), autojunk=False)


def _without_answer(theirs: bytes, base: bytes) -> tuple[bytes, str]:
    """The save without an answer that it gives, and that answer's status."""
    old, new = Document.parse(base), Document.parse(theirs)
    status = new.text("status")
    if status == old.text("status") or questions.verb_of(status) in (None, "hold"):
        return theirs, ""
    for key in _ANSWER:
        if old.raw(key):
            theirs = frontmatter.set_field(theirs, key, old.text(key))
        else:
            theirs = frontmatter.remove_field(theirs, key)
    return theirs, status


def _away(root: Path, path: Path) -> Path:
    """A free place among what was put away."""
    folder = root / ".orchestrate" / "state" / "displaced"
    number = 0
    while (place := folder / f"{path.name}.{number}").exists():
        number += 1
    return place
