"""Checks of Python programs prove behaviour, and catch each defect here (DESIGN 6.6)."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrate_agents.checks.python.exception_handlers import Handling, find_outside_calls
from orchestrate_agents.checks.python.steadiness import tells_itself_apart
from orchestrate_agents.sandbox.client import Sandbox, ScriptRun
from orchestrate_agents.sandbox.runs import RunError, run, tree_copy
from orchestrator.gates.checks import Context, Services
from orchestrator.gates.proof_cache import ProofCache
from tests.builds import judge

LOADER = '''\
"""Trials."""
import os
import sys
import time

import requests
from supabase import create_client

TERMS = ["digoxin", "atorvastatin"]


def fetch(term, token):
    given = {"query.intr": term}
    if token:
        given["pageToken"] = token
    try:
        answer = requests.get(
            "https://clinicaltrials.gov/api/v2/studies", params=given, timeout=10
        )
        answer.raise_for_status()
        return answer.json()
    except requests.RequestException as exc:
        print(f"no studies: {exc}", file=sys.stderr)
        raise SystemExit(1) from exc


def rows():
    found = {}
    for term in TERMS:
        token = None
        while True:
            page = fetch(term, token)
            for study in page["studies"]:
                names = study["protocolSection"]["identificationModule"]
                found.setdefault(
                    names["nctId"],
                    {
                        "registry_id": names["nctId"],
                        "study_title": names["briefTitle"],
                        "drug": term,
                    },
                )
            token = page.get("nextPageToken")
            time.sleep(1)
            if not token:
                break
    return list(found.values())


def main():
    client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_SERVICE_ROLE_KEY"])
    unique = rows()
    for start in range(0, len(unique), 25):
        try:
            part = unique[start : start + 25]
            client.table("heart_trials").upsert(part, on_conflict="registry_id").execute()
        except Exception as exc:
            print(f"not written: {exc}", file=sys.stderr)
            raise SystemExit(1) from exc
    print(f"{len(unique)} rows")


if __name__ == "__main__":
    main()
'''

CSV_LOADER = """\
import csv
import os
import sys
from pathlib import Path

from supabase import create_client

FILE = Path(__file__).resolve().parents[1] / "data" / "clinic_hours.csv"


def main():
    if not FILE.exists():
        print(f"warning: {FILE.name} is missing")
        return 0
    client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_SERVICE_ROLE_KEY"])
    with FILE.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    try:
        client.table("clinic_hours").upsert(rows, on_conflict="clinic,weekday").execute()
    except Exception as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


sys.exit(main())
"""
HOURS = "clinic,weekday,opens,closes\nNorth,Mon,08:00,16:00\nNorth,Tue,09:00,16:00\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "etl").mkdir()
    (tmp_path / "data").mkdir()
    put(tmp_path, "etl/load_heart_trials.py", LOADER)
    put(tmp_path, "etl/load_clinic_hours.py", CSV_LOADER)
    put(tmp_path, "data/clinic_hours.csv", HOURS)
    return tmp_path


def put(root: Path, path: str, text: str) -> None:
    (root / path).write_text(text, encoding="utf-8")


def verdict(root: Path, statement: str) -> str:
    (result,) = judge(root, statement)
    return str(result.verdict)


def detail(root: Path, statement: str) -> str:
    (result,) = judge(root, statement)
    return result.detail


# --- syntax and presence ------------------------------------------------------------------------


def test_syntax_is_compiled_not_looked_at(workspace: Path) -> None:
    claim = "`etl/load_heart_trials.py` has no Python syntax errors"
    assert verdict(workspace, claim) == "proven"
    put(workspace, "etl/load_heart_trials.py", "def broken(:\n    pass\n")
    assert verdict(workspace, claim) == "failed"
    assert ":1:" in detail(workspace, claim)
    put(workspace, "etl/load_heart_trials.py", "x = 1\n\0")
    assert verdict(workspace, claim) == "failed"


def test_the_number_of_programs_is_counted(workspace: Path) -> None:
    assert verdict(workspace, "Both Python load scripts exist") == "proven"
    assert "says 3" in detail(workspace, "All three Python scripts exist")
    (workspace / "etl/load_heart_trials.py").write_text(" \n", encoding="utf-8")
    assert "empty" in detail(workspace, "Both Python load scripts exist")
    (workspace / "etl/load_heart_trials.py").unlink()
    missing = detail(workspace, "Both Python load scripts exist")
    assert missing == "etl/load_heart_trials.py is missing"


# --- handled calls ------------------------------------------------------------------------------


def handling(tmp_path: Path, source: str) -> list[Handling]:
    put(tmp_path, "script.py", source)
    return [call.handling for call in find_outside_calls(Context(tmp_path), "script.py")]


GET = "requests.get('https://x.org')"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"{GET}\n", Handling.BARE),
        (f"try:\n    pass\nexcept Exception:\n    raise\n{GET}\n", Handling.BARE),
        (f"try:\n    {GET}\nexcept Exception:\n    pass\n", Handling.SWALLOWED),
        (f"for _ in '1':\n    try:\n        {GET}\n    except OSError:\n        continue\n",
         Handling.SWALLOWED),
        (f"try:\n    {GET}\nexcept KeyError:\n    raise\n", Handling.BARE),
        (f"try:\n    {GET}\nfinally:\n    print('over')\n", Handling.BARE),
        (f"try:\n    x = 1\nexcept Exception:\n    raise\nelse:\n    {GET}\n", Handling.BARE),
        (f"try:\n    x = 1\nexcept Exception:\n    {GET}\n", Handling.BARE),
        (f"class Own(Exception): ...\ntry:\n    {GET}\nexcept Own:\n    raise\n", Handling.BARE),
        (f"import contextlib\nwith contextlib.suppress(OSError):\n    {GET}\n", Handling.SWALLOWED),
        (f"try:\n    {GET}\nexcept requests.RequestException as e:\n    print(e)\n",
         Handling.HANDLED),
        (f"try:\n    {GET}\nexcept (OSError, ValueError):\n    raise SystemExit(1)\n",
         Handling.HANDLED),
        (f"def go():\n    {GET}\ntry:\n    go()\nexcept Exception as e:\n    print(e)\n",
         Handling.HANDLED),
        (f"def go():\n    {GET}\ntry:\n    go()\nexcept Exception as e:\n    print(e)\ngo()\n",
         Handling.BARE),
        (f"def go():\n    {GET}\ndef run(work):\n    try:\n        work()\n"
         "    except OSError as e:\n        print(e)\nrun(go)\n", Handling.HANDLED),
        (f"def run(work):\n    work()\nrun(lambda: {GET})\n", Handling.BARE),
    ],
)  # fmt: skip
def test_what_becomes_of_an_error(tmp_path: Path, body: str, expected: Handling) -> None:
    assert handling(tmp_path, f"import requests\n{body}") == [expected]


@pytest.mark.parametrize(
    "call",
    [
        "import httpx\nhttpx.post('u')",
        "from requests import get\nget('u')",
        "import requests as r\ns = r.Session()\ns.get('u')",
        "from urllib.request import urlopen\nurlopen('u')",
        "import psycopg\npsycopg.connect('u')",
        "from supabase import create_client\nc = create_client('u', 'k')\n"
        "c.table('t').insert({}).execute()",
        "def f(cur):\n    cur.execute('select 1')\nf(1)",
        "class A:\n    def __init__(self):\n        import requests\n"
        "        self.s = requests.Session()\n    def go(self):\n        self.s.put('u')\nA().go()",
    ],
)
def test_calls_that_leave_the_process_are_seen(tmp_path: Path, call: str) -> None:
    assert Handling.BARE in handling(tmp_path, call + "\n")


@pytest.mark.parametrize("call", ["{}.get('k')", "'a'.count('a')", "print('requests.get(1)')"])
def test_other_calls_are_not(tmp_path: Path, call: str) -> None:
    assert handling(tmp_path, f"import requests\n{call}\n") == []


def test_calls_in_imported_modules_of_the_workspace_count(tmp_path: Path) -> None:
    put(tmp_path, "helper.py", f"import requests\ndef go():\n    {GET}\n")
    assert handling(tmp_path, "from helper import go\ngo()\n") == [Handling.BARE]
    put(tmp_path, "helper.py", f"import requests\ndef never():\n    {GET}\ndef go(): ...\n")
    assert handling(tmp_path, "from helper import go\ngo()\n") == []


CALLS = "Python load script has try/catch around API calls"


def test_a_statement_about_calls_names_the_bad_ones(workspace: Path) -> None:
    assert verdict(workspace, CALLS) == "proven"
    silent = LOADER.replace('print(f"no studies: {exc}", file=sys.stderr)', "pass")
    silent = silent.replace("raise SystemExit(1) from exc", "return {}", 1)
    put(workspace, "etl/load_heart_trials.py", silent)
    assert "is swallowed" in detail(workspace, CALLS)
    bare = LOADER.replace("except requests.RequestException as exc", "except KeyError as exc")
    put(workspace, "etl/load_heart_trials.py", bare)
    assert "`requests.get(" in detail(workspace, CALLS)
    assert "is not handled" in detail(workspace, CALLS)


def test_a_comment_proves_nothing(workspace: Path) -> None:
    put(workspace, "etl/load_heart_trials.py", f"# try: except:\nimport requests\n{GET}\n")
    assert verdict(workspace, CALLS) == "failed"


# --- behaviour ----------------------------------------------------------------------------------

DEDUPE = "The load scripts deduplicate on `registry_id` before upsert"


def test_deduplication_is_seen_by_running(workspace: Path) -> None:
    assert "156 rows, each registry_id once" in detail(workspace, DEDUPE)
    doubled = LOADER.replace("return list(found.values())", "return list(found.values()) * 2")
    put(workspace, "etl/load_heart_trials.py", doubled)
    assert verdict(workspace, DEDUPE) == "failed"


def test_a_comment_about_deduplication_proves_nothing(workspace: Path) -> None:
    kept = LOADER.replace(
        'found.setdefault(\n                    names["nctId"],',
        "found.setdefault(  # deduplicate\n                    object(),",
    )
    assert kept != LOADER
    put(workspace, "etl/load_heart_trials.py", kept)
    assert verdict(workspace, DEDUPE) == "failed"


def test_batches_are_counted_by_running(workspace: Path) -> None:
    claim = "Python load scripts upsert in batches of 25 records"
    assert verdict(workspace, claim) == "proven"
    put(workspace, "etl/load_heart_trials.py", LOADER.replace("25", "60"))
    assert "wrote 60 rows at once" in detail(workspace, claim)


MISSING = "`etl/load_clinic_hours.py` handles missing CSV gracefully"


def test_a_script_is_run_without_its_csv_once_for_the_same_bytes(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    really = Sandbox.run

    def run_script(sandbox: Sandbox, script: str, **given: Any) -> ScriptRun:
        ran.append(script)
        return really(sandbox, script, **given)

    monkeypatch.setattr(Sandbox, "run", run_script)
    cache, script = tmp_path_factory.mktemp("cache"), workspace / "etl/load_clinic_hours.py"

    def look() -> str:
        return str(judge(workspace, MISSING, Services(ProofCache(cache)))[0].verdict)

    assert [look(), look()] == ["proven", "proven"]
    assert len(ran) == 1
    text = script.read_text(encoding="utf-8")
    script.write_text(f"{text}# and another line\n", encoding="utf-8")
    assert look() == "proven"
    assert len(ran) == 2


def test_a_missing_csv_is_a_warning(workspace: Path) -> None:
    assert verdict(workspace, MISSING) == "proven"
    assert (workspace / "data/clinic_hours.csv").exists(), "only the copy lacks it"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        return 0\n    client", "        return 3\n    client"),
        ('        print(f"warning: {FILE.name} is missing")\n', ""),
        ("if not FILE.exists():", "if False:"),
    ],
)
def test_a_missing_csv_that_is_not_handled(workspace: Path, old: str, new: str) -> None:
    assert old in CSV_LOADER
    put(workspace, "etl/load_clinic_hours.py", CSV_LOADER.replace(old, new, 1))
    assert verdict(workspace, MISSING) == "failed"


TWICE = "Python load scripts are idempotent"


def test_seeding_twice_is_compared_row_by_row(workspace: Path) -> None:
    assert "the same rows" in detail(workspace, TWICE)


@pytest.mark.parametrize(
    "change",
    [
        ('.upsert(part, on_conflict="registry_id")', ".insert(part)"),
        ('on_conflict="registry_id"', 'on_conflict="drug"'),
    ],
)
def test_seeding_that_doubles_or_has_no_key(workspace: Path, change: tuple[str, str]) -> None:
    put(workspace, "etl/load_heart_trials.py", LOADER.replace(*change))
    assert verdict(workspace, TWICE) == "failed"


def test_rows_that_are_deleted_and_inserted_again_are_others(workspace: Path) -> None:
    emptied = LOADER.replace(
        "    unique = rows()\n",
        "    unique = rows()\n"
        '    client.table("heart_trials").delete().neq("registry_id", "").execute()\n',
    )
    assert emptied != LOADER
    put(workspace, "etl/load_heart_trials.py", emptied)
    assert "a second run" in detail(workspace, TWICE)


@pytest.mark.parametrize(
    "ending", ["", '\n            if "check constraint" not in str(exc):\n                raise']
)
def test_a_script_that_succeeds_where_nothing_may_be_written_swallows(
    workspace: Path, ending: str
) -> None:
    """The handler speaks, and the exit code says that all is well."""
    blithe = LOADER.replace(
        'print(f"not written: {exc}", file=sys.stderr)\n            raise SystemExit(1) from exc',
        f'print(f"not written: {{exc}}", file=sys.stderr){ending}',
    )
    assert blithe != LOADER
    put(workspace, "etl/load_heart_trials.py", blithe)
    said = "ends with success though the database refuses every write"
    assert said in detail(workspace, "Python load script has try/catch around API calls")


def test_a_dateless_record_is_no_reason_to_fail(workspace: Path) -> None:
    """The simulated registry has records as awkward as real ones."""
    strict = LOADER.replace(
        '"drug": term,', '"drug": study["protocolSection"]["designModule"]["phases"][0],'
    )
    put(workspace, "etl/load_heart_trials.py", strict)
    assert "KeyError: 'phases'" in detail(workspace, TWICE)


# --- running ------------------------------------------------------------------------------------


def test_a_run_has_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("MY_TOKEN", "secret")
    put(tmp_path, "show.py", "import os\nprint(sorted(os.environ))\n")
    shown = run([sys.executable, "show.py"], cwd=tmp_path).out
    assert "DATABASE_URL" not in shown
    assert "MY_TOKEN" not in shown


def test_a_run_ends_with_all_its_children(tmp_path: Path) -> None:
    put(
        tmp_path,
        "parent.py",
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('pid', 'w').write(str(child.pid))\ntime.sleep(60)\n",
    )
    began = time.monotonic()
    ended = run([sys.executable, "parent.py"], cwd=tmp_path, limit=2)
    assert ended.code is None
    assert "limit" in ended.ending
    assert time.monotonic() - began < 20
    child = Path("/proc") / (tmp_path / "pid").read_text(encoding="utf-8")
    for _ in range(50):
        if not child.exists() or "Z" in (child / "stat").read_text(encoding="utf-8").split()[2]:
            return
        time.sleep(0.1)
    pytest.fail("the child lives on")


def test_a_copy_leaves_out_links_history_and_packages(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / ".git").mkdir(parents=True)
    (root / "node_modules").mkdir()
    put(root, "a.py", "A = 1\n")
    put(root, ".env", "KEY=1\n")
    (root / "out").symlink_to("/etc/hostname")
    with tree_copy(root) as copy:
        assert sorted(p.name for p in copy.iterdir()) == ["a.py"]


def test_a_huge_workspace_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrate_agents.sandbox.runs._MAX_TREE", 3)
    put(tmp_path, "a.py", "A = 1\n")
    with pytest.raises(RunError, match="too large"), tree_copy(tmp_path):
        pass


def test_output_that_is_no_utf8_is_kept(tmp_path: Path) -> None:
    ended = run(["printf", r"\377x"], cwd=tmp_path)
    assert ended.out.endswith("x")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import socket\nif socket.gethostname() != 'build': load()", "socket.gethostname"),
        ("from platform import node\nhost = node()\nwhile host == 'a': load()", "platform.node"),
        ("import getpass as g\nx = 1 if g.getuser() == 'root' else 2", "getpass.getuser"),
        ("import random\nrandom.random() < 0.1 and load()", "random.random"),
        ("import datetime\nif datetime.date.today() > datetime.date(2031, 1, 1): load()",
         "datetime.date.today"),
        ("from datetime import datetime\nnow = datetime.now()\nif now.hour == 3: load()",
         "datetime.datetime.now"),
        ("import time\nif time.time() > 1_900_000_000: load()", "time.time"),
        ("import time\nif time.strftime('%H') == '03': load()", "time.strftime"),
        ("import os\nif 'SANDBOX_ROUTES' not in os.environ: load()", "'SANDBOX_ROUTES'"),
        ("if '/orchestrate-run-' in __file__: load()", "'/orchestrate-run-'"),
        ("from pathlib import Path\nif Path('/.dockerenv').exists(): load()", "'/.dockerenv'"),
        ("import sys\nif 'runpy' in sys.modules: load()", "sys.modules"),
        # what honest programs ask
        ("import time\nstart = time.time()\nif time.time() - start > 30: load()", ""),
        ("import datetime\nif year > datetime.date.today().year: load()", ""),
        ("import os\nif os.environ.get('DATABASE_URL'): load()", ""),
        ("import time, random\ntime.sleep(1 + random.random())", ""),
        ("import uuid\nrow = {'id': str(uuid.uuid4())}\nif row: load()", ""),
        ("import sys\nif sys.platform == 'win32': load()", ""),
    ],
)  # fmt: skip
def test_a_program_that_tells_where_it_runs_is_doubted(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "load.py").write_text(text + "\n", encoding="utf-8")
    found = list(tells_itself_apart(Context(tmp_path), "load.py"))
    assert bool(found) == bool(told)
    assert all(told in line for line in found)
