"""Checks of views, triggers, functions, types and extensions of a schema."""

from __future__ import annotations

import re

from orchestrate_agents.checks.sql.subjects import subject_of
from orchestrator.gates.checks import Context, Result, check, parameter_type, proven

#: how statements call an object → its kind in the catalogue
_OBJECTS = {
    r"(?:materialized )?view": "view definition",
    r"trigger": "trigger",
    r"(?:database|SQL|PostgreSQL|stored) function|stored procedure": "function",
    r"enum(?: type)?|enumeration": "enumeration",
    r"extension": "extension",
    r"policy|RLS policy": "policy",
}
_OBJECT = "|".join(_OBJECTS)
parameter_type(
    "object",
    _OBJECT,
    lambda t: next(k for words, k in _OBJECTS.items() if re.fullmatch(words, t, re.IGNORECASE)),
)
_MADE = "(exists|is created|was created|is there|is present|is enabled|is added)"


@check(
    f"[(a|an|the)] [new] {{kind:object}} {{name:onecolumn}} {_MADE} [(on|for) {{table:onetable}}]",
    f"[(a|an|the)] [new] {{name:onecolumn}} {{kind:object}} {_MADE} [(on|for) {{table:onetable}}]",
    "{table:onetable} has [(a|an|the)] {name:onecolumn} {kind:object}",
    "{table:onetable} has (a|an|the) {kind:object} [(called|named)] {name:onecolumn}",
    name="sql.object",
    examples=("View `active_orders` exists", "A trigger `touch` exists on `orders`"),
)
def object_made(ctx: Context, kind: str, name: str, table: str = "") -> Result:
    """The catalogue has it after the migration ran."""
    subject = subject_of(ctx)
    if isinstance(subject, Result):
        return subject
    found = [
        entry
        for entry in subject.proof.catalog
        if entry[0] == kind and _called(entry[1], name, table)
    ]
    if not found:
        place = f" on {table}" if table else ""
        return subject.failed(f"{subject.path}: there is no {kind} {name}{place} afterwards")
    return proven(f"{kind} {found[0][1]}", subject.path)


def _called(full: str, name: str, table: str) -> bool:
    parts = full.split("(")[0].replace('"', "").split(".")
    return parts[-1] == name and (not table or table in parts[:-1])
