"""Stage headings: `STAGE 2: SOOP — Title (Parallel with STAGE 3)`, `USER CHECKPOINT #1 — …`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.errors import WorkflowError
from orchestrator.markdown.blocks import Kind, Piece
from orchestrator.workflow_reader.vocabulary import any_of, plain, word_set

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
    rf"[\s({_DASHES}-]*\b(?:runs?\s+)?(?:in\s+)?{any_of('parallel')}"
    rf"(?:\s+(?:with|to))?\s+(?:stages?\s*)?(?P<numbers>{_AMONG})\s*\)?",
    re.IGNORECASE,
)
_LONE_CHECKPOINT = re.compile(r"user\s+checkpoint\s*#?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class StageHead:
    """A stage's heading."""

    number: int
    agent: str
    title: str
    line: int
    #: of the heading, 1 to 6
    level: int
    checkpoint: int | None = None
    is_checkpoint: bool = False
    ready: bool = False
    #: the stages that it may run in parallel with
    beside: tuple[int, ...] = ()
    #: read under other words than STAGE, and numbered by its place
    is_of_series: bool = False
    #: a checkpoint that a sentence asks for: its block says more, to the stage before
    shares: bool = False
    #: the number in the heading of a series, as written
    said: str = ""


def heading_words(piece: Piece) -> str:
    """A heading's words, without marks and signs before them."""
    words = re.sub(r"^[^\w]+", "", plain(_READY.sub("", piece.text)).replace("*", ""))
    return " ".join(words.split())


def looks_like_stage(piece: Piece) -> bool:
    """Whether a heading begins with the word "stage"."""
    return re.match(r"stage\b", heading_words(piece), re.IGNORECASE) is not None


def names_agent(piece: Piece) -> bool:
    """Whether a block is a heading `STAGE n: AGENT — Title`, or `STAGE n: AGENT`."""
    found = _NUMBERED.fullmatch(heading_words(piece)) if piece.kind is Kind.HEADING else None
    said = _WHO.fullmatch(_BESIDE.sub("", found["rest"]).strip()) if found else None
    if said is None:
        return False
    has_title = said["title"] or said["paren"] or said["k"]
    return bool(has_title) or said["agent"].isupper() or said["agent"].lower() in word_set("roles")


def read_stage_head(piece: Piece, path: str) -> StageHead | None:
    """The stage that a piece heads, or None. Raises WorkflowError for one that is ambiguous."""
    if piece.kind is not Kind.HEADING:
        return None

    def error(message: str, code: str, hint: str) -> WorkflowError:
        return WorkflowError(message, path=path, line=piece.line, code=code, hint=hint)

    words = heading_words(piece)
    if _LONE_CHECKPOINT.match(words):
        message = "a checkpoint without a stage number has no place in the order"
        raise error(message, "checkpoint-without-number", f"write STAGE n: {words}")
    found = _NUMBERED.fullmatch(words)
    if found is None:
        return None
    number, rest = found["number"], found["rest"]
    beside: tuple[int, ...] = ()
    if parallel := _BESIDE.search(rest):
        beside = tuple(int(n[:9]) for n in re.findall(r"\d+", parallel["numbers"]))
        rest = f"{rest[: parallel.start()]} {rest[parallel.end() :]}".strip()
    who = _WHO.fullmatch(rest)
    if not found["sep"].strip() and not (who and who["agent"].isupper()):
        return None
    if not re.fullmatch(r"\d{1,4}", number):
        message = f"'{number}' is not a stage number"
        raise error(message, "stage-number", "number the stages 0, 1, 2 …")
    if who is None:
        message = f"stage {number} does not name its one agent"
        raise error(message, "stage-without-agent", f"write STAGE {number}: AGENT — Title")
    agent = who["agent"].upper()
    is_user = agent.endswith("CHECKPOINT") or who["k"] is not None or agent == "USER"
    return StageHead(
        number=int(number),
        agent="USER" if is_user else agent,
        title=(who["title"] or who["paren"] or "").strip(f" -{_DASHES}:"),
        line=piece.line,
        level=piece.level,
        checkpoint=int(who["k"][:4]) if who["k"] else None,
        is_checkpoint=is_user,
        ready=not is_user and _READY.search(piece.text) is not None,
        beside=beside,
    )


def number_checkpoints(heads: Sequence[StageHead]) -> list[StageHead]:
    """The stages in order; checkpoints without a number get the next free one."""
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
