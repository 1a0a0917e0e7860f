"""What has been issued: the registry of statements and of issued months. Only a live month writes here.

A row is never changed but for ``superseded_by``: a client holds the document whose hash it carries.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from include.operations_metadata import METADATA

# One row an issued statement. A restatement is a further version; `superseded_by` of the old one then names it, and
# the version that every sum uses is the one where it is NULL.
STATEMENT_REGISTRY = Table(
    "carm_statements",
    METADATA,
    Column("period", Text, primary_key=True),
    Column("bn15", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document_sha256", Text, nullable=False),
    # Of the templates and texts that made the document.
    Column("template_version", Text, nullable=False),
    Column("superseded_by", Integer),
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
