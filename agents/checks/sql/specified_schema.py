"""The SQL that makes a workspace's tables, for programs that are run to see what they do."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrate_agents.checks.code_subjects import ticket_texts
from orchestrate_agents.checks.sql.subjects import migration_paths
from orchestrate_agents.specification.stage import sql_texts
from orchestrate_agents.sql.header import Header
from orchestrate_agents.sql.migration_series import earlier, read_sql, series
from orchestrate_agents.sql.parse import SqlError, parse_migration
from orchestrate_agents.sql.rerunnable import make_rerunnable
from orchestrator.domain.workflow import Workflow
from orchestrator.gates.checks import Context


def schema_sql(ctx: Context) -> Iterator[str]:
    """The SQL that makes the tables: delivered migrations, else all there are, else the texts."""
    files = [file for path in migration_paths(ctx) if (file := ctx.path(path)).is_file()]
    found = files or series(ctx.root / "migrations")
    texts = {name: text for file in found for name, text in earlier(file).items()}
    texts |= {file.name: read_sql(file) for file in found}
    if texts:
        yield from texts.values()
    elif ctx.workflow is not None:
        yield from _specified(ctx, ctx.workflow)


def _specified(ctx: Context, workflow: Workflow) -> Iterator[str]:
    """The tables of workflow and tickets, with the keys that a seed needs, able to run again."""
    for text in sql_texts(workflow, ctx.root, also="\n".join(ticket_texts(ctx))):
        try:
            tables = parse_migration(text).tables
            names = [table.name for table in tables]
            if tables:
                yield make_rerunnable(text, header=Header(""), seeded=names).text
        except SqlError:
            continue
