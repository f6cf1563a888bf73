"""SQL statements are proven by meaning: each named defect fails, no harmless variation does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrate_agents.checks.sql import migration
from orchestrate_agents.sql.header import Header
from orchestrate_agents.sql.rerunnable import make_rerunnable
from orchestrator.domain.workflow import Block, Deliverable, Stage, Workflow
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result, Services, Verdict
from orchestrator.gates.loading import load_checks

LIBRARY = Path(__file__).parents[1] / "fixtures" / "sql" / "library_hours.sql"
PATH = "db/changes/011_library_hours.sql"
assert migration

IDEMPOTENT = "The migration is idempotent"
GUARDED = "Migration 011 uses `CREATE TABLE IF NOT EXISTS` (idempotent)"
RLS = "Both tables have `ENABLE ROW LEVEL SECURITY`"
READERS = "RLS policies are present and correct (SELECT only for authenticated users)"
NO_WRITE = "RLS prevents unauthenticated write | Test fails gracefully"
ADDITIVE = "No DROP, TRUNCATE, or ALTER COLUMN TYPE statements"
INDEXED = "Indexes exist on (city, weekday, season)"
VALID = f"`{PATH}` passes schema validation"
UNIQUE = "Both tables have a natural unique key"
KEY = "The libraries table has `id UUID PRIMARY KEY DEFAULT gen_random_uuid()`"
FOREIGN = "library_hours has a foreign key on isil to `libraries`"
EVERY = (
    IDEMPOTENT,
    GUARDED,
    RLS,
    READERS,
    NO_WRITE,
    ADDITIVE,
    INDEXED,
    VALID,
    UNIQUE,
    KEY,
    "Additive only",
    "Anonymous users cannot read or write",
    "Authenticated users can only read",
    "Only service_role can write",
    "`libraries` has columns isil, name and city",
    "isil is unique in libraries",
    "Migration number 011 is unique",
    "Both tables have RLS policies",
    "The migration creates `libraries` and `library_hours`",
    FOREIGN,
    "`libraries` can be read by authenticated users",
    "`libraries` can only be read by authenticated users",
    "`library_hours` cannot be read by anon",
    "No table can be written by anon",
    "`libraries.isil` is unique",
    "`library_hours.isil` references `libraries`",
    f"A second run of `{PATH}` changes nothing",
)


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


@pytest.fixture(scope="module")
def binder() -> Binder:
    return Binder([c for c in load_checks() if c.name.startswith("sql.")])


@pytest.fixture(scope="module")
def specification() -> str:
    return LIBRARY.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def good(specification: str) -> str:
    seeded = ["libraries", "library_hours"]
    return make_rerunnable(specification, header=Header("011"), seeded=seeded).text


Verify = Callable[[str, str], list[Result]]


@pytest.fixture
def verify(tmp_path: Path, services: Services, binder: Binder, specification: str) -> Verify:
    """`verify(migration, statement)`: the results of the statement's claims on that file."""
    block = Block("sql", specification, 1)
    stage = Stage(2, "SOOP", "Tables", 1, deliverables=(Deliverable(PATH, "write", 1, block),))
    workflow = Workflow(tmp_path / "w.md", "", "", "", (stage,))
    context = Context(root=tmp_path, workflow=workflow, stage=stage, services=services)

    def run(text: str, statement: str) -> list[Result]:
        file = tmp_path / PATH
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        results = []
        for binding in binder.bind(statement):
            assert binding.check is not None, binding.problem
            results.append(binding.check.function(context, **binding.arguments))
        return results

    return run


@pytest.mark.parametrize("statement", EVERY)
def test_the_good_migration_holds(statement: str, good: str, verify: Verify) -> None:
    for result in verify(good, statement):
        assert result.verdict is Verdict.PROVEN, result.detail
        assert result.subjects == (PATH,)


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("The migration matches the specification", Verdict.PROVEN),
        ("`shelf_total` exists", Verdict.UNPROVEN),
        ("The table `shelf_total` exists", Verdict.FAILED),
        ("`shelf_total` exists in migration 011", Verdict.FAILED),
    ],
)
def test_a_name_that_nothing_calls_a_table_is_not_judged_as_one(
    statement: str, verdict: Verdict, good: str, verify: Verify
) -> None:
    (result,) = verify(good, statement)
    assert result.verdict is verdict, result.detail


def test_a_migration_that_nothing_specifies_is_not_as_specified(
    good: str, tmp_path: Path, services: Services, binder: Binder
) -> None:
    file = tmp_path / PATH
    file.parent.mkdir(parents=True)
    file.write_text(good, encoding="utf-8")
    stage = Stage(2, "SOOP", "Tables", 1, deliverables=(Deliverable(PATH, "write", 1),))
    workflow = Workflow(tmp_path / "w.md", "", "", "", (stage,))
    context = Context(root=tmp_path, workflow=workflow, stage=stage, services=services)
    (bound,) = binder.bind("The schema matches the spec")
    assert bound.check is not None
    result = bound.check.function(context, **bound.arguments)
    assert result.verdict is Verdict.UNPROVEN, result.detail


def test_a_wide_word_is_not_proven_by_the_migration_alone(binder: Binder) -> None:
    for statement in ("No breaking changes", "`a` or `b` exists", "`test_shelf_total` exists"):
        assert all(bound.check is None for bound in binder.bind(statement))


READ_POLICY = """CREATE POLICY "libraries for readers" ON public.libraries FOR SELECT
      TO authenticated
      USING (auth.role() = 'authenticated');"""
END = "\nSELECT 1;\n"


def swap(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


def add(sql: str) -> Callable[[str], str]:
    return lambda text: text + "\n" + sql


DEFECTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "table without a guard": (GUARDED, swap("TABLE IF NOT EXISTS public.lib", "TABLE public.lib")),
    "index without a guard": (IDEMPOTENT, swap("INDEX IF NOT EXISTS idx_l", "INDEX idx_l")),
    "no foreign key": (FOREIGN, swap(" REFERENCES public.libraries (isil)", "")),
    "a foreign key on another column": (
        FOREIGN,
        swap("isil TEXT NOT NULL REF", "ib TEXT NOT NULL REF"),
    ),
    "a foreign key that is not in force": (
        FOREIGN,
        lambda text: (
            text.replace(" REFERENCES public.libraries (isil)", "")
            + "\nALTER TABLE library_hours ADD CONSTRAINT f FOREIGN KEY (isil)"
            " REFERENCES libraries (isil) NOT VALID;"
        ),
    ),
    "unnamed index": (IDEMPOTENT, add("CREATE INDEX ON libraries (name);")),
    "bare policy": (IDEMPOTENT, add("CREATE POLICY p ON libraries FOR SELECT USING (false);")),
    "rows twice": (
        IDEMPOTENT,
        add("INSERT INTO libraries (isil, name, city) VALUES (gen_random_uuid()::text, 'a', 'b');"),
    ),
    "rows wiped": (IDEMPOTENT, add("DELETE FROM library_hours;")),
    "no such function": (VALID, add("SELECT nothing();")),
    "does not parse": (VALID, add("CREATE TABLE (;")),
    "empty file": (VALID, lambda _text: "-- CREATE TABLE IF NOT EXISTS libraries (id uuid);\n"),
    "head of another number": (VALID, swap("Migration 011", "Migration 012")),
    "column missing": (VALID, swap("  city TEXT NOT NULL,\n", "")),
    "column type": (VALID, swap("  season TEXT NOT NULL", "  season VARCHAR(9) NOT NULL")),
    "column may be null": (VALID, swap("  city TEXT NOT NULL", "  city TEXT")),
    "default missing": (VALID, swap("TIMESTAMPTZ DEFAULT NOW()", "TIMESTAMPTZ")),
    "check missing": (VALID, swap(" CHECK (weekday BETWEEN 1 AND 7)", "")),
    "reference missing": (VALID, swap(" REFERENCES public.libraries (isil)", "")),
    "index missing": (VALID, swap("(weekday, season);", "(weekday);")),
    "index on another column": (
        INDEXED,
        swap("public.libraries (city)", "public.libraries (name)"),
    ),
    "index only in a comment": (
        INDEXED,
        swap("CREATE INDEX IF NOT EXISTS idx_lib", "-- CREATE INDEX IF NOT EXISTS idx_lib"),
    ),
    "index over part of the rows": (INDEXED, swap("(city);", "(city) WHERE city = 'x';")),
    "no uuid": (
        KEY,
        swap("id UUID PRIMARY KEY DEFAULT gen_random_uuid()", "id SERIAL PRIMARY KEY"),
    ),
    "no default": (KEY, swap(" DEFAULT gen_random_uuid()", "")),
    "not the primary key": (KEY, swap("UUID PRIMARY KEY DEFAULT", "UUID NOT NULL DEFAULT")),
    "security only in a comment": (RLS, swap("ALTER TABLE public.libraries EN", "-- EN")),
    "security only in a string": (
        RLS,
        swap(
            "ALTER TABLE public.libraries ENABLE ROW LEVEL SECURITY;",
            "SELECT 'ALTER TABLE public.libraries ENABLE ROW LEVEL SECURITY';",
        ),
    ),
    "security switched off again": (RLS, add("ALTER TABLE libraries DISABLE ROW LEVEL SECURITY;")),
    "security without effect": (
        RLS,
        swap(
            "USING (auth.role() = 'authenticated');",
            "USING (true);\nCREATE POLICY q ON public.libraries USING (true) WITH CHECK (true);",
        ),
    ),
    "security off": (NO_WRITE, swap("ALTER TABLE public.library_hours EN", "-- EN")),
    "anon reads": (
        READERS,
        swap("TO authenticated\n      USING (auth.role() = 'authenticated')", "USING (true)"),
    ),
    "policy for anon": (
        READERS,
        swap(
            "TO authenticated\n      USING (auth.role() = 'authenticated')", "TO anon USING (true)"
        ),
    ),
    "policy for all verbs": (READERS, swap("FOR SELECT\n", "FOR ALL\n")),
    "policy for another verb": (READERS, swap("FOR SELECT\n", "FOR INSERT\n")),
    "condition never true": (READERS, swap("= 'authenticated')", "= 'Authenticated')")),
    "policy missing": (READERS, swap(READ_POLICY, "NULL;")),
    "a second policy opens": (
        READERS,
        add(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_policy WHERE polname = 'w') THEN "
            "CREATE POLICY w ON libraries FOR UPDATE TO authenticated USING (true); "
            "END IF; END $$;"
        ),
    ),
    "view past the policies": (
        READERS,
        add("CREATE OR REPLACE VIEW v AS SELECT * FROM libraries;"),
    ),
    "function past the policies": (
        NO_WRITE,
        add(
            "CREATE OR REPLACE FUNCTION add_hours() RETURNS void LANGUAGE sql SECURITY DEFINER AS "
            "$$ DELETE FROM library_hours $$;"
        ),
    ),
    "function that hands rows out": (
        READERS,
        add(
            "CREATE OR REPLACE FUNCTION all_hours() RETURNS SETOF library_hours LANGUAGE sql "
            "SECURITY DEFINER AS $$ SELECT * FROM library_hours $$;"
        ),
    ),
    "readers see some rows only": (
        VALID,
        swap(READ_POLICY, READ_POLICY.replace("auth.role() = 'authenticated'", "seats > 1")),
    ),
    "table that a crash empties": (VALID, swap("CREATE TABLE IF", "CREATE UNLOGGED TABLE IF")),
    "a check that nobody specified": (
        VALID,
        add(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'n') THEN "
            "ALTER TABLE libraries ADD CONSTRAINT n CHECK (length(name) < 12); END IF; END $$;"
        ),
    ),
    "writer shut out": (READERS, add("REVOKE INSERT ON libraries FROM service_role;")),
    "drop": (ADDITIVE, add("DROP TABLE IF EXISTS old;")),
    "drop of a policy": (ADDITIVE, add('DROP POLICY IF EXISTS "x" ON libraries;')),
    "drop in a block": (ADDITIVE, add("DO $$ BEGIN DROP INDEX IF EXISTS old; END $$;")),
    "drop in a string": (
        ADDITIVE,
        add("DO $$ BEGIN EXECUTE 'DR' || 'OP TABLE IF EXISTS o'; END $$;"),
    ),
    "truncate": (ADDITIVE, add("TRUNCATE library_hours;")),
    "type change": (ADDITIVE, add("ALTER TABLE library_hours ALTER COLUMN note TYPE varchar;")),
    "rename": (
        "Additive only",
        add("DO $$ BEGIN IF false THEN ALTER TABLE libraries RENAME name TO n; END IF; END $$;"),
    ),
    "key that takes NULL twice": (
        UNIQUE,
        add("DO $$ BEGIN ALTER TABLE library_hours ALTER COLUMN season DROP NOT NULL; END $$;"),
    ),
    "no unique key": (UNIQUE, swap("CREATE UNIQUE INDEX", "CREATE INDEX")),
    "unique key over part of the rows": (
        UNIQUE,
        swap("(isil, weekday, season);", "(isil, weekday, season) WHERE season = 'x';"),
    ),
    "a key that no upsert can name": (
        UNIQUE,
        swap("isil TEXT UNIQUE NOT NULL", "isil TEXT NOT NULL UNIQUE DEFERRABLE"),
    ),
    "a table too few": (
        RLS,
        lambda text: text.replace("Both", "") + "CREATE TABLE IF NOT EXISTS t();",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_fails_its_statement(name: str, good: str, verify: Verify) -> None:
    statement, spoil = DEFECTS[name]
    verdicts = [r.verdict for r in verify(spoil(good), statement)]
    assert Verdict.FAILED in verdicts


HARMLESS: dict[str, Callable[[str], str]] = {
    "lower case": lambda text: text.replace("CREATE TABLE", "create table"),
    "quoted names": lambda text: text.replace("public.libraries (", 'public."libraries" ('),
    "other order of columns": swap(
        "  name TEXT NOT NULL,\n  city TEXT NOT NULL,\n",
        "  city TEXT NOT NULL,\n  name TEXT NOT NULL,\n",
    ),
    "forbidden words in comments": add("-- DROP TABLE libraries; TRUNCATE; ALTER COLUMN TYPE\n"),
    "forbidden words in a remark": add("COMMENT ON TABLE libraries IS 'never DROP or TRUNCATE';"),
    "other spelling of a type": swap("TIMESTAMPTZ", "timestamp with time zone"),
    "its own transaction": lambda text: f"BEGIN;\n{text}\nCOMMIT;\n",
    "one more column": swap("  note TEXT\n", "  note TEXT,\n  source TEXT\n"),
    "a function of its caller": add(
        "CREATE OR REPLACE FUNCTION add_hours() RETURNS void LANGUAGE sql AS "
        "$$ INSERT INTO libraries (isil, name, city) VALUES ('a', 'b', 'c') $$;"
    ),
    "one more index": add("CREATE INDEX IF NOT EXISTS more ON libraries (name);"),
    "role by condition only": swap("TO authenticated\n      USING", "USING"),
    "role by grant only": swap("USING (auth.role() = 'authenticated')", "USING (true)"),
    "line ends of another system": lambda text: text.replace("\n", "\r\n"),
    "byte order mark": lambda text: "\ufeff" + text,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_variation_raises_no_alarm(name: str, good: str, verify: Verify) -> None:
    changed = HARMLESS[name](good)
    for statement in EVERY:
        for result in verify(changed, statement):
            assert result.verdict is Verdict.PROVEN, (statement, result.detail)


def test_a_number_in_a_statement_must_be_right(good: str, verify: Verify) -> None:
    (wrong,) = verify(good, "All three tables have `ENABLE ROW LEVEL SECURITY`")
    assert wrong.verdict is Verdict.FAILED
    assert "makes 2: libraries, library_hours" in wrong.detail


def test_a_statement_about_another_migration_fails(good: str, verify: Verify) -> None:
    (wrong,) = verify(good, "Migration 059 is idempotent")
    assert wrong.verdict is Verdict.FAILED
    assert PATH in wrong.detail


def test_a_missing_migration_fails(good: str, verify: Verify, tmp_path: Path) -> None:
    verify(good, IDEMPOTENT)
    (wrong,) = verify(good, "`db/changes/012_other.sql` can be run twice without error")
    assert (wrong.verdict, wrong.detail) == (
        Verdict.FAILED,
        "db/changes/012_other.sql does not exist",
    )


def test_two_migrations_with_one_number_fail(good: str, verify: Verify, tmp_path: Path) -> None:
    verify(good, IDEMPOTENT)
    (tmp_path / PATH).with_name("11_twin.sql").write_text("SELECT 1;", encoding="utf-8")
    for statement in ("The migration number is unique", VALID):
        (result,) = verify(good, statement)
        assert result.verdict is Verdict.FAILED
        assert "11_twin.sql" in result.detail


def test_an_earlier_table_of_another_shape_fails(
    specification: str, verify: Verify, tmp_path: Path
) -> None:
    plain = specification.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
    verify(plain, KEY)
    old = (tmp_path / PATH).with_name("010_old.sql")
    old.write_text(
        "CREATE TABLE libraries (id uuid, isil text UNIQUE, name text, city text);",
        encoding="utf-8",
    )
    (result,) = verify(plain, VALID)
    assert result.verdict is Verdict.FAILED
    assert "another shape" in result.detail


def test_two_possible_migrations_are_not_guessed_between(
    good: str, services: Services, tmp_path: Path
) -> None:
    named = (Deliverable("a.sql", "write", 1), Deliverable("b.sql", "write", 2))
    stage = Stage(1, "SOOP", "x", 1, deliverables=named)
    workflow = Workflow(tmp_path / "w.md", "", "", "", (stage,))
    context = Context(root=tmp_path, workflow=workflow, services=services)
    result = migration.additive(context)
    assert result.verdict is Verdict.UNPROVEN
    assert "a.sql, b.sql" in result.detail


def test_without_any_migration_nothing_is_proven(services: Services, tmp_path: Path) -> None:
    result = migration.additive(Context(root=tmp_path, services=services))
    assert result.verdict is Verdict.UNPROVEN


@pytest.mark.parametrize(
    "statement",
    [
        "`libraries` can be read by anon",
        "`libraries` cannot be read by authenticated users",
        "`libraries` can only be read by anon",
        "No table can be read by authenticated users",
        "`libraries.name` is unique",
        "`library_hours.season` references `libraries`",
        "`library_hours.isil` references `library_hours`",
    ],
)
def test_what_does_not_hold_fails_in_these_words_too(
    statement: str, good: str, verify: Verify
) -> None:
    assert verify(good, statement)[0].verdict is Verdict.FAILED


AGAIN = (
    "DROP POLICY IF EXISTS staff ON public.libraries;\n"
    "CREATE POLICY staff ON public.libraries FOR SELECT TO authenticated USING (true);\n"
)


def test_a_policy_of_its_own_table_that_is_made_anew_is_additive_but_a_drop(
    good: str, verify: Verify
) -> None:
    assert verify(good + AGAIN, "Additive only")[0].verdict is Verdict.PROVEN
    assert verify(good + AGAIN, ADDITIVE)[0].verdict is Verdict.FAILED


@pytest.mark.parametrize(
    "more",
    [
        "DROP POLICY IF EXISTS staff ON public.libraries;\n",
        AGAIN.replace("CREATE POLICY staff", "CREATE POLICY stuff"),
        "".join(reversed(AGAIN.splitlines(keepends=True))),
        AGAIN + "DROP INDEX IF EXISTS public.idx_libraries_city;\n",
        AGAIN.replace(";\n", "; DROP INDEX IF EXISTS public.idx_of_long_ago;\n", 1),
        AGAIN + "DROP POLICY staff ON public.libraries;\n",
    ],
)
def test_what_is_not_made_anew_is_taken_away(more: str, good: str, verify: Verify) -> None:
    assert verify(good + more, "Additive only")[0].verdict is Verdict.FAILED


EARLIER = (
    "CREATE TABLE visits (id int PRIMARY KEY, kind text DEFAULT 'day', seats int);\n"
    "GRANT SELECT ON visits TO authenticated;\n"
)
EACH = "DO $$ DECLARE t text; BEGIN FOR t IN SELECT 'visits' LOOP\nEXECUTE {}; END LOOP; END $$;"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("UPDATE visits SET seats = 1;", "UPDATE of rows that were there at line 1"),
        ("REVOKE SELECT ON visits FROM authenticated;", "REVOKE on what was there at line 1"),
        (
            EACH.format("format('REVOKE SELECT ON %I FROM authenticated', t)"),
            "when run: REVOKE SELECT ON public.visits FROM authenticated",
        ),
        (
            EACH.format("format('ALTER TABLE %I ALTER seats SET NOT NULL', t)"),
            "when run: SET NOT NULL on public.visits.seats",
        ),
        (
            EACH.format("format('ALTER TABLE %I ALTER seats SET DEFAULT 1', t)"),
            "when run: default of public.visits.seats: 1 in place of none",
        ),
        (
            EACH.format("lpad('UPDATE', 6) || ' ' || t || ' SET kind = kind || 1'"),
            "when run: UPDATE of 3 of 3 rows of public.visits",
        ),
        (
            "CREATE TABLE IF NOT EXISTS visits (id int, kind text, seats int);\n"
            "UPDATE visits SET seats = 1 WHERE id < 0;",
            "UPDATE of rows that were there at line 2",
        ),
    ],
)
def test_what_stood_there_is_not_overwritten_by_an_additive_migration(
    more: str, told: str, verify: Verify, tmp_path: Path
) -> None:
    verify(more, "Migration number 011 is unique")
    (tmp_path / PATH).with_name("010_visits.sql").write_text(EARLIER, encoding="utf-8")
    (result,) = verify(more, "Additive only")
    assert result.verdict is Verdict.FAILED
    assert told in result.detail


@pytest.mark.parametrize(
    "more",
    [
        "ALTER TABLE visits ADD COLUMN IF NOT EXISTS doubled int;\n"
        "UPDATE visits SET doubled = seats * 2 WHERE doubled IS NULL;\n"
        "ALTER TABLE visits ALTER doubled SET DEFAULT 0;",
        "ALTER TABLE visits ALTER seats DROP NOT NULL;",
        "GRANT SELECT ON visits TO anon;",
        "CREATE TABLE IF NOT EXISTS guests (id int PRIMARY KEY); REVOKE ALL ON guests FROM anon;",
        "INSERT INTO visits VALUES (1, 'day', 2) ON CONFLICT DO NOTHING;",
    ],
)
def test_what_only_adds_to_a_table_that_stood_there_is_additive(
    more: str, verify: Verify, tmp_path: Path
) -> None:
    verify(more, "Migration number 011 is unique")
    (tmp_path / PATH).with_name("010_visits.sql").write_text(EARLIER, encoding="utf-8")
    (result,) = verify(more, "Additive only")
    assert result.verdict is Verdict.PROVEN, result.detail


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            "CREATE OR REPLACE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.name := 'x'; RETURN NEW; END $$;\n"
            "CREATE OR REPLACE TRIGGER meddle BEFORE INSERT ON public.libraries "
            "FOR EACH ROW EXECUTE FUNCTION public.meddle();",
            "trigger public.libraries.meddle is not specified",
        ),
        (
            "CREATE UNIQUE INDEX IF NOT EXISTS one_a_day ON public.library_hours (isil);",
            "library_hours refuses rows, which is not specified: unique index on (isil)",
        ),
    ],
)
def test_what_changes_or_refuses_rows_unasked_departs_from_the_specification(
    more: str, told: str, good: str, verify: Verify
) -> None:
    (result,) = verify(good + more, VALID)
    assert result.verdict is Verdict.FAILED
    assert told in result.detail
