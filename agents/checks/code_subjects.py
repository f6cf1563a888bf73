"""Which programs a claim is about: "both Python seed scripts", "the TypeScript hook", a path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrate_agents.specification.files import FileSpec, stage_file_specs, ticket_file_specs
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import TYPES, Context, Result, failed, parameter_type

_NUMBERS = TYPES["int"][0]
_QUANTIFIER = rf"(?:(?:both|all|the|each|every|any|new|of|{_NUMBERS})\s+)*"
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
    return tuple(_phrase(part) for part in re.split(r"\s*(?:\+|&|,|\band\b)\s*", text) if part)


def _phrase(text: str) -> Programs:
    language = re.search(rf"\b{_LANGUAGE}\b", text, re.IGNORECASE)
    hook = re.search(r"\bhooks?\b", text, re.IGNORECASE)
    if language:
        suffixes = _SUFFIXES[language.group().lower()]
    elif hook:
        suffixes = (".ts", ".tsx", ".js")
    else:
        suffixes = _SCRIPTS
    seeds = bool(re.search(r"\b(?:seed|ETL|import|load)", text, re.IGNORECASE))
    return Programs(text.strip(), suffixes, seeds, parse_quantity(text))


parameter_type("programs", rf"{_PROGRAM}(?:\s*(?:\+|&|,|\band\b)\s*{_PROGRAM})*", parse_programs)


def parse_quantity(text: str) -> int | None:
    """`all three` → 3, `both` → 2, `all` → None."""
    if re.search(r"\bboth\b", text, re.IGNORECASE):
        return 2
    number = re.search(rf"\b{_NUMBERS}\b", text, re.IGNORECASE)
    return TYPES["int"][1](number.group()) if number else None


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
    """Everything that the statement's stage, its workflow and its tickets say is delivered."""
    found: dict[str, FileSpec] = {}
    tickets = "\n\n".join(ticket_texts(ctx))
    stages = ctx.workflow.stages if ctx.workflow else ()
    for stage in sorted(stages, key=lambda s: s != ctx.stage):
        for spec in stage_file_specs(stage):
            found.setdefault(spec.path, spec)
    for section in ticket_file_specs(tickets):
        known = found.get(section.path)
        if known is None:
            found[section.path] = section
        else:
            joined = (*known.blocks, *section.blocks)
            notes = (*known.notes, *section.notes)
            found[section.path] = FileSpec(
                known.path, known.line, known.block, known.text, notes, joined
            )
    return tuple(found.values())


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
    asked = _chosen(specified(ctx, phrase.suffixes), phrase)
    if phrase.count is not None and len(asked) != phrase.count:
        return failed(
            f"“{phrase.text}” says {phrase.count}, the specification names {len(asked)}"
            + (f": {', '.join(asked)}" if asked else ""),
            *asked,
        )
    found = asked if phrase.count is not None else _chosen(delivered(ctx, phrase.suffixes), phrase)
    if not found:
        return failed(f"nothing that is delivered is “{phrase.text}”")
    return found


def _chosen(paths: tuple[str, ...], phrase: Programs) -> tuple[str, ...]:
    if not phrase.seeds:
        return paths
    return tuple(p for p in paths if _SEEDS.search(Path(p).name)) or paths


def existing(ctx: Context, paths: Iterable[str]) -> tuple[Path, ...] | Result:
    """The files at these paths; a failed result naming those that are not there."""
    wanted = tuple(paths)
    missing = [p for p in wanted if not ctx.path(p).is_file()]
    if missing:
        return failed(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing", *wanted
        )
    return tuple(ctx.path(p) for p in wanted)
