"""BUILDER: makes the programs that a stage asks for, and proves them by running."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrate_agents.builder_proofs import prove
from orchestrate_agents.codegen.csv_seeder import csv_seeder, is_csv_seeder, missing_seeders
from orchestrate_agents.codegen.given import given_code
from orchestrate_agents.codegen.hook import render_client, render_hook
from orchestrate_agents.codegen.registry import is_registry_importer, registry_importer
from orchestrate_agents.codegen.snapshot import SNAPSHOT_PATH, snapshot_for
from orchestrate_agents.specification.files import FileSpec, SpecificationError
from orchestrate_agents.specification.query_module import (
    client_path,
    is_query_module,
    specified_client,
)
from orchestrate_agents.specification.stage import StageSpec
from orchestrator.domain.agent import Artifact, Job, Notice, Outcome, Report
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import Result, Verdict
from orchestrator.storage.atomic import create, inside, replace, sha256_file

_DATA = (".csv", ".tsv", ".parquet", ".xlsx")


@dataclass(frozen=True)
class Built:
    """One file and how it came to be."""

    path: str
    #: "written" or "kept"
    state: str
    #: what it was made from, in words
    how: str
    sha256: str


class Builder:
    """Renders each deliverable from its specification, or keeps what a person put there."""

    name = "BUILDER"

    def work(self, job: Job) -> Report:
        """Build, prove and report. What cannot be told from the specification asks a person."""
        site = _site(job)
        if not site.specs:
            return _person("the stage names no file to build, and its ticket none either")
        built: dict[str, Built] = {}
        problems: list[str] = []
        for spec in (*site.specs, *missing_seeders(site)):
            try:
                for file in _build(spec, site, job):
                    built.setdefault(file.path, file)
            except OrchestrateError as exc:
                problems.append(f"{spec.path}: {exc.message}" + f" ({exc.hint})" * bool(exc.hint))
        if problems:
            return _person("; ".join(problems), tuple(built.values()), _notices(site))
        return _report(job, site, tuple(built.values()))


def _site(job: Job) -> StageSpec:
    from orchestrator.workflow_reader.parser import read_workflow_text

    workflow = read_workflow_text(job.workflow_text, Path(job.workflow))
    return StageSpec(job.root, workflow, workflow.stage(job.stage), _ticket_text(job))


def _ticket_text(job: Job) -> str:
    for member in job.family:
        if member.id == job.ticket:
            try:
                file = inside(job.root, member.path)
                return file.read_text(encoding="utf-8-sig", errors="replace")
            except (OSError, OrchestrateError):
                return ""
    return ""


# --- building -----------------------------------------------------------------------------------


def _build(spec: FileSpec, site: StageSpec, job: Job) -> Iterator[Built]:
    """The file of a specification and those that it cannot do without."""
    if spec.suffix in _DATA:
        raise SpecificationError("data comes from the one who provides it, and is not built")
    main = _placed(spec.path, lambda: _content(spec, site), site, job)
    yield main
    if is_query_module(spec) and client_path(spec) and not _client_is_there(spec, site):
        text, how = render_client(specified_client(spec)), "rendered: the client that the hook uses"
        yield _placed(client_path(spec), lambda: (text, how), site, job)
    if is_registry_importer(spec) and main.state == "written":
        snapshot = snapshot_for(spec, site)
        if snapshot:
            how = "the snapshot that `--offline` loads"
            yield _placed(SNAPSHOT_PATH, lambda: (snapshot, how), site, job)


def _content(spec: FileSpec, site: StageSpec) -> tuple[str, str]:
    """The file's text and what it was made from. Raises SpecificationError."""
    if is_registry_importer(spec):
        return registry_importer(spec, site), "rendered: registry importer"
    if is_csv_seeder(spec, site):
        return csv_seeder(spec, site), "rendered: CSV seeder"
    if is_query_module(spec):
        return render_hook(spec, site), "rendered: interface from the table, functions as specified"
    clients = {client_path(s): specified_client(s) for s in site.specs if is_query_module(s)}
    if spec.path in clients:
        return render_client(clients[spec.path]), "rendered: the client that the hook uses"
    code = given_code(spec)
    if code:
        return code, "as the specification gives it"
    raise SpecificationError(
        "nothing says what goes into it",
        hint="give its code, or name the CSV and the table, or the function signatures",
    )


def _placed(path: str, content: Callable[[], tuple[str, str]], site: StageSpec, job: Job) -> Built:
    """Write the file, unless somebody else's stands there (DESIGN 5.6)."""
    file = site.path(path)
    there = sha256_file(file) if file.is_file() else ""
    if there and there != job.written.get(path):
        return Built(path, "kept", "it was there", there)
    text, how = content()
    data = text.rstrip("\n").encode() + b"\n"
    if not there:
        create(file, data)
    elif file.read_bytes() != data:
        replace(file, data)
    return Built(path, "written", how, sha256_file(file))


def _client_is_there(spec: FileSpec, site: StageSpec) -> bool:
    """Whether the import is met by a file of another form than the one that is rendered."""
    stem = client_path(spec).removesuffix(".ts")
    forms = (".tsx", ".js", ".mjs", "/index.ts")
    return any(site.path(stem + form).is_file() for form in forms)


# --- reporting ----------------------------------------------------------------------------------


def _report(job: Job, site: StageSpec, built: tuple[Built, ...]) -> Report:
    artifacts = tuple(Artifact(path=b.path, sha256=b.sha256, state=b.state) for b in built)
    notices = _notices(site)
    asked = job.findings or job.words
    if asked and all(job.written.get(b.path, b.sha256) == b.sha256 for b in built):
        return Report(
            outcome=Outcome.CANNOT,
            reason=_unchanged(job, built),
            artifacts=artifacts,
            notices=notices,
        )
    kept = {b.path for b in built if b.state == "kept"}
    proofs = prove(site, tuple(b.path for b in built), kept)
    faults = [
        f"{path}: {result.detail}"
        for path, results in proofs.items()
        for result in results
        if result.verdict is Verdict.FAILED
    ]
    return Report(
        outcome=Outcome.FAILED if faults else Outcome.DONE,
        reason="; ".join(faults),
        artifacts=artifacts,
        section=_section(built, proofs, notices),
        notices=notices,
        log=tuple(f"{b.state} {b.path} {b.sha256[:12]}" for b in built),
    )


def _unchanged(job: Job, built: Sequence[Built]) -> str:
    """Why another attempt gives nothing new: what was asked, and what the files come from."""
    asked = job.words.strip() or "; ".join(
        dict.fromkeys(f"{f.statement}: {f.detail}" for f in job.findings)
    )
    kept = [b.path for b in built if b.state == "kept"]
    why = "the specification gives the same files again"
    if kept:
        why += (
            f", and {', '.join(kept)} {'is' if len(kept) == 1 else 'are'} not BUILDER's to change"
        )
    return f"{why}; asked for: {asked[:600]}. Change the specification or the files."


def _person(reason: str, built: Sequence[Built] = (), notices: tuple[Notice, ...] = ()) -> Report:
    artifacts = tuple(Artifact(path=b.path, sha256=b.sha256, state=b.state) for b in built)
    return Report(outcome=Outcome.NEEDS_PERSON, reason=reason, artifacts=artifacts, notices=notices)


def _notices(site: StageSpec) -> tuple[Notice, ...]:
    """One for each file that another agent provides and that is not there yet."""
    return tuple(
        Notice(
            to=need.provider,
            text=f"{need.path} is needed by {site.stage.label}",
            path=need.path,
        )
        for need in site.needs
        if not site.path(need.path).is_file()
    )


def _section(
    built: Sequence[Built], proofs: dict[str, list[Result]], notices: Sequence[Notice]
) -> str:
    from orchestrate_agents.codegen.render import render

    marks = {Verdict.PROVEN: "proven", Verdict.FAILED: "failed", Verdict.UNPROVEN: "unproven"}
    seen = [
        (path, marks.get(result.verdict, str(result.verdict)), " ".join(result.detail.split()))
        for path, results in proofs.items()
        for result in results
    ]
    return render("section.md.j2", built=built, seen=seen, notices=notices).strip() + "\n"
