"""Git commands that run the repository's own hooks, and which hook refused."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors.masking import sanitize
from orchestrator.git.command import GitError, plain_environment, run_git

#: seconds for a command with its hooks, which may run a team's tests
_TIMEOUT = 900.0
#: bytes of what is printed that are read, from its end
_KEPT = 1_000_000
#: how much of what a hook prints is reported (characters)
_TOLD = 400


@dataclass(frozen=True)
class HookedResult:
    """How a command ended: its exit code, what it printed, and the hook that failed, if one did."""

    code: int
    output: str
    hook: str = ""

    @property
    def last_words(self) -> str:
        """The end of what was printed, on one line."""
        lines = [" ".join(line.split()) for line in self.output.splitlines()]
        text = " / ".join(line for line in lines if line)
        return text if len(text) <= _TOLD else "…" + text[1 - _TOLD :]

    def refusal_by(self, hook: str) -> str:
        """What to tell a person: which hook refused, and what it said."""
        return f"the {hook} hook refused the commit" + (
            f": {self.last_words}" if self.last_words else "; it printed nothing"
        )


def run_hooked(
    root: Path,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    keys: bool = False,
) -> HookedResult:
    """Run a command in `root` with all that it starts, as a person's shell would.

    It gets no keys of the environment, but with `keys`.

    Hooks get an ordinary environment: what steers the conductor's own calls of git would change
    what a hook's git does. Raises GitError if the command cannot be run or does not end.
    """
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        env = {**plain_environment(keys=keys), **(environment or {}), "GIT_EDITOR": ":"}
        env["GIT_TRACE2_EVENT"] = str(trace)
        with tempfile.TemporaryFile() as printed:
            code = _run(root, command, env, printed.fileno())
            printed.seek(max(0, printed.seek(0, os.SEEK_END) - _KEPT))
            output = printed.read().decode("utf-8", "replace")
            output = sanitize(output.replace("\r\n", "\n").replace("\r", "\n"))
        return HookedResult(code, output, _failed_hook(trace))


def hook_folder(root: Path) -> str:
    """Where the repository has its hooks, relative to `root`, or absolute. Raises GitError."""
    return os.fsdecode(run_git(root, "rev-parse", "--git-path", "hooks", hooks=True)).rstrip("\n")


def _run(root: Path, command: Sequence[str], env: Mapping[str, str], out: int) -> int:
    try:
        # in a group of its own, so that a hook's children end with it
        process = subprocess.Popen(
            command,
            cwd=root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    except OSError as exc:
        raise GitError(root, str(exc)) from exc
    try:
        return process.wait(_TIMEOUT)
    except subprocess.TimeoutExpired as exc:
        raise GitError(root, f"a hook did not end within {_TIMEOUT:.0f} s") from exc
    finally:
        if process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _failed_hook(trace: Path) -> str:
    """The hook that git itself saw fail, from the events that it writes; "" if none did."""
    started: dict[int, str] = {}
    try:
        lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        # a session with a parent is a git that the hook itself has called
        if not isinstance(event, dict) or "/" in str(event.get("sid", "")):
            continue
        if event.get("event") == "child_start" and event.get("child_class") == "hook":
            started[event["child_id"]] = str(event.get("hook_name", "hook"))
        failed = event.get("event") == "child_exit" and bool(event.get("code"))
        if failed and event["child_id"] in started:
            return started[event["child_id"]]
    return ""
