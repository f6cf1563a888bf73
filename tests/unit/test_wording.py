"""The words of a statement that say what holds: labels and words of demand are not among them."""

from __future__ import annotations

import pytest

from orchestrator.gates.binding import Binder
from orchestrator.gates.loading import load_checks
from orchestrator.gates.wording import present_tense

BINDER = Binder(load_checks())


@pytest.mark.parametrize(
    ("demand", "said"),
    [
        ("The file `a.md` must exist", "The file `a.md` exists"),
        ("`a.csv` must have 3 rows", "`a.csv` has 3 rows"),
        ("`a.md` must not contain `must be`", "`a.md` does not contain `must be`"),
        ("The migration shall be idempotent", "The migration is idempotent"),
        ("`a.py` will not be changed", "`a.py` is not changed"),
        ("`x.json` needs to be valid JSON", "`x.json` is valid JSON"),
        ("`npm test` must pass", "`npm test` passes"),
        ("It will carry a date and must always try", "It carries a date and tries"),
        ("Files have to exist", "Files exists"),
        ("`a.md` must exist and not be empty", "`a.md` exists and is not empty"),
        ("`a_test.py` must exist and pass", "`a_test.py` exists and passes"),
        ("`a.md` will no longer contain `x`", "`a.md` no longer contains `x`"),
    ],
)
def test_a_demand_says_what_has_to_hold(demand: str, said: str) -> None:
    assert next(present_tense(demand)) == said


@pytest.mark.parametrize(
    "text",
    [
        "`a.md` SHOULD exist",
        "`a.md` should exist",
        "`a.md` should ideally exist",
        "`a.md` may exist",
        "It must only read",
        "`must be`",
        "`a.md` does not have to exist",
        "It doesn't need to exist",
        "mustard be",
    ],
)
def test_what_demands_nothing_or_less_is_left_as_it_is(text: str) -> None:
    assert list(present_tense(text)) in ([], [text, text])


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("The file `a.md` must exist", ["files.exists"]),
        ("The files `a.md` and `b.md` must exist", ["files.exist"]),
        ("`a.md` must exist and must contain `x`", ["files.exists", "text.contains"]),
        ("`a.md` must not exist", ["files.absent"]),
        ("`a.pdf` must exist and not be empty", ["files.exists", "files.not-empty"]),
        ("`tests/test_a.py` must exist and pass", ["files.exists", "tests.pass"]),
        ("`a.md` should ideally exist", [None]),
        ("`a.md` should exist", [None]),
        ("`a.csv` must have at least 3 rows", ["csv.rows"]),
        ("`a.csv` has exactly 3 columns", ["csv.column-count"]),
        ("`a.csv` has no duplicates", ["csv.unique-rows"]),
        ("Each row in `a.csv` must have a unique `id`", ["csv.unique-column"]),
        ("Table `old_orders` does not exist", ["sql.tables-gone"]),
        ("`a.md` does not need to exist", [None]),
        ("`a.csv` must have columns id and name", ["csv.has-columns"]),
        ("No table shall be writable by anon", ["sql.role-can"]),
    ],
)
def test_demands_bind_to_the_check_of_what_has_to_hold(
    statement: str, names: list[str | None]
) -> None:
    bound = BINDER.bind(statement)
    assert [b.check.name if b.check else None for b in bound] == names
    if len(bound) == 1:
        assert bound[0].claim == statement, "a receipt has the words of the statement"
