"""Agents that speak the Agent Client Protocol: any `command`, and Gemini CLI."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from orchestrate_agents.coding.agent import CodingAgent
from orchestrate_agents.coding.conversation import Conversation
from orchestrate_agents.coding.events import Event
from orchestrate_agents.coding.protocol import Adapter, Running, Task
from orchestrator import plugins
from orchestrator.agent_process.confinement import Confinement
from orchestrator.settings.agents import AgentSettings

#: where programs keep what is theirs, and words of a command that are not the program's name
_FOLDERS = (".", ".cache/", ".config/", ".local/share/", ".local/state/")
_STARTERS = frozenset({"acp", "bun", "bunx", "deno", "node", "npx", "python", "python3", "uvx"})
#: of a word: what is not a part of a name
_NAME = re.compile(r"^-.*|@.*|\.(?:c?js|mjs|py)$|^acp-|-acp$|[^\w.-]")
#: as Gemini CLI writes it in names of files
_MINUTE = "%Y-%m-%dT%H-%M"
#: ways to sign in by a variable, of agents that do not say which
_BY_VARIABLE = {
    "codex-api-key": "CODEX_API_KEY",
    "gemini-api-key": "GEMINI_API_KEY",
    "openai-api-key": "OPENAI_API_KEY",
}


class AcpAdapter(Adapter):
    name = "acp"
    #: `command` of the settings, which has to be given
    program = ("acp",)
    install = "install the program that `command` names"
    sign_in = "sign in with the program itself, or name its key in `env`"
    modules = ("acp", "genai_prices")

    @classmethod
    def places(cls, settings: AgentSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Those of the programs that the command names; else folders of its own name."""
        if cls.state:
            return cls.state, cls.rules
        known = [e for e in plugins.registered("coding") if e.name != cls.name]
        state, rules = list[str](), list[str]()
        for name in dict.fromkeys(_NAME.sub("", Path(w).name) for w in settings.command):
            found = [e.load().adapter for e in known if e.name in name.split("-")]
            for adapter in found:
                state += adapter.state
                rules += adapter.rules
            if not found and name and name not in _STARTERS:
                state += [f"{folder}{name}" for folder in _FOLDERS]
        return tuple(dict.fromkeys(state)), tuple(dict.fromkeys(rules))

    def arguments(self, task: Task) -> Sequence[str]:
        return task.settings.args

    def environment(self, task: Task) -> Mapping[str, str]:
        # some let root do everything only where they are told that walls are around them
        return {"IS_SANDBOX": "1"} if task.confined else {}

    def read(self, line: bytes) -> Iterable[Event]:
        """The protocol's library reads what it writes."""
        return ()


class Acp(CodingAgent):
    """Any agent that speaks the Agent Client Protocol."""

    adapter: ClassVar[type[Adapter]] = AcpAdapter

    def start(self, adapter: Adapter, task: Task, walls: Confinement | None) -> Running:
        argv = [*task.program, *adapter.arguments(task)]
        adapter.resume(task)
        return Conversation(
            walls.words(argv) if walls else argv,
            task,
            {**task.environment, **adapter.environment(task)},
            choose_sign_in,
            walls.fds if walls else (),
        )


class GeminiAdapter(AcpAdapter):
    name = "gemini"
    program = ("gemini",)
    install = "npm install -g @google/gemini-cli"
    sign_in = "run `gemini` and sign in, or set GEMINI_API_KEY"
    variables = (
        "GEMINI_API_KEY",
        "GEMINI_MODEL",
        "GOOGLE_API_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_CLOUD_LOCATION",
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_GEMINI_BASE_URL",
        "GOOGLE_GENAI_USE_VERTEXAI",
    )
    rules = (
        ".gemini/.env",
        ".gemini/GEMINI.md",
        ".gemini/agents",
        ".gemini/commands",
        ".gemini/extensions",
        ".gemini/hooks",
        ".gemini/policies",
        ".gemini/settings.json",
        ".gemini/skills",
        ".gemini/system.md",
        ".gemini/trustedFolders.json",
    )
    state = (".gemini", ".cache/google-gemini-cli", ".config/google-gemini-cli")
    #: it leaves out whatever is called as its own tool for a terminal
    ask_as = "ask_person"
    #: it asks nobody whether the checkout may be trusted
    quiet: ClassVar[Mapping[str, str]] = {"GEMINI_CLI_TRUST_WORKSPACE": "true"}

    def arguments(self, task: Task) -> Sequence[str]:
        model = ["--model", task.settings.model] if task.settings.model else []
        return ["--acp", *model, *task.settings.args]

    def resume(self, task: Task) -> None:
        # a file of a session is named by the minute: one that is loaded within it begins it again
        now = datetime.now(UTC)
        home = Path(task.environment.get("HOME") or Path.home())
        short = _NAME.sub("", task.session[:8])
        for file in home.glob(f".gemini/tmp/*/chats/session-*-{short}.json*") if short else ():
            for minute in (now, now + timedelta(minutes=1)):
                before = f"{now - timedelta(days=1):{_MINUTE}}"
                name = file.name.replace(f"{minute:{_MINUTE}}", before)
                if name != file.name:
                    with contextlib.suppress(OSError):
                        file.rename(file.with_name(name))


class Gemini(Acp):
    """Google's Gemini CLI."""

    adapter = GeminiAdapter


def choose_sign_in(methods: Sequence[Any], environment: Mapping[str, str]) -> str:
    """The id of a way to sign in for which all variables are there; "" if there is none."""
    for method in methods:
        needed = [v.name for v in getattr(method, "vars", None) or () if not v.optional]
        needed = needed or [_BY_VARIABLE.get(method.id, "")]
        if all(name in environment for name in needed):
            return str(method.id)
    return ""
