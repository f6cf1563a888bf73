"""Which folders hold no cluster yet, and what a kill may leave in one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from orchestrate_backend.targets import clusters, embedded


@pytest.fixture
def half_made(tmp_path: Path) -> Path:
    """What `initdb` leaves that was killed while its server filled the first database."""
    for name in ("base/1/1247", "global/pg_control", "pg_wal/x", "postgresql.auto.conf", "log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "PG_VERSION").write_text("18\n", encoding="utf-8")
    return tmp_path


def test_what_a_killed_initdb_left_is_no_cluster(half_made: Path) -> None:
    assert clusters.is_missing(half_made)
    (half_made / "PG_VERSION").write_text("", encoding="utf-8")
    assert clusters.is_missing(half_made)
    (half_made / "PG_VERSION").write_text("18\n", encoding="utf-8")
    (half_made / "base/5").mkdir()
    assert not clusters.is_missing(half_made)
    (half_made / "postmaster.pid").write_text("-77\n/data\n", encoding="utf-8")
    assert clusters.is_missing(half_made)


@pytest.mark.parametrize(
    "name", ["postmaster.opts", "backup_label", "base/1/16384_fsm", "mine.txt"]
)
def test_a_folder_that_may_hold_data_is_never_taken_for_none(half_made: Path, name: str) -> None:
    (half_made / name).touch()
    assert not clusters.is_missing(half_made)


def test_a_cluster_of_another_version_is_one(half_made: Path) -> None:
    (half_made / "PG_VERSION").write_text("16\n", encoding="utf-8")
    assert not clusters.is_missing(half_made)


@pytest.mark.parametrize(
    "torn",
    ["-77\n/data\n", f"{os.getpid()}\n/data\n1\n", "\n"],
    ids=["negative", "short", "empty"],
)
def test_a_torn_pid_file_of_nobody_is_removed(tmp_path: Path, torn: str) -> None:
    (tmp_path / "postmaster.pid").write_text(torn, encoding="utf-8")
    clusters.repair(tmp_path)
    assert not (tmp_path / "postmaster.pid").exists()


def test_a_whole_pid_file_is_for_the_server_to_judge(tmp_path: Path) -> None:
    lines = f"{os.getpid()}\n/data\n1\n5432\n/tmp\n\n 1 2\nready\n"
    (tmp_path / "postmaster.pid").write_text(lines, encoding="utf-8")
    clusters.repair(tmp_path)
    assert (tmp_path / "postmaster.pid").exists()


@pytest.mark.parametrize(
    "held", ["[1, 2", f"[{os.getpid()}, 4194305]", "7"], ids=["torn", "dead", "no list"]
)
def test_dead_holders_are_forgotten(tmp_path: Path, held: str) -> None:
    file = tmp_path / ".handle_pids.json"
    file.write_text(held, encoding="utf-8")
    clusters.repair(tmp_path)
    assert json.loads(file.read_text()) in ([], [os.getpid()])


def test_what_a_killed_maker_left_beside_is_removed(tmp_path: Path) -> None:
    left = clusters.draft_of(tmp_path / "data")
    (left / "PG_VERSION").touch()
    other = clusters.draft_of(tmp_path / "data")
    assert other.is_dir()
    assert not left.exists()


@pytest.mark.parametrize("disposable", [False, True])
def test_the_files_of_a_new_cluster_are_not_synced_one_by_one(
    monkeypatch: pytest.MonkeyPatch, disposable: bool
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(embedded._MAKING, "disposable", disposable, raising=False)
    for name in ("initdb", "pg_ctl"):
        embedded._start_program(lambda *words: asked.append(words[1]), name, ("-D", "data"))
    synced = ("--sync-method=syncfs",) if sys.platform == "linux" else ()
    assert asked == [("-D", "data", *(("--no-sync",) if disposable else synced)), ("-D", "data")]
