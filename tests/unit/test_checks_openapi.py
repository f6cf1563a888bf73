"""OpenAPI documents: valid, unchanged, and without changes that break clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.claims import BINDER, check_of, committed, judge, lay

SPEC = """\
openapi: 3.0.3
info: {title: Shop, version: 1.0.0}
paths:
  /items:
    get:
      operationId: listItems
      parameters:
        - {name: sort, in: query, schema: {type: string, enum: [price, name]}}
      responses:
        '200':
          description: all
          content:
            application/json:
              schema: {type: array, items: {$ref: '#/components/schemas/Item'}}
    post:
      operationId: addItem
      requestBody:
        content:
          application/json: {schema: {$ref: '#/components/schemas/Item'}}
      responses:
        '201': {description: added}
        default: {description: refused}
  /items/{id}:
    get:
      operationId: getItem
      parameters:
        - {name: id, in: path, required: true, schema: {type: integer}}
      responses:
        '200': {description: one}
        '404': {description: none}
components:
  schemas:
    Item:
      type: object
      required: [name]
      properties:
        name: {type: string}
        price: {type: number}
        parent: {$ref: '#/components/schemas/Item'}
"""
VALID = "`openapi.yaml` is a valid OpenAPI document"
KEPT = "No breaking changes in `openapi.yaml`"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("openapi: 3.0.3", "openapi: 3.0.3", ""),
        ("openapi: 3.0.3", "openapi: '5'", "neither"),
        ("openapi: 3.0.3\n", "", "neither"),
        ("title: Shop, ", "", "info.title"),
        ("paths:", "path:", "path"),
        ("getItem", "addItem", "operationId addItem"),
        ("  /items:\n", "  items:\n", "does not begin with /"),
        ("    post:", "    pots:", "pots is not a method"),
        ("{description: added}", "{}", "201 has no description"),
        ("'404'", "'4o4'", "4o4 is not a status"),
        ("required: true, ", "", "not required: true"),
        ("name: id, in: path", "name: key, in: path", "path parameter id is not declared"),
        ("in: query", "in: body", "is in body"),
        ("price: {type: number}", "price: {type: money}", "no type money"),
        ("parent: {$ref: '#/components/schemas/Item'}", "parent: {$ref: '#/x'}", "leads nowhere"),
        ("info: {", "info: [", "openapi.yaml:"),
    ],
)
def test_a_document_is_valid(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SPEC
    lay(tmp_path, {"openapi.yaml": SPEC.replace(old, new)})
    found = judge(tmp_path, VALID)
    assert (found.verdict, said in found.detail) == ("failed" if said else "proven", True), found


def test_what_cannot_be_judged_is_not_valid(tmp_path: Path) -> None:
    assert judge(tmp_path, "The OpenAPI spec is valid").verdict == "unproven"
    assert judge(tmp_path, VALID).verdict == "failed"
    lay(tmp_path, {"openapi.yaml": SPEC.replace("'#/components/schemas/Item'}}", "'a.yaml'}}")})
    assert judge(tmp_path, VALID).verdict == "unproven"
    lay(tmp_path, {"openapi.yaml": SPEC.replace("3.0.3", "3.2.0")})
    assert judge(tmp_path, VALID).verdict == "unproven"


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ("openapi", "openapi", "proven"),
        ("description: all", "description: everything", "proven"),
        ("        price:", "        size: {type: string}\n        price:", "proven"),
        ("'404': {description: none}", "'404': {description: none}\n        5XX: {description: x}",
         "proven"),
        ("        - {name: sort", "        - {name: page, in: query, "
         "schema: {type: integer}}\n        - {name: sort", "proven"),
        ("[price, name]", "[price, name, age]", "proven"),
        ("[price, name]", "[price]", "failed"),
        ("  /items:\n", "  /things:\n", "failed"),
        ("    post:", "    put:", "failed"),
        ("        '404': {description: none}\n", "", "failed"),
        ("        - {name: sort", "        - {name: page, in: query, "
         "required: true, schema: {type: integer}}\n        - {name: sort", "failed"),
        ("name: sort, in: query", "name: sort, in: query, required: true", "failed"),
        ("price: {type: number}", "price: {type: string}", "failed"),
        ("        price: {type: number}\n", "", "failed"),
        ("required: [name]", "required: [name, price]", "failed"),
        ("schema: {type: integer}", "schema: {type: string}", "failed"),
        ("      requestBody:\n", "      requestBody:\n        required: true\n", "failed"),
        ("price: {type: number}", "price: {type: number, minimum: 3}", "unproven"),
        ("openapi: 3.0.3", "openapi: '9'", "unproven"),
    ],
)  # fmt: skip
def test_what_breaks_clients(tmp_path: Path, old: str, new: str, verdict: str) -> None:
    assert old in SPEC
    committed(tmp_path, {"openapi.yaml": SPEC, "a.py": ""})
    lay(tmp_path, {"openapi.yaml": SPEC.replace(old, new), "a.py": "A = 1\n"})
    found = judge(tmp_path, KEPT)
    assert found.verdict == verdict, found.detail


def test_the_same_document_laid_out_anew_is_unchanged(tmp_path: Path) -> None:
    committed(tmp_path, {"api/openapi.yaml": SPEC, "a.py": ""})
    assert judge(tmp_path, "The OpenAPI spec is unchanged").verdict == "unproven"
    lay(tmp_path, {"api/openapi.yaml": f"# the shop\n{SPEC}"})
    assert judge(tmp_path, "The OpenAPI spec is unchanged").verdict == "proven"
    lay(tmp_path, {"api/openapi.yaml": SPEC.replace("Shop", "Store")})
    assert judge(tmp_path, "The OpenAPI spec is unchanged").verdict == "failed"


@pytest.mark.parametrize(
    "statement",
    [
        "No breaking changes",
        "No breaking API changes",
        "The API is unchanged",
        "The OpenAPI spec is unchanged except for `/items`",
        "The OpenAPI spec is not valid",
        "`openapi.yaml` or `swagger.yaml` is a valid OpenAPI document",
    ],
)
def test_what_says_more_or_less_is_not_taken(statement: str) -> None:
    assert all(binding.check is None for binding in BINDER.bind(statement))


def test_other_statements_keep_their_checks() -> None:
    assert check_of("`openapi.yaml` is valid YAML") == "files.parses"
    assert check_of("The OpenAPI spec is valid") == "openapi.valid"
