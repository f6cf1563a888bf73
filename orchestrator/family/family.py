"""A conducted family on disk: its record, its tickets, how a transition is committed (DESIGN 2).

A transition is one atomic replace of the parent file, whose `flow:` block then holds the record.
Before it, the history gets the transition with all that the children are to receive; after it, the
children follow. After a crash `settle` makes them follow from that same history record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.domain.agent import MemberInfo, NewTicket
from orchestrator.domain.machine import initial_role
from orchestrator.domain.record import Flow, Place, from_mapping, to_lines, to_mapping
from orchestrator.domain.workflow import Stage
from orchestrator.errors import TicketError
from orchestrator.family import stale_writes
from orchestrator.family.additions import Additions
from orchestrator.family.kept_criteria import with_removed
from orchestrator.git.activity import require_quiet
from orchestrator.git.commits import Committer
from orchestrator.markdown import frontmatter
from orchestrator.markdown.frontmatter import Document
from orchestrator.storage import atomic, written
from orchestrator.storage.history import History, now
from orchestrator.tickets.board import Board
from orchestrator.tickets.criteria import Criteria
from orchestrator.tickets.ticket import Ticket


class Family:
    """The tickets and the record of one family, opened under its lock."""

    def __init__(
        self,
        board: Board,
        parent: str,
        committer: Committer | None = None,
        paths: Mapping[str, Path] | None = None,
        seen: dict[Path, int] | None = None,
        history: History | None = None,
    ) -> None:
        self.board = board
        self.parent = parent
        self.history = history or History(board.path, parent)
        self.committer = committer
        self._flow: Flow | None = None
        #: where members were last seen, so that a large board need not be searched each time
        self._paths: dict[str, Path] = dict(paths or {})
        #: path → hash of the bytes last read or written there
        self.seen: dict[Path, int] = {} if seen is None else seen
        #: members as they were last written, so that they need not be parsed again
        self._written: dict[str, Ticket] = {}
        #: members as they were last read
        self._looked_at: dict[str, Ticket] = {}
        #: path → bytes known not to be a save of an older version
        self._newest: dict[Path, bytes] = {}
        #: this process holds the family's lock, and may correct what it reads
        self.locked = False
        #: folders whose entries are not durable yet; the history is, and restores them
        self._unsynced: set[Path] = set()
        #: names of the files of which an earlier version is kept since the last `sync`
        self._replaced: set[str] = set()
        #: called with (member, from, to) for every file that is moved
        self.on_move: Callable[[str, str, str], None] = lambda *_: None
        self.on_notice: Callable[[str], None] = lambda _: None

    # -- reading -----------------------------------------------------------------------------

    def ticket(self, member: str) -> Ticket:
        """A member's ticket as it is on the board now. Raises TicketError.

        Under the lock, a save of an older version is first merged with what was written since.
        """
        lately = self._written.get(member) or self._looked_at.get(member)
        if lately is not None and lately.is_unchanged():
            return lately
        known = self._paths.get(member)
        ticket = self.board.still_at(member, known) if known is not None else None
        if ticket is None:
            try:
                ticket = self.board.find(member)
            except TicketError:
                if self.locked:
                    # git took the whole board away
                    self.history.require_same()
                raise
        path = self._paths[member] = ticket.path
        if self.locked and self._newest.get(path) != ticket.data:
            merged = stale_writes.merge_stale_save(self.board.root, path, ticket.data)
            if merged is not None:
                # what git has put back is not a save of a person
                self.history.require_same()
                text, notice = merged
                options = stale_writes.replace_options(self.board.root, path)
                done = atomic.replace(path, text, ticket.data, options)
                stale_writes.versions_of(self.board.root, path.name).remember(done.data)
                self.history.append("notice", to="USER", text=notice, stage=None)
                self.on_notice(notice)
                return self.ticket(member)
            self._newest[path] = ticket.data
        self.seen[path] = hash(ticket.data)
        self._looked_at[member] = ticket
        return ticket

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

    def members(self) -> tuple[MemberInfo, ...]:
        """The family as jobs and checks see it."""
        found = []
        for member in self.flow.members if self.conducted else (self.parent,):
            try:
                ticket = self.ticket(member)
            except TicketError:
                continue
            place = self.flow.members[member] if self.conducted else None
            found.append(
                MemberInfo(
                    id=ticket.id,
                    path=str(ticket.path.relative_to(self.board.root)),
                    status=ticket.role.value if ticket.role else ticket.folder,
                    owner=ticket.owner or "",
                    place=place.at if place and self._is_at(ticket, place) else "",
                )
            )
        return tuple(found)

    def criteria(self, member: str, own_headings: tuple[str, ...] = ()) -> Criteria:
        """What a member's ticket demands; not what agents appended to it (DESIGN 6.4)."""
        ticket = self.ticket(member)
        found = ticket.criteria(own_headings or self.board.criteria_headings)
        unread = (*found.unread, *self.board.unread_dependencies(ticket))
        return with_removed(self.history, member, replace(found, unread=unread))

    # -- writing -----------------------------------------------------------------------------

    def commit(
        self,
        flow: Flow,
        event: str,
        additions: Additions | None = None,
        stage: int | None = None,
    ) -> None:
        """Make `flow` the record, write the additions, and move the tickets.

        `stage` is the one that a git commit names, by default the one that is then in hand.
        """
        additions = additions or Additions()
        before = self._flow
        self._require_undisturbed(flow)
        flow = flow.evolve(history=self.history.tip)
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
        touched |= self._write(self.parent, flow, additions)
        self.history.wait()
        self._flow = flow
        self.history.append("committed", revision=flow.revision)
        for member in flow.members:
            if member != self.parent:
                touched |= self._write(member, flow, additions)
        if self.committer is not None and (before is None or before.revision != flow.revision):
            self.sync()
            self._commit_to_git(touched, event, stage)

    def _require_undisturbed(self, flow: Flow) -> None:
        """Raise before anything is written if git is at work, or has left marks in a ticket."""
        require_quiet(self.board.root)
        self.history.require_same()
        for member in flow.members:
            self.ticket(member).require_merged()

    def _commit_to_git(self, paths: Iterable[Path], event: str, stage: int | None = None) -> None:
        if self.committer is not None:
            subject = f"{self.parent}: {event}"
            number = self.flow.stage if stage is None else stage
            self.committer.try_commit(paths, subject, ticket=self.parent, stage=number)

    def commit_history(self) -> None:
        """Commit the receipts of what was proven after the last move, if git gets commits."""
        if self.committer is not None:
            self.sync()
            self._commit_to_git([self.history.path], "receipts")

    def make_up_commits(self) -> None:
        """Commit what git lacks of this family, because a process or git itself was killed."""
        if self.committer is None or not self.conducted:
            return
        reports = self.history.artifacts().items()
        made = [
            path
            for path, item in ((self.board.root / name, item) for name, item in reports)
            if path.is_file() and atomic.sha256_file(path) == item["sha256"]
        ]
        tickets = [t.path for member in self.flow.members for t in self.board.holders(member)]
        names = {path.name for path in tickets}
        self.committer.note_missing(self.history.path, names, [*tickets, *made])
        self.committer.try_pending(self.parent)

    def create(self, tickets: Sequence[NewTicket], stage: Stage) -> list[Path]:
        """Create new children, never over an existing ticket; returns the new files."""
        created = []
        self.history.require_same()
        if tickets:
            # they follow from what is written with them
            self.history.flush()
        for new in tickets:
            try:
                self.ticket(new.id)
            except TicketError as exc:
                if exc.code != "no-such-ticket":
                    raise
            else:
                continue
            folder = self.board.path / self.board.folders.for_role(initial_role(stage, new.id))
            folder.mkdir(parents=True, exist_ok=True)
            path = self.board.inside((folder / new.filename).relative_to(self.board.root))
            if path.parent != folder:
                raise TicketError(f"a new ticket's file name has a folder: {new.filename}")
            atomic.create(path, new.text.encode("utf-8"))
            created.append(path)
            # who names it meant nobody before
            self._looked_at.clear()
        return created

    def _write(self, member: str, flow: Flow, additions: Additions) -> set[Path]:
        """Bring one ticket's file to what the record says; returns the paths touched."""
        ticket = self.ticket(member)
        place = flow.members[member]
        folder = self.board.folders.place_for(ticket.folder, place.at)
        ticket.require_utf8()
        base = ticket.data
        requested = self._requested(ticket, place) is not None and not additions.over_requests
        document = self._render(ticket, folder, flow, additions)
        data = document.data
        touched, path, held = set(), ticket.path, base
        if self._written.pop(member, None) is None:
            # what is found beside the ticket after a kill is then not taken for a later save
            written.remember(path, base)
        self._newest.pop(path, None)
        if data != base:
            # a status that is set in this very moment counts, but not as an answer to a question
            # that is only being asked
            take_status = not additions.over_requests
            options = replace(
                stale_writes.replace_options(self.board.root, path, take_status),
                later=self._unsynced,
                before=self.history.wait,
            )
            # announced before it is done: a watcher may read the event before this goes on
            self.seen[path] = hash(data)
            done = atomic.replace(path, data, base, options)
            self.seen[path] = hash(done.data)
            held, kept = done.data, None if done.merged else base
            stale_writes.versions_of(self.board.root, path.name).remember(done.data, kept)
            self._replaced.add(path.name)
            requested = requested or done.merged
            touched.add(path)
            if done.conflict is not None:
                self.on_notice(
                    f"{member} was edited at the same moment; the other version of the "
                    f"conflicting lines is in {done.conflict.relative_to(self.board.root)}"
                )
        if folder != ticket.folder:
            self.history.wait()
            # a watcher may look at either place before this goes on
            self.seen[self.board.place_for(path, place.at)] = self.seen[path]
            path = self._paths[member] = stale_writes.move_ticket(
                self.board, ticket.path, place.at, held, self._unsynced
            )
            self.seen.pop(ticket.path, None)
            touched |= {ticket.path, path}
            self.on_move(member, ticket.folder, path.parent.name)
        if touched and not requested:
            folder = self.board.folders.folder_of(path, self.board.root)
            self._written[member] = ticket.rewritten(
                document,
                path,
                flow if member == self.parent else None,
                folder=folder,
                role=place.at,
                source=self.board.source_of(path),
                status=self.board.folders.status_for(place.at, folder, ticket.status),
                owner=place.owner or ticket.owner,
                failure_count=place.failures,
                conducted=ticket.id == self.parent,
            )
            self.board.remember(self._written[member])
        return touched

    def _render(self, ticket: Ticket, folder: str, flow: Flow, additions: Additions) -> Document:
        """One ticket's file as the record says, with the additions."""
        place = flow.members[ticket.id]
        document = self._edit_fields(ticket, folder, flow, additions)
        data = document.data
        # why, since when and from where a ticket is paused; none of it on one that is not
        held = ticket.held_keys
        if not place.at.paused:
            for key in sorted(held):
                data = frontmatter.remove_field(data, key)
        elif "held_at" not in held or not self._is_at(ticket, place):
            came = place.held_from or place.was
            source = self.board.folders.status_for(came) if came else ticket.folder
            reason = additions.hold_reason or flow.reason or "held"
            data = frontmatter.set_field(data, "hold_reason", reason)
            data = frontmatter.set_field(data, "held_at", now())
            data = frontmatter.set_field(data, "held_from", source)
        if ticket.id == self.parent:
            for key in additions.drop:
                data = frontmatter.remove_field(data, key)
        data = additions.edit(ticket.id, data)
        return document if data == document.data else document.with_text(data)

    def _edit_fields(
        self, ticket: Ticket, folder: str, flow: Flow, additions: Additions
    ) -> Document:
        """The ticket's file with the fields that the record rules, and the record on the parent."""
        place = flow.members[ticket.id]
        fields: dict[str, str | int] = {}
        requested = self._requested(ticket, place) is not None and not additions.over_requests
        status = self.board.folders.status_for(place.at, folder, ticket.status)
        if ticket.status != status and not requested:
            # a person may have answered under `status:` beside a `lane:` that says the state
            others = ticket.spelt.get("status", ())[1:]
            says = self.board.folders.role_of_status
            same = (key for key in others if says(ticket.document.text(key)))
            fields |= dict.fromkeys((ticket.key_of("status"), *same), status)
        if place.owner and ticket.owner != place.owner:
            fields["owner"] = place.owner
        if ticket.failure_count != place.failures:
            fields["failure_count"] = place.failures
        blocks = {}
        # the same record stays as it is written: what tells it from the text before a merge too
        if ticket.id == self.parent and _record_in(ticket) != flow:
            said = to_mapping(flow)
            blocks["flow"] = (to_lines(said), said)
        return frontmatter.edited(ticket.document, fields, blocks)

    def preview(self, member: str, flow: Flow, additions: Additions) -> bytes:
        """What `commit` of a first record would make of a member's file; nothing is written."""
        ticket = self.ticket(member)
        return self._edit_fields(ticket, ticket.folder, flow, additions).data

    def foresee(self, member: str, flow: Flow) -> tuple[Path, bytes]:
        """A member's file, relative to the workspace, and its text if `flow` were committed."""
        ticket, role = self.ticket(member), flow.members[member].at
        path = self.board.place_for(ticket.path, role).relative_to(self.board.root)
        folder = self.board.folders.place_for(ticket.folder, role)
        return path, self._render(ticket, folder, flow, Additions(over_requests=True)).data

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

    def restore_record(self) -> list[str]:
        """Put the record back if the parent's file holds another one than was committed.

        An editor that saves what it opened long ago, or a merge, brings an older `flow:` block with
        it; a hand may change the digest of the question. Neither may become the truth, nor may a
        status next to it be taken as an answer (DESIGN 7.3, 8.2).
        """
        committed = max((r["revision"] for r in self.history.of("committed")), default=0)
        here = self.flow
        record = self.history.latest("transition", revision=max(here.revision, committed))
        if record is None or Flow.model_validate(record["flow"]) == here:
            return []
        true = Flow.model_validate(record["flow"])
        lost = Additions()
        for transition in self.history.of("transition"):
            if here.revision < transition["revision"] <= true.revision:
                lost.add_later(Additions.from_dict(transition["additions"]))
        additions = Additions(over_requests=True, drop=("accept", "target"))
        additions.sections = {self.parent: lost.sections.get(self.parent, [])}
        additions.folds = {self.parent: lost.folds.get(self.parent, [])}
        status = self.ticket(self.parent).status
        self._write(self.parent, true, additions)
        self._flow = true
        return [
            f"the flow: block of {self.parent} was not the one that was committed (revision "
            f"{here.revision}, not {true.revision}, or edited); it is restored, and the status "
            f"`{status}` next to it is not taken: answer again"
        ]

    def settle(self) -> list[str]:
        """Make the tickets agree with the record again; returns notices of what was put back.

        A status that is neither the record's nor the one before it is a person's request, and is
        left for the conductor (`requested_statuses`).
        """
        flow = self.flow
        self._require_undisturbed(flow)
        additions = self._collect_unsynced()
        written = additions.touched
        if additions.drop:
            written.add(self.parent)
        notices = []
        touched: set[Path] = set()
        for member, place in flow.members.items():
            ticket = self.ticket(member)
            folders, known = self.board.folders, filter(None, (place.at, place.was))
            here = (folders.place_for(ticket.folder, role) for role in known)
            astray = ticket.folder not in here
            if not astray and self._requested(ticket, place) is not None:
                continue
            if astray:
                notices.append(
                    f"{member} was moved to {ticket.folder} by hand; it is back in {place.at}. "
                    f"To move it, edit `status:` in the file"
                )
            if member in written or not self._agrees(ticket, place):
                touched |= self._write(member, flow, additions)
        if touched and self.committer is not None:
            self.sync()
            self._commit_to_git({*touched, self.history.path}, "settle")
        return notices

    def _is_at(self, ticket: Ticket, place: Place) -> bool:
        return self.board.folders.agrees(ticket.folder, ticket.status, place.at)

    def _agrees(self, ticket: Ticket, place: Place) -> bool:
        """Whether a ticket's folder and fields are as the record says."""
        folders = self.board.folders
        return (
            folders.place_for(ticket.folder, place.at) == ticket.folder
            and ticket.status == folders.status_for(place.at, ticket.folder, ticket.status)
            and ticket.owner == (place.owner or ticket.owner)
            and ticket.failure_count == place.failures
            and ("held_at" in ticket.held_keys) is place.at.paused
            and (ticket.id != self.parent or ticket.record is not None or ticket.flow is not None)
        )

    def _collect_unsynced(self) -> Additions:
        """What transitions wrote into tickets since the last sync, and a fault may have undone."""
        united = Additions()
        since = max((r["revision"] for r in self.history.of("synced")), default=-1)
        for record in self.history.of("transition"):
            if since < record["revision"] <= self.flow.revision:
                united.add_later(Additions.from_dict(record["additions"]))
        return united

    def tickets_at_rest(self) -> list[Ticket] | None:
        """All tickets, if they are as the record says and request nothing; else None."""
        found = []
        for member, place in self.flow.members.items():
            ticket = self.ticket(member)
            if self._requested(ticket, place) is not None or not self._agrees(ticket, place):
                return None
            found.append(ticket)
        return found

    def requested_statuses(self) -> dict[str, str]:
        """Member → the status that a person wrote into it and that the record does not have."""
        found = {
            member: self._requested(self.ticket(member), place)
            for member, place in self.flow.members.items()
        }
        return {member: status for member, status in found.items() if status is not None}

    def _requested(self, ticket: Ticket, place: Place) -> str | None:
        """The status that a person requests in a ticket, if any."""
        status = ticket.status or ""
        if not status or self.board.folders.says(status, place.at):
            return None
        if place.was is not None and self.board.folders.says(status, place.was):
            # the status of before the last move is not a request, except on a ticket that this move
            # paused: whoever set it back wants the ticket to go on
            return status if place.at.paused and "held_at" in ticket.held_keys else None
        return status


def _record_in(ticket: Ticket) -> Flow | None:
    """The record that stands in a parent's file, None where none can be read."""
    if isinstance(ticket.record, Flow):
        return ticket.record
    if ticket.flow is None:
        return None
    try:
        return from_mapping(ticket.flow, path=str(ticket.path))
    except TicketError:
        return None
