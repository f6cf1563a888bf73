"""`orchestrate config show`: the settings in force, each with where it comes from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import typer

from orchestrator.cli.text import paint, say, say_json, table
from orchestrator.cli.workspace import AsJson, workspace

if TYPE_CHECKING:
    from pydantic import BaseModel

    from orchestrator.settings.config import Settings

_MASK = "****"
_SECRET = re.compile(
    r"(?:^|[_.-])(?:api_?key|key|token|secret|passw(?:or)?d|pwd|credentials?|auth)s?$",
    re.IGNORECASE,
)
_OPTION = re.compile(r"(?P<name>-{0,2}[\w-]+)=(?P<value>.+)", re.DOTALL)
#: variables that the conductor reads; a value is shown only where it can hold no key
_VARIABLES = {
    "DATABASE_URL": False,
    "SUPABASE_URL": True,
    "SUPABASE_SERVICE_ROLE_KEY": False,
    "ORCHESTRATE_NOTIFY_URLS": False,
    "ORCHESTRATE_SCRATCH": True,
    "ORCHESTRATE_SERVER_MINUTES": True,
    "VIRTUAL_ENV": True,
}


@dataclass(frozen=True)
class Setting:
    """One key with the value in force."""

    key: str
    value: Any
    #: default, file:line, or the name of an environment variable
    source: str


def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the settings in force, and where each comes from.

    A source is the default, a file and line, or the environment. Passwords, keys and the addresses
    of notifications are masked.
    """
    from orchestrator.settings.board import FILE

    here = workspace(context)
    lines = key_lines(here.root / FILE)
    settings = list(_settings(here.settings, lines))
    variables = [
        Setting(name, os.environ[name] if shown else _MASK, f"environment variable {name}")
        for name, shown in _VARIABLES.items()
        if name in os.environ
    ]
    if as_json:
        file = here.root / FILE
        listed = [asdict(setting) for setting in settings]
        environment = [asdict(variable) for variable in variables]
        present = str(file) if file.is_file() else None
        say_json({"file": present, "settings": listed, "environment": environment})
        return
    rows = [
        (s.key, paint(s.source, "dim" if s.source == "default" else "bold"), _shown(s.value))
        for s in settings
    ]
    for line in table(rows):
        say(line)
    if variables:
        say("\nfrom the environment, where a command needs them:")
        for line in table([(v.key, str(v.value)) for v in variables]):
            say(f"  {line}")


def _settings(settings: Settings, lines: Mapping[str, int]) -> Iterator[Setting]:
    from orchestrator.settings.board import FILE

    for key, value in _flat(settings, ""):
        source = next((f"{FILE}:{lines[k]}" for k in _upwards(key) if k in lines), "default")
        if key == "notify.urls" and os.environ.get("ORCHESTRATE_NOTIFY_URLS", "").split():
            added = [_MASK for _ in os.environ["ORCHESTRATE_NOTIFY_URLS"].split()]
            value = [*value, *added]
            own = "environment variable ORCHESTRATE_NOTIFY_URLS"
            source = own if source == "default" else f"{source} and {own}"
        yield Setting(key, value, source)


def _flat(model: BaseModel, prefix: str) -> Iterator[tuple[str, Any]]:
    """Every key of the settings with its value, masked."""
    from pydantic import BaseModel

    from orchestrator.settings.agents import AgentSettings
    from orchestrator.settings.config import registered_parts

    for name in type(model).model_fields:
        value = getattr(model, name)
        if prefix == "" and name == "agents":
            for agent, part in registered_parts().items():
                if agent not in value:
                    yield f"agents.{agent}.part", part.value
            for agent, agent_settings in value.items():
                assert isinstance(agent_settings, AgentSettings)
                yield from _flat(agent_settings, f"agents.{agent}.")
        elif isinstance(value, BaseModel):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", masked(value, name)


def masked(value: Any, name: str = "") -> Any:
    """A value as plain data, without what may be a key or a password."""
    from pydantic import SecretStr

    if isinstance(value, SecretStr) or (_SECRET.search(name) and isinstance(value, str) and value):
        return _MASK
    if isinstance(value, Mapping):
        return {key: masked(item, str(key)) for key, item in value.items()}
    if isinstance(value, tuple | list):
        found = []
        before = ""
        for item in value:
            # the words of a command: `--token abc`
            follows = before.startswith("-") and bool(_SECRET.search(before))
            found.append(_MASK if follows and isinstance(item, str) else masked(item))
            before = item if isinstance(item, str) else ""
        return found
    return _masked_text(value) if isinstance(value, str) else value


def _masked_text(text: str) -> str:
    option = _OPTION.fullmatch(text)
    if option and _SECRET.search(option["name"]):
        return f"{option['name']}={_MASK}"
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return _MASK
    place = f"{_MASK}@{parts.netloc.rpartition('@')[2]}" if "@" in parts.netloc else parts.netloc
    query = _MASK if parts.query else ""
    return urlunsplit((parts.scheme, place, parts.path, query, parts.fragment))


def _shown(value: Any) -> str:
    """As TOML would have it, as far as a line goes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_shown(item)}" for key, item in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _upwards(key: str) -> Iterator[str]:
    """The key, and the keys whose tables it is in: an inline table has one line."""
    while key:
        yield key
        key = key.rpartition(".")[0]


def key_lines(file: Path) -> dict[str, int]:
    """The line of every key of a TOML file, by its dotted name; tables have no entry."""
    import tomllib

    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, int] = {}
    table_of: tuple[str, ...] = ()
    statement: list[str] = []
    start = 0
    for number, line in enumerate(lines, 1):
        start = start if statement else number
        statement.append(line)
        try:
            read = tomllib.loads("\n".join(statement))
        except tomllib.TOMLDecodeError:
            # a value of several lines goes on
            continue
        statement = []
        names = tuple(_leaf(read))
        if line.lstrip().startswith("[") and start == number:
            table_of = names
        elif names:
            found[".".join((*table_of, *names))] = start
    return found


def _leaf(read: Mapping[str, Any]) -> Iterator[str]:
    """The names down to the one value of a statement; an inline table is such a value."""
    while isinstance(read, Mapping) and len(read) == 1:
        ((name, value),) = read.items()
        yield name
        read = value if isinstance(value, Mapping) else {}
