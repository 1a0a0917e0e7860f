"""The suites in ``expectations/`` as this package reads them: rules with a name, a severity and a written why.

The files are Great Expectations suites and stay readable by it alone. What the gate needs beside them stands in each
expectation's ``meta``: ``name`` (stable, unique in the suite; it is what quarantine shows), ``scope`` (``row``: a
failing row is set apart and the others go on; ``table``: one failing row stops the month), ``why`` (for a person) and,
for critical row rules, ``reason`` (the word under which the row stands in quarantine).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from include.carm.errors import UsageError

SUITES_FOLDER = Path(__file__).resolve().parents[2] / "expectations"

DATASETS = (
    "transactions",
    "export_declarations",
    "accounts",
    "delegations",
    "subscribers",
    "webinars",
    "account_decisions",
    "statements",
)
"""The datasets that have a suite, in the order in which the gates ask: what came in, then what goes out."""

Severity = Literal["critical", "warning", "info"]
Scope = Literal["row", "table"]

REASONS = (
    "key_missing",
    "unreadable_value",
    "invalid_bn15",
    "unknown_kind",
    "unknown_status",
    "date_missing",
    "date_out_of_range",
    "amount_missing",
    "components_do_not_add_up",
    "account_missing",
    "account_quarantined",
    "duplicate_copy",
    "duplicate_key_differs",
    "reversed_twice",
    "overlapping_versions",
)
"""The words under which a row can stand in quarantine."""

# The one expectation about the table itself; it is judged on the header, before any row.
COLUMNS_TYPE = "expect_table_columns_to_match_set"


@dataclass(frozen=True)
class Rule:
    """One expectation: ``type`` and ``kwargs`` are Great Expectations', the rest is for the gate and for people."""

    name: str
    type: str
    kwargs: dict[str, Any]
    severity: Severity
    scope: Scope
    why: str
    reason: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rule reads, those of its condition included."""
        kwargs = self.kwargs
        named = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
        return tuple(dict.fromkeys([*named, *kwargs.get("column_list", ()), *_condition_columns(kwargs)]))

    @property
    def is_quarantining(self) -> bool:
        """Whether a failing row goes to quarantine."""
        return self.severity == "critical" and self.scope == "row"

    @property
    def is_stopping(self) -> bool:
        """Whether one failing row stops the month."""
        return self.severity == "critical" and self.scope == "table"


@dataclass(frozen=True)
class Suite:
    """The rules about one dataset, in the order in which a row's first failing one names its reason."""

    dataset: str
    about: str
    header: Rule
    rules: tuple[Rule, ...]
    document: dict[str, Any]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rules about rows read, and the row number."""
        return tuple(dict.fromkeys(["row_no", *(column for rule in self.rules for column in rule.columns)]))


def load_suite(dataset: str) -> Suite:
    """The suite in ``expectations/<dataset>.json``. Raises ``UsageError`` where it is missing or not well formed."""
    path = SUITES_FOLDER / f"{dataset}.json"
    if not path.is_file():
        raise UsageError(f"there is no suite for '{dataset}': write expectations/{dataset}.json")
    return read_suite(json.loads(path.read_text(encoding="utf-8")))


def read_suite(document: dict[str, Any]) -> Suite:
    """A suite from its JSON. Raises ``UsageError`` naming the expectation and what is wrong with it."""
    dataset = document["name"]
    rules = [_read_rule(dataset, expectation) for expectation in document["expectations"]]
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"expectations/{dataset}.json has two expectations '{name}': rename one")
    headers = [rule for rule in rules if rule.type == COLUMNS_TYPE]
    if len(headers) != 1 or not headers[0].is_stopping:
        raise UsageError(f"expectations/{dataset}.json needs exactly one critical table rule {COLUMNS_TYPE}")
    suite = Suite(
        dataset=dataset,
        about=document["meta"]["about"],
        header=headers[0],
        rules=tuple(rule for rule in rules if rule is not headers[0]),
        document=document,
    )
    missing = set(suite.columns) - set(suite.header.kwargs["column_set"])
    if missing:
        raise UsageError(f"expectations/{dataset}.json reads {sorted(missing)} but does not expect the columns")
    return suite


def _read_rule(dataset: str, expectation: dict[str, Any]) -> Rule:
    meta = expectation.get("meta") or {}
    rule = Rule(
        name=meta.get("name", ""),
        type=expectation["type"],
        kwargs=expectation["kwargs"],
        severity=cast(Severity, expectation.get("severity")),
        scope=cast(Scope, meta.get("scope")),
        why=meta.get("why", ""),
        reason=meta.get("reason"),
    )
    where = f"expectations/{dataset}.json, '{rule.name or rule.type}'"
    if not rule.name or not rule.why:
        raise UsageError(f"{where}: meta needs a name and a why")
    if rule.severity not in get_args(Severity) or rule.scope not in get_args(Scope):
        raise UsageError(f"{where}: severity is critical, warning or info, meta.scope is row or table")
    if rule.is_quarantining and rule.reason not in REASONS:
        raise UsageError(f"{where}: meta.reason must be one of {', '.join(REASONS)}")
    if not rule.is_quarantining and rule.reason is not None:
        raise UsageError(f"{where}: only critical row rules have a reason, for only they fill the quarantine")
    return rule


def _condition_columns(kwargs: dict[str, Any]) -> list[str]:
    condition = kwargs.get("row_condition")
    if condition is None:
        return []
    parts = condition["conditions"] if condition["type"] == "and" else [condition]
    return [part["column"]["name"] for part in parts]
