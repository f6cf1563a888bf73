"""“Users can only see their own rows”: two users with rows of their own, on read and write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.workflow import Deliverable, Stage, Workflow
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result, Services, Verdict
from orchestrator.gates.loading import load_checks

PATH = "db/001_kitchen.sql"
BINDER = Binder(load_checks())
SEE = "Users can only see their own rows"
ACCESS = "Users can only access their own rows"
MANAGE = "Users can manage their own rows"
KEY = "id uuid PRIMARY KEY DEFAULT gen_random_uuid()"
PANS = (
    f"CREATE TABLE public.pans ({KEY}, {{column}}, label text, shared boolean DEFAULT false);\n"
    "ALTER TABLE public.pans ENABLE ROW LEVEL SECURITY;\n"
)
OWNED = PANS.format(column="owner uuid NOT NULL REFERENCES auth.users")
MINE = "owner = auth.uid()"
CREW = (
    f"CREATE TABLE public.crews ({KEY}, title text);\n"
    "ALTER TABLE public.crews ENABLE ROW LEVEL SECURITY;\n"
    "CREATE TABLE public.hands (crew_id uuid REFERENCES public.crews,"
    " user_id uuid REFERENCES auth.users, PRIMARY KEY (crew_id, user_id));\n"
    "ALTER TABLE public.hands ENABLE ROW LEVEL SECURITY;\n"
    "CREATE POLICY h ON public.hands FOR SELECT TO authenticated USING (user_id = auth.uid());\n"
    f"CREATE TABLE public.pots ({KEY}, crew_id uuid NOT NULL REFERENCES public.crews, label text);"
    "ALTER TABLE public.pots ENABLE ROW LEVEL SECURITY;\n"
)
ASKED = (
    "CREATE FUNCTION public.in_crew(wanted uuid) RETURNS boolean LANGUAGE sql STABLE"
    " SECURITY DEFINER AS $$ SELECT EXISTS (SELECT FROM public.hands h"
    " WHERE h.crew_id = wanted AND h.user_id = auth.uid()) $$;\n"
)
FILES = (
    "INSERT INTO storage.buckets (id, name) VALUES ('pics', 'pics') ON CONFLICT DO NOTHING;\n"
    "CREATE POLICY f ON storage.objects FOR ALL TO authenticated USING (bucket_id = 'pics' AND "
)


def policy(table: str, verb: str, using: str, check: str = "") -> str:
    checked = f" WITH CHECK ({check})" if check else ""
    used = f" USING ({using})" if using else ""
    return (
        f"CREATE POLICY {table}_{verb} ON public.{table} FOR {verb} TO authenticated"
        f"{used}{checked};\n"
    )


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


def judge(root: Path, sql: str, statement: str, services: Services) -> Result:
    (root / "db").mkdir(exist_ok=True)
    (root / PATH).write_text(sql, encoding="utf-8")
    stage = Stage(1, "SOOP", "Tables", 1, deliverables=(Deliverable(PATH, "write", 1),))
    workflow = Workflow(root / "w.md", "", "", "", (stage,))
    context = Context(root=root, workflow=workflow, stage=stage, services=services)
    (binding,) = BINDER.bind(statement)
    assert binding.check is not None, binding.problem
    return binding.check.function(context, **binding.arguments)


P, F, U = Verdict.PROVEN, Verdict.FAILED, Verdict.UNPROVEN
SEEN = OWNED + policy("pans", "SELECT", MINE)
CASES = [
    # a column that is the user
    (OWNED + policy("pans", "ALL", MINE), P, P, P),
    (SEEN, P, P, F),
    (SEEN + policy("pans", "INSERT", "", "true"), P, F, F),
    (SEEN + policy("pans", "UPDATE", "true"), P, F, F),
    (SEEN + policy("pans", "UPDATE", MINE, "true"), P, F, F),
    # without WHERE, a change asks no policy for reading: it makes all rows one's own
    (SEEN + policy("pans", "UPDATE", "true", MINE), P, F, F),
    (SEEN + policy("pans", "DELETE", "true"), P, F, F),
    # users write their own user_metadata
    (
        OWNED + policy("pans", "ALL", "owner = (auth.jwt() -> 'user_metadata' ->> 'uid')::uuid"),
        F,
        F,
        U,
    ),
    (
        OWNED + policy("pans", "ALL", "owner = (auth.jwt() -> 'app_metadata' ->> 'uid')::uuid"),
        P,
        P,
        P,
    ),
    # a row without an owner is nobody's own
    (
        PANS.format(column="owner uuid") + policy("pans", "ALL", f"{MINE} OR owner IS NULL"),
        U,
        U,
        P,
    ),
    (PANS.format(column="owner uuid") + policy("pans", "ALL", MINE), P, P, P),
    (OWNED + policy("pans", "ALL", "true"), F, F, U),
    (OWNED + policy("pans", "ALL", f"{MINE} OR shared"), F, F, U),
    (OWNED, F, F, F),
    (OWNED.replace("ALTER TABLE public.pans ENABLE ROW LEVEL SECURITY;", ""), F, F, U),
    (OWNED + policy("pans", "ALL", "auth.uid() IS NOT NULL"), F, F, U),
    (
        PANS.format(column="created_by uuid NOT NULL DEFAULT auth.uid()")
        + policy("pans", "ALL", "created_by = (SELECT auth.uid())"),
        P,
        P,
        P,
    ),
    (
        PANS.format(column="mail text NOT NULL")
        + policy("pans", "ALL", "mail = (auth.jwt() ->> 'email')"),
        P,
        P,
        P,
    ),
    # a column that nothing but its name calls the owner
    (PANS.format(column="user_id uuid") + policy("pans", "ALL", "true"), F, F, U),
    (
        PANS.format(column="created_by text NOT NULL") + policy("pans", "ALL", "true"),
        F,
        F,
        U,
    ),
    # a table beside it that no user is to reach
    (
        OWNED
        + policy("pans", "ALL", MINE)
        + "CREATE TABLE public.log (id bigserial PRIMARY KEY, pan_id uuid, at timestamptz);\n"
        "ALTER TABLE public.log ENABLE ROW LEVEL SECURITY;\n",
        P,
        P,
        P,
    ),
    # a tenant of the request's claims
    (
        PANS.format(column="tenant_id uuid NOT NULL")
        + policy("pans", "ALL", "tenant_id = (auth.jwt() -> 'app_metadata' ->> 'tenant_id')::uuid"),
        U,
        U,
        P,
    ),
    # a path that begins with the user
    (
        PANS.format(column="path text NOT NULL")
        + policy("pans", "ALL", "split_part(path, '/', 1) = auth.uid()::text"),
        P,
        P,
        P,
    ),
    (FILES + "(storage.foldername(name))[1] = (SELECT auth.uid())::text);", P, P, P),
    (FILES + "auth.uid() IS NOT NULL);", F, F, U),
    # an error of the server is reported, and proves nothing
    (OWNED + policy("pans", "ALL", "EXISTS (SELECT FROM public.pans p)"), U, U, U),
]


@pytest.mark.parametrize(("sql", "see", "access", "manage"), CASES)
def test_each_user_reaches_own_rows_and_no_others(
    sql: str, see: Verdict, access: Verdict, manage: Verdict, tmp_path: Path, services: Services
) -> None:
    for statement, verdict in ((SEE, see), (ACCESS, access), (MANAGE, manage)):
        result = judge(tmp_path, sql, statement, services)
        assert result.verdict is verdict, (statement, result.detail)


@pytest.mark.parametrize(
    ("using", "setup", "verdict"),
    [
        (
            "crew_id IN (SELECT h.crew_id FROM public.hands h WHERE h.user_id = auth.uid())",
            "",
            P,
        ),
        ("public.in_crew(crew_id)", ASKED, P),
        ("EXISTS (SELECT FROM public.hands h WHERE h.user_id = auth.uid())", "", F),
        ("true", "", F),
    ],
)
def test_rows_of_a_team_are_kept_from_other_teams(
    using: str, setup: str, verdict: Verdict, tmp_path: Path, services: Services
) -> None:
    sql = CREW + setup + policy("pots", "ALL", using)
    # a user's own are those of that user alone
    alone = U if verdict is P else verdict
    for statement, expected in (
        ("Members can only read their team's `pots`", verdict),
        ("No user can delete another user's pots", alone),
        ("Users can only manage their own pots", alone),
    ):
        result = judge(tmp_path, sql, statement, services)
        assert result.verdict is expected, (statement, result.detail)


OF_CREW = "crew_id IN (SELECT h.crew_id FROM public.hands h WHERE h.user_id = auth.uid())"
PROFILES = (
    "CREATE TABLE public.people (id uuid PRIMARY KEY REFERENCES auth.users, team_id uuid);\n"
    "ALTER TABLE public.people ENABLE ROW LEVEL SECURITY;\n"
    "CREATE POLICY p ON public.people FOR SELECT TO authenticated USING (id = auth.uid());\n"
)
OF_TEAM = "team_id = (SELECT p.team_id FROM public.people p WHERE p.id = auth.uid())"


@pytest.mark.parametrize(
    ("setup", "column", "using", "verdict"),
    [
        (CREW, "crew_id uuid REFERENCES public.crews", OF_CREW, F),
        (CREW, "crew_id uuid REFERENCES public.crews", f"user_id = auth.uid() OR {OF_CREW}", F),
        (CREW, "crew_id uuid REFERENCES public.crews", "user_id = auth.uid()", P),
        (CREW, "crew_id uuid REFERENCES public.crews", f"user_id = auth.uid() AND {OF_CREW}", P),
        (PROFILES, "team_id uuid", OF_TEAM, F),
        (PROFILES, "team_id uuid", f"user_id = auth.uid() AND {OF_TEAM}", P),
    ],
)
def test_own_rows_are_kept_from_team_mates_too(
    setup: str, column: str, using: str, verdict: Verdict, tmp_path: Path, services: Services
) -> None:
    notes = (
        f"CREATE TABLE public.notes ({KEY}, user_id uuid NOT NULL REFERENCES auth.users,"
        f" {column}, body text, tags text[]);\n"
        "ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;\n"
    )
    sql = setup + notes + policy("notes", "SELECT", using)
    for statement in ("Users can only see their own `notes`", "`notes` are private to their owner"):
        result = judge(tmp_path, sql, statement, services)
        assert result.verdict is verdict, (statement, result.detail)
    result = judge(tmp_path, sql, "Users can only see their team's `notes`", services)
    assert result.verdict is P, result.detail


def test_a_table_of_nobodys_rows_is_asked_about(tmp_path: Path, services: Services) -> None:
    common = (
        "CREATE TABLE public.kinds (id serial PRIMARY KEY, label text);\n"
        "ALTER TABLE public.kinds ENABLE ROW LEVEL SECURITY;\n" + policy("kinds", "SELECT", "true")
    )
    sql = OWNED + policy("pans", "ALL", MINE) + common
    result = judge(tmp_path, sql, SEE, services)
    assert result.verdict is U
    assert "kinds says whose a row is" in result.detail
    assert judge(tmp_path, sql, f"{SEE} in `pans`", services).verdict is P
    assert judge(tmp_path, sql, f"{SEE} in `kinds`", services).verdict is F
    assert judge(tmp_path, sql, f"{SEE} in `lids`", services).verdict is U


def test_views_and_functions_beside_the_policies_are_told(
    tmp_path: Path, services: Services
) -> None:
    view = "CREATE VIEW public.all_pans AS SELECT * FROM public.pans;\n"
    lent = (
        "CREATE FUNCTION public.pans_of_all() RETURNS SETOF public.pans LANGUAGE sql"
        " SECURITY DEFINER AS $$ SELECT * FROM public.pans $$;\n"
    )
    for more, word in ((view, "all_pans"), (lent, "pans_of_all")):
        for statement in (SEE, f"{SEE} in `pans`", "Users can only see their own pans"):
            sql = OWNED + policy("pans", "ALL", MINE) + more
            result = judge(tmp_path, sql, statement, services)
            assert result.verdict is U, statement
            assert word in result.detail


def test_a_view_of_other_rows_is_no_door_to_those_that_are_named(
    tmp_path: Path, services: Services
) -> None:
    sql = (
        OWNED
        + policy("pans", "ALL", MINE)
        + (
            "CREATE TABLE public.kinds (id serial PRIMARY KEY, label text);\n"
            "ALTER TABLE public.kinds ENABLE ROW LEVEL SECURITY;\n"
            "CREATE VIEW public.all_kinds AS SELECT * FROM public.kinds;\n"
            "CREATE FUNCTION public.kinds_of_all() RETURNS SETOF public.kinds LANGUAGE sql"
            " SECURITY DEFINER AS $$ SELECT * FROM public.kinds $$;\n"
        )
    )
    assert judge(tmp_path, sql, f"{SEE} in `pans`", services).verdict is P


@pytest.mark.parametrize("words", ["pan", "Pans", "pan rows"])
def test_a_table_is_known_in_either_number(words: str, tmp_path: Path, services: Services) -> None:
    sql = OWNED + policy("pans", "ALL", MINE)
    assert judge(tmp_path, sql, f"Users can only see their own {words}", services).verdict is P


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("A user cannot read another user's rows", "sql.others-rows"),
        ("Only the owner can read `pans`", "sql.own-rows-only"),
        ("RLS policies prevent cross-tenant access", "sql.rows-apart"),
        ("Each user sees only their own rows", "sql.own-rows-only"),
        ("Users may not read rows of other users", "sql.others-rows"),
        ("Users must not be able to see other users' data", "sql.others-rows"),
        ("Row level security ensures users only see their own data", "sql.own-rows-only"),
        ("`pans` can only be read by its owner", "sql.own-rows-only"),
        ("Rows are private to their owner", "sql.rows-apart"),
        ("RLS restricts rows to their owner", "sql.rows-apart"),
        ("Users are limited to their own rows", "sql.rows-apart"),
        ("Users can only see, edit and delete their own pans", "sql.own-rows-only"),
        ("Nobody but the owner can read `pans`", "sql.own-rows-only"),
        ("Users cannot insert rows for other users", "sql.others-rows"),
    ],
)
def test_the_same_promise_in_other_words(
    statement: str, check: str, tmp_path: Path, services: Services
) -> None:
    (binding,) = BINDER.bind(statement)
    assert binding.check is not None, binding.problem
    assert binding.check.name == check
    good = OWNED + policy("pans", "ALL", MINE)
    assert judge(tmp_path, good, statement, services).verdict is P
    assert judge(tmp_path, OWNED + policy("pans", "ALL", "true"), statement, services).verdict is F


@pytest.mark.parametrize(
    "statement",
    ["Only admins can write", "Users can see their own and shared rows", "Users own their rows"],
)
def test_other_promises_are_not_taken_for_it(statement: str) -> None:
    (binding,) = BINDER.bind(statement)
    assert binding.check is None or not binding.check.name.startswith("sql.")
