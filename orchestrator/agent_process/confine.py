"""Started by itself: `python -I -S confine.py SPECIFICATION PROGRAM …` runs a program behind walls.

Standard library only. SPECIFICATION is JSON, as `orchestrator.agent_process.confinement` writes it.
In namespaces of its own the program sees no process but its own, no network but its own loopback,
and a layer over the file system that takes what it writes outside of its folders: the layer, the
packets to other hosts and the processes it leaves are looked at afterwards, and thrown away.
Where there are no namespaces, Landlock alone says what it reads and writes. `--probe` prints what
this machine allows.
"""

import contextlib
import json
import os
import resource
import signal
import stat
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from orchestrator.agent_process import landlock, own_network
else:
    # the modules beside this one, which is started without the package
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import landlock
    import own_network

    del sys.path[0]

Libc = landlock.Libc
_NEW = {
    "user": 0x10000000,
    "net": 0x40000000,
    "mount": 0x20000,
    "pid": 0x20000000,
    "ipc": 0x8000000,
}
_APART = _NEW["net"] | _NEW["mount"] | _NEW["pid"] | _NEW["ipc"]
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000
_PARENT_DIED, _DROP_CAPABILITY = 1, 24
#: of root's: owner and mode of files, other users, signals, low ports; nothing of the machine
_KEPT_CAPABILITIES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 10})
_LARGEST_FILE = 4 * 1024**3
#: seconds in which what a program started may end by itself
_GRACE, _PAUSE = 1.0, 0.02
#: what may change without anybody's asking
_CACHES = frozenset({"__pycache__", "node_modules", ".venv", "venv", ".cache", ".pytest_cache"})
_CACHES |= {".mypy_cache", ".ruff_cache", ".tox", ".nox"}
_CACHE_PLACES = ("/var/cache/", "/var/log/", "/run/", "/sys/", "/proc/", "/dev/")
_MOST = 20


def _can_unshare(libc: Libc) -> bool:
    """Whether namespaces can be had and used: some systems give them without any right in them."""
    if sys.platform != "linux":
        return False
    trial = os.fork()
    if trial == 0:
        try:
            _unshare(libc)
            libc.mount("none", "/", None, _RECURSIVE | _PRIVATE)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(trial, 0)[1] == 0


def _unshare(libc: Libc, network: str = "own") -> None:
    """Namespaces of its own; as a plain user in a user namespace. Raises OSError without them."""
    uid, gid = os.getuid(), os.getgid()
    apart = _APART if network != "host" else _APART & ~_NEW["net"]
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


# -- what the program finds on the disk ------------------------------------------------------------


class Tree:
    """The file system as the program has it."""

    def __init__(self, libc: Libc, said: dict[str, Any]) -> None:
        self.libc = libc
        self.said = said
        #: writable without consequence: (where it is looked at, path that it stands for)
        self.layers: list[tuple[str, str]] = []
        self.writable: list[str] = []
        #: made here, as places to mount something on
        self.made: set[str] = set()

    def build(self) -> None:
        """Replace the mounts of this process's namespace."""
        self.libc.mount("none", "/", None, _RECURSIVE | _PRIVATE)
        said, actions = self.said, []
        kept = {os.path.realpath(path) for path in said.get("keep", ())}
        for order, name in enumerate(("private", "hide", "layer", "keep", "write")):
            for path in dict.fromkeys(said.get(name, ())):
                with contextlib.suppress(OSError):
                    fd = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
                    # two paths to one place are one place
                    real = os.path.realpath(path)
                    if name == "hide" and real in kept:
                        continue
                    actions.append((real.count("/") * (real != "/"), order, real, name, fd))
        others, scratch = self._mounts(), os.path.realpath(said.get("scratch") or "/")
        above = os.path.dirname(scratch)
        for _, _, path, name, fd in sorted(actions, key=lambda a: (a[2] != above, a)):
            with contextlib.suppress(OSError):
                if name == "layer" and not os.path.ismount(scratch):
                    self._place(scratch, folder=True)
                    self.libc.mount("tmpfs", scratch, "tmpfs", 0, "mode=0755")
                getattr(self, f"_{name}")(path, fd)
        # what was mounted below a layer is under it now
        ours = [path for _, _, path, name, _ in actions if name != "layer"]
        for path, fd in others:
            under = any(path.startswith(f"{p}/") for _, p in self.layers)
            if under and not any(f"{path}/".startswith(f"{p}/") for p in ours):
                with contextlib.suppress(OSError):
                    self._bind(path, fd)
        with contextlib.suppress(OSError):
            self.libc.read_only("/", on=True, tree=True)
        for path in self.writable:
            with contextlib.suppress(OSError):
                self.libc.read_only(path, on=False, tree=path in said.get("write", ()))

    def _mounts(self) -> list[tuple[str, int]]:
        found = []
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                path = line.split()[4].replace("\\040", " ")
                if not path.startswith(("/proc", "/sys", "/dev", "/run")) and path != "/":
                    with contextlib.suppress(OSError):
                        found.append((path, os.open(path, getattr(os, "O_PATH", 0))))
        return found

    def _place(self, path: str, folder: bool) -> None:
        """Make what something is mounted on, where a parent was replaced by an empty folder."""
        missing = []
        at = path
        while not os.path.lexists(at):
            missing.append(at)
            at = os.path.dirname(at)
        for at in reversed(missing):
            if at == path and not folder:
                os.close(os.open(at, os.O_CREAT | os.O_WRONLY, 0o644))
            else:
                os.mkdir(at, 0o755)
            self.made.add(at)

    def _bind(self, path: str, fd: int) -> None:
        self._place(path, stat.S_ISDIR(os.fstat(fd).st_mode))
        self.libc.mount(f"/proc/self/fd/{fd}", path, None, _BIND | _RECURSIVE)

    _keep = _bind

    def _write(self, path: str, fd: int) -> None:
        self._bind(path, fd)
        self.writable.append(path)

    def _private(self, path: str, _: int) -> None:
        """An empty folder, for temporary files."""
        self.libc.mount("tmpfs", path, "tmpfs", 0, "mode=1777")
        self.writable.append(path)

    def _hide(self, path: str, fd: int) -> None:
        """Nothing to be read there."""
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            self.libc.mount("/dev/null", path, None, _BIND)
            return
        self.libc.mount("tmpfs", path, "tmpfs", 0, "mode=0755")
        self.layers.append((path, path))
        self.writable.append(path)

    def _layer(self, path: str, fd: int) -> None:
        """As it is, but what is written goes into a layer over it."""
        if not os.path.exists(path) or not os.path.samestat(os.stat(path), os.fstat(fd)):
            self._bind(path, fd)
        if set(path) & set(",:\\"):
            return
        scratch = f"{self.said['scratch']}/{fd}"
        upper, work = f"{scratch}/upper", f"{scratch}/work"
        for folder in (scratch, upper, work):
            os.mkdir(folder)
        given = os.fstat(fd)
        os.chmod(upper, stat.S_IMODE(given.st_mode))
        with contextlib.suppress(OSError):
            os.chown(upper, given.st_uid, given.st_gid)
        told = f"lowerdir={path},upperdir={upper},workdir={work}"
        try:
            self.libc.mount("overlay", path, "overlay", 0, f"{told},userxattr")
        except OSError:
            self.libc.mount("overlay", path, "overlay", 0, told)
        self.layers.append((upper, path))
        self.writable.append(path)

    def written(self) -> list[str]:
        """What was written outside of the program's folders, caches apart."""
        found: list[str] = []
        for place, path in self.layers:
            for name in _files(place, self.made):
                said = f"{path.rstrip('/')}{name}"
                parts = said.split("/")
                if not _CACHES & set(parts) and not said.startswith(_CACHE_PLACES):
                    found.append(said)
        # beside the program's folder, among temporary files
        for place in sorted(self.made):
            if os.path.isdir(place) and not os.path.ismount(place):
                beside = [os.path.join(place, name) for name in os.listdir(place)]
                found += [p for p in beside if p not in self.made and p not in found]
        return sorted(set(found))[:_MOST]


def _files(place: str, made: set[str]) -> list[str]:
    """Files (and folders without any) below a folder, without what is mounted there."""
    found: list[str] = []
    device = os.lstat(place).st_dev
    for folder, folders, files in os.walk(place):
        for name in tuple(folders):
            full = os.path.join(folder, name)
            if os.lstat(full).st_dev != device:
                folders.remove(name)
        below = folder[len(place) :]
        found += [f"{below}/{n}" for n in files if os.path.join(folder, n) not in made]
        if not folders and not files and folder != place and folder not in made:
            found.append(f"{below}/")
        if len(found) > 1000:
            break
    return [f if f.startswith("/") else f"/{f}" for f in found]


# -- the program, and who watches it ---------------------------------------------------------------


def _enter(libc: Libc, said: dict[str, Any], apart: bool, tree: Tree) -> None:
    """Give up what the program must not have."""
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
    libc: Libc, said: dict[str, Any], command: list[str], tree: Tree, told: int
) -> NoReturn:
    """Process 1 of the namespace: starts the program, says what it leaves behind, ends with it."""
    libc.c.prctl(_PARENT_DIED, signal.SIGKILL, 0, 0, 0)
    own_processes = False
    with contextlib.suppress(OSError):
        libc.mount("proc", "/proc", "proc", 0)
        own_processes = True
        for name in ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"):
            libc.mount(name, name, None, _BIND)
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
    os.write(told, json.dumps({"left": left[:_MOST], "status": status}).encode())
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
    heard, told = os.pipe()
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
        _first_process(libc, said, command, tree, told)
    os.close(told)
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
        _unshare(libc, said["network"])
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
