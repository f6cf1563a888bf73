"""The migration in a review: its text beside the specification, and what running it showed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrate_agents.checks.sql.subjects import specification_of
from orchestrate_agents.sql.migration_series import read_sql
from orchestrate_agents.sql.parse import Migration, SqlError, parse_migration
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import Context
from orchestrator.review.panels import Panel, Source


def migrations(context: Context, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(path, text) of the SQL files among `paths` that can be read."""
    for path in paths:
        if Path(path).suffix.lower() == ".sql":
            try:
                yield path, read_sql(context.path(path))
            except (OSError, UnicodeDecodeError, OrchestrateError):
                continue


def sources(context: Context, paths: Sequence[str]) -> Iterator[Panel]:
    """Each migration, highlighted, with its differences from the specification."""
    for path, text in migrations(context, paths):
        wanted = specification_of(context, path)
        source = Source(path, text, "postgresql", wanted, _place(context, path))
        yield Panel(f"Migration {Path(path).name}", words=_summary(text), blocks=(source,))


def _place(context: Context, path: str) -> str:
    """Where the specification stands: `workflow:line`, or in the ticket."""
    for _, deliverable in context.workflow.deliverables if context.workflow else ():
        if deliverable.path == path and deliverable.block is not None and context.workflow:
            return f"{context.workflow.path.name}:{deliverable.block.line}"
    return "the ticket"


def _summary(text: str) -> tuple[str, ...]:
    try:
        migration = parse_migration(text)
    except SqlError as error:
        return (f"PostgreSQL does not parse it: {error.message}",)
    return (_counted(migration),)


def _counted(migration: Migration) -> str:
    tables = ", ".join(f"{t.name} ({len(t.columns)} columns)" for t in migration.tables)
    return f"{len(migration.statements)} statements. Tables: {tables or 'none'}."
