"""A check is proposed for a statement that nothing proves: tried at once, taken by USER alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator.approvals.answers import ask_again
from orchestrator.approvals.proposed import (
    ProposedCheck,
    close_proposal,
    open_proposals,
    record_proposal,
    take_proposals,
)
from orchestrator.conductor.conductor import Conductor
from orchestrator.conductor.trying import find_statement, script_path, try_check
from orchestrator.domain.agent import Job
from orchestrator.errors import UsageError
from orchestrator.family.session import Session
from orchestrator.family.untrusted_checks import untrusted_checks
from orchestrator.gates.binding import nearest
from orchestrator.gates.loading import load_binder
from orchestrator.storage.temporary import Temporary

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
        text = find_statement(session, statement)
        if not code and not command:
            path = script_path(text)
            code = _ask_agent(session, text, path)
        proposed = try_check(session, text, code, command)
        record_proposal(session.family.history, proposed, code)
        if take:
            take_proposals(session.board.root, session.family.history, [proposed])
            session.binder = load_binder(session.board.root, untrusted_checks(session.family))
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
    with Temporary("propose") as folder:
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
