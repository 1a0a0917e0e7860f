"""Who is told what about an account: the policy, the roles of delegates, and each person once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import insert, text

from include.addresses import delegate_addresses
from include.carm.errors import UsageError
from include.carm.notice_policy import ACCOUNT_KINDS, DELEGATE_ROLES, ROLES, NoticePolicy
from include.carm.period import Period
from include.carm.recipients import recipient_key
from include.carm.settings_file import CONFIG_FOLDER
from include.database import write_transaction
from include.notices import find_unreached, publish_notices
from include.operations_notice_tables import OUTBOX, SUPPRESSIONS
from tests.notices.months import HASH_KEY, Month, account, decision, delegation, statement

A, B = "000000018RM0001", "000000026RM0001"
DECEMBER = Period(2021, 12)  # its last day is 2021-12-24
LAST_DAY = date(2021, 12, 24)
POLICY = NoticePolicy.load()


@pytest.fixture
def month(tmp_path: Path) -> Month:
    month = Month(tmp_path)
    month.hold("accounts", [account(A), account(B, language="fr")])
    month.seal("statements", [statement(A)])
    return month


def run(month: Month, policy: NoticePolicy = POLICY) -> dict[str, Any]:
    return publish_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY, policy=policy)


def told(month: Month, *addresses: str) -> Counter[str]:
    """How many messages each of ``addresses`` gets; whoever else gets one stands under ``others``."""
    names = {recipient_key(address, HASH_KEY): address for address in addresses}
    return Counter(names.get(row["recipient_key"], "others") for row in month.rows())


OWN = f"{A.lower()}@example.org"


# The policy


def test_the_shipped_policy_names_every_kind() -> None:
    assert tuple(POLICY.recipients) == ACCOUNT_KINDS
    assert all("account" in roles for roles in POLICY.recipients.values())
    assert POLICY.digest_from_messages == 5
    assert POLICY.reminds_of_mfa


SHIPPED = (CONFIG_FOLDER / "notices.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        ("  mfa: [account, business_account_manager]", "  mfa: [account, owner]", "recipients.mfa is"),
        ("  mfa: [account, business_account_manager]", "  mfa: [account, account]", "write each word once"),
        ("  mfa: [account, business_account_manager]", "  mfa: []", "recipients.mfa is empty: write at least one of"),
        ("  mfa: [account, business_account_manager]", "  mfa: account", "recipients.mfa is 'account'"),
        ("  mfa: [account, business_account_manager]", "", "recipients.mfa is missing"),
        ("  mfa: [account", "  quarterly: [account]\n  mfa: [account", "recipients.quarterly is unknown"),
        ("from_messages: 5", "from_messages: 1", "a whole number of at least 2"),
        ("from_messages: 5", "from: 5", "digest.from is unknown"),
        ("most_lines: 500", "most_lines: 9", "a whole number of at least 10"),
        ("remind: true", "remind: quarterly", "mfa.remind is 'quarterly': write true or false"),
        ("letters: [closure,", "letters: [digest,", "letters is"),
    ],
)
def test_a_policy_that_is_wrong_says_where(tmp_path: Path, good: str, bad: str, problem: str) -> None:
    path = tmp_path / "notices.yaml"
    assert good in SHIPPED
    path.write_text(SHIPPED.replace(good, bad, 1), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        NoticePolicy.load(path)
    assert problem in str(caught.value)


def test_what_is_not_about_recipients_is_left_to_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "notices.yaml"
    path.write_text(f"{SHIPPED}\nsomething_else: {{of: others}}\n", encoding="utf-8")
    assert NoticePolicy.load(path) == POLICY


# Delegates


def test_account_and_delegates_are_told_in_the_language_of_the_account(month: Month) -> None:
    month.seal("statements", [statement(A), statement(B)])
    month.hold("delegations", [delegation(A), delegation(B, email="autre@example.org")])
    assert run(month)["by_kind"]["statement"] == {"en": 2, "fr": 2}
    expected = {OWN: 1, "delegate@example.org": 1, f"{B.lower()}@example.org": 1, "autre@example.org": 1}
    assert told(month, *expected) == expected


@pytest.mark.parametrize("role", DELEGATE_ROLES)
@pytest.mark.parametrize("kind", ["statement", "closure"])
def test_a_role_gets_what_the_policy_says_and_nothing_else(month: Month, role: str, kind: str) -> None:
    month.seal("account_decisions", [decision(A)])
    month.hold("delegations", [delegation(A, role=role)])
    others = tuple(one for one in ROLES if one != role)
    policy = replace(POLICY, recipients={**dict.fromkeys(ACCOUNT_KINDS, others), kind: (role,)})
    run(month, policy)
    of_delegate = recipient_key("delegate@example.org", HASH_KEY)
    assert [(kind, of_delegate)] == [(row["kind"], row["recipient_key"]) for row in month.rows() if row["kind"] == kind]
    assert [kind] == [row["kind"] for row in month.rows() if row["recipient_key"] == of_delegate]


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "is_told"),
    [
        (LAST_DAY, None, True),
        (date(2021, 12, 25), None, False),
        (date(2021, 1, 1), date(2021, 12, 25), True),
        (date(2021, 1, 1), LAST_DAY, False),
        (LAST_DAY, date(2021, 12, 25), True),
    ],
)
def test_a_delegation_counts_on_the_last_day_and_not_on_the_day_on_which_it_ends(
    month: Month, valid_from: date, valid_to: date | None, is_told: bool
) -> None:
    month.hold("delegations", [delegation(A, valid_from=valid_from, valid_to=valid_to)])
    run(month)
    assert told(month, OWN, "delegate@example.org") == {OWN: 1} | ({"delegate@example.org": 1} if is_told else {})


def test_one_person_in_several_roles_and_spellings_gets_one_message(month: Month) -> None:
    month.hold(
        "delegations",
        [
            delegation(A, email=OWN.upper(), role="business_account_manager"),
            delegation(A, email="Delegate@Example.ORG", role="editor"),
            delegation(A, email="delegate@example.org", role="reader", provider_bn9="000000026"),
            delegation(A, email="delegate@example.org", role="reader", provider_bn9="000000026"),
        ],
    )
    run(month)
    assert told(month, OWN, "delegate@example.org") == {OWN: 1, "delegate@example.org": 1}


def test_a_delegate_of_two_accounts_is_told_of_each(month: Month) -> None:
    month.seal("statements", [statement(A), statement(B)])
    month.hold("delegations", [delegation(A), delegation(B)])
    run(month)
    assert told(month, "delegate@example.org")["delegate@example.org"] == 2


def test_a_delegation_in_quarantine_is_not_written_to(month: Month) -> None:
    # The space is what validation refuses; mail could use what is left without it.
    refused, kept = delegation(A, email=" refused@example.org"), delegation(A, email="kept@example.org")
    month.enter("delegations", [refused, kept])
    month.seal("delegations", [kept])
    with write_transaction(month.ws.source) as connection:
        assert connection.execute(text("SELECT count(*) FROM delegations")).scalar_one() == 2
    month.seal("quarantine", [{"dataset": "delegations", "row_hash": hash_of(month, refused)}])
    run(month)
    assert told(month, OWN, "kept@example.org", "refused@example.org") == {OWN: 1, "kept@example.org": 1}


def hash_of(month: Month, row: dict[str, Any]) -> str:
    """The hash under which quarantine knows a row of the source."""
    from include import engine
    from include.feeds import DELEGATIONS

    texts = {name: [None if row[name] is None else str(row[name])] for name in DELEGATIONS.columns}
    raw = pa.table({"row_no": [1]} | {name: pa.array(values, pa.string()) for name, values in texts.items()})
    with engine.connect() as con:
        found = engine.run_table(con, "stage_delegations", {"raw_delegations": raw})
    return str(found["row_hash"][0].as_py())


def test_the_hash_of_another_feed_refuses_no_delegation(month: Month) -> None:
    month.hold("delegations", [delegation(A)])
    month.seal("quarantine", [{"dataset": "subscribers", "row_hash": hash_of(month, delegation(A))}])
    run(month)
    assert told(month, "delegate@example.org")["delegate@example.org"] == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"valid_from": date(2021, 2, 1)},
        {"valid_to": date(2022, 2, 1)},
        {"role": "reader"},
        {"name": "Another"},
        {"provider_bn9": "000000026"},
        {"bn15": B},
    ],
)
def test_a_delegation_that_the_month_did_not_publish_is_not_written_to(month: Month, changed: dict[str, Any]) -> None:
    month.hold("delegations", [delegation(A)])
    month.enter("delegations", [delegation(A) | changed])
    assert delegate_addresses(month.ws, month.ws.lake(), DECEMBER).num_rows == 0


def test_a_delegate_of_an_account_that_validation_refused_is_not_written_to(month: Month) -> None:
    month.seal("accounts", [])
    month.hold("delegations", [delegation(A)])
    outcome = run(month)
    assert (outcome["notices"], outcome["unreachable"]["statement"]) == (0, {"no_address": 1})


def test_a_source_without_delegations_has_no_delegates(month: Month) -> None:
    with write_transaction(month.ws.source) as connection:
        connection.execute(text("DROP TABLE IF EXISTS delegations"))
    run(month)
    assert told(month, OWN) == {OWN: 1}


def test_no_address_of_a_delegate_is_left_behind(month: Month) -> None:
    month.hold("delegations", [delegation(A, email="secret-person@example.org")])
    said = repr(run(month))
    assert "secret-person" not in said
    assert b"secret-person" not in b"".join(month.files().values())


# Who is reached by nobody


@pytest.mark.parametrize("own", [None, "no address at all"])
def test_an_account_whose_delegate_is_told_is_not_out_of_reach(month: Month, own: str | None) -> None:
    month.hold("accounts", [account(A, email=own)])
    month.hold("delegations", [delegation(A)])
    outcome = run(month)
    assert outcome["unreachable"]["statement"] == {}
    assert outcome["notices"] == 1
    assert unreachable(month) == []


def unreachable(month: Month) -> list[str]:
    folder = month.ws.documents(month.facts["area"]) / "notices" / f"period={month.period}"
    return (folder / "unreachable.csv").read_text().splitlines()[1:]


def test_whom_neither_account_nor_delegate_reaches_stands_once_with_the_reason_that_says_most(month: Month) -> None:
    month.hold("accounts", [account(A, email=None)])
    month.hold("delegations", [delegation(A, email="not-mail"), delegation(A, email="nor-this", role="reader")])
    assert run(month)["unreachable"]["statement"] == {"unusable_address": 1}
    assert unreachable(month) == [f"statement,{A},unusable_address"]


def suppress(month: Month, address: str, scope: str = "all") -> None:
    with write_transaction(month.ws.operations) as connection:
        row = {"recipient_key": recipient_key(address, HASH_KEY), "scope": scope, "reason": "bounced"}
        connection.execute(insert(SUPPRESSIONS).values(**row, since=LAST_DAY, source="bounce"))


def test_who_is_not_written_to_any_more_is_out_of_reach(tmp_path: Path) -> None:
    month = Month(tmp_path, effects="live")
    month.hold("accounts", [account(A), account(B)])
    month.seal("statements", [statement(A), statement(B)])
    suppress(month, OWN)
    suppress(month, f"{B.lower()}@example.org", scope="list")
    outcome = run(month)
    assert outcome["unreachable"]["statement"] == {"suppressed": 1}
    assert unreachable(month) == [f"statement,{A},suppressed"]
    with month.ws.operations.connect() as connection:
        rows = connection.execute(OUTBOX.select().order_by(OUTBOX.c.about)).all()
    assert [(row.about, row.state) for row in rows] == [(f"{A}/2021-12", "suppressed"), (f"{B}/2021-12", "planned")]


def test_who_is_not_written_to_is_no_loss_where_another_is_told(month: Month) -> None:
    month.hold("delegations", [delegation(A)])
    suppress(month, OWN)
    assert run(month)["unreachable"]["statement"] == {}


def test_who_gets_nothing_at_all_is_no_account_that_nobody_reaches(month: Month) -> None:
    # A message to the list is about no account; that it is not sent stands in the outbox.
    listed = pa.table({"kind": ["webinar"], "about": ["webinars/2022-01"], "version": [1], "recipient_key": ["r"]})
    assert find_unreached(listed.append_column("message_key", pa.array(["m"])), [], {}, {"r"}) == []
