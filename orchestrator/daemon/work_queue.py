"""The families that are due, and in whose hands they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class WorkQueue:
    """Families to advance, by when; each is in one worker's hands at a time."""

    due: dict[str, float] = field(default_factory=dict)
    #: the saves for which a family is due; empty if there is another reason
    saves: dict[str, set[Path]] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)

    def add(self, family: str, at: float, save: Path | None) -> None:
        """Make a family due, for a save or for another reason."""
        known = self.due.get(family)
        self.due[family] = at if known is None else min(at, known)
        if save is None:
            self.saves[family] = set()
        elif known is None:
            self.saves[family] = {save}
        elif self.saves[family]:
            self.saves[family].add(save)

    def take(self, now: float) -> tuple[str, set[Path]] | None:
        """The free family that has been due the longest, and its saves."""
        ready = [(at, f) for f, at in self.due.items() if at <= now and f not in self.busy]
        if not ready:
            return None
        _, family = min(ready)
        del self.due[family]
        self.busy.add(family)
        return family, self.saves.pop(family)

    def next_at(self) -> float:
        """When the next family is due; infinity if none is."""
        return min((at for f, at in self.due.items() if f not in self.busy), default=float("inf"))
