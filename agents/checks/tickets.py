"""Checks of tickets: their folder, owner and text; and of what USER answered."""

from __future__ import annotations

import re

from orchestrate_agents.seed_data.table_schema import vocabulary
from orchestrator.domain.agent import MemberInfo
from orchestrator.domain.id_grammar import id_from_name
from orchestrator.domain.keys import KEYS
from orchestrator.domain.record import done_before
from orchestrator.gates.checks import (
    Context,
    Phase,
    Result,
    Verdict,
    check,
    failed,
    not_applicable,
    parameter_type,
    proven,
    unproven,
)
from orchestrator.gates.expressions import MEANING
from orchestrator.markdown.body import lines_outside_code, parse_heading
from orchestrator.markdown.frontmatter import Document
from orchestrator.tickets.board import normal_status

#: a sentence's rest that cannot swallow the next claim
_REST = r"(?!\.\s|;|\s(?:[—–-]|--|→|=>|->)\s|\s*[(\[][^)\]]*`|:\s*`)"
parameter_type("act", rf"(?:{_REST}(?!{MEANING}).)+", str.strip)
# what USER confirms may be a negation, USER's own act may not
parameter_type(
    "answer",
    # nor does it begin with what sets a command apart
    rf"(?![—–\-→=:(\[])(?:that (?:{_REST}.)+|(?:{_REST}(?!{MEANING}).)+?"
    r"(?: or (?:requests?|asks? for) (?:modifications?|changes?|corrections?))?)",
    str.strip,
)
parameter_type(
    "reporting",
    rf"(?!`?owner)(?:(?!{MEANING}).)+?(?:report|section|brief|notes?|findings)",
    str.strip,
)

#: frontmatter that every ticket of a board needs
_FIELDS = ("id", "title", "status", "owner")


# -- resolving -------------------------------------------------------------------------------------


def find_member(ctx: Context, name: str) -> MemberInfo | Result:
    """The family's ticket of that id or file name; a failed result if there is none."""
    wanted = {name.lower(), name.removesuffix(".md").lower(), id_from_name(name).lower()} - {""}
    for member in ctx.family:
        if member.id.lower() in wanted or member.path.lower().endswith("/" + name.lower()):
            return member
    known = ", ".join(m.id for m in ctx.family) or "none"
    return failed(f"{name} is not a ticket of this family ({known})")


def _read_member(ctx: Context, name: str) -> tuple[MemberInfo, Document] | Result:
    """The family's ticket of that name and its file; a failed result if one is missing."""
    member = find_member(ctx, name)
    if isinstance(member, Result):
        return member
    file = ctx.path(member.path)
    if not file.is_file():
        return failed(f"{member.path} is missing", member.path)
    return member, Document.parse(file.read_bytes())


def _folder(member: MemberInfo) -> str:
    return member.path.rpartition("/")[0].rpartition("/")[2]


def _check_place(member: MemberInfo, document: Document, folder: str) -> str:
    """Why the ticket is not in the folder, "" if it is: place and status must agree."""
    name = folder.rpartition("/")[2]
    role = normal_status(name)
    if role is not None and member.place == role:
        # the board may have other words for it, and keep its files in one folder
        return ""
    for what, text in (
        ("is in", _folder(member)),
        ("has the status", document.text(*KEYS["status"])),
    ):
        same_role = role is not None and normal_status(text) is role
        if text.upper() != name.upper() and not same_role:
            return f"{member.id} {what} {text or 'nothing'}, not {name}"
    return ""


def _check_owner(member: MemberInfo, document: Document, owner: str) -> str:
    held = document.text(*KEYS["owner"])
    if held.upper() == owner.upper():
        return ""
    return f"{member.id} is owned by {held or 'nobody'}, not {owner}"


# -- position --------------------------------------------------------------------------------------


def _judge_position(ctx: Context, member: MemberInfo, problem: str, shown: str) -> Result:
    """What was over before the family was conducted is not held against where nothing moved."""
    if not problem:
        return proven(shown)
    stages, members = done_before(ctx.history)
    if member.id in members:
        return not_applicable(f"{member.id} was finished before {ctx.parent} was conducted")
    line = ctx.statement.line if ctx.statement else 0
    of = [s.number for s in ctx.workflow.stages if s.line <= line] if ctx.workflow else []
    own = ctx.statement is not None and not ctx.statement.ticket
    if own and of and of[-1] in stages:
        return not_applicable(f"{member.id} was beyond stage {of[-1]} before it was conducted")
    return failed(problem)


@check(
    "{ticket:ticket} [is|lies] in {folder:folder} with owner: {owner:agent}",
    "{ticket:ticket} [is|lies] in {folder:folder} [and] [is] owned by {owner:agent}",
    name="tickets.placed-and-owned",
    phase=Phase.POSITION,
    examples=("WO-231a in `03_BUILD` with `owner: SOOP`",),
)
def is_placed_and_owned(ctx: Context, ticket: str, folder: str, owner: str) -> Result:
    """The ticket is in the folder, its status says so, and its owner is the named one."""
    found = _read_member(ctx, ticket)
    if isinstance(found, Result):
        return found
    member, document = found
    problem = _check_place(member, document, folder) or _check_owner(member, document, owner)
    return _judge_position(ctx, member, problem, f"{member.id} is in {folder}, owner {owner}")


@check(
    "{ticket:ticket} (is|lies|stands) in {folder:folder}",
    "{ticket:ticket} in {folder:folder}",
    "{ticket:ticket} (moves|moved|is moved|has moved|goes|went) to {folder:folder}",
    name="tickets.placed",
    phase=Phase.POSITION,
    examples=("WO-231 moves to `06_COMPLETE`", "WO-512a is in `04_QA`"),
)
def is_placed(ctx: Context, ticket: str, folder: str) -> Result:
    """The ticket is in the folder (by its role, whatever its number) and its status says so."""
    found = _read_member(ctx, ticket)
    if isinstance(found, Result):
        return found
    member, document = found
    problem = _check_place(member, document, folder)
    return _judge_position(ctx, member, problem, f"{member.id} is in {_folder(member)}")


@check(
    "{ticket:ticket} (has|is owned by) owner: {owner:agent}",
    "{ticket:ticket} is owned by {owner:agent}",
    "owner of {ticket:ticket} is {owner:agent}",
    name="tickets.owned",
    phase=Phase.POSITION,
    examples=("WO-231a is owned by SOOP",),
)
def is_owned(ctx: Context, ticket: str, owner: str) -> Result:
    """The ticket's owner is the named one."""
    found = _read_member(ctx, ticket)
    if isinstance(found, Result):
        return found
    member, document = found
    problem = _check_owner(member, document, owner)
    return _judge_position(ctx, member, problem, f"{member.id} is owned by {owner}")


@check(
    "{ticket:path} (exists|is|lies) in {folder:folder} with [a|an|the] {section:act}",
    "{ticket:ticket} (exists|is|lies) in {folder:folder} with [a|an|the] {section:reporting}",
    name="tickets.placed-with-section",
    phase=Phase.POSITION,
    examples=("WO-231.md exists in `_WORK_ORDERS/00_INBOX/` with ANALYST research report",),
)
def is_placed_with_section(ctx: Context, ticket: str, folder: str, section: str) -> Result:
    """The ticket is in the folder and has a section of that name with text in it."""
    found = _read_member(ctx, ticket)
    if isinstance(found, Result):
        return found
    member, document = found
    problem = _check_place(member, document, folder)
    there = _find_section(member, document, section)
    if there.verdict is Verdict.FAILED:
        return failed("; ".join(filter(None, (problem, there.detail))))
    shown = f"{member.id} is in {_folder(member)}; {there.detail}"
    return _judge_position(ctx, member, problem, shown)


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
    found = _read_member(ctx, ticket)
    return found if isinstance(found, Result) else _find_section(*found, title)


def _find_section(member: MemberInfo, document: Document, title: str) -> Result:
    wanted = {w.lower() for w in re.findall(r"\w+", title)} - _WEAK
    empty = ""
    for head, words in _count_words(document.body):
        # a research report may be headed by the word research alone, whoever wrote it
        research = "research" in wanted and re.search(r"\bresearch\b", head, re.IGNORECASE)
        if research or wanted <= {w.lower() for w in re.findall(r"\w+", head)}:
            if words >= 3:
                return proven(f"section “{head}” with {words} words", member.path)
            empty = head
    if empty:
        return failed(f"the section “{empty}” of {member.id} is empty", member.path)
    return failed(f"{member.id} has no section “{title.strip('# ')}”", member.path)


def _count_words(body: str) -> list[tuple[str, int]]:
    """(heading, words below it up to the next heading of its level or above)."""
    lines = body.split("\n")
    open_: list[tuple[int, int]] = []
    found: list[tuple[str, int]] = []
    prose = {at for at, _ in lines_outside_code(lines)}
    for number, line in enumerate(lines):
        head = parse_heading(line) if number in prose else None
        if line.lstrip().startswith("<!--") and line.rstrip().endswith("-->"):
            continue
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
    names = [ticket] if ticket else [member.id for member in ctx.family]
    members, problems = [], []
    for name in names:
        found = _read_member(ctx, name)
        if isinstance(found, Result):
            if ticket:
                return found
            problems.append(found.detail)
            continue
        member, document = found
        members.append(member)
        missing = [field for field in _FIELDS if not document.text(*KEYS[field])]
        if missing:
            problems.append(f"{member.id} lacks {', '.join(missing)}")
        elif not member.id.endswith(id := document.text(*KEYS["id"])):
            problems.append(f"{member.path} has the id {id}")
    paths = [member.path for member in members]
    if problems or not members:
        return failed("; ".join(problems) or "the family has no ticket", *paths)
    return proven(f"{', '.join(m.id for m in members)}: {', '.join(_FIELDS)} are present", *paths)


# -- USER's acts -----------------------------------------------------------------------------------


#: the words of an approval
_YES = r"(?:approved?|yes|ok(?:ay)?|go|lgtm|agreed|accepted|confirmed|done|looks good|ship it)\b"


@check(
    "USER [has] (says|said|answers|answered|replies|replied|approves|approved|confirms|confirmed|"
    "accepts|accepted|signs off|signed off|agrees|agreed) [{act:answer}]",
    "(approved|confirmed|accepted|signed off) by USER [{act:answer}]",
    name="tickets.user-answered",
    phase=Phase.ANSWER,
    version=2,
    examples=(
        'USER says "approved" or requests modifications',
        "USER confirms record counts and pushes to remote",
        "USER approves the schema",
    ),
)
def user_answered(ctx: Context, act: str = "") -> Result:
    """USER's recorded answer at this stage says so; nothing else proves it."""
    stage = ctx.stage.number if ctx.stage else None
    answers = [r for r in ctx.history if r.get("type") == "answer" and r.get("stage") == stage]
    answer = str(answers[-1].get("answer", "")) if answers else ""
    if answer not in ("approved", "changes_requested", "hold"):  # one that was undone is none
        return Result(Verdict.PENDING, "USER has not answered yet")
    if answer == "hold":
        return Result(Verdict.PENDING, "USER has put it on hold")
    takes_changes = re.search(
        r"\b(?:requests?|asks? for|or)\b.*\b(?:modifications?|changes?|corrections?)\b", act, re.I
    )
    said = re.match(r"[`*\"“'‘]+([^`*\"”'’]+)", act)
    if said and not re.match(_YES, said[1], re.IGNORECASE):
        return unproven(f"USER answered: {answer.replace('_', ' ')}; “{said[1]}” is not an answer")
    holds = answer == "approved" or takes_changes
    return (proven if holds else failed)(f"USER answered: {answer.replace('_', ' ')}")
