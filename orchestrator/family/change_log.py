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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.changes.compare import Change, compare, compare_entries, paths_of, shown
from orchestrator.changes.entries import ABSENT, Entry
from orchestrator.changes.snapshot import Snapshot, WorkTree
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
from orchestrator.family.family import Family
from orchestrator.git.command import GitError
from orchestrator.git.listing import new_commits
from orchestrator.storage.atomic import sha256_bytes
from orchestrator.storage.history import History
from orchestrator.storage.versions import Versions


class ChangeLog:
    """The changes of one family."""

    def __init__(self, tree: WorkTree, history: History, family: str) -> None:
        self.tree = tree
        self.history = history
        self.family = family
        self.files = AttemptFiles(tree, family)
        self._lock = threading.Lock()
        self._start: tuple[dict[str, Any], Snapshot | None] | None = None

    # -- the start ---------------------------------------------------------------------------

    @property
    def start_record(self) -> dict[str, Any] | None:
        """The history's record of the start, of this round of the family."""
        for record in reversed(self.history.records):
            if record["type"] == "start":
                return record
            if record["type"] == "answer" and record["answer"] == "reopen":
                return None
        return None

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

    def _load_start(self, record: Mapping[str, Any]) -> Snapshot | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            data = (self.files.folder / "start.json").read_bytes()
            if hashlib.sha256(data).hexdigest() == record["sha256"]:
                return Snapshot.from_dict(json.loads(data))
        if record["by_git"]:
            return Snapshot({}, True, record["head"], record["branch"])
        return None

    def _begin(self, extra: Sequence[str]) -> Snapshot:
        """The start of the family, recorded if this is it."""
        if (known := self.start) is not None:
            return known
        self.files.forget()
        found = self.tree.take(extra=extra, keep=True)
        data = encode(found.to_dict())
        write(self.files.folder / "start.json", data)
        self.history.append(
            "start",
            by_git=found.by_git,
            head=found.head,
            branch=found.branch,
            sha256=hashlib.sha256(data).hexdigest(),
        )
        return found

    # -- attempts ----------------------------------------------------------------------------

    def open(self, worker: Worker, extra: Sequence[str] = ()) -> None:
        """An agent is about to work. Raises GitError."""
        with self._lock:
            start = self._begin(extra)
            segments = self.files.load(worker)
            if segments:
                self._end(segments, extra)
                last = segments[-1].after
                assert last is not None
                before = self.tree.take(last, extra, keep=True)
            else:
                try:
                    before = self.tree.take(start, extra, keep=True)
                except GitError:
                    # the commit of the start may be gone
                    before = self.tree.take(None, extra, keep=True, by_git=start.by_git)
                before = self._with_left_over(worker, before)
            self.files.save(worker, [*segments, Segment(AGENT, before)])
            self.files.enter(worker)

    def stop(self, worker: Worker, extra: Sequence[str] = ()) -> None:
        """The agent was stopped: what is changed from now on is not its doing."""
        segments = self.files.load(worker)
        if segments and segments[-1].after is None:
            segments[-1].after = self.tree.take(segments[-1].before, extra)
            self.files.save(worker, segments)
        self.files.leave(worker)

    def settle(self, worker: Worker, extra: Sequence[str] = ()) -> Seen:
        """Record what changed up to now in an attempt that is not going on. Raises GitError."""
        with self._lock:
            segments = self.files.load(worker)
            self._end(segments, extra)
            self.files.save(worker, segments)
            return self._record(worker, segments)

    def close(self, worker: Worker, extra: Sequence[str] = ()) -> Seen:
        """The agent has reported: record what changed. Raises GitError."""
        segments = self.files.load(worker)
        if segments:
            segments[-1].after = self.tree.take(segments[-1].before, extra)
            self.files.save(worker, segments)
        with self._lock:
            seen = self._record(worker, segments)
        self.files.leave(worker)
        return seen

    def hand_to_person(self, worker: Worker) -> None:
        """The agent cannot do it: what changes from now on in this attempt is a person's work."""
        segments = self.files.load(worker)
        if segments and (last := segments[-1].after) is not None:
            self.files.save(worker, [*segments, Segment(PERSON, last)])

    def _end(self, segments: list[Segment], extra: Sequence[str]) -> None:
        """End the last segment, whoever it was that worked in it."""
        if segments and segments[-1].after is None:
            last = segments[-1]
            last.after = self.tree.take(last.before, extra)
            last.by = UNKNOWN if last.by == AGENT else last.by

    # -- what changed ------------------------------------------------------------------------

    def _record(self, worker: Worker, segments: Sequence[Segment]) -> Seen:
        seen = self._see(worker, segments)
        self.history.append(
            "changes",
            stage=worker.stage,
            attempt=worker.attempt,
            agent=worker.agent,
            ticket=worker.ticket,
            paths={
                pack(c.path): [c.before.to_list(), c.after.to_list(), sorted(seen.by[c.path])]
                for c in _without_renames(seen.changes)
            },
            shared={pack(p): list(others) for p, others in seen.shared.items()},
            notes=list(seen.notes),
        )
        return seen

    def _see(self, worker: Worker, segments: Sequence[Segment]) -> Seen:
        first: dict[str, Entry] = {}
        by: dict[str, set[str]] = {}
        notes: list[str] = []
        for segment in segments:
            assert segment.after is not None
            for change in _without_renames(compare(self.tree, segment.before, segment.after)):
                first.setdefault(change.path, change.before)
                by.setdefault(change.path, set()).add(segment.by)
            if segment.by != PERSON:
                notes += _describe_moves(self.tree, segment.before, segment.after)
                notes += _describe_tickets(self.tree, segment.before, segment.after)
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
        if begin.head != end.head:
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
        segments = self.files.load(worker)
        if not segments or any(s.after is None for s in segments):
            return None
        return self._see(worker, segments)

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

    def touched(self) -> dict[str, dict[tuple[int, int], Mapping[str, Any]]] | None:
        """Path → attempt → the record of its change; None before anything was looked at."""
        begun = self.start_record
        if begun is None:
            return None
        records = self.history.records
        found: dict[str, dict[tuple[int, int], Mapping[str, Any]]] = {}
        for record in records[records.index(begun) :]:
            key = (record.get("stage", 0), record.get("attempt", 0))
            if record["type"] == "changes":
                for attempts in found.values():
                    attempts.pop(key, None)
                for name in record["paths"]:
                    found.setdefault(unpack(name), {})[key] = record
            elif record["type"] == "taken-back":
                for name in record["paths"]:
                    found.get(unpack(name), {}).pop(key, None)
        return {path: attempts for path, attempts in found.items() if attempts}

    def family_changes(self) -> list[Change]:
        """What is not as it was when the family began, of all that its attempts changed."""
        touched = self.touched() or {}
        now = {path: self.tree.entry(path) for path in touched}
        return compare_entries(self.first_entries(touched), now)

    def changed_paths(self) -> frozenset[str] | None:
        """The paths of `family_changes`, printable; None before anything was looked at."""
        if self.touched() is None:
            return None
        return frozenset(map(shown, paths_of(self.family_changes())))

    def first_entries(self, paths: Mapping[str, Any]) -> dict[str, Entry]:
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
        self.tree.contents.remove_all_but(self.files.digests())


def change_log_of(family: Family) -> ChangeLog:
    """The changes of a family."""
    board = family.board
    tree = WorkTree(board.root, board.path.relative_to(board.root).as_posix())
    return ChangeLog(tree, family.history, family.parent)


def _describe_tickets(tree: WorkTree, before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Tickets that somebody other than the conductor wrote or removed."""
    found = []
    for name in sorted({*before.board, *after.board}):
        was, now = before.board.get(name), after.board.get(name)
        written = Versions(tree.root, name).last() if was != now else None
        if was != now and (written is None or sha256_bytes(written) != now):
            found.append(
                f"{name} ({'removed' if now is None else 'added' if was is None else 'edited'})"
            )
    if found:
        yield f"on the board, by the agent or by a person: {', '.join(found)}"


def _describe_moves(tree: WorkTree, before: Snapshot, after: Snapshot) -> Iterator[str]:
    """What happened to the repository besides its files."""
    if before.branch != after.branch:
        yield f"HEAD went from {before.branch or 'no branch'} to {after.branch or 'no branch'}"
    commits = new_commits(tree.root, before.head, after.head) if after.by_git else []
    for line in commits:
        yield f"commit {line}"
    if before.head != after.head and not commits and before.branch == after.branch:
        ancestors = new_commits(tree.root, after.head, before.head)
        if ancestors:
            yield f"HEAD went back from {before.head[:10]} to {after.head[:10]}"
    if before.head == after.head:
        names = {*before.index, *after.index}
        staged = sorted(p for p in names if before.index.get(p) != after.index.get(p))
        if staged and (outside := [p for p in staged if tree.concerns(p)]):
            yield f"git's index was changed: {', '.join(outside[:10])}"


def _without_renames(changes: Sequence[Change]) -> Iterator[Change]:
    """The changes with each rename as a deletion and an addition."""
    for change in changes:
        yield Change(change.path, change.before, change.after)
        if change.source:
            yield Change(change.source, change.after, ABSENT)
