"""USER's answer to an approval request, whichever door it came through (DESIGN 7.2, 13.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

#: the `via` of an answer that was written into the ticket's file
VIA_FILE = "file"


@dataclass(frozen=True)
class Door:
    """Through which door somebody acted, and who that was."""

    via: str
    by: str = "USER"


class AnswerVerb(StrEnum):
    """What an answer asks for."""

    APPROVED = "approved"
    CHANGES_REQUESTED = "changes_requested"
    HOLD = "hold"


@dataclass(frozen=True)
class Answer:
    """What was answered, by whom, and through which door."""

    verb: AnswerVerb
    words: str = ""
    #: failed statements that are accepted, by text or receipt id
    accept: tuple[str, ...] = ()
    accept_unproven: bool = False
    #: the database that the effects may write to
    target: str = ""
    #: members that are sent back
    members: tuple[str, ...] = ()
    via: str = VIA_FILE
    by: str = "USER"
    #: the digest of the question that was shown, "" for the open one
    digest: str = ""
    #: an SSH signature of it and of the question, where approvals have to be signed
    signature: str = ""


def verb_of(status: str) -> AnswerVerb | None:
    """The verb that a status stands for ("Changes requested", "98_HOLD"), else None."""
    word = re.sub(r"^\d+(\.\d+)?_", "", status.strip().upper())
    word = re.sub(r"[\s_-]+", "_", word)
    return AnswerVerb.__members__.get(word)
