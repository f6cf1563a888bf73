"""Defects and harmless changes of the migration."""

from __future__ import annotations

import re

from defects import Site, defect, harmless

TRIALS, COHORTS, BASELINES = "benchmark_trials", "benchmark_cohorts", "population_baselines"


def _sub(site: Site, pattern: str, new: str, count: int = 1) -> None:
    """Replace by regular expression, over lines and in any case."""
    site.edit(site.migration, lambda t: re.sub(pattern, new, t, count=count, flags=re.I | re.S))


def _add(site: Site, sql: str) -> None:
    site.append(site.migration, f"\n{sql}\n")


def _column(site: Site, table: str, column: str, definition: str) -> None:
    """Another definition of one column; "" leaves it out."""
    new = rf"\1  {column} {definition},\n" if definition else r"\1"
    head = rf"(create table if not exists public\.{table} \((?:(?!\n\);).)*?\n)"
    _sub(site, rf"{head} +{column} [^\n]*?,?\n", new)


def _read_policy(table: str, change: str) -> str:
    """A pattern of the table's read policy, from its name to the semicolon."""
    return rf"(create policy {table}_read on public\.{table}\s+){change};"


def _added(name: str, sql: str, board: int = 0) -> None:
    """A defect that stands in lines at the end of the migration."""

    def change(site: Site) -> None:
        _add(site, sql)

    defect(name, board)(change)


def _policy(name: str, text: str) -> None:
    """A defect of the read policy of one table."""

    def change(site: Site) -> None:
        _sub(
            site,
            _read_policy(COHORTS, "for select to authenticated using \\(true\\)"),
            rf"\1{text};",
        )

    defect(name)(change)


def _other_column(name: str, table: str, column: str, definition: str) -> None:
    def change(site: Site) -> None:
        _column(site, table, column, definition)

    defect(name)(change)


def _replaced(name: str, pattern: str, new: str, count: int = 1, board: int = 0) -> None:
    def change(site: Site) -> None:
        _sub(site, pattern, new, count)

    defect(name, board)(change)


# -- row level security ------------------------------------------------------------------------

_ENABLE = r"alter table public\.{} enable row level security;"
_replaced("sql.rls-missing", _ENABLE.format(TRIALS), "")
_replaced("sql.rls-only-in-a-comment", f"({_ENABLE.format(BASELINES)})", r"-- \1")
_replaced(
    "sql.rls-only-in-a-string", _ENABLE.format(COHORTS),
    "COMMENT ON TABLE public.benchmark_cohorts IS 'ENABLE ROW LEVEL SECURITY';",
)  # fmt: skip
_replaced("sql.rls-in-a-block-comment", f"({_ENABLE.format(COHORTS)})", r"/* \1 */")
_replaced("sql.rls-on-a-branch-never-taken", _ENABLE.format(COHORTS),
    "DO $$ BEGIN IF false THEN ALTER TABLE public.benchmark_cohorts ENABLE ROW LEVEL SECURITY; "
    "END IF; END $$;")  # fmt: skip
_added("sql.rls-disabled-later", "ALTER TABLE public.benchmark_trials DISABLE ROW LEVEL SECURITY;")
_added(
    "sql.rls-disabled-in-a-do-block",
    "DO $$ BEGIN EXECUTE 'ALTER TABLE public.benchmark_trials DIS' || 'ABLE ROW LEVEL SECURITY'; END $$;",
)
_added(
    "sql.rls-disabled-by-a-function",
    "CREATE OR REPLACE FUNCTION public.tidy() RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
    "ALTER TABLE public.benchmark_cohorts DISABLE ROW LEVEL SECURITY; END $$;\nSELECT public.tidy();",
)

# -- policies ----------------------------------------------------------------------------------

_policy("sql.policy-for-anon", "for select to anon using (true)")
_policy("sql.policy-for-anon-too", "for select to anon, authenticated using (true)")
_policy("sql.policy-for-public", "for select using (true)")
_policy("sql.policy-for-all-verbs", "for all to authenticated using (true)")
_policy("sql.policy-for-all-with-check", "to authenticated using (true) with check (true)")
_policy("sql.policy-for-the-wrong-verb", "for insert to authenticated with check (true)")
_policy("sql.policy-for-service-role-only", "for select to service_role using (true)")
_policy("sql.policy-lets-nobody-read", "for select to authenticated using (false)")
_policy("sql.policy-hides-most-rows", "for select to authenticated using (data_freely_usable)")
_policy("sql.policy-by-a-claim-nobody-has",
        "for select to authenticated using (auth.uid() = id)")  # fmt: skip
_policy("sql.policy-restrictive-alone",
        "as restrictive for select to authenticated using (true)")  # fmt: skip
_replaced("sql.policy-on-another-table", r"on public\.benchmark_cohorts\s+for select",
          "on public.benchmark_trials for select")  # fmt: skip
_replaced(
    "sql.policy-missing",
    r"DO \$policy\$(?:(?!\$policy\$).)*benchmark_cohorts_read(?:(?!\$policy\$).)*\$policy\$;",
    "",
)
_replaced("sql.policy-unguarded",
    r"DO \$policy\$(?:(?!\$policy\$).)*?benchmark_trials_read'.*?(create policy benchmark_trials_read[^;]*;).*?\$policy\$;",
    r"\1", board=1)  # fmt: skip
_added("sql.second-policy-lets-anon-write", "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_policy WHERE polname = 'w') THEN "
       "CREATE POLICY w ON public.benchmark_trials FOR INSERT TO anon WITH CHECK (true); END IF; END $$;")  # fmt: skip
_added("sql.second-policy-lets-authenticated-update", "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_policy WHERE polname = 'u') THEN "
       "CREATE POLICY u ON public.population_baselines FOR UPDATE TO authenticated USING (true); END IF; END $$;")  # fmt: skip
_added("sql.second-policy-lets-authenticated-delete", "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_policy WHERE polname = 'd') THEN "
       "CREATE POLICY d ON public.population_baselines FOR DELETE TO authenticated USING (year < 1900); END IF; END $$;")  # fmt: skip
_added(
    "sql.policy-dropped-at-the-end",
    "DROP POLICY IF EXISTS benchmark_cohorts_read ON public.benchmark_cohorts;",
)
_added(
    "sql.policy-altered-at-the-end",
    "ALTER POLICY benchmark_cohorts_read ON public.benchmark_cohorts TO anon;",
)

# -- privileges and ways around ----------------------------------------------------------------

_added(
    "sql.read-revoked-from-authenticated",
    "REVOKE SELECT ON public.benchmark_cohorts FROM authenticated;",
)
_added(
    "sql.write-revoked-from-service-role",
    "REVOKE INSERT, UPDATE ON public.benchmark_trials FROM service_role;",
)
_added("sql.view-leaks-to-anon",
       "CREATE OR REPLACE VIEW public.benchmark_all AS SELECT * FROM public.benchmark_cohorts;\n"
       "GRANT SELECT ON public.benchmark_all TO anon;")  # fmt: skip
_added("sql.definer-function-writes",
       "CREATE OR REPLACE FUNCTION public.add_trial(n text) RETURNS void LANGUAGE sql SECURITY DEFINER AS "
       "$$ INSERT INTO public.benchmark_trials (nct_id, title, modality) VALUES (n, n, n) $$;")  # fmt: skip
_added("sql.definer-function-reads",
       "CREATE OR REPLACE FUNCTION public.all_cohorts() RETURNS SETOF public.benchmark_cohorts LANGUAGE sql "
       "SECURITY DEFINER AS $$ SELECT * FROM public.benchmark_cohorts $$;")  # fmt: skip
_added("sql.trigger-swallows-rows",
       "CREATE OR REPLACE FUNCTION public.skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;\n"
       "CREATE OR REPLACE TRIGGER skip BEFORE INSERT ON public.benchmark_cohorts FOR EACH ROW EXECUTE FUNCTION public.skip();")  # fmt: skip
_added("sql.rule-swallows-rows",
       "CREATE OR REPLACE RULE quiet AS ON INSERT TO public.population_baselines DO INSTEAD NOTHING;")  # fmt: skip

# -- destruction -------------------------------------------------------------------------------

_added("sql.drop-table", "DROP TABLE IF EXISTS public.old_benchmarks;", board=8)
_added(
    "sql.drop-split-in-a-string",
    "DO $$ BEGIN EXECUTE 'DR' || 'OP TABLE IF EXISTS public.old_benchmarks'; END $$;",
)
_added(
    "sql.drop-by-format",
    "DO $$ BEGIN EXECUTE format('%s TABLE IF EXISTS public.%I', 'DROP', 'old'); END $$;",
)
_added("sql.drop-in-a-called-function",
       "CREATE OR REPLACE FUNCTION public.clean() RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
       "DROP TABLE IF EXISTS public.old_benchmarks; END $$;\nSELECT public.clean();")  # fmt: skip
_added("sql.truncate", "TRUNCATE public.benchmark_cohorts;")
_added("sql.delete-rows", "DELETE FROM public.benchmark_trials WHERE status IS NULL;")
_added("sql.update-rows", "UPDATE public.benchmark_trials SET status = 'COMPLETED';")
_added(
    "sql.column-type-changed",
    "ALTER TABLE public.benchmark_trials ALTER COLUMN enrollment_actual TYPE bigint;",
)
_added("sql.column-dropped", "ALTER TABLE public.benchmark_cohorts DROP COLUMN IF EXISTS notes;")
_added(
    "sql.not-null-dropped",
    "ALTER TABLE public.benchmark_cohorts ALTER COLUMN condition DROP NOT NULL;",
)
_added(
    "sql.default-dropped",
    "ALTER TABLE public.benchmark_trials ALTER COLUMN created_at DROP DEFAULT;",
)
_added("sql.table-renamed", "ALTER TABLE public.benchmark_trials RENAME TO trials;", board=7)
_added(
    "sql.constraint-dropped",
    "ALTER TABLE public.benchmark_trials DROP CONSTRAINT IF EXISTS benchmark_trials_nct_id_key;",
)
_added("sql.index-dropped", "DROP INDEX IF EXISTS public.benchmark_trials_modality_idx;")

# -- tables and columns ------------------------------------------------------------------------

_other_column("sql.column-missing", COHORTS, "baseline_sd", "")
_other_column("sql.column-nullable", COHORTS, "source_citation", "text")
_other_column("sql.column-not-nullable", COHORTS, "notes", "text not null")
_other_column("sql.column-of-another-type", COHORTS, "followup_weeks", "numeric")
_other_column("sql.column-too-narrow", COHORTS, "baseline_mean", "numeric(3,1)")
_other_column("sql.column-short-text", TRIALS, "title", "varchar(40) not null")
_other_column("sql.timestamp-without-zone", TRIALS, "created_at", "timestamp default now()")
_other_column("sql.default-missing", COHORTS, "data_freely_usable", "boolean")
_other_column("sql.default-wrong", COHORTS, "data_freely_usable", "boolean default false")
_other_column("sql.default-a-fixed-time", COHORTS, "created_at", "timestamptz default 'now'")
_other_column("sql.default-a-fixed-id", COHORTS, "id",
              "uuid primary key default '7b0e7c52-3a3f-4a4b-9a5f-1f2d3c4b5a69'")  # fmt: skip
_other_column(
    "sql.key-not-uuid", BASELINES, "id", "bigint primary key generated always as identity"
)
_other_column("sql.no-primary-key", BASELINES, "id", "uuid default gen_random_uuid()")
_other_column("sql.column-left-out", BASELINES, "n_episodes", "")
_added(
    "sql.extra-column",
    "ALTER TABLE public.benchmark_cohorts ADD COLUMN IF NOT EXISTS patient_email text;",
)
_added("sql.check-refuses-real-rows",
       "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'c1') THEN "
       "ALTER TABLE public.benchmark_cohorts ADD CONSTRAINT c1 CHECK (baseline_mean < 10); END IF; END $$;")  # fmt: skip
_replaced("sql.table-misspelt", r"\bpopulation_baselines\b", "population_baseline", 0)
_replaced(
    "sql.table-in-another-schema",
    r"public\.population_baselines\b",
    "extensions.population_baselines",
    0,
)
_replaced("sql.table-unlogged", r"create table if not exists public\.benchmark_trials",
          "create unlogged table if not exists public.benchmark_trials")  # fmt: skip

# -- running it twice --------------------------------------------------------------------------

_replaced("sql.table-without-if-not-exists", r"create table if not exists public\.benchmark_trials",
          "create table public.benchmark_trials")  # fmt: skip
_replaced("sql.index-without-if-not-exists", r"create index if not exists benchmark_trials_status_idx",
          "create index benchmark_trials_status_idx")  # fmt: skip
_added("sql.row-added-by-each-run",
       "INSERT INTO public.population_baselines (source, year, region) VALUES ('x', 2020, 'y' || random());")  # fmt: skip
_added("sql.column-added-by-each-run",
       "DO $$ BEGIN EXECUTE 'CREATE TABLE public.log_' || (SELECT count(*) FROM pg_class WHERE relname LIKE 'log_%') || ' (a int)'; END $$;")  # fmt: skip
_added("sql.comment-changes-with-each-run",
       "DO $$ BEGIN EXECUTE format('COMMENT ON TABLE public.benchmark_trials IS %L', clock_timestamp()); END $$;")  # fmt: skip


@defect("sql.if-not-exists-hides-another-table")
def hides_another_table(site: Site) -> None:
    """An earlier migration has a table of that name with other columns, and the guard is gone."""
    _sub(site, r"DO \$shape\$.*?\$shape\$;", "", count=0)
    site.write(
        "migrations/058_population.sql",
        "CREATE TABLE IF NOT EXISTS public.population_baselines (id bigint, source text);\n",
    )


@defect("sql.table-first-made-in-another-shape")
def first_made_in_another_shape(site: Site) -> None:
    """The right CREATE TABLE IF NOT EXISTS stands after another one of the same name."""
    _sub(site, r"DO \$shape\$.*?\$shape\$;", "", count=0)
    site.edit(
        site.migration,
        lambda text: text.replace(
            "create table IF NOT EXISTS public.benchmark_cohorts",
            "create table IF NOT EXISTS public.benchmark_cohorts (id uuid primary key, cohort_name text,"
            " source_citation text, modality text, condition text, instrument text);\n"
            "create table IF NOT EXISTS public.benchmark_cohorts",
            1,
        ),
    )


# -- keys and indexes --------------------------------------------------------------------------

_KEY = r"CREATE UNIQUE INDEX IF NOT EXISTS {}_natural_key\s+ON public\.{}\s*\([^;]*;"
_COHORT_KEY = _KEY.format(COHORTS, COHORTS)
_BASELINE_KEY = _KEY.format(BASELINES, BASELINES)
_replaced("sql.unique-key-missing", _COHORT_KEY, "", board=4)
_replaced(
    "sql.unique-key-in-a-comment",
    _COHORT_KEY,
    "-- create unique index on public.benchmark_cohorts (cohort_name);",
)
_replaced(
    "sql.unique-key-not-unique",
    r"CREATE UNIQUE INDEX IF NOT EXISTS benchmark_cohorts",
    "CREATE INDEX IF NOT EXISTS benchmark_cohorts",
)
_replaced("sql.unique-key-on-other-columns", _COHORT_KEY,
          "CREATE UNIQUE INDEX IF NOT EXISTS benchmark_cohorts_natural_key ON public.benchmark_cohorts (cohort_name, created_at);")  # fmt: skip
_replaced("sql.unique-key-partial", _COHORT_KEY,
          "CREATE UNIQUE INDEX IF NOT EXISTS benchmark_cohorts_natural_key ON public.benchmark_cohorts "
          "(cohort_name, source_citation, modality, condition, instrument) WHERE license IS NOT NULL;")  # fmt: skip
_replaced("sql.unique-key-by-expression", _COHORT_KEY,
          "CREATE UNIQUE INDEX IF NOT EXISTS benchmark_cohorts_natural_key ON public.benchmark_cohorts "
          "(lower(cohort_name), source_citation, modality, condition, instrument);")  # fmt: skip
_replaced("sql.unique-key-too-narrow", _COHORT_KEY,
          "CREATE UNIQUE INDEX IF NOT EXISTS benchmark_cohorts_natural_key ON public.benchmark_cohorts (modality);")  # fmt: skip
_replaced("sql.unique-key-with-the-id", _COHORT_KEY,
          "CREATE UNIQUE INDEX IF NOT EXISTS benchmark_cohorts_natural_key ON public.benchmark_cohorts (id, cohort_name);")  # fmt: skip
_replaced("sql.nulls-distinct", r"\s*NULLS NOT DISTINCT", "")
_replaced("sql.unique-key-deferrable", _BASELINE_KEY,
          "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'population_baselines_key') THEN "
          "ALTER TABLE public.population_baselines ADD CONSTRAINT population_baselines_key UNIQUE NULLS NOT DISTINCT "
          "(source, year, region, condition, substance, demographic_group) DEFERRABLE; END IF; END $$;")  # fmt: skip
_replaced("sql.registry-id-not-unique", r"text not null unique", "text not null")

_replaced(
    "sql.index-missing", r"create index if not exists benchmark_cohorts_instrument_idx[^;]*;", ""
)
_replaced(
    "sql.index-on-another-column",
    r"(instrument_idx on public\.benchmark_cohorts )\(instrument\)",
    r"\1(license)",
)
_replaced(
    "sql.index-partial",
    r"(instrument_idx on public\.benchmark_cohorts \(instrument\));",
    r"\1 WHERE country = 'UK';",
)
_replaced(
    "sql.index-on-an-expression",
    r"(instrument_idx on public\.benchmark_cohorts )\(instrument\)",
    r"\1(upper(instrument))",
)
_replaced(
    "sql.index-only-includes",
    r"(instrument_idx on public\.benchmark_cohorts )\(instrument\)",
    r"\1(id) INCLUDE (instrument)",
)
_replaced("sql.index-on-another-table", r"(modality_condition_idx\s+on public\.)benchmark_cohorts \(modality, condition\)",
          r"\1population_baselines (source, condition)")  # fmt: skip
_replaced(
    "sql.index-skipped-for-its-name",
    r"if not exists benchmark_cohorts_instrument_idx",
    "IF NOT EXISTS benchmark_trials_status_idx",
)
_replaced(
    "sql.index-that-cannot-be-searched",
    r"(instrument_idx on public\.benchmark_cohorts) \(instrument\)",
    r"\1 USING brin (instrument)",
)

# -- the file ----------------------------------------------------------------------------------

_replaced("sql.syntax-error", r"not null unique", "not nul unique")
_added("sql.waits-for-ever", "SELECT pg_sleep(600);")
_added("sql.counts-for-ever", "DO $$ BEGIN LOOP END LOOP; END $$;")
_added("sql.reads-a-file-of-the-server", "SELECT pg_read_file('/etc/passwd');")
_added("sql.runs-a-program", "COPY public.benchmark_trials (title) FROM PROGRAM 'id';")
_added("sql.needs-a-superuser", "ALTER ROLE authenticated BYPASSRLS;")
_added("sql.ends-its-transaction", "COMMIT; DROP TABLE IF EXISTS public.old; BEGIN;")
_added("sql.meta-command", "\\i other.sql")
_added("sql.needs-a-table-that-is-not-there",
       "ALTER TABLE public.profiles ADD COLUMN IF NOT EXISTS benchmark_seen boolean;")  # fmt: skip


@defect("sql.empty-file")
def empty_file(site: Site) -> None:
    """Nothing stands in it."""
    site.edit(site.migration, lambda text: "")


@defect("sql.only-comments")
def only_comments(site: Site) -> None:
    """All of it is a comment."""
    site.edit(site.migration, lambda t: "".join(f"-- {line}\n" for line in t.splitlines()))


@defect("sql.deleted")
def deleted(site: Site) -> None:
    """The file is gone."""
    (site.root / site.migration).unlink()


@defect("sql.number-reused")
def number_reused(site: Site) -> None:
    """Another file bears its number."""
    number = site.migration.split("/")[1].split("_")[0]
    site.write(
        f"migrations/{number}_other.sql", "CREATE TABLE IF NOT EXISTS public.other (a int);\n"
    )


@defect("sql.secret-in-a-comment")
def secret_in_a_comment(site: Site) -> None:
    """A key for pasting."""
    _add(site, "-- psql postgres://postgres:hunter2-Xy81@db.abcdefgh.supabase.co:5432/postgres")


# -- what harms nothing ------------------------------------------------------------------------


@harmless("sql.comment-first")
def comment_first(site: Site) -> None:
    """Another comment at the head."""
    site.edit(site.migration, lambda text: "-- reviewed twice\n" + text)


@harmless("sql.windows-line-ends")
def windows_line_ends(site: Site) -> None:
    """CRLF."""
    site.edit(site.migration, lambda text: text.replace("\n", "\r\n"))


@harmless("sql.capital-keywords")
def capital_keywords(site: Site) -> None:
    """Other letters for keywords."""
    for word in (
        "create table",
        "create index",
        "alter table",
        "enable row level security",
        "not null",
    ):
        site.edit(site.migration, lambda text, w=word: text.replace(w, w.upper()))  # type: ignore[misc]


@harmless("sql.quoted-names")
def quoted_names(site: Site) -> None:
    """Names between double quotes."""
    site.edit(
        site.migration,
        lambda text: re.sub(r"(?m)^(  )(\w+)( +(?:text|numeric|integer))", r'\1"\2"\3', text),
    )


@harmless("sql.indexes-before-policies")
def indexes_before_policies(site: Site) -> None:
    """The last part first."""

    def change(text: str) -> str:
        at, where = (
            text.index("-- What the front end filters by"),
            text.index("-- Signed-in users read"),
        )
        return text[:where] + text[at:] + "\n" + text[where:at]

    site.edit(site.migration, change)


@harmless("sql.no-schema-names")
def no_schema_names(site: Site) -> None:
    """`public` is on the search path."""
    site.edit(site.migration, lambda text: re.sub(r"public\.(\w+)(?![\w'])", r"\1", text))


@harmless("sql.words-of-destruction-in-comments")
def words_in_comments(site: Site) -> None:
    """DROP TABLE is only spoken of."""
    _add(site, "-- Never DROP TABLE, TRUNCATE or DISABLE ROW LEVEL SECURITY here.")


@harmless("sql.table-comments")
def table_comments(site: Site) -> None:
    """A comment in the catalogue, one that says DROP."""
    _add(site, "COMMENT ON TABLE public.benchmark_trials IS 'Do not DROP TABLE this one';")


@harmless("sql.constraint-by-table")
def constraint_by_table(site: Site) -> None:
    """The primary key is a constraint of the table."""
    _sub(
        site,
        r"id( +)uuid primary key default gen_random_uuid\(\)",
        r"id\1uuid not null default gen_random_uuid()",
    )
    _sub(
        site,
        r"(public\.benchmark_trials \(.*?default now\(\))\n\);",
        r"\1,\n  primary key (id)\n);",
    )


@harmless("sql.types-by-other-names")
def other_type_names(site: Site) -> None:
    """int4 and decimal are the same types."""
    _sub(site, r"( n_participants +)integer", r"\1int4")
    _sub(site, r"( baseline_mean +)numeric", r"\1decimal")
    _sub(site, r"( created_at +)timestamptz", r"\1timestamp with time zone", count=0)


@harmless("sql.policies-for-writing-that-bind-nobody-new")
def explicit_service_policy(site: Site) -> None:
    """service_role may do what it may do anyhow."""
    _add(
        site,
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_policy WHERE polname = 'trials_service') THEN "
        "CREATE POLICY trials_service ON public.benchmark_trials FOR ALL TO service_role "
        "USING (true) WITH CHECK (true); END IF; END $$;",
    )


@harmless("sql.one-more-index")
def one_more_index(site: Site) -> None:
    """Another column is indexed too."""
    _add(
        site,
        "CREATE INDEX IF NOT EXISTS benchmark_trials_country_idx ON public.benchmark_trials (country);",
    )


@harmless("sql.write-revoked-from-anon")
def write_revoked(site: Site) -> None:
    """Less privilege than the default for those who may not write."""
    _add(site, "REVOKE INSERT, UPDATE, DELETE ON public.benchmark_trials FROM anon, authenticated;")


@harmless("sql.in-one-transaction")
def in_one_transaction(site: Site) -> None:
    """BEGIN and COMMIT around all of it."""
    site.edit(site.migration, lambda text: f"BEGIN;\n{text}\nCOMMIT;\n")


@harmless("sql.policies-by-exception")
def policies_by_exception(site: Site) -> None:
    """The guard is a handler of duplicate_object."""
    _sub(
        site,
        r"DO \$policy\$(?:(?!\$policy\$).)*?(create policy (\w+)[^;]*;)(?:(?!\$policy\$).)*?\$policy\$;",
        r"DO $policy$ BEGIN \1 EXCEPTION WHEN duplicate_object THEN NULL; END $policy$;",
        count=0,
    )
