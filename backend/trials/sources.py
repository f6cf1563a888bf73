"""Where trial records come from: the registry's API, saved files, or the shipped snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrate_backend.errors import BackendError
from orchestrate_backend.trials.registry_client import (
    Registry,
    RegistryBrokenOffError,
    StudyPage,
    StudySearch,
    study_id,
)
from orchestrate_backend.trials.trials import BadStudyError, TrialSpec

#: the snapshot's place in a tree; its first line describes it
SNAPSHOT_FILE = "backend/data/ctgov_snapshot.jsonl"
_LARGEST_FILE = 1024**3

#: told of progress: what, how many are done, how many there are (None: not known)
Step = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Harvest:
    """The records of one source, unchecked, and what is known to be missing from them."""

    source: str
    records: tuple[Any, ...]
    #: studies that the source said it has, None if it did not say
    announced: int | None = None
    #: why these are not all records of the source; empty if they are
    shortfalls: tuple[str, ...] = ()
    #: what the reader of the result has to know about the source
    notice: str = ""


def fetch_trials(
    spec: TrialSpec,
    registry: Registry,
    step: Step = lambda what, done, total: None,
    max_pages: int | None = None,
) -> Harvest:
    """All pages of one search for each substance. Raises RegistryError."""
    records: list[Any] = []
    announced: int | None = None
    shortfalls: tuple[str, ...] = ()
    for name, expression in spec.searches().items():

        def search(what: str = name, query: str = expression) -> tuple[list[Any], StudyPage]:
            """The studies of one search, and its first page with the token of its last.

            Raises RegistryBrokenOffError where its pages end before all that it announced.
            """
            found: list[Any] = []
            first: StudyPage | None = None
            for page in registry.pages(StudySearch(query, spec.statuses), max_pages):
                found += page.studies
                first = replace(first or page, next_token=page.next_token)
                step(what, len(found), first.total)
            assert first is not None
            if first.next_token is None and len(found) < (first.total or 0):
                raise RegistryBrokenOffError(
                    f"the pages end after {len(found)} of {first.total} studies",
                    hint="nothing was written; run it again",
                    code="registry-short",
                )
            return found, first

        try:
            found, seen = search()
        except RegistryBrokenOffError as exc:
            registry.notify(f"{name}: {exc.message}; the search starts again")
            try:
                found, seen = search()
            except RegistryBrokenOffError as again:
                again.message += ", twice: the search was restarted once"
                raise
        records += found
        announced = announced if seen.total is None else (announced or 0) + seen.total
        # a study that came twice is one
        named = {study_id(study) for study in found} - {""}
        unnamed = sum(not study_id(study) for study in found)
        more = seen.next_token is not None
        shortfalls += _shortfalls(name, len(named) + unnamed, seen.total, more)
    return Harvest(registry.settings.studies_url, tuple(records), announced, shortfalls)


def _shortfalls(what: str, fetched: int, total: int | None, more: bool) -> tuple[str, ...]:
    if total is not None and fetched < total:
        return (f"{what}: {fetched} of {total} studies came",)
    return (f"{what}: there are more pages after {fetched} studies",) if more else ()


def load_trials(files: Sequence[Path]) -> Harvest:
    """Records of saved files: website downloads (a JSON list), API pages, or JSON lines.

    A broken line of a JSON-lines file is one bad record. Raises BackendError where a file cannot
    be read as any of the three.
    """
    records: list[Any] = []
    pages = open_pages = 0
    announced: int | None = None
    notice = ""
    for value in (value for file in files for value in _values_of(file)):
        if isinstance(value, list):
            records += value
        elif isinstance(value, Mapping) and isinstance(value.get("studies"), list):
            records += value["studies"]
            pages += 1
            open_pages += bool(value.get("nextPageToken"))
            total = value.get("totalCount")
            if isinstance(total, int) and not isinstance(total, bool):
                announced = (announced or 0) + total
        elif isinstance(value, Mapping) and "snapshot" in value:
            # the line that describes a snapshot
            notice = str(value["snapshot"])[:500]
        else:
            records.append(value)
    source = ", ".join(map(str, files))
    more = bool(pages) and open_pages == pages
    missing = _shortfalls(source, len(records), announced, more)
    return Harvest(source, tuple(records), announced, missing, notice)


def find_snapshot(trees: Iterable[Path]) -> Path:
    """The snapshot in the first tree that has one. Raises BackendError if none has."""
    places = [tree / SNAPSHOT_FILE for tree in trees]
    for place in places:
        if place.is_file():
            return place
    raise BackendError(
        "the offline snapshot is not there",
        path=places[0] if places else SNAPSHOT_FILE,
        hint="load from the network, or a saved download with --from FILE",
        code="snapshot-missing",
    )


def _values_of(file: Path) -> list[Any]:
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise _unreadable(file, None, f"it is larger than {_LARGEST_FILE} bytes")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise BackendError(
            f"cannot be read: {exc.strerror or exc}", path=file, code="trials-file"
        ) from exc
    except UnicodeDecodeError as exc:
        raise _unreadable(file, None, f"byte {exc.start} is not UTF-8") from exc
    try:
        return [json.loads(text)]
    except RecursionError as exc:
        raise _unreadable(file, None, "it is nested too deeply") from exc
    except ValueError as exc:
        lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        if lines and isinstance(_line_value(file, *lines[0]), Mapping):
            return [_line_value(file, number, line) for number, line in lines]
        raise _unreadable(file, getattr(exc, "lineno", None), str(exc)) from exc


def _line_value(file: Path, number: int, line: str) -> Any:
    """The value of one line, or the error that stands for its record."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return BadStudyError(f"{file.name}:{number}", "the line is not JSON")


def _unreadable(file: Path, line: int | None, why: str) -> BackendError:
    return BackendError(
        f"is not a file of trials: {why}",
        path=file,
        line=line,
        hint="it must be a JSON list of studies, an API page, or one JSON object a line",
        code="trials-file",
    )
