"""The PDF of a newsletter: tagged, conforming to PDF/UA-1, set by Typst from the elements of the page.

The words come from the template of the page (``include/templates/notice/quarterly.jinja``), compiled for print, so both
say the same; ``include/templates/quarterly/quarterly.typ`` decides only how they look.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typst

from include.statement_pdf import make_pdf, printable_json

TEMPLATE = Path(__file__).parent / "templates" / "quarterly" / "quarterly.typ"


def render_pdf(subject: str, elements: list[dict[str, Any]], language: str, issued_on: str) -> bytes:
    """Set the elements of :meth:`include.notice_page.NoticePages.elements`; the same ones give the same bytes.

    Raises ``RuntimeError`` where Typst makes no PDF/UA-1 of them.
    """
    compiler = typst.Compiler(TEMPLATE, root=TEMPLATE.parent, ignore_system_fonts=True)
    links: list[str] = []
    data = {"title": subject, "lang": language, "elements": _for_print(elements, links)}
    inputs = {"issue": printable_json(data), "links": json.dumps(links)}
    return make_pdf(compiler, inputs, issued_on, "a newsletter")


def _for_print(value: Any, links: list[str]) -> Any:
    """The same with hyphens for minus signs, which the font lacks, and with a number for each address.

    Addresses are added to ``links``: in them, a place to break would lead elsewhere.
    """
    if isinstance(value, str):
        return value.replace("\N{MINUS SIGN}", "-")
    if isinstance(value, list | tuple):
        return [_for_print(item, links) for item in value]
    if not isinstance(value, dict):
        return value
    printed = {}
    for key, item in value.items():
        if key in ("url", "href") and item is not None:
            printed[key] = len(links)
            links.append(item)
        else:
            printed[key] = _for_print(item, links)
    return printed
