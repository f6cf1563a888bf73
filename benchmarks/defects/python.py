"""Defects and harmless changes of the seed scripts: those delivered, and others by another hand."""

from __future__ import annotations

import re

from defects import Site, defect, harmless

TRIALS = "backend/scripts/seed_benchmark_trials.py"
COHORTS = "backend/scripts/seed_benchmark_cohorts.py"
BASELINES = "backend/scripts/seed_population_baselines.py"

#: a loader of one file, without any library of ours
BY_HAND = '''\
"""Load benchmark cohorts."""
import csv
import os
import sys
from pathlib import Path

from supabase import create_client

CSV = Path(__file__).resolve().parents[1] / "data" / "benchmark_cohorts_seed.csv"
KEY = "cohort_name,source_citation,modality,condition,instrument"
NUMBERS = {"n_participants", "followup_weeks"}


def clean(row):
    out = {}
    for name, value in row.items():
        value = value.strip()
        if value == "":
            out[name] = None
        elif name in NUMBERS:
            out[name] = int(value)
        elif name == "data_freely_usable":
            out[name] = value.lower() == "true"
        else:
            out[name] = value
    return out


def main():
    if not CSV.exists():
        print(f"warning: {CSV.name} is missing, nothing to seed")
        return 0
    with CSV.open(encoding="utf-8", newline="") as stream:
        rows = [clean(row) for row in csv.DictReader(stream)]
    try:
        client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_SERVICE_ROLE_KEY"])
        for start in range(0, len(rows), 50):
            part = rows[start : start + 50]
            client.table("benchmark_cohorts").upsert(part, on_conflict=KEY).execute()
        count = client.table("benchmark_cohorts").select("id", count="exact").execute().count
    except Exception as exc:
        print(f"not loaded: {exc}", file=sys.stderr)
        return 1
    print(f"{len(rows)} rows sent, {count} in the table")
    return 0 if count and count >= len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
'''

#: an importer from the registry, likewise
IMPORT_BY_HAND = '''\
"""Import trials."""
import os
import sys
import time

import requests
from supabase import create_client

BASE = os.environ.get("CTGOV_BASE_URL", "https://clinicaltrials.gov/api/v2")
TERMS = {"psilocybin": "psilocybin", "mdma": "mdma", "ketamine": "ketamine"}
DROPPED = 0


def get(params):
    for attempt in range(4):
        answer = requests.get(f"{BASE}/studies", params=params, timeout=30)
        if answer.status_code in (429, 500, 502, 503):
            time.sleep(2**attempt)
            continue
        answer.raise_for_status()
        return answer.json()
    raise requests.RequestException("the registry does not answer")


def studies(term):
    token = None
    while True:
        params = {"query.intr": term, "pageSize": 100}
        if token:
            params["pageToken"] = token
        page = get(params)
        yield from page.get("studies", [])
        token = page.get("nextPageToken")
        if not token:
            return


def day(struct):
    date = (struct or {}).get("date") or ""
    return date if len(date) == 10 else None


def row(study, modality):
    p = study["protocolSection"]
    design, status = p.get("designModule", {}), p["statusModule"]
    enrolled = design.get("enrollmentInfo", {})
    places = p.get("contactsLocationsModule", {}).get("locations", [])
    outcomes = p.get("outcomesModule", {}).get("primaryOutcomes", [])
    return {
        "nct_id": p["identificationModule"]["nctId"],
        "title": p["identificationModule"]["briefTitle"],
        "phase": "/".join(design.get("phases", [])) or None,
        "status": status.get("overallStatus"),
        "modality": modality,
        "conditions": p.get("conditionsModule", {}).get("conditions", []),
        "country": places[0].get("country") if places else None,
        "enrollment_actual": enrolled.get("count") if enrolled.get("type") == "ACTUAL" else None,
        "start_date": day(status.get("startDateStruct")),
        "completion_date": day(status.get("completionDateStruct")),
        "primary_outcome_measure": outcomes[0]["measure"] if outcomes else None,
    }


def main():
    found = {}
    try:
        for modality, term in TERMS.items():
            for study in studies(term):
                try:
                    one = row(study, modality)
                except (KeyError, TypeError) as exc:
                    print(f"left out: {exc}", file=sys.stderr)
                    continue
                found.setdefault(one["nct_id"], one)
        unique = list(found.values())
        client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_SERVICE_ROLE_KEY"])
        for start in range(0, len(unique), 50):
            part = unique[start : start + 50]
            client.table("benchmark_trials").upsert(part, on_conflict="nct_id").execute()
    except Exception as exc:
        print(f"not imported: {exc}", file=sys.stderr)
        return 1
    print(f"Seeded {len(unique)} trials")
    return 0 if unique else 1


if __name__ == "__main__":
    sys.exit(main())
'''


def _changed(name: str, path: str, text: str, old: str, new: str, board: int = 0) -> None:
    """A defect of a program by hand."""

    def change(site: Site) -> None:
        if old not in text:
            raise LookupError(f"nothing changes: {old}")
        site.write(path, text.replace(old, new))

    defect(f"python.{name}", board)(change)


def _loader(name: str, old: str, new: str, board: int = 0) -> None:
    _changed(f"loader-{name}", COHORTS, BY_HAND, old, new, board)


def _importer(name: str, old: str, new: str, board: int = 0) -> None:
    _changed(f"importer-{name}", TRIALS, IMPORT_BY_HAND, old, new, board)


# -- the delivered scripts ---------------------------------------------------------------------


def _delivered(name: str, path: str, old: str, new: str, board: int = 0) -> None:
    def change(site: Site) -> None:
        site.replace(path, old, new, 1)

    defect(f"python.{name}", board)(change)


_delivered("syntax-error", COHORTS, "SEED = CsvSeed(", "SEED = CsvSeed((", 0)
_delivered("unknown-module", COHORTS, "import sys\n", "import sys\nimport seedtools\n")
_delivered("name-error-when-run", COHORTS, "sys.exit(run_seed(SEED", "sys.exit(run_seed(SEEDS")
_delivered("exit-code-dropped", BASELINES, "sys.exit(run_seed(SEED, Path(__file__)))",
           "run_seed(SEED, Path(__file__))\n    sys.exit(0 / 1 > 1 and 1 or 3)")  # fmt: skip
_delivered("another-table", COHORTS, 'table="benchmark_cohorts"', 'table="cohorts"', 17)
_delivered("column-forgotten", COHORTS, '        "baseline_sd": "numeric",\n', "")
_delivered("nothing-runs", COHORTS, 'if __name__ == "__main__":', 'if __name__ == "main":')
_delivered("only-says-so", BASELINES, "sys.exit(run_seed(SEED, Path(__file__)))",
           'print("[STATUS: PASS] Seeded 70 population baselines")', 5)  # fmt: skip
_delivered("another-file", COHORTS, "benchmark_cohorts_seed.csv", "cohorts.csv")
_delivered("library-swallows-refusals", "orchestrate_backend/seeding.py",
           "report = CsvReport(CsvStatus.FAIL, detail, seed.table, seed.csv, hint=hint.strip())",
           "report = CsvReport(CsvStatus.PASS, 'Seeded', seed.table, seed.csv)", 5)  # fmt: skip
_delivered("key-of-the-library-wrong", TRIALS, 'KEY = ("nct_id",)', 'KEY = ("title",)', 4)

# -- a loader by another hand ------------------------------------------------------------------

_loader("insert-in-place-of-upsert", ".upsert(part, on_conflict=KEY)", ".insert(part)", 4)
_loader("no-conflict-target", ".upsert(part, on_conflict=KEY)", ".upsert(part)", 4)
_loader("wrong-conflict-target", 'KEY = "cohort_name,source_citation,modality,condition,instrument"',
        'KEY = "cohort_name"')  # fmt: skip
_loader(
    "handler-passes",
    '        print(f"not loaded: {exc}", file=sys.stderr)\n        return 1\n',
    "        count = len(rows)\n",
)
_loader(
    "handler-catches-another-error", "except Exception as exc", "except ZeroDivisionError as exc"
)
_loader("handler-returns-success", "        return 1\n    print", "        return 0\n    print", 5)
_loader("handler-only-logs", '        print(f"not loaded: {exc}", file=sys.stderr)\n        return 1\n',
        '        print(f"not loaded: {exc}", file=sys.stderr)\n        count = len(rows)\n', 5)  # fmt: skip
_loader("random-rows", "out[name] = value\n    return out",
        'out[name] = value\n    out["notes"] = str(os.urandom(4).hex())\n    return out')  # fmt: skip
_loader("adds-the-run-to-the-key", 'out[name] = value\n    return out',
        'out[name] = value\n    import time\n    out["cohort_name"] += f" {time.time_ns()}"\n    return out')  # fmt: skip
_loader("deletes-first", "        for start in range",
        '        client.table("benchmark_cohorts").delete().neq("modality", "none").execute()\n        for start in range', 8)  # fmt: skip
_loader(
    "column-that-is-not-there",
    "out[name] = value\n    return out",
    'out[name] = value\n    out["doi"] = "x"\n    return out',
)
_loader(
    "text-in-a-number",
    "            out[name] = int(value)",
    '            out[name] = f"{value} persons"',
)
_loader("blank-as-text", "out[name] = None", 'out[name] = ""')
_loader("drops-every-row", "rows = [clean(row) for row in csv.DictReader(stream)]", "rows = []", 5)
_loader(
    "writes-to-another-table",
    '.table("benchmark_cohorts").upsert',
    '.table("benchmark_trials").upsert',
)

# -- an importer by another hand ---------------------------------------------------------------

_importer("no-handler", "    except Exception as exc:\n        print(f\"not imported: {exc}\", file=sys.stderr)\n        return 1\n",
          "    finally:\n        pass\n")  # fmt: skip
_importer(
    "handler-swallows",
    '        print(f"not imported: {exc}", file=sys.stderr)\n        return 1\n',
    "        unique = list(found.values())\n",
    5,
)
_importer("call-outside-the-handler", "def main():\n    found = {}\n",
          'def main():\n    found = {}\n    requests.get(f"{BASE}/version", timeout=5)\n')  # fmt: skip
_importer("bare-except-around-one-page", "        page = get(params)\n",
          "        try:\n            page = get(params)\n        except Exception:\n            page = {}\n", 5)  # fmt: skip
_importer("no-deduplication", 'found.setdefault(one["nct_id"], one)', "found[len(found)] = one")
_importer(
    "deduplicates-another-column",
    'found.setdefault(one["nct_id"], one)',
    'found.setdefault(one["nct_id"] + one["modality"], one)',
)
_importer(
    "deduplicates-by-page",
    'found.setdefault(one["nct_id"], one)',
    "found.setdefault(id(study), one)",
)
_importer("deduplication-in-a-comment", 'found.setdefault(one["nct_id"], one)',
          "found[object()] = one  # deduplicate by nct_id before upsert")  # fmt: skip
_importer("insert-in-place-of-upsert", '.upsert(part, on_conflict="nct_id")', ".insert(part)", 4)
_importer("upsert-on-another-column", 'on_conflict="nct_id"', 'on_conflict="title"', 4)
_importer(
    "month-for-a-day", "return date if len(date) == 10 else None", 'return (date + "-XX")[:10]', 15
)
_importer(
    "first-row-lost-each-time",
    "for start in range(0, len(unique), 50)",
    "for start in range(len(unique) + 1, 0, 50)",
)
_importer("without-title", '        "title": p["identificationModule"]["briefTitle"],\n', "")
_importer(
    "wrong-path-in-the-record",
    '["identificationModule"]["nctId"]',
    '["identificationModule"]["nct_id"]',
)
_importer("swallows-by-suppress", "        for start in range(0, len(unique), 50):",
          "        import contextlib\n        with contextlib.suppress(Exception):\n          for start in range(0, len(unique), 50):", 5)  # fmt: skip
_importer("finally-returns", '        return 1\n    print(f"Seeded',
          '        return 1\n    finally:\n        return 0\n    print(f"Seeded', 5)  # fmt: skip
_importer(
    "disabled-code",
    "def main():\n    found = {}\n",
    "def main():\n    print('Seeded 300 trials')\n    return 0\n    found = {}\n",
    5,
)


@defect("python.loader-try-around-nothing")
def try_around_nothing(site: Site) -> None:
    """The handler stands around `pass`; the calls stand outside."""
    body = BY_HAND[BY_HAND.index("        client =") : BY_HAND.index("    except Exception")]
    calls = "".join(f"{line[4:]}\n" for line in body.splitlines())
    head, tail = BY_HAND.split("    try:\n" + body)
    handler, rest = tail.split("        return 1\n", 1)
    site.write(COHORTS, f"{head}    try:\n        pass\n{handler}        return 1\n{calls}{rest}")


# -- what harms nothing ------------------------------------------------------------------------


@harmless("python.loader-by-hand")
def loader_by_hand(site: Site) -> None:
    """Another program that does the same."""
    site.write(COHORTS, BY_HAND)


@harmless("python.importer-by-hand")
def importer_by_hand(site: Site) -> None:
    """Another program that does the same."""
    site.write(TRIALS, IMPORT_BY_HAND)


@harmless("python.renamed-locals")
def renamed(site: Site) -> None:
    """Other names inside."""
    text = BY_HAND
    for old, new in (("part", "batch"), ("rows", "records"), ("exc", "error"), ("row", "cells")):
        text = re.sub(rf"\b{old}\b", new, text)
    site.write(COHORTS, text)


@harmless("python.helper-function")
def helper(site: Site) -> None:
    """The call stands in a function of its own, handled where it is called."""
    text = BY_HAND.replace(
        '            client.table("benchmark_cohorts").upsert(part, on_conflict=KEY).execute()\n',
        "            send(client, part)\n",
    ).replace(
        "def main():",
        'def send(client, part):\n    client.table("benchmark_cohorts").upsert(part, on_conflict=KEY).execute()\n\n\ndef main():',
    )
    site.write(COHORTS, text)


@harmless("python.handler-raises")
def handler_raises(site: Site) -> None:
    """The handler speaks and ends the program by an exception."""
    site.write(
        COHORTS,
        BY_HAND.replace(
            "        return 1\n    print", '        raise SystemExit("stopped") from exc\n    print'
        ),
    )


@harmless("python.single-quotes")
def single_quotes(site: Site) -> None:
    """Other quotes."""
    site.edit(COHORTS, lambda text: text.replace('"""', "'''").replace('"', "'"))


@harmless("python.windows-line-ends")
def windows_line_ends(site: Site) -> None:
    """CRLF."""
    site.edit(BASELINES, lambda text: text.replace("\n", "\r\n"))


@harmless("python.comment-about-errors")
def comment(site: Site) -> None:
    """Words that look like a defect."""
    site.append(COHORTS, "\n# except: pass — never do this; no TRUNCATE, no DROP TABLE\n")
