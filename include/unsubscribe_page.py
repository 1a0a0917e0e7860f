"""The pages that the link of a message opens: what is asked, what was done, and why something was not.

Each says the same in English and in French. None has a value of a person in it, so all are rendered once, when the app
starts; whoever asks for one, known or not, gets the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from gettext import NullTranslations
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from include.carm.contacts import Contacts
from include.notice_page import DARK, LIGHT, load_french, translator

TEMPLATE_FOLDER = Path(__file__).parent / "templates" / "unsubscribe"

PAGES = ("ask", "done", "missing", "refused", "unavailable")


@dataclass(frozen=True)
class Pages:
    """Every page by its name, as UTF-8, and the style sheet that all have, as a Content-Security-Policy names it."""

    html: Mapping[str, bytes]
    style_source: str

    @classmethod
    def render(cls, contacts: Contacts) -> Pages:
        """Render all pages; the same contacts give the same bytes."""
        environment = Environment(
            loader=FileSystemLoader(TEMPLATE_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        style = environment.get_template("style.css").render(light=LIGHT, dark=DARK)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        html = {name: _render(environment, name, style, contacts).encode() for name in PAGES}
        return cls(html, f"'sha256-{digest}'")


def _render(environment: Environment, name: str, style: str, contacts: Contacts) -> str:
    catalogs: dict[str, NullTranslations] = {"en": NullTranslations(), "fr": load_french()}
    template = environment.get_template(f"{name}.html")
    parts: dict[str, dict[str, Markup]] = {"title": {}, "body": {}}
    for language, catalog in catalogs.items():
        mailbox = contacts.engagement_email
        context = template.new_context(
            {
                "_": translator(catalog),
                "mailbox": mailbox,
                "unsubscribe_mail": f"mailto:{mailbox}?subject={quote('Unsubscribe – Désabonnement')}",
            }
        )
        for block, found in parts.items():
            found[language] = Markup("".join(template.blocks[block](context)).strip())  # noqa: S704
    return environment.get_template("frame.html").render(
        title=Markup(" / ").join(parts["title"].values()),
        # Its quotation marks are no HTML inside <style>, and the hash is taken over exactly these characters.
        style=Markup(style),  # noqa: S704
        versions=parts["body"].items(),
        labels=parts["title"].items() if name == "ask" else (),
        letterhead=contacts.letterhead,
    )
