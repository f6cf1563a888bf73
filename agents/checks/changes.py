"""Checks of what a family changed: only those files, prohibitions, and what does not apply."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from orchestrate_agents.checks.data.approved import find_applied
from orchestrate_agents.checks.data.subjects import delivered_paths
from orchestrate_agents.checks.project.copies import is_of_board
from orchestrate_agents.checks.sql.subjects import migration_paths
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
from orchestrator.gates.expressions import MEANING, PLAIN
from orchestrator.git.repository import TrackedFolder

#: what a conductor and its tools write besides deliverables
_OWN_FOLDERS = (".orchestrate", ".git")

# -- only those ------------------------------------------------------------------------------------


@check(
    "only {named:path} (changed|is changed|was changed|has changed|is touched)",
    "only {paths:paths} (changed|are changed|were changed|have changed|are touched)",
    "only files (in|under|below|inside|within) {path:path} (are|were|have been) "
    "(changed|modified|touched)",
    "[there are] no (changes|other changes) outside [of] {path:path}",
    "no files [are] changed outside [of] {path:path}",
    "no [other] (file|files) outside [of] {path:path} (is|are|was|were) (changed|touched|modified)",
    "all (changes|changed files|files) are (within|below|under|inside) {path:path}",
    name="files.only",
    version=3,
    examples=("only `src/a.ts` and `src/b.ts` changed", "no changes outside `src/`"),
)
def only_these_changed(
    ctx: Context, path: str = "", named: str = "", paths: tuple[str, ...] = ()
) -> Result:
    """Everything that git or an agent reports as changed is named or below a named folder."""
    allowed = paths or (path or named,)
    changed = _list_changes(ctx)
    if changed is None:
        return unproven(_NO_GIT, *allowed)
    others = sorted(p for p in changed if not _is_below(p, allowed))
    if others:
        return failed(f"changed besides {', '.join(allowed)}: {', '.join(others[:10])}", *allowed)
    same = [a for a in allowed if not path and not any(_is_below(p, (a,)) for p in changed)]
    if same:
        return unproven(f"nothing else is changed, but {', '.join(same)} is not either", *allowed)
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
        return {p for p in known if not _is_own(ctx, p)}
    seen = TrackedFolder(ctx.root, ".").changed()
    if seen is None:
        return None
    seen |= {path for path, made in ctx.artifacts.items() if made.get("state") == "written"}
    return {p for p in seen if not _is_own(ctx, p)}


def _is_own(ctx: Context, path: str) -> bool:
    return PurePosixPath(path).parts[0] in _OWN_FOLDERS or is_of_board(ctx, path)


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
    appeared = [p for p in _family_changes(ctx) or () if _same_file(p, path)]
    if (
        not known
        and any(ctx.path(p).is_file() for p in appeared or (path,))
        and (appeared or not allowed)
    ):
        return unproven(f"{path} exists, and no record says who created it", path)
    who = f"it is {', '.join(sorted(allowed))}'s" if allowed else "no agent wrote it"
    return proven(f"{path}: {who}; nobody else wrote it", path)


_NEVER = "(do not|don't|never|must not)"
_BELOW = "[the|any] [file|files|folder] [in|under|below] {path:path}"


@check(
    f"{_NEVER} (modify|edit|change|touch|overwrite) {_BELOW}",
    "{path:path} (is|was|remains|stays) (unchanged|untouched|unmodified|not changed|not modified)",
    name="files.not-changed",
    version=3,
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


@check(
    f"{_NEVER} (delete|remove) {_BELOW}",
    "{path:path} is [still there and] not (deleted|removed)",
    "{path:path} (must not|may not) be (deleted|removed)",
    name="files.not-deleted",
    examples=("Do not delete `docs/old.md`",),
)
def not_deleted(ctx: Context, path: str) -> Result:
    """The file, or what was below the folder, is still there, whether it was edited or not."""
    changed = _list_changes(ctx)
    if changed is None and not path.endswith("/") and ctx.path(path).is_file():
        return proven(f"{path} is there", path)
    if changed is None:
        return unproven(_NO_GIT, path)
    gone = sorted(p for p in changed if _is_below(p, (path,)) and not ctx.path(p).exists())
    if gone:
        return failed(f"deleted: {', '.join(gone[:10])}", path)
    if not ctx.path(path).exists():
        return unproven(f"{path} is not there, and nothing shows that it was", path)
    return proven(f"{path} is there, and nothing of it was deleted", path)


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
    version=3,
    examples=("Do NOT execute the migration SQL", "Do NOT run `migrations/059_x.sql`"),
)
def not_executed(ctx: Context, path: str = "", who: str = "", number: int = 0) -> Result:
    """No effect applied it without USER's approval (at that checkpoint); the target lacks it."""
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
        return held_then(f"it was run {applied} time(s), each after USER's approval")
    if path and not path.endswith(".sql"):
        return unproven(f"no effect ran {path}, but what agents run is not recorded", path)
    known = migration_paths(ctx)
    wanted = [p for p in known if _same_file(p, path)] or [path] if path else known
    found = find_applied(ctx, wanted)
    return replace(found, detail=f"no effect has applied it so far, and {found.detail}")


def _applies(record: Mapping[str, Any], path: str) -> bool:
    kinds = (record.get("kind"), record.get("effect"))
    wanted = "script.run" if path and not path.endswith(".sql") else "sql.apply"
    if record.get("type") != "effect" or wanted not in kinds:
        return False
    inputs = record.get("inputs") or ()
    return not path or not inputs or any(_same_file(str(p), path) for p in inputs)


# -- not applicable --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Area:
    """A kind of work: the words for it, the files that show it, and those that may."""

    name: str
    words: str
    files: str
    perhaps: str = r"(?!)"

    def named(self, text: str) -> bool:
        return re.search(rf"\b(?:{self.words})\b", text, re.IGNORECASE) is not None


_AREAS = (
    _Area(
        "a user interface",
        r"UI|user interfaces?|front-?end|interface|pages?|screens?|layouts?|fonts?|colou?rs?|"
        r"contrast|WCAG|a11y|accessib\w+|responsive|css|style ?sheets?|styles?|buttons?|icons?|"
        r"dialogs?|visual\w*",
        r"\.(?:[jt]sx|s?css|less|html?|vue|svelte|astro|erb|ejs|hbs|pug|j2|jinja2?|qml|xaml|swift|"
        r"dart)$",
        r"(?:^|/)(?:components|pages|templates|styles|layouts|public)/",
    ),
    _Area(
        "a database",
        r"databases?|DB|SQL|migrations?|schemas?|tables?|columns?|RLS|row[- ]level security|"
        r"index(?:es)?|foreign keys?",
        r"\.(?:sql|prisma)$|(?:^|/)(?:migrations|alembic)/",
        r"(?:^|/)(?:models?|schema|entities|entity)(?:/|\.)",
    ),
    _Area(
        "an API",
        r"APIs?|endpoints?|routes?|REST|GraphQL|OpenAPI|HTTP|webhooks?|CORS",
        r"(?:^|/)(?:openapi|swagger)[^/]*$|(?:^|/)(?:api|routes?|controllers?|endpoints?)(?:/|\.\w+$)",
        r"\.(?:py|[mc]?[jt]sx?|go|rb|java|kt|php|rs|cs|ex)$",
    ),
    _Area(
        "the dependencies",
        r"dependenc(?:y|ies)|packages?|licen[cs]es?|lock ?files?",
        r"(?:^|/)(?:package(?:-lock)?\.json|pyproject\.toml|setup\.(?:py|cfg)|[\w.-]*requirements[\w.-]*"
        r"\.txt|Pipfile|Gemfile|go\.mod|go\.sum|Cargo\.toml|pom\.xml|build\.gradle|composer\.json|"
        r"[\w.-]+[.-]lock(?:\.yaml)?|yarn\.lock)$",
    ),
    _Area("data files", r"CSV|data ?sets?|seed data", r"\.(?:csv|tsv|parquet|xlsx|jsonl)$"),
    _Area("Python", r"Python", r"\.pyi?$"),
    _Area("TypeScript", r"TypeScript|TS", r"\.[mc]?tsx?$"),
)
parameter_type("matter", rf"(?:no )?{PLAIN}", str.strip)
parameter_type("reason", rf"(?:(?:no|without) )?(?:(?!{MEANING})[^()])+", str.strip)


@check(
    "{subject:matter}: (n/a|not applicable) [\\({why:reason}\\)]",
    "{subject:matter} (is|are) not applicable [\\({why:reason}\\)]",
    name="files.not-applicable",
    version=2,
    examples=("Font size violations: n/a (no UI in this ticket)",),
)
def says_not_applicable(ctx: Context, subject: str, why: str = "") -> Result:
    """Nothing that the family changed or delivers is of the kind that the statement is about."""
    about = [area for area in _AREAS if area.named(subject)]
    given = [area for area in _AREAS if area.named(why) and re.match(r"no\b|without\b", why, re.I)]
    if why and not any(area in about for area in given):
        return unproven(f"“{why}” is no reason that the change can show, so USER has to accept it")
    if not about:
        return unproven(
            f"the change cannot show whether “{subject}” applies: USER has to accept it"
        )
    changed = _list_changes(ctx)
    paths = sorted({*(changed or ()), *delivered_paths(ctx)})
    for area in about if not why else given:
        seen = [p for p in paths if re.search(area.files, p, re.IGNORECASE)]
        if seen:
            return failed(f"it applies: {', '.join(seen[:5])} is changed or delivered", *seen)
        doubtful = [p for p in paths if re.search(area.perhaps, p, re.IGNORECASE)]
        if doubtful:
            return unproven(f"{', '.join(doubtful[:5])} may belong to {area.name}", *doubtful)
    if changed is None:
        return unproven(_NO_GIT)
    names = ", ".join(area.name for area in about if not why or area in given)
    return not_applicable(f"{len(paths)} files are changed or delivered, none of them for {names}")
