"""Digests: one message in the place of many, for whoever would get many about the accounts of one month.

Which messages a digest takes the place of is kept with it (``carm_digest_tellings``). So what a later step of the same
month adds, after a plan was approved late, is told once and not again: alone, or by a further digest where it is much.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from include import engine
from include.carm.notice_policy import ACCOUNT_KINDS
from include.carm.period import Period
from include.notice_intents import Told
from include.notice_page import DigestLine, DigestNotice, one_line

if TYPE_CHECKING:
    import duckdb

    from include.carm.calendar import Calendar
    from include.carm.contacts import Contacts
    from include.carm.notice_policy import NoticePolicy

Row = Mapping[str, Any]

KIND = "digest"
_TYPES = ("program_type", "new_program_type")
_STATEMENT = ("period_start", "period_end", "issued_on", "due_on")
_LINE = ("kind", "about", "version", "bn15", "language", "legal_name", "effective_on", "undoes", *_TYPES, *_STATEMENT)


@dataclass(frozen=True)
class Digests:
    """The messages of a month that go out; of each digest among them, by its message key, the rows that it tells."""

    messages: pa.Table
    lines: Mapping[str, tuple[Row, ...]]

    @property
    def tells(self) -> dict[str, list[Told]]:
        """What each digest tells, as notices are identified."""
        return {key: [(row["kind"], row["about"], row["version"]) for row in rows] for key, rows in self.lines.items()}


def gather_digests(
    con: duckdb.DuckDBPyConnection,
    addressed: pa.Table,
    told: pa.Table,
    period: Period,
    policy: NoticePolicy,
    message_key: Callable[[str, str, str, int], str],
) -> Digests:
    """Put a digest in the place of the messages ``addressed`` of each person who gets many, or several of them.

    How many are many, and how many lines a digest has at most, says the ``policy``.
    ``told`` is what was told before (:func:`include.tellings.told_in`); that stays as it was told. A message of
    ``addressed`` has ``message_key, kind, recipient_key, about, version, address``, and what its notice tells.
    """
    names = ["message_key", "recipient_key", "kind", "about", "version"]
    limits = {"from_messages": policy.digest_from_messages, "most_lines": policy.digest_most_lines}
    placed = engine.run_table(con, "derive_digests", {"addressed": addressed.select(names), "told": told}, limits)
    if not placed.num_rows:
        return Digests(addressed, {})
    version_of = dict(zip(*(column.to_pylist() for column in placed.columns), strict=True))
    is_replaced = pc.is_in(addressed["message_key"], value_set=placed["message_key"].combine_chunks())
    about = f"{KIND}/{period}"
    lines: dict[tuple[str, int, str], list[Row]] = defaultdict(list)
    wanted = ["message_key", "recipient_key", "address", *_LINE]
    for row in addressed.filter(is_replaced).select(wanted).to_pylist():
        lines[row["recipient_key"], version_of[row["message_key"]], row["address"]].append(row)
    digests, of_digest = [], {}
    for (recipient, version, address), rows in lines.items():
        key = message_key(KIND, recipient, about, version)
        of_digest[key] = tuple(sorted(rows, key=_place_of))
        digests.append(
            {
                "kind": KIND,
                "about": about,
                "version": version,
                "recipient_key": recipient,
                "message_key": key,
                "address": address,
                "language": language_of(rows),
            }
        )
    table = pa.Table.from_pylist(digests, addressed.schema)
    messages = pa.concat_tables([addressed.filter(pc.invert(is_replaced)), table])
    return Digests(messages.sort_by([("kind", "ascending"), ("message_key", "ascending")]), of_digest)


def _place_of(row: Row) -> tuple[Any, ...]:
    return row["bn15"], ACCOUNT_KINDS.index(row["kind"]), row["about"], row["version"]


def language_of(rows: list[Row]) -> str:
    """The language of most of the messages that are replaced; both where as many are English as French.

    A message in both languages speaks for neither.
    """
    spoken = Counter(row["language"] for row in rows)
    if spoken["en"] == spoken["fr"]:
        return "both"
    return "en" if spoken["en"] > spoken["fr"] else "fr"


def digest_notice(
    rows: tuple[Row, ...], version: int, period: Period, calendar: Calendar, contacts: Contacts
) -> DigestNotice:
    """The notice of one digest."""
    issued_on = calendar.issued_on(period)
    statement = next((row for row in rows if row["kind"] == "statement"), {})
    return DigestNotice(
        issued_on=issued_on,
        period_start=statement.get("period_start"),
        period_end=statement.get("period_end"),
        due_on=statement.get("due_on"),
        lines=tuple(_lines(rows)),
        version=version,
        years=calendar.dormancy_years,
        reinstatement=contacts.reinstatement_on(issued_on),
    )


def _lines(rows: tuple[Row, ...]) -> Iterator[DigestLine]:
    for row in rows:
        kind = "restored_type" if row["undoes"] == "convert" else row["kind"]
        happened_on = row["issued_on"] if kind == "statement" else row["effective_on"]
        now = {"conversion": row["new_program_type"], "restored_type": row["program_type"]}.get(kind)
        yield DigestLine(row["bn15"], one_line(row["legal_name"]), kind, happened_on, now)
