"""The gate: a dataset's rows in, what must not go on out.

Gate 1 stands behind extraction (what came in), gate 2 before anything is applied or issued. Both are the same function
over another suite. It judges and says; who quarantines, stops or goes on is the step that asked.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from include.carm.errors import DataError
from include.quality.suites import Rule, Suite, load_suite

FAILURES = pa.schema([("row_no", pa.int64()), ("expectation", pa.string()), ("reason", pa.string())])

# The bound for a check that knows no period: later than any ledger date, and still a date that compares.
NO_PERIOD = datetime.date(2199, 12, 31)


@dataclass(frozen=True)
class GateResult:
    """What a gate found.

    ``failures``: one row for each (row, failed critical row rule), by ``row_no`` and then in the suite's order, so
    that the first of a row names its reason. ``warnings``: failing rows by the name of a warning rule, where there are
    any. ``table_failures``: a sentence for each critical table rule that failed; one is enough to stop the month.
    """

    failures: pa.Table
    warnings: dict[str, int]
    table_failures: list[str]
    evaluated_rows: int


@dataclass
class Tally:
    """What one rule found over all batches; ``row_numbers`` only for rules whose rows are set apart."""

    rule: Rule
    failed_rows: int = 0
    row_numbers: list[pa.Array] = field(default_factory=list)


def check(
    dataset: str,
    batches: Iterable[pa.RecordBatch],
    *,
    docs_folder: Path | None,
    run_name: str,
    as_of: datetime.date | None = None,
) -> GateResult:
    """Judge the staged rows of ``dataset`` by ``expectations/<dataset>.json``, one batch in memory at a time.

    ``batches`` hold the columns that the suite names; ``row_no`` is unique over all of them. ``as_of`` is the last day
    of the period in hand; without it no posting is too late. ``docs_folder`` receives the pages of the run
    ``run_name``, which name rules and counts and never a value.

    Raises ``DataError`` for a column of a wrong type and for a rule that could not be evaluated: what nobody judged
    does not pass.
    """
    return check_by(load_suite(dataset), batches, docs_folder=docs_folder, run_name=run_name, as_of=as_of)


def check_by(
    suite: Suite,
    batches: Iterable[pa.RecordBatch],
    *,
    docs_folder: Path | None,
    run_name: str,
    as_of: datetime.date | None = None,
) -> GateResult:
    """``check`` with a suite in hand."""
    from include.quality.data_docs import publish_page

    tallies, missing, evaluated_rows = _tally(suite, batches, as_of or NO_PERIOD)
    table_failures = [_describe_missing(suite, missing)] if missing else []
    table_failures += [
        _describe_failure(suite, tally, evaluated_rows)
        for tally in tallies
        if tally.rule.is_stopping and tally.failed_rows
    ]
    result = GateResult(
        failures=_collect_failures(tallies),
        warnings={
            tally.rule.name: tally.failed_rows
            for tally in tallies
            if tally.rule.severity == "warning" and tally.failed_rows
        },
        table_failures=table_failures,
        evaluated_rows=evaluated_rows,
    )
    if docs_folder is not None:
        counts = {tally.rule.name: tally.failed_rows for tally in tallies}
        publish_page(docs_folder, run_name, suite, missing=missing, counts=counts, evaluated_rows=evaluated_rows)
    return result


def _tally(suite: Suite, batches: Iterable[pa.RecordBatch], as_of: datetime.date) -> tuple[list[Tally], list[str], int]:
    """The tally of each rule, the columns that are missing, and the rows judged (none where a column is missing)."""
    from include.quality.judge import Judge

    judge = Judge(suite, as_of)
    tallies = [Tally(rule) for rule in suite.rules]
    evaluated_rows = 0
    # A reader knows its columns before, and without, its first batch; a plain iterator only with it.
    schema: pa.Schema | None = getattr(batches, "schema", None)
    if schema is not None and not judge.judge_header(schema.names):
        return tallies, _find_missing(suite, schema), 0
    for batch in batches:
        if schema is None:
            schema = batch.schema
            if not judge.judge_header(schema.names):
                return tallies, _find_missing(suite, schema), 0
        elif batch.schema != schema:
            raise DataError(
                f"{suite.dataset}: two batches of one check have different columns: stage them with one query"
            )
        if batch.num_rows == 0:
            continue
        for tally, verdict in zip(tallies, judge.judge(batch), strict=True):
            tally.failed_rows += len(verdict.row_numbers)
            if tally.rule.is_quarantining and len(verdict.row_numbers):
                tally.row_numbers.append(pa.array(verdict.row_numbers))
        evaluated_rows += batch.num_rows
    return tallies, [], evaluated_rows


def _find_missing(suite: Suite, schema: pa.Schema) -> list[str]:
    return [column for column in suite.header.kwargs["column_set"] if column not in schema.names]


def _collect_failures(tallies: list[Tally]) -> pa.Table:
    """The failing rows of the quarantining rules, by row number and then in the order of the rules."""
    parts = [
        pa.table({"row_no": numbers, "position": pa.repeat(position, len(numbers))})
        for position, tally in enumerate(tallies)
        for numbers in tally.row_numbers
    ]
    if not parts:
        return FAILURES.empty_table()
    found = pa.concat_tables(parts).sort_by([("row_no", "ascending"), ("position", "ascending")])
    rules = pa.table(
        {
            "expectation": pa.array([tally.rule.name for tally in tallies], pa.string()),
            "reason": pa.array([tally.rule.reason for tally in tallies], pa.string()),
        }
    ).take(found["position"])
    columns = [found["row_no"], rules["expectation"], rules["reason"]]
    return pa.table(dict(zip(FAILURES.names, columns, strict=True)), schema=FAILURES)


def _describe_missing(suite: Suite, missing: list[str]) -> str:
    return f"{suite.dataset}: missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}. {suite.header.why}"


def _describe_failure(suite: Suite, tally: Tally, evaluated_rows: int) -> str:
    return (
        f"{suite.dataset}: {tally.failed_rows:,} of {evaluated_rows:,} rows fail '{tally.rule.name}'. {tally.rule.why}"
    )
