"""Checks that a route is declared: by a decorator, a call, or the place of a file."""

from __future__ import annotations

import re

from orchestrate_agents.checks.code.declared import READ, Module, declarations
from orchestrate_agents.checks.text.kinds import Kind
from orchestrate_agents.checks.text.tree import Area, Source, files_of, read_source
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

_METHOD = r"GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS"


def _read(text: str) -> tuple[str, str]:
    method, path = text.replace("`", "").split(None, 1)
    return method.upper(), path.strip()


parameter_type("route", rf"`?(?-i:{_METHOD})`? `?/[\w/:{{}}.*<>\[\]-]*`?", _read)
#: what puts a prefix before a route that is declared elsewhere
_PREFIX = re.compile(
    r"\b(?:include_router|register_blueprint|mount|url_prefix|prefix|basePath|setGlobalPrefix)\b"
    r"|\.use\(\s*[\"'`]/\w|\.route\(\s*[\"'`]/\w+[\"'`]\s*,\s*\w+Rout"
)


@check(
    "[(a|an|the)] [new] [(route|endpoint)] {route:route} [(route|endpoint|handler)] "
    "(exists|is defined|is implemented|is declared|is registered|is available) "
    "[in {path:program}]",
    "there is (a|an) {route:route} (route|endpoint|handler) [in {path:program}]",
    "{path:program} (defines|declares|registers|implements|has) [(a|an|the)] {route:route} "
    "(route|endpoint|handler)",
    name="code.route",
    examples=("`GET /api/items` route exists", "`api.py` defines a `POST /orders` endpoint"),
)
def route_declared(ctx: Context, route: tuple[str, str], path: str = "") -> Result:
    """A decorator or call in code names method and path, or a Next.js file; no prefix is known."""
    paths = files_of(ctx, Area("paths", (path,)) if path else Area("product"))
    if isinstance(paths, Result):
        return paths
    read = [read_source(ctx, p) for p in paths if p.endswith(READ)]
    sources = [s for s in read if isinstance(s, Source)]
    method, place = route
    found = next(filter(None, (_declared(s, method, place) for s in sources)), "")
    prefix = next((s.path for s in sources if _PREFIX.search(s.text)), "")
    if found and not (prefix and "route." not in found):
        return proven(f"{method} {place} at {found}", found.split(":")[0])
    if found:
        return unproven(f"{method} {place} at {found}; {prefix} may put a prefix before it")
    words = [w for w in re.split(r"[^\w-]+", place) if w]
    near = next((s.path for s in sources if words and words[-1] in s.text), "")
    if prefix or near or not sources:
        return unproven(f"no declaration of {method} {place} is known; see {near or prefix}")
    return failed(f"{path or 'the code'} does not declare {method} {place}", *paths[:20])


def _declared(source: Source, method: str, place: str) -> str:
    """Where a file declares a route, "" if it does not."""
    literal = rf"[\"'`]{re.escape(place)}[\"'`]"
    forms = [rf"\.{method.lower()}\s*\(\s*{literal}"]
    if source.path.endswith(".py"):
        methods = rf"[^)]*methods\s*=\s*[\[(][^\])]*[\"']{method}[\"']"
        forms = [rf"@\w+{forms[0]}", rf"@\w+\.route\s*\(\s*{literal}{methods}"]
        forms += [rf"@\w+\.route\s*\(\s*{literal}\s*\)"] if method == "GET" else []
    for form in forms:
        for hit in re.finditer(form, source.text):
            if source.parts.kind(hit.start()) is Kind.CODE:
                return f"{source.path}:{source.line(hit.start())}"
    file = re.fullmatch(r"(?:src/)?app(/.*)?/route\.[jt]s", source.path)
    module = declarations(source) if file else None
    if file and isinstance(module, Module):
        served = re.sub(r"/\([^/]*\)", "", file[1] or "") or "/"
        wanted = re.sub(r":(\w+)|\{(\w+)\}", lambda m: f"[{m[1] or m[2]}]", place)
        for item in module.named(method):
            if served == wanted and item.exported:
                return f"{source.path}:{item.line}"
    return ""
