"""The PDF of a newsletter: tagged, conforming to PDF/UA-1, set by Typst from the elements of the page.

The words come from the template of the page (``include/templates/notice/quarterly.jinja``), compiled for print, so both
say the same; ``include/templates/quarterly/quarterly.typ`` decides only how they look.
"""

from __future__ import annotations

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
    data = {"title": subject, "lang": language, "elements": elements}
    return make_pdf(compiler, {"issue": printable_json(data)}, issued_on, "a newsletter")
