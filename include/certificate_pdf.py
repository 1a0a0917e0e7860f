"""The PDF of a certificate: tagged, conforming to PDF/UA-1, set by Typst from the words of the page.

``include/templates/certificate/certificate.typ`` decides only how they look; see :mod:`include.statement_pdf`.
"""

from __future__ import annotations

import json
from typing import Any

import typst

from include.certificate_page import TEMPLATE_FOLDER, tell_json
from include.statement_pdf import make_pdf, printable_json

TEMPLATE = TEMPLATE_FOLDER / "certificate.typ"


def render_pdf(json_text: bytes) -> bytes:
    """``certificate.pdf`` of the bytes of ``certificate.json``; the same bytes give the same document.

    Raises ``RuntimeError`` where Typst makes no PDF/UA-1 of them.
    """
    told = tell_json(json_text)
    compiler = typst.Compiler(TEMPLATE, root=TEMPLATE.parent, ignore_system_fonts=True)
    hashes: list[str] = []
    inputs = {"certificate": printable_json(_for_print(told, hashes)), "hashes": json.dumps(hashes)}
    return make_pdf(compiler, inputs, told["day"], f"the certificate: {told['title']}")


def _for_print(value: Any, hashes: list[str]) -> Any:
    """The same with a number for each hash, which is added to ``hashes``: who copies one copies no place to break."""
    if isinstance(value, list):
        return [_for_print(item, hashes) for item in value]
    if not isinstance(value, dict):
        return value
    printed = {key: _for_print(item, hashes) for key, item in value.items()}
    if value.get("is_hash"):
        printed["value"] = len(hashes)
        hashes.append(value["value"])
    return printed
