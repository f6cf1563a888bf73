"""Doubts about names: agents, folders, files, tickets and tables that do not exist or meet."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from orchestrator.domain.workflow import Block, Deliverable
from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.workflow_lint.base import Doubt, Subject
from orchestrator.workflow_reader.vocabulary import folders_in, is_ticket_file, paths_in, plain

_SHELLS = {"bash", "sh", "shell", "console", "zsh"}


# -- agents, folders, tickets ----------------------------------------------------------------


def _named_agents(subject: Subject) -> Iterator[tuple[str, int, str]]:
    """(name, line, where) of every agent that the workflow speaks of."""
    for stage in subject.workflow.stages:
        yield stage.agent, stage.line, f"stage {stage.number}"
        for child in stage.children:
            yield child.agent, child.line, child.id
        for need in stage.needs:
            yield need.provider, need.line, need.path
        for move in stage.moves:
            yield move.owner, move.line, f"the move to {move.folder}"
    for metric in subject.workflow.metrics:
        yield metric.verifier, metric.line, f"the metric '{metric.metric}'"
    for name in subject.workflow.agents:
        yield name, _declared(subject), "the frontmatter"


def _declared(subject: Subject) -> int:
    lines = subject.workflow.text.split("\n")
    return next((i for i, line in enumerate(lines, 1) if re.match(r"agents\s*:", line)), 1)


def agents(subject: Subject) -> Iterator[Doubt]:
    """Agents that are not installed, or declared and never used."""
    known, seen = subject.agents | {"USER", ""}, set[str]()
    for name, line, where in _named_agents(subject):
        if name not in known and name not in seen:
            seen.add(name)
            yield Doubt(
                "unknown-agent",
                line,
                f"there is no agent {name} ({where})",
                f"known are {', '.join(sorted(subject.agents))}; "
                f"configure [agents.{name}] or correct the name",
            )
    working = {s.agent for s in subject.workflow.stages}
    for name in subject.workflow.agents:
        if name not in working:
            yield Doubt(
                "agent-without-stage",
                _declared(subject),
                f"{name} is declared and has no stage",
                "drop it, or add its stage",
            )


def folders(subject: Subject) -> Iterator[Doubt]:
    """Board folders that the board does not have."""
    named = [(m.folder, m.line) for s in subject.workflow.stages for m in s.moves]
    named += [(name, p.line) for p in subject.prose for name in folders_in(p.markdown)]
    seen: set[str] = set()
    for name, line in sorted(named, key=lambda n: n[1]):
        if name not in seen and not subject.knows_folder(name):
            seen.add(name)
            yield Doubt(
                "unknown-folder",
                line,
                f"the board has no folder {name}",
                "use a folder of the board, or add an alias under [board] in orchestrate.toml",
            )


def tickets(subject: Subject) -> Iterator[Doubt]:
    """Tickets outside the family, and children that nobody works on."""
    root, children = subject.family
    family = {root, *children}
    worked: set[str] = set()
    for stage in subject.workflow.stages:
        worked.update(stage.members)
        named = [(m, stage.line) for m in stage.members]
        named += [(m, move.line) for move in stage.moves for m in move.members]
        for member, line in dict(named).items():
            if children and member not in family:
                yield Doubt(
                    "unknown-ticket",
                    line,
                    f"stage {stage.number} works on {member}, which is not of {root}'s family",
                    f"the family is {', '.join((root, *children))}",
                )
    for stage in subject.workflow.stages:
        for child in stage.children:
            if child.id not in worked:
                yield Doubt(
                    "child-without-stage",
                    child.line,
                    f"{child.id} is made for {child.agent}, but no stage works on it",
                    f'name it in the stage of {child.agent} ("Read {child.id} in …")',
                )


# -- files -----------------------------------------------------------------------------------


def _named_paths(subject: Subject) -> Iterator[tuple[str, int]]:
    for piece in subject.outline.blocks:
        if piece.kind is Kind.TABLE:
            for row in piece.rows:
                yield from ((path, row.line) for cell in row.cells for _, _, path in paths_in(cell))
        elif piece.kind is not Kind.FENCE:
            yield from ((path, piece.line) for _, _, path in paths_in(piece.markdown))
        elif piece.language in _SHELLS:
            yield from _shell_paths(piece)


def _shell_paths(piece: Piece) -> Iterator[tuple[str, int]]:
    for offset, line in enumerate(piece.text.split("\n"), start=1):
        yield from ((path, piece.line + offset) for _, _, path in paths_in(line.split("#", 1)[0]))


def paths(subject: Subject) -> Iterator[Doubt]:
    """Paths that neither exist nor are delivered, and paths that leave the workspace."""
    seen: set[str] = set()
    names = {posixpath.basename(path) for path in subject.delivered}
    for path, line in _named_paths(subject):
        if path in seen or is_ticket_file(path):
            continue
        seen.add(path)
        exists = subject.exists(path)
        if exists is None:
            yield Doubt(
                "unsafe-path",
                line,
                f"`{path}` lies outside the workspace",
                "name a path below its root",
            )
        elif not exists and path not in subject.delivered and path not in names:
            yield Doubt(
                "unknown-path",
                line,
                f"`{path}` neither exists nor is delivered by a stage",
                "correct the path, or say which stage creates it",
            )


_IMPORT = re.compile(r"""(?:\bfrom|\bimport|\brequire\()\s*["'](\.{1,2}/[^"'\n]+)["']""")
_ENDINGS = ("", ".ts", ".tsx", ".js", ".jsx", ".mjs", "/index.ts", "/index.js")


def imports(subject: Subject) -> Iterator[Doubt]:
    """Modules that a specified script imports by path and that nobody provides."""
    for _, deliverable in subject.workflow.deliverables:
        block = deliverable.block
        folder = posixpath.dirname(deliverable.path)
        for found in _IMPORT.finditer(block.text) if block else ():
            target = posixpath.normpath(posixpath.join(folder, found[1]))
            candidates = [target + ending for ending in _ENDINGS]
            if not any(subject.exists(c) or c in subject.delivered for c in candidates):
                line = block.line + 1 + block.text[: found.start()].count("\n") if block else 0
                yield Doubt(
                    "unknown-path",
                    line,
                    f"`{deliverable.path}` imports {found[1]}, "
                    "which neither exists nor is delivered",
                    f"correct the import, or let a stage create {target}.*",
                )


def deliveries(subject: Subject) -> Iterator[Doubt]:
    """Files that two stages make, and files that are needed and not delivered in time."""
    for stage, deliverable in subject.workflow.deliverables:
        first = subject.delivered[deliverable.path]
        if first is not stage:
            yield Doubt(
                "delivered-twice",
                deliverable.line,
                f"`{deliverable.path}` is made at stage {first.number} "
                f"and again at stage {stage.number}",
                "let one stage make it",
            )
    for stage in subject.workflow.stages:
        for need in stage.needs:
            maker = subject.delivered.get(need.path)
            if maker is None or maker.agent != need.provider:
                message = (
                    f"`{need.path}` is to come from {need.provider}, whose stages do not make it"
                )
            elif maker.number > stage.number and not subject.beside(maker, stage):
                message = f"`{need.path}` is needed at stage {stage.number}, made at {maker.number}"
            else:
                continue
            yield Doubt(
                "need-not-met", need.line, message, "add the deliverable, or change the order"
            )


_NUMBERED = re.compile(r"(\d{2,6})[_-]\S*")
_NEXT_FREE = re.compile(
    r"\bnext\s+(?:free|unused|available|open)\b|\b(?:free|unused|available)\s+(?:\w+\s+)?number\b",
    re.IGNORECASE,
)


def fixed_numbers(subject: Subject) -> Iterator[Doubt]:
    """A file of a numbered series whose number is written down as if nobody else could take it."""
    says_next = any(_NEXT_FREE.search(p.markdown) for p in subject.prose)
    for path, stage in subject.delivered.items():
        found = _NUMBERED.fullmatch(posixpath.basename(path))
        if found is None:
            continue
        line = next(d.line for d in stage.deliverables if d.path == path)
        rival = _rival(subject, path, found[1])
        if rival:
            yield Doubt(
                "number-taken",
                line,
                f"the number {found[1]} of `{path}` is taken by {rival}",
                "take the next free number",
            )
        elif not says_next:
            yield Doubt(
                "fixed-number",
                line,
                f"the number {found[1]} of `{path}` is fixed; another file can take it first",
                'say "the next free number", and let the architecture stage confirm it',
            )


def _rival(subject: Subject, path: str, number: str) -> str:
    folder = posixpath.dirname(path)
    if not folder or not subject.exists(folder) or not (subject.root / folder).is_dir():
        return ""
    names = sorted(p.name for p in (subject.root / folder).iterdir())
    return next(
        (
            n
            for n in names
            if n != posixpath.basename(path) and re.match(rf"0*{int(number)}[_-]", n)
        ),
        "",
    )


_WORKFLOW = re.compile(r"`/([\w-]+)`\s+workflow|\bworkflow\s+`/([\w-]+)`", re.IGNORECASE)


def other_workflows(subject: Subject) -> Iterator[Doubt]:
    """``Run `/name` workflow`` where there is no such workflow."""
    for piece in subject.prose:
        for found in _WORKFLOW.finditer(piece.markdown):
            name = found[1] or found[2]
            if not any(subject.exists(f"{f}/{name}.md") for f in ("workflows", ".agent/workflows")):
                yield Doubt(
                    "unknown-workflow",
                    piece.line,
                    f"there is no workflow /{name}",
                    f"add workflows/{name}.md, or say what is to be done",
                )


# -- tables ----------------------------------------------------------------------------------

_COUNTED = re.compile(r"\bcount\s*\([^)]*\)[^;()]*?\bfrom\s+([\w.\"]+)", re.IGNORECASE)
_NOT_SEEDING = (".sql", ".csv", ".tsv", ".md", ".txt", ".json")


def unseeded_tables(subject: Subject) -> Iterator[Doubt]:
    """A table whose rows are counted at a checkpoint and that no delivered script fills."""
    scripts = [
        (d, s) for s, d in subject.workflow.deliverables if not d.path.endswith(_NOT_SEEDING)
    ]
    inserted = "\n".join(b.text for s in subject.workflow.stages for b in s.blocks)
    for stage in subject.workflow.checkpoints:
        for block in stage.blocks:
            for table, line in _counted(block):
                filled = re.search(
                    rf"\binsert\s+into\s+[\w.\"]*\b{re.escape(table)}\b", inserted, re.IGNORECASE
                )
                if scripts and not filled and not any(_fills(d, table) for d, _ in scripts):
                    yield Doubt(
                        "table-not-seeded",
                        line,
                        f"stage {stage.number} counts {table}, but no delivered script fills it",
                        "add a script that fills it, or do not count it",
                    )


def _counted(block: Block) -> Iterator[tuple[str, int]]:
    for found in _COUNTED.finditer(block.text):
        table = found[1].replace('"', "").rsplit(".", 1)[-1]
        yield table, block.line + 1 + block.text[: found.start(1)].count("\n")


def _fills(deliverable: Deliverable, table: str) -> bool:
    """A script fills a table if its name does, or what is said or specified of it writes to it."""
    if table in posixpath.basename(deliverable.path):
        return True
    script = re.search(r"\.(?:py|rb|sh|go|rs|js|mjs)$", deliverable.path)
    said = f"{plain(deliverable.text)}\n{deliverable.block.text if deliverable.block else ''}"
    return bool(script) and re.search(rf"(?<!\w){re.escape(table)}(?!\w)", said) is not None


RULES = (
    agents,
    folders,
    tickets,
    paths,
    imports,
    deliveries,
    fixed_numbers,
    other_workflows,
    unseeded_tables,
)
