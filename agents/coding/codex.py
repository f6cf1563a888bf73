"""Codex: `codex exec --json`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from orchestrate_agents.coding.agent import CodingAgent
from orchestrate_agents.coding.events import Event, Fault, Kind
from orchestrate_agents.coding.protocol import JsonLines, Task
from orchestrator.domain.agent import Usage

#: bytes at the end of a session's file that are looked at for what it has taken
_END = 400_000


class CodexAdapter(JsonLines):
    name = "codex"
    program = ("codex",)
    install = "npm install -g @openai/codex"
    sign_in = "run `codex login`, or set CODEX_API_KEY"
    variables = ("CODEX_API_KEY", "CODEX_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL")
    state = (".codex",)
    rules = tuple(
        f".codex/{name}"
        for name in (
            *(".env", "AGENTS.md", "AGENTS.override.md", "config.toml", "hooks.json"),
            *("agents", "hooks", "plugins", "prompts", "rules"),
        )
    )
    quiet: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        self._model = ""
        self._home = Path.home() / ".codex"
        self._session = ""
        #: what the session had taken before this turn
        self._before: Mapping[str, Any] = {}

    def arguments(self, task: Task) -> Sequence[str]:
        self._home = Path(task.environment.get("CODEX_HOME") or self._home)
        self._model = task.settings.model
        words = ["exec", "--json", "--skip-git-repo-check"]
        if task.confined:
            # its own sandbox cannot be built inside of walls, and is not needed there
            words += ["--dangerously-bypass-approvals-and-sandbox"]
        else:
            words += ["--sandbox", "workspace-write"]
        words += ["--model", task.settings.model] if task.settings.model else []
        if task.settings.effort:
            words += ["-c", f"model_reasoning_effort={json.dumps(task.settings.effort)}"]
        if task.tools:
            key = f"mcp_servers.{task.tools.name}"
            words += ["-c", f"{key}.command={json.dumps(task.tools.command)}"]
            words += ["-c", f"{key}.args={json.dumps(list(task.tools.args))}"]
            env = ", ".join(f"{k} = {json.dumps(v)}" for k, v in task.tools.env.items())
            words += ["-c", f"{key}.env={{{env}}}"]
            # tools that come after the first request would be late
            words += ["-c", f"{key}.required=true", "-c", f"{key}.startup_timeout_sec=60"]
        words += task.settings.args
        if task.session:
            self._session = task.session
            self._before = self._total()
            words += ["resume", task.session]
        return [*words, "-"]

    def events(self, said: Mapping[str, Any]) -> Iterator[Event]:
        kind = said["type"]
        if kind == "thread.started":
            self._session = said["thread_id"]
            yield Event(Kind.START, self._model, session=said["thread_id"])
        elif kind in ("item.started", "item.completed"):
            yield from self._item(said["item"], done=kind == "item.completed")
            yield from self._used(self._total())
        elif kind == "turn.completed":
            yield from self._used(said["usage"])
            yield Event(Kind.END)
        elif kind in ("turn.failed", "error"):
            text = str((said.get("error") or said)["message"])
            # a refused key is tried again five times
            is_refused = "401 Unauthorized" in text and "Reconnecting... 1/" not in text
            fault = Fault.SIGNED_OUT if is_refused else Fault.NONE
            if kind == "turn.failed" and not is_refused:
                fault = Fault.OTHER
            yield Event(Kind.ERROR, text, fault=fault)

    def _item(self, item: Mapping[str, Any], *, done: bool) -> Iterator[Event]:
        kind = item["type"]
        if kind == "agent_message" and done:
            yield Event(Kind.TEXT, item["text"])
        elif kind == "reasoning" and done:
            yield Event(Kind.THOUGHT, item["text"])
        elif kind == "error":
            yield Event(Kind.ERROR, item["message"])
        elif kind == "command_execution":
            if not done:
                yield Event(Kind.TOOL, item["command"], tool="shell")
            else:
                yield Event(Kind.RESULT, str(item.get("aggregated_output") or ""))
        elif kind == "file_change" and done:
            for change in item["changes"]:
                yield Event(Kind.TOOL, change["kind"], tool="edit", path=change["path"])
        elif kind == "mcp_tool_call" and not done:
            yield Event(Kind.TOOL, json.dumps(item.get("arguments")), tool=item["tool"])
        elif kind == "web_search" and not done:
            yield Event(Kind.TOOL, str(item.get("query") or ""), tool="web search")

    def _used(self, total: Mapping[str, Any]) -> Iterator[Event]:
        """What this turn has taken: the program counts its whole session."""
        taken = {
            key: max(int(total.get(key) or 0) - int(self._before.get(key) or 0), 0)
            for key in ("input_tokens", "cached_input_tokens", "output_tokens")
        }
        if any(taken.values()):
            cached = taken["cached_input_tokens"]
            usage = Usage(
                model=self._model,
                input_tokens=max(taken["input_tokens"] - cached, 0),
                output_tokens=taken["output_tokens"],
                cache_read_tokens=cached,
            )
            yield Event(Kind.USAGE, usage=(usage,))

    def _total(self) -> Mapping[str, Any]:
        """What the session has taken so far, as the program's own file of it says."""
        place = self._home / "sessions"
        file = next(place.glob(f"*/*/*/rollout-*-{self._session}.jsonl"), None)
        if file is None:
            return {}
        with file.open("rb") as opened:
            opened.seek(max(opened.seek(0, os.SEEK_END) - _END, 0))
            lines = opened.read().splitlines()
        found: Mapping[str, Any] = {}
        for line in lines:
            if b'"turn_context"' in line and not self._model:
                self._model = str(_field(line, "model") or "")
            if b'"token_count"' in line:
                info = _field(line, "info")
                found = info["total_token_usage"] if isinstance(info, dict) else found
        return found


class Codex(CodingAgent):
    """OpenAI's Codex."""

    adapter = CodexAdapter


def _field(line: bytes, name: str) -> Any:
    """A field of the payload of a session's line, None if it has none or is not whole."""
    try:
        return json.loads(line)["payload"].get(name)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
