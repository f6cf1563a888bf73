"""Generate the synthetic data sets and load them, every row of them.

    python scripts/load_synthetic_data.py [--small] [--dry-run] [--target NAME]

Running it twice on one day changes nothing. See `--help`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

_TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_TREE))

from orchestrate_backend.targets.choose import TARGETS  # noqa: E402
from src.ml.synthetic.config import DGPType  # noqa: E402
from src.ml.synthetic.datasets import FULL_SIZES, SMALL_SIZES  # noqa: E402
from src.ml.synthetic.generators import GeneratorConfig  # noqa: E402
from src.ml.synthetic.load_run import LoadOptions, run_load  # noqa: E402

Moment = TypeVar("Moment", date, datetime)

__all__ = ["FULL_SIZES", "SMALL_SIZES", "main", "naive_utc"]


def naive_utc(text: str) -> datetime:
    """An ISO time as naive UTC; one without a zone is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def whole_number(least: int) -> Callable[[str], int]:
    """What reads a number that is not smaller; it raises ArgumentTypeError."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is less than {least}")
        return number

    return read


def _moment(text: str) -> datetime:
    """The latest feature time. Raises ArgumentTypeError."""
    try:
        moment = naive_utc(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an ISO time, such as 2026-11-20T12:00:00"
        ) from None
    if moment > datetime.now(UTC).replace(tzinfo=None):
        raise argparse.ArgumentTypeError(f"{text} is in the future; feature values end now")
    return _after_start(text, moment)


def _day(text: str) -> date:
    """The last day of the data. Raises ArgumentTypeError."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day, such as 2026-11-20") from None
    return _after_start(text, day)


def _after_start(text: str, moment: Moment) -> Moment:
    start = GeneratorConfig().start_date
    if (moment.year, moment.month, moment.day) <= (start.year, start.month, start.day):
        raise argparse.ArgumentTypeError(f"{text} is not after {start}, where the data begin")
    return moment


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; returns its exit status."""
    given = vars(_parser(prog).parse_args(arguments))
    root = given.pop("root") or Path(os.environ.get("ORCHESTRATE_ROOT") or _TREE)
    return run_load(LoadOptions(root, os.environ, **given))


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
    parser.add_argument(
        "--json",
        action="store_true",
        dest="as_json",
        help="print the figures as one JSON object",
    )
    parser.add_argument("--init", action="store_true", help="create missing tables (postgres)")
    parser.add_argument(
        "--dgp",
        choices=[dgp.value for dgp in DGPType],
        default=DGPType.CONFOUNDED.value,
        help="data-generating process (default: %(default)s)",
    )
    parser.add_argument("--seed", type=whole_number(0), default=42, help="default: %(default)s")
    parser.add_argument("--end-date", type=_day, help="last day of the data (default: of --as-of)")
    parser.add_argument(
        "--as-of",
        type=_moment,
        help="latest feature time, ISO, UTC (default: the start of today)",
    )
    parser.add_argument(
        "--batch", type=whole_number(1), default=500, help="rows (default: %(default)s)"
    )
    parser.add_argument(
        "--retries",
        type=whole_number(0),
        default=3,
        help="after passing faults (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
