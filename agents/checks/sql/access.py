"""Checks of who may do what (RLS, policies, roles), read off the probed matrix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from orchestrate_agents.checks.sql.beyond import Beyond, beyond_claim, opened_unjudged
from orchestrate_agents.checks.sql.phrases import Can, Tables
from orchestrate_agents.checks.sql.subjects import (
    Subject,
    proven_of,
    specification_of,
    subject_of,
    tables_meant,
)
from orchestrate_agents.sql.access_matrix import VERBS, Access
from orchestrate_agents.sql.catalog import Relation
from orchestrate_backend.targets.supabase_setup import API_ROLES
from orchestrator.gates.checks import Context, Result, Verdict, check, proven, unproven

_WRITES = ("INSERT", "UPDATE", "DELETE")
_EVERY = Tables()


def _judged(subject: Subject, problems: Iterable[str], unknown: Iterable[str], good: str) -> Result:
    """Failed with the problems, else unproven with what could not be probed, else proven."""
    bad, blind = tuple(problems), tuple(unknown)
    if bad:
        more = f" and {len(bad) - 6} more" if len(bad) > 6 else ""
        return subject.failed(f"{subject.path}: {'; '.join(bad[:6])}{more}", problems=list(bad))
    if not (subject.proof.tables or subject.proof.standing):
        blind = (*blind, "the migration makes no table, and none stands there")
    if blind:
        detail = f"not shown: {'; '.join(blind)}"
        return unproven(detail, subject.path, **subject.evidence)
    return proven_of(subject, good, **subject.evidence)


def _unknown(subject: Subject, tables: Sequence[Relation], roles: Sequence[str]) -> Iterator[str]:
    wanted = {t.qualified for t in tables}
    for cell in subject.proof.matrix:
        blind = cell.access in (Access.UNKNOWN, Access.ERROR)
        if cell.table in wanted and cell.role in roles and blind:
            yield f"{cell.role} {cell.verb} {cell.table} ({cell.detail})"


def _able(subject: Subject, role: str, table: Relation, verb: str) -> bool:
    cell = subject.proof.cell(role, table.qualified, verb)
    return cell is not None and cell.access.opens


def _refused(subject: Subject, role: str, table: Relation, verb: str) -> bool:
    """Whether a role was seen not to be able to; a probe that shows nothing is not a refusal."""
    cell = subject.proof.cell(role, table.qualified, verb)
    return cell is None or not (cell.access.allowed or cell.access is Access.UNKNOWN)


def _openings(
    subject: Subject, tables: Sequence[Relation], role: str, verbs: Sequence[str]
) -> Iterator[str]:
    """What a role can do that it must not."""
    for table in tables:
        done = [v for v in verbs if _able(subject, role, table, v)]
        if done:
            cells = [subject.proof.cell(role, table.qualified, v) for v in done]
            asked = {c.detail for c in cells if c is not None and c.access is Access.REQUEST}
            why = f" ({'; '.join(sorted(asked))})" if asked else ""
            yield f"{role} can {', '.join(done)} {table.name}{why}"


def _closures(
    subject: Subject, tables: Sequence[Relation], role: str, verbs: Sequence[str]
) -> Iterator[str]:
    """What a role cannot do that it must be able to."""
    for table in tables:
        missing = [v for v in verbs if _refused(subject, role, table, v)]
        if missing:
            yield f"{role} cannot {', '.join(missing)} {table.name}{_said(subject, role, table)}"


def _said(subject: Subject, role: str, table: Relation) -> str:
    """The server's words about what it raised, or refused for want of another privilege."""
    cells = [c for c in subject.proof.matrix if (c.role, c.table) == (role, table.qualified)]
    words = [
        c.detail
        for c in cells
        if c.access is Access.ERROR
        or (c.detail.startswith("permission denied") and not c.detail.endswith(f" {table.name}"))
    ]
    return f": {'; '.join(dict.fromkeys(words))}" if words else ""


def _unprotected(tables: Sequence[Relation]) -> Iterator[str]:
    yield from (f"{t.name} has row level security off" for t in tables if not t.rls)


def _side_doors(subject: Subject, tables: Tables, role: str, verbs: Sequence[str]) -> Iterator[str]:
    """Views that run with their owner's rights hand out what policies refuse.

    Those with the rights of who asks count where a claim is about all that there is.
    """
    invoked = subject.proof.invoked
    for view in subject.proof.relations:
        asks_as_caller = view.qualified in invoked
        if view.is_table or (asks_as_caller and tables.names):
            continue
        whose = "" if asks_as_caller else " with its owner's rights"
        for opening in _openings(subject, [view], role, verbs):
            yield f"{opening}, a view{whose}"


def _meant(ctx: Context, tables: Tables) -> tuple[Subject, tuple[Relation, ...]] | Result:
    found = tables_meant(ctx, tables)
    if not isinstance(found, Result):
        return found
    if found.verdict is Verdict.UNPROVEN:
        return opened_unjudged(ctx, found)
    subject = subject_of(ctx)
    if isinstance(subject, Result) or subject.proof.tables or not tables.every:
        return found
    # one that makes none, where none stands: what it opens can still be reported
    return found if specification_of(ctx, subject.path) is not None else (subject, ())


_RLS_KIND = "row level security"
_RLS = "(ENABLE ROW LEVEL SECURITY|RLS|row level security|row-level security)"
_ON = "(enabled|on|active|enforced|switched on|turned on)"


@check(
    "{tables:tables} (have|has) ENABLE ROW LEVEL SECURITY",
    "{tables:tables} (have|has) (RLS|row level security|row-level security) " + _ON,
    "{tables:tables} (enable|enables) (RLS|row level security|row-level security)",
    f"{_RLS} is {_ON} (on|for) {{tables:tables}}",
    f"{_RLS} {_ON} (on|for) {{tables:tables}}",
    f"(enable|enables) {_RLS} (on|for) {{tables:tables}}",
    f"{_RLS} is {_ON}",
    name="sql.rls-enabled",
    version=3,
    examples=("All three tables have `ENABLE ROW LEVEL SECURITY`", "RLS is enabled on all tables"),
)
def rls_enabled(ctx: Context, tables: Tables = _EVERY) -> Result:
    """Row level security is on and effective: probed, anon can write none of the tables."""
    found = _meant(ctx, tables)
    if isinstance(found, Result):
        return found
    subject, relations = found
    problems = [*_unprotected(relations), *_openings(subject, relations, "anon", _WRITES)]
    names = ", ".join(t.name for t in relations)
    off = {n for kind, n, state in subject.proof.catalog if kind == _RLS_KIND and not state}
    subject = replace(subject, older=subject.older & off)
    more = (
        beyond_claim(ctx, subject, API_ROLES[:2])
        if specification_of(ctx, subject.path) is not None
        else Beyond()
    )
    problems += more.problems
    unknown = [*_unknown(subject, relations, ("anon",)), *more.unknown]
    good = f"row level security is on in {names}, and refused every write of anon that was tried"
    return _judged(subject, problems, unknown, good)


_ALLOW = "(allow|allows|grant|grants|permit|permits)"


@check(
    "[RLS] (policy|policies) (are|is) [present] [and] [correct] "
    r"\({verb:verbs} only for {role:role}\)",
    f"[RLS] (policy|policies) {_ALLOW} {{verb:verbs}} only (for|to) {{role:role}}",
    f"[RLS] (policy|policies) {_ALLOW} only {{verb:verbs}} (for|to) {{role:role}}",
    "{tables:tables} (are|is) (READ-ONLY|read only) (for|to) {reader:role}",
    "{verb:verbs} only for {role:role}",
    name="sql.only-for",
    version=3,
    examples=(
        "RLS policies are present and correct (SELECT only for authenticated users)",
        "All three tables are READ-ONLY for authenticated users",
    ),
)
def only_for(
    ctx: Context,
    verb: tuple[str, ...] = ("SELECT",),
    role: str = "",
    reader: str = "",
    tables: Tables = _EVERY,
) -> Result:
    """One role may do this and nothing else, weaker roles nothing at all, through policies."""
    found = _meant(ctx, tables)
    if isinstance(found, Result):
        return found
    subject, relations = found
    allowed = role or reader
    problems, blind = list(_unprotected(relations)), list[str]()
    if allowed != "service_role":
        problems += [f"{t.name} has no policy" for t in relations if not t.policies]
    problems += _closures(subject, relations, allowed, verb)
    for other in API_ROLES[: API_ROLES.index(allowed) + 1]:
        verbs = [v for v in VERBS if other != allowed or v not in verb]
        problems += _openings(subject, relations, other, verbs)
        problems += _side_doors(subject, tables, other, verbs)
        more = beyond_claim(ctx, subject, (other,), verbs)
        problems += more.problems
        blind += more.unknown
    problems += _closures(subject, relations, "service_role", VERBS)
    good = f"{allowed} can {', '.join(verb)} and nothing else; service_role can write"
    names = ", ".join(t.name for t in relations)
    blind += _unknown(subject, relations, API_ROLES)
    return _judged(subject, problems, blind, f"{good} ({names})")


@check(
    "{tables:tables} (have|has) [an] RLS (policy|policies)",
    "{tables:tables} (have|has) [a|at least one] (policy|policies)",
    "[RLS] (policy|policies) (exist|exists|is present|are present) (on|for) {tables:tables}",
    name="sql.policies-present",
    examples=("All three tables have RLS policies",),
)
def policies_present(ctx: Context, tables: Tables) -> Result:
    """Each table has RLS and a policy that lets a role other than service_role through."""
    found = _meant(ctx, tables)
    if isinstance(found, Result):
        return found
    subject, relations = found
    problems = list(_unprotected(relations))
    for table in relations:
        if all(_refused(subject, r, table, v) for r in API_ROLES[:2] for v in VERBS):
            said = _said(subject, "authenticated", table) or _said(subject, "anon", table)
            opens = f"no policy of {table.name} lets anon or authenticated do anything"
            problems.append(opens + said)
        if not table.policies:
            problems.append(f"{table.name} has no policy")
    count = sum(len(t.policies) for t in relations)
    names = ", ".join(t.name for t in relations)
    good = f"{count} policies on {names}, each table reachable through one"
    return _judged(subject, problems, _unknown(subject, relations, API_ROLES[:2]), good)


_REFUSED = r"\| (test|write|insert|request|it) (fails|is (refused|rejected|denied)) [gracefully]"


@check(
    "RLS (prevents|blocks|denies|stops|refuses) {role:role} (from|to) {verbs:verbs}",
    "RLS (prevents|blocks|denies|stops|refuses) {role:role} {verbs:verbs}",
    f"RLS (prevents|blocks|denies|stops|refuses) {{role:role}} {{verbs:verbs}} {_REFUSED}",
    "{role:role} {verbs:verbs} (is|are) (prevented|blocked|denied|refused|rejected) [by RLS]",
    name="sql.rls-prevents",
    version=3,
    examples=("RLS prevents unauthenticated write | Test fails gracefully",),
)
def rls_prevents(ctx: Context, role: str, verbs: tuple[str, ...]) -> Result:
    """Row level security itself refuses a role that holds the table privilege: tried with rows."""
    found = _meant(ctx, _EVERY)
    if isinstance(found, Result):
        return found
    subject, relations = found
    problems = [*_unprotected(relations), *_openings(subject, relations, role, verbs)]
    problems += _side_doors(subject, _EVERY, role, verbs)
    more = beyond_claim(ctx, subject, (role,), verbs)
    problems += more.problems
    names = ", ".join(t.name for t in relations)
    good = (
        f"as {role}, {', '.join(verbs)} on {names} reached no row and was refused in an "
        "orderly way (SQLSTATE 42501, or no row)"
    )
    return _judged(subject, problems, [*_unknown(subject, relations, (role,)), *more.unknown], good)


_WHAT = "(the data|data|rows|records|anything|nothing|to it|to them|from it|it|them)"
_MAY = "(can|may|is able to|is allowed to)"


@check(
    "{role:role} {can:can} {verbs:verbs}",
    "{role:role} {can:can} {verbs:verbs} [(to|from|into|in|any of)] {tables:tables}",
    "{role:role} {can:can} {verbs:verbs} [(to|from|into|in)] {tables:anytable}",
    f"{{role:role}} {{can:can}} {{verbs:verbs}} {_WHAT}",
    "{role:role} (has|have) {can:nothing} {verbs:verbs} [access] [to {tables:tables}]",
    "{tables:tables} {can:may} be {verbs:verbs} by {role:role}",
    f"{{can:nothing}} (table|tables) {_MAY} be {{verbs:verbs}} by {{role:role}}",
    "{tables:tables} {can:be} {verbs:able} (by|to|for) {role:role}",
    "{can:nothing} (table|tables) (is|are) {verbs:able} (by|to|for) {role:role}",
    name="sql.role-can",
    version=3,
    examples=(
        "Anonymous users cannot write",
        "service_role can insert, update and delete",
        "`booking` can be read by authenticated users",
    ),
)
def role_can(
    ctx: Context, role: str, can: Can, verbs: tuple[str, ...], tables: Tables = _EVERY
) -> Result:
    """A role can, cannot, or can only do something, tried with real rows."""
    found = _meant(ctx, tables)
    if isinstance(found, Result):
        return found
    subject, relations = found
    problems, blind = list[str](), list(_unknown(subject, relations, (role,)))
    if can is not Can.MAY_NOT:
        problems += _closures(subject, relations, role, verbs)
    if can is not Can.MAY:
        refused = verbs if can is Can.MAY_NOT else [v for v in VERBS if v not in verbs]
        problems += _openings(subject, relations, role, refused)
        problems += _side_doors(subject, tables, role, refused)
        more = beyond_claim(ctx, subject, (role,), refused)
        problems += more.problems
        blind += more.unknown
    names = ", ".join(t.name for t in relations)
    good = f"{role} {can} {', '.join(verbs)}: tried on {names}"
    return _judged(subject, problems, blind, good)


@check(
    f"only {{role:role}} {_MAY} {{verbs:verbs}}",
    f"only {{role:role}} {_MAY} {{verbs:verbs}} [(to|from|into|in)] {{tables:tables}}",
    f"only {{role:role}} {_MAY} {{verbs:verbs}} {_WHAT}",
    f"(nobody|no one|none) but {{role:role}} {_MAY} {{verbs:verbs}}",
    f"(nobody|no one|none) but {{role:role}} {_MAY} {{verbs:verbs}} "
    "[(to|from|into|in)] {tables:tables}",
    f"(nobody|no one|none) but {{role:role}} {_MAY} {{verbs:verbs}} "
    "[(to|from|into|in)] {tables:anytable}",
    "{tables:tables} (can|may) only be {verbs:verbs} by {role:role}",
    "{tables:tables} (can|may) be {verbs:verbs} only by {role:role}",
    "{tables:tables} (can|may) be {verbs:verbs} by {role:role} only",
    "{verbs:verbs} (is|are) (only possible|possible only|allowed only|only allowed|restricted) "
    "(for|to|by|as) {role:role}",
    name="sql.only-role-can",
    version=3,
    examples=("Only service_role can write",),
)
def only_role_can(
    ctx: Context, role: str, verbs: tuple[str, ...], tables: Tables = _EVERY
) -> Result:
    """A role can do something, and no weaker role of the API can."""
    result = role_can(ctx, role, Can.MAY, verbs, tables)
    for other in API_ROLES[: API_ROLES.index(role)]:
        if result.verdict is Verdict.PROVEN:
            result = role_can(ctx, other, Can.MAY_NOT, verbs, tables)
    if result.verdict is not Verdict.PROVEN:
        return result
    return proven(f"only {role} can {', '.join(verbs)}", *result.subjects, **result.evidence)
