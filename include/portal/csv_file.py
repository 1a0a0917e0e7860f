"""Rows as a CSV file that is sent while it is written, and that no spreadsheet takes for formulas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from fastapi.responses import StreamingResponse

from include.carm.statement import FORMULA
from include.portal.pages import HEADERS

if TYPE_CHECKING:
    import pyarrow as pa

_BEGINS_A_FORMULA = f"^{FORMULA.pattern}"
"""The same texts as in the statements' own files."""


def send_csv(name: str, columns: Iterable[str], batches: Iterable[pa.RecordBatch]) -> StreamingResponse:
    """The file ``name``: a heading of ``columns``, then the rows of each batch as it comes."""
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_written(columns, batches), media_type="text/csv; charset=utf-8", headers=headers)


def _written(columns: Iterable[str], batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    import pyarrow as pa
    from pyarrow import csv

    yield ",".join(columns).encode() + b"\n"
    for batch in batches:
        text = pa.BufferOutputStream()
        csv.write_csv(neutralise(batch), text, csv.WriteOptions(include_header=False))
        yield text.getvalue().to_pybytes()


def neutralise(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch as a spreadsheet may read it: a text that would be a formula begins with an apostrophe."""
    import pyarrow as pa

    columns = [_neutralised(column.cast(pa.string())) if _is_text(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value))


def _neutralised(texts: Any) -> Any:
    from pyarrow import compute

    is_formula = compute.match_substring_regex(texts, _BEGINS_A_FORMULA)
    return compute.if_else(is_formula, compute.binary_join_element_wise("'", texts, ""), texts)
