"""Which tickets a workflow's stages mean: the parent, its children, "both tickets"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.domain.workflow import Stage, Workflow
from orchestrator.tickets.id_grammar import ids_in
from orchestrator.workflow_reader.stage import Draft, Head
from orchestrator.workflow_reader.ticket_mentions import NamedMove


def root_of(drafts: Sequence[Draft], hint: str = "") -> str:
    """The parent's id: what the children's ids extend, else the ticket named most, else `hint`."""
    children = [c.id for d in drafts for c in d.children]
    named = [i for d in drafts for i in (*d.worked_on, *(i for _, m in d.moves for i in m.ids))]
    if hint and not children:
        return hint
    for child in children:
        stem = re.sub(r"(?<=[\dA-Z])(?:[-.]?[a-z]|-[A-Z]|\.\d+|(?<=\d)[A-Z])$", "", child)
        if stem != child:
            return stem
    bases = [n for n in named if n not in children]
    stems = Counter(next((b for b in bases if n != b and _extends(n, b)), n) for n in bases)
    return hint or (stems.most_common(1)[0][0] if stems else "")


def _extends(child: str, parent: str) -> bool:
    return (
        child.startswith(parent)
        and re.fullmatch(r"[-.]?[A-Za-z0-9]{1,2}", child[len(parent) :]) is not None
    )


@dataclass(frozen=True)
class Family:
    root: str
    #: child → the agent that it is routed to
    routes: Mapping[str, str]

    def members(self, draft: Draft) -> tuple[str, ...]:
        """The tickets that a stage works on; empty for the parent."""
        if draft.head.is_checkpoint or draft.children:
            return ()
        moved = [i for _, move in draft.moves for i in move.ids]
        named = [i for i in dict.fromkeys((*draft.worked_on, *moved)) if i != self.root]
        mine = self.routed(draft.head.agent)
        if any(i in mine for i in named):
            return tuple(i for i in named if i in mine)
        if not named and any(move.whom == "own" for _, move in draft.moves):
            return mine
        return tuple(named)

    def routed(self, agent: str) -> tuple[str, ...]:
        return tuple(child for child, who in self.routes.items() if who == agent)

    def movers(self, move: NamedMove, members: tuple[str, ...]) -> tuple[str, ...]:
        """The ids that a move line means."""
        if move.ids:
            return move.ids
        whom = {"children": tuple(self.routes), "own": members}.get(move.whom, ())
        return whom or ((self.root,) if self.root else ())


def family_of(workflow: Workflow) -> tuple[str, tuple[str, ...]]:
    """(parent, children) as the workflow's stages route them; "" where it names no ticket."""
    children = tuple(c.id for stage in workflow.stages for c in stage.children)
    drafts = [_named_only(stage) for stage in workflow.stages]
    return root_of(drafts), children


def _named_only(stage: Stage) -> Draft:
    draft = Draft(Head(stage.number, stage.agent, stage.title, stage.line, 1))
    draft.children.extend(stage.children)
    for _, text in stage.items:
        draft.worked_on.extend(ids_in(text))
    return draft
