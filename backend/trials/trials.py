"""Trial records of ClinicalTrials.gov: read defensively, selected, and turned into table rows.

How the registry's values are stored:

* **Dates** are partial there ("2021", "2021-03", "2021-03-18") and a DATE column has no way to say
  so. Only a date with a day is stored. A partial one is stored as NULL, never padded to a day that
  nobody gave; how many were left out is counted and said.
* **Estimated dates** are plans and stored as NULL, as estimated enrolment is. A date without a type
  counts as estimated while the status says that its day has not come (the completion of a study
  that has not ended), and so does any day that lies ahead.
* **Phases** are a list: `PHASE2/PHASE3` for a study of both, `NA` where the registry says so.
* **Enrolment** is stored only where the registry marks it ACTUAL; an estimate, or a number without
  a type, is NULL.
* **Countries** are those of the locations, each once, in order, joined with "; ".
* **Text** loses control and format characters and is cut at a length that no honest record has.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from orchestrate_backend.errors import BackendError
from orchestrate_backend.trials.condition_terms import CONDITION_GROUPS
from orchestrate_backend.trials.partial_dates import PartialDate, parse_partial_date
from orchestrate_backend.trials.registry_client import STUDY_STATUSES, study_id
from orchestrate_backend.trials.terms import (
    SUBSTANCES,
    ConditionClassifier,
    SubstanceClassifier,
    with_synonyms,
)

_NCT_ID = re.compile(r"NCT\d{8}")
#: statuses of studies that have not begun, and of those that have ended
_NOT_BEGUN = (None, "NOT_YET_RECRUITING", "WITHDRAWN")
_ENDED = ("COMPLETED", "TERMINATED", "WITHDRAWN")
_PHASES = ("NA", "EARLY_PHASE1", "PHASE1", "PHASE2", "PHASE3", "PHASE4")
_LARGEST_INTEGER = 2**31 - 1
_LONGEST_TITLE = 2000
_LONGEST_NAME = 500
_MOST_ITEMS = 500
#: categories of characters that are nothing to read: control, format, surrogates
_UNSEEN = frozenset({"Cc", "Cf", "Cs"})


class BadStudyError(BackendError):
    """A record that cannot become a row. It costs itself alone."""

    code = "bad-study"

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key or 'a record without id'}: {reason}")
        self.key = key
        self.reason = reason


@dataclass(frozen=True)
class Study:
    """One trial as read. A value that the record does not give, or gives unreadably, is empty."""

    nct_id: str
    #: "" where the record has none
    title: str
    status: str | None = None
    phases: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    #: names of the interventions and their other names
    interventions: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    #: None unless the registry marks the number as ACTUAL
    enrollment_actual: int | None = None
    #: the record gives a number of participants that is not marked as actual
    enrollment_unproven: bool = False
    start: PartialDate | None = None
    completion: PartialDate | None = None
    primary_outcome: str | None = None
    #: values that were left out because they cannot be read
    problems: tuple[str, ...] = ()

    @property
    def dates(self) -> tuple[PartialDate, ...]:
        """The dates that the record gives."""
        return tuple(date for date in (self.start, self.completion) if date)


def clean_text(value: Any, limit: int) -> str | None:
    """Foreign text without control, format and surrogate characters, white space folded, cut."""
    if not isinstance(value, str):
        return None
    if not value.isprintable():
        value = "".join(" " if unicodedata.category(c) in _UNSEEN else c for c in value)
    return " ".join(value.split())[:limit].rstrip() or None


class _Reader:
    """Typed access to one record; what cannot be read becomes a problem, not an exception."""

    def __init__(self, study: Mapping[str, Any]) -> None:
        section = study.get("protocolSection")
        self._section: Mapping[str, Any] = section if isinstance(section, Mapping) else {}
        self.problems: list[str] = []

    def _value(self, module: str, *path: str) -> Any:
        value: Any = self._section.get(module)
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def text(self, limit: int, module: str, *path: str) -> str | None:
        value = self._value(module, *path)
        if value is not None and not isinstance(value, str):
            self.problems.append(f"{path[-1]} is not text")
        return clean_text(value, limit)

    def items(self, module: str, name: str) -> list[Any]:
        value = self._value(module, name)
        if value is not None and not isinstance(value, list):
            self.problems.append(f"{name} is not a list")
        return value[:_MOST_ITEMS] if isinstance(value, list) else []

    def texts(self, values: Iterable[Any], limit: int = _LONGEST_NAME) -> tuple[str, ...]:
        cleaned = (clean_text(value, limit) for value in values)
        return tuple(dict.fromkeys(text for text in cleaned if text))

    def date(self, name: str, came: bool) -> PartialDate | None:
        """A date; one without a type is estimated unless its day `came` by the study's status.

        Whatever its type, a day that lies ahead has not happened.
        """
        text = self.text(40, "statusModule", name, "date")
        kind = self._value("statusModule", name, "type")
        try:
            date = parse_partial_date(text) if text else None
            ahead = bool(date and date.day and date.day > dt.datetime.now(dt.UTC).date())
            planned = not came if kind is None else kind != "ACTUAL"
            return date and replace(date, estimated=planned or ahead)
        except ValueError as exc:
            self.problems.append(f"{name}: {exc}")
            return None

    def known(self, what: str, value: str | None, values: Sequence[str]) -> str | None:
        if value is not None and value not in values:
            self.problems.append(f"{what} {value[:40]!r} is not one of the registry's")
            return None
        return value

    def interventions(self) -> tuple[str, ...]:
        names: list[Any] = []
        for item in self.items("armsInterventionsModule", "interventions"):
            if isinstance(item, Mapping):
                others = item.get("otherNames")
                names += [item.get("name"), *(others if isinstance(others, list) else ())]
        return self.texts(names[:_MOST_ITEMS])

    def countries(self) -> tuple[str, ...]:
        places = self._value("contactsLocationsModule", "locations")
        listed = places if isinstance(places, list) else []
        return self.texts((p.get("country") for p in listed if isinstance(p, Mapping)), 100)

    def enrollment(self) -> tuple[int | None, bool]:
        """The actual number of participants, and whether there is one that is not actual."""
        number = self._value("designModule", "enrollmentInfo", "count")
        if number is None:
            return None, False
        whole = isinstance(number, int) and not isinstance(number, bool)
        if not whole or not 0 <= number <= _LARGEST_INTEGER:
            self.problems.append("enrolment is not a number of people")
            return None, False
        actual = self._value("designModule", "enrollmentInfo", "type") == "ACTUAL"
        return (number, False) if actual else (None, True)


def parse_study(record: Any) -> Study:
    """A study out of the API's JSON. Raises BadStudyError where it has no id."""
    if isinstance(record, BadStudyError):
        raise record
    if not isinstance(record, Mapping):
        raise BadStudyError("", f"is not a JSON object but {type(record).__name__}")
    key = study_id(record).strip()
    if not _NCT_ID.fullmatch(key):
        raise BadStudyError(clean_text(key, 40) or "", "the id is not NCT and eight digits")
    reader = _Reader(record)
    title = reader.text(_LONGEST_TITLE, "identificationModule", "briefTitle")
    title = title or reader.text(_LONGEST_TITLE, "identificationModule", "officialTitle")
    actual, unproven = reader.enrollment()
    status = reader.text(40, "statusModule", "overallStatus")
    phases = reader.texts(reader.items("designModule", "phases"))
    first_outcome = next(iter(reader.items("outcomesModule", "primaryOutcomes")), None)
    outcome = first_outcome.get("measure") if isinstance(first_outcome, Mapping) else None
    return Study(
        nct_id=key,
        title=title or "",
        status=reader.known("status", status, STUDY_STATUSES),
        phases=tuple(p for p in phases if reader.known("phase", p, _PHASES)),
        conditions=reader.texts(reader.items("conditionsModule", "conditions")),
        interventions=reader.interventions(),
        countries=reader.countries(),
        enrollment_actual=actual,
        enrollment_unproven=unproven,
        start=reader.date("startDateStruct", status not in _NOT_BEGUN),
        completion=reader.date("completionDateStruct", status in _ENDED),
        primary_outcome=clean_text(outcome, 5000),
        problems=tuple(reader.problems),
    )


#: what a column of the table can hold: fact → its value for a study filed under a substance
TRIAL_FACTS: Mapping[str, Callable[[Study, str], Any]] = {
    "nct_id": lambda study, modality: study.nct_id,
    "title": lambda study, modality: study.title or None,
    "phase": lambda study, modality: "/".join(study.phases) or None,
    "status": lambda study, modality: study.status,
    "modality": lambda study, modality: modality,
    "conditions": lambda study, modality: list(study.conditions) or None,
    "country": lambda study, modality: "; ".join(study.countries) or None,
    "enrollment_actual": lambda study, modality: study.enrollment_actual,
    "start_date": lambda study, modality: study.start and study.start.actual_day,
    "completion_date": lambda study, modality: study.completion and study.completion.actual_day,
    "primary_outcome_measure": lambda study, modality: study.primary_outcome,
    "source": lambda study, modality: "clinicaltrials.gov",
}


@dataclass(frozen=True)
class TrialSpec:
    """Which trials go into which table: everything that one workflow has and another has not."""

    table: str = "benchmark_trials"
    #: column → name in `TRIAL_FACTS`
    columns: Mapping[str, str] = field(default_factory=lambda: {f: f for f in TRIAL_FACTS})
    #: natural key of the table; one of its columns holds the fact `nct_id`
    key: tuple[str, ...] = ("nct_id",)
    batch: int = 50
    #: substance → phrases, see `orchestrate_backend.trials.terms`
    modalities: Mapping[str, Sequence[str]] = field(default_factory=lambda: SUBSTANCES)
    #: names of therapeutic conditions; known ones bring their synonyms
    conditions: tuple[str, ...] = tuple(CONDITION_GROUPS)
    statuses: tuple[str, ...] = ("COMPLETED", "ACTIVE_NOT_RECRUITING")
    #: rows that the table is expected to hold at least
    expected: int = 0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.columns.values()) - set(TRIAL_FACTS))
        if unknown:
            raise BackendError(f"no such fact of a trial: {', '.join(unknown)}", code="trial-spec")
        if not self.modalities or not set(self.key) <= set(self.columns):
            raise BackendError(
                f"the specification of {self.table} needs modalities, and key columns that it has",
                code="trial-spec",
            )

    @property
    def label(self) -> str:
        """The table's name in words: "benchmark trials"."""
        words = self.table.rpartition(".")[2].replace("_", " ")
        return words if words.endswith("s") else f"{words}s"

    def row(self, study: Study, modality: str) -> dict[str, Any]:
        """The study as a row of the table."""
        return {column: TRIAL_FACTS[fact](study, modality) for column, fact in self.columns.items()}

    def searches(self) -> dict[str, str]:
        """Substance → the Essie expression that finds its trials (and others, by synonym)."""
        searches = {}
        for name, phrases in self.modalities.items():
            terms = {term.casefold(): term for p in (name, *phrases) if (term := essie_term(p))}
            searches[name] = " OR ".join(terms.values())
        return searches


def essie_term(phrase: str) -> str:
    """A phrase for a search expression, quoted unless it is one plain word; "" for no word."""
    text = " ".join(re.sub(r'["\\*\[\]()]', " ", phrase).split())
    if not text:
        return ""
    plain = re.fullmatch(r"[A-Za-z0-9]+", text) and text.upper() not in {"AND", "OR", "NOT"}
    return text if plain else f'"{text}"'


class Skip(StrEnum):
    """Why a readable study is not a row."""

    REPEATED = "repeated id"
    STATUS = "other status"
    NO_STATUS = "status not given"
    SUBSTANCE = "no listed substance"
    CONDITION = "no listed condition"
    ANAESTHETIC = "anaesthesia, sedation or surgery"
    PAIN = "pain"


@dataclass
class Selection:
    """What became of the records of a load."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    modalities: Counter[str] = field(default_factory=Counter)
    skipped: Counter[Skip] = field(default_factory=Counter)
    rejected: list[BadStudyError] = field(default_factory=list)
    #: values left out of rows that were kept: (key, what is wrong)
    problems: list[tuple[str, str]] = field(default_factory=list)
    partial_dates: int = 0
    estimated_dates: int = 0
    enrollment_unproven: int = 0
    status_unknown: int = 0
    read: int = 0


@dataclass(frozen=True)
class Selector:
    """Decides which studies are the table's trials."""

    spec: TrialSpec
    #: also take trials on anaesthesia, pain, and anything else that is not listed
    all_conditions: bool = False
    #: also take studies whose status is not given (the offline snapshot has such)
    keep_unknown_status: bool = False

    def select(self, records: Iterable[Any]) -> Selection:
        """Read, de-duplicate by id and file the records. The first with an id wins."""
        chosen = Selection()
        seen: set[str] = set()
        for record in records:
            chosen.read += 1
            try:
                study = parse_study(record)
            except BadStudyError as exc:
                chosen.rejected.append(exc)
                continue
            if study.nct_id in seen:
                chosen.skipped[Skip.REPEATED] += 1
                continue
            seen.add(study.nct_id)
            modality = self.modality(study)
            reason = self.reason_to_skip(study, modality)
            if reason is not None or modality is None:
                chosen.skipped[reason or Skip.SUBSTANCE] += 1
                continue
            if not study.title and "title" in self.spec.columns.values():
                chosen.rejected.append(BadStudyError(study.nct_id, "has no title"))
                continue
            chosen.rows.append(self.spec.row(study, modality))
            chosen.modalities[modality] += 1
            chosen.problems += [(study.nct_id, problem) for problem in study.problems]
            chosen.partial_dates += sum(date.day is None for date in study.dates)
            chosen.estimated_dates += sum(date.estimated and bool(date.day) for date in study.dates)
            chosen.enrollment_unproven += study.enrollment_unproven
            chosen.status_unknown += study.status is None
        return chosen

    def modality(self, study: Study) -> str | None:
        """The substance that the study is filed under, None if it is none of the listed."""
        return self._substances.classify(study.interventions, study.title, study.conditions)

    def reason_to_skip(self, study: Study, modality: str | None) -> Skip | None:
        """Why the study is none of the table's, or None."""
        if study.status is None and not self.keep_unknown_status:
            return Skip.NO_STATUS
        if study.status is not None and study.status not in self.spec.statuses:
            return Skip.STATUS
        if modality is None:
            return Skip.SUBSTANCE
        if self.all_conditions:
            return None
        record = (study.conditions, study.title)
        if not self._conditions.matches(*record):
            return Skip.CONDITION
        if self._conditions.is_anaesthetic(*record):
            return Skip.ANAESTHETIC
        return Skip.PAIN if self._conditions.is_pain_only(*record) else None

    @cached_property
    def _substances(self) -> SubstanceClassifier:
        return SubstanceClassifier(self.spec.modalities)

    @cached_property
    def _conditions(self) -> ConditionClassifier:
        return ConditionClassifier(with_synonyms(self.spec.conditions))
