"""A word that changes what a statement says changes what is judged, or nothing is (DESIGN 6.1)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.gates.binding import Binder, Binding
from orchestrator.gates.evidence import find_evidence
from orchestrator.gates.expressions import MEANING
from orchestrator.gates.loading import load_checks
from tests.meanings import statements, variants

BINDER = Binder(load_checks())
#: one of so many variants is tried; `make recall` tries more
EVERY = int(os.environ.get("ORCHESTRATE_MEANINGS_EVERY", "101"))
#: these words change nothing there
HARMLESS = {
    "files.only": r"\bother changes\b",
    "files.not-applicable": r"^no |\b(?:any|other|non-)",
    "files.not-created": r"\bany\b",
    "files.not-changed": r"\bany\b",
    "files.not-deleted": r"\bany\b",
    "files.not-executed": r"\bany\b",
    "sql.additive": r"\b(?:only|any|additive|no other)\b",
    "sql.without": r"\b(?:any|no|or)\b",
    "sql.role-can": r"\b(?:any|or)\b",
    "sql.only-role-can": r"\bor\b",
    "sql.rls-prevents": r"\bor\b",
    "sql.if-not-exists": r"\bno 059\b",
    "sql.own-rows-only": r"\bany\b",
    "sql.others-rows": r"\bany\b",
    "sql.rows-apart": r"\bany\b|only$",
    "privacy.no-personal-data": r"\bonly aggregat",
    "tickets.user-answered": r"\bone of \"approved\"",
}
SUBJECTS = sorted({check.name.split(".")[0] for check in BINDER.checks})


def judged(bound: tuple[Binding, ...]) -> set[tuple[str, str]]:
    return {(b.check.name, repr(b.arguments)) for b in bound if b.check}


def words_of(value: Any) -> Iterator[str]:
    if type(value) is str:  # a text, not a word that a type has read
        yield value
    elif isinstance(value, tuple):
        yield from (word for item in value for word in words_of(item))


def swallowed(bound: tuple[Binding, ...]) -> list[str]:
    """Arguments, as texts, that hold words which change the meaning."""
    words = (w for b in bound for value in b.arguments.values() for w in words_of(value))
    return [word for word in words if re.search(MEANING, word, re.IGNORECASE)]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_word_that_changes_the_meaning_changes_what_is_judged(subject: str) -> None:
    ours = [c for c in BINDER.checks if c.name.split(".")[0] == subject]
    told = [(check, text) for check, text in statements(BINDER.checks) if check in ours]
    wrong, number = [], 0
    for check, statement in dict.fromkeys(told):
        plain = BINDER.bind(statement)
        before, quoted = judged(plain), swallowed(plain)
        for variant in dict.fromkeys(variants(statement)):
            number += 1
            if number % EVERY or re.search(HARMLESS.get(check.name, "(?!)"), variant, re.I):
                continue
            if any(named.words for named in find_evidence(variant)):
                continue  # the words may be anybody's own: the command that is named proves them
            after = BINDER.bind(variant)
            if any(b.check is None for b in after):
                continue  # the statement as a whole is unproven
            same = judged(after) <= before
            eaten = [word for word in swallowed(after) if word not in quoted]
            if before and (same or eaten):
                wrong.append(f"{check.name}: {variant!r} as {statement!r} {eaten or ''}")
    assert not wrong, f"{len(wrong)} of {number}:\n" + "\n".join(wrong[:40])


def test_every_wording_of_a_pattern_binds_to_its_check() -> None:
    lost = []
    for check, statement in statements(BINDER.checks):
        found = BINDER.bind(statement)
        bound = [b.check.name if b.check else "" for b in found]
        # a sample of one type may be one of another, too: `orders.note` may be a file
        if check.name not in bound and not any("checks fit" in b.problem for b in found):
            lost.append(f"{check.name}: {statement!r} binds to {bound}")
    assert not lost, "\n".join(lost)
