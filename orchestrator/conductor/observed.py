"""An agent at work, observed: what it changed is looked at, not what it says (DESIGN 5.6a).

What lies outside of what it may change is refused; a refused or failed attempt is taken back before
the next one begins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from orchestrator.agent_process.confinement import ability
from orchestrator.agent_process.worker import own_agents
from orchestrator.changes.compare import shown
from orchestrator.changes.take_back import take_back, unstage
from orchestrator.changes.tool_files import KIND, changed_tools, tool_files
from orchestrator.domain.agent import Artifact, Job, Outcome, Report
from orchestrator.domain.id_grammar import id_from_name
from orchestrator.domain.workflow import Stage, Statement
from orchestrator.errors import OrchestrateError, UnsafePathError
from orchestrator.family.attempt_files import AGENT, COMMITTED, UNKNOWN, Seen, Worker, pack
from orchestrator.family.guarded import PutBack
from orchestrator.family.kept_criteria import keep_files, keep_removed, read_each, read_files
from orchestrator.family.session import ProgressKind, Session
from orchestrator.git.command import GitError
from orchestrator.git.hooked import hook_folder
from orchestrator.git.listing import read_settings
from orchestrator.git.unsafe_settings import is_unsafe_setting
from orchestrator.markdown.frontmatter import Document
from orchestrator.settings.board import FILE

#: paths that a message names
_NAMED = 8
#: git's settings that a person's own git writes all the time
_COMMON_SETTINGS = frozenset({".git/config", ".git/config.worktree"})


def dispatch(session: Session, stage: Stage, job: Job) -> tuple[Report, Seen]:
    """Let an agent work; its report as far as it is true, and what it changed.

    Raises StoppedError, and GitError where git fails in a repository.
    """
    log, worker, places = session.changes, session.worker_of(stage), session.places_to_look_at()
    free = not _is_confined(session, stage.agent)
    log.open(worker, places, free=free)
    session.family.history.append(
        "dispatch", stage=stage.number, attempt=job.attempt, agent=stage.agent
    )
    settings = session.settings.agent(stage.agent)
    demanded = read_each(session.flow.members, session.criteria)
    files = read_files(session.flow.members, session.written_files)
    tools = tool_files(log.tree)
    undone: list[PutBack] = []
    if free:
        session.watch.enter(worker)
    try:
        try:
            tell = partial(_tell_of_work, session, job)
            report = session.dispatcher.dispatch(job, settings, session.lock_fd, tell)
        finally:
            if free:
                undone = session.watch.leave(worker, f"{_kept(worker)}/undone")
                _tell_undone(session, stage, undone)
    except BaseException:
        with contextlib.suppress(OrchestrateError, OSError):
            _refuse_checkout(session)
            log.stop(worker, places)
        raise
    refused = _refuse_checkout(session)
    _keep_what_rules(session, stage, demanded, files)
    _tell_changed_tools(session, stage, job.attempt, tools)
    notes = [f"undone: {each.path} was {each.how}{_where(each)}" for each in undone]
    if free and settings.adapter:
        notes.append(f"it was not confined to its checkout: {ability().sentence}")
    seen = log.close(worker, places, notes, keep=bool(settings.adapter))
    if refused:
        report = _refused(report, f"{stage.agent} {refused}")
    report = judge_report(session, stage, report, seen, undone)
    if report.outcome is not Outcome.DONE:
        log.keep_end(worker)
    if report.outcome is Outcome.NEEDS_PERSON:
        log.hand_to_person(worker)
    return report, seen


def _tell_of_work(session: Session, job: Job, text: str) -> None:
    """Write down what happens to a job on its way to a worker and back."""
    about = {"stage": job.stage, "attempt": job.attempt, "turn": job.turn, "agent": job.agent}
    session.family.history.append("worker", **about, text=text)
    session.report_progress(
        ProgressKind.NOTICE, f"{job.agent}: {text}", stage=job.stage, agent=job.agent
    )


def _refuse_checkout(session: Session) -> str:
    """What an agent did to the checkout so that nothing of it could land, or ""."""
    if session.checkout is None:
        return ""
    if wrong := session.checkout.repair(session.settings.board.folder):
        return f"took the checkout away from git: {wrong}; it was made again"
    if made := session.checkout.take_board(session.settings.board.folder):
        return f"made {_names(made)}: the board is the conductor's, and no part of its checkout"
    if inner := session.checkout.take_inner():
        return f"made {_names(inner)} a git repository of its own, whose files would not land"
    return ""


def _is_confined(session: Session, name: str) -> bool:
    """Whether an agent cannot write to the board: what changes there is then a person's.

    Those of this program and in this process do not: their code is the conductor's, and what they
    run for a workspace is confined.
    """
    if name in session.dispatcher.inside:
        return True
    settings, root = session.settings.agent(name), session.board.root.resolve()
    if not settings.adapter:
        return not settings.command and name in own_agents()
    if session.checkout is None or not ability().confines:
        return False
    further = [Path.home().joinpath(Path(p).expanduser()).resolve() for p in settings.write]
    return not any(p == root or p in root.parents or root in p.parents for p in further)


def _tell_undone(session: Session, stage: Stage, undone: Sequence[PutBack]) -> None:
    """Tell USER what was put back, and how to take it up again if it was theirs."""
    for each in undone:
        text = (
            f"while {stage.agent} worked, {shown(each.path)} was {each.how}, which only you and "
            f"the conductor may: {'not undone' if each.left else 'undone'}{_where(each)}"
        )
        if each.how == "removed" and not each.left:
            text += ". If that was you, remove it again now"
        elif not each.left:
            text += ". If that was you, take what you wrote from there, now that it has ended"
        session.family.history.append("notice", to="USER", text=text, stage=stage.number)
        session.report_progress(ProgressKind.NOTICE, text, stage=stage.number, agent=stage.agent)


def _where(each: PutBack) -> str:
    if each.left:
        return f" ({each.left}): look at it"
    return f"; that version is {each.kept}" if each.kept else ""


def _keep_what_rules(
    session: Session,
    stage: Stage,
    demanded: Mapping[str, tuple[Statement, ...]],
    files: Mapping[str, tuple[str, ...]],
) -> None:
    """Criteria and `files:` that were edited while the agent worked stay in force, and are told."""
    history = session.family.history
    texts = [
        f"{lost.ticket}: “{lost.text}” was removed or edited while {stage.agent} worked; it is "
        "judged all the same. If that was you, accept it at the question"
        for lost in keep_removed(history, demanded, read_each(demanded, session.criteria))
    ]
    written = read_files(files, session.written_files)
    texts += [
        f"{member}: `files:` was edited while {stage.agent} worked; the former ones count until "
        "you answer or resume"
        for member in keep_files(history, files, written)
    ]
    for text in texts:
        history.append("notice", to="USER", text=text, stage=stage.number)
        session.report_progress(ProgressKind.NOTICE, text, stage=stage.number, agent=stage.agent)


def _tell_changed_tools(
    session: Session, stage: Stage, attempt: int, before: Mapping[str, str]
) -> None:
    """Write down which of the workspace's tools are others now; what they prove stays open."""
    files = changed_tools(before, tool_files(session.changes.tree))
    if not files:
        return
    history = session.family.history
    history.append(KIND, stage=stage.number, attempt=attempt, agent=stage.agent, files=files)
    text = (
        f"{_names(sorted(files))} changed while {stage.agent} worked: what these tools prove is "
        "unproven until they are as they were, or until you answer"
    )
    history.append("notice", to="USER", text=text, stage=stage.number)
    session.report_progress(ProgressKind.NOTICE, text, stage=stage.number, agent=stage.agent)


def _refused(report: Report, reason: str) -> Report:
    """A failed report in the place of one that is not taken; what it cost stays."""
    cost = {name: getattr(report, name) for name in ("session", "usage", "seconds")}
    return Report(outcome=Outcome.FAILED, reason=reason, **cost)


def judge_report(
    session: Session, stage: Stage, report: Report, seen: Seen, undone: Sequence[PutBack] = ()
) -> Report:
    """The report with what was really changed; a failed one if that, or a claim, is refused.

    `undone`: what had to be put back before.
    """
    made, unclear = _find_forbidden(session, seen)
    if undone and not made:
        paths = _names([each.path for each in undone])
        made = f"is refused: while it worked, {paths} changed, which only you and the conductor may"
    if seen.is_record_altered and not made:
        why = "the record by which changes are seen (.orchestrate/changes) was removed or altered"
        made = f"is refused: while it worked, {why}"
    if made or (report.outcome is not Outcome.FAILED and (made := _find_false(session, report))):
        # nothing of a false report is kept (DESIGN 5, 8.4)
        report = _refused(report, f"{stage.agent} {made}")
    elif unclear and report.outcome in (Outcome.DONE, Outcome.CANNOT):
        report = report.model_copy(update={"outcome": Outcome.CANNOT, "reason": unclear})
    if report.outcome is Outcome.FAILED:
        kept = f"; what it left is kept in {_kept(seen.worker)}" if _undoable(seen) else ""
        return report.model_copy(update={"artifacts": (), "reason": f"{report.reason}{kept}"})
    return report.model_copy(update={"artifacts": tuple(_artifacts(session, report, seen))})


def _find_forbidden(session: Session, seen: Seen) -> tuple[str, str]:
    """What the agent changed and must not, and what somebody changed while nobody looked."""
    worker, frozen = seen.worker, session.settings.frozen
    iced = [p for p in seen.paths if any(fnmatchcase(p, pattern) for pattern in frozen)]
    outside = [
        p for p in seen.paths if not worker.may_change(p) and p not in (*iced, *_COMMON_SETTINGS)
    ]
    beyond = [p for p in seen.paths if p.startswith("../")]
    rules_of_work = {FILE, session.settings.approval.signers} if session.checkout else set()
    settings = [p for p in seen.paths if p in rules_of_work and not worker.files]
    unsafe = _find_unsafe_settings(session, seen)
    keys = ", ".join(key for found in unsafe.values() for key in found)
    named = f": {keys}" if keys else ""
    rules = (
        (list(unsafe), f"by which git would run programs or look elsewhere{named}"),
        (iced, "which is frozen (orchestrate.toml)"),
        (settings, f"by which work is judged (name it in the `files:` of {worker.ticket})"),
        (beyond, "which is outside of the workspace"),
        (outside, f"which is outside of the `files:` of {worker.ticket}"),
    )
    for paths, rule in rules:
        if found := sorted(p for p in paths if {AGENT, COMMITTED} & seen.by[p] == {AGENT}):
            return f"changed {_names(found)}, {rule}", ""
    for paths, rule in rules:
        found = sorted(p for p in paths if {UNKNOWN, COMMITTED} & seen.by[p])
        if found:
            how = "came with a commit or a checkout while"
            if any(UNKNOWN in seen.by[p] for p in found):
                how = "changed while the conductor was stopped, before"
            why = f"{_names(found)}, {rule}, {how} {worker.agent} was done; by the agent, or by you"
            return "", why
    return "", ""


def _find_unsafe_settings(session: Session, seen: Seen) -> dict[str, list[str]]:
    """Hooks, and git's settings by which a program would run → the keys that have changed.

    The conductor's own commits would run what they name before anybody has seen it.
    """
    tree, found = session.changes.tree, dict[str, list[str]]()
    hooks = _team_hooks(session.root) if seen.paths else ()
    for path in seen.paths:
        is_named = bool(seen.worker.files) and seen.worker.may_change(path)
        if path.startswith(".git/hooks/") or (path.startswith(hooks) and not is_named):
            found[path] = []
        elif path in _COMMON_SETTINGS and seen.before is not None:
            try:
                now = tree.place(path).read_bytes() if tree.entry(path).is_file else b""
                texts = (tree.bytes_at(seen.before, path) or b"", now)
                before, after = (read_settings(session.root, text) for text in texts)
            except (OSError, GitError):
                found[path] = ["it cannot be read"]
                continue
            changed = (setting.partition("\n") for setting in sorted(before ^ after))
            if keys := [key for key, _, value in changed if is_unsafe_setting(key, value)]:
                found[path] = list(dict.fromkeys(keys))
    return found


def _team_hooks(root: Path) -> tuple[str, ...]:
    """Where the repository keeps hooks among its own files, with a slash."""
    with contextlib.suppress(GitError, ValueError):
        folder = root / hook_folder(root)
        below = folder.resolve().relative_to(root.resolve()).as_posix()
        # those of `.git` are looked at anyway, and all of the workspace is not a folder of hooks
        return () if below == "." else (f"{below}/",)
    return ()


def _find_false(session: Session, report: Report) -> str:
    """What a report claims that is not so, or ""."""
    for item in report.artifacts:
        try:
            file = session.inside(item.path)
        except UnsafePathError as exc:
            return f"reports {exc.message}"
        if report.outcome is not Outcome.DONE:
            continue
        if item.state == "deleted":
            if file.exists():
                return f"reports {item.path} as deleted, which is still there"
        elif not file.is_file() or item.sha256 not in ("", session.sha(item.path)):
            return f"reports {item.path}, which is not there as reported"
    for new in report.tickets:
        document = Document.parse(new.text.encode("utf-8"))
        if id_from_name(new.filename) != new.id or Path(new.filename).name != new.filename:
            return f"reports a new ticket {new.id} under the file name {new.filename!r}"
        if document.text("id") != new.id or document.text("parent") != session.plan.parent:
            return f"reports a new ticket {new.id} whose text has another id or another parent"
    return ""


def _artifacts(session: Session, report: Report, seen: Seen) -> Iterator[Artifact]:
    """What was changed, then what was reported and has not changed."""
    claimed = {item.path for item in report.artifacts}
    now = {p: session.changes.tree.entry(p) for p in sorted(seen.paths)}
    for path, entry in now.items():
        if path.startswith((".git/", "../")) or pack(path) != path:
            continue
        if not entry.there:
            yield Artifact(path=path, sha256="absent", state="deleted")
        elif entry.is_file:
            own = AGENT in seen.by[path] and (path not in seen.shared or path in claimed)
            yield Artifact(path=path, sha256=entry.sha256, state="written" if own else "kept")
    for path in sorted(claimed - now.keys()):
        if (sha256 := session.sha(path)) != "absent":
            yield Artifact(path=path, sha256=sha256, state="kept")


# -- taking back -----------------------------------------------------------------------------


def undo_attempt(session: Session, seen: Seen) -> None:
    """Take a failed attempt back; what cannot be is said, and counts as changed next time too."""
    worker = seen.worker
    # a branch that it has left, tickets, commits in the main checkout: nothing of it is taken back
    if session.checkout is not None and seen.before is not None:
        name = f"stage-{worker.stage}-attempt-{worker.attempt}"
        session.checkout.take_back_commits(seen.before.head, name)
    texts = [f"while {worker.agent} worked in attempt {worker.attempt}: {n}" for n in seen.notes]
    texts += _take_back_files(session, seen)
    for text in texts:
        session.family.history.append("notice", to="USER", text=text, stage=worker.stage)
        session.report_progress(ProgressKind.NOTICE, text, stage=worker.stage, agent=worker.agent)


def _take_back_files(session: Session, seen: Seen) -> Iterator[str]:
    """Put the files back that the agent changed; yields what to tell USER."""
    log, worker = session.changes, seen.worker
    if not seen.changes or seen.before is None or seen.after is None:
        return
    mine = [c for c in seen.changes if seen.by_agent(c.path)]
    others = {p: "it may be another's" for p in seen.paths if not seen.by_agent(p)}
    mine = [c for c in mine if not c.source or seen.by_agent(c.source)]
    aside = session.board.root / _kept(worker)
    done = take_back(log.tree, seen.before, mine, aside)
    if not unstage(log.tree, seen.before, seen.after, mine):
        others["git's index"] = "HEAD has moved"
    left = {**others, **done.left}
    log.record_taken_back(worker, done.back, left, _kept(worker))
    if done.back:
        yield (
            f"taken back: {_names(done.back)}, as {worker.agent} left it in attempt "
            f"{worker.attempt}; that is kept in {_kept(worker)}"
        )
    if left:
        named = "; ".join(f"{shown(p)} ({why})" for p, why in sorted(left.items())[:_NAMED])
        yield f"not taken back: {named}. Look at it, and put it right"


def undo_again(session: Session, stage: Stage, attempt: int) -> None:
    """Take back a failed attempt if the conductor was killed before it could."""
    seen = session.changes.is_to_be_taken_back(session.worker_of(stage, attempt))
    if seen is not None:
        undo_attempt(session, seen)


def _undoable(seen: Seen) -> bool:
    return any(seen.by_agent(path) for path in seen.paths)


def _kept(worker: Worker) -> str:
    """Where a failed attempt's files are kept."""
    return f".orchestrate/kept/{worker.family}/stage-{worker.stage}-attempt-{worker.attempt}"


def _names(paths: list[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(shown(p) for p in paths[:_NAMED]) + more
