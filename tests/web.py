"""A browser's requests before the web board, made in this process."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from html import unescape
from typing import Any

import httpx
from starlette.testclient import TestClient

from orchestrator import Board
from orchestrator.settings.config import Settings
from orchestrator.web.app import prepare
from tests.boards import Workspace


def until(found: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not found():
        assert time.monotonic() < end
        time.sleep(0.02)


class Browser:
    """A browser before the board of a workspace."""

    def __init__(self, work: Workspace, settings: Settings) -> None:
        self.work = work
        self.served = prepare(Board(work.root), settings, port=0)
        self.site = self.served.site
        self.site.conductor = work.conductor  # type: ignore[method-assign]
        self.host = self.served.address.split("/")[2]
        self.scheme = "http"
        self.client = self.another()

    def another(self) -> TestClient:
        app = self.served.server.config.app
        return TestClient(app, base_url=f"http://{self.host}")  # type: ignore[arg-type]

    def sign_in(self) -> Browser:
        assert self.client.get(self.served.address).status_code == 200
        return self

    def get(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def form(self, path: str, page: str = "") -> dict[str, str]:
        """The hidden fields of the form that a page sends to `path`."""
        page = page or self.get("/")
        (form,) = re.findall(rf'<form[^>]*action="{re.escape(path)}".*?</form>', page, re.DOTALL)
        pairs = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
        return {name: unescape(value) for name, value in pairs}

    def post(self, path: str, data: dict[str, Any], **headers: str) -> httpx.Response:
        sent = {"origin": f"{self.scheme}://{self.host}", **headers}
        return self.client.post(path, data=data, headers=sent, follow_redirects=False)

    def answer(self, **fields: Any) -> httpx.Response:
        path = "/family/WO-512/answer"
        return self.post(path, {**self.form(path), **fields})

    def until(self, found: Callable[[], object]) -> None:
        until(found)

    def close(self) -> None:
        self.served.socket.close()
        self.served.token_file.unlink()
