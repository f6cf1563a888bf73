"""The last versions of each conducted ticket, kept to understand saves that were made from them."""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from orchestrator.storage import syscalls

#: how many earlier versions of a ticket are kept to merge with
KEPT = 32
#: what the conductor wrote last; two files, so that one is whole while the other is written
_LAST = ("last-0", "last-1")
#: at the end of the name of one that was saved where the ticket no longer was
_FORKED = ".forked"
#: of one that lay there as the ticket was about to leave, which it then may not have done
_LEAVING = ".leaving"
#: time (ns) and checksum, before the text
_HEAD = 20 + 1 + 8 + 1


class Versions:
    """The versions of the ticket file with one name. What cannot be kept is skipped."""

    def __init__(self, root: Path, name: str) -> None:
        self._place = f"{root}/.orchestrate/state/bases/{name}.versions"

    @cached_property
    def folder(self) -> Path:
        """Where they are."""
        return Path(self._place)

    # -- those that were replaced ------------------------------------------------------------

    def slot(self, at: str = "", *, forked: bool = False) -> Path:
        """Where the next version that is replaced is kept; `at`: the folder where it lay.

        `forked`: it was saved there after the ticket had left.
        """
        return self.folder / f"{time.time_ns():020d}.{at}{_FORKED * forked}"

    def keep(self, data: bytes, at: str) -> None:
        """Keep what lies in a folder that the ticket is about to leave: forks there may begin so.

        It is in the ticket, and not merged yet: nothing else is made from it.
        """
        with contextlib.suppress(OSError):
            self._write(f"{self.slot(at).name}{_LEAVING}", data)

    def seen_at(self, at: str, here: str) -> Iterator[bytes]:
        """Those that lay in a folder when they were replaced, the newest first.

        `here`: where the ticket is.
        """
        return (text for _, text in self._earlier(lambda folder, _: folder == at, here))

    def _earlier(
        self, wanted: Callable[[str, bool], bool], here: str
    ) -> Iterator[tuple[bytes, bytes]]:
        """(stamp, text) of those that were replaced, the newest first.

        `wanted`: by the folder, "" for what the conductor wrote itself, and whether it was forked.
        """
        left = False
        with contextlib.suppress(OSError):
            for name in self._names():
                stamp, _, where = name.partition(".")
                folder, dot, kind = where.partition(".")
                forked = dot + kind in (_FORKED, _LEAVING)
                # it has been elsewhere since
                left = left or (not forked and folder not in ("", here))
                if dot + kind == _LEAVING and folder == here and not left:
                    # it could not leave; what was saved from this on may not be merged either
                    continue
                if wanted(folder, forked):
                    with contextlib.suppress(FileNotFoundError):
                        yield stamp.encode(), (self.folder / name).read_bytes()

    def trim(self) -> None:
        """Remove the oldest versions beyond `KEPT`."""
        with contextlib.suppress(OSError):
            for old in self._names()[KEPT:]:
                (self.folder / old).unlink()

    def give_up(self) -> None:
        """Begin again: what was kept goes to a folder beside, and no save is made from it."""
        with contextlib.suppress(FileNotFoundError):
            self.folder.rename(f"{self._place}.given-up-{time.time_ns()}")

    def known(self, here: str = "") -> list[bytes]:
        """What was written last, and the others, the newest first. `here`: where the ticket is."""
        return self._known(here)

    def known_for(self, here: str) -> list[bytes]:
        """As `known`, without what was forked elsewhere: what a save there may be made from."""
        return self._known(here, everywhere=False)

    def _known(self, here: str, *, everywhere: bool = True) -> list[bytes]:
        written = self._last_files()
        # between the last two that were written a person may have saved
        others = [(stamp, text) for stamp, _, text in written[1:]]
        others += self._earlier(lambda at, forked: not forked or everywhere or at == here, here)
        others.sort(key=lambda other: other[0], reverse=True)
        return [*(text for _, _, text in written[:1]), *(text for _, text in others)]

    def _names(self) -> list[str]:
        names = os.listdir(self._place)  # noqa: PTH208 - called often, and paths are slow
        return sorted((name for name in names if name not in _LAST), reverse=True)

    # -- what was written last ---------------------------------------------------------------

    def last(self) -> bytes | None:
        """What the conductor wrote last, if that is known."""
        return next((text for _, _, text in self._last_files()), None)

    def remember(self, data: bytes, replaced: bytes | None = None) -> None:
        """Keep what was written last. It may be lost: then saves are taken as they are.

        It is a file of its own: an editor may have the ticket itself open, and write its next
        version unseen. The version written before is kept too, unless it is `replaced`, which is
        kept already.
        """
        found = self._last_files()
        newest = found[0] if found else None
        with contextlib.suppress(OSError):
            if newest is not None and newest[2] not in (replaced, data):
                # older than what replaced it, which may be kept already
                self._write(f"{newest[0].decode()}.", newest[2])
            name = _LAST[1] if newest is not None and newest[1] == _LAST[0] else _LAST[0]
            stamp = b"%020d" % time.time_ns()
            self._write(name, b"%s %08x\n%s" % (stamp, zlib.crc32(stamp + data), data))

    def _last_files(self) -> list[tuple[bytes, str, bytes]]:
        """(stamp, name, text) of the undamaged ones of the two, the newest first."""
        found = []
        for name in _LAST:
            with contextlib.suppress(OSError, ValueError):
                held = syscalls.read_whole(f"{self._place}/{name}")
                stamp, text = held[:20], held[_HEAD:]
                if int(held[21:_HEAD], 16) == zlib.crc32(stamp + text):
                    found.append((stamp, name, text))
        return sorted(found, reverse=True)

    def _write(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = syscalls.open_in_folder(f"{self._place}/{name}", flags)
        try:
            os.pwrite(fd, data, 0)
            os.ftruncate(fd, len(data))
        finally:
            os.close(fd)
