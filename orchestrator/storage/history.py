"""A family's history and receipts: append-only JSON lines in the board (DESIGN 2.7).

Each record's `prev` is a digest of all lines before it, and the conductor signs transitions, so
that a line which is edited, removed, added or moved is found (DESIGN 12.3).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from orchestrator.domain.folders import HISTORIES
from orchestrator.errors import GitAtWorkError, TicketError, UnsafePathError
from orchestrator.errors.masking import mask, mask_all, visible_json
from orchestrator.storage import signing, written
from orchestrator.storage.atomic import append_lines, begin_lines, read

FOLDER = HISTORIES

#: on disk before what follows from them: a ticket's new state, an effect
_AWAITED = frozenset({"transition", "effect", "effect-begins"})
#: lost without harm in a crash, as they also follow from the tickets
DEFERRED = frozenset({"committed", "synced"})
#: what USER begins again with after the lines before were altered: they prove nothing any more
ALTERED = "altered"
_SIGNED = frozenset({"transition", ALTERED})

#: one line: `type`, `at` and the fields of its type
Record = dict[str, Any]

_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


#: how the lines begin that git leaves in a file whose merge is not finished
_MARKS = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")
#: histories that were read lately, with their bytes: mostly they have only grown since
_cache: OrderedDict[Path, tuple[bytes, _Chain]] = OrderedDict()
_CACHED = 64


def now() -> str:
    """The time as the history writes it: UTC, ISO 8601, whole seconds."""
    return _format_time(int(time.time()))


@lru_cache(maxsize=1)
def _format_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Damage:
    """A line of a history that is not a record, and that no crash has torn, or that was altered."""

    path: Path
    line: int
    code: str
    #: what is wrong, where the code does not say it
    why: str = ""

    @property
    def message(self) -> str:
        if self.code == "merge-conflict":
            return f"the receipts of {self.path.stem} have the marks of an unfinished merge"
        if self.code == "history-altered":
            return f"the receipts of {self.path.stem} are not as they were written: {self.why}"
        if self.why:
            return f"the receipts of {self.path.stem} cannot be read: {self.why}"
        return f"a line in the receipts of {self.path.stem} is not a record"

    @property
    def hint(self) -> str:
        last = f"git log -- {self.path.parent.parent.name}/{FOLDER}/{self.path.name}"
        if self.code == "merge-conflict":
            return (
                "keep one of the two versions whole, that of the ticket beside it, and delete the "
                f"other and the marks; `{last}` has both"
            )
        if self.code == "history-altered":
            return (
                f"restore the file from its last good commit (`{last}`), or have everything proven "
                f"and asked again: orchestrate reopen {self.path.stem}"
            )
        return f"restore the line, or the file from its last good commit (`{last}`)"

    def error(self) -> TicketError:
        return TicketError(
            self.message, path=self.path, line=self.line, code=self.code, hint=self.hint
        )


@dataclass(frozen=True)
class _Chain:
    """The records of a file, and whether each follows from those before it."""

    records: tuple[Record, ...] = ()
    #: digest of all records
    tip: str = ""
    #: lines that were read, and those of them that are not records
    lines: int = 0
    unread: int = 0
    #: those of the first editions have no link
    linked: bool = False
    #: line of the first record that does not follow, 0: none
    broken: int = 0

    @cached_property
    def start(self) -> int:
        """Where the records that count begin."""
        found = (n for n, record in enumerate(self.records) if record["type"] == ALTERED)
        return max(found, default=0)

    @cached_property
    def by_kind(self) -> dict[str, list[Record]]:
        """Type → the records that count, oldest first."""
        found: dict[str, list[Record]] = {}
        for record in self.records[self.start :]:
            found.setdefault(record["type"], []).append(record)
        return found

    def extended(self, data: bytes) -> _Chain:
        """The chain with further lines; the last one may not be whole yet."""
        records, tip, linked, broken = list(self.records), self.tip, self.linked, self.broken
        unread = self.unread
        lines = data.split(b"\n")
        for number, line in enumerate(lines, self.lines + 1):
            record = _parse(line.decode("utf-8", "replace"))
            if record is None:
                unread += bool(line.strip())
                continue
            prev = record.get("prev")
            if (prev is not None or linked) and prev != tip:
                broken = broken or number
            if record["type"] == ALTERED and prev == tip and _is_own(record):
                broken = 0
            linked = linked or prev is not None
            tip = _link(tip, line)
            records.append(record)
        return _Chain(tuple(records), tip, self.lines + len(lines) - 1, unread, linked, broken)


def _parse(line: str) -> Record | None:
    """The record of a line, None if it is none."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("type"), str) else None


def _link(tip: str, line: bytes) -> str:
    return hashlib.sha256(b"%s\n%s" % (tip.encode(), line.rstrip(b"\r"))).hexdigest()[:32]


def _with_last(text: str, name: str, value: str) -> str:
    """The JSON of a mapping with one field more: a long record is not written out again for it."""
    return f'{text[:-1]}, "{name}": {_encode(value)}}}'


def _is_own(record: Record) -> bool:
    """Whether a record is signed with the key of this user."""
    return bool(record.get("key")) and record["key"] == signing.own_key() and has_signature(record)


def has_signature(record: Record) -> bool:
    """Whether a record bears the signature of the key that it names."""
    rest = {key: value for key, value in record.items() if key != "sig"}
    data = _encode(rest).encode("utf-8", "surrogateescape")
    return signing.is_signed(data, str(record.get("key")), str(record.get("sig")))


class History:
    """The records of one family, oldest first. A line that a crash has torn is skipped."""

    def __init__(self, board: Path, family: str) -> None:
        self.family = family
        self.path = Path(f"{board}/{FOLDER}/{family}.jsonl")
        self._records: list[Record] | None = None
        #: type → the records that count, oldest first; and where those begin
        self._by_kind: dict[str, list[Record]] = {}
        self._start = 0
        self._tip = ""
        self._pending: list[str] = []
        #: waits for the running sync
        self._wait: Callable[[], None] | None = None
        #: told of each record that is written
        self.on_record: Callable[[Record], None] | None = None
        #: agents that work side by side report from threads
        self._in_turn = threading.RLock()
        #: which file it is and how long, as it was read or written last; None: there is none
        self._held: tuple[int, int] | None = None

    @property
    def records(self) -> list[Record]:
        if self._records is None:
            self._take(_identity(self.path), _read(self.path))
        assert self._records is not None
        return self._records

    def _take(self, held: tuple[int, int] | None, chain: _Chain) -> None:
        """Go on from what was read."""
        self._held = held
        self._records, self._tip = list(chain.records), chain.tip
        self._start = chain.start
        self._by_kind = {kind: list(found) for kind, found in chain.by_kind.items()}

    def _add(self, record: Record) -> None:
        records = self.records
        if record["type"] == ALTERED:
            self._start = len(records)
            self._by_kind.clear()
        records.append(record)
        self._by_kind.setdefault(record["type"], []).append(record)

    @property
    def tip(self) -> str:
        """The digest of all records."""
        with self._in_turn:
            _ = self.records
            return self._tip

    def append(self, kind: str, /, **fields: Any) -> Record:
        """Write one record and return it.

        Transitions and effects are on disk when this returns, with all records before them;
        `committed` and `synced` are written with the next record.
        """
        record = self.announce(kind, **fields)
        if kind not in DEFERRED:
            self.flush()
        return record

    def announce(self, kind: str, /, **fields: Any) -> Record:
        """As `append`, but a transition need not be on disk before `wait` returns, and others are
        written with the next record: what depends on them has to come with that."""
        with self._in_turn:
            record = {"type": kind, "at": now(), **fields, "prev": self.tip}
            if mask(text := _encode(record)) != text:
                record |= mask_all(json.loads(_encode(fields)))
                text = _encode(record)
            if kind in _SIGNED and (key := signing.own_key()):
                record["key"] = key
                text = _with_last(text, "key", key)
                record["sig"] = signing.sign(text.encode("utf-8", "surrogateescape"))
                text = _with_last(text, "sig", record["sig"])
            # nothing in it steers the terminal of whoever reads the file
            line = visible_json(text)
            self._pending.append(line)
            self._tip = _link(self._tip, line.encode("utf-8", "surrogateescape"))
            if kind in _AWAITED:
                self.wait()
                self.require_same()
                written.remember(self.path, self._tip.encode())
                self._wait = begin_lines(self.path, self._pending)
                self._pending = []
                self._held = _identity(self.path)
            self._add(record)
        if self.on_record is not None:
            self.on_record(record)
        return record

    def require_same(self) -> None:
        """Raise GitAtWorkError if the file is no longer the one that was read (DESIGN 8.3).

        The family's lock keeps everybody else from writing it, but not git: a checkout, a stash
        or a pull puts another board in its place, and nothing may be written into that.
        """
        with self._in_turn:
            here = _identity(self.path)
            held = self._held if self._records is not None else here
            if here == held and (here is not None or self.path.parent.parent.is_dir()):
                return
        raise GitAtWorkError(
            f"the board was exchanged while {self.path.stem} was in hand; nothing is written to "
            "the other one",
            path=self.path,
            code="board-away",
            hint="bring it back (check its branch out, `git stash pop`)",
        )

    def damage(self) -> Damage | None:
        """The first line that no crash explains, None if there is none.

        A merge that was not finished leaves its marks, an editor or a script half a record; what
        stood there, a receipt perhaps, would be missing unsaid.
        """
        held = _identity(self.path)
        try:
            chain = _read(self.path)
        except UnsafePathError as exc:
            return Damage(self.path, 1, "bad-history", exc.message)
        if self._records is None:
            self._take(held, chain)
        if chain.unread:
            lines = read(self.path).decode("utf-8", "replace").split("\n")
            for number, line in enumerate(lines, 1):
                if line.startswith(_MARKS):
                    return Damage(self.path, number, "merge-conflict")
                is_read = not line.strip() or _parse(line) is not None
                if number < len(lines) and not is_read and not _is_torn(line):
                    return Damage(self.path, number, "bad-history")
        if chain.broken:
            why = "this line does not follow from those before it"
            return Damage(self.path, chain.broken, "history-altered", why)
        return None

    def begin_anew(self, damage: Damage) -> None:
        """Let what follows count though what stands before was altered, which proves nothing now.

        Raises OrchestrateError where that cannot be signed.
        """
        signing.require_key()
        self.append(ALTERED, line=damage.line, why=damage.message)
        self.flush()

    def wait(self) -> None:
        """Wait until what was announced is on disk. Raises DiskError."""
        wait, self._wait = self._wait, None
        if wait is not None:
            wait()

    def flush(self) -> None:
        """Write the deferred records."""
        with self._in_turn:
            self.wait()
            if self._pending:
                self.require_same()
                written.remember(self.path, self._tip.encode())
                append_lines(self.path, self._pending, durable=False)
                self._pending = []
                self._held = _identity(self.path)

    def put_back(self, before: bytes, count: int, aside: Callable[[bytes], None]) -> bool:
        """Make the file what it was when there were `count` records, and what was appended since.

        Whether it was anything else; `aside` then gets the bytes that it should have, and puts
        them there.
        """
        with self._in_turn:
            lines = [visible_json(_encode(record)) for record in self.written[count:]]
            begun = before if not lines or not before or before.endswith(b"\n") else before + b"\n"
            data = begun + "".join(f"{x}\n" for x in lines).encode("utf-8", "surrogateescape")
            if not self.path.is_symlink() and self.path.is_file() and read(self.path) == data:
                return False
            aside(data)
            self._held = _identity(self.path)
        return True

    def holds(self, record: Record) -> bool:
        """Whether the file has a record, which is none of those that are still to be written."""
        with self._in_turn:
            pending = self.records[len(self.records) - len(self._pending) :]
        return not any(each is record for each in pending)

    @property
    def written(self) -> list[Record]:
        """The records that the file has."""
        return self.records[: len(self.records) - len(self._pending)]

    @property
    def counted(self) -> list[Record]:
        """The records since USER began again because those before were altered; else all."""
        records = self.records
        return records[self._start :] if self._start else records

    @property
    def is_begun_anew(self) -> bool:
        """Whether altered records were just set aside, and USER has said nothing since."""
        begun = self.counted[:1]
        return bool(begun) and begun[0]["type"] == ALTERED and self.latest("answer") is None

    def of(self, *kinds: str) -> Iterator[Record]:
        """The records of these types that count, oldest first."""
        if len(kinds) == 1:
            return iter(self._of(kinds[0]))
        return (r for r in self.counted if r["type"] in kinds)

    def _of(self, kind: str) -> Sequence[Record]:
        # they have to be read to be known by their types
        return self._by_kind.get(kind, ()) if self.records else ()

    def latest(self, kind: str, /, **fields: object) -> Record | None:
        """The newest record of a type whose fields have these values."""
        for record in reversed(self._of(kind)):
            if all(record.get(k) == v for k, v in fields.items()):
                return record
        return None

    def artifacts(self) -> dict[str, dict[str, Any]]:
        """What agents last reported: path → stage, agent, sha256, state ("written" or "kept")."""
        return {
            item["path"]: {
                "stage": report["stage"],
                "agent": report["agent"],
                "ticket": report["ticket"],
                "sha256": item["sha256"],
                "state": item["state"],
            }
            for report in self.of("report")
            for item in report.get("artifacts", ())
        }

    def written_by(self, agent: str) -> dict[str, str]:
        """sha256 of what an agent itself wrote last, by path (DESIGN 5.6)."""
        return {
            item["path"]: item["sha256"]
            for report in self.of("report")
            if report["agent"] == agent
            for item in report.get("artifacts", ())
            if item["state"] == "written"
        }


def _is_torn(line: str) -> bool:
    """Whether the line is the beginning of a record, or the zeros that a power failure leaves."""
    text = line.strip("\0 \r")
    if not text:
        return True
    try:
        json.loads(text)
    except ValueError as exc:
        ended = isinstance(exc, json.JSONDecodeError) and exc.pos >= len(text)
        return text.startswith("{") and (ended or not text.endswith("}"))
    return False


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - before and after every line that is written
    except OSError:
        return None
    return found.st_ino, found.st_size


def _read(path: Path) -> _Chain:
    """The records of a file; if it was read before, only what was appended is parsed."""
    try:
        data = read(path)
    except FileNotFoundError:
        return _Chain()
    before, chain = _cache.pop(path, (b"", _Chain()))
    if not before.endswith(b"\n") or not data.startswith(before):
        before, chain = b"", _Chain()
    _cache[path] = data, chain.extended(data[len(before) :])
    if len(_cache) > _CACHED:
        _cache.popitem(last=False)
    return _cache[path][1]


def canonical(data: Mapping[str, Any]) -> bytes:
    """The bytes over which digests are taken: sorted keys, no spaces, UTF-8."""
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
    ).encode()
