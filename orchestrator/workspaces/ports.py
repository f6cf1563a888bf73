"""What a checkout has to itself: ports (a link named after a range, to its name), a database."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

#: where the ranges begin, how many there are, and how many ports each has; all of them lie below
#: those that systems give to outgoing connections
FIRST, RANGES, PORTS = 20_000, 600, 20


def claim_ports(folder: Path, name: str) -> range:
    """The ports of the checkout `folder`/`name`, the same ones each time."""
    links = folder / ".ports"
    links.mkdir(parents=True, exist_ok=True)
    known = {link.readlink().name: link for link in links.iterdir() if link.is_symlink()}
    if name in known:
        return _range(int(known[name].name))
    begin = int.from_bytes(hashlib.sha256(f"{folder}\0{name}".encode()).digest()[:4], "big")
    for _ in range(2):
        for number in ((begin + n) % RANGES for n in range(RANGES)):
            try:
                (links / str(number)).symlink_to(name)
            except FileExistsError:
                continue
            return _range(number)
        # those of checkouts that somebody has deleted
        for owner, link in known.items():
            if not (folder / owner).exists():
                link.unlink(missing_ok=True)
    return _range(begin % RANGES)


def variables_of(folder: Path, name: str) -> dict[str, str]:
    """The variables that tell a checkout's ports to who works in it."""
    ports = claim_ports(folder, name)
    return {"PORT": str(ports[0]), "ORCHESTRATE_PORTS": f"{ports[0]}-{ports[-1]}"}


def release_ports(folder: Path, name: str) -> None:
    """Let others have the ports of a checkout that is gone."""
    for link in (folder / ".ports").glob("*"):
        if link.is_symlink() and link.readlink().name == name:
            link.unlink(missing_ok=True)


def database_folder(home: Path, name: str) -> Path:
    """Where the server of a checkout keeps its database, if it has one."""
    return home / ".orchestrate" / "databases" / name


def drop_database(home: Path, name: str) -> None:
    """Remove the database of a checkout that is gone, with its password."""
    folder = database_folder(home, name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_name(f"{name}.password").unlink(missing_ok=True)


def _range(number: int) -> range:
    first = FIRST + number * PORTS
    return range(first, first + PORTS)
