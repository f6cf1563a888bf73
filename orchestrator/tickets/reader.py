"""Reads a ticket: its keys, in whatever words they are written, become one vocabulary."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator.domain import id_grammar
from orchestrator.domain.folders import Folders
from orchestrator.domain.id_grammar import agree, begins_with, id_from_name, id_in_title
from orchestrator.domain.keys import key_table
from orchestrator.errors import UnsafePathError
from orchestrator.markdown import body
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.near_misses import folded
from orchestrator.markdown.problem import Diagnosis
from orchestrator.storage.atomic import read_saved
from orchestrator.tickets.diagnosis import diagnose_ticket
from orchestrator.tickets.ticket import Ticket, printable

_NOTHING = re.compile(r"(?:none|no|nothing|n/?a|n\.a\.|null|false|-+|—|–)(?:\W|\Z)", re.IGNORECASE)
_CHAIN = re.compile(r"\s*(?:→|⇒|->|=>|,|;|/|\+|&|\|)\s*|\s+and\s+|\s*\(")
_PIPELINE = re.compile(
    r"\bPipeline(?: workflow)?\**\s*:\s*(?:\*+\s*)?(?:`([^`\n]+)`|(\S+\.md)\b)", re.IGNORECASE
)
#: files that are about a folder
_READ_ME = ("readme", "index", "_index")
#: keys whose value is an id, whatever it looks like
_PARENTS = ("parent", "parent_ticket", "parent_id")
#: a title is among the first lines
_HEADER = 60


def read_ticket(
    path: Path,
    folders: Folders,
    root: Path | None = None,
    *,
    limit: int = 2,
    headings: tuple[str, ...] = (),
    keys: tuple[tuple[str, str], ...] = (),
) -> Ticket:
    """Read a ticket. A file that cannot be read gives a ticket with a diagnosis.

    `root` is the workspace, `folders` knows the board in it; without `root` the ticket's
    folder is the last one of `path`. `headings` are the workspace's own words for "acceptance
    criteria", `keys` its own keys with what they say. Raises FileNotFoundError.
    """
    folder = folders.folder_of(path, root)
    source = f"{folder}/{path.name}" if root is None else f"{_below(path.parent, root)}{path.name}"
    place: dict[str, Any] = {"path": path, "folder": folder, "source": printable(source)}
    try:
        document = Document.parse(read_saved(path))
        return ticket_from_document(document, place, folders, limit, headings, keys)
    except FileNotFoundError:
        raise
    except UnsafePathError as exc:
        found = Diagnosis(exc.code, exc.message, 0, exc.hint)
    except OSError as exc:
        found = Diagnosis("unreadable", exc.strerror or str(exc), 0, "check its permissions")
    named = id_from_name(path.name)
    role = folders.role_of(folder)
    return Ticket(named, role=role, note=not named, diagnoses=(found,), **place)


@lru_cache(maxsize=256)
def _below(folder: Path, root: Path) -> str:
    """A folder's path relative to the workspace, with a slash behind it; "" for the root."""
    below = folder.relative_to(root).as_posix()
    return "" if below == "." else f"{below}/"


def ticket_from_document(
    document: Document,
    place: dict[str, Any],
    folders: Folders,
    limit: int = 2,
    headings: tuple[str, ...] = (),
    keys: tuple[tuple[str, str], ...] = (),
) -> Ticket:
    """The ticket in a document with this `path`, `folder` and `source`."""
    path: Path = place["path"]
    said = _Said(document, key_table(keys).found_in(document.meta))
    id, own = _identity(said, path.name)
    if id_grammar.is_placeholder(id) or place["folder"].split("/")[0] == "TEMPLATES":
        found = Diagnosis("template", "a template, not a ticket")
        return Ticket(
            "",
            path,
            place["folder"],
            source=place["source"],
            note=True,
            diagnoses=(found,),
            content=document.data,
            parsed=document,
        )
    scope = folders.scope_of(place["folder"])
    recorded = _recorded(document.meta.get("flow"), _scoped(id, scope))
    role = folders.role_at(place["folder"], said.status, recorded)
    owners = _CHAIN.split(_one_line(said.text("owner")))
    children = _children(said, id)
    depends, note = _dependencies(said, id)
    every = folders.every_file and role is not None and path.stem.casefold() not in _READ_ME
    ticket = Ticket(
        id=_scoped(id, scope),
        title=_title(said, id, path.stem),
        status=said.status,
        owner=next(filter(None, owners), ""),
        parent=_scoped(_parent(said, id), scope),
        children=tuple(_scoped(child, scope) for child in children),
        child_roles={_scoped(child, scope): agent for child, agent in children.items() if agent},
        depends_on=tuple(_scoped(other, scope) for other in depends),
        depends_note=note,
        files=_files(said),
        failure_count=_count(document.meta.get("failure_count")),
        created=printable(said.text("created")),
        priority=printable(said.text("priority")),
        labels=_labels(said),
        workflow=_workflow(document),
        conducted=isinstance(document.meta.get("flow"), dict),
        recorded=recorded,
        own_id=own,
        spelt={name: held for name, held in said.keys.items() if held != [name]},
        scope=scope,
        note=not every and _is_note(said, own, id_from_name(path.name)),
        content=document.data,
        parsed=document,
        **place | {"role": role},
    )
    diagnoses = diagnose_ticket(ticket, document, limit, folders, headings, keys)
    if every:
        diagnoses = [d for d in diagnoses if d.code not in ("no-frontmatter", "no-id")]
    return ticket.told(diagnoses)


def _recorded(flow: Any, id: str) -> str:
    """Where a family's record has its parent, "" if it cannot be read."""
    members = flow.get("members") if isinstance(flow, dict) else None
    own = members.get(id) if isinstance(members, dict) else None
    at = own.get("at") if isinstance(own, dict) else None
    return at if isinstance(at, str) else ""


def _scoped(id: str, scope: str) -> str:
    """An id as the board has it; one that names another folder of the board is whole already."""
    return f"{scope}-{id}" if id and scope and re.match(r"\d{2,}-", id) is None else id


@dataclass(frozen=True)
class _Said:
    """A document, and which of its keys say what."""

    document: Document
    #: what is said → the keys that say it, the one that counts first
    keys: dict[str, list[str]]

    def text(self, name: str) -> str:
        return self.document.text(*self.keys.get(name, ()))

    @property
    def status(self) -> str:
        """The status; what is not text (`[APPROVED]`, `null`) as it is written, so it is told."""
        if text := self.text("status"):
            return printable(text)
        key = next(iter(self.keys.get("status", ())), "status")
        value = self.document.meta.get(key)
        return _one_line(self.document.raw(key) or ("" if value is None else str(value)))

    @property
    def id_in_title(self) -> str:
        """The id that the title, or the first heading, begins with."""
        if title := self.text("title"):
            return id_in_title(title)
        lines = body.lines_outside_code(self.document.body.splitlines()[:_HEADER])
        found = next(filter(None, (body.parse_heading(line) for _, line in lines)), None)
        return id_in_title(found[1]) if found and found[0] == 1 else ""


def _identity(said: _Said, name: str) -> tuple[str, bool]:
    """(id, whether a key gives it): from `id:` or its likes, else the file's name and the title."""
    own = unicodedata.normalize("NFC", said.text("id"))
    if own and id_grammar.is_usable_id(own):
        return own, True
    named, titled = id_from_name(name), said.id_in_title
    loose = unicodedata.normalize("NFC", said.text("id_or_words"))
    if id_grammar.is_id(loose) and (not named or agree(named, loose)):
        return loose, False
    if titled and (not named or begins_with(name, titled)):
        # a name that goes on in words may hold more of the id than its shape shows
        return titled, False
    stem = name.rpartition(".")[0] or name
    return named or unicodedata.normalize("NFC", printable(stem)), False


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())


def _is_note(said: _Said, own: bool, named: str) -> bool:
    """Whether neither the file's content nor its name shows that it is a ticket."""
    document = said.document
    if any(d.code == "leading-rule" for d in document.diagnoses):
        return True
    if own or named[:2] in ("WO", "GO"):
        return False
    loose = id_grammar.is_id(said.text("id_or_words"))
    return document.block is None or not (loose or {"status", "owner"} & said.keys.keys())


def _title(said: _Said, id: str, name: str) -> str:
    """`title:`, else the first heading of level 1 or with the id, else the file's name."""
    if title := said.text("title"):
        return printable(title)
    for _, line in body.lines_outside_code(said.document.body.splitlines()[:_HEADER]):
        found = body.parse_heading(line)
        if found and (found[0] == 1 or (id and found[1].startswith(id))):
            return printable(found[1].removeprefix(id).lstrip(" :—–-") or found[1])
    return printable(re.sub(r"[_-]+", " ", name.removeprefix(id)).strip())


def _count(value: Any) -> int:
    digits = re.fullmatch(r"\s*(\d{1,6})\b.*", str(value), re.DOTALL)
    return int(digits[1]) if digits and not isinstance(value, bool) else 0


def _texts(said: _Said, name: str) -> Iterator[str]:
    """Every text under the keys for it: a list's items, a text's comma-separated ids."""
    for key in said.keys.get(name, ()):
        value = said.document.meta[key]
        items = value if isinstance(value, list) else [said.document.text(key)]
        if isinstance(value, dict):
            items = [f"{name} {'' if more is None else more}" for name, more in value.items()]
        for item in items:
            text = _one_line(str(item)) if item is not None else ""
            parts = re.split(r"\s*[,;]\s*", text)
            yield from parts if all(map(id_grammar.is_usable_id, parts)) else [text]


def _dependencies(said: _Said, id: str) -> tuple[tuple[str, ...], str]:
    ids: list[str] = []
    prose: list[str] = []
    for text in _texts(said, "depends_on"):
        if text and not _NOTHING.match(text):
            ids += id_grammar.ids_in_field(text, id)
            if not id_grammar.is_field_id(text, id):
                prose.append(text)
    return tuple(dict.fromkeys(ids)), "; ".join(prose)


def _children(said: _Said, id: str) -> dict[str, str]:
    """Child → the role named with it, or ""."""
    children: dict[str, str] = {}
    for text in _texts(said, "children"):
        for child, role in id_grammar.ids_with_roles(text, id):
            children.setdefault(child, role)
    if folded(said.keys.get("children", ["-"])[0]).startswith("sub"):
        # `subtasks: [T001, T002]` are steps of the file itself
        prefix = id_grammar.prefix_of(id)
        return {c: role for c, role in children.items() if id_grammar.prefix_of(c) == prefix}
    return children


def _labels(said: _Said) -> tuple[str, ...]:
    """The labels: a list's items, or what a text separates with commas."""
    found: list[str] = []
    for key in said.keys.get("labels", ()):
        value = said.document.meta[key]
        items = map(str, value) if isinstance(value, list) else said.document.text(key).split(",")
        found += (_one_line(item).strip("#\"'` ") for item in items)
    return tuple(dict.fromkeys(label for label in found if label and not _NOTHING.match(label)))


def _files(said: _Said) -> tuple[str, ...]:
    """The paths under `files:` without the remarks behind them (`src/a.ts  [NEW]`)."""
    texts = (text.strip("`'\"") for text in _texts(said, "files"))
    found = (re.split(r"\s+[\[(#—–-]|\s{2,}", text)[0].strip() for text in texts)
    return tuple(dict.fromkeys(p.removeprefix("./") for p in found if p and not _NOTHING.match(p)))


def _parent(said: _Said, id: str) -> str:
    text = printable(said.text("parent"))
    if not text or _NOTHING.match(text):
        return ""
    if id_grammar.is_usable_id(text):
        # "epic: payments" names a theme, no ticket
        return text if said.keys["parent"][0] in _PARENTS or id_grammar.is_id(text) else ""
    return next(iter(id_grammar.ids_in_field(text, id)), "")


def _workflow(document: Document) -> str:
    if named := document.text("pipeline_workflow"):
        return printable(named)
    if "pipeline" in document.body.lower():
        for _, line in body.lines_outside_code(document.body.splitlines()):
            if found := _PIPELINE.search(line):
                return printable((found[1] or found[2]).strip())
    return ""
