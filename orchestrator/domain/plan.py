"""What a family is to do: its stages in order, who plays which part, and the failure limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.domain.record import Flow
from orchestrator.domain.states import FolderRole, Part
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
        if named and self.part(stage) in (Part.MAKER, Part.PROVIDER):
            # nobody works again on a child that was finished before
            return tuple(m for m in named if not flow.members[m].at.finished) or named
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

    def sent_back_by_default(self, stage: Stage, flow: Flow) -> tuple[str, ...]:
        """Whom a send-back without a name means: those who made since the checkpoint before."""
        earlier = [s.number for s in self.stages if s.is_checkpoint and s.number < stage.number]
        since = max(earlier, default=-1)
        made = [
            m
            for s in self.stages
            if since < s.number <= stage.number and self.part(s) is Part.MAKER
            for m in self.members(s, flow)
            if not flow.members[m].at.finished
        ]
        return tuple(dict.fromkeys(made)) or (self.parent,)

    def done_before(self, flow: Flow) -> tuple[int, ...]:
        """The stages that a family which is only begun leaves out, as their work is over.

        Those that make finished children only; and all before the inspection of a lone ticket that
        is built already, where it is clear which one that is.
        """
        if self.is_built(flow):
            here = self.inspection_to_begin_with(flow)
            return tuple(s.number for s in self.stages if here and s.number < here.number)
        return tuple(
            s.number
            for s in self.stages
            if self.part(s) in (Part.MAKER, Part.PROVIDER)
            and all(flow.members[m].at.finished for m in self.members(s, flow))
        )

    def is_built(self, flow: Flow) -> bool:
        """Whether it is one ticket alone that lies where the built ones do."""
        alone = len(flow.members) == 1 and not any(s.children for s in self.stages)
        return alone and flow.members[self.parent].at in (FolderRole.QA, FolderRole.USER_REVIEW)

    def inspection_to_begin_with(self, flow: Flow) -> Stage | None:
        """The only inspection, if nothing is approved before it and nothing is made after it."""
        parts = [self.part(s) for s in self.stages]
        if parts.count(Part.INSPECTOR) != 1:
            return None
        at = parts.index(Part.INSPECTOR)
        clear = None not in parts[:at] and not {Part.MAKER, Part.PROVIDER} & set(parts[at:])
        return self.stages[at] if clear else None

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
