"""The pages of the portal after a month of the world: every kind of page, found as a person finds them, by its links.

Each is asked a few times over; the slowest of all is what is held against the promise. What Airflow is asked meanwhile
(its runs, the log-in) is answered at once here, so it is not in the seconds; nor are files to take away (CSV, PDF).
"""

from __future__ import annotations

import multiprocessing
import re
import statistics
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag, urljoin, urlsplit

from bench.airflow_step import before_the_month, get_ready, take_month
from bench.measure import Answer, Clock, Limit, Stage, Way, contest, seconds_of
from bench.world import LAST, World
from include.workspace import Workspace

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

MOST_SECONDS = 0.5
"""What is promised of any page, with a million accounts."""
OF_A_KIND, TIMES = 12, 3
"""Addresses of one route that are asked, and how often each."""
NOW = datetime(2022, 1, 5, 12, tzinfo=UTC)
PLACE = "http://airflow/carm"
"""Where the portal lies in Airflow's server."""
NO_RUNS = {"dag_runs": [], "total_entries": 0}


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Run the world's last month without Airflow, and ask for every page there is about it."""
    get_ready(world, say)
    asked = contest(world, [Way("the slowest page of all", "ours", ask_all_pages)], 1, say)
    return [Stage("a page of the portal", "page", 1, asked, limits=(Limit("seconds", MOST_SECONDS),))]


def ask_all_pages(world: World, clock: Clock) -> Answer:
    """Ask for the pages; the clock shows the slowest one, by the median of its times."""
    with before_the_month(world, "portal") as (ws, _):
        # By a process that ends: what it knows and holds is not the api-server's.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(take_month, ws).result()
        with clock:
            walk = Walk.of(ws)
        seconds = {address: statistics.median(times) for address, times in walk.seconds.items()}
        clock.seconds = max(seconds.values())
        firsts = {address: times[0] for address, times in walk.seconds.items()}
        slowest, slow_first = (max(of, key=lambda address: of[address]) for of in (seconds, firsts))
        clock.note = (
            f"{walk.routes[slowest]}; half of {len(seconds)} pages, of {len(walk.asked)} kinds, took at most "
            f"{statistics.median(seconds.values()):.3f} s; {walk.routes[slow_first]} {firsts[slow_first]:.2f} s when "
            "asked for the first time"
        )
    return None


@dataclass
class Walk:
    """What was asked: the seconds of each address, the route that answered it, and how many of each route."""

    client: TestClient
    app: FastAPI
    times: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    routes: dict[str, str] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @classmethod
    def of(cls, ws: Workspace, times: int = TIMES) -> Walk:
        """Ask for the pages that can be reached from the first one, as somebody who may do everything.

        Raises ``AssertionError`` where a link leads nowhere, or a page does not answer.
        """
        from fastapi.testclient import TestClient

        from include.portal.app import create_app
        from include.portal.staff import Staff, current_staff

        async def ask_airflow(method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, Any]:
            return 200, NO_RUNS

        app = create_app(lambda: ws, "a secret for benchmarks only", lambda: NOW)
        app.dependency_overrides[current_staff] = lambda: Staff("bench", lambda dag_id: True, ask_airflow)
        with TestClient(app, follow_redirects=False) as client:
            walk = cls(client, app, times)
            walk._follow("/months")
            walk._search()
            return walk

    def _follow(self, first: str) -> None:
        waiting = deque([first])
        while waiting:
            address = waiting.popleft()
            route = self._page_of(address)
            if route is None or address in self.seconds or self.asked[route] == OF_A_KIND:
                continue
            text = self._ask(route, address, lambda: self.client.get(address))  # noqa: B023 asked at once
            waiting += [link for link in map(partial(_portal_address, address), links_of(text)) if link]

    def _search(self) -> None:
        """The pages that only a form leads to: a search by name and by number, and an account unmasked."""
        numbers = [re.search(r"/accounts/(\d{9}RM\d{4})$", address) for address in self.seconds]
        found = next(number[1] for number in numbers if number)
        token = re.search(r'name="token" value="([^"]+)"', self.client.get(f"/accounts/{found}").text)
        assert token, "an account's page has no form"
        for words in (found[:9], "Import", "a name that nobody has"):
            form = {"token": token[1], "asked": words}
            self._ask("POST /accounts/search", f"search for {words}", lambda: self._send("/accounts/search", form))  # noqa: B023
        for address in (f"/accounts/{found}", f"/review/{LAST}/accounts/{found}"):
            unmask = f"{address}/unmask" if address.startswith("/accounts") else address
            self._ask(f"POST {unmask}", f"unmask {address}", lambda: self._send(unmask, {"token": token[1]}))  # noqa: B023

    def _send(self, address: str, form: dict[str, str]) -> Any:
        return self.client.post(address, data=form)

    def _ask(self, route: str, address: str, ask: Callable[[], Any]) -> str:
        answers: list[Any] = []
        self.seconds[address] = [seconds_of(lambda: answers.append(ask())) for _ in range(self.times)]
        self.routes[address], self.asked[route] = route, self.asked[route] + 1
        refused = {answer.status_code for answer in answers} - {200, 303}
        said = re.sub(r"\s+", " ", re.sub(r"(?s)^.*<main[^>]*>|</main>.*$|<[^>]+>", " ", answers[-1].text))
        assert not refused, f"{address} was answered by {refused}: {said[:300]}"
        return str(answers[-1].text)

    def _page_of(self, address: str) -> str | None:
        """The path of the route that shows the page; None for a file to take away, and for what is not the portal's.

        Raises ``AssertionError`` for an address of the portal that no route answers.
        """
        from fastapi.responses import HTMLResponse
        from fastapi.routing import APIRoute
        from starlette.routing import Match

        asked = {"type": "http", "method": "GET", "path": urlsplit(address).path, "root_path": ""}
        for route in self.app.routes:
            if isinstance(route, APIRoute) and route.matches(asked)[0] is Match.FULL:
                return route.path if route.response_class is HTMLResponse else None
        raise AssertionError(f"a link leads to {address}, and there is no such page")


def _portal_address(page: str, link: str) -> str | None:
    """Where a link of a page leads, below the portal; None where it leads out of it, to Airflow or another site."""
    address = urldefrag(urljoin(f"{PLACE}{page}", link)).url
    return address.removeprefix(PLACE) if address.startswith(f"{PLACE}/") else None


def links_of(text: str) -> Iterator[str]:
    """Where the links of a page lead."""
    found: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "a":
                found.extend(value for name, value in attrs if name == "href" and value)

    Links().feed(text)
    return iter(found)
