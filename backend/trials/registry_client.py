"""Client of the ClinicalTrials.gov API v2: every page of a search, politely and defensively.

The registry documents no rate limit; its robots.txt asks for one second between calls to `/api/`,
which is the default here. See https://clinicaltrials.gov/data-api/api.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from orchestrate_backend.errors import BackendError

REGISTRY_URL = "https://clinicaltrials.gov/api/v2"
#: what is asked for of each study: names of the API's data structure ("pieces")
STUDY_FIELDS = (
    "NCTId",
    "BriefTitle",
    "OverallStatus",
    "StartDate",
    "StartDateType",
    "CompletionDate",
    "CompletionDateType",
    "Phase",
    "EnrollmentCount",
    "EnrollmentType",
    "Condition",
    "InterventionName",
    "InterventionOtherName",
    "PrimaryOutcomeMeasure",
    "LocationCountry",
)
#: values of the API's enumeration `Status`
STUDY_STATUSES = (
    "ACTIVE_NOT_RECRUITING",
    "COMPLETED",
    "ENROLLING_BY_INVITATION",
    "NOT_YET_RECRUITING",
    "RECRUITING",
    "SUSPENDED",
    "TERMINATED",
    "WITHDRAWN",
    "AVAILABLE",
    "NO_LONGER_AVAILABLE",
    "TEMPORARILY_NOT_AVAILABLE",
    "APPROVED_FOR_MARKETING",
    "WITHHELD",
    "UNKNOWN",
)
_TRANSIENT_STATUS = frozenset({429, 500, 502, 503, 504})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: pages in a row that may bring no study that is new (the API allows an empty page)
_STALE_PAGES = 5
_MOST_PAGES = 2000


class RegistryError(BackendError):
    """The registry cannot be reached, or does not answer as its documentation says."""

    code = "registry"


class RegistryBusyError(RegistryError):
    """A fault that may pass: throttled, a server error, a broken answer. It is retried."""

    code = "registry-busy"

    def __init__(self, message: str, *, retry_after: float | None = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.retry_after = retry_after


class RegistryBrokenOffError(RegistryError):
    """The pages break off, by a refused token or an early end: the search has to begin again."""

    code = "registry-token"


@dataclass(frozen=True)
class RegistrySettings:
    """How the registry is talked to. Times in seconds."""

    #: `scheme://host[:port][/path]`; `/api/v2` is added where it is missing
    base_url: str = REGISTRY_URL
    #: least time between the starts of two requests
    interval: float = 1.0
    #: attempts for one page, the first included
    attempts: int = 4
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    #: longest time for one whole answer, however steadily it drips
    answer_timeout: float = 120.0
    #: longest wait between attempts, whatever Retry-After asks
    longest_wait: float = 60.0
    page_size: int = 200
    #: largest answer that is read, in bytes
    largest_answer: int = 64 * 1024 * 1024

    @property
    def studies_url(self) -> str:
        """The address of the search. Raises RegistryError unless the base is an HTTP address."""
        base = self.base_url.strip().rstrip("/")
        parts = urlsplit(base)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise RegistryError(
                f"{self.base_url!r} is not an HTTP address",
                hint="--base-url and CTGOV_BASE_URL look like https://clinicaltrials.gov",
                code="registry-address",
            )
        return f"{base}/studies" if base.endswith("/api/v2") else f"{base}/api/v2/studies"

    @property
    def host(self) -> str:
        """Host and port for messages, without user or password."""
        parts = urlsplit(self.studies_url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


@dataclass(frozen=True)
class StudySearch:
    """One search: an Essie expression over interventions, and the statuses to filter by."""

    intervention: str
    statuses: tuple[str, ...] = ()
    fields: tuple[str, ...] = STUDY_FIELDS

    def parameters(self, page_size: int) -> dict[str, str]:
        """The query parameters that every page of the search repeats."""
        given = {
            "query.intr": self.intervention,
            "filter.overallStatus": ",".join(self.statuses),
            "fields": ",".join(self.fields),
            "pageSize": str(page_size),
            "format": "json",
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True)
class StudyPage:
    """One page as answered; the studies in it are not yet checked."""

    number: int
    studies: tuple[Any, ...]
    #: matches of the whole search; the API tells it on the first page only
    total: int | None
    next_token: str | None


class RateLimit:
    """Keeps `interval` seconds between the starts of two requests."""

    def __init__(
        self,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.interval, self._clock, self._sleep = interval, clock, sleep
        self._last: float | None = None

    def wait(self) -> None:
        """Return when the next request may start."""
        if self._last is not None:
            rest = self._last + self.interval - self._clock()
            if rest > 0:
                self._sleep(rest)
        self._last = self._clock()


class Registry:
    """The registry's search. One instance keeps one pace; it is not for several threads."""

    def __init__(
        self,
        settings: RegistrySettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        notify: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._sleep = sleep
        self.notify = notify
        self._pace = RateLimit(settings.interval, clock, sleep)
        self._session: Any = None

    def pages(self, search: StudySearch, max_pages: int | None = None) -> Iterator[StudyPage]:
        """Each page of the search, in order; after `max_pages` the rest is left.

        A last page with a `next_token` says that there is more. Raises RegistryError.
        """
        size = self.settings.page_size
        parameters = search.parameters(size)
        tokens: set[str] = set()
        known: set[str] = set()
        fetched = stale = 0
        token: str | None = None
        total: int | None = None
        for number in count(1):
            place = {"countTotal": "true"} if token is None else {"pageToken": token}
            page = read_page(self._get({**parameters, **place}), number)
            token = page.next_token
            total = page.total if total is None else total
            fetched += len(page.studies)
            ids = {study_id(study) for study in page.studies} - known
            known |= ids
            stale = 0 if ids else stale + 1
            endless = ""
            if token in tokens:
                endless = f"page token {token[:40]!r} came twice"
            elif stale >= _STALE_PAGES:
                endless = f"{stale} pages in a row brought no new study"
            elif total is not None and fetched > total + size:
                endless = f"{fetched} studies came, {total} were announced"
            elif number >= _MOST_PAGES:
                endless = f"there are still more after {_MOST_PAGES} pages"
            if token is not None and endless:
                raise RegistryError(
                    f"the pages do not end: {endless} (page {number})",
                    hint="nothing was written; try again later",
                    code="registry-endless",
                )
            yield page
            if token is None or number == max_pages:
                return
            tokens.add(token)

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _get(self, parameters: Mapping[str, str]) -> Any:
        """The decoded answer, with retries. Raises RegistryError."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

        def pause(state: Any) -> float:
            """What Retry-After asks, else 1, 2, 4, … seconds."""
            asked = state.outcome.exception().retry_after
            backoff = float(2 ** (state.attempt_number - 1))
            wanted = backoff if asked is None else max(asked, 0.0)
            return min(self.settings.longest_wait, wanted)

        def announce(state: Any) -> None:
            self.notify(
                f"{state.outcome.exception().message}; attempt {state.attempt_number + 1} of "
                f"{self.settings.attempts} in {state.next_action.sleep:.0f} s"
            )

        retrying = Retrying(
            stop=stop_after_attempt(max(1, self.settings.attempts)),
            wait=pause,
            retry=retry_if_exception_type(RegistryBusyError),
            sleep=self._sleep,
            before_sleep=announce,
            reraise=True,
        )
        return retrying(lambda: decode_answer(*self._send(parameters)))

    def _send(self, parameters: Mapping[str, str]) -> tuple[bytes, str]:
        """Body and content type of one request. Raises RegistryError; a passing fault is Busy."""
        import requests
        import urllib3

        self._pace.wait()
        host, session = self.settings.host, self._connect()
        passing = (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError)
        try:
            with session.get(
                self.settings.studies_url,
                params=dict(parameters),
                timeout=(self.settings.connect_timeout, self.settings.read_timeout),
                stream=True,
            ) as response:
                body = self._read(response)
        except passing as exc:
            raise RegistryBusyError(
                f"{host} cannot be reached: {_fault_name(exc)}",
                hint="check the network, or load the shipped snapshot with --offline",
            ) from exc
        except requests.RequestException as exc:
            raise RegistryError(f"{host} cannot be asked: {_fault_name(exc)}") from exc
        status, headers = response.status_code, response.headers
        if status == 200:
            return body, headers.get("Content-Type", "")
        said = f"{host} answers {status}: {_one_line(body) or 'no explanation'}"
        if status in _TRANSIENT_STATUS:
            wait = retry_after_seconds(headers.get("Retry-After"), time.time())
            hint = "try again later, or load the shipped snapshot with --offline"
            raise RegistryBusyError(said, retry_after=wait, hint=hint)
        if status in (400, 410) and "pageToken" in parameters:
            # the first page was answered, and nothing but the token is new
            again = "nothing was written; run it again"
            raise RegistryBrokenOffError(f"{said} (to the token of a further page)", hint=again)
        hint = "the request is not understood; has the API changed?" if status == 400 else ""
        raise RegistryError(said, hint=hint, code=f"registry-{status}")

    def _read(self, response: Any) -> bytes:
        """The whole body within the limits of size and time."""
        chunks: list[bytes] = []
        size = 0
        deadline = self._clock() + self.settings.answer_timeout
        # read1 gives what has arrived; read waits for a full chunk, however slowly it drips
        while chunk := response.raw.read1(65536, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > self.settings.largest_answer:
                raise RegistryError(
                    f"{self.settings.host} sends more than {self.settings.largest_answer} bytes "
                    "for one page",
                    code="registry-answer",
                )
            if self._clock() > deadline:
                raise RegistryBusyError(
                    f"{self.settings.host} takes over {self.settings.answer_timeout:.0f} s "
                    "for one answer"
                )
        return b"".join(chunks)

    def _connect(self) -> Any:
        """The session, made once."""
        import requests

        if self._session is None:
            self._session = requests.Session()
            self._session.headers["User-Agent"] = "orchestrate-tickets (python-requests)"
            self._session.headers["Accept"] = "application/json"
            # a proxy from the environment is for the world outside
            self._session.trust_env = urlsplit(self.settings.studies_url).hostname not in _LOOPBACK
        return self._session


def study_id(study: Any) -> str:
    """The study's NCT id as answered, or "" where the record has none."""
    section = study.get("protocolSection") if isinstance(study, Mapping) else None
    module = section.get("identificationModule") if isinstance(section, Mapping) else None
    value = module.get("nctId") if isinstance(module, Mapping) else None
    return value if isinstance(value, str) else ""


def decode_answer(body: bytes, content_type: str) -> Any:
    """The JSON value of an answer. Raises RegistryBusyError for HTML, text and cut off JSON."""
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        kind = content_type.split(";")[0].strip() or "something"
        raise RegistryBusyError(
            f"the answer is {_one_line(kind)}, not JSON: {_one_line(body)}",
            hint="is the address that of the API, or is a login page in between?",
            code="registry-answer",
        ) from exc


def read_page(answer: Any, number: int) -> StudyPage:
    """A page of the search out of an answer. Raises RegistryError where the shape is another."""
    studies = answer.get("studies") if isinstance(answer, Mapping) else None
    if not isinstance(studies, list):
        raise RegistryError(
            f"page {number} has no list `studies`: {_one_line(json.dumps(answer))}",
            hint="does the address speak API v2?",
            code="registry-answer",
        )
    token = answer.get("nextPageToken")
    if token is not None and not isinstance(token, str):
        raise RegistryError(f"page {number}: nextPageToken is not text", code="registry-answer")
    total = answer.get("totalCount")
    known = isinstance(total, int) and not isinstance(total, bool) and total >= 0
    return StudyPage(number, tuple(studies), total if known else None, token or None)


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """What a Retry-After header asks for, in seconds from `now` (Unix time); None if unreadable.

    Both forms of RFC 9110, 10.2.3: a number of seconds, or a date.
    """
    text = (value or "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return max(0.0, moment.timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


def _fault_name(exc: BaseException) -> str:
    """The root cause in short: `NameResolutionError`, `ConnectTimeoutError`, …"""
    causes = (getattr(exc, "reason", None), *exc.args)
    cause = next((arg for arg in causes if isinstance(arg, BaseException)), None)
    return _fault_name(cause) if cause else type(exc).__name__


def _one_line(text: str | bytes, limit: int = 300) -> str:
    """Foreign text for a message: one line, no control characters, cut."""
    if isinstance(text, bytes):
        text = text[: 4 * limit].decode("utf-8", "replace")
    text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())[:limit]
