"""PDF as most would make it: the HTML page of a statement, given to WeasyPrint."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache

LEFT_OUT = "  left out: WeasyPrint needs Pango, which no package for Python brings"


@cache
def pdf_maker() -> Callable[[bytes], bytes] | None:
    """What makes the PDF of a page, tagged by PDF/UA-1; None where WeasyPrint cannot be loaded. Fonts are read once."""
    try:
        weasyprint = importlib.import_module("weasyprint")
        fonts = importlib.import_module("weasyprint.text.fonts").FontConfiguration()
    except (ImportError, OSError):
        return None

    def to_pdf(page: bytes) -> bytes:
        document = weasyprint.HTML(string=page.decode())
        pdf: bytes = document.write_pdf(pdf_variant="pdf/ua-1", pdf_tags=True, font_config=fonts)
        return pdf

    return to_pdf
