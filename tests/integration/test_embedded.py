"""One embedded server for several processes: it stays while anybody holds it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import psycopg
import pytest

from orchestrate_backend.errors import TargetError
from orchestrate_backend.targets.embedded import EmbeddedServer
from orchestrate_backend.targets.postgres import start_embedded
from orchestrator.approvals.judging import opened_runner
from orchestrator.gates.checks import Services
from orchestrator.settings.config import Settings

_HOLD = """
import sys
from pathlib import Path
from orchestrate_backend.targets.embedded import running
with running(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_the_target_of_effects_is_started_once_for_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[Path] = []
    start = EmbeddedServer._start

    def told(self: EmbeddedServer, scratch: bool) -> None:
        starts.append(self.data)
        start(self, scratch)

    monkeypatch.setattr(EmbeddedServer, "_start", told)
    services = Services()
    session: Any = SimpleNamespace(
        settings=Settings(), board=SimpleNamespace(root=tmp_path), services=services
    )
    for database in ("made", None, "seen"):
        with opened_runner(session, "embedded") as runner:
            runner.describe()
            if database is not None:
                assert runner.target.query_readonly("SELECT 1 AS one") == [{"one": 1}]
    data = tmp_path / ".orchestrate" / "postgres"
    assert starts == [data]
    assert (data / "postmaster.pid").exists()
    services.close()
    assert not (data / "postmaster.pid").exists()


@contextmanager
def held_by_another_process(data: Path) -> Iterator[None]:
    command = [sys.executable, "-W", "ignore", "-c", _HOLD, str(data)]
    other = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    yield
    other.communicate("go\n", timeout=60)
    assert other.returncode == 0


def answers(server: EmbeddedServer) -> bool:
    with psycopg.connect(server.uri()) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_held_again_outlives_the_other_process(tmp_path: Path) -> None:
    first = EmbeddedServer(tmp_path / "data")
    with held_by_another_process(tmp_path / "data"):
        first.stop()
        again = EmbeddedServer(tmp_path / "data")
        assert answers(again)
    assert answers(again)
    again.stop()


def test_a_server_that_the_other_process_stopped_is_started_again(tmp_path: Path) -> None:
    first = EmbeddedServer(tmp_path / "data")
    with held_by_another_process(tmp_path / "data"):
        first.stop()
    assert not (tmp_path / "data/postmaster.pid").exists()
    again = EmbeddedServer(tmp_path / "data")
    assert answers(again)
    again.stop()
    assert not (tmp_path / "data/postmaster.pid").exists()


def test_threads_that_come_and_go_leave_it_to_the_last(tmp_path: Path) -> None:
    found: list[bool] = []

    def hold() -> None:
        for _ in range(3):
            server = EmbeddedServer(tmp_path / "data")
            found.append(answers(server))
            server.stop()

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 12
    assert not (tmp_path / "data/postmaster.pid").exists()


def test_a_server_whose_programs_were_removed_is_ended(tmp_path: Path) -> None:
    """Its virtual environment is gone: it answers, but can load nothing any more."""
    from orchestrate_backend.targets.embedded import _end_without_programs

    data, program = tmp_path / "data", tmp_path / "postgres"
    data.mkdir()
    shutil.copy(shutil.which("sleep") or "", program)
    server = subprocess.Popen([str(program), "60"], cwd=data)
    pid = data / "postmaster.pid"
    pid.write_text(f"{server.pid}\n", encoding="utf-8")
    _end_without_programs(pid)
    assert server.poll() is None
    program.unlink()
    _end_without_programs(pid)
    server.wait(5)
    assert not psutil.pid_exists(server.pid)
    assert not pid.exists()


_USE = """
import os, sys
from pathlib import Path
from orchestrate_backend.targets.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), scratch=True)
if len(sys.argv) > 2:
    os.kill(os.getpid(), 9)
server.stop()
"""


def use_server(data: Path, *, minutes: str, killed: bool = False) -> None:
    """A command that uses a proving server."""
    words = [sys.executable, "-W", "ignore", "-c", _USE, str(data), *(["killed"] if killed else [])]
    env = {**os.environ, "ORCHESTRATE_SERVER_MINUTES": minutes}
    assert subprocess.run(words, env=env, check=False).returncode == (-9 if killed else 0)


def server_of(data: Path) -> psutil.Process:
    return psutil.Process(int((data / "postmaster.pid").read_text().splitlines()[0]))


def keepers_of(data: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(data) in process.cmdline() and "keeper.py" in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_a_proving_server_stays_for_the_next_command(tmp_path: Path) -> None:
    data = tmp_path / "data"
    use_server(data, minutes="5")
    first = server_of(data)
    use_server(data, minutes="5")
    assert server_of(data) == first
    first.send_signal(signal.SIGINT)
    first.wait(30)


def test_a_killed_command_leaves_no_server_behind(tmp_path: Path) -> None:
    data = tmp_path / "data"
    use_server(data, minutes="0.05", killed=True)
    server_of(data).wait(30)


def test_a_server_in_use_is_not_ended(tmp_path: Path) -> None:
    data = tmp_path / "data"
    use_server(data, minutes="0.02")
    held = EmbeddedServer(data)
    try:
        time.sleep(4)
        assert answers(held)
    finally:
        held.stop()


def test_a_killed_keeper_is_replaced_and_none_runs_twice(tmp_path: Path) -> None:
    data = tmp_path / "data"
    use_server(data, minutes="5")
    (keeper,) = keepers_of(data)
    use_server(data, minutes="5")
    assert keepers_of(data) == [keeper]
    keeper.kill()
    use_server(data, minutes="0.05")
    assert keepers_of(data) != [keeper]
    server_of(data).wait(30)


def test_a_half_made_or_damaged_proving_cluster_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_SERVER_MINUTES", "0")
    data = tmp_path / "data"
    (data / "base/1").mkdir(parents=True)
    (data / "PG_VERSION").write_text("18\n", encoding="utf-8")
    (data / "postmaster.pid").write_text(f"-77\n{data}\n1\n5432\n", encoding="utf-8")
    server = EmbeddedServer(data, scratch=True)
    assert answers(server)
    server.stop()
    (data / "global/pg_control").write_bytes(b"damaged")
    again = EmbeddedServer(data, scratch=True)
    assert answers(again)
    again.stop()


def test_a_damaged_cluster_of_a_workspace_is_left_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / ".orchestrate" / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("18\n", encoding="utf-8")
    (data / "postmaster.opts").touch()
    with pytest.raises(TargetError, match="stays as it is") as caught:
        start_embedded(data)
    assert caught.value.code == "embedded-start"
    assert (data / "postmaster.opts").exists()
