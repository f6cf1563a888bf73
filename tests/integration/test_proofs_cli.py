"""`checks`, `checks try`, `receipts` and `verify` on a family that waits at its last checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.binding import Binder
from orchestrator.checks import load_checks
from tests.boards import Workspace


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    work = Workspace(tmp_path_factory.mktemp("proofs"))
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "begin")):
        git(work.root, *words)
    work.to_the_end()
    return work


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@t")
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


def orchestrate(work: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        cwd=work.root,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_checks_are_listed_with_what_they_say_and_examples(work: Workspace) -> None:
    listed = json.loads(orchestrate(work, "checks", "--json").stdout)
    by_name = {c["name"]: c for c in listed}
    assert by_name["files.exists"]["examples"]
    assert all(c["summary"] and c["patterns"] and c["version"] >= 1 for c in listed)
    assert "files.exists" in orchestrate(work, "checks").stdout


def test_every_example_binds_to_its_own_check_and_no_other() -> None:
    checks = load_checks()
    binder = Binder(checks)
    wrong = [
        (check.name, example)
        for check in checks
        for example in check.examples
        if {b.check.name if b.check else b.problem for b in binder.bind(example)} != {check.name}
    ]
    assert wrong == []


def test_try_shows_the_binding_and_what_it_says_now(work: Workspace) -> None:
    done = orchestrate(work, "checks", "try", "`out/first.txt` exists")
    assert done.returncode == 0
    assert "files.exists(path = out/first.txt)" in done.stdout
    gone = orchestrate(work, "checks", "try", "`out/nothing.txt` exists", "--json")
    assert gone.returncode == 1
    assert json.loads(gone.stdout)["verdict"] == "failed"


def test_try_shows_the_check_to_write(work: Workspace) -> None:
    done = orchestrate(work, "checks", "try", "`out/first.txt` smells of roses")
    assert done.returncode == 1
    assert "@check('{path:path} smells of roses'" in done.stdout


def test_try_judges_in_the_family_that_is_named(work: Workspace) -> None:
    statement = "WO-512a in `05_USER_REVIEW` with `owner: USER`"
    done = orchestrate(work, "checks", "try", statement, "--ticket", "WO-512")
    assert done.returncode == 0, done.stdout


def test_receipts_show_what_was_found_and_when(work: Workspace) -> None:
    found = json.loads(orchestrate(work, "receipts", "WO-512", "--json").stdout)
    texts = [r["statement"]["text"] for r in found]
    assert len(texts) == len(
        set(zip(texts, (r["statement"]["source"] for r in found), strict=True))
    )
    one = orchestrate(work, "receipts", "WO-512", "--statement", "second")
    assert "proven by files.exists v1" in one.stdout
    assert "about out/second.txt (sha256 " in one.stdout


def test_verify_says_since_which_change_it_no_longer_holds(work: Workspace) -> None:
    file = work.root / "out/first.txt"
    good = file.read_bytes()
    try:
        file.write_bytes(b"")
        done = orchestrate(work, "verify", "WO-512")
        assert done.returncode == 1
        assert "out/first.txt (a change that is not committed)" in done.stdout
        git(work.root, "add", "out/first.txt")
        git(work.root, "commit", "-qm", "emptied by mistake")
        assert "emptied by mistake" in orchestrate(work, "verify", "WO-512").stdout
    finally:
        file.write_bytes(good)
    assert orchestrate(work, "verify", "WO-512").returncode == 0
