"""SOOP writes the migration: from the stage's SQL, made re-runnable, and proven."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrate_agents import preparing
from orchestrate_agents.soop_section import render_section, view
from orchestrate_agents.sql.destructive import destructive_changes
from orchestrate_agents.sql.header import Header
from orchestrate_agents.sql.migration_series import clashes, next_free, number_of, read_sql
from orchestrate_agents.sql.natural_key import seeded_tables
from orchestrate_agents.sql.parse import SqlError, parse_migration
from orchestrate_agents.sql.prerequisites import needs_of, prerequisite_sql
from orchestrate_agents.sql.prove import Proof, prove
from orchestrate_agents.sql.rerunnable import Rerunnable, SpecChange, make_rerunnable
from orchestrator.domain.agent import Artifact, Job, Outcome, Report
from orchestrator.domain.workflow import Stage, Workflow
from orchestrator.gates.checks import Services
from orchestrator.gates.proof_cache import user_proof_cache
from orchestrator.storage.atomic import create, inside, replace, sha256_bytes

if TYPE_CHECKING:
    from orchestrate_agents.specification.files import FileSpec

_SQL = ("sql", "postgresql", "postgres", "psql", "pgsql", "")


class _StopError(Exception):
    """The work ends here, with this report."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.report = Report(outcome=outcome, reason=reason)


@dataclass(frozen=True)
class _Migration:
    """A migration file that the stage asks for, with its specification."""

    path: str
    #: the SQL, and where it stands (`file:line`)
    sql: str
    source: str

    @property
    def offset(self) -> int:
        """Lines of the document above the SQL's first statement or comment."""
        blank = len(self.sql) - len(self.sql.lstrip("\n"))
        return int(self.source.rpartition(":")[2]) + blank


@dataclass(frozen=True)
class _Written:
    """A migration that lies in the workspace, with its proof."""

    migration: _Migration
    artifact: Artifact
    text: str
    changes: tuple[SpecChange, ...]
    proof: Proof


class Soop:
    """Writes and proves SQL migrations. Never runs one on a target."""

    name = "SOOP"

    @staticmethod
    def prepare() -> None:
        """Load what the work needs, before there is any."""
        preparing.load(*preparing.SERVER)

    def work(self, job: Job) -> Report:
        """Write the stage's migrations, or say why not."""
        try:
            wanted = _wanted(job)
            # the stage's gate proves none of it again on the very same bytes
            with Services(user_proof_cache()) as services:
                written = [_write(job, migration, services) for migration in wanted]
        except _StopError as stop:
            return stop.report
        return _report(job, written)


def _workflow(job: Job) -> Workflow:
    from orchestrator.workflow_reader.parser import read_workflow_text

    return read_workflow_text(job.workflow_text, Path(job.workflow))


def _wanted(job: Job) -> tuple[_Migration, ...]:
    workflow = _workflow(job)
    stage = workflow.stage(job.stage)
    found = tuple(_specified(job, stage))
    if not found:
        reason = f"stage {stage.number} names no .sql file to write: name one, with its SQL"
        raise _StopError(Outcome.NEEDS_PERSON, f"{job.workflow}:{stage.line}: {reason}")
    return found


def _specified(job: Job, stage: Stage) -> Iterator[_Migration]:
    from orchestrate_agents.specification.files import stage_file_specs

    ticket_path, ticket = _ticket(job)
    workflow_paths = {d.path for d in stage.deliverables}
    specs = [s for s in stage_file_specs(stage, ticket) if s.suffix == ".sql"]
    if not specs:
        yield from _in_ticket(ticket_path, ticket)
    for spec in specs:
        where = job.workflow if spec.path in workflow_paths else ticket_path
        yield _of_spec(job, spec, where, ticket_path, ticket)


def _of_spec(job: Job, spec: FileSpec, where: str, ticket_path: str, ticket: str) -> _Migration:
    for block in spec.code:
        if block.language.lower() in _SQL and block.text.strip():
            home = where if block is spec.block else ticket_path
            return _Migration(spec.path, block.text, f"{home}:{block.line}")
    alone = list(_blocks(ticket))
    if len(alone) == 1:
        line, sql = alone[0]
        return _Migration(spec.path, sql, f"{ticket_path}:{line}")
    file = inside(job.root, spec.path)
    if file.is_file():
        # somebody has written it already, so it is all there is to go by
        return _Migration(spec.path, read_sql(file), f"{spec.path}:0")
    raise _StopError(
        Outcome.NEEDS_PERSON,
        f"{where}:{spec.line}: `{spec.path}` has no SQL to be made from: add its SQL as a fenced "
        "`sql` block below, or write the file",
    )


def _ticket(job: Job) -> tuple[str, str]:
    member = next((m for m in job.family if m.id == job.ticket), None)
    if member is None:
        return "", ""
    file = inside(job.board_root, member.path)
    text = file.read_text(encoding="utf-8-sig", errors="replace") if file.is_file() else ""
    return member.path, text


_NAMED = re.compile(r"`([\w.@+-]+(?:/[\w.@+-]+)*\.sql)`")


def _in_ticket(path: str, ticket: str) -> Iterator[_Migration]:
    """A ticket that names one `.sql` file and holds one SQL block needs no more."""
    names = tuple(dict.fromkeys(_NAMED.findall(ticket)))
    blocks = list(_blocks(ticket))
    if len(names) == 1 and len(blocks) == 1:
        line, sql = blocks[0]
        yield _Migration(names[0], sql, f"{path}:{line}")


def _blocks(markdown: str) -> Iterator[tuple[int, str]]:
    from markdown_it import MarkdownIt

    for token in MarkdownIt("commonmark").parse(markdown):
        language = (token.info.split() or [""])[0].lower() if token.type == "fence" else None
        if language and language in _SQL:
            yield (token.map or [0])[0] + 1, token.content


def _write(job: Job, migration: _Migration, services: Services) -> _Written:
    path = inside(job.root, migration.path)
    _check_number(migration.path, path)
    before = path.read_bytes() if path.is_file() else None
    if before is not None and sha256_bytes(before) != job.written.get(migration.path):
        return _keep(job, migration, before, services)
    made = _transform(job, migration)
    data = made.text.encode("utf-8")
    if before == data and (job.words or job.findings):
        raise _StopError(Outcome.CANNOT, _same_again(job, migration))
    proof = prove(made.text, services, base=_base(job, migration))
    _demand_proof(migration, proof)
    if before is None:
        create(path, data)
    elif before != data:
        replace(path, data, before)
    artifact = Artifact(path=migration.path, sha256=sha256_bytes(data))
    return _Written(migration, artifact, made.text, made.changes, proof)


def _keep(job: Job, migration: _Migration, data: bytes, services: Services) -> _Written:
    """A file that SOOP did not write last: proven as it is, not overwritten."""
    text = read_sql(inside(job.root, migration.path))
    proof = prove(text, services, base=_base(job, migration))
    problem = _problem(proof)
    if problem:
        reason = f"{migration.path} was changed by someone else and is not overwritten; {problem}"
        raise _StopError(Outcome.CANNOT, reason)
    artifact = Artifact(path=migration.path, sha256=sha256_bytes(data), state="kept")
    return _Written(migration, artifact, text, (), proof)


def _base(job: Job, migration: _Migration) -> dict[str, str]:
    return prerequisite_sql(job.root, migration.path, _workflow(job))


def _check_number(name: str, path: Path) -> None:
    others = clashes(path)
    if others:
        folder = Path(name).parent
        both = " and ".join([f"`{name}`", *(f"`{folder / o.name}`" for o in others)])
        raise _StopError(
            Outcome.NEEDS_PERSON,
            f"{both} have one number; the next free one is {next_free(path.parent):03}: "
            "rename one of them, or change the number in the workflow",
        )


def _transform(job: Job, migration: _Migration) -> Rerunnable:
    header = Header(number_of(migration.path), job.ticket, migration.source)
    texts = [job.workflow_text, *_family_texts(job)]
    try:
        tables = parse_migration(migration.sql).tables
        seeded = seeded_tables(tables, texts)
        return make_rerunnable(migration.sql, header=header, seeded=seeded)
    except SqlError as error:
        where = migration.source.rpartition(":")[0]
        at = f"{where}:{migration.offset + (error.line or 1)}"
        reason = f"{at}: the SQL of the specification cannot be read: {error.message}"
        raise _StopError(Outcome.NEEDS_PERSON, reason) from error


def _family_texts(job: Job) -> Iterator[str]:
    for member in job.family:
        file = inside(job.board_root, member.path)
        if file.is_file():
            yield file.read_text(encoding="utf-8-sig", errors="replace")


_MISSING = ("42P01", "3F000", "42704", "42883")


def _demand_proof(migration: _Migration, proof: Proof) -> None:
    problem = _problem(proof)
    if not problem or proof.blocked or proof.only_published_again:
        return
    if proof.first is not None and proof.first.code in _MISSING:
        reason = (
            f"{migration.path} builds on something that no earlier migration of its folder makes "
            f"({proof.base}): {proof.first}; add what it needs, so that it can be proven"
        )
        raise _StopError(Outcome.NEEDS_PERSON, reason)
    raise _StopError(Outcome.FAILED, f"{migration.path} ({migration.source}): {problem}")


def _ran(proof: Proof) -> str:
    if proof.blocked:
        return f"not proven here ({proof.blocked})"
    again = "once" if proof.second is not None else "twice"
    differs = f"; on a target it may do something else: {proof.open}" if proof.open else ""
    return f"{_tables(len(proof.tables))}, applied {again}{differs}"


def _problem(proof: Proof) -> str:
    """Why the proof does not hold, or ""."""
    if proof.first is not None:
        return f"it cannot be applied: {proof.first}"
    if proof.misshapen:
        return "a table of another shape stands in the way: " + "; ".join(proof.misshapen)
    if proof.second is not None:
        return f"it cannot be applied a second time: {proof.second}"
    if proof.diff:
        return "a second run changes the catalog: " + "; ".join(proof.diff[:4])
    if proof.rows_changed:
        return "a second run changes rows: " + "; ".join(proof.rows_changed)
    return ""


def _same_again(job: Job, migration: _Migration) -> str:
    asked = job.words.strip() or "; ".join(dict.fromkeys(f.statement for f in job.findings))
    return (
        f"the specification ({migration.source}) still gives the same {migration.path}; what was "
        f"asked for is not in it: “{asked}”. Change the SQL there, or the file itself"
    )


def _report(job: Job, written: list[_Written]) -> Report:
    views = [
        view(
            path=one.migration.path,
            sha256=one.artifact.sha256,
            kept=one.artifact.state == "kept",
            source=f"`{one.migration.source.removesuffix(':0')}`",
            needs=str(needs_of(parse_migration(one.migration.sql))),
            offset=one.migration.offset,
            changes=one.changes,
            proof=one.proof,
            destructive=destructive_changes(one.text, one.proof.existing),
        )
        for one in written
    ]
    log = tuple(
        f"{one.migration.path}: {_ran(one.proof)}, "
        f"{len(one.changes)} changes against the specification"
        for one in written
    )
    artifacts = tuple(one.artifact for one in written)
    section = render_section(views)
    return Report(outcome=Outcome.DONE, artifacts=artifacts, section=section, log=log)


def _tables(number: int) -> str:
    return "1 table" if number == 1 else f"{number} tables"
