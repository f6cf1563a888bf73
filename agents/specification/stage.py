"""One stage's specification: its files, its needs, and the tables that its programs work with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from orchestrate_agents.specification.files import FileSpec, stage_file_specs
from orchestrate_agents.sql.parse import SqlError, Table, tables_of
from orchestrator.domain.workflow import Block, Need, Stage, Workflow
from orchestrator.errors import OrchestrateError
from orchestrator.storage.atomic import inside

_WILL_PROVIDE = re.compile(
    r"(?P<who>\b[A-Z][A-Z_]{2,})\s+(?:will|must|shall)\s+(?:provide|create|deliver|supply|make)"
)
_PATH = re.compile(r"`([\w.@+-]+(?:/[\w.@+-]+)+\.[A-Za-z]\w*)`")
_SQL_FENCE = re.compile(r"^```sql\s*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class StageSpec:
    """What one stage has to build in one workspace."""

    root: Path
    workflow: Workflow
    stage: Stage
    #: the text of the stage's ticket, "" if it cannot be read
    ticket: str

    @cached_property
    def tables(self) -> dict[str, Table]:
        return workflow_tables(self.workflow, self.root, also=self.ticket)

    @cached_property
    def needs(self) -> tuple[Need, ...]:
        """What other agents provide, according to the stage, then the ticket."""
        needs = {need.path: need for need in self.stage.needs}
        for number, line in enumerate(self.ticket.splitlines(), 1):
            who, path = _WILL_PROVIDE.search(line), _PATH.search(line)
            if who and path and who["who"] != self.stage.agent:
                needs.setdefault(path[1], Need(who["who"], path[1], number))
        return tuple(needs.values())

    @cached_property
    def specs(self) -> tuple[FileSpec, ...]:
        """The files to build, without those that other agents or stages provide."""
        own = {d.path for d in self.stage.deliverables}
        foreign = {need.path for need in self.needs}
        foreign |= {
            d.path
            for stage, d in self.workflow.deliverables
            if stage.number != self.stage.number and d.path not in own
        }
        specs = stage_file_specs(self.stage, self.ticket)
        return tuple(spec for spec in specs if spec.path not in foreign)

    def path(self, relative: str) -> Path:
        """The file in the workspace. Raises UnsafePathError."""
        return inside(self.root, relative)

    def provider(self, path: str) -> str:
        """The agent that provides a file, "" if none is named."""
        named = [need.provider for need in self.needs if need.path == path]
        makers = [s.agent for s, d in self.workflow.deliverables if d.path == path]
        return next(iter([*named, *makers]), "")

    def schema_block(self, path: str) -> Block | None:
        """The code block that some stage gives for a file."""
        return next((d.block for _, d in self.workflow.deliverables if d.path == path), None)

    def table_in(self, *texts: str) -> Table | None:
        """The first table that a text names: in backticks or quotes, else as a word."""
        for text in texts:
            for mark in ("`{}`", "'{}'", '"{}"', " {} ", "{}"):
                places = [
                    (text.find(mark.format(name)), -len(name), name)
                    for name in self.tables
                    if mark.format(name) in f" {text} "
                ]
                if places:
                    return self.tables[min(places)[2]]
        return None


def workflow_tables(workflow: Workflow, root: Path, *, also: str = "") -> dict[str, Table]:
    """The tables that `sql_texts` create, by name. Names that need quoting are left out."""
    found: dict[str, Table] = {}
    for text in sql_texts(workflow, root, also=also):
        try:
            tables = tables_of(text)
        except SqlError:
            continue
        for table in tables:
            if all(n.isidentifier() for n in (table.name, *(c.name for c in table.columns))):
                found.setdefault(table.name, table)
    return found


def sql_texts(workflow: Workflow, root: Path, *, also: str = "") -> Iterator[str]:
    """The SQL of delivered files that exist, of the workflow's blocks, and of `also`'s."""
    scripts = [d for _, d in workflow.deliverables if d.path.endswith(".sql")]
    for deliverable in scripts:
        try:
            yield inside(root, deliverable.path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError, OrchestrateError):
            continue
    for stage in workflow.stages:
        for block in stage.blocks:
            if block.language.lower() in ("sql", "postgresql", "psql", "pgsql"):
                yield block.text
    yield from (d.block.text for d in scripts if d.block is not None)
    yield from _SQL_FENCE.findall(also)
