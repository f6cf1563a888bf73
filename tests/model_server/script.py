"""What the model does at a turn."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Tokens:
    """What a turn is said to have taken. `input` is without what was read from the cache."""

    input: int = 1000
    output: int = 100
    cached: int = 0


@dataclass(frozen=True, kw_only=True)
class Step:
    """One turn of the model."""

    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True)
class Say(Step):
    """It says something, and is done."""

    text: str


@dataclass(frozen=True)
class Call(Step):
    """It calls a tool of the CLI by name. A `str` is a free-form tool's input."""

    name: str
    input: Mapping[str, Any] | str
    #: said before the call
    text: str = ""


@dataclass(frozen=True)
class Write(Step):
    """It writes a file with whichever tool the CLI has for that."""

    path: str
    content: str
    text: str = ""

    def call(self, offered: Mapping[str, str]) -> Call:
        forms: dict[str, Mapping[str, Any] | str] = {
            "Write": {"file_path": self.path, "content": self.content},
            "write": {"filePath": self.path, "content": self.content},
            "write_file": {"file_path": self.path, "content": self.content},
            "apply_patch": self._patch(),
        }
        for name, form in forms.items():
            if name in offered:
                is_function = isinstance(form, str) and offered[name] == "function"
                value = {"input": form} if is_function else form
                return Call(name, value, self.text, tokens=self.tokens)
        script = f"printf %s {shlex.quote(self.content)} > {shlex.quote(self.path)}"
        return Run(script, self.text, tokens=self.tokens).call(offered)

    def _patch(self) -> str:
        lines = "".join(f"+{line}\n" for line in self.content.splitlines())
        return f"*** Begin Patch\n*** Add File: {self.path}\n{lines}*** End Patch\n"


@dataclass(frozen=True)
class Run(Step):
    """It runs a command with whichever shell tool the CLI has."""

    command: str
    text: str = ""

    def call(self, offered: Mapping[str, str]) -> Call:
        forms: dict[str, dict[str, Any]] = {
            "Bash": {"command": self.command, "description": "Run it"},
            "bash": {"command": self.command, "description": "Run it"},
            "run_shell_command": {"command": self.command, "description": "Run it"},
            "exec_command": {"cmd": self.command},
            "shell_command": {"command": self.command},
            "shell": {"command": ["bash", "-c", self.command]},
        }
        for name, form in forms.items():
            if name in offered:
                return Call(name, form, self.text, tokens=self.tokens)
        if offered.get("exec") == "custom":
            # a program that calls the tools
            said = json.dumps({"cmd": self.command})
            program = f"text(JSON.stringify(await tools.exec_command({said})))"
            return Call("exec", program, self.text, tokens=self.tokens)
        raise LookupError(f"no tool for a command among {sorted(offered)}")


@dataclass(frozen=True)
class Wait(Step):
    """It says nothing for so many seconds, then goes on with the next step."""

    seconds: float


@dataclass(frozen=True)
class Fail(Step):
    """The API answers with an error."""

    status: int
    message: str = "it failed"
    kind: str = "api_error"
    headers: Mapping[str, str] = field(default_factory=dict)
    #: further fields of the error
    fields: Mapping[str, Any] = field(default_factory=dict)
    #: how many requests in a row it answers: CLIs try again
    times: int = 1


@dataclass(frozen=True)
class Limit(Step):
    """The usage limit of a subscription is reached until a time (seconds since the epoch)."""

    resets_at: int

    def fail(self, dialect: str) -> Fail:
        reset, times = str(self.resets_at), 1_000
        if dialect == "anthropic":
            unified = "anthropic-ratelimit-unified"
            headers = {
                f"{unified}-status": "rejected",
                f"{unified}-reset": reset,
                f"{unified}-representative-claim": "five_hour",
                f"{unified}-5h-status": "rejected",
                f"{unified}-5h-reset": reset,
                f"{unified}-5h-utilization": "1.0",
                f"{unified}-overage-status": "rejected",
            }
            message = "This request would exceed your account's rate limit."
            return Fail(429, message, "rate_limit_error", headers, times=times)
        if dialect == "gemini":
            message = "You have exhausted your capacity on this model."
            return Fail(429, message, "RESOURCE_EXHAUSTED", times=times)
        fields = {"plan_type": "plus", "resets_at": self.resets_at}
        message = "The usage limit has been reached"
        return Fail(429, message, "usage_limit_reached", fields=fields, times=times)


@dataclass(frozen=True)
class Unauthorized(Step):
    """The key is refused."""

    def fail(self, dialect: str) -> Fail:
        kind = {"anthropic": "authentication_error", "gemini": "UNAUTHENTICATED"}
        message = "API key not valid" if dialect == "gemini" else "invalid x-api-key"
        return Fail(401, message, kind.get(dialect, "invalid_api_key"), times=1_000)


def arguments(call: Call) -> str:
    """A call's input as the text that the API sends."""
    return call.input if isinstance(call.input, str) else json.dumps(dict(call.input))
