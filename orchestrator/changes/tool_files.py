"""The entry files of a workspace's own tools: what starts when its environments prove something."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from orchestrator.changes.snapshot import WorkTree
from orchestrator.storage.atomic import sha256_file
from orchestrator.storage.real_paths import real_folder

#: what is run, or read first, of an environment of Python and of one of Node
_ENTRIES = {
    ".venv": ("bin/*", "lib/*/site-packages/*.pth", "lib/*/site-packages/*.py"),
    "node_modules": (".bin/*", "typescript/lib/*tsc.js", "typescript/lib/typescript.js"),
}
_ENTRIES["venv"] = _ENTRIES[".venv"]
#: the first files of each package, by which a program's own script reads it
_PACKAGES = {".venv": "lib/*/site-packages/*/__init__.py", "node_modules": "*/package.json"}
_PACKAGES["venv"] = _PACKAGES[".venv"]
_MOST = 5_000
#: the record that says which of them changed while an agent worked
KIND = "tools-changed"


def tool_files(tree: WorkTree) -> dict[str, str]:
    """Entry file → sha256, of the environments in the workspace."""
    return {path: tree.entry(path).sha256 for path in sorted(set(_find(tree.root)))}


def changed_tools(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """File → sha256 that it had ("": it was not there), of those that are no longer the same.

    A new program or package is not a change of another; what Python reads at every start is.
    """
    found = {path: sha256 for path, sha256 in before.items() if after.get(path) != sha256}
    new = (p for p in after.keys() - before.keys() if _is_read_always(p))
    return found | dict.fromkeys(new, "")


def still_changed(root: Path, record: Mapping[str, Any], below: Path) -> list[str]:
    """The files of a record, in one environment, that are not again as they were."""
    found = []
    for path, sha256 in record["files"].items():
        file = root / path
        now = sha256_file(file) if file.is_file() else ""
        if now != sha256 and file.is_relative_to(below):
            found.append(path)
    return sorted(found)


def _find(root: Path) -> Iterator[str]:
    projects = [os.fspath(root)]
    with contextlib.suppress(OSError), os.scandir(root) as found:
        projects += [e.path for e in found if e.name[0] != "." and e.is_dir()]
    for folder, patterns in _ENTRIES.items():
        places = (f"{project}/{folder}" for project in projects)
        for place in (p for p in places if os.path.isdir(p) and not os.path.islink(p)):  # noqa: PTH112, PTH114
            top = Path(real_folder(root))
            for pattern in (*patterns, _PACKAGES[folder]):
                for file in islice(Path(place).glob(pattern), _MOST):
                    # a program of Node is a link to a file of its package
                    real = Path(os.path.realpath(file))
                    if real.is_relative_to(top) and real.is_file():
                        yield real.relative_to(top).as_posix()


def _is_read_always(path: str) -> bool:
    return path.endswith((".pth", "/sitecustomize.py", "/usercustomize.py"))
