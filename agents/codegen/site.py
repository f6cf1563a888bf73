"""Where BUILDER builds: workspace, workflow, stage, ticket and the tables that they speak of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from orchestrate_agents.codegen.schema import workflow_tables
from orchestrate_agents.codegen.spec import Spec, stage_specs
from orchestrate_agents.sql.parse import Table
from orchestrator.domain.workflow import Block, Need, Stage, Workflow
from orchestrator.storage.atomic import inside

_WILL_PROVIDE = re.compile(
    r"(?P<who>\b[A-Z][A-Z_]{2,})\s+(?:will|must|shall)\s+(?:provide|create|deliver|supply|make)"
)
_PATH = re.compile(r"`([\w.@+-]+(?:/[\w.@+-]+)+\.[A-Za-z]\w*)`")


@dataclass(frozen=True)
class Site:
    """One stage's work in one workspace."""

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
        """What other agents provide, by the stage's words, else by the ticket's."""
        needs = {need.path: need for need in self.stage.needs}
        for number, line in enumerate(self.ticket.splitlines(), 1):
            who, path = _WILL_PROVIDE.search(line), _PATH.search(line)
            if who and path and who["who"] != self.stage.agent:
                needs.setdefault(path[1], Need(who["who"], path[1], number))
        return tuple(needs.values())

    @cached_property
    def specs(self) -> tuple[Spec, ...]:
        """What the stage has to build: not what others provide, nor what its words forbid."""
        foreign = {need.path for need in self.needs} | set(self._others())
        return tuple(
            spec for spec in stage_specs(self.stage, self.ticket) if spec.path not in foreign
        )

    def _others(self) -> list[str]:
        own = {d.path for d in self.stage.deliverables}
        return [
            d.path
            for stage, d in self.workflow.deliverables
            if stage.number != self.stage.number and d.path not in own
        ]

    def path(self, relative: str) -> Path:
        """The file in the workspace. Raises UnsafePathError."""
        return inside(self.root, relative)

    def provider(self, path: str) -> str:
        """The agent that provides a file, "" if nobody is named."""
        named = [need.provider for need in self.needs if need.path == path]
        makers = [s.agent for s, d in self.workflow.deliverables if d.path == path]
        return next(iter([*named, *makers]), "")

    def schema_block(self, path: str) -> Block | None:
        """The code block that some stage gives for a file."""
        return next((d.block for _, d in self.workflow.deliverables if d.path == path), None)

    def table_in(self, *texts: str) -> Table | None:
        """The table that a text names first: in backticks or quotes, else as a word."""
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
