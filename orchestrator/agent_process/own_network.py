"""The network of a namespace: a loopback, what is served there, and who else is asked for.

Standard library only. Every address leads back to the namespace, where nobody listens: a program is
refused at once, and the packet that it sent is kept, as the kernel saw it. Names come from the
questions to name servers.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import threading

_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1
_ALL_PROTOCOLS, _ATTACH_FILTER, _RECEIVE_BUFFER_FORCE = 3, 26, 33
_NEW_ROUTE, _REQUEST, _ACKNOWLEDGE, _CREATE = 24, 0x1, 0x4, 0x400
_MAIN_TABLE, _BOOT, _HOST_SCOPE, _LOCAL = 254, 3, 254, 2
_DESTINATION_DEVICE, _PREFERRED_SOURCE = 4, 7
_TCP, _UDP, _ICMP, _NAMES = 6, 17, 1, 53
_IPV4, _IPV6 = 0x0800, 0x86DD
#: addresses that belong to nobody (RFC 5737), and a name that never leads anywhere (RFC 6761)
_NOBODYS = ("192.0.2.", "198.51.100.", "203.0.113.")
_NO_NAME = ".invalid"
_MOST = 200

#: classic BPF: all but IPv4 to 127.0.0.0/8 and IPv6 to ::1, of these only UDP to port 53 and, of
#: IPv4, what opens a connection
_FILTER = (
    (0x28, 0, 0, 12),
    (0x15, 0, 7, _IPV4),
    (0x20, 0, 0, 30),
    (0x54, 0, 0, 0xFF000000),
    (0x15, 0, 10, 0x7F000000),
    (0x30, 0, 0, 23),
    (0x15, 0, 10, _UDP),
    (0x28, 0, 0, 36),
    (0x15, 6, 7, _NAMES),
    (0x15, 0, 6, _IPV6),
    (0x20, 0, 0, 38),
    (0x15, 0, 3, 0),
    (0x20, 0, 0, 50),
    (0x15, 0, 1, 1),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 512),
    (0x06, 0, 0, 0),
    (0x15, 0, 3, _TCP),
    (0x30, 0, 0, 47),
    (0x54, 0, 0, 0x12),
    (0x15, 1, 0, 0x02),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 512),
)
#: programs take higher ports for servers of their own
_OWN_PORTS = 32768


class Packets:
    """An open packet socket, and what it has seen."""

    def __init__(self, opened: socket.socket, own: list[str], strict: bool = False) -> None:
        self._socket = opened
        self._own = frozenset(own)
        #: whether nobody's addresses count, and servers of this machine that nobody runs
        self._strict = strict

    def fileno(self) -> int:
        return self._socket.fileno()

    def seen(self) -> list[str]:
        """Whom programs tried to reach since this was last asked: names, `address:port`."""
        found: dict[str, None] = {}
        served = _served() if self._strict else frozenset()
        for _ in range(100_000):
            try:
                data = self._socket.recv(512, socket.MSG_DONTWAIT)
            except OSError:
                break
            with contextlib.suppress(IndexError, struct.error, ValueError):
                who = _addressee(data, self._own)
                port = int(who.rpartition(":")[2]) if who.startswith("127.") else 0
                if port and (not self._strict or port in served or port >= _OWN_PORTS):
                    continue
                if who and (self._strict or not who.startswith(_NOBODYS)):
                    found.setdefault(who)
        return list(found)[:_MOST]


def record(own: list[str]) -> "Packets | None":
    """Bring the loopback up, lead all addresses to it, listen. `own`: addresses of the machine.

    None where packets cannot be seen; then there is no way out all the same.
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_one:
        asked = struct.pack("16sh", b"lo", 0)
        name, flags = struct.unpack("16sh", fcntl.ioctl(any_one, _GET_FLAGS, asked))
        fcntl.ioctl(any_one, _SET_FLAGS, struct.pack("16sh", name, flags | _UP))
    try:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
        code = b"".join(struct.pack("HBBI", *line) for line in _FILTER)
        kept = ctypes.create_string_buffer(code)
        program = struct.pack("HL", len(_FILTER), ctypes.addressof(kept))
        opened.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
        opened.bind(("lo", _ALL_PROTOCOLS))
    except OSError:
        return None
    with contextlib.suppress(OSError):
        opened.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, 4 << 20)
    for family, source in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with contextlib.suppress(OSError):
            _lead_back(family, source)
    return Packets(opened, own)


def opened(fd: int) -> Packets:
    """The socket that a process was handed."""
    return Packets(socket.socket(fileno=fd), [], strict=True)


def _served() -> "frozenset[int]":
    """The ports on which somebody listens in this network."""
    found = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/net/{name}", encoding="ascii") as lines:
            for line in lines:
                words = line.split()
                if words[3] == "0A":
                    found.add(int(words[1].rpartition(":")[2], 16))
    return frozenset(found)


# -- ports that lead out ---------------------------------------------------------------------------


def begin_to_forward() -> socket.socket:
    """Start a process that stays in this network; `forward` tells it what to lead here."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
        for fd in range(256):
            if fd != there.fileno():
                with contextlib.suppress(OSError):
                    os.close(fd)
        while True:
            data, fds, _, _ = socket.recv_fds(there, 8, 1)
            if not data:
                os._exit(0)
            # a socket belongs to the network that it was made in
            server = socket.socket(fileno=fds[0])
            threading.Thread(target=_accept, args=(server, int(data)), daemon=True).start()
    there.close()
    return here


def forward(link: socket.socket, ports: "list[int]") -> None:
    """Serve ports of the other network's loopback on this one's."""
    for port in ports:
        with socket.create_server(("127.0.0.1", port), backlog=64) as server:
            socket.send_fds(link, [str(port).zfill(8).encode()], [server.fileno()])


def _accept(server: socket.socket, port: int) -> None:
    while True:
        inside, _ = server.accept()
        try:
            outside = socket.create_connection(("127.0.0.1", port))
        except OSError:
            inside.close()
            continue
        for one, other in ((inside, outside), (outside, inside)):
            threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


def _lead_back(family: int, source: str) -> None:
    """`ip route add local default dev lo src …`"""

    def attribute(kind: int, data: bytes) -> bytes:
        return struct.pack("HH", 4 + len(data), kind) + data

    message = struct.pack("BBBBBBBBI", family, 0, 0, 0, _MAIN_TABLE, _BOOT, _HOST_SCOPE, _LOCAL, 0)
    message += attribute(_DESTINATION_DEVICE, struct.pack("I", socket.if_nametoindex("lo")))
    message += attribute(_PREFERRED_SOURCE, socket.inet_pton(family, source))
    flags = _REQUEST | _ACKNOWLEDGE | _CREATE
    head = struct.pack("IHHII", 16 + len(message), _NEW_ROUTE, flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.sendto(head + message, (0, 0))
        (error,) = struct.unpack_from("i", link.recv(4096), 16)
        if error:
            raise OSError(-error, "no route")


def _addressee(data: bytes, own: "frozenset[str]") -> str:
    """Whom a packet begins to talk to, "" for an answer or nobody's address."""
    (kind,) = struct.unpack_from("!H", data, 12)
    if kind == _IPV4:
        protocol, at = data[23], 14 + (data[14] & 15) * 4
        address = socket.inet_ntop(socket.AF_INET, data[30:34])
    elif kind == _IPV6:
        protocol, at = data[20], 54
        address = socket.inet_ntop(socket.AF_INET6, data[38:54])
    else:
        return ""
    if protocol not in (_TCP, _UDP):
        is_ping = protocol == _ICMP and data[at] == 8
        return address if is_ping else ""
    (port,) = struct.unpack_from("!H", data, at + 2)
    if protocol == _UDP and port == _NAMES:
        # what is not a question for a name server is data for somebody
        with contextlib.suppress(IndexError, UnicodeError):
            name = _name(data[at + 8 :])
            return "" if name.endswith(_NO_NAME) else name
    # of a connection, what opens it: SYN without ACK
    if protocol == _TCP and data[at + 13] & 0x12 != 0x02:
        return ""
    if address in own:
        return ""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _name(question: bytes) -> str:
    """The name that is asked for. Raises IndexError and UnicodeError for what is not a question."""
    is_answer, count = question[2] & 0x80, question[5]
    if is_answer or not count:
        raise IndexError("no question")
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii"))
        at += 1 + question[at]
    return ".".join(labels).lower()
