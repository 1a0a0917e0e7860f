"""What has been issued: the registry of statements and other documents, issued months, and the acts that came after.

A row of a registry is never changed but for ``superseded_by`` and ``withdrawn_by``: somebody holds the document whose
hash it carries.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, Index, Integer, Table, Text

from include.operations_metadata import METADATA

# One row an issued statement. A restatement is a further version; `superseded_by` of the old one then names it, and
# the version that every sum uses is the one where it is NULL.
STATEMENT_REGISTRY = Table(
    "carm_statements",
    METADATA,
    Column("period", Text, primary_key=True),
    Column("bn15", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document_sha256", Text, nullable=False),  # of the HTML
    # Of the templates and texts that made the documents.
    Column("template_version", Text, nullable=False),
    Column("superseded_by", Integer),
    # Of the object that every format was made from. This and what follows: NULL in months of an earlier release.
    Column("object_sha256", Text),
    Column("csv_sha256", Text),
    Column("pdf_sha256", Text),  # NULL too where the policy has PDFs made on demand
    Column("locale_version", Text),  # whose way of writing numbers the documents follow
    Column("typesetter_version", Text),  # of what makes a PDF of the object
    # The act that issued the version; NULL for what was issued with its month.
    Column("act_no", BigInteger),
    Column("withdrawn_by", BigInteger),  # the act that withdrew it
)

# One row an issued document that is none of a single account: of a broker, or of a provider of services.
DOCUMENT_REGISTRY = Table(
    "carm_issued_documents",
    METADATA,
    Column("period", Text, primary_key=True),
    Column("kind", Text, primary_key=True),  # broker_statement, client_index
    Column("bn9", Text, primary_key=True),
    Column("object_sha256", Text, nullable=False),
    Column("document_sha256", Text, nullable=False),  # of the HTML
    Column("csv_sha256", Text, nullable=False),
    Column("pdf_sha256", Text),
    Column("template_version", Text, nullable=False),
    Column("locale_version", Text, nullable=False),
)

# One row an issued month, written in the same transaction as its statements.
ISSUED_MONTHS = Table(
    "carm_issued_months",
    METADATA,
    Column("period", Text, primary_key=True),
    Column("issued_on", Text, nullable=False),
    Column("statements", BigInteger, nullable=False),
    # Of the file `statements/period=P/data.parquet` as it was issued.
    Column("statements_sha256", Text, nullable=False),
    Column("run_id", Text, nullable=False),
)

# One row an act of a person about a statement of an issued month.
STATEMENT_ACTS = Table(
    "carm_statement_acts",
    METADATA,
    Column("act_no", BigInteger, primary_key=True, autoincrement=False),
    Column("act", Text, nullable=False),  # restate, withdraw, issue_parked
    Column("period", Text, nullable=False),
    Column("bn15", Text, nullable=False),
    Column("version", Integer, nullable=False),  # the version that it issued, or withdrew
    Column("changed", Text, nullable=False),  # JSON list: what a restatement changed, by the names of the fields
    # Why, as the client reads it.
    Column("reason_en", Text, nullable=False),
    Column("reason_fr", Text, nullable=False),
    Column("acted_on", Date, nullable=False),
    Column("known_from", Text, nullable=False),  # the first statement month that knows of it
    Column("pack_sha256", Text),  # of the pack with the documents that it issued
    Column("recorded_by", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Index("ix_carm_statement_acts_bn15", "bn15"),
)

# One row a locking or unlocking of a month; the last one of a month holds.
MONTH_LOCKS = Table(
    "carm_month_locks",
    METADATA,
    Column("lock_no", BigInteger, primary_key=True, autoincrement=False),
    Column("period", Text, nullable=False),
    Column("is_locked", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("recorded_by", Text, nullable=False),  # who locked the month, or asked to unlock it
    Column("approved_by", Text),  # who else approved that it is unlocked
    Column("run_id", Text),
)
