"""Checks that programs and documents have no syntax errors, each by what reads its language."""

from __future__ import annotations

from pathlib import PurePosixPath

from orchestrate_agents.checks.documents import BY_SUFFIX, parses
from orchestrate_agents.checks.python.behaviour import has_valid_syntax
from orchestrate_agents.sandbox.runs import run
from orchestrate_agents.tools.programs import resolve_command
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

#: ends of names → the language, and the command that only reads a program of it
_READERS = {
    (".js", ".mjs", ".cjs"): ("JavaScript", ("node", "--check")),
    (".sh", ".bash"): ("shell", ("bash", "-n")),
    (".rb",): ("Ruby", ("ruby", "-c")),
    (".php",): ("PHP", ("php", "-l")),
    (".pl", ".pm"): ("Perl", ("perl", "-c")),
}
_TYPED = (".ts", ".tsx", ".mts", ".cts")
parameter_type("language", r"JavaScript|JS|shell(?: script)?|bash(?: script)?|Ruby|PHP", str.lower)


@check(
    "{path:path} (has|have|contains) no syntax errors",
    "{paths:paths} (have|contain) no syntax errors",
    "{path:path} (is|parses as) [(a|an)] [(valid|syntactically valid)] {said:language} [program]",
    name="code.syntax",
    examples=("`web/cart.js` has no syntax errors", "`tools/run.sh` is a valid shell script"),
)
def has_no_syntax_errors(
    ctx: Context, path: str = "", paths: tuple[str, ...] = (), said: str = ""
) -> Result:
    """Each is read by its language: Python, `node --check`, `bash -n`, a parser of data."""
    results = [_judge(ctx, each, said) for each in paths or (path,)]
    worst = min(results, key=lambda result: SEVERITY.index(result.verdict))
    details = [r.detail for r in results if r.verdict is worst.verdict]
    return Result(worst.verdict, "; ".join(details), paths or (path,))


def _judge(ctx: Context, path: str, said: str) -> Result:
    suffix = PurePosixPath(path).suffix.lower()
    if not ctx.path(path).is_file():
        return failed(f"{path} is missing", path)
    if suffix == ".py" and not said:
        return has_valid_syntax(ctx, path)
    if suffix in BY_SUFFIX and not said:
        return parses(ctx, path)
    language, words = next((r for ends, r in _READERS.items() if suffix in ends), ("", ()))
    meant = {"js": "javascript", "bash": "shell"}.get(said.split(" ")[0], said.split(" ")[0])
    if not words or (meant and meant != language.lower()):
        hint = f": write “`{path}` compiles”" if suffix in _TYPED else ""
        return unproven(f"{path}: nothing here reads it as {said or suffix or 'a program'}{hint}")
    started, variables, _ = resolve_command(ctx, words)
    ended = run([*started, str(ctx.path(path))], cwd=ctx.root, env=variables, apart_from=ctx.root)
    if ended.ok:
        return proven(f"{path} is read as {language} by `{' '.join(words)}`", path)
    lines = [line for line in ended.err.splitlines() if line.strip()]
    error = next((line for line in lines if "rror" in line), lines[0] if lines else "")
    if ended.code is None or not lines:
        return unproven(f"`{' '.join(words)}` did not end by itself", path)
    return failed(f"{path}: {error.replace(f'{ctx.root}/', '').strip()}", path)
