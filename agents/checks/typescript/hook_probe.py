"""Calls the functions of a TypeScript module, compiled, in Node, with a client of our choice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from orchestrate_agents.checks.code_subjects import ticket_texts
from orchestrate_agents.checks.typescript.modules import closure, exported_functions, sources
from orchestrate_agents.checks.typescript.toolchain import (
    Compiled,
    Toolchain,
    compile_project,
    compiler_errors,
    project,
    remember_compiled,
    source_text,
    toolchain_digest,
)
from orchestrate_agents.sandbox.runs import RunError, run
from orchestrate_agents.specification.query_module import client_of
from orchestrate_agents.specification.stage import workflow_tables
from orchestrate_agents.specification.typescript import (
    Signature,
    blank_comments,
)
from orchestrate_agents.sql.parse import Table
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import Context
from orchestrator.storage.atomic import sha256_bytes
from orchestrator.storage.temporary import Temporary

_PROBE = Path(__file__).resolve().parents[2] / "templates" / "checks" / "hook_probe.cjs"
_LIMIT_SECONDS = 30
#: what a database and the way to it say when they refuse, by the code that tells them apart
_REFUSALS = {
    "42P01": "relation does not exist",
    "42501": "permission denied for table",
    "57014": "canceling statement due to statement timeout",
    "PGRST205": "Could not find the table in the schema cache",
    "PGRST301": "JWT expired",
    "": "TypeError: fetch failed",
}
#: what the recording client answers
_SCENARIOS: dict[str, dict[str, Any]] = {
    "null": {"data": None, "error": None, "count": None},
    "unreachable": {"unreachable": True},
}
_SCENARIOS |= {
    "error" if number == 0 else f"error {code or said}": {
        "data": None,
        "count": None,
        "error": {"message": said, "code": code, "details": "", "hint": ""},
    }
    for number, (code, said) in enumerate(_REFUSALS.items())
}
_COUNT = 7
_COMMONJS = {
    "noEmit": False,
    "noEmitOnError": False,
    "noCheck": True,
    "module": "CommonJS",
    "moduleResolution": "bundler",
    "verbatimModuleSyntax": False,
    "allowImportingTsExtensions": False,
    "declaration": False,
    "sourceMap": False,
    "jsx": "react-jsx",
}

#: function → scenario → {"returned": JSON} or {"threw": message}, with the client's "calls"; what
#: else an answer may say stands in templates/checks/hook_probe.cjs
Answers = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Observed:
    """What a function asks the database, and what it makes of the answers."""

    #: the first table that it asks, ""
    table: str = ""
    #: number of an argument → the column that it is compared with
    filters: dict[int, str] = field(default_factory=dict)
    #: columns that the rows are ordered by
    order: tuple[str, ...] = ()
    #: whether only some of the rows are taken
    limited: bool = False
    #: how rows are counted: "exact", "planned", "estimated", or "" where they are not
    counts: str = ""
    #: scenario → {"returned": JSON} or {"threw": message}, with "calls"
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)


def hook_functions(ctx: Context, path: str) -> list[Signature]:
    """The exported functions that give a promise, of a module that asks the database."""
    file = ctx.path(path)
    text = sources(ctx.root, file) if file.is_file() else ""
    if not re.search(r"\.(?:from|rpc)\s*\(", blank_comments(text)):
        return []
    found = exported_functions(ctx.root, file).values()
    return [signature for signature in found if signature.returns.startswith("Promise")]


def workspace_tables(ctx: Context) -> dict[str, Table]:
    """The tables of the statement's workflow and tickets, by name."""
    if ctx.workflow is None:
        return {}
    return workflow_tables(ctx.workflow, ctx.root, also="\n".join(ticket_texts(ctx)))


def observe(
    ctx: Context, tools: Toolchain, module: Path, functions: Mapping[str, Signature]
) -> dict[str, Observed] | str:
    """Call each function with a client that records, and answers nothing, a row, or an error.

    Returns the reason where they cannot be called.
    """
    numeric = ("int", "numeric", "real", "double", "float", "decimal")
    columns = {c.name: c.type for table in workspace_tables(ctx).values() for c in table.columns}
    row = {"id": "row-1"} | {
        name: 1 if kind.lower().startswith(numeric) else [] if kind.endswith("[]") else "x"
        for name, kind in columns.items()
    }
    scenarios = {**_SCENARIOS, "rows": {"data": [row], "error": None, "count": _COUNT}}
    marked = {
        name: [_marked_argument(index, p.type) for index, p in enumerate(signature.parameters)]
        for name, signature in functions.items()
    }

    def call() -> dict[str, Observed] | str:
        answers = call_functions(tools, module, marked, scenarios=scenarios)
        if isinstance(answers, str):
            return answers
        return {name: _observed(answers.get(name, {}), given) for name, given in marked.items()}

    given = json.dumps([marked, scenarios], sort_keys=True)
    emitted = emitted_digest(tools, module)
    place = str(module).removeprefix(f"{tools.root}/")
    key = ("observe", place, emitted, given, *toolchain_digest(ctx.services, tools))
    kind: Any = dict[str, Observed] | str
    return cast("dict[str, Observed] | str", ctx.services.remember(key, kind, call))


def _marked_argument(index: int, kind: str) -> Any:
    """A value by which the parameter is recognized in the client's calls."""
    plain = kind.strip()
    mark = 7001 + index if plain.removesuffix("[]") == "number" else f"argument-{index}"
    return [mark] if plain.endswith("[]") else mark


def _observed(answers: dict[str, dict[str, Any]], marks: Sequence[Any]) -> Observed:
    calls: list[list[Any]] = answers.get("null", {}).get("calls", [])
    plain = [mark[0] if isinstance(mark, list) else mark for mark in marks]
    options = [o for call in calls if call[0] == "select" for o in call[2:] if isinstance(o, dict)]
    return Observed(
        table=str(next((c[1] for c in calls if c[0] == "from" and len(c) > 1), "")),
        filters={
            plain.index(value): column
            for call in calls
            for column, value in _comparisons(call)
            if value in plain
        },
        order=tuple(str(c[1]) for c in calls if c[0] == "order" and len(c) > 1),
        limited=any(call[0] in ("limit", "range") for call in calls),
        counts=next((str(o["count"]) for o in options if o.get("count")), ""),
        answers=answers,
    )


def _comparisons(call: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """(column, value) of `eq(column, value)`, `filter(column, op, value)` and `match({…})`."""
    method, *given = call
    if len(given) >= 2 and isinstance(given[0], str):
        value = given[-1]
        yield given[0], value[0] if isinstance(value, list) and len(value) == 1 else value
    elif method == "match" and given and isinstance(given[0], dict):
        yield from given[0].items()


def call_functions(
    tools: Toolchain,
    module: Path,
    functions: Mapping[str, Sequence[Any]],
    *,
    scenarios: Mapping[str, Mapping[str, Any]] | None = None,
    client: Mapping[str, str] | None = None,
) -> Answers | str:
    """Call each function with its arguments; returns the reason where that is not possible.

    With `client` (library, url, key) the client is the real one, else a fake that gives each
    scenario's answer. A scenario with arguments of its own (`args`, by function) calls only those
    functions, and one with a `url` asks there. Raises MissingToolError if Node had to be
    stopped.
    """
    clients = [client_of(source_text(file)) for file in closure(tools.root, module)]
    job = {
        "imports": [used.module for used in clients if used and used.module],
        "functions": [{"name": n, "args": list(given)} for n, given in functions.items()],
        "scenarios": scenarios or {"real": {}},
        "client": client,
    }
    asked = [client or {}, *(scenarios or {}).values()]
    urls = [place["url"] for place in asked if place.get("url")]
    return cast("Answers | str", run_probe(tools, _PROBE, module, job, urls))


def emitted_by(tools: Toolchain, module: Path) -> dict[str, str] | str:
    """What the compiler makes of a module and what it imports, by path below the root; the reason,
    as text, where it makes nothing. Types are for other checks: here it would take long.

    Raises RunError if the compiler was stopped at the limit.
    """

    options = {**_COMMONJS, "rootDir": str(tools.root)}

    def make() -> Compiled:
        with Temporary("ts") as folder:
            place = Path(folder).resolve()
            out = place / "out"
            config = project(tools, place, [module], **options, outDir=str(out))
            compiled = compile_project(tools, place, config)
            if compiled.run.code is None:
                raise RunError(f"the compiler was stopped: {compiled.run.ending}")
            made = (file for file in sorted(out.rglob("*")) if file.is_file())
            texts = {f.relative_to(out).as_posix(): f.read_text(encoding="utf-8") for f in made}
        # CommonJS has no `import.meta`: the probe gives the modules a stand-in
        return replace(
            compiled,
            made={
                name: text.replace("import.meta", "globalThis.importMeta")
                if name.endswith(".js")
                else text
                for name, text in texts.items()
            },
        )

    compiled = remember_compiled(tools.services, tools, ("emitted", str(module)), make)
    if module.relative_to(tools.root).with_suffix(".js").as_posix() not in compiled.made:
        return f"it does not compile: {compiler_errors(compiled.run.text, tools.root)}"
    return compiled.made


def emitted_digest(tools: Toolchain, module: Path) -> str:
    """A digest of what is run when the functions of a module are called."""
    return sha256_bytes(repr(emitted_by(tools, module)).encode("utf-8", "surrogatepass"))


def run_probe(
    tools: Toolchain, probe: Path, module: Path, job: Mapping[str, Any], urls: Sequence[str]
) -> Any:
    """What a script of `templates/checks` says of a module, compiled and named in its job; the
    reason, as text, where it says nothing. It reaches the servers of `urls`.
    """
    with Temporary("ts") as folder:
        place = Path(folder).resolve()
        emitted = emitted_by(tools, module)
        if isinstance(emitted, str):
            return emitted
        for name, text in emitted.items():
            file = place / "out" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        compiled = place / "out" / module.relative_to(tools.root).with_suffix(".js")
        file = place / "job.json"
        file.write_text(json.dumps({**job, "module": str(compiled)}), encoding="utf-8")
        node = [str(tools.node), "--disallow-code-generation-from-strings"]
        ended = run(
            [*node, str(probe), str(file)],
            cwd=place,
            limit=_LIMIT_SECONDS,
            apart_from=tools.root,
            ports=sorted({port for url in urls if (port := urlsplit(url).port)}),
        )
    if ended.tried:
        return ended.ending
    if ended.code is None:
        # by a loop without end, or by a machine with much to do: nobody knows
        raise MissingToolError(f"{module.name}: its functions did not end in {_LIMIT_SECONDS} s")
    try:
        return json.loads(ended.out)
    except ValueError:
        thrown = [line for line in ended.err.splitlines() if re.match(r"\s*\w*Error\b", line)]
        return thrown[0].strip()[:300] if thrown else ended.ending
