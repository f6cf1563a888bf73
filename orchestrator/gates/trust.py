"""Whether rules in the workspace (settings, checks) are a person's, or were approved by USER."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.gates.checks import Context
from orchestrator.storage.atomic import sha256_file


def is_trusted(ctx: Context, path: str) -> bool:
    """Whether no agent of the family changed a file, or USER approved a question that showed it."""
    changed = ctx.changed() if ctx.changed is not None else None
    if path not in (changed or ()) or (ctx.by_person is not None and ctx.by_person(path)):
        return True
    file = ctx.path(path)
    return file.is_file() and (path, sha256_file(file)) in approved_files(ctx.history)


def approved_files(records: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """(path, sha256) of every changed file in the questions of a history that USER approved."""
    shown: dict[str, Mapping[str, Any]] = {}
    found: set[tuple[str, str]] = set()
    for record in records:
        if record.get("type") == "question":
            shown[record["digest"]] = record["sheet"]
        elif record.get("type") == "answer" and record["answer"] == "approved":
            sheet = shown.get(record.get("digest", ""), {})
            found |= {(f["path"], f["after"][1]) for f in sheet.get("files", ())}
    return found
