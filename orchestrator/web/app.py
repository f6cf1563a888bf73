"""`orchestrate serve`: the application, and the server that it runs in."""

from __future__ import annotations

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

from orchestrator.approvals.links import Links
from orchestrator.config import Settings
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.storage.atomic import sha256_bytes
from orchestrator.storage.signing import key_path, seal
from orchestrator.tickets.board import Board
from orchestrator.web import actions, pages
from orchestrator.web.guard import Guard, Sessions
from orchestrator.web.live import LiveBoard
from orchestrator.web.site import Site
from orchestrator.web_settings import WebSettings

#: the port, if nothing else has it
PORT = 8642
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
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
    return PlainTextResponse("the form did not arrive whole, or was too large\n", 413)


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
    signs_in = bool(
        web.user_header or any(u.password.get_secret_value() for u in web.users.values())
    )
    if host not in _LOOPBACK and not signs_in:
        raise UsageError(
            f"{host} can be reached by others, and nobody would have to sign in",
            hint="configure [web.users], or serve on 127.0.0.1 behind a proxy that signs people in",
        )
    bound = _bind(host, port)
    number = bound.getsockname()[1]
    token = "" if signs_in else secrets.token_urlsafe(24)
    secret = seal(b"web sessions") if signs_in else b""
    sessions = Sessions(web, secret or secrets.token_bytes(32), token)
    live = LiveBoard(board, board.root / ".orchestrate" / "logs")
    site = Site(board, settings, live, sessions, Links(board.root, web), watching)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{number}/" + (f"?token={token}" if token else "")
    config = uvicorn.Config(
        make_app(site, _names(shown, number, web)),
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
    return Served(uvicorn.Server(config), bound, site, address, _write_token(board.root, address))


def _names(host: str, port: int, web: WebSettings) -> set[str]:
    """The names under which the server may be asked."""
    own = {host, *(("127.0.0.1", "localhost", "[::1]") if host.strip("[]") in _LOOPBACK else ())}
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


def token_file(root: Path) -> Path:
    """Where the address of the running server of a workspace is kept; agents cannot read it."""
    return key_path().parent / f"serve-{sha256_bytes(os.fsencode(root))[:16]}.json"


def _write_token(root: Path, address: str) -> Path:
    file = token_file(root)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(file, flags, 0o600), "w", encoding="utf-8") as opened:
        json.dump({"address": address, "pid": os.getpid()}, opened)
    return file
