"""What reads like a person's approval: headings, labels, sentences and table cells (DESIGN 4.7).

A gate too many costs a look; one that is missed costs the approval. So the words are broad, and
what they must not catch (“no approval needed”, “build the approval page”) is listed beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, takewhile

from orchestrator.markdown.blocks import Kind, Piece, label_of
from orchestrator.workflow_reader.vocabulary import any_of, plain, read_data

_DATA = read_data("gates.toml")


def _compile(pattern: str) -> re.Pattern[str]:
    """A pattern of the data, with the phrases and parts that it names in their places."""
    while named := re.search(
        r"<(?!\?)(\w+)>", re.sub(r"\(\?P<\w+>", lambda m: " " * len(m.group()), pattern)
    ):
        part = _DATA["parts"].get(named[1]) or any_of(named[1]).replace(" ", r"\ ")
        pattern = pattern[: named.start()] + part + pattern[named.end() :]
    return re.compile(pattern, re.IGNORECASE | re.VERBOSE)


@lru_cache
def _rule(name: str) -> re.Pattern[str]:
    """What the data has under a name; compiled when it is needed, as it takes its time."""
    return _compile("|".join(f"(?:{pattern})" for pattern in _DATA["rules"][name]))


def _says(rule: str, text: str) -> bool:
    return _rule(rule).search(text) is not None


@lru_cache
def _asking(name: str) -> tuple[tuple[re.Pattern[str], ...], ...]:
    """A clause that fits all patterns of one makes whoever follows it wait for a person."""
    return tuple(tuple(map(_compile, rule)) for rule in _DATA["rules"][name])


_NONE = re.compile(
    r"\W*(?:(?:none|not?|nobody)(?:\s+(?:one|is|are|needed|required|necessary|applicable|at|all|set"
    r"|here|yet|applies))*|n/?a|auto\w*(?:[\s-]+(?:approv\w+|merged?|only))?)?\W*",
    re.IGNORECASE,
)
_FILE = re.compile(r"\S+\.[a-z]\w{0,4}|\S*/\S*|null|latest|best|last")
_IN_CAPITALS = re.compile(r"\W*(?:HUMAN|USER|MANUAL|OWNER) (?:GATE|CHECKPOINT|APPROVAL|REVIEW)\b")
_BY_WHOM = re.compile(
    r"(?i)(?:reviewed.*)?approve|(?:decision|approval|sign[- ]?off)\s+by|sign(?:ature|\s+here)"
)
_PAUSE_SIGN = re.compile(r"[\s>*_\[-]*[⏸✋]\ufe0f?[\s*_]*\w")
_AGENT = re.compile(r"@?[A-Z][A-Z0-9_-]{2,}(?: \(.*\))?|(?i:[\w-]+[-_ ](?:agent|bot))|(?i:ci|bot)")
_MACHINE = re.compile(r"(?i)\b(?:tests?|ci|lint\w*|coverage|builds?|none|automat\w*|ready)\b")


def is_gate(words: str) -> bool:
    """Whether a heading outside of the stages asks for an approval."""
    if _says("no_gate_heading", words):
        return False
    said = _rule("nobody").sub(" ", words)
    if not (_says("gate_heading", said) or asks_person(said) or names_gate(said, is_label=True)):
        return False
    named = _rule("label").match(words)
    # "Gate: all tests pass" is a machine's
    return not (named and _MACHINE.search(named["rest"]) and not _says("asked", named["rest"]))


def is_personal(title: str) -> bool:
    """Whether a stage's title asks for the approval of a person."""
    return _says("personal", title) and not _says("no_gate_heading", title)


def asks_person(text: str, rules: str = "asks") -> str:
    """The clause of a text that makes its reader wait for a person; "" if there is none."""
    for clause in re.split(r"(?<=[^.][.;!?])(?:\s+|$)|…", _rule("nobody").sub(" ", text)):
        said = clause.rstrip(" .;!")
        if _rule("builds").match(said):
            continue
        if any(all(pattern.search(said) for pattern in rule) for rule in _asking(rules)):
            return " ".join(clause.split()).lstrip("> -.:;,*(")
    return ""


def may_ask(text: str, agents: Sequence[str], *, is_title: bool = False) -> str:
    """The clause of a text that may be about a person's approval; "" if there is none."""
    if is_title and _says("no_gate_heading", text):
        return ""
    said = re.sub(r"[*_]{1,3}(?=\w)|(?<=\w)[*_]{1,3}|`[^`]*`|\S+/\S+\.\w{1,5}\b", "", text)
    if agents:
        said = re.sub(rf"(?i)(?<!\w)@?(?:{'|'.join(map(re.escape, agents))})\b", "x", said)
    return asks_person(said, "may_ask")


def lead_asks(lead: str, point: str, agents: Sequence[str]) -> str:
    """What a line above a list and one of its points say together, if that asks a person; or "".

    "Do not continue without:" and "approval of the client" say nothing by themselves.
    """
    if not _says("waits_for_points", lead):
        return ""
    said = f"{lead.strip(' :*_')} {point}"
    return said if asks_person(said) or may_ask(said, agents) else ""


def refers_back(words: str) -> bool:
    """Whether words speak of an approval that was given before: "After USER approves: …"."""
    return _says("refers_back", words)


def is_review(title: str) -> bool:
    """Whether the title of a stage that names no agent is of something that people do."""
    return _says("reviews", title)


def is_loud(line: str) -> bool:
    """Whether a line of a fence or a comment is a marker such as "HUMAN APPROVAL REQUIRED"."""
    words = re.findall(r"\w{2,}", line)
    return len(words) > 1 and _says("loud", line.strip(" \t#/*-=<>!|+"))


def is_gate_key(key: str, value: object) -> bool:
    """Whether a key of the frontmatter asks for an approval."""
    words = str(value).strip(" []{}'\"")
    said, key = words.casefold(), _in_words(key.strip())
    if said in _NO or _NONE.fullmatch(said):
        return said in _NO and _says("no_key", key)
    if _FILE.fullmatch(said) and re.fullmatch(r"(?i)check[-_]?points?", key):
        return False
    if _says("gate_key", key) or _says("interrupt_key", key):
        return True
    return (
        (said in YES and _says("yes_key", key))
        or (said in _BY_HAND and _says("by_hand_key", key))
        or (_says("waits_key", key) and _says("person_value", words))
        or (_says("step_key", key) and _says("person_step", _in_words(words)))
    )


def asks_nobody(line: str) -> bool:
    """Whether a line such as "approvals: 0" or "Approver: CI" says that no person is asked."""
    found = re.fullmatch(r"\W*(?P<key>[A-Za-z][\w -]{0,40}?)\W*[:=]\s*(?P<value>.{0,120})", line)
    if found is None or not _says("gate_key", _in_words(found["key"])):
        return False
    value = found["value"].strip(" []{}'\"*_.")
    names = [name for name in re.split(r"[,/&+]|\s(?:and|or)\s", value) if name.strip()]
    is_machines = bool(names) and all(_PROGRAM.fullmatch(name.strip()) for name in names)
    return is_machines or value.casefold() in _NO or (bool(value) and bool(_NONE.fullmatch(value)))


def _in_words(key: str) -> str:
    """A key in camel case as the others are: `minApprovals` → `min_Approvals`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key)


def asks_in_diagram(line: str) -> str:
    """The words of a node or an arrow of a diagram that ask for an approval; "" if none do."""
    texts = re.findall(r"[\[{(]+\"?([^\]})\"\[{(]+)|\"([^\"]+)\"|:\s+(.+)$", line)
    names = re.findall(r"\b[a-z]*(?:[A-Z][a-z]+){2,}\b|\b[a-z]+(?:_[a-z]+)+\b", line)
    parts = [re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", name) for name in names]
    said = [str(words).strip('*" ') for found in texts for words in found if words]
    for words in (*said, *parts):
        personal = is_gate(words) and is_personal(words.replace("?", ""))
        if personal or asks_person(words) or may_ask(words, ()):
            return words
    return ""


def gate_in_data(line: str, below: Sequence[str]) -> str:
    """`key: value` of a line of YAML, JSON or TOML, if the key asks for an approval; else ""."""
    # several pairs of JSON in one line
    parts = re.split(r",\s*(?=[\"'][\w -]+[\"']\s*:)", line[:_LONGEST]) if "{" in line else [line]
    for part in parts:
        found = re.fullmatch(r"\W*([A-Za-z][\w -]*?)[\"']?\s*[:=]\s*(.*?)[,;]?\s*", part)
        if found is None:
            continue
        items = takewhile(lambda each: re.match(r"\s*-\s+\S", each), below)
        value = found[2] or ", ".join(item.strip(" -") for item in items)
        said = f"{found[1]}: {value}"
        if is_gate_key(found[1], value) and not asks_nobody(said):
            return said
    return ""


def names_approvers(line: str, agents: Sequence[str]) -> str:
    """What says "reviewers: Maya, Tom" or "requires_approval: true" in a text; "" if nothing does.

    Lines of keys that no list holds are one paragraph: "agent: BUILDER approvers: Maya".
    """
    said = re.sub(r"[*_`]{1,3}(?=\W|$)|(?<!\w)[*_`]{1,3}", "", line[:_LONGEST]).strip(" >-")
    parts = re.split(r"\s+(?=[A-Za-z][\w-]*:\s)", said)
    if ":" not in parts[0]:
        # a key of several words
        parts[:2] = [" ".join(parts[:2])]
    if not re.match(r"[A-Za-z][\w -]{0,40}(?::|\s=)\s", parts[0]):
        # a sentence, in which something of data may be said
        return ""
    return next(filter(None, (_approvers_in(part, agents) for part in parts)), "")


def _approvers_in(said: str, agents: Sequence[str]) -> str:
    found = re.fullmatch(r"(?P<key>[A-Za-z][\w -]{0,40}?)(?::|\s+=)\s+(?P<value>\S.{0,120})", said)
    if found is None or not is_gate_key(found["key"], found["value"]):
        return ""
    value = re.sub(r"\s*(?:#.*|<[^<>]*>|\([^()]*\))\s*$", "", found["value"]).strip(" []\"'.!")
    if _NO_PEOPLE.fullmatch(value):
        return ""
    key = _in_words(found["key"])
    of_people = _says("people_key", key)
    is_count = re.fullmatch(r"[1-9]", value) and (of_people or _says("is_required", key))
    if (
        value.casefold() in YES
        or is_count
        or not any(_says(rule, key) for rule in ("gate_key", "interrupt_key"))
        or (_says("waits_key", key) and _says("person_value", value))
    ):
        # or the key and the value ask together
        return said
    names = [n.strip(" \"'") for n in re.split(r",|;|&|/|\s(?:and|or|und|et|y)\s", value)]
    known = {agent.casefold() for agent in agents}
    people = [n for n in names if n.casefold() not in known and not _is_machine(n)]
    is_named = all(re.fullmatch(r"@?[^\W\d_][\w.-]*(?: [^\W\d_][\w.-]*){0,2}", n) for n in names)
    called = [n for n in people if of_people or n.startswith("@")]
    return said if is_named and called else ""


#: characters of a line that are looked at
_LONGEST = 400
#: what a description of data says of such a field
_NO_PEOPLE = re.compile(
    r"(?i)(?:uuid|bool(?:ean)?|text|string|array(?: of \w+)?|int(?:eger)?|fk|date|timestamp\w*"
    r"|varchar|optional|nullable|json|git|list(?: of \w+)?)"
)
#: values of a key by which it asks for an approval, and names nobody
YES = frozenset({"true", "yes", "on", "required", "mandatory", "human", "manual", "always"})
_BY_HAND = frozenset({"manual", "manually", "human", "by hand", "by a human", "by a person"})
_NO = frozenset({"false", "0", "off", "never", "no"})
_PROGRAM = re.compile(
    r"(?i)ci(?:/cd)?|bots?|[\w-]+[-_ ](?:agent|bot)|github actions|(?:the )?pipeline"
)


def _is_machine(name: str) -> bool:
    """Whether a name is an agent's or a program's; one in capitals may be people's: CFO."""
    return _AGENT.fullmatch(name) is not None and not _says("people_cell", name)


def names_gate(text: str, *, is_label: bool) -> bool:
    """Whether a paragraph is a gate by its first words: "HUMAN GATE: …", "Gate 2: PO decides"."""
    # the rules try every way to share out a run of spaces
    text = " ".join(text.split())
    if _IN_CAPITALS.match(text) or _PAUSE_SIGN.match(text):
        return not _NONE.fullmatch(re.sub(r"^\W*[\w ]*:", "", text)) or ":" not in text
    if is_label and _rule("by_first_words").match(text):
        return True
    found = _rule("label").match(text)
    if found is None:
        return False
    by_whom = _BY_WHOM.match(found["what"])
    if _NONE.fullmatch(found["rest"]):
        return not found["rest"] and (by_whom is not None or (is_label and is_personal(text)))
    named = re.search(r"gate|check-?point|decision", found["what"], re.IGNORECASE)
    return by_whom is not None or not named or _says("asked", text)


@dataclass(frozen=True)
class UnreadGate:
    """A line that asks for a person's approval outside of every checkpoint."""

    line: int
    words: str
    is_heading: bool = False
    #: named as a gate, or a step of its own: what stands below it comes after the approval
    is_explicit: bool = False
    #: the last line of what belongs to it
    last: int = 0
    #: its block says nothing else
    is_whole: bool = True
    #: the cells of a table's row
    cells: tuple[str, ...] = ()
    #: its block among those that were read
    at: int = 0


def gates_in(pieces: Sequence[Piece]) -> Iterator[UnreadGate]:
    """The gates among blocks; what stands below a gate's heading is part of it."""
    level = 0
    for at, piece in enumerate(pieces):
        if piece.kind is Kind.HEADING:
            words = plain(piece.text)
            if level and piece.level > level:
                continue
            level = piece.level if is_gate(words) else 0
            if level:
                after = (p for p in pieces[at + 1 :] if p.kind is Kind.HEADING and p.level <= level)
                following = next(after, None)
                last = following.line - 1 if following else pieces[-1].end
                yield UnreadGate(piece.line, words, True, True, last, at=at)
        elif level or piece.kind is Kind.FENCE:
            continue
        elif piece.kind is Kind.TABLE:
            yield from _in_table(piece, at)
        else:
            said_all = piece.markdown if piece.box is None else piece.said
            text = re.sub(r"^\[![A-Z]+\]\s*|[*_`]{1,3}", "", said_all)
            labelled = names_gate(text, is_label=bool(piece.label) or text.isupper())
            said = asks_person(text)
            if labelled or said:
                words = (" ".join(text.split()).lstrip("> -⛔🛑⏸✋\ufe0f") if labelled else said)[
                    :90
                ]
                is_step = piece.kind is Kind.ITEM and text.lower().find(said.lower()[:12]) <= 3
                is_explicit = labelled or (bool(said) and is_step and piece.number is not None)
                is_whole = labelled or len(said) > 0.8 * len(text.strip(" ."))
                yield UnreadGate(
                    piece.line, words, False, is_explicit, piece.end, is_whole=is_whole, at=at
                )


def cut_at_gates(piece: Piece, lines: Sequence[str]) -> list[Piece]:
    """A paragraph in parts, so that a line that asks for an approval stands alone.

    `lines` are the document's. One whose lines do not give the paragraph's words stays as it is.
    """
    own = [re.sub(r"^[\s>]+", "", line) for line in lines[piece.line - 1 : piece.end]]
    if piece.kind is Kind.ITEM:
        own[0] = re.sub(r"^(?:[-*+]|\d{1,9}[.)])\s+", "", own[0])
    joined = " ".join(" ".join(own).split())
    is_words = piece.kind in (Kind.PARAGRAPH, Kind.ITEM) and piece.box is None
    if not is_words or joined != piece.markdown:
        return [piece]
    said_at = [(n, s) for n, line in enumerate(own) for s in _sentences(line)]
    own = [said for _, said in said_at]
    begins = [n for n, (a, b) in enumerate(pairwise(["", *own])) if not n or _begins(a, b)]
    gates = [_is_gate_line(" ".join(own[a:b])) for a, b in pairwise([*begins, len(own)])]
    starts = [at for n, at in enumerate(begins) if not n or gates[n] != gates[n - 1]]
    parts = list[Piece]()
    for start, end in pairwise([*starts, len(own)]):
        said = " ".join(" ".join(own[start:end]).split())
        label, text = label_of(said)
        first, last = piece.line + said_at[start][0], piece.line + said_at[end - 1][0]
        part = replace(piece, line=first, end=last, markdown=said, label=label, text=text)
        parts.append(replace(part, kind=Kind.PARAGRAPH, number=None) if start else part)
    return parts if len(parts) > 1 else [piece]


def _sentences(line: str) -> list[str]:
    """The sentences of a line; the whole line if the first asks, or one would have half a mark."""
    parts = re.split(r"(?<=[^.][.!?])\s+(?=[A-Z*_])", line)
    is_torn = any(part.count("**") % 2 or part.count("`") % 2 for part in parts)
    return [line] if is_torn or _is_gate_line(parts[0]) else parts


def _is_gate_line(line: str) -> bool:
    text = re.sub(r"[*_`]{1,3}", "", line)
    is_label = bool(label_of(line)[0]) or text.isupper()
    return asks_person(text) != "" or names_gate(text, is_label=is_label)


def _begins(before: str, line: str) -> bool:
    """Whether a line goes on with something else than the sentence of the one before it."""
    if re.match(r"[a-zäöüéà(,;]", line) or re.fullmatch(r"\[![A-Z]+\]\s*", before):
        return False
    is_ended = re.search(r"[.!?:;`)\]*_|]\s*$", before) is not None
    key = re.compile(r"[\W_]*[\w][\w /-]{0,40}:(?:\s|[*_])")
    return is_ended or any(key.match(each) for each in (before, line))


def is_at_end(gate: UnreadGate, body: Sequence[Piece]) -> bool:
    """Whether no work follows a gate: what comes of each answer, and what then holds, is none."""
    below = (p for p in body[gate.at + 1 :] if p.line > gate.last)
    return all(
        p.kind is not Kind.HEADING
        and (p.box is not None or _rule("no_work").match(p.said) or _asks(p.markdown))
        for p in below
    )


def _asks(text: str) -> bool:
    return asks_person(text) != "" or names_gate(text, is_label=False)


def _in_table(table: Piece, at: int) -> Iterator[UnreadGate]:
    """The rows that ask for an approval: in a column for it, or in so many words."""
    head = [plain(cell) for cell in table.rows[0].cells] if table.rows else []
    # whoever owns a task does it, and whoever owns a gate opens it
    of_gates = any(_says("gates_column", title) for title in head)
    for row in table.rows[1:]:
        for title, cell in zip(head, map(plain, row.cells), strict=False):
            if _NONE.fullmatch(cell) or cell in ("❌", "✗", "x"):
                continue
            asks = _rule("gate_column").match(title) and _says("cell_says_yes", cell)
            # an agent's verdict is not a person's
            by_whom = _says("approver_column", title) or (
                of_gates and _says("owner_column", title) and not _MACHINE.match(cell)
            )
            asks = asks or (by_whom and not all(map(_is_machine, re.split(r"\s*[,/&]\s*", cell))))
            if asks or (is_gate(cell) and is_personal(cell)) or _asks(cell):
                words = f"{title}: {cell}"
                yield UnreadGate(
                    row.line, words, False, True, row.line, cells=tuple(row.cells), at=at
                )
                break
