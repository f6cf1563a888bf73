"""Panels of a review: what a subject has to show besides statements and files (DESIGN 7.1).

A panel is data: grids, sources and charts. The terminal and the page each draw it in their own way,
and neither knows what it is about. Reviewers are found by the entry points `orchestrate.reviews`::

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
    """What a cell's colour says; its text says the same without colour."""

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
    #: columns that hold figures, drawn to the right
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
    """A picture, drawn only where it is looked at, and the same as a grid."""

    #: one sentence for those who do not see it
    alt: str
    grid: Grid
    #: gives the SVG element; its text has to be escaped
    draw: Callable[[], str]


Block = Grid | Source | Chart


@dataclass(frozen=True)
class Panel:
    """One section of a review."""

    title: str
    #: sentences above the blocks
    words: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    #: sentences above all others: what USER must not overlook
    warnings: tuple[str, ...] = ()


#: gives the panels of its subject; `paths` are the files that there are to look at
Reviewer = Callable[[Context, Sequence[str]], Iterable[Panel]]

_REVIEWERS: list[Reviewer] = []


def reviewer(function: Reviewer) -> Reviewer:
    """Register who shows a subject."""
    _REVIEWERS.append(function)
    return function


def load_reviewers() -> tuple[Reviewer, ...]:
    """Import the entry points `orchestrate.reviews`; all reviewers in the order they registered."""
    plugins.load("reviews")
    return tuple(_REVIEWERS)


def gather(
    context: Context, paths: Sequence[str], reviewers: Iterable[Reviewer]
) -> Iterator[Panel]:
    """All panels. A reviewer that breaks costs its own panels and says so."""
    for each in reviewers:
        try:
            yield from tuple(each(context, paths))
        except Exception as exc:  # noqa: BLE001 - one subject must not hide the question
            what = f"{each.__module__} could not show its part: {type(exc).__name__}: {exc}"
            yield Panel("Not shown", warnings=(what,))
