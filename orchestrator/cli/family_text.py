"""A family's status for people, and its open question with all that USER needs to answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.cli.text import (
    counted,
    first_line,
    mark,
    one_line,
    paint,
    say,
    table,
    terminal_width,
)


def say_status(status: Mapping[str, Any]) -> None:
    """A family: its state, its members, what it waits for."""
    say(f"{paint(status['id'], 'bold')}  {status['title']}")
    stage = f" · stage {status['stage']}" if status["stage"] is not None else ""
    say(f"  {status['state']}{stage}")
    if status["workflow"]:
        say(f"  {paint('follows ' + status['workflow'], 'dim')}")
    members = []
    for member in status["members"]:
        failures = member["failure_count"]
        note = counted(failures, "failure") if failures else ""
        members.append((member["id"], member["folder"], member["owner"], note))
    for line in table(members):
        say(f"  {line}")
    for text in (*status["reasons"], *status["notices"]):
        say(f"  {paint('!', 'yellow')} {one_line(text)}")
    if status["question"]:
        say()
        say_question(status)
    else:
        say_next(status)


def say_next(status: Mapping[str, Any]) -> None:
    """The next step of a family that needs a person and has no open question."""
    from orchestrator.domain.record import State

    if status["state"] == State.HELD:
        say(f"  next: orchestrate resume {status['id']}")
    elif status["state"] == State.NEEDS_PERSON:
        say(
            f"  next: do it, then orchestrate run {status['id']}; if no check can tell, "
            "set the ticket's `status:` to the QA folder first"
        )


def say_unreadable(status: Mapping[str, Any]) -> None:
    """A family whose record cannot be read."""
    error = status["error"]
    say(f"{paint(status['id'], 'bold')}  {paint('cannot be read', 'red')}")
    say(f"  {paint('!', 'yellow')} {error['path']}: {one_line(error['message'])}")
    if error["hint"]:
        say(f"    hint: {one_line(error['hint'])}")


def say_question(status: Mapping[str, Any]) -> None:
    """The open question: what to read, worst statements first, effects, and how to answer."""
    question = status["question"]
    file = next(m["path"] for m in status["members"] if m["id"] == status["id"])
    say(paint(f"Question {question['number']} — {question['title']}", "bold"))
    if question["why"]:
        say(f"  {one_line(question['why'])}")
    _say_list("To read", [file, *question["read"]])
    say(f"    or all at once: orchestrate review {status['id']} (--html review.html for a page)")
    for verdict in ("failed", "unproven", "proven"):
        statements = question[verdict]
        if statements:
            say(f"\n  {verdict.capitalize()} ({len(statements)}):")
        width = terminal_width(6) if verdict == "proven" else 0
        for each in statements:
            detail = f" — {first_line(each['detail'])}" if each["detail"] else ""
            say(f"    {mark(verdict)} {one_line(each['text'] + detail, width)}")
    if question["effects"]:
        effects = [f"{n}. {title}" for n, title in enumerate(question["effects"], 1)]
        _say_list(f"Approving will, on {question['target']}", effects)
        _say_list("Note", question["remarks"])
    else:
        say("\n  Approving runs nothing on any database.")
    _say_list("For you to do or look at; your answer attests it", question["by_user"])
    say(f"\n  To answer, set `status:` in {file}")
    say("  to APPROVED, CHANGES_REQUESTED or HOLD and save, or use the command line:")
    for command in question["how"]:
        say(f"    {command}")
    say(f"  Then: orchestrate run {status['id']}")


def _say_list(heading: str, lines: Sequence[str]) -> None:
    if lines:
        say(f"\n  {heading}:")
    for line in lines:
        say(f"    {one_line(line)}")
