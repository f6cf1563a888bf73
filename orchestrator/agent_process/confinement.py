"""Walls around programs that nobody vouches for: checks, tests, scripts, agents.

`confine.py` builds them, in the program's own process. Here is said which, and what was tried.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from orchestrator import plugins
from orchestrator.storage.temporary import Temporary

_CONFINE = Path(__file__).with_name("confine.py")
#: places for temporary files: a program has its own
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - where others' files are
#: sockets of the machine's services; what some systems keep programs in
_SERVICES, _PROGRAMS = "/run", ("/run/current-system", "/run/wrappers")
#: not folders of files that a layer could cover
_VIRTUAL = frozenset({"proc", "sys", "dev", "run", "tmp", "lost+found"})
_SYSTEM_SECRETS = ("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh", "/etc/ssl/private")
#: how the name of an example of a workspace's settings ends, which holds no keys
_PUBLIC_ENDS = (".example", ".sample", ".template", ".dist", ".defaults")
#: folders of programs; what lies in a home with keys beside programs, and what of it is not a key
_OF_PROGRAMS = ("bin", "shims")
_WITH_KEYS = (".local", ".cargo", ".config")
_PARTS = ("lib", "pipx", "share/pipx", "share/uv", "share/pnpm")
_REPORT_LIMIT = 64_000


@dataclass(frozen=True)
class Ability:
    """What this machine can do to confine a program."""

    landlock: int
    namespaces: bool
    bubblewrap: str

    @property
    def is_whole(self) -> bool:
        """Whether a program reaches nobody, reads no keys, writes nothing outside, and is seen."""
        return self.namespaces

    @property
    def confines(self) -> bool:
        """Whether a program can be kept from writing outside of its folders."""
        return self.namespaces or bool(self.bubblewrap) or self.landlock >= 2

    @property
    def sentence(self) -> str:
        """For people: what holds here and what does not."""
        if self.namespaces:
            more = f", and Landlock (version {self.landlock}) around it" if self.landlock else ""
            return (
                "programs run in namespaces of their own: without network, keys and other "
                f"processes, with a throw-away layer over the disk{more}"
            )
        if self.bubblewrap:
            return (
                "programs run in bubblewrap: without network, keys and other processes, with the "
                "disk read-only; what they try is refused, but not reported"
            )
        if self.landlock >= 2:
            return (
                f"Landlock (version {self.landlock}) keeps programs from keys and from writing "
                "outside of their folders; this system allows no namespaces, so the network is "
                "open to them and what they try is not reported (install bubblewrap, or allow "
                "unprivileged user namespaces)"
            )
        return (
            "nothing confines programs here: this system has neither namespaces nor bubblewrap nor "
            "Landlock; what is run for a proof or by an agent can do what you can do"
        )


@lru_cache(maxsize=1)
def ability() -> Ability:
    """What this machine allows, asked once."""
    bubblewrap = shutil.which("bwrap") or ""
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        words = [sys.executable, "-I", "-S", str(_CONFINE), "--probe"]
        own = {"PATH": os.environ.get("PATH", os.defpath)}
        done = subprocess.run(words, capture_output=True, timeout=20, check=True, env=own)
        said = json.loads(done.stdout)
        return Ability(int(said["landlock"]), bool(said["namespaces"]), bubblewrap)
    return Ability(0, False, bubblewrap if sys.platform == "linux" else "")


class Confinement:
    """The walls around one program, and what it tried.

    `write`: where it may write; `fixed`: what stays as it is though it lies there. `read`: what it
    needs to read although it lies among temporary files or hidden ones. `workspace`: its keys are
    hidden from it. `leaves`: what it leaves running is ended, but is not a fault. `network`: it has
    the machine's. `layered`: what it writes elsewhere seems to succeed, and is reported; else it is
    refused. `tap`: the program is handed the socket that sees its packets (`ORCHESTRATE_PACKETS`).
    `ports`: servers of this machine that it may use. `apart`: it has temporary folders of its own;
    else it shares the machine's, and database servers that listen on sockets.
    `hidden`: what else it does not see. It sees sockets only where it reads or writes.
    `tidy`: temporary files and caches that it leaves are told too. `trusted`: it is our own, and
    builds walls around what it starts (`confine.behind_walls`).
    """

    def __init__(
        self,
        write: Sequence[Path],
        read: Sequence[Path | str] = (),
        *,
        workspace: Path | None = None,
        leaves: bool = False,
        network: bool = False,
        layered: bool = True,
        tap: bool = False,
        ports: Sequence[int] = (),
        apart: bool = True,
        tidy: bool = False,
        trusted: bool = False,
        fixed: Sequence[Path] = (),
        hidden: Sequence[str] = (),
    ) -> None:
        self._heard, self._report = os.pipe()
        self._holds = False
        self._scratch = Temporary("layer", _TEMPORARY[0]) if layered else None
        writes = [str(path) for path in write]
        hide = [*secret_places(), *(secrets_of(workspace) if workspace else ())]
        hide += [*([_SERVICES] if apart else _services_of_others()), *hidden]
        hide += _sockets_of_others([*writes, *map(str, read), *hide]) if apart else []
        covered = (*(_TEMPORARY if apart else ()), *hide)
        writes += [] if apart else _TEMPORARY
        keep = list(_below(map(str, read), covered))
        layers = list(_tops()) if layered else []
        if workspace is not None:
            (layers if layered else keep).extend(_below([str(workspace)], covered))
        self._said: dict[str, Any] = {
            "private": _TEMPORARY if apart else [],
            "hide": hide,
            "layer": layers,
            "keep": [*keep, *_PROGRAMS],
            "write": writes,
            "fixed": [str(path) for path in fixed],
            "scratch": self._scratch.name if self._scratch else "",
            "network": "host" if network else "own",
            "own": _own_addresses(),
            "leaves": leaves,
            "tap": tap,
            "ports": list(ports) if not network else [],
            "tidy": tidy,
            "trusted": trusted,
        }
        self._said["bubblewrap"] = _bubblewrap(self._said)

    @property
    def said(self) -> dict[str, Any]:
        """What `confine.py` is told."""
        return self._said

    @property
    def fds(self) -> tuple[int, ...]:
        """To pass on to the program (`pass_fds`)."""
        return (self._report,)

    def words(self, command: Sequence[str]) -> list[str]:
        """The command that starts the program behind the walls."""
        said = json.dumps({**self._said, "report": self._report})
        return [sys.executable, "-I", "-S", str(_CONFINE), said, *command]

    def started(self) -> None:
        """The program has its end of the pipe: this process needs none."""
        if self._report >= 0:
            os.close(self._report)
            self._report = -1

    @property
    def holds(self) -> bool:
        """Whether what was tried was seen; known once `tried` was asked."""
        return self._holds

    def tried(self, *, killed: bool = False) -> tuple[str, ...]:
        """What the program tried, once it has ended; `killed`: by whoever started it."""
        self.started()
        os.set_blocking(self._heard, False)
        data = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(self._heard, _REPORT_LIMIT):
                data += chunk
        self._holds = killed
        try:
            said = json.loads(data)
            self._holds = said.get("apart", False) is True
        except ValueError:
            return () if killed else ("ended whoever watched it",)
        return tuple(describe_attempts(said))

    def close(self) -> None:
        self.started()
        os.close(self._heard)
        if self._scratch:
            self._scratch.cleanup()

    def __enter__(self) -> Confinement:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def describe_attempts(said: Mapping[str, Any]) -> Iterator[str]:
    """For people and receipts: what a report of `confine.py` says was tried."""
    for key, words in (
        ("reached", "tried to reach {}"),
        ("wrote", "wrote to {}, outside of its folder"),
        ("left", "left `{}` running"),
        ("ended", "ended {}"),
    ):
        for what in said.get(key, ()):
            yield words.format(what)


def _bubblewrap(said: Mapping[str, Any]) -> list[str]:
    """The same walls by bubblewrap, which tells nothing of what was tried; [] without it."""
    program = shutil.which("bwrap")
    if not program:
        return []
    words = [program, "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc"]
    words += ["--unshare-pid", "--unshare-ipc", "--die-with-parent"]
    words += ["--unshare-net"] if said["network"] != "host" else []
    covered = [*said["private"], *said["hide"]]
    for path in covered:
        found = Path(path)
        words += ["--tmpfs", path] if found.is_dir() else []
        words += ["--ro-bind", "/dev/null", path] if found.exists() and not found.is_dir() else []
    for path in _below([*said["layer"], *said["keep"]], covered):
        words += ["--ro-bind-try", path, path]
    for path in said["write"]:
        words += ["--bind", path, path]
    for path in said["fixed"]:
        words += ["--ro-bind", path, path]
    return words


# -- places ----------------------------------------------------------------------------------------


def secret_places() -> tuple[str, ...]:
    """Where this machine keeps keys: what begins with a dot in any home, the signing key.

    Without the programs among it: Python's installation, and what `PATH` names.
    """
    dotted = [e for home in _homes() for e in _entries(home) if e.name[0] == "."]
    # what a link leads to may be a part of the system
    found = [e.path for e in dotted if not e.is_symlink()]
    found += _below([e.path for e in dotted if e.is_symlink()], _homes())
    if base := os.environ.get("XDG_CONFIG_HOME"):
        found.append(base)
    if key := os.environ.get("ORCHESTRATE_SIGNING_KEY"):
        found.append(key)
    return (*found, *_SYSTEM_SECRETS)


def program_places() -> tuple[str, ...]:
    """Where the programs that are in use lie: to be read although a home has them."""
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return (sys.prefix, sys.base_prefix, sys.exec_prefix, *installations(path), *_own_places())


@cache
def _own_places() -> tuple[str, ...]:
    """This program's packages and its Node packages, wherever they are installed from."""
    groups = ("agents", "checks", "settings", "simulators")
    entries = (entry for group in groups for entry in plugins.registered(group))
    names = {"orchestrator", *(entry.module.partition(".")[0] for entry in entries)}
    found: list[str] = []
    for name in sorted(names):
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(name)
            found += spec.submodule_search_locations or () if spec is not None else ()
    tools = Path(__file__).resolve().parents[2] / "node_modules"
    return (*found, *map(os.path.realpath, found), str(tools))


def installations(places: Sequence[str]) -> tuple[str, ...]:
    """Absolute places, and what is installed with programs among them.

    Of `~/.cargo` and its like not what else lies there, keys among it.
    """
    found, homes = [], _homes()
    for place in filter(os.path.isabs, places):
        found.append(place)
        folder, name = os.path.split(place.rstrip("/"))
        if name not in _OF_PROGRAMS and os.path.basename(folder) in _OF_PROGRAMS:  # noqa: PTH119
            folder, name = os.path.split(folder)
        if name in _OF_PROGRAMS and folder.count("/") > 1:
            above, tool = os.path.split(folder)
            is_partial = above in homes and tool in _WITH_KEYS
            found += [f"{folder}/{part}" for part in _PARTS] if is_partial else [folder]
    return tuple(dict.fromkeys(found))


def _homes() -> tuple[str, ...]:
    found = [os.path.expanduser("~"), "/root"]  # noqa: PTH111
    with contextlib.suppress(KeyError):
        found.append(pwd.getpwuid(os.getuid()).pw_dir)
    found += [entry.path for entry in _entries("/home")]
    return tuple(h for h in dict.fromkeys(map(os.path.realpath, found)) if h not in ("/", "/tmp"))  # noqa: S108


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def secrets_of(workspace: Path) -> list[str]:
    """A workspace's settings of one machine, and what git keeps with addresses."""
    settings = [
        entry.path
        for entry in _entries(str(workspace))
        if entry.name.startswith(".env") and not entry.name.endswith(_PUBLIC_ENDS)
    ]
    return [*settings, *(f"{workspace}/.git/{name}" for name in ("config", "credentials"))]


def _services_of_others() -> list[str]:
    """All sockets of services but those of database servers."""
    found = [e.path for e in _entries(_SERVICES) if e.name != "user" and not e.is_symlink()]
    users = [user.path for user in _entries(f"{_SERVICES}/user")]
    own = [entry for user in users for entry in _entries(user)]
    return [*found, *(e.path for e in own if "PostgresServer" not in e.name)]


def _sockets_of_others(known: Sequence[str]) -> list[str]:
    """Sockets anywhere on the disk on which somebody listens, but for those in known places.

    A disk that is read-only keeps nobody from asking a server, which may trust whoever asks.
    """
    folders = (*(f"{os.path.realpath(place)}/" for place in known), "/run/", "/tmp/")  # noqa: S108
    try:
        lines = Path("/proc/net/unix").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    # each connection to a socket is listed under its name
    paths = dict.fromkeys(line.split(maxsplit=7)[-1] for line in lines)
    return [
        path
        for path in paths
        if path.startswith("/") and not f"{os.path.realpath(path)}/".startswith(folders)
    ]


def _tops() -> Iterator[str]:
    for entry in _entries("/"):
        if entry.name not in _VIRTUAL and entry.is_dir(follow_symlinks=False):
            yield entry.path


def _below(paths: Iterable[str], places: Sequence[str]) -> Iterator[str]:
    """Those of the paths that lie in one of the places, or are one."""
    folders = tuple(f"{os.path.realpath(place)}/" for place in places)
    for path in dict.fromkeys(paths):
        real = os.path.realpath(path)
        if real.startswith(folders) or real in places:
            yield path


@lru_cache(maxsize=1)
def _own_addresses() -> list[str]:
    """What the machine's own name leads to, as its list of hosts says."""
    own = socket.gethostname()
    found = []
    with contextlib.suppress(OSError):
        for line in Path("/etc/hosts").read_text(encoding="utf-8", errors="replace").splitlines():
            address, *names = line.partition("#")[0].split() or [""]
            if own in names:
                found.append(address)
    return found
