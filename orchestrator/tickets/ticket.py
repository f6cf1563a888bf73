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
from orchestrator.storage.atomic import read, read_saved
from orchestrator.tickets.diagnosis import diagnose_ticket

ID_KEYS = ("id", "work_order_id", "wo")
OWNER_KEYS = ("owner", "assigned_to")
PARENT_KEYS = ("parent", "parent_ticket", "parent_epic", "epic_ref")
CHILD_KEYS = ("children", "child_tickets", "child_wos", "child_work_orders")
DEPENDENCY_KEYS = ("depends_on", "blocked_by", "blocked_on", "prerequisite")
CREATED_KEYS = ("created", "created_date", "created_at", "date", "date_created", "filed")

_NUMBER = r"\d+(?:\.\d+|-\d{3,}|-?[A-Za-z])?(?=[-_. ]|$)"
_NAME = re.compile(
    rf"(?:(?:WO|GO)[-_](?:{_NUMBER}|EPIC-\d+"
    r"|[A-Z](?:\d+[a-z]?|[A-Z]{1,3}\d+[a-z])(?=[-_. ]|$)"
    r"|[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*(?=[-_. ]|$))"
    rf"|[A-Z][A-Z0-9]*-{_NUMBER})"
)
#: what may be an id at all: it becomes part of file names
_ID = re.compile(r"[^\W_][\w.-]{0,79}")
_ID_IN_PROSE = re.compile(r"\b[A-Z][A-Z0-9]*[-_](?:\d\w*|(?<=[WG]O[-_])[A-Z]\w*)(?:[.-]\w+)*")
_CHILD = re.compile(rf"(?P<id>{_ID_IN_PROSE.pattern})(?: ?\( ?(?P<role>[A-Z][A-Z_]+)\b)?")
_NOTHING = re.compile(r"(?:none|no|nothing|n/?a|n\.a\.|null|false|-+|—|–)(?:\W|\Z)", re.IGNORECASE)
_CHAIN = re.compile(r"\s*(?:→|⇒|->|=>|,|;|/|\+|&|\|)\s*|\s+and\s+|\s*\(")
_PLACEHOLDER = re.compile(r"[A-Z]+[-_](?:N{2,}|X{2,}|#+)[a-z]?")
_PIPELINE = re.compile(
    r"\bPipeline(?: workflow)?\**\s*:\s*(?:\*+\s*)?(?:`([^`\n]+)`|(\S+\.md)\b)", re.IGNORECASE
)
#: a few words may stand before it, a title's id with a colon may not
_ACCEPTANCE = re.compile(
    r"[\W\d]*(?:[\w-]+\s+){0,3}"
    r"(?:acceptance (?:criteria|criterion|tests?)|definition of done|done when)\b",
    re.IGNORECASE,
)
_PROHIBITION = re.compile(
    r"\s*(?:(?:[-*+]|\d{1,9}[.)])\s+)?(?P<text>(?:\*\*|__)?do(?:es)? not\b.*)", re.IGNORECASE
)
#: a title stands within so many lines
_HEADER = 60
_REASON = re.compile(r"\s+(?:—|–|--|-)\s+")


def is_wide(data: bytes) -> bool:
    """Whether a file is UTF-16 or UTF-32: a line of UTF-8 in it would spoil it for its editor."""
    return data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4]


def id_from_name(name: str) -> str:
    """The id that a file name begins with, "" if none: `WO-231b_Slug.md` is WO-231b."""
    found = _NAME.match(unicodedata.normalize("NFC", name))
    return found.group() if found else ""


@dataclass(frozen=True)
class Ticket:
    """One ticket as it lay on the board when it was read. Texts are as in the file."""

    id: str
    #: the file, below the workspace's root as that was given
    path: Path
    #: its place below the board, "03_BUILD"; "" on the board itself
    folder: str = ""
    role: FolderRole | None = None
    title: str = ""
    #: "" where the file gives none
    status: str = ""
    #: the first role of a chain; PENDING… and UNASSIGNED as they stand
    owner: str = ""
    parent: str = ""
    children: tuple[str, ...] = ()
    #: child → the role named beside it
    child_roles: dict[str, str] = field(default_factory=dict, hash=False)
    depends_on: tuple[str, ...] = ()
    #: what the dependencies say besides ids
    depends_note: str = ""
    #: what it may change, relative to the workspace; empty where it does not say
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
    #: the id stands in the frontmatter, not in the file's name only
    own_id: bool = False
    #: a file on the board that is no ticket: a template, a note, a read-me
    note: bool = False
    diagnoses: tuple[Diagnosis, ...] = ()

    @classmethod
    def read(
        cls, path: Path, folders: Folders, root: Path | None = None, *, limit: int = 2
    ) -> Ticket:
        """Read a ticket. A file that cannot be read gives a ticket that says so.

        `root` is the workspace, `folders` knows the board below it; without `root` the ticket's
        folder is the last one of `path`. Raises FileNotFoundError.
        """
        folder = folders.folder_of(path, root)
        source = path.relative_to(root).as_posix() if root else f"{folder}/{path.name}"
        place: dict[str, Any] = {"path": path, "folder": folder, "source": _clean(source)}
        place["role"] = folders.role_of(folder)
        try:
            data = read_saved(path)
        except FileNotFoundError:
            raise
        except (UnsafePathError, OSError) as exc:
            return cls._unreadable(exc, place)
        return cls.of(Document.parse(data), place, folders, limit)

    @classmethod
    def _unreadable(cls, exc: Exception, place: dict[str, Any]) -> Ticket:
        named = id_from_name(place["path"].name)
        if isinstance(exc, UnsafePathError):
            found = Diagnosis(exc.code, exc.message, 0, exc.hint)
        else:
            found = Diagnosis("unreadable", _reason(exc), 0, "check its rights")
        return cls(named, note=not named, diagnoses=(found,), **place)

    @classmethod
    def of(
        cls, document: Document, place: dict[str, Any], folders: Folders, limit: int = 2
    ) -> Ticket:
        """The ticket that a document is at a place: `path`, `folder`, `role`, `source`."""
        own, named = _own_id(document), id_from_name(place["path"].name)
        children, hints = _children(document)
        depends, note = _dependencies(document)
        ticket = cls(
            id=own or named or unicodedata.normalize("NFC", _clean(place["path"].stem)),
            title=_title(document, own or named, place["path"].stem),
            status=_clean(document.text("status")),
            owner=_owner(document),
            parent=_parent(document),
            children=children,
            child_roles=hints,
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
            **place,
        )
        return ticket._diagnosed(document, folders, limit)

    def _diagnosed(self, document: Document, folders: Folders, limit: int) -> Ticket:
        if _PLACEHOLDER.fullmatch(self.id) or self.folder.split("/")[0] == "TEMPLATES":
            found = Diagnosis("template", "a template, not a ticket")
            ticket = Ticket(
                "", self.path, self.folder, source=self.source, note=True, diagnoses=(found,)
            )
        else:
            self.__dict__["document"] = document
            odd = diagnose_ticket(self, document, limit, folders.role_of_status)
            ticket = replace(self, diagnoses=tuple(odd))
        ticket.__dict__["document"] = document
        return ticket

    # -- what is read when it is asked for ---------------------------------------------------

    @cached_property
    def document(self) -> Document:
        """The file's content: as first read, or as it is now if the ticket came from an index."""
        written: bytes | None = self.__dict__.get("written")
        return Document.parse(read(self.path) if written is None else written)

    def rewritten(self, data: bytes, path: Path, record: Any = None, **fields: Any) -> Ticket:
        """The ticket after these bytes were written, with that record, lying at `path`.

        `fields` are those that the writer changed; the text is parsed when it is asked for.
        """
        ticket = replace(self, path=path, **fields)
        ticket.__dict__["written"] = data
        ticket.__dict__["record_written"] = record
        return ticket

    @property
    def data(self) -> bytes:
        """The bytes that the ticket was read from or written to."""
        written: bytes | None = self.__dict__.get("written")
        return self.document.data if written is None else written

    def require_utf8(self) -> None:
        """Raise TicketError if fields may not be written into the file (`is_wide`)."""
        if is_wide(self.data):
            raise TicketError(
                "it is UTF-16 or UTF-32, not UTF-8",
                path=self.path,
                code="not-utf8",
                hint="save it as UTF-8",
            )

    @property
    def known_data(self) -> bytes | None:
        """The same, None if they were not kept."""
        if "written" in self.__dict__ or "document" in self.__dict__:
            return self.data
        return None

    @property
    def record(self) -> Any:
        """The record that was written into the ticket; None if it has to be read from the text."""
        return self.__dict__.get("record_written")

    @property
    def meta(self) -> dict[str, Any]:
        """The frontmatter."""
        return self.document.meta

    @property
    def body(self) -> str:
        """The markdown below the frontmatter."""
        return self.document.body

    def line_of(self, *keys: str) -> int:
        """The line of the first of these keys that the file has, 0 if there is none.

        The file is read for it.
        """
        try:
            lines = map(self.document.line_of, keys)
            return next(filter(None, lines), 0)
        except (OSError, OrchestrateError):
            return 0

    @property
    def flow(self) -> dict[str, Any] | None:
        """The family's record, if this is a conducted parent."""
        flow = self.meta.get("flow") if self.conducted else None
        return flow if isinstance(flow, dict) else None

    def section(self, heading: str) -> str | None:
        """What stands below a heading of the body."""
        return body.section(self.body, heading)

    def boxes(self) -> tuple[Box, ...]:
        """The checklist items outside code."""
        return tuple(body.boxes(self._lines, self._start))

    def acceptance(self) -> tuple[Statement, ...]:
        """What the ticket itself demands: boxes of its acceptance criteria, and prohibitions."""
        found = [*self._criteria(), *self._prohibitions()]
        return tuple(sorted(found, key=lambda statement: statement.line))

    def _criteria(self) -> Iterator[Statement]:
        for box in self.boxes():
            if any(_ACCEPTANCE.match(text) for text in box.above):
                yield self._statement(
                    StatementKind.ACCEPTANCE, box.text, box.line, box.group, box.ticked
                )

    def _prohibitions(self) -> Iterator[Statement]:
        for line in body.placed(self._lines, self._start):
            if found := _PROHIBITION.match(line.text):
                text = _REASON.split(" ".join(found["text"].split()), maxsplit=1)[0].strip()
                yield self._statement(
                    StatementKind.PROHIBITION, text.replace("**", ""), line.at, line.group
                )

    def _statement(
        self, kind: StatementKind, text: str, at: int, group: str, ticked: bool = False
    ) -> Statement:
        return Statement(
            text, kind, self.source, at + 1, group=group, ticked=ticked, ticket=self.id
        )

    @property
    def _lines(self) -> list[str]:
        return self._text[0]

    @property
    def _start(self) -> int:
        return self._text[1]

    @cached_property
    def _text(self) -> tuple[list[str], int]:
        """All lines, and the first of the body (0-based); the keys are not read for them."""
        if "document" not in self.__dict__ and "written" in self.__dict__:
            lines = lines_of(self.data)
            block, _ = locate(lines)
            return lines, block.body if block else 0
        return self.document.lines, self.document.body_line - 1


# -- folding -------------------------------------------------------------------------------------


def _reason(exc: Exception) -> str:
    return (isinstance(exc, OSError) and exc.strerror) or str(exc)


def _clean(text: str) -> str:
    """Without lone surrogates (bytes that were no UTF-8), so that it can be printed."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _one_line(text: str) -> str:
    return " ".join(_clean(text).split())


def _own_id(document: Document) -> str:
    text = unicodedata.normalize("NFC", document.text(*ID_KEYS))
    return text if _ID.fullmatch(text) else ""


def _is_note(document: Document, own: str, named: str) -> bool:
    """A file that neither says nor shows that it is a ticket."""
    if any(d.code == "leading-rule" for d in document.diagnoses):
        return True
    if own or named[:2] in ("WO", "GO"):
        return False
    stated = {"status", *OWNER_KEYS} & set(document.meta)
    return document.block is None or not stated


def _title(document: Document, id: str, name: str) -> str:
    """`title:`, else the first heading of level 1 or with the id, else the file's name."""
    if title := document.text("title"):
        return _clean(title)
    for _, line in body.outside_code(document.body.splitlines()[:_HEADER]):
        found = body.heading(line)
        if found and (found[0] == 1 or (id and found[1].startswith(id))):
            return _clean(found[1].removeprefix(id).lstrip(" :—–-") or found[1])
    return _clean(re.sub(r"[_-]+", " ", name.removeprefix(id)).strip())


def _owner(document: Document) -> str:
    text = _one_line(document.text(*OWNER_KEYS))
    return next((part for part in _CHAIN.split(text) if part), "")


def _count(value: Any) -> int:
    digits = re.fullmatch(r"\s*(\d{1,6})\b.*", str(value), re.DOTALL)
    return int(digits[1]) if digits and not isinstance(value, bool) else 0


def _texts(document: Document, keys: Iterable[str]) -> Iterator[str]:
    """Every text under the keys: a list's items, a text's comma-separated ids."""
    for key in keys:
        if key not in document.meta:
            continue
        value = document.meta[key]
        items = value if isinstance(value, list) else [document.text(key)]
        for item in items:
            text = _one_line(str(item)) if item is not None else ""
            parts = re.split(r"\s*[,;]\s*", text)
            yield from parts if all(_ID.fullmatch(part) for part in parts) else [text]


def ids_in(text: str) -> tuple[str, ...]:
    """The ids that a text names."""
    return tuple(dict.fromkeys(_ID_IN_PROSE.findall(text)))


def _dependencies(document: Document) -> tuple[tuple[str, ...], str]:
    ids: list[str] = []
    prose: list[str] = []
    for text in _texts(document, DEPENDENCY_KEYS):
        if not text or _NOTHING.match(text):
            continue
        if _ID_IN_PROSE.fullmatch(text):
            ids.append(text)
        else:
            ids += ids_in(text)
            prose.append(text)
    return tuple(dict.fromkeys(ids)), "; ".join(prose)


def _children(document: Document) -> tuple[tuple[str, ...], dict[str, str]]:
    ids: dict[str, str] = {}
    for text in _texts(document, CHILD_KEYS):
        for found in _CHILD.finditer(text):
            ids.setdefault(found["id"], found["role"] or "")
    return tuple(ids), {id: role for id, role in ids.items() if role}


def _files(document: Document) -> tuple[str, ...]:
    """The paths under `files:`; a remark behind a path (`src/a.ts  [NEW]`) is left out."""
    texts = (text.strip("`'\"") for text in _texts(document, ("files",)))
    found = (re.split(r"\s+[\[(#—–-]|\s{2,}", text)[0].strip() for text in texts)
    return tuple(dict.fromkeys(p.removeprefix("./") for p in found if p and not _NOTHING.match(p)))


def _parent(document: Document) -> str:
    text = _clean(document.text(*PARENT_KEYS))
    if not text or _NOTHING.match(text):
        return ""
    return text if _ID.fullmatch(text) else next(iter(ids_in(text)), "")


def _workflow(document: Document) -> str:
    if named := document.text("pipeline_workflow"):
        return _clean(named)
    if "pipeline" not in document.body.lower():
        return ""
    for _, line in body.outside_code(document.body.splitlines()):
        if found := _PIPELINE.search(line):
            return _clean((found[1] or found[2]).strip())
    return ""
