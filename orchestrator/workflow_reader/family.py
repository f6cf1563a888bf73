"""Which tickets a workflow's stages mean: the parent, its children, "both tickets"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.domain.id_grammar import ids_in
from orchestrator.domain.workflow import Workflow
from orchestrator.workflow_reader.stage import StageDraft
from orchestrator.workflow_reader.ticket_mentions import NamedMove, Whom

_CHILD_SUFFIX = re.compile(r"(?<=[\dA-Z])(?:[-.]?[a-z]|-[A-Z]|\.\d+|(?<=\d)[A-Z])$")


def find_parent(children: Sequence[str], named: Sequence[str], hint: str = "") -> str:
    """The parent's id: what the children's ids extend, else the ticket named most, else `hint`."""
    if hint and not children:
        return hint
    for child in children:
        stem = _CHILD_SUFFIX.sub("", child)
        if stem != child:
            return stem
    bases = [id for id in named if id not in children]
    stems: Counter[str] = Counter()
    for id in bases:
        extended = (b for b in bases if re.fullmatch(rf"{re.escape(b)}[-.]?[A-Za-z0-9]{{1,2}}", id))
        stems[next(extended, id)] += 1
    return hint or (stems.most_common(1)[0][0] if stems else "")


@dataclass(frozen=True)
class TicketRouting:
    """A family's tickets and the agents that they go to."""

    parent: str
    #: child → agent
    routes: Mapping[str, str]

    @classmethod
    def of(cls, drafts: Sequence[StageDraft], hint: str = "") -> TicketRouting:
        """As the stages name them; `hint` is the parent where they leave it open."""
        routes = {child.id: child.agent for draft in drafts for child in draft.children}
        named = [
            id for d in drafts for id in (*d.worked_on, *(i for _, m in d.moves for i in m.ids))
        ]
        children = [child.id for draft in drafts for child in draft.children]
        return cls(find_parent(children, named, hint), routes)

    def members(self, draft: StageDraft) -> tuple[str, ...]:
        """The tickets that a stage works on; empty for the parent."""
        if draft.head.is_checkpoint or draft.children:
            return ()
        moved = [id for _, move in draft.moves for id in move.ids]
        named = [id for id in dict.fromkeys((*draft.worked_on, *moved)) if id != self.parent]
        mine = tuple(child for child, agent in self.routes.items() if agent == draft.head.agent)
        if any(id in mine for id in named):
            return tuple(id for id in named if id in mine)
        if not named and any(move.whom is Whom.OWN for _, move in draft.moves):
            return mine
        return tuple(named)

    def moved_by(self, move: NamedMove, members: tuple[str, ...]) -> tuple[str, ...]:
        """The ids that a move line means."""
        if move.ids:
            return move.ids
        meant: tuple[str, ...] = ()
        if move.whom is Whom.CHILDREN:
            meant = tuple(self.routes)
        elif move.whom is Whom.OWN:
            meant = members
        return meant or ((self.parent,) if self.parent else ())


def family_ids(workflow: Workflow) -> tuple[str, tuple[str, ...]]:
    """(parent, children) as the workflow's stages route them; "" where it names no ticket."""
    children = tuple(child.id for stage in workflow.stages for child in stage.children)
    named = [id for stage in workflow.stages for _, text in stage.items for id in ids_in(text)]
    return find_parent(children, named), children
