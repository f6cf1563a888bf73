"""A seed script of an approval runs with the workspace's own Python, which the question names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrate_agents.effect_runner import EffectKind, TargetRunner
from orchestrator.approvals.effects import Effect
from tests.claims import lay

SEED = Effect(EffectKind.SCRIPT, "run `seed.py`", ("seed.py",), {"options": []})


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = tmp_path / "our shop"
    lay(root, {"seed.py": "import toolbox\nprint(f'seeded {toolbox.NUMBER} rows')\n"})
    command = [sys.executable, "-m", "venv", "--without-pip", str(root / ".venv")]
    subprocess.run(command, check=True)
    lay(root, {"requirements.txt": "toolbox\n"})
    return root


def test_7_5_the_script_runs_with_the_workspaces_python(shop: Path) -> None:
    runner = TargetRunner("embedded", shop, {})
    try:
        (remark,) = runner.remarks([SEED])
        assert remark.startswith("`seed.py` is run with .venv/bin/python (Python 3.")
        lacking = runner.run(SEED, shop)
        assert not lacking.ok
        assert "toolbox is not installed for .venv/bin/python" in lacking.detail
        (site,) = (shop / ".venv/lib").glob("python*/site-packages")
        (site / "toolbox.py").write_text("NUMBER = 7\n", encoding="utf-8")
        done = runner.run(SEED, shop)
        assert (done.ok, done.detail) == (True, "seeded 7 rows"), done
        for python in (shop / ".venv/bin").glob("python*"):
            python.unlink()
        (shop / ".venv/bin/python").symlink_to("/nonexistent/python")
        (remark,) = runner.remarks([SEED])
        assert "is broken" in remark
        broken = runner.run(SEED, shop)
        assert (broken.ok, "is broken" in broken.detail) == (False, True)
    finally:
        runner.close()


def test_without_an_environment_nothing_is_remarked(tmp_path: Path) -> None:
    lay(tmp_path, {"seed.py": "print('done')\n"})
    assert TargetRunner("embedded", tmp_path, {}).remarks([SEED]) == ()
