"""One ledger, two views: what a broker is told is what its clients are told, neither more nor less, and never added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include import engine
from include.carm.broker import build_broker_statements, build_client_indexes
from include.carm.business_number import account_key
from tests.statements import ledger
from tests.statements.brokers import BROKER, OTHER_BROKER, Told, delegation, secured, tell
from tests.statements.ledger import BN15, DAYS, OTHER_BN15, Month, Row, account, brought_forward, posting

SECOND_ACCOUNT = "000000018RM0002"
LATE: Row = {"arrival": "revision", "revision": 2, "is_late": True}


def client_of(told: Told, broker: str = BROKER, bn15: str = BN15) -> Row:
    (row,) = [row for row in told.rows("broker_clients") if (row["bn9"], row["bn15"]) == (broker, bn15)]
    return row


def flows(row: Row) -> tuple[int, ...]:
    names = ("opening", "debits", "credits", "moved", "settled", "closing")
    return tuple(row[f"{name}_cents"] for name in names)


# What a broker is told


def test_a_secured_debt_stands_on_both_statements_with_the_same_amount() -> None:
    told = tell(Month([posting(100_00, broker_bn9=BROKER), posting(40_00, transaction_id="T2")]))

    assert [] == told.problems
    (line,) = told.rows("broker_lines")
    (client_line,) = [row for row in told.lines.to_pylist() if row["broker_bn9"]]
    assert (BROKER, BN15, "T1", 100_00) == tuple(
        line[name] for name in ("bn9", "bn15", "transaction_id", "amount_cents")
    )
    assert client_line["line_no"] == line["line_no"]
    # 0 + 100 = 100; the other debt of the client is none of the broker's.
    assert (0, 100_00, 0, 0, 0, 100_00) == flows(client_of(told))


def test_what_is_paid_is_told_of_the_secured_debts_alone() -> None:
    # The payment pays the older secured debt (80), then 20 of the other debts by due date.
    rows = [posting(30_00, broker_bn9=BROKER), posting(-100_00, kind="PMT", transaction_id="P")]
    told = tell(Month(rows), [secured(80_00), secured(50_00, item_id="O2", broker=None, posted_on=date(2021, 10, 27))])

    assert [] == told.problems
    # 80 + 30 - 80 = 30
    assert (80_00, 30_00, 0, 0, 80_00, 30_00) == flows(client_of(told))
    assert ["T1"] == [row["item_id"] for row in told.rows("broker_items")]


def test_a_debt_that_was_paid_in_full_is_told_once_more() -> None:
    told = tell(Month([posting(-80_00, kind="PMT", transaction_id="P")]), [secured(80_00)])

    assert ([], [], []) == (told.problems, told.rows("broker_lines"), told.rows("broker_items"))
    assert (80_00, 0, 0, 0, 80_00, 0) == flows(client_of(told))
    assert 1 == len(told.statements)


def test_a_cancelled_debt_is_a_credit_of_the_period() -> None:
    told = tell(
        Month(
            [posting(80_00, transaction_id="O1", broker_bn9=BROKER, status="cancelled", effect_cents=-80_00, **LATE)]
        ),
        [secured(80_00)],
    )

    # 80 - 80 = 0
    assert (80_00, 0, 80_00, 0, 0, 0) == flows(client_of(told))


def test_a_debt_whose_broker_changed_is_moved_from_one_to_the_other() -> None:
    change = posting(80_00, transaction_id="O1", broker_bn9=OTHER_BROKER, effect_cents=0, **LATE)
    told = tell(Month([change]), [secured(80_00)])

    assert [] == told.problems
    assert (80_00, 0, 0, -80_00, 0, 0) == flows(client_of(told, BROKER))
    assert (0, 0, 0, 80_00, 0, 80_00) == flows(client_of(told, OTHER_BROKER))


@pytest.mark.parametrize("broker", [None, "no number"])
def test_a_debt_that_loses_its_broker_leaves_its_statement(broker: str | None) -> None:
    change = posting(80_00, transaction_id="O1", broker_bn9=broker, effect_cents=0, **LATE)
    told = tell(Month([change]), [secured(80_00)])

    assert [] == told.problems
    assert (80_00, 0, 0, -80_00, 0, 0) == flows(client_of(told))
    assert [] == told.rows("broker_items")


def test_a_debt_that_came_and_was_cancelled_under_another_broker_leaves_both_with_nothing() -> None:
    rows = [
        posting(80_00, broker_bn9=BROKER),
        posting(80_00, broker_bn9=OTHER_BROKER, status="cancelled", effect_cents=-80_00, **LATE),
    ]
    told = tell(Month(rows))

    assert [] == told.problems
    assert (0, 80_00, 0, -80_00, 0, 0) == flows(client_of(told, BROKER))
    assert (0, 0, 80_00, 80_00, 0, 0) == flows(client_of(told, OTHER_BROKER))


def test_a_credit_that_is_moved_by_a_row_that_prints_nowhere_and_then_used_is_told_to_both() -> None:
    # Cancelled and paid before, so a credit; cancelled again under another broker, which moves no balance.
    again = posting(80_00, transaction_id="O1", broker_bn9=OTHER_BROKER, status="cancelled", effect_cents=0, **LATE)
    told = tell(Month([again, posting(80_00, transaction_id="T2")]), [secured(-80_00)])

    assert [] == told.problems
    assert [] == told.rows("broker_lines")
    assert (-80_00, 0, 0, 80_00, 0, 0) == flows(client_of(told, BROKER))
    assert (0, 0, 0, -80_00, -80_00, 0) == flows(client_of(told, OTHER_BROKER))


@pytest.mark.parametrize(
    ("due_on", "bucket", "days"),
    [
        # Issued on 2021-12-25.
        (date(2021, 12, 25), "current", 0),
        (date(2021, 12, 24), "30", 1),
        (date(2021, 11, 25), "30", 30),
        (date(2021, 11, 24), "60", 31),
        (date(2021, 10, 26), "60", 60),
        (date(2021, 10, 25), "90", 61),
        (date(2021, 9, 26), "90", 90),
        (date(2021, 9, 25), "over_90", 91),
    ],
)
def test_what_is_open_is_as_old_as_on_the_clients_statement(due_on: date, bucket: str, days: int) -> None:
    told = tell(Month(), [secured(80_00, due_on=due_on)])

    (item,) = told.rows("broker_items")
    assert days == item["days_past_due"]
    (head,) = told.rows("broker_heads")
    assert {bucket: 80_00} == {
        name: head[f"ageing_{name}_cents"]
        for name in ("current", "30", "60", "90", "over_90")
        if head[f"ageing_{name}_cents"]
    }


def test_what_is_under_review_is_named_and_never_past_due() -> None:
    told = tell(Month([posting(70_00, broker_bn9=BROKER, status="under_review", due_on=date(2021, 1, 1))]))

    (head,) = told.rows("broker_heads")
    assert (70_00, 70_00, 70_00) == (head["closing_cents"], head["under_review_cents"], head["ageing_current_cents"])


def test_a_credit_is_never_past_due() -> None:
    told = tell(Month(), [secured(-80_00, due_on=date(2021, 8, 31))])

    (item,) = told.rows("broker_items")
    assert (0, -80_00) == (item["days_past_due"], told.rows("broker_heads")[0]["ageing_current_cents"])


def test_a_broker_of_whose_debts_nothing_is_left_and_nothing_came_has_no_statement() -> None:
    told = tell(Month([posting(10_00)]), [secured(10_00, broker=None)])

    assert ([], []) == (told.rows("broker_heads"), told.problems)


def test_accounts_of_one_firm_are_told_apart() -> None:
    rows = [
        posting(1_00, broker_bn9=BROKER),
        posting(2_00, bn15=SECOND_ACCOUNT, transaction_id="T2", broker_bn9=BROKER),
    ]
    told = tell(Month(rows, [account(), account(SECOND_ACCOUNT)]))

    assert {BN15: 1_00, SECOND_ACCOUNT: 2_00} == {
        row["bn15"]: row["closing_cents"] for row in told.rows("broker_clients")
    }
    assert [(2, 3_00)] == [(row["clients"], row["closing_cents"]) for row in told.rows("broker_heads")]


# Who is told nothing


@pytest.mark.parametrize(
    "junk", ["000000035", "000000000", "12345", "000 000 034", "000000034RM0001", "٠٠٠٠٠٠٠٣٤", "", "=1+1"]
)
def test_a_number_that_is_none_leaves_the_line_with_the_client_alone(junk: str) -> None:
    told = tell(Month([posting(100_00, broker_bn9=junk)]), [secured(5_00, broker=junk)])

    assert [] == told.problems
    assert 0 == sum(len(told.rows(dataset)) for dataset in told.tables)
    assert [junk] == [row["broker_bn9"] for row in told.lines.to_pylist()]
    # An empty text is no number that somebody wrote.
    assert {"invalid_number": int(junk != ""), "parked_client": 0} == told.untold


def test_a_parked_client_is_on_no_brokers_statement_and_is_counted() -> None:
    rows = [
        posting(100_00, broker_bn9=BROKER),
        posting(7_00, bn15=OTHER_BN15, transaction_id="T2", broker_bn9=BROKER),
        posting(9_00, bn15=OTHER_BN15, transaction_id="T3"),
    ]
    told = tell(Month(rows), [secured(5_00, bn15=OTHER_BN15)])

    assert [] == told.problems
    assert {BN15} == {row["bn15"] for dataset in told.tables for row in told.rows(dataset) if "bn15" in row}
    assert {"invalid_number": 0, "parked_client": 1} == told.untold


# The firm itself


@pytest.mark.parametrize(
    ("languages", "language"),
    [
        ([], "both"),
        (["fr"], "fr"),
        (["en", None], "en"),
        (["fr", "fr"], "fr"),
        (["en", "fr"], "both"),
        ([None], "both"),
        (["de"], "both"),
    ],
)
def test_a_broker_reads_the_language_that_its_own_accounts_agree_on(languages: list[str], language: str) -> None:
    own = [
        account(f"{BROKER}RM{number:04d}", language=each, legal_name=f"Brokerage {number}")
        for number, each in enumerate(languages, start=1)
    ]
    told = tell(Month([posting(100_00, broker_bn9=BROKER)], [account(), *own]), (), [delegation()])

    (head,) = told.rows("broker_heads")
    (index,) = told.rows("provider_heads")
    assert [language] * 2 == [head["language"], index["language"]]
    assert ["Brokerage 1" if languages else None] * 2 == [head["legal_name"], index["legal_name"]]


# Indexes


@pytest.mark.parametrize(
    ("changed", "is_listed"),
    [
        # Issued on 2021-12-25.
        ({"valid_from": date(2021, 12, 25)}, True),
        ({"valid_from": date(2021, 12, 26)}, False),
        ({"valid_to": date(2021, 12, 26)}, True),
        ({"valid_to": date(2021, 12, 25)}, False),
        ({"valid_from": date(2021, 12, 25), "valid_to": date(2021, 12, 25)}, False),
        ({"provider_bn9": None}, False),
        ({"provider_bn9": "000000035"}, False),
        ({"role": "reader"}, True),
    ],
)
def test_a_delegation_counts_on_the_day_of_issue(changed: Row, is_listed: bool) -> None:
    told = tell(Month([posting()]), (), [delegation(**changed)])

    assert [] == told.problems
    assert is_listed == bool(told.rows("provider_clients"))
    assert is_listed == bool(told.indexes)


def test_several_delegations_between_two_are_one_entry_without_an_amount() -> None:
    several = [
        delegation(role=role, valid_to=until) for role in ("editor", "reader") for until in (None, date(2030, 1, 1))
    ]
    told = tell(Month([posting()]), (), [*several, delegation(provider_bn9=OTHER_BROKER)])

    assert [(BROKER, BN15, 1, DAYS["issued_on"], DAYS["due_on"], "en")] == [
        tuple(row[name] for name in ("bn9", "bn15", "version", "issued_on", "due_on", "language"))
        for row in told.rows("provider_clients")
        if row["bn9"] == BROKER
    ]
    assert {BROKER, OTHER_BROKER} == set(told.indexes)
    for dataset in ("provider_clients", "provider_heads"):
        assert not [name for name in told.tables[dataset].schema.names if name.endswith("_cents")]


def test_an_account_without_a_statement_or_parked_is_on_no_index() -> None:
    nothing_posted = tell(Month(), (), [delegation()])
    parked = tell(Month([posting(bn15=OTHER_BN15)], [account()]), (), [delegation(OTHER_BN15)])

    assert ([], []) == (nothing_posted.rows("provider_clients"), parked.rows("provider_clients"))


# For any ledger

ACCOUNTS = [BN15, SECOND_ACCOUNT, OTHER_BN15]
NUMBERS = [BROKER, OTHER_BROKER, None, "000000035"]
VALID = (BROKER, OTHER_BROKER)
CENTS = st.integers(-300, 300)


@st.composite
def _ledgers(draw: st.DrawFn) -> tuple[Month, list[Row]]:
    brokers = st.sampled_from(NUMBERS)
    keys = draw(st.lists(st.tuples(st.sampled_from(ACCOUNTS), st.integers(0, 5)), unique=True, max_size=8))
    carried = [
        secured(
            draw(CENTS.filter(bool)),
            bn15=bn15,
            item_id=f"T{number}",
            broker=draw(brokers),
            due_on=date(2021, draw(st.integers(8, 11)), 28),
        )
        for bn15, number in keys
    ]
    rows = []
    for number in range(draw(st.integers(0, 20))):
        status = draw(st.sampled_from(["accepted", "under_review", "cancelled", "reversed"]))
        amount, counts = draw(CENTS), status in ("accepted", "under_review")
        before = draw(st.sampled_from([0, amount, draw(CENTS)]))
        rows.append(
            posting(
                amount,
                bn15=draw(st.sampled_from(ACCOUNTS)),
                # The items of the month before have these numbers too: some rows are revisions of them.
                transaction_id=f"T{number % 9}",
                version=number // 9 + 1,
                kind=draw(st.sampled_from(["B3", "CAD", "PMT", "K32", "OFS", "NSF"])),
                status=status,
                posted_on=date(2021, 12, draw(st.integers(1, 24))),
                broker_bn9=draw(brokers),
                effect_cents=(amount if counts else 0) - before,
            )
        )
    published = draw(st.sets(st.sampled_from(ACCOUNTS), min_size=1))
    return Month(rows, [account(bn15) for bn15 in sorted(published)]), carried


@settings(max_examples=60)
@given(_ledgers())
def test_for_any_ledger_brokers_are_told_what_their_clients_are_told(ledger_of: tuple[Month, list[Row]]) -> None:
    month, carried = ledger_of
    told = tell(month, carried)
    published = {row["bn15"] for row in month.accounts}

    assert [] == told.problems
    labelled = Counter(
        (row["bn15"], row["transaction_id"], row["version"], row["broker_bn9"], row["effect_cents"])
        for row in month.postings
        if row["broker_bn9"] in VALID and row["bn15"] in published and (row["is_counted"] or row["effect_cents"])
    )
    assert labelled == Counter(
        (row["bn15"], row["transaction_id"], row["version"], row["bn9"], row["amount_cents"])
        for row in told.rows("broker_lines")
    )
    still_open = Counter[Any]()
    for row in told.open_items.to_pylist():
        if row["broker_bn9"] in VALID and row["bn15"] in published:
            still_open[row["broker_bn9"], row["bn15"]] += row["remaining_cents"]
    opened = Counter[Any]()
    for row in carried:
        if row["broker_bn9"] in VALID and row["bn15"] in published:
            opened[row["broker_bn9"], row["bn15"]] += row["remaining_cents"]
    clients = {(row["bn9"], row["bn15"]): row for row in told.rows("broker_clients")}
    for key in still_open.keys() | opened.keys() | clients.keys():
        opening, debits, credits, moved, settled, closing = flows(clients[key]) if key in clients else (0,) * 6
        assert (opened[key], still_open[key]) == (opening, closing)
        assert closing == opening + debits - credits + moved - settled
        assert min(debits, credits) >= 0
    for head in told.rows("broker_heads"):
        own = [row for row in clients.values() if row["bn9"] == head["bn9"]]
        assert flows(head) == tuple(map(sum, zip(*map(flows, own), strict=True)))
    assert {row["bn9"] for row in told.rows("broker_heads")} == {broker for broker, _ in clients}
    assert len(told.statements) == len(told.rows("broker_heads"))


@settings(max_examples=30)
@given(_ledgers(), st.sampled_from(["lines", "heads", "totals"]))
def test_for_any_ledger_a_broker_adds_nothing_to_what_clients_and_the_ledger_see(
    ledger_of: tuple[Month, list[Row]], what: str
) -> None:
    month, carried = ledger_of
    plain = Month([{**row, "broker_bn9": None} for row in month.postings], month.accounts)
    made = []
    for each, items in ((month, carried), (plain, [{**row, "broker_bn9": None} for row in carried])):
        opening = [brought_forward(row["remaining_cents"], bn15=row["bn15"]) for row in items]
        derived = ledger.derive(Month(each.postings, each.accounts, (), opening), carried=items)
        totals = engine.run_table(ledger.connection(), "derive_ledger_totals")
        made.append({"lines": derived.lines.drop_columns(["broker_bn9"]), "heads": derived.heads, "totals": totals})

    assert made[0][what].equals(made[1][what])


@settings(max_examples=30)
@given(_ledgers())
def test_for_any_ledger_nothing_is_moved_where_no_transaction_changes_its_broker(
    ledger_of: tuple[Month, list[Row]],
) -> None:
    month, carried = ledger_of
    fixed = {f"T{number}": NUMBERS[number % len(NUMBERS)] for number in range(9)}
    rows = [{**row, "broker_bn9": fixed[row["transaction_id"]]} for row in month.postings]
    told = tell(Month(rows, month.accounts), [{**row, "broker_bn9": fixed[row["item_id"]]} for row in carried])

    assert {0} >= {row["moved_cents"] for row in told.rows("broker_clients")}


# The checks find what is wrong


def _changed(name: str, change: Callable[[Row], Row]) -> Callable[[pa.Table], pa.Table]:
    def with_change(rows: pa.Table) -> pa.Table:
        return pa.Table.from_pylist([change(row) for row in rows.to_pylist()], schema=rows.schema)

    return with_change


def _plus_one(column: str) -> Callable[[pa.Table], pa.Table]:
    return _changed(column, lambda row: {**row, column: row[column] + 1})


def _nothing(rows: pa.Table) -> pa.Table:
    return rows.slice(0, 0)


def _twice(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows, rows])


@pytest.mark.parametrize(
    ("dataset", "change", "problem"),
    [
        ("broker_lines", _nothing, "a line that a broker secured is not on its statement"),
        ("broker_lines", _twice, "a line that a broker secured is on its statement more than once"),
        ("broker_lines", _plus_one("line_no"), "a line of a broker is no line of its client's statement"),
        ("broker_lines", _plus_one("amount_cents"), "a line of a broker is not what its client's statement says"),
        ("broker_lines", _plus_one("firm_key"), "a line of a broker is not what its client's statement says"),
        ("broker_items", _nothing, "an open debt that a broker secured is not on its statement"),
        ("broker_items", _twice, "an open debt of a broker is not what is open of its client's item"),
        (
            "broker_items",
            _plus_one("remaining_cents"),
            "an open debt of a broker is not what is open of its client's item",
        ),
        ("broker_items", _plus_one("account_key"), "an open debt of a broker is no open item of its client"),
        ("broker_clients", _nothing, "a client whose debts a broker secured is not on its statement"),
        ("broker_clients", _twice, "a client is on the statement of a broker more than once"),
        (
            "broker_clients",
            _plus_one("debits_cents"),
            "the lines of a broker do not add up to the debits and credits of their client",
        ),
        (
            "broker_clients",
            _plus_one("line_count"),
            "the lines of a broker do not add up to the debits and credits of their client",
        ),
        (
            "broker_clients",
            _plus_one("closing_cents"),
            "the open debts of a broker do not add up to what is open of their client",
        ),
        (
            "broker_clients",
            _plus_one("ageing_60_cents"),
            "the open debts of a broker do not add up to what is open of their client",
        ),
        (
            "broker_clients",
            _plus_one("settled_cents"),
            "what a broker secures is not what was open plus what came less what was paid",
        ),
        (
            "broker_clients",
            _plus_one("moved_cents"),
            "what a broker secures is not what was open plus what came less what was paid",
        ),
        ("broker_heads", _plus_one("closing_cents"), "the totals of a broker are not those of its clients"),
        ("broker_heads", _plus_one("clients"), "the totals of a broker are not those of its clients"),
        ("broker_heads", _nothing, "the totals of a broker are not those of its clients"),
        ("provider_clients", _nothing, "an account that delegated to a provider is not on its index"),
        ("provider_clients", _twice, "an account is on the index of a provider more than once"),
        (
            "provider_clients",
            _plus_one("firm_key"),
            "an account is on the index of a provider to whom it did not delegate",
        ),
    ],
)
def test_a_difference_between_the_views_is_found(
    dataset: str, change: Callable[[pa.Table], pa.Table], problem: str
) -> None:
    month = Month([posting(100_00, broker_bn9=BROKER)])
    given = ([secured(5_00)], [delegation()])
    sound = tell(month, *given)
    assert [] == sound.problems

    assert problem in tell(month, *given, instead={dataset: change(sound.tables[dataset])}).problems


CLOSED = {"bn9": BROKER, "firm_key": 34, "bn15": BN15, "account_key": 180001, "closing_cents": 5_00}


@pytest.mark.parametrize(
    ("carried", "before", "known", "is_broken"),
    [
        (5_00, [CLOSED], [BN15], False),
        (5_01, [CLOSED], [BN15], True),
        (5_00, [], [BN15], True),
        (None, [CLOSED], [BN15], True),
        # On no statement of the month before, or of this one: nothing is asked.
        (5_00, [], [OTHER_BN15], False),
        (5_00, [{**CLOSED, "firm_key": 42, "bn9": OTHER_BROKER}], [BN15], True),
        (5_00, [CLOSED, {**CLOSED, "bn15": OTHER_BN15, "account_key": 260001}], [BN15, OTHER_BN15], False),
    ],
)
def test_what_a_broker_secures_opens_with_what_the_month_before_closed_with(
    carried: int | None, before: list[Row], known: list[str], is_broken: bool
) -> None:
    told = tell(Month(), [secured(carried)] if carried else [secured(5_00, broker=None)])
    previous = ledger.table("broker_clients", before)
    accounts = pa.table({"account_key": pa.array([account_key(bn15) for bn15 in known], pa.int64())})
    this_month = pa.table({"account_key": pa.array([180001], pa.int64())})
    relations: dict[str, engine.Relation] = {
        "broker_accounts": this_month,
        "broker_clients": told.tables["broker_clients"],
        "previous_broker_accounts": accounts,
        "previous_broker_clients": previous,
    }
    with engine.connect() as con:
        found = engine.run_table(con, "check_broker_chain", relations).column("problem").to_pylist()

    assert ["what a broker secured does not open with what it closed the month before with"] * is_broken == found[:1]


def test_rows_of_different_months_are_not_joined() -> None:
    told = tell(Month([posting(100_00, broker_bn9=BROKER)]), (), [delegation()])
    (statement,) = told.statements.values()
    (index,) = told.indexes.values()
    head, client = (34, *statement.head), (34, 180001, *statement.parts[0].client)
    line, item = (34, 180001, *statement.parts[0].lines[0]), (34, 180001, *statement.parts[0].items[0])

    assert [statement] == list(build_broker_statements([head], [client], [line], [item]))
    for wrong in ([[], [line], [item]], [[client], [], [item]], [[client], [line], [item, item]]):
        with pytest.raises(ValueError, match="has other rows than it says"):
            list(build_broker_statements([head], *wrong))
    with pytest.raises(ValueError, match="rows of a broker without a statement"):
        list(build_broker_statements([], [client], [line], [item]))
    with pytest.raises(ValueError, match="has 0 entries instead of 1"):
        list(build_client_indexes([(34, *index.head)], []))
    with pytest.raises(ValueError, match="entries of an index without a head"):
        list(build_client_indexes([], [(34, *index.entries[0])]))
