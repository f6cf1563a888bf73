"""Checks of columns and constraints in plain words: type, NULL, default, key, references."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from orchestrate_agents.checks.sql.phrases import TABLE_WORD, Tables, tables_of_claim
from orchestrate_agents.checks.sql.schema import column_problems, defined
from orchestrate_agents.checks.sql.subjects import Subject, subject_of
from orchestrate_agents.sql.catalog import RealConstraint, Relation
from orchestrator.gates.checks import Context, Result, check, parameter_type, proven, unproven

_ID = r"[A-Za-z_]\w*"
_QUOTED = rf"[`\"]{_ID}[`\"]"
_TABLE = TABLE_WORD
_COLUMN = rf"(?:{_QUOTED}|(?-i:[a-z]\w*_\w+))"
_FILE_END = r"(?!(?:py|ts|tsx|js|jsx|mjs|md|sql|json|ya?ml|toml|txt|csv|sh|html|css|go|rs|vue)\b)"
_DOTTED = rf"`?(?:public\.)?{_ID}\.{_FILE_END}{_ID}`?"


def _bare(text: str) -> str:
    words = re.sub(r"\b(?:the|table|column)\b", " ", text, flags=re.IGNORECASE)
    return words.strip().strip('`"').removeprefix("public.")


def _read_dotted(text: str) -> tuple[str, str]:
    """(table, column) of `orders.status` and of “the status column of orders”."""
    plain = text.strip().replace("public.", "")
    if re.fullmatch(_DOTTED, plain, re.IGNORECASE):
        table, column = plain.strip("`").split(".")
        return table, column
    column, table = re.split(r"\s+(?:of|in|on)\s+", plain, maxsplit=1)
    return _bare(table), _bare(column)


parameter_type("onetable", _TABLE, _bare)
parameter_type("onecolumn", _COLUMN, _bare)
parameter_type(
    "columnof",
    rf"(?:{_DOTTED}|(?:the )?(?:{_COLUMN}\s+column|column\s+{_COLUMN})\s+(?:of|in|on)\s+{_TABLE})",
    _read_dotted,
)

_TYPE = (
    r"(?:text|citext|varchar|character varying|char|int|int2|int4|int8|integer|bigint|smallint|"
    r"serial|bigserial|numeric|decimal|real|float|double precision|boolean|bool|uuid|date|time|"
    r"timestamptz|timestamp(?: with(?:out)? time zone)?|interval|jsonb?|bytea|inet|vector)"
    r"(?:\(\d+(?:,\s*\d+)?\))?(?:\[\])?"
)
_VALUE = r"(?:`[^`]+`|'[^']*'|\"[^\"]*\"|-?\d+(?:\.\d+)?|true|false|null|now\(\)|\w+\(\))"


@dataclass(frozen=True)
class Traits:
    """What a statement says of a column, as the definition that would make it so."""

    type: str = ""
    nullable: bool | None = None
    default: str = ""
    unique: bool = False
    primary: bool = False

    def definition(self, name: str, type: str) -> str:
        """The column as SQL, of the type that it has where the statement names none."""
        parts = [f'"{name}"', self.type or type]
        parts += ["NOT NULL"] * (self.nullable is False) + ["UNIQUE"] * self.unique
        parts += ["PRIMARY KEY"] * self.primary
        parts += [f"DEFAULT {self.default}"] if self.default else []
        return " ".join(parts)


#: words → what they say; the value of a default is its last group
_TRAITS: tuple[tuple[str, str], ...] = (
    (rf"(?:(?:of )?(?:the )?type (?:is )?)?`?({_TYPE})`?", "type"),
    (r"not[- ]null(?:able)?|non-null(?:able)?|required|mandatory", "required"),
    (r"null(?:able)?|optional|allows? nulls?", "nullable"),
    (
        rf"(?:with )?(?:(?:a|the) )?default(?:s|ing)?(?: value)?(?:(?: of| to|:))? ({_VALUE})",
        "default",
    ),
    (r"(?:a )?primary key", "primary"),
    (r"unique", "unique"),
)
_ONE = "|".join(f"(?:{words})" for words, _ in _TRAITS).replace("(`?", "(?:`?")
_ONE = re.sub(r"(?<!\\)\((?!\?)", "(?:", _ONE)
_GLUE = r"(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s+)(?:(?:is|with|of|that is|has|a|an)\s+)*"


def read_traits(text: str) -> Traits:
    """`text, not null, default 'new'`."""
    found = Traits()
    rest = text.strip()
    while rest:
        for words, kind in _TRAITS:
            said = re.match(rf"(?:{words})(?=[\s,]|$)", rest, re.IGNORECASE)
            if said:
                found = _with(found, kind, said)
                break
        else:
            raise ValueError(f"no trait of a column: {rest}")
        rest = re.sub(rf"^{_GLUE}", "", rest[said.end() :], flags=re.IGNORECASE).strip()
    return found


def _with(found: Traits, kind: str, said: re.Match[str]) -> Traits:
    if kind == "type":
        return replace(found, type=said[1])
    if kind == "default":
        return replace(found, default=_literal(said[1]))
    if kind == "unique":
        return replace(found, unique=True)
    if kind == "primary":
        return replace(found, primary=True)
    return replace(found, nullable=kind == "nullable")


def _literal(value: str) -> str:
    """A default as SQL: `` `new` `` is the word, `` `now()` `` the call."""
    plain = value.strip("`")
    if plain.startswith('"'):
        return "'" + plain.strip('"').replace("'", "''") + "'"
    is_word = re.fullmatch(r"[A-Za-z][\w-]*", plain) and plain.lower() not in (
        "true",
        "false",
        "null",
    )
    return f"'{plain}'" if is_word else plain


parameter_type("traits", rf"(?:{_ONE})(?:{_GLUE}(?:{_ONE}))*", read_traits)
# "is unique" alone is the claim of another check
parameter_type("oftraits", rf"(?!unique\s*$)(?:{_ONE})(?:{_GLUE}(?:{_ONE}))*", read_traits)
parameter_type("moretraits", rf"(?:{_ONE})(?:{_GLUE}(?:{_ONE}))*", read_traits)

# -- columns ---------------------------------------------------------------------------------------


def _table(ctx: Context, name: str, column: str = "") -> tuple[Subject, Relation] | Result:
    """The migration and the table; `app.orders` may be a table of another schema."""
    subject = subject_of(ctx)
    if isinstance(subject, Result):
        return subject
    found = tables_of_claim(subject.proof, Tables((name,)))
    if isinstance(found, str) and column:
        qualified = tables_of_claim(subject.proof, Tables((f"{name}.{column}",)))
        found = found if isinstance(qualified, str) else qualified
    if isinstance(found, str):
        return unproven(f"{subject.path}: {found}, and nothing else is looked at", subject.path)
    return subject, found[0]


_HAS = "(has|have|gets|includes|contains|gains)"
_OF = "[(,|with|of|that is|which is)]"
_ADDED = "(exists|is added|was added|has been added|is there|is present) (in|to|on)"


@check(
    f"{{table:onetable}} {_HAS} [(a|an|the)] [new] [{{traits:traits}}] {{column:onecolumn}} column",
    f"{{table:onetable}} {_HAS} [(a|an|the)] [new] [{{traits:traits}}] {{column:onecolumn}} column"
    f"[,] {_OF} {{more:moretraits}}",
    f"{{table:onetable}} {_HAS} [(a|an|the)] [new] [{{traits:traits}}] column {{column:onecolumn}}"
    f"[,] {_OF} {{more:moretraits}}",
    f"{{table:onetable}} {_HAS} (a|an|the) [new] {{traits:traits}} column {{column:onecolumn}}",
    "add [(a|an|the)] [new] [{traits:traits}] {column:onecolumn} column (to|in) {table:onetable}",
    f"[(a|an|the)] [new] [{{traits:traits}}] {{column:onecolumn}} column {_ADDED} "
    "{table:onetable}",
    f"column {{column:onecolumn}} {_ADDED} {{table:onetable}}",
    "{of:columnof} (is|is of|has|has the|has a|is a|is an|is the) {traits:oftraits} [column]",
    "{of:columnof} {traits:defaulting}",
    name="sql.column-is",
    examples=(
        "The `orders` table has a `status` column of type text, default 'new'",
        "`orders.note` is nullable",
        "Add a nullable `note` column to `orders`",
        "`orders.created_at` defaults to `now()`",
    ),
)
def column_is(
    ctx: Context,
    table: str = "",
    column: str = "",
    of: tuple[str, str] = ("", ""),
    traits: Traits | None = None,
    more: Traits | None = None,
) -> Result:
    """The table really has the column, with the type, default, key and NULL that are named."""
    table, column = (table, column) if table else of
    found = _table(ctx, table)
    if isinstance(found, Result):
        return found
    subject, relation = found
    real = relation.column(column)
    if real is None:
        return subject.failed(f"{subject.path}: {relation.name} has no column {column}")
    problems: list[str] = []
    for said in filter(None, (traits, more)):
        definition = said.definition(column, real.type)
        wanted = defined(ctx, definition)
        if wanted is None:
            return unproven(f"`{definition}` is not a column that PostgreSQL reads", subject.path)
        problems += column_problems(relation, *wanted)
        if said.nullable and real.not_null:
            problems.append(f"{table}.{column} may not be null")
    if problems:
        return subject.failed(f"{subject.path}: {'; '.join(dict.fromkeys(problems))}")
    shown = f"{real.type}{' NOT NULL' * real.not_null}"
    shown += f" DEFAULT {real.default}" if real.default else ""
    return proven(f"{relation.name}.{column} is {shown}", subject.path)


parameter_type(
    "defaulting",
    rf"default(?:s|ed)?\s+(?:to\s+)?{_VALUE}",
    lambda t: Traits(default=_literal(re.split(r"\s+", t, maxsplit=2 if " to " in t else 1)[-1])),
)


@check(
    "{table:onetable} (no longer has|has no|does not have) [(a|an|the|any)] "
    "({column:onecolumn} column|column {other:onecolumn})",
    "[the] {column:onecolumn} column (is|was|has been) (removed|dropped|deleted) from "
    "{table:onetable}",
    "column {column:onecolumn} (is|was|has been) (removed|dropped|deleted) from {table:onetable}",
    "[the] column {of:columnof} (is|was|has been) (removed|dropped|deleted)",
    name="sql.no-column",
    examples=("The `note` column is removed from `orders`",),
)
def no_column(
    ctx: Context,
    table: str = "",
    column: str = "",
    other: str = "",
    of: tuple[str, str] = ("", ""),
) -> Result:
    """The table, which the migration makes or changes, has no such column afterwards."""
    table, column = (table, column or other) if table else of
    found = _table(ctx, table)
    if isinstance(found, Result):
        return found
    subject, relation = found
    if relation.column(column):
        return subject.failed(f"{subject.path}: {relation.name} has a column {column}")
    return proven(f"{relation.name} has no column {column}", subject.path)


# -- constraints -----------------------------------------------------------------------------------

parameter_type("rule", r"CASCADE|SET NULL|SET DEFAULT|RESTRICT|NO ACTION", str.upper)
parameter_type(
    "referenced", rf"(?:{_DOTTED}|{_TABLE})", lambda t: tuple(_bare(t).replace("`", "").split("."))
)
_KEY = "[(a|the|there is a|there is an|an)] (foreign key|FK)"
_ON_DELETE = "[(,|with|and)] [on delete {rule:rule}]"


@check(
    f"{{of:columnof}} (references|is a foreign key to|points to) {{to:referenced}} {_ON_DELETE}",
    f"{_KEY} from {{of:columnof}} to {{to:referenced}} {_ON_DELETE}",
    "{table:onetable} has a foreign key [on {column:onecolumn}] to {to:referenced} "
    "[(,|with|and)] on delete {rule:rule}",
    f"{_KEY} from {{table:onetable}} to {{to:referenced}} {_ON_DELETE}",
    name="sql.references",
    examples=(
        "`orders.customer_id` references `customers.id` on delete cascade",
        "Foreign key from `orders` to `customers` with on delete set null",
    ),
)
def references(
    ctx: Context,
    to: tuple[str, ...],
    of: tuple[str, str] = ("", ""),
    table: str = "",
    column: str = "",
    rule: str = "",
) -> Result:
    """A foreign key of the table leads there, in force, and does this when the other row goes."""
    found = _table(ctx, table or of[0], of[1])
    if isinstance(found, Result):
        return found
    subject, relation = found
    column = column or ("" if relation.qualified == ".".join(of) else of[1])
    keys = [c for c in relation.constraints if c.type == "f" and _leads(c, column, to)]
    if not keys:
        definitions = [c.definition for c in relation.constraints if c.type == "f"]
        listed = "; ".join(definitions) or "none"
        return subject.failed(f"{subject.path}: the foreign keys of {relation.name}: {listed}")
    wrong = [k.definition for k in keys if rule and not _does(k, rule)]
    loose = [k.definition for k in keys if "NOT VALID" in k.definition]
    if wrong or loose:
        return subject.failed(f"{subject.path}: {'; '.join(wrong or loose)}")
    return proven(f"{relation.name}: {keys[0].definition}", subject.path)


def _leads(key: RealConstraint, column: str, to: tuple[str, ...]) -> bool:
    if to[0] not in (key.target, key.target.rpartition(".")[2]) and key.target != ".".join(to):
        return False
    fits = not column or key.columns == (column,)
    named = len(to) < 2 or key.target_columns == to[1:]
    return fits and (named or key.target == ".".join(to))


def _does(key: RealConstraint, rule: str) -> bool:
    said = re.search(r"ON DELETE (CASCADE|SET NULL|SET DEFAULT|RESTRICT)", key.definition)
    return (said[1] if said else "NO ACTION") == rule


@check(
    "[(a|an|the|there is a|there is an)] unique (index|constraint|key) [exists] (on|for) "
    "{of:columnof}",
    "{of:columnof} has a unique (index|constraint|key)",
    "[(a|the|there is a)] check constraint [exists] {checked:onlyon} {of:columnof}",
    "{of:columnof} has a {checked:checking}",
    "{table:onetable} has a primary key (on|of) {columns:names}",
    "{columns:names} (is|are) the primary key of {table:onetable}",
    "(all|every) [new] (table|tables) (has|have) a primary key",
    name="sql.constraint",
    examples=(
        "There is a unique index on `users.email`",
        "`orders.total` has a check constraint",
        "`id` is the primary key of `orders`",
        "Every table has a primary key",
    ),
)
def constraint(
    ctx: Context,
    of: tuple[str, str] = ("", ""),
    checked: str = "",
    table: str = "",
    columns: tuple[str, ...] = (),
) -> Result:
    """The server has the unique index, check or primary key, valid and for whole rows."""
    if not (table or of[0]):
        return _all_keyed(ctx)
    found = _table(ctx, table or of[0], of[1])
    if isinstance(found, Result):
        return found
    subject, relation = found
    if of[1] and relation.qualified == ".".join(of):
        return unproven(f"{'.'.join(of)} is a table, and no column of it is named", subject.path)
    at = f"{relation.name}.{of[1]}"
    if table:
        good = set(relation.primary_key) == set(columns)
        said = f"the primary key of {table} is ({', '.join(relation.primary_key)})"
    elif checked:
        definitions = [
            c.definition for c in relation.constraints if c.type == "c" and of[1] in c.columns
        ]
        good, said = bool(definitions), f"checks of {at}: {'; '.join(definitions) or 'none'}"
    else:
        good = (of[1],) in (*relation.unique_keys, relation.primary_key)
        said = f"{at} is {'' if good else 'not '}unique"
    if not good:
        return subject.failed(f"{subject.path}: {said}")
    return proven(said, subject.path)


parameter_type("onlyon", r"(?:on|for)", lambda _t: "check")
parameter_type("checking", r"check constraint|CHECK", lambda _t: "check")


def _all_keyed(ctx: Context) -> Result:
    subject = subject_of(ctx)
    if isinstance(subject, Result):
        return subject
    found = tables_of_claim(subject.proof, Tables())
    if isinstance(found, str):
        return subject.failed(f"{subject.path}: {found}")
    bare = [t.name for t in found if not t.primary_key]
    if bare:
        return subject.failed(f"{subject.path}: no primary key: {', '.join(bare)}")
    return proven(f"a primary key in {', '.join(t.name for t in found)}", subject.path)
