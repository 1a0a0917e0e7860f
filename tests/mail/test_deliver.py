"""Each message is sent at most once and none is lost, whatever the server and the sender do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import event, func, select, update

from include.audit import facts_told
from include.carm.errors import DataError, Unavailable, UsageError
from include.database import write_transaction
from include.deliver import plan_again, plan_failed_again, take_for_sent
from include.operations_notice_tables import OUTBOX, SUPPRESSIONS
from include.outbox import call_off_messages, folder_of
from tests.mail.post import FakeClock, InterruptedClock, PostOffice, open_post

ONE, TWO = "one@example.org", "two@example.org"


@pytest.fixture
def post(tmp_path: Path, database_url: str) -> Iterator[PostOffice]:
    with open_post(tmp_path / "data", database_url) as opened:
        yield opened


def test_what_is_planned_is_sent_once(post: PostOffice) -> None:
    (key, _) = post.plan(ONE, TWO)
    assert post.send() == {"sent": 2, "put_off": 0, "failed": 0, "unknown": 0, "suppressed": 0, "waiting": 0}
    assert post.send()["sent"] == 0
    assert sorted(post.taken.addresses) == [ONE, TWO]
    row = post.row(key)
    assert (row["state"], row["attempts"], row["reply"], row["claimed_by"]) == ("sent", 1, "250", "sender 1@boot")


def test_many_go_over_one_connection(post: PostOffice) -> None:
    post.plan(*(f"reader{number}@example.org" for number in range(20)))
    post.send()
    assert (len(post.taken.mails), post.taken.connections) == (20, 1)


def test_what_is_sealed_is_never_sent_until_a_live_run_plans_it(post: PostOffice) -> None:
    post.plan(ONE, is_live=False)
    assert (post.send()["sent"], post.states()) == (0, {ONE: "sealed"})
    post.plan(ONE)
    assert (post.send()["sent"], post.states()) == (1, {ONE: "sent"})
    post.plan(ONE)
    assert post.send()["sent"] == 0


@pytest.mark.parametrize("mood", ["later-rcpt", "later-data", "drop-rcpt"])
def test_what_was_surely_not_taken_is_tried_again_later_and_fails_in_the_end(post: PostOffice, mood: str) -> None:
    (key, _) = post.plan(f"{mood}@example.org", ONE)
    began = post.clock.instant()
    found = post.send()
    assert (found["sent"], found["put_off"], found["waiting"]) == (1, 1, 1)
    assert post.row(key)["next_attempt_at"] == "2022-01-05T12:05:00.000000Z"
    assert post.send()["put_off"] == 0, "not before its time"
    post.clock.time = began + timedelta(minutes=5)
    assert post.send()["put_off"] == 1
    assert post.row(key)["next_attempt_at"] == "2022-01-05T12:15:00.000000Z"
    post.clock.time = began + timedelta(minutes=15)
    assert post.send()["failed"] == 1
    assert post.states() == {f"{mood}@example.org": "failed", ONE: "sent"}
    assert post.taken.asked[f"{mood}@example.org"] == 3
    assert post.taken.addresses == [ONE]


@pytest.mark.parametrize(("mood", "reply"), [("never-rcpt", "550"), ("never-data", "554")])
def test_what_the_server_refuses_for_good_is_recorded_without_its_words(
    post: PostOffice, mood: str, reply: str
) -> None:
    (key, _) = post.plan(f"{mood}@example.org", ONE)
    assert (post.send()["failed"], post.send()["failed"]) == (1, 0)
    assert (post.row(key)["state"], post.row(key)["reply"]) == ("failed", reply)
    assert post.taken.addresses == [ONE]


def test_a_connection_that_breaks_while_the_mail_goes_over_loses_nothing(post: PostOffice) -> None:
    (key, _) = post.plan("drop-data@example.org", ONE)
    post.send()
    # The last line may have left this machine before it knew that nobody listens: then it says that it does not know.
    assert post.row(key)["state"] in ("planned", "unknown")
    assert post.taken.addresses == [ONE]


def test_an_address_that_no_command_can_hold_fails_alone(post: PostOffice) -> None:
    post.plan("r\u00e9ception@example.org", ONE)
    found = post.send()
    assert (found["failed"], found["sent"]) == (1, 1)
    assert post.taken.addresses == [ONE]


def test_a_server_that_is_too_slow_to_take_an_address_is_asked_again_later(post: PostOffice) -> None:
    post.seconds = 2
    (key, _) = post.plan("slow-rcpt@example.org", ONE)
    found = post.send()
    assert (found["put_off"], found["sent"], post.row(key)["state"]) == (1, 1, "planned")


@pytest.mark.parametrize("mood", ["lost", "garbled", "slow-data"])
def test_what_was_handed_over_without_an_answer_is_unknown_and_not_sent_again(post: PostOffice, mood: str) -> None:
    post.seconds = 2 if mood == "slow-data" else post.seconds
    (key, _) = post.plan(f"{mood}@example.org", ONE)
    found = post.send()
    assert (found["unknown"], found["sent"]) == (1, 1)
    post.clock.wait(1e6)
    post.send("sender 2")
    assert post.row(key)["state"] == "unknown"
    assert sorted(post.taken.addresses) == sorted([f"{mood}@example.org", ONE])


@pytest.mark.parametrize(
    ("mark", "handed_over", "state"),
    [
        ("dead@boot", "a hash", "unknown"),
        ("dead@boot", None, "sent"),
        # What was noted and not on the disk is lost with the machine.
        ("dead@earlier boot", None, "unknown"),
        ("dead@", None, "unknown"),
        ("alive@boot", "a hash", "sending"),
        ("alive@boot", None, "sending"),
    ],
)
def test_what_a_sender_had_claimed_is_settled_when_it_is_gone(
    post: PostOffice, mark: str, handed_over: str | None, state: str
) -> None:
    (key,) = post.plan(ONE)
    with write_transaction(post.ws.operations) as connection:
        claimed = {"state": "sending", "claimed_by": mark, "mime_sha256": handed_over}
        connection.execute(update(OUTBOX).where(OUTBOX.c.message_key == key).values(**claimed))
    if mark.startswith("dead") and handed_over is None and post.ws.operations.dialect.name == "postgresql":
        # There the note that a mail is handed over is on the server's disk before it is: what has none was not.
        state = "sent"
    assert post.send(active=("alive",))["unknown"] == (state == "unknown")
    assert post.states() == {ONE: state}
    assert post.taken.addresses == ([ONE] if state == "sent" else [])


def test_two_senders_at_once_send_each_message_once(post: PostOffice) -> None:
    addresses = [f"reader{number}@example.org" for number in range(60)]
    post.plan(*addresses)
    names = ("sender 1", "sender 2")
    senders = [Thread(target=post.send, args=(name,), kwargs={"active": names}) for name in names]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sorted(post.taken.addresses) == sorted(addresses)
    assert set(post.states().values()) == {"sent"}


def test_a_run_sends_no_more_than_its_measure(post: PostOffice) -> None:
    post.plan(*(f"reader{number}@example.org" for number in range(5)))
    assert [post.send(messages_a_run=2)["sent"] for _ in range(3)] == [2, 2, 1]


def test_a_run_asks_no_more_of_the_server_in_a_second_than_it_may(post: PostOffice) -> None:
    post.plan(*(f"reader{number}@example.org" for number in range(5)))
    began = post.clock.instant()
    post.send(messages_a_second=2)
    assert post.clock.instant() - began == timedelta(seconds=2.5)


def test_a_server_that_cannot_be_reached_ends_the_run_and_changes_nothing(post: PostOffice) -> None:
    post.plan(ONE)
    post.port = 1
    with pytest.raises(Unavailable, match=r"cannot be reached \(ConnectionRefusedError\): 1 messages wait"):
        post.send()
    assert post.states() == {ONE: "planned"}


def test_so_many_refusals_in_a_row_are_no_fault_of_the_recipients(post: PostOffice) -> None:
    post.plan(*(f"never-rcpt-{number}@example.org" for number in range(30)))
    with pytest.raises(DataError, match="refused 10 messages in a row"):
        post.send()
    assert list(post.states().values()).count("failed") == 10


def test_whoever_unsubscribed_since_gets_nothing_of_the_list_and_all_about_the_account(post: PostOffice) -> None:
    (of_list,) = post.plan(ONE, kind="webinar", about="webinars/2022-01")
    (of_account,) = post.plan(ONE)
    suppression = {"scope": "list", "reason": "unsubscribed", "since": post.clock.instant().date(), "source": "command"}
    with write_transaction(post.ws.operations) as connection:
        key = post.row(of_list)["recipient_key"]
        connection.execute(SUPPRESSIONS.insert().values(recipient_key=key, **suppression))
    assert post.send()["suppressed"] == 1
    assert (post.row(of_list)["state"], post.row(of_account)["state"]) == ("suppressed", "sent")


@pytest.mark.parametrize("scope", ["list", "all"])
def test_whoever_leaves_after_the_message_was_claimed_gets_nothing_either(post: PostOffice, scope: str) -> None:
    readers = [f"reader{number}@example.org" for number in range(5)]
    keys = post.plan(*readers, kind="webinar" if scope == "list" else "closure", about="webinars/2022-01")
    recipients = [post.row(key)["recipient_key"] for key in keys]
    rest = {"scope": scope, "reason": "by_hand", "since": post.clock.instant().date(), "source": "command"}

    def all_leave() -> None:
        with write_transaction(post.ws.operations) as connection:
            connection.execute(SUPPRESSIONS.insert(), [{"recipient_key": key, **rest} for key in recipients])

    post.clock = InterruptedClock(all_leave)
    found = post.send()
    assert (found["sent"], found["suppressed"], found["waiting"]) == (1, 4, 0)
    assert len(post.taken.mails) == 1
    assert sorted(post.states().values()) == ["sent", *["suppressed"] * 4]


def test_a_sender_that_was_taken_for_gone_sends_nothing_that_another_has_taken_over(post: PostOffice) -> None:
    """Its run was marked as failed, and another one was started, before the process was ended."""
    readers = [f"reader{number}@example.org" for number in range(5)]
    post.plan(*readers)
    post.clock = InterruptedClock(lambda: post.send("sender 2"))
    post.send("sender 1")
    assert sorted(post.taken.addresses) == readers
    assert set(post.states().values()) == {"sent"}


def test_a_database_that_may_forget_alone_is_waited_for_before_a_mail_is_handed_over(
    tmp_path: Path, postgresql_url: str
) -> None:
    """A server that ends loses what nobody waited for, while the machine of the sender goes on."""
    said: list[str] = []
    with open_post(tmp_path / "data", postgresql_url) as post:
        post.plan(ONE)
        event.listen(post.ws.operations, "before_cursor_execute", lambda *said_now: said.append(said_now[2]))
        post.send()
    (begins,) = (
        place
        for place, statement in enumerate(said)
        if "UPDATE carm_outbox" in statement
        and "mime_sha256" in statement.partition("WHERE")[0]
        and "RETURNING" not in statement
    )
    assert "synchronous_commit" not in said[begins - 1]
    assert any("synchronous_commit" in statement for statement in said[begins:])


@pytest.mark.parametrize("answer", ["452 4.3.1 no room", "421 4.3.2 closing"])
def test_a_server_that_takes_nothing_now_ends_the_run_and_not_the_messages(post: PostOffice, answer: str) -> None:
    readers = [f"reader{number}@example.org" for number in range(30)]
    post.plan(*readers)
    post.taken.is_busy = answer
    with pytest.raises(Unavailable, match="messages wait in the outbox"):
        post.send()
    with post.ws.operations.connect() as connection:
        tried = connection.execute(select(func.count()).where(OUTBOX.c.attempts > 0)).scalar_one()
    assert (tried, set(post.states().values())) == (3, {"planned"})
    post.taken.is_busy = ""
    assert post.send()["sent"] == 27
    post.clock.wait(300)
    assert post.send()["sent"] == 3
    assert sorted(post.taken.addresses) == sorted(readers)


def test_a_server_that_puts_off_every_recipient_ends_the_run(post: PostOffice) -> None:
    post.plan(*(f"later-rcpt-{number}@example.org" for number in range(30)))
    with pytest.raises(Unavailable, match=r"puts all messages off \(the last code is 450\): 30 messages wait"):
        post.send()
    assert sum(post.taken.asked.values()) == 10


def test_a_server_that_takes_mails_and_does_not_answer_ends_the_run(post: PostOffice) -> None:
    post.plan(*(f"lost-{number}@example.org" for number in range(30)))
    with pytest.raises(Unavailable, match="takes mails and does not answer"):
        post.send()
    assert Counter(post.states().values()) == {"unknown": 3, "planned": 27}


def test_what_is_tried_again_keeps_nothing_new_waiting(post: PostOffice) -> None:
    (old,) = post.plan("later-rcpt@example.org", period="2021-11")
    post.send()
    post.clock.wait(300)
    post.plan(ONE)
    assert post.send(messages_a_run=1)["sent"] == 1
    post.plan("never-rcpt@example.org", period="2021-10")
    post.send(messages_a_run=1)
    plan_failed_again(post.ws, reason="the mailbox is there again", recorded_by="clerk", period="2021-10")
    post.plan(TWO)
    assert post.send(messages_a_run=1)["sent"] == 1
    assert post.taken.addresses == [ONE, TWO]
    assert post.row(old)["state"] == "planned"


def test_all_that_failed_is_planned_again_of_a_month_or_since_a_moment(post: PostOffice) -> None:
    (before,) = post.plan("never-rcpt-1@example.org", period="2021-11")
    post.send()
    post.clock.wait(3_600)
    since = post.clock.instant()
    (after,) = post.plan("never-rcpt-2@example.org")
    post.send()
    why = {"reason": "the server was set wrongly", "recorded_by": "clerk"}
    assert [one["message_key"] for one in plan_failed_again(post.ws, **why, since=since)] == [after]
    assert (post.row(before)["state"], post.row(after)["state"]) == ("failed", "planned")
    assert [one["message_key"] for one in plan_failed_again(post.ws, **why, period="2021-11")] == [before]
    assert plan_failed_again(post.ws, **why, period="2021-11") == []


def test_a_clock_that_is_set_back_does_not_stop_the_sender(post: PostOffice) -> None:
    post.plan(ONE, TWO)

    class SetBack(FakeClock):
        def instant(self) -> datetime:
            self.time -= timedelta(hours=1)
            return self.time

        def wait(self, seconds: float) -> None:
            assert 0 <= seconds <= 1

    post.clock = SetBack()
    assert post.send(messages_a_second=1)["sent"] == 2


def test_a_text_that_is_not_the_planned_one_is_not_sent_and_the_others_are(post: PostOffice) -> None:
    (broken,) = post.plan(ONE)
    post.plan(TWO)
    pack = folder_of(post.ws) / post.row(broken)["pack"]
    pack.write_bytes(pack.read_bytes().replace(b"Text of a notice", b"Text of another."))
    with pytest.raises(DataError, match="1 message not sent"):
        post.send()
    assert post.states() == {ONE: "planned", TWO: "sent"}


def test_texts_that_cannot_be_read_keep_no_other_from_being_sent(post: PostOffice) -> None:
    (broken, _, _) = post.plan("a@example.org", "b@example.org", "c@example.org", period="2021-11")
    post.plan(ONE, TWO)
    (folder_of(post.ws) / post.row(broken)["pack"]).unlink()
    with pytest.raises(DataError, match="3 messages not sent"):
        post.send(messages_a_run=2)
    assert sorted(post.taken.addresses) == [ONE, TWO]


def test_only_a_person_plans_an_unknown_one_again_and_answers_for_it(post: PostOffice) -> None:
    (key,) = post.plan("lost@example.org")
    post.send()
    with pytest.raises(UsageError, match="a record needs its reason"):
        plan_again(post.ws, key, reason=" ", recorded_by="clerk")
    told = plan_again(post.ws, key[:8], reason="the client asked for it", recorded_by="clerk")
    assert told == {"message_key": key, "kind": "closure", "was": "unknown", "state": "planned"}
    assert post.row(key)["attempts"] == 0
    with post.ws.operations.connect() as connection:
        (facts,) = facts_told(connection, "message", key)
    assert facts == {"was": "unknown", "is": "planned", "reason": "the client asked for it", "recorded_by": "clerk"}
    assert "@" not in json.dumps(facts)


def test_what_was_suppressed_is_planned_again_once_its_recipient_is_written_to(post: PostOffice) -> None:
    (key,) = post.plan(ONE)
    recipient = post.row(key)["recipient_key"]
    rest = {"scope": "all", "reason": "bounced", "since": post.clock.instant().date(), "source": "bounce"}
    with write_transaction(post.ws.operations) as connection:
        connection.execute(SUPPRESSIONS.insert().values(recipient_key=recipient, **rest))
    assert post.send()["suppressed"] == 1
    why = {"reason": "the mailbox is there again", "recorded_by": "clerk"}
    with pytest.raises(UsageError, match="first let it get messages again with carm list lift ADDRESS"):
        plan_again(post.ws, key, **why)
    with write_transaction(post.ws.operations) as connection:
        connection.execute(SUPPRESSIONS.delete())
    assert plan_again(post.ws, key, **why)["was"] == "suppressed"
    assert post.send()["sent"] == 1


def test_what_was_called_off_is_not_planned_again(post: PostOffice) -> None:
    (key,) = post.plan(ONE)
    with write_transaction(post.ws.operations) as connection:
        call_off_messages(connection, [key])
    with pytest.raises(UsageError, match="is called_off: only one that is"):
        plan_again(post.ws, key, reason="why not", recorded_by="clerk")
    assert post.send()["sent"] == 0


def test_what_was_sent_is_not_planned_again(post: PostOffice) -> None:
    (key,) = post.plan(ONE)
    post.send()
    for decide in (plan_again, take_for_sent):
        with pytest.raises(UsageError, match="is sent: only one that is"):
            decide(post.ws, key, reason="why not", recorded_by="clerk")


def test_nothing_names_an_address_but_the_outbox_itself(post: PostOffice, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="include"):
        post.plan("lost@example.org", "never-rcpt@example.org", "later-data@example.org", ONE)
        post.send()
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("include")]
    assert len(ours) == 1
    assert "example.org" not in "".join(ours)
    with post.ws.operations.connect() as connection:
        replies = connection.execute(select(OUTBOX.c.reply)).scalars().all()
    assert {reply for reply in replies if reply} <= {"250", "550", "451"}
