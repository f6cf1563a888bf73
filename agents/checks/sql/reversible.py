"""Checks that a migration has a way back, and that it leads all the way."""

from __future__ import annotations

from orchestrate_agents.checks.sql.subjects import Which, migration_of
from orchestrate_agents.sql.prerequisites import prerequisite_sql
from orchestrate_agents.sql.reverse import reverse, way_back
from orchestrator.gates.checks import Context, Result, check, failed, proven, unproven

_LISTED = 5
_CLEANLY = "[(cleanly|safely|without errors|without error|successfully)]"


@check(
    "{which:migration} (is|are) (reversible|revertible|rollback-safe)",
    f"{{which:migration}} can be (rolled back|reverted|undone|reversed) {_CLEANLY}",
    f"{{which:migration}} (rolls back|reverts) {_CLEANLY}",
    "{which:migration} (has|have|includes) [(a|an)] [working] "
    "(down migration|rollback|down script|rollback script|down file|down section)",
    "[the] (down migration|rollback script|rollback|down script) (restores|brings back) the "
    "(previous|old|original|prior) schema",
    "[the] (down migration|rollback script|down script) (works|runs without errors|"
    "runs without error|reverts the migration|undoes the migration|undoes everything)",
    "{which:migration} (runs|works|applies) [cleanly] (up and down|both ways|in both directions)",
    name="sql.reversible",
    slow=True,
    examples=(
        "The migration is reversible",
        "`migrations/002_x.sql` can be rolled back",
        "The down migration restores the previous schema",
    ),
)
def reversible(ctx: Context, which: Which | None = None) -> Result:
    """Up, down, and up again on a real server: catalogue and rows that were there are as before."""
    path = migration_of(ctx, which)
    if isinstance(path, Result):
        return path
    name = str(path)
    found = way_back(ctx.root, name)
    if found is None:
        return failed(f"{name} has no down migration: no file beside it, no section in it", name)
    up, down, where = found
    subjects = tuple(dict.fromkeys((name, where.split(":")[0])))
    reversal = reverse(up, down, ctx.services, prerequisite_sql(ctx.root, name, ctx.workflow))
    if reversal.failure.startswith("the migration itself"):
        return unproven(f"{name}: {reversal.failure}", *subjects)
    if reversal.failure:
        return failed(f"{where}: {reversal.failure}", *subjects)
    if reversal.left:
        listed = "; ".join(reversal.left[:_LISTED])
        return failed(f"{where} does not lead back: {listed}", *subjects, left=list(reversal.left))
    if reversal.rows:
        return failed(f"{where} changes rows: {'; '.join(reversal.rows[:_LISTED])}", *subjects)
    if reversal.again:
        return failed(f"after {where}, {name} stops at {reversal.again}", *subjects)
    return proven(f"{name}, then {where}: catalogue and rows as before, and up again", *subjects)
