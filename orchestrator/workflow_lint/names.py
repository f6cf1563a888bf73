"""Names that do not exist or do not meet: agents, folders, tickets, files, workflows."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from orchestrator.markdown.blocks import Kind
from orchestrator.workflow_lint.base import LintContext, LintFinding, lint_rule
from orchestrator.workflow_reader.vocabulary import folders_in, is_ticket_file, paths_in

_SHELLS = {"bash", "sh", "shell", "console", "zsh"}
_NUMBERED = re.compile(r"(\d{2,6})[_-]\S*")
_WORKFLOW = re.compile(r"`/([\w-]+)`\s+workflow|\bworkflow\s+`/([\w-]+)`", re.IGNORECASE)


# -- agents, folders, tickets ----------------------------------------------------------------


@lint_rule
def check_agents(context: LintContext) -> Iterator[LintFinding]:
    """Agents that are not installed, or declared and never used."""
    workflow = context.workflow
    lines = workflow.text.split("\n")
    declared = next((i for i, line in enumerate(lines, 1) if re.match(r"agents\s*:", line)), 1)
    #: (name, line, where)
    named: list[tuple[str, int, str]] = []
    for stage in workflow.stages:
        named.append((stage.agent, stage.line, f"stage {stage.number}"))
        named += [(child.agent, child.line, child.id) for child in stage.children]
        named += [(need.provider, need.line, need.path) for need in stage.needs]
        named += [(move.owner, move.line, f"the move to {move.folder}") for move in stage.moves]
    named += [(m.verifier, m.line, f"the metric '{m.metric}'") for m in workflow.metrics]
    named += [(name, declared, "the frontmatter") for name in workflow.agents]
    seen = {*context.agents, "USER", ""}
    for name, line, where in named:
        if name not in seen:
            seen.add(name)
            hint = (
                f"known are {', '.join(sorted(context.agents))}; "
                f"configure [agents.{name}] or correct the name"
            )
            yield LintFinding("unknown-agent", line, f"there is no agent {name} ({where})", hint)
    for name in workflow.agents:
        if name not in {stage.agent for stage in workflow.stages}:
            message = f"{name} is declared and has no stage"
            yield LintFinding("agent-without-stage", declared, message, "drop it, or add its stage")


@lint_rule
def check_unnamed(context: LintContext) -> Iterator[LintFinding]:
    """Stages for which nobody is named."""
    for stage in context.workflow.stages:
        if not context.section(stage.number).head.agent:
            message = f"nobody is named for “{stage.title}”: the ticket's owner does it"
            hint = "add a line below the heading, e.g. `Owner: BUILDER`"
            yield LintFinding("stage-without-agent", stage.line, message, hint)


@lint_rule
def check_folders(context: LintContext) -> Iterator[LintFinding]:
    """Board folders that the board does not have."""
    named = [(m.folder, m.line) for s in context.workflow.stages for m in s.moves]
    named += [(name, p.line) for p in context.prose for name in folders_in(p.markdown)]
    seen: set[str] = set()
    for name, line in sorted(named, key=lambda n: n[1]):
        if name not in seen and not context.knows_folder(name):
            seen.add(name)
            hint = "use a folder of the board, or add an alias under [board] in orchestrate.toml"
            yield LintFinding("unknown-folder", line, f"the board has no folder {name}", hint)


@lint_rule
def check_tickets(context: LintContext) -> Iterator[LintFinding]:
    """Tickets outside the family, and children that nobody works on."""
    root, children = context.family
    stages = context.workflow.stages
    for stage in stages:
        named = [(m, stage.line) for m in stage.members]
        named += [(m, move.line) for move in stage.moves for m in move.members]
        for member, line in dict(named).items():
            if children and member not in {root, *children}:
                message = f"stage {stage.number} works on {member}, which is not of {root}'s family"
                hint = f"the family is {', '.join((root, *children))}"
                yield LintFinding("unknown-ticket", line, message, hint)
    worked_on = {member for stage in stages for member in stage.members}
    for child in (child for stage in stages for child in stage.children):
        if child.id not in worked_on:
            message = f"{child.id} is made for {child.agent}, but no stage works on it"
            hint = f'name it in the stage of {child.agent} ("Read {child.id} in …")'
            yield LintFinding("child-without-stage", child.line, message, hint)


# -- files -----------------------------------------------------------------------------------


@lint_rule
def check_paths(context: LintContext) -> Iterator[LintFinding]:
    """Paths that neither exist nor are delivered, and paths that leave the workspace."""
    texts: list[tuple[str, int]] = []
    for piece in context.outline.blocks:
        if piece.kind is Kind.TABLE:
            texts += [(cell, row.line) for row in piece.rows for cell in row.cells]
        elif piece.kind is not Kind.FENCE:
            texts.append((piece.markdown, piece.line))
        elif piece.language in _SHELLS:
            code = enumerate(piece.text.split("\n"), start=piece.line + 1)
            texts += [(line.split("#", 1)[0], number) for number, line in code]
    names = {posixpath.basename(path) for path in context.delivered}
    seen: set[str] = set()
    for path, line in ((path, line) for text, line in texts for _, _, path in paths_in(text)):
        if path in seen or is_ticket_file(path):
            continue
        seen.add(path)
        exists = context.exists(path)
        if exists is None:
            message = f"`{path}` is outside the workspace"
            yield LintFinding("unsafe-path", line, message, "name a path below its root")
        elif not exists and path not in context.delivered and path not in names:
            message = f"`{path}` neither exists nor is delivered by a stage"
            hint = "correct the path, or say which stage creates it"
            yield LintFinding("unknown-path", line, message, hint)


@lint_rule
def check_deliveries(context: LintContext) -> Iterator[LintFinding]:
    """Files that two stages make, and files that are needed and not delivered in time."""
    for stage, deliverable in context.workflow.deliverables:
        first = context.delivered[deliverable.path]
        if first is not stage:
            message = (
                f"`{deliverable.path}` is made at stage {first.number} "
                f"and again at stage {stage.number}"
            )
            yield LintFinding("delivered-twice", deliverable.line, message, "let one stage make it")
    for stage in context.workflow.stages:
        for need in stage.needs:
            maker = context.delivered.get(need.path)
            if maker is None or maker.agent != need.provider:
                message = (
                    f"`{need.path}` is to come from {need.provider}, whose stages do not make it"
                )
            elif maker.number > stage.number and not context.are_parallel(maker, stage):
                message = f"`{need.path}` is needed at stage {stage.number}, made at {maker.number}"
            else:
                continue
            hint = "add the deliverable, or change the order"
            yield LintFinding("need-not-met", need.line, message, hint)


@lint_rule
def check_taken_numbers(context: LintContext) -> Iterator[LintFinding]:
    """A file of a numbered series whose number another file has."""
    for path, stage in context.delivered.items():
        folder, name = posixpath.split(path)
        found = _NUMBERED.fullmatch(name)
        if found is None:
            continue
        line = next(d.line for d in stage.deliverables if d.path == path)
        same = re.compile(rf"0*{int(found[1])}[_-]")
        rivals: list[str] = []
        if folder and context.exists(folder) and (context.root / folder).is_dir():
            siblings = sorted(p.name for p in (context.root / folder).iterdir())
            rivals = [other for other in siblings if other != name and same.match(other)]
        if rivals:
            message = f"the number {found[1]} of `{path}` is taken by {rivals[0]}"
            yield LintFinding("number-taken", line, message, "take the next free number")


@lint_rule
def check_other_workflows(context: LintContext) -> Iterator[LintFinding]:
    """``Run `/name` workflow`` where there is no such workflow."""
    for piece in context.prose:
        for found in _WORKFLOW.finditer(piece.markdown):
            name = found[1] or found[2]
            folders = ("workflows", ".agent/workflows")
            if not any(context.exists(f"{folder}/{name}.md") for folder in folders):
                message = f"there is no workflow /{name}"
                hint = f"add workflows/{name}.md, or say what is to be done"
                yield LintFinding("unknown-workflow", piece.line, message, hint)
