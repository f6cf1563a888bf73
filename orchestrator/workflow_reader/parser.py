"""Reads a workflow's markdown into stages (DESIGN 4).

Code fences are content and never headings. What cannot be understood is a WorkflowError with file
and line; what is understood but questionable is left to `workflow_lint`.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from orchestrator.domain.workflow import Move, Stage, Workflow
from orchestrator.errors import WorkflowError
from orchestrator.markdown.conflicts import conflict_line
from orchestrator.workflow_reader.family import TicketRouting
from orchestrator.workflow_reader.metrics import loose_statements, metric_statements, read_metrics
from orchestrator.workflow_reader.outline import Outline, read_outline
from orchestrator.workflow_reader.source import read_bytes, refuse_large
from orchestrator.workflow_reader.stage import StageDraft, StageReader
from orchestrator.workflow_reader.template import is_template, render_family_ids

__all__ = ["read_workflow", "read_workflow_text", "render_family_ids"]


def read_workflow(
    path: Path, *, root: Path | None = None, variables: Mapping[str, str] | None = None
) -> Workflow:
    """The workflow in a file. `variables` fill a template (`id`, `owner`, …).

    Raises WorkflowError, with the line where there is one, if it cannot be read or followed.
    """
    return read_workflow_bytes(read_bytes(path), path, root=root, variables=variables)


def read_workflow_bytes(
    data: bytes,
    path: Path,
    *,
    root: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Workflow:
    """The workflow in the bytes of a file. Raises as `read_workflow`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise WorkflowError(
            "is not UTF-8", path=path, line=line, code="not-utf8", hint="save it as UTF-8"
        ) from exc
    return read_workflow_text(text, path, root=root, variables=variables)


def read_workflow_text(
    text: str,
    path: Path,
    *,
    root: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Workflow:
    """The workflow in `text`; `path` is for messages and sources. Raises as `read_workflow`."""
    refuse_large(len(text), path)
    if line := conflict_line(text.encode("utf-8", "replace")):
        message = "the workflow has the marks of an unfinished merge"
        hint = "decide between the two versions and delete the marks"
        raise WorkflowError(message, path=path, line=line, code="merge-conflict", hint=hint)
    sha256 = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    # `text` without byte-order mark, its line ends as `\n`; line numbers stay
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if filled_in := is_template(text):
        text = render_family_ids(text, variables or {}, path)
        refuse_large(len(text), path)
    source = str(path)
    if root is not None:
        with contextlib.suppress(ValueError, OSError):
            source = path.resolve().relative_to(root.resolve()).as_posix()
    outline, drafts = _read_drafts(text, source)
    routing = TicketRouting.of(drafts, (variables or {}).get("id", ""))
    metrics = tuple(read_metrics(outline.blocks))
    lines = text.split("\n")
    # who does what nobody is named for
    owner = (variables or {}).get("owner", "").upper() or "BUILDER"
    stages = []
    for draft, section in zip(drafts, outline.stages, strict=True):
        own_text = "\n".join(lines[section.head.line - 1 : section.last]).rstrip() + "\n"
        stages.append(_make_stage(draft, routing, own_text, owner))
    return Workflow(
        path=path,
        sha256=sha256,
        title=outline.title,
        text=text,
        stages=tuple(stages),
        metrics=metrics,
        statements=(*loose_statements(outline.rest, source), *metric_statements(metrics, source)),
        agents=outline.agents,
        meta=dict(outline.meta),
        for_any=not filled_in and not any(draft.worked_on or draft.moves for draft in drafts),
    )


@lru_cache(maxsize=16)
def _read_drafts(text: str, source: str) -> tuple[Outline, tuple[StageDraft, ...]]:
    """What the text says whatever family it is for; many families follow one workflow."""
    outline = read_outline(text, source)
    return outline, tuple(StageReader(s.head, source).read(s.body) for s in outline.stages)


def _make_stage(draft: StageDraft, routing: TicketRouting, text: str, owner: str) -> Stage:
    head, members = draft.head, routing.members(draft)
    moves = (Move(routing.moved_by(m, members), m.folder, m.owner, line) for line, m in draft.moves)
    return Stage(
        number=head.number,
        agent=head.agent or owner,
        title=head.title,
        line=head.line,
        checkpoint=head.checkpoint,
        ready=head.ready,
        parallel_with=min(head.beside, default=None),
        members=members,
        children=tuple(draft.children),
        deliverables=tuple(draft.deliverables),
        moves=tuple(dict.fromkeys(moves)),
        statements=tuple(draft.statements),
        needs=tuple(dict.fromkeys(draft.needs)),
        blocks=tuple(draft.blocks),
        on_pass=draft.on_pass,
        on_fail=draft.on_fail,
        items=tuple(draft.items),
        text=text,
    )
