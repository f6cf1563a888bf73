"""A review as one HTML page that needs nothing else: no script, font or picture from outside."""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from typing import Any

from orchestrator.review.model import File, Review
from orchestrator.review.panels import Chart, Grid, Source
from orchestrator.templating import folder

#: lines around a difference
_AROUND = 3
#: a longer text is shown without colours, which would make it four times as large
_LONGEST_COLOURED = 40_000


def page(review: Review) -> str:
    """The whole document."""
    return str(_environment().get_template("review.html.j2").render(review=review))


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(folder()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["highlight"] = highlight
    made.filters["ticks"] = ticks
    made.filters["short"] = lambda sha: sha[:12]
    made.filters["evidence"] = _evidence
    made.globals["diff"] = diff
    made.globals["drawn"] = _drawn
    made.tests["grid"] = lambda block: isinstance(block, Grid)
    made.tests["source"] = lambda block: isinstance(block, Source)
    made.tests["chart"] = lambda block: isinstance(block, Chart)
    return made


def ticks(text: str) -> Any:
    """Words between backticks as code; all of it escaped."""
    from markupsafe import Markup

    parts = re.split(r"`([^`]+)`", text)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(p) if n % 2 else p for n, p in enumerate(parts))


def highlight(source: Source | File) -> Any:
    """The text as highlighted HTML, by its language or its name."""
    from markupsafe import Markup, escape
    from pygments import highlight as highlighted
    from pygments.formatters import HtmlFormatter

    text = source.text or ""
    if len(text) > _LONGEST_COLOURED:
        return escape(text)
    formatter = HtmlFormatter(nowrap=True)
    return Markup(highlighted(text, _lexer(source), formatter))  # noqa: S704 - it escapes


def _lexer(source: Source | File) -> Any:
    from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
    from pygments.lexers.special import TextLexer
    from pygments.util import ClassNotFound

    language = getattr(source, "language", "")
    try:
        if language:
            return get_lexer_by_name(language, stripnl=False)
        return get_lexer_for_filename(source.path, stripnl=False)
    except ClassNotFound:
        return TextLexer(stripnl=False)


def diff(source: Source) -> list[tuple[str, str]]:
    """("added" | "removed" | "same" | "place", line) against the text that it is compared with."""
    if source.against is None:
        return []
    before, after = source.against.strip().splitlines(), source.text.strip().splitlines()
    kinds = {"+": "added", "-": "removed", " ": "same", "@": "place"}
    lines = list(difflib.unified_diff(before, after, lineterm="", n=_AROUND))[2:]
    return [(kinds[line[0]], line if line[0] == "@" else line[1:]) for line in lines]


def _drawn(chart: Chart) -> Any:
    """The picture; where it cannot be drawn, nothing: the same stands in the grid below it."""
    from markupsafe import Markup

    return Markup(chart.draw())  # noqa: S704 - an element whose text its maker escapes


def _evidence(evidence: Any) -> str:
    import json

    return json.dumps(evidence, ensure_ascii=False, indent=1, default=str)
