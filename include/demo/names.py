"""Names for invented firms, made of the words in ``words.yaml``."""

from __future__ import annotations

from pathlib import Path

import yaml

_WORDS: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))

_ENGLISH = ("adjectives", "nouns", "trades", "endings")
_FRENCH = ("french_heads", "french_places", "french_endings")

DESKS = {
    "en": ("Customs desk", "Accounts payable", "Trade compliance", "Front office"),
    "fr": ("Bureau des douanes", "Comptes fournisseurs", "Conformité commerciale", "Secrétariat"),
}
"""Who reads the mail: desks, never persons."""


def firm_name(language: str | None, chance: int) -> str:
    """A firm's name in its language; ``chance`` is any integer of at least 0, and equal ones give equal names."""
    parts = []
    for kind in _FRENCH if language == "fr" else _ENGLISH:
        chance, place = divmod(chance, len(_WORDS[kind]))
        parts.append(_WORDS[kind][place])
    return " ".join(parts)
