"""Access beyond the specification: what is let through besides, and what only looks so."""

from __future__ import annotations

from collections.abc import Callable

from defects import Site, defect, harmless


def _policy(condition: str, roles: str = "anon", verb: str = "SELECT") -> str:
    """A guarded further policy of one table."""
    used = {"INSERT": f"WITH CHECK ({condition})"}.get(verb, f"USING ({condition})")
    return (
        "DROP POLICY IF EXISTS further ON public.benchmark_trials;\n"
        f"CREATE POLICY further ON public.benchmark_trials FOR {verb} TO {roles} {used};"
    )


def _definer(
    body: str, *, name: str = "peek", result: str = "bigint", schema: str = "public"
) -> str:
    return (
        f"CREATE OR REPLACE FUNCTION {schema}.{name} RETURNS {result} LANGUAGE sql SECURITY DEFINER"
        f" SET search_path = '' AS $f$ {body} $f$;"
    )


def _plpgsql(head: str, body: str) -> str:
    return f"CREATE OR REPLACE FUNCTION {head} LANGUAGE plpgsql SECURITY DEFINER AS $f$ BEGIN {body} END $f$;"


COUNT = "SELECT count(*) FROM public.benchmark_trials"
ADD = "INSERT INTO public.benchmark_trials (nct_id, title, modality) VALUES ('N', 'n', 'n')"
ROLE = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{0}') THEN CREATE ROLE {0}{1}; END IF; END $$;\n"

#: name → lines at the end of the migration
DEFECTS = {
    # -- predicates that hold for some requests, at some times, for some rows
    "policy-by-a-claim": _policy(
        "(auth.jwt() -> 'app_metadata' ->> 'level') = 'chief'", "authenticated", "UPDATE"
    ),
    "policy-by-mail": _policy(
        "(auth.jwt() ->> 'email') LIKE '%@example.org'", "authenticated", "DELETE"
    ),
    "policy-by-one-user": _policy(
        "auth.uid() = 'c2f4e6a8-1111-4222-8333-444455556666'", "authenticated", "UPDATE"
    ),
    "policy-by-a-header": _policy(
        "(current_setting('request.headers', true)::json ->> 'x-key') = 'sesame'"
    ),
    "policy-by-method": _policy("current_setting('request.method', true) = 'GET'"),
    "policy-by-path": _policy("current_setting('request.path', true) LIKE '/rest/v1/rpc/%'"),
    "policy-by-a-setting": _policy("current_setting('app.debug', true) = 'on'"),
    "policy-by-a-clock": _policy("now() > '2031-01-01'"),
    "policy-by-the-hour": _policy(
        "extract(hour FROM clock_timestamp() AT TIME ZONE 'UTC') = 3", "authenticated", "UPDATE"
    ),
    "policy-by-chance": _policy("random() < 0.0001"),
    "policy-by-rows": _policy("title = 'open to all'"),
    "policy-by-number-of-rows": _policy(
        "(SELECT count(*) > 40 FROM public.benchmark_cohorts)", "authenticated", "UPDATE"
    ),
    "policy-by-address": _policy("inet_client_addr() <<= '10.0.0.0/8'"),
    "policy-by-application": _policy("current_setting('application_name') = 'reports'"),
    "policy-by-a-function": (
        "CREATE TABLE IF NOT EXISTS public.flags (name text PRIMARY KEY);\n"
        "ALTER TABLE public.flags ENABLE ROW LEVEL SECURITY;\n"
        + _definer(
            "SELECT EXISTS (SELECT FROM public.flags WHERE name = 'open')",
            name="is_open()",
            result="boolean",
        )
        + "\n"
        + _policy("public.is_open()")
    ),
    "policy-by-a-function-that-alters-itself": (
        "CREATE OR REPLACE FUNCTION public.allowed(t text) RETURNS boolean LANGUAGE plpgsql STABLE AS "
        "$f$ BEGIN RETURN md5(t) LIKE '0000%'; END $f$;\n" + _policy("public.allowed(title)")
    ),
    "policy-for-a-role-that-anon-gets": (
        ROLE.format("auditor", "") + "GRANT auditor TO anon;\n" + _policy("true", "auditor")
    ),
    "policy-of-the-session": _policy("session_user = 'authenticator'", "authenticated", "DELETE"),
    # -- roles and settings
    "role-granted-to-anon": "GRANT service_role TO anon;",
    "role-granted-to-authenticated": "GRANT service_role TO authenticated WITH INHERIT FALSE, SET TRUE;",
    "role-that-passes-policies": ROLE.format("nightly", " LOGIN BYPASSRLS")
    + "GRANT ALL ON ALL TABLES IN SCHEMA public TO nightly;",
    "role-with-a-password": ROLE.format("reports", " LOGIN PASSWORD 'r3ports'")
    + "GRANT SELECT ON public.benchmark_trials TO reports;\n"
    + _policy("true", "reports"),
    "owner-is-authenticated": "ALTER TABLE public.benchmark_trials OWNER TO authenticated;",
    "owner-is-a-new-role": ROLE.format("keepers", "")
    + "GRANT keepers TO authenticated;\nALTER TABLE public.benchmark_trials OWNER TO keepers;",
    "setting-of-a-role": "ALTER ROLE anon SET app.debug = 'on';\n"
    + _policy("current_setting('app.debug', true) = 'on'"),
    "setting-of-anon-is-another-role": "ALTER ROLE anon SET role = 'service_role';",
    "setting-of-the-authenticator": "ALTER ROLE authenticator SET pgrst.db_schemas = 'public, auth, vault';",
    "setting-of-the-database": "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET app.debug = ''on''', current_database()); END $$;\n"
    + _policy("current_setting('app.debug', true) = 'on'"),
    "setting-of-a-path": "CREATE SCHEMA IF NOT EXISTS shadow;\nALTER ROLE authenticated SET search_path = shadow, public;",
    # -- grants
    "schema-where-anon-creates": "GRANT CREATE ON SCHEMA public TO anon;",
    "users-granted": "GRANT USAGE ON SCHEMA auth TO anon, authenticated;\nGRANT SELECT ON auth.users TO authenticated;",
    "users-columns-granted": "GRANT USAGE ON SCHEMA auth TO anon;\nGRANT SELECT (id, email) ON auth.users TO anon;",
    "default-privileges": "ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO anon;",
    "default-privileges-elsewhere": "CREATE SCHEMA IF NOT EXISTS vaulted;\nALTER DEFAULT PRIVILEGES IN SCHEMA vaulted GRANT SELECT ON TABLES TO anon;\nGRANT USAGE ON SCHEMA vaulted TO anon;",
    "grant-option": "GRANT ALL ON public.benchmark_trials TO authenticated WITH GRANT OPTION;",
    "parameter-granted": "GRANT SET ON PARAMETER session_replication_role TO anon;",
    # -- views
    "view-writes": "CREATE OR REPLACE VIEW public.open_trials AS SELECT * FROM public.benchmark_trials;\nREVOKE ALL ON public.open_trials FROM anon;",
    "view-in-another-schema": "CREATE SCHEMA IF NOT EXISTS reports;\nCREATE OR REPLACE VIEW reports.trials AS SELECT * FROM public.benchmark_trials;\nGRANT USAGE ON SCHEMA reports TO anon;\nGRANT SELECT ON reports.trials TO anon;",
    "view-over-a-view": "CREATE SCHEMA IF NOT EXISTS inner_views;\nCREATE OR REPLACE VIEW inner_views.t AS SELECT * FROM public.benchmark_trials;\nGRANT USAGE ON SCHEMA inner_views TO anon;\nGRANT SELECT ON inner_views.t TO anon;\nCREATE OR REPLACE VIEW public.t WITH (security_invoker = true) AS SELECT * FROM inner_views.t;",
    "view-reset": "CREATE OR REPLACE VIEW public.t WITH (security_invoker = true) AS SELECT * FROM public.benchmark_trials;\nALTER VIEW public.t RESET (security_invoker);",
    "view-counts": "CREATE OR REPLACE VIEW public.totals AS SELECT modality, count(*) AS n FROM public.benchmark_trials GROUP BY 1;",
    "view-by-a-claim": "CREATE OR REPLACE VIEW public.mine AS SELECT * FROM public.benchmark_trials WHERE (auth.jwt() ->> 'email') = 'chief@example.org';",
    "materialized-view": "CREATE MATERIALIZED VIEW IF NOT EXISTS public.trials_fast AS SELECT * FROM public.benchmark_trials;",
    "materialized-view-elsewhere": "CREATE SCHEMA IF NOT EXISTS fast;\nCREATE MATERIALIZED VIEW IF NOT EXISTS fast.trials AS SELECT * FROM public.benchmark_trials;\nGRANT USAGE ON SCHEMA fast TO anon;\nGRANT SELECT ON ALL TABLES IN SCHEMA fast TO anon;",
    # -- functions with their owner's rights
    "definer-through-a-helper": "CREATE SCHEMA IF NOT EXISTS hidden;\nCREATE OR REPLACE FUNCTION hidden.inner_count() RETURNS bigint LANGUAGE sql AS $$ "
    + COUNT
    + " $$;\n"
    + _definer("SELECT hidden.inner_count()", name="peek()"),
    "definer-through-a-view": "CREATE SCHEMA IF NOT EXISTS hidden;\nCREATE OR REPLACE VIEW hidden.v AS SELECT * FROM public.benchmark_trials;\n"
    + _definer("SELECT count(*) FROM hidden.v", name="peek()"),
    "definer-puts-words-together": _plpgsql(
        "public.peek(OUT n bigint)", "EXECUTE 'SELECT count(*) FROM benchmark' || '_trials' INTO n;"
    ),
    "definer-runs-what-it-is-given": _plpgsql("public.run(q text) RETURNS void", "EXECUTE q;"),
    "definer-procedure": "CREATE OR REPLACE PROCEDURE public.fill() LANGUAGE sql SECURITY DEFINER AS $$ "
    + ADD
    + " $$;",
    "definer-by-a-claim": _plpgsql(
        "public.fix() RETURNS void",
        "IF auth.jwt() ->> 'email' = 'chief@example.org' THEN DELETE FROM public.benchmark_trials; END IF;",
    ),
    "definer-by-an-argument": _plpgsql(
        "public.fix(k text) RETURNS void",
        "IF md5(k) = '5ebe2294ecd0e0f08eab7690d2a6ee69' THEN UPDATE public.benchmark_trials SET title = k; END IF;",
    ),
    "definer-elsewhere": "CREATE SCHEMA IF NOT EXISTS api;\nGRANT USAGE ON SCHEMA api TO anon;\n"
    + _definer(COUNT, name="peek()", schema="api"),
    "definer-altered-later": "CREATE OR REPLACE FUNCTION public.peek() RETURNS bigint LANGUAGE sql AS $$ "
    + COUNT
    + " $$;\nALTER FUNCTION public.peek() SECURITY DEFINER;",
    "definer-of-a-stronger-owner": _definer(COUNT, name="peek()")
    + "\nALTER FUNCTION public.peek() OWNER TO service_role;",
    "definer-returns-a-cursor": _plpgsql(
        "public.curs(OUT c refcursor)", "OPEN c FOR SELECT * FROM public.benchmark_trials;"
    ),
    "definer-by-query-to-xml": _definer(
        "SELECT query_to_xml('select * from public.benchmark_' || 'cohorts', true, true, '')",
        name="dump()",
        result="xml",
    ),
    # -- what happens beside another statement
    "trigger-of-another-table": (
        "CREATE TABLE IF NOT EXISTS public.suggestions (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), title text);\n"
        "ALTER TABLE public.suggestions ENABLE ROW LEVEL SECURITY;\n"
        "DROP POLICY IF EXISTS suggest ON public.suggestions;\n"
        "CREATE POLICY suggest ON public.suggestions FOR INSERT TO authenticated WITH CHECK (true);\n"
        + _plpgsql(
            "public.take() RETURNS trigger",
            "INSERT INTO public.benchmark_trials (nct_id, title, modality) VALUES (new.title, new.title, 'x'); RETURN new;",
        )
        + "\nCREATE OR REPLACE TRIGGER take AFTER INSERT ON public.suggestions FOR EACH ROW EXECUTE FUNCTION public.take();"
    ),
    "trigger-of-stored-files": (
        _plpgsql(
            "public.take() RETURNS trigger",
            "DELETE FROM public.benchmark_trials WHERE nct_id = new.name; RETURN new;",
        )
        + "\nCREATE OR REPLACE TRIGGER take AFTER INSERT ON storage.objects FOR EACH ROW EXECUTE FUNCTION public.take();\n"
        "DROP POLICY IF EXISTS up ON storage.objects;\nCREATE POLICY up ON storage.objects FOR INSERT TO authenticated WITH CHECK (true);"
    ),
    "trigger-opens-later": (
        _plpgsql(
            "public.later() RETURNS trigger",
            "EXECUTE 'ALTER TABLE public.benchmark_trials DISABLE ROW LEVEL SECURITY'; RETURN NULL;",
        )
        + "\nCREATE OR REPLACE TRIGGER later AFTER INSERT ON public.benchmark_cohorts FOR EACH STATEMENT EXECUTE FUNCTION public.later();"
    ),
    "trigger-copies-out": (
        "CREATE SCHEMA IF NOT EXISTS mirror;\nCREATE TABLE IF NOT EXISTS mirror.trials (LIKE public.benchmark_trials);\n"
        "GRANT USAGE ON SCHEMA mirror TO anon;\nGRANT SELECT ON mirror.trials TO anon;\n"
        + _plpgsql(
            "mirror.copy() RETURNS trigger", "INSERT INTO mirror.trials SELECT (new).*; RETURN new;"
        )
        + "\nCREATE OR REPLACE TRIGGER copy AFTER INSERT ON public.benchmark_trials FOR EACH ROW EXECUTE FUNCTION mirror.copy();"
    ),
    "rule-of-another-table": (
        "CREATE TABLE IF NOT EXISTS public.clicks (id uuid PRIMARY KEY DEFAULT gen_random_uuid());\n"
        "ALTER TABLE public.clicks ENABLE ROW LEVEL SECURITY;\nDROP POLICY IF EXISTS c ON public.clicks;\n"
        "CREATE POLICY c ON public.clicks FOR INSERT TO authenticated WITH CHECK (true);\n"
        "CREATE OR REPLACE RULE also AS ON INSERT TO public.clicks DO ALSO DELETE FROM public.benchmark_trials;"
    ),
    "event-trigger": (
        "CREATE OR REPLACE FUNCTION public.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $f$ BEGIN "
        "EXECUTE 'ALTER TABLE public.benchmark_trials DISABLE ROW LEVEL SECURITY'; END $f$;\n"
        "DROP EVENT TRIGGER IF EXISTS on_ddl;\nCREATE EVENT TRIGGER on_ddl ON ddl_command_end EXECUTE FUNCTION public.on_ddl();"
    ),
    "job-opens-later": "CREATE EXTENSION IF NOT EXISTS pg_cron;\nSELECT cron.schedule('open', '0 3 * * *', 'ALTER TABLE public.benchmark_trials DISABLE ROW LEVEL SECURITY');",
    # -- other relations
    "child-table": "CREATE TABLE IF NOT EXISTS public.benchmark_trials_old () INHERITS (public.benchmark_trials);",
    "table-beside-with-an-open-policy": "CREATE TABLE IF NOT EXISTS public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), body text);\nALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;\nDROP POLICY IF EXISTS n ON public.notes;\nCREATE POLICY n ON public.notes FOR ALL TO anon USING (true) WITH CHECK (true);",
    "table-beside-in-another-schema": "CREATE SCHEMA IF NOT EXISTS staging;\nCREATE TABLE IF NOT EXISTS staging.trials (LIKE public.benchmark_trials INCLUDING ALL);\nGRANT USAGE ON SCHEMA staging TO anon;\nGRANT ALL ON staging.trials TO anon;",
    "publication": "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'out') THEN CREATE PUBLICATION out FOR TABLE public.benchmark_trials; END IF; END $$;",
    "asking-user-replaced": "CREATE OR REPLACE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $$ SELECT 'service_role'::text $$;",
    "policy-on-users": "DROP POLICY IF EXISTS u ON auth.users;\nCREATE POLICY u ON auth.users FOR SELECT TO authenticated USING (true);\nGRANT SELECT ON auth.users TO authenticated;",
    "policy-on-stored-files": "DROP POLICY IF EXISTS f ON storage.objects;\nCREATE POLICY f ON storage.objects FOR ALL TO anon USING (true) WITH CHECK (true);",
    "bucket-public": "INSERT INTO storage.buckets (id, name, public) VALUES ('exports', 'exports', true) ON CONFLICT (id) DO UPDATE SET public = true;",
    "foreign-table": "CREATE EXTENSION IF NOT EXISTS file_fdw;\nCREATE SERVER IF NOT EXISTS files FOREIGN DATA WRAPPER file_fdw;\nCREATE FOREIGN TABLE IF NOT EXISTS public.passwd (line text) SERVER files OPTIONS (filename '/etc/passwd');",
}

#: name → lines at the end of the migration that let nobody do more
HARMLESS = {
    "policy-that-lets-nobody": _policy("false", "anon, authenticated", "DELETE"),
    "policy-restrictive": "DROP POLICY IF EXISTS only_small ON public.benchmark_trials;\nCREATE POLICY only_small ON public.benchmark_trials AS RESTRICTIVE FOR SELECT TO anon USING (false);",
    "policy-twice": _policy("true", "authenticated"),
    "policy-of-a-signed-in-user": _policy("auth.role() = 'authenticated'", "authenticated"),
    "policy-for-service-role-by-claim": _policy("auth.role() = 'service_role'", "service_role", "UPDATE"),
    "view-with-the-askers-rights": "CREATE OR REPLACE VIEW public.recent WITH (security_invoker = true) AS SELECT nct_id, title FROM public.benchmark_trials;\nREVOKE ALL ON public.recent FROM anon;\nREVOKE INSERT, UPDATE, DELETE ON public.recent FROM authenticated;",
    "forced": "ALTER TABLE public.benchmark_trials FORCE ROW LEVEL SECURITY;",
    "function-with-the-askers-rights": "CREATE OR REPLACE FUNCTION public.how_many() RETURNS bigint LANGUAGE sql STABLE SET search_path = '' AS $$ " + COUNT + " $$;",
    "definer-that-nobody-may-call": _definer(COUNT, name="peek()") + "\nREVOKE ALL ON FUNCTION public.peek() FROM PUBLIC, anon, authenticated;",
    "grant-that-stands-anyhow": "GRANT SELECT ON public.benchmark_trials TO authenticated;\nGRANT ALL ON public.benchmark_trials TO service_role;\nGRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;",
    "schema-nobody-may-use": "CREATE SCHEMA IF NOT EXISTS private;\nREVOKE ALL ON SCHEMA private FROM PUBLIC;",
    "realtime": "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_publication_tables WHERE pubname = 'supabase_realtime' AND tablename = 'benchmark_trials') THEN ALTER PUBLICATION supabase_realtime ADD TABLE public.benchmark_trials; END IF; END $$;",
    "comments-on-policies": "COMMENT ON POLICY benchmark_trials_read ON public.benchmark_trials IS 'GRANT ALL TO anon';\nCREATE INDEX IF NOT EXISTS trials_title ON public.benchmark_trials (title);",
}  # fmt: skip


def _added(sql: str) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        site.append(site.migration, f"\n{sql}\n")

    return change


#: a function of a row whose answer nothing shows: only unproven
_THROUGH = ("policy-by-a-function-that-alters-itself",)

for _name, _sql in DEFECTS.items():
    defect(f"access.{_name}", gets_through=_name in _THROUGH)(_added(_sql))
for _name, _sql in HARMLESS.items():
    harmless(f"access.{_name}")(_added(_sql))
