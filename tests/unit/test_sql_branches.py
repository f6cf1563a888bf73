"""Which branches of a body do something that a target may do otherwise."""

from __future__ import annotations

import pytest

from orchestrate_agents.sql.branches import branches_of

ABSENT = "NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon')"


@pytest.mark.parametrize(
    ("condition", "then", "acts"),
    [
        (ABSENT, "CREATE ROLE anon NOLOGIN NOINHERIT;", False),
        (ABSENT, "CREATE ROLE anon SUPERUSER;", True),
        (ABSENT, "CREATE ROLE anon NOLOGIN IN ROLE postgres;", True),
        (ABSENT, "CREATE ROLE authenticated NOLOGIN;", True),
        (ABSENT, "CREATE ROLE anon NOLOGIN; DROP TABLE a;", True),
        (f"{ABSENT} OR true", "CREATE ROLE anon NOLOGIN;", True),
        (ABSENT.removeprefix("NOT "), "CREATE ROLE anon NOLOGIN;", True),
    ],
)
def test_only_a_powerless_role_that_every_project_has_is_passed_over(
    condition: str, then: str, acts: bool
) -> None:
    found = branches_of(f"BEGIN\n IF {condition} THEN\n {then}\n END IF;\nEND")
    assert any(branch.does for branch in found) is acts


@pytest.mark.parametrize(
    ("names", "then", "acts"),
    [
        ("'anon', 'service_role'", "format('CREATE ROLE %I NOLOGIN NOINHERIT', w)", False),
        ("'anon', 'eve'", "format('CREATE ROLE %I NOLOGIN', w)", True),
        ("'anon', current_user", "format('CREATE ROLE %I NOLOGIN', w)", True),
        ("'anon'", "format('CREATE ROLE %I LOGIN', w)", True),
        ("'anon'", "format('CREATE ROLE %I NOLOGIN', 'eve')", True),
    ],
)
def test_roles_that_a_loop_makes_are_those_of_its_list(names: str, then: str, acts: bool) -> None:
    body = (
        f"DECLARE w text; BEGIN FOREACH w IN ARRAY ARRAY[{names}] LOOP IF NOT EXISTS (SELECT FROM"
        f" pg_roles WHERE rolname = w) THEN EXECUTE {then}; END IF; END LOOP; END"
    )
    assert any(branch.does for branch in branches_of(body)) is acts
