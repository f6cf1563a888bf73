"""What a hosted project may have and the proving server lacks: never a fault of a migration."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

_SCRIPTS = Path(__file__).with_name("stand_ins.sql")

#: extensions that every project has; what the set-up lacks of them is reported when used
STANDING = frozenset(
    ("pgcrypto", "uuid-ossp", "plpgsql", "pg_stat_statements", "pg_graphql", "supabase_vault")
)

_NO_CLASS = r"data type [\w ]+ has no default operator class for access method "
#: extension → names of what it brings, as the server's messages spell them
_BRINGS = {
    "address_standardizer": r"standardize_address|parse_address",
    "btree_gin": _NO_CLASS + r'"gin"',
    "btree_gist": _NO_CLASS + r'"gist"',
    "citext": r"citext",
    "cube": r"cube",
    "dblink": r"dblink\w*",
    "earthdistance": r"earth|ll_to_earth|earth_box|earth_distance",
    "fuzzystrmatch": r"levenshtein\w*|soundex|difference|d?metaphone(?:_alt)?|daitch_mokotoff",
    "hstore": r"hstore|gin_hstore_ops|gist_hstore_ops",
    "http": r"http|http_(?:get|post|put|patch|delete|head|header|request|response|method)",
    "hypopg": r"hypopg\w*",
    "intarray": r"gin__int_ops|gist__int(?:big)?_ops|query_int|idx|uniq",
    "isn": r"isbn|isbn13|issn|issn13|ismn|ean13|upc",
    "ltree": r"ltree|lquery|ltxtquery|nlevel|subpath|gist_ltree_ops|text2ltree",
    "moddatetime": r"moddatetime",
    "pg_cron": r"cron(?:\.\w+)?",
    "pg_graphql": r"graphql(?:_public)?(?:\.\w+)?",
    "pg_hashids": r"id_encode|id_decode",
    "pg_jsonschema": r"jsonb?_matches_schema|jsonschema_\w+",
    "pg_net": r"net(?:\.\w+)?",
    "pg_partman": r"partman(?:\.\w+)?",
    "pg_repack": r"repack(?:\.\w+)?",
    "pg_stat_statements": r"pg_stat_statements\w*",
    "pg_tle": r"pgtle(?:\.\w+)?",
    "pg_trgm": r"gin_trgm_ops|gist_trgm_ops|(?:strict_)?(?:word_)?similarity|show_trgm|show_limit|"
    r"set_limit|(?:text|unknown|character varying) (?:<?<?%>?>?|<?<?<->>?>?) \w[\w ]*",
    "pgcrypto": r"crypt|gen_salt|digest|hmac|encrypt(?:_iv)?|decrypt(?:_iv)?|pgp_\w+|armor|dearmor",
    "pgjwt": r"sign|verify|url_encode|url_decode|algorithm_sign",
    "pgmq": r"pgmq(?:\.\w+)?",
    "pgroonga": r"pgroonga\w*",
    "pgrouting": r"pgr_\w+",
    "pgsodium": r"pgsodium(?:\.\w+)?|pgsodium_masks",
    "pgtap": r"plan|finish|has_(?:table|column|function)|results_eq|throws_ok|lives_ok|is_empty",
    "plpgsql_check": r"plpgsql_check\w*",
    "plv8": r"plv8",
    "postgis": r"geography|geometry|geometry_dump|box[23]d|raster|st_\w+|_st_\w+|spatial_ref_sys|"
    r"gist_geometry_ops\w*|postgis_\w+|topology(?:\.\w+)?|tiger(?:\.\w+)?",
    "postgres_fdw": r"postgres_fdw",
    "rum": r"rum|rum_\w+_ops",
    "seg": r"seg",
    "supabase_vault": r"vault(?:\.\w+)?",
    "tablefunc": r"crosstab\w*|normal_rand|connectby",
    "timescaledb": r"create_hypertable|time_bucket\w*|add_(?:retention|compression)_policy",
    "tsm_system_rows": r"system_rows",
    "tsm_system_time": r"system_time",
    "unaccent": r"unaccent",
    "uuid-ossp": r"uuid_generate_v[1-5](?:mc)?|uuid_ns_\w+|uuid_nil",
    "wrappers": r"\w+_wrapper|\w+_fdw_(?:handler|validator)",
    "xml2": r"xpath_\w+|xslt_process|xml_\w+",
}
#: schemas that the service makes, and never a migration
HOSTED = (
    "auth",
    "storage",
    "realtime",
    "_realtime",
    "_analytics",
    "supabase_functions",
    "supabase_migrations",
    "pgbouncer",
    "extensions",
)
#: SQLSTATEs of a name that leads nowhere
_UNDEFINED = ("42704", "42883", "3F000", "42P01", "42P13")
_KINDS = re.compile(
    r"(?:extension|type|function|procedure|aggregate|operator|access method|language|schema|"
    r"data type|foreign-data wrapper|text search \w+|publication|tablesample method|"
    r"unrecognized configuration parameter)\b"
)
#: tables that extensions put beside those of users; all others are in a schema of their own
_RELATION = re.compile(
    r'relation "(?:(?!public\.)\w+\.\w+|spatial_ref_sys|geometry_columns|pg_stat_statements)"'
)
#: what the service lets its owner do, and a proof, which shares its server, does not
_WITHHELD = {
    r"permission denied to (?:create|alter|drop|grant) role": "a proof makes and changes no roles",
    r"permission denied to create event trigger": "a proof makes no event triggers",
    r"could not find valid entry for job": "the proving server has no pg_cron",
    r"must be owner of database|permission denied to set parameter": (
        "a proof changes no settings of the database"
    ),
    r"permission denied to create foreign-data wrapper": "a proof makes no foreign-data wrappers",
    r"must be superuser to create FOR ALL TABLES": "a proof publishes no whole database",
    r"(?:must be owner of|permission denied for schema) (?:\w+ )?(?:auth|storage|realtime)\b|"
    r"Supabase's own tables": "whether a project's owner may change Supabase's own tables differs",
}
#: what depends on how a server was built or on its machine, by SQLSTATE
_LACKS = {
    "0A000": {
        r"^(\w+) is not supported (?:in|by) this build": r"\1",
        r"^compression method (\w+) not supported": r"compression by \1",
    },
    "42704": {
        r'^tablespace "([^"]+)" does not exist': r"tablespace \1",
        # one that a migration makes is in a schema of its own
        r'^collation "(?:pg_catalog\.)?([^".]+)" (?:for encoding "\w+" )?does not exist': (
            r"collation \1"
        ),
    },
}


def gap(message: str, code: str, left_out: Collection[str] = ()) -> str:
    """What of a hosted project the proving server lacks, if that is why a statement failed.

    `message` and `code` are the server's, `left_out` the extensions that it was asked for and does
    not have. "" if the migration is at fault.
    """
    for words, lacks in _LACKS.get(code, {}).items():
        if found := re.search(words, message):
            return f"the proving server has no {found.expand(lacks)}"
    if code in ("42501", "P0001"):
        withheld = (why for words, why in _WITHHELD.items() if re.search(words, message))
        return next(withheld, "")
    kinds = _RELATION if code == "42P01" else _KINDS
    if code not in _UNDEFINED or not kinds.match(message):
        return ""
    asked = re.match(r'extension "([^"]+)"', message)
    if asked:
        known = asked[1] in _BRINGS or asked[1] in left_out
        return f"the proving server has no {asked[1]}" if known else ""
    names = [e for e, brings in _BRINGS.items() if _is_named(brings, message, e in left_out)]
    # of two that bring the same name, the one that was asked for
    named = next((n for n in names if n in left_out), names[0] if names else "")
    if named:
        return f"the proving server has no {named}"
    schema = re.search(rf"(?<![\w.])((?:{'|'.join(HOSTED)})(?:\.\w+)?)(?![\w.])", message)
    if schema:
        return f"the proving server has no {schema[1]}"
    unknown = [name for name in left_out if name not in _BRINGS]
    return f"the proving server has no {', '.join(unknown)}" if unknown and code != "42P01" else ""


def _is_named(brings: str, message: str, is_asked_for: bool) -> bool:
    schema = r"\w+" if is_asked_for else "(?:public|extensions)"
    return bool(re.search(rf"(?<![\w.])(?:{schema}\.)?(?:{brings})(?![\w.])", message))


@cache
def stand_ins() -> dict[str, str]:
    """SQL that stands in for an extension while a migration is proven, by the extension's name."""
    _, *parts = re.split(r"^-- extension (\S+)$", _SCRIPTS.read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[::2], parts[1::2], strict=True))


#: stand-ins that do what the extension does
SAME = frozenset(("moddatetime", "supabase_vault"))
