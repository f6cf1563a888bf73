"""Notifications: what is sent to a real local server, what is dropped, and that no key leaks."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.daemon.notifications import VARIABLE, Notifier
from orchestrator.errors import UsageError
from orchestrator.settings.config import Settings, load_settings

SECRET = "k3y-that-nobody-sees"


class Server:
    """Keeps what is posted to it; `delay` seconds before it answers."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.delay = 0.0
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                outer.posts.append(json.loads(self.rfile.read(length)))
                time.sleep(outer.delay)
                with contextlib.suppress(OSError):
                    self.send_response(outer.status)
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._http.server_port}/{SECRET}"

    def __enter__(self) -> Server:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_addresses_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def settings(*urls: str, **more: Any) -> Settings:
    return Settings.model_validate({"notify": {"urls": urls, **more}})


def dead_url() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"json://127.0.0.1:{held.getsockname()[1]}/{SECRET}"


def test_nobody_is_notified_by_default() -> None:
    notifier = Notifier(Settings())
    notifier.notify("question", "WO-1", "look")
    assert notifier._thread is None
    assert notifier.close()


def test_a_message_reaches_the_address(server: Server) -> None:
    notifier = Notifier(settings(server.url))
    notifier.notify("question", "WO-231 waits for you", "checkpoint 1: **look**\nat <it>")
    assert notifier.close()
    assert [(p["title"], p["message"]) for p in server.posts] == [
        ("WO-231 waits for you", "checkpoint 1: **look**\nat <it>")
    ]


def test_addresses_come_from_the_environment_as_well(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"{server.url}/a\n  {server.url}/b")
    notifier = Notifier(settings(server.url))
    notifier.notify("held", "WO-1", "held")
    assert notifier.close()
    assert len(server.posts) == 3


def test_only_the_wanted_kinds_are_told(server: Server) -> None:
    notifier = Notifier(settings(server.url, events=["held"]))
    for kind in ("question", "held", "board", "else"):
        notifier.notify(kind, kind, "x")
    assert notifier.close()
    assert [p["title"] for p in server.posts] == ["held"]


def test_the_same_is_told_once_a_minute(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    notifier = Notifier(settings(server.url))
    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.daemon.notifications.time.monotonic", lambda: now[0])
        for moment, body in ((0, "a"), (1, "a"), (59, "a"), (59, "b"), (61, "a")):
            now[0] = 1000.0 + moment
            notifier.notify("question", "WO-1", body)
    assert notifier.close()
    assert [p["message"] for p in server.posts] == ["a", "b", "a"]


def test_control_characters_are_replaced_and_long_texts_cut(server: Server) -> None:
    notifier = Notifier(settings(server.url))
    notifier.notify("board", "a\x1b[2Jb\u202e\udc80", "x" * 100_000)
    assert notifier.close()
    (post,) = server.posts
    assert post["title"] == "a⟨U+001B⟩[2Jb⟨U+202E⟩⟨U+DC80⟩"
    assert len(post["message"]) == 4000


def test_a_dead_port_is_trouble_told_without_the_address(
    server: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    bad = f"nosuchservice://{SECRET}"
    notifier = Notifier(settings(dead_url(), bad, f"json://:{SECRET}", server.url), said.append)
    notifier.notify("question", "WO-1", "x")
    assert notifier.close()
    assert said == [
        "address 2 of [notify] urls is not an address that apprise understands",
        "address 3 of [notify] urls is not an address that apprise understands",
        "no notification could be sent to address 1 of [notify] urls",
    ]
    assert len(server.posts) == 1
    out, err = capfd.readouterr()
    assert SECRET not in caplog.text + out + err


def test_a_refusal_is_not_retried(server: Server) -> None:
    server.status = 500
    said: list[str] = []
    notifier = Notifier(settings(server.url), said.append)
    notifier.notify("question", "WO-1", "x")
    assert notifier.close()
    assert len(server.posts) == 1
    assert said == ["no notification could be sent to address 1 of [notify] urls"]


def test_a_service_that_hangs_holds_up_nobody(server: Server) -> None:
    server.delay = 3
    notifier = Notifier(settings(server.url))
    begin = time.monotonic()
    for number in range(500):
        notifier.notify("question", "WO-1", str(number))
    assert time.monotonic() - begin < 1
    assert not notifier.close(0.2)
    assert time.monotonic() - begin < 2
    notifier.notify("question", "WO-2", "too late")


def test_trouble_that_cannot_be_told_is_no_trouble(server: Server) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("no log")

    notifier = Notifier(settings(dead_url(), server.url), broken)
    notifier.notify("question", "WO-1", "x")
    assert notifier.close()
    assert len(server.posts) == 1


def test_the_address_shows_neither_in_the_settings_nor_in_their_faults(tmp_path: Path) -> None:
    held = settings(f"slack://{SECRET}")
    assert SECRET not in repr(held) + json.dumps(held.model_dump(mode="json"))
    with pytest.raises(ValidationError):
        settings(events=["weather"])
    wrong = f'[notify]\nurls = ["slack://{SECRET}", 7]\n'
    (tmp_path / "orchestrate.toml").write_text(wrong, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        load_settings(tmp_path)
    assert "notify.urls.1" in raised.value.message
    assert SECRET not in str(raised.value)


def test_apprise_is_loaded_only_when_something_is_told() -> None:
    code = (
        "import sys\n"
        "from orchestrator.settings.config import Settings\n"
        "from orchestrator.daemon.notifications import Notifier\n"
        "Notifier(Settings()).notify('question', 'a', 'b'); print('apprise' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
