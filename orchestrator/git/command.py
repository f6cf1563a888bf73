"""The one way in which git is called."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from orchestrator.errors import OrchestrateError
from orchestrator.errors.masking import mask, without_keys

#: seconds for one call; reading a long history for the first time takes some
_TIMEOUT = 120.0
#: settings under which git runs no program of the repository's for what this program asks of it
_SAFE = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.askPass": "",
    "credential.helper": "",
    "log.showSignature": "false",
}
#: settings for a repository that an agent can write: nothing of it runs, nor cleans up by itself
QUIET = {"core.hooksPath": os.devnull, "core.fsmonitor": "false", "gc.auto": "0"}
#: git's mode of a commit of another repository
INNER = "160000"
#: variables by which a hook's git would be asked about another repository
_REDIRECTING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")


class GitError(OrchestrateError):
    """git failed or could not be run; `reason` is the first line of its complaint, `output` the
    rest of what it printed.
    """

    code = "git"

    def __init__(self, root: Path, reason: str, output: bytes = b"") -> None:
        super().__init__(
            f"git cannot read the repository: {reason}",
            path=root,
            hint="see `git status` here; without git, used numbers and changes are unknown",
        )
        self.reason = mask(reason)
        self.output = output


def run_git(
    root: Path,
    *args: str,
    stdin: bytes = b"",
    timeout: float = _TIMEOUT,
    env: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    hooks: bool = False,
) -> bytes:
    """What git prints when run in `root`. Path arguments are literal. Raises GitError.

    `settings` stand above those of the repository; no hook of it runs or is known but with `hooks`.
    """
    safe = {name: value for name, value in _SAFE.items() if name != "core.hooksPath" or not hooks}
    try:
        done = subprocess.run(
            ["git", *args],
            cwd=root,
            env=_environment() | _overriding({**safe, **(settings or {})}) | dict(env or {}),
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise GitError(root, str(exc)) from exc
    if done.returncode:
        printed = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = printed[0] if printed else f"exit code {done.returncode}"
        raise GitError(root, why, done.stdout)
    return done.stdout


def split_names(output: bytes) -> list[str]:
    """The file names of an output made with `-z`."""
    return [name for name in os.fsdecode(output).split("\0") if name]


def read_raw(output: str) -> dict[str, bool]:
    """Path → whether it became a repository of its own, of a diff made with `--raw -z`."""
    fields = output.split("\0")
    modes = (entry.split(" ")[:2] for entry in fields[::2])
    pairs = zip(fields[1::2], modes, strict=False)
    return {path: mode[1:] == [INNER] and mode[0] != f":{INNER}" for path, mode in pairs}


def read_objects(root: Path, names: Iterable[str], limit: int | None = None) -> Iterator[bytes]:
    """The first `limit` bytes of each object (`COMMIT:PATH` or a hash), b"" for a missing one."""
    names = list(names)
    if not names:
        return
    with tempfile.TemporaryFile() as stdin:
        stdin.write(os.fsencode("".join(f"{name}\n" for name in names)))
        stdin.seek(0)
        command = ["git", "cat-file", "--batch", "--buffer"]
        with subprocess.Popen(
            command,
            cwd=root,
            env=_environment() | _overriding(_SAFE),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None
            for _ in names:
                yield _next_object(process.stdout, limit)


def _next_object(out: IO[bytes], limit: int | None) -> bytes:
    header = out.readline().split()
    if not header or not header[-1].isdigit():
        return b""
    size = int(header[-1])
    content = out.read(size if limit is None else min(size, limit))
    left = size + 1 - len(content)
    while left and (skipped := out.read(min(left, 1 << 20))):
        left -= len(skipped)
    return content


def plain_environment(*, keys: bool = False) -> dict[str, str]:
    """The environment without what would lead git to another repository, and without keys.

    `keys`: with them, for what signs in elsewhere.
    """
    found = os.environ if keys else without_keys(os.environ)
    return {key: value for key, value in found.items() if key not in _REDIRECTING}


def _environment() -> dict[str, str]:
    # nothing is fetched for it, and no lock is taken that a person's own git could meet
    return plain_environment() | {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        # an object is what its name says (`git replace`)
        "GIT_NO_REPLACE_OBJECTS": "1",
        "LC_ALL": "C",
    }


def _overriding(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings as variables: a name may hold any character."""
    found = {"GIT_CONFIG_COUNT": str(len(settings))} if settings else {}
    for number, (name, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found
