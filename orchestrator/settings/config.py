"""Configuration: `orchestrate.toml` at the workspace's root, every key with a default."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
)

from orchestrator import plugins
from orchestrator.domain.folders import DEFAULT_BOARD, Folders, subfolders
from orchestrator.domain.keys import KEYS, key_table
from orchestrator.domain.states import FolderRole, Part
from orchestrator.errors import UsageError
from orchestrator.markdown.conflicts import conflict_line
from orchestrator.markdown.near_misses import meant
from orchestrator.settings.agents import AgentSettings, BudgetSettings, WorkersSettings
from orchestrator.settings.web import WebSettings

FILE = "orchestrate.toml"

#: `Name <mail>`
AUTHOR = re.compile(r"\s*(?P<name>[^<>\n]*[^<>\s])\s*<(?P<mail>[^<>\s]+)>\s*")
#: what git takes for a branch, apart from its end
#: base64 of 32 bytes
_PUBLIC_KEY = re.compile(r"[A-Za-z0-9+/]{43}=")
_BRANCH = re.compile(r"(?![/.-])(?!.*(?:\.\.|//|/\.|@\{))[^\s~^:?*\[\\\x00-\x1f\x7f]+")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BoardSettings(_Table):
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
        # what agents change on the board is undone; all of the workspace is no board
        if Path(folder) in (Path(), Path("/")):
            raise ValueError("the board needs a folder of its own below the workspace")
        return folder

    @field_validator("statuses")
    @classmethod
    def _plain_words(cls, statuses: dict[str, str]) -> dict[str, str]:
        for word in statuses.values():
            if not re.fullmatch(r"\w(?:[\w .'/-]*\w)?", word):
                raise ValueError(f"{word!r} is no word for a status")
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
        try:
            return Folders(
                subfolders(root / self.folder),
                self.folders,
                self.aliases,
                self.folder,
                words=self.statuses,
                by_status=self.truth == "status",
                subfolders=self.subfolders,
                every_file=self.every_file,
                scoped=self.scoped,
                share=self.share,
                ignore=self.ignore,
            )
        except KeyError as exc:
            raise UsageError(
                f"[board] names an unknown role: {exc.args[0]}",
                path=root / FILE,
                hint=f"roles are {', '.join(FolderRole)}",
            ) from exc


class GitSettings(_Table):
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


class WorkspacesSettings(_Table):
    """`[workspaces]`: who works in a checkout of its own, and how that lands."""

    #: `auto`: families with a coding agent
    use: Literal["auto", "always", "never"] = "auto"
    #: how a family's branch goes into the branch from which it began
    merge: Literal["ff", "no-ff", "squash"] = "no-ff"
    #: a command that opens a pull request once the branch is pushed, in place of a merge;
    #: it may name {branch}, {target} and {remote}
    pull_request: tuple[str, ...] = ()


class DatabaseSettings(_Table):
    """`[database]`: the target of effects. Chosen here, never by the environment."""

    target: Literal["embedded", "postgres", "supabase"] = "embedded"


class AllowedCommand(_Table):
    """USER's leave for one command: a digest of what it ran when it was given."""

    sha256: str
    #: a line of what it ran then, for people
    runs: str = ""


class TakenCommand(_Table):
    """A command that proves one statement, with a digest of what it ran when USER took it."""

    command: str
    sha256: str


class ChecksSettings(_Table):
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


class TrustSettings(_Table):
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


class FactsSettings(_Table):
    """`[facts]`: where verified facts lie, and what counts as a source of a figure."""

    #: a folder of verified facts for providers of seed data
    folder: str = "facts"
    #: kinds of sources (`doi`, `registry`, `publisher`) and further domains
    sources: tuple[str, ...] = ("doi", "registry", "publisher")


class ApprovalSettings(_Table):
    """`[approval]`: whether an approval counts only with a signature."""

    signed: bool = False
    #: a file of SSH keys as `ssh-keygen` and git read it, relative to the workspace
    signers: str = "allowed_signers"


class TelemetrySettings(_Table):
    """`[telemetry]`: where OpenTelemetry's spans and counters go."""

    #: address of a collector that takes OTLP by HTTP, e.g. `http://127.0.0.1:4318`; "": nowhere
    otlp: str = ""

    @field_validator("otlp")
    @classmethod
    def _is_address(cls, otlp: str) -> str:
        if otlp and not re.fullmatch(r"https?://[^\s/@]+(?:/\S*)?", otlp):
            raise ValueError(f"{otlp!r} is no address such as http://127.0.0.1:4318")
        return otlp


class NotifySettings(_Table):
    """`[notify]`: where to send a message when the board needs a person."""

    #: addresses as https://appriseit.com lists them; better in ORCHESTRATE_NOTIFY_URLS
    urls: tuple[SecretStr, ...] = ()
    #: when: USER is asked, a ticket is held, the board is unhealthy
    events: tuple[Literal["question", "held", "board"], ...] = ("question", "held", "board")


class Settings(_Table):
    """All of `orchestrate.toml`, apart from the tables that plug-ins define.

    A plug-in registers a pydantic model under `orchestrate.settings`, named like its table. Where
    the file has that table, the loaded settings have a validated field of that name.
    """

    board: BoardSettings = BoardSettings()
    agents: dict[str, AgentSettings] = Field(default_factory=dict)
    budget: BudgetSettings = BudgetSettings()
    git: GitSettings = GitSettings()
    workspaces: WorkspacesSettings = WorkspacesSettings()
    database: DatabaseSettings = DatabaseSettings()
    checks: ChecksSettings = ChecksSettings()
    trust: TrustSettings = TrustSettings()
    approval: ApprovalSettings = ApprovalSettings()
    notify: NotifySettings = NotifySettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    web: WebSettings = WebSettings()
    workers: WorkersSettings = WorkersSettings()
    failure_limit: int = Field(default=2, ge=1)
    #: the most tickets in BUILD at once, further ones wait; 0: no limit
    wip_limit: int = Field(default=0, ge=0)
    #: days after which a ticket that waits for USER is stale; 0: never
    stale_days: int = Field(default=7, ge=0)
    #: files that no agent may change, as patterns (`*` matches slashes too)
    frozen: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ("workflows", ".agent/workflows")
    facts: FactsSettings = FactsSettings()

    @field_validator("agents")
    @classmethod
    def _keep_registered_parts(cls, agents: dict[str, AgentSettings]) -> dict[str, AgentSettings]:
        """Who does the work of an agent that is registered does not change its part."""
        unsaid = {name for name, agent in agents.items() if "part" not in agent.model_fields_set}
        parts = registered_parts() if unsaid else {}
        return {
            name: agent.model_copy(update={"part": parts[name]})
            if name in unsaid and name in parts
            else agent
            for name, agent in agents.items()
        }

    @field_validator("facts", mode="before")
    @classmethod
    def _folder_alone(cls, facts: Any) -> Any:
        return {"folder": facts} if isinstance(facts, str) else facts

    @field_validator("frozen")
    @classmethod
    def _below_the_workspace(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
                raise ValueError(f"{pattern!r} is not a pattern of paths below the workspace")
        return patterns

    def agent(self, name: str) -> AgentSettings:
        """The settings of an agent; by default it plays the part that it is registered for."""
        return self.agents.get(name) or AgentSettings(part=registered_parts().get(name, Part.MAKER))

    def agent_playing(self, part: Part) -> str | None:
        """The first agent, configured or else registered, that plays a part."""
        for name, settings in self.agents.items():
            if settings.part is part:
                return name
        registered = registered_parts().items()
        return next((n for n, p in registered if p is part and n not in self.agents), None)


def registered_parts() -> Mapping[str, Part]:
    """Agent → the part that it plays, for the agents registered under `orchestrate.agents`.

    The package of an agent may list the parts of its agents in `PARTS`, so that they need not be
    imported for it; else the agent's class may have an attribute `part`. The default is maker.
    """
    return _parts_of(plugins.registered("agents"))


def default_maker() -> str | None:
    """The registered agent that makes what is not given to another: the first maker."""
    return next((name for name, part in registered_parts().items() if part is Part.MAKER), None)


@cache
def _parts_of(entries: tuple[EntryPoint, ...]) -> Mapping[str, Part]:
    names = {entry.name for entry in entries}
    found: dict[str, Part] = {}
    for entry in entries:
        listed = getattr(
            import_module(entry.module.rpartition(".")[0] or entry.module), "PARTS", {}
        )
        found |= {name: Part(part) for name, part in listed.items() if name in names}
        if entry.name not in found:
            found[entry.name] = Part(getattr(entry.load(), "part", Part.MAKER))
    return found


def load_settings(root: Path) -> Settings:
    """Read `root/orchestrate.toml`; defaults where it is absent.

    Raises UsageError with the file (and the line where TOML gives one) when it cannot be used.
    """
    file = root / FILE
    if not os.path.lexists(file):
        return Settings()
    if not file.is_file():
        # a pipe would be waited for, and a device has no end
        hint = "put the settings themselves here"
        raise UsageError("is not a regular file", path=file, code="unreadable", hint=hint)
    if line := conflict_line(file.read_bytes()):
        raise UsageError(
            "the configuration has the marks of an unfinished merge",
            path=file,
            line=line,
            code="merge-conflict",
            hint="decide between the two versions and delete the marks",
        )
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise UsageError(
            f"not valid TOML: {exc}", path=file, hint="fix the line named above"
        ) from exc
    try:
        entries = [entry for entry in plugins.registered("settings") if entry.name in table]
        models: dict[str, Any] = {entry.name: (entry.load(), ...) for entry in entries}
        model = create_model("Settings", __base__=Settings, **models) if models else Settings
        return model.model_validate(table)
    except ValidationError as exc:
        raise _explain(exc, file, model) from exc


def _explain(error: ValidationError, file: Path, model: type[BaseModel]) -> UsageError:
    """The first thing that is wrong with the settings, with its line and what was meant."""
    first = error.errors()[0]
    loc = [str(part) for part in first["loc"]]
    key = ".".join(loc)
    # the line of a key in a TOML text, else that of the table that is nearest to it
    text = file.read_text(encoding="utf-8")
    table: list[str] = []
    nearest: tuple[int, int] | None = None
    for number, row in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\[\]]+?)\s*\]+", row):
            table = [part.strip(" \"'") for part in header[1].split(".")]
            here = table
        elif named := re.match(r"\s*([\w.\"'-]+)\s*=", row):
            here = [*table, *(part.strip("\"'") for part in named[1].split("."))]
        else:
            continue
        if here and list(loc[: len(here)]) == here and (not nearest or len(here) > nearest[0]):
            nearest = len(here), number
    line = nearest[1] if nearest else None
    if first["type"] != "extra_forbidden":
        said = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        hint = "orchestrate docs configuration"
        return UsageError(f"{key}: {said}", path=file, line=line, hint=hint)
    known = _keys_beside(model, loc)
    close = meant(loc[-1], known) or next(iter(get_close_matches(loc[-1], known, 1)), "")
    hint = f"did you mean `{close}`?" if close else f"known here: {', '.join(known)}"
    return UsageError(f"unknown key `{key}`", path=file, line=line, hint=hint)


def _keys_beside(model: Any, loc: Sequence[str]) -> list[str]:
    """The keys of the table in which the last key of `loc` is."""
    for part in loc[:-1]:
        if _is_table(model) and part in model.model_fields:
            model = model.model_fields[part].annotation
        else:
            # a table of tables: [agents.NAME]
            model = next(iter(get_args(model)[-1:]), None)
    return list(model.model_fields) if _is_table(model) else []


def _is_table(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseModel)


def find_root(start: Path) -> Path:
    """The workspace: the nearest folder upwards with a configuration or a board, else `start`."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).exists() or (folder / "_WORK_ORDERS").is_dir():
            return folder
    return start
