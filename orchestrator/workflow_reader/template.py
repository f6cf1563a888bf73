"""Workflow templates: with `{{ id }}` one workflow serves many work orders (DESIGN 4.4).

A template is a workflow whose frontmatter says `template: true`. It may hold names and plain
filters only: no loops, calls or attributes, so that it can neither run for long nor reach anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import WorkflowError

_FLAG = re.compile(
    r"^template:[ \t]*(?:true|yes|on)[ \t]*(?:#[^\n]*)?$", re.IGNORECASE | re.MULTILINE
)
_FILTERS = ("lower", "trim", "upper")
_NODES = frozenset({"Template", "Output", "TemplateData", "Name", "Const", "Filter"})


def is_template(text: str) -> bool:
    """Whether the frontmatter says `template: true`."""
    return _FLAG.search(_frontmatter(text)) is not None


def _frontmatter(text: str) -> str:
    found = re.match(r"\s*---[ \t]*\n(.*?)^---[ \t]*$", text, re.DOTALL | re.MULTILINE)
    return found.group() if found else ""


def render_family_ids(text: str, variables: Mapping[str, str], path: Path | str = "") -> str:
    """`text` with `{{ id }}`, `{{ owner }}` … filled in, each line where it was.

    The result says `template: rendered`, so that no value is ever rendered itself.
    Raises WorkflowError with the line for an unknown variable or anything but a name.
    """
    from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def error(message: str, line: int | None = None) -> WorkflowError:
        hint = "a template holds {{ name }} and the filters " + ", ".join(_FILTERS)
        return WorkflowError(message, path=path or None, line=line, hint=hint, code="template")

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    values = {name: " ".join(str(value).split()) for name, value in variables.items()}
    try:
        for node in environment.parse(text).find_all(nodes.Node):
            kind = type(node).__name__
            has_arguments = isinstance(node, nodes.Filter) and (node.args or node.kwargs)
            if kind not in _NODES or has_arguments:
                raise error(f"a workflow template may not hold '{kind.lower()}'", node.lineno)
            if isinstance(node, nodes.Name) and node.name not in values:
                raise error(f"the template needs '{node.name}', which is not given", node.lineno)
        rendered = environment.from_string(text).render(values)
    except TemplateSyntaxError as exc:
        raise error(f"the template cannot be read: {exc.message}", exc.lineno) from exc
    except RecursionError as exc:
        raise error("the template is nested too deep") from exc
    if rendered.count("\n") != text.count("\n"):
        raise error("a template expression or comment runs over several lines")
    head = _frontmatter(rendered)
    return rendered.replace(head, _FLAG.sub("template: rendered", head), 1)
