"""The tools of the job, as the real coding agents call them."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.domain.agent import Outcome
from tests.acceptance.agents.real import Bench, agents, bench
from tests.model_server import Call, ModelServer, Request, Say, Step

__all__ = ["bench"]


def tool(name: str, **given: object) -> Callable[[Request], Step]:
    """A call of one of the job's tools, under the name that the CLI gives it."""

    def step(request: Request) -> Step:
        ends = {name: [f"_{name}"], "ask_user": ["_ask_user", "_ask_person"]}
        listed = request.body.get("tools") or ()
        known = [*request.tools]
        known += [f"{t['name']}__{sub['name']}" for t in listed for sub in t.get("tools") or ()]
        (full,) = (n for n in known if "orchestrate_" in n and n.endswith(tuple(ends[name])))
        return Call(full, given)

    return step


@agents()
def test_it_proves_and_asks_with_the_tools_of_its_job(bench: Bench) -> None:
    steps = [
        tool("my_job"),
        tool("ask_user", question="Red or orange?"),
        Say("I asked USER."),
        Say("Red it is."),
    ]
    with ModelServer(steps) as model:
        job = bench.job(model)
        report = bench.turn(job)
        assert (report.outcome, report.ended) == (Outcome.CANNOT, "question"), report.reason
        assert report.reason == "BUILDER asks: Red or orange?"
        assert "`a.txt` exists" in model.requests[1].text
        assert "End your turn now" in model.requests[2].text
        again = job.model_copy(update={"session": report.session, "attempt": 2, "words": "Red."})
        report = bench.turn(again)
        assert report.outcome is Outcome.DONE, report.reason
        told = model.requests[3].text
    # the answer is in the session that asked
    assert "Red or orange?" in told
    assert "Red." in told
