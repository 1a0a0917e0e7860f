"""``carm list`` and ``carm bounces``: what a person enters, what is said of it, and that it holds no address."""

from __future__ import annotations

import json
import os
import pwd
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.engine import Engine

from include.audit import read_links
from include.cli import carm, list_verbs
from include.cli.group import HASH_KEY_VARIABLE
from include.operations_notice_tables import SUBSCRIPTION_EVENTS, SUPPRESSIONS
from include.source_schema import TABLES
from tests.unsubscribe.outbox import ADDRESS, HASH_KEY, READER, message, post, rows
from tests.unsubscribe.reports import fate, put_into_folder, report, returned

SELF = pwd.getpwuid(os.getuid()).pw_name
TODAY = date(2022, 1, 10)
JOIN = ["list", "subscribe", ADDRESS, "--language", "fr", "--consent", "asked by e-mail of 2022-01-09"]


@pytest.fixture
def run(tables: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    TABLES["subscribers"].create(tables)
    monkeypatch.setenv("CARM_DATA", str(tmp_path))
    monkeypatch.setenv(HASH_KEY_VARIABLE, HASH_KEY.decode())
    monkeypatch.delenv("CARM_SOURCE_URL", raising=False)
    monkeypatch.delenv("CARM_APPLY_URL", raising=False)
    monkeypatch.setattr(list_verbs, "read_day", lambda: TODAY)

    def ran(*arguments: Any) -> Result:
        result = CliRunner().invoke(carm, [str(argument) for argument in arguments], prog_name="carm")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        assert ADDRESS not in result.output
        return result

    return ran


def test_a_person_puts_an_address_on_the_list_and_takes_it_off(run: Any, tables: Engine) -> None:
    post(tables, message())
    assert run(*JOIN, "--by", "Clerk Officer").stdout == (
        "subscribed from 2022-01-10 on (fr), recorded by Clerk Officer\n"
    )
    assert run(*JOIN).stdout == "It was recorded before; nothing was added\n"
    assert run("list", "unsubscribe", ADDRESS, "--on", "2022-01-09").stdout == (
        f"unsubscribed from 2022-01-09 on, recorded by {SELF}\n"
        "A later subscription stands: the address is on the list\n"
    )
    assert run("list", "unsubscribe", ADDRESS).stdout == (
        f"unsubscribed from 2022-01-10 on, recorded by {SELF}\n1 message planned for it will not be sent\n"
    )
    assert run("list", "unsubscribe", ADDRESS).stdout == "It was recorded before; nothing was added\n"
    again = run(*JOIN, "--on", "2022-01-10").stdout.splitlines()
    assert again[1].startswith("Who unsubscribed on that day or later stays off the list")
    said = [(event["event"], event["source"], event["recorded_on"]) for event in rows(tables, SUBSCRIPTION_EVENTS)]
    assert sorted(said) == [
        ("subscribed", "command", TODAY),
        ("unsubscribed", "command", date(2022, 1, 9)),
        ("unsubscribed", "command", TODAY),
    ]


def test_each_entry_is_a_link_with_the_name_and_without_the_address(run: Any, tables: Engine) -> None:
    run(*JOIN, "--by", "ana")
    run(*JOIN, "--by", "ana")
    run("list", "unsubscribe", ADDRESS, "--by", "ben")
    run("list", "suppress", ADDRESS, "--by", "eva")
    run("list", "lift", ADDRESS, "--by", "leo")
    with tables.connect() as connection:
        links = [(link.event, link.subject, json.loads(link.facts)) for link in read_links(connection)]
    day = {"on": "2022-01-10"}
    assert links == [
        ("list", READER, {"event": "subscribed", "language": "fr", "recorded_by": "ana", **day}),
        ("list", READER, {"event": "unsubscribed", "recorded_by": "ben", **day}),
        ("list", READER, {"event": "suppressed", "recorded_by": "eva", **day}),
        ("list", READER, {"event": "lifted", "reason": "by_hand", "recorded_by": "leo", **day}),
    ]


def test_an_address_is_suppressed_and_lifted_by_hand(run: Any, tables: Engine) -> None:
    post(tables, message(kind="statement"))
    assert run("list", "suppress", ADDRESS).stdout == (
        f"not written to from 2022-01-10 on, recorded by {SELF}\n1 message planned for it will not be sent\n"
    )
    assert run("list", "suppress", ADDRESS).stdout == "It was not written to before; nothing was added\n"
    assert "takes no message (by_hand): if that is over, carm list lift" in run(*JOIN).stdout
    assert run("list", "lift", ADDRESS).stdout == f"written to again (was by_hand), recorded by {SELF}\n"
    assert rows(tables, SUPPRESSIONS) == []


def test_the_list_is_counted(run: Any, tables: Engine) -> None:
    run(*JOIN)
    assert "subscribed             0         1         0" in run("list", "show").stdout
    assert "subscribed             0         0         0" in run("list", "show", "--on", "2022-01-09").stdout
    facts = json.loads(run("list", "show", "--json").stdout)
    assert facts["people"]["subscribed"] == {"en": 0, "fr": 1, "both": 0}


def test_bounces_are_read(run: Any, tables: Engine, tmp_path: Path) -> None:
    sent = message(kind="statement", state="sent")
    post(tables, sent)
    folder = put_into_folder(tmp_path / "reports", report(fate(), back=returned(sent["message_key"])), report(fate()))
    assert run("bounces", folder).stdout.splitlines() == [
        "2 messages, of which",
        "        1  say that an address of ours is dead",
        "        1  say that an address is dead, and return no message of ours",
        "Addresses that are not written to any more: 1; were not before: 0",
    ]
    facts = json.loads(run("bounces", folder, "--by-address", "--json").stdout)
    assert (facts["dead"], facts["suppressed_before"]) == (2, 1)
    assert [row["since"] for row in rows(tables, SUPPRESSIONS)] == [TODAY]


def test_every_verb_prints_json(run: Any) -> None:
    facts = [
        json.loads(run(*arguments, "--json", "--by", "ana").stdout)
        for arguments in (JOIN, *(["list", verb, ADDRESS] for verb in ("unsubscribe", "suppress", "lift")))
    ]
    assert {fact["recipient_key"] for fact in facts} == {READER}
    assert {fact["recorded_by"] for fact in facts} == {"ana"}
    assert facts[0]["is_new"] is facts[1]["is_new"] is facts[2]["is_new"] is True


@pytest.mark.parametrize(
    ("arguments", "code", "message_"),
    [
        (["list", "subscribe", "nobody", "--language", "en", "--consent", "x"], 2, "mail cannot use this address"),
        (["list", "subscribe", ADDRESS, "--language", "de", "--consent", "x"], 2, "'de' is not one of"),
        (["list", "subscribe", ADDRESS, "--language", "en"], 2, "Missing option '--consent'"),
        (["list", "subscribe", ADDRESS, "--language", "en", "--consent", " "], 2, "needs its consent"),
        (["list", "unsubscribe", ADDRESS, "--by", " "], 2, "nobody is named as who records"),
        (["list", "unsubscribe", ADDRESS, "--on", "10/01/2022"], 2, "is not a day: write YYYY-MM-DD"),
        (["list", "lift", ADDRESS], 1, "there is nothing to lift"),
        (["bounces", "nowhere"], 2, "there is no nowhere"),
        (["bounces", "."], 2, "is no Maildir and has no .eml file"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    run: Any, tables: Engine, arguments: list[str], code: int, message_: str
) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message_ in result.stderr
    assert rows(tables, SUBSCRIPTION_EVENTS) == []


@pytest.mark.parametrize("key", [None, "", "short"])
@pytest.mark.parametrize("arguments", [JOIN, ["list", "show"], ["bounces", "."]])
def test_without_the_key_nothing_is_done(
    run: Any, monkeypatch: pytest.MonkeyPatch, key: str | None, arguments: list[str]
) -> None:
    if key is None:
        monkeypatch.delenv(HASH_KEY_VARIABLE)
    else:
        monkeypatch.setenv(HASH_KEY_VARIABLE, key)
    result = run(*arguments)
    assert result.exit_code == 2
    assert ("set CARM_RECIPIENT_HASH_KEY" in result.stderr) != ("has 5 bytes" in result.stderr)


def test_the_clock_says_a_day() -> None:
    from include.system_clock import read_day

    assert isinstance(read_day(), date)
