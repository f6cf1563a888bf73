"""A local stand-in for the ClinicalTrials.gov API v2 that is as strict as the real one.

It knows the parameters and the pieces of `fields`, answers only what was asked for, pages by
opaque tokens that are bound to the search, and reports errors as plain text. Faults are queued and
used up one a request.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

STATUSES = {
    "ACTIVE_NOT_RECRUITING", "COMPLETED", "ENROLLING_BY_INVITATION", "NOT_YET_RECRUITING",
    "RECRUITING", "SUSPENDED", "TERMINATED", "WITHDRAWN", "AVAILABLE", "NO_LONGER_AVAILABLE",
    "TEMPORARILY_NOT_AVAILABLE", "APPROVED_FOR_MARKETING", "WITHHELD", "UNKNOWN",
}  # fmt: skip
PARAMETERS = {
    "query.cond", "query.term", "query.intr", "query.titles", "query.outc", "query.id",
    "filter.overallStatus", "filter.ids", "filter.advanced", "format", "markupFormat", "fields",
    "sort", "countTotal", "pageSize", "pageToken",
}  # fmt: skip
#: piece → path below `protocolSection`; "[]" marks a list of objects
PIECES = {
    "NCTId": "identificationModule.nctId",
    "BriefTitle": "identificationModule.briefTitle",
    "OfficialTitle": "identificationModule.officialTitle",
    "OverallStatus": "statusModule.overallStatus",
    "StartDate": "statusModule.startDateStruct.date",
    "StartDateType": "statusModule.startDateStruct.type",
    "CompletionDate": "statusModule.completionDateStruct.date",
    "CompletionDateType": "statusModule.completionDateStruct.type",
    "StudyType": "designModule.studyType",
    "Phase": "designModule.phases",
    "EnrollmentCount": "designModule.enrollmentInfo.count",
    "EnrollmentType": "designModule.enrollmentInfo.type",
    "Condition": "conditionsModule.conditions",
    "Keyword": "conditionsModule.keywords",
    "InterventionType": "armsInterventionsModule.interventions[].type",
    "InterventionName": "armsInterventionsModule.interventions[].name",
    "InterventionOtherName": "armsInterventionsModule.interventions[].otherNames",
    "PrimaryOutcomeMeasure": "outcomesModule.primaryOutcomes[].measure",
    "PrimaryOutcomeDescription": "outcomesModule.primaryOutcomes[].description",
    "LocationCountry": "contactsLocationsModule.locations[].country",
    "LocationCity": "contactsLocationsModule.locations[].city",
}


@dataclass(frozen=True)
class Fault:
    """One answer that is not the right one."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    #: close the connection with a reset, before any answer or in the middle of it
    reset: bool = False
    truncate: bool = False
    #: seconds between the bytes of the body
    drip: float = 0.0
    #: seconds before the answer
    delay: float = 0.0


def throttled(retry_after: str | None = None) -> Fault:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Fault(429, b"Too many requests", headers=headers)


SERVER_ERROR = Fault(500, b"Internal error")
HTML = Fault(200, b"<!doctype html><title>Maintenance</title>", "text/html; charset=utf-8")
RESET = Fault(reset=True)
TRUNCATED = Fault(truncate=True, body=b'{"studies": [')


class BadRequestError(Exception):
    """What the API answers with status 400 (or 500) and a line of text."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Replay:
    """The state of one stand-in: what it holds, what it will do wrong, what it was asked."""

    studies: Sequence[Any]
    faults: deque[Fault] = field(default_factory=deque)
    #: changes an answer before it is sent: (answer, number of the request) → answer
    tamper: Callable[[dict[str, Any], int], Any] = lambda answer, number: answer
    requests: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str, query: str) -> Any:
        """The JSON value for a request. Raises BadRequestError."""
        given = dict(parse_qsl(query, keep_blank_values=True))
        self.requests.append(given)
        if path != "/api/v2/studies":
            raise BadRequestError("not found", 404)
        self._check_names(given)
        offset, size = self._offset(given), self._page_size(given)
        found = [study for study in self.studies if self._matches(study, given)]
        answer: dict[str, Any] = {}
        if given.get("countTotal") == "true" and "pageToken" not in given:
            answer["totalCount"] = len(found)
        pieces = [piece for piece in re.split(r"[,|]", given.get("fields", "")) if piece]
        answer["studies"] = [project(study, pieces) for study in found[offset : offset + size]]
        if offset + size < len(found):
            answer["nextPageToken"] = self.token_for(given, offset + size)
        return self.tamper(answer, len(self.requests))

    def _check_names(self, given: Mapping[str, str]) -> None:
        for name in given:
            if name not in PARAMETERS:
                raise BadRequestError(f"`{name}` is unknown parameter")
        for piece in re.split(r"[,|]", given["fields"]) if "fields" in given else ():
            if piece.endswith("List"):
                raise BadRequestError("Internal Server Error", 500)
            if piece not in PIECES:
                text = f"Parameter 'fields' contains invalid field name: '{piece}'"
                raise BadRequestError(text)
        for status in self._statuses(given):
            if status not in STATUSES:
                raise BadRequestError(f"Parameter 'filter.overallStatus' has '{status}'")

    @staticmethod
    def _statuses(given: Mapping[str, str]) -> list[str]:
        return [s for s in re.split(r"[,|]", given.get("filter.overallStatus", "")) if s]

    @staticmethod
    def _page_size(given: Mapping[str, str]) -> int:
        text = given.get("pageSize", "10")
        if not re.fullmatch(r"\d+", text):
            raise BadRequestError(f"Parameter 'pageSize' has invalid value '{text}'")
        return min(int(text) or 10, 1000)

    def _matches(self, study: Any, given: Mapping[str, str]) -> bool:
        statuses = self._statuses(given)
        if not isinstance(study, dict) or "protocolSection" not in study:
            return True
        status = study["protocolSection"].get("statusModule", {}).get("overallStatus")
        if statuses and status not in statuses:
            return False
        # a search by intervention looks into titles too, and inside words, as synonyms do
        text = json.dumps(study, ensure_ascii=False).casefold()
        terms = [term.strip('" ') for term in given.get("query.intr", "").split(" OR ")]
        return any(term.casefold() in text for term in terms)

    @staticmethod
    def _search_id(given: Mapping[str, str]) -> str:
        free = {"countTotal", "pageSize", "pageToken"}
        kept = sorted((k, v) for k, v in given.items() if k not in free)
        return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:12]

    def token_for(self, given: Mapping[str, str], offset: int) -> str:
        """The page token of a search at an offset."""
        return base64.urlsafe_b64encode(f"{offset}:{self._search_id(given)}".encode()).decode()

    def _offset(self, given: Mapping[str, str]) -> int:
        if "pageToken" not in given:
            return 0
        try:
            text = base64.urlsafe_b64decode(given["pageToken"]).decode()
            offset, search = text.split(":")
        except ValueError:
            raise BadRequestError("Invalid pageToken") from None
        if search != self._search_id(given):
            raise BadRequestError("pageToken belongs to another search")
        return int(offset)


def project(study: Any, pieces: Sequence[str]) -> Any:
    """The study with the asked pieces only."""
    if not pieces or not isinstance(study, dict) or "protocolSection" not in study:
        return study
    kept: dict[str, Any] = {}
    for piece in pieces:
        _copy(study["protocolSection"], kept, PIECES[piece].split("."))
    return {"protocolSection": kept}


def _copy(source: Any, kept: dict[str, Any], path: Sequence[str]) -> None:
    name, rest = path[0].removesuffix("[]"), path[1:]
    if not isinstance(source, dict) or name not in source:
        return
    value = source[name]
    if not rest or not isinstance(value, dict | list):
        kept[name] = value
    elif isinstance(value, dict):
        _copy(value, kept.setdefault(name, {}), rest)
    else:
        places = kept.setdefault(name, [{} for _ in value])
        for item, place in zip(value, places, strict=True):
            _copy(item, place, rest)


class _Handler(BaseHTTPRequestHandler):
    replay: Replay

    def do_GET(self) -> None:
        self.replay.times.append(time.monotonic())
        parts = urlsplit(self.path)
        if self.replay.faults:
            self.replay.requests.append(dict(parse_qsl(parts.query)))
            self._fail(self.replay.faults.popleft())
            return
        try:
            answer = self.replay.answer(parts.path, parts.query)
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self._send(200, body, "application/json")
        except BadRequestError as exc:
            self._send(exc.status, str(exc).encode(), "text/plain")

    def _fail(self, fault: Fault) -> None:
        time.sleep(fault.delay)
        if fault.reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        elif fault.truncate:
            self._send(200, fault.body, "application/json", {"Content-Length": "1000"})
        else:
            self._send(fault.status, fault.body, fault.content_type, fault.headers, fault.drip)

    def _send(
        self,
        status: int,
        body: bytes,
        content_type: str,
        headers: Mapping[str, str] | None = None,
        drip: float = 0.0,
    ) -> None:
        self.send_response(status)
        sent = {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            for chunk in [body[i : i + 1] for i in range(len(body))] if drip else [body]:
                self.wfile.write(chunk)
                self.wfile.flush()
                time.sleep(drip)

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def shutdown_request(self, request: Any) -> None:
        with contextlib.suppress(OSError):
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not an event."""


@contextlib.contextmanager
def replaying(studies: Sequence[Any], **settings: Any) -> Iterator[Replay]:
    """A running stand-in; `url` is its base address."""
    replay = Replay(studies, **settings)
    handler = type("Handler", (_Handler,), {"replay": replay})
    server = _Server(("127.0.0.1", 0), handler)
    replay.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield replay
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def study(
    number: int,
    title: str = "Psilocybin for Depression",
    *,
    interventions: Sequence[Any] = ("Psilocybin",),
    conditions: Sequence[str] = ("Depression",),
    status: str | None = "COMPLETED",
    **modules: Any,
) -> dict[str, Any]:
    """A record in the registry's shape. `modules` replace whole modules by name."""
    named = [i if isinstance(i, dict) else {"type": "DRUG", "name": i} for i in interventions]
    section: dict[str, Any] = {
        "identificationModule": {"nctId": f"NCT{number:08d}", "briefTitle": title},
        "statusModule": {"overallStatus": status} if status else {},
        "conditionsModule": {"conditions": list(conditions)},
        "armsInterventionsModule": {"interventions": named},
    }
    return {"protocolSection": {**section, **modules}}
