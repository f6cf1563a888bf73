"""Pages in parts: a browser that hears of news fetches only what they change of what it shows.

A template wraps what can change in `{% call part(id, topics) %}`. A page has all its parts; the
answer to a request that names topics (`News.topics`) has the parts that listen to one of them.
Parts may be in parts: of an outer one that is sent, inner ones that did not change are left out,
and the browser keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from markupsafe import Markup
from starlette.requests import Request

from orchestrator.views.live import EVERYTHING

#: the header in which a browser names topics, each percent-encoded
HEADER = "orchestrate-changed"


@dataclass
class Parts:
    """What of a page is rendered."""

    #: None: the whole page
    topics: frozenset[str] | None
    found: list[Markup] = field(default_factory=list)
    _inside: int = 0

    @classmethod
    def of(cls, request: Request) -> Parts:
        """The parts that a request asks for."""
        named = request.headers.get(HEADER)
        return cls(None if named is None else frozenset(map(unquote, named.split())))

    def __call__(
        self,
        id: str,
        on: Iterable[str],
        *,
        caller: Callable[[], str],
        tag: str = "div",
        outer: bool = False,
        **attributes: str | None,
    ) -> Markup:
        """The part `id`, which changes with the topics `on`; `outer`: it has parts in it."""
        listens = frozenset({*on, f"part:{id}"})
        if self.topics is None:
            return _wrapped(tag, id, listens, Markup(caller()), attributes)  # noqa: S704 - escaped
        changed = self.topics == EVERYTHING or bool(self.topics & listens)
        if self._inside:
            if changed or outer:
                return _wrapped(tag, id, listens, Markup(caller()), attributes)  # noqa: S704
            return Markup('<{0} id="{1}" data-same></{0}>').format(Markup(tag), id)  # noqa: S704
        if not changed:
            # what is in it may have changed
            if outer:
                caller()
            return Markup("")
        self._inside += 1
        text = _wrapped(tag, id, listens, Markup(caller()), attributes)  # noqa: S704 - escaped
        self._inside -= 1
        self.found.append(text)
        return text


def _wrapped(
    tag: str, id: str, on: frozenset[str], body: Markup, attributes: dict[str, str | None]
) -> Markup:
    topics = " ".join(sorted(quote(topic, safe=":") for topic in on if topic != f"part:{id}"))
    said: dict[str, str | None] = {"id": id, "data-on": topics, **attributes}
    parts = (
        Markup(' {}="{}"').format(Markup(name.rstrip("_").replace("_", "-")), value)  # noqa: S704
        for name, value in said.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), Markup("").join(parts), body)  # noqa: S704
