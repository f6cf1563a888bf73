"""What a migration would do in branches whose conditions were not met where it was proven."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from orchestrate_agents.sql.apply import Applied, apply
from orchestrate_agents.sql.catalog import Snapshot, difference, snapshot
from orchestrate_agents.sql.parse import Migration
from orchestrate_agents.sql.scratch import Database
from orchestrate_agents.sql.steady import Questions, unseen

#: number of a DO block → numbers of its branches
Branches = Mapping[int, Collection[int]]
#: what a branch may make without letting anybody do more, or changing rows on their way
_MADE = ("+ table", "+ column ", "+ constraint", "+ index", "+ type", "+ schema", "+ sequence")


def left_open(asked: Questions, first: Applied, again: Applied) -> Iterator[str]:
    """Why the migration may do something else on a target than it did here."""
    yield from asked.problems()
    for number, (block, ran) in enumerate(first.blocks):
        more = again.blocks[number][1] if number < len(again.blocks) else frozenset()
        yield from unseen(block, ran, more, asked.reads_rows(block.source))


def not_run(first: Applied, again: Applied) -> Branches:
    """The branches that do something under a condition, and that ran in neither run."""
    found = {}
    for number, (block, ran) in enumerate(first.blocks):
        more = again.blocks[number][1] if number < len(again.blocks) else frozenset()
        left = {
            n for n, b in enumerate(block.branches) if b.does and b.asks and n not in ran | more
        }
        if left:
            found[number] = left
    return found


def would_do(
    database: Database,
    migration: Migration,
    catalog: Snapshot,
    branches: Branches,
    own: Collection[str],
) -> tuple[str, ...]:
    """How the catalog differs if the conditions of these branches are taken to hold.

    `database` has what the migration builds on, `catalog` is what it makes without them. New tables
    and columns are left out. Nothing is told of branches that cannot run here.
    """
    if apply(database, migration, (), own, branches).failure is not None:
        return ()
    with database.connect() as owner:
        changes = difference(catalog, snapshot(owner))
    return tuple(line for line in changes if not line.startswith(_MADE))
