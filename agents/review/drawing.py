"""Draws charts as SVG elements that take their colours and fonts from the page around them.

Matplotlib draws with stand-in colours, which become CSS custom properties (`var(--ink)`), so that
one picture serves light, dark and paper. Text stays text.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

from orchestrate_agents.review.shapes import Bars, Forest, Point
from orchestrator.plugins import require_extra

#: stand-in colour → property of the page
_INK, _QUIET, _LINE, _PAPER, _UNKNOWN = "#fe0001", "#fe0002", "#fe0003", "#fe0004", "#fe0005"
_PERIODS = tuple(f"#fe01{n:02x}" for n in range(8))
_GROUPS = tuple(f"#fe02{n:02x}" for n in range(8))
_PROPERTIES = {
    _INK: "var(--ink)",
    _QUIET: "var(--quiet)",
    _LINE: "var(--line)",
    _PAPER: "var(--paper)",
    _UNKNOWN: "var(--unknown)",
    **{colour: f"var(--period-{n})" for n, colour in enumerate(_PERIODS)},
    **{colour: f"var(--group-{n})" for n, colour in enumerate(_GROUPS)},
}
_STYLE: Any = {
    "svg.fonttype": "none",
    # a dollar sign in a name is no formula
    "text.parse_math": False,
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _QUIET,
    "axes.facecolor": "none",
    "xtick.color": _LINE,
    "xtick.labelcolor": _QUIET,
    "ytick.color": _LINE,
    "ytick.labelcolor": _INK,
    "figure.facecolor": "none",
    "legend.frameon": False,
}
_SVG = "http://www.w3.org/2000/svg"
_WIDTH = 7.6
_LONGEST = 46
#: area in points² of the largest marker, and of the smallest that can still be seen
_LARGEST, _SMALLEST = 380.0, 14.0


# -- bars ------------------------------------------------------------------------------------


def draw_bars(bars: Bars) -> str:
    """Horizontal bars by category, stacked by period; what has no date is grey and last."""
    with _figure(0.34 * len(bars.categories) + 1.15, "bars") as (figure, result):
        axes = figure.add_subplot()
        places = range(len(bars.categories))
        left = [0] * len(places)
        for number, period in enumerate(bars.periods):
            counts = [row[number] for row in bars.counts]
            colour = _period_colour(bars, number)
            axes.barh(
                places,
                counts,
                left=left,
                height=0.68,
                color=colour,
                edgecolor=_PAPER,
                linewidth=0.8,
                label=period,
            )
            left = [a + b for a, b in zip(left, counts, strict=True)]
        for place, total in zip(places, left, strict=True):
            axes.annotate(
                f"{total:,}", (total, place), xytext=(5, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(places, [_short(name) for name in bars.categories])
        axes.invert_yaxis()
        axes.set_xlim(0, max(left) * 1.08)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _bare(axes)
        figure.legend(
            loc="outside upper left",
            ncols=min(len(bars.periods), 6),
            handlelength=0.9,
            handleheight=0.9,
        )
    return result[0]


def _period_colour(bars: Bars, number: int) -> str:
    last = number == len(bars.periods) - 1
    if bars.undated and last:
        return _UNKNOWN
    dated = len(bars.periods) - bool(bars.undated)
    return _PERIODS[round(number * (len(_PERIODS) - 1) / max(1, dated - 1))]


# -- forest ----------------------------------------------------------------------------------


def draw_forest(forest: Forest) -> str:
    """Effect sizes with markers whose area is n; an interval only where it is known."""
    with _figure(0.36 * len(forest.points) + 1.35, "forest") as (figure, result):
        axes = figure.add_subplot()
        groups = list(dict.fromkeys(p.group for p in forest.points))
        largest = max((p.n or 0 for p in forest.points), default=0)
        axes.axvline(0, color=_LINE, linewidth=1.2, zorder=0)
        for place, point in enumerate(forest.points):
            _draw_point(axes, place, point, _GROUPS[groups.index(point.group) % 8], largest)
        axes.set_yticks(range(len(forest.points)), [_short(p.label) for p in forest.points])
        axes.set_ylim(len(forest.points) - 0.4, -0.6)
        axes.set_xlabel(forest.effect.replace("_", " "))
        axes.margins(x=0.12)
        _figures_beside(axes, forest.points)
        _bare(axes)
        if len(groups) > 1:
            _legend(figure, groups)
    return result[0]


def _draw_point(axes: Any, place: int, point: Point, colour: str, largest: int) -> None:
    if point.low is not None and point.high is not None:
        axes.plot([point.low, point.high], [place, place], color=colour, linewidth=1.4, zorder=1)
    known = point.n is not None and largest > 0
    area = max(_SMALLEST, _LARGEST * (point.n or 0) / largest) if known else _SMALLEST
    axes.scatter(
        [point.effect],
        [place],
        s=area,
        facecolors=colour if known else "none",
        edgecolors=_PAPER if known else colour,
        linewidths=0.8,
        zorder=2,
    )


def _figures_beside(axes: Any, points: Sequence[Point]) -> None:
    """n and the figure in words, right of the plot."""
    beside = axes.twinx()
    beside.set_ylim(axes.get_ylim())
    labels = [f"{p.figure}   n {p.n:,}" if p.n else p.figure for p in points]
    beside.set_yticks(range(len(points)), labels)
    beside.tick_params(length=0, labelcolor=_QUIET)
    for side in beside.spines.values():
        side.set_visible(False)


def _legend(figure: Any, groups: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", linestyle="", color=_GROUPS[n % 8], label=_short(group) or "—")
        for n, group in enumerate(groups)
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(groups), 5))


# -- the frame -------------------------------------------------------------------------------


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1].rstrip() + "…"


def _bare(axes: Any) -> None:
    """No frame but a thin line below."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=_LINE, linewidth=0.6)


@contextmanager
def _figure(height: float, name: str) -> Iterator[tuple[Any, list[str]]]:
    """A figure to draw on; its SVG element is in the list when the block has ended."""
    require_extra("matplotlib", "charts", "drawing a chart")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    result: list[str] = []
    with rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # letters that the measuring font lacks are drawn by the reader's own
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        yield figure, result
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    result.append(_element(out.getvalue(), name))


def _element(document: bytes, name: str) -> str:
    """The `<svg>` of a document, with ids of its own and the page's colours."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(document)  # noqa: S314 - matplotlib has just written it
    for part in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(part)
    for node in root.iter():
        for key, value in node.attrib.items():
            node.set(key, _own(key, value, name))
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.set("aria-hidden", "true")
    return ElementTree.tostring(root, encoding="unicode")


def _own(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    value = re.sub(r"^#(?!fe0)|(?<=url\()#", f"#{name}-", value)
    return re.sub(r"#fe0\w{3}", lambda m: _PROPERTIES.get(m[0], m[0]), value)
