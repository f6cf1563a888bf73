"""Commands that USER took to prove one statement, and the trial of those that are proposed."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrate_agents.checks.command_runs import Job, run_once
from orchestrate_agents.checks.commands import prove_command
from orchestrator.commands.definitions import define, reader
from orchestrator.errors import MissingToolError
from orchestrator.gates.checks import Context, Result, unproven
from orchestrator.gates.taken import Trial, register_prover
from orchestrator.gates.trust import is_trusted
from orchestrator.settings.board import FILE


class _Sandbox:
    """Runs commands on copies of the workspace."""

    def prove(self, ctx: Context, command: str, sha256: str) -> Result:
        if not is_trusted(ctx, FILE):
            said = f"{FILE}, by which `{command}` proves this, was changed while an agent of this"
            return unproven(f"{said} family worked")
        if define(command, reader(ctx.root)).digest != sha256:
            return unproven(f"what `{command}` runs has changed since USER took it")
        return prove_command(Job(ctx, command))

    def trial(self, ctx: Context, command: str, files: Mapping[str, bytes]) -> Trial:
        ended = run_once(Job(ctx, command, files), every=True)
        if ended.lacks[0]:
            raise MissingToolError(*ended.lacks)
        fails = tuple(name for name, same in ended.same if not same)
        passes = tuple(name for name, same in ended.same if same)
        today = "proven" if ended.run.ok else "failed"
        return Trial(today, ended.run.ending, fails, passes)


register_prover(_Sandbox())
