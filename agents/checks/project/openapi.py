"""Checks of OpenAPI documents: that they are valid, and what changed in them since the start."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import PurePosixPath
from typing import Any

from orchestrate_agents.checks.project.copies import source_files
from orchestrate_agents.checks.project.openapi_changes import Changes
from orchestrate_agents.checks.project.openapi_rules import problems, references, version_of
from orchestrate_agents.checks.project.start import Start, find_start, text_now
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_NAMED = re.compile(r"(?:^|/)(?:openapi|swagger)[\w.-]*\.(?:ya?ml|json)$", re.IGNORECASE)
_KIND = "(OpenAPI|Swagger|OAS)"
_NOUN = "[(specification|spec|document|schema|definition|file|contract|description)]"
parameter_type(
    "specfile",
    r"`?[\w.@+-]*(?:/[\w.@+-]+)*\.(?:ya?ml|json)`?",
    lambda text: text.strip(" `"),
)


def _parse(path: str, text: str) -> Any:
    """The document; raises ValueError."""
    if PurePosixPath(path).suffix == ".json":
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as exc:
        raise ValueError(" ".join(str(exc).split())) from exc


def _find(ctx: Context, path: str) -> str | Result:
    """The file that is meant; a result where there is not one."""
    if path:
        return path if ctx.path(path).is_file() else failed(f"{path} is missing", path)
    found = [p for p in source_files(ctx) if _NAMED.search(p)]
    if len(found) == 1:
        return found[0]
    said = (
        f"which one is meant: {', '.join(found)}" if found else "there is no openapi.yaml or such"
    )
    return unproven(said)


@check(
    f"{{path:specfile}} is [a] valid {_KIND} [{{version:number}}] {_NOUN}",
    f"{{path:specfile}} is valid {_KIND} [{{version:number}}]",
    f"[the] {_KIND} {_NOUN} [(in|at) {{path:specfile}}] (is valid|validates)",
    name="openapi.valid",
    examples=("`openapi.yaml` is a valid OpenAPI document", "The OpenAPI spec is valid"),
)
def is_valid(ctx: Context, path: str = "", version: float | None = None) -> Result:
    """Required fields, paths, operations, parameters, responses, types, ids and references."""
    place = _find(ctx, path)
    if isinstance(place, Result):
        return place
    try:
        document = _parse(place, text_now(ctx.root, place) or "")
    except ValueError as exc:
        return failed(f"{place}: {exc}", place)
    found = version_of(document)
    said = document.get("openapi") if isinstance(document, dict) else None
    if not found and re.fullmatch(r"3\.(?:[2-9]|\d\d+)(?:\.\d+)?", str(said)):
        return unproven(f"{place}: the rules of OpenAPI {said} are not known here", place)
    if wrong := list(problems(document)):
        return failed(f"{place}: {'; '.join(wrong[:6])}", place, problems=wrong[:100])
    if version is not None and found != f"{version:.1f}" and float(found[0]) != version:
        return failed(f"{place} is OpenAPI {found}", place)
    if outside := sorted({r for r in references(document) if not r.startswith("#")}):
        return unproven(f"{place}: {', '.join(outside[:4])}: not followed outside the file", place)
    used, refuted = _validate(document)
    if refuted:
        return failed(f"{place}: {refuted}", place)
    count = len(document.get("paths") or {})
    return proven(f"{place}: OpenAPI {found} with {count} paths, by {used}", place)


def _validate(document: Any) -> tuple[str, str]:
    """By what it was judged, and what openapi-spec-validator says against it, if it is there."""
    try:
        library = importlib.import_module("openapi_spec_validator")
    except ImportError:
        return "the structural rules", ""
    try:
        library.validate(document)
    except Exception as exc:  # noqa: BLE001 - of several libraries below it
        return "", " ".join(str(exc).split())[:300]
    return "the structural rules and openapi-spec-validator", ""


def _both(ctx: Context, path: str) -> tuple[str, Start, Any, Any] | Result:
    """The file, the start, and the documents then and now."""
    start, place = find_start(ctx), _find(ctx, path)
    if isinstance(place, Result):
        return place
    if start is None or start.lacks:
        return unproven(start.lacks if start else "without git it is not known what it was before")
    before = start.text(place)
    if before is None:
        return unproven(f"{place} was not there {start.moment}", place)
    try:
        return place, start, _parse(place, before), _parse(place, text_now(ctx.root, place) or "")
    except ValueError as exc:
        return unproven(f"{place} cannot be read: {exc}", place)


@check(
    f"[the] {_KIND} (specification|spec|document|schema|definition|file|contract|description) "
    "[(in|at) {path:specfile}] (is|remains|stays) (unchanged|the same)",
    name="openapi.unchanged",
    examples=("The OpenAPI spec is unchanged",),
)
def is_unchanged(ctx: Context, path: str = "") -> Result:
    """Compared with the start: the document says the same, however it is laid out."""
    found = _both(ctx, path)
    if isinstance(found, Result):
        return found
    place, start, before, after = found
    if before == after:
        return proven(f"{place} says what it said {start.moment}", place)
    return failed(f"{place} does not say what it said {start.moment}", place)


@check(
    "[there are] no breaking [API] changes (in|to) {path:specfile}",
    f"[there are] no breaking [API] changes (in|to) [the] {_KIND} {_NOUN} "
    "[(in|at) {path:specfile}]",
    f"[the] {_KIND} {_NOUN} (has|contains) no breaking changes",
    name="openapi.not-broken",
    examples=("No breaking changes in `openapi.yaml`",),
)
def is_not_broken(ctx: Context, path: str = "") -> Result:
    """Compared with the start: nothing is gone, newly required, narrowed or of another type."""
    found = _both(ctx, path)
    if isinstance(found, Result):
        return found
    place, start, before, after = found
    for when, document in ((start.moment, before), ("now", after)):
        if wrong := next(problems(document), ""):
            return unproven(f"{place} is not a valid OpenAPI document {when}: {wrong}", place)
    changes = Changes(before, after).compare()
    if changes.breaks:
        return failed(f"{place}: {'; '.join(changes.breaks[:6])}", place, breaks=changes.breaks)
    doubts = changes.doubts
    outside = (r for document in (before, after) for r in references(document) if r[:1] != "#")
    doubts += [f"{ref} is not followed" for ref in sorted(set(outside))]
    if doubts:
        return unproven(f"{place}: {'; '.join(doubts[:6])}", place, doubts=doubts)
    return proven(f"{place}: what it offered {start.moment} it still offers", place)
