"""Workflow templates: with `{{ id }}` one workflow serves many work orders (DESIGN 4.4).

A template is a workflow whose frontmatter says `template: true`. It may hold names and plain
filters only: no loops, calls or attributes, so that it can neither run for long nor reach anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import WorkflowError

if TYPE_CHECKING:
    from jinja2.nodes import Node

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
    from jinja2 import StrictUndefined, TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    values = {name: " ".join(str(value).split()) for name, value in variables.items()}
    try:
        _refuse_more_than_names(environment.parse(text), values, path)
        rendered = environment.from_string(text).render(values)
    except TemplateSyntaxError as exc:
        raise _error(f"the template cannot be read: {exc.message}", path, exc.lineno) from exc
    except RecursionError as exc:
        raise _error("the template is nested too deep", path, None) from exc
    if rendered.count("\n") != text.count("\n"):
        raise _error("a template expression or comment runs over several lines", path, None)
    head = _frontmatter(rendered)
    return rendered.replace(head, _FLAG.sub("template: rendered", head), 1)


def _refuse_more_than_names(tree: Node, known: Mapping[str, str], path: Path | str) -> None:
    from jinja2 import nodes

    for node in tree.find_all(nodes.Node):
        kind = type(node).__name__
        if kind not in _NODES or (isinstance(node, nodes.Filter) and (node.args or node.kwargs)):
            raise _error(f"a workflow template may not hold '{kind.lower()}'", path, node.lineno)
        if isinstance(node, nodes.Name) and node.name not in known:
            raise _error(f"the template needs '{node.name}', which is not given", path, node.lineno)


def _error(message: str, path: Path | str, line: int | None) -> WorkflowError:
    hint = "a template holds {{ name }} and the filters " + ", ".join(_FILTERS)
    return WorkflowError(message, path=path or None, line=line, hint=hint, code="template")
