"""Errors of the database and data scripts: what happened, where, what to do, and a stable code."""

from __future__ import annotations

from pathlib import Path


class BackendError(Exception):
    """Something that the person who runs a script can act on. Never holds a key or a password."""

    code = "backend"

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        hint: str = "",
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = str(path) if path is not None else None
        self.line = line
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.path, self.line) if part is not None)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


class TargetError(BackendError):
    """A database cannot be reached, or refuses what is asked of it."""

    code = "target"
