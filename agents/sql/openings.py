"""What a migration opens beside the rows that the access matrix shows, object by object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from orchestrate_agents.sql.catalog import Snapshot, query_text
from orchestrate_agents.sql.nested_statements import nested_statements
from orchestrate_agents.sql.parse import SqlError, printed, walk
from orchestrate_agents.sql.requests import WHO

_TRUSTED = ("postgres", "service_role", "dashboard_user")
#: what concerns no table that there is: without a specification it contradicts no claim
_ELSEWHERE = ("public bucket", "grant on the sequence", "grant on the language")
#: those that let somebody do more whatever policies say
_POWERFUL = re.compile(
    r"\b(?:pgrst\.\w+|role|row_security|session\w*|search_path|request\.\S+)\s*(?:TO|=)",
    re.IGNORECASE,
)
_OWNERS = re.compile(r"postgres$|supabase_\w+$")
_SELDOM = ("USAGE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN", "EXECUTE")
#: settings of roles and databases that let nobody do more
_HARMLESS = re.compile(
    r"\bSET (?:\w*timeout|\w*work_mem|log_\w+|timezone|datestyle|intervalstyle|jit|"
    r"application_name|pgrst\.db_max_rows|pgrst\.db_aggregates_enabled|default_\w+)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Opening:
    """One thing that gives somebody access."""

    kind: str
    object: str
    #: a role, PUBLIC, or "" for anybody
    who: str
    what: str

    def concerns(self, role: str) -> bool:
        """Whether it can give a role of the API something."""
        return self.who in (role, "", "PUBLIC", "public") or self.who not in (
            "anon",
            "authenticated",
            *_TRUSTED,
        )

    @property
    def of_tables(self) -> bool:
        """Whether a claim about who may do what is contradicted by it, whatever is specified."""
        if self.kind.startswith("default privilege"):
            return self.who != "authenticated"
        if self.kind.startswith("setting"):
            return bool(_POWERFUL.search(self.what))
        return self.kind not in _ELSEWHERE and self.what not in _SELDOM

    def __str__(self) -> str:
        to = f" to {self.who}" if self.who else ""
        return f"{self.kind} {self.object}: {self.what}{to}".replace("  ", " ")


def openings(connection: Any) -> frozenset[Opening]:
    """All that gives access now."""
    rows = connection.execute(query_text("openings.sql")).fetchall()
    return frozenset(Opening(*map(str, row)) for row in rows)


#: statements about who may do what, by their names in the parse tree, and what they are called
_WRITTEN = {
    "GrantRoleStmt": "membership",
    "AlterRoleStmt": "role",
    "CreateRoleStmt": "role",
    "AlterRoleSetStmt": "setting of the role",
    "AlterDatabaseSetStmt": "setting of the database",
    "CreateEventTrigStmt": "event trigger",
    "CreateForeignServerStmt": "foreign server",
    "CreateForeignTableStmt": "foreign table",
    "CreateUserMappingStmt": "foreign user",
    "GrantStmt": "grant",
}
_LATER = {
    "AlterPolicyStmt",
    "CreatePolicyStmt",
    "AlterOwnerStmt",
    "AlterDefaultPrivilegesStmt",
    "AlterFunctionStmt",
} | _WRITTEN.keys()
_LATER_PARTS = ("AT_DisableRowSecurity", "AT_NoForceRowSecurity", "AT_ChangeOwner")


def written_openings(text: str) -> Iterator[Opening]:
    """What the text opens and the catalog of one database does not show.

    Roles and settings belong to the whole server, and what a job does has not happened yet.
    """
    try:
        nested = list(nested_statements(text))
    except SqlError:
        return
    for statement in nested:
        node, kind = statement.node, type(statement.node).__name__
        if kind in _WRITTEN and not statement.function and _gives(node, kind):
            yield Opening(_WRITTEN[kind], f"line {statement.line}", "", printed(node))
        elif (
            kind == "CreateFunctionStmt"
            and (name := ".".join(part.sval for part in node.funcname)) in WHO
        ):
            yield Opening("function of the service", name, "", "replaced")
        for words in scheduled(node):
            for later in _parsed(words):
                if _changes_access(later, type(later).__name__):
                    yield Opening("job that changes access", "cron", "", printed(later))


def _gives(node: Any, kind: str) -> bool:
    """Whether a statement about roles gives anything."""
    if kind == "GrantRoleStmt":
        to = [r.rolename or "" for r in node.grantee_roles]
        return bool(node.is_grant) and not all(map(_OWNERS.match, to))
    if kind == "GrantStmt":
        return bool(node.is_grant) and node.objtype.name == "OBJECT_PARAMETER_ACL"
    if kind.endswith("SetStmt"):
        return not _HARMLESS.search(printed(node)) and node.setstmt.kind.name != "VAR_RESET"
    options = {
        o.defname: getattr(o.arg, "boolval", True) for o in getattr(node, "options", ()) or ()
    }
    if kind == "CreateRoleStmt":
        # one that nobody can be, that owns nothing and that nothing is granted to, opens nothing
        return any(
            options.get(o) for o in ("canlogin", "bypassrls", "superuser", "rolemembers")
        ) or (node.stmt_type.name == "ROLESTMT_USER")
    if kind == "AlterRoleStmt":
        return any(options.get(o) for o in ("canlogin", "bypassrls", "superuser", "createrole"))
    return True


def _changes_access(node: Any, kind: str) -> bool:
    if kind == "AlterTableStmt":
        return any(c.subtype.name in _LATER_PARTS for c in node.cmds or ())
    if kind == "DropStmt":
        return bool(node.removeType.name == "OBJECT_POLICY")
    return kind in _LATER and getattr(node, "is_grant", True)


def scheduled(node: Any) -> Iterator[str]:
    """What `cron.schedule` is handed as text."""
    for call in walk(node) if node is not None else ():
        if type(call).__name__ == "FuncCall" and call.funcname[0].sval == "cron":
            for argument in walk(call.args or ()):
                value = getattr(getattr(argument, "val", None), "sval", None)
                if isinstance(value, str):
                    yield value


def _parsed(text: str) -> list[Any]:
    try:
        return [n.node for n in nested_statements(text) if n.node is not None]
    except SqlError:
        return []


def opened_by(
    text: str, before: frozenset[Opening], after: frozenset[Opening], catalog: Snapshot
) -> tuple[Opening, ...]:
    """What a migration opened; `before`, `after` and `catalog` are those of its database.

    The use of a schema that was not there opens nothing by itself: what is in it is judged.
    """
    schemas = {name for kind, name, _ in catalog if kind == "schema"}
    new = {
        o
        for o in after - before
        if (o.kind, o.what) != ("grant on the schema", "USAGE") or o.object in schemas
    }
    return tuple(sorted({*new, *written_openings(text)}, key=str))


def beyond(real: Iterable[Opening], specified: Iterable[Opening]) -> tuple[Opening, ...]:
    """What is opened and not specified. Of written statements the place does not count."""
    known = {_key(o) for o in specified}
    return tuple(sorted((o for o in real if _key(o) not in known), key=str))


def _key(opening: Opening) -> tuple[str, ...]:
    place = "" if opening.object.startswith("line ") else opening.object
    return opening.kind, place, opening.who, opening.what
