"""Checks that nothing delivered is about a person: columns, cells, SQL literals, strings in code.

Columns are judged by their names (`patient_name`, `dob`, `email`, `mrn`), cells and literals by
their form (mail addresses, phone and social security numbers, dates of birth, record numbers), rows
by their sample size: a row about one participant is a person. Authors in a citation column are
public, so names do not count there; DOIs and web addresses are removed before numbers are judged.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from orchestrate_agents.checks.data.subjects import delivered_paths, known_tables
from orchestrate_agents.checks.text.tree import is_test, workspace_files
from orchestrate_agents.seed_data.csv_file import Fault, Sheet, read_sheet
from orchestrate_agents.seed_data.source_kinds import DOI
from orchestrate_agents.seed_data.table_schema import is_sample_size, vocabulary, words
from orchestrate_agents.syntax import parsed
from orchestrator.errors import OrchestrateError
from orchestrator.gates.checks import (
    Context,
    Result,
    check,
    failed,
    parameter_type,
    proven,
    unproven,
)
from orchestrator.storage.atomic import sha256_file

_LISTED = 8
#: different cells of a table whose judgement is kept
_CELLS_KEPT = 4096

#: column names that hold something of a person, whole or as the end of a longer name
_PERSONAL = re.compile(
    r"""(?:^|_)(?:
        (?:patient|participant|subject|person|client|member|user|guardian|contact)_names?
      | (?:customer|donor)_names?
      | (?:first|last|full|given|family|middle|maiden|sur|fore)_?names? | initials
      | dob | date_of_birth | birth_?dates? | birth_?days? | year_of_birth | birth_year
      | ssn | social_security(?:_(?:number|no))? | tax_id | national_id | nhs_number
      | e_?mails?(?:_address)? | (?:tele)?phones?(?:_(?:number|no))? | mobile(?:_(?:number|no))?
      | fax
      | mrn | (?:medical_)?record_(?:number|no|num) | chart_number
      | (?:patient|participant|subject|client|member)_(?:id|no|number|code|uuid|key)
      | (?:home_|street_|postal_|mailing_)?address(?:_line)?\d* | street | zip(?:_?code)?
      | post(?:al_)?code
      | passport(?:_(?:number|no))? | driver_?s?_licen[cs]e | insurance_(?:id|number)
      | ip_address | device_id | mac_address | biometric\w* | face_(?:photo|image)
    )$""",
    re.VERBOSE,
)

#: forms of a person's data: name, what it cannot be without (quicker to look for), what it is
_FORMS = (
    (
        "a mail address",
        re.compile("@"),
        re.compile(r"[\w.+-]+@(?!example\.)[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}"),
    ),
    (
        "a mail address in disguise",
        re.compile(r"[\[({<]\s*at\s*[\])}>]| at [\w-]+ dot ", re.IGNORECASE),
        re.compile(
            r"[\w.+-]+\s*[\[({<]\s*at\s*[\])}>]\s*[\w-]+(?:\s*(?:\.|[\[({<]\s*dot\s*[\])}>])\s*[\w-]+)+"
            r"|\b[\w.+-]+ at [\w-]+ dot [a-z]{2,}\b",
            re.IGNORECASE,
        ),
    ),
    (
        "a social security number",
        re.compile(r"\d-\d"),
        re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-\d{2}-\d{4}(?![\d-])"),
    ),
    (
        "a phone number",
        re.compile(r"\d"),
        re.compile(
            r"(?<![\w./-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\)[ .-]?|\d{3}[.-])\d{3}[ .-]\d{4}(?![\w-])"
            r"|(?<![\w.])\+\d{1,3}(?:[ .-]?\(?\d{2,5}\)?){2,5}(?!\w)"
            r"|\b(?:tel|phone|mobile|fax)\b\.?:?\s*\+?[\d(][\d ().-]{6,}\d",
            re.IGNORECASE,
        ),
    ),
    (
        "a date of birth",
        re.compile(r"\d"),
        re.compile(
            r"\b(?:dob|d\.o\.b\.?|born|birth ?date|date of birth)\b[^\d\n]{0,15}"
            r"(?:\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}\.? \w{3,9} \d{4}|\w{3,9} \d{1,2},? \d{4})",
            re.IGNORECASE,
        ),
    ),
    (
        "a record number",
        re.compile(r"\d{4}"),
        re.compile(
            r"\b(?:MRN|medical record|patient id|record (?:no|number))\b\W{0,4}\w{0,3}-?\d{4,}",
            re.IGNORECASE,
        ),
    ),
)
#: words of titles such as "Patient Controlled Analgesia"
_OF_TITLES = (
    r"[A-Z][a-z]{2,}(?:led|red|ted|ing|tion|ment|ence|ity)|"
    "Care|Health|Safety|Outcomes?|Global|Rights"
)
_NAMES = re.compile(
    r"\b(?:patient|participant|subject|client)(?: name)?:?\s+"
    rf"(?-i:(?!(?:{_OF_TITLES})\b)[A-Z][a-z]+ [A-Z][a-z]+)\b"
    r"|\b(?-i:(?:Mr|Mrs|Ms|Miss)\.?\s+[A-Z][a-z]+)",
    re.IGNORECASE,
)
_CITING = vocabulary("citation citations reference references source sources author authors")
_PUBLIC = re.compile(rf"https?://\S+|{DOI.pattern}|\bdoi:\S+", re.IGNORECASE)
_CODE = (".py", ".ts", ".tsx", ".js", ".mjs")
_TEXTS = (".json", ".jsonl", ".yaml", ".yml", ".md", ".txt", ".tsv")


_WHERE = "in [the] (delivered (data|files|code|SQL)|seed data|deliverables|{wide:datafiles})"
_PERSONS = (
    "no (personal|personally identifiable|patient|individual-level|protected health) "
    "(data|information|records)"
)
_DATA = (".csv", ".tsv", ".sql", ".json", ".jsonl")
parameter_type("datafiles", r"data|files|code|SQL|repository", str.lower)


@check(
    f"[contains] no (PHI|PII|PHI/PII|PII/PHI|PHI or PII|PII or PHI|PHI and PII) [{_WHERE}]",
    f"{_PERSONS} {_WHERE}",
    "(all|the) [seeded|seed|delivered] data (is|are) [only] "
    "(aggregate|anonymized|anonymised|aggregated|aggregate/anonymized|aggregate/anonymised|"
    "aggregate or anonymized|aggregate and anonymized|de-identified) [benchmark] [data]",
    "every row is [an] (aggregate|anonymized|anonymised|aggregated)",
    name="privacy.no-personal-data",
    version=3,
    examples=(
        "No PHI/PII — all seeded data is aggregate/anonymized",
        "No PHI — all data is aggregate/anonymized benchmark data",
        "no personal data in the seed data",
    ),
)
def no_personal_data(ctx: Context, wide: str = "") -> Result:
    """Columns, cells, SQL literals and strings of what is delivered, and rows about one person.

    Where the statement does not say "delivered", other data files leave it unproven.
    """
    return _judge_personal(ctx, _DATA if wide else ())


@check(
    f"[there is|contains] {_PERSONS}",
    name="privacy.none-anywhere",
    examples=("No personal data",),
)
def none_anywhere(ctx: Context) -> Result:
    """What is delivered, as above; other data, SQL or code that is doubtful leaves it unproven."""
    return _judge_personal(ctx, (*_DATA, *_CODE))


def _judge_personal(ctx: Context, beyond: tuple[str, ...]) -> Result:
    """What is delivered, and of what the workspace has besides, the files with these endings."""
    kinds = (".csv", ".sql", *_CODE, *_TEXTS)
    paths = [p for p in delivered_paths(ctx, kinds) if ctx.path(p).is_file()]
    if not paths:
        return unproven("nothing that could hold personal data is delivered yet")
    tables = known_tables(ctx)
    found = [f"{path} {fault}" for path in paths for fault in find_in_file(ctx, path)]
    columns = [(table.name, c.name) for table in tables for c in table.columns]
    found += [f"table {t}: column {column}" for t, column in columns if is_personal(column)]
    if found:
        more = f"; and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        detail = "; ".join(found[:_LISTED]) + more
        return failed(f"what looks like a person's data: {detail}", *paths, found=found[:200])
    named = f" and tables {', '.join(table.name for table in tables)}" if tables else ""
    said = f"{len(paths)} delivered files{named}: no column, value or row about a person"
    others = [p for p in workspace_files(ctx) if p not in paths and p.endswith(beyond)]
    doubtful = [p for p in others if not is_test(p) and any(find_in_file(ctx, p))]
    if doubtful:
        return unproven(f"{said}; but not delivered: {', '.join(doubtful[:_LISTED])}", *paths)
    return proven(said + (f", nor in {len(others)} other files" if beyond else ""), *paths)


def is_personal(column: str) -> bool:
    """Whether a column's name says that it holds something of a person."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column)
    return _PERSONAL.search(re.sub(r"[^a-z0-9]+", "_", snake.lower()).strip("_")) is not None


def find_personal(text: str, *, names: bool = True) -> Iterator[str]:
    """What in a text has the form of a person's data, without repeating it whole."""
    bare = _PUBLIC.sub(" ", text)
    forms = (*_FORMS, ("a person's name", _NAMES, _NAMES)) if names else _FORMS
    for what, needed, form in forms:
        if needed.search(bare) and (found := form.search(bare)):
            yield f"{what} ({found.group().strip()[:3]}…)"


def find_in_file(ctx: Context, path: str) -> list[Fault]:
    """What looks like a person's data in one file, looked for once for the same bytes."""
    file = ctx.path(path)
    key = ("personal data", path, sha256_file(file))
    return ctx.services.remember(key, list[Fault], lambda: list(_find_in_file(file, path)))


def _find_in_file(file: Path, path: str) -> Iterator[Fault]:
    if path.lower().endswith(".csv"):
        yield from find_in_sheet(read_sheet(file, path))
        return
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        yield Fault(1, "", f"cannot be read: {exc}")
        return
    comments: list[tuple[int, str]] = []
    if path.lower().endswith(".py"):
        strings, comments = _read_python(text)
    elif path.lower().endswith(".sql"):
        strings, comments = _read_sql(text)
    else:
        strings = list(enumerate(text.splitlines(), 1))
    for line, string in strings:
        yield from (Fault(line, "", what) for what in find_personal(string))
    for line, comment in comments:
        for what in find_personal(comment):
            # the mail address of a program's author is public
            if not what.startswith("a mail address"):
                yield Fault(line, "", what)


def find_in_sheet(sheet: Sheet) -> Iterator[Fault]:
    """Personal columns, personal cells, and rows whose sample size is one."""
    # most cells of a table say what others say
    find = lru_cache(_CELLS_KEPT)(lambda text, names: tuple(find_personal(text, names=names)))
    for column in sheet.columns:
        if is_personal(column):
            yield Fault(1, column, "the column holds something of a person")
    for row in sheet.rows:
        for column, text in row.cells.items():
            if is_sample_size(column) and re.fullmatch(r"\+?0*1(?:\.0*)?", text):
                yield Fault(row.line, column, "one participant is a person, not an aggregate")
            for what in find(text, not words(column) & _CITING):
                yield Fault(row.line, column, what)


def _read_python(text: str) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """(line, text) of the strings and of the comments; every line of what does not parse."""
    comments = []
    with suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                comments.append((token.start[0], token.string))
    try:
        nodes = [n for n in ast.walk(parsed(text)) if isinstance(n, ast.Constant)]
    except (SyntaxError, ValueError, RecursionError):
        return list(enumerate(text.splitlines(), 1)), comments
    return [(n.lineno, n.value) for n in nodes if isinstance(n.value, str)], comments


def _read_sql(text: str) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """(line, text) of the literals and of the comments; every line of what cannot be read."""
    from orchestrate_agents.sql.parse import line_at, tokens

    try:
        found = tokens(text)
    except OrchestrateError:
        lines = list(enumerate(text.splitlines(), 1))
        return lines, lines
    strings, comments = (
        [(line_at(text, t.start), text[t.start : t.end + 1]) for t in found if t.name in names]
        for names in (("SCONST", "XCONST", "BCONST", "USCONST"), ("SQL_COMMENT", "C_COMMENT"))
    )
    return strings, comments
