"""BUILDER's templates, and Python literals laid out as a person writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).resolve().parents[1] / "templates" / "builder"
_WIDTH = 96


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    made = SandboxedEnvironment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    made.filters["literal"] = literal
    return made


def render(template: str, **values: Any) -> str:
    """The template filled in."""
    return _environment().get_template(template).render(**values)


def literal(value: Any, indent: int = 0) -> str:
    """A Python literal, broken into lines where one would be too long."""
    flat = _flat(value)
    if indent + len(flat) <= _WIDTH - 20 or not value or isinstance(value, str | int | float):
        return flat
    pad = " " * (indent + 4)
    if isinstance(value, Mapping):
        lines = [f"{pad}{_flat(k)}: {literal(v, indent + 4)}," for k, v in value.items()]
        return "{\n" + "\n".join(lines) + f"\n{' ' * indent}}}"
    lines = [f"{pad}{literal(item, indent + 4)}," for item in value]
    return "(\n" + "\n".join(lines) + f"\n{' ' * indent})"


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flat(k)}: {_flat(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        comma = "," if len(value) == 1 else ""
        return "(" + ", ".join(map(_flat, value)) + comma + ")"
    return repr(value)


def script_place(path: str) -> str:
    """An expression for a file two folders below the project; "" where the script lies there."""
    depth = len(PurePosixPath(path).parts) - 1
    if depth == 2:
        return ""
    project = f"Path(__file__).resolve().parents[{depth}]"
    return f'{project} / "backend" / "scripts" / Path(__file__).name'
