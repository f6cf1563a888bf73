"""A check is proposed for a statement that nothing proves: tried at once, taken by USER alone."""

from __future__ import annotations

import ast
import re
import shutil
import tempfile
from pathlib import Path

from orchestrator.approvals.answers import ask_again
from orchestrator.approvals.judging import all_statements
from orchestrator.approvals.proposed import (
    FOLDER,
    ProposedCheck,
    close_proposal,
    open_proposals,
    record_proposal,
    take_proposals,
)
from orchestrator.commands.definitions import define, reader
from orchestrator.conductor.conductor import Conductor
from orchestrator.domain.agent import Job
from orchestrator.errors import MissingToolError, UsageError
from orchestrator.family.session import Session
from orchestrator.family.untrusted_checks import untrusted_checks
from orchestrator.gates.binding import Binder, nearest
from orchestrator.gates.checks import load_checks
from orchestrator.gates.taken import the_prover
from orchestrator.storage.atomic import sha256_bytes

_MOST_CODE = 20_000
_NOT_COPIED = (".git", ".orchestrate", "node_modules", ".venv", "venv", "__pycache__", ".env")
_ASK = """\
Write a check into `{path}`: a Python program that ends with exit code 0 only if this statement
holds, and else says in one line why it does not: “{statement}”
It is run at the top of a copy of the workspace, without network and keys. It has to look at the
thing itself, so that it fails where files are missing, empty or spoilt. Change nothing else.
"""
_SCAFFOLD = '''\
"""Ends with exit code 0 only if this holds: {statement}

It is run at the top of a copy of the workspace, without network and keys.
"""

import sys
from pathlib import Path

root = Path.cwd()
{near}sys.exit("not written yet: look at what the statement is about")
'''


def unproven_statements(session: Session) -> list[str]:
    """The statements of a family that no check fits as a whole, each once."""
    texts = dict.fromkeys(s.text for s in all_statements(session))
    return [t for t in texts if any(b.check is None for b in session.binder.bind(t))]


def propose_check(
    conductor: Conductor,
    id: str,
    statement: str,
    *,
    code: str = "",
    command: str = "",
    take: bool = False,
) -> ProposedCheck:
    """Propose a Python program (`code`) or a command as the proof of a statement of a family.

    It is tried on today's tree and on broken ones. The next question lists it, and approving takes
    it; `take`: USER takes it now. Raises UsageError for a check that cannot fail, cannot be run, or
    is not needed.
    """
    with conductor.opener.open_session(id) as session:
        text = _find(session, statement)
        if not code and not command:
            path = script_path(text)
            code = _ask_agent(session, text, path)
        proposed = _try(session, text, code, command)
        record_proposal(session.family.history, proposed, code)
        if take:
            take_proposals(session.board.root, session.family.history, [proposed])
            session.binder = Binder(
                load_checks(session.board.root, untrusted_checks(session.family))
            )
        if session.flow.question is not None:
            how = "taken" if take else "proposed"
            ask_again(session, session.flow.question, [f"a check is {how} for “{text}”"])
        return proposed


def drop_proposals(conductor: Conductor, id: str, statement: str = "") -> list[str]:
    """Take proposals back: that of a statement, or all of a family; returns their statements."""
    with conductor.opener.open_session(id) as session:
        history = session.family.history
        wanted = statement.casefold()
        found = [p.statement for p in open_proposals(history) if wanted in p.statement.casefold()]
        for each in found:
            close_proposal(history, each, "dropped")
        if found and session.flow.question is not None:
            ask_again(session, session.flow.question, ["proposed checks are dropped"])
        return found


def scaffold(session: Session, statement: str) -> str:
    """The beginning of a program for a statement, with the checks that are nearest to it."""
    near = (
        f"# near: {check.name}: {check.summary}\n"
        for check in nearest(statement, session.binder.checks)
    )
    said = statement.replace("\\", "/").replace('"""', "'''")
    return _SCAFFOLD.format(statement=said, near="".join(near))


def script_path(statement: str) -> str:
    """Where the program for a statement lies once USER has taken it."""
    words = re.sub(r"[^a-z0-9]+", "_", statement.lower()).strip("_")[:40].strip("_") or "check"
    return f"{FOLDER}/{words}_{sha256_bytes(statement.encode('utf-8', 'replace'))[:6]}.py"


def _find(session: Session, statement: str) -> str:
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
    told = "; ".join(f"“{t}”" for t in hits or texts) or "there is none"
    what = "several statements fit" if hits else "no statement without a check fits"
    raise UsageError(f"{what}: {told}", hint='name one: --statement "…"', code="no-such-statement")


def _try(session: Session, statement: str, code: str, command: str) -> ProposedCheck:
    path = "" if command else script_path(statement)
    files = {path: code.encode("utf-8")} if path else {}
    if path:
        command = f"python {path}"
        if len(code) > _MOST_CODE:
            raise UsageError(f"the program is longer than {_MOST_CODE:,} characters")
        try:
            ast.parse(code)
        except (SyntaxError, ValueError) as exc:
            raise UsageError(f"the program is no Python: {exc}") from exc
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


def _ask_agent(session: Session, statement: str, path: str) -> str:
    """What an agent of the workspace writes as the check, in a copy of its own.

    Raises UsageError (code `no-agent`) where no agent is a command, or it wrote nothing.
    """
    named = [(name, s) for name, s in session.settings.agents.items() if s.command]
    if not named:
        aside = session.board.root / ".orchestrate" / "proposals" / Path(path).name
        aside.parent.mkdir(parents=True, exist_ok=True)
        if not aside.exists():
            aside.write_text(scaffold(session, statement), encoding="utf-8")
        shown = aside.relative_to(session.board.root)
        raise UsageError(
            f"no agent here is a command that could write the check; {shown} is a beginning of one",
            hint=f"fill it in, then: orchestrate checks propose {session.plan.parent} "
            f'--statement "…" --from {shown}',
            code="no-agent",
        )
    name, settings = named[0]
    with tempfile.TemporaryDirectory(prefix="orchestrate-propose-") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(
            session.root, copy, ignore=shutil.ignore_patterns(*_NOT_COPIED), symlinks=True
        )
        job = Job(
            ticket=session.plan.parent,
            parent=session.plan.parent,
            family=session.family.members(),
            stage=session.flow.stage,
            agent=name,
            workspace=str(copy),
            workflow=session.flow.workflow,
            workflow_text=session.workflow.text,
            words=_ASK.format(path=path, statement=statement),
        )
        report = session.dispatcher.dispatch(job, settings, session.lock_fd)
        made = copy / path
        if made.is_file() and not made.is_symlink():
            return made.read_text(encoding="utf-8", errors="replace")
    why = report.reason or "it reports no reason"
    raise UsageError(f"{name} wrote no check into {path}: {why}", code="no-agent")
