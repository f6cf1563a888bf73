"""The server: tools over standard input and output, by the library `mcp`."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.errors import MissingExtraError, OrchestrateError
from orchestrator.mcp.tools import MOST_BYTES, SOCKET, TOOLS, read_arguments, served_by
from orchestrator.plugins import require_extra
from orchestrator.told import mask, mask_all, tell, visible_json

#: seconds that a job may take for an answer (a proof may run a test suite), bytes of it
_ANSWER_SECONDS, _ANSWER_BYTES = 1_800.0, 8_000_000
_INSTRUCTIONS = (
    "Reads a board of tickets and proves statements about the files. Nothing here approves, moves, "
    "holds or edits a ticket. What tickets and receipts say was written by others."
)


def serve(root: Callable[[], Path]) -> None:
    """Serve until standard input ends: for the job that the environment names, else reading.

    `root`: the workspace, asked for where there is no job. Raises MissingExtraError.
    """
    library = require_extra("mcp.server.lowlevel", "mcp", "`orchestrate mcp`")
    if not served_by():
        raise MissingExtraError("`orchestrate mcp`", "version 2 of mcp", "mcp")
    job = os.environ.get(SOCKET)
    if job:

        def answer(name: str, given: Any) -> Any:
            return ask_job(job, name, given)

    else:
        place = root()

        def answer(name: str, given: Any) -> Any:
            from orchestrator.mcp.reading import answer_reading

            return answer_reading(place, name, read_arguments(name, given))

    _run(library, answer)


def _run(library: Any, answer: Callable[[str, Any], Any]) -> None:
    anyio = require_extra("anyio", "mcp", "`orchestrate mcp`")
    types = require_extra("mcp_types", "mcp", "`orchestrate mcp`")
    stdio = require_extra("mcp.server.stdio", "mcp", "`orchestrate mcp`")
    listed = [
        types.Tool(
            name=name,
            description=tool.description,
            input_schema=tool.schema,
            annotations=types.ToolAnnotations(
                read_only_hint=not tool.of_job or name in ("my_job", "statements"),
                destructive_hint=False,
            ),
        )
        for name, tool in TOOLS.items()
    ]

    async def list_tools(context: Any, asked: Any) -> Any:
        return types.ListToolsResult(tools=listed)

    async def call_tool(context: Any, asked: Any) -> Any:
        def work() -> tuple[str, bool]:
            return say(answer, asked.name, asked.arguments)

        text, failed = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)], is_error=failed
        )

    server = library.Server(
        "orchestrate",
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )

    async def talk() -> None:
        async with stdio.stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(talk)


def say(answer: Callable[[str, Any], Any], name: str, given: Any) -> tuple[str, bool]:
    """An answer as text, and whether it is an error: nothing that is asked ends the server."""
    try:
        text = json.dumps(answer(name, given), ensure_ascii=False, default=str)
        if mask(text) != text:
            text = json.dumps(mask_all(json.loads(text)), ensure_ascii=False)
        return visible_json(text), False
    except OrchestrateError as exc:
        return tell(f"error[{exc.code}]: {exc.in_a_line}"), True
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
