"""LEAD: reviews the architecture of a work order and splits it into its children (DESIGN 5.3)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path, PurePosixPath

from orchestrate_agents import preparing
from orchestrate_agents.lead_criteria import Maker, distribute
from orchestrate_agents.render import render_markdown
from orchestrator.domain.agent import Job, NewTicket, Outcome, Report
from orchestrator.domain.machine import initial_role
from orchestrator.domain.workflow import (
    ChildSpec,
    Stage,
    Statement,
    StatementKind,
    Workflow,
)
from orchestrator.errors import OrchestrateError, TicketError
from orchestrator.gates.binding import Binder
from orchestrator.gates.loading import load_binder
from orchestrator.gates.proof_cache import user_proof_cache
from orchestrator.storage.atomic import inside
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket
from orchestrator.workflow_reader.parser import read_workflow_text


class Lead:
    """Works from the stage's and the workflow's own text; asks for children, moves nothing."""

    name = "LEAD"

    @staticmethod
    def prepare() -> None:
        """Load what the work needs, before there is any."""
        preparing.load(*preparing.SQL, "orchestrator.tickets.reader", checks=True)

    def work(self, job: Job) -> Report:
        """The architecture section, and a new ticket for every child that is not there yet.

        `cannot` if a migration's number is taken by another file.
        """
        workflow = read_workflow_text(job.workflow_text, Path(job.workflow))
        stage = workflow.stage(job.stage)
        board = _board(job)
        clash = _clash(job.root, workflow)
        if clash:
            return Report(outcome=Outcome.CANNOT, reason=clash)
        parent = board.find(job.ticket)
        present = {c.id for c in stage.children if _find(board, c.id)}
        criteria = _distribute(job, workflow, stage, board, present) if stage.children else {}
        new = [
            _child(job, workflow, board, parent, spec, stage, criteria[spec.id])
            for spec in stage.children
            if spec.id not in present
        ]
        return Report(
            outcome=Outcome.DONE,
            section=_architecture(job, workflow, stage, present, criteria),
            tickets=tuple(new),
            log=tuple(_log(stage, present)),
        )


def _board(job: Job) -> Board:
    """The workspace's board, with its own folder names where a configuration gives them."""
    board = Board(job.board_root)
    folder = str(job.settings.get("board") or board.folders.board)
    return board if folder == board.folders.board else Board(job.board_root, folder)


def _find(board: Board, id: str) -> Ticket | None:
    try:
        return board.find(id)
    except TicketError as exc:
        if exc.code == "no-such-ticket":
            return None
        raise


def _log(stage: Stage, present: set[str]) -> Iterable[str]:
    for child in stage.children:
        done = "was there and is adopted unchanged" if child.id in present else "created"
        yield f"{child.id} ({child.agent}) {done}"


# -- migration numbers -----------------------------------------------------------------------


def _number(path: str) -> str:
    found = re.match(r"(\d+)", PurePosixPath(path).name)
    return found.group(1) if found else ""


def _migrations(workflow: Workflow) -> list[str]:
    return [d.path for _, d in workflow.deliverables if d.path.endswith(".sql")]


def _in_use(root: Path, path: str) -> dict[int, str]:
    """Numbers in use beside a migration: number → file name."""
    folder = inside(root, path).parent
    files = sorted(folder.glob("*.sql")) if folder.is_dir() else []
    return {int(_number(f.name)): f.name for f in files if _number(f.name)}


def _clash(root: Path, workflow: Workflow) -> str:
    for path in _migrations(workflow):
        number, name = _number(path), PurePosixPath(path).name
        holder = _in_use(root, path).get(int(number)) if number else None
        if holder is not None and holder != name:
            free = max(_in_use(root, path)) + 1
            return (
                f"migration number {number} of {path} is taken by {holder}; "
                f"the next free one is {free:0{len(number)}d}: change the path in the workflow"
            )
    return ""


def _migration_line(root: Path, path: str) -> dict[str, str]:
    own = PurePosixPath(path).name
    others = [name for _, name in sorted(_in_use(root, path).items()) if name != own]
    folder = PurePosixPath(path).parent
    in_use = f"no other number is in use in `{folder}/`"
    if others:
        highest, count = _number(others[-1]), len(others)
        in_use = f"checked against the {count} numbers in use in `{folder}/` (highest {highest})"
        if count == 1:
            in_use = f"checked against {highest}, the only number in use in `{folder}/`"
    return {"path": path, "number": _number(path), "in_use": in_use}


# -- architecture ----------------------------------------------------------------------------


def _architecture(
    job: Job,
    workflow: Workflow,
    stage: Stage,
    present: set[str],
    criteria: Mapping[str, list[str]],
) -> str:
    nodes, edges = _data_flow(workflow)
    return render_markdown(
        "lead/architecture.md.j2",
        tables=[f"`{t}`" for t in tables(workflow, job.root)],
        migrations=[_migration_line(job.root, p) for p in _migrations(workflow)],
        nodes=nodes,
        edges=edges,
        scope=_scope(workflow, stage),
        needs=[n for s in workflow.stages for n in s.needs],
        routing=_routing(job, workflow, stage, present),
        parent=job.parent,
        handed={child: len(texts) for child, texts in criteria.items() if child and texts},
        kept=criteria.get("", []),
    )


def tables(workflow: Workflow, root: Path | None = None) -> list[str]:
    """The tables that the workflow's SQL creates, in order; with a root its files' tables too."""
    from orchestrate_agents.sql.parse import parse_migration

    found: list[str] = []
    for _, deliverable in workflow.deliverables:
        if deliverable.path.endswith(".sql") and deliverable.block is not None:
            found += [t.name for t in parse_migration(deliverable.block.text).tables]
        elif deliverable.path.endswith(".sql") and root is not None:
            found += _tables_there(inside(root, deliverable.path))
    return list(dict.fromkeys(found))


def _tables_there(file: Path) -> list[str]:
    """The tables of a file that is there already; none of one that cannot be read."""
    from orchestrate_agents.sql.parse import SqlError, tables_of

    try:
        return [t.name for t in tables_of(file.read_text(encoding="utf-8-sig", errors="replace"))]
    except (OSError, SqlError):
        return []


def _scope(workflow: Workflow, stage: Stage) -> list[str]:
    """What the stage itself decides about scope, else all stages of the workflow."""
    said = [
        re.sub(r"^scope(?: decision)?\s*:\s*", "", _flat(part), flags=re.IGNORECASE)
        for _, text in stage.items
        for part in text.splitlines()
        if re.search(r"\bscope\b", part, re.IGNORECASE)
    ]
    stages = ", ".join(f"{s.number} ({s.agent})" for s in workflow.stages)
    return [*said, f"stages of `{workflow.path.name}`: {stages}"]


def _flat(markdown: str) -> str:
    return re.sub(r"^\s*(?:[-*+]|\d+[.)])\s+", "", markdown).strip()


def _routing(job: Job, workflow: Workflow, stage: Stage, present: set[str]) -> list[dict[str, str]]:
    rows = [
        {
            "id": c.id,
            "agent": c.agent,
            "makes": ", ".join(
                f"`{d.path}`" for s in _stages_of(workflow, c) for d in s.deliverables
            )
            or c.title,
            "state": "adopted as it is" if c.id in present else "new",
        }
        for c in stage.children
    ]
    for other in workflow.stages:
        if not rows and not other.is_checkpoint and other.number > stage.number:
            rows.append(
                {"id": job.parent, "agent": other.agent, "makes": other.title, "state": "waits"}
            )
    return rows


def _stages_of(workflow: Workflow, child: ChildSpec) -> list[Stage]:
    """The stages that make what a child is for: those that name it, else those of its agent."""
    named = [s for s in workflow.stages if child.id in s.members and s.agent == child.agent]
    return named or [s for s in workflow.stages if s.agent == child.agent]


def _data_flow(workflow: Workflow) -> tuple[list[dict[str, str]], list[tuple[str, str]]]:
    """What reads and writes what: scripts and hooks by the tables and files that they name."""
    names = tables(workflow)
    delivered = [d for _, d in workflow.deliverables]
    data = {d.path for d in delivered if d.path.endswith(".csv")}
    data |= {n.path for s in workflow.stages for n in s.needs}
    edges: list[tuple[str, str]] = []
    for d in delivered:
        words = f"{d.text}\n{d.block.text if d.block else ''}\n{d.path}"
        used = [t for t in names if t in words]
        if d.path.endswith(".py"):
            edges += [(s, d.path) for s in _sources(words, data)]
            edges += [(d.path, t) for t in used]
        elif d.path.endswith((".ts", ".tsx")):
            edges += [(t, d.path) for t in used]
    edges = list(dict.fromkeys(edges))
    labels = list(dict.fromkeys(n for e in edges for n in e))
    keys = {label: f"n{i}" for i, label in enumerate(labels, 1)}
    nodes = [{"key": keys[x], "label": _label(x)} for x in labels]
    return nodes, [(keys[a], keys[b]) for a, b in edges]


def _sources(words: str, data: set[str]) -> list[str]:
    files = [p for p in sorted(data) if p in words or PurePosixPath(p).name in words]
    hosts = re.findall(r"https?://([A-Za-z0-9.-]+)", words)
    return files + [h for h in dict.fromkeys(hosts) if h not in ("localhost",)]


def _label(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', "'")


# -- children --------------------------------------------------------------------------------


def _child(
    job: Job,
    workflow: Workflow,
    board: Board,
    parent: Ticket,
    spec: ChildSpec,
    stage: Stage,
    criteria: list[str],
) -> NewTicket:
    stages = _stages_of(workflow, spec)
    headline = spec.title or (stages[0].title if stages else parent.title)
    headline = headline[:1].upper() + headline[1:]
    text = render_markdown(
        "lead/child.md.j2",
        id=spec.id,
        title=json.dumps(f"{headline} (child of {job.parent})", ensure_ascii=False),
        headline=headline,
        status=board.folders.status_for(initial_role(stage, spec.id)),
        agent=spec.agent,
        parent=job.parent,
        created=date.today().isoformat(),
        lead=job.agent,
        priority=json.dumps(parent.priority, ensure_ascii=False) if parent.priority else "null",
        workflow=job.workflow,
        stages=[{"label": s.label, "line": s.line, "lines": _instructions(s)} for s in stages],
        deliverables=[d for s in stages for d in s.deliverables],
        criteria=criteria,
        inspector=_inspector(workflow),
    )
    slug = re.sub(r"[^A-Za-z0-9]+", "_", headline).strip("_")[:60].strip("_")
    return NewTicket(
        id=spec.id, agent=spec.agent, filename=f"{spec.id}_{slug or 'ticket'}.md", text=text
    )


def _inspector(workflow: Workflow) -> str:
    """The agent whose stage carries the checklists, "" if there is none."""
    for stage in workflow.stages:
        if any(s.kind is StatementKind.CHECKBOX for s in stage.statements):
            return "" if stage.is_checkpoint else stage.agent
    return ""


def _instructions(stage: Stage) -> list[str]:
    """The stage's items without its code, each one list item of the new ticket."""
    lines = []
    for _, text in stage.items:
        first = _flat(text.split("```")[0].strip().splitlines()[0]) if text.strip() else ""
        if first:
            lines.append(f"- {first}")
    return lines


def _distribute(
    job: Job, workflow: Workflow, stage: Stage, board: Board, present: set[str]
) -> dict[str, list[str]]:
    """Child → the criteria that it answers for; under "" those that the parent keeps.

    A child that is there already is not written to: what its ticket does not say, the parent keeps.
    """
    own: dict[str, list[Statement]] = {c.id: [] for c in stage.children}
    shared: list[Statement] = []
    makers = {c.id: _stages_of(workflow, c) for c in stage.children}
    for each in workflow.stages:
        of = [id for id, stages in makers.items() if each in stages]
        for statement in each.statements:
            if statement.kind is StatementKind.DONE_WHEN and len(of) == 1:
                own[of[0]].append(statement)
            elif statement.kind is StatementKind.CHECKBOX or (
                statement.kind is StatementKind.DONE_WHEN and of
            ):
                shared.append(statement)
    shared += [s for s in workflow.statements if s.kind is StatementKind.CHECKBOX]
    found = distribute(_makers(workflow, stage), own, shared, _binder(job.board_root))
    for id in present:
        said = {s.text for s in board.find(id).acceptance()}
        found[""] += [text for text in found[id] if text not in said]
        found[id] = [text for text in found[id] if text in said]
    return found


def _makers(workflow: Workflow, stage: Stage) -> list[Maker]:
    """The children with what they make, and under "" what stages without a child make."""
    made = {c.id: _stages_of(workflow, c) for c in stage.children}
    taken = [s for stages in made.values() for s in stages]
    made[""] = [s for s in workflow.stages if s not in taken]
    return [
        Maker(id, tuple(d for s in stages for d in s.deliverables), frozenset(_tables(stages)))
        for id, stages in made.items()
    ]


def _tables(stages: Iterable[Stage]) -> Iterable[str]:
    from orchestrate_agents.sql.parse import parse_migration

    for deliverable in (d for s in stages for d in s.deliverables):
        if deliverable.path.endswith(".sql") and deliverable.block is not None:
            yield from (t.name.lower() for t in parse_migration(deliverable.block.text).tables)


def _binder(root: Path) -> Binder:
    """What the workspace's checks tell about a statement; nothing if they cannot be loaded."""
    try:
        # the gates of the makers' stages ask for the same
        return load_binder(root, cache=user_proof_cache())
    except OrchestrateError:
        return Binder(())
