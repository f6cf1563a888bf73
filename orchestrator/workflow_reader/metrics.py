"""What belongs to no stage: metric tables, and boxes and prohibitions that hold for all stages."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestrator.domain.workflow import Metric, Statement, StatementKind
from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.workflow_reader.stage import prohibitions
from orchestrator.workflow_reader.vocabulary import plain

_METRIC = re.compile(r"(?:success )?(?:metric|measure|indicator|kpi)s?\b", re.IGNORECASE)
_TARGET = re.compile(r"(?:target|goal|threshold|expected)\b", re.IGNORECASE)
_VERIFIER = re.compile(
    r"(?:(?:verified|checked|proven|measured|confirmed) by|verifier|checker|who|owner)\b",
    re.IGNORECASE,
)


def metrics_of(blocks: Iterable[Piece]) -> tuple[Metric, ...]:
    """The rows of every table with a metric and a target column."""
    return tuple(m for piece in blocks if piece.kind is Kind.TABLE for m in _rows_of(piece))


def _rows_of(table: Piece) -> Iterable[Metric]:
    header = [plain(cell) for cell in table.rows[0].cells] if table.rows else []
    metric, target, verifier = (_column(header, p) for p in (_METRIC, _TARGET, _VERIFIER))
    if metric is None or target is None:
        return
    for row in table.rows[1:]:
        cells = [*row.cells, *[""] * len(header)]
        who = plain(cells[verifier]).split() if verifier is not None else []
        if cells[metric]:
            name = who[0].strip(",;:").upper() if who else ""
            yield Metric(cells[metric], cells[target], name, row.line)


def _column(header: list[str], pattern: re.Pattern[str]) -> int | None:
    return next((i for i, cell in enumerate(header) if pattern.match(cell)), None)


def metric_statements(metrics: Iterable[Metric], source: str) -> tuple[Statement, ...]:
    """One claimable text for each row: `metric | target`."""
    return tuple(
        Statement(
            f"{m.metric} | {m.target}", StatementKind.METRIC, source, m.line, verifier=m.verifier
        )
        for m in metrics
    )


def loose_statements(rest: Iterable[Piece], source: str) -> Iterable[Statement]:
    """Boxes and prohibitions that stand outside every stage hold for all of them."""
    group = ""
    for piece in rest:
        if piece.kind is Kind.HEADING or piece.is_label:
            group = plain(piece.label or piece.text).rstrip(":")
        elif piece.box is not None and piece.text:
            yield Statement(
                piece.text, StatementKind.CHECKBOX, source, piece.line, group, piece.box
            )
        elif piece.kind in (Kind.PARAGRAPH, Kind.ITEM):
            for text in prohibitions(piece.markdown):
                yield Statement(text, StatementKind.PROHIBITION, source, piece.line, group)
