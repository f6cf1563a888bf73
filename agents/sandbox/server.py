"""The laboratory's process: serves registry and REST interface, and has the scripts run.

    python -m orchestrate_agents.sandbox.server

An order is a line of JSON on stdin: script, cwd, arguments, libraries to preload, limit in seconds,
and the connection string of a database (null for none). The answer is one on stdout: exit code,
what was printed, and every write that came through the REST interface.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrate_agents.sandbox.registry import Registry
from orchestrate_backend.fake_postgrest.server import RestStandIn
from orchestrate_backend.targets.supabase_setup import AUTHENTICATOR, as_user

_HARNESS = Path(__file__).with_name("harness.py")
#: nothing listens there: a laboratory without a database
_NO_STORE = "http://127.0.0.1:9"


class Bench:
    """The harness, and the services that its scripts find."""

    def __init__(self) -> None:
        self.harness = subprocess.Popen(
            [sys.executable, "-P", str(_HARNESS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, order: dict[str, Any]) -> dict[str, Any]:
        """Run one script with its services; its ending and its writes."""
        writes: list[tuple[str, list[dict[str, Any]]]] = []
        registry = Registry()
        with registry as registry_url, self._store(order["database"], writes) as (url, key):
            env = {
                **order["env"],
                "LAB_REGISTRY_URL": registry_url,
                "LAB_STORE_URL": url,
                "SUPABASE_URL": url,
                "SUPABASE_SERVICE_ROLE_KEY": key,
                "SUPABASE_KEY": key,
                "SUPABASE_SERVICE_KEY": key,
                "CTGOV_BASE_URL": f"{registry_url}/api/v2",
            }
            if order["database"]:
                env["DATABASE_URL"] = order["database"]
            ending = self._ask({**order, "env": env})
        return {**ending, "writes": writes, "requests": registry.requests}

    @contextmanager
    def _store(
        self, database: str | None, writes: list[tuple[str, list[dict[str, Any]]]]
    ) -> Iterator[tuple[str, str]]:
        """The URL and a key of the REST interface."""
        if database is None:
            yield _NO_STORE, "none"
            return
        login = as_user(database, AUTHENTICATOR)
        heard = lambda table, rows: writes.append((table, rows))  # noqa: E731
        with RestStandIn(login, secrets.token_hex(24), heard=heard) as store:
            url = store.start()
            yield url, store.token("service_role")

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self.harness.stdin is not None
        assert self.harness.stdout is not None
        print(json.dumps(order), file=self.harness.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.harness.stdout.readline())
        return answer


def main() -> None:
    """Orders until the end of the input."""
    bench = Bench()
    for line in sys.stdin:
        print(json.dumps(bench.run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
