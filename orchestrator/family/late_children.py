"""Children that come to the board while their family is at its end: they are judged with it."""

from __future__ import annotations

from orchestrator.domain import machine
from orchestrator.domain.plan import Plan
from orchestrator.family.family import Family
from orchestrator.family.startable import find_places


def join_late_children(family: Family, plan: Plan) -> list[str]:
    """Make members of the children that no record knows, before the family can be complete.

    The question then asks for what they demand too, and an answer to the one before is stale.
    Earlier stages make their own children. One that is at rest, or conducted on its own, is left
    alone. Returns what to tell. Raises TicketError for one that cannot be conducted.
    """
    flow = family.flow
    if flow.state.ended or flow.stage != plan.last.number:
        return []
    late = [t for t in family.board.family(plan.parent) if t.id not in flow.members]
    places = find_places(family.board, [t for t in late if not t.conducted])
    places = {id: place for id, place in places.items() if not place.at.at_rest}
    if not places:
        return []
    for ticket in late:
        if ticket.id in places:
            ticket.require_utf8()
            ticket.require_merged()
    family.commit(machine.join(flow, plan, places), f"{', '.join(places)} joined")
    return [
        f"{id} is a new child of {plan.parent}: it is judged with the family, and the last "
        "question covers it"
        for id in places
    ]
