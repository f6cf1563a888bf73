"""Where trial records come from: the registry's API, saved files, or the shipped snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrate_backend.errors import BackendError
from orchestrate_backend.trials.registry_client import Registry, StudySearch
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
    found = [
        _run_search(name, StudySearch(expression, spec.statuses), registry, step, max_pages)
        for name, expression in spec.searches().items()
    ]
    totals = [part.announced for part in found if part.announced is not None]
    return Harvest(
        source=registry.settings.studies_url,
        records=tuple(record for part in found for record in part.records),
        announced=sum(totals) if totals else None,
        shortfalls=tuple(reason for part in found for reason in part.shortfalls),
    )


def _run_search(
    name: str, search: StudySearch, registry: Registry, step: Step, max_pages: int | None
) -> Harvest:
    records: list[Any] = []
    total: int | None = None
    more = False
    for page in registry.pages(search, max_pages):
        records += page.studies
        total = page.total if total is None else total
        more = page.next_token is not None
        step(name, len(records), total)
    return Harvest(name, tuple(records), total, _shortfalls(name, len(records), total, more))


def _shortfalls(what: str, fetched: int, total: int | None, more: bool) -> tuple[str, ...]:
    if total is not None and fetched < total:
        return (f"{what}: {fetched} of {total} studies came",)
    return (f"{what}: there are more pages after {fetched} studies",) if more else ()


@dataclass
class _Saved:
    """What saved files hold so far."""

    records: list[Any] = field(default_factory=list)
    pages: int = 0
    #: pages that name a next one
    open_pages: int = 0
    announced: int | None = None
    notice: str = ""

    def take(self, value: Any) -> None:
        """Add a page, a list of studies, a study, or the line that describes a snapshot."""
        if isinstance(value, list):
            self.records += value
        elif isinstance(value, Mapping) and isinstance(value.get("studies"), list):
            self._take_page(value)
        elif isinstance(value, Mapping) and "snapshot" in value:
            self.notice = str(value["snapshot"])[:500]
        else:
            self.records.append(value)

    def _take_page(self, page: Mapping[str, Any]) -> None:
        self.records += page["studies"]
        self.pages += 1
        self.open_pages += bool(page.get("nextPageToken"))
        total = page.get("totalCount")
        if isinstance(total, int) and not isinstance(total, bool):
            self.announced = (self.announced or 0) + total

    def harvest(self, source: str) -> Harvest:
        more = bool(self.pages) and self.open_pages == self.pages
        missing = _shortfalls(source, len(self.records), self.announced, more)
        return Harvest(source, tuple(self.records), self.announced, missing, self.notice)


def load_trials(files: Iterable[Path]) -> Harvest:
    """Records of saved files: website downloads (a JSON list), API pages, or JSON lines.

    A broken line of a JSON-lines file is one bad record. Raises BackendError where a file cannot
    be read as any of the three.
    """
    saved = _Saved()
    names = []
    for file in files:
        names.append(str(file))
        for value in _values_of(file):
            saved.take(value)
    return saved.harvest(", ".join(names))


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
    text = _read_text(file)
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


def _read_text(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise _unreadable(file, None, f"it is larger than {_LARGEST_FILE} bytes")
        return file.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise BackendError(
            f"cannot be read: {exc.strerror or exc}", path=file, code="trials-file"
        ) from exc
    except UnicodeDecodeError as exc:
        raise _unreadable(file, None, f"byte {exc.start} is not UTF-8") from exc


def _unreadable(file: Path, line: int | None, why: str) -> BackendError:
    return BackendError(
        f"is not a file of trials: {why}",
        path=file,
        line=line,
        hint="it must be a JSON list of studies, an API page, or one JSON object a line",
        code="trials-file",
    )
