"""Arrow batches as the pandas frames that Great Expectations judges, without losing a cent or a day."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from include.carm.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

# A column of nothing but NULL has no type of its own; it is judged as empty text.
_TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)

_EPOCH = datetime.date(1970, 1, 1)
# What fits into nanoseconds with room to spare. No rule's bound lies outside, so a day moved to the edge answers every
# "before 1980?" and "after 2199?" as the day itself would.
_FIRST_DAY = (datetime.date(1700, 1, 1) - _EPOCH).days
_LAST_DAY = (datetime.date(2262, 1, 1) - _EPOCH).days


def to_frame(batch: pa.RecordBatch, columns: Sequence[str]) -> pd.DataFrame:
    """The named columns of ``batch`` as a frame whose index is ``row_no``.

    Whole numbers become ``int64``, with nulls pandas' ``Int64``: never float, which loses cents above 2**53. Days
    become ``datetime64[ns]``, the only date type that Great Expectations compares as a vector; those before 1700 and
    from 2262 on are moved to these edges. Raises ``DataError`` for a column of another type, or where ``row_no`` is
    null.
    """
    import pandas as pd

    if batch.column("row_no").null_count:
        raise DataError("a staged row has no row_no, so it could not be set apart: number the rows")
    # As the index, the numbers of failing rows are read off at once; as a column, one by one.
    return pd.DataFrame({name: _to_series(name, batch.column(name)) for name in columns}).set_index("row_no")


def _to_series(name: str, values: pa.Array) -> pd.Series:
    import pandas as pd

    type_ = values.type
    if pa.types.is_dictionary(type_):
        values, type_ = values.dictionary_decode(), type_.value_type
    if any(is_text(type_) for is_text in _TEXT_TYPES):
        return values.cast(pa.string()).to_pandas()
    if pa.types.is_boolean(type_):
        return values.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get if values.null_count else None)
    # SQL sums of 64-bit numbers come as 128-bit decimals without decimals.
    if pa.types.is_integer(type_) or (pa.types.is_decimal(type_) and type_.scale == 0):
        whole = _to_int64(name, values)
        return whole.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get if whole.null_count else None)
    if pa.types.is_date32(type_):
        days = values.cast(pa.int32())
        days = pc.max_element_wise(days, pa.scalar(_FIRST_DAY, pa.int32()), skip_nulls=False)
        days = pc.min_element_wise(days, pa.scalar(_LAST_DAY, pa.int32()), skip_nulls=False)
        return days.cast(pa.date32()).cast(pa.timestamp("ns")).to_pandas()
    raise DataError(
        f"column {name} comes as {type_}: give money and counts as int64, days as date32, the rest as text or boolean"
    )


def _to_int64(name: str, values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:
        # The message of the cast names the value, and values stay out of logs: so it is not chained.
        raise DataError(f"column {name} has a number that does not fit into int64: look for it in the source") from None
