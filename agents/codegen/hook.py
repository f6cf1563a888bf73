"""Renders a TypeScript module of queries from its specification."""

from __future__ import annotations

import re

from orchestrate_agents.codegen.render import render
from orchestrate_agents.specification.files import FileSpec
from orchestrate_agents.specification.query_module import Client, client_of, read_query_module
from orchestrate_agents.specification.stage import StageSpec
from orchestrate_agents.specification.typescript import column_type, interfaces
from orchestrate_agents.sql.parse import Table


def render_hook(spec: FileSpec, stage: StageSpec) -> str:
    """The module's text. Raises SpecificationError where a function's query is not specified."""
    module = read_query_module(spec, stage)
    body = module.code
    # each given interface of a table is completed to all of its columns
    for item in sorted(interfaces(body), key=lambda i: -i.start):
        if item.name in module.rows:
            fields = _field_types(module.rows[item.name])
            text = render("interface.ts.j2", name=item.name, fields=fields).strip()
            body = body[: item.start] + text + body[item.end :]
    declared = {i.name for i in interfaces(body)}
    client = module.client
    tables = {table.name for table in module.rows.values()} | {q.table for q in module.queries}
    text = render(
        "hook.ts.j2",
        imports=""
        if client_of(module.code)
        else f"import {{ {client.name} }} from '{client.module}';",
        client=client.name,
        body=body.strip("\n"),
        rows={n: _field_types(t) for n, t in module.rows.items() if n not in declared},
        tables={name: table.name for name, table in module.rows.items()},
        queries=module.queries,
        heading=", ".join(sorted(tables)),
    )
    # row types are part of the module's interface
    return re.sub(r"^(interface|type)\b", r"export \1", text, flags=re.MULTILINE)


def render_client(client: Client) -> str:
    """A module that makes the client from the build's environment."""
    return render("supabase_client.ts.j2", exported=client.exported)


def _field_types(table: Table) -> dict[str, str]:
    return {column.name: column_type(column) or "unknown" for column in table.columns}
