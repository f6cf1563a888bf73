"""What a coding agent does, in one form for all of them, and the log that keeps it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from orchestrator.domain.agent import Usage

#: characters that the log keeps of an event's text, and bytes of one log
_TEXT_LIMIT, _LOG_LIMIT = 8_000, 20_000_000
#: terminal control sequences, and control characters but tab and line end
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x1b\\|\x07|$)|\x1b[ -~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]",
    re.DOTALL,
)
#: names of variables whose values are kept out of the log
_SECRET_NAME = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)
#: values that are keys, wherever they come from
_SECRET_VALUE = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{12,}|AIza[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[A-Z0-9]{16}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)
_MASK = "***"
_SHORTEST_SECRET = 8


class Kind(StrEnum):
    """What an event is."""

    START = "start"
    TEXT = "text"
    THOUGHT = "thought"
    TOOL = "tool"
    RESULT = "result"
    USAGE = "usage"
    ERROR = "error"
    END = "end"


#: events that show that the model is at work; what a tool prints does not
ASSISTANT = frozenset({Kind.TEXT, Kind.THOUGHT, Kind.TOOL})


class Fault(StrEnum):
    """Why a coding agent cannot go on, as far as it says so itself."""

    NONE = ""
    #: its usage limit is reached
    LIMIT = "limit"
    #: nobody is signed in, or the key is refused
    SIGNED_OUT = "signed out"
    #: it no longer has the session
    NO_SESSION = "no session"
    #: its service is not reached
    UNREACHABLE = "unreachable"
    #: anything else that ended the turn
    OTHER = "other"


@dataclass(frozen=True)
class Event:
    """One thing that a coding agent did.

    `usage` is the whole of the turn so far, by model. `fault` says that the turn is over because of
    it; `resumes_at` (seconds since the epoch) belongs to a limit.
    """

    kind: Kind
    text: str = ""
    tool: str = ""
    path: str = ""
    usage: tuple[Usage, ...] = ()
    session: str = ""
    fault: Fault = Fault.NONE
    resumes_at: float | None = None


def plain(text: str) -> str:
    """Text without what would steer a terminal or turn its direction."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


class Log:
    """The file that takes the events of an attempt, one JSON line each.

    `secrets` are environment variables: the values of those that are keys never get into it.
    """

    def __init__(self, path: str, turn: int, secrets: Mapping[str, str]) -> None:
        self._path = Path(path) if path else None
        self._turn = turn
        self._secrets = sorted(_secret_values(secrets), key=len, reverse=True)
        self._session = ""
        self._left = _LOG_LIMIT
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._left -= self._path.stat().st_size if self._path.is_file() else 0

    def masked(self, text: str) -> str:
        """Text without keys."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return _SECRET_VALUE.sub(_MASK, text)

    def write(self, event: Event) -> None:
        """Append an event. Beyond the log's limit only its last words and what it cost get in."""
        if self._path is None:
            return
        self._session = event.session or self._session
        said = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "turn": self._turn,
            "kind": event.kind.value,
            "session": event.session,
            "text": _shortened(self.masked(plain(event.text))),
            "tool": plain(event.tool)[:200],
            "path": plain(event.path)[:1_000],
        }
        head = {key: value for key, value in said.items() if value != ""}
        each = [{**head, "usage": u.model_dump(mode="json")} for u in event.usage] or [head]
        data = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in each).encode()
        if len(data) > self._left and event.kind not in (Kind.USAGE, Kind.ERROR, Kind.END):
            return
        self._left -= len(data)
        with self._path.open("ab") as file:
            file.write(data)


def _secret_values(variables: Mapping[str, str]) -> Iterable[str]:
    return {
        value
        for name, value in variables.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
    }


def _shortened(text: str) -> str:
    if len(text) <= _TEXT_LIMIT:
        return text
    half = _TEXT_LIMIT // 2
    return f"{text[:half]}\n[… {len(text) - _TEXT_LIMIT} characters …]\n{text[-half:]}"
