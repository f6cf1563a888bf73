"""What a workspace says of itself: the packages that it asks for, the modules that it has."""

from __future__ import annotations

import ast
import configparser
import contextlib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from orchestrate_agents.tools.python import normalized
from orchestrator.git.command import GitError, run_git, split_names

_NAME = re.compile(r"\s*([A-Za-z0-9][\w.-]*)")
#: folders whose modules are not the workspace's own
_FOREIGN = {".git", ".orchestrate", ".venv", "venv", "node_modules", "site-packages", "__pycache__"}
#: module → package, where no reader would guess the one from the other
_OTHERWISE_NAMED = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "fitz": "PyMuPDF",
    "jwt": "PyJWT",
    "MySQLdb": "mysqlclient",
    "PIL": "Pillow",
    "pkg_resources": "setuptools",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "yaml": "PyYAML",
}
#: parts of the standard library that a Python may be built without
OPTIONAL_PARTS = frozenset(
    {"bz2", "ctypes", "curses", "dbm", "lzma", "readline", "sqlite3", "ssl", "tkinter", "turtle"}
)


def declared_packages(root: Path) -> dict[str, str]:
    """The packages that the workspace asks for: name in the normal spelling → as it is written.

    Files that cannot be read declare nothing.
    """
    found: dict[str, str] = {}
    for requirement in _requirements(root):
        match = _NAME.match(requirement)
        if match:
            found.setdefault(normalized(match[1]), match[1])
    found.pop("python", None)
    return found


def package_of(module: str, declared: Mapping[str, str]) -> str:
    """The package that brings a top-level module, as it is declared if it is."""
    known = [module, _OTHERWISE_NAMED.get(module, ""), *_installed_here().get(module, ())]
    for name in filter(None, known):
        if normalized(name) in declared:
            return declared[normalized(name)]
    plain = normalized(module)
    for name, written in declared.items():
        # python-dateutil brings dateutil, google-cloud-storage brings google
        if plain in name.split("-") or (len(plain) > 3 and plain in name):
            return written
    return next(filter(None, known[1:]), module)


def belongs_to_workspace(root: Path, module: str, also: Iterable[str] = ()) -> bool:
    """Whether a top-level module is the workspace's own, even if its file is gone.

    `also` are further paths that count, such as the workflow's deliverables.
    """
    if normalized(module) in (normalized(name) for name in _own_names(root)):
        return True
    if any(_is_of(module, path) for path in also):
        return True
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if name not in _FOREIGN]
        here = Path(folder)
        if f"{module}.py" in files:
            return True
        if here.name == module and here != root and any(n.endswith(".py") for n in files):
            return True
    with contextlib.suppress(GitError):
        # what was removed from the work tree, but not yet committed so
        kept = run_git(root, "ls-tree", "-r", "-z", "--name-only", "HEAD")
        return any(_is_of(module, path) for path in split_names(kept))
    return False


def _is_of(module: str, path: str) -> bool:
    """Whether a file is the module, or lies in a package of that name."""
    parts = Path(path).parts
    if not path.endswith(".py") or _FOREIGN & set(parts):
        return False
    return module in parts[:-1] or parts[-1] == f"{module}.py"


@cache
def _widely_used() -> frozenset[str]:
    text = (Path(__file__).parent / "packages.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(name for line in lines for name in line.split())


def is_known_package(module: str) -> bool:
    """Whether a top-level module is one of a widely used package, or of one installed here."""
    return module.lower() in _widely_used() or module in _installed_here()


@cache
def _installed_here() -> Mapping[str, list[str]]:
    return packages_distributions()


def _table(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _part(table: Mapping[str, Any], *names: str) -> Any:
    for name in names:
        value = table.get(name, {})
        if not isinstance(value, dict):
            return value if name == names[-1] else {}
        table = value
    return table


def _own_names(root: Path) -> Iterator[str]:
    """The names under which the workspace itself is installed."""
    project = _table(root / "pyproject.toml")
    for place in (("project", "name"), ("tool", "poetry", "name")):
        if isinstance(name := _part(project, *place), str):
            yield name


def _requirements(root: Path) -> Iterator[str]:
    """Every requirement of every file that lists some."""
    project = _table(root / "pyproject.toml")
    yield from _strings(_part(project, "project", "dependencies"))
    for place in (("project", "optional-dependencies"), ("dependency-groups",)):
        for group in _values(_part(project, *place)):
            yield from _strings(group)
    yield from _strings(_part(project, "tool", "uv", "dev-dependencies"))
    for group in _values(_part(project, "tool", "pdm", "dev-dependencies")):
        yield from _strings(group)
    poetry = _part(project, "tool", "poetry")
    tables = [poetry.get("dependencies"), poetry.get("dev-dependencies")]
    tables += [g.get("dependencies") for g in _values(poetry.get("group")) if isinstance(g, dict)]
    pipfile = _table(root / "Pipfile")
    tables += [pipfile.get("packages"), pipfile.get("dev-packages")]
    for table in tables:
        yield from table if isinstance(table, dict) else ()
    for file in (*root.glob("*requirements*.txt"), *root.glob("requirements/*.txt")):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            yield from file.read_text(encoding="utf-8").splitlines()
    # what `setup.cfg` and `setup.py` require; the latter is read, not run
    setup = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(OSError, ValueError, configparser.Error):
        setup.read(root / "setup.cfg", encoding="utf-8")
    lists = [setup.get("options", "install_requires", fallback="")]
    if setup.has_section("options.extras_require"):
        lists += [text for _, text in setup.items("options.extras_require")]
    for text in lists:
        yield from text.splitlines()
    with contextlib.suppress(OSError, ValueError, SyntaxError):
        for node in ast.walk(ast.parse((root / "setup.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("install_requires", "extras_require"):
                constants = (n for n in ast.walk(node.value) if isinstance(n, ast.Constant))
                yield from (n.value for n in constants if isinstance(n.value, str))


def _values(table: Any) -> Iterator[Any]:
    yield from table.values() if isinstance(table, dict) else ()


def _strings(items: Any) -> Iterator[str]:
    yield from (item for item in items if isinstance(item, str)) if isinstance(items, list) else ()
