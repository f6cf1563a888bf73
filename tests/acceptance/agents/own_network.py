"""Runs a command in a network of its own, where there is nothing but loopback.

    python tests/acceptance/agents/own_network.py COMMAND …

Exits with 75 where this system gives no such network.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000
_SET_FLAGS, _UP = 0x8914, 1
MARK = "ORCHESTRATE_OWN_NETWORK"


def leave() -> None:
    """Move this process into a network of its own. Raises OSError."""
    libc, uid, gid = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    if libc.unshare(_NEW_NETWORK) != 0:
        if libc.unshare(_NEW_NETWORK | _NEW_USER) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        fcntl.ioctl(opened, _SET_FLAGS, struct.pack("16sH14s", b"lo", _UP, b""))


if __name__ == "__main__":
    try:
        leave()
    except OSError as exc:
        print(f"no network of its own can be had here: {exc}", file=sys.stderr)
        sys.exit(75)
    os.environ[MARK] = "1"
    os.execvp(sys.argv[1], sys.argv[1:])
