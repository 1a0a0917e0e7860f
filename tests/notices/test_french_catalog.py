from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po
from jinja2.ext import babel_extract

from include import notice_page, unsubscribe_page
from include.notice_page import LOCALE_FOLDER

TEMPLATE_FOLDERS = [notice_page.TEMPLATE_FOLDER, unsubscribe_page.TEMPLATE_FOLDER]

# Domain terms whose French is fixed: where the English sentence has one, the French sentence has the other.
TERMS = {
    r"statements? of account": r"relevés? de compte",
    r"CARM Client Portal": r"portail client de la GCRA",
    r"import/export \(RM\) account": r"compte d’importation ou d’exportation \(RM\)",
    r"business number \(BN9\)": r"numéro d’entreprise \(NE9\)",
    r"BN15 \(RM\)": r"NE15 \(RM\)",
    r"due date": r"date d’échéance",
    r"payments?\b": r"paiements?",
    r"\binterest\b": r"intérêts",
    r"penalties": r"pénalités",
    r"\bimporter\b": r"importateur",
    r"\bexporter\b": r"exportateur",
    r"CARM distribution list": r"liste de distribution de la GCRA",
    r"\(SOA\)": r"\(RC\)",
    r"\(CERS\)": r"\(SCDE\)",
}


def sentences() -> list[str]:
    """Every English sentence of the templates."""
    found: dict[object, None] = {}
    for path in sorted(path for folder in TEMPLATE_FOLDERS for path in folder.iterdir()):
        with path.open("rb") as file:
            for _line, _function, message, _comments in babel_extract(file, ("_",), (), {"trim_blocks": "true"}):
                found[message[0] if isinstance(message, tuple) else message] = None
    return [str(sentence) for sentence in found]


def catalog() -> Iterator[Message]:
    with (LOCALE_FOLDER / "fr" / "LC_MESSAGES" / "notices.po").open("rb") as file:
        yield from (message for message in read_po(file, locale="fr") if message.id)


def french() -> dict[str, str]:
    return {str(message.id): str(message.string) for message in catalog()}


def test_the_templates_have_sentences() -> None:
    assert len(sentences()) > 50


def test_every_sentence_has_french() -> None:
    translated = french()
    assert [sentence for sentence in sentences() if not translated.get(sentence, "").strip()] == []


def test_no_french_sentence_is_marked_as_a_guess() -> None:
    assert [message.id for message in catalog() if message.fuzzy] == []


def test_no_french_sentence_is_left_over() -> None:
    assert set(french()) - set(sentences()) == set()


@pytest.mark.parametrize("english", french())
def test_both_sentences_fill_in_the_same_values(english: str) -> None:
    placeholders = re.compile(r"%\(\w+\)s")
    assert sorted(placeholders.findall(english)) == sorted(placeholders.findall(french()[english]))
    assert not re.search(r"%(?!\(\w+\)s)", english + french()[english])


@pytest.mark.parametrize(("english", "expected"), TERMS.items())
def test_french_uses_the_terms_of_the_field(english: str, expected: str) -> None:
    said = {sentence: text for sentence, text in french().items() if re.search(english, sentence, re.IGNORECASE)}
    assert said, f"no sentence uses {english}"
    assert {sentence: text for sentence, text in said.items() if not re.search(expected, text, re.IGNORECASE)} == {}


def test_french_spells_with_typographic_apostrophes_and_no_break_spaces() -> None:
    for text in french().values():
        assert "'" not in text
        assert not re.search(r"(?<!\u00a0):", text)
        assert not re.search(r"[\s\u00a0][;?!]", text)
