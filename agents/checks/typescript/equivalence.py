"""Whether a query module by another hand gives what the specification's functions give.

BUILDER can render a module from the same specification. Where the delivered text is another one,
both are called through the real client on the same rows, and their answers are compared.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrate_agents.checks.code_subjects import specs, ticket_texts
from orchestrate_agents.checks.sql.specified_schema import schema_sql
from orchestrate_agents.checks.typescript.fixture_rows import Use, arguments, spread
from orchestrate_agents.checks.typescript.hook_probe import (
    Answers,
    Arranged,
    Asked,
    arranged_by,
    asked_by,
    probe,
)
from orchestrate_agents.checks.typescript.toolchain import (
    CLIENT_LIBRARY,
    INSTALL,
    Toolchain,
    toolchain,
    world,
)
from orchestrate_agents.codegen.hook import render_hook
from orchestrate_agents.sandbox.client import SandboxError, create_schema
from orchestrate_agents.sandbox.runs import RunError, tree_copy
from orchestrate_agents.specification.files import FileSpec
from orchestrate_agents.specification.query_module import is_query_module, read_query_module
from orchestrate_agents.specification.stage import StageSpec
from orchestrate_agents.specification.typescript import Signature, signatures
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import Context, Result, failed, proven, unproven
from orchestrator.storage.atomic import sha256_bytes

_MAX_LISTED = 3
_MAX_SHOWN = 80


@dataclass(frozen=True)
class Reference:
    """The module that the specification gives, and the functions whose order it fixes."""

    text: str
    fixed: frozenset[str]


@dataclass(frozen=True)
class Compared:
    """What calling both modules showed."""

    faults: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    #: functions that the specification's own module cannot answer either
    left_out: tuple[str, ...] = ()
    #: why nothing was compared
    hindered: str = ""


def same_answers(ctx: Context, path: str) -> Result | None:
    """Call the delivered functions and the specification's; None where there is nothing to do."""
    reference = _reference(ctx, path)
    text = ctx.path(path).read_text(encoding="utf-8-sig", errors="replace")
    if reference is None or text.split() == reference.text.split():
        return None
    tools = toolchain(ctx.root.resolve())
    library = tools.package(CLIENT_LIBRARY)
    if tools.missing or library is None:
        why = tools.missing or f"{CLIENT_LIBRARY} is not installed: {INSTALL}"
        return unproven(f"{path} is not compared with its specification: {why}", path)
    schema = tuple(schema_sql(ctx))
    key = (
        *("hook-same", path, reference.text, *sorted(reference.fixed)),
        *(sha256_bytes("\0".join(schema).encode()), *world(ctx.services, tools)),
    )
    seen = ctx.services.remember(
        key, Compared, lambda: _compared(ctx, path, reference, tools, library, schema)
    )
    if seen.hindered:
        why = f"{path} cannot be compared with its specification: {seen.hindered}"
        return unproven(why, path)
    if seen.faults:
        return failed(f"{path}: {'; '.join(seen.faults[:_MAX_LISTED])}", path)
    left = f" (not compared: {', '.join(seen.left_out)})" * bool(seen.left_out)
    return proven(f"{', '.join(seen.alike)} give what the specification asks for{left}", path)


def _reference(ctx: Context, path: str) -> Reference | None:
    """What BUILDER would write there; None where the specification does not say enough."""
    spec = next((s for s in specs(ctx) if s.path == path), None)
    if spec is None or ctx.workflow is None or not is_query_module(spec):
        return None
    stage = ctx.stage or next(iter(ctx.workflow.stages), None)
    if stage is None:
        return None
    site = StageSpec(ctx.root, ctx.workflow, stage, "\n".join(ticket_texts(ctx)))
    return _rendered(spec, site)


def _rendered(spec: FileSpec, site: StageSpec) -> Reference | None:
    try:
        module = read_query_module(spec, site)
        free = {q.signature.name for q in module.queries if not q.order_is_specified}
        return Reference(render_hook(spec, site), frozenset(module.functions.keys() - free))
    except OrchestrateError:
        return None


def _compared(
    ctx: Context,
    path: str,
    reference: Reference,
    tools: Toolchain,
    library: Path,
    schema: tuple[str, ...],
) -> Compared:
    functions = {s.name: s for s in signatures(reference.text) if s.returns.startswith("Promise")}
    try:
        with tree_copy(ctx.root) as copy:
            _installed(ctx.root, copy)
            told = copy / path
            told.parent.mkdir(parents=True, exist_ok=True)
            told.write_text(reference.text, encoding="utf-8")
            beside = replace(tools, root=copy)
            asked = asked_by(ctx.services, beside, told, functions)
            arranged = arranged_by(ctx.services, beside, told, functions)
            if isinstance(asked, str) or isinstance(arranged, str):
                return Compared(hindered=str(asked if isinstance(asked, str) else arranged))
            guessed = _estimates(ctx, tools, ctx.path(path), functions, arranged)
            if guessed:
                return Compared(faults=guessed)
            modules = ((tools, ctx.path(path)), (beside, told))
            answers = _answers(ctx, modules, str(library), functions, asked, arranged, schema)
    except (SandboxError, RunError) as exc:
        return Compared(hindered=str(exc))
    given, wanted = answers
    if isinstance(given, str):
        return Compared(faults=(given,))
    if isinstance(wanted, str):
        return Compared(hindered=f"the specification's functions cannot be called: {wanted}")
    return _judged(given, wanted, arranged, reference.fixed)


def _estimates(
    ctx: Context,
    tools: Toolchain,
    file: Path,
    functions: Mapping[str, Signature],
    arranged: Mapping[str, Arranged],
) -> tuple[str, ...]:
    """Functions that estimate a number to be counted: of few rows an estimate can be right."""
    own = arranged_by(ctx.services, tools, file, functions)
    if isinstance(own, str):
        return ()
    return tuple(
        f"{name}() gives an estimate (count: '{own[name].counted}'), the specification's a count"
        for name, told in arranged.items()
        if told.counted == "exact" and own[name].counted in ("planned", "estimated")
    )


def _installed(root: Path, copy: Path) -> None:
    """The packages are no part of a copy."""
    packages, linked = root.resolve() / "node_modules", copy / "node_modules"
    if packages.is_dir() and not linked.exists():
        linked.symlink_to(packages, target_is_directory=True)


def _answers(
    ctx: Context,
    modules: tuple[tuple[Toolchain, Path], ...],
    library: str,
    functions: Mapping[str, Signature],
    asked: Asked,
    arranged: Mapping[str, Arranged],
    schema: tuple[str, ...],
) -> list[Answers | str]:
    """What each module gives on one database; as service_role, for access is judged elsewhere."""
    from orchestrate_agents.sql.catalog import relations
    from orchestrate_agents.sql.scratch import scratch
    from orchestrate_backend.fake_postgrest.server import RestStandIn
    from orchestrate_backend.targets.supabase_setup import AUTHENTICATOR, as_user

    with scratch(ctx.services).database() as database:
        create_schema(database, schema)
        with database.connect() as owner:
            tables = relations(owner)
        values = spread(database, tables, _uses(asked, arranged))
        scenarios: dict[str, dict[str, Any]] = {}
        for name, signature in functions.items():
            table, filters = asked[name]
            for label, given in arguments(signature, filters, values.get(table, {})).items():
                scenarios.setdefault(label, {"args": {}})["args"][name] = given
        with RestStandIn(as_user(database.uri, AUTHENTICATOR), secrets.token_hex(24)) as server:
            url = server.start()
            client = {"library": library, "url": url, "key": server.token("service_role")}
            calls: dict[str, list[Any]] = {name: [] for name in functions}
            return [
                probe(ctx.services, tools, file, calls, scenarios=scenarios, client=client)
                for tools, file in modules
            ]


def _uses(asked: Asked, arranged: Mapping[str, Arranged]) -> dict[str, Use]:
    uses: dict[str, Use] = {}
    for name, (table, filters) in asked.items():
        use = uses.get(table, Use())
        uses[table] = Use(use.filters | set(filters.values()), use.orders | set(arranged[name].by))
    return uses


# -- comparing -----------------------------------------------------------------------------------


def _judged(
    given: Answers, wanted: Answers, arranged: Mapping[str, Arranged], fixed: frozenset[str]
) -> Compared:
    faults, alike, left_out = [], [], []
    for name, scenarios in wanted.items():
        told = {label: a["returned"] for label, a in scenarios.items() if "returned" in a}
        if not told:
            left_out.append(f"{name}()")
            continue
        found = [
            f"{name}() {label} {fault}"
            for label, text in told.items()
            if (fault := _fault(given[name][label], text, arranged[name], name in fixed))
        ]
        faults.extend(found[:1])
        alike.extend([f"{name}()"] * (not found))
    nothing = "" if alike or faults else "the specification's functions give no answer"
    return Compared(tuple(faults), tuple(alike), tuple(left_out), nothing)


def _fault(answer: Mapping[str, Any], wanted: str, arranged: Arranged, fixed: bool) -> str:
    """How an answer differs from the specification's in meaning, "" if it does not."""
    if "returned" not in answer:
        return f"throws: {answer.get('threw', 'it is not there')}"
    one, other = _value(answer["returned"]), _value(wanted)
    if isinstance(one, list) and isinstance(other, list):
        return _rows_differ(one, other, arranged, fixed)
    if isinstance(one, dict) and isinstance(other, dict):
        return _columns_differ([one], [other]) or _row_differs(one, other, arranged, fixed)
    return "" if one == other else f"gives {_shown(one)}, the specification's {_shown(other)}"


def _value(text: str) -> Any:
    return None if text == "undefined" else json.loads(text)


def _rows_differ(one: list[Any], other: list[Any], arranged: Arranged, fixed: bool) -> str:
    if len(one) != len(other):
        return f"gives {len(one)} rows, the specification's {len(other)}"
    lacking = _columns_differ(one, other)
    if lacking or (arranged.cut and not fixed):
        return lacking
    columns = _columns(other)
    by = tuple(column for column in arranged.by if column in columns)
    # which of the rows of one rank come before the cut is nobody's word
    if not (arranged.cut and by):
        counted, expected = Counter(_texts(one, columns)), Counter(_texts(other, columns))
        if counted != expected:
            surplus = next(iter((counted - expected).elements()))
            return f"gives rows that the specification's does not: {surplus[:_MAX_SHOWN]}"
    return _orders_differ(one, other, by) if fixed and by else ""


def _orders_differ(one: list[Any], other: list[Any], by: tuple[str, ...]) -> str:
    if list(_texts(one, by)) == list(_texts(other, by)):
        return ""
    first = [[row.get(by[0]) for row in rows[:4]] for rows in (one, other)]
    return f"orders {by[0]} as {_shown(first[0])} …, the specification's {_shown(first[1])} …"


def _columns(rows: list[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(n for row in rows if isinstance(row, dict) for n in row))


def _columns_differ(one: list[Any], other: list[Any]) -> str:
    """Columns that the specification's rows have and these have not; more of them do no harm."""
    there = set(_columns(one))
    lacking = [name for name in _columns(other) if name not in there]
    return f"gives rows without {', '.join(lacking[:_MAX_LISTED])}" if one and lacking else ""


def _row_differs(
    one: dict[str, Any], other: dict[str, Any], arranged: Arranged, fixed: bool
) -> str:
    """Which row is the one is said only where its order is, and not among rows of one rank."""
    unlike = [name for name in other if one.get(name) != other[name]]
    tied = bool(arranged.by) and not set(arranged.by) & set(unlike)
    if not fixed or not unlike or tied:
        return ""
    name = unlike[-1] if len(unlike) == 1 else next((n for n in unlike if n != "id"), unlike[0])
    said = f"gives a row with {name} {_shown(one.get(name))}"
    return f"{said}, the specification's one with {_shown(other[name])}"


def _texts(rows: list[Any], columns: tuple[str, ...]) -> Iterator[str]:
    for row in rows:
        kept = {n: row.get(n) for n in columns} if isinstance(row, dict) else row
        yield json.dumps(kept, sort_keys=True)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:_MAX_SHOWN]
