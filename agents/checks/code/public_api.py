"""Checks that what a program offers to others is as it was when the work began."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orchestrate_agents.checks.code.declared import PYTHON, READ, Module, declarations
from orchestrate_agents.checks.code.reached import reached
from orchestrate_agents.checks.code.symbols import Wanted
from orchestrate_agents.checks.project.start import Start, find_start, text_now
from orchestrate_agents.checks.text.tree import Area, Source, is_test, workspace_files
from orchestrate_agents.syntax import parsed
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    proven,
    unproven,
)

Read = Callable[[str], str | None]
_MOST_HOPS = 8


@dataclass
class Api:
    """Name → how it is declared, as text without what callers cannot see."""

    names: dict[str, str] = field(default_factory=dict)
    #: names whose value may matter, or not
    values: dict[str, str] = field(default_factory=dict)
    #: why there may be more
    open: str = ""


def api_of(read: Read, path: str) -> Api:
    """What a file offers; nothing if it is not there."""
    text = read(path)
    if text is None:
        return Api()
    if path.endswith(PYTHON):
        try:
            return _of_python(read, path, text)
        except (SyntaxError, ValueError, RecursionError) as exc:
            return Api(open=f"{path} is not Python that can be parsed: {exc}")
    return _of_javascript(path, text)


# -- Python ----------------------------------------------------------------------------------------


def _of_python(read: Read, path: str, text: str) -> Api:
    api = _all_of_python(read, path, text, 0)
    listed = api.values.get("__all__", "")
    try:
        chosen = ast.literal_eval(listed.partition("=")[2].strip()) if listed else None
    except (SyntaxError, ValueError):
        api.open = api.open or f"{path} makes __all__ as it runs"
        chosen = None

    def is_public(name: str) -> bool:
        first, *rest = name.split(".")
        shown = first in chosen if chosen is not None else not first.startswith("_")
        dunder = {"__init__", "__call__", "__enter__", "__exit__", "__iter__", "__getitem__"}
        return shown and all(not part.startswith("_") or part in dunder for part in rest)

    imported = {n for n, t in api.names.items() if t.startswith(("import ", "from "))}
    if chosen is None and not path.endswith("__init__.py"):
        # what a module imports for itself is not what it offers
        api.names = {n: t for n, t in api.names.items() if n.split(".")[0] not in imported}
    api.names = {n: t for n, t in api.names.items() if is_public(n)}
    api.values = {n: t for n, t in api.values.items() if is_public(n)}
    return api


def _all_of_python(read: Read, path: str, text: str, hops: int) -> Api:
    api = Api()
    _add_body(api, parsed(text, path).body, "", path)
    for name, said in list(api.names.items()):
        found = re.fullmatch(r"from (\.*)([\w.]*) import (\w+)(?: as \w+)?", said)
        if not found or hops >= _MOST_HOPS:
            continue
        for place in _places(path, found[1], found[2]):
            if (below := read(place)) is not None and place != path:
                inner = _all_of_python(read, place, below, hops + 1)
                for held in (inner.names, inner.values):
                    for key, value in held.items():
                        if key.split(".")[0] == found[3]:
                            target = api.names if held is inner.names else api.values
                            target[key.replace(found[3], name, 1)] = f"{value}"
                api.names[name] = inner.names.get(found[3], said)
                break
    return api


def _places(path: str, dots: str, module: str) -> list[str]:
    """The files that an import may mean."""
    folder = posixpath.dirname(path)
    for _ in dots[1:]:
        folder = posixpath.dirname(folder)
    inner = module.replace(".", "/")
    tops = [folder] if dots else ["", "src"]
    bases = [posixpath.normpath(posixpath.join(top, inner)) for top in tops]
    return [p for base in bases for p in (f"{base}.py", posixpath.join(base, "__init__.py"))]


def _add_body(api: Api, body: list[ast.stmt], owner: str, path: str) -> None:
    for node in reached(body):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                api.names[owner + node.name] = _without_body(node)
            case ast.ClassDef():
                api.names[owner + node.name] = _without_body(node)
                _add_body(api, node.body, f"{owner}{node.name}.", path)
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in (t for t in targets if isinstance(t, ast.Name)):
                    typed = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
                    api.names[owner + target.id] = f"variable {typed}".strip()
                    api.values[owner + target.id] = ast.unparse(node)
            case ast.AugAssign(target=ast.Name(id="__all__")):
                api.open = api.open or f"{path} makes __all__ as it runs"
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    if alias.name == "*":
                        api.open = api.open or f"{path} imports all that another module has"
                        continue
                    dots = "." * node.level if isinstance(node, ast.ImportFrom) else ""
                    origin = node.module or "" if isinstance(node, ast.ImportFrom) else ""
                    start = f"from {dots}{origin} " if isinstance(node, ast.ImportFrom) else ""
                    name = (alias.asname or alias.name).split(".")[0]
                    renamed = f" as {alias.asname}" if alias.asname else ""
                    api.names[owner + name] = f"{start}import {alias.name}{renamed}"
            case ast.If() | ast.Try() | ast.With():
                handlers = [s for h in getattr(node, "handlers", ()) for s in h.body]
                inner = [*node.body, *getattr(node, "orelse", ()), *handlers]
                _add_body(api, inner, owner, path)
            case ast.Delete():
                for target in (t for t in node.targets if isinstance(t, ast.Name)):
                    api.names.pop(owner + target.id, None)
                    api.values.pop(owner + target.id, None)
        if isinstance(node, ast.FunctionDef) and not owner and node.name == "__getattr__":
            api.open = api.open or f"{path} makes names as they are asked for"


def _without_body(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    copy = parsed(ast.unparse(node)).body[0]
    assert isinstance(copy, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    copy.body = [ast.Expr(ast.Constant(...))]
    return " ".join(ast.unparse(copy).split())


# -- JavaScript ------------------------------------------------------------------------------------


def _of_javascript(path: str, text: str) -> Api:
    source = Source(path, text)
    module = declarations(source)
    if not isinstance(module, Module):
        return Api(open=module)
    api = Api(open="" if module.complete else f"{path} exports more than its own declarations")
    shown = {d.name for d in module.found if d.exported or d.default}
    lines = text.splitlines()
    starts = sorted({d.line for d in module.found if "." not in d.name} | {len(lines) + 1})
    for symbol in module.found:
        if symbol.name.split(".")[0] not in shown or "#" in symbol.name:
            continue
        taken = ", ".join(f"{p.name}: {p.type} = {p.default}" for p in symbol.parameters)
        api.names[symbol.name] = (
            f"{symbol.kind}({taken}{', …' if symbol.open else ''}) "
            f"{symbol.returns} {symbol.default}"
        )
        if symbol.kind in ("constant", "type") or symbol.name in module.defaults:
            end = next(n for n in starts if n > symbol.line)
            api.values[symbol.name] = " ".join("\n".join(lines[symbol.line - 1 : end - 1]).split())
    for said in re.findall(r"(?m)^[ \t]*export\s*(?:type\s*)?\{[^}]*\}\s*from\s*[^;\n]+", text):
        api.names[f"export {' '.join(said.split())}"] = "re-export"
    return api


# -- claims ----------------------------------------------------------------------------------------

_SAME = "(is|are|stays|remains|remain) (unchanged|the same|as it was|untouched)"
_CHANGED = "(is|was|has been) not changed"


@check(
    f"[the] public (API|interface) [of {{area:area}}] ({_SAME}|{_CHANGED})",
    f"[the] public (API|interface) of {{name:symbol}} ({_SAME}|{_CHANGED})",
    "[there (is|are)] no (change|changes) (to|in|of) [the] public (API|interface) [of {area:area}]",
    "{area:area} keeps [(its|the)] public (API|interface) [unchanged]",
    "(does|do) not change [the] public (API|interface) [of {area:area}]",
    name="code.same-api",
    examples=("The public API of `shop/` is unchanged", "The public API of `cart.py` is unchanged"),
)
def same_api(ctx: Context, area: Area | None = None, name: Wanted | None = None) -> Result:
    """Compared with the start: names, parameters, defaults, types and decorators of each module."""
    if name is not None:
        area = _package(ctx, name.name)
        if area is None:
            return unproven(f"there is no package or module {name} here; name its folder or file")
    return _compare(ctx, area, additions=False)


@check(
    "no breaking changes (to|in|of) [the] public (API|interface) [of {area:area}]",
    "[the] public (API|interface) [of {area:area}] (is|stays|remains) "
    "(backwards compatible|backward compatible|backwards-compatible|backward-compatible)",
    "no public (functions|names|symbols|methods|API|APIs) (is|are|was|were) (removed|renamed) "
    "[(from|in) {area:area}]",
    name="code.compatible-api",
    examples=("No breaking changes to the public API of `shop/`",),
)
def compatible_api(ctx: Context, area: Area | None = None) -> Result:
    """Compared with the start: no name is gone; what is declared in another way is unproven."""
    return _compare(ctx, area, additions=True)


@check(
    f"[the] signature of [the] [(function|method|class)] {{name:symbol}} [in {{path:program}}] "
    f"({_SAME}|{_CHANGED})",
    "{name:symbol} keeps its signature [in {path:program}]",
    name="code.same-signature",
    examples=("The signature of `total` in `shop/cart.py` is unchanged",),
)
def same_signature(ctx: Context, name: Wanted, path: str = "") -> Result:
    """Compared with the start: parameters, defaults, types and result are as they were."""
    start = find_start(ctx)
    if start is None or start.lacks:
        return unproven(start.lacks if start else "without git it is not known how it was")
    paths = [path] if path else _programs(ctx, start, Area("product"))
    then, now = ({p: _named(read, p, name.name) for p in paths} for read in _reads(ctx, start))
    at = [p for p in paths if then[p]]
    if len(at) != 1:
        where = ", ".join(at) or "nowhere that is read here"
        return unproven(f"{name} was declared in {where}: name its file")
    where = at[0]
    if then[where] == now[where]:
        return proven(f"{where} declares {name} as it did {start.moment}", where)
    after = "; ".join(now[where].values()) or "not declared"
    return failed(f"{where}: {'; '.join(then[where].values())}, now {after}", where)


def _named(read: Read, path: str, name: str) -> dict[str, str]:
    text = read(path)
    if text is None:
        return {}
    try:
        python = path.endswith(PYTHON)
        api = _all_of_python(read, path, text, _MOST_HOPS) if python else _of_javascript(path, text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    inner = (f"{name}.__init__",)
    tail = {n: t for n, t in api.names.items() if n == name or n in inner}
    found = tail or {n: t for n, t in api.names.items() if n.rpartition(".")[2] == name}
    return {n: t for n, t in found.items() if not t.startswith(("import ", "from "))}


def _reads(ctx: Context, start: Start) -> tuple[Read, Read]:
    return start.text, lambda path: text_now(ctx.root, path)


def _package(ctx: Context, name: str) -> Area | None:
    inner = name.replace(".", "/")
    for base in (inner, f"src/{inner}"):
        if (ctx.root / base / "__init__.py").is_file():
            return Area("paths", (f"{base}/",))
        if (ctx.root / f"{base}.py").is_file():
            return Area("paths", (f"{base}.py",))
    return None


def _programs(ctx: Context, start: Start, area: Area) -> list[str]:
    known = {*workspace_files(ctx), *start.changed}
    inside = known
    if area.paths:
        inside = {
            p for p in known for a in area.paths if p == a or p.startswith(a.rstrip("/") + "/")
        }
    return sorted(p for p in inside if p.endswith(READ) and (p in area.paths or not is_test(p)))


def _compare(ctx: Context, area: Area | None, *, additions: bool) -> Result:
    start = find_start(ctx)
    if start is None or start.lacks:
        return unproven(start.lacks if start else "without git it is not known how it was")
    asked = area or Area("product")
    paths = _programs(ctx, start, asked)
    # a private module is not a part of it but for what public ones import by name
    paths = [p for p in paths if p in asked.paths or not _is_private(p)]
    before, after = _reads(ctx, start)
    sure, unsure = [], []
    names = 0
    for path in paths:
        then, now = api_of(before, path), api_of(after, path)
        names += len(then.names)
        found = list(_differences(then.names, now.names, path))
        gone = [said for kind, said in found if kind == "gone"]
        sure += gone if additions else [said for _, said in found]
        if additions:
            unsure += [said for kind, said in found if kind == "changed"]
        values = _differences(then.values, now.values, path)
        seen = {said.partition(":")[0] for _, said in found}
        unsure += [s for kind, s in values if kind == "changed" and s.partition(":")[0] not in seen]
        if (then.open or now.open) and before(path) != after(path):
            unsure.append(now.open or then.open)
        if "export {" in str([*now.names]) and start.changed - set(paths):
            unsure.append(f"{path} exports what other files declare")
    if sure:
        return failed(f"not as {start.moment}: {_few(sure)}", *paths[:100])
    if unsure:
        return unproven(f"not sure about {_few(unsure)}", *paths[:100])
    if not names:
        return unproven(f"{asked} offered nothing that can be read here {start.moment}")
    said = "are all there" if additions else "are declared as they were"
    return proven(f"{names} names of {len(paths)} files {said} {start.moment}", *paths[:100])


def _is_private(path: str) -> bool:
    return any(re.match(r"_(?!_)", part) for part in path.split("/"))


def _differences(
    then: Mapping[str, str], now: Mapping[str, str], path: str
) -> list[tuple[str, str]]:
    gone = [("gone", f"{path} {n}: {t}, gone") for n, t in then.items() if n not in now]
    new = [("new", f"{path} {n}: new") for n in now if n not in then]
    both = ((n, t) for n, t in then.items() if n in now and now[n] != t)
    return [*gone, *new, *(("changed", f"{path} {n}: {t}, now {now[n]}") for n, t in both)]


def _few(items: list[str]) -> str:
    more = f" and {len(items) - 6} more" if len(items) > 6 else ""
    return "; ".join(items[:6]) + more
