"""The tables of `orchestrate.toml`, but for agents and the web board; every key has a default."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
)

from orchestrator.domain.folders import DEFAULT_BOARD, Folders
from orchestrator.domain.keys import KEYS, key_table
from orchestrator.markdown.near_misses import meant
from orchestrator.settings.board import BoardPart

#: `Name <mail>`
AUTHOR = re.compile(r"\s*(?P<name>[^<>\n]*[^<>\s])\s*<(?P<mail>[^<>\s]+)>\s*")
#: base64 of 32 bytes
_PUBLIC_KEY = re.compile(r"[A-Za-z0-9+/]{43}=")
#: what git takes for a branch, apart from its end
_BRANCH = re.compile(r"(?![/.-])(?!.*(?:\.\.|//|/\.|@\{))[^\s~^:?*\[\\\x00-\x1f\x7f]+")


class Table(BaseModel):
    """Keys that are not known are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BoardSettings(Table):
    """`[board]`: where the board is, and the names of its folders."""

    folder: str = DEFAULT_BOARD
    #: role → folder, e.g. `QA = "05_QA"`
    folders: dict[str, str] = Field(default_factory=dict)
    #: further status or folder names → role, e.g. `REWORK_REQUIRED = "BUILD"`
    aliases: dict[str, str] = Field(default_factory=dict)
    #: what says a ticket's state: the folder that it is in, or its status (no file is then moved)
    truth: Literal["folder", "status"] = "folder"
    #: role → what is written as status, e.g. `COMPLETE = "Done"`; roles may share a word
    statuses: dict[str, str] = Field(default_factory=dict)
    #: whether the sub-folders of a working folder are that state too
    subfolders: bool = False
    #: whether a state without a folder lies in that of the state before it
    share: bool = False
    #: patterns of the board's folders that are not part of it, unless they are a state
    ignore: tuple[str, ...] = ()
    #: whether a file in a state's folder is a ticket even without keys
    every_file: bool = False
    #: whether ids are unique below each of the board's folders only (`001-login-WP01`)
    scoped: bool = False
    #: further keys of tickets → what they say, e.g. `zustaendig = "owner"`
    keys: dict[str, str] = Field(default_factory=dict)
    #: further headings under which tickets say what must hold, e.g. "Akzeptanzkriterien"
    criteria_headings: tuple[str, ...] = ()

    @field_validator("criteria_headings")
    @classmethod
    def _has_words(cls, headings: tuple[str, ...]) -> tuple[str, ...]:
        for heading in headings:
            if not any(map(str.isalpha, heading)):
                raise ValueError(f"{heading!r} is not a heading")
        return headings

    @field_validator("folder")
    @classmethod
    def _below_the_root(cls, folder: str) -> str:
        # what agents change on the board is undone; all of the workspace is not a board
        if Path(folder) in (Path(), Path("/")):
            raise ValueError("the board needs a folder of its own below the workspace")
        return folder

    @field_validator("statuses")
    @classmethod
    def _plain_words(cls, statuses: dict[str, str]) -> dict[str, str]:
        for word in statuses.values():
            if not re.fullmatch(r"\w(?:[\w .'/-]*\w)?", word):
                raise ValueError(f"{word!r} is not a word for a status")
        return statuses

    @field_validator("keys")
    @classmethod
    def _says_something_known(cls, keys: dict[str, str]) -> dict[str, str]:
        table = key_table()
        for key, name in keys.items():
            if name not in KEYS:
                close = meant(name, KEYS) or next(iter(get_close_matches(name, KEYS, 1)), "")
                said = f"did you mean {close!r}?" if close else f"known: {', '.join(KEYS)}"
                raise ValueError(f"{key!r} cannot mean {name!r}; {said}")
            if (known := table.name_of(key)) and known != name:
                raise ValueError(f"{key!r} means {known!r} already")
        return keys

    def folders_in(self, root: Path) -> Folders:
        """The board's folders in a workspace. Raises UsageError for an unknown role."""
        return BoardPart(vars(self)).folders_in(root)


class GitSettings(Table):
    """`[git]`: whether each step of a family is committed, by whom, and to which branch."""

    commit: bool = False
    #: `Name <mail>`; "": whoever git knows
    author: str = ""
    #: "": the branch that is checked out
    branch: str = ""
    #: run the repository's pre-commit and commit-msg hooks
    hooks: bool = True

    @field_validator("author")
    @classmethod
    def _name_and_mail(cls, author: str) -> str:
        if author and not AUTHOR.fullmatch(author):
            raise ValueError(f'{author!r} is not of the form "Name <mail>"')
        return author

    @field_validator("branch")
    @classmethod
    def _branch_name(cls, branch: str) -> str:
        if branch and (not _BRANCH.fullmatch(branch) or branch.endswith((".lock", "/", "."))):
            raise ValueError(f"{branch!r} is not the name of a branch")
        if branch.upper() in ("HEAD", "@") or branch.startswith("refs/"):
            raise ValueError(f"{branch!r} means something else to git; write the branch's own name")
        return branch


class WorkspacesSettings(Table):
    """`[workspaces]`: who works in a checkout of its own, and how that lands."""

    #: `auto`: families with a coding agent
    use: Literal["auto", "always", "never"] = "auto"
    #: how a family's branch goes into the branch from which it began
    merge: Literal["ff", "no-ff", "squash"] = "no-ff"
    #: a command that opens a pull request once the branch is pushed, in place of a merge;
    #: it may name {branch}, {target} and {remote}
    pull_request: tuple[str, ...] = ()
    #: whether a coding agent finds a database of its checkout's own, in `DATABASE_URL`
    database: bool = False


class DatabaseSettings(Table):
    """`[database]`: the target of effects. Chosen here, never by the environment."""

    target: Literal["embedded", "postgres", "supabase"] = "embedded"
    #: the target's PostgreSQL; 0 for what `supabase/config.toml` says
    major_version: int = Field(default=0, ge=0, le=99)


class AllowedCommand(Table):
    """USER's leave for one command: a digest of what it ran when it was given."""

    sha256: str
    #: a line of what it ran then, for people
    runs: str = ""


class TakenCommand(Table):
    """A command that proves one statement, with a digest of what it ran when USER took it."""

    command: str
    sha256: str


class ChecksSettings(Table):
    """`[checks]`: the commands that statements may run, and with which tools."""

    #: the workspace's Python, as a path or a command; by default its own environment is found
    python: str = ""

    #: commands that a statement may quote and the generic check may run, word for word
    commands: tuple[str, ...] = ()
    #: the same by `orchestrate checks allow`, each bound to what it runs
    allowed: dict[str, AllowedCommand] = Field(default_factory=dict)
    #: statement → the command that proves it, as USER took it
    taken: dict[str, TakenCommand] = Field(default_factory=dict)
    #: a command that starts the server which statements ask (“`GET /health` returns 200”)
    serve: str = ""
    #: where it listens; it finds the number in `PORT`
    port: int = Field(default=8000, gt=0, lt=65536)
    #: seconds before such a command and its children are stopped, which is a failure
    timeout: float = Field(default=120.0, gt=0)


class TrustSettings(Table):
    """`[trust]`: whose signatures below the receipts count."""

    #: public keys (`orchestrate receipts key` prints yours) besides one's own; if any is given,
    #: receipts that are signed with another key, or not at all, are refused
    keys: tuple[str, ...] = ()

    @field_validator("keys")
    @classmethod
    def _are_keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        for key in keys:
            if not _PUBLIC_KEY.fullmatch(key):
                raise ValueError(f"{key!r} is not a key as `orchestrate receipts key` prints it")
        return keys


class FactsSettings(Table):
    """`[facts]`: where verified facts lie, and what counts as a source of a figure."""

    #: a folder of verified facts for providers of seed data
    folder: str = "facts"
    #: kinds of sources (`doi`, `registry`, `publisher`) and further domains
    sources: tuple[str, ...] = ("doi", "registry", "publisher")


class ApprovalSettings(Table):
    """`[approval]`: whether an approval counts only with a signature."""

    signed: bool = False
    #: a file of SSH keys as `ssh-keygen` and git read it, relative to the workspace
    signers: str = "allowed_signers"


class TelemetrySettings(Table):
    """`[telemetry]`: where OpenTelemetry's spans and counters go."""

    #: address of a collector that takes OTLP by HTTP, e.g. `http://127.0.0.1:4318`; "": nowhere
    otlp: str = ""

    @field_validator("otlp")
    @classmethod
    def _is_address(cls, otlp: str) -> str:
        if otlp and not re.fullmatch(r"https?://[^\s/@]+(?:/\S*)?", otlp):
            raise ValueError(f"{otlp!r} is not an address such as http://127.0.0.1:4318")
        return otlp


class NotifySettings(Table):
    """`[notify]`: where to send a message when the board needs a person."""

    #: addresses as https://appriseit.com lists them; better in ORCHESTRATE_NOTIFY_URLS
    urls: tuple[SecretStr, ...] = ()
    #: when: USER is asked, a ticket is held, the board is unhealthy
    events: tuple[Literal["question", "held", "board"], ...] = ("question", "held", "board")
