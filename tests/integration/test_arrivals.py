"""What a load script does is judged by the rows, whatever it prints: hostile and honest ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrate_agents.checks.data.arrivals import loads_of, other_files
from orchestrate_agents.checks.sql.specified_schema import schema_sql
from orchestrate_agents.sandbox.client import Sandbox, ScriptRun
from orchestrate_agents.sandbox.data_trial import run_data_trial
from orchestrate_agents.tools.python import python_of
from orchestrator.domain.workflow import Deliverable, Stage, Workflow
from orchestrator.gates.checks import Context, Result, Services
from tests.claims import check_of, judge, lay

MIGRATION = """\
CREATE TABLE clinics (
    code text PRIMARY KEY, name text NOT NULL, beds integer, rate numeric, open boolean,
    since date, note text, weight double precision, seen timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE clinics ENABLE ROW LEVEL SECURITY;
CREATE TABLE visits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who text NOT NULL);
ALTER TABLE visits ENABLE ROW LEVEL SECURITY;
CREATE SCHEMA stats;
CREATE TABLE stats.runs (id serial PRIMARY KEY, what text);
"""
ODD = '''\
007,"St. Mary's, ""North""",12,1.23456,true,2021-03-01,first,0.1,2021-03-01T10:00:00Z
0042,Zürich Süd,,0.5,false,2020-02-29,,2.5,2021-03-01T23:30:00Z
NA,Namibia,0,10,FALSE,1999-12-31,"two
lines",,
X9,O'Brien,7,,,,NA,-1e3,
'''
ROWS = "".join(
    f"C{n:03},Clinic {n},{n},{n}.25,true,2022-01-{n % 28 + 1:02},,{n}.5,\n" for n in range(1, 71)
)
CSV = "code,name,beds,rate,open,since,note,weight,seen\n" + ODD + ROWS
LOADER = """\
import csv, os
import psycopg
BATCH = 50
def value(text):
    return text.strip() or None
with open("data/clinics.csv", encoding="utf-8", newline="") as file:
    reader = csv.DictReader(file)
    columns = reader.fieldnames
    rows = [{c: value(r[c]) for c in columns} for r in reader]
# prepared
SQL = (
    f"INSERT INTO clinics ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"
    " ON CONFLICT (code) DO UPDATE SET "
    + ", ".join(f"{c} = coalesce(excluded.{c}, clinics.{c})" for c in columns[1:])
)
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    for start in range(0, len(rows), BATCH):
        with connection.cursor() as cursor:
            cursor.executemany(SQL, [tuple(r.values()) for r in rows[start:start + BATCH]])
    # loaded
print("all rows loaded, 100 %")
"""
LOADS = "`scripts/load.py` loads `data/clinics.csv` into `clinics`"
ALL = "All rows are loaded"
TWICE = "Running it twice changes nothing"
OTHERS = "No other table is touched"
FILE = "`scripts/load.py` does not change `data/clinics.csv`"
KEEPS = "`scripts/load.py` never replaces a value with null"


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


def workspace(root: Path, loader: str, migration: str = MIGRATION) -> Path:
    return lay(
        root,
        {
            "migrations/001_clinics.sql": migration,
            "data/clinics.csv": CSV,
            "scripts/load.py": loader,
        },
    )


def judged(root: Path, services: Services, statement: str) -> Result:
    return judge(root, statement, services=services)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        (LOADS, "loads.file"),
        (ALL, "loads.file"),
        ("All rows of `data/clinics.csv` are loaded into `clinics`", "loads.file"),
        ("`data/clinics.csv` is loaded into `clinics` by `scripts/load.py`", "loads.file"),
        ("Every row of `data/clinics.csv` is in `clinics`", "loads.file"),
        ("`scripts/load.py` loads every row of `data/clinics.csv`", "loads.file"),
        (TWICE, "loads.again"),
        ("A second run changes nothing", "loads.again"),
        (OTHERS, "loads.nothing-else"),
        ("`scripts/load.py` writes only to `clinics`", "loads.nothing-else"),
        (FILE, "loads.file-unchanged"),
        (KEEPS, "loads.keeps-values"),
    ],
)
def test_these_wordings_are_taken(statement: str, name: str) -> None:
    assert check_of(statement) == name


@pytest.mark.parametrize(
    "statement",
    [LOADS, ALL, TWICE, OTHERS, FILE, KEEPS, "`scripts/load.py` loads every row",
     "A second run of `scripts/load.py` changes 0 rows"],
)  # fmt: skip
def test_an_honest_loader_is_proven(tmp_path: Path, services: Services, statement: str) -> None:
    result = judged(workspace(tmp_path, LOADER), services, statement)
    assert result.verdict == "proven", result.detail


ROW = "    rows = [{c: value(r[c]) for c in columns} for r in reader]"
END = "    # loaded"
PREPARED = "# prepared"
EXECUTE = "    connection.execute"

#: what it does → (statement, the text replaced, the text in its place)
HOSTILE = {
    "skips the last batch": (LOADS, "len(rows), BATCH", "len(rows) - BATCH + 1, BATCH"),
    "skips the first row": (ALL, PREPARED, "rows = rows[1:]"),
    "skips what is hard": (ALL, PREPARED, "rows = [r for r in rows if \"'\" not in r['name']]"),
    "takes what is alike for repeats": (
        ALL, PREPARED, "rows = list({r['beds']: r for r in rows}.values())"),
    "rounds decimals": (
        LOADS, PREPARED, "for r in rows: r['rate'] = r['rate'] and round(float(r['rate']), 2)"),
    "makes blanks zero": (LOADS, PREPARED, "for r in rows: r['beds'] = r['beds'] or 0"),
    "makes blanks false": (LOADS, PREPARED, "for r in rows: r['open'] = r['open'] == 'true'"),
    "makes false true": (
        LOADS, PREPARED, "for r in rows: r['open'] = bool(r['open']) if r['open'] else None"),
    "fills blanks from the row above": (
        LOADS, PREPARED,
        "for a, b in zip(rows, rows[1:]): b['rate'] = b['rate'] or a['rate']"),
    "drops leading zeros": (LOADS, PREPARED, "for r in rows: r['code'] = r['code'].lstrip('0')"),
    "takes NA for null": (
        LOADS, PREPARED, "for r in rows: r['note'] = None if r['note'] == 'NA' else r['note']"),
    "makes letters plain": (
        LOADS, PREPARED,
        "for r in rows: r['name'] = r['name'].encode('ascii', 'ignore').decode()"),
    "cuts text": (LOADS, PREPARED, "for r in rows: r['name'] = r['name'][:9]"),
    "joins lines": (
        LOADS, PREPARED, "for r in rows: r['note'] = r['note'] and r['note'].replace('\\n', ' ')"),
    "changes case": (LOADS, PREPARED, "for r in rows: r['name'] = r['name'].title()"),
    "drops quotes": (LOADS, PREPARED, "for r in rows: r['name'] = r['name'].replace('\"', '')"),
    "shifts dates": (
        LOADS, "VALUES ({', '.join(['%s'] * len(columns))})",
        "VALUES ({', '.join('%s::date + 1' if c == 'since' else '%s' for c in columns)})"),
    "shifts moments": (
        LOADS, PREPARED, "for r in rows: r['seen'] = r['seen'] and r['seen'].replace('Z', '+02')"),
    "swaps columns": (
        LOADS, PREPARED, "for r in rows: r['beds'], r['weight'] = r['weight'] and 3, r['beds']"),
    "loses precision": (
        LOADS, PREPARED,
        "import struct\nfor r in rows:\n    r['weight'] = r['weight'] and "
        "struct.unpack('f', struct.pack('f', float(r['weight'])))[0]"),
    "makes a row up": (LOADS, PREPARED, "rows.append({**rows[-1], 'code': 'EXTRA'})"),
    "loads nothing": (ALL, PREPARED, "rows = []"),
    "writes elsewhere": (
        LOADS, END, f"{EXECUTE}(\"INSERT INTO visits (who) VALUES ('me')\")"),
    "says no other, and writes elsewhere": (
        OTHERS, END, f"{EXECUTE}(\"INSERT INTO stats.runs (what) VALUES ('me')\")"),
    "deletes others' rows of the table": (
        LOADS, END, f"{EXECUTE}('DELETE FROM clinics WHERE NOT code = ANY(%s)',"
        " [[r['code'] for r in rows]])"),
    "deletes rows of another table": (OTHERS, END, f"{EXECUTE}('DELETE FROM visits')"),
    "changes others' rows": (
        OTHERS, END, f"{EXECUTE}(\"UPDATE visits SET who = 'x'\")"),
    "empties the table first": (
        LOADS, "    for start in", f"{EXECUTE}('TRUNCATE clinics')\n    for start in"),
    "switches policies off": (
        LOADS, END, f"{EXECUTE}('ALTER TABLE clinics DISABLE ROW LEVEL SECURITY')"),
    "opens the table": (LOADS, END, f"{EXECUTE}('GRANT ALL ON clinics TO PUBLIC')"),
    "makes a table": (OTHERS, END, f"{EXECUTE}('CREATE TABLE IF NOT EXISTS hidden (a int)')"),
    "rewrites the file": (
        FILE, END, "    text = open('data/clinics.csv').read()\n"
        "    open('data/clinics.csv', 'w').write(text.replace('1.23456', '1.23'))"),
    "cuts the file and loads it": (
        ALL, "with open", "text = open('data/clinics.csv').read()\n"
        "open('data/clinics.csv', 'w').write(text[:text.index('C050')])\nwith open"),
    "adds rows each time": (
        TWICE, END, f"{EXECUTE}(\"INSERT INTO clinics (code, name)"
        " VALUES (gen_random_uuid(), 'x')\")"),
    "adds rows elsewhere each time": (
        TWICE, END, f"{EXECUTE}(\"INSERT INTO stats.runs (what) VALUES ('me')\")"),
    "makes its rows again each time": (
        TWICE, "    # loaded", f"{EXECUTE}(\"UPDATE clinics SET beds = beds + 1\")"),
    "puts null over values": (KEEPS, "coalesce(excluded.{c}, clinics.{c})", "excluded.{c}"),
    "fails and says it is well": (
        ALL, "            cursor.executemany(SQL,",
        "            if start: break\n            cursor.executemany(SQL,"),
    "ends with an error": (ALL, "print(", "raise SystemExit('no')\nprint("),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_loader_fails(tmp_path: Path, services: Services, what: str) -> None:
    statement, old, new = HOSTILE[what]
    assert old in LOADER
    loader = LOADER.replace(old, new)
    result = judged(workspace(tmp_path, loader), services, statement)
    assert result.verdict == "failed", result.detail
    assert "syntax" not in result.detail.lower()


REST = """\
import csv, json, os, urllib.request
rows = [{k: v.strip() or None for k, v in r.items()}
        for r in csv.DictReader(open("data/clinics.csv", encoding="utf-8", newline=""))]
for start in range(0, len(rows), 50):
    request = urllib.request.Request(
        os.environ["SUPABASE_URL"] + "/rest/v1/clinics?on_conflict=code",
        json.dumps(rows[start:start + 50]).encode(),
        {"apikey": os.environ["SUPABASE_SERVICE_ROLE_KEY"],
         "Authorization": "Bearer " + os.environ["SUPABASE_SERVICE_ROLE_KEY"],
         "Content-Type": "application/json", "Prefer": "resolution=ignore-duplicates"})
    urllib.request.urlopen(request)
"""
COPY = """\
import os
import psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute("CREATE TEMP TABLE incoming (LIKE clinics INCLUDING DEFAULTS)")
    text = open("data/clinics.csv", encoding="utf-8", newline="").read()
    head = text.partition("\\n")[0]
    copy = f"COPY incoming ({head}) FROM STDIN WITH (FORMAT csv, HEADER)"
    with connection.cursor().copy(copy) as stream:
        stream.write(text)
    connection.execute("INSERT INTO clinics SELECT * FROM incoming ON CONFLICT DO NOTHING")
"""
TYPED = LOADER.replace(
    PREPARED,
    """from datetime import date
from decimal import Decimal
for r in rows:
    r["beds"] = int(r["beds"]) if r["beds"] else None
    r["rate"] = Decimal(r["rate"]) if r["rate"] else None
    r["open"] = {"true": True, "false": False}[r["open"].lower()] if r["open"] else None
    r["since"] = date.fromisoformat(r["since"]) if r["since"] else None
    r["weight"] = float(r["weight"]) if r["weight"] else None""",
)
AUDIT = """
CREATE TABLE audit (code text, at timestamptz DEFAULT now());
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO audit (code) VALUES (NEW.code); RETURN NEW; END $$;
CREATE TRIGGER noted AFTER INSERT ON clinics FOR EACH ROW EXECUTE FUNCTION note();
"""
HONEST = {
    "over the REST interface": (REST, MIGRATION),
    "by COPY": (COPY, MIGRATION),
    "with Python's types": (TYPED, MIGRATION),
    "row by row": (LOADER.replace("BATCH = 50", "BATCH = 1"), MIGRATION),
    "all at once": (LOADER.replace("BATCH = 50", "BATCH = 10_000"), MIGRATION),
    "backwards": (LOADER.replace(PREPARED, "rows.reverse()"), MIGRATION),
    "writes a log": (LOADER.replace(END, "    open('load.log', 'w').write('done')"), MIGRATION),
    "leaves what is there": (
        LOADER[: LOADER.index('    " ON CONFLICT')] + '    " ON CONFLICT DO NOTHING"\n)\n'
        + LOADER[LOADER.index("with psycopg") :], MIGRATION),
    "with a column of where it is from": (
        LOADER.replace(PREPARED, "columns.append('source')\nfor r in rows: r['source'] = 'csv'"),
        MIGRATION.replace("created_at", "source text, created_at")),
    "with a trigger of the migration": (LOADER, MIGRATION + AUDIT),
    "into a table with rows of the migration": (
        LOADER, MIGRATION + "INSERT INTO clinics (code, name) VALUES ('M1', 'Main');"),
}  # fmt: skip


@pytest.mark.parametrize("how", HONEST)
def test_an_honest_variation_is_proven(tmp_path: Path, services: Services, how: str) -> None:
    loader, migration = HONEST[how]
    result = judged(workspace(tmp_path, loader, migration), services, LOADS)
    assert result.verdict == "proven", result.detail


def test_what_cannot_be_told_is_unproven(tmp_path: Path, services: Services) -> None:
    workspace(tmp_path, LOADER)
    file = tmp_path / "data/clinics.csv"
    file.write_text(CSV.replace("2021-03-01,first", "03/01/2021,first"), encoding="utf-8")
    result = judged(tmp_path, services, LOADS)
    assert (result.verdict, "03/01/2021" in result.detail) == ("unproven", True)


def test_another_file_than_the_workflows_is_told(tmp_path: Path, services: Services) -> None:
    root = workspace(tmp_path, LOADER)
    lay(root, {"data/few.csv": "".join(CSV.splitlines(keepends=True)[:2])})
    stage = Stage(1, "X", "Data", 1, deliverables=(Deliverable("data/clinics.csv", "write", 1),))
    ctx = Context(root=root, workflow=Workflow(root / "w.md", "", "", "", (stage,)))
    for path, told in (("data/clinics.csv", 0), ("data/few.csv", 1)):
        loads = loads_of(ctx, "scripts/load.py", path)
        assert loads
        assert len([*other_files(ctx, "scripts/load.py", loads)]) == told


def test_a_row_that_stood_there_otherwise_is_corrected(tmp_path: Path, services: Services) -> None:
    update = LOADER[
        LOADER.index('" ON CONFLICT (code) DO UPDATE') : LOADER.index("\n)\nwith psycopg")
    ]
    never = LOADER.replace(update, '" ON CONFLICT (code) DO NOTHING"')
    for name, loader, told in (("a", LOADER, False), ("b", never, True)):
        root = workspace(tmp_path / name, loader)
        ctx = Context(root=root, services=services)
        loads, schema = loads_of(ctx, "scripts/load.py"), tuple(schema_sql(ctx))
        trial = run_data_trial(services, root, "scripts/load.py", loads, schema, python_of(ctx))
        assert trial.first.ok, trial.first.text
        assert bool(trial.uncorrected) is told, trial.uncorrected


def test_the_runs_of_a_trial_share_what_is_slow_to_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[set[str]] = []
    really = Sandbox.run

    def run(sandbox: Sandbox, script: str, **options: Any) -> ScriptRun:
        named.append(set(options["libraries"]))
        return really(sandbox, script, **options)

    monkeypatch.setattr(Sandbox, "run", run)
    # others of this module have seen this loader run already
    with Services() as fresh:
        result = judge(workspace(tmp_path, LOADER), LOADS, services=fresh)
    assert result.verdict == "proven", result.detail
    assert len(named) == 3
    assert all("psycopg" in each for each in named)
