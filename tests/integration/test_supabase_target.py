"""The real `supabase` client against the stand-in, with row level security in force (DESIGN 10)."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest

from orchestrate_backend.errors import BackendError
from orchestrate_backend.fake_postgrest.query import RestError
from orchestrate_backend.fake_postgrest.server import RestStandIn, verify_token
from orchestrate_backend.targets.choose import SupabaseTarget, TargetError, Written
from tests.postgrest import SECRET, STATIONS, Project, running_project

KEY = ("region", "code")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with running_project(tmp_path_factory.mktemp("project"), STATIONS) as project:
        yield project


@pytest.fixture
def project(shared: Project) -> Project:
    """The project with three stations."""
    shared.empty("stations")
    rows = [{"region": "north", "code": str(n), "height_m": 10 * n} for n in range(1, 4)]
    shared.database.upsert("stations", rows, KEY)
    return shared


def ask(
    project: Project,
    path: str,
    role: str | None = "service_role",
    method: str = "GET",
    body: Any = None,
    **headers: str,
) -> tuple[int, Any, dict[str, str]]:
    """Status, parsed body and headers of a raw request."""
    if role is not None:
        headers = {"apikey": project.api.token(role), **headers}
        headers.setdefault("Authorization", f"Bearer {headers['apikey']}")
    request = urllib.request.Request(
        f"{project.url}/rest/v1/{path}",
        method=method,
        headers=headers,
        data=None if body is None else json.dumps(body).encode(),
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            text, status, given = answer.read(), answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            text, status, given = error.read(), error.code, dict(error.headers)
    return status, json.loads(text) if text else None, given


@pytest.mark.parametrize(("role", "seen"), [("anon", 0), ("authenticated", 3), ("service_role", 3)])
def test_each_role_reads_what_row_level_security_lets_it(
    project: Project, role: str, seen: int
) -> None:
    with project.client(role) as target:
        assert target.count("stations") == seen


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_only_the_service_role_writes(project: Project, role: str) -> None:
    with project.client(role) as target, pytest.raises(TargetError, match="row-level") as caught:
        target.upsert("stations", [{"region": "south", "code": "9"}], KEY)
    assert caught.value.code == "forbidden"
    assert project.database.count("stations") == 3


def test_more_rows_than_a_page_are_found_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrate_backend.targets.supabase._PAGE", 4)
    rows = [{"region": "north", "code": f"n{n:02}", "height_m": n} for n in range(13)]
    with project.client() as target:
        assert target.upsert("stations", rows, KEY) == Written(inserted=13)
        assert target.upsert("stations", rows, KEY) == Written(unchanged=13)
        rows[7]["height_m"] = 700
        assert target.upsert("stations", rows, KEY) == Written(updated=1, unchanged=12)


def test_long_keys_and_numbers_as_keys_are_found_again(project: Project) -> None:
    project.database.apply_sql("CREATE TABLE IF NOT EXISTS years (year int UNIQUE, note text)")
    project.empty("years")
    long = [{"region": "r" * 2000 + str(n), "code": None, "height_m": n} for n in range(3)]
    with project.client() as target:
        for table, rows, key in (
            ("stations", long, KEY),
            ("years", [{"year": 2020, "note": "a"}, {"year": 2021, "note": "b"}], ("year",)),
        ):
            assert target.upsert(table, rows, key).inserted == len(rows)
            assert target.upsert(table, rows, key) == Written(unchanged=len(rows))


def test_10_2_ddl_and_free_sql_are_given_back_to_paste(project: Project) -> None:
    with project.client() as target:
        for ask_for in (target.apply_sql, target.query_readonly):
            with pytest.raises(TargetError, match="SELECT 42") as caught:
                ask_for("SELECT 42")
            assert caught.value.code == "sql-by-hand"
        assert target.natural_key("stations") is None


@pytest.mark.parametrize("key", ["no.such.key", "nonsense"])
def test_a_key_that_is_not_the_projects_is_refused_and_never_shown(
    project: Project, key: str
) -> None:
    target = SupabaseTarget(project.url, key)
    with pytest.raises(TargetError, match="refuses the key") as caught:
        target.count("stations")
    target.close()
    assert caught.value.code == "forbidden"
    assert key not in str(caught.value)


def test_an_expired_key_says_so(project: Project) -> None:
    target = SupabaseTarget(project.url, project.api.token("service_role", seconds=-1))
    with pytest.raises(TargetError, match="JWT expired"):
        target.count("stations")
    target.close()


def test_a_project_that_is_not_there_is_named() -> None:
    target = SupabaseTarget("http://127.0.0.1:1", "a.b.c")
    with pytest.raises(TargetError, match=r"supabase: 127\.0\.0\.1:1 cannot be reached") as caught:
        target.count("stations")
    target.close()
    assert caught.value.code == "unreachable"


@pytest.fixture
def failing() -> Iterator[tuple[str, list[int]]]:
    """A gateway that answers with these statuses, one a request, then with an empty table."""
    statuses: list[int] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = statuses.pop(0) if statuses else 200
            body = b"[]" if status == 200 else b"<html>busy</html>"
            self.send_response(status)
            self.send_header("Content-Range", "*/0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", statuses
    server.shutdown()
    server.server_close()


def test_5_7_passing_faults_are_retried_and_others_are_not(failing: tuple[str, list[int]]) -> None:
    url, statuses = failing
    target = SupabaseTarget(url, "a.b.c")
    statuses += [503, 429, 502]
    assert target.count("stations") == 0
    assert statuses == []
    statuses += [500, 503]
    with pytest.raises(TargetError, match="500"):
        target.count("stations")
    assert statuses == [503]
    statuses[:] = [503] * 9
    with pytest.raises(TargetError, match="503"):
        target.count("stations")
    assert len(statuses) == 5
    target.close()


def test_the_stand_in_selects_filters_orders_and_counts(project: Project) -> None:
    status, rows, headers = ask(
        project,
        "stations?select=code,height_m&height_m=gte.20&order=height_m.desc&limit=1",
        Prefer="count=exact",
    )
    assert (status, rows) == (206, [{"code": "3", "height_m": 30}])
    assert headers["Content-Range"] == "0-0/2"


@pytest.mark.parametrize(
    ("condition", "codes"),
    [
        ("code=in.(1,%223%22)", ["1", "3"]),
        ("code=in.()", []),
        ("code=not.eq.1", ["2", "3"]),
        ("rain_mm=is.null&height_m=lt.20", ["1"]),
        ("code=like.*3", ["3"]),
        ("region=eq.x' OR true--", []),
    ],
)
def test_the_stand_in_knows_the_filters(project: Project, condition: str, codes: list[str]) -> None:
    path = f"stations?select=code&order=code&{condition}".replace(" ", "%20")
    assert ask(project, path)[1] == [{"code": code} for code in codes]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("lighthouses", 404, "PGRST205"),
        ("stations?depth=eq.1", 400, "42703"),
        ("stations?code=maybe.1", 400, "PGRST100"),
        ("stations?limit=-1", 400, "PGRST100"),
        ("stations?select=code::text", 400, "PGRST100"),
        ("stations?height_m=eq.high", 400, "22P02"),
        ("stations?code=eq.%00", 400, "22021"),
    ],
)
def test_errors_have_postgrests_shape(project: Project, path: str, status: int, code: str) -> None:
    got, body, _ = ask(project, path)
    assert (got, body["code"]) == (status, code)
    assert body.keys() == {"code", "details", "hint", "message"}


@pytest.mark.parametrize(("codes", "status"), [("eq.1", 200), ("eq.9", 406), ("gt.0", 406)])
def test_a_single_row_is_one_object_or_an_error(project: Project, codes: str, status: int) -> None:
    accept = {"Accept": "application/vnd.pgrst.object+json"}
    got, body, _ = ask(project, f"stations?select=height_m&code={codes}", **accept)
    assert got == status
    assert body == {"height_m": 10} if status == 200 else body["code"] == "PGRST116"


def test_writes_answer_as_postgrest_does(project: Project) -> None:
    new = {"region": "south", "code": "9"}
    assert ask(project, "stations", method="POST", body=new)[0] == 201
    status, body, _ = ask(project, "stations", method="POST", body=new)
    assert (status, body["code"]) == (409, "23505")
    status, rows, _ = ask(
        project,
        "stations?on_conflict=region,code",
        method="POST",
        body=[{**new, "height_m": 5}],
        Prefer="resolution=merge-duplicates,return=representation",
    )
    assert (status, rows[0]["height_m"]) == (201, 5)
    ignore = {"Prefer": "resolution=ignore-duplicates"}
    again = {**new, "height_m": 6}
    path = "stations?on_conflict=region,code"
    assert ask(project, path, method="POST", body=again, **ignore)[0] == 201
    assert ask(project, "stations?code=eq.9")[1][0]["height_m"] == 5
    assert ask(project, "stations?code=eq.9", method="PATCH", body={"height_m": 7})[0] == 204
    assert ask(project, "stations?code=eq.9")[1][0]["height_m"] == 7
    assert ask(project, "stations?code=eq.9", method="DELETE")[0] == 204
    assert ask(project, "stations?code=eq.9")[1] == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([{"region": "a"}, {"code": "b"}], "PGRST102"),
        ({"depth": 1}, "PGRST204"),
        (["text"], "PGRST102"),
        ({"region": None}, "23502"),
    ],
)
def test_a_body_that_fits_no_table_is_refused(project: Project, body: Any, code: str) -> None:
    status, answer, _ = ask(project, "stations", method="POST", body=body)
    assert (status, answer["code"]) == (400, code)


@pytest.mark.parametrize(
    ("role", "method", "status"),
    [
        ("anon", "POST", 401),
        ("authenticated", "POST", 403),
        ("service_role", "POST", 201),
        ("anon", "DELETE", 204),
        ("authenticated", "DELETE", 204),
    ],
)
def test_writes_pass_or_fail_by_the_role(
    project: Project, role: str, method: str, status: int
) -> None:
    body = {"region": "west", "code": "1"} if method == "POST" else None
    path = "stations" if method == "POST" else "stations?region=eq.north"
    assert ask(project, path, role, method, body)[0] == status
    # row level security hides the rows from a DELETE, which then succeeds on none
    assert len(ask(project, "stations?region=eq.north")[1]) == 3


def test_a_get_cannot_write(project: Project) -> None:
    project.database.apply_sql(
        "CREATE SEQUENCE IF NOT EXISTS sly_seq;"
        "CREATE OR REPLACE VIEW sly AS SELECT nextval('sly_seq') AS n"
    )
    status, body, _ = ask(project, "sly")
    assert body["code"] == "25006"
    assert status >= 400


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "No API key found in request"),
        ({"apikey": "x.y.z"}, "cannot be decoded"),
        ({"apikey": jwt.encode({"role": "service_role"}, "x" * 32)}, "wrong key"),
        ({"apikey": jwt.encode({"role": "service_role"}, "", algorithm="none")}, "wrong key"),
        ({"apikey": jwt.encode({"role": "postgres"}, SECRET)}, "does not exist"),
        ({"apikey": jwt.encode({"role": "anon", "exp": "soon"}, SECRET)}, "expired"),
    ],
)
def test_a_token_that_is_not_ours_is_refused(
    project: Project, headers: dict[str, str], message: str
) -> None:
    status, body, _ = ask(project, "stations", None, **headers)
    assert status == 401
    assert message in body["message"]


def test_tokens_are_those_of_other_libraries(project: Project) -> None:
    ours = project.api.token("authenticated", sub="42")
    assert jwt.decode(ours, SECRET, algorithms=["HS256"])["sub"] == "42"
    theirs = jwt.encode({"role": "anon", "n": "ü"}, SECRET)
    assert verify_token(SECRET, theirs) == {"role": "anon", "n": "ü"}
    with pytest.raises(RestError):
        verify_token("another secret", theirs)


def test_the_claims_of_the_request_reach_the_policies(project: Project) -> None:
    project.database.apply_sql("CREATE OR REPLACE VIEW me AS SELECT auth.uid() AS id, auth.role()")
    me = "00000000-0000-0000-0000-00000000002a"
    token = project.api.token("authenticated", sub=me)
    answer = ask(project, "me", Authorization=f"Bearer {token}")
    assert answer[1] == [{"id": me, "role": "authenticated"}]


def test_requests_share_a_connection_that_errors_and_its_end_do_no_harm(project: Project) -> None:
    project.database.apply_sql("CREATE OR REPLACE VIEW session AS SELECT pg_backend_pid() AS id")

    def session() -> int:
        (row,) = ask(project, "session")[1]
        return int(row["id"])

    own = session()
    assert ask(project, "no_such_table")[0] == 404
    assert session() == own
    # after reading it writes again
    assert ask(project, "stations", method="POST", body={"region": "kept"})[0] == 201
    project.empty("stations")
    project.database.apply_sql(f"SELECT pg_terminate_backend({own})")
    assert session() != own


def test_a_port_in_use_is_named_and_stopping_twice_is_nothing(project: Project) -> None:
    port = int(project.url.rsplit(":", 1)[1])
    with pytest.raises(BackendError, match=f"port {port} .* cannot be used"):
        RestStandIn(project.database.uri(), SECRET, port).start()
    other = RestStandIn(project.database.uri(), SECRET)
    other.start()
    other.stop()
    other.stop()


def test_without_a_database_the_stand_in_answers_503(project: Project) -> None:
    with RestStandIn("postgresql://x@127.0.0.1:1/x", SECRET) as api:
        alone = Project(project.database, api, api.start())
        status, body, _ = ask(alone, "stations")
    assert (status, body["code"]) == (503, "PGRST000")
