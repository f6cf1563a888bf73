"""Ways around an approval, tried on a workspace with a real database.

Each is refused, or leads to a new question: what was not approved is never applied.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest

from orchestrator.errors import OrchestrateError
from tests.claims import lay
from tests.integration.test_bound_approvals import (
    SQL,
    WORKFLOW,
    Shelf,
    databases,
    has_table,
    server,
    shelf,
)

__all__ = ["databases", "server", "shelf"]

Way = Callable[[Shelf, pytest.MonkeyPatch], object]

EVIL = SQL + "CREATE TABLE IF NOT EXISTS public.evil (id int);\n"
CHILD = "id: WO-1a\nparent: WO-1"
MIGRATION = "migrations/001_shelf.sql"


def status(line: str) -> Way:
    """Other words in place of the status."""

    def way(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
        text = shelf.ticket().read_bytes().decode()
        assert "\nstatus: 05_USER_REVIEW\n" in text
        changed = text.replace("\nstatus: 05_USER_REVIEW\n", f"\n{line}\n", 1)
        shelf.ticket().write_bytes(changed.encode())

    return way


def beside(path: str, head: str = "id: WO-1\nparent: WO-1") -> Way:
    """A second file that says it is approved."""
    text = f"---\n{head}\ntitle: A shelf\nstatus: APPROVED\nowner: USER\ntarget: postgres\n---\n"
    return lambda shelf, _: lay(shelf.root, {path: text})


def history(change: Callable[[list[str]], list[str]]) -> Way:
    def way(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
        file = shelf.root / "_WORK_ORDERS/.receipts/WO-1.jsonl"
        lines = file.read_text().splitlines(keepends=True)
        changed = change(lines)
        assert changed != lines
        file.write_text("".join(changed))

    return way


def forged_answer(lines: list[str]) -> list[str]:
    last = json.loads(lines[-1])
    last |= {"type": "answer", "answer": "approved", "question": 1, "status": "APPROVED"}
    return [*lines, json.dumps(last) + "\n"]


def moved(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
    folder = shelf.root / "_WORK_ORDERS/06_COMPLETE"
    folder.mkdir(exist_ok=True)
    shelf.ticket().rename(folder / shelf.ticket().name)


def approval_in_the_flow(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
    text = shelf.ticket().read_text()
    (digest,) = re.findall(r'digest: "?(\w+)', text)
    entry = f'  approvals:\n    - {{question: 1, stage: 2, digest: "{digest}"}}\n'
    shelf.ticket().write_text(re.sub(r"(?m)^  asked: 1\n", lambda m: m[0] + entry, text))


#: an answer that USER never gave
UNANSWERED: dict[str, Way] = {
    "a look-alike of the word": status("status: \u0410PPROVED"),
    "the word with a joiner": status("status: APPRO\u200dVED"),
    "the word in full width": status("status: \uff21\uff30\uff30\uff32\uff2f\uff36\uff25\uff24"),
    "the word behind a line separator": status("status: 05_USER_REVIEW\u2028status: APPROVED"),
    "a second status": status("status: 05_USER_REVIEW\nstatus: APPROVED"),
    "a first status": status("status: APPROVED\nstatus: 05_USER_REVIEW"),
    "two answers": status("status: HOLD\nstatus: APPROVED\ntarget: postgres"),
    "one below it": status("status: 05_USER_REVIEW\nstatus: APPROVED\ntarget: postgres"),
    "a merged mapping": status("base: &b {status: APPROVED}\n<<: *b"),
    "an alias": status("word: &w APPROVED\nstatus: *w\nstatus: 05_USER_REVIEW"),
    "a tagged value": status("status: !!binary QVBQUk9WRUQ="),
    "a nested status": status("status:\n  status: APPROVED"),
    "a status in a list": status("status: [05_USER_REVIEW, APPROVED]"),
    "a status in a comment": status("status: 05_USER_REVIEW # APPROVED"),
    "a status in the title": status('status: 05_USER_REVIEW\nnote: "\\nstatus: APPROVED"'),
    "a second document": status("status: 05_USER_REVIEW\n---\n\n---\nstatus: APPROVED"),
    "a child's file": beside("_WORK_ORDERS/05_USER_REVIEW/WO-1a_Child.md", CHILD),
    "a namesake": beside("_WORK_ORDERS/03_BUILD/WO-1_Other.md"),
    "a board below": beside("sub/_WORK_ORDERS/05_USER_REVIEW/WO-1_Shelf.md"),
    "a folder below": beside("_WORK_ORDERS/05_USER_REVIEW/sub/WO-1_Shelf.md"),
    "a copy of the editor": beside("_WORK_ORDERS/05_USER_REVIEW/.WO-1_Shelf.md.swp"),
    "the file moved": moved,
    "an approval in the flow": approval_in_the_flow,
    "a forged answer": history(forged_answer),
    "a shorter history": history(lambda lines: lines[:-1]),
    "a line twice": history(lambda lines: [*lines, lines[-1]]),
    "lines in another order": history(lambda lines: [*lines[:-2], lines[-1], lines[-2]]),
    "no history": lambda shelf, _: (shelf.root / "_WORK_ORDERS/.receipts/WO-1.jsonl").unlink(),
    "an empty history": history(lambda lines: []),
}  # fmt: skip


def run(shelf: Shelf) -> str:
    """How a run ends."""
    try:
        return shelf.run().outcome.value
    except OrchestrateError as exc:
        return exc.code


@pytest.mark.parametrize("way", UNANSWERED)
def test_nobody_answers_in_user_s_place(
    shelf: Shelf, databases: tuple[str, str], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    assert run(shelf) == "waiting"
    UNANSWERED[way](shelf, monkeypatch)
    assert run(shelf) not in {"complete", "archived"}
    assert not any(map(has_table, databases))


@pytest.mark.parametrize(
    "words",
    ["'*'", "true", "all", "['*']", "['']", "shelf", "[limit]", "['The shelf is within its']",
     "{unproven: true}", "['unproven']", "'The shelf is within its limit?'", "&a [*a]"],
)  # fmt: skip
def test_only_whole_statements_are_accepted(
    shelf: Shelf, databases: tuple[str, str], monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    (shelf.root / "limit.txt").write_text("11")
    assert run(shelf) == "waiting"
    status(f"status: APPROVED\ntarget: postgres\naccept: {words}")(shelf, monkeypatch)
    assert run(shelf) not in {"complete", "archived"}
    assert not has_table(databases[0])


def edited(text: str = EVIL, path: str = MIGRATION) -> Way:
    return lambda shelf, _: lay(shelf.root, {path: text})


def symlink(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
    lay(shelf.root, {"tmp/other.sql": EVIL})
    (shelf.root / MIGRATION).unlink()
    (shelf.root / MIGRATION).symlink_to(shelf.root / "tmp/other.sql")


def linked_folder(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
    lay(shelf.root, {"other/001_shelf.sql": EVIL})
    shutil.rmtree(shelf.root / "migrations")
    (shelf.root / "migrations").symlink_to("other")


def hard_link(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
    os.link(shelf.root / MIGRATION, shelf.root / "held.sql")
    (shelf.root / "held.sql").write_text(EVIL)


def same_size_and_time(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
    file = shelf.root / MIGRATION
    seen = file.stat()
    file.write_text(SQL.replace("shelf", "evil_"))
    assert file.stat().st_size == seen.st_size + len("evil_") - len("shelf")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def state_elsewhere(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
    state, other = shelf.root / ".orchestrate", shelf.root.parent / f"{shelf.root.name}-state"
    shutil.copytree(state, other, symlinks=True)
    shutil.rmtree(state)
    state.symlink_to(other)
    for file in other.rglob("*.sql"):
        file.chmod(0o644)
        file.write_text(EVIL)
    (shelf.root / MIGRATION).write_text(EVIL)


def no_state(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
    shutil.rmtree(shelf.root / ".orchestrate", ignore_errors=True)
    (shelf.root / MIGRATION).write_text(EVIL)


def further_effect(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
    lay(shelf.root, {"migrations/002_evil.sql": EVIL})
    apply = "- Apply `migrations/001_shelf.sql`\n"
    changed = WORKFLOW.replace(apply, apply + "- Apply `migrations/002_evil.sql`\n")
    lay(shelf.root, {"workflows/shelf.md": changed})


def hidden_from_git(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (
        ("init", "-q"),
        ("add", "-A"),
        ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "all"),
        ("update-index", "--assume-unchanged", MIGRATION),
    ):
        subprocess.run(["git", *words], cwd=shelf.root, check=True)
    (shelf.root / MIGRATION).write_text(EVIL)


def clock_back(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(time, "time", lambda: 86_400.0)
    (shelf.root / MIGRATION).write_text(EVIL)
    os.utime(shelf.root / MIGRATION, (1, 1))


def withdrawn(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
    """USER has withdrawn it; the files of before are put back."""
    board = shelf.root / "_WORK_ORDERS"
    shutil.copytree(board, shelf.root / "kept")
    shelf.conductor().undo("WO-1")
    shutil.rmtree(board)
    (shelf.root / "kept").rename(board)
    (shelf.root / MIGRATION).write_text(EVIL)


def code_on_the_path(variable: str) -> Way:
    """A module or a program that is found before the one that ran when it was approved."""

    def way(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
        place = shelf.root.parent / f"{shelf.root.name}-path"
        uri = os.environ["DATABASE_URL"]
        code = (
            f"import psycopg\nconnection = psycopg.connect({uri!r}, autocommit=True)\n"
            "connection.execute('CREATE TABLE evil ()')\n"
        )
        lay(place, {"sitecustomize.py": code, "usercustomize.py": code})
        for program in ("python", "python3", "git", "node", "psql"):
            (place / program).write_text(f"#!/bin/sh\n{sys.executable} {place}/sitecustomize.py\n")
            (place / program).chmod(0o755)
        monkeypatch.setenv(variable, f"{place}{os.pathsep}{os.environ.get(variable, '')}")

    return way


def another_login(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = os.environ["DATABASE_URL"]
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS other")
        connection.execute("CREATE ROLE other SUPERUSER LOGIN")
    monkeypatch.setenv("DATABASE_URL", psycopg.conninfo.make_conninfo(uri, user="other"))


def options_in_the_address(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = os.environ["DATABASE_URL"]
    options = "-c search_path=evil -c session_replication_role=replica"
    monkeypatch.setenv("DATABASE_URL", psycopg.conninfo.make_conninfo(uri, options=options))


def held_and_resumed(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
    shelf.conductor().hold("WO-1", reason="wait")
    (shelf.root / MIGRATION).write_text(EVIL)
    shelf.conductor().resume("WO-1")


def under_another_number(shelf: Shelf, _: pytest.MonkeyPatch) -> None:
    """An approved ticket and its history, as those of another one."""
    board = shelf.root / "_WORK_ORDERS"
    for file in (shelf.ticket(), board / ".receipts/WO-1.jsonl"):
        text = file.read_text().replace("WO-1", "WO-2")
        file.with_name(file.name.replace("WO-1", "WO-2")).write_text(text)
    (shelf.root / MIGRATION).write_text(EVIL)
    with contextlib.suppress(OrchestrateError):
        assert shelf.conductor().run("WO-2").outcome.value != "complete"


#: what is changed after USER's approval
CHANGED: dict[str, Way] = {
    "the file edited": edited(),
    "a comment in it": edited(SQL + "-- seen\n" + EVIL),
    "with Windows line ends": edited(EVIL.replace("\n", "\r\n")),
    "with a byte order mark": edited("\ufeff" + EVIL),
    "a symbolic link": symlink,
    "the folder a link": linked_folder,
    "through a hard link": hard_link,
    "as long and as old": same_size_and_time,
    "the state a link": state_elsewhere,
    "no state": no_state,
    "a further effect": further_effect,
    "hidden from git": hidden_from_git,
    "the clock set back": clock_back,
    "withdrawn and put back": withdrawn,
    "a module on the path": code_on_the_path("PYTHONPATH"),
    "a program on the path": code_on_the_path("PATH"),
    "a script edited": edited("print('other')\n", "scripts/seed.py"),
    "a module beside the script": edited("print('other')\n", "scripts/seed_helper.py"),
    "a check edited": edited("from orchestrator.gates.checks import *\n", "checks/shelf.py"),
    "a word in the history": history(lambda ls: [x.replace("shelf", "sheaf") for x in ls]),
    "the approval twice": history(lambda lines: [*lines, lines[-1]]),
    "another login": another_login,
    "options in the address": options_in_the_address,
    "options beside the address": lambda _, m: m.setenv("PGOPTIONS", "-c search_path=evil"),
    "held, edited and resumed": held_and_resumed,
    "under another number": under_another_number,
}  # fmt: skip
#: of these nothing that was shown has changed: the approval may stand
_MAY_STAND = {"a module on the path", "a program on the path", "a module beside the script"}


@pytest.mark.parametrize("way", CHANGED)
def test_what_was_not_approved_is_not_applied(
    shelf: Shelf, databases: tuple[str, str], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    shelf.approved()
    CHANGED[way](shelf, monkeypatch)
    outcome = run(shelf)
    with psycopg.connect(databases[0]) as connection:
        query = "SELECT relname FROM pg_class WHERE relname IN ('evil', 'evil_')"
        assert connection.execute(query).fetchall() == []
    if way not in _MAY_STAND:
        assert outcome not in {"complete", "archived"}
        assert not has_table(databases[0])


def test_a_copy_of_the_workspace_does_not_carry_the_approval_out_again(
    shelf: Shelf, databases: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    shelf.approved()
    copy = tmp_path_factory.mktemp("copy") / "board"
    shutil.copytree(shelf.root, copy, symlinks=True)
    assert run(shelf) == "complete"
    with psycopg.connect(databases[0], autocommit=True) as connection:
        connection.execute("DROP TABLE public.shelf")
    other = Shelf.__new__(Shelf)
    other.root, other.told = copy, []
    assert run(other) != "complete"
    assert not has_table(databases[0])


def test_a_workspace_that_was_moved_goes_on(shelf: Shelf, databases: tuple[str, str]) -> None:
    shelf.approved()
    shelf.root = shelf.root.rename(shelf.root.with_name(f"{shelf.root.name}-moved"))
    assert run(shelf) == "complete"
    assert has_table(databases[0])
