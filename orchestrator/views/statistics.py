"""What the histories of a board's families say in figures: flow, waits, failures, costs.

Histories only grow, so each is read on from where the last look ended; what was read is kept in a
disposable file. Only conducted families have a history; other tickets are in no figure.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator.domain.states import FolderRole
from orchestrator.errors import OrchestrateError
from orchestrator.family.spending import TURN, Turn, sum_of
from orchestrator.storage import atomic
from orchestrator.storage.history import FOLDER

_VERSION = 1
#: bytes by which the end of what was read is known again: a digest of all before is among them
_TAIL = 64
_TYPE = re.compile(rb'\{"type": ?"([a-z-]+)"')
#: the types of records that are read, in bytes as a line begins with them
_READ = frozenset({b"transition", b"report", b"failure", b"answer", TURN.encode()})
#: outcomes after which an attempt counts: one that waits or that a person does is none
_COUNTED = ("done", "failed", "cannot")
#: how an attempt ended
_PASSED, _FAILED, _SENT_BACK = 0, 1, 2
#: up to how many seconds USER took, in words
_DURATIONS = (
    ("under 1 h", 3600),
    ("1 to 4 h", 4 * 3600),
    ("4 to 24 h", 86_400),
    ("1 to 7 days", 7 * 86_400),
    ("over 7 days", float("inf")),
)
#: days of the cumulative flow at most, the last ones
_MOST_DAYS = 366


@dataclass
class _Facts:
    """What one family's history says, as far as it was read. Times are seconds since 1970."""

    inode: int = 0
    #: bytes that were read: whole lines, and how the last one ends
    offset: int = 0
    tail: str = ""
    #: (time, member, role) of each move
    moves: list[tuple[int, str, str]] = field(default_factory=list)
    #: member → its role now
    at: dict[str, str] = field(default_factory=dict)
    #: (number of the question, asked, answered or 0)
    waits: list[tuple[int, int, int]] = field(default_factory=list)
    #: [time, agent, stage, attempt, how it ended]
    attempts: list[list[Any]] = field(default_factory=list)
    #: records of turns, without what is not summed
    turns: list[dict[str, Any]] = field(default_factory=list)

    def read(self, record: Mapping[str, Any]) -> None:
        """Take in a record. Raises KeyError, TypeError, ValueError for what is none."""
        moment = _seconds(record["at"])
        match record["type"]:
            case "transition":
                self._transition(moment, record)
            case "report" if record["outcome"] in _COUNTED:
                ended = _FAILED if record["outcome"] == "cannot" else _PASSED
                self.attempts.append(
                    [moment, str(record["agent"]), record["stage"], record["attempt"], ended]
                )
            case "failure":
                for stage in record["stages"]:
                    self._end(stage, _FAILED)
            case "answer":
                for stage, attempt in (record.get("attempts") or {}).items():
                    self._end(int(stage), _SENT_BACK, before=attempt)
            case _ if record["type"] == TURN:
                Turn.from_record("", record)
                names = ("stage", "attempt", "turn", "agent", "adapter", "at", "usage", "seconds")
                self.turns.append({name: record[name] for name in names})

    def _transition(self, moment: int, record: Mapping[str, Any]) -> None:
        for member, place in record["members"].items():
            role = FolderRole(place["at"]).value
            if self.at.get(member) != role:
                self.at[member] = role
                self.moves.append((moment, member, role))
        question = record["flow"].get("question")
        number = int(question["number"]) if question else 0
        if self.waits and not self.waits[-1][2] and self.waits[-1][0] != number:
            last = self.waits[-1]
            self.waits[-1] = (last[0], last[1], moment)
        if number and (not self.waits or self.waits[-1][0] != number):
            self.waits.append((number, _seconds(question["asked"]), 0))

    def _end(self, stage: int, how: int, before: int = 0) -> None:
        """How the last attempt of a stage ended; `before`: only if it is an earlier one."""
        found = next((a for a in reversed(self.attempts) if a[2] == stage), None)
        if found is not None and (not before or found[3] < before) and found[4] == _PASSED:
            found[4] = how


@dataclass(frozen=True)
class Duration:
    """How long something took, in seconds."""

    name: str
    count: int
    median: float
    longest: float
    #: of those that are not over yet
    open: int = 0


@dataclass(frozen=True)
class AgentRate:
    """How often an agent's attempts failed: at the gate, at an inspection, or as it said itself."""

    agent: str
    attempts: int
    failed: int
    #: done again because USER said so
    sent_back: int

    @property
    def rate(self) -> float:
        """The failed ones, of all attempts: 0 to 1."""
        return self.failed / self.attempts if self.attempts else 0.0


@dataclass(frozen=True)
class DayCost:
    """What coding agents spent on a local calendar day."""

    day: str
    turns: int
    usd: float
    tokens: int
    #: models of which no price is known: their cost is not in `usd`
    unpriced: tuple[str, ...]


@dataclass(frozen=True)
class Figures:
    """The figures of a board."""

    families: int
    #: local calendar days
    days: tuple[str, ...]
    #: state → how many tickets were in it at the end of each day
    flow: dict[str, tuple[int, ...]]
    #: each state in which tickets are worked on or wait
    states: tuple[Duration, ...]
    #: from question to answer
    waiting: Duration
    #: how many answers took how long
    waited: dict[str, int]
    agents: tuple[AgentRate, ...]
    costs: tuple[DayCost, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; durations are in seconds."""
        return {
            **asdict(self),
            "agents": [{**asdict(each), "rate": round(each.rate, 4)} for each in self.agents],
        }


class Statistics:
    """The histories of one board, read as far as they go. `cache`: a file to keep it in."""

    def __init__(self, board: Path, cache: Path | None = None) -> None:
        self._folder = board / FOLDER
        self._cache = cache
        self._facts: dict[str, _Facts] | None = None

    @classmethod
    def of(cls, root: Path, board: Path) -> Statistics:
        """Those of a workspace, kept with its other state."""
        return cls(board, root / ".orchestrate" / "state" / "statistics.json")

    def figures(self, since: str = "", now: float | None = None) -> Figures:
        """The figures as of now (seconds since 1970); of what ended after `since` (ISO 8601)."""
        self._read_on()
        begin = _seconds(since) if since else 0
        moment = int(time.time() if now is None else now)
        return _figures(list((self._facts or {}).values()), begin, moment)

    def _read_on(self) -> None:
        known = self._load() if self._facts is None else self._facts
        facts: dict[str, _Facts] = {}
        changed = False
        for file in sorted(self._folder.glob("*.jsonl")):
            held = known.get(file.name, _Facts())
            facts[file.name], grown = _read_file(file, held)
            changed = changed or grown
        self._facts = facts
        if self._cache is not None and (changed or facts.keys() != known.keys()):
            data = {"version": _VERSION, "files": {n: asdict(f) for n, f in facts.items()}}
            # without it the next look takes longer
            with suppress(OSError, OrchestrateError):
                self._cache.parent.mkdir(parents=True, exist_ok=True)
                atomic.replace(self._cache, json.dumps(data).encode())

    def _load(self) -> dict[str, _Facts]:
        if self._cache is None:
            return {}
        try:
            data = json.loads(atomic.read(self._cache))
            files = data["files"] if data["version"] == _VERSION else {}
            return {name: _Facts(**held) for name, held in files.items()}
        except (OSError, OrchestrateError, ValueError, TypeError, KeyError, AttributeError):
            return {}


def _read_file(path: Path, known: _Facts) -> tuple[_Facts, bool]:
    """What a history says, and whether it had anything new. What is not a record is left out."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return _Facts(), False
    with os.fdopen(fd, "rb") as file:
        stat = os.fstat(fd)
        # git puts another file in its place, which may get the same inode
        tail = os.pread(fd, len(known.tail), max(0, known.offset - len(known.tail)))
        if stat.st_ino != known.inode or tail.decode("latin-1") != known.tail:
            known = _Facts(inode=stat.st_ino)
        if stat.st_size == known.offset:
            return known, False
        file.seek(known.offset)
        for line in file:
            # the last line may not be whole yet
            if not line.endswith(b"\n"):
                break
            known.offset += len(line)
            known.tail = line[-_TAIL:].decode("latin-1")
            kind = _TYPE.match(line)
            if kind is None or kind[1] in _READ:
                with suppress(ValueError, KeyError, TypeError, AttributeError):
                    known.read(json.loads(line))
    return known, True


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _day(seconds: int) -> date:
    return datetime.fromtimestamp(seconds).astimezone().date()


# -- the figures ---------------------------------------------------------------------------------


def _figures(facts: list[_Facts], begin: int, now: int) -> Figures:
    days, flow = _flow(facts, begin, now)
    waits = [(asked, answered) for each in facts for _, asked, answered in each.waits]
    answered = [end - asked for asked, end in waits if end >= max(begin, 1)]
    waited = dict.fromkeys((name for name, _ in _DURATIONS), 0)
    for took in answered:
        waited[next(name for name, limit in _DURATIONS if took < limit)] += 1
    turns = [Turn.from_record("", turn) for each in facts for turn in each.turns]
    by_day = _grouped((t for t in turns if _seconds(t.at) >= begin), lambda t: t.day)
    return Figures(
        families=sum(bool(each.offset) for each in facts),
        days=days,
        flow=flow,
        states=tuple(_states(facts, begin, now)),
        waiting=_duration("USER", answered, [now - asked for asked, end in waits if not end]),
        waited=waited,
        agents=tuple(_agents(facts, begin)),
        costs=tuple(
            DayCost(day, s.turns, round(s.usd, 6), s.tokens, tuple(sorted(s.unpriced)))
            for day, of_day in sorted(by_day.items())
            for s in (sum_of(of_day),)
        ),
    )


def _grouped(items: Iterable[Any], key: Callable[[Any], str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return found


def _flow(
    facts: list[_Facts], begin: int, now: int
) -> tuple[tuple[str, ...], dict[str, tuple[int, ...]]]:
    """How many tickets were in each state at the end of each day."""
    moves = sorted((m for each in facts for m in each.moves), key=lambda move: move[0])
    # a history that was written by a clock that is ahead ends today
    moves = [move for move in moves if move[0] <= now]
    if not moves:
        return (), {}
    last = _day(now)
    first = max(_day(max(moves[0][0], begin)), last - timedelta(days=_MOST_DAYS - 1))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    at: dict[str, str] = {}
    counts: dict[str, int] = dict.fromkeys(FolderRole, 0)
    rows: dict[str, list[int]] = {role.value: [] for role in FolderRole}
    position = 0
    for day in days:
        while position < len(moves) and _day(moves[position][0]) <= day:
            _, member, role = moves[position]
            if member in at:
                counts[at[member]] -= 1
            at[member] = role
            counts[role] += 1
            position += 1
        for name, row in rows.items():
            row.append(counts[name])
    flow = {name: tuple(row) for name, row in rows.items() if any(row)}
    return tuple(day.isoformat() for day in days), flow


def _states(facts: list[_Facts], begin: int, now: int) -> Iterator[Duration]:
    """How long tickets stay in each state that is not the end."""
    over: dict[str, list[float]] = defaultdict(list)
    still: dict[str, list[float]] = defaultdict(list)
    for each in facts:
        since: dict[str, tuple[int, str]] = {}
        for moment, member, role in each.moves:
            if member in since and moment >= begin:
                entered, was = since[member]
                over[was].append(moment - entered)
            since[member] = (moment, role)
        for entered, role in since.values():
            still[role].append(now - entered)
    for role in FolderRole:
        if not role.finished and (over[role] or still[role]):
            yield _duration(role.value, over[role], still[role])


def _duration(name: str, over: Sequence[float], still: Sequence[float]) -> Duration:
    """The median is of what is over, or of what is not where nothing is; the longest is of all."""
    longest = max((0.0, *over, *still))
    middle = median(over or still) if over or still else 0.0
    return Duration(name, len(over), float(max(0.0, middle)), float(longest), len(still))


def _agents(facts: list[_Facts], begin: int) -> Iterator[AgentRate]:
    made = [a for each in facts for a in each.attempts if a[0] >= begin]
    for agent, attempts in sorted(_grouped(made, lambda a: str(a[1])).items()):
        ends = [attempt[4] for attempt in attempts]
        yield AgentRate(agent, len(ends), ends.count(_FAILED), ends.count(_SENT_BACK))
