"""One embedded server for several processes: it stays while anybody holds it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from orchestrate_backend.targets.embedded import EmbeddedServer

_HOLD = """
import sys
from pathlib import Path
from orchestrate_backend.targets.embedded import running
with running(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


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
