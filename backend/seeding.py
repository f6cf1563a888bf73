"""Seeding a table from a CSV file: read strictly, upsert by natural key, confirm by counting."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Hashable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from orchestrate_backend.csv_rows import BadRow, CsvTable, read_csv
from orchestrate_backend.errors import BackendError
from orchestrate_backend.targets.base import Target, Written, hashable, row_key
from orchestrate_backend.targets.choose import TARGETS, choose_target


class CsvStatus(StrEnum):
    """How a run ended; the word of the last line."""

    PASS = "PASS"
    FAIL = "FAIL"
    #: the CSV is not there yet
    SKIP = "SKIP"
    DRY_RUN = "DRY-RUN"


@dataclass(frozen=True)
class CsvSeed:
    """What to load into which table."""

    table: str
    #: the CSV file, relative to the project's root
    csv: str
    #: column → SQL type; the CSV's header has exactly these
    columns: Mapping[str, str]
    #: columns that a row must fill; the others may be blank, which is stored as NULL
    required: tuple[str, ...]
    #: natural key where the database does not show one (Supabase)
    key: tuple[str, ...]
    #: columns between 0 and 100
    percent: tuple[str, ...] = ()
    #: what a row is, in the plural ("benchmark cohorts")
    what: str = "rows"
    #: who makes the CSV, named when it is missing
    provider: str = ""


@dataclass(frozen=True)
class CsvReport:
    """What a run did."""

    status: CsvStatus
    detail: str
    table: str
    csv: str
    target: str = ""
    #: rows of the CSV that can be written
    valid: int = 0
    left_out: tuple[BadRow, ...] = ()
    written: Written | None = None
    #: rows in the table afterwards
    in_table: int | None = None
    #: what to do about a failure
    hint: str = ""

    @property
    def exit_code(self) -> int:
        return 1 if self.status is CsvStatus.FAIL else 0

    @property
    def last_line(self) -> str:
        return f"[STATUS: {self.status}] {self.detail}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able figures."""
        done = self.written or Written()
        return {
            "status": str(self.status),
            "detail": self.detail,
            "hint": self.hint,
            "table": self.table,
            "csv": self.csv,
            "target": self.target,
            "valid": self.valid,
            "inserted": done.inserted,
            "updated": done.updated,
            "unchanged": done.unchanged,
            "in_table": self.in_table,
            "left_out": [{"line": bad.line, "reason": bad.reason} for bad in self.left_out],
        }


def seed_csv(seed: CsvSeed, path: Path, target: Target, *, dry_run: bool = False) -> CsvReport:
    """Load the CSV into the table. Raises BackendError for a wrong file or a database's refusal.

    A missing file is not an error: somebody else provides it (`SKIP`). Rows that cannot be written
    are left out and listed. `PASS` is said only when the table was counted afterwards.
    """
    made = partial(CsvReport, table=seed.table, csv=seed.csv)
    try:
        rows, bad = read_csv(path, CsvTable(seed.columns, seed.required, seed.percent))
    except FileNotFoundError:
        who = f"; {seed.provider} provides it" if seed.provider else ""
        detail = f"warning: {seed.csv} is not there yet, nothing to seed{who}"
        return made(CsvStatus.SKIP, detail)
    if dry_run:
        status = CsvStatus.DRY_RUN if rows else CsvStatus.FAIL
        detail = f"{len(rows)} {seed.what} can be written, {len(bad)} cannot; nothing was written."
        return made(status, detail, valid=len(rows), left_out=tuple(bad))
    # the unique key that the table really has, else the one that the seed names
    found = target.natural_key(seed.table)
    key = found if found and set(found) <= set(seed.columns) else seed.key
    written = target.upsert(seed.table, [row.values for row in rows], key)
    lines: dict[Hashable, list[int]] = {}
    for row in rows:
        lines.setdefault(hashable(row_key(row.values, key)), []).append(row.line)
    bad += [BadRow(lines[hashable(r.key)].pop(), r.reason) for r in written.rejected]
    in_table = target.count(seed.table)
    status, detail = _verdict(seed, written, in_table)
    if bad:
        detail += f" {len(bad)} of the file's rows {'is' if len(bad) == 1 else 'are'} left out."
    return made(
        status,
        detail,
        target=target.describe(),
        valid=len(rows),
        left_out=tuple(sorted(bad, key=lambda row: row.line)),
        written=written,
        in_table=in_table,
    )


def run_seed(seed: CsvSeed, script: Path, arguments: Sequence[str] | None = None) -> int:
    """The command line of a seed script; returns its exit code.

    The CSV is looked for beside the script (two folders up is the project), so that a copy of the
    tree loads the copy's bytes. `--root` or ORCHESTRATE_ROOT says where the embedded database is.
    """
    project = script.resolve().parents[2]
    options = _parser(seed).parse_args(arguments)
    path = options.csv or project / seed.csv
    if options.csv:
        seed = replace(seed, csv=str(options.csv))
    root = options.root or Path(os.environ.get("ORCHESTRATE_ROOT") or project)
    say = sys.stderr if options.json else sys.stdout
    try:
        with closing(choose_target(options.target, os.environ, root)) as target:
            if not options.dry_run:
                print(f"Writing to {target.describe()}", file=say, flush=True)
            report = seed_csv(seed, path, target, dry_run=options.dry_run)
    except (BackendError, OSError) as exc:
        reason = str(exc) if isinstance(exc, BackendError) else f"{seed.csv}: {exc.strerror or exc}"
        detail, _, hint = reason.partition("\n")
        report = CsvReport(CsvStatus.FAIL, detail, seed.table, seed.csv, hint=hint.strip())
    for bad in report.left_out:
        print(f"warning: {report.csv}:{bad.line}: left out: {bad.reason}", file=sys.stderr)
    if report.hint:
        print(report.hint, file=sys.stderr)
    if options.json:
        print(json.dumps(report.to_dict(), ensure_ascii=False))
    print(report.last_line, file=sys.stderr if report.exit_code else say)
    return report.exit_code


def _parser(seed: CsvSeed) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=f"Load {seed.csv} into {seed.table}. Running it twice changes nothing.",
        epilog="Exit code 0: loaded, or the CSV is not there yet. 1: nothing could be loaded.",
    )
    parser.add_argument(
        "--target",
        choices=TARGETS,
        help="default: supabase if SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY are set, "
        "else embedded",
    )
    parser.add_argument("--csv", type=Path, help=f"another file than {seed.csv}")
    parser.add_argument("--dry-run", action="store_true", help="read and judge, write nothing")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--root", type=Path, help="workspace that holds the embedded database")
    return parser


def _verdict(seed: CsvSeed, written: Written, in_table: int) -> tuple[CsvStatus, str]:
    if not written.stored:
        return CsvStatus.FAIL, f"no row could be written to {seed.table}"
    if in_table < written.stored:
        detail = f"{seed.table} holds {in_table} rows where {written.stored} were written"
        return CsvStatus.FAIL, detail
    detail = (
        f"Seeded {written.stored} {seed.what} ({written.inserted} new, {written.updated} changed, "
        f"{written.unchanged} as they were); {seed.table} holds {in_table}."
    )
    return CsvStatus.PASS, detail
