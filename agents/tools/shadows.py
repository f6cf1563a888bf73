"""What a workspace puts in the place of the programs and modules that proofs start.

An interpreter, a shell or a test runner says how a run ended; one that lies in the workspace itself
says whatever its author wrote.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.errors import MissingToolError

#: programs of the system; no package of a workspace has to bring them
SYSTEM = frozenset(
    {"node", "npm", "npx", "corepack", "python", "python3", "sh", "bash", "dash", "zsh", "env"}
    | {"make", "gmake", "git", "grep", "egrep", "fgrep", "sed", "awk", "find", "xargs", "test"}
    | {"[", "ls", "cp", "mv", "rm", "cat", "cut", "tr", "sort", "uniq", "head", "tail", "wc"}
    | {"diff", "cmp", "true", "false", "echo", "printf", "timeout", "tee", "touch", "mkdir"}
    | {"chmod", "go", "cargo", "rustc", "java", "ruby", "perl", "php"}
)
_SYSTEM_PATH = ("/bin", "/usr/bin", "/usr/local/bin")
#: modules of tools, and those that Python imports at its start
_TOOLS = frozenset(
    {"pytest", "_pytest", "pluggy", "iniconfig", "xdist", "coverage", "ruff", "mypy", "black"}
    | {"blib2to3", "flake8", "pycodestyle", "pyflakes", "pylint", "astroid", "isort", "tox", "nox"}
    | {"pyright", "bandit", "sitecustomize", "usercustomize"}
)
#: of the standard library, what workspaces have under the same name, and no tool imports
_HARMLESS = frozenset({"test", "this", "antigravity", "idlelib", "turtledemo", "build"})
#: where it is written which folders modules are found in, or programs start in
_SETTINGS = ("pyproject.toml", "pytest.ini", "setup.cfg", "tox.ini", "package.json", "justfile",
             ".env", "GNUmakefile", "makefile", "Makefile")  # fmt: skip
_FOLDERS = re.compile(r"(?i)(?:\bpythonpath\b[\"']?\s*[:?+]?=|\bcd\s|\s-C\s)([^\n;&]*)")
#: file → what its settings call the program that runs scripts or rules
_SHELL = {
    ".npmrc": "script[-_]shell",
    ".yarnrc": '"?script-shell"?',
    ".env": "npm_config_script_shell",
    **dict.fromkeys(("GNUmakefile", "makefile", "Makefile"), r"(?:export\s+)?SHELL"),
}


def require_no_shadow(root: Path, path: str, words: Sequence[str] = ()) -> None:
    """Raise MissingToolError for what a workspace has in the place of what a command starts.

    `path`: the `PATH` that it is started with; `words`: the command.
    """
    found = next(_programs(root, path), "") or next(_modules(root, words), "")
    if found or (found := next(_shells(root), "")):
        raise MissingToolError(f"{found}, so how it ends proves nothing")


def _programs(root: Path, path: str) -> Iterator[str]:
    bins = [
        place
        for pattern in ("", "*/", "*/*/")
        for place in root.glob(f"{pattern}node_modules/.bin")
        if "node_modules" not in place.relative_to(root).parts[:-2]
    ]
    for place in bins:
        for file in sorted(place.iterdir()):
            if file.name in SYSTEM or (_is_of_system(file.name) and not _is_brought(file)):
                yield _instead(root, file, f"the system's {file.name}")
    for entry in path.split(os.pathsep):
        place = root / entry
        if place in bins or not place.is_relative_to(root) or not place.is_dir():
            continue
        recorded = ""
        for file in (place / name for name in sorted(SYSTEM) if (place / name).is_file()):
            if file.name.startswith("python") and file.read_bytes()[:2] != b"#!":
                continue
            recorded = recorded or "\n".join(_records(place.parent))
            if f"bin/{file.name}," not in recorded:
                yield _instead(root, file, f"the system's {file.name}")


def _records(environment: Path) -> Iterator[str]:
    """What the packages of an environment say that they have installed."""
    for record in environment.glob("lib/python*/site-packages/*.dist-info/RECORD"):
        yield record.read_text(encoding="utf-8", errors="replace")


def _is_of_system(name: str) -> bool:
    return any(Path(place, name).exists() for place in _SYSTEM_PATH)


def _is_brought(file: Path) -> bool:
    """Whether a program is that of an installed package: a link to it, or what pnpm writes."""
    if file.is_symlink():
        parts = file.resolve().parts
        return "node_modules" in parts and ".bin" not in parts
    return b"$basedir/" in file.read_bytes()[:4000]


def _modules(root: Path, words: Sequence[str]) -> Iterator[str]:
    names = set(_TOOLS)
    starts = Path(words[0]).name if words else ""
    if starts in _TOOLS or (re.fullmatch(r"python[\d.]*", starts) and "-m" in words[:-1]):
        names |= sys.stdlib_module_names - _HARMLESS
        names |= {"build", "pip"} & set(words)
    for folder in _import_folders(root):
        for name in sorted(names):
            for file in (folder / f"{name}.py", folder / name / "__init__.py"):
                if file.is_file():
                    yield _instead(root, file, f"Python's module {name}")


def _import_folders(root: Path) -> Iterator[Path]:
    found = {root: None, root / "src": None}
    for name in _SETTINGS:
        if (root / name).is_file():
            text = (root / name).read_text(encoding="utf-8", errors="replace")
            for said in _FOLDERS.findall(text):
                for word in re.split(r"[\s:,\"'\[\]]+", said):
                    place = (root / word.strip("/")).resolve() if word else root
                    if place.is_relative_to(root.resolve()) and place.is_dir():
                        found.setdefault(place, None)
    # with an __init__.py it is a package, as the top of the workspace may be
    yield from (p for p in found if p == root or not (p / "__init__.py").exists())


def _shells(root: Path) -> Iterator[str]:
    """Settings by which npm, yarn or make run everything with a program of the workspace."""
    for folder in (root, *sorted(p for p in root.glob("*/") if p.name != "node_modules")):
        for name, key in _SHELL.items():
            if not (file := folder / name).is_file():
                continue
            text = file.read_text(encoding="utf-8", errors="replace")
            for value in re.findall(rf"(?im)^[ \t]*{key}[ \t]*(?:[:?]?=|[ \t])(.*)$", text):
                shell = value.strip().strip("\"'")
                parts = shell.split()[:1]
                if "$" in shell or (parts and not _is_shell_of_system(root, folder, parts[0])):
                    yield f"{file.relative_to(root)} has scripts run by `{shell}`"


def _is_shell_of_system(root: Path, folder: Path, program: str) -> bool:
    if "/" not in program:
        return not any((place / program).is_file() for place in (root, folder))
    return program.startswith("/") and not Path(program).is_relative_to(root.resolve())


def _instead(root: Path, file: Path, what: str) -> str:
    shown = file.relative_to(root) if file.is_relative_to(root) else file
    return f"{shown} takes the place of {what}"
