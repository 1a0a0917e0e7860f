"""``carm outbox``: what waits and what became of it, the mail as it was handed over, and what a person decides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_string, policy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from include import deliver
from include.audit import read_links
from include.carm.errors import DataError
from include.cli import carm
from include.database import write_transaction
from include.operations_notice_tables import OUTBOX
from tests.mail.post import PostOffice, open_post

BECAUSE = ("--reason", "the log says so", "--by", "clerk")


@pytest.fixture
def post(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostOffice]:
    with open_post(tmp_path / "data", database_url) as opened:
        monkeypatch.setenv("CARM_DATA", str(opened.ws.data))
        monkeypatch.setenv("CARM_SOURCE_URL", database_url)
        monkeypatch.setenv("AIRFLOW_CONN_CARM_SMTP", opened.connection())
        yield opened


def outbox(*words: str) -> Result:
    return CliRunner().invoke(carm, ["outbox", *words], prog_name="carm")


def facts(*words: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(outbox(*words, "--json").stdout)
    return told


def decided(post: PostOffice) -> list[tuple[str, str, str, str]]:
    """Key, old and new state and person of each decision in the audit chain."""
    with post.ws.operations.connect() as connection:
        links = [(link.subject, json.loads(link.facts)) for link in read_links(connection) if link.event == "message"]
    return [(key, told["was"], told["is"], told["recorded_by"]) for key, told in links]


# list


def test_the_list_counts_and_shows_no_address(post: PostOffice) -> None:
    assert outbox("list").stdout == "The outbox is empty: a live month plans its messages, any other seals them\n"
    sent, refused = post.plan("one@example.org", "never-rcpt@example.org")
    post.send()
    post.plan("sealed@example.org", kind="webinar", is_live=False, period="2022-01")
    told = outbox("list", "--state", "failed").stdout
    assert [line.split() for line in told.splitlines()[:3]] == [
        ["closure", "failed", "1"],
        ["closure", "sent", "1"],
        ["webinar", "sealed", "1"],
    ]
    assert told.splitlines()[4:] == [
        f"{refused}  closure        000000018RM0001/2022-01-25 version 1; tried 1, last answer 550"
    ]
    assert "@" not in outbox("list", "--state", "sent").stdout + told
    assert [row["messages"] for row in facts("list", "--period", "2022-01")["counts"]] == [1]
    assert [row["message_key"] for row in facts("list", "--state", "sent")["messages"]] == [sent]
    assert (
        outbox("list", "--state", "failed", "--limit", "1").stdout.splitlines()[-1].startswith("Only the first 1 are")
    )


# show


def test_show_prints_a_part_and_takes_the_beginning_of_a_key(post: PostOffice) -> None:
    (key,) = post.plan("one@example.org")
    assert outbox("show", key[:8]).stdout == "Text of a notice.\n.\n"
    assert outbox("show", key, "--part", "html").stdout == "<p>Text of a notice.</p>\n"
    assert (outbox("show", "abc").exit_code, outbox("show", "0" * 32).exit_code) == (2, 2)


def mail_of(post: PostOffice, key: str) -> dict[str, Any]:
    return facts("show", key, "--part", "mail")


@pytest.mark.parametrize(
    ("address", "state"),
    [("one@example.org", "sent"), ("lost@example.org", "unknown"), ("never-data@example.org", "failed")],
)
@pytest.mark.parametrize("kind", ["closure", "webinar"])
def test_a_mail_that_was_handed_over_is_shown_as_it_was_whatever_the_settings_are_now(
    post: PostOffice, monkeypatch: pytest.MonkeyPatch, address: str, state: str, kind: str
) -> None:
    (key,) = post.plan(address, kind=kind, language="fr", subject="Compte fermé")
    post.send()
    # Another sender, and no connection at all: what was sent stays what it was.
    monkeypatch.setenv("AIRFLOW_CONN_CARM_SMTP", '{"conn_type": "http"}')
    shown = mail_of(post, key)
    assert (shown["state"], shown["composed"]) == (state, "handed_over")
    assert hashlib.sha256(shown["mail"].encode()).hexdigest() == shown["mime_sha256"] == post.row(key)["mime_sha256"]
    assert [shown["mail"].encode()] == [content for _, content in post.taken.mails] or state == "failed"
    mail = message_from_string(shown["mail"], policy=policy.SMTP)
    assert (mail["Date"], mail["From"].addresses[0].addr_spec) == (
        "Wed, 05 Jan 2022 12:00:00 +0000",
        "notices@example.org",
    )
    assert "This is the mail as the server was given it" in outbox("show", key, "--part", "mail").stderr


def test_a_mail_that_was_not_handed_over_is_shown_as_it_would_be_now(post: PostOffice) -> None:
    key, refused = post.plan("one@example.org", "never-rcpt@example.org")
    post.send()
    (fresh,) = post.plan("two@example.org")
    for one in (refused, fresh):
        shown = mail_of(post, one)
        assert (shown["composed"], shown["mime_sha256"]) == ("now", None)
        assert "now@example.com" in shown["mail"]
    assert "as it would be sent now" in outbox("show", fresh, "--part", "mail").stderr
    assert mail_of(post, key)["composed"] == "handed_over"


def test_a_mail_that_was_put_off_is_shown_as_it_would_be_now(post: PostOffice) -> None:
    (key,) = post.plan("later-data@example.org")
    post.send()
    assert (post.row(key)["state"], mail_of(post, key)["composed"]) == ("planned", "now")


def test_what_differs_from_what_was_handed_over_is_said(post: PostOffice) -> None:
    (key,) = post.plan("one@example.org")
    post.send()
    with write_transaction(post.ws.operations) as connection:
        connection.execute(update(OUTBOX).values(subject="Another subject"))
    assert mail_of(post, key)["composed"] == "otherwise"
    assert "This is NOT the mail as the server was given it" in outbox("show", key, "--part", "mail").stderr


# resend, sent


def test_one_message_is_planned_again_by_a_person_and_sent_once_more(post: PostOffice) -> None:
    (key,) = post.plan("lost@example.org")
    post.send()
    told = outbox("resend", key[:10], *BECAUSE)
    assert told.stdout == f"message {key[:12]} (closure) was unknown, is planned\n1 message planned again, by clerk\n"
    assert decided(post) == [(key, "unknown", "planned", "clerk")]
    post.send()
    assert post.taken.asked["lost@example.org"] == 2


def test_what_was_sent_is_not_sent_again(post: PostOffice) -> None:
    (key,) = post.plan("one@example.org")
    post.send()
    told = outbox("resend", key, *BECAUSE)
    assert (told.exit_code, post.row(key)["state"], decided(post)) == (2, "sent", [])
    assert "only one that is failed, unknown or suppressed can be decided about" in told.stderr


def test_an_unknown_one_is_taken_for_sent(post: PostOffice) -> None:
    unknown, other = post.plan("lost@example.org", "never-rcpt@example.org")
    post.send()
    told = outbox("sent", unknown, *BECAUSE)
    assert told.stdout == f"message {unknown[:12]} (closure) was unknown, is sent\n1 message taken for sent, by clerk\n"
    assert outbox("sent", other, *BECAUSE).exit_code == 2
    assert decided(post) == [(unknown, "unknown", "sent", "clerk")]
    assert post.send()["sent"] == 0
    # Which mail it was is known as before.
    assert mail_of(post, unknown)["composed"] == "handed_over"


def test_after_an_older_database_was_put_back_what_the_servers_log_has_is_not_sent_again(
    post: PostOffice, tmp_path: Path
) -> None:
    sent = post.plan("one@example.org", "two@example.org", "three@example.org")
    post.send()
    # The state of before: the database forgot the mail, the server did not.
    forgotten = sent[:2] + post.plan("four@example.org")
    with write_transaction(post.ws.operations) as connection:
        connection.execute(
            update(OUTBOX).where(OUTBOX.c.message_key.in_(forgotten)).values(state="planned", mime_sha256=None)
        )
    log = tmp_path / "message-ids.txt"
    ids = [f"<{key}@example.org>" for key in [*sent, sent[0]]]
    log.write_text("\n".join([*ids, "<test-1-20220105@example.org>", "<of another program>"]))
    assert outbox("sent", "--from", str(log), *BECAUSE).stdout.splitlines()[-2:] == [
        f"2 lines of {log} named no message of ours: passed over",
        "2 messages taken for sent, by clerk",
    ]
    assert sorted(decided(post)) == sorted((key, "planned", "sent", "clerk") for key in sent[:2])
    assert post.send()["sent"] == 1
    assert sorted(post.taken.addresses) == sorted(
        ["one@example.org", "two@example.org", "three@example.org", "four@example.org"]
    )


def test_a_file_with_a_key_that_is_not_known_or_with_none_records_nothing(post: PostOffice, tmp_path: Path) -> None:
    (key,) = post.plan("one@example.org")
    log = tmp_path / "message-ids.txt"
    for written in (f"{key}\n{'0' * 32}\n", "<of-another-program@example.org>\n", ""):
        log.write_text(written)
        assert outbox("sent", "--from", str(log), *BECAUSE).exit_code == 2
    log.write_bytes(b"\xff\xfe")
    assert outbox("sent", "--from", str(log), *BECAUSE).exit_code == 2
    assert outbox("sent", key, "--from", str(log), *BECAUSE).exit_code == outbox("sent", *BECAUSE).exit_code == 2
    assert (post.row(key)["state"], decided(post)) == ("planned", [])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--all-failed"], "--all-failed goes with --period or --since"),
        (["abcdef12", "--period", "2021-12"], "neither goes without it"),
        (["abcdef12", "--all-failed", "--period", "2021-12"], "name one message by its key, or all"),
        ([], "name one message by its key, or all"),
        (["--all-failed", "--since", "yesterday"], "'yesterday' is not a moment"),
        (["--all-failed", "--period", "2021-13"], "is not a month"),
    ],
)
def test_which_are_meant_must_be_said(post: PostOffice, words: list[str], reason: str) -> None:
    post.plan("never-rcpt@example.org")
    post.send()
    told = outbox("resend", *words, *BECAUSE)
    assert (told.exit_code, decided(post)) == (2, [])
    assert reason in told.stderr


@pytest.fixture
def refused(post: PostOffice) -> list[str]:
    """Two of December and one of January that failed, the last of them an hour later; and one of unknown fate."""
    early = post.plan("never-rcpt1@example.org", "never-rcpt2@example.org", "lost@example.org")
    post.send()
    post.clock.time += timedelta(hours=1)
    late = post.plan("never-rcpt3@example.org", period="2022-01")
    post.send()
    return early[:2] + late


def planned(post: PostOffice, keys: list[str]) -> list[str]:
    return [key for key in keys if post.row(key)["state"] == "planned"]


def test_all_that_failed_in_a_month_are_planned_again(post: PostOffice, refused: list[str]) -> None:
    told = outbox("resend", "--all-failed", "--period", "2021-12", *BECAUSE)
    assert told.stdout.splitlines()[-1] == "2 messages planned again, by clerk"
    assert planned(post, refused) == refused[:2]
    assert sorted(key for key, *_ in decided(post)) == sorted(refused[:2])
    assert list(post.states().values()).count("unknown") == 1


def test_all_that_failed_since_a_moment_are_planned_again(post: PostOffice, refused: list[str]) -> None:
    assert facts("resend", "--all-failed", "--since", "2022-01-05T12:30:00Z", *BECAUSE)["planned"][0]["was"] == "failed"
    assert planned(post, refused) == refused[2:]
    # A moment with another zone is the same moment.
    assert facts("resend", "--all-failed", "--since", "2022-01-05T06:00:00-05:00", *BECAUSE)["planned"]
    assert planned(post, refused) == refused


def test_where_one_cannot_be_planned_again_none_is(
    post: PostOffice, refused: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = deliver.append_link

    def refuse_the_second(connection: Any, event: str, subject: str, told: Any) -> Any:
        if subject == max(refused[:2]):
            raise DataError("the chain is broken")
        return whole(connection, event, subject, told)

    monkeypatch.setattr(deliver, "append_link", refuse_the_second)
    told = outbox("resend", "--all-failed", "--period", "2021-12", *BECAUSE)
    assert (told.exit_code, planned(post, refused[:2]), decided(post)) == (1, [], [])
