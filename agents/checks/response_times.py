"""Checks of how fast a server answers: it is asked many times, on this machine."""

from __future__ import annotations

import math
import os
import re
import statistics
from collections.abc import Sequence

from orchestrate_agents.checks.live_http import Call, ask_server, delivered_files
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)

#: how often it is asked; as many as make the wanted share more than the slowest answer
_TIMES = {95: 40, 99: 200}
_EACH = 100
_UNITS = {"ms": 0.001, "millisecond": 0.001, "s": 1.0, "sec": 1.0, "second": 1.0}
_SHARES = {"median": 50, "p50": 50, "p90": 90, "p95": 95, "p99": 99}


def _read_duration(text: str) -> float:
    found = re.fullmatch(r"`?([\d.,]+)\s*([a-z]+?)s?`?", text.strip(), re.IGNORECASE)
    assert found is not None
    unit = found[2].lower()
    return float(found[1].replace(",", "")) * _UNITS.get(unit, _UNITS.get(f"{unit}s", 1.0))


parameter_type(
    "duration",
    r"`?\d[\d,]*(?:\.\d+)?\s*(?:ms|milliseconds?|s|secs?|seconds?)`?",
    _read_duration,
)
parameter_type(
    "share",
    r"median|(?:the )?p(?:50|90|95|99)|(?:50|90|95|99)th percentile",
    lambda text: _SHARES.get(text.lower(), 0) or int(re.findall(r"\d+", text)[0]),
)
_WITHIN = (
    "(within|in under|in less than|in at most|in|under|below|faster than|in no more than|<|<=|≤|"
    "less than|at most|no more than|no longer than|stays under|stays below)"
)


@check(
    f"{{call:call}} [(always|must|should)] (answers|responds|returns|replies|answer|respond) "
    f"{_WITHIN} {{limit:duration}} [(at|in|for) [the] {{share:share}}]",
    f"[the] {{share:share}} [(response time|latency)] (of|for) {{call:call}} [is] {_WITHIN} "
    "{limit:duration}",
    f"[the] [{{share:share}}] (response time|latency|answer time) (of|for) {{call:call}} "
    f"(is|stays|must be|should be) {_WITHIN} {{limit:duration}}",
    "{call:call} [{share:share}] [(response time|latency)] [is] (<|<=|≤|under|below) "
    "{limit:duration}",
    name="http.fast",
    slow=True,
    evidence=True,
    examples=("`GET /health` answers within 200 ms", "p95 of `GET /items` < 300 ms"),
)
def answers_fast(ctx: Context, call: Call, limit: float, share: int = 0) -> Result:
    """The server that `[checks] serve` starts is asked many times; each answer is timed."""
    times = _TIMES.get(share, _EACH)
    answer = ask_server(ctx, call, times)
    if isinstance(answer, Result):
        return answer
    seconds = sorted(answer.get("seconds", ()))
    subjects = delivered_files(ctx)
    if answer["status"] >= 400:
        said = f"`{call.shown}` answers {answer['status']}, which is timed as no answer"
        return (failed if answer["status"] >= 500 else unproven)(said, *subjects)
    if len(seconds) < 2:
        return failed(f"`{call.shown}` was not answered twice within the time limit", *subjects)
    wanted = share or 100
    took = _share(seconds, wanted)
    said = (
        f"`{call.shown}`, asked {len(seconds)} times on a machine with {os.cpu_count()} cores: "
        f"median {_ms(_share(seconds, 50))}, p95 {_ms(_share(seconds, 95))}, "
        f"slowest {_ms(seconds[-1])}; wanted {f'p{share}' if share else 'each'} within {_ms(limit)}"
    )
    evidence = {"milliseconds": [round(s * 1000, 2) for s in seconds]}
    if took > limit:
        # one answer of many may have been slow because of what else the machine does
        judge = failed if share or _share(seconds, 95) > limit else unproven
        return judge(said, *subjects, **evidence)
    if len(seconds) < times:
        return unproven(f"{said}; the time limit came before {times} answers", **evidence)
    return proven(said, *subjects, **evidence)


def _share(ordered: Sequence[float], percent: int) -> float:
    """The time within which so many percent were answered."""
    if percent == 50:
        return statistics.median(ordered)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"
