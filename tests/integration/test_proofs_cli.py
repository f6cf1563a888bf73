"""`checks`, `checks try`, `receipts` and `verify` on a family that waits at its last checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.gates.binding import Binder
from orchestrator.gates.loading import load_checks
from tests.boards import Workspace


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    work = Workspace(tmp_path_factory.mktemp("proofs"))
    workflow = work.root / "workflows/two-files.md"
    text = workflow.read_text(encoding="utf-8")
    mixed = text.replace(
        "`out/second.txt` exists\n\n", "`out/second.txt` exists, WO-512b in `04_QA`\n\n"
    )
    assert mixed != text
    workflow.write_text(mixed, encoding="utf-8")
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


def test_try_says_how_to_name_a_family_where_a_check_could_not_tell(work: Workspace) -> None:
    done = orchestrate(work, "checks", "try", "The migration is idempotent")
    assert done.returncode == 1
    assert "there is none to look at" in done.stdout
    assert "`--ticket ID`" in done.stdout
    unbound = orchestrate(work, "checks", "try", "`out/first.txt` smells of roses")
    assert "--ticket" not in unbound.stdout
    named = orchestrate(work, "checks", "try", "The migration is idempotent", "--ticket", "WO-512")
    assert "--ticket" not in named.stdout


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
    assert ", 0 no longer hold\n" in orchestrate(work, "verify", "WO-512").stdout


def test_verify_names_a_receipt_that_was_tampered_with(work: Workspace) -> None:
    record = work.root / "_WORK_ORDERS/.receipts/WO-512.jsonl"
    good = record.read_bytes()
    lines = good.split(b"\n")
    at = next(n for n, line in enumerate(lines) if b'"verdict": "proven"' in line)
    forged = json.loads(lines[at])
    forged["statement"]["text"] = "`out/never.txt` exists"
    try:
        lines[at] = json.dumps(forged).encode()
        record.write_bytes(b"\n".join([b"no record at all", *lines]))
        done = orchestrate(work, "verify", "WO-512")
        assert done.returncode == 1
        assert f".receipts/WO-512.jsonl:{at + 2}" in done.stdout
        assert "differs from what was written" in done.stdout
        assert "WO-512.jsonl:1\n" in done.stdout
    finally:
        record.write_bytes(good)


def test_verify_proves_what_a_mixed_statement_says_of_content(work: Workspace) -> None:
    """The rest of it, a position, is kept as it was in its moment."""
    mixed = [
        r
        for r in json.loads(orchestrate(work, "receipts", "WO-512", "--json").stdout)
        if {c["phase"] for c in r["claims"]} > {"content"}
    ]
    assert {r["statement"]["text"] for r in mixed} == {
        "`out/second.txt` exists, WO-512b in `04_QA`"
    }
    ids = [r["id"] for r in mixed]
    before = verified(work)
    assert "holds" in {before[id]["standing"] for id in ids}
    assert not any(before[id]["kept"] for id in ids)
    (work.root / "out/second.txt").rename(work.root / "out/elsewhere.txt")
    try:
        found = verified(work)
    finally:
        (work.root / "out/elsewhere.txt").rename(work.root / "out/second.txt")
    assert [found[id]["now"] for id in ids] == ["failed"] * len(ids)


def verified(work: Workspace) -> dict[str, dict[str, Any]]:
    """What `verify` finds, by receipt."""
    found = json.loads(orchestrate(work, "verify", "WO-512", "--json").stdout)
    return {v["receipt"]: v for v in found["statements"]}
