"""docs/statements.md shows what is made now: every sample, every language, and pictures of the very same PDFs."""

from __future__ import annotations

import os

import pytest

from tests.statements import gallery
from tests.statements.samples import SAMPLES

STALE = "is not current: make golden writes it anew, and the diff is reviewed"


@pytest.fixture(scope="module", autouse=True)
def written_anew_on_purpose_only() -> None:
    if os.environ.get("CARM_REWRITE_GOLDEN"):
        gallery.write_pictures()
        gallery.PAGE.write_text(gallery.render_page(), encoding="utf-8")


def test_the_page_is_current() -> None:
    assert gallery.render_page() == gallery.PAGE.read_text(encoding="utf-8"), f"docs/statements.md {STALE}"


def test_every_sample_is_shown_in_every_language() -> None:
    assert list(SAMPLES) == list(gallery.SHOWS)
    assert {(name, language) for name in SAMPLES for language in ("en", "fr", "both")} == {
        (sheet.name, sheet.language) for sheet in gallery.every_sheet()
    }


def test_every_picture_is_of_the_pdf_that_is_made_now() -> None:
    sheets = list(gallery.every_sheet())

    assert {sheet.path for sheet in sheets} == set(gallery.PICTURES.iterdir())
    stale = [sheet.path.name for sheet in sheets if gallery.fingerprint(sheet) != gallery.fingerprint_in(sheet.path)]
    assert [] == stale, f"a PDF is other than its picture, which {STALE}"


def test_pictures_stay_small() -> None:
    sizes = {path.name: path.stat().st_size for path in gallery.PICTURES.iterdir()}

    assert {} == {name: size for name, size in sizes.items() if size > 50_000}
    assert sum(sizes.values()) < 1_500_000
