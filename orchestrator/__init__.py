"""Orchestrate: a conductor for teams that keep their work as markdown tickets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.conductor.conductor import Conductor
    from orchestrator.domain.agent import Agent, Job, Report
    from orchestrator.domain.workflow import Workflow
    from orchestrator.gates.checks import check
    from orchestrator.tickets.board import Board
    from orchestrator.tickets.ticket import Ticket

__all__ = ["Agent", "Board", "Conductor", "Job", "Report", "Ticket", "Workflow", "check"]

_HOMES = {
    "Agent": "domain.agent",
    "Job": "domain.agent",
    "Report": "domain.agent",
    "Board": "tickets.board",
    "check": "gates.checks",
    "Conductor": "conductor.conductor",
    "Ticket": "tickets.ticket",
    "Workflow": "domain.workflow",
}


def __getattr__(name: str) -> Any:
    """Public names are imported on first use, so that the command line starts fast."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
    return getattr(import_module(f"orchestrator.{_HOMES[name]}"), name)
