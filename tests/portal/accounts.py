"""Accounts of the portal's world by what tests are about, and what the audit chain says of who was shown them."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import func, select, update

from include.database import write_transaction
from include.operations_plan_tables import ACCOUNT_CHANGES, AUDIT_CHAIN
from include.operations_statement_tables import STATEMENT_REGISTRY
from include.source_schema import TABLES
from include.workspace import Workspace

ACCOUNTS, TRANSACTIONS, DELEGATIONS = (TABLES[name] for name in ("accounts", "transactions", "delegations"))


def one(ws: Workspace, query: Any) -> Any:
    with ws.operations.connect() as connection:
        return connection.execute(query).scalars().first()


def with_statement(ws: Workspace, language: str = "en", period: str = "2022-01") -> str:
    """An account with a statement of the month, whose language it is, and with an address."""
    registry = STATEMENT_REGISTRY.c
    query = (
        select(registry.bn15)
        .join_from(STATEMENT_REGISTRY, ACCOUNTS, ACCOUNTS.c.bn15 == registry.bn15)
        .where(registry.period == period, ACCOUNTS.c.language == language, ACCOUNTS.c.email.is_not(None))
        .order_by(registry.bn15)
    )
    found: str = one(ws, query)
    return found


def busiest(ws: Workspace) -> str:
    """The account with the most transactions."""
    bn15 = TRANSACTIONS.c.bn15
    found: str = one(ws, select(bn15).group_by(bn15).order_by(func.count().desc()))
    return found


def closed(ws: Workspace) -> str:
    """An account that a plan closed."""
    change = ACCOUNT_CHANGES.c
    found: str = one(ws, select(change.bn15).where(change.action == "close", change.outcome == "applied"))
    return found


def rewrite(ws: Workspace, bn15: str, **values: Any) -> None:
    """Let the register say otherwise of all versions of an account."""
    with write_transaction(ws.operations) as connection:
        connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15).values(**values))


def shown_to(ws: Workspace) -> list[tuple[str, dict[str, Any]]]:
    """What was shown unmasked: the subject and the facts of each link, the oldest first."""
    chain = AUDIT_CHAIN.c
    query = select(chain.subject, chain.facts).where(chain.event == "unmask").order_by(chain.link_no)
    with ws.operations.connect() as connection:
        return [(row.subject, json.loads(row.facts)) for row in connection.execute(query)]
