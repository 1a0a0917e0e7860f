"""The written part of a newsletter: Markdown files that people edit, one a language, read into blocks that are checked.

``include/newsletter/2021-Q4.en.md`` and ``2021-Q4.fr.md`` are the text of an issue, ``default.en.md`` and
``default.fr.md`` of every issue without one. The reader is markdown-it-py. What it finds becomes :class:`Block` and
:class:`Span`, so that HTML, plain text and print are three renderings of one thing, and nothing of the source reaches a
page unescaped. What an issue cannot show alike in all three (an image, a table, a list in a list) is refused by line.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from include.carm.errors import DataError
from include.carm.quarter import Quarter
from include.mail import UNSUBSCRIBE_MARK
from include.notice_page import safe_link

TEXT_FOLDER = Path(__file__).parent / "newsletter"
TEXT_LANGUAGES = ("en", "fr")

HEADING_LEVELS = (2, 3)
"""A text has the second and third level: the first is the title of the issue."""

_LISTS = {"bullet_list": "points", "ordered_list": "steps"}
# The figures of a text whatever its language: the marks that part thousands and decimals are not of the number.
_FIGURE = re.compile(r"[0-9]+(?:[.,:\u00a0\u202f-][0-9]+)*")
_MAILTO = re.compile(
    r"[A-Za-z0-9.!#$&'*+/=?^_`{|}~%-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?:\?subject=[A-Za-z0-9%._~-]*)?"
)


@dataclass(frozen=True)
class Span:
    """A stretch of text that is set alike; ``href`` is where it leads, if anywhere."""

    text: str
    is_strong: bool = False
    is_emphasised: bool = False
    href: str | None = None


Line = tuple[Span, ...]


@dataclass(frozen=True)
class Block:
    """A heading, a paragraph (``lines`` has one), a list of points or of steps (``lines`` has one an item)."""

    kind: str
    lines: tuple[Line, ...]
    level: int = 0


@dataclass(frozen=True)
class NewsletterText:
    """The text of an issue by language, and the name of its files: a quarter, or ``default``."""

    name: str
    blocks: dict[str, tuple[Block, ...]]


def read_newsletter_text(quarter: Quarter, folder: Path = TEXT_FOLDER) -> NewsletterText:
    """The text of a quarter's issue in both languages, or else the default one.

    Raises ``DataError`` that names the file, and the line where there is one: for a text without its other language,
    for Markdown that an issue cannot show, and for two texts that do not say the same (see :func:`require_parity`).
    """
    name = str(quarter)
    files = {language: folder / f"{name}.{language}.md" for language in TEXT_LANGUAGES}
    if not any(path.exists() for path in files.values()):
        name = "default"
        files = {language: folder / f"{name}.{language}.md" for language in TEXT_LANGUAGES}
    for path in files.values():
        if not path.exists():
            raise DataError(f"{path.name} is missing: an issue has both languages, so write it beside the other one")
    blocks = {language: parse_text(_read(path), path.name) for language, path in files.items()}
    require_parity(blocks, name)
    return NewsletterText(name, blocks)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path.name} is not UTF-8: save it as UTF-8") from None


@cache
def _reader() -> MarkdownIt:
    """CommonMark without HTML, which comes out as the text that it is.

    Every address passes here: one that may not stand in an issue is refused with its line, where the library would
    leave the brackets in the text.
    """
    reader = MarkdownIt("commonmark", {"html": False})
    reader.validateLink = lambda url: True  # type: ignore[method-assign]
    return reader


def parse_text(source: str, name: str) -> tuple[Block, ...]:
    """Read Markdown into blocks; raises ``DataError`` with ``name`` and line for what an issue cannot show."""
    tokens, blocks = _reader().parse(source), list[Block]()
    place = 0
    while place < len(tokens):
        kind = tokens[place].type.removesuffix("_open")
        end = _end_of(tokens, place)
        inside = tokens[place + 1 : end]
        if kind == "heading":
            blocks.append(Block("heading", (_line(inside[0], name),), int(tokens[place].tag[1])))
            _require_order(blocks, name, tokens[place])
        elif kind == "paragraph":
            blocks.append(Block("paragraph", (_line(inside[0], name),)))
        elif kind in _LISTS and int(tokens[place].attrGet("start") or 1) == 1:
            blocks.append(Block(_LISTS[kind], tuple(_items(inside, name))))
        else:
            raise _unusable(name, tokens[place], kind)
        place = end + 1
    if not blocks or blocks[0].kind != "heading":
        raise DataError(f"{name} does not begin with a heading: write ## and a title into its first line")
    return tuple(blocks)


def _end_of(tokens: Sequence[Token], place: int) -> int:
    depth = 0
    for end in range(place, len(tokens)):
        depth += tokens[end].nesting
        if depth == 0:
            return end
    raise AssertionError("the reader closes what it opens")


def _items(tokens: Sequence[Token], name: str) -> Iterator[Line]:
    for token in tokens:
        if token.type == "inline":
            yield _line(token, name)
        elif token.type.removesuffix("_open").removesuffix("_close") not in ("list_item", "paragraph"):
            raise _unusable(name, token, "list in a list")
    items = sum(token.type == "list_item_open" for token in tokens)
    if items != sum(token.type == "inline" for token in tokens):
        raise DataError(
            f"{name}, line {_line_number(tokens[0])}: an item of this list has no text, or more than one paragraph: "
            "write one paragraph an item"
        )


def _require_order(blocks: Sequence[Block], name: str, token: Token) -> None:
    """A reader who goes from heading to heading must miss no level."""
    level = blocks[-1].level
    if level not in HEADING_LEVELS or (level == 3 and not any(block.level == 2 for block in blocks)):
        raise DataError(
            f"{name}, line {_line_number(token)}: a heading of level {level} cannot stand here: begin with ## and use "
            "### below it"
        )


def _line(token: Token, name: str) -> Line:
    spans: list[Span] = []
    strong = emphasised = 0
    href: str | None = None
    for child in token.children or []:
        if child.type in ("text", "text_special", "softbreak", "hardbreak"):
            text = " " if child.type.endswith("break") else child.content
            if text:
                spans.append(Span(text, strong > 0, emphasised > 0, href))
        elif child.type.startswith("strong_"):
            strong += child.nesting
        elif child.type.startswith("em_"):
            emphasised += child.nesting
        elif child.type == "link_open":
            href = _usable_link(str(child.attrGet("href") or ""), name, token)
        elif child.type == "link_close":
            href = None
        else:
            raise _unusable(name, token, child.type)
    return _joined(spans, name, token)


def _joined(spans: Sequence[Span], name: str, token: Token) -> Line:
    """Spans of printable text, neighbours that are set alike as one."""
    joined: list[Span] = []
    for span in spans:
        text = _printable(span.text)
        alike = joined and (joined[-1].is_strong, joined[-1].is_emphasised, joined[-1].href) == (
            span.is_strong,
            span.is_emphasised,
            span.href,
        )
        if alike:
            joined[-1] = Span(joined[-1].text + text, span.is_strong, span.is_emphasised, span.href)
        else:
            joined.append(Span(text, span.is_strong, span.is_emphasised, span.href))
    if UNSUBSCRIBE_MARK in "".join(span.text for span in joined):
        # It becomes the reader's own link wherever it stands, and here strangers would be given that.
        raise DataError(f"{name}, line {_line_number(token)}: {UNSUBSCRIBE_MARK} may not stand in a text: take it out")
    if not "".join(span.text for span in joined).strip():
        raise DataError(f"{name}, line {_line_number(token)}: there is no text: write some, or take the mark out")
    return tuple(joined)


def _printable(text: str) -> str:
    """A text on one line, without what cannot be seen. Blanks at its edges part the words of neighbouring spans, and a
    no-break space is what French writes before a colon: both stay."""
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if category not in ("Cf", "Cs"):
            kept.append(" " if category in ("Cc", "Zl", "Zp") else character)
    return re.sub(" {2,}", " ", "".join(kept))


def _usable_link(url: str, name: str, token: Token) -> str:
    scheme, _, rest = url.partition(":")
    usable = safe_link(url)
    if scheme.lower() == "mailto" and _MAILTO.fullmatch(rest):
        usable = url
    if usable is None or UNSUBSCRIBE_MARK in usable:
        raise DataError(
            f"{name}, line {_line_number(token)}: a link leads neither to a web page nor to a mailbox: write an "
            "address that begins with https://, http:// or mailto:"
        )
    return usable


def _unusable(name: str, token: Token, kind: str) -> DataError:
    what = kind.replace("_", " ")
    return DataError(
        f"{name}, line {_line_number(token)}: an issue cannot show this ({what}): write headings, paragraphs, simple "
        "lists from 1, **strong**, *emphasis* and links"
    )


def _line_number(token: Token) -> int | str:
    return token.map[0] + 1 if token.map else "?"


# --- Both languages say the same ---------------------------------------------------------------------------------


def require_parity(blocks: dict[str, tuple[Block, ...]], name: str) -> None:
    """Raise ``DataError`` where the English and the French text differ in blocks, headings, links or figures.

    Links of a block must lead to the same mailboxes and to the same hosts (see :func:`_leads_to`).
    """
    english, french = (blocks[language] for language in TEXT_LANGUAGES)
    for what, one, other in (
        ("blocks", len(english), len(french)),
        ("headings", *(_count_headings(text) for text in (english, french))),
        ("links", *(len(_links(text)) for text in (english, french))),
    ):
        if one != other:
            raise DataError(f"{name}: the English text has {one} {what} and the French {other}: {_SAY_THE_SAME}")
    for number, (one_block, other_block) in enumerate(zip(english, french, strict=True), start=1):
        shapes = [(block.kind, block.level, len(block.lines)) for block in (one_block, other_block)]
        if shapes[0] != shapes[1]:
            raise DataError(
                f"{name}: block {number} is a {_shape(one_block)} in English and a {_shape(other_block)} in French: "
                f"{_SAY_THE_SAME}"
            )
        leads = [Counter(_leads_to(href) for href in _links([block])) for block in (one_block, other_block)]
        if leads[0] != leads[1]:
            raise DataError(
                f"{name}: the links of block {number} lead to {_listed(leads[0])} in English and to "
                f"{_listed(leads[1])} in French: {_SAY_THE_SAME}"
            )
    figures = [Counter(figures_of(text)) for text in (english, french)]
    only = [sorted((figures[0] - figures[1]).elements()), sorted((figures[1] - figures[0]).elements())]
    if any(only):
        said = " and ".join(
            f"{', '.join(found)} only in {language}"
            for found, language in zip(only, ("English", "French"), strict=True)
            if found
        )
        raise DataError(f"{name}: the texts have other figures, {said}: {_SAY_THE_SAME}")


_BILINGUAL_DOMAIN = "cbsa-asfc.gc.ca"
"""A page may stand at different hosts of this domain in English and in French."""


def _leads_to(href: str) -> str:
    """Where a link leads as far as both languages must agree: to the same mailbox, or to a page of the same host.

    The page itself is another one in French. ``www.`` is no host of its own, and neither is a host of the programme's
    domain.
    """
    if href.lower().startswith("mailto:"):
        return href
    host = (urlsplit(href).hostname or "").removeprefix("www.")
    return _BILINGUAL_DOMAIN if host.endswith(f".{_BILINGUAL_DOMAIN}") else host


def _listed(leads: Counter[str]) -> str:
    return ", ".join(sorted(leads.elements())) or "nothing"


_SAY_THE_SAME = "both say the same, so mend the one that lacks something"


def _shape(block: Block) -> str:
    if block.kind == "heading":
        return f"heading of level {block.level}"
    return "paragraph" if block.kind == "paragraph" else f"list of {len(block.lines)} {block.kind}"


def _count_headings(blocks: Sequence[Block]) -> int:
    return sum(block.kind == "heading" for block in blocks)


def _links(blocks: Sequence[Block]) -> list[str]:
    return [span.href for block in blocks for line in block.lines for span in line if span.href]


def figures_of(blocks: Sequence[Block]) -> list[str]:
    """Every number, day and telephone number of a text, as digits, in their order; addresses of links are none."""
    texts = ("".join(span.text for span in line) for block in blocks for line in block.lines)
    return [re.sub(r"[^0-9]", "", figure) for text in texts for figure in _FIGURE.findall(text)]
