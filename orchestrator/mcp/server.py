"""The server: tools over standard input and output, one JSON-RPC message a line.

The library of the protocol takes a second of processor time to start, which each turn of a coding
agent would wait for; what is served here is little of it. For the same reason a job is asked what
its tools are.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.errors import OrchestrateError
from orchestrator.errors.masking import mask, mask_all, sanitize, visible_json

#: the variable with the path of the socket that answers for a job
SOCKET = "ORCHESTRATE_JOB_SOCKET"
#: the variable with what `ask_user` is called for a program that has a tool of that name itself
ASK_AS = "ORCHESTRATE_ASK_AS"
#: bytes of one message over that socket
MOST_BYTES = 262_144
#: asked for as a tool: what `describe_tools` says
DESCRIBE = "describe_tools"
#: seconds that a job may take for an answer (a proof may run a test suite), bytes of it
_ANSWER_SECONDS, _ANSWER_BYTES = 1_800.0, 8_000_000
#: editions of the protocol whose tools are these, the newest last
_EDITIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
#: bytes of a message, calls that are answered at a time, seconds for them once nobody asks more
_LINE, _CALLS, _END = 4 * MOST_BYTES, 8, 10.0
_PARSE, _INVALID, _NO_METHOD, _PARAMS, _INTERNAL = -32700, -32600, -32601, -32602, -32603
#: the tool that may be shown by another name
_ASK = "ask_user"
_INSTRUCTIONS = (
    "Reads a board of tickets and proves statements about the files. Nothing here approves, moves, "
    "holds or edits a ticket. What tickets and receipts say was written by others."
)
Answer = Callable[[str, Any], Any]


class _WrongError(Exception):
    """What is asked cannot be answered: the code of the protocol, and why."""


def serve(root: Callable[[], Path]) -> None:
    """Serve until standard input ends: for the job that the environment names, else reading.

    `root`: the workspace, asked for where there is no job.
    """
    job = os.environ.get(SOCKET)
    if job:

        def answer(name: str, given: Any) -> Any:
            return ask_job(job, name, given)

    else:
        place = root()

        def answer(name: str, given: Any) -> Any:
            from orchestrator.mcp.reading import answer_reading
            from orchestrator.mcp.tools import describe_tools, read_arguments

            if name == DESCRIBE:
                return describe_tools()
            return answer_reading(place, name, read_arguments(name, given))

    # what anything else prints must not get between the messages
    out, sys.stdout = sys.stdout.buffer, sys.stderr
    Server(answer, os.environ.get(ASK_AS, "")).talk(sys.stdin.buffer, out)


class Server:
    """Speaks with one client. `ask_as`: what `ask_user` is called where that name is taken."""

    def __init__(self, answer: Answer, ask_as: str = "") -> None:
        self._answer, self._ask_as = answer, ask_as or _ASK
        self._writing, self._room = threading.Lock(), threading.Semaphore(_CALLS)

    def talk(self, incoming: BinaryIO, out: BinaryIO) -> None:
        """Answer until nothing more comes; calls of tools go on beside each other."""
        working: list[threading.Thread] = []
        while line := incoming.readline(_LINE + 1):
            if len(line) > _LINE:
                while line and not line.endswith(b"\n"):
                    line = incoming.readline(_LINE)
                self._say(out, _error(None, _PARSE, "the message is too long"))
                continue
            if not line.strip():
                continue
            try:
                said = json.loads(line)
            except (ValueError, RecursionError):
                self._say(out, _error(None, _PARSE, "Parse error: this is not JSON"))
                continue
            if isinstance(said, dict) and said.get("method") == "tools/call":
                self._room.acquire()
                thread = threading.Thread(target=self._call, args=(said, out), daemon=True)
                working = [t for t in working if t.is_alive()] + [thread]
                thread.start()
            else:
                self._say(out, self._reply(said))
        for thread in working:
            thread.join(_END)

    def _call(self, said: Mapping[str, Any], out: BinaryIO) -> None:
        try:
            self._say(out, self._reply(said))
        finally:
            self._room.release()

    def _say(self, out: BinaryIO, message: Mapping[str, Any] | None) -> None:
        if message is None:
            return
        data = json.dumps(message, ensure_ascii=True, default=str).encode() + b"\n"
        with self._writing:
            try:
                out.write(data)
                out.flush()
            except OSError:
                # nobody listens any more
                os._exit(0)

    def _reply(self, said: Any) -> dict[str, Any] | None:
        """The answer to a message; None for one that gets none."""
        if not isinstance(said, dict) or said.get("jsonrpc") != "2.0":
            return _error(None, _INVALID, "Invalid Request: no message of JSON-RPC 2.0")
        number, method, given = said.get("id"), said.get("method"), said.get("params")
        if not isinstance(method, str):
            # an answer, though nothing was asked
            answered = "result" in said or "error" in said
            return None if answered else _error(number, _INVALID, "Invalid Request: no method")
        if number is None:
            return None
        if not isinstance(number, int | str) or isinstance(number, bool):
            return _error(None, _INVALID, "Invalid Request: the id is neither a number nor text")
        try:
            if not isinstance(given, dict | None):
                raise _WrongError(_PARAMS, "params is not an object")
            return {"jsonrpc": "2.0", "id": number, "result": self._result(method, given or {})}
        except _WrongError as exc:
            return _error(number, *exc.args)

    def _result(self, method: str, given: Mapping[str, Any]) -> dict[str, Any]:
        if method == "initialize":
            asked = given.get("protocolVersion")
            return {
                "protocolVersion": asked if asked in _EDITIONS else _EDITIONS[-1],
                "capabilities": {"tools": {"listChanged": False}},
                "serverInfo": {"name": "orchestrate", "version": self._about()["version"]},
                "instructions": _INSTRUCTIONS,
            }
        if method == "ping":
            return {}
        if method == "tools/list":
            tools = self._about()["tools"]
            return {"tools": [{**t, "name": self._shown(t["name"])} for t in tools]}
        if method == "tools/call":
            name = given.get("name")
            if not isinstance(name, str):
                raise _WrongError(_PARAMS, "the name of a tool is missing")
            name = _ASK if name == self._ask_as else name
            text, failed = say(self._answer, name, given.get("arguments"))
            return {"content": [{"type": "text", "text": text}], "isError": failed}
        raise _WrongError(_NO_METHOD, f"Method not found: {method[:100]}")

    def _about(self) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = self._answer(DESCRIBE, None)
        except OrchestrateError as exc:
            raise _WrongError(_INTERNAL, exc.in_a_line) from exc
        return found

    def _shown(self, name: str) -> str:
        return self._ask_as if name == _ASK else name


def _error(number: Any, code: int, text: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": text}}


def say(answer: Callable[[str, Any], Any], name: str, given: Any) -> tuple[str, bool]:
    """An answer as text, and whether it is an error: nothing that is asked ends the server."""
    try:
        text = json.dumps(answer(name, given), ensure_ascii=False, default=str)
        if mask(text) != text:
            text = json.dumps(mask_all(json.loads(text)), ensure_ascii=False)
        return visible_json(text), False
    except OrchestrateError as exc:
        return sanitize(f"error[{exc.code}]: {exc.in_a_line}"), True
    except Exception as exc:  # noqa: BLE001 - of whatever it may be, the caller is told
        return f"error[unexpected]: {type(exc).__name__}", True


def ask_job(path: str, name: str, given: Any) -> Any:
    """What the process answers that has the job. Raises OrchestrateError."""
    line = json.dumps({"tool": name, "arguments": given or {}}).encode() + b"\n"
    if len(line) > MOST_BYTES:
        raise OrchestrateError("the arguments are too long", code="bad-arguments")
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_ANSWER_SECONDS)
            link.connect(path)
            link.sendall(line)
            with link.makefile("rb") as file:
                said = json.loads(file.readline(_ANSWER_BYTES))
    except (OSError, ValueError) as exc:
        raise OrchestrateError(
            "the job does not answer: its turn has ended", code="no-job"
        ) from exc
    if "error" in said:
        raise OrchestrateError(said["error"], code=said.get("code", "error"))
    return said["result"]
