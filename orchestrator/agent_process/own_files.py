"""The file system of a program behind walls: what it finds there, and what it wrote.

Standard library only.
"""

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.agent_process.landlock import Libc

BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000
#: what may change without anybody's asking
_CACHES = frozenset({"__pycache__", "node_modules", ".venv", "venv", ".cache", ".pytest_cache"})
_CACHES |= {".mypy_cache", ".ruff_cache", ".tox", ".nox"}
_CACHE_PLACES = ("/var/cache/", "/var/log/", "/run/", "/sys/", "/proc/", "/dev/")
_MOST = 20
#: devices that programs use, and that lead to nothing of others: no disks, terminals or memory
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "fuse", "kvm", "dri", "kfd")
_DEVICES_BEGIN = ("nvidia",)


class Tree:
    """The file system as the program has it."""

    def __init__(self, libc: "Libc", said: dict[str, Any]) -> None:
        self.libc = libc
        self.said = said
        #: writable without consequence: (where it is looked at, path that it stands for)
        self.layers: list[tuple[str, str]] = []
        self.writable: list[str] = []
        #: made here, as places to mount something on
        self.made: set[str] = set()
        self.caches = _CACHES if not said.get("tidy") else frozenset({"__pycache__"})

    def build(self) -> None:
        """Replace the mounts of this process's namespace."""
        self.libc.mount("none", "/", None, RECURSIVE | PRIVATE)
        said, actions = self.said, []
        kept = {os.path.realpath(path) for path in said.get("keep", ())}
        for order, name in enumerate(("private", "hide", "layer", "keep", "write", "fixed")):
            for path in dict.fromkeys(said.get(name, ())):
                with contextlib.suppress(OSError):
                    fd = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
                    # two paths to one place are one place
                    real = os.path.realpath(path)
                    if name == "hide" and real in kept:
                        continue
                    actions.append((real.count("/") * (real != "/"), order, real, name, fd))
        if not said.get("trusted"):
            with contextlib.suppress(OSError):
                self._devices()
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
        for path in said.get("fixed", ()):
            with contextlib.suppress(OSError):
                self.libc.read_only(os.path.realpath(path), on=True, tree=True)

    def _devices(self) -> None:
        """Few devices, and terminals of its own: root could read disks, users their terminals."""
        names = [n for n in os.listdir("/dev") if n in DEVICES or n.startswith(_DEVICES_BEGIN)]
        names += [] if self.said.get("private") else ["shm"]
        fds = [(f"/dev/{n}", os.open(f"/dev/{n}", getattr(os, "O_PATH", 0))) for n in names]
        self.libc.mount("tmpfs", "/dev", "tmpfs", 0, "mode=0755")
        for path, fd in fds:
            self._bind(path, fd)
            os.close(fd)
        for name in ("pts", "shm"):
            self._place(f"/dev/{name}", folder=True)
        with contextlib.suppress(OSError):
            own = "newinstance,ptmxmode=0666,mode=0620"
            self.libc.mount("devpts", "/dev/pts", "devpts", 0, own)
        os.symlink("pts/ptmx", "/dev/ptmx")
        os.symlink("/proc/self/fd", "/dev/fd")
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            os.symlink(f"/proc/self/fd/{number}", f"/dev/{name}")

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
        self.libc.mount(f"/proc/self/fd/{fd}", path, None, BIND | RECURSIVE)

    _keep = _fixed = _bind

    def _write(self, path: str, fd: int) -> None:
        self._bind(path, fd)
        self.writable.append(path)

    def _private(self, path: str, _: int) -> None:
        """An empty folder, for temporary files."""
        self.libc.mount("tmpfs", path, "tmpfs", 0, "mode=1777")
        self.writable.append(path)
        if self.said.get("tidy"):
            self.layers.append((path, path))

    def _hide(self, path: str, fd: int) -> None:
        """Nothing to be read there."""
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            self.libc.mount("/dev/null", path, None, BIND)
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
        options = f"lowerdir={path},upperdir={upper},workdir={work}"
        try:
            self.libc.mount("overlay", path, "overlay", 0, f"{options},userxattr")
        except OSError:
            self.libc.mount("overlay", path, "overlay", 0, options)
        self.layers.append((upper, path))
        self.writable.append(path)

    def written(self) -> list[str]:
        """What was written outside of the program's folders, caches apart."""
        found: list[str] = []
        for place, path in self.layers:
            for name in _files(place, self.made):
                said = f"{path.rstrip('/')}{name}"
                parts = said.split("/")
                if not self.caches & set(parts) and not said.startswith(_CACHE_PLACES):
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
