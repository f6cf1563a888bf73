"""Checks of what changed: only those files, without secrets; and what must not be made or run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from orchestrate_agents.checks.data.subjects import delivered_paths
from orchestrate_agents.checks.secrets import secrets_in
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    held_then,
    not_applicable,
    parameter_type,
    proven,
    unproven,
)
from orchestrator.git.repository import TrackedFolder

_PATH = r"`?[\w.@+-]*(?:/[\w.@+-]+)*(?:/|\.[A-Za-z]\w*)`?"
_JOIN = r"\s*(?:,\s*and\s+|,|\+|&|\s+and\s+)\s*"


parameter_type(
    "paths",
    rf"{_PATH}(?:{_JOIN}{_PATH})+",
    lambda text: tuple(p.strip(" `") for p in re.split(_JOIN, text) if p.strip(" `")),
)

#: a file that a person sees in a browser
_INTERFACE = (".tsx", ".jsx", ".css", ".scss", ".html", ".vue", ".svelte")
#: what a conductor and its tools write besides deliverables
_OWN_FOLDERS = ("_WORK_ORDERS", ".orchestrate", ".git")


# -- only those ------------------------------------------------------------------------------------


@check(
    "only {path:path} (changed|is changed|was changed|has changed|is touched)",
    "only {paths:paths} (changed|are changed|were changed|have changed|are touched)",
    "[there are] no (changes|other changes) outside [of] {path:path}",
    "no files [are] changed outside [of] {path:path}",
    "all (changes|changed files|files) are (within|below|under|inside) {path:path}",
    name="files.only",
    version=2,
    examples=("only `src/a.ts` and `src/b.ts` changed", "no changes outside `src/`"),
)
def only_these_changed(ctx: Context, path: str = "", paths: tuple[str, ...] = ()) -> Result:
    """Everything that git or an agent reports as changed is named or below a named folder."""
    allowed = paths or (path,)
    changed = _list_changes(ctx)
    if changed is None:
        return unproven(_NO_GIT, *allowed)
    others = sorted(p for p in changed if not _is_below(p, allowed))
    if others:
        return failed(f"changed besides {', '.join(allowed)}: {', '.join(others[:10])}", *allowed)
    return proven(f"{len(changed)} changed files, all of them {', '.join(allowed)}", *allowed)


@check(
    "only [the] (deliverables|delivered files|specified files|files of the stage) "
    "(changed|were changed|are changed|have changed)",
    "no other files [are|were] (changed|touched|modified)",
    "[all] (changes|changed files) are deliverables",
    name="files.only-deliverables",
    version=2,
    examples=("only the deliverables changed", "no other files were changed"),
)
def only_deliverables_changed(ctx: Context) -> Result:
    """Every change in git is a deliverable of the workflow or what an agent reported."""
    changed = _list_changes(ctx)
    if changed is None:
        return unproven(_NO_GIT)
    others = sorted(changed - set(delivered_paths(ctx)))
    if others:
        return failed(f"changed, but not a deliverable: {', '.join(others[:10])}", *others[:10])
    return proven(f"{len(changed)} changed files, all of them deliverables", *sorted(changed))


_NO_GIT = "the workspace is not a git repository, so changes cannot be listed"


def _is_below(path: str, allowed: Iterable[str]) -> bool:
    return any(path == a or path.startswith(a.rstrip("/") + "/") for a in allowed)


def _family_changes(ctx: Context) -> frozenset[str] | None:
    """What the family changed since its start; None if nobody looked."""
    return ctx.changed() if ctx.changed is not None else None


def _list_changes(ctx: Context) -> set[str] | None:
    """The family's changes since its start; else, by git, all that is not committed."""
    known = _family_changes(ctx)
    if known is not None:
        return {p for p in known if PurePosixPath(p).parts[0] not in _OWN_FOLDERS}
    seen = TrackedFolder(ctx.root, ".").changed()
    if seen is None:
        return None
    seen |= {path for path, made in ctx.artifacts.items() if made.get("state") == "written"}
    return {p for p in seen if PurePosixPath(p).parts[0] not in _OWN_FOLDERS}


@check(
    "[there are] no (secrets|keys|credentials|passwords|tokens|API keys|secrets or keys|keys or "
    "secrets|hard-coded secrets|hardcoded secrets|hard-coded keys|hardcoded keys) "
    "[(in|are in) [the|all|any|delivered] (files|code|deliverables|scripts|repository|data)]",
    "(secrets|keys|credentials) are (never|not) (hard-coded|hardcoded|committed|in the code)",
    "{path:path} (has|contains) no (secrets|keys|credentials|secrets or keys|hard-coded keys)",
    name="files.no-secrets",
    version=2,
    examples=("no secrets or keys in delivered files", "secrets are never hard-coded"),
)
def no_secrets(ctx: Context, path: str = "") -> Result:
    """Delivered files hold no key, token, password or private key, by form and by assignment."""
    paths = [p for p in ((path,) if path else delivered_paths(ctx)) if ctx.path(p).is_file()]
    if not paths:
        return failed(f"{path} is missing", path) if path else unproven("nothing is delivered yet")
    found = [f"{p} line {line}: {what}" for p in paths for line, what in secrets_in(ctx.path(p), p)]
    if found:
        return failed("; ".join(found[:8]), *paths, found=found[:100])
    return proven(f"{len(paths)} delivered files hold no secret", *paths)


# -- prohibitions ---------------------------------------------------------------------------

_NEVER_CREATE = (
    "(do not|don't|never|must not) (create|write|make|generate|produce|provide|add) [the|a|any] "
    "[file]"
)


@check(
    f"{_NEVER_CREATE} {{path:path}} [(—|–|-) that is {{maker:agent}}'s (job|task|work)]",
    f"{_NEVER_CREATE} {{path:path}}(:|;|,) that is {{maker:agent}}'s (job|task|work)",
    name="files.not-created",
    examples=("Do NOT create `backend/data/seed.csv`",),
)
def not_created(ctx: Context, path: str, maker: str = "") -> Result:
    """No agent reported writing the file but the one whose deliverable it is."""
    stages = ctx.workflow.stages if ctx.workflow else ()
    # the agents whose stage delivers the file, or who are named as providing it
    allowed = {s.agent for s in stages for d in s.deliverables if _same_file(d.path, path)}
    allowed |= {n.provider for s in stages for n in s.needs if _same_file(n.path, path)}
    if maker:
        allowed = {maker.upper()}
    others = sorted({a for p, a in _list_writers(ctx) if _same_file(p, path)} - allowed)
    if others:
        return failed(f"{path} was written by {', '.join(others)}", path)
    known = any(_same_file(p, path) for p in ctx.artifacts)
    if ctx.path(path).is_file() and not allowed and not known:
        return unproven(f"{path} exists, and no record says who created it", path)
    who = f"it is {', '.join(sorted(allowed))}'s" if allowed else "no agent wrote it"
    return proven(f"{path}: {who}; nobody else wrote it", path)


@check(
    "(do not|don't|never|must not) (modify|edit|change|touch|overwrite|delete|remove) [the|any] "
    "[file|files|folder] [in|under|below] {path:path}",
    name="files.not-changed",
    version=2,
    examples=("Do NOT modify `src/lib/auth.ts`",),
)
def not_changed(ctx: Context, path: str) -> Result:
    """The file, or what is below the folder, is as it was when the family began."""
    known = _family_changes(ctx)
    if known is not None:
        touched = sorted(p for p in known if _is_below(p, (path,)))
        if touched:
            return failed(f"changed: {', '.join(touched[:10])}", path)
        return proven(f"{path} is as it was when the work began", path)
    writers = sorted({agent for p, agent in _list_writers(ctx) if _is_below(p, (path,))})
    if writers:
        return failed(f"{path} was written by {', '.join(writers)}", path)
    changed = _list_changes(ctx)
    if changed is None:
        return unproven(_NO_GIT, path)
    touched = sorted(p for p in changed if _is_below(p, (path,)))
    if touched:
        return failed(f"changed: {', '.join(touched[:10])}", path)
    return proven(f"{path} is as it was committed, and no agent reports writing it", path)


def _same_file(known: str, named: str) -> bool:
    return known == named or ("/" not in named and PurePosixPath(known).name == named)


def _list_writers(ctx: Context) -> Iterator[tuple[str, str]]:
    """(path, agent) of everything that was reported as written, in all reports of the family."""
    for path, made in ctx.artifacts.items():
        if made.get("state", "written") == "written":
            yield path, str(made.get("agent", "")).upper()
    for record in ctx.history:
        if record.get("type") == "report":
            for item in record.get("artifacts", ()):
                if item.get("state", "written") == "written":
                    yield str(item["path"]), str(record.get("agent", "")).upper()


@check(
    "(do not|don't|never|must not) (execute|run|apply) [the|any] (migration|migrations) "
    "[SQL|script] [yet|directly|yourself] "
    "[— that is {who:agent}'s (job|task|work) [at Checkpoint {number:int}]]",
    "(do not|don't|never|must not) (execute|run|apply) {path:path} [yet|directly|yourself]",
    name="files.not-executed",
    examples=("Do NOT execute the migration SQL", "Do NOT run `migrations/059_x.sql`"),
)
def not_executed(ctx: Context, path: str = "", who: str = "", number: int = 0) -> Result:
    """The history has no applied migration without USER's approval (at that checkpoint) before."""
    if who and who.upper() != "USER":
        return unproven(f"the history records USER's approval, not that of {who}")
    checkpoints = ctx.workflow.checkpoints if ctx.workflow else ()
    stages = [stage.number for stage in checkpoints if stage.checkpoint == number]
    if number and ctx.workflow and not stages:
        return unproven(f"the workflow has no checkpoint {number}")
    latest = ""
    answers: dict[Any, str] = {}
    applied = 0
    for record in ctx.history:
        if record.get("type") == "answer":
            latest = answers[record.get("stage")] = str(record.get("answer"))
        elif _applies(record, path):
            there = all(answers.get(stage) == "approved" for stage in stages)
            if latest != "approved" or not there:
                title = record.get("title") or record.get("kind")
                return failed(f"“{title}” ran without USER's approval before it")
            applied += 1
    if applied:
        return held_then(f"the migration was applied {applied} time(s), each after USER's approval")
    return proven("the migration has not been applied so far")


def _applies(record: Mapping[str, Any], path: str) -> bool:
    kinds = (record.get("kind"), record.get("effect"))
    if record.get("type") != "effect" or "sql.apply" not in kinds:
        return False
    inputs = record.get("inputs") or ()
    return not path or not inputs or any(_same_file(str(p), path) for p in inputs)


# -- not applicable -----------------------------------------------------------------------------


@check(
    "{subject:text}: (n/a|not applicable) [\\({why:text}\\)]",
    "{subject:text} (is|are) not applicable [\\({why:text}\\)]",
    name="files.not-applicable",
    examples=("Font size violations: n/a (no UI in this ticket)",),
)
def says_not_applicable(ctx: Context, subject: str, why: str = "") -> Result:
    """The statement says so itself; "no UI" is refuted by a delivered page or style sheet."""
    if re.search(r"\bno (?:UI|user interface|front-?end|interface|pages?)\b", why, re.IGNORECASE):
        pages = [p for p in delivered_paths(ctx, _INTERFACE) if ctx.path(p).is_file()]
        if pages:
            return failed(f"“{why}”, but {', '.join(pages[:5])} is delivered", *pages)
    return not_applicable(f"{subject}: the statement says that it does not apply")
