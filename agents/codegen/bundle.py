"""One self-contained Python script out of the library's modules, for workspaces without it.

The modules that a script needs are found by their imports and joined in the order of their
dependencies: imports of the library disappear, other imports are merged at the top, a text that a
module reads from the library (`Path(__file__).with_name("x.sql").read_text()`) becomes a literal,
and definitions that the script never reaches are left out. Two modules that give one name to
different things are refused.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from orchestrate_agents.syntax import parsed
from orchestrator.errors import OrchestrateError

#: the library
PACKAGE = "orchestrate_backend"
_DEFINITION = re.compile(r"^(?:async def|def|class|if|for|while|with|try)\b", re.MULTILINE)
_PLAIN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


class BundleError(OrchestrateError):
    """Modules that cannot be joined into one file."""

    code = "bundle"


@dataclass(frozen=True, order=True)
class _Import:
    """One name of an import statement: `from module import name as asname`."""

    module: str
    name: str
    asname: str

    @property
    def binding(self) -> str:
        return self.asname or self.name or self.module.partition(".")[0]

    @property
    def clause(self) -> str:
        """`name as asname`, or `module as asname` of a plain import."""
        return (self.name or self.module) + (f" as {self.asname}" if self.asname else "")


@dataclass(frozen=True)
class _Statement:
    """One top-level statement: its source, the names that it binds and the names that it uses."""

    source: str
    binds: frozenset[str]
    uses: frozenset[str]
    #: kept even when nothing names it (it does something, or registers itself)
    acts: bool


@dataclass(frozen=True)
class _Module:
    name: str
    docstring: str
    imports: tuple[_Import, ...]
    statements: tuple[_Statement, ...]
    #: modules of the library that it imports
    needs: tuple[str, ...]


def bundle(modules: Sequence[str], main: str) -> str:
    """`main` with all that it needs of `modules` and of the modules that those import, as one text.

    `main` is Python source that may import names of the library; its module docstring stays first.
    Raises BundleError when a module is missing or when names clash.
    """
    script = _read("__main__", main, None)
    ordered = _in_order([*modules, *script.needs])
    _refuse_clashes([*ordered, script])
    reached = _reachable(ordered, script)
    sections = []
    for module in ordered:
        if kept := [s for s in module.statements if s in reached]:
            # references to the design are of no use in a script
            title = re.sub(r"\s*\(DESIGN [^)]*\)", "", module.docstring.strip().partition("\n")[0])
            sections.append(f"# {'-' * 96}\n# {title or module.name}\n\n{_join(kept)}")
    body = "\n\n\n".join([*sections, _join(script.statements)])
    used = {node.id for node in ast.walk(parsed(body)) if isinstance(node, ast.Name)}
    imports = {i for m in (*ordered, script) for i in m.imports if i.binding in used}
    grouped: dict[str, list[str]] = {}
    for item in sorted(imports):
        grouped.setdefault(item.module if item.name else "", []).append(item.clause)
    lines = [f"import {clause}" for clause in grouped.pop("", [])]
    lines += [f"from {module} import {', '.join(names)}" for module, names in grouped.items()]
    head = f'"""{script.docstring}"""\n\n' if script.docstring else ""
    heading = "\n".join(lines)
    return f"{head}from __future__ import annotations\n\n{heading}\n\n{body.strip()}\n"


def _in_order(names: Iterable[str]) -> list[_Module]:
    """The modules with everything that they import, dependencies first."""
    done: dict[str, _Module] = {}
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name not in seen:
            seen.add(name)
            module = _load(name)
            for need in module.needs:
                visit(need)
            done[name] = module

    for name in names:
        visit(name)
    return list(done.values())


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


# -- taking a module apart -----------------------------------------------------------------------


def _read(name: str, source: str, path: Path | None) -> _Module:
    """A module taken apart into imports and top-level statements; `path` is None for the script."""
    tree, lines = parsed(source), source.splitlines(keepends=True)
    docstring = ast.get_docstring(tree, clean=False)
    constants = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    needs: dict[str, None] = {}
    imports: list[_Import] = []
    aliases: list[_Statement] = []
    statements: list[_Statement] = []
    end = 0
    for number, node in enumerate(tree.body):
        floor, start = end, min([node.lineno, *(d.lineno for d in _decorators(node))]) - 1
        end = node.end_lineno or node.lineno
        while start > floor and lines[start - 1].lstrip().startswith("#"):
            start -= 1
        text = "".join(lines[start:end]).strip("\n")
        for inner, siblings in _library_imports(node, name):
            needs[inner.module or ""] = None
            if inner is not node:
                text = _without_import(text, source, inner, siblings)
        if isinstance(node, ast.Import):
            imports += [_Import(a.name, "", a.asname or "") for a in node.names]
        elif isinstance(node, ast.ImportFrom) and _in_library(node.module or ""):
            for a in node.names:
                if a.asname:
                    alias = f"{a.asname} = {a.name}"
                    binds, uses = frozenset({a.asname}), frozenset({a.name})
                    aliases.append(_Statement(alias, binds, uses, acts=False))
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module != "__future__":
                imports += [_Import(module, a.name, a.asname or "") for a in node.names]
        elif number == 0 and docstring is not None:
            continue
        elif path is None or not _is_main_guard(node):
            if path is not None:
                text = _with_literals(text, source, node, constants, path)
            statements.append(_statement(text))
    found = tuple(s for s in (*aliases, *statements) if s.source)
    return _Module(name, docstring or "", tuple(imports), found, tuple(needs))


def _decorators(node: ast.stmt) -> list[ast.expr]:
    found: list[ast.expr] = getattr(node, "decorator_list", [])
    return found


def _in_library(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _library_imports(
    statement: ast.stmt, name: str
) -> Iterator[tuple[ast.ImportFrom, list[ast.stmt]]]:
    """The library's imports in a top-level statement, each with the block that it is in.

    Raises BundleError for one that imports a module as a whole.
    """
    blocks = [[statement]]
    for parent in ast.walk(statement):
        for attribute in ("body", "orelse", "finalbody"):
            block = getattr(parent, attribute, None)
            if isinstance(block, list):
                blocks.append(block)
    for block in blocks:
        for node in block:
            if isinstance(node, ast.Import):
                whole = any(_in_library(alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                starred = any(alias.name == "*" for alias in node.names) and _in_library(module)
                whole = bool(node.level) or module == PACKAGE or starred
                if _in_library(module):
                    whole |= any(_is_module(f"{module}.{alias.name}") for alias in node.names)
            else:
                continue
            if whole:
                raise BundleError(
                    f"{name} imports a module as a whole (line {node.lineno})",
                    hint=f"write `from {PACKAGE}.module import name`",
                )
            if isinstance(node, ast.ImportFrom) and _in_library(node.module or ""):
                yield node, block


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _without_import(
    text: str, source: str, node: ast.ImportFrom, siblings: Sequence[ast.stmt]
) -> str:
    """The statement's text without an import inside it; what it renames is assigned."""
    segment = re.escape(ast.get_source_segment(source, node) or "")
    renamed = "; ".join(f"{a.asname} = {a.name}" for a in node.names if a.asname)
    alone = all(isinstance(n, ast.ImportFrom) and _in_library(n.module or "") for n in siblings)
    if renamed or alone:
        return re.sub(rf"{segment}(?!\w)", renamed or "pass", text, count=1)
    return re.sub(rf"^[ \t]*{segment}[ \t]*(?:#.*)?\n+", "", text, count=1, flags=re.MULTILINE)


def _with_literals(
    text: str, source: str, statement: ast.stmt, constants: dict[str, ast.expr], module: Path
) -> str:
    """The statement's text with what it reads of files next to the module written out."""
    for node in ast.walk(statement):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr not in ("read_text", "read_bytes"):
            continue
        place = node.func.value
        if isinstance(place, ast.Name):
            place = constants.get(place.id, place)
        named = re.fullmatch(r"Path\(__file__\)\.with_name\('([^']+)'\)", ast.unparse(place))
        if named is None:
            continue
        file = module.with_name(named[1])
        if node.func.attr == "read_bytes":
            literal = repr(file.read_bytes())
        else:
            content = file.read_text(encoding="utf-8")
            escaped = content.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
            literal = f'"""{escaped}"""'
        text = text.replace(ast.get_source_segment(source, node) or "", literal, 1)
    return text


def _statement(source: str) -> _Statement:
    """A statement as it is after the changes."""
    body = parsed(source).body
    if not body:
        return _Statement("", frozenset(), frozenset(), acts=False)
    node = body[0]
    uses = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            uses.add(inner.id)
        elif isinstance(inner, ast.Constant) and str(inner.value).isidentifier():
            uses.add(str(inner.value))  # a quoted annotation, or a name looked up by getattr
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        binds = {node.name}
    else:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        names = (n for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
        binds = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    return _Statement(source, frozenset(binds), frozenset(uses), not isinstance(node, _PLAIN))


# -- joining -------------------------------------------------------------------------------------


def _refuse_clashes(modules: Sequence[_Module]) -> None:
    owners: dict[str, tuple[str, object]] = {}
    for module in modules:
        bound: list[tuple[str, object]] = [(i.binding, (i.module, i.name)) for i in module.imports]
        bound += [(name, module.name) for s in module.statements for name in s.binds]
        for name, thing in bound:
            owner, known = owners.setdefault(name, (module.name, thing))
            if known != thing:
                raise BundleError(
                    f"{name!r} means one thing in {owner} and another in {module.name}",
                    hint="rename one of the two",
                )
            if thing == module.name and hasattr(builtins, name):
                raise BundleError(f"{module.name} redefines the built-in {name!r}")


def _reachable(modules: Sequence[_Module], script: _Module) -> set[_Statement]:
    """The statements that the script reaches by name, and those that act by themselves."""
    statements = [s for module in modules for s in module.statements]
    binding: dict[str, list[_Statement]] = defaultdict(list)
    for statement in statements:
        for name in statement.binds:
            binding[name].append(statement)
    reached = {s for s in statements if s.acts}
    queue = [*script.statements, *reached]
    while queue:
        for name in queue.pop().uses:
            fresh = [s for s in binding.get(name, ()) if s not in reached]
            reached.update(fresh)
            queue.extend(fresh)
    return reached


def _join(statements: Sequence[_Statement]) -> str:
    """Statements with the blank lines that PEP 8 puts between them."""
    out, defined = "", False
    for statement in statements:
        defines = bool(_DEFINITION.search(statement.source))
        out += ("\n\n\n" if defines or defined else "\n") if out else ""
        out += statement.source
        defined = defines
    return out
