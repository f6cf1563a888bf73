"""Whether a query module gives what its specification asks for, on rows of a real database.

The delivered functions are called through the real client. What a declared function has to give is
asked directly over REST, as the specification describes it; a function that is specified with its
body is run as given.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrate_agents.checks.code_subjects import specs, ticket_texts
from orchestrate_agents.checks.sql.specified_schema import schema_sql
from orchestrate_agents.checks.typescript.fixture_rows import call_arguments, plant_distinct_rows
from orchestrate_agents.checks.typescript.hook_probe import (
    Answers,
    Observed,
    call_functions,
    observe,
)
from orchestrate_agents.checks.typescript.toolchain import (
    CLIENT_LIBRARY,
    INSTALL,
    Toolchain,
    toolchain_digest,
    toolchain_of,
)
from orchestrate_agents.sandbox.client import SandboxError, create_schema
from orchestrate_agents.sandbox.runs import RunError, tree_copy
from orchestrate_agents.specification.query_module import (
    Query,
    QueryKind,
    QueryModule,
    client_of,
    is_query_module,
    read_query_module,
)
from orchestrate_agents.specification.stage import StageSpec
from orchestrate_agents.specification.typescript import Signature
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import Context, Result, failed, proven, unproven
from orchestrator.storage.atomic import sha256_bytes

_MAX_LISTED = 3
_MAX_SHOWN = 80
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Comparison:
    """What calling the functions showed."""

    faults: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    #: functions whose specification gives no answer either
    left_out: tuple[str, ...] = ()
    #: why nothing was compared
    hindered: str = ""


def same_answers(ctx: Context, path: str) -> Result | None:
    """Compare the delivered functions with their specification; None where it says too little."""
    module = _specified_module(ctx, path)
    if module is None:
        return None
    tools = toolchain_of(ctx)
    library = tools.package(CLIENT_LIBRARY)
    if tools.missing or library is None:
        why = tools.missing or f"{CLIENT_LIBRARY} is not installed: {INSTALL}"
        return unproven(f"{path} is not compared with its specification: {why}", path)
    schema = tuple(schema_sql(ctx))
    specified = sha256_bytes(repr((module.code, module.queries, schema)).encode())
    key = ("hook-same", 2, path, specified, *toolchain_digest(ctx.services, tools))
    seen = ctx.services.remember(
        key, Comparison, lambda: _compare(ctx, path, module, tools, schema)
    )
    if seen.hindered:
        why = f"{path} cannot be compared with its specification: {seen.hindered}"
        return unproven(why, path)
    if seen.faults:
        return failed(f"{path}: {'; '.join(seen.faults[:_MAX_LISTED])}", path)
    left = f" (not compared: {', '.join(seen.left_out)})" if seen.left_out else ""
    return proven(f"{', '.join(seen.alike)} give what the specification asks for{left}", path)


def _specified_module(ctx: Context, path: str) -> QueryModule | None:
    spec = next((s for s in specs(ctx) if s.path == path), None)
    if spec is None or ctx.workflow is None or not is_query_module(spec):
        return None
    stage = ctx.stage or next(iter(ctx.workflow.stages), None)
    if stage is None:
        return None
    try:
        return read_query_module(
            spec, StageSpec(ctx.root, ctx.workflow, stage, "\n".join(ticket_texts(ctx)))
        )
    except OrchestrateError:
        return None


def _compare(
    ctx: Context, path: str, module: QueryModule, tools: Toolchain, schema: Sequence[str]
) -> Comparison:
    functions = {n: s for n, s in module.functions.items() if s.returns.startswith("Promise")}
    queries = {q.signature.name: q for q in module.queries}
    given = {name: s for name, s in functions.items() if name not in queries}
    expected = {name: _expected(q) for name, q in queries.items() if name in functions}
    delivered = ctx.path(path)
    try:
        with ExitStack() as stack:
            reference: tuple[Toolchain, Path] | None = None
            if given:
                copy = stack.enter_context(tree_copy(ctx.root))
                reference = replace(tools, root=copy), _write_given(ctx, copy, path, module)
                seen = observe(ctx, *reference, given)
                if isinstance(seen, str):
                    return Comparison(hindered=seen)
                expected |= seen
            own = observe(ctx, tools, delivered, functions)
            # of few rows an estimate can be right
            estimates = [
                f"{name}() gives an estimate (count: '{own[name].counts}'), "
                "the specification's a count"
                for name, wanted in expected.items()
                if not isinstance(own, str)
                and wanted.counts == "exact"
                and own[name].counts in ("planned", "estimated")
            ]
            if estimates:
                return Comparison(faults=tuple(estimates))
            return _run(ctx, (tools, delivered), reference, functions, expected, queries, schema)
    except (SandboxError, RunError) as exc:
        return Comparison(hindered=str(exc))


def _expected(query: Query) -> Observed:
    """What a function that asks this query would be seen to do."""
    columns = {**query.filters, **query.optional}
    parameters = enumerate(query.signature.parameters)
    counts = query.kind is QueryKind.COUNT
    return Observed(
        table=query.table,
        filters={index: columns[p.name] for index, p in parameters if p.name in columns},
        order=() if counts else (query.order,),
        limited=bool(query.limit) or query.kind is QueryKind.BEST,
        counts="exact" if counts else "",
    )


def _write_given(ctx: Context, copy: Path, path: str, module: QueryModule) -> Path:
    """The module as the specification gives it, in a copy of the workspace."""
    packages, link = ctx.root.resolve() / "node_modules", copy / "node_modules"
    if packages.is_dir() and not link.exists():
        link.symlink_to(packages, target_is_directory=True)
    client = module.client
    code = module.code
    if client_of(code) is None:
        code = f"import {{ {client.name} }} from '{client.module}';\n{code}"
    file = copy / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code, encoding="utf-8")
    return file


def _run(
    ctx: Context,
    delivered: tuple[Toolchain, Path],
    reference: tuple[Toolchain, Path] | None,
    functions: Mapping[str, Signature],
    expected: Mapping[str, Observed],
    queries: Mapping[str, Query],
    schema: Sequence[str],
) -> Comparison:
    """Call everything on one database; as service_role, for access is judged elsewhere."""
    from orchestrate_agents.sql.catalog import relations
    from orchestrate_agents.sql.scratch import scratch
    from orchestrate_backend.fake_postgrest.server import RestStandIn
    from orchestrate_backend.targets.supabase_setup import AUTHENTICATOR, as_user

    filtered, ordered = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for wanted in expected.values():
        filtered[wanted.table] |= set(wanted.filters.values())
        ordered[wanted.table] |= set(wanted.order)
    with scratch(ctx.services).database() as database:
        create_schema(database, schema)
        with database.connect() as owner:
            tables = relations(owner)
        values = plant_distinct_rows(database, tables, filtered, ordered)
        arguments = {
            name: call_arguments(
                signature, expected[name].filters, values.get(expected[name].table, {})
            )
            for name, signature in functions.items()
        }
        with RestStandIn(as_user(database.uri, AUTHENTICATOR), secrets.token_hex(24)) as server:
            url, key = server.start(), server.token("service_role")

            def call(module: tuple[Toolchain, Path], names: Sequence[str]) -> Answers | str:
                scenarios: dict[str, dict[str, Any]] = {}
                for name in names:
                    for label, given in arguments[name].items():
                        scenarios.setdefault(label, {"args": {}})["args"][name] = given
                tools, file = module
                calls: dict[str, list[Any]] = {name: [] for name in names}
                client = tools.client_settings(url, key)
                return call_functions(tools, file, calls, scenarios=scenarios, client=client)

            answers = call(delivered, list(functions))
            if isinstance(answers, str):
                return Comparison(faults=(answers,))
            as_given: Answers | str = {}
            if reference is not None:
                as_given = call(reference, [n for n in functions if n not in queries])
            if isinstance(as_given, str):
                why = f"the specification's functions cannot be called: {as_given}"
                return Comparison(hindered=why)
            truth = {
                name: {
                    label: _value(answer["returned"])
                    for label, answer in scenarios.items()
                    if "returned" in answer
                }
                for name, scenarios in as_given.items()
            }
            for name in functions.keys() & queries.keys():
                truth[name] = dict(_ask(f"{url}/rest/v1", key, queries[name], arguments[name]))
    free = {name for name, query in queries.items() if not query.order_is_specified}
    return _judge(answers, truth, expected, free)


def _ask(
    url: str, key: str, query: Query, arguments: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[str, Any]]:
    """(scenario, answer) of a specified query; none for arguments that the database refuses."""
    import httpx

    names = [parameter.name for parameter in query.signature.parameters]
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    for label, values in arguments.items():
        given = {n: v for n, v in zip(names, values, strict=True) if v is not None}
        if not query.filters.keys() <= given.keys():
            continue
        params = {"select": "*"}
        for name, column in {**query.filters, **query.optional}.items():
            if name in given:
                value = given[name]
                params[column] = f"eq.{value if isinstance(value, str) else json.dumps(value)}"
        if query.kind is not QueryKind.COUNT:
            params["order"] = f"{query.order}.{'desc' if query.descending else 'asc'}"
        if query.limit in given:
            params["limit"] = str(given[query.limit])
        response = httpx.get(
            f"{url}/{query.table}", params=params, headers=headers, timeout=_TIMEOUT
        )
        if response.is_error:
            continue
        rows = _value(response.text)
        if query.kind is QueryKind.COUNT:
            yield label, len(rows)
        else:
            yield label, rows if query.kind is QueryKind.LIST else next(iter(rows), None)


# -- comparing -----------------------------------------------------------------------------------


def _judge(
    answers: Answers,
    truth: Mapping[str, Mapping[str, Any]],
    expected: Mapping[str, Observed],
    free: Set[str],
) -> Comparison:
    faults: list[str] = []
    alike: list[str] = []
    left_out: list[str] = []
    for name in answers:
        scenarios = truth[name]
        if not scenarios:
            left_out.append(f"{name}()")
            continue
        found = (
            f"{name}() {label} {fault}"
            for label, value in scenarios.items()
            if (fault := _difference(answers[name][label], value, expected[name], name not in free))
        )
        fault = next(found, "")
        (faults if fault else alike).append(fault or f"{name}()")
    nothing = "" if alike or faults else "the specification's functions give no answer"
    return Comparison(tuple(faults), tuple(alike), tuple(left_out), nothing)


def _difference(answer: Mapping[str, Any], wanted: Any, expected: Observed, fixed: bool) -> str:
    """How an answer differs in meaning from the specification's, "" if it does not."""
    if "returned" not in answer:
        return f"throws: {answer.get('threw', 'it is not there')}"
    value = _value(answer["returned"])
    if isinstance(value, list) and isinstance(wanted, list):
        return _rows_differ(value, wanted, expected, fixed)
    if isinstance(value, dict) and isinstance(wanted, dict):
        return _lacking_columns([value], [wanted]) or _row_differs(value, wanted, expected, fixed)
    if value == wanted:
        return ""
    return f"gives {_shown(value)}, the specification's {_shown(wanted)}"


def _value(text: str) -> Any:
    """A JSON value with its numbers as JavaScript has them: 5.00 is 5."""

    def number(digits: str) -> float:
        value = float(digits)
        return int(value) if value.is_integer() else value

    if text == "undefined":
        return None
    return json.loads(text, parse_int=number, parse_float=number)


def _rows_differ(rows: list[Any], wanted: list[Any], expected: Observed, fixed: bool) -> str:
    if len(rows) != len(wanted):
        return f"gives {len(rows)} rows, the specification's {len(wanted)}"
    lacking = _lacking_columns(rows, wanted)
    if lacking or (expected.limited and not fixed):
        return lacking
    columns = _columns(wanted)
    by = tuple(column for column in expected.order if column in columns)
    # nothing says which of the rows of one rank come before the limit
    if not (expected.limited and by):
        surplus = Counter(_texts(rows, columns)) - Counter(_texts(wanted, columns))
        if surplus:
            row = next(iter(surplus))
            return f"gives rows that the specification's does not: {row[:_MAX_SHOWN]}"
    if not (fixed and by) or _texts(rows, by) == _texts(wanted, by):
        return ""
    first, second = ([row.get(by[0]) for row in some[:4]] for some in (rows, wanted))
    return f"orders {by[0]} as {_shown(first)} …, the specification's {_shown(second)} …"


def _row_differs(
    row: dict[str, Any], wanted: dict[str, Any], expected: Observed, fixed: bool
) -> str:
    """Which row it has to be is known only where the order is, and not among rows of one rank."""
    unlike = [name for name in wanted if row.get(name) != wanted[name]]
    tied = bool(expected.order) and not set(expected.order) & set(unlike)
    if not fixed or not unlike or tied:
        return ""
    name = next((n for n in unlike if n != "id" or len(unlike) == 1), unlike[0])
    given = f"gives a row with {name} {_shown(row.get(name))}"
    return f"{given}, the specification's one with {_shown(wanted[name])}"


def _columns(rows: list[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(n for row in rows if isinstance(row, dict) for n in row))


def _lacking_columns(rows: list[Any], wanted: list[Any]) -> str:
    """Columns that the specification's rows have and these lack; further columns do no harm."""
    present = set(_columns(rows))
    lacking = [name for name in _columns(wanted) if name not in present]
    return f"gives rows without {', '.join(lacking[:_MAX_LISTED])}" if rows and lacking else ""


def _texts(rows: list[Any], columns: tuple[str, ...]) -> list[str]:
    return [
        json.dumps(
            {n: row.get(n) for n in columns} if isinstance(row, dict) else row, sort_keys=True
        )
        for row in rows
    ]


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:_MAX_SHOWN]
