"""What a coding agent may ask for while it works, over a socket that ends with its turn.

Whatever comes over it is untrusted: read into types with limits, counted, and never run here. A
statement is proven, and a proposed check tried, as the engine does it, behind walls.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from orchestrate_agents.coding.events import Event, plain
from orchestrate_agents.coding.protocol import Running
from orchestrator.domain.agent import Job, NewCheck, NewTicket, Notice, Outcome, Report
from orchestrator.domain.states import Part
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.mcp.server import DESCRIBE, MOST_BYTES, SOCKET
from orchestrator.mcp.tools import (
    TOOLS,
    CheckDraft,
    CheckStatement,
    MaybeTicket,
    Question,
    TicketDraft,
    describe_tools,
    read_arguments,
)
from orchestrator.settings.agents import AgentSettings
from orchestrator.storage.temporary import Temporary
from orchestrator.templating import one_line

if TYPE_CHECKING:
    from orchestrator.family.session import Session
    from orchestrator.gates.checks import Context

#: connections at a time; calls in so many seconds; calls of a turn, of a tool that is not below
_CONNECTIONS, _CALLS, _PERIOD, _MOST = 4, 20, 10.0, 200
_MOST_OF = {"check_statement": 60, "verify": 10, "propose_ticket": 10, "propose_check": 5}
#: seconds after a question in which the agent may end its turn itself
_GRACE = 60.0
#: the longest path of a socket; seconds in which what is being answered may end
_PATH, _END = 100, 2.0
#: characters of a notice
_NOTICE = 1_500
_ASKED = "USER is asked. End your turn now: the answer comes with your next turn"


class JobServer:
    """Answers for one turn of a job. A context manager; outside of it nobody is answered.

    `mask` keeps keys out of a text.
    """

    def __init__(self, job: Job, settings: AgentSettings, mask: Callable[[str], str]) -> None:
        self._job, self._settings, self._mask = job, settings, mask
        self._calls = Counter[str]()
        self._times = deque[float](maxlen=_CALLS)
        #: guards what is collected; proofs go one at a time
        self._lock, self._proving = threading.Lock(), threading.Lock()
        self._room = threading.Semaphore(_CONNECTIONS)
        self._question, self._asked_at, self._started = "", 0.0, time.monotonic()
        self._tickets: list[NewTicket] = []
        self._notices: list[Notice] = []
        self._checks: list[NewCheck] = []
        self._listening: socket.socket | None = None
        self._folder: Temporary | None = None
        self._links: set[socket.socket] = set()
        self._answers: Mapping[str, Callable[[Any], Any]] = {
            "my_job": lambda _: self._describe(),
            "statements": lambda _: {"statements": self._statements()},
            "check_statement": self._check,
            "verify": self._verify,
            "ask_user": self._ask,
            "propose_ticket": self._propose_ticket,
            "propose_check": self._propose_check,
        }

    # -- its life ----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        # the machine's own folder may have too long a path for a socket
        places = (None, "/tmp")  # noqa: S108 - a folder of its own, for its owner alone
        for place in places:
            self._folder = Temporary("job", place)
            if len(self.path) <= _PATH:
                break
            self._folder.cleanup()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.path)
        Path(self.path).chmod(0o600)
        self._listening.listen(_CONNECTIONS)
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._listening is None or self._folder is None:
            return
        for link in (self._listening, *tuple(self._links)):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._folder.cleanup()
        # a proof at work may close what it has opened
        if self._proving.acquire(timeout=_END):
            self._proving.release()

    @property
    def path(self) -> str:
        """Path of the socket; "" where nothing is served."""
        return f"{self._folder.name}/socket" if self._folder is not None else ""

    @property
    def environment(self) -> Mapping[str, str]:
        """What the agent's environment says of it."""
        return {SOCKET: self.path} if self.path else {}

    def notice(self, text: str) -> None:
        """Tell USER something about the turn."""
        with self._lock:
            self._notices.append(Notice(to="USER", text=text))

    def until_asked(self, running: Running) -> Running:
        """The turn, which ends a while after USER was asked if the agent does not end it."""
        return _UntilAsked(running, self)

    @property
    def is_over(self) -> bool:
        """Whether the agent works on though it has asked USER."""
        return bool(self._question) and time.monotonic() - self._asked_at > _GRACE

    def complete(self, report: Report) -> Report:
        """The report, with what was asked and proposed."""
        with self._lock:
            if self._question:
                report = report.model_copy(
                    update={
                        "outcome": Outcome.CANNOT,
                        "reason": f"{self._job.agent} asks: {self._question}",
                        "ended": "question",
                        "resumes_at": None,
                    }
                )
            known = {ticket.id for ticket in report.tickets}
            further = [t for t in self._tickets if t.id not in known]
            return report.model_copy(
                update={
                    "tickets": (*report.tickets, *further),
                    "notices": (*report.notices, *self._notices),
                    "checks": (*report.checks, *self._checks),
                }
            )

    # -- the socket --------------------------------------------------------------------------

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._room.acquire()
                link, _ = listening.accept()
                threading.Thread(target=self._talk, args=(link,), daemon=True).start()

    def _talk(self, link: socket.socket) -> None:
        self._links.add(link)
        try:
            with link, link.makefile("rb") as file, contextlib.suppress(OSError):
                while line := file.readline(MOST_BYTES + 1):
                    said = self._answer(line)
                    link.sendall(json.dumps(said, default=str).encode() + b"\n")
                    if len(line) > MOST_BYTES:
                        break
        finally:
            self._links.discard(link)
            self._room.release()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            if len(line) > MOST_BYTES:
                raise UsageError("the message is too long", code="bad-arguments")
            try:
                said = json.loads(line)
                name, given = said["tool"], said["arguments"]
            except (ValueError, TypeError, KeyError, RecursionError) as exc:
                raise UsageError("this is not a call of a tool", code="bad-arguments") from exc
            if not isinstance(name, str):
                raise UsageError("this is not a call of a tool", code="bad-arguments")
            if name == DESCRIBE:
                return {"result": describe_tools()}
            arguments = read_arguments(name, given)
            self._count(name)
            return {"result": self._answer_tool(name, arguments)}
        except OrchestrateError as exc:
            return {"error": exc.in_a_line, "code": exc.code}
        except Exception as exc:  # noqa: BLE001 - the turn goes on, whatever was asked
            return {"error": type(exc).__name__, "code": "unexpected"}

    def _count(self, name: str) -> None:
        """Raise UsageError for a call too many."""
        now = time.monotonic()
        with self._lock:
            if self._question:
                raise UsageError(_ASKED, code="asked")
            if len(self._times) == _CALLS and now - self._times[0] < _PERIOD:
                raise UsageError("too many calls at once: wait a while", code="too-many")
            self._times.append(now)
            self._calls[name] += 1
            if self._calls[name] > (most := _MOST_OF.get(name, _MOST)):
                raise UsageError(f"{name} answers {most} times in a turn", code="too-many")

    def _answer_tool(self, name: str, arguments: Any) -> Any:
        own = self._answers.get(name)
        if own is not None:
            return own(arguments)
        assert not TOOLS[name].of_job
        from orchestrator.mcp.reading import answer_reading

        return answer_reading(self._job.board_root, name, arguments)

    # -- what is answered --------------------------------------------------------------------

    def _describe(self) -> dict[str, Any]:
        job = self._job
        known = {"ticket", "parent", "stage", "agent", "attempt", "turn", "workflow"}
        allowance = job.allowance.model_dump()
        gone = time.monotonic() - self._started
        if allowance["seconds"] is not None:
            allowance["seconds"] = round(max(0.0, allowance["seconds"] - gone), 1)
        return {
            **job.model_dump(mode="json", include={*known, "findings", "words", "files", "frozen"}),
            "statements": self._statements(),
            #: dollars and tokens as the turn began
            "allowance": allowance,
            "seconds": round(gone, 1),
        }

    def _statements(self) -> list[dict[str, Any]]:
        return [demand.model_dump(mode="json") for demand in self._job.demands]

    @contextlib.contextmanager
    def _session(self) -> Iterator[tuple[Session, Context]]:
        """The family and what checks may look at, as the conductor will have it."""
        from dataclasses import replace

        from orchestrator.family.beside import session_at
        from orchestrator.mcp.reading import open_conductor, reading_session

        with (
            self._proving,
            reading_session(open_conductor(self._job.board_root), self._job.parent) as session,
        ):
            stage = session.plan.stage(self._job.stage)
            session = session_at(session, stage)
            yield session, replace(session.context(stage), root=self._job.root)

    def _check(self, given: CheckStatement) -> Any:
        from orchestrator.mcp.reading import prove_texts

        self._require_own(given.ticket)
        with self._session() as (session, context):
            return prove_texts(session, context, [plain(given.statement)])[0]

    def _verify(self, given: MaybeTicket) -> Any:
        from orchestrator.mcp.reading import prove_texts

        self._require_own(given.id)
        with self._session() as (session, context):
            texts = [demand.text for demand in self._job.demands]
            return {"statements": prove_texts(session, context, texts)}

    def _require_own(self, id: str) -> None:
        if id and id not in {self._job.parent, *(m.id for m in self._job.family)}:
            raise UsageError(f"{id} is not of this job's family", code="foreign-ticket")

    def _ask(self, given: Question) -> Any:
        question = self._mask(plain(given.question)).strip()
        if not question:
            raise UsageError("the question is empty", code="bad-arguments")
        with self._lock:
            if self._question:
                raise UsageError(_ASKED, code="asked")
            self._question, self._asked_at = question, time.monotonic()
        return {"asked": True, "then": _ASKED}

    def _propose_ticket(self, given: TicketDraft) -> Any:
        from orchestrate_agents.coding.answer import AskedTicket, new_ticket

        title, text = (one_line(self._mask(plain(t))) for t in (given.title, given.text))
        if self._settings.part is Part.TRIAGER and given.id:
            asked = AskedTicket(
                id=given.id,
                agent=given.agent or "USER",
                title=title,
                instructions=self._mask(plain(given.text)),
                criteria=tuple(self._mask(plain(each)) for each in given.criteria),
            )
            made = new_ticket(self._job, asked)
            with self._lock:
                self._tickets = [t for t in self._tickets if t.id != made.id] + [made]
            return {"proposed": made.id, "then": "the conductor makes it if the stage has it"}
        criteria = "; ".join(one_line(self._mask(plain(each))) for each in given.criteria)
        said = f"proposes a ticket “{title}”" + (f": {text}" if text else "")
        said += f" It has to hold: {criteria}" if criteria else ""
        # nothing in it may open a comment in the ticket that has the notice
        said = said.replace("<!--", "<! --")
        said = said if len(said) <= _NOTICE else f"{said[:_NOTICE].rstrip()} …"
        with self._lock:
            self._notices.append(Notice(to="USER", text=f"{self._job.agent} {said}"))
        return {"proposed": title, "then": "USER is told; nothing is on the board by it"}

    def _propose_check(self, given: CheckDraft) -> Any:
        from orchestrator.conductor.trying import find_statement, try_check

        with self._session() as (session, _):
            statement = find_statement(session, given.statement)
            tried = try_check(session, statement, given.code, given.command)
        check = NewCheck(statement=statement, code=given.code, command=given.command)
        with self._lock:
            self._checks = [c for c in self._checks if c.statement != statement] + [check]
        return {
            "statement": statement,
            "today": tried.today,
            "detail": tried.detail,
            "fails_where": list(tried.fails_on),
            "succeeds_where": list(tried.passes_on),
            "then": "it counts only after USER has taken it",
        }


class _UntilAsked:
    """A running turn that has ended when it should have."""

    def __init__(self, running: Running, server: JobServer) -> None:
        self._running, self._server = running, server

    @property
    def code(self) -> int | None:
        return self._running.code

    @property
    def tail(self) -> str:
        return self._running.tail

    def next(self, seconds: float) -> Event | None:
        """The next event, none once the turn is over. Raises TimeoutError."""
        return None if self._server.is_over else self._running.next(seconds)

    def stop(self) -> None:
        self._running.stop()
