"""Started by itself: `python -I -S confine.py SPECIFICATION PROGRAM …` runs a program behind walls.

Standard library only. SPECIFICATION is JSON, as `orchestrator.agent_process.confinement` writes it.
In namespaces of its own the program sees no process but its own, no network but its own loopback,
and a layer over the file system that takes what it writes outside of its folders: the layer, the
packets to other hosts and the processes it leaves are looked at afterwards, and thrown away.
Where there are no namespaces, Landlock alone says what it reads and writes. `--probe` prints what
this machine allows.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from orchestrator.agent_process import landlock, own_files, own_network
else:
    # the modules beside this one, which is started without the package
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import landlock
    import own_files
    import own_network

    del sys.path[0]

Libc = landlock.Libc
Tree = own_files.Tree
_NEW = {
    "user": 0x10000000,
    "net": 0x40000000,
    "mount": 0x20000,
    "pid": 0x20000000,
    "ipc": 0x8000000,
}
_APART = _NEW["net"] | _NEW["mount"] | _NEW["pid"] | _NEW["ipc"]
_PARENT_DIED, _DROP_CAPABILITY = 1, 24
_CAPABILITIES_3 = 0x20080522
#: of root's: owner and mode of files, other users, signals, low ports; nothing of the machine
_KEPT_CAPABILITIES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 10})
_LARGEST_FILE = 4 * 1024**3
#: seconds in which what a program started may end by itself
_GRACE, _PAUSE = 1.0, 0.02
_MOST = 20


def _can_unshare(libc: Libc) -> bool:
    """Whether namespaces can be had and used: some systems give them without any right in them."""
    if sys.platform != "linux":
        return False
    trial = os.fork()
    if trial == 0:
        try:
            _unshare(libc)
            libc.mount("none", "/", None, own_files.RECURSIVE | own_files.PRIVATE)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(trial, 0)[1] == 0


def _unshare(libc: Libc, apart: int = _APART) -> None:
    """Namespaces of its own; as a plain user in a user namespace. Raises OSError without them."""
    uid, gid = os.getuid(), os.getgid()
    if libc.c.unshare(apart) == 0:
        return
    if libc.c.unshare(apart | _NEW["user"]) != 0:
        raise OSError(0, "no namespaces")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w") as file:
            file.write(text)


# -- the program, and who watches it ---------------------------------------------------------------


def behind_walls(libc: Libc, said: dict[str, Any]) -> Tree:
    """Give this process a file system of its own. Raises OSError where that cannot be had."""
    _unshare(libc, _NEW["mount"])
    tree = Tree(libc, said)
    tree.build()
    os.chdir(said["cwd"])
    return tree


def give_up(libc: Libc, said: dict[str, Any], tree: Tree) -> None:
    """Give up, for a program that goes on in this process, what it must not have."""
    _enter(libc, said, True, tree)
    kept = sum(1 << bit for bit in _KEPT_CAPABILITIES)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
    libc.c.capset(header, (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0))


def _enter(libc: Libc, said: dict[str, Any], apart: bool, tree: Tree) -> None:
    """Give up what the program must not have."""
    if said.get("trusted"):
        return
    if apart:
        for capability in range(64):
            if capability not in _KEPT_CAPABILITIES:
                libc.c.prctl(_DROP_CAPABILITY, capability, 0, 0, 0)
    if sys.platform == "linux":
        libc.c.prctl(landlock.NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    if landlock.landlock_version(libc) >= 2 and (apart or said.get("write")):
        own = ["/dev", "/proc"] if apart else ["/dev", *said.get("private", ())]
        with contextlib.suppress(OSError):
            places = [*said.get("write", ()), *tree.writable, *own]
            landlock.landlock(
                places, [] if apart else said.get("hide", []), said.get("keep", []), libc
            )


def _execute(command: list[str]) -> NoReturn:
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as exc:
        print(f"{command[0]}: {exc.strerror}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(127 if isinstance(exc, FileNotFoundError) else 126)


def _others() -> list[str]:
    """The other processes of this namespace, by their command lines."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                words = _read(f"/proc/{name}/cmdline").replace(b"\0", b" ").strip()
                # a dead process has no command line, and neither has one that is being started
                state = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()[0]
                if words or state != b"Z":
                    words = words or _read(f"/proc/{name}/comm").strip()
                    found.append(words.decode("utf-8", "replace")[:200])
    return found


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _first_process(
    libc: Libc, said: dict[str, Any], command: list[str], tree: Tree, answer_to: int
) -> NoReturn:
    """Process 1 of the namespace: starts the program, says what it leaves behind, ends with it."""
    libc.c.prctl(_PARENT_DIED, signal.SIGKILL, 0, 0, 0)
    own_processes = False
    with contextlib.suppress(OSError):
        libc.mount("proc", "/proc", "proc", 0)
        own_processes = True
        for name in ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"):
            libc.mount(name, name, None, own_files.BIND)
            libc.read_only(name, on=True, tree=False)
    # the folder as it is now
    os.chdir(said["cwd"])
    child = os.fork()
    if child == 0:
        os.setsid()
        _enter(libc, said, True, tree)
        _execute(command)
    while True:
        pid, status = os.wait()
        if pid == child:
            break
    asked = own_processes and not said.get("leaves")
    left, end = _others() if asked else [], time.monotonic() + _GRACE
    while left and time.monotonic() < end:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(_PAUSE)
        left = _others()
    os.write(answer_to, json.dumps({"left": left[:_MOST], "status": status}).encode())
    os._exit(0)


def _watch(libc: Libc, said: dict[str, Any], command: list[str], link: Any) -> NoReturn:
    """Run the program in the namespaces that this process has left for."""
    packets = None
    if said["network"] != "host":
        packets = own_network.record(said["own"])
    if link is not None:
        own_network.forward(link, said["ports"])
    tree = Tree(libc, said)
    tree.build()
    heard, answer_to = os.pipe()
    report: int = said.get("report", -1)
    if report >= 0:
        os.set_inheritable(report, False)
    environment = os.environ
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") if packets is not None else ():
        # they would hide where the program wants to go, and there is no way out
        environment.pop(name, None)
        environment.pop(name.lower(), None)
    if packets is not None and said.get("tap"):
        os.set_inheritable(packets.fileno(), True)
        environment["ORCHESTRATE_PACKETS"] = str(packets.fileno())
    child = os.fork()
    if child == 0:
        os.close(heard)
        _first_process(libc, said, command, tree, answer_to)
    os.close(answer_to)
    os.waitpid(child, 0)
    with open(heard, "rb") as pipe:
        text = pipe.read()
    ended: dict[str, Any] = json.loads(text) if text else {"left": [], "status": signal.SIGKILL}
    if report >= 0:
        reached = packets.seen() if packets is not None else []
        found = {"apart": True, "reached": reached, "wrote": tree.written()}
        found["left"] = ended["left"]
        os.write(report, json.dumps(found).encode()[:60_000])
    code = os.waitstatus_to_exitcode(ended["status"])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (
            signal.SIGKILL,
            signal.SIGSTOP,
        ) else None
        os.kill(os.getpid(), -code)
        time.sleep(1)
    os._exit(code & 0xFF)


def main(words: list[str]) -> None:
    """Never returns, but for `--probe`."""
    libc = Libc()
    if words == ["--probe"]:
        version = landlock.landlock_version(libc)
        print(json.dumps({"landlock": version, "namespaces": _can_unshare(libc)}))
        return
    said, command = json.loads(words[0]), words[1:]
    said["cwd"] = os.getcwd()
    link = own_network.begin_to_forward() if said.get("ports") else None
    if _can_unshare(libc):
        _unshare(libc, _APART if said["network"] != "host" else _APART & ~_NEW["net"])
        _watch(libc, said, command, link)
    if (report := said.get("report", -1)) >= 0:
        os.write(report, b'{"apart": false}')
        os.close(report)
    if said.get("bubblewrap"):
        command = [*said["bubblewrap"], "--chdir", said["cwd"], "--", *command]
    else:
        _enter(libc, said, False, Tree(libc, said))
    _execute(command)


if __name__ == "__main__":
    main(sys.argv[1:])
