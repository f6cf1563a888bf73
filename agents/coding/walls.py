"""The walls around a coding agent's program (DESIGN 12.1)."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.agent_process.confinement import (
    Confinement,
    ability,
    installations,
    program_places,
    secrets_of,
)

#: seconds, and characters kept, of what a program says of its version
_VERSION_TIMEOUT, _VERSION = 20.0, 60


def can_confine() -> bool:
    """Whether this machine can build walls around a program."""
    return ability().confines


def build_walls(
    program: str,
    root: Path,
    environment: Mapping[str, str],
    state: Sequence[str],
    write: Sequence[str],
    reach: Sequence[str],
    fixed: Sequence[Path] = (),
    home_of_board: Path | None = None,
) -> Confinement:
    """Let a program write below `root`, in its own state and in `write` (paths), nowhere else.

    `state` are folders (and files that end in `.json`) below HOME, made where they are missing:
    what is not there could not be written to. `reach` are sockets that it needs. It keeps the
    network. `fixed` stays as it is, wherever it lies; so does what the program consists of. Of the
    workspace with the board it reads no keys, and sees no `.orchestrate`: the server of its
    database, which trusts whoever reaches it, may start there meanwhile.
    """
    hidden: list[str] = []
    if home_of_board is not None:
        is_apart = home_of_board.resolve() != root.resolve()
        hidden = secrets_of(home_of_board) if is_apart else []
        hidden.append(str(home_of_board / ".orchestrate"))
    home = Path(environment.get("HOME") or Path.home())
    own = [home / name for name in state]
    for place in own:
        if place.suffix == ".json":
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                place.write_text("{}\n", encoding="utf-8")
        else:
            place.mkdir(parents=True, exist_ok=True)
    further = [home / Path(path).expanduser() for path in write]
    installed = _installed(program, environment)
    parts = [Path(path).resolve() for path in installed]
    return Confinement(
        [root, *(path for place in (*own, *further) for path in _around(place, parts))],
        [
            *_readable(environment, installed),
            *(str(Path(path).parent) for path in reach),
        ],
        leaves=True,
        network=True,
        layered=False,
        fixed=fixed,
        hidden=hidden,
    )


def version_of(program: Sequence[str], environment: Mapping[str, str]) -> str:
    """What a program says of its version, "" if nothing.

    It runs without network and writes nowhere, as far as this machine can see to that.
    """
    words = [*program, "--version"]
    with contextlib.ExitStack() as stack:
        fds: tuple[int, ...] = ()
        if can_confine():
            read = _readable(environment, _installed(program[0], environment))
            walls = stack.enter_context(Confinement([], read, leaves=True, layered=False))
            words, fds = walls.words(words), walls.fds
        try:
            done = subprocess.run(
                words,
                capture_output=True,
                timeout=_VERSION_TIMEOUT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                pass_fds=fds,
            )
        except (OSError, subprocess.SubprocessError):
            return ""
    return " ".join(done.stdout.split())[:_VERSION]


def _readable(environment: Mapping[str, str], installed: Sequence[str]) -> list[str]:
    """What a program needs to read although it lies among hidden files."""
    path = environment.get("PATH", "").split(os.pathsep)
    return [*program_places(), *installations(path), *sys.path, *installed]


def _around(place: Path, fixed: Sequence[Path]) -> Iterator[Path]:
    """A place, or what is in it apart from `fixed` (resolved) and the folders above that.

    No link among it: what it leads to may lie elsewhere.
    """
    real = place.resolve()
    if not any(path.is_relative_to(real) for path in fixed):
        yield place
    elif real not in fixed:
        with contextlib.suppress(OSError):
            for entry in sorted(real.iterdir()):
                if not entry.is_symlink():
                    yield from _around(entry, fixed)


def _installed(program: str, environment: Mapping[str, str]) -> list[str]:
    """What a program consists of: the folder of its packages, or its own."""
    found = shutil.which(program, path=environment.get("PATH"))
    if found is None:
        return []
    real = Path(found).resolve()
    packages = [p for p in (Path(found).absolute(), real) for p in p.parents]
    modules = [str(p) for p in packages if p.name == "node_modules"]
    return [*modules, str(Path(found).parent), str(real.parent)]
