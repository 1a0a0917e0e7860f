"""From connections of every kind to the server, the sender and the link by which one unsubscribes."""

from __future__ import annotations

from typing import Any

import pytest

from include import mail_route
from include.airflow_settings import ConnectionSettings
from include.carm.errors import UsageError
from include.carm.mail_settings import Letterhead, MailSettings
from include.carm.recipients import recipient_key
from include.mail_route import MailRoute
from include.unsubscribe import read_token

KEY = "a key for the tests, of no account"
SENDER = {"from_email": "notices@example.org"}


def connection(**changed: Any) -> ConnectionSettings:
    fields: dict[str, Any] = {"conn_id": "carm_smtp", "conn_type": "smtp", "host": "mail.example.org", "extra": SENDER}
    return ConnectionSettings(**{**fields, **changed})


@pytest.mark.parametrize(
    ("extra", "security", "port"),
    [
        ({}, "tls", 465),
        ({"disable_tls": True}, "tls", 465),
        ({"disable_ssl": True}, "starttls", 587),
        ({"disable_ssl": "true", "disable_tls": False}, "starttls", 587),
        ({"disable_ssl": "False"}, "tls", 465),
        ({"disable_ssl": True, "disable_tls": True}, "none", 25),
        ({"disable_ssl": " YES ", "disable_tls": "1"}, "none", 25),
    ],
)
def test_the_line_is_as_safe_as_the_extra_lets_it_be(extra: dict[str, Any], security: str, port: int) -> None:
    server = MailRoute.of(connection(extra={**SENDER, **extra})).server
    assert (server.host, server.security, server.port) == ("mail.example.org", security, port)
    assert MailRoute.of(connection(extra={**SENDER, **extra}, port=2525)).server.port == 2525


def test_log_in_and_patience_are_those_of_connection_and_settings() -> None:
    route, rules = MailRoute.of(connection(login="sender", password="secret")), MailSettings.load().delivery
    assert (route.server.login, route.server.password) == ("sender", "secret")
    assert (route.server.seconds, route.server.seconds_to_accept) == (rules.seconds_to_wait, rules.seconds_to_accept)
    assert (route.server.sender, route.sender.address, route.rules) == (SENDER["from_email"],) * 2 + (rules,)
    assert MailRoute.of(connection()).server.login is None


@pytest.mark.parametrize(
    "written",
    [
        '{"conn_type": "smtp", "host": "mail.example.org", "login": "a@b", "password": "p/w", "port": 587,'
        ' "extra": {"from_email": "notices@example.org", "disable_ssl": true}}',
        "smtp://a%40b:p%2Fw@mail.example.org:587/?from_email=notices%40example.org&disable_ssl=true",
    ],
    ids=["JSON", "URI"],
)
def test_a_variable_of_airflow_says_the_same_in_both_spellings(written: str) -> None:
    server = MailRoute.of(ConnectionSettings.parse("carm_smtp", written)).server
    assert (server.security, server.port, server.login, server.password) == ("starttls", 587, "a@b", "p/w")


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"conn_type": "http"}, "connection carm_smtp names no mail server: give it the type smtp and a host"),
        ({"host": None}, "names no mail server"),
        ({"extra": {}}, "connection carm_smtp has no from_email: write the sender's address into its extra"),
        ({"extra": {"from_email": "notices"}}, "has no from_email"),
        ({"extra": {"from_email": None}}, "has no from_email"),
    ],
)
def test_what_is_missing_is_named(changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        MailRoute.of(connection(**changed))


# The link of list mail


@pytest.fixture
def with_page(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = MailSettings.load()
    letterhead = Letterhead(shipped.letterhead.from_name, shipped.letterhead.reply_to, "https://list.example.org")
    settings = MailSettings(letterhead, shipped.delivery)
    monkeypatch.setattr(mail_route.MailSettings, "load", classmethod(lambda _: settings))


def test_without_a_page_there_is_no_link_and_no_key_is_asked_for() -> None:
    assert MailRoute.of(connection()).sender.unsubscribe_link is None


@pytest.mark.usefixtures("with_page")
def test_the_link_names_its_recipient_by_a_token_of_the_key() -> None:
    make = MailRoute.of(connection(extra={**SENDER, "recipient_hash_key": KEY})).sender.unsubscribe_link
    assert make is not None
    recipient = recipient_key("reader@example.org", KEY.encode())
    place, _, token = make(recipient).rpartition("/")
    assert (place, read_token(token, KEY.encode())) == ("https://list.example.org/u", recipient)


@pytest.mark.usefixtures("with_page")
@pytest.mark.parametrize("key", [None, "", "short"])
def test_with_a_page_the_key_must_be_one(key: str | None) -> None:
    with pytest.raises(UsageError, match="key"):
        MailRoute.of(connection(extra={**SENDER, "recipient_hash_key": key}))
