"""`orchestrate serve` and `board`, the board in browser and terminal; `mcp`, tools for models."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.elapsed import going_on, stop_line
from orchestrator.cli.failures import on_termination
from orchestrator.cli.text import is_terminal, paint, say
from orchestrator.cli.workspace import Workspace, workspace
from orchestrator.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from orchestrator.daemon.daemon import Daemon


def mcp(context: typer.Context) -> None:
    """Serve tools over the Model Context Protocol.

    It speaks on standard input and output. The tools read the board, its receipts and states, and
    prove statements. None approves, moves, holds or edits anything. An agent at work asks and
    proposes with them too. For a client: `claude mcp add orchestrate -- orchestrate mcp`.
    """
    from orchestrator.mcp.server import serve

    serve(lambda: workspace(context).root)


def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option("--host", metavar="NAME", help="Where to listen.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=0, max=65535, help="The port; 0: any free one."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Advance families too, as `orchestrate watch` does.")
    ] = False,
    add_user: Annotated[
        str,
        typer.Option(
            "--add-user", metavar="NAME", help="Ask for a password; print the lines to configure."
        ),
    ] = "",
) -> None:
    """Show the board in the browser: decide, follow work, search.

    It listens on this machine only, and the printed address opens it for whoever has that. What is
    approved there goes on by itself. Ctrl-C ends it.
    """
    try:
        from orchestrator.web.app import LOOPBACK, prepare
    except ModuleNotFoundError as exc:
        raise MissingExtraError("the web board", exc.name or "starlette", "web") from exc
    if add_user:
        stop_line()
        _print_user(add_user)
        return
    here = workspace(context)
    with _told_while("reading the board"):
        served = prepare(here.board, here.settings, host=host, port=port, watching=watch)
    daemon = _start_daemon(here) if watch else None
    say(f"the board is at {paint(served.address, 'bold')}")
    say(
        "only who has this address can open it; Ctrl-C ends it" if "token" in served.address else ""
    )
    if host not in LOOPBACK and not here.settings.web.url.startswith("https:"):
        say("whoever is on the way can read along: put a proxy with TLS before it ([web] url)")
    sys.stdout.flush()
    # the server ends in good order at a signal, and raises it once more then
    on_termination(lambda _: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        served.run()
    finally:
        if daemon is not None:
            daemon.stop()
    sys.stdout.flush()
    # a thread that is still proving something must not keep the process: it is safe to kill
    os._exit(0)


@contextmanager
def _told_while(what: str) -> Iterator[None]:
    """Say what is going on, if it takes longer than a second; in a log that is one line."""
    going_on(what)
    timer = threading.Timer(1.0, lambda: print(f"{what} …", file=sys.stderr, flush=True))
    if not (is_terminal() and sys.stderr.isatty()):
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        stop_line()


def board(context: typer.Context) -> None:
    """Show the board at this terminal: decide, follow work, search.

    With the keyboard alone, over ssh too; `?` names the keys. An answer covers what was shown.
    """
    # the board is looked for before the library, as it takes longer to load
    here = workspace(context)
    here.conductor()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the board needs a terminal", hint="orchestrate status, or inbox")
    from orchestrator.plugins import require_extra

    require_extra("textual", "board", "`orchestrate board`")
    from orchestrator.tui.board import BoardApp

    BoardApp(here.conductor).run()


def _start_daemon(here: Workspace) -> Daemon:
    from orchestrator.cli.watching import log_line
    from orchestrator.daemon.daemon import Daemon, LogLine
    from orchestrator.daemon.notifications import Notifier

    notifier = Notifier(here.settings, lambda text: log_line(LogLine("", "error", text)))
    daemon = Daemon(here.board, settings=here.settings, log=log_line, notifier=notifier)
    threading.Thread(target=daemon.run, name="watch", daemon=True).start()
    return daemon


def _print_user(name: str) -> None:
    """The lines of orchestrate.toml for a user whose password is asked for."""
    import json

    from argon2 import PasswordHasher

    if not name.isprintable() or not name.strip():
        raise UsageError("a user needs a name")
    password = typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True)
    say(f"[web.users.{json.dumps(name, ensure_ascii=False)}]")
    say(f'password = "{PasswordHasher().hash(password)}"')
    say('role = "approver"  # or "reader"')
