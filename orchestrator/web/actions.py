"""What is done on the web board: answers bound to the digest that was shown, and moves."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.approvals.answers import resolve_acceptances
from orchestrator.approvals.links import LinkError
from orchestrator.approvals.request import answer_commands
from orchestrator.approvals.signatures import NAMESPACE, message_of
from orchestrator.conductor.conductor import Conductor, RunOutcome
from orchestrator.domain.answer import Answer, AnswerVerb, Door
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.errors.masking import visible
from orchestrator.web.guard import Visitor, require_token
from orchestrator.web.pages import decide_page, family_page, page, site_of

#: fields of a form, and characters of one
_FIELDS, _LONGEST = 400, 100_000


async def read_form(request: Request) -> FormData:
    """The form of a change. Raises UsageError if it is too large."""
    form = await request.form(max_files=0, max_fields=_FIELDS)
    if any(len(str(value)) > _LONGEST for value in form.values()):
        raise UsageError(f"a field has at most {_LONGEST:,} characters")
    return form


def approver(request: Request, form: FormData) -> Visitor:
    """Whoever sent a form, if they may change something. Raises PermissionError."""
    visitor = require_token(request.state.visitor, str(form.get("csrf", "")))
    if not visitor.may_answer:
        raise PermissionError(f"{visitor.name} may look, and not answer ([web.users] role)")
    return visitor


def answer_of(form: FormData, *, by: str, via: str) -> Answer:
    """The answer that a form gives. Raises UsageError for one that is not bound to a question."""
    digest = str(form.get("digest", ""))
    try:
        verb = AnswerVerb(str(form.get("verb", "")))
    except ValueError as exc:
        raise UsageError("an answer is approved, changes_requested or hold") from exc
    if not digest:
        raise UsageError("an answer names the question that was shown (digest)")
    sent_back = verb is AnswerVerb.CHANGES_REQUESTED
    return Answer(
        verb,
        # lines end as they do in tickets
        visible("\n".join(str(form.get("words", "")).splitlines()).strip()),
        tuple(map(str, form.getlist("accept"))),
        accept_unproven=bool(form.get("accept_unproven")),
        target=str(form.get("target", "")),
        members=tuple(filter(None, map(str, form.getlist("member")))) if sent_back else (),
        via=via,
        by=by,
        digest=digest,
        signature=pasted(str(form.get("signature", ""))),
    )


def pasted(signature: str) -> str:
    """A signature as `ssh-keygen` writes it, however a page or a mail has broken its lines."""
    lines = [line.strip() for line in signature.splitlines() if line.strip()]
    return "\n".join([*lines, ""]) if lines else ""


def ask_signature(request: Request, family: str, given: Answer, back: str) -> Response | None:
    """The page that shows what to sign, where an approval lacks its signature; else None.

    Raises AnswerRefusedError for one that would not be taken with it either.
    """
    site = site_of(request)
    approval = site.current().approval
    asked = site.live.view.question(family)
    if given.verb is not AnswerVerb.APPROVED or not approval.signed or given.signature:
        return None
    if asked is None or asked.request is None or asked.digest != given.digest:
        # which the conductor says
        return None
    resolve_acceptances(asked.request, given)
    text = message_of(family, given.digest, given).decode("utf-8").rstrip("\n")
    key = f"ssh-keygen -Y sign -n {NAMESPACE} -f ~/.ssh/id_ed25519"
    fields = [("verb", given.verb.value), ("digest", given.digest), ("words", given.words)]
    fields += [("accept", name) for name in given.accept]
    fields += [("accept_unproven", "1")] * given.accept_unproven + [("target", given.target)]
    return page(
        request,
        "sign",
        family=family,
        back=back,
        action=request.url.path,
        fields=fields,
        digest=given.digest,
        signers=approval.signers,
        signing=f"printf '%s\\n' {shlex.quote(text)} | {key}",
        command=answer_commands(asked.request, family)[0],
        canonical=back,
    )


async def _in_thread(call: Callable[[], Any]) -> Any:
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(call)


async def answer(request: Request) -> Response:
    """Answer a family's question; a refused answer is shown with the question as it is now."""
    site, id = site_of(request), request.path_params["id"]
    form = await read_form(request)
    visitor = approver(request, form)
    given = answer_of(form, by=visitor.name, via="web")
    try:
        family = await _in_thread(lambda: site.board.family(id)[0].id)
        back = f"/family/{quote(family, safe='')}"
        to_sign = await _in_thread(lambda: ask_signature(request, family, given, back))
        if to_sign is not None:
            return to_sign  # type: ignore[no-any-return]
        outcome: RunOutcome = await _in_thread(lambda: site.act(lambda c: c.answer(id, given)))
    except OrchestrateError as exc:
        show = partial(family_page, request, id, error=exc, words=given.words, status=409)
        return await _in_thread(show)  # type: ignore[no-any-return]
    if given.verb is not AnswerVerb.HOLD:
        site.go_on(outcome.ticket)
    return RedirectResponse(f"/family/{outcome.ticket}", 303)


async def answer_several(request: Request) -> Response:
    """Approve several plain questions, each bound to its own digest."""
    site = site_of(request)
    form = await read_form(request)
    visitor = approver(request, form)
    taken: list[str] = []
    refused: list[tuple[str, OrchestrateError]] = []
    if not form.getlist("question"):
        raise UsageError("nothing is ticked")
    for item in form.getlist("question"):
        family, _, digest = str(item).rpartition(":")
        asked = site.live.view.question(family)
        try:
            # one that fails or runs something is read and answered by itself
            if asked is not None and asked.digest == digest and not asked.is_plain:
                raise UsageError(f"{family} is to be answered by itself: read its question")
            given = Answer(AnswerVerb.APPROVED, via="web", by=visitor.name, digest=digest)
            await _in_thread(partial(site.act, partial(Conductor.answer, id=family, answer=given)))
            taken.append(family)
        except OrchestrateError as exc:
            refused.append((family, exc))
    # not before all are taken: what one family makes may be covered by another one's question
    for family in taken:
        site.go_on(family)
    if refused:
        return decide_page(request, refused, 409)
    return RedirectResponse("/", 303)


async def move(request: Request) -> Response:
    """Hold, resume, shelve, archive or reopen; nothing that approves."""
    site, id = site_of(request), request.path_params["id"]
    form = await read_form(request)
    by = Door("web", approver(request, form).name)
    action, reason = str(form.get("action", "")), visible(str(form.get("reason", "")).strip())
    acts: dict[str, Callable[[Conductor], RunOutcome]] = {
        "hold": lambda c: c.hold(id, reason=reason or "held on the web board", door=by),
        "resume": lambda c: c.resume(id, door=by),
        "shelve": lambda c: c.shelve(id, door=by),
        "archive": lambda c: c.archive(id, door=by),
        "reopen": lambda c: c.reopen(id, door=by),
    }
    if action not in acts:
        raise UsageError(f"{action or 'nothing'} is not a move", hint=", ".join(acts))
    outcome: RunOutcome = await _in_thread(lambda: site.act(acts[action]))
    if action in ("resume", "reopen"):
        site.go_on(outcome.ticket)
    back = str(form.get("back", ""))
    # nowhere but to a page of this board
    stays = back.startswith("/") and not back.startswith(("//", "/\\"))
    return RedirectResponse(back if stays else f"/family/{id}", 303)


async def go_on(request: Request) -> Response:
    """Advance a family, as `orchestrate run` does."""
    site = site_of(request)
    form = await read_form(request)
    approver(request, form)
    id = await _in_thread(lambda: site.board.family(request.path_params["id"])[0].id)
    site.go_on(id)
    return RedirectResponse(f"/family/{id}", 303)


async def login(request: Request) -> Response:
    """Sign in with name and password."""
    site = site_of(request)
    if request.method != "POST":
        return page(request, "login")
    form = await read_form(request)
    name, password = str(form.get("name", "")), str(form.get("password", ""))
    peer = request.client.host if request.client else ""
    cookie = await _in_thread(lambda: site.sessions.sign_in(name, password, peer))
    if cookie is None:
        error = UsageError("name or password is wrong, or there were too many tries in a minute")
        return page(request, "login", 401, error=error)
    response = RedirectResponse("/", 303)
    site.sessions.set(response, cookie, request)
    return response


async def logout(request: Request) -> Response:
    """End the session."""
    form = await read_form(request)
    require_token(request.state.visitor, str(form.get("csrf", "")))
    site_of(request).sessions.end(request)
    return RedirectResponse("/login", 303)


async def by_link(request: Request) -> Response:
    """Show or answer the one question of a link; it is the session."""
    site = site_of(request)
    token = request.path_params["token"]
    link = await _in_thread(lambda: site.links.read(token))
    asked = await _in_thread(lambda: site.live.refresh().question(link.family))
    is_open = asked is not None and (asked.number, asked.digest) == (link.question, link.digest)
    if not is_open:
        raise LinkError("this question is answered, or is asked again", hint="open the board")
    csrf = site.sessions.csrf(f"link:{link.nonce}")
    visitor = Visitor("USER", "approver", csrf)
    error: OrchestrateError | None = None
    if request.method == "POST":
        form = await read_form(request)
        require_token(visitor, str(form.get("csrf", "")))
        given = answer_of(form, by="USER", via="link")
        if given.digest != link.digest:
            raise LinkError("this link answers another question")
        try:
            request.state.visitor = visitor
            path = request.url.path
            to_sign = await _in_thread(lambda: ask_signature(request, link.family, given, path))
            if to_sign is not None:
                return to_sign  # type: ignore[no-any-return]
            await _in_thread(lambda: site.act(lambda c: c.answer(link.family, given)))
        except OrchestrateError as exc:
            error = exc
        else:
            site.links.use(link)
            if given.verb is not AnswerVerb.HOLD:
                site.go_on(link.family)
            return page(request, "answered", family=link.family, verb=given.verb.value)
    request.state.visitor = visitor
    review = await _in_thread(lambda: site.review(link.family, panels=False))
    members = [card.ticket.id for card in site.live.view.members(link.family)]
    values = {"question": asked, "review": review, "action": request.url.path, "members": members}
    return page(request, "link", 409 if error else 200, error=error, **values)
