"""Notifications to people elsewhere, through apprise (https://appriseit.com)."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.errors.masking import hand_out, sanitize
from orchestrator.settings.config import Settings

#: addresses, separated by white space; they contain keys, which must not be in the repository
VARIABLE = "ORCHESTRATE_NOTIFY_URLS"
#: seconds within which the same message is sent once
_REPEAT_AFTER = 60.0
#: seconds that a service may take to answer
_TIMEOUT = 4.0
#: messages that wait while a service does not answer; more are dropped
_QUEUE_SIZE = 100
_LONGEST_TITLE, _LONGEST_BODY = 200, 4000
#: loggers that name the address they send to
_LEAKING_LOGGERS = ("apprise", "urllib3.connectionpool", "requests_oauthlib.oauth1_session")


class _ThreadFilter(logging.Filter):
    """Drops what is logged while a thread sends: addresses contain keys (DESIGN 8.4)."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread not in self.threads


_SILENCE = _ThreadFilter()


class Notifier:
    """Sends short messages to the addresses of `[notify] urls` and of `ORCHESTRATE_NOTIFY_URLS`.

    `on_trouble` gets a line for each address that cannot be reached, naming it by its position,
    never by its text. It is called in the thread that sends.
    """

    def __init__(
        self, settings: Settings, on_trouble: Callable[[str], None] = lambda _: None
    ) -> None:
        #: position → address
        self._addresses = {
            f"address {number} of [notify] urls": secret.get_secret_value()
            for number, secret in enumerate(settings.notify.urls, 1)
        }
        for number, address in enumerate(os.environ.get(VARIABLE, "").split(), 1):
            self._addresses[f"address {number} of {VARIABLE}"] = address
        hand_out(*self._addresses.values())
        self._events = frozenset(settings.notify.events)
        self._on_trouble = on_trouble
        #: (title, body)
        self._waiting: queue.Queue[tuple[str, str] | None] = queue.Queue(_QUEUE_SIZE)
        self._sent_at: dict[tuple[str, str, str], float] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def notify(self, kind: str, title: str, body: str) -> None:
        """Send a message of a kind (`question`, `held`, `board`) soon, if that kind is wanted.

        Returns at once and never raises. A message that was sent within the last minute, or does
        not fit into the queue, is dropped.
        """
        if not self._addresses or kind not in self._events or self._closed.is_set():
            return
        with self._lock, contextlib.suppress(queue.Full, RuntimeError):
            now = time.monotonic()
            self._sent_at = {m: at for m, at in self._sent_at.items() if now - at < _REPEAT_AFTER}
            if (kind, title, body) in self._sent_at:
                return
            self._sent_at[kind, title, body] = now
            self._waiting.put_nowait(
                (_sanitize(title, _LONGEST_TITLE), _sanitize(body, _LONGEST_BODY))
            )
            if self._thread is None:
                # a daemon thread: a service that hangs does not keep the process alive
                self._thread = threading.Thread(target=self._send_all, name="notify", daemon=True)
                self._thread.start()

    def close(self, timeout: float = 5.0) -> bool:
        """Send what waits, for at most `timeout` seconds; whether all of it was sent or tried.

        Later messages are dropped. A message that is being sent is not waited for longer.
        """
        self._closed.set()
        thread = self._thread
        if thread is None:
            return True
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        thread.join(max(0.0, timeout))
        return not thread.is_alive()

    # -- in the thread -----------------------------------------------------------------------

    def _send_all(self) -> None:
        services: dict[str, Any] | None = None
        with _without_logs():
            while (message := self._next()) is not None:
                title, body = message
                services = self._open_services() if services is None else services
                for name, service in services.items():
                    # a plug-in may raise anything, and its text may contain the key
                    sent = False
                    with contextlib.suppress(Exception):
                        sent = bool(service.notify(body=body, title=title, body_format="text"))
                    if not sent:
                        self._report(f"no notification could be sent to {name}")

    def _next(self) -> tuple[str, str] | None:
        """The next message; None once the notifier is closed and nothing waits."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._waiting.get(timeout=0.2)
            if self._closed.is_set():
                return None

    def _open_services(self) -> dict[str, Any]:
        """position → what sends there; an address that nothing understands is reported."""
        found = {}
        for name, address in self._addresses.items():
            service = None
            with contextlib.suppress(Exception):
                import apprise

                asset = apprise.AppriseAsset(
                    app_id="orchestrate", async_mode=False, secure_logging=True
                )
                service = apprise.Apprise.instantiate(
                    address, asset=asset, suppress_exceptions=True
                )
            if service is None:
                self._report(f"{name} is not an address that apprise understands")
            else:
                service.socket_connect_timeout = service.socket_read_timeout = _TIMEOUT
                found[name] = service
        return found

    def _report(self, text: str) -> None:
        with contextlib.suppress(Exception):
            self._on_trouble(text)


def _sanitize(text: str, longest: int) -> str:
    """The text as it may be shown, cut."""
    clean = sanitize(text)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


@contextlib.contextmanager
def _without_logs() -> Iterator[None]:
    """Nothing that this thread sends is logged by the libraries below."""
    mine = threading.get_ident()
    _SILENCE.threads.add(mine)
    for name in _LEAKING_LOGGERS:
        logging.getLogger(name).addFilter(_SILENCE)
    try:
        yield
    finally:
        _SILENCE.threads.discard(mine)
