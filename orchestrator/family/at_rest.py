"""Families that wait for an answer, and whose files nobody has touched since.

To open such a family is to read, prove and compare all that was read, proven and compared when it
came to rest, for nothing. A daemon with thousands of them looks at what that rested on instead: the
bytes of the tickets, the history and the workflow, the settings, and which children are there. It
is sealed with the key of the user, which no agent has; whatever differs is opened.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import OrchestrateError
from orchestrator.family import stale_writes
from orchestrator.family.checkouts import BESIDE, CHECKOUT
from orchestrator.family.known_history import KnownHistory
from orchestrator.family.session import Session
from orchestrator.family.workflow_discovery import referenced
from orchestrator.git.activity import require_quiet
from orchestrator.git.repository import other_worktrees
from orchestrator.settings.config import Settings
from orchestrator.storage import signing
from orchestrator.storage.atomic import read, sha256_file
from orchestrator.storage.history import History
from orchestrator.storage.real_paths import real_folder
from orchestrator.storage.written import is_agents
from orchestrator.tickets.board import Board

#: raised when a family at rest would do something that it did not do before
_EDITION = 1
#: the key in what a workspace knows of a family
KEY = "rest"


@dataclass(frozen=True)
class Rest:
    """What a family rests on, besides the bytes of its history."""

    #: how its run ended
    outcome: Mapping[str, Any]
    #: file below the workspace → its bytes
    tickets: Mapping[str, bytes]
    members: tuple[str, ...]
    #: the ids that its tickets list as children
    listed: tuple[str, ...]
    #: the ids of the children on the board
    near: tuple[str, ...]
    #: the workflow as the record has it, and its sha256
    workflow: tuple[str, str]

    def said(self) -> dict[str, Any]:
        return {
            "outcome": dict(self.outcome),
            "tickets": list(self.tickets),
            "members": list(self.members),
            "listed": list(self.listed),
            "near": list(self.near),
            "workflow": list(self.workflow),
        }


def rest_of(session: Session, outcome: Mapping[str, Any]) -> Rest | None:
    """What the family rests on from now on; None if it does not."""
    flow, history = session.flow, session.family.history
    if flow.question is None or flow.sha256 != session.workflow.sha256:
        return None
    if history.latest(CHECKOUT) is not None or history.latest(BESIDE) is not None:
        # git may have something to do there
        return None
    committer = session.family.committer
    if committer is not None and committer.has_pending(session.plan.parent):
        return None
    tickets = session.family.tickets_at_rest()
    if tickets is None or any(ticket.diagnoses for ticket in tickets):
        return None
    listed = tuple(dict.fromkeys(child for ticket in tickets for child in ticket.children))
    members = tuple(flow.members)
    return Rest(
        outcome,
        {session.board.source_of(ticket.path): ticket.data for ticket in tickets},
        members,
        listed,
        session.board.children_of(members, listed),
        (flow.workflow, flow.sha256),
    )


def keep(rest: Rest, known: KnownHistory, board: Board, settings: Settings) -> None:
    """Keep what a family rests on, under its lock, once all of it is written."""
    with contextlib.suppress(OSError, OrchestrateError):
        said = rest.said()
        seal = _seal(said, rest.tickets.values(), board, settings, known.family)
        known.set_aside(KEY, {**said, "seal": seal} if seal else None)


def outcome_at_rest(
    board: Board, settings: Settings, family: str, seen: dict[Path, int]
) -> Mapping[str, Any] | None:
    """How the last run of a family ended, if nothing that it rests on has changed since.

    `seen`: gets the files as they are. Raises GitAtWorkError.
    """
    known = KnownHistory(board.root, family).read()
    said = known.get(KEY)
    if not isinstance(said, dict) or "awaited" in known or is_agents(board.root):
        return None
    require_quiet(board.root)
    board.look()
    if board.is_to_be_swept or board.duplicate_ids() or stale_writes.pending_saves(board):
        return None
    if any(other_worktrees(board.root)):
        return None
    with contextlib.suppress(OSError, OrchestrateError, KeyError, TypeError, ValueError):
        seal, rest = said["seal"], {key: value for key, value in said.items() if key != "seal"}
        if list(board.children_of(rest["members"], rest["listed"])) != rest["near"]:
            return None
        workflow, sha256 = rest["workflow"]
        if sha256_file(referenced(board.root, workflow)) != sha256:
            return None
        files = [board.inside(source) for source in rest["tickets"]]
        tickets = [read(file) for file in files]
        if seal and seal == _seal(rest, tickets, board, settings, family):
            seen.update((file, hash(data)) for file, data in zip(files, tickets, strict=True))
            outcome: Mapping[str, Any] = rest["outcome"]
            return outcome
    return None


def _seal(
    said: Mapping[str, Any],
    tickets: Iterable[bytes],
    board: Board,
    settings: Settings,
    family: str,
) -> str:
    """The code over all that a family rests on, "" without a key. Raises OSError, …"""
    parts: Sequence[bytes] = (
        json.dumps([_EDITION, family, real_folder(board.root), said], sort_keys=True).encode(),
        board.folders.signature.encode("utf-8", "surrogatepass"),
        settings.model_dump_json().encode(),
        read(History(board.path, family).path),
        *tickets,
    )
    sizes = ",".join(str(len(part)) for part in parts)
    return signing.seal(b"at rest\0" + sizes.encode() + b"\0" + b"".join(parts)).hex()
