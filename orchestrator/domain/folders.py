"""Board folders by their role: known by their name, not their number (DESIGN 3.1)."""

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
#: what other tools and people call the states (DESIGN 4.8)
_EVERYDAY: Mapping[FolderRole, str] = {
    FolderRole.INBOX: "todo to_do open new ready planned not_started unstarted queued",
    FolderRole.TRIAGE: "triaged in_triage",
    FolderRole.DESIGN: "designing in_design",
    FolderRole.BUILD: "in_progress doing wip started active in_development building ongoing",
    FolderRole.QA: "in_review needs_review code_review testing in_testing in_test verifying in_qa",
    FolderRole.COMPLETE: "done closed resolved finished merged shipped fixed released",
    FolderRole.ARCHIVE: "cancelled canceled wontfix wont_fix won't_fix wont_do abandoned obsolete "
    "superseded duplicate dropped",
    FolderRole.BACKLOG: "deferred later icebox someday",
    FolderRole.HOLD: "blocked paused on_hold waiting stalled parked",
}
_ALIASES |= {word.upper(): role for role, words in _EVERYDAY.items() for word in words.split()}


def _canonical(text: str) -> str:
    """A status or folder name without its number, upper case with underscores."""
    name = re.sub(r"\A\d+(?:\.\d+)?_", "", text.strip().strip("/").strip())
    return re.sub(r"[-\s]+", "_", name).upper()


def normal_status(text: str, aliases: Mapping[str, FolderRole] | None = None) -> FolderRole | None:
    """The role that a status or folder name means, whatever its number, or None."""
    name = _canonical(text)
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
        #: the board's path, relative to the workspace
        self.board = board
        self._configured = {FolderRole[_canonical(k)]: v for k, v in (configured or {}).items()}
        self._aliases = {
            _canonical(k): FolderRole[_canonical(v)] for k, v in (aliases or {}).items()
        }
        self._aliases |= {_canonical(name): role for role, name in self._configured.items()}
        self._existing = sorted(existing)
        self._roles: dict[str, FolderRole | None] = {}

    def role_of(self, folder: str) -> FolderRole | None:
        """The role of a folder (relative to the board); None for one that is not a state."""
        if folder not in self._roles:
            top, _, below = folder.partition("/")
            role = self.role_of_status(top)
            # an archive may be sorted by year; elsewhere a sub-folder is no state
            keeps = not below or (role is not None and role.at_rest)
            self._roles[folder] = role if keeps else None
        return self._roles[folder]

    def role_of_status(self, status: str) -> FolderRole | None:
        """The role that a status means on this board."""
        return normal_status(status, self._aliases)

    def for_role(self, role: FolderRole) -> str:
        """The folder of a role: configured, else an existing one, else the default name."""
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
        """Equal for boards that map names to roles alike."""
        return repr((self.board, sorted(self._configured.items()), sorted(self._aliases.items())))


def subfolders(board: Path) -> list[str]:
    """The names of a board's own folders (no links, nothing hidden)."""
    try:
        found = [p for p in board.iterdir() if not p.name.startswith(".")]
    except OSError:
        return []
    return sorted(p.name for p in found if p.is_dir() and not p.is_symlink())
