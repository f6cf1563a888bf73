"""Board folders by their role: known by their name, not their number (DESIGN 3.1)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath

from orchestrator.domain.states import FolderRole

DEFAULT_BOARD = "_WORK_ORDERS"
#: the folder of a board with the histories of its families
HISTORIES = ".receipts"
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
#: what tools and people call the states (DESIGN 4.8), whatever the case and the separators
EVERYDAY: Mapping[FolderRole, str] = {
    FolderRole.INBOX: "todo open new ready planned not_started unstarted queued next up_next "
    "ready_for_dev ready_for_development selected_for_development proposed",
    FolderRole.TRIAGE: "triaged in_triage needs_triage",
    FolderRole.DESIGN: "designing in_design",
    FolderRole.REVIEW: "pre_build_review",
    FolderRole.BUILD: "in_progress doing wip work_in_progress started active in_development "
    "developing building ongoing implementing",
    FolderRole.QA: "in_review for_review needs_review ready_for_review under_review reviewing "
    "code_review testing in_testing in_test verifying in_qa",
    FolderRole.COMPLETE: "completed done closed resolved finished merged shipped fixed released "
    "delivered deployed",
    FolderRole.ARCHIVE: "archived cancelled canceled wontfix wontdo abandoned obsolete superseded "
    "duplicate dropped rejected declined discarded invalid not_planned",
    FolderRole.BACKLOG: "deferred later icebox someday draft drafts",
    FolderRole.HOLD: "on_hold blocked paused waiting stalled parked",
}
#: what is written where the status, not the folder, says the state and the board names no word
_WORDS: Mapping[FolderRole, str] = {
    FolderRole.INBOX: "todo",
    FolderRole.BUILD: "in_progress",
    FolderRole.QA: "in_review",
    FolderRole.COMPLETE: "done",
    FolderRole.ARCHIVE: "archived",
    FolderRole.HOLD: "on_hold",
}


def _canonical(text: str) -> str:
    """A status or folder name without its number, upper case with underscores."""
    name = re.sub(r"\A\d+(?:\.\d+)?_", "", text.strip().strip("/").strip())
    return re.sub(r"[-\s]+", "_", name).upper()


@lru_cache(maxsize=4096)
def _folded(text: str) -> str:
    """A status or folder name without number, case, separators and signs: `✅ To-Do` is `todo`."""
    return re.sub(r"[\W_]+", "", re.sub(r"\A\W*\d+(?:\.\d+)?_", "", text.strip())).casefold()


_KNOWN = {_folded(word): role for role, words in EVERYDAY.items() for word in words.split()}
_KNOWN |= {_folded(role): role for role in FolderRole}


def normal_status(text: str, aliases: Mapping[str, FolderRole] | None = None) -> FolderRole | None:
    """The role that a status or folder name means, whatever its number, or None."""
    name = _folded(text)
    return (aliases or {}).get(name) or _KNOWN.get(name)


def state_in_words(role: FolderRole | None, folder: str, status: str) -> str:
    """Where a ticket is, for people: its folder, and its state where that does not say it."""
    if role is None or normal_status(folder.split("/")[0]) is role:
        return folder or status or "no state"
    return f"{folder} ({role})" if folder else role.value


class Folders:
    """The folders of one board: configured names, names on disk, defaults.

    `configured` maps roles to folders ("." is the board itself, several roles may share one),
    `aliases` further status or folder names to roles, `words` roles to what is written as status.
    With `by_status` a ticket's status says its state and no file is ever moved; only a folder that
    is configured for a state of rest says so itself. `subfolders`: those of a working folder count
    as that folder. `every_file`: a file in a state's folder is a ticket even without keys.
    `scoped`: ids are unique below each of the board's folders only. `share`: a state without a
    folder lies in that of the state before it. `ignore`: patterns of the board's folders that are
    not part of it, unless they are a state.
    """

    def __init__(
        self,
        existing: Iterable[str] = (),
        configured: Mapping[str, str] | None = None,
        aliases: Mapping[str, str] | None = None,
        board: str = DEFAULT_BOARD,
        *,
        words: Mapping[str, str] | None = None,
        by_status: bool = False,
        subfolders: bool = False,
        every_file: bool = False,
        scoped: bool = False,
        share: bool = False,
        ignore: Iterable[str] = (),
    ) -> None:
        #: the board's path, relative to the workspace
        self.board = board
        self.by_status = by_status
        self.every_file = every_file
        self.scoped = scoped
        self._subfolders = subfolders
        named = {FolderRole[_canonical(k)]: v for k, v in (configured or {}).items()}
        self._configured = {
            role: PurePosixPath(named[role]).as_posix().removeprefix(".")
            for role in FolderRole
            if role in named
        }
        self._words = {FolderRole[_canonical(k)]: v for k, v in (words or {}).items()}
        self._aliases = {_folded(k): FolderRole[_canonical(v)] for k, v in (aliases or {}).items()}
        # of several roles with one name the first in the order of work is read
        for names in (self._words, {} if by_status else self._configured):
            for role in FolderRole:
                if role in names:
                    self._aliases.setdefault(_folded(names[role]), role)
        self._existing = sorted(existing)
        self._ignored = tuple(ignore)
        self._roles: dict[str, tuple[FolderRole, ...]] = {}
        if share:
            self._share()

    def _share(self) -> None:
        """Let states without a folder of their own lie in that of the state before them."""
        own = {self.role_of(name): name for name in reversed(self._existing)} | self._configured
        before = own.get(FolderRole.INBOX, DEFAULTS[FolderRole.INBOX])
        for role in FolderRole:
            if role is FolderRole.HOLD:
                before = own.get(FolderRole.BUILD, before)
            elif role is FolderRole.BACKLOG:
                before = own.get(FolderRole.INBOX, before)
            before = self._configured[role] = own.get(role, before)
        self._roles.clear()

    def role_of(self, folder: str) -> FolderRole | None:
        """The role of a folder (relative to the board); None for one that is not a state."""
        return next(iter(self._roles_of(folder)), None)

    def _roles_of(self, folder: str) -> tuple[FolderRole, ...]:
        """All roles of a folder: several may share one."""
        if folder not in self._roles:
            self._roles[folder] = self._find_roles(folder)
        return self._roles[folder]

    def _find_roles(self, folder: str) -> tuple[FolderRole, ...]:
        parts = folder.split("/")
        for place in ("/".join(parts[:n]) for n in range(len(parts), 0, -1)):
            found = tuple(role for role, name in self._configured.items() if name == place)
            if not found and "/" not in place and not self.by_status:
                role = self.role_of_status(place)
                found = (role,) if role else ()
            # an archive may be sorted by year; elsewhere a sub-folder is not a state by default
            if found and (place == folder or self._subfolders or found[0].at_rest):
                return found
        return ()

    def is_ignored(self, folder: str) -> bool:
        """Whether one of the board's own folders is not part of it."""
        named = any(name.partition("/")[0] == folder for name in self._configured.values())
        matches = any(fnmatchcase(folder, pattern) for pattern in self._ignored)
        return matches and not named and self.role_of(folder) is None

    def scope_of(self, folder: str) -> str:
        """What precedes the ids of a folder's tickets, if they are unique in it only."""
        top = folder.partition("/")[0] if self.scoped else ""
        return "" if self._roles_of(top) else re.sub(r"[^\w.-]+", "-", top).strip("-._")[:60]

    def role_at(self, folder: str, status: str, recorded: str = "") -> FolderRole | None:
        """The state of a ticket in a folder with a status.

        What a family's record has, if both agree with it: states may share folder and word.
        """
        place = FolderRole.__members__.get(recorded)
        if place is not None and self.agrees(folder, status, place):
            return place
        here, said = self._roles_of(folder), self.role_of_status(status)
        if self.by_status:
            return next((role for role in here if role.at_rest), said)
        return said if said in here else next(iter(here), None)

    def agrees(self, folder: str, status: str, role: FolderRole) -> bool:
        """Whether a ticket there with that status is where the role belongs, and says so."""
        return self.place_for(folder, role) == folder and self.says(status, role)

    def says(self, status: str, role: FolderRole) -> bool:
        """Whether a status means the role; on some boards several roles share one word."""
        return self.role_of_status(status) is role or _folded(status) == _folded(self._word(role))

    def _word(self, role: FolderRole) -> str:
        """What is written for a role, unless its folder has another name."""
        default = _WORDS.get(role, role.lower()) if self.by_status else DEFAULTS[role]
        return self._words.get(role) or default

    def role_of_status(self, status: str) -> FolderRole | None:
        """The role that a status means on this board."""
        return normal_status(status, self._aliases)

    def for_role(self, role: FolderRole) -> str:
        """The folder of a role: configured, else an existing one, else the default name."""
        if role in self._configured:
            return self._configured[role]
        if self.by_status:
            return self._configured.get(FolderRole.INBOX, "")
        default = DEFAULTS[role]
        if default in self._existing:
            return default
        return next((name for name in self._existing if self.role_of(name) is role), default)

    def status_for(self, role: FolderRole, folder: str = "", status: str = "") -> str:
        """What `status:` says in a role: the board's word, else the name of the folder.

        `status` stays where the board goes by words and it says the role already.
        """
        if (self.by_status or role in self._words) and self.says(status, role):
            return status
        if self.by_status or role in self._words:
            return self._word(role)
        name = folder if role in self._roles_of(folder) else self.for_role(role)
        top = self._configured.get(role) or name.partition("/")[0]
        return top if self.role_of_status(top) is role else DEFAULTS[role]

    def wish_for(self, role: FolderRole) -> str:
        """The status by which a person asks for a role: its word, unless another has that too."""
        word = self.status_for(role)
        return word if self.role_of_status(word) is role else role.value

    def place_for(self, folder: str, role: FolderRole) -> str:
        """The folder to which a ticket of `folder` goes in a role; the same one if it may stay."""
        here = self._roles_of(folder)
        if self.by_status or role in here:
            return folder
        # what is sorted by subject stays so; the years of an archive are left behind
        below = (
            folder.partition("/")[2] if self._subfolders and here and not here[0].at_rest else ""
        )
        return "/".join(filter(None, (self.for_role(role), below)))

    def folder_of(self, path: Path, root: Path | None = None) -> str:
        """A file's folder relative to the board, "" on the board itself."""
        if root is None:
            return path.parent.name
        above, board = os.path.split(path)[0], f"{os.fspath(root)}/{self.board}"
        if above == board:
            return ""
        if not above.startswith(f"{board}/"):
            raise ValueError(f"{above} is not on the board {board}")
        return above[len(board) + 1 :]

    def __contains__(self, folder: object) -> bool:
        return isinstance(folder, str) and self.role_of(folder) is not None

    @property
    def signature(self) -> str:
        """Equal for boards that map names to roles alike."""
        kept = {k: v for k, v in vars(self).items() if k not in ("_existing", "_roles")}
        return repr(sorted(kept.items()))


def subfolders(board: Path) -> list[str]:
    """The names of a board's own folders (no links, nothing hidden)."""
    try:
        found = [p for p in board.iterdir() if not p.name.startswith(".")]
    except OSError:
        return []
    return sorted(p.name for p in found if p.is_dir() and not p.is_symlink())
