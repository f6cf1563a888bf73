"""Charts of a board's figures as SVG elements, made of strings: no script, no style attribute.

Text and axes take the page's color (`currentColor`); a page may set `.chart-1` … `.chart-8`. The
colors here can be told from white and from black, and no chart is told by its color alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 118, 30, 28
_ROW, _BAR = 26, 16
#: characters of a row's name
_NAME = 22


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


def _svg(name: str, title: str, told: str, height: float, parts: Iterable[str]) -> str:
    """The whole chart; `told` is what it shows, for who cannot see it."""
    head = _tag("title", escape(title), id=f"{name}-title")
    head += _tag("desc", escape(told or "no figures yet"), id=f"{name}-desc")
    return _tag(
        "svg",
        head + "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        class_="chart",
        viewBox=f"0 0 {_WIDTH} {_number(float(height))}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        font_family="system-ui, sans-serif",
    )


def _heading(title: str) -> str:
    return _text(0, 14, title, font_weight="bold")


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


def _axis(ticks: Sequence[float], money: bool = False) -> list[str]:
    """Horizontal lines with their values."""
    parts = []
    for value in ticks:
        y = _y(value, ticks[-1])
        label = (
            f"${value:,.2f}"
            if money
            else f"{value:,.0f}"
            if value >= 1 or not value
            else f"{value:g}"
        )
        parts.append(
            _tag(
                "line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y,
                stroke="currentColor", stroke_opacity=0.25,
            )
        )  # fmt: skip
        parts.append(_text(_LEFT - 6, y + 4, label, "end"))
    return parts


def _y(value: float, most: float) -> float:
    span = _HEIGHT - _TOP - _BOTTOM
    return round(_HEIGHT - _BOTTOM - (span * value / most if most else 0), 1)


def _x(number: int, count: int) -> float:
    span = _WIDTH - _LEFT - _RIGHT
    return round(_LEFT + (span * number / (count - 1) if count > 1 else span / 2), 1)


def _day_labels(days: Sequence[str]) -> list[str]:
    """The first, the middle and the last day."""
    places = sorted({0, len(days) // 2, len(days) - 1})
    last = len(days) - 1
    return [
        _text(
            _x(n, len(days)),
            _HEIGHT - 8,
            days[n],
            "start" if n == 0 < last else "end" if n == last > 0 else "middle",
        )
        for n in places
    ]


def stacked(
    name: str, title: str, days: Sequence[str], series: Mapping[str, Sequence[float]]
) -> str:
    """Areas upon each other, the first below; each is named at its right end."""
    told = "; ".join(f"{label}: {row[-1]:g} on {days[-1]}" for label, row in series.items() if days)
    if not days or not series:
        return _svg(name, title, told, 40, [_heading(title), _text(0, 34, "no figures yet")])
    # one day is a line of no length
    shown = [days[0], *days] if len(days) == 1 else list(days)
    base = [0.0] * len(shown)
    ticks = _ticks(max(map(sum, zip(*series.values(), strict=True))))
    parts, labels = [_heading(title), *_axis(ticks)], []
    for number, (label, values) in enumerate(series.items()):
        row = [values[0], *values] if len(days) == 1 else values
        top = [low + value for low, value in zip(base, row, strict=True)]
        way = [f"{_x(n, len(shown))},{_y(v, ticks[-1])}" for n, v in enumerate(top)]
        back = [f"{_x(n, len(shown))},{_y(v, ticks[-1])}" for n, v in enumerate(base)][::-1]
        area = _tag("title", escape(f"{label}: {row[-1]:g}"))
        parts.append(
            _tag(
                "polygon", area, points=" ".join(way + back), **_color(number),
                stroke="currentColor", stroke_width=0.5, stroke_opacity=0.6,
            )
        )  # fmt: skip
        labels.append((_y((base[-1] + top[-1]) / 2, ticks[-1]), number, f"{label} {row[-1]:g}"))
        base = top
    return _svg(name, title, told, _HEIGHT, [*parts, *_side_labels(labels), *_day_labels(days)])


def _side_labels(labels: list[tuple[float, int, str]]) -> list[str]:
    """Names at the right, from below, each at least a line above the one before."""
    parts, free = [], float(_HEIGHT - _BOTTOM)
    for y, number, text in labels:
        at = min(y + 4, free)
        free = at - 14
        x = _WIDTH - _RIGHT + 6
        parts.append(_tag("rect", x=x, y=at - 9, width=9, height=9, **_color(number)))
        parts.append(_text(x + 13, at, text))
    return parts


def bars(name: str, title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars: (name, value, the value in words)."""
    told = "; ".join(f"{label}: {words}" for label, _, words in rows)
    if not rows:
        return _svg(name, title, told, 40, [_heading(title), _text(0, 34, "no figures yet")])
    most = max(value for _, value, _ in rows) or 1
    left, right = 7 * min(_NAME, max(len(label) for label, _, _ in rows)) + 12, 190
    parts = [_heading(title)]
    for number, (label, value, words) in enumerate(rows):
        y = _TOP + number * _ROW
        wide = round((_WIDTH - left - right) * max(0.0, value) / most, 1)
        short = label if len(label) <= _NAME else f"{label[: _NAME - 1]}…"
        parts.append(_text(0, y + 12, short))
        parts.append(
            _tag("rect", x=left, y=y, width=max(wide, 1.0), height=_BAR, rx=2, **_color(0))
        )
        parts.append(_text(left + wide + 6, y + 12, words))
    return _svg(name, title, told, _TOP + len(rows) * _ROW + 4, parts)


def columns(name: str, title: str, days: Sequence[str], values: Sequence[float]) -> str:
    """Upright bars, in US dollars by day."""
    told = "; ".join(f"{day}: ${value:.2f}" for day, value in zip(days, values, strict=True))
    if not days:
        return _svg(name, title, told, 40, [_heading(title), _text(0, 34, "no figures yet")])
    ticks = _ticks(max(values))
    step = (_WIDTH - _LEFT - _RIGHT) / len(days)
    parts = [_heading(title), *_axis(ticks, money=True)]
    for number, (day, value) in enumerate(zip(days, values, strict=True)):
        y = _y(value, ticks[-1])
        parts.append(
            _tag(
                "rect", _tag("title", escape(f"{day}: ${value:.2f}")),
                x=round(_LEFT + number * step + step * 0.1, 1), y=y,
                width=max(1.0, round(step * 0.8, 1)), height=_HEIGHT - _BOTTOM - y, **_color(0),
            )
        )  # fmt: skip
    parts.append(_text(_WIDTH - _RIGHT + 6, _TOP + 10, f"${sum(values):,.2f} in all"))
    return _svg(name, title, told, _HEIGHT, [*parts, *_day_labels(days)])


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


def draw(figures: Figures) -> dict[str, str]:
    """Every chart of a board: name → SVG element."""
    # what is over lies below, so that the work stands out on it
    ends = [role.value for role in FolderRole if role.finished]
    order = [*ends, *(role.value for role in reversed(FolderRole) if not role.finished)]
    flow = {state_words(n): figures.flow[n] for n in order if n in figures.flow}
    waiting = figures.waiting
    asked = f"USER's answers: {waiting.count} given, {waiting.open} awaited"
    if waiting.count or waiting.open:
        asked += f", median {describe_seconds(waiting.median)}"
        asked += f", longest {describe_seconds(waiting.longest)}"
    return {
        "flow": stacked("flow", "Tickets by state", figures.days, flow),
        "states": bars(
            "states",
            "Time in each state (median)",
            [
                (
                    state_words(s.name),
                    s.median,
                    f"{describe_seconds(s.median)}, longest {describe_seconds(s.longest)}",
                )
                for s in figures.states
            ],
        ),
        "waiting": bars(
            "waiting", asked, [(name, count, str(count)) for name, count in figures.waited.items()]
        ),
        "failures": bars(
            "failures",
            "Failed attempts by agent",
            [
                (a.agent, a.rate, f"{a.rate:.0%}: {a.failed} of {a.attempts}")
                for a in figures.agents
            ],
        ),
        "costs": columns("costs", "Cost by day", *_every_day(figures.costs)),
    }


def _every_day(costs: Sequence[DayCost]) -> tuple[list[str], list[float]]:
    """The days from first to last, those without costs too."""
    spent = {date.fromisoformat(each.day): each.usd for each in costs}
    first, last = min(spent, default=date.max), max(spent, default=date.min)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1 if spent else 0)]
    return [day.isoformat() for day in days], [spent.get(day, 0.0) for day in days]
