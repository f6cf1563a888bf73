"""Who can do what to the relations that a migration touched, by every way that is looked at."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

from orchestrate_agents.sql.access_matrix import Planted, plant, probe
from orchestrate_agents.sql.catalog import Relation
from orchestrate_agents.sql.environment import HOSTED
from orchestrate_agents.sql.reach import RlsBypass, rls_bypasses, trigger_bypasses
from orchestrate_agents.sql.request_probes import by_request, with_requests
from orchestrate_agents.sql.scratch import Database
from orchestrate_backend.targets.supabase_setup import API_ROLES

#: older tables that are probed where a migration touches none
_MOST_STANDING = 40


def access_of(
    database: Database,
    touched: Sequence[Relation],
    alive: Sequence[Relation],
    kept: Planted,
    lent: Collection[RlsBypass],
) -> dict[str, Any]:
    """The facts of a proof about access to the touched relations, and to older tables if none is.

    `alive` are all relations that are there, `kept` the probe rows that stand in them, and `lent`
    is what functions lent to roles before.
    """
    refused: dict[str, str] = {}
    planted = plant(database, alive, standing=kept, refused=refused, force=True)
    made = any(r.is_table and r.schema not in HOSTED for r in touched)
    older = (r for r in alive if r.is_table and r.schema not in HOSTED and not made)
    standing = tuple(islice(older, _MOST_STANDING))
    probed = [*touched, *standing]
    cells = probe(database, probed, planted, refused)
    requests = by_request(database, probed, cells, planted)
    matrix = with_requests(cells, requests)
    with database.connect() as owner:
        new = set(rls_bypasses(owner, API_ROLES[:2], alive)).difference(lent)
        new.update(rls_bypasses(owner, API_ROLES[:2], touched))
        bypasses = (*sorted(new, key=str), *trigger_bypasses(owner, touched, matrix))
    return {
        "matrix": matrix,
        "standing": standing,
        "by_request": requests,
        "rls_bypasses": bypasses,
    }
