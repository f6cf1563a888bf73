"""Changes are found where the system's events come, and where they do not."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from orchestrator.storage import watcher
from orchestrator.storage.watcher import FolderWatch


class Full(Observer):  # type: ignore[misc, valid-type]
    """Where the limit of watched folders is reached."""

    def start(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Mute(Observer):  # type: ignore[misc, valid-type]
    """Where the file system tells nothing."""

    def dispatch_events(self, event_queue: object) -> None:
        time.sleep(0.01)


def change(watch: FolderWatch, path: Path) -> set[Path]:
    path.write_text("saved", encoding="utf-8")
    return watch.changed(wait=5.0, quiet=0.0)


@pytest.mark.parametrize(
    ("observer", "reason"), [(Full, "max_user_watches"), (Mute, "sends no events")]
)
def test_without_events_the_files_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, observer: type[BaseObserver], reason: str
) -> None:
    monkeypatch.setattr(watcher, "Observer", observer)
    monkeypatch.setattr(watcher, "_LOOK", 0.05)
    monkeypatch.setattr(watcher, "_TRIAL", 0.05)
    (tmp_path / "WO-1.md").touch()
    with FolderWatch([tmp_path]) as watch:
        assert reason in watch.looks
        assert tmp_path / "WO-1.md" in change(watch, tmp_path / "WO-1.md")


def test_a_network_file_system_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_SHARED", ("",))
    with FolderWatch([tmp_path]) as watch:
        assert "does not tell what others write there" in watch.looks


def test_where_events_come_nobody_looks(tmp_path: Path) -> None:
    with FolderWatch([tmp_path]) as watch:
        assert watch.looks == ""
        assert change(watch, tmp_path / "WO-1.md") == {tmp_path / "WO-1.md"}
    assert [p.name for p in tmp_path.iterdir()] == ["WO-1.md"]


def test_reading_a_file_is_no_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    real = FolderWatch.on_any_event
    monkeypatch.setattr(
        FolderWatch,
        "on_any_event",
        lambda watch, event: told.append(str(event.src_path)) or real(watch, event),
    )
    (tmp_path / "WO-1.md").write_text("x", encoding="utf-8")
    with FolderWatch([tmp_path]) as watch:
        for _ in range(20):
            (tmp_path / "WO-1.md").read_bytes()
        assert change(watch, tmp_path / "WO-2.md") == {tmp_path / "WO-2.md"}
    assert not [path for path in told if path.endswith("WO-1.md")]
