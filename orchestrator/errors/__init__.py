"""Errors for people: what happened, where, what to do next, and a stable code."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors.masking import mask


class OrchestrateError(Exception):
    """Something the user can act on.

    `code` is stable, kebab-case and short; `where` is `file` or `file:line`; `hint` says what next.
    """

    code = "error"
    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        hint: str = "",
        code: str | None = None,
    ) -> None:
        # what others said is in it, and they say what they were given
        self.message = message = mask(message)
        self.path = str(path) if path is not None else None
        self.line = line
        super().__init__(message)
        self.hint = mask(hint)
        if code is not None:
            self.code = code

    @property
    def where(self) -> str:
        """`file:line`, `file`, or an empty string."""
        if self.path is None:
            return ""
        return f"{self.path}:{self.line}" if self.line is not None else self.path

    @property
    def in_a_line(self) -> str:
        """Place, message and hint on one line, for a log."""
        place = f"{self.where}: " if self.where else ""
        return "; ".join(filter(None, (f"{place}{self.message}", self.hint)))

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


class UsageError(OrchestrateError):
    """The command line or the configuration asks for something that does not exist."""

    code = "usage"
    exit_code = 2


class TicketError(OrchestrateError):
    """A ticket cannot be read, found or distinguished from another one."""

    code = "ticket"


class WorkflowError(OrchestrateError):
    """A workflow cannot be read, or cannot be followed as it is."""

    code = "workflow"


class IllegalMoveError(OrchestrateError):
    """A transition that is not in the table of states (DESIGN 3.2)."""

    code = "illegal-move"


class BusyError(OrchestrateError):
    """Another process holds a resource (a family's lock, the database folder)."""

    code = "busy"


class GitAtWorkError(BusyError):
    """Git is about to change the board's files, or has put others in their place.

    It ends by itself: once a person has finished the merge, or checked the branch out again.
    """


class HookError(OrchestrateError):
    """A hook of the repository refused a commit; the tickets have moved all the same."""

    code = "hook"


class StoppedError(OrchestrateError):
    """The conductor was stopped while an agent was working, or about to start."""

    code = "stopped"


class ElsewhereError(StoppedError):
    """The work goes on at workers: the family goes on when there is something to take."""

    code = "elsewhere"


class UnsafePathError(OrchestrateError):
    """A path from a ticket, a workflow or an agent leaves the workspace (DESIGN 8.4)."""

    code = "unsafe-path"


class MissingExtraError(OrchestrateError):
    """An optional library is not installed; the hint has the command that installs it."""

    code = "missing-extra"

    def __init__(self, purpose: str, module: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs {module}, which is not installed",
            hint=f"pip install 'orchestrate-tickets[{extra}]'",
        )
        self.extra = extra


class MissingToolError(OrchestrateError):
    """A tool or package of the workspace is not installed, does not start, or had to be stopped.

    A check that raises it leaves its claim unproven. `command` is what fixes it, `what` the rest.
    """

    code = "missing-tool"

    def __init__(self, what: str, command: str = "", remedy: str = "install it with") -> None:
        super().__init__(f"{what}; {remedy} `{command}`" if command else what)
        self.command = command
