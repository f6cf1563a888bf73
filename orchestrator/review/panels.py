"""Panels of a review: what a subject shows besides statements and files (DESIGN 7.1).

A panel is data (grids, sources, charts) that the terminal and the page each draw in their own way.
Reviewers come from the entry points `orchestrate.reviews`::

    @reviewer
    def pictures(context: Context, paths: Sequence[str]) -> Iterator[Panel]:
        yield Panel("Pictures", blocks=(Grid(("file",), ((Cell("a.png"),),)),))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator import plugins
from orchestrator.gates.checks import Context


class Tone(StrEnum):
    """What a cell's color says; its text says the same without color."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    DOUBT = "doubt"
    QUIET = "quiet"


@dataclass(frozen=True)
class Cell:
    """One cell of a grid."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Grid:
    """A table. A row's first cell is its heading; a row of one cell heads the rows below it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    #: columns of figures, aligned to the right
    figures: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Source:
    """A file's text, and the text that it is compared with."""

    path: str
    text: str
    #: a name that Pygments knows; "" to go by the path
    language: str = ""
    against: str | None = None
    against_name: str = ""


@dataclass(frozen=True)
class Chart:
    """A picture, drawn only where it is looked at, and the same data as a grid."""

    #: one sentence for those who do not see it
    alt: str
    grid: Grid
    #: returns the SVG element, its text escaped; may raise MissingExtraError
    draw: Callable[[], str]


Block = Grid | Source | Chart


@dataclass(frozen=True)
class Panel:
    """One section of a review."""

    title: str
    #: sentences above the blocks
    words: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    #: sentences above all others that USER must not overlook
    warnings: tuple[str, ...] = ()


#: returns the panels of its subject; `paths` are the files to look at
Reviewer = Callable[[Context, Sequence[str]], Iterable[Panel]]

_REVIEWERS: list[Reviewer] = []


def reviewer(function: Reviewer) -> Reviewer:
    """Register a function that shows a subject."""
    _REVIEWERS.append(function)
    return function


def load_reviewers() -> tuple[Reviewer, ...]:
    """All reviewers of the entry points `orchestrate.reviews`, in the order they registered."""
    plugins.load("reviews")
    return tuple(_REVIEWERS)


def collect_panels(
    context: Context, paths: Sequence[str], reviewers: Iterable[Reviewer]
) -> Iterator[Panel]:
    """All panels. A reviewer that breaks loses its own panels, which the review says."""
    for each in reviewers:
        try:
            yield from tuple(each(context, paths))
        except Exception as exc:  # noqa: BLE001 - one subject must not hide the question
            what = f"{each.__module__} could not show its part: {type(exc).__name__}: {exc}"
            yield Panel("Not shown", warnings=(what,))
