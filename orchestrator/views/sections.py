"""What the families of a board are about, in words."""

from __future__ import annotations

from enum import StrEnum


class Section(StrEnum):
    """What a family is about, in the order in which people want to know."""

    BROKEN = "Cannot be read"
    ASKS = "Waits for USER"
    NEEDS = "Needs a person"
    STOPPED = "Stopped"
    WORKS = "At work"
    WAITS = "Waits"
    HELD = "On hold"
    FAILED = "Has failed"
