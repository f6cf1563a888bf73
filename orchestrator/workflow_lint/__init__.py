"""Lint rules for workflows: what a person should settle before one is run (DESIGN 4.5).

A package adds rules by decorating them with `lint_rule` in a module that it registers under the
entry-point group `orchestrate.lint`.
"""

from orchestrator.workflow_lint.base import LintContext, LintFinding, lint_rule

__all__ = ["LintContext", "LintFinding", "lint_rule"]
