"""Finding a ticket's workflow (DESIGN 4.4): given, named in the ticket, or by convention."""

from __future__ import annotations

from pathlib import Path

from orchestrator.config import Settings, default_maker
from orchestrator.domain.states import Part
from orchestrator.domain.workflow import Workflow
from orchestrator.errors import UnsafePathError, WorkflowError
from orchestrator.storage.atomic import inside
from orchestrator.tickets.ticket import Ticket
from orchestrator.workflow_reader.parser import read_workflow

#: for tickets without a workflow of their own (DESIGN 4.6)
DEFAULT = "work-order.md"
_NOBODY = ("", "USER", "UNASSIGNED", "SYSTEM", "COMPLETE")
SHIPPED = Path(__file__).parents[1] / "workflows"
#: how a record names one of those: the place of the installation is nobody's else
_SHIPPED = "shipped:"


def reference_to(root: Path, path: Path) -> str:
    """How a record names a workflow: below the workspace, as shipped, else where it lies."""
    place, home = path.resolve(), root.resolve()
    if place.is_relative_to(home):
        return place.relative_to(home).as_posix()
    shipped = (SHIPPED / place.name).resolve()
    return f"{_SHIPPED}{place.name}" if place == shipped else str(place)


def referenced(root: Path, reference: str) -> Path:
    """The file that a record names so."""
    if reference.startswith(_SHIPPED):
        return SHIPPED / Path(reference.removeprefix(_SHIPPED)).name
    return root / reference


def find_workflow(root: Path, settings: Settings, ticket: Ticket, given: Path | None) -> Workflow:
    """Read the workflow of a ticket.

    `given` (the command line, or the record) is taken as it is; a name in the ticket has to lie in
    the workspace. Raises WorkflowError (code `no-such-workflow`) naming where it was looked for.
    """
    if given is not None:
        if not given.is_file():
            raise WorkflowError(
                "there is no such workflow",
                path=given,
                code="no-such-workflow",
                hint="put the file back, or name another with --workflow",
            )
        return _read(given, root, settings, ticket)
    if ticket.workflow:
        named = named_workflow(root, settings, ticket.workflow, ticket.path)
        return _read(named, root, settings, ticket)
    for folder in settings.workflows:
        default = root / folder / DEFAULT
        if default.is_file():
            return _read(default, root, settings, ticket)
    return _read(SHIPPED / DEFAULT, root, settings, ticket)


def _maker(settings: Settings, owner: str) -> str:
    """The owner if it is a maker, else the registered maker of what names no other."""
    nobody = owner.startswith("PENDING") or owner in _NOBODY
    if nobody or settings.agent(owner).part is not Part.MAKER:
        return default_maker() or owner
    return owner


def _read(path: Path, root: Path, settings: Settings, ticket: Ticket) -> Workflow:
    variables = {
        "id": ticket.id,
        "title": ticket.title or ticket.id,
        "owner": _maker(settings, ticket.owner),
        "priority": str(ticket.priority or ""),
    }
    return read_workflow(path, root=root, variables=variables)


def named_workflow(root: Path, settings: Settings, name: str, ticket: Path | None = None) -> Path:
    """The file that a ticket names, also under the folders where agents keep workflows.

    Raises WorkflowError (code `no-such-workflow`) naming where it was looked for.
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
                hint="copy it into the workspace, or give it with --workflow",
            ) from exc
        if path.is_file():
            return path
    raise WorkflowError(
        f"the workflow that the ticket names is not there: {name}",
        path=ticket,
        code="no-such-workflow",
        hint=f"looked for {', '.join(dict.fromkeys(tried))}",
    )
