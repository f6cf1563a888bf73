"""The web board: pages, answers bound to what was shown, and what it refuses."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr

from orchestrator import Board
from orchestrator.errors import UsageError
from orchestrator.settings.config import Settings
from orchestrator.settings.web import WebSettings, WebUser
from orchestrator.storage.history import History
from orchestrator.web.app import prepare
from orchestrator.web.guard import LARGEST_BODY
from tests.boards import TICKET, WORKFLOW, Workspace, copy_of
from tests.web import Browser, until


@pytest.fixture
def work(asked: Workspace, tmp_path: Path) -> Workspace:
    """A workspace with an open question."""
    return copy_of(asked.root, tmp_path / "new")


Opener = Callable[..., Browser]


@pytest.fixture
def open_board(work: Workspace) -> Iterator[Opener]:
    opened: list[Browser] = []

    def opener(**web: Any) -> Browser:
        opened.append(Browser(work, Settings(web=WebSettings(**web))))
        return opened[-1]

    yield opener
    for each in opened:
        each.close()


@pytest.fixture
def browser(open_board: Opener) -> Browser:
    return open_board().sign_in()


def last_answer(work: Workspace) -> dict[str, Any]:
    record = History(work.root / "_WORK_ORDERS", "WO-512").latest("answer")
    assert record is not None
    return record


def test_an_approval_on_the_page_is_recorded_and_the_work_goes_on(browser: Browser) -> None:
    assert "WO-512" in browser.get("/")
    answered = browser.answer(verb="approved", words="looks good\r\nto me")
    assert (answered.status_code, answered.headers["location"]) == (303, "/family/WO-512")
    record = last_answer(browser.work)
    assert (record["via"], record["by"], record["words"]) == ("web", "USER", "looks good\nto me")
    # by itself to the next checkpoint
    browser.until(lambda: browser.work.places()["WO-512"] == "05_USER_REVIEW")
    browser.until(lambda: browser.site.live.refresh().question("WO-512"))
    assert "question 2" in browser.get("/")
    assert browser.answer(verb="approved").status_code == 303
    browser.until(lambda: set(browser.work.places().values()) == {"06_COMPLETE"})


def test_an_answer_to_what_is_no_longer_asked_is_not_taken(browser: Browser) -> None:
    form = browser.form("/family/WO-512/answer")
    browser.work.conductor().approve("WO-512")
    browser.work.conductor().run("WO-512")
    browser.site.live.refresh()
    late = browser.post("/family/WO-512/answer", {**form, "verb": "approved"})
    assert late.status_code == 409
    assert "no longer open" in late.text
    # and shows what is asked now
    assert "question 2" in late.text
    assert browser.form("/family/WO-512/answer", late.text)["digest"] != form["digest"]


def test_a_change_since_the_question_is_shown_instead_of_approved(browser: Browser) -> None:
    form = browser.form("/family/WO-512/answer")
    (browser.work.root / "out/first.txt").write_text("something else\n", encoding="utf-8")
    refused = browser.post("/family/WO-512/answer", {**form, "verb": "approved"})
    assert refused.status_code == 409
    assert "out/first.txt" in refused.text
    assert browser.work.builder.jobs == []


def test_a_send_back_needs_words_and_gives_them_to_the_maker(browser: Browser) -> None:
    assert browser.answer(verb="changes_requested").status_code == 409
    words = "out/first.txt:1: other words"
    assert browser.answer(verb="changes_requested", words=words).status_code == 303
    browser.until(lambda: browser.work.soop.jobs)
    assert browser.work.soop.jobs[0].words == words


def test_several_plain_questions_are_approved_each_by_its_digest(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = browser.work.root
    ticket = TICKET.replace("WO-512", "WO-513").replace("two-files", "more")
    (root / "_WORK_ORDERS/00_INBOX/WO-513_More.md").write_text(ticket, encoding="utf-8")
    workflow = WORKFLOW.replace("WO-512", "WO-513").replace("out/", "more/")
    (root / "workflows/more.md").write_text(workflow, encoding="utf-8")
    browser.work.soop.path = "more/first.txt"
    browser.work.conductor().run("WO-513")
    questions = browser.site.live.refresh().questions
    assert all(question.is_plain for question in questions)
    form = browser.form("/answer")
    chosen = [f"{q.family}:{q.digest}" for q in questions]
    wrong = browser.post("/answer", {**form, "question": [f"{chosen[0]}0"]})
    assert (wrong.status_code, browser.work.builder.jobs) == (409, [])
    open_at_start: list[int] = []
    go_on = browser.site.go_on

    def started(family: str) -> None:
        open_at_start.append(len(browser.site.live.refresh().questions))
        go_on(family)

    monkeypatch.setattr(browser.site, "go_on", started)
    assert browser.post("/answer", {**form, "question": chosen}).status_code == 303
    # the second question covers `out/second.txt`, which the first family makes
    assert open_at_start[0] == 0
    browser.until(lambda: len(browser.work.builder.jobs) == 2)


def test_damaged_receipts_are_told_and_not_answered(browser: Browser) -> None:
    path = "/family/WO-512/answer"
    form = browser.form(path)
    receipts = browser.work.root / "_WORK_ORDERS/.receipts/WO-512.jsonl"
    whole = receipts.read_text(encoding="utf-8")
    receipts.write_text(whole.replace("STAGE 2", "STAGE 3", 1), encoding="utf-8")
    browser.site.live.refresh()
    for page in map(browser.get, ("/", "/family/WO-512", "/family/WO-512/review")):
        assert "No answer can be taken" in page
        assert "orchestrate reopen WO-512" in page
        assert 'value="approved"' not in page
    refused = browser.post(path, {**form, "verb": "approved"})
    assert (refused.status_code, browser.work.builder.jobs) == (409, [])
    receipts.write_text(whole, encoding="utf-8")
    browser.site.live.refresh()
    assert 'value="approved"' in browser.get("/")


def test_only_the_parts_that_a_topic_names_are_sent(browser: Browser) -> None:
    def parts(path: str, topics: str) -> list[tuple[str, str]]:
        sent = browser.client.get(path, headers={"orchestrate-changed": topics}).text
        assert "<html" not in sent
        return re.findall(r'id="([^"]*)" data-(on|same)', sent)

    assert parts("/board", "ticket:WO-512b") == [(browser_card(browser, "WO-512b"), "on")]
    assert parts("/board", "ticket:WO-404") == []
    column = parts("/board", "state:BUILD")
    assert column == [("column-BUILD", "on"), (browser_card(browser, "WO-512b"), "same")]
    assert parts("/family/WO-512", "log:WO-512") == [("log", "on")]
    assert ("column-QA", "on") in parts("/board", "*")


def browser_card(browser: Browser, id: str) -> str:
    return f"card-{browser.site.live.view.by_id[id].ticket.source}"


def test_moves_are_those_of_user_and_none_approves(browser: Browser) -> None:
    page = browser.get("/family/WO-512")
    csrf = browser.form("/family/WO-512/answer")["csrf"]
    assert 'value="archive"' in page
    path = "/family/WO-512/move"
    for action in ("approve", "complete", ""):
        assert browser.post(path, {"csrf": csrf, "action": action}).status_code == 409
    held = browser.post(path, {"csrf": csrf, "action": "hold", "reason": "later", "back": "/board"})
    assert (held.status_code, held.headers["location"]) == (303, "/board")
    assert browser.work.places()["WO-512"] == "98_HOLD"
    assert (last_answer(browser.work)["via"], last_answer(browser.work)["by"]) == ("web", "USER")
    assert 'data-moves="resume:* shelve:BACKLOG archive:ARCHIVE"' in browser.get("/board")
    assert browser.post(path, {"csrf": csrf, "action": "resume"}).status_code == 303
    # it goes on, and is asked again
    browser.until(lambda: browser.work.places()["WO-512"] == "05_USER_REVIEW")


def test_the_way_back_after_a_move_stays_on_the_board(browser: Browser) -> None:
    csrf = browser.form("/family/WO-512/answer")["csrf"]
    fields = {"csrf": csrf, "action": "hold", "reason": "x", "back": "https://evil.example/"}
    assert browser.post("/family/WO-512/move", fields).headers["location"] == "/family/WO-512"


@pytest.mark.parametrize(
    "path",
    ["/", "/board", "/board?q=two&waiting=1", "/family/WO-512a", "/family/WO-512/review",
     "/search?q=out", "/figures", "/health"],
)  # fmt: skip
def test_every_page_is_there_and_shows_what_a_ticket_says_as_text(
    work: Workspace, open_board: Opener, path: str
) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    file = work.file("WO-512")
    text = file.read_text(encoding="utf-8").replace("title: ", f"labels: {evil}\ntitle: {evil} ", 1)
    file.write_text(f"{text}\n{evil} out\n", encoding="utf-8")
    work.edit("WO-512a", "owner: ", f"owner: {evil} ")
    page = open_board().sign_in().get(path)
    assert "<script>alert" not in page
    assert "onerror=alert" not in page.replace("onerror=alert(2)&gt;", "")
    assert "<h1>" in page


class Tags(HTMLParser):
    """The tags of a page as a browser reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.scripts: set[str | None] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "script":
            self.scripts.add(dict(attrs).get("src"))


def test_no_field_of_anything_is_run(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    work = Workspace(
        tmp_path,
        WORKFLOW.replace("First look", evil).replace("First file", evil),
        TICKET.replace("owner: LEAD", f'owner: LEAD\npriority: {evil}\nlabels: ["{evil[:8]}"]'),
    )
    # what an agent writes and says, in a file of such a name
    work.soop.path = "out/first.txt"

    def write(job: Any) -> Any:
        hostile = job.root / "out" / f"{evil.replace('/', '')}.txt"
        hostile.parent.mkdir(exist_ok=True)
        hostile.write_text(f"{evil}\n", encoding="utf-8")
        done = work.soop.write(job, f"{evil}\n")
        return done.model_copy(update={"section": f"## {evil}\n", "log": (evil,)})

    work.soop.act = write
    work.conductor().run("WO-512")
    inbox = tmp_path / "_WORK_ORDERS/00_INBOX"
    inbox.mkdir(exist_ok=True)
    named = inbox / f"WO-7_{evil.replace('/', '')}.md"
    named.write_text(f'---\nid: WO-7\nhold_reason: {evil}\ndepends_on: ["{evil}"]\n---\n', "utf-8")
    (inbox / "WO-8_x.md").write_text(f"---\nid: 'WO-8{evil[:8]}'\n---\n", encoding="utf-8")
    logs = tmp_path / ".orchestrate/logs/WO-512"
    logs.mkdir(parents=True, exist_ok=True)
    event = dict.fromkeys(("kind", "at", "tool", "path", "text"), evil)
    (logs / "stage-2-attempt-1.jsonl").write_text(f"{json.dumps(event)}\n", encoding="utf-8")
    browser = Browser(work, Settings()).sign_in()
    browser.site.going_on.failures["WO-512"] = evil
    pages = ["/", "/board", "/family/WO-512", "/family/WO-7", "/figures"]
    for path in [*pages, "/health", "/search?q=script", f"/search?q={quote(evil)}"]:
        for headers in ({}, {"orchestrate-changed": "*"}):
            tags = Tags()
            tags.feed(browser.client.get(path, headers=headers).text)
            assert "article" in tags.names or path != "/board"
            assert tags.names.isdisjoint({"img"}), path
            assert all(name[:2] != "on" for name in tags.attributes), path
            assert tags.names.isdisjoint({"script"}) or tags.scripts == {"/static/board.js"}, path
    browser.close()


def test_health_is_there_at_once_and_findings_come(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()

    def examine(*_: Any) -> Any:
        assert looked.wait(20)
        return SimpleNamespace(problems=())

    monkeypatch.setattr("orchestrator.doctor.runner.examine", examine)
    assert "Looking at every ticket" in browser.get("/health")
    revision = browser.site.live.revision
    looked.set()
    # and browsers are told
    browser.until(lambda: browser.site.live.revision > revision)
    assert "The doctor finds nothing" in browser.get("/health")


def test_filters_and_search_find_by_words(browser: Browser) -> None:
    assert "1 of 3 tickets" in browser.get("/board?owner=INSPECTOR")
    assert "0 of 3 tickets" in browser.get("/board?q=nothing-like-that")
    assert "WO-512" in browser.get("/search?q=512")
    bad = browser.client.get("/board?state=NOWHERE")
    assert (bad.status_code, "not a place of the board" in bad.text) == (409, True)


# -- who may do what -------------------------------------------------------------------------------


def test_without_the_address_there_is_nothing(browser: Browser) -> None:
    stranger = browser.another()
    for path in ("/", "/board", "/family/WO-512", "/events", "/health"):
        assert stranger.get(path, follow_redirects=False).status_code == 401
    assert stranger.get("/?token=" + "a" * 32).status_code == 403
    assert browser.served.token_file.stat().st_mode & 0o777 == 0o600
    # the token stays in no address bar
    opened = stranger.get(browser.served.address, follow_redirects=False)
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    assert "samesite=strict" in opened.headers["set-cookie"].lower()
    assert "httponly" in opened.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
    ],
)
def test_a_change_from_elsewhere_is_refused(
    browser: Browser, headers: dict[str, str], status: int
) -> None:
    form = {**browser.form("/family/WO-512/answer"), "verb": "approved"}
    assert browser.post("/family/WO-512/answer", form, **headers).status_code == status
    assert browser.work.builder.jobs == []


def test_a_change_needs_the_token_of_the_page(browser: Browser) -> None:
    form = {**browser.form("/family/WO-512/answer"), "verb": "approved"}
    for wrong in ("", "0" * 64, form["csrf"][:-1]):
        answer = browser.post("/family/WO-512/answer", {**form, "csrf": wrong})
        assert answer.status_code == 403
    assert browser.client.get("/family/WO-512/answer").status_code == 405
    assert browser.client.put("/family/WO-512/answer").status_code == 405
    assert browser.work.builder.jobs == []


def test_an_answer_without_a_digest_is_none(browser: Browser) -> None:
    form = {**browser.form("/family/WO-512/answer"), "verb": "approved", "digest": ""}
    assert browser.post("/family/WO-512/answer", form).status_code == 409
    assert browser.work.builder.jobs == []


def test_large_bodies_are_not_read(browser: Browser) -> None:
    sent = {"origin": f"http://{browser.host}", "content-type": "application/x-www-form-urlencoded"}
    path = "/family/WO-512/answer"
    assert (
        browser.client.post(path, content=b"a" * (LARGEST_BODY + 1), headers=sent).status_code
        == 413
    )
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 65536
            yield b"a" * 65536
            if read > 4 * LARGEST_BODY:
                return

    assert browser.client.post(path, content=endless(), headers=sent).status_code == 413


@pytest.mark.parametrize(
    "path", ["/static/..%2f..%2fconfig.py", "/static/review.html.j2", "/family/..%2f..%2fetc"]
)
def test_no_path_leads_out(browser: Browser, path: str) -> None:
    assert browser.client.get(path).status_code == 404


def test_every_answer_forbids_what_is_not_its_own(browser: Browser) -> None:
    for path in ("/", "/static/board.js", "/nowhere"):
        policy = browser.client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_users_sign_in_and_readers_only_read(work: Workspace, open_board: Opener) -> None:
    from argon2 import PasswordHasher

    hashed = PasswordHasher(time_cost=1, memory_cost=1024).hash("secret")
    users: dict[str, Any] = {
        "ana": WebUser(password=hashed, role="approver"),
        "rob": WebUser(password=hashed, role="reader"),
    }
    browser = open_board(users=users)
    assert "token" not in browser.served.address
    assert browser.client.get("/", headers={"accept": "text/html"}).url.path == "/login"
    assert browser.post("/login", {"name": "rob", "password": "wrong"}).status_code == 401
    assert browser.post("/login", {"name": "rob", "password": "secret"}).status_code == 303
    assert "may look, and not answer" in browser.get("/")
    csrf = re.search(r'name="csrf" value="(\w+)"', browser.get("/"))
    assert csrf is not None
    question = browser.site.live.view.questions[0]
    form = {"csrf": csrf[1], "digest": question.digest, "verb": "approved"}
    assert browser.post("/family/WO-512/answer", form).status_code == 403
    browser.client.cookies.clear()
    assert browser.post("/login", {"name": "ana", "password": "secret"}).status_code == 303
    assert browser.answer(verb="approved").status_code == 303
    assert last_answer(work)["by"] == "ana"


def test_a_session_ends_with_signing_out_and_with_the_user(
    work: Workspace, open_board: Opener
) -> None:
    from argon2 import PasswordHasher

    hashed = PasswordHasher(time_cost=1, memory_cost=1024).hash("secret")
    file = work.root / "orchestrate.toml"
    user = f'[web.users.%s]\npassword = "{hashed}"\nrole = "approver"\n'
    file.write_text(user % "ana" + user % "bob", encoding="utf-8")
    browser = open_board(users={"ana": WebUser(password=hashed, role="approver")})
    browser.post("/login", {"name": "ana", "password": "secret"})
    (cookie,) = browser.client.cookies.items()
    csrf = re.search(r'name="csrf" value="(\w+)"', browser.get("/"))
    assert csrf is not None
    assert browser.post("/logout", {"csrf": csrf[1]}).status_code == 303
    browser.client.cookies.set(*cookie)
    assert browser.client.get("/").status_code == 401
    browser.client.cookies.clear()
    browser.post("/login", {"name": "ana", "password": "secret"})
    browser.get("/")
    file.write_text(user % "bob", encoding="utf-8")
    assert browser.client.get("/").status_code == 401
    assert browser.post("/login", {"name": "ana", "password": "secret"}).status_code == 401


def test_passwords_cannot_be_guessed_at_will(open_board: Opener) -> None:
    from argon2 import PasswordHasher

    hashed = PasswordHasher(time_cost=1, memory_cost=1024).hash("secret")
    browser = open_board(users={n: WebUser(password=hashed) for n in ("ana", "bob")})
    for _ in range(10):
        browser.post("/login", {"name": "ana", "password": "wrong"})
    assert browser.post("/login", {"name": "ana", "password": "secret"}).status_code == 401
    # which locks nobody else out
    assert browser.post("/login", {"name": "bob", "password": "secret"}).status_code == 303


def test_a_proxy_shows_its_secret(
    work: Workspace, open_board: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    web: dict[str, Any] = {"user_header": "x-user", "users": {"ana": WebUser(role="approver")}}
    with pytest.raises(UsageError, match="ORCHESTRATE_PROXY_SECRET"):
        open_board(**web)
    monkeypatch.setenv("ORCHESTRATE_PROXY_SECRET", "a-secret")
    browser = open_board(**web)
    proxied = {"x-user": "ana", "x-orchestrate-proxy": "a-secret"}
    assert browser.client.get("/", headers=proxied).status_code == 200
    for wrong in ({"x-orchestrate-proxy": ""}, {"x-user": "eve"}):
        assert browser.client.get("/", headers={**proxied, **wrong}).status_code == 401


@pytest.fixture
def tls_proxy(tmp_path: Path) -> Iterator[Callable[[int, str], int]]:
    """Starts a proxy with TLS before a port, which may put another Host; its own port."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key -out cert"
    subprocess.run(["openssl", *words.split()], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    listeners = []

    def start(port: int, host: str) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def pass_on() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

        def one(raw: socket.socket) -> None:
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(raw, server_side=True) as outside,
                socket.create_connection(("127.0.0.1", port)) as inside,
            ):
                back = threading.Thread(target=pump, args=(inside, outside), daemon=True)
                back.start()
                while data := outside.recv(65536):
                    if host:
                        data = re.sub(rb"(?i)(\nhost: )[^\r]*", rb"\g<1>" + host.encode(), data)
                    inside.sendall(data)

        def pump(source: socket.socket, to: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    to.sendall(data)

        threading.Thread(target=pass_on, daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("keeps_host", [True, False])
def test_behind_a_proxy_with_tls(
    work: Workspace, tls_proxy: Callable[[int, str], int], keeps_host: bool
) -> None:
    from argon2 import PasswordHasher

    hashed = PasswordHasher(time_cost=1, memory_cost=1024).hash("secret")
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    bound.close()
    outside = tls_proxy(port, "" if keeps_host else f"127.0.0.1:{port}")
    url = f"https://localhost:{outside}"
    users = {"ana": WebUser(password=SecretStr(hashed), role="approver")}
    served = prepare(
        Board(work.root), Settings(web=WebSettings(url=url, users=users)), port=port, watching=True
    )
    served.site.conductor = work.conductor  # type: ignore[method-assign]
    thread = threading.Thread(target=served.run)
    thread.start()
    try:
        # the proxy closes what it cannot pass on
        until(lambda: served.server.started)
        with httpx.Client(base_url=url, verify=False, timeout=20) as client:
            sent = {"origin": url}
            form = {"name": "ana", "password": "secret"}
            # not from a page of that name without TLS
            plain = {"origin": url.replace("https", "http")}
            assert client.post("/login", data=form, headers=plain).status_code == 403
            signed_in = client.post("/login", data=form, headers=sent)
            assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/")
            assert "; secure" in signed_in.headers["set-cookie"].lower()
            page = client.get("/").text
            csrf = re.search(r'name="csrf" value="(\w+)"', page)
            digest = re.search(r'name="digest" value="(\w+)"', page)
            assert csrf
            assert digest
            with client.stream("GET", "/events") as stream:
                answer = {"csrf": csrf[1], "digest": digest[1], "verb": "approved"}
                taken = client.post("/family/WO-512/answer", data=answer, headers=sent)
                assert taken.status_code == 303
                # and what it did arrives through the proxy
                assert any("WO-512" in line for line in stream.iter_lines())
        assert last_answer(work)["by"] == "ana"
    finally:
        served.server.should_exit = True
        thread.join()
        served.socket.close()


def test_words_steer_no_terminal(browser: Browser) -> None:
    browser.answer(verb="changes_requested", words="a\x00b\u202ec")
    assert last_answer(browser.work)["words"] == "a⟨U+0000⟩b⟨U+202E⟩c"


def test_a_refused_send_back_keeps_the_words(browser: Browser) -> None:
    (browser.work.root / "out/first.txt").write_text("changed\n", encoding="utf-8")
    refused = browser.answer(verb="approved", words="a long text")
    assert (refused.status_code, "a long text</textarea>" in refused.text) == (409, True)


def test_others_can_be_let_in_only_with_users(work: Workspace) -> None:
    with pytest.raises(UsageError, match="nobody would have to sign in"):
        prepare(Board(work.root), Settings(), host="0.0.0.0", port=0)


# -- links ----------------------------------------------------------------------------------------


@pytest.fixture
def linked(open_board: Opener) -> tuple[Browser, str]:
    browser = open_board(url="https://board.example")
    question = browser.site.live.view.questions[0]
    address = browser.site.links.address(question.family, question.number, question.digest)
    assert address.startswith("https://board.example/answer/")
    browser.scheme, browser.host = "https", "board.example"
    browser.client = browser.another()
    return browser, address.removeprefix("https://board.example")


def test_a_link_shows_its_question_and_answers_it_once(linked: tuple[Browser, str]) -> None:
    browser, path = linked
    page = browser.get(path)
    form = {**browser.form(path, page), "verb": "approved"}
    # it opens nothing else
    assert browser.client.get("/board").status_code == 401
    assert browser.post(path, {**form, "csrf": ""}).status_code == 403
    assert browser.post(path, {**form, "digest": "0" * 64}).status_code == 409
    assert browser.post(path, form).status_code == 200
    assert last_answer(browser.work)["via"] == "link"
    assert browser.post(path, form).status_code == 409
    assert browser.client.get(path).status_code == 409


@pytest.mark.parametrize("change", ["forged", "old", "of another board"])
def test_a_link_that_is_not_genuine_or_too_old_opens_nothing(
    linked: tuple[Browser, str], change: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    browser, path = linked
    if change == "forged":
        # not the last letter, of which some bits mean nothing
        path = path[:-9] + ("a" if path[-9] != "a" else "b") + path[-8:]
    elif change == "old":
        settings = WebSettings(url="https://board.example", link_hours=0.0001)
        browser.site.links = replace(browser.site.links, settings=settings)
        time.sleep(1.1)
    else:
        elsewhere = tmp_path_factory.mktemp("other")
        browser.site.links = replace(browser.site.links, root=elsewhere)
    assert browser.client.get(path).status_code == 409
    assert browser.work.builder.jobs == []
