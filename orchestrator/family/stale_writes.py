"""Saves from an editor that had an older version open: merged into the ticket (DESIGN 8.2).

An editor that opened `03_BUILD/WO-7_x.md` and saves after the conductor has written to it, or has
moved it to `04_QA`, overwrites the new text with the old one, or creates a second file of that
name. What the person changed is merged into the ticket as it is now; an answer is not, since the
person did not see the question. The last versions of each ticket are kept for that.
"""

from __future__ import annotations

import contextlib
import difflib
import glob
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

from orchestrator.domain.answer import AnswerVerb, verb_of
from orchestrator.domain.record import Flow, from_mapping
from orchestrator.domain.states import FolderRole
from orchestrator.errors import OrchestrateError
from orchestrator.markdown import frontmatter
from orchestrator.markdown.frontmatter import Document
from orchestrator.storage import atomic
from orchestrator.storage.atomic import Rebased, ReplaceOptions
from orchestrator.storage.history import History
from orchestrator.storage.merge import merge_lines
from orchestrator.storage.versions import Versions
from orchestrator.storage.written import was_latest, was_written
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket

#: where stale files are moved to; those with the suffix are not merged yet
_STRAYS = Path(".orchestrate/state/strays")
_PENDING = ".pending"
#: a version is a common base if it shares at least this part of its lines with the save
_MIN_LIKENESS = 0.5
#: the keys of an answer
_ANSWER = ("status", "accept", "target")
_ANSWER_LINES = tuple(f"{key}:".encode() for key in _ANSWER)
#: in the record of a text that saves were merged into: a word that tells it from all others, so
#: that what somebody makes of it later is known to be made from it
_MARK = re.compile(rb"^[ \t]+# saves merged: [0-9a-f]+\r?\n", re.MULTILINE)
#: how lines begin that this program writes into tickets
_PROGRAMS = (b"#", b"<!--", b"- [", b"owner:", b"failure_count:", b"hold_", b"held_", b"flow:")


@dataclass(frozen=True)
class MergedSave:
    """A save that was merged: the paths that changed, and what to report."""

    paths: tuple[Path, ...]
    notice: str


@lru_cache(maxsize=256)
def versions_of(root: Path, name: str) -> Versions:
    """The versions of the ticket file with this name."""
    return Versions(root, name)


def give_up_versions(root: Path, parent: str) -> None:
    """Take no save of a family's tickets for one that was made from what was written before."""
    for folder in Versions(root, "").folder.parent.glob(f"{glob.escape(parent)}*.versions"):
        if not folder.name.removeprefix(parent)[:1].isdigit():
            versions_of(root, folder.name.removesuffix(".versions")).give_up()


def replace_options(root: Path, path: Path, take_status: bool = True) -> ReplaceOptions:
    """How a conducted ticket is replaced: its versions are kept, stale saves are recognized.

    Unless `take_status`, a status that is set in the same moment is ignored.
    """
    versions = versions_of(root, path.name)

    def rebase(lately: Sequence[bytes], saved: bytes, writing: bytes) -> Rebased:
        base = None
        if not _is_current(saved, lately[0]):
            known = versions.known_for(path.parent.name)
            base = _find_base([*lately, *known], saved)
        if base is None or base == lately[0]:
            base, theirs = lately[0], saved
        else:
            theirs = _without_answer(saved, base)[0]
        return Rebased(base, theirs, newest=_have_one_record(base, writing))

    def keep() -> Path:
        return versions.slot(path.parent.name)

    yielding = b"status:" if take_status else b""
    return ReplaceOptions(yielding=yielding, keep=keep, rebase=rebase, mark=_marked, locked=True)


def move_ticket(
    board: Board, path: Path, role: FolderRole, written: bytes, later: set[Path] | None = None
) -> Path:
    """Move a ticket as `Board.move`, and keep what it held if that is not what was written there.

    Somebody saved it since, and may save it again where it was. Once it has moved this is told from
    a save at its new place by the time alone.
    """
    began, held, target = _coarse_now(), None, None
    with atomic.watch(path) as watched:
        if watched.holds(written):
            # nearly always
            left = _coarse_now()
            target = board.move(path, role, later)
            # an editor that opened it where it was writes into it where it is now
            came = watched.writers_came()
    if target is None:
        held = keep_before_move(board.root, path, written)
        left, came = _coarse_now(), False
        target = board.move(path, role, later)
    with contextlib.suppress(OSError):
        if came or began <= os.stat(target).st_mtime_ns < left:  # noqa: PTH116 - called often
            since = _read(target)
            if since is not None and since not in (written, held):
                versions_of(board.root, path.name).keep(since, path.parent.name)
    return target


def _coarse_now() -> int:
    """The time of a file that is written now (ns): systems count it in ticks."""
    clock = getattr(time, "CLOCK_REALTIME_COARSE", time.CLOCK_REALTIME)
    return time.clock_gettime_ns(clock)


def keep_before_move(root: Path, path: Path, written: bytes) -> bytes | None:
    """Keep what a ticket holds that is about to leave its folder, and return it.

    Nothing and None if it is what was written there.
    """
    held = _read(path)
    if held is None or held == written:
        return None
    versions_of(root, path.name).keep(held, path.parent.name)
    return held


def merge_stale_save(root: Path, path: Path, saved: bytes) -> tuple[bytes, str] | None:
    """Merge a save of an older version with what was written since; the text and a notice.

    None if the save was made from the newest version, or the version is unknown.
    """
    versions = versions_of(root, path.name)
    last = versions.last()
    if last is None or last == saved or _is_current(saved, last):
        return None
    base = _find_base(versions.known_for(path.parent.name), saved)
    if base is None or base == last or _is_cut_down(saved, last, base):
        return None
    if was_latest(path, saved):
        # the process that wrote it was killed before it could keep it
        return None
    theirs, refused = _without_answer(saved, base)
    newest = _have_one_record(base, last)
    merged, clean = merge_lines(base, last, theirs, b"status:", newest)
    notice = f"a save of an older version of {path.name} is merged with what was written since"
    if not clean:
        aside = atomic.set_aside(path, last if newest else saved)
        notice += f"; lines that both changed are in {aside.relative_to(root)}"
    merged = merged if merged == last else _marked(merged)
    return merged, notice + _explain_refusal(refused)


def _explain_refusal(status: str) -> str:
    if not status:
        return ""
    return f"; its status `{status}` is not taken as an answer: read the question, answer again"


# -- files at an old path ------------------------------------------------------------------------


def head_of(board: Board, id: str) -> str | None:
    """The parent of the conducted family that a ticket with duplicates belongs to."""
    found = _find_parent(board, id)
    return found[0].id if found else None


def take_up_saves(board: Board) -> list[Path]:
    """Take up what people saved at the moment in which a process was killed; it is merged next.

    Returns where the other texts of killed processes are now.
    """
    return [kept for kept in board.sweep() if not _take_up(board, kept)]


def _take_up(board: Board, kept: Path) -> bool:
    text = _read(kept)
    named = re.search(rb"^id:[ \t]*[\"']?([\w.-]+)", text or b"", re.MULTILINE)
    holders = board.holders(named[1].decode()) if named else []
    if text is None or len(holders) != 1:
        return False
    ticket = holders[0].path
    # the killed process had put its own text in the place of this one, and did not say so yet
    if not was_latest(ticket, _read(ticket) or b"") or was_written(ticket, text, 0):
        return False
    atomic.move(kept, board.root / _STRAYS / f"{ticket.name}.{time.time_ns()}{_PENDING}")
    return True


def pending_saves(board: Board) -> list[Path]:
    """What was moved away and not merged yet, as the process that did it was killed."""
    strays = board.root / _STRAYS
    try:
        names = os.listdir(strays)  # noqa: PTH208 - called often
    except OSError:
        return []
    return [strays / name for name in sorted(names) if name.endswith(_PENDING)]


def merge_stale_files(board: Board, id: str) -> list[MergedSave]:
    """Merge all saves at old paths of a conducted family, under its lock.

    Leaves what is not such a save (two tickets with one id, a copy of an unconducted ticket).
    """
    strays, pending = board.root / _STRAYS, pending_saves(board)
    if not pending and not board.duplicate_ids():
        return []
    conducted = _find_parent(board, id)
    if conducted is None:
        return []
    parent, flow = conducted
    merged = []
    for member, place in flow.members.items():
        holders = board.holders(member)
        here = [parent]
        if member != parent.id:
            # the ticket is the file that was written last, else the one in its place
            last = versions_of(board.root, holders[0].path.name).last() if holders else None
            here = [t for t in holders if last is not None and _read(t.path) == last]
            if len(here) != 1:
                here = [t for t in holders if t.role is place.at]
        if len(here) != 1:
            continue
        name = here[0].path.name
        others = [t.path for t in holders if t.path != here[0].path]
        if any(path.name != name for path in others):
            continue
        moved = [
            atomic.move(path, strays / f"{name}.{time.time_ns()}{_PENDING}") for path in others
        ]
        left = [path for path in pending if path.name.startswith(f"{name}.")]
        merged += [_merge_file(board, here[0], path, ()) for path in left]
        merged += [
            _merge_file(board, here[0], path, [other])
            for path, other in zip(moved, others, strict=True)
        ]
    return merged


def _find_parent(board: Board, id: str) -> tuple[Ticket, Flow] | None:
    """The parent of the conducted family of `id`, and the record that was committed last."""
    parents = {t.parent for t in board.holders(id) if t.parent} | {id}
    for parent in sorted(parents):
        holders = board.holders(parent)
        history = History(board.path, parent)
        revisions = [int(r["revision"]) for r in history.of("committed")]
        newest = max([*revisions, *map(_revision, holders)], default=-1)
        record = history.latest("transition", revision=newest)
        flow = Flow.model_validate(record["flow"]) if record else None
        place = flow.members.get(parent) if flow else None
        if flow is not None and place is not None:
            # a save of an older version may be where the ticket is to go
            return max(reversed(holders), key=lambda t: (_revision(t), t.role is place.at)), flow
    return None


def _revision(ticket: Ticket) -> int:
    """The revision of the record in a ticket's file, -1 if there is none."""
    try:
        document = Document.parse(atomic.read_saved(ticket.path))
        return from_mapping(document.meta.get("flow") or {}, path=ticket.source).revision
    except (OrchestrateError, OSError):
        return -1


def _read(path: Path) -> bytes | None:
    try:
        return atomic.read_saved(path)
    except (OrchestrateError, OSError):
        return None


def _merge_file(board: Board, ticket: Ticket, stray: Path, sources: Sequence[Path]) -> MergedSave:
    """Merge one save that was moved away into the ticket."""
    # an editor that still had it open has closed it by now
    theirs, now = atomic.read_saved(stray), atomic.read_saved(ticket.path)
    versions = versions_of(board.root, ticket.path.name)
    # what its path last held; a save there may never have had the lines of saves elsewhere
    here = ticket.path.parent.name
    there = versions.seen_at(sources[0].parent.name, here) if sources else ()
    last = next((seen for seen in there if _is_current(theirs, seen)), None)
    bases = [last, _find_base_of_fork(versions.known(here), theirs)]
    if last and bases[1] and _distance(bases[1], theirs) >= _distance(last, theirs):
        # else an editor that had it open as it left may have written into it after that
        bases.pop()
    # the ticket's own file may be a save of an older version itself
    caught = merge_stale_save(board.root, ticket.path, now)
    current = caught[0] if caught else now
    paths = [*sources]
    ways = [_merge_save(base, current, theirs) for base in bases if base is not None]
    if not ways:
        aside = atomic.set_aside(ticket.path, theirs)
        paths.append(aside)
        where = aside.relative_to(board.root)
        notice = f"a save at an old path of {ticket.id} has nothing in common with it: {where}"
    else:
        notice = f"a save at an old path of {ticket.id} is merged into {ticket.source}"
        merged, clean, refused = next((way for way in ways if way[1]), ways[0])
        if merged != now:
            options = replace_options(board.root, ticket.path)
            written = atomic.replace(ticket.path, merged, now, options)
            versions.remember(written.data)
            paths.append(ticket.path)
        if not clean:
            aside = atomic.set_aside(ticket.path, theirs)
            paths.append(aside)
            notice += f"; lines that both changed are in {aside.relative_to(board.root)}"
        notice += _explain_refusal(refused)
    # the editor may still show it, and save it again with more
    atomic.move(stray, versions.slot(sources[0].parent.name if sources else "", forked=True))
    return MergedSave(tuple(paths), notice)


def _merge_save(base: bytes, current: bytes, theirs: bytes) -> tuple[bytes, bool, str]:
    """The text, whether no line was changed on both sides, and an answer that is not taken."""
    saved, refused = _without_answer(theirs, base)
    merged, clean = merge_lines(base, current, saved, b"status:")
    return merged if merged == current else _marked(merged), clean, refused


# -- which version a save was made from ----------------------------------------------------------


def _find_base(versions: Sequence[bytes], theirs: bytes) -> bytes | None:
    """The version that a save was made from, of `versions`, the newest first.

    Nobody edits the record, so it is the newest one with the same record: what the editor saved
    last, or read. Where none has the record it is the one with the fewest changes.
    """
    same = _of_record(versions, theirs)
    return same[0] if same else _most_alike(versions, theirs)


def _find_base_of_fork(versions: Sequence[bytes], theirs: bytes) -> bytes | None:
    """The version that a save at an old path was made from.

    It may never have had the lines of other saves: of the versions with its record it is the one
    from which it takes the fewest lines away.
    """
    same = _of_record(versions, theirs)
    if same:
        return min(same, key=lambda v: (_taken_away(v, theirs), _distance(v, theirs)))
    return _most_alike(versions, theirs)


def _of_record(versions: Sequence[bytes], theirs: bytes) -> list[bytes]:
    flow = _flow_lines(theirs)
    return list(dict.fromkeys(v for v in versions if flow and _flow_lines(v) == flow))


def _most_alike(versions: Sequence[bytes], theirs: bytes) -> bytes | None:
    best = min(versions, key=lambda version: _distance(version, theirs), default=None)
    if best is None:
        return best
    lines = len(best.splitlines()) + len(theirs.splitlines())
    likeness = 1 - _distance(best, theirs) / lines if lines else 1.0
    return best if likeness >= _MIN_LIKENESS else None


def _is_current(save: bytes, last: bytes) -> bool:
    """Whether a save has the record of what its path last held: it was made from that.

    Nobody edits the record, and each text that this program writes has another one.
    """
    flow = _flow_lines(save)
    return bool(flow) and flow == _flow_lines(last)


def _is_cut_down(save: bytes, last: bytes, base: bytes) -> bool:
    """Whether a text without record only lacks lines of the last one that people wrote.

    It then need not have been made from the version before them.
    """
    if _flow_lines(last) or Counter(save.splitlines()) - Counter(last.splitlines()):
        return False
    since = Counter(last.splitlines()) - Counter(base.splitlines())
    return not any(line.startswith(_PROGRAMS) for line in since)


def _marked(merged: bytes) -> bytes:
    """A merged text whose record tells it from the text before."""
    flow = _flow_lines(merged)
    if not flow:
        return merged
    head, _, rest = _MARK.sub(b"", flow).partition(b"\n")
    word = secrets.token_hex(4).encode()
    line = b"  # saves merged: %s%s\n" % (word, b"\r" if head.endswith(b"\r") else b"")
    return merged.replace(flow, head + b"\n" + line + rest, 1)


def _flow_lines(data: bytes) -> bytes:
    """The record in a ticket's text, as it is written there."""
    found = re.search(rb"^flow:[^\n]*\n(?:[ \t][^\n]*\n)*", data, re.MULTILINE)
    return found.group() if found else b""


def _have_one_record(base: bytes, current: bytes) -> bool:
    """Whether nothing but saves of people happened between two versions.

    Of two saves that changed the same line the newest is what the person wants to see.
    """
    flow = _MARK.sub(b"", _flow_lines(base))
    return bool(flow) and flow == _MARK.sub(b"", _flow_lines(current))


def _distance(version: bytes, save: bytes) -> int:
    """How many lines a person would have changed to get from the version to the save.

    The lines of an answer do not count: two versions often differ in nothing else.
    """
    one, other = _lines(version), _lines(save)
    for _ in range(2):
        # drop the common beginning, and then the common end
        pairs = zip(one, other, strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        one, other = one[common:][::-1], other[common:][::-1]
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    return len(one) + len(other) - 2 * same


def _taken_away(version: bytes, save: bytes) -> int:
    """How many of the version's lines the save does not have."""
    return (Counter(_lines(version)) - Counter(_lines(save))).total()


def _lines(data: bytes) -> list[bytes]:
    return [line for line in data.splitlines() if not line.startswith(_ANSWER_LINES)]


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
