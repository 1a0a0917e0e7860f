"""The audit chain: what was planned, approved, applied, undone and issued, each link hashed over the one before.

Whoever changes a past link, or what it recorded, must change every link after it; and the head, printed in the summary
of each month, lies outside. A link is appended in the transaction of what it tells, so neither is there without the
other. :func:`find_broken_link` finds a chain that does not hold; what the links say about plans, journal and statements
is held against the data by :mod:`include.verify`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, insert, select
from sqlalchemy.engine import Connection

from include.operations_plan_tables import AUDIT_CHAIN

BEGINNING = "0" * 64
"""What the first link has in place of a link before it."""

_ROWS_A_READ = 5_000


@dataclass(frozen=True)
class Link:
    """One row of the chain; ``facts`` as the text that was hashed."""

    link_no: int
    event: str
    subject: str
    facts: str
    previous_sha256: str
    sha256: str

    def expected_sha256(self) -> str:
        """The hash that the row's own content gives."""
        return _hash(self.link_no, self.event, self.subject, self.facts, self.previous_sha256)


def append_link(connection: Connection, event: str, subject: str, facts: Mapping[str, Any]) -> str:
    """Append a link in the caller's write transaction; returns its hash, the new head.

    ``facts`` must be JSON of counts, hashes, names of users and reasons; no balance, address or client's name.
    """
    if connection.dialect.name == "postgresql":
        # Two writers would both follow the same link; in SQLite there is only one.
        connection.exec_driver_sql(f"LOCK TABLE {AUDIT_CHAIN.name} IN EXCLUSIVE MODE")
    last = connection.execute(select(AUDIT_CHAIN).order_by(AUDIT_CHAIN.c.link_no.desc()).limit(1)).first()
    number, previous = (last.link_no + 1, last.sha256) if last is not None else (1, BEGINNING)
    text = _json(facts)
    sha256 = _hash(number, event, subject, text, previous)
    connection.execute(
        insert(AUDIT_CHAIN).values(
            link_no=number, event=event, subject=subject, facts=text, previous_sha256=previous, sha256=sha256
        )
    )
    return sha256


def read_links(connection: Connection) -> Iterator[Link]:
    """All links, the oldest first."""
    for row in connection.execute(select(AUDIT_CHAIN).order_by(AUDIT_CHAIN.c.link_no)):
        yield Link(row.link_no, row.event, row.subject, row.facts, row.previous_sha256, row.sha256)


def facts_told(connection: Connection, event: str, subject: str) -> list[dict[str, Any]]:
    """What the links of this event and subject tell, the newest first."""
    query = select(AUDIT_CHAIN.c.facts).where(AUDIT_CHAIN.c.event == event, AUDIT_CHAIN.c.subject == subject)
    return [json.loads(text) for text in connection.execute(query.order_by(AUDIT_CHAIN.c.link_no.desc())).scalars()]


def chain_head(connection: Connection) -> str | None:
    """The hash of the last link, or None while nothing was recorded."""
    query = select(AUDIT_CHAIN.c.sha256).order_by(AUDIT_CHAIN.c.link_no.desc()).limit(1)
    return connection.execute(query).scalar()


def find_broken_link(connection: Connection) -> tuple[Link, str] | None:
    """The first link that does not follow from the one before, and what is wrong with it; None where all hold."""
    number, previous = 1, BEGINNING
    for link in read_links(connection):
        if link.link_no != number:
            return link, f"link {number} before it is missing"
        if link.previous_sha256 != previous:
            return link, "it does not follow the link before it"
        if link.sha256 != link.expected_sha256():
            return link, "its content is not what was hashed"
        number, previous = number + 1, link.sha256
    return None


def digest_rows(connection: Connection, query: Select[Any]) -> str:
    """SHA-256 over the rows of ``query``, one JSON array a line: what a link says of rows that lie in other tables.

    The query names its columns and its order; both are part of what is hashed. The same on SQLite and PostgreSQL.
    """
    columns = [column.name for column in query.selected_columns]
    digest = hashlib.sha256(f"{_json(columns)}\n".encode())
    for row in connection.execute(query.execution_options(yield_per=_ROWS_A_READ)):
        digest.update(f"{_json(list(row))}\n".encode())
    return digest.hexdigest()


def _json(content: Any) -> str:
    # Days as ISO text, as both databases show them.
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def _hash(link_no: int, event: str, subject: str, facts: str, previous: str) -> str:
    return hashlib.sha256(_json([link_no, event, subject, facts, previous]).encode()).hexdigest()
