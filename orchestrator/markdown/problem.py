"""What is wrong with a ticket."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """One problem of a ticket. `line` is 1-based, 0 if no line is meant."""

    code: str
    message: str
    line: int = 0
    #: what would fix it, "" if only a person can tell
    hint: str = ""
    #: the file, relative to the workspace, if the diagnosis is one of a whole board
    path: str = ""
