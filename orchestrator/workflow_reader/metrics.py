"""What belongs to no stage: metric tables, and boxes and prohibitions that hold for all stages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from orchestrator.domain.workflow import Metric, Statement, StatementKind
from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.markdown.prohibitions import prohibition_in_sentence
from orchestrator.workflow_reader.vocabulary import any_of, plain, sentences


def find_column(table: Piece, phrases: str) -> int | None:
    """The first column whose head begins with one of these phrases of `words.toml`."""
    head = [plain(cell) for cell in table.rows[0].cells] if table.rows else []
    pattern = re.compile(any_of(phrases), re.IGNORECASE)
    return next((i for i, cell in enumerate(head) if pattern.match(cell)), None)


def read_metrics(blocks: Iterable[Piece]) -> Iterator[Metric]:
    """The rows of every table with a metric and a target column."""
    for table in (piece for piece in blocks if piece.kind is Kind.TABLE):
        metric, target = find_column(table, "metric_column"), find_column(table, "target_column")
        verifier = find_column(table, "verifier_column")
        for row in table.rows[1:] if metric is not None and target is not None else ():
            assert metric is not None
            assert target is not None
            cells = [*row.cells, *[""] * len(table.rows[0].cells)]
            who = plain(cells[verifier]).split() if verifier is not None else []
            if cells[metric]:
                name = who[0].strip(",;:").upper() if who else ""
                yield Metric(cells[metric], cells[target], name, row.line)


def metric_statements(metrics: Iterable[Metric], source: str) -> tuple[Statement, ...]:
    """One statement for each row: `metric | target`."""
    kind = StatementKind.METRIC
    return tuple(
        Statement(f"{m.metric} | {m.target}", kind, source, m.line, verifier=m.verifier)
        for m in metrics
    )


def loose_statements(rest: Iterable[Piece], source: str) -> Iterator[Statement]:
    """Boxes and prohibitions outside every stage; they hold for all of them."""
    group = ""
    for piece in rest:
        if piece.kind is Kind.HEADING or piece.is_label:
            group = plain(piece.label or piece.text).rstrip(":")
        elif piece.box is not None and piece.text:
            yield Statement(
                piece.text, StatementKind.CHECKBOX, source, piece.line, group, piece.box
            )
        elif piece.kind in (Kind.PARAGRAPH, Kind.ITEM):
            for sentence in sentences(piece.markdown):
                if text := prohibition_in_sentence(sentence):
                    yield Statement(text, StatementKind.PROHIBITION, source, piece.line, group)
