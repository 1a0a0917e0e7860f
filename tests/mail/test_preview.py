"""``carm notices preview``: samples as files, counts, and a test that is marked, sent once and recorded nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from include.cli import carm
from include.operations_notice_tables import OUTBOX
from tests.mail.post import PostOffice, open_post

READERS = [f"reader{number}@example.org" for number in range(5)]


@pytest.fixture
def post(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostOffice]:
    with open_post(tmp_path / "data", sqlite_url) as opened:
        monkeypatch.setenv("CARM_DATA", str(opened.ws.data))
        monkeypatch.setenv("CARM_SOURCE_URL", sqlite_url)
        monkeypatch.setenv("AIRFLOW_CONN_CARM_SMTP", opened.connection())
        yield opened


@pytest.fixture
def month(post: PostOffice) -> PostOffice:
    """Closures in both languages, planned; webinars, sealed; and a message of another month."""
    post.plan(*READERS, subject="Your account is closed")
    post.plan("lecteur@example.org", language="fr", subject="Votre compte est fermé")
    post.plan(READERS[0], kind="webinar", subject="Webinars", is_live=False)
    post.plan(READERS[0], about="of another month", period="2022-01")
    return post


def preview(*words: str) -> Result:
    return CliRunner().invoke(carm, ["notices", "preview", *words], prog_name="carm")


def facts(*words: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(preview("--period", "2021-12", "--json", *words).stdout)
    return told


def outbox(post: PostOffice) -> list[Any]:
    with post.ws.operations.connect() as connection:
        return list(connection.execute(select(OUTBOX).order_by(OUTBOX.c.message_key)))


def test_samples_of_each_kind_and_language_are_written_and_all_are_counted(month: PostOffice) -> None:
    before = outbox(month)
    told = preview("--period", "2021-12")
    folder = month.ws.data / "preview" / "2021-12"
    assert [line.split() for line in told.stdout.splitlines()[:3]] == [
        ["closure", "en", "planned", "5"],
        ["closure", "fr", "planned", "1"],
        ["webinar", "en", "sealed", "1"],
    ]
    assert told.stdout.splitlines()[3:] == [f"4 samples written to {folder}"]
    names = sorted(path.name for path in folder.iterdir())
    assert [name.rpartition("-")[0] for name in names] == ["closure-en"] * 4 + ["closure-fr"] * 2 + ["webinar-en"] * 2
    assert {path.read_bytes() for path in folder.glob("*.html")} == {b"<p>Text of a notice.</p>\n"}
    assert (outbox(month), month.taken.mails) == (before, [])


def test_the_same_samples_are_chosen_again(month: PostOffice) -> None:
    assert facts("--samples", "1") == facts("--samples", "1")
    assert len(facts("--samples", "1")["files"]) == 3 * 2
    assert len(facts("--samples", "100")["files"]) == 7 * 2


def test_one_kind_and_one_recipient_alone(month: PostOffice, tmp_path: Path) -> None:
    (row,) = facts("--kind", "webinar")["counts"]
    assert (row["kind"], row["messages"]) == ("webinar", 1)
    words = ("--to", " Reader0@Example.org ", "--output", str(tmp_path / "elsewhere"))
    counts = facts(*words)["counts"]
    assert [(row["kind"], row["messages"]) for row in counts] == [("closure", 1), ("webinar", 1)]
    assert len(list((tmp_path / "elsewhere").iterdir())) == 4


@pytest.mark.parametrize("words", [["--period", "2021-11"], ["--period", "2021-12", "--to", "nobody@example.org"]])
def test_nothing_to_show_is_said(month: PostOffice, words: list[str]) -> None:
    told = preview(*words)
    assert told.exit_code == 2
    assert "the outbox has no such message of" in told.stderr


def test_a_test_is_marked_sent_once_and_recorded_nowhere(month: PostOffice) -> None:
    before, keys = outbox(month), {row.message_key for row in outbox(month)}
    told = preview("--period", "2021-12", "--send-test", "me@example.org")
    assert told.stdout.splitlines()[-1] == "4 samples sent to the test address, each marked [TEST]"
    assert month.taken.addresses == ["me@example.org"] * 4
    mails = month.taken.parsed()
    assert sorted({mail["Subject"] for mail in mails}) == [
        "[TEST] Votre compte est fermé",
        "[TEST] Webinars",
        "[TEST] Your account is closed",
    ]
    ids = {mail["Message-ID"].strip("<>").partition("@")[0] for mail in mails}
    assert (len(ids), ids & keys) == (4, set())
    assert outbox(month) == before
    # The messages themselves go out afterwards as if nothing had been.
    assert month.send()["sent"] == 7


def test_a_test_does_not_unsubscribe_whose_message_it_shows(month: PostOffice) -> None:
    facts("--kind", "webinar", "--send-test", "me@example.org")
    (mail,) = month.taken.parsed()
    assert outbox(month)[0].recipient_key not in mail.as_string()


@pytest.mark.parametrize("address", ["me", "me@example.org\nBcc: all@example.org", "Me <me@example.org>"])
def test_a_test_address_that_is_none_is_refused(month: PostOffice, address: str) -> None:
    told = preview("--period", "2021-12", "--send-test", address)
    assert (told.exit_code, month.taken.mails) == (2, [])
    assert "the test address cannot be written to" in told.stderr


def test_a_refused_test_says_so(month: PostOffice) -> None:
    told = preview("--period", "2021-12", "--send-test", "never-rcpt@example.org")
    assert (told.exit_code, month.taken.mails) == (1, [])
    assert "the mail server answered 550 to sample 1: the ones before it were sent" in told.stderr
