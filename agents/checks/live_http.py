"""Checks of a server that runs: `[checks] serve` starts it in a sandbox, and it is asked.

Each request has a server and a copy of the workspace of its own, without network but its loopback.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrate_agents.sandbox.proof_tree import workspace_copy, workspace_digest
from orchestrate_agents.sandbox.runs import RunError, run
from orchestrate_agents.tools.programs import find_missing, resolve_command
from orchestrator.commands.definitions import simple_commands
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)
from orchestrator.gates.trust import is_trusted
from orchestrator.settings.board import FILE
from orchestrator.settings.tables import ChecksSettings

_ASK = Path(__file__).parent.parent / "sandbox" / "ask.py"
_HOSTS = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 - what people write
_METHODS = "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS"
_SILENT = re.compile(
    r"-[sSifLkv]+|--(?:silent|show-error|include|fail|location|verbose|compressed)"
)


@dataclass(frozen=True)
class Call:
    """One request, as a statement quotes it."""

    shown: str
    method: str = "GET"
    path: str = "/"
    #: 0: that of the configuration
    port: int = 0
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    #: curl prints the status, not the body
    prints_status: bool = False
    #: why it is not sent, or ""
    problem: str = ""


def _parse_call(text: str) -> Call:
    shown = text.strip("` ")
    try:
        if re.match(r"curl\s", shown):
            return _parse_curl(shown)
        # a path alone is asked for as a browser does
        shown = f"GET {shown}" if shown.startswith("/") else shown
        method, target, *body = shown.split(maxsplit=2)
        return _with_target(Call(shown, method.upper(), body=body[0] if body else ""), target)
    except ValueError as exc:
        return Call(shown, problem=str(exc))


def _with_target(call: Call, target: str) -> Call:
    if not target.startswith("/"):
        target = target if "//" in target else f"http://{target}"
    parts = urlsplit(target)
    if parts.scheme not in ("", "http") or (parts.hostname or "localhost") not in _HOSTS:
        return Call(call.shown, problem="only http at this machine's own address is asked")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = dict(call.headers)
    if call.body and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/json"
    return replace(call, path=path, port=parts.port or 0, headers=headers)


def _parse_curl(shown: str) -> Call:
    (words,) = simple_commands(shown)
    rest, target, method, body, prints = iter(words[1:]), "", "", "", ""
    headers: dict[str, str] = {}
    for word in rest:
        if _SILENT.fullmatch(word):
            continue
        if word in ("-X", "--request"):
            method = next(rest, "")
        elif word in ("-d", "--data", "--data-raw", "--data-binary", "--json"):
            body = next(rest, "")
        elif word in ("-H", "--header"):
            name, _, value = next(rest, "").partition(":")
            headers[name.strip()] = value.strip()
        elif word in ("-o", "--output"):
            next(rest, "")
        elif word in ("-w", "--write-out"):
            prints = next(rest, "")
        elif word.startswith("-") or target:
            return Call(shown, problem=f"curl's {word} is not understood here")
        else:
            target = word
    method = (method or ("POST" if body else "GET")).upper()
    if body and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = (
            "application/json" if body[:1] in "{[" else "application/x-www-form-urlencoded"
        )
    status = prints.strip("\\n") == "%{http_code}"
    call = Call(shown, method, body=body, headers=headers, prints_status=status)
    return _with_target(call, target)


parameter_type(
    "call",
    rf"(?:`(?:(?:{_METHODS})\s+(?:/|https?://|localhost|127\.0\.0\.1)[^\s`]*(?:\s+[{{\[][^`]*)?"
    rf"|curl\s[^`]+)`|(?-i:{_METHODS})\s+/[^\s`]*|`/[^\s`.]*`)",
    _parse_call,
)
parameter_type("status", r"[1-5]\d\d", int)
_ANSWERS = (
    "(returns|return|answers|responds|gives|yields|replies|returning) [with] [(a|an|the)] "
    "[(HTTP|status|code|status code|HTTP status)]"
)
_REASON = (
    "[(OK|Created|Accepted|No Content|Bad Request|Unauthorized|Forbidden|Not Found|Conflict|"
    "Unprocessable Entity|Too Many Requests)]"
)


@check(
    f"{{call:call}} {_ANSWERS} {{status:status}} {_REASON}",
    f"[(a|the)] (endpoint|route|request|request to|call) {{call:call}} {_ANSWERS} "
    f"{{status:status}} {_REASON}",
    f"[(a|the)] {{call:call}} (endpoint|route|request) {_ANSWERS} {{status:status}} {_REASON}",
    f"{{call:call}} {_ANSWERS} {{status:status}} {_REASON}[,] (and|with) [(the|a)] "
    "[(body|JSON|JSON body|response)] {wanted:code}",
    f"{{call:call}} {_ANSWERS} [(body|JSON|JSON body)] {{wanted:code}}",
    f"{{call:call}} {_ANSWERS} [{{status:status}} and] [(body|JSON|response)] [that] "
    "(contains|containing|including|includes) {part:code}",
    "[the] [(JSON|body of the)] (response|answer|body) (of|to|from|for) {call:call} "
    "(contains|includes|has) {part:code}",
    name="http.live",
    slow=True,
    evidence=True,
    examples=(
        "`GET /health` returns 200",
        "`curl -s localhost:3000/api/items` returns 200 and `[]`",
        '`POST /api/items {"name": ""}` returns 422',
    ),
)
def answers_live(
    ctx: Context, call: Call, status: int | None = None, wanted: str = "", part: str = ""
) -> Result:
    """The server that `[checks] serve` starts is asked, and its answer has the status and body."""
    answer = ask_server(ctx, call)
    if isinstance(answer, Result):
        return answer
    subjects = delivered_files(ctx)
    evidence = {key: str(answer[key])[:2000] for key in ("text", "type", "said")}
    problems = []
    if call.prints_status and wanted.isdecimal():
        status, wanted = int(wanted), ""
    if status is None and not 200 <= answer["status"] < 300:
        problems.append("an error")
    elif status is not None and answer["status"] != status:
        problems.append(f"not {status}")
    if wanted and not _equals(answer["text"], wanted):
        problems.append(f"not with `{wanted}`")
    if part and part not in answer["text"]:
        problems.append(f"without `{part}`")
    said = f"`{call.shown}` answers {answer['status']}: {' '.join(answer['text'].split())[:200]}"
    if problems:
        return failed(f"{said} — {', '.join(problems)}", *subjects, **evidence)
    return proven(said, *subjects, **evidence)


_AUTH = (
    "[(a|an|any)] [(valid|bearer|access)] (token|authentication|login|credentials|authorization|"
    "session|API key|auth|logging in|being logged in)"
)


@check(
    f"{{call:call}} (requires|needs) {_AUTH}",
    "{call:call} (requires|needs) [the] (user|client|caller) to be (logged in|authenticated)",
    f"{{call:call}} without {_AUTH} {_ANSWERS} {{status:status}} {_REASON}",
    f"{{call:call}} {_ANSWERS} {{status:status}} {_REASON} without {_AUTH}",
    f"{{call:call}} {_ANSWERS} {{status:status}} {_REASON} (for|to) (unauthenticated|anonymous) "
    "(requests|users|callers|clients)",
    f"(unauthenticated|anonymous) {{call:call}} {_ANSWERS} {{status:status}} {_REASON}",
    name="http.needs-login",
    slow=True,
    examples=("`GET /users` requires authentication", "`GET /users` without a token returns 401"),
)
def needs_login(ctx: Context, call: Call, status: int | None = None) -> Result:
    """The server is asked without any credentials, and refuses: 401 or 403, or the named status."""
    sent = {name.lower() for name in call.headers}
    if sent & {"authorization", "cookie", "x-api-key"} or "@" in call.shown.split("?")[0]:
        return unproven(f"`{call.shown}` itself sends credentials")
    answer = ask_server(ctx, call)
    if isinstance(answer, Result):
        return answer
    subjects, found = delivered_files(ctx), answer["status"]
    said = f"`{call.shown}` without credentials answers {found}"
    if status is not None:
        return (proven if found == status else failed)(said, *subjects)
    if found in (401, 403):
        return proven(said, *subjects)
    # a redirect may lead to a page for logging in
    return (failed if 200 <= found < 300 else unproven)(said, *subjects)


def delivered_files(ctx: Context) -> list[str]:
    """What agents delivered and is there: what a server's answer is about."""
    return sorted(path for path in ctx.artifacts if ctx.path(path).is_file())


def ask_server(
    ctx: Context, call: Call, times: int = 0, visit: Sequence[str] = ()
) -> dict[str, Any] | Result:
    """The answer (status, text, type, said), or why there is none.

    `times`: it is asked that often, and `seconds` of the answer has how long each answer took.
    `visit`: a program that is given the address in place of a request, and prints a line of JSON.
    """
    settings = ChecksSettings.model_validate(ctx.settings.get("checks", {}))
    if call.problem:
        return unproven(f"`{call.shown}` is not sent: {call.problem}")
    if not settings.serve:
        return unproven(
            f"`{call.shown}` is not sent: `[checks] serve` in {FILE} names no command that starts "
            "the server, nor `port` where it listens"
        )
    if not is_trusted(ctx, FILE):
        return unproven(f"{FILE}, which says how the server is started, was changed by an agent")
    try:
        answer = _ask(ctx, call, settings, times, visit)
    except (ValueError, OSError, RunError) as exc:
        return unproven(f"`{settings.serve}` cannot be run: {exc}")
    except MissingToolError as exc:
        return unproven(f"`{settings.serve}` cannot be started: {exc.message}", install=exc.command)
    if "status" not in answer and not answer.get("visited"):
        return _no_answer(ctx, settings, answer, delivered_files(ctx))
    return answer


def _no_answer(
    ctx: Context, settings: ChecksSettings, answer: dict[str, Any], subjects: list[str]
) -> Result:
    output = str(answer.get("said", ""))
    last = output.strip().splitlines()[-1][:300] if output.strip() else "it says nothing"
    if answer.get("taken"):
        return unproven(f"port {settings.port} is taken by another program")
    if lack := find_missing(ctx, answer.get("ended"), output):
        return unproven(f"`{settings.serve}`: {lack.message}", install=lack.command)
    if "broken" in answer:
        return failed(f"`{settings.serve}`: {answer['broken']}: {last}", *subjects, said=output)
    ended = answer.get("ended")
    how = "does not listen" if ended is None else f"ended with {ended}"
    return failed(
        f"`{settings.serve}` {how} (port {settings.port}): {last}", *subjects, said=output
    )


def _ask(
    ctx: Context, call: Call, settings: ChecksSettings, times: int, visit: Sequence[str]
) -> dict[str, Any]:
    """The answer, asked once per content of the workspace; what varies, once per run."""
    started = [resolve_command(ctx, words) for words in simple_commands(settings.serve)]
    limit = min(settings.timeout, 60.0)
    said = {
        "commands": [words for words, _, _ in started],
        "port": call.port or settings.port,
        "method": call.method,
        "path": call.path,
        "body": call.body,
        "headers": call.headers,
        "limit": limit,
        "times": times,
        **({"visit": list(visit)} if visit else {}),
    }
    tree = workspace_digest(ctx.services, ctx.root)
    key = ("http.live", json.dumps(said, sort_keys=True), tree)

    def make() -> dict[str, Any]:
        with workspace_copy(ctx.root) as copy:
            words = [sys.executable, "-I", str(_ASK), json.dumps(said)]
            variables = started[-1][1]
            ended = run(
                words,
                cwd=copy,
                env=variables,
                limit=limit * 3,
                apart_from=ctx.root,
                leaves=True,
            )
        if ended.tried:
            return {"broken": ended.ending}
        try:
            found: dict[str, Any] = json.loads(ended.out.splitlines()[-1])
        except (ValueError, IndexError):
            return {"broken": ended.ending}
        return found

    services = ctx.services
    asked: dict[str, Any]
    # what a visitor sees depends on its own tools too
    varies = times or visit
    asked = services.share(key, make) if varies else services.remember(key, dict[str, Any], make)
    return asked


def _equals(text: str, wanted: str) -> bool:
    """As JSON, where both are; of an object, the named fields. Else as text."""
    try:
        found, asked = json.loads(text), json.loads(wanted)
    except ValueError:
        return text.strip() == wanted.strip()
    if isinstance(asked, dict) and asked and isinstance(found, dict):
        return all(name in found and found[name] == value for name, value in asked.items())
    return bool(found == asked)
