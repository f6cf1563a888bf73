"""Agents' work on other machines, by a queue in PostgreSQL (DBOS) and git."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.agent_process.dispatcher import Dispatcher, Engine
from orchestrator.domain.agent import Agent
from orchestrator.settings.agents import WorkersSettings


def make_engine(
    home: Path, settings: WorkersSettings, inside: Mapping[str, Agent] | None
) -> Engine:
    """The engine that `[workers]` asks for."""
    local = Dispatcher(inside)
    if settings.engine == "local":
        return local
    # every command makes an engine, and few boards have workers
    from orchestrator.workers.engine import QueuedDispatcher

    return QueuedDispatcher(home, settings, local)
