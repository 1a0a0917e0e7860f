"""Every page that a person receives is valid HTML with a valid style sheet, for the Nu HTML checker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.html_checker import complaints
from tests.notices import samples as notices
from tests.statements import samples as statements

TESTS = Path(__file__).parent
STATEMENTS = TESTS / "statements" / "golden"
NOTICES = TESTS / "notices" / "golden"

# What is put in place of what, and a word of what the checker must then say.
DAMAGES = {
    "no-language": ('<html lang="en">', "<html>", "lang"),
    "no-title": ("<title>", "<meta name=title content=", "title"),
    "wrong-scope": ('<th scope="row">', '<th scope="line">', "scope"),
    "a-name-twice": ('id="en-ageing"', 'id="en-summary"', "Duplicate ID"),
    "a-heading-in-a-paragraph": ('<p class="label">', '<p><h4 class="label">', "h4"),
    "a-role-that-repeats-the-element": ('<table class="sum"', '<table role="table" class="sum"', "role"),
    "a-cell-too-many": ("</tr>\n</tbody>", "<td>0</td></tr>\n</tbody>", "column"),
    "a-list-without-items": ("<li>", "<p>", "ul"),
    "a-colour-that-is-none": ("color:#17212b", "color:#17212", "color"),
    "a-property-that-is-none": ("font-weight:600", "font-wait:600", "font-wait"),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """All that the checker says: of the golden pages, of pages with hostile names, of damaged ones."""
    made = tmp_path_factory.mktemp("pages")
    for name, notice in notices.SAMPLES.items():
        (made / f"notice-{name}-both.html").write_bytes(notices.pages().render(notice, "both").html)
    for number, name in enumerate(statements.HOSTILE_NAMES):
        (made / f"hostile-{number}.html").write_bytes(statements.pages().render(statements.renamed(name)))
    whole = (STATEMENTS / "every-section-en.html").read_text(encoding="utf-8")
    for damage, (before, after, _) in DAMAGES.items():
        assert before in whole, f"{damage}: the page has no {before}"
        (made / f"{damage}.html").write_text(whole.replace(before, after, 1), encoding="utf-8")
    return complaints([*STATEMENTS.glob("*.html"), *NOTICES.glob("*.html"), *made.glob("*.html")])


def test_every_sample_has_its_golden_page_and_no_other_is_left() -> None:
    # Those of brokers and providers are made by a test of their own.
    names = (*statements.SAMPLES, "broker", "index")
    assert {f"{name}-{language}.html" for name in names for language in ("en", "fr", "both")} == {
        path.name for path in STATEMENTS.glob("*.html")
    }
    assert {f"{name}-{language}.html" for name in notices.SAMPLES for language in ("en", "fr")} == {
        path.name for path in NOTICES.glob("*.html")
    }


@pytest.mark.parametrize("folder", [STATEMENTS, NOTICES], ids=["statements", "notices"])
def test_nothing_is_said_against_a_golden_page(folder: Path, said: dict[str, list[str]]) -> None:
    assert {} == {path.name: said[path.name] for path in folder.glob("*.html") if path.name in said}


@pytest.mark.parametrize("name", notices.SAMPLES)
def test_nothing_is_said_against_a_notice_in_both_languages(name: str, said: dict[str, list[str]]) -> None:
    assert [] == said.get(f"notice-{name}-both.html", [])


@pytest.mark.parametrize("number", range(len(statements.HOSTILE_NAMES)))
def test_nothing_is_said_against_a_page_with_a_hostile_name(number: int, said: dict[str, list[str]]) -> None:
    assert [] == said.get(f"hostile-{number}.html", [])


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_checker_finds_what_is_wrong(damage: str, said: dict[str, list[str]]) -> None:
    word = DAMAGES[damage][2]
    assert any(word in complaint for complaint in said.get(f"{damage}.html", [])), said.get(f"{damage}.html")
