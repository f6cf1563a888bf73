"""Receipts on the command line: shown, exported with a signature, and checked."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.reading import never_conducted
from orchestrator.cli.text import counted, mark, one_line, say, say_json
from orchestrator.cli.workspace import AsJson, TicketId, workspace
from orchestrator.errors import OrchestrateError, UsageError

if TYPE_CHECKING:
    from orchestrator.gates.attestation import Checked


def about() -> None:
    """Show a family's receipts, or hand them to others, signed."""


def export(
    context: typer.Context,
    id: TicketId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write them into a file.")
    ] = None,
) -> None:
    """Print a family's receipts as signed in-toto attestations.

    One JSON line each (DSSE). Others verify them without this workspace: `orchestrate
    receipts check FILE --key KEY`.
    """
    from orchestrator.gates.attestation import attest
    from orchestrator.storage import signing

    place = workspace(context)
    found, tip = place.conductor().attestable(id)
    lines = "".join(json.dumps(attest(receipt, tip)) + "\n" for receipt in found)
    if output is None:
        say(lines.rstrip("\n"))
        return
    output.write_text(lines, encoding="utf-8")
    say(f"{counted(len(found), 'receipt')} in {output}, signed with {signing.own_key()}")


def check(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `receipts export` wrote.")],
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="KEY", help="A public key that counts; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify the signatures of exported receipts, and their files.

    Without `--key`, your own key and those of `[trust] keys` count. Exit code 1 if a signature does
    not fit, or a file here is another than the one that was judged.
    """
    from orchestrator.gates import attestation
    from orchestrator.storage import signing

    place = workspace(context)
    trusted = tuple(keys or ()) or (*place.settings.trust.keys, signing.own_key())
    try:
        lines = [x for x in file.read_text(encoding="utf-8").splitlines() if x.strip()]
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"cannot be read: {exc}", path=file) from exc
    found = [attestation.check(line, [k for k in trusted if k]) for line in lines]
    changed = [_changed_subjects(place.root, each) for each in found]
    fine = bool(found) and not any(c.problem for c in found) and not any(changed)
    if as_json:
        described = zip(found, changed, strict=True)
        say_json({"fine": fine, "receipts": [{**asdict(c), "changed": ps} for c, ps in described]})
        raise typer.Exit(0 if fine else 1)
    for number, (each, paths) in enumerate(zip(found, changed, strict=True), 1):
        text = each.statement or f"line {number}"
        say(f"{mark('failed' if each.problem or paths else each.verdict)} {one_line(text)}")
        if each.problem:
            say(f"    {each.problem}")
        if paths:
            say(f"    another file here than was judged: {', '.join(paths)}")
    bad = sum(bool(c.problem) for c in found)
    say(
        f"{counted(len(found), 'receipt')}: {len(found) - bad} signed rightly, {bad} not; "
        f"{sum(map(bool, changed))} about files that differ here"
    )
    raise typer.Exit(0 if fine else 1)


def _changed_subjects(root: Path, receipt: Checked) -> list[str]:
    """The files of a receipt that are here and differ."""
    from orchestrator.storage import atomic

    found = []
    for path, sha in receipt.subjects.items():
        with contextlib.suppress(OrchestrateError, OSError):
            file = atomic.inside(root, path)
            if file.is_file() and atomic.sha256_file(file) != sha:
                found.append(path)
    return found


def key() -> None:
    """Print the public key with which your receipts are signed.

    Others put it into their `[trust] keys`.
    """
    from orchestrator.storage import signing

    if not signing.own_key():
        raise UsageError("there is no signing key", path=signing.key_path())
    say(signing.own_key())


def show(
    context: typer.Context,
    id: TicketId,
    statement: Annotated[
        str, typer.Option("--statement", metavar="TEXT", help="Only statements with this text.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show a family's receipts, the newest of each statement."""
    conductor = workspace(context).conductor()
    found = conductor.receipts(id)
    wanted = [r for r in found if statement.casefold() in r["statement"]["text"].casefold()]
    if as_json:
        say_json(wanted)
        return
    for record in wanted:
        source = record["statement"]
        say(f"{mark(record['verdict'])} {record['id']}  {one_line(source['text'])}")
        say(f"    {source['source']}:{source['line']} · stage {record['stage']} · {record['at']}")
        for claim in record["claims"]:
            name = f"{claim['check']} v{claim['version']}" if claim["check"] else "no check"
            say(f"    {claim['verdict']} by {name}: {one_line(claim['detail'])}")
        for path, sha in record["subjects"].items():
            say(f"    about {path} (sha256 {sha[:12]})")
    if not wanted and not conductor.log(id):
        say(never_conducted(id))
    else:
        say(counted(len(wanted), "receipt"))
