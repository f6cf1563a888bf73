"""Functions, classes and parameters that programs declare, or only mention."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrate_agents.checks.code.declared import Module, declarations
from orchestrate_agents.checks.text.tree import Source
from tests.claims import BINDER, judge, lay

PY = '''"""Dates."""
from datetime import date
MAX: int = 3
def parse_date(text: str, *, strict: bool = False) -> date:
    """Read a date."""
    def inner(x): return x
    return date.today()
class Basket(Base):
    """A basket."""
    def total(self, currency="EUR"):
        return 0
class Plain:
    def add(self, item: str) -> None:
        pass
'''
TS = """import { x } from './x';
/** Adds up. */
export function total(items: Item[], currency: 'EUR' | 'USD' = 'EUR'): number { return 0 }
export const useCart = (id: string) => { return id };
const hidden = async function (a: number) {};
// export function ghost() {}
const text = "export function phantom() {}";
export interface User { id: string }
export class Basket extends Base {
  private count = 0;
  add(item: Item): void { if (item) { this.count++ } }
}
export const slow = debounce(total);
export { hidden };
"""
TSX = """type Props = { label: string };
/** A button. */
export default function Button({ label, disabled = false }: Props) {
  return <button disabled={disabled}>Don't {label}</button>;
}
export const Card = (props: Props) => <p>{props.label}</p>;
"""
FILES = {"lib/dates.py": PY, "src/cart.ts": TS, "src/Button.tsx": TSX, "x.go": "func Run() {}\n"}


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("`parse_date` exists in `lib/dates.py`", "proven"),
        ("`parse_date(text: str) -> date` exists in `lib/dates.py`", "unproven"),
        ("`parse_date(text: str, *, strict: bool) -> date` exists in `lib/dates.py`", "proven"),
        ("`parse_date(text: bytes, *, strict: bool) -> date` exists in `lib/dates.py`", "failed"),
        (
            "`parse_date(text: str, strict: bool) -> datetime.date` exists in `lib/dates.py`",
            "proven",
        ),
        ("`parse_date(text, strict) -> str` exists in `lib/dates.py`", "failed"),
        ("`parse_date(strict, text)` exists in `lib/dates.py`", "failed"),
        ("`parse_date(words)` exists in `lib/dates.py`", "failed"),
        ("`parse_time` exists in `lib/dates.py`", "failed"),
        ("`Dates` exists in `lib/dates.py`", "unproven"),
        ("`inner` exists in `lib/dates.py`", "unproven"),
        ("Function `Basket` exists in `lib/dates.py`", "failed"),
        ("Class `Basket` exists in `lib/dates.py`", "proven"),
        ("Constant `MAX` is defined in `lib/dates.py`", "proven"),
        ("Class `Plain` exists", "proven"),
        ("Class `Order` exists", "failed"),
        ("`lib/dates.py` defines `Basket` and `Order`", "failed"),
        ("`lib/date.py` defines `Basket`", "failed"),
        ("`Basket.total` exists in `lib/dates.py`", "proven"),
        ("`Plain` has an `add` method", "proven"),
        ("`Plain` has a `remove` method", "failed"),
        ("Class `Basket` has a method `remove` in `lib/dates.py`", "unproven"),
        ("Function `total` is defined in `src/cart.ts`", "proven"),
        (
            "`total(items: Item[], currency: 'EUR' | 'USD'): number` exists in `src/cart.ts`",
            "proven",
        ),
        ("`total(items: Item[], currency: 'EUR'): number` exists in `src/cart.ts`", "failed"),
        ("There is a `useCart` hook in `src/cart.ts`", "proven"),
        ("Function `hidden` exists in `src/cart.ts`", "proven"),
        ("Function `ghost` exists in `src/cart.ts`", "unproven"),
        ("Function `phantom` exists in `src/cart.ts`", "unproven"),
        ("Interface `User` is defined in `src/cart.ts`", "proven"),
        ("`src/cart.ts` has a class `Basket`", "proven"),
        ("`x.go` has a function `Run`", "unproven"),
        ("`x.go` has a function `Stop`", "failed"),
        ("`parse_date` accepts a `strict` argument", "proven"),
        ("`parse_date` takes an optional `strict` parameter", "proven"),
        ("`parse_date` takes an optional `text` parameter", "failed"),
        ("`parse_date` takes a required `text` parameter", "proven"),
        ("`parse_date` accepts a `zone` argument", "failed"),
        ("`total` accepts a `currency` argument in `src/cart.ts`", "proven"),
        ("`total` accepts a `currency` argument", "unproven"),
        ("`Button` component accepts a `disabled` prop", "proven"),
        ("`Button` component accepts a `size` prop", "failed"),
        ("`Card` component accepts a `size` prop", "unproven"),
        ("`src/Button.tsx` exports `Button` as default", "proven"),
        ("`src/Button.tsx` exports `Card` as default", "failed"),
        ("`src/cart.ts` has a default export", "failed"),
        ("`parse_date` has a docstring", "proven"),
        ("`inner` has a docstring", "unproven"),
        ("`lib/dates.py` has a module docstring", "proven"),
        ("All public functions in `lib/` have docstrings", "failed"),
        ("Every function in `lib/` has a docstring", "failed"),
        ("All public functions in `lib/` have type hints", "failed"),
        ("All public functions and methods in `lib/` have type hints", "failed"),
        ("All public classes in `lib/` have docstrings", "failed"),
        ("All exported functions in `src/cart.ts` have JSDoc comments", "failed"),
        ("All exported functions in `src/Button.tsx` are documented", "failed"),
        ("`parse_date` is annotated to return `date`", "proven"),
    ],
)
def test_what_is_declared_decides(tmp_path: Path, statement: str, verdict: str) -> None:
    result = judge(lay(tmp_path, FILES), statement)
    assert result.verdict == verdict, result.detail


@pytest.mark.parametrize(
    "statement",
    [
        "`total` accepts a `currency` or `rate` argument",
        "All public functions except `x` have docstrings",
        "Most public functions have docstrings",
        "`total` returns `42`",
        "Function `a` or `b` exists in `a.py`",
        "`Basket` has no `total` method",
        "`parse_date` works in `lib/dates.py`",
        "All public functions have tests",
        "Only `Basket` exists in `lib/dates.py`",
        "`total` accepts at most a `currency` argument",
    ],
)
def test_words_that_say_more_do_not_bind(statement: str) -> None:
    assert any(b.check is None for b in BINDER.bind(statement)), BINDER.bind(statement)


@given(st.lists(st.from_regex(r"[a-z]{2,6}", fullmatch=True), min_size=1, max_size=4, unique=True))
def test_every_parameter_of_a_javascript_function_is_read(names: list[str]) -> None:
    typed = ", ".join(f"{n}: Map<string, [a: (b: number) => void]>" for n in names)
    module = declarations(
        Source("a.ts", f"export const f = async ({typed}): Promise<void> => {{}}\n")
    )
    assert isinstance(module, Module)
    (found,) = module.found
    assert [p.name for p in found.parameters] == names
    assert (found.kind, found.returns) == ("function", "Promise<void>")


@pytest.mark.parametrize(
    ("file", "text", "declared"),
    [
        ("a.py", "def total(): pass\ndel total\n", False),
        ("a.py", "if False:\n    def total(): pass\n", False),
        ("a.py", "if not True or 0:\n    def total(): pass\n", False),
        ("a.py", "if True:\n    pass\nelse:\n    def total(): pass\n", False),
        ("a.py", "while 0:\n    def total(): pass\n", False),
        ("a.py", "if 1 > 2:\n    def total(): pass\n", False),
        ("a.py", "raise SystemExit\ndef total(): pass\n", False),
        ("a.py", "import sys\nsys.exit(0)\ndef total(): pass\n", False),
        ("a.py", "if __name__ == '__main__':\n    def total(): pass\n", False),
        ("a.py", "import os\ndef total(): pass\nif os.name:\n    del total\n", False),
        ("a.py", "def total(): pass\ntry:\n    del total\nfinally:\n    pass\n", False),
        ("a.ts", "if (false) {\n  function total() {}\n}\n", False),
        ("a.py", "def total(): pass\ndef f():\n    del total\n", True),
        ("a.py", "del x\ndef total(): pass\n", True),
        ("a.py", "import os\nif os.name == 'nt':\n    def total(): pass\n", True),
        (
            "a.py",
            "try:\n    from b import total\nexcept ImportError:\n    def total(): pass\n",
            True,
        ),
        ("a.py", "def total(): pass\ntotal = cached(total)\n", True),
        ("a.py", "if True:\n    def total(): pass\n", True),
    ],
)
def test_what_never_runs_or_is_deleted_is_not_defined(
    tmp_path: Path, file: str, text: str, declared: bool
) -> None:
    lay(tmp_path, {file: text})
    for statement in (f"`{file}` defines `total`", f"Function `total` is defined in `{file}`"):
        result = judge(tmp_path, statement)
        assert (result.verdict == "proven") is declared, result.detail


def test_a_constant_in_its_place_is_no_function(tmp_path: Path) -> None:
    lay(tmp_path, {"a.py": "def total(): pass\ntotal = None\n"})
    assert judge(tmp_path, "Function `total` is defined in `a.py`").verdict == "failed"
    assert judge(tmp_path, "`a.py` defines `total`").verdict == "proven"


def test_methods_are_deleted_too(tmp_path: Path) -> None:
    basket = "class Basket:\n    def add(self): pass\n    def total(self): pass\n"
    lay(tmp_path, {"a.py": f"{basket}    del total\n"})
    assert judge(tmp_path, "Class `Basket` has a method `add`").verdict == "proven"
    assert judge(tmp_path, "Class `Basket` has a method `total`").verdict != "proven"
    lay(tmp_path, {"a.py": f"{basket}del Basket\n"})
    assert judge(tmp_path, "Class `Basket` has a method `add`").verdict != "proven"
