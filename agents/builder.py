"""BUILDER: writes the programs that a stage specifies, and proves them by running."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrate_agents import preparing
from orchestrate_agents.builder_proofs import prove_files
from orchestrate_agents.codegen.csv_seeder import is_csv_seeder, missing_seeders, render_csv_seeder
from orchestrate_agents.codegen.generators import Generated, generator_for
from orchestrate_agents.codegen.hook import render_client, render_hook
from orchestrate_agents.codegen.render import given_code, render
from orchestrate_agents.specification.files import FileSpec, SpecificationError
from orchestrate_agents.specification.query_module import (
    client_path,
    is_query_module,
    specified_client,
)
from orchestrate_agents.specification.stage import StageSpec
from orchestrator.domain.agent import Artifact, Job, Notice, Outcome, Report
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import Verdict
from orchestrator.storage.atomic import create, inside, replace, sha256_file

_DATA = (".csv", ".tsv", ".parquet", ".xlsx")
_CLIENT_ORIGIN = "rendered: the client that the hook uses"


@dataclass(frozen=True)
class BuiltFile:
    """One file and where it came from."""

    path: str
    #: "written" or "kept"
    state: str
    #: what it was made from, in words
    origin: str
    sha256: str


class Builder:
    """Renders each deliverable from its specification, or keeps what somebody else put there."""

    name = "BUILDER"

    @staticmethod
    def prepare() -> None:
        """Load what the work needs, before there is any."""
        preparing.load(*preparing.SERVER, "orchestrate_backend.trials.importer", checks=True)

    def work(self, job: Job) -> Report:
        """Build, prove and report; ask a person about what the specification does not say."""
        from orchestrator.workflow_reader.parser import read_workflow_text

        workflow = read_workflow_text(job.workflow_text, Path(job.workflow))
        stage = StageSpec(job.root, workflow, workflow.stage(job.stage), _ticket_text(job))
        if not stage.specs:
            return Report(
                outcome=Outcome.NEEDS_PERSON,
                reason="the stage names no file to build, nor does its ticket",
            )
        built: dict[str, BuiltFile] = {}
        problems: list[str] = []
        for spec in (*stage.specs, *missing_seeders(stage)):
            try:
                for file in _build(spec, stage, job):
                    built.setdefault(file.path, file)
            except OrchestrateError as exc:
                hint = f" ({exc.hint})" if exc.hint else ""
                problems.append(f"{spec.path}: {exc.message}{hint}")
        files = tuple(built.values())
        artifacts = tuple(Artifact(path=f.path, sha256=f.sha256, state=f.state) for f in files)
        report = Report(
            outcome=Outcome.NEEDS_PERSON,
            reason="; ".join(problems),
            artifacts=artifacts,
            notices=_missing_inputs(stage),
        )
        if problems:
            return report
        if (job.findings or job.words) and all(
            job.written.get(f.path, f.sha256) == f.sha256 for f in files
        ):
            reason = _nothing_new(job, files)
            return report.model_copy(update={"outcome": Outcome.CANNOT, "reason": reason})
        return _proved(report, stage, files)


def _ticket_text(job: Job) -> str:
    member = next((m for m in job.family if m.id == job.ticket), None)
    if member is None:
        return ""
    try:
        return inside(job.board_root, member.path).read_text(encoding="utf-8-sig", errors="replace")
    except (OSError, OrchestrateError):
        return ""


# -- building ------------------------------------------------------------------------------------


def _build(spec: FileSpec, stage: StageSpec, job: Job) -> Iterator[BuiltFile]:
    """The specified file, and those that it needs."""
    if spec.suffix in _DATA:
        raise SpecificationError("data is provided, not built")
    kept = _keep(spec.path, stage, job)
    yield kept or _write(_generate(spec, stage), stage)
    needed: list[Generated] = []
    if is_query_module(spec) and (path := client_path(spec)):
        stem = path.removesuffix(".ts")
        # the import may be met by a file of another form than the one that is rendered
        others = (stem + form for form in (".tsx", ".js", ".mjs", "/index.ts"))
        if not any(stage.path(other).is_file() for other in others):
            needed.append(Generated(path, render_client(specified_client(spec)), _CLIENT_ORIGIN))
    generator = generator_for(spec, stage)
    if generator is not None and kept is None:
        needed.extend(generator.companions(spec, stage))
    for file in needed:
        yield _keep(file.path, stage, job) or _write(file, stage)


def _generate(spec: FileSpec, stage: StageSpec) -> Generated:
    """The file's text. Raises SpecificationError."""
    generator = generator_for(spec, stage)
    if generator is not None:
        return generator.generate(spec, stage)
    if is_csv_seeder(spec, stage):
        return Generated(spec.path, render_csv_seeder(spec, stage), "rendered: CSV seeder")
    if is_query_module(spec):
        origin = "rendered: interface from the table, functions as specified"
        return Generated(spec.path, render_hook(spec, stage), origin)
    hooks = [other for other in stage.specs if is_query_module(other)]
    clients = {client_path(hook): specified_client(hook) for hook in hooks}
    if spec.path in clients:
        return Generated(spec.path, render_client(clients[spec.path]), _CLIENT_ORIGIN)
    code = given_code(spec)
    if code:
        return Generated(spec.path, code, "as given in the specification")
    raise SpecificationError(
        "nothing says what goes into it",
        hint="give its code, or name the CSV and the table, or the function signatures",
    )


def _keep(path: str, stage: StageSpec, job: Job) -> BuiltFile | None:
    """The file that is there already, if somebody else wrote it (DESIGN 5.6)."""
    file = stage.path(path)
    digest = sha256_file(file) if file.is_file() else ""
    if digest and digest != job.written.get(path):
        return BuiltFile(path, "kept", "already there", digest)
    return None


def _write(generated: Generated, stage: StageSpec) -> BuiltFile:
    file = stage.path(generated.path)
    data = generated.text.rstrip("\n").encode() + b"\n"
    if not file.is_file():
        create(file, data)
    elif file.read_bytes() != data:
        replace(file, data)
    return BuiltFile(generated.path, "written", generated.origin, sha256_file(file))


# -- reporting -----------------------------------------------------------------------------------


def _proved(report: Report, stage: StageSpec, built: Sequence[BuiltFile]) -> Report:
    """The report with what running the files showed."""
    kept = {file.path for file in built if file.state == "kept"}
    proofs = prove_files(stage, [file.path for file in built], kept)
    faults = [f"{p}: {r.detail}" for p, r in proofs if r.verdict is Verdict.FAILED]
    seen = [(path, str(r.verdict), " ".join(r.detail.split())) for path, r in proofs]
    section = render("section.md.j2", built=built, seen=seen, notices=report.notices)
    return report.model_copy(
        update={
            "outcome": Outcome.FAILED if faults else Outcome.DONE,
            "reason": "; ".join(faults),
            "section": section.strip() + "\n",
            "log": tuple(f"{file.state} {file.path} {file.sha256[:12]}" for file in built),
        }
    )


def _nothing_new(job: Job, built: Sequence[BuiltFile]) -> str:
    """Why another attempt changes nothing: what was asked for, and where the files come from."""
    findings = dict.fromkeys(f"{f.statement}: {f.detail}" for f in job.findings)
    asked = job.words.strip() or "; ".join(findings)
    kept = [file.path for file in built if file.state == "kept"]
    why = "the specification gives the same files again"
    if kept:
        verb = "is" if len(kept) == 1 else "are"
        why += f", and {', '.join(kept)} {verb} not BUILDER's to change"
    return f"{why}; asked for: {asked[:600]}. Change the specification or the files."


def _missing_inputs(stage: StageSpec) -> tuple[Notice, ...]:
    """One notice per file that another agent provides and that is not there yet."""
    return tuple(
        Notice(
            to=need.provider,
            text=f"{need.path} is needed by {stage.stage.label}",
            path=need.path,
        )
        for need in stage.needs
        if not stage.path(need.path).is_file()
    )
