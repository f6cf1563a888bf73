"""How fast the loader writes all synthetic tables into the embedded server, beside bare COPY.

COPY writes the same rows, which the loader has put into words for it, into the same tables with
their keys and indexes. Both take turns; each figure is the median.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
from _common import report

from orchestrate_backend.targets.choose import EmbeddedTarget
from src.ml.synthetic.datasets import FULL_SIZES, SMALL_SIZES, Recipe, generate
from src.ml.synthetic.load_run import SCHEMA
from src.ml.synthetic.loaders import LOADING_ORDER, BatchLoader, LoaderConfig, LoadResult
from src.ml.synthetic.loaders.coerce import coerced
from src.ml.synthetic.loaders.postgres_store import written
from src.ml.synthetic.loaders.tables import TABLES


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    began = time.perf_counter()
    done = action()
    return time.perf_counter() - began, done


def copy_block(name: str, df: pd.DataFrame) -> tuple[str, bytes]:
    """The statement and the bytes of COPY for one table."""
    frame, table = coerced(df, TABLES[name]), TABLES[name]
    columns = [written(frame[column].tolist(), table.column(column)) for column in frame]
    rows = ("\t".join(map(_escaped, row)) for row in zip(*columns, strict=True))
    statement = f"COPY {name} ({', '.join(map(str, frame))}) FROM STDIN"
    return statement, "".join(f"{row}\n" for row in rows).encode()


def _escaped(text: str | None) -> str:
    if text is None:
        return r"\N"
    return text.replace("\\", r"\\").replace("\t", r"\t").replace("\n", r"\n").replace("\r", r"\r")


def copy_all(target: EmbeddedTarget, blocks: list[tuple[str, bytes]]) -> None:
    """The peer: nothing but COPY, a transaction for each table."""
    with psycopg.connect(target.uri(), autocommit=True) as connection:
        connection.execute("SET ROLE service_role")
        for statement, data in blocks:
            with connection.cursor().copy(statement) as copy:
                copy.write(data)


def load_all(target: EmbeddedTarget, data: dict[str, pd.DataFrame]) -> dict[str, LoadResult]:
    """One load as the script does it."""
    return BatchLoader(LoaderConfig(batch_size=500, dsn=target.uri())).load_all(data)


def emptied(target: EmbeddedTarget) -> None:
    """Take all rows out."""
    with psycopg.connect(target.uri("postgres"), autocommit=True) as connection:
        connection.execute(f"TRUNCATE {', '.join(LOADING_ORDER)} CASCADE")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    data = generate(Recipe(SMALL_SIZES if options.small else FULL_SIZES))
    blocks = [copy_block(name, data[name]) for name in LOADING_ORDER]
    rows = sum(len(df) for df in data.values())
    times: dict[str, list[float]] = {"copy": [], "first": [], "again": []}
    lost = changed = 0
    with tempfile.TemporaryDirectory() as folder:
        target = EmbeddedTarget(Path(folder))
        target.apply_sql(SCHEMA.read_text(encoding="utf-8"), SCHEMA.name)
        for _ in range(options.turns):
            emptied(target)
            times["copy"].append(timed(lambda: copy_all(target, blocks))[0])
            emptied(target)
            for turn in ("first", "again"):
                took, results = timed(lambda: load_all(target, data))
                times[turn].append(took)
                lost += sum(r.records_failed for r in results.values())
            changed += sum(r.records_inserted + r.records_updated for r in results.values())
        target.close()
    speed = {turn: round(rows / statistics.median(taken)) for turn, taken in times.items()}
    figures = {
        "rows": rows,
        "failed": lost,
        "again_changed": changed,
        "copy_rows_per_s": speed["copy"],
        "first_rows_per_s": speed["first"],
        "again_rows_per_s": speed["again"],
        # how long the loader takes for what COPY does in one second
        "first_to_copy": round(speed["copy"] / speed["first"], 2),
        "again_to_copy": round(speed["copy"] / speed["again"], 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    goals = {"failed": 1, "again_changed": 1, "first_to_copy": 1.93, "again_to_copy": 1.16}
    report("synthetic_load", figures, goals)


if __name__ == "__main__":
    main()
