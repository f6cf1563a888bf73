"""What a Python module exports, and data sets against their schemas: by importing and running."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.claims import check_of, judge, lay

SCHEMAS = """\
import pandera.pandas as pa
REGISTRY = {"price": pa.DataFrameSchema({"amount": pa.Column(int, pa.Check.ge(0))})}
"""
DATA = """\
import pandas as pd
def sample():
    return {"price": pd.DataFrame({"amount": [1, 2]})}
"""
PASSES = "All data sets of `shop/data.py` pass their Pandera schemas in `shop/schemas.py`"


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        (PASSES, "data.schemas"),
        ("Every table of `a/b.py` passes its schema in `a/c.py`", "data.schemas"),
        ("The generated data of `a/b.py` passes validation against `a/c.py`", "data.schemas"),
        ("`a/__init__.py` exports `Basket` and `Order`", "python.exports"),
        ("Basket, Order and total are exported by `a/b.py`", "python.exports"),
        ("`a/b.py` exports the class `Basket`", "python.exports"),
    ],
)
def test_these_wordings_are_taken(statement: str, name: str) -> None:
    assert check_of(statement) == name


# -- exports


def test_what_can_be_imported_is_exported_and_what_all_leaves_out_is_not(tmp_path: Path) -> None:
    lay(tmp_path, {"shop/__init__.py": "from shop.b import A, B\n__all__ = ['A']\n"})
    lay(tmp_path, {"shop/b.py": "A = B = 1\n"})
    assert judge(tmp_path, "`shop/__init__.py` exports `A`").verdict == "proven"
    result = judge(tmp_path, "`shop/__init__.py` exports `A`, `B` and `C`")
    assert result.verdict == "failed"
    assert result.detail.startswith("shop/__init__.py does not export B, C, imported with ")
    assert judge(tmp_path, "`shop/b.py` exports `A` and `B`").verdict == "proven"


def test_a_module_that_cannot_be_imported_exports_nothing(tmp_path: Path) -> None:
    lay(tmp_path, {"a.py": "raise RuntimeError('not today')\n"})
    result = judge(tmp_path, "`a.py` exports `A`")
    assert result.verdict == "failed"
    assert "not today" in result.detail
    assert judge(tmp_path, "`b.py` exports `A`").detail == "b.py is missing"


# -- data sets


def test_data_that_meet_their_schemas_pass(tmp_path: Path) -> None:
    result = judge(lay(tmp_path, {"shop/data.py": DATA, "shop/schemas.py": SCHEMAS}), PASSES)
    assert (result.verdict, result.evidence["rows"]) == ("proven", {"price": 2})
    assert result.subjects == ("shop/data.py", "shop/schemas.py")


@pytest.mark.parametrize(
    ("data", "verdict", "said"),
    [
        (DATA.replace("[1, 2]", "[1, -2]"), "failed", "price.amount: -2 fails"),
        (DATA.replace("[1, 2]", "[]"), "failed", "price"),
        (DATA.replace('"price"', '"cost"'), "failed", "cost has no schema; price is not generated"),
        (DATA.replace("amount", "sum"), "failed", "column_in_dataframe"),
        (DATA.replace("sample", "other"), "unproven", "no function sample()"),
        ("import nothing_of_the_kind\n", "failed", "nothing_of_the_kind"),
    ],
)
def test_data_that_do_not_are_refuted_with_the_value(
    tmp_path: Path, data: str, verdict: str, said: str
) -> None:
    result = judge(lay(tmp_path, {"shop/data.py": data, "shop/schemas.py": SCHEMAS}), PASSES)
    assert result.verdict == verdict
    assert said in result.detail


def test_a_module_without_schemas_proves_nothing(tmp_path: Path) -> None:
    result = judge(lay(tmp_path, {"shop/data.py": DATA, "shop/schemas.py": "A = {}\n"}), PASSES)
    assert result.verdict == "unproven"


def test_without_pandera_the_extra_is_named(tmp_path: Path) -> None:
    missing = "raise ModuleNotFoundError('No module', name='pandera')\n"
    lay(
        tmp_path, {"shop/data.py": DATA, "shop/schemas.py": SCHEMAS, "pandera/__init__.py": missing}
    )
    result = judge(tmp_path, PASSES)
    assert result.verdict == "unproven"
    assert "orchestrate-tickets[synthetic]" in result.detail
