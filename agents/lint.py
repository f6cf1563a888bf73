"""Lint rules about the languages of the built-in agents: SQL, and scripts that import."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from orchestrator.domain.workflow import Deliverable
from orchestrator.workflow_lint import LintContext, LintFinding, lint_rule
from orchestrator.workflow_reader.vocabulary import plain

_IMPORT = re.compile(r"""(?:\bfrom|\bimport|\brequire\()\s*["'](\.{1,2}/[^"'\n]+)["']""")
_ENDINGS = ("", ".ts", ".tsx", ".js", ".jsx", ".mjs", "/index.ts", "/index.js")
_COUNTED = re.compile(r"\bcount\s*\([^)]*\)[^;()]*?\bfrom\s+([\w.\"]+)", re.IGNORECASE)
_NOT_SEEDING = (".sql", ".csv", ".tsv", ".md", ".txt", ".json")
_SCRIPT = re.compile(r"\.(?:py|rb|sh|go|rs|js|mjs)$")


@lint_rule
def check_imports(context: LintContext) -> Iterator[LintFinding]:
    """Modules that a specified script imports by path and that nobody provides."""
    for _, deliverable in context.workflow.deliverables:
        block = deliverable.block
        if block is None:
            continue
        folder = posixpath.dirname(deliverable.path)
        for found in _IMPORT.finditer(block.text):
            target = posixpath.normpath(posixpath.join(folder, found[1]))
            candidates = [target + ending for ending in _ENDINGS]
            if not any(context.exists(c) or c in context.delivered for c in candidates):
                yield LintFinding(
                    "unknown-path",
                    block.line + 1 + block.text[: found.start()].count("\n"),
                    f"`{deliverable.path}` imports {found[1]}, "
                    "which neither exists nor is delivered",
                    f"correct the import, or let a stage create {target}.*",
                )


@lint_rule
def check_counted_tables(context: LintContext) -> Iterator[LintFinding]:
    """A table whose rows are counted at a checkpoint and that no delivered script fills."""
    workflow = context.workflow
    scripts = [d for _, d in workflow.deliverables if not d.path.endswith(_NOT_SEEDING)]
    code = "\n".join(b.text for s in workflow.stages for b in s.blocks)
    blocks = ((stage, block) for stage in workflow.checkpoints for block in stage.blocks)
    for stage, block in blocks if scripts else ():
        for found in _COUNTED.finditer(block.text):
            table = found[1].replace('"', "").rsplit(".", 1)[-1]
            insert = rf"\binsert\s+into\s+[\w.\"]*\b{re.escape(table)}\b"
            inserted = re.search(insert, code, re.IGNORECASE)
            if not inserted and not any(_fills(script, table) for script in scripts):
                line = block.line + 1 + block.text[: found.start(1)].count("\n")
                message = f"stage {stage.number} counts {table}, but no delivered script fills it"
                hint = "add a script that fills it, or do not count it"
                yield LintFinding("table-not-seeded", line, message, hint)


def _fills(deliverable: Deliverable, table: str) -> bool:
    """A script fills a table if its name does, or what is said or specified of it names it."""
    if table in posixpath.basename(deliverable.path):
        return True
    code = deliverable.block.text if deliverable.block else ""
    said = f"{plain(deliverable.text)}\n{code}"
    named = re.search(rf"(?<!\w){re.escape(table)}(?!\w)", said)
    return _SCRIPT.search(deliverable.path) is not None and named is not None
