"""`orchestrate doctor`: what is odd on the board, grouped by code, and its repair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.session import AsJson, Session, session
from orchestrator.cli.text import counted, one_line, paint, say, say_json, terminal_width
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.doctor.fix_runner import FixPlan, FixResult
    from orchestrator.doctor.runner import Checkup, Problem

#: so many places of one code are shown for a whole board
_SHOWN = 8
_REPAIRS = {"certain": "--fix mends it", "offered": "--fix --with {code} mends it"}


def doctor(
    context: typer.Context,
    id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One ticket; without it, the whole board.")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Make the repairs that are certain, and commit them.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the repairs as a diff; change nothing.")
    ] = False,
    chosen: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="CODE", help="Repairs of this code too (repeatable)."),
    ] = None,
    no_commit: Annotated[
        bool,
        typer.Option("--no-commit", help="Do not commit; also mend files with open changes."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is odd on the board, and mend it.

    Exit code 1 if something is found that is not harmless; docs/doctor.md lists every code.
    """
    from orchestrator.doctor import fix_runner
    from orchestrator.doctor.runner import remember

    here = session(context)
    _require_codes(chosen or ())
    found = _examined(here, id)
    wanted, done = fix_runner.FixPlan(), fix_runner.FixResult()
    if fix or dry_run or chosen:
        wanted = fix_runner.plan_fixes(here.board, found, chosen or ())
        if not as_json:
            _say_diff(wanted)
    if fix and not dry_run:
        done = fix_runner.apply_fixes(here.board, found, wanted, commit=not no_commit)
        found = _after(here, id, found, done)
    if id is None and not dry_run:
        remember(here.board, found)
    _tell(found, wanted, done, as_json=as_json, all_of_it=id is not None)
    raise typer.Exit(0 if found.healthy else 1)


def _require_codes(codes: Sequence[str]) -> None:
    from orchestrator.doctor.fixes import Applicability
    from orchestrator.doctor.rules import RULES

    manual = Applicability.DISPLAY_ONLY
    known = [code for code, rule in RULES.items() if rule.applicability is not manual]
    for code in codes:
        if code not in known:
            raise UsageError(
                f"there is no repair for {code}", hint=f"repairs: {', '.join(sorted(known))}"
            )


def _examined(here: Session, id: str | None) -> Checkup:
    from orchestrator.doctor.runner import examine

    found = examine(here.board, here.settings)
    if id is None:
        return found
    one = found.of(id)
    if not one.tickets:
        here.board.find(id)
    return one


def _after(here: Session, id: str | None, before: Checkup, done: FixResult) -> Checkup:
    """What is left, after what was mended."""
    now = _examined(here, None)
    mended = [
        replace(f, fixed=True)
        for f in before.problems
        if f.code in done.applied.get(f.path, ()) or (f.code == "twin" and _put_away(f, done))
    ]
    if id is None:
        return replace(now, problems=(*mended, *now.problems))
    return replace(now.of(id), problems=(*mended, *now.of(id).problems))


def _put_away(finding: Problem, done: FixResult) -> bool:
    return any("twin" in codes and path in finding.message for path, codes in done.applied.items())


# -- telling ---------------------------------------------------------------------------------------


def _tell(
    found: Checkup, wanted: FixPlan, done: FixResult, *, as_json: bool, all_of_it: bool
) -> None:
    if as_json:
        say_json(
            {
                "tickets": len(found.tickets),
                "healthy": found.healthy,
                "findings": [finding.to_dict() for finding in found.problems],
                "diff": wanted.diff(),
                "left_alone": done.left,
                "notices": done.notices,
                "commit": done.commit or None,
            }
        )
        return
    _say_done(done)
    left = [f for f in found.problems if not f.fixed]
    for code, group in groupby(left, key=lambda f: f.code):
        _say_group(code, list(group), all_of_it)
    _say_sum(found, left)


def _say_diff(wanted: FixPlan) -> None:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in wanted.diff().splitlines():
        say(paint(line, colours.get(line[:1], "")))


def _say_done(done: FixResult) -> None:
    mended = Counter(code for codes in done.applied.values() for code in codes)
    for code, count in sorted(mended.items()):
        say(f"{paint('mended', 'green')}  {code}  {count}")
    for notice in done.notices:
        say(f"  {paint('!', 'yellow')} {one_line(notice)}")
    _say_left(done.left)
    if done.commit:
        say(f"commit {done.commit}; to take it back: git revert {done.commit}")


def _say_left(left: Mapping[str, str]) -> None:
    by_reason = Counter(left.values())
    for reason, count in by_reason.items():
        paths = [path for path, why in left.items() if why == reason]
        more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
        say(f"left alone: {', '.join(map(one_line, paths[:_SHOWN]))}{more}: {one_line(reason)}")
    if "it has changes that are not committed" in by_reason:
        say("  commit them first, or use --no-commit")


def _say_group(code: str, group: Sequence[Problem], all_of_it: bool) -> None:
    from orchestrator.doctor.rules import rule_for

    style = "dim" if group[0].note else "bold"
    say(f"{paint(code, style)}  {len(group)}  {rule_for(code).meaning}")
    for applicability, count in Counter(f.fix.value for f in group if f.fix.value).items():
        part = "" if count == len(group) else f" ({count} of them)"
        say(f"  {paint(_REPAIRS[applicability].format(code=code), 'green')}{part}")
    shown = group if all_of_it else group[:_SHOWN]
    for finding in shown:
        _say_finding(finding)
    if len(shown) < len(group):
        say(f"  … and {len(group) - len(shown)} more (--json for all)")


def _say_finding(finding: Problem) -> None:
    place = f"{finding.path}:{finding.line}" if finding.line else finding.path
    hint = f" [{finding.hint}]" if finding.hint and not finding.fix.value else ""
    say(f"  {one_line(f'{place}: {finding.message}{hint}', terminal_width(2))}")


def _say_sum(found: Checkup, left: Sequence[Problem]) -> None:
    notes = sum(f.note for f in left)
    mendable = sum(f.fix.value == "certain" for f in left)
    tickets = counted(len(found.tickets), "ticket")
    if not left:
        say(f"{tickets}, nothing is odd")
        return
    findings, harmless = counted(len(left) - notes, "finding"), counted(notes, "harmless note")
    say(f"{tickets}, {findings}, {harmless}; --fix can mend {mendable}")
