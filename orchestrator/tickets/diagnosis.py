"""What is wrong with one ticket, in codes that scripts can test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from orchestrator.domain.folders import normal_status
from orchestrator.domain.states import FolderRole
from orchestrator.markdown.body import lines_outside_code, parse_heading
from orchestrator.markdown.frontmatter import Document
from orchestrator.markdown.frontmatter_parser import Diagnosis
from orchestrator.markdown.near_misses import folded, meant
from orchestrator.tickets.id_grammar import ID_KEYS, id_from_name, is_range
from orchestrator.tickets.ticket import (
    CHILD_KEYS,
    CREATED_KEYS,
    DEPENDENCY_KEYS,
    OWNER_KEYS,
    PARENT_KEYS,
    Ticket,
)

_BOOLEAN = re.compile(r"(?:no|yes|on|off)\Z", re.IGNORECASE)
_CHAINED = re.compile(r"→|⇒|->|=>|,|;|/|\+|&|\||\band\b")
#: keys that are common words, with those that are read in their place
_PLAIN_KEYS = tuple(
    map(frozenset, (["status"], OWNER_KEYS, ["title"], ["priority"], ["files"], PARENT_KEYS,
                    CHILD_KEYS))
)  # fmt: skip
_MEANT = frozenset({"status", "owner", "title", "priority", "files", "parent", "children"})
#: keys that no other word looks like
_LONG_KEYS = frozenset(
    {"depends_on", "blocked_by", "failure_count", "pipeline_workflow", "hold_reason", "assigned_to",
     "parent_ticket", "child_tickets"}
)  # fmt: skip
#: read in any spelling that differs in case and hyphens alone
_CRITERIA_KEYS = frozenset({"acceptance_criteria", "success_criteria", "definition_of_done"})
_KNOWN_KEYS = frozenset(
    (*ID_KEYS, *OWNER_KEYS, *PARENT_KEYS, *CHILD_KEYS, *DEPENDENCY_KEYS, *CREATED_KEYS, *_MEANT,
     *_LONG_KEYS, "flow", "held_at", "held_from", "accept", "target", "depends_note", "route")
)  # fmt: skip
#: a line that gives a verdict: heading, bold, or bare `INSPECTOR VERDICT: …`
_VERDICT_LINE = re.compile(r"#{1,4}\s|\*\*|[^\w\s]*\s*INSPECTOR\b[\w #]*:")
#: anything that may be a box
_BOX = re.compile(r"\[[ xX~-]?\]")
_FAILED = re.compile(r"\[STATUS:\s*FAIL\]|\bINSPECTOR\b.*\bREJECT(?:ED|ION)\b")
#: instructions, summaries and clearances are no verdicts of a QA
_NO_VERDICT = re.compile(
    r"\b(?:if|when|append|reserved|clearance|pre-?screen|priority)\b|PASS\s*[|/]\s*FAIL|\[STATUS:\s*PASS\]",
    re.IGNORECASE,
)


def diagnose_ticket(
    ticket: Ticket,
    document: Document,
    limit: int = 2,
    place_of: Callable[[str], FolderRole | None] = normal_status,
    headings: tuple[str, ...] = (),
) -> list[Diagnosis]:
    """What is wrong with one ticket, most severe first.

    `limit` is the number of strikes allowed, `place_of` gives the place that a status means, and
    `headings` are the workspace's own words for "acceptance criteria".
    """
    found = [*document.diagnoses]
    if ticket.note:
        return [d for d in found if d.code != "no-frontmatter"]
    if document.block is not None:
        found += _identity(ticket, document)
        found += _misspelt_keys(document)
    found += _position(ticket, document, place_of)
    found += [*_strikes(ticket, document, limit), *_values(document)]
    found += [*_end(ticket, document), *_criteria(ticket, document, headings)]
    if ticket.depends_note:
        message = f"the dependency is prose: {ticket.depends_note}"
        line = next((n for key in DEPENDENCY_KEYS if (n := document.line_of(key))), 0)
        found.append(Diagnosis("depends-prose", message, line, "name ids only"))
    return found


def _identity(ticket: Ticket, document: Document) -> Iterator[Diagnosis]:
    named = id_from_name(ticket.path.name)
    if not ticket.own_id:
        said = document.text(*ID_KEYS)
        code, why = (
            ("bad-id", f"{said[:40]!r} is not a valid id") if said else ("no-id", "there is no id")
        )
        yield Diagnosis(code, f"{why}; {ticket.id} is taken from the name", 1, f"id: {ticket.id}")
    elif is_range(ticket.id):
        message = f"{ticket.id} covers several numbers"
        yield Diagnosis("id-range", message, document.line_of("id"))
    elif named and not (ticket.id == named or ticket.id.startswith((f"{named}-", f"{named}_"))):
        message = f"the file is named {named}, the id is {ticket.id}"
        yield Diagnosis("id-name", message, document.line_of("id"), "rename the file")
    for key, aliases in (("id", ("work_order_id", "wo")), ("owner", ("assigned_to",))):
        alias = next((a for a in aliases if document.meta.get(a)), "")
        if alias and not document.meta.get(key):
            yield Diagnosis("key-alias", f"`{alias}` is read as `{key}`", document.line_of(alias))
    owner = document.text("owner", "assigned_to")
    if _CHAINED.search(owner):
        line = document.line_of("owner") or document.line_of("assigned_to")
        hint = f"owner: {ticket.owner}"
        yield Diagnosis("owner-multiple", f"several owners; {ticket.owner} acts", line, hint)


def _misspelt_keys(document: Document) -> Iterator[Diagnosis]:
    """Keys that are not read because of a slip; a person's own keys are left alone.

    A key such as `depends_on` is meant by whatever looks like it; one that is a common word only
    where the ticket lacks it.
    """
    words = {name for names in _PLAIN_KEYS if not names & set(document.meta) for name in names}
    for key, value in document.meta.items():
        line = document.line_of(key)
        if not line or key in _KNOWN_KEYS or key.startswith(("x-", "x_", "_")):
            continue
        known = meant(key, _LONG_KEYS) or meant(key, words & _MEANT)
        if folded(key) not in map(folded, _CRITERIA_KEYS):
            known = known or meant(key, _CRITERIA_KEYS)
        if key in ("workflow", "pipeline") and str(value).endswith(".md"):
            known = "pipeline_workflow"
        if known:
            message = f"`{key}` is not read"
            yield Diagnosis("key-misspelt", message, line, f"did you mean `{known}`?")


def _position(
    ticket: Ticket, document: Document, place_of: Callable[[str], FolderRole | None]
) -> Iterator[Diagnosis]:
    if not ticket.status or not ticket.folder:
        return
    line = document.line_of("status")
    place = place_of(ticket.status)
    if ticket.status == ticket.folder.split("/")[0]:
        return
    hint = f"status: {ticket.folder.split('/')[0]}"
    if place is None:
        message = f"the status {ticket.status} names no place; the folder counts"
        yield Diagnosis("status-unknown", message, line, hint)
    elif ticket.role is not None and ticket.role.finished and not place.at_rest:
        message = f"the ticket is in {ticket.folder}, its status still says {ticket.status}"
        yield Diagnosis("status-unfinished", message, line, hint)
    elif ticket.role is not None and place is not ticket.role:
        message = f"the status says {ticket.status}, the folder is {ticket.folder}"
        yield Diagnosis("status-drift", message, line, hint)
    elif re.match(r"\d", ticket.status) and place is ticket.role:
        message = f"{ticket.status} is the old name of {ticket.folder}"
        yield Diagnosis("status-renumbered", message, line, hint)


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
    """Criteria that a complete ticket has not ticked, and boxes that are no criteria."""
    # a look at the text first: most tickets have no box
    if not _BOX.search(document.body):
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
    unread = [u for u in criteria.unread if "box" in u.what]
    if unread:
        under = list(dict.fromkeys(f"“{u.heading}”" for u in unread))
        named = ", ".join(under[:3]) + (", …" if len(under) > 3 else "")
        count = sum(len(u.lines) for u in unread)
        what = "1 box is" if count == 1 else f"{count} boxes are"
        message = f"{what} not read as criteria, under {named}"
        hint = "move them under Acceptance Criteria, or name the heading in criteria_headings"
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
