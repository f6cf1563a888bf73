"""In what the answers of a query module differ from those that its specification gives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.checks.typescript.hook_probe import Answers, Observed

_MAX_LISTED = 3
_MAX_SHOWN = 80
#: of so many rows that differ, the one that differs least is shown
_COMPARED = 20
_ASKING = ("GET", "HEAD")


@dataclass(frozen=True)
class Comparison:
    """What calling the functions showed."""

    faults: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    #: functions whose specification gives no answer either
    left_out: tuple[str, ...] = ()
    #: why nothing was compared
    hindered: str = ""
    #: what the answers may depend on besides the rows
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class OneOf:
    """Rows of one rank: any of them may be given."""

    rows: Sequence[Any]


@dataclass(frozen=True)
class Expected:
    """What a function has to give, and what it may do for that."""

    seen: Observed
    #: scenario → value
    truth: Mapping[str, Any]
    #: whether the specification's words fix the order
    fixed: bool
    #: (method, table) of every request that the specification's function makes
    asked: Set[tuple[str, str]]
    #: what of its surroundings the specification's function looks at
    reads: Set[str] = frozenset()


def compare_answers(answers: Answers, expected: Mapping[str, Expected]) -> Comparison:
    """Hold every answer against what is expected."""
    faults: list[str] = []
    alike: list[str] = []
    left_out: list[str] = []
    doubts: list[str] = []
    for name, scenarios in answers.items():
        wanted = expected[name]
        if not wanted.truth:
            left_out.append(f"{name}()")
            continue
        found = (
            f"{name}() {label} {fault}"
            for label in wanted.truth
            if (fault := _fault(scenarios[label], wanted.truth[label], wanted))
        )
        fault = next(found, "")
        (faults if fault else alike).append(fault or f"{name}()")
        looked = {read for answer in scenarios.values() for read in answer.get("reads", ())}
        if beyond := sorted(looked - wanted.reads):
            looks = f"{name}() looks at {', '.join(beyond[:_MAX_LISTED])}"
            doubts.append(f"{looks}: what it gives may depend on that")
    nothing = "" if alike or faults else "the specification's functions give no answer"
    return Comparison(tuple(faults), tuple(alike), tuple(left_out), nothing, tuple(doubts))


def _fault(answer: Mapping[str, Any], wanted: Any, expected: Expected) -> str:
    if fault := _difference(answer, wanted, expected):
        return fault
    asked = {(method, place) for method, place in answer.get("asked", ())}
    if not asked and expected.asked:
        return "answers without asking the database"
    allowed = expected.asked | {
        (method, place) for _, place in expected.asked for method in _ASKING
    }
    if further := sorted(asked - allowed):
        listed = ", ".join(f"{method} {place}" for method, place in further[:_MAX_LISTED])
        return f"asks for what nothing specifies: {listed}"
    again, elsewhere = answer.get("again"), answer.get("elsewhere")
    if again and asked and not again.get("asked"):
        return "keeps its answer: a second call asks nothing, whoever calls and whatever changed"
    if again and (fault := _difference(again, wanted, expected)):
        return f"{fault}, when called again"
    if elsewhere and (fault := _difference(elsewhere, wanted, expected)):
        return f"{fault}, {elsewhere['place']}"
    return ""


def _difference(answer: Mapping[str, Any], wanted: Any, expected: Expected) -> str:
    """How an answer differs in meaning from the specification's, "" if it does not."""
    if "returned" not in answer:
        return f"throws: {answer.get('threw', 'it is not there')}"
    value = read_value(answer["returned"])
    if isinstance(wanted, OneOf):
        return _none_of(value, wanted.rows)
    if isinstance(value, list) and isinstance(wanted, list):
        return _rows_differ(value, wanted, expected.seen, expected.fixed)
    if isinstance(value, dict) and isinstance(wanted, dict):
        lacking = _lacking_columns([value], [wanted])
        return lacking or _row_differs(value, wanted, expected.seen, expected.fixed)
    if value == wanted:
        return ""
    return f"gives {_shown(value)}, the specification's {_shown(wanted)}"


def read_value(text: str) -> Any:
    """A JSON value with its numbers as JavaScript has them: 5.00 is 5."""

    def number(digits: str) -> float:
        value = float(digits)
        return int(value) if value.is_integer() else value

    if text == "undefined":
        return None
    return json.loads(text, parse_int=number, parse_float=number)


def _none_of(value: Any, rows: Sequence[Any]) -> str:
    """Why a value is none of the rows, "" if it is."""
    if not rows:
        return "" if value is None else f"gives {_shown(value)}, the specification's null"
    if not isinstance(value, dict):
        right = _cells(rows[0], [*rows[0]][:_MAX_LISTED])
        return f"gives {_shown(value)}, the specification's {right}"
    columns = _columns(list(rows))
    lacking = _lacking_columns([value], [rows[0]])
    if lacking or _texts([value], columns)[0] in _texts(list(rows), columns):
        return lacking
    nearest = min(rows, key=lambda row: len(_unlike(value, row)))
    unlike = _unlike(value, nearest)
    name = next((n for n in unlike if n != "id" or len(unlike) == 1), unlike[0])
    given = f"gives a row with {name} {_shown(value.get(name))}"
    return f"{given}, the specification's one with {_shown(nearest[name])}"


def _rows_differ(rows: list[Any], wanted: list[Any], expected: Observed, fixed: bool) -> str:
    if len(rows) != len(wanted):
        detail = f"gives {len(rows)} rows, the specification's {len(wanted)}"
        return detail + _least(rows, wanted, expected)
    lacking = _lacking_columns(rows, wanted)
    if lacking or (expected.limited and not fixed):
        return lacking
    columns = _columns(wanted)
    by = tuple(column for column in expected.order if column in columns)
    # nothing says which of the rows of one rank come before the limit
    if not (expected.limited and by):
        surplus = Counter(_texts(rows, columns)) - Counter(_texts(wanted, columns))
        if surplus:
            detail = _least(rows, wanted, expected) or f": {next(iter(surplus))[:_MAX_SHOWN]}"
            return f"gives rows that the specification's does not{detail}"
    if not (fixed and by) or _texts(rows, by) == _texts(wanted, by):
        return ""
    at = next(
        i
        for i, pair in enumerate(zip(_texts(rows, by), _texts(wanted, by), strict=True))
        if pair[0] != pair[1]
    )
    first, second = ([row.get(by[0]) for row in some[at : at + 4]] for some in (rows, wanted))
    return f"orders {by[0]} as {_shown(first)} …, the specification's {_shown(second)} …"


def _least(rows: list[Any], wanted: list[Any], expected: Observed) -> str:
    """The row that is wrong in the fewest cells, as these cells; "" if rows are not objects."""
    if not all(isinstance(row, dict) for row in (*rows, *wanted)):
        return ""
    columns = _columns(wanted) or _columns(rows)
    ours, theirs = Counter(_texts(rows, columns)), Counter(_texts(wanted, columns))
    surplus = [json.loads(text) for text in (ours - theirs)][:_COMPARED]
    lacking = [json.loads(text) for text in (theirs - ours)][:_COMPARED]
    if surplus and lacking:
        pairs = [(one, other) for one in surplus for other in lacking]
        given, right = min(pairs, key=lambda pair: len(_unlike(*pair)))
        names = _unlike(given, right)[:_MAX_LISTED]
        return f": {_cells(given, names)} where {_cells(right, names)} is right"
    if surplus:
        return (
            f": also one with {min((_minimal(row, wanted, expected) for row in surplus), key=len)}"
        )
    if lacking:
        return (
            f": not the one with {min((_minimal(row, rows, expected) for row in lacking), key=len)}"
        )
    return ""


def _minimal(
    row: Mapping[str, Any], others: Sequence[Mapping[str, Any]], expected: Observed
) -> str:
    """The cells by which a row differs from the one most like it: those that are filtered, if any,
    else without what names it."""
    unlike = min((_unlike(row, other) for other in others), key=len, default=[])
    filtered = [n for n in expected.filters.values() if n in unlike or not unlike]
    telling = filtered or [n for n in unlike if n != "id" and not n.endswith("_at")] or [*row]
    return _cells(row, telling[:_MAX_LISTED])


def _cells(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {_shown(row.get(name))}" for name in names)


def _unlike(row: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [name for name in other if row.get(name) != other[name]]


def _row_differs(
    row: dict[str, Any], wanted: dict[str, Any], expected: Observed, fixed: bool
) -> str:
    """Which row it has to be is known only where the order is, and not among rows of one rank."""
    unlike = _unlike(row, wanted)
    tied = bool(expected.order) and not set(expected.order) & set(unlike)
    if not fixed or not unlike or tied:
        return ""
    name = next((n for n in unlike if n != "id" or len(unlike) == 1), unlike[0])
    given = f"gives a row with {name} {_shown(row.get(name))}"
    return f"{given}, the specification's one with {_shown(wanted[name])}"


def _columns(rows: list[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(n for row in rows if isinstance(row, dict) for n in row))


def _lacking_columns(rows: list[Any], wanted: list[Any]) -> str:
    """Columns that the specification's rows have and these lack; further columns do no harm."""
    present = set(_columns(rows))
    lacking = [name for name in _columns(wanted) if name not in present]
    return f"gives rows without {', '.join(lacking[:_MAX_LISTED])}" if rows and lacking else ""


def _texts(rows: list[Any], columns: tuple[str, ...]) -> list[str]:
    return [
        json.dumps(
            {n: row.get(n) for n in columns} if isinstance(row, dict) else row, sort_keys=True
        )
        for row in rows
    ]


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:_MAX_SHOWN]
