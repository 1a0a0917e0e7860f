"""The policy of ``include/config/policy.yaml``: what runs by itself, and where a run stops."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, cast

from include.carm.period import Period
from include.carm.settings_file import CONFIG_FOLDER, Settings

FEEDS = ("transactions", "export_declarations")


@dataclass(frozen=True)
class Feed:
    """What a month of this feed must bring to count as covered."""

    exists: bool
    minimum_rows: int
    minimum_rows_header_only: int
    first_period: Period | None


@dataclass(frozen=True)
class Limit:
    """Something is too much when it is more than ``rows`` and more than ``share`` (0 to 1) of all."""

    rows: int
    share: float

    def is_exceeded(self, rows: int, of_rows: int) -> bool:
        return rows > self.rows and rows > self.share * of_rows


@dataclass(frozen=True)
class Breaker:
    """How many accounts one plan may change before a person must look at it."""

    first_run_max_share: float
    max_share: float
    max_changes: int | None
    min_accounts_for_percent: int


@dataclass(frozen=True)
class Policy:
    """The whole file; ``version`` is the SHA-256 of its bytes."""

    version: str
    feeds: dict[str, Feed]
    quarantine: Limit
    drift: Limit
    breaker: Breaker
    exporter_without_evidence: Literal["close", "review"]

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the policy; raises ``UsageError`` that names the file and the key of a wrong value."""
        path = path or CONFIG_FOLDER / "policy.yaml"
        settings = Settings.load(path)
        settings.allow("feeds", "quarantine", "drift", "breaker", "exporter_without_evidence")
        feeds = settings.section("feeds")
        feeds.allow(*FEEDS)
        return cls(
            version=hashlib.sha256(path.read_bytes()).hexdigest(),
            feeds={name: _read_feed(feeds.section(name)) for name in FEEDS},
            quarantine=_read_limit(settings.section("quarantine")),
            drift=_read_limit(settings.section("drift")),
            breaker=_read_breaker(settings.section("breaker")),
            exporter_without_evidence=cast(
                Literal["close", "review"], settings.choice("exporter_without_evidence", "close", "review")
            ),
        )


def _read_feed(row: Settings) -> Feed:
    row.allow("exists", "minimum_rows", "minimum_rows_header_only", "first_period")
    return Feed(
        exists=row.flag("exists"),
        minimum_rows=row.count("minimum_rows"),
        minimum_rows_header_only=row.count("minimum_rows_header_only"),
        first_period=None if row.is_null("first_period") else row.period("first_period"),
    )


def _read_limit(row: Settings) -> Limit:
    row.allow("share", "rows")
    return Limit(rows=row.count("rows"), share=row.share("share"))


def _read_breaker(row: Settings) -> Breaker:
    row.allow("first_run_max_share", "max_share", "max_changes", "min_accounts_for_percent")
    return Breaker(
        first_run_max_share=row.share("first_run_max_share"),
        max_share=row.share("max_share"),
        max_changes=None if row.is_null("max_changes") else row.count("max_changes"),
        min_accounts_for_percent=row.count("min_accounts_for_percent"),
    )
