"""Any agent that speaks the Agent Client Protocol, over its standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrate_agents.coding.events import Event, Fault, Kind, plain
from orchestrate_agents.coding.protocol import Task
from orchestrator.domain.agent import Usage
from orchestrator.plugins import require_extra

#: bytes of one message, messages that may wait, lines kept of its standard error
_LINE_LIMIT, _WAITING, _TAIL = 64_000_000, 1_000, 40
#: seconds for its first answer, and for its end
_HANDSHAKE, _END = 60.0, 2.0
#: a message in parts is written down when so many characters or seconds of it have come
_PART, _PAUSE = 2_000, 1.0
#: modes in which it does not ask, the freest first; without walls those that only edit
_FREE = ("bypassPermissions", "yolo", "full-access")
_EDITS = ("acceptEdits", "autoEdit", "auto", "agent")
_AUTH_REQUIRED = -32000


class Conversation:
    """One turn with an agent, held in a thread of its own."""

    def __init__(
        self,
        argv: Sequence[str],
        task: Task,
        environment: Mapping[str, str],
        sign_in: Callable[[Sequence[Any], Mapping[str, str]], str],
        fds: Sequence[int] = (),
    ) -> None:
        self._acp: Any = require_extra("acp", "agents", "the Agent Client Protocol")
        self._argv, self._task, self._environment = argv, task, environment
        self._sign_in, self._fds = sign_in, tuple(fds)
        self._events: queue.Queue[Event | None] = queue.Queue(_WAITING)
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._stopped, self._begun = threading.Event(), threading.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._listener = _Listener(self._acp, self._put, task.settings.model, cost_of_session(task))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        # what it inherits is closed here once it runs
        self._begun.wait()

    @property
    def code(self) -> int | None:
        # it is ended from here, whenever its turn has
        return 0

    @property
    def tail(self) -> str:
        return "\n".join(self._tail)

    def next(self, seconds: float) -> Event | None:
        """The next event; None when it has ended. Raises TimeoutError if there is none in time."""
        try:
            return self._events.get(timeout=max(seconds, 0.0))
        except queue.Empty as exc:
            raise TimeoutError from exc

    def stop(self) -> None:
        """Kill it with all of its process group."""
        self._stopped.set()
        self._kill()
        self._thread.join(_END)

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _put(self, event: Event | None) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._events.put(event, timeout=1.0)
                return

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._converse())
        except Exception as exc:  # noqa: BLE001 - whatever the agent makes of the protocol
            self._put(Event(Kind.ERROR, _describe(exc), fault=Fault.OTHER))
        finally:
            self._begun.set()
            self._put(None)

    async def _converse(self) -> None:
        self._process = process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._task.job.root,
            env=dict(self._environment),
            limit=_LINE_LIMIT,
            start_new_session=True,
            pass_fds=self._fds,
        )
        self._begun.set()
        complaints = asyncio.create_task(self._keep(process.stderr))
        ended = asyncio.create_task(process.wait())
        turn = asyncio.create_task(self._turn(process))
        try:
            await asyncio.wait([turn, ended], return_when=asyncio.FIRST_COMPLETED)
            if not turn.done() and not self._listener.is_over:
                turn.cancel()
                await asyncio.wait([complaints], timeout=_END)
                text = f"it exited with {process.returncode}"
                self._put(Event(Kind.ERROR, text, fault=Fault.OTHER))
                return
            await turn
        finally:
            self._kill()
            turn.cancel()
            await asyncio.wait([turn, ended, complaints], timeout=_END)

    async def _keep(self, stderr: asyncio.StreamReader | None) -> None:
        while stderr is not None and (line := await stderr.readline()):
            if text := plain(line[:2_000].decode("utf-8", "replace")).strip():
                self._tail.append(text)

    async def _turn(self, process: asyncio.subprocess.Process) -> None:
        connection = self._acp.connect_to_agent(self._listener, process.stdin, process.stdout)
        try:
            await self._talk(connection)
            # it may have to write its session down
            if process.stdin is not None:
                process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _END)
        finally:
            with contextlib.suppress(Exception):
                await connection.close()

    async def _talk(self, connection: Any) -> None:
        """Begin or go on with a session, and let it answer the prompt."""
        schema = self._acp.schema
        async with asyncio.timeout(_HANDSHAKE):
            hello = await connection.initialize(
                protocol_version=self._acp.PROTOCOL_VERSION,
                client_capabilities=schema.ClientCapabilities(),
                client_info=schema.Implementation(name="orchestrate", version="1"),
            )
            opened = await self._open(connection, hello)
            if opened is None:
                return
            session, said = opened
            self._put(Event(Kind.START, self._task.settings.model, session=session))
            await self._set_up(connection, session, said)
        self._listener.session = session
        answer = await connection.prompt(
            session_id=session, prompt=[self._acp.text_block(self._task.prompt)]
        )
        self._listener.finish(answer)

    async def _open(self, connection: Any, hello: Any) -> tuple[str, Any] | None:
        task = self._task
        place = {"cwd": str(task.job.root), "mcp_servers": self._servers()}
        if not task.session:
            try:
                said = await connection.new_session(**place)
            except self._acp.RequestError as exc:
                if exc.code != _AUTH_REQUIRED:
                    raise
                method = self._sign_in(hello.auth_methods or (), task.environment)
                if not method:
                    self._put(Event(Kind.ERROR, _describe(exc), fault=Fault.SIGNED_OUT))
                    return None
                await connection.authenticate(method)
                said = await connection.new_session(**place)
            return said.session_id, said
        abilities = hello.agent_capabilities
        try:
            sessions = getattr(abilities, "session_capabilities", None)
            if getattr(sessions, "resume", None) is not None:
                return task.session, await connection.resume_session(
                    session_id=task.session, **place
                )
            if getattr(abilities, "load_session", False):
                # what it tells of the session so far is not said again
                return task.session, await connection.load_session(session_id=task.session, **place)
            why = "it cannot go on with a session"
        except self._acp.RequestError as exc:
            why = _describe(exc)
        self._put(Event(Kind.ERROR, why, fault=Fault.NO_SESSION))
        return None

    async def _set_up(self, connection: Any, session: str, said: Any) -> None:
        """Let it work without asking, and choose its model."""
        modes = getattr(said, "modes", None)
        known = [mode.id for mode in modes.available_modes] if modes is not None else []
        wanted = (*_FREE, *_EDITS) if self._task.confined else _EDITS
        mode = next((each for each in wanted if each in known), None)
        if mode is not None:
            await connection.set_session_mode(session_id=session, mode_id=mode)
        settings = self._task.settings
        for name, value in (("model", settings.model), ("thought_level", settings.effort)):
            options = getattr(said, "config_options", None) or ()
            option = next((o for o in options if name in (o.id, o.category)), None)
            if name == "model" and option is not None:
                self._listener.model = value or str(getattr(option, "current_value", ""))
            if value and option is not None:
                await connection.set_config_option(
                    session_id=session, config_id=option.id, value=value
                )

    def _servers(self) -> list[Any]:
        tools, schema = self._task.tools, self._acp.schema
        if tools is None:
            return []
        env = [schema.EnvVariable(name=name, value=value) for name, value in tools.env.items()]
        return [
            schema.McpServerStdio(
                name=tools.name, command=tools.command, args=list(tools.args), env=env
            )
        ]


class _Listener:
    """What the agent tells and asks while it works."""

    def __init__(self, acp: Any, put: Callable[[Event], None], model: str, before: float) -> None:
        self._acp, self._put, self.model = acp, put, model
        #: set when the prompt is sent: what comes before is of earlier turns
        self.session = ""
        self._kind, self._parts = Kind.TEXT, list[str]()
        self._message = list[str]()
        self._written = time.monotonic()
        self._tools: dict[str, str] = {}
        #: US dollars of the whole session: before this turn, and now
        self._before = before
        self._usd: float | None = None
        #: whether the turn has ended
        self.is_over = False

    def on_connect(self, connection: Any) -> None:
        """Nothing is asked of it from here."""

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        """Take in what the agent tells."""
        kind = update.session_update
        cost = getattr(update, "cost", None) if kind == "usage_update" else None
        if cost is not None and cost.currency == "USD":
            self._usd = float(cost.amount)
        if not self.session:
            return
        if kind in ("agent_message_chunk", "agent_thought_chunk"):
            is_text = kind == "agent_message_chunk"
            self._add(
                Kind.TEXT if is_text else Kind.THOUGHT, getattr(update.content, "text", "") or ""
            )
        elif kind in ("tool_call", "tool_call_update"):
            self._flush()
            self._message.clear()
            self._tell_tool(update)

    async def request_permission(self, options: Any, **_: Any) -> Any:
        """Allow it: what it may not do, the walls around it refuse."""
        schema = self._acp.schema
        by_kind = {option.kind: option.option_id for option in options}
        chosen = by_kind.get("allow_once") or by_kind.get("allow_always")
        if chosen is None:
            outcome = schema.DeniedOutcome(outcome="cancelled")
        else:
            outcome = schema.AllowedOutcome(outcome="selected", option_id=chosen)
        return schema.RequestPermissionResponse(outcome=outcome)

    async def ext_method(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """No method is offered beyond the protocol."""
        raise self._acp.RequestError.method_not_found(method)

    async def ext_notification(self, method: str, params: dict[str, Any]) -> None:
        """What is beyond the protocol is not read."""

    def finish(self, answer: Any) -> None:
        """The turn is over: what it took, and how it ended."""
        self._flush()
        usage = self._usage(answer)
        if usage:
            self._put(Event(Kind.USAGE, usage=usage, session=self.session))
        self.is_over = True
        if answer.stop_reason == "end_turn":
            self._put(Event(Kind.END, "".join(self._message)))
        else:
            text = f"its turn ended with {answer.stop_reason}"
            self._put(Event(Kind.ERROR, text, fault=Fault.OTHER))

    def _add(self, kind: Kind, text: str) -> None:
        if kind is not self._kind:
            self._flush()
        self._kind = kind
        if not self._parts:
            # whoever watches has to know that it speaks, also if no more comes
            asyncio.get_running_loop().call_later(_PAUSE, self._flush)
        self._parts.append(text)
        if kind is Kind.TEXT:
            self._message.append(text)
        is_long = sum(map(len, self._parts)) >= _PART
        if is_long or time.monotonic() - self._written >= _PAUSE:
            self._flush()

    def _flush(self) -> None:
        text = "".join(self._parts)
        self._parts.clear()
        self._written = time.monotonic()
        if text:
            self._put(Event(self._kind, text, session=self.session))

    def _tell_tool(self, update: Any) -> None:
        id, title = update.tool_call_id, plain(getattr(update, "title", None) or "")
        if id not in self._tools or (title and self._tools[id] != title):
            is_new = id not in self._tools
            self._tools[id] = title
            if is_new or update.session_update == "tool_call":
                places = getattr(update, "locations", None) or ()
                path = places[0].path if places else ""
                tool = str(getattr(update, "kind", None) or "other")
                self._put(Event(Kind.TOOL, title, tool=tool, path=path))
        if getattr(update, "status", None) in ("completed", "failed"):
            texts = [
                getattr(getattr(each, "content", None), "text", None) or ""
                for each in getattr(update, "content", None) or ()
            ]
            self._put(Event(Kind.RESULT, "\n".join(filter(None, texts)) or update.status))

    def _usage(self, answer: Any) -> tuple[Usage, ...]:
        """What the answer says that it took: by the protocol, or as Gemini CLI has it."""
        usd = self._usd
        if usd is not None and usd >= self._before:
            usd = round(usd - self._before, 9)
        if (used := getattr(answer, "usage", None)) is not None:
            one = Usage(
                model=self.model,
                input_tokens=used.input_tokens or 0,
                output_tokens=(used.output_tokens or 0) + (getattr(used, "thought_tokens", 0) or 0),
                cache_read_tokens=getattr(used, "cached_read_tokens", 0) or 0,
                cache_write_tokens=getattr(used, "cached_write_tokens", 0) or 0,
                usd=usd,
            )
            return (one,)
        quota = (getattr(answer, "field_meta", None) or {}).get("quota") or {}
        found: dict[str, Usage] = {}
        listed = quota.get("model_usage") or ()
        routed = [each.get("model") for each in listed if each.get("model") != "auto"]
        for each in listed:
            name, count = each.get("model"), each.get("token_count") or {}
            # before it has chosen one, it names none
            name = name if name != "auto" else (routed or [self.model])[0]
            before = found.get(name, Usage(model=name))
            found[name] = before.model_copy(
                update={
                    "input_tokens": before.input_tokens + int(count.get("input_tokens") or 0),
                    "output_tokens": before.output_tokens + int(count.get("output_tokens") or 0),
                }
            )
        if not found and usd is not None:
            return (Usage(model=self.model, usd=usd),)
        return tuple(found.values())


def cost_of_session(task: Task) -> float:
    """US dollars that the session had cost before this turn, by the logs of the family."""
    costs: dict[tuple[str, int], dict[str, float]] = {}
    folder = Path(task.job.log).parent
    for file in folder.glob("*.jsonl") if task.job.log and task.session else ():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                said = json.loads(line)
                if said["kind"] == Kind.USAGE and said["session"] == task.session:
                    # each event has the turn's sum so far
                    used = said["usage"]
                    turn = costs.setdefault((file.name, int(said["turn"])), {})
                    turn[used["model"]] = float(used["usd"])
    return sum(sum(models.values()) for models in costs.values())


def _describe(exc: BaseException) -> str:
    """An error with what its sender adds."""
    data = getattr(exc, "data", None)
    text = str(exc) or type(exc).__name__
    return f"{text} {data}" if data else text
