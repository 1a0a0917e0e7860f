"""The worked example of ``docs/adapting.md``: a month through views over a database of another shape.

The same demo world lies in two databases, in the project's own tables and in somebody else's. Whatever a month
publishes of the two must be the same, byte by byte.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from include.airflow_settings import ConnectionSettings
from include.carm.errors import DataError, Refused, Unavailable
from include.carm.period import Period
from include.change_file import read_change_file
from include.database import connect_engine, write_transaction
from include.demo import fill_demo
from include.extract import extract_month, select_posted
from include.feeds import ACCOUNTS, LEDGER_FEEDS, SNAPSHOT_FEEDS, TRANSACTIONS
from include.load import load_folder
from include.month import open_month, read_summary
from include.operations import migrate
from include.reinstate import reinstate_account
from include.source_rows import present_columns, read_texts, source_snapshot
from include.source_schema import create_tables, is_empty, received_tables
from include.source_totals import count_by_day
from include.transaction_kinds import read_transaction_kinds
from include.workspace import Workspace
from tests.database import new_database
from tests.pipeline import apply_month, hashes, read, run_month
from tests.prepared import HAND_WRITTEN
from tests.source.legacy import EXAMPLE, Sources, execute, query, two_sources

PAGE = Path(__file__).parents[2] / "docs" / "adapting.md"
PERIOD = "2021-12"
CHANGED_ON = date(2021, 12, 25)
FEEDS = ("accounts", "transactions", "export_declarations", "delegations")


@pytest.fixture(scope="module")
def made(postgresql_server: str) -> Iterator[Sources]:
    """Made once, and only read by tests."""
    with two_sources(postgresql_server) as both:
        yield both


@pytest.fixture
def sources(postgresql_server: str, made: Sources) -> Iterator[Sources]:
    """Copies for a test that writes."""
    with copies(postgresql_server, made) as both:
        yield both


@contextmanager
def copies(server: str, made: Sources) -> Iterator[Sources]:
    with new_database(server, like=made.ordinary) as ordinary, new_database(server, like=made.legacy) as legacy:
        yield Sources(ordinary, legacy)


def workspaces(sources: Sources, folder: Path) -> tuple[Workspace, Workspace]:
    """One over the ordinary tables, one over the views as the two users see them."""
    migrate(sources.ordinary)
    migrate(sources.writer)
    return (
        Workspace.open(folder / "ordinary", source_url=sources.ordinary),
        Workspace.open(folder / "views", source_url=sources.reader, apply_url=sources.writer),
    )


# --- The month -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def months(
    postgresql_server: str, made: Sources, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Sources, Workspace, Workspace]]:
    """A live month over the ordinary tables, and the same over the views."""
    with copies(postgresql_server, made) as sources:
        ordinary, views = workspaces(sources, tmp_path_factory.mktemp("months"))
        for ws in (ordinary, views):
            run_month(ws, PERIOD, effects="live")
        yield sources, ordinary, views


def test_a_month_through_the_views_publishes_the_bytes_of_the_ordinary_tables(months):
    _, ordinary, views = months
    for place in ("lake", "documents"):
        assert hashes(views.data / place) == hashes(ordinary.data / place)
    told = [read_summary(ws, Period.parse(PERIOD), "lake") for ws in (ordinary, views)]
    assert [bool(summary.pop("places")) for summary in told] == [True, True]
    assert [bool(summary["certificate"].pop("folder")) for summary in told] == [True, True]
    assert told[0] == told[1]
    # Of a world in which all of it happens: closures and corrections, statements, rows that are refused.
    assert {"close", "convert", "hold", "keep", "review"} <= set(read(views, "account_decisions", PERIOD)["action"])
    assert len(read(views, "statements", PERIOD)) > 50
    assert set(read(views, "quarantine", PERIOD)["dataset"]) >= {"transactions", "accounts"}


def test_every_row_of_the_views_is_the_row_of_the_table(made):
    for feed in FEEDS:
        rows = Counter(in_words(made.ordinary, feed))
        assert rows.total() > 0
        assert Counter(in_words(made.reader, feed)) == rows


def in_words(url: str, feed: str) -> list[tuple[str | None, ...]]:
    columns = next(known for known in (*SNAPSHOT_FEEDS, *LEDGER_FEEDS) if known.name == feed).columns
    return query(url, f"SELECT {', '.join(f'{name}::text' for name in columns)} FROM {feed}")


def test_a_month_is_found_by_the_indexes_below_the_views_and_its_totals_read_no_component(sources, tmp_path):
    _, views = workspaces(sources, tmp_path)
    with source_snapshot(views) as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        columns = present_columns(connection)[TRANSACTIONS.name]
        month = select_posted(connection, TRANSACTIONS, columns, date(2021, 11, 25), date(2021, 12, 24))
        of_month = plan_of(connection, str(month.compile(connection, compile_kwargs={"literal_binds": True})))
        asked: list[tuple[str, Any]] = []
        sa.event.listen(connection, "before_cursor_execute", lambda *told: asked.append((told[2], told[3])))
        assert list(count_by_day(connection, TRANSACTIONS, columns))
        ((totals, parameters),) = asked
        of_totals = plan_of(connection, totals, parameters)
    assert "entry_posted_day" in of_month
    assert "Index Cond" in of_month
    assert "entry_tax" in of_month
    assert "entry" in of_totals
    assert "entry_tax" not in of_totals


def plan_of(connection: sa.Connection, statement: str, parameters: Any = None) -> str:
    return "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))


# --- Accounts are changed ------------------------------------------------------------------------------------------


def test_a_plan_applied_through_the_view_leaves_the_register_as_one_applied_to_the_table(months):
    sources, *_ = months
    closed = query(sources.legacy, "SELECT risk_cd, changed_by FROM rev.acct_version WHERE closed_dt = '2021-12-25'")
    assert len(closed) > 5
    assert set(closed) == {("H", "carm_writer")}, "what the view does not show goes on in the new version"
    assert Counter(in_words(sources.writer, "accounts")) == Counter(in_words(sources.ordinary, "accounts"))


@pytest.mark.parametrize(
    ("action", "effective_on"),
    [("close", date(2021, 12, 28)), ("convert", date(2021, 12, 28)), ("close", CHANGED_ON), ("convert", CHANGED_ON)],
)
def test_an_undoing_through_the_view_leaves_the_register_as_one_in_the_table(months, action, effective_on):
    """On the day of the change itself the version is put right, later a further one begins."""
    sources, *both = months
    decisions = read(both[0], "account_decisions", PERIOD)
    bn15 = sorted(decisions[decisions["action"] == action]["bn15"])[0 if effective_on == CHANGED_ON else 1]
    before = in_words(sources.writer, "accounts")
    for ws in both:
        reinstate_account(
            ws, bn15, reason="goods of a broker", effective_on=effective_on, recorded_by="ops", run_id="by hand"
        )
    assert in_words(sources.writer, "accounts") != before
    assert Counter(in_words(sources.writer, "accounts")) == Counter(in_words(sources.ordinary, "accounts"))


def test_where_changes_go_out_as_a_file_the_writer_needs_no_right_on_accounts(sources, tmp_path):
    execute(sources.legacy, "REVOKE ALL ON carm_feed.accounts FROM carm_writer")
    _, views = workspaces(sources, tmp_path)
    views = replace(views, policy=replace(views.policy, apply="file"))
    before = query(sources.legacy, "SELECT * FROM rev.acct_version ORDER BY version_id")
    apply_month(views, PERIOD, effects="live")
    assert query(sources.legacy, "SELECT * FROM rev.acct_version ORDER BY version_id") == before
    (file,) = (views.data / "changes" / f"period={PERIOD}").glob("plan-*.csv")
    assert len(read_change_file(file)) > 5


# --- Rights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO accounts (bn15) VALUES ('000000018RM0001')",
        "UPDATE accounts SET status = 'closed'",
        "DELETE FROM accounts",
        "UPDATE export_declarations SET declaration_id = 'x'",
        "DELETE FROM export_declarations",
        "CREATE TABLE carm_feed.mine (a int)",
        "CREATE TABLE public.mine (a int)",
        "SELECT * FROM rev.acct_version",
        "SELECT * FROM portal.person",
        "SELECT * FROM carm_ops.carm_plans",
        "UPDATE rev.acct_version SET stat_cd = 'C'",
    ],
)
def test_the_reader_can_do_nothing_but_read_the_views(months, statement):
    sources, *_ = months
    with psycopg.connect(sources.reader) as connection:
        # The setting of the role is a guard against slips, and can be taken off; the rights cannot.
        connection.execute("SET default_transaction_read_only = off")
        connection.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM accounts",
        "SELECT * FROM transactions",
        "SELECT * FROM delegations",
        "SELECT * FROM rev.acct_version",
        "UPDATE rev.acct_version SET stat_cd = 'C'",
        "UPDATE rev.entry SET amount_cad = 0",
        "CREATE TABLE carm_feed.mine (a int)",
    ],
)
def test_the_writer_reaches_accounts_through_the_view_alone(made, statement):
    with psycopg.connect(made.writer) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_who_writes_as_the_reader_is_told_so_in_one_line(made):
    with (
        pytest.raises(Unavailable, match="does not let this user do that"),
        write_transaction(connect_engine(made.reader)) as connection,
    ):
        connection.exec_driver_sql("UPDATE accounts SET status = 'closed'")
    with pytest.raises(Unavailable, match="is read-only"):
        migrate(made.reader)


# --- What can be read ----------------------------------------------------------------------------------------------


def test_views_are_a_source_that_is_neither_empty_nor_filled_with_anything_else(made):
    for url in (made.reader, made.legacy + "&options=-csearch_path%3Dcarm_feed"):
        engine = connect_engine(url)
        with engine.connect() as connection:
            assert set(received_tables(connection)) == set(FEEDS)
        assert not is_empty(engine)
        with pytest.raises(Refused, match="holds other rows"):
            fill_demo(engine)


def test_a_schema_can_be_named_in_the_connection(made):
    """Where a role cannot be given a search path: the extra of a connection in Airflow becomes a part of its URL."""
    parts = make_url(made.legacy)
    extra = {"options": "-csearch_path=carm_feed", "host": parts.query["host"]}
    connection = ConnectionSettings("carm_source", "postgres", login=parts.username, schema=parts.database, extra=extra)
    with connect_engine(connection.database_url(Path("data"))).connect() as opened:
        assert set(received_tables(opened)) == set(FEEDS)


def test_rows_are_not_loaded_into_a_view(engine):
    columns = ", ".join(f"NULL AS {name}" for name in ACCOUNTS.columns)
    with write_transaction(engine) as connection:
        connection.exec_driver_sql(f"CREATE VIEW accounts AS SELECT {columns} WHERE 1 = 0")
    with pytest.raises(Refused, match=r"accounts is no table of .* but a view: rows are loaded into tables only"):
        load_folder(engine, HAND_WRITTEN / "complete")
    with pytest.raises(Refused, match=r"accounts is no table of .* but a view"):
        fill_demo(engine)


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_a_view_of_either_kind_is_a_feed(postgresql_url, kind):
    engine = connect_engine(postgresql_url)
    with write_transaction(engine) as connection:
        create_tables(connection, ["accounts"])
        connection.exec_driver_sql("ALTER TABLE accounts RENAME TO others")
        connection.exec_driver_sql(f"CREATE {kind} accounts AS SELECT * FROM others")
    with engine.connect() as connection:
        assert set(present_columns(connection)["accounts"]) == set(ACCOUNTS.columns)


def test_a_foreign_table_is_a_feed(postgresql_url):
    engine = connect_engine(postgresql_url)
    file = HAND_WRITTEN / "complete" / "accounts.csv"
    columns = ", ".join(f"{name} {'date' if kind == 'day' else 'text'}" for name, kind in ACCOUNTS.columns.items())
    with write_transaction(engine) as connection:
        connection.exec_driver_sql("CREATE EXTENSION file_fdw")
        connection.exec_driver_sql("CREATE SERVER files FOREIGN DATA WRAPPER file_fdw")
        connection.exec_driver_sql(
            f"CREATE FOREIGN TABLE accounts ({columns}) SERVER files OPTIONS (filename '{file}', format 'csv', "
            "header 'true')"
        )
    assert not is_empty(engine)
    with engine.connect() as connection:
        rows = read_texts(connection, ACCOUNTS, ACCOUNTS.columns).num_rows
    assert rows == len(file.read_text(encoding="utf-8").splitlines()) - 1


def test_a_posting_day_that_is_a_text_is_named_before_a_month_is_asked_for(sources, tmp_path):
    views = (EXAMPLE / "views.sql").read_text(encoding="utf-8")
    statement = next(s for s in re.findall(r"CREATE VIEW.*?;", views, re.DOTALL) if "carm_feed.export" in s)
    execute(sources.legacy, "DROP VIEW carm_feed.export_declarations")
    execute(sources.legacy, statement.replace("::date AS reported_on", "::date::text AS reported_on"))
    execute(sources.legacy, "GRANT SELECT ON carm_feed.export_declarations TO carm_reader")
    _, ws = workspaces(sources, tmp_path)
    month = open_month(ws, Period.parse(PERIOD), "shadow", "by hand", "manual", lambda run_id: False)
    with pytest.raises(DataError, match=r"export_declarations\.reported_on as a text, by which no month can be found"):
        extract_month(ws, month)


# --- Before the first month, and the page --------------------------------------------------------------------------


def findings(url: str) -> dict[tuple[str, str], int]:
    sql = (EXAMPLE / "check.sql").read_text(encoding="utf-8")
    return {(feed, finding): found for feed, finding, found in query(url, sql)}


def test_the_check_finds_through_the_views_what_it_finds_in_the_tables(made):
    found = findings(made.reader)
    assert found == findings(made.ordinary)
    assert found["transactions", "status is pending"] > 0
    assert found["transactions", "the components do not add up to the amount"] > 0


@pytest.mark.parametrize(
    ("right", "wrong", "finding"),
    [
        ("WHEN 'A' THEN 'accepted'", "WHEN 'A' THEN 'A'", ("transactions", "status is A")),
        ("tax.tax_cd = 'GST'", "tax.tax_cd = 'TPS'", ("transactions", "the components do not add up to the amount")),
        ("version.bus_no || version.prog_acct", "version.bus_no", ("accounts", "bn15 is not nine digits")),
        ("version.eff_thru + 1", "version.eff_thru", ("accounts", "a version ends on another day")),
        ("(entry.amount_cad * 100)", "(entry.amount_cad)", ("transactions", "the components do not add up")),
    ],
)
def test_the_check_finds_a_slip_in_the_mapping(sources, right, wrong, finding):
    def count(found: dict[tuple[str, str], int]) -> int:
        return sum(n for (feed, said), n in found.items() if feed == finding[0] and said.startswith(finding[1]))

    good = count(findings(sources.reader))
    views = (EXAMPLE / "views.sql").read_text(encoding="utf-8")
    assert right in views
    statements = re.findall(r"CREATE VIEW.*?;", views.replace(right, wrong), re.DOTALL)
    execute(sources.legacy, "".join(s.replace("CREATE VIEW", "CREATE OR REPLACE VIEW") for s in statements))
    assert count(findings(sources.reader)) > good


def test_the_check_knows_every_kind_of_transaction():
    sql = (EXAMPLE / "check.sql").read_text(encoding="utf-8")
    listed = re.search(r"kind NOT IN \((.*?)\)", sql, re.DOTALL)
    assert listed is not None
    assert set(re.findall(r"'(\w+)'", listed[1])) == {row["kind"] for row in read_transaction_kinds()}


def test_the_page_shows_the_sql_as_it_stands_in_its_files():
    files = "\n".join(file.read_text(encoding="utf-8") for file in sorted(EXAMPLE.glob("*.sql")))
    shown = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(shown) > 3
    assert [] == [block for block in shown if block not in files]
