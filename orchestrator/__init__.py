"""Orchestrate: a conductor for teams that keep their work as markdown tickets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.agent import Agent, Job, Report
    from orchestrator.board import Board
    from orchestrator.checks import check
    from orchestrator.conductor import Conductor
    from orchestrator.ticket import Ticket
    from orchestrator.workflow import Workflow

__all__ = ["Agent", "Board", "Conductor", "Job", "Report", "Ticket", "Workflow", "check"]

_HOMES = {
    "Agent": "agent",
    "Job": "agent",
    "Report": "agent",
    "Board": "board",
    "check": "checks",
    "Conductor": "conductor",
    "Ticket": "ticket",
    "Workflow": "workflow",
}


def __getattr__(name: str) -> Any:
    """Public names are imported on first use, so that the command line starts fast."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
    return getattr(import_module(f"orchestrator.{_HOMES[name]}"), name)
