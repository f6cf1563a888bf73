"""Where tests find TypeScript and supabase-js."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def node_modules() -> Path | None:
    """`ORCHESTRATE_NODE_MODULES`, or the repository's `node_modules` (npm ci); None if absent."""
    given = os.environ.get("ORCHESTRATE_NODE_MODULES")
    folder = Path(given) if given else REPOSITORY / "node_modules"
    wanted = ("typescript", "@supabase/supabase-js")
    return folder.resolve() if all((folder / name).is_dir() for name in wanted) else None
