"""The scripted model speaks each API."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.model_server import Fail, Limit, ModelServer, Say, Write

APIS: dict[str, tuple[str, dict[str, Any], str]] = {
    "anthropic": ("/v1/messages", {"tools": [{"name": "Write"}]}, "input_json_delta"),
    "responses": (
        "/v1/responses",
        {"tools": [{"type": "function", "name": "write"}]},
        "response.function_call_arguments.done",
    ),
    "chat": (
        "/v1/chat/completions",
        {"tools": [{"type": "function", "function": {"name": "write"}}]},
        "tool_calls",
    ),
    "gemini": (
        "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        {"tools": [{"functionDeclarations": [{"name": "write_file"}]}]},
        "functionCall",
    ),
}


@pytest.mark.parametrize("api", list(APIS))
def test_each_api_streams_calls_and_words(api: str) -> None:
    path, body, mark = APIS[api]
    with ModelServer([Write("a.txt", "hello"), Say("Done."), Limit(1_800_000_000)]) as model:
        call, words, limit = (
            httpx.post(f"{model.url}{path}", json={**body, "stream": True}) for _ in range(3)
        )
        side = httpx.post(f"{model.url}{path}", json={"stream": True})
    assert mark in call.text
    assert "Done." in words.text
    assert limit.status_code == 429
    assert side.status_code == 200
    assert len(model.requests) == 3
    for answer in (call, words):
        for line in answer.text.splitlines():
            if line.startswith("data: {"):
                json.loads(line.removeprefix("data: "))


def test_an_answer_need_not_be_streamed() -> None:
    body = {"tools": [{"name": "Write"}], "model": "m"}
    with ModelServer([Say("Hi."), Fail(500, times=2)]) as model:
        url = f"{model.url}/v1/messages"
        assert httpx.post(url, json=body).json()["content"][0]["text"] == "Hi."
        assert [httpx.post(url, json=body).status_code for _ in range(3)] == [500, 500, 200]
