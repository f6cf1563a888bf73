"""`orchestrate init` and `new`: a board in an existing repository, and further tickets."""

from __future__ import annotations

import os
import re
import shlex
import sys
import unicodedata
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.coding import require_adapter
from orchestrator.cli.text import callable_commands, clean, counted, one_line, say, say_json
from orchestrator.cli.workspace import AsJson, Workspace, workspace
from orchestrator.domain.folders import normal_status
from orchestrator.domain.states import FolderRole, Part
from orchestrator.errors import UsageError
from orchestrator.storage import atomic
from orchestrator.templating import render

_PRIORITIES = ("P0", "P1", "P2", "P3")


def new(
    context: typer.Context,
    title: Annotated[str, typer.Argument(metavar="TITLE", help="What it is about, in one line.")],
    owner: Annotated[
        str,
        typer.Option("--owner", metavar="NAME", help="Who gets it first; by default the triager."),
    ] = "",
    priority: Annotated[
        str, typer.Option("--priority", metavar="P", help="P0 (now) to P3 (someday).")
    ] = "P2",
    workflow: Annotated[
        str, typer.Option("--workflow", metavar="FILE", help="The workflow to follow.")
    ] = "",
    parent: Annotated[
        str, typer.Option("--parent", metavar="ID", help="Make it a child of this ticket.")
    ] = "",
    depends_on: Annotated[
        list[str] | None,
        typer.Option(
            "--depends-on", metavar="ID", help="A ticket that must be done first (repeatable)."
        ),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="PATH", help="A file that it will change (repeatable)."),
    ] = None,
    problem: Annotated[
        str, typer.Option("--problem", metavar="TEXT", help="What is wrong or missing.")
    ] = "",
    criterion: Annotated[
        list[str] | None,
        typer.Option("--criterion", "-c", metavar="TEXT", help="What must hold (repeatable)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a ticket in the inbox, with an id of its own.

    No other ticket has or had it: the next number, WO-232; for a child the next letter, WO-231c. A
    clone of a repository with a remote puts its own letters before its numbers, WO-KDRT7, unless it
    is the home that `_WORK_ORDERS/.home` names: two clones that are offline never give out the same
    id.
    """
    from orchestrator.family.workflow_discovery import named_workflow

    here = workspace(context)
    if workflow:
        named_workflow(here.root, here.settings, workflow)
    if priority not in _PRIORITIES:
        _warn(f"priority {one_line(priority)} is none of {', '.join(_PRIORITIES)}")
    if owner and owner not in (known := _known_owners(here)):
        _warn(f"{one_line(owner)} is not an agent; known: {', '.join(known)}, or a person's name")
    created = create_ticket(
        here,
        title=title,
        owner=owner or here.settings.agent_playing(Part.TRIAGER) or "USER",
        priority=priority,
        workflow=workflow,
        problem=clean(problem) or "What is wrong or missing, and for whom?",
        criteria=tuple(clean(one_line(text)) for text in criterion or ()),
        parent=here.board.find(here.id(parent)).id if parent else "",
        depends_on=tuple(here.board.find(here.id(id)).id for id in depends_on or ()),
        files=tuple(
            atomic.inside(here.root, path).relative_to(here.root).as_posix() for path in file or ()
        ),
    )
    if as_json:
        say_json(created)
        return
    say(f"created {created['path']}")
    if not criterion:
        say("  add what must hold under Acceptance Criteria, one `- [ ]` line each")


def _known_owners(here: Workspace) -> list[str]:
    from orchestrator.agent_process.worker import agent_names

    return sorted({*agent_names(), *here.settings.agents, "USER"})


def _warn(text: str) -> None:
    print(clean(f"warning: {text}"), file=sys.stderr)


def create_ticket(
    here: Workspace, *, title: str, parent: str = "", **fields: str | Sequence[str]
) -> dict[str, Any]:
    """Write the ticket while its id is locked; returns id, path, parent, depends_on, files."""
    from orchestrator.tickets.ids import allocation

    title = clean(one_line(title))
    if not title:
        raise UsageError("a ticket needs a title", hint='orchestrate new "What it is about"')
    board = here.board
    folder = board.folders.for_role(FolderRole.INBOX)
    values: dict[str, Any] = {
        "workflow": "",
        "priority": "P2",
        "criteria": (),
        "parent": parent,
        "depends_on": (),
        "files": (),
        **fields,
    }
    slug = _slug_of(title)
    created = date.today().isoformat()
    with allocation(board) as ids:
        id = ids.child(parent) if parent else ids.new()
        path = board.path / folder / f"{id}_{slug}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        status = board.folders.status_for(FolderRole.INBOX)
        text = render("ticket.md.j2", id=id, title=title, status=status, created=created, **values)
        atomic.create(path, text.encode("utf-8"))
    kept = {key: values[key] for key in ("parent", "depends_on", "files")}
    return {"id": id, "path": path.relative_to(here.root).as_posix(), **kept}


def _slug_of(title: str) -> str:
    """The words of a title for a file name: without accents, unless more than these would go."""
    plain = unicodedata.normalize("NFKD", title)
    ascii_title = plain.encode("ascii", "ignore").decode("ascii")
    if sum(map(str.isalnum, ascii_title)) < sum(map(str.isalnum, plain)):
        ascii_title = unicodedata.normalize("NFC", title)
    words = "_".join(re.findall(r"[^\W_]+", ascii_title))[:60]
    # a file name holds 255 bytes
    return words.encode()[:180].decode(errors="ignore").rstrip("_") or "Ticket"


def init(
    context: typer.Context,
    commit: Annotated[
        bool | None,
        typer.Option(
            "--commit/--no-commit",
            help="Commit each step of a family to git; without it, asked in a git repository "
            "(yes, where nobody can be asked).",
        ),
    ] = None,
    nested: Annotated[
        bool,
        typer.Option("--nested", help="Create it even inside another workspace."),
    ] = False,
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="Settings for the board of another tool: backlog-md, spec-kitty, tk or plain.",
        ),
    ] = "",
    agent: Annotated[
        str,
        typer.Option(
            "--agents",
            metavar="NAME",
            help="Let a coding agent make what tickets ask for: claude …",
        ),
    ] = "",
) -> None:
    """Create a board and settings in an existing repository.

    Creates the folders, orchestrate.toml, a workflow and a first ticket, and adds `.orchestrate/`
    to the repository's .gitignore. Existing files are not overwritten. Refused in a subfolder of a
    workspace, which has its board already. With --profile the board that is there is read as it is,
    and only the settings and the workflow are added (`orchestrate docs boards`).
    """
    from orchestrator.git.ignoring import ignore_in_repository
    from orchestrator.settings.board import FILE

    root = (workspace(context).directory or Path.cwd()).resolve()
    _require_place(root, nested)
    is_new = not atomic.inside(root, FILE).exists()
    if profile and not is_new:
        raise UsageError(
            "there are settings already, and --profile does not change them",
            path=root / FILE,
            hint="move the file away, or write its [board] by hand: orchestrate docs boards",
        )
    board_table = _profile(root, profile) if profile else ""
    if agent:
        require_adapter(root, agent, is_new)
    if commit is None and is_new:
        commit = _ask_about_commits(root)
    _create_file(
        root, FILE, render(f"{FILE}.j2", commit=bool(commit), board=board_table, agent=agent)
    )
    # before the board is opened: that would list the folder for this clone alone
    ignored = ignore_in_repository(root)
    if ignored is not None:
        say(f"added .orchestrate/ to {os.path.relpath(ignored, root)}")
    here = Workspace(root)
    _say_what_is_kept(here, None if is_new else commit)
    _create_board(here, with_folders=not profile)
    _say_what_to_commit(here, ignored)
    _say_next(here, is_own_board=not profile)


def _require_place(root: Path, nested: bool) -> None:
    """Raise UsageError where no workspace can be."""
    from orchestrator.git.repository import is_bare

    if not root.is_dir():
        raise UsageError("no such folder", path=root, code="no-such-folder")
    if is_bare(root):
        raise UsageError(
            "this is a bare repository: it has no files to work on",
            path=root,
            code="bare-repository",
            hint="clone it, or `git worktree add` a folder, and run `orchestrate init` there",
        )
    if not nested:
        _require_own_place(root)


def _ask_about_commits(root: Path) -> bool:
    from orchestrator.git.folder import find_git_folder

    if find_git_folder(root) is None:
        return False
    if not sys.stdin.isatty():
        return True
    say("Each step of a family can be a git commit of the files that it touched. Without,")
    say("`git stash` or another branch puts an older board in place of this one.")
    return typer.confirm("Commit each step?", default=True)


def _say_what_is_kept(here: Workspace, commit: bool | None) -> None:
    """What of a board and settings that are there already stays; `commit`: what was asked for."""
    from orchestrator.settings.board import FILE

    if not atomic.inside(here.root, here.settings.board.folder).is_dir():
        return
    count = counted(len(here.board.tickets()), "ticket")
    say(
        f"there is a board already: {here.settings.board.folder} ({count}); nothing in it "
        "is changed, what it lacks is added"
    )
    if commit is not None and commit is not here.settings.git.commit:
        value = str(here.settings.git.commit).lower()
        say(f"  {FILE} keeps `[git] commit = {value}`; edit it there")


def _create_board(here: Workspace, with_folders: bool) -> None:
    """Create what a board lacks, and the workflow of tickets that name none."""
    from orchestrator.family.workflow_discovery import DEFAULT, SHIPPED
    from orchestrator.tickets.ids import HOME, claim

    atomic.inside(here.root, here.settings.board.folder).mkdir(parents=True, exist_ok=True)
    board = here.board
    for role in FolderRole if with_folders else ():
        folder = board.path / board.folders.for_role(role)
        # optional ones are created when they are first used
        if not role.optional and not folder.is_dir():
            folder.mkdir()
            # git keeps no empty folders
            (folder / ".gitkeep").touch()
            say(f"created {folder.relative_to(here.root)}/")
    workflow = (SHIPPED / DEFAULT).read_text(encoding="utf-8")
    _create_file(here.root, "workflows/work-order.md", workflow)
    # plain numbers, if no other clone gives them out
    if with_folders and claim(board):
        say(f"created {(board.path / HOME).relative_to(here.root)}")


def _say_next(here: Workspace, is_own_board: bool) -> None:
    """What can be done now; on an empty board with a first ticket to do it with."""
    from orchestrator.commands.proposals import propose_commands
    from orchestrator.settings.config import default_maker

    if found := len(propose_commands(here.root)):
        said = f"{counted(found, 'command')} of this repository could prove criteria"
        say(callable_commands(f"{said}; look and allow: orchestrate checks allow"))
    if not is_own_board:
        say(callable_commands("\nnext: `orchestrate list` and `orchestrate doctor`"))
    elif not here.board.tickets():
        maker = default_maker() or "USER"
        ticket = create_ticket(
            here,
            title="Say hello",
            owner=maker,
            problem=render("first_problem.md.j2", maker=maker).rstrip(),
            criteria=("`docs/hello.md` exists",),
        )
        say(f"created {ticket['path']}")
        say(callable_commands(f"\nnext: orchestrate run {ticket['id']}"))


def _profile(root: Path, name: str) -> str:
    """The `[board]` of a profile for the board that is there.

    Raises UsageError for an unknown profile, and where there is no such board.
    """
    import tomllib

    from orchestrator.domain.folders import subfolders
    from orchestrator.templating import TEMPLATES

    folder = TEMPLATES / "profiles"
    known = sorted(path.name.removesuffix(".toml.j2") for path in folder.glob("*.toml.j2"))
    if name not in known:
        raise UsageError(f"there is no profile {name}", hint=f"profiles: {', '.join(known)}")
    # where folders are the states: those that have two of them
    states = [
        place
        for place in subfolders(root)
        if len({normal_status(n) for n in subfolders(root / place)} - {None}) > 1
    ]
    table = render(f"profiles/{name}.toml.j2", folder=next(iter(states), ""))
    board = tomllib.loads(table)["board"]["folder"]
    if not board or not (root / board).is_dir():
        missing = f"{board}/" if board else "folder with folders such as todo, doing, done"
        raise UsageError(
            f"there is no {missing} here, which the profile {name} reads; "
            "a board is in a folder of its own",
            code="no-board",
            hint="run it where the board is, or `orchestrate init` for a new one",
        )
    return table


def _say_what_to_commit(here: Workspace, ignored: Path | None) -> None:
    """Tell of the files that no step of a family commits, and that every clone and CI needs."""
    from orchestrator.git.repository import TrackedFolder
    from orchestrator.settings.board import FILE

    if not here.settings.git.commit:
        return
    git = TrackedFolder(here.root, ".")
    folder = here.settings.board.folder
    uncommitted = git.changed() if git.is_work_tree else None
    wanted = [FILE, "workflows/work-order.md", folder]
    if ignored is not None:
        wanted.insert(0, os.path.relpath(ignored, here.root))
    left = [
        name
        for name in wanted
        if any(c == name or c.startswith(f"{name}/") for c in uncommitted or ())
    ]
    if ignored is not None and wanted[0] not in left:
        left.insert(0, wanted[0])
    if uncommitted and left:
        names = " ".join(shlex.quote(name) for name in left)
        say("\nno step commits these, and clones and CI need them:")
        say(f"  git add -- {names} && git commit -m 'Add a board' -- {names}")


def _require_own_place(root: Path) -> None:
    """Raise UsageError in a subfolder of a workspace, unless it is a repository of its own."""
    from orchestrator.settings.board import FILE, find_root

    outer = find_root(root)
    own = any((root / name).exists() for name in (FILE, "_WORK_ORDERS", ".git"))
    between = [folder for folder in root.parents if folder.is_relative_to(outer)]
    if own or outer == root or any((f / ".git").exists() for f in between if f != outer):
        return
    raise UsageError(
        f"this folder is inside the workspace {outer}, which has a board already",
        path=root,
        code="inside-workspace",
        hint=f"use that one (commands find it from here); `orchestrate -C {outer} init` adds what "
        "it lacks, `init --nested` makes a second one all the same",
    )


def _create_file(root: Path, name: str, text: str) -> None:
    """Create a file, or say that the existing one is kept."""
    path = atomic.inside(root, name)
    if path.exists():
        say(f"kept {name}")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.create(path, text.encode("utf-8"))
    say(f"created {name}")
