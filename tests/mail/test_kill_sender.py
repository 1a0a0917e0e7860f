"""A sender is killed fifty times, wherever it is: nothing is lost or taken twice, and what is unknown is shown."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mail.post import PostOffice, open_post, send_from

MESSAGES, KILLS = 400, 50


@pytest.fixture
def post(tmp_path: Path, database_url: str) -> Iterator[PostOffice]:
    with open_post(tmp_path / "data", database_url) as opened:
        yield opened


def test_a_sender_that_is_killed_again_and_again_sends_each_message_once(post: PostOffice) -> None:
    keys = post.plan(*(f"reader{number}@example.org" for number in range(MESSAGES)))
    chance, context = random.Random(50), multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.mail.post"])
    for number in range(KILLS):
        taken_before, most = len(post.taken.mails), chance.randrange(1, 8)
        sender = context.Process(target=send_from, args=(post.ws.data, post.url, post.port, f"sender {number}"))
        sender.start()
        # After so many mails, and a moment that is too short to be told: within a claim, a mail, or a note of it.
        post.taken.wait_for(taken_before + most, sender.is_alive)
        for _ in range(chance.randrange(2_000)):
            pass
        os.kill(sender.pid or 0, signal.SIGKILL)
        sender.join()
    post.send("the last one")
    accepted = Counter(mail["Message-ID"].removeprefix("<").partition("@")[0] for mail in post.taken.parsed())
    states = {key: post.row(key)["state"] for key in keys}
    assert max(accepted.values()) == 1, "taken twice"
    assert {key for key, state in states.items() if state == "sent"} <= set(accepted)
    assert set(accepted) <= {key for key, state in states.items() if state in ("sent", "unknown")}
    assert set(states.values()) <= {"sent", "unknown"}, "lost"
    assert 0 < list(states.values()).count("unknown") <= KILLS
