"""The front end's hook with the real `@supabase/supabase-js`, under row level security."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.postgrest import BENCHMARKS, Project, running_project

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")

#: runs one function of the hook and prints what it gave or threw
DRIVER = """
const [name, ...values] = JSON.parse(process.argv[2]);
const hook = await import('./out/lib/benchmarks.js');
try {
  console.log(JSON.stringify({ value: await hook[name](...values) }));
} catch (error) {
  console.log(JSON.stringify({ error: error.message, isError: error instanceof Error }));
}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with running_project(tmp_path_factory.mktemp("project"), BENCHMARKS) as project:
        cohort = {"source_citation": "Doe 2020", "modality": "psilocybin", "condition": "MDD"}
        cohort["instrument"] = "MADRS"
        rows: list[dict[str, Any]] = [
            {**cohort, "cohort_name": "small", "n_participants": 24, "response_rate_pct": 70.8},
            {**cohort, "cohort_name": "large", "n_participants": 233, "endpoint_mean": 19.9},
            {**cohort, "cohort_name": "other", "n_participants": 900, "instrument": "QIDS"},
        ]
        project.database.upsert(
            "benchmark_cohorts", rows, ("cohort_name", "source_citation", "instrument")
        )
        trials = [("NCT1", "psilocybin"), ("NCT2", "psilocybin"), ("NCT3", "mdma")]
        project.database.upsert(
            "benchmark_trials",
            [{"nct_id": nct, "title": "A trial", "modality": m} for nct, m in trials],
            ("nct_id",),
        )
        yield project


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The front end's files with its packages installed from the lock file."""
    folder = tmp_path_factory.mktemp("front")
    for name in ("package.json", "package-lock.json", "tsconfig.json"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src")
    installed = Path(os.environ.get("ORCHESTRATE_NODE_MODULES") or ROOT / "node_modules")
    if installed.is_dir():
        (folder / "node_modules").symlink_to(installed)
        return folder
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150)
    if done.returncode:
        pytest.skip(f"npm cannot install the packages: {done.stderr.strip()[-200:]}")
    return folder


def tsc(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(workspace / "node_modules" / ".bin" / "tsc"), *arguments]
    return subprocess.run(command, cwd=workspace, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def compiled(workspace: Path) -> Path:
    done = tsc(workspace, "--noEmit", "false", "--rootDir", "src", "--outDir", "out")
    assert done.returncode == 0, done.stdout
    hook = workspace / "out" / "lib" / "benchmarks.js"
    # bundlers find "./supabaseClient"; Node by itself wants the extension
    hook.write_text(re.sub(r"(\./supabaseClient)(?=['\"])", r"\1.js", hook.read_text()))
    (workspace / "driver.mjs").write_text(DRIVER, encoding="utf-8")
    return workspace


Call = Callable[..., Any]


@pytest.fixture
def call(compiled: Path, project: Project) -> Call:
    """Calls a function of the hook with a role's key: its value, or what it threw."""

    def call(
        role: str | None, *name_and_values: object, switches: tuple[str, ...] = (), **env: str
    ) -> Any:
        if role is not None:
            env = {"SUPABASE_URL": project.url, "SUPABASE_ANON_KEY": project.api.token(role), **env}
        done = subprocess.run(
            [str(NODE), *switches, "driver.mjs", json.dumps(name_and_values)],
            cwd=compiled,
            env={"PATH": os.environ["PATH"], **env},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return call


WHICH = ("psilocybin", "MDD", "MADRS")


def test_the_hook_compiles_in_strict_mode(workspace: Path) -> None:
    done = tsc(workspace, "--noEmit")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_wrong_use_of_the_types_does_not_compile(workspace: Path) -> None:
    wrong = workspace / "src" / "wrong.ts"
    wrong.write_text(
        "import { getPrimaryBenchmark } from './lib/benchmarks';\n"
        "export const n: number = (await getPrimaryBenchmark('a', 'b', 'c')).baseline_mean;\n",
        encoding="utf-8",
    )
    done = tsc(workspace, "--noEmit")
    wrong.unlink()
    assert "possibly 'null'" in done.stdout
    assert "not assignable to type 'number'" in done.stdout


def test_the_interface_has_the_columns_of_the_table(project: Project) -> None:
    source = (ROOT / "src" / "lib" / "benchmarks.ts").read_text(encoding="utf-8")
    [body] = re.findall(r"interface BenchmarkCohort \{(.*?)\n\}", source, re.S)
    fields = dict(re.findall(r"^\s*(\w+): (.+);$", body, re.M))
    types = {"integer": "number", "numeric": "number", "boolean": "boolean"}
    expected = {
        column.name: types.get(column.type, "string") + (" | null" if column.nullable else "")
        for column in project.database.columns("benchmark_cohorts")
    }
    assert fields == expected


def test_signed_in_users_get_cohorts_largest_first(call: Call) -> None:
    rows = call("authenticated", "getBenchmarkCohorts", *WHICH)["value"]
    assert [(row["cohort_name"], row["n_participants"]) for row in rows] == [
        ("large", 233),
        ("small", 24),
    ]
    assert (rows[0]["endpoint_mean"], rows[0]["baseline_mean"]) == (19.9, None)


def test_the_primary_benchmark_is_the_largest(call: Call) -> None:
    assert call("authenticated", "getPrimaryBenchmark", *WHICH)["value"]["cohort_name"] == "large"


def test_trials_are_counted_by_modality_or_all(call: Call) -> None:
    assert call("authenticated", "getBenchmarkTrialCount", "psilocybin") == {"value": 2}
    assert call("service_role", "getBenchmarkTrialCount") == {"value": 3}


@pytest.mark.parametrize(
    ("status", "body", "listed", "counted"),
    [
        (200, "<html>log in</html>", "<html>log in</html>", "the answer has no count"),
        (200, "{}", "the answer is no list", "the answer has no count"),
        (503, "", "HTTP status 503", "HTTP status 503"),
    ],
)
def test_an_answer_of_something_else_is_no_empty_table(
    call: Call, status: int, body: str, listed: str, counted: str
) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode() if self.command == "GET" else b"")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        rows = call("authenticated", "getBenchmarkCohorts", *WHICH, SUPABASE_URL=url)
        number = call("authenticated", "getBenchmarkTrialCount", SUPABASE_URL=url)
        server.shutdown()
    assert rows["error"] == f"Could not load benchmark cohorts: {listed}"
    assert number["error"] == f"Could not load benchmark trials: {counted}"


def test_nothing_found_is_empty_null_and_zero(call: Call) -> None:
    assert call("authenticated", "getBenchmarkCohorts", "lsd", "MDD", "MADRS") == {"value": []}
    assert call("authenticated", "getPrimaryBenchmark", "lsd", "MDD", "MADRS") == {"value": None}
    assert call("authenticated", "getBenchmarkTrialCount", "lsd") == {"value": 0}


@pytest.mark.parametrize(
    ("name", "arguments", "what"),
    [
        ("getBenchmarkCohorts", WHICH, "cohorts"),
        ("getPrimaryBenchmark", WHICH, "cohorts"),
        ("getBenchmarkTrialCount", (), "trials"),
    ],
)
def test_visitors_who_are_signed_out_are_told_so(
    call: Call, name: str, arguments: tuple[str, ...], what: str
) -> None:
    said = "not signed in, and only signed-in users may see the rows"
    thrown = call("anon", name, *arguments)
    assert thrown == {"error": f"Could not load benchmark {what}: {said}", "isError": True}


def test_visitors_who_may_see_rows_get_them(call: Call, project: Project) -> None:
    policy = "CREATE POLICY open ON benchmark_cohorts FOR SELECT TO anon USING (true)"
    project.database.apply_sql(f"{policy}; GRANT SELECT ON benchmark_cohorts TO anon")
    try:
        rows = call("anon", "getBenchmarkCohorts", *WHICH)["value"]
    finally:
        project.database.apply_sql("DROP POLICY open ON benchmark_cohorts")
    assert len(rows) == 2


# Node 20 has a WebSocket behind this switch only, 22 by itself
@pytest.mark.parametrize("switches", [(), ("--experimental-websocket",)], ids=["20", "22"])
def test_the_hook_works_with_and_without_a_websocket(call: Call, switches: tuple[str, ...]) -> None:
    counted = call("authenticated", "getBenchmarkTrialCount", switches=switches)
    assert counted == {"value": 3}


@pytest.mark.parametrize("name", ["getBenchmarkCohorts", "getPrimaryBenchmark"])
def test_an_error_is_thrown_with_its_reason(call: Call, name: str) -> None:
    thrown = call("anon", name, *WHICH, SUPABASE_ANON_KEY="no.such.key")
    assert thrown["isError"]
    assert re.match("Could not load benchmark cohorts: .*JWT", thrown["error"])


def test_a_count_that_fails_is_no_zero(call: Call, project: Project) -> None:
    project.database.apply_sql("ALTER TABLE benchmark_trials RENAME TO hidden_trials")
    try:
        thrown = call("authenticated", "getBenchmarkTrialCount")
    finally:
        project.database.apply_sql("ALTER TABLE hidden_trials RENAME TO benchmark_trials")
    assert thrown == {
        "error": "Could not load benchmark trials: the table was not found",
        "isError": True,
    }


def test_without_configuration_the_first_use_says_what_to_set(call: Call) -> None:
    thrown = call(None, "getBenchmarkTrialCount", SUPABASE_URL="http://127.0.0.1:1")
    assert thrown["isError"]
    assert thrown["error"].startswith("Supabase is not configured: set SUPABASE_ANON_KEY (")
