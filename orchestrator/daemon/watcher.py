"""What changed in some folders, as watchdog reports it."""

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

#: not a change, or one that is reported again when the file is closed (on Linux only)
_IGNORED = {"opened", "closed_no_write", *(["modified"] if sys.platform == "linux" else [])}
#: what delays events, under the names of watchdog 7 and of those before it
_DELAYERS = (
    ("inotify_move_event_grouper", "InotifyMoveEventGrouper"),
    ("inotify_buffer", "InotifyBuffer"),
)
#: both halves of a move arrive within so many seconds
_PAIRING = 0.005


class FolderWatch(FileSystemEventHandler):
    """Collects the paths of files that were saved, moved or removed below some folders.

    `places` may contain files; those that do not exist are ignored. Hidden files are left out:
    editors and the conductor itself give such names to temporary files.
    """

    def __init__(self, places: list[Path]) -> None:
        self._folders = [place for place in places if place.is_dir()]
        self._files = {place for place in places if place.is_file()}
        self._paths: set[Path] = set()
        self._last = 0.0
        self._news = threading.Condition()
        self._observer = Observer()

    def __enter__(self) -> FolderWatch:
        # watchdog holds all events back for half a second after a file has left its folders: it
        # waits for the other half of a move, which never comes; both halves come at once
        for module, name in _DELAYERS:
            with contextlib.suppress(ImportError, AttributeError, OSError):
                getattr(import_module(f"watchdog.observers.{module}"), name).delay = _PAIRING
        for folder in self._folders:
            self._observer.schedule(self, str(folder), recursive=True)
        for parent in {file.parent for file in self._files}:
            self._observer.schedule(_FileFilter(self, self._files), str(parent), recursive=False)
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
        if event.event_type in _IGNORED:
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
        """The paths since the last call, `quiet` seconds after the last event.

        Waits at most `wait` seconds for the first event.
        """
        with self._news:
            if not self._paths:
                self._news.wait(wait)
            while self._paths and (left := self._last + quiet - time.monotonic()) > 0:
                self._news.wait(left)
            found, self._paths = self._paths, set()
        return found


class _FileFilter(FileSystemEventHandler):
    """Passes on the events of some files."""

    def __init__(self, watch: FolderWatch, files: set[Path]) -> None:
        self._watch = watch
        self._files = files

    def on_any_event(self, event: FileSystemEvent) -> None:
        if {Path(str(event.src_path)), Path(str(event.dest_path))} & self._files:
            self._watch.on_any_event(event)
