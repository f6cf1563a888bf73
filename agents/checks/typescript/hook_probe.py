"""Calling the functions of a TypeScript hook: compiled, in Node, with a client of our choice."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from orchestrate_agents.checks.typescript.toolchain import (
    Toolchain,
    compiler_errors,
    project,
    world,
)
from orchestrate_agents.sandbox.runs import run
from orchestrate_agents.specification.query_module import client_of
from orchestrate_agents.specification.typescript import Signature
from orchestrator.gates.checks import Services

_PROBE = Path(__file__).resolve().parents[2] / "templates" / "checks" / "hook_probe.cjs"
_LIMIT_SECONDS = 30

#: function → scenario → {"returned": JSON} or {"threw": message}, with the client's "calls"
Answers = dict[str, dict[str, dict[str, Any]]]


def probe(
    services: Services,
    tools: Toolchain,
    module: Path,
    functions: Mapping[str, Sequence[Any]],
    *,
    scenarios: Mapping[str, Mapping[str, Any]] | None = None,
    client: Mapping[str, str] | None = None,
) -> Answers | str:
    """Call each function with its arguments; the reason in words if that cannot be done.

    With `scenarios` the client is a fake that gives each scenario's answer; with `client` (library,
    url, key) it is a real one. A scenario that has arguments of its own (`args`, by
    function) calls those functions only.
    """

    def make() -> Answers | str:
        with tempfile.TemporaryDirectory(prefix="orchestrate-ts-") as folder:
            return _called(tools, Path(folder).resolve(), module, functions, scenarios, client)

    if client is not None:
        return make()
    given = json.dumps([{n: list(a) for n, a in functions.items()}, scenarios], sort_keys=True)
    key = ("probe", str(module), given, *world(services, tools))
    kind: Any = Answers | str
    return cast("Answers | str", services.remember(key, kind, make))


def _called(
    tools: Toolchain,
    place: Path,
    module: Path,
    functions: Mapping[str, Sequence[Any]],
    scenarios: Mapping[str, Mapping[str, Any]] | None,
    client: Mapping[str, str] | None,
) -> Answers | str:
    compiled = _emit(tools, place, module)
    if isinstance(compiled, str):
        return compiled
    used = client_of(module.read_text(encoding="utf-8-sig", errors="replace"))
    job = {
        "module": str(compiled),
        "import": used.module if used else "",
        "functions": [{"name": n, "args": list(given)} for n, given in functions.items()],
        "scenarios": scenarios or {"real": {}},
        "client": client,
    }
    file = place / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    ended = run([str(tools.node), str(_PROBE), str(file)], cwd=place, limit=_LIMIT_SECONDS)
    try:
        answers: Answers = json.loads(ended.out)
    except ValueError:
        thrown = [line for line in ended.err.splitlines() if re.match(r"\s*\w*Error\b", line)]
        return thrown[0].strip()[:300] if thrown else ended.ending
    return answers


def _emit(tools: Toolchain, place: Path, module: Path) -> Path | str:
    """The module as CommonJS, with what it imports of the workspace."""
    out = place / "out"
    options = {
        "noEmit": False,
        "noEmitOnError": False,
        "outDir": str(out),
        "rootDir": str(tools.root),
        "module": "CommonJS",
        "moduleResolution": "bundler",
        "verbatimModuleSyntax": False,
        "allowImportingTsExtensions": False,
        "declaration": False,
        "sourceMap": False,
        "jsx": "react-jsx",
    }
    config = project(tools, place, [module], **options)
    ended = tools.compile("-p", str(config), cwd=place)
    compiled = out / module.relative_to(tools.root).with_suffix(".js")
    if compiled.is_file():
        _without_import_meta(out)
        return compiled
    return f"it does not compile: {compiler_errors(ended.text, tools.root)}"


def _without_import_meta(out: Path) -> None:
    """`import.meta` is no CommonJS: the probe gives the modules a stand-in for it."""
    for file in out.rglob("*.js"):
        text = file.read_text(encoding="utf-8")
        if "import.meta" in text:
            file.write_text(text.replace("import.meta", "globalThis.importMeta"), encoding="utf-8")


# -- what a function asks ------------------------------------------------------------------------

_NOTHING = {"null": {"data": None, "error": None, "count": None}}
#: function → (table that it asks or "", column that it compares with each argument)
Asked = dict[str, tuple[str, dict[int, str]]]


@dataclass(frozen=True)
class Arranged:
    """How a function arranges the rows that it asks for, and counts them."""

    #: columns that it orders them by, and whether it takes but some of them
    by: tuple[str, ...] = ()
    cut: bool = False
    #: how it counts them: "exact", "planned", "estimated", or "" where it does not
    counted: str = ""


def arranged_by(
    services: Services, tools: Toolchain, module: Path, functions: Mapping[str, Signature]
) -> dict[str, Arranged] | str:
    """Order, limit and count of each function's queries; or why not known."""
    answers = probe(services, tools, module, _marked(functions), scenarios=_NOTHING)
    if isinstance(answers, str):
        return answers
    return {name: _arranged(_calls(answers, name)) for name in functions}


def _arranged(calls: Sequence[Sequence[Any]]) -> Arranged:
    by = tuple(str(call[1]) for call in calls if call[0] == "order" and len(call) > 1)
    options = [given for call in calls if call[0] == "select" for given in call[2:]]
    counted = [str(o["count"]) for o in options if isinstance(o, dict) and o.get("count")]
    cut = any(call[0] in ("limit", "range") for call in calls)
    return Arranged(by, cut, next(iter(counted), ""))


def asked_by(
    services: Services, tools: Toolchain, module: Path, functions: Mapping[str, Signature]
) -> Asked | str:
    """Which table each function asks, and which argument filters which column; or why not known."""
    marked = _marked(functions)
    answers = probe(services, tools, module, marked, scenarios=_NOTHING)
    if isinstance(answers, str):
        return answers
    found: Asked = {}
    for name, marks in marked.items():
        calls = _calls(answers, name)
        tables = [call[1] for call in calls if call[0] == "from" and len(call) > 1]
        pairs = [pair for call in calls for pair in _compared(call)]
        filters = {marks.index(value): column for column, value in pairs if value in marks}
        found[name] = (str(tables[0]) if tables else "", filters)
    return found


def _marked(functions: Mapping[str, Signature]) -> dict[str, list[Any]]:
    return {
        name: [_mark(index, p.type) for index, p in enumerate(signature.parameters)]
        for name, signature in functions.items()
    }


def _calls(answers: Answers, name: str) -> list[list[Any]]:
    found: list[list[Any]] = answers.get(name, {}).get("null", {}).get("calls", [])
    return found


def _compared(call: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """(column, value) of `eq(column, value)`, `filter(column, op, value)` and `match({…})`."""
    method, *given = call
    if len(given) >= 2 and isinstance(given[0], str):
        value = given[-1]
        yield given[0], value[0] if isinstance(value, list) and len(value) == 1 else value
    elif method == "match" and given and isinstance(given[0], dict):
        yield from given[0].items()


def _mark(index: int, kind: str) -> Any:
    return 7001 + index if kind.strip() == "number" else f"argument-{index}"
