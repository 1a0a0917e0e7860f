"""The 15 cells as the domain's table gives them, and an account that lies in each."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from tests.decide.accounts import AS_OF, MONTH, an_account
from tests.decide.oracle import GAP, Account, Decision, World

IMPORTS = (("import", AS_OF),)
EXPORTS = (("export", AS_OF),)
BOTH = IMPORTS + EXPORTS
EVIDENCE = {"none": (), "import": IMPORTS, "export": EXPORTS, "both": BOTH, "unknown": ()}
_UNKNOWN = Decision("unknown", "unknown", "coverage_incomplete", missing=f"transactions {GAP}")

CELLS = {
    ("importer", "none"): Decision("none", "close", "no_activity_4_years"),
    ("importer", "import"): Decision("import", "keep", "active"),
    ("importer", "export"): Decision("export", "convert", "only_export_activity", "exporter"),
    ("importer", "both"): Decision("both", "review", "mixed_activity"),
    ("importer", "unknown"): _UNKNOWN,
    ("exporter", "none"): Decision("none", "close", "no_activity_4_years"),
    ("exporter", "import"): Decision("import", "convert", "only_import_activity", "importer"),
    ("exporter", "export"): Decision("export", "keep", "active"),
    ("exporter", "both"): Decision("both", "review", "mixed_activity"),
    ("exporter", "unknown"): _UNKNOWN,
    ("dual", "none"): Decision("none", "close", "no_activity_4_years"),
    ("dual", "import"): Decision("import", "convert", "only_import_activity", "importer"),
    ("dual", "export"): Decision("export", "convert", "only_export_activity", "exporter"),
    ("dual", "both"): Decision("both", "keep", "active"),
    ("dual", "unknown"): _UNKNOWN,
}
CHANGES = [cell for cell, decision in CELLS.items() if decision.action in ("close", "convert")]


def kind_of(cell: tuple[str, str]) -> str:
    """What the cell does, in one word: close, to_exporter, to_importer, keep, review or unknown."""
    decision = CELLS[cell]
    return f"to_{decision.new_program_type}" if decision.new_program_type else decision.action


def account_in(program_type: str, seen: str, evidence_on: date | None = None, **changes: object) -> Account:
    """A dormant-looking account of the type whose evidence lies in the cell, on ``evidence_on`` (default: last day)."""
    activities = tuple((what, evidence_on or on) for what, on in EVIDENCE[seen])
    return an_account(program_type=program_type, activities=activities, **changes)


def world_of(seen: str, world: World = MONTH) -> World:
    """The world in which nothing can be told is one without all transactions."""
    return replace(world, transactions_covered=False) if seen == "unknown" else world
