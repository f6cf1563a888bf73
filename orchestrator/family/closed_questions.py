"""What is left in a ticket of a question that is closed: one line, and what a person wrote.

All that was shown stays in the history, under its digest; `review --question N` shows it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from orchestrator.domain.answer import VIA_FILE
from orchestrator.domain.record import Question
from orchestrator.markdown.body import MARK
from orchestrator.storage.history import History, Record
from orchestrator.templating import escape_headings, one_line

#: in the order in which they are counted, worst first
_COUNTED = ("failed", "unproven", "accepted", "pending", "proven", "not applicable")
_WORDS = {"accepted": "failed and accepted", "pending": "to be judged later"}


def fold_question(history: History, parent: str, question: Question) -> tuple[str, str] | None:
    """The section of a question as it was written, and what takes its place; None if unknown.

    The answer, or why there is none, has to be in the history already.
    """
    asked = history.latest("question", digest=question.digest)
    written = _find_section(history, parent, question)
    if asked is None or not written:
        return None
    heading = written.splitlines()[0]
    line, words = _describe_closing(history, asked, parent, question)
    below = "".join(f"\n> {escape_headings(text)}" for text in words.splitlines())
    return written, "\n".join([heading, MARK, line]) + (f"\n{below}" if below else "") + "\n"


def _find_section(history: History, parent: str, question: Question) -> str:
    """The section as the transition that asked the question wrote it."""
    ending = f"question {question.number}"
    for record in reversed(history.counted):
        if record["type"] != "transition":
            continue
        opened = record["flow"].get("question") or {}
        if opened.get("digest") != question.digest or opened.get("number") != question.number:
            continue
        for section in record["additions"].get("sections", {}).get(parent, ()):
            text = str(section)
            if text.startswith("## ") and text.splitlines()[0].endswith(ending):
                return text
    return ""


def _describe_closing(
    history: History, asked: Record, parent: str, question: Question
) -> tuple[str, str]:
    """One line on who closed it, when and how; and the words that came by another way."""
    since = history.records[history.records.index(asked) :]
    closing = next((r for r in reversed(since) if r["type"] in ("answer", "lapse")), asked)
    how, words = _explain(closing)
    counts = _count(asked["sheet"]["statements"])
    receipts = f"../{history.path.parent.name}/{history.path.name}"
    parts = [
        how,
        *([counts] if counts else []),
        f"digest `{question.digest[:16]}`",
        f"[receipts]({receipts})",
        f"`orchestrate review {parent} --question {question.number}` shows it",
    ]
    return " · ".join(parts), words


def _explain(closing: Record) -> tuple[str, str]:
    """What closed a question, and a person's words that are not in the ticket yet."""
    moment = closing["at"]
    if closing["type"] != "answer":
        changed = "; ".join(one_line(str(line)) for line in closing.get("changed", ()))
        return f"**Asked again** {moment}" + (f", because {changed}" if changed else ""), ""
    verb = str(closing["answer"])
    door = f" ({closing['via']})" if closing.get("via") else ""
    said = f"**{verb.upper()}** {moment} by {closing.get('by', 'USER')}{door}"
    names = [str(name).rsplit(" @", 1)[0] for name in closing.get("accepted", ())]
    if names:
        said += f", accepting {'; '.join(f'“{one_line(name)}”' for name in names)}"
    if closing.get("accept_unproven"):
        said += ", accepting what is unproven"
    if verb == "changes_requested":
        said += f" from {', '.join(closing.get('members', ()))}"
    # words in the file stay where they were written; those of a send-back have their own section
    reported = verb in ("approved", "hold") and closing.get("via") != VIA_FILE
    return said, str(closing.get("words", "")) if reported else ""


def _count(statements: list[Mapping[str, Any]]) -> str:
    labels = Counter("accepted" if s.get("accepted") else str(s["verdict"]) for s in statements)
    return ", ".join(
        f"{labels[name]} {_WORDS.get(name, name)}" for name in _COUNTED if labels[name]
    )
