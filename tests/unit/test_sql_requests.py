"""Which conditions of policies hold for some requests, and which for none."""

from __future__ import annotations

import pytest

from orchestrate_agents.sql.parse import expression
from orchestrate_agents.sql.requests import never, relaxed

FUNCTIONS = {
    "mine": expression("(SELECT EXISTS (SELECT 1 FROM t WHERE t.who = auth.uid()))"),
    "open": expression("(SELECT on_ FROM flags)"),
    "dark": None,
}


@pytest.mark.parametrize(
    ("condition", "role"),
    [
        ("false", "authenticated"),
        ("owner = auth.uid()", "anon"),
        ("owner = (SELECT auth.uid())", "anon"),
        ("auth.uid() IS NOT NULL", "anon"),
        ("(auth.jwt() ->> 'email') LIKE '%@x'", "anon"),
        ("EXISTS (SELECT FROM m WHERE m.t = a.t AND m.u = auth.uid())", "anon"),
        ("team IN (SELECT t FROM m WHERE m.u = auth.uid())", "anon"),
        ("auth.uid() IN (SELECT u FROM m)", "anon"),
        ("mine()", "anon"),
        ("auth.role() = 'service_role'", "authenticated"),
        ("(auth.jwt() ->> 'role') = 'service_role'", "anon"),
        ("auth.role() IN ('a', 'b')", "anon"),
        ("a = 1 AND owner = auth.uid()", "anon"),
        ("NOT true", "authenticated"),
    ],
)
def test_what_holds_for_no_request(condition: str, role: str) -> None:
    assert never(expression(condition), role, FUNCTIONS)
    assert not relaxed(condition, role, FUNCTIONS).asks


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        "auth.role() = 'anon'",
        "auth.uid() IS NULL",
        "a = 1 OR owner = auth.uid()",
        "coalesce(auth.uid(), a) = a",
        "auth.uid() IS DISTINCT FROM owner",
        "(SELECT count(*) FROM m WHERE m.u = auth.uid()) = 0",
        "NOT EXISTS (SELECT FROM m WHERE m.u = auth.uid())",
        "open()",
        "dark()",
        "(auth.jwt() ->> 'iss') = 'x'",
    ],
)
def test_what_may_hold_for_anon(condition: str) -> None:
    assert not never(expression(condition), "anon", FUNCTIONS)


@pytest.mark.parametrize(
    ("condition", "asked"),
    [
        ("owner = auth.uid()", 0),
        ("team IN (SELECT t FROM m WHERE m.u = auth.uid())", 0),
        ("EXISTS (SELECT FROM m WHERE m.t = notes.t AND m.u = auth.uid())", 0),
        ("title = 'x' AND length(title) > 3", 0),
        ("auth.role() = 'authenticated'", 0),
        ("auth.uid() = '0e1f2a3b-0000-4000-8000-000000000000'", 1),
        ("EXISTS (SELECT FROM m WHERE m.u = auth.uid())", 1),
        ("owner = auth.uid() OR (auth.jwt() -> 'app_metadata' ->> 'x') = 'y'", 1),
        ("now() > '2030-01-01' AND current_setting('request.path', true) = '/x'", 2),
        ("random() < 0.1", 1),
        ("owner = current_setting('app.tenant', true)::uuid", 0),
        ("current_setting('app.debug', true) = 'on'", 1),
        ("title = current_setting('request.path', true)", 1),
        ("mine()", 1),
        ("dark()", 1),
    ],
)
def test_what_a_signed_in_request_can_fulfil(condition: str, asked: int) -> None:
    found = relaxed(condition, "authenticated", FUNCTIONS)
    assert len(found.asks) == asked, found
    assert ("true" in found.text) is bool(asked)
