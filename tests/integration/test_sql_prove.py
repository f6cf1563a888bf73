"""A migration is proven by running it twice, as no superuser, and by probes (DESIGN 6.6, 6.7)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrate_agents.sql.access_matrix import VERBS, Access
from orchestrate_agents.sql.compare import departures
from orchestrate_agents.sql.header import Header
from orchestrate_agents.sql.prove import Proof, prove
from orchestrate_agents.sql.rerunnable import make_rerunnable
from orchestrate_agents.sql.scratch import scratch
from orchestrate_backend.targets.supabase_setup import API_ROLES
from orchestrator.gates.checks import Services

LIBRARY = Path(__file__).parents[1] / "fixtures" / "sql" / "library_hours.sql"


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


@pytest.fixture(scope="module")
def specification() -> str:
    return LIBRARY.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def migration(specification: str) -> str:
    seeded = ["libraries", "library_hours"]
    return make_rerunnable(specification, header=Header("011"), seeded=seeded).text


def access(proof: Proof, role: str, table: str) -> str:
    """One letter per allowed verb: `SIUD`."""
    cells = [proof.cell(role, f"public.{table}", verb) for verb in VERBS]
    return "".join(c.verb[0] for c in cells if c is not None and c.access.allowed)


def test_the_specification_alone_does_not_run_twice(specification: str, services: Services) -> None:
    proof = prove(specification, services)
    assert proof.applied
    assert not proof.applied_twice
    assert proof.second is not None
    assert (proof.second.line, proof.second.code) == (4, "42P07")


def test_the_migration_runs_twice_and_leaves_the_same(migration: str, services: Services) -> None:
    proof = prove(migration, services)
    assert (proof.first, proof.second, proof.diff) == (None, None, ())
    assert (proof.rows_changed, proof.taken, proof.misshapen) == ((), (), ())
    assert proof.catalog_equal
    assert [t.name for t in proof.tables] == ["libraries", "library_hours"]


def test_only_readers_read_and_only_the_loader_writes(migration: str, services: Services) -> None:
    proof = prove(migration, services)
    for table in ("libraries", "library_hours"):
        assert [access(proof, r, table) for r in API_ROLES] == ["", "S", "SIUD"]


def test_a_proof_is_plain_data_for_receipts(migration: str, services: Services) -> None:
    data = json.loads(json.dumps(prove(migration, services).to_dict()))
    assert data["matrix"]["public.libraries"]["anon"]["SELECT"] == "no"
    assert data["tables"]["public.libraries"]["columns"]["seats"] == "integer"


def test_one_proof_is_made_for_many_checks(migration: str, services: Services) -> None:
    assert prove(migration, services) is prove(migration, services)


OPEN = (
    "CREATE TABLE t (id serial PRIMARY KEY, a text, owner uuid, open boolean, kind text, "
    "day timestamptz, price numeric);\n"
)
RLS = OPEN + "ALTER TABLE t ENABLE ROW LEVEL SECURITY;\n"


@pytest.mark.parametrize(
    ("sql", "anon", "authenticated"),
    [
        (OPEN, "SIUD", "SIUD"),
        (RLS, "", ""),
        (RLS + "CREATE POLICY p ON t USING (true);", "SIUD", "SIUD"),
        (RLS + "CREATE POLICY p ON t FOR SELECT USING (true);", "S", "S"),
        (RLS + "CREATE POLICY p ON t FOR SELECT TO anon USING (true);", "S", ""),
        (RLS + "CREATE POLICY p ON t FOR SELECT TO authenticated USING (true);", "", "S"),
        (RLS + "CREATE POLICY p ON t FOR INSERT TO authenticated WITH CHECK (true);", "", "I"),
        (RLS + "CREATE POLICY p ON t FOR UPDATE TO authenticated USING (true);", "", "U"),
        (RLS + "CREATE POLICY p ON t FOR DELETE TO authenticated USING (true);", "", "D"),
        (RLS + "CREATE POLICY p ON t FOR SELECT USING (auth.role() <> 'service_role');", "S", "S"),
        (RLS + "CREATE POLICY p ON t FOR SELECT TO anon USING (open);", "S", ""),
        (RLS + "CREATE POLICY p ON t FOR SELECT TO anon USING (NOT open);", "S", ""),
        (RLS + "CREATE POLICY p ON t FOR SELECT TO anon USING (kind = 'free');", "S", ""),
        (RLS + "CREATE POLICY p ON t TO authenticated USING (owner = auth.uid());", "", "SIUD"),
        (RLS + "CREATE POLICY p ON t FOR SELECT TO anon USING (day < '1990-01-01');", "S", ""),
        (RLS + "CREATE POLICY p ON t FOR SELECT TO anon USING (day > '2030-01-01');", "S", ""),
        (RLS + "CREATE POLICY p ON t FOR SELECT TO anon USING (day > now());", "S", ""),
        (RLS + "CREATE POLICY p ON t FOR SELECT USING (day < now() - interval '9y');", "S", "S"),
        (RLS + "CREATE POLICY p ON t FOR SELECT TO anon USING (price > 900.5);", "S", ""),
        (
            RLS + "CREATE POLICY p ON t FOR SELECT TO authenticated USING (true);\n"
            "CREATE POLICY q ON t AS RESTRICTIVE TO authenticated USING (false);",
            "",
            "",
        ),
    ],
)
def test_the_matrix_shows_what_a_policy_opens(
    sql: str, anon: str, authenticated: str, services: Services
) -> None:
    proof = prove(sql, services)
    assert proof.applied
    assert access(proof, "anon", "t") == anon
    assert access(proof, "authenticated", "t") == authenticated
    assert access(proof, "service_role", "t") == "SIUD"


@pytest.mark.parametrize(
    "content",
    [
        "lower(a) = 'vip'",
        "a ~ '^V.P$'",
        "now() > '2900-01-01'",
        "CURRENT_DATE > '2900-01-01' OR auth.role() = 'authenticated'",
        "length(a) > 40 OR auth.role() = 'authenticated'",
        "kind <> kind || a AND left(a, 1) = 'V'",
    ],
)
def test_a_policy_over_content_that_no_probe_row_has_is_not_taken_for_closed(
    content: str, services: Services
) -> None:
    proof = prove(RLS + f"CREATE POLICY p ON t FOR SELECT USING ({content});", services)
    cell = proof.cell("anon", "public.t", "SELECT")
    assert cell is not None
    clock = "now()" in content or "CURRENT_DATE" in content
    assert cell.access is (Access.REQUEST if clock else Access.UNKNOWN)
    assert "policy p" in cell.detail


@pytest.mark.parametrize(
    "asker",
    [
        "auth.uid() = owner",
        "a = current_user",
        "lower(a) = auth.jwt() ->> 'email'",
        "owner = current_setting('app.tenant', true)::uuid",
        "EXISTS (SELECT 1 FROM auth.users u WHERE u.id = auth.uid() AND owner = u.id)",
        "auth.role() = 'authenticated' AND lower(a) = 'vip'",
    ],
)
def test_a_policy_that_looks_at_who_asks_is_closed_to_anon(asker: str, services: Services) -> None:
    proof = prove(RLS + f"CREATE POLICY p ON t FOR SELECT USING ({asker});", services)
    cell = proof.cell("anon", "public.t", "SELECT")
    assert cell is not None
    assert cell.access is Access.DENIED


def test_rows_of_one_user_are_told_from_those_of_all(services: Services) -> None:
    sql = RLS + "CREATE POLICY p ON t FOR SELECT TO authenticated USING (owner = auth.uid());"
    cell = prove(sql, services).cell("authenticated", "public.t", "SELECT")
    assert cell is not None
    assert cell.access is Access.OWN


def test_a_revoked_privilege_is_not_credited_to_row_level_security(services: Services) -> None:
    cell = prove(OPEN + "REVOKE ALL ON t FROM anon;", services).cell("anon", "public.t", "INSERT")
    assert cell is not None
    assert cell.access is Access.NO_PRIVILEGE


def test_a_view_with_its_owners_rights_shows_as_an_opening(services: Services) -> None:
    leaky = prove(RLS + "CREATE VIEW v AS SELECT a FROM t;", services)
    tight = prove(RLS + "CREATE VIEW v WITH (security_invoker) AS SELECT a FROM t;", services)
    assert access(leaky, "anon", "v") == "SIUD"
    assert access(tight, "anon", "v") == ""
    assert (leaky.invoked, tight.invoked) == (frozenset(), frozenset({"public.v"}))


@pytest.mark.parametrize(
    "columns",
    [
        "a text NOT NULL CHECK (a ~ '^NCT[0-9]{8}$')",
        "a int CHECK (a BETWEEN 5 AND 9) NOT NULL, b text CHECK (b IN ('x', 'y')) NOT NULL",
        "a uuid NOT NULL REFERENCES auth.users (id)",
        "a varchar(2) UNIQUE NOT NULL, b numeric(3, 2) NOT NULL, c char(1) NOT NULL",
        "a date NOT NULL, b timestamptz NOT NULL, c time NOT NULL, d interval NOT NULL",
        "a jsonb NOT NULL, b text[] NOT NULL, c bytea NOT NULL, d inet NOT NULL, e int4range",
        'a int GENERATED ALWAYS AS (1) STORED, "odd %s ""name""" text NOT NULL',
        "a vector(3) NOT NULL",
        "a jsonb NOT NULL CHECK (jsonb_typeof(a) = 'array' AND jsonb_array_length(a) > 0)",
    ],
)
def test_tables_of_all_kinds_can_be_probed(columns: str, services: Services) -> None:
    head = "CREATE EXTENSION IF NOT EXISTS vector;\n" if "vector" in columns else ""
    proof = prove(f"{head}CREATE TABLE t (id serial PRIMARY KEY, {columns});", services)
    assert proof.applied, proof.first
    assert access(proof, "anon", "t") == "SIUD"


def test_enumerations_domains_triggers_and_children_can_be_probed(services: Services) -> None:
    proof = prove(
        """CREATE TYPE mood AS ENUM ('sad', 'glad');
        CREATE DOMAIN code AS text CHECK (value ~ '^[a-z ]+[0-9]*$');
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RAISE EXCEPTION 'no'; END $$;
        CREATE TABLE child (id serial PRIMARY KEY, parent int NOT NULL);
        CREATE TABLE parent (id serial PRIMARY KEY, m mood NOT NULL, c code NOT NULL);
        ALTER TABLE child ADD FOREIGN KEY (parent) REFERENCES parent (id);
        CREATE TRIGGER g BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION refuse();""",
        services,
    )
    assert [access(proof, "anon", t) for t in ("parent", "child")] == ["SIUD", "SIUD"]


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("CREATE TABLE t (a int);\nCREATE TABLE u (a int, b nothing);", "line 2"),
        ("SELECT 1;\nSELECT 1/0;", "line 2: division by zero"),
        ("CREATE TABLE t (a int);\nINSERT INTO t VALUES ('x');", "line 2"),
        ("COPY pg_class TO PROGRAM 'true';", "denied"),
        ("CREATE ROLE boss SUPERUSER;", "denied"),
        ("SET statement_timeout = '50ms'; SELECT pg_sleep(5);", "took too long"),
        ("SELECT 'x", "unterminated"),
    ],
)
def test_what_cannot_be_applied_says_where_and_why(sql: str, word: str, services: Services) -> None:
    proof = prove(sql, services)
    assert not proof.applied
    assert word in str(proof.first)


def test_rows_added_by_every_run_are_noticed(services: Services) -> None:
    sql = "CREATE TABLE IF NOT EXISTS t (a int);\nINSERT INTO t VALUES (1);"
    proof = prove(sql, services)
    assert proof.applied_twice
    assert proof.rows_changed == ("public.t: 4 rows became 5",)


def test_rows_that_were_not_specified_depart_from_the_specification(
    specification: str, migration: str, services: Services
) -> None:
    wanted = prove(specification, services)
    assert departures(wanted, prove(migration, services)) == ()
    row = "INSERT INTO public.libraries (isil, name, city) VALUES ('DE-1', 'x', 'y')"
    seeded = prove(f"{migration}\n{row} ON CONFLICT DO NOTHING;\n", services)
    assert departures(wanted, seeded) == ("public.libraries has 1 rows after it, specified are 0",)


_SHELVES = (
    "CREATE TABLE IF NOT EXISTS shelves (room text, n int, at timestamptz DEFAULT {});\n"
    "CREATE INDEX IF NOT EXISTS by_room ON shelves {};\n"
)


@pytest.mark.parametrize(
    ("index", "serves"),
    [
        ("(room) WHERE room IS NOT NULL", True),
        ("(room, n DESC) INCLUDE (at)", True),
        ("USING hash (room)", True),
        ("(n, room)", False),
        ("USING brin (room)", False),
        ("(room) WHERE n IS NOT NULL", False),
        ("(room) WHERE room <> 'x'", False),
        ("(lower(room))", False),
    ],
)
def test_an_index_counts_by_the_lookups_that_it_serves(
    index: str, serves: bool, services: Services
) -> None:
    wanted = prove(_SHELVES.format("now()", "(room)"), services)
    found = departures(wanted, prove(_SHELVES.format("current_timestamp", index), services))
    assert found == (() if serves else ("shelves has no index on (room)",))


def test_a_catalogue_that_grows_with_every_run_is_noticed(services: Services) -> None:
    proof = prove("CREATE TABLE IF NOT EXISTS t (a int);\nCREATE INDEX ON t (a);", services)
    assert proof.applied_twice
    assert [line.split(" ", 3)[:3] for line in proof.diff] == [["+", "index", "public.t_a_idx1"]]


def test_a_drop_that_no_word_betrays_is_seen_when_it_happens(services: Services) -> None:
    hidden = "DO $$ BEGIN EXECUTE reverse('t STSIXE FI ELBAT PORD'); END $$;"
    proof = prove(f"{hidden}\nCREATE TABLE t (a int);", services)
    assert proof.taken == ("DROP table public.t",)


def test_an_index_serves_a_column_only_where_the_planner_uses_it(services: Services) -> None:
    proof = prove(
        """CREATE TABLE t (a text, b text, c text[]);
        CREATE INDEX i ON t (a, b);
        CREATE INDEX g ON t USING gin (c);
        CREATE INDEX p ON t (b) WHERE a = 'x';
        CREATE INDEX q ON t (b COLLATE "POSIX");""",
        services,
    )
    served = {("public.t", "i", "a"), ("public.t", "i", "b"), ("public.t", "g", "c")}
    assert proof.indexed == served


def test_if_not_exists_over_another_shape_is_caught(services: Services) -> None:
    base = {"001_old.sql": "CREATE TABLE t (a text);"}
    proof = prove("CREATE TABLE IF NOT EXISTS t (a int NOT NULL, b int);", services, base=base)
    assert proof.base == "bare schema and 1 of 1 earlier migrations"
    assert proof.misshapen == (
        "public.t.a is text, not integer",
        "public.t.a may be null",
        "public.t has no column b",
    )


def test_the_guard_of_a_transformed_migration_stops_there(
    migration: str, services: Services
) -> None:
    base = {"001_old.sql": "CREATE TABLE libraries (id uuid PRIMARY KEY, name integer);"}
    proof = prove(migration, services, base=base)
    assert proof.first is not None
    assert "another shape" in proof.first.message
    assert "isil text" in proof.first.message


def test_locks_on_tables_that_stood_there_are_named(services: Services) -> None:
    base = {"001_old.sql": "CREATE TABLE old (a int);"}
    proof = prove("ALTER TABLE old ADD COLUMN IF NOT EXISTS b int;", services, base=base)
    assert ("public.old", "AccessExclusiveLock") in proof.locks
    assert [r.name for r in proof.relations] == ["old"]


def test_an_earlier_migration_that_does_not_apply_is_noted(services: Services) -> None:
    proof = prove("SELECT 1;", services, base={"001_broken.sql": "SELECT nothing;"})
    assert proof.applied_twice
    assert proof.base == "bare schema and 0 of 1 earlier migrations"
    assert "001_broken.sql does not apply here" in proof.notes[0]


def test_a_migration_with_its_own_transaction_is_run_as_written(services: Services) -> None:
    proof = prove("BEGIN;\nCREATE TABLE IF NOT EXISTS t (a int);\nCOMMIT;", services)
    assert proof.catalog_equal
    assert [t.name for t in proof.tables] == ["t"]


def test_an_extension_without_a_guard_is_not_made_twice(services: Services) -> None:
    guarded = prove("CREATE EXTENSION IF NOT EXISTS vector;", services)
    bare = prove("SELECT 1;\nCREATE EXTENSION vector;", services)
    assert guarded.applied_twice
    assert str(bare.second).startswith('line 2: extension "vector" already exists')


def test_an_extension_that_is_not_at_hand_is_noted(services: Services) -> None:
    proof = prove(
        'CREATE EXTENSION IF NOT EXISTS "uuid-ossp";\n'
        "CREATE TABLE IF NOT EXISTS t (id uuid PRIMARY KEY DEFAULT uuid_generate_v4());",
        services,
    )
    assert proof.catalog_equal
    assert proof.notes == ("extension uuid-ossp is not at hand and was left out",)


def test_nothing_is_left_on_the_disposable_server(services: Services) -> None:
    prove("CREATE TABLE gone (a int);", services)
    with scratch(services).database() as database:
        with database.connect() as owner:
            tables = owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            assert tables.fetchall() == []
        name = database.name
    query = "SELECT FROM pg_database WHERE datname = %s"
    assert scratch(services).admin.execute(query, [name]).fetchone() is None


@pytest.mark.parametrize(
    ("sql", "cell"),
    [
        (
            RLS + "CREATE POLICY p ON t FOR SELECT USING (true);\n"
            "REVOKE SELECT ON t FROM authenticated; GRANT SELECT (a) ON t TO authenticated;",
            (Access.SOME, "some columns only"),
        ),
        (
            RLS + "CREATE POLICY p ON t FOR SELECT TO authenticated USING (now() < '2900-01-01');",
            (Access.SOME, "policy p asks the clock"),
        ),
        (
            RLS + "CREATE POLICY p ON t FOR SELECT USING (now() < '2900-01-01' OR true);",
            (Access.ALLOWED, ""),
        ),
        (
            RLS + "CREATE POLICY p ON t FOR SELECT USING (now() < '2900-01-01');\n"
            "CREATE POLICY q ON t FOR SELECT USING (true);",
            (Access.ALLOWED, ""),
        ),
    ],
)
def test_what_can_be_read_in_part_or_for_a_time_is_not_all(
    sql: str, cell: tuple[Access, str], services: Services
) -> None:
    found = prove(sql, services).cell("authenticated", "public.t", "SELECT")
    assert found is not None
    assert (found.access, found.detail) == cell


def test_a_materialized_view_hands_out_its_rows_past_all_policies(services: Services) -> None:
    proof = prove(RLS + "CREATE MATERIALIZED VIEW m AS SELECT * FROM t;", services)
    assert access(proof, "anon", "m") == "S"
    assert access(proof, "anon", "t") == ""


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("CREATE TABLE t (a int);\nCREATE INDEX CONCURRENTLY ON t (a);", "leave CONCURRENTLY out"),
        ("CREATE TABLE t (a int);\nVACUUM t;", "applied as a whole"),
        ("SELECT 1;\n\\set ON_ERROR_STOP on\n", "commands of psql"),
        ("CREATE TABLE t (a int); COPY t FROM stdin;\n1\n\\.\n", "write INSERT"),
    ],
)
def test_what_only_psql_or_no_transaction_can_do_is_said_with_what_to_do(
    sql: str, words: str, services: Services
) -> None:
    first = prove(sql, services).first
    assert first is not None
    assert words in first.message
    assert first.line == 2
