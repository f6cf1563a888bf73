"""Links in notifications: each shows one question, and answers it once (DESIGN 13.1)."""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import MissingExtraError, OrchestrateError
from orchestrator.settings.web import WebSettings
from orchestrator.storage.signing import seal

if TYPE_CHECKING:
    from itsdangerous import URLSafeTimedSerializer

_USED = Path(".orchestrate", "state", "used-links")


class LinkError(OrchestrateError):
    """A link that may not be used (any more)."""

    code = "bad-link"


@dataclass(frozen=True)
class Link:
    """What a link stands for."""

    family: str
    question: int
    digest: str
    nonce: str


@dataclass(frozen=True)
class Links:
    """Makes and reads the links of one board. Only who holds this user's key can make one."""

    root: Path
    settings: WebSettings

    def _serializer(self) -> URLSafeTimedSerializer:
        try:
            from itsdangerous import URLSafeTimedSerializer
        except ModuleNotFoundError as exc:
            raise MissingExtraError("a link in a notification", "itsdangerous", "web") from exc
        secret = seal(b"web links\0" + os.fsencode(self.root))
        if not secret:
            raise LinkError("links cannot be signed: there is no key", hint="orchestrate doctor")
        return URLSafeTimedSerializer(secret, salt="answer")

    def address(self, family: str, question: int, digest: str) -> str:
        """The address under which a question can be answered; "" without `[web] url`."""
        if not self.settings.url:
            return ""
        what = [family, question, digest, secrets.token_urlsafe(9)]
        return f"{self.settings.url}/answer/{self._serializer().dumps(what)}"

    def read(self, token: str) -> Link:
        """What a link stands for. Raises LinkError if it is not genuine, too old or used."""
        from itsdangerous import BadSignature, SignatureExpired

        try:
            age = self.settings.link_hours * 3600
            family, number, digest, nonce = self._serializer().loads(token, max_age=int(age))
        except SignatureExpired as exc:
            raise LinkError("this link is too old", hint="open the board instead") from exc
        except (BadSignature, ValueError, TypeError) as exc:
            raise LinkError("this is not a link of this board") from exc
        if nonce in self._used():
            raise LinkError("this link was used already", hint="open the board instead")
        return Link(str(family), int(number), str(digest), str(nonce))

    def _used(self) -> list[str]:
        try:
            return (self.root / _USED).read_text(encoding="ascii").split()
        except FileNotFoundError:
            return []

    def use(self, link: Link) -> None:
        """Remember that a link has answered. Raises LinkError if another request was faster."""
        file = self.root / _USED
        file.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(
            file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        with os.fdopen(fd, "r+", encoding="ascii") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            if link.nonce in opened.read().split():
                raise LinkError("this link was used already", hint="open the board instead")
            opened.write(f"{link.nonce}\n")
