"""What has changed since a certificate was written: the parts that are cheap to look at again, and no proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from include.carm.counts import tell_count
from include.certificate import Certificate
from include.certificate_facts import count_acts, describe_chain, describe_files, describe_plan
from include.certificate_versions import changed_versions, describe_versions
from include.coverage import coverage_id
from include.operations_plan_tables import AUDIT_CHAIN
from include.outbox import count_messages
from include.statement_registry import is_issued
from include.tellings import count_unreached

if TYPE_CHECKING:
    from include.workspace import Workspace

LOOKED_AT = (
    *("issue", "coverage", "sealed files", "plan", "statement acts", "outbox", "notices that reach nobody"),
    "versions",
)
"""What is looked at; whether the figures still add up is for ``carm verify``."""


def find_changes(ws: Workspace, certificate: Certificate) -> list[dict[str, Any]]:
    """What is no longer as the certificate tells: rows of ``what``, ``then`` and ``now``, in the order of LOOKED_AT."""
    period, area = certificate.period, certificate.area
    month, moment = certificate.content["month"], certificate.content["moment"]
    with ws.operations.connect() as connection:
        plan = describe_plan(connection, ws.lake(area), period, month["effects"])
        pairs = [
            ("issue", month["issued"], is_issued(connection, period)),
            ("coverage", month["coverage"]["coverage_id"], coverage_id(ws, period)),
            ("sealed files", _hashes(month["files"]), _hashes(describe_files(ws, period, area))),
            ("plan", _plan(month["plan"]), _plan(plan)),
            ("statement acts", moment["statement_acts"], count_acts(connection, period)),
            ("outbox", _outbox(moment["outbox"]), _outbox(count_messages(connection, str(period)))),
        ]
        if moment["unreached"] is not None:
            now = count_unreached(connection, str(period))
            pairs.append(("notices that reach nobody", moment["unreached"], now))
        found = [{"what": what, "then": then, "now": now} for what, then, now in pairs if then != now]
    versions = describe_versions()
    changed = changed_versions(moment["versions"], versions)
    found += [{"what": name, "then": moment["versions"].get(name), "now": versions[name]} for name in changed]
    return found


def _hashes(files: list[dict[str, Any]]) -> dict[str, str]:
    return {file["dataset"]: file["sha256"] for file in files}


def _plan(plan: dict[str, Any] | None) -> dict[str, Any] | None:
    names = ("plan_hash", "state", "answer", "outcomes")
    return None if plan is None else {name: plan[name] for name in names}


def _outbox(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {f"{row['kind']} {row['state']}": row["messages"] for row in rows}


def find_head(ws: Workspace, certificate: Certificate) -> dict[str, Any]:
    """Whether the head of the audit chain that the certificate prints is still in it, and which head it has now."""
    head = certificate.content["moment"]["audit_chain"]["head"]
    query = select(AUDIT_CHAIN.c.link_no).where(AUDIT_CHAIN.c.sha256 == head)
    with ws.operations.connect() as connection:
        is_in_chain = head is None or connection.execute(query).first() is not None
        return {**describe_chain(connection), "has_head_of_certificate": is_in_chain}


def change_lines(changes: list[dict[str, Any]], chain: dict[str, Any]) -> list[str]:
    """What :func:`find_changes` and :func:`find_head` found, for people."""
    lines = [f"Not changed since: {', '.join(LOOKED_AT)}"] if not changes else ["Changed since:"]
    lines += [f"  {tell_change(change)}" for change in changes]
    is_there = "is still in it" if chain["has_head_of_certificate"] else "is NOT in it any more: run carm verify"
    return [*lines, f"Audit chain: {tell_count(chain['links'], 'link')} now; the head above {is_there}"]


def tell_change(change: dict[str, Any]) -> str:
    """A row of :func:`find_changes`, for people."""
    return f"{change['what']}: {_tell(change)}"


def _tell(change: dict[str, Any]) -> str:
    then, now = change["then"], change["now"]
    if change["what"] == "sealed files":
        names = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
        return ", ".join(names)
    if isinstance(then, dict) and isinstance(now, dict) and change["what"] != "plan":
        names = sorted(name for name in then.keys() | now.keys() if then.get(name, 0) != now.get(name, 0))
        return ", ".join(f"{name} {then.get(name, 0):,} -> {now.get(name, 0):,}" for name in names)
    return f"{_short(then)} -> {_short(now)}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        answer = value["answer"]
        by = f", {answer['decision']} by {answer['decided_by']}" if answer else ""
        return f"{value['plan_hash'][:12]} {value['state']}{by}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not known" if value is None else str(value)[:12]
