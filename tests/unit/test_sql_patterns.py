"""How statements about SQL bind: to one check, with all words accounted for (DESIGN 6.1)."""

from __future__ import annotations

import pytest

from orchestrate_agents.checks.sql.phrases import (
    Can,
    Tables,
    read_can,
    read_harms,
    read_role,
    read_tables,
    read_verbs,
)
from orchestrate_agents.sql.destructive import destructive_changes
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Check
from orchestrator.gates.loading import load_checks

CHECKS = load_checks()
SQL_CHECKS = [c for c in CHECKS if c.name.startswith("sql.")]
BINDER = Binder(CHECKS)


@pytest.mark.parametrize("check", SQL_CHECKS, ids=lambda c: c.name)
def test_the_examples_of_a_check_bind_to_it_and_to_no_other(check: Check) -> None:
    assert check.examples
    for example in check.examples:
        assert [b.check and b.check.name for b in BINDER.bind(example)] == [check.name]


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        (
            "Additive only. No drops. RLS enforced on all tables.",
            ["sql.additive", "sql.without", "sql.rls-enabled"],
        ),
        (
            "The migration is additive only and can be re-run safely",
            ["sql.additive", "sql.idempotent"],
        ),
        ("Migration 12 runs twice without error", ["sql.idempotent"]),
        ("`db/x.sql` can be applied twice", ["sql.idempotent"]),
        ("Both tables have RLS enabled", ["sql.rls-enabled"]),
        ("visits and rooms_booked have RLS enabled", [None]),
        ("`visits` and `rooms` have RLS enabled", ["sql.rls-enabled"]),
        ("Anon cannot insert, update or delete", ["sql.role-can"]),
        ("Only service_role can write to all tables", ["sql.only-role-can"]),
        ("Unauthenticated writes are refused by RLS", ["sql.rls-prevents"]),
        ("Every table has a UUID primary key", ["sql.uuid-keys"]),
        ("modality and condition are indexed", ["sql.indexes"]),
        ("Schema validation passes", ["sql.valid"]),
        ("No destructive changes", ["sql.additive"]),
        ("Never drop a table that is there", ["sql.additive"]),
    ],
)
def test_other_wordings_bind_too(statement: str, names: list[str | None]) -> None:
    assert [b.check.name if b.check else None for b in BINDER.bind(statement)] == names


@pytest.mark.parametrize(
    "statement",
    [
        "The migration is not idempotent",
        "The migration is idempotent on Tuesdays",
        "Some tables have RLS enabled",
        "RLS policies look correct",
        "No DROP statements except in tests",
        "Authenticated users can sometimes read",
    ],
)
def test_what_is_not_accounted_for_does_not_bind(statement: str) -> None:
    assert any(b.check is None for b in BINDER.bind(statement))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all three tables", Tables(count=3)),
        ("both tables", Tables(count=2)),
        ("every table", Tables()),
        ("`public.a_b` and `c`", Tables(("a_b", "c"))),
        ("the visits table", Tables(("visits",))),
        ("a_b, c_d and e_f tables", Tables(("a_b", "c_d", "e_f"))),
    ],
)
def test_tables_are_read(text: str, expected: Tables) -> None:
    assert read_tables(text) == expected


def test_roles_verbs_and_permission_are_read() -> None:
    assert read_role("Unauthenticated users") == "anon"
    assert read_role("`service_role`") == "service_role"
    assert read_verbs("insert, update or delete") == ("INSERT", "UPDATE", "DELETE")
    assert read_verbs("read and write") == ("SELECT", "INSERT", "UPDATE", "DELETE")
    assert [read_can(t) for t in ("can", "can only", "cannot", "must not")] == [
        Can.MAY,
        Can.ONLY,
        Can.MAY_NOT,
        Can.MAY_NOT,
    ]


@pytest.mark.parametrize(
    ("claim", "statement", "spared"),
    [
        ("DROP TABLE", "DROP INDEX public.a_idx", True),
        ("DROP TABLE", "ALTER TABLE public.a DROP CONSTRAINT a_key", True),
        ("DROP TABLE", "DROP TABLE public.a", False),
        ("DROP TABLE", "DROP SCHEMA old", False),
        ("DROP TABLE", "DROP EXTENSION postgis", False),
        ("DROP TABLE", "DROP TYPE public.mood CASCADE", False),
        ("DROP TABLE or DROP COLUMN", "DROP INDEX public.a_idx", True),
        ("DROP", "DROP INDEX public.a_idx", False),
    ],
)
def test_what_drops_another_kind_is_spared_unless_more_goes_with_it(
    claim: str, statement: str, spared: bool
) -> None:
    harms = read_harms(claim)
    (change,) = destructive_changes(statement + ";")
    assert harms.spare(str(change)) == spared


def test_a_long_statement_that_cascades_is_not_spared() -> None:
    views = ", ".join(f"public.a_rather_long_name_{n}" for n in range(9))
    (change,) = destructive_changes(f"DROP VIEW {views} CASCADE;")
    assert not read_harms("DROP TABLE").spare(str(change))
    (change,) = destructive_changes(f"DROP VIEW {views};")
    assert read_harms("DROP TABLE").spare(str(change))
