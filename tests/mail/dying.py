"""A sender that kills its own process, without a word, at the n-th time that it comes to a step."""

from __future__ import annotations

import os
import signal
import smtplib
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.mail.post import send_from

# What a step is recognised by: the text of a statement to the database, or the words of a call to the mail library.
STATEMENTS: dict[str, Callable[[str], bool]] = {
    "claiming": lambda text: "RETURNING" in text,
    "noting that it begins": lambda text: "mime_sha256=" in text and "RETURNING" not in text,
    "settling": lambda text: "reply=" in text,
}
CALLS: dict[str, tuple[str, Callable[..., bool]]] = {
    "connecting": ("connect", lambda *_: True),
    "greeting": ("ehlo", lambda *_: True),
    "MAIL": ("mail", lambda *_: True),
    "RCPT": ("rcpt", lambda *_: True),
    "DATA": ("docmd", lambda command, *_: command == "DATA"),
    "handing over": ("send", lambda words: isinstance(words, bytes) and words != b".\r\n"),
    "the last line": ("send", lambda words: words == b".\r\n"),
    "waiting for an answer": ("getreply", lambda *_: True),
    "leaving": ("quit", lambda *_: True),
}
ONCE_A_RUN = ("connecting", "greeting", "leaving")


def send_and_die(folder: Path, url: str, port: int, name: str, step: str, time: int, moment: str) -> None:
    """One run of a sender that dies ``before`` or ``after`` the step, the ``time``-th time that it comes to it."""
    number = count(1)

    def die(is_it: bool, now: str) -> None:
        if is_it and now == moment and next(number) == time:
            os.kill(os.getpid(), signal.SIGKILL)

    if step in STATEMENTS:
        matches = STATEMENTS[step]
        # After the statement is before its transaction ends.
        for now, when in (("before", "before_cursor_execute"), ("after", "after_cursor_execute")):
            event.listen(Engine, when, lambda *words, now=now: die(matches(words[2]), now))
    else:
        attribute, recognises = CALLS[step]
        whole = getattr(smtplib.SMTP, attribute)

        def watched(self: smtplib.SMTP, *words: Any, **named: Any) -> Any:
            is_it = recognises(*words)
            die(is_it, "before")
            answer = whole(self, *words, **named)
            die(is_it, "after")
            return answer

        setattr(smtplib.SMTP, attribute, watched)
    send_from(folder, url, port, name)
