"""What the server raises while roles are probed is reported in its own words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrate_agents.checks.sql.subjects import Subject
from orchestrate_agents.review.access import _build_grid
from orchestrate_agents.sql.prove import prove
from orchestrator.domain.workflow import Deliverable, Stage, Workflow
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result, Services, Verdict
from orchestrator.gates.loading import load_checks
from orchestrator.review.panels import Tone

BINDER = Binder([c for c in load_checks() if c.name.startswith("sql.")])
PATH = "db/001_clubs.sql"
CLUBS = (
    "CREATE TABLE IF NOT EXISTS public.clubs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),"
    " member uuid NOT NULL, size int);\nALTER TABLE public.clubs ENABLE ROW LEVEL SECURITY;\n"
    "DROP POLICY IF EXISTS p ON public.clubs;\n"
)
ASKED = (
    "CREATE OR REPLACE FUNCTION public.asked() RETURNS boolean LANGUAGE plpgsql AS"
    " $$ BEGIN {body} END $$;\n"
)
POLICY = "CREATE POLICY p ON public.clubs FOR SELECT TO authenticated USING ({using});"
RECURSIVE = CLUBS + POLICY.format(
    using="EXISTS (SELECT FROM public.clubs c WHERE c.id = clubs.id AND c.member = auth.uid())"
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


def asked(body: str) -> str:
    return CLUBS + ASKED.format(body=body) + POLICY.format(using="public.asked()")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (RECURSIVE, 'infinite recursion detected in policy for relation "clubs" (42P17)'),
        (asked("RETURN nowhere(1);"), "function nowhere(integer) does not exist (42883)"),
        (asked("RETURN EXISTS (SELECT FROM gone);"), 'relation "gone" does not exist (42P01)'),
        (asked("RETURN public.asked();"), "stack depth limit exceeded (54001)"),
        (asked("RETURN 1 / (2 - 2) > 0;"), "division by zero (22012)"),
        (CLUBS + POLICY.format(using="member = (auth.jwt() ->> 'email')::uuid"), "(22P02)"),
    ],
)
def test_an_error_of_a_policy_fails_with_its_words(
    sql: str, words: str, tmp_path: Path, services: Services
) -> None:
    for statement in (
        "`clubs` can be read by authenticated users",
        f"`{PATH}` passes schema validation",
    ):
        result = judge(tmp_path, sql, statement, services)
        assert result.verdict is Verdict.FAILED, result.detail
        assert words in result.detail
    # an error is not a proof that the door is closed
    closed = judge(tmp_path, sql, "`clubs` cannot be read by authenticated users", services)
    assert closed.verdict is Verdict.UNPROVEN
    assert words in closed.detail


def test_a_function_that_raises_may_mean_to_refuse(tmp_path: Path, services: Services) -> None:
    sql = asked("RAISE EXCEPTION 'members only';")
    read = judge(tmp_path, sql, "`clubs` can be read by authenticated users", services)
    assert read.verdict is Verdict.FAILED
    assert "members only (P0001)" in read.detail
    valid = judge(tmp_path, sql, "The migration applies cleanly", services)
    assert valid.verdict is Verdict.PROVEN, valid.detail


def test_a_privilege_that_a_policy_lacks_is_named(tmp_path: Path, services: Services) -> None:
    sql = (
        "CREATE TABLE IF NOT EXISTS public.lists (id uuid);\n"
        "ALTER TABLE public.lists ENABLE ROW LEVEL SECURITY;\n"
        "REVOKE ALL ON public.lists FROM anon, authenticated;\n"
        + CLUBS
        + POLICY.format(using="EXISTS (SELECT FROM public.lists l WHERE l.id = member)")
    )
    result = judge(tmp_path, sql, "`clubs` can be read by authenticated users", services)
    assert result.verdict is Verdict.FAILED
    assert "permission denied for table lists" in result.detail


def test_no_cell_is_in_doubt_without_its_reason(services: Services) -> None:
    odd = CLUBS + "ALTER TABLE public.clubs ADD CHECK (size = 3 AND size = 4) NO INHERIT;"
    for sql in (RECURSIVE, odd, asked("RAISE EXCEPTION 'members only';")):
        proof = prove(sql, services)
        matrix = Subject(PATH, sql, proof).evidence["matrix"]
        assert isinstance(matrix, dict)
        cells = [v for roles in matrix.values() for verbs in roles.values() for v in verbs.values()]
        assert all(len(v) > 4 for v in cells if v.startswith(("?", "error")))
        grid, _ = _build_grid(matrix, None, ())
        doubtful = [c.text for row in grid.rows for c in row if c.tone in (Tone.DOUBT, Tone.BAD)]
        assert not [text for text in doubtful if text.rstrip() in ("?", "error:", "? not probed")]
    assert "infinite recursion" in str(
        Subject(PATH, RECURSIVE, prove(RECURSIVE, services)).evidence
    )
