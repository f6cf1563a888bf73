"""What coding agents have spent, as the histories of a board hold it (DESIGN 11.4)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.domain.agent import Allowance, Usage
from orchestrator.settings.agents import BudgetSettings, Limits
from orchestrator.storage.history import FOLDER

#: types of records: a turn that has begun, and what it took
BEGUN, TURN = "turn-begun", "turn"
#: how a refusal says what to do
_ADVICE = "raise {} under [budget] in orchestrate.toml and send the work back, or put it on hold"
_ANEW = "; sent back as it is, the next attempt may spend as much again"


@dataclass(frozen=True)
class Turn:
    """One turn of a coding agent."""

    family: str
    stage: int
    attempt: int
    turn: int
    agent: str
    adapter: str
    #: ISO 8601, UTC
    at: str
    usage: tuple[Usage, ...]
    seconds: float
    ended: str = ""
    session: str = ""

    @classmethod
    def from_record(cls, family: str, record: Mapping[str, Any]) -> Turn:
        """The turn that a history's record says."""
        return cls(
            family=family,
            stage=record["stage"],
            attempt=record["attempt"],
            turn=record["turn"],
            agent=record["agent"],
            adapter=record["adapter"],
            at=record["at"],
            usage=tuple(Usage.model_validate(u) for u in record["usage"]),
            seconds=record["seconds"],
            ended=record.get("ended", ""),
            session=record.get("session", ""),
        )

    @property
    def day(self) -> str:
        """The local calendar day."""
        moment = datetime.fromisoformat(self.at.replace("Z", "+00:00"))
        return moment.astimezone().date().isoformat()


@dataclass
class Spent:
    """A sum of turns."""

    turns: int = 0
    #: US dollars of what has a known price
    usd: float = 0.0
    #: input and output, without what the provider had cached
    tokens: int = 0
    seconds: float = 0.0
    #: models of which no price is known
    unpriced: set[str] = field(default_factory=set)

    def add(self, usage: Iterable[Usage], seconds: float) -> None:
        """Count a turn."""
        self.turns += 1
        self.seconds += seconds
        for used in usage:
            self.tokens += used.input_tokens + used.output_tokens + used.cache_write_tokens
            if used.usd is None:
                self.unpriced.add(used.model or "an unnamed model")
            else:
                self.usd += used.usd

    def reaches(self, limits: Limits) -> str:
        """Which limit is reached, in words; "" if none."""
        if limits.usd and self.usd >= limits.usd:
            return f"${self.usd:.2f} of ${limits.usd:.2f}"
        if limits.tokens and self.tokens >= limits.tokens:
            return f"{self.tokens:,} of {limits.tokens:,} tokens"
        if limits.minutes and self.seconds >= 60 * limits.minutes:
            return f"{self.seconds / 60:.1f} of {limits.minutes:g} minutes"
        return ""


def sum_of(turns: Iterable[Turn]) -> Spent:
    """All of these turns together."""
    spent = Spent()
    for turn in turns:
        spent.add(turn.usage, turn.seconds)
    return spent


def turns_in(records: Iterable[Mapping[str, Any]], family: str) -> Iterator[Turn]:
    """The turns among a history's records."""
    for record in records:
        if record["type"] == TURN:
            yield Turn.from_record(family, record)


def turns_of_board(board: Path) -> Iterator[Turn]:
    """The turns of all families, by reading their histories. What is not a record is left out."""
    mark = f'"{TURN}"'.encode()
    for file in sorted((board / FOLDER).glob("*.jsonl")):
        for line in file.read_bytes().splitlines():
            if mark in line:
                with suppress(ValueError, KeyError, TypeError):
                    record = json.loads(line)
                    if record["type"] == TURN:
                        yield Turn.from_record(file.stem, record)


@dataclass(frozen=True)
class Purse:
    """What one attempt, its family and the board have spent, against the budget."""

    budget: BudgetSettings
    attempt: Spent
    family: Spent
    day: Spent

    @classmethod
    def of(
        cls, budget: BudgetSettings, turns: Iterable[Turn], family: str, stage: int, attempt: int
    ) -> Purse:
        """The purse of an attempt, from all turns of the board."""
        all_turns = list(turns)
        own = [t for t in all_turns if t.family == family]
        today = datetime.now(UTC).astimezone().date().isoformat()
        return cls(
            budget,
            sum_of(t for t in own if (t.stage, t.attempt) == (stage, attempt)),
            sum_of(own),
            sum_of(t for t in all_turns if t.day == today),
        )

    @property
    def _levels(self) -> tuple[tuple[str, Limits, Spent], ...]:
        return (
            ("per_attempt", self.budget.per_attempt, self.attempt),
            ("per_family", self.budget.per_family, self.family),
            ("per_day", self.budget.per_day, self.day),
        )

    def refusal(self) -> str:
        """Why no turn may begin, "" if one may."""
        for name, limits, spent in self._levels:
            if reached := spent.reaches(limits):
                anew = _ANEW if name == "per_attempt" else ""
                return f"the budget `{name}` is spent: {reached}; {_ADVICE.format(name)}{anew}"
        return ""

    def unpriced(self) -> str:
        """The models without a known price, where only a limit in dollars would stop them."""
        for _, limits, spent in self._levels:
            if limits.usd and spent.unpriced and not (limits.tokens or limits.minutes):
                return ", ".join(sorted(spent.unpriced))
        return ""

    def allowance(self) -> Allowance:
        """What the next turn may spend: the least that any limit leaves."""

        def least(values: Iterable[tuple[float, float]]) -> float | None:
            return min((max(limit - used, 0.0) for limit, used in values if limit), default=None)

        levels = self._levels
        tokens = least((limits.tokens, spent.tokens) for _, limits, spent in levels)
        return Allowance(
            usd=least((limits.usd, spent.usd) for _, limits, spent in levels),
            tokens=None if tokens is None else int(tokens),
            seconds=least((60 * limits.minutes, spent.seconds) for _, limits, spent in levels),
        )


def describe(spent: Spent) -> str:
    """Turns, tokens, dollars and time, for people."""
    minutes, seconds = divmod(round(spent.seconds), 60)
    words = [f"{spent.turns} turn{'s' if spent.turns != 1 else ''}"]
    words += [f"{spent.tokens:,} tokens"] if spent.tokens else []
    if spent.unpriced:
        words.append(f"${spent.usd:.2f} and what is not known" if spent.usd else "cost not known")
    else:
        words.append(f"${spent.usd:.2f}")
    words.append(f"{minutes} min {seconds} s" if minutes else f"{seconds} s")
    return " · ".join(words)
