"""An issue as a person has it: page, mail and print say the same, in English and in French."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from pypdf import PdfReader

from include.newsletter_text import parse_text
from include.notice_page import QuarterlyNotice
from include.quarterly import render_documents
from include.quarterly_figures import Bars, WeekFigures, lay_out_bars, whole_weeks
from tests.html_checker import complaints
from tests.notices.samples import Page, session
from tests.quarterly.issues import FIRST_DAY, LAST_DAY, SAMPLES, figures, issue, mail, pages

GOLDEN = Path(__file__).parent / "golden"
EVERY_SAMPLE = pytest.mark.parametrize("notice", SAMPLES.values(), ids=SAMPLES)
EVERY_LANGUAGE = pytest.mark.parametrize("language", ["en", "fr"])


def html_of(notice: QuarterlyNotice, language: str) -> Page:
    # The reader of samples takes a shape for something that is to be closed.
    return Page.read(re.sub(rb"<rect ([^>]*)/>", rb"<rect \1></rect>", pages().render(notice, language).html))


def text_of(notice: QuarterlyNotice, language: str) -> str:
    return pages().render(notice, language).text.decode()


def numbers(text: str) -> list[str]:
    """Every number of a text as digits, in their order, however its language parts thousands."""
    return [re.sub(r"\D", "", found) for found in re.findall(r"\d+(?:[-:.,\u00a0\u202f]\d+)*", text)]


# --- What was reviewed --------------------------------------------------------------------------------------------


@EVERY_LANGUAGE
@EVERY_SAMPLE
def test_an_issue_is_what_was_reviewed(notice: QuarterlyNotice, language: str) -> None:
    name = next(name for name, sample in SAMPLES.items() if sample is notice)
    message = pages().render(notice, language)
    parts = {"html": message.html}
    if notice.subscribed_on:
        parts["txt"] = message.subject.encode() + b"\n\n" + message.text
    for part, content in parts.items():
        path = GOLDEN / f"{name}-{language}.{part}"
        if os.environ.get("CARM_REWRITE_GOLDEN"):
            path.write_bytes(content)
        assert path.read_bytes() == content, f"{path.name} differs: see the diff, then CARM_REWRITE_GOLDEN=1"


def test_no_golden_file_is_left_over() -> None:
    names = {f"{name}-{language}.html" for name in SAMPLES for language in ("en", "fr")}
    names |= {f"{name}-{language}.txt" for name in SAMPLES for language in ("en", "fr") if name.startswith("mail")}
    assert names == {path.name for path in GOLDEN.iterdir()}


def test_nothing_is_said_against_a_page(tmp_path: Path) -> None:
    for name, notice in SAMPLES.items():
        (tmp_path / f"{name}-both.html").write_bytes(pages().render(notice, "both").html)
    damaged = (GOLDEN / "document-en.html").read_text(encoding="utf-8")
    assert '<th scope="row"' in damaged
    (tmp_path / "damaged.html").write_text(damaged.replace('<th scope="row"', '<th scope="line"', 1), encoding="utf-8")
    said = complaints([*GOLDEN.glob("*.html"), *tmp_path.glob("*.html")])
    assert "scope" in str(said.pop("damaged.html", None))
    assert said == {}


# --- English and French -------------------------------------------------------------------------------------------


@EVERY_SAMPLE
def test_english_and_french_have_the_same_blocks_headings_links_and_figures(notice: QuarterlyNotice) -> None:
    english, french = (html_of(notice, language) for language in ("en", "fr"))
    assert english.tags == french.tags
    assert english.links == french.links
    # A figure of either language stands where it stands in the other.
    assert numbers(text_of(notice, "en")) == numbers(text_of(notice, "fr"))


@EVERY_LANGUAGE
@EVERY_SAMPLE
def test_headings_come_in_order_and_tables_have_heads(notice: QuarterlyNotice, language: str) -> None:
    page = html_of(notice, language)
    levels = [int(tag[1]) for tag in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.tags.count("caption") == page.tags.count("table") == 2
    assert ("lang", language) in page.attributes
    assert set(page.tags) <= {
        *("html", "head", "meta", "title", "style", "body", "div", "main", "article", "p", "strong", "br", "span"),
        *("h1", "h2", "h3", "a", "ul", "ol", "li", "dl", "dt", "dd", "em"),
        *("table", "caption", "thead", "tbody", "tr", "th", "td", "svg", "rect", "text"),
    }
    assert not {"src", "srcset", "background", "onclick"} & {name for name, _ in page.attributes}


# --- The figures --------------------------------------------------------------------------------------------------


@EVERY_LANGUAGE
def test_every_figure_of_the_plot_stands_in_the_table_too(language: str) -> None:
    text = text_of(issue(), language)
    for week in figures().weeks:
        assert re.search(rf"{week.starts_on}\D+{week.ends_on}\D+{week.clients}\n", text)


@EVERY_LANGUAGE
def test_the_plot_has_a_text_alternative_and_the_colour_of_the_text(language: str) -> None:
    html = pages().render(issue(), language).html.decode()
    plot = html[html.index("<svg") : html.index("</svg>")]
    alternative = re.search(r'aria-label="([^"]+)"', plot)
    assert alternative
    assert numbers(alternative[1]) == ["61", "20210927", "110", "20211115"]
    assert 'role="img"' in plot
    assert 'fill="currentColor"' in plot
    assert "#" not in plot, "a colour of its own would not turn with the page"


@EVERY_LANGUAGE
def test_a_mail_has_the_table_alone(language: str) -> None:
    assert "svg" not in html_of(mail(), language).tags
    assert "svg" in html_of(issue(), language).tags


@pytest.mark.parametrize(("language", "said"), [("en", "not available"), ("fr", "non disponible")])
def test_a_missing_month_is_named_and_no_sum_is_made_without_it(language: str, said: str) -> None:
    text = text_of(issue(figures=figures(without=[1])), language)
    sentence = {
        "en": "The figures of 2021-11 are not available.",
        "fr": "Les chiffres de 2021-11 ne sont pas disponibles.",
    }
    assert sentence[language] in text
    rows = [line.strip() for line in text.splitlines()]
    assert sum(re.fullmatch(rf"2021-11\s?: {said}", row) is not None for row in rows) == 5
    # The last month is there, and with it how many clients there are; the sums over the quarter are not.
    quarter = [row for row in rows if row.startswith(("Quarter", "Trimestre"))]
    assert [numbers(row) for row in quarter] == [["9127"], [], [], [], []]


def test_a_week_belongs_to_the_month_in_which_it_ends() -> None:
    gone = [week.ends_on.isoformat() for week in figures(without=[1]).weeks if week.clients is None]
    assert gone == ["2021-10-31", "2021-11-07", "2021-11-14", "2021-11-21"]


def test_a_quarter_without_a_known_week_has_no_plot() -> None:
    page = html_of(issue(figures=figures(without=[0, 1, 2])), "en")
    assert "svg" not in page.tags


def test_weeks_are_whole() -> None:
    weeks = whole_weeks(FIRST_DAY, LAST_DAY)
    assert {(first.weekday(), last.weekday()) for first, last in weeks} == {(0, 6)}
    assert (weeks[0][0].isoformat(), weeks[-1][1].isoformat(), len(weeks)) == ("2021-09-27", "2021-12-19", 12)
    # A Monday and a Sunday on the edges are in it.
    assert whole_weeks(weeks[0][0], weeks[0][1]) == weeks[:1]


@pytest.mark.parametrize("counts", [[0, 0], [1, 10_000_000], [5], []])
def test_bars_stay_inside_the_plot(counts: list[int]) -> None:
    days = whole_weeks(FIRST_DAY, LAST_DAY)
    plot: Bars = lay_out_bars([WeekFigures(*days[place], count) for place, count in enumerate(counts)])
    for bar in plot.bars:
        assert 0 <= bar.x
        assert bar.x + bar.width <= plot.width
        assert 0 <= bar.height <= plot.foot


# --- The sessions -------------------------------------------------------------------------------------------------


def test_both_languages_name_every_session() -> None:
    sessions = (session(language="en"), session(language="fr"), session(language="both"))
    for language in ("en", "fr"):
        assert (
            html_of(issue(sessions=sessions), language).links.count("https://example.org/join?session=1&lang=any") == 3
        )


@pytest.mark.parametrize(
    ("sessions", "said"),
    [(None, "The sessions of January 2022 are not available."), ((), "No session is announced for January 2022.")],
)
def test_a_month_without_sessions_is_told_from_one_that_is_not_known(sessions: Any, said: str) -> None:
    assert said in text_of(issue(sessions=sessions), "en")


# --- The mail -----------------------------------------------------------------------------------------------------


def test_a_mail_says_why_it_comes_and_how_to_leave() -> None:
    text = " ".join(text_of(mail(), "en").split())
    assert "you asked to be added to the CARM distribution list (2021-10-04)" in text
    assert "Unsubscribe: https://example.org/u/" in text
    assert "Unsubscribe:" not in text_of(mail(unsubscribe_url=None), "en")
    assert "unsubscribe" not in text_of(issue(), "en").lower()


@EVERY_LANGUAGE
def test_text_lines_fit_a_terminal(language: str) -> None:
    long = [line for line in text_of(mail(), language).splitlines() if len(line) > 72]
    assert [line for line in long if " " in line.strip()] == []


# --- Print --------------------------------------------------------------------------------------------------------


def test_the_pdf_says_what_the_page_says() -> None:
    documents = render_documents(issue(figures=figures(without=[1])), pages())
    for language in ("en", "fr"):
        reader = PdfReader(io.BytesIO(documents[f"newsletter-{language}.pdf"]))
        said = "".join(page.extract_text() for page in reader.pages)
        # A long address has places to break.
        bare = re.sub(r"[\s\u200b]", "", said).replace("-05:00", "−05:00")
        page = html_of(issue(figures=figures(without=[1])), language)
        # But for the foot of each sheet, the words of the page are those of the print.
        assert [word for word in page.words if word not in bare] == []
        found = [
            annotation.get_object()["/A"]["/URI"] for sheet in reader.pages for annotation in sheet.get("/Annots", [])
        ]
        assert set(found) == set(page.links)


@pytest.mark.parametrize(
    "written",
    [
        "#import *bold* $x^2$ @ref \\u{1F600}",
        "emoji \U0001f600, \u05d0, \u4e2d, a\u0301",
        "x" * 300,
        "tab\tand \u2212 sign",
        "<b>",
    ],
)
def test_whatever_persons_write_is_set_as_text(written: str) -> None:
    blocks = parse_text(f"## Title\n\n- before {written} after", "t")
    documents = render_documents(issue(text={"en": blocks, "fr": blocks}), pages())
    reader = PdfReader(io.BytesIO(documents["newsletter-en.pdf"]))
    said = " ".join("".join(page.extract_text() for page in reader.pages).split())
    assert "before" in said
    assert "after" in said


@EVERY_LANGUAGE
def test_the_pdf_is_tagged_and_names_its_language_and_title(language: str) -> None:
    content = render_documents(issue(), pages())[f"newsletter-{language}.pdf"]
    with pikepdf.open(io.BytesIO(content)) as pdf:
        assert str(pdf.Root.Lang) == language
        assert bool(pdf.Root.MarkInfo.Marked)
        assert bool(pdf.Root.ViewerPreferences.DisplayDocTitle)
        with pdf.open_metadata() as metadata:
            assert metadata["pdfuaid:part"] == "1"
            assert metadata["dc:title"]
        tags, alternatives = [], []
        waiting = [pdf.Root.StructTreeRoot]
        while waiting:
            node = waiting.pop()
            if isinstance(node, pikepdf.Array):
                waiting += list(node)
            elif isinstance(node, pikepdf.Dictionary):
                tags += [str(node.S)] if "/S" in node else []
                alternatives += [str(node.Alt)] if "/Alt" in node and str(node.S) == "/Figure" else []
                waiting += [node.K] if "/K" in node else []
    assert {"/H1", "/H2", "/H3", "/Table", "/TH", "/L", "/Link", "/Figure"} <= set(tags)
    assert len(alternatives) == 1
    assert "2021-11-15" in alternatives[0]


def test_the_same_issue_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    program = (
        "import hashlib, sys; from include.quarterly import render_documents; from tests.quarterly.issues import *\n"
        "print([hashlib.sha256(d).hexdigest() for d in render_documents(issue(), pages()).values()])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
