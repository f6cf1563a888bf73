"""What feature values are about: HCPs, patients, brands in regions."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import pandas as pd

from src.ml.synthetic.config import BRANDS, REGIONS, Brand
from src.ml.synthetic.generators.base import GeneratorConfig
from src.ml.synthetic.generators.dates import Text
from src.ml.synthetic.generators.draws import Ints, numbered, objects
from src.ml.synthetic.generators.feature_ids import Words, canonical, text_hashes
from src.ml.synthetic.generators.links import SMALLEST_POOL, required


@dataclass(frozen=True)
class Entities:
    """Entities to choose from; columns of ids of the same length."""

    columns: dict[str, Text]
    #: the patients that the entities come from, row by row
    patients: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def dicts(self, rows: Ints) -> Text:
        """A dict of its own for each of the rows."""
        if len(self.columns) == 1:
            ((key, ids),) = self.columns.items()
            return objects([{key: one} for one in ids[rows]])
        keys = list(self.columns)
        values = zip(*(self.columns[key][rows] for key in keys), strict=True)
        return objects([dict(zip(keys, row, strict=True)) for row in values])

    @cached_property
    def hashes(self) -> Words:
        """(n, 2) words that tell the entities apart."""
        return text_hashes(canonical(self.columns))


@dataclass(frozen=True)
class Pools:
    """Where the ids of every entity key come from."""

    config: GeneratorConfig
    patients: pd.DataFrame | None
    _made: dict[tuple[str, ...], Entities] = field(default_factory=dict)

    @classmethod
    def of(cls, config: GeneratorConfig, patients: pd.DataFrame | None) -> Pools:
        """Raises ValueError where a patient frame has no patient_id or no row."""
        if patients is not None:
            required(patients, "patient_df", ("patient_id",))
            if patients.empty:
                raise ValueError("patient_df holds no patient")
        return cls(config, patients)

    def entities(self, keys: tuple[str, ...]) -> Entities:
        """The entities of these keys. Raises ValueError for keys that nothing is known of."""
        if keys not in self._made:
            if set(keys) == {"brand", "region"}:
                brands = [Brand(self.config.brand).value] if self.config.brand else BRANDS
                pairs = list(product(brands, REGIONS))
                columns = dict(zip(("brand", "region"), zip(*pairs, strict=True), strict=True))
                self._made[keys] = Entities({key: objects(columns[key]) for key in keys})
            elif keys == ("patient_id",):
                self._made[keys] = self._people("patient_id", "pt", 6)
            elif keys == ("hcp_id",):
                self._made[keys] = self._people("hcp_id", "hcp", 5)
            else:
                raise ValueError(f"no entities for the keys {', '.join(keys)}")
        return self._made[keys]

    def _people(self, key: str, prefix: str, width: int) -> Entities:
        if self.patients is not None and key in self.patients:
            # a patient may have several journeys; the features know one state of each
            rows = self.patients.dropna(subset=[key]).drop_duplicates(key)
            if len(rows):
                return Entities({key: objects(rows[key].tolist())}, rows)
        size = max(SMALLEST_POOL, self.config.n_records // 10)
        return Entities({key: numbered(prefix, range(size), width)})
