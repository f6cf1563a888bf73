"""What a run sends to a collector of OpenTelemetry, and what it does not."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.conductor import telemetry
from orchestrator.domain.agent import Job, Report
from orchestrator.settings.tables import TelemetrySettings
from tests.integration.test_turns import Coder, conductor, root, writes

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

__all__ = ["root"]

SECRET = "a text that nobody else is to read"


class Collector(ThreadingHTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[tuple[str, bytes]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        found = [ExportTraceServiceRequest.FromString(b) for p, b in self.bodies if "trace" in p]
        return [s for f in found for r in f.resource_spans for c in r.scope_spans for s in c.spans]

    def counters(self) -> dict[str, float]:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
            ExportMetricsServiceRequest,
        )

        bodies = [b for p, b in self.bodies if "metrics" in p]
        sent = ExportMetricsServiceRequest.FromString(bodies[-1])
        return {
            m.name: sum(p.as_int or p.as_double for p in m.sum.data_points)
            for r in sent.resource_metrics
            for c in r.scope_metrics
            for m in c.metrics
        }


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def logging_step(job: Job) -> Report:
    """A turn whose program used two tools."""
    now = datetime.now(UTC).isoformat()
    events = [
        {"kind": "start", "text": SECRET},
        {"kind": "tool", "tool": f"Write {SECRET}", "path": SECRET, "text": SECRET},
        {"kind": "result", "text": SECRET},
        {"kind": "tool", "tool": "Bash"},
    ]
    lines = [json.dumps({"at": now, "turn": job.turn, **e}) for e in events]
    Path(job.log).write_text("\n".join(lines) + "\nno json\n", encoding="utf-8")
    return writes("colour.txt", "shade.txt")(job)


def test_spans_and_counters_arrive_without_any_text(root: Path, collector: Collector) -> None:
    work = conductor(root, Coder(logging_step))
    work.settings = work.settings.model_copy(
        update={"telemetry": TelemetrySettings(otlp=collector.address)}
    )
    work.opener.settings = work.settings
    work.run("WO-1")
    spans = collector.spans()
    names = {s.name for s in spans}
    assert names == {"family", "stage", "turn", "tool", "check"}
    by_id = {s.span_id: s for s in spans}
    above = {s.name: by_id[s.parent_span_id].name for s in spans if s.parent_span_id}
    assert above == {"stage": "family", "turn": "stage", "tool": "turn", "check": "stage"}
    counters = collector.counters()
    assert counters["orchestrate.cost"] == 0.25
    assert counters["orchestrate.tokens"] > 0
    assert counters["orchestrate.verdicts"] >= 2
    assert counters["orchestrate.waits"] == 1
    sent = b"".join(body for _, body in collector.bodies)
    assert SECRET.encode() not in sent
    assert b"Do what" not in sent
    tools = [a.value.string_value for s in spans if s.name == "tool" for a in s.attributes]
    assert len(tools) == 2
    assert all(" " not in tool for tool in tools)


def test_a_collector_that_is_down_is_told_once_and_fails_nothing(root: Path) -> None:
    told: list[str] = []
    work = conductor(root, Coder(writes("colour.txt", "shade.txt")))
    settings = TelemetrySettings(otlp="http://127.0.0.1:9")
    work.settings = work.settings.model_copy(update={"telemetry": settings})
    work.opener.settings = work.settings
    work.opener.listener = lambda event: told.append(event.text)
    assert work.run("WO-1").outcome == "waiting"
    work.run("WO-1")
    assert len([text for text in told if "does not answer" in text]) == 1


def test_a_library_that_is_not_installed_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    telemetry.sender.cache_clear()
    work = conductor(root, Coder(writes("colour.txt", "shade.txt")))
    settings = TelemetrySettings(otlp="http://127.0.0.1:7")
    work.settings = work.settings.model_copy(update={"telemetry": settings})
    work.opener.settings = work.settings
    work.opener.listener = lambda event: told.append(event.text)
    assert work.run("WO-1").outcome == "waiting"
    assert any("telemetry]'" in text for text in told)


def test_nothing_of_it_is_imported_where_no_collector_is_configured() -> None:
    code = (
        "import sys, orchestrator.conductor.conductor\n"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
