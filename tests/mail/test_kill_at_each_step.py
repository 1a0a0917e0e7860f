"""A sender is killed at each of its steps, before and after it: nothing is lost or taken twice, and no doubt is hidden.

Where :mod:`tests.mail.test_kill_sender` kills at any moment, most of its kills meet a sender that waits for an answer.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mail.dying import CALLS, ONCE_A_RUN, STATEMENTS, send_and_die
from tests.mail.post import PostOffice, open_post

MESSAGES = 200
MOMENTS = ("before", "after")
# At these the server has the mail, or may have it, and nothing of its answer is recorded.
IN_DOUBT = {("the last line", "after"), ("settling", "before"), ("settling", "after")}


@pytest.fixture
def post(tmp_path: Path, database_url: str) -> Iterator[PostOffice]:
    with open_post(tmp_path / "data", database_url) as opened:
        yield opened


def test_a_sender_that_dies_at_any_step_sends_each_message_once(post: PostOffice) -> None:
    keys = post.plan(*(f"reader{number}@example.org" for number in range(MESSAGES)))
    chance, context = random.Random(6), multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.mail.dying"])
    kills = [(step, moment) for step in (*STATEMENTS, *CALLS) for moment in MOMENTS if step != "leaving"]
    chance.shuffle(kills)
    doubtful = 0
    for number, (step, moment) in enumerate(kills):
        time = 1 if step in ONCE_A_RUN or step == "claiming" else chance.randrange(1, 8)
        facts = (post.ws.data, post.url, post.port, f"sender {number}", step, time, moment)
        sender = context.Process(target=send_and_die, args=facts)
        sender.start()
        sender.join()
        assert sender.exitcode == -signal.SIGKILL, f"never came {moment} {step} a {time}. time"
        doubtful += (step, moment) in IN_DOUBT
    # The first to come after the last one that died finds what that one left.
    post.send("the last one")
    accepted = Counter(mail["Message-ID"].removeprefix("<").partition("@")[0] for mail in post.taken.parsed())
    states = {key: post.row(key)["state"] for key in keys}
    assert max(accepted.values()) == 1, "taken twice"
    assert set(states.values()) <= {"sent", "unknown"}, "lost"
    assert {key for key, state in states.items() if state == "sent"} <= set(accepted)
    assert set(accepted) <= {key for key, state in states.items() if state in ("sent", "unknown")}
    assert doubtful <= list(states.values()).count("unknown") <= len(kills)


def test_a_sender_that_dies_when_all_is_done_leaves_no_doubt(post: PostOffice) -> None:
    post.plan("one@example.org", "two@example.org")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.mail.dying"])
    facts = (post.ws.data, post.url, post.port, "sender", "leaving", 1, "before")
    sender = context.Process(target=send_and_die, args=facts)
    sender.start()
    sender.join()
    assert (sender.exitcode, set(post.states().values())) == (-signal.SIGKILL, {"sent"})
    assert post.send("the next one")["unknown"] == 0
