"""What a workflow's stage and its ticket say about each file that is to be built."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from orchestrate_agents.syntax import parsed
from orchestrator.domain.workflow import Block, Deliverable, Stage
from orchestrator.errors import OrchestrateError
from orchestrator.gates.once import once

_PATH = re.compile(r"`([\w.@+-]+(?:/[\w.@+-]+)*\.[A-Za-z]\w*)`")
_NAMES_A_FILE = re.compile(
    r"\b(?:deliverables?|outputs?|files?|create|write|build|implement)\b", re.IGNORECASE
)
_COLUMN = re.compile(r"[`\"]?([A-Za-z_]\w*)[`\"]?")
_BATCH = re.compile(
    r"\bbatch(?:es)?(?: size)?\W+(?:of\s+)?(?:at most\s+|up to\s+)?(\d+)", re.IGNORECASE
)
_COLUMNS_IN_PROSE = re.compile(
    r"\bcolumns?\b[^`:.]{0,40}[:`]\s*`?((?:\w+\s*,\s*)+\w+)", re.IGNORECASE
)


class SpecificationError(OrchestrateError):
    """The specification does not say enough to build the file."""

    code = "specification"


@dataclass(frozen=True)
class FileSpec:
    """One file to build, with everything that is said of it."""

    path: str
    #: 1-based line that names it
    line: int
    #: the code block that the workflow gives for it
    block: Block | None = None
    #: the workflow's sentence that names it
    text: str = ""
    #: what the ticket says of it: list items and sentences, markdown as written
    notes: tuple[str, ...] = ()
    #: code blocks of the ticket's section
    blocks: tuple[Block, ...] = ()

    @property
    def suffix(self) -> str:
        return "." + self.path.rpartition(".")[2].lower()

    @property
    def stem(self) -> str:
        return self.path.rpartition("/")[2].rpartition(".")[0]

    @property
    def words(self) -> str:
        """All prose about the file, one piece per line."""
        return "\n".join(piece for piece in (self.text, *self.notes) if piece)

    @property
    def code(self) -> tuple[Block, ...]:
        """All code given for the file, the workflow's first."""
        return (*((self.block,) if self.block else ()), *self.blocks)

    @property
    def constants(self) -> Iterator[tuple[str, Any]]:
        """Name and literal value of the constants in the Python that is given for the file; the
        value of other expressions is None."""
        for node in (node for block in self.code for node in _nodes(block.text)):
            if isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name):
                    yield target.id, literal_value(node.value)

    @property
    def batch(self) -> int:
        """How many rows are written at once, by its words or constants; 0 if that is not said."""
        said = _BATCH.search(self.words)
        named = (v for name, v in self.constants if "BATCH" in name.upper() and type(v) is int)
        return int(said[1]) if said else next(named, 0)

    def joined_with(self, section: FileSpec) -> FileSpec:
        """With the notes and blocks of another section about the same file."""
        notes, blocks = (*self.notes, *section.notes), (*self.blocks, *section.blocks)
        return replace(self, notes=notes, blocks=blocks)


def _nodes(text: str) -> Iterator[ast.AST]:
    """The nodes of a Python text; none if it does not parse."""
    try:
        yield from ast.walk(parsed(text))
    except (SyntaxError, ValueError):
        return


def literal_value(node: ast.AST | None) -> Any:
    """The value of a literal, None for anything else."""
    try:
        return ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def stage_file_specs(stage: Stage, ticket: str = "") -> tuple[FileSpec, ...]:
    """The stage's deliverables, joined by path with the sections of its ticket."""
    specs = {d.path: FileSpec(d.path, d.line, d.block, d.text) for d in stage.deliverables}
    for section in ticket_file_specs(ticket):
        known = specs.get(section.path)
        specs[section.path] = known.joined_with(section) if known else section
    return tuple(specs.values())


@once(32)
def ticket_file_specs(ticket: str) -> tuple[FileSpec, ...]:
    """The sections of a ticket whose heading names a file (`### Deliverable 1: \\`a/b.py\\``)."""
    from markdown_it import MarkdownIt

    found: list[FileSpec] = []
    level = 0
    tokens = MarkdownIt("commonmark").parse(ticket)
    for index, token in enumerate(tokens):
        line = (token.map or [0])[0] + 1
        if token.type == "heading_open":
            heading, depth = tokens[index + 1].content, int(token.tag[1])
            path = _PATH.search(heading)
            if path and (_NAMES_A_FILE.search(heading) or heading.strip() == path.group()):
                found.append(FileSpec(path.group(1), line))
                level = depth
            elif depth <= level or not found:
                level = 0
        elif level and token.type == "fence":
            block = Block((token.info.split() or [""])[0], token.content, line)
            found[-1] = replace(found[-1], blocks=(*found[-1].blocks, block))
        elif level and token.type == "inline" and tokens[index - 1].type != "heading_open":
            found[-1] = replace(found[-1], notes=(*found[-1].notes, token.content))
    return tuple(found)


def csv_columns(deliverable: Deliverable, stage: Stage) -> tuple[str, ...]:
    """A CSV file's columns: from its schema block, its sentence, or the stage's only such list."""
    if deliverable.block is not None and (names := column_list(deliverable.block.text)):
        return names
    listed = _COLUMNS_IN_PROSE.search(deliverable.text)
    if listed is not None and (names := column_list(listed[1])):
        return names
    files = [d for d in stage.deliverables if d.path.lower().endswith(".csv")]
    lists = {names for block in stage.blocks if (names := column_list(block.text))}
    return lists.pop() if len(lists) == len(files) == 1 else ()


def column_list(text: str) -> tuple[str, ...]:
    """The column names in a text that holds nothing else, or an empty tuple."""
    parts = [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
    names = tuple(found[1] for part in parts if (found := _COLUMN.fullmatch(part)))
    return names if len(names) == len(parts) == len(set(names)) >= 2 else ()
