"""Draws charts as SVG elements that take their colors and fonts from the page around them.

Matplotlib draws with placeholder colors, which become CSS custom properties (`var(--ink)`), so that
one picture serves light, dark and print. Text stays text. Raises MissingExtraError without it.
"""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

from orchestrate_agents.review.shapes import Bars, Forest
from orchestrator.plugins import require_extra

#: placeholder color → property of the page
_INK, _QUIET, _LINE, _PAPER, _UNKNOWN = "#fe0001", "#fe0002", "#fe0003", "#fe0004", "#fe0005"
_PERIODS = tuple(f"#fe01{n:02x}" for n in range(8))
_GROUPS = tuple(f"#fe02{n:02x}" for n in range(8))
_PROPERTIES = {
    _INK: "var(--ink)",
    _QUIET: "var(--quiet)",
    _LINE: "var(--line)",
    _PAPER: "var(--paper)",
    _UNKNOWN: "var(--unknown)",
    **{color: f"var(--period-{n})" for n, color in enumerate(_PERIODS)},
    **{color: f"var(--group-{n})" for n, color in enumerate(_GROUPS)},
}
_STYLE: Any = {
    "svg.fonttype": "none",
    # a dollar sign in a name does not start a formula
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
#: inches; a picture this narrow can still be read on a telephone
_WIDTH = 4.8
#: characters on a line of a label, which has two at most
_LABEL = 24
#: area in points² of the largest marker, and of the smallest that can still be seen
_LARGEST, _SMALLEST = 300.0, 14.0


def draw_bars(bars: Bars) -> str:
    """Horizontal bars by category, stacked by period; rows without a date are gray and last."""
    with _open_figure(0.4 * len(bars.categories) + 1.3, "bars") as (figure, result):
        axes = figure.add_subplot()
        places = range(len(bars.categories))
        left = [0] * len(places)
        dated = len(bars.periods) - bool(bars.undated)
        for number, period in enumerate(bars.periods):
            counts = [row[number] for row in bars.counts]
            shade = round(number * (len(_PERIODS) - 1) / max(1, dated - 1))
            axes.barh(
                places,
                counts,
                left=left,
                height=0.68,
                color=_PERIODS[shade] if number < dated else _UNKNOWN,
                edgecolor=_PAPER,
                linewidth=0.8,
                label=period,
            )
            left = [a + b for a, b in zip(left, counts, strict=True)]
        for place, total in enumerate(left):
            axes.annotate(
                f"{total:,}", (total, place), xytext=(5, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(places, [_wrap(name) for name in bars.categories])
        axes.invert_yaxis()
        axes.set_xlim(0, max(left) * 1.15)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _remove_frame(axes)
        columns = min(len(bars.periods), 4)
        figure.legend(loc="outside upper left", ncols=columns, handlelength=0.9, handleheight=0.9)
    return result[0]


def draw_forest(forest: Forest) -> str:
    """Effect sizes with markers whose area is n; an interval only where it is known."""
    points = forest.points
    with _open_figure(0.44 * len(points) + 1.5, "forest") as (figure, result):
        axes = figure.add_subplot()
        groups = list(dict.fromkeys(p.group for p in points))
        colors = {group: _GROUPS[n % len(_GROUPS)] for n, group in enumerate(groups)}
        largest = max((p.n or 0 for p in points), default=0)
        axes.axvline(0, color=_LINE, linewidth=1.2, zorder=0)
        for place, point in enumerate(points):
            color = colors[point.group]
            if point.low is not None and point.high is not None:
                ends = [point.low, point.high]
                axes.plot(ends, [place, place], color=color, linewidth=1.4, zorder=1)
            known = point.n is not None and largest > 0
            area = _LARGEST * (point.n or 0) / largest if known else 0.0
            axes.scatter(
                [point.effect],
                [place],
                s=max(_SMALLEST, area),
                facecolors=color if known else "none",
                edgecolors=_PAPER if known else color,
                linewidths=0.8,
                zorder=2,
            )
        axes.set_yticks(range(len(points)), [_wrap(p.label) for p in points])
        axes.set_ylim(len(points) - 0.4, -0.6)
        axes.set_xlabel(forest.effect.replace("_", " "))
        axes.margins(x=0.12)
        # n and the figure in words, right of the plot
        beside = axes.twinx()
        beside.set_ylim(axes.get_ylim())
        labels = [f"{p.figure}\nn {p.n:,}" if p.n else p.figure for p in points]
        beside.set_yticks(range(len(points)), labels)
        beside.tick_params(length=0, labelcolor=_QUIET)
        for side in beside.spines.values():
            side.set_visible(False)
        _remove_frame(axes)
        if len(groups) > 1:
            from matplotlib.lines import Line2D

            handles = [
                Line2D([], [], marker="o", linestyle="", color=color, label=_wrap(group) or "—")
                for group, color in colors.items()
            ]
            figure.legend(handles=handles, loc="outside upper left", ncols=min(len(groups), 3))
    return result[0]


def _wrap(text: str) -> str:
    """A label on two lines at most."""
    lines = textwrap.wrap(" ".join(text.split()), _LABEL, max_lines=2, placeholder="…")
    return "\n".join(lines)


def _remove_frame(axes: Any) -> None:
    """Leave only a thin line below."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=_LINE, linewidth=0.6)


@contextmanager
def _open_figure(height: float, name: str) -> Iterator[tuple[Any, list[str]]]:
    """A figure to draw on; its SVG element is in the list after the block."""
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
    result.append(_extract_element(out.getvalue(), name))


def _extract_element(document: bytes, name: str) -> str:
    """The `<svg>` of a document, with ids of its own and the page's colors."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(document)  # noqa: S314 - matplotlib has just written it
    for part in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(part)
    for node in root.iter():
        for key, value in node.attrib.items():
            if key == "id":
                node.set(key, f"{name}-{value}")
                continue
            value = re.sub(r"^#(?!fe0)|(?<=url\()#", f"#{name}-", value)
            value = re.sub(r"#fe0\w{3}", lambda m: _PROPERTIES.get(m[0], m[0]), value)
            node.set(key, value)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.set("aria-hidden", "true")
    return ElementTree.tostring(root, encoding="unicode")
