"""Text that the conductor and the command line write, from `orchestrator/templates/`."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "templates"


def folder() -> Path:
    """Where the templates lie."""
    return _FOLDER


def render(template: str, **values: Any) -> str:
    """A template with its values; raises jinja2.UndefinedError for a gap."""
    return str(_environment().get_template(template).render(**values))


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(  # noqa: S701 - markdown and TOML, not HTML
        loader=FileSystemLoader(_FOLDER),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["oneline"] = one_line
    made.filters["quoted"] = without_headings
    made.filters["scalar"] = scalar
    made.filters["tojson_plain"] = lambda value: json.dumps(value, ensure_ascii=False)
    return made


def one_line(text: str) -> str:
    """Text that must not break out of its list item: white space collapsed."""
    return " ".join(text.split())


def scalar(text: str) -> str:
    """Text as one line of YAML, in quotes only where it needs them."""
    from orchestrator.markdown.frontmatter_parser import is_plain

    flat = one_line(text)
    return flat if is_plain(flat) else json.dumps(flat, ensure_ascii=False)


def without_headings(text: str) -> str:
    """Another's words that must not become headings or rules of the ticket."""
    return re.sub(r"(?m)^(\s*)(#|-{3}|={3})", r"\1\\\2", text)
