"""A model on 127.0.0.1 that says what a test wants, in the words of each provider's API.

    with ModelServer([Write("a.txt", "hello\\n"), Say("Done.")]) as model:
        run_cli(ANTHROPIC_BASE_URL=model.url)
    assert "hello" in model.requests[1].text

It speaks Anthropic Messages, OpenAI Responses, OpenAI Chat Completions and Gemini, streaming or
not. Each step answers one request that offers tools; what a CLI asks beside that (a title, which
model to take) is answered with a word and not counted.
"""

from tests.model_server.script import Call, Fail, Limit, Run, Say, Step, Unauthorized, Wait, Write
from tests.model_server.server import ModelServer, Request

__all__ = [
    "Call",
    "Fail",
    "Limit",
    "ModelServer",
    "Request",
    "Run",
    "Say",
    "Step",
    "Unauthorized",
    "Wait",
    "Write",
]
