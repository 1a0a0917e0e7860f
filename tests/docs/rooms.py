"""The rooms of the house: which modules of ``include/`` belong together, for ``docs/architecture.md``.

A module is named by its path below ``include/`` without ``.py``; ``*`` stands for any part of a name. The first room
that fits takes it. The rooms stand in the order in which a month goes through them.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

ROOMS: dict[str, tuple[str, ...]] = {
    "Domain": ("carm/*",),
    "Source": (
        "source_*", "feeds", "load", "extract", "postgresql_rows", "account_rows", "register", "demo/*",
    ),
    "Gate": ("quality/*", "validate"),
    "Ledger": (
        "lake", "engine", "datasets", "ledger", "published", "known", "activity", "coverage", "transaction_kinds",
    ),
    "Clean-up": (
        "decide", "program_type_rules", "rules_page", "plan", "plan_step", "plans", "breaker", "approvals", "apply",
        "moved_accounts", "journal", "announcements", "change_file", "reinstate", "person_records", "explain",
        "what_if", "adoption", "plan_accounts", "standing_records",
    ),
    "Statements": (
        "statements", "statement_act_notices", "statement_*", "open_items", "interest", "ledger_totals", "parking",
        "broker*", "documents", "document_registry", "page_shapes", "month_locks",
    ),
    "Notices": (
        "notices", "notice_*", "account_notices", "reinstatement_notices", "webinar_*", "addresses", "digests",
        "tellings", "letters", "owed_*", "quarterly*", "newsletter_*", "preview",
    ),
    "Mail": ("outbox", "deliver", "mail", "mail_*", "bounces", "unsubscribe*", "distribution_list"),
    "Month and proof": ("month", "month_*", "certificate*", "status", "verify*", "audit"),
    "Operations database": ("database", "operations*", "migrations/*"),
    "Portal": ("portal/*",),
    "Surroundings": (
        "workspace", "working_folders", "system_clock", "airflow_*", "local_airflow/*", "cli/*", "backfill*",
        "deadline", "differences", "lake_uses", "on_call",
    ),
}  # fmt: skip

WHAT: dict[str, str] = {
    "Domain": "Periods, calendar, business numbers, money, interest, allocation, policy. It knows the standard library "
    "and small pure packages; no database, no Airflow.",
    "Source": "Reads somebody else's database, as texts, in one snapshot; fills it for the demo.",
    "Gate": "Great Expectations judges every row; what is refused is set apart with its reason; the month is sealed.",
    "Ledger": "The lake of immutable months, and facts placed once.",
    "Clean-up": "Decides about every open account; plan, limits, approval, change, journal, undoing.",
    "Statements": "Heads, lines, open items and documents of a month; versions that come later.",
    "Notices": "What is told to whom, in which language; nothing here sends.",
    "Mail": "The outbox, the one step that sends, and who is not written to.",
    "Month and proof": "Begins and closes a month; proves afterwards what it left.",
    "Operations database": "Engines, transactions, and the `carm_` tables with their migrations.",
    "Portal": "The pages inside Airflow.",
    "Surroundings": "Where a run works; the local Airflow; the command line; the clock, at the edge alone.",
}


def room_of(module: str) -> str | None:
    """The room of a module; None where no pattern takes it."""
    return next(
        (room for room, patterns in ROOMS.items() if any(fnmatchcase(module, pattern) for pattern in patterns)), None
    )
