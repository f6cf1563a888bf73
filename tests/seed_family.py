"""A family whose provider writes `data/lamp_trials_seed.csv`: its workflow, facts and context."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrate_agents.analyst import Analyst
from orchestrator.domain.agent import Job, MemberInfo, Report
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Phase, Result
from orchestrator.gates.loading import load_checks
from orchestrator.workflow_reader.parser import read_workflow_text

CSV = "data/lamp_trials_seed.csv"
SOURCES = "data/lamp_trials_seed.sources.jsonl"
COLUMNS = (
    "lamp_name, source_citation, n_lamps, site, baseline_mean, endpoint_mean, endpoint_sd, "
    "failure_rate_pct, open_data, license, notes"
)
WORKFLOW = f"""---
description: Lamp figures for the harbour
agents: [HARBOUR, ANALYST, INSPECTOR, USER]
---
# Lamps for WO-512

## STAGE 1: HARBOUR — Tables

Work on WO-512a. Write `sql/007_lamps.sql` with:

```sql
CREATE TABLE public.lamp_trials (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  lamp_name TEXT NOT NULL,
  source_citation TEXT NOT NULL,
  n_lamps INTEGER NOT NULL,
  site TEXT,
  baseline_mean NUMERIC,
  endpoint_mean NUMERIC,
  endpoint_sd NUMERIC,
  failure_rate_pct NUMERIC,
  open_data BOOLEAN DEFAULT TRUE,
  license TEXT,
  notes TEXT,
  created_at TIMESTAMPTZ DEFAULT now()
);
CREATE TABLE public.lamp_prices (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  maker TEXT NOT NULL,
  price NUMERIC
);
```

**Done when:** `sql/007_lamps.sql` exists.

## STAGE 2: USER CHECKPOINT #1 — Tables

**Done when:** USER says "approved" or requests modifications.

## STAGE 3: ANALYST — Figures

ANALYST creates `{CSV}` from these papers:

| Paper | License | N | Instrument |
|---|---|---|---|
| Brook et al., 2019, Optics | CC BY 4.0 | 40 | photometer |
| Vane et al., 2020, Light | Open Access | 9,999 | photometer |
| Nobody knows this one | CC BY | 12 | eye |

CSV schema:
```
{COLUMNS}
```

**Done when:** CSV file exists with ≥ 2 complete rows, all values verified against source papers.

## STAGE 4: INSPECTOR — Gate

- [ ] lamp_trials_seed.csv has source_citation column populated for every row
- [ ] open_data = TRUE is accurate for each row's license
- [ ] No PHI/PII — all seeded data is aggregate/anonymized

## STAGE 5: USER CHECKPOINT #2 — Load

1. Confirm counts match expectations (3+ trials)

**Done when:** USER confirms record counts. WO-512 moves to `06_COMPLETE`.
"""

ROWS: list[dict[str, str]] = [
    {
        "lamp_name": "Fresnel first order (Brook 2019)",
        "source_citation": "Brook A, et al. Lens life. Optics. 2019;3:1-9. doi:10.1234/lens.2019.3",
        "n_lamps": "40",
        "site": "north pier",
        "baseline_mean": "80.0",
        "endpoint_mean": "61.5",
        "endpoint_sd": "4.25",
        "failure_rate_pct": "12.5",
        "open_data": "true",
        "license": "CC BY 4.0",
        "notes": "Mean change -18.5 over a year.",
    },
    {
        "lamp_name": "Arc lamp (Vane 2020)",
        "source_citation": "Vane B, et al. Arcs at sea. Light. 2020;8:7. doi:10.1234/arc.2020.8",
        "n_lamps": "1200",
        "site": "",
        "baseline_mean": "",
        "endpoint_mean": "",
        "endpoint_sd": "",
        "failure_rate_pct": "7",
        "open_data": "false",
        "license": "Not open: subscription journal",
        "notes": "",
    },
    {
        "lamp_name": "Oil lamp (Wick 2001)",
        "source_citation": "Wick C. Oil and wick at the bar. Light. 2001;1:2.",
        "n_lamps": "12",
        "site": "bar",
        "baseline_mean": "30",
        "endpoint_mean": "",
        "endpoint_sd": "",
        "failure_rate_pct": "",
        "open_data": "false",
        "license": "unknown",
        "notes": "No result is printed.",
    },
]
PRINTED: dict[tuple[int, str], str] = {
    (0, "n_lamps"): "forty lamps (n = 40)",
    (0, "baseline_mean"): "80.0 (5.1)",
    (0, "endpoint_mean"): "61.5",
    (0, "endpoint_sd"): "4.2512",
    (0, "failure_rate_pct"): "5/40",
    (1, "n_lamps"): "1,200",
    (1, "failure_rate_pct"): "7%",
    (2, "n_lamps"): "twelve",
    (2, "baseline_mean"): "30.0",
}


def evidence(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """One source line per figure, and one for each row's words."""
    lines = []
    for at, row in enumerate(rows):
        base = {
            "row": {"lamp_name": row["lamp_name"]},
            "source": _source(row),
            "locator": "table 2",
        }
        lines.append({**base, "column": "*", "value": "", "printed": "", "note": ""})
        for (number, column), printed in PRINTED.items():
            if number == at:
                lines.append({**base, "column": column, "value": row[column], "printed": printed})
    return lines


def _source(row: dict[str, str]) -> str:
    found = row["source_citation"].rpartition("doi:")[2]
    return f"doi:{found}" if found.startswith("10.") else "https://library.harbour.org/wick-2001"


def write_csv(path: Path, rows: list[dict[str, str]], columns: str = COLUMNS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = columns.split(", ")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def write_sources(path: Path, lines: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_facts(root: Path, rows: list[dict[str, str]] | None = None) -> None:
    """`facts/lamp_trials.csv` with its sources."""
    rows = rows if rows is not None else ROWS
    write_csv(root / "facts/lamp_trials.csv", rows)
    write_sources(root / "facts/lamp_trials.sources.jsonl", evidence(rows))


def job(root: Path, text: str = WORKFLOW, stage: int = 3, **fields: Any) -> Job:
    base: dict[str, Any] = {
        "ticket": "WO-512",
        "parent": "WO-512",
        "family": (),
        "stage": stage,
        "agent": "ANALYST",
        "workspace": str(root),
        "workflow": "workflows/lamps.md",
        "workflow_text": text,
    }
    return Job(**{**base, **fields})


def deliver(root: Path) -> Report:
    """Let ANALYST write the files from the facts."""
    write_facts(root)
    return Analyst().work(job(root))


def context(root: Path, stage: int = 3, text: str = WORKFLOW, **fields: Any) -> Context:
    workflow = read_workflow_text(text, root / "workflows/lamps.md")
    base = Context(root=root, workflow=workflow, stage=workflow.stage(stage), ticket="WO-512")
    return replace(base, **fields)


def made_by(root: Path, agent: str, *paths: str, state: str = "written") -> dict[str, Any]:
    """Artifacts as the history gives them."""
    return {
        p: {
            "stage": 3,
            "agent": agent,
            "ticket": "WO-512",
            "sha256": hashlib.sha256((root / p).read_bytes()).hexdigest(),
            "state": state,
        }
        for p in paths
    }


BINDER = Binder(load_checks())


def say(ctx: Context, statement: str) -> list[Result]:
    """The result of every claim of a statement; each has to bind."""
    results = []
    for binding in BINDER.bind(statement):
        assert binding.check is not None, f"{binding.claim}: {binding.problem}"
        results.append(binding.check.function(ctx, **binding.arguments))
    return results


def verdicts(ctx: Context, statement: str) -> set[str]:
    return {result.verdict.value for result in say(ctx, statement)}


def phases(statement: str) -> set[Phase]:
    found = [binding.check for binding in BINDER.bind(statement)]
    assert all(found), statement
    return {check.phase for check in found if check}


def edit(root: Path, change: Callable[[str], str], path: str = CSV) -> None:
    """Change a file's text, and fail if that changes nothing."""
    file = root / path
    before = file.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    file.write_text(after, encoding="utf-8")


def member(id: str, path: str, status: str, owner: str) -> MemberInfo:
    return MemberInfo(id=id, path=path, status=status, owner=owner)
