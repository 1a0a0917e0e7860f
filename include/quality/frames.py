"""Arrow batches as the pandas frames that Great Expectations judges, without losing a cent or a day."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from include.carm.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# A column of nothing but NULL has no type of its own; it is judged as empty text.
_TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)

_EPOCH = datetime.date(1970, 1, 1)
# What fits into nanoseconds with room to spare. No rule's bound lies outside, so a day moved to the edge answers every
# "before 1980?" and "after 2199?" as the day itself would.
_FIRST_DAY = (datetime.date(1700, 1, 1) - _EPOCH).days
_LAST_DAY = (datetime.date(2262, 1, 1) - _EPOCH).days


def to_frame(batch: pa.RecordBatch, columns: Sequence[str]) -> pd.DataFrame:
    """The named columns of ``batch`` as a frame whose index is the position in the batch.

    Whole numbers become ``int64``, with nulls pandas' ``Int64``: never float, which loses cents above 2**53. Days
    become ``datetime64[ns]``, the only date type that Great Expectations compares as a vector; those before 1700 and
    from 2262 on are moved to these edges. Raises ``DataError`` for a column of another type.
    """
    import pandas as pd

    return pd.DataFrame({name: _to_series(to_plain(name, batch.column(name))) for name in columns})


def to_frame_of_values(name: str, values: pa.Array) -> pd.DataFrame:
    """A frame of one column, which holds ``values`` as :func:`to_plain` gave them."""
    import pandas as pd

    return pd.DataFrame({name: _to_series(values)})


def to_row_numbers(batch: pa.RecordBatch) -> np.ndarray:
    """The numbers of the rows (int64). Raises ``DataError`` where one is null."""
    numbers = batch.column("row_no")
    if numbers.null_count:
        raise DataError("a staged row has no row_no, so it could not be set apart: number the rows")
    return _to_int64("row_no", numbers).to_numpy()


def to_plain(name: str, values: pa.Array) -> pa.Array:
    """``values`` as one of the four types that a rule may read: text, boolean, int64 or instants.

    Values that are equal here are equal for every rule. Raises ``DataError`` for a column of another type.
    """
    type_ = values.type
    if pa.types.is_dictionary(type_):
        values, type_ = values.dictionary_decode(), type_.value_type
    if any(is_text(type_) for is_text in _TEXT_TYPES):
        return values.cast(pa.string())
    if pa.types.is_boolean(type_):
        return values
    # SQL sums of 64-bit numbers come as 128-bit decimals without decimals.
    if pa.types.is_integer(type_) or (pa.types.is_decimal(type_) and type_.scale == 0):
        return _to_int64(name, values)
    if pa.types.is_date32(type_):
        days = values.cast(pa.int32())
        days = pc.max_element_wise(days, pa.scalar(_FIRST_DAY, pa.int32()), skip_nulls=False)
        days = pc.min_element_wise(days, pa.scalar(_LAST_DAY, pa.int32()), skip_nulls=False)
        return days.cast(pa.date32()).cast(pa.timestamp("ns"))
    raise DataError(
        f"column {name} comes as {type_}: give money and counts as int64, days as date32, the rest as text or boolean"
    )


def _to_series(values: pa.Array) -> pd.Series:
    import pandas as pd

    nullable = {pa.bool_(): pd.BooleanDtype(), pa.int64(): pd.Int64Dtype()}
    return values.to_pandas(types_mapper=nullable.get if values.null_count else None)


def _to_int64(name: str, values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:
        # The message of the cast names the value, and values stay out of logs: so it is not chained.
        raise DataError(f"column {name} has a number that does not fit into int64: look for it in the source") from None
