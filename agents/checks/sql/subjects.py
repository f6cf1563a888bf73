"""Which migration a claim means, its specification, and its proof."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from orchestrate_agents.checks.sql.phrases import (
    OlderTable,
    Tables,
    older_tables,
    tables_of_claim,
)
from orchestrate_agents.specification.files import ticket_file_specs
from orchestrate_agents.sql.catalog import Relation
from orchestrate_agents.sql.migration_series import number_of, read_sql
from orchestrate_agents.sql.parse import SqlError, parse_migration
from orchestrate_agents.sql.prerequisites import prerequisite_sql
from orchestrate_agents.sql.prove import Proof, prove
from orchestrate_agents.sql.reverse import is_down
from orchestrate_agents.sql.server_versions import PROJECT_FILE, Newer, target_server
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import Context, Result, failed, parameter_type, proven, unproven
from orchestrator.settings.board import FILE

_MAX_BYTES = 2_000_000
_UNKNOWN_SERVER = (
    f"which one it has, neither database.major_version ({FILE}) nor {PROJECT_FILE} says"
)
_IN_TICKET = re.compile(r"`([\w.@+-]+(?:/[\w.@+-]+)*\.sql)`")
_SQL = ("sql", "postgresql", "postgres", "psql", "pgsql", "")


@dataclass(frozen=True)
class Which:
    """How a claim names a migration: by path, by number, or not at all ("the migration")."""

    path: str = ""
    number: str = ""


_SQL_PATH = r"`?[\w.@+-]+(?:/[\w.@+-]+)*\.sql`?"
_NOUN = (
    r"(?:(?:SQL|schema|database|DB)\s+)*(?:migrations?|schema|DDL|SQL)(?:\s+(?:file|script|SQL))?"
)
_NUMBERED = r"(?:\s+(?:no\.?\s*|number\s+|#)?\d+)?"
_MIGRATION = (
    rf"(?:(?:(?:the|this|that|our|new)\s+)*"
    rf"(?:{_NOUN}{_NUMBERED}(?:\s+(?:in\s+)?\(?{_SQL_PATH}\)?)?|{_SQL_PATH}(?:\s+{_NOUN})?))"
)


def _which(text: str) -> Which:
    path = re.search(_SQL_PATH, text)
    if path:
        return Which(path=path.group().strip("`"))
    number = re.search(r"\d+", text)
    return Which(number=number.group() if number else "")


parameter_type("migration", _MIGRATION, _which)


@dataclass(frozen=True)
class Subject:
    """A migration that a claim is about, read and proven."""

    path: str
    text: str
    proof: Proof
    #: the SQL of the migrations before it, by file name
    base: Mapping[str, str] = field(default_factory=dict)
    #: where a claim is about all tables: those that the migration does not touch
    older: frozenset[str] = frozenset()

    def failed(self, detail: str, **evidence: object) -> Result:
        """The claim does not hold of this migration."""
        return failed(detail, self.path, **{**self.evidence, **evidence})

    @property
    def evidence(self) -> dict[str, object]:
        """What goes into every receipt about the migration."""
        proof = self.proof.to_dict()
        return {"base": self.proof.base, "matrix": proof["matrix"], "locks": proof["locks"]}


def migration_paths(ctx: Context) -> tuple[str, ...]:
    """The `.sql` files that the family delivers: this stage's, the workflow's, the tickets'.

    Where none is named, the migrations among what the family changed; a way back is not one.
    """
    own = [d.path for d in ctx.stage.deliverables] if ctx.stage else []
    every = [d.path for _, d in ctx.workflow.deliverables] if ctx.workflow else []
    groups = (own, (*every, *ctx.artifacts), _ticket_paths(ctx), _changed_paths(ctx))
    for group in groups:
        found = tuple(dict.fromkeys(p for p in group if p.endswith(".sql")))
        if found:
            return tuple(p for p in found if not is_down(p)) or found
    return ()


def _changed_paths(ctx: Context) -> Iterator[str]:
    changed = ctx.changed() if ctx.changed is not None else None
    for path in sorted(changed or ()):
        if (number_of(path) or "migration" in path.lower()) and ctx.path(path).is_file():
            yield path


def _ticket_paths(ctx: Context) -> Iterator[str]:
    for text in _tickets(ctx):
        yield from _IN_TICKET.findall(text)


def _tickets(ctx: Context) -> Iterator[str]:
    for member in ctx.family:
        try:
            yield ctx.path(member.path).read_text(encoding="utf-8-sig", errors="replace")
        except (OSError, OrchestrateError):
            continue


def migration_of(ctx: Context, which: Which | None = None) -> Path | Result:
    """The path (relative to the workspace) of the migration that a claim names.

    A failed result if it is not there or is another one than the claim says, an unproven one if
    the claim could mean several.
    """
    named = which or Which()
    if named.path and "/" in named.path:
        return _present(ctx, named.path)
    known = migration_paths(ctx)
    if named.path:
        known = tuple(p for p in known if PurePosixPath(p).name == named.path) or (named.path,)
    elif named.number:
        folders = {ctx.path(p).parent: p for p in known}
        beside = [
            str(PurePosixPath(p).with_name(file.name))
            for folder, p in folders.items()
            for file in sorted(folder.glob("*.sql"))
        ]
        numbered = tuple(p for p in known if _same_number(p, named.number))
        numbered = numbered or tuple(p for p in beside if _same_number(p, named.number))
        if known and not numbered:
            return failed(f"the migration is {', '.join(known)}, not number {named.number}", *known)
        known = numbered
    if not known:
        return unproven("no stage or ticket names a migration file, so there is none to look at")
    if len(known) > 1:
        return unproven(f"could mean any of {', '.join(known)}: name one of them")
    return _present(ctx, known[0])


def _same_number(path: str, number: str) -> bool:
    own = number_of(path)
    return bool(own) and int(own) == int(number)


def _present(ctx: Context, path: str) -> Path | Result:
    file = ctx.path(path)
    if not file.is_file():
        return failed(f"{path} does not exist", path)
    if file.stat().st_size > _MAX_BYTES:
        return failed(f"{path} is larger than {_MAX_BYTES:,} bytes", path)
    return Path(path)


def subject_of(ctx: Context, which: Which | None = None) -> Subject | Result:
    """The migration that a claim names, with its proof.

    A failed result if it cannot be applied, an unproven one if that is not its own fault.
    """
    path = migration_of(ctx, which)
    if isinstance(path, Result):
        return path
    text = read_sql(ctx.path(str(path)))
    base = prerequisite_sql(ctx.root, str(path), ctx.workflow)
    proof = prove(text, ctx.services, base=base)
    if proof.blocked:
        detail = f"{path} could not be judged: {proof.blocked}"
        return unproven(detail, str(path), base=proof.base)
    if proof.first is not None:
        return failed(f"{path} cannot be applied: {proof.first}", str(path), base=proof.base)
    if proof.open:
        ctx.reserve(f"{path} may do something else on the target: {proof.open}")
    server = target_server(ctx.root, ctx.settings)
    # many statements are about one migration
    asked = ("sql.newer", server, text, tuple(base.items()))
    newer: tuple[Newer, ...] = ctx.services.share(asked, lambda: server.lacks(text, base))
    certain = [n for n in newer if not n.guarded] if server.major is not None else []
    if certain:
        needs = "; ".join(map(str, certain[:3]))
        has = f"the target has {server.major} ({server.source})"
        return failed(f"{path} cannot be applied to the target: {needs}, {has}", str(path))
    if newer:
        whose = f"{server.source} says {server.major}" if server.major else _UNKNOWN_SERVER
        ctx.reserve(f"{path} may not be applicable to the target: {newer[0]}; {whose}")
    return Subject(str(path), text, proof, base)


def proof_of(ctx: Context, path: Path) -> Proof:
    """The proof of a migration on what it stands on."""
    base = prerequisite_sql(ctx.root, str(path), ctx.workflow)
    return prove(read_sql(ctx.path(str(path))), ctx.services, base=base)


def tables_meant(
    ctx: Context, tables: Tables, which: Which | None = None
) -> tuple[Subject, tuple[Relation, ...]] | Result:
    """The migration and those of its tables that a claim is about."""
    subject = subject_of(ctx, which)
    if isinstance(subject, Result):
        return subject
    found = tables_of_claim(subject.proof, tables)
    if isinstance(found, OlderTable):
        return unproven(f"{subject.path}: {found}", subject.path)
    if isinstance(found, str):
        return subject.failed(f"{subject.path}: {found}")
    return replace(subject, older=older_tables(subject.proof)) if tables.every else subject, found


def proven_of(subject: Subject, good: str, **evidence: object) -> Result:
    """Proven, unless it is said of all tables and there are others than the migration's."""
    if subject.older:
        names = ", ".join(sorted(subject.older))
        said = f"{good}; not shown of older tables: {names} (or say “all new tables”)"
        return unproven(said, subject.path, **evidence)
    return proven(good, subject.path, **evidence)


def specification_of(ctx: Context, path: str) -> str | None:
    """The SQL that the workflow or a ticket gives for a migration, or None."""
    for _, deliverable in ctx.workflow.deliverables if ctx.workflow else ():
        block = deliverable.block
        if deliverable.path == path and block is not None and _is_ddl(block.language, block.text):
            return block.text
    for ticket in _tickets(ctx):
        for spec in ticket_file_specs(ticket):
            for block in spec.code if spec.path == path else ():
                if _is_ddl(block.language, block.text):
                    return block.text
    return None


def _is_ddl(language: str, text: str) -> bool:
    if language.lower() not in _SQL:
        return False
    try:
        return bool(parse_migration(text).statements)
    except SqlError:
        return False
