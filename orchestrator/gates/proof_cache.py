"""Results of long computations, kept on disk under a digest of all that they depend on.

The digest covers the input bytes, the versions of the tools, and the product's own code. The folder
may be deleted at any time; what cannot be read is computed again. It is in the user's cache, and
sealed with the user's key: what something else wrote there is not found.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import platform
import secrets
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from orchestrator.storage import signing

_PACKAGES = ("orchestrator", "orchestrate_agents", "orchestrate_backend")
_SUFFIXES = (".py", ".sql", ".j2", ".cjs", ".ts", ".toml")
_MOST_FILES = 4_000
#: results that are put between two looks at how many there are
_LOOK_AT_EACH = 50
#: bytes
_LARGEST = 4 * 1024 * 1024
#: bytes of the seal before a result
_SEAL = 32


class ProofCache:
    """A folder of results, by key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: hits in this process
        self.found = 0
        self._put = 0

    def get(self, key: str) -> bytes | None:
        """The bytes stored under a key, or None."""
        file = self._file(key)
        try:
            kept = file.read_bytes()
        except OSError:
            return None
        data = kept[_SEAL:]
        seal = signing.seal(file.name.encode() + data)
        if not seal or not hmac.compare_digest(kept[:_SEAL], seal):
            return None
        self.found += 1
        return data

    def put(self, key: str, data: bytes) -> None:
        """Store bytes under a key, whole or not at all; a full disk is not an error."""
        file = self._file(key)
        seal = signing.seal(file.name.encode() + data)
        if not seal or len(data) > _LARGEST:
            return
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = self.folder / f".{secrets.token_hex(8)}"
            temporary.write_bytes(seal + data)
            temporary.replace(file)
            # looking at all of them takes longer than most results are worth
            if self._put % _LOOK_AT_EACH == 0:
                self._remove_old()
            self._put += 1

    def _remove_old(self) -> None:
        """If there are too many files, remove the older half."""
        with os.scandir(self.folder) as entries:
            files = list(entries)
        if len(files) > _MOST_FILES:
            files.sort(key=lambda file: file.stat().st_mtime)
            for file in files[: len(files) // 2]:
                Path(file).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        text = f"{product_digest()}\n{key}"
        return self.folder / hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_product(module: str) -> bool:
    """Whether a module is part of what `product_digest` covers."""
    return module.partition(".")[0] in _PACKAGES


@cache
def product_digest() -> str:
    """A digest of this product's code and of the versions of what it runs on."""
    digest = hashlib.sha256(platform.python_version().encode())
    for package in _PACKAGES:
        spec = find_spec(package)
        if spec is not None and spec.origin:
            for line in sorted(_stamps(os.path.dirname(spec.origin))):  # noqa: PTH120
                digest.update(line.encode("utf-8", "surrogateescape"))
    for folder in sys.path:
        # a package's metadata folder is named by its version; reading them all takes long
        with contextlib.suppress(OSError):
            names = sorted(n for n in os.listdir(folder) if n.endswith((".dist-info", ".egg-info")))  # noqa: PTH208
            digest.update("\n".join(names).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _stamps(folder: str) -> Iterator[str]:
    """Each source below a folder with its size and time."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _stamps(entry.path) if entry.name != "__pycache__" else ()
            elif entry.name.endswith(_SUFFIXES):
                stat = entry.stat()
                yield f"{entry.path}:{stat.st_size}:{stat.st_mtime_ns}\n"


def user_cache() -> Path:
    """What may be deleted at any time: below `ORCHESTRATE_SCRATCH`, else in the user's cache."""
    base = os.environ.get("ORCHESTRATE_SCRATCH") or os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "orchestrate"


def user_proof_cache() -> ProofCache:
    """The cache of this user; the same one for all of a process, so that it counts what it puts."""
    named = (os.environ.get(name) for name in ("ORCHESTRATE_SCRATCH", "XDG_CACHE_HOME", "HOME"))
    return _cache_of(*named)


@cache
def _cache_of(*_environment: str | None) -> ProofCache:
    return ProofCache(user_cache() / "proofs")
