"""`orchestrate new` in real git repositories: branches, history, worktrees, clones offline."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.errors import OrchestrateError
from orchestrator.git import repository
from orchestrator.tickets.board import Board
from orchestrator.tickets.ids import HOME, allocation

_PERSON = ("-c", "user.name=Someone", "-c", "user.email=someone@example.com")
_LETTERED = re.compile(r"WO-([A-Z]{4})(\d+)\Z")


def git(where: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", *_PERSON, "-c", "protocol.file.allow=always", *args],
        cwd=where, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    return done.stdout.strip()


def lay(root: Path, place: str, id: str) -> Path:
    path = root / "_WORK_ORDERS" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\nid: {id}\nstatus: 00_INBOX\n---\n# {id}\n", encoding="utf-8")
    return path


def commit(root: Path, message: str = "work") -> None:
    git(root, "add", "-A", ".")
    git(root, "commit", "-qm", message)


def new(root: Path, *args: str) -> str:
    result = CliRunner().invoke(app, ["-C", str(root), "new", "A ticket", "--json", *args])
    assert result.exit_code == 0, result.output
    return str(json.loads(result.stdout)["id"])


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository without a remote, with WO-001 committed on `main`."""
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-qb", "main")
    (root / ".gitignore").write_text(".orchestrate/\n")
    lay(root, "00_INBOX/WO-001_x.md", "WO-001")
    commit(root)
    return root


# -- one repository ------------------------------------------------------------------------------


def test_without_a_remote_numbers_are_plain(repo: Path) -> None:
    assert [new(repo), new(repo)] == ["WO-002", "WO-003"]


def test_a_deleted_tickets_number_is_never_given_again(repo: Path) -> None:
    path = lay(repo, "00_INBOX/WO-040_x.md", "WO-040")
    commit(repo)
    path.unlink()
    commit(repo)
    assert new(repo) == "WO-041"


def test_nor_is_one_that_was_never_committed(repo: Path) -> None:
    new(repo)
    next((repo / "_WORK_ORDERS/00_INBOX").glob("WO-002*")).unlink()
    assert new(repo) == "WO-003"


def test_nor_one_that_came_and_went_on_a_branch_that_was_merged(repo: Path) -> None:
    git(repo, "switch", "-qc", "side")
    path = lay(repo, "00_INBOX/WO-050_x.md", "WO-050")
    commit(repo)
    path.unlink()
    commit(repo)
    git(repo, "switch", "-q", "main")
    git(repo, "merge", "-q", "--no-ff", "-m", "merge", "side")
    git(repo, "branch", "-qD", "side")
    assert new(repo) == "WO-051"


def test_nor_one_that_a_merge_itself_brought(repo: Path) -> None:
    git(repo, "switch", "-qc", "side")
    (repo / "other").write_text("x")
    commit(repo)
    git(repo, "switch", "-q", "main")
    git(repo, "merge", "-q", "--no-ff", "--no-commit", "side")
    path = lay(repo, "00_INBOX/WO-060_x.md", "WO-060")
    commit(repo)
    path.unlink()
    commit(repo)
    assert new(repo) == "WO-061"


def test_ids_on_another_branch_in_a_stash_and_on_a_detached_head_are_taken(
    repo: Path, tmp_path: Path
) -> None:
    git(repo, "switch", "-qc", "other")
    lay(repo, "03_BUILD/WO-010_x.md", "WO-010")
    commit(repo)
    git(repo, "switch", "-q", "main")
    assert new(repo) == "WO-011"
    lay(repo, "00_INBOX/WO-020_x.md", "WO-020")
    git(repo, "stash", "-qu")
    git(repo, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
    path = lay(tmp_path / "tree", "00_INBOX/WO-030_x.md", "WO-030")
    commit(tmp_path / "tree")
    path.unlink()
    assert new(repo) == "WO-031"


def test_an_id_that_stands_in_the_text_only_is_taken(repo: Path) -> None:
    git(repo, "switch", "-qc", "other")
    lay(repo, "03_BUILD/notes on hours.md", "WO-070")
    path = lay(repo, "03_BUILD/WO-002_x.md", "WO-002")
    commit(repo)
    path.write_text("---\nid: 'WO-080'  # was 2\n---\n", encoding="utf-8")
    commit(repo)
    git(repo, "switch", "-q", "main")
    assert new(repo) == "WO-081"


def test_a_renumbering_by_renaming_takes_both_numbers(repo: Path) -> None:
    git(repo, "mv", "_WORK_ORDERS/00_INBOX/WO-001_x.md", "_WORK_ORDERS/00_INBOX/WO-090_x.md")
    commit(repo)
    git(repo, "mv", "_WORK_ORDERS/00_INBOX/WO-090_x.md", "_WORK_ORDERS/00_INBOX/WO-001_x.md")
    commit(repo)
    assert new(repo) == "WO-091"


def test_a_child_gets_a_letter_that_no_branch_and_no_past_has(repo: Path) -> None:
    path = lay(repo, "03_BUILD/WO-001a_x.md", "WO-001a")
    commit(repo)
    path.unlink()
    commit(repo)
    assert new(repo, "--parent", "WO-001") == "WO-001b"
    ticket = Board(repo).find("WO-001b")
    assert [t.id for t in Board(repo).family("WO-001")] == ["WO-001", ticket.id]
    assert ticket.diagnoses == ()


def test_a_board_below_the_top_of_the_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "-qb", "main")
    root = tmp_path / "some where" / "app"
    path = lay(root, "00_INBOX/WO-007_x.md", "WO-007")
    commit(tmp_path)
    path.unlink()
    commit(tmp_path)
    assert new(root) == "WO-008"


def test_what_was_read_once_is_not_read_again(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real = repository.run_git

    def counted(root: Path, *args: str, **options: Any) -> bytes:
        calls.append(args[0])
        return real(root, *args, **options)

    monkeypatch.setattr(repository, "run_git", counted)
    assert new(repo) == "WO-002"
    assert "log" in calls
    calls.clear()
    assert new(repo) == "WO-003"
    assert len(calls) <= 4
    assert "log" not in calls


def test_a_commit_that_is_gone_does_not_hide_the_rest(repo: Path) -> None:
    new(repo)
    ledger = repo / ".git" / "orchestrate" / "ids.json"
    held = json.loads(ledger.read_text(encoding="utf-8"))
    held["_WORK_ORDERS"]["tips"] = ["0123456789" * 4]
    ledger.write_text(json.dumps(held), encoding="utf-8")
    lay(repo, "00_INBOX/WO-033_x.md", "WO-033")
    commit(repo)
    assert new(repo) == "WO-034"


def test_a_repository_that_git_does_not_read_gives_no_id(repo: Path) -> None:
    (repo / ".git" / "HEAD").write_text("nonsense", encoding="utf-8")
    with pytest.raises(OrchestrateError) as raised, allocation(Board(repo)) as ids:
        ids.new()
    assert raised.value.code == "git"


def test_a_hooks_environment_does_not_lead_astray(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repo, "switch", "-qc", "other")
    lay(repo, "03_BUILD/WO-010_x.md", "WO-010")
    commit(repo)
    git(repo, "switch", "-q", "main")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert new(repo) == "WO-011"


# -- several at once -----------------------------------------------------------------------------


def start(root: Path, count: int) -> subprocess.Popen[str]:
    """A process that makes `count` tickets, one after the other."""
    code = (
        "from pathlib import Path\nfrom orchestrator.cli.starting import create_ticket\n"
        "from orchestrator.cli.workspace import Workspace\n"
        f"for _ in range({count}):\n"
        f"    print(create_ticket(Workspace(Path({str(root)!r})), title='x', owner='LEAD',"
        " problem='y')['id'])\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, encoding="utf-8")


def ids_of(processes: list[subprocess.Popen[str]]) -> list[str]:
    given = []
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        given += out.split()
    return given


def test_several_worktrees_at_once_never_take_one_number(repo: Path, tmp_path: Path) -> None:
    trees = [repo, tmp_path / "one", tmp_path / "two"]
    for tree in trees[1:]:
        git(repo, "worktree", "add", "-q", "-b", tree.name, str(tree))
    given = ids_of([start(tree, 5) for tree in trees for _ in range(2)])
    assert sorted(given) == [f"WO-{n:03d}" for n in range(2, 32)]
    for tree in trees[1:]:
        commit(tree)
        git(repo, "merge", "-q", "-m", "merge", tree.name)
    assert Board(repo).duplicate_ids() == set()


def test_a_ticket_that_another_worktree_has_not_committed_is_seen(
    repo: Path, tmp_path: Path
) -> None:
    git(repo, "worktree", "add", "-q", "-b", "one", str(tmp_path / "one"))
    lay(tmp_path / "one", "00_INBOX/WO-044_by_hand.md", "WO-045")
    assert new(repo) == "WO-046"


# -- clones --------------------------------------------------------------------------------------


@pytest.fixture
def clone(repo: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes clones of one bare repository."""
    git(tmp_path, "clone", "-q", "--bare", str(repo), "origin.git")

    def make(name: str) -> Path:
        git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), name)
        return tmp_path / name

    return make


def push(root: Path) -> None:
    """What people do at the end of the day: commit, take in, hand on."""
    commit(root)
    git(root, "pull", "-q", "--no-rebase", "--no-edit")
    git(root, "push", "-q")


def test_clones_offline_push_and_merge_without_two_tickets_of_one_id(
    clone: Callable[[str], Path],
) -> None:
    clones = [clone(name) for name in ("anna", "ben", "carl")]
    given = [new(root) for root in clones for _ in range(3)]
    given += [new(root, "--parent", "WO-001") for root in clones]
    assert len(set(given)) == 12
    assert all(_LETTERED.match(id) for id in given)
    for root in clones:
        push(root)
    git(clones[0], "pull", "-q")
    board = Board(clones[0])
    assert {t.id for t in board.tickets()} == {"WO-001", *given}
    assert [(t.id, d.code) for t in board.tickets() for d in t.diagnoses] == []
    assert len(board.family("WO-001")) == 4


def test_a_clone_keeps_its_letters_and_counts_its_own_tickets(
    clone: Callable[[str], Path],
) -> None:
    anna = clone("anna")
    found = [_LETTERED.match(new(anna)) for _ in range(3)]
    assert [m and m[2] for m in found] == ["1", "2", "3"]
    assert len({m and m[1] for m in found}) == 1


def test_children_of_a_triager_do_not_cost_a_clone_its_letters(
    clone: Callable[[str], Path],
) -> None:
    anna = clone("anna")
    first = new(anna)
    lay(anna, f"03_BUILD/{first}a_x.md", f"{first}a")
    assert new(anna) == f"{first[:-1]}2"


def test_letters_that_somebody_else_uses_are_given_up(clone: Callable[[str], Path]) -> None:
    anna = clone("anna")
    letters = new(anna)[3:7]
    lay(anna, f"00_INBOX/WO-{letters}9_x.md", f"WO-{letters}9")
    assert new(anna)[3:7] != letters


def test_a_copy_of_a_clone_draws_letters_of_its_own(
    clone: Callable[[str], Path], tmp_path: Path
) -> None:
    anna = clone("anna")
    first = new(anna)
    shutil.copytree(anna, tmp_path / "copy", symlinks=True)
    second = new(tmp_path / "copy")
    assert second[3:7] != first[3:7]
    assert new(anna)[3:7] == first[3:7]


def test_a_clone_that_lies_elsewhere_now_keeps_its_letters(
    clone: Callable[[str], Path], tmp_path: Path
) -> None:
    first = new(clone("anna"))
    (tmp_path / "anna").rename(tmp_path / "moved")
    assert new(tmp_path / "moved") == f"{first[:-1]}2"


def test_the_home_gives_plain_numbers_once_its_claim_is_on_the_remote(
    clone: Callable[[str], Path],
) -> None:
    anna, ben = clone("anna"), clone("ben")
    result = CliRunner().invoke(app, ["-C", str(anna), "init"])
    assert f"created _WORK_ORDERS/{HOME}" in result.stdout
    assert _LETTERED.match(new(anna))
    push(anna)
    assert new(anna) == "WO-002"
    assert new(anna, "--parent", "WO-001") == "WO-001a"
    assert _LETTERED.match(new(ben))
    push(ben)
    assert _LETTERED.match(new(ben))


def test_of_two_claims_that_were_made_offline_one_wins(clone: Callable[[str], Path]) -> None:
    anna, ben = clone("anna"), clone("ben")
    for root in (anna, ben):
        assert CliRunner().invoke(app, ["-C", str(root), "init"]).exit_code == 0
        commit(root)
    git(anna, "push", "-q")
    with pytest.raises(subprocess.CalledProcessError):
        git(ben, "push", "-q")
    assert _LETTERED.match(new(ben))
    assert new(anna) == "WO-002"


def test_a_second_remote_that_does_not_know_the_home_ends_plain_numbers(
    clone: Callable[[str], Path], tmp_path: Path
) -> None:
    anna = clone("anna")
    CliRunner().invoke(app, ["-C", str(anna), "init"])
    push(anna)
    assert new(anna) == "WO-002"
    git(anna, "remote", "add", "fork", str(tmp_path / "fork.git"))
    assert _LETTERED.match(new(anna))


def test_a_shallow_clone_gives_no_plain_numbers(
    clone: Callable[[str], Path], tmp_path: Path
) -> None:
    anna = clone("anna")
    lay(anna, "00_INBOX/WO-002_x.md", "WO-002")
    commit(anna)
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{anna}", "shallow")
    git(tmp_path / "shallow", "remote", "remove", "origin")
    assert _LETTERED.match(new(tmp_path / "shallow"))


# -- what may be named ---------------------------------------------------------------------------


def test_new_writes_parent_dependencies_and_files(repo: Path) -> None:
    args = ("--depends-on", "WO-001", "--file", "src/a b.ts", "--file", "./src/x: y.ts")
    result = CliRunner().invoke(app, ["-C", str(repo), "new", "A ticket", "--json", *args])
    told = json.loads(result.stdout)
    assert told == {
        "id": "WO-002",
        "path": "_WORK_ORDERS/00_INBOX/WO-002_A_ticket.md",
        "parent": "",
        "depends_on": ["WO-001"],
        "files": ["src/a b.ts", "src/x: y.ts"],
    }
    ticket = Board(repo).find("WO-002")
    assert (ticket.depends_on, ticket.meta["files"]) == (("WO-001",), told["files"])
    assert ticket.diagnoses == ()


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--parent", "WO-9"), "no-such-ticket"),
        (("--depends-on", "WO-9"), "no-such-ticket"),
        (("--file", "../secret"), "unsafe-path"),
        (("--file", "/etc/passwd"), "unsafe-path"),
    ],
)
def test_what_does_not_exist_or_leaves_the_workspace_is_refused(
    repo: Path, args: tuple[str, ...], code: str
) -> None:
    result = CliRunner().invoke(app, ["-C", str(repo), "new", "A ticket", "--json", *args])
    assert json.loads(result.stdout)["error"]["code"] == code
    assert [p.name for p in (repo / "_WORK_ORDERS/00_INBOX").iterdir()] == ["WO-001_x.md"]


def test_no_ticket_of_many_is_read_for_a_new_id(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(2, 1_001):
        lay(repo, f"0{n % 7}_F/WO-{n}_x.md", f"WO-{n}")
    commit(repo)
    past = time.time() - 60
    for path in (repo / "_WORK_ORDERS").rglob("*"):
        os.utime(path, (past, past))
    assert new(repo) == "WO-1001"
    reads: list[Path] = []
    read = Board.read
    monkeypatch.setattr(Board, "read", lambda self, path: reads.append(path) or read(self, path))
    with allocation(Board(repo)) as ids:
        assert ids.new() == "WO-1002"
    # at most the one that was made a moment ago
    assert len(reads) <= 1, reads
