"""The tables that a workflow's programs work with, from its migration or its specification."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from orchestrate_agents.sql.natural_key import natural_key
from orchestrate_agents.sql.parse import SqlError, Table, tables_of
from orchestrator.domain.workflow import Workflow
from orchestrator.errors import OrchestrateError
from orchestrator.storage.atomic import inside


def workflow_tables(workflow: Workflow, root: Path, *, also: str = "") -> dict[str, Table]:
    """Table by name: those of delivered `.sql` files that exist, and of SQL blocks (`also` too)."""
    found: dict[str, Table] = {}
    for text in sql_texts(workflow, root, also=also):
        try:
            tables = tables_of(text)
        except SqlError:
            continue
        for table in filter(_has_plain_names, tables):
            found.setdefault(table.name, table)
    return found


def sql_texts(workflow: Workflow, root: Path, *, also: str = "") -> tuple[str, ...]:
    """The SQL of delivered files that exist, of the workflow's blocks, and of `also`'s."""
    return (*_files(workflow, root), *_blocks(workflow), *_fenced(also))


def _has_plain_names(table: Table) -> bool:
    """Names that can stand in a program as they are; others would have to be quoted everywhere."""
    return all(name.isidentifier() for name in (table.name, *(c.name for c in table.columns)))


def _files(workflow: Workflow, root: Path) -> Iterator[str]:
    for _, deliverable in workflow.deliverables:
        if not deliverable.path.endswith(".sql"):
            continue
        try:
            yield inside(root, deliverable.path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError, OrchestrateError):
            continue


def _blocks(workflow: Workflow) -> Iterator[str]:
    for stage in workflow.stages:
        for block in stage.blocks:
            if block.language.lower() in ("sql", "postgresql", "psql", "pgsql"):
                yield block.text
    for _, deliverable in workflow.deliverables:
        if deliverable.block is not None and deliverable.path.endswith(".sql"):
            yield deliverable.block.text


def _fenced(markdown: str) -> Iterator[str]:
    for found in re.finditer(r"^```sql\s*\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL):
        yield found.group(1)


def required_columns(table: Table) -> tuple[str, ...]:
    """Columns that a row must give: NOT NULL, without a default or a value made by the server."""
    return tuple(
        c.name
        for c in table.columns
        if (c.not_null or c.primary_key) and c.default is None and not c.generated
    )


def unique_keys(table: Table) -> tuple[tuple[str, ...], ...]:
    """Every set of columns that may tell rows apart in an upsert, the natural key first."""
    keys = [natural_key(table), *table.uniques, table.primary_key]
    keys.extend((c.name,) for c in table.columns if c.unique)
    return tuple(dict.fromkeys(key for key in keys if key))
