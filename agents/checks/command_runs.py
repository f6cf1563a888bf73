"""Commands run for a proof: on the delivered tree, and on broken ones, where they have to fail."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrate_agents.sandbox.proof_tree import (
    BROKEN,
    Break,
    add_failing_tests,
    raise_in_tests,
    spoil_setup,
    workspace_copy,
    workspace_digest,
)
from orchestrate_agents.sandbox.runs import Run, run
from orchestrate_agents.tools.node import NodePackages
from orchestrate_agents.tools.programs import find_missing, resolve_command
from orchestrate_agents.tools.python import python_of
from orchestrator.commands.definitions import Definition, define, reader, simple_commands
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import Context
from orchestrator.settings.tables import ChecksSettings

#: how runners count the tests that passed
_COUNTS = (
    re.compile(r"(?m)^(?!\s*(?:Test Suites|Test Files|Snapshots|Suites)\b).*?\b(\d+) passed\b"),
    re.compile(r"(?m)^\s*(?:#|ℹ) pass (\d+)"),
    re.compile(r"(?m)^\s*(\d+) passing\b"),
    re.compile(r"(?m)^Ran (\d+) tests? in "),
    re.compile(r"(?m)^OK \((\d+) tests?"),
)
_NO_TESTS = re.compile(
    r"no tests? (?:ran|found|files? found|were run)|no tests? to run|\b0 tests? (?:ran|run)\b"
    r"|\[no test files\]",
    re.IGNORECASE,
)
#: Go names packages and counts no tests
_GO_TESTS = re.compile(r"(?m)^ok\s+\S+\s")
_UNITTEST = re.compile(r"(?m)^Ran \d+ tests? in ")
#: options and names by which a command runs some tests only
_CHOOSES = re.compile(
    r"::|(?:^|\s)(?:-k|-t|-g|-run|--grep|--filter|--testNamePattern|-m(?!\s+(?:pytest|unittest)))\b"
)
#: programs that say which they are
_VERSIONED = re.compile(
    r"(?:node|npm|pnpm|yarn|bun|deno|make|just|cargo|ruff|mypy|pytest|black|tox|nox|eslint|tsc|"
    r"vitest|jest|prettier|pyright|python[\d.]*|gradle|mvn|dotnet|pre-commit)"
)
#: a program that is started by an interpreter alone
_SCRIPT = re.compile(r"(?:python[\d.]*|node)\s+[^-\s]")
_OF_SCRIPTS: dict[str, Break] = {"all other files, of set-up too, are spoilt": spoil_setup}
_LEAST_SECONDS = 15.0
_TESTS = "every test file has a failing test"


#: words, variables and the label of the Python in use
Started = tuple[list[str], dict[str, str], str]


@dataclass(frozen=True)
class Ended:
    """How a command ended on the delivered tree, and on which broken trees it ended the same."""

    run: Run
    seconds: float
    label: str = ""
    #: what the programs say that they are
    tools: tuple[str, ...] = ()
    #: what is not installed, and what installs it
    lacks: tuple[str, str] = ("", "")
    #: broken trees on which it was tried → whether it ended the same
    same: tuple[tuple[str, bool], ...] = ()

    @property
    def passed(self) -> int | None:
        """How many tests it says have passed; None if it says nothing of tests."""
        text = re.sub(r"\x1b\[[\d;]*m", "", self.run.text)
        for pattern in _COUNTS:
            if found := pattern.findall(text):
                return sum(map(int, found))
        return 0 if _NO_TESTS.search(text) and not _GO_TESTS.search(text) else None

    @property
    def ran_tests(self) -> bool:
        return bool(self.passed) or _GO_TESTS.search(self.run.text) is not None

    @property
    def proves_nothing(self) -> str:
        """Why its end says nothing about the tree, "" if it does."""
        if self.passed == 0:
            return "no test was run"
        blind = [tree for tree, same in self.same if same]
        if blind and (_TESTS in blind or len(blind) == len(self.same)):
            trees = _TESTS if _TESTS in blind else " and where ".join(blind)
            return f"it also succeeds where {trees}"
        return ""


@dataclass(frozen=True)
class Job:
    """A command to run in a workspace, with files that are not in it (yet)."""

    ctx: Context
    command: str
    #: path → content
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def definition(self) -> Definition:
        read = reader(self.ctx.root)
        return define(self.command, lambda path: self.files.get(path) or read(path))

    @property
    def is_script(self) -> bool:
        """Whether it is a program of the workspace that needs no set-up to start."""
        return _SCRIPT.match(self.command) is not None and bool(self.definition.whole)


def run_once(job: Job, *, every: bool = False, whole: bool = False) -> Ended:
    """Run a command once per content of the workspace; if it succeeds, on broken trees too.

    `every`: on each of them, however it ends. `whole`: also if it does not succeed; it ends the
    same if its exit code and its output are the same. Raises ValueError for what needs a shell,
    MissingToolError, OSError and RunError.
    """
    ctx, definition = job.ctx, job.definition
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    started = [resolve_command(ctx, words) for words in simple_commands(job.command)]
    tree = workspace_digest(ctx.services, ctx.root)
    files = tuple(sorted(job.files.items()))
    limit, installed = settings.timeout, _installed(ctx)
    key = ("command", definition.digest, repr(started), limit, installed, tree, every, whole, files)

    def on(breaks: Break | None, seconds: float = limit) -> tuple[Run, bool]:
        return _run_on(job, started, seconds, breaks)

    def make() -> Ended:
        begun = time.monotonic()
        ended, _ = on(None)
        label = next((label for _, _, label in started if label), "")
        seconds = round(time.monotonic() - begun, 1)
        found = Ended(ended, seconds, label, tuple(_versions(ctx, started)))
        if not ended.ok and (lack := find_missing(ctx, ended.code, ended.text)):
            return replace(found, lacks=(lack.message, lack.command))
        if not ended.ok and not every and not whole:
            return found
        # a broken tree may make it wait for ever
        enough = min(limit, _LEAST_SECONDS + 3 * seconds)
        same: list[tuple[str, bool]] = []
        for name, breaks in ({**BROKEN, **_OF_SCRIPTS} if job.is_script else BROKEN).items():
            again, broke = on(breaks, enough)
            if broke:
                same.append((name, _is_same(ended, again) if whole else again.ok))
            if broke and not same[-1][1] and not every:
                break
        if found.ran_tests and not whole and same and not same[-1][1]:
            text = " ".join([job.command, *(text for _, text in definition.parts)])
            some = _CHOOSES.search(text) or _UNITTEST.search(ended.text)
            breaks = raise_in_tests if some else add_failing_tests
            again, broke = on(breaks, enough)
            same += [(_TESTS, again.ok)] if broke else []
        return replace(found, same=tuple(same or [("nothing is there", True)]))

    return ctx.services.remember(key, Ended, make)


def _is_same(one: Run, other: Run) -> bool:
    """Whether two runs ended with the same code and said the same, times and numbers apart."""
    said = [re.sub(r"\d+", "0", run.text) for run in (one, other)]
    return one.code == other.code and said[0] == said[1]


def _installed(ctx: Context) -> str:
    """Changes with what is installed for the workspace."""
    node = NodePackages.of(ctx.root)
    try:
        python = python_of(ctx).identity
    except MissingToolError:
        python = ""
    return repr((python, node.missing() if node else []))


def _versions(ctx: Context, started: Sequence[Started]) -> Iterator[str]:
    for words, variables, _ in started:
        if _VERSIONED.fullmatch(Path(words[0]).name):
            asked = run([words[0], "--version"], cwd=ctx.root, env=variables, limit=10)
            if asked.ok and asked.text:
                yield f"{words[0]}: {asked.text.splitlines()[0][:100]}"


def _run_on(
    job: Job, started: Sequence[Started], limit: float, breaks: Break | None
) -> tuple[Run, bool]:
    """The run on a copy, which is broken first; and whether there was anything to break."""
    ctx = job.ctx
    with workspace_copy(ctx.root) as copy:
        for path, data in job.files.items():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_bytes(data)
        if breaks is not None and not breaks(copy, job.definition.files):
            return Run((), 0, "", ""), False
        for words, variables, _ in started:
            ended = run(words, cwd=copy, env=variables, limit=limit, apart_from=ctx.root)
            if not ended.ok:
                break
    place = f"{copy}/"
    return replace(ended, out=ended.out.replace(place, ""), err=ended.err.replace(place, "")), True
