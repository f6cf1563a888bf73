"""A family's status for people, and its open question with all that USER needs to answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.cli.text import (
    callable_commands,
    counted,
    first_line,
    mark,
    paint,
    say,
    say_wrapped,
    table,
)


def is_stopped(status: Mapping[str, Any]) -> bool:
    """Whether a family could go on, and no process has it in hand."""
    return bool(status["stopped"])


def say_status(status: Mapping[str, Any]) -> None:
    """A family: its state, its members, what it waits for."""
    say(f"{paint(status['id'], 'bold')}  {status['title']}")
    stage = f" · stage {status['stage']}" if status["stage"] is not None else ""
    state = "stopped" if is_stopped(status) else status["state"]
    say(f"  {state}{stage}")
    if status["workflow"]:
        say(f"  {paint('follows ' + status['workflow'], 'dim')}")
    members = []
    for member in status["members"]:
        failures = member["failure_count"]
        note = counted(failures, "failure") if failures else ""
        members.append((member["id"], member["folder"], member["owner"], note))
    for line in table(members):
        say(f"  {line}")
    # an open question is its own reason to wait
    reasons = () if status["question"] else status["reasons"]
    for text in (*reasons, *status["notices"]):
        say_wrapped(text, f"  {paint('!', 'yellow')} ", "    ")
    if status["question"]:
        _say_short_question(status)
    else:
        say_next(status)


def say_next(status: Mapping[str, Any]) -> None:
    """The next step of a family that needs a person and has no open question."""
    from orchestrator.domain.record import State

    if status["state"] == State.HELD:
        say(callable_commands(f"  next: orchestrate resume {status['id']}"))
    elif is_stopped(status):
        say(callable_commands(f"  next: orchestrate run {status['id']}"))
    elif status["state"] == State.PAUSED:
        text = f"next: `orchestrate watch` goes on then; or orchestrate run {status['id']}"
        say_wrapped(callable_commands(text), "  ", "  ")
    elif status["state"] == State.NEEDS_PERSON:
        text = f"next: do it, then orchestrate run {status['id']}"
        if done := status["hand_over"]:
            text += "; if no check can tell, say so first: "
            text += f"`status: {done['status']}` in {done['path']}"
        say_wrapped(callable_commands(text), "  ", "  ")


# -- the question --------------------------------------------------------------------------------


def say_question(status: Mapping[str, Any]) -> None:
    """The open question: what approving does, what is not in order, what to read, how to answer."""
    question = status["question"]
    file = next(m["path"] for m in status["members"] if m["id"] == status["id"])
    review = f"orchestrate review {status['id']}"
    say(paint(f"Question {question['number']} — {question['title']}", "bold"))
    if question["why"]:
        say_wrapped(callable_commands(question["why"]), "  ", "  ")
    _say_list("Asked again, because something that it covers has changed", question["changed"])
    if question["effects"]:
        effects = [f"{n}. {title}" for n, title in enumerate(question["effects"], 1)]
        on = f", on {question['target']}" if question["target"] else ""
        _say_list(f"Approving will{on}", effects)
        _say_list("Note", question["remarks"])
    else:
        say_wrapped(f"Approving {question['consequence']}.", "\n  ", "  ")
    _say_list("For you to do or look at; your answer attests it", question["by_user"])
    _say_groups(question["groups"], review)
    proposed = question["proposed"]
    _say_list(f"Proposed checks ({len(proposed)}), which approving takes", proposed)
    _say_list(f"Not read as criteria ({len(question['not_read'])})", question["not_read"])
    if question["without_criteria"]:
        say(f"\n  No criterion: {', '.join(question['without_criteria'])}")
    _say_changes(question)
    changed = {each["path"] for each in question["changed_files"]}
    _say_list("To read", [file, *(path for path in question["read"] if path not in changed)])
    say(callable_commands(f"    or all at once: {review} (--html review.html for a page)"))
    say(f"\n  To answer, set `status:` in {file}")
    say("  to APPROVED, CHANGES_REQUESTED or HOLD and save, or use the command line:")
    for command in question["how"]:
        say(f"    {callable_commands(command)}")
    say(callable_commands(f"  Then: orchestrate run {status['id']}"))


def _say_groups(groups: Sequence[Mapping[str, Any]], review: str) -> None:
    """The statements that are not in order, worst first; the others in one line."""
    from orchestrator.approvals.request import IN_ORDER

    for group in groups:
        if group["heading"] in IN_ORDER:
            continue
        statements = group["statements"]
        say(f"\n  {group['heading']} ({len(statements)}){_already_failing(statements)}:")
        for each in statements:
            verdict, detail = each["verdict"], each["detail"]
            if each["forecast"]:
                verdict, detail = "failed", f"already known to fail: {each['forecast']}"
            detail = f" — {first_line(detail)}" if detail else ""
            say_wrapped(each["text"] + detail, f"    {mark(verdict)} ", "      ")
    if counts := _count_groups(groups, IN_ORDER):
        say(callable_commands(f"\n  {counts} (`{review}` lists them)"))


def _already_failing(statements: Sequence[Mapping[str, Any]]) -> str:
    failing = sum(bool(each["forecast"]) for each in statements)
    return f", {failing} already known to fail" if failing else ""


def _count_groups(groups: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """`2 unproven, 31 proven`."""
    return ", ".join(
        f"{len(g['statements'])} {g['heading'][:1].lower() + g['heading'][1:]}"
        + _already_failing(g["statements"]).replace(", ", ", of which ")
        for g in groups
        if g["heading"] in names
    )


def _say_short_question(status: Mapping[str, Any]) -> None:
    """The open question in a few lines: what approving does, the counts, where to go on."""
    question = status["question"]
    say(f"  question {question['number']}: {question['title']}")
    effects = counted(len(question["effects"]), "effect")
    does = question["consequence"]
    if question["effects"]:
        does = f"runs {effects} on {question['target']}"
    say_wrapped(f"approving {does}", "    ", "    ")
    if counts := _count_groups(question["groups"], [g["heading"] for g in question["groups"]]):
        say_wrapped(counts, "    ", "    ")
    say(callable_commands(f"    look: orchestrate review {status['id']}"))
    say(callable_commands(f"    answer: {question['how'][0]}"))


def _say_changes(question: Mapping[str, Any]) -> None:
    """Every file that the family changed, and the beginning of the diffs."""
    files = question["changed_files"]
    _say_list(f"Changed files ({len(files)})", [file["text"] for file in files])
    for line in question["diff"]:
        style = {"+": "green", "-": "red", "@": "dim", "…": "dim"}.get(line[:1], "")
        say("      " + paint(line, "bold" if line.startswith("--- ") else style))
    _say_list("Besides", question["notes"])


def _say_list(heading: str, lines: Sequence[str]) -> None:
    if lines:
        say(f"\n  {heading}:")
    for line in lines:
        say_wrapped(line, "    ", "    ")
