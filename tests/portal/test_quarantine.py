"""Quarantine: what was refused and why, what is masked, and reading a month again."""

from __future__ import annotations

import csv
import io
import re

import pyarrow as pa
import pytest
from sqlalchemy import select

from include.carm.period import Period
from include.datasets import schema_of
from include.feeds import LEDGER_FEEDS, SNAPSHOT_FEEDS
from include.operations_plan_tables import AUDIT_CHAIN
from include.portal.quarantine_rows import PAGE_ROWS, find_feed
from include.quality.offending import offending_columns
from include.quality.suites import load_suite

MONTH = "2021-12"
ROW = {
    "dataset": "transactions", "row_key": "T1#1", "expectation": "components_add_up",
    "reason": "components_do_not_add_up", "bn15": "000000018RM0001", "kind": "B3", "status": "accepted",
    "amount_cents": 123456, "replaces_published": False, "row_hash": "a" * 32,
    "row_json": '{"transaction_id": "T1", "kind": "B3", "gst_cents": "7", "amount_cents": "123456", "due_on": null}',
}  # fmt: skip


@pytest.fixture
def refuse(world):
    """Puts rows into the quarantine of the month, in the place of its own."""

    def put(*rows, month=MONTH):
        table = pa.Table.from_pylist([{**ROW, **row} for row in rows], schema_of("quarantine"))
        world.lake().publish_and_seal("quarantine", Period.parse(month), table, run_id="test")

    return put


def unmaskings(world):
    with world.operations.connect() as connection:
        query = select(AUDIT_CHAIN.c.subject, AUDIT_CHAIN.c.facts).where(AUDIT_CHAIN.c.event == "unmask")
        return connection.execute(query).all()


def row_ids(page):
    return re.findall(r"/rows/([0-9a-f]{32})", page.text)


def test_the_months_tell_how_many_rows_each_reason_refused(portal, world, refuse):
    refuse({}, {"row_key": "T2#1"}, {"row_key": "T3#1", "expectation": "kind_is_known", "reason": "unknown_kind"})
    page = portal.get("/quarantine")
    assert page.status_code == 200
    rows = re.findall(r"<tr>.*?</tr>", page.text, re.DOTALL)
    (found,) = [row for row in rows if f"quarantine/{MONTH}?feed=transactions&amp;reason=components_do_not" in row]
    assert '<td class="figure">2</td>' in found
    assert "2 open" in found


def test_a_month_says_what_each_rule_asks_and_why(portal, refuse):
    refuse({})
    (rule,) = [rule for rule in load_suite("transactions").rules if rule.name == "components_add_up"]
    page = portal.get(f"/quarantine/{MONTH}").text
    assert rule.why in page
    assert "components_sum_cents = amount_cents" in page


def test_pages_hold_every_row_once_and_no_more(portal, refuse):
    refuse(*({"row_key": f"T{number:04d}#1"} for number in range(2 * PAGE_ROWS + 1)))
    pages = [row_ids(portal.get(f"/quarantine/{MONTH}?page={page}")) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [PAGE_ROWS, PAGE_ROWS, 1, 0]
    assert len({one for page in pages for one in page}) == 2 * PAGE_ROWS + 1
    assert "Next page" in portal.get(f"/quarantine/{MONTH}?page=2").text
    assert "Next page" not in portal.get(f"/quarantine/{MONTH}?page=3").text


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("feed=accounts", ["A#1"]),
        ("reason=unknown_kind", ["T2#1"]),
        ("expectation=kind_is_known&feed=transactions", ["T2#1"]),
        ("state=open", ["T1#1", "T2#1"]),
        ("state=judged_anew", ["A#1"]),
        ("state=released", []),
        ("feed=accounts&reason=unknown_kind", []),
    ],
)
def test_rows_are_asked_for_by_feed_reason_rule_and_state(portal, refuse, asked, found):
    refuse(
        {},
        {"row_key": "T2#1", "expectation": "kind_is_known", "reason": "unknown_kind"},
        {"row_key": "A#1", "dataset": "accounts", "expectation": "bn15_is_valid", "reason": "invalid_bn15"},
    )
    page = portal.get(f"/quarantine/{MONTH}?{asked}").text
    assert re.findall(r"/rows/[0-9a-f]{32}\">([^<]*)<", page) == found


def test_a_row_that_was_mended_since_is_released(portal, world, refuse):
    refuse({}, {"row_key": "T2#1"})
    released = [{"dataset": "transactions", "row_key": "T2#1", "row_hash": ROW["row_hash"], "how": "published"}]
    table = pa.Table.from_pylist(released, schema_of("quarantine_released"))
    world.lake().publish_and_seal("quarantine_released", Period.parse("2022-01"), table, run_id="test")
    page = portal.get(f"/quarantine/{MONTH}?state=released")
    assert "published in 2022-01" in page.text
    assert len(row_ids(page)) == 1
    (row_id,) = row_ids(page)
    assert "It was mended and published, as found in 2022-01" in portal.get(f"/quarantine/{MONTH}/rows/{row_id}").text


def test_a_row_shows_what_the_rule_looked_at_and_masks_amounts(portal, world, refuse):
    refuse({})
    (row_id,) = row_ids(portal.get(f"/quarantine/{MONTH}"))
    path = f"/quarantine/{MONTH}/rows/{row_id}"
    page = portal.get(path).text
    assert "123456" not in page
    assert ">7<" not in page
    assert page.count("masked") == 2
    assert "interest_cents, amount_cents" in page
    assert page.count("looked at") == 2
    assert unmaskings(world) == []

    shown = portal.post(path, data={"token": portal.token(path)}).text
    assert "123456" in shown
    ((subject, facts),) = unmaskings(world)
    assert subject == row_id
    assert '"by":"approver"' in facts


def test_names_and_addresses_of_a_row_are_masked(portal, refuse):
    content = '{"bn15": "x", "email": "one@example.org", "name": "Ann Example", "role": "boss"}'
    row = {"dataset": "delegations", "row_key": "row 1", "expectation": "role_is_known", "row_json": content}
    refuse({**row, "reason": "unknown_kind"})
    (row_id,) = row_ids(portal.get(f"/quarantine/{MONTH}"))
    page = portal.get(f"/quarantine/{MONTH}/rows/{row_id}").text
    assert "boss" in page
    assert "example.org" not in page
    assert "Ann" not in page


def test_who_may_not_unmask_is_shown_nothing_and_nothing_is_recorded(portal, world, refuse):
    refuse({})
    (row_id,) = row_ids(portal.get(f"/quarantine/{MONTH}"))
    path = f"/quarantine/{MONTH}/rows/{row_id}"
    portal.become("viewer", "carm_month")
    token = portal.token(f"/quarantine/{MONTH}")
    for address in (path, f"/quarantine/{MONTH}/rows.csv"):
        answer = portal.post(address, data={"token": token})
        assert answer.status_code == 403
        assert "123456" not in answer.text
    assert unmaskings(world) == []


def test_a_form_without_its_token_or_with_anothers_shows_and_starts_nothing(portal, world, refuse):
    refuse({})
    (row_id,) = row_ids(portal.get(f"/quarantine/{MONTH}"))
    token = portal.token(f"/quarantine/{MONTH}")
    portal.who = "somebody else"
    for path in (f"rows/{row_id}", "rows.csv", "extract"):
        for given in ({}, {"token": token}):
            assert portal.post(f"/quarantine/{MONTH}/{path}", data=given).status_code == 403
    assert unmaskings(world) == []
    assert not [asked for asked in portal.airflow.asked if asked[0] == "POST"]


def test_hostile_text_stays_text(portal, refuse):
    hostile = "<script>alert(1)</script>"
    refuse(
        {
            "row_key": f"{hostile}#1",
            "kind": hostile,
            "bn15": hostile,
            "row_json": '{"kind": "<script>alert(1)</script>"}',
        }
    )
    page = portal.get(f"/quarantine/{MONTH}")
    (row_id,) = row_ids(page)
    for text in (page.text, portal.get(f"/quarantine/{MONTH}/rows/{row_id}").text):
        assert "&lt;script&gt;" in text
        assert "<script>" not in text


def rows_of(answer):
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_the_file_has_all_rows_and_no_formula(portal, refuse):
    refuse(
        *({"row_key": f"=T{number}#1"} for number in range(PAGE_ROWS + 1)), {"kind": "+cmd", "reason": "unknown_kind"}
    )
    rows = rows_of(portal.get(f"/quarantine/{MONTH}/rows.csv"))
    assert len(rows) == PAGE_ROWS + 2
    assert {row["row_key"][:3] for row in rows} == {"'=T", "T1#"}
    assert "amount_cents" not in rows[0]
    assert "row_json" not in rows[0]
    (asked,) = rows_of(portal.get(f"/quarantine/{MONTH}/rows.csv?reason=unknown_kind"))
    assert asked["kind"] == "'+cmd"


def test_the_file_of_whole_rows_is_recorded(portal, world, refuse):
    refuse({}, {"row_key": "T2#1", "reason": "unknown_kind"})
    given = {"token": portal.token(f"/quarantine/{MONTH}"), "reason": "unknown_kind"}
    (row,) = rows_of(portal.post(f"/quarantine/{MONTH}/rows.csv", data=given))
    assert (row["row_key"], row["amount_cents"], row["row_json"]) == ("T2#1", "123456", ROW["row_json"])
    assert [subject for subject, _ in unmaskings(world)] == [MONTH]


@pytest.mark.parametrize("path", ["2021-13", "2021-1", "..%2f..%2fetc", "2021-12/rows/xyz", "2021-12?page=0"])
def test_an_address_that_no_page_has_is_refused(portal, path):
    assert portal.get(f"/quarantine/{path}").status_code in (404, 422)


def test_a_month_that_was_never_run_and_a_row_that_is_gone_are_not_found(portal):
    assert portal.get("/quarantine/2030-01").status_code == 404
    assert portal.get("/quarantine/2030-01/rows.csv").status_code == 404
    assert portal.get(f"/quarantine/{MONTH}/rows/{'0' * 32}").status_code == 404


# Extract again


def test_a_run_of_the_month_is_shadow_unless_somebody_says_live(portal):
    portal.airflow.answers["POST", "/dags/carm_month/dagRuns"] = (
        200,
        {"dag_run_id": "manual__2022-02-01T10:00:00+00:00"},
    )
    token = portal.token(f"/quarantine/{MONTH}")
    for effects, given in (("shadow", {}), ("shadow", {"effects": "shadow"}), ("live", {"effects": "live"})):
        answer = portal.post(f"/quarantine/{MONTH}/extract", data={"token": token, **given})
        assert answer.status_code == 303
        assert answer.headers["location"] == f"../{MONTH}?started=manual__2022-02-01T10%3A00%3A00%2B00%3A00"
        body = {"logical_date": None, "conf": {"period": MONTH, "effects": effects}}
        assert portal.airflow.asked[-1] == ("POST", "/dags/carm_month/dagRuns", body)
    page = portal.get(f"/quarantine/{MONTH}?started=manual__2022-02-01T10%3A00%3A00%2B00%3A00").text
    assert 'href="../../dags/carm_month/runs/manual__2022-02-01T10%3A00%3A00%2B00%3A00" target="_top"' in page


def test_a_viewer_reads_and_starts_nothing(portal):
    portal.become("viewer")
    page = portal.get(f"/quarantine/{MONTH}")
    assert page.status_code == 200
    assert "/extract" not in page.text
    portal.become("viewer", "carm_deliver")
    token = portal.token("/outbox")
    assert portal.post(f"/quarantine/{MONTH}/extract", data={"token": token}).status_code == 403
    assert not [asked for asked in portal.airflow.asked if asked[0] == "POST"]


def test_what_airflow_refuses_is_said(portal):
    portal.airflow.answers["POST", "/dags/carm_month/dagRuns"] = (409, {"detail": "exists"})
    answer = portal.post(f"/quarantine/{MONTH}/extract", data={"token": portal.token(f"/quarantine/{MONTH}")})
    assert answer.status_code == 409
    assert "No run was started" in answer.text


def test_a_final_extract_says_that_nothing_is_read_again(portal):
    assert "is final" in portal.get(f"/quarantine/{MONTH}").text


def test_nobody_who_is_not_logged_in_sees_anything(portal):
    portal.become(None)
    for path in ("/quarantine", f"/quarantine/{MONTH}", f"/quarantine/{MONTH}/rows.csv"):
        assert portal.get(path).status_code == 401


# What a rule looked at


@pytest.mark.parametrize("dataset", sorted(feed.name for feed in (*LEDGER_FEEDS, *SNAPSHOT_FEEDS)))
def test_every_rule_that_refuses_rows_names_a_column_of_the_source(dataset):
    feed = find_feed(dataset)
    unreadable = {name: "never" for name, type_ in feed.columns.items() if type_ != "text"}
    for rule in load_suite(dataset).rules:
        if rule.is_quarantining:
            assert offending_columns(rule, feed, unreadable), rule.name


def test_of_unreadable_values_only_those_are_named():
    (rule,) = [rule for rule in load_suite("transactions").rules if rule.name == "values_are_readable"]
    row = {"gst_cents": "7.5", "amount_cents": "7", "posted_on": "2021-02-30", "due_on": "2021-02-28", "kind": "x"}
    assert offending_columns(rule, find_feed("transactions"), row) == ["posted_on", "gst_cents"]
