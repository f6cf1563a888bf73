"""The pages that are looked at."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
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
from orchestrator.views.charts import draw
from orchestrator.views.filters import Filter, moment
from orchestrator.web.site import Site, age_of, moves_of

#: cards of a column that are shown at first, and events of a log
_SHOWN, _EVENTS = 40, 300
#: bytes of a log that are read, from its end
_LOG_TAIL = 400_000
_STATIC = {"board.css": "text/css", "board.js": "text/javascript", "review.css": "text/css"}


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    site: Site = request.app.state.site
    return site


def page(request: Request, name: str, status: int = 200, **values: Any) -> Response:
    """A page of the board."""
    site = site_of(request)
    template = html_environment().get_template(f"web/{name}.html.j2")
    common = {
        "visitor": getattr(request.state, "visitor", None),
        "path": request.url.path,
        "waiting": len(site.live.view.questions),
        "workspace": site.board.root.name,
        "watching": site.watching,
        "revision": site.live.revision,
        "how_to": False,
        "error": None,
        "canonical": request.url.path,
        "words": "",
        "members": (),
        "missing": not site.board.path.is_dir(),
        "alone": False,
        "age": age_of,
        "moves": moves_of,
    }
    # a form brings a signed token of its own
    text = visible(mask(template.render(**{**common, **values}), forms=False))
    return HTMLResponse(text, status)


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
    questions = site_of(request).live.view.questions
    plain = [question for question in questions if question.is_plain]
    members = {q.family: _ids_of(site_of(request), q.family) for q in questions}
    values = {"questions": questions, "plain": plain, "members": members, "refused": refused}
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
    review = site.review(head.id, panels=False)
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
        review=review,
        stages=list(_stages_of(site, state)),
        failure=site.failures.get(head.id, ""),
        events=list(read_events(site, head.id)),
        history=[r for r in site.conductor().log(head.id) if r["type"] in _TOLD][-60:],
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


def read_events(site: Site, family: str) -> Iterator[Mapping[str, Any]]:
    """The newest events of a family's coding agents, oldest first."""
    folder = site.board.root / ".orchestrate" / "logs" / family
    with suppress(OSError):
        files = sorted(folder.glob("stage-*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
        for file in files[-1:]:
            with file.open("rb") as opened:
                size = file.stat().st_size
                opened.seek(max(0, size - _LOG_TAIL))
                if size > _LOG_TAIL:
                    opened.readline()
                for line in deque(opened, _EVENTS):
                    with suppress(ValueError):
                        event = json.loads(line)
                        if isinstance(event, dict) and event.get("kind") != "usage":
                            yield event


def whole_review(request: Request) -> Response:
    """Everything that a question covers: access matrix, data, files."""
    site = site_of(request)
    head = site.board.family(site.board.resolve(request.path_params["id"]))[0]
    question = site.live.view.question(head.id)
    members = _ids_of(site, head.id)
    review = site.review(head.id)
    return page(request, "review", review=review, question=question, head=head, members=members)


def health(request: Request) -> Response:
    """What is wrong with the board, what the agents cost, and whether a daemon watches."""
    return page(request, "health", **site_of(request).health())


def figures(request: Request) -> Response:
    """Flow, time in each state, USER's waits, failures and costs, as charts."""
    site = site_of(request)
    since = request.query_params.get("since", "").strip()
    found = site.figures(moment(since) if since else "")
    charts = {name: Markup(svg) for name, svg in draw(found).items()}  # noqa: S704 - it escapes
    return page(request, "figures", figures=found, charts=charts, since=since)


def static(request: Request) -> Response:
    """The style sheets and the script."""
    name = request.path_params["name"]
    if name not in _STATIC:
        return Response("not found\n", 404, media_type="text/plain")
    folder = TEMPLATES if name == "review.css" else TEMPLATES / "web"
    headers = {"cache-control": "max-age=300"}
    return Response((folder / name).read_bytes(), media_type=_STATIC[name], headers=headers)


async def events(request: Request) -> Response:
    """A stream that says when something has changed: `data` is the revision."""
    live = site_of(request).live

    async def stream() -> Any:
        async for revision in live.changes():
            yield {"data": str(revision)}

    return EventSourceResponse(stream(), ping=15)
