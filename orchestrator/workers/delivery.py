"""One delivery of a job at a worker: its folder, its agent at work, what is given back."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.agent_process.dispatcher import Dispatcher
from orchestrator.domain.agent import Agent, Job, Outcome, Report
from orchestrator.errors import OrchestrateError, UsageError
from orchestrator.git.command import GitError, run_git
from orchestrator.settings.agents import BUILTIN, COMMAND, PROVE, AgentSettings
from orchestrator.settings.board import FILE
from orchestrator.settings.config import Settings
from orchestrator.storage.locks import family_lock
from orchestrator.workers import parcel as parcels
from orchestrator.workers.parcel import MOST_BUNDLE, Parcel, Result, digest, git
from orchestrator.workers.store import AwayError, Store
from orchestrator.workspaces.checkout import link_tools
from orchestrator.workspaces.ports import variables_of

#: seconds between two signs of life of a job, at most
_BEAT = 1.0
#: seconds for a proof, whose checks have limits of their own
_PROOF_LIMIT = 6 * 3600.0
#: characters of an event; bytes of events that are sent at a time
_MOST_LINE, _MOST_SENT = 200_000, 1 << 22


@dataclass
class Bench:
    """What all jobs of a worker share."""

    worker: str
    root: Path
    settings: Settings
    store: Store
    folder: Path
    inside: Mapping[str, Agent]
    log: Callable[[str], object]


class Delivery:
    """One job at work."""

    def __init__(self, bench: Bench, id: str, delivery: int, parcel: Parcel) -> None:
        self.bench, self.id, self.delivery, self.parcel = bench, id, delivery, parcel
        self.dispatcher = Dispatcher(bench.inside)
        #: why it is to be stopped; whether another worker has it now
        self.stopped, self.lost = "", False
        self.settings = self._settings()
        self._cache = bench.folder / f"{digest(parcel.repository)}.git"
        # the same for each turn: a coding agent's session is about this path
        home = id.partition("/")[0]
        self._place = bench.folder / "jobs" / digest(home, parcel.job.parent, parcel.branch)
        self._top, self._home = self._place / "tree", self._place / "home"
        if parcel.job.agent == PROVE:
            # a workspace's checks see what is below it, as at home
            self._home = self._place / "proof"
            self._top = self._home / ".orchestrate" / "workspaces" / "tree"
        self._log = self._place / "events.jsonl"
        self._read = 0

    def _settings(self) -> AgentSettings:
        """The agent's settings: this worker's own, so that no program comes from the database."""
        parcel, name = self.parcel, self.parcel.job.agent
        own = self.bench.settings.agent(name)
        if name == PROVE:
            words = (sys.executable, "-m", "orchestrator.workers.proofs")
            return own.model_copy(update={"command": words, "timeout": _PROOF_LIMIT})
        here = own.use or (COMMAND if own.command else BUILTIN)
        if here != parcel.use and name not in self.bench.inside:
            raise UsageError(f"{name} is `{here}` here and `{parcel.use}` at home")
        chosen = {"model": parcel.model, "effort": parcel.effort}
        return own.model_copy(update={k: v for k, v in chosen.items() if v})

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Keep the job while it is worked on, hand in its events, and hear of a stop."""
        done = threading.Event()
        thread = threading.Thread(target=self._beat, args=(done,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            if not self.lost and not self.stopped and self._new_lines()[0]:
                with contextlib.suppress(AwayError):
                    self._send()

    def _beat(self, done: threading.Event) -> None:
        lease = self.bench.settings.workers.lease
        heard = time.monotonic()
        while not done.wait(min(_BEAT, lease / 5)):
            try:
                said = self._send()
                heard = time.monotonic()
            except AwayError:
                # it may be another's by now: what it makes would be dropped, and cost money
                if time.monotonic() - heard < lease * 2:
                    continue
                said = None
            if said is None or said:
                self.lost, self.stopped = said is None, said or ""
                self.dispatcher.stop()
                return

    def _send(self) -> str | None:
        lines, read = self._new_lines()
        said = self.bench.store.beat(self.id, self.delivery, self.bench.worker, lines)
        self._read = read
        return said

    def _new_lines(self) -> tuple[list[str], int]:
        if not self._log.is_file():
            return [], self._read
        with self._log.open("rb") as file:
            file.seek(self._read)
            data = file.read(_MOST_SENT)
        whole = data[: data.rfind(b"\n") + 1]
        if not whole and len(data) == _MOST_SENT:
            whole = data
        lines = whole.decode("utf-8", "replace").splitlines()
        return [line[:_MOST_LINE] for line in lines if line], self._read + len(whole)

    def do(self) -> tuple[Result, bytes | None]:
        """Let the agent work; what it made. Raises StoppedError, OSError, GitError."""
        self._place.mkdir(parents=True, exist_ok=True)
        # an earlier delivery may just be ending here
        with family_lock(self._place.parent, self._place.name, wait=True):
            self._lay_out()
            report = self.dispatcher.dispatch(self._job(), self.settings)
            if self.parcel.job.agent == PROVE:
                head, commit = self.parcel.head, self.parcel.commit
                own = self.bench.worker
                return Result(report=report, head=head, commit=commit, worker=own), None
            return self._pack(report)

    def _job(self) -> Job:
        job, settings = self.parcel.job, dict(self.parcel.job.settings)
        ports = variables_of(self._place.parent, self._place.name) if job.environment else {}
        if "agent" in settings:
            settings["agent"] = self.settings.model_dump(mode="json")
        return job.model_copy(
            update={
                "workspace": str(self._top / self.parcel.below),
                "home": str(self._home),
                "log": str(self._log) if job.log else "",
                "environment": ports,
                "settings": settings,
            }
        )

    # -- its folder --------------------------------------------------------------------------

    def _lay_out(self) -> None:
        """Make the checkout as it is at home, and a folder with the family's tickets beside it."""
        parcel = self.parcel
        if not (self._cache / "HEAD").is_file():
            new = Path(tempfile.mkdtemp(prefix=".new-", dir=self._cache.parent))
            run_git(new, "init", "--quiet", "--bare", "--template=", ".")
            with contextlib.suppress(OSError):
                new.rename(self._cache)
        came = f"refs/came/{self._place.name}"
        parcels.fetch(self._cache, parcel.repository, f"+{parcel.reference}:{came}")
        if git(self._cache, "rev-parse", came) != parcel.commit:
            raise OrchestrateError(f"{parcel.reference} has moved on: the job was asked again")
        if git(self._cache, "rev-parse", f"{parcel.commit}^") != parcel.head:
            raise OrchestrateError("the job's commits are not what it says")
        for old in (self._top, self._home):
            shutil.rmtree(old, ignore_errors=True)
        self._log.unlink(missing_ok=True)
        self._clone()
        self._home.mkdir(exist_ok=True)
        parcels.lay_down(parcel.files, self._home)
        parcels.lay_down(parcels.carry(self.bench.root, self._own_files()), self._home)

    def _own_files(self) -> Iterator[Path]:
        """What rules and runs here: this worker's, nothing that came from the database."""
        root, command = self.bench.root, self.settings.command
        yield root / FILE
        for name in ("checks", "templates/prompts"):
            yield from (root / name).rglob("*")
        if command and "/" in command[0] and not Path(command[0]).is_absolute():
            yield root / command[0]

    def _clone(self) -> None:
        parcel, top = self.parcel, self._top
        words = ("clone", "--shared", "--no-checkout", "--no-tags", "--quiet", "--template=")
        run_git(self._place, *words, "--", str(self._cache), str(top))
        folder = top / ".git"
        own: dict[str, Any] = {"tree": top}
        git(folder, "remote", "remove", "origin", **own)
        for key, value in (("user.name", "Orchestrate"), ("user.email", "orchestrate@localhost")):
            git(folder, "config", key, value, **own)
        board = (Path(parcel.below) / parcel.board).as_posix()
        git(folder, "sparse-checkout", "set", "--no-cone", "/*", f"!/{board}/", **own)
        lfs = {"GIT_LFS_SKIP_SMUDGE": "1"}
        words = ("checkout", "-q", "--no-track", "-B", parcel.branch, parcel.commit)
        git(folder, *words, env=lfs, **own)
        git(folder, "reset", "--quiet", "--mixed", parcel.head, **own)
        hidden = link_tools(self.bench.root, top / parcel.below, parcel.below)
        (folder / "info").mkdir(exist_ok=True)
        for file in (folder / "info" / "exclude", self._place / "exclude"):
            file.write_text(hidden, encoding="utf-8")

    def _pack(self, report: Report) -> tuple[Result, bytes | None]:
        """What the agent made, seen with git settings that it could not write."""
        parcel, cache = self.parcel, self._cache
        if os.path.lexists(self._top / parcel.below / parcel.board):
            why = f"{parcel.job.agent} made {parcel.board}: the board is the conductor's"
            cost = {name: getattr(report, name) for name in ("session", "usage", "seconds")}
            report = Report(outcome=Outcome.FAILED, reason=why, **cost)
        head = self._agents_head()
        index = self._place / "index"
        index.unlink(missing_ok=True)
        exclude = {"core.excludesFile": str(self._place / "exclude")}
        git(cache, "read-tree", parcel.commit, tree=self._top, index=index)
        board = (Path(parcel.below) / parcel.board).as_posix()
        tree = parcels.write_tree(cache, self._top, index, board, exclude)
        known: dict[str, Any] = {"report": report, "worker": self.bench.worker}
        if head == parcel.head and tree == git(cache, "rev-parse", f"{parcel.commit}^{{tree}}"):
            return Result(head=head, commit=parcel.commit, **known), None
        commit = parcels.commit_tree(cache, tree, head, "As its agent left it")
        made = f"{parcels.MADE}-{self._place.name}"
        git(cache, "update-ref", made, commit)
        reference = f"{parcel.reference}+{digest(self.id, str(self.delivery))[:8]}"
        if self.bench.settings.workers.push and self._push(made, reference):
            return Result(head=head, commit=commit, reference=reference, **known), None
        # other workers of this machine may share the folder
        with (
            family_lock(self._cache.parent, self._cache.name, wait=True),
            tempfile.TemporaryDirectory(prefix="orchestrate-bundle-") as folder,
        ):
            file = Path(folder) / "made.bundle"
            git(cache, "update-ref", parcels.MADE, commit)
            words = ("bundle", "create", "--quiet", str(file), parcels.MADE)
            git(cache, *words, f"^{parcel.commit}", f"^{parcel.head}")
            if file.stat().st_size > MOST_BUNDLE:
                raise OrchestrateError(
                    f"what {parcel.job.agent} made is larger than {MOST_BUNDLE >> 20} MB, and this "
                    "worker may not push it"
                )
            return Result(head=head, commit=commit, **known), file.read_bytes()

    def _push(self, made: str, reference: str) -> bool:
        words = ("push", "--quiet", "--no-verify", "--force", "--", self.parcel.repository)
        try:
            parcels.git_afar(self._cache, *words, f"{made}:{reference}")
        except GitError as exc:
            self.bench.log(f"cannot push ({exc.reason}); the commits go through the database")
            return False
        return True

    def _agents_head(self) -> str:
        """The last commit of the agent, if it goes on from what it was given."""
        reference = f"refs/heads/head-{self._place.name}"
        with contextlib.suppress(GitError):
            parcels.fetch(self._cache, str(self._top / ".git"), f"+HEAD:{reference}")
            head = git(self._cache, "rev-parse", f"{reference}^{{commit}}")
            if parcels.is_ancestor(self._cache, self.parcel.head, head):
                return head
        return self.parcel.head
