"""The walls around a coding agent's program (DESIGN 12.1)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.agent_process.confinement import (
    Confinement,
    ability,
    installations,
    program_places,
)


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
) -> Confinement:
    """Let a program write below `root`, in its own state and in `write` (paths), nowhere else.

    `state` are folders (and files that end in `.json`) below HOME, made where they are missing:
    what is not there could not be written to. `reach` are sockets that it needs. It keeps the
    network.
    """
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
    return Confinement(
        [root, *own, *further],
        [
            *program_places(),
            *installations(environment.get("PATH", "").split(os.pathsep)),
            *sys.path,
            *_installed(program, environment),
            *(str(Path(path).parent) for path in reach),
        ],
        leaves=True,
        network=True,
        layered=False,
    )


def _installed(program: str, environment: Mapping[str, str]) -> list[str]:
    """What a program consists of: the folder of its packages, or its own."""
    found = shutil.which(program, path=environment.get("PATH"))
    if found is None:
        return []
    real = Path(found).resolve()
    packages = [p for p in (Path(found).absolute(), real) for p in p.parents]
    modules = [str(p) for p in packages if p.name == "node_modules"]
    return [*modules, str(Path(found).parent), str(real.parent)]
