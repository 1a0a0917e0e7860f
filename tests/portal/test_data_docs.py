"""The Data Docs behind the log-in: every page that there is, and nothing beside them."""

from __future__ import annotations

import re

import pytest


def test_the_docs_are_shown_in_a_frame_below_the_navigation(portal):
    html = portal.get("/data-docs/").text
    assert '<iframe class="tall" src="index.html" title="Data Docs">' in html
    assert 'href="../data-docs/" aria-current="page"' in html


def test_every_link_of_the_index_leads_to_a_page(portal):
    index = portal.get("/data-docs/index.html")
    links = re.findall(r'href="([^"]+)"', index.text)
    assert len(links) > 4
    for link in links:
        page = portal.get(f"/data-docs/{link}")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "2021-12" in page.text or "2022-01" in page.text
        assert portal.get(f"/data-docs/{link.replace('.html', '.json')}").json()["rules"]


def test_their_own_style_holds_and_nothing_else_may_be_loaded(portal):
    policy = portal.get("/data-docs/index.html").headers["content-security-policy"]
    assert "style-src 'unsafe-inline'" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_before_the_first_run_there_are_none(portal):
    (portal.ws.data / "data_docs" / "index.html").unlink()
    assert "No run has validated anything yet." in portal.get("/data-docs/").text
    assert portal.get("/data-docs/index.html").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "2022-01/../../source.db",
        "%2e%2e/source.db",
        "..%2f..%2fsource.db",
        "../summaries/period=2022-01.json",
        "%2e%2e/period=2022-01.json",
        "2022-01/..%5c..%5csource.db",
        "2022-01/.hidden.html",
        "2022-01/nothing.html",
        "2022-01",
    ],
)
def test_nothing_beside_the_docs_can_be_reached(portal, path):
    (portal.ws.data / "data_docs" / "2022-01" / ".hidden.html").write_text("hidden")
    assert portal.get(f"/data-docs/{path}").status_code in (404, 422)


def test_who_is_not_logged_in_reads_no_docs(portal):
    portal.become(None)
    assert portal.get("/data-docs/index.html").status_code == 401
