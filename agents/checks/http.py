"""Checks of delivered HTTP interfaces: a request is sent, and the answer has to have content.

The interface is a module with an ASGI application `app`. It finds its target by the environment:
`ORCHESTRATE_TARGET`, `ORCHESTRATE_ROOT`, and what the target needs besides.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from orchestrate_agents.checks.data.subjects import Amount
from orchestrate_agents.checks.python.probes import module_name, run_probe
from orchestrate_agents.effect_runner import VARIABLES
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
class Request:
    """`POST /api/things {"a": 1}`; without a body of its own a curl line of the workflow has it."""

    method: str
    path: str
    body: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


_REQUEST = r"`(?:GET|POST|PUT|PATCH|DELETE)\s+/[^\s`]*(?:\s+[{\[][^`]*)?`"


def _request(text: str) -> Request:
    method, path, *body = text.strip(" `").split(maxsplit=2)
    return Request(method.upper(), path, body[0] if body else "")


parameter_type("request", _REQUEST, _request)

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
    request: Request,
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
    body = request.body or _curled(ctx.workflow, request)
    if request.method in ("POST", "PUT", "PATCH") and not body:
        return unproven(f"neither the statement nor a curl line gives the body of {request}")
    answer = _answer(ctx, module, request, body)
    if isinstance(answer, Result):
        return answer
    problems = list(_problems(answer, word, fields, wanted, counted))
    if problems:
        said = f"{request} answers 200, but {'; '.join(problems)}"
        return failed(said, module, body=body, answer=answer)
    shown = ", ".join(_shown(name, answer[name]) for name in (*fields, *filter(None, [counted])))
    said = f"{request} on {ctx.target.name} answers 200{f' “{word}”' * bool(word)}: {shown}"
    return proven(said, module, body=body)


def _answer(ctx: Context, module: str, request: Request, body: str) -> Mapping[str, Any] | Result:
    words = [module_name(module), request.method, request.path, body]
    ran = run_probe(ctx, _PROBE, words, _environment(ctx))
    if not ran.ok:
        return failed(f"{module} cannot be asked: {ran.ending}", module, **ran.to_dict())
    told = json.loads(ran.out.splitlines()[-1])
    if told["status"] != 200:
        said = f"{request} answers {told['status']}: {told['text'][:300]}"
        return failed(said, module, body=body)
    try:
        answer = json.loads(told["text"])
    except ValueError:
        return failed(f"{request} answers 200, but no JSON: {told['text'][:200]}", module)
    if not isinstance(answer, dict):
        return failed(f"{request} answers 200, but no JSON object", module)
    return answer


def _environment(ctx: Context) -> dict[str, str]:
    """What the interface needs to find the target, and no other key."""
    name = str(ctx.target.name)
    given = {v: os.environ[v] for v in VARIABLES.get(name, ()) if v in os.environ}
    if name == "supabase":
        # it lies beyond the proxies that a proof is shut behind
        given |= {p: os.environ.get(p, "") for p in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")}
    return {**given, "ORCHESTRATE_TARGET": name, "ORCHESTRATE_ROOT": str(ctx.root)}


def _problems(
    answer: Mapping[str, Any],
    word: str,
    fields: tuple[str, ...],
    wanted: Amount | None,
    counted: str,
) -> Iterator[str]:
    if word and answer.get("status") != word:
        yield f"its status is “{answer.get('status')}”, not “{word}”"
    for name in fields:
        if answer.get(name) in (None, "", [], {}, 0):
            yield f"{name} is {'empty' if name in answer else 'missing'}"
    if wanted is not None:
        number = _number(answer.get(counted))
        if number is None:
            yield f"{counted} is neither a list nor a number"
        elif not wanted.holds(number):
            yield f"{counted} counts {number}, wanted {wanted}"


def _number(value: object) -> int | None:
    if isinstance(value, list | dict):
        return len(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _shown(name: str, value: object) -> str:
    number = _number(value)
    return f"{name} {number:,}" if number is not None else name


# -- curl lines ------------------------------------------------------------------------------------


def _curled(workflow: Workflow | None, request: Request) -> str:
    """The body that a curl line of the workflow sends to the same path, "" if there is none."""
    for stage in workflow.stages if workflow is not None else ():
        for block in stage.blocks:
            for line in re.sub(r"\\\s*\n", " ", block.text).splitlines():
                found = _body(line, request)
                if found:
                    return found
    return ""


def _body(line: str, request: Request) -> str:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return ""
    if not words or words[0] != "curl":
        return ""
    paths = {urlsplit(word).path for word in words if word.startswith(("http://", "https://"))}
    flags = ("-d", "--data", "--data-raw", "--json")
    bodies = [words[n + 1] for n, word in enumerate(words[:-1]) if word in flags]
    return bodies[0] if request.path in paths and bodies else ""
