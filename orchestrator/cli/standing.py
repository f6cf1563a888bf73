"""Where a family stands, and an open question with all that USER needs to answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.cli.text import first_line, mark, one_line, paint, say, table, terminal_width


def say_status(status: Mapping[str, Any]) -> None:
    """A family: its state, its members, what it waits for."""
    say(f"{paint(status['id'], 'bold')}  {status['title']}")
    stage = f" · stage {status['stage']}" if status["stage"] is not None else ""
    say(f"  {status['state']}{stage}")
    if status["workflow"]:
        say(f"  {paint('follows ' + status['workflow'], 'dim')}")
    members = [
        (m["id"], m["folder"], m["owner"], _failures(m["failure_count"])) for m in status["members"]
    ]
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
    """What goes on with a family that only a person can bring on, where no question is open."""
    from orchestrator.domain.record import State

    ways = {
        State.HELD: f"orchestrate resume {status['id']}",
        State.NEEDS_PERSON: f"do it, then orchestrate run {status['id']}; where no check can tell, "
        "set the ticket's `status:` to the QA folder first",
    }
    if status["state"] in ways:
        say(f"  next: {ways[status['state']]}")


def say_trouble(status: Mapping[str, Any]) -> None:
    """A family whose record cannot be read."""
    error = status["error"]
    say(f"{paint(status['id'], 'bold')}  {paint('cannot be read', 'red')}")
    say(f"  {paint('!', 'yellow')} {error['path']}: {one_line(error['message'])}")
    if error["hint"]:
        say(f"    hint: {one_line(error['hint'])}")


def _failures(count: int) -> str:
    return f"{count} failure{'s' if count != 1 else ''}" if count else ""


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
        _say_statements(verdict, question[verdict])
    if question["effects"]:
        effects = [f"{n}. {title}" for n, title in enumerate(question["effects"], 1)]
        _say_list(f"Approving will, on {question['target']}", effects)
        _say_list("Note", question["remarks"])
    else:
        say("\n  Approving runs nothing on any database.")
    _say_list("Yours to do or look at; your answer attests it", question["by_user"])
    say(f"\n  To answer, set `status:` in {file}")
    say("  to APPROVED, CHANGES_REQUESTED or HOLD and save, or use the command line:")
    for way in question["how"]:
        say(f"    {way}")
    say(f"  Then: orchestrate run {status['id']}")


def _say_list(heading: str, lines: Sequence[str]) -> None:
    if lines:
        say(f"\n  {heading}:")
    for line in lines:
        say(f"    {one_line(line)}")


def _say_statements(verdict: str, shown: Sequence[Mapping[str, Any]]) -> None:
    if shown:
        say(f"\n  {verdict.capitalize()} ({len(shown)}):")
    width = terminal_width(6) if verdict == "proven" else 0
    for each in shown:
        detail = f" — {first_line(each['detail'])}" if each["detail"] else ""
        say(f"    {mark(verdict)} {one_line(each['text'] + detail, width)}")
