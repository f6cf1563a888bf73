"""A laboratory for seed scripts: a registry that answers, a table store that remembers (loopback).

A script runs in it unchanged. Hosts other than this machine are redirected to the laboratory, its
clock does not make it wait, and what it sends to Supabase's REST interface is kept row by row, with
the keys and required columns of the migration enforced as the database would.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from agents.checks.runs import Run, run

HARNESS = Path(__file__).with_name("seed_harness.py")
#: studies that the registry holds for any search; every seventh comes on two pages
STUDIES = 120
_PAGE = 60
_CONDITIONS = (
    "Major Depressive Disorder",
    "Post-Traumatic Stress Disorder",
    "PTSD",
    "Anxiety",
    "Alcohol Use Disorder",
)


@dataclass(frozen=True)
class TableShape:
    """What the store enforces for a table."""

    columns: frozenset[str]
    required: frozenset[str]
    #: sets of columns that may stand in `on_conflict`
    keys: frozenset[frozenset[str]]


@dataclass
class Ledger:
    """What the scripts sent, and the rows that the tables hold after it."""

    shapes: Mapping[str, TableShape] = field(default_factory=dict)
    #: (table, rows) of every write, in order
    writes: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)
    tables: dict[str, dict[Any, dict[str, Any]]] = field(default_factory=dict)
    #: status that the registry answers instead of studies, 0 for none
    registry_fault: int = 0
    store_fault: int = 0
    #: condition names that the script asks for, put on every study
    conditions: Sequence[str] = _CONDITIONS
    requests: int = 0

    def count(self, table: str) -> int:
        return len(self.tables.get(table, {}))

    def content(self) -> str:
        """The rows of every table, in an order that does not depend on when they came."""
        rows = {
            t: sorted(json.dumps(r, sort_keys=True) for r in held.values())
            for t, held in sorted(self.tables.items())
        }
        return json.dumps(rows)


@contextmanager
def laboratory(ledger: Ledger) -> Iterator[str]:
    """The laboratory's base URL while it runs."""
    handler = type("Handler", (_Handler,), {"ledger": ledger, "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def run_in_laboratory(
    script: str, ledger: Ledger, *, cwd: Path, arguments: Sequence[str] = (), limit: float = 60
) -> Run:
    """Run `script` (relative to `cwd`) against the laboratory, as USER would against the world."""
    with laboratory(ledger) as url:
        env = {
            "SEED_LAB_URL": url,
            "SUPABASE_URL": url,
            "SUPABASE_SERVICE_ROLE_KEY": _KEY,
            "SUPABASE_KEY": _KEY,
            "SUPABASE_SERVICE_KEY": _KEY,
            "CTGOV_BASE_URL": f"{url}/api/v2",
        }
        command = [sys.executable, str(HARNESS), script, *arguments]
        return run(command, cwd=cwd, env=env, limit=limit)


#: the form of a key (three parts, role service_role), which opens nothing
_KEY = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJyb2xlIjoic2VydmljZV9yb2xlIiwiaXNzIjoic2VlZC1sYWIifQ.bGFib3JhdG9yeQ"
)


def study(number: int, term: str, conditions: Sequence[str]) -> dict[str, Any]:
    """One study record in the registry's version 2 shape."""
    words = re.findall(r"[^\W_][\w-]*(?: [\w-]+)*", re.sub(r"\b(?:OR|AND|NOT)\b.*", "", term))
    name = words[0] if words else "Placebo"
    return {
        "protocolSection": {
            "identificationModule": {
                "nctId": f"NCT{number:08d}",
                "briefTitle": f"{name} study {number}",
            },
            "statusModule": {
                "overallStatus": "COMPLETED",
                "startDateStruct": {"date": "2019-05-02", "type": "ACTUAL"},
                "completionDateStruct": {"date": "2021-03-18", "type": "ACTUAL"},
            },
            "designModule": {
                "studyType": "INTERVENTIONAL",
                "phases": ["PHASE2"],
                "enrollmentInfo": {"count": 40 + number % 7, "type": "ACTUAL"},
            },
            "conditionsModule": {"conditions": list(conditions)},
            "armsInterventionsModule": {"interventions": [{"type": "DRUG", "name": name}]},
            "outcomesModule": {"primaryOutcomes": [{"measure": "Change in score"}]},
            "contactsLocationsModule": {"locations": [{"country": "Netherlands"}]},
        }
    }


class _Handler(BaseHTTPRequestHandler):
    """Answers as the registry does below `/api`, and as PostgREST does below `/rest/v1`."""

    ledger: Ledger
    lock: threading.Lock
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the proof keeps its own record."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {k: v[-1] for k, v in parse_qs(parts.query).items()}
        with self.lock:
            self.ledger.requests += 1
            if parts.path.startswith("/rest/v1/"):
                self._select(parts.path.removeprefix("/rest/v1/"), query)
            else:
                self._studies(query)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        query = {k: v[-1] for k, v in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.lock:
            self.ledger.requests += 1
            rows = json.loads(body or b"[]")
            rows = rows if isinstance(rows, list) else [rows]
            self._upsert(parts.path.removeprefix("/rest/v1/"), query, rows)

    def _studies(self, query: Mapping[str, str]) -> None:
        if self.ledger.registry_fault:
            self._answer(self.ledger.registry_fault, "the registry is out of order", "text/plain")
            return
        term = query.get("query.intr") or query.get("query.term") or query.get("query.cond") or ""
        numbers = list(range(1, STUDIES + 1))
        pages = [numbers[:_PAGE], [*numbers[:_PAGE:7], *numbers[_PAGE:]]]
        index = 1 if query.get("pageToken") else 0
        found = [study(n, term, self.ledger.conditions) for n in pages[index]]
        answer: dict[str, Any] = {"studies": found}
        if index == 0:
            answer |= {"nextPageToken": "page-2", "totalCount": sum(map(len, pages))}
        self._answer(200, answer)

    def _select(self, table: str, query: Mapping[str, str]) -> None:
        if not table:
            self._answer(200, _description(self.ledger.shapes))
            return
        if self._refused(table):
            return
        rows = [r for r in self.ledger.tables.get(table, {}).values() if _matches(r, query)]
        start, size = int(query.get("offset", 0)), int(query.get("limit", len(rows) or 1))
        page = rows[start : start + size]
        last = start + len(page) - 1
        span = f"{start}-{last}" if page else "*"
        self._answer(200, page, extra={"Content-Range": f"{span}/{len(rows)}"})

    def _upsert(self, table: str, query: Mapping[str, str], rows: list[dict[str, Any]]) -> None:
        if self._refused(table):
            return
        self.ledger.writes.append((table, rows))
        key = tuple(c.strip('" ') for c in query.get("on_conflict", "").split(",") if c.strip())
        fault = _fault(self.ledger.shapes.get(table), rows, key)
        if fault:
            self._answer(400 if fault[0] != "23505" else 409, _error(*fault))
            return
        held = self.ledger.tables.setdefault(table, {})
        for row in rows:
            identity = _identity(row, key) if key else ("row", len(held))
            held[identity] = {**held.get(identity, {}), **row}
        wanted = "return=representation" in self.headers.get("Prefer", "")
        self._answer(201, rows if wanted else [], extra={"Content-Range": f"*/{len(rows)}"})

    def _refused(self, table: str) -> bool:
        """Answers an error where the store is out of order or the table is not there."""
        if self.ledger.store_fault:
            self._answer(self.ledger.store_fault, _error("XX000", "the store is out of order"))
            return True
        if self.ledger.shapes and table not in self.ledger.shapes:
            self._answer(404, _error("PGRST205", f"Could not find the table 'public.{table}'"))
            return True
        return False

    def _answer(
        self,
        status: int,
        body: object,
        kind: str = "application/json",
        extra: Mapping[str, str] | None = None,
    ) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _description(shapes: Mapping[str, TableShape]) -> dict[str, Any]:
    """The interface's own description, as far as clients read it."""
    definitions = {
        name: {
            "required": sorted(shape.required),
            "properties": {column: {"type": "string"} for column in sorted(shape.columns)},
        }
        for name, shape in shapes.items()
    }
    return {"swagger": "2.0", "definitions": definitions}


def _error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "details": None, "hint": None}


def _matches(row: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    for column, condition in query.items():
        value = "" if row.get(column) is None else str(row[column])
        if condition.startswith("eq.") and value != condition[3:]:
            return False
        if condition.startswith("in.("):
            wanted = re.findall(r'"((?:[^"\\]|\\.)*)"|([^,()]+)', condition[4:-1])
            if value not in {re.sub(r"\\(.)", r"\1", a) or b for a, b in wanted}:
                return False
    return True


def _identity(row: Mapping[str, Any], key: Sequence[str]) -> tuple[str, ...]:
    return tuple(json.dumps(row.get(column), sort_keys=True) for column in key)


def _fault(
    shape: TableShape | None, rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]
) -> tuple[str, str] | None:
    """SQLSTATE and message where PostgreSQL would refuse the statement."""
    if key:
        identities = [_identity(row, key) for row in rows]
        if len(set(identities)) < len(identities):
            return "21000", "ON CONFLICT DO UPDATE command cannot affect row a second time"
    if shape is None:
        return None
    if key and frozenset(key) not in shape.keys:
        return "42P10", "there is no unique constraint matching the ON CONFLICT specification"
    for row in rows:
        unknown = sorted(set(row) - shape.columns)
        if unknown:
            return "PGRST204", f"Could not find the '{unknown[0]}' column"
        empty = sorted(c for c in shape.required if row.get(c) is None)
        if empty:
            return "23502", f'null value in column "{empty[0]}" violates not-null constraint'
    return None
