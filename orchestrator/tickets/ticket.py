"""A ticket: one markdown file of the board, its keys folded to one vocabulary."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.domain.folders import Folders
from orchestrator.domain.states import FolderRole
from orchestrator.domain.workflow import Statement, StatementKind
from orchestrator.errors import OrchestrateError, TicketError, UnsafePathError
from orchestrator.markdown import body
from orchestrator.markdown.body import Box
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.frontmatter_parser import Diagnosis, lines_of, locate
from orchestrator.markdown.prohibitions import prohibition_in_line
from orchestrator.storage.atomic import read, read_saved
from orchestrator.tickets import id_grammar
from orchestrator.tickets.diagnosis import diagnose_ticket
from orchestrator.tickets.id_grammar import ID_KEYS, id_from_name

OWNER_KEYS = ("owner", "assigned_to")
PARENT_KEYS = ("parent", "parent_ticket", "parent_epic", "epic_ref")
CHILD_KEYS = ("children", "child_tickets", "child_wos", "child_work_orders")
DEPENDENCY_KEYS = ("depends_on", "blocked_by", "blocked_on", "prerequisite")
CREATED_KEYS = ("created", "created_date", "created_at", "date", "date_created", "filed")

_NOTHING = re.compile(r"(?:none|no|nothing|n/?a|n\.a\.|null|false|-+|—|–)(?:\W|\Z)", re.IGNORECASE)
_CHAIN = re.compile(r"\s*(?:→|⇒|->|=>|,|;|/|\+|&|\|)\s*|\s+and\s+|\s*\(")
_PIPELINE = re.compile(
    r"\bPipeline(?: workflow)?\**\s*:\s*(?:\*+\s*)?(?:`([^`\n]+)`|(\S+\.md)\b)", re.IGNORECASE
)
#: a few words may precede it, a title's id with a colon may not
_ACCEPTANCE = re.compile(
    r"[\W\d]*(?:[\w-]+\s+){0,3}"
    r"(?:acceptance (?:criteria|criterion|tests?)|definition of done|done when)\b",
    re.IGNORECASE,
)
#: a title is among the first lines
_HEADER = 60


def is_wide(data: bytes) -> bool:
    """Whether a file is UTF-16 or UTF-32: a line of UTF-8 in it would spoil it for its editor."""
    return data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4]


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
    depends_note: str = ""
    #: what it may change, relative to the workspace; empty if it does not say
    files: tuple[str, ...] = ()
    failure_count: int = 0
    created: str = ""
    priority: str = ""
    #: the workflow that the ticket names, as written
    workflow: str = ""
    #: whether it carries a family's record (`flow:`)
    conducted: bool = False
    #: path relative to the workspace
    source: str = ""
    #: the id is in the frontmatter, not only in the file's name
    own_id: bool = False
    #: a file on the board that is not a ticket: a template, a note, a read-me
    note: bool = False
    diagnoses: tuple[Diagnosis, ...] = ()
    #: the bytes that it was read from or written to, if they are kept in memory
    content: bytes | None = field(default=None, repr=False, compare=False)
    #: `content`, if it is parsed already
    parsed: Document | None = field(default=None, repr=False, compare=False)
    #: the family's record that was just written into it (a `Flow`), if it was
    record: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def read(
        cls, path: Path, folders: Folders, root: Path | None = None, *, limit: int = 2
    ) -> Ticket:
        """Read a ticket. A file that cannot be read gives a ticket with a diagnosis.

        `root` is the workspace, `folders` knows the board in it; without `root` the ticket's
        folder is the last one of `path`. Raises FileNotFoundError.
        """
        folder = folders.folder_of(path, root)
        source = path.relative_to(root).as_posix() if root else f"{folder}/{path.name}"
        place: dict[str, Any] = {"path": path, "folder": folder, "source": _clean(source)}
        place["role"] = folders.role_of(folder)
        try:
            return cls.of(Document.parse(read_saved(path)), place, folders, limit)
        except FileNotFoundError:
            raise
        except UnsafePathError as exc:
            found = Diagnosis(exc.code, exc.message, 0, exc.hint)
        except OSError as exc:
            found = Diagnosis("unreadable", exc.strerror or str(exc), 0, "check its permissions")
        named = id_from_name(path.name)
        return cls(named, note=not named, diagnoses=(found,), **place)

    @classmethod
    def of(
        cls, document: Document, place: dict[str, Any], folders: Folders, limit: int = 2
    ) -> Ticket:
        """The ticket in a document with this `path`, `folder`, `role` and `source`."""
        own = unicodedata.normalize("NFC", document.text(*ID_KEYS))
        own = own if id_grammar.is_usable_id(own) else ""
        path: Path = place["path"]
        named = id_from_name(path.name)
        id = own or named or unicodedata.normalize("NFC", _clean(path.stem))
        if id_grammar.is_placeholder(id) or place["folder"].split("/")[0] == "TEMPLATES":
            found = Diagnosis("template", "a template, not a ticket")
            return cls(
                "",
                path,
                place["folder"],
                source=place["source"],
                note=True,
                diagnoses=(found,),
                content=document.data,
                parsed=document,
            )
        owners = _CHAIN.split(_one_line(document.text(*OWNER_KEYS)))
        children = _children(document)
        depends, note = _dependencies(document)
        ticket = cls(
            id=id,
            title=_title(document, own or named, path.stem),
            status=_clean(document.text("status")),
            owner=next(filter(None, owners), ""),
            parent=_parent(document),
            children=tuple(children),
            child_roles={child: role for child, role in children.items() if role},
            depends_on=depends,
            depends_note=note,
            files=_files(document),
            failure_count=_count(document.meta.get("failure_count")),
            created=_clean(document.text(*CREATED_KEYS)),
            priority=_clean(document.text("priority")),
            workflow=_workflow(document),
            conducted=isinstance(document.meta.get("flow"), dict),
            own_id=bool(own),
            note=_is_note(document, own, named),
            content=document.data,
            parsed=document,
            **place,
        )
        diagnoses = diagnose_ticket(ticket, document, limit, folders.role_of_status)
        return replace(ticket, diagnoses=tuple(diagnoses))

    def without_text(self) -> Ticket:
        """The ticket without its file's bytes in memory; they are read again when needed."""
        return replace(self, content=None, parsed=None)

    def rewritten(self, data: bytes, path: Path, record: Any = None, **fields: Any) -> Ticket:
        """The ticket after `data` was written to `path` with `record` and changed `fields`.

        The text is not parsed until it is needed.
        """
        return replace(self, path=path, content=data, parsed=None, record=record, **fields)

    def require_utf8(self) -> None:
        """Raise TicketError if fields may not be written into the file (`is_wide`)."""
        if is_wide(self.data):
            raise TicketError(
                "the file is UTF-16 or UTF-32, not UTF-8",
                path=self.path,
                code="not-utf8",
                hint="save it as UTF-8",
            )

    # -- read on demand ----------------------------------------------------------------------

    @cached_property
    def document(self) -> Document:
        """The file's content: as first read, or as it is now if the ticket came from an index."""
        if self.parsed is not None:
            return self.parsed
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

    def line_of(self, *keys: str) -> int:
        """The line of the first of these keys in the file, 0 if there is none."""
        try:
            return next(filter(None, map(self.document.line_of, keys)), 0)
        except (OSError, OrchestrateError):
            return 0

    def section(self, heading: str) -> str | None:
        """The text below a heading of the body."""
        return body.section(self.body, heading)

    def boxes(self) -> tuple[Box, ...]:
        """The checklist items outside code."""
        return tuple(body.boxes(*self._lines_and_start))

    def acceptance(self) -> tuple[Statement, ...]:
        """What the ticket itself demands: boxes of its acceptance criteria, and prohibitions."""
        found = []
        for box in self.boxes():
            if any(map(_ACCEPTANCE.match, box.above)):
                statement = Statement(
                    box.text,
                    StatementKind.ACCEPTANCE,
                    self.source,
                    box.line + 1,
                    group=box.group,
                    ticked=box.ticked,
                    ticket=self.id,
                )
                found.append(statement)
        for line in body.placed_lines(*self._lines_and_start):
            if text := prohibition_in_line(line.text):
                kind = StatementKind.PROHIBITION
                found.append(
                    Statement(
                        text, kind, self.source, line.at + 1, group=line.group, ticket=self.id
                    )
                )
        return tuple(sorted(found, key=lambda statement: statement.line))

    @cached_property
    def _lines_and_start(self) -> tuple[list[str], int]:
        """All lines, and the first of the body (0-based); the keys are not parsed for them."""
        if self.parsed is None and self.content is not None:
            lines = lines_of(self.content)
            block, _ = locate(lines)
            return lines, block.body if block else 0
        return self.document.lines, self.document.body_line - 1


# -- folding -------------------------------------------------------------------------------------


def _clean(text: str) -> str:
    """Without lone surrogates (bytes that were not UTF-8), so that it can be printed."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _one_line(text: str) -> str:
    return " ".join(_clean(text).split())


def _is_note(document: Document, own: str, named: str) -> bool:
    """Whether neither the file's content nor its name shows that it is a ticket."""
    if any(d.code == "leading-rule" for d in document.diagnoses):
        return True
    if own or named[:2] in ("WO", "GO"):
        return False
    return document.block is None or not {"status", *OWNER_KEYS} & set(document.meta)


def _title(document: Document, id: str, name: str) -> str:
    """`title:`, else the first heading of level 1 or with the id, else the file's name."""
    if title := document.text("title"):
        return _clean(title)
    for _, line in body.lines_outside_code(document.body.splitlines()[:_HEADER]):
        found = body.parse_heading(line)
        if found and (found[0] == 1 or (id and found[1].startswith(id))):
            return _clean(found[1].removeprefix(id).lstrip(" :—–-") or found[1])
    return _clean(re.sub(r"[_-]+", " ", name.removeprefix(id)).strip())


def _count(value: Any) -> int:
    digits = re.fullmatch(r"\s*(\d{1,6})\b.*", str(value), re.DOTALL)
    return int(digits[1]) if digits and not isinstance(value, bool) else 0


def _texts(document: Document, keys: Iterable[str]) -> Iterator[str]:
    """Every text under the keys: a list's items, a text's comma-separated ids."""
    for key in keys:
        if key not in document.meta:
            continue
        value = document.meta[key]
        for item in value if isinstance(value, list) else [document.text(key)]:
            text = _one_line(str(item)) if item is not None else ""
            parts = re.split(r"\s*[,;]\s*", text)
            yield from parts if all(map(id_grammar.is_usable_id, parts)) else [text]


def _dependencies(document: Document) -> tuple[tuple[str, ...], str]:
    ids: list[str] = []
    prose: list[str] = []
    for text in _texts(document, DEPENDENCY_KEYS):
        if text and not _NOTHING.match(text):
            ids += id_grammar.ids_in_field(text)
            if not id_grammar.is_field_id(text):
                prose.append(text)
    return tuple(dict.fromkeys(ids)), "; ".join(prose)


def _children(document: Document) -> dict[str, str]:
    """Child → the role named with it, or ""."""
    children: dict[str, str] = {}
    for text in _texts(document, CHILD_KEYS):
        for id, role in id_grammar.ids_with_roles(text):
            children.setdefault(id, role)
    return children


def _files(document: Document) -> tuple[str, ...]:
    """The paths under `files:` without the remarks behind them (`src/a.ts  [NEW]`)."""
    texts = (text.strip("`'\"") for text in _texts(document, ("files",)))
    found = (re.split(r"\s+[\[(#—–-]|\s{2,}", text)[0].strip() for text in texts)
    return tuple(dict.fromkeys(p.removeprefix("./") for p in found if p and not _NOTHING.match(p)))


def _parent(document: Document) -> str:
    text = _clean(document.text(*PARENT_KEYS))
    if not text or _NOTHING.match(text):
        return ""
    return text if id_grammar.is_usable_id(text) else next(iter(id_grammar.ids_in_field(text)), "")


def _workflow(document: Document) -> str:
    if named := document.text("pipeline_workflow"):
        return _clean(named)
    if "pipeline" in document.body.lower():
        for _, line in body.lines_outside_code(document.body.splitlines()):
            if found := _PIPELINE.search(line):
                return _clean((found[1] or found[2]).strip())
    return ""
