"""Check that a page can query: the hook, the real client, row level security on a real server."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrate_agents.checks.code_subjects import delivered
from orchestrate_agents.checks.sql.subjects import Subject, subject_of
from orchestrate_agents.checks.typescript.hook_probe import (
    Answers,
    Observed,
    call_functions,
    hook_functions,
    observe,
)
from orchestrate_agents.checks.typescript.modules import sources
from orchestrate_agents.checks.typescript.toolchain import SUFFIXES, toolchain_of
from orchestrate_agents.seed_data.table_schema import singulars
from orchestrate_agents.specification.typescript import Interface, Signature, interfaces
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)
from orchestrator.gates.expressions import MEANING

_EMPTY = ("[]", "null", "0", "undefined")
_OTHER = (
    "non|anonymous|anon|public|guest|admin|owner|expired|signed-out|logged-out|unauthenticated|every|"
    "all|each|any|other"
)
# only a page or a signed-in user is judged; what is read has to be a table that the hooks ask
parameter_type(
    "page",
    rf"(?:(?:the|an?|its|our)\s+)?(?:(?!{MEANING}|(?:{_OTHER})\b)[\w-]+\s+){{0,4}}"
    r"(?:page|view|screen|dashboard|app|hook|component)s?"
    r"|(?:an?\s+)?(?:signed-in|logged-in|authenticated)\s+users?",
    str.strip,
)
_PLAIN_WORDS = frozenset(("the", "its", "all", "data", "row", "record", "table", "and", "from"))


@check(
    "{page:page} (can query|queries|can read) {what:text} "
    "((\\||with) (no errors|no error)|without [(any|an)] (errors|error))",
    name="typescript.can-query",
    version=4,
    slow=True,
    examples=("Analytics page can query benchmarks | No errors",),
)
def can_query(ctx: Context, page: str, what: str) -> Result:
    """Every function of the hooks finds rows, signed in, through the real client and real RLS."""
    tools = toolchain_of(ctx)
    missing = tools.missing or tools.missing_client
    if missing:
        return unproven(missing)
    hooks = [p for p in delivered(ctx, SUFFIXES) if hook_functions(ctx, p)]
    if not hooks:
        return failed("no delivered module exports a function that asks the database")
    subject = subject_of(ctx)
    if isinstance(subject, Result):
        return subject
    details: list[str] = []
    tables: set[str] = set()
    for path in hooks:
        functions = {s.name: s for s in hook_functions(ctx, path)}
        observed = observe(ctx, tools, ctx.path(path), functions)
        if isinstance(observed, str):
            return failed(f"{path}: {observed}", path)
        tables.update(seen.table for seen in observed.values() if seen.table)
        answers = _answers_signed_in(ctx, path, subject, functions, observed)
        if isinstance(answers, str):
            return failed(f"{path}: {answers}", path)
        promised = {i.name: i for i in interfaces(sources(ctx.root, ctx.path(path)))}
        faults = list(_faults(functions, promised, answers))
        if faults:
            return failed("; ".join(faults), path, answers=answers)
        called = ", ".join(f"{name}()" for name in functions)
        details.append(f"{path}: {called} find rows as a signed-in user")
    known = frozenset[str]().union(*map(singulars, tables))
    if unknown := singulars("_".join(re.findall(r"\w+", what))) - known - _PLAIN_WORDS:
        asked = ", ".join(sorted(tables)) or "no table"
        return unproven(
            f"the hooks ask {asked}, not “{what}” ({', '.join(sorted(unknown))})", *hooks
        )
    return proven(f"{page}: {'; '.join(details)}", *hooks, subject.path)


def _faults(
    functions: Mapping[str, Signature], promised: Mapping[str, Interface], answers: Answers
) -> Iterator[str]:
    for name, signature in functions.items():
        answer = answers.get(name, {}).get("real", {})
        returned = answer.get("returned")
        if "threw" in answer:
            yield f"{name}() throws: {answer['threw']}"
            continue
        if returned in _EMPTY:
            yield f"{name}() does not find a row that is there ({returned})"
            continue
        rows = json.loads(returned or '""')
        row = rows[0] if isinstance(rows, list) else rows
        item = promised.get(re.sub(r"\[\]|\||\bnull\b|\s", "", signature.result))
        if item is None or not isinstance(row, dict):
            continue
        # a cast hides from the compiler that a row lacks fields of its interface
        lacking = [n for n, kind in item.fields.items() if n not in row and "undefined" not in kind]
        if lacking:
            yield f"{name}() gives rows without {', '.join(lacking)}, which it promises"


def _answers_signed_in(
    ctx: Context,
    path: str,
    subject: Subject,
    functions: Mapping[str, Signature],
    observed: Mapping[str, Observed],
) -> Answers | str:
    """The functions' answers from a database with the migration and a few rows."""
    from orchestrate_agents.sql.access_matrix import plant
    from orchestrate_agents.sql.catalog import relations
    from orchestrate_agents.sql.scratch import scratch
    from orchestrate_backend.fake_postgrest.server import RestStandIn
    from orchestrate_backend.targets.supabase_setup import AUTHENTICATOR, as_user

    tools = toolchain_of(ctx)
    with scratch(ctx.services).database() as database:
        with database.connect() as owner:
            for text in (*subject.base.values(), subject.text):
                owner.execute(text.encode())
            planted = plant(database, relations(owner), force=True)
        given = {n: _arguments(functions[n], seen, planted) for n, seen in observed.items()}
        with RestStandIn(as_user(database.uri, AUTHENTICATOR), secrets.token_hex(24)) as server:
            client = tools.client_settings(server.start(), server.token("authenticated"))
            return call_functions(tools, ctx.path(path), given, client=client)


def _arguments(
    signature: Signature, seen: Observed, planted: Mapping[str, list[dict[str, str]]]
) -> list[Any]:
    """Arguments that a row of the table meets."""
    rows = planted.get(f"public.{seen.table}") or planted.get(seen.table) or [{}]
    row = max(rows, key=len)
    values: list[Any] = []
    for index, parameter in enumerate(signature.parameters):
        text = row.get(seen.filters.get(index, ""))
        number = parameter.type.strip() == "number"
        if text is None:
            values.append(10 if number else None)
        else:
            values.append(json.loads(text) if number else text)
    return values
