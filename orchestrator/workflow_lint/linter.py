"""`workflow check`: what a person should settle before a workflow is run (DESIGN 4.5)."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path

from orchestrator.domain.workflow import Workflow
from orchestrator.workflow_lint import names, order, parallel
from orchestrator.workflow_lint.base import Doubt, Subject
from orchestrator.workflow_reader.outline import outline

__all__ = ["Doubt", "check_workflow"]

#: odd, but no reason to doubt a workflow
_HARMLESS = frozenset({"no-frontmatter", "blank-before-fence"})


def check_workflow(
    workflow: Workflow,
    *,
    root: Path,
    agents: Iterable[str],
    folders: Container[str] | Callable[[str], object],
) -> list[Doubt]:
    """The doubts about a workflow, in order of lines.

    `agents` are the names that can be dispatched; `folders` knows the board's folders, as a
    container of names or as a function that is true for a known one.
    """
    subject = Subject(
        workflow, outline(workflow.text, str(workflow.path)), root, frozenset(agents), folders
    )
    rules = (frontmatter, *order.RULES, *parallel.RULES, *names.RULES)
    found = dict.fromkeys(doubt for rule in rules for doubt in rule(subject))
    return sorted(found, key=lambda d: (d.line, d.code, d.message))


def frontmatter(subject: Subject) -> Iterator[Doubt]:
    """Frontmatter that YAML cannot read, and a file that stands in one code fence."""
    if subject.outline.wrapped:
        yield Doubt(
            "file-in-fence",
            subject.outline.wrapped,
            "the whole file stands in a code fence",
            "take the first and the last fence line away",
        )
    for code, line, message in subject.outline.odd:
        if code not in _HARMLESS:
            yield Doubt(code, max(line, 1), f"the frontmatter: {message}", "mend the line")
