"""The board's part of the settings is the same with and without the models of all settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.settings import board, config
from orchestrator.settings.board import BoardPart, read_board_part
from orchestrator.settings.config import Settings, load_settings

GOOD = Path(".orchestrate", "state", "settings")
TEXTS = (
    "",
    "failure_limit = 5\n[git]\ncommit = true\n",
    '[board]\nfolder = "work"\ntruth = "status"\nevery_file = true\nignore = ["x*"]\n'
    'criteria_headings = ["Kriterien"]\n[board.folders]\nQA = "05_QA"\n'
    '[board.aliases]\nREWORK = "BUILD"\n[board.statuses]\nCOMPLETE = "Done"\n'
    '[board.keys]\nzustaendig = "owner"\nalter = "created"\n',
    # not written as it is meant
    '[board]\nscoped = "yes"\nshare = 1\n',
    'failure_limit = "3"\n',
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".orchestrate" / "state").mkdir(parents=True)
    return tmp_path


def said(part: BoardPart, root: Path) -> tuple[object, ...]:
    folders = part.folders_in(root).signature
    return part.folder, folders, part.failure_limit, part.criteria_headings, part.keys


def write(root: Path, text: str) -> None:
    (root / "orchestrate.toml").write_text(text, encoding="utf-8")


def forbid_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "load_settings", lambda _: pytest.fail("the models were asked"))


def test_without_a_file_the_part_is_that_of_the_defaults(root: Path) -> None:
    settings = Settings()
    defaults = BoardPart(vars(settings.board), settings.failure_limit)
    assert said(read_board_part(root), root) == said(defaults, root)


@pytest.mark.parametrize("text", TEXTS)
def test_settings_that_were_found_good_say_the_same_without_the_models(
    root: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, text)
    settings = load_settings(root)
    wanted = said(BoardPart(vars(settings.board), settings.failure_limit), root)
    assert said(read_board_part(root), root) == wanted
    if "yes" not in text and '"3"' not in text:
        forbid_models(monkeypatch)
    assert said(read_board_part(root), root) == wanted


def test_settings_that_are_wrong_stay_wrong(root: Path) -> None:
    write(root, "failure_limit = 4\n")
    assert read_board_part(root).failure_limit == 4
    write(root, "failure_limit = 4\nno_such_key = 1\n")
    for _ in range(2):
        with pytest.raises(UsageError, match="no_such_key"):
            read_board_part(root)


def test_what_another_program_found_good_is_looked_at_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, "failure_limit = 4\n")
    read_board_part(root)
    asked = []
    monkeypatch.setattr(config, "load_settings", lambda r: asked.append(r) or load_settings(r))
    read_board_part(root)
    assert asked == []
    monkeypatch.setattr(board, "_judges", lambda: b"another version\n")
    read_board_part(root)
    assert asked == [root]


@pytest.mark.parametrize("held", [b"", b"\xff\0", b"[board]\n" * 1000])
def test_what_was_kept_may_be_anything(root: Path, held: bytes) -> None:
    write(root, "failure_limit = 4\n")
    (root / GOOD).write_bytes(held)
    assert read_board_part(root).failure_limit == 4


def test_nothing_is_kept_behind_a_link(tmp_path: Path) -> None:
    write(tmp_path, "failure_limit = 4\n")
    (tmp_path / "elsewhere" / "state").mkdir(parents=True)
    (tmp_path / ".orchestrate").symlink_to("elsewhere")
    assert read_board_part(tmp_path).failure_limit == 4
    assert not list((tmp_path / "elsewhere" / "state").iterdir())
    (tmp_path / ".orchestrate").unlink()
    (tmp_path / ".orchestrate" / "state").mkdir(parents=True)
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / GOOD).symlink_to("../../mine.txt")
    assert read_board_part(tmp_path).failure_limit == 4
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine"
