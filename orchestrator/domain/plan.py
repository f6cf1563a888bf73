"""What a family is to do: its stages in order, who plays which part, and the failure limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.domain.record import Flow
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Stage, Workflow


@dataclass(frozen=True)
class Plan:
    """What the machine knows besides the record: stages, parts, the failure limit."""

    parent: str
    stages: tuple[Stage, ...]
    #: agent → its part; an agent that is not named is a maker
    parts: Mapping[str, Part]
    #: who gets what a maker hands over
    inspector: str
    failure_limit: int = 2

    def stage(self, number: int) -> Stage:
        return next(s for s in self.stages if s.number == number)

    def part(self, stage: Stage) -> Part | None:
        """The part that the stage's agent plays; None at a checkpoint, which is USER's."""
        return None if stage.is_checkpoint else self.parts.get(stage.agent, Part.MAKER)

    def members(self, stage: Stage, flow: Flow) -> tuple[str, ...]:
        """The members that a stage works on; the parent where it names none of the family."""
        named = tuple(m for m in stage.members if m in flow.members)
        if named:
            return named
        if self.part(stage) is Part.INSPECTOR:
            return self.children(flow) or (self.parent,)
        return (self.parent,)

    def inspected(self, stage: Stage, flow: Flow) -> tuple[str, ...]:
        """The members whose own criteria an inspection judges: all, if nothing is made later."""
        later = any(
            s.number > stage.number and self.part(s) in (Part.MAKER, Part.PROVIDER)
            for s in self.stages
        )
        members = self.members(stage, flow)
        return members if later else tuple(dict.fromkeys((*members, *flow.members)))

    def children(self, flow: Flow) -> tuple[str, ...]:
        return tuple(m for m in flow.members if m != self.parent)

    def makers_of(self, member: str, flow: Flow) -> tuple[Stage, ...]:
        """The stages that make what a member is for."""
        return tuple(
            s
            for s in self.stages
            if self.part(s) in (Part.MAKER, Part.PROVIDER) and member in self.members(s, flow)
        )

    @property
    def last(self) -> Stage:
        return self.stages[-1]


def make_plan(
    workflow: Workflow, parent: str, parts: Mapping[str, Part], inspector: str, failure_limit: int
) -> Plan:
    """The plan of a family. Only USER completes: a final review is added if the last is none."""
    stages = workflow.stages
    if not stages or not stages[-1].is_checkpoint:
        number = stages[-1].number + 1 if stages else 0
        k = len(workflow.checkpoints) + 1
        stages = (*stages, Stage(number, "USER", "Final review", 0, checkpoint=k))
    return Plan(parent, stages, parts, inspector, failure_limit)
