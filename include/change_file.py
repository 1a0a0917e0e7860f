"""The change file: a plan handed over to a register that the pipeline may not write, and what the register made of it.

The journal is written first, and the file is drawn from it: what lies in the folder was committed, and a run that died
in between writes the same bytes again. Its last line is a control record with the number of changes and the SHA-256 of
all lines before it, so that a file that was cut off or edited on its way is told from a whole one. The next month's
extract then says of each change whether it was made.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import select, update

from include import engine
from include.audit import append_link
from include.carm.errors import DataError, Unavailable
from include.carm.period import Period
from include.database import write_transaction
from include.documents import write_file
from include.journal import count_outcomes, journal_sha256
from include.notice_intents import owe_confirmed
from include.operations_plan_tables import ACCOUNT_CHANGES, PLANS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

HEADER = (
    "record",
    "bn15",
    "action",
    "effective_on",
    "valid_from",
    "program_type",
    "new_program_type",
    "rule_id",
    "reason",
)
"""The first line. ``valid_from`` and ``program_type`` say which version of the account the change was planned for."""

_CONTROL = "control"  # record, plan hash, period, number of changes, SHA-256 of the lines before
_KEYS_A_QUERY = 5_000


def change_file_path(ws: Workspace, period: Period | str, plan_hash: str) -> Path:
    """Where the plan's file lies."""
    return ws.data / "changes" / f"period={period}" / f"plan-{plan_hash[:16]}.csv"


def publish_change_file(ws: Workspace, plan_hash: str) -> Path:
    """Write the file of a plan that was handed over, readable by its owner alone, and move it into place.

    A file that is there and whole is left alone. Raises ``Unavailable`` where it cannot be written.
    """
    with ws.operations.connect() as connection:
        content = _content(connection, plan_hash)
        period = connection.execute(select(PLANS.c.period).where(PLANS.c.plan_hash == plan_hash)).scalar()
    path = change_file_path(ws, str(period), plan_hash)
    if path.exists() and path.read_bytes() == content:
        return path
    try:
        write_file(path, content)
    except OSError as error:
        raise Unavailable(
            f"cannot write the change file {path} ({error.strerror or error}): the plan is handed over on record; make "
            "room in the data folder, or make it writable, and clear the task"
        ) from error
    return path


def change_file_sha256(connection: Connection, plan_hash: str) -> str:
    """The SHA-256 of the plan's whole file."""
    return hashlib.sha256(_content(connection, plan_hash)).hexdigest()


def _content(connection: Connection, plan_hash: str) -> bytes:
    """The file as it follows from the journal, whatever the register has answered since."""
    change = ACCOUNT_CHANGES.c
    query = select(ACCOUNT_CHANGES).where(
        change.plan_hash == plan_hash, change.outcome.in_(("handed_over", "confirmed", "not_done"))
    )
    rows = connection.execute(query.order_by(change.account_key, change.bn15)).mappings().all()
    period = connection.execute(select(PLANS.c.period).where(PLANS.c.plan_hash == plan_hash)).scalar()
    body = _csv([HEADER, *(["change", *(row[name] for name in HEADER[1:])] for row in rows)])
    control = [_CONTROL, plan_hash, period, len(rows), hashlib.sha256(body).hexdigest()]
    return body + _csv([control])


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def read_change_file(path: Path) -> list[dict[str, str]]:
    """The changes of a file, after its control record has borne it out; what the register's side may do as well.

    Raises ``DataError`` for a file that was cut off or edited.
    """
    content = path.read_bytes()
    body, _, last = content.removesuffix(b"\n").rpartition(b"\n")
    body += b"\n"
    control = next(csv.reader([last.decode(errors="replace")]), [])
    rows = list(csv.DictReader(io.StringIO(body.decode(errors="replace"), newline="")))
    expected = [_CONTROL, str(len(rows)), hashlib.sha256(body).hexdigest()]
    if not content.endswith(b"\n") or len(control) != 5 or [control[0], *control[3:]] != expected:
        raise DataError(f"{path} is not whole: its control record does not fit its lines; have it handed over again")
    return rows


# What the register made of it.


def confirm_changes(ws: Workspace, month: Mapping[str, Any]) -> dict[str, int]:
    """Hold the changes handed over in earlier months against the month's extract of the accounts.

    Each becomes ``confirmed`` or ``not_done``; an account that the extract does not have stays handed over, for nothing
    can be told of it. A plan without a change left to answer for counts as applied. Only a live run of a month that is
    not issued asks. Returns ``{"confirmed": n, "not_done": n, "open": n}``; a second call finds nothing new.
    """
    counts = {"confirmed": 0, "not_done": 0, "open": 0}
    if month["effects"] != "live" or month["area"] != "lake":
        return counts
    with ws.operations.connect() as connection:
        if not _read_handed_over(connection, month["period"]).num_rows:
            return counts
    with write_transaction(ws.operations) as connection:
        waiting = _read_handed_over(connection, month["period"])
        with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
            accounts = ws.lake().file("accounts", Period.parse(month["period"]))
            answers = engine.run_table(
                con, "select_confirmed_changes", {"handed_over": waiting, "accounts": [accounts]}
            ).to_pylist()
        by_answer: dict[tuple[str, str], list[str]] = {}
        for row in answers:
            by_answer.setdefault((row["plan_hash"], row["outcome"]), []).append(row["bn15"])
        for (plan_hash, outcome), numbers in by_answer.items():
            counts[outcome] += len(numbers)
            _settle(connection, plan_hash, outcome, numbers, month["period"])
        for plan_hash in sorted({plan_hash for plan_hash, outcome in by_answer if outcome == "confirmed"}):
            owe_confirmed(connection, plan_hash, month["period"], month["run_id"])
        counts["open"] = waiting.num_rows - len(answers)
        for plan_hash in sorted({plan_hash for plan_hash, _ in by_answer}):
            _close(connection, plan_hash, month["period"])
    return counts


def _read_handed_over(connection: Connection, period: str) -> pa.Table:
    change = ACCOUNT_CHANGES.c
    columns = (change.plan_hash, change.bn15, change.action, change.new_program_type)
    query = select(*columns).where(change.outcome == "handed_over", change.period < period)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return pa.Table.from_pylist(rows, schema=pa.schema([(column.name, pa.string()) for column in columns]))


def _settle(connection: Connection, plan_hash: str, outcome: str, numbers: list[str], period: str) -> None:
    change = ACCOUNT_CHANGES.c
    for start in range(0, len(numbers), _KEYS_A_QUERY):
        these = change.bn15.in_(numbers[start : start + _KEYS_A_QUERY])
        connection.execute(
            update(ACCOUNT_CHANGES)
            .where(change.plan_hash == plan_hash, change.outcome == "handed_over", these)
            .values(outcome=outcome, settled_in=period)
        )


def _close(connection: Connection, plan_hash: str, period: str) -> None:
    """Bring the plan up to what its journal says, and record that in the audit chain."""
    found = count_outcomes(connection, plan_hash)
    if not found.get("handed_over"):
        connection.execute(
            update(PLANS)
            .where(PLANS.c.plan_hash == plan_hash, PLANS.c.effects == "live", PLANS.c.state == "handed_over")
            .values(
                state="applied",
                applied_count=found.get("confirmed", 0) + found.get("announced", 0),
                dropped_count=found.get("dropped", 0) + found.get("not_done", 0),
            )
        )
    facts = {
        "plan_hash": plan_hash,
        "period": period,
        "confirmed": found.get("confirmed", 0),
        "not_done": found.get("not_done", 0),
        "open": found.get("handed_over", 0),
        "journal_sha256": journal_sha256(connection, plan_hash),
    }
    append_link(connection, "confirmation", plan_hash, facts)


def change_file_lines(counts: Mapping[str, int]) -> list[str]:
    """What :func:`confirm_changes` found, for people."""
    if not any(counts.values()):
        return []
    told = f"{counts['confirmed']:,} confirmed, {counts['not_done']:,} not done, {counts['open']:,} not to be told"
    return [f"Changes handed over before: {told}"]
