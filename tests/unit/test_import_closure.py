"""Which files an approval of a script covers."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrate_agents.sandbox.import_closure import closure


def put(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def test_relative_imports_are_followed(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "tools/__init__.py": "",
            "tools/load/__init__.py": "from . import rows\n",
            "tools/load/seed.py": "from .rows import read\nfrom ..shared.keys import KEY\n",
            "tools/load/rows.py": "from ..shared import keys\n",
            "tools/shared/__init__.py": "",
            "tools/shared/keys.py": "KEY = 'id'\n",
            "tools/other.py": "",
        },
    )
    assert closure(tmp_path, "tools/load/seed.py") == (
        "tools/__init__.py",
        "tools/load/__init__.py",
        "tools/load/rows.py",
        "tools/shared/__init__.py",
        "tools/shared/keys.py",
    )


def test_modules_beside_the_script_are_covered(tmp_path: Path) -> None:
    put(tmp_path, {"tools/seed.py": "import helper\n", "tools/helper.py": "import rows\n"})
    put(tmp_path, {"tools/rows.py": "", "other/rows.py": ""})
    assert closure(tmp_path, "tools/seed.py") == ("tools/helper.py", "tools/rows.py")


def test_an_installed_package_inside_the_workspace_is_covered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `pip install -e .` with the sources below another folder."""
    library = {
        "source/shop_library/__init__.py": "",
        "source/shop_library/writer.py": "from .keys import KEY\n",
        "source/shop_library/keys.py": "KEY = 'id'\n",
        "source/shop_library/unused.py": "",
        "source/shop_single.py": "",
    }
    put(tmp_path, library)
    script = "from shop_library.writer import write\nimport shop_single, json\n"
    put(tmp_path, {"scripts/seed.py": script})
    assert closure(tmp_path, "scripts/seed.py") == ()
    monkeypatch.syspath_prepend(tmp_path / "source")
    assert closure(tmp_path, "scripts/seed.py") == (
        "source/shop_library/__init__.py",
        "source/shop_library/keys.py",
        "source/shop_library/writer.py",
        "source/shop_single.py",
    )


def test_installed_packages_elsewhere_are_not_the_workspaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tmp_path / "workspace"
    put(workspace, {"seed.py": "import shop_elsewhere\nimport shop_packaged\n"})
    put(tmp_path, {"library/shop_elsewhere/__init__.py": ""})
    packages = "env/lib/site-packages"
    put(workspace, {f"{packages}/shop_packaged/__init__.py": ""})
    monkeypatch.syspath_prepend(tmp_path / "library")
    monkeypatch.syspath_prepend(workspace / packages)
    assert closure(workspace, "seed.py") == ()


def test_a_seed_script_of_this_repository_covers_the_library_that_it_runs() -> None:
    root = Path(__file__).resolve().parents[2]
    covered = closure(root, "backend/scripts/seed_benchmark_trials.py")
    assert "backend/trials/seeding.py" in covered
    assert "backend/targets/base.py" in covered


def test_a_byte_order_mark_hides_no_import(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("X = 1\n", encoding="utf-8")
    (tmp_path / "script.py").write_text("import helper\n", encoding="utf-8-sig")
    assert closure(tmp_path, "script.py") == ("helper.py",)
