"""Charts of what the agents see, drawn without a display."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.ml.agents.drift_models import DriftReport, Severity
from src.ml.agents.names import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {
    Severity.NONE: "#9aa5b1",
    Severity.LOW: "#f2c14e",
    Severity.MEDIUM: "#f0933d",
    Severity.HIGH: "#e05a3a",
    Severity.CRITICAL: "#a4133c",
}
_DPI = 120
_SHORTEST_AXIS = 0.3


def time_series_figure(
    series: Mapping[str, Sequence[Mapping[str, Any]]], metric: str, regions: Sequence[str]
) -> Figure:
    """A panel per brand and region: the metric's value over time, its target dashed.

    `series` gives each brand's rows with metric_date, region, value, target. Raises ValueError if
    there are none.
    """
    from matplotlib.figure import Figure

    if not any(series.values()):
        raise ValueError(f"no rows of {metric}")
    figure = Figure(figsize=(3.6 * len(regions), 2.6 * len(series)), layout="constrained")
    grid = figure.subplots(len(series), len(regions), squeeze=False, sharex=True)
    for axes_row, (brand, rows) in zip(grid, series.items(), strict=True):
        for axes, region in zip(axes_row, regions, strict=True):
            _draw_series(axes, [row for row in rows if row["region"] == region])
            axes.set_title(f"{brand}, {region}", fontsize=9)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(METRICS[metric])
    return figure


def _draw_series(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    days = [row["metric_date"] for row in rows]
    axes.plot(days, [row["value"] for row in rows], color="#1f5fa8", lw=1, label="value")
    axes.plot(days, [row["target"] for row in rows], "--", color="#a4133c", lw=1, label="target")
    axes.tick_params(labelsize=7)
    axes.tick_params(axis="x", rotation=45)
    if not rows:
        axes.text(0.5, 0.5, "no data", ha="center", transform=axes.transAxes)


def drift_figure(report: DriftReport) -> Figure:
    """A bar per feature: the corrected PSI, coloured by severity; too few values say so.

    Raises ValueError if the report has no results.
    """
    from matplotlib.figure import Figure

    if not report.results:
        raise ValueError("the drift report has no results")
    results = list(reversed(report.results))
    figure = Figure(figsize=(8, 0.34 * len(results) + 1.6), layout="constrained")
    axes = figure.subplots()
    axes.barh(
        [result.feature for result in results],
        [result.test_statistic or 0.0 for result in results],
        color=[_COLOURS[result.severity] for result in results],
    )
    for place, result in enumerate(results):
        sizes = f"{result.n_baseline}, {result.n_current}"
        tested = result.reasons or [f"p = {result.p_value or 0.0:.3g}"]
        label = f"{result.severity}, {'; '.join(tested)} ({sizes})"
        if result.status == "insufficient_data":
            label = f"too few values ({sizes})"
        axes.annotate(
            label,
            (result.test_statistic or 0.0, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    # noise does not fill the chart, and the labels have room
    longest = max(result.test_statistic or 0.0 for result in results)
    axes.set_xlim(0, max(_SHORTEST_AXIS, 1.5 * longest))
    axes.set_xlabel("PSI, less what it is without drift")
    axes.set_title(report.drift_summary, fontsize=8, wrap=True)
    return figure


def save(figure: Figure, path: Path, title: str = "") -> None:
    """Write a figure as PNG, or as one HTML page that needs nothing else; the suffix decides.

    Raises ValueError for another suffix, OSError if the file cannot be written.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI)
    if path.suffix == ".png":
        path.write_bytes(picture.getvalue())
    elif path.suffix in {".html", ".htm"}:
        name = html.escape(title or path.stem)
        data = base64.b64encode(picture.getvalue()).decode()
        path.write_text(
            f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{name}</title>\n'
            f'<body style="margin:1rem;font-family:sans-serif"><h1>{name}</h1>\n'
            f'<img alt="{name}" style="max-width:100%" src="data:image/png;base64,{data}"></body>'
            "</html>\n",
            encoding="utf-8",
        )
    else:
        raise ValueError(f"{path}: write a .png or a .html file")
