"""Workflow templates: with `{{ id }}` one workflow serves many work orders (DESIGN 4.4).

A template is a workflow whose frontmatter says `template: true`. It may hold names and plain
filters only: no loops, calls or attributes, so that it can neither run for long nor reach anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from orchestrator.errors import WorkflowError
from orchestrator.markdown import frontmatter
from orchestrator.markdown.frontmatter import Document

_FILTERS = ("lower", "trim", "upper")
_NODES = frozenset({"Template", "Output", "TemplateData", "Name", "Const", "Filter"})


@lru_cache(maxsize=16)
def is_template(text: str) -> bool:
    """Whether the frontmatter says `template: true`."""
    return Document.parse(_encode(text)).meta.get("template") is True


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
    marked = frontmatter.set_field(_encode(rendered), "template", "rendered")
    return marked.decode("utf-8", "surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
