from __future__ import annotations

import hashlib
import hmac
import stat
from contextlib import closing
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from include import engine, notices
from include.addresses import subscriber_entries
from include.carm.errors import DataError, Unavailable, UsageError
from include.carm.money import format_money
from include.carm.period import Period
from include.carm.recipients import address_problem, message_key
from include.database import write_transaction
from include.datasets import SCHEMAS
from include.distribution_list import EVENTS, LIST_ENTRIES, STANDING
from include.documents import read_document
from include.notices import ACCOUNT_CHANGES, publish_notices
from include.operations_plan_tables import ACCOUNT_CHANGES as JOURNAL
from include.webinar_notices import calendar_month, publish_webinar_notices
from tests.notices.months import HASH_KEY, Month, account, decision, statement, subscriber, webinar

A, B, C = "000000018RM0001", "000000026RM0001", "000123455RM0001"


@pytest.fixture
def month(tmp_path: Path) -> Month:
    return Month(tmp_path)


def run(month: Month, **changed: Any) -> dict[str, Any]:
    return publish_notices(month.ws, month.facts, **{"recipient_hash_key": HASH_KEY} | changed)


def run_webinars(month: Month) -> dict[str, Any]:
    return publish_webinar_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY)


def journal_row(bn15: str, outcome: str) -> dict[str, Any]:
    """A closing of 2021-12 as the journal has it; what the notices do not read is filled in by its type."""
    fillers = {int: 0, str: "-", date: date(2021, 12, 25)}
    row = {column.name: fillers[column.type.python_type] for column in JOURNAL.columns if not column.nullable}
    return row | {"bn15": bn15, "period": "2021-12", "action": "close", "program_type": "importer", "outcome": outcome}


# Account notices


def test_every_kind_reaches_its_account_in_its_language(month: Month) -> None:
    month.hold("accounts", [account(A), account(B, language="fr"), account(C, language=None)])
    month.seal("statements", [statement(A), statement(B)])
    month.seal("account_decisions", [decision(A, "keep"), decision(B, "close"), decision(C, "convert")])
    outcome = run(month)
    expected = {"statement": {"en": 1, "fr": 1}, "closure": {"fr": 1}, "conversion": {"both": 1}}
    assert expected == {kind: counts for kind, counts in outcome["by_kind"].items() if counts}
    assert (outcome["notices"], outcome["packs"]) == (4, 3)
    assert {("closure", "fr"), ("conversion", "both"), ("statement", "en"), ("statement", "fr")} == {
        (row["kind"], row["language"]) for row in month.rows()
    }
    assert B in month.texts("closure")[0]
    assert "2021-12-25" in month.texts("closure")[0]


@pytest.mark.parametrize("action", ["keep", "review", "hold", "unknown", "candidate"])
def test_a_decision_that_changes_nothing_is_no_notice(month: Month, action: str) -> None:
    month.hold("accounts", [account(A)])
    month.seal("account_decisions", [decision(A, action)])
    assert run(month)["notices"] == 0


def test_a_live_run_tells_only_what_was_applied(tmp_path: Path) -> None:
    month = Month(tmp_path, effects="live")
    month.hold("accounts", [account(A), account(B)])
    month.seal("account_decisions", [decision(A), decision(B)])
    applied = pa.Table.from_pylist([decision(B, effective_on=date(2021, 11, 25))], ACCOUNT_CHANGES)
    assert run(month, account_changes=applied)["by_kind"]["closure"] == {"en": 1}
    assert B in month.texts("closure")[0]
    # Of a change that was handed over and confirmed later, the day on which it took effect.
    assert "2021-11-25" in month.texts("closure")[0]


def test_a_live_run_asks_the_journal_what_was_applied(tmp_path: Path) -> None:
    month = Month(tmp_path, effects="live")
    month.hold("accounts", [account(A)])
    month.seal("account_decisions", [decision(A)])
    assert run(month)["notices"] == 0
    with write_transaction(month.ws.operations) as connection:
        connection.execute(insert(JOURNAL), [journal_row(A, "applied"), journal_row(B, "dropped")])
    assert [row["kind"] for row in month.rows()] == []
    assert run(month)["by_kind"]["closure"] == {"en": 1}


def test_the_row_of_a_message_leads_to_its_bytes(month: Month) -> None:
    month.hold("accounts", [account(A, email="Reader@Example.ORG ")])
    month.seal("statements", [statement(A)])
    run(month)
    (row,) = month.rows()
    recipient = hmac.new(HASH_KEY, b"reader@example.org", "sha256").hexdigest()
    assert recipient == row["recipient_key"]
    assert message_key("statement", recipient, f"{A}/2021-12", 1) == row["message_key"]
    folder = month.folder / "documents" / "notices" / "period=2021-12"
    text, html = (read_document(folder, f"{row['message_key']}.{part}", "statement-*.zip") for part in ("txt", "html"))
    assert text is not None
    assert html is not None
    assert hashlib.sha256(text + html).hexdigest() == row["body_sha256"]


def test_a_new_version_of_a_statement_is_a_new_message(month: Month) -> None:
    month.hold("accounts", [account(A)])
    keys = []
    for version in (1, 2):
        month.seal("statements", [statement(A, version=version)])
        run(month)
        keys.append(month.rows()[0]["message_key"])
    assert keys[0] != keys[1]
    assert "version 2" in month.texts("statement")[0]


def test_one_address_with_two_accounts_gets_a_message_for_each(month: Month) -> None:
    month.hold("accounts", [account(A, email="broker@example.org"), account(B, email="broker@example.org")])
    month.seal("statements", [statement(A), statement(B)])
    run(month)
    assert len({row["recipient_key"] for row in month.rows()}) == 1
    assert len({row["message_key"] for row in month.rows()}) == 2


def test_who_cannot_be_reached_is_counted_and_listed_without_an_address(month: Month) -> None:
    month.hold("accounts", [account(A, email=None), account(B, email="first@example.org,second@example.org")])
    month.seal("statements", [statement(A), statement(B), statement(C)])
    month.seal("account_decisions", [decision(A)])
    outcome = run(month)
    expected = {"statement": {"no_address": 2, "unusable_address": 1}, "closure": {"no_address": 1}}
    assert expected == {kind: counts for kind, counts in outcome["unreachable"].items() if counts}
    assert outcome["notices"] == 0
    listed = (month.folder / "documents/notices/period=2021-12/unreachable.csv").read_text()
    assert listed == (
        "kind,bn15,reason\n"
        f"closure,{A},no_address\n"
        f"statement,{A},no_address\n"
        f"statement,{B},unusable_address\n"
        f"statement,{C},no_address\n"
    )


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("reader@example.org", None),
        ("first.last+tag@mail.example.org", None),
        ("reader@xn--exmple-cua.ca", None),
        ("réception@exemple.ca", "unusable_address"),
        ("reader@ex\u0430mple.org", "unusable_address"),  # A Cyrillic letter that looks like a Latin one.
        (None, "no_address"),
        ("", "no_address"),
        (" \n", "no_address"),
        ("reader", "unusable_address"),
        ("reader@", "unusable_address"),
        ("@example.org", "unusable_address"),
        ("reader@example", "unusable_address"),
        ("reader@@example.org", "unusable_address"),
        ("a@b@example.org", "unusable_address"),
        ("reader@example.org\nBcc: x@example.org", "unusable_address"),
        ("reader@example.org\r\n", "unusable_address"),
        ("reader@example.org\x00", "unusable_address"),
        ("reader @example.org", "unusable_address"),
        ("Reader <reader@example.org>", "unusable_address"),
        ("one@example.org;two@example.org", "unusable_address"),
        ('"a b"@example.org', "unusable_address"),
        ("reader@.example.org", "unusable_address"),
        ("reader@example..org", "unusable_address"),
        (f"{'x' * 64}@example.org", None),
        (f"{'x' * 65}@example.org", "unusable_address"),
        (f"x@{'y' * 248}.org", None),
        (f"x@{'y' * 249}.org", "unusable_address"),
    ],
)
def test_an_address_is_usable_or_says_why_not(address: str | None, problem: str | None) -> None:
    assert problem == address_problem(address)


@given(st.text(max_size=80))
def test_a_usable_address_can_never_begin_a_second_header(address: str) -> None:
    if address_problem(address) is None:
        assert [address] == address.split()
        assert address.count("@") == 1


amounts = st.integers(min_value=10_000_00, max_value=99_999_999_99).map(lambda cents: cents | 1)


@settings(max_examples=10, deadline=None)
@given(st.lists(amounts, min_size=1, max_size=20, unique=True))
def test_no_statement_notice_names_an_amount(closing: list[int]) -> None:
    with TemporaryDirectory() as folder:
        month = Month(Path(folder))
        bn15s = [f"000000018RM{number:04d}" for number in range(1, len(closing) + 1)]
        month.hold("accounts", [account(bn15, language=None) for bn15 in bn15s])
        month.seal(
            "statements", [statement(bn15, closing_cents=cents) for bn15, cents in zip(bn15s, closing, strict=True)]
        )
        run(month)
        said = "".join(month.documents("statement").values()) + "".join(row["subject"] for row in month.rows())
        assert len(closing) == len(month.texts("statement"))
        assert "$" not in said
        for cents in closing:
            figure = f"{cents // 100}"
            assert not {figure, f"{cents // 100:,}", f"{cents // 100:,}".replace(",", "\u00a0")} & set(said.split())
            assert not [form for language in ("en", "fr") if (form := format_money(cents, language)) in said]


def test_no_address_and_no_hash_key_is_left_behind(month: Month) -> None:
    month.hold("accounts", [account(A, email="secret-person@example.org")])
    month.seal("statements", [statement(A)])
    month.hold("subscribers", [subscriber("secret-person@example.org")])
    month.seal("webinars", [webinar()])
    said = repr([run(month), run_webinars(month)])
    left = b"".join(month.files().values())
    assert "secret-person" not in said
    assert b"secret-person" not in left
    assert HASH_KEY not in left


# Running it again


def filled(month: Month) -> Month:
    month.hold("accounts", [account(A), account(B, language="fr"), account(C, email=None)])
    month.seal("statements", [statement(A), statement(B), statement(C)])
    month.seal("account_decisions", [decision(A), decision(B, "convert")])
    month.hold("subscribers", [subscriber("one@example.org"), subscriber("two@example.org", language="fr")])
    month.seal("webinars", [webinar("W1"), webinar("W2", "2022-01-13T13:00:00-05:00", language="fr")])
    return month


def test_the_same_month_again_gives_the_same_bytes(month: Month) -> None:
    filled(month)
    first, left = [run(month), run_webinars(month)], month.files()
    again = [run(month), run_webinars(month)]
    assert [outcome["outbox"]["sealed"] for outcome in first + again] == [4, 2, 0, 0]
    assert [{**outcome, "outbox": None} for outcome in first] == [{**outcome, "outbox": None} for outcome in again]
    assert left == month.files()
    assert len(left) == 4 + 1 + 2  # four packs, the list, two datasets


def test_two_folders_with_the_same_month_have_the_same_bytes(tmp_path: Path) -> None:
    months = [filled(Month(tmp_path / name)) for name in ("one", "two")]
    for month in months:
        run(month)
        run_webinars(month)
    assert months[0].files() == months[1].files()


def test_both_dags_write_beside_each_other(month: Month) -> None:
    filled(month)
    run(month)
    run_webinars(month)
    run(month)
    assert {"closure", "conversion", "statement"} == {row["kind"] for row in month.rows("notices")}
    assert {"webinar"} == {row["kind"] for row in month.rows("webinar_notices")}
    assert len(month.texts("webinar")) == 2


def test_a_run_with_fewer_messages_leaves_no_pack_of_the_run_before(month: Month, monkeypatch: Any) -> None:
    monkeypatch.setattr(notices, "MESSAGES_PER_PACK", 2)
    bn15s = [f"000000018RM{number:04d}" for number in range(1, 6)]
    month.hold("accounts", [account(bn15) for bn15 in bn15s])
    month.seal("statements", [statement(bn15) for bn15 in bn15s])
    assert run(month)["packs"] == 3
    keys = [row["message_key"] for row in month.rows()]
    assert sorted(keys) == keys
    month.seal("statements", [statement(bn15) for bn15 in bn15s[:2]])
    assert run(month)["packs"] == 1
    assert len(month.texts("statement")) == 2


def test_files_are_for_their_owner_alone(month: Month) -> None:
    filled(month)
    run(month)
    folder = month.folder / "documents" / "notices" / "period=2021-12"
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_a_shadow_run_of_an_issued_month_writes_beside_the_record(tmp_path: Path) -> None:
    month = filled(Month(tmp_path))
    run(month)
    record = month.files()
    month.facts["area"] = "shadow"
    run(month)
    assert record.items() <= month.files().items()
    assert len([name for name in month.files() if name.startswith("shadow/documents/notices/") and ".zip" in name]) == 3


def test_a_month_that_was_not_sealed_is_refused(month: Month) -> None:
    month.facts["period"] = "2022-01"
    with pytest.raises(DataError, match="2022-01"):
        run(month)


def test_two_rows_with_one_key_stop_the_month(month: Month) -> None:
    month.hold("accounts", [account(A)])
    month.seal("statements", [statement(A), statement(A)])
    with pytest.raises(DataError, match="1 notices of 2021-12 have the key of another"):
        run(month)
    assert month.documents("statement") == {}


@pytest.mark.parametrize("key", [b"", "short", b"fifteen bytes.."])
def test_a_weak_hash_key_is_refused(month: Month, key: bytes | str) -> None:
    with pytest.raises(UsageError, match="at least 16"):
        run(month, recipient_hash_key=key)


def test_a_folder_that_cannot_be_written_is_one_clear_line(month: Month) -> None:
    filled(month)
    (month.folder / "documents").write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match=r"cannot write the notices of 2021-12 .*run the month again"):
        run(month)


# Webinar notices


def subscribe(month: Month, *people: dict[str, Any]) -> None:
    month.hold("subscribers", people)


def offers(month: Month) -> dict[str, set[str]]:
    """Which webinars each person is offered, by address."""
    addresses = subscriber_entries(month.ws)["email"].to_pylist()
    named = {notices.recipient_key(address, HASH_KEY): address for address in addresses}
    documents, people = month.documents("webinar"), {}
    for row in month.rows("webinar_notices"):
        text = documents[f"{row['message_key']}.txt"]
        people[named[row["recipient_key"]]] = {f"W{n}" for n in range(1, 10) if f"https://example.org/W{n}\n" in text}
    return people


def select(statement_name: str, relations: dict[str, list[dict[str, Any]]], **parameters: Any) -> list[dict[str, Any]]:
    """What one SQL statement makes of the rows of its ``relations``."""
    schemas = SCHEMAS | {
        "subscriber_entries": LIST_ENTRIES,
        "subscription_events": EVENTS,
        "suppressions": STANDING,
    }
    tables = {
        name: pa.Table.from_pylist(
            [{column: row.get(column) for column in schemas[name].names} for row in rows], schemas[name]
        )
        for name, rows in relations.items()
    }
    with closing(engine.connect()) as con:
        found: list[dict[str, Any]] = engine.run_table(con, statement_name, tables, parameters).to_pylist()
    return found


def test_sessions_are_offered_in_the_subscribers_language_or_in_both(month: Month) -> None:
    subscribe(
        month,
        subscriber("en@example.org", language="en"),
        subscriber("fr@example.org", language="fr"),
        subscriber("any@example.org", language=None),
    )
    month.seal("webinars", [webinar(f"W{n}", language=spoken) for n, spoken in enumerate(("en", "fr", "both"), 1)])
    expected = {"en@example.org": {"W1", "W3"}, "fr@example.org": {"W2", "W3"}, "any@example.org": {"W1", "W2", "W3"}}
    run_webinars(month)
    assert expected == offers(month)
    assert {"en", "fr", "both"} == {row["language"] for row in month.rows("webinar_notices")}


def test_who_has_no_session_gets_no_message(month: Month) -> None:
    subscribe(month, subscriber("en@example.org"), subscriber("fr@example.org", language="fr"))
    month.seal("webinars", [webinar("W1", language="en")])
    outcome = run_webinars(month)
    assert (outcome["notices"], outcome["without_session"]) == (1, 1)
    assert outcome["by_kind"] == {"webinar": {"en": 1}}


def test_a_month_without_sessions_writes_an_empty_dataset(month: Month) -> None:
    subscribe(month, subscriber())
    outcome = run_webinars(month)
    assert (outcome["notices"], outcome["packs"], outcome["without_session"]) == (0, 0, 1)
    assert month.rows("webinar_notices") == []


def test_the_latest_revision_counts_and_cancelled_sessions_are_not_offered(month: Month) -> None:
    subscribe(month, subscriber())
    month.seal(
        "webinars",
        [
            webinar("W1", revision=1),
            webinar("W1", revision=2, starts_at="2022-01-19T10:00:00-05:00"),
            webinar("W2", revision=1),
            webinar("W2", revision=2, status="cancelled"),
            webinar("W3", revision=1),
            webinar("W3", revision=2, starts_at="2022-02-02T10:00:00-05:00"),
            webinar("W4", revision=1, status="cancelled"),
            webinar("W4", revision=2),
            webinar("W5", status="postponed"),
            webinar("W6", language="xx"),
        ],
    )
    outcome = run_webinars(month)
    assert {"reader@example.org": {"W1", "W4"}} == offers(month)
    assert outcome["sessions"] == {"offered": 2, "cancelled": 1, "unreadable": 2}
    assert "2022-01-19" in month.texts("webinar")[0]


@pytest.mark.parametrize(
    ("period", "starts_at", "is_offered"),
    [
        # January 2022, five hours behind UTC: its evenings are the next day there.
        ("2021-12", "2021-12-31T23:59:00-05:00", False),
        ("2021-12", "2022-01-01T04:59:00Z", False),
        ("2021-12", "2022-01-01T00:00:00-05:00", True),
        ("2021-12", "2022-01-01T05:00:00Z", True),
        ("2021-12", "2022-01-31T23:59:00-05:00", True),
        ("2021-12", "2022-02-01T04:59:00Z", True),
        ("2021-12", "2022-02-01T00:00:00-05:00", False),
        # March 2022 begins in standard time and ends in daylight time.
        ("2022-02", "2022-03-01T04:59:00Z", False),
        ("2022-02", "2022-03-01T05:00:00Z", True),
        ("2022-02", "2022-04-01T03:59:00Z", True),
        ("2022-02", "2022-04-01T04:00:00Z", False),
        # November 2022 the other way round.
        ("2022-10", "2022-11-01T03:59:00Z", False),
        ("2022-10", "2022-11-01T04:00:00Z", True),
        ("2022-10", "2022-12-01T04:59:00Z", True),
        ("2022-10", "2022-12-01T05:00:00Z", False),
        # Written in another zone, or the same instant in another way.
        ("2021-12", "2022-02-01T06:30:00+02:00", True),
        ("2021-12", "2022-01-12 13:00-0500", True),
        # What cannot be placed is not offered.
        ("2021-12", "2022-01-12T13:00:00", False),
        ("2021-12", "2022-01-12", False),
        ("2021-12", "12 January, 1 p.m.", False),
        ("2021-12", None, False),
    ],
)
def test_the_sessions_are_those_of_the_coming_calendar_month_in_eastern_time(
    period: str, starts_at: str | None, is_offered: bool
) -> None:
    starts, ends = calendar_month(Period.parse(period).next())
    rows = select(
        "derive_webinar_notice_sessions",
        {"webinars": [webinar() | {"starts_at": starts_at}]},
        month_starts_at=starts,
        month_ends_at=ends,
        concerned_from=starts,
    )
    assert is_offered == any(row["state"] == "offered" and row["is_of_month"] for row in rows)


@pytest.mark.parametrize("minutes", [None, 0, -5, 1441, 10**12])
def test_a_session_without_a_usable_duration_is_told_without_its_end(month: Month, minutes: int | None) -> None:
    subscribe(month, subscriber())
    month.seal("webinars", [webinar("W1", duration_minutes=minutes)])
    run_webinars(month)
    assert "13:00, Eastern Standard Time" in month.texts("webinar")[0]


def test_a_link_that_is_no_web_page_is_asked_for_by_mail(month: Month) -> None:
    subscribe(month, subscriber())
    month.seal("webinars", [webinar("W1", join_url="javascript:alert(1)")])
    run_webinars(month)
    assert "javascript" not in "".join(month.documents("webinar").values())
    assert "Ask for the link of the session of 2022-01-12" in month.texts("webinar")[0]


DAY = date(2021, 12, 25)


@pytest.mark.parametrize(
    ("entries", "is_on_the_list"),
    [
        ([(date(2021, 12, 24), None)], True),
        ([(DAY, None)], True),
        ([(date(2021, 12, 26), None)], False),
        ([(None, None)], False),
        ([(date(2021, 1, 1), date(2021, 12, 24))], False),
        ([(date(2021, 1, 1), DAY)], False),
        ([(date(2021, 1, 1), date(2021, 12, 26))], True),
        # Left and came back; came back and left; two entries of which one left.
        ([(date(2021, 1, 1), date(2021, 3, 1)), (date(2021, 6, 1), None)], True),
        ([(date(2021, 6, 1), date(2021, 7, 1)), (date(2021, 1, 1), None)], False),
        ([(date(2021, 6, 1), None), (date(2021, 6, 1), date(2021, 6, 1))], False),
    ],
)
def test_the_list_is_as_of_the_day_of_issue(
    entries: list[tuple[date | None, date | None]], is_on_the_list: bool
) -> None:
    reader = {"recipient_key": "a reader", "address": "reader@example.org"}
    rows = [reader | subscriber(subscribed_on=joined, unsubscribed_on=left) for joined, left in entries]
    others: dict[str, list[dict[str, Any]]] = {"quarantine": [], "subscription_events": [], "suppressions": []}
    people = select("derive_distribution_list", {"subscriber_entries": rows, **others}, issued_on=DAY)
    assert is_on_the_list == ("subscribed" in {person["state"] for person in people})


def test_one_person_gets_one_message_however_often_the_address_is_written(month: Month) -> None:
    month.seal("webinars", [webinar()])
    subscribe(
        month, subscriber("Reader@example.org"), subscriber(" reader@EXAMPLE.org", subscribed_on=date(2021, 8, 1))
    )
    outcome = run_webinars(month)
    assert outcome["notices"] == 1
    assert "(2021-08-01)" in month.texts("webinar")[0]


def test_two_languages_on_one_day_become_a_message_in_both(month: Month) -> None:
    month.seal("webinars", [webinar()])
    subscribe(month, subscriber(language="en"), subscriber(language="fr"))
    assert run_webinars(month)["by_kind"] == {"webinar": {"both": 1}}


def test_a_later_wish_for_a_language_wins(month: Month) -> None:
    month.seal("webinars", [webinar()])
    subscribe(month, subscriber(language="en"), subscriber(language="fr", subscribed_on=date(2021, 9, 1)))
    assert run_webinars(month)["by_kind"] == {"webinar": {"fr": 1}}


def test_people_on_the_list_without_a_usable_address_are_counted(month: Month) -> None:
    month.seal("webinars", [webinar()])
    subscribe(month, subscriber("nobody"), subscriber(""), subscriber("one@example.org"))
    outcome = run_webinars(month)
    assert outcome["unreachable"] == {"webinar": {"no_address": 1, "unusable_address": 1}}
    assert outcome["notices"] == 1
    assert not list(month.folder.glob("**/unreachable.csv"))


def test_the_message_of_a_month_has_one_key_however_its_sessions_change(month: Month) -> None:
    subscribe(month, subscriber())
    keys = []
    for starts_at in ("2022-01-12T13:00:00-05:00", "2022-01-13T13:00:00-05:00"):
        month.seal("webinars", [webinar("W1", starts_at)])
        run_webinars(month)
        keys.append(month.rows("webinar_notices")[0]["message_key"])
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("month_text", "hours"), [("2022-01", 744), ("2022-03", 743), ("2022-07", 744), ("2022-11", 721)]
)
def test_a_calendar_month_is_as_long_as_its_clocks_say(month_text: str, hours: int) -> None:
    start, end = calendar_month(Period.parse(month_text))
    assert hours == (end - start).total_seconds() / 3600
