"""The PDF of a statement: it says what the page says, conforms to PDF/UA-1, and is the same bytes each time."""

from __future__ import annotations

import io
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import page
import pikepdf
import pytest
from pypdf import PdfReader

from include.carm.allocation import AllocationRules, Disbursement
from include.carm.contacts import Contacts
from include.carm.period import Period
from include.carm.statement import Statement
from include.statement_page import read_texts
from include.statement_pdf import GLYPHS, REPLACEMENT, TEMPLATE, StatementPdfs
from tests.statements.gallery import pdf_of
from tests.statements.ledger import DAYS, Month, account, posting
from tests.statements.samples import HOSTILE_NAMES, SAMPLES, every_section, pages, renamed, statement_of

LANGUAGES = {"en": "en", "fr": "fr", "both": None}
VERSIONS = {"en": ["en"], "fr": ["fr"], "both": ["en", "fr"]}
COLUMNS = ("column_transaction", "column_posted", "column_due", "column_amount", "column_balance")
WORDS_OF_TYPST = ("#import", "*bold* _slanted_ `code`", "$x^2$", "@ref <label>", "\\u{1F600} \\ // comment", "#emph[a]")


def given() -> tuple[Contacts, date, Disbursement]:
    return Contacts.load(), DAYS["issued_on"], AllocationRules.load().disbursement_of(Period(2021, 12))


@cache
def pdfs() -> StatementPdfs:
    return StatementPdfs(*given())


# What it says


class _Articles(HTMLParser):
    """The text of a page's versions, without its title, style sheet and choice of language."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.text = ""
        self._depth = 0
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._depth += tag == "article"

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "article"

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.text += data


@cache
def long_sheets() -> list[str]:
    return sheets(pdf_of("long", "en"))


def sheets(content: bytes) -> list[str]:
    """The text of each sheet without its foot."""
    found = []
    for number, sheet in enumerate(reader := PdfReader(io.BytesIO(content)).pages, start=1):
        body, foot = sheet.extract_text().rsplit("\n", 1)
        assert re.fullmatch(rf"[0-9A-Z]+ · \d{{4}}-\d\d {number} / {len(reader)}", foot)
        found.append(body)
    return found


def unspaced(text: str) -> str:
    """Without blanks, bullets and places to break: what a browser adds or leaves out as it sets the lines."""
    return re.sub("[\\s•\u200b]", "", text)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", SAMPLES)
def test_the_pdf_says_word_for_word_what_the_page_says(name: str, language: str) -> None:
    page_text = _Articles(pages().render(SAMPLES[name](LANGUAGES[language]))).text

    # Where a table goes on upon a further sheet, its heading stands there again.
    headings = tuple(" ".join(read_texts()[version][column] for column in COLUMNS) for version in VERSIONS[language])
    texts = [text.split("\n", 1)[1] if text.startswith(headings) else text for text in sheets(pdf_of(name, language))]
    assert unspaced(page_text) == unspaced("".join(texts))


def test_a_long_statement_repeats_the_heading_of_its_table_on_each_sheet() -> None:
    texts = long_sheets()

    assert len(texts) > 10
    lines_on = [len(re.findall(r"No\.\s12345\d{9}", text)) for text in texts]
    assert 300 == sum(lines_on)
    repeated = ["Transaction Posted Due Amount ($) Balance ($)" in text for text in texts]
    assert repeated == [count > 0 for count in lines_on]


@pytest.mark.parametrize("lines_above", [1, 2, 3])
def test_a_transaction_never_breaks_across_two_sheets(lines_above: int) -> None:
    rows = [
        posting(100_00, transaction_id=f"T{place:02d}", broker_bn9="000000026", customs_duty_cents=100_00)
        for place in range(60)
    ]
    plain = statement_of(Month(rows))
    name = " ".join(["W" * 24] * lines_above)
    texts = sheets(pdfs().render(Statement(plain.head._replace(legal_name=name), plain.lines)))

    parts = ("Customs coding form (B3)", "No.\u00a012345", "Customs\u00a0duties\u00a0", "Secured by customs broker")
    counts = [[text.count(part) for part in parts] for text in texts]
    assert [60] * len(parts) == [sum(column) for column in zip(*counts, strict=True)]
    assert all(len(set(on_sheet)) == 1 for on_sheet in counts)


def test_the_total_of_a_section_stands_on_the_sheet_of_its_last_transaction() -> None:
    for lines in range(8, 24):
        rows = [posting(1, transaction_id=f"T{place:02d}", transaction_number=None) for place in range(lines)]
        texts = sheets(pdfs().render(statement_of(Month(rows))))

        (with_total,) = [text for text in texts if re.search(r"^Total \d", text, re.MULTILINE)]
        assert re.search(rf"^Reference T{lines - 1:02d}\b", with_total, re.MULTILINE)


# Harmless


def shown_for(name: str) -> str:
    """What stands in place of a hostile name, without blanks."""
    return re.sub("[🚢🇨🇦]", REPLACEMENT, re.sub("[\u202e\u200f\\s]", "", name))


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, *WORDS_OF_TYPST])
def test_a_hostile_name_comes_out_as_text(name: str) -> None:
    content = pdfs().render(renamed(name))
    text = unspaced("".join(sheets(content)))

    assert 2 == text.count(shown_for(name))
    assert unspaced("".join(sheets(pdfs().render(renamed("Élan"))))) == text.replace(shown_for(name), "Élan")


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, *WORDS_OF_TYPST])
def test_hostile_texts_of_a_line_come_out_as_text(name: str) -> None:
    statement = statement_of(Month([posting(1, transaction_id=name, transaction_number=None, broker_bn9=name)]))

    text = unspaced("".join(sheets(pdfs().render(statement))))

    assert 2 == text.count(shown_for(name))


@pytest.mark.parametrize("word", ["W" * 300, "W\\" * 150, 'W"' * 150])
def test_a_long_word_is_broken_before_it_leaves_its_place(word: str) -> None:
    line = posting(1, transaction_id="T1", transaction_number=None, broker_bn9=word)
    statement = statement_of(Month([line], [account(legal_name=word)]))
    name, _, transactions = "\n".join(sheets(pdfs().render(statement))).partition("Transactions of the period")

    # Letters of the heavier weight, in parts of their size, others about half of it; sizes and widths in points.
    wide = {"W": 0.998, "\\": 0.307, '"': 0.366, "\u200b": 0}
    for text, size, room in ((name, 11.5, 521.2), (transactions, 8, 237.8)):
        lines = [shown for shown in text.splitlines() if shown.count("W") > 1]
        assert unspaced("".join(lines)).endswith(word)
        assert max(sum(wide.get(letter, 0.5) for letter in shown) for shown in lines) * size <= room


def test_a_transaction_taller_than_a_sheet_goes_on_upon_the_next() -> None:
    statement = statement_of(Month([posting(1, transaction_number=None, broker_bn9="Z" * 5_000)]))
    on_sheets = [text.count("Z") for text in sheets(pdfs().render(statement))]

    assert 5_000 == sum(on_sheets)
    # At least 8 points a line, and at most 48 letters of at least 5 points in it.
    assert max(on_sheets) <= 48 * 792 / 8


def test_every_character_that_is_let_through_has_a_glyph_in_both_weights() -> None:
    letters = "".join(chr(number) for number in range(0x20, 0x10000) if re.fullmatch(f"[{GLYPHS}]", chr(number)))
    assert len(letters) > 1000

    # Typst refuses to make a PDF/UA of anything that it cannot show.
    assert pdfs().render(renamed(letters))


@pytest.mark.parametrize("letter", ["\ud800", "\x07", "\x85", "\u2028", "ᐃ", "漢", "\U0001f6a2"])
def test_a_character_without_a_glyph_becomes_a_mark(letter: str) -> None:
    text = "".join(sheets(pdfs().render(renamed(f"a{letter}b"))))

    assert f"a{REPLACEMENT}b" in text


def test_a_kind_that_nobody_knows_shows_a_mark_for_what_has_no_glyph() -> None:
    statement = statement_of(Month([posting(1)]))
    (line,) = statement.lines
    odd = Statement(statement.head, (line._replace(kind='A\x07B\\C"D\tE'),))

    assert f'\nA{REPLACEMENT}B\\C"D E\n' in "".join(sheets(pdfs().render(odd)))


@pytest.mark.parametrize("letter", ["\u200f", "\u202e", "\u200d", "\ufe0f", "\u2066", "\u00ad"])
def test_a_character_that_nobody_sees_is_left_out(letter: str) -> None:
    text = "".join(sheets(pdfs().render(renamed(f"a{letter}b"))))

    assert "\nab\n" in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("E\u0301lan e\u0302t Fre\u0300res", "Élan êt Frères"),
        # No such letters: each accent is a mark, and stands on no other digit of the document.
        ("1\u0300 2\u0300 0\u0301 T\u0308 $\u0301 -\u0301", "1� 2� 0� T� $� -�"),
    ],
)
def test_an_accent_stays_on_its_letter(name: str, shown: str) -> None:
    accented, plain = ("".join(sheets(pdfs().render(renamed(text)))) for text in (name, "Élan"))

    assert accented == plain.replace("Élan", shown)


def test_a_soft_hyphen_at_the_end_of_a_line_leaves_the_hyphens_of_every_day_alone() -> None:
    words = "".join(sheets(pdfs().render(renamed("W\N{SOFT HYPHEN}" * 100))))

    assert "\N{SOFT HYPHEN}" not in words
    assert "2021-11-25 to 2021-12-24" in words


def test_what_cannot_be_made_is_an_error_that_quotes_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.statement_pdf.printable_json", lambda data: '{"versions": [')

    with pytest.raises(RuntimeError, match=r"^Typst made no PDF/UA-1 of a statement of 2021-12$") as caught:
        pdfs().render(renamed("Secret"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_unknown_language_is_refused() -> None:
    statement = every_section("en")

    with pytest.raises(KeyError, match="de"):
        pdfs().render(Statement(statement.head._replace(language="de"), statement.lines))


def test_a_text_that_nobody_wrote_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        language: {key: text for key, text in own.items() if key != "do_pay"} for language, own in read_texts().items()
    }
    monkeypatch.setattr("include.statement_pdf.read_texts", lambda: texts)

    with pytest.raises(KeyError, match="do_pay"):
        StatementPdfs(*given())


# The same bytes


def test_rendering_again_gives_the_same_bytes_in_this_and_in_another_process() -> None:
    here = pdf_of("every-section", "both")
    # Another statement between the two, because the compiler keeps what it has seen.
    assert pdf_of("credit", "fr") != here
    script = (
        "import pickle, sys; from include.statement_pdf import StatementPdfs;"
        "sys.stdout.buffer.write(StatementPdfs(*pickle.load(sys.stdin.buffer)).render(pickle.load(sys.stdin.buffer)))"
    )
    sent = pickle.dumps(given()) + pickle.dumps(every_section(None))
    root = Path(__file__).parents[2]
    elsewhere = subprocess.run([sys.executable, "-c", script], cwd=root, input=sent, capture_output=True, check=True)

    assert here == pdfs().render(every_section(None)) == elsewhere.stdout
    assert b"/CreationDate(D:20211225120000Z)" in here


# PDF/UA-1


def children(element: Any) -> Iterator[Any]:
    kids = element.get("/K", [])
    for kid in kids if isinstance(kids, pikepdf.Array) else [kids]:
        if isinstance(kid, pikepdf.Dictionary) and "/S" in kid:
            yield kid


def elements(parent: Any, language: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every element of the structure below this one, in the order of reading, with the language that holds for it."""
    for kid in children(parent):
        own = str(kid.get("/Lang", language))
        yield str(kid["/S"]).lstrip("/"), kid, own
        yield from elements(kid, own)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", SAMPLES)
def test_an_independent_checker_finds_nothing_against_pdf_ua_1(name: str, language: str) -> None:
    report = page.validate_pdf_bytes(pdf_of(name, language), profile="ua1")

    assert [] == [(failure.rule_id, failure.message) for failure in report.failures]
    assert report.rules.total > 100


def without_structure(pdf: pikepdf.Pdf) -> None:
    del pdf.Root["/StructTreeRoot"]


def without_language(pdf: pikepdf.Pdf) -> None:
    del pdf.Root["/Lang"]
    for _, element, _ in elements(pdf.Root.StructTreeRoot):
        if "/Lang" in element:
            del element["/Lang"]


def without_title(pdf: pikepdf.Pdf) -> None:
    with pdf.open_metadata() as metadata:
        del metadata["dc:title"]


def without_claim(pdf: pikepdf.Pdf) -> None:
    with pdf.open_metadata() as metadata:
        del metadata["pdfuaid:part"]


def without_a_mark(pdf: pikepdf.Pdf) -> None:
    """The first text of the first sheet is no longer anybody's."""
    kept, is_open, is_done = [], False, False
    for instruction in pikepdf.parse_content_stream(pdf.pages[0]):
        name = str(instruction.operator)
        if name == "BDC" and str(instruction.operands[0]) != "/Artifact" and not is_done:
            is_open = is_done = True
        elif name == "EMC" and is_open:
            is_open = False
        else:
            kept.append(instruction)
    pdf.pages[0].Contents = pdf.make_stream(pikepdf.unparse_content_stream(kept))


def without_spans(pdf: pikepdf.Pdf) -> None:
    for kind, cell, _ in elements(pdf.Root.StructTreeRoot):
        if kind == "TD" and "/RowSpan" in attributes(cell):
            del attributes(cell)["/RowSpan"]


def without_headers(pdf: pikepdf.Pdf) -> None:
    for kind, cell, _ in elements(pdf.Root.StructTreeRoot):
        for key in ("/Scope", "/Headers"):
            if kind in ("TH", "TD") and key in attributes(cell):
                del attributes(cell)[key]


def with_a_level_left_out(pdf: pikepdf.Pdf) -> None:
    for kind, element, _ in elements(pdf.Root.StructTreeRoot):
        if kind == "H3":
            element.S = pikepdf.Name.H5


def with_items_of_no_list(pdf: pikepdf.Pdf) -> None:
    for kind, element, _ in elements(pdf.Root.StructTreeRoot):
        if kind == "L":
            element.S = pikepdf.Name.Div


def without_fonts(pdf: pikepdf.Pdf) -> None:
    for entry in pdf.objects:
        if isinstance(entry, pikepdf.Dictionary) and "/FontFile3" in entry:
            del entry["/FontFile3"]


def without_letters(pdf: pikepdf.Pdf) -> None:
    for entry in pdf.objects:
        if isinstance(entry, pikepdf.Dictionary) and "/ToUnicode" in entry:
            del entry["/ToUnicode"]


@pytest.mark.parametrize(
    ("rule", "damage"),
    [
        ("STRUCT-TREE-ROOT", without_structure),
        ("TEXT-LANGUAGE", without_language),
        ("METADATA-TITLE", without_title),
        ("ID-PART", without_claim),
        ("CONTENT-TAGGING", without_a_mark),
        ("TABLE-COLUMN-ROWSPAN", without_spans),
        ("TABLE-HEADERS-SCOPE", without_headers),
        ("HEADING-NESTING", with_a_level_left_out),
        ("LI-PARENT", with_items_of_no_list),
        ("FONT-EMBEDDING", without_fonts),
        ("FONT-UNICODE-MAPPING", without_letters),
    ],
    ids=lambda each: each.__name__ if callable(each) else "",
)
def test_the_checker_finds_what_is_wrong(rule: str, damage: Callable[[pikepdf.Pdf], None]) -> None:
    with pikepdf.open(io.BytesIO(pdf_of("every-section", "en"))) as pdf:
        damage(pdf)
        pdf.save(broken := io.BytesIO())

    found = page.validate_pdf_bytes(broken.getvalue(), profile="ua1").failures
    assert f"PDFUA1-{rule}-001" in {failure.rule_id for failure in found}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_document_says_that_it_is_tagged_and_what_it_is_called(language: str) -> None:
    with pikepdf.open(io.BytesIO(pdf_of("every-section", language))) as pdf:
        names = [read_texts()[version]["document_title"] for version in VERSIONS[language]]
        title = f"{' / '.join(names)}, 2021-12, 000000018RM0001"

        assert pdf.Root.MarkInfo.Marked
        assert pdf.Root.ViewerPreferences.DisplayDocTitle
        assert VERSIONS[language][0] == str(pdf.Root.Lang)
        assert title == str(pdf.docinfo["/Title"])
        with pdf.open_metadata() as metadata:
            assert title == metadata["dc:title"]
            assert "1" == metadata["pdfuaid:part"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", SAMPLES)
def test_headings_and_tables_stand_in_the_structure_in_their_language(name: str, language: str) -> None:
    statement = SAMPLES[name](LANGUAGES[language])
    with pikepdf.open(io.BytesIO(pdf_of(name, language))) as pdf:
        found = list(elements(pdf.Root.StructTreeRoot, str(pdf.Root.Lang)))
        headings = [(kind, own) for kind, _, own in found if re.fullmatch(r"H\d", kind)]
        levels = [int(kind[1]) for kind, _ in headings]
        tables = [element for kind, element, _ in found if kind == "Table"]

        assert VERSIONS[language] == [own for kind, own in headings if kind == "H1"]
        assert all(after - before <= 1 for before, after in pairwise(levels))
        # One for the sums, one for their ages where something is open, one a section.
        expected = 1 + any(statement.head.ageing) + sum(1 for _ in statement.sections())
        assert len(VERSIONS[language]) * expected == len(tables)
        for table in tables:
            head, body = children(table)
            assert ["/THead", "/TBody"] == [str(head.S), str(body.S)]
            (row,) = children(head)
            names = list(children(row))
            assert {"/TH"} == {str(cell.S) for cell in names}
            assert {"/Column"} == {str(attributes(cell)["/Scope"]) for cell in names}
            ids = [str(cell.ID) for cell in names]
            lines = [[attributes(cell) for cell in children(line)] for line in children(body)]
            if len(ids) == len(COLUMNS):
                # The last balance is also that of the total.
                assert 2 == lines[-2][-1]["/RowSpan"]
                lines[-1].append(lines[-2][-1])
            for line in lines:
                assert ids == [str(cell["/Headers"][0]) for cell in line]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_mark_on_a_sheet_leads_to_an_element_that_holds_it(name: str) -> None:
    """A screen reader that follows the sheet, and not the structure, goes this way; the checker does not look."""
    with pikepdf.open(io.BytesIO(pdf_of(name, "both"))) as pdf:
        owners = pikepdf.NumberTree(pdf.Root.StructTreeRoot.ParentTree)
        for sheet in pdf.pages:
            marks = [
                int(instruction.operands[1]["/MCID"])
                for instruction in pikepdf.parse_content_stream(sheet)
                if str(instruction.operator) == "BDC" and "/MCID" in instruction.operands[1]
            ]
            elements_of_sheet = list(owners[int(sheet.StructParents)])
            assert list(range(len(elements_of_sheet))) == sorted(marks)
            assert marks
            assert [] == [mark for mark, owner in enumerate(elements_of_sheet) if mark not in marks_of(owner)]


def marks_of(element: Any) -> list[int]:
    """The numbers of the marks that an element holds itself."""
    kids = element.K if isinstance(element.K, pikepdf.Array) else [element.K]
    own = [kid.get("/MCID") if isinstance(kid, pikepdf.Dictionary) else kid for kid in kids]
    return [int(mark) for mark in own if mark is not None]


def attributes(element: Any) -> Any:
    """What the table says about a cell."""
    found = element.A
    (table,) = [each for each in (found if isinstance(found, pikepdf.Array) else [found]) if each.O == "/Table"]
    return table


def test_each_version_of_a_document_in_both_languages_stands_in_its_own_language() -> None:
    with pikepdf.open(io.BytesIO(pdf_of("every-section", "both"))) as pdf:
        found = [
            (kind, own)
            for kind, element, own in elements(pdf.Root.StructTreeRoot, str(pdf.Root.Lang))
            if not list(children(element))
        ]

    french_from = found.index(("H1", "fr"))
    # The name of the issuer stands above the title.
    start = next(place for place, (_, own) in enumerate(found) if own == "fr")
    assert 0 < start < french_from
    assert {"en"} == {own for _, own in found[:start]}
    assert {"fr"} == {own for _, own in found[start:]}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_bookmarks_are_the_headings(language: str) -> None:
    with pikepdf.open(io.BytesIO(pdf_of("every-section", language))) as pdf:
        headings = [
            str(element["/T"]) for kind, element, _ in elements(pdf.Root.StructTreeRoot) if re.fullmatch(r"H\d", kind)
        ]
        with pdf.open_outline() as outline:

            def titles(items: Any) -> Iterator[str]:
                for item in items:
                    yield item.title
                    yield from titles(item.children)

            assert headings == list(titles(outline.root))
            assert len(VERSIONS[language]) == len(outline.root)


@pytest.mark.parametrize("name", ["every-section", "credit"])
def test_every_font_is_in_the_document_and_none_comes_from_the_machine(name: str) -> None:
    with pikepdf.open(io.BytesIO(pdf_of(name, "both"))) as pdf:
        descriptors = [
            entry
            for entry in pdf.objects
            if isinstance(entry, pikepdf.Dictionary) and entry.get("/Type") == "/FontDescriptor"
        ]

        assert {"LibertinusSerif-Regular", "LibertinusSerif-Semibold"} == {
            str(entry.FontName).split("+")[1] for entry in descriptors
        }
        assert all("/FontFile3" in entry for entry in descriptors)


def test_sheets_are_us_letter() -> None:
    with pikepdf.open(io.BytesIO(pdf_of("every-section", "both"))) as pdf:
        assert {(612, 792)} == {(int(sheet.mediabox[2]), int(sheet.mediabox[3])) for sheet in pdf.pages}


def test_the_template_takes_nothing_from_outside() -> None:
    source = TEMPLATE.read_text(encoding="utf-8")

    assert not re.search(r"\b(?:import|include|read|image|link|datetime)\b", re.sub(r"//.*", "", source))
