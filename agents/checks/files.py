"""The check that files hold no secrets."""

from __future__ import annotations

import re

from orchestrate_agents.checks.data.subjects import delivered_paths
from orchestrate_agents.checks.secrets import secrets_in
from orchestrate_agents.checks.text.tree import workspace_files
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)
from orchestrator.storage.atomic import sha256_file

_PATH = r"`?[\w.@+-]*(?:/[\w.@+-]+)*(?:/|\.[A-Za-z]\w*)`?"
_JOIN = r"\s*(?:,\s*and\s+|,|\+|&|\s+and\s+)\s*"


parameter_type(
    "paths",
    rf"{_PATH}(?:{_JOIN}{_PATH})+",
    lambda text: tuple(p.strip(" `") for p in re.split(_JOIN, text) if p.strip(" `")),
)

# -- secrets ---------------------------------------------------------------------------------------

_SECRETS = (
    "(secrets|keys|credentials|passwords|tokens|API keys|secrets or keys|keys or secrets|"
    "hard-coded secrets|hardcoded secrets|hard-coded keys|hardcoded keys)"
)


@check(
    f"[there are] no {_SECRETS} in [the] (deliverables|delivered (files|code|data))",
    f"[there are] no {_SECRETS} in {{path:path}}",
    f"{{path:path}} (has|contains) no {_SECRETS}",
    name="files.no-secrets",
    version=3,
    examples=("no secrets or keys in delivered files", "`tools/load.py` contains no secrets"),
)
def no_secrets(ctx: Context, path: str = "") -> Result:
    """Delivered files hold no key, token, password or private key, by form and by assignment."""
    paths = [p for p in ((path,) if path else delivered_paths(ctx)) if ctx.path(p).is_file()]
    if path and ctx.path(path).is_dir():
        paths = [p for p in workspace_files(ctx) if p.startswith(path.rstrip("/") + "/")]
    if not paths:
        return failed(f"{path} is missing", path) if path else unproven("nothing is delivered yet")
    found = [f"{p} line {line}: {what}" for p in paths for line, what in _secrets_of(ctx, p)]
    if found:
        return failed("; ".join(found[:8]), *paths, found=found[:100])
    named = path or f"{len(paths)} delivered files"
    return proven(f"no secret in {named}", *paths)


def _secrets_of(ctx: Context, path: str) -> list[tuple[int, str]]:
    """What looks like a secret in a file, looked for once for the same bytes."""
    file = ctx.path(path)
    key = ("secrets", path, sha256_file(file))
    return ctx.services.remember(key, list[tuple[int, str]], lambda: list(secrets_in(file, path)))
