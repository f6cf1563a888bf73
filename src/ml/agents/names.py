"""The names that a request may use, and how a wrong one is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator

from src.ml.synthetic.config import BRANDS, REGIONS
from src.ml.synthetic.generators.metric_definitions import METRICS as _DEFINED

#: key of a metric → its description
METRICS: Mapping[str, str] = {metric.key: metric.description for metric in _DEFINED}

_METRICS = {name.casefold(): key for key, label in METRICS.items() for name in (key, label)}
#: as their readers call them too
_METRICS |= {"adherence_rate": "adherence", "os rate": "os_rate", "overall survival": "os_rate"}


class UnknownNameError(ValueError):
    """A request names something that is not there; says what is."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        self.what = what
        self.name = name
        self.known = tuple(known)
        super().__init__(f"unknown {what} {name!r}; known are {', '.join(self.known) or 'none'}")


def metric_key(name: str) -> str:
    """The key of a metric given by key, description or common short name, in any case.

    Raises UnknownNameError naming the metrics.
    """
    key = _METRICS.get(name.strip().casefold())
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


def storable(text: str) -> str:
    """The text, if a database and an answer in UTF-8 can hold it. Raises ValueError."""
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError("no text may hold a NUL or half of a surrogate pair")
    return text


#: text of a request that is looked for, or given back
Text = Annotated[str, AfterValidator(storable)]
