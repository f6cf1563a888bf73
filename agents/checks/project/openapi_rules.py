"""The structural rules of OpenAPI 2.0, 3.0 and 3.1: what a document has to have, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_ITEM_KEYS = {*METHODS, "$ref", "summary", "description", "servers", "parameters"}
_TOP = {
    "2": {"swagger", "info", "host", "basePath", "schemes", "consumes", "produces", "paths"}
    | {"definitions", "parameters", "responses", "securityDefinitions", "security", "tags"}
    | {"externalDocs"},
    "3": {"openapi", "info", "servers", "paths", "components", "security", "tags", "externalDocs"}
    | {"webhooks", "jsonSchemaDialect"},
}
_PLACES = {"2": {"query", "header", "path", "formData", "body"}}
_PLACES["3"] = {"query", "header", "path", "cookie"}
_TYPES = {"string", "number", "integer", "boolean", "array", "object", "null", "file"}
_STATUS = re.compile(r"default|[1-5](?:\d\d|XX)")


def version_of(document: object) -> str:
    """`2.0`, `3.0` or `3.1`, "" for what is none of them."""
    table = document if isinstance(document, dict) else {}
    said = str(table.get("openapi") or table.get("swagger") or "")
    found = re.fullmatch(r"(3\.[01])\.\d+|(2\.0)", said)
    return (found[1] or found[2]) if found else ""


def resolve(document: Mapping[str, Any], node: Any) -> Any:
    """What a node, or the reference that it is, stands for; None where nothing is there."""
    for _ in range(20):
        ref = node.get("$ref") if isinstance(node, dict) else None
        if not isinstance(ref, str):
            return node
        node = _look_up(document, ref)
    return None


def _look_up(document: Any, ref: str) -> Any:
    if not ref.startswith("#"):
        return None
    for part in filter(None, ref[1:].split("/")):
        key = part.replace("~1", "/").replace("~0", "~").replace("%7B", "{").replace("%7D", "}")
        if isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        elif isinstance(document, dict) and key in document:
            document = document[key]
        else:
            return None
    return document


def references(node: Any) -> Iterator[str]:
    """All references in a document; what examples hold is none."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for key, value in node.items():
            if key not in ("example", "examples", "enum", "const"):
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def problems(document: Any) -> Iterator[str]:
    """What is wrong with a document, with its place."""
    version = version_of(document)
    if not version:
        yield "it says neither openapi: 3.0.x or 3.1.x nor swagger: '2.0'"
        return
    for key in document:
        if key not in _TOP[version[0]] and not str(key).startswith("x-"):
            yield f"{key} is not a field of OpenAPI {version}"
    info = document.get("info")
    for name in ("title", "version"):
        if not isinstance(info, dict) or not isinstance(info.get(name), str):
            yield f"info.{name} is missing or no string"
    known = ("paths", "webhooks", "components") if version == "3.1" else ("paths",)
    if not any(isinstance(document.get(name), dict) for name in known):
        yield f"{' or '.join(known)} is missing"
    for ref in sorted(set(references(document))):
        if ref.startswith("#") and _look_up(document, ref) is None:
            yield f"{ref} leads nowhere"
    yield from _paths(document, version)
    yield from _schemas(document, "", within=False)


def _paths(document: Mapping[str, Any], version: str) -> Iterator[str]:
    seen: dict[str, str] = {}
    paths = document.get("paths")
    if paths is not None and not isinstance(paths, dict):
        yield "paths is not an object"
        return
    for path, item in (paths or {}).items():
        if str(path).startswith("x-"):
            continue
        if not str(path).startswith("/"):
            yield f"the path {path} does not begin with /"
        item = resolve(document, item)
        if not isinstance(item, dict):
            yield f"{path} is not an object"
            continue
        for key in item:
            if key not in _ITEM_KEYS and not str(key).startswith("x-"):
                yield f"{path}: {key} is not a method"
        for method in METHODS:
            if method in item:
                place = f"{method.upper()} {path}"
                yield from _operation(document, version, place, item, item[method])
                named = item[method] if isinstance(item[method], dict) else {}
                if name := named.get("operationId"):
                    if name in seen:
                        yield f"operationId {name} is that of {seen[name]} and of {place}"
                    seen[name] = place


def _operation(
    document: Mapping[str, Any], version: str, place: str, item: Mapping[str, Any], operation: Any
) -> Iterator[str]:
    if not isinstance(operation, dict):
        yield f"{place} is not an object"
        return
    responses = operation.get("responses")
    if responses is None and version != "3.1":
        yield f"{place} has no responses"
    elif responses is not None and (not isinstance(responses, dict) or not responses):
        yield f"{place}: responses is empty or no object"
    for status, answer in (responses if isinstance(responses, dict) else {}).items():
        answer = resolve(document, answer)
        if not _STATUS.fullmatch(str(status)) and not str(status).startswith("x-"):
            yield f"{place}: {status} is not a status of a response"
        elif not isinstance(answer, dict) or not isinstance(answer.get("description"), str):
            yield f"{place}: the response {status} has no description"
    body = resolve(document, operation.get("requestBody"))
    if "requestBody" in operation and (
        version == "2.0" or not isinstance(body, dict) or not isinstance(body.get("content"), dict)
    ):
        yield f"{place}: its requestBody has no content"
    yield from _parameters(document, version, place, [*_listed(item), *_listed(operation)])
    yield from _security(document, version, place, operation)


def _listed(node: Mapping[str, Any]) -> list[Any]:
    found = node.get("parameters")
    return found if isinstance(found, list) else []


def _parameters(
    document: Mapping[str, Any], version: str, place: str, listed: list[Any]
) -> Iterator[str]:
    in_path = set()
    for parameter in (resolve(document, p) for p in listed):
        name = parameter.get("name") if isinstance(parameter, dict) else None
        if not isinstance(name, str):
            yield f"{place}: a parameter has no name"
            continue
        where = parameter.get("in")
        if where not in _PLACES[version[0]]:
            yield f"{place}: the parameter {name} is in {where}"
        if where == "path":
            in_path.add(name)
            if parameter.get("required") is not True:
                yield f"{place}: the path parameter {name} is not required: true"
        wanted = ("schema", "content") if version[0] == "3" else ("type", "schema")
        if not any(key in parameter for key in wanted):
            yield f"{place}: the parameter {name} has no {' or '.join(wanted)}"
    named = set(re.findall(r"\{([^{}]+)\}", place))
    for name in sorted(named ^ in_path):
        which = "is not declared" if name in named else "is not in the path"
        yield f"{place}: the path parameter {name} {which}"


def _security(
    document: Mapping[str, Any], version: str, place: str, operation: Mapping[str, Any]
) -> Iterator[str]:
    components = document.get("components") or {}
    known = (
        document.get("securityDefinitions")
        if version == "2.0"
        else components.get("securitySchemes")
    )
    for entry in operation.get("security", document.get("security")) or ():
        for name in entry if isinstance(entry, dict) else ():
            if name not in (known or {}):
                yield f"{place}: the security scheme {name} is not defined"


def _schemas(node: Any, place: str, *, within: bool) -> Iterator[str]:
    """Types that there are none of, in whatever is a schema."""
    if isinstance(node, list):
        for value in node:
            yield from _schemas(value, place, within=within)
    if not isinstance(node, dict):
        return
    if within:
        kinds = node.get("type")
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            if kind is not None and (not isinstance(kind, str) or kind not in _TYPES):
                yield f"{place}: there is no type {kind}"
        listed = node.get("required", [])
        if not isinstance(listed, list | bool):
            yield f"{place}: required is not a list"
    for key, value in node.items():
        if key in ("example", "examples", "enum", "const") or (within and key == "default"):
            continue
        if key in ("properties", "schemas", "definitions") and isinstance(value, dict):
            for name, schema in value.items():
                yield from _schemas(schema, f"{place}/{key}/{name}", within=True)
        else:
            yield from _schemas(value, f"{place}/{key}", within=within or key == "schema")
