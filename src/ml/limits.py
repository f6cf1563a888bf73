"""What a request may be: to a host of ours, of limited size, and answered in limited time."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
from asyncio import TimerHandle, Transport
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

#: bytes of a body
MOST_BYTES = 1_000_000
#: seconds for a request's head, for its body, and for the answer
HEAD_SECONDS, BODY_SECONDS, ANSWER_SECONDS = 10.0, 10.0, 60.0
#: further names of this server, separated by commas
HOSTS = "ORCHESTRATE_HOSTS"

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]


class Limits:
    """An ASGI application around another one, which gets only what is within the limits.

    The name in `Host` has to be an address, a name without a dot, one below `localhost`, or one of
    `ORCHESTRATE_HOSTS`: a page of another site could else have its own name lead here, and ask.
    """

    def __init__(self, app: _App) -> None:
        self._app = app

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if not is_ours(host):
            await _refuse(send, 400, f"this server is not called {host[:100]!r}; see {HOSTS}")
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read(headers, receive)
        except TimeoutError:
            await _refuse(send, 408, f"the body did not come within {BODY_SECONDS:g} s")
            return
        if body is None:
            await _refuse(send, 413, f"a body has at most {MOST_BYTES:,} bytes")
            return
        await self._answer(scope, body, receive, send)

    async def _answer(self, scope: _Message, body: bytes, receive: _Receive, send: _Send) -> None:
        given: list[_Message] = [{"type": "http.request", "body": body, "more_body": False}]
        begun = False

        async def hear() -> _Message:
            return given.pop() if given else await receive()

        async def say(message: _Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._app(scope, hear, say)
        except TimeoutError:
            if begun:
                raise
            await _refuse(send, 503, f"there was no answer within {ANSWER_SECONDS:g} s")


def is_ours(host: str) -> bool:
    """Whether a name in `Host` can be this server's."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.strip("[]").rstrip(".").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        more = {each.strip().lower() for each in os.environ.get(HOSTS, "").split(",")}
        return bool(name) and ("." not in name or name.endswith(".localhost") or name in more)
    return True


async def _read(headers: MutableMapping[bytes, bytes], receive: _Receive) -> bytes | None:
    """The body; None if it is too large."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > MOST_BYTES:
        return None
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(body)


async def _refuse(send: _Send, status: int, detail: str) -> None:
    data = json.dumps({"status": "error", "detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers.append((b"content-length", str(len(data)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


class ImpatientProtocol(H11Protocol):
    """Ends connections whose request has no end of its head in time."""

    _timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(Transport, transport))
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        cycle = self.cycle
        if (cycle is None or cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()
