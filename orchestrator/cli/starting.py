"""`orchestrate init` and `new`: a board in an existing repository, and further tickets."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.session import AsJson, Session, session
from orchestrator.cli.text import clean, one_line, say, say_json
from orchestrator.domain.states import FolderRole, Part
from orchestrator.errors import UsageError
from orchestrator.storage import atomic
from orchestrator.templating import render

if TYPE_CHECKING:
    from orchestrator.tickets.board import Board

_FIRST_TITLE = "Say hello"
_FIRST_PROBLEM = """\
A first ticket, to see how a work order goes over the board: {maker} writes the file, the line under
Acceptance Criteria is proven, and you are asked for a review.

### Deliverable 1: `docs/hello.md`

```markdown
# Hello

The first work order came through.
```"""
_FIRST_CRITERIA = ("`docs/hello.md` exists",)


def new(
    context: typer.Context,
    title: Annotated[str, typer.Argument(metavar="TITLE", help="What it is about, in a line.")],
    owner: Annotated[
        str,
        typer.Option("--owner", metavar="NAME", help="Who has it first; else the triager."),
    ] = "",
    priority: Annotated[
        str, typer.Option("--priority", metavar="P", help="P0 (now) to P3 (some day).")
    ] = "P2",
    workflow: Annotated[
        str, typer.Option("--workflow", metavar="FILE", help="The workflow that it follows.")
    ] = "",
    parent: Annotated[
        str, typer.Option("--parent", metavar="ID", help="Make it a child of this ticket.")
    ] = "",
    depends_on: Annotated[
        list[str] | None,
        typer.Option(
            "--depends-on", metavar="ID", help="A ticket that must be done first; may be repeated."
        ),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(
            "--file", metavar="PATH", help="A file that it is to change; may be repeated."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lay a new ticket into the inbox, with an id that no other ticket has or had.

    The next number, WO-232; for a child the next letter, WO-231c. A clone of a repository with a
    remote puts letters of its own before its numbers, WO-KDRT7, unless it is the home that
    `_WORK_ORDERS/.home` names: so two clones that are offline never give out the same id.
    """
    from orchestrator.family.workflow_discovery import named_workflow

    here = session(context)
    if workflow:
        named_workflow(here.root, here.settings, workflow)
    laid = _lay_ticket(
        here,
        title=title,
        owner=owner or here.settings.agent_playing(Part.TRIAGER) or "USER",
        priority=priority,
        workflow=workflow,
        problem="What is wrong or missing, and for whom?",
        parent=here.board.find(parent).id if parent else "",
        depends_on=tuple(here.board.find(id).id for id in depends_on or ()),
        files=tuple(_inside(here.root, path) for path in file or ()),
    )
    if as_json:
        say_json(laid)
        return
    say(f"made {laid['path']}")
    say("  add what must hold under Acceptance Criteria, one `- [ ]` line each")


def _inside(root: Path, path: str) -> str:
    """A path as a ticket names it. Raises UnsafePathError if it leaves the workspace."""
    return atomic.inside(root, path).relative_to(root).as_posix()


def _lay_ticket(
    here: Session, *, title: str, parent: str = "", **fields: str | Sequence[str]
) -> dict[str, Any]:
    """Write the ticket while its id is locked; returns id, path, parent, depends_on, files."""
    from orchestrator.tickets.ids import allocation

    title = clean(one_line(title))
    if not title:
        raise UsageError("a ticket needs a title", hint='orchestrate new "What it is about"')
    board = here.board
    folder = board.folders.for_role(FolderRole.INBOX)
    told: dict[str, Any] = {"parent": parent, "depends_on": (), "files": (), **fields}
    with allocation(board) as ids:
        id = ids.child(parent) if parent else ids.new()
        path = board.path / folder / f"{id}_{_slug(title)}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.create(path, _text(id, title, folder, told).encode("utf-8"))
    kept = {key: told[key] for key in ("parent", "depends_on", "files")}
    return {"id": id, "path": path.relative_to(here.root).as_posix(), **kept}


def _text(id: str, title: str, folder: str, fields: Mapping[str, Any]) -> str:
    created = date.today().isoformat()
    usual = {"workflow": "", "priority": "P2", "criteria": ()}
    return render(
        "ticket.md.j2", id=id, title=title, folder=folder, created=created, **{**usual, **fields}
    )


def _slug(title: str) -> str:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode("ascii")
    words = re.findall(r"[A-Za-z0-9]+", plain)
    return "_".join(words)[:60].rstrip("_") or "Ticket"


def init(
    context: typer.Context,
    commit: Annotated[
        bool | None,
        typer.Option(
            "--commit/--no-commit", help="Commit each step of a family to git (else it is asked)."
        ),
    ] = None,
) -> None:
    """Lay a board and settings into an existing repository.

    Makes the folders, orchestrate.toml, a workflow and a first ticket. Nothing that is there
    already is overwritten.
    """
    from orchestrator.config import FILE

    root = (session(context).directory or Path.cwd()).resolve()
    if not root.is_dir():
        raise UsageError("there is no such folder", path=root, code="no-such-folder")
    _lay(root, FILE, lambda: render(f"{FILE}.j2", commit=_ask(root, commit)))
    here = Session(root)
    atomic.inside(root, here.settings.board.folder).mkdir(parents=True, exist_ok=True)
    _lay_folders(here.board)
    _lay(root, "workflows/work-order.md", _work_order)
    _lay(root, ".orchestrate/.gitignore", lambda: "*\n")
    _claim(here.board)
    if not here.board.tickets():
        from orchestrator.config import default_maker

        maker = default_maker() or "USER"
        ticket = _lay_ticket(
            here,
            title=_FIRST_TITLE,
            owner=maker,
            problem=_FIRST_PROBLEM.format(maker=maker),
            criteria=_FIRST_CRITERIA,
        )
        say(f"made {ticket['path']}")
        say(f"\nnext: orchestrate run {ticket['id']}")


def _claim(board: Board) -> None:
    """Give this clone the plain numbers, where no other has them."""
    from orchestrator.tickets.ids import HOME, claim

    if claim(board):
        say(f"made {(board.path / HOME).relative_to(board.root)}")


def _ask(root: Path, commit: bool | None) -> bool:
    """Whether to commit: as the option says, else as USER answers, else not."""
    if commit is not None or not (root / ".git").exists() or not sys.stdin.isatty():
        return bool(commit)
    return typer.confirm("Commit each step of a family to git?", default=False)


def _lay(root: Path, name: str, text: Callable[[], str]) -> None:
    """Create a file, or say that the one that is there is kept."""
    path = atomic.inside(root, name)
    if path.exists():
        say(f"kept {name}")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.create(path, text().encode("utf-8"))
    say(f"made {name}")


def _lay_folders(board: Board) -> None:
    for role in FolderRole:
        if role.optional:
            continue
        folder = board.path / board.folders.for_role(role)
        if not folder.is_dir():
            folder.mkdir()
            # git keeps no empty folders
            (folder / ".gitkeep").touch()
            say(f"made {folder.relative_to(board.root)}/")


def _work_order() -> str:
    from orchestrator.family.workflow_discovery import DEFAULT, SHIPPED

    return (SHIPPED / DEFAULT).read_text(encoding="utf-8")
