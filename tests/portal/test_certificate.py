"""The certificate of a month in the portal."""

from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import delete, update

from include.carm.errors import Unavailable
from include.carm.period import Period
from include.certificate import certificate_folder, find_certificate
from include.certificate_since import LOOKED_AT
from include.database import write_transaction
from include.operations_plan_tables import AUDIT_CHAIN, PLANS
from include.operations_schema import COVERAGE
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
    assert "file certificates/period=2022-01/certificate.html is not the certificate that was written" in answer.text
    assert str(portal.ws.data) not in answer.text


# What has changed since


def test_where_nothing_has_changed_since_the_page_says_what_was_looked_at(portal):
    html = portal.get("/months/2022-01/certificate").text
    assert f"Not changed since it was written: {', '.join(LOOKED_AT)}." in html
    assert html.index("Not changed since it was written") < html.index("<iframe")
    assert "Changed since it was written:" not in html
    assert "The head of the audit chain" not in html


def test_what_has_changed_since_is_listed_above_the_certificate(portal):
    this = (COVERAGE.c.dataset == "interest") & (COVERAGE.c.period == "2022-01")
    with write_transaction(portal.ws.operations) as connection:
        connection.execute(update(PLANS).where(PLANS.c.period == "2022-01").values(state="<undone>"))
        assert connection.execute(update(COVERAGE).where(this).values(sha256="0" * 64)).rowcount == 1
    html = portal.get("/months/2022-01/certificate").text
    assert html.index("Changed since it was written:") < html.index("<li>sealed files: interest</li>")
    assert html.index("<li>plan: ") < html.index("<iframe")
    assert "&lt;undone&gt;</li>" in html
    assert "Not changed since" not in html


def test_a_chain_that_lost_the_head_of_the_certificate_is_told(portal):
    head = find_certificate(portal.ws, MONTH).content["moment"]["audit_chain"]["head"]
    with write_transaction(portal.ws.operations) as connection:
        connection.execute(delete(AUDIT_CHAIN).where(AUDIT_CHAIN.c.sha256 == head))
    html = portal.get("/months/2022-01/certificate").text
    assert "The head of the audit chain that it prints is not in the chain any more" in html


def test_of_a_damaged_certificate_the_page_says_why_no_change_can_be_told(portal):
    (certificate_folder(portal.ws, MONTH) / "certificate.json").write_text("{}", encoding="utf-8")
    answer = portal.get("/months/2022-01/certificate")
    assert answer.status_code == 200
    why = "the file certificates/period=2022-01/certificate.json is not the certificate that was written"
    assert f"Whether anything has changed since it was written cannot be told: {why}" in answer.text
    assert "Not changed since" not in answer.text
    assert str(portal.ws.data) not in answer.text


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (KeyError("a part of another release"), "the api-server&#39;s log says why"),
        (PermissionError(13, "denied", "/srv/secret"), "the api-server&#39;s log says why"),
        (Unavailable("DATA/lake/x is locked"), "lake/x is locked"),
    ],
)
def test_a_change_that_cannot_be_told_leaves_the_page(portal, monkeypatch, fault, why):
    if isinstance(fault, Unavailable):
        fault = Unavailable(str(fault).replace("DATA", str(portal.ws.data)))

    def fail(*_):
        raise fault

    monkeypatch.setattr("include.certificate_since.find_changes", fail)
    answer = portal.get("/months/2022-01/certificate")
    assert answer.status_code == 200
    assert f"cannot be told: {why}" in answer.text
    assert "<iframe" in answer.text
    assert str(portal.ws.data) not in answer.text


# A month without one, and a run beside the record


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


@pytest.mark.parametrize("sums", ["broken\n", "/../../x  certificate.json\n a  certificate.html\nb  certificate.pdf\n"])
def test_a_damaged_one_of_a_shadow_run_leaves_that_of_the_record(portal, sums):
    place = certificate_folder(portal.ws, MONTH, "shadow")
    place.mkdir(parents=True)
    (place / "SHA256SUMS").write_text(sums, encoding="utf-8")
    answer = portal.get("/months/2022-01/certificate")
    assert answer.status_code == 200
    assert "<iframe" in answer.text
    why = "shadow/certificates/period=2022-01/SHA256SUMS does not list the files of a certificate"
    assert f"The certificate of the shadow run cannot be shown: the file {why}" in answer.text
    for page in ("certificate?area=shadow", "certificate.pdf?area=shadow"):
        answer = portal.get(f"/months/2022-01/{page}")
        assert answer.status_code == 404
        assert why in answer.text
        assert str(portal.ws.data) not in answer.text


@pytest.mark.parametrize(
    "path", ["2022-01/certificate.exe", "2022-13/certificate.pdf", "2022-01/certificate.html?area=x"]
)
def test_anything_else_is_refused(portal, path):
    assert portal.get(f"/months/{path}").status_code == 422
