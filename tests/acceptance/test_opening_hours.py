"""A workflow that shares no name with WO-231, in a workspace without this repository's code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures/workspaces/library"
FAMILY = ("GO-77", "GO-77-A", "GO-77-B")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("library") / "workspace"
    shutil.copytree(FIXTURE, root)
    return root


def orchestrate(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=170,
    )


def places(root: Path) -> dict[str, str]:
    files = {i: next((root / "_WORK_ORDERS").glob(f"*/{i}_*.md")) for i in FAMILY}
    return {i: f.parent.name for i, f in files.items()}


def rows(root: Path) -> list[list[dict[str, object]]]:
    from backend.targets import EmbeddedTarget

    target = EmbeddedTarget(root)
    try:
        tables = ("library_branch", "branch_hours")
        return [target.query_readonly(f"SELECT * FROM {t} ORDER BY 1, 2") for t in tables]
    finally:
        target.close()


def test_1_everything_is_made_and_proven_up_to_the_only_checkpoint(library: Path) -> None:
    done = orchestrate(library, "run", "GO-77")
    assert done.returncode == 10, done.stdout + done.stderr
    assert set(places(library).values()) == {"05_USER_REVIEW"}
    assert "✗" not in done.stdout
    for path in ("db/changes/0007_opening_hours.sql", "tools/load_branches.py", "seed/hours.csv"):
        assert (library / path).is_file()
    assert not (library / "backend").exists()


def test_2_a_rendered_script_needs_none_of_this_repository(library: Path) -> None:
    command = [sys.executable, "-I", "-c", _WITHOUT_BACKEND, "tools/load_hours.py", "--dry-run"]
    done = subprocess.run(command, cwd=library, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "6 branch hours can be written" in done.stdout


_WITHOUT_BACKEND = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("backend", "agents", "orchestrator"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_3_the_approval_loads_the_tables_and_completes_the_family(library: Path) -> None:
    orchestrate(library, "approve", "GO-77", "--accept-unproven")
    done = orchestrate(library, "run", "GO-77")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(places(library).values()) == {"06_COMPLETE"}
    assert [len(found) for found in rows(library)] == [3, 6]


def test_4_a_second_run_of_the_scripts_changes_nothing(library: Path) -> None:
    before = rows(library)
    for script in ("tools/load_branches.py", "tools/load_hours.py"):
        command = [sys.executable, script, "--target", "embedded", "--root", str(library)]
        done = subprocess.run(command, cwd=library, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert rows(library) == before
