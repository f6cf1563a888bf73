"""`orchestrate docs` and `agents schema`: what is installed with the program to be read."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.text import paint, say, say_json, table
from orchestrator.cli.workspace import AsJson
from orchestrator.errors import UsageError

#: in an installed package, and in a checkout of the source
_PLACES = (Path(__file__).parents[1] / "docs", Path(__file__).parents[2] / "docs")


def docs(
    page: Annotated[
        str, typer.Argument(metavar="PAGE", help="A page, e.g. checks; by default all are listed.")
    ] = "",
    where: Annotated[bool, typer.Option("--path", help="Print where the page lies.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a page of the documentation, or list the pages.

    The pages are installed with the program and describe this version of it.
    """
    pages = _pages()
    if not page:
        if as_json:
            say_json([{"page": n, "title": t, "path": str(f)} for n, (t, f) in pages.items()])
            return
        for line in table([(name, paint(title, "dim")) for name, (title, _) in pages.items()]):
            say(f"  {line}")
        say("\norchestrate docs PAGE prints one, with --path where it lies")
        return
    name = page.strip().removeprefix("docs/").removesuffix(".md")
    if name not in pages:
        close = difflib.get_close_matches(name, pages, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "orchestrate docs lists them"
        raise UsageError(f"there is no page {name}", code="no-such-page", hint=hint)
    title, file = pages[name]
    text = file.read_text(encoding="utf-8")
    if as_json:
        say_json({"page": name, "title": title, "path": str(file), "text": text})
    else:
        say(str(file) if where else text.rstrip("\n"))


def _pages() -> dict[str, tuple[str, Path]]:
    """Name → title and file, of every page. Raises UsageError if none are installed."""
    folder = next((place for place in _PLACES if (place / "configuration.md").is_file()), None)
    if folder is None:
        raise UsageError(
            "the documentation is not installed", code="no-docs", hint="install the package again"
        )
    found = {}
    for file in sorted(folder.rglob("*.md")):
        name = file.relative_to(folder).with_suffix("").as_posix()
        with file.open(encoding="utf-8") as lines:
            heading = next((ln for ln in lines if ln.startswith("# ")), f"# {name}")
        found[name] = (heading.removeprefix("# ").strip(), file)
    return found


def schema(
    job: Annotated[
        bool, typer.Option("--job", help="The schema of the job that an agent gets.")
    ] = False,
) -> None:
    """Print the JSON Schema of an agent's report, or of its job.

    Hand it to a program that writes reports, so that it can write no other text.
    """
    from orchestrator.domain.agent import Job, Report, json_schema

    say_json(json_schema(Job if job else Report))
