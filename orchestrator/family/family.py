"""A conducted family on disk: its record, its tickets, how a transition is committed (DESIGN 2).

A transition is one atomic replace of the parent file, whose `flow:` block then holds the record.
Before it, the history gets the transition with all that the children are to receive; after it, the
children follow. After a crash `settle` makes them follow from that same history record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.domain.agent import MemberInfo, NewTicket
from orchestrator.domain.machine import birthplace
from orchestrator.domain.record import Flow, Place, from_mapping, to_lines
from orchestrator.domain.workflow import Stage
from orchestrator.errors import OrchestrateError, TicketError
from orchestrator.family import stale_writes
from orchestrator.git.commits import Committer
from orchestrator.markdown import frontmatter
from orchestrator.storage import atomic
from orchestrator.storage.history import History, now
from orchestrator.tickets.board import Board
from orchestrator.tickets.ticket import Ticket


@dataclass
class Additions:
    """What a transition writes into tickets besides the fields of the record."""

    #: member → sections to append
    sections: dict[str, list[str]] = field(default_factory=dict)
    #: member → boxes: statement text → receipt id ("" takes the tick away)
    boxes: dict[str, dict[str, str]] = field(default_factory=dict)
    #: keys that an answer wrote beside the parent's status, taken out again
    drop: tuple[str, ...] = ()
    #: set a status line even where a person's wish stands in it: the wish is being taken, or
    #: a question is being asked that it must not be taken to answer
    over_requests: bool = False
    hold_reason: str = ""
    #: further files that the git commit of this transition takes in
    paths: list[Path] = field(default_factory=list)

    def section(self, member: str, markdown: str) -> None:
        if markdown.strip():
            self.sections.setdefault(member, []).append(markdown.strip("\n") + "\n")

    def to_dict(self) -> dict[str, Any]:
        return {
            "sections": self.sections,
            "boxes": self.boxes,
            "drop": list(self.drop),
            "over_wishes": self.over_requests,
            "hold_reason": self.hold_reason,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Additions:
        return cls(
            {k: list(v) for k, v in data.get("sections", {}).items()},
            {k: dict(v) for k, v in data.get("boxes", {}).items()},
            tuple(data.get("drop", ())),
            bool(data.get("over_wishes", False)),
            data.get("hold_reason", ""),
        )


class Family:
    """The tickets and the record of one family, opened under its lock."""

    def __init__(
        self,
        board: Board,
        parent: str,
        committer: Committer | None = None,
        paths: Mapping[str, Path] | None = None,
        seen: dict[Path, int] | None = None,
    ) -> None:
        self.board = board
        self.parent = parent
        self.history = History(board.path, parent)
        self.committer = committer
        self._flow: Flow | None = None
        #: where members were seen last: a board of thousands is not searched for each look
        self._paths: dict[str, Path] = dict(paths or {})
        #: what was last read or written at a path, as a hash of the bytes
        self.seen: dict[Path, int] = {} if seen is None else seen
        #: members as they were written last, so that they need not be parsed again
        self._written: dict[str, Ticket] = {}
        #: what lies at a path and was no save of an older version; nobody else writes meanwhile
        self._newest: dict[Path, bytes] = {}
        #: this process has the family's lock, and may put right what it reads
        self.locked = False
        #: folders whose names are not durable yet; the history is, and brings them back
        self._unsynced: set[Path] = set()
        #: names of the files of which an earlier version is kept since the last `sync`
        self._replaced: set[str] = set()
        #: called with (member, from, to) for every file that is moved
        self.on_move: Callable[[str, str, str], None] = lambda *_: None
        self.on_notice: Callable[[str], None] = lambda _: None

    # -- reading -----------------------------------------------------------------------------

    def ticket(self, member: str) -> Ticket:
        """A member's ticket as it lies on the board now. Raises TicketError."""
        written = self._written.get(member)
        if written is not None and self._is_unchanged(written):
            return written
        known = self._paths.get(member)
        ticket = self.board.still_at(member, known) if known is not None else None
        if ticket is None:
            ticket = self.board.find(member)
        self._paths[member] = ticket.path
        ticket = self._caught_up(member, ticket)
        self.seen[ticket.path] = hash(ticket.data)
        return ticket

    def _caught_up(self, member: str, ticket: Ticket) -> Ticket:
        """The ticket; a save of an older version is merged with what was written since."""
        if not self.locked:
            return ticket
        if self._newest.get(ticket.path) == ticket.data:
            return ticket
        caught = stale_writes.catch_up(self.board.root, ticket.path, ticket.data)
        if caught is None:
            self._newest[ticket.path] = ticket.data
            return ticket
        merged, notice = caught
        manner = stale_writes.manner(self.board.root, ticket.path)
        written = atomic.replace(ticket.path, merged, ticket.data, manner)
        stale_writes.versions_of(self.board.root, ticket.path.name).remember(written.data)
        self.history.append("notice", to="USER", text=notice, stage=None)
        self.on_notice(notice)
        return self.ticket(member)

    @staticmethod
    def _is_unchanged(ticket: Ticket) -> bool:
        """Whether the ticket's file still holds what was written to it last."""
        try:
            return atomic.holds(ticket.path, ticket.data)
        except (OSError, OrchestrateError):
            return False

    @property
    def flow(self) -> Flow:
        """The record. Raises TicketError if the family is not conducted or the block is broken."""
        if self._flow is None:
            parent = self.ticket(self.parent)
            if isinstance(parent.record, Flow):
                self._flow = parent.record
                return self._flow
            if parent.flow is None:
                raise TicketError(
                    f"{self.parent} is not conducted yet",
                    path=parent.path,
                    code="not-conducted",
                    hint=f"orchestrate run {self.parent}",
                )
            self._flow = from_mapping(parent.flow, path=str(parent.path))
        return self._flow

    @property
    def conducted(self) -> bool:
        if self._flow is not None:
            return True
        parent = self.ticket(self.parent)
        return parent.record is not None or parent.flow is not None

    def reload(self) -> None:
        """Forget the record in memory: the file is the truth."""
        self._flow = None

    def members(self) -> tuple[MemberInfo, ...]:
        """The family as jobs and checks see it."""
        found = []
        for member in self.flow.members if self.conducted else (self.parent,):
            try:
                ticket = self.ticket(member)
            except TicketError:
                continue
            role = self.board.folders.role_of(ticket.folder)
            found.append(
                MemberInfo(
                    id=ticket.id,
                    path=str(ticket.path.relative_to(self.board.root)),
                    status=role.value if role else ticket.folder,
                    owner=ticket.owner or "",
                )
            )
        return tuple(found)

    # -- writing -----------------------------------------------------------------------------

    def commit(self, flow: Flow, event: str, additions: Additions | None = None) -> None:
        """Make `flow` the record, write the additions, and move the tickets."""
        additions = additions or Additions()
        before = self._flow
        self.history.announce(
            "transition",
            event=event,
            revision=flow.revision,
            state=flow.state.value,
            stage=flow.stage,
            members={
                m: p.model_dump(mode="json", exclude_none=True) for m, p in flow.members.items()
            },
            additions=additions.to_dict(),
            flow=flow.model_dump(mode="json"),
        )
        touched = {self.history.path, *additions.paths}
        touched |= self._write(self.parent, flow, additions, event)
        self.history.wait()
        self._flow = flow
        self.history.append("committed", revision=flow.revision)
        for member in flow.members:
            if member != self.parent:
                touched |= self._write(member, flow, additions, event)
        if self.committer is not None and (before is None or before.revision != flow.revision):
            self.sync()
            self.committer.commit(touched, f"{self.parent}: {event}")

    def create(self, tickets: Sequence[NewTicket], stage: Stage) -> list[Path]:
        """Lay new children where they are born, never over an existing ticket; the new files."""
        made = []
        for new in tickets:
            if self._exists(new.id):
                continue
            folder = self.board.path / self.board.folders.for_role(birthplace(stage, new.id))
            folder.mkdir(parents=True, exist_ok=True)
            path = self.board.inside((folder / new.filename).relative_to(self.board.root))
            if path.parent != folder:
                raise TicketError(f"a new ticket's file name has a folder: {new.filename}")
            atomic.create(path, new.text.encode("utf-8"))
            made.append(path)
        return made

    def _exists(self, member: str) -> bool:
        try:
            self.ticket(member)
        except TicketError as exc:
            if exc.code == "no-such-ticket":
                return False
            raise
        return True

    def _write(self, member: str, flow: Flow, additions: Additions, event: str) -> set[Path]:
        """Bring one ticket's file to what the record says; returns the paths touched."""
        ticket = self.ticket(member)
        place = flow.members[member]
        folder = self.board.folders.for_role(place.at)
        if self.board.folders.role_of(ticket.folder) is place.at:
            folder = ticket.folder
        ticket.require_utf8()
        base = ticket.data
        wished = self._wish(ticket, place) is not None and not additions.over_requests
        data = self._text(ticket, member, folder, flow, additions)
        touched, path = set(), ticket.path
        self._written.pop(member, None)
        self._newest.pop(path, None)
        if data != base:
            # whoever sets the status in this very moment is heard, but not as an answer to a
            # question that is only being asked
            heed = not additions.over_requests
            manner = replace(
                stale_writes.manner(self.board.root, path, heed),
                later=self._unsynced,
                before=self.history.wait,
            )
            # told before it is done: the event may be read before this goes on
            self.seen[path] = hash(data)
            written = atomic.replace(path, data, base, manner)
            self.seen[path] = hash(written.data)
            kept = None if written.merged else base
            stale_writes.versions_of(self.board.root, path.name).remember(written.data, kept)
            self._replaced.add(path.name)
            wished = wished or written.merged
            touched.add(path)
            if written.conflict is not None:
                self.on_notice(
                    f"{member} was edited at the same moment; the other version of the lines in "
                    f"conflict lies in {written.conflict.relative_to(self.board.root)}"
                )
        if folder != ticket.folder:
            self.history.wait()
            self.seen[self.board.place_for(ticket.path, place.at)] = self.seen.pop(ticket.path)
            path = self._paths[member] = self.board.move(ticket.path, place.at, self._unsynced)
            touched |= {ticket.path, path}
            self.on_move(member, ticket.folder, path.parent.name)
        if touched and not wished:
            record = flow if member == self.parent else None
            self._written[member] = self._rewritten(ticket, data, path, place, record)
            self.board.remember(self._written[member])
        return touched

    def _text(
        self, ticket: Ticket, member: str, folder: str, flow: Flow, additions: Additions
    ) -> bytes:
        """One ticket's file as the record says, with what is added."""
        place = flow.members[member]
        data = frontmatter.edited(
            ticket.data,
            self._fields(ticket, place, folder, additions),
            {"flow": to_lines(flow)} if member == self.parent else {},
        )
        data = self._resting(data, ticket, place, additions.hold_reason or flow.reason or "held")
        if member == self.parent:
            for key in additions.drop:
                data = frontmatter.remove_field(data, key)
        for text, receipt in additions.boxes.get(member, {}).items():
            data = (
                frontmatter.tick_box(data, text, f"receipt {receipt}")
                if receipt
                else frontmatter.untick_box(data, text)
            )
        for section in additions.sections.get(member, ()):
            data = frontmatter.append_section(data, section)
        return data

    def _rewritten(
        self, ticket: Ticket, data: bytes, path: Path, place: Place, record: Flow | None
    ) -> Ticket:
        """The ticket as it is now that the record's fields stand in it."""
        folders = self.board.folders
        folder = folders.folder_of(path, self.board.root)
        return ticket.rewritten(
            data,
            path,
            record,
            folder=folder,
            role=folders.role_of(folder),
            source=path.relative_to(self.board.root).as_posix(),
            status=folder.split("/")[0],
            owner=place.owner or ticket.owner,
            failure_count=place.failures,
            conducted=ticket.id == self.parent,
        )

    def _fields(
        self, ticket: Ticket, place: Place, folder: str, additions: Additions
    ) -> dict[str, str | int]:
        """The single fields that the record rules and that are to change."""
        found: dict[str, str | int] = {}
        wished = self._wish(ticket, place) is not None and not additions.over_requests
        if ticket.status != folder and not wished:
            found["status"] = folder
        if place.owner and ticket.owner != place.owner:
            found["owner"] = place.owner
        if ticket.failure_count != place.failures:
            found["failure_count"] = place.failures
        return found

    def _resting(self, data: bytes, ticket: Ticket, place: Place, reason: str) -> bytes:
        """Why, since when and from where a ticket rests; nothing of it on one that does not."""
        held = _held_keys(ticket)
        if not place.at.paused:
            for key in sorted(held):
                data = frontmatter.remove_field(data, key)
        elif "held_at" not in held or self.board.folders.role_of(ticket.folder) is not place.at:
            came = place.held_from or place.was
            source = self.board.folders.for_role(came) if came else ticket.folder
            data = frontmatter.set_field(data, "hold_reason", reason)
            data = frontmatter.set_field(data, "held_at", now())
            data = frontmatter.set_field(data, "held_from", source)
        return data

    def foresee(self, member: str, flow: Flow, additions: Additions) -> bytes:
        """What `commit` of a first record would make of a member's file; nothing is written."""
        ticket = self.ticket(member)
        fields = self._fields(ticket, flow.members[member], ticket.folder, additions)
        blocks = {"flow": to_lines(flow)} if member == self.parent else {}
        return frontmatter.edited(ticket.data, fields, blocks)

    def sync(self) -> None:
        """Make durable what was written and moved since the last time."""
        if self._unsynced:
            atomic.sync_folders(self._unsynced)
            self.history.append("synced", revision=self.flow.revision)
        self.history.flush()
        for name in self._replaced:
            stale_writes.versions_of(self.board.root, name).trim()
        self._replaced.clear()

    # -- after a crash or a person -----------------------------------------------------------

    def mend_record(self) -> list[str]:
        """Put the record back if the parent's file holds another one than was committed.

        An editor that saves what it opened long ago, or a merge, brings an older `flow:` block with
        it; a hand may change the digest of the question. Neither may become the truth, nor may a
        status that stands beside it be taken as an answer (DESIGN 7.3, 8.2).
        """
        committed = max((r["revision"] for r in self.history.of("committed")), default=0)
        here = self.flow
        record = self.history.latest("transition", revision=max(here.revision, committed))
        if record is None or Flow.model_validate(record["flow"]) == here:
            return []
        true = Flow.model_validate(record["flow"])
        lost = [
            Additions.from_dict(r["additions"])
            for r in self.history.of("transition")
            if here.revision < r["revision"] <= true.revision
        ]
        additions = Additions(over_requests=True, drop=("accept", "target"))
        for earlier in lost:
            for section in earlier.sections.get(self.parent, ()):
                additions.section(self.parent, section)
        status = self.ticket(self.parent).status
        self._write(self.parent, true, additions, "mend")
        self._flow = true
        return [
            f"the flow: block of {self.parent} was not the one that was committed (revision "
            f"{here.revision}, not {true.revision}, or edited); it is put back, and the status "
            f"`{status}` beside it is not taken: answer anew"
        ]

    def settle(self) -> list[str]:
        """Make the tickets agree with the record again; returns notices for what was put back.

        A status that is neither the record's nor the one before it is a person's wish and is left
        for the conductor to take (`wishes`).
        """
        flow = self.flow
        additions = self._unwritten()
        written = {
            *additions.sections,
            *additions.boxes,
            *([self.parent] if additions.drop else ()),
        }
        notices = []
        touched: set[Path] = set()
        for member, place in flow.members.items():
            ticket = self.ticket(member)
            if self._wish(ticket, place) is not None:
                continue
            lies = self.board.folders.role_of(ticket.folder)
            if lies is not place.at and lies is not place.was:
                notices.append(
                    f"{member} was moved to {ticket.folder} by hand; it is back in {place.at}. "
                    f"To move it, edit `status:` in the file"
                )
            if member in written or not self._agrees(ticket, place):
                touched |= self._write(member, flow, additions, "settle")
        if touched and self.committer is not None:
            self.sync()
            self.committer.commit({*touched, self.history.path}, f"{self.parent}: settle")
        return notices

    def _agrees(self, ticket: Ticket, place: Place) -> bool:
        """Whether a ticket lies and reads as the record says."""
        return (
            self.board.folders.role_of(ticket.folder) is place.at
            and ticket.status == ticket.folder
            and ticket.owner == (place.owner or ticket.owner)
            and ticket.failure_count == place.failures
            and ("held_at" in _held_keys(ticket)) is place.at.paused
            and (ticket.id != self.parent or ticket.record is not None or ticket.flow is not None)
        )

    def _unwritten(self) -> Additions:
        """What transitions wrote into tickets and a fault may have undone: all since a sync."""
        united = Additions()
        since = max((r["revision"] for r in self.history.of("synced")), default=-1)
        for record in self.history.of("transition"):
            if since < record["revision"] <= self.flow.revision:
                one = Additions.from_dict(record["additions"])
                for member, sections in one.sections.items():
                    united.sections.setdefault(member, []).extend(sections)
                for member, boxes in one.boxes.items():
                    united.boxes.setdefault(member, {}).update(boxes)
                united.drop, united.hold_reason = one.drop, one.hold_reason
                united.over_requests = one.over_requests
        return united

    def requested_statuses(self) -> dict[str, str]:
        """Member → the status that a person wrote into it and that is no place of the record."""
        found = {}
        for member, place in self.flow.members.items():
            wish = self._wish(self.ticket(member), place)
            if wish is not None:
                found[member] = wish
        return found

    def _wish(self, ticket: Ticket, place: Place) -> str | None:
        status = ticket.status or ""
        role = self.board.folders.role_of_status(status)
        if not status or (role is not None and role is place.at):
            return None
        if role is not None and role is place.was:
            # the line of before the last move is no wish, but for one that stands beside what
            # that move wrote: whoever set it back wants the ticket to go on
            held = place.at.paused and "held_at" in _held_keys(ticket)
            return status if held else None
        return status


def _held_keys(ticket: Ticket) -> set[str]:
    """Which of the keys that a HOLD writes stand in a ticket."""
    if b"hold_reason" not in ticket.data and b"held_" not in ticket.data:
        return set()
    return {"hold_reason", "held_at", "held_from"} & set(ticket.meta)


def places(board: Board, tickets: Iterable[Ticket]) -> dict[str, Place]:
    """Where tickets lie before they are conducted. Raises TicketError for an unknown folder."""
    found = {}
    for ticket in tickets:
        role = board.folders.role_of(ticket.folder)
        if role is None:
            raise TicketError(
                f"{ticket.id} lies in {ticket.folder}, which is no state of the board",
                path=ticket.path,
                code="unknown-folder",
                hint="move it to a known folder, or name this one under [board.folders]",
            )
        found[ticket.id] = Place(at=role, owner=ticket.owner or "", failures=ticket.failure_count)
    return found
