"""What the terminal board writes: cards, questions and events as styled text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textual.content import Content

from orchestrator.approvals.request import IN_ORDER
from orchestrator.errors.masking import sanitize
from orchestrator.templating import one_line
from orchestrator.views.cards import Card, OpenQuestion
from orchestrator.views.plain import fitted

#: sign and style of a verdict
_SIGNS = {"proven": ("✓", "green"), "failed": ("✗", "red"), "accepted": ("~", "yellow")}
#: the same of what a coding agent does
_EVENTS = {"tool": "▸", "result": "◂", "error": "✗", "end": "■", "thought": "·"}
#: characters of an event, and records of a history that are shown
_LONGEST, _RECORDS = 400, 60
#: the most telling fields of a record
_TELLING = (
    "event",
    "state",
    "agent",
    "outcome",
    "answer",
    "by",
    "words",
    "verdict",
    "text",
    "detail",
)


def styled(text: str, style: str = "") -> Content:
    """A text of a ticket or agent: nothing in it is markup or controls the terminal."""
    return Content.styled(sanitize(text), style) if style else Content(sanitize(text))


def lines(parts: list[Content]) -> Content:
    """One below the other."""
    return Content("\n").join(parts)


def card_text(card: Card, width: int) -> Content:
    """A card in two lines: id and badges, then owner and title."""
    ticket = card.ticket
    badges = [Content.styled(" ● at work", "bold cyan")] if card.at_work else []
    if card.failures:
        badges.append(Content.styled(f" ✗{card.failures}", "red"))
    if card.attempt > 1:
        badges.append(Content.styled(f" try {card.attempt}", "yellow"))
    head = Content.assemble(styled(fitted(ticket.id, width - 11), "bold"), *badges)
    owner = ticket.owner or "no owner"
    rest = fitted(one_line(f"{owner} · {ticket.title}"), width)
    return lines([head, styled(rest, "dim")])


def question_text(question: OpenQuestion, width: int) -> Content:
    """An open question in two lines: what is not in order, then what it is about."""
    counts: list[Content] = []
    request = question.request
    if request is None or question.is_damaged:
        counts.append(Content.styled(" ✗ damaged", "red"))
    else:
        for number, sign, style in (
            (len(request.failed), "✗", "red"),
            (len(request.unproven), "?", "yellow"),
            (len(request.effects), "»", "cyan"),
            (len(question.behind), "⧗", "magenta"),
        ):
            if number:
                counts.append(Content.styled(f" {sign}{number}", style))
    head = Content.assemble(styled(fitted(question.family, width - 12), "bold"), *counts)
    return lines(
        [head, styled(fitted(one_line(f"{question.label} · {question.title}"), width), "dim")]
    )


def describe_question(question: Mapping[str, Any]) -> Content:
    """An open question with all that is needed to answer it, from a family's status."""
    parts = [styled(f"Question {question['number']}: {question['title']}", "bold")]
    if question["why"]:
        parts.append(styled(question["why"]))
    parts += _list("Asked again, because this has changed", question["changed"])
    if question["effects"]:
        on = f", on {question['target']}" if question["target"] else ""
        parts += _list(f"Approving will{on}", question["effects"])
        parts += _list("Note", question["remarks"])
    else:
        parts.append(styled(f"Approving {question['consequence']}."))
    parts += _list("For you to do or look at; your answer attests it", question["by_user"])
    for group in question["groups"]:
        found = group["statements"]
        if group["heading"] in IN_ORDER:
            parts.append(styled(f"{group['heading']}: {len(found)}", "green"))
            continue
        parts.append(styled(f"\n{group['heading']} ({len(found)})", "bold"))
        for each in found:
            sign, style = _SIGNS.get(each["verdict"], ("?", "yellow"))
            detail = f" — {one_line(each['detail'])}" if each["detail"] else ""
            parts.append(Content.assemble((f"  {sign} ", style), styled(each["text"] + detail)))
    parts += _list("Proposed checks, which approving takes", question["proposed"])
    parts += _list("Not read as criteria", question["not_read"])
    parts += _list("Changed files", [each["text"] for each in question["changed_files"]])
    parts += [_diff_line(line) for line in question["diff"]]
    parts += _list("Besides", question["notes"])
    return lines(parts)


def _list(heading: str, texts: list[str]) -> list[Content]:
    if not texts:
        return []
    return [styled(f"\n{heading}:", "bold"), *(styled(f"  {one_line(text)}") for text in texts)]


def _diff_line(line: str) -> Content:
    style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
    return styled(f"    {line}", "bold" if line.startswith("--- ") else style)


def describe_family(status: Mapping[str, Any], body: str) -> Content:
    """A family's state, members, open question, and the text of the ticket that was opened."""
    stage = f" · stage {status['stage']}" if status["stage"] is not None else ""
    state = "stopped" if status["stopped"] else status["state"]
    parts = [styled(f"{status['id']}  {status['title']}", "bold"), styled(f"{state}{stage}")]
    for member in status["members"]:
        failed = f" · ✗{member['failure_count']}" if member["failure_count"] else ""
        parts.append(styled(f"  {member['id']}  {member['folder']} · {member['owner']}{failed}"))
    parts += _list("Why it waits", [] if status["question"] else status["reasons"])
    parts += _list("Notices", status["notices"])
    if status["question"]:
        parts += [Content(""), describe_question(status["question"])]
    return lines([*parts, Content(""), styled("─" * 20, "dim"), styled(body)])


def event_lines(event: Mapping[str, Any]) -> Iterator[Content]:
    """An event of a coding agent's log."""
    kind = str(event.get("kind", ""))
    text = str(event.get("text", ""))
    if kind == "tool":
        text = " ".join(str(event.get(name, "")) for name in ("tool", "path", "text"))
    if kind != "usage" and text.strip():
        sign = _EVENTS.get(kind, " ")
        style = {"error": "red", "tool": "cyan"}.get(kind, "dim" if kind in _EVENTS else "")
        yield styled(f"{sign} {one_line(text)[:_LONGEST]}", style)


def record_lines(records: list[dict[str, Any]]) -> Iterator[Content]:
    """The last records of a history."""
    for record in [r for r in records if r["type"] not in ("committed", "synced")][-_RECORDS:]:
        reported = " · ".join(str(record[key]) for key in _TELLING if record.get(key))
        at = str(record.get("at", ""))
        if reported:
            yield Content.assemble(
                styled(f"{at}  ", "dim"),
                styled(f"{record['type']}  {one_line(reported)[:_LONGEST]}"),
            )
