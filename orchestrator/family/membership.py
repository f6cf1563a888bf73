"""Whether the tickets of a family are all there, and wait for nothing that waits for them."""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path

from orchestrator.domain.id_grammar import id_from_name, without_child_suffix
from orchestrator.errors import TicketError
from orchestrator.git.repository import TrackedFolder
from orchestrator.storage.history import History
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket


def require_whole(board: Board, tickets: Sequence[Ticket]) -> None:
    """Raise TicketError if a member's file is gone, or the parent's is.

    A child without its parent would be conducted as a family of its own.
    """
    head = tickets[0]
    flow = head.flow or {}
    for member in flow.get("members", ()):
        if not board.holders(member):
            raise TicketError(
                f"{member}, a member of {head.id}, is not on the board: its file is gone",
                path=head.path,
                line=head.line_of("flow") or None,
                code="member-missing",
                hint=_how_to_restore(board, member),
            )
    above = head.parent or without_child_suffix(head.id)
    if above == head.id or board.holders(above):
        return
    last = History(board.path, above).latest("transition")
    born_there = last is not None and head.id in last["members"]
    named_after = head.parent and without_child_suffix(head.id) == head.parent
    # one that is conducted already was begun knowingly
    names_ticket = head.parent and not head.conducted and _is_of_board(board, head.parent)
    if born_there or named_after or names_ticket:
        raise TicketError(
            f"{head.id} is a child of {above}, which is not on the board",
            path=head.path,
            line=head.line_of("parent") or None,
            code="parent-missing",
            hint=f"{_how_to_restore(board, above)}; to make {head.id} a ticket of its own, "
            + ("give it another id and " if above == without_child_suffix(head.id) else "")
            + "take `parent:` out",
        )


def require_listed_children(board: Board, tickets: Sequence[Ticket], made: Collection[str]) -> None:
    """Raise TicketError if a child that a ticket lists is neither there nor `made` by a stage."""
    for ticket in tickets:
        for child in ticket.children:
            if child not in made and not board.holders(child) and _is_of_board(board, child):
                raise TicketError(
                    f"{child}, a child of {ticket.id}, is not on the board",
                    path=ticket.path,
                    line=ticket.line_of("children") or None,
                    code="member-missing",
                    hint=f"{_how_to_restore(board, child)}; or take it out of `children:`",
                )


def require_no_cycle(board: Board, tickets: Sequence[Ticket]) -> None:
    """Raise TicketError if a ticket waits for itself, directly or through other families."""
    members = {ticket.id for ticket in tickets}
    for ticket in tickets:
        ring = _way_back(board, ticket, members)
        if ring:
            raise TicketError(
                f"tickets wait for each other: {' → '.join(ring)}",
                path=ticket.path,
                line=ticket.line_of("depends_on") or None,
                code="cycle",
                hint="take one of them out of `depends_on`",
            )


def _way_back(board: Board, start: Ticket, members: Collection[str]) -> list[str]:
    """The tickets by which `start` waits for its own family; within it the workflow orders."""
    if start.id in start.depends_on:
        return [start.id, start.id]
    came = {other: start.id for other in start.depends_on if other not in members}
    pending = deque(came)
    while pending:
        at = pending.popleft()
        for holder in board.holders(at)[:1]:
            for other in holder.depends_on:
                if other in members:
                    way = [other, at]
                    while way[-1] != start.id:
                        way.append(came[way[-1]])
                    return way[::-1]
                if other not in came:
                    came[other] = at
                    pending.append(other)
    return []


def _is_of_board(board: Board, id: str) -> bool:
    """Whether the id is one of this board's kind (`WO-…`), not of a tracker beside it."""
    return any(_prefix(ticket.id) == _prefix(id) for ticket in board.tickets())


def _prefix(id: str) -> str:
    return re.split(r"[-_]", id, maxsplit=1)[0].upper()


def _how_to_restore(board: Board, id: str) -> str:
    """The command that brings a ticket's file back, as far as git knows it."""
    folder = board.path.relative_to(board.root).as_posix()
    git = TrackedFolder(board.root, folder)
    gone = [name for name in git.removed() if id_from_name(Path(name).name) == id]
    if gone:
        return f"bring it back: git checkout HEAD -- {shlex.quote(gone[-1])}"
    if found := git.last_removal(id):
        commit, name = found
        return f"bring it back: git checkout {commit}^ -- {shlex.quote(name)}"
    return f"bring its file back; `orchestrate doctor` says what is known of {id}"
