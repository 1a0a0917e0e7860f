"""What persons write: which Markdown an issue takes, what it refuses, and that both languages say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.carm.errors import DataError
from include.carm.quarter import Quarter
from include.newsletter_text import (
    TEXT_FOLDER,
    Block,
    Span,
    figures_of,
    parse_text,
    read_newsletter_text,
    require_parity,
)
from tests.notices.samples import Page
from tests.quarterly.issues import Q4, issue, mail, pages

ENGLISH = "## Title\n\nSince 2021-11-09, **4 years**: [here](https://example.org/en).\n\n- one\n- two\n"
FRENCH = "## Titre\n\nDepuis le 2021-11-09, **4 ans** : [ici](https://example.org/fr).\n\n- un\n- deux\n"


def written(folder: Path, english: str = ENGLISH, french: str = FRENCH, name: str = "2021-Q4") -> Path:
    for language, text in (("en", english), ("fr", french)):
        (folder / f"{name}.{language}.md").write_text(text, encoding="utf-8")
    return folder


def test_a_text_becomes_headings_paragraphs_and_lists() -> None:
    blocks = parse_text("## A *b*\n\nOne\ntwo **three**.\n\n### C\n\n1. first\n2. second\n\n- a\n\n- b\n", "t")
    assert blocks == (
        Block("heading", ((Span("A "), Span("b", is_emphasised=True)),), 2),
        Block("paragraph", ((Span("One two "), Span("three", is_strong=True), Span(".")),)),
        Block("heading", ((Span("C"),),), 3),
        Block("steps", ((Span("first"),), (Span("second"),))),
        Block("points", ((Span("a"),), (Span("b"),))),
    )


def test_a_blank_between_two_marks_is_kept() -> None:
    assert [span.text for span in parse_text("## *a* **b**", "t")[0].lines[0]] == ["a", " ", "b"]


@pytest.mark.parametrize(
    "link", ["https://example.org/a?b=1&c=2", "http://example.org", "mailto:a.b@example.org", "mailto:a@b.ca?subject=x"]
)
def test_a_link_leads_to_a_web_page_or_a_mailbox(link: str) -> None:
    assert parse_text(f"## [there]({link})", "t")[0].lines[0][0].href == link


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        "java&#115;cript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://example.org",
        "//example.org",
        "elsewhere.html",
        "#",
        "https://bank.example@evil.example/",
        "https://",
        "mailto:",
        "mailto:a@example.org?bcc=b@example.org",
        "mailto:a@example.org,b@example.org",
        "mailto:a@example.org%0aBcc:b@example.org",
        "",
    ],
)
def test_any_other_link_is_refused_with_its_line(link: str) -> None:
    with pytest.raises(DataError, match=r"^t\.md, line 3: a link leads neither to a web page nor to a mailbox"):
        parse_text(f"## Title\n\n[x](<{link}>)", "t.md")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("# Title", "line 1: a heading of level 1 cannot stand here"),
        ("## a\n\n#### b", "line 3: a heading of level 4 cannot stand here"),
        ("### a", "line 1: a heading of level 3 cannot stand here"),
        ("Text first", "does not begin with a heading"),
        ("", "does not begin with a heading"),
        ("## a\n\n![a picture](https://example.org/a.png)", r"line 3: an issue cannot show this \(image\)"),
        ("## a\n\n```\ncode\n```", r"line 3: an issue cannot show this \(fence\)"),
        ("## a\n\nsome `code`", r"line 3: an issue cannot show this \(code inline\)"),
        ("## a\n\n> quoted", r"line 3: an issue cannot show this \(blockquote\)"),
        ("## a\n\n---", r"line 3: an issue cannot show this \(hr\)"),
        ("## a\n\n- b\n  - c", r"line 4: an issue cannot show this \(list in a list\)"),
        ("## a\n\n- b\n\n  c", "line 3: an item of this list has no text, or more than one paragraph"),
        ("## a\n\n-\n- b", "line 3: an item of this list has no text"),
        ("## a\n\n3. b", r"line 3: an issue cannot show this \(ordered list\)"),
        ("##", "line 1: there is no text"),
    ],
)
def test_what_not_every_part_can_show_is_refused_with_its_line(source: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        parse_text(source, "t.md")


RAW_HTML = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    "<style>*{display:none}</style>",
    "</main></body><h1>x</h1>",
    "<!-- hidden -->",
    "&lt;b&gt; {{ 7 * 7 }} {% raw %} %(number)s",
]


@pytest.mark.parametrize("html", RAW_HTML)
@pytest.mark.parametrize("build", [issue, mail])
def test_raw_html_comes_out_as_text(build: object, html: str) -> None:
    def page_with(source: str) -> Page:
        blocks = parse_text(f"## Title\n\n{source}", "t")
        notice = build(text={"en": blocks, "fr": blocks})  # type: ignore[operator]
        assert source.replace("&lt;", "<").replace("&gt;", ">") in " ".join(
            pages().render(notice, "en").text.decode().split()
        )
        return Page.read(pages().render(notice, "en").html.replace(b"<rect x", b"<br x").replace(b"/>", b">"))

    plain, hostile = page_with("nothing"), page_with(html)
    assert plain.tags == hostile.tags
    assert html.replace("&lt;", "<").replace("&gt;", ">") in " ".join(hostile.words)


@given(st.text(max_size=200))
def test_any_text_is_read_on_one_line_or_refused(source: str) -> None:
    try:
        blocks = parse_text(f"## a\n\n{source}", "t.md")
    except DataError:
        return
    for block in blocks:
        for line in block.lines:
            text = "".join(span.text for span in line)
            assert text.splitlines() == [text]
            assert all(not span.href or span.href.startswith(("http://", "https://", "mailto:")) for span in line)


# --- Which file, and both languages ------------------------------------------------------------------------------


def test_an_issue_without_a_text_of_its_own_has_the_default(tmp_path: Path) -> None:
    written(tmp_path, name="default")
    assert read_newsletter_text(Q4, tmp_path).name == "default"
    written(tmp_path)
    assert read_newsletter_text(Q4, tmp_path).name == "2021-Q4"
    assert read_newsletter_text(Quarter(2022, 1), tmp_path).name == "default"


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_text_without_its_other_language_is_refused(tmp_path: Path, language: str) -> None:
    (written(tmp_path) / f"2021-Q4.{language}.md").unlink()
    written(tmp_path, name="default")
    with pytest.raises(DataError, match=rf"^2021-Q4\.{language}\.md is missing: an issue has both languages"):
        read_newsletter_text(Q4, tmp_path)


def test_a_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (written(tmp_path) / "2021-Q4.fr.md").write_bytes("## Été".encode("latin-1"))
    with pytest.raises(DataError, match=r"^2021-Q4\.fr\.md is not UTF-8"):
        read_newsletter_text(Q4, tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("- un\n- deux\n", "- un\n- deux\n\nEncore.\n", "the English text has 3 blocks and the French 4"),
        ("- un\n- deux\n", "## Encore\n", "the English text has 1 headings and the French 2"),
        ("[ici](https://example.org/fr)", "ici", "the English text has 1 links and the French 0"),
        (
            "//example.org/fr",
            "//example.com/fr",
            "block 2 lead to example.org in English and to example.com",
        ),
        ("https://example.org/fr", "mailto:a@example.org", "to example.org in English and to mailto:a@example.org"),
        ("- un\n- deux\n", "- un\n", "block 3 is a list of 2 points in English and a list of 1 points in French"),
        ("- un\n- deux\n", "1. un\n2. deux\n", "block 3 is a list of 2 points in English and a list of 2 steps"),
        ("2021-11-09", "2021-11-10", "other figures, 20211109 only in English and 20211110 only in French"),
        ("**4 ans**", "**quatre ans**", "other figures, 4 only in English:"),
    ],
)
def test_two_texts_that_do_not_say_the_same_are_refused(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in FRENCH
    with pytest.raises(DataError, match=rf"^2021-Q4: .*{said}"):
        read_newsletter_text(Q4, written(tmp_path, french=FRENCH.replace(before, after)))


@pytest.mark.parametrize(
    ("english", "french", "are_alike"),
    [
        ("https://example.org/en", "http://www.example.org/fr", True),
        ("https://carm.cbsa-asfc.gc.ca/", "https://gcra.cbsa-asfc.gc.ca/", True),
        ("https://www.cbsa-asfc.gc.ca/", "https://gcra.cbsa-asfc.gc.ca/", True),
        ("https://www.cbsa-asfc.gc.ca/", "https://notcbsa-asfc.gc.ca/", False),
        ("https://example.org/", "https://fr.example.org/", False),
        ("mailto:a@example.org", "mailto:a@example.org", True),
        ("mailto:a@example.org", "mailto:b@example.org", False),
        ("mailto:a@example.org?subject=x", "mailto:a@example.org", False),
    ],
)
def test_links_lead_to_the_same_mailbox_or_host(english: str, french: str, are_alike: bool) -> None:
    texts = {
        "en": parse_text(f"## A\n\n[x]({english})\n", "en.md"),
        "fr": parse_text(f"## A\n\n[x]({french})\n", "fr.md"),
    }
    if are_alike:
        require_parity(texts, "2021-Q4")
        return
    with pytest.raises(DataError, match="the links of block 2 lead to"):
        require_parity(texts, "2021-Q4")


@pytest.mark.parametrize(
    "text",
    ["https://unsubscribe.invalid/u/", "https://unsub**scribe.invalid/u/**", "[x](https://unsubscribe.invalid/u/)"],
)
def test_no_text_holds_what_becomes_the_link_of_its_reader(text: str) -> None:
    with pytest.raises(DataError, match="line 3"):
        parse_text(f"## A\n\n{text}\n", "en.md")


def test_a_number_is_the_same_however_a_language_writes_it(tmp_path: Path) -> None:
    english, french = "## 9,127 at 61.5 %, 1-800-959-5525\n", "## 9\u00a0127 à 61,5\u00a0%, 1-800-959-5525\n"
    blocks = read_newsletter_text(Q4, written(tmp_path, english, french)).blocks
    assert figures_of(blocks["en"]) == ["9127", "615", "18009595525"] == figures_of(blocks["fr"])


def test_every_text_that_is_kept_can_be_an_issue() -> None:
    names = {path.name.partition(".")[0] for path in TEXT_FOLDER.glob("*.md")}
    assert {"default", "2021-Q4"} <= names
    for name in names - {"default"}:
        assert read_newsletter_text(Quarter.parse(name)).name == name
    assert read_newsletter_text(Quarter(9998, 4)).name == "default"


def test_french_texts_spell_with_typographic_apostrophes_and_no_break_spaces() -> None:
    for path in TEXT_FOLDER.glob("*.fr.md"):
        text = path.read_text(encoding="utf-8").replace("mailto:", "").replace("https:", "")
        assert "'" not in text
        assert "\n:" not in text.replace("\u00a0", " ")
        assert [line for line in text.splitlines() if " :" in line or " ;" in line or " ?" in line] == []
