"""Which files of a board are others than at the last look, without reading one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from orchestrator.tickets.index import Stamp


def stamps_below(folder: Path) -> dict[str, Stamp | None]:
    """The markdown files below a folder; None for one that may change without its times showing."""
    found: dict[str, Stamp | None] = {}
    pending = [os.fspath(folder)]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.name[0] == ".":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.name[-3:].lower() == ".md":
                    try:
                        stamp = Stamp.of(entry.stat(follow_symlinks=False))
                    except FileNotFoundError:
                        continue
                    found[entry.path] = stamp if stamp.settled else None
    return found


def differing(
    before: Mapping[str, Stamp | None], now: Mapping[str, Stamp | None]
) -> tuple[Path, ...]:
    """The files that are new, gone, or may have changed."""
    changed = (name for name, stamp in now.items() if stamp is None or before.get(name) != stamp)
    return tuple(map(Path, (*changed, *(before.keys() - now.keys()))))
