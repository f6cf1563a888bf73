"""Board folders by what they are for: known by their name, not their number (DESIGN 3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.domain.states import FolderRole

DEFAULT_BOARD = "_WORK_ORDERS"
DEFAULTS: Mapping[FolderRole, str] = {
    FolderRole.INBOX: "00_INBOX",
    FolderRole.TRIAGE: "01_TRIAGE",
    FolderRole.DESIGN: "02_DESIGN",
    FolderRole.REVIEW: "03_REVIEW",
    FolderRole.BUILD: "03_BUILD",
    FolderRole.QA: "04_QA",
    FolderRole.USER_REVIEW: "05_USER_REVIEW",
    FolderRole.COMPLETE: "06_COMPLETE",
    FolderRole.ARCHIVE: "07_ARCHIVED",
    FolderRole.BACKLOG: "08_BACKLOG",
    FolderRole.HOLD: "98_HOLD",
}
_ALIASES = {
    "ARCHIVED": FolderRole.ARCHIVE,
    "COMPLETED": FolderRole.COMPLETE,
    "ON_HOLD": FolderRole.HOLD,
    "PRE_BUILD_REVIEW": FolderRole.REVIEW,
}


def _bald(text: str) -> str:
    """A status or folder name without its number, in one spelling."""
    name = re.sub(r"\A\d+(?:\.\d+)?_", "", text.strip().strip("/").strip())
    return re.sub(r"[-\s]+", "_", name).upper()


def normal_status(text: str, aliases: Mapping[str, FolderRole] | None = None) -> FolderRole | None:
    """The place that a status or a folder's name means, whatever its number, or None."""
    name = _bald(text)
    if aliases and name in aliases:
        return aliases[name]
    return _ALIASES.get(name) or FolderRole.__members__.get(name)


class Folders:
    """The folders of one board: configured names, names on disk, defaults.

    `configured` maps roles to folders, `aliases` further status or folder names to roles.
    """

    def __init__(
        self,
        existing: Iterable[str] = (),
        configured: Mapping[str, str] | None = None,
        aliases: Mapping[str, str] | None = None,
        board: str = DEFAULT_BOARD,
    ) -> None:
        #: where the board lies, relative to the workspace
        self.board = board
        self._configured = {FolderRole[_bald(k)]: v for k, v in (configured or {}).items()}
        self._aliases = {_bald(k): FolderRole[_bald(v)] for k, v in (aliases or {}).items()}
        self._aliases |= {_bald(name): role for role, name in self._configured.items()}
        self._existing = sorted(existing)
        self._roles: dict[str, FolderRole | None] = {}

    def role_of(self, folder: str) -> FolderRole | None:
        """What a folder (relative to the board) is for; None for one that is no state."""
        if folder not in self._roles:
            top, _, below = folder.partition("/")
            role = self.role_of_status(top)
            # an archive may be sorted by year; elsewhere a sub-folder is no state
            keeps = not below or (role is not None and role.at_rest)
            self._roles[folder] = role if keeps else None
        return self._roles[folder]

    def role_of_status(self, status: str) -> FolderRole | None:
        """What place a status means on this board."""
        return normal_status(status, self._aliases)

    def for_role(self, role: FolderRole) -> str:
        """The folder of a role: as configured, else one that exists, else the default name."""
        if role in self._configured:
            return self._configured[role]
        default = DEFAULTS[role]
        if default in self._existing:
            return default
        return next((name for name in self._existing if self.role_of(name) is role), default)

    def folder_of(self, path: Path, root: Path | None = None) -> str:
        """A file's folder relative to the board, "" on the board itself."""
        if root is None:
            return path.parent.name
        return path.parent.relative_to(root / self.board).as_posix().removeprefix(".")

    def __contains__(self, folder: object) -> bool:
        return isinstance(folder, str) and self.role_of(folder) is not None

    @property
    def signature(self) -> str:
        """Equal for two boards that understand names alike."""
        return repr((self.board, sorted(self._configured.items()), sorted(self._aliases.items())))


def subfolders(board: Path) -> list[str]:
    """The names of a board's own folders (no links, nothing hidden)."""
    try:
        found = [p for p in board.iterdir() if not p.name.startswith(".")]
    except OSError:
        return []
    return sorted(p.name for p in found if p.is_dir() and not p.is_symlink())
