"""Running a delivered program for a proof: in a copy, without keys, with a limit, killed whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from orchestrate_agents.sandbox import NOWHERE
from orchestrator.agent_process.bounded import Tail
from orchestrator.agent_process.confinement import (
    Confinement,
    ability,
    installations,
    program_places,
)
from orchestrator.agent_process.leftovers import Marks
from orchestrator.domain.folders import DEFAULT_BOARD
from orchestrator.errors import OrchestrateError
from orchestrator.errors.masking import mask
from orchestrator.gates.checks import Services
from orchestrator.settings.config import load_settings
from orchestrator.storage.temporary import PREFIX, Temporary

#: never needed by a program that is proven, and large
_LEFT_OUT = frozenset(
    {".git", ".orchestrate", "node_modules", "__pycache__", ".venv", "venv", ".mypy_cache"}
    | {".ruff_cache", ".pytest_cache", "dist", ".env", ".env.local"}
)
_MAX_FILE = 16 * 1024 * 1024
_MAX_TREE = 256 * 1024 * 1024
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "LD_LIBRARY_PATH", "ORCHESTRATE_SCRATCH")
#: creating files in memory is several times faster; used only where there is room for all of a tree
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - only private folders are created in it
#: characters of a program's output that a receipt keeps
_TAIL = 2000
_COPIES = f"{PREFIX}run-"
#: copies that there are → the workspaces that they are of
COPIED: dict[Path, Path] = {}
_SOCKET = re.compile(r"\bhost=(/[^&\s]+)")
#: exit code of a program that tried what no program may
TRIED = 93


class RunError(OrchestrateError):
    """A program cannot be run for a proof."""

    code = "run"


@dataclass(frozen=True)
class Run:
    """How a program ended."""

    arguments: tuple[str, ...]
    #: exit code; None when it was stopped at the time limit
    code: int | None
    out: str
    err: str
    #: what it tried that no program may; its exit code is `TRIED` then
    tried: tuple[str, ...] = ()
    #: what does not hold of the walls around it on this machine
    lacks: str = ""

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def text(self) -> str:
        return f"{self.out}\n{self.err}".strip()

    @property
    def ending(self) -> str:
        """`exit 1: last line of the output`."""
        if self.tried:
            return "; ".join(self.tried[:5])
        lines = self.text.splitlines()
        last = f": {lines[-1].strip()[:300]}" if lines else ""
        return f"exit {self.code}{last}" if self.code is not None else f"stopped at the limit{last}"

    def to_dict(self) -> dict[str, object]:
        """For a receipt."""
        return {
            "command": list(self.arguments),
            "exit": self.code,
            "out": self.out[-_TAIL:],
            "err": self.err[-_TAIL:],
            **({"tried": list(self.tried)} if self.tried else {}),
            **({"confinement": self.lacks} if self.lacks else {}),
        }


# -- copies of the workspace -----------------------------------------------------------------------


def walk(
    root: str, below: str = "", left_out: frozenset[str] = _LEFT_OUT, board: str = ""
) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """(folder relative to the root, its files) of everything that a copy contains, in order.

    Without what is called as in `left_out`, and without the folder `board`.
    """
    with os.scandir(os.path.join(root, below)) as entries:  # noqa: PTH118 - runs for every proof
        kept = [e for e in entries if e.name not in left_out and not e.is_symlink()]
    kept.sort(key=lambda entry: entry.name)
    yield below, [entry for entry in kept if entry.is_file()]
    for entry in kept:
        passed = f"{below}{entry.name}" == board or entry.name.endswith(".egg-info")
        if entry.is_dir() and not passed:
            yield from walk(root, f"{below}{entry.name}/", left_out, board)


def links(root: Path) -> list[tuple[str, str]]:
    """The links of a workspace, which no copy contains, and what they lead to."""
    found = []
    for below, _ in walk(str(root), board=_board_of(root)):
        with os.scandir(root / below) as entries:
            found += [(f"{below}{e.name}", os.readlink(e.path)) for e in entries if e.is_symlink()]  # noqa: PTH115
    return sorted(found)


def _board_of(root: Path) -> str:
    """The folder of the board, which no program that is proven needs."""
    with contextlib.suppress(OrchestrateError, OSError):
        return os.path.normpath(load_settings(root).board.folder)
    return DEFAULT_BOARD


@contextlib.contextmanager
def tree_copy(root: Path, *, built: bool = False, board: bool = False) -> Iterator[Path]:
    """A copy of the workspace without links, history, packages, tickets and state.

    `built`: with `dist`; `board`: with tickets and receipts. Raises RunError if it is too large.
    """
    place = None
    with contextlib.suppress(OSError):
        roomy = shutil.disk_usage(_IN_MEMORY).free > 4 * _MAX_TREE
        place = _IN_MEMORY if roomy and os.access(_IN_MEMORY, os.W_OK) else None
    with Temporary("run", place) as folder:
        copy = Path(folder).resolve() / "tree"
        left = _MAX_TREE
        left_out = _LEFT_OUT - {"dist"} if built else _LEFT_OUT
        for below, files in walk(str(root), "", left_out, "" if board else _board_of(root)):
            (copy / below).mkdir()
            for entry in files:
                stat = entry.stat()
                if stat.st_size > _MAX_FILE:
                    continue
                left -= stat.st_size
                if left < 0:
                    raise RunError("the workspace is too large to be copied for a run", path=root)
                shutil.copyfile(entry.path, target := f"{copy}/{below}{entry.name}")
                if stat.st_mode & 0o111:
                    shutil.copymode(entry.path, target)
        COPIED[copy] = root.resolve()
        try:
            yield copy
        finally:
            del COPIED[copy]


class SharedTreeCopy:
    """A copy of one workspace and its board, shared as long as neither of the two has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._copies = contextlib.ExitStack()
        self._copy: Path | None = None
        self._stamps = ("", "")

    @contextlib.contextmanager
    def copy_of(self, root: Path) -> Iterator[Path]:
        """The copy. It is replaced once somebody has written in it; those who have it keep it."""
        with self._lock:
            if self._copy is None or self._stamps != (_stamp(root), _stamp(self._copy)):
                before = _stamp(root)
                self._copy = self._copies.enter_context(tree_copy(root, board=True))
                self._stamps = (before, _stamp(self._copy))
            copy = self._copy
        yield copy

    def close(self) -> None:
        """Remove it and the copies that it replaced."""
        self._copies.close()
        self._copy = None


def _stamp(root: Path, left_out: frozenset[str] = _LEFT_OUT) -> str:
    """A digest over the names, sizes and times of the files that a copy contains."""
    digest = hashlib.sha256()
    for _, files in walk(str(root), "", left_out, _board_of(root)):
        for entry in files:
            s = entry.stat()
            seen = (entry.path, s.st_size, s.st_mtime_ns, s.st_ino, s.st_ctime_ns)
            digest.update(repr(seen).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def tree_digest(
    services: Services, root: Path, suffixes: tuple[str, ...] = ("",), *, built: bool = False
) -> str:
    """A digest over the names and bytes of the files that a copy contains (with these suffixes)."""
    left_out = _LEFT_OUT - {"dist"} if built else _LEFT_OUT

    def compute() -> str:
        digest = hashlib.sha256()
        for below, files in walk(str(root), "", left_out, _board_of(root)):
            for entry in files:
                if entry.name.endswith(suffixes):
                    seen = (f"{below}{entry.name}", services.sha256(entry.path))
                    digest.update(repr(seen).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    # within one pass of a gate the tree is assumed not to change
    key = ("epoch", services.epoch, root) if services.epoch else _stamp(root, left_out)
    found: str = services.share(("tree-digest", key, suffixes, built), compute)
    return found


# -- processes -------------------------------------------------------------------------------------


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    limit: float = 60,
    apart_from: Path | None = None,
    write: Sequence[Path] = (),
    leaves: bool = False,
    ports: Sequence[int] = (),
) -> Run:
    """Run a command without keys, stop it with all its children at `limit` seconds.

    Its home is an empty folder that is removed with it: caches are not left in the workspace. Of
    its output the end is kept. `apart_from`: a workspace from which it is kept apart, behind walls
    (`orchestrator.agent_process.confinement`); it may write into its copy, and below `write`. What
    it tries beyond that is in the result, which is not `ok` then. What it leaves running is killed,
    and a fault unless it `leaves` something by its nature. `ports`: servers of this machine that it
    may reach.
    """
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(Temporary("home"))
        variables = {**bare_environment(cwd), "HOME": home, **(env or {})}
        if apart_from is None:
            return _run(command, cwd, variables, limit, None)
        if "ORCHESTRATE_SCRATCH" not in (env or {}):
            # what a proof keeps there is not for programs that are proven
            variables["ORCHESTRATE_SCRATCH"] = home
        own = [tree_of(cwd), Path(home), *write]
        said = (*command, *variables.values())
        named = [p for text in said for p in text.split(os.pathsep)]
        named += [p for text in said for p in _SOCKET.findall(unquote(text))]
        named = [p for p in named if p[:1] == "/" and not any(map(Path(p).is_relative_to, own))]
        read = [*program_places(), *linked_places(own[0]), *installations(named)]
        walls = stack.enter_context(
            Confinement(own, read, workspace=apart_from.resolve(), leaves=leaves, ports=ports)
        )
        return _run(command, cwd, variables, limit, walls)


def _run(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    limit: float,
    walls: Confinement | None,
) -> Run:
    words, marks = list(command) if walls is None else walls.words(command), Marks()
    try:
        with subprocess.Popen(
            words,
            cwd=cwd,
            env={**env, **marks.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(marks.fd, *(walls.fds if walls else ())),
            start_new_session=True,
        ) as process:
            marks.started()
            if walls is not None:
                walls.started()

            def end() -> None:
                kill_group(process.pid)

            out, err = Tail(process.stdout, end), Tail(process.stderr, end)
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                out.stopped = True
            finally:
                end()
                if walls is not None:
                    marks.kill_all()
            texts = mask(out.text()), mask(err.text())
            stopped = out.stopped or err.stopped
            code = None if stopped else process.wait()
    finally:
        marks.close()
    tried = walls.tried(killed=stopped) if walls is not None else ()
    lacks = "" if walls is None or walls.holds else ability().sentence
    return Run(tuple(command), TRIED if tried else code, *texts, tried, lacks)


def tree_of(folder: Path) -> Path:
    """The copy that a folder is in, else the folder itself."""
    for place in (folder, *folder.parents):
        if place.name == "tree" and place.parent.name.startswith(_COPIES):
            return place
    return folder


def linked_places(copy: Path) -> list[str]:
    """What the links of a copy lead to: environments, and where packages lie."""
    found: list[str] = []
    with contextlib.suppress(OSError):
        for folder in (copy, copy / "node_modules"):
            with os.scandir(folder) if folder.is_dir() else contextlib.nullcontext(()) as entries:
                links = [entry.path for entry in entries if entry.is_symlink()]
            for link in links if folder == copy else links[:1]:
                real = os.path.realpath(link)
                found.append(real if folder == copy else os.path.dirname(real))  # noqa: PTH120
                # an environment's own interpreter may lie elsewhere
                if (python := Path(real, "bin", "python")).exists():
                    found.append(str(python.resolve().parents[1]))
    return found


def python_path(tree: Path) -> str:
    """`PYTHONPATH` for programs of a workspace: its top, and `src` where packages lie in that."""
    places = [tree] if (tree / "src" / "__init__.py").exists() else [tree, tree / "src"]
    return os.pathsep.join(str(place) for place in places if place.is_dir())


def kill_group(leader: int) -> None:
    """Kill what is left of the process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def bare_environment(cwd: Path) -> dict[str, str]:
    """The environment of a proof: no keys, no way out, a home of its own."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)
    return {
        **{name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        **proxies,
        # no server outlives the run
        "ORCHESTRATE_SERVER_MINUTES": "0",
        "http_proxy": NOWHERE,
        "https_proxy": NOWHERE,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "HOME": str(cwd),
        "ORCHESTRATE_ROOT": str(cwd),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
        # tools that ask for news of themselves
        "DO_NOT_TRACK": "1",
        "NO_UPDATE_NOTIFIER": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "NEXT_TELEMETRY_DISABLED": "1",
        "npm_config_update_notifier": "false",
    }
