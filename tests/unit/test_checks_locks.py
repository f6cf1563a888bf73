"""Lock files agree with their manifests, as far as that can be seen without network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.claims import BINDER, judge, lay

FITS = "The lock file is up to date"


def npm(asked: dict[str, str], was: dict[str, str], *held: str) -> dict[str, str]:
    packages = {"": {"dependencies": was}, **{f"node_modules/{name}": {} for name in held}}
    lock = {"lockfileVersion": 3, "packages": packages}
    return {
        "package.json": json.dumps({"dependencies": asked}),
        "package-lock.json": json.dumps(lock),
    }


@pytest.mark.parametrize(
    ("asked", "was", "held", "verdict"),
    [
        ({"react": "^19"}, {"react": "^19"}, ["react"], "proven"),
        ({}, {}, [], "proven"),
        ({"react": "^19"}, {"react": "^18"}, ["react"], "failed"),
        ({"react": "^19"}, {}, [], "failed"),
        ({}, {"react": "^19"}, ["react"], "failed"),
        ({"react": "^19"}, {"react": "^19"}, [], "failed"),
    ],
)
def test_npm(
    tmp_path: Path, asked: dict[str, str], was: dict[str, str], held: list[str], verdict: str
) -> None:
    lay(tmp_path, npm(asked, was, *held))
    for statement in (FITS, "`package-lock.json` is in sync with `package.json`"):
        found = judge(tmp_path, statement)
        assert found.verdict == verdict, found.detail


UV = """\
version = 1
requires-python = ">=3.11"

[[package]]
name = "shop"
source = { virtual = "." }

[package.metadata]
requires-dist = [{ name = "httpx", specifier = ">=0.27,<1" }]

[package.metadata.requires-dev]
dev = [{ name = "pytest", specifier = ">=8" }]

[[package]]
name = "httpx"

[[package]]
name = "pytest"
"""
PROJECT = """\
[project]
name = "shop"
requires-python = ">=3.11"
dependencies = ["httpx<1, >=0.27"]
[dependency-groups]
dev = ["pytest>=8"]
"""


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ("", "", "proven"),
        ('"httpx<1, >=0.27"', '"httpx<1, >=0.27", "rich"', "failed"),
        ('"httpx<1, >=0.27"', "", "failed"),
        (">=0.27", ">=0.28", "failed"),
        ("pytest>=8", "pytest>=9", "failed"),
        ('">=3.11"', '">=3.12"', "unproven"),
        ("[dependency-groups]", "[dependency-groups]\nall = [{include-group = 'dev'}]", "unproven"),
    ],
)
def test_uv(tmp_path: Path, old: str, new: str, verdict: str) -> None:
    lay(tmp_path, {"pyproject.toml": PROJECT.replace(old, new), "uv.lock": UV})
    found = judge(tmp_path, "uv.lock is up to date")
    assert found.verdict == verdict, found.detail


@pytest.mark.parametrize(
    ("files", "statement", "verdict"),
    [
        ({}, FITS, "unproven"),
        ({}, "`package-lock.json` is up to date", "failed"),
        ({"yarn.lock": "", "package.json": "{}"}, FITS, "unproven"),
        ({"package-lock.json": "{", "package.json": "{}"}, FITS, "unproven"),
        ({"package-lock.json": '{"dependencies": {}}', "package.json": "{}"}, FITS, "unproven"),
        ({"package-lock.json": '{"packages": {}}'}, FITS, "unproven"),
    ],
)
def test_what_cannot_be_judged(
    tmp_path: Path, files: dict[str, str], statement: str, verdict: str
) -> None:
    assert judge(lay(tmp_path, files), statement).verdict == verdict


@pytest.mark.parametrize(
    "statement",
    [
        "The lock file is not up to date",
        "The lock file is up to date or removed",
        "Dependencies are up to date",
        "The documentation is up to date",
    ],
)
def test_what_says_more_or_less_is_not_taken(statement: str) -> None:
    assert all(binding.check is None for binding in BINDER.bind(statement))
