"""Claude Code: `claude -p --output-format stream-json`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from orchestrate_agents.coding.agent import CodingAgent
from orchestrate_agents.coding.events import Event, Fault, Kind
from orchestrate_agents.coding.limits import is_limit
from orchestrate_agents.coding.protocol import JsonLines, Task, ToolServer
from orchestrator.domain.agent import Usage

#: a refused key is tried again ten times by the program, for minutes
_TRIES = 3
_SIGNED_OUT = ("authentication_failed", "oauth_org_not_allowed")


class ClaudeAdapter(JsonLines):
    name = "claude"
    program = ("claude",)
    install = "npm install -g @anthropic-ai/claude-code"
    sign_in = "run `claude` and sign in with /login, or set ANTHROPIC_API_KEY"
    variables = (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_MODEL",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CONFIG_DIR",
    )
    state = (
        ".claude",
        ".claude.json",
        ".cache/claude",
        ".local/state/claude",
    )
    rules = (
        ".claude/CLAUDE.md",
        ".claude/agents",
        ".claude/commands",
        ".claude/hooks",
        ".claude/local",
        ".claude/output-styles",
        ".claude/plugins",
        ".claude/rules",
        ".claude/settings.json",
        ".claude/settings.local.json",
        ".claude/skills",
        ".claude/workflows",
    )
    quiet: ClassVar[Mapping[str, str]] = {"DISABLE_AUTOUPDATER": "1"}

    def __init__(self) -> None:
        #: id of a message → its model and what it took
        self._messages: dict[Any, tuple[str, Mapping[str, Any]]] = {}
        self._used: dict[str, Usage] = {}
        self._resets: float | None = None
        self._model = ""

    def arguments(self, task: Task) -> Sequence[str]:
        words = ["-p", "--output-format", "stream-json", "--verbose"]
        if os.geteuid() != 0 or task.confined:
            words += ["--permission-mode", "bypassPermissions"]
        else:
            # which the program refuses to root
            allowed = f"Bash,mcp__{ToolServer.name}"
            words += ["--permission-mode", "acceptEdits", "--allowedTools", allowed]
        words += ["--model", task.settings.model] if task.settings.model else []
        words += ["--effort", task.settings.effort] if task.settings.effort else []
        words += ["--resume", task.session] if task.session else []
        if task.tools:
            server = {
                "command": task.tools.command,
                "args": task.tools.args,
                "env": dict(task.tools.env),
                "alwaysLoad": True,
            }
            words += ["--mcp-config", json.dumps({"mcpServers": {task.tools.name: server}})]
        return [*words, *task.settings.args]

    def environment(self, task: Task) -> Mapping[str, str]:
        # it lets root do everything only where it is told that walls are around it
        walls = {"IS_SANDBOX": "1"} if task.confined else {}
        # tools that come after the first request would be late, and empty the provider's cache
        return {**walls, **({"MCP_CONNECTION_NONBLOCKING": "false"} if task.tools else {})}

    def events(self, said: Mapping[str, Any]) -> Iterator[Event]:
        kind, session = said["type"], str(said.get("session_id") or "")
        if kind == "system" and said.get("subtype") == "init":
            self._model = _model(said.get("model") or "")
            yield Event(Kind.START, self._model, session=session)
        elif kind == "system" and said.get("subtype") == "api_retry":
            yield self._retry(said)
        elif kind == "rate_limit_event":
            info = said["rate_limit_info"]
            if info.get("status") == "rejected" and not info.get("isUsingOverage"):
                self._resets = float(info["resetsAt"]) if info.get("resetsAt") else None
        elif kind == "assistant" and said["message"].get("model") != "<synthetic>":
            yield from self._message(said["message"])
        elif kind == "user" and isinstance(said["message"]["content"], list):
            for block in said["message"]["content"]:
                if block.get("type") == "tool_result":
                    yield Event(Kind.RESULT, _text(block.get("content")))
        elif kind == "result":
            yield from self._result(said, session)

    def _retry(self, said: Mapping[str, Any]) -> Event:
        error = str(said.get("error") or said.get("error_status") or "")
        if error in ("", "unknown") and said.get("error_status") is None:
            error = "connection error"
        text = f"{error}, tried again ({said.get('attempt')} of {said.get('max_retries')})"
        if error in _SIGNED_OUT and int(said["attempt"]) >= _TRIES:
            return Event(Kind.ERROR, "the key or the sign-in is refused", fault=Fault.SIGNED_OUT)
        return Event(Kind.ERROR, text)

    def _message(self, message: Mapping[str, Any]) -> Iterator[Event]:
        for block in message["content"]:
            if block["type"] == "text":
                yield Event(Kind.TEXT, block["text"])
            elif block["type"] == "thinking":
                yield Event(Kind.THOUGHT, block.get("thinking", ""))
            elif block["type"] == "tool_use":
                value = block.get("input") or {}
                path = value.get("file_path") or value.get("notebook_path") or ""
                shown = value.get("command") or value.get("pattern") or value.get("description")
                text = str(shown or ("" if path else json.dumps(value, ensure_ascii=False)))
                yield Event(Kind.TOOL, text, tool=block["name"], path=str(path))
        self._count(message)
        if self._used:
            yield Event(Kind.USAGE, usage=tuple(self._used.values()))

    def _count(self, message: Mapping[str, Any]) -> None:
        """What the turn has taken so far; one message may come in several parts."""
        self._messages[message.get("id")] = (message.get("model", ""), message.get("usage") or {})
        self._used = {}
        for model, taken in self._messages.values():
            before = self._used.get(model, Usage(model=model))
            self._used[model] = before.model_copy(
                update={
                    "input_tokens": before.input_tokens + _number(taken, "input_tokens"),
                    "output_tokens": before.output_tokens + _number(taken, "output_tokens"),
                    "cache_read_tokens": before.cache_read_tokens
                    + _number(taken, "cache_read_input_tokens"),
                    "cache_write_tokens": before.cache_write_tokens
                    + _number(taken, "cache_creation_input_tokens"),
                }
            )

    def _result(self, said: Mapping[str, Any], session: str) -> Iterator[Event]:
        models = said.get("modelUsage") or {}
        total = _usd(said.get("total_cost_usd"))
        if not models and total:
            yield Event(Kind.USAGE, usage=(self._in_all(said, total),), session=session)
        elif models:
            usage = tuple(_of_model(name, each) for name, each in models.items())
            yield Event(Kind.USAGE, usage=usage, session=session)
        text = str(said.get("result") or "; ".join(map(str, said.get("errors") or ())))
        if not said.get("is_error"):
            yield Event(Kind.END, text, session=session)
        elif "No conversation found" in text:
            yield Event(Kind.ERROR, text, fault=Fault.NO_SESSION)
        elif said.get("api_error_status") == 429 or is_limit(text):
            at = self._resets
            fault = Fault.LIMIT
            yield Event(Kind.ERROR, text, session=session, fault=fault, resumes_at=at)
        elif said.get("api_error_status") in (401, 403) or "Please run /login" in text:
            yield Event(Kind.ERROR, text, session=session, fault=Fault.SIGNED_OUT)
        else:
            text = text or str(said.get("subtype") or "it failed")
            yield Event(Kind.ERROR, text, session=session, fault=Fault.OTHER)

    def _in_all(self, said: Mapping[str, Any], usd: float) -> Usage:
        """What the turn has taken where only its total cost is said."""
        counted = list(self._used.values())
        main = max(counted, key=lambda u: u.output_tokens).model if counted else self._model
        taken = said.get("usage")
        if not taken:
            tokens = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
            sums = {name: sum(getattr(u, name) for u in counted) for name in tokens}
            return Usage(model=main, usd=usd, **sums)
        return Usage(
            model=main,
            input_tokens=_number(taken, "input_tokens"),
            output_tokens=_number(taken, "output_tokens"),
            cache_read_tokens=_number(taken, "cache_read_input_tokens"),
            cache_write_tokens=_number(taken, "cache_creation_input_tokens"),
            usd=usd,
        )


class Claude(CodingAgent):
    """Claude Code."""

    adapter = ClaudeAdapter


def _of_model(name: str, taken: Mapping[str, Any]) -> Usage:
    return Usage(
        model=_model(name),
        input_tokens=_number(taken, "inputTokens"),
        output_tokens=_number(taken, "outputTokens"),
        cache_read_tokens=_number(taken, "cacheReadInputTokens"),
        cache_write_tokens=_number(taken, "cacheCreationInputTokens"),
        usd=_usd(taken.get("costUSD")),
    )


def _usd(said: Any) -> float | None:
    """A cost; None for what can be none."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    return float(said) if math.isfinite(said) and said >= 0 else None


def _model(name: str) -> str:
    """The model without the size of its window."""
    return name.partition("[")[0]


def _number(taken: Mapping[str, Any], key: str) -> int:
    return int(taken.get(key) or 0)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(c.get("text", "")) for c in content or () if isinstance(c, dict))
