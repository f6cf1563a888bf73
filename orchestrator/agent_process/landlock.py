"""Landlock: a process gives up what it does not need of the file system, with its children.

Standard library only.
"""

import contextlib
import ctypes
import os
import stat
import sys
from typing import Any

NO_NEW_PRIVILEGES = 38
_SET_MOUNT_ATTRIBUTES, _READ_ONLY, _WHOLE_TREE, _HERE = 442, 1, 0x8000, -100


class Libc:
    """System calls that `os` does not have. Each raises OSError."""

    def __init__(self) -> None:
        self.c = ctypes.CDLL(None, use_errno=True)

    def call(self, number: int, *arguments: Any) -> int:
        done: int = self.c.syscall(number, *arguments)
        if done < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return done

    def mount(self, source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
        words = (os.fsencode(source), os.fsencode(target), kind.encode() if kind else None)
        if self.c.mount(*words, flags, os.fsencode(data) if data else None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)

    def read_only(self, target: str, on: bool, tree: bool) -> None:
        values = (ctypes.c_uint64 * 4)(*((_READ_ONLY, 0) if on else (0, _READ_ONLY)), 0, 0)
        flags = _WHOLE_TREE if tree else 0
        self.call(_SET_MOUNT_ATTRIBUTES, _HERE, os.fsencode(target), flags, values, 32)


_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1, 2, 4, 8
_READS = _EXECUTE | _READ_FILE | _READ_FOLDER
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14


def landlock_version(libc: "Libc | None" = None) -> int:
    """The version of Landlock that the kernel has, 0 for none."""
    if sys.platform != "linux":
        return 0
    try:
        return (libc or Libc()).call(444, None, 0, 1)
    except OSError:
        return 0


def landlock(
    write: list[str], hide: list[str], keep: list[str], libc: "Libc | None" = None
) -> None:
    """From now on this process writes below `write` alone and reads all but what is in `hide`.

    `keep` is read all the same. Nothing outside can be traced or signalled. Raises OSError.
    """
    libc = libc or Libc()
    version = landlock_version(libc)
    writes = sum(1 << bit for bit in (1, 4, 5, 6, 7, 8, 9, 10, 11, 12))
    writes |= (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)
    scoped = 3 if version >= 6 else 0
    values = (ctypes.c_uint64 * 3)(writes | _READS, 0, scoped)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.call(444, values, size, 0)

    def allow(path: str, rights: int) -> None:
        with contextlib.suppress(OSError):
            fd = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                rights &= _OF_FILES
            rule = ctypes.create_string_buffer(
                rights.to_bytes(8, sys.byteorder) + fd.to_bytes(4, sys.byteorder), 12
            )
            libc.call(445, rules, 1, rule, 0)
            os.close(fd)

    def around(path: str) -> None:
        """All below a folder, apart from what is hidden."""
        if os.path.islink(path):
            return
        inside = [h for h in hidden if h == path or h.startswith(f"{path.rstrip('/')}/")]
        if not inside:
            allow(path, _READS)
        elif path not in inside:
            with contextlib.suppress(OSError):
                for name in os.listdir(path):
                    around(os.path.join(path, name))

    hidden = [os.path.realpath(path) for path in hide]
    allow("/", _READ_FOLDER | (0 if hidden else _READS))
    if hidden:
        around("/")
    for path in keep:
        allow(path, _READS)
    for path in write:
        allow(path, writes | _READS)
    libc.c.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    libc.call(446, rules, 0)
    os.close(rules)
