"""Running a delivered program for a proof: in a copy, without keys, with a limit, killed whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import Services
from orchestrator.storage.atomic import sha256_file

#: never needed by a program that is proven, and large
_LEFT_OUT = frozenset(
    {".git", ".orchestrate", "node_modules", "__pycache__", ".venv", "venv", ".mypy_cache"}
    | {".ruff_cache", ".pytest_cache", "_WORK_ORDERS", "dist", ".env"}
)
_MAX_FILE = 16 * 1024 * 1024
_MAX_TREE = 256 * 1024 * 1024
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "LD_LIBRARY_PATH", "ORCHESTRATE_SCRATCH")
#: nothing listens here: a program that is not told where to go reaches nobody
NOWHERE = "http://127.0.0.1:9"
_TAIL = 2000


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

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def text(self) -> str:
        return f"{self.out}\n{self.err}".strip()

    @property
    def ending(self) -> str:
        """`exit 1: last line that it printed`."""
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
        }


#: files in memory are made several times faster; used only where there is room for all of a tree
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of one's own is made in it


@contextlib.contextmanager
def tree_copy(root: Path) -> Iterator[Path]:
    """A copy of the workspace without links, history, packages, tickets and state."""
    with tempfile.TemporaryDirectory(prefix="orchestrate-run-", dir=_roomy()) as folder:
        copy = Path(folder).resolve() / "tree"
        _copy_tree(str(root), str(copy), _Room(root))
        yield copy


def _roomy() -> Path | None:
    """The file system in memory, if it has room for several trees; None for the usual place."""
    try:
        free = shutil.disk_usage(_IN_MEMORY).free
    except OSError:
        return None
    return _IN_MEMORY if free > 4 * _MAX_TREE and os.access(_IN_MEMORY, os.W_OK) else None


class SparedCopy:
    """A copy of one workspace, shared by its users as long as neither of the two has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._copies = contextlib.ExitStack()
        self._copy: Path | None = None
        self._stamps = ("", "")

    @contextlib.contextmanager
    def of(self, root: Path) -> Iterator[Path]:
        """The copy. Who writes in it leaves it to those who have it, and it is made anew."""
        with self._lock:
            if self._copy is None or self._stamps != (_stamp(root), _stamp(self._copy)):
                before = _stamp(root)
                self._copy = self._copies.enter_context(tree_copy(root))
                self._stamps = (before, _stamp(self._copy))
            copy = self._copy
        yield copy

    def close(self) -> None:
        """Remove it, and those that it took the place of."""
        self._copies.close()
        self._copy = None


def _stamp(root: Path) -> str:
    """A digest over the names, sizes and times of the files that a copy has."""
    digest = hashlib.sha256()
    for entry in _files(str(root)):
        stat = entry.stat()
        told = (entry.path, stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns)
        digest.update(repr(told).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def tree_digest(services: Services, root: Path, suffixes: tuple[str, ...] = ("",)) -> str:
    """A digest over the names and bytes of the files that a copy has, or of some kinds of them."""

    def read() -> str:
        digest = hashlib.sha256()
        for entry in _files(str(root)):
            if entry.name.endswith(suffixes):
                told = (os.path.relpath(entry.path, root), sha256_file(Path(entry.path)))
                digest.update(repr(told).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    # within one pass of a gate the tree is taken to stand still
    key = ("epoch", services.epoch, root) if services.epoch else _stamp(root)
    found: str = services.share(("tree-digest", key, suffixes), read)
    return found


def _files(folder: str) -> Iterator[os.DirEntry[str]]:
    """The files that a copy has, in order."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.name in _LEFT_OUT or entry.is_symlink():
                continue
            if entry.is_dir():
                if not entry.name.endswith(".egg-info"):
                    yield from _files(entry.path)
            elif entry.is_file():
                yield entry


@dataclass
class _Room:
    """How much may still be copied."""

    root: Path
    left: int = field(default_factory=lambda: _MAX_TREE)

    def take(self, size: int) -> None:
        """Raises RunError if a tree is too large."""
        self.left -= size
        if self.left < 0:
            raise RunError("the workspace is too large to be copied for a run", path=self.root)


def _copy_tree(source: str, copy: str, room: _Room) -> None:
    os.mkdir(copy)  # noqa: PTH102 - paths as text: this runs for every proof
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.name in _LEFT_OUT or entry.is_symlink():
                continue
            target = f"{copy}/{entry.name}"
            if entry.is_dir():
                if not entry.name.endswith(".egg-info"):
                    _copy_tree(entry.path, target, room)
            elif entry.is_file() and (size := entry.stat().st_size) <= _MAX_FILE:
                room.take(size)
                _copy_file(entry.path, target)


def _copy_file(source: str, target: str) -> None:
    with open(source, "rb", 0) as old, open(target, "wb", 0) as new:  # noqa: PTH123
        while part := old.read(_MAX_FILE):
            new.write(part)


def run_python(
    script: str,
    arguments: Sequence[str] = (),
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    limit: float = 60,
) -> Run:
    """`python script arguments` in `cwd`, with this interpreter."""
    return run([sys.executable, script, *arguments], cwd=cwd, env=env, limit=limit)


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, limit: float = 60
) -> Run:
    """Run a command without keys, stop it with all its children at `limit` seconds."""
    with subprocess.Popen(
        list(command),
        cwd=cwd,
        env={**bare_environment(cwd), **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        code: int | None
        try:
            out, err = process.communicate(timeout=limit)
            code = process.returncode
        except subprocess.TimeoutExpired:
            kill_group(process.pid)
            out, err = process.communicate()
            code = None
        finally:
            kill_group(process.pid)
    return Run(tuple(command), code, out, err)


def kill_group(leader: int) -> None:
    """Kill what is left of the group that the process leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def bare_environment(cwd: Path) -> dict[str, str]:
    """The environment of a proof: no keys, no way out, a home of its own."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "HOME": str(cwd),
        "ORCHESTRATE_ROOT": str(cwd),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
        "HTTP_PROXY": NOWHERE,
        "HTTPS_PROXY": NOWHERE,
        "ALL_PROXY": NOWHERE,
        "NO_PROXY": "127.0.0.1,localhost",
        "http_proxy": NOWHERE,
        "https_proxy": NOWHERE,
        "no_proxy": "127.0.0.1,localhost",
    }
