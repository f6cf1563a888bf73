"""The migration in a review: its text next to the specification, and what running it showed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrate_agents.checks.sql.subjects import specification_of
from orchestrate_agents.sql.migration_series import read_sql
from orchestrate_agents.sql.parse import SqlError, parse_migration
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import Context
from orchestrator.review.panels import Panel, Source


def read_migrations(context: Context, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(path, text) of the SQL files among `paths` that can be read."""
    for path in paths:
        if Path(path).suffix.lower() == ".sql":
            try:
                yield path, read_sql(context.path(path))
            except (OSError, UnicodeDecodeError, OrchestrateError):
                continue


def show_migrations(context: Context, paths: Sequence[str]) -> Iterator[Panel]:
    """Each migration, highlighted, with its differences from the specification."""
    for path, text in read_migrations(context, paths):
        place = "the ticket"
        for _, deliverable in context.workflow.deliverables if context.workflow else ():
            if deliverable.path == path and deliverable.block is not None and context.workflow:
                place = f"{context.workflow.path.name}:{deliverable.block.line}"
                break
        source = Source(path, text, "postgresql", specification_of(context, path), place)
        try:
            found = parse_migration(text)
            tables = ", ".join(f"{t.name} ({len(t.columns)} columns)" for t in found.tables)
            words = f"{len(found.statements)} statements. Tables: {tables or 'none'}."
        except SqlError as error:
            words = f"PostgreSQL does not parse it: {error.message}"
        yield Panel(f"Migration {Path(path).name}", words=(words,), blocks=(source,))
