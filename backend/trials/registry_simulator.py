"""A simulated ClinicalTrials.gov (API v2) with awkward pages, for seed scripts in the sandbox."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

#: studies that the registry holds for any search; every seventh comes on two pages
STUDIES = 120
_REQUEST = 60
CONDITIONS = (
    "Major Depressive Disorder",
    "Post-Traumatic Stress Disorder",
    "PTSD",
    "Anxiety",
    "Alcohol Use Disorder",
)


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
        if self.fault:
            return self.fault, "the registry is out of order"
        term = query.get("query.intr") or query.get("query.term") or query.get("query.cond") or ""
        numbers = list(range(1, STUDIES + 1))
        pages = [numbers[:_REQUEST], [*numbers[:_REQUEST:7], *numbers[_REQUEST:]]]
        index = 1 if query.get("pageToken") else 0
        body: dict[str, Any] = {"studies": [study(n, term, self.conditions) for n in pages[index]]}
        if index == 0:
            body |= {"nextPageToken": "page-2", "totalCount": STUDIES}
        return 200, body


def study(number: int, term: str, conditions: Sequence[str]) -> dict[str, Any]:
    """One study record in the registry's version 2 shape; some are as awkward as real ones are:
    dates without a day, no phase, no place, no outcome, an estimated enrolment.
    """
    words = re.findall(r"[^\W_][\w-]*(?: [\w-]+)*", re.sub(r"\b(?:OR|AND|NOT)\b.*", "", term))
    name = words[0] if words else "Placebo"
    record: dict[str, Any] = {
        "identificationModule": {
            "nctId": f"NCT{number:08d}",
            "briefTitle": f"{name} study {number}",
        },
        "statusModule": {
            "overallStatus": "COMPLETED",
            "startDateStruct": {"date": "2019-05" if number % 6 == 5 else "2019-05-02"},
            "completionDateStruct": {"date": "2021-03-18", "type": "ACTUAL"},
        },
        "designModule": {
            "studyType": "INTERVENTIONAL",
            "phases": ["PHASE2", "PHASE3"] if number % 9 == 4 else ["PHASE2"],
            "enrollmentInfo": {
                "count": 40 + number % 7,
                "type": "ESTIMATED" if number % 8 == 3 else "ACTUAL",
            },
        },
        "conditionsModule": {"conditions": list(conditions)},
        "armsInterventionsModule": {"interventions": [{"type": "DRUG", "name": name}]},
        "outcomesModule": {"primaryOutcomes": [{"measure": "Change in score"}]},
        "contactsLocationsModule": {"locations": [{"country": "Netherlands"}]},
    }
    for every, module, entry in _LACKING:
        if number % every == every - 1:
            record[module].pop(entry)
    return {"protocolSection": record}


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
        self.send_header(
            "Content-Type", "text/plain" if isinstance(body, str) else "application/json"
        )
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_HEAD = do_GET  # noqa: N815
