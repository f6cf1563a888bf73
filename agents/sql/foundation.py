"""What a migration is proven on: the SQL that its workflow names below it, and its series."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrate_agents.sql.migration_series import earlier, read_sql
from orchestrator.domain.workflow import Workflow
from orchestrator.storage.atomic import inside

_ON_TOP = re.compile(r"\bon top of\s+(?:the\s+)?(?:(?:older|old|earlier)\s+)?`([\w./@+-]+\.sql)`")


def foundation(root: Path, path: str, workflow: Workflow | None) -> dict[str, str]:
    """The SQL below a migration, in order, by file name.

    A workflow says ``Write `a.sql`, which runs on top of `b.sql` ``; the earlier files of a
    numbered series come after that.
    """
    named = {name: read_sql(inside(root, name)) for name in _named(root, path, workflow)}
    return named | earlier(inside(root, path))


def _named(root: Path, path: str, workflow: Workflow | None) -> list[str]:
    delivered = workflow.deliverables if workflow is not None else ()
    found = [name for _, d in delivered if d.path == path for name in _ON_TOP.findall(d.text)]
    return [n for n in dict.fromkeys(found) if n != path and inside(root, n).is_file()]
