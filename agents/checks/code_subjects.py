"""Which programs a claim is about: "both Python seed scripts", "the TypeScript hook", a path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrate_agents.sandbox.served import Specified
from orchestrate_agents.specification.files import (
    FileSpec,
    stage_file_specs,
    ticket_file_specs,
)
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import TYPES, Context, Result, failed, parameter_type
from orchestrator.storage.atomic import sha256_bytes

_NUMBERS = TYPES["int"][0]
_QUANTIFIER = rf"(?:(?:both|all|the|each|every|new|of|{_NUMBERS})\s+)*"
_LANGUAGE = r"(?:Python|TypeScript|TS|JavaScript)"
_TRAIT = (
    r"(?:seed(?:ing|er)?|ETL|API|import(?:er)?|load(?:er|ing)?|data|CSV|Supabase|front-?end|"
    r"backend)"
)
_NOUN = r"(?:scripts?|hooks?|files?|modules?|importers?|seeders?|loaders?|programs?|code)"
_PROGRAM = rf"{_QUANTIFIER}(?:{_LANGUAGE}\s+)?(?:{_TRAIT}\s+)*{_NOUN}"
_SUFFIXES = {
    "python": (".py",),
    "typescript": (".ts", ".tsx"),
    "ts": (".ts", ".tsx"),
    "javascript": (".js", ".mjs", ".cjs"),
}
_SCRIPTS = (".py", ".ts", ".tsx", ".js", ".mjs", ".cjs")
_SEEDS = re.compile(r"seed|load|import|ingest|etl|fetch", re.IGNORECASE)


@dataclass(frozen=True)
class Programs:
    """A noun phrase for programs."""

    text: str
    suffixes: tuple[str, ...]
    seeds: bool
    #: how many the phrase says there are, None if it does not
    count: int | None


def parse_programs(text: str) -> tuple[Programs, ...]:
    """`Both Python seed scripts + TypeScript API hook` → two phrases."""
    found = []
    for part in filter(None, re.split(r"\s*(?:\+|&|,|\band\b)\s*", text)):
        language = re.search(rf"\b{_LANGUAGE}\b", part, re.IGNORECASE)
        suffixes: tuple[str, ...] = _SCRIPTS
        if language:
            suffixes = _SUFFIXES[language.group().lower()]
        elif re.search(r"\bhooks?\b", part, re.IGNORECASE):
            suffixes = (".ts", ".tsx", ".js")
        seeds = bool(re.search(r"\b(?:seed|ETL|import|load)", part, re.IGNORECASE))
        found.append(Programs(part.strip(), suffixes, seeds, parse_quantity(part)))
    return tuple(found)


def parse_quantity(text: str) -> int | None:
    """`all three` → 3, `both` → 2, `all` → None."""
    if re.search(r"\bboth\b", text, re.IGNORECASE):
        return 2
    number = re.search(rf"\b{_NUMBERS}\b", text, re.IGNORECASE)
    return TYPES["int"][1](number.group()) if number else None


parameter_type("programs", rf"{_PROGRAM}(?:\s*(?:\+|&|,|\band\b)\s*{_PROGRAM})*", parse_programs)
parameter_type(
    "quantity", rf"(?:(?:all|the|both|each|every)(?:\s+{_NUMBERS})?|{_NUMBERS})", parse_quantity
)


def ticket_text(ctx: Context, path: str) -> str:
    """A ticket's file, "" where it cannot be read."""
    try:
        return ctx.path(path).read_text(encoding="utf-8-sig", errors="replace")
    except (OSError, OrchestrateError):
        return ""


def ticket_texts(ctx: Context) -> Iterator[str]:
    """The family's tickets, that of the statement first."""
    members = sorted(ctx.family, key=lambda member: member.id != ctx.ticket)
    yield from (ticket_text(ctx, member.path) for member in members)


def specs(ctx: Context) -> tuple[FileSpec, ...]:
    """Every file that the statement's stage, its workflow and its tickets say is delivered."""
    found: dict[str, FileSpec] = {}
    stages = ctx.workflow.stages if ctx.workflow else ()
    for stage in sorted(stages, key=lambda s: s != ctx.stage):
        for spec in stage_file_specs(stage):
            found.setdefault(spec.path, spec)
    text = "\n\n".join(ticket_texts(ctx))
    key = ("ticket-files", sha256_bytes(text.encode("utf-8", "surrogatepass")))
    sections = ctx.services.remember(key, tuple[FileSpec, ...], lambda: ticket_file_specs(text))
    for section in sections:
        known = found.get(section.path)
        found[section.path] = known.joined_with(section) if known else section
    return tuple(found.values())


def specified_by(ctx: Context, path: str) -> Specified:
    """What the workflow and the tickets say of a script's source and its writes."""
    spec = next((spec for spec in specs(ctx) if spec.path == path), FileSpec(path, 0))
    lists: dict[str, tuple[str, ...]] = {}
    keywords: dict[str, tuple[str, ...]] = {}
    for name, value in spec.constants:
        if _is_words(value):
            lists[name] = tuple(value)
        elif isinstance(value, dict) and value and all(map(_is_words, value.values())):
            keywords |= {str(key): tuple(words) for key, words in value.items()}
    texts = (spec.words, *(block.text for block in spec.code))
    return Specified(lists, keywords, spec.batch, "\n".join(texts))


def _is_words(value: Any) -> bool:
    listed = isinstance(value, list | tuple | set) and bool(value)
    return listed and all(isinstance(item, str) for item in value)


def delivered(ctx: Context, suffixes: Iterable[str]) -> tuple[str, ...]:
    """Paths with one of the suffixes that are specified, or that an agent reported."""
    wanted = tuple(suffixes)
    paths = [*(spec.path for spec in specs(ctx)), *ctx.artifacts]
    return tuple(dict.fromkeys(p for p in paths if p.endswith(wanted)))


def specified(ctx: Context, suffixes: Iterable[str]) -> tuple[str, ...]:
    """Paths with one of the suffixes that the workflow or a ticket asks for."""
    wanted = tuple(suffixes)
    return tuple(spec.path for spec in specs(ctx) if spec.path.endswith(wanted))


def resolve(ctx: Context, phrase: Programs) -> tuple[str, ...] | Result:
    """The paths that a phrase means; a failed result where there are none or another number."""

    def fitting(paths: tuple[str, ...]) -> tuple[str, ...]:
        seeding = tuple(p for p in paths if _SEEDS.search(Path(p).name)) if phrase.seeds else ()
        return seeding or paths

    asked = fitting(specified(ctx, phrase.suffixes))
    if phrase.count is not None and len(asked) != phrase.count:
        listed = f": {', '.join(asked)}" if asked else ""
        return failed(
            f"“{phrase.text}” says {phrase.count}, the specification names {len(asked)}{listed}",
            *asked,
        )
    found = asked if phrase.count is not None else fitting(delivered(ctx, phrase.suffixes))
    return found or failed(f"nothing that is delivered is “{phrase.text}”")


def existing(ctx: Context, paths: Iterable[str]) -> tuple[Path, ...] | Result:
    """The files at these paths; a failed result naming those that are missing."""
    wanted = tuple(paths)
    missing = [p for p in wanted if not ctx.path(p).is_file()]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        return failed(f"{', '.join(missing)} {verb} missing", *wanted)
    return tuple(ctx.path(p) for p in wanted)
