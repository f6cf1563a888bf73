"""Paths with their links followed, for folders that are asked about at every move."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

#: folder as it was named → its real path
_known: dict[str, str] = {}
_MOST = 256


def real_folder(folder: Path | str) -> str:
    """As `os.path.realpath`, in two calls of the system while the real path names that folder."""
    named = os.fspath(folder)
    known = _known.get(named)
    if known is not None and named.startswith("/"):
        # called often, and paths are slow
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(named), os.lstat(known)):  # noqa: PTH116
                return known
    found = os.path.realpath(named)
    if len(_known) >= _MOST:
        _known.clear()
    _known[named] = found
    return found


def below_folder(home: str, text: str) -> str:
    """The real path of `text` below a folder whose real path is `home`."""
    place = home.rstrip("/")
    for part in text.split("/"):
        if part in ("", "."):
            continue
        place = f"{place}/{part}"
        try:
            is_link = stat.S_ISLNK(os.lstat(place).st_mode)
        except OSError:
            # what is not there has no links either
            is_link = False
        if is_link:
            return os.path.realpath(f"{home}/{text}")
    return place or "/"
