"""Dependencies, versions, changelogs and sizes, as manifests and files have them, then and now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.claims import BINDER, check_of, committed, judge, lay

PROJECT = '[project]\nname = "shop"\nversion = "1.2.0"\ndependencies = ["requests==2.32.3"]\n'
PACKAGE = {"version": "1.2.0", "dependencies": {"react": "^19.1.0", "lodash": "4.17.21"}}


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("No new dependencies", "packages.none-new"),
        ("No new runtime dependencies are added", "packages.none-new"),
        ("No additional npm packages required", "packages.none-new"),
        ("`lodash` is removed from `package.json`", "packages.not-asked-for"),
        ("`lodash` is no longer a dependency", "packages.not-asked-for"),
        ("`httpx` is added as a dependency", "packages.asked-for"),
        ("requests is pinned to 2.32", "packages.pinned"),
        ("`react` is upgraded to 19", "packages.version"),
        ("Version bumped to 1.3.0", "release.bumped"),
        ("minor version bump", "release.bumped"),
        ("CHANGELOG updated", "release.changelog"),
        ("`CHANGELOG.md` has an entry for 1.3.0", "release.changelog"),
        ("`dist/app.js` ≤ 200 KB", "release.size"),
        ("The size of `dist/` is under 1.5 MB gzipped", "release.size"),
        ("Bundle size < 200KB", "release.size"),
    ],
)
def test_these_wordings_are_taken(statement: str, name: str) -> None:
    assert check_of(statement) == name


@pytest.mark.parametrize(
    "statement",
    [
        "No new dependencies except `zod`",
        "No new dependencies without approval",
        "At most 1 new dependency",
        "Only dev dependencies are added",
        "`requests` is not pinned",
        "`lodash` or `underscore` is removed from the dependencies",
        "Dependencies are up to date",
        "No vulnerable dependencies",
        "Version is not bumped",
        "Version bumped or tagged",
        "Changelog updated with the fix",
        "Bundle size is not larger than before",
        "`dist/app.js` grows by less than 5 kB",
    ],
)
def test_what_says_more_or_less_is_not_taken(statement: str) -> None:
    assert all(binding.check is None for binding in BINDER.bind(statement))


def start(root: Path) -> Path:
    files = {"pyproject.toml": PROJECT, "package.json": json.dumps(PACKAGE), "a.py": ""}
    return committed(root, {**files, "CHANGELOG.md": "# Changelog\n\n## 1.2.0\n\n- Old.\n"})


def test_a_dependency_is_new_that_no_manifest_asked_for(tmp_path: Path) -> None:
    start(tmp_path)
    assert judge(tmp_path, "No new dependencies").verdict == "unproven"
    lay(tmp_path, {"a.py": "A = 1\n", "requirements.txt": "Requests>=2\n# comment\n-r b.txt\n"})
    assert judge(tmp_path, "No new dependencies").verdict == "proven"
    lay(tmp_path, {"requirements-dev.txt": "requests\nPyYAML==6.0\n"})
    result = judge(tmp_path, "No new dependencies")
    assert (result.verdict, "PyYAML (requirements-dev.txt)" in result.detail) == ("failed", True)
    assert judge(tmp_path, "No new runtime dependencies").verdict == "proven"
    assert judge(tmp_path, "No new npm dependencies").verdict == "proven"
    lay(tmp_path, {"package.json": "{"})
    assert judge(tmp_path, "No new dependencies").verdict == "unproven"


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("`requests` is pinned to 2.32", "proven"),
        ("`requests` is pinned to 2.3", "failed"),
        ("`requests` is pinned", "proven"),
        ("`lodash` is pinned to 4.17.21", "proven"),
        ("`react` is pinned", "failed"),
        ("`react` is upgraded to 19", "proven"),
        ("`react` is upgraded to 20", "failed"),
        ("`httpx` is pinned to 1", "failed"),
        ("`lodash` is removed from the dependencies", "failed"),
        ("`moment` is no longer a dependency", "unproven"),
        ("`moment` is not a dependency", "proven"),
        ("`requests` is a runtime dependency", "proven"),
        ("`requests` is a dev dependency", "failed"),
        ("`lodash` is removed from `pyproject.toml`", "unproven"),
        ("`lodash` is removed from `src/a.py`", "unproven"),
    ],
)
def test_what_manifests_ask_for(tmp_path: Path, statement: str, verdict: str) -> None:
    start(tmp_path)
    result = judge(tmp_path, statement)
    assert result.verdict == verdict, result.detail


def test_what_is_removed_was_there_once(tmp_path: Path) -> None:
    start(tmp_path)
    said = "`requests` is removed from the dependencies"
    assert judge(tmp_path, said).verdict == "failed"
    lay(tmp_path, {"pyproject.toml": PROJECT.replace("requests", "httpx")})
    assert judge(tmp_path, said).verdict == "proven"
    assert judge(tmp_path, "`requests` is removed from `package.json`").verdict == "unproven"
    # committed meanwhile: git's history had it
    committed(tmp_path, {"a.py": "B = 2\n"})
    assert judge(tmp_path, said).verdict == "proven"
    result = judge(tmp_path, "The dependency on `flask` is removed")
    assert (result.verdict, "was not there" in result.detail) == ("unproven", True)


def test_versions_agree_and_rise_by_the_step_that_is_claimed(tmp_path: Path) -> None:
    start(tmp_path)
    assert judge(tmp_path, "Version is 1.2.0").verdict == "proven"
    assert judge(tmp_path, "Version bumped to 1.3.0").verdict == "failed"
    assert judge(tmp_path, "Version bumped").verdict == "unproven"
    lay(tmp_path, {"pyproject.toml": PROJECT.replace("1.2.0", "1.3.0")})
    assert judge(tmp_path, "Version bumped to 1.3.0").verdict == "failed"  # package.json differs
    assert judge(tmp_path, "Version bumped to 1.3.0 in `pyproject.toml`").verdict == "proven"
    lay(tmp_path, {"package.json": json.dumps(PACKAGE | {"version": "1.3.0"})})
    for statement in ("Version bumped to 1.3.0", "Version bumped", "Minor version bump"):
        assert judge(tmp_path, statement).verdict == "proven"
    assert judge(tmp_path, "Patch version bump").verdict == "failed"
    lay(tmp_path, {"package.json": json.dumps(PACKAGE | {"version": "1.1.0"}),
                   "pyproject.toml": PROJECT.replace("1.2.0", "1.1.0")})  # fmt: skip
    assert judge(tmp_path, "Version bumped").verdict == "failed"
    # it was so before: that is not a bump
    lay(tmp_path, {"package.json": json.dumps(PACKAGE | {"version": "1.2.0"}),
                   "pyproject.toml": PROJECT})  # fmt: skip
    assert judge(tmp_path, "Version bumped to 1.2.0").verdict == "unproven"
    assert judge(tmp_path, "Version is 1.2.0").verdict == "proven"


def test_a_changelog_is_updated_by_new_lines(tmp_path: Path) -> None:
    start(tmp_path)
    assert judge(tmp_path, "CHANGELOG updated").verdict == "unproven"
    lay(tmp_path, {"a.py": "A = 1\n"})
    assert judge(tmp_path, "CHANGELOG updated").verdict == "failed"
    assert judge(tmp_path, "The changelog has an entry for 1.3.0").verdict == "failed"
    lay(tmp_path, {"CHANGELOG.md": "# Changelog\n\n## 1.3.0\n\n- New.\n\n## 1.2.0\n\n- Old.\n"})
    assert judge(tmp_path, "CHANGELOG updated").verdict == "proven"
    assert judge(tmp_path, "The changelog has an entry for 1.3.0").verdict == "proven"
    assert judge(tmp_path, "The changelog has an entry for 1.3").verdict == "failed"


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("`dist/app.js` ≤ 2 kB", "proven"),
        ("`dist/app.js` < 2 kB", "failed"),
        ("`dist/app.js` is under 2 KiB", "proven"),
        ("`dist/app.js` is under 100 bytes gzipped", "proven"),
        ("`dist/` is at most 2 kB", "failed"),
        ("`dist/none.js` is under 2 kB", "unproven"),
        ("Bundle size < 200KB", "unproven"),
    ],
)
def test_bytes_are_counted(tmp_path: Path, statement: str, verdict: str) -> None:
    lay(tmp_path, {"dist/app.js": "a" * 2000, "dist/b.css": "b"})
    assert judge(tmp_path, statement).verdict == verdict
