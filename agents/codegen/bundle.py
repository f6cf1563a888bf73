"""One self-contained Python script out of `backend` modules, for workspaces that lack the package.

The modules that a script needs are found by their imports, put in dependency order and joined by
syntax tree: imports of the package disappear, other imports are merged at the top, package data
that a module reads (`Path(__file__).with_name("x.sql").read_text()`) is folded in as a literal, and
definitions that the script never reaches are left out. Two modules that give one name to different
things are refused.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from orchestrate_agents.syntax import parsed
from orchestrator.errors import OrchestrateError

PACKAGE = "orchestrate_backend"
#: marks the end of a definition while statements are joined
_DEFINED = "\0"
_DEFINITION = re.compile(r"^(?:async def|def|class|if|for|while|with|try)\b", re.MULTILINE)


class BundleError(OrchestrateError):
    """Modules that cannot stand in one file."""

    code = "bundle"


@dataclass(frozen=True)
class _Import:
    """One name of an import statement: `from module import name as asname`."""

    module: str
    name: str
    asname: str

    @property
    def binding(self) -> str:
        return self.asname or self.name or self.module.partition(".")[0]

    def __str__(self) -> str:
        alias = f" as {self.asname}" if self.asname else ""
        if not self.name:
            return f"import {self.module}{alias}"
        return f"from {self.module} import {self.name}{alias}"


@dataclass(frozen=True)
class _Part:
    """One top-level statement: its source, the names that it binds and the names that it uses."""

    source: str
    binds: frozenset[str]
    uses: frozenset[str]
    #: kept even when nothing names it (it does something, or registers itself)
    acts: bool

    @property
    def is_definition(self) -> bool:
        return bool(_DEFINITION.search(self.source))


@dataclass(frozen=True)
class _Module:
    name: str
    summary: str
    imports: tuple[_Import, ...]
    parts: tuple[_Part, ...]
    needs: tuple[str, ...]
    path: Path | None = None


@dataclass
class _Edits:
    """Replacements in a source text, by byte range."""

    source: bytes
    _starts: list[int] = field(init=False)
    _items: list[tuple[int, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._starts = [0]
        for line in self.source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column

    def span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        last, column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self.at(node.lineno, node.col_offset), self.at(last, column)

    def replace(self, node: ast.stmt | ast.expr, text: str) -> None:
        self._items.append((*self.span(node), text))

    def drop_line(self, node: ast.stmt) -> None:
        """Remove a statement together with its line and the blank lines after it."""
        start, end = self.at(node.lineno, 0), self._starts[node.end_lineno or node.lineno]
        while self.source[end : end + 1] == b"\n":
            end += 1
        self._items.append((start, end, ""))

    def text(self, start: int, end: int) -> str:
        """The source between two offsets with the edits that lie inside applied."""
        out, at = b"", start
        for first, last, new in sorted(self._items):
            if first >= at and last <= end:
                out += self.source[at:first] + new.encode()
                at = last
        return (out + self.source[at:end]).decode("utf-8")


def bundle(modules: Sequence[str], main: str) -> str:
    """`main` with all that it needs of `modules` and of the modules that those import, as one text.

    `main` is Python source that may import names of the package; its module docstring stays first.
    Raises BundleError when a module is missing or when names clash.
    """
    script = _read("__main__", main, None)
    ordered = _ordered([*modules, *script.needs])
    _refuse_clashes([*ordered, script])
    reached = _reachable(ordered, script)
    kept = [(m, [p for p in m.parts if p in reached]) for m in ordered]
    bodies = [_section(module, parts) for module, parts in kept if parts]
    body = "\n\n\n".join([*bodies, _joined(script.parts)])
    imports = _merged([*ordered, script], body)
    head = f'"""{script.summary}"""\n\n' if script.summary else ""
    return f"{head}from __future__ import annotations\n\n{imports}\n\n{body.strip()}\n"


def _ordered(names: Iterable[str]) -> list[_Module]:
    """The modules with everything that they import, dependencies first."""
    done: dict[str, _Module | None] = {}

    def visit(name: str) -> None:
        if name in done:
            return
        done[name] = None
        module = _load(name)
        for need in module.needs:
            visit(need)
        del done[name]
        done[name] = module

    for name in names:
        visit(name)
    return [module for module in done.values() if module is not None]


@lru_cache(maxsize=64)
def _load(name: str) -> _Module:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise BundleError(f"there is no module {name} to put into the script")
    path = Path(spec.origin)
    return _read(name, path.read_text(encoding="utf-8"), path)


def _read(name: str, source: str, path: Path | None) -> _Module:
    """A module taken apart into imports and top-level statements."""
    tree = parsed(source)
    edits = _Edits(source.encode())
    needs = _inline_imports(tree, edits, name)
    if path is not None:
        _fold_data(tree, edits, path)
    imports: list[_Import] = []
    parts: list[_Part] = []
    previous = 0
    for node in tree.body:
        start = _leading_comments(edits, node, previous)
        end = edits.span(node)[1]
        previous = end
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.extend(i for i in _imports_of(node) if i.module != "__future__")
        elif not (_is_docstring(node, tree) or _is_main_guard(node, path)):
            parts.append(_part(edits.text(start, _line_end(edits, end)).strip("\n")))
    docstring = ast.get_docstring(tree, clean=False) or ""
    foreign = tuple(i for i in imports if not _inside(i.module))
    parts = [p for p in parts if p.source]
    aliases = [_alias(i) for i in imports if _inside(i.module) and i.asname]
    return _Module(name, docstring, foreign, (*aliases, *parts), needs, path)


def _alias(item: _Import) -> _Part:
    source = f"{item.asname} = {item.name}"
    return _Part(source, frozenset({item.asname}), frozenset({item.name}), acts=False)


def _inside(module: str) -> bool:
    return module == PACKAGE or module.startswith(PACKAGE + ".")


def _imports_of(node: ast.Import | ast.ImportFrom) -> Iterator[_Import]:
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield _Import(alias.name, "", alias.asname or "")
        else:
            yield _Import(node.module or "", alias.name, alias.asname or "")


def _inline_imports(tree: ast.Module, edits: _Edits, name: str) -> tuple[str, ...]:
    """Take the package's own imports out of `edits`; returns the modules that they named."""
    needs: dict[str, None] = {}
    for parent in ast.walk(tree):
        for body in _bodies(parent):
            for node in body:
                _refuse_whole_modules(node, name)
                if isinstance(node, ast.ImportFrom) and _inside(node.module or ""):
                    needs[node.module or ""] = None
                    if parent is not tree:
                        _take_out(node, body, edits)
    return tuple(needs)


def _bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for attribute in ("body", "orelse", "finalbody"):
        value = getattr(node, attribute, None)
        if isinstance(value, list):
            yield value


def _refuse_whole_modules(node: ast.stmt, name: str) -> None:
    """Raise BundleError for an import of the package that names no plain names."""
    if isinstance(node, ast.Import):
        whole = any(_inside(alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        starred = any(alias.name == "*" for alias in node.names)
        whole = (
            bool(node.level) or node.module == PACKAGE or (starred and _inside(node.module or ""))
        )
    else:
        return
    if whole:
        raise BundleError(
            f"{name} imports a module as a whole (line {node.lineno})",
            hint=f"write `from {PACKAGE}.module import name`",
        )


def _take_out(node: ast.ImportFrom, body: list[ast.stmt], edits: _Edits) -> None:
    aliases = "; ".join(f"{a.asname} = {a.name}" for a in node.names if a.asname)
    if aliases:
        edits.replace(node, aliases)
    elif all(isinstance(n, ast.ImportFrom) and _inside(n.module or "") for n in body):
        edits.replace(node, "pass")
    else:
        edits.drop_line(node)


def _is_docstring(node: ast.stmt, tree: ast.Module) -> bool:
    first = node is tree.body[0] and isinstance(node, ast.Expr)
    return first and ast.get_docstring(tree) is not None


def _is_main_guard(node: ast.stmt, path: Path | None) -> bool:
    """`if __name__ == "__main__":` of an inlined module; the script's own one stays."""
    return path is not None and isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _leading_comments(edits: _Edits, node: ast.stmt, floor: int) -> int:
    """Offset where the statement begins, with its decorators and the comments right above it."""
    decorators = getattr(node, "decorator_list", [])
    line = min([node.lineno, *(d.lineno for d in decorators)])
    while line > 1:
        start = edits.at(line - 1, 0)
        if start < floor or not edits.source[start:].lstrip(b" \t").startswith(b"#"):
            break
        line -= 1
    return max(edits.at(line, 0), floor)


def _line_end(edits: _Edits, offset: int) -> int:
    end = edits.source.find(b"\n", offset)
    return len(edits.source) if end < 0 else end


def _part(source: str) -> _Part:
    """A statement as it is after the edits."""
    body = parsed(source).body
    if not body:
        return _Part("", frozenset(), frozenset(), acts=False)
    node = body[0]
    binds = frozenset(_bound(node))
    uses = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    for text in (n.value for n in ast.walk(node) if isinstance(n, ast.Constant)):
        if isinstance(text, str) and text.isidentifier():
            uses.add(text)  # a quoted annotation, or a name looked up by getattr
    plain = isinstance(
        node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
    )
    return _Part(source, binds, frozenset(uses), acts=not plain)


def _bound(node: ast.stmt) -> Iterator[str]:
    """The module-level names that a statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
    for child in (c for target in targets for c in ast.walk(target)):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id


def _refuse_clashes(modules: Sequence[_Module]) -> None:
    owner: dict[str, tuple[str, object]] = {}
    for module in modules:
        for binding, thing in _bindings(module):
            known = owner.setdefault(binding, (module.name, thing))
            if known[1] != thing:
                raise BundleError(
                    f"{binding!r} means one thing in {known[0]} and another in {module.name}",
                    hint="rename one of the two",
                )
            if isinstance(thing, str) and hasattr(builtins, binding):
                raise BundleError(f"{module.name} redefines the built-in {binding!r}")


def _bindings(module: _Module) -> Iterator[tuple[str, object]]:
    for item in module.imports:
        yield item.binding, (item.module, item.name)
    for part in module.parts:
        for name in part.binds:
            yield name, module.name


def _reachable(modules: Sequence[_Module], script: _Module) -> set[_Part]:
    """The statements that the script reaches by name, and those that act by themselves."""
    parts = [p for m in modules for p in m.parts]
    where: dict[str, list[_Part]] = {}
    for part in parts:
        for name in part.binds:
            where.setdefault(name, []).append(part)
    reached: set[_Part] = set()
    queue = [*script.parts, *(p for p in parts if p.acts)]
    reached.update(p for p in parts if p.acts)
    while queue:
        for name in queue.pop().uses:
            fresh = [p for p in where.get(name, ()) if p not in reached]
            reached.update(fresh)
            queue.extend(fresh)
    return reached


def _merged(modules: Sequence[_Module], body: str) -> str:
    """One import block: what `body` uses, plain imports first, one line per module."""
    used = {n.id for n in ast.walk(parsed(body)) if isinstance(n, ast.Name)}
    wanted = {i for m in modules for i in m.imports if i.binding in used}
    plain = sorted(str(i) for i in wanted if not i.name)
    grouped: dict[str, list[str]] = {}
    for item in sorted(wanted, key=lambda i: (i.module, i.name)):
        if item.name:
            grouped.setdefault(item.module, []).append(str(item).partition(" import ")[2])
    return "\n".join([*plain, *(f"from {m} import {', '.join(n)}" for m, n in grouped.items())])


def _section(module: _Module, parts: Sequence[_Part]) -> str:
    """A module's statements under a comment line that says where they come from."""
    title = (module.summary.strip().splitlines() or [module.name])[0]
    title = re.sub(r"\s*\(DESIGN [^)]*\)", "", title)
    return f"# {'-' * 96}\n# {title}\n\n{_joined(parts)}"


def _joined(parts: Sequence[_Part]) -> str:
    """Statements with the blank lines that PEP 8 puts between them."""
    out = ""
    for part in parts:
        blank = "\n\n\n" if part.is_definition or out.endswith(_DEFINED) else "\n"
        out = out.removesuffix(_DEFINED) + (blank if out else "") + part.source
        out += _DEFINED if part.is_definition else ""
    return out.removesuffix(_DEFINED)


# --- package data -------------------------------------------------------------------------------


def _fold_data(tree: ast.Module, edits: _Edits, path: Path) -> None:
    """Put files of the package that a module reads whole into the script as literals."""
    names = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr in ("read_text", "read_bytes"):
            file = _path_of(node.func.value, names, path)
            if file is not None and file.is_file():
                edits.replace(node, _literal(file, binary=node.func.attr == "read_bytes"))


def _literal(file: Path, *, binary: bool) -> str:
    if binary:
        return repr(file.read_bytes())
    text = file.read_text(encoding="utf-8")
    quoted = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{quoted}"""'


def _path_of(node: ast.expr, names: dict[str, ast.expr], module: Path) -> Path | None:
    """The file that an expression over `__file__` or `resources.files()` names, if it is one."""
    if isinstance(node, ast.Name):
        return _path_of(names[node.id], names, module) if node.id in names else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        base, right = _path_of(node.left, names, module), _string(node.right)
        return base / right if base is not None and right is not None else None
    if isinstance(node, ast.Attribute) and node.attr == "parent":
        base = _path_of(node.value, names, module)
        return base.parent if base is not None else None
    if isinstance(node, ast.Call):
        return _path_of_call(node, names, module)
    return None


def _path_of_call(node: ast.Call, names: dict[str, ast.expr], module: Path) -> Path | None:
    called = ast.unparse(node.func)
    arguments = [_string(a) for a in node.args]
    if called.endswith("Path") and [ast.unparse(a) for a in node.args] == ["__file__"]:
        return module
    if called.endswith("files") and arguments == [PACKAGE]:
        spec = importlib.util.find_spec(PACKAGE)
        return Path(spec.origin).parent if spec is not None and spec.origin else None
    if not isinstance(node.func, ast.Attribute):
        return None
    base = _path_of(node.func.value, names, module)
    if base is None:
        return None
    if node.func.attr in ("resolve", "absolute"):
        return base
    texts = [a for a in arguments if a is not None]
    if len(texts) != len(arguments) or not texts:
        return None
    if node.func.attr == "with_name":
        return base.with_name(texts[0])
    return base.joinpath(*texts) if node.func.attr == "joinpath" else None


def _string(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None
