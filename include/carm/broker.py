"""The statement of a customs broker and the index of a provider of services, as objects and as CSV and JSON.

Both are made from the lake's rows once; every format reads the same object. Money is integer cents and a day is ISO
text. What is not in these objects no broker and no provider is told: ``docs/adr/0048`` says why so little is.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

from include.carm.statement import AGEING, COMPONENTS, guard_formula


class BrokerLine(NamedTuple):
    """A line of a client's statement that the broker secured; ``amount_cents`` is its effect, as it stands there."""

    transaction_id: str
    revision: int
    version: int
    kind: str
    transaction_number: str | None
    activity_on: str
    posted_on: str
    due_on: str | None
    status: str
    arrival: str
    customs_duty_cents: int
    excise_duty_cents: int
    excise_tax_cents: int
    gst_cents: int
    anti_dumping_cents: int
    countervailing_cents: int
    surtax_cents: int
    safeguard_cents: int
    provincial_tax_cents: int
    interest_cents: int
    amount_cents: int
    posted_amount_cents: int

    @property
    def components(self) -> tuple[int, ...]:
        """The amounts of :data:`include.carm.statement.COMPONENTS`, in that order."""
        return cast(tuple[int, ...], self[_FIRST_COMPONENT : _FIRST_COMPONENT + len(COMPONENTS)])


_FIRST_COMPONENT = BrokerLine._fields.index(COMPONENTS[0])


class BrokerItem(NamedTuple):
    """What remains open of a secured transaction on the day of issue; a credit is below zero."""

    item_id: str
    kind: str
    transaction_number: str | None
    activity_on: str
    posted_on: str
    due_on: str | None
    is_under_review: bool
    amount_cents: int
    remaining_cents: int
    days_past_due: int

    @property
    def transaction_id(self) -> str:
        """The number of the transaction that the item is."""
        return self.item_id


class BrokerClient(NamedTuple):
    """What the broker secures for one account: closing = opening + debits - credits + moved - settled."""

    bn15: str
    legal_name: str | None
    opening_cents: int
    debits_cents: int
    credits_cents: int
    moved_cents: int
    settled_cents: int
    closing_cents: int
    under_review_cents: int
    ageing_current_cents: int
    ageing_30_cents: int
    ageing_60_cents: int
    ageing_90_cents: int
    ageing_over_90_cents: int
    line_count: int
    item_count: int


class BrokerHead(NamedTuple):
    """What stands above the clients: the broker, the month, and the totals over all clients.

    ``language`` is ``en``, ``fr`` or ``both``; ``legal_name`` is None for a broker without an account of its own.
    """

    bn9: str
    period: str
    period_start: str
    period_end: str
    issued_on: str
    legal_name: str | None
    language: str
    clients: int
    opening_cents: int
    debits_cents: int
    credits_cents: int
    moved_cents: int
    settled_cents: int
    closing_cents: int
    under_review_cents: int
    ageing_current_cents: int
    ageing_30_cents: int
    ageing_60_cents: int
    ageing_90_cents: int
    ageing_over_90_cents: int
    line_count: int
    item_count: int

    @property
    def ageing(self) -> tuple[int, ...]:
        """The amounts of :data:`include.carm.statement.AGEING`, in that order; they add up to what is still open."""
        return cast(tuple[int, ...], self[_FIRST_AGE : _FIRST_AGE + len(AGEING)])


_FIRST_AGE = BrokerHead._fields.index(AGEING[0])


class ClientPart(NamedTuple):
    """One client with its secured lines and open items."""

    client: BrokerClient
    lines: tuple[BrokerLine, ...]
    items: tuple[BrokerItem, ...]


class BrokerStatement(NamedTuple):
    """The statement of one broker, its clients in the order of their numbers."""

    head: BrokerHead
    parts: tuple[ClientPart, ...]


class IndexEntry(NamedTuple):
    """One account with a statement of the month. No amount: who may see it opens the statement."""

    bn15: str
    legal_name: str | None
    version: int
    issued_on: str
    due_on: str
    language: str


class IndexHead(NamedTuple):
    """Whose index it is, and of which month."""

    bn9: str
    period: str
    period_start: str
    period_end: str
    issued_on: str
    legal_name: str | None
    language: str
    clients: int


class ClientIndex(NamedTuple):
    """The index of one provider of services, in the order of the accounts' numbers."""

    head: IndexHead
    entries: tuple[IndexEntry, ...]


FirmDocument = BrokerStatement | ClientIndex


def languages_of(document: FirmDocument) -> tuple[str, ...]:
    """The languages of the page, in the order in which they follow each other."""
    return ("en", "fr") if document.head.language == "both" else (document.head.language,)


# Building

_Row = tuple[Any, ...]


class _Sorted:
    """Rows whose first values are a key, in its order, taken key by key without holding more than one key's rows."""

    def __init__(self, rows: Iterable[_Row]) -> None:
        self._rows = iter(rows)
        self._waiting = next(self._rows, None)

    def take(self, *key: int) -> Iterator[_Row]:
        """The rows of ``key``, without it."""
        width = len(key)
        while self._waiting is not None and self._waiting[:width] == key:
            yield self._waiting[width:]
            self._waiting = next(self._rows, None)

    @property
    def has_more(self) -> bool:
        return self._waiting is not None


def build_broker_statements(
    heads: Iterable[_Row], clients: Iterable[_Row], lines: Iterable[_Row], items: Iterable[_Row]
) -> Iterator[BrokerStatement]:
    """Join heads with clients, lines and items, all in the order of brokers and accounts, one broker after the other.

    Each row begins with its keys: heads with that of the broker, clients with broker and account, and so do lines and
    items; then come the fields. Raises ``ValueError`` where a head or client has not as many rows as it says.
    """
    all_clients, all_lines, all_items = _Sorted(clients), _Sorted(lines), _Sorted(items)
    for broker, *fields in heads:
        head = BrokerHead._make(fields)
        parts = []
        for account, *client in all_clients.take(broker):
            parts.append(
                ClientPart(
                    BrokerClient._make(client),
                    tuple(BrokerLine._make(row) for row in all_lines.take(broker, account)),
                    tuple(BrokerItem._make(row) for row in all_items.take(broker, account)),
                )
            )
        told = (head.clients, *((part.client.line_count, part.client.item_count) for part in parts))
        if told != (len(parts), *((len(part.lines), len(part.items)) for part in parts)):
            raise ValueError(f"a broker of {head.period} has other rows than it says")
        yield BrokerStatement(head, tuple(parts))
    if all_clients.has_more or all_lines.has_more or all_items.has_more:
        raise ValueError("there are rows of a broker without a statement")


def build_client_indexes(heads: Iterable[_Row], entries: Iterable[_Row]) -> Iterator[ClientIndex]:
    """Join heads with their entries, both in the order of providers and beginning with their key.

    Raises ``ValueError`` where a head has not as many entries as it says.
    """
    all_entries = _Sorted(entries)
    for provider, *fields in heads:
        head = IndexHead._make(fields)
        own = tuple(IndexEntry._make(row) for row in all_entries.take(provider))
        if len(own) != head.clients:
            raise ValueError(f"an index of {head.period} has {len(own)} entries instead of {head.clients}")
        yield ClientIndex(head, own)
    if all_entries.has_more:
        raise ValueError("there are entries of an index without a head")


# CSV and JSON

CSV_COLUMNS = ("bn9", "period", "record", "bn15", "legal_name", *BrokerLine._fields, "remaining_cents", "days_past_due")
INDEX_CSV_COLUMNS = ("bn9", "period", *IndexEntry._fields)
_GUARDED = tuple(
    CSV_COLUMNS.index(name) for name in ("legal_name", "transaction_id", "kind", "transaction_number", "status")
)


def render_csv(document: FirmDocument) -> bytes:
    """A statement's lines and open items, or an index's entries, as CSV (RFC 4180, UTF-8); amounts in integer cents.

    ``record`` tells ``transaction`` from ``open_item``: ``amount_cents`` of the ones adds up to what the month brought,
    ``remaining_cents`` of the others to what is still open. Text that a spreadsheet would calculate gets a ``'`` before
    it.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    if isinstance(document, ClientIndex):
        writer.writerow(INDEX_CSV_COLUMNS)
        for entry in document.entries:
            cells = entry._replace(legal_name=guard_formula(entry.legal_name))
            writer.writerow((document.head.bn9, document.head.period, *cells))
    else:
        writer.writerow(CSV_COLUMNS)
        for row in _csv_rows(document):
            for column in _GUARDED:
                row[column] = guard_formula(cast(str | None, row[column]))
            writer.writerow(row)
    return out.getvalue().encode()


def _csv_rows(statement: BrokerStatement) -> Iterator[list[object]]:
    broker = (statement.head.bn9, statement.head.period)
    for client, lines, items in statement.parts:
        account = (client.bn15, client.legal_name)
        for line in lines:
            yield [*broker, "transaction", *account, *line, None, None]
        for item in items:
            told = {
                **item._asdict(),
                "transaction_id": item.item_id,
                "status": "under_review" if item.is_under_review else None,
                # The amount of what it is, not of what the month brought.
                "posted_amount_cents": item.amount_cents,
                "amount_cents": None,
            }
            cells = [told.get(name) for name in BrokerLine._fields]
            yield [*broker, "open_item", *account, *cells, item.remaining_cents, item.days_past_due]


def render_json(document: FirmDocument) -> bytes:
    """The whole object as one JSON object; money in cents, days as ISO text, nothing rounded or translated."""
    whole: dict[str, Any] = document.head._asdict()
    if isinstance(document, ClientIndex):
        whole["accounts"] = [entry._asdict() for entry in document.entries]
    else:
        whole["accounts"] = [
            {
                **client._asdict(),
                "transactions": [line._asdict() for line in lines],
                "open_items": [item._asdict() for item in items],
            }
            for client, lines, items in document.parts
        ]
    return (json.dumps(whole, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def read_broker_statement(content: bytes) -> BrokerStatement:
    """The statement that :func:`render_json` wrote; raises ``ValueError`` for anything else."""
    try:
        whole = json.loads(content)
        parts = tuple(
            ClientPart(
                lines=tuple(BrokerLine(**line) for line in account.pop("transactions")),
                items=tuple(BrokerItem(**item) for item in account.pop("open_items")),
                client=BrokerClient(**account),
            )
            for account in whole.pop("accounts")
        )
        return BrokerStatement(BrokerHead(**whole), parts)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("this is no statement of a broker") from error
