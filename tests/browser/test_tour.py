"""``docs/tour.md``, walked as it says: by a person who has only the browser, over a real Airflow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect
from sqlalchemy import select

from include.database import connect_engine
from include.demo import fill_demo
from include.operations_plan_tables import ACCOUNT_CHANGES, REINSTATEMENTS
from include.operations_statement_tables import STATEMENT_REGISTRY
from tests.browser.tour import Look, Step
from tests.office import Office, open_office, wait_until

Walk = Callable[["Tour", Look], None]
STEPS: list[Walk] = []


class Tour:
    """The windows of the people in it, and what one step leaves to the next."""

    def __init__(self, office: Office, browser: Browser) -> None:
        self.office, self._browser = office, browser
        self.admin = self._open()
        self.approver = self._open()
        self.closed = ""

    def _open(self) -> Page:
        page = self._browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(60_000)
        return page

    def log_in(self, page: Page, user: str, look: Look | None = None) -> None:
        page.goto(self.office.address)
        page.get_by_role("textbox", name="Username").fill(user)
        page.locator("input[type=password]").fill(self.office.passwords[user])
        if look:
            look.at(page)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Dags").first.wait_for()

    def portal(self, page: Page) -> FrameLocator:
        """The months of the portal, in Airflow's frame, reached as a person reaches them."""
        frame = page.frame_locator("iframe")
        if "/plugin/carm" not in page.url:
            page.get_by_role("link", name="CARM").first.click()
            frame.get_by_role("heading", level=1).wait_for()
        self.follow(page, frame.get_by_role("link", name="Months", exact=True))
        frame.get_by_role("heading", name="Months", level=1).wait_for()
        return frame

    def follow(self, page: Page, link: Locator) -> None:
        """Press what leads to another page of the portal, and wait until the frame has left this one.

        The next page may bear the same heading or the same link; what is read too early is read of the page before.
        """
        with page.expect_event("framenavigated", lambda frame: frame.parent_frame is not None):
            link.click()

    def room(self, page: Page, name: str) -> FrameLocator:
        """A room of the portal."""
        frame = self.portal(page)
        if name != "Months":
            self.follow(page, frame.get_by_role("link", name=name).first)
            frame.get_by_role("heading", name=name, level=1).wait_for()
        return frame

    def plan(self, page: Page) -> FrameLocator:
        """The plan of the month."""
        frame = self.room(page, "Review")
        self.follow(page, frame.get_by_role("link", name="2021-12").first)
        frame.get_by_role("heading", name="Breaker").wait_for()
        return frame

    def planned_accounts(self, page: Page) -> FrameLocator:
        """The accounts that the plan would change."""
        frame = self.plan(page)
        self.follow(page, frame.get_by_role("link", name="Accounts", exact=True).last)
        frame.get_by_role("button", name="Show").wait_for()
        return frame

    def form(self, page: Page) -> None:
        page.get_by_role("link", name="Dags").first.click()
        page.get_by_role("link", name="carm_month", exact=True).first.click()
        page.wait_for_url("**/dags/carm_month*", wait_until="commit")
        # The list has a button of that name in each row; it goes when the Dag's own page is drawn.
        expect(page.get_by_role("button", name="Trigger")).to_have_count(1)
        page.get_by_role("button", name="Trigger").click()
        page.get_by_role("dialog").wait_for()

    def newest_run(self, dag_id: str) -> str:
        runs = self.office.as_user("viewer").get(f"/dags/{dag_id}/dagRuns", order_by="-run_after", limit=1)
        return str(runs["dag_runs"][0]["dag_run_id"])

    def wait_for_newest(self, dag_id: str) -> None:
        assert self.office.wait_for_end(dag_id, self.newest_run(dag_id)) == "success"


def step(walk: Walk) -> Walk:
    STEPS.append(walk)
    return walk


@step
def log_in(tour: Tour, look: Look) -> None:
    tour.log_in(tour.admin, "admin", look)
    look.at(tour.admin)
    tour.portal(tour.admin)
    look.at(tour.admin)


@step
def run_a_month(tour: Tour, look: Look) -> None:
    page = tour.admin
    tour.form(page)
    form = page.get_by_role("dialog")
    form.locator("#element_period").fill("2021-12")
    form.get_by_role("combobox").fill("live")
    page.keyboard.press("Enter")
    look.at(page, "trigger")
    form.get_by_role("button", name="Trigger").click()
    form.wait_for(state="hidden")
    tour.wait_for_newest("carm_month")


@step
def see_why(tour: Tour, look: Look) -> None:
    page = tour.admin
    tour.portal(page)
    look.at(page, "months")
    tour.plan(page)
    look.at(page, "plan")
    frame = tour.planned_accounts(page)
    tour.follow(page, frame.locator("tbody th a").first)
    frame.get_by_role("heading", level=1).filter(has_text=re.compile(r"\d{9}RM\d{4}")).wait_for()
    look.at(page)


@step
def approve(tour: Tour, look: Look) -> None:
    page = tour.admin
    frame = tour.plan(page)
    look.at(page)
    frame.get_by_role("button", name="Ask for approval").click()
    frame.get_by_text("The approval is asked for").wait_for()
    run_id = tour.newest_run("carm_apply_plan")
    wait_until(lambda: Office.known(tour.office.states(run_id)["approval"], ("awaiting_input",)))
    # Whoever answers before Airflow has heard of the end of the task that asked is asked again.
    wait_until(lambda: "heard" if tour.office.is_heard("approval", run_id) else None)

    page = tour.approver
    tour.log_in(page, "approver")
    page.get_by_text("Required Actions").first.wait_for()
    look.at(page)
    page.get_by_text("Required Actions").first.click()
    page.get_by_role("button", name="Approve").wait_for()
    look.at(page, "approve")
    page.get_by_role("button", name="Approve").click()
    assert tour.office.wait_for_end("carm_apply_plan", run_id) == "success"
    tour.portal(tour.admin)
    look.at(tour.admin)


@step
def look_at_a_statement(tour: Tour, look: Look) -> None:
    page = tour.admin
    ((number,),) = tour.office.rows(select(STATEMENT_REGISTRY.c.bn15).order_by("bn15").limit(1))
    frame = tour.room(page, "Accounts")
    frame.get_by_label("Number or name").fill(number[:9])
    look.at(page)
    tour.follow(page, frame.get_by_role("button", name="Find"))
    tour.follow(page, frame.get_by_role("link", name=number, exact=True))
    frame.get_by_role("heading", name=f"Account {number}").wait_for()
    look.at(page)
    tour.follow(page, frame.locator("a", has_text="2021-12, version 1"))
    frame.get_by_role("button", name="Show as issued").click()
    frame.frame_locator("iframe[name=statement]").get_by_text("2021-12").first.wait_for()
    look.at(page, "statement")


@step
def open_again(tour: Tour, look: Look) -> None:
    page = tour.admin
    (tour.closed,) = tour.office.rows(
        select(ACCOUNT_CHANGES.c.bn15).where(ACCOUNT_CHANGES.c.action == "close").order_by("bn15").limit(1)
    )[0]
    frame = tour.planned_accounts(page)
    look.at(page)
    frame.get_by_label("Action").select_option("close")
    tour.follow(page, frame.get_by_role("button", name="Show"))
    tour.follow(page, frame.get_by_role("link", name=tour.closed))
    tour.follow(page, frame.locator(f"a[href$='accounts/{tour.closed}']").first)
    frame.get_by_role("heading", name=f"Account {tour.closed}").wait_for()
    look.at(page)
    frame.get_by_label("Reason").fill("the firm imports next week and has the declarations to show it")
    frame.get_by_role("button", name="Reinstate the account").scroll_into_view_if_needed()
    look.at(page, "reinstate")
    frame.get_by_role("button", name="Reinstate the account").click()
    frame.get_by_text("A run was started").wait_for()
    tour.wait_for_newest("carm_reinstate_account")
    assert tour.office.rows(select(REINSTATEMENTS.c.bn15, REINSTATEMENTS.c.recorded_by)) == [(tour.closed, "admin")]
    frame = tour.room(page, "Accounts")
    frame.get_by_label("Number or name").fill(tour.closed)
    tour.follow(page, frame.get_by_role("button", name="Find"))
    frame.get_by_role("heading", name=f"Account {tour.closed}").wait_for()
    look.at(page)


@step
def backfill(tour: Tour, look: Look) -> None:
    page = tour.admin
    tour.form(page)
    form = page.get_by_role("dialog")
    form.get_by_text("Backfill", exact=True).click()
    for end, day in (("From", "2021/07/25"), ("To", "2021/12/26")):
        form.get_by_text("Select date and time").first.click()
        page.get_by_role("textbox", name=end).fill(day)
        page.get_by_placeholder("HH:mm").locator("visible=true").fill("00:00")
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
    form.get_by_text("All Runs").click()
    look.at(page, "backfill")
    # While the scheduler writes, an Airflow over SQLite refuses every other backfill; a person presses again.
    start = form.get_by_role("button", name="Run Backfill")
    while form.is_visible():
        start.click()
        page.wait_for_timeout(3_000)
    api = tour.office.as_user("viewer")

    def ended() -> str | None:
        runs = api.get("/dags/carm_month/dagRuns", run_type="backfill", limit=50)["dag_runs"]
        states = {run["state"] for run in runs}
        return "all" if len(runs) == 6 and not states & {"queued", "running"} else None

    wait_until(ended)
    runs = api.get("/dags/carm_month/dagRuns", run_type="backfill", limit=50)["dag_runs"]
    assert {run["state"] for run in runs} == {"success"}
    expect(form).to_be_hidden()


@step
def read_the_differences(tour: Tour, look: Look) -> None:
    page = tour.admin
    frame = tour.portal(page)
    look.at(page)
    tour.follow(page, frame.get_by_role("link", name="2021-12", exact=True))
    frame.get_by_role("heading", name="Shadow run beside the record").scroll_into_view_if_needed()
    look.at(page, "differences")


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Tour]:
    data: Path = tmp_path_factory.mktemp("tour")
    fill_demo(connect_engine(f"sqlite:///{data / 'source.db'}", create=True), accounts=400, broken_dates=40)
    with open_office(data) as office:
        yield Tour(office, browser)


def test_the_page_has_a_section_for_each_step_that_is_walked() -> None:
    assert len(Step.read_all()) == len(STEPS)


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[walk.__name__ for walk in STEPS])
def test_the_tour_goes_as_the_page_says(tour: Tour, number: int) -> None:
    look = Look(Step.read_all()[number])
    STEPS[number](tour, look)
    assert look.missing() == []
