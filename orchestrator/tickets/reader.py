"""Reads a ticket: its keys, in whatever words they are written, become one vocabulary."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.domain.folders import Folders
from orchestrator.errors import UnsafePathError
from orchestrator.markdown import body
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.frontmatter_parser import Diagnosis
from orchestrator.storage.atomic import read_saved
from orchestrator.tickets import id_grammar
from orchestrator.tickets.diagnosis import diagnose_ticket
from orchestrator.tickets.id_grammar import ID_KEYS, id_from_name
from orchestrator.tickets.ticket import (
    CHILD_KEYS,
    CREATED_KEYS,
    DEPENDENCY_KEYS,
    OWNER_KEYS,
    PARENT_KEYS,
    Ticket,
)

_NOTHING = re.compile(r"(?:none|no|nothing|n/?a|n\.a\.|null|false|-+|—|–)(?:\W|\Z)", re.IGNORECASE)
_CHAIN = re.compile(r"\s*(?:→|⇒|->|=>|,|;|/|\+|&|\|)\s*|\s+and\s+|\s*\(")
_PIPELINE = re.compile(
    r"\bPipeline(?: workflow)?\**\s*:\s*(?:\*+\s*)?(?:`([^`\n]+)`|(\S+\.md)\b)", re.IGNORECASE
)
#: a title is among the first lines
_HEADER = 60


def read_ticket(
    path: Path,
    folders: Folders,
    root: Path | None = None,
    *,
    limit: int = 2,
    headings: tuple[str, ...] = (),
) -> Ticket:
    """Read a ticket. A file that cannot be read gives a ticket with a diagnosis.

    `root` is the workspace, `folders` knows the board in it; without `root` the ticket's
    folder is the last one of `path`. `headings` are the workspace's own words for "acceptance
    criteria". Raises FileNotFoundError.
    """
    folder = folders.folder_of(path, root)
    source = path.relative_to(root).as_posix() if root else f"{folder}/{path.name}"
    place: dict[str, Any] = {"path": path, "folder": folder, "source": _clean(source)}
    place["role"] = folders.role_of(folder)
    try:
        document = Document.parse(read_saved(path))
        return ticket_from_document(document, place, folders, limit, headings)
    except FileNotFoundError:
        raise
    except UnsafePathError as exc:
        found = Diagnosis(exc.code, exc.message, 0, exc.hint)
    except OSError as exc:
        found = Diagnosis("unreadable", exc.strerror or str(exc), 0, "check its permissions")
    named = id_from_name(path.name)
    return Ticket(named, note=not named, diagnoses=(found,), **place)


def ticket_from_document(
    document: Document,
    place: dict[str, Any],
    folders: Folders,
    limit: int = 2,
    headings: tuple[str, ...] = (),
) -> Ticket:
    """The ticket in a document with this `path`, `folder`, `role` and `source`."""
    own = unicodedata.normalize("NFC", document.text(*ID_KEYS))
    own = own if id_grammar.is_usable_id(own) else ""
    path: Path = place["path"]
    named = id_from_name(path.name)
    id = own or named or unicodedata.normalize("NFC", _clean(path.stem))
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
    owners = _CHAIN.split(_one_line(document.text(*OWNER_KEYS)))
    children = _children(document)
    depends, note = _dependencies(document)
    ticket = Ticket(
        id=id,
        title=_title(document, own or named, path.stem),
        status=_status(document),
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
    diagnoses = diagnose_ticket(ticket, document, limit, folders.role_of_status, headings)
    return replace(ticket, diagnoses=tuple(diagnoses))


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


def _status(document: Document) -> str:
    """The status; what is no text (`[APPROVED]`, `null`) as it is written, so that it is told."""
    if text := document.text("status"):
        return _clean(text)
    value = document.meta.get("status")
    return _one_line(document.raw("status") or ("" if value is None else str(value)))


def _workflow(document: Document) -> str:
    if named := document.text("pipeline_workflow"):
        return _clean(named)
    if "pipeline" in document.body.lower():
        for _, line in body.lines_outside_code(document.body.splitlines()):
            if found := _PIPELINE.search(line):
                return _clean((found[1] or found[2]).strip())
    return ""
