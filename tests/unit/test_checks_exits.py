"""Exit codes other than 0, and what a command prints (issue: binding)."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.gates.checks import Result
from tests.claims import BINDER, check_of, judge, lay

PROGRAM = """\
import argparse, sys

parser = argparse.ArgumentParser(prog="shop")
parser.add_argument("what", choices=["cart", "odd", "crash"])
what = parser.parse_args().what
if what == "crash":
    raise ValueError("no cart")
if what == "odd":
    sys.exit("odd is not sold")
print("the cart is empty")
"""


def run(root: Path, statement: str, files: dict[str, str] | None = None) -> Result:
    lay(
        root, files or {"shop/__init__.py": "", "shop/__main__.py": PROGRAM, "fixed.sh": "exit 3\n"}
    )
    commands = [f"python -m shop {w}" for w in ("cart", "odd", "crash", "bad", "--help")]
    commands += ["sh fixed.sh", "test -e gone"]
    return judge(root, statement, settings={"checks": {"commands": commands}})


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("`python -m shop bad` exits with 2", "proven"),
        ("`python -m shop bad` exits with status code 2 and prints `invalid choice`", "proven"),
        ("`python -m shop bad` exits with code 2 and prints `sold out`", "failed"),
        ("`python -m shop bad` exits with 1", "failed"),
        ("`python -m shop bad` exits with a non-zero exit code", "proven"),
        ("Given bad input, `python -m shop bad` exits non-zero", "proven"),
        ("`python -m shop odd` exits with 1", "proven"),
        ("`python -m shop odd` fails with exit code 1 and an error message", "proven"),
        ("`python -m shop bad` prints usage and exits with code 2", "proven"),
        ("`python -m shop odd` prints usage and exits with code 1", "failed"),
        (
            "`python -m shop --help` without arguments prints usage and exits with code 2",
            "unproven",
        ),
        ("`python -m shop cart` exits with a non-zero code", "failed"),
        # the quoted command holds no bad input
        ("`python -m shop cart` exits with a non-zero code on bad input", "unproven"),
        # it ends so by accident
        ("`python -m shop crash` exits with 1", "unproven"),
        # it would end so whatever the tree holds
        ("`test -e gone` exits with 1", "unproven"),
        ("`python -m shop other` exits with 2", "unproven"),
        ("`python -m shop --help` prints usage", "proven"),
        ("`python -m shop --help` prints its help text", "proven"),
        ("`python -m shop --help` prints `Usage:`", "failed"),
        ("`python -m shop --help` prints `usage:`", "proven"),
        ("`python -m shop cart` prints usage", "failed"),
    ],
)
def test_how_a_command_ends(tmp_path: Path, statement: str, verdict: str) -> None:
    found = run(tmp_path, statement)
    assert found.verdict == verdict, found.detail


def test_a_program_that_is_not_there_does_not_refuse_bad_input(tmp_path: Path) -> None:
    found = run(tmp_path, "`python -m shop bad` exits with a non-zero code", {"a.py": ""})
    assert found.verdict == "unproven", found.detail


def test_a_fixed_end_is_a_proof_of_its_script_only(tmp_path: Path) -> None:
    found = run(tmp_path, "The exit code of `sh fixed.sh` is 3")
    assert found.verdict == "unproven", found.detail


@pytest.mark.parametrize(
    "statement",
    [
        "The CLI exits with a non-zero code on bad input",
        "`python -m shop bad` does not exit with 2",
        "`python -m shop bad` exits with 2 or 3",
        "`python -m shop bad` exits with 2 only on Linux",
        "`python -m shop` prints usage if no argument is given",
        "`python -m shop bad` exits with 300",
    ],
)
def test_what_says_more_or_less_is_not_taken(statement: str) -> None:
    assert all(binding.check is None for binding in BINDER.bind(statement))


def test_zero_keeps_its_check() -> None:
    assert check_of("`python -m shop cart` exits with 0") == "command.passes"
