"""The interest that a month's overdue debts bear by the rule, beside what the ledger posted; see include.carm.interest.

It is told on the statement and in the run's summary, and corrects nothing: INT comes from the ledger alone.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from include import engine
from include.carm.errors import DataError
from include.carm.interest import InterestRates, Piece, RateMissing
from include.datasets import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

    from include.carm.period import Period
    from include.workspace import Workspace


def calculate_interest(ws: Workspace, con: DuckDBPyConnection, period: Period, rates: InterestRates) -> pa.Table:
    """One row a debt that bore interest in the month: the dataset ``interest``.

    Reads the relations ``items``, ``allocations``, ``open_items`` and ``transaction_kinds``. Where a rate is not known,
    ``interest_cents`` is NULL and ``missing_quarter`` names the first that is not. Raises ``DataError`` then, where the
    policy has ``strict_rates``.
    """
    days = {
        "period": str(period),
        "period_start": ws.calendar.start(period),
        "period_end": ws.calendar.end(period),
    }
    found = _calculate(engine.run(con, "select_interest_pieces", None, days), rates)
    columns = list(zip(*found, strict=True)) or [()] * len(schema_of("interest"))
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema_of("interest"), strict=True)]
    table = pa.Table.from_arrays(arrays, schema=schema_of("interest"))
    missing = sorted(set(table.column("missing_quarter").drop_null().to_pylist()))
    if missing and ws.policy.strict_rates:
        raise DataError(
            f"no prescribed rate is known for {', '.join(missing)}: add it to include/config/interest.yaml with its "
            "source, or let strict_rates in the policy be false; then statements that need it go without"
        )
    return table


def _calculate(pieces: pa.RecordBatchReader, rates: InterestRates) -> Iterator[tuple[Any, ...]]:
    for _, own in groupby(_tuples(pieces), key=_DEBT):
        rows = list(own)
        bn15, account_key, item_id, amount_cents, sima_cents, due_on, *_ = rows[0]
        # A share of the whole debt: which of its cents a payment took, no rule says.
        sima_share = Decimal(sima_cents) / amount_cents if 0 < sima_cents <= amount_cents else _NONE
        parts = [Piece(part_cents, sima_share, due_on, first_on, last_on) for *_, first_on, last_on, part_cents in rows]
        first_on, last_on = min(part.first for part in parts), max(part.last for part in parts)
        overdue_cents = sum(part.cents for part in parts)
        cents, missing = None, None
        try:
            cents = rates.interest(parts)
        except RateMissing as error:
            missing = error.quarter
        yield bn15, account_key, item_id, overdue_cents, due_on, first_on, last_on, cents, missing


_DEBT = itemgetter(1, 2)
"""What tells the debt of a piece: account and item."""
_NONE = Decimal(0)


def _tuples(rows: pa.RecordBatchReader) -> Iterator[tuple[Any, ...]]:
    for batch in rows:
        for start in range(0, batch.num_rows, _ROWS_A_TIME):
            part = batch.slice(start, _ROWS_A_TIME)
            yield from zip(*(column.to_pylist() for column in part.columns), strict=True)


# Python objects are large.
_ROWS_A_TIME = 20_000
