"""What is wrong with one ticket, in codes that scripts can test."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from orchestrator.domain.folders import Folders
from orchestrator.domain.id_grammar import (
    agree,
    id_from_name,
    id_in_title,
    ids_in_field,
    is_id,
    is_named_after,
    is_range,
    prefix_of,
)
from orchestrator.domain.keys import KeyTable, key_table
from orchestrator.domain.states import FolderRole
from orchestrator.markdown.body import lines_outside_code, parse_heading
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.near_misses import folded, meant
from orchestrator.markdown.problem import Diagnosis
from orchestrator.tickets.criteria_headings import headings_of
from orchestrator.tickets.obligations import may_oblige
from orchestrator.tickets.text_says import find_finished
from orchestrator.tickets.ticket import Ticket

_FOLDERS = Folders()
_BOOLEAN = re.compile(r"(?:no|yes|on|off)\Z", re.IGNORECASE)
_AGENT = re.compile(r"[A-Z][A-Z0-9_-]+")
_CHAINED = re.compile(r"→|⇒|->|=>|,|;|/|\+|&|\||\band\b")
#: keys that are common words: another is meant for one only where the ticket lacks it
_COMMON = frozenset({"status", "owner", "title", "priority", "files", "parent", "children"})
#: keys that no other word looks like
_LONG_KEYS = frozenset(
    {"depends_on", "dependencies", "blocked_by", "prerequisites", "failure_count",
     "pipeline_workflow", "hold_reason", "assigned_to", "parent_ticket", "child_tickets"}
)  # fmt: skip
#: read in any spelling that differs in case and hyphens alone
_CRITERIA_KEYS = frozenset({"acceptance_criteria", "success_criteria", "definition_of_done"})
_OTHER_KEYS = frozenset(
    {"flow", "held_at", "held_from", "accept", "target", "depends_note", "route"}
)
#: the other way round: it is the named tickets that would wait
_REVERSED = frozenset(
    {"blocks", "blocking", "is_blocking", "blocker_of", "unblocks", "required_by", "before",
     "dependents", "dependent", "dependent_tickets", "successor", "successors"}
)  # fmt: skip
#: an unknown key with such a word that holds ids was meant to say what a ticket waits for
_WAITS = re.compile(
    r"depend|depen|block|predecess|prereq|pre_?req|wait|requir|after|upstream|abh[aä]e?ng|vorg[aä]e?ng",
    re.IGNORECASE,
)
#: what one ticket can say only once
_SINGLE = ("id", "status", "owner", "parent")
#: a line that gives a verdict: heading, bold, or bare `INSPECTOR VERDICT: …`
_VERDICT_LINE = re.compile(r"#{1,4}\s|\*\*|[^\w\s]*\s*INSPECTOR\b[\w #]*:")
#: anything that may be a box
_BOX = re.compile(r"\[[ xX~/>!?-]?\]")
#: a word of what is reported as a prohibition
_MAY_FORBID = re.compile(
    r"\b(?:never|don['’]t|circumstances|leave|keep|no|must|shall|refrain)\b", re.IGNORECASE
)
_FAILED = re.compile(r"\[STATUS:\s*FAIL\]|\bINSPECTOR\b.*\bREJECT(?:ED|ION)\b")
#: instructions, summaries and clearances are not verdicts of a QA
_NO_VERDICT = re.compile(
    r"\b(?:if|when|append|reserved|clearance|pre-?screen|priority)\b|PASS\s*[|/]\s*FAIL|\[STATUS:\s*PASS\]",
    re.IGNORECASE,
)


def diagnose_ticket(
    ticket: Ticket,
    document: Document,
    limit: int = 2,
    folders: Folders = _FOLDERS,
    headings: tuple[str, ...] = (),
    own_keys: tuple[tuple[str, str], ...] = (),
) -> list[Diagnosis]:
    """What is wrong with one ticket, most severe first.

    `limit` is the number of strikes allowed, `folders` are the board's, and
    `headings` are the workspace's own words for "acceptance criteria", `own_keys` its keys.
    """
    found = [*document.diagnoses]
    keys = key_table(own_keys)
    if ticket.note:
        return [*(d for d in found if d.code != "no-frontmatter"), *_why_a_note(document)]
    held = keys.found_in(document.meta)
    if document.block is not None:
        found += _identity(ticket, document, held)
        found += _contradictions(document, held, folders)
        found += _misspelt_keys(document, keys, held)
    found += _finished(ticket, document, keys, held, folders, headings)
    found += _position(ticket, document, folders)
    found += [*_strikes(ticket, document, limit), *_values(document)]
    found += [*_end(ticket, document), *_criteria(ticket, document, headings)]
    if ticket.depends_note:
        message = f"the dependency is prose: {ticket.depends_note}"
        line = document.line_of(ticket.key_of("depends_on"))
        found.append(Diagnosis("depends-prose", message, line, "name ids only"))
    return found


def _why_a_note(document: Document) -> Iterator[Diagnosis]:
    """Why a file with keys is not a ticket (DESIGN 4.7)."""
    wrong = [d for d in document.diagnoses if d.line]
    if document.block is not None and not any(d.code == "leading-rule" for d in wrong):
        message = "not read as a ticket: there is no `id:`, no `status:` and no `owner:`"
        if wrong:
            message += f" that can be read (line {wrong[0].line}: {wrong[0].message})"
        yield Diagnosis("not-a-ticket", message, 1, "add `id:` if it is one")


def _identity(
    ticket: Ticket, document: Document, held: dict[str, list[str]]
) -> Iterator[Diagnosis]:
    name = ticket.path.name
    alias = next((k for k in ticket.spelt.get("id", ()) if document.meta.get(k)), "")
    loose = next(iter(held.get("id_or_words", ())), "")
    if not ticket.own_id and loose and document.text(loose) == ticket.local_id:
        alias = loose
    elif not ticket.own_id:
        said = document.text(*held.get("id", ()))
        code, why = (
            ("bad-id", f"{said[:40]!r} is not a valid id") if said else ("no-id", "there is no id")
        )
        where = "name" if is_named_after(name, ticket.local_id) else "title"
        message = f"{why}; {ticket.local_id} is taken from the {where}"
        if others := ids_said_otherwise(ticket):
            message += f", but {' and '.join(others)}"
        yield Diagnosis(code, message, 1, f"id: {ticket.local_id}")
    elif is_range(ticket.local_id):
        message = f"{ticket.local_id} covers several numbers"
        yield Diagnosis("id-range", message, document.line_of("id"))
    elif not is_named_after(name, ticket.local_id):
        message = f"the file is named {id_from_name(name)}, the id is {ticket.local_id}"
        yield Diagnosis("id-name", message, ticket.line_of("id"), "rename the file")
    if alias and folded(alias) != "id":
        message = f"`{alias}` is read as `id`"
        yield Diagnosis("key-alias", message, document.line_of(alias))
    for key in () if document.meta.get("owner") else held.get("owner", ())[:1]:
        if document.text(key) and folded(key) != "owner":
            yield Diagnosis("key-alias", f"`{key}` is read as `owner`", document.line_of(key))
    owner = document.text(*held.get("owner", ()))
    if _CHAINED.search(owner):
        hint = f"owner: {ticket.owner}"
        line = document.line_of(ticket.key_of("owner"))
        yield Diagnosis("owner-multiple", f"several owners; {ticket.owner} acts", line, hint)


def ids_said_otherwise(ticket: Ticket) -> list[str]:
    """What in a ticket without `id:` speaks for another id than the one that it goes by."""
    document = ticket.document
    held = key_table().found_in(document.meta)
    heading = next(filter(None, map(parse_heading, document.body.splitlines()[:60])), None)
    titles = [document.text(*held.get("title", ())), heading[1] if heading else ""]
    said = [("its title says", titled) for text in titles if (titled := id_in_title(text))]
    said += [
        (f"`{key}:` says", text)
        for key in held.get("id_or_words", ())
        if is_id(text := document.text(key))
    ]
    named = id_from_name(ticket.path.name)
    said += [("the file's name says", named)] if named else []
    return [f"{who} {id}" for who, id in dict.fromkeys(said) if not agree(id, ticket.local_id)]


def _contradictions(
    document: Document, held: dict[str, list[str]], folders: Folders
) -> Iterator[Diagnosis]:
    """Several keys for one thing that say different things; never a silent choice."""
    for name in _SINGLE:
        keys = [*held.get(name, ()), *(held.get("id_or_words", ()) if name == "id" else ())]
        said = [(k, text) for k in keys if document.line_of(k) and (text := document.text(k))]
        for key, text in said[1:]:
            first, read = said[0]
            if _contradict(name, read, text, folders):
                message = f"`{first}: {read}` and `{key}: {text}` contradict each other"
                hint = f"`{first}` is read; make them agree, or remove one"
                yield Diagnosis("key-contradiction", message, document.line_of(key), hint)


def _contradict(name: str, one: str, other: str, folders: Folders) -> bool:
    """Whether two texts for one thing cannot both be meant."""
    if name == "id":
        # a number of another tracker is no other name of this ticket
        same_kind = is_id(one) and is_id(other) and prefix_of(one) == prefix_of(other)
        return same_kind and not agree(one, other)
    if name == "status":
        # `state: Texas` is about something else
        places = folders.role_of_status(one), folders.role_of_status(other)
        return places[1] is not None and places[0] is not places[1]
    if name == "owner":
        # a person beside an agent is not a second agent
        return one != other and bool(_AGENT.fullmatch(one) and _AGENT.fullmatch(other))
    return one.casefold() != other.casefold() and is_id(one) and is_id(other)


def _misspelt_keys(
    document: Document, keys: KeyTable, held: dict[str, list[str]]
) -> Iterator[Diagnosis]:
    """Keys that are not read because of a slip; a person's own keys are left alone.

    A key such as `depends_on` is meant by whatever looks like it; one that is a common word only
    where the ticket lacks it.
    """
    lacking = {name for name in _COMMON if name not in held}
    criteria = {folded(key) for key in _CRITERIA_KEYS}
    for key, value in document.meta.items():
        line = document.line_of(key)
        if not line or keys.name_of(key) or key in _OTHER_KEYS or key.startswith(("x-", "x_", "_")):
            continue
        if folded(key) in map(folded, _REVERSED):
            if ids := ids_in_field(str(value)):
                message = f"`{key}` is not read: it would make {', '.join(ids)} wait for this one"
                hint = "write `depends_on:` into the ticket that waits"
                yield Diagnosis("key-reversed", message, line, hint)
            continue
        known = meant(key, _LONG_KEYS) or meant(key, lacking)
        if folded(key) not in criteria:
            known = known or meant(key, _CRITERIA_KEYS)
        if key in ("workflow", "pipeline") and str(value).endswith(".md"):
            known = "pipeline_workflow"
        if not known and _WAITS.search(key) and ids_in_field(str(value), document.text("id")):
            known = "depends_on"
        if known:
            message = f"`{key}` is not read"
            yield Diagnosis("key-misspelt", message, line, f"did you mean `{known}`?")


def _position(ticket: Ticket, document: Document, folders: Folders) -> Iterator[Diagnosis]:
    line = document.line_of(ticket.key_of("status"))
    place, role = folders.role_of_status(ticket.status), ticket.role
    said = json.dumps(ticket.status, ensure_ascii=False)
    alias = f'`{said} = "INBOX"` (or another state) under [board.aliases]'
    if folders.by_status:
        if role is None and ticket.status:
            message = f"the status {ticket.status} names no state of the board"
            yield Diagnosis("status-unknown", message, line, f"say what it means: {alias}")
        elif role is None:
            message = "there is no status, and on this board only the status says the state"
            yield Diagnosis("no-status", message, 1, "add `status:`")
        return
    top = ticket.folder.split("/")[0]
    if not ticket.status or not ticket.folder or ticket.status == top:
        return
    word = folders.status_for(role, ticket.folder) if role else top
    hint = f"{ticket.key_of('status')}: {word}"
    if place is None:
        message = f"the status {ticket.status} names no place; the folder counts"
        hint += f"; or say what it means: {alias}"
        yield Diagnosis("status-unknown", message, line, hint)
    elif role is not None and folders.says(ticket.status, role):
        if re.match(r"\d", ticket.status):
            message = f"{ticket.status} is the old name of {ticket.folder}"
            yield Diagnosis("status-renumbered", message, line, hint)
    elif role is not None and role.finished and not place.at_rest:
        message = f"the ticket is in {ticket.folder}, its status still says {ticket.status}"
        yield Diagnosis("status-unfinished", message, line, hint)
    elif role is not None:
        message = f"the status says {ticket.status}, the folder is {ticket.folder}"
        if place.at_rest and not role.at_rest:
            hint = f"move it to {folders.for_role(place)}, or change its status"
        yield Diagnosis("status-drift", message, line, hint)


def _finished(
    ticket: Ticket,
    document: Document,
    keys: KeyTable,
    held: dict[str, list[str]],
    folders: Folders,
    headings: tuple[str, ...],
) -> Iterator[Diagnosis]:
    """What calls it finished, where neither its place nor its status does."""
    place = folders.role_of_status(ticket.status)
    if any(role is not None and role.at_rest for role in (ticket.role, place)) or ticket.conducted:
        return
    signs = list(find_finished(ticket, document, keys, held, folders, headings))
    if signs:
        line, text = signs[0]
        more = f", and line {', '.join(str(n) for n, _ in signs[1:4])}" if len(signs) > 1 else ""
        message = f"“{text[:80]}” says that it is finished{more}"
        hint = f"set its status to {folders.status_for(FolderRole.COMPLETE)}, or change the line"
        yield Diagnosis("says-finished", message, line, hint)


def _strikes(ticket: Ticket, document: Document, limit: int) -> Iterator[Diagnosis]:
    line = document.line_of("failure_count")
    at_rest = ticket.role is not None and ticket.role.at_rest
    if ticket.failure_count >= limit and not at_rest:
        message = f"{ticket.failure_count} failures and not on hold"
        yield Diagnosis("strike-limit", message, line, "put it on hold with a reason")
    failed = count_rejections(document.body)
    if failed > ticket.failure_count:
        message = f"rejections in the text: {failed}, counted: {ticket.failure_count}"
        yield Diagnosis("failure-undercount", message, line, f"failure_count: {failed}")


def _values(document: Document) -> Iterator[Diagnosis]:
    """`no` and `yes` are true or false to one YAML library and words to the next."""
    for key, value in document.meta.items():
        if isinstance(value, bool) and _BOOLEAN.match(document.raw(key)):
            hint = f"{key}: {str(value).lower()}"
            message = f"`{key}: {document.raw(key)}` is read as {str(value).lower()}"
            yield Diagnosis("yaml-bool", message, document.line_of(key), hint)
            return


def _end(ticket: Ticket, document: Document) -> Iterator[Diagnosis]:
    """What a ticket on hold or at its end should say and does not."""
    if ticket.role is FolderRole.HOLD and not document.text("hold_reason"):
        hint = "hold_reason: why it waits"
        yield Diagnosis("hold-reason", "on hold, and nothing says why", 0, hint)


def _criteria(ticket: Ticket, document: Document, headings: tuple[str, ...]) -> Iterator[Diagnosis]:
    """Criteria that a complete ticket has not ticked, and what looks like some and is not read."""
    # a look at the text first: many tickets have no criteria
    text = document.body
    if not (
        _BOX.search(text)
        or _MAY_FORBID.search(text)
        or may_oblige(text)
        or headings_of(headings).resembles_any(document.body)
    ):
        return
    criteria = ticket.criteria(headings)
    if ticket.role is FolderRole.COMPLETE:
        demanded = {s.line for s in criteria.demanded}
        boxes = [b for b in ticket.boxes() if b.line + 1 in demanded]
        open_ = [b for b in boxes if not b.ticked]
        if open_:
            message = f"complete, but not ticked: {len(open_)} of {len(boxes)} boxes"
            hint = f"orchestrate verify {ticket.id} proves them; or take the ticket back"
            yield Diagnosis("boxes-open", message, open_[0].line + 1, hint)
    if unread := criteria.unread:
        lines = [(n, text, u) for u in unread for n, text in zip(u.lines, u.texts, strict=True)]
        said = "; ".join(f"line {n} “{text[:60]}”" for n, text, _ in lines[:3])
        more = f", and {len(lines) - 3} more" if len(lines) > 3 else ""
        under = list(dict.fromkeys(f"“{u.heading}”" for u in unread if u.heading))
        named = f", under {', '.join(under[:3])}{', …' * (len(under) > 3)}" if under else ""
        message = f"not read as criteria: {said}{more}{named}"
        hint = "move them under Acceptance Criteria, or name the heading in criteria_headings"
        if all(u.why == "struck out" for u in unread):
            hint = "delete what is struck out, or take the marks away to have it judged"
        yield Diagnosis("criteria-unread", message, unread[0].lines[0], hint)


def count_rejections(body: str) -> int:
    """How many sections of the body say that QA rejected the work.

    A heading and a decision line below it count once.
    """
    if "FAIL" not in body and "REJECT" not in body:
        return 0
    count, counted = 0, False
    for _, line in lines_outside_code(body.splitlines()):
        is_heading = parse_heading(line) is not None
        counted = counted and not is_heading
        if not _VERDICT_LINE.match(line) or not _FAILED.search(line) or _NO_VERDICT.search(line):
            continue
        if not counted:
            count, counted = count + 1, True
    return count
