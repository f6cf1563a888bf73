"""The wheel next to packages and folders that are called `agents` and `backend` too."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOW = """
## STAGE 1: SOOP — Schema
Write `migrations/001_notes.sql` with:

```sql
create table public.notes (id bigint primary key, body text not null);
alter table public.notes enable row level security;
```

**Done when:** `migrations/001_notes.sql` exists and applies cleanly.
"""
TICKET = """---
id: WO-1
title: Notes
status: 00_INBOX
owner: SOOP
pipeline_workflow: workflows/notes.md
---
# Notes
"""


def run(*words: str | Path, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(w) for w in words], cwd=cwd, env=env, capture_output=True, text=True, timeout=150
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # the build writes into its source
    listed = run("git", "ls-files", "-z", cwd=ROOT, env=dict(os.environ))
    for name in filter(None, listed.stdout.split("\0")):
        if name.startswith(("orchestrator/", "agents/", "backend/", "docs/")) or "/" not in name:
            file = source / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_file():
                file.write_bytes((ROOT / name).read_bytes())
    done = run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, source,
        cwd=folder, env=dict(os.environ),
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"no wheel can be built here: {done.stderr[-300:]}")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and openai-agents, whose import name is `agents`."""
    folder = tmp_path_factory.mktemp("venv")
    env = dict(os.environ)
    assert run(sys.executable, "-m", "venv", folder, cwd=folder, env=env).returncode == 0
    python = folder / "bin" / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "--no-deps")
    installed = run(*pip, wheel, cwd=folder, env=env)
    assert installed.returncode == 0, installed.stderr
    if run(*pip, "openai-agents", cwd=folder, env=env).returncode:
        pytest.skip("openai-agents cannot be installed here")
    # the dependencies, without the editable install among them: nested .pth files are not read
    site = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder, env=env
    ).stdout.strip()
    (Path(site) / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", "utf-8")
    return python


def test_9_the_wheel_installs_only_names_that_begin_with_orchestrat(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops
    assert all(top.startswith("orchestrat") for top in tops), tops
    assert any(name.endswith(".j2") for name in names)
    assert "orchestrate_backend/targets/supabase_setup.sql" in names
    assert "orchestrate_agents/tools/packages.txt" in names
    assert not any("benchmark_trials.py" in name for name in names)


def test_the_wheel_brings_the_pages_that_its_messages_name(python: Path, tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    listed = run(python, "-m", "orchestrator", "docs", "--json", cwd=tmp_path, env=env)
    assert listed.returncode == 0, listed.stderr
    pages = {page["page"]: Path(page["path"]) for page in json.loads(listed.stdout)}
    wanted = {p.relative_to(ROOT / "docs").with_suffix("") for p in (ROOT / "docs").rglob("*.md")}
    assert set(pages) == {page.as_posix() for page in wanted}
    # of the package, not of this checkout
    assert all(str(path).startswith(str(python.parents[1])) for path in pages.values())
    (tmp_path / "orchestrate.toml").write_text('[git]\ncommit = "maybe"\n', encoding="utf-8")
    refused = run(python, "-m", "orchestrator", "list", cwd=tmp_path, env=env)
    (hint,) = re.findall(r"hint: \S*orchestrate docs (\w+)", refused.stderr)
    assert hint in pages
    shown = run(python, "-m", "orchestrator", "docs", hint, cwd=tmp_path, env=env)
    assert shown.stdout.rstrip("\n") == pages[hint].read_text(encoding="utf-8").rstrip("\n")


EXTRAS = "numpy|pandas|scipy|statsmodels|pandera|matplotlib|fastapi|uvicorn"


def test_9_the_core_needs_no_data_science_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode("utf-8").splitlines()
    needed = [
        line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert needed
    assert not [line for line in needed if re.match(rf"Requires-Dist: ({EXTRAS})\b", line)]


def test_9_every_module_of_the_product_is_imported_without_the_extras() -> None:
    code = f"""
import importlib, pkgutil, re, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if re.fullmatch(r"({EXTRAS})(\\..*)?", name):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
for package in ("orchestrator", "orchestrate_agents", "orchestrate_backend"):
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, package + "."):
        if module.name.startswith(("orchestrator.web.", "orchestrator.tui.")):
            # rooms of an extra each, entered by one command that names it
            continue
        if not module.name.endswith(("__main__", ".harness")) and ".scripts" not in module.name:
            importlib.import_module(module.name)
            print(module.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) > 150


def test_9_other_packages_called_agents_and_backend_are_left_alone(
    python: Path, tmp_path: Path
) -> None:
    for package in ("agents", "backend"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(
            "raise SystemExit('the workspace took over')\n", encoding="utf-8"
        )
    board = tmp_path / "_WORK_ORDERS" / "00_INBOX"
    board.mkdir(parents=True)
    (board / "WO-1_Notes.md").write_text(TICKET, encoding="utf-8")
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "notes.md").write_text(WORKFLOW, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": "."}
    code = "import importlib.util as u; print(u.find_spec('agents').origin)"
    found = run(python, "-P", "-c", code, cwd=tmp_path.parent, env={**env, "PYTHONPATH": ""})
    assert "site-packages/agents/__init__.py" in found.stdout

    done = run(python, "-m", "orchestrator", "run", "WO-1", cwd=tmp_path, env=env)
    assert "the workspace took over" not in done.stdout + done.stderr
    assert done.returncode == 10, done.stdout + done.stderr
    (ticket,) = (tmp_path / "_WORK_ORDERS").glob("05_USER_REVIEW/WO-1_*.md")
    assert "applies cleanly" in ticket.read_text(encoding="utf-8")
    receipts = run(python, "-m", "orchestrator", "receipts", "WO-1", cwd=tmp_path, env=env)
    assert "applies cleanly" in receipts.stdout
    assert "✓" in receipts.stdout or "proven" in receipts.stdout
