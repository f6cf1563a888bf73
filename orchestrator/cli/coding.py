"""`orchestrate agents`: which agents there are, whether they are ready, and a trial of one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.text import mark, one_line, paint, say, say_json, say_wrapped
from orchestrator.cli.workspace import AsJson, workspace
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.cli.workspace import Workspace
    from orchestrator.domain.agent import AgentInfo

_TICKET = """---
id: WO-1
title: Say hello
status: 00_INBOX
owner: {agent}
pipeline_workflow: workflows/trial.md
---

# WO-1: Say hello

Write the file `hello.txt` with one line: hello

## Acceptance Criteria

- [ ] `hello.txt` contains `hello`
- [ ] `hello.txt` has 1 line
"""
_WORKFLOW = """# Trial

## STAGE 1: {agent} — Build

Do what WO-1 asks for.

## STAGE 2: USER CHECKPOINT #1 — Look
"""


def list_agents(context: typer.Context, as_json: AsJson = False) -> None:
    """List the agents: who does their work, and whether it is found.

    Also whether it is signed in, by the program's own files and variables (`agents try` shows
    whether that works), and what it has cost.
    """
    if context.invoked_subcommand is not None:
        return
    from orchestrator.agent_process.confinement import ability

    here = workspace(context)
    found = list(_describe_all(here))
    walls = ability().sentence
    if as_json:
        say_json({"agents": found, "confinement": walls})
        return
    for agent in found:
        say(f"{paint(agent['name'], 'bold')}  {agent['part']} · {agent['use']}{_said_of(agent)}")
        for line in agent["notes"]:
            say_wrapped(line, "    ", "    ")
    say_wrapped(f"On this machine, {walls}.")


def _said_of(agent: dict[str, Any]) -> str:
    words = [agent[key] for key in ("version", "model") if agent[key]]
    if agent["signed_in"] is not None:
        words.append("signed in" if agent["signed_in"] else paint("not signed in", "yellow"))
    if agent["turns"]:
        cost = "cost not known" if agent["unpriced"] else f"${agent['usd']:.2f}"
        words.append(f"{agent['turns']} turns, {cost}")
    return "".join(f" · {word}" for word in words)


def _describe_all(here: Workspace) -> Any:
    from orchestrator import plugins
    from orchestrator.family.spending import sum_of, turns_of_board
    from orchestrator.settings.config import registered_parts

    settings = here.settings
    turns = list(turns_of_board(here.board.path))
    for name in dict.fromkeys([*registered_parts(), *settings.agents]):
        agent = settings.agent(name)
        coding = plugins.named("coding", agent.adapter)
        info: AgentInfo | None = coding.load().about(agent, here.root) if coding else None
        spent = sum_of(t for t in turns if t.agent == name)
        builtin = "built in" if name in registered_parts() else "nobody"
        use = agent.adapter or (" ".join(agent.command) if agent.command else builtin)
        notes = list(info.notes) if info else []
        if not agent.adapter and use == "nobody":
            notes = [f"no module and no command of this name: [agents.{name}] use = …"]
        yield {
            "name": name,
            "part": agent.part.value,
            "use": use,
            "model": agent.model,
            "found": info.found if info else None,
            "version": info.version if info else "",
            "signed_in": info.signed_in if info else None,
            "notes": notes,
            "turns": spent.turns,
            "usd": round(spent.usd, 6),
            "unpriced": sorted(spent.unpriced),
        }


def try_agent(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="An agent, e.g. BUILDER.")],
    keep: Annotated[bool, typer.Option("--keep", help="Keep the repository of the trial.")] = False,
) -> None:
    """Let a coding agent do a harmless ticket, and say what came out.

    It works in a temporary repository. It costs what such a turn costs. Exit codes: 0
    everything was proven, 1 it was not.
    """
    import tempfile

    from orchestrator import Board, Conductor
    from orchestrator.family.spending import describe as describe_spent
    from orchestrator.family.spending import sum_of, turns_of_board
    from orchestrator.settings.config import Settings

    here = workspace(context)
    settings = here.settings.agent(name)
    if not settings.adapter:
        raise UsageError(
            f"{name} is not a coding agent", hint=f'[agents.{name}] use = "claude" makes it one'
        )
    root = Path(tempfile.mkdtemp(prefix="orchestrate-trial-"))
    try:
        _lay_out(root, name)
        # a program of the workspace is not in the repository of the trial
        own = [str(here.root / word) if "/" in word else word for word in settings.command[:1]]
        tried = settings.model_copy(update={"command": (*own, *settings.command[1:])})
        budget = here.settings.budget
        trial = Settings(agents={name: tried}, budget=budget, failure_limit=1)
        conductor = Conductor(Board(root), settings=trial, on_event=_tell)
        outcome = conductor.run("WO-1")
        status = conductor.status("WO-1")
        statements = status["question"]["proven"] if status["question"] else []
        say()
        for statement in statements:
            shown = one_line(f"{statement['text']} — {statement['detail']}")
            say(f"  {mark('proven')} {shown}")
        spent = sum_of(turns_of_board(root / "_WORK_ORDERS"))
        works = len(statements) == 2
        said = paint("it works", "green") if works else paint("it did not work", "red")
        say(f"\n{name} ({settings.adapter}): {said} · {describe_spent(spent)}")
        for reason in () if works else outcome.reasons:
            say_wrapped(reason, "  ", "  ")
        if keep:
            say(f"  kept: {root}")
        raise typer.Exit(0 if works else 1)
    finally:
        if not keep:
            shutil.rmtree(root, ignore_errors=True)


def _lay_out(root: Path, name: str) -> None:
    """A repository with one ticket."""
    from orchestrator.git.command import run_git

    for path, text in (
        ("_WORK_ORDERS/00_INBOX/WO-1_Say_hello.md", _TICKET),
        ("workflows/trial.md", _WORKFLOW),
        (".gitignore", ".orchestrate/\n"),
    ):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("{agent}", name), encoding="utf-8")
    who = ("-c", "user.name=Orchestrate", "-c", "user.email=orchestrate@localhost")
    for words in (
        ("init", "-q", "-b", "main"),
        ("add", "-A"),
        (*who, "commit", "-q", "--no-verify", "--no-gpg-sign", "-m", "Begin"),
    ):
        run_git(root, *words)


def _tell(event: Any) -> None:
    if event.kind in ("agent", "report", "notice"):
        say_wrapped(one_line(event.text), "  ", "    ")


def require_adapter(root: Path, agent: str, is_new: bool) -> None:
    """Raise UsageError for a coding agent that nobody knows, or settings that name another."""
    from orchestrator import plugins

    known = sorted(entry.name for entry in plugins.registered("coding"))
    if agent not in known or agent == "acp":
        named = ", ".join(name for name in known if name != "acp")
        raise UsageError(f"{agent!r} is not a coding agent", hint=f"known: {named}")
    if not is_new:
        raise UsageError(
            "there are settings already, and --agents does not change them",
            path=root / "orchestrate.toml",
            hint=f'add `[agents.BUILDER]` with `use = "{agent}"` to them',
        )
