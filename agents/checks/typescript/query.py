"""Check that a page can query: the hook, the real client, row level security on a real server."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from orchestrate_agents.checks.code_subjects import delivered
from orchestrate_agents.checks.sql.subjects import Subject, subject_of
from orchestrate_agents.checks.typescript.compiler import SUFFIXES, source_text
from orchestrate_agents.checks.typescript.hook_probe import Answers, Asked, asked_by, probe
from orchestrate_agents.checks.typescript.states import hook_functions
from orchestrate_agents.checks.typescript.toolchain import (
    CLIENT_LIBRARY,
    INSTALL,
    Toolchain,
    toolchain,
)
from orchestrate_agents.seed_data.table_schema import singulars
from orchestrate_agents.specification.typescript import Signature, interfaces
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_EMPTY = ("[]", "null", "0", "undefined")


#: only a page or a signed-in user is judged; what is read has to be a table that the hooks ask
parameter_type(
    "page",
    r"(?:(?:the|an?|its|our)\s+)?(?:[\w-]+\s+){0,4}(?:page|view|screen|dashboard|app|hook|component)s?"
    r"|(?:an?\s+)?(?:signed-in|logged-in|authenticated)\s+users?",
    str.strip,
)
_OTHER_SUBJECT = re.compile(
    r"\b(?:no|not|non|never|neither|nor|none|few|only|anonymous|anon|public|guest|admin|owner|expired"
    r"|signed-out|logged-out|unauthenticated|every|all|each|any|other)\b",
    re.IGNORECASE,
)
_PLAIN_WORDS = frozenset(("the", "its", "all", "data", "row", "record", "table", "and", "from"))


@check(
    "{page:page} (can query|queries|can read) {what:text} "
    "((\\||with) (no errors|no error)|without [(any|an)] (errors|error))",
    name="typescript.can-query",
    version=3,
    slow=True,
    examples=("Analytics page can query benchmarks | No errors",),
)
def can_query(ctx: Context, page: str, what: str) -> Result:
    """Every function of the hooks finds rows, signed in, through the real client and real RLS."""
    if _OTHER_SUBJECT.search(page):
        return unproven(f"“{page}”: only a page with a signed-in user is tried")
    tools = toolchain(ctx.root.resolve())
    library = tools.package(CLIENT_LIBRARY)
    if tools.missing or library is None:
        return unproven(tools.missing or f"{CLIENT_LIBRARY} is not installed: {INSTALL}")
    hooks = [p for p in delivered(ctx, SUFFIXES) if hook_functions(ctx, p)]
    if not hooks:
        return failed("no delivered module exports a function that asks the database")
    subject = subject_of(ctx)
    if isinstance(subject, Result):
        return subject
    details: list[str] = []
    tables: set[str] = set()
    for path in hooks:
        result = _query(ctx, tools, str(library), path, subject, tables)
        if isinstance(result, Result):
            return result
        details.append(result)
    known = frozenset[str]().union(*map(singulars, tables))
    if unknown := singulars("_".join(re.findall(r"\w+", what))) - known - _PLAIN_WORDS:
        asked = ", ".join(sorted(tables)) or "no table"
        return unproven(
            f"the hooks ask {asked}, not “{what}” ({', '.join(sorted(unknown))})", *hooks
        )
    return proven("; ".join(details), *hooks, subject.path)


def _query(
    ctx: Context, tools: Toolchain, library: str, path: str, subject: Subject, tables: set[str]
) -> Result | str:
    """What the hook's functions found, in words, or the failed result; adds the tables asked."""
    functions = {s.name: s for s in hook_functions(ctx, path)}
    asked = asked_by(ctx.services, tools, ctx.path(path), functions)
    if isinstance(asked, str):
        return failed(f"{path}: {asked}", path)
    tables.update(table for table, _ in asked.values() if table)
    answers = _answers(ctx, tools, library, path, subject, functions, asked)
    if isinstance(answers, str):
        return failed(f"{path}: {answers}", path)
    faults = []
    for name in functions:
        answer = answers.get(name, {}).get("real", {})
        if "threw" in answer:
            faults.append(f"{name}() throws: {answer['threw']}")
        elif answer.get("returned") in _EMPTY:
            faults.append(f"{name}() does not find a row that is there ({answer['returned']})")
        elif lacking := _lacking(ctx, path, functions[name], answer.get("returned", "")):
            faults.append(f"{name}() gives rows without {', '.join(lacking)}, which it promises")
    if faults:
        return failed("; ".join(faults), path, answers=answers)
    return f"{path}: {', '.join(f'{n}()' for n in functions)} find rows as a signed-in user"


def _lacking(ctx: Context, path: str, signature: Signature, returned: str) -> list[str]:
    """Fields of the promised interface that a row has not; a cast hides that from the compiler."""
    promised = {i.name: i.fields for i in interfaces(source_text(ctx.path(path)))}
    fields = promised.get(re.sub(r"\[\]|\||\bnull\b|\s", "", signature.result), {})
    rows = json.loads(returned)
    row = rows[0] if isinstance(rows, list) else rows
    if not isinstance(row, dict):
        return []
    return [n for n, kind in fields.items() if n not in row and "undefined" not in kind]


def _answers(
    ctx: Context,
    tools: Toolchain,
    library: str,
    path: str,
    subject: Subject,
    functions: Mapping[str, Signature],
    asked: Asked,
) -> Answers | str:
    """The functions' answers from a database with the migration and a few rows."""
    from orchestrate_agents.sql.access_matrix import plant
    from orchestrate_agents.sql.catalog import relations
    from orchestrate_agents.sql.scratch import scratch
    from orchestrate_backend.fake_postgrest.server import RestStandIn
    from orchestrate_backend.targets.supabase_setup import AUTHENTICATOR, as_user

    with scratch(ctx.services).database() as database:
        with database.connect() as owner:
            for text in (*subject.base.values(), subject.text):
                owner.execute(text.encode())
            planted = plant(database, relations(owner), force=True)
        given = {name: _arguments(functions[name], asked[name], planted) for name in functions}
        with RestStandIn(as_user(database.uri, AUTHENTICATOR), secrets.token_hex(24)) as server:
            url = server.start()
            client = {"library": library, "url": url, "key": server.token("authenticated")}
            return probe(ctx.services, tools, ctx.path(path), given, client=client)


def _arguments(
    signature: Signature,
    asked: tuple[str, dict[int, str]],
    planted: Mapping[str, list[dict[str, str]]],
) -> list[Any]:
    """Arguments that a row of the table meets."""
    table, columns = asked
    rows = planted.get(f"public.{table}") or planted.get(table) or [{}]
    row = max(rows, key=len)
    values: list[Any] = []
    for index, parameter in enumerate(signature.parameters):
        text = row.get(columns.get(index, ""))
        number = parameter.type.strip() == "number"
        if text is None:
            values.append(10 if number else None)
        else:
            values.append(json.loads(text) if number else text)
    return values
