"""Finding a ticket's workflow (DESIGN 4.4): given, named in the ticket, or by convention."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict, deque
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from orchestrator.domain import workflow as domain
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Workflow
from orchestrator.errors import UnsafePathError, WorkflowError
from orchestrator.gates.proof_cache import user_proof_cache
from orchestrator.settings.config import Settings, default_maker, registered_parts
from orchestrator.storage.atomic import inside
from orchestrator.storage.real_paths import below_folder, real_folder
from orchestrator.tickets.ticket import Ticket
from orchestrator.workflow_reader.source import read_bytes

#: the types that a workflow consists of, by module and name
_VALUES = {
    (each.__module__, each.__qualname__): each
    for each in (*vars(domain).values(), type(Path()), date, datetime, timedelta, timezone)
    if isinstance(each, type) and each.__module__ in (domain.__name__, "datetime", Path.__module__)
}
#: for tickets without a workflow of their own (DESIGN 4.6)
DEFAULT = "work-order.md"
_NOBODY = ("", "USER", "UNASSIGNED", "SYSTEM", "COMPLETE")
SHIPPED = Path(__file__).parents[1] / "workflows"
#: how a record names one of those, wherever the product is installed
_SHIPPED = "shipped:"
#: the texts that this process read last
_TEXTS: deque[bytes] = deque(maxlen=16)
#: the workflows that it read last and that say the same of any ticket, by text, place and owner
_for_any: OrderedDict[tuple[object, ...], Workflow] = OrderedDict()
_MOST_FOR_ANY = 16


def reference_to(root: Path, path: Path) -> str:
    """How a record names a workflow: relative to the workspace, as shipped, else its path."""
    place, home = path.resolve(), root.resolve()
    if place.is_relative_to(home):
        return place.relative_to(home).as_posix()
    shipped = (SHIPPED / place.name).resolve()
    return f"{_SHIPPED}{place.name}" if place == shipped else str(place)


def referenced(root: Path, reference: str) -> Path:
    """The file that a record's reference names."""
    if reference.startswith(_SHIPPED):
        return SHIPPED / Path(reference.removeprefix(_SHIPPED)).name
    return root / reference


def find_workflow(root: Path, settings: Settings, ticket: Ticket, given: Path | None) -> Workflow:
    """Read the workflow of a ticket.

    `given` (the command line, or the record) may be anywhere; a name in the ticket has to be in
    the workspace. Raises WorkflowError (code `no-such-workflow`) that lists the places searched.
    """
    if given is not None:
        if not given.is_file():
            raise WorkflowError(
                "there is no such workflow",
                path=given,
                code="no-such-workflow",
                hint="restore the file, or name another with --workflow",
            )
        return _read(given, root, settings, ticket)
    if ticket.workflow:
        return _read(
            named_workflow(root, settings, ticket.workflow, ticket.path), root, settings, ticket
        )
    places = (root / folder / DEFAULT for folder in settings.workflows)
    default = next((place for place in places if place.is_file()), SHIPPED / DEFAULT)
    return _read(default, root, settings, ticket)


def _read(path: Path, root: Path, settings: Settings, ticket: Ticket) -> Workflow:
    # a template is filled in with its owner if that is a maker: USER and LEAD do not build
    owner = ticket.owner
    # `assignee:` is a person's name in most tools
    keys = [key for key in ticket.spelt.get("owner", ()) if key != "owner"]
    person = owner.upper() not in {*registered_parts(), *settings.agents} and any(
        owner in str(ticket.meta.get(key)) for key in keys
    )
    nobody = owner.startswith("PENDING") or owner in _NOBODY or person
    if nobody or settings.agent(owner).part is not Part.MAKER:
        owner = default_maker() or owner
    variables = {
        "id": ticket.id,
        "title": ticket.title or ticket.id,
        "owner": owner,
        "priority": str(ticket.priority or ""),
    }
    data = read_bytes(path)
    top = real_folder(root)
    # mostly it lies in the workspace
    named, above = os.fspath(path), f"{os.fspath(root)}/"
    is_below = named.startswith(above) and "/../" not in named
    place = below_folder(top, named[len(above) :]) if is_below else os.path.realpath(named)
    text = (data, path, place, root, top)
    if known := _for_any.get((*text, owner)):
        return known
    read = _read_kept(*text, tuple(variables.items()))
    if read.for_any:
        _for_any[*text, owner] = read
        if len(_for_any) > _MOST_FOR_ANY:
            _for_any.popitem(last=False)
    return read


class _Values(pickle.Unpickler):
    """Reads what was kept of a workflow, and makes nothing but values of it: who can forge the
    seal still cannot have code run."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _VALUES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of a workflow") from None


@lru_cache(maxsize=64)
def _read_kept(
    data: bytes, path: Path, place: str, root: Path, top: str, given: tuple[tuple[str, str], ...]
) -> Workflow:
    """What was read of the same text before, here or by an earlier command.

    To read one takes a tenth of a second, most of it for the patterns of what people write.
    """
    cache, owner = user_proof_cache(), dict(given).get("owner", "")
    # of any ticket, and of this one
    text = ("workflow", data, *map(str, (path, place, root, top)))
    keys = [repr((*text, owner)), repr((*text, given))]
    if kept := next(filter(None, map(cache.get, keys)), None):
        read: Workflow = _Values(BytesIO(kept)).load()
        return read
    from orchestrator.workflow_reader.parser import read_workflow_bytes

    read = read_workflow_bytes(data, path, root=root, variables=dict(given))
    # for the next of many families that follow it, most of it is known to this process
    if data not in _TEXTS:
        _TEXTS.append(data)
        cache.put(keys[not read.for_any], pickle.dumps(read))
    return read


def named_workflow(root: Path, settings: Settings, name: str, ticket: Path | None = None) -> Path:
    """The file that a ticket names, searched in the workspace and its workflow folders.

    Raises WorkflowError (code `no-such-workflow`) that lists the places searched.
    """
    tried = []
    for candidate in (name, *(f"{f}/{Path(name).name}" for f in settings.workflows)):
        tried.append(candidate)
        try:
            path = inside(root, candidate)
        except UnsafePathError as exc:
            raise WorkflowError(
                f"the ticket names a workflow outside the workspace: {name}",
                path=ticket,
                code="no-such-workflow",
                hint="copy it into the workspace, or name it with --workflow",
            ) from exc
        if path.is_file():
            return path
    raise WorkflowError(
        f"the workflow that the ticket names does not exist: {name}",
        path=ticket,
        code="no-such-workflow",
        hint=f"looked for {', '.join(dict.fromkeys(tried))}",
    )
