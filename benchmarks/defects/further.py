"""Defects that get past a look at one file: who may read, what a trigger changes, what is left out."""

from __future__ import annotations

import re
from collections.abc import Callable

from defects import Site, defect

COHORTS = "backend/data/benchmark_cohorts_seed.csv"
BASELINES = "backend/data/population_baselines_seed.csv"
TRIALS_SCRIPT = "backend/scripts/seed_benchmark_trials.py"
COHORTS_SCRIPT = "backend/scripts/seed_benchmark_cohorts.py"
BASELINES_SCRIPT = "backend/scripts/seed_population_baselines.py"
HOOK = "src/lib/benchmarks.ts"
CLIENT = "src/lib/supabaseClient.ts"

_TRIGGER = (
    "CREATE OR REPLACE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN {} END $$;\n"
    "CREATE OR REPLACE TRIGGER meddle BEFORE {} ON public.benchmark_cohorts "
    "FOR EACH ROW EXECUTE FUNCTION public.meddle();"
)
_ONCE = "DO $$ BEGIN {}; EXCEPTION WHEN duplicate_object OR duplicate_table THEN NULL; END $$;"

#: name → SQL at the end of the migration
_SQL = {
    "read-granted-on-one-column": "REVOKE SELECT ON public.benchmark_cohorts FROM authenticated;\n"
    "GRANT SELECT (cohort_name) ON public.benchmark_cohorts TO authenticated;",
    "schema-closed-to-readers": "REVOKE USAGE ON SCHEMA public FROM authenticated, anon;",
    "policy-altered-to-nobody": "ALTER POLICY benchmark_trials_read ON public.benchmark_trials "
    "USING (false);",
    "policy-for-admins-alone": "ALTER POLICY benchmark_trials_read ON public.benchmark_trials "
    "USING (auth.jwt() ->> 'app_role' = 'admin');",
    "policy-until-a-day": "ALTER POLICY benchmark_trials_read ON public.benchmark_trials "
    "USING (now() < '2031-01-01');",
    "trigger-changes-values": _TRIGGER.format(
        "NEW.n_participants := 1; RETURN NEW;", "INSERT OR UPDATE"
    ),
    "trigger-refuses-the-second-load": _TRIGGER.format(
        "RAISE EXCEPTION 'read only';", "UPDATE"
    ),
    "materialized-view-for-anon": "CREATE MATERIALIZED VIEW IF NOT EXISTS public.cohort_figures AS "
    "SELECT * FROM public.benchmark_cohorts;",
    "copy-without-policies": "CREATE TABLE IF NOT EXISTS public.benchmark_cohorts_old AS "
    "SELECT * FROM public.benchmark_cohorts;",
    "definer-function-hands-out-json": "CREATE OR REPLACE FUNCTION public.figures() RETURNS json "
    "LANGUAGE sql SECURITY DEFINER AS "
    "$$ SELECT json_agg(c) FROM public.benchmark_cohorts c $$;",
    "reference-no-row-has": _ONCE.format(
        "ALTER TABLE public.benchmark_cohorts ADD CONSTRAINT of_trial "
        "FOREIGN KEY (cohort_name) REFERENCES public.benchmark_trials (nct_id)"
    ),
    "check-of-percent-as-fraction": _ONCE.format(
        "ALTER TABLE public.benchmark_cohorts ADD CONSTRAINT of_one "
        "CHECK (response_rate_pct <= 1)"
    ),
    "second-key-too-narrow": "CREATE UNIQUE INDEX IF NOT EXISTS one_per_condition "
    "ON public.benchmark_cohorts (modality, condition);",
    "seed-rows": "INSERT INTO public.population_baselines (source, year, region) "
    "VALUES ('x', 2020, 'y') ON CONFLICT DO NOTHING;",
    "rows-of-another-table-updated": "UPDATE auth.users SET email = NULL;",
    "rows-overwritten-in-a-called-function": "CREATE OR REPLACE FUNCTION public.tidy() RETURNS void "
    "LANGUAGE sql AS $$ UPDATE auth.users SET email = NULL $$;\nSELECT public.tidy();",
}  # fmt: skip


def _of_migration(name: str, sql: str) -> None:
    def change(site: Site) -> None:
        site.append(site.migration, f"\n{sql}\n")

    defect(f"sql.{name}")(change)


for _name, _sql in _SQL.items():
    _of_migration(_name, _sql)


#: name → file, old text, new text
_REPLACED = {
    "python.baselines-exit-code-dropped": (
        BASELINES_SCRIPT, "sys.exit(run_seed(SEED, Path(__file__)))",
        "run_seed(SEED, Path(__file__))\n    sys.exit(0)"),
    "python.baselines-another-file": (BASELINES_SCRIPT, "population_baselines_seed.csv", "benchmark_cohorts_seed.csv"),
    "python.baselines-years-as-a-key-alone": (BASELINES_SCRIPT, 'key=("source", "year", "region", "condition", "substance", "demographic_group")', 'key=("year",)'),
    "python.baselines-column-forgotten": (BASELINES_SCRIPT, '        "n_episodes": "integer",\n', ""),
    "python.importer-batch-of-nought": (TRIALS_SCRIPT, "BATCH = 50", "BATCH = 0"),
    "typescript.service-key-by-name-in-the-client": (
        CLIENT, "process.env.SUPABASE_ANON_KEY", "process.env.SUPABASE_SERVICE_ROLE_KEY"),
    "typescript.primary-of-exchanged-arguments": (
        HOOK, "await getBenchmarkCohorts(modality, condition, instrument)",
        "await getBenchmarkCohorts(condition, modality, instrument)"),
    "typescript.first-answer-kept": (
        HOOK, "  return (data ?? []) as BenchmarkCohort[];",
        "  kept ??= (data ?? []) as BenchmarkCohort[];\n  return kept;\n}\nlet kept: BenchmarkCohort[] | undefined;\nif (false as boolean) {"),
}  # fmt: skip


def _of_text(name: str, path: str, old: str, new: str) -> None:
    def change(site: Site) -> None:
        site.replace(path, old, new, 1)

    defect(name)(change)


for _name, (_path, _old, _new) in _REPLACED.items():
    _of_text(_name, _path, _old, _new)


def _cell(name: str, column: str, value: Callable[[str], str], path: str = COHORTS) -> None:
    """A defect of one cell of the first row."""
    import csv
    import io

    def edit(text: str) -> str:
        rows = list(csv.reader(io.StringIO(text)))
        at = rows[0].index(column)
        rows[1][at] = value(rows[1][at])
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue()

    def change(site: Site) -> None:
        site.edit(path, edit)

    defect(f"data.{name}")(change)


_cell("instrument-of-another-study", "instrument", lambda _: "MADRS")
_cell("modality-of-another-study", "modality", lambda _: "psilocybin")
_cell("modality-in-capitals", "modality", str.upper)
_cell("weeks-of-another-visit", "followup_weeks", lambda _: "12")
_cell("more-remissions-than-responses", "remission_rate_pct", lambda _: "95.0")
_cell("year-before", "year", lambda _: "2016", BASELINES)
_cell("region-of-another-table", "region", lambda _: "Canada", BASELINES)


def _ticket(name: str, pattern: str, new: str, id: str = "WO-231a") -> None:
    def change(site: Site) -> None:
        site.edit(site.ticket(id), lambda t: re.sub(pattern, new, t, count=1, flags=re.M | re.S))

    defect(f"tickets.{name}")(change)


_ticket("criterion-deleted", r"^- \[x\] The migration is additive only[^\n]*\n", "")
_ticket("criterion-weakened", r"RLS is enabled on all tables", "RLS is enabled on one table")
_ticket("status-twice", r"^status: (\S+)$", r"status: \1\nstatus: 03_BUILD")
_ticket("child-of-another-id", r"^id: \S+$", "id: WO-777a")
_ticket(
    "research-section-to-be-done", r"^(## ANALYST[^\n]*\n).*?(?=^## |\Z)", r"\1\nTBD\n\n", "WO-231"
)
