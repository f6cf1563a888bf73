"""The pages that are looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from sse_starlette.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from orchestrator.errors import OrchestrateError, TicketError
from orchestrator.errors.masking import mask, visible
from orchestrator.review.html import html_environment
from orchestrator.templating import TEMPLATES
from orchestrator.views.cards import COLUMNS, FamilyState
from orchestrator.views.charts import NARROW, describe, describe_seconds, draw, state_words
from orchestrator.views.events import new_events
from orchestrator.views.filters import Filter, moment
from orchestrator.web.parts import Parts
from orchestrator.web.site import Site, age_of, moves_of, moves_text

#: cards of a column that are shown at first, and events of a log
_SHOWN, _EVENTS = 40, 300
#: bytes of a log that are read, from its end
_LOG_TAIL = 400_000
#: what is shown of an event, and characters of each
_SAID, _LONGEST = ("kind", "at", "tool", "path", "text"), 2000
_STATIC = {"board.css": "text/css", "board.js": "text/javascript", "review.css": "text/css"}


def site_of(request: Request) -> Site:
    """The site that a request is for, and what it knew when that was first asked."""
    site: Site = request.app.state.site
    if not hasattr(request.state, "revision"):
        request.state.revision = site.live.revision
    return site


def page(request: Request, name: str, status: int = 200, **values: Any) -> Response:
    """A page of the board."""
    site = site_of(request)
    parts = Parts.of(request)
    template = html_environment().get_template(f"web/{name}.html.j2")
    common = {
        "visitor": getattr(request.state, "visitor", None),
        "path": request.url.path,
        "waiting": len(site.live.view.questions),
        "workspace": site.board.root.name,
        "watching": site.watching,
        "revision": request.state.revision,
        "part": parts,
        "signed": site.current().approval.signed,
        "how_to": False,
        "error": None,
        "canonical": request.url.path,
        "words": "",
        "members": (),
        "missing": not site.board.path.is_dir(),
        "alone": False,
        "age": age_of,
        "moves": moves_of,
        "moves_text": moves_text,
    }
    # a form brings a signed token of its own
    text = template.render(**{**common, **values})
    if parts.topics is not None:
        text = "".join(parts.found)
    return HTMLResponse(visible(mask(text, forms=False)), status)


def error_page(request: Request, exc: OrchestrateError) -> Response:
    """What could not be done, and what to do."""
    status = 404 if isinstance(exc, TicketError) and exc.code == "no-such-ticket" else 409
    return page(request, "error", status, error=exc)


def decide(request: Request) -> Response:
    """All open questions, those that need USER most first."""
    return decide_page(request)


def decide_page(
    request: Request, refused: Sequence[tuple[str, OrchestrateError]] = (), status: int = 200
) -> Response:
    """The open questions, with the answers to several that were just refused, and why."""
    site = site_of(request)
    questions = site.live.view.questions
    plain = [question for question in questions if question.is_plain]
    visitor = getattr(request.state, "visitor", None)
    if len(plain) < 2 or site.current().approval.signed or not (visitor and visitor.may_answer):
        plain = []
    values = {
        "questions": questions,
        "urgent": [question for question in questions if question not in plain],
        "plain": plain,
        "members": {q.family: _ids_of(site, q.family) for q in questions},
        "refused": refused,
    }
    return page(request, "decide", status, canonical="/", **values)


def _ids_of(site: Site, family: str) -> list[str]:
    return [card.ticket.id for card in site.live.view.members(family)]


def board(request: Request) -> Response:
    """The board by state, as far as the URL's filter lets it pass."""
    site = site_of(request)
    view = site.live.view
    pairs = [(name, value) for name, value in request.query_params.multi_items() if name != "all"]
    chosen = Filter.parse(pairs, site.board, site.settings.agents)
    tickets = chosen.select(card.ticket for card in view.cards)
    cards = [view.by_id[ticket.id] for ticket in tickets]
    return page(
        request,
        "board",
        columns=view.columns(cards),
        found=len(cards),
        total=len(view.cards),
        unread=view.unread,
        chosen=chosen,
        said=dict(chosen.said),
        most=len(cards) if "all" in request.query_params else _SHOWN,
        roles=[role.value for role in COLUMNS],
        owners=sorted({c.ticket.owner for c in view.cards if c.ticket.owner}),
    )


def search(request: Request) -> Response:
    """The tickets in which some words are."""
    site = site_of(request)
    text = request.query_params.get("q", "").strip()
    hits = site.find(text) if text else []
    return page(request, "search", text=text, hits=hits)


def family(request: Request) -> Response:
    """A ticket: its family's stages, members, question, agents' log, changes and history."""
    return family_page(request, request.path_params["id"])


def family_page(
    request: Request,
    id: str,
    *,
    error: OrchestrateError | None = None,
    words: str = "",
    status: int = 200,
) -> Response:
    """The page of a ticket, with what went wrong with an answer to it, if something did."""
    site = site_of(request)
    named = site.board.resolve(id)
    head = site.board.family(named)[0]
    view = site.live.view
    state = view.families.get(head.id)
    if state is None or state.flow is None:
        shown = site.board.find(named)
        text = "" if shown.path.is_symlink() else shown.body
        return page(request, "ticket", status, ticket=shown, text=text, state=state, error=error)
    return page(
        request,
        "family",
        status,
        error=error,
        canonical=f"/family/{quote(head.id, safe='')}",
        words=words,
        head=head,
        state=state,
        cards=view.members(head.id),
        members=_ids_of(site, head.id),
        question=view.question(head.id),
        # only what is asked for is found out
        review_of=partial(site.review, head.id, panels=False),
        stages_of=lambda: list(_stages_of(site, state)),
        failure=site.going_on.failures.get(head.id, ""),
        log=partial(_log_of, site, head.id, request.headers.get("orchestrate-log-after", "")),
        history=lambda: [r for r in site.conductor().log(head.id) if r["type"] in _TOLD][-60:],
        summarize=_summarize,
    )


_TOLD = ("transition", "report", "question", "answer", "effect", "notice", "lapse", "turn")


def _summarize(record: Mapping[str, Any]) -> str:
    match record["type"]:
        case "report":
            return f"{record['agent']}: {record['outcome']} {record['report']['reason']}".strip()
        case "question":
            return f"{record['sheet']['label']} — question {record['sheet']['number']}"
        case "answer":
            by = f"by {record.get('by', 'USER')} ({record.get('via', 'file')})"
            return " ".join(filter(None, [str(record.get("answer", "")), by, record.get("words")]))
        case "lapse":
            return "; ".join(map(str, record.get("changed", ())))
        case _:
            names = ("event", "title", "text", "agent", "detail")
            return " · ".join(str(record[name]) for name in names if record.get(name))


def _stages_of(site: Site, state: FamilyState) -> Iterator[Mapping[str, Any]]:
    """The workflow's stages as a line; nothing where it cannot be read."""
    flow = state.flow
    assert flow is not None
    try:
        _, _, plan, _ = site.conductor().opener.preview(state.id)
    except OrchestrateError:
        return
    for stage in plan.stages:
        done, here = stage.number in flow.finished, stage.number == flow.stage
        yield {
            "label": stage.label,
            "agent": "USER" if stage.is_checkpoint else stage.agent,
            "now": "done" if done else "here" if here and not flow.state.ended else "to do",
            "attempt": flow.attempt(stage.number),
        }


def _log_of(site: Site, family: str, after: str) -> Mapping[str, Any]:
    """The newest events of a family's agents, those after a place (`NAME:BYTES`) if it has one."""
    folder = site.board.root / ".orchestrate" / "logs" / family
    name, _, at = after.rpartition(":")
    begun = {folder / name: int(at)} if name and at.isdecimal() else {}
    offsets: dict[Path, int] = dict(begun)
    found = [e for _, e in new_events(folder, offsets, _LOG_TAIL) if e["kind"] != "usage"]
    # one log is read: the one that was begun, or a newer one
    file = next((file for file in offsets if file not in begun), None) or next(iter(begun), None)
    return {
        "events": [{n: str(e.get(n, ""))[:_LONGEST] for n in _SAID} for e in found[-_EVENTS:]],
        "after": f"{file.name}:{offsets[file]}" if file else "",
        "more": file in begun,
    }


def whole_review(request: Request) -> Response:
    """Everything that a question covers: access matrix, data, files."""
    site = site_of(request)
    head = site.board.family(site.board.resolve(request.path_params["id"]))[0]
    question = site.live.view.question(head.id)
    members = _ids_of(site, head.id)
    review_of = partial(site.review, head.id)
    values: dict[str, Any] = {
        "review_of": review_of,
        "question": question,
        "head": head,
        "members": members,
    }
    return page(request, "review", **values)


def health(request: Request) -> Response:
    """What is wrong with the board, what the agents cost, and whether a daemon watches."""
    found = site_of(request).health()
    # by kind, the most severe first, each fix once
    kinds: dict[str, list[Any]] = {}
    for problem in found["problems"] or ():
        kinds.setdefault(problem.code, []).append(problem)
    return page(request, "health", found=found, kinds=kinds)


def figures(request: Request) -> Response:
    """Flow, time in each state, USER's waits, failures and costs, as charts."""
    site = site_of(request)
    since = request.query_params.get("since", "").strip()
    found = site.figures(moment(since) if since else "")
    # each for screens and for phones, on which text must not get smaller
    drawn = zip(describe(found).items(), draw(found).values(), draw(found, NARROW).values())  # noqa: B905
    charts = [
        (name, heading, note, Markup(wide), Markup(narrow))  # noqa: S704 - they escape
        for (name, (heading, note)), wide, narrow in drawn
    ]
    return page(
        request,
        "figures",
        figures=found,
        charts=charts,
        since=since,
        seconds=describe_seconds,
        words=state_words,
    )


def static(request: Request) -> Response:
    """The style sheets and the script."""
    name = request.path_params["name"]
    if name not in _STATIC:
        return Response("not found\n", 404, media_type="text/plain")
    folder = TEMPLATES if name == "review.css" else TEMPLATES / "web"
    headers = {"cache-control": "max-age=300"}
    return Response((folder / name).read_bytes(), media_type=_STATIC[name], headers=headers)


async def events(request: Request) -> Response:
    """A stream that says what has changed: `data` names the revisions and the topics between."""
    live = site_of(request).live
    # a browser says by itself what it had before it lost the stream
    known = request.headers.get("last-event-id", request.query_params.get("since", ""))
    since = int(known) if known.isdecimal() else live.revision

    async def stream() -> Any:
        before = since
        async for news in live.changes(since):
            reported = {"since": before, "revision": news.revision, "topics": sorted(news.topics)}
            before = news.revision
            yield {"id": str(news.revision), "data": json.dumps(reported)}

    return EventSourceResponse(stream(), ping=15)
