"""One turn of a coding agent: prompt, program, events, report (DESIGN 5.1)."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from orchestrate_agents.coding.about import about, program_of
from orchestrate_agents.coding.child import Child
from orchestrate_agents.coding.events import Fault, Log
from orchestrate_agents.coding.job_server import JobServer
from orchestrate_agents.coding.limits import UNSAID
from orchestrate_agents.coding.prices import priced
from orchestrate_agents.coding.prompt import load_templates, render_prompt
from orchestrate_agents.coding.protocol import Adapter, Running, Task, ToolServer
from orchestrate_agents.coding.rules import Guarded
from orchestrate_agents.coding.walls import build_walls, can_confine, version_of
from orchestrate_agents.coding.watching import Ended, Taken, watch
from orchestrator.agent_process.confinement import Confinement
from orchestrator.domain.agent import LIMIT, UNREACHABLE, AgentInfo, Job, Outcome, Report, Usage
from orchestrator.mcp.server import ASK_AS, SOCKET
from orchestrator.mcp.tools import describe_tools
from orchestrator.settings.agents import AgentSettings

#: what reads the last message: not needed before there is one
_ANSWER = "orchestrate_agents.coding.answer"
#: the variable with the address of a checkout's own database
DATABASE = "DATABASE_URL"
#: of this process, and of no use to the program
_OWN = ("OLDPWD", "PYTHONWARNINGS", "ORCHESTRATE_SCRATCH")
_QUIET = {"NO_COLOR": "1", "TERM": "dumb", "GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true"}
#: what programs say about an option that they do not know
_UNKNOWN_OPTION = ("unknown option", "unexpected argument", "unknown argument", "unrecognized")
_SAID = 600
#: characters of a reason that nobody wrote for people
_REASON = 200


@dataclass(frozen=True)
class _Turn:
    task: Task
    log: Log
    seconds: float
    taken: Taken


class CodingAgent:
    """An agent whose work a coding agent's program does. One call of `work` is one turn."""

    adapter: ClassVar[type[Adapter]]

    @property
    def name(self) -> str:
        return self.adapter.name

    @classmethod
    def variables(cls) -> tuple[str, ...]:
        """Variables of its own that the program may see besides those that `env` names."""
        return cls.adapter.variables

    @classmethod
    def about(cls, settings: AgentSettings, root: Path) -> AgentInfo:
        """What can be said of the program without letting it work."""
        return about(cls.adapter, settings, root)

    @classmethod
    def prepare(cls) -> None:
        """Load what a turn needs, before there is one."""
        for name in (_ANSWER, *cls.adapter.modules):
            with contextlib.suppress(ModuleNotFoundError):
                import_module(name)
        load_templates()
        describe_tools()
        priced([Usage(model="any", input_tokens=1)])
        if can_confine():
            build_walls("any", Path("/"), os.environ, (), (), ()).close()

    def work(self, job: Job) -> Report:
        """Let the program work for one turn below `job.root`.

        Never raises for what the program does: that is the report's outcome.
        """
        settings = AgentSettings.model_validate(job.settings.get("agent") or {})
        program = program_of(self.adapter, settings, job.board_root)
        environment = self._environment(job)
        if shutil.which(program[0], path=environment.get("PATH")) is None:
            return self._needs(f"{program[0]} is not installed: {self.adapter.install}")
        # asked of the system while the prompt is made
        asked = threading.Thread(target=can_confine, daemon=True)
        asked.start()
        log = Log(job.log, job.turn, environment)
        with JobServer(job, settings, log.masked) as server, _database(job) as database:
            environment.update({**server.environment, **database})
            ask = self.adapter.ask_as
            tools = _tools(environment, ask)
            prompt = render_prompt(job, settings, ask if tools else "")
            asked.join()
            task = Task(
                job=job,
                settings=settings,
                program=program,
                environment=environment,
                prompt=prompt,
                session=job.session,
                tools=tools,
                confined=can_confine(),
            )
            turn = self._take(task, log, server)
            if turn.taken.fault is Fault.NO_SESSION and task.session:
                anew = job.model_copy(update={"session": ""})
                prompt = render_prompt(anew, settings, ask if tools else "")
                turn = self._take(replace(task, session="", prompt=prompt), log, server)
            return server.complete(self._report(turn))

    def start(self, adapter: Adapter, task: Task, walls: Confinement | None) -> Running:
        """Start the program behind its walls. Raises OSError where that is not possible."""
        argv = [*task.program, *adapter.arguments(task)]
        return Child(
            walls.words(argv) if walls else argv,
            task.job.root,
            {**task.environment, **adapter.environment(task)},
            task.prompt,
            adapter.read,
            adapter.complain,
            walls.fds if walls else (),
        )

    def _take(self, task: Task, log: Log, server: JobServer) -> _Turn:
        started = time.monotonic()
        guarded = Guarded(self._rules(task), Path(task.environment.get("HOME") or Path.home()))
        with contextlib.ExitStack() as stack:
            walls = stack.enter_context(self._walls(task)) if task.confined else None
            try:
                running = self.start(self.adapter(), task, walls)
            except OSError as exc:
                text = f"{task.program[0]} cannot be started: {exc.strerror}"
                return _Turn(task, log, 0.0, Taken(fault=Fault.OTHER, said=text, broken=True))
            stack.callback(self._tell_moved, guarded, task, server)
            stack.callback(running.stop)
            if walls is not None:
                walls.started()
            # it takes as long as the program's own start
            threading.Thread(target=import_module, args=(_ANSWER,), daemon=True).start()
            taken = watch(server.until_asked(running), task, log)
        taken.model = taken.model or task.settings.model
        return _Turn(task, log, time.monotonic() - started, taken)

    def _walls(self, task: Task) -> Confinement:
        socket = task.environment.get(SOCKET)
        asked = task.job.settings.get("database")
        folder = task.environment.get(DATABASE, "").partition("?host=")[2] if asked else ""
        reach = [*filter(None, [socket]), *([f"{unquote(folder)}/socket"] if folder else [])]
        return build_walls(
            task.program[0],
            task.job.root,
            task.environment,
            self.adapter.places(task.settings)[0],
            task.settings.write,
            reach,
            [path for path in self._rules(task) if path.exists()],
            task.job.board_root,
        )

    def _tell_moved(self, guarded: Guarded, task: Task, server: JobServer) -> None:
        kept = task.job.board_root / ".orchestrate" / "kept" / task.job.parent
        for text in guarded.put_right(kept / f"stage-{task.job.stage}-rules"):
            server.notice(f"{task.job.agent} {text}")

    def _rules(self, task: Task) -> list[Path]:
        home = Path(task.environment.get("HOME") or Path.home())
        return [home / name for name in self.adapter.places(task.settings)[1]]

    def _environment(self, job: Job) -> dict[str, str]:
        """What the program sees: what the conductor let through, and that it is to be quiet."""
        own = {name: value for name, value in os.environ.items() if name not in _OWN}
        # some programs trust it more than where they are
        place = {"PWD": job.workspace}
        return {**_QUIET, **self.adapter.quiet, **own, **place, **job.environment}

    def _report(self, turn: _Turn) -> Report:
        taken, name = turn.taken, _called(turn.task)
        said = turn.log.masked(taken.said)[:_SAID].strip()
        if taken.fault is Fault.LIMIT:
            report = Report(
                outcome=Outcome.LATER,
                reason=f"{name}'s usage limit is reached: {said}",
                ended=LIMIT,
                resumes_at=taken.resumes_at or time.time() + UNSAID,
            )
        elif taken.fault is Fault.UNREACHABLE:
            # the conductor knows how often it was tried, and when to try again
            why = f"{name} does not reach its service: {_cut(said)}"
            report = Report(outcome=Outcome.LATER, reason=why, ended=UNREACHABLE)
        elif taken.fault is Fault.SIGNED_OUT:
            report = self._needs(f"{name} is not signed in ({said}): {self.adapter.sign_in}")
        elif taken.broken or taken.fault is not Fault.NONE or taken.ended is not Ended.NOT:
            report = self._failed(turn, said)
        else:
            report = import_module(_ANSWER).make_report(turn.task, taken, turn.log)
        return report.model_copy(
            update={
                "session": taken.session or turn.task.session,
                "usage": taken.usage or _unknown(taken),
                "seconds": round(turn.seconds, 3),
            }
        )

    def _failed(self, turn: _Turn, said: str) -> Report:
        taken, settings, name = turn.taken, turn.task.settings, _called(turn.task)
        if taken.ended is Ended.NOT and any(word in said.lower() for word in _UNKNOWN_OPTION):
            version = _version(turn.task)
            return self._needs(f"{version} is too old ({said}): {self.adapter.install}@latest")
        outcome = Outcome.FAILED
        if taken.ended is Ended.STALL:
            reason = f"no word from {name} for {settings.stall:g} s; its turn was ended"
        elif taken.ended is Ended.TIMEOUT:
            reason = f"{name} was stopped after {settings.timeout:g} s"
        elif taken.ended is Ended.BUDGET:
            # USER is asked to raise it, or to hold
            outcome = Outcome.CANNOT
            reason = (
                f"the budget is spent: {taken.spent}; the turn was ended: raise what is too low of "
                "[budget] in orchestrate.toml and send the work back, or put it on hold"
            )
        elif not taken.heard and taken.fault is Fault.NONE:
            known = f"it printed no event that {self.adapter.name}'s adapter knows"
            reason = _cut(f"{name} failed: {known}: {said}")
        else:
            reason = f"{name} failed: {said or 'it says nothing'}"
        return Report(outcome=outcome, reason=reason, ended=taken.ended.value)

    def _needs(self, reason: str) -> Report:
        return Report(outcome=Outcome.NEEDS_PERSON, reason=reason)


@contextlib.contextmanager
def _database(job: Job) -> Iterator[dict[str, str]]:
    """The variable with the address of the checkout's own database, while the turn lasts."""
    folder = str(job.settings.get("database") or "")
    # on another machine there is no such place
    if not folder or not Path(folder).is_relative_to(job.board_root):
        yield {}
        return
    # of no use to most turns
    serve = import_module("orchestrate_backend.targets.apart").serve_apart
    with serve(Path(folder)) as address:
        yield {DATABASE: address}


def _called(task: Task) -> str:
    """What the program is called."""
    return task.settings.use if not task.settings.command else Path(task.program[0]).name


def _cut(text: str) -> str:
    """One line, short."""
    line = " ".join(text.split())
    return line if len(line) <= _REASON else f"{line[: _REASON - 1]}…"


def _tools(environment: Mapping[str, str], ask_as: str) -> ToolServer | None:
    """The server of the job's own tools, where the conductor serves them."""
    if SOCKET not in environment:
        return None
    # -P: nothing of the checkout is imported in its place
    env = {name: environment[name] for name in (SOCKET, "PYTHONPATH") if name in environment}
    return ToolServer(sys.executable, ("-P", "-m", "orchestrator.mcp"), {**env, ASK_AS: ask_as})


def _unknown(taken: Taken) -> tuple[Usage, ...]:
    """What nobody says is not nothing: a turn in which the model answered, without a price."""
    return (Usage(model=taken.model),) if taken.answered else ()


def _version(task: Task) -> str:
    """The program with its version, as far as it says one."""
    said = version_of(task.program, task.environment)
    return f"{Path(task.program[0]).name} {said}".strip()
