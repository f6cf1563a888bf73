"""Every rule of `doctor`: its code, what that means, what finds it, and how it is fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from orchestrator.doctor import board_rules as board
from orchestrator.doctor import family_rules as family
from orchestrator.doctor import fixes
from orchestrator.doctor import git_rules as git
from orchestrator.doctor.board_view import BoardView
from orchestrator.doctor.fixes import Applicability, Fix
from orchestrator.domain.folders import Folders
from orchestrator.markdown.problem import Diagnosis
from orchestrator.tickets.ticket import Ticket

_SAFE, _UNSAFE = Applicability.SAFE, Applicability.UNSAFE


def collect_from_reading(view: BoardView) -> Iterator[Diagnosis]:
    """What was found in each file when it was read (`tickets.diagnosis`)."""
    for ticket in view.tickets:
        for found in ticket.diagnoses:
            rule = rule_for(found.code)
            if rule.find is not collect_from_reading:
                continue
            if ticket.id not in view.parents or not rule.decided_by_record:
                yield replace(found, path=ticket.source)
    for note in view.notes:
        for found in note.diagnoses:
            if rule_for(found.code).in_notes:
                yield replace(found, path=note.source)


@dataclass(frozen=True)
class Rule:
    """One kind of problem."""

    code: str
    meaning: str
    remedy: str
    fix: Fix | None = None
    #: finds it; several rules may share one
    find: Callable[[BoardView], Iterator[Diagnosis]] = collect_from_reading
    #: harmless: it does not make the board unhealthy
    note: bool = False
    #: also reported for files that are not tickets, as it may hide one
    in_notes: bool = False
    #: not reported for a conducted family, whose record decides it
    decided_by_record: bool = False
    #: the keys are in good form in spite of it: `status:` can be set without a trial
    well_formed: bool = False

    def applicability(self, ticket: Ticket | None = None) -> Applicability:
        """Who decides that the fix is applied, to a ticket or in general."""
        if self.fix is None:
            return Applicability.DISPLAY_ONLY
        if self.fix.safe_when_finished and ticket and ticket.role and ticket.role.finished:
            return Applicability.SAFE
        return self.fix.applicability

    def always_works(self, ticket: Ticket, folders: Folders) -> bool:
        """Whether the fix need not be tried: a status is set in a file that is well-formed."""
        if self.fix is None or self.fix.edit is not fixes.set_status_to_folder:
            return False
        at_rest = fixes.says_at_rest(folders, ticket)
        return (
            ticket.role is not None
            and not at_rest
            and all(rule_for(d.code).well_formed for d in ticket.diagnoses)
        )


def _status_rule(
    code: str, meaning: str, applicability: Applicability, *, safe_when_finished: bool = False
) -> Rule:
    keys = ("status", "held_from")
    edit = fixes.set_status_to_folder
    fix = Fix(applicability, edit, ("status",), keys, safe_when_finished)
    remedy = "`status:` is set to the folder"
    if safe_when_finished:
        remedy += "; certain where the ticket is complete or archived"
    return Rule(code, meaning, remedy, fix, decided_by_record=True, well_formed=True)


# fmt: off
_ALL = (
    Rule("lost", "a ticket that git or the last run knows is gone",
         "the command that restores it is shown", find=git.find_lost_tickets),
    Rule("state-tracked", "git tracks files of `.orchestrate/`, which every run changes",
         "the command that takes them out of git is shown", find=git.find_tracked_state),
    Rule("not-in-git", "git has a family's receipts, but not its workflow or the settings",
         "the command that adds them is shown", find=git.find_uncommitted_bases),
    Rule("not-committed", "git lacks steps of a family, or a killed git left its lock",
         "the next run commits them; the command is shown", find=git.find_missed_commits),
    Rule("twin", "the same ticket is in two folders",
         "if they are the same, the older one goes to `.orchestrate/state/displaced/`",
         Fix(_UNSAFE, None), board.find_copies),
    Rule("duplicate-id", "two files with different names have one id",
         "give one of them another id", find=board.find_copies),
    Rule("id-taken", "a file is not read as a ticket: another has the id of its name",
         "give it an `id:` of its own", in_notes=True, well_formed=True),
    Rule("number-reused", "two ids are one number in two spellings (`WO_012`, `WO-012`)",
         "give one of them another number", find=board.find_reused_numbers),
    Rule("conflict-file", "a version that could not be merged was set aside",
         "take over what you need, then delete it", find=board.find_in_folders),
    Rule("other-suffix", "a markdown file has another name than `.md`, and is not read",
         "rename it", find=board.find_in_folders),
    Rule("merge-conflict", "the file has an unfinished git merge", "finish the merge",
         in_notes=True),
    Rule("unreadable", "the file or folder cannot be read", "check its permissions",
         find=board.find_in_folders, in_notes=True),
    Rule("link", "the file is a link; links are not followed", "replace it with the file itself",
         in_notes=True),
    Rule("empty", "the file is empty", "write it, or remove it"),
    Rule("not-utf8", "the file is not entirely UTF-8", "save it as UTF-8"),
    Rule("record-broken", "the `flow:` block of a conducted family cannot be read or is gone",
         "restore the last version from git", find=family.find_broken_records),
    Rule("history-altered", "a family's receipts are not as they were written",
         "restore the file from its last good commit, or reopen the family"),
    Rule("bad-history", "a line in a family's receipts is not a record",
         "restore the file from its last good commit", find=family.find_damaged_histories),
    Rule("member-missing", "a member of a conducted family is not on the board",
         "restore its file", find=family.find_member_problems),
    Rule("child-left", "a child of a complete family was never conducted",
         "reopen the family, or make the child a ticket of its own",
         find=family.find_left_children),
    Rule("member-elsewhere", "a member is not where the record has it",
         "the next run moves it back", find=family.find_member_problems),
    Rule("wish-refused", "the status of a conducted ticket asks for what cannot be done",
         "write one that is legal", find=family.find_member_problems),
    Rule("workflow-missing", "the workflow of a conducted family is gone", "restore the file",
         find=family.find_missing_workflows),
    Rule("no-frontmatter", "there is no frontmatter",
         "a block with what the text says (`**Status:**` …) is inserted",
         Fix(_UNSAFE, fixes.insert_frontmatter, keys=("*",))),
    Rule("keys-unread", "the keys are TOML, JSON or not between `---`, and are not read",
         "write them as `key: value` between two lines `---`", in_notes=True),
    Rule("no-closing-fence", "no `---` closes the frontmatter", "`---` is inserted below it",
         Fix(_SAFE, fixes.insert_closing_fence)),
    Rule("closing-fence-glued", "the closing `---` follows the last value without a line break",
         "it gets a line of its own", Fix(_SAFE, fixes.split_glued_fence)),
    Rule("no-opening-fence", "no `---` opens the frontmatter", "`---` is inserted above it",
         Fix(_SAFE, fixes.insert_opening_fence)),
    Rule("banner-before-fence", "there is a line above the opening `---`",
         "it is moved below the closing `---`", Fix(_SAFE, fixes.move_banner_below)),
    Rule("blank-before-fence", "there are blank lines above the opening `---`", "they are deleted",
         Fix(_SAFE, fixes.delete_leading_blanks)),
    Rule("yaml-colon", "an unquoted value contains a colon",
         "the value is quoted, if it then reads the same", Fix(_SAFE, fixes.quote_value)),
    Rule("yaml-after-quote", "text follows a quoted value",
         "the whole value is quoted, if it then reads the same",
         Fix(_SAFE, fixes.quote_whole_value)),
    Rule("yaml-tab", "a tab makes the keys unreadable", "replace it by spaces"),
    Rule("no-colon", "a line of the frontmatter has no colon", "write `key: value`"),
    Rule("key-contradiction", "two keys for one thing say different things",
         "make them agree, or remove one", decided_by_record=True, well_formed=True),
    Rule("says-finished", "a key, the title, the text or its boxes call it finished",
         "set its status, or change that line", decided_by_record=True, well_formed=True),
    Rule("key-reversed", "a key says which tickets wait for this one, and is not read",
         "write `depends_on:` into those", note=True, well_formed=True),
    Rule("key-misspelt", "a key looks like one that is read, and is not",
         "write it as it is read, or give your own key another name", well_formed=True),
    Rule("yaml", "a value is not valid YAML", "put quotes around it"),
    Rule("yaml-refused", "the keys are too large, too deep or have aliases", "write them plainly"),
    Rule("duplicate-key", "a key occurs twice",
         "the earlier line is deleted, if both say the same or the last agrees with the folder",
         Fix(_SAFE, fixes.delete_earlier_key)),
    Rule("no-id", "there is no `id:`",
         "`id:` from the file's name is inserted; offered only where the title, another key or "
         "another ticket speaks for another id",
         Fix(_SAFE, fixes.insert_id, keys=("id",))),
    Rule("bad-id", "the `id:` is not a valid id", "write another"),
    Rule("id-name", "file name and id disagree", "rename the file"),
    _status_rule("status-unfinished", "a complete or archived ticket still has a working status",
                 _SAFE),
    _status_rule("status-drift", "status and folder disagree",
                 _UNSAFE, safe_when_finished=True),
    _status_rule("status-unknown", "the status names no place", _UNSAFE),
    Rule("no-status", "there is no status, where only the status says the state",
         "add `status:`", well_formed=True),
    _status_rule("status-renumbered", "the status has an old number of the same folder",
                 _SAFE),
    Rule("failure-undercount", "the text has more rejections than are counted",
         "`failure_count:` is set to their number",
         Fix(_UNSAFE, fixes.count_failures, ("failure_count",), ("failure_count",)),
         decided_by_record=True, well_formed=True),
    Rule("strike-limit", "it has failed too often and is not on hold",
         "it is put on hold with reason, time and `held_from:`",
         Fix(_UNSAFE, fixes.put_on_hold, ("status", "owner"),
             ("status", "owner", "held_from", "held_at", "hold_reason")),
         decided_by_record=True, well_formed=True),
    Rule("hold-reason", "on hold without a reason", "write `hold_reason:`", well_formed=True),
    Rule("boxes-open", "complete, but acceptance boxes are not ticked and nobody judged them",
         "prove them (`orchestrate verify`), or take the ticket back",
         find=family.find_open_boxes, well_formed=True),
    Rule("criteria-unread", "what looks like criteria and is not read as such, so it is not judged",
         "move them, or name the heading in `criteria_headings`", note=True, well_formed=True),
    Rule("stale", "it has waited for USER for `stale_days` or longer", "answer it",
         find=board.find_stale),
    Rule("wip-limit", "more than `wip_limit` tickets are in BUILD", "finish or shelve some",
         find=board.find_too_many_in_build),
    Rule("dependency-cycle", "tickets wait for each other", "take one out of `depends_on`",
         find=board.find_dependency_cycles),
    Rule("dependency-open", "it was begun before what it waits for was complete",
         "finish that first", find=board.find_open_dependencies),
    Rule("dependency-missing", "what it waits for is not on the board", "name an existing ticket",
         find=board.find_missing_references),
    Rule("dependency-unread", "the text names a ticket that it waits for, and no key does",
         "write it under `depends_on:`", find=board.find_unread_dependencies),
    Rule("parent-missing", "its parent is not on the board", "name an existing ticket",
         find=board.find_missing_references),
    Rule("child-missing", "its child is not on the board", "name an existing ticket",
         find=board.find_missing_references),
    Rule("depends-prose", "the dependency is prose",
         "the ids become a list, the prose goes to `depends_note:`",
         Fix(_UNSAFE, fixes.list_dependency_ids, keys=("depends_on", "depends_note"))),
    Rule("owner-multiple", "several owners in a chain",
         "the first stays, the chain goes to `route:`",
         Fix(_UNSAFE, fixes.keep_first_owner, keys=("owner", "route")), decided_by_record=True),
    Rule("yaml-bool", "`no` and `yes` are words to one YAML reader and false and true to another",
         "they are written as `false` and `true`", Fix(_SAFE, fixes.spell_out_booleans)),
    Rule("key-alias", "an id or owner under another key", "none needed", note=True,
         well_formed=True),
    Rule("unknown-folder", "it is where the board has no state, and is not conducted there",
         "move it, or name the folder under `[board.folders]`",
         find=board.find_tickets_outside_states, note=True),
    Rule("id-range", "one ticket covers several numbers", "none needed", note=True),
    Rule("not-a-ticket", "a file has keys and is not read as a ticket", "add what it lacks",
         note=True, in_notes=True),
    Rule("template", "a template, which is not read as a ticket", "none needed",
         note=True, in_notes=True),
    Rule("leading-rule", "a note that opens with a rule is among the tickets", "none needed",
         note=True, in_notes=True),
)
# fmt: on
#: by code, most severe first: the order in which problems are shown, and fixed
RULES: dict[str, Rule] = {rule.code: rule for rule in _ALL}


def rule_for(code: str) -> Rule:
    """The rule with a code; one of another version is shown as it is."""
    return RULES.get(code) or Rule(code, code, "")
