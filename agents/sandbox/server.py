"""The sandbox's process: serves the REST interface and simulators, and has scripts run.

    python -m orchestrate_agents.sandbox.server PYTHON …

The arguments start the interpreter that scripts run with.

A request is a line of JSON on stdin: script, cwd, arguments, libraries to preload, limit in
seconds, and the connection string of a database (null for none). The response is a line on stdout:
exit code, output, every write that came through the REST interface, and what it tried beyond that.
"""

from __future__ import annotations

import json
import os
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
from orchestrator.agent_process import landlock, own_network
from orchestrator.agent_process.confinement import tell
from orchestrator.agent_process.own_network import Packets

_HARNESS = Path(__file__).with_name("harness.py")


def run_request(
    harness: subprocess.Popen[str], request: dict[str, Any], packets: Packets | None
) -> dict[str, Any]:
    """Run one script with its services; how it ended, what it wrote, and what it tried."""
    assert harness.stdin is not None
    assert harness.stdout is not None
    writes: list[tuple[str, list[dict[str, Any]]]] = []
    rest_url, key = NOWHERE, "none"
    with ExitStack() as stack:
        simulators: list[Any] = []
        routes, environment = stack.enter_context(serve_simulators(request["source"], simulators))
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
        request["landlock"] = landlock.__file__
        if packets is not None:
            packets.seen()
            request["env"]["SANDBOX_SEEN"] = "1"
            # they would hide whom a script asks for
            for name in [n for n in request["env"] if n.lower().endswith("_proxy")]:
                del request["env"][name]
        print(json.dumps(request), file=harness.stdin, flush=True)
        response: dict[str, Any] = json.loads(harness.stdout.readline())
        tellers = [s for s in simulators if hasattr(s, "served")]
        served = [record for teller in tellers for record in teller.served()]
        counted = any(teller.counted for teller in tellers)
    reached = packets.seen() if packets is not None else []
    tried = list(tell({"reached": reached, "left": response.pop("left")}))
    if request["database"] is not None and key in response["out"] + response["err"]:
        tried.append("printed the key that it was given")
    return {**response, "writes": writes, "tried": tried, "served": served, "counted": counted}


def main() -> None:
    """Answer requests until the end of the input."""
    packets = None
    if fd := os.environ.pop("ORCHESTRATE_PACKETS", ""):
        os.set_inheritable(int(fd), False)
        packets = own_network.opened(int(fd))
    harness = subprocess.Popen(
        [*sys.argv[1:], str(_HARNESS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    for line in sys.stdin:
        print(json.dumps(run_request(harness, json.loads(line), packets)), flush=True)


if __name__ == "__main__":
    main()
