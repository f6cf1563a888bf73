"""What changed in some folders, as watchdog sees it."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from types import TracebackType

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

#: no change, or one that is told again when the file is closed (which only Linux tells)
_WRITING = {"opened", "closed_no_write", *(["modified"] if sys.platform == "linux" else [])}
#: what holds events back, under the names of watchdog 7 and of those before it
_HOLDERS = (
    ("inotify_move_event_grouper", "InotifyMoveEventGrouper"),
    ("inotify_buffer", "InotifyBuffer"),
)
#: both halves of a move come within so many seconds
_PAIRING = 0.005


class Watch(FileSystemEventHandler):
    """Collects the paths of files that were saved, moved or removed below some folders.

    A file among them is watched in its folder; what is not there is left out. Hidden files are
    nobody's business: editors and the conductor itself lay temporary files with such names.
    """

    def __init__(self, places: list[Path]) -> None:
        self._folders = [place for place in places if place.is_dir()]
        self._files = {place for place in places if place.is_file()}
        self._paths: set[Path] = set()
        self._last = 0.0
        self._news = threading.Condition()
        self._observer = Observer()

    def __enter__(self) -> Watch:
        _hurry()
        for folder in self._folders:
            self._observer.schedule(self, str(folder), recursive=True)
        for parent in {file.parent for file in self._files}:
            self._observer.schedule(_Only(self, self._files), str(parent), recursive=False)
        self._observer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._observer.stop()
        self._observer.join(0.2)

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in _WRITING:
            return
        names = (event.src_path, event.dest_path)
        found = {Path(str(name)) for name in names if name}
        found = {path for path in found if not path.name.startswith(".")}
        if found and "/.receipts/" not in str(event.src_path):
            with self._news:
                self._paths |= found
                self._last = time.monotonic()
                self._news.notify()

    def changed(self, wait: float, quiet: float) -> set[Path]:
        """The paths since the last call, once `quiet` seconds have passed after an event.

        Waits `wait` seconds at most for the first.
        """
        with self._news:
            if not self._paths:
                self._news.wait(wait)
            while self._paths and (left := self._last + quiet - time.monotonic()) > 0:
                self._news.wait(left)
            found, self._paths = self._paths, set()
        return found


def _hurry() -> None:
    """Do not let watchdog hold all events for half a second after a file has left its folders.

    It waits for the other half of a move, which never comes; both halves come at once.
    """
    for module, name in _HOLDERS:
        with contextlib.suppress(ImportError, AttributeError, OSError):
            getattr(import_module(f"watchdog.observers.{module}"), name).delay = _PAIRING


class _Only(FileSystemEventHandler):
    """Passes on the events of some files."""

    def __init__(self, watch: Watch, files: set[Path]) -> None:
        self._watch = watch
        self._files = files

    def on_any_event(self, event: FileSystemEvent) -> None:
        if {Path(str(event.src_path)), Path(str(event.dest_path))} & self._files:
            self._watch.on_any_event(event)
