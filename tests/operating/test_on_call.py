"""What the person on call is told, what never is, and that it arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.airflow_settings import ConnectionSettings
from include.carm.errors import DataError, Unavailable, UsageError
from include.mail_route import MailRoute
from include.on_call import (
    Message,
    Run,
    forget_first,
    is_first,
    one_line_of,
    read_addresses,
    send_to_on_call,
    tell_failure,
    tell_held_plan,
    tell_late,
)
from tests.mail.post import PostOffice, open_post

AT = datetime(2021, 12, 25, 11, 0, tzinfo=UTC)
BASE = "https://airflow.example/prefix/"
RUN = Run("carm_month", "scheduled__2021-12-25T11:00:00+00:00", "2021-12")
PLAN: dict[str, Any] = {
    "period": "2021-12",
    "reason": "900 of 1,000 open accounts would change (90.0 %); the policy lets 100 pass in a run",
    "plan_hash": "ab" * 32,
    "changes": 900,
    "approval": "needed",
    "counts": {"close": {"no_activity_4_years": 900}, "keep": {"active": 100}},
    "margins": [
        {"limit": "max_share", "stratum": "all", "changes": 900, "allowed": 100},
        {"limit": "max_changes", "stratum": "all", "changes": 900, "allowed": 1000},
    ],
}


@pytest.fixture
def post(tmp_path: Path, sqlite_url: str) -> Iterator[PostOffice]:
    with open_post(tmp_path / "data", sqlite_url) as opened:
        yield opened


def route_of(post: PostOffice) -> MailRoute:
    return MailRoute.of(ConnectionSettings.parse("carm_smtp", post.connection()))


# What it says.


def test_a_failure_says_what_failed_why_and_where_to_look() -> None:
    error = DataError("612 of 9,000 rows fail validation, more than the 450 that policy.yaml allows")
    told = tell_failure(RUN, "validate.validate_and_seal", 1, error, BASE)
    assert told.subject == "[CARM] carm_month 2021-12 failed: validate_and_seal"
    assert "after 1 attempt." in told.body
    assert f"It says: {error}" in told.body
    page = "https://airflow.example/prefix/dags/carm_month/runs/scheduled__2021-12-25T11%3A00%3A00%2B00%3A00"
    assert f"{page}/tasks/validate.validate_and_seal\n" in told.body
    assert f"The whole run: {page}\n" in told.body


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unavailable("the database is locked"), "the database is locked"),
        (DataError("two\nlines  here"), "two lines here"),
        (UsageError("account 123456782RM0001 has no version"), "account (an account) has no version"),
        (KeyError("Muster Imports Ltd."), "KeyError failed in a way that nobody foresaw; its log has the rest"),
        ("RuntimeError: Muster Imports Ltd.", "a task failed in a way that nobody foresaw; its log has the rest"),
        (None, "it ended without a word: its process was killed, perhaps for lack of memory"),
    ],
)
def test_only_lines_of_our_own_leave_the_machine_and_no_account_with_them(error: Any, expected: str) -> None:
    assert one_line_of(error) == expected


def test_a_held_plan_says_how_many_which_limit_and_how_to_approve() -> None:
    told = tell_held_plan(RUN, PLAN, BASE)
    assert told.subject == "[CARM] 2021-12: the plan is held, 900 changes"
    for part in (
        PLAN["reason"],
        "ab" * 32,
        "https://airflow.example/prefix/carm/review/2021-12",
        "https://airflow.example/prefix/required_actions",
        "trigger carm_apply_plan with this hash",
    ):
        assert part in told.body
    assert "close      no_activity_4_years            900" in told.body
    # The limit that was not passed is none of the reasons.
    assert [line.split()[0] for line in told.body.splitlines() if " may pass" in line] == ["max_share"]


def test_where_the_policy_allows_no_approval_nobody_is_sent_for_one() -> None:
    told = tell_held_plan(RUN, {**PLAN, "approval": "not_allowed"}, BASE)
    assert "carm_apply_plan" not in told.body
    assert "The policy lets no plan be approved" in told.body


def test_a_late_run_is_named() -> None:
    told = tell_late(RUN, "2021-12-26 05:00:00+00:00", BASE)
    assert told.subject == "[CARM] carm_month 2021-12 is late"
    assert "was queued before 2021-12-26 05:00:00+00:00" in told.body


# Whom it reaches.


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", ()),
        (None, ()),
        (" , ", ()),
        ("a@example.org", ("a@example.org",)),
        ("a@example.org, b@example.org ,", ("a@example.org", "b@example.org")),
    ],
)
def test_whom_to_write_to_is_a_list_with_commas(written: str | None, expected: tuple[str, ...]) -> None:
    assert read_addresses(written) == expected


@pytest.mark.parametrize("wrong", ["on call", "a@example.org; b@example.org", "a@example.org\nBcc: b@example.org"])
def test_what_is_no_address_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(UsageError, match="carm_on_call_address is no list of addresses") as refused:
        read_addresses(wrong)
    assert wrong not in str(refused.value)


def test_everybody_on_call_gets_the_mail_from_the_sender_of_the_connection(post: PostOffice) -> None:
    told = tell_held_plan(RUN, PLAN, BASE)
    assert send_to_on_call(route_of(post), ["a@example.org", "b@example.org"], told, AT) == 2
    assert post.taken.addresses == ["a@example.org", "b@example.org"]
    first, second = post.taken.parsed()
    assert (first["From"], first["To"], first["Subject"]) == ("now@example.com", "a@example.org", told.subject)
    assert (first["Date"].datetime, first["Auto-Submitted"]) == (AT, "auto-generated")
    assert first["Message-ID"] != second["Message-ID"]
    assert first.get_content().replace("\r\n", "\n") == told.body


def test_a_line_of_text_adds_no_header(post: PostOffice) -> None:
    told = tell_failure(Run("carm_month", "r", "2021-12\r\nBcc: all@example.org"), "t", 1, None, BASE)
    send_to_on_call(route_of(post), ["a@example.org"], told, AT)
    (mail,) = post.taken.parsed()
    assert mail["Bcc"] is None


def test_one_address_that_is_refused_does_not_keep_the_others_from_being_told(post: PostOffice) -> None:
    addresses = ["never-rcpt@example.org", "later-data@example.org", "a@example.org"]
    assert send_to_on_call(route_of(post), addresses, Message("s", "b\n"), AT) == 1
    with pytest.raises(Unavailable, match="so nobody on call was told"):
        send_to_on_call(route_of(post), ["never-rcpt@example.org"], Message("s", "b\n"), AT)


def test_a_server_that_is_not_there_is_said_in_one_line() -> None:
    extra = {"from_email": "now@example.com", "disable_ssl": True, "disable_tls": True}
    gone = json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": 1, "extra": extra})
    route = MailRoute.of(ConnectionSettings.parse("carm_smtp", gone))
    with pytest.raises(
        Unavailable, match=r"cannot be reached .*: check host, port and TLS of the connection carm_smtp"
    ):
        send_to_on_call(route, ["a@example.org"], Message("s", "b\n"), AT)


def test_of_many_who_fail_at_once_one_tells_it(tmp_path: Path) -> None:
    assert [is_first(tmp_path / "on_call", "carm_month 0") for _ in range(3)] == [True, False, False]
    # Cleared and failed again.
    assert is_first(tmp_path / "on_call", "carm_month 1")
    # Its mail was not sent.
    for _ in range(2):
        forget_first(tmp_path / "on_call", "carm_month 0")
    assert is_first(tmp_path / "on_call", "carm_month 0")
