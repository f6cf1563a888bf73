"""What packages register is found as `importlib.metadata` finds it, with less work."""

from __future__ import annotations

import importlib.metadata
import sys
import zipfile
from pathlib import Path

import pytest

from orchestrator import plugins
from orchestrator.plugins import EntryPoint


def _package(folder: Path, name: str, text: str, kind: str = "dist-info") -> None:
    info = folder / f"{name}.{kind}"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {name.partition('-')[0]}\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(text, encoding="utf-8")


def test_all_groups_are_as_metadata_has_them() -> None:
    metadata = importlib.metadata.entry_points()
    groups = {group for group in metadata.groups if group.startswith("orchestrate.")}
    assert len(groups) >= 7
    for group in groups:
        known = plugins.registered(group.removeprefix("orchestrate."))
        usual = importlib.metadata.entry_points(group=group)
        assert [(e.name, e.value, e.module) for e in known] == [
            (e.name, e.value, e.module) for e in usual
        ]


def test_what_is_imported_is_what_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "; of tea\n[orchestrate.facts]\n# hot\npath = os.path:join\n\n[other]\nx = os\n"
    _package(tmp_path / "a", "tea-1.0", text)
    # hidden by the one before it on the path
    _package(tmp_path / "b", "Tea-2.0", "[orchestrate.facts]\npath = os.path:split\n", "egg-info")
    (tmp_path / "c" / "broken-1.dist-info" / "entry_points.txt").mkdir(parents=True)
    _package(tmp_path / "c", "milk-1.0", "[orchestrate.facts]\nextra = json [some]\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / n) for n in ("a", "b", "none", "c")])
    assert plugins.registered("facts") == (
        EntryPoint("orchestrate.facts", "path", "os.path:join"),
        EntryPoint("orchestrate.facts", "extra", "json [some]"),
    )
    join, json = (entry.load() for entry in plugins.registered("facts"))
    assert join("a", "b") == str(Path("a/b"))
    assert json.__name__ == "json"


def test_packages_in_archives_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "tea.zip", "w") as archive:
        archive.writestr("tea-1.0.dist-info/METADATA", "Name: tea\nVersion: 1.0\n")
        archive.writestr("tea-1.0.dist-info/entry_points.txt", "[orchestrate.facts]\na = json\n")
    monkeypatch.syspath_prepend(str(tmp_path / "tea.zip"))
    assert EntryPoint("orchestrate.facts", "a", "json") in plugins.registered("facts")
