"""`orchestrate doctor`: problems on the board, grouped by code, and their fixes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.text import (
    counted,
    one_line,
    paint,
    say,
    say_diff,
    say_json,
    some_of,
    terminal_width,
)
from orchestrator.cli.workspace import AnyTicketId, AsJson, Workspace, workspace
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.doctor.fix_runner import FixPlan, FixResult
    from orchestrator.doctor.runner import Checkup, Problem

#: so many problems of one code are shown for a whole board
_SHOWN = 8


def doctor(
    context: typer.Context,
    id: AnyTicketId = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Apply the fixes that are certain, and commit them.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the fixes as a diff; change nothing.")
    ] = False,
    chosen: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="CODE", help="Also apply fixes of this code (repeatable)."),
    ] = None,
    no_commit: Annotated[
        bool,
        typer.Option("--no-commit", help="Do not commit; also fix files with uncommitted changes."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Report problems on the board and fix them.

    Exit code 1 if a problem is found that is not harmless; `orchestrate docs doctor` lists every
    code.
    """
    from orchestrator.doctor import fix_runner
    from orchestrator.doctor.runner import remember

    here = workspace(context)
    _require_fixable(chosen or ())
    found = _examine(here, id)
    plan, result = fix_runner.FixPlan(), fix_runner.FixResult()
    if fix or dry_run or chosen:
        plan = fix_runner.plan_fixes(here.board, found, chosen or ())
        if not as_json:
            _say_plan(plan)
    if fix and not dry_run:
        how = here.settings.git
        result = fix_runner.apply_fixes(here.board, found, plan, not no_commit, how)
        fixed = tuple(replace(p, fixed=True) for p in found.problems if _is_fixed(p, result))
        left = _examine(here, None)
        left = left if id is None else left.of(id)
        found = replace(left, problems=(*fixed, *left.problems))
    if id is None and not dry_run:
        remember(here.board, found)
    if as_json:
        say_json(
            {
                "tickets": len(found.tickets),
                "healthy": found.healthy,
                "findings": [problem.to_dict() for problem in found.problems],
                "diff": plan.diff(),
                "left_alone": result.left,
                "notices": result.notices,
                "commit": result.commit or None,
            }
        )
    else:
        _say_result(result)
        _say_problems(found, most=None if id is not None else _SHOWN)
        _say_confinement()
    raise typer.Exit(0 if found.healthy else 1)


def _require_fixable(codes: Sequence[str]) -> None:
    from orchestrator.doctor.fixes import Applicability
    from orchestrator.doctor.rules import RULES

    manual = Applicability.DISPLAY_ONLY
    known = [code for code, rule in RULES.items() if rule.applicability() is not manual]
    for code in codes:
        if code not in known:
            raise UsageError(f"no fix for {code}", hint=f"fixes: {', '.join(sorted(known))}")


def _examine(here: Workspace, id: str | None) -> Checkup:
    from orchestrator.doctor.runner import examine

    found = examine(here.board, here.settings)
    if id is None:
        return found
    one = found.of(id)
    if not one.tickets:
        here.board.find(id)
    return one


def _is_fixed(problem: Problem, result: FixResult) -> bool:
    if problem.code in result.applied.get(problem.path, ()):
        return True
    twins = (path for path, codes in result.applied.items() if "twin" in codes)
    return problem.code == "twin" and any(path in problem.message for path in twins)


def _say_confinement() -> None:
    """What this machine cannot do about programs that nobody vouches for."""
    from orchestrator.agent_process.confinement import ability

    if not ability().is_whole:
        say(f"{paint('!', 'yellow')} {ability().sentence}")


# -- for people ----------------------------------------------------------------------------------


def _say_plan(plan: FixPlan) -> None:
    say_diff(plan.diff().splitlines())
    for line in plan.overwritten():
        say(f"{paint('!', 'yellow')} {one_line(line)}")


def _say_result(result: FixResult) -> None:
    from orchestrator.doctor.fix_runner import UNCOMMITTED

    fixed = Counter(code for codes in result.applied.values() for code in codes)
    for code, count in sorted(fixed.items()):
        say(f"{paint('fixed', 'green')}  {code}  {count}")
    for notice in result.notices:
        say(f"  {paint('!', 'yellow')} {one_line(notice)}")
    for reason in dict.fromkeys(result.left.values()):
        paths = [one_line(path) for path, why in result.left.items() if why == reason]
        say(f"left alone: {some_of(paths, _SHOWN)}: {one_line(reason)}")
        if reason == UNCOMMITTED:
            say("  commit them first, or use --no-commit")
    if result.commit:
        say(f"commit {result.commit}; to undo: git revert {result.commit}")


def _say_problems(found: Checkup, most: int | None) -> None:
    from orchestrator.doctor.fixes import Applicability
    from orchestrator.doctor.rules import rule_for
    from orchestrator.tickets.board import UNREAD

    left = [p for p in found.problems if not p.fixed]
    for code, members in groupby(left, key=lambda p: p.code):
        group = list(members)
        say(
            f"{paint(code, 'dim' if group[0].note else 'bold')}  {len(group)}  "
            f"{rule_for(code).meaning}"
        )
        for kind, flags in ((Applicability.SAFE, ""), (Applicability.UNSAFE, f" --with {code}")):
            count = sum(p.fix is kind for p in group)
            part = "" if count == len(group) else f" ({count} of them)"
            if count:
                say(f"  {paint(f'--fix{flags} fixes it', 'green')}{part}")
        for problem in group if code in UNREAD else group[:most]:
            place = f"{problem.path}:{problem.line}" if problem.line else problem.path
            manual = problem.fix is Applicability.DISPLAY_ONLY
            hint = f" [{problem.hint}]" if problem.hint and manual else ""
            say(f"  {one_line(f'{place}: {problem.message}{hint}', terminal_width(2))}")
        # nothing is dropped in silence: files that are not read are all named
        if most is not None and len(group) > most and code not in UNREAD:
            say(f"  … and {len(group) - most} more (--json for all)")
    tickets = counted(len(found.tickets), "ticket")
    if unread := sum(p.code in UNREAD for p in left):
        tickets += f", {counted(unread, 'file')} not read as a ticket"
    if not left:
        say(f"{tickets}, no problems")
        return
    notes = sum(p.note for p in left)
    problems, harmless = counted(len(left) - notes, "problem"), counted(notes, "harmless note")
    fixable = sum(p.fix is Applicability.SAFE for p in left)
    say(f"{tickets}, {problems}, {harmless}; --fix can fix {fixable}")
