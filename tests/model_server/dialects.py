"""The APIs: what a request offers and says, and how an answer to it looks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from tests.model_server.script import Call, Fail, Say, arguments

Event = tuple[str, Any]


class Dialect(Protocol):
    """One API. Events are (name, data); without a name only the data is sent."""

    name: str

    def offered(self, body: Mapping[str, Any]) -> dict[str, str]:
        """Tools by name, each with its kind (`function`, `custom` …)."""
        ...

    def streams(self, path: str, body: Mapping[str, Any]) -> bool: ...

    def events(self, step: Say | Call, body: Mapping[str, Any], id: str) -> Iterator[Event]: ...

    def whole(self, step: Say | Call, body: Mapping[str, Any], id: str) -> Any: ...

    def error(self, fail: Fail) -> Any: ...


class Anthropic:
    name = "anthropic"

    def offered(self, body: Mapping[str, Any]) -> dict[str, str]:
        return {t["name"]: "function" for t in body.get("tools") or () if "name" in t}

    def streams(self, path: str, body: Mapping[str, Any]) -> bool:
        return bool(body.get("stream"))

    def whole(self, step: Say | Call, body: Mapping[str, Any], id: str) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if step.text:
            content.append({"type": "text", "text": step.text})
        if isinstance(step, Call):
            called = {"type": "tool_use", "id": f"toolu_{id}", "name": step.name}
            content.append({**called, "input": step.input})
        return {
            "id": f"msg_{id}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model", "claude-sonnet-4-5"),
            "content": content,
            "stop_reason": "tool_use" if isinstance(step, Call) else "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": step.tokens.input,
                "output_tokens": step.tokens.output,
                "cache_read_input_tokens": step.tokens.cached,
                "cache_creation_input_tokens": 0,
            },
        }

    def events(self, step: Say | Call, body: Mapping[str, Any], id: str) -> Iterator[Event]:
        message = self.whole(step, body, id)
        content, usage = message.pop("content"), message["usage"]
        started = {**message, "content": [], "stop_reason": None}
        started["usage"] = {**usage, "output_tokens": 1}
        yield from _named({"type": "message_start", "message": started})
        for index, block in enumerate(content):
            place = {"index": index}
            if block["type"] == "text":
                empty = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": part} for part in _parts(block["text"])]
            else:
                empty = {**block, "input": {}}
                text = json.dumps(block["input"])
                deltas = [
                    {"type": "input_json_delta", "partial_json": part} for part in _parts(text)
                ]
            yield from _named({"type": "content_block_start", **place, "content_block": empty})
            for delta in deltas:
                yield from _named({"type": "content_block_delta", **place, "delta": delta})
            yield from _named({"type": "content_block_stop", **place})
        delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        yield from _named({"type": "message_delta", "delta": delta, "usage": usage})
        yield from _named({"type": "message_stop"})

    def error(self, fail: Fail) -> Any:
        error = {"type": fail.kind, "message": fail.message, **fail.fields}
        return {"type": "error", "error": error}


class Responses:
    name = "responses"

    def offered(self, body: Mapping[str, Any]) -> dict[str, str]:
        listed = list(body.get("tools") or ())
        for item in body.get("input") or ():
            # newer models are offered them as a message
            if isinstance(item, dict) and item.get("type") == "additional_tools":
                listed += [t for each in item["tools"] for t in each.get("tools") or (each,)]
        return {t["name"]: t["type"] for t in listed if "name" in t}

    def streams(self, path: str, body: Mapping[str, Any]) -> bool:
        return bool(body.get("stream"))

    def whole(self, step: Say | Call, body: Mapping[str, Any], id: str) -> dict[str, Any]:
        output = list(self._items(step, body, id))
        used, cached = step.tokens, step.tokens.cached
        return {
            "id": f"resp_{id}",
            "object": "response",
            "created_at": 1_700_000_000,
            "status": "completed",
            "model": body.get("model", "gpt-5"),
            "output": output,
            "usage": {
                "input_tokens": used.input + cached,
                "input_tokens_details": {"cached_tokens": cached},
                "output_tokens": used.output,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": used.input + cached + used.output,
            },
        }

    def _items(self, step: Say | Call, body: Mapping[str, Any], id: str) -> Iterator[Any]:
        if step.text:
            part = {"type": "output_text", "text": step.text, "annotations": []}
            yield {
                "type": "message",
                "id": f"msg_{id}",
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
        if isinstance(step, Call):
            is_custom = self.offered(body).get(step.name) == "custom"
            kind = "custom_tool_call" if is_custom else "function_call"
            key = "input" if is_custom else "arguments"
            item = {"type": kind, "id": f"fc_{id}", "call_id": f"call_{id}", "name": step.name}
            # a tool of a server is in a namespace of its own
            spaces = {t["name"]: t["tools"] for t in body.get("tools") or () if "tools" in t}
            for space, tools in spaces.items():
                if any(step.name == f"{space}__{tool['name']}" for tool in tools):
                    item |= {"name": step.name.removeprefix(f"{space}__"), "namespace": space}
            yield {**item, key: arguments(step), "status": "completed"}

    def events(self, step: Say | Call, body: Mapping[str, Any], id: str) -> Iterator[Event]:
        done = self.whole(step, body, id)
        begun = {**done, "status": "in_progress", "output": [], "usage": None}
        number = iter(range(1_000_000))

        def event(kind: str, **fields: Any) -> Event:
            return kind, {"type": kind, "sequence_number": next(number), **fields}

        yield event("response.created", response=begun)
        for index, item in enumerate(done["output"]):
            place: dict[str, Any] = {"output_index": index, "item_id": item["id"]}
            if item["type"] == "message":
                text, place = item["content"][0]["text"], {**place, "content_index": 0}
                empty = {**item, "content": [], "status": "in_progress"}
                yield event("response.output_item.added", output_index=index, item=empty)
                part = {"type": "output_text", "text": "", "annotations": []}
                yield event("response.content_part.added", **place, part=part)
                for delta in _parts(text):
                    yield event("response.output_text.delta", **place, delta=delta)
                yield event("response.output_text.done", **place, text=text)
                yield event("response.content_part.done", **place, part={**part, "text": text})
            else:
                key = "input" if "input" in item else "arguments"
                kind = "custom_tool_call_input" if key == "input" else "function_call_arguments"
                empty = {**item, key: "", "status": "in_progress"}
                yield event("response.output_item.added", output_index=index, item=empty)
                for delta in _parts(item[key]):
                    yield event(f"response.{kind}.delta", **place, delta=delta)
                yield event(f"response.{kind}.done", **place, **{key: item[key]})
            yield event("response.output_item.done", output_index=index, item=item)
        yield event("response.completed", response=done)

    def error(self, fail: Fail) -> Any:
        error = {"type": fail.kind, "code": fail.kind, "message": fail.message, "param": None}
        return {"error": {**error, **fail.fields}}


class Chat:
    name = "chat"

    def offered(self, body: Mapping[str, Any]) -> dict[str, str]:
        return {t["function"]["name"]: "function" for t in body.get("tools") or ()}

    def streams(self, path: str, body: Mapping[str, Any]) -> bool:
        return bool(body.get("stream"))

    def _usage(self, step: Say | Call) -> dict[str, Any]:
        used, cached = step.tokens, step.tokens.cached
        return {
            "prompt_tokens": used.input + cached,
            "completion_tokens": used.output,
            "total_tokens": used.input + cached + used.output,
            "prompt_tokens_details": {"cached_tokens": cached},
        }

    def _message(self, step: Say | Call, id: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": step.text or None}
        if isinstance(step, Call):
            function = {"name": step.name, "arguments": arguments(step)}
            message["tool_calls"] = [{"id": f"call_{id}", "type": "function", "function": function}]
        return message

    def whole(self, step: Say | Call, body: Mapping[str, Any], id: str) -> dict[str, Any]:
        finish = "tool_calls" if isinstance(step, Call) else "stop"
        choice = {"index": 0, "message": self._message(step, id), "finish_reason": finish}
        return {**self._head(body, id, ""), "choices": [choice], "usage": self._usage(step)}

    def _head(self, body: Mapping[str, Any], id: str, kind: str = ".chunk") -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{id}",
            "object": f"chat.completion{kind}",
            "created": 1_700_000_000,
            "model": body.get("model", "gpt-5"),
        }

    def events(self, step: Say | Call, body: Mapping[str, Any], id: str) -> Iterator[Event]:
        head = self._head(body, id)

        def chunk(delta: dict[str, Any], finish: str | None = None) -> Event:
            return "", {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

        yield chunk({"role": "assistant", "content": ""})
        for part in _parts(step.text):
            yield chunk({"content": part})
        if isinstance(step, Call):
            function = {"name": step.name, "arguments": ""}
            named = {"index": 0, "id": f"call_{id}", "type": "function", "function": function}
            yield chunk({"tool_calls": [named]})
            for part in _parts(arguments(step)):
                yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
        yield chunk({}, "tool_calls" if isinstance(step, Call) else "stop")
        yield "", {**head, "choices": [], "usage": self._usage(step)}
        yield "", "[DONE]"

    def error(self, fail: Fail) -> Any:
        return Responses().error(fail)


class Gemini:
    name = "gemini"

    def offered(self, body: Mapping[str, Any]) -> dict[str, str]:
        return {
            function["name"]: "function"
            for tool in body.get("tools") or ()
            for function in tool.get("functionDeclarations") or ()
        }

    def streams(self, path: str, body: Mapping[str, Any]) -> bool:
        return ":streamGenerateContent" in path

    def _answer(self, parts: list[Any], step: Say | Call | None, id: str) -> dict[str, Any]:
        content = {"role": "model", "parts": parts}
        candidate: dict[str, Any] = {"index": 0, "content": content}
        answer = {"candidates": [candidate], "modelVersion": "gemini-2.5-pro", "responseId": id}
        if step is None:
            return answer
        used, cached = step.tokens, step.tokens.cached
        candidate["finishReason"] = "STOP"
        return answer | {
            "usageMetadata": {
                "promptTokenCount": used.input + cached,
                "candidatesTokenCount": used.output,
                "cachedContentTokenCount": cached,
                "totalTokenCount": used.input + cached + used.output,
            }
        }

    def whole(self, step: Say | Call, body: Mapping[str, Any], id: str) -> dict[str, Any]:
        return self._answer([{"text": step.text}, *self._called(step)], step, id)

    def _called(self, step: Say | Call) -> list[Any]:
        if not isinstance(step, Call):
            return []
        return [{"functionCall": {"name": step.name, "args": step.input}}]

    def events(self, step: Say | Call, body: Mapping[str, Any], id: str) -> Iterator[Event]:
        for part in _parts(step.text):
            yield "", self._answer([{"text": part}], None, id)
        yield "", self._answer(self._called(step) or [{"text": ""}], step, id)

    def error(self, fail: Fail) -> Any:
        error = {"code": fail.status, "message": fail.message, "status": fail.kind}
        return {"error": {**error, **fail.fields}}


def fitting(schema: Any) -> Any:
    """The smallest value that a JSON Schema takes, as far as CLIs ask for one beside the turns."""
    kind = str(schema.get("type", "object")).lower() if isinstance(schema, dict) else ""
    if not kind:
        return None
    if schema.get("enum"):
        return schema["enum"][0]
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: fitting(each) for name, each in properties.items()}
    return {"array": [], "integer": 0, "number": 0, "boolean": False}.get(kind, "ok")


def side_answer(body: Mapping[str, Any]) -> str:
    """What is said where no tool is offered: a word, or JSON if that is asked for."""
    config = body.get("generationConfig") or {}
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    return json.dumps(fitting(schema)) if schema else "ok"


def _named(data: Mapping[str, Any]) -> Iterator[Event]:
    yield data["type"], data


def _parts(text: str, size: int = 40) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def of_path(path: str) -> Dialect | None:
    """The API that a path belongs to, if it asks the model for an answer."""
    plain = path.partition("?")[0]
    if plain.endswith("/messages"):
        return Anthropic()
    if plain.endswith("/responses"):
        return Responses()
    if plain.endswith("/chat/completions"):
        return Chat()
    if plain.endswith((":generateContent", ":streamGenerateContent")):
        return Gemini()
    return None
