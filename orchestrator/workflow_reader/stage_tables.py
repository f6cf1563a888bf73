"""Tables of stages: rows that are the stages, or that say who does them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.markdown.blocks import Kind, Piece, TableRow
from orchestrator.workflow_reader.gate_words import gates_in
from orchestrator.workflow_reader.metrics import find_column
from orchestrator.workflow_reader.namings import Naming, who
from orchestrator.workflow_reader.vocabulary import any_of, plain

#: of a stage, as it is written
NUMBER = (
    r"(?:\d{1,3}(?:\.\d{1,3})*[a-z]?|[ivx]{1,4}|[a-h]"
    r"|one|two|three|four|five|six|seven|eight|nine|ten)"
)


def rows_as_items(blocks: Sequence[Piece]) -> list[Piece]:
    """The blocks with the rows of a table of stages as the items of a numbered list."""
    found = list[Piece]()
    done = False
    for piece in blocks:
        columns = None if done or piece.kind is not Kind.TABLE else _stage_columns(piece)
        if columns is None:
            found.append(piece)
            continue
        done = True
        rows = list(_row_items(piece, *columns))
        found += [replace(row, number=n) for n, row in enumerate(rows, 1)]
    return found


def title_key(title: str) -> str:
    """A stage's title as it is compared with the cells of tables."""
    words = re.sub(rf"(?i)^\W*(?:{any_of('stage')}\s*)?{NUMBER}\b\W*(?=\w)", "", plain(title))
    return re.sub(r"\W+", " ", words).strip().casefold()


def _stage_columns(table: Piece) -> tuple[int, int] | None:
    """The columns of the stage and of who does it, if a table has both."""
    head = [plain(cell) for cell in table.rows[0].cells] if table.rows else []
    whats = [i for i, c in enumerate(head) if re.fullmatch(any_of("stage_column"), c, re.I)]
    agent = find_column(table, "agent_column")
    if agent is None:
        kinds = [i for i, c in enumerate(head) if re.fullmatch(r"(?i)type|kind|mode|performer", c)]
        is_actor = kinds and any(who(row.cells[kinds[0]]).is_person for row in table.rows[1:])
        agent = kinds[0] if is_actor else None
    if not whats or agent is None or agent in whats or len(table.rows) < 3:
        return None
    return whats[0], agent


def _row_items(table: Piece, what: int, agent: int) -> Iterator[Piece]:
    """Each row as an item, and an approval that it asks for as one behind it."""
    head = [plain(cell) for cell in table.rows[0].cells]
    asked = {gate.line: gate.words for gate in gates_in([table])}
    for row in table.rows[1:]:
        cells = [*row.cells, *[""] * len(head)]
        by = who(cells[agent])
        left_out = "" if by.is_person else asked.get(row.line, "")
        rest = [
            f"{title}: {cell}"
            for i, (title, cell) in enumerate(zip(head, row.cells, strict=False))
            if i not in (what, agent) and cell and re.search(r"[^\W\d_]", title)
            if f"{title}: {plain(cell)}" != left_out
        ]
        title = re.sub(rf"(?i)^\W*(?:{any_of('stage')}\s*)?\d+\b\W*(?=\w)", "", plain(cells[what]))
        if title.isdigit() and rest:
            title = " · ".join(said.split(": ", 1)[1] for said in rest[:2])
        yield _row_item(row, f"{by.agent}: {title}" if by.agent else title, ". ".join(rest))
        if row.line in asked and not by.is_person:
            yield _row_item(row, f"USER: {asked[row.line]}", "")


def _row_item(row: TableRow, text: str, rest: str) -> Piece:
    markdown = f"{text}. {rest}" if rest else text
    return Piece(Kind.ITEM, row.line, row.line, text, markdown=markdown, level=1, number=1)


def owners_in_tables(blocks: Sequence[Piece]) -> dict[str, Naming]:
    """Title, or number, of a stage → who does it, from a table that has a column for each."""
    found: dict[str, Naming] = {}
    for table in (piece for piece in blocks if piece.kind is Kind.TABLE):
        columns = _stage_columns(table)
        for row in table.rows[1:] if columns else ():
            assert columns is not None
            what, agent = columns
            if len(row.cells) > max(what, agent) and (by := who(row.cells[agent])).agent:
                cell = plain(row.cells[what])
                found[cell if cell.isdigit() else title_key(cell)] = by
    return found
