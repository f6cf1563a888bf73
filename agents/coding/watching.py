"""Watching a turn: what it says and takes, and when it has to end."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum

from orchestrate_agents.coding.events import ASSISTANT, Event, Fault, Kind, Log
from orchestrate_agents.coding.limits import is_limit, is_unreachable, reset_time
from orchestrate_agents.coding.prices import priced
from orchestrate_agents.coding.protocol import Running, Task
from orchestrator.domain.agent import Allowance, Usage

#: seconds before the conductor's own timeout, in which a turn still can be reported
MARGIN = 5.0
#: seconds between looks at the clock
_LOOK = 5.0
#: seconds in which a program that has failed may say why
_REST = 2.0
_SIGNED_OUT = (
    "401 unauthorized",
    "not logged in",
    "not signed in",
    "please log in",
    "please run /login",
    "authentication required",
    "api key is missing",
    "invalid api key",
    "invalid x-api-key",
    "api key not valid",
    "must specify the gemini_api_key",
    "no auth credentials",
    "please set an auth method",
    # a provider without a key has no models
    "providermodelnotfounderror",
)


class Ended(StrEnum):
    """Why a turn was ended from here."""

    NOT = ""
    STALL = "stall"
    TIMEOUT = "timeout"
    BUDGET = "budget"


@dataclass
class Taken:
    """What a turn said, did and took."""

    session: str = ""
    model: str = ""
    #: the last message of the model
    text: str = ""
    #: the message of the fault, or the end of what the program wrote
    said: str = ""
    #: tools that were called, by name
    tools: dict[str, int] = field(default_factory=dict)
    usage: tuple[Usage, ...] = ()
    answered: bool = False
    #: any event came
    heard: bool = False
    #: the last that it said is that it does not reach its service
    unreached: bool = False
    #: whether it is the model's turn to speak, and since when (monotonic)
    awaits_model: bool = True
    since: float = field(default_factory=time.monotonic)
    fault: Fault = Fault.NONE
    resumes_at: float | None = None
    ended: Ended = Ended.NOT
    #: what of the allowance was spent, in words
    spent: str = ""
    #: it ended without saying that it has
    broken: bool = False

    def add(self, event: Event) -> None:
        """Take an event in."""
        self.heard = True
        self.session = event.session or self.session
        self.answered = self.answered or event.kind in ASSISTANT or event.kind is Kind.USAGE
        if event.usage:
            self.usage = priced(event.usage)
            self.model = max(self.usage, key=lambda u: u.output_tokens).model or self.model
        if event.kind is Kind.START:
            self.model = self.model or event.text
        elif event.kind is Kind.TEXT:
            self.text = event.text
        elif event.kind is Kind.TOOL:
            self.tools[event.tool] = self.tools.get(event.tool, 0) + 1
        elif event.kind is Kind.END:
            self.text = event.text or self.text
        elif event.kind is Kind.ERROR:
            self.said = event.text
            self.unreached = is_unreachable(event.text)
        if event.kind in ASSISTANT or event.kind is Kind.USAGE:
            self.unreached = False
        if event.kind not in (Kind.USAGE, Kind.ERROR):
            self.awaits_model = event.kind in (Kind.START, Kind.RESULT)
            self.since = time.monotonic()
        if event.fault is not Fault.NONE:
            self.fault, self.resumes_at = event.fault, event.resumes_at
        if self.fault is Fault.LIMIT and self.resumes_at is None:
            self.resumes_at = reset_time(event.text, time.time())


def watch(running: Running, task: Task, log: Log) -> Taken:
    """Take in a turn's events until it ends, or has to."""
    taken = Taken(session=task.session)
    log.write(Event(Kind.START, f"{task.settings.use} turn {task.job.turn}", session=task.session))
    started = heard = time.monotonic()
    settings, allowance = task.settings, task.job.allowance
    over = False
    while True:
        now = time.monotonic()
        ended = _ended(settings.timeout, settings.stall, allowance, now - started, now - heard)
        if ended is not Ended.NOT:
            taken.ended = ended
            taken.spent = f"{now - started:.0f} s of work"
            break
        try:
            event = running.next(_LOOK if settings.stall > _LOOK else 0.2)
        except TimeoutError:
            continue
        if event is None:
            break
        if event.kind in ASSISTANT:
            heard = time.monotonic()
        before = taken.usage
        taken.add(event)
        # that it has ended is written when it has been understood how
        if event.kind is not Kind.END and (not event.usage or taken.usage != before):
            log.write(_with_prices(event, taken))
        over = over or event.kind is Kind.END
        if taken.fault is not Fault.NONE:
            break
        if event.usage and (spent := _spent(taken.usage, allowance)):
            # what is done is done, and is judged
            taken.ended, taken.spent = (Ended.NOT if over else Ended.BUDGET), spent
            if not over:
                break
    _conclude(taken, running, over, settings.stall)
    _log_end(taken, log)
    return taken


def _ended(
    timeout: float, stall: float, allowance: Allowance, worked: float, silent: float
) -> Ended:
    if allowance.seconds is not None and worked >= allowance.seconds:
        return Ended.BUDGET
    if worked >= max(timeout - MARGIN, timeout / 2):
        return Ended.TIMEOUT
    return Ended.STALL if silent >= stall else Ended.NOT


def _with_prices(event: Event, taken: Taken) -> Event:
    if not event.usage:
        return event
    return replace(event, usage=taken.usage)


def _spent(usage: tuple[Usage, ...], allowance: Allowance) -> str:
    """What of the allowance is spent, in words; "" if it is not."""
    tokens = sum(u.input_tokens + u.output_tokens + u.cache_write_tokens for u in usage)
    usd = sum(u.usd or 0.0 for u in usage)
    if allowance.usd is not None and usd >= allowance.usd:
        return f"${usd:.2f} in this turn, of ${allowance.usd:.2f} that were left"
    if allowance.tokens is not None and tokens >= allowance.tokens:
        return f"{tokens:,} tokens in this turn, of {allowance.tokens:,} that were left"
    return ""


def _conclude(taken: Taken, running: Running, over: bool, stall: float) -> None:
    """Understand how a turn ended that does not say it by an event."""
    if taken.fault is Fault.OTHER:
        _wait_for_end(running)
        taken.said = f"{taken.said}\n{running.tail}".strip()
        _look_closer(taken, taken.said)
    if taken.ended is not Ended.NOT or taken.fault is not Fault.NONE:
        if taken.ended in (Ended.STALL, Ended.TIMEOUT):
            _look_at_silence(taken, running.tail, stall)
        return
    if over and running.code in (0, None):
        return
    taken.broken = True
    text = "\n".join(part for part in (taken.said, running.tail) if part)
    taken.said = text or f"it exited with {running.code} without a word"
    _look_closer(taken, text)


def _look_at_silence(taken: Taken, tail: str, stall: float) -> None:
    """Whether a program said nothing more because it waits: some try again without an end."""
    if taken.ended is Ended.STALL:
        _look_closer(taken, f"{taken.said}\n{tail}", only_limit=True)
    if taken.fault is Fault.NONE and (
        taken.unreached or (not taken.answered and is_unreachable(tail))
    ):
        taken.fault, taken.said = Fault.UNREACHABLE, taken.said or tail
    # others say nothing of it
    is_silent = taken.awaits_model and time.monotonic() - taken.since >= stall / 2
    if taken.fault is Fault.NONE and is_silent and not _is_connected():
        taken.fault, taken.said = Fault.UNREACHABLE, "it is connected to nobody, and says nothing"


def _is_connected() -> bool:
    """Whether what this process has started is connected to others, or may be.

    A service that takes long to answer holds the connection open.
    """
    import psutil  # type: ignore[import-untyped]

    mine, theirs = set[object](), set[object]()
    for process in psutil.Process().children(recursive=True):
        try:
            found = process.net_connections("inet")
        except psutil.NoSuchProcess:
            continue
        except psutil.Error:
            return True
        mine.update(each.laddr for each in found)
        # a datagram has no state
        known = (psutil.CONN_ESTABLISHED, psutil.CONN_NONE)
        theirs.update(each.raddr for each in found if each.raddr and each.status in known)
    return bool(theirs - mine)


def _wait_for_end(running: Running) -> None:
    """Let it say the rest: the reason may follow the message."""
    until = time.monotonic() + _REST
    with contextlib.suppress(TimeoutError):
        while running.next(until - time.monotonic()) is not None:
            pass


def _look_closer(taken: Taken, text: str, *, only_limit: bool = False) -> None:
    """Whether a message tells of a limit, of no connection, or of nobody being signed in."""
    if is_limit(text):
        taken.fault = Fault.LIMIT
        taken.resumes_at = taken.resumes_at or reset_time(text, time.time())
    elif not only_limit and is_unreachable(text):
        taken.fault = Fault.UNREACHABLE
    elif not only_limit and any(words in text.lower() for words in _SIGNED_OUT):
        taken.fault = Fault.SIGNED_OUT
    elif "session not found" in text.lower() or "no rollout found" in text.lower():
        taken.fault = Fault.NO_SESSION


def _log_end(taken: Taken, log: Log) -> None:
    why = taken.fault.value or taken.ended.value or ("broken off" if taken.broken else "")
    log.write(Event(Kind.END, why or "done", session=taken.session))
