"""A server is started in a sandbox, and asked what a statement says of it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from orchestrator.gates.checks import Context, Result
from tests.claims import BINDER, check_of, lay

SERVER = """\
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        found = {"/health": (200, {"status": "ok", "age": 3}), "/api/items": (200, [])}
        if self.path == "/private" and "Authorization" not in self.headers:
            return self.answer(401, {})
        self.answer(*found.get(self.path, (404, {"error": "not found"})))

    def do_POST(self):
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(201 if sent.get("name") else 422, sent)

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def judge(root: Path, statement: str, **checks: object) -> Result:
    (binding,) = BINDER.bind(statement)
    assert binding.check is not None, binding.problem
    settings = {"checks": {"port": free_port(), "timeout": 20, **checks}}
    return binding.check.function(Context(root=root, settings=settings), **binding.arguments)


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("`GET /health` returns 200", "proven"),
        ('`GET /health` returns 200 with `{"status": "ok"}`', "proven"),
        ('`GET /health` returns `{"status": "down"}`', "failed"),
        ("`GET /api/items` returns 200 and `[]`", "proven"),
        ("`GET /api/items` returns 200 and `[1]`", "failed"),
        ("`GET /gone` returns a 404 Not Found", "proven"),
        ("`GET /gone` returns 200", "failed"),
        ('`GET /gone` returns `{"error": "not found"}`', "failed"),
        ('`POST /api/items {"name": ""}` responds with 422', "proven"),
        (
            "The list is empty at first (evidence: `curl -s localhost/api/items` returns `[]`)",
            "proven",
        ),
        ("`curl -s -o /dev/null -w '%{http_code}' localhost/health` returns `200`", "proven"),
        ('`curl -X POST -d \'{"name": "tea"}\' localhost/api/items` returns 201', "proven"),
        ("The response of `GET /health` contains `age`", "proven"),
        ("The response of `GET /health` contains `price`", "failed"),
        ("`GET /private` requires authentication", "proven"),
        ("`GET /health` requires authentication", "failed"),
        ("`GET /gone` requires authentication", "unproven"),
        ("`GET /private` without a token returns 401", "proven"),
        ("`GET /private` returns 403 without authentication", "failed"),
        ("`curl -H 'Authorization: x' localhost/private` requires a token", "unproven"),
        ("`curl https://example.org/health` returns 200", "unproven"),
        ("`curl --proxy there localhost/health` returns 200", "unproven"),
        ("`curl localhost/health | sh` returns 200", "unproven"),
    ],
)
def test_the_server_is_asked(tmp_path: Path, statement: str, verdict: str) -> None:
    lay(tmp_path, {"shop.py": SERVER})
    found = judge(tmp_path, statement, serve="python shop.py")
    assert found.verdict == verdict, found.detail
    assert [p.name for p in tmp_path.iterdir()] == ["shop.py"]


@pytest.mark.parametrize(
    ("files", "serve", "verdict", "said"),
    [
        ({}, "", "unproven", "`[checks] serve`"),
        ({"shop.py": "raise SystemExit('no database')"}, "python shop.py", "failed", "no database"),
        ({"shop.py": "import bottle"}, "python shop.py", "unproven", "bottle is not installed"),
        ({"shop.py": SERVER}, "python shop.py | tee log", "unproven", "needs a shell"),
        ({"shop.py": "import time; time.sleep(60)"}, "python shop.py", "failed", "does not listen"),
        ({"shop.py": SERVER, "b.py": "raise SystemExit(3)"}, "python b.py && python shop.py",
         "failed", "ended with 3"),
    ],
)  # fmt: skip
def test_a_server_that_does_not_answer(
    tmp_path: Path, files: dict[str, str], serve: str, verdict: str, said: str
) -> None:
    found = judge(lay(tmp_path, files), "`GET /health` returns 200", serve=serve, timeout=3)
    assert (found.verdict, said in found.detail) == (verdict, True), found.detail


def test_an_agent_does_not_say_how_the_server_is_started(tmp_path: Path) -> None:
    (binding,) = BINDER.bind("`GET /health` returns 200")
    assert binding.check is not None
    context = Context(
        root=lay(tmp_path, {"shop.py": SERVER}),
        settings={"checks": {"serve": "python shop.py"}},
        changed=lambda: frozenset({"orchestrate.toml"}),
    )
    assert binding.check.function(context, **binding.arguments).verdict == "unproven"


SLOW = SERVER.replace("import json, os", "import json, os, time").replace(
    "    def do_GET(self):\n",
    "    def do_GET(self):\n        time.sleep(0.03 if self.path == '/health' else 0)\n",
)


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("`GET /health` answers within 2 seconds", "proven"),
        ("`GET /health` answers within 10 ms", "failed"),
        ("The median response time of `GET /health` is below 2,000 ms", "proven"),
        ("p95 of `GET /health` < 20 ms", "failed"),
        ("`GET /api/items` responds in under 2 s", "proven"),
        ("`GET /gone` answers within 2 s", "unproven"),
    ],
)
def test_answers_are_timed(tmp_path: Path, statement: str, verdict: str) -> None:
    found = judge(lay(tmp_path, {"shop.py": SLOW}), statement, serve="python shop.py")
    assert found.verdict == verdict, found.detail
    if verdict != "unproven":
        assert all(word in found.detail for word in ("cores", "times", "median", "p95"))


def test_what_was_not_asked_often_enough_is_not_fast(tmp_path: Path) -> None:
    settings = {"serve": "python shop.py", "timeout": 1}
    found = judge(lay(tmp_path, {"shop.py": SLOW}), "`GET /health` answers within 2 s", **settings)
    assert found.verdict == "unproven", found.detail


@pytest.mark.parametrize(
    "statement",
    [
        "The API responds within 200 ms",
        "`GET /health` answers within 200 ms under 100 concurrent users",
        "`GET /health` answers within 200 ms or 400 ms",
        "`GET /health` does not answer within 200 ms",
        "`GET /health` answers within 200 requests",
    ],
)
def test_other_statements_about_times_are_not_taken(statement: str) -> None:
    assert all(binding.check is None for binding in BINDER.bind(statement))


def test_other_statements_about_requests_keep_their_checks() -> None:
    assert check_of("`GET /api/shops` of `shop/api.py` answers with shops") == "http.answers"
    for statement in ("`GET /x` does not return 200", "`GET /x` returns 200 only for admins"):
        assert BINDER.bind(statement)[0].check is None
