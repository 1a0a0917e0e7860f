"""The notice of one account that is open again, or whose program type is put back, told when it is recorded.

The Dag ``carm_reinstate_account`` tells its own act at once. What the command line undoes is told with the month whose
decisions are the first to know of it, so that the undoing of a whole plan may become a digest. Nothing is sent here.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from include import engine
from include.account_notices import OCCASIONS, AccountNotices, find_recipients
from include.carm.contacts import Contacts
from include.carm.notice_policy import NoticePolicy
from include.carm.period import Period
from include.notice_intents import owed_events
from include.notice_page import Message, NoticePages
from include.notices import leave_out, publish_messages, sort_out
from include.operations_notice_tables import NOTICE_INTENTS
from include.outbox import kept_messages
from include.owed_notices import write_owed
from include.person_records import BEFORE_ANY_MONTH
from include.unsubscribe import proved_key

if TYPE_CHECKING:
    from include.workspace import Workspace

DATASET, PACKS = "reinstatement_notices", "reinstated"


def publish_reinstatement_notice(
    ws: Workspace,
    outcome: Mapping[str, Any],
    *,
    recipient_hash_key: bytes | str,
    run_id: str,
    policy: NoticePolicy | None = None,
) -> dict[str, Any]:
    """Render the notice of the counter-action ``outcome`` (of ``reinstate_account``), and publish it.

    The dataset ``reinstatement_notices`` is that of the newest issued month, whose last day says who is told; it keeps
    what was told in it before. What was told, here or by a month, is not told again. What a digest of that month was
    called off for is told anew (:func:`include.owed_notices.write_owed`). A notice bears the day from which the account
    is open again, for that is the day that a person gave. Before the first month is issued nobody can be told yet: that
    month does it, and this returns ``{"notices": 0, "told_with": "the first month"}``. Else it returns what
    :func:`include.notices.publish_notices` returns, with the same errors.
    """
    hash_key, policy = proved_key(ws, recipient_hash_key), policy or NoticePolicy.load()
    if outcome["known_from"] == BEFORE_ANY_MONTH:
        return {"notices": 0, "told_with": "the first month"}
    period = Period.parse(outcome["known_from"]).previous()
    lake, contacts = ws.lake(), Contacts.load()
    with ws.operations.connect() as connection:
        intent = NOTICE_INTENTS.c
        is_this = intent.cause == f"reinstatement {outcome['reinstatement_no']}"
        is_untold = intent.state.in_(("owed", "unreachable"))
        events = owed_events(connection, str(period), is_this & is_untold)
        standing = kept_messages(connection, str(period), PACKS)
    occasions = pa.Table.from_pylist(events, OCCASIONS)
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        recipients = find_recipients(ws, con, lake, period, policy, occasions)
    reachable, unreachable = sort_out(recipients, hash_key, lambda row: row["subject_of_notice"])
    reachable = leave_out(reachable, standing)
    pages = NoticePages(contacts)

    def render(row: Mapping[str, Any]) -> Message:
        notices = AccountNotices(period, ws.calendar, contacts, written_on=row["effective_on"])
        return pages.render(notices.notice_of(row), row["language"])

    month = {"period": str(period), "effects": "live", "area": "lake", "run_id": run_id}
    packs = {"reinstatement": PACKS}
    told = publish_messages(ws, month, DATASET, packs, reachable, unreachable, render, standing=standing)
    write_owed(ws, recipient_hash_key=hash_key, run_id=run_id)
    return told
