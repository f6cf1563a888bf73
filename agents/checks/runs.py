"""Running a delivered program for a proof: in a copy, without keys, with a limit, killed whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import OrchestrateError

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


@contextlib.contextmanager
def tree_copy(root: Path) -> Iterator[Path]:
    """A copy of the workspace without links, history, packages, tickets and state."""
    with tempfile.TemporaryDirectory(prefix="orchestrate-run-") as folder:
        copy = Path(folder).resolve() / "tree"
        _copy_tree(root, copy)
        yield copy


def _copy_tree(root: Path, copy: Path) -> None:
    total = 0
    for base, folders, files in os.walk(root):
        folders[:] = [f for f in folders if f not in _LEFT_OUT and not f.endswith(".egg-info")]
        target = copy / Path(base).relative_to(root)
        target.mkdir(parents=True, exist_ok=True)
        for name in files:
            source = Path(base, name)
            if source.is_symlink() or not source.is_file() or name in _LEFT_OUT:
                continue
            size = source.stat().st_size
            total += size if size <= _MAX_FILE else 0
            if total > _MAX_TREE:
                raise RunError("the workspace is too large to be copied for a run", path=root)
            if size <= _MAX_FILE:
                shutil.copyfile(source, target / name)


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
        env={**_bare_environment(cwd), **(env or {})},
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
            _kill_group(process.pid)
            out, err = process.communicate()
            code = None
        finally:
            _kill_group(process.pid)
    return Run(tuple(command), code, out, err)


def _kill_group(leader: int) -> None:
    """Kill what is left of the group that the process leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _bare_environment(cwd: Path) -> dict[str, str]:
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
