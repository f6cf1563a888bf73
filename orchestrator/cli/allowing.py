"""`checks allow` and `checks revoke`: USER's leave for commands to prove statements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.text import callable_commands, clean, counted, one_line, say, say_json
from orchestrator.cli.workspace import AsJson, Workspace, workspace
from orchestrator.errors import OrchestrateError, UsageError

_MARKS = {"allowed": "✓", "changed": "!", "word for word": "✓", "no": "·"}
Commands = Annotated[
    list[str] | None, typer.Argument(metavar="[COMMAND]…", help="A command, quoted as one word.")
]


def allow(
    context: typer.Context,
    commands: Commands = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Allow every command that is listed and not changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let statements be proven by commands. Without arguments: list those that could.

    They come from the repository itself (package.json, Makefile, pyproject.toml, CI …) and from the
    tickets' criteria. Leave is bound to what a command runs: if its script or target changes, it
    lapses, and is given again by the same command. It is kept in `orchestrate.toml`.
    """
    here = workspace(context)
    wanted = list(commands or ())
    if all_:
        wanted += [e["command"] for e in _list(here) if e["allowed"] == "no" and e["sources"]]
    if wanted:
        _change(here.root, _allow, list(dict.fromkeys(wanted)))
        here = Workspace(here.root)
    found = _list(here)
    shown = [e for e in found if e["command"] in wanted] if wanted else found
    if as_json:
        say_json(shown)
        return
    for each in shown:
        _say(each)
    if wanted:
        said = f"{counted(len(shown), 'command')} allowed"
        say(callable_commands(f"{said}; take it back with: orchestrate checks revoke"))
    elif not found:
        say("nothing here says how this repository is checked; allow a command by its words")
    else:
        say(
            callable_commands('\nallow one: orchestrate checks allow "COMMAND"; all of them: --all')
        )


def revoke(
    context: typer.Context,
    commands: Annotated[
        list[str], typer.Argument(metavar="COMMAND…", help="A command, quoted as one word.")
    ],
    as_json: AsJson = False,
) -> None:
    """Take back the leave for commands to prove statements."""
    from orchestrator.commands.allowed import revoke as without

    here = workspace(context)
    _change(here.root, lambda _, text, command: without(text, command), commands)
    if as_json:
        say_json({"revoked": commands})
        return
    for command in commands:
        say(f"not allowed any more: {one_line(command)}")


def _say(each: dict[str, Any]) -> None:
    state = "" if each["allowed"] in ("no", "allowed") else f" ({each['allowed']})"
    say(f"{_MARKS[each['allowed']]} {one_line(each['command'])}{state}")
    details = [f"from {', '.join(each['sources'])}"] if each["sources"] else []
    details += [f"named by {', '.join(each['named_by'])}"] if each["named_by"] else []
    if each["allowed"] == "changed":
        details += [f"ran: {one_line(each['ran'])}"]
    details += [f"runs: {one_line(each['runs'])}"] if each["runs"] else []
    for line in details:
        say(f"    {clean(line)}")


def _list(here: Workspace) -> list[dict[str, Any]]:
    """The commands that could prove statements, and those that are allowed."""
    from orchestrator.commands.definitions import define, reader
    from orchestrator.commands.proposals import propose_commands

    settings, read = here.settings.checks, reader(here.root)
    sources = {p.command: list(p.sources) for p in propose_commands(here.root)}
    named = _named(here)
    found = []
    for command in dict.fromkeys([*sources, *named, *settings.allowed, *settings.commands]):
        definition, pinned = define(command, read), settings.allowed.get(command)
        state = "word for word" if command in settings.commands else "no"
        if pinned is not None:
            state = "allowed" if pinned.sha256 == definition.digest else "changed"
        found.append(
            {
                "command": command,
                "allowed": state,
                "sources": sources.get(command, []),
                "named_by": named.get(command, []),
                "runs": definition.shown,
                "ran": pinned.runs if pinned is not None else "",
            }
        )
    return found


def _named(here: Workspace) -> dict[str, list[str]]:
    """Command → the tickets whose criteria name it."""
    from orchestrator.gates.loading import load_binder

    if not (here.root / here.settings.board.folder).is_dir():
        return {}
    binder, found = load_binder(here.root), dict[str, list[str]]()
    for ticket in here.board.tickets():
        try:
            statements = ticket.criteria(here.settings.board.criteria_headings).statements
        except (OSError, OrchestrateError):
            continue
        for statement in statements if "`" in ticket.body else ():
            for bound in binder.bind(statement.text) if "`" in statement.text else ():
                if bound.check is not None and bound.check.evidence:
                    said = bound.arguments.get("commands") or [bound.arguments.get("command")]
                    for command in filter(None, said):
                        found.setdefault(command, []).append(ticket.id)
    return {command: list(dict.fromkeys(ids)) for command, ids in found.items()}


def _allow(root: Path, text: str, command: str) -> str:
    from orchestrator.commands.allowed import allow as with_leave
    from orchestrator.commands.definitions import define, reader, simple_commands

    try:
        simple_commands(command)
    except ValueError as exc:
        raise UsageError(f"`{one_line(command)}` cannot be allowed: {exc}") from exc
    return with_leave(text, define(command, reader(root)))


def _change(root: Path, edit: Any, commands: list[str]) -> None:
    """Edit orchestrate.toml for each command: all of them or none."""
    from orchestrator.settings.board import FILE
    from orchestrator.storage import atomic

    file = atomic.inside(root, FILE)
    before = file.read_bytes() if file.exists() else None
    text = (before or b"").decode("utf-8")
    for command in commands:
        text = edit(root, text, command)
    if before is None:
        atomic.create(file, text.encode("utf-8"))
    elif text.encode("utf-8") != before:
        atomic.replace(file, text.encode("utf-8"), before)
