"""The trends: where each figure comes from, how it is drawn, and what it leads to."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import delete, update

from include.journal import applied_changes, count_applied_changes
from include.operations_plan_tables import ACCOUNT_CHANGES
from include.operations_schema import COVERAGE
from include.portal.plots import FOOT, LEFT, RIGHT, TOP, Plot, Point
from include.portal.trends import write_rate
from tests.portal.test_months import RUNS, a_run, change, let_airflow_know, text_of


def plots(portal):
    """The rows of the table below each plot, by its title."""
    answer = portal.get("/trends")
    assert answer.status_code == 200
    found = {}
    for section in re.findall(r'<section class="panel">(.*?)</section>', answer.text, re.DOTALL):
        title = text_of(re.search(r"<h2>(.*?)</h2>", section)[1])
        body = re.search(r"<tbody>(.*?)</tbody>", section, re.DOTALL)[1]
        found[title] = [text_of(row) for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)]
    return found


def test_each_figure_is_what_the_months_left(portal):
    let_airflow_know(portal, a_run("2022-01", end_date="2022-02-01T06:07:00Z"))
    found = plots(portal)
    assert found.pop("Dormancy horizon")[-1].startswith("2022-02 ")
    assert found == {
        "Registered clients": ["2022-01 114", "2021-12 114"],
        "Closures": ["2022-01 3", "2021-12 8"],
        "Conversions": ["2022-01 2", "2021-12 4"],
        "Quarantine rate": ["2022-01 0.29 %", "2021-12 2.03 %"],
        "Statements": ["2022-01 132", "2021-12 121"],
        "Closing balances": ["2022-01 $1,784,906.62", "2021-12 $2,585,530.91"],
        "Run times": ["2022-01 7 min"],
    }


def test_the_journal_counts_for_all_months_what_it_lists_for_one(world):
    from include.carm.period import Period

    with world.operations.connect() as connection:
        counts = count_applied_changes(connection)
    for period in ("2021-12", "2022-01"):
        actions = applied_changes(world, Period.parse(period))["action"].to_pylist()
        assert {action: counts[period, action] for action in set(actions)} == {
            action: actions.count(action) for action in set(actions)
        }
    assert sum(counts.values()) == 17


def test_what_a_register_confirmed_counts_in_the_month_that_confirmed_it(portal):
    of_december = ACCOUNT_CHANGES.c.period == "2021-12", ACCOUNT_CHANGES.c.outcome == "applied"
    change(portal, update(ACCOUNT_CHANGES).where(*of_december).values(outcome="confirmed", settled_in="2022-01"))
    assert plots(portal)["Closures"] == ["2022-01 11", "2021-12 0"]


def test_each_point_leads_to_its_month_or_its_run(portal):
    let_airflow_know(portal, a_run("2022-01"))
    html = portal.get("/trends").text
    points = re.findall(r'<a href="([^"]+)"( target="_top")? tabindex="-1"><title>([^<]+)</title><circle', html)
    assert ("months/2021-12", "", "2021-12: 121") in points
    assert ("../dags/carm_month/runs/manual%202022-01", ' target="_top"', "2022-01: 1 h") in points


def test_a_run_that_failed_has_no_time(portal):
    let_airflow_know(portal, a_run("2022-01", "failed"))
    assert "Run times" not in plots(portal)


def test_a_month_that_does_not_tell_a_figure_has_no_point(portal):
    change(portal, delete(COVERAGE).where(COVERAGE.c.dataset == "statements", COVERAGE.c.period == "2021-12"))
    (portal.ws.data / "summaries" / "period=2021-12.json").unlink()
    found = plots(portal)
    assert found["Statements"] == ["2022-01 132"]
    assert found["Closing balances"] == ["2022-01 $1,784,906.62"]


def test_without_airflow_the_months_are_compared_all_the_same(portal):
    portal.airflow.answers[RUNS] = 503, None
    assert "run times are left out" in portal.get("/trends").text
    assert "Statements" in plots(portal)


@pytest.mark.parametrize(
    ("hundredths", "written"), [(0, "0.00 %"), (5, "0.05 %"), (117, "1.17 %"), (10_000, "100.00 %")]
)
def test_a_rate_has_two_decimals(hundredths, written):
    assert write_rate(hundredths) == written


# Plots


def a_plot(*values):
    points = [Point(f"2021-{month:02d}", value, "") for month, value in enumerate(values, 1)]
    return Plot("A", "about", "A", points, str)


@pytest.mark.parametrize(
    ("values", "heights", "zero"),
    [
        ((0, 5, 10), (FOOT, (FOOT + TOP) // 2, TOP), FOOT),
        # A small change never looks like a great one.
        ((100, 99), (TOP, TOP + 1), FOOT),
        ((-10, 10), (FOOT, TOP), (FOOT + TOP) // 2),
        ((0, 0), (FOOT, FOOT), FOOT),
        ((7,), (TOP,), FOOT),
    ],
)
def test_points_stand_between_zero_and_the_greatest(values, heights, zero):
    plot = a_plot(*values)
    assert tuple(mark.y for mark in plot.marks) == heights
    assert plot.zero == zero


def test_points_go_from_edge_to_edge_and_a_single_one_stands_in_the_middle():
    assert [mark.x for mark in a_plot(1, 2, 3).marks] == [LEFT, (LEFT + RIGHT) // 2, RIGHT]
    assert [mark.x for mark in a_plot(1).marks] == [(LEFT + RIGHT) // 2]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((7,), "2021-01: 7."),
        ((7, 7), "2021-02: 7, as in every month since 2021-01."),
        ((7, 9, 8), "2021-03: 8. From 2021-01 on between 7 (2021-01) and 9 (2021-02)."),
    ],
)
def test_a_plot_says_in_words_what_it_shows(values, said):
    assert a_plot(*values).summary == said
