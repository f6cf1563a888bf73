"""Charts of a board's figures as SVG elements, made of strings: no script, no style attribute.

Text and axes take the page's color (`currentColor`); a page may set `.chart-1` … `.chart-8`. The
colors here can be distinguished from white and from black, and no chart relies on color alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape

from orchestrator.domain.states import FolderRole
from orchestrator.views.statistics import DayCost, Figures

#: each has a contrast of 3 or more against #ffffff and #121212
COLORS = (
    "#3b7fc4",
    "#c2601a",
    "#2f8a5b",
    "#9a5fc9",
    "#a8761a",
    "#c9477a",
    "#5f7d8c",
    "#2b8c96",
)
_ROW, _BAR = 26, 16
#: height of a line of a legend
_LINE = 18


@dataclass(frozen=True)
class Frame:
    """The measures of a chart, in pixels as text of 12 of them is read."""

    width: int
    #: what is right of a plot: its legend, where it is not below
    right: int
    left: int = 48
    height: int = 260
    top: int = 26
    bottom: int = 40
    #: characters of a row's name
    name: int = 22
    #: what the words behind a bar take
    words: int = 170

    @property
    def legend_below(self) -> bool:
        return self.right < 100


WIDE = Frame(640, 128)
#: for phones: no text gets smaller there
NARROW = Frame(340, 10, left=40, height=220, name=13, words=126)


def _tag(name: str, content: str = "", /, **attributes: object) -> str:
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value != ""
    )
    return f"<{name}{said}>{content}</{name}>" if content else f"<{name}{said}/>"


def _number(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def _text(x: float, y: float, text: str, /, anchor: str = "", **more: object) -> str:
    return _tag(
        "text",
        escape(text),
        x=x,
        y=y,
        text_anchor=anchor,
        fill="currentColor",
        font_size=12,
        **more,
    )


def _svg(
    name: str, title: str, summary: str, frame: Frame, height: float, parts: Iterable[str]
) -> str:
    """The whole chart; `summary` is what it shows, for who cannot see it."""
    name = f"{name}-{frame.width}"
    head = _tag("title", escape(title), id=f"{name}-title")
    head += _tag("desc", escape(summary or "no figures yet"), id=f"{name}-desc")
    return _tag(
        "svg",
        head + "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        class_="chart",
        viewBox=f"0 0 {frame.width} {_number(float(height))}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        font_family="system-ui, sans-serif",
    )


def _nothing(name: str, title: str, frame: Frame) -> str:
    return _svg(name, title, "", frame, 24, [_text(0, 14, "no figures yet")])


def _color(number: int) -> dict[str, object]:
    at = number % len(COLORS)
    return {"fill": COLORS[at], "class_": f"chart-{at + 1}"}


def _ticks(most: float) -> list[float]:
    """At most five round values from 0 to at least `most`."""
    step = 1.0
    while step * 4 < most:
        step *= 2.5 if f"{step:e}"[0] == "2" else 2
    if most <= 2:
        # cents, fractions
        while most and step * 2 > most and step > 0.001:
            step /= 2
    count = 1
    while step * count < most:
        count += 1
    return [step * n for n in range(count + 1)]


def _axis(frame: Frame, unit: str, ticks: Sequence[float]) -> list[str]:
    """Horizontal lines with their values, and above them what they count."""
    parts = [_text(0, 12, unit, class_="unit")]
    for value in ticks:
        y = _y(frame, value, ticks[-1])
        few = ticks[-1] <= 2 and value
        label = f"{value:g}" if few else f"{value:,.0f}"
        parts.append(
            _tag(
                "line", x1=frame.left, x2=frame.width - frame.right, y1=y, y2=y,
                stroke="currentColor", stroke_opacity=0.25 if value else 0.7,
            )
        )  # fmt: skip
        parts.append(_text(frame.left - 6, y + 4, label, "end"))
    return parts


def _y(frame: Frame, value: float, most: float) -> float:
    span = frame.height - frame.top - frame.bottom
    return round(frame.height - frame.bottom - (span * value / most if most else 0), 1)


def _x(frame: Frame, number: int, count: int) -> float:
    span = frame.width - frame.left - frame.right
    return round(frame.left + (span * number / (count - 1) if count > 1 else span / 2), 1)


def _day_labels(frame: Frame, days: Sequence[str]) -> list[str]:
    """The first, the middle and the last day; and what they are."""
    last = len(days) - 1
    places = sorted({0, last // 2, last}) if last > 3 and not frame.legend_below else [0, last]
    bottom = frame.height - frame.bottom
    parts = []
    for n in dict.fromkeys(places):
        x = _x(frame, n, len(days))
        anchor = "start" if n == 0 < last else "end" if n == last > 0 else "middle"
        parts.append(
            _tag("line", x1=x, x2=x, y1=bottom, y2=bottom + 4, stroke="currentColor")
            + _text(x, bottom + 18, days[n], anchor)
        )
    middle = (frame.left + frame.width - frame.right) / 2
    parts.append(_text(middle, bottom + 34, "day", "middle", class_="unit"))
    return parts


def stacked(
    name: str,
    title: str,
    days: Sequence[str],
    series: Mapping[str, Sequence[float]],
    frame: Frame = WIDE,
) -> str:
    """Areas upon each other, the first below; the legend has them in the same order."""
    summary = "; ".join(
        f"{label}: {row[-1]:g} on {days[-1]}" for label, row in series.items() if days
    )
    if not days or not series:
        return _nothing(name, title, frame)
    # one day is a line of no length
    shown = [days[0], *days] if len(days) == 1 else list(days)
    base = [0.0] * len(shown)
    ticks = _ticks(max(map(sum, zip(*series.values(), strict=True))))
    parts, labels = _axis(frame, "tickets", ticks), []
    for number, (label, values) in enumerate(series.items()):
        row = [values[0], *values] if len(days) == 1 else values
        top = [low + value for low, value in zip(base, row, strict=True)]
        way, back = (
            [f"{_x(frame, n, len(shown))},{_y(frame, v, ticks[-1])}" for n, v in enumerate(edge)]
            for edge in (top, base)
        )
        area = _tag("title", escape(f"{label}: {row[-1]:g}"))
        parts.append(
            _tag(
                "polygon", area, points=" ".join(way + back[::-1]), **_color(number),
                stroke="currentColor", stroke_width=0.5, stroke_opacity=0.6,
            )
        )  # fmt: skip
        labels.append((number, f"{label} {row[-1]:g}"))
        base = top
    legend, height = _legend(frame, labels[::-1])
    return _svg(name, title, summary, frame, height, [*parts, *_day_labels(frame, days), *legend])


def _legend(frame: Frame, labels: Sequence[tuple[int, str]]) -> tuple[list[str], float]:
    """Swatches with names, from the topmost area down; and the height of the whole chart."""
    parts, x, y = [], frame.width - frame.right + 10, frame.top + 4
    if frame.legend_below:
        x, y = 0, frame.height + 12
    step = frame.width / 2
    for place, (number, text) in enumerate(labels):
        at_x = x + (place % 2) * step if frame.legend_below else x
        at_y = y + (place // 2 if frame.legend_below else place) * _LINE
        parts.append(_tag("rect", x=at_x, y=at_y - 9, width=10, height=10, rx=2, **_color(number)))
        parts.append(_text(at_x + 15, at_y, text))
    rows = (len(labels) + 1) // 2 if frame.legend_below else 0
    return parts, float(max(frame.height + rows * _LINE, y + len(labels) * _LINE * (not rows)))


def bars(name: str, title: str, rows: Sequence[tuple[str, float, str]], frame: Frame = WIDE) -> str:
    """Horizontal bars: (name, value, the value in words)."""
    summary = "; ".join(f"{label}: {words}" for label, _, words in rows)
    if not rows:
        return _nothing(name, title, frame)
    most = max(value for _, value, _ in rows) or 1
    left = 7 * min(frame.name, max(len(label) for label, _, _ in rows)) + 12
    parts = []
    for number, (label, value, words) in enumerate(rows):
        y = 4 + number * _ROW
        wide = round((frame.width - left - frame.words) * max(0.0, value) / most, 1)
        short = label if len(label) <= frame.name else f"{label[: frame.name - 1]}…"
        parts.append(_text(0, y + 12, short))
        parts.append(
            _tag("rect", x=left, y=y, width=max(wide, 1.0), height=_BAR, rx=2, **_color(0))
        )
        parts.append(_text(left + wide + 6, y + 12, words))
    return _svg(name, title, summary, frame, 4 + len(rows) * _ROW + 4, parts)


def columns(
    name: str, title: str, days: Sequence[str], values: Sequence[float], frame: Frame = WIDE
) -> str:
    """Upright bars, in US dollars by day."""
    summary = "; ".join(f"{day}: ${value:.2f}" for day, value in zip(days, values, strict=True))
    if not days:
        return _nothing(name, title, frame)
    ticks = _ticks(max(values))
    step = (frame.width - frame.left - frame.right) / len(days)
    parts = _axis(frame, "US dollars", ticks)
    for number, (day, value) in enumerate(zip(days, values, strict=True)):
        y = _y(frame, value, ticks[-1])
        parts.append(
            _tag(
                "rect", _tag("title", escape(f"{day}: ${value:.2f}")),
                x=round(frame.left + number * step + step * 0.1, 1), y=y,
                width=max(1.0, round(min(step * 0.8, 60), 1)),
                height=frame.height - frame.bottom - y, **_color(0),
            )
        )  # fmt: skip
    return _svg(name, title, summary, frame, frame.height, [*parts, *_day_labels(frame, days)])


# -- the board's ---------------------------------------------------------------------------------


def describe_seconds(seconds: float) -> str:
    """A duration for people: `40 s`, `12 min`, `3.5 h`, `11 days`."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= (2 * size if unit == "days" else size):
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} s"


def state_words(name: str) -> str:
    """A state's name for people: `user review`."""
    return name.replace("_", " ").lower()


def draw(figures: Figures, frame: Frame = WIDE) -> dict[str, str]:
    """Every chart of a board: name → SVG element."""
    # what is over lies below, so that the work stands out on it
    ends = [role.value for role in FolderRole if role.finished]
    order = [*ends, *(role.value for role in reversed(FolderRole) if not role.finished)]
    flow = {state_words(n): figures.flow[n] for n in order if n in figures.flow}
    titles = {name: title for name, (title, _) in describe(figures).items()}
    states = [
        (
            state_words(s.name),
            s.median,
            f"{describe_seconds(s.median)}, at most {describe_seconds(s.longest)}",
        )
        for s in figures.states
    ]
    waited = [(name, count, str(count)) for name, count in figures.waited.items()]
    failures = [
        (a.agent, a.rate, f"{a.rate:.0%}: {a.failed} of {a.attempts}") for a in figures.agents
    ]
    return {
        "flow": stacked("flow", titles["flow"], figures.days, flow, frame),
        "states": bars("states", titles["states"], states, frame),
        "waiting": bars("waiting", titles["waiting"], waited, frame),
        "failures": bars("failures", titles["failures"], failures, frame),
        "costs": columns("costs", titles["costs"], *_every_day(figures.costs), frame),
    }


def describe(figures: Figures) -> dict[str, tuple[str, str]]:
    """Every chart's heading, and what it counts."""
    waiting = figures.waiting
    asked = f"{waiting.count} given, {waiting.open} awaited"
    if waiting.count or waiting.open:
        asked += f"; median {describe_seconds(waiting.median)}"
        asked += f", longest {describe_seconds(waiting.longest)}"
    spent = sum(each.usd for each in figures.costs)
    return {
        "flow": ("Tickets by state", "At the end of each day; conducted families only."),
        "states": ("Time in each state", "The median of the stays that are over, and the longest."),
        "waiting": ("How long answers took", f"USER's answers: {asked}."),
        "failures": (
            "Failed attempts by agent",
            "Attempts that a gate or an inspection sent back, of all that ended.",
        ),
        "costs": ("Cost by day", f"US dollars of coding agents: ${spent:,.2f} in all."),
    }


def _every_day(costs: Sequence[DayCost]) -> tuple[list[str], list[float]]:
    """The days from first to last, those without costs too."""
    spent = {date.fromisoformat(each.day): each.usd for each in costs}
    first, last = min(spent, default=date.max), max(spent, default=date.min)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1 if spent else 0)]
    return [day.isoformat() for day in days], [spent.get(day, 0.0) for day in days]
