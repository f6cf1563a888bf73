"""How a command fails: one line with a code, the place and what to do next; never a traceback."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from orchestrator.cli.text import clean, say_json
from orchestrator.errors import OrchestrateError, UsageError

BROKEN_PIPE = 141
DEBUG = "ORCHESTRATE_DEBUG"
#: what a service manager and a closed terminal send
ENDING = (signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """A signal ends the command; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def on_termination(act: Callable[[int], None]) -> None:
    """Call `act` with the number of a signal that ends the command.

    One that is ignored from the start (`nohup`) stays so.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda got, _: act(got))


def end(number: int) -> None:
    """End the command as Ctrl-C does: its agents end with it. Raises Ended."""
    raise Ended(number)


class Group(TyperGroup):
    """The top of the command line: `-C DIR` anywhere, and every failure told in one form."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta["as_json"] = "--json" in args
        return list(super().parse_args(ctx, _directory_first(args)))

    def invoke(self, ctx: Any) -> Any:
        return guarded(lambda: super(Group, self).invoke(ctx), as_json=ctx.meta["as_json"])


def _directory_first(args: Sequence[str]) -> list[str]:
    """`orchestrate list -C DIR` means `orchestrate -C DIR list`."""
    options = args[: args.index("--")] if "--" in args else args
    at = options.index("-C") if "-C" in options else len(args)
    return [*args[at : at + 2], *args[:at], *args[at + 2 :]]


def guarded(command: Callable[[], Any], *, as_json: bool) -> Any:
    """Run a command; whatever it raises becomes a message and an exit code."""
    try:
        return command()
    except (typer.Exit, typer.Abort):
        raise
    except OrchestrateError as exc:
        tell(exc, as_json=as_json)
        raise typer.Exit(exc.exit_code) from exc
    except KeyboardInterrupt as exc:
        print("stopped; `run` goes on from here", file=sys.stderr)
        raise typer.Exit(128 + getattr(exc, "number", signal.SIGINT)) from exc
    except BrokenPipeError as exc:
        forget_stdout()
        raise typer.Exit(BROKEN_PIPE) from exc
    except Exception as exc:
        if as_json and _is_usage(exc):
            tell(UsageError(exc.format_message()), as_json=True)  # type: ignore[attr-defined]
            raise typer.Exit(2) from exc
        if _is_usage(exc):
            raise
        tell(_unexpected(exc), as_json=as_json)
        raise typer.Exit(1) from exc


def _is_usage(exc: Exception) -> bool:
    """A wrong command line, as typer reports it (its class has moved between versions)."""
    return getattr(exc, "exit_code", None) == 2 and hasattr(exc, "format_message")


def _unexpected(exc: Exception) -> OrchestrateError:
    if os.environ.get(DEBUG):
        traceback.print_exception(exc)
    if isinstance(exc, OSError):
        return OrchestrateError(exc.strerror or str(exc), path=exc.filename, code="system")
    return OrchestrateError(
        f"unexpected {type(exc).__name__}: {exc}",
        code="unexpected",
        hint=f"set {DEBUG}=1 to see where; please report it",
    )


def tell(error: OrchestrateError, *, as_json: bool) -> None:
    """`error[code]: file:line: message` and a hint on stderr, or the same as JSON on stdout."""
    if as_json:
        say_json({"error": as_dict(error)}, indent=None)
        return
    place = f"{error.where}: " if error.where else ""
    print(clean(f"error[{error.code}]: {place}{error.message}"), file=sys.stderr)
    if error.hint:
        print(clean(f"  hint: {error.hint}"), file=sys.stderr)


def as_dict(error: OrchestrateError) -> dict[str, str | int | None]:
    """The error for scripts."""
    return {
        "code": error.code,
        "message": error.message,
        "path": error.path,
        "line": error.line,
        "hint": error.hint,
    }


def forget_stdout() -> None:
    """Nobody reads any more: keep Python from flushing into the closed pipe at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
