"""Generate the synthetic data sets and load them, every row of them.

    python backend/scripts/load_synthetic_data.py [--small] [--dry-run] [--target NAME]

Running it twice on one day changes nothing. See `--help`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

_TREE = Path(__file__).resolve().parents[2]
if (_TREE / "backend" / "synthetic" / "load_run.py").is_file():
    # a frozen copy of the tree runs its own library, not the installed one
    sys.path.insert(0, str(_TREE))

from backend.synthetic.config import DGPType  # noqa: E402
from backend.synthetic.datasets import FULL_SIZES, SMALL_SIZES  # noqa: E402
from backend.synthetic.load_run import LoadOptions, run_load  # noqa: E402
from backend.targets import TARGETS  # noqa: E402

__all__ = ["FULL_SIZES", "SMALL_SIZES", "main", "naive_utc"]


def naive_utc(text: str) -> datetime:
    """An ISO time as naive UTC; one without a zone is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; returns its exit status."""
    given = _parser(prog).parse_args(arguments)
    root = given.root or Path(os.environ.get("ORCHESTRATE_ROOT") or _TREE)
    return run_load(
        LoadOptions(
            root,
            os.environ,
            target=given.target,
            dry_run=given.dry_run,
            small=given.small,
            verbose=given.verbose,
            as_json=given.json,
            init=given.init,
            dgp=DGPType(given.dgp),
            seed=given.seed,
            end_date=given.end_date,
            as_of=given.as_of,
            batch=given.batch,
            retries=given.retries,
        )
    )


def _parser(prog: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Generate the synthetic data sets and load them. Running it twice on one day "
        "changes nothing.",
        epilog="Exit status 0: every row of every table is loaded. 1: not every one.",
    )
    parser.add_argument(
        "--target",
        choices=TARGETS,
        help="default: supabase if SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY are set, "
        "else embedded",
    )
    parser.add_argument("--root", type=Path, help="workspace that holds the embedded database")
    parser.add_argument("--small", action="store_true", help="a tenth of the rows")
    parser.add_argument("--dry-run", action="store_true", help="do all but keep it")
    parser.add_argument("--verbose", action="store_true", help="every failed row, and more")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--init", action="store_true", help="create missing tables (postgres)")
    parser.add_argument(
        "--dgp",
        choices=[dgp.value for dgp in DGPType],
        default=DGPType.CONFOUNDED.value,
        help="data-generating process (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=42, help="default: %(default)s")
    parser.add_argument(
        "--end-date", type=date.fromisoformat, help="last day of the data (default: of --as-of)"
    )
    parser.add_argument(
        "--as-of",
        type=naive_utc,
        help="latest feature time, ISO, UTC (default: the start of today)",
    )
    parser.add_argument("--batch", type=int, default=500, help="rows (default: %(default)s)")
    parser.add_argument(
        "--retries", type=int, default=3, help="after passing faults (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
