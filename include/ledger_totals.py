"""One file a month for the general ledger: what its statements add up to, by kind, section and component."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from include.carm.errors import Unavailable
from include.documents import write_file

if TYPE_CHECKING:
    from include.carm.period import Period
    from include.lake import Lake
    from include.workspace import Workspace

COLUMNS = ("period", "kind", "section", "component", "debit_cents", "credit_cents", "line_count")


def write_ledger_totals(ws: Workspace, lake: Lake, period: Period, area: str) -> list[Path]:
    """Write ``documents/ledger/period=P/ledger-totals.csv`` and ``.json`` from the sealed ``ledger_totals``.

    The sums of both columns are the debits and credits of the month's statements, which was proved before they were
    sealed. The same month gives the same bytes. Raises ``Unavailable`` where a file cannot be written.
    """
    rows = pq.read_table(lake.file("ledger_totals", period), partitioning=None).to_pylist()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({"period": str(period), **row} for row in rows)
    whole = {
        "period": str(period),
        "debit_cents": sum(row["debit_cents"] for row in rows),
        "credit_cents": sum(row["credit_cents"] for row in rows),
        "totals": rows,
    }
    folder = ws.documents(area) / "ledger" / f"period={period}"
    contents = {"csv": text.getvalue(), "json": json.dumps(whole, indent=1) + "\n"}
    paths = {format: folder / f"ledger-totals.{format}" for format in contents}
    try:
        for format, path in paths.items():
            write_file(path, contents[format].encode())
    except OSError as error:
        raise Unavailable(
            f"cannot write the ledger totals of {period} into {folder} ({error.strerror or error}): make room in the "
            "data folder, or make it writable, and run the month again"
        ) from error
    return list(paths.values())
