"""Defects and harmless changes of tickets, and of the set of files."""

from __future__ import annotations

import re

from defects import Site, defect, harmless


def _head(site: Site, id: str, field: str, value: str) -> None:
    """Another value of a frontmatter field."""
    site.edit(
        site.ticket(id),
        lambda text: re.sub(rf"(?m)^{field}:.*$", f"{field}: {value}", text, count=1),
    )


def _move(site: Site, id: str, folder: str) -> None:
    path = site.root / site.ticket(id)
    to = site.root / "_WORK_ORDERS" / folder / path.name
    to.parent.mkdir(exist_ok=True)
    path.rename(to)


@defect("tickets.child-in-another-folder", board=10)
def in_another_folder(site: Site) -> None:
    """Moved by hand, the status stays."""
    _move(site, "WO-231b", "03_BUILD")


@defect("tickets.child-of-another-owner", board=10)
def another_owner(site: Site) -> None:
    """USER is awaited, BUILDER is named."""
    _head(site, "WO-231b", "owner", "BUILDER")


@defect("tickets.owner-that-is-a-status", board=10)
def owner_is_a_status(site: Site) -> None:
    """A field's value in another field."""
    _head(site, "WO-231a", "owner", "COMPLETE")


@defect("tickets.child-of-another-status")
def another_status(site: Site) -> None:
    """The file lies right, and says something else."""
    _head(site, "WO-231a", "status", "03_BUILD")


@defect("tickets.child-deleted")
def child_deleted(site: Site) -> None:
    """A member of the family is gone."""
    (site.root / site.ticket("WO-231b")).unlink()


@defect("tickets.research-section-missing")
def section_missing(site: Site) -> None:
    """The heading and what stands below it are gone."""
    site.edit(
        site.ticket("WO-231"), lambda t: re.sub(r"(?ms)^## ANALYST.*?(?=^## |\Z)", "", t, count=1)
    )


@defect("tickets.research-section-empty")
def section_empty(site: Site) -> None:
    """A heading with nothing below it."""
    site.edit(
        site.ticket("WO-231"),
        lambda t: re.sub(r"(?ms)^(## ANALYST[^\n]*\n).*?(?=^## |\Z)", r"\1\n", t, count=1),
    )


@defect("tickets.research-section-in-a-comment")
def section_in_a_comment(site: Site) -> None:
    """Readers see nothing of it."""
    site.edit(
        site.ticket("WO-231"),
        lambda t: re.sub(r"(?ms)^(## ANALYST.*?)(?=^## |\Z)", r"<!--\n\1\n-->\n\n", t, count=1),
    )


@defect("tickets.research-section-in-a-code-fence")
def section_in_a_fence(site: Site) -> None:
    """A heading in a fence is code."""
    site.edit(
        site.ticket("WO-231"),
        lambda t: re.sub(r"(?ms)^(## ANALYST.*?)(?=^## |\Z)", r"~~~~\n\1\n~~~~\n\n", t, count=1),
    )


@defect("tickets.child-without-frontmatter")
def without_frontmatter(site: Site) -> None:
    """Nothing says whose it is."""
    site.edit(site.ticket("WO-231a"), lambda text: text.split("\n---\n", 1)[1])


@defect("tickets.builder-wrote-the-data")
def builder_wrote_the_data(site: Site) -> None:
    """The record says that BUILDER made what it must not make."""
    import json

    record = "_WORK_ORDERS/.receipts/WO-231.jsonl"

    def edit(text: str) -> str:
        lines = text.splitlines()
        for number, line in enumerate(lines):
            entry = json.loads(line)
            if entry["type"] == "report" and entry["agent"] == "BUILDER":
                entry["artifacts"].append(
                    {
                        "path": "backend/data/benchmark_cohorts_seed.csv",
                        "sha256": "0" * 64,
                        "state": "written",
                    }
                )
                lines[number] = json.dumps(entry)
        return "\n".join(lines) + "\n"

    site.edit(record, edit)


@defect("files.script-missing")
def script_missing(site: Site) -> None:
    """A deliverable is gone."""
    (site.root / "backend/scripts/seed_population_baselines.py").unlink()


@defect("files.folder-in-place-of-a-file")
def folder_in_place(site: Site) -> None:
    """Something of that name is there."""
    (site.root / "src/lib/supabaseClient.ts").unlink()
    (site.root / "src/lib/supabaseClient.ts").mkdir()


@defect("files.other-case", board=2)
def other_case(site: Site) -> None:
    """The name differs in a letter's case."""
    file = site.root / "src/lib/supabaseClient.ts"
    file.rename(file.with_name("supabaseclient.ts"))


@defect("files.script-empty")
def script_empty(site: Site) -> None:
    """A file of no bytes."""
    site.edit("backend/scripts/seed_population_baselines.py", lambda text: "")


for _name, _line in (
    ("service-key", 'KEY = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIiwiaXNzIjoic3VwYWJhc2UiLCJyZWYiOiJhYmNkZWZnaGlqa2xtbm9wIn0.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZy1lbm91Z2g"'),
    ("new-service-key", 'KEY = "sb_secret_9dQ2mXw7Lr4TzVb8KpYc3N_a1B2c3D4"'),
    ("database-password", 'URL = "postgresql://postgres:hunter2-Xy81@db.abcdefghijklmnop.supabase.co:5432/postgres"'),
    ("cloud-key", 'AWS = "AKIAIOSFODNN7EXAMPLQ"'),
    ("private-key", 'PEM = "-----BEGIN RSA PRIVATE KEY-----\\nMIIEowIBAAKCAQEA7bq\\n-----END RSA PRIVATE KEY-----"'),
    ("repository-token", 'TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"'),
    ("password-by-name", 'PASSWORD = "Zx9!kfj3-Qwe81"'),
):  # fmt: skip

    def _add(site: Site, line: str = _line) -> None:
        site.append("backend/scripts/seed_benchmark_cohorts.py", f"\n{line}\n")

    defect(f"files.secret-{_name}")(_add)


@defect("files.secret-in-two-parts")
def secret_in_two_parts(site: Site) -> None:
    """Put together when it runs."""
    site.append(
        "backend/scripts/seed_benchmark_cohorts.py",
        '\nKEY = "sb_secret_9dQ2mXw7Lr4" + "TzVb8KpYc3N_a1B2c3D4"\n',
    )


@defect("files.secret-in-the-front-end")
def secret_in_the_front_end(site: Site) -> None:
    """Everybody who opens the page gets it."""
    site.append("src/lib/benchmarks.ts", "\n// sb_secret_9dQ2mXw7Lr4TzVb8KpYc3N_a1B2c3D4\n")


@defect("files.name-of-a-patient-in-a-script")
def patient_in_a_script(site: Site) -> None:
    """Personal data in code."""
    site.append(
        "backend/scripts/seed_benchmark_cohorts.py",
        '\nEXAMPLE = {"patient_name": "Jane Roe", "dob": "1984-03-07", "email": "jane.roe@mail.example.org"}\n',
    )


# -- what harms nothing ------------------------------------------------------------------------


@harmless("tickets.words-of-a-person")
def words_of_a_person(site: Site) -> None:
    """A remark at the end of a ticket."""
    site.append(site.ticket("WO-231b"), "\n## Remarks\n\nLooked at it together on Friday.\n")


@harmless("tickets.comment-in-frontmatter")
def comment_in_frontmatter(site: Site) -> None:
    """YAML has comments."""
    site.replace(site.ticket("WO-231a"), "\nowner:", "\n# whose turn it is\nowner:", 1)


@harmless("tickets.quoted-status")
def quoted_status(site: Site) -> None:
    """Quotes around a value."""
    site.edit(
        site.ticket("WO-231b"),
        lambda t: re.sub(r"(?m)^status: (\S+)$", r'status: "\1"', t, count=1),
    )


@harmless("files.another-document")
def another_document(site: Site) -> None:
    """A file that nobody speaks of."""
    site.write("notes/meeting.md", "# Meeting\n\nNothing was decided.\n")


@harmless("files.key-by-name-only")
def key_by_name(site: Site) -> None:
    """The environment is named, not its value."""
    site.append(
        "backend/scripts/seed_benchmark_cohorts.py",
        '\n# needs SUPABASE_SERVICE_ROLE_KEY, e.g. export SUPABASE_SERVICE_ROLE_KEY="your-key-here"\n',
    )
