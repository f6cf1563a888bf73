"""BUILDER's templates, and the places of the scripts that they make."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from orchestrate_agents import render as templates


def render(template: str, **values: Any) -> str:
    """One of BUILDER's templates filled in."""
    return templates.render(f"builder/{template}", **values)


def script_place(path: str) -> str:
    """An expression for a file two folders below the project; "" where the script lies there."""
    depth = len(PurePosixPath(path).parts) - 1
    if depth == 2:
        return ""
    project = f"Path(__file__).resolve().parents[{depth}]"
    return f'{project} / "backend" / "scripts" / Path(__file__).name'
