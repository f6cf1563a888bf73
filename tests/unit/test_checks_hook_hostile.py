"""A query module that answers like the specified one only until rows, time or caller differ."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrate_agents.checks.typescript import hook_probe
from orchestrate_agents.checks.typescript.differences import Expected, compare_answers
from orchestrate_agents.checks.typescript.hook_probe import Observed
from orchestrate_agents.checks.typescript.modules import closure, exported_functions, literals
from orchestrate_agents.sandbox.runs import Run
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import Services
from tests.claims import judge, lay
from tests.unit.test_checks_hook_same import (
    BY_HAND,
    CLAIM,
    HOOK,
    MISSING,
    WORKFLOW,
    Client,
    judged,
    render_client,
)

real = pytest.mark.skipif(bool(MISSING), reason=MISSING)
MATCH = ".match({ illness, drug })"
ROWS = "const rows = (data ?? []) as Arm[];"
LIST = "export async function listArms(drug: string, illness: string): Promise<Arm[]> {\n"


def put(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


KEPT = """  const known = kept.get(drug + illness);
  if (known) return known;
"""


def kept(text: str) -> str:
    text = put(LIST, f"const kept = new Map<string, Arm[]>();\n{LIST}{KEPT}")(text)
    return put(ROWS, f"{ROWS}\n  kept.set(drug + illness, rows);")(text)


def first(line: str) -> Callable[[str], str]:
    """The line stands first in `listArms`."""
    return put(LIST, f"{LIST}  {line}\n")


def after(line: str) -> Callable[[str], str]:
    """The line stands behind the rows of `listArms`."""
    return put(ROWS, f"{ROWS}\n  {line}")


BY_PAGE = """const { data } = await supabase.from('trials').select('id');
  return drug ? (count ?? 0) : (data ?? []).length;"""
AS_TEXT = "(String(a.n_participants) < String(b.n_participants) ? 1 : -1)"
IN_PRODUCTION = "if ((globalThis as any).process.env.NODE_ENV === 'production') return [];"
LOOKS = "if (typeof navigator !== 'undefined' && navigator.userAgent === 'Nobody') return [];"
WRITES = "await supabase.from('trials').insert({ drug });"


@real
@pytest.mark.parametrize(
    ("change", "verdict", "said"),
    [
        (
            put(MATCH, ".eq('illness', illness).ilike('drug', drug)"),
            "failed",
            r"also one with drug \"",
        ),
        (after("rows.splice(500);"), "failed", "gives 500 rows, the specification's 1001"),
        (
            after("for (const r of rows) r.country ||= null;"),
            "failed",
            'country null where country ""',
        ),
        (put("b.n_participants - a.n_participants", AS_TEXT), "failed", "orders n_participants as"),
        (put("return count ?? 0;", BY_PAGE), "failed", "gives 1000, the specification's 1"),
        (
            first("if (drug === 'aspirin') return [];"),
            "failed",
            r'\["aspirin", "aspirin"\] gives 0',
        ),
        (first("if (new Date().getDay() === 0) return [];"), "failed", "days? on"),
        (first(IN_PRODUCTION), "failed", "in production"),
        (first(LOOKS), "unproven", "looks at `navigator`: what it gives may depend on that"),
        (kept, "failed", "keeps its answer: a second call asks nothing"),
        (first("(Array.prototype as any).last = 1;"), "failed", "changes Array.prototype.last"),
        (after(WRITES), "failed", "asks for what nothing specifies: POST trials"),
    ],
)
def test_what_only_sometimes_answers_rightly_is_not_proven(
    tmp_path: Path, change: Callable[[str], str], verdict: str, said: str
) -> None:
    result = judged(tmp_path, change(BY_HAND))
    assert result.verdict == verdict, result.detail
    assert re.search(said, result.detail), result.detail


@real
def test_what_does_not_end_is_unproven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_probe, "run", lambda *_, **__: Run(("node",), None, "", ""))
    # a check that raises it leaves its claim unproven
    with pytest.raises(MissingToolError, match="did not end"):
        judged(tmp_path, BY_HAND)


PAGES = """const rows: Arm[] = [];
  for (;;) {
    const { data, error } = await supabase.from('arms').select(COLUMNS).match({ illness, drug })
      .order('n_participants', { ascending: false }).order('id')
      .range(rows.length, rows.length + 399);
    if (error) throw error;
    rows.push(...((data ?? []) as Arm[]));
    if ((data ?? []).length < 400) return rows;
  }
}
"""


def paged(text: str) -> str:
    start, end = (
        text.index("  const { data, error }"),
        text.index("\nexport async function mainArm"),
    )
    return text[:start] + PAGES + text[end:]


@real
@pytest.mark.parametrize(
    "barrel", ["", "export * from './arms/queries';\n"], ids=["here", "barrel"]
)
def test_pages_and_what_is_exported_on_are_judged_alike(tmp_path: Path, barrel: str) -> None:
    text = paged(BY_HAND)
    files = {HOOK: text, "web/supabaseClient.ts": render_client(Client())}
    if barrel:
        files |= {HOOK: barrel, "web/arms/queries.ts": text.replace("./supabase", "../supabase")}
    lay(tmp_path, files)
    with Services() as services:
        result = judge(tmp_path, CLAIM, workflow=WORKFLOW, services=services)
    assert result.verdict == "proven", result.detail


@real
def test_a_defect_behind_a_barrel_is_found(tmp_path: Path) -> None:
    text = BY_HAND.replace("./supabase", "../supabase").replace(
        "drug ? all.eq('drug', drug) : all", "all"
    )
    files = {"web/arms/queries.ts": text, "web/supabaseClient.ts": render_client(Client())}
    lay(tmp_path, files | {HOOK: "export * from './arms/queries';\n"})
    with Services() as services:
        result = judge(tmp_path, CLAIM, workflow=WORKFLOW, services=services)
    assert result.verdict == "failed", result.detail
    assert "countTrials() filters nothing by its argument drug" in result.detail


@real
@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (put("return count ?? 0;", "return (count ?? 'none') as any;"), "unproven"),
        (put("return count ?? 0;", "return ('none') as unknown as number;"), "unproven"),
        (put("return count ?? 0;", "// never as any\n  return count ?? 0;"), "proven"),
        (
            put("const COLUMNS = '", "const text = 'as any';\nvoid text;\nconst COLUMNS = '"),
            "proven",
        ),
    ],
)
def test_a_cast_through_any_hides_errors_from_the_compiler(
    tmp_path: Path, change: Callable[[str], str], verdict: str
) -> None:
    lay(tmp_path, {HOOK: change(BY_HAND), "web/supabaseClient.ts": render_client(Client())})
    with Services() as services:
        result = judge(tmp_path, f"`{HOOK}` has no TypeScript errors", services=services)
    assert result.verdict == verdict, result.detail


@real
def test_a_project_that_switches_strictness_off_is_compiled_strictly(tmp_path: Path) -> None:
    settings = '{"compilerOptions": {"strict": true, "strictNullChecks": false, "noCheck": true}}'
    lay(tmp_path, {"a.ts": "export const n: number = null;\n", "tsconfig.json": settings})
    with Services() as services:
        result = judge(tmp_path, "`a.ts` has no TypeScript errors", services=services)
    assert result.verdict == "failed", result.detail


def test_exports_are_followed_by_name_alias_and_default(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "a.ts": "import { two as second } from './b';\nexport { second as third };\n"
            "export * from './b';\nexport { default } from './c';\n",
            "b/index.ts": "export async function two(n: number): Promise<number> { return n; }\n",
            "c.ts": "export default async function main(): Promise<string> { return ''; }\n"
            "// export { two } from './b'\n",
        },
    )
    found = exported_functions(tmp_path, tmp_path / "a.ts")
    assert set(found) == {"third", "two", "default"}
    assert found["third"].text == "(n: number) => Promise<number>"
    assert {p.name for p in closure(tmp_path, tmp_path / "a.ts")} == {"a.ts", "index.ts", "c.ts"}


def test_literals_are_the_modules_own_words_and_numbers(tmp_path: Path) -> None:
    lay(tmp_path, {"a.ts": "import './b';\nif (x === 'aspirin' && n > 7) {} // 'not this'\n"})
    assert literals(tmp_path, tmp_path / "a.ts", {"id"}) == ("aspirin", "6", "7", "8")


def test_the_row_that_differs_least_is_named() -> None:
    right = [{"id": 1, "name": "a", "note": None}, {"id": 2, "name": "b", "note": ""}]
    given = '[{"id":1,"name":"a","note":null},{"id":2,"name":"b","note":null}]'
    expected = Expected(Observed("t"), {"now": right}, True, {("GET", "t")})
    answer = {"returned": given, "asked": [["GET", "t"]]}
    (fault,) = compare_answers({"f": {"now": answer}}, {"f": expected}).faults
    assert fault.endswith(': note null where note "" is right')
