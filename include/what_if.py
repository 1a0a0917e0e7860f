"""What would have decided otherwise: an account's facts, one of them changed, decided again by the same statement.

Nothing here knows a rule. A supposition is the account's own row of ``account_facts`` with a value replaced, or without
a record of a person, or with the coverage taken for whole; ``derive_account_decisions.sql`` says what follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from include import engine
from include.program_type_rules import PROGRAM_TYPES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_KINDS = {"import": "an import", "export": "an export", "other": "a drawback claim"}


@dataclass(frozen=True)
class Supposition:
    """Something that might have been so. ``name`` is for programs; ``words`` end the sentence "It would be ...".

    ``facts`` replace values of the account's facts; of ``without_records`` (kinds) the persons' records are left out;
    ``is_covered`` takes every feed for covered.
    """

    name: str
    words: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    without_records: tuple[str, ...] = ()
    is_covered: bool = False

    def and_also(self, other: Supposition) -> Supposition:
        """Both at once."""
        return Supposition(
            f"{self.name}+{other.name}",
            f"{self.words} and {other.words.removeprefix('if ')}",
            {**self.facts, **other.facts},
            (*self.without_records, *other.without_records),
            self.is_covered or other.is_covered,
        )


@dataclass(frozen=True)
class Consequence:
    """What a supposition leads to."""

    name: str
    words: str
    action: str
    new_program_type: str | None
    reason: str


def suppose_activity(decision: Mapping[str, Any]) -> list[Supposition]:
    """Activity on the first day that counts, of each kind that was not seen in the window."""
    cutoff = decision["cutoff_on"]
    return [
        Supposition(f"{kind}_on_cutoff", f"with {words} dated on or after {cutoff}", {f"last_{kind}_on": cutoff})
        for kind, words in _KINDS.items()
        if decision[f"last_{kind}_on"] is None or decision[f"last_{kind}_on"] < cutoff
    ]


def suppose_absence(decision: Mapping[str, Any]) -> list[Supposition]:
    """Without one kind of the activity that was seen in the window; else with an opening before or in it."""
    cutoff = decision["cutoff_on"]
    seen = {
        kind: words
        for kind, words in _KINDS.items()
        if decision[f"last_{kind}_on"] is not None and decision[f"last_{kind}_on"] >= cutoff
    }
    if seen:
        return [
            Supposition(f"no_{kind}", f"without {words} dated on or after {cutoff}", {f"last_{kind}_on": None})
            for kind, words in seen.items()
        ]
    before = cutoff - timedelta(days=1)
    if decision["clock_on"] is None:
        return [
            Supposition("opened_before", f"if it had been opened before {cutoff}", {"opened_on": before}),
            Supposition("opened_since", f"if it had been opened on or after {cutoff}", {"opened_on": cutoff}),
        ]
    young = {
        name: before
        for name in ("opened_on", "reinstated_on")
        if decision[name] is not None and decision[name] >= cutoff
    }
    if not young:
        return []
    acts = " and ".join(name.removesuffix("_on") for name in young)
    return [Supposition("opened_before", f"if it had been {acts} before {cutoff}", young)]


def suppose_type(decision: Mapping[str, Any]) -> list[Supposition]:
    """Each known program type, where the account has none of them."""
    if decision["program_type"] in PROGRAM_TYPES:
        return []
    return [
        Supposition(f"as_{name}", f"if it were registered as {name}", {"program_type": name}) for name in PROGRAM_TYPES
    ]


def decide_suppositions(
    con: DuckDBPyConnection, account_key: int, parameters: Mapping[str, Any], suppositions: Sequence[Supposition]
) -> list[Consequence]:
    """The decision under each supposition, in their order.

    ``con`` holds what the month's decisions rest on (``include.decide.register_grounds``), and is left as it is.
    """
    whole = {name: con.table(name).to_arrow_table() for name in ("coverage", "needed_feeds", "program_type_rules")}
    own = {
        name: con.table(name).filter(f"account_key = {int(account_key)}").to_arrow_table()
        for name in ("account_facts", "clean_up_records")
    }
    # Every supposition is an account of its own, by its place.
    placed = dict(enumerate(suppositions, start=1))
    decided: dict[int, dict[str, Any]] = {}
    for is_covered in (False, True):
        supposed = {key: each for key, each in placed.items() if each.is_covered == is_covered}
        relations = {**whole, **_as_accounts(own, supposed)}
        if is_covered:
            rows = [{**row, "covered": True, "missing": ""} for row in whole["coverage"].to_pylist()]
            relations["coverage"] = _rows(whole["coverage"], rows)
        with engine.connect() as other:
            found = engine.run_table(other, "derive_account_decisions", relations, parameters).to_pylist()
        decided |= {row["account_key"]: row for row in found}
    return [
        Consequence(
            each.name,
            each.words,
            decided[key]["action"],
            decided[key]["new_program_type"],
            decided[key]["reason"],
        )
        for key, each in placed.items()
    ]


def _as_accounts(own: Mapping[str, pa.Table], supposed: Mapping[int, Supposition]) -> dict[str, pa.Table]:
    """The account's facts and records once for each supposition."""
    (facts,) = own["account_facts"].to_pylist()
    accounts = [{**facts, **each.facts, "account_key": key} for key, each in supposed.items()]
    records = [
        {**record, "account_key": key}
        for key, each in supposed.items()
        for record in own["clean_up_records"].to_pylist()
        if record["kind"] not in each.without_records
    ]
    return {
        "account_facts": _rows(own["account_facts"], accounts),
        "clean_up_records": _rows(own["clean_up_records"], records),
    }


def _rows(like: pa.Table, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=like.schema)
