"""What a person receives: the page in its languages, the same bytes each time, readable and harmless."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterable
from datetime import date
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include import datasets
from include.carm.statement import (
    COMPONENTS,
    CSV_COLUMNS,
    Statement,
    StatementHead,
    StatementLine,
    build_statements,
    guard_formula,
    render_csv,
)
from include.statement_page import TEMPLATE_FOLDER, StatementPages, read_texts, template_version
from tests.statements.ledger import DAYS, Month, Row, account, posting
from tests.statements.samples import (
    HOSTILE_NAMES,
    SAMPLES,
    credit,
    every_section,
    nothing_posted,
    pages,
    pages_of,
    renamed,
    statement_of,
)

GOLDEN = Path(__file__).parent / "golden"
LANGUAGES = {"en": "en", "fr": "fr", "both": None}


class Page(HTMLParser):
    """The elements of a page, in order, and its text without the style sheet."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self._is_style = False
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._is_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._is_style = False
        if tag in ("td", "th"):
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._is_style:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


def _assert_golden(name: str, content: bytes) -> None:
    path = GOLDEN / name
    if os.environ.get("CARM_REWRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert path.read_bytes() == content, f"{name} differs: see the diff, then CARM_REWRITE_GOLDEN=1"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", SAMPLES)
def test_a_statement_is_the_one_that_was_looked_at(name: str, language: str) -> None:
    _assert_golden(f"{name}-{language}.html", pages().render(SAMPLES[name](LANGUAGES[language])))


@pytest.mark.parametrize("name", SAMPLES)
def test_the_csv_is_the_one_that_was_looked_at_in_every_language(name: str) -> None:
    _assert_golden(f"{name}.csv", render_csv(SAMPLES[name]("en")))

    assert {render_csv(SAMPLES[name](language)) for language in (None, "fr")} == {render_csv(SAMPLES[name]("en"))}


def test_rendering_again_gives_the_same_bytes() -> None:
    statement = every_section(None)
    fresh = pages_of(DAYS["issued_on"])

    assert pages().render(statement) == fresh.render(statement) == fresh.render(statement)


# Two languages, one content

MONEY_EN = re.compile(r"\(?\$?\d{1,3}(?:,\d{3})*\.\d\d\)?")
MONEY_FR = re.compile("\\(?\\d{1,3}(?:\u00a0\\d{3})*,\\d\\d(?:\u00a0\\$)?\\)?")
EXACT = re.compile(r"\d{4}-\d{2}-\d{2}|\d{9}RM\d{4}|\b\d{9}\b|\b\d{14}\b|T\d{4}")


def _cents(amounts: list[str]) -> list[int]:
    digits = [int(re.sub(r"\D", "", amount)) for amount in amounts]
    return [-cents if amount.startswith("(") else cents for cents, amount in zip(digits, amounts, strict=True)]


@pytest.mark.parametrize("name", SAMPLES)
def test_both_languages_show_the_same_amounts_dates_and_numbers(name: str) -> None:
    english, french = (Page(pages().render(SAMPLES[name](language))).text for language in ("en", "fr"))

    assert _cents(MONEY_EN.findall(english)) == _cents(MONEY_FR.findall(french))
    assert EXACT.findall(english) == EXACT.findall(french)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_page_in_both_languages_holds_one_whole_version_after_the_other(name: str) -> None:
    both = pages().render(SAMPLES[name](None)).decode()
    versions = re.findall(r"<article .*?</article>\n", both, re.DOTALL)

    single = [
        re.search(r"<article .*</article>\n", pages().render(SAMPLES[name](language)).decode(), re.DOTALL)
        for language in ("en", "fr")
    ]
    assert versions == [found[0] for found in single if found]


def test_every_line_of_the_statement_is_on_the_page_with_its_amount_and_balance() -> None:
    statement = every_section("en")
    cells = re.findall(r'class="(?:amount|balance)">([^<]+)<', pages().render(statement).decode())

    totals = Counter(_cents([cell for cell in cells if cell]))
    expected = Counter(line.running_balance_cents for line in statement.lines)
    expected += Counter(line.amount_cents for line in statement.lines if line.amount_cents >= 0)
    assert not expected - totals


# What a page says


@pytest.mark.parametrize(
    ("name", "said", "not_said"),
    [
        ("every-section", ["Pay by 2021-12-31", "Secured by customs broker 000000026"], ["No payment is needed"]),
        ("credit", ["($123.45)", "No payment is needed", "closed on 2021-12-02", "1-800-959-5525"], ["Pay by"]),
        ("zero", ["No payment is needed"], ["Pay by", "reinstated"]),
        ("nothing-posted", ["Nothing was posted", "Pay by", "not recorded"], ["No payment is needed"]),
        ("credit-under-review", ["Pay by", "of which a credit under review", "$90.00", "($40.00)"], ["No payment"]),
        ("all-under-review", ["No payment is needed for now", "of which under review"], ["Pay by"]),
    ],
)
def test_a_page_says_what_to_do(name: str, said: list[str], not_said: list[str]) -> None:
    text = Page(pages().render(SAMPLES[name]("en"))).text

    assert [] == [words for words in said if words not in text]
    assert [] == [words for words in not_said if words in text]


@pytest.mark.parametrize(
    ("remark", "changed"),
    [
        ("Corrected: the amount is now $100.00", {"effect_cents": 30_00}),
        ("No change to your balance (amount $100.00)", {"effect_cents": 0}),
        ("Cancelled", {"status": "cancelled", "effect_cents": -100_00}),
        ("Reversed", {"status": "reversed", "effect_cents": -100_00}),
        ("Moved to another account", {"status": "cancelled", "effect_cents": -100_00, "arrival": "moved"}),
    ],
)
def test_a_line_whose_amount_is_not_simply_its_own_says_why(remark: str, changed: Row) -> None:
    # The statement has to exist where a row without effect is all that happened.
    statement = statement_of(Month([posting(100_00, is_late=True, **changed), posting(1, transaction_id="T2")]))

    assert remark in Page(pages().render(statement)).text


def test_a_closed_account_is_told_who_reinstates_it_by_the_date_of_issue() -> None:
    in_2024 = pages_of(DAYS["issued_on"].replace(year=2024, month=6))

    assert "Canada Revenue Agency" in Page(pages().render(credit("en"))).text
    assert "Canada Revenue Agency" not in Page(in_2024.render(credit("en"))).text


# Harmless


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_comes_out_as_text(name: str) -> None:
    page, harmless = Page(pages().render(renamed(name))), Page(pages().render(nothing_posted("en")))

    shown = re.sub(r"[\x00-\x08\x0b-\x1f]", "\N{REPLACEMENT CHARACTER}", name)
    assert 2 == page.text.count(shown)
    # One more paragraph and name, and nothing else that the browser would act on.
    assert Counter(tag for tag, _ in page.elements) - Counter(tag for tag, _ in harmless.elements) == {"p": 1, "bdi": 1}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_texts_of_a_line_come_out_as_text(name: str) -> None:
    line = posting(1, transaction_id=name, transaction_number=None, broker_bn9=name)
    statement = statement_of(Month([line]))
    page = Page(pages().render(statement))

    # Other words follow: their direction is not to be turned.
    shown = re.sub("[\x00-\x08\x0b-\x1f\N{RIGHT-TO-LEFT OVERRIDE}]", "\N{REPLACEMENT CHARACTER}", name)
    assert 2 == page.text.count(shown)
    assert [] == page.all("script", "img")
    (row,) = csv.DictReader(io.StringIO(render_csv(statement).decode(), newline=""))
    assert guard_formula(name) == row["transaction_id"] == row["broker_bn9"]


@pytest.mark.parametrize(
    ("cell", "guarded"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("1=1", "1=1"),
        ("\n=1", "'\n=1"),
        ("＝1+1", "'＝1+1"),
        ("＠SUM(A1)", "'＠SUM(A1)"),
        # Marked already: one more, so that none is lost when one is taken away.
        ("'=1", "''=1"),
        ("'1", "'1"),
        ("", ""),
        (None, None),
    ],
)
def test_a_cell_that_a_spreadsheet_would_calculate_is_guarded(cell: str | None, guarded: str | None) -> None:
    assert guarded == guard_formula(cell)


CENTS = st.sampled_from([-1_234_567_89, -1, 0, 5, 99_999_99])
HEADS = st.fixed_dictionaries(
    {
        **dict.fromkeys(("opening_cents", "closing_cents", "under_review_cents", "total_payable_cents"), CENTS),
        **dict.fromkeys((name for name in StatementHead._fields if name.startswith("ageing")), CENTS),
        "calculated_interest_cents": st.none() | CENTS,
        "language": st.sampled_from(["en", "fr", "both"]),
        "operating_name": st.none() | st.sampled_from(["", "O", *HOSTILE_NAMES]),
        "program_type": st.none() | st.sampled_from(["importer", "dual", "?"]),
        "account_status": st.none() | st.sampled_from(["open", "closed"]),
        "closed_on": st.none() | st.just("2021-12-02"),
    }
)


@settings(max_examples=40)
@given(st.data())
def test_what_was_printed_before_leaves_no_trace_on_a_page(data: st.DataObject) -> None:
    like = data.draw(st.sampled_from(likes()))
    shown = data.draw(st.sets(st.sampled_from([line.line_no for line in like.lines])))
    lines = tuple(line for line in like.lines if line.line_no in shown)
    statement = like._replace(head=like.head._replace(**data.draw(HEADS)), lines=lines)

    # These pages have printed whatever the examples before were; those begin with this one.
    assert pages().render(statement) == pages_of(date(2021, 12, 25)).render(statement)


@cache
def likes() -> list[Statement]:
    return [every_section("en"), SAMPLES["restated"]("en"), SAMPLES["issued-late"]("en")]


TEXTS = st.text(alphabet="aZ09é_-+=@'\",;% \t\r\n\uff1d", max_size=4)


@given(TEXTS, TEXTS, st.none() | TEXTS, st.none() | TEXTS, st.none() | st.just("2021-12-31"))
def test_the_rows_of_a_csv_file_are_those_of_the_csv_module(
    identity: str, kind: str, number: str | None, broker: str | None, due_on: str | None
) -> None:
    statement = credit_of_tests()
    (plain,) = statement.lines
    odd = plain._replace(
        transaction_id=identity, kind=kind, transaction_number=number, broker_bn9=broker, due_on=due_on
    )

    account = (statement.head.bn15, statement.head.period)
    guarded = [guard_formula(cell) if isinstance(cell, str) else cell for cell in odd]
    heading, first, second = map(csv_row, (CSV_COLUMNS, (*account, *plain), (*account, *guarded)))
    assert heading + first + second == render_csv(statement._replace(lines=(plain, odd))).decode()
    assert heading + second == render_csv(statement._replace(lines=(odd,))).decode()


@cache
def credit_of_tests() -> Statement:
    return credit("en")


def csv_row(cells: Iterable[object]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def test_a_number_in_a_csv_file_is_never_guarded() -> None:
    (row,) = csv.DictReader(io.StringIO(render_csv(credit("en")).decode(), newline=""))

    assert "-12345" == row["amount_cents"]
    assert set(CSV_COLUMNS) == set(row)


def test_a_page_needs_nothing_but_itself() -> None:
    page = Page(pages().render(every_section(None)))

    assert [] == page.all("script", "link", "img", "iframe", "form", "object")
    links = {attributes["href"] for attributes in page.all("a")}
    assert {"#en", "#fr"} == links
    assert not re.search(r"url\(|@import|https?:", pages().render(every_section(None)).decode())


# Readable


@pytest.mark.parametrize("language", LANGUAGES)
def test_headings_tables_and_languages_are_marked(language: str) -> None:
    page = Page(pages().render(every_section(LANGUAGES[language])))
    versions = ["en", "fr"] if language == "both" else [language]

    assert versions == [attributes["lang"] for attributes in page.all("article")]
    assert versions[0] == page.all("html")[0]["lang"]
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert len(versions) == levels.count(1)
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes.get("aria-labelledby") for attributes in page.all("table", "article")} <= set(ids)


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_colour_of_text_has_the_contrast_of_level_aa_on_every_background() -> None:
    css = (TEMPLATE_FOLDER / "statement.css").read_text(encoding="utf-8")
    texts = set(re.findall(r"[{; ]color: (#[0-9a-f]+)", css))
    grounds = set(re.findall(r"background: (#[0-9a-f]+)", css))

    assert texts
    assert grounds
    weak = {
        (text, ground)
        for text in texts
        for ground in grounds
        if (max(_luminance(text), _luminance(ground)) + 0.05) / (min(_luminance(text), _luminance(ground)) + 0.05) < 4.5
    }
    assert set() == weak


# The texts


def test_every_text_has_both_languages_with_the_same_placeholders() -> None:
    texts = read_texts()

    assert texts["en"].keys() == texts["fr"].keys()
    for key, english in texts["en"].items():
        assert english.strip()
        assert texts["fr"][key].strip()
        assert sorted(re.findall(r"\{(\w+)\}", english)) == sorted(re.findall(r"\{(\w+)\}", texts["fr"][key])), key


def test_every_text_is_used() -> None:
    used = "\n".join(path.read_text(encoding="utf-8") for path in TEMPLATE_FOLDER.glob("*.*") if path.suffix != ".yaml")
    used += Path(StatementPages.render.__code__.co_filename).read_text(encoding="utf-8")
    computed = ("section_", "note_", "program_", "reissue_", "changed_", *COMPONENTS)

    unused = [key for key in read_texts()["en"] if not key.startswith(computed) and not re.search(rf"\b{key}\b", used)]
    assert [] == unused


def test_french_has_no_break_spaces_where_a_line_must_not_break() -> None:
    wrong = [text for text in read_texts()["fr"].values() if re.search(r" [:»]|« |Nº [^\u00a0]|'", text)]

    assert [] == wrong


# The object


def test_the_object_has_the_columns_of_the_lake() -> None:
    assert datasets.COMPONENTS == COMPONENTS


def test_heads_and_lines_of_different_months_are_not_joined() -> None:
    statement = credit("en")
    lines = [(statement.head.bn15, line) for line in statement.lines]

    assert [statement] == list(build_statements([statement.head], lines))
    with pytest.raises(ValueError, match="has 0 lines instead of 1"):
        list(build_statements([statement.head], []))
    with pytest.raises(ValueError, match="has 2 lines instead of 1"):
        list(build_statements([statement.head], lines * 2))
    with pytest.raises(ValueError, match="there are statement lines without a statement"):
        list(build_statements([statement.head], [*lines, ("000000026RM0001", statement.lines[0])]))
    assert len(StatementLine._fields) == len(statement.lines[0])
    assert len(StatementHead._fields) == len(statement.head)


def test_the_version_of_the_template_is_that_of_its_files() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", template_version())
    assert template_version() == template_version()


def test_an_account_without_a_name_shows_its_number() -> None:
    statement = statement_of(Month([posting()], [account(legal_name=None)]))

    assert "<bdi>000000018RM0001</bdi>" in pages().render(statement).decode()
