"""What a person receives, in a real browser: axe-core finds nothing, it fits, and it stays a table for a reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page

from include.carm.contacts import Contacts
from include.unsubscribe_page import Pages
from tests.notices.samples import SAMPLES, pages

TESTS = Path(__file__).parents[1]
STATEMENTS = sorted((TESTS / "statements" / "golden").glob("*.html"))
NOTICES = sorted((TESTS / "notices" / "golden").glob("*.html"))
NEWSLETTERS = sorted((TESTS / "quarterly" / "golden").glob("*.html"))
CERTIFICATES = sorted((TESTS / "certificates" / "golden").glob("*.html"))

# What no golden file holds: the pages of the unsubscribe link, and a message with both of its languages.
RENDERED = {f"unsubscribe-{name}": html for name, html in Pages.render(Contacts.load()).html.items()}
RENDERED |= {f"{name}-both": pages().render(notice, "both").html for name, notice in SAMPLES.items()}

TELEPHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
VIEWS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "telephone": TELEPHONE,
    # As wide as the text of a sheet of US Letter: 8.5 inches less two margins of 16 mm, 96 pixels an inch.
    "paper": {"viewport": {"width": 695, "height": 900}},
    # 1280 pixels at 400 %, to which a page has to reflow (WCAG 1.4.10).
    "narrow": {"viewport": {"width": 320, "height": 640}, "is_mobile": True, "has_touch": True},
    "dark": {**TELEPHONE, "color_scheme": "dark"},
}

Opened = Callable[[str, Path], Page]

# Every rule that axe-core has, also those of level AAA, the experimental ones and those that are off by default.
RUN_EVERY_RULE = """async () => {
    const rules = Object.fromEntries(axe.getRules().map(rule => [rule.ruleId, {enabled: true}]));
    const found = await axe.run(document, {rules, resultTypes: ["violations", "incomplete"]});
    const said = results => results.flatMap(result => result.nodes.map(
        node => [result.id, `${result.help}: ${node.target.join(" ")} ${node.failureSummary ?? ""}`]));
    return {violations: said(found.violations), incomplete: said(found.incomplete)};
}"""

# What axe-core leaves to a person, and what a person found: the rule, the view, the page.
JUDGED = {
    # It asks to see what is hidden: on paper, the choice between the two versions, of which both are printed.
    *(("hidden-content", "paper", page.stem) for page in STATEMENTS if page.stem.endswith("-both")),
    # The same address stands there twice, once with a subject; the words before it say what for.
    *(
        ("identical-links-same-purpose", view, f"{name}-{language}")
        for name in ("webinar", "webinar-added", "mail")
        for view in ("desktop", "telephone", "dark")
        for language in ("en", "fr", *(("both",) if name != "mail" else ()))
    ),
    # It cannot tell what lies behind the figures of a plot, nor behind the part of a table that a telephone has to
    # scroll to: the paper, on which the ink has the contrast that a test of the notices computes.
    *(("color-contrast", "desktop", page.stem) for page in NEWSLETTERS if page.stem.startswith("document")),
    *(("color-contrast", view, page.stem) for view in ("telephone", "dark") for page in (*NEWSLETTERS, *CERTIFICATES)),
}

# Amounts in both languages, dates, account numbers, telephone numbers.
BROKEN_NUMBERS = r"""() => {
    const number = /\(?\$?\d[\d,\u00a0]*[.,]\d\d(?:\u00a0\$)?\)?|\d{4}-\d\d-\d\d|\d{9}RM\d{4}|\d-\d{3}-\d{3}-\d{4}/g;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const broken = [];
    while (walker.nextNode()) {
        for (const found of walker.currentNode.data.matchAll(number)) {
            const range = document.createRange();
            range.setStart(walker.currentNode, found.index);
            range.setEnd(walker.currentNode, found.index + found[0].length);
            const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
            if (lines.size > 1) broken.push(found[0]);
        }
    }
    return broken;
}"""

# What stands further right than the page, or on top of another text.
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
ON_TOP = """() => {
    const boxes = element => {
        const range = document.createRange();
        range.selectNodeContents(element);
        return [...range.getClientRects()];
    };
    const meet = (one, other) => one.left < other.right - 1 && other.left < one.right - 1
        && one.top < other.bottom - 1 && other.top < one.bottom - 1;
    return [...document.querySelectorAll(".lines tbody tr")].filter(row => {
        const [amount, ...others] = [".amount", "small", ".posted", ".due", ".balance"]
            .map(name => [...row.querySelectorAll(name)].flatMap(boxes));
        return others.flat().some(box => amount.some(part => meet(part, box)));
    }).map(row => row.textContent);
}"""

# The spacing that a reader may ask for (WCAG 1.4.12).
SPACING = """* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important; }
p { margin-bottom: 2em !important; }"""

# What is put in place of what, and the rule that must find it.
DAMAGES = {
    "no language": ('<html lang="en">', "<html>", "html-has-lang"),
    "a language that is none": ('<article id="fr" lang="fr"', '<article id="fr" lang="qq"', "valid-lang"),
    "no title": ("<title>", "<title></title><meta name=title content=", "document-title"),
    "weak contrast": ("color:#465462", "color:#8a98a6", "color-contrast"),
    # Only a rule of level AAA finds it, which is off by default.
    "contrast that is not of the best": ("color:#465462", "color:#5f6b78", "color-contrast-enhanced"),
    "no main part": ("<main>", "<div>", "region"),
    "a heading that leaves out a level": ('<h3 id="en-ageing"', '<h5 id="en-ageing"', "heading-order"),
    "an attribute that is none": ('<table class="sum" aria-labelledby', "<table aria-label-by", "aria-valid-attr"),
    "a wrong scope": ('<th scope="row">Opening', '<th scope="line">Opening', "scope-attr-valid"),
    "an empty heading of a column": (">Amount ($)</th>", "></th>", "empty-table-header"),
    "no words in a link": ('<a href="#en">English version</a>', '<a href="#en"></a>', "link-name"),
    "a page that cannot be enlarged": ("initial-scale=1", "maximum-scale=1", "meta-viewport"),
    "a list of something else": ("<dl>", "<dl><p>x</p>", "definition-list"),
}


@pytest.fixture(scope="module")
def opened(browser: Browser) -> Iterator[Opened]:
    """Opens a page in one of the views. One tab a view; a page that asks for anything but itself fails."""
    tabs: dict[str, Page] = {}
    asked: list[str] = []

    def opened_in(view: str, page: Path) -> Page:
        if view not in tabs:
            tabs[view] = browser.new_context(**VIEWS[view]).new_page()
            tabs[view].emulate_media(media="print" if view == "paper" else "screen")
            tabs[view].on("request", lambda request: asked.append(request.url))
        asked.clear()
        tabs[view].goto(page.as_uri())
        assert asked == [page.as_uri()]
        return tabs[view]

    yield opened_in
    for tab in tabs.values():
        tab.context.close()


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes one of ``RENDERED`` as a file, and says where."""
    folder = tmp_path_factory.mktemp("rendered")

    def write(name: str) -> Path:
        page = folder / f"{name}.html"
        page.write_bytes(RENDERED[name])
        return page

    return write


def findings(tab: Page) -> dict[str, list[tuple[str, str]]]:
    tab.evaluate(AXE_SCRIPT)
    return {kind: [(rule, said) for rule, said in found] for kind, found in tab.evaluate(RUN_EVERY_RULE).items()}


def each(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.stem)


def assert_accessible(tab: Page, view: str, page: Path) -> None:
    found = findings(tab)
    assert [] == found["violations"]
    left_to_a_person = {(rule, view, page.stem) for rule, _ in found["incomplete"]}
    assert {judged for judged in JUDGED if judged[1:] == (view, page.stem)} == left_to_a_person, found["incomplete"]


@pytest.mark.parametrize("view", ["desktop", "telephone", "paper"])
@each(STATEMENTS)
def test_axe_finds_nothing_against_a_statement(view: str, page: Path, opened: Opened) -> None:
    assert_accessible(opened(view, page), view, page)


@pytest.mark.parametrize("view", ["desktop", "telephone", "dark"])
@each([*NOTICES, *NEWSLETTERS, *CERTIFICATES])
def test_axe_finds_nothing_against_a_notice(view: str, page: Path, opened: Opened) -> None:
    assert_accessible(opened(view, page), view, page)


@pytest.mark.parametrize("view", ["desktop", "telephone", "dark"])
@pytest.mark.parametrize("name", RENDERED)
def test_axe_finds_nothing_against_a_page_of_both_languages(
    name: str, view: str, rendered: Callable[[str], Path], opened: Opened
) -> None:
    assert_accessible(opened(view, rendered(name)), view, rendered(name))


@pytest.mark.parametrize("view", ["desktop", "narrow"])
@pytest.mark.parametrize("name", RENDERED)
def test_a_page_of_both_languages_fits(name: str, view: str, rendered: Callable[[str], Path], opened: Opened) -> None:
    tab = opened(view, rendered(name))
    tab.add_style_tag(content=SPACING)

    assert tab.evaluate(TOO_WIDE) <= 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_axe_finds_what_is_wrong(damage: str, opened: Opened, tmp_path: Path) -> None:
    before, after, rule = DAMAGES[damage]
    whole = (TESTS / "statements" / "golden" / "credit-both.html").read_text(encoding="utf-8")
    assert before in whole
    damaged = tmp_path / "damaged.html"
    damaged.write_text(whole.replace(before, after), encoding="utf-8")

    assert rule in [found for found, _ in findings(opened("desktop", damaged))["violations"]]


@pytest.mark.parametrize("view", ["desktop", "telephone", "narrow", "paper"])
@each(STATEMENTS)
def test_a_statement_fits_and_breaks_no_number(view: str, page: Path, opened: Opened) -> None:
    tab = opened(view, page)

    assert tab.evaluate(TOO_WIDE) <= 0
    assert [] == tab.evaluate(BROKEN_NUMBERS)
    assert [] == tab.evaluate(ON_TOP)


@pytest.mark.parametrize("view", ["desktop", "narrow"])
@each([*STATEMENTS, *NOTICES, *NEWSLETTERS, *CERTIFICATES])
def test_a_page_fits_with_the_spacing_that_a_reader_asks_for(view: str, page: Path, opened: Opened) -> None:
    tab = opened(view, page)
    tab.add_style_tag(content=SPACING)

    assert tab.evaluate(TOO_WIDE) <= 0


# A table that is laid out as blocks stays a table


PARTS_OF_TABLES = {"table", "row", "columnheader", "rowheader", "cell", "heading", "list", "listitem", "term"}


def spoken(tab: Page) -> Counter[tuple[str, str]]:
    """The parts of a page as a screen reader gets them from the browser, the headings of columns with their names."""
    nodes = tab.context.new_cdp_session(tab).send("Accessibility.getFullAXTree")["nodes"]
    roles = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    return Counter((role, name if role == "columnheader" else "") for role, name in roles if role in PARTS_OF_TABLES)


@each(STATEMENTS)
def test_a_telephone_tells_a_screen_reader_the_same_tables(page: Path, opened: Opened) -> None:
    wide = spoken(opened("desktop", page))

    assert wide["table", ""] > 0
    assert wide["rowheader", ""] > wide["table", ""]
    assert wide == spoken(opened("telephone", page))
