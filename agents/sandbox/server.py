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
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrate_agents.sandbox import NOWHERE
from orchestrate_agents.sandbox.simulators import serve_simulators
from orchestrate_agents.sandbox.traces import Relay, gives_away
from orchestrate_backend.fake_postgrest.server import RestStandIn
from orchestrate_backend.targets.supabase_setup import AUTHENTICATOR, as_user
from orchestrator.agent_process import confine, own_network
from orchestrator.agent_process.confinement import describe_attempts
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
        relays = [relayed(stack, base, request["certificate"]) for base in set(routes.values())]
        for base, _relay, url in relays:
            routes = {host: url if at == base else at for host, at in routes.items()}
            environment = {n: value.replace(base, url) for n, value in environment.items()}
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
            routes[request["project"]] = rest_url
        environment |= {
            "SANDBOX_ROUTES": json.dumps(routes),
            "SUPABASE_URL": rest_url if not request["project"] else f"https://{request['project']}",
            "SUPABASE_SERVICE_ROLE_KEY": key,
            "SUPABASE_KEY": key,
            "SUPABASE_SERVICE_KEY": key,
        }
        request = {**request, "env": {**request["env"], **environment}}
        request["confine"] = confine.__file__
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
        asked = [words for teller in tellers for words in teller.asked]
        silent = [host for teller in tellers if not teller.asked for host in teller.hosts]
        reached = packets.seen() if packets is not None else []
    tried = list(describe_attempts({"reached": reached, **response}))
    keys = [key, request["password"]] if request["database"] is not None else []
    if gives_away(response["out"] + response["err"], keys):
        tried.append("printed the key that it was given")
    if any(gives_away(relay.heard.decode("latin-1"), keys) for _, relay, _ in relays):
        tried.append("sent the key that it was given to another service")
    observed = {"tried": tried, "keys": keys, "served": served, "counted": counted, "asked": asked}
    return {**response, "writes": writes, "silent": silent, **observed}


def relayed(stack: ExitStack, base: str, certificate: str) -> tuple[str, Relay, str]:
    """A service's URL, who passes on what comes for it, and the URL of that."""
    parts = urlsplit(base)
    relay = stack.enter_context(closing(Relay(parts.port or 80, certificate)))
    return base, relay, f"http{'s' * bool(certificate)}://127.0.0.1:{relay.port}{parts.path}"


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
