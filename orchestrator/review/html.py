"""A review as one self-contained HTML page: nothing is loaded, and one script copies commands."""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import re
from functools import lru_cache
from typing import Any

from orchestrator.approvals.changed_files import FileDiff, describe_file, printable
from orchestrator.errors import MissingExtraError
from orchestrator.errors.masking import sanitize
from orchestrator.review.model import Review, ReviewFile
from orchestrator.review.panels import Chart, Grid, Source
from orchestrator.templating import TEMPLATES

#: lines around a difference
_CONTEXT_LINES = 3
#: what the sign before a line of a diff says
_KINDS = {"+": "added", "-": "removed", " ": "same", "@": "place"}
#: characters; a longer text is not highlighted, which would make it four times as large
_LONGEST_HIGHLIGHTED = 40_000


def render_page(review: Review) -> str:
    """The whole document."""
    script = (TEMPLATES / "review.js").read_text(encoding="utf-8")
    # no other script runs, whatever a ticket says
    sha256 = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    page = html_environment().get_template("review.html.j2")
    return sanitize(page.render(review=review, how_to=True, script=script, script_sha256=sha256))


@lru_cache(maxsize=1)
def html_environment() -> Any:
    """The environment of all HTML pages: what is put into a template is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "highlight": highlight,
        "ticks": render_code_spans,
        "short": lambda sha: sha[:12],
        "words": lambda name: "QA" if name == "QA" else name.replace("_", " ").capitalize(),
        "anchor": lambda heading: re.sub(r"\W+", "-", heading.lower()),
        "evidence": lambda found: json.dumps(found, ensure_ascii=False, indent=1, default=str),
    }
    environment.globals |= {
        "diff": diff_lines,
        "unified": unified_lines,
        "describe": describe_file,
        "draw": _draw,
    }
    environment.tests |= {
        "grid": lambda block: isinstance(block, Grid),
        "source": lambda block: isinstance(block, Source),
        "chart": lambda block: isinstance(block, Chart),
    }
    return environment


def render_code_spans(text: str) -> Any:
    """Words between backticks as code; all of it escaped."""
    from markupsafe import Markup

    parts = re.split(r"`([^`]+)`", text)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(p) if n % 2 else p for n, p in enumerate(parts))


def highlight(source: Source | ReviewFile) -> Any:
    """The text as highlighted HTML, by its language or its file name."""
    from markupsafe import Markup, escape
    from pygments import highlight as highlight_code
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
    from pygments.lexers.special import TextLexer
    from pygments.util import ClassNotFound

    text = source.text or ""
    if len(text) > _LONGEST_HIGHLIGHTED:
        return escape(text)
    language = source.language if isinstance(source, Source) else ""
    try:
        if language:
            lexer = get_lexer_by_name(language, stripnl=False)
        else:
            lexer = get_lexer_for_filename(source.path, stripnl=False)
    except ClassNotFound:
        lexer = TextLexer(stripnl=False)
    html = highlight_code(text, lexer, HtmlFormatter(nowrap=True))
    return Markup(html)  # noqa: S704 - the formatter escapes


def diff_lines(source: Source) -> list[tuple[str, str]]:
    """("added" | "removed" | "same" | "place", line) against the text that it is compared with."""
    if source.against is None:
        return []
    before, after = source.against.strip().splitlines(), source.text.strip().splitlines()
    lines = list(difflib.unified_diff(before, after, lineterm="", n=_CONTEXT_LINES))[2:]
    return [(_KINDS[line[0]], line if line[0] == "@" else line[1:]) for line in lines]


def unified_lines(diff: FileDiff) -> list[tuple[str, str]]:
    """The lines of a changed file's diff, as `diff_lines` gives them, with their signs."""
    return [(_KINDS.get(line[:1], "same"), printable(line)) for line in diff.lines or ()]


def _draw(chart: Chart) -> Any:
    """The picture; without the library that draws it, a line that says how to install it."""
    from markupsafe import Markup

    try:
        return Markup(chart.draw())  # noqa: S704 - an element whose text its maker escapes
    except MissingExtraError as exc:
        return Markup('<p class="quiet">{}</p>').format(f"No chart: {exc.in_a_line}")
