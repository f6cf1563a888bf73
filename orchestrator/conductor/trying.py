"""A check that is proposed for a statement: which statement is meant, and how the check does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from orchestrator.approvals.judging import all_statements
from orchestrator.approvals.proposed import FOLDER, ProposedCheck, open_proposals, record_proposal
from orchestrator.commands.definitions import define, reader
from orchestrator.domain.agent import NewCheck
from orchestrator.domain.workflow import Stage
from orchestrator.errors import MissingToolError, OrchestrateError, UsageError
from orchestrator.family.session import ProgressKind, Session
from orchestrator.gates.taken import the_prover
from orchestrator.storage.atomic import sha256_bytes

#: characters of a program; checks that are taken down of one report
_MOST_CODE, _MOST_CHECKS = 20_000, 10


def unproven_statements(session: Session) -> list[str]:
    """The statements of a family that no check fits as a whole, each once."""
    texts = dict.fromkeys(s.text for s in all_statements(session))
    return [t for t in texts if any(b.check is None for b in session.binder.bind(t))]


def script_path(statement: str) -> str:
    """Where the program for a statement lies once USER has taken it."""
    words = re.sub(r"[^a-z0-9]+", "_", statement.lower()).strip("_")[:40].strip("_") or "check"
    return f"{FOLDER}/{words}_{sha256_bytes(statement.encode('utf-8', 'replace'))[:6]}.py"


def find_statement(session: Session, statement: str) -> str:
    """The statement that is meant: by its text or, if that is clear, by a part of it."""
    texts = unproven_statements(session)
    hits = [t for t in texts if t == statement]
    hits = hits or [t for t in texts if statement.casefold() in t.casefold()]
    if len(hits) == 1:
        return hits[0]
    for text in dict.fromkeys(s.text for s in all_statements(session)):
        if statement and statement.casefold() == text.casefold() and not hits:
            names = {b.check.name for b in session.binder.bind(text) if b.check}
            raise UsageError(f"“{text}” is judged by {', '.join(sorted(names))} already")
    reported = "; ".join(f"“{t}”" for t in hits or texts) or "there is none"
    what = "several statements fit" if hits else "no statement without a check fits"
    raise UsageError(
        f"{what}: {reported}", hint='name one: --statement "…"', code="no-such-statement"
    )


def try_check(session: Session, statement: str, code: str, command: str) -> ProposedCheck:
    """Try a program (`code`) or a command on today's tree and on broken ones; nothing is stored.

    Raises UsageError for a check that cannot fail, or cannot be run.
    """
    path = "" if command else script_path(statement)
    files = {path: code.encode("utf-8")} if path else {}
    if path:
        command = f"python {path}"
        if len(code) > _MOST_CODE:
            raise UsageError(f"the program is longer than {_MOST_CODE:,} characters")
        try:
            ast.parse(code)
        except (SyntaxError, ValueError) as exc:
            raise UsageError(f"the program is not Python: {exc}") from exc
    stage = session.plan.stage(session.flow.stage)
    context = session.context(None if stage.is_checkpoint else stage)
    read = reader(session.root)
    definition = define(command, lambda name: files.get(name) or read(name))
    try:
        trial = the_prover().trial(context, command, files)
    except (ValueError, MissingToolError, OSError) as exc:
        said = exc.message if isinstance(exc, MissingToolError) else str(exc)
        raise UsageError(f"`{command}` cannot be run: {said}") from exc
    if trial.refusal:
        raise UsageError(
            f"this check proves nothing: {trial.refusal}", code="check-cannot-fail",
            hint="let it read what the statement is about, and fail where that is not as it says",
        )  # fmt: skip
    digest = sha256_bytes(files[path]) if path else ""
    trees = (trial.fails_on, trial.passes_on)
    return ProposedCheck(
        statement, command, definition.digest, path, digest, trial.today, trial.detail, *trees
    )


def record_agent_checks(session: Session, stage: Stage, checks: Iterable[NewCheck]) -> None:
    """Take down what an agent proposes, as `checks propose` does, after a trial here.

    What cannot be taken down is reported as a notice. It takes the place of nobody's proposal.
    """
    newest = {check.statement: check for check in checks}
    known = {proposed.statement for proposed in open_proposals(session.family.history)}
    for check in tuple(newest.values())[:_MOST_CHECKS]:
        try:
            text = find_statement(session, check.statement)
            if text in known:
                raise UsageError(f"another one is proposed for “{text}” already")
            proposed = try_check(session, text, check.code, check.command)
        except OrchestrateError as exc:
            reported = f"{stage.agent} proposes a check that is not taken down: {exc.in_a_line}"
        else:
            record_proposal(session.family.history, proposed, "" if check.command else check.code)
            reported = f"{stage.agent} proposes a check for “{text}”; the next question lists it"
        session.report_progress(
            ProgressKind.NOTICE, reported, stage=stage.number, agent=stage.agent
        )
