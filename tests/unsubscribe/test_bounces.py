"""Which delivery reports make an address a dead one, and which do not, whoever wrote them."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from include import bounces
from include.bounces import COUNTS, NoReport, Unreadable, bounce_lines, import_bounces, read_report
from include.carm.errors import Unavailable, UsageError
from include.database import connect_engine
from include.operations_notice_tables import OUTBOX, SUPPRESSIONS
from include.unsubscribe import unsubscribe
from include.workspace import Workspace
from tests.unsubscribe.outbox import (
    ADDRESS,
    HASH_KEY,
    READER,
    create_tables,
    everything,
    key_of,
    message,
    post,
    rows,
    states,
)
from tests.unsubscribe.reports import fate, put_into_folder, put_into_maildir, put_into_mbox, report, returned

DAY = date(2022, 1, 10)
SENT = message(state="sent", kind="statement", about="a statement that was sent")
KEY = SENT["message_key"]
OTHER = "other@example.org"

Take = Callable[..., dict[str, Any]]


@pytest.fixture
def ws(tmp_path: Path, tables: Engine) -> Workspace:
    """A workspace over the tables, with one message that was sent and one that is planned for the same reader."""
    post(tables, SENT, message(kind="statement", about="a statement"))
    return Workspace.open(tmp_path)


@pytest.fixture
def take(ws: Workspace, tmp_path: Path) -> Take:
    """Import messages from a folder; returns the counts that are not zero."""

    def taken(*messages: bytes, by_address: bool = False) -> dict[str, int]:
        folder = put_into_folder(tmp_path / "reports", *messages)
        facts = import_bounces(ws, folder, on=DAY, hash_key=HASH_KEY, by_address=by_address)
        assert facts["messages"] == sum(facts[name] for name in COUNTS if name != "messages")
        return {name: facts[name] for name in COUNTS if facts[name] and name != "messages"}

    return taken


def dead(ws: Workspace) -> set[str]:
    return {row["recipient_key"] for row in rows(ws.operations, SUPPRESSIONS) if row["scope"] == "all"}


# --- What counts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("put", [put_into_folder, put_into_mbox, put_into_maildir])
def test_who_has_a_dead_address_is_not_written_to_any_more(
    ws: Workspace, tmp_path: Path, put: Callable[..., Path]
) -> None:
    path = put(tmp_path / "reports", report(fate(), back=returned(KEY)), report(fate(), back=returned(KEY)))
    before = {file: file.read_bytes() for file in [path, *path.rglob("*")] if file.is_file()}
    facts = import_bounces(ws, path, on=DAY, hash_key=HASH_KEY)
    assert facts == {
        "messages": 2,
        "not_a_report": 0,
        "unreadable": 0,
        "temporary": 0,
        "address_lives": 0,
        "unmatched": 0,
        "dead": 2,
        "suppressed": 1,
        "suppressed_before": 0,
        "stopped": 1,
        "off_the_list": 0,
        "problems": [],
    }
    (row,) = rows(ws.operations, SUPPRESSIONS)
    said = {"scope": "all", "reason": "bounced", "since": DAY, "source": "bounce"}
    assert row == {"recipient_key": READER, **said}
    (came_back,) = [row for row in rows(ws.operations, OUTBOX) if row["message_key"] == KEY]
    assert (came_back["state"], came_back["reply"]) == ("failed", "5.1.1")
    after = everything(ws.operations)
    again = import_bounces(ws, path, on=date(2022, 2, 1), hash_key=HASH_KEY)
    assert (again["suppressed"], again["suppressed_before"], again["stopped"]) == (0, 1, 0)
    assert everything(ws.operations) == after
    assert before == {file: file.read_bytes() for file in [path, *path.rglob("*")] if file.is_file()}


@pytest.mark.parametrize(
    ("status", "count"),
    [
        ("5.1.1", "dead"),
        ("5.1.2", "dead"),
        ("5.1.3", "dead"),
        ("5.1.4", "dead"),
        ("5.1.6", "dead"),
        ("5.1.10", "dead"),
        ("5.2.1", "dead"),
        ("5.1.1 (no such user)", "dead"),
        ("5.1.0", "address_lives"),
        ("5.1.5", "address_lives"),
        ("5.1.7", "address_lives"),
        ("5.1.8", "address_lives"),
        ("5.1.9", "address_lives"),
        ("5.1.11", "address_lives"),
        ("5.2.0", "address_lives"),
        ("5.2.2", "address_lives"),
        ("5.2.3", "address_lives"),
        ("5.4.4", "address_lives"),
        ("5.6.0", "address_lives"),
        ("5.7.1", "address_lives"),
        ("5.7.26", "address_lives"),
        ("5.0.0", "address_lives"),
        ("4.1.1", "address_lives"),
        ("2.1.5", "address_lives"),
        ("511", "unreadable"),
        ("5.1", "unreadable"),
        ("15.1.1", "unreadable"),
        ("", "unreadable"),
    ],
)
def test_only_a_status_of_the_address_counts(take: Take, ws: Workspace, status: str, count: str) -> None:
    assert take(report(fate(status=status), back=returned(KEY))) == {count: 1}
    assert dead(ws) == ({READER} if count == "dead" else set())


@pytest.mark.parametrize(
    ("action", "count"),
    [
        ("failed", "dead"),
        ("FAILED", "dead"),
        ("delayed", "temporary"),
        ("delivered", "temporary"),
        ("relayed", "temporary"),
        ("expanded", "temporary"),
        ("", "temporary"),
    ],
)
def test_only_what_failed_counts(take: Take, ws: Workspace, action: str, count: str) -> None:
    assert take(report(fate(action=action), back=returned(KEY))) == {count: 1}
    assert dead(ws) == ({READER} if count == "dead" else set())


# --- Whose it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type", ["message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"]
)
def test_what_is_returned_tells_whose_it_is(take: Take, ws: Workspace, content_type: str) -> None:
    """Also where a server in between knows the reader by another address."""
    assert take(report(fate("forwarded@example.net"), back=returned(KEY, content_type))) == {"dead": 1}
    assert dead(ws) == {READER}


@pytest.mark.parametrize(
    "back",
    [
        "",
        returned(None),
        returned("0" * 32),
        returned(KEY.upper()),
        returned(KEY[:-1]),
        returned(f"x{KEY}"),
        returned(f"{KEY}@mail.example.org> <{KEY}"),
    ],
)
def test_a_report_that_strangers_may_have_written_silences_nobody(take: Take, ws: Workspace, back: str) -> None:
    assert take(report(fate(), back=back)) == {"unmatched": 1}
    assert dead(ws) == set()


@pytest.mark.parametrize("state", ["planned", "sealed", "sending", "failed", "suppressed"])
def test_a_message_that_was_not_sent_has_no_report(take: Take, ws: Workspace, state: str) -> None:
    other = message(OTHER, state=state)
    post(ws.operations, other)
    assert take(report(fate(OTHER), back=returned(other["message_key"]))) == {"unmatched": 1}
    assert take(report(fate(OTHER)), by_address=True) == {"unmatched": 1}
    assert dead(ws) == set()


def test_a_message_whose_fate_is_unknown_may_have_one(take: Take, ws: Workspace) -> None:
    other = message(OTHER, kind="statement", state="unknown")
    post(ws.operations, other)
    assert take(report(fate(OTHER), back=returned(other["message_key"]))) == {"dead": 1}
    assert dead(ws) == {key_of(OTHER)}


@pytest.mark.parametrize("kind", ["webinar", "quarterly"])
def test_a_message_of_the_list_that_comes_back_stops_the_list_alone(take: Take, ws: Workspace, kind: str) -> None:
    """Whoever gets a newsletter passed on can make up a report about it, and shall stop no statement by that."""
    sent = message(kind=kind, about="sent", state="sent")
    waits = message(kind=kind, about="waits")
    post(ws.operations, sent, waits)
    assert take(report(fate(), back=returned(sent["message_key"]))) == {"dead": 1}
    (row,) = rows(ws.operations, SUPPRESSIONS)
    assert (row["recipient_key"], row["scope"], row["reason"]) == (READER, "list", "bounced")
    assert states(ws.operations)[kind, "waits"] == "suppressed"
    assert states(ws.operations)["statement", "a statement"] == "planned"
    # The person's own word takes the place of the report.
    with ws.operations.begin() as connection:
        assert unsubscribe(connection, READER, on=DAY, source="page")["is_new"]
    assert [row["reason"] for row in rows(ws.operations, SUPPRESSIONS)] == ["unsubscribed"]


def test_of_several_recipients_ours_counts_or_else_all(take: Take, ws: Workspace) -> None:
    back = returned(KEY)
    lives, gone = fate("copy@example.net", "2.0.0", "delivered"), fate("copy@example.net")
    assert take(report(lives, gone, back=back)) == {"address_lives": 1}
    assert take(report(fate(ADDRESS, "5.2.2"), gone, back=back)) == {"address_lives": 1}
    assert dead(ws) == set()
    assert take(report(lives, fate(), back=back)) == {"dead": 1}
    assert dead(ws) == {READER}


def test_by_address_only_where_nothing_is_returned_and_we_have_written(take: Take, ws: Workspace) -> None:
    assert take(report(fate(), back=returned("0" * 32)), by_address=True) == {"unmatched": 1}
    assert take(report(fate("stranger@example.org")), by_address=True) == {"unmatched": 1}
    assert dead(ws) == set()
    assert take(report(fate(), back=returned(None)), by_address=True) == {"dead": 1}
    assert dead(ws) == {READER}


@pytest.mark.parametrize(
    ("address", "field"),
    [
        (ADDRESS, "rfc822; Reader@Example.ORG"),
        (ADDRESS, "RFC822;<reader@example.org>"),
        (ADDRESS, "rfc822;\n reader@example.org"),
        ("reader+list@example.org", "rfc822; reader+list@example.org"),
        ("reader+list@example.org", "rfc822; reader+2Blist@example.org"),
        ("reader+2bl@example.org", "rfc822; reader+2bl@example.org"),
        # RFC 6533: encoded in a report of ASCII, and as it is in one of UTF-8.
        ("léa@exemple.ca", "utf-8; l\\x{E9}a@exemple.ca"),
        ("léa@exemple.ca", "UTF-8; l\\x{0000e9}a@exemple.ca"),
        ("léa@exemple.ca", "utf-8; LÉA@exemple.ca"),
    ],
)
@pytest.mark.parametrize("name", ["Final-Recipient", "Original-Recipient"])
def test_an_address_is_read_in_every_spelling_of_servers(
    take: Take, ws: Workspace, address: str, field: str, name: str
) -> None:
    if address != ADDRESS:
        post(ws.operations, message(address, state="sent"))
    said = f"Final-Recipient: {field}\n" if name == "Final-Recipient" else ""
    said = said or f"Original-Recipient: {field}\nFinal-Recipient: rfc822; somebody@example.net\n"
    content = report(f"{said}Action: failed\nStatus: 5.1.1\n", kind="message/global-delivery-status")
    assert take(content, by_address=True) == {"dead": 1}
    assert dead(ws) == {key_of(address)}


@pytest.mark.parametrize("kind", ["message/delivery-status", "message/global-delivery-status"])
def test_raw_utf_8_is_read_in_either_form_of_report(take: Take, ws: Workspace, kind: str) -> None:
    post(ws.operations, message("éva@exemple.ca", state="sent"))
    assert take(report(fate("éva@exemple.ca", kind="utf-8"), kind=kind), by_address=True) == {"dead": 1}
    assert dead(ws) == {key_of("éva@exemple.ca")}


def test_a_report_in_base64_is_read(take: Take) -> None:
    fields = base64.encodebytes(f"Reporting-MTA: dns; x\n\n{fate()}".replace("\n", "\r\n").encode()).decode()
    head, _, rest = report("REPORT", head="Content-Transfer-Encoding: base64\n", back=returned(KEY)).partition(
        b"Reporting"
    )
    tail = rest[rest.index(b"REPORT") + len(b"REPORT") :]
    assert take(head + fields.encode() + tail) == {"dead": 1}


# --- What is no report of a failure -----------------------------------------------------------------------------

PERMANENT = report(fate(), back=returned(KEY))
FORWARDED = (
    b'Content-Type: multipart/mixed; boundary="=_f"\n\n--=_f\n\nLook at this\n--=_f\nContent-Type: message/rfc822\n\n'
    + PERMANENT
    + b"\n--=_f--\n"
)
READ_RECEIPT = PERMANENT.replace(b"report-type=delivery-status", b"report-type=disposition-notification")
BEHIND_A_GATEWAY = (
    b'Content-Type: multipart/mixed; boundary="=_g"\n\n--=_g\n'
    + PERMANENT
    + b"\n--=_g\nContent-Type: text/plain\n\nScanned.\n--=_g--\n"
)
# The report is about a report: what it returns is a report about a message of ours.
ABOUT_A_REPORT = report(fate("daemon@example.net"), back="Content-Type: message/rfc822\n\n" + PERMANENT.decode())


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (PERMANENT, "dead"),
        (BEHIND_A_GATEWAY, "dead"),
        (PERMANENT.replace(b"report-type=delivery-status; ", b""), "dead"),
        (PERMANENT.replace(b"\n", b"\r\n"), "dead"),
        (FORWARDED, "not_a_report"),
        (b"Content-Type: message/rfc822\n\n" + PERMANENT, "not_a_report"),
        (READ_RECEIPT, "not_a_report"),
        (ABOUT_A_REPORT, "unmatched"),
        (b"Subject: I am away\n\nUntil Monday.\n", "not_a_report"),
        (b"", "not_a_report"),
        (report(), "unreadable"),
        (report(fate(), kind="text/plain"), "unreadable"),
        (report("Action: failed\nStatus: 5.1.1\n"), "unreadable"),
        (report(*[fate()] * 101), "unreadable"),
        (PERMANENT[: PERMANENT.index(b"Reporting-MTA")], "unreadable"),
        (PERMANENT + b"x" * bounces.MOST_MESSAGE_BYTES, "unreadable"),
    ],
)
def test_only_the_report_itself_is_read(take: Take, ws: Workspace, content: bytes, count: str) -> None:
    assert take(content) == {count: 1}
    assert dead(ws) == ({READER} if count == "dead" else set())


def test_a_message_of_a_thousand_layers_is_unreadable(take: Take) -> None:
    layers = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (number, number) for number in range(5_000)
    )
    assert take(b'Content-Type: multipart/report; boundary="y"\n\n--y\n' + layers) == {"unreadable": 1}


lines = st.sampled_from([*PERMANENT.splitlines(keepends=True), b"--=_x\n", b"\n", b"\xff\xfe\n", b"Content-Type: ;;\n"])


@given(st.lists(lines | st.binary(max_size=20), max_size=60).map(b"".join))
@example(b"Content-Type: multipart/report; boundary*0*=x'y'%ff")
@example(PERMANENT.replace(b"charset=utf-8", b"charset=none-such"))
@example(
    PERMANENT.replace(b"message/delivery-status\n", b"message/delivery-status\nContent-Transfer-Encoding: base64\n")
)
@example(PERMANENT.replace(b"rfc822; reader", b"utf-8; \\x{D800}\\x{FFFFFF}reader"))
def test_nothing_that_comes_by_mail_is_a_fault_of_ours(content: bytes) -> None:
    with suppress(NoReport, Unreadable):
        for found in read_report(content).fates:
            assert all(address == address.strip().lower() for address in found.addresses)
            assert [key_of(address) for address in found.addresses]


def test_what_cannot_be_read_is_named_by_its_file_and_never_by_an_address(ws: Workspace, tmp_path: Path) -> None:
    bad = report("Action: failed\n")
    folder = put_into_folder(tmp_path / "reports", PERMANENT, bad)
    (folder / "Undelivered reader@example.org.eml").write_bytes(bad)
    facts = import_bounces(ws, folder, on=DAY, hash_key=HASH_KEY)
    reason = "its report names no recipient"
    assert facts["problems"] == [
        {"file": "02.eml", "reason": reason},
        {"file": "file 3 of reports", "reason": reason},
    ]
    assert list(bounce_lines(facts)) == [
        "3 messages, of which",
        "        1  say that an address of ours is dead",
        "        2  cannot be read",
        "Addresses that are not written to any more: 1; were not before: 0",
        "1 message planned for them will not be sent",
        f"02.eml cannot be read: {reason}",
        f"file 3 of reports cannot be read: {reason}",
    ]
    box = import_bounces(ws, put_into_mbox(tmp_path / "box", bad, PERMANENT), on=DAY, hash_key=HASH_KEY)
    assert box["problems"] == [{"file": "box, message 1", "reason": reason}]


def test_many_unreadable_messages_are_counted_and_a_few_named(ws: Workspace, tmp_path: Path) -> None:
    folder = put_into_folder(tmp_path / "reports", *[report()] * 30)
    facts = import_bounces(ws, folder, on=DAY, hash_key=HASH_KEY)
    assert (facts["unreadable"], len(facts["problems"])) == (30, bounces.MOST_PROBLEMS)


# --- Where messages lie -----------------------------------------------------------------------------------------


def test_what_is_no_place_of_messages_is_refused(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "letter.txt").write_text("Dear reader")
    for name, message_ in {
        "nowhere": "there is no .*nowhere",
        "empty": "is no Maildir and has no .eml file",
        "letter.txt": "is no mbox file",
    }.items():
        with pytest.raises(UsageError, match=message_):
            import_bounces(ws, tmp_path / name, on=DAY, hash_key=HASH_KEY)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is neither a file nor a folder"):
        import_bounces(ws, tmp_path / "pipe", on=DAY, hash_key=HASH_KEY)


def test_a_mailbox_without_a_message_is_one(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "box").touch()
    assert import_bounces(ws, tmp_path / "box", on=DAY, hash_key=HASH_KEY)["messages"] == 0
    assert import_bounces(ws, put_into_maildir(tmp_path / "dir"), on=DAY, hash_key=HASH_KEY)["messages"] == 0


def test_a_pipe_among_the_files_is_left_alone(ws: Workspace, tmp_path: Path) -> None:
    folder = put_into_folder(tmp_path / "reports", PERMANENT)
    os.mkfifo(folder / "00.eml")
    assert import_bounces(ws, folder, on=DAY, hash_key=HASH_KEY)["messages"] == 1


def test_a_disk_that_fails_is_said_in_one_line(ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put_into_folder(tmp_path / "reports", PERMANENT)

    def fail(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(bounces, "_read_files", fail)
    with pytest.raises(Unavailable, match=r"cannot read .*reports \(Permission denied\): check who may read it"):
        import_bounces(ws, folder, on=DAY, hash_key=HASH_KEY)


def test_reports_are_matched_on_postgresql_in_batches(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounces, "KEYS_A_QUERY", 3)
    create_tables(connect_engine(postgresql_url))
    ws = Workspace.open(tmp_path, apply_url=postgresql_url)
    sent = [message(f"reader{number}@example.org", kind="statement", state="sent") for number in range(10)]
    post(ws.operations, *sent)
    back = [report(fate(row["address"]), back=returned(row["message_key"])) for row in sent]
    facts = import_bounces(ws, put_into_folder(tmp_path / "reports", *back), on=DAY, hash_key=HASH_KEY)
    assert (facts["dead"], facts["suppressed"]) == (10, 10)
    assert dead(ws) == {row["recipient_key"] for row in sent}
