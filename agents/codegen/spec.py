"""What a workflow's stage and its ticket say about each file that is to be built."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from orchestrator.domain.workflow import Block, Deliverable, Stage

_PATH = re.compile(r"`([\w.@+-]+(?:/[\w.@+-]+)*\.[A-Za-z]\w*)`")
_NAMES_A_FILE = re.compile(
    r"\b(?:deliverables?|outputs?|files?|create|write|build|implement)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Spec:
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
        """All prose about the file, one piece a line."""
        return "\n".join(piece for piece in (self.text, *self.notes) if piece)

    @property
    def code(self) -> tuple[Block, ...]:
        """All code that is given for the file, the workflow's first."""
        return (*((self.block,) if self.block else ()), *self.blocks)


def stage_specs(stage: Stage, ticket: str = "") -> tuple[Spec, ...]:
    """The stage's deliverables, joined by path with those of its ticket's sections."""
    specs: dict[str, Spec] = {}
    for deliverable in stage.deliverables:
        specs[deliverable.path] = _of_deliverable(deliverable)
    for section in ticket_specs(ticket):
        known = specs.get(section.path)
        if known is not None:
            notes = (*known.notes, *section.notes)
            section = replace(known, notes=notes, blocks=(*known.blocks, *section.blocks))
        specs[section.path] = section
    return tuple(specs.values())


def _of_deliverable(deliverable: Deliverable) -> Spec:
    return Spec(deliverable.path, deliverable.line, deliverable.block, deliverable.text)


@lru_cache(maxsize=32)
def ticket_specs(ticket: str) -> tuple[Spec, ...]:
    """The sections of a ticket whose heading names a file (`### Deliverable 1: \\`a/b.py\\``)."""
    from markdown_it import MarkdownIt

    found: list[Spec] = []
    level = 0
    tokens = MarkdownIt("commonmark").parse(ticket)
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            heading, depth = tokens[index + 1].content, int(token.tag[1])
            path = _PATH.search(heading)
            if path and (_NAMES_A_FILE.search(heading) or heading.strip() == path.group()):
                found.append(Spec(path.group(1), (token.map or [0])[0] + 1))
                level = depth
            elif depth <= level or not found:
                level = 0
        elif level and token.type == "fence":
            line = (token.map or [0])[0] + 1
            language = token.info.split()[0] if token.info.split() else ""
            blocks = (*found[-1].blocks, Block(language, token.content, line))
            found[-1] = replace(found[-1], blocks=blocks)
        elif level and token.type == "inline" and tokens[index - 1].type != "heading_open":
            found[-1] = replace(found[-1], notes=(*found[-1].notes, token.content))
    return tuple(found)


def paths_of(specs: Iterable[Spec]) -> tuple[str, ...]:
    """The paths, each once, in order."""
    return tuple(dict.fromkeys(spec.path for spec in specs))
