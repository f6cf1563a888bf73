"""Checks that users reach their own rows and nobody else's, tried with rows of two users."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from orchestrate_agents.checks.sql.subjects import Subject, subject_of
from orchestrate_agents.sql.access_matrix import VERBS, Access
from orchestrate_agents.sql.own_rows import OwnRows, own_rows
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    parameter_type,
    proven,
    unproven,
)
from orchestrator.gates.expressions import MEANING

_THINGS = r"(?:rows?|data|records?|entries|content|information|stuff|things)"
_FILES = ("files", "file", "uploads", "objects", "folder", "folders", "images", "documents")
_TABLE = rf"(?:[`\"][A-Za-z_][\w.]*[`\"]|(?!{MEANING})[A-Za-z_][\w.]*)"
_WHAT = (
    rf"(?:{_THINGS}(?:\s+(?:in|of|from)\s+(?:the\s+)?(?:table\s+)?{_TABLE}(?:\s+table)?)?"
    rf"|{_TABLE}(?:\s+(?:rows?|records?|entries|data|table))?)"
)


def _read_what(text: str) -> str:
    """The table that `rows`, `rows of notes`, `notes` or `notes rows` speak of; "" for all."""
    names = re.findall(r"[A-Za-z_][\w.]*", text)
    plain = [n for n in names if not re.fullmatch(rf"{_THINGS}|in|of|from|the|table|own", n, re.I)]
    return plain[-1].removeprefix("public.") if plain else ""


parameter_type("ownthing", _WHAT, _read_what)

_KIND = "[(authenticated|signed-in|logged-in|regular|normal|ordinary|different)]"
_PERSON = "user|customer|member|team member|person|client|owner|tenant|account|patient|student"
_PEOPLE = "users|customers|members|team members|people|clients|owners|tenants|accounts|patients"
_RLS = "(RLS|policies|RLS policies|the RLS policies|row level security|row-level security)"
_USERS = f"[(a|an|each|every|any|the|all)] {_KIND} ({_PERSON}|{_PEOPLE}|students|everyone)"
_ENSURED = f"[{_RLS} (ensures|ensure|guarantees|guarantee|makes sure) [that]] {_USERS}"
_GROUP = "{team:ownteam}"
parameter_type(
    "ownteam",
    "team|organization|organisation|tenant|company|workspace|account|group",
    lambda text: bool(text),
)
_THEIR = (
    "(their|his|her|its|his/her|his or her|their own|his own|her own|its own|his/her own|"
    f"his or her own|(their|its) [own] {_GROUP}'s)"
)
_OF_THEIRS = f"(of|in|from|belonging to) (their|its) [own] {_GROUP}"
_ABLE = "(can|may|must|should|shall|are able to|is able to|are allowed to|is allowed to)"
_ONLY = (
    "(can only|may only|must only|should only|shall only|can just|only ever|should only be able to|"
    "must only be able to|are only able to|is only able to|are only allowed to|is only allowed to)"
)
_NOT = (
    "(cannot|can not|can't|can’t|may not|must not|should not|shouldn't|can never|never|do not|"
    "don't|does not|doesn't|must never|(is|are) not able to|(is|are) not allowed to|"
    "(is|are) unable to|(must|should) not be able to|must never be able to)"
)
_OTHER = "user|person|customer|member|tenant|account"
_ELSE = (
    f"(another|another's|others'|others’|each other's|one another's|other people's|user b's|"
    f"another ({_OTHER})'s|another ({_OTHER})’s|a different ({_OTHER})'s|other ({_OTHER})s'|"
    f"other ({_OTHER})s’|other ({_OTHER})s|(anyone|anybody|someone|somebody) else's)"
)
_OF_ELSE = (
    "(of|belonging to|owned by|that belong to|that belongs to|from|for) "
    f"(another ({_OTHER})|others|"
    f"other ({_OTHER})s|(anyone|anybody|someone|somebody) else)"
)
_NOT_THEIRS = (
    "(that are not theirs|that is not theirs|that are not their own|(that|which) they do not own|"
    "they do not own|they don't own)"
)
_OWNER = "(its|their|the|the row's) (owner|owners|user|author|creator)"
_EACH = "[(a|an|each|every|the|all|any)]"


def _subject(ctx: Context, what: str) -> tuple[Subject, tuple[OwnRows, ...]] | Result:
    """The migration, and what two users could do to the rows that a claim speaks of."""
    subject = subject_of(ctx)
    if isinstance(subject, Result):
        return subject
    probed = own_rows(subject.text, subject.proof, ctx.services, subject.base)
    if not what:
        return (subject, probed) if probed else unproven(f"{subject.path} makes no table")
    for names in ((what, f"public.{what}"), _either_number(what)):
        found = tuple(
            p for p in probed if {p.table, p.table.rpartition(".")[2]}.intersection(names)
        )
        if found:
            return subject, found
    files = tuple(p for p in probed if p.table == "storage.objects")
    if files and what.lower() in _FILES:
        return subject, files
    return unproven(
        f"{subject.path} makes no table {what}, so it is not clear whose rows are meant"
    )


def _either_number(what: str) -> set[str]:
    """A table's name as prose may have it: `Notes` of the table note, `category` of categories."""
    said = what.lower()
    plural = {f"{said}s", f"{said}es", re.sub(r"y$", "ies", said)}
    return {
        said,
        *plural,
        re.sub(r"s$", "", said),
        re.sub(r"es$", "", said),
        re.sub(r"ies$", "y", said),
    }


def _leaks(probed: Sequence[OwnRows], verbs: Sequence[str]) -> Iterator[str]:
    """What users do to each other's rows."""
    for table in probed:
        for who in dict.fromkeys(who for _, who in table.foreign):
            done = [v for v in VERBS if v in verbs and (v, who) in table.foreign]
            if done:
                yield f"{who} can {', '.join(done)} another user's rows of {table.table}"


def _closed(probed: Sequence[OwnRows], verbs: Sequence[str]) -> Iterator[str]:
    """What users cannot do to their own rows."""
    for table in probed:
        missing = [v for v in verbs if v not in table.own]
        if missing:
            yield f"a signed-in user cannot {', '.join(missing)} own rows of {table.table}"


def _blind(
    subject: Subject, probed: Sequence[OwnRows], verbs: Sequence[str], *, named: bool
) -> Iterator[str]:
    """What could not be tried, and side doors to the rows that nothing distinguishes."""
    for table in probed:
        for verb, words in table.unknown:
            if not verb or verb in verbs:
                yield f"{' '.join(filter(None, (verb, table.table)))}: {words}"
    tables = {table.table.rpartition(".")[2].lower() for table in probed}
    for cell in subject.proof.matrix:
        relation = subject.proof.relation(cell.table)
        view = relation is not None and not relation.is_table
        opens = cell.access in (Access.ALLOWED, Access.SOME)
        is_meant = not named or not tables.isdisjoint(_names_in_view(cell.table, subject))
        if view and is_meant and opens and cell.role == "authenticated" and cell.verb in verbs:
            yield f"every signed-in user can {cell.verb} the view {cell.table}"
    for lent in subject.proof.rls_bypasses:
        if named and not lent.may_touch(tables):
            continue
        does = lent.does == ("reads" if "SELECT" in verbs else "writes") or len(verbs) == len(VERBS)
        if does and lent.does != "answers" and not lent.trigger:
            yield str(lent)


def _names_in_view(view: str, subject: Subject) -> set[str]:
    """The names in a view's text and in those of the views that it reads, without schemas."""
    texts = {n: text for kind, n, text in subject.proof.catalog if kind == "view definition"}
    named, waiting = set[str](), [view]
    while waiting:
        words = set(re.findall(r"\w+", texts.pop(waiting.pop(), "").lower()))
        named |= words
        waiting += [n for n in texts if n.rpartition(".")[2].lower() in words]
    return named


#: with these words, what is kept from others is kept from other teams
_TEAMS = (
    r"(?:teams?(?!\s+(?:member|mate)s?\b)|organi[sz]ations?|tenants?|compan(?:y|ies)|accounts?)"
)
_GROUP_SAID = re.compile(
    rf"\b(?:cross|per|multi|by|another|other|different|each|every|no|their|its|own)[\s-]+{_TEAMS}\b"
    rf"|^\W*(?:an?\s+|all\s+|the\s+)?{_TEAMS}\b|\b{_TEAMS}(?:['’]s?)?\s+(?:data\s+|level\s+)?"
    r"(?:isolation|separation)",
    re.IGNORECASE,
)


def _said(ctx: Context) -> str:
    """The words of the statement, without the names that it quotes."""
    return re.sub(r"[`\"][^`\"]*[`\"]", "", ctx.statement.text if ctx.statement else "")


def _of_a_team(table: OwnRows, verbs: Sequence[str]) -> str:
    done = ", ".join(v for v in VERBS if v in verbs and v in table.mates)
    return f"a user of the same team or group can {done} another's rows of {table.table}"


def _has_policy(subject: Subject, table: OwnRows) -> bool:
    relation = subject.proof.relation(table.table)
    return relation is not None and bool(relation.policies)


def _judge(
    ctx: Context,
    what: str,
    verbs: Sequence[str],
    mine: Sequence[str],
    *,
    others: bool = True,
    team: bool = False,
) -> Result:
    """Two users: each does `mine` to own rows, and (with `others`) no `verbs` to other rows."""
    found = _subject(ctx, what)
    if isinstance(found, Result):
        return found
    subject, probed = found
    # a table that all may read and that holds nobody's rows is not what such a claim speaks of
    common = [p for p in probed if not (what or p.owned or p.unknown) and p.foreign]
    theirs = [p for p in probed if p not in common]
    leaks = list(_leaks(theirs, verbs))
    names_of = {p.table for p in theirs}
    asked = [r for r in subject.proof.by_request if r.table in names_of and r.verb in verbs]
    leaks += [str(r) for r in asked if r.sure]
    seen = {p.table: {"own": p.own, "foreign": p.foreign} for p in probed}
    # one without a policy beside others is closed on purpose
    opened = [p for p in theirs if what or _has_policy(subject, p)] or theirs
    alone = others and not (team or _GROUP_SAID.search(_said(ctx)))
    shared = [p for p in theirs if alone and set(p.mates) & set(verbs)]
    leaks += [_of_a_team(p, verbs) for p in shared if p.personal]
    problems = [*_closed([p for p in opened if not p.unknown], mine), *(leaks if others else ())]
    if problems:
        listed = "; ".join(problems[:6])
        return subject.failed(f"{subject.path}: {listed}", problems=problems, two_users=seen)
    blind = list(_blind(subject, theirs, verbs, named=bool(what)))
    blind += [str(r) for r in asked if not r.sure]
    blind += [f"nothing in {p.table} says whose a row is; name the tables" for p in common]
    if not others and leaks:
        blind.append("; ".join(leaks) + ": say “only” if that must not be")
    for table in shared:
        blind.append(f"{_of_a_team(table, verbs)}: say “their team's” if that is meant")
    for table in (p for p in theirs if others and set(p.ownerless) & set(verbs)):
        done = ", ".join(v for v in VERBS if v in verbs and v in table.ownerless)
        blind.append(f"a signed-in user can {done} rows of {table.table} that have no owner (null)")
    for table in (p for p in theirs if alone):
        blind += [f"{v} {table.table}: {w}" for v, w in table.mates_unknown if v in verbs]
    if not theirs and not blind:
        blind.append("no table holds anybody's rows")
    if blind:
        detail = f"{subject.path}: {'; '.join(dict.fromkeys(blind))}"
        return unproven(detail, subject.path, two_users=seen, **subject.evidence)
    names = ", ".join(p.table for p in theirs)
    each = f"each could {', '.join(mine)} these and " if mine else ""
    return proven(
        f"of two users with rows of their own in {names}, {each}neither could "
        f"{', '.join(verbs)} the other's; nor could anon",
        subject.path,
        two_users=seen,
        **subject.evidence,
    )


def _mine(verbs: Sequence[str], said: str) -> tuple[str, ...]:
    """What users must be able to do with own rows: of "access" at least to see them."""
    return (
        ("SELECT",) if len(verbs) == len(VERBS) and "manage" not in said.lower() else tuple(verbs)
    )


@check(
    f"{_ENSURED} {_ONLY} {{verbs:verbs}} {_THEIR} {{what:ownthing}}",
    f"{_ENSURED} {_ONLY} {{verbs:verbs}} {{what:ownthing}} {_OF_THEIRS}",
    f"{_ENSURED} {_ABLE} {{verbs:verbs}} only {_THEIR} {{what:ownthing}}",
    f"{_ENSURED} {_ABLE} {{verbs:verbs}} {_THEIR} {{what:ownthing}} "
    "(only|and nothing else|and no others|and no one else's|but not others'|but nobody else's)",
    f"{_ENSURED} only {{verbs:verbs}} {_THEIR} {{what:ownthing}}",
    f"{_ENSURED} {{verbs:verbs}} only {_THEIR} {{what:ownthing}}",
    f"(only|no one but|nobody but|no one except|nobody except) (owners|{_OWNER}) {_ABLE} "
    f"{{verbs:verbs}} [(their|its)] {_EACH} {{what:ownthing}}",
    f"{_EACH} {{what:ownthing}} (can|may|must|should) only be {{verbs:verbs}} by {_OWNER}",
    f"{_EACH} {{what:ownthing}} (can|may) be {{verbs:verbs}} only by {_OWNER}",
    f"{_EACH} {{what:ownthing}} (can|may) be {{verbs:verbs}} by {_OWNER} only",
    name="sql.own-rows-only",
    version=4,
    examples=(
        "Users can only see their own rows",
        "Users can only access their own data",
        "Only the owner can read `shelf`",
    ),
)
def own_rows_only(
    ctx: Context, verbs: tuple[str, ...], what: str = "", team: bool = False
) -> Result:
    """Two users with rows of their own: each reaches these, and neither the other's; nor anon."""
    said = ctx.statement.text if ctx.statement is not None else ""
    return _judge(ctx, what, verbs, _mine(verbs, said), team=team)


@check(
    f"{_ENSURED} [a] {_NOT} {{verbs:verbs}} {_ELSE} {{what:ownthing}}",
    f"{_ENSURED} {_NOT} {{verbs:verbs}} [any] {{what:ownthing}} ({_OF_ELSE}|{_NOT_THEIRS})",
    f"(no {_KIND} ({_PERSON})|no one|nobody) {_ABLE} {{verbs:verbs}} {_ELSE} {{what:ownthing}}",
    f"(no {_KIND} ({_PERSON})|no one|nobody) {_ABLE} {{verbs:verbs}} {{what:ownthing}} {_OF_ELSE}",
    f"{_RLS} (prevents|prevent|stops|stop|blocks|block) {_USERS} from {{verbs:verbs}} "
    f"({_ELSE} {{what:ownthing}}|{{which:ownthing}} {_OF_ELSE})",
    name="sql.others-rows",
    version=4,
    examples=("A user cannot read another user's rows",),
)
def others_rows(ctx: Context, verbs: tuple[str, ...], what: str = "", which: str = "") -> Result:
    """Two users with rows of their own: neither reaches the other's; nor does anon."""
    return _judge(ctx, what or which, verbs, ())


_ACROSS = "tenant|user|account|customer|organization|organisation|team"
_CROSS = f"(cross-({_ACROSS})|cross ({_ACROSS}))"
_APART = f"(({_ACROSS}|row|data)|per-({_ACROSS})|multi-tenant)"
_PREVENT = "(prevent|prevents|block|blocks|deny|denies|stop|stops|forbid|forbids)"


@check(
    f"[{_RLS}] {_PREVENT} {_CROSS} [data] (access|reads and writes)",
    f"no {_CROSS} [data] access [is possible]",
    f"{_RLS} (enforce|enforces|ensure|ensures|guarantee|guarantees) {_APART} [(data|level)] "
    "(isolation|separation)",
    f"{_APART} [(data|level)] (isolation|separation) is (enforced|ensured|guaranteed) [by {_RLS}]",
    f"[the] {{what:ownthing}} (is|are) isolated (per|by) ({_ACROSS}|owner)",
    f"({_PEOPLE}) are isolated from (each other|one another)",
    f"({_RLS}|policy|the policy) (restrict|restricts|limit|limits) [access to] [(all|the)] "
    f"{{what:ownthing}} to {_OWNER}",
    f"({_RLS}|policy|the policy) (restrict|restricts|limit|limits) {_USERS} to {_THEIR} "
    "{what:ownthing}",
    f"{_USERS} (is|are) (restricted|limited|confined) to {_THEIR} {{what:ownthing}}",
    f"{_EACH} {{what:ownthing}} (is|are) (private|visible only|accessible only|only visible|"
    f"only accessible|restricted|limited) to {_OWNER} [only]",
    name="sql.rows-apart",
    version=4,
    examples=("RLS policies prevent cross-tenant access", "Rows are private to their owner"),
)
def rows_apart(ctx: Context, what: str = "", team: bool = False) -> Result:
    """Two users with rows of their own: neither reads, makes, changes or deletes the other's."""
    return _judge(ctx, what, VERBS, ("SELECT",), team=team)


@check(
    f"{_USERS} {_ABLE} {{verbs:verbs}} {_THEIR} {{what:ownthing}}",
    name="sql.own-rows",
    examples=("Users can manage their own rows",),
)
def own_rows_may(
    ctx: Context, verbs: tuple[str, ...], what: str = "", team: bool = False
) -> Result:
    """Two users with rows of their own: each can do all of this to them."""
    return _judge(ctx, what, verbs, verbs, others=False, team=team)
