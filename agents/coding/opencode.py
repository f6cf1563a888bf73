"""opencode: `opencode run --format json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from orchestrate_agents.coding.agent import CodingAgent
from orchestrate_agents.coding.events import Event, Fault, Kind
from orchestrate_agents.coding.limits import is_limit
from orchestrate_agents.coding.protocol import JsonLines, Task
from orchestrator.domain.agent import Usage

#: it tries again without end, and without a word among its events
_TRIES = 3
_COMPLAINT = re.compile(r'message="stream error".*?\berror\.error="(?P<text>.*)"')
_CONFIG = "OPENCODE_CONFIG_CONTENT"


class OpencodeAdapter(JsonLines):
    name = "opencode"
    program = ("opencode",)
    install = "npm install -g opencode-ai"
    sign_in = (
        "run `opencode auth login`, or set the key of the model's provider and name it in `env`"
    )
    variables = (
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "OPENAI_API_KEY",
        "OPENCODE_API_KEY",
        "OPENCODE_CONFIG",
        _CONFIG,
        "OPENCODE_CONFIG_DIR",
        "OPENROUTER_API_KEY",
    )
    state = (
        ".cache/opencode",
        ".config/opencode",
        ".local/share/opencode",
        ".local/state/opencode",
    )
    rules = tuple(
        f".config/opencode/{name}"
        for name in (
            *("AGENTS.md", "config.json", "opencode.json", "opencode.jsonc"),
            *("agent", "agents", "command", "commands", "mode", "modes"),
            *("plugin", "plugins", "skill", "skills", "tool", "tools"),
        )
    )
    quiet: ClassVar[Mapping[str, str]] = {"OPENCODE_DISABLE_AUTOUPDATE": "1"}

    def __init__(self) -> None:
        self._model = ""
        self._used = Usage()
        self._complaints = 0

    def arguments(self, task: Task) -> Sequence[str]:
        self._model = task.settings.model
        # errors of its provider, which it repeats in silence, go to its standard error
        words = ["run", "--format", "json", "--print-logs", "--log-level", "ERROR", "--auto"]
        words += ["--model", task.settings.model] if task.settings.model else []
        words += ["--variant", task.settings.effort] if task.settings.effort else []
        words += ["--session", task.session] if task.session else []
        return [*words, *task.settings.args]

    def environment(self, task: Task) -> Mapping[str, str]:
        if task.tools is None:
            return {}
        server = {
            "type": "local",
            "command": [task.tools.command, *task.tools.args],
            "environment": dict(task.tools.env),
        }
        try:
            settings = json.loads(task.environment.get(_CONFIG) or "{}")
            settings.setdefault("mcp", {})[task.tools.name] = server
        except (ValueError, AttributeError, TypeError):
            # the program will say what is wrong with it
            return {}
        return {_CONFIG: json.dumps(settings)}

    def complain(self, line: bytes) -> Iterable[Event]:
        found = _COMPLAINT.search(line.decode("utf-8", "replace"))
        if found is None:
            return ()
        self._complaints += 1
        is_over = self._complaints >= _TRIES and is_limit(found["text"])
        return (Event(Kind.ERROR, found["text"], fault=Fault.LIMIT if is_over else Fault.NONE),)

    def events(self, said: Mapping[str, Any]) -> Iterator[Event]:
        self._complaints = 0
        kind, session = said["type"], str(said.get("sessionID") or "")
        part = said.get("part") or {}
        if kind == "step_start":
            yield Event(Kind.START, self._model, session=session)
        elif kind == "text":
            yield Event(Kind.TEXT, part["text"], session=session)
        elif kind == "reasoning":
            yield Event(Kind.THOUGHT, part["text"], session=session)
        elif kind == "tool_use":
            yield from self._tool(part)
        elif kind == "step_finish":
            self._count(part)
            yield Event(Kind.USAGE, usage=(self._used,), session=session)
            if part.get("reason") != "tool-calls":
                yield Event(Kind.END, session=session)
        elif kind == "error":
            yield self._error(said["error"], session)

    def _tool(self, part: Mapping[str, Any]) -> Iterator[Event]:
        state = part["state"]
        value = state.get("input") or {}
        path = str(value.get("filePath") or "")
        text = str(value.get("command") or value.get("pattern") or "")
        shown = text or ("" if path else json.dumps(value, ensure_ascii=False))
        yield Event(Kind.TOOL, shown, tool=part["tool"], path=path)
        yield Event(Kind.RESULT, str(state.get("output") or state.get("error") or ""))

    def _count(self, part: Mapping[str, Any]) -> None:
        tokens = part.get("tokens") or {}
        cache = tokens.get("cache") or {}
        used = self._used
        self._used = Usage(
            model=self._model,
            input_tokens=used.input_tokens + int(tokens.get("input") or 0),
            output_tokens=used.output_tokens
            + int(tokens.get("output") or 0)
            + int(tokens.get("reasoning") or 0),
            cache_read_tokens=used.cache_read_tokens + int(cache.get("read") or 0),
            cache_write_tokens=used.cache_write_tokens + int(cache.get("write") or 0),
            # of a model without a price it says 0, which is not known
            usd=(used.usd or 0.0) + part["cost"] if part.get("cost") else used.usd,
        )

    def _error(self, error: Mapping[str, Any], session: str) -> Event:
        data = error.get("data") or {}
        text = str(data.get("message") or error.get("name") or "it failed")
        status = data.get("statusCode")
        fault = Fault.OTHER
        if status in (401, 403) or error.get("name") == "ProviderAuthError":
            fault = Fault.SIGNED_OUT
        elif status == 429 or is_limit(text):
            headers = json.dumps(data.get("responseHeaders") or {})
            return Event(Kind.ERROR, f"{text} {headers}", session=session, fault=Fault.LIMIT)
        return Event(Kind.ERROR, text, session=session, fault=fault)


class Opencode(CodingAgent):
    """opencode."""

    adapter = OpencodeAdapter
