"""A query module by another hand is held against what the specification's functions give."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrate_agents.checks.typescript.toolchain import CLIENT_LIBRARY, toolchain
from orchestrate_agents.codegen.hook import render_client, render_hook
from orchestrate_agents.specification.query_module import Client, read_query_module
from orchestrate_agents.specification.stage import StageSpec
from orchestrator.gates.checks import Result, Services
from orchestrator.workflow_reader.parser import read_workflow_text
from tests.claims import judge, lay

TOOLS = toolchain(Path(__file__).parents[2])
MISSING = TOOLS.missing or ("" if TOOLS.package(CLIENT_LIBRARY) else f"no {CLIENT_LIBRARY}")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

HOOK = "web/arms.ts"
CLAIM = f"`{HOOK}` exports all three functions with correct TypeScript types"
WORKFLOW = """\
---
description: Study arms for the chart.
agents: [SOOP, BUILDER, USER]
---

# Arms

## Stage 1: SOOP - Tables

Write `db/001_arms.sql` with:

```sql
CREATE TABLE arms (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  arm_name text NOT NULL UNIQUE,
  drug text NOT NULL,
  illness text NOT NULL,
  n_participants integer NOT NULL,
  country text,
  response_pct numeric(4, 2)
);
CREATE TABLE trials (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, drug text NOT NULL);
```

**Done when:** `db/001_arms.sql` exists.

## Stage 2: BUILDER - Programs

Create `web/arms.ts` with these functions:

```typescript
// arms for one drug and illness, the largest first
listArms(drug: string, illness: string): Promise<Arm[]>

// the arm with the most participants, or null
mainArm(drug: string, illness: string): Promise<Arm | null>

countTrials(drug?: string): Promise<number>
```

**Done when:** `web/arms.ts` exists.
"""
#: the same by another hand: filters by another method, the order made here, the columns named
BY_HAND = """\
import { supabase } from './supabaseClient';

export interface Arm {
  id: string;
  arm_name: string;
  drug: string;
  illness: string;
  n_participants: number;
  country: string | null;
  response_pct: number | null;
}

const COLUMNS = 'response_pct, country, n_participants, illness, drug, arm_name, id';

export async function listArms(drug: string, illness: string): Promise<Arm[]> {
  const { data, error } = await supabase.from('arms').select(COLUMNS).match({ illness, drug });
  if (error) throw error;
  const rows = (data ?? []) as Arm[];
  return rows.sort((a, b) => b.n_participants - a.n_participants);
}

export async function mainArm(drug: string, illness: string): Promise<Arm | null> {
  return (await listArms(drug, illness))[0] ?? null;
}

export async function countTrials(drug?: string): Promise<number> {
  const all = supabase.from('trials').select('id', { count: 'exact', head: true });
  const { count, error } = await (drug ? all.eq('drug', drug) : all);
  if (error) throw error;
  return count ?? 0;
}
"""


def judged(root: Path, text: str, workflow: str = WORKFLOW) -> Result:
    lay(root, {HOOK: text, "web/supabaseClient.ts": render_client(Client())})
    with Services() as services:
        return judge(root, CLAIM, workflow=workflow, services=services)


def rendered(root: Path, workflow: str = WORKFLOW) -> tuple[str, frozenset[str]]:
    """What BUILDER writes, and the functions whose order is specified."""
    read = read_workflow_text(workflow, root / "w.md")
    site = StageSpec(root, read, read.stage(2), "")
    spec = next(s for s in site.specs if s.path == HOOK)
    module = read_query_module(spec, site)
    free = {q.signature.name for q in module.queries if not q.order_is_specified}
    return render_hook(spec, site), frozenset(module.functions.keys() - free)


def test_a_module_by_another_hand_that_gives_the_same_holds(tmp_path: Path) -> None:
    result = judged(tmp_path, BY_HAND)
    assert result.verdict == "proven", result.detail
    assert "listArms(), mainArm(), countTrials() give what the specification asks" in result.detail


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("b.n_participants - a", "a.n_participants - b", "listArms() with every argument orders"),
        ("rows.sort((a, b) => b.n_participants - a.n_participants)", "rows", "orders n_part"),
        ("match({ illness, drug })", "match({ illness, drug }).limit(1)", "gives 1 rows, the"),
        ("'response_pct, country, ", "'", "gives rows without country, response_pct"),
        ("illness))[0]", "illness)).at(-1)", "mainArm() with every argument gives a row with"),
        ("from('trials')", "from('arms')", "countTrials() with every argument gives"),
        ("drug ? all.eq('drug', drug) : all", "all.eq('drug', drug ?? '')", "without the optional"),
        ("count: 'exact'", "count: 'estimated'", "countTrials() gives an estimate"),
        ("return count ?? 0;", "if (!count) throw 'none';\n  return count;", "has throws: none"),
    ],
)  # fmt: skip
def test_another_meaning_fails(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in BY_HAND
    result = judged(tmp_path, BY_HAND.replace(old, new))
    assert result.verdict == "failed", result.detail
    assert said in result.detail


def test_an_order_that_nobody_asks_for_is_free(tmp_path: Path) -> None:
    workflow = WORKFLOW.replace(", the largest first", "").replace("with the most participants", "")
    assert rendered(tmp_path, workflow)[1] == frozenset()
    result = judged(
        tmp_path, BY_HAND.replace("b.n_participants - a", "a.n_participants - b"), workflow
    )
    assert result.verdict == "proven", result.detail


@pytest.mark.parametrize(
    ("words", "fixed"),
    [
        ("the largest first", True),
        ("largest cohort first", True),
        ("the largest response first", False),
        ("newest first", False),  # no column of the table is a date
        ("largest-ever list", False),
    ],
)
def test_words_fix_an_order_where_they_mean_its_column(
    tmp_path: Path, words: str, fixed: bool
) -> None:
    workflow = WORKFLOW.replace("the largest first", words)
    assert ("listArms" in rendered(tmp_path, workflow)[1]) == fixed


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ("", "", "proven"),
        ("b.n_participants - a", "a.n_participants - b", "failed"),
        ("drug ? all.eq('drug', drug) : all", "all.eq('drug', drug ?? '')", "failed"),
    ],
)
def test_a_function_specified_with_its_body_is_run_as_given(
    tmp_path: Path, old: str, new: str, verdict: str
) -> None:
    functions = WORKFLOW[WORKFLOW.index("// arms for one drug") : WORKFLOW.rindex("```")]
    given = BY_HAND.partition("\n\n")[2]  # the client's import is not given
    workflow = WORKFLOW.replace(functions, given)
    assert workflow != WORKFLOW
    result = judged(tmp_path, BY_HAND.replace(old, new), workflow)
    assert result.verdict == verdict, result.detail


def test_what_builder_renders_is_judged_like_any_other(tmp_path: Path) -> None:
    text, fixed = rendered(tmp_path)
    assert fixed == {"listArms", "mainArm"}
    result = judged(tmp_path, text.replace("\n", "\r\n"))
    assert result.verdict == "proven", result.detail
    assert "give what the specification asks" in result.detail


def test_without_the_client_library_nothing_is_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "orchestrate_agents.checks.typescript.equivalence.CLIENT_LIBRARY", "@supabase/none"
    )
    result = judged(tmp_path, BY_HAND)
    assert result.verdict == "unproven"
    assert "@supabase/none is not installed" in result.detail
