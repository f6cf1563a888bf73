"""The ranges of dependencies, and the constraints that tests and `make run` use, agree."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.utils import canonicalize_name

from constraints.write import RUN, declared, locked, lowest, read

ROOT = Path(__file__).parents[2]


def test_every_dependency_has_both_ends() -> None:
    for requirement in declared():
        if not re.match(r"types-|(pandas|scipy)-stubs", requirement.name):
            operators = sorted(bound.operator for bound in requirement.specifier)
            assert operators == ["<", ">="], requirement


def test_the_lowest_versions_are_those_of_the_ranges() -> None:
    assert read("lowest.txt") == lowest(), "run constraints/write.py"


def test_the_lock_is_in_the_ranges() -> None:
    pins = read("locked.txt")
    for requirement in declared(RUN):
        name = canonicalize_name(requirement.name)
        assert pins[name] in requirement.specifier, f"{name}: run constraints/write.py"
    # all that these need as well, where it is not another version that is installed
    here = locked()
    if all(here[name] == version for name, version in pins.items() if name in here):
        assert here.keys() <= pins.keys()


def test_make_run_installs_what_is_locked() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"--constraint constraints/locked.txt --editable '.[{','.join(RUN)}]'" in text
