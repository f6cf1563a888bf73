"""The names that a request may use, and how a wrong one is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from backend.synthetic.config import BRANDS, REGIONS

#: key of a metric → its description
METRICS: Mapping[str, str] = MappingProxyType(
    {
        "trx": "Total Prescriptions",
        "nrx": "New Prescriptions",
        "market_share": "Market Share Percentage",
        "conversion_rate": "HCP Conversion Rate",
        "hcp_engagement_score": "HCP Engagement Score (0-10)",
    }
)
_BY_FOLDED = {name.casefold(): key for key, label in METRICS.items() for name in (key, label)}


class UnknownNameError(ValueError):
    """A request names something that is not there; says what is."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        self.what = what
        self.name = name
        self.known = tuple(known)
        super().__init__(f"unknown {what} {name!r}; known are {', '.join(self.known) or 'none'}")


def metric_key(name: str) -> str:
    """The key of a metric given by key or description, in any case.

    Raises UnknownNameError naming the metrics.
    """
    key = _BY_FOLDED.get(name.strip().casefold())
    if key is None:
        raise UnknownNameError("metric", name, METRICS)
    return key


def check_brand(name: str) -> str:
    """The brand, spelled as the database does. Raises UnknownNameError naming the brands."""
    if name not in BRANDS:
        raise UnknownNameError("brand", name, BRANDS)
    return name


def check_region(name: str) -> str:
    """The region in lower case. Raises UnknownNameError naming the regions."""
    if name.lower() not in REGIONS:
        raise UnknownNameError("region", name, REGIONS)
    return name.lower()
