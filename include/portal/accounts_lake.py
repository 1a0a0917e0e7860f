"""What the lake holds of one account, read where it lies.

A page is a look and no proof: to hash a nation's files of four years takes half a minute, so no file is held against
its seal here (``carm verify`` does that), and only the row groups are read whose statistics name the account.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from include.carm.business_number import account_key, is_written_bn9, require_bn15
from include.carm.errors import DataError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from include.feeds import LedgerFeed
    from include.workspace import Workspace

FeedName = Literal["transactions", "export_declarations"]

ITEMS_A_PAGE = 50
OPEN_ITEMS_SHOWN = 50
DECISIONS_SHOWN = 12
_FIRM = 10_000
_STANDING = (
    *("balance_cents", "under_review_cents", "under_review_items", "has_open_quarantine"),
    *("last_import_on", "last_export_on", "last_other_on"),
)
_AGEING = tuple(f"ageing_{bucket}_cents" for bucket in ("current", "30", "60", "90", "over_90"))
_HEAD = ("total_payable_cents", "due_on", *_AGEING, "calculated_interest_cents", "parked_reason")
_OPEN_ITEM = ("kind", "transaction_number", "posted_on", "due_on", "is_under_review", "amount_cents", "remaining_cents")
_DECISION = ("period", "program_type", "action", "new_program_type", "reason", "missing")


class AccountInLake:
    """The rows of one account; made for one request."""

    def __init__(self, ws: Workspace, bn15: str) -> None:
        self.bn15 = require_bn15(bn15)
        self.key = account_key(self.bn15)
        self.lake = ws.lake()
        self._months: dict[str, list[str]] = {}
        for seal in self.lake.seals():
            self._months.setdefault(seal.dataset, []).append(seal.period)

    def months(self, dataset: str) -> list[str]:
        """The sealed months of a dataset, the oldest first."""
        return self._months.get(dataset, [])

    def _newest(self, dataset: str) -> list[str]:
        return self.months(dataset)[-1:]

    def files(self, dataset: str, months: Iterable[str]) -> list[Path]:
        """The files of these months; raises ``DataError`` where one is gone."""
        paths = [self.lake.path(dataset, month) for month in months]
        for path in paths:
            if not path.exists():
                raise DataError(f"{path} is missing: restore the lake from a backup")
        return paths

    def _rows(
        self,
        con: DuckDBPyConnection,
        dataset: str,
        months: Sequence[str],
        columns: Sequence[str],
        order: str,
        most: int,
    ) -> list[dict[str, Any]]:
        from include import engine

        if not months:
            return []
        engine.register(con, dataset, self.files(dataset, months))
        found = con.table(dataset).filter(f"account_key = {self.key}").order(order).limit(most).select(*columns)
        return found.to_arrow_table().to_pylist()

    # What the page of an account shows

    def read_standing(self, con: DuckDBPyConnection) -> dict[str, Any] | None:
        """Balance, what is under review and the last activity at the end of the newest month; None where unknown."""
        months = self._newest("account_facts")
        rows = self._rows(con, "account_facts", months, _STANDING, "account_key", 1)
        if not rows:
            return None
        heads = self._rows(con, "statement_heads", self._newest("statement_heads"), _HEAD, "account_key", 1)
        return {"period": months[0], **rows[0], "head": heads[0] if heads else None}

    def read_open_items(self, con: DuckDBPyConnection) -> list[dict[str, Any]]:
        """The open items at the end of the newest month, one more than are shown."""
        months = self._newest("open_items")
        return self._rows(con, "open_items", months, _OPEN_ITEM, "due_on NULLS FIRST, posted_on", OPEN_ITEMS_SHOWN + 1)

    def read_decisions(self, con: DuckDBPyConnection, most: int | None = DECISIONS_SHOWN) -> list[dict[str, Any]]:
        """The decisions of the newest ``most`` months, or of all, the newest first: each month is another file."""
        months = self.months("account_decisions")[-(most or 0) :]
        return self._rows(con, "account_decisions", months, _DECISION, "period DESC", len(months))

    def read_rendered(self, con: DuckDBPyConnection, issued: Iterable[str]) -> list[str]:
        """The months with a statement of the account that is rendered and was not issued, the newest first."""
        months = sorted(set(self.months("statements")) - set(issued))
        rows = self._rows(con, "statements", months, ("period",), "period DESC", len(months))
        return [row["period"] for row in rows]

    def read_brokers(self, con: DuckDBPyConnection) -> list[dict[str, Any]]:
        """``bn9, legal_name`` of the brokers whose statement of the newest month tells of this account."""
        months = self._newest("broker_clients")
        rows = self._rows(con, "broker_clients", months, ("bn9",), "bn9", OPEN_ITEMS_SHOWN)
        names = self.read_firm_names(con, (row["bn9"] for row in rows))
        return [{"bn9": row["bn9"], "legal_name": names.get(row["bn9"])} for row in rows]

    def read_firm_names(self, con: DuckDBPyConnection, numbers: Iterable[str | None]) -> Mapping[str, str]:
        """The legal names of firms by BN9, as their own accounts have them; a firm without an account has none."""
        from include import engine

        firms = sorted({int(number) for number in numbers if number is not None and is_written_bn9(number)})
        if not firms:
            return {}
        engine.register(con, "accounts", self.files("accounts", self._newest("accounts")))
        of_firms = " OR ".join(f"account_key BETWEEN {firm * _FIRM} AND {firm * _FIRM + _FIRM - 1}" for firm in firms)
        rows = con.table("accounts").filter(of_firms).order("account_key").select("bn15", "legal_name").fetchall()
        names: dict[str, str] = {}
        for bn15, name in rows:
            if name:
                names.setdefault(bn15[:9], name)
        return names

    # What the page of its transactions shows

    def read_items(self, con: DuckDBPyConnection, feed: LedgerFeed, page: int) -> list[dict[str, Any]]:
        """One page of the account's items of a feed, the first is page 1; ``items`` is how many there are on all."""
        from include import engine

        both = (f"baseline_{feed.name}", feed.name)
        files = [path for dataset in both for path in self.files(dataset, self.months(dataset))]
        engine.register(con, "published_rows", files, like=feed.name)
        columns = ", ".join(f"{column} AS {name}" for name, column in _item_columns(feed).items())
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE rows_of_account AS SELECT {columns} FROM published_rows "  # noqa: S608
            f"WHERE account_key = {self.key}"
        )
        parameters = {"first": (page - 1) * ITEMS_A_PAGE, "most": ITEMS_A_PAGE}
        return engine.run_table(con, "select_states_of_items", None, parameters).to_pylist()


def _item_columns(feed: LedgerFeed) -> Mapping[str, str]:
    """The column of the feed that each column of ``rows_of_account`` is; NULL for what the feed has not."""
    own = {"kind", "transaction_number", "due_on", "broker_bn9"}
    return {
        "item_id": feed.key,
        **{name: name for name in ("revision", "version", "arrival", "status")},
        **{name: name if name in feed.columns else "NULL" for name in sorted(own)},
        "activity_on": feed.activity,
        "posted_on": feed.posted,
        "amount_cents": feed.amount,
        "known_in": "period",
    }
