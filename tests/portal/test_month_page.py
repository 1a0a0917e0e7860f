"""The page of one month, and the button that runs it again."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import update

from include.operations_notice_tables import NOTICE_INTENTS
from include.operations_schema import FEED_COVERAGE
from tests.portal.test_months import a_run, change, let_airflow_know, text_of

START = ("POST", "/dags/carm_month/dagRuns")


def summary_of(portal, period="2022-01"):
    return json.loads((portal.ws.data / "summaries" / f"period={period}.json").read_text())


def write_summary(portal, area, summary):
    folder = portal.ws.data / ("summaries" if area == "lake" else "shadow/summaries")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"period={summary['period']}.json").write_text(json.dumps(summary))


def text_of_page(portal, period="2022-01"):
    answer = portal.get(f"/months/{period}")
    assert answer.status_code == 200, answer.text
    return text_of(answer.text)


def test_a_month_tells_what_its_summary_says(portal):
    text = text_of_page(portal)
    for said in (
        "As of 2022-01-24.",
        "close no activity 4 years 3",
        "transactions account missing 1",
        "Closing $1,784,906.62",
        "5 of 285 open accounts",
        "Owed, and reaching nobody: statement 3.",
        "closure planned 6",
        "No gap",
    ):
        assert said in text


def test_a_month_shows_the_hash_of_each_of_its_files(portal):
    text = text_of_page(portal)
    seals = [seal for seal in portal.ws.lake().seals() if seal.period == "2022-01"]
    assert f"{len(seals)} files of the record" in text
    assert [seal for seal in seals if f"{seal.dataset} {seal.rows:,} {seal.sha256}" not in text] == []


def test_a_month_of_history_leads_to_no_plan_for_it_has_none(portal):
    assert 'href="../review/2022-01"' in portal.get("/months/2022-01").text
    page = portal.get("/months/2021-11")
    assert page.status_code == 200
    assert "../review/2021-11" not in page.text


def test_a_month_that_nobody_knows_is_not_there(portal):
    answer = portal.get("/months/2031-01")
    assert answer.status_code == 404
    assert "2031-01 was not run: start carm_month with it first" in answer.text


def test_a_month_that_only_airflow_knows_has_a_page(portal):
    let_airflow_know(portal, a_run("2022-03", "failed"), tasks=[("manual 2022-03", "open_month", "failed")])
    text = text_of_page(portal, "2022-03")
    assert "Extract failed" in text
    assert "Nothing of it is on record yet." in text


def test_a_gap_is_named_and_marked_in_the_grid(portal):
    lack = FEED_COVERAGE.c.feed == "export_declarations", FEED_COVERAGE.c.period == "2020-05"
    change(portal, update(FEED_COVERAGE).where(*lack).values(state="not_received"))
    html = portal.get("/months/2022-01").text
    assert "<li>export_declarations 2020-05: not received</li>" in html
    assert html.count('<span class="state warn" title="not received">') == 1
    assert html.count('title="covered"') == 2 * 49 - 1


def test_parked_accounts_are_told_by_reason_with_what_to_mend(portal):
    write_summary(portal, "lake", summary_of(portal) | {"parked": {"chain_is_broken": 2}})
    text = text_of_page(portal)
    assert "chain is broken it does not open with what the month before closed with" in text
    assert "Then trigger carm_restate for 2022-01 with the act issue_parked." in text


def test_a_summary_of_an_earlier_release_is_shown_without_what_it_does_not_say(portal):
    summary = summary_of(portal)
    for name in ("parked", "unreachable_notices", "outbox"):
        del summary[name]
    write_summary(portal, "lake", summary)
    assert "Closing $1,784,906.62" in text_of_page(portal)


def test_notices_that_are_owed_are_told(portal):
    change(portal, update(NOTICE_INTENTS).where(NOTICE_INTENTS.c.kind == "closure").values(state="owed"))
    assert "Notices that nobody was told of yet: closure 3." in text_of_page(portal)


def test_what_a_shadow_run_found_otherwise_stands_beside_the_record(portal):
    found = summary_of(portal)
    found["decisions"][0]["accounts"] = 4
    found["statements"]["closing_cents"] += 1
    found |= {"changed_files": ["account_decisions", "statements"], "area": "shadow", "effects": "shadow"}
    write_summary(portal, "shadow", found)
    text = text_of_page(portal)
    assert "Accounts: close, no activity 4 years 3 4" in text
    assert "Statements: closing $1,784,906.62 $1,784,906.63" in text
    assert "Statements: opening" not in text
    assert "Datasets with other rows: account_decisions, statements." in text


def test_a_shadow_run_that_found_nothing_otherwise_says_so(portal):
    write_summary(portal, "shadow", summary_of(portal) | {"changed_files": []})
    assert "It found the month as it is on record." in text_of_page(portal)


# Running it again


def test_a_month_is_run_again_in_shadow_unless_live_is_asked_for(portal):
    portal.airflow.answers[START] = 200, {"dag_run_id": "manual 1"}
    for given, effects in (({}, "shadow"), ({"effects": "shadow"}, "shadow"), ({"effects": "live"}, "live")):
        data = {"token": portal.token("/months/2022-01"), **given}
        answer = portal.post("/months/2022-01/run", data=data)
        assert (answer.status_code, answer.headers["location"]) == (303, "../2022-01")
        conf = {"period": "2022-01", "effects": effects}
        assert portal.airflow.asked[-1] == (*START, {"logical_date": None, "partition_key": "2022-01", "conf": conf})


@pytest.mark.parametrize("effects", ["auto", "LIVE", "<script>"])
def test_other_effects_are_refused(portal, effects):
    data = {"token": portal.token("/months/2022-01"), "effects": effects}
    assert portal.post("/months/2022-01/run", data=data).status_code == 422
    assert START not in [asked[:2] for asked in portal.airflow.asked]


def test_a_viewer_sees_the_month_and_no_button(portal):
    token = portal.token("/months/2022-01")
    portal.become("viewer")
    assert "Run 2022-01 again" not in portal.get("/months/2022-01").text
    # Neither a token of somebody else nor the address alone starts anything.
    assert portal.post("/months/2022-01/run", data={"token": token}).status_code == 403
    portal.become("approver", "carm_reinstate_account")
    assert portal.post("/months/2022-01/run", data={"token": token}).status_code == 403
    assert START not in [asked[:2] for asked in portal.airflow.asked]


def test_a_form_from_another_site_starts_nothing(portal):
    data = {"token": portal.token("/months/2022-01")}
    answer = portal.post("/months/2022-01/run", data=data, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert portal.post("/months/2022-01/run", data={}).status_code == 403
    assert START not in [asked[:2] for asked in portal.airflow.asked]


@pytest.mark.parametrize(("status", "told"), [(403, 403), (404, 409), (409, 409)])
def test_what_airflow_refuses_is_told_in_its_own_words(portal, status, told):
    portal.airflow.answers[START] = status, {"detail": "the Dag <b>said</b> no"}
    answer = portal.post("/months/2022-01/run", data={"token": portal.token("/months/2022-01")})
    assert answer.status_code == told
    assert f"Airflow did not start carm_month ({status}): the Dag &lt;b&gt;said&lt;/b&gt; no." in answer.text
