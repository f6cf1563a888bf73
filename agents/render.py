"""Text that agents write, from the Jinja2 templates in `agents/templates/` (DESIGN 5.4)."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, **values: Any) -> str:
    """A template of `agents/templates/` with its values; raises jinja2.UndefinedError for a gap."""
    return str(_environment().get_template(template).render(**values))


def render_markdown(template: str, **values: Any) -> str:
    """The same for markdown: never more than one blank line, one line end at the end."""
    text = re.sub(r"\n{3,}", "\n\n", render(template, **values))
    return text.strip("\n") + "\n"
