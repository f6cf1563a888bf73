"""The sandbox's process: serves the REST interface and simulators, and has scripts run.

    python -m orchestrate_agents.sandbox.server PYTHON …

The arguments start the interpreter that scripts run with.

A request is a line of JSON on stdin: script, cwd, arguments, libraries to preload, limit in
seconds, and the connection string of a database (null for none). The response is a line on stdout:
exit code, output, and every write that came through the REST interface.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from orchestrate_agents.sandbox import NOWHERE
from orchestrate_agents.sandbox.simulators import serve_simulators
from orchestrate_backend.fake_postgrest.server import RestStandIn
from orchestrate_backend.targets.supabase_setup import AUTHENTICATOR, as_user

_HARNESS = Path(__file__).with_name("harness.py")


def run_request(harness: subprocess.Popen[str], request: dict[str, Any]) -> dict[str, Any]:
    """Run one script with its services; how it ended and what it wrote."""
    assert harness.stdin is not None
    assert harness.stdout is not None
    writes: list[tuple[str, list[dict[str, Any]]]] = []
    rest_url, key = NOWHERE, "none"
    with ExitStack() as stack:
        routes, environment = stack.enter_context(serve_simulators())
        if request["database"] is not None:
            login = as_user(request["database"], AUTHENTICATOR)
            store = stack.enter_context(
                RestStandIn(
                    login,
                    secrets.token_hex(24),
                    heard=lambda table, rows: writes.append((table, rows)),
                )
            )
            rest_url, key = store.start(), store.token("service_role")
            environment["DATABASE_URL"] = request["database"]
        environment |= {
            "SANDBOX_ROUTES": json.dumps(routes),
            "SANDBOX_REST_URL": rest_url,
            "SUPABASE_URL": rest_url,
            "SUPABASE_SERVICE_ROLE_KEY": key,
            "SUPABASE_KEY": key,
            "SUPABASE_SERVICE_KEY": key,
        }
        request = {**request, "env": {**request["env"], **environment}}
        print(json.dumps(request), file=harness.stdin, flush=True)
        response: dict[str, Any] = json.loads(harness.stdout.readline())
    return {**response, "writes": writes}


def main() -> None:
    """Answer requests until the end of the input."""
    harness = subprocess.Popen(
        [*sys.argv[1:], str(_HARNESS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    for line in sys.stdin:
        print(json.dumps(run_request(harness, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
