"""Checks and how statements bind to them: patterns with typed parameters (DESIGN 6.1).

A check is a function with one or more patterns::

    @check("{path:path} exists", name="file.exists", examples=("`a/b.py` exists",))
    def exists(ctx: Context, path: str) -> Result: ...

A pattern is words, `{name:type}` parameters, `[optional words]` and `(one|other)` alternatives. It
must account for the whole claim: nothing may be left over. Matching ignores case, surrounding
white space, a final full stop and backticks or bold marks around words.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.agent import MemberInfo
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.workflow import Stage, Statement, Workflow


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


def proven(detail: str, *subjects: str, **evidence: Any) -> Result:
    """The check ran and the claim held."""
    return Result(Verdict.PROVEN, detail, subjects, evidence)


def failed(detail: str, *subjects: str, **evidence: Any) -> Result:
    """The check ran and the claim did not hold."""
    return Result(Verdict.FAILED, detail, subjects, evidence)


def unproven(detail: str, *subjects: str, **evidence: Any) -> Result:
    """Nothing could be run: a tool is missing, or the subject cannot be told."""
    return Result(Verdict.UNPROVEN, detail, subjects, evidence)


def not_applicable(detail: str) -> Result:
    """The statement itself says that it does not apply."""
    return Result(Verdict.NOT_APPLICABLE, detail)


class Services:
    """Things that several checks of one run share (a server, a parsed file), made once."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}
        self._locks: dict[Any, threading.Lock] = {}
        self._guard = threading.Lock()
        self._closers: list[Callable[[], object]] = []

    def share(
        self, key: Any, make: Callable[[], Any], close: Callable[[Any], object] | None = None
    ) -> Any:
        """`make()` once per key, also with several threads; `close(thing)` runs at `close()`."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._made:
                thing = self._made[key] = make()
                if close is not None:
                    self._closers.append(lambda: close(thing))
            return self._made[key]

    def close(self) -> None:
        """Close what was made, last first."""
        while self._closers:
            self._closers.pop()()
        self._made.clear()

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass(frozen=True)
class Context:
    """What a check may look at. Paths in it are relative to `root` unless absolute."""

    root: Path
    #: id of the ticket that the statement is about, and of the family's parent
    ticket: str = ""
    parent: str = ""
    statement: Statement | None = None
    workflow: Workflow | None = None
    stage: Stage | None = None
    family: tuple[MemberInfo, ...] = ()
    #: what agents reported in this family: path → {"stage", "agent", "ticket", "sha256", "state"}
    artifacts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: records of the family's history, oldest first (answers, effects, transitions …)
    history: Sequence[Mapping[str, Any]] = ()
    #: the whole configuration as plain tables
    settings: Mapping[str, Any] = field(default_factory=dict)
    services: Services = field(default_factory=Services)
    #: the database target of the effects, set in phase EFFECT only
    target: Any = None

    def path(self, relative: str) -> Path:
        """`root / relative`, refused if it leaves the workspace. Raises UnsafePathError."""
        from orchestrator.files import inside

        return inside(self.root, relative)


CheckFunction = Callable[..., Result]
F = TypeVar("F", bound=CheckFunction)

_NAME = r"[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*(?:\(\))?"


def _plain(text: str) -> str:
    return text.strip().strip("`*\"'").removesuffix("()")


def _list(text: str) -> tuple[str, ...]:
    parts = re.split(r"\s*(?:,\s*and\s+|,\s*or\s+|,|/|\+|&|\s+and\s+|\s+or\s+)\s*", text)
    return tuple(_plain(part) for part in parts if part.strip())


_NUMBER_WORDS = {
    w: n
    for n, w in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ]
    )
}


def _int(text: str) -> int:
    word = _plain(text).lower()
    return _NUMBER_WORDS[word] if word in _NUMBER_WORDS else int(word.replace(",", ""))


#: parameter types: name → (regular expression, converter)
TYPES: dict[str, tuple[str, Callable[[str], Any]]] = {
    # a file or folder, with at least a slash or an extension
    "path": (r"`?[\w.@+-]*(?:/[\w.@+-]+)*(?:/|\.[A-Za-z]\w*)`?", _plain),
    # an identifier: table, column, function
    "name": (rf"[`\"]?{_NAME}[`\"]?", _plain),
    # several identifiers: "a, b and c"
    "names": (
        rf"[`\"]?{_NAME}[`\"]?(?:\s*(?:,\s*and|,\s*or|,|/|\+|\s+and|\s+or)\s*[`\"]?{_NAME}[`\"]?)*",
        _list,
    ),
    "int": (r"(?:\d[\d,]*|" + "|".join(_NUMBER_WORDS) + ")", _int),
    "number": (r"-?\d+(?:\.\d+)?", float),
    # a ticket id
    "id": (r"`?(?-i:[A-Z][A-Z0-9]*)[-_][A-Za-z0-9][\w.-]*?`?", _plain),
    # a board folder
    "folder": (r"`?(?:[\w.-]+/)?\d+(?:\.\d+)?_[A-Z_]+/?`?", lambda t: _plain(t).strip("/")),
    # an agent's or a person's upper-case name
    "agent": (r"`?[A-Z][A-Z_]+`?", _plain),
    # anything between backticks or quotes
    "code": (r"(?:`[^`]+`|\"[^\"]+\")", lambda t: t.strip()[1:-1]),
    # the rest of a sentence; use it only where the words do not change what is proven
    "text": (r".+?", str.strip),
}


def parameter_type(name: str, pattern: str, convert: Callable[[str], Any] = str) -> None:
    """Register another parameter type for patterns."""
    TYPES[name] = (pattern, convert)
    compile_pattern.cache_clear()


class _Pattern:
    """Translates one check pattern into a regular expression (recursive descent)."""

    _WORD = re.compile(r"[^\s{}\[\]()|\\]+")
    _MARK = r"[`*_\"]{0,3}"

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.params: list[tuple[str, str]] = []

    def regex(self) -> str:
        body = self._alternatives()
        if self.at < len(self.source):
            raise UsageError(f"unbalanced brackets in check pattern: {self.source!r}")
        return body

    def _alternatives(self) -> str:
        branches = [self._sequence()]
        while self.source[self.at : self.at + 1] == "|":
            self.at += 1
            branches.append(self._sequence())
        return "|".join(branches)

    def _sequence(self) -> str:
        """Words and groups; white space beside an optional group is optional with it."""
        out, space = "", False
        while self.at < len(self.source) and self.source[self.at] not in ")]|":
            char = self.source[self.at]
            if char.isspace():
                space, self.at = bool(out), self.at + 1
            elif char == "[":
                group = self._group("]")
                if out:
                    out += rf"(?:\s+(?:{group}))?" if space else f"(?:{group})?"
                    space = False
                elif self.source[self.at : self.at + 1].isspace():
                    return rf"(?:(?:{group})\s+)?" + self._sequence_after_space()
                else:
                    out += f"(?:{group})?"
            else:
                out += (r"\s+" if space else "") + self._atom(char)
                space = False
        return out

    def _sequence_after_space(self) -> str:
        while self.source[self.at : self.at + 1].isspace():
            self.at += 1
        return self._sequence()

    def _group(self, closer: str) -> str:
        self.at += 1
        body = self._alternatives()
        if self.source[self.at : self.at + 1] != closer:
            raise UsageError(f"unbalanced brackets in check pattern: {self.source!r}")
        self.at += 1
        return body

    def _atom(self, char: str) -> str:
        if char == "{":
            return self._parameter()
        if char == "(":
            return f"(?:{self._group(')')})"
        if char == "\\":
            self.at += 2
            return re.escape(self.source[self.at - 1])
        word = self._WORD.match(self.source, self.at)
        assert word is not None
        self.at = word.end()
        return self._MARK + re.escape(word.group()) + self._MARK

    def _parameter(self) -> str:
        end = self.source.index("}", self.at)
        name, _, kind = self.source[self.at + 1 : end].partition(":")
        if (kind or "name") not in TYPES:
            raise UsageError(f"unknown parameter type in check pattern: {self.source!r}")
        self.params.append((name, kind or "name"))
        self.at = end + 1
        return f"(?P<{name}>{TYPES[kind or 'name'][0]})"


@lru_cache(maxsize=2048)
def compile_pattern(pattern: str) -> tuple[re.Pattern[str], tuple[tuple[str, str], ...]]:
    """The regular expression of a check's pattern and its (parameter, type) pairs.

    Raises UsageError for an unknown type or unbalanced brackets.
    """
    parsed = _Pattern(pattern)
    body = parsed.regex()
    regex = re.compile(rf"\s*(?:{body})\s*", re.IGNORECASE | re.DOTALL)
    return regex, tuple(parsed.params)


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

    def match(self, claim: str) -> dict[str, Any] | None:
        """The typed arguments if one of the patterns accounts for the whole claim."""
        for pattern in self.patterns:
            regex, params = compile_pattern(pattern)
            found = regex.fullmatch(claim)
            if found:
                return {
                    name: TYPES[kind][1](found.group(name))
                    for name, kind in params
                    if found.group(name) is not None
                }
        return None


_REGISTERED: dict[str, Check] = {}


def check(
    *patterns: str,
    name: str,
    phase: Phase = Phase.CONTENT,
    version: int = 1,
    examples: Sequence[str] = (),
) -> Callable[[F], F]:
    """Register a function as a check. Its docstring's first line is its summary.

    Raise `version` whenever the meaning changes: an approval covers it (DESIGN 7.3).
    """

    def register(function: F) -> F:
        for pattern in patterns:
            compile_pattern(pattern)
        summary = (function.__doc__ or name).strip().splitlines()[0]
        _REGISTERED[name] = Check(
            name, patterns, function, phase, version, summary, tuple(examples)
        )
        return function

    return register


def load_checks(root: Path | None = None) -> tuple[Check, ...]:
    """Every check: entry points `orchestrate.checks`, then `checks/*.py` of the workspace.

    Raises UsageError naming the file when a workspace check cannot be imported.
    """
    for entry in entry_points(group="orchestrate.checks"):
        entry.load()
    for file in sorted((root / "checks").glob("*.py")) if root else ():
        _load_file(file)
    return tuple(_REGISTERED.values())


def _load_file(file: Path) -> None:
    name = f"orchestrate_workspace_checks.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError("cannot be imported as a Python file", path=file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except OrchestrateError:
        raise
    except Exception as exc:
        raise UsageError(
            f"the check file raises {type(exc).__name__}: {exc}",
            path=file,
            hint="mend or remove it",
        ) from exc


@dataclass(frozen=True)
class Binding:
    """One claim with the check that fits it, or None and why."""

    claim: str
    check: Check | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


#: where one claim may end and the next begin, tried from the left
_JOINT = re.compile(
    r"\s*;\s+|\.\s+(?=[A-Z`])|\s+[—–]\s+|\s*,\s+(?:and\s+)?|\s+and\s+|\s+\+\s+|\s*\((?=[^)]*\)\s*$)|\s+but\s+"
)
_SUBJECT = re.compile(
    r"^(.*?)\s+(?:is|are|has|have|exists?|uses?|was|were|passes|contains?|handles?|defines?|prints?|"
    r"deduplicates?|exports?|stays?)\b",
    re.IGNORECASE,
)
_MAX_CLAIMS = 12


def normalise(text: str) -> str:
    """A claim without list marks, bold marks around all of it, trailing stop and double spaces."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"(\*\*|__)(`[^`]+`)\1", r"\2", text)
    text = re.sub(r"^[-*]\s+(\[[ xX]\]\s*)?", "", text)
    return text.rstrip(".").strip()


class Binder:
    """Binds statements to checks."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self.checks = tuple(checks)

    def _one(self, claim: str) -> Binding | None:
        hits = [(c, a) for c in self.checks if (a := c.match(claim)) is not None]
        if len(hits) > 1:
            names = ", ".join(c.name for c, _ in hits)
            return Binding(claim, None, problem=f"{len(hits)} checks fit, so none is run: {names}")
        if hits:
            return Binding(claim, hits[0][0], hits[0][1])
        return None

    def bind(self, statement: str) -> tuple[Binding, ...]:
        """The statement's claims, each with its check. All of the text is accounted for."""
        text = normalise(statement)
        bound = self._split(text, "", _MAX_CLAIMS)
        return bound if bound is not None else self._partly(text)

    def _split(self, text: str, subject: str, depth: int) -> tuple[Binding, ...] | None:
        for candidate in [f"{subject} {text}", text] if subject else [text]:
            whole = self._one(candidate)
            if whole is not None:
                return (whole,)
        if depth == 0:
            return None
        for joint in _JOINT.finditer(text):
            left, right = text[: joint.start()].strip(), text[joint.end() :].strip()
            if joint.group().strip() == "(":
                right = right.rstrip().removesuffix(")").rstrip()
            if not left or not right:
                continue
            heads = [f"{subject} {left}", left] if subject else [left]
            head = next((b for h in heads if (b := self._one(h)) is not None), None)
            if head is None:
                continue
            rest = self._split(right, self._subject(head.claim) or subject, depth - 1)
            if rest is not None:
                return (head, *rest)
        return None

    @staticmethod
    def _subject(claim: str) -> str:
        found = _SUBJECT.match(claim)
        return found.group(1) if found else ""

    def _partly(self, text: str) -> tuple[Binding, ...]:
        """A statement that does not bind whole is unproven whole."""
        return (Binding(text, None, problem=stub(text)),)


def stub(claim: str) -> str:
    """The message for a claim that no check fits, with the check to write."""
    words = re.sub(r"[^a-z0-9]+", "_", claim.lower()).strip("_")[:40].strip("_") or "claim"
    pattern = (
        re.sub(r"`([^`]*[/.][^`]*)`", "{path:path}", claim).replace("(", r"\(").replace(")", r"\)")
    )
    parameter = ", path: str" if "{path:path}" in pattern else ""
    return (
        "no check fits\n"
        f'@check({pattern!r}, name="mine.{words}")\n'
        f"def {words}(ctx: Context{parameter}) -> Result: ..."
    )
