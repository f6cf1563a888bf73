"""Checks that what is declared is documented and typed: one of them, or all."""

from __future__ import annotations

import re

from orchestrate_agents.checks.code.declared import READ, Declared, Module, declarations
from orchestrate_agents.checks.code.symbols import Wanted, find, modules
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

_WHAT = {
    r"docstrings?|documentation": "docstring",
    r"JSDoc(?: comments?)?|TSDoc(?: comments?)?|doc comments?": "docstring",
    r"(?:full )?type (?:hints?|annotations?)|type hints and return types": "types",
}
parameter_type(
    "trait",
    "|".join(_WHAT),
    lambda t: next(w for words, w in _WHAT.items() if re.fullmatch(words, t, re.IGNORECASE)),
)
#: a method is a function too
_MEMBERS = {
    r"(?:functions?|functions and methods|methods and functions|methods)": ("function", "method"),
    r"class(?:es)?": ("class",),
    r"(?:functions and classes|classes and functions|functions, methods,? and classes|"
    r"classes, functions,? and methods|APIs?|symbols)": ("function", "method", "class"),
}
parameter_type(
    "members",
    "|".join(_MEMBERS),
    lambda t: next(k for words, k in _MEMBERS.items() if re.fullmatch(words, t, re.IGNORECASE)),
)
parameter_type("reach", r"public|exported|new", str.lower)


@check(
    "(all|every|each) [{reach:reach}] {members:members} [(in|of) {area:area}] "
    "(has|have|carry|carries) [(a|their)] {trait:trait}",
    "(all|every|each) [{reach:reach}] {members:members} [(in|of) {area:area}] (is|are) "
    "{trait:said_trait}",
    name="code.all-have",
    version=2,
    examples=(
        "All public functions have docstrings",
        "Every function in `lib/` has type hints",
        "All exported functions in `src/` have JSDoc comments",
    ),
)
def all_have(
    ctx: Context,
    members: tuple[str, ...],
    trait: str,
    reach: str = "",
    area: Area | None = None,
) -> Result:
    """Every declaration there, methods too: its text of documentation, or all of its types."""
    if reach == "new":
        return unproven("which functions are new is not known")
    asked = area or Area("product")
    paths = files_of(ctx, asked)
    if isinstance(paths, Result):
        return paths
    counted, lacking, unread = 0, [], []
    for path in (p for p in paths if p.endswith(READ)):
        source = read_source(ctx, path)
        module = declarations(source) if isinstance(source, Source) else source
        if isinstance(module, str):
            unread.append(module)
            continue
        kinds = members if reach or "function" not in members else (*members, "nested")
        unread += _unclear(module, path, members, trait)
        for item in (d for d in module.found if d.kind in kinds and _reached(d, path, reach)):
            counted += 1
            if not _has(item, trait, path):
                lacking.append(f"{path}:{item.line} {item.name}")
    if lacking:
        return failed(f"without {trait}: {'; '.join(lacking[:6])}", found=lacking[:100])
    if unread:
        return unproven("; ".join(unread[:3]))
    if not counted:
        return unproven(f"{asked} declares nothing of that kind that can be read here")
    return proven(f"{counted} declarations in {asked}, all with {trait}")


parameter_type(
    "said_trait",
    r"(?:fully )?(?:documented|annotated|typed|type-annotated|type-hinted)",
    lambda t: "docstring" if "documented" in t.lower() else "types",
)


def _unclear(module: Module, path: str, members: tuple[str, ...], trait: str) -> list[str]:
    """What is exported and may be a function, and does not have it."""
    if "function" not in members or path.endswith((".py", ".pyi")):
        return []
    maybe = [d for d in module.found if d.kind == "constant" and d.open and d.exported]
    missing = [
        f"{path}:{d.line} {d.name} may be a function" for d in maybe if not _has(d, trait, path)
    ]
    return missing + ([f"{path} exports an expression as default"] if "" in module.defaults else [])


def _reached(item: Declared, path: str, reach: str) -> bool:
    if path.endswith((".py", ".pyi")):
        return item.public if reach else item.name.rpartition(".")[2] != "__init__"
    return item.exported or item.default or not reach


def _has(item: Declared, trait: str, path: str) -> bool:
    if trait == "docstring":
        return item.documented
    typed = all(p.type for p in item.parameters)
    if item.kind in ("class", "constant"):
        return typed and item.kind == "class"
    return typed and (bool(item.returns) or item.name.endswith("__init__"))


@check(
    "[the] [{kind:kind}] {wanted:symbol} [in {path:program}] (has|carries) [a] "
    "[proper] (docstring|doc comment|JSDoc comment)",
    "{path:program} (has|contains) a docstring for {wanted:symbol}",
    "{path:program} has a [module] docstring",
    name="code.documented",
    examples=("`parse_date` has a docstring", "`src/dates.py` has a module docstring"),
)
def documented(
    ctx: Context, wanted: Wanted | None = None, path: str = "", kind: tuple[str, ...] = ()
) -> Result:
    """There is text in the docstring, or in the comment right above."""
    if wanted is None:
        found = modules(ctx, path)
        if isinstance(found, Result):
            return found
        for _, module in found:
            if isinstance(module, str) or not path.endswith(".py"):
                return unproven(f"{path} has no docstring that is known here", path)
            documented = module.documented
            return (proven if documented else failed)(
                f"{path} has {'a' if documented else 'no'} docstring", path
            )
        return failed(f"{path} is missing", path)
    hits = find(ctx, path, wanted.name, kind)
    if isinstance(hits, Result):
        return hits
    bare = [f"{h.path}:{h.declared.line}" for h in hits if not h.declared.documented]
    if bare:
        return failed(f"{wanted.name} has no docstring: {', '.join(bare[:5])}", hits[0].path)
    return proven(
        f"{wanted.name} has a docstring at {hits[0].path}:{hits[0].declared.line}", hits[0].path
    )
