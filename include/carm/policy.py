"""The policy of ``include/config/policy.yaml``: what runs by itself, and where a run stops."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, cast

from include.carm.period import Period
from include.carm.settings_file import CONFIG_FOLDER, Settings

FEEDS = ("transactions", "export_declarations")
PROGRAM_TYPES = ("importer", "exporter", "dual")
STRATA = ("program_type", "province")


@dataclass(frozen=True)
class Feed:
    """What a month of this feed must bring to count as covered."""

    exists: bool
    minimum_rows: int
    minimum_rows_header_only: int
    first_period: Period | None


@dataclass(frozen=True)
class Limit:
    """Something (rows, accounts) is too much when it is more than ``rows`` and more than ``share`` (0 to 1) of all."""

    rows: int
    share: float

    def is_exceeded(self, rows: int, of_rows: int) -> bool:
        return rows > self.rows and rows > self.share * of_rows


@dataclass(frozen=True)
class Limits:
    """What one plan, or one stratum of it, may change by itself; None: no such limit."""

    max_share: float
    max_changes: int | None
    max_times_median: float | None


@dataclass(frozen=True)
class Breaker:
    """How many accounts one plan may change before a person must look at it.

    ``whole`` holds for all accounts, ``stratum`` for each value of each column in ``strata`` (``program_type``,
    ``province``).
    """

    whole: Limits
    first_run_max_share: float
    min_accounts_for_percent: int
    median_months: int
    min_median_months: int
    min_changes_for_median: int
    strata: tuple[str, ...]
    stratum: Limits


@dataclass(frozen=True)
class Closure:
    """How a dormant account is closed: after how many months of notice, and on the evidence of which feeds.

    ``needs_feeds`` names for each program type the feeds that must be covered over the whole window.
    """

    notice_months: int
    needs_feeds: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Policy:
    """The whole file; ``version`` is the SHA-256 of its bytes."""

    version: str
    feeds: dict[str, Feed]
    quarantine: Limit
    drift: Limit
    parking: Limit
    breaker: Breaker
    approval: Literal["always", "when_held", "never"]
    closure: Closure
    apply: Literal["database", "file"]
    exporter_without_evidence: Literal["close", "review"]
    strict_rates: bool
    pdf: Literal["all", "payable", "on_demand"]

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the policy; raises ``UsageError`` that names the file and the key of a wrong value."""
        path = path or CONFIG_FOLDER / "policy.yaml"
        settings = Settings.load(path)
        settings.allow(
            "feeds",
            "quarantine",
            "drift",
            "parking",
            "breaker",
            "approval",
            "closure",
            "apply",
            "exporter_without_evidence",
            "strict_rates",
            "pdf",
        )
        feeds = settings.section("feeds")
        feeds.allow(*FEEDS)
        return cls(
            version=hashlib.sha256(path.read_bytes()).hexdigest(),
            feeds={name: _read_feed(feeds.section(name)) for name in FEEDS},
            quarantine=_read_limit(settings.section("quarantine")),
            drift=_read_limit(settings.section("drift")),
            parking=_read_limit(settings.section("parking"), "accounts"),
            breaker=_read_breaker(settings.section("breaker")),
            approval=cast(
                Literal["always", "when_held", "never"], settings.choice("approval", "always", "when_held", "never")
            ),
            closure=_read_closure(settings.section("closure")),
            apply=cast(Literal["database", "file"], settings.choice("apply", "database", "file")),
            exporter_without_evidence=cast(
                Literal["close", "review"], settings.choice("exporter_without_evidence", "close", "review")
            ),
            strict_rates=settings.flag("strict_rates"),
            pdf=cast(Literal["all", "payable", "on_demand"], settings.choice("pdf", "all", "payable", "on_demand")),
        )


def _read_feed(row: Settings) -> Feed:
    row.allow("exists", "minimum_rows", "minimum_rows_header_only", "first_period")
    return Feed(
        exists=row.flag("exists"),
        minimum_rows=row.count("minimum_rows"),
        minimum_rows_header_only=row.count("minimum_rows_header_only"),
        first_period=None if row.is_null("first_period") else row.period("first_period"),
    )


def _read_limit(row: Settings, counted: str = "rows") -> Limit:
    row.allow("share", counted)
    return Limit(rows=row.count(counted), share=row.share("share"))


def _read_breaker(row: Settings) -> Breaker:
    row.allow(
        "first_run_max_share",
        "max_share",
        "max_changes",
        "min_accounts_for_percent",
        "max_times_median",
        "median_months",
        "min_median_months",
        "min_changes_for_median",
        "strata",
    )
    strata = row.section("strata")
    strata.allow("by", "max_share", "max_changes", "max_times_median")
    return Breaker(
        whole=_read_limits(row),
        first_run_max_share=row.share("first_run_max_share"),
        min_accounts_for_percent=row.count("min_accounts_for_percent"),
        median_months=row.count("median_months", least=1),
        min_median_months=row.count("min_median_months", least=1),
        min_changes_for_median=row.count("min_changes_for_median"),
        strata=strata.choices("by", *STRATA),
        stratum=_read_limits(strata),
    )


def _read_limits(row: Settings) -> Limits:
    return Limits(
        max_share=row.share("max_share"),
        max_changes=None if row.is_null("max_changes") else row.count("max_changes"),
        max_times_median=None if row.is_null("max_times_median") else row.number("max_times_median", least=1),
    )


def _read_closure(row: Settings) -> Closure:
    row.allow("notice_months", "needs_feeds")
    feeds = row.section("needs_feeds")
    feeds.allow(*PROGRAM_TYPES)
    needs = {name: feeds.choices(name, *FEEDS) for name in PROGRAM_TYPES}
    # A closure rests on the absence of imports at least; without that feed nothing would be told at all.
    without = [name for name, needed in needs.items() if "transactions" not in needed]
    if without:
        raise feeds.wrong(without[0], "leaves out transactions: no account may be closed without them")
    return Closure(notice_months=row.count("notice_months", most=60), needs_feeds=needs)
