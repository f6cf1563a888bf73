"""`workflow check`: runs every lint rule on a workflow."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path

from orchestrator import plugins
from orchestrator.domain.workflow import Workflow
from orchestrator.workflow_lint import names, order, parallel  # noqa: F401 - they register rules
from orchestrator.workflow_lint.base import RULES, LintContext, LintFinding, lint_rule
from orchestrator.workflow_reader.outline import read_outline

#: problems of a ticket's frontmatter that do not matter in a workflow
_HARMLESS = frozenset({"no-frontmatter", "blank-before-fence"})


def check_workflow(
    workflow: Workflow,
    *,
    root: Path,
    agents: Iterable[str],
    folders: Container[str] | Callable[[str], object],
) -> list[LintFinding]:
    """What a person should settle about a workflow, in order of lines.

    `agents` are the names that can be dispatched; `folders` knows the board's folders, as a
    container of names or as a function that is true for a known one.
    """
    plugins.load("lint")
    outline = read_outline(workflow.text, str(workflow.path))
    context = LintContext(workflow, outline, root, frozenset(agents), folders)
    found = {finding for rule in RULES.values() for finding in rule(context)}
    return sorted(found, key=lambda f: (f.line, f.code, f.message, f.hint))


@lint_rule
def check_frontmatter(context: LintContext) -> Iterator[LintFinding]:
    """Frontmatter that YAML cannot read, and a file that is one code fence."""
    if context.outline.fence_line:
        message = "the whole file is in a code fence"
        hint = "take the first and the last fence line away"
        yield LintFinding("file-in-fence", context.outline.fence_line, message, hint)
    for found in context.outline.diagnoses:
        if found.code not in _HARMLESS:
            message = f"the frontmatter: {found.message}"
            yield LintFinding(found.code, max(found.line, 1), message, "fix the line")
