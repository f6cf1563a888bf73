"""Started by itself: `python -I -S confine.py ROOT PROGRAM …` runs a program that reaches nobody.

It sees no network but its own loopback, and the workspace at ROOT read-only. Linux only; where the
system does not allow it, the program runs all the same. `--probe` prints whether it is allowed.
"""

import contextlib
import ctypes
import fcntl
import os
import resource
import socket
import struct
import sys

_NEW_MOUNTS, _NEW_USER, _NEW_NETWORK = 0x20000, 0x10000000, 0x40000000
_BIND, _RECURSIVE, _PRIVATE, _REMOUNT, _READ_ONLY = 0x1000, 0x4000, 0x40000, 0x20, 0x1
#: of statvfs and mount alike: nosuid, nodev, noexec
_KEPT_FLAGS = 0x2 | 0x4 | 0x8
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1
_DROP_CAPABILITY, _NO_NEW_PRIVILEGES, _SYS_ADMIN = 24, 38, 21
_LARGEST_FILE = 4 * 1024**3


def _leave_network(libc: ctypes.CDLL) -> bool:
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_NEW_MOUNTS | _NEW_NETWORK) != 0:
        if libc.unshare(_NEW_USER | _NEW_MOUNTS | _NEW_NETWORK) != 0:
            return False
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
                file.write(text)
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_one:
        name, flags = struct.unpack(
            "16sh", fcntl.ioctl(any_one, _GET_FLAGS, struct.pack("16sh", b"lo", 0))
        )
        fcntl.ioctl(any_one, _SET_FLAGS, struct.pack("16sh", name, flags | _UP))
    return True


def _protect(libc: ctypes.CDLL, root: str) -> None:
    """Bind the workspace onto itself, read-only."""
    place = os.fsencode(root)
    libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None)
    if libc.mount(place, place, None, _BIND | _RECURSIVE, None) == 0:
        kept = os.statvfs(root).f_flag & _KEPT_FLAGS
        libc.mount(b"none", place, None, _REMOUNT | _BIND | _READ_ONLY | kept, None)


def main(words: list[str]) -> None:
    """Never returns, but for `--probe`."""
    libc = ctypes.CDLL(None, use_errno=True)
    apart = sys.platform == "linux" and _leave_network(libc)
    if words == ["--probe"]:
        print("apart" if apart else "not apart")
        return
    root, *command = words
    if apart:
        _protect(libc, root)
        os.chdir(os.getcwd())  # noqa: PTH109 - now below the new mount
        libc.prctl(_DROP_CAPABILITY, _SYS_ADMIN, 0, 0, 0)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as exc:
        print(f"{command[0]}: {exc.strerror}", file=sys.stderr)
        sys.exit(127 if isinstance(exc, FileNotFoundError) else 126)


if __name__ == "__main__":
    main(sys.argv[1:])
