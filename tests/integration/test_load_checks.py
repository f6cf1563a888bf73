"""A load script is judged by what the server saw, whatever the script says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.gates.checks import Result, Services
from tests.claims import check_of, judge, lay

LOADER = """\
import argparse, json, os
import psycopg
parser = argparse.ArgumentParser()
for flag in ("--init", "--small", "--dry-run", "--json"):
    parser.add_argument(flag, action="store_true")
parser.add_argument("--target")
given = parser.parse_args()
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    if given.init:
        connection.execute("CREATE TABLE price (day int PRIMARY KEY, amount int)")
        connection.execute("ALTER TABLE price ENABLE ROW LEVEL SECURITY")
    for day in range(3):
        connection.execute(
            "INSERT INTO price VALUES (%s, 1) ON CONFLICT DO NOTHING", [day])
    # more
    if given.dry_run:
        connection.rollback()
if given.json:
    print(json.dumps({"tables": {"price": {"rows": 3, "loaded": 3, "failed": 0}}}))
"""
EVERY = "`load.py` loads every row"
TWICE = "A second run of `load.py` changes 0 rows"
RLS = "`load.py` leaves row level security on"
DRY = "A dry run of `load.py` writes nothing"


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


def tried(root: Path, services: Services, statement: str, *change: str) -> Result:
    lay(root, {"load.py": LOADER.replace(*change) if change else LOADER})
    return judge(root, statement, services=services)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        (EVERY, "loads.every-row"),
        ("`load.py` loads 100 % of its rows", "loads.every-row"),
        ("`load.py` completes with a 100% success rate", "loads.every-row"),
        (TWICE, "loads.twice"),
        ("a reload with `load.py` changes nothing", "loads.twice"),
        (RLS, "loads.rls"),
        ("Row level security stays on while `load.py` runs", "loads.rls"),
        ("`load.py` never switches off RLS", "loads.rls"),
        (DRY, "loads.dry-run"),
        ("`load.py` with `--dry-run` writes nothing", "loads.dry-run"),
    ],
)
def test_these_wordings_are_taken(statement: str, name: str) -> None:
    assert check_of(statement) == name


@pytest.mark.parametrize("statement", [EVERY, TWICE, RLS, DRY])
def test_a_good_loader_is_proven(tmp_path: Path, services: Services, statement: str) -> None:
    result = tried(tmp_path, services, statement)
    assert result.verdict == "proven", result.detail
    assert result.evidence["rows"] == {"price": 3}


OFF_AND_ON = """
    connection.execute("ALTER TABLE price DISABLE ROW LEVEL SECURITY")
    connection.execute("ALTER TABLE price ENABLE ROW LEVEL SECURITY")
"""


@pytest.mark.parametrize(
    ("statement", "change", "said"),
    [
        # it says three, and the table holds two
        (EVERY, ("range(3)", "range(2)"), "price: 3 rows generated, 2 there"),
        (EVERY, ('"failed": 0', '"failed": 1'), "price"),
        (EVERY, ("# more", "raise SystemExit(3)"), "exit 3"),
        (TWICE, ("DO NOTHING", "(day) DO UPDATE SET amount = 1"), "3 rows of price"),
        (TWICE, ("(%s, 1) ON CONFLICT DO NOTHING", "(%s + (random() * 1e9)::int, 1)"), "price"),
        (TWICE, ("# more", "given.init or connection.execute('DELETE FROM price')"), "price"),
        (RLS, ("\n    # more\n", OFF_AND_ON), "it was switched off for public.price"),
        (RLS, ("ENABLE", "DISABLE"), "price has it off"),
        (DRY, ("connection.rollback()", "connection.execute('DELETE FROM price')"), "price"),
    ],
)
def test_a_bad_one_is_refuted_by_what_the_server_saw(
    tmp_path: Path, services: Services, statement: str, change: tuple[str, str], said: str
) -> None:
    result = tried(tmp_path, services, statement, *change)
    assert result.verdict == "failed", result.detail
    assert said in result.detail


def test_a_loader_that_knows_no_dry_run_has_none(tmp_path: Path, services: Services) -> None:
    text = LOADER.replace('"--dry-run", ', "").replace("given.dry_run", "False")
    result = judge(lay(tmp_path, {"load.py": text}), DRY, services=services)
    assert (result.verdict, "takes no --dry-run" in result.detail) == ("failed", True)


def test_a_loader_without_figures_or_without_a_target_proves_nothing(
    tmp_path: Path, services: Services
) -> None:
    mute = tried(tmp_path, services, EVERY, "if given.json:", "if False:")
    assert (mute.verdict, "no --json" in mute.detail) == ("unproven", True)
    bound = tried(tmp_path, services, TWICE, '"--target"', '"--to"')
    assert (bound.verdict, "has no --target" in bound.detail) == ("unproven", True)
    assert judge(tmp_path, "`other.py` loads every row").verdict == "failed"
