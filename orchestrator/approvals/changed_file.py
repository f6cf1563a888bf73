"""A changed file as a question keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ChangedFile:
    """A path that is not as it was when the family began."""

    #: as it is shown; one that cannot be printed is escaped
    path: str
    kind: str
    #: kind and sha256, before and now
    before: tuple[str, str]
    after: tuple[str, str]
    #: where a renamed file was
    source: str = ""
    #: whose work it is, in words
    by: str = ""
    #: what USER must not overlook
    warning: str = ""

    @property
    def state(self) -> list[Any]:
        """What the digest covers."""
        return [self.path, self.kind, list(self.before), list(self.after), self.source]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ChangedFile:
        fields = dict(data)
        return cls(**{**fields, "before": tuple(data["before"]), "after": tuple(data["after"])})
