"""Self-contained scripts out of the package's modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrate_agents.codegen import bundle as bundling
from orchestrate_agents.codegen.bundle import BundleError, bundle

MAIN = '''"""Say what is there."""

import sys

from {package}.water import TEXT, boil as heat


def main() -> int:
    from {package}.fire import flames

    print(TEXT.strip(), heat(3), flames(2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package of its own in place of `backend`."""
    name = f"stuff_{tmp_path.name}".replace("-", "_")
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(bundling, "PACKAGE", name)
    return folder


def write(folder: Path, **modules: str) -> None:
    for name, text in modules.items():
        source = text.replace("{package}", folder.name)
        (folder / f"{name}.py").write_text(source, encoding="utf-8")


FIRE = '''"""Fire."""
from __future__ import annotations

import math


#: how hot
HEAT = 10


def flames(n: int) -> int:
    return math.floor(n * HEAT)


def never_called() -> None:
    raise AssertionError
'''
WATER = '''"""Water."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from {package}.fire import flames

if TYPE_CHECKING:
    from {package}.fire import HEAT

FILE = Path(__file__).with_name("note.txt")
TEXT = FILE.read_text(encoding="utf-8")


def boil(n: int) -> int:
    return flames(n) + 1
'''


def run_alone(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script isolated, in another folder, with nothing of this project on the path."""
    script = folder / "alone" / "script.py"
    script.parent.mkdir()
    script.write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-I", str(script)],
        cwd=script.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_script_runs_without_the_package(package: Path, tmp_path: Path) -> None:
    write(package, fire=FIRE, water=WATER)
    (package / "note.txt").write_text('a "quoted" \\ note\n', encoding="utf-8")
    text = bundle([], MAIN.replace("{package}", package.name))
    done = run_alone(text, tmp_path)
    assert done.stdout == 'a "quoted" \\ note 31 20\n', done.stderr
    assert package.name not in text


def test_what_the_script_never_reaches_is_left_out(package: Path) -> None:
    write(package, fire=FIRE, water=WATER)
    (package / "note.txt").write_text("note\n", encoding="utf-8")
    text = bundle([], MAIN.replace("{package}", package.name))
    assert "never_called" not in text
    assert "#: how hot\nHEAT = 10" in text
    assert text.index("def flames") < text.index("def boil"), "dependencies come first"


def test_imports_are_merged_at_the_top(package: Path) -> None:
    write(package, fire=FIRE, water=WATER)
    (package / "note.txt").write_text("note\n", encoding="utf-8")
    text = bundle([], MAIN.replace("{package}", package.name))
    assert text.startswith('"""Say what is there."""\n\nfrom __future__ import annotations\n')
    assert text.count("from __future__") == 1
    assert text.count("import math") == 1


def test_two_things_of_one_name_are_refused(package: Path) -> None:
    write(package, fire=FIRE, water="from {package}.fire import flames\nHEAT = 11\nTEXT = ''\n")
    with pytest.raises(BundleError, match="'HEAT' means one thing in"):
        bundle([], f"from {package.name}.water import TEXT, HEAT, flames\nprint(HEAT)\n")


def test_one_name_for_two_imports_is_refused(package: Path) -> None:
    write(package, fire="import json\nX = json\n", water="import tomllib as json\nY = json\n")
    source = f"from {package.name}.fire import X\nfrom {package.name}.water import Y\nprint(X, Y)\n"
    with pytest.raises(BundleError, match="'json' means"):
        bundle([], source)


def test_a_redefined_built_in_is_refused(package: Path) -> None:
    write(package, fire="def open(path: str) -> str:\n    return path\n")
    with pytest.raises(BundleError, match="built-in 'open'"):
        bundle([], f"from {package.name}.fire import open\nprint(open('x'))\n")


@pytest.mark.parametrize(
    "form", ["import {p}.fire", "from {p} import fire", "from {p}.fire import *"]
)
def test_imports_of_whole_modules_are_refused(package: Path, form: str) -> None:
    write(package, fire=FIRE)
    with pytest.raises(BundleError, match="as a whole"):
        bundle([], form.format(p=package.name) + "\n")


def test_a_module_of_a_sub_package_is_no_name_to_import(package: Path) -> None:
    (package / "hearth").mkdir()
    (package / "hearth/__init__.py").write_text("", encoding="utf-8")
    (package / "hearth/fire.py").write_text(FIRE, encoding="utf-8")
    with pytest.raises(BundleError, match="as a whole"):
        bundle([], f"from {package.name}.hearth import fire\n")


def test_a_missing_module_is_named(package: Path) -> None:
    with pytest.raises(BundleError, match=rf"no module {package.name}\.smoke"):
        bundle([f"{package.name}.smoke"], "print(1)\n")


def test_the_products_own_seeder_runs_alone(tmp_path: Path) -> None:
    main = """from pathlib import Path
import sys
from orchestrate_backend.seeding import CsvSeed, run_seed
SEED = CsvSeed("t", "x.csv", {"a": "text"}, ("a",), ("a",))
if __name__ == "__main__":
    sys.exit(run_seed(SEED, Path(__file__).resolve().parent / "b" / "c" / "d"))
"""
    done = run_alone(bundle([], main), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "x.csv is not there yet" in done.stdout


def test_no_two_modules_of_the_library_define_one_name() -> None:
    """A rendered script holds any of them as one file, where a second definition would win."""
    library = Path(__file__).parents[2] / "backend"
    owners: dict[str, str] = {}
    for file in sorted([*library.glob("*.py"), *library.glob("t*/*.py")]):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else [node]
            for name in (getattr(t, "name", getattr(t, "id", "")) for t in targets):
                if name and name != "__all__":
                    owner = owners.setdefault(name, file.name)
                    assert owner == file.name, f"{name} is in {owner} and in {file}"
