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


def closure(root: Path, script: str) -> tuple[str, ...]:
    """The workspace files that a script imports or names, all the way down.

    They are part of what an approval covers, and of the frozen copy that is run.
    """
    found: set[str] = set()
    folder = PurePosixPath(script).parent
    # by name and, if it is relative, by whose module names it
    known: dict[tuple[str, str], tuple[str, ...]] = {}

    def files_of(path: str, module: str) -> tuple[str, ...]:
        key = (module, path.rpartition("/")[0] if module.startswith(".") else "")
        if key not in known:
            known[key] = tuple(_module_files(root, folder, path, module))
        return known[key]

    waiting = [script]
    while waiting:
        path = waiting.pop()
        file = _file(root, path)
        if file is None or file.suffix != ".py":
            continue
        text = file.read_text(encoding="utf-8-sig", errors="replace")
        modules, names = _references(text, path)
        taken = {f for module in modules for f in files_of(path, module)}
        here = PurePosixPath(path).parent
        for name in names:
            # relative to the root, to the module, or to the module's data
            places = (name, str(here / name), str(here / "data" / name))
            taken.update([p for p in places if _file(root, p) is not None][:1])
        new = sorted(taken - found - {script})
        found.update(new)
        waiting.extend(new)
    return tuple(sorted(found))


def closure_of(ctx: Context, script: str) -> tuple[str, ...]:
    """The same, once in each pass of a gate, within which the tree is assumed not to change."""
    services, root = ctx.services, ctx.root
    if not services.epoch:
        return closure(root, script)
    key = ("closure", services.epoch, root, script)
    found: tuple[str, ...] = services.share(key, lambda: closure(root, script))
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


def _module_files(root: Path, folder: PurePosixPath, path: str, name: str) -> Iterator[str]:
    """The files of a module and its packages; `folder` is the script's, `path` the importer's."""
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
            for candidate in (f"{base}/__init__.py", f"{base}.py"):
                if _file(root, candidate) is not None:
                    yield str(PurePosixPath(candidate))


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


def _file(root: Path, path: str) -> Path | None:
    # most of what is asked for is not there, and following links takes many times as long
    if not os.path.isfile(f"{root}/{path}"):  # noqa: PTH113
        return None
    return place_inside(root, path)
