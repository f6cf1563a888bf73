"""Columns, keys and other objects in plain words, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Services
from orchestrator.gates.loading import load_checks
from tests.integration.test_sql_own_rows import judge

SQL = """
CREATE TYPE order_status AS ENUM ('new', 'done');
CREATE TABLE customers (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text NOT NULL UNIQUE);
CREATE TABLE orders (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  customer_id uuid NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
  status text NOT NULL DEFAULT 'new',
  note varchar(80),
  total numeric(10,2) CHECK (total > 0),
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE jots (word text, created_at timestamptz);
CREATE VIEW open_orders WITH (security_invoker = on) AS SELECT id FROM orders;
DROP INDEX IF EXISTS old_index;
DROP TABLE IF EXISTS carts, public.baskets;
REVOKE ALL ON jots FROM anon;
"""


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("orders table has a `status` column of type text, default 'new'", "proven"),
        ("The `orders` table has a `status` column of type text, default 'old'", "failed"),
        ("The `orders` table has a `status` column of type `uuid`", "failed"),
        ("`orders.status` is of type text", "proven"),
        ("`orders.status` is not null", "proven"),
        ("`orders.note` is not null", "failed"),
        ("`orders.note` is nullable", "proven"),
        ("`orders.status` is nullable", "failed"),
        ("`orders` has a nullable column `note`", "proven"),
        ("Add a nullable `note` column to `orders`", "proven"),
        ("Add a required `note` column to `orders`", "failed"),
        ("Column `price` is added to `orders`", "failed"),
        ("Column `price` is added to `shops`", "unproven"),
        ("`orders.note` is a varchar(80) column", "proven"),
        ("`orders.note` is a varchar(90) column", "failed"),
        ("`orders.created_at` defaults to `now()`", "proven"),
        ("`jots.created_at` defaults to `now()`", "failed"),
        ("`orders.id` is a UUID primary key", "proven"),
        ("`orders.customer_id` is a UUID primary key", "failed"),
        ("The `note` column is removed from `orders`", "failed"),
        ("`orders` no longer has a `price` column", "proven"),
        ("`orders.customer_id` references `customers.id`", "proven"),
        ("`orders.customer_id` references `customers.email`", "failed"),
        ("`orders.customer_id` references `customers` with on delete cascade", "proven"),
        ("`orders.customer_id` references `customers` on delete set null", "failed"),
        ("Foreign key from `orders` to `customers` with on delete cascade", "proven"),
        ("Foreign key from `jots` to `customers`", "failed"),
        ("There is a unique index on `customers.email`", "proven"),
        ("`orders.note` has a unique constraint", "failed"),
        ("`orders.total` has a check constraint", "proven"),
        ("`orders.note` has a check constraint", "failed"),
        ("`id` is the primary key of `orders`", "proven"),
        ("`note` is the primary key of `orders`", "failed"),
        ("All tables have a primary key", "failed"),
        ("All tables have a `created_at` column", "failed"),
        ("Table `carts` no longer exists", "proven"),
        ("The `carts` and `baskets` tables do not exist", "proven"),
        ("The migration drops the table `carts`", "proven"),
        ("Table `orders` is dropped", "failed"),
        ("Table `archive.carts` no longer exists", "unproven"),
        ("Table `old_index` no longer exists", "unproven"),
        ("Table `crates` does not exist", "unproven"),
        ("`jots` must not be readable by anon", "proven"),
        ("`customers` is readable by anon", "proven"),
        ("No table is writable by anon", "failed"),
        ("View `open_orders` exists", "proven"),
        ("View `closed_orders` exists", "failed"),
        ("Enum type `order_status` exists", "proven"),
    ],
)
def test_the_server_decides(
    statement: str, verdict: str, tmp_path: Path, services: Services
) -> None:
    result = judge(tmp_path, SQL, statement, services)
    assert result.verdict == verdict, result.detail


@pytest.mark.parametrize(
    "statement",
    [
        "`orders.status` is a text or uuid column",
        "`orders.status` is usually not null",
        "`orders.status` is not nullable unless imported",
        "No orders table has a `note` column of type text",
        "`orders.total` must be positive",
        "`orders.customer_id` references `customers` or `users`",
        "Some tables have a primary key",
    ],
)
def test_words_that_say_more_do_not_bind(statement: str) -> None:
    bound = Binder(load_checks()).bind(statement)
    assert any(b.check is None for b in bound), bound
