"""What changed in some folders, as watchdog reports it: by the system's events, else by looking."""

from __future__ import annotations

import contextlib
import errno
import secrets
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from types import TracebackType

from watchdog import events
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

#: not a change, or one that is reported again when the file is closed (on Linux only)
_IGNORED = {"opened", "closed_no_write", *(["modified"] if sys.platform == "linux" else [])}
#: what is asked for on Linux: of every file that is read, here too, there would be two more events
_ASKED = (
    *(events.FileCreatedEvent, events.FileDeletedEvent, events.FileMovedEvent),
    *(events.DirCreatedEvent, events.DirDeletedEvent, events.DirMovedEvent),
    events.FileClosedEvent,
    # with what changes a file's permissions, an event of its own in newer ones
    events.FileModifiedEvent,
    *(getattr(events, name) for name in ("FileAttribEvent",) if hasattr(events, name)),
)
#: what delays events, under the names of watchdog 7 and of those before it
_DELAYERS = (
    ("inotify_move_event_grouper", "InotifyMoveEventGrouper"),
    ("inotify_buffer", "InotifyBuffer"),
)
#: both halves of a move arrive within so many seconds
_PAIRING = 0.005
#: seconds between looks where no events come, and until the event of a trial counts as missing
_LOOK, _TRIAL = 1.0, 3.0
#: file systems where others write without an event here
_SHARED = ("nfs", "cifs", "smb", "9p", "fuse", "virtiofs", "vboxsf", "ceph", "afs", "lustre")
#: why the system watches no more folders, and what to do about it
_LIMITS = {
    errno.ENOSPC: "the limit of watched folders is reached (raise fs.inotify.max_user_watches)",
    errno.EMFILE: "the limit of watchers is reached (raise fs.inotify.max_user_instances)",
}


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
        self._observer: BaseObserver = Observer()
        self._trial = f".orchestrate-{secrets.token_hex(8)}.tmp"
        self._trial_told = threading.Event()
        #: why the folders are looked at every second instead, "" where events come
        self.looks = ""

    def __enter__(self) -> FolderWatch:
        # watchdog holds all events back for half a second after a file has left its folders: it
        # waits for the other half of a move, which never comes; both halves come at once
        for module, name in _DELAYERS:
            with contextlib.suppress(ImportError, AttributeError, OSError):
                getattr(import_module(f"watchdog.observers.{module}"), name).delay = _PAIRING
        shared = {kind for folder in self._folders if (kind := _shared_by(folder))}
        if shared:
            self.looks = f"{', '.join(sorted(shared))} does not tell what others write there"
        else:
            try:
                self._start()
            except OSError as exc:
                self.looks = _LIMITS.get(exc.errno or 0, f"watching failed: {exc.strerror or exc}")
            else:
                if not self._events_come():
                    self.looks = "the file system sends no events"
        if self.looks:
            self._observer.unschedule_all()
            self._observer = PollingObserver(timeout=_LOOK)
            self._start()
        return self

    def _start(self) -> None:
        asked = None if self.looks or sys.platform != "linux" else list(_ASKED)
        for folder in self._folders:
            self._observer.schedule(self, str(folder), recursive=True, event_filter=asked)
        for parent in {file.parent for file in self._files}:
            own = _FileFilter(self, self._files)
            self._observer.schedule(own, str(parent), recursive=False, event_filter=asked)
        self._observer.start()

    def _events_come(self) -> bool:
        """Whether writing a hidden file is reported; True where none can be written."""
        try:
            trial = self._folders[0] / self._trial
            trial.touch()
            trial.unlink()
        except (OSError, IndexError):
            return True
        return self._trial_told.wait(_TRIAL)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._observer.stop()
        self._observer.join(0.2)

    def on_any_event(self, event: FileSystemEvent) -> None:
        if str(event.src_path).endswith(self._trial):
            self._trial_told.set()
        if event.event_type in _IGNORED and not self.looks:
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


def _shared_by(folder: Path) -> str:
    """The kind of the file system that holds a folder, if others may write there; else ""."""
    best, kind = "", ""
    with contextlib.suppress(OSError, IndexError):
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
            left, _, right = line.partition(" - ")
            point = left.split()[4].replace("\\040", " ")
            if folder.resolve().is_relative_to(point) and len(point) >= len(best):
                best, kind = point, right.split()[0]
    return kind if kind.startswith(_SHARED) else ""
