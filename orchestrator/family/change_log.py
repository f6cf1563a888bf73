"""What a family's agents changed: looked at before and after each attempt, kept in the history.

An attempt is made of segments: while its agent worked, while a person did what the agent could not,
and while nobody looked because the conductor was killed. The start of a family, and the attempts
at work, are files in `.orchestrate/changes/`; the history keeps what was found.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.changes.compare import (
    Change,
    compare,
    compare_entries,
    paths_of,
    shown,
    without_renames,
)
from orchestrator.changes.entries import Entry
from orchestrator.changes.snapshot import Snapshot, WorkTree
from orchestrator.domain.agent import Outcome
from orchestrator.family.attempt_files import (
    AGENT,
    COMMITTED,
    PERSON,
    UNKNOWN,
    AttemptFiles,
    Seen,
    Segment,
    Worker,
    encode,
    pack,
    unpack,
    whose,
    write,
)
from orchestrator.family.change_notes import ALTERED, describe
from orchestrator.family.checkouts import checkout_at
from orchestrator.family.family import Family
from orchestrator.family.held import Held
from orchestrator.git.command import GitError
from orchestrator.storage import syscalls
from orchestrator.storage.history import History

#: path → (stage, attempt) → the record of its change
_Touched = Mapping[str, Mapping[tuple[int, int], Mapping[str, Any]]]
#: seconds in which the board is not looked at again for an agent that cannot write to it
_LATELY = 0.1


@dataclass
class _Round:
    """What the records say of the changes in this round of a family, one after another."""

    looked: int = 0
    start: dict[str, Any] | None = None
    is_start_lost: bool = False
    #: as `ChangeLog.touched`
    touched: dict[str, dict[tuple[int, int], Mapping[str, Any]]] = field(default_factory=dict)

    def add(self, record: dict[str, Any]) -> None:
        kind = record["type"]
        if kind == "answer" and record["answer"] == "reopen":
            self.start, self.is_start_lost = None, False
        elif kind == "start" and self.start is None:
            self.start, self.is_start_lost, self.touched = record, False, {}
        elif kind == "start-lost":
            self.is_start_lost = self.start is not None
        elif kind in ("changes", "taken-back"):
            key = (record.get("stage", 0), record.get("attempt", 0))
            names = [unpack(name) for name in record["paths"]]
            # what was taken back, or is told anew, is not as it was told before
            for path in names if kind == "taken-back" else list(self.touched):
                attempts = self.touched.get(path, {})
                if attempts.pop(key, None) is not None and not attempts:
                    del self.touched[path]
            for path in names if kind == "changes" else ():
                self.touched.setdefault(path, {})[key] = record


class ChangeLog:
    """The changes of one family."""

    def __init__(self, tree: WorkTree, history: History, family: str) -> None:
        self.tree = tree
        self.history = history
        self.family = family
        self.files = AttemptFiles(tree, family)
        self._lock = threading.Lock()
        #: what the records say of this round, as far as they were looked at
        self._round = _Round()
        self._looking = threading.Lock()
        self._start: tuple[dict[str, Any], Snapshot | None] | None = None
        #: attempt → its record, while its agent works
        self._held: dict[str, Held] = {}
        #: attempt → its record with its end, which the files do not have
        self._ended: dict[str, list[Segment]] = {}
        #: whether what was kept of the start is gone or altered
        self._is_start_lost = False
        #: what lay on the board when an agent ended, and when it was looked at
        self._last_look: tuple[Mapping[str, str], float] = {}, -_LATELY

    # -- the start ---------------------------------------------------------------------------

    @property
    def start_record(self) -> dict[str, Any] | None:
        """The history's record of the start, of this round of the family."""
        return self._look().start

    def _look(self) -> _Round:
        """This round of the family, with the records that are new."""
        with self._looking:
            records = self.history.records
            for record in records[self._round.looked :]:
                self._round.add(record)
            self._round.looked = len(records)
        return self._round

    @property
    def start(self) -> Snapshot | None:
        """The workspace when the family's first agent began; None if that is not known (any more).

        Where only git knows it, what was not committed then is missing.
        """
        record = self.start_record
        if record is None:
            return None
        if self._start is None or self._start[0] is not record:
            self._start = (record, self._load_start(record))
        return self._start[1]

    @property
    def is_start_lost(self) -> bool:
        """Whether an agent began when it was no longer known what lay there at the start."""
        return self._look().is_start_lost

    def _require_start(self) -> None:
        """Write down that what was kept of the start is gone or altered, if it is."""
        if self.start_record is not None and not self.is_start_lost:
            _ = self.start
            if self._is_start_lost:
                self.history.append("start-lost")

    def _load_start(self, record: Mapping[str, Any]) -> Snapshot | None:
        self._is_start_lost = False
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            data = syscalls.read_whole(f"{self.files.folder}/start.json")
            if hashlib.sha256(data).hexdigest() == record["sha256"]:
                return Snapshot.from_dict(json.loads(data))
        self._is_start_lost = True
        if record["by_git"]:
            return Snapshot({}, True, record["head"], record["branch"])
        return None

    def begin(self, extra: Sequence[str]) -> Snapshot:
        """The start of the family, recorded if this is it."""
        if (known := self.start) is not None:
            return known
        if self.start_record is not None:
            # it is lost: another one would hide what has changed since
            return self.tree.take(extra=extra, keep=True)
        self.files.forget()
        found = self.tree.take(extra=extra, keep=True)
        data = encode(found.to_dict())
        write(self.files.folder / "start.json", data)
        record = self.history.announce(
            "start",
            by_git=found.by_git,
            head=found.head,
            branch=found.branch,
            sha256=hashlib.sha256(data).hexdigest(),
        )
        self._start = record, found
        return found

    # -- attempts ----------------------------------------------------------------------------

    def open(self, worker: Worker, extra: Sequence[str] = (), *, free: bool = True) -> None:
        """An agent is about to work; `free`: it could write to the board. Raises GitError.

        It may begin once the history is flushed.
        """
        with self._lock:
            self._require_start()
            is_first = self.start_record is None
            start = self.begin(extra)
            segments = self._load(worker)
            if segments:
                self._end(segments, extra)
                last = segments[-1].after
                assert last is not None
                before = self.tree.take(last, extra, keep=True)
            else:
                board = None if free else self._lately_on_board()
                try:
                    before = (
                        start if is_first else self.tree.take(start, extra, keep=True, board=board)
                    )
                except GitError:
                    # the commit of the start may be gone
                    before = self.tree.take(None, extra, keep=True, by_git=start.by_git)
                before = self._with_left_over(worker, before)
            segments = [*segments, Segment(AGENT, before)]
            self._save(worker, segments)
            self.files.enter(worker)
            self._hold(worker, segments, start, free)

    def _lately_on_board(self) -> Mapping[str, str] | None:
        """What lay on the board a moment ago, for an agent that cannot write to it.

        Only what persons did is then told of it; what the conductor wrote since is known.
        """
        board, looked = self._last_look
        return board if time.monotonic() - looked < _LATELY else None

    def _hold(self, worker: Worker, segments: list[Segment], start: Snapshot, free: bool) -> None:
        places = (self.files.file(worker), self.files.folder / "start.json")
        held = Held(
            segments, self.tree.contents, {p: syscalls.read_whole(p) for p in places if p.is_file()}
        )
        held.keep([s.before for s in segments] + [start], board=free)
        self._held[worker.name] = held

    def _release(self, worker: Worker) -> tuple[list[Segment], bool]:
        """The segments as they were when the agent began; whether their record was altered."""
        held = self._held.pop(worker.name, None)
        self.tree.reader.hashes.distrust()
        if held is None:
            return self._load(worker), False
        return held.segments, held.put_back()

    def stop(self, worker: Worker, extra: Sequence[str] = ()) -> None:
        """The agent was stopped: what is changed from now on is not its doing."""
        segments, _ = self._release(worker)
        if segments and segments[-1].after is None:
            segments[-1].after = self.tree.take(segments[-1].before, extra)
            self._save(worker, segments)
        self.files.leave(worker)

    def settle(self, worker: Worker, extra: Sequence[str] = ()) -> Seen:
        """Record what changed up to now in an attempt that is not going on. Raises GitError."""
        with self._lock:
            self._require_start()
            segments = self._load(worker)
            lost = not segments and bool(self._digests(worker))
            if lost and (start := self.start) is not None:
                segments = [Segment(UNKNOWN, start)]
            self._end(segments, extra)
            self._save(worker, segments)
            seen = self.record(worker, segments, lost)
        self.history.flush()
        return seen

    def close(
        self,
        worker: Worker,
        extra: Sequence[str] = (),
        notes: Sequence[str] = (),
        *,
        keep: bool = True,
    ) -> Seen:
        """The agent has reported: record what changed, and what else is known. Raises GitError.

        It is in the history with the next record. `keep`: what there is now is kept, for another
        turn. Else it is while others are at work, or with `keep_end`.
        """
        segments, altered = self._release(worker)
        if segments:
            after = segments[-1].after = self.tree.take(segments[-1].before, extra)
            self._last_look = after.board, time.monotonic()
            if keep or self.files.is_beside(worker):
                self._save(worker, segments)
            else:
                self._ended[worker.name] = segments
        with self._lock:
            seen = self.record(worker, segments, altered, notes)
        self.files.leave(worker)
        return seen

    def keep_end(self, worker: Worker) -> None:
        """Keep what there was when the agent reported: the attempt is not over, or taken back."""
        segments = self._ended.pop(worker.name, None)
        if segments is not None:
            self._save(worker, segments)

    def hand_to_person(self, worker: Worker) -> None:
        """The agent cannot do it: what changes from now on in this attempt is a person's work."""
        self.keep_end(worker)
        segments = self._load(worker)
        if segments and (last := segments[-1].after) is not None:
            self._save(worker, [*segments, Segment(PERSON, last)])

    def _digests(self, worker: Worker) -> set[str]:
        """What the file of an attempt may hold."""
        about = {"stage": worker.stage, "attempt": worker.attempt}
        return {
            str(r["sha256"])
            for r in self.history.of("baseline")
            if all(r[k] == v for k, v in about.items())
        }

    def _load(self, worker: Worker) -> list[Segment]:
        return self.files.load(worker, self._digests(worker), self.start)

    def _save(self, worker: Worker, segments: Sequence[Segment]) -> None:
        start = self.start
        data = encode([segment.to_dict(start) for segment in segments])
        sha256 = hashlib.sha256(data).hexdigest()
        is_first = not self._digests(worker)
        self.history.announce("baseline", stage=worker.stage, attempt=worker.attempt, sha256=sha256)
        if not is_first:
            # the digest first: beside others, a file without one is taken for altered
            self.history.flush()
        write(self.files.file(worker), data, self._spare(worker) if is_first else None)

    def _spare(self, worker: Worker) -> Path | None:
        """The file of an attempt whose report of work done is in the history: it is over."""
        if self.files.is_beside(worker):
            return None
        for (stage, attempt), file in self.files.kept().items():
            report = self.history.latest("report", stage=stage, attempt=attempt)
            if report is None or report["outcome"] != Outcome.DONE:
                continue
            if (stage, attempt) != (worker.stage, worker.attempt) and self.history.holds(report):
                return file
        return None

    def _end(self, segments: list[Segment], extra: Sequence[str]) -> None:
        """End the last segment, whoever it was that worked in it."""
        if segments and segments[-1].after is None:
            last = segments[-1]
            last.after = self.tree.take(last.before, extra)
            if last.by == AGENT and self.tree.root == self.tree.home:
                # in a checkout of its own nobody else works
                last.by = UNKNOWN

    # -- what changed ------------------------------------------------------------------------

    def record(
        self,
        worker: Worker,
        segments: Sequence[Segment],
        altered: bool = False,
        notes: Sequence[str] = (),
    ) -> Seen:
        seen = self.see(worker, segments)
        seen = replace(seen, notes=(*notes, *seen.notes))
        if altered:
            seen = replace(seen, is_record_altered=True, notes=(ALTERED, *seen.notes))
        self.history.announce(
            "changes",
            stage=worker.stage,
            attempt=worker.attempt,
            agent=worker.agent,
            ticket=worker.ticket,
            paths={
                pack(c.path): [c.before.to_list(), c.after.to_list(), sorted(seen.by[c.path])]
                for c in without_renames(seen.changes)
            },
            shared={pack(p): list(others) for p, others in seen.shared.items()},
            notes=list(seen.notes),
        )
        return seen

    def see(self, worker: Worker, segments: Sequence[Segment]) -> Seen:
        first: dict[str, Entry] = {}
        by: dict[str, set[str]] = {}
        notes: list[str] = []
        for segment in segments:
            assert segment.after is not None
            for change in without_renames(compare(self.tree, segment.before, segment.after)):
                first.setdefault(change.path, change.before)
                by.setdefault(change.path, set()).add(segment.by)
            if segment.by != PERSON:
                notes += describe(self.tree, segment.before, segment.after)
        if not segments:
            return Seen(worker)
        begin, end = segments[0].before, segments[-1].after
        assert end is not None
        shared: dict[str, tuple[str, ...]] = {}
        others = self.files.others(worker, begin.taken)
        for path in list(first):
            mine, with_whom = whose(path, worker, others)
            if not mine:
                del first[path]
            elif with_whom:
                shared[path] = with_whom
        last = self.tree.entries_at(end, first)
        # in a checkout of its own, whatever was committed is the agent's
        if begin.head != end.head and self.tree.root == self.tree.home:
            commit = Snapshot({}, True, end.head)
            for path, entry in self.tree.entries_at(commit, first).items():
                if entry == last[path]:
                    by[path].add(COMMITTED)
        return Seen(
            worker,
            tuple(compare_entries(first, last)),
            {path: frozenset(by[path]) for path in first},
            shared,
            tuple(dict.fromkeys(notes)),
            begin,
            end,
        )

    def record_taken_back(
        self, worker: Worker, back: Sequence[str], left: Mapping[str, str], kept: str
    ) -> None:
        """Write what became of a refused attempt's changes."""
        self.history.append(
            "taken-back",
            stage=worker.stage,
            attempt=worker.attempt,
            paths=[pack(p) for p in back],
            left={pack(p): why for p, why in left.items()},
            kept=kept,
        )

    def is_to_be_taken_back(self, worker: Worker) -> Seen | None:
        """The changes of an attempt that failed just before the conductor was killed."""
        failed = self.history.latest(
            "report", stage=worker.stage, attempt=worker.attempt, outcome="failed"
        )
        about = {"stage": worker.stage, "attempt": worker.attempt}
        if failed is None or self.history.latest("taken-back", **about) is not None:
            return None
        segments = self._load(worker)
        if not segments or any(s.after is None for s in segments):
            return None
        return self.see(worker, segments)

    def _with_left_over(self, worker: Worker, before: Snapshot) -> Snapshot:
        """What could not be taken back, and nobody has edited since, still counts as changed."""
        about = {"stage": worker.stage, "attempt": worker.attempt - 1}
        taken, seen = (self.history.latest(kind, **about) for kind in ("taken-back", "changes"))
        entries = dict(before.entries)
        for name in taken["left"] if taken and seen else ():
            path = unpack(name)
            was, left, _ = seen["paths"].get(name, ((), (), ())) if seen else ((), (), ())
            if left and self.tree.entry(path) == Entry.from_list(left):
                entries[path] = Entry.from_list(was)
        return replace(before, entries=entries)

    # -- the family's change -----------------------------------------------------------------

    def touched(self) -> _Touched | None:
        """Path → attempt → the record of its change; None before anything was looked at."""
        found = self._look()
        if found.start is None:
            return None
        with self._looking:
            return {path: dict(attempts) for path, attempts in found.touched.items()}

    def family_changes(self) -> list[Change]:
        """What is not as it was when the family began, of all that its attempts changed."""
        paths = set(self.touched() or ())
        if self.is_start_lost and self.start is not None:
            # nothing may be left out: whatever git sees may be the agents' work
            seen = self.tree.take(self.start).entries
            paths |= {p for p in seen if not p.startswith(".git/")}
        now = {path: self.tree.entry(path) for path in paths}
        return compare_entries(self.first_entries(paths), now)

    def changed_paths(self) -> frozenset[str] | None:
        """The paths of `family_changes`, printable; None before anything was looked at."""
        if self.touched() is None:
            return None
        return frozenset(map(shown, paths_of(self.family_changes())))

    def first_entries(self, paths: Collection[str]) -> dict[str, Entry]:
        """What lay at these paths when the family began.

        Where the start is lost, or its commit is gone, what lay there before the first attempt that
        changed them.
        """
        start = self.start
        if start is not None:
            with contextlib.suppress(GitError):
                return self.tree.entries_at(start, paths)
        known = self.touched() or {}
        first = {p: next(iter(known[p].values()))["paths"][pack(p)][0] for p in paths if p in known}
        return {p: Entry.from_list(first.get(p)) for p in paths}

    def forget(self) -> None:
        """Remove what is kept of attempts once the family has ended, and bytes nobody needs."""
        self.files.forget()
        self.tree.keep_only(self.files.digests)


def change_log_of(family: Family, stage: int = 0) -> ChangeLog:
    """The changes of a family, as they are where a stage works: by default all of it."""
    board, checkout = family.board, checkout_at(family, stage)
    root = checkout.root if checkout is not None else board.root
    below = board.path.relative_to(board.root).as_posix()
    tree = WorkTree(root, below, board.root)
    return ChangeLog(tree, family.history, family.parent)
