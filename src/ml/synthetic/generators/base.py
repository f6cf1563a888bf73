"""What every generator shares: settings, seeded streams, batches, results."""

from __future__ import annotations

import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from src.ml.synthetic.config import Brand, DGPType
from src.ml.synthetic.generators.dates import Cutoffs, Days, day_number, split_cutoffs

#: numbers of settings lie below
_MOST = 2**63


@dataclass
class GeneratorConfig:
    """What to generate; `brand` None means all three, dates are inclusive."""

    seed: int = 42
    batch_size: int = 1000
    n_records: int = 1000
    brand: Brand | None = None
    dgp_type: DGPType | None = None
    start_date: date = date(2022, 1, 1)
    end_date: date = date(2024, 12, 31)
    verbose: bool = False


@dataclass
class GenerationResult:
    """A generated frame and how it came about."""

    df: pd.DataFrame
    entity_type: str
    #: rows produced
    n_records: int
    #: seconds, always positive
    generation_time: float
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """Whether the frame has the rows that it says."""
        return self.df is not None and len(self.df) == self.n_records


@dataclass(frozen=True)
class Batch:
    """One batch to draw: its size, the number of its first row, and its own random stream."""

    size: int
    offset: int
    rng: np.random.Generator
    #: a day for every row, as days since 1970, uniform over the range
    days: Days
    #: the days at which the splits of all batches together change
    cutoffs: Cutoffs


class BaseGenerator(ABC):
    """A source of one table's rows; the same settings give the same frame in every process."""

    #: the table that the rows belong to
    entity_type: ClassVar[str]

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        """Raises ValueError for settings that no frame can meet."""
        self.config = config if config is not None else GeneratorConfig()
        for name, least in (("n_records", 0), ("batch_size", 1), ("seed", 0)):
            value = getattr(self.config, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or not least <= value < _MOST:
                raise ValueError(f"{name} is a whole number from {least} on, not {value!r}")
        for name in ("start_date", "end_date"):
            value = getattr(self.config, name)
            if not isinstance(value, date) or getattr(value, "tzinfo", None) is not None:
                raise ValueError(f"{name} is a day, such as date(2024, 1, 31), not {value!r}")
        if (end := self.config.end_date) < (start := self.config.start_date):
            raise ValueError(f"end_date {end} is before {start}")
        self._brand = None if self.config.brand is None else Brand(self.config.brand)

    @abstractmethod
    def generate(self) -> pd.DataFrame:
        """A frame of the table's rows."""

    def generate_batched(self) -> Iterator[pd.DataFrame]:
        """ceil(n_records / batch_size) frames, the last one with the rest."""
        df = self.generate()
        for start in range(0, self.config.n_records, self.config.batch_size):
            yield df.iloc[start : start + self.config.batch_size].reset_index(drop=True)

    def generate_with_result(self) -> GenerationResult:
        """The frame of `generate()` with its time and settings."""
        began = time.perf_counter()
        df = self.generate()
        seconds = max(time.perf_counter() - began, 1e-9)
        if self.config.verbose:
            print(f"{self.entity_type}: {len(df):,} rows in {seconds:.2f} s")
        metadata = {
            "seed": self.config.seed,
            "brand": self._brand.value if self._brand else None,
            "dgp_type": DGPType(self.config.dgp_type).value if self.config.dgp_type else None,
        }
        return GenerationResult(df, self.entity_type, len(df), seconds, metadata)

    def _seed(self, *purpose: int) -> np.random.SeedSequence:
        """A root of random streams of this kind of rows; another purpose has another root."""
        kind = zlib.crc32(self.entity_type.encode())
        return np.random.SeedSequence((self.config.seed, kind, *purpose))


class RowGenerator(BaseGenerator):
    """A generator of single rows: each batch is drawn by itself."""

    @abstractmethod
    def _frame(self, batch: Batch) -> pd.DataFrame:
        """The rows of one batch."""

    def generate(self) -> pd.DataFrame:
        """A frame of `n_records` rows."""
        return next(self._batches([self.config.n_records]))

    def generate_batched(self) -> Iterator[pd.DataFrame]:
        """ceil(n_records / batch_size) frames, one at a time; row ids go on from each to the next.

        Every batch has its own random stream, so the rows differ from those of `generate()`.
        """
        full, rest = divmod(self.config.n_records, self.config.batch_size)
        yield from self._batches([self.config.batch_size] * full + [rest] * bool(rest))

    def _batches(self, sizes: Sequence[int]) -> Iterator[pd.DataFrame]:
        seeds = [seed.spawn(2) for seed in self._seed().spawn(len(sizes))]
        # the split rule looks at the days of all batches: they are drawn twice, and never kept
        drawn = (self._draw_days(dates, n) for (dates, _), n in zip(seeds, sizes, strict=True))
        low = day_number(self.config.start_date)
        seen = np.zeros(day_number(self.config.end_date) - low + 1, dtype=np.bool_)
        for days in drawn:
            seen[days - low] = True
        cutoffs = split_cutoffs(np.flatnonzero(seen) + low)
        offset = 0
        for (dates, values), size in zip(seeds, sizes, strict=True):
            days = self._draw_days(dates, size)
            yield self._frame(Batch(size, offset, np.random.default_rng(values), days, cutoffs))
            offset += size

    def _draw_days(self, seed: np.random.SeedSequence, size: int) -> Days:
        low, high = day_number(self.config.start_date), day_number(self.config.end_date)
        return np.random.default_rng(seed).integers(low, high + 1, size=size)


class SeriesGenerator(BaseGenerator):
    """A generator whose rows hang together in time, so that batches are cut from one drawing.

    The figures are drawn once; frames with their strings and dicts are made one at a time.
    """

    @abstractmethod
    def _slices(self, parts: int) -> Iterator[pd.DataFrame]:
        """All rows in `parts` frames of nearly equal size."""

    def generate(self) -> pd.DataFrame:
        """A frame of at most `n_records` rows."""
        return next(self._slices(1))

    def generate_batched(self) -> Iterator[pd.DataFrame]:
        """ceil(n_records / batch_size) frames; put together they equal `generate()`."""
        parts = -(-self.config.n_records // self.config.batch_size)
        if parts:
            yield from self._slices(parts)
