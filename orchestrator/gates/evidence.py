"""Evidence that a statement names: “… — `pytest -q`”, “(proof: `npm run build`)”, “verified by …”.

The words before it may be in anybody's own style. What proves them is a claim of its own, which
binds to a check as any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

CODE = r"`[^`\n]+`"
_MOST_CODES = 12
_CODES = re.compile(rf"{CODE}(?:\s*(?:,\s*and|,|and|&|\+|;|then)\s*{CODE})*\.?")
_VERBS = (
    r"(?:verif(?:y|ied)|prov(?:e|en|ed)|check(?:ed)?|test(?:ed)?|confirm(?:ed)?|validat(?:e|ed)|"
    r"shown|demonstrated|covered|ensured|enforced|guarded|green)"
)
_MEANS = r"(?:by|with|via|using|through)(?:\s+(?:running|executing|the\s+(?:command|script)))?"
_NOUNS = (
    r"(?:verification|proof|evidence|check|verify|prove|test|validation|command|cmd|run|"
    r"how\s+to\s+(?:verify|test|check|prove)|(?:verified|proven|proved|checked|tested|confirmed)\s+by)"
)
#: “verified by”, “proof:”, “check with”; mid-sentence, a bare “run” or “test” is a word like others
_IN_SENTENCE = rf"(?:(?:as|is|are|can\s+be|must\s+be)\s+)?{_VERBS}\s+{_MEANS}\s*:?|{_NOUNS}\s*:"
_SET_APART = rf"{_IN_SENTENCE}|(?:run|running|execute|executing|via|verify|check|test|see\s+that)"
_LEADS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # set apart by a dash, colon or bracket, or at the very beginning
        rf"(?P<words>.*?)(?:\s+(?:[—–-]|--|→|=>|->)|:|\s*(?P<open>[(\[]))\s*(?P<label>{_SET_APART})?\s*\Z",
        rf"(?P<words>.*?)(?:[.;,]\s+|\A\s*)(?P<label>{_SET_APART})\s*\Z",
        rf"(?P<words>.*\S)\s+(?P<label>{_IN_SENTENCE})\s*\Z",
    )
)
_NOT = re.compile(
    r"(?:\b(?:not|never|cannot|without|no|instead of|rather than|unlike|except|unless|if|when|"
    r"until|before|after|than|like|or)|n['’]t)\s*[,:]?\s*\Z",
    re.IGNORECASE,
)
#: what a person does or says is proven by that person alone
_BY_PEOPLE = re.compile(
    r"\bUSER\b|\b(?i:(?:approved|signed[ -]off|reviewed|accepted|agreed|confirmed)\s+by\s+(?!`))"
)
#: programs by which people check their work: a quoted text that begins with one is a command
PROGRAMS = frozenset(
    """
    npm pnpm yarn bun npx bunx node deno tsc tsx eslint prettier biome vitest jest mocha ava
    playwright cypress ng vite next nx turbo lerna webpack rollup stylelint htmlhint axe lhci
    make gmake just task rake bundle rspec rubocop ruby python python3 pytest py.test tox nox
    ruff mypy pyright black isort flake8 pylint bandit coverage uv uvx poetry pipenv pdm hatch
    pip pip-audit pre-commit cargo rustc clippy go gofmt golangci-lint staticcheck mvn mvnw
    gradle gradlew sbt dotnet swift php composer phpunit phpstan artisan mix docker
    docker-compose kubectl helm terraform tofu ansible-lint curl wget http git gh bash sh zsh
    grep rg test diff cmp ls cat wc jq yq sqlfluff psql supabase alembic django-admin flask
    cmake ctest ninja bazel meson shellcheck hadolint actionlint yamllint markdownlint vale k6
    locust schemathesis spectral buf prisma drizzle-kit knex wrangler firebase true false echo
    exit : env sleep trivy semgrep gitleaks detect-secrets lighthouse pa11y behave cucumber
    """.split()  # noqa: SIM905 - a list of a hundred lines says no more
)
_ASSIGNMENT = re.compile(r"(?:[A-Z_][A-Z0-9_]*=\S*\s+)+")
_SCRIPT = re.compile(
    r"\./[\w./-]+|(?:[\w-]+/)+[\w-]+\.(?:sh|bash)|[\w-]+\.sh|(?:bin|scripts?)/[\w-]+"
)
_WORDS = re.compile(r"[a-z][\w.+-]*\s+\S.*")


@dataclass(frozen=True)
class Named:
    """A statement's words, and what it names as their proof."""

    words: str
    #: as written, from the first backtick on
    phrase: str
    #: what has to bind: the phrase, or that its commands pass
    claim: str
    #: said to be the proof (“proof:”, “verified by”), not only set apart
    labelled: bool


def looks_like_command(code: str, *, said: bool = False) -> bool:
    """Whether a quoted text is a command; `said`: the words before it say so."""
    bare = _ASSIGNMENT.sub("", code.strip("` "))
    first = bare.split()[0] if bare.split() else ""
    if first in PROGRAMS or _SCRIPT.fullmatch(first):
        return True
    return said and _WORDS.fullmatch(bare) is not None


def find_evidence(text: str) -> Iterator[Named]:
    """The ways to read a statement as words and their proof, the longest proof first."""
    for code in islice(re.finditer(CODE, text), _MOST_CODES):
        before = text[: code.start()]
        for lead in _LEADS:
            found = lead.match(before)
            if found is None:
                continue
            words, phrase = found["words"].strip(" ,;:."), text[code.start() :].strip()
            if found.groupdict().get("open"):
                closed = re.fullmatch(r"(.*[^\s.])\s*[)\]]\.?", phrase)
                if closed is None:
                    continue
                phrase = closed[1].strip()
            if _NOT.search(words) or _BY_PEOPLE.search(words):
                continue
            labelled = bool(found["label"])
            claim = phrase.rstrip(".")
            if _CODES.fullmatch(phrase):
                codes = re.findall(CODE, phrase)
                if not all(looks_like_command(c, said=labelled) for c in codes):
                    continue
                claim = f"{claim} passes"
            yield Named(words, phrase, claim, labelled)
            break
