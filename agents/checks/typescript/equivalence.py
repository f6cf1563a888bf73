"""Whether a query module gives what its specification asks for, on rows of a real database.

The delivered functions are called through the real client. What a declared function has to give is
asked directly over REST, as the specification describes it; a function that is specified with its
body is run as given.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrate_agents.checks.code_subjects import specs, ticket_texts
from orchestrate_agents.checks.sql.specified_schema import schema_sql
from orchestrate_agents.checks.typescript.client_probe import client_faults
from orchestrate_agents.checks.typescript.differences import (
    Comparison,
    Expected,
    OneOf,
    compare_answers,
    read_value,
)
from orchestrate_agents.checks.typescript.fixture_rows import (
    MOST_ROWS,
    call_arguments,
    plant_distinct_rows,
)
from orchestrate_agents.checks.typescript.hook_probe import (
    Answers,
    Observed,
    call_functions,
    emitted_digest,
    observe,
)
from orchestrate_agents.checks.typescript.modules import literals
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
    try:
        emitted = emitted_digest(tools, ctx.path(path))
        key = ("hook-same", 6, path, specified, emitted, *toolchain_digest(ctx.services, tools))
        seen = ctx.services.remember(
            key, Comparison, lambda: _compare(ctx, path, module, tools, schema)
        )
    except (SandboxError, RunError) as exc:
        seen = Comparison(hindered=str(exc))
    if seen.hindered:
        why = f"{path} cannot be compared with its specification: {seen.hindered}"
        return unproven(why, path)
    if seen.faults:
        return failed(f"{path}: {'; '.join(seen.faults[:_MAX_LISTED])}", path)
    if seen.doubts:
        return unproven(f"{path}: {'; '.join(seen.doubts[:_MAX_LISTED])}", path)
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
            f"{name}() gives an estimate (count: '{own[name].counts}'), the specification's a count"
            for name, wanted in expected.items()
            if not isinstance(own, str)
            and wanted.counts == "exact"
            and own[name].counts in ("planned", "estimated")
        ]
        if estimates:
            return Comparison(faults=tuple(estimates))
        return _run(ctx, (tools, delivered), reference, functions, expected, queries, schema)


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
        known = {t.name for t in tables} | {c.name for t in tables for c in t.columns} | {"*"}
        words = literals(delivered[0].root, delivered[1], known)
        asked = plant_distinct_rows(database, tables, filtered, ordered, words)
        arguments = {
            name: call_arguments(
                signature, expected[name].filters, asked.get(expected[name].table, [])
            )
            for name, signature in functions.items()
        }
        login, secret = as_user(database.uri, AUTHENTICATOR), secrets.token_hex(24)
        with (
            RestStandIn(login, secret, max_rows=MOST_ROWS) as server,
            RestStandIn(login, secret) as unlimited,
        ):
            client = (server.start(), server.token("service_role"))
            open_url = unlimited.start()

            def call(module: tuple[Toolchain, Path], names: Sequence[str]) -> Answers | str:
                scenarios: dict[str, dict[str, Any]] = {}
                for name in names:
                    # an answer with all rows is asked of a server that gives them
                    limited = expected[name].counts or expected[name].limited
                    for label, given in arguments[name].items():
                        place = {"url": client[0] if limited else open_url}
                        key = f"{label} {'' if limited else '*'}"
                        scenarios.setdefault(key, {"args": {}, **place})["args"][name] = given
                tools, file = module
                calls: dict[str, list[Any]] = {name: [] for name in names}
                settings = tools.client_settings(*client)
                answers = call_functions(tools, file, calls, scenarios=scenarios, client=settings)
                if isinstance(answers, str):
                    return answers
                return {
                    name: {label.removesuffix("*").strip(): a for label, a in found.items()}
                    for name, found in answers.items()
                }

            answers = call(delivered, list(functions))
            if isinstance(answers, str):
                return Comparison(faults=(answers,))
            settings = delivered[0].client_settings(*client)
            given = {name: next(iter(rows.values()), []) for name, rows in arguments.items()}
            other = server.token("service_role", other=True)
            wrong, unknown = client_faults(*delivered, given, settings, other)
            if wrong:
                return Comparison(faults=tuple(wrong))
            as_given: Answers | str = {}
            if reference is not None:
                as_given = call(reference, [n for n in functions if n not in queries])
            if isinstance(as_given, str):
                why = f"the specification's functions cannot be called: {as_given}"
                return Comparison(hindered=why)
            right = {name: _given(expected[name], found) for name, found in as_given.items()}
            with database.connect_api() as api:
                api.execute("SET ROLE service_role")
                for name in functions.keys() & queries.keys():
                    query = queries[name]
                    right[name] = Expected(
                        expected[name],
                        dict(_ask(api, query, arguments[name])),
                        query.order_is_specified,
                        {("GET", query.table)},
                    )
    found = compare_answers(answers, right)
    return replace(found, doubts=(*found.doubts, unknown)) if unknown else found


def _given(seen: Observed, found: Mapping[str, Mapping[str, Any]]) -> Expected:
    """What the specification's own function gave and did."""
    truth = {
        label: read_value(answer["returned"])
        for label, answer in found.items()
        if "returned" in answer
    }
    asked = {(m, place) for answer in found.values() for m, place in answer.get("asked", ())}
    reads = {read for answer in found.values() for read in answer.get("reads", ())}
    return Expected(seen, truth, True, asked, reads)


def _ask(
    connection: Any, query: Query, arguments: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[str, Any]]:
    """(scenario, answer) of a specified query; none for arguments that the database refuses."""
    import psycopg
    from psycopg.sql import SQL, Composable, Identifier, Placeholder

    names = [parameter.name for parameter in query.signature.parameters]
    for label, values in arguments.items():
        given = {n: v for n, v in zip(names, values, strict=True) if v is not None}
        if not query.filters.keys() <= given.keys():
            continue
        columns = {**query.filters, **query.optional}
        where: list[Composable] = [
            SQL("{} = {}").format(Identifier(column), Placeholder(name))
            for name, column in columns.items()
            if name in given
        ]
        rows = SQL("SELECT * FROM public.{}").format(Identifier(query.table))
        rows += SQL(" WHERE ") + SQL(" AND ").join(where) if where else SQL("")
        if query.kind is not QueryKind.COUNT:
            way = SQL(" DESC" if query.descending else " ASC")
            rows += SQL(" ORDER BY {}").format(Identifier(query.order)) + way
        if query.limit in given:
            rows += SQL(" LIMIT {}").format(Placeholder(query.limit))
        what = "count(*)" if query.kind is QueryKind.COUNT else "coalesce(json_agg(t), '[]')"
        asked = SQL("SELECT ({})::text FROM ({}) t").format(SQL(what), rows)
        try:
            found = read_value(connection.execute(asked, given).fetchone()[0])
        except psycopg.Error:
            continue
        if query.kind is QueryKind.BEST:
            first = [row for row in found if row[query.order] == found[0][query.order]]
            found = OneOf(first if query.order_is_specified else found)
        yield label, found
