"""BUILDER reads specifications and renders from them (DESIGN 5.3–5.6)."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from orchestrate_agents import builder_proofs
from orchestrate_agents.builder import Builder
from orchestrate_agents.builder_proofs import prove_files
from orchestrate_agents.checks.python import behaviour
from orchestrate_agents.codegen.csv_seeder import is_csv_seeder, missing_seeders, seeder_spec
from orchestrate_agents.codegen.hook import render_client, render_hook
from orchestrate_agents.render import literal
from orchestrate_agents.specification.files import FileSpec, SpecificationError, ticket_file_specs
from orchestrate_agents.specification.query_module import client_path, specified_client
from orchestrate_agents.specification.typescript import (
    exported,
    interface_name,
    interfaces,
    signatures,
)
from orchestrate_backend.trials.importer import RegistryImporter, read_importer_spec
from orchestrator.domain.agent import Finding, Outcome
from orchestrator.domain.workflow import Block
from orchestrator.gates.checks import Context, Result, Services, Verdict, proven
from orchestrator.gates.proof_cache import user_proof_cache
from tests.builds import WORKFLOW, lay_out, site


def spec_of(path: str, root: Path = Path()) -> FileSpec:
    return next(spec for spec in site(root).specs if spec.path == path)


# --- specifications -----------------------------------------------------------------------------


def test_the_stage_and_the_ticket_are_joined_by_path() -> None:
    found = site(Path())
    paths = [spec.path for spec in found.specs]
    assert paths == [
        "etl/load_heart_trials.py",
        "etl/load_clinic_hours.py",
        "web/api/hours.ts",
        "etl/health.py",
    ]
    seeder = found.specs[1]
    assert "Upserts to `clinic_hours`" in seeder.notes
    assert "CURATOR will provide" in seeder.text


def test_a_file_that_others_provide_is_a_need_and_never_built() -> None:
    found = site(Path())
    assert [(need.provider, need.path) for need in found.needs] == [
        ("CURATOR", "data/clinic_hours.csv")
    ]
    assert "data/clinic_hours.csv" not in {spec.path for spec in found.specs}


def test_a_need_in_the_ticket_alone_counts() -> None:
    from dataclasses import replace

    bare = replace(site(Path()), ticket="KEEPER will create: `data/locks.csv` soon\n")
    assert ("KEEPER", "data/locks.csv") in {(n.provider, n.path) for n in bare.needs}


def test_code_in_a_ticket_is_not_a_heading() -> None:
    found = ticket_file_specs(
        "### Deliverable 1: `a.py`\n```text\n### Deliverable 2: `b.py`\n```\n- x\n"
    )
    assert [spec.path for spec in found] == ["a.py"]
    assert found[0].blocks[0].text == "### Deliverable 2: `b.py`\n"
    assert found[0].notes == ("x",)


# --- registry importer --------------------------------------------------------------------------


def test_the_importers_constants_come_from_the_given_code() -> None:
    spec = spec_of("etl/load_heart_trials.py")
    assert RegistryImporter().matches(spec, site(Path()))
    parsed = read_importer_spec(spec, site(Path()))
    assert parsed.table == "heart_trials"
    assert parsed.columns == {
        "registry_id": "nct_id",
        "study_title": "title",
        "drug": "modality",
        "recruitment_status": "status",
        "finished": "completion_date",
    }
    assert parsed.key == ("registry_id",)
    assert parsed.batch == 25
    assert parsed.modalities == {
        "atorvastatin": ("atorvastatin", "lipitor"),
        "digoxin": ("digoxin",),
    }
    assert parsed.statuses == ("COMPLETED", "TERMINATED")
    assert parsed.conditions == ()


def test_the_importers_constants_come_from_words_alone() -> None:
    words = (
        "Fetches trials from ClinicalTrials.gov into `heart_trials`",
        "Filters by keywords: atorvastatin, digoxin",
        "Batch size: 10 records",
    )
    parsed = read_importer_spec(FileSpec("etl/x.py", 1, notes=words), site(Path()))
    assert parsed.modalities == {"atorvastatin": ("atorvastatin",), "digoxin": ("digoxin",)}
    assert (parsed.batch, parsed.key) == (10, ("registry_id",))


def test_an_importer_without_interventions_asks() -> None:
    words = ("Fetches ClinicalTrials.gov into `heart_trials`",)
    with pytest.raises(SpecificationError, match="which interventions"):
        read_importer_spec(FileSpec("etl/x.py", 1, notes=words), site(Path()))


def test_an_importer_without_table_asks() -> None:
    words = ("Fetches ClinicalTrials.gov, keywords: digoxin",)
    with pytest.raises(SpecificationError, match="which table"):
        read_importer_spec(FileSpec("etl/x.py", 1, notes=words), site(Path()))


# --- CSV seeder ---------------------------------------------------------------------------------


def test_the_seeders_constants_come_from_the_table_and_the_words() -> None:
    found = site(Path())
    spec = spec_of("etl/load_clinic_hours.py")
    assert is_csv_seeder(spec, found)
    parsed = seeder_spec(spec, found)
    assert (parsed.table, parsed.csv) == ("clinic_hours", "data/clinic_hours.csv")
    assert list(parsed.columns.items())[:2] == [("clinic", "text"), ("weekday", "text")]
    assert "id" not in parsed.columns
    assert parsed.columns["open_all_year"] == "boolean"
    assert parsed.required == ("clinic", "weekday", "source_note")
    assert parsed.key == ("clinic", "weekday")
    assert parsed.percent == ("share_pct",)
    assert parsed.provider == "CURATOR"


def test_a_table_that_no_script_fills_gets_a_seeder_beside_the_others() -> None:
    from dataclasses import replace

    found = site(Path())
    workflow = found.workflow
    extra = (
        "CREATE TABLE lamps (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), code text NOT NULL);"
    )
    stage = replace(workflow.stages[0], blocks=(Block("sql", extra, 1),))
    wider = replace(found, workflow=replace(workflow, stages=(*workflow.stages, stage)))
    (spec,) = missing_seeders(wider)
    assert spec.path == "etl/load_lamps.py"
    assert seeder_spec(spec, wider).csv == "data/lamps.csv"
    assert missing_seeders(found) == ()


# --- hook ---------------------------------------------------------------------------------------


def test_the_hooks_interface_has_every_column_with_its_nullability() -> None:
    text = render_hook(spec_of("web/api/hours.ts"), site(Path()))
    (row,) = interfaces(text)
    assert row.name == "ClinicHour"
    assert row.fields == {
        "id": "string",
        "clinic": "string",
        "weekday": "string",
        "opens": "string | null",
        "closes": "string | null",
        "share_pct": "number | null",
        "open_all_year": "boolean | null",
        "source_note": "string | null",
    }
    assert exported(text) == ("listHours", "countHeartTrials", "findHours")
    assert "from '../db/supabase'" in text
    assert client_path(spec_of("web/api/hours.ts")) == "web/db/supabase.ts"


def test_given_functions_are_kept_and_their_interface_completed() -> None:
    given = """import { db } from './client-supabase';
interface ClinicHour { clinic: string; }
export async function listHours(clinic: string): Promise<ClinicHour[]> {
  const { data } = await db.from('clinic_hours').select('*').eq('clinic', clinic);
  return data ?? [];
}
"""
    spec = FileSpec("web/api/hours.ts", 1, Block("ts", given, 1))
    text = render_hook(spec, site(Path()))
    assert "const { data } = await db.from('clinic_hours')" in text
    assert "export interface ClinicHour {\n  id: string;" in text
    assert text.count("interface ClinicHour") == 1


@pytest.mark.parametrize(
    ("head", "path", "expected"),
    [
        ("import { db } from './client';", "web/api/client.ts", "export const db:"),
        ("import { api as db } from '../client';", "web/client.ts", "export const api:"),
        ("import db from './db';", "web/api/db.ts", "export default supabase;"),
        ("import { db } from '@/lib/db';", "", ""),
        (
            "import { createClient } from '@supabase/supabase-js';\nconst db = createClient(U, K);",
            "",
            "",
        ),
    ],
)
def test_the_client_is_the_one_that_the_given_code_asks(
    head: str, path: str, expected: str
) -> None:
    given = f"""{head}
export async function first(): Promise<number> {{
  const {{ count }} = await db.from('clinic_hours').select('id', {{ count: 'exact' }});
  return count ?? 0;
}}
"""
    spec = FileSpec("web/api/hours.ts", 1, Block("ts", given, 1), blocks=(_SECOND,))
    text = render_hook(spec, site(Path()))
    assert client_path(spec) == path
    assert not path or expected in render_client(specified_client(spec))
    assert text.count("import ") == 1
    assert "const query = db" in text


_SECOND = Block("ts", "countHeartTrials(): Promise<number>", 9)


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        ("listHours(planet: string): Promise<ClinicHour[]>", "no column for planet"),
        ("getMood(): Promise<Mood>", "what a Mood is"),
        ("getName(): Promise<string>", "what that is made from"),
        ("countPlanets(): Promise<number>", "which table"),
    ],
)
def test_a_function_that_cannot_be_told_asks(signature: str, why: str) -> None:
    spec = FileSpec("web/api/hours.ts", 1, Block("ts", signature, 1))
    with pytest.raises(SpecificationError, match=why):
        render_hook(spec, site(Path()))


def test_signatures_are_read_through_comments_defaults_and_arrows() -> None:
    found = signatures(
        "// how many\nexport const count = async (a: Record<string, number>, n = 3): "
        "Promise<number> => {\n  return 1;\n};\n/* no(x: string): void */\n"
        "export async function pick(\n  a?: string,\n  b: string | null = null,\n"
        "): Promise<{ x: 1 }> {}\n"
    )
    assert [(s.name, s.text) for s in found] == [
        ("count", "(a: Record<string, number>) => Promise<number>"),
        ("pick", "(a?: string, b?: string | null) => Promise<{ x: 1 }>"),
    ]
    assert found[0].comment == "how many"


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("benchmark_cohorts", "BenchmarkCohort"),
        ("cities", "City"),
        ("boxes", "Box"),
        ("status", "Status"),
        ("clinic_hours", "ClinicHour"),
    ],
)
def test_interface_names(table: str, name: str) -> None:
    assert interface_name(table) == name


def test_literals_are_python() -> None:
    import ast

    value = {"a" * 30: ("x",), "b": tuple("word" * 5 for _ in range(9)), 'q"\n': ()}
    assert ast.literal_eval(literal(value)) == value


# --- the agent ----------------------------------------------------------------------------------


def test_nothing_to_build_asks_a_person(tmp_path: Path) -> None:
    job = lay_out(tmp_path, "# X\n\n## Stage 1: BUILDER - Talk\n\nTalk about it.\n")
    report = Builder().work(job.model_copy(update={"stage": 1, "family": ()}))
    assert report.outcome is Outcome.NEEDS_PERSON
    assert "names no file" in report.reason


def test_a_file_without_specification_asks_a_person(tmp_path: Path) -> None:
    text = "# X\n\n## Stage 1: BUILDER - Make\n\n1. Create `a/thing.py` that does it\n"
    report = Builder().work(lay_out(tmp_path, text).model_copy(update={"stage": 1, "family": ()}))
    assert report.outcome is Outcome.NEEDS_PERSON
    assert "a/thing.py: nothing says what goes into it" in report.reason
    assert not (tmp_path / "a").exists()


def test_a_broken_given_file_fails(tmp_path: Path) -> None:
    text = "# X\n\n## Stage 1: BUILDER - Make\n\n1. Create `a.py`:\n\n```python\ndef (\n```\n"
    report = Builder().work(lay_out(tmp_path, text).model_copy(update={"stage": 1, "family": ()}))
    assert report.outcome is Outcome.FAILED
    assert "a.py:1" in report.reason


GIVEN = "# X\n\n## Stage 1: BUILDER - Make\n\n1. Create `a.py`:\n\n```python\nA = 1\n```\n"


def test_given_code_is_written_as_it_stands_and_twice_gives_the_same(tmp_path: Path) -> None:
    job = lay_out(tmp_path, GIVEN).model_copy(update={"stage": 1, "family": ()})
    first = Builder().work(job)
    assert (tmp_path / "a.py").read_text(encoding="utf-8") == "A = 1\n"
    assert first.outcome is Outcome.DONE
    written = {a.path: a.sha256 for a in first.artifacts}
    again = Builder().work(job.model_copy(update={"written": written}))
    assert (again.outcome, again.artifacts) == (Outcome.DONE, first.artifacts)
    assert again.section == first.section


def test_another_persons_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("A = 2\n", encoding="utf-8")
    job = lay_out(tmp_path, GIVEN).model_copy(update={"stage": 1, "family": ()})
    (artifact,) = Builder().work(job).artifacts
    assert artifact.state == "kept"
    assert (tmp_path / "a.py").read_text(encoding="utf-8") == "A = 2\n"


def test_the_same_output_after_words_or_findings_is_cannot(tmp_path: Path) -> None:
    job = lay_out(tmp_path, GIVEN).model_copy(update={"stage": 1, "family": ()})
    written = {a.path: a.sha256 for a in Builder().work(job).artifacts}
    finding = Finding(statement="A is 2", verdict="failed", detail="it is 1")
    for change in ({"words": "make A two"}, {"findings": (finding,)}):
        report = Builder().work(job.model_copy(update={"written": written, **change}))
        assert report.outcome is Outcome.CANNOT
        assert "two" in report.reason or "A is 2" in report.reason


def test_a_path_out_of_the_workspace_is_refused(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    text = GIVEN.replace("a.py", "../a.py")
    report = Builder().work(lay_out(inner, text).model_copy(update={"stage": 1, "family": ()}))
    assert report.outcome is Outcome.NEEDS_PERSON
    assert not (tmp_path / "a.py").exists()


def test_the_fixture_is_another_workflow() -> None:
    assert "benchmark" not in WORKFLOW.read_text(encoding="utf-8").lower()


def test_a_client_that_is_itself_a_deliverable_is_rendered_once(tmp_path: Path) -> None:
    text = WORKFLOW.read_text(encoding="utf-8").replace(
        "4. Create `web/api/hours.ts`", "4. Create `web/db/supabase.ts` and `web/api/hours.ts`"
    )
    report = Builder().work(lay_out(tmp_path, text))
    paths = [artifact.path for artifact in report.artifacts]
    assert paths.count("web/db/supabase.ts") == 1
    assert "createClient" in (tmp_path / "web/db/supabase.ts").read_text(encoding="utf-8")


def test_the_gate_takes_over_what_builder_has_seen_of_the_very_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_SCRATCH", str(tmp_path / "cache"))
    root, looks, find = tmp_path / "work", list[str](), behaviour.find_outside_calls

    def look(ctx: Context, path: str) -> object:
        looks.append(path)
        return find(ctx, path)

    monkeypatch.setattr(behaviour, "find_outside_calls", look)
    path, text = "etl/health.py", "import requests\n\nrequests.get('http://a.test')\n"
    script = root / path
    script.parent.mkdir(parents=True)
    script.write_text(text, encoding="utf-8")
    prove_files(site(root), [path], kept=[path])
    for written, looked in ((text, 1), (f"{text}#\n", 2)):
        script.write_text(written, encoding="utf-8")
        with Services(user_proof_cache()) as services:
            judged = behaviour.judge_handling(Context(root=root, services=services), (path,))
        assert (judged.verdict, len(looks)) == (Verdict.FAILED, looked)


def test_files_are_proven_side_by_side_and_told_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [f"etl/{name}.py" for name in "abc"]
    for path in paths:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(f"print('{path}')\n", encoding="utf-8")
    # each waits until all have begun
    together = threading.Barrier(len(paths))

    def judge(ctx: Context, judged: tuple[str, ...]) -> Result:
        together.wait(20)
        return proven("handled", *judged)

    monkeypatch.setattr(builder_proofs, "judge_handling", judge)
    found = prove_files(site(tmp_path), paths, kept=paths)
    assert [path for path, result in found if result.detail == "handled"] == paths
