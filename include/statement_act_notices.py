"""The notices of acts about issued statements: a version is ready, or one is withdrawn. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from include.addresses import account_addresses, delegate_addresses
from include.carm.contacts import Contacts
from include.carm.notice_policy import ACCOUNT_ITSELF, NoticePolicy
from include.carm.period import Period
from include.notice_intents import about_act, untold_causes
from include.notice_page import Message, NoticePages, StatementNotice, WithdrawalNotice, one_line
from include.notices import leave_out, publish_messages, sort_out
from include.outbox import kept_messages
from include.owed_notices import write_owed
from include.register import accounts_on_record
from include.statement_acts import find_acts
from include.statement_versions import read_version, versions_of
from include.unsubscribe import proved_key

if TYPE_CHECKING:
    from include.carm.statement import StatementHead
    from include.workspace import Workspace

PACKS = "reissue"
_ADDRESSED = pa.schema(
    [
        ("kind", pa.string()),
        ("bn15", pa.string()),
        ("act_no", pa.int64()),
        ("version", pa.int64()),
        ("subject_of_notice", pa.string()),
        ("address", pa.string()),
        ("language", pa.string()),
    ]
)


def publish_act_notices(
    ws: Workspace,
    period: Period,
    *,
    recipient_hash_key: bytes | str,
    run_id: str,
    policy: NoticePolicy | None = None,
) -> dict[str, Any]:
    """Render a notice for each act about the statements of the month that is still to be told, and publish it.

    The dataset ``reissue_notices`` keeps what was told in it before: of an act that was told nobody is told again,
    whatever address the account has by now. What a digest was called off for is told anew
    (:func:`include.owed_notices.write_owed`).

    It goes to whom the policy names for statements, by the addresses that the account and its delegates have in the
    month from which the act is known, in the language of its version. Returns what
    :func:`include.notices.publish_notices` returns, with the same errors.
    """
    hash_key, roles = proved_key(ws, recipient_hash_key), (policy or NoticePolicy.load()).recipients["statement"]
    with ws.operations.connect() as connection:
        untold = untold_causes(connection, str(period))
        acts = [act for act in find_acts(connection, period) if f"act {act['act_no']}" in untold]
        standing = kept_messages(connection, str(period), PACKS)
    heads = {act["act_no"]: _head_of(ws, period, act) for act in acts}
    rows = [_addressed(act, heads[act["act_no"]], address) for act in acts for address in _addresses_of(ws, act, roles)]
    table = pa.Table.from_pylist(rows, schema=_ADDRESSED)
    reachable, unreachable = sort_out(table, hash_key, lambda row: row["subject_of_notice"])
    reachable = leave_out(reachable, standing)
    by_number = {act["act_no"]: act for act in acts}
    pages = NoticePages(Contacts.load())

    def render(row: Mapping[str, Any]) -> Message:
        act = by_number[row["act_no"]]
        return pages.render(_notice(act, heads[act["act_no"]]), row["language"])

    month = {"period": str(period), "effects": "live", "area": "lake", "run_id": run_id}
    packs = {"statement": PACKS}
    told = publish_messages(ws, month, "reissue_notices", packs, reachable, unreachable, render, standing=standing)
    write_owed(ws, recipient_hash_key=hash_key, run_id=run_id)
    return told


def _head_of(ws: Workspace, period: Period, act: Mapping[str, Any]) -> StatementHead:
    with ws.operations.connect() as connection:
        (row,) = [one for one in versions_of(connection, period, act["bn15"]) if one.version == act["version"]]
    return read_version(ws, period, row).statement.head


def _addresses_of(ws: Workspace, act: Mapping[str, Any], roles: Collection[str]) -> list[str | None]:
    """Whom to write to, once each, as of the last day of the newest month that was issued when the act was recorded.

    None alone where there is nobody.
    """
    newest, number = Period.parse(act["known_from"]).previous(), act["bn15"]
    versions = {(row["bn15"], row["valid_from"]) for row in accounts_on_record(ws, newest, bn15=number).to_pylist()}
    found = [
        row["email"]
        for row in account_addresses(ws, newest, bn15=number).to_pylist()
        if ACCOUNT_ITSELF in roles and (row["bn15"], row["valid_from"]) in versions
    ]
    if versions:
        delegates = delegate_addresses(ws, ws.lake(), newest, bn15=number).to_pylist()
        found += [row["email"] for row in delegates if row["role"] in roles]
    return [*sorted({email.strip().lower() for email in found if email})] or [None]


def _addressed(act: Mapping[str, Any], head: StatementHead, address: str | None) -> dict[str, Any]:
    return {
        # A notice of a version has the key that a notice of its month would have: it is the same message.
        "kind": "statement",
        "subject_of_notice": about_act(act["act"], act["bn15"], act["period"]),
        "address": address,
        "language": head.language,
        **{name: act[name] for name in ("bn15", "act_no", "version")},
    }


def _notice(act: Mapping[str, Any], head: StatementHead) -> StatementNotice | WithdrawalNotice:
    reason = {"en": act["reason_en"], "fr": act["reason_fr"]}
    common: dict[str, Any] = {
        "bn15": head.bn15,
        "legal_name": one_line(head.legal_name),
        "issued_on": date.fromisoformat(head.issued_on),
        "period_start": date.fromisoformat(head.period_start),
        "period_end": date.fromisoformat(head.period_end),
        "version": head.version,
        "written_on": act["acted_on"],
        "reason": reason,
    }
    if act["act"] == "withdraw":
        return WithdrawalNotice(**common)
    return StatementNotice(**common, due_on=date.fromisoformat(head.due_on))
