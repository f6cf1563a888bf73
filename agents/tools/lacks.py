"""Tells a failure for want of a tool or package from one of the workspace's own making.

What is not installed leaves a claim unproven, with the command that installs it. A module of the
workspace's own that is missing is a failure, as is one that no file asks for and nobody knows where
everything that the workspace does ask for is installed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from orchestrate_agents.tools.declared import (
    OPTIONAL_PARTS,
    belongs_to_workspace,
    declared_packages,
    is_known_package,
    package_of,
)
from orchestrate_agents.tools.python import Python, normalized
from orchestrator.agent_process.bounded import ask
from orchestrator.agent_process.dispatcher import environment
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import Context

#: Python's own words: an import that failed, a skipped one, and `python -m` of what is not there
_NO_MODULE = re.compile(
    r"(?m)(?:ModuleNotFoundError: |could not import '[\w.]+': |^[^:\n]*python[\d.]*: )"
    r"No module named ['\"]?([\w.]+)"
)
#: what pytest says without a plug-in → the package
_PLUGINS = (
    (re.compile(r"unrecognized arguments:.*--cov"), "pytest-cov"),
    (re.compile(r"unrecognized arguments:.*(?:-n\b|--dist)"), "pytest-xdist"),
    (re.compile(r"unrecognized arguments:.*--(?:timeout|session-timeout)"), "pytest-timeout"),
    (re.compile(r"unrecognized arguments:.*--(?:asyncio-mode)"), "pytest-asyncio"),
    (re.compile(r"unrecognized arguments:.*--(?:reruns)"), "pytest-rerunfailures"),
    (
        re.compile(r"unrecognized arguments:.*--(?:ds|reuse-db|create-db|nomigrations)"),
        "pytest-django",
    ),
    (re.compile(r"Missing required plugins: ([\w-]+)"), ""),
    (re.compile(r"async def functions are not natively supported"), "pytest-asyncio"),
    (re.compile(r"fixture 'mocker' not found"), "pytest-mock"),
    (re.compile(r"fixture 'benchmark' not found"), "pytest-benchmark"),
    (re.compile(r"fixture 'httpx_mock' not found"), "pytest-httpx"),
    (re.compile(r"fixture 'requests_mock' not found"), "requests-mock"),
    (re.compile(r"fixture 'freezer' not found"), "pytest-freezer"),
)


def require_module(ctx: Context, python: Python, module: str) -> None:
    """Raise MissingToolError if the interpreter cannot import a tool such as pytest."""
    if module not in python.modules:
        raise _lack(module, module, python, declared_packages(ctx.root))


def raise_for_lack(ctx: Context, python: Python, text: str) -> None:
    """Raise MissingToolError if what a failed program printed says that a package is missing."""
    lack = find_lack(ctx, python, text)
    if lack is not None:
        raise lack


def find_lack(ctx: Context, python: Python, text: str) -> MissingToolError | None:
    """What is not installed, by the output of a failed program; None if it failed by itself."""
    delivered = [d.path for _, d in ctx.workflow.deliverables] if ctx.workflow else []
    return find_missing_package(ctx.root, python, text, [*ctx.artifacts, *delivered])


def find_missing_package(
    root: Path, python: Python, text: str, own_paths: Iterable[str] = ()
) -> MissingToolError | None:
    """The same for a workspace; `own_paths` are files that belong to it even if they are absent."""
    declared = declared_packages(root)
    for package in _missing_plugins(text):
        if normalized(package) not in python.packages:
            return _lack(package, package, python, declared)
    found = _NO_MODULE.findall(text)
    if not found:
        return None
    top = found[-1].partition(".")[0]
    if top.lstrip("_") in OPTIONAL_PARTS:
        return MissingToolError(f"{python.label} was built without the module {top}")
    if top in sys.stdlib_module_names or _imports(python, top):
        return None
    package = package_of(top, declared)
    asked_for = normalized(package) in declared
    if not asked_for:
        if belongs_to_workspace(root, top, own_paths):
            return None
        # it may come with a package that is asked for, as long as one of those is missing
        complete = all(name in python.packages for name in declared)
        if complete and not is_known_package(top):
            return None
    return _lack(top, package, python, declared)


def _missing_plugins(text: str) -> Iterator[str]:
    for pattern, package in _PLUGINS:
        if match := pattern.search(text):
            yield package or match[1]


def _imports(python: Python, module: str) -> bool:
    """Whether the interpreter itself finds the module: then only a part of it is missing."""
    question = (
        "import sys; from importlib.util import find_spec; sys.exit(not find_spec(sys.argv[1]))"
    )
    command = [*python.command, "-I", "-c", question, module]
    return ask(command, limit=30, env=environment()).code == 0


def _lack(
    module: str, package: str, python: Python, declared: Mapping[str, str]
) -> MissingToolError:
    said = f"{module} is not installed for {python.label}"
    if python.own:
        said += ", which is used because the workspace has no environment of its own"
    asked_for = normalized(package) in declared
    if declared and not asked_for:
        said += ", and no file of the workspace asks for it"
        absent = [name for plain, name in declared.items() if plain not in python.packages]
        if absent and not is_known_package(module):
            # nobody is told to install what may be a misspelt name
            said += f"; nor is {absent[0]}, which one asks for"
            return MissingToolError(said, python.install(absent[0], declared=True))
    return MissingToolError(said, python.install(package, declared=asked_for))
