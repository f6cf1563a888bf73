"""The HTTP interface, the charts and the command line, over rows in memory."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from orchestrate_backend.errors import TargetError
from src.ml.agents import DriftMonitor, DriftRequest, Source
from src.ml.agents.sources import Query, Record
from src.ml.api import create_app
from src.ml.cli import app as command
from src.ml.synthetic.config import REGIONS
from src.ml.synthetic.plots import drift_figure, save, time_series_figure
from tests.memory_source import (
    MemorySource,
    feature_row,
    hcp_rows,
    metric_rows,
    months,
    two_windows,
)

GAPS = "/api/agents/gap_analyzer/analyze"
DRIFT = "/api/agents/drift_monitor/detect"
GAP_BODY = {"brand": "Remibrutinib", "metrics": ["trx", "nrx"]}
DRIFT_BODY = {"features": ["engagement_score"], "time_window": "7d"}


def full_source() -> MemorySource:
    draws = np.random.default_rng(1)
    engagement, severity = feature_row("engagement_score"), feature_row("disease_severity")
    days = months(2024, 1, 12)
    return MemorySource(
        business_metrics=[
            *metric_rows(days, "trx", 900.0, 1000.0),
            *metric_rows(days, "nrx", 150.0, 200.0),
        ],
        hcp_profiles=hcp_rows(),
        features=[engagement, severity],
        feature_values=[
            *two_windows(engagement, list(draws.normal(size=60)), list(draws.normal(3, 1, 60))),
            *two_windows(severity, list(draws.normal(size=60)), list(draws.normal(size=10))),
        ],
    )


class BrokenSource(MemorySource):
    async def fetch(self, query: Query) -> list[Record]:
        raise TargetError("nobody answers", hint="start it", code="unreachable")


def post(path: str, body: Any, source: Source | None = None) -> httpx.Response:
    """One request to the application, its start and its end around it."""
    return post_text(path, None if body is None else json.dumps(body), source)


def post_text(path: str, body: str | None, source: Source | None = None) -> httpx.Response:
    """The same with a body that need not be JSON; without a body it is a GET."""
    app = create_app(lambda: source or full_source())
    kind = {"content-type": "application/json"}

    async def asked() -> httpx.Response:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                if body is None:
                    return await client.get(path)
                return await client.post(path, content=body, headers=kind)

    return asyncio.run(asked())


def keys(answer: httpx.Response) -> set[str]:
    return set(answer.json())


# -- HTTP


def test_the_gap_analyzer_answers_the_plans_request() -> None:
    answer = post(GAPS, GAP_BODY)
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "completed"
    assert body["analysis_id"].startswith("gap_")
    assert len(body["analysis_id"]) == 16
    assert body["metrics_analyzed"] == ["trx", "nrx"]
    first = body["prioritized_opportunities"][0]
    assert first["rank"] == 1
    assert first["gap"]["gap_id"] == first["roi_estimate"]["gap_id"]
    assert body["total_addressable_value"] > 0


def test_a_time_series_is_found_by_key_and_description_and_may_be_empty() -> None:
    path = "/api/agents/gap_analyzer/time_series?brand=Remibrutinib&start=2024-03-01&metric="
    for metric in ("trx", "Total%20Prescriptions"):
        body = post(path + metric, None).json()
        assert body["status"] == "completed"
        dates = [row["metric_date"] for row in body["rows"]]
        assert dates == sorted(dates)
        assert dates[0] == "2024-03-01"
        assert {row["metric_type"] for row in body["rows"]} == {"trx"}
    assert post(path + "market_share", None).json() == {"status": "no_data", "rows": []}
    refused = post("/api/agents/gap_analyzer/time_series?brand=Nobody&metric=trx", None)
    assert refused.status_code == 422
    assert "Kisqali" in refused.text


def test_a_gap_answer_has_every_field_of_its_contract() -> None:
    answer = post(GAPS, GAP_BODY)
    assert {
        "analysis_id",
        "status",
        "brand",
        "metrics_analyzed",
        "segments_analyzed",
        "prioritized_opportunities",
        "quick_wins",
        "strategic_bets",
        "total_addressable_value",
        "total_gap_value",
        "executive_summary",
        "key_insights",
        "detection_latency_ms",
        "roi_latency_ms",
        "total_latency_ms",
        "timestamp",
        "warnings",
    } <= keys(answer)
    opportunity = answer.json()["prioritized_opportunities"][0]
    assert set(opportunity) == {
        "rank",
        "gap",
        "roi_estimate",
        "recommended_action",
        "implementation_difficulty",
        "time_to_impact",
    }
    assert {"lower_bound", "median", "upper_bound", "probability_positive"} <= set(
        opportunity["roi_estimate"]["confidence_interval"]
    )


def test_the_drift_monitor_answers_the_plans_request() -> None:
    answer = post(DRIFT, DRIFT_BODY)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["features_with_drift"]) == ("completed", ["engagement_score"])
    assert body["results"][0]["severity"] == "critical"
    assert body["alerts"][0]["affected_features"] == ["engagement_score"]
    assert {"overall_drift_score", "features_checked", "drift_summary", "timestamp"} <= keys(answer)


@pytest.mark.parametrize("asked", [{"features": None, "time_window": "7d"}, {}])
def test_no_features_are_all_features(asked: dict[str, Any]) -> None:
    body = post(DRIFT, asked).json()
    assert [r["feature"] for r in body["results"]] == ["disease_severity", "engagement_score"]
    assert body["results"][0]["status"] == "insufficient_data"


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (GAPS, {**GAP_BODY, "brand": "Aspirin"}, "Remibrutinib, Fabhalta, Kisqali"),
        (GAPS, {**GAP_BODY, "metrics": ["sales"]}, "trx, nrx, market_share"),
        (GAPS, {**GAP_BODY, "time_period": "whenever"}, "Q4_2024"),
        (GAPS, {"brand": "Remibrutinib"}, "metrics"),
        (DRIFT, {**DRIFT_BODY, "features": ["nothing"]}, "disease_severity, engagement_score"),
        (DRIFT, {**DRIFT_BODY, "time_window": "0d"}, "1d to 365d"),
        (DRIFT, {**DRIFT_BODY, "time_window": "week"}, "time_window"),
        (DRIFT, {**DRIFT_BODY, "feature": "x"}, "Extra inputs"),
    ],
)
def test_what_is_not_understood_is_a_422_that_says_what_is(
    path: str, body: dict[str, Any], text: str
) -> None:
    answer = post(path, body)
    assert answer.status_code == 422
    assert text in answer.text
    assert "completed" not in answer.text


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (GAPS, '{"min_gap_threshold": NaN}', "min_gap_threshold"),
        (GAPS, '{"min_gap_threshold": 1e999}', "less than or equal to 100"),
        (GAPS, '{"max_opportunities": 1e400}', "max_opportunities"),
        (GAPS, '{"metrics": ["\\ud800"]}', "unknown metric"),
        (GAPS, '{"brand": "\\ud800"}', "unknown brand"),
        (GAPS, '{"query": "\\ud800"}', "half of a surrogate pair"),
        (GAPS, '{"\\ud800": 1}', "unicode"),
        (GAPS, '{"as_of": "0001-01-01", "time_period": "YTD"}', "as_of lies in 1900 to 9998"),
        (GAPS, '{"as_of": "9999-12-31", "time_period": "current_quarter"}', "not in 9999"),
        (DRIFT, '{"significance_level": NaN}', "significance_level"),
        (DRIFT, '{"psi_threshold": Infinity}', "psi_threshold"),
        (DRIFT, '{"model_id": "\\u0000"}', "no text may hold a NUL"),
        (DRIFT, '{"model_id": "\\ud800"}', "model_id"),
        (DRIFT, '{"model_id": ""}', "at least 1 character"),
        (DRIFT, '{"as_of": "0001-01-01T00:00:00+14:00"}', "not in 1"),
        (DRIFT, '{"as_of": "9999-12-31T23:59:59-14:00"}', "not in 9999"),
    ],
)
def test_what_no_calendar_no_text_and_no_json_can_hold_is_refused_with_a_reason(
    path: str, body: str, text: str
) -> None:
    whole = {"brand": "Remibrutinib", "metrics": ["trx"]} if path == GAPS else {}
    given = {**whole, **json.loads(body)}
    answer = post_text(path, json.dumps(given))
    assert answer.status_code == 422
    assert text in answer.text


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("metric=sales&brand=Kisqali", "known are trx, nrx"),
        ("metric=trx%00&brand=Kisqali", "unknown metric"),
        ("metric=trx&brand=Aspirin", "known are Remibrutinib"),
        ("metric=trx&brand=Kisqali&start=2025-01-01&end=2024-01-31", "before start 2025-01-01"),
        ("metric=trx&brand=Kisqali&strat=2024-01-01", "strat"),
    ],
)
def test_a_series_that_cannot_be_is_refused_and_not_empty(query: str, text: str) -> None:
    answer = post(f"/api/agents/gap_analyzer/time_series?{query}", None)
    assert answer.status_code == 422
    assert text in answer.text


def test_a_metric_that_one_brand_has_alone_has_its_series() -> None:
    rows = metric_rows(months(2024, 1, 2), "os_rate", 0.7, 0.8)
    path = "/api/agents/gap_analyzer/time_series?metric=Overall+Survival+Rate&brand=Remibrutinib"
    found = post(path, None, MemorySource(business_metrics=rows)).json()
    assert {row["metric_type"] for row in found["rows"]} == {"os_rate"}


def test_a_segment_named_twice_counts_once() -> None:
    once = post(GAPS, GAP_BODY).json()
    twice = post(GAPS, {**GAP_BODY, "segments": ["region", "region"]}).json()
    assert twice["segments_analyzed"] == ["region"]
    assert twice["prioritized_opportunities"] == once["prioritized_opportunities"]
    assert twice["warnings"] == once["warnings"]


def test_a_drift_request_without_any_check_is_refused() -> None:
    names = ("check_data_drift", "check_model_drift", "check_concept_drift")
    answer = post(DRIFT, dict.fromkeys(names, False))
    assert answer.status_code == 422
    assert "nothing to check" in answer.text


def test_where_nothing_could_be_checked_the_summary_says_why() -> None:
    found = post(DRIFT, {"check_data_drift": False}).json()
    assert found["status"] == "no_data"
    assert "no model_id" in found["drift_summary"]


def test_no_data_is_said_with_a_warning() -> None:
    gaps = post(GAPS, GAP_BODY, MemorySource()).json()
    drift = post(DRIFT, DRIFT_BODY, MemorySource()).json()
    assert (gaps["status"], drift["status"]) == ("no_data", "no_data")
    assert gaps["warnings"]
    assert drift["warnings"]


@pytest.mark.parametrize(("path", "body"), [(GAPS, GAP_BODY), (DRIFT, DRIFT_BODY)])
def test_a_database_that_does_not_answer_is_a_503(path: str, body: dict[str, Any]) -> None:
    answer = post(path, body, BrokenSource())
    assert answer.status_code == 503
    assert answer.json() == {"status": "error", "detail": "nobody answers"}


def test_the_server_says_that_it_runs() -> None:
    assert post("/api/health", None).json() == {"status": "ok"}


def test_the_source_is_closed_when_the_server_stops() -> None:
    source = full_source()
    post(GAPS, GAP_BODY, source)
    assert source.tables == {}


# -- charts


def test_a_series_has_a_panel_for_each_brand_and_region(tmp_path: Path) -> None:
    series = {"Remibrutinib": metric_rows(months(2024, 1, 6)), "Kisqali": []}
    figure = time_series_figure(series, "trx", REGIONS)
    assert len(figure.axes) == 8
    assert [len(axes.lines) for axes in figure.axes] == [2] * 8
    assert list(figure.axes[0].lines[0].get_ydata()) == [90.0] * 6
    save(figure, tmp_path / "series.png")
    assert (tmp_path / "series.png").read_bytes().startswith(b"\x89PNG")


def test_a_drift_chart_names_every_feature_and_stands_alone(tmp_path: Path) -> None:
    request = DriftRequest(features=None, time_window="7d")
    report = asyncio.run(DriftMonitor(full_source()).detect(request))
    figure = drift_figure(report)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["engagement_score", "disease_severity"]
    texts = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "too few values (60, 10)" in texts
    save(figure, tmp_path / "drift.html", "Drift <of> features")
    page = (tmp_path / "drift.html").read_text(encoding="utf-8")
    assert "Drift &lt;of&gt; features" in page
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page


def test_nothing_is_not_drawn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no rows of trx"):
        time_series_figure({"Kisqali": []}, "trx", REGIONS)
    figure = time_series_figure({"Kisqali": metric_rows(months(2024, 1, 2))}, "trx", REGIONS)
    with pytest.raises(ValueError, match=r"write a \.png or a \.html file"):
        save(figure, tmp_path / "chart.gif")


# -- the command line


def run(*words: str, env: dict[str, str] | None = None) -> Any:
    clean = {"SUPABASE_URL": "", "SUPABASE_SERVICE_ROLE_KEY": "", "DATABASE_URL": ""}
    return CliRunner().invoke(command, list(words), env={**clean, **(env or {})})


def names(group: Any) -> Sequence[str]:
    return [item.name or (item.callback.__name__ if item.callback else "") for item in group]


def test_every_command_has_help() -> None:
    assert set(names(command.registered_commands)) == {"load", "serve", "gaps", "drift", "effect"}
    alone = (["load"], ["serve"], ["gaps"], ["drift"], ["effect"])
    for words in (*alone, ["plot", "series"], ["plot", "drift"]):
        found = run(*words, "--help")
        assert found.exit_code == 0
        assert len(found.output) > 200


def test_the_server_listens_where_the_plans_requests_go() -> None:
    text = run("serve", "--help").output
    assert "127.0.0.1" in text
    assert "8000" in text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["gaps", "Aspirin"], "unknown brand 'Aspirin'"),
        (["gaps", "Kisqali", "--metric", "sales"], "unknown metric 'sales'"),
        (["gaps", "Kisqali", "--period", "whenever"], "time_period 'whenever'"),
        (["drift", "--window", "0d"], "time_window is 1d to 365d"),
        (["drift", "--target", "oracle"], "no such database target: oracle"),
        (["drift", "--target", "postgres"], "DATABASE_URL"),
    ],
)
def test_what_is_not_understood_ends_with_its_reason(words: list[str], reason: str) -> None:
    found = run(*words)
    assert found.exit_code == 1
    assert reason in found.output


def test_help_of_the_conductor_loads_none_of_this() -> None:
    code = (
        "import sys; sys.argv = ['orchestrate', '--help']\n"
        "import orchestrator.cli\n"
        "try: orchestrator.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = ('numpy', 'pandas', 'scipy', 'pandera', 'fastapi', 'src.ml.synthetic')\n"
        "print([m for m in heavy if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_help_of_the_command_is_quick_too() -> None:
    code = (
        "import sys; import src.ml.cli\n"
        "heavy = ('numpy', 'pandas', 'scipy', 'pandera', 'fastapi', 'matplotlib', 'psycopg')\n"
        "print([m for m in heavy if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- the document

DOCUMENT = Path(__file__).parents[3] / "docs" / "synthetic-agents.md"


def test_the_document_has_the_requests_that_are_answered() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"http://localhost:8000{GAPS} \\\n" in text
    assert f"http://localhost:8000{DRIFT} \\\n" in text
    assert f"-d '{json.dumps(GAP_BODY)}'" in text
    assert f"-d '{json.dumps(DRIFT_BODY)}'" in text


def test_commands_and_options_of_the_document_exist() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    lines = re.findall(r"python -m src\.ml ([a-z][^`\n#]*)", text)
    assert len(lines) > 6
    for line in lines:
        words = line.split()
        path = words[:2] if words[0] == "plot" else words[:1]
        shown = run(*path, "--help").output
        for word in words:
            assert not word.startswith("--") or word in shown, line


def test_every_option_has_help() -> None:
    group = get_command(command)
    assert isinstance(group, TyperGroup)
    found = [*group.commands.values(), *group.commands["plot"].commands.values()]  # type: ignore[attr-defined]
    assert len(found) == 8
    for item in found:
        assert item.help
        assert [p.name for p in item.params if not getattr(p, "help", None)] == []
