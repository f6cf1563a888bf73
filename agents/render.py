"""Text and code that agents write, from Jinja2 templates in `agents/templates/` (DESIGN 5.4)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"
_WIDTH = 96


@lru_cache(maxsize=8)
def _environment(folders: tuple[Path, ...]) -> Any:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    made = SandboxedEnvironment(
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["literal"] = literal
    return made


def render(template: str, /, **values: Any) -> str:
    """A template of `agents/templates/` with its values; raises jinja2.UndefinedError for a gap."""
    return render_from(TEMPLATES, template, **values)


def render_from(folder: Path, template: str, /, *others: Path, **values: Any) -> str:
    """Fill in the template of another folder, such as a plug-in's.

    What the folder lacks is looked for in the others.
    """
    return str(load_template(template, folder, *others).render(**values))


def load_template(template: str, *folders: Path) -> Any:
    """A template of the first folder that has it; what was read once is kept."""
    return _environment(tuple(f for f in folders if f.is_dir())).get_template(template)


def render_markdown(template: str, /, **values: Any) -> str:
    """The same for markdown: never more than one blank line, one line end at the end."""
    text = re.sub(r"\n{3,}", "\n\n", render(template, **values))
    return text.strip("\n") + "\n"


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
