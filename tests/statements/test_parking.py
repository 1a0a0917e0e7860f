"""One account that does not add up is parked with its reason, and stops neither the others nor the month after."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert

from include import engine, statements
from include.carm.business_number import bn9_with_check_digit
from include.carm.errors import DataError, Refused
from include.carm.policy import Limit
from include.documents import read_documents
from include.operations_statement_tables import STATEMENT_REGISTRY
from include.parking import REASONS, count_parked, released_accounts
from include.source_schema import TABLES, create_tables
from include.statement_acts import Order, issue_parked
from include.statement_reader import read_statement
from include.statement_rendering import OBJECTS_NAME
from tests.statements.ledger import Month, Row, account, brought_forward, derive, posting
from tests.statements.months import SealedMonth

ACCOUNTS = [f"{bn9_with_check_digit(f'{number:08d}')}RM0001" for number in range(1, 6)]
BAD = ACCOUNTS[2]
OTHERS = [bn15 for bn15 in ACCOUNTS if bn15 != BAD]

DECEMBER = [
    row
    for place, bn15 in enumerate(ACCOUNTS)
    for row in (
        posting(10_000 + place, bn15=bn15, transaction_id=f"D{place}", customs_duty_cents=10_000 + place),
        posting(-4_000, bn15=bn15, transaction_id=f"P{place}", kind="PMT"),
    )
]
JANUARY = [
    posting(700 + place, bn15=bn15, transaction_id=f"J{place}", posted_on=date(2022, 1, 3))
    for place, bn15 in enumerate(ACCOUNTS)
]
FORWARD = [brought_forward(500, bn15=bn15) for bn15 in ACCOUNTS]
REGISTER = [account(bn15) for bn15 in ACCOUNTS]


def december_in(folder: Path, **named: Any) -> SealedMonth:
    return SealedMonth(folder, **named).seal(DECEMBER, REGISTER, FORWARD)


def january_in(folder: Path, **named: Any) -> SealedMonth:
    return SealedMonth(folder, period="2022-01", **named).seal(JANUARY, REGISTER)


@dataclass(frozen=True)
class Left:
    """What a month left of the accounts that are not parked, and which accounts it parked."""

    statements: list[Row]
    lines: list[Row]
    documents: dict[str, bytes]
    parked: dict[str, str]

    def without(self, bn15: str) -> Left:
        return Left(
            [row for row in self.statements if row["bn15"] != bn15],
            [row for row in self.lines if row["bn15"] != bn15],
            {name: content for name, content in self.documents.items() if not name.startswith(bn15)},
            self.parked,
        )


def left_by(month: SealedMonth) -> Left:
    return Left(
        month.rows("statements"),
        month.rows("statement_lines"),
        # The list of the objects' hashes names whoever is in the pack.
        {
            name: content
            for pack in month.folder.glob("*.zip")
            for name, content in read_documents(pack)
            if name != OBJECTS_NAME
        },
        {row["bn15"]: row["reason"] for row in month.rows("parked")},
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """What December leaves when nothing is wrong, made once."""
    month = december_in(tmp_path_factory.mktemp("sound"))
    month.run()
    return left_by(month)


def assert_only_one_is_parked(month: SealedMonth, sound: Left, reason: str) -> None:
    left = left_by(month)
    assert {BAD: reason} == left.parked
    assert sound.without(BAD) == replace(left, parked={})
    assert sorted(OTHERS) == [row["bn15"] for row in left.statements]
    # Neither as a name nor inside a page: a pack is stored as it is.
    packs = sorted(month.folder.glob("*.zip"))
    assert packs
    assert not [pack for pack in packs if BAD.encode() in pack.read_bytes()]
    totals = month.rows("ledger_totals")
    for column, total in (("debits_cents", "debit_cents"), ("credits_cents", "credit_cents")):
        assert sum(row[column] for row in left.statements) == sum(row[total] for row in totals)


Bend = Callable[[str, str, str], None]


@pytest.fixture
def bend(monkeypatch: pytest.MonkeyPatch) -> Bend:
    """Change the text of one statement of ``include/sql``, as a fault of the code would that meets one account."""
    load = engine.load_statement

    def bend(name: str, old: str, new: str) -> None:
        bent = load(name).replace(old, new)
        assert bent != load(name)
        monkeypatch.setattr(engine, "load_statement", lambda asked: bent if asked == name else load(asked))

    return bend


def _if_bad(then: str, otherwise: str) -> str:
    return f"CASE WHEN bn15 = '{BAD}' THEN {then} ELSE {otherwise} END"


# One account, one fault, one reason


@pytest.mark.parametrize(
    ("reason", "statement", "old", "new"),
    [
        (
            "posting_not_on_one_line",
            "derive_statement_lines",
            "WHERE is_counted OR effect_cents <> 0",
            f"WHERE (is_counted OR effect_cents <> 0) AND NOT (bn15 = '{BAD}' AND kind = 'PMT')",
        ),
        (
            "posting_not_on_one_line",
            "derive_statement_lines",
            "    effect_cents AS amount_cents,",
            f"    {_if_bad('effect_cents + 1', 'effect_cents')} AS amount_cents,",
        ),
        (
            "lines_do_not_add_up",
            "derive_statement_lines",
            "    CAST(running_balance_cents AS BIGINT)",
            f"    CAST({_if_bad('0', 'running_balance_cents')} AS BIGINT)",
        ),
        (
            "lines_do_not_add_up",
            "derive_statement_lines",
            "    component_sign * COALESCE(gst_cents, 0)",
            f"    {_if_bad('1', '0')} + component_sign * COALESCE(gst_cents, 0)",
        ),
        (
            "balance_does_not_add_up",
            "derive_statement_heads",
            "    opening_cents,\n    debits_cents,",
            f"    {_if_bad('opening_cents + 1', 'opening_cents')} AS opening_cents,\n    debits_cents,".replace(
                "bn15", "accounts_with_balances.bn15"
            ),
        ),
        (
            "open_items_do_not_add_up",
            "derive_open_items",
            "COALESCE(allocated_items.moved_cents, 0) AS BIGINT)",
            f"{_if_bad('0', 'COALESCE(allocated_items.moved_cents, 0)')} AS BIGINT)".replace("bn15", "items.bn15"),
        ),
    ],
)
def test_only_the_account_with_the_fault_is_parked_and_the_others_are_what_they_were(
    tmp_path: Path, sound: Left, bend: Bend, reason: str, statement: str, old: str, new: str
) -> None:
    bend(statement, old, new)

    month = december_in(tmp_path / "bent")
    result = month.run()

    assert 4 == result["statements"]
    assert_only_one_is_parked(month, sound, reason)


def test_an_account_whose_row_stands_twice_is_parked_once(tmp_path: Path) -> None:
    # No posting, so that what stands twice is the statement itself.
    postings = [row for row in DECEMBER if row["bn15"] != BAD]
    sound = SealedMonth(tmp_path / "sound").seal(postings, REGISTER, FORWARD)
    sound.run()

    twice = [*REGISTER, account(BAD, legal_name="Another Name Ltd.")]
    month = SealedMonth(tmp_path / "bent").seal(postings, twice, FORWARD)
    month.run()

    assert_only_one_is_parked(month, left_by(sound), "not_one_statement")
    assert 1 == len([row for row in month.rows("statement_heads") if row["bn15"] == BAD])


def test_an_account_that_lost_its_balance_is_parked_though_nothing_of_it_is_left(tmp_path: Path) -> None:
    """A closing balance of December, and in January neither an opening one, nor a row, nor a posting."""
    december_in(tmp_path).run()
    SealedMonth(tmp_path).publish("activity", [row for row in _activity() if row["bn15"] != BAD])
    SealedMonth(tmp_path).publish("baseline", [row for row in FORWARD if row["bn15"] != BAD])
    items = [row for row in SealedMonth(tmp_path).rows("open_items") if row["bn15"] != BAD]
    SealedMonth(tmp_path).publish("open_items", items)
    january = SealedMonth(tmp_path, period="2022-01")
    january.seal([row for row in JANUARY if row["bn15"] != BAD], [row for row in REGISTER if row["bn15"] != BAD]).run()

    (parked,) = january.rows("parked")
    assert (BAD, "chain_is_broken", 0, 0, 0) == tuple(
        parked[name] for name in ("bn15", "reason", "opening_cents", "closing_cents", "posting_count")
    )
    assert sorted(OTHERS) == [row["bn15"] for row in january.rows()]


def _activity(of: str = "", more_cents: int = 0) -> list[Row]:
    from tests.statements.ledger import activity_of

    return [
        row | {"effect_cents": row["effect_cents"] + (more_cents if row["bn15"] == of else 0)}
        for row in activity_of(DECEMBER)
    ]


def test_a_row_of_activity_that_the_postings_do_not_bear_parks_its_account(tmp_path: Path, sound: Left) -> None:
    month = december_in(tmp_path / "bent")
    month.publish("activity", _activity(BAD, 1))

    month.run()

    assert_only_one_is_parked(month, sound, "balance_does_not_add_up")


def test_what_december_left_behind_is_proved_by_january(tmp_path: Path) -> None:
    """A row of another closing balance breaks the chain, a row of another rest the sum of the open items."""
    for folder in ("sound", "chain", "items"):
        december_in(tmp_path / folder).run()
    sound = january_in(tmp_path / "sound")
    sound.run()
    for folder, dataset, column, reason in (
        ("chain", "statements", "closing_cents", "chain_is_broken"),
        ("items", "open_items", "remaining_cents", "open_items_do_not_add_up"),
    ):
        change(SealedMonth(tmp_path / folder), dataset, column)
        january = january_in(tmp_path / folder)
        january.run()
        assert_only_one_is_parked(january, left_by(sound), reason)


def change(month: SealedMonth, dataset: str, column: str) -> None:
    """Seal the dataset anew with a cent more on the first row of the account."""
    table = pq.read_table(month.ws.lake().file(dataset, month.period), partitioning=None)
    rows = table.to_pylist()
    next(row for row in rows if row["bn15"] == BAD)[column] += 1
    month.ws.lake().publish_and_seal(
        dataset, month.period, pa.Table.from_pylist(rows, schema=table.schema), run_id="test"
    )


# What stops the month all the same


def test_a_fault_of_more_accounts_than_the_policy_lets_pass_stops_the_month(tmp_path: Path) -> None:
    month = december_in(tmp_path)
    month.publish("activity", [row | {"effect_cents": 1} for row in _activity() if row["bn15"] in ACCOUNTS[:3]])
    month.ws = replace(month.ws, policy=replace(month.ws.policy, parking=Limit(rows=4, share=0.001)))
    # Three rows that say otherwise, and two accounts whose rows are gone.
    with pytest.raises(DataError) as stopped:
        month.run()

    assert str(stopped.value) == (
        "the statements of 2021-12 are not published: 5 accounts of 5 would be parked (balance_does_not_add_up 5), "
        "more than policy.yaml allows; the fault is in the data or the code of the month and not in them: run carm "
        "verify, and keep the log"
    )
    assert not month.ws.lake().has("statement_heads", month.period)

    month.ws = replace(month.ws, policy=replace(month.ws.policy, parking=Limit(rows=5, share=0.001)))
    month.run()
    assert sorted(ACCOUNTS) == sorted(left_by(month).parked)


def test_a_fault_that_stays_though_its_account_is_parked_stops_the_month(tmp_path: Path, bend: Bend) -> None:
    bend(
        "derive_statement_lines",
        "    WHERE parked_reason IS NULL",
        f"    WHERE parked_reason IS NULL OR bn15 = '{BAD}'",
    )
    month = SealedMonth(tmp_path).seal(DECEMBER, [row for row in REGISTER if row["bn15"] != BAD], FORWARD)

    with pytest.raises(DataError, match=r"a posting of a parked account is printed .* though its account was parked"):
        month.run()
    assert not month.ws.lake().has("statement_heads", month.period)


def test_a_fault_that_belongs_to_no_account_stops_the_month(tmp_path: Path) -> None:
    month = december_in(tmp_path)
    month.publish("transactions", [*DECEMBER, {**posting(), "bn15": None, "account_key": None}])

    with pytest.raises(DataError, match=r"^the statements of 2021-12 are not published: .*; run the month again$"):
        month.run()
    assert not month.ws.lake().has("statement_heads", month.period)


def test_an_account_may_be_parked_only_with_a_reason_and_must_be_where_there_is_one() -> None:
    sound = derive(Month([posting()]))
    (head,) = sound.heads.to_pylist()
    to_park = {"bn15": head["bn15"], "account_key": head["account_key"], "reason": "chain_is_broken"}

    parked = derive(Month([posting()], parking=[to_park]))
    assert ([], ["chain_is_broken"]) == (parked.problems, parked.parked.column("reason").to_pylist())
    assert "an account with a published row is parked" in derive(Month([posting()]), heads=parked.heads).problems
    assert (
        "an account that is to be parked has a statement"
        in derive(Month([posting()], parking=[to_park]), heads=sound.heads).problems
    )


@pytest.mark.parametrize(
    ("reason", "is_asked"),
    [
        (None, True),
        ("account_not_published", True),
        ("open_items_do_not_add_up", False),
        ("previous_month_parked", False),
    ],
)
def test_of_an_account_that_is_known_not_to_add_up_nothing_is_asked_again(reason: str | None, is_asked: bool) -> None:
    """As ``carm verify`` asks: whose items, or whose opening balance, are a cent off."""
    heads = pa.Table.from_pylist(
        [{"bn15": BAD, "account_key": 3, "opening_cents": 5, "closing_cents": 7, "parked_reason": reason}],
        schema=pa.schema(
            {
                "bn15": pa.string(),
                "account_key": pa.int64(),
                "opening_cents": pa.int64(),
                "closing_cents": pa.int64(),
                "parked_reason": pa.string(),
            }
        ),
    )
    items = pa.table({"bn15": [BAD], "account_key": [3], "remaining_cents": [8]})
    closings = pa.table({"bn15": [BAD], "account_key": [3], "closing_cents": [4]})
    with engine.connect() as con:
        found = [
            engine.run_table(con, "check_open_items", {"open_items": items, "statement_heads": heads}),
            engine.run_table(
                con, "check_statement_chain", {"previous_statements": closings, "previous_parked": closings.slice(0, 0)}
            ),
        ]
    expected = [[BAD], [BAD]] if is_asked else [[], []]
    assert expected == [rows.column("bn15").to_pylist() for rows in found]


# The months after


def test_a_parked_account_is_parked_again_until_its_statement_is_issued(live: SealedMonth) -> None:
    live.publish("activity", _activity(BAD, 1))
    live.run()
    assert {BAD: "balance_does_not_add_up"} == left_by(live).parked
    # What was wrong is mended: the account adds up now, and yet its December is outstanding.
    live.publish("activity", _activity())

    january = january_in(live.ws.data, apply_url=live.ws.source_url, effects="shadow")
    january.run()
    assert {BAD: "previous_month_parked"} == left_by(january).parked
    assert not [pack for pack in january.folder.glob("*.zip") if BAD.encode() in pack.read_bytes()]

    issue_late(live)
    january.run()
    assert {} == left_by(january).parked
    (december,) = (row for row in live.rows("parked") if row["bn15"] == BAD)
    (statement,) = (row for row in january.rows() if row["bn15"] == BAD)
    assert december["closing_cents"] == statement["opening_cents"]


def test_a_month_that_was_issued_keeps_its_parked_accounts_whatever_was_issued_late_since(live: SealedMonth) -> None:
    live.publish("activity", _activity(BAD, 1))
    live.run()
    live.publish("activity", _activity())
    january = january_in(live.ws.data, apply_url=live.ws.source_url, effects="live")
    january.run()
    issued = january.files()
    issue_late(live)

    # The same run again, and another live run, which works beside the record.
    assert 0 == january.run()["newly_issued"]
    assert issued == january.files()
    january.facts |= {"area": "shadow", "run_id": "manual__again"}
    assert 0 == january.run()["newly_issued"]
    assert {BAD: "previous_month_parked"} == left_by(january).parked
    # Shadow shows what would be now.
    january.facts |= {"effects": "shadow", "run_id": "manual__shadow"}
    january.run()
    assert {} == left_by(january).parked


def test_a_month_that_is_not_issued_is_unparked_by_running_it_again(tmp_path: Path) -> None:
    december = december_in(tmp_path)
    december.publish("accounts", [row for row in REGISTER if row["bn15"] != BAD])
    december.run()
    january = january_in(tmp_path)
    january.run()
    assert {BAD: "previous_month_parked"} == left_by(january).parked

    december.publish("accounts", REGISTER)
    december.run()
    january.run()
    assert ({}, {}) == (left_by(december).parked, left_by(january).parked)


def test_an_outstanding_statement_outlasts_a_month_in_which_nothing_happens(tmp_path: Path) -> None:
    december = december_in(tmp_path)
    paid = [row for row in DECEMBER if row["bn15"] != BAD] + [
        posting(10_000, bn15=BAD, transaction_id="D"),
        posting(-10_500, bn15=BAD, transaction_id="P", kind="PMT"),
    ]
    december.seal(paid, [row for row in REGISTER if row["bn15"] != BAD], FORWARD).run()
    for period in ("2022-01", "2022-02"):
        month = SealedMonth(tmp_path, period=period).seal([], REGISTER)
        month.run()
        (parked,) = month.rows("parked")
        assert (BAD, "previous_month_parked", 0, 0) == tuple(
            parked[name] for name in ("bn15", "reason", "closing_cents", "posting_count")
        )


def test_a_month_with_nothing_to_state_waits_for_the_month_before_and_for_no_statement_of_its_own(
    tmp_path: Path,
) -> None:
    december = december_in(tmp_path, effects="live")
    settled = [row for row in DECEMBER if row["bn15"] != BAD] + [
        posting(10_000, bn15=BAD, transaction_id="D"),
        posting(-10_500, bn15=BAD, transaction_id="P", kind="PMT"),
    ]
    december.seal(settled, [row for row in REGISTER if row["bn15"] != BAD], FORWARD).run()
    january = SealedMonth(tmp_path, period="2022-01", effects="live").seal([], REGISTER)
    later = [posting(700, bn15=BAD, transaction_id="F", posted_on=date(2022, 2, 3))]
    february = SealedMonth(tmp_path, period="2022-02", effects="live").seal(later, REGISTER)
    for month in (january, february):
        month.run()
        assert {BAD: "previous_month_parked"} == left_by(month).parked
    put_on_record(december, account(BAD))
    for month, before in ((january, "2021-12"), (february, "2022-01")):
        with pytest.raises(Refused, match=f"is parked in {before} too: issue the statement of {before} first"):
            issue_parked(month.ws, month.period, BAD, LATE)

    assert 1 == issue_parked(december.ws, december.period, BAD, LATE)["version"]

    with pytest.raises(Refused, match="has nothing to state in 2022-01"):
        issue_parked(january.ws, january.period, BAD, LATE)
    march = SealedMonth(tmp_path, period="2022-03").seal([], REGISTER)
    march.run()
    assert {BAD: "previous_month_parked"} == left_by(march).parked
    assert 1 == issue_parked(february.ws, february.period, BAD, LATE)["version"]
    march.run()
    assert {} == left_by(march).parked


@pytest.mark.parametrize("what", ["it is closed", "it lost its balance"])
def test_a_month_that_has_something_to_state_of_an_idle_account_is_waited_for(tmp_path: Path, what: str) -> None:
    december = december_in(tmp_path, effects="live")
    settled = [posting(-500, bn15=BAD, transaction_id="P", kind="PMT")]
    december.seal(settled, [row for row in REGISTER if row["bn15"] != BAD], FORWARD).run()
    if what == "it lost its balance":
        change(december, "parked", "closing_cents")
    closed_on = date(2022, 1, 3) if what == "it is closed" else None
    register = [account(bn15, closed_on=closed_on if bn15 == BAD else None) for bn15 in ACCOUNTS]
    january = SealedMonth(tmp_path, period="2022-01", effects="live").seal([], register)
    january.run()
    issue_late(december)

    february = SealedMonth(tmp_path, period="2022-02").seal([], REGISTER)
    february.run()

    assert {BAD: "previous_month_parked"} == left_by(february).parked


LATE = Order.of("it came late", "il arrive en retard", date(2022, 3, 1), "clerk", "manual restate")


def put_on_record(month: SealedMonth, row: Row) -> None:
    """The account as the register has it now."""
    with month.ws.source.begin() as connection:
        create_tables(connection, ["accounts"])
        known = {name: value for name, value in row.items() if name in TABLES["accounts"].c}
        connection.execute(insert(TABLES["accounts"]), [known])


def test_a_month_after_a_gap_begins_anew(tmp_path: Path) -> None:
    december = december_in(tmp_path)
    december.publish("accounts", [row for row in REGISTER if row["bn15"] != BAD])
    december.run()
    # January was extracted and has no statements.
    january_in(tmp_path)
    february = SealedMonth(tmp_path, period="2022-02").seal([], REGISTER)
    february.run()
    assert {} == left_by(february).parked
    assert sorted(ACCOUNTS) == [row["bn15"] for row in february.rows()]


def test_a_parked_account_that_fails_again_is_still_waiting_for_its_month_before(tmp_path: Path) -> None:
    december = december_in(tmp_path)
    december.publish("activity", _activity(BAD, 1))
    december.run()
    january = january_in(tmp_path)
    # December still does not add up, and no limit is spent on an account that is parked already.
    january.ws = replace(january.ws, policy=replace(january.ws.policy, parking=Limit(rows=0, share=0)))
    january.run()
    assert {BAD: "previous_month_parked"} == left_by(january).parked


@pytest.fixture
def live(tmp_path: Path, database_url: str) -> SealedMonth:
    return december_in(tmp_path / "data", apply_url=database_url, effects="live")


def issue_late(month: SealedMonth) -> None:
    """The row that the registry has once an outstanding statement was issued."""
    row = {
        "period": str(month.period),
        "bn15": BAD,
        "version": 1,
        "document_sha256": "0" * 64,
        "template_version": "0",
    }
    with month.ws.operations.begin() as connection:
        connection.execute(insert(STATEMENT_REGISTRY), [row])


def test_released_is_who_was_parked_and_has_a_statement_of_that_very_month(live: SealedMonth) -> None:
    issue_late(live)
    parked = pa.table({"bn15": [BAD, OTHERS[0]], "account_key": [3, 1]})
    with live.ws.operations.connect() as connection:
        released = released_accounts(connection, live.period, parked).to_pylist()
        assert [{"bn15": BAD, "account_key": 3, "period": "2021-12"}] == released
        assert 0 == released_accounts(connection, live.period.next(), parked).num_rows
        assert 0 == released_accounts(connection, live.period, parked.slice(1)).num_rows
        assert 0 == released_accounts(connection, live.period, parked.slice(0, 0)).num_rows


# What a person is told


@pytest.mark.parametrize("effects", ["shadow", "live"])
def test_whoever_asks_is_told_why_in_words_and_what_to_do(live: SealedMonth, effects: str) -> None:
    live.facts["effects"] = effects
    live.publish("activity", _activity(BAD, 1))
    live.run()

    with pytest.raises(DataError) as told:
        read_statement(live.ws, live.period, BAD)
    again = {
        "shadow": "run 2021-12 again",
        "live": "trigger carm_restate for 2021-12 with the act issue_parked",
    }[effects]
    assert str(told.value) == (
        f"account {BAD} has no statement for 2021-12: it is parked (balance_does_not_add_up), for its balance is not "
        f"what its postings add up to; find what is wrong in the month's rows of that account in the lake, then {again}"
    )


def test_every_reason_that_a_statement_gives_has_its_words() -> None:
    given = {
        reason
        for name in (
            "derive_statement_heads",
            "check_statement_cover",
            "check_statement_chain",
            "check_statement_balances",
        )
        for reason in REASONS
        if reason in engine.load_statement(name)
    }
    assert given | {"previous_month_parked"} == set(REASONS)


def test_the_log_counts_by_reason_and_names_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    month = december_in(tmp_path)
    month.publish("accounts", [row for row in REGISTER if row["bn15"] not in ACCOUNTS[:2]])
    month.publish("activity", _activity(BAD, 1))
    with caplog.at_level(logging.WARNING, "include.parking"):
        statements.publish_statement_lines(month.ws, month.facts)

    assert [
        "2021-12: 3 accounts parked and without a statement: account_not_published 2, balance_does_not_add_up 1"
    ] == [record.getMessage() for record in caplog.records if record.name == "include.parking"]


def test_a_month_without_a_parked_account_says_nothing_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "include.parking"):
        december_in(tmp_path).run()
    assert [] == [record for record in caplog.records if record.name == "include.parking"]
    assert {} == count_parked(pa.table({"reason": pa.array([], pa.string())}))
