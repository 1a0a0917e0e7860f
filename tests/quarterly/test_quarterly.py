"""A quarter from what its months left to documents and messages: figures, gaps, who is written to, and how often."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select

from include.carm.errors import DataError, Refused, Unavailable, UsageError
from include.carm.period import Period
from include.carm.quarter import Quarter
from include.cli import carm
from include.database import write_transaction
from include.notices import count_true_notices
from include.operations_notice_tables import OUTBOX
from include.operations_plan_tables import ACCOUNT_CHANGES, REINSTATEMENTS
from include.quarterly import compose_issue, last_month, publish_quarterly, write_documents, write_preview
from include.quarterly_figures import QuarterFigures, read_figures
from tests.notices.months import HASH_KEY, Month, subscriber, webinar
from tests.pipeline import hashes
from tests.quarterly.issues import Q4, issue_month, quarter

DOCUMENTS = [f"newsletter-{language}.{format_}" for language in ("en", "fr") for format_ in ("html", "pdf")]
READERS = [
    subscriber("en@example.org"),
    subscriber("fr@example.org", language="fr"),
    subscriber("either@example.org", language=None),
    subscriber("gone@example.org", unsubscribed_on=date(2021, 12, 1)),
    subscriber("later@example.org", subscribed_on=date(2022, 1, 1)),
    subscriber("no address"),
]


def publish(month: Month, effects: str = "shadow", run_id: str = "manual__1", **changed: Any) -> dict[str, Any]:
    facts = last_month(month.ws, Q4, effects, run_id, "manual")
    return publish_quarterly(month.ws, Q4, facts, recipient_hash_key=HASH_KEY, **changed)


def outbox(month: Month) -> list[dict[str, Any]]:
    with month.ws.operations.connect() as connection:
        return [dict(row) for row in connection.execute(select(OUTBOX).order_by(OUTBOX.c.address)).mappings()]


def change(month: Month, bn15: str, period: str, **changed: Any) -> None:
    """Write a row of the journal."""
    row = {
        "plan_hash": "p",
        "bn15": bn15,
        "account_key": int(bn15[:9]),
        "period": period,
        "action": "close",
        "effective_on": date(2021, 12, 25),
        "rule_id": "r",
        "reason": "no_activity_4_years",
        "evidence": "{}",
        "valid_from": date(2015, 1, 1),
        "program_type": "importer",
        "old_version": "{}",
        "outcome": "applied",
        "run_id": "test",
    }
    with write_transaction(month.ws.operations) as connection:
        connection.execute(insert(ACCOUNT_CHANGES).values({**row, **changed}))


def reinstate(month: Month, number: int, known_from: str, **changed: Any) -> None:
    row = {
        "reinstatement_no": number,
        "bn15": "000000018RM0001",
        "account_key": 18,
        "undoes": "close",
        "reason": "r",
        "effective_on": date(2021, 12, 10),
        "known_from": known_from,
        "old_version": "{}",
        "new_version": "{}",
        "recorded_by": "somebody",
        "run_id": "test",
    }
    with write_transaction(month.ws.operations) as connection:
        connection.execute(insert(REINSTATEMENTS).values({**row, **changed}))


def of(figures: QuarterFigures, name: str) -> list[int | None]:
    return [getattr(month, name) for month in figures.months]


# --- The figures --------------------------------------------------------------------------------------------------


def test_clients_are_counted_to_the_last_day_of_each_month(tmp_path: Path) -> None:
    figures = read_figures(quarter(tmp_path).ws, Q4, is_live=False)
    # One registered on 09-27, one on the last day of 2021-10, one on that of 2021-11, two afterwards, one never.
    assert of(figures, "clients") == [2, 3, 5]
    assert figures.of_quarter("clients") == 5
    assert of(figures, "statements") == [1, 2, 3]
    assert figures.of_quarter("statements") == 6
    assert figures.missing == ()


def test_a_week_counts_from_its_monday_to_its_sunday(tmp_path: Path) -> None:
    figures = read_figures(quarter(tmp_path).ws, Q4, is_live=False)
    # 09-27 and 12-06 are Mondays, 10-24 a Sunday; 11-24 and 11-25 lie in one week.
    assert {week.starts_on.isoformat(): week.clients for week in figures.weeks if week.clients} == {
        "2021-09-27": 1,
        "2021-10-18": 1,
        "2021-11-22": 2,
        "2021-12-06": 1,
    }
    assert len(figures.known_weeks) == len(figures.weeks) == 12


def test_what_the_journal_says_came_true_is_counted_where_it_did(tmp_path: Path) -> None:
    month = quarter(tmp_path)
    change(month, "000000018RM0001", "2021-10")
    change(month, "000000026RM0001", "2021-12")
    change(month, "000000034RM0001", "2021-12", action="convert")
    change(month, "000000042RM0001", "2021-12", outcome="dropped")
    change(month, "000000059RM0001", "2021-12", action="candidate", outcome="announced")
    change(month, "000000067RM0001", "2021-12", outcome="handed_over")
    change(month, "000000075RM0001", "2021-10", outcome="confirmed", settled_in="2021-11")
    change(month, "000000083RM0001", "2021-09")
    change(month, "000000091RM0001", "2022-01")
    figures = read_figures(month.ws, Q4, is_live=False)
    assert of(figures, "closed") == [1, 1, 1]
    assert of(figures, "converted") == [0, 0, 1]


def test_a_reinstatement_is_counted_in_the_first_month_that_knows_of_it(tmp_path: Path) -> None:
    month = quarter(tmp_path)
    reinstate(month, 1, "2021-11")
    reinstate(month, 2, "2021-12")
    reinstate(month, 3, "2021-12", undoes="convert")
    reinstate(month, 4, "2022-01")
    reinstate(month, 5, "0001-01", effective_on=date(2021, 10, 25))
    assert of(read_figures(month.ws, Q4, is_live=False), "reinstated") == [0, 2, 1]


def test_a_month_that_was_not_run_is_missing_and_nothing_is_made_up_for_it(tmp_path: Path) -> None:
    month = quarter(tmp_path, ["2021-10", "2021-12"])
    change(month, "000000018RM0001", "2021-11")
    reinstate(month, 1, "2021-11")
    figures = read_figures(month.ws, Q4, is_live=False)
    assert figures.missing == (Period(2021, 11),)
    for name in ("clients", "statements", "closed", "converted", "reinstated"):
        first, gone, last = of(figures, name)
        assert gone is None
        assert None not in (first, last)
        assert (figures.of_quarter(name) is None) == (name != "clients")
    assert [week.ends_on.isoformat()[5:] for week in figures.weeks if week.clients is None] == [
        "10-31",
        "11-07",
        "11-14",
        "11-21",
    ]
    # A week that began in it, and ended in the month after it, is known to that one.
    assert next(week.clients for week in figures.weeks if week.starts_on == date(2021, 11, 22)) == 2


def test_a_live_issue_tells_of_issued_months_alone(tmp_path: Path) -> None:
    month = quarter(tmp_path)
    issue_month(month, "2021-11", "2021-12")
    assert read_figures(month.ws, Q4, is_live=True).missing == (Period(2021, 10),)
    assert read_figures(month.ws, Q4, is_live=False).missing == ()


# --- Documents and messages ---------------------------------------------------------------------------------------


def held(month: Month) -> Month:
    month.enter("subscribers", READERS)
    month.hold("webinars", [webinar("W1"), webinar("W2", "2022-02-01T13:00:00-05:00")])
    return month


def test_a_live_run_writes_documents_and_plans_a_message_for_everybody_on_the_list(tmp_path: Path) -> None:
    month = held(quarter(tmp_path))
    issue_month(month, "2021-10", "2021-11", "2021-12")
    outcome = publish(month, "live")
    assert outcome["by_kind"] == {"quarterly": {"both": 1, "en": 1, "fr": 1}}
    assert outcome["unreachable"] == {"quarterly": {"unusable_address": 1}}
    assert (outcome["missing"], outcome["documents"]) == ([], DOCUMENTS)
    folder = tmp_path / "documents" / "quarterly" / "2021-Q4"
    assert sorted(path.name for path in folder.iterdir()) == DOCUMENTS
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    told = outbox(month)
    assert [row["address"] for row in told] == ["either@example.org", "en@example.org", "fr@example.org"]
    assert {(row["kind"], row["about"], row["version"], row["state"]) for row in told} == {
        ("quarterly", "quarterly/2021-Q4", 1, "planned")
    }
    assert count_true_notices(month.ws, "lake") == 3


def test_the_issue_names_the_sessions_of_the_month_after_the_quarter(tmp_path: Path) -> None:
    month = held(quarter(tmp_path))
    publish(month)
    page = (tmp_path / "shadow/documents/quarterly/2021-Q4/newsletter-en.html").read_text(encoding="utf-8")
    assert "English title of W1" in page
    assert "English title of W2" not in page


def test_no_address_stands_in_what_is_left_but_for_the_outbox(tmp_path: Path) -> None:
    month = held(quarter(tmp_path))
    issue_month(month, "2021-12")
    outcome = publish(month, "live")
    assert "example.org'" not in repr(outcome)
    for row in READERS[:3]:
        left = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".db"]
        assert [path for path in left if row["email"].encode() in path.read_bytes()] == []


@pytest.mark.parametrize("effects", ["shadow", "auto"])
def test_any_other_run_seals_and_leaves_the_record_alone(tmp_path: Path, effects: str) -> None:
    month = held(quarter(tmp_path))
    publish(month, effects)
    assert Counter(row["state"] for row in outbox(month)) == {"sealed": 3}
    assert not (tmp_path / "documents").exists()
    assert not month.ws.lake().has("quarterly_notices", Period(2021, 12))
    assert (tmp_path / "shadow/documents/quarterly/2021-Q4/newsletter-fr.pdf").exists()


def test_a_live_run_plans_what_a_look_beforehand_had_sealed(tmp_path: Path) -> None:
    month = held(quarter(tmp_path))
    publish(month, "shadow")
    issue_month(month, "2021-10", "2021-11", "2021-12")
    publish(month, "live", run_id="manual__2")
    assert Counter(row["state"] for row in outbox(month)) == {"planned": 3}
    assert count_true_notices(month.ws, "lake") == 3


def test_the_same_run_again_changes_nothing(tmp_path: Path) -> None:
    month = held(quarter(tmp_path))
    publish(month)
    before, told = hashes(tmp_path / "shadow"), outbox(month)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "shadow/documents/quarterly").rglob("*.*")}
    assert publish(month, run_id="manual__2")["outbox"] == {"sealed": 0, "suppressed": 0}
    assert hashes(tmp_path / "shadow") == before
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert outbox(month) == told


def test_what_a_live_run_published_stays_whatever_comes_after(tmp_path: Path) -> None:
    month = held(quarter(tmp_path))
    issue_month(month, "2021-12")
    publish(month, "live")
    record = {name: hashes(tmp_path / name) for name in ("documents", "lake")}
    told = outbox(month)
    issue_month(month, "2021-10", "2021-11")
    assert publish(month, "live", run_id="manual__2")["missing"] == []
    assert {name: hashes(tmp_path / name) for name in ("documents", "lake")} == record
    assert outbox(month) == told


def test_who_unsubscribed_gets_none_also_by_the_link_of_a_message(tmp_path: Path) -> None:
    from include.unsubscribe import unsubscribe

    month = held(quarter(tmp_path))
    publish(month)
    english = next(row for row in outbox(month) if row["language"] == "en")
    with write_transaction(month.ws.operations) as connection:
        unsubscribe(connection, english["recipient_key"], on=date(2022, 1, 3), source="page")
    issue_month(month, "2021-10", "2021-11", "2021-12")
    publish(month, "live", run_id="manual__2")
    assert {row["address"]: row["state"] for row in outbox(month)} == {
        "either@example.org": "planned",
        "en@example.org": "sealed",
        "fr@example.org": "planned",
    }
    assert len(month.rows("quarterly_notices")) == 2


def test_an_issue_is_not_mailed_with_a_gap_that_the_next_days_fill(tmp_path: Path) -> None:
    month = held(quarter(tmp_path))
    issue_month(month, "2021-10", "2021-11")
    with pytest.raises(Refused, match=r"^2021-Q4 cannot go out live before 2021-12 is issued: run carm_month live"):
        publish(month, "live")
    assert outbox(month) == []
    publish(month, "shadow")
    issue_month(month, "2021-12")
    assert publish(month, "live", run_id="manual__2")["outbox"]["planned"] == 3


def test_an_old_issue_is_not_mailed(tmp_path: Path) -> None:
    month = held(quarter(tmp_path))
    issue_month(month, "2021-12", "2022-01")
    with pytest.raises(Refused, match=r"^2021-Q4 cannot go out live: 2022-01 was issued after it.*2022-Q1"):
        publish(month, "live")
    assert outbox(month) == []


def test_a_live_run_again_of_what_was_mailed_is_no_slip(tmp_path: Path) -> None:
    month = held(quarter(tmp_path))
    issue_month(month, "2021-12")
    publish(month, "live")
    told = outbox(month)
    issue_month(month, "2022-01")
    publish(month, "live", run_id="manual__2")
    assert outbox(month) == told


@pytest.mark.parametrize("day", [date(2021, 12, 26), date(2022, 1, 20)])
def test_who_left_after_the_day_of_issue_gets_no_issue(tmp_path: Path, day: date) -> None:
    month = held(quarter(tmp_path))
    issue_month(month, "2021-12")
    month.enter("subscribers", [*READERS[1:], subscriber("en@example.org", unsubscribed_on=day)])
    publish(month, "live")
    assert [row["address"] for row in outbox(month)] == ["either@example.org", "fr@example.org"]


def test_a_quarter_without_any_month_is_refused_with_the_way_out(tmp_path: Path) -> None:
    month = quarter(tmp_path)
    with pytest.raises(DataError, match=r"^no month of 2021-Q4 was issued, .*: run 2021-12 first$"):
        compose_issue(month.ws, Q4, is_live=True)
    with pytest.raises(DataError, match=r"^no month of 2021-Q2 was run, .*: run 2021-06 first$"):
        write_preview(month.ws, Quarter(2021, 2), tmp_path / "look")


def test_nobody_is_written_to_before_the_last_month_was_run(tmp_path: Path) -> None:
    month = quarter(tmp_path, ["2021-10", "2021-11"])
    with pytest.raises(DataError, match="has no sealed quarantine for 2021-12: run that month first"):
        publish(month)
    assert outbox(month) == []


def test_texts_that_differ_write_nothing(tmp_path: Path) -> None:
    month = held(quarter(tmp_path / "data"))
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "2021-Q4.en.md").write_text("## One\n\n[x](https://example.org)\n", encoding="utf-8")
    (texts / "2021-Q4.fr.md").write_text("## Un\n\nx\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"^2021-Q4: the English text has 1 links and the French 0"):
        publish(month, texts=texts)
    assert outbox(month) == []
    assert list((tmp_path / "data").glob("**/quarterly*")) == []


def test_a_disk_that_refuses_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "quarterly"
    assert write_documents(folder, {"a": b"1", "b": b"1"}) == ["a", "b"]
    (folder / "blocked").mkdir()
    with pytest.raises(Unavailable, match=r"cannot write the newsletter to .*: make room there, or make it writable"):
        write_documents(folder, {"a": b"2", "blocked": b"2"})
    assert {path.name for path in folder.iterdir()} == {"a", "b", "blocked"}
    assert write_documents(folder, {"a": (folder / "a").read_bytes(), "b": b"2"}) == ["b"]


# --- A look, and the quarter itself -------------------------------------------------------------------------------


def test_the_verb_writes_the_documents_and_names_what_is_missing(tmp_path: Path) -> None:
    held(quarter(tmp_path / "data", ["2021-10", "2021-12"]))
    look = tmp_path / "look"
    done = CliRunner().invoke(carm, ["quarterly", "2021-Q4", "--output", str(look), "--data", str(tmp_path / "data")])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in look.iterdir()) == DOCUMENTS
    assert "The figures of 2021-11 are not available: run 2021-11 first" in done.output
    assert "The figures of 2021-11 are not available." in (look / "newsletter-en.html").read_text(encoding="utf-8")
    assert not (tmp_path / "data" / "outbox").exists()


@pytest.mark.parametrize("written", ["2021-12", "2021-Q5", "2021-q4", "Q4", "2021-Q44", "0000-Q1", "9999-Q1"])
def test_what_is_no_quarter_is_refused(written: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Quarter.parse(written)
    quarter(tmp_path)
    done = CliRunner().invoke(carm, ["quarterly", written, "--output", str(tmp_path), "--data", str(tmp_path)])
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("month", range(1, 13))
def test_every_month_lies_in_the_quarter_that_is_named_for_it(month: int) -> None:
    found = Quarter.of(Period(2021, month))
    assert Period(2021, month) in found.months
    assert Quarter.parse(str(found)) == found
    assert found.last == Period(2021, 3 * found.number)
