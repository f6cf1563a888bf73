"""The server: takes requests, and answers them step by step."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.model_server.dialects import Dialect, of_path, side_answer
from tests.model_server.script import (
    Call,
    Fail,
    Limit,
    Run,
    Say,
    Step,
    Tokens,
    Unauthorized,
    Wait,
    Write,
)


@dataclass(frozen=True)
class Request:
    """What a CLI sent that a step was to answer."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    dialect: str
    tools: tuple[str, ...]

    @property
    def text(self) -> str:
        """All that the model was told."""
        return json.dumps(self.body, ensure_ascii=False)


class ModelServer:
    """A scripted model; a context manager.

    `steps` are what it does at each turn, or functions of the request that say it. When they are
    used up, it says `after`.
    """

    def __init__(
        self, steps: Sequence[Step | Callable[[Request], Step]], after: str = "Nothing more to do."
    ) -> None:
        self.steps = list(steps)
        self.requests: list[Request] = []
        #: paths of all that was asked, also beside the steps
        self.paths: list[str] = []
        self._after, self._lock, self._number = after, threading.Lock(), 0
        self._failing: Fail | None = None
        self._left = 0
        self.closed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: Request, dialect: Dialect) -> tuple[Say | Call | Fail, float, str]:
        """What to answer, after how many seconds, and a number for it."""
        with self._lock:
            self._number += 1
            id = f"{self._number:06d}"
            if not request.tools:
                return Say(side_answer(request.body), tokens=Tokens(0, 0)), 0.0, id
            self.requests.append(request)
            if self._left:
                self._left -= 1
                assert self._failing is not None
                return self._failing, 0.0, id
            pause = 0.0
            while True:
                step = self.steps.pop(0) if self.steps else Say(self._after)
                if not isinstance(step, Step):
                    step = step(request)
                if not isinstance(step, Wait):
                    break
                pause += step.seconds
            said = self._said(step, dialect, request)
            if isinstance(said, Fail):
                self._failing, self._left = said, said.times - 1
            return said, pause, id

    def _said(self, step: Step, dialect: Dialect, request: Request) -> Say | Call | Fail:
        if isinstance(step, Limit | Unauthorized):
            return step.fail(dialect.name)
        if isinstance(step, Write | Run):
            return step.call(dialect.offered(request.body))
        assert isinstance(step, Say | Call | Fail), step
        return step


def _handler(model: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._send(200, {})

        def do_GET(self) -> None:
            model.paths.append(self.path)
            if self.path.partition("?")[0].endswith("/models"):
                self._send(200, {"object": "list", "data": [], "models": []})
            else:
                self._send(404, {"error": {"message": "not found", "type": "not_found"}})

        def do_POST(self) -> None:
            model.paths.append(self.path)
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            try:
                body = json.loads(raw or b"{}")
            except ValueError:
                body = {}
            plain = self.path.partition("?")[0]
            dialect = of_path(self.path)
            if plain.endswith(("/count_tokens", ":countTokens")):
                self._send(200, {"input_tokens": 100, "totalTokens": 100})
            elif dialect is None:
                self._send(404, {"error": {"message": "not found", "type": "not_found"}})
            else:
                self._answer(dialect, body)

        def _answer(self, dialect: Dialect, body: dict[str, Any]) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            tools = tuple(dialect.offered(body))
            request = Request(self.path, headers, body, dialect.name, tools)
            try:
                said, pause, id = model.answer(request, dialect)
            except LookupError as exc:
                self._send(400, {"error": {"message": str(exc), "type": "script"}})
                return
            model.closed.wait(pause)
            if isinstance(said, Fail):
                self._send(said.status, dialect.error(said), dict(said.headers))
            elif dialect.streams(self.path, body):
                self._stream(dialect, said, body, id)
            else:
                self._send(200, dialect.whole(said, body, id))

        def _stream(
            self, dialect: Dialect, said: Say | Call, body: dict[str, Any], id: str
        ) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            for name, data in dialect.events(said, body, id):
                text = data if isinstance(data, str) else json.dumps(data)
                self.wfile.write((f"event: {name}\n" if name else "").encode())
                self.wfile.write(f"data: {text}\n\n".encode())
                self.wfile.flush()
            self.close_connection = True

        def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def handle(self) -> None:
            # a CLI that was killed in the middle of an answer
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            return

    return Handler
