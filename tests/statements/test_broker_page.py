"""What a broker and a provider receive: the same in every format and language, and harmless whatever the names are."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path

import page
import pikepdf
import pytest
from pypdf import PdfReader

from include import broker_pdf, statement_page
from include.broker_page import TEMPLATE_FOLDER, FirmPages, read_texts, template_version
from include.broker_pdf import BrokerPdfs
from include.carm.broker import (
    CSV_COLUMNS,
    BrokerStatement,
    ClientIndex,
    FirmDocument,
    read_broker_statement,
    render_csv,
    render_json,
)
from include.carm.contacts import Contacts
from include.carm.errors import UsageError
from include.carm.statement import guard_formula
from tests.statements.brokers import BROKER, OTHER_BROKER, delegation, secured, tell
from tests.statements.ledger import BN15, DAYS, OTHER_BN15, Month, Row, account, posting
from tests.statements.samples import HOSTILE_NAMES
from tests.statements.test_statement_page import (
    EXACT,
    MONEY_EN,
    MONEY_FR,
    Page,
    _assert_golden,
    _cents,
)
from tests.statements.test_statement_pdf import attributes, children, elements

VERSIONS = {"en": ["en"], "fr": ["fr"], "both": ["en", "fr"]}
CLIENT_NAMES = ("Importations Élan & Fils ltée", "Example Trading Ltd.")


@cache
def pages() -> FirmPages:
    return FirmPages(Contacts.load(), DAYS["issued_on"])


@cache
def pdfs() -> BrokerPdfs:
    return BrokerPdfs(Contacts.load(), DAYS["issued_on"])


@cache
def made(language: str) -> tuple[BrokerStatement, ClientIndex]:
    """A broker of two clients, with everything that its statement can show, and its index."""
    own = account(
        f"{BROKER}RM0001", legal_name="Example Brokers Inc.", language=None if language == "both" else language
    )
    clients = [account(legal_name=CLIENT_NAMES[0], language="fr"), account(OTHER_BN15, legal_name=CLIENT_NAMES[1])]
    late: Row = {"is_late": True, "arrival": "revision", "revision": 2}
    rows = [
        posting(1_234_500_00, transaction_id="T1", customs_duty_cents=1_000_000_00, gst_cents=234_500_00),
        posting(450_00, transaction_id="T2", kind="CAD", due_on=date(2022, 1, 14), customs_duty_cents=450_00),
        posting(77_00, transaction_id="T3", kind="B2", status="under_review", transaction_number=None),
        posting(80_00, transaction_id="O1", status="cancelled", effect_cents=-80_00, **late),
        posting(60_00, transaction_id="O5", effect_cents=0, **late),
        posting(-500_00, transaction_id="P1", kind="PMT", transaction_number=None, bn15=OTHER_BN15),
        posting(20_00, transaction_id="T9", bn15=OTHER_BN15, activity_on=date(2021, 12, 3)),
    ]
    for place, row in enumerate(rows):
        if row["kind"] != "PMT":
            row["broker_bn9"] = BROKER
        if row["transaction_number"]:
            row["transaction_number"] = f"12345{place:09d}"
    carried = [
        secured(80_00, due_on=date(2021, 12, 31)),
        secured(90_00, item_id="O2", due_on=date(2021, 12, 24)),
        secured(400_00, item_id="O3", due_on=date(2021, 8, 31), bn15=OTHER_BN15),
        secured(300_00, item_id="O4", due_on=date(2021, 10, 29), bn15=OTHER_BN15),
        secured(60_00, item_id="O5", broker=OTHER_BROKER),
    ]
    told = tell(Month(rows, [*clients, own]), carried, [delegation(), delegation(OTHER_BN15)])
    assert [] == told.problems
    return told.statements[BROKER], told.indexes[BROKER]


def renamed(document: FirmDocument, name: str) -> FirmDocument:
    """The document with another name in every place of one."""
    if isinstance(document, ClientIndex):
        entries = tuple(entry._replace(legal_name=name) for entry in document.entries)
        return ClientIndex(document.head._replace(legal_name=name), entries)
    parts = tuple(part._replace(client=part.client._replace(legal_name=name)) for part in document.parts)
    return BrokerStatement(document.head._replace(legal_name=name), parts)


def renumbered(statement: BrokerStatement, code: str) -> BrokerStatement:
    """The statement with another number of every transaction."""
    parts = tuple(
        part._replace(
            lines=tuple(line._replace(transaction_id=code, transaction_number=None) for line in part.lines),
            items=tuple(item._replace(item_id=code, transaction_number=None) for item in part.items),
        )
        for part in statement.parts
    )
    return BrokerStatement(statement.head, parts)


# As it was looked at


@pytest.mark.parametrize("language", VERSIONS)
@pytest.mark.parametrize("place", [0, 1], ids=["broker", "index"])
def test_a_document_is_the_one_that_was_looked_at(place: int, language: str) -> None:
    document = made(language)[place]

    _assert_golden(f"{('broker', 'index')[place]}-{language}.html", pages().render(document))


@pytest.mark.parametrize("place", [0, 1], ids=["broker", "index"])
def test_csv_and_json_are_those_that_were_looked_at(place: int) -> None:
    document, name = made("en")[place], ("broker", "index")[place]

    _assert_golden(f"{name}.csv", render_csv(document))
    _assert_golden(f"{name}.json", render_json(document))


def test_rendering_again_gives_the_same_bytes() -> None:
    for document in made("both"):
        assert pages().render(document) == FirmPages(Contacts.load(), DAYS["issued_on"]).render(document)
    statement, _ = made("both")
    assert pdfs().render(statement) == BrokerPdfs(Contacts.load(), DAYS["issued_on"]).render(statement)


# One content


@pytest.mark.parametrize("place", [0, 1], ids=["broker", "index"])
def test_both_languages_show_the_same_amounts_dates_and_numbers(place: int) -> None:
    english, french = (Page(pages().render(made(language)[place])).text for language in ("en", "fr"))

    assert EXACT.findall(english)
    assert EXACT.findall(english) == EXACT.findall(french)
    assert _cents(MONEY_EN.findall(english)) == _cents(MONEY_FR.findall(french))


@pytest.mark.parametrize("place", [0, 1], ids=["broker", "index"])
def test_a_page_in_both_languages_holds_one_whole_version_after_the_other(place: int) -> None:
    versions = re.findall(r"<article .*?</article>\n", pages().render(made("both")[place]).decode(), re.DOTALL)

    single = [
        re.findall(r"<article .*</article>\n", pages().render(made(language)[place]).decode(), re.DOTALL)[0]
        for language in ("en", "fr")
    ]
    assert versions == single


def test_page_csv_and_json_tell_the_same_rows() -> None:
    statement, _ = made("en")
    told = json.loads(render_json(statement))
    rows = list(csv.DictReader(io.StringIO(render_csv(statement).decode(), newline="")))

    moved = [
        (row["bn15"], row["transaction_id"], row["amount_cents"]) for row in rows if row["record"] == "transaction"
    ]
    still_open = [
        (row["bn15"], row["transaction_id"], row["remaining_cents"], row["due_on"])
        for row in rows
        if row["record"] == "open_item"
    ]
    assert moved == [
        (client["bn15"], line["transaction_id"], str(line["amount_cents"]))
        for client in told["accounts"]
        for line in client["transactions"]
    ]
    assert still_open == [
        (client["bn15"], item["item_id"], str(item["remaining_cents"]), item["due_on"] or "")
        for client in told["accounts"]
        for item in client["open_items"]
    ]
    shown = pages().render(statement).decode()
    amounts = Counter(_cents(re.findall(r'class="amount">([^<]+)<', shown)))
    # Each table of lines ends with its total.
    totals = _cents(re.findall(r'class="due"></td><td class="amount">([^<]+)</td></tr>\n</tbody>', shown))
    assert 4 == len(totals)
    assert amounts - Counter(totals) == Counter(int(row[2]) for row in (*moved, *still_open))
    assert sum(int(cents) for *_, cents in moved) == told["debits_cents"] - told["credits_cents"]
    assert sum(int(row[2]) for row in still_open) == told["closing_cents"]


def test_a_row_of_the_accounts_adds_up_from_left_to_right() -> None:
    statement, _ = made("en")
    rows = re.findall(
        r'<tr[^>]*><th scope="row">(.*?)</th>((?:<td>[^<]+</td>){5})</tr>', pages().render(statement).decode()
    )

    assert 3 == len(rows)
    for name, cells in rows:
        *parts, closing = _cents(re.findall(r"<td>([^<]+)</td>", cells))
        assert closing == sum(parts) + sum(_cents(re.findall(r"Change of broker: ([^<]+)<", name)))


def test_a_statement_is_the_same_after_it_was_written_and_read() -> None:
    statement, index = made("both")

    assert statement == read_broker_statement(render_json(statement))
    for other in (render_json(index), b"[]", b"{}", b"no json"):
        with pytest.raises(ValueError, match=r"no statement of a broker|Expecting value"):
            read_broker_statement(other)


class _Text(Page):
    """The text of a page's versions alone."""

    def __init__(self, content: bytes) -> None:
        versions = re.findall(r"<article .*?</article>", content.decode(), re.DOTALL)
        super().__init__("".join(versions).encode())


@pytest.mark.parametrize("language", VERSIONS)
def test_the_pdf_says_word_for_word_what_the_page_says(language: str) -> None:
    statement, _ = made(language)
    texts = []
    for sheet in PdfReader(io.BytesIO(pdfs().render(statement))).pages:
        body, foot = sheet.extract_text().rsplit("\n", 1)
        assert re.fullmatch(rf"{BROKER} · 2021-12 \d / \d", foot)
        texts.append(_without_repeated_heading(body, VERSIONS[language]))

    # In a pile of text, not in the structure, the cell that two rows share comes after the others of the first.
    total = "|".join(read_texts()[each]["section_total"] for each in VERSIONS[language])
    said = re.sub(
        rf"(\d{{4}}-\d\d-\d\d)([^A-Za-z-]+?)(\d{{4}}-\d\d-\d\d)({total})", r"\1\3\2\4", _unspaced("".join(texts))
    )
    assert _unspaced(_Text(pages().render(statement)).text) == said


def _without_repeated_heading(text: str, languages: list[str]) -> str:
    """A sheet's text: where a table goes on upon it, without the heading that stands there again."""
    columns = ("column_transaction", "column_posted", "column_due")
    first = text.split("\n", 1)
    is_repeated = any(first[0].startswith(" ".join(read_texts()[each][name] for name in columns)) for each in languages)
    return first[1] if is_repeated else text


def _unspaced(text: str) -> str:
    return re.sub("[\\s•\u200b]", "", text)


@pytest.mark.parametrize("language", VERSIONS)
def test_an_independent_checker_finds_nothing_against_pdf_ua_1(language: str) -> None:
    report = page.validate_pdf_bytes(pdfs().render(made(language)[0]), profile="ua1")

    assert [] == [(failure.rule_id, failure.message) for failure in report.failures]
    assert report.rules.total > 100


@pytest.mark.parametrize("language", VERSIONS)
def test_the_pdf_is_read_in_the_order_of_the_page(language: str) -> None:
    statement, _ = made(language)
    with pikepdf.open(io.BytesIO(pdfs().render(statement))) as pdf:
        found = list(elements(pdf.Root.StructTreeRoot, str(pdf.Root.Lang)))
        headings = [int(kind[1]) for kind, _, _ in found if re.fullmatch(r"H\d", kind)]
        tables = [list(children(element)) for kind, element, _ in found if kind == "Table"]

        assert all(after - before <= 1 for before, after in pairwise(headings))
        # The sums, their ages, the accounts; then what was posted and what is open of each of the two.
        assert len(VERSIONS[language]) * (3 + 2 * 2) == len(tables)
        for head, body in tables:
            (row,) = children(head)
            columns = len(list(children(row)))
            cells = [list(children(line)) for line in children(body)]
            if columns == 4:
                # The empty due date of the total is the one above it, so that both rows stand on one sheet.
                assert 2 == attributes(cells[-2][2])["/RowSpan"]
                assert 3 == len(cells.pop())
            assert {columns} == {len(line) for line in cells}


def test_a_statement_that_is_too_long_for_a_pdf_says_what_to_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    statement, _ = made("en")
    rows = statement.head.line_count + statement.head.item_count
    monkeypatch.setattr(broker_pdf, "MOST_ROWS", rows)
    assert pdfs().render(statement)
    monkeypatch.setattr(broker_pdf, "MOST_ROWS", rows - 1)

    with pytest.raises(UsageError, match=r"broker 000000034 for 2021-12 .* not made as PDF: ask for html or csv"):
        pdfs().render(statement)


# What it keeps to itself


def test_a_broker_is_told_nothing_else_of_its_clients() -> None:
    """Neither their balances nor their payments, their other debts, their other names, nor where they are."""
    rows = [
        posting(100_00, broker_bn9=BROKER),
        posting(987_65, transaction_id="SECRET", transaction_number="99999000000009"),
        posting(-13_57, kind="PMT", transaction_id="PAID", transaction_number=None),
    ]
    client = account(operating_name="Other Name", province="YT", program_type="dual", hold_reason="appeal")
    told = tell(Month(rows, [client]), (), [delegation()])
    statement, index = told.statements[BROKER], told.indexes[BROKER]

    # The oldest debt is paid first: 13.57 of the secured one, or of the other.
    for content in (*(f(statement) for f in (pages().render, render_csv, render_json)), pages().render(index)):
        text = content.decode()
        hidden = (
            "SECRET",
            "99999000000009",
            "PAID",
            "987.65",
            "98765",
            "Other Name",
            "YT",
            "appeal",
            "running",
            "dual",
        )
        assert [] == [word for word in hidden if word in text]
    assert not {"running_balance_cents", "line_no"} & set(CSV_COLUMNS)


def test_an_index_tells_no_amount() -> None:
    _, index = made("both")

    assert not MONEY_EN.findall(Page(pages().render(index)).text)
    assert b"cents" not in render_json(index) + render_csv(index)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("place", [0, 1], ids=["broker", "index"])
def test_hostile_names_come_out_as_text(place: int, name: str) -> None:
    plain = made("en")[place]
    document = renamed(plain, name)
    page, harmless = Page(pages().render(document)), Page(pages().render(plain))

    shown = re.sub(r"[\x00-\x08\x0b-\x1f]", "\N{REPLACEMENT CHARACTER}", name)
    # The firm once; each client twice on a statement, in the table of all and above its own, and once on an index.
    assert 1 + plain.head.clients * (2 - place) == page.text.count(shown)
    assert Counter(tag for tag, _ in page.elements) == Counter(tag for tag, _ in harmless.elements)
    row, *_ = csv.DictReader(io.StringIO(render_csv(document).decode(), newline=""))
    assert guard_formula(name) == row["legal_name"]


@pytest.mark.parametrize("code", HOSTILE_NAMES)
def test_hostile_numbers_of_transactions_come_out_as_text(code: str) -> None:
    plain, _ = made("en")
    statement = renumbered(plain, code)
    page, harmless = Page(pages().render(statement)), Page(pages().render(plain))

    assert Counter(tag for tag, _ in page.elements) == Counter(tag for tag, _ in harmless.elements)
    rows = list(csv.DictReader(io.StringIO(render_csv(statement).decode(), newline="")))
    assert {guard_formula(code)} == {row["transaction_id"] for row in rows}
    assert {""} == {row["transaction_number"] for row in rows}
    assert statement == read_broker_statement(render_json(statement))
    assert pdfs().render(statement).startswith(b"%PDF-")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_pdf_is_made_whatever_the_names_are(name: str) -> None:
    statement = renamed(made("en")[0], name)
    assert isinstance(statement, BrokerStatement)

    assert pdfs().render(statement).startswith(b"%PDF-")


# Readable


@pytest.mark.parametrize("language", VERSIONS)
@pytest.mark.parametrize("place", [0, 1], ids=["broker", "index"])
def test_headings_tables_and_languages_are_marked(place: int, language: str) -> None:
    found = Page(pages().render(made(language)[place]))

    assert VERSIONS[language] == [attributes["lang"] for attributes in found.all("article")]
    assert VERSIONS[language][0] == found.all("html")[0]["lang"]
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch(r"h[1-6]", tag)]
    assert len(VERSIONS[language]) == levels.count(1)
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(attributes.get("scope") in ("col", "row") for attributes in found.all("th"))
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes.get("aria-labelledby") for attributes in found.all("table", "article")} <= set(ids)
    assert [] == found.all("script", "link", "img", "iframe", "form", "object")


def test_it_brings_no_colour_that_a_clients_statement_has_not() -> None:
    """There a test holds every colour of text against every background."""
    own, common = (
        set(re.findall(r"#[0-9a-f]{3,6}", path.read_text(encoding="utf-8")))
        for path in (TEMPLATE_FOLDER / "broker.css", statement_page.TEMPLATE_FOLDER / "statement.css")
    )

    assert own <= common


def test_it_says_who_is_past_due() -> None:
    statement, _ = made("en")
    text = Page(pages().render(statement)).text

    # 90 by a day, 60 by 25, and by 57 the 300 of which the payment of 500 paid what was left after the 400.
    assert "1 day past due" in text
    assert "57 days past due" in text
    assert "$350.00 past due on 2021-12-25" in text
    assert "Under review, not payable for now" in text


def test_a_credit_under_review_is_told_as_one() -> None:
    told = tell(Month([posting(-50_00, kind="K32", broker_bn9=BROKER, status="under_review")]))
    text = Page(pages().render(told.statements[BROKER])).text

    assert "of which a credit under review, not counted for now" in text
    assert "of which under review" not in text
    assert pdfs().render(told.statements[BROKER]).startswith(b"%PDF-")


# The texts


def test_every_text_has_both_languages_with_the_same_placeholders() -> None:
    texts = read_texts()

    assert texts["en"].keys() == texts["fr"].keys()
    for key, english in texts["en"].items():
        assert sorted(re.findall(r"\{(\w+)\}", english)) == sorted(re.findall(r"\{(\w+)\}", texts["fr"][key])), key


def test_every_text_of_its_own_is_used_and_says_something_else() -> None:
    own = re.findall(r"^(\w+):", (TEMPLATE_FOLDER / "texts.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    used = "\n".join(path.read_text(encoding="utf-8") for path in TEMPLATE_FOLDER.glob("*.*") if path.suffix != ".yaml")
    used += "".join(Path(module.__file__ or "").read_text(encoding="utf-8") for module in (statement_page, broker_pdf))
    used += Path(FirmPages.render.__code__.co_filename).read_text(encoding="utf-8")

    assert [] == [key for key in own if not key.startswith("language_") and not re.search(rf"\b{key}\b", used)]
    common = statement_page.read_texts()["en"]
    assert [] == [key for key in own if common.get(key) == read_texts()["en"][key]]


def test_french_has_no_break_spaces_where_a_line_must_not_break() -> None:
    wrong = [text for text in read_texts()["fr"].values() if re.search(r" [:»]|« |Nº [^\u00a0]|'", text)]

    assert [] == wrong


def test_the_version_of_the_template_is_that_of_both_folders() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", template_version())
    assert template_version() != statement_page.template_version()


def test_a_broker_without_an_account_shows_its_number() -> None:
    told = tell(Month([posting(1_00, broker_bn9=BROKER)], [account(legal_name=None)]))
    text = pages().render(told.statements[BROKER]).decode()

    assert f"<bdi>{BROKER}</bdi>" in text
    assert f"<bdi>{BN15}</bdi>" in text
