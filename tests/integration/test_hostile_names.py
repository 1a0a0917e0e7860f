"""A source whose every text is hostile, through a whole live month: each comes out as the text that it is, and no more.

Every hostile account has a harmless twin with the same postings. What may differ between the documents of the two is
the text; the elements, the attributes, the structure and the numbers are those of the twin.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from zipfile import ZipFile

import page
import pytest
from pypdf import PdfReader

from include.carm.business_number import bn9_with_check_digit
from include.carm.errors import DataError
from include.carm.period import Period
from include.load import load_folder
from include.statement_pdf import GLYPHS
from include.statement_reader import read_statement
from include.workspace import Workspace
from tests.pipeline import extract_only, new_workspace, read, run_month
from tests.source.folders import csv_text, write_folder

PERIOD = Period.parse("2021-12")
LANGUAGES = ("en", "fr", "")
HARMLESS = "Example"

TEXTS = {
    "script": "<script>alert(1)</script>",
    "attribute": "\"><img src=x onerror=alert(1)> ' onload='x",
    "end of title and style": "</title></style><h1>x</h1><!-- &amp; &lt; -->",
    "Jinja": "{{7*7}}{% raw %}{% for x in y %}{# #}",
    "format": "[[bn15]] {bn15} %(bn15)s %s %n 100 %",
    "command": "=cmd|' /C calc'!A0",
    "plus": "+1+1",
    "minus": "-1",
    "at": "@SUM(1)",
    "wide formula": "＝1+1",
    "formula after a tab": "\t=1",
    "formula after a line": "\n=1",
    "marked formula": "'=1",
    "override": "\N{RIGHT-TO-LEFT OVERRIDE}detaerc ylwen\N{RIGHT-TO-LEFT MARK}",
    "ends of isolates": "\N{POP DIRECTIONAL ISOLATE}\N{RIGHT-TO-LEFT OVERRIDE}elba\N{RIGHT-TO-LEFT ISOLATE}yap",
    "Hebrew": "חברה & sons « ltée »",
    "Arabic": "شركة ١٢٣",
    "long word": "W" * 300,
    "long text": ("word " * 60).strip(),
    "emoji": "👩\N{ZERO WIDTH JOINER}🚢 Fret 🇨🇦 ❤\N{VARIATION SELECTOR-16}",
    "combining": "Z\u0335\u0301\u0489alg\u0308o e\u0301 1\u03010\u03002\u0308",
    "terminal": "bell\x07\x1b[2J\x7f\x85",
    "lines": "line\nbreak\r\nand\ttab\u2028and\u2029more",
    "Typst code": '#let x = 1; #import "x" #emph[a] #sys.inputs',
    "Typst text": "*bold* _slanted_ `code` = Heading / x: y - + 1. ~ -- ---",
    "Typst formula": "$x^2$ $ sum $",
    "Typst reference": "@ref <label> // comment /* comment */ https://example.org",
    "backslash": 'back\\slash \\u{1F600} \\N \\" \\\\',
    "quotes": "\"'`´„“«»",
    "null of a database": "\\N",
    "null": "NULL",
    "nan": "nan",
    "byte order mark": "\ufeffbom",
    "not characters": "\ufffe\uffff\U0010ffff\ue000",
    "tags": "x\U000e0041\U000e0042y\N{ZERO WIDTH SPACE}z\N{SOFT HYPHEN}",
}
NUL = "nul\0nul"
"""No file can bring it in, an SQLite database can."""
EVERY_TEXT = {**TEXTS, "nul": NUL}


def bn15_of(number: int) -> str:
    return f"{bn9_with_check_digit(f'{number:08d}')}RM0001"


ACCOUNTS = {name: bn15_of(number) for number, name in enumerate(EVERY_TEXT, start=10)}
LANGUAGE = {name: LANGUAGES[number % 3] for number, name in enumerate(EVERY_TEXT)}
TWINS = {language: bn15_of(number) for number, language in enumerate(LANGUAGES, start=1)}
SPELLED = [pytest.param(name, id=name.replace(" ", "-")) for name in EVERY_TEXT]


def account(bn15: str, text: str, language: str) -> dict[str, str]:
    names = {"legal_name": text, "operating_name": text}
    return {"bn15": bn15, **names, "language": language, "email": f"{bn15}@example.org", "opened_on": "2015-01-01"}


def postings(bn15: str, text: str) -> list[dict[str, str]]:
    """One posting that shows its number, and one that shows its id for want of a number."""
    common = {"bn15": bn15, "broker_bn9": text}
    return [
        {**common, "transaction_id": f"{text}{bn15}", "transaction_number": text},
        {**common, "transaction_id": f"{text} {bn15}", "transaction_number": "", "posted_on": "2021-12-03"},
    ]


@dataclass
class World:
    """What the live month left behind."""

    ws: Workspace

    def document(self, bn15: str, format: str) -> bytes:
        return read_statement(self.ws, PERIOD, bn15, format)

    def twin(self, name: str, format: str) -> bytes:
        return self.document(TWINS[LANGUAGE[name]], format)

    @cached_property
    def notices(self) -> dict[str, dict[str, bytes]]:
        """Both parts of each notice of a statement, by the account that it names."""
        found: dict[str, dict[str, bytes]] = {}
        for pack in sorted((self.ws.documents("lake") / "notices" / f"period={PERIOD}").glob("statement-*.zip")):
            with ZipFile(pack) as archive:
                contents = {name: archive.read(name) for name in archive.namelist() if name != "SHA256SUMS"}
            for name, content in contents.items():
                if name.endswith(".txt"):
                    (bn15,) = set(re.findall(r"\d{9}RM\d{4}", content.decode()))
                    found[bn15] = {"text": content, "html": contents[name.replace(".txt", ".html")]}
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("hostile")
    ws = new_workspace(folder / "data")
    texts = {**dict.fromkeys(TWINS.values(), HARMLESS), **{ACCOUNTS[name]: text for name, text in TEXTS.items()}}
    texts[ACCOUNTS["nul"]] = "NUL comes here"
    languages = {bn15: language for language, bn15 in TWINS.items()}
    languages |= {ACCOUNTS[name]: language for name, language in LANGUAGE.items()}
    rows = [row for bn15, text in texts.items() for row in postings(bn15, text)]
    write_folder(
        folder / "csv",
        accounts=csv_text("accounts", *(account(bn15, text, languages[bn15]) for bn15, text in texts.items())),
        transactions=csv_text("transactions", *rows),
    )
    load_folder(ws.source, folder / "csv")
    with sqlite3.connect(ws.data / "source.db") as source:
        for table, columns in (
            ("accounts", ("legal_name", "operating_name")),
            ("transactions", ("transaction_id", "transaction_number", "broker_bn9")),
        ):
            changes = ", ".join(f"{name} = replace({name}, 'NUL comes here', ?)" for name in columns)
            source.execute(f"UPDATE {table} SET {changes} WHERE bn15 = ?", (*[NUL] * len(columns), ACCOUNTS["nul"]))
    summary = run_month(ws, str(PERIOD), effects="live")
    assert (summary["result"], summary["quarantine"]) == ("done", [])
    assert summary["statements"]["statements"] == len(TEXTS) + 1 + len(TWINS)
    return World(ws)


# What is shown in place of a character that cannot be, as docs/adr/0041, 0044 and 0050 say.

MARK = "\N{REPLACEMENT CHARACTER}"
TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def on_page(text: str) -> str:
    """A name on the page: a mark for a control character, all else as it is."""
    return "".join(MARK if unicodedata.category(c) == "Cc" and c not in "\t\n" else c for c in text)


def amid_words(text: str) -> str:
    """A code on the page: a mark, too, for what turns the direction of the words after it."""
    return "".join(MARK if c in TURNS else c for c in on_page(text))


def on_sheet(text: str) -> str:
    """What the PDF shows: an accent in its letter, nothing for what nobody sees, a mark for what has no glyph.

    Without blanks.
    """
    seen = (
        c
        for c in unicodedata.normalize("NFC", text)
        if unicodedata.category(c) != "Cf" and not "\ufe00" <= c <= "\ufe0f"
    )
    return unspaced("".join(c if c in "\t\n" or re.match(f"[{GLYPHS}]", c) else MARK for c in seen))


def unspaced(text: str) -> str:
    return re.sub("[\\s\u200b]", "", text)


class Parsed(HTMLParser):
    """The elements of a page with their attributes, the text of each, and what stands outside of any ``bdi``."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.texts: list[tuple[str, str]] = []
        self.outside = ""
        self._open: list[str] = []
        self.feed(content.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.texts.append((self._open[-1], data))
            if "bdi" not in self._open:
                self.outside += data

    def within(self, tag: str) -> list[str]:
        return [text for own, text in self.texts if own == tag]


@pytest.mark.parametrize("name", SPELLED)
def test_a_page_has_the_elements_of_its_twin_and_the_text_as_text(world: World, name: str) -> None:
    text = EVERY_TEXT[name]
    found, twin = Parsed(world.document(ACCOUNTS[name], "html")), Parsed(world.twin(name, "html"))

    assert found.elements == twin.elements
    versions = 1 if LANGUAGE[name] else 2
    assert found.within("bdi") == [on_page(text)] * 2 * versions
    assert found.outside.count(amid_words(text)) >= 4 * versions
    # Word for word the twin's, but for the text and the number of the account.
    expected = twin.outside.replace(HARMLESS, amid_words(text)).replace(TWINS[LANGUAGE[name]], ACCOUNTS[name])
    assert found.outside == expected


@pytest.mark.parametrize("name", SPELLED)
def test_no_text_turns_the_words_around_it(world: World, name: str) -> None:
    assert not set(TURNS) & set(Parsed(world.document(ACCOUNTS[name], "html")).outside)
    for part in world.notices[ACCOUNTS[name]].values():
        assert not set(TURNS) & set(part.decode())


def words_of_pdf(content: bytes) -> str:
    """The words of the sheets without their feet, and without the heading of a table that goes on upon the next."""
    texts = [sheet.extract_text().rsplit("\n", 1)[0] for sheet in PdfReader(io.BytesIO(content)).pages]
    return unspaced("".join(re.sub(r"^Transaction (?:Posted|Inscription) .*\n", "", text) for text in texts))


@pytest.mark.parametrize("name", SPELLED)
def test_a_pdf_says_the_text_and_is_as_well_formed_as_its_twin(world: World, name: str) -> None:
    text, content = EVERY_TEXT[name], world.document(ACCOUNTS[name], "pdf")
    report = page.validate_pdf_bytes(content, profile="ua1")
    assert [] == [(failure.rule_id, failure.message) for failure in report.failures]

    words, twin = words_of_pdf(content), words_of_pdf(world.twin(name, "pdf"))
    # Two names, and two lines that each name a number and a broker, and the text twice.
    versions = 1 if LANGUAGE[name] else 2
    place = twin.replace(TWINS[LANGUAGE[name]], ACCOUNTS[name])
    assert place.count(HARMLESS) == 6 * versions
    shown = {re.escape(on_sheet(way(text))) for way in (on_page, amid_words)}
    assert re.fullmatch(re.escape(place).replace(HARMLESS, f"(?:{'|'.join(shown)})"), words)


FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def as_written(cell: str) -> str:
    """A cell without the mark that keeps a spreadsheet from calculating it."""
    return cell[1:] if re.match("'+[=+\\-@\t\r\n＝＋－＠]", cell) else cell


@pytest.mark.parametrize("name", SPELLED)
def test_a_csv_reads_back_as_it_was_and_begins_no_formula(world: World, name: str) -> None:
    text, bn15 = EVERY_TEXT[name], ACCOUNTS[name]
    rows, twins = (
        list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        for content in (world.document(bn15, "csv"), world.twin(name, "csv"))
    )
    columns = ("transaction_id", "transaction_number", "broker_bn9")
    expected = [(f"{text}{bn15}", text, text), (f"{text} {bn15}", "", text)]

    assert [tuple(as_written(row[column]) for column in columns) for row in rows] == expected
    assert not [cell for row in rows for cell in (row[column] for column in columns) if cell.startswith(FORMULAS)]
    assert all(row.keys() == twin.keys() for row, twin in zip(rows, twins, strict=True))


@pytest.mark.parametrize("name", SPELLED)
def test_json_and_the_lake_hold_the_text_as_it_was(world: World, name: str) -> None:
    text, bn15 = EVERY_TEXT[name], ACCOUNTS[name]
    told = json.loads(world.document(bn15, "json"))

    assert (told["legal_name"], told["operating_name"]) == (text, text)
    assert [line["broker_bn9"] for line in told["lines"]] == [text, text]
    assert [line["transaction_number"] for line in told["lines"]] == [text, None]
    accounts = read(world.ws, "accounts", str(PERIOD)).set_index("bn15")
    assert accounts.loc[bn15, "legal_name"] == text


def in_a_notice(text: str) -> str:
    """A name in a notice: one line, without what nobody sees."""
    kept = (c for c in text if unicodedata.category(c) != "Cf")
    return " ".join("".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in kept).split())


@pytest.mark.parametrize("name", SPELLED)
def test_a_notice_has_the_elements_of_its_twin_and_the_name_as_text(world: World, name: str) -> None:
    bn15, twin = ACCOUNTS[name], TWINS[LANGUAGE[name]]
    found, expected = world.notices[bn15], world.notices[twin]
    own, others = Parsed(found["html"]), Parsed(expected["html"])

    assert own.elements == others.elements
    shown = in_a_notice(EVERY_TEXT[name])
    assert [text for text in own.within("dd") if text != bn15] == [
        shown if text == HARMLESS else text for text in others.within("dd") if text != twin
    ]
    words = " ".join(found["text"].decode().split()).replace(bn15, twin)
    assert words.replace(f" {shown} ", f" {HARMLESS} ") == " ".join(expected["text"].decode().split())


HOSTILE_ADDRESSES = (
    "<script>@example.org",
    "a@example.org\r\nBcc: b@example.org",
    "=cmd@example.org,b@example.org",
    "\N{RIGHT-TO-LEFT OVERRIDE}",
    "{{7*7}}",
)


def test_a_hostile_address_is_told_by_its_reason_and_stands_in_no_document(tmp_path: Path) -> None:
    ws = new_workspace(tmp_path / "data")
    numbers = [bn15_of(number) for number in range(1, len(HOSTILE_ADDRESSES) + 1)]
    accounts = [{"bn15": bn15, "email": email} for bn15, email in zip(numbers, HOSTILE_ADDRESSES, strict=True)]
    rows = [{"bn15": bn15, "transaction_id": bn15} for bn15 in numbers]
    write_folder(
        tmp_path / "csv", accounts=csv_text("accounts", *accounts), transactions=csv_text("transactions", *rows)
    )
    load_folder(ws.source, tmp_path / "csv")
    summary = run_month(ws, str(PERIOD), effects="live")

    assert (summary["statements"]["statements"], summary["notices"]) == (len(numbers), {})
    told = (ws.documents("lake") / "notices" / f"period={PERIOD}" / "unreachable.csv").read_text(encoding="utf-8")
    assert [(row["bn15"], row["reason"]) for row in csv.DictReader(io.StringIO(told))] == [
        (bn15, "unusable_address") for bn15 in numbers
    ]


@pytest.mark.parametrize("text", [b"half\xed\xa0\x80surrogate", b"caf\xe9"], ids=["surrogate", "latin-1"])
def test_what_is_no_text_stops_the_month_and_is_quoted_nowhere(text: bytes, tmp_path: Path) -> None:
    ws = new_workspace(tmp_path / "data")
    load_folder(
        ws.source,
        write_folder(tmp_path / "csv", accounts=csv_text("accounts", {}), transactions=csv_text("transactions", {})),
    )
    with sqlite3.connect(ws.data / "source.db") as source:
        source.execute("UPDATE accounts SET legal_name = CAST(? AS TEXT)", (text,))

    with pytest.raises(DataError, match="has text in column legal_name that is not UTF-8") as caught:
        extract_only(ws, str(PERIOD))
    error: BaseException | None = caught.value
    while error is not None:
        assert "half" not in str(error)
        assert "caf" not in str(error)
        error = error.__cause__ or error.__context__
