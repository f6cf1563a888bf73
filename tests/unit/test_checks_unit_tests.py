"""A statement about tests is proven by running them, and only if every one of them passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.claims import check_of, judge, lay

GOOD = "def test_a():\n    assert 1\n\n\ndef test_b():\n    assert 2\n"
BAD = "def test_c():\n    assert 1 == 2\n"
SKIPPED = "import pytest\n\n\n@pytest.mark.skip\ndef test_d():\n    pass\n"


@pytest.mark.parametrize(
    "statement",
    [
        "All tests in `tests/unit/` pass",
        "all new unit tests under `tests/unit/` are green",
        "The tests in `tests/a.py` and `tests/b.py` pass",
        "At least 40 tests in `tests/unit/` pass",
        "40+ unit tests in `tests/a.py` and `tests/b.py` succeed",
        "All unit tests of `tests/unit/` pass with a 100% pass rate",
        "pytest passes on `tests/unit/`",
    ],
)
def test_these_wordings_are_taken(statement: str) -> None:
    assert check_of(statement) == "tests.pass"


def test_tests_that_pass_are_counted_and_what_they_import_is_the_subject(tmp_path: Path) -> None:
    code = {"shop.py": "PRICE = 1\n", "t/test_x.py": f"import shop\n{GOOD}"}
    result = judge(lay(tmp_path, code), "All tests in `t/test_x.py` pass")
    assert (result.verdict, result.evidence["passed"]) == ("proven", 2)
    assert result.subjects == ("shop.py", "t/test_x.py")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"t/test_x.py": GOOD, "t/test_y.py": BAD}, "t/test_y.py::test_c"),
        ({"t/test_x.py": GOOD + SKIPPED}, "1 tests of t/ are skipped"),
        ({"t/test_x.py": "import nothing_of_the_kind\n"}, "do not pass"),
        ({"t/test_x.py": "import (\n"}, "do not pass"),
        ({"t/x.py": "A = 1\n"}, "did not run to their end"),
        ({"t/conftest.py": "raise SystemExit(0)\n", "t/test_x.py": GOOD}, "wanted at least 1"),
    ],
)
def test_a_failure_a_skip_an_error_and_no_test_at_all_refute_it(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    result = judge(lay(tmp_path, files), "All tests in `t/` pass")
    assert result.verdict == "failed"
    assert said in result.detail


def test_fewer_tests_than_wanted_and_a_folder_that_is_not_there_refute_it(tmp_path: Path) -> None:
    lay(tmp_path, {"t/test_x.py": GOOD})
    assert judge(tmp_path, "At least 2 tests in `t/test_x.py` pass").verdict == "proven"
    assert judge(tmp_path, "At least 3 tests in `t/test_x.py` pass").verdict == "failed"
    missing = judge(tmp_path, "All tests in `u/` pass")
    assert (missing.verdict, missing.detail) == ("failed", "u/ is missing")


def test_tests_that_do_not_end_are_stopped(tmp_path: Path) -> None:
    lay(tmp_path, {"t/test_x.py": "import time\n\n\ndef test_a():\n    time.sleep(600)\n"})
    settings = {"checks": {"timeout": 3}}
    result = judge(tmp_path, "All tests in `t/test_x.py` pass", settings=settings)
    assert result.verdict == "failed"
    assert "stopped at the limit" in result.detail


def test_the_tests_run_in_a_copy_without_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "secret")
    text = "import os\n\n\ndef test_a():\n    open('left', 'w').close()\n"
    text += "    assert 'SUPABASE_SERVICE_ROLE_KEY' not in os.environ\n"
    result = judge(lay(tmp_path, {"t/test_x.py": text}), "All tests in `t/test_x.py` pass")
    assert result.verdict == "proven"
    assert not (tmp_path / "left").exists()
