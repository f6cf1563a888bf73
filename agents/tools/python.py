"""The Python that a workspace's programs run with: its own environment before anybody else's."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrate_agents.tools.unchanged import require_unchanged
from orchestrator.agent_process.bounded import ask
from orchestrator.agent_process.dispatcher import environment
from orchestrator.changes.entries import RACY
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import Context, Services
from orchestrator.git.folder import find_git_folder
from orchestrator.settings.board import FILE
from orchestrator.settings.tables import ChecksSettings

_VENVS = (".venv", "venv")
_SETTING = f"`[checks] python` in {FILE}"
#: seconds for one question to an interpreter or to a manager of environments
_LIMIT = 30.0
#: lock file → manager → how it is asked, and whether it answers with the environment's folder
_MANAGERS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "uv.lock": ("uv", ("run", "python", "-c", "import sys; print(sys.executable)"), False),
    "poetry.lock": ("poetry", ("env", "info", "-p"), True),
    "Pipfile.lock": ("pipenv", ("--venv",), True),
    "pdm.lock": ("pdm", ("info", "--python"), False),
}
#: a question changes nothing and fetches nothing
_QUIET = {
    "UV_NO_SYNC": "1",
    "UV_FROZEN": "1",
    "UV_OFFLINE": "1",
    "UV_PYTHON_DOWNLOADS": "never",
    "PIPENV_NO_INHERIT": "1",
    "POETRY_VIRTUALENVS_CREATE": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_NO_WAY_OUT = dict.fromkeys(
    ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"
)
# for any Python 3: what is installed is named by folders beside the packages
# what lies in the current folder is the workspace's
_QUESTION = """
import sys
del sys.path[0]
import json, os
from importlib.util import find_spec
names = set()
for folder in sys.path:
    try:
        found = os.listdir(folder)
    except OSError:
        continue
    names.update(n for n in found if n.endswith((".dist-info", ".egg-info", ".egg-link", ".pth")))
modules = [n for n in ("pip", "pytest", "xdist") if find_spec(n) is not None]
ran = [getattr(m, "__file__", None) for m in list(sys.modules.values())]
print(json.dumps({
    "executable": sys.executable, "prefix": sys.prefix, "names": sorted(names),
    "version": list(sys.version_info[:3]), "text": sys.version, "modules": modules,
    "path": [*sys.path, getattr(sys.modules.get("site"), "USER_SITE", None) or ""],
    "ran": sorted(filter(None, ran)),
}))
"""
#: what was asked → the answer, and the stamps of all that it came from (`_sources`)
_ANSWERED: dict[Any, tuple[str, list[Any]]] = {}
#: workspaces and interpreters that a long-lived process keeps answers of
_MOST_ANSWERED = 64


@dataclass(frozen=True)
class Python:
    """An interpreter that starts."""

    #: the words that start it
    command: tuple[str, ...]
    #: how it is started from the workspace: `.venv/bin/python`
    shown: str
    #: `3.12.4`
    version: str
    #: whether it is the one that this product itself runs on, for want of the workspace's
    own: bool
    #: the program that manages the environment: pip, uv, poetry, pipenv or pdm
    manager: str
    prefix: Path
    #: of pip, pytest and xdist, those that it can import
    modules: frozenset[str]
    #: of the installed packages, in the spelling of `normalized`
    packages: frozenset[str]
    #: changes with the interpreter, its version and the packages that are installed for it
    identity: str

    @property
    def label(self) -> str:
        """`.venv/bin/python (Python 3.12.4)`, for messages."""
        shown = "Orchestrate's own interpreter" if self.own else self.shown
        return f"{shown} (Python {self.version})"

    @cached_property
    def variables(self) -> dict[str, str]:
        """Variables by which programs that are started by name come from this environment."""
        if self.own:
            return {}
        path = os.pathsep.join([str(self.prefix / "bin"), os.environ.get("PATH", os.defpath)])
        return {"PATH": path, "VIRTUAL_ENV": str(self.prefix)}

    def install(self, package: str, *, declared: bool) -> str:
        """The command that installs a package for it; `declared`: the workspace asks for it."""
        word = shlex.quote(package)
        match self.manager:
            case "uv":
                return "uv sync" if declared else f"uv add --dev {word}"
            case "poetry":
                return "poetry install" if declared else f"poetry add --group dev {word}"
            case "pipenv":
                return "pipenv sync --dev" if declared else f"pipenv install --dev {word}"
            case "pdm":
                return "pdm sync" if declared else f"pdm add -d {word}"
        if self.own:
            return f"python3 -m venv .venv && .venv/bin/python -m pip install {word}"
        python = shlex.quote(self.shown)
        if "pip" not in self.modules:
            return f"uv pip install --python {python} {word}"
        return f"{python} -m pip install {word}"


def normalized(name: str) -> str:
    """A package's name as package indexes compare it."""
    return name.strip().lower().replace("_", "-").replace(".", "-")


def python_of(ctx: Context) -> Python:
    """The interpreter of a check's workspace.

    Raises MissingToolError if it does not start, or if an agent changed its environment.
    """
    python = find_python(ctx.root, ctx.settings, ctx.services)
    require_unchanged(ctx, python.prefix)
    return python


def find_python(
    root: Path, settings: Mapping[str, Any], services: Services | None = None
) -> Python:
    """The workspace's interpreter, the first of these that there is:

    `[checks] python`; `.venv` or `venv` of the workspace or of a folder above it in its
    repository; the environment of uv, poetry, pipenv or pdm, where there is that program and its
    lock file; `VIRTUAL_ENV` and `CONDA_PREFIX`; the one that this product runs on.

    Raises MissingToolError if that one does not start: another is not taken in its place.
    """
    configured = ChecksSettings.model_validate(settings.get("checks", {})).python
    if services is None or not services.epoch:
        return _find(root, configured)
    # within one pass of a gate the environment is assumed not to change
    key = ("python", services.epoch, root, configured)
    found: Python | MissingToolError = services.share(
        key, lambda: _found_or_error(root, configured)
    )
    if isinstance(found, MissingToolError):
        raise found
    return found


def _found_or_error(root: Path, configured: str) -> Python | MissingToolError:
    try:
        return _find(root, configured)
    except MissingToolError as exc:
        return exc


def _find(root: Path, configured: str) -> Python:
    root = root.resolve()
    if configured:
        return _ask(root, _words(root, configured), _SETTING)
    for folder in _folders(root):
        for name in _VENVS:
            if (venv := folder / name).is_dir() and _is_environment(venv):
                return _ask(root, [str(_executable(venv, root))], _shown(venv, root))
    for folder in _folders(root):
        for lock, (program, words, is_folder) in _MANAGERS.items():
            if (folder / lock).is_file() and (tool := shutil.which(program)):
                with tempfile.TemporaryDirectory() as aside:
                    answer = _answer(root, [tool, *words], set_aside=aside)
                place = Path(answer, "bin", "python") if is_folder and answer else Path(answer)
                if answer and place.is_file():
                    return _ask(root, [str(place)], f"the environment of {program}")
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        active = os.environ.get(variable, "")
        place = Path(active, "bin", "python")
        if active and place.exists() and Path(active).resolve() != Path(sys.prefix).resolve():
            return _ask(root, [str(place)], variable)
    return _ask(root, [sys.executable], "Orchestrate's own", own=True)


def _folders(root: Path) -> Iterator[Path]:
    """The workspace, and the folders above it that are in the same repository."""
    yield root
    found = find_git_folder(root)
    top = found[0] if found else root
    yield from (folder for folder in root.parents if folder.is_relative_to(top))


def _is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").exists() or os.path.lexists(folder / "bin" / "python")


def _executable(venv: Path, root: Path) -> Path:
    """`bin/python` of an environment. Raises MissingToolError saying why it cannot start."""
    places = [venv / "bin" / name for name in ("python", "python3")]
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return place
    shown, again = _shown(places[0], root), _shown(venv, root)
    # python → python3 → what the environment was made with
    links = [place.readlink() for place in places if place.is_symlink()]
    why = "cannot be executed" if places[0].exists() else "is not there"
    for target in sorted(links, key=Path.is_absolute)[-1:]:
        why = f"is a link to {target}, which {why}"
    raise MissingToolError(
        f"the workspace's environment {again} is broken: {shown} {why}",
        f"python3 -m venv --clear {shlex.quote(again)}",
        "make it again with",
    )


def _words(root: Path, configured: str) -> list[str]:
    """A path, which may contain spaces, or a command."""
    if (root / configured).is_file():
        return [str(root / configured)]
    try:
        words = shlex.split(configured)
    except ValueError:
        words = [configured]
    first = words[0] if words else configured
    if "/" in first and (root / first).exists():
        return [str(root / first), *words[1:]]
    if not shutil.which(first):
        raise MissingToolError(f"{_SETTING} names {configured}, which is not there")
    return words


def _ask(root: Path, command: list[str], origin: str, *, own: bool = False) -> Python:
    """Start it once. Raises MissingToolError if it does not answer as a Python does."""
    answer = _said(root, command)
    try:
        seen = json.loads(answer)
        executable, version = Path(seen["executable"]), ".".join(map(str, seen["version"]))
    except (ValueError, TypeError, KeyError) as exc:
        raise MissingToolError(
            f"{shlex.join(command)} ({origin}) does not start as Python",
            f"{shlex.join(command)} --version",
            "see",
        ) from exc
    if executable.is_file():
        command = [str(executable)]
    stat = executable.stat() if executable.is_file() else None
    stamp = f"{stat.st_size}:{stat.st_mtime_ns}" if stat else ""
    identity = repr((command, seen["text"], seen["names"], stamp))
    names = (name.rpartition(".")[0] for name in seen["names"])
    return Python(
        tuple(command),
        _shown(Path(command[0]), root) if len(command) == 1 else shlex.join(command),
        version,
        own,
        _manager(root),
        Path(seen["prefix"]),
        frozenset(seen["modules"]),
        frozenset(normalized(name.partition("-")[0]) for name in names),
        hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest(),
    )


def _said(root: Path, command: list[str]) -> str:
    """What an interpreter says of itself; asked again only where what that came from changed."""
    # what lies in the workspace may be an agent's work: it gets no home and no way out
    apart = Path(command[0]).is_relative_to(root)
    key = (root, *command, tuple(sorted(environment().items())))
    known = _ANSWERED.get(key)
    if known is not None and known[1] == _sources(command[0], known[0]):
        return known[0]
    began = time.time_ns()
    answer = _answer(root, [*command, "-c", _QUESTION], apart=apart)
    sources = _sources(command[0], answer) if len(command) == 1 else []
    # what changed so lately may change again without its times showing it
    if sources and began - max(stamp[0] for stamp in sources if stamp) > RACY:
        if len(_ANSWERED) >= _MOST_ANSWERED:
            _ANSWERED.clear()
        _ANSWERED[key] = answer, sources
    return answer


def _sources(command: str, answer: str) -> list[list[int]]:
    """The stamps of all that an answer came from, [] for what is not there; none at all where it
    did not come from the program that was started: who knows what a script looks at."""
    try:
        seen = json.loads(answer)
        executable, prefix, path = seen["executable"], seen["prefix"], seen["path"]
        with open(executable, "rb") as program:  # noqa: PTH123 - looked at for each question
            if not Path(command).samefile(executable) or program.read(2) == b"#!":
                return []
        links = [name for name in seen["names"] if name.endswith((".pth", ".egg-link"))]
        places = [executable, f"{prefix}/pyvenv.cfg", *path, *seen["ran"]]
        places += [f"{folder}/{name}" for folder in path for name in links]
        return [_stamp(place) for place in places]
    except (ValueError, TypeError, KeyError, OSError):
        return []


def _stamp(place: str) -> list[int]:
    try:
        found = os.stat(place)  # noqa: PTH116 - of many, for each question
    except OSError:
        return []
    return [max(found.st_mtime_ns, found.st_ctime_ns), found.st_size, found.st_ino, found.st_dev]


def _answer(root: Path, command: Sequence[str], *, apart: bool = False, set_aside: str = "") -> str:
    """The last line that a command prints, "" if it fails. It gets no keys.

    `apart`: nor the user's home, nor the network as far as proxies go. `set_aside`: a folder that
    is thrown away, for the environment that uv makes where there is none.
    """
    env = {**environment(), **_QUIET, **({"HOME": str(root), **_NO_WAY_OUT} if apart else {})}
    if set_aside:
        place = os.environ.get("UV_PROJECT_ENVIRONMENT", "")
        exists = place and (root / place).is_dir()
        env["UV_PROJECT_ENVIRONMENT"] = place if exists else str(Path(set_aside, "venv"))
    # the active environment of this product is not the workspace's
    env.pop("PYTHONPATH", None)
    if Path(env.get("VIRTUAL_ENV", sys.prefix)).resolve() == Path(sys.prefix).resolve():
        env.pop("VIRTUAL_ENV", None)
    with contextlib.suppress(OSError):
        ended = ask(command, limit=_LIMIT, env=env, cwd=root)
        lines = ended.out.decode("utf-8", "surrogateescape").strip().splitlines()
        return lines[-1].strip() if ended.code == 0 and lines else ""
    return ""


def _manager(root: Path) -> str:
    for folder in _folders(root):
        for lock, (program, _, _) in _MANAGERS.items():
            if (folder / lock).is_file():
                return program
    return "pip"


def _shown(path: Path, root: Path) -> str:
    """A path as the workspace's people know it."""
    return os.path.relpath(path, root) if path.is_relative_to(root) else str(path)
