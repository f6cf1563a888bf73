"""What a board is read with: the workspace, and its board's part of `orchestrate.toml`.

The models of all settings take longer to import than a board to read. What they have taken once is
not shown to them again: what it says of the board is then read without.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.domain.folders import DEFAULT_BOARD, Folders, subfolders
from orchestrator.domain.states import FolderRole
from orchestrator.errors import UsageError

FILE = "orchestrate.toml"
#: the settings that were last found to be good, below what else decides on that
_GOOD = Path(".orchestrate", "state", "settings")
#: the keys of `[board]` by what they hold
_TEXTS = ("folder", "truth")
_FLAGS = ("subfolders", "share", "every_file", "scoped")
_LISTS = ("ignore", "criteria_headings")
_TABLES = ("folders", "aliases", "statuses", "keys")


@dataclass(frozen=True)
class BoardPart:
    """What reading a board takes from the settings."""

    #: `[board]`, apart from keys that are not given
    table: Mapping[str, Any] = field(default_factory=dict)
    failure_limit: int = 2

    @property
    def folder(self) -> str:
        """The board, relative to the workspace."""
        return str(self.table.get("folder", DEFAULT_BOARD))

    @property
    def criteria_headings(self) -> tuple[str, ...]:
        return tuple(self.table.get("criteria_headings", ()))

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """The workspace's own keys, and what they say."""
        return tuple(sorted(self.table.get("keys", {}).items()))

    def folders_in(self, root: Path) -> Folders:
        """The board's folders in a workspace. Raises UsageError for an unknown role."""
        said = self.table.get
        try:
            return Folders(
                subfolders(root / self.folder),
                said("folders"),
                said("aliases"),
                self.folder,
                words=said("statuses"),
                by_status=said("truth") == "status",
                subfolders=said("subfolders", False),
                every_file=said("every_file", False),
                scoped=said("scoped", False),
                share=said("share", False),
                ignore=said("ignore", ()),
            )
        except KeyError as exc:
            raise UsageError(
                f"[board] names an unknown role: {exc.args[0]}",
                path=root / FILE,
                hint=f"roles are {', '.join(FolderRole)}",
            ) from exc


def find_root(start: Path) -> Path:
    """The workspace: the nearest folder upwards with a configuration or a board, else `start`."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).exists() or (folder / DEFAULT_BOARD).is_dir():
            return folder
    return start


def read_board_part(root: Path) -> BoardPart:
    """The board's part of `root/orchestrate.toml`. Raises UsageError as `load_settings` does."""
    file = root / FILE
    if not os.path.lexists(file):
        return BoardPart()
    data = _data(file)
    if data is not None and (part := _known_part(root, data)) is not None:
        return part
    from orchestrator.settings.config import Settings, load_settings

    settings = load_settings(root)
    # what a plug-in's own table may hold is its own affair
    if data is not None and type(settings) is Settings and _data(file) == data:
        _remember(root, data)
    return BoardPart(vars(settings.board), settings.failure_limit)


def _data(file: Path) -> bytes | None:
    """The bytes of a regular file, None for what cannot be read."""
    with contextlib.suppress(OSError):
        # a pipe would be waited for
        if stat.S_ISREG(file.stat().st_mode):
            return file.read_bytes()
    return None


def _known_part(root: Path, data: bytes) -> BoardPart | None:
    """What settings that are known to be good say of the board."""
    with contextlib.suppress(OSError, ValueError):
        if (root / _GOOD).read_bytes() == _judges() + data:
            return _plain_part(data)
    return None


def _plain_part(data: bytes) -> BoardPart | None:
    """What good settings say of the board; None where a value is not written as it is meant."""
    import tomllib

    table = tomllib.loads(data.decode("utf-8"))
    board, limit = table.get("board", {}), table.get("failure_limit", 2)
    plain = type(board) is dict and all(_is_plain(key, value) for key, value in board.items())
    return BoardPart(board, limit) if plain and type(limit) is int else None


def _is_plain(key: str, value: Any) -> bool:
    if key in _LISTS:
        return type(value) is list and all(type(each) is str for each in value)
    if key in _TABLES:
        return type(value) is dict and all(type(each) is str for each in value.values())
    return (key in _TEXTS and type(value) is str) or (key in _FLAGS and type(value) is bool)


def _judges() -> bytes:
    """What says whether settings are good, in a line: the models, and what is installed."""
    with os.scandir(os.path.dirname(__file__)) as scan:  # noqa: PTH120 - at every start
        models = sorted(entry.path for entry in scan if entry.name.endswith(".py"))
    stamps: list[object] = [sys.version]
    for place in (*sys.path, *models):
        with contextlib.suppress(OSError):
            found = os.stat(place)  # noqa: PTH116
            stamps.append((place, found.st_mtime_ns, found.st_size))
    return ascii(stamps).encode() + b"\n"


def _remember(root: Path, data: bytes) -> None:
    """Keep good settings, where the conductor's own folder is there and no link leads elsewhere."""
    place = root / _GOOD
    if any(p.is_symlink() or not p.is_dir() for p in (place.parent, place.parent.parent)):
        return
    new = place.with_name(f"{place.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        # made anew: what lies there under that name may be a link
        new.unlink(missing_ok=True)
        with new.open("xb") as file:
            file.write(_judges() + data)
        new.replace(place)
