"""Outside services in the sandbox: plug-ins serve them, and requests are routed by host."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from orchestrate_agents.sandbox import NOWHERE, harness
from orchestrate_agents.sandbox.simulators import serve_simulators
from orchestrator import plugins


class Weather:
    """A simulator for one host."""

    hosts = ("api.weather.example",)
    open = False

    def __enter__(self) -> str:
        Weather.open = True
        return "http://127.0.0.1:1001"

    def __exit__(self, *exc: object) -> None:
        Weather.open = False

    def environment(self, url: str) -> Mapping[str, str]:
        return {"WEATHER_URL": f"{url}/v1"}


class AnyHost(Weather):
    hosts = ()

    def __enter__(self) -> str:
        return "http://127.0.0.1:1002"

    def environment(self, url: str) -> Mapping[str, str]:
        return {}


class Entry:
    def __init__(self, simulator: type) -> None:
        self.load = lambda: simulator


def register(monkeypatch: pytest.MonkeyPatch, *simulators: type) -> None:
    monkeypatch.setattr(plugins, "registered", lambda group: tuple(map(Entry, simulators)))


def test_simulators_are_served_while_a_script_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, Weather, AnyHost)
    with serve_simulators() as (routes, environment):
        assert routes == {
            "api.weather.example": "http://127.0.0.1:1001",
            "": "http://127.0.0.1:1002",
        }
        assert environment == {"WEATHER_URL": "http://127.0.0.1:1001/v1"}
        assert Weather.open
    assert not Weather.open


@pytest.mark.parametrize(
    ("url", "to"),
    [
        ("https://api.weather.example/v1/days?n=2", "http://127.0.0.1:1001/v1/days?n=2"),
        ("https://elsewhere.example/a", f"{NOWHERE}/a"),
        # another project than the one that the script was given
        ("https://x.supabase.co/rest/v1/rooms", f"{NOWHERE}/rest/v1/rooms"),
        ("http://localhost:5000/a", "http://localhost:5000/a"),
    ],
)
def test_requests_are_routed_by_host_and_leave_the_machine_nowhere(
    monkeypatch: pytest.MonkeyPatch, url: str, to: str
) -> None:
    routes = {"api.weather.example": "http://127.0.0.1:1001"}
    monkeypatch.setenv("SANDBOX_ROUTES", json.dumps(routes))
    assert harness.redirect(url) == to


def test_without_simulators_there_are_no_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    with serve_simulators() as served:
        assert served == ({}, {})
