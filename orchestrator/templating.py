"""Text that the conductor and the command line write, from `orchestrator/templates/`."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """A template with its values; raises jinja2.UndefinedError for a missing one."""
    return str(_environment().get_template(template).render(**values))


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - markdown and TOML, not HTML
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "oneline": one_line,
        "code": code_span,
        "quoted": escape_headings,
        "scalar": yaml_scalar,
        "tojson_plain": lambda value: json.dumps(value, ensure_ascii=False),
    }
    return environment


def one_line(text: str) -> str:
    """Text that must not break out of its list item: white space collapsed."""
    return " ".join(text.split())


def longest_backticks(text: str) -> int:
    """The length of the longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)


def code_span(text: str) -> str:
    """Text as code in markdown, whatever backticks are in it."""
    marks = "`" * (longest_backticks(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{marks}{pad}{text}{pad}{marks}"


def yaml_scalar(text: str) -> str:
    """Text as one line of YAML, quoted only if it has to be."""
    from orchestrator.markdown.yaml_text import is_plain

    flat = one_line(text)
    return flat if is_plain(flat) else json.dumps(flat, ensure_ascii=False)


def escape_headings(text: str) -> str:
    """Another's words, so that no line becomes a heading or a rule of the ticket."""
    return re.sub(r"(?m)^(\s*)(#|-{3}|={3})", r"\1\\\2", text)
