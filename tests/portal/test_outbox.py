"""Outbox: what waits and what was sent, what a message says, and what a person decides about it."""

from __future__ import annotations

import json
import re

import pytest
from sqlalchemy import select, update

from include.database import write_transaction
from include.operations_notice_tables import NOTICE_INTENTS, OUTBOX
from include.operations_plan_tables import AUDIT_CHAIN
from include.portal.outbox_parts import PAGE_ROWS

HEADERS = {
    "date": "2022-01-05T12:00:00+00:00",
    "from": "notices@example.org",
    "from_name": {"en": "CARM (test)", "fr": "GCRA"},
    "reply_to": "a@example.org",
}


@pytest.fixture
def keys(world):
    """The keys of all messages, in the order in which they are listed."""
    with world.operations.connect() as connection:
        place = [OUTBOX.c[name].desc() for name in ("period", "kind", "state", "message_key")]
        return list(connection.execute(select(OUTBOX.c.message_key).order_by(*place)).scalars())


def put(world, *keys, **values):
    with write_transaction(world.operations) as connection:
        connection.execute(update(OUTBOX).where(OUTBOX.c.message_key.in_(keys)).values(**values))


def message(world, key):
    with world.operations.connect() as connection:
        return dict(connection.execute(select(OUTBOX).where(OUTBOX.c.message_key == key)).mappings().one())


def links(world, event):
    with world.operations.connect() as connection:
        query = select(AUDIT_CHAIN.c.subject, AUDIT_CHAIN.c.facts).where(AUDIT_CHAIN.c.event == event)
        return [(subject, json.loads(facts)) for subject, facts in connection.execute(query)]


def listed(page):
    return re.findall(r"outbox/messages/([0-9a-f]{32})", page.text)


# Lists


def test_the_first_page_counts_by_month_kind_and_state(portal, world, keys):
    put(world, *keys[:3], state="failed")
    page = portal.get("/outbox").text
    assert re.search(r"messages\?state=failed&amp;period=\d{4}-\d\d\">3<", page)
    period = message(world, keys[0])["period"]
    assert f"outbox/messages?state=failed&amp;kind={message(world, keys[0])['kind']}" in page
    assert f"<h1>Outbox of {period}</h1>" in portal.get(f"/outbox?period={period}").text


def test_every_message_is_on_one_page(portal, keys):
    assert len(keys) > PAGE_ROWS
    found, address = [], "/outbox/messages"
    while address:
        page = portal.get(address)
        assert len(listed(page)) <= PAGE_ROWS
        found += listed(page)
        following = re.search(r'rel="next" href="\.\./([^"]+)"', page.text)
        address = following and "/" + following[1].replace("&amp;", "&")
    assert found == keys


@pytest.mark.parametrize("name", ["state", "kind", "period"])
def test_messages_are_asked_for_by_what_they_are(portal, world, keys, name):
    put(world, *keys[:2], **{name: "2001-01" if name == "period" else "called_off" if name == "state" else "quarterly"})
    value = message(world, keys[0])[name]
    assert sorted(listed(portal.get(f"/outbox/messages?{name}={value}"))) == sorted(keys[:2])


def test_no_list_shows_an_address(portal, world, keys):
    put(world, *keys[:60], address="somebody@example.net", state="unknown", headers=json.dumps(HEADERS))
    for path in ("/outbox", "/outbox/messages", "/outbox/unknown", f"/outbox/messages/{keys[0]}", "/outbox/unreached"):
        assert "somebody@example.net" not in portal.get(path).text


@pytest.mark.parametrize(
    "path",
    [
        "messages/xyz",
        "messages/..%2f..",
        "messages?period=2021-13",
        "messages?after=x",
        "messages?state=a%27--",
        "messages/" + "0" * 32,
    ],
)
def test_an_address_that_no_page_has_is_refused(portal, path):
    assert portal.get(f"/outbox/{path}").status_code in (404, 422)


# One message


def test_what_a_message_says_is_shown_when_it_was_asked_for_and_recorded(portal, world, keys):
    path = f"/outbox/messages/{keys[0]}"
    row = message(world, keys[0])
    masked = portal.get(path).text
    assert "masked" in masked
    assert row["address"] not in masked
    assert links(world, "unmask") == []
    page = portal.post(path, data={"token": portal.token(path)}).text
    assert row["address"] in page
    assert "no headers yet" in page
    assert links(world, "unmask") == [(keys[0], {"by": "approver", "what": "message: address, text and headers"})]
    assert "unmask" in portal.get(path).text


def test_the_html_is_a_document_that_runs_nothing(portal, world, keys):
    path = f"/outbox/messages/{keys[0]}"
    answer = portal.post(f"{path}/html", data={"token": portal.token(path)})
    assert answer.status_code == 200
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "<html" in answer.text
    assert [subject for subject, _ in links(world, "unmask")] == [keys[0]]


def test_the_headers_of_what_was_handed_over_are_proved(portal, world, keys):
    from hashlib import sha256

    from include.mail import compose_again
    from include.outbox import read_parts

    path, row = f"/outbox/messages/{keys[0]}", message(world, keys[0])
    kept = json.dumps(HEADERS)
    mail = compose_again({**row, "headers": kept}, read_parts(world, row))
    put(world, keys[0], state="sent", headers=kept, mime_sha256=sha256(mail).hexdigest())
    shown = portal.post(path, data={"token": portal.token(path)}).text
    assert f"Message-ID: &lt;{keys[0]}@example.org&gt;" in shown
    assert ">proved<" in shown
    put(world, keys[0], mime_sha256="0" * 64)
    assert "not proved" in portal.post(path, data={"token": portal.token(path)}).text


def test_hostile_text_of_a_message_stays_text(portal, world, keys):
    hostile = "<script>alert(1)</script>"
    put(world, keys[0], subject=hostile, about=hostile, address=hostile, reply=hostile)
    path = f"/outbox/messages/{keys[0]}"
    for page in (
        portal.get("/outbox/messages"),
        portal.get(path),
        portal.post(path, data={"token": portal.token(path)}),
    ):
        assert "&lt;script&gt;" in page.text
        assert "<script>" not in page.text


def test_who_may_not_unmask_sees_no_text_and_leaves_no_link(portal, world, keys):
    portal.become("viewer", "carm_deliver")
    token = portal.token("/outbox")
    for path in (f"/outbox/messages/{keys[0]}", f"/outbox/messages/{keys[0]}/html"):
        answer = portal.post(path, data={"token": token})
        assert answer.status_code == 403
        assert message(world, keys[0])["address"] not in answer.text
    assert links(world, "unmask") == []


# Unknown outcome


@pytest.fixture
def unknown(world, keys):
    """Three messages that were handed over and not answered for."""
    put(world, *keys[:3], state="unknown", headers=json.dumps(HEADERS), changed_at="2022-01-05T12:00:00.000000Z")
    return keys[:3]


def test_the_desk_tells_what_to_look_up_in_the_log_of_the_server(portal, unknown):
    page = portal.get("/outbox/unknown").text
    for key in unknown:
        assert f"&lt;{key}@example.org&gt;" in page
    assert "2022-01-05 07:00" in page


def test_many_are_taken_for_sent_at_once_with_the_reason_and_the_person(portal, world, unknown):
    given = {"token": portal.token("/outbox/unknown"), "reason": "queued by the server", "key": list(unknown[:2])}
    answer = portal.post("/outbox/unknown/arrived", data=given)
    assert (answer.status_code, answer.headers["location"]) == (303, "../unknown?done=2")
    assert [message(world, key)["state"] for key in unknown] == ["sent", "sent", "unknown"]
    facts = {"was": "unknown", "is": "sent", "reason": "queued by the server", "recorded_by": "approver"}
    assert links(world, "message") == [(key, facts) for key in unknown[:2]]
    assert "queued by the server" in portal.get(f"/outbox/messages/{unknown[0]}").text


def test_only_one_at_a_time_is_sent_again(portal, world, unknown):
    given = {"token": portal.token("/outbox/unknown"), "reason": "not in the log"}
    refused = portal.post("/outbox/unknown/again", data={**given, "key": list(unknown[:2])})
    assert refused.status_code == 400
    assert "choose one" in refused.text
    assert {message(world, key)["state"] for key in unknown} == {"unknown"}
    assert portal.post("/outbox/unknown/again", data={**given, "key": unknown[0]}).status_code == 303
    assert [message(world, key)["state"] for key in unknown] == ["planned", "unknown", "unknown"]


@pytest.mark.parametrize("given", [{}, {"reason": "  "}, {"reason": "x"}, {"reason": "because", "key": "none"}])
def test_without_a_reason_or_a_message_nothing_is_decided(portal, world, unknown, given):
    given = {"token": portal.token("/outbox/unknown"), "key": unknown[0], **given}
    assert portal.post("/outbox/unknown/arrived", data=given).status_code in (400, 422)
    assert message(world, unknown[0])["state"] == "unknown"


# Decisions about one


def test_a_failed_message_is_planned_again(portal, world, keys):
    put(world, keys[0], state="failed", attempts=3)
    path = f"/outbox/messages/{keys[0]}"
    given = {"token": portal.token(path), "reason": "the mailbox works again"}
    assert portal.post(f"{path}/again", data=given).headers["location"] == f"../{keys[0]}?done=1"
    assert message(world, keys[0])["state"] == "planned"
    assert "planned now" in portal.get(f"{path}?done=1").text


def test_what_was_sent_is_not_decided_about(portal, world, keys):
    put(world, keys[0], state="sent")
    path = f"/outbox/messages/{keys[0]}"
    assert f"{path}/again" not in portal.get(path).text
    answer = portal.post(f"{path}/again", data={"token": portal.token(path), "reason": "once more"})
    assert answer.status_code == 400
    assert message(world, keys[0])["state"] == "sent"


def test_all_that_failed_in_a_month_are_planned_again(portal, world, keys):
    period = message(world, keys[0])["period"]
    put(world, *keys[:4], state="failed")
    page = f"/outbox/messages?state=failed&period={period}"
    same = [key for key in keys[:4] if message(world, key)["period"] == period]
    given = {"token": portal.token(page), "reason": "the server was ill", "period": period}
    answer = portal.post("/outbox/failed/again", data=given)
    assert answer.headers["location"] == f"../messages?state=failed&period={period}&done={len(same)}"
    assert {message(world, key)["state"] for key in same} == {"planned"}


def test_who_may_not_send_decides_nothing(portal, world, unknown):
    portal.become("viewer", "carm_reinstate_account")
    path = f"/outbox/messages/{unknown[0]}"
    assert f"{path}/again" not in portal.get(path).text
    given = {"token": portal.token(path), "reason": "because I say so", "key": unknown[0], "period": "2021-12"}
    for address in (
        f"{path}/again",
        f"{path}/arrived",
        "/outbox/unknown/again",
        "/outbox/unknown/arrived",
        "/outbox/failed/again",
        "/outbox/send",
    ):
        assert portal.post(address, data=given).status_code == 403
    assert message(world, unknown[0])["state"] == "unknown"
    assert not [asked for asked in portal.airflow.asked if asked[0] == "POST"]


def test_a_form_without_its_token_or_with_anothers_decides_nothing(portal, world, unknown):
    token = portal.token("/outbox/unknown")
    portal.who = "somebody else"
    path = f"/outbox/messages/{unknown[0]}"
    for address in (
        path,
        f"{path}/html",
        f"{path}/again",
        f"{path}/arrived",
        "/outbox/unknown/again",
        "/outbox/unknown/arrived",
        "/outbox/failed/again",
        "/outbox/send",
    ):
        for given in ({}, {"token": token}):
            form = {"reason": "because", "key": unknown[0], "period": "2021-12", **given}
            assert portal.post(address, data=form).status_code == 403
    assert message(world, unknown[0])["state"] == "unknown"
    assert links(world, "unmask") == []


def test_nobody_who_is_not_logged_in_sees_anything(portal, keys):
    portal.become(None)
    for path in ("", "/messages", f"/messages/{keys[0]}", "/unknown", "/unreached"):
        assert portal.get(f"/outbox{path}").status_code == 401


# Sending, and whom nothing reaches


def test_sending_starts_a_run(portal):
    portal.airflow.answers["POST", "/dags/carm_deliver/dagRuns"] = (200, {"dag_run_id": "manual__2022"})
    answer = portal.post("/outbox/send", data={"token": portal.token("/outbox")})
    assert (answer.status_code, answer.headers["location"]) == (303, "../outbox?started=manual__2022")
    assert portal.airflow.asked[-1] == ("POST", "/dags/carm_deliver/dagRuns", {"logical_date": None, "conf": {}})
    assert (
        'href="../dags/carm_deliver/runs/manual__2022" target="_top"' in portal.get("/outbox?started=manual__2022").text
    )


def test_whom_nothing_reaches_is_told_by_month(portal, world):
    with write_transaction(world.operations) as connection:
        first = (
            connection.execute(select(NOTICE_INTENTS).where(NOTICE_INTENTS.c.period == "2021-12").limit(1))
            .mappings()
            .one()
        )
        this = (NOTICE_INTENTS.c.kind == first["kind"]) & (NOTICE_INTENTS.c.about == first["about"])
        connection.execute(update(NOTICE_INTENTS).where(this).values(state="unreachable", reason="no_address"))
        connection.execute(update(OUTBOX).where(OUTBOX.c.about == first["about"]).values(state="called_off"))
    page = portal.get("/outbox/unreached?period=2021-12").text
    assert first["about"] in page
    assert "no address" in page
