"""What is still to be done about notices of months that were issued: those that are owed, and letters for the others.

A month that is run settles all that it owes. Of a closed month something is owed again where a digest was called off,
because a person undid one of the events that it told; and what was told may turn out to reach nobody, because its
messages failed or were stopped. Nothing is sent here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from include import engine
from include.account_notices import AccountNotices, find_occasions, find_recipients
from include.carm.contacts import Contacts
from include.carm.errors import DataError
from include.carm.notice_policy import NoticePolicy
from include.carm.period import Period
from include.database import write_transaction
from include.journal import applied_changes
from include.letters import place_letters, read_printed, write_letters
from include.month import close_again, lock_month, release_month
from include.notice_intents import owed_in, settle_unreached
from include.notice_page import NoticePages
from include.notices import letter_printer, list_unreached_in, publish_notices
from include.owed_months import owed_by_month
from include.statement_registry import is_closed
from include.tellings import list_unreached

if TYPE_CHECKING:
    from include.workspace import Workspace


def write_owed(ws: Workspace, *, recipient_hash_key: bytes | str, run_id: str) -> list[dict[str, Any]]:
    """Write the notices of closed months again that owe some; returns ``{"period", "owed", "outbox"}`` of each.

    What a person was told stays told; what only a message told that was called off is told by a further one. Raises as
    :func:`include.notices.publish_notices`; ``Refused`` where a run works on the month.
    """
    with ws.operations.connect() as connection:
        months = [month for month in owed_by_month(connection) if month["is_closed"] and month["owed"]]
    written = []
    for one in months:
        month = {"period": one["period"], "effects": "live", "area": "lake", "run_id": run_id}
        with _locked(ws, month):
            told = publish_notices(ws, month, recipient_hash_key=recipient_hash_key)
            close_again(ws, month)
        written.append({"period": one["period"], "owed": one["owed"], "outbox": told["outbox"]})
    return written


def print_late_letters(
    ws: Workspace, period: Period, *, run_id: str, policy: NoticePolicy | None = None
) -> dict[str, Any]:
    """Print the letters of what turned out to reach nobody since the month was written, and record that it does.

    They lie in packs after those that were printed before, which stay as they are; ``letters.csv`` and
    ``unreachable.csv`` list all. Printed once, whatever runs again. Returns ``{"period", "settled": {kind: {reason:
    n}}, "printed": n, "letters": n, "folder"}``: what reaches nobody that was taken for told, how many letters are new,
    and how many there are. Raises ``DataError`` for a month that was not closed, ``Refused`` where a run works on it.
    """
    policy = policy or NoticePolicy.load()
    with ws.operations.connect() as connection:
        if not is_closed(connection, period):
            raise DataError(f"{period} was not closed by a live run: its letters are printed when it is")
    month = {"period": str(period), "effects": "live", "area": "lake", "run_id": run_id}
    folder, staging = ws.documents() / "notices" / f"period={period}", ws.staging(run_id, "letters")
    lake, contacts = ws.lake(), Contacts.load()
    with _locked(ws, month):
        with (
            ws.operations.connect() as connection,
            ws.spill_folder() as spill,
            closing(engine.connect(spill_folder=spill)) as con,
        ):
            unreached = list_unreached(connection, str(period))
            printed = read_printed(folder, owed_in(connection, str(period)))
            happened: dict[str, Any] = {"account_changes": applied_changes(ws, period), "is_live": True}
            occasions = find_occasions(ws, con, connection, lake, period, policy, **happened)
            recipients = find_recipients(ws, con, lake, period, policy, occasions)
        rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        press = letter_printer(NoticePages(contacts), AccountNotices.of_month(ws, period, contacts))
        letters = write_letters(staging, unreached, recipients, policy.letters, press, printed)
        place_letters(staging, folder, printed)
        rmtree(staging)
        late = [row for row in unreached if row["state"] == "told"]
        with write_transaction(ws.operations) as connection:
            settle_unreached(connection, {(row["kind"], row["about"], row["version"]): row["reason"] for row in late})
        list_unreached_in(ws, folder, str(period))
        close_again(ws, month)
    return {
        "period": str(period),
        "settled": count_by_reason(late),
        "printed": letters - len(printed),
        "letters": letters,
        "folder": str(folder),
    }


def count_by_reason(rows: Sequence[Any]) -> dict[str, dict[str, int]]:
    """How many rows of :func:`include.tellings.list_unreached` there are, by kind and reason."""
    counted: dict[str, dict[str, int]] = {}
    for row in sorted(rows, key=lambda row: (row["kind"], row["reason"])):
        of_kind = counted.setdefault(row["kind"], {})
        of_kind[row["reason"]] = of_kind.get(row["reason"], 0) + 1
    return counted


@contextmanager
def _locked(ws: Workspace, month: dict[str, str]) -> Iterator[None]:
    # Whoever holds the month works on it, as far as anybody here can tell.
    lock_month(ws, Period.parse(month["period"]), month["run_id"], lambda _: True)
    try:
        yield
    finally:
        release_month(ws, month)
