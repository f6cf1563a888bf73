"""Telling people elsewhere that the board needs them, through apprise (https://appriseit.com)."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.config import Settings

#: addresses, separated by white space; they hold keys, which do not belong into the repository
VARIABLE = "ORCHESTRATE_NOTIFY_URLS"
#: seconds within which the same is told once
_SAME = 60.0
#: seconds that a service may take to answer
_TIMEOUT = 4.0
#: what waits to be sent while a service does not answer; more is dropped
_WAITING = 100
_LONGEST_TITLE, _LONGEST_BODY = 200, 4000
#: all control and bidirectional characters but line ends and tabs
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
#: loggers that name the address they send to
_TALKATIVE = ("apprise", "urllib3.connectionpool", "requests_oauthlib.oauth1_session")


@dataclass(frozen=True)
class _Message:
    title: str
    body: str


class _Silence(logging.Filter):
    """Drops what is logged while a thread sends: addresses hold keys (DESIGN 8.4)."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread not in self.threads


_SILENCE = _Silence()


class Notifier:
    """Sends short messages to the addresses of `[notify] urls` and of `ORCHESTRATE_NOTIFY_URLS`.

    `on_trouble` gets a line for each address that cannot be reached; it names the address by its
    place, never by its text. It is called in the thread that sends.
    """

    def __init__(
        self, settings: Settings, on_trouble: Callable[[str], None] = lambda _: None
    ) -> None:
        self._addresses = dict(_addresses(settings))
        self._events = frozenset(settings.notify.events)
        self._on_trouble = on_trouble
        self._waiting: queue.Queue[_Message | None] = queue.Queue(_WAITING)
        self._told: dict[tuple[str, str, str], float] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def tell(self, kind: str, title: str, body: str) -> None:
        """Send a message of a kind (`question`, `held`, `board`) soon, if that kind is wanted.

        Returns at once and never raises. What was told within the last minute, and what does not
        fit into the queue, is dropped.
        """
        if not self._addresses or kind not in self._events or self._closed.is_set():
            return
        with self._lock, contextlib.suppress(queue.Full, RuntimeError):
            if self._is_new((kind, title, body)):
                told = _Message(_plain(title, _LONGEST_TITLE), _plain(body, _LONGEST_BODY))
                self._waiting.put_nowait(told)
                self._start()

    def close(self, timeout: float = 5.0) -> bool:
        """Send what waits, for at most `timeout` seconds; whether all of it was sent or tried.

        What is told later is dropped. A message that is under way is not waited for longer.
        """
        self._closed.set()
        thread = self._thread
        if thread is None:
            return True
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        thread.join(max(0.0, timeout))
        return not thread.is_alive()

    def _is_new(self, message: tuple[str, str, str]) -> bool:
        now = time.monotonic()
        self._told = {m: at for m, at in self._told.items() if now - at < _SAME}
        if message in self._told:
            return False
        self._told[message] = now
        return True

    def _start(self) -> None:
        if self._thread is None:
            # a daemon thread: a service that hangs does not keep the process from ending
            self._thread = threading.Thread(target=self._send_all, name="notify", daemon=True)
            self._thread.start()

    # -- in the thread -----------------------------------------------------------------------

    def _send_all(self) -> None:
        services = None
        with _silent():
            while (message := self._next()) is not None:
                services = self._services() if services is None else services
                for name, service in services.items():
                    if not _sent(service, message):
                        self._say(f"no notification could be sent to {name}")

    def _next(self) -> _Message | None:
        """The next message; None once it is closed and nothing waits."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._waiting.get(timeout=0.2)
            if self._closed.is_set():
                return None

    def _services(self) -> dict[str, Any]:
        found = {}
        for name, address in self._addresses.items():
            service = _service(address)
            if service is None:
                self._say(f"{name} is not an address that apprise understands")
            else:
                found[name] = service
        return found

    def _say(self, text: str) -> None:
        with contextlib.suppress(Exception):
            self._on_trouble(text)


def _addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    """(place, address) of all addresses."""
    for number, secret in enumerate(settings.notify.urls, 1):
        yield f"address {number} of [notify] urls", secret.get_secret_value()
    for number, address in enumerate(os.environ.get(VARIABLE, "").split(), 1):
        yield f"address {number} of {VARIABLE}", address


def _plain(text: str, longest: int) -> str:
    """The text without characters that could steer a terminal, cut."""
    clean = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def _service(address: str) -> Any:
    """What sends to an address, None if nothing does."""
    try:
        import apprise

        asset = apprise.AppriseAsset(app_id="orchestrate", async_mode=False, secure_logging=True)
        service = apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
    except Exception:  # noqa: BLE001 - a plugin may raise anything, and its text may hold the key
        return None
    if service is not None:
        service.socket_connect_timeout = service.socket_read_timeout = _TIMEOUT
    return service


def _sent(service: Any, message: _Message) -> bool:
    try:
        return bool(service.notify(body=message.body, title=message.title, body_format="text"))
    except Exception:  # noqa: BLE001 - as above
        return False


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Nothing that this thread sends is logged by the libraries below."""
    mine = threading.get_ident()
    _SILENCE.threads.add(mine)
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_SILENCE)
    try:
        yield
    finally:
        _SILENCE.threads.discard(mine)
