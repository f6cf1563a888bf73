"""What people were notified of already, and in which words they are."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from orchestrator.approvals.links import Links
from orchestrator.domain.record import from_mapping
from orchestrator.errors import OrchestrateError
from orchestrator.settings.web import WebSettings
from orchestrator.storage.atomic import sha256_bytes
from orchestrator.tickets.board import Board

_TITLES = {"question": "waits for you", "held": "is on hold", "board": "needs attention"}
_NEXT = {
    "question": "orchestrate review {id}",
    "held": "orchestrate resume {id}",
    "board": "orchestrate status {id}",
}


class AlreadyNotified:
    """Family → digest of its last notification, which a restarted daemon does not repeat."""

    def __init__(self, root: Path) -> None:
        self._path = root / ".orchestrate" / "state" / "notified.json"
        self._notified: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._path.read_bytes())
            self._notified = {str(k): str(v) for k, v in found.items()}

    def is_news(self, family: str, text: str) -> bool:
        """Whether this is not what the family was last notified of; from now on it is."""
        digest = sha256_bytes(text.encode("utf-8", "surrogatepass"))[:24]
        if self._notified.get(family) == digest:
            return False
        # another worker may do the same: a whole new mapping is never half changed
        self._notified = {**self._notified, family: digest}
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._notified), encoding="utf-8")
        return True


def describe_for_people(
    board: Board, kind: str, family: str, text: str, web: WebSettings
) -> tuple[str, str]:
    """Title and text of a message for somebody who has no terminal open: which repository, which
    ticket, why, the command that comes next, and a link that answers where `[web] url` is set."""
    what, file, link = "", "", ""
    with contextlib.suppress(OrchestrateError, OSError):
        ticket = board.find(family)
        what, file = ticket.title, ticket.source
        asked = from_mapping(ticket.flow or {}, path=ticket.source).question
        if kind == "question" and asked is not None:
            link = Links(board.root, web).address(family, asked.number, asked.digest)
    where = f"in {board.root.name}"
    lines = [
        f"{what} ({where})" if what else where,
        text,
        file,
        _NEXT[kind].format(id=family),
        link,
    ]
    return f"{family} {_TITLES[kind]}", "\n".join(line for line in lines if line)
