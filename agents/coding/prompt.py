"""The prompt of a turn, from templates that a workspace may replace.

Whatever others wrote (ticket, workflow, receipts, USER's words) stands between fences whose marks
are drawn for each prompt: nothing inside can close them, and nothing else may be taken for
the conductor's words.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from orchestrate_agents.coding.events import plain
from orchestrate_agents.preparing import read_workflow
from orchestrate_agents.render import TEMPLATES, load_template, render_from
from orchestrator.domain.agent import Demand, Finding, Job
from orchestrator.domain.states import Part
from orchestrator.errors import UsageError
from orchestrator.settings.agents import AgentSettings
from orchestrator.workflow_reader.parser import read_workflow_text

#: folder of a workspace's own templates
FOLDER = "templates/prompts"
_NAMES = {Part.TRIAGER: "triager", Part.INSPECTOR: "inspector"}
#: characters of one framed text, of all demands or receipts, and of one line among them
_FRAMED, _LISTED, _LINE = 40_000, 36_000, 4_000
_MOST_TICKETS = 20


def render_prompt(job: Job, settings: AgentSettings, ask_tool: str = "") -> str:
    """What the agent is told in this turn.

    Raises UsageError for a template of the workspace that cannot be rendered.
    """
    name = f"{_NAMES.get(settings.part, 'maker')}.md.j2"
    home = Path(job.home or job.workspace)
    values = _values(job, home, ask_tool)
    try:
        text = render_from(home / FOLDER, name, TEMPLATES / "prompts", **values)
    except TemplateError as exc:
        raise UsageError(
            f"{FOLDER}/{name}: {exc.message or type(exc).__name__}",
            code="bad-template",
            hint="correct it, or remove it: the built-in one then counts again",
        ) from exc
    return text.strip() + "\n"


def load_templates() -> None:
    """Load what renders prompts: templates, and the patterns by which workflows are read."""
    for name in ("maker", *_NAMES.values()):
        load_template(f"{name}.md.j2", TEMPLATES / "prompts")
    read_workflow()


def _values(job: Job, home: Path, ask_tool: str) -> dict[str, Any]:
    mark = secrets.token_hex(8)
    stage = read_workflow_text(job.workflow_text, Path(job.workflow)).stage(job.stage)
    members = [m for m in job.family if m.id == job.ticket]
    others = [m for m in job.family if m.id != job.ticket]
    return {
        "mark": mark,
        "frame": _framer(mark),
        "ticket": one(job.ticket),
        "parent": one(job.parent),
        "agent": one(job.agent),
        "stage": job.stage,
        "attempt": job.attempt,
        "turn": job.turn,
        "goes_on": bool(job.session) and job.turn > 1,
        "ticket_text": "\n\n".join(_read(home, m.path) for m in members),
        "family": [f"{m.id} ({m.status}, {m.owner})" for m in others[:_MOST_TICKETS]],
        "stage_text": _stage_text(job.workflow_text, stage.line),
        "demands": _listed(map(_demand, job.demands)),
        "findings": _listed(map(_finding, job.findings)),
        "words": job.words,
        "files": "\n".join(job.files),
        "frozen": "\n".join(job.frozen),
        "has_tools": bool(ask_tool),
        "ask_tool": ask_tool,
        "children": [{"id": c.id, "agent": c.agent, "title": c.title} for c in stage.children],
    }


def one(text: str) -> str:
    """A name, in one line and short."""
    return " ".join(plain(text).split())[:200]


def _framer(mark: str) -> Callable[[str, str], str]:
    def frame(name: str, text: str) -> str:
        """A text of others, between marks that it cannot contain."""
        inside = plain(text).replace(mark, "")
        if len(inside) > _FRAMED:
            left = len(inside) - _FRAMED
            inside = f"{inside[:_FRAMED]}\n[… {left} more characters are left out here]"
        return f"<<<{mark} {name}\n{inside.rstrip()}\n{mark}>>>"

    return frame


def _stage_text(workflow: str, line: int) -> str:
    """The stage's own text: from its heading to the next one of its level or above."""
    lines = workflow.splitlines()
    start = max(line - 1, 0)
    level = len(lines[start]) - len(lines[start].lstrip("#")) if start < len(lines) else 0
    in_code = False
    for at in range(start + 1, len(lines)):
        text = lines[at].lstrip()
        if text.startswith(("```", "~~~")):
            in_code = not in_code
        depth = len(text) - len(text.lstrip("#"))
        if level and not in_code and 0 < depth <= level and text[depth : depth + 1] == " ":
            return "\n".join(lines[start:at])
    return "\n".join(lines[start:])


def _read(home: Path, path: str) -> str:
    try:
        return (home / path).read_text(encoding="utf-8-sig", errors="replace")
    except OSError as exc:
        return f"({path} cannot be read: {exc.strerror})"


def _demand(demand: Demand) -> Mapping[str, Any]:
    checks = ", ".join(demand.checks) or "none: a person looks at it"
    return {"statement": demand.text, "proven by": checks, "from": demand.source}


def _finding(finding: Finding) -> Mapping[str, Any]:
    found = {"statement": finding.statement, "verdict": finding.verdict, "found": finding.detail}
    return {**found, "from": finding.source}


def _listed(items: Iterable[Mapping[str, Any]]) -> str:
    """Items as text, each value in lines of its own, as far as there is room."""
    blocks: list[str] = []
    room = _LISTED
    for number, item in enumerate(items, 1):
        lines = [
            f"   {name}: {_indented(str(value))}" for name, value in item.items() if value != ""
        ]
        block = f"{number}.{lines[0][2:]}\n" + "\n".join(lines[1:])
        room -= len(block)
        if room < 0:
            blocks.append("[… more are left out here]")
            break
        blocks.append(block)
    return "\n".join(blocks)


def _indented(text: str) -> str:
    cut = text if len(text) <= _LINE else f"{text[:_LINE]} [… {len(text) - _LINE} more characters]"
    return cut.strip().replace("\n", "\n      ")
