"""The last word of a run about its month: write the certificate, unless the one that is there says the same."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from include.carm.errors import DataError
from include.carm.period import Period
from include.certificate import (
    DOES_NOT_HOLD,
    RESULTS,
    SCHEMA,
    Certificate,
    find_certificate,
    put_back,
    write_certificate,
)
from include.certificate_facts import describe_moment, describe_month
from include.certificate_page import render_html, render_json
from include.certificate_pdf import render_pdf

if TYPE_CHECKING:
    from include.workspace import Workspace

log = logging.getLogger(__name__)


def publish_certificate(ws: Workspace, month: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Write the certificate of the month that a run closes; returns what the month's summary says of it.

    That is ``{"version", "sha256", "folder", "is_new", "checks": {result: number}}``; the hash is of
    ``certificate.json``. Where the month is found as the certificate tells, nothing is written. ``summary`` is the
    month's (:func:`include.month.summarise`). Raises ``Unavailable`` where the disk refuses.
    """
    before = _find_before(ws, Period.parse(month["period"]), month["area"])
    found = describe_month(ws, month, summary)
    if before is not None and _tells(before, found):
        certificate, is_new = put_back(ws, before), False
    else:
        certificate, is_new = _write(ws, month, found, before), True
    checks = Counter(check["result"] for check in found["checks"])
    return {
        "version": certificate.version,
        "sha256": certificate.sha256["json"],
        "folder": str(certificate.folder),
        "is_new": is_new,
        "checks": {result: checks[result] for result in RESULTS},
    }


def require_proved(certificate: Mapping[str, Any], period: str) -> None:
    """Raise ``DataError`` where a check of the certificate does not hold: a run that finds this is not green."""
    if failed := certificate["checks"][DOES_NOT_HOLD]:
        what = "1 check does" if failed == 1 else f"{failed} checks do"
        raise DataError(
            f"the certificate of {period} says that {what} not hold: see {certificate['folder']}/certificate.html, run "
            "carm verify, and keep the log"
        )


def _find_before(ws: Workspace, period: Period, area: str) -> Certificate | None:
    try:
        return find_certificate(ws, period, area)
    except DataError as error:
        # Only one beside the record, which proves nothing: it is written anew.
        log.warning("%s", error)
        return None


def _tells(before: Certificate, found: Mapping[str, Any]) -> bool:
    """Whether the certificate says this of the month; one that is damaged says nothing, and the next one counts."""
    try:
        return bool(before.content["month"] == found)
    except DataError as error:
        log.warning("%s", error)
        return False


def _write(
    ws: Workspace, month: Mapping[str, Any], found: Mapping[str, Any], before: Certificate | None
) -> Certificate:
    content = {
        "schema": SCHEMA,
        "period": month["period"],
        "area": month["area"],
        "version": before.version + 1 if before is not None else 1,
        "supersedes": before.sha256["json"] if before is not None else None,
        "month": found,
        "moment": describe_moment(ws, month, found),
    }
    json_text = render_json(content)
    documents = {"json": json_text, "html": render_html(json_text), "pdf": render_pdf(json_text)}
    return write_certificate(ws, content, documents, before)
