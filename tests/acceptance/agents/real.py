"""The real coding agents, each set up so that the scripted model is its provider."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrate_agents.coding.acp import Acp, Gemini
from orchestrate_agents.coding.agent import CodingAgent
from orchestrate_agents.coding.claude import Claude
from orchestrate_agents.coding.codex import Codex
from orchestrate_agents.coding.opencode import Opencode
from orchestrator.domain.agent import Job, Report
from tests import coding
from tests.acceptance.agents.own_network import MARK
from tests.model_server import ModelServer

#: nobody is told anything, and nothing is looked for
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "GEMINI_TELEMETRY_ENABLED": "false",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
}
_ANTHROPIC = {"ANTHROPIC_BASE_URL": "{url}", "ANTHROPIC_API_KEY": "sk-ant-scripted-0001"}
_CODEX = {
    "model_providers.t.name": '"t"',
    "model_providers.t.base_url": '"{url}/v1"',
    "model_providers.t.env_key": '"OPENAI_API_KEY"',
    "model_providers.t.wire_api": '"responses"',
    "model_provider": '"t"',
    "model": '"gpt-5-codex"',
}
_CODEX_ARGS = [word for key, value in _CODEX.items() for word in ("-c", f"{key}={value}")]


@dataclass(frozen=True)
class Real:
    """One coding agent: its program, and how it finds the model."""

    program: str
    agent: type[CodingAgent]
    use: str
    #: variables; `{url}` is the model's address
    env: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)
    #: variables without which nobody is signed in
    keys: tuple[str, ...] = ()
    #: whether it says what it took, so that a turn in work can be stopped for it
    counts: bool = True


REAL = {
    "claude": Real("claude", Claude, "claude", _ANTHROPIC, keys=("ANTHROPIC_API_KEY",)),
    "codex": Real(
        "codex",
        Codex,
        "codex",
        {"OPENAI_API_KEY": "sk-scripted-0001"},
        {"args": _CODEX_ARGS},
        ("OPENAI_API_KEY",),
    ),
    "gemini": Real(
        "gemini",
        Gemini,
        "gemini",
        {"GEMINI_API_KEY": "scripted-0001", "GOOGLE_GEMINI_BASE_URL": "{url}"},
        {"model": "gemini-2.5-pro"},
        ("GEMINI_API_KEY",),
        counts=False,
    ),
    "opencode": Real(
        "opencode",
        Opencode,
        "opencode",
        _ANTHROPIC,
        {"model": "anthropic/claude-sonnet-4-5", "env": ["ANTHROPIC_BASE_URL", *QUIET]},
        ("ANTHROPIC_API_KEY",),
    ),
    "claude-code-acp": Real(
        "claude-code-acp",
        Acp,
        "acp",
        _ANTHROPIC,
        {"command": ["claude-code-acp"], "env": [*_ANTHROPIC]},
        counts=False,
    ),
    "codex-acp": Real(
        "codex-acp",
        Acp,
        "acp",
        {"OPENAI_API_KEY": "sk-scripted-0001"},
        {"command": ["codex-acp", *_CODEX_ARGS], "env": ["OPENAI_API_KEY"]},
        counts=False,
    ),
}


class Bench:
    """A workspace, a home and one of the real agents in it."""

    def __init__(self, name: str, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.name, self.real, self._patch = name, REAL[name], patch
        found = coding.program(self.real.program)
        if os.environ.get(MARK) != "1":
            pytest.skip("`make agents` runs it, in a network of its own")
        assert [interface for _, interface in socket.if_nameindex()] == ["lo"]
        if found is None:
            pytest.skip(f"{self.real.program} is not installed; `make agents` installs it")
        self.root, self.home = root / "shop", root / "home"
        self.home.mkdir()
        for key, value in {
            **QUIET,
            "HOME": str(self.home),
            "PATH": f"{Path(found).parent}{os.pathsep}{os.environ['PATH']}",
        }.items():
            patch.setenv(key, value)
        for other in REAL.values():
            for key in other.env:
                patch.delenv(key, raising=False)

    def settings(self, model: ModelServer, **more: Any) -> dict[str, Any]:
        """The agent's settings, and its variables in the environment."""
        for key, value in self.real.env.items():
            self._patch.setenv(key, value.format(url=model.url))
        said = {
            key: [word.replace("{url}", model.url) for word in value]
            if isinstance(value, list)
            else value
            for key, value in self.real.settings.items()
        }
        return {"timeout": 150.0, **said, **more}

    def job(self, model: ModelServer, **fields: Any) -> Job:
        if not self.root.exists():
            coding.workspace(self.root)
        agent = self.settings(model, **fields.pop("agent", {}))
        return coding.job(self.root, self.real.use, agent=agent, **fields)

    def turn(self, job: Job) -> Report:
        """One turn of the real program."""
        return self.real.agent().work(job)


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(request.param, tmp_path, monkeypatch)


def agents(*names: str, without: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Parametrizes a test with the real agents."""
    chosen = names or tuple(name for name in REAL if name not in without)
    return pytest.mark.parametrize("bench", chosen, indirect=True)
