"""Checks of a migration as a whole: runs twice, only adds, is numbered, is as specified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType

from orchestrate_agents.checks.sql.phrases import Harms
from orchestrate_agents.checks.sql.subjects import (
    Subject,
    Which,
    migration_of,
    specification_of,
    subject_of,
)
from orchestrate_agents.sql.compare import departures
from orchestrate_agents.sql.destructive import (
    DestructiveChange,
    DestructiveKind,
    Policy,
    destructive_changes,
    replaced_policies,
)
from orchestrate_agents.sql.header import header_number
from orchestrate_agents.sql.migration_series import clashes, number_of, read_sql
from orchestrate_agents.sql.parse import parse_migration
from orchestrate_agents.sql.prove import prove
from orchestrator.gates.checks import Context, Result, check, failed, proven, unproven

_LISTED = 5


def _first_few(items: tuple[str, ...]) -> str:
    more = f" and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return "; ".join(items[:_LISTED]) + more


def _rerun(subject: Subject) -> Result:
    problem = subject.proof.rerun_problem()
    if problem:
        return subject.failed(f"{subject.path}: {problem}")
    if subject.proof.lacks:
        return _lacking(subject)
    entries = len(subject.proof.catalog)
    return proven(
        f"{subject.path} applied twice as an owner that is not a superuser; the catalogue "
        f"({entries} entries) and all rows were the same afterwards ({subject.proof.base})",
        subject.path,
        runs=2,
        catalogue_entries=entries,
        locks=list(map(list, subject.proof.locks)),
    )


def _lacking(subject: Subject) -> Result:
    names = ", ".join(subject.proof.lacks)
    return unproven(
        f"the proving server has no {names}; all that {subject.path} does without was applied",
        subject.path,
        **subject.evidence,
    )


_TWICE = (
    "(twice|a second time|again|repeatedly|more than once) [safely] "
    "[(without|with no) [an] (error|errors|failure|change|changes)]"
)


@check(
    "{which:migration} is (idempotent|re-runnable|rerunnable|repeatable)",
    "{which:migration} is safe to (re-run|rerun|run again|run twice|apply twice|repeat)",
    r"{which:migration} is (idempotent|re-runnable|rerunnable) \| [can be] "
    rf"(run|runs|applied|applies|re-run|rerun) {_TWICE}",
    "{which:migration} (can|may) be (re-run|rerun|re-applied) [safely] "
    "[(without|with no) (error|errors)]",
    rf"{{which:migration}} (can|may) be (run|applied|executed) {_TWICE}",
    rf"{{which:migration}} (runs|applies|executes) {_TWICE}",
    rf"(run|running|apply|applying|re-running|rerunning) {{which:migration}} {_TWICE} "
    "[(works|succeeds|changes nothing|has no effect|is safe|gives no error)]",
    "(re-running|rerunning|re-applying) {which:migration} "
    "(changes nothing|has no effect|is safe|works)",
    "(a|the) second run (of|by|with) {which:migration} changes (nothing|0 rows|no row|no rows)",
    name="sql.idempotent",
    examples=(
        "Migration is idempotent | Run twice with no error",
        "`migrations/012_x.sql` can be run twice without error",
        "The migration is safe to re-run",
    ),
)
def idempotent(ctx: Context, which: Which) -> Result:
    """A migration runs twice on a real server; the second run changes neither schema nor rows."""
    subject = subject_of(ctx, which)
    return subject if isinstance(subject, Result) else _rerun(subject)


@check(
    "{which:migration} uses CREATE TABLE IF NOT EXISTS",
    "{which:migration} (uses|has) IF NOT EXISTS (on|for|in) (all|every|each|its) "
    "[CREATE] (table|tables|statement|statements)",
    "(all|every|each) CREATE TABLE [(statement|statements)] (uses|use|has|have) IF NOT EXISTS",
    "{which:migration} uses CREATE TABLE IF NOT EXISTS \\(idempotent\\)",
    name="sql.if-not-exists",
    examples=("Migration 059 uses `CREATE TABLE IF NOT EXISTS` (idempotent)",),
)
def if_not_exists(ctx: Context, which: Which | None = None) -> Result:
    """Every CREATE TABLE has IF NOT EXISTS, and the migration really runs twice."""
    subject = subject_of(ctx, which)
    if isinstance(subject, Result):
        return subject
    migration = parse_migration(subject.text)
    bare = [s.node.relation.relname for s in migration.of("CreateStmt") if not s.node.if_not_exists]
    if not migration.tables:
        return subject.failed(f"{subject.path} has no CREATE TABLE statement")
    if bare:
        names = ", ".join(bare)
        return subject.failed(f"{subject.path}: CREATE TABLE without IF NOT EXISTS: {names}")
    return _rerun(subject)


_STATEMENTS = "[(statements|statement|commands|operations)]"


@check(
    f"[(There are|Contains|Has)] (no|without) {{harms:harms}} {_STATEMENTS}",
    f"no {{harms:harms}} {_STATEMENTS} in {{which:migration}}",
    f"{{which:migration}} (contains|has|uses|includes) (no|neither) {{harms:harms}} {_STATEMENTS}",
    "{which:migration} does not (contain|use|include|have) [any] {harms:harms} " + _STATEMENTS,
    "{which:migration} is (free of|without) {harms:harms} [(statements|statement)]",
    name="sql.without",
    version=3,
    examples=(
        "No DROP, TRUNCATE, or ALTER COLUMN TYPE statements",
        "The migration contains no DROP TABLE",
    ),
)
def without(ctx: Context, harms: Harms, which: Which | None = None) -> Result:
    """No statement of the named kinds, also inside DO blocks, functions and executed strings."""
    subject = subject_of(ctx, which)
    if isinstance(subject, Result):
        return subject
    found = tuple(text for text in _harmful(subject, set(harms.kinds)) if not harms.spare(text))
    return _none_of(subject, (*harms.kinds, *harms.dropped), found)


def _none_of(subject: Subject, harms: tuple[str, ...], found: tuple[str, ...]) -> Result:
    names = ", ".join(harms)
    if found:
        return subject.failed(f"{subject.path}: {_first_few(found)}", found=list(found))
    statements = len(parse_migration(subject.text).statements)
    return proven(
        f"none of {statements} statements of {subject.path} is a {names}, "
        "and none happened when it ran",
        subject.path,
        kinds=list(harms),
    )


def _harmful(
    subject: Subject,
    harms: set[DestructiveKind],
    replaced: Mapping[Policy, int] = MappingProxyType({}),
) -> Iterator[str]:
    lines = set(replaced.values())
    for item in destructive_changes(subject.text, subject.proof.existing):
        anew = item.line in lines and item.text.upper().startswith("DROP POLICY")
        if item.kind in harms and not anew:
            yield _spelled(item)
    if DestructiveKind.DROP in harms:
        # the server quotes names with spaces
        known = {f"DROP policy {p.name} on {p.table}" for p in replaced}
        drops = (t for t in subject.proof.taken if t.startswith("DROP"))
        taken = (t for t in drops if t.replace('"', "") not in known)
        yield from (f"when run: {t}" for t in taken)
    if DestructiveKind.TRUNCATE in harms or DestructiveKind.DELETE in harms:
        yield from (f"when run again: {r}" for r in subject.proof.rows_changed if "became" in r)
    if DestructiveKind.TYPE_CHANGE in harms:
        yield from (m for m in subject.proof.misshapen if " is " in m)


def _spelled(item: DestructiveChange) -> str:
    return f"{item.kind} at {item}"


@check(
    "{which:migration} is (additive|non-destructive|nondestructive) [only]",
    "[only] additive [only] [changes]",
    "{which:migration} (only adds|adds only|drops nothing|removes nothing|destroys nothing)",
    "{which:migration} (makes|contains) (only additive|no destructive) (changes|statements)",
    "no destructive (changes|statements|DDL) [in {which:migration}]",
    "(never|do not|don't|must not) (drop|remove|truncate|destroy|alter or drop|drop or truncate|"
    "drop or alter|drop, alter or truncate) "
    "[(a|an|any|the|existing)] (table|tables|column|columns|data|rows|anything) "
    "[(that is there|that are there|that exists|that exist)]",
    name="sql.additive",
    version=4,
    examples=("Additive only", "The migration is additive only"),
)
def additive(ctx: Context, which: Which | None = None) -> Result:
    """A migration takes nothing away: no drop, truncation, deletion, rename or change of type.

    Nor does it overwrite rows that were there, or take privileges, NULL or a default from what it
    did not make itself.
    """
    subject = subject_of(ctx, which)
    if isinstance(subject, Result):
        return subject
    harms = tuple(DestructiveKind)
    found = tuple(_harmful(subject, set(harms), replaced_policies(subject.text)))
    seen = tuple(f"when run: {done}" for done in subject.proof.lessened)
    return _none_of(subject, harms, found + seen)


@check(
    "{which:migration} passes [the] [database] [schema] "
    "(validation|validator|checks|check|linting|lint) [checks]",
    "[database] schema validation (passes|succeeds|is green)",
    "{which:migration} (validates|is valid)",
    "{which:migration} (applies|runs) (cleanly|without error|without errors|successfully)",
    name="sql.valid",
    version=2,
    examples=("`migrations/059_x.sql` passes schema validation", "The migration applies cleanly"),
)
def valid(ctx: Context, which: Which | None = None) -> Result:
    """A migration applies, runs twice, is numbered rightly, has what was specified, and lints."""
    subject = subject_of(ctx, which)
    if isinstance(subject, Result):
        return subject
    problems = tuple(_invalid(ctx, subject))
    if problems:
        return subject.failed(f"{subject.path}: {_first_few(problems)}", problems=list(problems))
    proof = subject.proof
    if proof.lacks:
        return _lacking(subject)
    applies = "applies twice with the same catalogue"
    if proof.only_published_again:
        applies = f"applies (once: a second run stops at {proof.second})"
    tables = ", ".join(t.name for t in proof.tables) or "no table"
    compared = "as specified" if specification_of(ctx, subject.path) else "nothing specified"
    return proven(
        f"{subject.path} parses, {applies} and makes {tables} ({compared}; {proof.base})",
        subject.path,
        **subject.evidence,
        warnings=[str(w) for w in proof.lint],
    )


@check(
    "{which:migration} (matches|follows|is as in|conforms to) [the] "
    "(specification|spec|specified schema|workflow)",
    name="sql.as-specified",
    examples=("The migration matches the specification",),
)
def as_specified(ctx: Context, which: Which | None = None) -> Result:
    """As `sql.valid`, and the workflow or a ticket has SQL to compare it with."""
    subject = subject_of(ctx, which)
    if isinstance(subject, Result):
        return subject
    if specification_of(ctx, subject.path) is None:
        return unproven(f"no workflow or ticket specifies SQL for {subject.path}", subject.path)
    return valid(ctx, which)


def _invalid(ctx: Context, subject: Subject) -> Iterator[str]:
    problem = subject.proof.rerun_problem()
    if problem and not subject.proof.only_published_again:
        yield problem
    yield from _number_problems(ctx, subject.path, subject.text)
    yield from subject.proof.errors
    yield from (str(item) for item in subject.proof.lint if item.level == "Error")
    specification = specification_of(ctx, subject.path)
    if specification is not None:
        wanted = prove(specification, ctx.services, base=subject.base)
        if wanted.applied:
            yield from departures(wanted, subject.proof)


def _number_problems(ctx: Context, path: str, text: str) -> Iterator[str]:
    others = clashes(ctx.path(path))
    if others:
        yield f"its number is also that of {', '.join(o.name for o in others)}"
    said, own = header_number(text), number_of(path)
    if said and own and int(said) != int(own):
        yield f"its head says migration {said}, its name {own}"


@check(
    "{which:migration} (number|has a number that) is (unique|free|not taken|not used twice|unused) "
    "[in its (series|folder)]",
    r"[the] migration number {number:int} is (unique|free|not taken|confirmed|unused)",
    r"[the] migration number \({number:int}\) is (unique|free|not taken|confirmed|unused)",
    "(no other|only one) migration (has|uses|with) [the] number {number:int}",
    "[the] migration number is (unique|free|not taken|confirmed) [in its (series|folder)]",
    name="sql.number",
    examples=("The migration number is unique", "Migration number 059 is free"),
)
def number(ctx: Context, which: Which | None = None, number: int | None = None) -> Result:
    """No other file of the series has the migration's number, and its head names the same one."""
    named = which or Which(number=str(number) if number is not None else "")
    path = migration_of(ctx, named)
    if isinstance(path, Result):
        # a number that nothing has may well be free
        return unproven(path.detail, *path.subjects) if number is not None else path
    problems = tuple(_number_problems(ctx, str(path), read_sql(ctx.path(str(path)))))
    if not number_of(path):
        return unproven(f"{path} has no number in its name", str(path))
    if problems:
        return failed(f"{path}: {_first_few(problems)}", str(path))
    folder = PurePosixPath(path).parent
    return proven(f"no other file in {folder}/ has number {number_of(path)}", str(path))
