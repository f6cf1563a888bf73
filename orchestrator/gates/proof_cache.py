"""Results of long computations, kept on disk by a digest of all that they depend on.

A result is found again only under the same key: the bytes that went in, the versions of the tools,
and the product's own code. The folder may be deleted at any time; what cannot be read is computed
anew. It lies in the user's cache, outside every workspace: an agent that writes in the workspace
reaches none of it by its work.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import secrets
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("orchestrator", "orchestrate_agents", "orchestrate_backend")
_PARTS = (".py", ".sql", ".j2", ".cjs", ".ts")
_MOST_FILES = 2_000
_LARGEST = 4 * 1024 * 1024


class ProofCache:
    """A folder of results, by key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: results that were found, in this process
        self.found = 0

    def get(self, key: str) -> bytes | None:
        """The bytes that were kept under a key, or None."""
        try:
            data = (self.folder / _name(key)).read_bytes()
        except OSError:
            return None
        self.found += 1
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep bytes under a key, whole or not at all; a full disk costs only the saving."""
        if len(data) > _LARGEST:
            return
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = self.folder / f".{secrets.token_hex(8)}"
            temporary.write_bytes(data)
            temporary.replace(self.folder / _name(key))
            self._prune()

    def _prune(self) -> None:
        """Remove the oldest half when there are too many."""
        files = list(self.folder.iterdir())
        if len(files) > _MOST_FILES:
            files.sort(key=lambda file: file.stat().st_mtime)
            for file in files[: len(files) // 2]:
                file.unlink(missing_ok=True)


def _name(key: str) -> str:
    return hashlib.sha256(f"{product()}\n{key}".encode("utf-8", "surrogatepass")).hexdigest()


@cache
def product() -> str:
    """A digest of this product's code and of the versions of what it runs on."""
    digest = hashlib.sha256(platform.python_version().encode())
    for package in _PACKAGES:
        spec = find_spec(package)
        root = Path(spec.origin).parent if spec is not None and spec.origin else None
        for file in sorted(root.rglob("*")) if root else ():
            if file.suffix in _PARTS:
                stat = file.stat()
                told = f"{file}:{stat.st_size}:{stat.st_mtime_ns}\n"
                digest.update(told.encode("utf-8", "surrogateescape"))
    for folder in sys.path:
        # a package's metadata folder is named by its version; reading them all takes long
        with contextlib.suppress(OSError):
            names = sorted(n for n in os.listdir(folder) if n.endswith((".dist-info", ".egg-info")))  # noqa: PTH208
            digest.update("\n".join(names).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def user_proof_cache() -> ProofCache:
    """The memo of this user (`ORCHESTRATE_SCRATCH`, else the user's cache)."""
    base = os.environ.get("ORCHESTRATE_SCRATCH") or os.environ.get("XDG_CACHE_HOME")
    root = Path(base) if base else Path.home() / ".cache"
    return ProofCache(root / "orchestrate" / "proofs")
