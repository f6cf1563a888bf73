"""The commands of `python -m src.ml`: load, serve, plot, and ask the agents."""

from __future__ import annotations

import asyncio
import os
import runpy
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from src.ml.agents import DriftReport, GapAnalysis, Source

_LOAD_SCRIPT = Path(__file__).parents[2] / "scripts" / "load_synthetic_data.py"

T = TypeVar("T")

app = typer.Typer(
    help="Synthetic data: load them, serve the agents that read them, draw what they see.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
plots = typer.Typer(
    help="Draw charts as PNG or as one HTML page.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(plots, name="plot")

Target = Annotated[
    str | None,
    typer.Option(help="embedded, postgres or supabase; default: as the environment says."),
]
Root = Annotated[
    Path | None, typer.Option(help="Workspace that holds the embedded database; default: here.")
]
AsOf = Annotated[
    str | None, typer.Option(help="Day or time that counts as now; default: the data's last.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def load(context: typer.Context) -> None:
    """Generate and load the data sets, every row of them (--small for a tenth)."""
    # the script is the command; it imports this package, not the other way round
    load_main = runpy.run_path(str(_LOAD_SCRIPT))["main"]
    given = any(word == "--root" or word.startswith("--root=") for word in context.args)
    root = [] if given else ["--root", str(_root(None))]
    raise typer.Exit(load_main([*context.args, *root], prog=context.command_path))


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    target: Target = None,
    root: Root = None,
) -> None:
    """Serve the agents over HTTP until it is stopped; http://HOST:PORT/docs describes them."""
    import uvicorn

    from src.ml.api import create_app
    from src.ml.limits import ImpatientProtocol

    source = _opened(target, root)
    uvicorn.run(
        create_app(lambda: source),
        host=host,
        port=port,
        log_level="info",
        http=ImpatientProtocol,
        limit_concurrency=200,
    )


@app.command()
def gaps(
    brand: Annotated[str, typer.Argument(help="Remibrutinib, Fabhalta or Kisqali.")],
    metric: Annotated[
        list[str] | None, typer.Option(help="A metric; may be repeated. Default: all.")
    ] = None,
    period: Annotated[
        str | None, typer.Option(help="Such as Q4_2024, YTD, 2024-01-01_2024-03-31.")
    ] = None,
    gap_type: Annotated[
        str, typer.Option(help="vs_target, vs_benchmark, vs_potential, temporal or all.")
    ] = "all",
    threshold: Annotated[float, typer.Option(help="Smallest gap in percent.")] = 5.0,
    limit: Annotated[int, typer.Option(help="Opportunities to show, 1 to 50.")] = 10,
    as_of: AsOf = None,
    target: Target = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Where a brand falls short, and what closing the gaps is worth."""
    from src.ml.agents import GapAnalyzer
    from src.ml.agents.gap_models import GapRequest
    from src.ml.agents.names import METRICS

    request = _request(
        GapRequest,
        brand=brand,
        metrics=metric or list(METRICS),
        time_period=period,
        gap_type=gap_type,
        min_gap_threshold=threshold,
        max_opportunities=limit,
        as_of=as_of,
    )
    _print(_asked(target, root, lambda s: GapAnalyzer(s).analyze(request)), _gap_lines, as_json)


@app.command()
def drift(
    feature: Annotated[
        list[str] | None, typer.Option(help="A feature; may be repeated. Default: all.")
    ] = None,
    window: Annotated[str, typer.Option(help="Days of each window, such as 7d.")] = "7d",
    brand: Annotated[str | None, typer.Option(help="Only values of this brand.")] = None,
    model: Annotated[str | None, typer.Option(help="Check this model's predictions.")] = None,
    as_of: AsOf = None,
    target: Target = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Whether features still look as they did in the window before."""
    report = _drift(target, root, feature, window, brand, model, as_of)
    _print(report, _drift_lines, as_json)


@app.command()
def effect(
    dgp: Annotated[
        str, typer.Option(help="The process that the data were made by.")
    ] = "confounded",
    target: Target = None,
    root: Root = None,
) -> None:
    """The effect of engagement on treatment as the loaded patients tell it, beside the true one.

    Exit status 1 where it is more than two standard errors from the truth.
    """
    import pandas as pd

    from src.ml.agents.sources import Query
    from src.ml.synthetic.config import DGPType
    from src.ml.synthetic.loaders import TABLE_COLUMNS
    from src.ml.synthetic.validators import CausalValidator

    query = Query("patient_journeys", tuple(TABLE_COLUMNS["patient_journeys"]))
    try:
        process = DGPType(dgp)
    except ValueError as exc:
        raise _stopped(str(exc)) from exc
    if process is DGPType.TIME_SERIES:
        raise _stopped("time_series acts by earlier engagement too, which no table holds")
    rows = pd.DataFrame(_asked(target, root, lambda s: s.fetch(query)), columns=query.columns)
    result = CausalValidator().validate_dgp(rows, process, run_refutations=False)
    typer.echo(f"{len(rows):,} patients; {result}")
    error = result.ate_error
    within = error is not None and error <= 2 * (result.standard_error or 0)
    raise typer.Exit(0 if within else 1)


@plots.command("series")
def plot_series(
    output: Annotated[Path, typer.Argument(help="A .png or .html file.")],
    metric: Annotated[str, typer.Option(help="Key or description of the metric.")] = "trx",
    brand: Annotated[
        list[str] | None, typer.Option(help="A brand; may be repeated. Default: all.")
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day to draw.")
    ] = None,
    end: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day to draw.")
    ] = None,
    target: Target = None,
    root: Root = None,
) -> None:
    """A metric over time with its target, a panel per brand and region."""
    from src.ml.agents import BusinessMetricRepository
    from src.ml.agents.names import check_brand, metric_key
    from src.ml.synthetic.config import BRANDS, REGIONS
    from src.ml.synthetic.plots import save, time_series_figure

    bounds = tuple(None if moment is None else moment.date() for moment in (start, end))

    async def rows(source: Source) -> dict[str, list[dict[str, Any]]]:
        repository = BusinessMetricRepository(source)
        brands = [check_brand(name) for name in brand or BRANDS]
        return {b: await repository.get_time_series(key, b, *bounds) for b in brands}

    try:
        key = metric_key(metric)
        save(time_series_figure(_asked(target, root, rows), key, REGIONS), output, metric)
    except (ValueError, OSError) as exc:
        raise _stopped(str(exc)) from exc
    typer.echo(f"wrote {output}")


@plots.command("drift")
def plot_drift(
    output: Annotated[Path, typer.Argument(help="A .png or .html file.")],
    window: Annotated[str, typer.Option(help="Days of each window, such as 7d.")] = "7d",
    as_of: AsOf = None,
    target: Target = None,
    root: Root = None,
) -> None:
    """The drift report as a chart, a bar per feature."""
    from src.ml.synthetic.plots import drift_figure, save

    report = _drift(target, root, None, window, None, None, as_of)
    try:
        save(drift_figure(report), output, "Drift report")
    except (ValueError, OSError) as exc:
        raise _stopped(str(exc)) from exc
    typer.echo(f"wrote {output}")


def _drift(
    target: str | None,
    root: Path | None,
    features: list[str] | None,
    window: str,
    brand: str | None,
    model: str | None,
    as_of: str | None,
) -> DriftReport:
    from src.ml.agents import DriftMonitor, DriftRequest

    request = _request(
        DriftRequest,
        features=features or None,
        time_window=window,
        brand=brand,
        model_id=model,
        as_of=as_of,
    )
    return _asked(target, root, lambda source: DriftMonitor(source).detect(request))


_Request = TypeVar("_Request", bound="BaseModel")


def _request(kind: type[_Request], **values: Any) -> _Request:
    """A request of the words given, or the end with what is wrong about them."""
    from pydantic import ValidationError

    try:
        return kind.model_validate(values)
    except ValidationError as exc:
        reasons = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}".removeprefix(": ")
            if item["type"] != "value_error"
            else item["msg"].removeprefix("Value error, ")
            for item in exc.errors()
        )
        raise _stopped(reasons) from exc


def _opened(target: str | None, root: Path | None) -> Source:
    """The source of the target; says which one it reads from."""
    from orchestrate_backend.errors import BackendError
    from orchestrate_backend.targets.choose import choose_target
    from src.ml.agents import open_source

    try:
        chosen = choose_target(target, os.environ, _root(root))
        typer.echo(f"Reading from {chosen.describe()}", err=True)
        return open_source(chosen, os.environ)
    except BackendError as exc:
        raise _stopped(str(exc)) from exc


def _asked(target: str | None, root: Path | None, ask: Callable[[Source], Awaitable[T]]) -> T:
    """What `ask` answers about the target's data."""
    from orchestrate_backend.errors import BackendError

    async def asked() -> T:
        source = _opened(target, root)
        try:
            return await ask(source)
        finally:
            await source.close()

    try:
        return asyncio.run(asked())
    except (BackendError, ValueError) as exc:
        raise _stopped(str(exc)) from exc


def _root(root: Path | None) -> Path:
    return root or Path(os.environ.get("ORCHESTRATE_ROOT") or Path.cwd())


def _stopped(reason: str) -> typer.Exit:
    typer.echo(f"error: {reason}", err=True)
    return typer.Exit(1)


def _print(answer: Any, lines: Callable[[Any], list[str]], as_json: bool) -> None:
    typer.echo(answer.model_dump_json(indent=2) if as_json else "\n".join(lines(answer)))
    for warning in answer.warnings:
        typer.echo(f"warning: {warning}", err=True)


def _gap_lines(answer: GapAnalysis) -> list[str]:
    lines = [answer.executive_summary]
    for o in answer.prioritized_opportunities:
        gap, roi = o.gap, o.roi_estimate
        lines.append(
            f"{o.rank:>3}. {gap.segment_value:<10} {gap.metric:<21} {gap.gap_type:<13}"
            f"{gap.gap_percentage:>6.1f} %  ROI {roi.expected_roi:>8.1f}  "
            f"{o.implementation_difficulty}, {o.time_to_impact}"
        )
    return [*lines, *answer.key_insights]


def _drift_lines(report: DriftReport) -> list[str]:
    lines = [report.drift_summary]
    for r in report.results:
        # what has lost its values is checked, and there is no shift to be measured
        known = r.test_statistic is not None and r.p_value is not None
        figures = f"PSI {r.test_statistic:.3f}  p {r.p_value:.3g}" if known else "too few values"
        found = (
            "too few values" if r.status == "insufficient_data" else f"{r.severity:<9} {figures}"
        )
        lines.append(f"  {r.feature:<24} {found}  ({r.n_baseline}, {r.n_current} values)")
        lines += [f"    {reason}" for reason in r.reasons]
    return lines
