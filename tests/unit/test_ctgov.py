"""The registry's client against a stand-in that is as strict as the registry."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from orchestrate_backend.trials.registry_client import (
    STUDY_FIELDS,
    RateLimit,
    Registry,
    RegistryBusyError,
    RegistryError,
    RegistrySettings,
    StudySearch,
    decode_answer,
    read_page,
    retry_after_seconds,
)
from tests.replay import (
    HTML,
    PIECES,
    RESET,
    SERVER_ERROR,
    TRUNCATED,
    BadRequestError,
    Fault,
    Replay,
    replaying,
    study,
    throttled,
)

SEARCH = StudySearch("psilocybin OR psilocin", ("COMPLETED", "ACTIVE_NOT_RECRUITING"))
TEN = [study(n) for n in range(1, 11)]


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def registry(
    replay: Replay, clock: Clock | None = None, said: list[str] | None = None, **settings: Any
) -> Registry:
    clock = clock or Clock()
    said = [] if said is None else said
    settings = {"interval": 0.0, "page_size": 3, **settings}
    given = RegistrySettings(base_url=replay.url, **settings)
    return Registry(given, clock=clock, sleep=clock.sleep, notify=said.append)


def fetched(client: Registry, search: StudySearch = SEARCH) -> list[str]:
    try:
        pages = list(client.pages(search))
    finally:
        client.close()
    return [s["protocolSection"]["identificationModule"]["nctId"] for p in pages for s in p.studies]


def refusal(client: Registry, search: StudySearch = SEARCH) -> RegistryError:
    """The error that ends the paging."""
    with pytest.raises(RegistryError) as caught:
        fetched(client, search)
    return caught.value


def test_all_pages_are_followed_by_token() -> None:
    with replaying(TEN) as replay:
        ids = fetched(registry(replay))
    assert ids == [f"NCT{n:08d}" for n in range(1, 11)]
    assert [r.get("countTotal") for r in replay.requests] == ["true", None, None, None]
    assert "pageToken" not in replay.requests[0]
    assert all(r["pageToken"] for r in replay.requests[1:])


def test_later_pages_repeat_the_search() -> None:
    with replaying(TEN) as replay:
        fetched(registry(replay))
    varying = {"countTotal", "pageToken"}
    searches = [{k: v for k, v in r.items() if k not in varying} for r in replay.requests]
    assert searches[1:] == searches[:1] * 3
    assert searches[0]["filter.overallStatus"] == "COMPLETED,ACTIVE_NOT_RECRUITING"


def test_every_field_asked_for_is_one_of_the_registrys() -> None:
    assert set(STUDY_FIELDS) <= set(PIECES)


def test_total_is_told_by_the_first_page_only() -> None:
    with replaying(TEN) as replay:
        client = registry(replay)
        assert [page.total for page in client.pages(SEARCH)] == [10, None, None, None]
        client.close()


def test_max_pages_leaves_a_token_that_says_there_is_more() -> None:
    with replaying(TEN) as replay:
        client = registry(replay)
        pages = list(client.pages(SEARCH, max_pages=2))
        client.close()
    assert [len(p.studies) for p in pages] == [3, 3]
    assert pages[-1].next_token is not None


def test_a_wrong_field_is_reported_with_the_registrys_own_words() -> None:
    with replaying(TEN) as replay:
        search = StudySearch("psilocybin", fields=("NCTId", "StudyDesign"))
        error = refusal(registry(replay), search)
    assert "invalid field name: 'StudyDesign'" in error.message
    assert error.code == "registry-400"
    assert len(replay.requests) == 1


def test_a_server_error_for_a_wrong_field_is_reported_after_the_retries() -> None:
    with replaying(TEN) as replay:
        search = StudySearch("psilocybin", fields=("NCTId", "ConditionList"))
        error = refusal(registry(replay), search)
    assert "answers 500" in error.message
    assert len(replay.requests) == 4


@pytest.mark.parametrize("fault", [throttled(), SERVER_ERROR, RESET, TRUNCATED])
def test_a_passing_fault_is_retried(fault: Fault) -> None:
    with replaying(TEN) as replay:
        replay.faults.append(fault)
        clock, said = Clock(), []
        ids = fetched(registry(replay, clock, said))
    assert len(ids) == 10
    assert clock.slept == [1.0]
    assert "attempt 2 of 4 in 1 s" in said[0]


def test_waits_double_until_the_attempts_are_spent() -> None:
    clock = Clock()
    with replaying(TEN) as replay:
        replay.faults.extend([SERVER_ERROR] * 9)
        error = refusal(registry(replay, clock))
    assert clock.slept == [1.0, 2.0, 4.0]
    assert isinstance(error, RegistryBusyError)
    assert "answers 500: Internal error" in error.message


def test_retry_after_is_honoured_and_capped() -> None:
    with replaying(TEN) as replay:
        replay.faults.extend([throttled("7"), throttled("86400"), throttled("soon")])
        clock = Clock()
        fetched(registry(replay, clock))
    assert clock.slept == [7.0, 60.0, 4.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("-5", None),
        ("tomorrow", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, now=10.0) == seconds


CUT_OFF = Fault(200, b'{"studies": [{"protocolSection": {', "application/json")
TEXT = Fault(200, b"upstream timed out")


@pytest.mark.parametrize("fault", [HTML, CUT_OFF, TEXT, Fault(200, b"")])
def test_an_answer_that_is_no_json_is_retried_like_a_server_error(fault: Fault) -> None:
    said: list[str] = []
    with replaying(TEN) as replay:
        replay.faults += [fault, fault]
        ids = fetched(registry(replay, said=said))
    assert len(ids) == 10
    assert "not JSON" in said[0]


def test_html_is_reported_when_the_attempts_are_spent() -> None:
    with replaying(TEN) as replay:
        replay.faults += [HTML] * 4
        error = refusal(registry(replay))
    assert error.code == "registry-answer"
    assert "text/html, not JSON" in error.message
    assert "Maintenance" in error.message
    assert len(replay.requests) == 4


def test_an_answer_that_does_not_come_is_retried() -> None:
    with replaying(TEN) as replay:
        replay.faults.append(Fault(delay=0.5, status=200, body=b"{}"))
        said: list[str] = []
        ids = fetched(registry(replay, said=said, read_timeout=0.1))
    assert len(ids) == 10
    assert "cannot be reached" in said[0]


def test_an_answer_that_drips_is_cut_off() -> None:
    with replaying(TEN) as replay:
        replay.faults.append(Fault(body=b" " * 1000, drip=0.02))
        settings = RegistrySettings(
            base_url=replay.url, interval=0, attempts=1, answer_timeout=0.1, read_timeout=5
        )
        error = refusal(Registry(settings))
    assert "for one answer" in error.message


def test_an_answer_without_end_is_cut_off() -> None:
    with replaying(TEN) as replay:
        error = refusal(registry(replay, largest_answer=300))
    assert "more than 300 bytes" in error.message


def test_a_repeated_token_ends_the_paging() -> None:
    with replaying(TEN) as replay:
        token = replay.token_for(SEARCH.parameters(3), 3)
        replay.tamper = lambda answer, number: {**answer, "nextPageToken": token}
        error = refusal(registry(replay))
    assert error.code == "registry-endless"
    assert "came twice" in error.message
    assert len(replay.requests) == 2


def _always_more(replay: Replay) -> Callable[[dict[str, Any], int], dict[str, Any]]:
    """An answer that never is the last: the same page under a new token each time."""
    search = SEARCH.parameters(3)

    def tamper(answer: dict[str, Any], number: int) -> dict[str, Any]:
        return {"studies": TEN[:3], "nextPageToken": replay.token_for(search, number)}

    return tamper


def test_pages_that_bring_nothing_new_end_the_paging() -> None:
    with replaying(TEN) as replay:
        replay.tamper = _always_more(replay)
        error = refusal(registry(replay))
    assert "no new study" in error.message
    assert len(replay.requests) == 6


def test_an_empty_page_with_a_token_is_passed_over() -> None:
    with replaying(TEN) as replay:
        start = replay.token_for(SEARCH.parameters(3), 0)
        empty = {"studies": [], "nextPageToken": start}
        replay.tamper = lambda answer, number: empty if number == 1 else answer
        assert len(fetched(registry(replay))) == 10


def test_more_studies_than_announced_end_the_paging() -> None:
    many = [study(n) for n in range(1, 31)]
    with replaying(many) as replay:
        replay.tamper = lambda answer, number: (
            {**answer, "totalCount": 5} if number == 1 else answer
        )
        error = refusal(registry(replay))
    assert "5 were announced" in error.message


@pytest.mark.parametrize(
    "answer", [[], "text", {}, {"studies": {}}, {"studies": [], "nextPageToken": 7}]
)
def test_an_answer_of_another_shape_is_refused(answer: Any) -> None:
    with pytest.raises(RegistryError) as caught:
        read_page(answer, 1)
    assert caught.value.code == "registry-answer"


@pytest.mark.parametrize("total", [True, -1, "10", None, 1.5])
def test_a_total_that_is_no_count_is_not_known(total: Any) -> None:
    assert read_page({"studies": [], "totalCount": total}, 1).total is None


def test_foreign_text_in_a_message_is_one_line_without_control_characters() -> None:
    with pytest.raises(RegistryError) as caught:
        decode_answer(b"\x1b[31mno\r\nJSON\x00" + b"x" * 5000, "text/plain")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_deeply_nested_json_is_reported() -> None:
    with pytest.raises(RegistryError):
        decode_answer(b"[" * 200_000, "application/json")


def test_a_host_without_a_server_is_named_with_the_way_out() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = registry(Replay([], url=f"http://127.0.0.1:{port}"), attempts=2)
    with pytest.raises(RegistryBusyError) as caught:
        fetched(client)
    assert f"127.0.0.1:{port} cannot be reached" in caught.value.message
    assert "--offline" in caught.value.hint


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://clinicaltrials.gov", "https://clinicaltrials.gov/api/v2/studies"),
        ("https://clinicaltrials.gov/api/v2/", "https://clinicaltrials.gov/api/v2/studies"),
        ("http://localhost:8080/mirror", "http://localhost:8080/mirror/api/v2/studies"),
    ],
)
def test_base_address_may_have_the_path_or_not(base: str, url: str) -> None:
    assert RegistrySettings(base_url=base).studies_url == url


@pytest.mark.parametrize("base", ["", "clinicaltrials.gov", "file:///etc/passwd", "http://"])
def test_an_address_that_is_no_http_address_is_refused(base: str) -> None:
    with pytest.raises(RegistryError) as caught:
        _ = RegistrySettings(base_url=base).studies_url
    assert caught.value.code == "registry-address"


def test_messages_never_hold_the_password_of_an_address() -> None:
    assert RegistrySettings(base_url="http://me:secret@example.org:81").host == "example.org:81"


def test_requests_start_at_most_once_a_second_by_default() -> None:
    assert RegistrySettings().interval == 1.0
    clock = Clock()
    pace = RateLimit(1.0, clock, clock.sleep)
    starts = []
    for _ in range(3):
        pace.wait()
        starts.append(clock.now)
        clock.now += 0.25
    assert starts == [100.0, 101.0, 102.0]
    clock.now += 10
    pace.wait()
    assert clock.slept == [0.75, 0.75]


def test_the_pace_is_kept_over_pages_and_retries() -> None:
    with replaying(TEN[:6]) as replay:
        replay.faults.append(SERVER_ERROR)
        clock = Clock()
        fetched(registry(replay, clock, interval=5.0))
    # 1 s of back-off counts towards the 5 s; then 5 s to the second page
    assert clock.slept == [1.0, 4.0, 5.0]


def test_the_pace_holds_in_real_time() -> None:
    with replaying(TEN[:6]) as replay:
        client = Registry(RegistrySettings(base_url=replay.url, interval=0.1, page_size=2))
        began = time.monotonic()
        fetched(client)
        # a busy machine makes it longer, and nothing shorter
        assert time.monotonic() - began >= 0.2
    assert len(replay.times) == 3


def test_the_stand_in_coerces_page_sizes_as_the_registry_does() -> None:
    many = [study(n) for n in range(1, 1202)]
    with replaying(many) as replay:
        for given, count in (("0", 10), ("5000", 1000)):
            query = f"query.intr=psilocybin&pageSize={given}"
            assert len(replay.answer("/api/v2/studies", query)["studies"]) == count


def test_the_stand_in_binds_tokens_to_their_search() -> None:
    with replaying(TEN) as replay:
        first = replay.answer("/api/v2/studies", "query.intr=psilocybin&pageSize=3")
        token = first["nextPageToken"]
        with pytest.raises(BadRequestError):
            replay.answer("/api/v2/studies", f"query.intr=ketamine&pageToken={token}")
