"""The generic check: a command that a statement names, if USER allows it.

A statement is somebody's text, so nothing in it is run just because it is quoted: `orchestrate
checks allow` binds leave to what the command runs, `[checks] commands` lists it word for word. It
runs on a copy, without a shell, keys or network, with the workspace's own Python and Node packages.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrate_agents.checks.code_subjects import delivered
from orchestrate_agents.checks.typescript.compiler import compiles
from orchestrate_agents.checks.typescript.toolchain import SUFFIXES
from orchestrate_agents.sandbox.proof_tree import (
    BROKEN,
    Break,
    add_failing_tests,
    raise_in_tests,
    workspace_copy,
)
from orchestrate_agents.sandbox.runs import Run, RunError, run, tree_digest
from orchestrate_agents.tools.node import NodePackages
from orchestrate_agents.tools.programs import find_missing, resolve_command
from orchestrate_agents.tools.python import python_of
from orchestrator.commands.definitions import Definition, define, reader, simple_commands
from orchestrator.config import FILE, ChecksSettings
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import (
    SEVERITY,
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

#: requests and SQL are no commands
_NO_COMMAND = r"(?!(?-i:[A-Z]+)\s|(?:curl|wget|https?|xh)\s)"
#: several words, or a script of the workspace
_INVOCATION = rf"{_NO_COMMAND}[^`\s]+\s[^`]*|\./[\w./-]+"
# or one that cannot be a path
_COMMAND = rf"`(?:{_INVOCATION}|(?!test_)[\w+-]+)`"
_JOINED = r"\s*(?:,\s*and|,|and|&|\+|;|then)\s*"


def _bare(text: str) -> str:
    return text.strip("` ")


parameter_type("command", _COMMAND, _bare)
parameter_type("invocation", rf"`(?:{_INVOCATION})`", _bare)
parameter_type(
    "commands",
    rf"{_COMMAND}(?:{_JOINED}{_COMMAND})*",
    lambda text: tuple(map(_bare, re.findall(r"`[^`]+`", text))),
)
parameter_type("flaws", r"(?:errors?|problems?|warnings?|issues?|failures?|findings?|violations?)")
_COMPILER = re.compile(r"(?:npx\s+)?tsc(?:\s+--(?:noEmit|strict))*")
_RUN = "[(run|running|execute|executing)]"
_SO = "[(,|;|:)] [(—|–|-|=>|→)] [(and|it)]"
_ALL = (
    "[(all|everything|all tests|all of them|every test|tests|the tests|all checks|the suite|"
    "the build|both)] [(is|are|must|should|has to|have to|will)]"
)
_ENDS_WELL = (
    "(pass|passes|passing|succeed|succeeds|green|stay green|stays green|clean|ok|ends well|"
    "(exit|exits|exiting|end|ends|return|returns) [with] [(code|status)] [exit code] 0|"
    "exit code 0|(run|runs|complete|completes|finish|finishes) [(without|with no) (error|errors)|"
    "cleanly|successfully])"
)
_NO_WARNING = re.compile(r"\b(?:0|no|zero)\s+warnings?\b|without warnings?", re.IGNORECASE)
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
_NEEDS_GIT = re.compile(r"not a git repository", re.IGNORECASE)
#: options and names by which a command runs some tests only
_CHOOSES = re.compile(
    r"::|(?:^|\s)(?:-k|-t|-g|-run|--grep|--filter|--testNamePattern|-m(?!\s+(?:pytest|unittest)))\b"
)
#: programs that say which they are
_VERSIONED = re.compile(
    r"(?:node|npm|pnpm|yarn|bun|deno|make|just|cargo|ruff|mypy|pytest|black|tox|nox|eslint|tsc|"
    r"vitest|jest|prettier|pyright|python[\d.]*|gradle|mvn|dotnet|pre-commit)"
)
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


@check(
    f"{_RUN} {{commands:commands}}{_SO} {_ALL} {_ENDS_WELL}",
    "(run|running|execute|executing) {commands:commands}",
    f"{_RUN} {{commands:commands}}{_SO} [(report|finds|find|gives|give|show|shows|prints|reports|"
    "has|have|there are|ends)] [(with|without)] no {flaws:flaws}",
    f"{_RUN} {{commands:commands}}{_SO} [(report|reports|ends|runs|run)] (without|0|zero) "
    "{flaws:flaws}",
    f"{_RUN} {{commands:commands}}{_SO} [all] {{count:int}} [tests] "
    "(pass|passed|passing|green|succeed)",
    name="command.passes",
    version=2,
    slow=True,
    evidence=True,
    examples=("`ruff check .` passes", "`npm run build` succeeds", "Run `make lint` — all pass"),
)
def passes(
    ctx: Context, commands: tuple[str, ...], flaws: str = "", count: int | None = None
) -> Result:
    """The command, which USER allowed, ends with exit code 0, and cannot do so on a broken tree."""
    if len(commands) == 1 and _COMPILER.fullmatch(commands[0]) and _refusal(ctx, commands[0]):
        return compiles(ctx, delivered(ctx, SUFFIXES))
    results = [_judge(ctx, command, _Wanted(flaws=flaws, count=count)) for command in commands]
    return _worst(results)


@check(
    "{command:invocation} (prints|outputs|shows|displays|says|reports|returns|contains|lists) "
    "{wanted:code}",
    "[the] output of {command:invocation} (contains|includes|shows|is|has) {wanted:code}",
    name="command.prints",
    slow=True,
    evidence=True,
    examples=("`python -m shop --version` prints `1.2.0`",),
)
def prints(ctx: Context, command: str, wanted: str) -> Result:
    """The command, which USER allowed, ends with exit code 0, and its output has the text."""
    return _judge(ctx, command, _Wanted(text=wanted))


@dataclass(frozen=True)
class _Wanted:
    """What is said of a command's end besides exit code 0."""

    text: str = ""
    flaws: str = ""
    count: int | None = None

    def refusal(self, ended: Ended) -> str:
        """What does not hold, or ""."""
        text = ended.run.text
        if self.text and self.text not in text:
            return f"its output has no `{self.text}`"
        if self.flaws.startswith("warning"):
            lines = (_NO_WARNING.sub("", line).strip() for line in text.splitlines())
            if told := next((ln for ln in lines if re.search(r"\bwarn", ln, re.IGNORECASE)), ""):
                return f"it warns: {told[:200]}"
        if self.count is not None and ended.passed != self.count:
            found = "no number of tests" if ended.passed is None else f"{ended.passed} tests passed"
            return f"it says {found}, not {self.count}"
        return ""


def _worst(results: Sequence[Result]) -> Result:
    worst = min(results, key=lambda result: SEVERITY.index(result.verdict))
    if len(results) == 1:
        return worst
    alike = [result for result in results if result.verdict is worst.verdict]
    return Result(
        worst.verdict,
        "; ".join(result.detail for result in alike),
        tuple(sorted({path for result in results for path in result.subjects})),
        {"runs": [dict(result.evidence) for result in results]},
    )


# -- leave -----------------------------------------------------------------------------------------


def _refusal(ctx: Context, command: str) -> str:
    """Why a command is not run, "" if it may be."""
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    hint = f'orchestrate checks allow "{command}"'
    pinned = settings.allowed.get(command)
    if pinned is None and command not in settings.commands:
        return f"`{command}` is not allowed to run; allow it with: {hint}"
    changed = (ctx.changed() if ctx.changed is not None else None) or frozenset[str]()
    if FILE in changed:
        return f"{FILE}, which allows `{command}`, changed while an agent of this family worked"
    now = define(command, reader(ctx.root))
    if pinned is not None:
        if now.digest != pinned.sha256:
            was = f": it ran `{pinned.runs}`, it would run `{now.shown}`" if pinned.runs else ""
            return (
                f"what `{command}` runs has changed since it was allowed{was}; look, then: {hint}"
            )
        return ""
    touched = sorted(now.files & changed)
    if touched and (ctx.at_start is None or define(command, ctx.at_start).digest != now.digest):
        files = ", ".join(touched)
        return f"this family changed {files}, which says what `{command}` runs; if right: {hint}"
    return ""


# -- running ---------------------------------------------------------------------------------------


def _judge(ctx: Context, command: str, wanted: _Wanted) -> Result:
    if refusal := _refusal(ctx, command):
        return unproven(refusal)
    definition = define(command, reader(ctx.root))
    # a command may look at everything that the family's agents made, so the proof is about that
    subjects = sorted({p for p in {*ctx.artifacts, *definition.files} if ctx.path(p).is_file()})
    try:
        simple = simple_commands(command)
        ended = _run_once(ctx, definition, simple)
    except ValueError as exc:
        return unproven(f"`{command}` cannot be run: {exc}")
    except MissingToolError as exc:
        return unproven(f"`{command}` cannot be started: {exc.message}", install=exc.command)
    except (OSError, RunError) as exc:
        return unproven(f"`{command}` cannot be started: {exc}")
    shown = f"`{command}` with {ended.label}" if ended.label else f"`{command}`"
    evidence = {**ended.run.to_dict(), "seconds": ended.seconds}
    evidence |= {"tools": list(ended.tools), "succeeds where": dict(ended.same)}
    said = f"{shown}: {ended.run.ending}"
    if ended.lacks[0]:
        return unproven(f"`{command}`: {ended.lacks[0]}", install=ended.lacks[1], **evidence)
    if not ended.run.ok:
        if _NEEDS_GIT.search(ended.run.text):
            return unproven(f"{said}; a proof has no history of git", **evidence)
        # pytest's 4: what the command names is not there
        if ended.run.code != 4 and (ended.passed == 0 or ended.run.code == 5):
            return unproven(f"{said}; no test was run", **evidence)
        return failed(said, *subjects, **evidence)
    if refuted := wanted.refusal(ended):
        return failed(f"{said}; but {refuted}", *subjects, **evidence)
    if nothing := ended.proves_nothing:
        return unproven(f"`{command}` proves nothing: {nothing}", **evidence)
    return proven(said, *subjects, **evidence)


def _run_once(ctx: Context, definition: Definition, simple: list[list[str]]) -> Ended:
    """Run a command once per content of the workspace; if it succeeds, on broken trees too."""
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    started = [resolve_command(ctx, words) for words in simple]
    tree = tree_digest(ctx.services, ctx.root)
    key = ("command", definition.digest, repr(started), settings.timeout, _installed(ctx), tree)

    def make() -> Ended:
        begun = time.monotonic()
        ended, _ = _run_on(ctx, started, settings.timeout, None, definition)
        seconds = round(time.monotonic() - begun, 1)
        label = next((label for _, _, label in started if label), "")
        found = Ended(ended, seconds, label, tuple(_versions(ctx, started)))
        if not ended.ok:
            lack = find_missing(ctx, ended.code, ended.text)
            return replace(found, lacks=(lack.message, lack.command)) if lack else found
        same: list[tuple[str, bool]] = []
        for name, breaks in BROKEN.items():
            again, broke = _run_on(ctx, started, settings.timeout, breaks, definition)
            if broke:
                same.append((name, again.ok))
            if not again.ok:
                break
        if found.ran_tests and same and not same[-1][1]:
            text = " ".join([definition.command, *(text for _, text in definition.parts)])
            breaks = raise_in_tests if _CHOOSES.search(text) else add_failing_tests
            again, broke = _run_on(ctx, started, settings.timeout, breaks, definition)
            same += [(_TESTS, again.ok)] if broke else []
        return replace(found, same=tuple(same or [("nothing is there", True)]))

    return ctx.services.remember(key, Ended, make)


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
    ctx: Context,
    started: Sequence[Started],
    limit: float,
    breaks: Break | None,
    definition: Definition,
) -> tuple[Run, bool]:
    """The run on a copy, which is broken first; and whether there was anything to break."""
    with workspace_copy(ctx.root) as copy:
        if breaks is not None and not breaks(copy, definition.files):
            return Run((), 0, "", ""), False
        for words, variables, _ in started:
            ended = run(words, cwd=copy, env=variables, limit=limit, apart_from=ctx.root)
            if not ended.ok:
                break
    return ended, True
