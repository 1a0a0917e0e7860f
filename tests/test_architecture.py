"""The house rules that a machine can hold. Beside each stands a sample that breaks it and is found."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture import (
    clock_readings,
    faults_of_statement,
    forbidden_imports,
    imported_modules,
    impure_imports,
    read_header,
)

ROOT = Path(__file__).parents[1]
DAG_MODULES = {"dags"} | {path.stem for path in (ROOT / "dags").glob("*.py")}


def python_files(*folders: str) -> list[Path]:
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert files, f"no Python below {folders}: this test would prove nothing"
    return files


def offences(files: list[Path], find: Callable[[str, str], list[str]]) -> dict[str, list[str]]:
    """What ``find(source, package)`` says about each file that breaks a rule."""
    found = {}
    for file in files:
        path = file.relative_to(ROOT)
        if faults := find(file.read_text(encoding="utf-8"), ".".join(path.parent.parts)):
            found[str(path)] = faults
    return found


# --- Imports ----------------------------------------------------------------------------------------------------


def test_nothing_below_the_dags_imports_airflow():
    assert (
        offences(python_files("include"), lambda source, package: forbidden_imports(source, {"airflow"}, package)) == {}
    )


@pytest.mark.parametrize(
    "source",
    [
        "import airflow",
        "import airflow.models as models",
        "from airflow.sdk import DAG",
        "def step():\n    from airflow.sdk import Variable",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from airflow.sdk import Context",
        "import importlib\nimportlib.import_module('airflow.sdk')",
        "__import__('airflow')",
    ],
)
def test_an_import_of_airflow_is_found_wherever_it_hides(source):
    assert len(forbidden_imports(source, {"airflow"})) == 1


def test_another_package_whose_name_begins_alike_is_not_airflow():
    assert forbidden_imports("import airflow_settings\nfrom include import local_airflow", {"airflow"}) == []


def test_the_domain_imports_neither_database_nor_frames_nor_steps():
    assert offences(python_files("include/carm"), impure_imports) == {}


@pytest.mark.parametrize(
    "source",
    [
        "import duckdb",
        "from sqlalchemy import select",
        "def late():\n    import pandas as pd",
        "import sqlite3",
        "from include.lake import Lake",
        "from include import workspace",
        "from .. import lake",
        "from urllib.request import urlopen",
        "import airflow",
    ],
)
def test_an_import_that_would_spoil_the_domain_is_found(source):
    assert len(impure_imports(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import re",
        "from datetime import date",
        "import yaml",
        "from include.carm.period import Period",
        "from . import money",
    ],
)
def test_the_domain_may_import_pure_things_and_itself(source):
    assert impure_imports(source) == []


def test_nothing_imports_a_dag():
    files = python_files("include", "plugins", "tests")
    assert offences(files, lambda source, package: forbidden_imports(source, DAG_MODULES, package)) == {}


@pytest.mark.parametrize("source", ["from dags.carm_month import carm_month", "import dags", "import carm_month"])
def test_an_import_of_a_dag_is_found(source):
    assert "carm_month" in DAG_MODULES
    assert len(forbidden_imports(source, DAG_MODULES)) == 1


# --- Clocks -----------------------------------------------------------------------------------------------------


CLOCK = ROOT / "include" / "system_clock.py"


def test_no_step_and_no_dag_asks_what_day_it_is():
    files = [file for file in python_files("include", "dags", "plugins") if file != CLOCK]
    assert offences(files, lambda source, _: clock_readings(source)) == {}


def test_only_a_command_who_sends_and_who_looks_have_the_one_clock():
    assert len(clock_readings(CLOCK.read_text(encoding="utf-8"))) == 2
    edge = {
        *(ROOT / "include" / "cli").glob("*.py"),
        ROOT / "dags" / "carm_deliver.py",
        ROOT / "dags" / "notifiers.py",
        ROOT / "plugins" / "carm_portal.py",
    }
    files = [file for file in python_files("include", "dags", "plugins") if file not in edge]
    assert offences(files, imports_of_the_clock) == {}
    assert len(imports_of_the_clock("from include.system_clock import read_day", "include")) == 1
    assert len(imports_of_the_clock("from include import system_clock", "include")) == 1
    assert len(imports_of_the_clock("from . import system_clock", "include")) == 1


def imports_of_the_clock(source: str, package: str) -> list[str]:
    return [
        f"line {line} imports {module}"
        for line, module in imported_modules(source, package)
        if f"{module}.".startswith("include.system_clock.")
    ]


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime\nstarted = datetime.now()",
        "import datetime as dt\ndt.datetime.utcnow()",
        "from datetime import date\ndef f(day=date.today()): ...",
        "import time\ntime.time()",
        "from time import time",
        "import time\nstamp = time.time",
        "import pendulum\npendulum.now('America/Toronto')",
        "from airflow.sdk.timezone import utcnow",
        "import pandas as pd\npd.Timestamp.today()",
        "from sqlalchemy import func\nfunc.current_timestamp()",
        "sql = 'SELECT * FROM t WHERE day < CURRENT_DATE'",
        "sql = 'INSERT INTO t VALUES (now())'",
    ],
)
def test_a_clock_is_found_in_python(source):
    assert len(clock_readings(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.monotonic()",
        "import time\ntime.sleep(1)",
        "from datetime import date\ndate(2021, 12, 24)",
        '"""Never write CURRENT_DATE where a SELECT reads it."""',
        "message = 'it is done now (at last)'",
        "row.time",
    ],
)
def test_what_only_looks_like_a_clock_is_left_alone(source):
    assert clock_readings(source) == []


# --- SQL --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known_names() -> set[str]:
    """Every word that a step uses as a text: what a statement says it writes must be among them."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in python_files("include")]
    constants = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {node.value for node in constants if isinstance(node.value, str)}


@pytest.mark.parametrize("file", sorted((ROOT / "include" / "sql").glob("*.sql")), ids=lambda file: file.stem)
def test_a_sql_file_does_what_its_header_says(file, known_names):
    assert faults_of_statement(file.stem, file.read_text(encoding="utf-8"), known_names) == []


GOOD = """\
-- Purpose: Say what each account owes.
-- Grain: one row per account.
-- Reads: accounts,
--        transactions
-- Writes: activity
-- Parameters: $as_of (date), $period (text)
-- Rerun: same inputs give the same rows in the same order.
--
-- A remark of its own.
WITH posted AS (
    SELECT account_key, sum(amount_cents) AS balance_cents, count(*) AS postings
    FROM transactions
    WHERE posted_on <= $as_of AND period = $period
    GROUP BY account_key
)

SELECT accounts.account_key, posted.balance_cents
FROM accounts
LEFT JOIN posted ON accounts.account_key = posted.account_key
ORDER BY accounts.account_key
"""


def faults_of(sql: str, name: str = "derive_activity") -> list[str]:
    return faults_of_statement(name, sql, {"activity"})


def test_a_good_statement_has_no_fault():
    assert faults_of(GOOD) == []
    assert read_header(GOOD)["Reads"] == "accounts, transactions"


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ("-- Grain: one row per account.\n", "", "has the header fields Purpose, Reads, Writes"),
        ("-- Purpose: Say what each account owes.", "-- What each account owes.", "has the header fields none"),
        (
            "-- Reads: accounts,\n--        transactions",
            "-- Reads: accounts",
            "reads transactions, and does not say so",
        ),
        ("-- Reads: accounts,", "-- Reads: accounts, holds,", "says that it reads holds, and does not"),
        ("-- Writes: activity", "-- Writes: balances", "says that it writes balances: neither a dataset"),
        ("$as_of (date), ", "", "binds $as_of, and does not name it"),
        ("$period (text)", "$period (text), $cutoff_on (date)", "names the parameter $cutoff_on, and does not bind it"),
        ("$period (text)", "period, as text", "has a parameter 'as text' that is not written as $name (type)"),
        ("ORDER BY accounts.account_key", "", "promises the same order without a last ORDER BY"),
        ("SELECT accounts.account_key, posted.balance_cents", "SELECT *", "publishes SELECT *"),
        ("SELECT accounts.account_key, posted.balance_cents", "SELECT accounts.*", "publishes SELECT *"),
        ("posted.balance_cents\n", "CAST(posted.balance_cents AS DOUBLE) AS b\n", "casts to a float: CAST("),
        ("posted.balance_cents\n", "posted.balance_cents::FLOAT AS b\n", "casts to a float: CAST("),
        ("posted.balance_cents\n", "posted.balance_cents / 100 AS b\n", "makes a float of cents: "),
        ("sum(amount_cents)", "avg(amount_cents)", "makes a float of cents: AVG(amount_cents)"),
        ("posted_on <= $as_of", "posted_on <= $as_of AND posted_on < CURRENT_DATE", "reads the clock: CURRENT_DATE"),
        ("posted_on <= $as_of", "posted_on <= $as_of AND posted_on < now()", "reads the clock: "),
        ("posted_on <= $as_of", "posted_on <= $as_of AND posted_on < today()", "reads the clock: "),
        ("ORDER BY accounts.account_key", "ORDER BY accounts.account_key; SELECT 1", "is not exactly one SELECT"),
        ("WITH posted", "CREATE TABLE t AS WITH posted", "is not exactly one SELECT"),
        ("SELECT accounts", "SELECT FROM WHERE accounts", "cannot be parsed"),
    ],
)
def test_an_untrue_header_or_a_careless_body_is_found(good, bad, fault):
    assert good in GOOD
    faults = faults_of(GOOD.replace(good, bad, 1))
    assert len(faults) == 1
    assert faults[0].startswith(fault)


def test_a_name_without_a_known_verb_is_found():
    assert faults_of(GOOD, "activity") == [
        "is not named <verb>_<object> with one of the verbs select, derive, check, stage"
    ]


def test_a_star_is_found_in_every_branch_of_a_union():
    union = "SELECT account_key, status FROM accounts\nUNION ALL\nSELECT * FROM accounts\nORDER BY account_key"
    header = (
        GOOD[: GOOD.index("WITH")]
        .replace(",\n--        transactions", "")
        .replace("$as_of (date), $period (text)", "none")
    )
    assert faults_of(header + union) == ["publishes SELECT *: name the columns"]


@pytest.mark.parametrize(
    ("good", "bad"), [("in the same order", "in no order"), ("-- Grain: one row per account.", "-- Grain: one row.")]
)
def test_one_row_and_rows_in_no_order_need_no_last_order(good, bad):
    assert faults_of(GOOD.replace(good, bad).replace("ORDER BY accounts.account_key\n", "")) == []


def test_what_is_only_handed_on_may_pass_all_its_columns():
    handed_on = GOOD.replace("-- Writes: activity", "-- Writes: nothing, is staged for the gate")
    assert faults_of(handed_on.replace("SELECT accounts.account_key", "SELECT accounts.*")) == []
