"""ANALYST's section of the ticket: what is entered, what stays blank, what the stage had wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrate_agents.render import render_markdown
from orchestrate_agents.seed_data.citations import Comparison, claimed_rows, compare
from orchestrate_agents.seed_data.csv_file import Sheet
from orchestrate_agents.seed_data.table_schema import completeness, words
from orchestrate_agents.seed_data.verified_facts import Facts
from orchestrator.domain.workflow import Stage

if TYPE_CHECKING:
    from orchestrate_agents.analyst import Drafted

#: rows listed by name before the rest is only counted
_LISTED = 12


def render_section(stage: Stage, drafted: Sequence[Drafted]) -> str:
    """The markdown section, beginning with its own heading."""
    files = [_view(stage, one) for one in drafted]
    return render_markdown("analyst/section.md.j2", files=files)


def _view(stage: Stage, one: Drafted) -> Mapping[str, Any]:
    if one.sheet is None:
        return {"path": one.wanted.path, "missing": one.missing}
    sheet = one.sheet
    rule = completeness(one.wanted.table, sheet.columns)
    lacking = Counter((_name(r.cells), why) for r in sheet.rows if (why := rule.lacking(r)))
    return {
        "path": one.wanted.path,
        "missing": "",
        "rows": len(sheet.rows),
        "complete": len(sheet.rows) - lacking.total(),
        "columns": len(sheet.columns),
        "origin": _origin(one),
        "definition": rule.definition,
        "extra": one.wanted.extra,
        "incomplete": [(*key, n) for key, n in list(lacking.items())[:_LISTED]],
        "more_incomplete": sum(list(lacking.values())[_LISTED:]),
        "left_out": [(_cell(name), why) for name, why in one.left_out],
        "blanks": _blanks(sheet),
        "licences": _licences(sheet),
        "comparisons": _comparisons(stage, one.facts) if not one.wanted.extra else [],
    }


def _origin(one: Drafted) -> str:
    if any(a.path == one.wanted.path and a.state == "kept" for a in one.artifacts):
        return "The file was there and is kept as it is."
    return f"From {one.facts.origin}." if one.facts else ""


def _name(cells: Mapping[str, str]) -> str:
    return _cell(next((text for text in cells.values() if text), "unnamed row"))


def _blanks(sheet: Sheet) -> list[str]:
    counts = {c: len(sheet.rows) - len(sheet.filled(c)) for c in sheet.columns}
    return [f"`{c}` in {n} of {len(sheet.rows)}" for c, n in counts.items() if n]


def _licences(sheet: Sheet) -> list[Mapping[str, Any]]:
    licence = next((c for c in sheet.columns if words(c) & {"license", "licence"}), None)
    free = next((c for c in sheet.columns if words(c) & {"usable", "free", "freely", "open"}), None)
    if licence is None:
        return []
    seen = Counter((row.get(licence), row.get(free or "")) for row in sheet.rows)
    return [
        {"text": _cell(text) or "(blank)", "rows": n, "free": said or "(blank)"}
        for (text, said), n in seen.items()
    ]


def _comparisons(stage: Stage, facts: Facts | None) -> list[Mapping[str, str]]:
    if facts is None:
        return []
    return [_comparison(compare(claimed, facts)) for claimed in claimed_rows(stage.text)]


def _comparison(found: Comparison) -> Mapping[str, str]:
    claimed = found.claimed
    said = [f"N {claimed.n}" if claimed.n else "", claimed.instrument, claimed.licence]
    return {
        "paper": _cell(claimed.paper),
        "said": _cell(", ".join(s for s in said if s)),
        "found": _cell(found.found) or "—",
        "difference": _cell("; ".join(found.differences)) or "none",
    }


def _cell(text: str) -> str:
    """Text that cannot end a table cell, a line or open a heading or a tag."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()
