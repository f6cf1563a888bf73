"""Stage headings: `STAGE 2: SOOP — Title (Parallel with STAGE 3)`, `USER CHECKPOINT #1 — …`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from orchestrator.errors import WorkflowError
from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.workflow_reader.stage import Head
from orchestrator.workflow_reader.vocabulary import plain

_DASHES = "—–"
_READY = re.compile(r"[✅✔☑]\ufe0f?")
_NUMBERED = re.compile(
    r"stage\s*#?\s*(?P<number>\d+(?:\.\d+)*[a-z]?)(?!\w)"
    rf"\s*(?P<sep>[:.)·|{_DASHES}]+|\s-+\s|(?=\s)|$)\s*(?P<rest>.*)",
    re.IGNORECASE,
)
_WHO = re.compile(
    r"\(?(?P<agent>(?:user\s+)?checkpoint(?:\s*#?\s*(?P<k>\d+))?|[A-Za-z][A-Za-z0-9_-]*)\)?"
    rf"\s*(?:(?:[:·|{_DASHES}]+|\s-+\s|\s-+$)\s*(?P<title>.*)|(?P<paren>\(.*)|$)",
    re.IGNORECASE,
)
_AMONG = r"#?\d+(?:\s*(?:,\s*and|,|and|&|\+|/|or)\s*(?:stage\s*)?#?\d+)*"
_BESIDE = re.compile(
    rf"[\s({_DASHES}-]*\b(?:runs?\s+)?(?:in\s+)?(?:parallel|concurrent(?:ly)?|simultaneous(?:ly)?|alongside|beside)"
    rf"(?:\s+(?:with|to))?\s+(?:stages?\s*)?(?P<numbers>{_AMONG})\s*\)?",
    re.IGNORECASE,
)
_LONE_CHECKPOINT = re.compile(r"user\s+checkpoint\s*#?\d+", re.IGNORECASE)
_STAGE_LIKE = re.compile(r"stage\b", re.IGNORECASE)


@dataclass(frozen=True)
class Heading:
    """A heading with the words that count."""

    piece: Piece
    said: str

    @classmethod
    def of(cls, piece: Piece) -> Heading:
        said = re.sub(r"^[^\w]+", "", plain(_READY.sub("", piece.text)).replace("*", ""))
        return cls(piece, " ".join(said.split()))

    @property
    def looks_like_stage(self) -> bool:
        return _STAGE_LIKE.match(self.said) is not None


def stage_head(piece: Piece, path: str) -> Head | None:
    """The stage that a piece heads, or None. Raises WorkflowError for one that cannot be told."""
    if piece.kind is not Kind.HEADING:
        return None
    said = Heading.of(piece).said
    if _LONE_CHECKPOINT.match(said):
        raise WorkflowError(
            "a checkpoint without a stage number cannot be put in order",
            path=path,
            line=piece.line,
            code="checkpoint-without-number",
            hint=f"write STAGE n: {said}",
        )
    found = _NUMBERED.fullmatch(said)
    if found is None:
        return None
    beside, rest = _split_beside(found["rest"])
    who = _WHO.fullmatch(rest)
    if not found["sep"].strip() and not (who and who["agent"].isupper()):
        return None
    return _head(piece, path, found["number"], who, beside)


def _split_beside(text: str) -> tuple[tuple[int, ...], str]:
    found = _BESIDE.search(text)
    if found is None:
        return (), text
    numbers = tuple(int(n[:9]) for n in re.findall(r"\d+", found["numbers"]))
    return numbers, f"{text[: found.start()]} {text[found.end() :]}".strip()


def _head(
    piece: Piece, path: str, number: str, who: re.Match[str] | None, beside: tuple[int, ...]
) -> Head:
    if not re.fullmatch(r"\d{1,4}", number):
        raise WorkflowError(
            f"'{number}' is no stage number",
            path=path,
            line=piece.line,
            code="stage-number",
            hint="number the stages 0, 1, 2 …",
        )
    if who is None:
        raise WorkflowError(
            f"stage {number} does not name its one agent",
            path=path,
            line=piece.line,
            code="stage-without-agent",
            hint=f"write STAGE {number}: AGENT — Title",
        )
    title = (who["title"] or who["paren"] or "").strip(f" -{_DASHES}:")
    agent = who["agent"].upper()
    person = agent.endswith("CHECKPOINT") or who["k"] is not None or agent == "USER"
    return Head(
        number=int(number),
        agent="USER" if person else agent,
        title=title,
        line=piece.line,
        level=piece.level,
        checkpoint=int(who["k"][:4]) if who["k"] else None,
        is_checkpoint=person,
        ready=not person and _READY.search(piece.text) is not None,
        beside=beside,
    )


def number_checkpoints(heads: list[Head]) -> list[Head]:
    """Checkpoints without a number get the next free one, in order of stages."""
    taken = {head.checkpoint for head in heads}
    numbered, k = [], 0
    for head in sorted(heads, key=lambda h: h.number):
        if head.is_checkpoint:
            k += 1
            if head.checkpoint is None:
                while k in taken:
                    k += 1
                head = replace(head, checkpoint=k)
        numbered.append(head)
    return numbered
