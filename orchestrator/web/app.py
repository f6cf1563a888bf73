"""`orchestrate serve`: the application, and the server that it runs in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.approvals.links import Links
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.settings.config import Settings
from orchestrator.settings.web import WebSettings
from orchestrator.storage.atomic import sha256_bytes
from orchestrator.tickets.board import Board
from orchestrator.views.live import LiveBoard
from orchestrator.web import actions, pages
from orchestrator.web.guard import PROXY_HEADER, PROXY_VARIABLE, Guard, Sessions
from orchestrator.web.site import Site

#: the port, if nothing else has it
PORT = 8642
LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: seconds in which a request has to be whole: it is looked for twice
_SLOWEST_REQUEST = 5.0
#: connections at a time; event streams of browsers are among them
_CONNECTIONS = 1000


def make_app(site: Site, hosts: Iterable[str]) -> Starlette:
    """The application of a site that is served under these names (`host:port`)."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        site.live.start()
        yield
        site.live.stop()
        site.stop()

    app = Starlette(
        routes=[
            Route("/", pages.decide),
            Route("/board", pages.board),
            Route("/search", pages.search),
            Route("/figures", pages.figures),
            Route("/health", pages.health),
            Route("/events", pages.events),
            Route("/static/{name}", pages.static),
            Route("/login", actions.login, methods=["GET", "POST"]),
            Route("/logout", actions.logout, methods=["POST"]),
            Route("/answer", actions.answer_several, methods=["POST"]),
            Route("/answer/{token}", actions.by_link, methods=["GET", "POST"]),
            Route("/family/{id}", pages.family),
            Route("/family/{id}/review", pages.whole_review),
            Route("/family/{id}/answer", actions.answer, methods=["POST"]),
            Route("/family/{id}/move", actions.move, methods=["POST"]),
            Route("/family/{id}/run", actions.go_on, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, sessions=site.sessions, hosts=frozenset(hosts))],
        exception_handlers={
            OrchestrateError: _explain,
            PermissionError: _refuse,
            ClientDisconnect: _gone,
        },
        lifespan=lifespan,
    )
    app.state.site = site
    return app


def _explain(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, OrchestrateError)
    return pages.error_page(request, exc)


def _refuse(_: Request, exc: Exception) -> Response:
    return PlainTextResponse(f"{exc}\n", 403)


def _gone(_: Request, __: Exception) -> Response:
    # nobody waits for the rest of it
    why = "the form did not arrive whole, or was too large\n"
    return PlainTextResponse(why, 413, headers={"connection": "close"})


@dataclass(frozen=True)
class Served:
    """A server that is ready to run."""

    server: uvicorn.Server
    socket: socket.socket
    site: Site
    #: with the token, where that opens a session
    address: str
    #: holds the address, readable by this user alone
    token_file: Path

    def run(self) -> None:
        """Serve until a signal ends it."""
        try:
            self.server.run(sockets=[self.socket])
        finally:
            self.token_file.unlink(missing_ok=True)


def prepare(
    board: Board,
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    watching: bool = False,
) -> Served:
    """Bind the port and make the token. `port` None: the usual one, or else any that is free.

    Raises UsageError for a host that others can reach while nobody has to sign in, and for a port
    that is taken.
    """
    web = settings.web
    passwords = [user.password.get_secret_value() for user in web.users.values()]
    signs_in = bool(web.user_header or any(passwords))
    if host not in LOOPBACK and not signs_in:
        raise UsageError(
            f"{host} can be reached by others, and nobody would have to sign in",
            hint="configure [web.users], or serve on 127.0.0.1 behind a proxy that signs people in",
        )
    proxy_secret = os.environ.get(PROXY_VARIABLE, "")
    if web.user_header and not proxy_secret:
        raise UsageError(
            f"[web] user_header needs {PROXY_VARIABLE} in the environment",
            hint=f"a secret that the proxy sends as {PROXY_HEADER}; any process could name a user",
        )
    bound = _bind(host, port)
    number = bound.getsockname()[1]
    token = "" if signs_in else secrets.token_urlsafe(24)
    live = LiveBoard(board, settings.trust.keys)
    site = Site(board, settings, live, Links(board.root, web), watching)
    cookie = f"orchestrate_session_{number}"
    site.sessions = Sessions(site.web, token, cookie, proxy_secret)
    shown = f"[{host}]" if ":" in host else host
    anywhere = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - not bound here
    address = f"http://{anywhere.get(shown, shown)}:{number}/"
    address += f"?token={token}" if token else ""
    config = uvicorn.Config(
        make_app(site, _names(shown, number, web)),
        http=Connection,
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=16_384,
        proxy_headers=False,
        lifespan="on",
    )
    file = _write_token(board.root, number, address)
    return Served(uvicorn.Server(config), bound, site, address, file)


class Connection(H11Protocol):
    """A connection that is closed if no whole request comes: nobody holds one by being slow."""

    _idle = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch it."""
        super().connection_made(transport)
        self.loop.call_later(_SLOWEST_REQUEST, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        at_work = self.cycle is not None and not self.cycle.response_complete
        self._idle = 0 if at_work else self._idle + 1
        if self._idle > 1:
            self.transport.close()
        else:
            self.loop.call_later(_SLOWEST_REQUEST, self._look)


def _names(host: str, port: int, web: WebSettings) -> set[str]:
    """The names under which the server may be asked."""
    own = {host, *(("127.0.0.1", "localhost", "[::1]") if host.strip("[]") in LOOPBACK else ())}
    named = {urlsplit(web.url).netloc.lower()} if web.url else set()
    return {f"{name}:{port}" for name in own} | named


def _bind(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in (port,) if port is not None else (PORT, 0):
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, number))
            return found
        except OSError as exc:
            found.close()
            if port is not None or number == 0:
                raise UsageError(
                    f"port {number} of {host} cannot be used: {exc.strerror}",
                    hint="--port 0 takes one that is free",
                ) from exc
    raise AssertionError("one of the ports is returned or raises")


def _write_token(root: Path, port: int, address: str) -> Path:
    """Keep the address where agents do not read: they see nothing of a home's dotted folders."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    folder = Path(base) / "orchestrate"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    prefix = f"serve-{sha256_bytes(os.fsencode(root))[:16]}"
    for old in folder.glob(f"{prefix}-*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            try:
                os.kill(int(json.loads(old.read_bytes())["pid"]), 0)
            except ProcessLookupError:
                # one that was killed has left it
                old.unlink()
    file = folder / f"{prefix}-{port}.json"
    file.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(file, flags, 0o600), "w", encoding="utf-8") as opened:
        json.dump({"address": address, "pid": os.getpid()}, opened)
    return file
