"""Which workspace files a script imports or names, all the way down."""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from orchestrate_agents.syntax import nodes_of
from orchestrator.gates.checks import Context
from orchestrator.gates.proof_cache import user_proof_cache
from orchestrator.storage.atomic import place_inside

_FILE_NAME = re.compile(r"[\w./-]+\.(csv|jsonl?|sql|txt|toml)")
_FOREIGN = {"site-packages", "dist-packages"}


class Imports:
    """What the files of a workspace import and name: each is looked at once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        #: path → whether it is a file of the workspace
        self._files: dict[str, bool] = {}
        #: path → the modules that it imports, and the file names in its strings
        self._references: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        #: the script's folder, the module's name and, if it is relative, whose module names it
        self._modules: dict[tuple[PurePosixPath, str, str], tuple[str, ...]] = {}

    def closure(self, script: str) -> tuple[str, ...]:
        """As the function of that name."""
        found: set[str] = set()
        folder = PurePosixPath(script).parent
        waiting = [script]
        while waiting:
            path = waiting.pop()
            if not path.endswith(".py") or not self._is_file(path):
                continue
            modules, names = self._referred(path)
            taken = {f for module in modules for f in self._files_of(folder, path, module)}
            here = PurePosixPath(path).parent
            for name in names:
                # relative to the root, to the module, or to the module's data
                places = (name, str(here / name), str(here / "data" / name))
                taken.update([p for p in places if self._is_file(p)][:1])
            new = sorted(taken - found - {script})
            found.update(new)
            waiting.extend(new)
        return tuple(sorted(found))

    def _referred(self, path: str) -> tuple[frozenset[str], frozenset[str]]:
        if path not in self._references:
            file = place_inside(self._root, path)
            text = file.read_text(encoding="utf-8-sig", errors="replace") if file else ""
            self._references[path] = _references(text, path)
        return self._references[path]

    def _files_of(self, folder: PurePosixPath, path: str, module: str) -> tuple[str, ...]:
        """Those of a module and its packages; `folder` is the script's, `path` the importer's."""
        key = (folder, module, path.rpartition("/")[0] if module.startswith(".") else "")
        if key not in self._modules:
            places = _module_places(self._root, folder, path, module)
            self._modules[key] = tuple(p for p in places if self._is_file(p))
        return self._modules[key]

    def _is_file(self, path: str) -> bool:
        if path not in self._files:
            # most of what is asked for is not there, and following links takes many times as long
            is_file = os.path.isfile(f"{self._root}/{path}")  # noqa: PTH113
            self._files[path] = is_file and place_inside(self._root, path) is not None
        return self._files[path]


def closure(root: Path, script: str) -> tuple[str, ...]:
    """The workspace files that a script imports or names, all the way down.

    They are part of what an approval covers, and of the frozen copy that is run.
    """
    return Imports(root).closure(script)


def closure_of(ctx: Context, script: str) -> tuple[str, ...]:
    """The same, once in each pass of a gate, within which the tree is assumed not to change."""
    services, root = ctx.services, ctx.root
    if not services.epoch:
        return closure(root, script)
    imports: Imports = services.share(("imports", services.epoch, root), lambda: Imports(root))
    found: tuple[str, ...] = services.share(
        ("closure", services.epoch, root, script), lambda: imports.closure(script)
    )
    return found


@lru_cache(maxsize=512)
def _references(text: str, path: str) -> tuple[frozenset[str], frozenset[str]]:
    """The modules that a Python text imports (`..a.b` if relative), and file names in strings.

    Kept for later commands: for most of the files it is all that they are parsed for.
    """
    cache, key = user_proof_cache(), repr(("references", path, text))
    if kept := cache.get(key):
        modules, names = json.loads(kept)
        return frozenset(modules), frozenset(names)
    modules, names = _find_references(text, path)
    cache.put(key, json.dumps((sorted(modules), sorted(names))).encode())
    return frozenset(modules), frozenset(names)


def _find_references(text: str, path: str) -> tuple[set[str], set[str]]:
    modules: set[str] = set()
    names: set[str] = set()
    try:
        nodes = nodes_of(text, path)
    except (SyntaxError, ValueError):
        return modules, names
    for node in nodes:
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            separator = "." if node.module else ""
            modules.update((base, *(f"{base}{separator}{alias.name}" for alias in node.names)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.update(filter(_FILE_NAME.fullmatch, [node.value]))
    return modules, names


def _module_places(root: Path, folder: PurePosixPath, path: str, name: str) -> Iterator[str]:
    """Where files of a module and its packages would be."""
    dotted = name.lstrip(".")
    parts = dotted.split(".") if dotted else []
    level = len(name) - len(dotted)
    starts: list[tuple[PurePosixPath, list[str], int]] = []
    if level:
        parents = PurePosixPath(path).parents
        if level <= len(parents):
            starts.append((parents[level - 1], parts, 0))
    else:
        starts += [(place, parts, 1) for place in dict.fromkeys((PurePosixPath(), folder))]
        installed = _installed_place(root.resolve(), parts[0], tuple(sys.path))
        if installed is not None:
            starts.append((installed, parts[1:], 0))
    for place, rest, first in starts:
        for depth in range(first, len(rest) + 1):
            base = place.joinpath(*rest[:depth])
            yield from (str(base / "__init__.py"), f"{base}.py")


@lru_cache(maxsize=2048)
def _installed_place(root: Path, name: str, path: tuple[str, ...]) -> PurePosixPath | None:
    """Where in the workspace an installed package or module of that name lives (an editable
    install), without suffix; None if it is not installed or lives elsewhere."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    for place in spec.submodule_search_locations or filter(None, [spec.origin]):
        file = Path(place).resolve()
        if file.is_relative_to(root):
            relative = PurePosixPath(file.relative_to(root).as_posix())
            if not _FOREIGN & set(relative.parts):
                return relative.with_suffix("") if relative.suffix == ".py" else relative
    return None
