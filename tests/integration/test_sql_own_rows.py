"""Own-row policies are probed with rows of the user who asks; indexes are found by table.column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrate_agents.sql.access_matrix import Access
from orchestrate_agents.sql.prove import Proof, prove
from orchestrator.domain.workflow import Block, Deliverable, Stage, Workflow
from orchestrator.gates.binding import Binder
from orchestrator.gates.checks import Context, Result, Services
from orchestrator.gates.loading import load_checks

CUSTOMERS = "CREATE TABLE customers (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text);"
ORDERS = (
    "CREATE TABLE orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "
    "customer_id uuid NOT NULL REFERENCES customers(id), total int);\n"
)
NOTES = "CREATE TABLE notes (id serial PRIMARY KEY, {column}, title text);\n"
PATH = "sql/002_orders.sql"
BINDER = Binder([c for c in load_checks() if c.name.startswith("sql.")])


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services() as made:
        yield made


def own(table: str, condition: str, verb: str = "SELECT") -> str:
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\n"
        f"CREATE POLICY own ON {table} FOR {verb} TO authenticated USING ({condition});\n"
    )


def access(proof: Proof, table: str, verb: str = "SELECT") -> Access:
    assert proof.first is None, proof.first
    cell = proof.cell("authenticated", f"public.{table}", verb)
    assert cell is not None
    return cell.access


@pytest.mark.parametrize(
    ("table", "sql"),
    [
        ("orders", ORDERS + own("orders", "customer_id = auth.uid()")),
        ("orders", ORDERS + own("orders", "(SELECT auth.uid()) = customer_id", "ALL")),
        ("orders", ORDERS + own("orders", "auth.uid() IN (customer_id)")),
        ("orders", ORDERS + own("orders", "customer_id IN (SELECT auth.uid())")),
        (
            "carts",
            "CREATE TABLE carts (id serial PRIMARY KEY, customer_id uuid UNIQUE NOT NULL "
            "REFERENCES customers(id));\n" + own("carts", "customer_id = auth.uid()"),
        ),
        (
            "items",
            ORDERS
            + own("orders", "customer_id = auth.uid()")
            + "CREATE TABLE items (id serial PRIMARY KEY, order_id uuid REFERENCES orders(id));\n"
            + own(
                "items",
                "EXISTS (SELECT FROM orders o WHERE o.id = items.order_id"
                " AND o.customer_id = auth.uid())",
            ),
        ),
        (
            "people",
            "CREATE TABLE people (id uuid PRIMARY KEY DEFAULT gen_random_uuid());\n"
            + own("people", "id = auth.uid()"),
        ),
        (
            "notes",
            NOTES.format(column="owner uuid DEFAULT gen_random_uuid()")
            + own("notes", "owner = auth.uid()"),
        ),
        ("notes", NOTES.format(column="owner text") + own("notes", "owner = auth.uid()::text")),
        (
            "notes",
            NOTES.format(column="owner text DEFAULT 'x'")
            + own("notes", "owner = (auth.jwt() ->> 'sub')"),
        ),
        (
            "notes",
            NOTES.format(column="mail text NOT NULL")
            + own("notes", "mail = (auth.jwt() ->> 'email')"),
        ),
        (
            "notes",
            NOTES.format(column="readers uuid[] NOT NULL DEFAULT '{}'")
            + own("notes", "auth.uid() = ANY (readers)"),
        ),
    ],
)
def test_the_row_of_the_user_who_asks_is_planted(table: str, sql: str, services: Services) -> None:
    proof = prove(sql, services, base={"001": CUSTOMERS})
    assert access(proof, table) is Access.OWN


@pytest.mark.parametrize(
    ("column", "condition", "said"),
    [
        ("owner bigint", "owner::text = auth.uid()::text", "no row of the asking user"),
        ("org int NOT NULL", "belongs_to_me(org)", "policy own asks belongs_to_me()"),
    ],
)
def test_where_none_can_be_planted_that_is_told_and_is_no_refusal(
    column: str, condition: str, said: str, services: Services, tmp_path: Path
) -> None:
    function = (
        "CREATE FUNCTION belongs_to_me(org int) RETURNS boolean LANGUAGE sql STABLE "
        "AS $$ SELECT false $$;\n"
    )
    sql = function + NOTES.format(column=column) + own("notes", condition)
    assert access(prove(sql, services), "notes") is Access.UNKNOWN
    for statement in (
        "`notes` can be read by authenticated users",
        "authenticated users cannot read `notes`",
    ):
        result = judge(tmp_path, sql, statement, services)
        assert result.verdict == "unproven"
        assert said in result.detail


def test_a_policy_that_opens_nothing_stays_a_refusal(services: Services) -> None:
    sql = NOTES.format(column="owner uuid") + own("notes", "false")
    assert access(prove(sql, services), "notes") is Access.DENIED
    sql = NOTES.format(column="owner uuid") + own("notes", "owner = auth.uid() AND false")
    assert access(prove(sql, services), "notes") is Access.DENIED


def judge(root: Path, sql: str, statement: str, services: Services) -> Result:
    (root / PATH).parent.mkdir(parents=True, exist_ok=True)
    (root / PATH).write_text(sql, encoding="utf-8")
    stage = Stage(
        2, "SOOP", "Tables", 1, deliverables=(Deliverable(PATH, "write", 1, Block("sql", sql, 1)),)
    )
    workflow = Workflow(root / "w.md", "", "", "", (stage,))
    context = Context(root=root, workflow=workflow, stage=stage, services=services)
    (binding,) = BINDER.bind(statement)
    assert binding.check is not None, binding.problem
    return binding.check.function(context, **binding.arguments)


def test_own_orders_of_customers_of_an_earlier_migration_are_read(
    tmp_path: Path, services: Services
) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql/001_customers.sql").write_text(CUSTOMERS, encoding="utf-8")
    sql = ORDERS + own("orders", "customer_id = auth.uid()")
    result = judge(tmp_path, sql, "`orders` can be read by authenticated users", services)
    assert result.verdict == "proven", result.detail


INDEXED = (
    "CREATE TABLE orders (id serial PRIMARY KEY, customer_id uuid, day date, total int, "
    "shop int, note text);\nCREATE INDEX ON orders (customer_id, day);\n"
    "CREATE INDEX ON orders (shop) WHERE shop IS NOT NULL;\n"
    "CREATE INDEX ON orders (note) WHERE note <> '';\n"
    "ALTER TABLE orders ENABLE ROW LEVEL SECURITY;\n"
    "CREATE TABLE carts (id serial PRIMARY KEY, customer_id uuid);\n"
    "ALTER TABLE carts ENABLE ROW LEVEL SECURITY;\n"
)


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("There is an index on orders.customer_id", "proven"),
        ("There is an index on `orders.customer_id`", "proven"),
        ("There is an index on `orders`.`customer_id`", "proven"),
        ("There is an index on public.orders.customer_id", "proven"),
        ("An index on orders(customer_id)", "proven"),
        ("An index on `orders (customer_id, day)` exists", "proven"),
        ("There is an index on `orders` (`customer_id`)", "proven"),
        ("`orders.customer_id` is indexed", "proven"),
        ("The column orders.customer_id is indexed", "proven"),
        ("orders.customer_id has an index", "proven"),
        ("There is an index on customer_id of orders", "proven"),
        ("The `customer_id` column of `orders` is indexed", "proven"),
        ("There is an index on carts.customer_id", "failed"),
        ("Indexes exist on orders.customer_id and carts.customer_id", "failed"),
        # the index begins with another column
        ("orders.day is indexed", "failed"),
        ("orders.total is indexed", "failed"),
        ("orders.price is indexed", "failed"),
        # all rows that are looked for by a value; not all of them
        ("orders.shop is indexed", "proven"),
        ("orders.note is indexed", "failed"),
        ("There is an index on shops.customer_id", "failed"),
        ("Indexes exist on columns (customer_id, day)", "proven"),
    ],
)
def test_an_index_is_looked_for_in_the_table_that_is_named(
    statement: str, verdict: str, tmp_path: Path, services: Services
) -> None:
    result = judge(tmp_path, INDEXED, statement, services)
    assert result.verdict == verdict, result.detail


@pytest.mark.parametrize("name", ["made.txt", "page.html", "run.sh", "logo.svg", "poetry.lock"])
def test_a_file_is_no_table(name: str) -> None:
    bound = Binder(load_checks()).bind(f"`{name}` exists")
    assert [b.check.name for b in bound if b.check] == ["files.exists"]


NAMES = st.from_regex(r"[a-z][a-z_]{2,8}", fullmatch=True).filter(
    # a name that is an extension makes a file of it
    lambda name: (
        name not in ("the", "and", "for", "index", "columns", "public", "cfg", "env", "sql")
    )
)


@given(table=NAMES, column=NAMES, form=st.sampled_from(["{t}.{c}", "`{t}.{c}`", "{t}({c})"]))
def test_every_spelling_names_table_and_column(table: str, column: str, form: str) -> None:
    named = form.format(t=table, c=column)
    for statement in (f"There is an index on {named}", f"{named} is indexed"):
        (binding,) = BINDER.bind(statement)
        assert binding.check is not None, binding.problem
        (found,) = binding.arguments["of"]
        assert (found.table, found.columns) == (table, (column,))
