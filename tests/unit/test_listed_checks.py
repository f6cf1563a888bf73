"""Checks of this product are known by a list, and imported when they are asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import plugins
from orchestrator.gates import expressions, loading
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Verdict
from orchestrator.gates.proof_cache import user_proof_cache

_BINDS = """
import sys
from pathlib import Path
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context
from orchestrator.gates.loading import load_checks
checks = load_checks()
(bound,) = Binder(checks).bind("`a.txt` exists")
before = [m for m in sys.modules if m.startswith("orchestrate_agents.checks.")]
verdict = bound.check.function(Context(root=Path.cwd()), **bound.arguments).verdict
after = [m for m in sys.modules if m.startswith("orchestrate_agents.checks.")]
print(len(checks), len(before), verdict.value, len(after), bound.check.place)
"""


#: the list as it is when everything is imported
_LISTS = """
import json
from orchestrator import plugins
from orchestrator.gates import loading
plugins.load("checks")
print(json.dumps(loading._list(loading._load())))
"""


def _run(code: str, folder: Path, seed: str = "random") -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout


def test_a_list_is_the_same_in_every_process(tmp_path: Path) -> None:
    assert _run(_LISTS, tmp_path, "1") == _run(_LISTS, tmp_path, "2")


def test_a_later_process_imports_only_the_check_that_it_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    monkeypatch.setenv("ORCHESTRATE_SCRATCH", str(tmp_path / "cache"))
    first = _run(_BINDS, tmp_path).split()
    assert int(first[1]) == int(first[3]) > 50
    count, before, verdict, after, place = _run(_BINDS, tmp_path).split(maxsplit=4)
    assert (count, verdict) == (first[0], "proven")
    assert int(before) <= int(after) < 12
    assert Path(place.partition(":")[0]).name == "places.py"


def test_what_is_listed_says_the_same_as_what_is_imported() -> None:
    plugins.load("checks")
    imported = loading._load()
    kept = json.loads(json.dumps(loading._list(imported)))
    for check, listed in zip(imported, loading._from_list(kept), strict=True):
        assert (check.name, check.patterns, check.phase, check.edition, check.summary) == (
            listed.name, listed.patterns, listed.phase, listed.edition, listed.summary
        )  # fmt: skip
        assert (check.examples, check.slow, check.evidence, check.place) == (
            listed.examples, listed.slow, listed.evidence, listed.place
        )  # fmt: skip
        assert listed.function.__module__ == check.function.__module__


def test_words_are_converted_by_the_module_of_their_type(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins.load("checks")
    pattern, convert = expressions.TYPES["amount"]
    assert expressions.MODULES["amount"] == "orchestrate_agents.checks.data.subjects"
    monkeypatch.delitem(expressions.TYPES, "amount")
    monkeypatch.delitem(sys.modules, "orchestrate_agents.checks.data.subjects")
    expressions.list_type("amount", pattern, "orchestrate_agents.checks.data.subjects")
    assert repr(expressions.TYPES["amount"][1]("12")) == repr(convert("12"))


def test_no_module_of_others_is_imported_for_a_list() -> None:
    entry = loading._list([])
    entry["checks"] = [
        {
            "name": "forged", "patterns": ["it is forged"], "module": "this", "phase": "content",
            "version": 1, "summary": "", "examples": [], "slow": False, "evidence": False,
        }
    ]  # fmt: skip
    (bound,) = Binder(loading._from_list(entry)).bind("it is forged")
    assert bound.check is not None
    with pytest.raises(ImportError, match="no checks of this product"):
        bound.check.function(Context(root=Path.cwd()))
    assert "this" not in sys.modules


def test_a_process_may_register_some_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.gates import checks

    known = loading.load_checks()
    monkeypatch.setattr(checks, "REGISTERED", dict(checks.REGISTERED))

    @checks.check("the tea is listed", name="test.listed")
    def tea(_: Context) -> checks.Result:
        return checks.proven("it is")

    now = loading.load_checks()
    assert [c.name for c in now] == [*(c.name for c in known), "test.listed"]
    assert now[-1].function(Context(root=Path.cwd())).verdict is Verdict.PROVEN


def test_a_list_without_its_seal_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_SCRATCH", str(tmp_path))
    monkeypatch.setattr(loading, "_LISTED", {})
    known = loading.load_checks()
    for file in user_proof_cache().folder.iterdir():
        if b'"checks"' in file.read_bytes():
            file.write_bytes(file.read_bytes().replace(b'"version": 1', b'"version": 9'))
    monkeypatch.setattr(loading, "_LISTED", {})
    assert [c.edition for c in loading.load_checks()] == [c.edition for c in known]
