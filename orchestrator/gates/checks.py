"""Checks: functions with patterns that prove claims, what they find, and what they may look at.

    @check("{path:path} exists", name="file.exists", examples=("`a/b.py` exists",))
    def exists(ctx: Context, path: str) -> Result: ...

`orchestrator.gates.expressions` says how patterns are written, `orchestrator.gates.binding` how
statements bind.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from orchestrator.domain.agent import MemberInfo
from orchestrator.domain.workflow import Stage, Statement, Workflow
from orchestrator.errors import UsageError
from orchestrator.gates.expressions import TYPES as TYPES
from orchestrator.gates.expressions import WORKSPACE_CHECKS, compile_pattern, words_of
from orchestrator.gates.expressions import parameter_type as parameter_type
from orchestrator.gates.once import once
from orchestrator.storage.atomic import sha256_file

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from orchestrator.gates.proof_cache import ProofCache

T = TypeVar("T")

#: what a docstring says to who builds, and not to who uses it
_CLAUSE = re.compile(r" ?\(DESIGN [^)]*\)")


class Verdict(StrEnum):
    """The four verdicts (DESIGN 6.2), and `pending` for a claim whose moment has not come."""

    PROVEN = "proven"
    FAILED = "failed"
    UNPROVEN = "unproven"
    NOT_APPLICABLE = "not applicable"
    PENDING = "pending"


#: worst first: a statement has the worst verdict of its claims
SEVERITY = (
    Verdict.FAILED,
    Verdict.UNPROVEN,
    Verdict.PENDING,
    Verdict.PROVEN,
    Verdict.NOT_APPLICABLE,
)


class Phase(StrEnum):
    """When a claim can be judged."""

    #: on files and the disposable server, any time
    CONTENT = "content"
    #: on where tickets lie, right after the stage's move; kept, not re-proven (DESIGN 6.5)
    POSITION = "position"
    #: by USER's recorded answer and nothing else (DESIGN 6.5)
    ANSWER = "answer"
    #: on the named target, after the effects
    EFFECT = "effect"


@dataclass(frozen=True)
class Result:
    """What a check found."""

    verdict: Verdict
    #: one sentence with the figures that a person wants to see
    detail: str
    #: paths (relative to the workspace) that the verdict is about; their sha256 go into the receipt
    subjects: tuple[str, ...] = ()
    #: what was run and seen, JSON-able: commands, exit codes, counts, rows
    evidence: Mapping[str, Any] = field(default_factory=dict)
    #: it was about an earlier moment, and held then; `verify` does not say that it holds today
    past: bool = False


def proven(detail: str, *subjects: str, **evidence: Any) -> Result:
    """The check ran and the claim held."""
    return Result(Verdict.PROVEN, detail, subjects, evidence)


def held_then(detail: str, *subjects: str, **evidence: Any) -> Result:
    """The claim held for as long as it was meant to, as "do not execute it" before the approval."""
    return Result(Verdict.PROVEN, detail, subjects, evidence, past=True)


def failed(detail: str, *subjects: str, **evidence: Any) -> Result:
    """The check ran and the claim did not hold."""
    return Result(Verdict.FAILED, detail, subjects, evidence)


def unproven(detail: str, *subjects: str, **evidence: Any) -> Result:
    """Nothing could be run: a tool is missing, or the subject is unclear."""
    return Result(Verdict.UNPROVEN, detail, subjects, evidence)


def not_applicable(detail: str) -> Result:
    """The statement itself says that it does not apply."""
    return Result(Verdict.NOT_APPLICABLE, detail)


#: nanoseconds; longer than the clock of any file system stands still
_TICK = 2_000_000_000


class Services:
    """Things that several checks of a run share (a server, a parsed file), made once."""

    def __init__(self, cache: ProofCache | None = None) -> None:
        #: keeps what `remember` computes for later runs; None keeps nothing
        self.cache = cache
        #: number of the gate's current pass, 0 outside of one
        self.epoch = 0
        self._made: dict[Any, Any] = {}
        self._locks: dict[Any, threading.Lock] = {}
        self._guard = threading.Lock()
        self._closers: list[Callable[[], object]] = []
        #: path → (its state, its digest)
        self._digests: dict[str, tuple[tuple[int, ...], str]] = {}

    def sha256(self, file: Path | str) -> str:
        """Hexadecimal SHA-256 of a file's bytes, which are read once for each state of it.

        Raises OSError.
        """
        path = str(file)
        seen, known = os.stat(path), self._digests.get(path)  # noqa: PTH116 - called very often
        state = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        if known is not None and known[0] == state:
            return known[1]
        digest = sha256_file(Path(path))
        # what changes within a tick of the clock has the same time
        if time.time_ns() - seen.st_ctime_ns > _TICK:
            self._digests[path] = state, digest
        return digest

    def share(
        self, key: Any, make: Callable[[], Any], close: Callable[[Any], object] | None = None
    ) -> Any:
        """`make()` once per key, across threads too; `close(thing)` runs at `close()`."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._made:
                thing = self._made[key] = make()
                if close is not None:
                    self._closers.append(lambda: close(thing))
            return self._made[key]

    def remember(self, key: tuple[Any, ...], kind: type[T], make: Callable[[], T]) -> T:
        """`make()` once per key, across runs too.

        The key has to contain all that the result depends on, as bytes or digests, not as paths
        alone: what is found under it is used in place of `make()`. `kind` is a dataclass or a type
        of plain data.
        """

        def look_up() -> T:
            if self.cache is None:
                return make()
            from pydantic import ValidationError

            adapter = _adapter_of(kind)
            kept = self.cache.get(repr(key))
            if kept is not None:
                with suppress(ValidationError):
                    return cast(T, adapter.validate_json(kept))
            made = make()
            self.cache.put(repr(key), adapter.dump_json(made))
            return made

        return cast(T, self.share(("remembered", key), look_up))

    def close(self) -> None:
        """Close what was made, in reverse order."""
        while self._closers:
            self._closers.pop()()
        self._made.clear()

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@once(256)
def _adapter_of(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


@dataclass(frozen=True)
class Context:
    """What a check may look at. Paths in it are relative to `root` unless absolute."""

    root: Path
    #: the workspace with the board, if `root` is a checkout beside it
    home: Path | None = None
    #: id of the ticket that the statement is about, and of the family's parent
    ticket: str = ""
    parent: str = ""
    statement: Statement | None = None
    workflow: Workflow | None = None
    stage: Stage | None = None
    family: tuple[MemberInfo, ...] = ()
    #: what agents reported in this family: path → {"stage", "agent", "ticket", "sha256", "state"}
    artifacts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: paths that the family changed since its start, None where that is not known
    changed: Callable[[], frozenset[str] | None] | None = None
    #: the bytes of a path when the family began, None for what was not there; None if not known
    at_start: Callable[[str], bytes | None] | None = None
    #: whether of all that changed a path, a person did it, while no agent worked
    by_person: Callable[[str], bool] | None = None
    #: records of the family's history, oldest first (answers, effects, transitions …)
    history: Sequence[Mapping[str, Any]] = ()
    #: the whole configuration as plain tables
    settings: Mapping[str, Any] = field(default_factory=dict)
    services: Services = field(default_factory=Services)
    #: the database target of the effects, set in phase EFFECT only
    target: Any = None
    reservations: list[str] = field(default_factory=list)

    def reserve(self, reason: str) -> None:
        """Let the check that is running prove nothing: what holds is unproven for this reason."""
        self.reservations.append(reason)

    def path(self, relative: str) -> Path:
        """`root / relative`, refused if it leaves the workspace. Raises UnsafePathError."""
        from orchestrator.storage.atomic import inside

        board = self.settings.get("board", {}).get("folder", "")
        on_board = bool(board) and relative.startswith(f"{board}/")
        return inside(self.home if self.home and on_board else self.root, relative)


@dataclass(frozen=True)
class Found:
    """What a check found on another machine: its result, and the sha256 of its subjects there."""

    result: Result
    subjects: Mapping[str, str]


#: ask other machines; what they found, by the statement's key, the claim and the check's label
Elsewhere = Callable[[Sequence[Statement], Context], Mapping[tuple[str, str, str], Found]]

CheckFunction = Callable[..., Result]
F = TypeVar("F", bound=CheckFunction)


@dataclass(frozen=True)
class Check:
    """A registered check."""

    name: str
    patterns: tuple[str, ...]
    function: CheckFunction
    phase: Phase
    version: int
    summary: str
    examples: tuple[str, ...] = ()
    #: takes a second or so: started before the others
    slow: bool = False
    #: digest of the file that defines a check of a workspace, "" for one of a package
    digest: str = ""
    #: may stand for a statement's words without a label: “… — `pytest -q`”
    evidence: bool = False
    #: file and line of a workspace's check, whose function stands for it here
    origin: str = ""

    @property
    def edition(self) -> str:
        """What approvals and receipts cover: the version, and the text of a workspace's check."""
        return f"{self.version}+{self.digest}" if self.digest else str(self.version)

    @property
    def place(self) -> str:
        """File and line of the function, for messages."""
        if self.origin:
            return self.origin
        code = self.function.__code__
        return f"{code.co_filename}:{code.co_firstlineno}"

    def may_fit(self, text: str) -> bool:
        """Whether a text has the words that one of the patterns requires."""
        words = words_of(text)
        return any(compile_pattern(pattern).may_fit(words) for pattern in self.patterns)

    def match(self, claim: str) -> dict[str, Any] | None:
        """The typed arguments if one of the patterns matches the whole claim."""
        words = self.words(claim)
        return None if words is None else self.arguments(*words)

    def words(self, claim: str) -> tuple[int, dict[str, str]] | None:
        """The place of the first pattern that matches the whole claim, its parameters' words."""
        found = (compile_pattern(pattern).words(claim) for pattern in self.patterns)
        return next(((n, words) for n, words in enumerate(found) if words is not None), None)

    def arguments(self, place: int, words: Mapping[str, str]) -> dict[str, Any]:
        """The typed arguments of what `words` has found."""
        return compile_pattern(self.patterns[place]).arguments(words)

    def own_words(self, claim: str) -> int:
        """How much of a claim the pattern that takes it says itself."""
        patterns = (compile_pattern(pattern) for pattern in self.patterns)
        return next((n for p in patterns if (n := p.own_words(claim))), 0)


#: a reference to the design, which users do not have
_CLAUSE = re.compile(r"\s*\(DESIGN [\d., a-z]+\)")
REGISTERED: dict[str, Check] = {}
_LOADING = threading.local()


def check(
    *patterns: str,
    name: str,
    phase: Phase = Phase.CONTENT,
    version: int = 1,
    examples: Sequence[str] = (),
    slow: bool = False,
    evidence: bool = False,
) -> Callable[[F], F]:
    """Register a function as a check. Its docstring's first line is its summary.

    Raise `version` whenever the meaning changes: approvals cover it (DESIGN 7.3). `slow` checks
    are started before the others of a gate. What binds to an `evidence` check, set apart by a dash
    or in brackets, proves the words before it.

    Raises UsageError for a pattern that cannot be parsed and for a name that is taken.
    """

    caller = str(sys._getframe(1).f_globals.get("__name__"))

    def register(function: F) -> F:
        # the checks of the workspace that is being loaded; else those of every workspace
        is_own = caller.startswith(f"{WORKSPACE_CHECKS}.")
        own: dict[str, Check] | None = getattr(_LOADING, "checks", None) if is_own else None
        for pattern in patterns if own is not None else ():
            compile_pattern(pattern)
        summary = _CLAUSE.sub("", (function.__doc__ or name).strip().splitlines()[0])
        new = Check(
            name, patterns, function, phase, version, summary, tuple(examples), slow,
            evidence=evidence,
        )  # fmt: skip
        taken = (own or {}).get(name) or REGISTERED.get(name)
        if taken is not None and (own is not None or taken.place != new.place):
            raise UsageError(
                f"two checks are called {name}: the other is at {taken.place}",
                path=Path(function.__code__.co_filename),
                line=function.__code__.co_firstlineno,
                hint="rename this one",
            )
        (REGISTERED if own is None else own)[name] = new
        return function

    return register


@contextmanager
def collect(own: dict[str, Check]) -> Iterator[None]:
    """Let what registers meanwhile, in this thread, be the checks of a workspace."""
    _LOADING.checks = own
    try:
        yield
    finally:
        _LOADING.checks = None
