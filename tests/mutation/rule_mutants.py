"""Mutants of the rule table: every cell with another action, another new type, another word, day or source."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from tests.mutation.mutant import Found, Mutant, distinct, shorten

PROGRAM_TYPES = ("importer", "exporter", "dual")
ACTIONS = ("close", "convert", "keep", "review", "unknown")
LATER = "2021-12-25"
"""The day after the newsletter's first period: a rule that begins then does not hold in it."""

Row = dict[str, str]


def mutants_of(subject: str, text: str) -> Iterator[Mutant]:
    """Every mutant of the table ``text``: one row changed, or left out."""
    rows = list(csv.DictReader(io.StringIO(text)))
    reasons = sorted({row["reason"] for row in rows})
    sources = sorted({row["source_en"] for row in rows})

    def found() -> Iterator[Found]:
        for position, row in enumerate(rows):
            before, after = rows[:position], rows[position + 1 :]
            yield Found(row["rule_id"], "row dropped", row["rule_id"], "", _written([*before, *after]))
            for operator, changed in _changes(row, reasons, sources):
                names = [name for name in row if changed[name] != row[name]]
                was, becomes = (", ".join(each[name] or "none" for name in names) for each in (row, changed))
                text = _written([*before, changed, *after])
                yield Found(row["rule_id"], operator, shorten(was), shorten(becomes), text)

    yield from distinct(subject, _written(rows), found())


def _changes(row: Row, reasons: list[str], sources: list[str]) -> Iterator[tuple[str, Row]]:
    yield "another name", row | {"rule_id": f"{row['rule_id']}_too"}
    for program_type in PROGRAM_TYPES:
        yield "another new type", row | {"action": "convert", "new_program_type": program_type}
        yield "new type without a conversion", row | {"new_program_type": program_type}
    for action in ACTIONS:
        yield "another action", row | {"action": action, "new_program_type": ""}
    for reason in reasons:
        yield "another reason", row | {"reason": reason}
    following = sources[(sources.index(row["source_en"]) + 1) % len(sources)]
    yield "another source", row | {"source_en": following}
    yield "another day", row | {"valid_from": LATER}


def written(text: str) -> str:
    """The table ``text`` unchanged, as a mutant is written."""
    return _written(list(csv.DictReader(io.StringIO(text))))


def _written(rows: list[Row]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
