"""The words of statements about SQL: which tables, which role may do what, which kinds of harm."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrate_agents.sql.catalog import Relation
from orchestrate_agents.sql.destructive import DestructiveKind
from orchestrate_agents.sql.prove import Proof
from orchestrator.gates.checks import TYPES, parameter_type

_NUMBERS = TYPES["int"][0]
_LONG_NAME = r"(?:[A-Za-z]\w*\.)?[A-Za-z]\w*_\w+"
_FILE = (
    r"(?:cfg|conf|css|csv|env|gif|go|html?|ini|ipynb|java|jpe?g|jsx?|jsonl?|lock|log|mdx?|mjs|"
    r"parquet|pdf|php|png|py|rb|rs|rst|sass|scss|sh|sql|svg|toml|tsv|tsx?|txt|vue|xml|ya?ml|zip)"
)
#: files that everybody knows by these names
_BARE = r"(?:README|CHANGELOG|LICENSE|CONTRIBUTING|Makefile|Dockerfile|Justfile|Procfile|Gemfile)"
# `test_total` is a test
_NAME = rf"(?:`(?!test_|(?-i:{_BARE})`|[\w.]*\.{_FILE}`)[\w.]+`|\"[\w.]+\"|(?!test_){_LONG_NAME})"
_ONE = r"(?:`[\w.]+`|\"[\w.]+\"|[A-Za-z]\w*(?:\.\w+)?)"
#: one table by name: in backticks, or with the word
TABLE_WORD = (
    rf"(?:(?:the\s+)?(?:`[\w.]+`|(?!(?:a|the|no|all|any|each|every|this|new|some)\b)[a-z_]\w*)\s+table"
    rf"|(?:the\s+)?table\s+(?:`[\w.]+`|[a-z_]\w*)|`(?![\w.]*\.{_FILE}`)[\w.]+`)"
)
_AND = r"\s*(?:,\s*and\s+|,|/|\+|&|\s+and\s+)\s*"
_QUANTITY = (
    rf"(?:(?:all|each|every|both|the|of|new|created|seeded|public|{_NUMBERS})\s+)+"
    r"tables?"
)


@dataclass(frozen=True)
class Tables:
    """The tables that a claim speaks of: by name, or all of them, perhaps with their number."""

    names: tuple[str, ...] = ()
    count: int | None = None
    #: the words call them tables
    said: bool = field(default=False, compare=False)
    #: all that there are, not only the new ones
    every: bool = field(default=False, compare=False)


def read_tables(text: str) -> Tables:
    """`all three tables`, `branches and branch_hours`, `the branches table`."""
    if re.fullmatch(_QUANTITY + r"|tables|it|they|them", text.strip(), re.IGNORECASE):
        number = re.search(rf"\b{_NUMBERS}\b", text, re.IGNORECASE)
        both = 2 if re.search(r"\bboth\b", text, re.IGNORECASE) else None
        count = TYPES["int"][1](number.group()) if number else both
        every = re.fullmatch(
            r"(?:(?:all|each|every|of|the|public)\s+)+tables?", text, re.IGNORECASE
        )
        return Tables(count=count, every=count is None and every is not None)
    bare = re.sub(r"(?i)(?<![`\"])\b(?:tables?|the|both|all)\b(?![`\"])", " ", text)
    parts = re.split(_AND, bare.strip())
    names = tuple(p.strip().strip('`"').removeprefix("public.") for p in parts if p.strip())
    return Tables(names, said=bool(re.search(r"(?i)\btables?\b", text)))


parameter_type(
    "tables",
    # the name of a test is not a table
    rf"(?!`?test_)(?:{_QUANTITY}|tables|(?:(?:the|both|all)\s+)?(?:tables?\s+)?{_NAME}(?:{_AND}{_NAME})*(?:\s+tables?)?"
    rf"|(?:the\s+)?table\s+{_ONE}|the\s+{_ONE}\s+table)",
    read_tables,
)

parameter_type("quantified", _QUANTITY, read_tables)
# only what the words call tables: a bare name may as well be a file's
parameter_type(
    "saidtables",
    rf"(?!(?:no|any|some|other|these|those|all|each|every)\b)(?:(?:the\s+)?tables?\s+{_ONE}"
    rf"(?:{_AND}{_ONE})*|(?:the\s+)?{_ONE}(?:{_AND}{_ONE})*\s+tables?)",
    read_tables,
)
parameter_type(
    "tickednames",
    r"`\w+`(?:\s*(?:,\s*and|,|\s+and)\s*`\w+`)*",
    lambda text: tuple(re.findall(r"`(\w+)`", text)),
)
# what may be a column of a table is none of these
parameter_type(
    "plaintables", rf"(?!`?(?!public\.)\w+\.\w+`?(?:\s|$)){TYPES['tables'][0]}", TYPES["tables"][1]
)

# where somebody can, or cannot, do something to any or to either of them, each is meant
parameter_type(
    "anytable",
    r"(?:any (?:of the )?tables?|either (?:table|of the (?:two )?tables))",
    lambda text: Tables(count=2) if text.lower().startswith("either") else Tables(every=True),
)


class OlderTable(str):
    """What is said where a claim names a table that an earlier migration makes."""


def older_tables(proof: Proof) -> frozenset[str]:
    """The tables of the `public` schema that the migration neither makes nor changes."""
    there = (name for kind, name, _ in proof.catalog if kind == "table")
    made = {table.qualified for table in (*proof.tables, *proof.standing)}
    return frozenset(name for name in there if name.startswith("public.") and name not in made)


def tables_of_claim(proof: Proof, tables: Tables) -> tuple[Relation, ...] | str:
    """The real tables that a claim means; or what is wrong with what it says."""
    made = proof.tables
    if not tables.names:
        if not made and tables.count is None and proof.standing:
            return proof.standing
        if tables.count is not None and tables.count != len(made):
            names = ", ".join(t.name for t in made) or "none"
            count = f"the claim speaks of {tables.count} tables"
            return f"{count}, the migration makes {len(made)}: {names}"
        return made or "the migration makes no table"
    found = []
    for name in tables.names:
        known = (*made, *proof.standing)
        relation = next((t for t in known if name in (t.name, t.qualified)), None)
        named = proof.relation(name)
        if relation is None and named is not None and named.is_table and "." in name:
            relation = named
        if relation is None and {name, f"public.{name}"} & older_tables(proof):
            return OlderTable(f"{name} is an older table, which the migration does not touch")
        if relation is None:
            return f"the migration makes no table {name}"
        found.append(relation)
    return tuple(found)


parameter_type(
    "columndef",
    r"[`\"](?!(?:ENABLE|CREATE|ALTER|ROW|FORCE|UNIQUE|PRIMARY|RLS|SELECT)\b)[A-Za-z_]\w*\s+[^`\"]+[`\"]",
    lambda text: text.strip()[1:-1].strip().rstrip(","),
)

_DROPPED = r"(?:TABLE|COLUMN|CONSTRAINT|POLICY|INDEX)"
_HARMS = {
    rf"DROP(?:\s+{_DROPPED})?s?": DestructiveKind.DROP,
    r"TRUNCATE(?:\s+TABLE)?s?": DestructiveKind.TRUNCATE,
    r"DELETE(?:\s+FROM)?s?": DestructiveKind.DELETE,
    r"ALTER\s+(?:(?:TABLE\s+)?COLUMN\s+)?(?:SET\s+DATA\s+)?TYPE": DestructiveKind.TYPE_CHANGE,
    r"RENAMEs?": DestructiveKind.RENAME,
    r"DISABLE\s+ROW\s+LEVEL\s+SECURITY": DestructiveKind.LESS_SECURITY,
}
_HARM = rf"[`*\"]*(?:{'|'.join(_HARMS)})[`*\"]*"


@dataclass(frozen=True)
class Harms:
    """Kinds of statements; of DROP, perhaps only what drops certain kinds of objects."""

    kinds: tuple[DestructiveKind, ...]
    dropped: tuple[str, ...] = ()

    def spare(self, text: str) -> bool:
        """Whether a DROP, as written, is known to drop another kind of object.

        With CASCADE it drops what depends on it, and a schema or an extension what is in it.
        """
        if re.search(r"\b(?:CASCADE|SCHEMA|EXTENSION)\b", text, re.I):
            return False
        named = re.search(rf"\bDROP\s+(?:MATERIALIZED\s+|FOREIGN\s+)?({_OBJECT})\b", text, re.I)
        if named is None or not self.dropped:
            return False
        return named[1].upper() not in self.dropped


_OBJECT = (
    rf"{_DROPPED}|VIEW|FUNCTION|TRIGGER|TYPE|DOMAIN|SEQUENCE|SCHEMA|EXTENSION|RULE|ROLE|DEFAULT|NOT"
)


def read_harms(text: str) -> Harms:
    """`DROP, TRUNCATE, or ALTER COLUMN TYPE` as kinds."""
    kinds = (h for words, h in _HARMS.items() if re.search(rf"\b{words}\b", text, re.IGNORECASE))
    drops = re.findall(rf"\bDROP(?:\s+({_DROPPED}))?", text, re.IGNORECASE)
    return Harms(tuple(kinds), tuple(map(str.upper, drops)) if all(drops) else ())


parameter_type(
    "harms",
    rf"{_HARM}(?:\s*(?:,\s*(?:or|and|nor)\s+|,|/|\s+or\s+|\s+and\s+|\s+nor\s+)\s*(?:no\s+)?{_HARM})*",
    read_harms,
)

_ROLES = {
    "anon": r"(?:an\s+)?(?:anon(?:ymous)?|unauthenticated|signed-out|logged-out|public)"
    r"(?:\s+(?:users?|clients?|visitors?|requests?|role|key))?",
    "authenticated": r"(?:an\s+)?(?:authenticated|signed-in|logged-in)"
    r"(?:\s+(?:users?|clients?|requests?|role))?",
    "service_role": r"(?:the\s+)?service[_ -]role(?:\s+(?:key|role|\(seeding scripts\)))?",
}
_ROLE = rf"[`*\"]*(?:{'|'.join(_ROLES.values())})[`*\"]*"


def read_role(text: str) -> str:
    """The role of the API that a phrase means."""
    plain = text.strip('`*" ')
    return next(r for r, words in _ROLES.items() if re.fullmatch(words, plain, re.IGNORECASE))


parameter_type("role", _ROLE, read_role)

_VERBS = {
    r"read(?:s|ing)?|SELECT(?:s|ed)?|quer(?:y|ies|ied)|see[ns]?|view(?:s|ed)?|fetch(?:es|ed)?": (
        "SELECT",
    ),
    r"writ(?:e|es|ing|ten)|modif(?:y|ies|ied)|change[sd]?": ("INSERT", "UPDATE", "DELETE"),
    r"INSERT(?:s|ed)?|add(?:s|ed)?|create[sd]?|upload(?:s|ed)?": ("INSERT",),
    r"UPDATE(?:s|d)?|edit(?:s|ed)?": ("UPDATE",),
    r"DELETE(?:s|d)?|remove[sd]?": ("DELETE",),
    r"access(?:es|ed)?|touch(?:es|ed)?|manage[sd]?|do anything": (
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
    ),
}
_VERB = rf"[`*\"]*(?:{'|'.join(_VERBS)})[`*\"]*"


def read_verbs(text: str) -> tuple[str, ...]:
    """`insert, update or delete` as SQL verbs."""
    found: dict[str, None] = {}
    for word in re.split(r"\W+", text.strip()):
        for words, verbs in _VERBS.items():
            if re.fullmatch(words, word, re.IGNORECASE):
                found.update(dict.fromkeys(verbs))
    if re.search(r"do anything", text, re.IGNORECASE):
        found.update(dict.fromkeys(("SELECT", "INSERT", "UPDATE", "DELETE")))
    return tuple(found)


parameter_type(
    "verbs",
    rf"{_VERB}(?:\s*(?:,\s*(?:or|and|nor)\s+|,|/|\s+or\s+|\s+and\s+|\s+nor\s+)\s*{_VERB})*",
    read_verbs,
)


class Can(StrEnum):
    """How far a claim lets a role go."""

    MAY = "may"
    MAY_NOT = "may not"
    ONLY = "may only"


def read_can(text: str) -> Can:
    """`can`, `cannot` or `can only`."""
    if re.search(r"only", text, re.IGNORECASE):
        return Can.ONLY
    denied = re.search(r"not\b|n't|n’t|never|denied|blocked|no\b", text, re.IGNORECASE)
    return Can.MAY_NOT if denied else Can.MAY


parameter_type(
    "can",
    r"(?:can(?:not| not|'t|’t)|may not|must not|can never|(?:is|are) not (?:able|allowed) to|"
    r"can only|may only|only|can|may|(?:is|are) (?:able|allowed) to)",
    read_can,
)


_ABLE = {
    "readable|visible": ("SELECT",),
    "write?able|modifiable|changeable|mutable": ("INSERT", "UPDATE", "DELETE"),
    "insertable": ("INSERT",),
    "updat(?:e)?able|editable": ("UPDATE",),
    "deletable": ("DELETE",),
}


def read_able(text: str) -> tuple[str, ...]:
    """`readable or writable` as SQL verbs."""
    words = re.findall(r"[a-z]+", text.lower())
    named = (v for w in words for a, v in _ABLE.items() if re.fullmatch(a, w))
    return tuple(dict.fromkeys(verb for verbs in named for verb in verbs))


parameter_type("able", rf"(?:{'|'.join(_ABLE)})", read_able)
parameter_type("be", r"(?:(?:is|are)(?: not)?|(?:is|are)n['’]t)", read_can)


# "can only be read by" speaks of the others, so it is none of these
parameter_type(
    "may",
    r"(?:can(?:not| not|'t|’t| never)?|(?:may|must) not|may|(?:is|are) (?:not )?allowed to)",
    read_can,
)
parameter_type("tablename", rf"(?!`?[\w.]*\.{_FILE}\b){TYPES['name'][0]}", TYPES["name"][1])
parameter_type(
    "tablecolumn",
    rf"`?[A-Za-z_]\w*\.(?!{_FILE}\b)[A-Za-z_]\w*`?",
    lambda text: tuple(text.strip(" `").split(".")),
)


@dataclass(frozen=True)
class IndexedColumns:
    """The columns of one table that an index is claimed for."""

    table: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.table} ({', '.join(self.columns)})"


_WORD = r"[`\"]?[A-Za-z_]\w*[`\"]?"
_DOTTED = rf"[`\"]?(?:[A-Za-z_]\w*\.)?[A-Za-z_]\w*[`\"]?\.[`\"]?(?!{_FILE}\b)[A-Za-z_]\w*[`\"]?"
_CALLED = (
    r"`?[`\"]?(?!(?:columns?|keys?|fields?)\b)(?:public\.)?[A-Za-z_]\w*[`\"]?"
    rf"\s*\(\s*{_WORD}(?:\s*,\s*{_WORD})*\s*\)`?"
)


def read_indexed(text: str) -> tuple[IndexedColumns, ...]:
    """`orders.customer_id`, `orders (customer_id, day)`, `a.b and c.d`."""
    found = []
    for called, dotted in re.findall(rf"({_CALLED})|({_DOTTED})", text.replace("public.", "")):
        names = re.findall(r"[A-Za-z_]\w*", called or dotted)
        table, columns = (names[0], names[1:]) if called else (names[-2], names[-1:])
        found.append(IndexedColumns(table, tuple(columns)))
    return tuple(found)


parameter_type(
    "indexed", rf"(?:{_CALLED}|{_DOTTED})(?:{_AND}(?:{_CALLED}|{_DOTTED}))*", read_indexed
)
parameter_type("nothing", r"no", lambda _text: Can.MAY_NOT)
