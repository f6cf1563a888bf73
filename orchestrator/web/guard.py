"""Who may do what on the web board (DESIGN 12, 13.2).

Every request passes `Guard` before it reaches a page: the Host it names, the Origin of a change,
the size of its body, and the session. A request that changes something also needs the session's
CSRF token, which is only in the pages.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from urllib.parse import urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.settings.web import Role, WebSettings

#: bytes of a request's body, and seconds in which it has to arrive
LARGEST_BODY, SLOWEST_BODY = 512_000, 10.0
#: seconds for which a session is valid
_SESSION = 12 * 3600
#: where a reverse proxy shows its secret, and the variable that has it
PROXY_HEADER, PROXY_VARIABLE = "x-orchestrate-proxy", "ORCHESTRATE_PROXY_SECRET"
#: where one may go without a session; a link's own signature is its session
_OPEN = ("/login", "/static/", "/answer/")
#: no page loads, runs or frames anything that is not this server's own
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    # `no-referrer` would make browsers send changes with the origin "null"
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
#: failed attempts to sign in within a minute before one has to wait
_ATTEMPTS = 10


@dataclass(frozen=True)
class Visitor:
    """Who looks."""

    name: str
    role: Role
    #: goes into every form of a page
    csrf: str

    @property
    def may_answer(self) -> bool:
        return self.role == "approver"


@dataclass
class Sessions:
    """Makes and reads session cookies; all end with the process."""

    #: the settings that are in force now
    settings: Callable[[], WebSettings]
    #: opens a session where no users are configured, "" if it does not
    token: str
    #: the name of the cookie: cookies of one machine are shared by all ports
    cookie: str
    #: what a reverse proxy sends to show that it is one
    proxy_secret: str = ""
    #: signs the cookies
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    #: (peer, name) → when that was tried
    _tries: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    #: passwords that may be looked at together: each takes a core for a moment
    _looking: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(2))

    @property
    def _serializer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.secret, salt="session")

    def open_with_token(self, token: str) -> str | None:
        """The cookie for who knows the token of this start, else None."""
        known = bool(self.token) and hmac.compare_digest(token.encode(), self.token.encode())
        return self._new("USER") if known else None

    def sign_in(self, name: str, password: str, peer: str) -> str | None:
        """The cookie for a configured user with this password, else None."""
        from argon2 import PasswordHasher
        from argon2.exceptions import InvalidHashError, VerificationError

        if not self._may_try(peer, name) or not self._looking.acquire(timeout=2):
            return None
        try:
            user = self.settings().users.get(name)
            stored = user.password.get_secret_value() if user else ""
            # whoever tries names learns nothing from the time that it takes
            PasswordHasher().verify(stored or _nobodys_hash(), password)
        except (VerificationError, InvalidHashError):
            return None
        finally:
            self._looking.release()
        return self._new(name) if stored else None

    def _may_try(self, peer: str, name: str) -> bool:
        now = time.monotonic()
        with self._lock:
            self._tries = {k: t for k, t in self._tries.items() if now - t[-1] < 60}
            tries = self._tries.setdefault((peer, name), [])
            tries[:] = [*[at for at in tries if now - at < 60][-_ATTEMPTS:], now]
            return len(tries) <= _ATTEMPTS

    def _new(self, name: str) -> str:
        return str(self._serializer.dumps([name, secrets.token_hex(8)]))

    def end(self, request: Request) -> None:
        """End the session of a request, wherever its cookie was copied to."""
        self._ended.add(request.cookies.get(self.cookie, ""))

    def visitor(self, request: Request) -> Visitor | None:
        """Who made a request, None if that is not known."""
        settings = self.settings()
        if settings.user_header:
            return self._behind_proxy(request, settings)
        cookie = request.cookies.get(self.cookie, "")
        try:
            name, _ = self._serializer.loads(cookie, max_age=_SESSION)
        except (BadSignature, ValueError, TypeError):
            return None
        if cookie in self._ended:
            return None
        if self.token and name == "USER":
            return Visitor(name, "approver", self.csrf(cookie))
        user = settings.users.get(name)
        return Visitor(name, user.role, self.csrf(cookie)) if user else None

    def _behind_proxy(self, request: Request, settings: WebSettings) -> Visitor | None:
        """Whom the proxy names; every process of this machine could, so it shows its secret."""
        shown = request.headers.get(PROXY_HEADER, "")
        names = request.headers.getlist(settings.user_header)
        known = bool(self.proxy_secret) and hmac.compare_digest(
            shown.encode(), self.proxy_secret.encode()
        )
        if not known or len(names) != 1 or names[0] not in settings.users:
            return None
        return Visitor(names[0], settings.users[names[0]].role, self.csrf(f"proxy:{names[0]}"))

    def csrf(self, session: str) -> str:
        """The token that a change in this session has to bring."""
        return hmac.new(self.secret, b"csrf\0" + session.encode(), sha256).hexdigest()

    def set(self, response: Response, cookie: str, request: Request) -> None:
        """Give the browser its session."""
        url = urlsplit(self.settings().url)
        named = (f"https://{request.headers.get('host', '')}", request.headers.get("origin", ""))
        behind_tls = url.scheme == "https" and f"https://{url.netloc.lower()}" in named
        response.set_cookie(
            self.cookie,
            cookie,
            max_age=_SESSION,
            httponly=True,
            samesite="strict",
            secure=behind_tls or request.url.scheme == "https",
        )


@cache
def _nobodys_hash() -> str:
    from argon2 import PasswordHasher

    return PasswordHasher().hash(secrets.token_hex())


class _RefusedError(Exception):
    def __init__(self, status: int, why: str) -> None:
        self.status, self.why = status, why


@dataclass
class Guard:
    """ASGI middleware: refuses what does not come from a page of this board."""

    app: ASGIApp
    sessions: Sessions
    #: names under which this server may be asked: `127.0.0.1:8642`
    hosts: frozenset[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        request = Request(scope)
        try:
            self._check(request)
            response = self._open_session(request)
            if response is None:
                body = _LimitedBody(receive, Headers(scope=scope))
                await self.app(scope, body, _with_headers(send))
                return
        except _RefusedError as exc:
            ends = {"connection": "close"} if exc.status == 413 else None
            response = PlainTextResponse(f"{exc.why}\n", exc.status, headers=ends)
        await response(scope, receive, _with_headers(send))

    def _check(self, request: Request) -> None:
        host = request.headers.get("host", "").lower()
        address, port = request.scope.get("server") or ("", 0)
        # an address instead of a name is nobody's whom a page could have made it believe
        own = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        if host not in self.hosts and host != own:
            why = "this board is not served under that name; [web] url adds one"
            raise _RefusedError(421, why)
        if request.method in ("GET", "HEAD"):
            return
        if request.method != "POST":
            raise _RefusedError(405, "only GET and POST are understood here")
        if not self._is_own(request.headers.get("origin", ""), host):
            raise _RefusedError(403, "a change has to come from a page of this board (Origin)")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise _RefusedError(415, "a change has to be a form of this board")

    def _is_own(self, origin: str, host: str) -> bool:
        """Whether a page of this board sent a change; a proxy may have put another Host."""
        url = urlsplit(self.sessions.settings().url)
        with contextlib.suppress(ValueError):
            sent = urlsplit(origin)
            name = sent.netloc.lower()
            if name and name == url.netloc.lower():
                # not from a page of the same name that came without TLS
                return sent.scheme == url.scheme
            return name == host
        return False

    def _open_session(self, request: Request) -> Response | None:
        """The answer to a request that gets no page: a new session's redirect, or the way to one.

        None where the request goes on, with its `visitor` in its state.
        """
        token = request.query_params.get("token", "")
        if token and request.method == "GET":
            cookie = self.sessions.open_with_token(token)
            if cookie is None:
                raise _RefusedError(403, "this address is of an earlier start; take the newest one")
            # without the token, so that it stays in no history
            response: Response = RedirectResponse("/" + request.url.path.lstrip("/\\"), 303)
            self.sessions.set(response, cookie, request)
            return response
        visitor = self.sessions.visitor(request)
        request.state.visitor = visitor
        if visitor is not None or request.url.path.startswith(_OPEN):
            return None
        if self.sessions.token or self.sessions.settings().user_header:
            where = "open the address that `orchestrate serve` has printed"
            why = "sign in first" if not self.sessions.token else where
            raise _RefusedError(401, f"no session: {why}")
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/login", 303)
        raise _RefusedError(401, "no session: sign in first")


class _LimitedBody:
    """Receives a body of limited size in limited time."""

    def __init__(self, receive: Receive, headers: Mapping[str, str]) -> None:
        self._receive, self._read = receive, 0
        self._until: float | None = None
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            raise _RefusedError(413, f"a form has at most {LARGEST_BODY:,} bytes")

    async def __call__(self) -> Message:
        if self._until is None:
            self._until = time.monotonic() + SLOWEST_BODY
        if self._until == 0:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        self._read += len(message.get("body", b""))
        if self._read > LARGEST_BODY:
            return {"type": "http.disconnect"}
        if not message.get("more_body", False):
            # what follows is only the end of the connection, which may be long in coming
            self._until = 0.0
        return message


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return wrapped


def require_token(visitor: Visitor | None, given: str) -> Visitor:
    """Whoever sent a form, if it has the CSRF token of a page of theirs. Raises PermissionError."""
    if visitor is None or not hmac.compare_digest(given.encode(), visitor.csrf.encode()):
        raise PermissionError("this form is not from a page of your session; reload the page")
    return visitor
