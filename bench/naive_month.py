"""The script that comes to mind first: pandas over ``read_sql``, ``groupby`` and a loop, Jinja2, WeasyPrint.

It reads the accounts and all their postings, adds up by ``groupby`` what each account owed, owes and did, finds the
dormant and the mistyped ones, and renders a statement an account. It validates nothing, quarantines nothing, keeps no
history, ages and allocates nothing, so what it comes to is not compared with ours. It is given a hundredth of the
accounts with all their postings, in tables of their own, and what it took is multiplied: so the clock runs over nothing
that is done once however many accounts there are (imports, the connection, templates, fonts).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any

from bench.measure import Answer, Clock
from bench.pdf_step import sample_statement
from bench.plain_pages import PlainPages
from bench.plain_pdf import pdf_maker
from bench.world import LAST, World
from include.carm.allocation import AllocationRules
from include.carm.calendar import Calendar
from include.carm.contacts import Contacts
from include.carm.statement import AGEING, COMPONENTS, Statement, StatementHead, StatementLine, render_csv

MOST_ACCOUNTS = 1_000
"""A hundredth of the accounts, and no more than this: WeasyPrint takes a seventh of a second for a short statement."""
SECTIONS = {"PMT": "payments_credits", "NSF": "payments_credits", "INT": "interest", "LAP": "penalties"}
COUNTED = ("accepted", "under_review")
IMPORTS = ("B3", "CAD", "RS", "LVS", "B2")


def html_and_csv(world: World, clock: Clock) -> Answer:
    """The month with HTML and CSV."""
    return _run(world, clock, with_pdf=False)


def html_csv_and_pdf(world: World, clock: Clock) -> Answer:
    """The month with HTML, CSV and a tagged PDF."""
    return _run(world, clock, with_pdf=True)


def _run(world: World, clock: Clock, *, with_pdf: bool) -> Answer:
    import pandas as pd
    import sqlalchemy as sa

    calendar = Calendar.load()
    pages = PlainPages(Contacts.load(), AllocationRules.load().disbursement_of(LAST))
    to_pdf = pdf_maker() if with_pdf else None
    page = pages.render(sample_statement(1, 8))
    if to_pdf is not None:
        to_pdf(page)
    folder = world.scratch("naive")
    with world.postgres(lambda text: None) as url:
        engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
        factor = world.profile.accounts / _take_sample(engine, world.profile.accounts)
        clock.extrapolate(factor, f"{world.profile.accounts / factor:,.0f} accounts with all their postings")
        with engine.connect() as connection, clock:
            accounts, postings, exports = (
                pd.read_sql(f"SELECT * FROM bench_{name}", connection)  # noqa: S608 ours
                for name in ("accounts", "transactions", "exports")
            )
            for statement in month_statements(accounts, postings, exports, calendar):
                name, page = statement.head.bn15, pages.render(statement)
                (folder / f"{name}.html").write_bytes(page)
                (folder / f"{name}.csv").write_bytes(render_csv(statement))
                if to_pdf is not None:
                    (folder / f"{name}.pdf").write_bytes(to_pdf(page))
        with engine.begin() as connection:
            for name in ("accounts", "transactions", "exports"):
                connection.exec_driver_sql(f"DROP TABLE bench_{name}")
    return None


def _take_sample(engine: Any, accounts: int) -> int:
    """Make tables with a sample of the accounts and their rows; returns how many accounts it has."""
    wanted = min(accounts // 100, MOST_ACCOUNTS)
    with engine.begin() as connection:
        for name in ("accounts", "transactions", "exports"):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS bench_{name}")
        connection.exec_driver_sql(
            f"CREATE TABLE bench_accounts AS SELECT * FROM accounts ORDER BY md5(bn15) LIMIT {wanted}"  # noqa: S608 ours
        )
        for name, table in {"transactions": "transactions", "exports": "export_declarations"}.items():
            connection.exec_driver_sql(
                f"CREATE TABLE bench_{name} AS SELECT * FROM {table} WHERE bn15 IN (SELECT bn15 FROM bench_accounts)"  # noqa: S608 ours
            )
        return int(connection.exec_driver_sql("SELECT count(*) FROM bench_accounts").scalar_one())


def month_statements(accounts: Any, postings: Any, exports: Any, calendar: Calendar) -> Iterator[Statement]:
    """Decide about each account and draw up its statement of the month, where it has one.

    The frames are those of ``accounts``, ``transactions`` and ``export_declarations``; each is aggregated once.
    """
    first_day, last_day = calendar.start(LAST), calendar.end(LAST)
    counted = postings[postings["status"].isin(COUNTED)]
    imports = postings[postings["kind"].isin(IMPORTS) & (postings["status"] == "accepted")]
    month = counted[(counted["posted_on"] >= first_day) & (counted["posted_on"] <= last_day)]
    balances = counted.groupby("bn15")["amount_cents"].sum().to_dict()
    openings = counted[counted["posted_on"] < first_day].groupby("bn15")["amount_cents"].sum().to_dict()
    imported = imports.groupby("bn15")["activity_on"].max().to_dict()
    exported = exports.groupby("bn15")["exported_on"].max().to_dict()
    ordered = month.sort_values(["bn15", "kind", "posted_on", "transaction_id"]).to_dict("records")
    rows = {bn15: list(own) for bn15, own in groupby(ordered, key=itemgetter("bn15"))}
    for account in accounts.to_dict("records"):
        bn15 = account["bn15"]
        decide(account, imported.get(bn15), exported.get(bn15), balances.get(bn15, 0), last_day)
        own, opening = rows.get(bn15, []), int(openings.get(bn15, 0))
        if own or opening:
            yield _statement(account, own, opening, calendar)


def decide(
    account: Mapping[Any, Any], imported_on: date | None, exported_on: date | None, balance: int, last_day: date
) -> str:
    """Close what did nothing in four years and owes nothing, convert who only exports or only imports."""
    cutoff = last_day.replace(year=last_day.year - 4)
    seen = [day for day in (imported_on, exported_on) if day is not None and day >= cutoff]
    if not seen:
        return "close" if balance == 0 and account["opened_on"] < cutoff else "keep"
    if imported_on is None or imported_on < cutoff:
        return "keep" if account["program_type"] == "exporter" else "convert"
    return "keep" if account["program_type"] != "exporter" else "convert"


def _statement(
    account: Mapping[Any, Any], rows: Sequence[Mapping[Any, Any]], opening: int, calendar: Calendar
) -> Statement:
    lines, balance = [], opening
    for number, row in enumerate(rows, 1):
        balance += row["amount_cents"]
        section = SECTIONS.get(row["kind"], "due" if _or_none(row["due_on"]) is None else "other")
        lines.append(
            StatementLine(
                line_no=number,
                section="under_review" if row["status"] == "under_review" else section,
                transaction_id=row["transaction_id"],
                revision=1,
                version=1,
                kind=row["kind"],
                transaction_number=_or_none(row["transaction_number"]),
                activity_on=row["activity_on"].isoformat(),
                posted_on=row["posted_on"].isoformat(),
                due_on=None if _or_none(row["due_on"]) is None else row["due_on"].isoformat(),
                status=row["status"],
                arrival="on_time",
                broker_bn9=_or_none(row["broker_bn9"]),
                **{name: row[name] for name in COMPONENTS},
                amount_cents=row["amount_cents"],
                posted_amount_cents=row["amount_cents"],
                running_balance_cents=balance,
            )
        )
    lines.sort(key=lambda line: line.section)
    debits = sum(line.amount_cents for line in lines if line.amount_cents > 0)
    head = StatementHead(
        bn15=account["bn15"],
        period=str(LAST),
        version=1,
        period_start=calendar.start(LAST).isoformat(),
        period_end=calendar.end(LAST).isoformat(),
        issued_on=calendar.issued_on(LAST).isoformat(),
        due_on=calendar.due_on(LAST).isoformat(),
        language=account["language"],
        opening_cents=opening,
        debits_cents=debits,
        credits_cents=opening + debits - balance,
        closing_cents=balance,
        under_review_cents=0,
        total_payable_cents=max(balance, 0),
        line_count=len(lines),
        legal_name=account["legal_name"],
        operating_name=None,
        program_type=account["program_type"],
        account_status=account["status"],
        closed_on=None,
        **dict.fromkeys(AGEING, 0),
        calculated_interest_cents=None,
        missing_rate_quarter=None,
    )
    return Statement(head, tuple(lines))


def _or_none(value: Any) -> Any:
    """What pandas gives, with None for NaN and NaT, the values that differ from themselves."""
    return None if value is None or value != value else value
