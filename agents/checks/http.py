"""Checks of delivered HTTP interfaces: a request is sent, and the response must have content.

The interface is a module with an ASGI application `app`. It finds its target by the environment:
`ORCHESTRATE_TARGET`, `ORCHESTRATE_ROOT`, and whatever else the target needs. The workspace's own
server is given as `postgres` with a `DATABASE_URL`, since a proof cannot see its folder.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from orchestrate_agents.checks.data.subjects import Amount
from orchestrate_agents.checks.python.probes import module_name, run_probe
from orchestrate_agents.effect_runner import VARIABLES
from orchestrate_agents.tools.python import python_of
from orchestrator.domain.workflow import Workflow
from orchestrator.gates.checks import (
    Context,
    Phase,
    Result,
    Verdict,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)


@dataclass(frozen=True)
class HttpRequest:
    """`POST /api/things {"a": 1}`; without a body, a curl line of the workflow may give it."""

    method: str
    path: str
    body: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _parse_request(text: str) -> HttpRequest:
    method, path, *body = text.strip(" `").split(maxsplit=2)
    return HttpRequest(method.upper(), path, body[0] if body else "")


parameter_type(
    "request", r"`(?:GET|POST|PUT|PATCH|DELETE)\s+/[^\s`]*(?:\s+[{\[][^`]*)?`", _parse_request
)

_PROBE = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
import httpx
from starlette.testclient import TestClient
name, method, path, body = sys.argv[1:]
with TestClient(importlib.import_module(name).app, raise_server_exceptions=False) as client:
    headers = {"Content-Type": "application/json"}
    answer = client.request(method, path, content=body or None, headers=headers)
print(json.dumps({"status": answer.status_code, "text": answer.text}))
"""


@check(
    "{request:request} (of|from|by) {module:module} answers [200] with {fields:names}",
    "{request:request} (of|from|by) {module:module} answers {word:code} with {fields:names}",
    "{request:request} (of|from|by) {module:module} answers [200] with {wanted:amount} "
    "{counted:name}",
    "{request:request} (of|from|by) {module:module} answers {word:code} with {wanted:amount} "
    "{counted:name}",
    name="http.answers",
    phase=Phase.EFFECT,
    examples=(
        "`GET /api/shops` of `shop/api.py` answers with shops",
        '`POST /api/prices {"day": null}` of `shop/api.py` answers "completed" with prices',
        "`GET /api/shops` of `shop/api.py` answers with at least 3 `shops`",
    ),
)
def answers_with_content(
    ctx: Context,
    request: HttpRequest,
    module: str,
    word: str = "",
    fields: tuple[str, ...] = (),
    wanted: Amount | None = None,
    counted: str = "",
) -> Result:
    """On the target: status 200, `status` is the word, and every named field is filled."""
    if ctx.target is None:
        return Result(Verdict.PENDING, "asked on the target, after the effects")
    if not ctx.path(module).is_file():
        return failed(f"{module} is missing", module)
    body = request.body or _find_curl_body(ctx.workflow, request)
    if request.method in ("POST", "PUT", "PATCH") and not body:
        return unproven(f"neither the statement nor a curl line gives the body of {request}")
    answer = _send(ctx, module, request, body)
    if isinstance(answer, Result):
        return answer
    problems = []
    if word and answer.get("status") != word:
        problems.append(f"its status is “{answer.get('status')}”, not “{word}”")
    for name in fields:
        if answer.get(name) in (None, "", [], {}, 0):
            problems.append(f"{name} is {'empty' if name in answer else 'missing'}")
    if wanted is not None:
        number = _count(answer.get(counted))
        if number is None:
            problems.append(f"{counted} is neither a list nor a number")
        elif not wanted.holds(number):
            problems.append(f"{counted} counts {number}, wanted {wanted}")
    if problems:
        said = f"{request} answers 200, but {'; '.join(problems)}"
        return failed(said, module, body=body, answer=answer)
    shown = []
    for name in (*fields, *filter(None, [counted])):
        number = _count(answer[name])
        shown.append(name if number is None else f"{name} {number:,}")
    status = f" “{word}”" if word else ""
    said = f"{request} on {ctx.target.name} answers 200{status}: {', '.join(shown)}"
    said += f"; with {python_of(ctx).label}"
    return proven(said, module, body=body)


def _send(ctx: Context, module: str, request: HttpRequest, body: str) -> Mapping[str, Any] | Result:
    """The JSON object that the interface answers with, or why there is none."""
    # what the interface needs to find the target, and no other key
    name = str(ctx.target.name)
    env = {v: os.environ[v] for v in VARIABLES.get(name, ()) if v in os.environ}
    if name == "supabase":
        # it is behind the proxies that a proof is cut off from
        env |= {p: os.environ.get(p, "") for p in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")}
    if name == "embedded":
        # the walls of a proof hide its data: it is reached as any server, in the same role
        from psycopg.conninfo import make_conninfo

        url = make_conninfo(ctx.target.uri(), options="-c role=service_role")
        name, env["DATABASE_URL"] = "postgres", url
    env |= {"ORCHESTRATE_TARGET": name, "ORCHESTRATE_ROOT": str(ctx.root)}
    ran = run_probe(ctx, _PROBE, [module_name(module), request.method, request.path, body], env)
    if not ran.ok:
        said = f"{module} cannot be asked with {python_of(ctx).label}: {ran.ending}"
        return failed(said, module, **ran.to_dict())
    response = json.loads(ran.out.splitlines()[-1])
    if response["status"] != 200:
        said = f"{request} answers {response['status']}: {response['text'][:300]}"
        return failed(said, module, body=body)
    try:
        answer = json.loads(response["text"])
    except ValueError:
        said = f"{request} answers 200, but not with JSON: {response['text'][:200]}"
        return failed(said, module)
    if not isinstance(answer, dict):
        return failed(f"{request} answers 200, but not with a JSON object", module)
    return answer


def _count(value: object) -> int | None:
    if isinstance(value, list | dict):
        return len(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _find_curl_body(workflow: Workflow | None, request: HttpRequest) -> str:
    """The body that a curl line of the workflow sends to the same path, "" if there is none."""
    blocks = [b for stage in (workflow.stages if workflow else ()) for b in stage.blocks]
    lines = [ln for b in blocks for ln in re.sub(r"\\\s*\n", " ", b.text).splitlines()]
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        urls = [word for word in words if word.startswith(("http://", "https://"))]
        if words[:1] == ["curl"] and request.path in {urlsplit(url).path for url in urls}:
            for flag, value in pairwise(words):
                if flag in ("-d", "--data", "--data-raw", "--json") and value:
                    return value
    return ""
