"""How a registry import runs as an effect: against which registry, or from the snapshot.

Registered as `orchestrate.script_settings`; its settings are the table `[trials]`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from orchestrate_agents.script_settings import ScriptRun, ScriptSettings

_SNAPSHOT = "the offline snapshot that ships with the product, not the live registry"


class TrialsSettings(BaseModel):
    """`[trials]`: options for a registry import that runs as an effect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = ""
    #: on the embedded target only: load the shipped snapshot instead of asking the registry
    offline: bool = True


class TrialScripts:
    """On the embedded target the shipped snapshot replaces the registry, unless one is named."""

    flags = ("--offline", "--all-conditions")

    def settings_for(self, run: ScriptRun, settings: Mapping[str, Any]) -> ScriptSettings:
        """`--offline` where the script knows it and has a snapshot, or the registry's address."""
        trials = settings.get("trials") or {}
        url = str(trials.get("base_url") or os.environ.get("CTGOV_BASE_URL", ""))
        if url:
            return ScriptSettings(environment={"CTGOV_BASE_URL": url})
        offline = (
            run.target == "embedded"
            and bool(trials.get("offline", True))
            and "--offline" not in run.options
            and '"--offline"' in run.source
            and any(path.endswith(".jsonl") for path in run.inputs)
        )
        return ScriptSettings(("--offline",), loads=_SNAPSHOT) if offline else ScriptSettings()


plugin = TrialScripts()
