"""The tables of the clean-up: plans, approvals, the journal, what persons recorded, and the audit chain.

They lie in the database whose accounts are changed, because a change and its row stand in one transaction.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, Index, Integer, Table, Text

from include.operations_metadata import METADATA

# One row a plan, and one more where the same plan was also made in shadow.
PLANS = Table(
    "carm_plans",
    METADATA,
    Column("plan_hash", Text, primary_key=True),
    Column("effects", Text, primary_key=True),  # live, shadow
    Column("period", Text, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("effective_on", Date, nullable=False),
    # ready and held wait for apply and for a person; handed_over: as a change file, not yet confirmed by the register.
    Column("state", Text, nullable=False),  # ready, held, shadow, applied, handed_over, rejected, superseded, undone
    Column("reason", Text, nullable=False),  # one sentence: why it may pass, or why it is held
    Column("open_accounts", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False),
    Column("counts", Text, nullable=False),  # JSON: accounts by action and reason
    Column("strata", Text, nullable=False),  # JSON: accounts by stratum and action
    Column("margins", Text, nullable=False),  # JSON: each limit of the breaker, what was found and what it allows
    Column("approval", Text, nullable=False),  # needed, not_needed, not_allowed, by the policy of the day
    Column("coverage_id", Text, nullable=False),  # SHA-256 of the coverage of the window
    Column("rules_version", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("applied_run_id", Text),
    Column("applied_count", BigInteger),  # accounts changed, and closures announced
    Column("dropped_count", BigInteger),
)

# Who stands behind a plan: everyone who triggered, or cleared a task of, a run that built it. None may approve it.
PLAN_MAKERS = Table(
    "carm_plan_makers",
    METADATA,
    Column("plan_hash", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("maker", Text, primary_key=True),  # a user's name; schedule: nobody; unknown: somebody who is not known
)

# One row an answer to the question whether a plan may be applied; the last one that was not refused counts.
APPROVALS = Table(
    "carm_approvals",
    METADATA,
    Column("approval_no", BigInteger, primary_key=True, autoincrement=False),
    Column("plan_hash", Text, nullable=False),
    Column("decision", Text, nullable=False),  # approved, rejected, or refused: given by somebody who may not
    Column("decided_by", Text, nullable=False),
    Column("decided_at", Text, nullable=False),  # ISO 8601, as Airflow recorded the answer
    Column("asked_by", Text, nullable=False),  # who started the run that asked
    Column("run_id", Text, nullable=False),
)

# One row an account that a live plan was to change: what happened to it, and what it was before.
ACCOUNT_CHANGES = Table(
    "carm_account_changes",
    METADATA,
    Column("plan_hash", Text, primary_key=True),
    Column("bn15", Text, primary_key=True),
    Column("account_key", BigInteger, nullable=False),
    Column("period", Text, nullable=False),
    Column("effective_on", Date, nullable=False),
    Column("action", Text, nullable=False),  # close, convert, candidate: the closure is only announced
    Column("rule_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # The version that the plan looked at, by which it is found again.
    Column("valid_from", Date, nullable=False),
    Column("program_type", Text, nullable=False),
    Column("new_program_type", Text),
    # JSON of what the decision saw: activity, clock, cutoff, balance, and the coverage that it rests on.
    Column("evidence", Text, nullable=False),
    # JSON of the columns that the change touches, and of no other: names and addresses stay in the accounts.
    Column("old_version", Text, nullable=False),
    Column("new_version", Text),  # NULL where nothing was changed
    # handed_over: in a change file; confirmed and not_done are what the next extract then said.
    Column("outcome", Text, nullable=False),  # applied, announced, dropped, handed_over, confirmed, not_done
    Column("outcome_reason", Text),  # moved_since_plan where dropped
    Column("settled_in", Text),  # the statement month whose extract confirmed a change handed over, or did not
    Column("approved_by", Text),  # NULL where the policy let the plan pass by itself
    Column("run_id", Text, nullable=False),
    Index("ix_carm_account_changes_bn15", "bn15"),
)

# One row a counter-action: a closed account opened again, a corrected program type put back.
REINSTATEMENTS = Table(
    "carm_reinstatements",
    METADATA,
    Column("reinstatement_no", BigInteger, primary_key=True, autoincrement=False),
    Column("bn15", Text, nullable=False),
    Column("account_key", BigInteger, nullable=False),
    Column("plan_hash", Text),  # of the change that it undoes; NULL where another hand had closed the account
    Column("undoes", Text, nullable=False),  # close, convert
    Column("rule_id", Text),  # the rule cell of that change: while it holds, the change is not proposed again
    Column("reason", Text, nullable=False),
    Column("effective_on", Date, nullable=False),
    Column("known_from", Text, nullable=False),  # the first statement month whose decisions know of it
    Column("old_version", Text, nullable=False),
    Column("new_version", Text, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Index("ix_carm_reinstatements_bn15", "bn15"),
)

# One row a hold that a person put on an account, beside those of the register.
HOLDS = Table(
    "carm_holds",
    METADATA,
    Column("hold_no", BigInteger, primary_key=True, autoincrement=False),
    Column("bn15", Text, nullable=False),
    Column("account_key", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("hold_until", Date),  # the last day; NULL: until it is lifted
    Column("known_from", Text, nullable=False),
    Column("lifted_from", Text),  # the first statement month that no longer knows it
    Column("recorded_by", Text, nullable=False),
    Index("ix_carm_holds_bn15", "bn15"),
)

# One row a decision of a person about an account that the rules refer to one.
REVIEW_DECISIONS = Table(
    "carm_review_decisions",
    METADATA,
    Column("review_no", BigInteger, primary_key=True, autoincrement=False),
    Column("bn15", Text, nullable=False),
    Column("account_key", BigInteger, nullable=False),
    Column("decision", Text, nullable=False),  # keep, handled_elsewhere
    Column("reason", Text, nullable=False),
    Column("valid_until", Date, nullable=False),  # the last day
    Column("known_from", Text, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Index("ix_carm_review_decisions_bn15", "bn15"),
)

# One row a closure that was announced to the client and is still to come, or was called off.
CLOSURE_ANNOUNCEMENTS = Table(
    "carm_closure_announcements",
    METADATA,
    Column("bn15", Text, primary_key=True),
    Column("announced_in", Text, primary_key=True),
    Column("account_key", BigInteger, nullable=False),
    Column("plan_hash", Text, nullable=False),
    Column("cleared_in", Text),  # the statement month in which the account was no longer dormant, or was closed
)

# One row an event that must not be denied later; each row's hash covers the row before it.
AUDIT_CHAIN = Table(
    "carm_audit_chain",
    METADATA,
    Column("link_no", Integer, primary_key=True, autoincrement=False),
    # plan, approval, apply, confirmation, reinstatement, hold, review, issue and what follows it; unmask: somebody was
    # shown figures and addresses in the portal
    Column("event", Text, nullable=False),
    Column("subject", Text, nullable=False),  # what it is about: a plan's hash, an account, a month
    Column("facts", Text, nullable=False),  # canonical JSON, hashes and counts among them
    Column("previous_sha256", Text, nullable=False),
    Column("sha256", Text, nullable=False),
)
