"""`orchestrate.toml`: tables of plug-ins, and which agent plays which part (DESIGN 3.2, 9)."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from orchestrator import plugins
from orchestrator.domain.states import FolderRole, Part
from orchestrator.errors import UsageError
from orchestrator.settings.agents import AgentSettings
from orchestrator.settings.config import Settings, default_maker, load_settings


class MirrorSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    address: str = ""


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("mirror", f"{__name__}:MirrorSettings", "orchestrate.settings")
    known = plugins.registered
    monkeypatch.setattr(
        plugins, "registered", lambda group: (entry,) if group == "settings" else known(group)
    )


def _write(root: Path, text: str) -> Path:
    (root / "orchestrate.toml").write_text(text, encoding="utf-8")
    return root


@pytest.mark.usefixtures("mirror")
def test_a_plug_in_owns_a_table(tmp_path: Path) -> None:
    settings = load_settings(_write(tmp_path, '[mirror]\naddress = "x"\n'))
    assert settings.model_dump(mode="json")["mirror"] == {"address": "x"}
    assert "mirror" not in load_settings(_write(tmp_path, "")).model_dump()


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize(
    ("text", "key"), [("[mirror]\nport = 1\n", "mirror.port"), ("[other]\n", "other")]
)
def test_an_unknown_table_or_key_is_an_error_with_a_hint(
    tmp_path: Path, text: str, key: str
) -> None:
    with pytest.raises(UsageError, match=f"unknown key `{key}`") as error:
        load_settings(_write(tmp_path, text))
    assert error.value.hint


def test_3_2_the_agents_say_which_part_they_play_and_configuration_overrides_it() -> None:
    settings = Settings()
    parts = {name: settings.agent(name).part for name in ("LEAD", "SOOP", "ANALYST", "NOBODY")}
    assert parts == {
        "LEAD": Part.TRIAGER,
        "SOOP": Part.MAKER,
        "ANALYST": Part.PROVIDER,
        "NOBODY": Part.MAKER,
    }
    assert settings.agent_playing(Part.INSPECTOR) == "INSPECTOR"
    assert default_maker() == "BUILDER"
    other = Settings(agents={"EVE": AgentSettings(part=Part.INSPECTOR)})
    assert other.agent_playing(Part.INSPECTOR) == "EVE"


def test_3_1_roles_say_what_they_mean() -> None:
    finished = {role for role in FolderRole if role.finished}
    assert finished == {FolderRole.COMPLETE, FolderRole.ARCHIVE}
    assert {role for role in FolderRole if role.at_rest} == finished | {
        FolderRole.HOLD,
        FolderRole.BACKLOG,
    }
    assert not any(role.started and role.awaits_build for role in FolderRole)


def test_a_coding_agent_plays_the_part_of_the_agent_whose_place_it_takes() -> None:
    said = {
        "LEAD": {"use": "claude"},
        "INSPECTOR": {"command": ["./inspect"]},
        "SOOP": {"use": "codex", "part": "inspector"},
        "PAINTER": {"use": "claude"},
    }
    settings = Settings.model_validate({"agents": said})
    assert {name: settings.agent(name).part for name in said} == {
        "LEAD": Part.TRIAGER,
        "INSPECTOR": Part.INSPECTOR,
        "SOOP": Part.INSPECTOR,
        "PAINTER": Part.MAKER,
    }
    assert settings.agent_playing(Part.TRIAGER) == "LEAD"


def test_workers_and_no_checkouts_contradict_each_other(tmp_path: Path) -> None:
    never = '[workspaces]\nuse = "never"\n'
    with pytest.raises(UsageError, match="workers need checkouts"):
        load_settings(_write(tmp_path, f'[workers]\nengine = "dbos"\n{never}'))
    assert load_settings(_write(tmp_path, f"[workers]\npush = false\n{never}")).workspaces.use
