"""Licences of what is installed, the public API as it was, and code that is left in comments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrate_agents.checks.project.licences import choices
from tests.claims import BINDER, check_of, committed, judge, lay


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("All dependencies are MIT or Apache licensed", "packages.licences"),
        ("Every runtime dependency has an MIT, BSD or Apache license", "packages.licences"),
        ("No GPL-licensed dependencies are used", "packages.not-copyleft"),
        ("No dependency has a GPL license", "packages.not-copyleft"),
        ("The public API of `shop` is unchanged", "code.same-api"),
        ("There are no changes to the public API of `src/`", "code.same-api"),
        ("No breaking changes to the public API of `shop/`", "code.compatible-api"),
        ("No public functions are removed", "code.compatible-api"),
        ("The signature of `total` is unchanged", "code.same-signature"),
        ("No commented-out code in `src/`", "text.no-commented-code"),
        ("There is no commented out code left in the changed files", "text.no-commented-code"),
        ("No references to `a` in `src/routes`", "text.no-references"),
        ("We no longer depend on `moment`", "packages.not-asked-for"),
        ("The old `legacy.py` file is deleted", "files.removed"),
        ("No hardcoded API keys", "secrets.repository"),
        ("A new unit test `test_login` exists", "tests.named"),
        ("`src/app.ts` exports a `createApp` function", "typescript.names"),
        ("Code passes `ruff check` and `mypy`", "command.passes"),
        ("Coverage does not drop below 85%", "tests.coverage"),
    ],
)
def test_these_wordings_are_taken(statement: str, name: str) -> None:
    assert check_of(statement) == name


@pytest.mark.parametrize(
    "statement",
    [
        "All dependencies are not GPL licensed",
        "All dependencies are MIT licensed except `left-pad`",
        "Most dependencies are MIT licensed",
        "No GPL dependency without approval",
        "The public API of `shop` is not unchanged",
        "The private API is unchanged",
        "No commented-out code except in tests",
        "No dead code",
        "Coverage does not drop",
        "Dependencies are not pinned",
        "`GET /users` does not require authentication",
        "TypeScript strict mode is not on",
    ],
)
def test_what_says_more_or_less_is_not_taken(statement: str) -> None:
    assert any(binding.check is None for binding in BINDER.bind(statement))


@pytest.mark.parametrize(
    ("expression", "families"),
    [
        ("MIT", [{"MIT"}]),
        ("MIT OR Apache-2.0", [{"MIT"}, {"Apache"}]),
        ("(MIT OR Apache-2.0) AND BSD-3-Clause", [{"MIT", "BSD"}, {"Apache", "BSD"}]),
        ("BSD-2-Clause AND (ISC OR GPL-2.0-only)", [{"BSD", "ISC"}, {"BSD", "GPL"}]),
        ("GPL-2.0-only WITH Classpath-exception-2.0", [{"GPL"}]),
        ("GNU Lesser General Public License v3 (LGPLv3)", [{"LGPL"}]),
        ("GNU General Public License v3 or later (GPLv3+)", [{"GPL"}]),
        ("MIT/X11", [{"MIT"}, {"?"}]),
        ("Apache Software License", [{"Apache"}]),
        ("BSD License and GPL", [{"?"}]),
        ("Submitted under MIT", [{"?"}]),
        ("SEE LICENSE IN eula.txt", [{"?"}]),
    ],
)
def test_an_expression_offers_choices(expression: str, families: list[set[str]]) -> None:
    assert choices(expression) == [frozenset(f) for f in families]


PACKAGE = {"dependencies": {"react": "^19"}, "devDependencies": {"jest": "^29"}}


def node_package(root: Path, place: str, licence: object, **more: object) -> None:
    text = json.dumps({"license": licence, **more})
    lay(root, {f"{place}/package.json": text})


def test_licences_of_node_packages_are_those_that_are_installed(tmp_path: Path) -> None:
    lay(tmp_path, {"package.json": json.dumps(PACKAGE)})
    statement = "All dependencies are MIT or Apache licensed"
    lacks = judge(tmp_path, statement)
    assert (lacks.verdict, "is not installed" in lacks.detail) == ("unproven", True)
    node_package(tmp_path, "node_modules/react", "MIT", dependencies={"loose": "1"})
    node_package(tmp_path, "node_modules/jest", "(MIT OR GPL-2.0)")
    assert judge(tmp_path, statement).verdict == "unproven"
    node_package(tmp_path, "node_modules/react/node_modules/loose", "Apache-2.0")
    assert judge(tmp_path, statement).verdict == "proven"
    assert judge(tmp_path, "No GPL dependency").verdict == "proven"
    node_package(tmp_path, "node_modules/jest", "GPL-3.0-only")
    result = judge(tmp_path, "No GPL dependency")
    assert (result.verdict, "jest (GPL-3.0-only)" in result.detail) == ("failed", True)
    assert judge(tmp_path, statement).verdict == "failed"
    assert judge(tmp_path, "No GPL runtime dependency").verdict == "proven"
    assert judge(tmp_path, "No AGPL dependency").verdict == "proven"
    node_package(tmp_path, "node_modules/jest", "LGPL-2.1")
    assert judge(tmp_path, "No copyleft dependencies").verdict == "failed"
    assert judge(tmp_path, "No GPL dependency").verdict == "unproven"
    node_package(tmp_path, "node_modules/jest", "")
    for said in (statement, "No GPL dependency"):
        assert judge(tmp_path, said).verdict == "unproven"


def test_a_lock_file_gives_licences_too(tmp_path: Path) -> None:
    package = {"dependencies": {"react": "^19"}}
    lock = {"packages": {"": package, "node_modules/react": {"license": "MIT"}}}
    lay(tmp_path, {"package.json": json.dumps(package), "package-lock.json": json.dumps(lock)})
    assert judge(tmp_path, "All dependencies are MIT licensed").verdict == "proven"
    lock["packages"]["node_modules/react"]["license"] = "ISC"
    lay(tmp_path, {"package-lock.json": json.dumps(lock)})
    assert judge(tmp_path, "All dependencies are MIT licensed").verdict == "failed"


def python_package(root: Path, name: str, *headers: str) -> None:
    info = f".venv/lib/python3.12/site-packages/{name}-1.0.dist-info/METADATA"
    lay(root, {info: "\n".join([f"Name: {name}", *headers, "", "Text", "License: GPL"])})


def test_licences_of_python_packages_are_those_of_the_environment(tmp_path: Path) -> None:
    import sys

    place = tmp_path / ".venv" / "bin"
    lay(tmp_path, {".venv/pyvenv.cfg": f"home = {Path(sys.executable).resolve().parent}\n"})
    place.mkdir()
    (place / "python").symlink_to(Path(sys.executable).resolve())
    lay(tmp_path, {"requirements.txt": "flask>=3\n"})
    statement = "All dependencies are MIT or BSD licensed"
    assert judge(tmp_path, statement).verdict == "unproven"
    windows = 'Requires-Dist: colorama; sys_platform == "win32"'
    python_package(tmp_path, "flask", "License-Expression: BSD-3-Clause", "Requires-Dist: Jinja2")
    assert judge(tmp_path, statement).verdict == "unproven"
    bsd = "Classifier: License :: OSI Approved :: BSD License"
    python_package(tmp_path, "jinja2", bsd, windows)
    assert judge(tmp_path, statement).verdict == "proven"
    python_package(tmp_path, "jinja2", "License: GPLv3")
    assert judge(tmp_path, "No GPL dependencies").verdict == "failed"
    # its two sources contradict each other
    python_package(tmp_path, "jinja2", bsd, "License: GPLv3")
    assert judge(tmp_path, "No GPL dependencies").verdict == "unproven"


CART = '''from decimal import Decimal
RATE = Decimal("0.2")
def total(items: list[int], rate: Decimal = RATE) -> Decimal:
    """Adds up."""
    return sum(items) * rate
def _round(x): return x
class Basket:
    def add(self, item: int) -> None:
        self.items = [item]
    def _check(self): pass
'''
INIT = "from shop.cart import Basket, total\nfrom ._inner import helper as help_me\n"
INNER = "def helper(a): return a\ndef other(): pass\n"
SHOP = {"shop/cart.py": CART, "shop/__init__.py": INIT, "shop/_inner.py": INNER}


@pytest.mark.parametrize(
    ("file", "old", "new", "verdict"),
    [
        ("shop/cart.py", "return sum(items) * rate", "return rate * sum(items)", "proven"),
        ("shop/cart.py", '"""Adds up."""', '"""Sums."""', "proven"),
        ("shop/cart.py", "def _round(x): return x", "", "proven"),
        ("shop/cart.py", "def _check(self): pass", "def _test(self): pass", "proven"),
        ("shop/cart.py", "from decimal", "import re\nfrom decimal", "proven"),
        ("shop/_inner.py", "def other(): pass", "", "proven"),
        ("shop/_inner.py", "def helper(a)", "def helper(a, b=1)", "failed"),
        ("shop/cart.py", "items: list[int]", "items: tuple[int]", "failed"),
        ("shop/cart.py", "Decimal = RATE", "Decimal = 0", "failed"),
        ("shop/cart.py", "def add(", "def append(", "failed"),
        ("shop/cart.py", "class Basket:", "class Basket(dict):", "failed"),
        ("shop/cart.py", "class Basket:", "def news(): pass\nclass Basket:", "failed"),
        ("shop/cart.py", '"0.2"', '"0.3"', "unproven"),
        ("shop/__init__.py", "Basket, total", "Basket", "failed"),
        ("shop/__init__.py", "import Basket, total", "import *", "failed"),
        ("shop/cart.py", "self.items = [item]\n", "self.items = [item]\ndel Basket\n", "failed"),
    ],
)
def test_the_public_api_is_what_others_can_see(
    tmp_path: Path, file: str, old: str, new: str, verdict: str
) -> None:
    committed(tmp_path, {**SHOP, "tests/test_cart.py": "def test_a(): pass\n"})
    assert judge(tmp_path, "The public API of `shop` is unchanged").verdict == "unproven"
    assert old in SHOP[file]
    changed = SHOP[file].replace(old, new)
    if new.endswith("del Basket\n"):
        changed = SHOP[file] + "del Basket\n"
    lay(tmp_path, {file: changed, "tests/test_cart.py": "def test_b(): pass\n"})
    for subject in ("`shop`", "`shop/`"):
        result = judge(tmp_path, f"The public API of {subject} is unchanged")
        assert result.verdict == verdict, result.detail


def test_what_is_added_breaks_nothing(tmp_path: Path) -> None:
    committed(tmp_path, SHOP)
    lay(tmp_path, {"shop/cart.py": f"{CART}def news(): pass\n"})
    compatible = "No breaking changes to the public API of `shop/`"
    assert judge(tmp_path, compatible).verdict == "proven"
    assert judge(tmp_path, "The signature of `total` is unchanged").verdict == "proven"
    lay(tmp_path, {"shop/cart.py": CART.replace("rate: Decimal", "*, rate: Decimal")})
    assert judge(tmp_path, compatible).verdict == "unproven"
    assert judge(tmp_path, "The signature of `total` is unchanged").verdict == "failed"
    (tmp_path / "shop/cart.py").unlink()
    assert judge(tmp_path, compatible).verdict == "failed"


TS = """export function total(items: number[], rate = 1): number { return items.length * rate }
export interface User { id: string }
export const LIMIT = 3;
const hidden = (a: number) => a;
"""


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ("items.length * rate", "rate * items.length", "proven"),
        ("hidden = (a: number)", "hidden = (b: string)", "proven"),
        ("rate = 1", "rate = 2", "failed"),
        ("export function total", "function total", "failed"),
        ("id: string", "id: number", "unproven"),
        ("LIMIT = 3", "LIMIT = 4", "unproven"),
    ],
)
def test_typescript_has_an_api_too(tmp_path: Path, old: str, new: str, verdict: str) -> None:
    committed(tmp_path, {"src/cart.ts": TS})
    lay(tmp_path, {"src/cart.ts": TS.replace(old, new)})
    result = judge(tmp_path, "The public API of `src/cart.ts` is unchanged")
    assert result.verdict == verdict, result.detail


@pytest.mark.parametrize(
    ("file", "text", "verdict"),
    [
        ("a.py", "# x = compute(1)\n", "failed"),
        ("a.py", "def f():\n    return 1\n    # return old(1)\n", "failed"),
        ("a.py", "# for row in rows:\n#     print(row)\n", "failed"),
        ("a.py", "# if debug:\nx = 1\n", "failed"),
        ("a.py", "# import os\n", "failed"),
        ("a.py", '# @app.route("/old")\n# def old():\n#     return "x"\n', "failed"),
        ("a.py", "# The old way:\n# total = price * count\n# is too slow.\n", "failed"),
        ("a.py", "# Note: prices are net\nx = 1  # y = 2\n# TODO(me): call f()\n", "proven"),
        ("a.py", "# yes, no\n# done\n# see https://example.org/a?b=c\n# noqa: E501\n", "proven"),
        ("a.py", '"""Use::\n\n    x = f()\n"""\n# a is not b, so we wait\n', "proven"),
        ("a.py", "# if it rains: stay\n# raise it with them\n", "proven"),
        ("a.py", "# return early\n", "unproven"),
        ("a.py", "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n# type: ignore\n", "proven"),
        ("a.ts", "// const x = 1;\n", "failed"),
        ("a.ts", "/*\n * foo.bar(1);\n */\n", "failed"),
        ("a.ts", "/* if (a) {\n  b();\n} */\n", "failed"),
        ("a.tsx", "const a = (\n  <p>\n    {/* <Old id={1} /> */}\n  </p>\n);\n", "failed"),
        ("a.ts", "// We wait; then we go on.\n// eslint-disable-next-line no-x\n", "proven"),
        ("a.ts", "/**\n * @example\n * foo();\n */\n", "proven"),
        ("a.sql", "-- DROP TABLE old;\nSELECT 1;\n", "failed"),
        ("a.go", "package a\n// fmt.Println(x)\n// x := 1\n", "unproven"),
        ("a.css", "/* .old { color: red } */\n", "unproven"),
    ],
)
def test_code_in_comments_is_told_from_prose(
    tmp_path: Path, file: str, text: str, verdict: str
) -> None:
    lay(tmp_path, {f"src/{file}": text})
    result = judge(tmp_path, "No commented-out code in `src/`")
    assert result.verdict == verdict, result.detail


@pytest.mark.parametrize(
    ("files", "verdict"),
    [
        ({"requirements.txt": "flask==3.0.1\nrequests==2.32\n"}, "proven"),
        ({"requirements.txt": "flask==3.0.1\nrequests>=2.32\n"}, "failed"),
        ({"requirements.txt": "flask==3.*\n"}, "failed"),
        ({"package.json": '{"dependencies": {"react": "19.1.0"}}'}, "proven"),
        ({"package.json": '{"dependencies": {"react": "^19.1.0"}}'}, "failed"),
        ({"package.json": '{"dependencies": {"shared": "file:../shared"}}'}, "unproven"),
        ({"a.py": ""}, "unproven"),
    ],
)
def test_pinned_is_one_exact_version(tmp_path: Path, files: dict[str, str], verdict: str) -> None:
    lay(tmp_path, files)
    assert judge(tmp_path, "All dependencies are pinned").verdict == verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"compilerOptions": {"strict": true}}', "proven"),
        ('{"compilerOptions": {"strict": false}}', "failed"),
        ('{"strict": true, "compilerOptions": {}}', "failed"),
        ('{"extends": "./base.json"}', "unproven"),
    ],
)
def test_strict_mode_is_that_of_the_compiler(tmp_path: Path, text: str, verdict: str) -> None:
    lay(tmp_path, {"tsconfig.json": text})
    assert judge(tmp_path, "TypeScript strict mode is on").verdict == verdict


@pytest.mark.parametrize(
    ("file", "text", "verdict"),
    [
        ("a.py", "import os\nURL = os.environ['DATABASE_URL']\n", "proven"),
        ("a.ts", "const url = process.env.DATABASE_URL;\n", "proven"),
        ("a.py", "# os.environ['DATABASE_URL']\nURL = ''\n", "unproven"),
        ("test_a.py", "import os\nURL = os.environ['DATABASE_URL']\n", "unproven"),
    ],
)
def test_code_reads_a_variable_by_its_name(
    tmp_path: Path, file: str, text: str, verdict: str
) -> None:
    lay(tmp_path, {file: text, "b.py": ""})
    result = judge(tmp_path, "`DATABASE_URL` is read from the environment")
    assert result.verdict == verdict, result.detail
