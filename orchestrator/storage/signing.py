"""The conductor's signature: an Ed25519 key of the user, outside of every repository (DESIGN 12.3).

What a public key is written as everywhere: base64 of its 32 bytes.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import OrchestrateError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: what this process has signed, or found signed, last: digests of key, signature and bytes
_signed: OrderedDict[bytes, None] = OrderedDict()
_MOST_SIGNED = 1024
#: a key's file, and what is before the 32 bytes of an Ed25519 key in it (RFC 8410)
_OWN_FORM = re.compile(
    rb"-----BEGIN PRIVATE KEY-----\n(?P<der>[A-Za-z0-9+/]{64})\n-----END PRIVATE KEY-----\n"
)
_ED25519 = bytes.fromhex("302e020100300506032b657004220420")


def key_path() -> Path:
    """The file of the private key: `$ORCHESTRATE_SIGNING_KEY`, else in the user's configuration."""
    return Path(_key_file())


def _key_file() -> str:
    # asked for every line that is written; `environb` checks and copies each variable again
    held: Mapping[bytes, bytes] = getattr(os.environ, "_data", os.environb)
    return _file_by(*map(held.get, (b"ORCHESTRATE_SIGNING_KEY", b"XDG_CONFIG_HOME", b"HOME")))


@lru_cache(maxsize=4)
def _file_by(named: bytes | None, base: bytes | None, _home: bytes | None) -> str:
    if named:
        return os.fsdecode(named)
    # without a home, as in some containers, this stays "~": no key can be made below it
    root = os.fsdecode(base) if base else os.path.expanduser("~/.config")  # noqa: PTH111
    return f"{root}/orchestrate/signing-key.pem"


def sign(data: bytes) -> str:
    """The signature of this user, base64; "" where no key can be read or made."""
    file = _key_file()
    key = _private_key(file)
    if key is None:
        return ""
    signature = base64.b64encode(key.sign(data)).decode()
    _remember(_digest(data, _own_key(file), signature))
    return signature


def seal(data: bytes) -> bytes:
    """A code over bytes that only the holder of the private key can make; b"" without a key.

    Faster than a signature, for what only this user reads again.
    """
    file = _key_file()
    with contextlib.suppress(OSError):
        try:
            found = os.stat(file)  # noqa: PTH116 - for every line that is written
        except FileNotFoundError:
            own_key()
            found = os.stat(file)  # noqa: PTH116
        secret = _secret(file, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        return hmac.digest(secret, data, "sha256")
    return b""


@lru_cache(maxsize=4)
def _secret(file: str, *_stamp: int) -> bytes:
    """What seals are made with, of the key's file as it is by its inode and times."""
    return hashlib.sha256(b"orchestrate seal\0" + Path(file).read_bytes()).digest()


def own_key() -> str:
    """The public key of this user, "" where there is none."""
    return _own_key(_key_file())


@lru_cache(maxsize=4)
def _own_key(path: str) -> str:
    key = _private_key(path)
    return _public(key) if key else ""


def require_key() -> str:
    """The public key of this user. Raises OrchestrateError (code `no-signing-key`) without one."""
    if key := own_key():
        return key
    raise OrchestrateError(
        "the signing key cannot be read or made",
        path=key_path(),
        code="no-signing-key",
        hint="make its folder writable, or name another file in ORCHESTRATE_SIGNING_KEY",
    )


def is_signed(data: bytes, key: str, signature: str) -> bool:
    """Whether the holder of a public key signed these bytes."""
    digest = _digest(data, key, signature)
    if digest in _signed:
        return True
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
        public.verify(base64.b64decode(signature, validate=True), data)
    except (ValueError, InvalidSignature):
        return False
    _remember(digest)
    return True


def _digest(data: bytes, key: str, signature: str) -> bytes:
    said = f"{len(key)} {len(signature)} {key}{signature}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(said + data).digest()


def _remember(digest: bytes) -> None:
    _signed[digest] = None
    if len(_signed) > _MOST_SIGNED:
        with contextlib.suppress(KeyError):
            _signed.popitem(last=False)


def _public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


@lru_cache(maxsize=4)
def _private_key(path: str) -> Ed25519PrivateKey | None:
    """The key of a file, made on first use; None where that cannot be."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    file = Path(path)
    if not file.is_absolute():
        return None
    with contextlib.suppress(OSError, ValueError):
        if written := _OWN_FORM.fullmatch(file.read_bytes()):
            # as it is made below; to read any other form, that of every kind of key is imported
            der = base64.b64decode(written["der"])
            if len(der) == len(_ED25519) + 32 and der.startswith(_ED25519):
                return Ed25519PrivateKey.from_private_bytes(der[len(_ED25519) :])
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    with contextlib.suppress(OSError):
        if not file.exists():
            new = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            _create(file, new)
    try:
        found = serialization.load_pem_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, InternalError):
        return None
    return found if isinstance(found, Ed25519PrivateKey) else None


def _create(file: Path, data: bytes) -> None:
    """Write a file whole, for its owner alone; of two at once the first one counts."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as opened:  # noqa: PTH123 - an open descriptor
        opened.write(data)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
