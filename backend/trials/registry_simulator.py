"""A simulated ClinicalTrials.gov (API v2) with awkward pages, for seed scripts in the sandbox."""

from __future__ import annotations

import json
import re
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

#: studies that the registry holds for any search; each twentieth is in all searches
STUDIES = 80
#: new studies of a page; each later page repeats some of the first
_PAGE_SERVED = 16
CONDITIONS = (
    "Major Depressive Disorder",
    "Post-Traumatic Stress Disorder",
    "PTSD",
    "Anxiety",
    "Alcohol Use Disorder",
)
_ENDED_STATUSES = ("COMPLETED", "TERMINATED", "WITHDRAWN")
#: what it holds where no status is asked for
_STATUSES = ("COMPLETED", "TERMINATED", "COMPLETED", "RECRUITING")


@dataclass
class RegistrySimulator:
    """Serves studies while its context is open.

    Registered as `orchestrate.simulators`.
    """

    hosts: ClassVar[tuple[str, ...]] = tuple(
        f"{name}clinicaltrials.gov" for name in ("", "www.", "beta.", "classic.")
    )
    #: HTTP status that it returns instead of studies, 0 for none
    fault: int = 0
    #: condition names that every study has
    conditions: Sequence[str] = CONDITIONS
    requests: int = 0
    #: how it behaves: "" evenly; "rough": a page is throttled, another fails once; "broken": the
    #: first search fails from its third page on; "expired": later ones have a token refused once;
    #: "short": each search ends before all that it announced; "few": it holds few studies
    source: str = ""
    #: whether it was asked how many there are
    counted: bool = False
    #: the words of each request
    asked: list[str] = field(default_factory=list, repr=False)
    records: list[dict[str, Any]] = field(default_factory=list, repr=False)
    _searches: list[str] = field(default_factory=list, repr=False)
    _asked: set[tuple[str, int]] = field(default_factory=set, repr=False)
    _server: ThreadingHTTPServer | None = field(default=None, repr=False)

    def __enter__(self) -> str:
        """The base URL."""
        handler = type("Handler", (_Handler,), {"registry": self, "lock": threading.Lock()})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def environment(self, url: str) -> dict[str, str]:
        """The variable that the importers read."""
        return {"CTGOV_BASE_URL": f"{url}/api/v2"}

    def answer(self, query: dict[str, str]) -> tuple[int, object]:
        """Status and body of a search."""
        self.requests += 1
        self.asked.append(" ".join(query.values()))
        if self.fault:
            return self.fault, "the registry is out of order"
        term = query.get("query.intr") or query.get("query.term") or query.get("query.cond") or ""
        token = query.get("pageToken", "")
        index = int(token.removeprefix("page-")) - 1 if token else 0
        held, page = (5, 3) if self.source == "few" else (STUDIES, _PAGE_SERVED)
        last = -(-held // page) - 1
        first_time = (term, index) not in self._asked
        self._asked.add((term, index))
        if self.source == "rough" and first_time and index in (1, 2):
            return (429, 503)[index - 1], "later"
        self._searches += [term] * (term not in self._searches)
        if self.source == "broken" and term == self._searches[0] and index >= 2:
            return 503, "the registry is out of order"
        if self.source == "expired" and first_time and term != self._searches[0] and index == 2:
            return 400, "pageToken is no longer valid"
        self.counted |= "countTotal" in query
        if self.source == "short":
            last = 2
        numbers = range(index * page + 1, min((index + 1) * page, held) + 1)
        again = range(1, page + 1, 7) if index else ()
        statuses = re.findall(r"[A-Z_]+", query.get("filter.overallStatus", ""))
        found = [study(n, term, self.conditions, statuses or _STATUSES) for n in (*again, *numbers)]
        self.records += [facts_of(record, bool(statuses)) for record in found]
        asked = query.get("fields", "")
        body: dict[str, Any] = {"studies": [_only(record, asked) for record in found]}
        if index < last:
            body["nextPageToken"] = f"page-{index + 2}"
        if query.get("countTotal") == "true" and index == 0:
            body["totalCount"] = held
        return 200, body

    def served(self) -> list[dict[str, Any]]:
        """What was served so far, with what a table has to hold of it; see `Simulator`."""
        return self.records


def study(
    number: int, term: str, conditions: Sequence[str], statuses: Sequence[str] = ("COMPLETED",)
) -> dict[str, Any]:
    """One study record in the registry's version 2 shape; some are as awkward as real ones are:
    dates without a day, planned ones, no phase, place or outcome, an estimated enrolment, a title
    of others.
    """
    alternatives = re.split(r"\b(?:OR|AND|NOT)\b", re.sub(r"\b[A-Z]+\[\w*\]", "", term))
    words = [word for part in alternatives if (word := part.strip(' "()'))] or ["Placebo"]
    name = words[number % len(words)]
    # each search has its own studies, and some that others have as well
    base = zlib.crc32(term.casefold().encode()) % 9000 * 1000 if number % 20 else 0
    title = f"A study of {name}" if number % 10 == 9 else f"{name} study {number}"
    if number % 12 == 1:
        title += ": “O’Neill”, 50 % of a dose; adults & carers, " + "long-term follow-up, " * 12
    record: dict[str, Any] = {
        "identificationModule": {
            "nctId": f"NCT{base + number:08d}",
            "briefTitle": title.strip(" ,"),
        },
        "statusModule": {
            "overallStatus": (status := statuses[number % len(statuses)]),
            "startDateStruct": {"date": "2019-05" if number % 6 == 5 else "2019-05-02"},
            "completionDateStruct": {
                "date": "2021-03-18",
                "type": "ACTUAL" if status in _ENDED_STATUSES else "ESTIMATED",
            },
        },
        "designModule": {
            "studyType": "INTERVENTIONAL",
            "phases": ["PHASE2", "PHASE3"] if number % 9 == 4 else [_PHASES_SERVED[number % 5]],
            "enrollmentInfo": {"count": 40 + number % 7, "type": "ACTUAL"},
        },
        "conditionsModule": {"conditions": [_FOREIGN] if number % 15 == 8 else list(conditions)},
        "armsInterventionsModule": {"interventions": [{"type": "DRUG", "name": name}]},
        "outcomesModule": {
            "primaryOutcomes": [{"measure": "Change in score"}]
            + [{"measure": "Remission"}] * (number % 4 == 2)
        },
        "contactsLocationsModule": {
            "locations": [
                {"country": "Netherlands"},
                *([{"country": "Canada"}] * (number % 3 == 1)),
            ]
        },
    }
    enrolment = record["designModule"]["enrollmentInfo"]
    if number % 8 == 3:
        enrolment["type"] = "ESTIMATED"
    elif number % 8 == 6:
        del enrolment["type"]
    for every, module, entry in _LACKING:
        if number % every == every - 1:
            record[module].pop(entry)
    return {"protocolSection": record}


#: the condition of studies that are about something else
_FOREIGN = "Appendicitis"
_PHASES_SERVED = ("PHASE2", "EARLY_PHASE1", "PHASE1", "NA", "PHASE4")


def facts_of(record: dict[str, Any], filtered: bool = True) -> dict[str, Any]:
    """What a table has to hold of a record: key, and values by patterns of column names.

    `filtered`: its status was asked for. What was not, and what is about another condition, may be
    left out.
    """
    section = record["protocolSection"]
    design, when = section["designModule"], section["statusModule"]
    enrolment = design.get("enrollmentInfo", {})
    actual = enrolment.get("count") if enrolment.get("type") == "ACTUAL" else None
    measures = [m["measure"] for m in section["outcomesModule"].get("primaryOutcomes", [])]
    places = section["contactsLocationsModule"].get("locations", [])
    countries = list(dict.fromkeys(place["country"] for place in places))
    conditions = section["conditionsModule"]["conditions"]

    def day(name: str) -> list[Any]:
        date = when.get(name, {})
        text = date.get("date")
        plan = [None] if date.get("type") != "ACTUAL" else []
        return [text if text and text.count("-") == 2 else None, text, *plan]

    phases = design.get("phases", [])
    values: dict[str, list[Any]] = {
        r"(brief_|study_|trial_)?title": [section["identificationModule"]["briefTitle"]],
        r"(overall_|study_|trial_)?status": [when["overallStatus"]],
        r"phases?": [phases or None, *([None] if phases == ["NA"] else ())],
        r"conditions": [conditions or None],
        r"condition": [conditions or None, conditions[0] if conditions else None],
        r"countries": [countries or None],
        r"country": [countries or None, countries[0] if countries else None],
        r"enroll?ment_actual|actual_enroll?ment": [actual],
        r"enroll?ment(_count)?": [enrolment.get("count"), actual],
        r"(study_|trial_)?start_date": day("startDateStruct"),
        r"(study_|trial_)?completion_date": day("completionDateStruct"),
        r"primary_outcome(_measure)?": [measures[0] if measures else None, measures or None],
    }
    optional = conditions == [_FOREIGN] or not (filtered or when["overallStatus"] == "COMPLETED")
    interventions = section["armsInterventionsModule"]["interventions"]
    return {
        "key": section["identificationModule"]["nctId"],
        "values": values,
        "names": [intervention["name"] for intervention in interventions],
        "source": RegistrySimulator.hosts[0],
        "optional": optional,
    }


#: entry of a record → the field by which it is asked for
_ASKED = {
    ("statusModule", "startDateStruct"): "StartDate",
    ("statusModule", "completionDateStruct"): "CompletionDate",
    ("designModule", "phases"): "Phase",
    ("designModule", "enrollmentInfo"): "EnrollmentCount",
    ("outcomesModule", "primaryOutcomes"): "PrimaryOutcome",
    ("contactsLocationsModule", "locations"): "Location",
}


def _only(record: dict[str, Any], fields: str) -> dict[str, Any]:
    """The record without what was not asked for, where a list of the API's pieces is given."""
    section = record["protocolSection"]
    if "NCTId" in fields:
        for (module, entry), name in _ASKED.items():
            if name not in fields and module not in fields:
                section[module].pop(entry, None)
    return record


#: each so-many-th record has no such entry
_LACKING = (
    (7, "designModule", "phases"),
    (11, "contactsLocationsModule", "locations"),
    (13, "statusModule", "completionDateStruct"),
    (17, "outcomesModule", "primaryOutcomes"),
    (19, "designModule", "enrollmentInfo"),
)


class _Handler(BaseHTTPRequestHandler):
    """HTTP around the registry."""

    registry: RegistrySimulator
    lock: threading.Lock
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the proof keeps its own record."""

    def do_GET(self) -> None:
        query = {k: v[-1] for k, v in parse_qs(urlsplit(self.path).query).items()}
        with self.lock:
            status, body = self.registry.answer(query)
        text = body if isinstance(body, str) else json.dumps(body)
        data = text.encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header(
            "Content-Type", "text/plain" if isinstance(body, str) else "application/json"
        )
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_HEAD = do_GET  # noqa: N815
