"""The generic check: a command that a statement names, if USER allows it.

A statement is somebody's text, so nothing in it is run just because it is quoted: `orchestrate
checks allow` binds leave to what the command runs, `[checks] commands` lists it word for word. It
runs on a copy, without a shell, keys or network, with the workspace's own Python and Node packages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrate_agents.checks.code_subjects import delivered
from orchestrate_agents.checks.command_runs import Ended, Job, run_once
from orchestrate_agents.checks.typescript.compiler import compiles
from orchestrate_agents.checks.typescript.toolchain import SUFFIXES
from orchestrate_agents.sandbox.runs import RunError
from orchestrator.commands.definitions import define, reader
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
from orchestrator.gates.evidence import PROGRAMS
from orchestrator.gates.trust import is_trusted
from orchestrator.settings.board import FILE
from orchestrator.settings.tables import ChecksSettings

#: requests and SQL are not commands
_NO_COMMAND = r"(?!(?-i:[A-Z]+)\s|(?:curl|wget|https?|xh)\s)"
#: several words, or a script of the workspace
_INVOCATION = rf"{_NO_COMMAND}[^`\s]+\s[^`]*|\./[\w./-]+"
# or one that is known to be a program
_PROGRAM = "|".join(re.escape(name) for name in sorted(sorted(PROGRAMS), key=len, reverse=True))
_QUOTED = rf"`(?:{_INVOCATION}|{_PROGRAM})`"
#: without quotes, where no other word can be meant
_BARE = (
    r"(?-i:(?:npm|pnpm|yarn)\s+(?:run\s+[\w:.-]+|test|audit|build|lint|typecheck)"
    r"|make\s+(?!sure|it|the|all|an?\b)[\w-]+|cargo\s+(?:test|build|check|clippy|fmt)"
    r"|go\s+(?:test|vet|build)\s+\./\.\.\.)"
)
_COMMAND = rf"(?:{_QUOTED}|{_BARE})"
_JOINED = r"\s*(?:,\s*and|,|and|&|\+|;|then)\s*"


def _bare(text: str) -> str:
    return text.strip("` ")


parameter_type("command", _COMMAND, _bare)
parameter_type("invocation", rf"`(?:{_INVOCATION})`", _bare)
parameter_type(
    "commands",
    rf"{_COMMAND}(?:{_JOINED}{_COMMAND})*",
    lambda text: tuple(map(_bare, re.findall(rf"`[^`]+`|{_BARE}", text))),
)
parameter_type(
    "flaws",
    r"(?:(?:type|lint(?:er|ing)?|compil(?:e|er|ation)|build|test|new)\s+)?(?:errors?|problems?|"
    r"warnings?|issues?|failures?|findings?|violations?|vulnerabilit(?:y|ies)|regressions?)"
    r"(?:\s+(?:and|or)\s+warnings?)?",
)
parameter_type("silent", r"no output|nothing")
_COMPILER = re.compile(r"(?:npx\s+)?tsc(?:\s+--(?:noEmit|strict))*")
_RUN = "[(run|running|execute|executing|when running|when (I|you|we) run|the command|command)]"
_SO = "[(,|;|:)] [(—|–|-|=>|→|\\()] [(and|it)]"
_ALL = (
    "[(all|everything|all tests|all of them|every test|tests|the tests|all checks|the suite|"
    "the build|both)] [(is|are|must|should|has to|have to|will|still|also|now|always|both|all|"
    "continues to|continue to|must still|should still)]"
)
_ENDS_WELL = (
    "(pass|passes|passing|succeed|succeeds|green|stay green|stays green|clean|ok|ends well|works|"
    "(run|runs) (green|clean)|succeeds with exit code 0|(exit|return) (code|status) (is|of) 0|"
    "(exit|exits|exiting|end|ends|return|returns) [with] [(code|status)] [exit code] 0|"
    "exit code 0|(run|runs|complete|completes|finish|finishes|exit|exits|pass|passes) "
    "[(cleanly|successfully)])"
)
_FREE_OF = "[(with|has|have|and|and there are|reports|reporting)] (no|0|zero|without|without any)"
#: what a program says that misses what a proof is cut off from
_NEEDS = (
    (re.compile(r"not a git repository", re.IGNORECASE), "git's history"),
    (
        re.compile(
            r"could not resolve host|network is unreachable|unable to access 'https?://|ENOTFOUND|"
            r"EAI_AGAIN|temporary failure in name resolution|127\.0\.0\.1:9\b",
            re.IGNORECASE,
        ),
        "the network",
    ),
)
#: what programs print, by how people call it
_SHAPES = {
    "usage": re.compile(r"(?im)^\W*usage\b"),
    "error": re.compile(
        r"(?i)\b(?:error|invalid|cannot|can't|not found|no such|missing|unknown|failed|must|not)\b"
    ),
    "help": re.compile(r"(?im)^\W*(?:usage|(?:\w+ )?(?:options|commands|arguments))\b"),
}
parameter_type(
    "shape",
    r"(?:(?:the|its|a)\s+)?(?:usage|help)(?:\s+(?:text|message|information|info|line|screen|page))?",
    lambda text: "usage" if "usage" in text.lower() else "help",
)
parameter_type(
    "errorshape",
    r"(?:prints\s+|shows\s+)?(?:an?|the|a\s+clear|a\s+helpful)\s+error(?:\s+message)?",
    lambda _text: "error",
)
#: 0: any code but 0
parameter_type(
    "exitcode",
    r"`?(?:[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])`?|(?:a\s+)?non-?\s?zero|not\s+(?:0|zero)",
    lambda text: int(bare) if (bare := text.strip("` ")).isdecimal() else 0,
)
parameter_type(
    "badinput",
    r"(?:on|for|with|given)\s+(?:an?\s+|the\s+)?(?:bad|invalid|wrong|unknown|malformed|missing)"
    r"\s+(?:input|arguments?|options?|commands?|values?|usage)"
    r"|without\s+(?:any\s+|an?\s+)?(?:arguments?|args|options?|parameters?|subcommand)",
)
_CRASH = re.compile(
    r"(?m)^Traceback \(most recent call last\)|^\S*python\S*: (?:No module named|can't open file)"
    r"|^node:internal/|^panic: |^thread '.*' panicked|^Segmentation fault"
)
_NO_WARNING = re.compile(r"\b(?:0|no|zero)\s+warnings?\b|without warnings?", re.IGNORECASE)


@check(
    f"{_RUN} {{commands:commands}}{_SO} {_ALL} {_ENDS_WELL} [[,] {_FREE_OF} {{flaws:flaws}}] [\\)]",
    "(run|running|execute|executing) {commands:commands}",
    "[(the|our|all)] code (passes|satisfies) {commands:commands} [without errors]",
    f"{_RUN} {{commands:commands}}{_SO} [(report|reports|finds|find|gives|give|show|shows|prints)] "
    f"{_FREE_OF} {{flaws:flaws}}",
    "[there are] no {flaws:flaws} (from|in|with|reported by|found by) {commands:commands}",
    "[the] exit (code|status) of {commands:commands} is (0|zero)",
    f"{_RUN} {{commands:commands}}{_SO} (prints|produces|outputs|gives|shows|says|reports) "
    "{silent:silent}",
    f"{_RUN} {{commands:commands}}{_SO} [all] {{count:int}} [tests] "
    "(pass|passed|passing|green|succeed) [\\)]",
    name="command.passes",
    version=2,
    slow=True,
    evidence=True,
    examples=("`ruff check .` passes", "`npm run build` succeeds", "Run `make lint` — all pass"),
)
def passes(
    ctx: Context,
    commands: tuple[str, ...],
    flaws: str = "",
    count: int | None = None,
    silent: str = "",
) -> Result:
    """The command, which USER allowed, ends with exit code 0, and cannot do so on a broken tree."""
    if len(commands) == 1 and _COMPILER.fullmatch(commands[0]) and _refusal(ctx, commands[0]):
        return compiles(ctx, delivered(ctx, SUFFIXES))
    wanted = Wanted(flaws=flaws, count=count, silent=bool(silent))
    results = [_judge(ctx, command, wanted) for command in commands]
    return _worst(results)


@check(
    "{command:invocation} [output] (prints|outputs|shows|displays|reports|returns|contains|lists) "
    "{wanted:code}",
    "[the] output of {command:invocation} (contains|includes|shows|is|has) {wanted:code}",
    "{command:invocation} (prints|outputs|shows|displays) {shape:shape}",
    name="command.prints",
    version=2,
    slow=True,
    evidence=True,
    examples=("`python -m shop --version` prints `1.2.0`", "`shop --help` prints usage"),
)
def prints(ctx: Context, command: str, wanted: str = "", shape: str = "") -> Result:
    """The command, which USER allowed, ends with exit code 0, and its output has the text."""
    return _judge(ctx, command, Wanted(text=wanted, shape=shape))


_FAILS_WITH = (
    "(exits|exit|ends|returns|fails|terminates|quits) [(with|in)] [(a|an|the)] "
    "[(exit|status|return|error)] [(code|status)] [of] {code:exitcode} [exit] [(code|status)]"
)


@check(
    f"[(running|the command)] {{command:invocation}} {_FAILS_WITH} [{{situation:badinput}}]",
    f"[{{situation:badinput}}[,]] {{command:invocation}} {_FAILS_WITH}",
    f"[(running|the command)] {{command:invocation}} {_FAILS_WITH} and (prints|says|shows|outputs) "
    "({wanted:code}|{shape:shape})",
    "[(running|the command)] {command:invocation} [{situation:badinput}] "
    f"(prints|says|shows|outputs) ({{wanted:code}}|{{shape:shape}}) and {_FAILS_WITH}",
    f"[(running|the command)] {{command:invocation}} {_FAILS_WITH} and {{shape:errorshape}}",
    "[the] exit (code|status) of {command:invocation} is {code:exitcode}",
    name="command.exits",
    slow=True,
    evidence=True,
    examples=(
        "`python -m shop bad` exits with 2",
        "`shop --qty x` exits with a non-zero code and prints `not a number`",
    ),
)
def exits(
    ctx: Context,
    command: str,
    code: int,
    wanted: str = "",
    shape: str = "",
    situation: str = "",
) -> Result:
    """The command, which USER allowed, ends with that code, by itself, and not on a broken tree."""
    if refusal := _refusal(ctx, command):
        return unproven(refusal)
    if situation.lower().startswith("without") and " -" in command:
        return unproven(f"`{command}` has options; write it as it is run without any")
    job = Job(ctx, command)
    ended = _start(job, whole=True)
    if isinstance(ended, Result):
        return ended
    subjects, evidence = _subjects(job), _evidence(ended)
    said = f"{_shown(job, ended)}: {ended.run.ending}"
    found, text = ended.run.code, ended.run.text
    if found is None or (found != code if code else found == 0):
        # which input is bad, the command alone may not say
        judge = unproven if situation and found == 0 else failed
        return judge(f"{said}; not {code or 'a code other than 0'}", *subjects, **evidence)
    if found < 0 or found in (126, 127) or _CRASH.search(text):
        return unproven(f"{said}; it crashed, and did not decide to end so", **evidence)
    for needed_by, what in _NEEDS:
        if needed_by.search(text):
            return unproven(f"{said}; it needs {what}, which a proof does not have", **evidence)
    if refuted := Wanted(text=wanted, shape=shape).refusal(ended):
        return failed(f"{said}; but {refuted}", *subjects, **evidence)
    if all(same for _, same in ended.same):
        where = " and where ".join(tree for tree, _ in ended.same)
        return unproven(f"{said}; it ends the same where {where}", **evidence)
    return proven(said, *subjects, **evidence)


@dataclass(frozen=True)
class Wanted:
    """What is said of a command's end besides exit code 0."""

    text: str = ""
    #: a key of `_SHAPES`
    shape: str = ""
    flaws: str = ""
    count: int | None = None
    silent: bool = False

    def refusal(self, ended: Ended) -> str:
        """What does not hold, or ""."""
        text = ended.run.text
        if self.text and self.text not in text:
            return f"its output has no `{self.text}`"
        if self.shape and not _SHAPES[self.shape].search(text):
            return f"its output has no {self.shape}: {text[:200]}"
        if self.silent and text:
            return f"it says: {text[:200]}"
        if "warning" in self.flaws.lower():
            lines = (_NO_WARNING.sub("", line).strip() for line in text.splitlines())
            if warning := next((ln for ln in lines if re.search(r"\bwarn", ln, re.IGNORECASE)), ""):
                return f"it warns: {warning[:200]}"
        if self.count is not None and ended.passed != self.count:
            found = "no number of tests" if ended.passed is None else f"{ended.passed} tests passed"
            return f"it says {found}, not {self.count}"
        return ""


_ANY_END = Wanted()


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
    if not is_trusted(ctx, FILE):
        return f"{FILE}, which allows `{command}`, was changed while an agent of this family worked"
    now = define(command, reader(ctx.root))
    if pinned is not None:
        if now.digest != pinned.sha256:
            was = f": it ran `{pinned.runs}`, it would run `{now.shown}`" if pinned.runs else ""
            return (
                f"what `{command}` runs has changed since it was allowed{was}; look, then: {hint}"
            )
        return ""
    changed = (ctx.changed() if ctx.changed is not None else None) or frozenset[str]()
    touched = sorted(path for path in now.files & changed if not is_trusted(ctx, path))
    if touched and (ctx.at_start is None or define(command, ctx.at_start).digest != now.digest):
        files = ", ".join(touched)
        return f"this family changed {files}, which says what `{command}` runs; if right: {hint}"
    return ""


# -- judging ---------------------------------------------------------------------------------------


def _judge(ctx: Context, command: str, wanted: Wanted) -> Result:
    if refusal := _refusal(ctx, command):
        return unproven(refusal)
    return prove_command(Job(ctx, command), wanted)


def _start(job: Job, *, whole: bool = False) -> Ended | Result:
    """How the command ended, or why nothing can be said of it."""
    command = job.command
    try:
        ended = run_once(job, whole=whole)
    except ValueError as exc:
        return unproven(f"`{command}` cannot be run: {exc}")
    except MissingToolError as exc:
        return unproven(f"`{command}` cannot be started: {exc.message}", install=exc.command)
    except (OSError, RunError) as exc:
        return unproven(f"`{command}` cannot be started: {exc}")
    if ended.lacks[0]:
        evidence = _evidence(ended)
        return unproven(f"`{command}`: {ended.lacks[0]}", install=ended.lacks[1], **evidence)
    return ended


def _subjects(job: Job) -> list[str]:
    # a command may look at everything that the family's agents made, so the proof is about that
    paths = {*job.ctx.artifacts, *job.definition.files}
    return sorted(path for path in paths if job.ctx.path(path).is_file())


def _shown(job: Job, ended: Ended) -> str:
    return f"`{job.command}` with {ended.label}" if ended.label else f"`{job.command}`"


def _evidence(ended: Ended) -> dict[str, object]:
    evidence = {**ended.run.to_dict(), "seconds": ended.seconds}
    return evidence | {"tools": list(ended.tools), "succeeds where": dict(ended.same)}


def prove_command(job: Job, wanted: Wanted = _ANY_END) -> Result:
    """Run a command, whoever allowed it."""
    command = job.command
    subjects, ended = _subjects(job), _start(job)
    if isinstance(ended, Result):
        return ended
    evidence = _evidence(ended)
    said = f"{_shown(job, ended)}: {ended.run.ending}"
    if not ended.run.ok:
        for wanted_by, what in _NEEDS:
            if wanted_by.search(ended.run.text):
                return unproven(f"{said}; it needs {what}, which a proof does not have", **evidence)
        # pytest's 4: what the command names is not there
        if ended.run.code != 4 and (ended.passed == 0 or ended.run.code == 5):
            return unproven(f"{said}; no test was run", **evidence)
        return failed(said, *subjects, **evidence)
    if refuted := wanted.refusal(ended):
        return failed(f"{said}; but {refuted}", *subjects, **evidence)
    if nothing := ended.proves_nothing:
        return unproven(f"`{command}` proves nothing: {nothing}", **evidence)
    return proven(said, *subjects, **evidence)
