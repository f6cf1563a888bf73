"""How a command fails: one line with a code, the place and what to do next; never a traceback."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

import typer

from orchestrator.cli.elapsed import stop_line
from orchestrator.cli.later import LaterGroup
from orchestrator.cli.text import callable_commands, clean, say_json
from orchestrator.errors import OrchestrateError, UsageError

BROKEN_PIPE = 141
DEBUG = "ORCHESTRATE_DEBUG"


class Terminated(KeyboardInterrupt):
    """A signal ends the command; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def on_termination(act: Callable[[int], None]) -> None:
    """Call `act` with the number of a signal that a service manager or a closed terminal sends.

    One that is ignored from the start (`nohup`) stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda got, _: act(got))


def terminate(number: int) -> None:
    """End the command as Ctrl-C does: its agents end with it. Raises Terminated."""
    raise Terminated(number)


class Group(LaterGroup):
    """The top of the command line: `-C DIR` anywhere, and every failure in one form."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta["as_json"] = "--json" in args
        # `orchestrate list -C DIR` means `orchestrate -C DIR list`
        options = args[: args.index("--")] if "--" in args else args
        at = options.index("-C") if "-C" in options else len(args)
        return list(super().parse_args(ctx, [*args[at : at + 2], *args[:at], *args[at + 2 :]]))

    def invoke(self, ctx: Any) -> Any:
        """Run a command; whatever it raises becomes a message and an exit code."""
        as_json = ctx.meta["as_json"]
        try:
            try:
                return super().invoke(ctx)
            finally:
                stop_line()
        except (typer.Exit, typer.Abort):
            raise
        except OrchestrateError as exc:
            report_error(exc, as_json=as_json)
            raise typer.Exit(exc.exit_code) from exc
        except KeyboardInterrupt as exc:
            print("stopped; `run` continues from here", file=sys.stderr)
            raise typer.Exit(128 + getattr(exc, "number", signal.SIGINT)) from exc
        except BrokenPipeError as exc:
            discard_stdout()
            if ctx.invoked_subcommand in ("run", "approve"):
                print(
                    "stopped: nobody reads the output any more; `run` continues from here",
                    file=sys.stderr,
                )
            raise typer.Exit(BROKEN_PIPE) from exc
        except Exception as exc:
            # a wrong command line, as typer reports it; its class has moved between versions
            usage = getattr(exc, "exit_code", None) == 2 and hasattr(exc, "format_message")
            if usage and not as_json:
                raise
            error = UsageError(exc.format_message()) if usage else _wrap_unexpected(exc)  # type: ignore[attr-defined]
            report_error(error, as_json=as_json)
            raise typer.Exit(error.exit_code) from exc


class ShowGroup(LaterGroup):
    """A group whose command `show` need not be named."""

    default = "show"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and (args[0] in self.commands or args[0] in ("-h", "--help"))
        return list(super().parse_args(ctx, args if named else [self.default, *args]))


def _wrap_unexpected(exc: Exception) -> OrchestrateError:
    if os.environ.get(DEBUG):
        traceback.print_exception(exc)
    if isinstance(exc, OSError):
        return OrchestrateError(exc.strerror or str(exc), path=exc.filename, code="system")
    return OrchestrateError(
        f"unexpected {type(exc).__name__}: {exc}",
        code="unexpected",
        hint=f"set {DEBUG}=1 to see where; please report it",
    )


def report_error(error: OrchestrateError, *, as_json: bool) -> None:
    """`error[code]: file:line: message` and a hint on stderr, or the same as JSON on stdout."""
    if as_json:
        say_json({"error": error_to_dict(error)}, indent=None)
        return
    place = f"{error.where}: " if error.where else ""
    print(clean(f"error[{error.code}]: {place}{error.message}"), file=sys.stderr)
    if error.hint:
        print(clean(f"  hint: {callable_commands(error.hint)}"), file=sys.stderr)


def error_to_dict(error: OrchestrateError) -> dict[str, str | int | None]:
    """The error for scripts."""
    return {
        "code": error.code,
        "message": error.message,
        "path": error.path,
        "line": error.line,
        "hint": error.hint,
    }


def discard_stdout() -> None:
    """Nobody reads any more: keep Python from flushing into the closed pipe when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
