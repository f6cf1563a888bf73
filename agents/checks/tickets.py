"""Checks of tickets: where they lie, whose they are, what they say; and of what USER answered."""

from __future__ import annotations

import re

from orchestrate_agents.seed_data.table_schema import vocabulary
from orchestrator.domain.agent import MemberInfo
from orchestrator.gates.checks import (
    Context,
    Phase,
    Result,
    Verdict,
    check,
    failed,
    parameter_type,
    proven,
)
from orchestrator.markdown.body import lines_outside_code, parse_heading
from orchestrator.markdown.frontmatter import Document
from orchestrator.tickets.board import normal_status
from orchestrator.tickets.id_grammar import id_from_name
from orchestrator.tickets.ticket import OWNER_KEYS

#: a sentence's rest that cannot swallow the next claim
parameter_type("act", r"(?:(?!\.\s|;|\s[—–]\s).)+", str.strip)

parameter_type("reporting", r"(?!`?owner).+?(?:report|section|brief|notes?|findings)", str.strip)

#: frontmatter that every ticket of a board needs
_FIELDS = ("id", "title", "status", "owner")


# -- resolving -------------------------------------------------------------------------------------


def member_of(ctx: Context, name: str) -> MemberInfo | Result:
    """The family's ticket of that id or file name; a failed result if there is none."""
    wanted = {name.lower(), name.removesuffix(".md").lower(), id_from_name(name).lower()} - {""}
    for member in ctx.family:
        if member.id.lower() in wanted or member.path.lower().endswith("/" + name.lower()):
            return member
    known = ", ".join(m.id for m in ctx.family) or "none"
    return failed(f"{name} is no ticket of this family ({known})")


def _document(ctx: Context, member: MemberInfo) -> Document | Result:
    file = ctx.path(member.path)
    if not file.is_file():
        return failed(f"{member.path} is missing", member.path)
    return Document.parse(file.read_bytes())


def _folder(member: MemberInfo) -> str:
    return member.path.rpartition("/")[0].rpartition("/")[2]


def _lies_in(ctx: Context, member: MemberInfo, folder: str) -> str:
    """Why the ticket does not lie there, "" if it does: the folder and the status must agree."""
    document = _document(ctx, member)
    if isinstance(document, Result):
        return document.detail
    name = folder.rpartition("/")[2]
    for what, text in (("lies in", _folder(member)), ("has the status", document.text("status"))):
        if not _same_place(text, name):
            return f"{member.id} {what} {text or 'nothing'}, not {name}"
    return ""


def _same_place(left: str, right: str) -> bool:
    if left.upper() == right.upper():
        return True
    role = normal_status(left)
    return role is not None and role is normal_status(right)


# -- position --------------------------------------------------------------------------------------


@check(
    "{ticket:id} [is|lies] in {folder:folder} with [`]owner: {owner:agent}",
    "{ticket:id} [is|lies] in {folder:folder} [and] [is] owned by {owner:agent}",
    name="tickets.placed-and-owned",
    phase=Phase.POSITION,
    examples=("WO-231a in `03_BUILD` with `owner: SOOP`",),
)
def is_placed_and_owned(ctx: Context, ticket: str, folder: str, owner: str) -> Result:
    """The ticket lies in the folder, its status says so, and its owner is the named one."""
    member = member_of(ctx, ticket)
    if isinstance(member, Result):
        return member
    document = _document(ctx, member)
    if isinstance(document, Result):
        return document
    problem = _lies_in(ctx, member, folder)
    held = document.text(*OWNER_KEYS)
    if not problem and held.upper() != owner.upper():
        problem = f"{member.id} is owned by {held or 'nobody'}, not {owner}"
    return failed(problem) if problem else proven(f"{member.id} is in {folder}, owner {owner}")


@check(
    "{ticket:id} (is|lies|stands) in {folder:folder}",
    "{ticket:id} in {folder:folder}",
    "{ticket:id} (moves|moved|is moved|has moved|goes|went) to {folder:folder}",
    name="tickets.placed",
    phase=Phase.POSITION,
    examples=("WO-231 moves to `06_COMPLETE`", "WO-512a is in `04_QA`"),
)
def is_placed(ctx: Context, ticket: str, folder: str) -> Result:
    """The ticket lies in the folder (by its role, whatever its number) and its status says so."""
    member = member_of(ctx, ticket)
    if isinstance(member, Result):
        return member
    problem = _lies_in(ctx, member, folder)
    return failed(problem) if problem else proven(f"{member.id} is in {_folder(member)}")


@check(
    "{ticket:id} (has|is owned by) [`]owner: {owner:agent}",
    "{ticket:id} is owned by {owner:agent}",
    "owner of {ticket:id} is {owner:agent}",
    name="tickets.owned",
    phase=Phase.POSITION,
    examples=("WO-231a is owned by SOOP",),
)
def is_owned(ctx: Context, ticket: str, owner: str) -> Result:
    """The ticket's owner is the named one."""
    member = member_of(ctx, ticket)
    if isinstance(member, Result):
        return member
    document = _document(ctx, member)
    if isinstance(document, Result):
        return document
    held = document.text(*OWNER_KEYS)
    verdict = proven if held.upper() == owner.upper() else failed
    return verdict(f"{member.id} is owned by {held or 'nobody'}")


@check(
    "{ticket:path} (exists|is|lies) in {folder:folder} with [a|an|the] {section:act}",
    "{ticket:id} (exists|is|lies) in {folder:folder} with [a|an|the] {section:reporting}",
    name="tickets.placed-with-section",
    phase=Phase.POSITION,
    examples=("WO-231.md exists in `_WORK_ORDERS/00_INBOX/` with ANALYST research report",),
)
def is_placed_with_section(ctx: Context, ticket: str, folder: str, section: str) -> Result:
    """The ticket lies in the folder and has a section of that name with text in it."""
    member = member_of(ctx, ticket)
    if isinstance(member, Result):
        return member
    problem = _lies_in(ctx, member, folder)
    found = _section(ctx, member, section)
    if problem or found.verdict is Verdict.FAILED:
        return failed("; ".join(p for p in (problem, _failure(found)) if p))
    return proven(f"{member.id} is in {_folder(member)}; {found.detail}")


def _failure(result: Result) -> str:
    return result.detail if result.verdict is Verdict.FAILED else ""


# -- what a ticket says ----------------------------------------------------------------------------

_WEAK = vocabulary("a an the and of for with full its section report")


@check(
    "{ticket:id} has [a|an|the] {title:code} section",
    "{ticket:id} has [a|an|the] section {title:code}",
    "{ticket:id} has [a|an|the] {title:reporting}",
    "{title:code} section is (present|there) in {ticket:id}",
    "{title:code} section [is] (appended|added) to {ticket:id}",
    name="tickets.section",
    examples=(
        "WO-231 has a `## LEAD ARCHITECTURE` section",
        "WO-231 has an ANALYST research report",
    ),
)
def has_section(ctx: Context, ticket: str, title: str) -> Result:
    """The ticket has a heading with these words (not in a code block) and text under it."""
    member = member_of(ctx, ticket)
    return member if isinstance(member, Result) else _section(ctx, member, title)


def _section(ctx: Context, member: MemberInfo, title: str) -> Result:
    document = _document(ctx, member)
    if isinstance(document, Result):
        return document
    wanted = {w.lower() for w in re.findall(r"\w+", title)} - _WEAK
    empty = ""
    for head, words in _sections(document.body):
        if wanted <= {w.lower() for w in re.findall(r"\w+", head)} or _names_report(wanted, head):
            if words >= 3:
                return proven(f"section “{head}” with {words} words", member.path)
            empty = head
    if empty:
        return failed(f"the section “{empty}” of {member.id} is empty", member.path)
    return failed(f"{member.id} has no section “{title.strip('# ')}”", member.path)


def _names_report(wanted: set[str], head: str) -> bool:
    """A research report may be headed by the word research alone, whoever wrote it."""
    return "research" in wanted and re.search(r"\bresearch\b", head, re.IGNORECASE) is not None


def _sections(body: str) -> list[tuple[str, int]]:
    """(heading, words below it up to the next heading of its level or above)."""
    lines = body.split("\n")
    open_: list[tuple[int, int]] = []
    found: list[tuple[str, int]] = []
    prose = {at for at, _ in lines_outside_code(lines)}
    for number, line in enumerate(lines):
        head = parse_heading(line) if number in prose else None
        if head is None:
            for _, at in open_:
                found[at] = (found[at][0], found[at][1] + len(line.split()))
            continue
        level, text = head
        open_ = [(depth, at) for depth, at in open_ if depth < level]
        open_.append((level, len(found)))
        found.append((text, 0))
    return found


@check(
    "{ticket:id} has (complete|full) frontmatter",
    "[the] frontmatter of {ticket:id} is complete",
    "[all] ticket frontmatter is complete",
    "(every|each) ticket has (complete|full) frontmatter",
    name="tickets.frontmatter",
    examples=("WO-231a has complete frontmatter", "every ticket has complete frontmatter"),
)
def has_frontmatter(ctx: Context, ticket: str = "") -> Result:
    """id, title, status and owner are given, can be read, and the id is the ticket's."""
    if not ticket:
        members: tuple[MemberInfo, ...] = ctx.family
    else:
        member = member_of(ctx, ticket)
        if isinstance(member, Result):
            return member
        members = (member,)
    problems = [p for m in members if (p := _frontmatter_problem(ctx, m))]
    paths = tuple(m.path for m in members)
    if problems or not members:
        return failed("; ".join(problems) or "the family has no ticket", *paths)
    return proven(f"{', '.join(m.id for m in members)}: {', '.join(_FIELDS)} are given", *paths)


def _frontmatter_problem(ctx: Context, member: MemberInfo) -> str:
    document = _document(ctx, member)
    if isinstance(document, Result):
        return document.detail
    missing = [f for f in _FIELDS if not document.text(*(OWNER_KEYS if f == "owner" else (f,)))]
    if missing:
        return f"{member.id} lacks {', '.join(missing)}"
    held = document.text("id")
    return "" if held == member.id else f"{member.path} has the id {held}"


# -- USER's acts -----------------------------------------------------------------------------------


@check(
    "USER [has] (says|said|answers|answered|replies|replied|approves|approved|confirms|confirmed|"
    "accepts|accepted|signs off|signed off|agrees|agreed) [{act:act}]",
    "(approved|confirmed|accepted|signed off) by USER [{act:act}]",
    name="tickets.user-answered",
    phase=Phase.ANSWER,
    examples=(
        'USER says "approved" or requests modifications',
        "USER confirms record counts and pushes to remote",
        "USER approves the schema",
    ),
)
def user_answered(ctx: Context, act: str = "") -> Result:
    """USER's recorded answer at this stage says so; nothing else proves it (DESIGN 6.5)."""
    answer = _answer(ctx)
    if not answer:
        return Result(Verdict.PENDING, "USER has not answered yet")
    takes_changes = re.search(
        r"\b(?:requests?|asks? for|or)\b.*\b(?:modifications?|changes?|corrections?)\b", act, re.I
    )
    if answer == "approved" or (answer == "changes_requested" and takes_changes):
        return proven(f"USER answered: {answer.replace('_', ' ')}")
    if answer == "hold":
        return Result(Verdict.PENDING, "USER has put it on hold")
    return failed(f"USER answered: {answer.replace('_', ' ')}")


def _answer(ctx: Context) -> str:
    """USER's last answer at the statement's stage; an answer that was undone is none."""
    stage = ctx.stage.number if ctx.stage else None
    answers = [r for r in ctx.history if r.get("type") == "answer" and r.get("stage") == stage]
    last = str(answers[-1].get("answer", "")) if answers else ""
    return last if last in ("approved", "changes_requested", "hold") else ""
