"""Every page of the portal in a real browser: axe-core finds nothing, nothing goes over the edge, a keyboard is enough.

The portal is served as it is, over a world with two issued months; who asks, and what Airflow says, is made up. How it
hangs in a real Airflow is in ``tests/local/test_portal.py``, and in the tour.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.base import AXE_SCRIPT
from fastapi.routing import APIRoute
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from include.operations_notice_tables import OUTBOX
from include.operations_plan_tables import ACCOUNT_CHANGES
from include.operations_statement_tables import STATEMENT_REGISTRY
from tests.browser.pictures import take_picture
from tests.portal.conftest import Portal
from tests.prepared import Prepared, january

VIEWS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "telephone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """async rules => {
    const found = await axe.run(document, {runOnly: {type: "tag", values: rules}, resultTypes: ["violations"]});
    return found.violations.flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.target.join(" ")}`));
}"""
IS_DARK = "() => matchMedia('(prefers-color-scheme: dark)').matches"
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Served:
    """The portal on a port, and what in its world a page is about."""

    portal: Portal
    address: str
    paths: dict[str, str]
    closed: str
    issued: str


@pytest.fixture(scope="module")
def served(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    ws = prepared.copy(tmp_path_factory.mktemp("served") / "data", january)
    with ws.operations.connect() as connection:
        closed = connection.execute(
            select(ACCOUNT_CHANGES.c.bn15).where(ACCOUNT_CHANGES.c.action == "close").order_by("bn15").limit(1)
        ).scalar_one()
        issued = connection.execute(
            select(STATEMENT_REGISTRY.c.bn15).where(STATEMENT_REGISTRY.c.period == "2022-01").order_by("bn15").limit(1)
        ).scalar_one()
        key = connection.execute(select(OUTBOX.c.message_key).order_by("message_key").limit(1)).scalar_one()
        connection.execute(OUTBOX.update().where(OUTBOX.c.message_key == key).values(state="unknown", attempts=1))
        connection.commit()
    with Portal(ws) as portal:
        row = re.search(r'href="([^"]*quarantine/2021-12/rows/[^"]+)"', portal.get("/quarantine/2021-12").text)
        assert row
        config = uvicorn.Config(portal.app, host="127.0.0.1", port=0, log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            thread.join(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        paths = {
            "/months": "/months",
            "/months/{period}": "/months/2021-12",
            "/months/{period}/certificate": "/months/2021-12/certificate",
            "/review": "/review",
            "/review/{period}": "/review/2022-01",
            "/review/{period}/accounts": "/review/2021-12/accounts",
            "/review/{period}/accounts/{bn15}": f"/review/2021-12/accounts/{closed}",
            "/review/{period}/difference": "/review/2022-01/difference",
            "/review/{period}/records": "/review/2022-01/records",
            "/review/{period}/sample": "/review/2021-12/sample",
            "/accounts": "/accounts",
            "/accounts/{bn15}": f"/accounts/{closed}",
            "/accounts/{bn15}/{feed}": f"/accounts/{issued}/transactions",
            "/accounts/{bn15}/statements/{period}": f"/accounts/{issued}/statements/2022-01",
            "/quarantine": "/quarantine",
            "/quarantine/{period}": "/quarantine/2021-12",
            "/quarantine/{period}/rows/{row_id}": "/" + row[1].lstrip("./"),
            "/outbox": "/outbox",
            "/outbox/messages": "/outbox/messages",
            "/outbox/messages/{key}": f"/outbox/messages/{key}",
            "/outbox/unknown": "/outbox/unknown",
            "/outbox/unreached": "/outbox/unreached",
            "/trends": "/trends",
            "/data-docs/": "/data-docs/",
        }
        yield Served(portal, f"http://127.0.0.1:{port}", paths, closed, issued)
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module", params=VIEWS)
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(**VIEWS[request.param])
    yield context.new_page()
    context.close()


def name_of(route: str) -> str:
    """The name of a page's picture: ``/review/{period}/accounts`` is ``review-period-accounts``."""
    return re.sub(r"[^a-z0-9]+", "-", route).strip("-")


NO_PAGES = {"/", "/dag-run", "/openapi.json", "/static/{name}", "/data-docs/index.html", "/data-docs/{run}/{page}"}
"""What leads on, is for programs, or is shown in the frame of a page as the run wrote it."""


def test_no_page_is_left_out(served: Served) -> None:
    pages = {route.path for route in served.portal.app.routes if isinstance(route, APIRoute) and "GET" in route.methods}
    files = {path for path in pages if re.search(r"\.(csv|\{format\})$", path)}
    assert pages - files - NO_PAGES == set(served.paths)


def test_axe_finds_nothing_and_nothing_goes_over_the_edge(served: Served, page: Page) -> None:
    wrong: dict[str, Any] = {}
    for name, path in served.paths.items():
        answer = page.goto(served.address + path)
        assert answer is not None
        if page.viewport_size == VIEWS["desktop"]["viewport"] and not page.evaluate(IS_DARK):
            take_picture(page, f"portal/{name_of(name)}", whole=True)
        page.evaluate(AXE_SCRIPT)
        found = page.evaluate(RUN, RULES)
        wide = page.evaluate(TOO_WIDE)
        if answer.status != 200 or found or wide > 0:
            wrong[name] = answer.status, found, wide
    assert wrong == {}


def test_no_page_breaks_its_own_rules(served: Served, browser: Browser) -> None:
    """What the Content-Security-Policy forbids, or a script trips over, the browser says in its console."""
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    for path in served.paths.values():
        page.goto(served.address + path)
    assert said == []


def test_a_keyboard_is_enough_to_find_an_account_and_open_its_statement(served: Served, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{served.address}/months")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Accounts")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_label("Number or name").wait_for()
    reach(page, "textbox")
    page.keyboard.type(served.issued)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=f"Account {served.issued}").wait_for()
    page.goto(f"{served.address}/accounts/{served.issued}/statements/2022-01")
    reach(page, "button", "Show as issued")
    page.keyboard.press("Enter")
    page.frame_locator("iframe[name=statement]").get_by_text("2022-01").first.wait_for()


def reach(page: Page, role: Any, name: str | None = None) -> None:
    """Press Tab until what is wanted has the focus."""
    wanted = page.get_by_role(role, name=name).first if name else page.get_by_role(role).first
    for _ in range(60):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"no Tab leads to the {role} {name}")


def test_the_accounts_of_a_plan_are_exported(served: Served, browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(f"{served.address}/review/2021-12/accounts")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    file = tmp_path / "accounts.csv"
    download.value.save_as(file)
    assert served.closed in file.read_text(encoding="utf-8-sig")
