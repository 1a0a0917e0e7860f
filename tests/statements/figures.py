"""A small reader of statements that knows nothing of their templates: the figures in the words that a person sees."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

AMOUNTS = {
    "en": re.compile(r"(?<![\d.,])\$?(?P<digits>\d{1,3}(?:,\d{3})*\.\d\d)(?![\d.,]\d)"),
    "fr": re.compile("(?<![\\d.,])(?P<digits>\\d{1,3}(?:\u00a0\\d{3})*,\\d\\d)(?![\\d.,]\\d)(?:\u00a0\\$)?"),
}
DAY = re.compile(r"(?<!\d)\d{4}-\d\d-\d\d(?!\d)")
NUMBER = re.compile(r"(?<!\d)(?:\d{9}(?:RM\d{4})?|\d{14})(?![\dR])|\bT\d{4}\b")


@dataclass(frozen=True)
class Figures:
    """What a text says in figures; each as often as it stands there. A credit, in brackets, is below zero."""

    cents: Counter[int]
    days: Counter[str]
    numbers: Counter[str]


def cents_in(text: str, language: str) -> list[int]:
    found = []
    for amount in AMOUNTS[language].finditer(text):
        cents = int(re.sub(r"\D", "", amount["digits"]))
        around = text[max(amount.start() - 1, 0) : amount.start()] + text[amount.end() : amount.end() + 1]
        found.append(-cents if around == "()" else cents)
    return found


def figures_in(text: str, language: str) -> Figures:
    return Figures(Counter(cents_in(text, language)), Counter(DAY.findall(text)), Counter(NUMBER.findall(text)))


@dataclass
class Version:
    """One language of a page: all its words, and the cells of its tables by the class of the table, row by row."""

    lang: str
    words: str = ""
    rows: dict[str, list[list[str]]] = field(default_factory=dict)
    terms: list[str] = field(default_factory=list)

    @property
    def figures(self) -> Figures:
        return figures_in(self.words, self.lang)


class Page(HTMLParser):
    """The versions of a page as a person reads them."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.versions: list[Version] = []
        self._open: list[str] = []
        self._table = ""
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "article":
            self.versions.append(Version(str(given["lang"])))
        elif tag == "table":
            self._table = str(given["class"])
        elif tag == "tr":
            self.versions[-1].rows.setdefault(self._table, []).append([])
        elif tag in ("td", "th"):
            self.versions[-1].rows[self._table][-1].append("")
        elif tag == "dd":
            self.versions[-1].terms.append("")
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "article" not in self._open:
            return
        version = self.versions[-1]
        # A word never goes on in the next element.
        version.words += f"{data}\n"
        if {"td", "th"} & set(self._open):
            version.rows[self._table][-1][-1] += f"{data}\n"
        if "dd" in self._open:
            version.terms[-1] += data
