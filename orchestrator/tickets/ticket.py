"""A ticket: one markdown file of the board, its keys folded to one vocabulary."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.folders import state_in_words
from orchestrator.domain.states import FolderRole
from orchestrator.errors import OrchestrateError, TicketError
from orchestrator.markdown.problem import Diagnosis
from orchestrator.storage.atomic import holds, read

# what a board that is known from its index is listed without
if TYPE_CHECKING:
    from orchestrator.domain.workflow import Statement
    from orchestrator.markdown.body import Box
    from orchestrator.markdown.frontmatter import Document
    from orchestrator.tickets.criteria import Criteria


def is_wide(data: bytes) -> bool:
    """Whether a file is UTF-16 or UTF-32: a line of UTF-8 in it would spoil it for its editor."""
    return data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4]


def is_utf8(text: str) -> bool:
    """Whether a text is one: what was not UTF-8 in a file or its name is lone surrogates."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def printable(text: str) -> str:
    """Without lone surrogates, so that it can be printed."""
    return (
        text if is_utf8(text) else text.encode("utf-8", "surrogateescape").decode(errors="replace")
    )


#: what a text says of urgency, most urgent first
_URGENCY = (
    ("critical", "blocker", "urgent", "highest", "immediate", "now"),
    ("high", "major", "important"),
    ("medium", "normal", "moderate", "default"),
    ("low", "minor"),
    ("lowest", "trivial", "someday"),
)
_RANKS = {word: rank for rank, words in enumerate(_URGENCY) for word in words}
UNRANKED = 99


def priority_rank(text: str) -> int:
    """How urgent a priority is: 0 the most (`P0`, `critical`); what says nothing comes last."""
    if found := re.match(r"\s*(?:p|prio(?:rity)?)?[-_ ]?(\d)(?!\d)", text, re.IGNORECASE):
        return int(found[1])
    ranks = (_RANKS.get(word, UNRANKED) for word in re.findall(r"[a-z]+", text.casefold()))
    return min(ranks, default=UNRANKED)


#: what a ticket from the index says when it is asked; the class has no defaults of these
LATE = frozenset(
    {"path", "source", "child_roles", "depends_note", "files", "created", "labels", "workflow",
     "spelt", "scope"}
)  # fmt: skip


@dataclass(frozen=True)
class Ticket:
    """One ticket as it was on the board when it was read. Texts are as in the file."""

    id: str
    #: the file, below the workspace's root as that was given
    path: Path
    #: its folder on the board, "03_BUILD"; "" for the board itself
    folder: str = ""
    role: FolderRole | None = None
    title: str = ""
    #: "" if the file gives none
    status: str = ""
    #: the first role of a chain; PENDING… and UNASSIGNED as written
    owner: str = ""
    parent: str = ""
    children: tuple[str, ...] = ()
    #: child → the role named with it
    child_roles: dict[str, str] = field(default_factory=dict, hash=False)
    depends_on: tuple[str, ...] = ()
    #: what the dependencies say besides ids
    depends_note: str = field(default_factory=str)
    #: what it may change, relative to the workspace; empty if it does not say
    files: tuple[str, ...] = field(default_factory=tuple)
    failure_count: int = 0
    created: str = field(default_factory=str)
    priority: str = ""
    labels: tuple[str, ...] = field(default_factory=tuple)
    #: the workflow that the ticket names, as written
    workflow: str = field(default_factory=str)
    #: whether it carries a family's record (`flow:`)
    conducted: bool = False
    #: the state that this record has it in, "" if it carries none
    recorded: str = ""
    #: path relative to the workspace
    source: str = field(default_factory=str)
    #: the id is in the frontmatter, not only in the file's name
    own_id: bool = False
    #: what the file says → its keys that say it, as written there, where they are other ones
    spelt: dict[str, list[str]] = field(default_factory=dict, hash=False)
    #: the folder that precedes the file's own id, on a board where ids are unique in it only
    scope: str = field(default_factory=str)
    #: a file on the board that is not a ticket: a template, a note, a read-me
    note: bool = False
    diagnoses: tuple[Diagnosis, ...] = ()
    #: the bytes that it was read from or written to, if they are kept in memory
    content: bytes | None = field(default=None, repr=False, compare=False)
    #: `content`, if it is parsed already
    parsed: Document | None = field(default=None, repr=False, compare=False)
    #: the family's record that was just written into it (a `Flow`), if it was
    record: Any = field(default=None, repr=False, compare=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # one from the index says at once what lists show: a board has many
            held = vars(self)
            if name not in LATE or "row" not in held:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            held.update(held["row"].say_late(held["home"], name))
            return held[name]

    def __getstate__(self) -> dict[str, Any]:
        for name in LATE:
            getattr(self, name)
        return {name: held for name, held in vars(self).items() if name not in ("row", "home")}

    @property
    def file(self) -> str:
        """The path as text: to make paths of a whole board takes a while."""
        held = vars(self)
        if "row" in held and "path" not in held:
            return f"{held['home'].place}/{held['row'].key}"
        return os.fspath(self.path)

    def may_have_label(self, word: str) -> bool:
        """Whether a word in lower case may be in a label; to know it for certain takes longer."""
        held = vars(self)
        if "row" not in held or "labels" in held:
            return True
        packed: str = held["row"].rest
        # what is packed as JSON without an escape stands there as it is
        plain = word.isascii() and '"' not in word and "\\" not in packed
        return not plain or word in packed.lower()

    def told(self, diagnoses: Iterable[Diagnosis]) -> Ticket:
        """The ticket with what is wrong with it; it was just read, and a board has many."""
        found = object.__new__(Ticket)
        vars(found).update(vars(self), diagnoses=tuple(diagnoses))
        return found

    def without_text(self) -> Ticket:
        """The ticket without its file's bytes in memory; they are read again when needed."""
        return replace(self, content=None, parsed=None)

    def rewritten(
        self, document: Document, path: Path, record: Any = None, **fields: Any
    ) -> Ticket:
        """The ticket after `document` was written to `path` with `record` and changed `fields`."""
        data = document.data
        return replace(self, path=path, content=data, parsed=document, record=record, **fields)

    def require_utf8(self) -> None:
        """Raise TicketError if fields may not be written into the file (`is_wide`)."""
        if is_wide(self.data):
            raise TicketError(
                "the file is UTF-16 or UTF-32, not UTF-8",
                path=self.path,
                code="not-utf8",
                hint="save it as UTF-8",
            )

    def require_merged(self) -> None:
        """Raise TicketError (code `merge-conflict`) if git's merge of the file is unfinished."""
        from orchestrator.markdown.conflicts import conflict_line

        if line := conflict_line(self.data):
            raise TicketError(
                f"{self.id} has the marks of an unfinished merge",
                path=self.path,
                line=line,
                code="merge-conflict",
                hint="decide between the two versions and delete the marks; an example of such "
                "marks has to be indented",
            )

    # -- read on demand ----------------------------------------------------------------------

    @cached_property
    def document(self) -> Document:
        """The file's content: as first read, or as it is now if the ticket came from an index."""
        if self.parsed is not None:
            return self.parsed
        from orchestrator.markdown.frontmatter import Document

        return Document.parse(read(self.path) if self.content is None else self.content)

    @property
    def data(self) -> bytes:
        """The bytes that the ticket was read from or written to."""
        return self.document.data if self.content is None else self.content

    @property
    def meta(self) -> dict[str, Any]:
        """The frontmatter."""
        return self.document.meta

    @property
    def body(self) -> str:
        """The markdown below the frontmatter."""
        return self.document.body

    @property
    def flow(self) -> dict[str, Any] | None:
        """The family's record, if this is a conducted parent."""
        flow = self.meta.get("flow") if self.conducted else None
        return flow if isinstance(flow, dict) else None

    @property
    def local_id(self) -> str:
        """The id as the file gives it, without the scope."""
        return self.id.removeprefix(f"{self.scope}-") if self.scope else self.id

    @property
    def state(self) -> str:
        """Where it is, for people: its folder, and its state where that does not say it."""
        return state_in_words(self.role, self.folder, self.status)

    def to_dict(self) -> dict[str, Any]:
        """What a list says of it, JSON-able."""
        return {
            "id": self.id,
            "title": self.title,
            "status": self.status,
            "folder": self.folder,
            "owner": self.owner,
            "parent": self.parent or None,
            "failure_count": self.failure_count,
            "path": self.source,
            "diagnosis": [
                {"code": d.code, "line": d.line, "message": d.message, "hint": d.hint}
                for d in self.diagnoses
            ],
        }

    def key_of(self, name: str) -> str:
        """The key under which the file says it: `lane` for `status`; `name` itself by default."""
        return next(iter(self.spelt.get(name, ())), name)

    def line_of(self, name: str) -> int:
        """The line in the file that says the owner, the parent, …; 0 if there is none."""
        try:
            keys = self.spelt.get(name, [name])
            return next(filter(None, map(self.document.line_of, keys)), 0)
        except (OSError, OrchestrateError):
            return 0

    def contradictions(self, name: str) -> Iterator[tuple[int, str, str]]:
        """(line, what it says, what the last one says) of entries of one key that differ."""
        for key in self.spelt.get(name, [name]):
            last = f"{key}: {self.document.text(key)}"
            for line, text in self.document.said_otherwise(key):
                yield line, f"{key}: {text}", last

    def is_unchanged(self) -> bool:
        """Whether the file still has the bytes that the ticket was read from or written to."""
        try:
            return holds(self.path, self.data)
        except (OSError, OrchestrateError):
            return False

    @property
    def held_keys(self) -> set[str]:
        """Which of the keys that a pause writes it has."""
        if b"hold_reason" not in self.data and b"held_" not in self.data:
            return set()
        return {"hold_reason", "held_at", "held_from"} & set(self.meta)

    def section(self, heading: str) -> str | None:
        """The text below a heading of the body."""
        from orchestrator.markdown import body

        return body.section(self.body, heading)

    def boxes(self) -> tuple[Box, ...]:
        """The checklist items outside code."""
        from orchestrator.markdown import body

        return tuple(body.boxes(*self._lines_and_start))

    def criteria(self, own_headings: tuple[str, ...] = ()) -> Criteria:
        """What the ticket itself demands, and what looks like it and is not read.

        `own_headings` are the workspace's words for "acceptance criteria".
        """
        if own_headings not in self._criteria:
            self._criteria[own_headings] = self._read_criteria(own_headings)
        return self._criteria[own_headings]

    @cached_property
    def _criteria(self) -> dict[tuple[str, ...], Criteria]:
        return {}

    def _read_criteria(self, own_headings: tuple[str, ...]) -> Criteria:
        from orchestrator.domain.workflow import Statement, StatementKind
        from orchestrator.tickets.criteria import read_criteria
        from orchestrator.tickets.criteria_headings import criteria_in_keys
        from orchestrator.tickets.obligations import unread_obligations

        lines, start = self._lines_and_start
        found = read_criteria(
            lines, start, source=self.source, ticket=self.id, own_headings=own_headings
        )
        acceptance = StatementKind.ACCEPTANCE
        in_keys = (
            Statement(text, acceptance, self.source, line, group=key, ticket=self.id)
            for key, text in criteria_in_keys(self.meta, own_headings)
            if (line := self.line_of(key))
        )
        read = {s.line for s in found.statements} | {n for u in found.unread for n in u.lines}
        said = unread_obligations(lines, start, own_headings, read)
        return replace(
            found,
            statements=(*dict.fromkeys(in_keys), *found.statements),
            unread=(*found.unread, *([said] if said else ())),
        )

    def acceptance(self, own_headings: tuple[str, ...] = ()) -> tuple[Statement, ...]:
        """What the ticket itself demands: its criteria, and prohibitions."""
        return self.criteria(own_headings).statements

    @cached_property
    def _lines_and_start(self) -> tuple[list[str], int]:
        """All lines, and the first of the body (0-based); the keys are not parsed for them."""
        if self.parsed is None and self.content is not None:
            from orchestrator.markdown.frontmatter_parser import lines_of, locate

            lines = lines_of(self.content)
            block, _ = locate(lines)
            return lines, block.body if block else 0
        return self.document.lines, self.document.body_line - 1
