"""The certificate of a month in the portal."""

from __future__ import annotations

import hashlib

import pytest

from include.carm.period import Period
from include.certificate import certificate_folder, find_certificate
from tests.pipeline import run_month

MONTH = Period(2022, 1)


def test_the_page_shows_the_certificate_in_a_frame_and_says_which_it_is(portal):
    html = portal.get("/months/2022-01/certificate").text
    found = find_certificate(portal.ws, MONTH)
    assert f"Version {found.version}, as the audit chain tells." in html
    assert f"<code>{found.sha256['json']}</code>" in html
    assert '<iframe class="tall" src="certificate.html" title="Certificate of 2022-01" sandbox></iframe>' in html


@pytest.mark.parametrize(
    ("format", "kind", "disposition"),
    [
        ("html", "text/html; charset=utf-8", None),
        ("pdf", "application/pdf", 'attachment; filename="certificate-2022-01.pdf"'),
        ("json", "application/json", 'attachment; filename="certificate-2022-01.json"'),
    ],
)
def test_each_file_is_the_one_that_the_chain_tells(portal, format, kind, disposition):
    answer = portal.get(f"/months/2022-01/certificate.{format}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert hashlib.sha256(answer.content).hexdigest() == find_certificate(portal.ws, MONTH).sha256[format]
    assert answer.headers.get("content-disposition") == disposition
    assert ("sandbox;" in answer.headers["content-security-policy"]) == (format == "html")


def test_a_file_that_was_changed_is_not_sent(portal):
    page = certificate_folder(portal.ws, MONTH) / "certificate.html"
    page.write_bytes(page.read_bytes() + b"<!-- -->")
    answer = portal.get("/months/2022-01/certificate.html")
    assert answer.status_code == 404
    assert "is not the certificate that was written: restore it from a backup" in answer.text


def test_a_month_without_one_says_so(portal):
    assert "2031-01 has no certificate yet" in portal.get("/months/2031-01/certificate").text
    assert portal.get("/months/2031-01/certificate.pdf").status_code == 404
    assert "No shadow run of 2022-01 wrote a certificate" in portal.get("/months/2022-01/certificate?area=shadow").text


def test_that_of_a_shadow_run_stands_beside_it(portal):
    run_month(portal.ws, "2022-01", effects="shadow")
    html = portal.get("/months/2022-01/certificate").text
    assert 'href="certificate?area=shadow"' in html
    beside = portal.get("/months/2022-01/certificate?area=shadow").text
    assert 'src="certificate.html?area=shadow"' in beside
    sent = portal.get("/months/2022-01/certificate.json?area=shadow").content
    assert hashlib.sha256(sent).hexdigest() == find_certificate(portal.ws, MONTH, "shadow").sha256["json"]


@pytest.mark.parametrize(
    "path", ["2022-01/certificate.exe", "2022-13/certificate.pdf", "2022-01/certificate.html?area=x"]
)
def test_anything_else_is_refused(portal, path):
    assert portal.get(f"/months/{path}").status_code == 422
