"""The page of a certificate: HTML for the screen and the printer, made of its JSON and of nothing else.

Open it from the disk: it has no script and asks for nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from include.certificate_words import tell_certificate

TEMPLATE_FOLDER = Path(__file__).parent / "templates" / "certificate"


def render_json(content: Mapping[str, Any]) -> bytes:
    """``certificate.json``; the same content gives the same bytes."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def tell_json(json_text: bytes) -> dict[str, Any]:
    """What :func:`include.certificate_words.tell_certificate` makes of the bytes of a certificate's JSON."""
    return tell_certificate(json.loads(json_text), hashlib.sha256(json_text).hexdigest())


def render_html(json_text: bytes) -> bytes:
    """``certificate.html`` of the bytes of ``certificate.json``; the same bytes give the same page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = (TEMPLATE_FOLDER / "certificate.css").read_text(encoding="utf-8")
    page = environment.get_template("page.html.j2")
    # The style sheet is a file of this project, and its quotation marks are no HTML inside <style>.
    return page.render(**tell_json(json_text), style=Markup(style)).encode()  # noqa: S704
