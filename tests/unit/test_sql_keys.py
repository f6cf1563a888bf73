"""The natural key of a table: which thing a row is about (rule in `agents/sql/natural_key.py`)."""

from __future__ import annotations

import pytest

from orchestrate_agents.sql.natural_key import (
    has_natural_key,
    natural_key,
    needs_nulls_not_distinct,
)
from orchestrate_agents.sql.parse import tables_of


def key(columns: str) -> tuple[str, ...]:
    return natural_key(tables_of(f"CREATE TABLE t ({columns})")[0])


SURROGATE = "id uuid PRIMARY KEY DEFAULT gen_random_uuid()"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (f"{SURROGATE}, code text UNIQUE NOT NULL, name text NOT NULL", ("code",)),
        ("code text PRIMARY KEY, name text NOT NULL", ("code",)),
        ("isil text, weekday smallint, PRIMARY KEY (isil, weekday)", ("isil", "weekday")),
        (
            f"{SURROGATE}, station text NOT NULL, observed_on date NOT NULL, rain_mm numeric",
            ("station", "observed_on"),
        ),
        (
            f"{SURROGATE}, cohort_name text NOT NULL, instrument text NOT NULL, "
            "n_participants integer NOT NULL, mean numeric NOT NULL, notes text NOT NULL, "
            "country text, created_at timestamptz DEFAULT now()",
            ("cohort_name", "instrument"),
        ),
        (
            f"{SURROGATE}, source text NOT NULL, year integer NOT NULL, region text NOT NULL, "
            "sex text, n_episodes integer, pct_female numeric",
            ("source", "year", "region", "sex"),
        ),
        (f"{SURROGATE}, payload jsonb NOT NULL, at timestamptz DEFAULT now()", ()),
        (f"{SURROGATE}, label text", ()),
    ],
)
def test_the_rule(columns: str, expected: tuple[str, ...]) -> None:
    assert key(columns) == expected


def test_a_changed_measure_does_not_change_the_key() -> None:
    columns = f"{SURROGATE}, name text NOT NULL, score numeric NOT NULL, total_count int NOT NULL"
    assert not {"score", "total_count"} & set(key(columns))


def test_a_generated_id_alone_is_no_natural_key() -> None:
    (serial,) = tables_of("CREATE TABLE t (id bigserial PRIMARY KEY, name text NOT NULL)")
    assert not has_natural_key(serial)
    assert natural_key(serial) == ("name",)


def test_nullable_members_ask_for_nulls_not_distinct() -> None:
    (table,) = tables_of(
        f"CREATE TABLE t ({SURROGATE}, region text NOT NULL, sex text, year int NOT NULL)"
    )
    assert needs_nulls_not_distinct(table, natural_key(table))
    assert not needs_nulls_not_distinct(table, ("region", "year"))
