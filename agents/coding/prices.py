"""What tokens cost, by the table of `genai-prices`, where a coding agent does not say it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from orchestrator.domain.agent import Usage


def priced(usage: Iterable[Usage]) -> tuple[Usage, ...]:
    """The same usage with its cost in US dollars; what is not known stays None, never zero."""
    return tuple(u if u.usd is not None else _priced(u) for u in usage)


def _priced(usage: Usage) -> Usage:
    tokens = usage.input_tokens + usage.output_tokens + usage.cache_read_tokens
    if not tokens + usage.cache_write_tokens:
        return usage.model_copy(update={"usd": 0.0})
    try:
        # of the extra `agents`
        genai_prices = import_module("genai_prices")
    except ModuleNotFoundError:
        return usage
    provider, _, name = usage.model.rpartition("/")
    taken = genai_prices.Usage(
        # the table counts the cached part as input too
        input_tokens=usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    try:
        price = genai_prices.calc_price(taken, model_ref=name, provider_id=provider or None)
    except (LookupError, ValueError):
        return usage
    return usage.model_copy(update={"usd": round(float(price.total_price), 6)})
