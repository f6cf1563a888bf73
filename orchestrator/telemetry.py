"""A collector of OpenTelemetry, and spans that go on in other processes."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import Span

#: seconds that a collector may take, also when a run has ended
_TIMEOUT = 2.0
_NAMESPACE = "orchestrate"


class Sender:
    """The SDK's providers for one collector."""

    def __init__(self, address: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # it is said once, in words of our own
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        self._address = address
        self._down = self._reported = False
        base = address.rstrip("/")
        spans = OTLPSpanExporter(f"{base}/v1/traces", timeout=_TIMEOUT)
        counts = OTLPMetricExporter(f"{base}/v1/metrics", timeout=_TIMEOUT)
        for exporter in (spans, counts):
            self._break_when_down(exporter)
        resource = Resource.create({"service.name": _NAMESPACE})
        self._spans = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._spans.add_span_processor(BatchSpanProcessor(spans))
        reader = PeriodicExportingMetricReader(counts, export_timeout_millis=_TIMEOUT * 1000)
        self._counts = MeterProvider([reader], resource, shutdown_on_exit=False)
        self.tracer = self._spans.get_tracer(_NAMESPACE)
        meter = self._counts.get_meter(_NAMESPACE)
        self.tokens = meter.create_counter("orchestrate.tokens", "{token}", "tokens of agents")
        self.cost = meter.create_counter("orchestrate.cost", "USD", "what agents cost, if known")
        self.verdicts = meter.create_counter("orchestrate.verdicts", "{verdict}", "of statements")
        self.waits = meter.create_counter("orchestrate.waits", "{wait}", "for USER, or a person")

    def _break_when_down(self, exporter: Any) -> None:
        """Try a collector no more once it has failed: nothing may wait for it again and again."""
        export, failed = exporter.export, list[Any]()

        def tried(batch: Any, *args: Any, **named: Any) -> Any:
            if failed:
                return failed[0]
            result = export(batch, *args, **named)
            if result.name != "SUCCESS":
                failed.append(result)
                self._down = True
            return result

        exporter.export = tried

    def flush(self) -> str:
        """Send what is left; what to tell if it cannot be sent, once."""
        limit = int(_TIMEOUT * 1000)
        with contextlib.suppress(Exception):
            self._spans.force_flush(limit)
            self._counts.force_flush(limit)
        if not self._down or self._reported:
            return ""
        self._reported = True
        return f"the collector of [telemetry] otlp does not answer ({self._address}); go on without"


@lru_cache(maxsize=4)
def sender(address: str) -> Sender:
    """The sender to a collector, one in a process. Raises ImportError."""
    return Sender(address)


def flush(address: str) -> str:
    """Send what is left, if anything was sent; what to tell if it cannot be, once."""
    return sender(address).flush() if address and sender.cache_info().currsize else ""


def make_current(span: Span | None) -> None:
    """Let what this thread gives to other processes from now on be a part of a span."""
    from opentelemetry.context import attach
    from opentelemetry.trace import set_span_in_context

    with contextlib.suppress(Exception):
        attach(set_span_in_context(span) if span is not None else {})  # type: ignore[arg-type]


def current() -> str:
    """The span of which this thread's work is a part, as W3C's `traceparent`; "" outside of one."""
    found: dict[str, str] = {}
    # what nobody has loaded has no span
    if sys.modules.get("opentelemetry.sdk.trace"):
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(found)
    return found.get("traceparent", "")


@contextlib.contextmanager
def continued(address: str, parent: str, name: str, **about: Any) -> Iterator[dict[str, Any]]:
    """A span below one of another process; attributes that are put into the yielded table count.

    Nothing is sent without an address or a parent, or where OpenTelemetry is not installed.
    """
    try:
        own = sender(address) if address and parent else None
    except ImportError:
        own = None
    if own is None:
        yield about
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    above = TraceContextTextMapPropagator().extract({"traceparent": parent})
    span = own.tracer.start_span(name, above)
    try:
        yield about
    finally:
        span.set_attributes({f"{_NAMESPACE}.{key}": value for key, value in about.items()})
        span.end()
