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
    from orchestrator.doctor.fix_runner import Done, Plan
    from orchestrator.doctor.runner import Examined, Finding

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
    wanted, done = fix_runner.Plan(), fix_runner.Done()
    if fix or dry_run or chosen:
        wanted = fix_runner.plan(here.board, found, chosen or ())
        if not as_json:
            _say_diff(wanted)
    if fix and not dry_run:
        done = fix_runner.carry_out(here.board, found, wanted, commit=not no_commit)
        found = _after(here, id, found, done)
    if id is None and not dry_run:
        remember(here.board, found)
    _tell(found, wanted, done, as_json=as_json, all_of_it=id is not None)
    raise typer.Exit(0 if found.healthy else 1)


def _require_codes(codes: Sequence[str]) -> None:
    from orchestrator.doctor.rules import CODES, Surety

    known = [code for code, malady in CODES.items() if malady.surety is not Surety.NONE]
    for code in codes:
        if code not in known:
            raise UsageError(
                f"there is no repair for {code}", hint=f"repairs: {', '.join(sorted(known))}"
            )


def _examined(here: Session, id: str | None) -> Examined:
    from orchestrator.doctor.runner import examine

    found = examine(here.board, here.settings)
    if id is None:
        return found
    one = found.of(id)
    if not one.tickets:
        here.board.find(id)
    return one


def _after(here: Session, id: str | None, before: Examined, done: Done) -> Examined:
    """What is left, after what was mended."""
    now = _examined(here, None)
    mended = [
        replace(f, applied=True)
        for f in before.findings
        if f.code in done.applied.get(f.path, ()) or (f.code == "twin" and _put_away(f, done))
    ]
    if id is None:
        return replace(now, findings=(*mended, *now.findings))
    return replace(now.of(id), findings=(*mended, *now.of(id).findings))


def _put_away(finding: Finding, done: Done) -> bool:
    return any("twin" in codes and path in finding.message for path, codes in done.applied.items())


# -- telling ---------------------------------------------------------------------------------------


def _tell(found: Examined, wanted: Plan, done: Done, *, as_json: bool, all_of_it: bool) -> None:
    if as_json:
        say_json(
            {
                "tickets": len(found.tickets),
                "healthy": found.healthy,
                "findings": [finding.to_dict() for finding in found.findings],
                "diff": wanted.diff(),
                "left_alone": done.left,
                "notices": done.notices,
                "commit": done.commit or None,
            }
        )
        return
    _say_done(done)
    left = [f for f in found.findings if not f.applied]
    for code, group in groupby(left, key=lambda f: f.code):
        _say_group(code, list(group), all_of_it)
    _say_sum(found, left)


def _say_diff(wanted: Plan) -> None:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in wanted.diff().splitlines():
        say(paint(line, colours.get(line[:1], "")))


def _say_done(done: Done) -> None:
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


def _say_group(code: str, group: Sequence[Finding], all_of_it: bool) -> None:
    from orchestrator.doctor.rules import malady

    style = "dim" if group[0].note else "bold"
    say(f"{paint(code, style)}  {len(group)}  {malady(code).meaning}")
    for surety, count in Counter(f.repair.value for f in group if f.repair.value).items():
        part = "" if count == len(group) else f" ({count} of them)"
        say(f"  {paint(_REPAIRS[surety].format(code=code), 'green')}{part}")
    shown = group if all_of_it else group[:_SHOWN]
    for finding in shown:
        _say_finding(finding)
    if len(shown) < len(group):
        say(f"  … and {len(group) - len(shown)} more (--json for all)")


def _say_finding(finding: Finding) -> None:
    place = f"{finding.path}:{finding.line}" if finding.line else finding.path
    hint = f" [{finding.hint}]" if finding.hint and not finding.repair.value else ""
    say(f"  {one_line(f'{place}: {finding.message}{hint}', terminal_width(2))}")


def _say_sum(found: Examined, left: Sequence[Finding]) -> None:
    notes = sum(f.note for f in left)
    mendable = sum(f.repair.value == "certain" for f in left)
    tickets = counted(len(found.tickets), "ticket")
    if not left:
        say(f"{tickets}, nothing is odd")
        return
    findings, harmless = counted(len(left) - notes, "finding"), counted(notes, "harmless note")
    say(f"{tickets}, {findings}, {harmless}; --fix can mend {mendable}")
