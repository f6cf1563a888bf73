"""One job that is with the workers: its commits go out, what was made of them comes back."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from orchestrator import telemetry
from orchestrator.agent_process.dispatcher import Tell
from orchestrator.domain.agent import Job, Outcome, Report, Usage
from orchestrator.errors import OrchestrateError, StoppedError, UsageError
from orchestrator.errors.masking import sanitize
from orchestrator.git.command import GitError
from orchestrator.git.folder import find_git_folder
from orchestrator.markdown.frontmatter import Document
from orchestrator.settings.agents import BUILTIN, COMMAND, PROVE, AgentSettings, WorkersSettings
from orchestrator.tickets.ticket import UNRANKED, priority_rank
from orchestrator.workers import parcel as parcels
from orchestrator.workers.parcel import MOST_BUNDLE, Parcel, Result, digest, git
from orchestrator.workers.store import JobRow, Line, Store

#: bytes of events that are written down of one turn
_MOST_EVENTS = 64 * 1024**2


class Work:
    """One job that is with the workers."""

    def __init__(
        self,
        job: Job,
        settings: AgentSettings,
        home: Path,
        workers: WorkersSettings,
        store: Store,
        id: str,
    ) -> None:
        self.job, self.id = job, id
        self._agent, self._home, self._workers, self.store = settings, home, workers, store
        found, own = find_git_folder(job.root), find_git_folder(home)
        assert found is not None
        assert own is not None
        self._top, self._git = found
        self._own = own[1]
        below = job.root.resolve().relative_to(self._top).as_posix()
        self._below = "" if below == "." else below
        self._board = str(job.settings.get("board", ""))
        name = digest(id)
        self._sent, self._came = f"refs/orchestrate/sent/{name}", f"refs/orchestrate/came/{name}"
        self._taking = f"refs/orchestrate/taking/{name}"
        #: the last line that was read; what became of the job meanwhile
        self.seen, self.notes = 0, list[str]()
        self._written = 0
        #: usage of deliveries that came to nothing, by delivery and model
        self._used: dict[tuple[int, str], Usage] = {}
        self._head = git(self._git, "rev-parse", "HEAD")

    @property
    def is_proof(self) -> bool:
        """Whether it changes no files, and can be done here as well."""
        return self.job.agent == PROVE

    @cached_property
    def _commit(self) -> str:
        """The files of the checkout as they are, as a commit."""
        return self._snapshot()

    def _snapshot(self) -> str:
        with tempfile.TemporaryDirectory(prefix="orchestrate-index-") as folder:
            index = Path(folder) / "index"
            index.write_bytes((self._git / "index").read_bytes())
            board = str(Path(self._below) / self._board)
            tree = parcels.write_tree(self._git, self._top, index, board)
        return parcels.commit_tree(self._git, tree, self._head, "As it was given out")

    @property
    def _tree(self) -> str:
        return git(self._git, "rev-parse", f"{self._commit}^{{tree}}")

    def find(self) -> JobRow | None:
        return self.store.find(self.id)

    def fits(self, row: JobRow) -> bool:
        """Whether a job that is there is about the files as they are, or its result is in them."""
        if row.state == "stopped" or (row.stop and row.state != "done"):
            return False
        asked = self._asked()
        if row.tree == asked:
            return True
        if row.state != "done" or row.result is None:
            return False
        with contextlib.suppress(ValidationError, GitError):
            result = Result.model_validate_json(row.result)
            there = git(self._own, "rev-parse", f"{result.commit}^{{tree}}")
            return there == self._tree or self._is_being_taken(result.commit)
        return False

    def _asked(self) -> str:
        """What the answer depends on: files, workflow, and what was said."""
        job = self.job
        return digest(self._tree, self._head, job.workflow_text, job.words)

    def submit(self, home: str) -> None:
        """Send the commits, and put the job on its queue."""
        parcels.fetch(self._own, str(self._git), f"+{self._keep_sent()}:{self._sent}")
        address = self._workers.repository
        prefix = parcels.BRANCHES if address else parcels.HIDDEN
        reference = f"{prefix}{self._top.name}"
        if address:
            self._push(address, reference)
        else:
            git(self._own, "update-ref", reference, self._commit)
        packed = Parcel(
            job=self.job,
            use=self._agent.use or (COMMAND if self._agent.command else BUILTIN),
            model=self._agent.model,
            effort=self._agent.effort,
            repository=address or self._own.resolve().as_uri(),
            reference=reference,
            branch=f"work/{self._top.name}",
            head=self._head,
            commit=self._commit,
            below=self._below,
            board=self._board,
            trace=telemetry.current(),
            files=parcels.carry(self.job.board_root, self._home_files()),
        )
        priority = self._priority()
        text = packed.model_dump_json()
        job = self.job
        self.store.submit(self.id, home, job.parent, job.agent, text, self._asked(), priority)

    def _push(self, address: str, reference: str) -> None:
        words = ("push", "--quiet", "--no-verify", "--force", "--", address)
        try:
            parcels.git_afar(self._own, *words, f"{self._sent}:{reference}")
        except GitError as exc:
            place = sanitize(address)
            raise UsageError(
                f"{place} is the repository of the workers, and git cannot push to it from here: "
                f"{sanitize(exc.reason)}",
                code="workers-repository",
                hint=f"git ls-remote {place} has to work with your own keys, and you may push; "
                "it is `repository` of [workers] in orchestrate.toml",
            ) from exc

    def _keep_sent(self) -> str:
        git(self._git, "update-ref", "refs/orchestrate/sent", self._commit)
        return "refs/orchestrate/sent"

    def _home_files(self) -> Iterator[Path]:
        """What an agent may read beside its checkout: the family's tickets and history."""
        root = self.job.board_root
        for member in self.job.family:
            yield root / member.path
        yield root / self._board / ".receipts" / f"{self.job.parent}.jsonl"

    def _priority(self) -> int:
        """The place in the queue, by the parent's `priority`; 1 is the first."""
        paths = [m.path for m in self.job.family if m.id == self.job.parent]
        with contextlib.suppress(OSError, OrchestrateError):
            for path in paths:
                document = Document.parse((self.job.board_root / path).read_bytes())
                return 1 + priority_rank(document.text("priority") or "")
        return 1 + UNRANKED

    def look(self) -> tuple[JobRow | None, list[Line]]:
        return self.store.look(self.id, self.seen)

    def go_on_from(self, other: Work, tell: Tell) -> None:
        """Know what was read about the job while nobody conducted its family."""
        self.seen, self._written, self._used = other.seen, other._written, other._used
        for note in other.notes:
            tell(note)

    def take_lines(self, lines: list[Line], tell: Tell) -> None:
        """Write events into the log, and tell what became of the job."""
        events = list[str]()
        for line in lines:
            self.seen = line.number
            if line.kind == "note":
                tell(sanitize(line.line))
            else:
                events.append(" ".join(line.line.splitlines()))
                self._count(line)
        if events and self.job.log and self._written < _MOST_EVENTS:
            text = "".join(f"{event}\n" for event in events)
            self._written += len(text)
            with Path(self.job.log).open("a", encoding="utf-8") as log:
                log.write(text)

    def _count(self, line: Line) -> None:
        if '"usage"' in line.line:
            with contextlib.suppress(ValidationError, ValueError, TypeError, AttributeError):
                event = json.loads(line.line)
                if event["kind"] == "usage":
                    used = Usage.model_validate(event["usage"])
                    self._used[line.delivery, used.model] = used

    # -- what comes back ---------------------------------------------------------------------

    def refused(self, row: JobRow) -> Report:
        """The report of a job that no worker does."""
        if row.stop:
            raise StoppedError(f"the work was stopped: {row.stop}")
        return self._with_lost(
            Report(
                outcome=Outcome.NEEDS_PERSON,
                reason=f"no worker could do it in {row.delivery - 1} deliveries: "
                f"orchestrate log {self.job.parent} says why; then send it back",
            ),
            row.delivery,
        )

    def _with_lost(self, report: Report, delivery: int) -> Report:
        """The report with what deliveries cost of which no report came."""
        lost = tuple(u for (number, _), u in sorted(self._used.items()) if number < delivery)
        return report.model_copy(update={"usage": (*report.usage, *lost)}) if lost else report

    def take(self, row: JobRow) -> Report:
        """The report of a job that is done, once its files are in the checkout."""
        try:
            result = Result.model_validate_json(row.result or "")
            if self.is_proof:
                git(self._own, "update-ref", "-d", self._sent)
            elif result.commit != self._commit or result.head != self._head:
                self._bring(row, result)
        except ValidationError as exc:
            first = exc.errors()[0]
            why = f"a worker's result cannot be read: {first['loc']}: {first['msg']}"
            return Report(outcome=Outcome.FAILED, reason=sanitize(why))
        except (_RefusedError, _EditedError) as exc:
            is_refused = isinstance(exc, _RefusedError)
            outcome = Outcome.FAILED if is_refused else Outcome.NEEDS_PERSON
            cost = {n: getattr(result.report, n) for n in ("session", "usage", "seconds")}
            report = Report(outcome=outcome, reason=exc.message, **cost)
            return self._with_lost(report, row.delivery)
        report = result.report
        log = (*report.log, f"by {sanitize(result.worker)}")
        return self._with_lost(report.model_copy(update={"log": log}), row.delivery)

    def _bring(self, row: JobRow, result: Result) -> None:
        """Put what a worker made into the checkout; done twice, it is the same."""
        if not self._is_here(result.commit):
            self._fetch(row, result)
        sent = git(self._own, "rev-parse", self._sent)
        head = git(self._own, "rev-parse", f"{sent}^")
        self._require_honest(result, head)
        found = parcels.changed(self._own, sent, result.commit)
        board = str(Path(self._below) / self._board)
        if over := [p for p in found if p == board or p.startswith(f"{board}/")]:
            raise _RefusedError(f"{self.job.agent} made {sanitize(over[0])}: the board is home's")
        if inner := [p for p, is_one in found.items() if is_one]:
            raise _RefusedError(
                f"{self.job.agent} made {sanitize(inner[0])} a repository of its own"
            )
        if not self._is_being_taken(result.commit):
            now = parcels.changed(self._git, sent, self._snapshot())
            if both := sorted(now.keys() & found):
                raise _EditedError(
                    f"{', '.join(map(sanitize, both[:5]))} was edited in the checkout while "
                    f"{self.job.agent} worked elsewhere; what it made is kept as {self._came}: "
                    "put both together there, or send it back"
                )
        git(self._own, "update-ref", self._taking, result.commit)
        if found:
            words = ("checkout", "--quiet", "--no-overlay", result.commit)
            files = ("--pathspec-from-file=-", "--pathspec-file-nul")
            git(self._git, *words, *files, tree=self._top, stdin=os.fsencode("\0".join(found)))
        git(self._git, "update-ref", f"refs/heads/work/{self._top.name}", result.head)
        git(self._git, "reset", "--quiet", "--mixed", result.head, tree=self._top)
        git(self._own, "update-ref", "-d", self._taking)

    def _is_being_taken(self, commit: str) -> bool:
        """Whether a conductor was killed while it put a result into the checkout."""
        return git(self._own, "for-each-ref", "--format=%(objectname)", self._taking) == commit

    def _is_here(self, commit: str) -> bool:
        with contextlib.suppress(GitError):
            return git(self._own, "rev-parse", "--verify", "--quiet", self._came) == commit
        return False

    def _fetch(self, row: JobRow, result: Result) -> None:
        try:
            if result.reference:
                source = self._workers.repository or str(self._own)
                parcels.fetch(self._own, source, f"+{result.reference}:{self._came}")
                return
            if row.bundle is None or row.bundle > MOST_BUNDLE:
                raise _RefusedError("a worker's commits did not come with its result")
            with tempfile.NamedTemporaryFile(suffix=".bundle") as file:
                file.write(self.store.bundle(self.id, row.delivery))
                file.flush()
                parcels.fetch(self._own, file.name, f"+{parcels.MADE}:{self._came}")
        except GitError as exc:
            raise _RefusedError(f"a worker's commits cannot be fetched: {exc.reason}") from exc

    def _require_honest(self, result: Result, head: str) -> None:
        """Refuse commits that are not what a result says, or do not go on from what was sent."""
        came = git(self._own, "rev-parse", f"{self._came}^{{commit}}")
        parents = git(self._own, "show", "--no-patch", "--format=%P", came).split()
        if came != result.commit or parents != [result.head]:
            raise _RefusedError("a worker's commits are not those that its result names")
        if not parcels.is_ancestor(self._own, head, result.head):
            raise _RefusedError("a worker's commits do not go on from those that it was given")


class _RefusedError(OrchestrateError):
    code = "refused-result"


class _EditedError(OrchestrateError):
    code = "edited-checkout"
