"""Every code that `doctor` may report: what it means and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Surety(StrEnum):
    """How far a repair goes without a person."""

    #: done by `--fix`
    CERTAIN = "certain"
    #: done by `--fix --with CODE`
    OFFERED = "offered"
    #: a person decides
    NONE = ""


@dataclass(frozen=True)
class Malady:
    """What a code means, and what is done about it."""

    meaning: str
    remedy: str
    surety: Surety = Surety.NONE
    #: harmless: it does not make the board unhealthy
    note: bool = False


_C, _O = Surety.CERTAIN, Surety.OFFERED

#: the gravest first; this is the order in which they are shown
CODES: dict[str, Malady] = {
    "lost": Malady(
        "a ticket that git or the last look knows is gone", "the command to bring it back is shown"
    ),
    "twin": Malady(
        "the same ticket lies in two folders",
        "if they are the same, the staler one goes to `.orchestrate/state/displaced/`",
        _O,
    ),
    "duplicate-id": Malady(
        "two files with different names hold one id", "give one of them another id"
    ),
    "number-reused": Malady(
        "two ids are one number in two spellings (`WO_012`, `WO-012`)",
        "give one of them another number",
    ),
    "conflict-file": Malady(
        "a version that could not be merged was set aside",
        "take over what you need, then delete it",
    ),
    "merge-conflict": Malady("an unfinished merge of git stands in the file", "finish the merge"),
    "unreadable": Malady("the file or folder cannot be read", "check its rights"),
    "link": Malady("the file is a link; links are not followed", "put the file itself there"),
    "empty": Malady("the file is empty", "write it, or remove it"),
    "not-utf8": Malady("not all of it is UTF-8", "save it as UTF-8"),
    "record-broken": Malady(
        "the `flow:` block of a conducted family cannot be read or is gone",
        "put the last version back from git",
    ),
    "member-missing": Malady(
        "a member of a conducted family is not on the board", "bring its file back"
    ),
    "member-elsewhere": Malady(
        "a member lies elsewhere than the record says", "the next run puts it back"
    ),
    "wish-refused": Malady(
        "the status of a conducted ticket is no wish that can be carried out",
        "write one that is legal",
    ),
    "workflow-missing": Malady("the workflow of a conducted family is gone", "put the file back"),
    "no-frontmatter": Malady(
        "there is no block of keys",
        "a block with what the text says (`**Status:**` …) is inserted",
        _O,
    ),
    "no-opening-fence": Malady("the keys begin without `---`", "`---` is inserted above", _C),
    "no-closing-fence": Malady("no `---` closes the keys", "`---` is inserted below them", _C),
    "closing-fence-glued": Malady(
        "the closing `---` hangs on the last value", "it gets a line of its own", _C
    ),
    "banner-before-fence": Malady(
        "a line stands above the opening `---`", "it is moved below the closing `---`", _C
    ),
    "blank-before-fence": Malady(
        "blank lines stand above the opening `---`", "they are deleted", _C
    ),
    "yaml-colon": Malady(
        "a value holds a colon and no quotes", "the value is quoted, if it reads the same then", _C
    ),
    "yaml-after-quote": Malady(
        "text follows a quoted value", "the whole value is quoted, if it reads the same then", _C
    ),
    "yaml": Malady("a value is no valid YAML", "put quotes around it"),
    "yaml-refused": Malady(
        "the keys are too large, too deep or have aliases", "write them plainly"
    ),
    "duplicate-key": Malady(
        "a key stands twice",
        "the earlier line is deleted, if both say the same or the last agrees with the folder",
        _C,
    ),
    "no-id": Malady("there is no `id:`", "`id:` from the file's name is inserted", _C),
    "bad-id": Malady("the `id:` cannot be one", "write another"),
    "id-name": Malady("file name and id disagree", "rename the file"),
    "status-unfinished": Malady(
        "a complete or archived ticket still has a working status",
        "`status:` is set to the folder",
        _C,
    ),
    "status-drift": Malady(
        "status and folder disagree",
        "`status:` is set to the folder; certain where the ticket is complete or archived",
        _O,
    ),
    "status-unknown": Malady("the status names no place", "`status:` is set to the folder", _O),
    "status-renumbered": Malady(
        "the status has an old number of the same folder", "`status:` is set to the folder", _C
    ),
    "strike-limit": Malady(
        "it has failed too often and is not on hold",
        "it is put on hold with reason, time and `held_from:`",
        _O,
    ),
    "failure-undercount": Malady(
        "more rejections stand in the text than are counted",
        "`failure_count:` is set to their number",
        _O,
    ),
    "hold-reason": Malady("on hold without a reason", "write `hold_reason:`"),
    "boxes-open": Malady(
        "complete, but acceptance boxes are not ticked", "prove them, or take the ticket back"
    ),
    "stale": Malady("it has waited for USER for `stale_days` or longer", "answer it"),
    "wip-limit": Malady("more than `wip_limit` tickets are in BUILD", "finish or shelve some"),
    "dependency-cycle": Malady("tickets wait for each other", "take one out of `depends_on`"),
    "dependency-open": Malady(
        "it was begun before what it waits for was complete", "finish that first"
    ),
    "dependency-missing": Malady("what it waits for is not on the board", "name one that is there"),
    "parent-missing": Malady("its parent is not on the board", "name one that is there"),
    "child-missing": Malady("its child is not on the board", "name one that is there"),
    "depends-prose": Malady(
        "the dependency is prose", "the ids become a list, the prose goes to `depends_note:`", _O
    ),
    "owner-multiple": Malady(
        "several owners in a chain", "the first stays, the chain goes to `route:`", _O
    ),
    "yaml-bool": Malady(
        "`no` and `yes` are words to one YAML reader and false and true to another",
        "`false` and `true` are written",
        _C,
    ),
    "key-alias": Malady("an id or owner under another key", "none needed", note=True),
    "unknown-folder": Malady(
        "it lies where the board has no state, and is not conducted there",
        "move it, or name the folder under `[board.folders]`",
        note=True,
    ),
    "id-range": Malady("one ticket stands for several numbers", "none needed", note=True),
    "leading-rule": Malady(
        "a note that opens with a rule lies among the tickets", "none needed", note=True
    ),
}


def malady(code: str) -> Malady:
    """What a code means; a code of another version is shown as it is."""
    return CODES.get(code, Malady(code, ""))
