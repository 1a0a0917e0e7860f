"""Which columns of a row, as it was read, a rule looked at: where a person finds what is wrong with a refused row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include import engine
from include.datasets import COMPONENTS
from include.feeds import ACCOUNTS, Feed, LedgerFeed
from include.quality.suites import Rule

_BEHIND: Mapping[str, tuple[str, ...]] = {
    "account_state": ("bn15",),
    "components_sum_cents": COMPONENTS,
    "has_overlap": ("valid_from", "valid_to"),
    "is_reversed_twice": ("transaction_number",),
}
"""The columns of the source behind the helper columns that SQL gathers for the rules."""

_ABOUT_THE_KEY = ("copies_differ", "is_surplus_copy")
_UNREADABLE = "unreadable"


def offending_columns(rule: Rule, feed: Feed, row: Mapping[str, Any]) -> list[str]:
    """The columns of the feed that a rule looked at in a row, in the feed's order."""
    named: set[str] = set()
    for column in rule.columns:
        if column == _UNREADABLE:
            named.update(_unreadable_columns(feed, row))
        else:
            named.update(_key_of(feed) if column in _ABOUT_THE_KEY else _BEHIND.get(column, (column,)))
    return [column for column in feed.columns if column in named]


def _key_of(feed: Feed) -> tuple[str, ...]:
    if feed is ACCOUNTS:
        return ("bn15", "valid_from")
    key = feed.key if isinstance(feed, LedgerFeed) else next(iter(feed.columns))
    return (key, "revision")


def _unreadable_columns(feed: Feed, row: Mapping[str, Any]) -> list[str]:
    """The columns whose text is not of their type, read as the statements that stage a feed read them."""
    reading = {"int": "whole_number", "day": "iso_day"}
    found = []
    with engine.connect() as con:
        for column, type_ in feed.columns.items():
            if type_ in reading and row.get(column) is not None:
                asked = con.execute(f"SELECT {reading[type_]}($text) IS NULL", {"text": str(row[column])})
                if asked.fetchall()[0][0]:
                    found.append(column)
    return found
