"""What a coding agent's last message says: that it is done, a question, or new tickets."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrate_agents.coding.events import Log, plain
from orchestrate_agents.coding.protocol import Task
from orchestrate_agents.coding.watching import Taken
from orchestrate_agents.render import render_markdown
from orchestrator.domain.agent import Job, NewTicket, Outcome, Report
from orchestrator.domain.machine import initial_role
from orchestrator.domain.states import Part
from orchestrator.templating import escape_headings, one_line
from orchestrator.tickets.board import Board
from orchestrator.workflow_reader.parser import read_workflow_text

#: characters of the last message that the ticket gets, and of a question
_SECTION, _QUESTION = 1_500, 2_000
_MOST_TICKETS = 30
_ASKS = re.compile(r"^[ \t>*_`]*QUESTION:[ \t]*(?P<text>\S.*)", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```(?:json)?[ \t]*\n(?P<json>.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)


class AskedTicket(BaseModel):
    """A ticket as a triager asks for it."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9.-]{0,40}$")
    agent: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,40}$")
    title: str = Field(min_length=1, max_length=200)
    instructions: str = Field(default="", max_length=20_000)
    criteria: tuple[str, ...] = Field(default=(), max_length=100)


def make_report(task: Task, taken: Taken, log: Log) -> Report:
    """The report of a turn that the agent ended itself."""
    text = log.masked(plain(taken.text)).strip()
    asked = _ASKS.search(text)
    if asked is not None:
        question = _cut(asked["text"].strip(), _QUESTION)
        return Report(
            outcome=Outcome.CANNOT,
            reason=f"{task.job.agent} asks: {question}",
            section=_section(task, taken, text),
            ended="question",
        )
    tickets: tuple[NewTicket, ...] = ()
    if task.settings.part is Part.TRIAGER:
        try:
            tickets = tuple(_tickets(task, text))
        except ValueError as exc:
            return Report(outcome=Outcome.FAILED, reason=f"its tickets cannot be taken: {exc}")
    calls = ", ".join(f"{name} × {count}" for name, count in sorted(taken.tools.items()))
    return Report(
        outcome=Outcome.DONE,
        section=_section(task, taken, text),
        tickets=tickets,
        log=(f"{task.settings.use}: {calls or 'no tool was used'}",),
    )


def _section(task: Task, taken: Taken, text: str) -> str:
    # the tickets themselves say it
    said = _BLOCK.sub("", text) if task.settings.part is Part.TRIAGER else text
    return render_markdown(
        "prompts/section.md.j2",
        agent=task.job.agent,
        turn=task.job.turn,
        lines=_cut(said.strip(), _SECTION).splitlines(),
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rstrip()} …"


def _tickets(task: Task, text: str) -> list[NewTicket]:
    """The tickets of the last block of JSON; none if there is none. Raises ValueError."""
    blocks = _BLOCK.findall(text)
    if not blocks:
        return []
    try:
        said: Any = json.loads(blocks[-1])
        listed = said.get("tickets") if isinstance(said, dict) else said
        if not isinstance(listed, list) or len(listed) > _MOST_TICKETS:
            raise ValueError(f"a list of at most {_MOST_TICKETS} `tickets` is needed")
        asked = [AskedTicket.model_validate(each) for each in listed]
    except ValidationError as exc:
        first = exc.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from exc
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc
    ids = [each.id for each in asked]
    if len(set(ids)) != len(ids):
        raise ValueError("two of them have the same id")
    return [new_ticket(task.job, each) for each in asked]


def new_ticket(job: Job, asked: AskedTicket) -> NewTicket:
    """The whole file of a ticket that a triager asks for."""
    text = render_markdown(
        "prompts/child.md.j2",
        id=asked.id,
        title=json.dumps(asked.title, ensure_ascii=False),
        headline=one_line(asked.title),
        status=_status(job, asked.id),
        agent=asked.agent,
        parent=job.parent,
        created=date.today().isoformat(),
        lead=job.agent,
        workflow=job.workflow,
        instructions=escape_headings(plain(asked.instructions)).strip(),
        criteria=[one_line(plain(each)) for each in asked.criteria],
    )
    slug = re.sub(r"[^A-Za-z0-9]+", "_", asked.title).strip("_")[:60].strip("_")
    name = f"{asked.id}_{slug or 'ticket'}.md"
    return NewTicket(id=asked.id, agent=asked.agent, filename=name, text=text)


def _status(job: Job, id: str) -> str:
    """The status that the stage gives a new ticket."""
    stage = read_workflow_text(job.workflow_text, Path(job.workflow)).stage(job.stage)
    folders = Board(job.board_root, str(job.settings["board"])).folders
    return folders.status_for(initial_role(stage, id))
