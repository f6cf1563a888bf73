"""The workspace as it was when the work began, and what has changed in it since."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.gates.checks import Context
from orchestrator.git.repository import TrackedFolder


@dataclass(frozen=True)
class Start:
    """Where the family began; where nobody looked at it, the last commit."""

    #: "when the work began", for messages
    moment: str
    #: paths that are not as they were
    changed: frozenset[str]
    #: whether it is known of a family
    of_family: bool
    read: Callable[[str], bytes | None]

    def text(self, path: str) -> str | None:
        """A file as it was, None if it was not there."""
        data = self.read(path)
        return None if data is None else data.decode("utf-8", "replace")

    @property
    def lacks(self) -> str:
        """Why nothing can be said of a change, "" if something can."""
        if self.of_family or self.changed:
            return ""
        return "nothing differs from the last commit, and no family says when the work began"


def find_start(ctx: Context) -> Start | None:
    """None where neither a family's start nor a commit is known."""
    known = ctx.changed() if ctx.changed is not None else None
    if known is not None and ctx.at_start is not None:
        return Start("when the work began", known, True, ctx.at_start)
    folder = TrackedFolder(ctx.root, ".")
    changed = folder.changed()
    if changed is None:
        return None

    def read(path: str) -> bytes | None:
        if path in changed:
            return folder.committed_texts([path]).get(path) or None
        file = ctx.root / path
        return file.read_bytes() if file.is_file() else None

    return Start("at the last commit", frozenset(changed), False, read)


def text_now(root: Path, path: str) -> str | None:
    """A file as it is, None if it is not there."""
    file = root / path
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None
