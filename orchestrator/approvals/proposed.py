"""Checks that are proposed for statements that nothing proves: they count once USER takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.settings.board import FILE
from orchestrator.storage import atomic
from orchestrator.storage.history import History

#: scripts that USER took; what lies here is never imported
FOLDER = "checks/scripts"
_PROPOSED, _CLOSED = "proposal", "proposal-closed"


@dataclass(frozen=True)
class ProposedCheck:
    """A command, maybe with a script, and how it did when it was tried."""

    statement: str
    command: str
    #: of what the command runs, by which it is bound
    sha256: str
    #: the script and its sha256, "" for a command of the workspace
    path: str = ""
    script_sha256: str = ""
    #: on the tree of that day
    today: str = ""
    detail: str = ""
    fails_on: tuple[str, ...] = ()
    passes_on: tuple[str, ...] = ()

    def describe(self, ticket: str) -> str:
        """One line of markdown: what it proves, by which bytes, and how it did when tried."""
        said = f"“{self.statement}” — `{self.command}`"
        if self.path:
            code = f"orchestrate checks propose {ticket} --show"
            said += f", script sha256 {self.script_sha256[:12]} (`{code}`)"
        said += f"; on today's tree {self.today} ({self.detail})"
        said += f"; fails where {', and where '.join(self.fails_on)}"
        if self.passes_on:
            said += f"; but succeeds where {', and where '.join(self.passes_on)}"
        return said

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ProposedCheck:
        fields = {name: data[name] for name in cls.__dataclass_fields__}
        trees = {name: tuple(fields[name]) for name in ("fails_on", "passes_on")}
        return cls(**{**fields, **trees})


def record_proposal(history: History, proposed: ProposedCheck, code: str) -> None:
    """Write a proposal down; it takes the place of an earlier one for the same statement."""
    history.append(_PROPOSED, **asdict(proposed), code=code)


def close_proposal(history: History, statement: str, how: str) -> None:
    """A proposal is taken or dropped."""
    history.append(_CLOSED, statement=statement, how=how)


def open_proposals(history: History) -> tuple[ProposedCheck, ...]:
    """What is proposed and neither taken nor dropped, oldest first."""
    return tuple(map(ProposedCheck.from_dict, _open_records(history).values()))


def _open_records(history: History) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for record in history.of(_PROPOSED, _CLOSED):
        found.pop(record["statement"], None)
        if record["type"] == _PROPOSED:
            found[record["statement"]] = record
    return found


def take_proposals(root: Path, history: History, proposals: Iterable[ProposedCheck]) -> None:
    """Write the scripts and bind the statements to them, as they were shown.

    Raises UsageError if the history holds another script, or orchestrate.toml cannot be edited.
    """
    records = _open_records(history)
    for proposed in proposals:
        code = str(records.get(proposed.statement, {}).get("code", "")).encode()
        if proposed.path and atomic.sha256_bytes(code) != proposed.script_sha256:
            raise UsageError(f"the script for “{proposed.statement}” is not the one that was shown")
        take_check(root, proposed, code)
        close_proposal(history, proposed.statement, "taken")


def take_check(root: Path, proposed: ProposedCheck, code: bytes) -> None:
    """Write one script, and the line of orchestrate.toml by which it counts."""
    from orchestrator.commands.allowed import take
    from orchestrator.commands.definitions import define

    if proposed.path:
        place = atomic.inside(root, proposed.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic.replace(place, code)

    def read(path: str) -> bytes | None:
        place = atomic.inside(root, path)
        return place.read_bytes() if place.is_file() else None

    definition = define(proposed.command, read)
    if definition.digest != proposed.sha256:
        raise UsageError(f"what `{proposed.command}` runs has changed since it was proposed")
    file = atomic.inside(root, FILE)
    before = file.read_bytes() if file.exists() else b""
    after = take(before.decode("utf-8"), proposed.statement, definition).encode("utf-8")
    atomic.replace(file, after, before if file.exists() else None)
