"""One message in the place of many: from when on, of what, in which language, and what a later step adds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import select

from include.carm.notice_policy import NoticePolicy
from include.carm.recipients import message_key, recipient_key
from include.database import write_transaction
from include.digests import language_of
from include.notice_intents import owe_statements
from include.notices import ACCOUNT_CHANGES, publish_notices
from include.operations_notice_tables import DIGEST_TELLINGS, NOTICE_INTENTS, OUTBOX
from tests.notices.months import HASH_KEY, Month, account, decision, delegation, statement
from tests.notices.samples import figures

POLICY = NoticePolicy.load()
DESK = "desk@example.org"
DESK_KEY = recipient_key(DESK, HASH_KEY)
MANY = [f"000000018RM{number:04d}" for number in range(1, 26)]


def clients(month: Month, count: int, **changed: Any) -> list[str]:
    """So many accounts with the same desk behind them, each with its statement."""
    numbers = MANY[:count]
    month.hold("accounts", [account(bn15, email=DESK, **changed) for bn15 in numbers])
    month.seal("statements", [statement(bn15) for bn15 in numbers])
    return numbers


def run(month: Month, changes: Iterable[str] = (), policy: NoticePolicy = POLICY) -> dict[str, Any]:
    closed = [decision(bn15, effective_on=date(2021, 12, 25)) for bn15 in changes]
    table = pa.Table.from_pylist(closed, ACCOUNT_CHANGES)
    return publish_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY, account_changes=table, policy=policy)


def kinds(month: Month) -> dict[str, int]:
    rows = month.rows()
    return {kind: sum(row["kind"] == kind for row in rows) for kind in sorted({row["kind"] for row in rows})}


def told_by_outbox(month: Month) -> list[tuple[str, str]]:
    """Every event that the outbox tells the desk, by kind and what it is about: alone or in a digest."""
    with month.ws.operations.connect() as connection:
        box, line = OUTBOX.c, DIGEST_TELLINGS.c
        alone = select(box.kind, box.about).where(box.kind != "digest", box.recipient_key == DESK_KEY)
        lines = select(line.kind, line.about).join_from(DIGEST_TELLINGS, OUTBOX, line.message_key == box.message_key)
        return sorted(tuple(row) for query in (alone, lines) for row in connection.execute(query))


@pytest.fixture
def live(tmp_path: Path) -> Month:
    return Month(tmp_path, effects="live")


# From when on


@pytest.mark.parametrize(("accounts", "expected"), [(4, {"statement": 4}), (5, {"digest": 1}), (6, {"digest": 1})])
def test_a_person_gets_a_digest_from_the_fifth_message_on(
    tmp_path: Path, accounts: int, expected: dict[str, int]
) -> None:
    month = Month(tmp_path)
    clients(month, accounts)
    run(month)
    assert kinds(month) == expected


def test_messages_are_counted_and_not_accounts(tmp_path: Path) -> None:
    month = Month(tmp_path)
    numbers = clients(month, 3)
    month.seal("account_decisions", [decision(bn15) for bn15 in numbers[:2]])
    run(month)
    assert kinds(month) == {"digest": 1}
    (text,) = month.texts("digest")
    assert "takes the place of 5 messages" in text


def test_other_people_of_the_same_accounts_get_their_messages(tmp_path: Path) -> None:
    month = Month(tmp_path)
    numbers = clients(month, 5)
    month.hold("delegations", [delegation(numbers[0])])
    run(month)
    assert kinds(month) == {"digest": 1, "statement": 1}
    (alone,) = [row for row in month.rows() if row["kind"] == "statement"]
    assert alone["recipient_key"] == recipient_key("delegate@example.org", HASH_KEY)


def test_the_number_is_policy(tmp_path: Path) -> None:
    month = Month(tmp_path)
    clients(month, 3)
    run(month, policy=replace(POLICY, digest_from_messages=3))
    assert kinds(month) == {"digest": 1}


@pytest.mark.parametrize(
    ("accounts", "lengths"), [(10, [10]), (11, [5, 6]), (20, [10, 10]), (21, [7, 7, 7]), (25, [8, 8, 9])]
)
def test_a_digest_has_no_more_lines_than_the_policy_allows(tmp_path: Path, accounts: int, lengths: list[int]) -> None:
    month = Month(tmp_path)
    month.facts["effects"] = "live"
    numbers = clients(month, accounts)
    limited = replace(POLICY, digest_most_lines=10)
    run(month, policy=limited)
    texts = month.texts("digest")
    named = [re.findall(r"^  (\d{9}RM\d{4})$", text, re.MULTILINE) for text in texts]
    assert sorted(map(len, named)) == lengths
    assert sorted(bn15 for some in named for bn15 in some) == sorted(numbers)
    assert all(some == sorted(some) for some in named)
    assert len(told_by_outbox(month)) == len(set(told_by_outbox(month))) == accounts
    run(month, policy=limited)
    assert sorted(texts) == sorted(month.texts("digest"))
    # What is new later goes into further ones.
    run(month, numbers[:10], policy=limited)
    assert len(month.texts("digest")) == len(lengths) + 1
    assert len(told_by_outbox(month)) == len(set(told_by_outbox(month))) == accounts + 10


def test_a_digest_has_a_key_of_its_own(tmp_path: Path) -> None:
    month = Month(tmp_path)
    clients(month, 5)
    run(month)
    (row,) = month.rows()
    assert row["message_key"] == message_key("digest", DESK_KEY, "digest/2021-12", 1)
    assert sorted(month.documents("digest")) == [f"{row['message_key']}.html", f"{row['message_key']}.txt"]


# What it says


def test_a_digest_names_every_account_with_what_happened_and_no_amount(tmp_path: Path) -> None:
    month = Month(tmp_path)
    numbers = clients(month, 5)
    month.seal("statements", [statement(bn15, closing_cents=123_456_789) for bn15 in numbers])
    month.seal("account_decisions", [decision(numbers[0]), decision(numbers[1], "convert")])
    run(month)
    (text,) = month.texts("digest")
    entries = [entry.split("\n")[0].strip() for entry in text.split("\n  0000")[1:]]
    assert entries == [bn15.removeprefix("0000") for bn15 in (*numbers[:1] * 2, *numbers[1:2] * 2, *numbers[2:])]
    assert "closed - 2021-12-25" in text
    assert "program type corrected: exporter - 2021-12-25" in text
    assert text.count("statement of account ready - 2021-12-25") == 5
    for part in month.documents("digest").values():
        assert "$" not in part
        assert "1234567" not in part.replace(",", "").replace("\u00a0", "")


HOSTILE = "<b>Ltd.</b>\r\nBcc: x@example.org\u202e{{ 7 * 7 }}"


def test_a_hostile_name_in_a_digest_is_text(tmp_path: Path) -> None:
    month = Month(tmp_path)
    clients(month, 5, legal_name=HOSTILE)
    run(month)
    documents = month.documents("digest")
    for part in documents.values():
        assert "\u202e" not in part
        assert "\nBcc" not in part
        assert "{{ 7 * 7 }}" in part
    assert all("<b>Ltd" not in part for name, part in documents.items() if name.endswith(".html"))


@pytest.mark.parametrize(
    ("spoken", "expected"),
    [
        ("en en fr", "en"),
        ("en fr fr", "fr"),
        ("en fr", "both"),
        ("both both", "both"),
        ("both both fr", "fr"),
        ("en fr both", "both"),
    ],
)
def test_a_digest_is_in_the_language_of_most(spoken: str, expected: str) -> None:
    assert language_of([{"language": language} for language in spoken.split()]) == expected


def test_english_and_french_digests_have_the_same_figures(tmp_path: Path) -> None:
    texts = []
    for language in ("en", "fr"):
        month = Month(tmp_path / language)
        numbers = clients(month, 5, language=language)
        month.seal("account_decisions", [decision(numbers[0]), decision(numbers[1], "convert")])
        run(month)
        texts += month.texts("digest")
    assert figures(texts[0]) == figures(texts[1])


# Run again, and later in the month


def test_a_second_run_changes_nothing(live: Month) -> None:
    clients(live, 6)
    first, left = run(live), live.files()
    again = run(live)
    assert (first["outbox"]["planned"], again["outbox"]["planned"]) == (1, 0)
    assert {**first, "outbox": None} == {**again, "outbox": None}
    assert left == live.files()


def test_what_comes_late_after_single_messages_is_told_alone(live: Month) -> None:
    numbers = clients(live, 4)
    run(live)
    run(live, numbers[:3])
    # Seven events of one person, and no digest: what was told is not told again to make one.
    assert kinds(live) == {"closure": 3, "statement": 4}
    assert len(told_by_outbox(live)) == len(set(told_by_outbox(live))) == 7


def test_a_little_that_comes_late_after_a_digest_is_told_alone(live: Month) -> None:
    numbers = clients(live, 6)
    run(live)
    before = live.documents("digest")
    run(live, numbers[:4])
    assert kinds(live) == {"closure": 4, "digest": 1}
    assert live.documents("digest") == before
    assert len(told_by_outbox(live)) == len(set(told_by_outbox(live))) == 10


def test_much_that_comes_late_is_a_further_digest_with_what_is_new(live: Month) -> None:
    numbers = clients(live, 6)
    run(live)
    before = live.documents("digest")
    run(live, numbers[:5])
    assert kinds(live) == {"digest": 2}
    after = live.documents("digest")
    assert before.items() < after.items()
    (fresh,) = [text for name, text in after.items() if name not in before and name.endswith(".txt")]
    assert "It is message 2 of this kind" in fresh
    assert "ready" not in fresh
    assert fresh.count("closed - 2021-12-25") == 5
    assert len(told_by_outbox(live)) == len(set(told_by_outbox(live))) == 11


def test_a_third_step_tells_nothing_that_the_two_before_told(live: Month) -> None:
    numbers = clients(live, 6)
    for closed in (0, 5, 6, 6):
        run(live, numbers[:closed])
    assert kinds(live) == {"closure": 1, "digest": 2}
    assert len(told_by_outbox(live)) == len(set(told_by_outbox(live))) == 12


def test_another_number_in_the_policy_takes_nothing_back(live: Month) -> None:
    clients(live, 5)
    run(live)
    run(live, policy=replace(POLICY, digest_from_messages=50))
    assert kinds(live) == {"digest": 1}


def test_a_digest_of_a_shadow_run_was_told_to_nobody(tmp_path: Path) -> None:
    month = Month(tmp_path)
    numbers = clients(month, 5)
    run(month)
    month.facts["effects"] = "live"
    run(month, numbers[:1])
    assert kinds(month) == {"digest": 1}
    assert len(told_by_outbox(month)) == 6
    with month.ws.operations.connect() as connection:
        assert [row.state for row in connection.execute(select(OUTBOX.c.state).where(OUTBOX.c.kind == "digest"))] == [
            "planned"
        ]


def test_a_digest_settles_all_that_it_tells(live: Month) -> None:
    numbers = clients(live, 5)
    with write_transaction(live.ws.operations) as connection:
        owe_statements(connection, "2021-12", [(bn15, 1) for bn15 in numbers], "test")
    run(live)
    with live.ws.operations.connect() as connection:
        states = connection.execute(select(NOTICE_INTENTS.c.state)).scalars().all()
    assert states == ["told"] * 5


def test_five_hundred_clients_of_one_desk_get_one_message(live: Month) -> None:
    numbers = [f"{number:09d}RM0001" for number in range(1, 501)]
    live.hold("accounts", [account(bn15, email=DESK) for bn15 in numbers])
    live.seal("statements", [statement(bn15) for bn15 in numbers])
    assert run(live)["by_kind"]["digest"] == {"en": 1}
    (text,) = live.texts("digest")
    assert [bn15 for bn15 in numbers if f"\n  {bn15}\n" not in text] == []
