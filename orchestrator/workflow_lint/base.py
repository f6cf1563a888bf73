"""What every lint rule looks at, what it reports, and the registry of rules."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from orchestrator.domain.workflow import Stage, Workflow
from orchestrator.errors import UnsafePathError
from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.storage.atomic import inside
from orchestrator.workflow_reader.family import family_ids
from orchestrator.workflow_reader.outline import Outline, Section


@dataclass(frozen=True)
class LintFinding:
    """Something in a workflow that a person should look at before it is run."""

    #: stable, kebab-case
    code: str
    line: int
    #: one sentence
    message: str
    #: what would fix it
    hint: str


@dataclass(frozen=True)
class LintContext:
    """A workflow, and the workspace that it is to run in."""

    workflow: Workflow
    outline: Outline
    root: Path
    agents: frozenset[str]
    folders: Container[str] | Callable[[str], object]

    def knows_folder(self, name: str) -> bool:
        """Whether the board has a place for a folder's name."""
        if callable(self.folders):
            return bool(self.folders(name))
        return name in self.folders

    def exists(self, path: str) -> bool | None:
        """Whether a path exists in the workspace; None if it leaves it."""
        try:
            return inside(self.root, path).exists()
        except UnsafePathError:
            return None

    @cached_property
    def family(self) -> tuple[str, tuple[str, ...]]:
        """(parent, children) as the stages route them."""
        return family_ids(self.workflow)

    @cached_property
    def delivered(self) -> dict[str, Stage]:
        """Path → the first stage that delivers it."""
        found: dict[str, Stage] = {}
        for stage, deliverable in self.workflow.deliverables:
            found.setdefault(deliverable.path, stage)
        return found

    def section(self, number: int) -> Section:
        """A stage's heading and blocks."""
        return next(s for s in self.outline.stages if s.head.number == number)

    @property
    def prose(self) -> Iterator[Piece]:
        """Every block with words: no fences, no tables, no stage headings."""
        return (p for p in self.outline.blocks if p.kind not in (Kind.FENCE, Kind.TABLE))

    def are_parallel(self, one: Stage, other: Stage) -> bool:
        """Whether two stages run in parallel."""
        return one.parallel_with == other.number or other.parallel_with == one.number


LintRule = Callable[[LintContext], Iterator[LintFinding]]
#: every rule, by its full name
RULES: dict[str, LintRule] = {}


def lint_rule(rule: LintRule) -> LintRule:
    """Register a rule: `workflow check` runs it on every workflow."""
    RULES[f"{rule.__module__}.{rule.__qualname__}"] = rule
    return rule
