"""What clients of an interface would notice between two OpenAPI documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrate_agents.checks.project.openapi_rules import METHODS, resolve

#: keys that say nothing to a program
_TOLD = {"description", "summary", "title", "example", "examples", "externalDocs", "tags"}
_JUDGED = {"$ref", "type", "enum", "properties", "required", "items"}


@dataclass
class Changes:
    """Two documents, and what differs between them."""

    old: Mapping[str, Any]
    new: Mapping[str, Any]
    #: what breaks clients, and what may
    breaks: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    _seen: set[tuple[str, str, bool]] = field(default_factory=set)

    def compare(self) -> Changes:
        """Fill `breaks` and `doubts`."""
        self._others("the document", self.old, self.new, ("servers", "host", "basePath", "schemes"))
        self._others("the document", self.old, self.new, ("security",))
        now = {_plain(path): item for path, item in (self.new.get("paths") or {}).items()}
        for path, item in (self.old.get("paths") or {}).items():
            if str(path).startswith("x-"):
                continue
            after = resolve(self.new, now.get(_plain(path)))
            if not isinstance(after, dict):
                self.breaks.append(f"the path {path} is gone")
                continue
            before = resolve(self.old, item)
            for method in METHODS:
                if method in before and method not in after:
                    self.breaks.append(f"{method.upper()} {path} is gone")
                elif method in before:
                    self._operation(f"{method.upper()} {path}", before, after, method)
        return self

    def _operation(
        self, place: str, item: Mapping[str, Any], after: Mapping[str, Any], method: str
    ) -> None:
        old, new = item[method], after[method]
        self._others(place, old, new, ("operationId", "security", "servers", "consumes"))
        self._parameters(
            place, self._by_name(self.old, item, old), self._by_name(self.new, after, new)
        )
        body, now = (
            resolve(self.old, old.get("requestBody")),
            resolve(self.new, new.get("requestBody")),
        )
        if now and now.get("required") and not (body and body.get("required")):
            self.breaks.append(f"{place} now requires a body")
        if body and not now:
            self.doubts.append(f"{place} takes no body any more")
        elif body:
            self._content(f"{place}, body", body, now, request=True)
        answers = {str(k): v for k, v in (new.get("responses") or {}).items()}
        for status, answer in (old.get("responses") or {}).items():
            if str(status).startswith("x-"):
                continue
            if str(status) not in answers:
                self.breaks.append(f"{place}: the response {status} is gone")
                continue
            now = resolve(self.new, answers[str(status)])
            before = resolve(self.old, answer)
            self._content(f"{place}, response {status}", before, now, request=False)
            self._others(f"{place}, response {status}", before, now, ("headers",))

    def _by_name(
        self, document: Mapping[str, Any], *nodes: Mapping[str, Any]
    ) -> dict[tuple[str, str], Any]:
        listed = [resolve(document, p) for node in nodes for p in node.get("parameters") or ()]
        return {(p.get("in", ""), p.get("name", "")): p for p in listed}

    def _parameters(
        self, place: str, old: Mapping[tuple[str, str], Any], new: Mapping[tuple[str, str], Any]
    ) -> None:
        for key, parameter in new.items():
            if parameter.get("required") and key[0] != "path":
                if key not in old:
                    self.breaks.append(f"{place} now requires the parameter {key[1]}")
                elif not old[key].get("required"):
                    self.breaks.append(f"{place}: the parameter {key[1]} is now required")
        for key, parameter in old.items():
            name = parameter.get("name")
            if key not in new:
                self.doubts.append(f"{place}: the parameter {name} is gone")
                continue
            before, after = (p.get("schema", p) for p in (parameter, new[key]))
            if "schema" in parameter or "type" in parameter:
                before, after = (
                    {k: v for k, v in s.items() if k not in ("name", "in", "required")}
                    if "name" in s and "in" in s
                    else s
                    for s in (before, after)
                )
                self._schema(f"{place}, parameter {name}", before, after, request=True)
            self._others(
                f"{place}, parameter {name}", parameter, new[key], ("content", "style", "explode")
            )

    def _content(self, place: str, old: Any, new: Any, *, request: bool) -> None:
        before, after = (
            node.get("content") or ({"": node} if "schema" in node else {}) for node in (old, new)
        )
        for media, content in before.items():
            if media not in after:
                self.breaks.append(f"{place}: {media or 'its content'} is gone")
            elif "schema" in content:
                now = after[media].get("schema", {})
                self._schema(place, content["schema"], now, request=request)

    def _schema(self, place: str, old: Any, new: Any, *, request: bool) -> None:
        key = (repr(old), repr(new), request)
        if key in self._seen:
            return
        self._seen.add(key)
        old, new = resolve(self.old, old), resolve(self.new, new)
        if not isinstance(old, dict) or not isinstance(new, dict):
            if old != new:
                self.doubts.append(f"{place} has another schema")
            return
        if _types(old) != _types(new):
            said = f"{place}: {_shown(old)} is now {_shown(new)}"
            self.breaks.append(f"the type has changed: {said}")
            return
        self._enum(place, old, new, request=request)
        was, now = old.get("properties") or {}, new.get("properties") or {}
        needed, needs = set(_list(old.get("required"))), set(_list(new.get("required")))
        for name, schema in was.items():
            if name in now:
                self._schema(f"{place}.{name}", schema, now[name], request=request)
            else:
                (self.doubts if request else self.breaks).append(f"{place}.{name} is gone")
        for name in sorted(needs - needed if request else (needed - needs) & set(now)):
            change = "is now required" if request else "is no longer sure to be there"
            self.breaks.append(f"{place}.{name} {change}")
        if "items" in old or "items" in new:
            self._schema(f"{place}[]", old.get("items", {}), new.get("items", {}), request=request)
        rest = {k for k in {*old, *new} if k not in _TOLD | _JUDGED and not k.startswith("x-")}
        self._others(place, old, new, sorted(rest))

    def _enum(self, place: str, old: Any, new: Any, *, request: bool) -> None:
        was, now = old.get("enum"), new.get("enum")
        if was == now:
            return
        if isinstance(was, list) and isinstance(now, list):
            if lost := [value for value in was if value not in now]:
                self.breaks.append(f"{place} no longer takes {', '.join(map(str, lost))}")
            elif not request and len(now) > len(was):
                self.doubts.append(f"{place} has further values")
        elif isinstance(now, list):
            self.breaks.append(f"{place} takes listed values only")
        elif not request:
            self.doubts.append(f"{place} takes any value")

    def _others(self, place: str, old: Any, new: Any, keys: Any) -> None:
        changed = [key for key in keys if old.get(key) != new.get(key)]
        if changed:
            self.doubts.append(f"{place}: {', '.join(changed)} changed, which is not judged")


def _plain(path: str) -> str:
    return re.sub(r"\{[^{}]*\}", "{}", str(path))


def _types(schema: Mapping[str, Any]) -> list[str]:
    found = schema.get("type")
    return sorted(map(str, found)) if isinstance(found, list) else [str(found)]


def _shown(schema: Mapping[str, Any]) -> str:
    return " or ".join(_types(schema)) if "type" in schema else "of no type"


def _list(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
